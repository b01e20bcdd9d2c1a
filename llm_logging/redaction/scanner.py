"""Finding what is to go in a text or a serialised line: quick tests for all detectors at once, then each where it must.

Almost every line holds nothing, so the test that says so is what costs. It runs over the bytes a few times, each time
for as many literals as Rust's `regex` finds in one stride, and over a lower-case copy for what comes in any case.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Final

from ..errors import ConfigurationError
from .detectors.assignments import Assignments
from .detectors.command_lines import Commands
from .detectors.credentials import Credentials, InnerCredentials
from .detectors.pii import PERSONAL, Personal
from .detectors.private_keys import PrivateKeys
from .detectors.sentences import Prose
from .detectors.urls import Schemes, UrlSecrets, UrlSignatures
from .matching.key_names import added_scan, line_scans
from .matching.prefilter import (
    BLOCK,
    OVERLAP,
    Detector,
    Scan,
    Span,
    any_of,
    cells,
    is_text,
    lower,
    matcher,
    regions,
    suspects,
)

__all__ = ["PATTERN_SETS", "Examiner"]

PATTERN_SETS: Final = ("credentials", *PERSONAL)
_SHORT: Final = 256
# The most secrets of one sort that are told apart in one block.
_DENSE: Final = 40
# Each look at what may be a secret costs as much as the fast test of a thousand letters. A text has so many looks, and one more
# for each so many letters, to be spent wherever they are needed; then a block has these only. So time stays linear in the text.
_LOOKS: Final = 65_536
_LOOK_SHARE: Final = 256
_LAST_LOOKS: Final = 4
_WORD = re.compile(r"\S*+")


class Examiner:
    """Look for secrets in text by their look, and in lines by the names of keys too.

    Args:
        sets: Names of `PATTERN_SETS`.
        names: Key names that were added, compact.

    Raises:
        ConfigurationError: A set is not known.
    """

    def __init__(self, sets: Iterable[str], names: Iterable[str] = ()) -> None:
        detectors = _detectors(sets)
        self._detectors: tuple[tuple[Detector, tuple[Scan, ...], Scan | None, Scan | None], ...] = tuple(
            (
                detector,
                tuple(map(matcher, _scans([detector]))),
                matcher(detector.whole) if detector.whole else None,
                any_of(detector.telling) if detector.telling else None,
            )
            for detector in detectors
        )
        raw = [detector for detector in detectors if not detector.lowered]
        lowered = [detector for detector in detectors if detector.lowered]
        self._raw: Scan = any_of(_scans(raw)) if raw else _never
        self._low: Scan = any_of(_scans(lowered)) if lowered else _never
        self._line_low: Scan = any_of(_line_scans(lowered, names))
        # For short texts the number of tests costs more than their speed.
        together = [*_scans(raw), *(f"(?i:{scan})" for scan in _scans(lowered))]
        self._any: Scan = matcher("|".join(together)) if together else _never

    def clean(self, line: str | bytes) -> bool:
        """Say whether a serialised line certainly holds nothing; see `Redactor.clean`."""
        if self._raw(line):
            return False
        if type(line) is str and not line.isascii():
            try:
                line = line.encode()
            except UnicodeEncodeError:
                return False
        if self._line_low(line.lower()):
            return False
        # What is no Unicode text cannot be scanned.
        return type(line) is str or line.isascii() or is_text(line)

    def spans(self, text: str) -> tuple[list[Span], bool]:
        """Return what is to go from a text, by its look alone, and whether anything was suspected at all."""
        if len(text) <= _SHORT:
            if not self._any(text) and (text.isascii() or is_text(text)):
                return [], False
            low = lower(text)
        else:
            if not text.isascii() and not is_text(text):
                return self._search(text, lower(text)), True
            low = lower(text)
            if not self._raw(text) and not self._low(low):
                return [], False
        return self._search(text, low), True

    def _search(self, text: str, low: str) -> list[Span]:
        found: list[Span] = []
        looks = _LOOKS + len(text) // _LOOK_SHARE
        # From where on a block goes as a whole: what others would find there is hidden already.
        hidden: dict[int, int] = {}
        # How often a block was looked at since there were looks for all.
        last: dict[int, int] = {}
        for detector, scans, whole, telling in self._detectors:
            searched = low if detector.lowered else text
            done = 0
            for start, stop in _merged([regions(scan, searched) for scan in scans]):
                for begin in range(start, stop, BLOCK):
                    end = min(begin + BLOCK, stop, hidden.get(begin, stop))
                    if end > done and end > begin:
                        first = max(begin, done)
                        if whole is not None and not suspects(whole, searched[first : end + OVERLAP]):
                            continue
                        if telling is None or end - first <= _SHORT:
                            spans = detector.spans(text, low, first, end)
                        else:
                            spans = _near(detector, telling, text, low, first, end)
                            # Finding out where to look takes as long as a look.
                            looks -= 1
                        vain = -1 if looks > 0 else last.get(begin, 0)
                        spent, done, rest = _take(spans, first, vain, found)
                        looks -= spent
                        if vain >= 0:
                            last[begin] = vain + spent
                        if rest >= 0:
                            hidden[begin] = rest
                            done = _hide(text, rest, end, done, found)
        return found


def _near(detector: Detector, telling: Scan, text: str, low: str, start: int, stop: int) -> Iterator[Span]:
    """Yield what a detector finds in a block, looking only where something tells of it; each such place is a look at least."""
    done = start
    for cell, end in cells(telling, detector.near, low if detector.lowered else text, start, stop):
        if end <= done:
            continue
        begin = first = max(cell, done)
        for span in detector.spans(text, low, begin, end):
            begin = -1
            done = max(done, span[1])
            yield span
        if begin >= 0:
            yield first, first, ""


def _take(spans: Iterable[Span], start: int, before: int, found: list[Span]) -> tuple[int, int, int]:
    """Add what a detector finds in one block; return how often it looked, where the last one ends, and where it gave up or -1.

    Args:
        spans: What it finds.
        start: Where it begins.
        before: How many of the block's last looks were spent by others; negative where there are looks for all.
        found: Takes what is to go.
    """
    done = start
    secrets = vain = 0
    for span in spans:
        begin, end, kind = span
        done = max(done, end)
        if kind:
            secrets += 1
        else:
            vain += 1
        if secrets > _DENSE or (before >= 0 and before + secrets + vain > _LAST_LOOKS):
            return secrets + vain, done, begin
        if kind:
            found.append(span)
    return secrets + vain, done, -1


def _hide(text: str, start: int, stop: int, done: int, found: list[Span]) -> int:
    """Hide the rest of a block as one, with the line that it ends in: so much in so little text is no log of a program's."""
    line_end = text.find("\n", stop, stop + OVERLAP)
    rest = _WORD.match(text, min(len(text), stop + OVERLAP) if line_end < 0 else line_end)
    end = max(rest.end() if rest is not None else stop, done, PrivateKeys.end_of_last(text, start, stop))
    found.append((start, end, "secrets"))
    return end


