"""What was logged, as typed entries, newest first, one page at a time.

Requests are folded, filtered and counted out by the same steps as the statistics (`query`, `fold`), so the pages of a
question hold exactly the requests that `get_stats` counts for it. Memory holds one page: which requests are on it is
decided in SQL, and only their lines are read again. A cursor is the place of the last entry given; entries that come
later are newer and never move a page.
"""

from __future__ import annotations

import io
import os
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, Field, SerializeAsAny

from ..errors import ErrorCode, NotFoundError, ValidationError
from ..files.layout import LogKind
from ..files.wrappers import Unwrapper
from ..models.query import StatsOptions, StatsScope
from .answer.plan import Reading, make_plan
from .answer.session import Session, open_plan, open_session, run_session
from .lines.arguments import Files, check_request, expect
from .lines.log_files import Log, LogFile, Sources, open_logs, open_sources, rotations
from .retrieval.id_scan import ids_with_part, lines_with_ids, needles_of
from .retrieval.pages import page_size
from .retrieval.paging import decode_cursor, encode_cursor, may_hold
from .retrieval.request_log import (
    RequestLine,
    RequestLog,
    content_of,
    fold_requests,
    key_of,
    read_request_lines,
    read_whole_file,
    to_entry,
)
from .segments.remote import open_root
from .sql.aggregate import money_text
from .sql.costs import costs_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["RequestLogPage", "get_llm_request_logs", "get_request_log", "price_entries", "read_entries"]

Filters = StatsOptions | Mapping[str, Any] | Sequence[str] | str | None

_OPTIONS: Final = ("from_date", "to_date", "time_zone", "where")
# What a list of requests can be sorted by, largest first, as whole numbers: a cursor holds one.
_SORTS: Final = {
    "start": "coalesce(epoch_us(started), {none})",
    "latency": "coalesce((least(latency, 1e15) * 1000)::BIGINT, {none})",
    "tokens": "CASE WHEN has_usage THEN prompt_tokens + completion_tokens ELSE {none} END",
    "cost": "coalesce(CASE WHEN reported IS NULL THEN estimated * {up} // {down} WHEN currency = 'USD' "
    "THEN (reported::DOUBLE * 1e9)::HUGEINT END, {none})",
}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NO_START: Final = -(2**62)
_Row = tuple[uuid.UUID, datetime | None, int]


class RequestLogPage(BaseModel):
    """One page of requests.

    Attributes:
        entries: The newest first, by start.
        cursor: Gives the next page; None where this is the last.
    """

    entries: list[SerializeAsAny[RequestLog]] = Field(default_factory=list)
    cursor: str | None = None


def options_of(filters: Filters) -> StatsOptions:
    """Read the filters of a question.

    Args:
        filters: `StatsOptions`, filters as text (see its `where`), or a mapping of fields to values, in which
            `from_date`, `to_date`, `time_zone` and `where` mean what they mean there.

    Raises:
        ValidationError: `INVALID_OPTIONS`.
    """
    if filters is None:
        return StatsOptions()
    if isinstance(filters, StatsOptions):
        return filters.model_copy(update={"group_by": (), "fill_gaps": False})
    if not isinstance(filters, Mapping):
        return StatsOptions(where=filters)
    named = {name: filters[name] for name in _OPTIONS if name in filters}
    equal = {name: value for name, value in filters.items() if name not in _OPTIONS}
    where = StatsOptions(where=named.pop("where", None)).where
    return StatsOptions(**named, where=(*where, *StatsOptions(where=equal).where))


