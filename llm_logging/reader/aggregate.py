"""Steps 4 and 5, bucket and aggregate: requests become groups, groups become figures.

One query makes the summary, the figures by model and the breakdown (grouping sets). Percentiles interpolate linearly
between the two nearest values. Money is whole numbers of a small unit until the last step, so sums are exact.
"""

# ruff: noqa: S608  names come from the columns of the schema, values are bound

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from typing import Any, Final

from ..figures import Percentiles

__all__ = ["MEASURES", "Measure", "aggregate_sql", "amount_of", "figures_of", "money_text"]

PERCENTILES: Final = ("p50", "p90", "p95", "p99")
_FRACTIONS: Final = "[0.5, 0.9, 0.95, 0.99]"

TOKENS: Final = (
    "prompt_tokens",
    "completion_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
    "audio_prompt_tokens",
    "audio_completion_tokens",
)


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure that has a spread.

    Attributes:
        name: Its name in `Figures`.
        value: SQL; NULL where a request does not have it.
    """

    name: str
    value: str


MEASURES: Final = (
    Measure("latency_ms", "CASE WHEN counted THEN latency END"),
    Measure("success_latency_ms", "CASE WHEN succeeded THEN latency END"),
    Measure("failure_latency_ms", "CASE WHEN failed THEN latency END"),
    Measure("time_to_first_token_ms", "CASE WHEN counted THEN first_token END"),
    Measure("tokens_per_second", "CASE WHEN counted THEN speed END"),
)

COUNTS: Final = {
    "total_requests": "counted",
    "successful_requests": "succeeded",
    "failed_requests": "failed",
    "pending_requests": "pending",
    "running_requests": "pending AND coalesce(started >= orphan_limit, false)",
    "cancelled_requests": "cancelled",
    "total_calls": "last_of_call",
    "failed_calls": "last_of_call AND failed",
    "retried_requests": "counted AND attempt > 1",
    "requests_with_usage": "has_usage",
    "requests_without_usage": "counted AND NOT has_usage",
    "estimated_usage_requests": "has_usage AND usage_source = 'estimated'",
    "partial_usage_requests": "has_usage AND usage_source = 'partial'",
    "reported_requests": "reported IS NOT NULL",
    "priced_requests": "estimated IS NOT NULL",
    "unpriced_requests": "unpriced",
}


def aggregate_sql(source: str, groups: Sequence[str], sets: Sequence[Sequence[str]]) -> str:
    """Return the query that turns requests into one row of figures a group.

    Args:
        source: A table or view with the columns named in this module.
        groups: Every column that some set groups by.
        sets: Which columns each answer groups by; the summary's is empty.
    """
    parts = [*groups, f"grouping_id({', '.join(groups)}) AS grouping" if groups else "0 AS grouping"]
    parts += [f"count(*) FILTER (WHERE {condition}) AS {name}" for name, condition in COUNTS.items()]
    parts += [f"coalesce(sum({name}), 0)::HUGEINT AS {name}" for name in TOKENS]
    for measure in MEASURES:
        value = measure.value
        parts += [
            f"count({value}) AS {measure.name}_n",
            f"avg({value}) AS {measure.name}_mean",
            f"min({value}) AS {measure.name}_min",
            f"max({value}) AS {measure.name}_max",
            f"quantile_cont({value}, {_FRACTIONS}) AS {measure.name}_q",
        ]
    parts += [
        "histogram(error_kind) FILTER (WHERE failed OR cancelled) AS error_codes",
        "histogram(http_status) FILTER (WHERE http_status IS NOT NULL AND NOT pending) AS http_statuses",
        "sum(reported) FILTER (WHERE currency = 'USD') AS reported_cost",
        "sum(estimated) AS estimated_cost",
        "sum(saved) AS cache_savings",
        "min(started) AS first_request",
        "max(started) AS last_request",
    ]
    listed = ", ".join(f"({', '.join(one)})" for one in sets)
    return f"SELECT {', '.join(parts)} FROM {source} GROUP BY GROUPING SETS ({listed})"


def money_text(value: Decimal | None) -> str | None:
    """Write an amount in plain decimals, without zeros that say nothing."""
    if value is None:
        return None
    with localcontext() as context:
        context.prec = 100
        plain = format(value.normalize(), "f")
    return "0" if plain == "-0" else plain


def amount_of(value: Any, scale: int) -> Decimal | None:
    """Return a whole number of a small unit as dollars; None stays None."""
    if value is None:
        return None
    with localcontext() as context:
        context.prec = 100
        return Decimal(value).scaleb(-scale)


def _sum(*values: Decimal | None) -> Decimal | None:
    known = [value for value in values if value is not None]
    with localcontext() as context:
        context.prec = 100
        return sum(known, Decimal(0)) if known else None


def _spread(row: Mapping[str, Any], name: str) -> Percentiles:
    count = row[f"{name}_n"]
    if not count:
        return Percentiles()
    quantiles = dict(zip(PERCENTILES, row[f"{name}_q"], strict=True))
    return Percentiles(
        n=count, mean=row[f"{name}_mean"], min=row[f"{name}_min"], max=row[f"{name}_max"], **quantiles
    )


def figures_of(row: Mapping[str, Any], *, scale: int, others: Mapping[str, Decimal]) -> dict[str, Any]:
    """Turn a row of the query into the fields of `Figures`.

    Args:
        row: By column name.
        scale: How many decimals the whole numbers of estimated money have.
        others: What was reported in other currencies.
    """
    values: dict[str, Any] = {name: row[name] for name in (*COUNTS, *TOKENS)}
    values["total_tokens"] = row["prompt_tokens"] + row["completion_tokens"]
    values["orphaned_requests"] = row["pending_requests"] - row["running_requests"]
    total = row["total_requests"]
    values["error_rate"] = row["failed_requests"] / total if total else 0.0
    values["retry_share"] = row["retried_requests"] / total if total else 0.0
    for measure in MEASURES:
        values[measure.name] = _spread(row, measure.name)
    values["average_latency_ms"] = row["latency_ms_mean"] or 0.0
    values["error_codes"] = _by_count(row["error_codes"])
    values["http_statuses"] = {str(key): count for key, count in (row["http_statuses"] or {}).items()}
    nothing = None if row["unpriced_requests"] else Decimal(0)
    estimated = amount_of(row["estimated_cost"], scale)
    reported = row["reported_cost"]
    values["reported_cost"] = money_text(reported)
    values["estimated_cost"] = money_text(estimated if row["priced_requests"] else nothing)
    known = _sum(reported, estimated)
    values["total_cost"] = money_text(known if known is not None else nothing)
    values["cache_savings"] = money_text(
        amount_of(row["cache_savings"], scale) if row["priced_requests"] else nothing
    )
    values["other_costs"] = {currency: money_text(amount) for currency, amount in sorted(others.items())}
    for name in ("first_request", "last_request"):
        moment: datetime | None = row[name]
        values[name] = moment.replace(tzinfo=UTC) if moment is not None else None
    return values


def _by_count(counts: Mapping[str, int] | None) -> dict[str, int]:
    return dict(sorted((counts or {}).items(), key=lambda item: (-item[1], item[0])))
