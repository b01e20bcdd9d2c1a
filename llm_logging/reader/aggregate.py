"""Steps 4 and 5, bucket and aggregate: requests become groups, groups become figures.

One pass over the requests makes `base`, a table of sums by everything that some answer groups by; the summary, the
figures by model and the breakdown are sums of its rows. Within a row of it all listed requests have one rate, so their
cost is the rate times their tokens: whole numbers of a small unit, exact. Percentiles cannot be summed: each grouping
asks the requests for its own, interpolated linearly between the two nearest values.
"""

# ruff: noqa: S608  names come from the columns of the schema, values are bound

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from typing import Any, Final

from ..figures import Percentiles

__all__ = [
    "MEASURES", "Measure", "amount_of", "base_sql", "figures_of", "money_text", "rollup_sql", "shares_sql", "spread_sql",
]  # fmt: skip

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
    "priced_requests": "rate_no IS NOT NULL OR odd_amount IS NOT NULL",
    "unpriced_requests": "unpriced",
}


# What `base` also keeps apart: why requests failed, their HTTP status, rate and foreign currency.
_APART: Final = {
    "error": "CASE WHEN failed OR cancelled THEN error_kind END",
    "http": "CASE WHEN NOT pending THEN http_status END",
    "rate_no": "rate_no",
    "foreign_currency": "CASE WHEN reported IS NOT NULL AND currency <> 'USD' THEN currency END",
}


def base_sql(source: str, columns: Sequence[str]) -> str:
    """Return the query that makes `base` from the requests.

    Args:
        source: A table, view or query with the columns named in this module.
        columns: Every column that some answer groups by.
    """
    parts = [*columns, *(f"{value} AS {name}" for name, value in _APART.items()), "count(*) AS n"]
    parts += [f"count(*) FILTER (WHERE {condition}) AS {name}" for name, condition in COUNTS.items()]
    parts += [f"sum({name}) AS {name}" for name in TOKENS]
    for measure in MEASURES:
        value = measure.value
        parts += [
            f"count({value}) AS {measure.name}_n",
            f"sum({value}) AS {measure.name}_sum",
            f"min({value}) AS {measure.name}_min",
            f"max({value}) AS {measure.name}_max",
        ]
    parts += [
        "sum(reported) AS reported",
        "sum(odd_amount) AS odd_amount",
        "min(started) AS first_request",
        "max(started) AS last_request",
    ]
    return f"CREATE OR REPLACE TEMP TABLE base AS SELECT {', '.join(parts)} FROM {source} GROUP BY ALL"


def rollup_sql(columns: Sequence[str], sets: Sequence[Sequence[str]]) -> str:
    """Return the query that sums `base` by several groupings at once.

    Args:
        columns: Every column that some answer groups by.
        sets: Which of them each answer groups by; the summary's is empty.
    """
    parts = [*columns, f"grouping_id({', '.join(columns)}) AS grouping" if columns else "0 AS grouping"]
    parts += [f"coalesce(sum({name}), 0)::HUGEINT AS {name}" for name in (*COUNTS, *TOKENS)]
    for measure in MEASURES:
        name = measure.name
        parts += [
            f"coalesce(sum({name}_n), 0)::BIGINT AS {name}_n",
            f"sum({name}_sum) / nullif(sum({name}_n), 0) AS {name}_mean",
            f"min({name}_min) AS {name}_min",
            f"max({name}_max) AS {name}_max",
        ]
    tokens = " + ".join(f"r_{name} * {name}::HUGEINT" for name in TOKENS)
    cached = " + ".join(
        f"r_{name} * {name}::HUGEINT"
        for name in ("cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens")
    )
    parts += [
        "sum(reported) FILTER (WHERE foreign_currency IS NULL) AS reported_cost",
        f"sum(coalesce(r_request * n + {tokens}, 0) + coalesce(odd_amount, 0)) AS estimated_cost",
        f"sum(coalesce(-({cached}), 0)) AS cache_savings",
        "min(first_request) AS first_request",
        "max(last_request) AS last_request",
    ]
    return f"SELECT {', '.join(parts)} FROM base LEFT JOIN rates USING (rate_no) GROUP BY {_sets(sets)}"


def shares_sql(columns: Sequence[str], sets: Sequence[Sequence[str]], value: str, amount: str) -> str:
    """Return the query that sums `base` by several groupings and one value that it keeps apart."""
    parts = [
        *columns,
        f"grouping_id({', '.join(columns)}) AS grouping" if columns else "0 AS grouping",
        value,
    ]
    with_value = [[*one, value] for one in sets]
    return (
        f"SELECT {', '.join(parts)}, sum({amount}) AS amount FROM base WHERE {value} IS NOT NULL "
        f"GROUP BY {_sets(with_value)} ORDER BY amount DESC, {value}"
    )


def spread_sql(source: str, by: Sequence[str]) -> str:
    """Return the query for the percentiles of every measure in one grouping."""
    parts = [*by, *(f"quantile_cont({one.value}, {_FRACTIONS}) AS {one.name}_q" for one in MEASURES)]
    grouped = f"GROUP BY {', '.join(by)}" if by else ""
    return f"SELECT {', '.join(parts)} FROM {source} {grouped}"


def _sets(sets: Sequence[Sequence[str]]) -> str:
    return "GROUPING SETS (" + ", ".join(f"({', '.join(one)})" for one in sets) + ")"


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


def figures_of(row: Mapping[str, Any], *, scale: int) -> dict[str, Any]:
    """Turn a row of the query into the fields of `Figures`.

    Args:
        row: By column name; with `error_codes`, `http_statuses` and `other_costs`.
        scale: How many decimals the whole numbers of estimated money have.
    """
    values: dict[str, Any] = {name: int(row[name]) for name in (*COUNTS, *TOKENS)}
    values["total_tokens"] = values["prompt_tokens"] + values["completion_tokens"]
    values["orphaned_requests"] = values["pending_requests"] - values["running_requests"]
    total = values["total_requests"]
    values["error_rate"] = values["failed_requests"] / total if total else 0.0
    values["retry_share"] = values["retried_requests"] / total if total else 0.0
    for measure in MEASURES:
        values[measure.name] = _spread(row, measure.name)
    values["average_latency_ms"] = row["latency_ms_mean"] or 0.0
    values["error_codes"] = {key: int(count) for key, count in row["error_codes"].items()}
    values["http_statuses"] = {str(key): int(count) for key, count in row["http_statuses"].items()}
    nothing = None if values["unpriced_requests"] else Decimal(0)
    priced = values["priced_requests"] > 0
    estimated = amount_of(row["estimated_cost"], scale) if priced else None
    reported = row["reported_cost"]
    values["reported_cost"] = money_text(reported)
    values["estimated_cost"] = money_text(estimated if priced else nothing)
    known = _sum(reported, estimated)
    values["total_cost"] = money_text(known if known is not None else nothing)
    values["cache_savings"] = money_text(amount_of(row["cache_savings"], scale) if priced else nothing)
    values["other_costs"] = {name: money_text(amount) for name, amount in sorted(row["other_costs"].items())}
    for name in ("first_request", "last_request"):
        moment: datetime | None = row[name]
        values[name] = moment.replace(tzinfo=UTC) if moment is not None else None
    return values
