"""Rotation periods: hours, days, weeks, with boundaries in UTC or local time.

A boundary depends on the time of day only, not on when a process started, so all processes of a log rotate at the same time.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from ...errors import ConfigurationError
from ...option_values import switched

__all__ = ["Interval", "interval_from"]

_FORM = re.compile(r"(\d+)\s*([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


class Interval:
    """A period of fixed length whose boundaries all processes agree on.

    Args:
        text: `30m`, `1h`, `1d`, `1w` or `midnight` (the same as `1d`).
        utc: Whether days begin at midnight UTC; else at local midnight.

    Raises:
        ConfigurationError: The text is not of this form, or the period is 0.
    """

    def __init__(self, text: str, *, utc: bool = True) -> None:
        match = _FORM.fullmatch("1d" if text == "midnight" else str(text).strip().lower())
        if match is None or not int(match[1]):
            raise ConfigurationError(
                f"rotate_interval: expected a number and one of s, m, h, d, w (as in '1h' or '7d'), or 'midnight', got {text!r}"
            )
        self.seconds = int(match[1]) * _SECONDS[match[2]]
        self.utc = utc

    def start(self, at: float) -> float:
        """Return when the period that holds `at` began, in the same count (UTC, or local wall-clock seconds)."""
        if not self.utc:
            local = datetime.fromtimestamp(at, UTC).astimezone()
            at += (local.utcoffset() or timedelta()).total_seconds()
        # Day 0 of the count was a Thursday; weeks begin on Monday.
        shift = 4 * 86400 if self.seconds % 604800 == 0 else 0
        return (at - shift) // self.seconds * self.seconds + shift

    def __repr__(self) -> str:
        return f"Interval({self.seconds} s, {'UTC' if self.utc else 'local'})"


def interval_from(option: Any, *, utc: bool) -> Interval | None:
    """Return the interval that a configuration names; None for none, also for what it calls `off`."""
    return None if option is None or switched(option) is False else Interval(option, utc=utc)
