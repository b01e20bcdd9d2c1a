"""Times, zones and sizes of the command line; `models/moments.py` has the grammar of times.

A period (day, ISO week, month, year) means its first day for the start of a range and its last day for its end, days
of the chosen time zone, the last one included. `2h ago` means the same as `2h`.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any, Literal
from zoneinfo import ZoneInfo

from ..errors import ErrorCode, ValidationError
from ..models.moments import days_of, exact_moment, moment_kind, read_duration

__all__ = [
    "EXAMPLES",
    "is_duration",
    "parse_duration",
    "parse_size",
    "parse_time",
    "period_before",
    "periods",
    "zone",
]

EXAMPLES = (
    "2h, 7d, 1h30m, today, yesterday, 2026-01-15, 2026-W07, 2026-01, 2026, 2026-01-15T10:30Z, @1768473000"
)

Edge = Literal["start", "end"]

_AGO = re.compile(r"\s*ago$", re.IGNORECASE)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)(?:b|bytes?)?", re.IGNORECASE)


def _refuse(option: str, expected: str, text: str) -> ValidationError:
    return ValidationError(f"{option}: expected {expected}, got {text!r}", code=ErrorCode.INVALID_OPTIONS)


def zone(name: str, *, option: str = "--tz") -> tzinfo:
    """Return a time zone by its IANA name, or `local` for this machine's.

    Raises:
        ValidationError: No such zone is known.
    """
    if name.upper() in {"UTC", "Z"}:
        return UTC
    if name == "local":
        return _local_zone()
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise _refuse(option, "a time zone like UTC, Europe/Berlin or local", name) from None


def _local_zone() -> tzinfo:
    import os
    from pathlib import Path

    named = os.environ.get("TZ", "").lstrip(":")
    if not named:
        # The link's target is the only place that holds the zone's name on most systems.
        _, _, named = str(Path("/etc/localtime").resolve()).partition("zoneinfo/")
    try:
        return ZoneInfo(named) if named else UTC
    except (KeyError, ValueError, OSError):
        return UTC


def is_duration(text: str) -> bool:
    """Say whether a text is a duration such as `7d`."""
    return moment_kind(text.strip()) == "ago"


def parse_duration(text: str, *, option: str = "duration") -> timedelta:
    """Read a duration such as `90s`, `2h`, `1h30m`, `7d` or `2w`.

    Raises:
        ValidationError: It is none.
    """
    try:
        return read_duration(text.strip())
    except ValueError:
        raise _refuse(option, "a duration like 90s, 15m, 2h, 1h30m, 7d or 2w", text) from None
    except OverflowError:
        raise _refuse(option, "a duration of at most 999999999 days", text) from None


def parse_size(text: str, *, option: str = "size") -> int:
    """Read a size such as `500B`, `64KB`, `100MiB` or `2G`; k, M, G, T are powers of 1000, Ki of 1024.

    A number without a unit is none: 5 may be meant as gigabytes.

    Raises:
        ValidationError: It is none.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None or (text.strip()[-1].isdigit() and float(match[1])):
        raise _refuse(option, "a size like 500B, 64KB, 100MiB or 2G, with its unit", text)
    number, prefix, binary = match.groups()
    base = 1024 if binary else 1000
    try:
        return int(float(number) * base ** ("kmgt".index(prefix.lower()) + 1 if prefix else 0))
    except OverflowError:
        raise _refuse(option, "a size that a disk can have", text) from None


def parse_time(text: str, *, edge: Edge, now: datetime, tz: tzinfo, option: str = "time") -> date | datetime:
    """Read a time as the start or the end of a range.

    Args:
        text: What was typed; see `EXAMPLES`.
        edge: Which end of the range it is.
        now: The present moment, aware.
        tz: The zone of days and of times without an offset.
        option: What to call it in an error.

    Returns:
        A date where a whole day is meant (as an end, that day is included), else an aware moment.

    Raises:
        ValidationError: It is not a time.
    """
    typed = _AGO.sub("", text.strip())
    kind = moment_kind(typed)
    try:
        if kind == "ago":
            return now - read_duration(typed)
        if kind in {"time", "epoch"}:
            moment = exact_moment(typed, kind)
            return moment.replace(tzinfo=tz) if moment.tzinfo is None else moment
        if typed.lower() == "now":
            return now
        if kind is not None:
            return days_of(typed, kind, now.astimezone(tz).date())[edge == "end"]
    except OverflowError:
        pass
    raise _refuse(option, f"a time like {EXAMPLES}", text)


def period_before(text: str) -> tuple[date, date] | None:
    """Return the first and last day of the day, week, month or year before one; None where the text is none."""
    kind = moment_kind(text.strip())
    if kind not in {"day", "week", "month", "year"}:
        return None
    first, last = days_of(text.strip(), kind, date.min)
    if first == date.min:
        return None
    before = first - timedelta(days=1)
    if kind == "year":
        return date(before.year, 1, 1), before
    return (before.replace(day=1) if kind == "month" else before - (last - first)), before


Span = tuple[date | datetime | None, date | datetime | None]


def periods(before: str | None, after: str | None, *, now: datetime, tz: str) -> tuple[Span, Span]:
    """Read which two periods are to be compared.

    Args:
        before: A period (`2026-01`, `2026-W03`, `2026-01-15`), two times joined by `..`, or, alone, a duration: the
            last `7d` against those before; a period alone is compared with the one before it. None: `7d`.
        after: The second period; None: see `before`.
        now: The present moment.
        tz: The zone of days.

    Returns:
        First and last moment or day of each.

    Raises:
        ValidationError: One is no period.
    """
    if after is not None and before is not None:
        return _span(before, now, tz), _span(after, now, tz)
    named = before if before is not None else "7d"
    if is_duration(named):
        length = parse_duration(named, option="PERIOD")
        return (now - 2 * length, now - length), (now - length, now)
    previous = period_before(named)
    if previous is None:
        raise ValidationError(
            f"diff: expected two periods, one period like 2026-01 or 2026-W07, or a duration like 7d, got {named!r}",
            code=ErrorCode.INVALID_OPTIONS,
        )
    return previous, _span(named, now, tz)


def _span(text: str, now: datetime, tz: str) -> Span:
    start, dots, end = text.partition("..")

    def moment(part: str, edge: Any) -> date | datetime | None:
        return parse_time(part, edge=edge, now=now, tz=zone(tz), option="PERIOD") if part else None

    if dots:
        return moment(start, "start"), moment(end, "end")
    if is_duration(text):
        return moment(text, "start"), now
    return moment(text, "start"), moment(text, "end")
