"""Short forms: the figures of a project, a chat, or everything, and what only those have."""

# ruff: noqa: S608  names come from our own columns, values are bound

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from ..figures import ChatMetrics, GlobalMetrics, ProjectMetrics, Stats
from ..files.layout import Layout, LogKind
from ..question import StatsOptions, StatsScope
from .source import Log, open_logs
from .stats import connect, get_stats

__all__ = ["get_chat_metrics", "get_global_metrics", "get_project_metrics"]


def _of_models(stats: Stats) -> dict[str, Any]:
    return {
        "models_used": sorted(model for model in stats.models if model),
        "average_response_time_ms": stats.summary.average_latency_ms,
    }


def _count_distinct(stats: Stats) -> int:
    return len([row for row in stats.breakdown if any(row.group.values())])


def get_project_metrics(project_id: str, **reading: Any) -> ProjectMetrics:
    """Compute the figures of one project.

    Args:
        project_id: The project.
        **reading: `root`, `files` and the other keywords of `get_stats`.

    Raises:
        ValidationError: `INVALID_PROJECT_ID`.
        NotFoundError: `PROJECT_NOT_FOUND`.
    """
    stats = get_stats(
        StatsScope(type="project", project_id=project_id), StatsOptions(group_by="chat"), **reading
    )
    fields = stats.summary.model_dump()
    return ProjectMetrics(
        **fields, **_of_models(stats), project_id=project_id, chat_count=_count_distinct(stats)
    )


def get_chat_metrics(project_id: str, chat_id: str, **reading: Any) -> ChatMetrics:
    """Compute the figures of one chat, with its messages counted from the chat's file.

    Args:
        project_id: The project.
        chat_id: The chat.
        **reading: `root`, `files` and the other keywords of `get_stats`.

    Raises:
        ValidationError: `INVALID_PROJECT_ID` or `INVALID_CHAT_ID`.
        NotFoundError: `PROJECT_NOT_FOUND` or `CHAT_NOT_FOUND`.
    """
    scope = StatsScope(type="chat", project_id=project_id, chat_id=chat_id)
    stats = get_stats(scope, **reading)
    messages = 0 if reading.get("files") is not None else _message_count(scope, Layout(reading.get("root")))
    return ChatMetrics(
        **stats.summary.model_dump(),
        **_of_models(stats),
        project_id=project_id,
        chat_id=chat_id,
        message_count=messages,
    )


def get_global_metrics(**reading: Any) -> GlobalMetrics:
    """Compute the figures of all projects under a root.

    Args:
        **reading: `root`, `files` and the other keywords of `get_stats`.

    Raises:
        NotFoundError: `ROOT_NOT_FOUND`.
    """
    stats = get_stats(StatsScope(type="global"), StatsOptions(group_by="project"), **reading)
    return GlobalMetrics(
        **stats.summary.model_dump(), **_of_models(stats), project_count=_count_distinct(stats)
    )


def _message_count(scope: StatsScope, layout: Layout) -> int:
    """Count the messages of a chat: one an id, however many lines tell of it."""
    chat = Log("chat", layout.path(LogKind.CHAT, scope.project_id, scope.chat_id))
    with ExitStack() as stack:
        files = open_logs([chat], stack)
        if not files:
            return 0
        db = connect()
        stack.callback(db.close)
        db.execute("CREATE TEMP TABLE messages (id VARCHAR)")
        for file in files:
            unpack = {"gz": "gzip", "zst": "zstd", None: "uncompressed"}[file.raw.compression]
            db.execute(
                "INSERT INTO messages SELECT id FROM read_json(?, format='newline_delimited', ignore_errors=true, "
                "columns={'id': 'VARCHAR', 'event_type': 'VARCHAR', 'role': 'VARCHAR'}, "
                f"compression='{unpack}') WHERE coalesce(event_type, 'chat_message') = 'chat_message' "
                "AND id IS NOT NULL AND role IS NOT NULL",
                [str(file.raw.path)],
            )
        row = db.execute("SELECT count(DISTINCT id) FROM messages").fetchone()
    return int(row[0]) if row else 0
