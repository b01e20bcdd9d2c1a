"""The reader's public functions: figures of a scope, and short forms of them.

Needs the extra `stats` (`pip install 'llm-logging[stats]'`). Nothing here writes into the logs, and nothing is
aggregated in Python: `query`, `fold`, `costs` and `aggregate` say in SQL what DESIGN.md says in words.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, Unpack
from zoneinfo import ZoneInfo

from ..errors import ErrorCode, ValidationError
from ..files.layout import Layout, LogKind
from ..files.lines import read_lines
from ..files.spool.waiting import Waiting, find_waiting
from ..models.query import TIME_UNITS, StatsOptions, StatsScope
from ..models.stats import (
    ChatMetrics,
    Figures,
    GlobalMetrics,
    Period,
    ProjectMetrics,
    Quality,
    Stats,
    StatsRow,
)
from .answer.groups import grouped
from .answer.results_cache import Answers
from .answer.run import Answer, Reading, begin, compute, connect, duckdb_error
from .cache.store import cache_folder
from .lines.arguments import Files, Progress, ReadingOptions, check_keywords, reading_layout
from .lines.columns import readable
from .lines.duckdb_engine import duckdb_module
from .lines.log_files import Log, LogFile, open_logs
from .retrieval.pages import object_of
from .retrieval.paging import suffix_of
from .sql.group_order import group_order
from .sql.period import bucket_label, buckets_between
from .sql.quality import judge
from .sql.selection import Question, spread_lists

__all__ = ["Progress", "get_chat_metrics", "get_global_metrics", "get_project_metrics", "get_stats"]

# A century of days; a clock that was set to the year 1 would otherwise fill the memory with hours.
_MOST_FILLED: Final = 50_000


def get_stats(
    scope: StatsScope | Mapping[str, Any] | None = None,
    options: StatsOptions | Mapping[str, Any] | None = None,
    *,
    root: str | os.PathLike[str] | None = None,
    files: Files | None = None,
    cache: bool = True,
    cache_dir: str | os.PathLike[str] | None = None,
    prices: str | os.PathLike[str] | None = None,
    now: datetime | None = None,
    progress: Progress | None = None,
) -> Stats:
    """Compute the figures of a scope from its log files.

    Args:
        scope: Which requests, or a mapping of a scope's fields; None: all.
        options: Period, groups, filters, or a mapping of them; None: everything, in UTC.
        root: The folder of the logs; None takes the root of this process's LLMFileHandler, then `LLM_LOGGING_ROOT`, then
            `./llm_logs`.
        files: JSON-lines files to read instead: a path, a pattern, a folder, an open stream, or several of them.
        cache: Whether parsed segments are kept in the cache folder, and taken from there.
        cache_dir: The cache folder; None: `llm_logging` in the user's cache folder.
        prices: A TOML file of the user's own rates; None: see `overrides.find_overrides`.
        now: Aware; what `7d` and orphaned requests count from. None: now.
        progress: Called with bytes done and bytes in all while lines are parsed.

    Returns:
        Summary, breakdown, figures by model, and how far they can be trusted.

    Raises:
        ValidationError: A scope, a group or a filter that is none.
        NotFoundError: A root, a project or a chat of which nothing is there.
        FileSystemError: `LOG_READ_ERROR`; with `strict` also `LOG_PARSE_ERROR`.
        ConfigurationError: `MISSING_DEPENDENCY` without the extra `stats`; a file of rates, or a bound of the cache, that is
            wrong.
    """
    reading = Reading(root, files, cache, cache_dir, prices, now, progress)
    scope, options = StatsScope.of(scope, "scope"), StatsOptions.of(options, "options")
    with ExitStack() as stack:
        made = begin(scope, options, reading, stack)
        known = None
        if cache and made.root is not None and not made.waiting.lines:
            known = Answers(cache_folder(cache_dir), made.question, made.files, made.root, made.overrides)
        whole = known.find_whole() if known is not None else None
        rows = known.find_rows() if known is not None and whole is not None else None
        if whole is None or rows is None:
            whole, rows = _found(made, reading, stack, whole)
            if known is not None:
                known.keep(whole, rows)
        # A question with other groups, or the same one put otherwise, shares what is kept of the whole.
        return whole.model_copy(
            update={
                "scope": scope,
                "period": made.question.period,
                "group_by": list(options.group_by),
                "breakdown": rows,
                "orphaned_after": options.orphaned_after,
            }
        )


def _found(
    made: Answer, reading: Reading, stack: ExitStack, whole: Stats | None
) -> tuple[Stats, list[StatsRow]]:
    try:
        compute(made, reading, stack)
        return _answered(made, whole)
    except duckdb_module().OutOfMemoryException as error:
        raise ValidationError(
            "group_by: expected groups whose figures fit into memory, got more: name fewer groups, or filter by where, "
            f"from_date and to_date ({error})",
            code=ErrorCode.INVALID_OPTIONS,
        ) from error
    except duckdb_error():
        if not reading.cache:
            raise
        # Something of the cache vanished while it was in use: the lines themselves have the answer.
        compute(made, replace(reading, cache=False), stack)
        return _answered(made, whole)


def _answered(made: Answer, whole: Stats | None) -> tuple[Stats, list[StatsRow]]:
    """Return the answer without its groups, unless it is known, and the groups."""
    question = made.question
    groups = tuple(group.sql for group in question.groups)
    spread = spread_lists(question, "asked_odd")
    # A request with several tags stands in several rows of the breakdown, so that is a query of its own.
    apart = spread != "asked_odd"
    together: list[tuple[str, ...]] = [] if whole is not None else [(), ("model",)]
    if groups and not apart:
        together.append(groups)
    passes = [("asked_odd", together)] if together else []
    passes += [(spread, [groups])] if groups and apart else []
    summary, models, rows = Figures(), {}, []
    for source, sets in passes:
        for by, key, fields in grouped(made, source, sets):
            if by == groups and by:
                rows.append(StatsRow(**fields, group=_labels(question, key)))
            elif by:
                models[str(key[0] or "")] = Figures(**fields)
            else:
                summary = Figures(**fields)
    if whole is None:
        ordered = sorted(models.items(), key=lambda item: (-item[1].total_requests, item[0]))
        whole = Stats(summary=summary, models=dict(ordered), quality=_quality(made, summary))
    return whole, _ordered(question, rows, whole.summary)


def _labels(question: Question, key: tuple[Any, ...]) -> dict[str, str | None]:
    zone = ZoneInfo(question.options.time_zone)
    return {
        group.name: bucket_label(group.unit, value, zone) if group.unit is not None else value
        for group, value in zip(question.groups, key, strict=True)
    }


def _ordered(question: Question, rows: list[StatsRow], summary: Figures) -> list[StatsRow]:
    if question.options.fill_gaps:
        rows = rows + _gaps(question, rows, summary)
    order = group_order([group.name for group in question.groups])
    return sorted(rows, key=lambda row: order(row.group))


def _gaps(question: Question, rows: list[StatsRow], summary: Figures) -> list[StatsRow]:
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


def _quality(made: Answer, figures: Figures) -> Quality:
    quality = judge(
        [parsed for _, parsed in made.loaded.parsed],
        made.loaded.numbers,
        names=[log.name for log in made.logs],
        root=made.root,
        unreadable=made.loaded.unreadable,
        figures=figures,
    )
    if figures.unpriced_requests:
        unpriced = made.db.execute(
            "SELECT coalesce(nullif(price_provider, '') || '/', '') || price_model, count(*) FROM priced "
            "WHERE unpriced GROUP BY 1 ORDER BY 2 DESC, 1"
        ).fetchall()
        quality.unpriced_models = dict(unpriced)
        reasons = "SELECT gap, count(*) FROM priced WHERE unpriced GROUP BY 1 ORDER BY 2 DESC, 1"
        quality.unpriced_reasons = dict(made.db.execute(reasons).fetchall())
    joined = made.folded.lines + made.loaded.joined
    quality.folded_lines = max(0, joined - quality.repeated_lines)
    quality.duplicate_requests = made.folded.duplicates
    _note_waiting(quality, made.waiting)
    if made.costs.refused:
        quality.errors[ErrorCode.METRICS_CALCULATION_ERROR.value] = made.costs.refused
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


def _of_models(stats: Stats) -> dict[str, Any]:
    return {
        "models_used": sorted(model for model in stats.models if model),
        "average_response_time_ms": stats.summary.average_latency_ms,
    }


def _count_distinct(stats: Stats) -> int:
    return len([row for row in stats.breakdown if any(row.group.values())])


def get_project_metrics(project_id: str, **reading: Unpack[ReadingOptions]) -> ProjectMetrics:
    """Compute the figures of one project.

    Args:
        project_id: The project.
        **reading: `root`, `files` and the other keywords of `get_stats`.

    Raises:
        ValidationError: `INVALID_PROJECT_ID`.
        NotFoundError: `PROJECT_NOT_FOUND`.
    """
    check_keywords("get_project_metrics", reading)
    stats = get_stats(
        StatsScope(type="project", project_id=project_id), StatsOptions(group_by="chat"), **reading
    )
    fields = stats.summary.model_dump()
    return ProjectMetrics(
        **fields, **_of_models(stats), project_id=project_id, chat_count=_count_distinct(stats)
    )


def get_chat_metrics(project_id: str, chat_id: str, **reading: Unpack[ReadingOptions]) -> ChatMetrics:
    """Compute the figures of one chat, with its messages counted from the chat's file.

    Args:
        project_id: The project.
        chat_id: The chat.
        **reading: `root`, `files` and the other keywords of `get_stats`.

    Raises:
        ValidationError: `INVALID_PROJECT_ID` or `INVALID_CHAT_ID`.
        NotFoundError: `PROJECT_NOT_FOUND` or `CHAT_NOT_FOUND`.
    """
    check_keywords("get_chat_metrics", reading)
    scope = StatsScope(type="chat", project_id=project_id, chat_id=chat_id)
    stats = get_stats(scope, **reading)
    messages = (
        0 if reading.get("files") is not None else _message_count(scope, reading_layout(reading.get("root")))
    )
    return ChatMetrics(
        **stats.summary.model_dump(),
        **_of_models(stats),
        project_id=project_id,
        chat_id=chat_id,
        message_count=messages,
    )


def get_global_metrics(**reading: Unpack[ReadingOptions]) -> GlobalMetrics:
    """Compute the figures of all projects under a root.

    Args:
        **reading: `root`, `files` and the other keywords of `get_stats`.

    Raises:
        NotFoundError: `ROOT_NOT_FOUND`.
    """
    check_keywords("get_global_metrics", reading)
    stats = get_stats(StatsScope(type="global"), StatsOptions(group_by="project"), **reading)
    return GlobalMetrics(
        **stats.summary.model_dump(), **_of_models(stats), project_count=_count_distinct(stats)
    )


def _message_ids(file: LogFile) -> set[str]:
    """Return the ids of the messages of a packed file."""
    found = set()
    for line in read_lines(file.raw.path, suffix=suffix_of(file.raw)):
        fields = object_of(line.data) or {}
        if fields.get("event_type", "chat_message") == "chat_message" and fields.get("role") is not None:
            name = fields.get("id")
            if name is not None:
                found.add(readable(name if isinstance(name, str) else json.dumps(name)))
    return found


def _message_count(scope: StatsScope, layout: Layout) -> int:
    """Count the messages of a chat: one an id, however many lines tell of it."""
    chat = Log("chat", layout.path(LogKind.CHAT, scope.project_id, scope.chat_id))
    with ExitStack() as stack:
        files = open_logs([chat], stack, waiting=find_waiting(layout.root))
        if not files:
            return 0
        db = connect()
        stack.callback(db.close)
        db.execute("CREATE TEMP TABLE messages (id VARCHAR)")
        for file in files:
            if file.raw.compression is not None:
                # Also of a packed file that is damaged, what can be read counts.
                for name in _message_ids(file):
                    db.execute("INSERT INTO messages VALUES (?)", [name])
                continue
            db.execute(
                "INSERT INTO messages SELECT id FROM read_json(?, format='newline_delimited', ignore_errors=true, "
                "columns={'id': 'VARCHAR', 'event_type': 'VARCHAR', 'role': 'VARCHAR'}, "
                "compression='uncompressed') WHERE coalesce(event_type, 'chat_message') = 'chat_message' "
                "AND id IS NOT NULL AND role IS NOT NULL",
                [str(file.raw.path)],
            )
        row = db.execute("SELECT count(DISTINCT id) FROM messages").fetchone()
    return int(row[0]) if row else 0
