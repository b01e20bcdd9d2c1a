"""What all retrieving functions check and build alike: page sizes, periods, places, the logs they read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from ...clock import clock
from ...errors import ErrorCode, NotFoundError, ValidationError
from ...files.layout import Layout, LogKind
from ...files.spool.waiting import Waiting
from ...models.query import StatsOptions, StatsScope
from ..lines.log_files import (
    Log,
    project_folders,
    root_not_found,
    waiting_projects,
)
from ..sql.period import resolve_period
from .paging import Place, decode_cursor, micros_of

__all__ = ["page_size"]


_MOST: Final = 10_000


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


def require_root(layout: Layout) -> None:
    """Raise NotFoundError where the root is not there."""
    if not layout.root.is_dir():
        raise root_not_found(layout)


def require_project(layout: Layout, project_id: str, waiting: Waiting) -> None:
    """Raise NotFoundError where a project has neither a folder nor lines that wait to be written."""
    folder = layout.project_dir(project_id)
    if not folder.is_dir() and folder not in waiting_projects(layout, waiting):
        raise NotFoundError(
            f"project {project_id!r}: nothing of it under {layout.root}", code=ErrorCode.PROJECT_NOT_FOUND
        )


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


def all_logs(layout: Layout, scope: StatsScope, kinds: Sequence[LogKind], waiting: Waiting) -> list[Log]:
    """List the logs of a scope, of several kinds.

    Args:
        layout: Of the root.
        scope: Whose.
        kinds: Which.
        waiting: What is not in the files yet: a log may have nothing else.

    Raises:
        NotFoundError: A root or a project of which nothing is there.
    """
    from ...files.segments import active_logs

    require_root(layout)
    if scope.project_id is not None:
        require_project(layout, scope.project_id, waiting)
        folders = [layout.project_dir(scope.project_id)]
    else:
        folders = project_folders(layout, waiting)
    paths = [layout.path(LogKind.SYSTEM)] if LogKind.SYSTEM in kinds and scope.project_id is None else []
    stems = {kind.value for kind in kinds} - {LogKind.SYSTEM.value, LogKind.CHAT.value}
    for folder in folders:
        logs = waiting.logs_in(folder / "logs") | set(active_logs(folder / "logs"))
        paths += [path for path in sorted(logs) if path.name.removesuffix(".jsonl") in stems]
        if LogKind.CHAT in kinds:
            chats = sorted(waiting.logs_in(folder / "chats") | set(active_logs(folder / "chats")))
            wanted = (
                layout.path(LogKind.CHAT, scope.project_id, scope.chat_id)
                if scope.chat_id is not None
                else None
            )
            paths += [path for path in chats if wanted is None or path == wanted]
    return [Log(path.relative_to(layout.root).as_posix(), path) for path in paths]
