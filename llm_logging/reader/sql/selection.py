"""Step 3, select: the requests in question, with the columns that figures are made of.

Scope, period and filters become a WHERE clause, groups become the columns `g0`, `g1` ... of the view `asked`. Names in the SQL
come from the columns of the schema; values are bound. `session.py` shows the steps before and after, `tables.py` the columns.
"""

# ruff: noqa: S608  names come from the columns of the schema, values are bound

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from ...models.otel import EXECUTE_TOOL
from ...models.query import CALENDAR_UNITS, TIME_UNITS, StatsOptions, StatsScope
from ...models.stats import Period
from ..lines.columns import Column, find_column, held_columns, readable, shown
from ..lines.duckdb_engine import quoted
from ..pricing.rates import KINDS
from ..pricing.spent import COUNTED_UNITS, REFUSED, UNITS, USED
from .filters import Condition, absent, parse_filters, unknown_field
from .fold import CANCELLED
from .period import Offset, bucket_sql, resolve_period, zone_offsets

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = [
    "CANCELLED_OUTCOME", "FAILURE", "PENDING", "SUCCESS", "Group", "Selection", "make_selection", "select", "spread_lists",
]  # fmt: skip

# How a request ended, as `asked` says it.
PENDING: Final = 0
SUCCESS: Final = 1
FAILURE: Final = 2
CANCELLED_OUTCOME: Final = 3

_WIDE: Final = timedelta(days=366 * 200)


@dataclass(frozen=True, slots=True)
class Group:
    """One thing that is grouped by.

    Attributes:
        name: As asked for, and as answers call it.
        column: The field; None for a period of time.
        unit: The period of time; None for a field.
        sql: Its column in `asked`.
    """

    name: str
    column: Column | None
    unit: str | None
    sql: str


@dataclass(frozen=True, slots=True)
class Selection:
    """A scope and options, checked and resolved.

    Attributes:
        priced_at: The moment whose list prices hold for all requests; None: each request's own start.
        extra: Columns that it needs besides the held ones.
    """

    scope: StatsScope
    options: StatsOptions
    period: Period
    groups: tuple[Group, ...]
    conditions: tuple[Condition, ...]
    now: datetime
    extra: tuple[Column, ...] = field(default=())
    priced_at: datetime | None = None

    @property
    def costs(self) -> tuple[tuple[str, Decimal], ...]:
        """The filters by cost."""
        return tuple(condition.cost for condition in self.conditions if condition.cost is not None)

    @property
    def repriced(self) -> bool:
        """Whether requests have the prices of another model or time than their own."""
        return bool(self.options.as_if) or self.priced_at is not None


def make_selection(scope: StatsScope, options: StatsOptions, period: Period, now: datetime) -> Selection:
    """Check and resolve what is asked.

    Raises:
        ValidationError: `INVALID_OPTIONS`, for a group or a filter that is none.
    """
    groups = []
    for place, name in enumerate(options.group_by):
        unit = name if name in {*TIME_UNITS, *CALENDAR_UNITS} else None
        column = None if unit is not None else find_column(name)
        if unit is None and (column is None or column.kind == "json"):
            raise unknown_field("group_by", name)
        groups.append(Group(name, column, unit, f"g{place}"))
    conditions = parse_filters(options, now)
    held = {column.path for column in held_columns()}
    needed = [group.column for group in groups if group.column is not None]
    needed += [condition.column for condition in conditions if condition.cost is None]
    extra = {column.path: column for column in needed if column.path not in held}
    at = options.prices_as_of
    moment = (
        resolve_period(StatsOptions(from_date=at, time_zone=options.time_zone), now).start if at else None
    )
    return Selection(
        scope, options, period, tuple(groups), tuple(conditions), now, tuple(extra.values()), moment
    )


