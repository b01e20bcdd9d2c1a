"""Passwords in statements of SQL: what follows is one whatever it looks like, letters alone too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from ..matching.prefilter import Span
from ..matching.values import stands_for_another

__all__ = ["Statements"]

_HEAD: Final = (
    r"(?:identified (?:with [^ ]{1,40} )?(?:by|as)|(?:with|encrypted|set) password(?: for [^ ]{1,80})?)(?: =)? ?\\*['\"]"
)


class Statements:
    """Find passwords of users in SQL."""

    scan: str = f"(?i:{_HEAD})"
    low_scan: str = ""
    _pattern = re.compile(rf"{_HEAD}(?P<value>[^\s\"'`\\]{{1,128}}+)")

    def spans(self, text: str, low: str, start: int, stop: int) -> Iterator[Span]:
        """Yield what begins in text[start:stop]; see `prefilter.Detector`."""
        for match in self._pattern.finditer(low, start, min(len(text), stop + 320)):
            if match.start() >= stop:
                return
            first, end = match.span("value")
            yield (first, end, "") if stands_for_another(text[first:end]) else (first, end, "password")
