"""What a page shows of a question: its figures beside those of the period before, over time, spread out, and ranked.

Figures are those of `get_stats`; what it has no place for (the heat map, histograms, rankings) is made in one more pass over
the same requests.
"""

# ruff: noqa: S608  names come from our own columns

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Unpack
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field

from ...clock import clock
from ...models.fields import UTCTime
from ...models.query import StatsOptions, StatsScope
from ...models.stats import Figures, PriceReport, Stats, StatsRow
from ..answer.plan import Reading, make_plan
from ..answer.session import Session, open_session
from ..lines.arguments import ReadingOptions, check_keywords
from ..price_report import price_report_of
from ..sql.aggregate import COUNTED, money_text
from ..sql.period import bucket_label, resolve_period
from ..stats import get_stats
from .error_report import ErrorReport, error_report_of
from .rankings import group_sums, largest_groups

__all__ = ["Overview", "RankedGroup", "RankedRequest", "get_overview", "time_unit"]

_RANKED: Final = {"user": "users", "project": "projects", "prompt_name": "prompts", "chat": "chats"}
# Bins are powers of two, four to one: fine enough to see a second hump, coarse enough to be drawn.
_LATENCY_BINS: Final = 2
_TOKEN_BINS: Final = 1


class RankedGroup(BaseModel):
    """The sums of one user, project, prompt or chat."""

    name: str | None = None
    requests: int = 0
    failed_requests: int = 0
    total_tokens: int = 0
    total_cost: str | None = None
    unpriced_requests: int = 0


class RankedRequest(BaseModel):
    """One request of a ranking, without its text."""

    id: str
    project_id: str | None = None
    chat_id: str | None = None
    user_id: str | None = None
    model: str | None = None
    timestamp_start: UTCTime | None = None
    latency_ms: float | None = None
    total_tokens: int = 0
    cost: str | None = None
    unpriced: str | None = None


class Overview(BaseModel):
    """What a page shows.

    Attributes:
        unit: What the time is cut into: `hour`, `day`, `week` or `month`.
        stats: The figures, by time.
        before: The figures of the period before, as long as this one; None where the question has no start.
        costs: For each time and model: its name, the cost of requests with a known cost, and of how many it is not known.
        heat: For each time and bin of latencies: the lower end of the bin in milliseconds, and how many requests.
        tokens: For each kind of tokens and bin: the lower end, and how many requests.
        ranked: The groups with the highest cost, of `users`, `projects`, `prompts` and `chats`.
        dearest: The requests with the highest cost.
        slowest: Those with the longest latency.
    """

    unit: str
    stats: Stats
    before: Figures | None = None
    costs: list[tuple[str, str, float, int]] = Field(default_factory=list)
    heat: list[tuple[str, float, int]] = Field(default_factory=list)
    tokens: list[tuple[str, int, int]] = Field(default_factory=list)
    ranked: dict[str, list[RankedGroup]] = Field(default_factory=dict)
    dearest: list[RankedRequest] = Field(default_factory=list)
    slowest: list[RankedRequest] = Field(default_factory=list)
    errors: ErrorReport
    prices: PriceReport


def time_unit(start: datetime | None, end: datetime | None) -> str:
    """Choose what a period is cut into, so that a chart has between a few and about a hundred times."""
    if start is None or end is None:
        return "day"
    span = end - start
    for limit, unit in ((3, "hour"), (120, "day"), (800, "week")):
        if span <= timedelta(days=limit):
            return unit
    return "month"


def get_overview(
    scope: StatsScope | Mapping[str, Any] | None = None,
    options: StatsOptions | Mapping[str, Any] | None = None,
    *,
    limit: int = 20,
    **reading: Unpack[ReadingOptions],
) -> Overview:
    """Gather what a page shows of a question.

    Args:
        scope: Which requests; None: all.
        options: Period and filters; groups by time are chosen by the period.
        limit: How many requests and groups a ranking has.
        **reading: `root` and the other keywords of `get_stats`.

    Raises:
        What `get_stats` raises.
    """
    check_keywords("get_overview", reading)
    asked = StatsScope.of(scope, "scope")
    given = StatsOptions.of(options, "options")
    now = reading.get("now") or clock().now()
    fixed: ReadingOptions = {**reading, "now": now}
    period = resolve_period(given, now.astimezone(UTC))
    whole = given.model_copy(update={"group_by": (), "fill_gaps": False})
    start, end = period.start, period.end
    if start is None:
        summary = get_stats(asked, whole, **fixed).summary
        start, end = summary.first_request, end or summary.last_request
    unit = time_unit(start, end or now)
    stats = get_stats(asked, given.model_copy(update={"group_by": (unit,), "fill_gaps": True}), **fixed)
    before = None
    if period.start is not None:
        length = min(period.end or now, now.astimezone(UTC)) - period.start
        earlier = whole.model_copy(update={"from_date": period.start - length, "to_date": period.start})
        before = get_stats(asked, earlier, **fixed).summary
    groups = given.model_copy(update={"group_by": (unit, *_RANKED), "fill_gaps": False})
    with ExitStack() as stack:
        reading_once = replace(Reading(**fixed), progress=None)
        made = open_session(make_plan(asked, groups, reading_once), stack)
        drawn = _drawn(made, unit, limit)
        prices = price_report_of(made, "drawn")
        return Overview(
            unit=unit, stats=stats, before=before, errors=_errors(made, stats), prices=prices, **drawn
        )  # fmt: skip


