"""The largest groups of the priced requests: sums that need no percentiles, ordered and cut in the database.

The sums follow the same definitions as `aggregate`; a test holds both equal.
"""

# ruff: noqa: S608  names come from our own columns

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from ..sql.aggregate import COUNTED, PART, amount_of, money_text, sum_of
from ..sql.selection import CANCELLED_OUTCOME, FAILURE, PENDING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["RANKED_BY", "group_sums", "largest_groups"]

RANKED_BY: Final = {
    "cost": "(coalesce(reported_usd::DOUBLE, 0) + (coalesce(high, 0)::DOUBLE * {part} + coalesce(low, 0)::DOUBLE) / {unit})",
    "requests": "requests",
    "turns": "turns",
    "tokens": "total_tokens",
    "errors": "failed_requests",
    "latency": "busy_ms",
    "start": "epoch_us(last_request)",
    "wall_time": "wall_time_ms",
}
# The same figures, near enough to order by.
_ROUGH: Final = {
    "cost": "sum(coalesce(CASE WHEN reported IS NULL THEN estimated::DOUBLE / {unit} WHEN currency = 'USD' "
    "THEN reported::DOUBLE END, 0))",
    "requests": f"count(*) FILTER (WHERE {COUNTED})",
    "turns": "count(*) FILTER (WHERE last_of_call)",
    "tokens": "sum(prompt_tokens + completion_tokens)",
    "errors": f"count(*) FILTER (WHERE outcome = {FAILURE})",
    "latency": f"sum(latency) FILTER (WHERE {COUNTED})",
    "start": "max(started)",
    "wall_time": "epoch_us(max(started + to_milliseconds(least(coalesce(latency, 0), 1e12)::BIGINT))) "
    "- epoch_us(min(started))",
}
_SUMS: Final = f"""
    count(*) FILTER (WHERE {COUNTED})::BIGINT AS requests,
    count(*) FILTER (WHERE last_of_call)::BIGINT AS turns,
    count(*) FILTER (WHERE outcome = {FAILURE})::BIGINT AS failed_requests,
    count(*) FILTER (WHERE outcome = {CANCELLED_OUTCOME})::BIGINT AS cancelled_requests,
    count(*) FILTER (WHERE outcome = {PENDING})::BIGINT AS pending_requests,
    sum(prompt_tokens)::BIGINT AS prompt_tokens, sum(completion_tokens)::BIGINT AS completion_tokens,
    sum(prompt_tokens + completion_tokens)::BIGINT AS total_tokens,
    sum(reported) FILTER (WHERE currency = 'USD') AS reported_usd,
    sum(estimated // {PART}) AS high, sum(estimated % {PART}) AS low,
    count(*) FILTER (WHERE unpriced)::BIGINT AS unpriced_requests,
    coalesce(sum(latency) FILTER (WHERE {COUNTED}), 0) AS busy_ms,
    min(started) AS first_request, max(started) AS last_request,
    coalesce(date_diff('millisecond', min(started),
        max(started + to_milliseconds(least(coalesce(latency, 0), 1e12)::BIGINT))), 0) AS wall_time_ms
"""


def largest_groups(
    db: DuckDBPyConnection,
    source: str,
    by: Sequence[str],
    *,
    scale: int,
    sort: str,
    limit: int,
    more: str = "",
) -> tuple[list[dict[str, Any]], int]:
    """Return the largest groups of the requests, and how many groups there are.

    Args:
        db: Where the source is.
        source: The requests, as `priced` has them.
        by: The columns to group by.
        scale: The decimals of the unit of `estimated`.
        sort: One of `RANKED_BY`.
        limit: At most so many.
        more: Further columns, as SQL.

    Returns:
        Each group with the columns it is grouped by and its sums; see `group_sums`.
    """
    names = ", ".join(by)
    order = RANKED_BY[sort].format(part=PART, unit=f"1e{scale}")
    # Most groups are only ordered: exact sums of all of them would take longer than all else.
    rough = _ROUGH[sort].format(unit=f"1e{scale}")
    db.execute(
        f"CREATE OR REPLACE TEMP TABLE largest AS SELECT {names}, count(*) OVER () AS groups FROM "
        f"(SELECT {names}, {rough} AS rough FROM {source} GROUP BY {names}) ORDER BY rough DESC NULLS LAST, {names} LIMIT {limit:d}"
    )
    same = " AND ".join(f"s.{name} IS NOT DISTINCT FROM l.{name}" for name in by)
    chosen = ", ".join(f"s.{name}" for name in by)
    cursor = db.execute(
        f"SELECT * FROM (SELECT {chosen}, any_value(groups) AS groups, {_SUMS}{more} FROM {source} AS s "
        f"JOIN largest AS l ON {same} GROUP BY {chosen}) ORDER BY {order} DESC, {names}"
    )
    columns = [column[0] for column in cursor.description or ()]
    rows = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
    return rows, int(rows[0]["groups"]) if rows else 0


def group_sums(row: Mapping[str, Any], scale: int) -> dict[str, Any]:
    """Return the sums of a group, its cost as text: None where nothing of it is known."""
    names = (
        "requests", "turns", "failed_requests", "cancelled_requests", "pending_requests", "prompt_tokens",
        "completion_tokens", "total_tokens", "unpriced_requests", "busy_ms", "wall_time_ms",
    )  # fmt: skip
    estimated = amount_of(row["high"], row["low"], scale)
    if not estimated and row["unpriced_requests"]:
        estimated = None
    known = sum_of(row["reported_usd"], estimated)
    if known is None and not row["unpriced_requests"]:
        known = Decimal(0)
    return {
        **{name: row[name] or 0 for name in names},
        "total_cost": money_text(known),
        "first_request": _aware(row["first_request"]),
        "last_request": _aware(row["last_request"]),
    }


def _aware(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None else None
