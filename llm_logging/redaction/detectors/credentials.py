"""Credentials that are told by their look: the formats of `formats.py`, found wherever a word can begin."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final

from ..matching.prefilter import Span
from ..matching.trie import Letters
from .formats import FORMATS, Format

__all__ = ["Credentials"]

# Text is often text inside text: an escape, a percent code or the end of a colour before a credential is no letter of it.
_ESCAPED: Final = r"\\[bfnrt]|%[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}|(?:\x1b|\\u001[bB])\[[0-9;]{0,12}m"
_BEGINNING: Final = rf"(?:^|[\x00-/:-@\[-`{{-\x7f]|{_ESCAPED})"
# What a scan counts up to; longer repetitions make it slow, and a superset is what counts.
_SCANNED: Final = 4
_TELLING: Final = 3
_LAST_REPEAT: Final = re.compile(r"\{(\d+)(?:,\d*)?\}(?:={0,\d})?\Z")
_LONGEST_LEFT: Final = 80


def _scan_of(row: Format) -> str:
    # A few letters more tell apart what begins with a few only.
    most = _SCANNED if len(row.prefix) > _TELLING else 4 * _SCANNED
    tail = _LAST_REPEAT.sub(lambda match: f"{{{min(int(match[1]), most)}}}", row.tail)
    return re.escape(row.prefix).replace("\\-", "-") + tail


def _tail(row: Format) -> str:
    """Return the precise pattern of what follows a prefix: first the cheap test for a digit, then all of it, possessive."""
    tail = row.tail
    ahead = ""
    if row.needs:
        ahead = "" if row.needs == "capital" else "(?=[^0-9\\s\"'`]{0,40}[0-9])"
        ahead += "" if row.needs == "digit" else "(?=[^A-Z\\s\"'`]{0,40}[A-Z])"
    tail = re.sub(r"(\{\d+,\d*\}|\*)(?=$|[^?])", r"\1+", tail)
    fixed = re.search(r"(\[[^\]]*\])\{(?:\d+|\d+,\d+)\}$", row.tail)
    left = r"(?<![_\-]eyJ)" if row.kind == "jwt" else ""
    return left + ahead + tail + (f"(?!{fixed[1]})" if fixed else "")


@cache
def _rows(prefix: str) -> tuple[tuple[Format, re.Pattern[str], re.Pattern[str] | None], ...]:
    """Return the formats of one prefix, compiled when the prefix is first met."""
    return tuple(
        (
            row,
            re.compile(_tail(row), re.ASCII),
            re.compile(rf"(?:(?<![A-Za-z0-9])|(?:{_ESCAPED}))(?P<left>{row.left})\Z", re.ASCII) if row.left else None,
        )
        for row in FORMATS
        if row.prefix == prefix
    )


class Credentials:
    """Find credentials of the known formats."""

    low_scan: str = ""
    scan: str = (
        "(?-u:"
        + _BEGINNING
        + "(?:"
        + "|".join(_scan_of(row) for row in FORMATS if not row.left)
        + "))|(?-u:"
        + "|".join(_scan_of(row) for row in FORMATS if row.left)
        + ")"
    )

    def __init__(self) -> None:
        plain, inner = Letters(), Letters()
        for row in FORMATS:
            (inner if row.left else plain).add(row.prefix, "")
        # The boundary is matched, not looked back at from each letter: what can begin nothing is passed over in one step.
        self._head = re.compile(
            rf"[^A-Za-z0-9](?:(?<=\\)(?:[bfnrt]|u001[bB]\[[0-9;]{{0,12}}m|u[0-9A-Fa-f]{{4}}|x[0-9A-Fa-f]{{2}})|(?<=%)[0-9A-Fa-f]{{2}}|(?<=\x1b)\[[0-9;]{{0,12}}m)?"
            rf"(?P<prefix>{plain.pattern()})",
            re.ASCII,
        )
        self._first = re.compile(f"(?P<prefix>{plain.pattern()})", re.ASCII)
        self._inner = re.compile(inner.pattern(), re.ASCII)

    def spans(self, text: str, low: str, start: int, stop: int) -> Iterator[Span]:  # noqa: ARG002
        """Yield what begins in text[start:stop]; see `prefilter.Detector`."""
        reach = min(len(text), stop + 40)
        begin = start
        while begin < stop:
            head = self._head.search(text, begin - 1, reach) if begin else self._first.match(text) or self._head.search(text, 0, reach)
            if head is None or head.start("prefix") >= stop:
                break
            at = head.start("prefix")
            end = self._end(text, at, head["prefix"])
            if end is None:
                # A shorter prefix may begin at the same place, and another one at the next boundary.
                end, kind = self._shorter(text, at, head["prefix"])
            else:
                end, kind = end
            if not kind:
                yield at, at, ""
                begin = at + 1
                continue
            while kind:
                yield at, end, kind
                # What begins where another ends needs no boundary.
                at = begin = end
                following = self._first.match(text, at)
                found = self._end(text, at, following["prefix"]) if following is not None else None
                end, kind = found or (at, "")
        yield from self._inner_spans(text, start, stop)

    def _end(self, text: str, at: int, prefix: str) -> tuple[int, str] | None:
        place = at + len(prefix)
        for row, pattern, left in _rows(prefix):
            if left is None and (found := pattern.match(text, place)) is not None:
                return found.end(), row.kind
        return None

    def _shorter(self, text: str, at: int, prefix: str) -> tuple[int, str]:
        for length in range(len(prefix) - 1, 0, -1):
            if prefix[:length] in _PREFIXES and (found := self._end(text, at, prefix[:length])) is not None:
                return found
        return at, ""

    def _inner_spans(self, text: str, start: int, stop: int) -> Iterator[Span]:
        reach = min(len(text), stop + _LONGEST_LEFT)
        place = start
        while (mark := self._inner.search(text, place, reach)) is not None:
            at = mark.start()
            place = at + 1
            for row, pattern, left in _rows(mark[0]):
                if left is None or (found := pattern.match(text, mark.end())) is None:
                    continue
                before = left.search(text, max(0, at - _LONGEST_LEFT), at)
                if before is not None and start <= before.start("left") < stop and text[found.end() : found.end() + 1] not in _WORD:
                    yield before.start("left"), found.end(), row.kind
                    place = found.end()
                    break
            else:
                if at < stop:
                    yield at, at, ""


_PREFIXES: Final = frozenset(row.prefix for row in FORMATS if not row.left)
_WORD: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
