"""Step 5, aggregate: requests become groups, groups become figures.

One pass over the requests makes `base`: sums by everything that some answer groups by or counts separately (how a request
ended, whether it has usage, what its price depends on). The summary, the figures by model and the breakdown are sums of rows of
`base`, so no answer reads the requests twice. All listed requests of one row have one rate, so their cost is the rate times
their tokens.

Money and durations are summed as whole numbers of a small unit, so results are exact and do not depend on row order. Sums
beyond 127 bits are made in two parts. Percentiles cannot be summed; see `percentiles.py`.
"""

# ruff: noqa: S608  names come from the columns of the schema, values are bound

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from typing import Any, Final

from ...models.stats import Percentiles
from ..pricing.rates import KINDS
from .selection import CANCELLED_OUTCOME, FAILURE, PENDING, SUCCESS

__all__ = [
    "COUNTED", "MEASURES", "PART", "Measure", "amount_of", "base_sql", "figures_of", "grouping_sql", "money_text",
    "reported_names", "rollup_sql", "sets_sql", "shares_sql", "sum_of",
]  # fmt: skip

PERCENTILES: Final = ("p50", "p90", "p95", "p99")

COUNTED: Final = f"outcome IN ({SUCCESS}, {FAILURE})"
_SUCCEEDED: Final = f"outcome = {SUCCESS}"
_FAILED: Final = f"outcome = {FAILURE}"


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure that has a spread.

    Attributes:
        name: Its name in `Figures`.
        value: The column that it is of; NULL where a request does not have it.
        of: SQL; which requests count.
    """

    name: str
    value: str
    of: str


MEASURES: Final = (
    Measure("latency_ms", "latency", COUNTED),
    Measure("success_latency_ms", "latency", _SUCCEEDED),
    Measure("failure_latency_ms", "latency", _FAILED),
    Measure("time_to_first_token_ms", "first_token", COUNTED),
    Measure("tokens_per_second", "speed", COUNTED),
)
_VALUES: Final = tuple(dict.fromkeys(measure.value for measure in MEASURES))
# Durations are summed in millionths of a microsecond; the few that are too long for that are summed as they are.
_UNIT: Final = "1e9"
_LONG: Final = "9e9"
# A power of two: dividing by it rounds nothing, and a sum of the longest there can be stays finite.
_FAR: Final = 2.0**64

# Amounts are split into multiples of this and a remainder: DuckDB's widest whole number has 127 bits.
_SHIFT: Final = 32
PART: Final = 2**_SHIFT

# Which rows of `base` each count is the sum of.
COUNTS: Final = {
    "total_requests": COUNTED,
    "successful_requests": _SUCCEEDED,
    "failed_requests": _FAILED,
    "pending_requests": f"outcome = {PENDING}",
    "running_requests": f"outcome = {PENDING} AND recent",
    "cancelled_requests": f"outcome = {CANCELLED_OUTCOME}",
    "total_calls": "last_of_call",
    "failed_calls": f"last_of_call AND {_FAILED}",
    "retried_requests": f"{COUNTED} AND retried",
    "requests_with_usage": "has_usage",
    "requests_without_usage": f"{COUNTED} AND NOT has_usage",
    "estimated_usage_requests": "has_usage AND usage_source = 'estimated'",
    "partial_usage_requests": "has_usage AND usage_source = 'partial'",
    "reported_requests": "is_reported",
}
_MONEY_COUNTS: Final = ("priced_requests", "unpriced_requests")

# What `base` is grouped by besides the groups.
_APART: Final = {
    "outcome": "outcome",
    "error": f"CASE WHEN outcome IN ({FAILURE}, {CANCELLED_OUTCOME}) THEN error_kind END",
    "http": f"CASE WHEN outcome <> {PENDING} THEN http_status END",
    "last_of_call": "last_of_call",
    "retried": "attempt > 1",
    "recent": f"outcome = {PENDING} AND coalesce(started >= orphan_limit, false)",
    "has_usage": "has_usage",
    "usage_source": "usage_source",
    "is_counted": "is_counted",
    "unknown_spend": "unknown_spend AND reported IS NULL",
    "is_reported": "reported IS NOT NULL",
    "foreign_currency": "CASE WHEN reported IS NOT NULL AND currency <> 'USD' THEN currency END",
}


def _amounts(*, wide: bool) -> dict[str, str]:
    """Return what is summed of amounts, by name."""
    if not wide:
        return {"reported": "reported", "odd_low": "odd_amount"}
    parts = {"reported": "trunc(reported)", "reported_rest": "reported % 1"}
    return {**parts, "odd_low": f"odd_amount % {PART}", "odd_high": f"odd_amount // {PART}"}


def reported_names(*, wide: bool) -> list[str]:
    """Return the columns of `base` that sum up to what was reported."""
    return [name for name in _amounts(wide=wide) if name.startswith("reported")]


def base_sql(
    table: str, source: str, columns: Sequence[str], price_keys: Mapping[str, str], *, wide: bool = False
) -> str:
    """Return the query that makes a table of sums from the requests.

    Args:
        table: Its name.
        source: A table, view or query with the columns of `asked`, `odd_amount` and what groups are named.
        columns: Every column that some answer groups by.
        price_keys: What a price depends on, by name; see `costs.price_keys`.
        wide: Whether amounts are summed in two parts. It takes longer, and what needs it is so rare that it is done once
            the database says that a sum overflows.
    """
    parts = [*columns, *(f"{value} AS {name}" for name, value in (_APART | dict(price_keys)).items())]
    parts += ["count(*) AS n", *(f"sum({name}) AS {name}" for name in KINDS)]
    for name in _VALUES:
        parts += [
            f"count({name}) AS {name}_n",
            f"sum((CASE WHEN {name} < {_LONG} THEN {name} * {_UNIT} END)::BIGINT) AS {name}_sum",
            f"sum({name} / {_FAR!r}::DOUBLE) FILTER (WHERE {name} >= {_LONG}) AS {name}_long",
            f"min({name}) AS {name}_min",
            f"max({name}) AS {name}_max",
        ]
    parts += [
        *(f"sum({value}) AS {name}" for name, value in _amounts(wide=wide).items()),
        "count(odd_amount) AS odd_n",
        "min(started) AS first_request",
        "max(started) AS last_request",
    ]
    return f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT {', '.join(parts)} FROM {source} GROUP BY ALL"


def grouping_sql(columns: Sequence[str]) -> str:
    """Return SQL that says which of the columns a row is not grouped by, a bit each."""
    return f"grouping_id({', '.join(columns)}) AS grouping" if columns else "0 AS grouping"


def rollup_sql(
    base: str, columns: Sequence[str], sets: Sequence[Sequence[str]], same_rate: str, *, wide: bool = False
) -> str:
    """Return the query that sums `base` by several groupings at once.

    Args:
        base: The table.
        columns: Every column that some answer groups by.
        sets: Which of them each answer groups by; the summary's is empty.
        same_rate: The condition that joins the table `rates`; see `costs.same_rate`.
        wide: As `base` was made.
    """
    parts = [*columns, grouping_sql(columns)]
    parts += [
        f"coalesce(sum(n) FILTER (WHERE {condition}), 0)::HUGEINT AS {name}"
        for name, condition in COUNTS.items()
    ]
    parts += [f"coalesce(sum({name}), 0)::HUGEINT AS {name}" for name in KINDS]
    for measure in MEASURES:
        name, value, of = measure.name, measure.value, f"FILTER (WHERE {measure.of})"
        parts += [
            f"coalesce(sum({value}_n) {of}, 0)::BIGINT AS {name}_n",
            f"(sum({value}_sum) {of})::DOUBLE / {_UNIT} AS {name}_sum",
            f"fsum({value}_long) {of} AS {name}_long",
            f"min({value}_min) {of} AS {name}_min",
            f"max({value}_max) {of} AS {name}_max",
        ]
    cached = ("cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens")
    # Those with a rate for all that they used, and those with one for anything; what is odd has both or none.
    whole = "CASE WHEN usage_source = 'partial' THEN 0 WHEN rate_no IS NULL THEN odd_n WHEN r_gap IS NULL THEN n ELSE 0 END"
    unpriced = "unknown_spend OR (is_counted AND NOT is_reported)"
    parts += [
        f"coalesce(sum({whole}), 0)::HUGEINT AS priced_requests",
        f"coalesce(sum(n - {whole}) FILTER (WHERE {unpriced}), 0)::HUGEINT AS unpriced_requests",
        "coalesce(sum(CASE WHEN rate_no IS NULL THEN odd_n WHEN r_priced THEN n ELSE 0 END), 0)::HUGEINT AS costed",
        *(
            f"sum({name}) FILTER (WHERE foreign_currency IS NULL) AS {name}"
            for name in reported_names(wide=wide)
        ),
        f"sum(coalesce({_cost(KINDS, '>>', _SHIFT)}, 0){' + coalesce(odd_high, 0)' if wide else ''}) AS estimated_cost_high",
        f"sum(coalesce(r_request * n + {_cost(KINDS, '&', PART - 1)}, 0) + coalesce(odd_low, 0)) AS estimated_cost_low",
        f"sum(coalesce(-({_cost(cached, '>>', _SHIFT)}), 0)) AS cache_savings_high",
        f"sum(coalesce(-({_cost(cached, '&', PART - 1)}), 0)) AS cache_savings_low",
        "min(first_request) AS first_request",
        "max(last_request) AS last_request",
    ]
    joined = f"{base} AS a LEFT JOIN rates AS r ON {same_rate}"
    return f"SELECT {', '.join(parts)} FROM {joined} GROUP BY {sets_sql(sets)}"


def _cost(kinds: Sequence[str], op: str, by: int) -> str:
    """Return SQL of what a part of the tokens costs."""
    return " + ".join(f"r_{name} * ({name}::HUGEINT {op} {by})" for name in kinds)


def shares_sql(
    base: str, columns: Sequence[str], sets: Sequence[Sequence[str]], value: str, amounts: Sequence[str]
) -> str:
    """Return the query that sums `base` by several groupings and one value that it keeps apart.

    Args:
        base: The table.
        columns: Every column that some answer groups by.
        sets: Which of them each answer groups by.
        value: What is kept apart.
        amounts: What is summed, the sums named as they are.
    """
    with_value = [[*one, value] for one in sets]
    summed = ", ".join(f"sum({name}) AS {name}" for name in amounts)
    return (
        f"SELECT {', '.join([*columns, grouping_sql(columns), value])}, {summed} FROM {base} "
        f"WHERE {value} IS NOT NULL GROUP BY {sets_sql(with_value)} ORDER BY {amounts[0]} DESC, {value}"
    )


def sets_sql(sets: Sequence[Sequence[str]]) -> str:
    """Return SQL that groups by several groupings at once."""
    return "GROUPING SETS (" + ", ".join(f"({', '.join(one)})" for one in sets) + ")"


def money_text(value: Decimal | None) -> str | None:
    """Write an amount in plain decimals, without zeros that say nothing."""
    if value is None:
        return None
    with localcontext() as context:
        context.prec = 100
        plain = format(value.normalize(), "f")
    return "0" if plain == "-0" else plain


def amount_of(high: Any, low: Any, scale: int) -> Decimal | None:
    """Return a whole number of a small unit as dollars; None stays None.

    Args:
        high: How many times it holds `PART`.
        low: The remainder.
        scale: The decimals of the unit.
    """
    if high is None or low is None:
        return None
    with localcontext() as context:
        context.prec = 100
        return Decimal(int(high) * PART + int(low)).scaleb(-scale)


def sum_of(*values: Decimal | None) -> Decimal | None:
    """Return the sum of those amounts that are known, exactly; None where none is."""
    known = [value for value in values if value is not None]
    with localcontext() as context:
        context.prec = 100
        return sum(known, Decimal(0)) if known else None


def _amount(row: Mapping[str, Any], name: str, scale: int) -> Decimal | None:
    return amount_of(row[f"{name}_high"], row[f"{name}_low"], scale)


def _spread(row: Mapping[str, Any], name: str) -> Percentiles:
    count = row[f"{name}_n"]
    if not count:
        return Percentiles()
    quantiles = dict(zip(PERCENTILES, row[f"{name}_q"], strict=True))
    most = row[f"{name}_max"]
    far = row[f"{name}_long"] or 0.0
    mean = ((row[f"{name}_sum"] or 0.0) + far * _FAR) / count
    if math.isinf(mean):
        mean = min(far / count * _FAR, most)
    # Rounding must not carry the mean of equal values past them.
    least = row[f"{name}_min"]
    return Percentiles(n=count, mean=min(max(mean, least), most), min=least, max=most, **quantiles)


def figures_of(row: Mapping[str, Any], *, scale: int) -> dict[str, Any]:
    """Turn a row of the query into the fields of `Figures`.

    Args:
        row: By column name; with `error_codes`, `http_statuses` and `other_costs`.
        scale: How many decimals the whole numbers of estimated money have.
    """
    values: dict[str, Any] = {name: int(row[name]) for name in (*COUNTS, *_MONEY_COUNTS, *KINDS)}
    values["total_tokens"] = values["prompt_tokens"] + values["completion_tokens"]
    values["orphaned_requests"] = values["pending_requests"] - values["running_requests"]
    total = values["total_requests"]
    values["error_rate"] = values["failed_requests"] / total if total else 0.0
    values["retry_share"] = values["retried_requests"] / total if total else 0.0
    for measure in MEASURES:
        values[measure.name] = _spread(row, measure.name)
    values["average_latency_ms"] = values["latency_ms"].mean or 0.0
    values["error_codes"] = {key: int(count) for key, count in row["error_codes"].items()}
    values["http_statuses"] = {str(key): int(count) for key, count in row["http_statuses"].items()}
    # Nothing was spent only where nothing is known to have been spent in some other way.
    nothing = None if values["unpriced_requests"] or row["other_costs"] else Decimal(0)
    priced = row["costed"] > 0
    estimated = _amount(row, "estimated_cost", scale) if priced else None
    if not estimated and values["unpriced_requests"]:
        # That something costs at least nothing is not known of a cost.
        priced, estimated = False, None
    reported = sum_of(row["reported"], row.get("reported_rest"))
    values["reported_cost"] = money_text(reported)
    values["estimated_cost"] = money_text(estimated if priced else nothing)
    known = sum_of(reported, estimated)
    values["total_cost"] = money_text(known if known is not None else nothing)
    values["cache_savings"] = money_text(_amount(row, "cache_savings", scale) if priced else nothing)
    values["other_costs"] = {name: money_text(amount) for name, amount in sorted(row["other_costs"].items())}
    for name in ("first_request", "last_request"):
        moment: datetime | None = row[name]
        values[name] = moment.replace(tzinfo=UTC) if moment is not None else None
    return values