def get_llm_request_logs(
    scope: StatsScope | Mapping[str, Any] | None = None,
    filters: Filters = None,
    limit: int = 50,
    cursor: str | None = None,
    *,
    root: str | os.PathLike[str] | None = None,
    files: Files | None = None,
    content: bool = True,
    cache: bool = True,
    cache_dir: str | os.PathLike[str] | None = None,
    now: datetime | None = None,
    prices: str | os.PathLike[str] | None = None,
    sort: str = "start",
) -> RequestLogPage:
    """Return requests as typed entries with their list prices, the newest first by their start.

    Example:
        >>> page = llm_logging.get_llm_request_logs(filters={"status": "error"}, limit=2, root="var/llm")
        >>> [(entry.model, entry.error.code) for entry in page.entries]
        [('gpt-4o', 'rate_limited'), ('gpt-4o', 'timeout')]
        >>> page = llm_logging.get_llm_request_logs(filters={"status": "error"}, cursor=page.cursor, root="var/llm")

    Args:
        scope: Whose; None: all.
        filters: `StatsOptions`, filters such as `status=error` or `latency_ms>2000`, or fields and their values.
        limit: How many entries at most, 1 to 10,000.
        cursor: Of the page before; the other arguments must be the same.
        root: The folder of the logs; None takes `LLM_LOGGING_ROOT`, then `./llm_logs`.
        files: JSON-lines files to read instead, as in `get_stats`.
        content: Join messages and response where they are kept.
        cache: As in `get_stats`.
        cache_dir: As in `get_stats`.
        now: Aware; what `7d` counts from. None: now.
        prices: As in `get_stats`.
        sort: `start`, `cost`, `latency` or `tokens`: the largest first, requests without one last.

    Returns:
        A page, and the cursor of the next.

    Raises:
        ValidationError: A scope, a filter, a limit, an order or a cursor that is none.
        NotFoundError: A root, a project or a chat of which nothing is there.
        FileSystemError: `LOG_READ_ERROR`.
        ConfigurationError: `MISSING_DEPENDENCY` without the extra `stats`.
    """
    wanted = page_size(limit)
    if not isinstance(sort, str) or sort not in _SORTS:
        message = f"sort: expected one of {', '.join(_SORTS)}, got {sort!r:.80}"
        raise ValidationError(message, code=ErrorCode.INVALID_OPTIONS, reasons=(message,))
    kind = "requests" if sort == "start" else f"requests by {sort}"
    after = decode_cursor(kind, cursor) if cursor is not None else None
    reading = Reading(root=root, files=files, cache=cache, cache_dir=cache_dir, now=now, prices=prices)
    plan = make_plan(StatsScope.of(scope, "scope"), options_of(filters), reading, lines=True).ungrouped()
    with ExitStack() as stack:

        def page(session: Session) -> tuple[list[_Row], list[RequestLog], bool]:
            rows = _page(session, sort, wanted + 1, after)
            more = len(rows) > wanted
            rows = rows[:wanted]
            found = read_entries(session, rows, stack, content=content)
            _set_costs(found, costs_of(session.db, [row[0] for row in rows], session.costs.scale))
            return rows, found, more

        rows, entries, more = run_session(plan, open_plan(plan, stack), stack, page)
    last = rows[-1] if rows else None
    following = None
    if more and last is not None:
        following = encode_cursor(kind, (int(last[2]), str(last[0])))
    return RequestLogPage(entries=entries, cursor=following)


def _set_costs(
    entries: Sequence[RequestLog], costs: Mapping[uuid.UUID, tuple[Decimal | None, str | None]]
) -> None:
    for entry in entries:
        amount, gap = costs.get(key_of(entry.id), (None, None))
        entry.estimated_cost, entry.unpriced = money_text(amount), gap


def _page(made: Session, sort: str, limit: int, after: Sequence[Any] | None) -> list[_Row]:
    place = _SORTS[sort].format(
        none=_NO_START, up=10 ** max(9 - made.costs.scale, 0), down=10 ** max(made.costs.scale - 9, 0)
    )
    source = "priced" if sort == "cost" else "asked"
    where, bound = "", []
    if after is not None:
        where = "WHERE (place < ? OR (place = ? AND key < ?))"
        bound = [after[0], after[0], uuid_or_refuse(after[1])]
    return made.db.execute(
        f"SELECT key, started, place FROM (SELECT key, started, {place} AS place FROM {source}) {where} "  # noqa: S608
        f"ORDER BY place DESC, key DESC LIMIT {limit:d}",
        bound,
    ).fetchall()


def uuid_or_refuse(text: str) -> uuid.UUID:
    """Read the id in a cursor."""
    try:
        return uuid.UUID(text)
    except ValueError:
        raise ValidationError(
            "cursor: expected one that an earlier page gave", code=ErrorCode.INVALID_OPTIONS
        ) from None


def read_entries(
    made: Session,
    rows: Sequence[_Row],
    stack: ExitStack,
    *,
    content: bool,
) -> list[RequestLog]:
    """Read requests from their lines, in the order given.

    Args:
        made: The session that found them.
        rows: Their keys, starts and places in the order.
        stack: Closes the files of their content.
        content: Join messages and response where they are kept.
    """
    if not rows:
        return []
    db, files = made.db, made.sources.files
    keys = [key for key, *_ in rows]
    owner = {key: key for key in keys}
    logs = list(dict.fromkeys(file.log for file in files))
    starts = [started for _, started, _ in rows]
    # A clock may have been set back, so a line may be older than its request's start.
    logged = db.execute(
        "SELECT min(line_time) FROM lines WHERE key IN (SELECT unnest(?::UUID[]))",
        [[str(key) for key in keys]],
    ).fetchone()
    starts += logged if logged is not None else (None,)
    oldest = None if None in starts else min(s.replace(tzinfo=UTC) for s in starts if s is not None)
    near = [file for file in files if may_hold(file, oldest)]
    texts: dict[uuid.UUID, dict[str, Any]] = defaultdict(dict)
    lines = _collect(near, logs, owner, texts)
    if len(near) < len(files) and any(_odd(lines.get(key, ()), started) for key, started, _ in rows):
        # A start in the future of its line: the line may be in a segment sealed before that start.
        rest = [file for file in files if file not in near]
        _add(lines, _collect(rest, logs, owner, texts))
    if any(key not in lines for key in keys):
        _add(lines, _collect_unnamed(files, logs, owner))
    _add_twins(db, lines, files, logs, owner, texts)
    if content:
        _join_content(owner, lines, near, stack, made.sources, texts)
    folded = fold_requests({key: lines[key] for key in keys if key in lines}, db)
    return [
        to_entry(_with_content(line, texts.get(line.key, {}), content=content)) for line in folded.values()
    ]


