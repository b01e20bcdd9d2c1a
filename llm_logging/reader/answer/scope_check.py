"""Whether the project or chat of a question exists: a line or a file of it does."""

from __future__ import annotations

import contextlib
import json
from contextlib import ExitStack
from typing import TYPE_CHECKING

from ...errors import ErrorCode, NotFoundError
from ...files.layout import LogKind
from ...files.segments import list_segments
from ...models.query import StatsScope
from ..lines.columns import readable
from ..lines.log_files import Log, LogFile, Sources, open_logs

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["require_scope"]


def require_scope(db: DuckDBPyConnection, scope: StatsScope, sources: Sources) -> None:
    """Refuse a project or a chat that has neither a line nor a file.

    Args:
        db: Where `requests` is.
        scope: What is asked about.
        sources: The open files.

    Raises:
        NotFoundError: `PROJECT_NOT_FOUND` or `CHAT_NOT_FOUND`.
    """
    if scope.type == "global" or (scope.type == "project" and sources.root is not None):
        return
    column = "chat_id" if scope.type == "chat" else "project_id"
    named = scope.chat_id if scope.type == "chat" else scope.project_id
    where = "project_id = ? AND chat_id = ?" if scope.type == "chat" else "project_id = ?"
    ids = [scope.project_id, scope.chat_id] if scope.type == "chat" else [scope.project_id]
    bound = [None if value is None else readable(value) for value in ids]
    known = f"SELECT 1 FROM requests WHERE {where} LIMIT 1"  # noqa: S608  names are our own
    if db.execute(known, bound).fetchone() is not None:
        return
    if scope.type == "chat" and sources.root is not None and _chat_is_logged(scope, sources):
        return
    code = ErrorCode.CHAT_NOT_FOUND if scope.type == "chat" else ErrorCode.PROJECT_NOT_FOUND
    place = str(sources.root) if sources.root is not None else "the files"
    raise NotFoundError(
        f"{column} {named!r}: expected a line or a file of it in {place}, found none", code=code
    )


def _chat_is_logged(scope: StatsScope, sources: Sources) -> bool:
    layout, waiting = sources.layout, sources.waiting
    chat = layout.path(LogKind.CHAT, scope.project_id, scope.chat_id)
    if str(chat) in waiting.lines or list_segments(chat):
        return True
    events = [Log("events", layout.path(LogKind.EVENTS, scope.project_id))]
    with ExitStack() as stack:
        return any(_names_chat(file, scope.chat_id) for file in open_logs(events, stack, waiting=waiting))


def _names_chat(file: LogFile, chat_id: str | None) -> bool:
    needle = json.dumps(chat_id).encode()
    # Of a compressed file that is damaged, the part before the damage counts.
    with contextlib.suppress(OSError, EOFError), file.raw.open() as lines:
        for line in lines:
            if needle not in line:
                continue
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(value, dict) and value.get("chat_id") == chat_id:
                return True
    return False
