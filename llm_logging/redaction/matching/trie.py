"""All spellings of what the name rules look for, as one pattern in which each letter is looked at once.

Python's `re` tries the branches of an alternation one by one. Laid out letter by letter, as a tree, the first letter
decides on few of them, and the time per character of a hostile text is that of one or two comparisons.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from .key_names import RULES

__all__ = ["Letters", "spelled_names"]


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
        letters.add(rule.fragment, closed if rule.closed else opened)
    return "|".join(
        re.escape(letter) + child.pattern(separator) for letter, child in sorted(letters.children.items())
    )