def _errors(made: Session, stats: Stats) -> ErrorReport:
    report = error_report_of(stats.model_copy(update={"group_by": [], "breakdown": list[StatsRow]()}))
    last = dict(
        made.db.execute("SELECT error_kind, max(started) FROM asked WHERE outcome > 1 GROUP BY 1").fetchall()
    )
    for row in report.breakdown:
        moment = last.get(row.error_code)
        row.last_request = moment.replace(tzinfo=UTC) if moment is not None else None
    return report


def _drawn(made: Session, unit: str, limit: int) -> dict[str, Any]:
    db, scale = made.db, made.costs.scale
    zone = ZoneInfo(made.plan.selection.options.time_zone)
    names = (
        "key, model, started, outcome, last_of_call, latency, prompt_tokens, completion_tokens, has_usage, reported, "
        "currency, estimated, unpriced, gap, is_counted, rate_no, price_provider, price_model, price_tier, price_speed, "
        "price_units"
    )
    places = ", ".join(f"g{place}" for place in range(1 + len(_RANKED)))
    db.execute(f"CREATE OR REPLACE TEMP TABLE drawn AS SELECT {names}, {places} FROM priced")

    def label(value: Any) -> str:
        return bucket_label(unit, value, zone) or ""

    cost = f"coalesce(CASE WHEN currency = 'USD' THEN reported::DOUBLE END, estimated::DOUBLE / 1e{scale}, 0)"
    costs = db.execute(
        f"SELECT g0, coalesce(model, ''), sum({cost}), count(*) FILTER (WHERE unpriced) FROM drawn "
        "WHERE g0 IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2"
    ).fetchall()
    bins = f"pow(2, floor(log2(greatest(latency, 1)) * {_LATENCY_BINS}) / {_LATENCY_BINS})"
    heat = db.execute(
        f"SELECT g0, {bins} AS bin, count(*) FROM drawn WHERE {COUNTED} AND latency IS NOT NULL AND g0 IS NOT NULL "
        "GROUP BY 1, 2 ORDER BY 1, 2"
    ).fetchall()
    tokens: list[tuple[str, int, int]] = []
    for kind in ("prompt", "completion"):
        rows = db.execute(
            f"SELECT pow(2, floor(log2({kind}_tokens) * {_TOKEN_BINS}) / {_TOKEN_BINS})::BIGINT AS bin, count(*) "
            f"FROM drawn WHERE has_usage AND {kind}_tokens > 0 GROUP BY 1 ORDER BY 1"
        ).fetchall()
        tokens += [(kind, low, number) for low, number in rows]
    ranked = {}
    for place, name in enumerate(_RANKED.values(), start=1):
        rows_of, _ = largest_groups(db, "drawn", (f"g{place}",), scale=scale, sort="cost", limit=limit)
        ranked[name] = [_group(row[f"g{place}"], group_sums(row, scale)) for row in rows_of]
    return {
        "costs": [(label(at), model, value, number) for at, model, value, number in costs],
        "heat": [(label(at), low, number) for at, low, number in heat],
        "tokens": tokens,
        "ranked": {name: rows for name, rows in ranked.items() if any(row.name is not None for row in rows)},
        "dearest": _requests(made, f"{cost} > 0", cost, limit),
        "slowest": _requests(made, f"{COUNTED} AND latency IS NOT NULL", "latency", limit),
    }


def _group(name: str | None, sums: Mapping[str, Any]) -> RankedGroup:
    return RankedGroup(name=name, **{key: sums[key] for key in RankedGroup.model_fields if key != "name"})


def _requests(made: Session, where: str, order: str, limit: int) -> list[RankedRequest]:
    rows = made.db.execute(
        "SELECT key, g2, g4, g1, model, started, latency, prompt_tokens + completion_tokens, "
        "CASE WHEN currency = 'USD' THEN reported END, CASE WHEN NOT unpriced THEN estimated END, gap "
        f"FROM drawn WHERE {where} ORDER BY {order} DESC, key LIMIT {limit:d}"
    ).fetchall()
    found = []
    for key, project, chat, user, model, started, latency, tokens, reported, estimated, gap in rows:
        amount = reported if reported is not None else None
        if amount is None and estimated is not None:
            amount = Decimal(int(estimated)).scaleb(-made.costs.scale)
        found.append(
            RankedRequest(
                id=str(key), project_id=project, chat_id=chat, user_id=user, model=model, latency_ms=latency,
                timestamp_start=started.replace(tzinfo=UTC) if started is not None else None, total_tokens=tokens or 0,
                cost=money_text(amount), unpriced=gap,
            )
        )  # fmt: skip
    return found
