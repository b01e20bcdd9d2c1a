"""Finding what is to go in a text or a serialised line: one quick test for all detectors, then each where it must.

Almost every line holds nothing, so the test that says so is what costs: all detectors' scans are one pattern, which Rust's `regex`
runs over the bytes once. Only a window in which it finds something is given to the detectors. Each look at what may be a secret
costs as much as the quick test of a thousand letters; a text has so many looks in proportion to its length. Where they are spent,
the rest of a window goes as a whole. So time stays linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from ..errors import ConfigurationError
from .detectors.command_lines import Commands
from .detectors.credentials import Credentials
from .detectors.fields import Fields
from .detectors.manifests import Manifests
from .detectors.pii import PERSONAL, Personal
from .detectors.private_keys import PrivateKeys
from .detectors.sql import Statements
from .detectors.urls import Schemes, UrlSecrets, UrlSignatures
from .matching.key_names import added_scan, line_scan, short_line_scan, structured_scan
from .matching.prefilter import OVERLAP, Detector, Scan, Span, is_text, lower, matcher, suspects, windows

__all__ = ["PATTERN_SETS", "Examiner"]

PATTERN_SETS: Final = ("credentials", *PERSONAL)
# How many looks a text has, and one more for each so many letters; then a window has the last few only.
_LOOKS: Final = 256
_LOOK_SHARE: Final = 128
_LAST_LOOKS: Final = 3
# How many characters behind its beginning a match of a scan has ended; that of a command's, whose option may be far.
_NEAR: Final = 256
_NEAR_COMMANDS: Final = 700
_WORD = re.compile(r"\S*+")
# JSON may write any letter as an escape; what is not ASCII is looked at, not searched for.
_ESCAPED_LETTER: Final = r"\\u(?:00[89a-f]|0[1-9a-f]|[1-9a-f])[0-9a-f]"


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
        self._detectors: tuple[tuple[Detector, Scan], ...] = tuple(
            (detector, _matcher([detector.scan])) for detector in detectors
        )
        # Commands apart: what they have in common with the others would take the automaton many states.
        raw = [detector.scan for detector in detectors if not isinstance(detector, Commands)]
        self._raw: Scan = _matcher(raw)
        self._line: Scan = _matcher([*raw, short_line_scan()])
        self._commands: Scan = _matcher([detector.scan for detector in detectors if isinstance(detector, Commands)])
        low = [detector.low_scan for detector in detectors]
        self._low: Scan = _matcher(low)
        self._structured: Scan = _matcher([structured_scan(), added_scan(names), r"\\u[0-9a-f]{4}"])
        self._line_low: Scan = _matcher([*low, line_scan(), added_scan(names), _ESCAPED_LETTER])

    def clean(self, line: str | bytes) -> bool:
        """Say whether a serialised line certainly holds nothing; see `Redactor.clean`."""
        if self._commands(line) or self._line_low(line.lower()) or self._line(line):
            return False
        # What is no Unicode text cannot be scanned.
        return line.isascii() or is_text(line)

    def spans(self, text: str) -> tuple[list[Span], bool]:
        """Return what is to go from a text, by its look alone, and whether anything was suspected at all."""
        low = lower(text)
        if self._commands(text) or self._low(low) or self._raw(text) or not (text.isascii() or is_text(text)):
            return self._search(text, low), True
        return [], False

    def structured(self, text: str) -> bool:
        """Say whether a text may hold a secret name before an object, a list or a literal, or letters written as escapes."""
        return self._structured(text.lower())

    def _search(self, text: str, low: str) -> list[Span]:
        raw, lowered, commands = self._raw, self._low, self._commands

        def holds(start: int, stop: int) -> bool:
            return (
                lowered(low[start : stop + _NEAR])
                or suspects(raw, text[start : stop + _NEAR])
                or commands(text[start : stop + _NEAR_COMMANDS])
            )

        found: list[Span] = []
        looks = _LOOKS + len(text) // _LOOK_SHARE
        done = [0] * len(self._detectors)
        hidden = 0
        for start, stop in windows(holds, 0, len(text)):
            end, vain = stop, 0
            in_raw, in_low = suspects(raw, text[start : stop + _NEAR]), lowered(low[start : stop + _NEAR])
            for number, (detector, scan) in enumerate(self._detectors):
                first = max(start, done[number], hidden)
                if first >= end:
                    continue
                if type(detector) is Commands:
                    if not commands(text[first : end + _NEAR_COMMANDS]):
                        continue
                elif not (detector.low_scan and in_low) and not (in_raw and suspects(scan, text[first : end + _NEAR])):
                    continue
                vain += 1
                for span in detector.spans(text, low, first, end):
                    looks -= 1
                    vain += 1
                    done[number] = max(done[number], span[1])
                    if looks < 0 and vain > _LAST_LOOKS:
                        end = span[0]
                        break
                    if span[2]:
                        found.append(span)
            if end < stop:
                hidden = _hide(text, max(end, start), stop, found)
        return found


def _hide(text: str, start: int, stop: int, found: list[Span]) -> int:
    """Hide the rest of a window as one, with the line that it ends in: so much in so little text is no log of a program's."""
    line_end = text.find("\n", stop, stop + OVERLAP)
    rest = _WORD.match(text, min(len(text), stop + OVERLAP) if line_end < 0 else line_end)
    end = max(rest.end() if rest is not None else stop, PrivateKeys.end_of_last(text, start, stop))
    found.append((start, end, "secrets"))
    return end


def _never(_text: str | bytes) -> bool:
    return False


def _matcher(scans: Iterable[str]) -> Scan:
    joined = "|".join(f"(?:{scan})" for scan in scans if scan)
    return matcher(joined) if joined else _never


def _detectors(sets: Iterable[str]) -> list[Detector]:
    chosen: list[Detector] = []
    for name in sets:
        if name == "credentials":
            chosen += [
                Credentials(),
                PrivateKeys(),
                UrlSecrets(),
                UrlSignatures(),
                Schemes(),
                Manifests(),
                Statements(),
                Commands(),
                Fields(),
            ]
        elif name in PERSONAL:
            chosen.append(Personal(name))
        else:
            raise ConfigurationError(
                f"redaction patterns: expected any of {', '.join(PATTERN_SETS)}, got {name!r}"
            )
    return chosen
