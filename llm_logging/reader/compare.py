"""Two periods side by side: what changed, per figure and group.

Counts, tokens and durations are subtracted as numbers, money as decimals. Groups by time are lined up by their place
in the period (first day with first day), since their names differ; all other groups by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from itertools import zip_longest
from typing import Any, Final

from pydantic import BaseModel

from ..errors import ErrorCode, ValidationError
from ..figures import Change, Comparison, ComparisonRow, Figures, StatsRow
from ..question import TIME_UNITS, StatsOptions, StatsScope
from .aggregate import money_text
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


def _change(name: str, before: Any, after: Any) -> Change:
    if before is None or after is None:
        return Change(before=before, after=after)
    if name in MONEY:
        first, second = Decimal(before), Decimal(after)
        difference: Any = money_text(second - first)
        share = float((second - first) / first) if first else None
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
    return {
        name: _change(
            name,
            first.get(name, 0 if name.startswith(counted) else None),
            second.get(name, 0 if name.startswith(counted) else None),
        )
        for name in {**first, **second}
    }


def compare_stats(
    scope: StatsScope | None, before: StatsOptions, after: StatsOptions, **reading: Any
) -> Comparison:
    """Compare the figures of a scope in two periods.

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
        breakdown=list(_rows(first.breakdown, second.breakdown)),
        quality_before=first.quality,
        quality_after=second.quality,
    )


def _placed(rows: list[StatsRow]) -> dict[tuple[Any, ...], StatsRow]:
    """Key rows by their group, the times in it by their place among the times there are."""
    times: dict[str, list[str | None]] = {}
    for row in rows:
        for name, value in row.group.items():
            if name in TIME_UNITS and value not in times.setdefault(name, []):
                times[name].append(value)
    return {
        tuple(
            times[name].index(value) if name in TIME_UNITS else value for name, value in row.group.items()
        ): row
        for row in rows
    }


def _rows(before: list[StatsRow], after: list[StatsRow]) -> Iterator[ComparisonRow]:
    first, second = _placed(before), _placed(after)
    for key in {**first, **second}:
        one, other = first.get(key), second.get(key)
        labels = {}
        for (name, old), (_, new) in zip_longest(
            one.group.items() if one is not None else (), other.group.items() if other is not None else (),
            fillvalue=(None, None),
        ):  # fmt: skip
            chosen = name if name is not None else next(iter(other.group)) if other is not None else ""
            labels[chosen] = old if old == new or new is None else new if old is None else f"{old} / {new}"
        if one is None and other is not None:
            labels = dict(other.group)
        yield ComparisonRow(
            group=labels,
            changes=figure_changes(
                one if one is not None else StatsRow(), other if other is not None else StatsRow()
            ),
        )
