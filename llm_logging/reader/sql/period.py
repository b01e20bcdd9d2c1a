"""Which time a question covers, and the buckets of a time zone.

A zone is turned into a short list of offsets, each with the UTC moment since when it holds; so a row's local time is
one addition, and a repeated or missing hour needs no special case.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from ...clock import format_time
from ...errors import ErrorCode, ValidationError
from ...models.moments import Moment, days_of, exact_moment, moment_kind, read_duration
from ...models.query import StatsOptions
from ...models.stats import Period

__all__ = [
    "WEEKDAYS",
    "Offset",
    "bucket_label",
    "bucket_sql",
    "buckets_between",
    "resolve_period",
    "zone_offsets",
]

_HOUR: Final = 3_600_000_000
_RECURRING: Final = {"weekday": "isodow", "hour_of_day": "hour"}
WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
# A time beyond what a calendar holds means its end: `9999-12-31`, a time zone east of it, a thousand centuries ago.
_FIRST: Final = datetime.min.replace(tzinfo=UTC)
_LAST: Final = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Offset:
    """A zone's distance from UTC, in microseconds, since a UTC moment; None: since ever."""

    since: datetime | None
    micros: int


def resolve_period(options: StatsOptions, now: datetime) -> Period:
    """Turn the dates of a question into moments.

    Args:
        options: Their bare dates are days of its time zone; a bare `to_date` includes itself.
        now: Aware; what `7d` and `today` count from.

    Raises:
        ValidationError: The period ends before it starts (`INVALID_OPTIONS`).
    """
    zone = ZoneInfo(options.time_zone)
    start = _moment(options.from_date, zone, now, end=False)
    end = _moment(options.to_date, zone, now, end=True)
    # A day, week, month or year that is over when the start comes ends before it, though it ends where the start is.
    last = _moment(options.to_date, zone, now, end=False)
    if start is not None and end is not None and last is not None and (end, last) < (start, start):
        raise ValidationError(
            f"period: expected an end at or after its start, {format_time(start)}, got {format_time(last)}",
            code=ErrorCode.INVALID_OPTIONS,
        )
    return Period(
        from_date=_text(options.from_date),
        to_date=_text(options.to_date),
        time_zone=options.time_zone,
        start=start,
        end=end,
    )


def _text(value: Moment | None) -> str | None:
    if isinstance(value, datetime):
        return value.isoformat() if value.tzinfo is None else format_time(value)
    return value.isoformat() if isinstance(value, date) else value


def _moment(value: Moment | None, zone: ZoneInfo, now: datetime, *, end: bool) -> datetime | None:
    if value is None:
        return None
    try:
        return _exact(value, zone, now, end=end)
    except OverflowError:
        year = value[:4] if isinstance(value, str) else str(value.year)
        return _LAST if year == "9999" and moment_kind(str(value)) != "ago" else _FIRST


def _exact(value: Moment, zone: ZoneInfo, now: datetime, *, end: bool) -> datetime:
    if isinstance(value, datetime):
        return _aware(value, zone)
    if isinstance(value, date):
        return _midnight(value + timedelta(days=1) if end else value, zone)
    kind = moment_kind(value)
    if kind == "ago":
        return now - read_duration(value)
    if kind in {"time", "epoch"}:
        return _aware(exact_moment(value, kind), zone)
    if value.lower() == "now":
        return now
    first, last = days_of(value, kind, now.astimezone(zone).date())
    return _midnight(last + timedelta(days=1) if end else first, zone)


def _aware(value: datetime, zone: ZoneInfo) -> datetime:
    return (value.replace(tzinfo=zone) if value.tzinfo is None else value).astimezone(UTC)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    """Return the first moment of a day, also where a clock change skips its midnight.

    Of a day that a zone left out, for it moved across the date line, that is the first moment of the next.
    """
    naive = datetime(day.year, day.month, day.day, tzinfo=zone)
    moment = naive.astimezone(UTC)
    if moment.astimezone(zone).date() == day and moment.astimezone(zone).time() == naive.time():
        return moment
    # Midnight does not exist: the day begins where the clocks jump to.
    before = moment - timedelta(hours=26)
    after = moment + timedelta(hours=26)
    return next(
        at
        for at in (offset.since for offset in zone_offsets(zone, before, after))
        if at is not None and at.astimezone(zone).date() >= day
    )


