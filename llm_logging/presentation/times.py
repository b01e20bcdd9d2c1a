"""Times as people type them: `2h`, `yesterday`, `2026-W07`, `2026-01`, `2026-01-15`, `2026-01-15T10:30+01:00`.

A period (day, ISO week, month, year) means its first day for the start of a range and its last day for its end, days
of the chosen time zone, the last one included. A moment (ISO time, `2h` ago, `now`) is exact; one without an offset
is the time on the clock of that zone.
"""

from __future__ import annotations

import calendar
import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any, Literal
from zoneinfo import ZoneInfo

from ..errors import ErrorCode, ValidationError

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

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+")
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_WEEK = re.compile(r"(\d{4})-?W(\d{2})", re.IGNORECASE)
_MONTH = re.compile(r"(\d{4})-(\d{2})")
_YEAR = re.compile(r"\d{4}")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_EPOCH = re.compile(r"@(-?\d+(?:\.\d+)?)")
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
    return _DURATION.fullmatch(text.strip().lower().replace(" ", "")) is not None


def parse_duration(text: str, *, option: str = "duration") -> timedelta:
    """Read a duration such as `90s`, `2h`, `1h30m`, `7d` or `2w`.

    Raises:
        ValidationError: It is none.
    """
    compact = text.strip().lower().replace(" ", "")
    if not _DURATION.fullmatch(compact):
        raise _refuse(option, "a duration like 90s, 15m, 2h, 1h30m, 7d or 2w", text)
    try:
        return timedelta(seconds=sum(float(n) * _UNITS[unit] for n, unit in _PART.findall(compact)))
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
    typed = text.strip()
    today = now.astimezone(tz).date()
    lowered = typed.lower().removesuffix(" ago").removesuffix("ago").strip()
    try:
        if lowered == "now":
            return now
        if lowered in {"today", "yesterday"}:
            return today - timedelta(days=lowered == "yesterday")
        if _DURATION.fullmatch(lowered.replace(" ", "")):
            return now - parse_duration(lowered)
        if epoch := _EPOCH.fullmatch(typed):
            return datetime.fromtimestamp(float(epoch[1]), UTC)
        period = _period(typed)
        if period is not None:
            return period[0] if edge == "start" else period[1]
        moment = datetime.fromisoformat(typed)
    except (ValueError, OverflowError, OSError):
        raise _refuse(option, f"a time like {EXAMPLES}", text) from None
    return moment.replace(tzinfo=tz) if moment.tzinfo is None else moment


def period_before(text: str) -> tuple[date, date] | None:
    """Return the first and last day of the day, week, month or year before one; None where the text is none."""
    try:
        period = _period(text.strip())
    except (ValueError, OverflowError):
        return None
    if period is None:
        return None
    if period[0] == date.min:
        return None
    last = period[0] - timedelta(days=1)
    if _YEAR.fullmatch(text.strip()):
        return date(last.year, 1, 1), last
    if _MONTH.fullmatch(text.strip()):
        return last.replace(day=1), last
    return last - (period[1] - period[0]), last


def _period(text: str) -> tuple[date, date] | None:
    if _DAY.fullmatch(text):
        day = date.fromisoformat(text)
        return day, day
    if week := _WEEK.fullmatch(text):
        monday = date.fromisocalendar(int(week[1]), int(week[2]), 1)
        return monday, monday + timedelta(days=6)
    if month := _MONTH.fullmatch(text):
        year, number = int(month[1]), int(month[2])
        return date(year, number, 1), date(year, number, calendar.monthrange(year, number)[1])
    if _YEAR.fullmatch(text):
        return date(int(text), 1, 1), date(int(text), 12, 31)
    return None


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
