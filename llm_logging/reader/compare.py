"""Two periods side by side: what changed, per figure and group.

Counts, tokens and durations are subtracted as numbers, money as decimals. Groups by time are lined up by their place
in the period (first day with first day, whether or not anything happened on it), since their names differ; all other
groups by name. Rows are in the order of their groups, as those of `get_stats` are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final, Unpack
from zoneinfo import ZoneInfo

from pydantic import BaseModel

from ..errors import ErrorCode, ValidationError
from ..models.query import TIME_UNITS, StatsOptions, StatsScope
from ..models.stats import Change, Comparison, ComparisonRow, Figures, Stats, StatsRow
from .lines.arguments import ReadingOptions, check_keywords
from .sql.aggregate import money_text, sum_of
from .sql.group_order import bucket_name, bucket_number, bucket_numbers, name_order
from .stats import get_stats

__all__ = ["compare_stats", "figure_changes"]

MONEY: Final = frozenset({"reported_cost", "estimated_cost", "total_cost", "cache_savings"})
_NO_FIGURES: Final = frozenset({"group", "currency", "other_costs", "first_request", "last_request"})


def _flat(figures: Figures) -> Iterator[tuple[str, Any]]:
    for name in type(figures).model_fields:
        value = getattr(figures, name)
        if name in _NO_FIGURES:
            continue
        if isinstance(value, BaseModel):
            for part in type(value).model_fields:
                yield f"{name}.{part}", getattr(value, part)
        elif isinstance(value, Mapping):
            for key, count in value.items():
                yield f"{name}.{key}", count
        else:
            yield name, value


def _change(name: str, before: Any, after: Any, *, known: bool) -> Change:
    if before is None or after is None or not known:
        return Change(before=before, after=after)
    if name in MONEY:
        first, second = Decimal(before), Decimal(after)
        change = sum_of(second, first.copy_negate()) or Decimal(0)
        difference: Any = money_text(change)
        share = float(change / first) if first else None
    else:
        difference = after - before
        share = difference / before if before else None
    return Change(before=before, after=after, absolute=difference, relative=share)


def figure_changes(before: Figures, after: Figures) -> dict[str, Change]:
    """Compare two sets of figures; what one lacks altogether (an error code, say) counts as 0 there.

    Args:
        before: The first period's.
        after: The second period's.

    Returns:
        By name, nested ones with a dot: `latency_ms.p95`, `error_codes.rate_limited`.
    """
    first, second = dict(_flat(before)), dict(_flat(after))
    counted = ("error_codes.", "http_statuses.")
    # Of two sums of which one is a lower bound nothing is known about how they stand to each other.
    bounded = {"total_cost"} if before.unpriced_requests or after.unpriced_requests else ()
    return {
        name: _change(
            name,
            first.get(name, 0 if name.startswith(counted) else None),
            second.get(name, 0 if name.startswith(counted) else None),
            known=name not in bounded,
        )
        for name in {**first, **second}
    }


def compare_stats(
    scope: StatsScope | Mapping[str, Any] | None,
    before: StatsOptions | Mapping[str, Any],
    after: StatsOptions | Mapping[str, Any],
    **reading: Unpack[ReadingOptions],
) -> Comparison:
    """Compare the figures of a scope in two periods.

    Example:
        >>> january, february = ({"from_date": month, "to_date": month} for month in ("2026-01", "2026-02"))
        >>> change = llm_logging.compare_stats(None, january, february, root="var/llm").summary["total_requests"]
        >>> change.before, change.after, change.relative
        (1000, 1250, 0.25)

    Args:
        scope: Which requests; None: all.
        before: The first period.
        after: The second; with the same groups.
        **reading: `root`, `files` and the other keywords of `get_stats`.

    Returns:
        Absolute and relative changes of every figure, in all and by group.

    Raises:
        ValidationError: `INVALID_OPTIONS`, where the groups differ; and what `get_stats` raises.
    """
    check_keywords("compare_stats", reading)
    before, after = StatsOptions.of(before, "before"), StatsOptions.of(after, "after")
    if before.group_by != after.group_by:
        message = f"group_by: expected the same in both periods, got {before.group_by} and {after.group_by}"
        raise ValidationError(message, code=ErrorCode.INVALID_OPTIONS, reasons=(message,))
    first, second = get_stats(scope, before, **reading), get_stats(scope, after, **reading)
    return Comparison(
        scope=first.scope,
        before=first.period,
        after=second.period,
        group_by=first.group_by,
        summary=figure_changes(first.summary, second.summary),
        breakdown=list(_rows(first, second)),
        quality_before=first.quality,
        quality_after=second.quality,
    )


@dataclass(frozen=True, slots=True)
class _Side:
    """One period: its rows, and which times it has.

    Attributes:
        rows: By group; times as their place in the period, which begins with 0.
        times: By unit, the numbers of its times from the first to the last, whether or not anything happened then.
        zone: Whose times they are.
    """

    rows: dict[tuple[Any, ...], StatsRow]
    times: dict[str, range]
    zone: ZoneInfo

    def name(self, unit: str, key: tuple[Any, ...], place: int | None) -> str | None:
        """Name the time at a place, that of a row by the row; None where the period has none there."""
        if key in self.rows:
            return self.rows[key].group[unit]
        times = self.times[unit]
        there = place is not None and 0 <= place < len(times)
        return bucket_name(unit, times[place or 0], self.zone) if there else None


def _side(stats: Stats) -> _Side:
    zone = ZoneInfo(stats.period.time_zone)
    start, end = stats.period.start, stats.period.end
    # A period without an end of its own begins and ends with what happened in it.
    first = start if start is not None else stats.summary.first_request
    last = end - timedelta(microseconds=1) if end is not None else stats.summary.last_request
    times = {
        unit: bucket_numbers(unit, first, last, zone) if first is not None and last is not None else range(0)
        for unit in stats.group_by
        if unit in TIME_UNITS
    }

    def place(group: str, value: str | None) -> Any:
        if group not in times or value is None:
            return value
        return bucket_number(group, value) - times[group].start

    rows = {tuple(place(*item) for item in row.group.items()): row for row in stats.breakdown}
    return _Side(rows, times, zone)


def _order(group: str) -> Callable[[Any], tuple[Any, ...]]:
    return (lambda place: (place is None, place or 0)) if group in TIME_UNITS else name_order(group)


def _rows(before: Stats, after: Stats) -> Iterator[ComparisonRow]:
    first, second = _side(before), _side(after)
    orders = [_order(group) for group in before.group_by]

    def order(key: tuple[Any, ...]) -> list[Any]:
        return [one(value) for one, value in zip(orders, key, strict=True)]

    for key in sorted({**first.rows, **second.rows}, key=order):
        names = dict(zip(before.group_by, key, strict=True))
        for unit in first.times:
            there = [side.name(unit, key, names[unit]) for side in (first, second)]
            names[unit] = " / ".join(dict.fromkeys(name for name in there if name is not None)) or None
        one, other = first.rows.get(key), second.rows.get(key)
        yield ComparisonRow(
            group=names,
            changes=figure_changes(
                one if one is not None else StatsRow(), other if other is not None else StatsRow()
            ),
        )