def _is_left_out(day: date, zone: ZoneInfo) -> bool:
    """Say whether a zone has no moment of a day."""
    try:
        return _midnight(day, zone).astimezone(zone).date() != day
    except OverflowError:
        # At either end of the calendar.
        return False


def _offset_at(zone: ZoneInfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta(0)


def zone_offsets(zone: ZoneInfo, first: datetime, last: datetime) -> list[Offset]:
    """List a zone's offsets from one moment to another, each with the second since when it holds.

    Args:
        zone: Of the IANA database.
        first: Aware UTC; the first offset holds here and before.
        last: Aware UTC.
    """
    step = timedelta(hours=12)
    found = [Offset(None, _micros(_offset_at(zone, first)))]
    at = first
    while at < last:
        following = min(at + step, last)
        low, high = at, following
        if _offset_at(zone, low) != _offset_at(zone, high):
            while high - low > timedelta(seconds=1):
                middle = low + (high - low) / 2
                if _offset_at(zone, middle) == _offset_at(zone, low):
                    low = middle
                else:
                    high = middle
            since = (low + timedelta(seconds=1)).replace(microsecond=0)
            found.append(Offset(since, _micros(_offset_at(zone, since))))
        at = following
    return found


def _micros(value: timedelta) -> int:
    return value // timedelta(microseconds=1)


def _local(column: str, offsets: Sequence[Offset]) -> str:
    cases = "".join(
        f"WHEN {column} >= TIMESTAMP '{offset.since:%Y-%m-%d %H:%M:%S}' THEN {offset.micros} "
        for offset in reversed(offsets)
        if offset.since is not None
    )
    micros = f"CASE {cases}ELSE {offsets[0].micros} END" if cases else str(offsets[0].micros)
    return column if micros == "0" else f"({column} + to_microseconds({micros}))"


def bucket_sql(unit: str, column: str, offsets: Sequence[Offset]) -> str:
    """Return SQL for the bucket of a UTC time.

    That is the hour's UTC start, the local day on which a day, week or month starts, or the number of a weekday or hour.
    """
    if unit == "hour":
        return f"date_trunc('hour', {column})::TIMESTAMP"
    if unit in _RECURRING:
        return f"{_RECURRING[unit]}({_local(column, offsets)})::INTEGER"
    return f"date_trunc('{unit}', {_local(column, offsets)})::DATE"


def bucket_label(unit: str, value: datetime | date | int | None, zone: ZoneInfo) -> str | None:
    """Name a bucket: `2026-01-15T10:00+01:00`, `2026-01-15`, `2026-W03`, `2026-01`, `Monday`, `09`."""
    if value is None:
        return None
    if isinstance(value, int):
        return WEEKDAYS[value - 1] if unit == "weekday" else f"{value:02d}"
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC).astimezone(zone).isoformat(timespec="minutes")
    if unit == "week":
        iso = value.isocalendar()
        return f"{iso.year:04d}-W{iso.week:02d}"
    return value.isoformat()[:7] if unit == "month" else value.isoformat()


def buckets_between(unit: str, first: datetime, last: datetime, zone: ZoneInfo) -> Iterator[datetime | date]:
    """Yield every bucket from the one of the first moment to the one of the last, as `bucket_sql` makes them."""
    step = timedelta(hours=1) if unit == "hour" else timedelta(days=7 if unit == "week" else 1)
    bucket: datetime | date
    last_bucket: datetime | date
    if unit == "hour":
        bucket = first.astimezone(UTC).replace(minute=0, second=0, microsecond=0, tzinfo=None)
        last_bucket = last.astimezone(UTC).replace(tzinfo=None)
    else:
        bucket, last_bucket = _local_day(first, zone), _local_day(last, zone)
    if unit == "week":
        bucket -= timedelta(days=min(bucket.weekday(), bucket.toordinal() - 1))
    elif unit == "month":
        bucket = bucket.replace(day=1)
    while bucket <= last_bucket:
        if unit != "day" or not _is_left_out(bucket, zone):
            yield bucket
        try:
            bucket = (bucket + timedelta(days=32)).replace(day=1) if unit == "month" else bucket + step
        except OverflowError:
            return


def _local_day(moment: datetime, zone: ZoneInfo) -> date:
    try:
        return moment.astimezone(zone).date()
    except OverflowError:
        return date.min if moment.year == 1 else date.max
