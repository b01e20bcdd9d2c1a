"""Where times and ids come from, so that tests can pass in their own.

Wall-clock times are aware UTC; durations come from a monotonic clock in seconds; ids are random UUIDs (version 4).
A forked child draws from a generator of its own.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

__all__ = ["Clock", "clock", "format_micros", "format_time", "using_clock"]


class Clock:
    """The system's clock and a source of random ids; subclass it to pass in your own."""

    def __init__(self) -> None:
        # Seeded by the operating system; ids need to be unique, not unguessable, and getrandbits is five times
        # as fast as a system call an id.
        self._bits = random.Random().getrandbits  # noqa: S311

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
        """Return a fresh UUID, version 4, in lower case with hyphens."""
        # Version 4 in bits 76 to 79, the variant 10 in bits 62 and 63.
        bits = self._bits(128) & ~(0xF << 76 | 0x3 << 62) | (0x4 << 76 | 0x2 << 62)
        digits = f"{bits:032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def reseed(self) -> None:
        """Start a new sequence of ids, in a forked child."""
        self._bits = random.Random().getrandbits  # noqa: S311


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
    # Not strftime, which writes the year 999 with three digits.
    return f"{value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


_last_second: tuple[int, str] = (-1, "")


def format_micros(micros: int) -> str:
    """Write whole microseconds since 1970 as `format_time` would; the text of the last second is kept."""
    global _last_second  # noqa: PLW0603  a cache of one, replaced whole, so that threads see one or the other
    seconds, fraction = divmod(micros, 1_000_000)
    known, text = _last_second
    if known != seconds:
        text = f"{datetime.fromtimestamp(seconds, UTC).isoformat()[:19]}."
        _last_second = (seconds, text)
    return f"{text}{fraction:06d}Z"


def _after_fork() -> None:
    _clock.reseed()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
