"""Events and chat messages as typed entries, newest first, one page at a time; see `retrieval/paging.py` for the order."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import datetime
from typing import Any, Final

import pydantic
from pydantic import BaseModel, Field, SerializeAsAny

from ..errors import ErrorCode, ValidationError
from ..files.layout import LogKind
from ..models.entry import ChatMessage, Event
from ..models.fields import UTCTime
from ..models.query import StatsScope
from .lines.arguments import Files, check_request, expect
from .lines.log_files import LogFile, open_sources
from .retrieval.pages import object_of, page_size, period_of, place_of
from .retrieval.paging import encode_cursor, newest_lines
from .segments.remote import open_root

__all__ = ["EventPage", "LoggedEvent", "get_system_logs", "read_event"]

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

    Example:
        >>> page = llm_logging.get_system_logs(filters={"level": "ERROR", "from_date": "1d"}, root="var/llm")
        >>> [(event.event_type, event.message) for event in page.entries]
        [('error', 'the webhook failed')]

    Args:
        scope: Global or None: those of no project, the library's own notices among them; a project: its events; a
            chat: those that name it.
        filters: Any of `level` (this one and above), `event_type`, `logger`, `error_code`, `user_id`, and
            `from_date`, `to_date`, `time_zone` as in `StatsOptions`.
        limit: How many entries at most, 1 to 10,000.
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
        layout = open_root(root if files is None else None, lines=True, scope=asked)
        kind = LogKind.SYSTEM if asked.project_id is None else LogKind.EVENTS
        found = newest_lines(
            open_sources(layout, files, asked, [kind], stack).files,
            want,
            limit=wanted + 1,
            before=before,
            since=since,
            until=until,
        )
    shown = found[:wanted]
    following = encode_cursor("events", shown[-1][0]) if len(found) > wanted else None
    return EventPage(entries=[event for _, event in shown], cursor=following)


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
