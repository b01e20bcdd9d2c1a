"""Where times and ids come from, so that tests can pass in their own.

Wall-clock times are aware UTC; durations come from a monotonic clock in seconds; ids are UUIDs.
A forked child starts a sequence of its own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count

from .runtime.forks import at_fork, check_fork

__all__ = ["Clock", "clock", "format_micros", "format_time", "using_clock"]


class Clock:
    """The system's clock and a source of random ids; subclass it to pass in your own."""

    def __init__(self) -> None:
        self.reseed()

    def now(self) -> datetime:
        """Return the time of day, aware UTC."""
        return datetime.now(UTC)

    def created(self, record_created: float) -> float:
        """Return the time of a log record in seconds since 1970; the system's clock takes the record's own."""
        return record_created

    def monotonic(self) -> float:
        """Return seconds that never run backwards, from an arbitrary start."""
        return time.perf_counter()

    def new_id(self) -> str:
        """Return a fresh UUID in the form of version 4, in lower case with hyphens.

        The first 74 bits are random for each process, the last 48 count from a random number: as unique as wholly random
        ones, a quarter of their price, and an index of them compresses. They are names, not secrets.
        """
        check_fork()
        return f"{self._id_prefix}{next(self._id_numbers) & 0xFFFFFFFFFFFF:012x}"

    def reseed(self) -> None:
        """Start a new sequence of ids, in a forked child."""
        digits = os.urandom(10).hex()
        variant = "89ab"[int(digits[15], 16) & 3]
        self._id_prefix = f"{digits[:8]}-{digits[8:12]}-4{digits[12:15]}-{variant}{digits[16:19]}-"
        self._id_numbers = count(int.from_bytes(os.urandom(6), "big"))


_clock = Clock()


def clock() -> Clock:
    """Return the clock in use."""
    return _clock


@contextmanager
def using_clock(other: Clock) -> Iterator[Clock]:
    """Use another clock inside the block, in every thread; for tests."""
    global _clock  # noqa: PLW0603  one clock a process is what a test wants to replace
    before, _clock = _clock, other
    try:
        yield other
    finally:
        _clock = before


def format_time(value: datetime) -> str:
    """Write an aware time as ISO 8601 in UTC with six fractional digits and `Z`."""
    if value.tzinfo is UTC:
        return f"{value.isoformat(timespec='microseconds')[:26]}Z"
    # Not strftime, which writes the year 999 with three digits.
    return f"{value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


_seconds: dict[int, str] = {}
# What was asked for last, and what the answer was: a record's time is written twice, in its envelope and as its end.
_latest: tuple[int, str] = (0, "1970-01-01T00:00:00.000000Z")


def format_micros(micros: int) -> str:
    """Write whole microseconds since 1970 as `format_time` would; the text of recent seconds is kept."""
    global _latest  # noqa: PLW0603  one tuple, replaced as a whole: any thread may
    last, text = _latest
    if micros == last:
        return text
    second, fraction = divmod(micros, 1_000_000)
    known = _seconds.get(second)
    if known is None:
        if len(_seconds) > 512:
            _seconds.clear()
        known = _seconds[second] = f"{datetime.fromtimestamp(second, UTC).isoformat()[:19]}."
    text = f"{known}{fraction:06d}Z"
    _latest = (micros, text)
    return text


def _after_fork() -> None:
    _clock.reseed()


at_fork(_after_fork)