def _where(chosen: Selection) -> tuple[str, list[Any]]:
    clauses = ["true"]
    bound: list[Any] = []
    scope, period = chosen.scope, chosen.period
    if scope.project_id is not None:
        clauses.append("project_id = ?")
        bound.append(readable(scope.project_id))
    if scope.chat_id is not None:
        clauses.append("chat_id = ?")
        bound.append(readable(scope.chat_id))
    if period.start is not None:
        clauses.append("timestamp_start >= ?")
        bound.append(_naive(period.start))
    if period.end is not None:
        clauses.append("timestamp_start < ?")
        bound.append(_naive(period.end))
    if {one.column.path for one in chosen.conditions}.isdisjoint({"operation", "request_type"}):
        # Calls of tools are no requests to a model, and would distort counts and latency; a filter asks for them.
        clauses.append(
            f"(request_type IS DISTINCT FROM 'tool' OR operation IS DISTINCT FROM '{EXECUTE_TOOL}')"
        )
    for condition in chosen.conditions:
        clauses.append(f"({condition.sql})")
        bound.extend(condition.parameters)
    return " AND ".join(clauses), bound


def _bound(db: DuckDBPyConnection, where: str, values: Sequence[Any]) -> str:
    """Return a condition with its values bound as variables of the session: a view takes no parameters.

    The text is split at its `?`, so none may stand for anything else. That holds because values and patterns of users are
    never part of the text, and no condition of ours has a question mark in a literal:

        project_id = ? AND (latency_ms > ?)
        project_id = getvariable('bound_0') AND (latency_ms > getvariable('bound_1'))
    """
    head, *parts = where.split("?")
    assert len(parts) == len(values)
    for place, (value, part) in enumerate(zip(values, parts, strict=True)):
        db.execute(f"SET VARIABLE bound_{place} = ?", [value])
        head += f"getvariable('bound_{place}'){part}"
    return head


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


def offsets_in(db: DuckDBPyConnection, source: str, chosen: Selection) -> list[Offset]:
    """List the offsets of the question's zone over the time of its requests."""
    zone = ZoneInfo(chosen.options.time_zone)
    if zone.key == "UTC" or not any(group.unit not in {None, "hour"} for group in chosen.groups):
        return [Offset(None, 0)]
    row = db.execute(f"SELECT min(timestamp_start), max(timestamp_start) FROM {source}").fetchone()
    first, last = row if row is not None else (None, None)
    if first is None:
        return [Offset(None, 0)]
    first, last = _clipped(first, last, chosen)
    return zone_offsets(zone, first, last)


def _clipped(first: datetime, last: datetime, chosen: Selection) -> tuple[datetime, datetime]:
    """Keep a broken clock's year 1 or 9999 from costing a search through all of history."""
    first, last = first.replace(tzinfo=UTC), last.replace(tzinfo=UTC)
    first = max(first, chosen.period.start or first, chosen.now - _WIDE)
    last = min(last, chosen.period.end or last, chosen.now + _WIDE)
    return min(first, last), max(first, last)


def _group_sql(group: Group, offsets: Sequence[Offset]) -> str:
    if group.unit is not None:
        return f"{bucket_sql(group.unit, 'timestamp_start', offsets)} AS {group.sql}"
    assert group.column is not None
    name = f'"{group.column.name}"'
    match group.column.kind:
        case "list":
            # A request without any belongs to the group of none; see `spread_lists`.
            return (
                f"CASE WHEN {absent(group.column)} THEN [NULL] ELSE list_distinct({name}) END AS {group.sql}"
            )
        case "bool":
            return f"CASE {name} WHEN true THEN 'true' WHEN false THEN 'false' END AS {group.sql}"
        case "time":
            return f"strftime({name}, '%Y-%m-%dT%H:%M:%S.%fZ') AS {group.sql}"
        case "text" | "attribute":
            return f"{name} AS {group.sql}"
        case _:
            return f"{shown(group.column)} AS {group.sql}"


