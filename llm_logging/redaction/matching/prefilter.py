"""Searching text in linear time, whatever the text: a fast test first, the precise search only where it is needed.

The test is a pattern of Rust's `regex` crate, which pydantic_core brings along: it runs in time linear in the text
and never backtracks. It tells only whether something is there, so a detector's *scan* is a superset of what its
precise Python pattern finds; the precise pattern, whose every repetition is possessive or short, then runs on the
blocks that the scan points at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Final, Protocol

from pydantic_core import SchemaValidator, core_schema

__all__ = [
    "BLOCK",
    "CELL",
    "OVERLAP",
    "Detector",
    "Scan",
    "Span",
    "any_of",
    "cells",
    "is_text",
    "lower",
    "matcher",
    "matches",
    "regions",
    "suspects",
]

# A match of a scan is at most OVERLAP characters long, so that each one lies wholly in the block where it begins
# together with the OVERLAP characters behind it.
OVERLAP: Final = 1536
_COARSE: Final = 65_536
BLOCK: Final = 2_048
_PART: Final = 512
# What Python's own patterns are given at a time.
CELL: Final = 128

# A validator takes UTF-8 as well as text.
Scan = Callable[[str | bytes], bool]


# A piece of text that is to go, text[start:end], and what kind of thing it is. A plain tuple: there can be millions.
Span = tuple[int, int, str]


class Detector(Protocol):
    """Find one family of secrets in a text.

    Attributes:
        scans: Supersets of what it finds, to be searched one by one.
        few: Another; so few literals are looked for that it can be joined to others of its sort.
        lowered: Whether all of them are for the text in lower case.
        whole: Another, more exact and less fast, for the blocks that the others point at; "" where there is none.
        telling: A short scan of what all that it finds contains near its beginning; empty where its precise pattern
            passes over other text as fast as a scan does.
        near: How many characters behind the beginning of what it finds that scan's match has ended.
    """

    scans: tuple[str, ...]
    few: str
    lowered: bool
    whole: str
    telling: tuple[str, ...]
    near: int

    def spans(self, text: str, low: str, start: int, stop: int) -> Iterable[Span]:
        """Yield what begins in text[start:stop], in order, not overlapping; a span may end behind `stop`.

        A span without a kind says that something there was looked at in vain, up to its end: such looks are counted, for a
        text can be made of nothing else.

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


def cells(scan: Scan, near: int, text: str, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Yield the parts of text[start:stop], of CELL characters at most, behind whose beginnings a scan matches, in order.

    Args:
        scan: From `matcher` or `any_of`.
        near: How many characters behind a part its match may end.
        text: The text.
        start: Where to begin.
        stop: Where to end.
    """
    tells = scan if text.isascii() else partial(suspects, scan)
    for part in range(start, stop, _PART):
        ceiling = min(stop, part + _PART)
        if not tells(text[part : ceiling + near]):
            continue
        for cell in range(part, ceiling, CELL):
            end = min(ceiling, cell + CELL)
            if tells(text[cell : end + near]):
                yield cell, end


def matches(
    head: re.Pattern[str], pattern: re.Pattern[str], text: str, start: int, stop: int, near: int
) -> Iterator[tuple[int, re.Match[str] | None]]:
    """Yield what of a pattern begins in text[start:stop], with the place, and None where only its head does.

    A search for the pattern itself would run on over all that a match may be long.

    Args:
        head: Its beginning.
        pattern: The pattern; its matches are at most OVERLAP characters long, or go on further behind `stop`.
        text: The text.
        start: Where to begin.
        stop: Where to end.
        near: The length of the longest head.
    """
    limit, reach = min(len(text), stop + OVERLAP), min(len(text), stop + near)
    while start < stop:
        begun = head.search(text, start, reach)
        if begun is None or begun.start() >= stop:
            return
        found = pattern.match(text, begun.start(), limit)
        yield begun.start(), found
        start = begun.start() + 1 if found is None else max(found.end(), begun.start() + 1)