def _never(_text: str | bytes) -> bool:
    return False


def _merged(parts: Sequence[Iterable[tuple[int, int]]]) -> Iterable[tuple[int, int]]:
    if len(parts) == 1:
        return parts[0]
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(chain.from_iterable(parts)):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged


def _scans(detectors: Iterable[Detector]) -> list[str]:
    chosen = list(detectors)
    few = "|".join(detector.few for detector in chosen if detector.few)
    return [scan for detector in chosen for scan in detector.scans] + ([few] if few else [])


def _line_scans(lowered: Sequence[Detector], names: Iterable[str]) -> list[str]:
    words, keys = line_scans()
    scans = _scans(lowered)
    if len(scans) >= 2:
        # What is looked for in text and among keys begins alike: one search finds both.
        scans = [f"{words}|{scans[0]}", "|".join([keys, *scans[1:]])]
    else:
        scans = [words, keys, *scans]
    added = added_scan(names)
    return [*scans, added] if added else scans


def _detectors(sets: Iterable[str]) -> list[Detector]:
    chosen: list[Detector] = []
    for name in sets:
        if name == "credentials":
            chosen += [
                Credentials(),
                InnerCredentials(),
                PrivateKeys(),
                UrlSecrets(),
                UrlSignatures(),
                Schemes(),
                Assignments(),
                Commands(),
                Prose(),
            ]
        elif name in PERSONAL:
            chosen.append(Personal(name))
        else:
            raise ConfigurationError(
                f"redaction patterns: expected any of {', '.join(PATTERN_SETS)}, got {name!r}"
            )
    return chosen
