"""Searching text in linear time, whatever the text: a fast test first, the precise search only where it is needed.

The test is a pattern of Rust's `regex` crate, which pydantic_core brings along: it runs in time linear in the text and never
backtracks. It tells only whether something is there, so a detector's *scan* is a superset of what its precise Python pattern
finds; the precise pattern, whose every repetition is possessive or short, then runs on the windows that the scan points at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Final, Protocol

from pydantic_core import SchemaValidator, core_schema

__all__ = ["OVERLAP", "WINDOW", "Detector", "Scan", "Span", "is_text", "lower", "matcher", "matches", "suspects", "windows"]

# A span is at most so long, or ends where its last class of letters ends.
OVERLAP: Final = 1536
# What precise patterns are given at a time.
WINDOW: Final = 256
_FAN_OUT: Final = 8

# A validator takes UTF-8 as well as text.
Scan = Callable[[str | bytes], bool]


# A piece of text that is to go, text[start:end], and what kind of thing it is. A plain tuple: there can be millions.
Span = tuple[int, int, str]


class Detector(Protocol):
    """Find one family of secrets in a text.

    Attributes:
        scan: A superset of what it finds, in Rust's regex syntax; "" where the other finds all of it.
        low_scan: Another, for the text in lower case; "" where there is none.
    """

    scan: str
    low_scan: str

    def spans(self, text: str, low: str, start: int, stop: int) -> Iterable[Span]:
        """Yield what begins in text[start:stop], in order, not overlapping; a span may end behind `stop`.

        A span without a kind says that something there was looked at in vain, up to its end: such looks are counted, for a
        text can be made of nothing else.

        Args:
            text: The text.
            low: The same in lower case, of the same length.
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


def suspects(scan: Scan, text: str) -> bool:
    """Say whether a scan matches, or cannot tell because the text has lone surrogates."""
    return scan(text) or not (text.isascii() or is_text(text))


def lower(text: str) -> str:
    """Return the text in lower case, of the same length; letters that only look like ASCII ones when lowered go."""
    if text.isascii():
        return text.lower()
    # Lowering U+0130 makes two characters of one, and U+212A becomes an ASCII letter.
    return text.replace("\u0130", "\u0131").replace("\u212a", "\u0138").lower()


def windows(holds: Callable[[int, int], bool], start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Yield the parts, of WINDOW characters at most, in which something may begin, in order.

    Args:
        holds: Says whether something may begin between two places.
        start: Where to begin.
        stop: Where to end.
    """
    if not holds(start, stop):
        return
    if stop - start <= WINDOW:
        yield start, stop
        return
    step = max(WINDOW, -(-(stop - start) // (_FAN_OUT * WINDOW)) * WINDOW)
    for part in range(start, stop, step):
        yield from windows(holds, part, min(part + step, stop))


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