def _odd(lines: Sequence[RequestLine], started: datetime | None) -> bool:
    """Say whether a request was not found, or has a line that was logged before it started."""
    if not lines or started is None:
        return True
    return any(line.time is None or line.time < started.replace(tzinfo=UTC) for line in lines)


def _add(lines: dict[uuid.UUID, list[RequestLine]], more: Mapping[uuid.UUID, Sequence[RequestLine]]) -> None:
    for key, found in more.items():
        lines[key] += found


def _add_twins(
    db: DuckDBPyConnection,
    lines: dict[uuid.UUID, list[RequestLine]],
    files: Sequence[LogFile],
    logs: Sequence[Log],
    owner: dict[uuid.UUID, uuid.UUID],
    texts: dict[uuid.UUID, dict[str, Any]],
) -> None:
    """Add the lines of requests that were folded into these, since they are the same call seen twice."""
    rows = db.execute(
        "SELECT DISTINCT mine.key, other.key FROM twins AS mine JOIN twins AS other USING (call) "
        "WHERE mine.key <> other.key AND mine.key IN (SELECT unnest(?::UUID[]))",
        [[str(key) for key in owner]],
    ).fetchall()
    twin_of = {other: key for key, other in rows if key in lines and other not in owner}
    for key, found in _collect(files, logs, {key: key for key in twin_of}, texts).items():
        twin = twin_of[key]
        lines[twin] += found
        texts[twin] = {**texts.pop(key, {}), **texts[twin]}


def _collect(
    files: Sequence[LogFile],
    logs: Sequence[Log],
    owner: Mapping[uuid.UUID, uuid.UUID],
    texts: dict[uuid.UUID, dict[str, Any]],
) -> dict[uuid.UUID, list[RequestLine]]:
    found: dict[uuid.UUID, list[RequestLine]] = defaultdict(list)
    for place, data in lines_with_ids(files, owner):
        file = files[place]
        for line in read_request_lines(data, log=logs.index(file.log), name=file.raw.name):
            if line.key in owner:
                found[owner[line.key]].append(line)
        _note_content(data, owner, texts)
    return found


def _note_content(
    data: bytes, owner: Mapping[uuid.UUID, uuid.UUID], texts: dict[uuid.UUID, dict[str, Any]]
) -> None:
    named = content_of(data)
    if named is not None and named[0] in owner:
        texts[owner[named[0]]].update(named[1])


def _collect_unnamed(
    files: Sequence[LogFile], logs: Sequence[Log], owner: Mapping[uuid.UUID, uuid.UUID]
) -> dict[uuid.UUID, list[RequestLine]]:
    """Find lines that have no id of their own: the statistics name them by their file and number."""
    found: dict[uuid.UUID, list[RequestLine]] = defaultdict(list)
    for rotation in rotations(files):
        unwrapper = Unwrapper()
        for file in rotation:
            for line in read_whole_file(file.raw, log=logs.index(file.log), unwrapper=unwrapper):
                if line.key in owner:
                    found[owner[line.key]].append(line)
    return found


def _with_content(line: RequestLine, texts: Mapping[str, Any], *, content: bool) -> RequestLine:
    names = ("messages", "response")
    for name in names:
        if not content:
            line.fields.pop(name, None)
        elif name in texts:
            line.fields[name] = texts[name]
    return line


