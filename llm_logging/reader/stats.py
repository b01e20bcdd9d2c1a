"""The reader's public functions: figures of a scope, and short forms of them.

Needs the extra `stats` (`pip install 'llm-logging[stats]'`). Nothing here writes into the logs, and no row is aggregated in
Python. A question is a frozen `Plan` (`answer/plan.py`); `answer/session.py` leads it through load, fold, select and price,
`answer/result.py` turns what comes out into `Stats`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import datetime
from typing import Any, Unpack

from ..errors import ErrorCode, ValidationError
from ..files.layout import Layout, LogKind
from ..files.lines import read_lines
from ..files.spool.waiting import find_waiting
from ..models.query import StatsOptions, StatsScope
from ..models.stats import ChatMetrics, GlobalMetrics, ProjectMetrics, Stats
from .answer.plan import Reading, make_plan
from .answer.result import result_of
from .answer.results_cache import kept_answers
from .answer.session import open_plan, run_session
from .lines.arguments import Files, Progress, ReadingOptions, check_keywords
from .lines.columns import readable
from .lines.duckdb_engine import connect, duckdb_module
from .lines.log_files import Log, LogFile, open_logs
from .retrieval.pages import object_of
from .segments.remote import open_root

__all__ = ["Progress", "get_chat_metrics", "get_global_metrics", "get_project_metrics", "get_stats"]


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

    Example:
        >>> stats = llm_logging.get_stats(options={"from_date": "7d", "group_by": "day,model"}, root="var/llm")
        >>> stats.summary.total_requests, stats.summary.estimated_cost
        (1204, '3.81725')
        >>> [(row.group["day"], row.latency_ms.p95) for row in stats.breakdown]
        [('2026-01-15', 2310.4), ('2026-01-16', 1987.0)]

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
    plan = make_plan(
        StatsScope.of(scope, "scope"),
        StatsOptions.of(options, "options"),
        Reading(root, files, cache, cache_dir, prices, now, progress),
    )
    with ExitStack() as stack:
        sources = open_plan(plan, stack)
        answers = kept_answers(plan, sources)
        whole, rows = answers.find() if answers is not None else (None, None)
        if whole is None or rows is None:
            known = whole
            try:
                whole, rows = run_session(plan, sources, stack, lambda session: result_of(session, known))
            except duckdb_module().OutOfMemoryException as error:
                raise ValidationError(
                    "group_by: expected groups whose figures fit into memory, got more: name fewer groups, or filter by where, "
                    f"from_date and to_date ({error})",
                    code=ErrorCode.INVALID_OPTIONS,
                ) from error
            if answers is not None:
                answers.keep(whole, rows)
    # A question with other groups, or the same one in other words, shares what is kept of the whole.
    return whole.model_copy(
        update={
            "scope": plan.selection.scope,
            "period": plan.selection.period,
            "group_by": list(plan.selection.options.group_by),
            "breakdown": rows,
            "orphaned_after": plan.selection.options.orphaned_after,
        }
    )


def _of_models(stats: Stats) -> dict[str, Any]:
    return {
        "models_used": sorted(model for model in stats.models if model),
        "average_response_time_ms": stats.summary.average_latency_ms,
    }


def _count_distinct(stats: Stats) -> int:
    return len([row for row in stats.breakdown if any(row.group.values())])


def get_project_metrics(project_id: str, **reading: Unpack[ReadingOptions]) -> ProjectMetrics:
    """Compute the figures of one project.

    Example:
        >>> llm_logging.get_project_metrics("shop", root="var/llm").models_used
        ['claude-sonnet-4', 'gpt-4o']

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

    Example:
        >>> llm_logging.get_chat_metrics("shop", "c-17", root="var/llm").message_count
        12

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
    messages = 0
    if reading.get("files") is None:
        layout = open_root(reading.get("root"), lines=False, scope=scope, cache_dir=reading.get("cache_dir"))
        messages = _message_count(scope, layout)
    return ChatMetrics(
        **stats.summary.model_dump(),
        **_of_models(stats),
        project_id=project_id,
        chat_id=chat_id,
        message_count=messages,
    )


def get_global_metrics(**reading: Unpack[ReadingOptions]) -> GlobalMetrics:
    """Compute the figures of all projects under a root.

    Example:
        >>> llm_logging.get_global_metrics(root="var/llm").project_count
        3

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
    """Return the ids of the messages of a compressed file."""
    found = set()
    for line in read_lines(file.raw.path, suffix=file.raw.suffix):
        fields = object_of(line.data) or {}
        if fields.get("event_type", "chat_message") == "chat_message" and fields.get("role") is not None:
            name = fields.get("id")
            if name is not None:
                found.add(readable(name if isinstance(name, str) else json.dumps(name)))
    return found


def _message_count(scope: StatsScope, layout: Layout) -> int:
    """Count the messages of a chat: one per id, however many lines it has."""
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
                # Of a damaged compressed file, what can be read counts.
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