def _priced_as(chosen: Selection) -> dict[str, str]:
    """Return what a request's price is asked for, as SQL: product, reported cost and moment.

    Tokens stay those that were logged, although another model would count the same text otherwise.
    """
    provider, model, reported = "coalesce(provider, '')", "coalesce(response_model, model, '')", "cost_amount"
    swapped = []
    providers, models = "", ""
    for name, other in chosen.options.as_if:
        of_model = f"(model = {quoted(name)} OR response_model = {quoted(name)})"
        other_provider, slash, other_model = other.partition("/")
        models += f"WHEN {of_model} THEN {quoted(other_model if slash else other)} "
        # A model of another provider is found by its name.
        providers += f"WHEN {of_model} THEN {quoted(other_provider if slash else '')} "
        swapped.append(of_model)
    if swapped:
        provider, model = f"CASE {providers}ELSE {provider} END", f"CASE {models}ELSE {model} END"
        reported = f"CASE WHEN NOT coalesce({' OR '.join(swapped)}, false) THEN cost_amount END"
    at = "timestamp_start"
    if chosen.priced_at is not None:
        at = f"CASE WHEN timestamp_start IS NOT NULL THEN TIMESTAMP '{_naive(chosen.priced_at)}' END"
        reported = "NULL::DECIMAL(38, 24)"
    return {"price_provider": provider, "price_model": model, "reported": reported, "price_at": at}


def select(db: DuckDBPyConnection, source: str, chosen: Selection) -> str:
    """Make the view `asked` of the requests in question, with what figures are made of.

    Args:
        db: Where `source` is.
        source: The requests.
        chosen: What is asked.

    Returns:
        The same text wherever the view has the same rows, but for what depends on the time of asking.
    """
    offsets = offsets_in(db, source, chosen)
    clauses, values = _where(chosen)
    where = _bound(db, clauses, values)
    groups = "".join(f", {_group_sql(group, offsets)}" for group in chosen.groups)
    limit = _naive(chosen.now - chosen.options.orphaned_after)
    prompt, completion = "usage_prompt_tokens", "usage_completion_tokens"
    latency, first_token = "timings_latency_ms", "timings_time_to_first_token_ms"
    streamed = f"{latency} - coalesce({first_token}, 0)"
    speed = f"{completion} * 1000.0 / ({streamed})"
    tokens = ", ".join(f"coalesce(usage_{kind}, 0) AS {kind}" for kind in KINDS)
    priced_as = ", ".join(f"{value} AS {name}" for name, value in _priced_as(chosen).items())
    rows = f"""
        SELECT piece, key, model, {priced_as},
            coalesce(service_tier, '') AS price_tier, coalesce(usage_speed, '') AS price_speed, {UNITS} AS units,
            {COUNTED_UNITS} AS price_units, timestamp_start AS started,
            CASE WHEN status = 'success' THEN {SUCCESS} WHEN status = 'pending' THEN {PENDING}
                WHEN {CANCELLED} THEN {CANCELLED_OUTCOME} ELSE {FAILURE} END AS outcome,
            {USED} AS is_counted, NOT {USED} AND status <> 'pending' AND NOT {REFUSED} AS unknown_spend,
            last_of_call, coalesce(attempt, 1) AS attempt, http_status,
            coalesce(error_code, error_type, CASE status WHEN 'timeout' THEN 'timeout' ELSE 'unknown' END) AS error_kind,
            {prompt} IS NOT NULL OR {completion} IS NOT NULL AS has_usage, usage_source, {tokens},
            {prompt} IS NULL AS no_prompt, {completion} IS NULL AS no_completion,
            {latency} AS latency, {first_token} AS first_token,
            CASE WHEN {streamed} > 0 AND isfinite({speed}) THEN {speed} END AS speed,
            coalesce(upper(cost_currency), 'USD') AS currency{groups}
        FROM {source} WHERE {where}
        """
    view = "asked_all" if chosen.costs else "asked"
    db.execute(
        f"CREATE OR REPLACE TEMP VIEW {view} AS SELECT *, TIMESTAMP '{limit}' AS orphan_limit FROM ({rows})"
    )
    if chosen.costs:
        # What is too cheap or too dear leaves it once prices are known; see `cost_filter`.
        db.execute("CREATE OR REPLACE TEMP VIEW asked AS FROM asked_all")
    return f"{rows} {values!r}"


def spread_lists(chosen: Selection, source: str) -> str:
    """Return the table or query in which a request stands once in each of its groups."""
    for name in (g.sql for g in chosen.groups if g.column is not None and g.column.kind == "list"):
        # One inside the other: several in one SELECT would go side by side, and each pair of members is a group.
        source = f"(SELECT * EXCLUDE ({name}), unnest({name}) AS {name} FROM {source})"
    return source
