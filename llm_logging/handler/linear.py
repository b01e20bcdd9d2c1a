"""Searching text in linear time, whatever the text: a fast test first, the precise search only where it is needed.

The test is a pattern of Rust's `regex` crate, which pydantic_core brings along: it runs in time linear in the text
and never backtracks. It tells only whether something is there, so a detector's *scan* is a superset of what its
precise Python pattern finds; the precise pattern, whose every repetition is possessive or short, then runs on the
blocks that the scan points at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final, Protocol

from pydantic_core import SchemaValidator, core_schema

__all__ = [
    "BLOCK",
    "OVERLAP",
    "Detector",
    "Scan",
    "Span",
    "any_of",
    "is_text",
    "lower",
    "matcher",
    "regions",
    "suspects",
]

# A match of a scan is at most OVERLAP characters long, so that each one lies wholly in the block where it begins
# together with the OVERLAP characters behind it.
OVERLAP: Final = 1536
_COARSE: Final = 65_536
BLOCK: Final = 2_048

# A validator takes UTF-8 as well as text.
Scan = Callable[[str | bytes], bool]


# A piece of text that is to go, text[start:end], and what kind of thing it is. A plain tuple: there can be millions.
Span = tuple[int, int, str]


class Detector(Protocol):
    """Find one family of secrets in a text.

    Attributes:
        scans: Supersets of what it finds, to be searched one by one.
        few: Another; so few literals are looked for that it can be joined to others of its sort.
        lowered: Whether both are for the text in lower case.
    """

    scans: tuple[str, ...]
    few: str
    lowered: bool

    def spans(self, text: str, low: str, start: int, stop: int) -> Iterable[Span]:
        """Yield what begins in text[start:stop], in order, not overlapping; a span may end behind `stop`.

        A span without length says that something there was looked at in vain: such looks are counted, for a text can be made
        of nothing else.

        Args:
            text: The text.
            low: The same in lower case, of the same length; only for detectors that are `lowered`.
            start: Where to begin.
            stop: Where to end.
        """


# With a pattern, though an empty one: without any, text that has lone surrogates would be accepted unread.
is_text: Final = SchemaValidator(
    core_schema.str_schema(pattern="", regex_engine="rust-regex")
).isinstance_python


@lru_cache(maxsize=256)
def matcher(pattern: str) -> Scan:
    """Compile a pattern of Rust's `regex` crate.

    Args:
        pattern: In the crate's syntax: no look-around, no back-references.

    Returns:
        A function that says whether the pattern matches anywhere in a text. It says False for a text with lone
        surrogates; `suspects` does not.
    """
    test = SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))
    return test.isinstance_python


def any_of(patterns: Sequence[str]) -> Scan:
    """Compile several patterns into one call, each searched for by itself: together they would be searched for slowly.

    Args:
        patterns: As for `matcher`; at least one.
    """
    if len(patterns) == 1:
        return matcher(patterns[0])
    choices: list[core_schema.CoreSchema | tuple[core_schema.CoreSchema, str]] = [
        core_schema.str_schema(pattern=pattern, regex_engine="rust-regex") for pattern in patterns
    ]
    # An error of its own for all of them, or one would be put together for each.
    union = core_schema.union_schema(
        choices, mode="left_to_right", custom_error_type="none", custom_error_message="none"
    )
    return SchemaValidator(union).isinstance_python


def suspects(scan: Scan, text: str) -> bool:
    """Say whether a scan matches, or cannot tell because the text has lone surrogates."""
    return scan(text) or not (text.isascii() or is_text(text))


def lower(text: str) -> str:
    """Return the text in lower case, of the same length; letters that only look like ASCII ones when lowered go."""
    if text.isascii():
        return text.lower()
    # Lowering U+0130 makes two characters of one, and U+212A becomes an ASCII letter.
    return text.replace("\u0130", "\u0131").replace("\u212a", "\u0138").lower()


def regions(scan: Scan, text: str) -> Iterator[tuple[int, int]]:
    """Yield the parts of a text in which matches of a scan may begin, as (start, stop), in order.

    Args:
        scan: From `matcher`; its matches are at most OVERLAP characters long.
        text: Of any length; time is linear in it.
    """
    length = len(text)
    if length <= BLOCK:
        if suspects(scan, text):
            yield 0, length
        return
    if not suspects(scan, text):
        return
    begin = end = -1
    for coarse in range(0, length, _COARSE):
        ceiling = min(coarse + _COARSE, length)
        if not suspects(scan, text[coarse : ceiling + OVERLAP]):
            continue
        for fine in range(coarse, ceiling, BLOCK):
            stop = min(fine + BLOCK, ceiling)
            if not suspects(scan, text[fine : stop + OVERLAP]):
                continue
            if fine != end:
                if end > begin:
                    yield begin, end
                begin = fine
            end = stop
    if end > begin:
        yield begin, end