def _join_content(
    owner: Mapping[uuid.UUID, uuid.UUID],
    lines: Mapping[uuid.UUID, Sequence[RequestLine]],
    files: Sequence[LogFile],
    stack: ExitStack,
    sources: Sources,
    texts: dict[uuid.UUID, dict[str, Any]],
) -> None:
    actives = {file.log.active for file in files if file.log.active is not None}
    contents = [active.with_name(f"{LogKind.CONTENT.value}.jsonl") for active in sorted(actives)]
    if not contents:
        return
    times = [line.time for found in lines.values() for line in found if line.time is not None]
    oldest = min(times, default=None)
    named = [Log(_name(path, sources.layout.root), path) for path in contents]
    opened = [file for file in open_logs(named, stack, waiting=sources.waiting) if may_hold(file, oldest)]
    for _, data in lines_with_ids(opened, owner):
        _note_content(data, owner, texts)


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def get_request_log(
    request_id: str,
    scope: StatsScope | Mapping[str, Any] | None = None,
    *,
    root: str | os.PathLike[str] | None = None,
    files: Files | None = None,
    content: bool = True,
    prices: str | os.PathLike[str] | None = None,
) -> tuple[RequestLog, list[bytes]]:
    """Return one request, folded, and its lines as they are in the files.

    Example:
        >>> entry, lines = llm_logging.get_request_log("8c0acce7", root="var/llm")
        >>> entry.status, len(lines)
        ('success', 2)

    Args:
        request_id: Its id, or its first or last four or more characters, where only one begins or ends so.
        scope: Where to look; None: everywhere.
        root: The folder of the logs; None takes `LLM_LOGGING_ROOT`, then `./llm_logs`.
        files: JSON-lines files to read instead, as in `get_stats`.
        content: Join messages and response where they are kept.
        prices: As in `get_stats`.

    Returns:
        The entry, and its lines, the oldest first.

    Raises:
        ConfigurationError: `MISSING_DEPENDENCY` without the extra `stats`.
        NotFoundError: No request has this id (`REQUEST_NOT_FOUND`); a root or project that is not there.
        ValidationError: Several ids begin or end so.
        FileSystemError: `LOG_READ_ERROR`.
    """
    expect("request_id", request_id, str, "a text")
    check_request(root=root, files=files)
    asked = StatsScope.of(scope, "scope")
    layout = open_root(root if files is None else None, lines=True, scope=asked)
    with ExitStack() as stack:
        sources = open_sources(layout, files, asked, [LogKind.REQUESTS], stack)
        logs, opened = sources.logs, sources.files
        named = _whole_id(request_id, opened)
        key, needles = key_of(named), needles_of(named)
        owner = {key: key}
        texts: dict[uuid.UUID, dict[str, Any]] = defaultdict(dict)
        raw: list[bytes] = []
        lines: list[RequestLine] = []
        for place, data in lines_with_ids(opened, owner, needles=needles):
            _note_content(data, owner, texts)
            read = read_request_lines(data, log=logs.index(opened[place].log), name=opened[place].raw.name)
            mine = [line for line in read if line.key == key and _in_scope(line, asked)]
            lines += mine
            if mine:
                raw.append(data)
        if not lines:
            somewhere = f"under {layout.root}" if files is None else "in the files"
            raise NotFoundError(
                f"request {request_id!r}: expected a line of it {somewhere}, found none",
                code=ErrorCode.REQUEST_NOT_FOUND,
            )
        if content and files is None:
            _join_content(owner, {key: lines}, opened, stack, sources, texts)
    folded = fold_requests({key: lines})[key]
    entry = to_entry(_with_content(folded, texts.get(key, {}), content=content))
    price_entries([entry], raw, prices=prices)
    return entry, raw


def price_entries(
    entries: Sequence[RequestLog], lines: Sequence[bytes], *, prices: str | os.PathLike[str] | None = None
) -> None:
    """Set the list prices of a few requests, asked of their own lines as of any other file.

    Args:
        entries: The requests.
        lines: All their lines.
        prices: As in `get_stats`.
    """
    file = io.BytesIO(b"".join(line + b"\n" for line in lines))
    plan = make_plan(StatsScope(), StatsOptions(), Reading(files=file, cache=False, prices=prices))
    with ExitStack() as stack:
        made = open_session(plan, stack)
        keys = [key_of(entry.id) for entry in entries]
        _set_costs(entries, costs_of(made.db, keys, made.costs.scale))


def _in_scope(line: RequestLine, scope: StatsScope) -> bool:
    wanted = {"project_id": scope.project_id, "chat_id": scope.chat_id}
    return all(value is None or str(line.fields.get(name)) == value for name, value in wanted.items())


def _whole_id(text: str, files: Sequence[LogFile]) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        pass
    found = ids_with_part(files, text, most=5) if len(text) >= 4 else set()
    if text in found or not found:
        return text
    if len(found) == 1:
        return found.pop()
    raise ValidationError(
        f"request {text!r}: expected the beginning or the end of one id, got that of {', '.join(sorted(found))} ...",
        code=ErrorCode.INVALID_OPTIONS,
    )
