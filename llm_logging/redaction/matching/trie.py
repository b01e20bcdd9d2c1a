"""All spellings of what the name rules look for, as one pattern in which each letter is looked at once.

Python's `re` tries the branches of an alternation one by one. Laid out letter by letter, as a tree, the first letter
decides on few of them, and the time per character of a hostile text is that of one or two comparisons.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from .key_names import RULES

__all__ = ["Letters", "expanded", "spelled_names"]


def expanded(fragment: str) -> Iterator[str]:
    """Yield the texts that a fragment stands for.

    Args:
        fragment: Letters, `~`, groups `(?:a|b)`, and `?` behind a letter or a group; nothing else.
    """
    if not fragment:
        yield ""
        return
    if fragment.startswith("(?:"):
        end = _closing(fragment)
        heads = [text for part in _parts(fragment[3:end]) for text in expanded(part)]
        rest = fragment[end + 1 :]
    else:
        heads, rest = [fragment[0]], fragment[1:]
    if rest.startswith("?"):
        heads, rest = [*heads, ""], rest[1:]
    for tail in expanded(rest):
        for head in heads:
            yield head + tail


def _closing(fragment: str) -> int:
    depth = 0
    for position, letter in enumerate(fragment):
        depth += (letter == "(") - (letter == ")")
        if not depth:
            return position
    raise ValueError(f"a name rule: expected a closed group, got {fragment!r}")


def _parts(inner: str) -> Iterator[str]:
    depth = start = 0
    for position, letter in enumerate(inner):
        depth += (letter == "(") - (letter == ")")
        if letter == "|" and not depth:
            yield inner[start:position]
            start = position + 1
    yield inner[start:]


class Letters:
    """A tree of texts, letter by letter."""

    __slots__ = ("children", "ends")

    def __init__(self) -> None:
        self.children: dict[str, Letters] = {}
        self.ends: list[str] = []

    def add(self, text: Iterable[str], end: str) -> None:
        """Add a text, and the pattern that follows it."""
        node = self
        for letter in text:
            node = node.children.setdefault(letter, Letters())
        if end not in node.ends:
            node.ends.append(end)

    def pattern(self, separator: str = "~") -> str:
        """Return a pattern of Python's `re`; longer texts are tried before the shorter ones they begin with.

        Args:
            separator: What stands for `~`.
        """
        parts = [
            (separator if letter == "~" else re.escape(letter)) + child.pattern(separator)
            for letter, child in sorted(self.children.items())
        ]
        parts += self.ends
        return parts[0] if len(parts) == 1 else f"(?:{'|'.join(parts)})"

    def bundles(self, size: int) -> str:
        """Return the pattern with its first letters in bundles, one look each."""
        letters = sorted(self.children)
        bundles = []
        for start in range(0, len(letters), size):
            bundle = letters[start : start + size]
            inner = "|".join(re.escape(letter) + self.children[letter].pattern() for letter in bundle)
            bundles.append(f"(?=[{''.join(map(re.escape, bundle))}])(?:{inner})")
        return "|".join(bundles)


def spelled_names(separator: str, opened: str, closed: str) -> str:
    """Return a pattern for all names of the rules.

    Args:
        separator: What stands for `~`.
        opened: What follows a name of an open rule.
        closed: What follows a name of a closed rule.
    """
    letters = Letters()
    for rule in RULES:
        for text in expanded(rule.fragment):
            letters.add(text, opened if rule.open else closed)
    return "|".join(
        re.escape(letter) + child.pattern(separator) for letter, child in sorted(letters.children.items())
    )
