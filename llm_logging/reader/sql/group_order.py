"""What the name of a group stands for: the order of rows, and a time's place among the times of a period.

Rows are ordered by what they are about, not by how it is written: hours by when they were (a repeated hour has two
names that sort the wrong way round as text), counts, durations and amounts as numbers, text as text, and what is absent
last. An attribute may be anything: its numbers come first, as numbers, then its texts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from zoneinfo import ZoneInfo

from ..lines.columns import JSON_NUMBER, find_column
from .period import WEEKDAYS, bucket_label, buckets_between

__all__ = ["bucket_name", "bucket_number", "bucket_numbers", "group_order", "name_order"]

_NUMBER: Final = re.compile(JSON_NUMBER)
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001  buckets are naive UTC
_HOUR: Final = timedelta(hours=1)

_Order = tuple[Any, ...]


def _of_attribute(name: str) -> _Order:
    if _NUMBER.fullmatch(name) is not None:
        try:
            return False, Decimal(name), name
        except InvalidOperation:
            pass
    return True, Decimal(0), name


def name_order(group: str) -> Callable[[str | None], _Order]:
    """Return what sorts the names of one group; what is absent comes last.

    Args:
        group: As `group_by` has it.
    """
    column = find_column(group)
    kind = group if group in {"hour", "weekday"} else column.kind if column is not None else "text"
    reads: dict[str, Callable[[str], Any]] = {
        "hour": datetime.fromisoformat, "weekday": WEEKDAYS.index, "count": int, "ms": float, "amount": Decimal, "attribute": _of_attribute,
    }  # fmt: skip
    read = reads.get(kind, str)
    return lambda name: (True,) if name is None else (False, read(name))


def group_order(groups: Sequence[str]) -> Callable[[Mapping[str, str | None]], _Order]:
    """Return what sorts rows by their groups, the first group first.

    Args:
        groups: Their names, as `group_by` has them.
    """
    orders = [(group, name_order(group)) for group in groups]
    return lambda named: tuple(order(named[group]) for group, order in orders)


def bucket_number(unit: str, name: str) -> int:
    """Return the number of a period of time: the one after it has the next.

    Args:
        unit: `hour`, `day`, `week` or `month`.
        name: As `bucket_label` writes it.
    """
    if unit == "hour":
        # An offset of old may have seconds, which the name leaves out of its time: the nearest hour is meant.
        return round(datetime.fromisoformat(name).timestamp() / 3600)
    if unit == "month":
        return int(name[:4]) * 12 + int(name[5:]) - 1
    first = date.fromisoformat(f"{name}-1" if unit == "week" else name).toordinal()
    return first // 7 if unit == "week" else first


def bucket_numbers(unit: str, first: datetime, last: datetime, zone: ZoneInfo) -> range:
    """Return the numbers of the periods of time from the one of the first moment to the one of the last.

    Args:
        unit: `hour`, `day`, `week` or `month`.
        first: Aware.
        last: Aware.
        zone: Whose days they are.
    """
    numbers = []
    for moment in (first, last):
        if unit == "hour":
            numbers.append(int(moment.timestamp() // 3600))
        else:
            bucket = next(buckets_between(unit, moment, moment, zone))
            numbers.append(bucket_number(unit, bucket_label(unit, bucket, zone) or ""))
    return range(numbers[0], numbers[1] + 1)


def bucket_name(unit: str, number: int, zone: ZoneInfo) -> str | None:
    """Name a period of time by its number; see `bucket_number`.

    Args:
        unit: `hour`, `day`, `week` or `month`.
        number: Its number.
        zone: Whose hours they are.
    """
    if unit == "hour":
        return bucket_label(unit, _EPOCH + number * _HOUR, zone)
    if unit == "month":
        return bucket_label(unit, date(number // 12, number % 12 + 1, 1), zone)
    return bucket_label(unit, date.fromordinal(number * 7 + 1 if unit == "week" else number), zone)
