"""What all retrieving functions check and read alike: page sizes, periods, places, lines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from ...clock import clock
from ...errors import ErrorCode, ValidationError
from ...models.query import StatsOptions
from ..sql.period import resolve_period
from .paging import Place, decode_cursor, micros_of

__all__ = ["object_of", "page_size", "period_of", "place_of"]

_MOST: Final = 10_000


def page_size(limit: int) -> int:
    """Check how many entries a page may have.

    Raises:
        ValidationError: Fewer than 1 or more than 10,000.
    """
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= _MOST:
        raise ValidationError(
            f"limit: expected a whole number from 1 to {_MOST:,}, got {limit!r}",
            code=ErrorCode.INVALID_OPTIONS,
        )
    return limit


def period_of(checks: Mapping[str, Any], now: datetime | None) -> tuple[int | None, int | None]:
    """Read `from_date`, `to_date` and `time_zone` as microseconds since 1970."""
    named = {
        name: checks[name] for name in ("from_date", "to_date", "time_zone") if checks.get(name) is not None
    }
    period = resolve_period(
        StatsOptions(**named), (now if now is not None else clock().now()).astimezone(UTC)
    )
    start, end = (None if moment is None else micros_of(moment) for moment in (period.start, period.end))
    return start, end


def place_of(kind: str, cursor: str | None) -> Place | None:
    """Read a cursor of this kind of page."""
    if cursor is None:
        return None
    micros, tie = decode_cursor(kind, cursor)
    return Place(micros, tie)


def object_of(data: bytes) -> dict[str, Any] | None:
    """Read a line; None where it is not one JSON object."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
