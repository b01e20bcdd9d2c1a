"""Events and chat messages as typed entries, newest first, one page at a time; see `newest` for the order."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any, Final

import pydantic
from pydantic import BaseModel, Field, SerializeAsAny

from ..clock import clock
from ..errors import ErrorCode, NotFoundError, ValidationError
from ..files.layout import Layout, LogKind
from ..question import StatsOptions, StatsScope
from ..schema import ChatMessage, Event
from ..values import UTCTime
from .arguments import Files, check_request, expect, reading_layout
from .newest import Place, decode_cursor, encode_cursor, micros_of, newest_lines
from .period import resolve_period
from .source import Log, LogFile, named_logs, open_logs, root_not_found

__all__ = ["EventPage", "LoggedEvent", "get_system_logs", "page_size", "read_event"]

_MOST: Final = 10_000
_LEVELS: Final = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}
_ALIASES: Final = {"WARN": "WARNING", "FATAL": "CRITICAL"}
_FILTERS: Final = (
    "level",
    "event_type",
    "logger",
    "error_code",
    "user_id",
    "from_date",
    "to_date",
    "time_zone",
)


class LoggedEvent(Event):
    """One event as it was logged.

    Attributes:
        timestamp: When, aware UTC.
        level: As logging names it.
        logger: Who.
        message: What.
    """

    timestamp: UTCTime | None = None
    level: str | None = None
    logger: str | None = None
    message: str | None = None


class EventPage(BaseModel):
    """One page of events.

    Attributes:
        entries: The newest first.
        cursor: Gives the next page; None where this is the last.
    """

    entries: list[SerializeAsAny[LoggedEvent]] = Field(default_factory=list)
    cursor: str | None = None


def page_size(limit: int) -> int:
    """Check how many entries a page may have.

    Raises:
        ValidationError: Fewer than 1 or more than 10,000.
    """
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= _MOST:
        raise ValidationError(
            f"limit: expected a whole number from 1 to {_MOST:,}, got {limit!r}",
            code=ErrorCode.INVALID_OPTIONS,
        )
    return limit


def read_event(fields: Mapping[str, Any]) -> LoggedEvent:
    """Read an event from a line; a value that its field cannot have stays as it is."""
    try:
        return LoggedEvent.model_validate(dict(fields))
    except (pydantic.ValidationError, RecursionError):
        known = {name: fields.get(name) for name in LoggedEvent.model_fields}
        return LoggedEvent.model_construct(**{**known, **fields})


def read_chat_message(fields: Mapping[str, Any]) -> ChatMessage | None:
    """Read a chat message from a line; None where it is none."""
    try:
        return ChatMessage.model_validate(dict(fields))
    except (pydantic.ValidationError, RecursionError):
        return None


def get_system_logs(
    scope: StatsScope | Mapping[str, Any] | None = None,
    filters: Mapping[str, Any] | None = None,
    limit: int = 50,
    cursor: str | None = None,
    *,
    root: str | os.PathLike[str] | None = None,
    files: Files | None = None,
    now: datetime | None = None,
) -> EventPage:
    """Return events as typed entries, the newest first.

    Args:
        scope: Global or None: those of no project, the library's own notices among them; a project: its events; a
            chat: those that name it.
        filters: Any of `level` (this one and above), `event_type`, `logger`, `error_code`, `user_id`, and
            `from_date`, `to_date`, `time_zone` as in `StatsOptions`.
        limit: At most so many, 1 to 10,000.
        cursor: Of the page before; the other arguments must be the same.
        root: The folder of the logs; None takes `LLM_LOGGING_ROOT`, then `./llm_logs`.
        files: JSON-lines files to read instead, as in `get_stats`.
        now: Aware; what `7d` counts from. None: now.

    Returns:
        A page, and the cursor of the next.

    Raises:
        ValidationError: A filter, a limit or a cursor that is none.
        NotFoundError: A root or a project of which nothing is there.
        FileSystemError: `LOG_READ_ERROR`.
    """
    wanted = page_size(limit)
    before = place_of("events", cursor)
    asked = StatsScope.of(scope, "scope")
    expect("filters", filters, (Mapping, type(None)), "a mapping of fields to values")
    check_request(root=root, files=files, now=now)
    checks = dict(filters or {})
    _check_filters(checks)
    since, until = period_of(checks, now)
    least = _rank(checks["level"]) if checks.get("level") is not None else None

    def want(_file: LogFile, data: bytes) -> LoggedEvent | None:
        fields = object_of(data)
        if fields is None or fields.get("event_type") in {"llm_request", "llm_content", "chat_message"}:
            return None
        if asked.chat_id is not None and fields.get("chat_id") != asked.chat_id:
            return None
        if files is not None and asked.project_id not in {None, fields.get("project_id")}:
            return None
        if least is not None and _rank(fields.get("level"), default=0) < least:
            return None
        equal = ("event_type", "logger", "error_code", "user_id")
        if any(checks.get(name) is not None and fields.get(name) != checks[name] for name in equal):
            return None
        return read_event(fields)

    with ExitStack() as stack:
        logs = named_logs(files, stack) if files is not None else _event_logs(asked, reading_layout(root))
        found = newest_lines(
            open_logs(logs, stack), want, limit=wanted + 1, before=before, since=since, until=until
        )
    shown = found[:wanted]
    following = encode_cursor("events", shown[-1][0]) if len(found) > wanted else None
    return EventPage(entries=[event for _, event in shown], cursor=following)


def _event_logs(scope: StatsScope, layout: Layout) -> list[Log]:
    require_root(layout)
    if scope.project_id is None:
        return [Log(layout.relative(LogKind.SYSTEM), layout.path(LogKind.SYSTEM))]
    require_project(layout, scope.project_id)
    relative = layout.relative(LogKind.EVENTS, scope.project_id)
    return [Log(relative, layout.root / relative)]


def require_root(layout: Layout) -> None:
    """Raise NotFoundError where the root is not there."""
    if not layout.root.is_dir():
        raise root_not_found(layout)


def require_project(layout: Layout, project_id: str) -> None:
    """Raise NotFoundError where a project has no folder."""
    if not layout.project_dir(project_id).is_dir():
        raise NotFoundError(
            f"project {project_id!r}: nothing of it under {layout.root}", code=ErrorCode.PROJECT_NOT_FOUND
        )


def _check_filters(checks: Mapping[str, Any]) -> None:
    unknown = [name for name in checks if name not in _FILTERS]
    if unknown:
        raise ValidationError(
            f"filters: expected some of {', '.join(_FILTERS)}, got {', '.join(map(repr, unknown))}",
            code=ErrorCode.INVALID_OPTIONS,
        )


def _rank(level: Any, *, default: int | None = None) -> int:
    if isinstance(level, int) and not isinstance(level, bool):
        return level
    name = str(level).upper()
    rank = _LEVELS.get(_ALIASES.get(name, name), default)
    if rank is None:
        raise ValidationError(
            f"level: expected one of {', '.join(_LEVELS)}, got {level!r}", code=ErrorCode.INVALID_OPTIONS
        )
    return rank


def period_of(checks: Mapping[str, Any], now: datetime | None) -> tuple[int | None, int | None]:
    """Read `from_date`, `to_date` and `time_zone` as microseconds since 1970."""
    named = {
        name: checks[name] for name in ("from_date", "to_date", "time_zone") if checks.get(name) is not None
    }
    period = resolve_period(
        StatsOptions(**named), (now if now is not None else clock().now()).astimezone(UTC)
    )
    start, end = (None if moment is None else micros_of(moment) for moment in (period.start, period.end))
    return start, end


def place_of(kind: str, cursor: str | None) -> Place | None:
    """Read a cursor of this kind of page."""
    if cursor is None:
        return None
    micros, tie = decode_cursor(kind, cursor)
    return Place(micros, tie)


def object_of(data: bytes) -> dict[str, Any] | None:
    """Read a line; None where it is not one JSON object."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def all_logs(layout: Layout, scope: StatsScope, kinds: Sequence[LogKind]) -> list[Log]:
    """List the logs of a scope, of several kinds.

    Raises:
        NotFoundError: A root or a project of which nothing is there.
    """
    from ..files.segments import active_logs

    require_root(layout)
    if scope.project_id is not None:
        require_project(layout, scope.project_id)
        folders = [layout.project_dir(scope.project_id)]
    else:
        projects = layout.projects_dir
        folders = sorted(path for path in projects.iterdir() if path.is_dir()) if projects.is_dir() else []
    paths = [layout.path(LogKind.SYSTEM)] if LogKind.SYSTEM in kinds and scope.project_id is None else []
    stems = {kind.value for kind in kinds} - {LogKind.SYSTEM.value, LogKind.CHAT.value}
    for folder in folders:
        paths += [path for path in active_logs(folder / "logs") if path.name.removesuffix(".jsonl") in stems]
        if LogKind.CHAT in kinds:
            chats = active_logs(folder / "chats")
            wanted = (
                layout.path(LogKind.CHAT, scope.project_id, scope.chat_id)
                if scope.chat_id is not None
                else None
            )
            paths += [path for path in chats if wanted is None or path == wanted]
    return [Log(path.relative_to(layout.root).as_posix(), path) for path in paths]
