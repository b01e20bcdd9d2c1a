"""Times as people write them: one grammar for the command line, `StatsOptions` and filters.

    form                                          kind                     meaning
    30s  15m  2h  7d  4w  1h30m  1.5h             ago                      so long before now
    now                                           word                     this moment
    2026-01-15T10:30:00Z  2026-01-15 10:30        time                     exact; without an offset in the question's zone
    @1768473000                                   epoch                    exact: seconds since 1970
    today  yesterday                              word                     a day of the question's zone
    2026-01-15  2026-W03  2026-01  2026           day week month year      its first day as a start, its last as an end

Words and units may be in any case. What a zone makes of a day is decided in `reader/sql/period.py`.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Final

__all__ = ["MOMENT_FORMS", "Moment", "days_of", "exact_moment", "moment_kind", "read_duration"]

Moment = datetime | date | str

MOMENT_FORMS: Final = (
    "a day (2026-01-15), month (2026-01), ISO week (2026-W03), year (2026), time (2026-01-15T10:30:00Z), "
    "a span back from now (30s, 15m, 2h, 7d, 4w), today, yesterday or now"
)
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SPAN: Final = r"\d+(?:\.\d+)?\s*[smhdw]"
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])", re.IGNORECASE)
_DURATION: Final = re.compile(rf"{_SPAN}(?:\s*{_SPAN})*", re.IGNORECASE)
# ISO 8601: extended, basic, and by its week.
_DAY: Final = r"\d{4}-\d{2}-\d{2}|\d{8}|\d{4}-W\d{2}-\d"
_MOMENT: Final = re.compile(
    rf"""(?P<ago>{_DURATION.pattern})
    | (?P<year>\d{{4}})
    | (?P<month>\d{{4}}-\d{{2}})
    | (?P<week>\d{{4}}-?W\d{{2}})
    | (?P<day>{_DAY})
    | (?P<word>now|today|yesterday)
    | (?P<epoch>@-?\d{{1,15}}(?:\.\d+)?)
    | (?P<time>(?:{_DAY})[T ]\d{{2}}.*)""",
    re.VERBOSE | re.IGNORECASE,
)


def moment_kind(text: str) -> str | None:
    """Name the form that a text has; see the module's table.

    Args:
        text: Without spaces around it.

    Returns:
        None where it has none of them, or names a day that no calendar has.
    """
    match = _MOMENT.fullmatch(text)
    kind = match.lastgroup if match is not None else None
    try:
        if kind in {"year", "month", "week", "day"}:
            days_of(text, kind, date.min)
        elif kind in {"time", "epoch"}:
            exact_moment(text, kind)
    except (ValueError, OverflowError, OSError):
        return None
    return kind


def days_of(text: str, kind: str | None, today: date) -> tuple[date, date]:
    """Return the first and the last day of a text that means days.

    Args:
        text: `2026-01`, say.
        kind: Its form.
        today: What `today` means.
    """
    if kind == "word":
        day = today if text.lower() == "today" else today - timedelta(days=1)
        return day, day
    if kind == "year":
        return date(int(text), 1, 1), date(int(text), 12, 31)
    if kind == "month":
        first = date.fromisoformat(f"{text}-01")
        last = (
            date(first.year, 12, 31)
            if first.month == 12
            else first.replace(month=first.month + 1) - timedelta(days=1)
        )
        return first, last
    if kind == "week":
        monday = date.fromisocalendar(int(text[:4]), int(text[-2:]), 1)
        return monday, monday + timedelta(days=6)
    day = date.fromisoformat(text)
    return day, day


def exact_moment(text: str, kind: str | None) -> datetime:
    """Return the moment of a text of the forms `time` and `epoch`; naive where the text names no offset."""
    return datetime.fromtimestamp(float(text[1:]), UTC) if kind == "epoch" else datetime.fromisoformat(text)


def read_duration(text: str) -> timedelta:
    """Read a duration such as `90s`, `2h`, `1h30m`, `7d` or `2w`.

    Raises:
        ValueError: It is none.
        OverflowError: It is longer than a `timedelta` holds.
    """
    if not _DURATION.fullmatch(text):
        raise ValueError(f"expected a duration like 90s, 15m, 2h, 1h30m, 7d or 2w, got {text!r:.120}")
    return timedelta(
        seconds=sum(float(number) * _UNITS[unit.lower()] for number, unit in _PART.findall(text))
    )
