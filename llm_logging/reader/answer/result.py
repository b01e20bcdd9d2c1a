"""The result: an answer's groups as `Stats`, in order, with gaps filled, and how far it can be trusted."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from ...errors import ErrorCode, ValidationError
from ...files.spool.waiting import Waiting
from ...models.query import TIME_UNITS
from ...models.stats import Figures, Period, Quality, Stats, StatsRow
from ..sql.group_order import group_order
from ..sql.period import bucket_label, buckets_between
from ..sql.quality import judge
from ..sql.selection import Selection, spread_lists
from .group_figures import Sums, grouped
from .partial_sums import KeptSums
from .session import Session

__all__ = ["result_of"]

# A century of days. Without it, a clock that was set to the year 1 would fill the memory with hours.
_MOST_FILLED: Final = 50_000


def result_of(session: Session, whole: Stats | None = None) -> tuple[Stats, list[StatsRow]]:
    """Return the answer without its groups, and the groups.

    Args:
        session: The question, priced.
        whole: The answer without its groups, where it is known.
    """
    question = session.plan.selection
    groups = tuple(group.sql for group in question.groups)
    spread = spread_lists(question, "asked_odd")
    # A request with several tags is in several rows of the breakdown, so that takes a query of its own.
    apart = spread != "asked_odd"
    together: list[tuple[str, ...]] = [] if whole is not None else [(), ("model",)]
    if groups and not apart:
        together.append(groups)
    passes = [("asked_odd", together)] if together else []
    passes += [(spread, [groups])] if groups and apart else []
    summary, models, rows = Figures(), {}, []
    for source, sets in passes:
        for by, key, fields in grouped(_sums(session, source, sets), sets):
            if by == groups and by:
                rows.append(StatsRow(**fields, group=_labels(question, key)))
            elif by:
                models[str(key[0] or "")] = Figures(**fields)
            else:
                summary = Figures(**fields)
    if whole is None:
        ordered = sorted(models.items(), key=lambda item: (-item[1].total_requests, item[0]))
        whole = Stats(summary=summary, models=dict(ordered), quality=_quality(session, summary))
    return whole, _ordered(question, rows, whole.summary)


def _sums(session: Session, source: str, sets: list[tuple[str, ...]]) -> Sums:
    columns = list(dict.fromkeys(name for one in sets for name in one))
    if session.pieces is None or not session.pieces.ready:
        return Sums(session, columns, source)
    return KeptSums(session, columns, source, session.pieces)


def _labels(question: Selection, key: tuple[Any, ...]) -> dict[str, str | None]:
    zone = ZoneInfo(question.options.time_zone)
    return {
        group.name: bucket_label(group.unit, value, zone) if group.unit is not None else value
        for group, value in zip(question.groups, key, strict=True)
    }


def _ordered(question: Selection, rows: list[StatsRow], summary: Figures) -> list[StatsRow]:
    if question.options.fill_gaps:
        rows = rows + _gaps(question, rows, summary)
    order = group_order([group.name for group in question.groups])
    return sorted(rows, key=lambda row: order(row.group))


def _gaps(question: Selection, rows: list[StatsRow], summary: Figures) -> list[StatsRow]:
    """Return rows of zeros for the periods, in every combination of the other groups, that have none."""
    units = [group for group in question.groups if group.unit in TIME_UNITS]
    if not units:
        return []
    first, last = _filled_range(question.period, summary, question.now)
    if first is None or last is None:
        return []
    zone = ZoneInfo(question.options.time_zone)
    finest = min(units, key=lambda group: ("hour", "day", "week", "month").index(group.unit or ""))
    assert finest.unit is not None
    there = {tuple(row.group.items()) for row in rows}
    rest = {
        tuple((group.name, row.group[group.name]) for group in question.groups if group not in units)
        for row in rows
    }
    if len(units) == len(question.groups):
        rest = {()}
    added: list[StatsRow] = []
    for bucket in buckets_between(finest.unit, first, last, zone):
        times = {
            group.name: bucket_label(group.unit, _coarser(bucket, group.unit, zone), zone)
            for group in units
            if group.unit is not None
        }
        for other in sorted(rest, key=str):
            values = {**times, **dict(other)}
            labels = {group.name: values[group.name] for group in question.groups}
            if tuple(labels.items()) not in there:
                if len(added) >= _MOST_FILLED:
                    raise ValidationError(
                        f"fill_gaps: expected a period, unit and groups that make {_MOST_FILLED:,} rows at most, got more",
                        code=ErrorCode.INVALID_OPTIONS,
                    )
                there.add(tuple(labels.items()))
                added.append(StatsRow(group=labels))
    return added


def _coarser(bucket: Any, unit: str | None, zone: ZoneInfo) -> Any:
    if isinstance(bucket, datetime) and unit != "hour":
        return bucket.replace(tzinfo=UTC).astimezone(zone).date()
    return bucket


def _filled_range(period: Period, summary: Figures, now: datetime) -> tuple[datetime | None, datetime | None]:
    """Return the first and last moment whose buckets are to be there."""
    first = period.start if period.start is not None else summary.first_request
    last = summary.last_request
    if period.end is not None:
        ended = min(period.end, max(now, summary.last_request or now))
        last = ended - (ended - ended.replace(microsecond=0) or ended.resolution)
    return first, last


def _quality(session: Session, figures: Figures) -> Quality:
    quality = judge(
        [parsed for _, parsed in session.loaded.parsed],
        session.loaded.numbers,
        names=[log.name for log in session.sources.logs],
        root=session.sources.root,
        unreadable=session.loaded.unreadable,
        figures=figures,
    )
    if figures.unpriced_requests:
        unpriced = session.db.execute(
            "SELECT coalesce(nullif(price_provider, '') || '/', '') || price_model, count(*) FROM priced "
            "WHERE unpriced GROUP BY 1 ORDER BY 2 DESC, 1"
        ).fetchall()
        quality.unpriced_models = dict(unpriced)
        reasons = "SELECT gap, count(*) FROM priced WHERE unpriced GROUP BY 1 ORDER BY 2 DESC, 1"
        quality.unpriced_reasons = dict(session.db.execute(reasons).fetchall())
    joined = session.folded.lines + session.loaded.joined
    quality.folded_lines = max(0, joined - quality.repeated_lines)
    quality.duplicate_requests = session.folded.duplicates
    _note_waiting(quality, session.sources.waiting)
    if session.costs.refused:
        quality.errors[ErrorCode.METRICS_CALCULATION_ERROR.value] = session.costs.refused
    return quality


def _note_waiting(quality: Quality, waiting: Waiting) -> None:
    """Say which lines wait to be written and cannot be read here."""
    if waiting.held:
        quality.complete = False
        quality.notes.append(
            f"{waiting.held:,} lines of this process cannot be written now and wait in its memory; they are not counted"
        )
    quality.notes += [
        f"lines that wait in {folder} to be written cannot be read by this user; they are not counted"
        for folder in waiting.unreadable
    ]
