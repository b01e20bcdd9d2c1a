"""From a question to its priced requests: check, open, load, fold, filter, price.

What is behind an answer stays in the database that it was made in, so that figures, prices in use and whatever else is
asked about the same requests come from one place.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ...clock import clock
from ...errors import ErrorCode, FileSystemError, NotFoundError
from ...files.layout import Layout, LogKind
from ...files.segments import list_segments
from ...files.spool.waiting import Waiting, find_waiting
from ...models.query import StatsOptions, StatsScope
from ..cache.eviction import cache_limit
from ..cache.store import cache_folder
from ..lines.arguments import Files, Progress, check_files, check_place, expect, reading_layout
from ..lines.columns import readable
from ..lines.duckdb_engine import duckdb_module
from ..lines.log_files import Log, LogFile, named_logs, open_logs, scope_logs
from ..pricing.overrides import Override, find_overrides, read_overrides
from ..pricing.rates import list_version
from ..segments.loader import Loaded, Loader
from ..sql.cost_filter import keep_by_cost
from ..sql.costs import Costs, kinds_asked, kinds_in, price_asked
from ..sql.fold import Folded, fold_lines
from ..sql.period import resolve_period
from ..sql.selection import Question, ask, make_question

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
import dataclasses

from ..lines.columns import Column, columns, held_columns

__all__ = ["Answer", "Reading", "answer", "begin", "compute", "connect", "duckdb_error"]

_MEMORY: Final = "400MB"


def connect() -> DuckDBPyConnection:
    """Open a database in memory.

    Raises:
        ConfigurationError: `MISSING_DEPENDENCY`, where duckdb is not installed.
    """
    db: DuckDBPyConnection = duckdb_module().connect(
        config={"memory_limit": _MEMORY, "preserve_insertion_order": "false"}
    )
    # A naive time in a line is UTC, whatever zone this machine is in.
    db.execute("SET GLOBAL TimeZone = 'UTC'")
    # In a notebook without ipywidgets the bar is off and cannot be set; a bar is never worth an error.
    with contextlib.suppress(duckdb_error()):
        db.execute("SET enable_progress_bar = false")
    return db


@dataclass
class Answer:
    """What is behind an answer, in the database it was made in.

    Attributes:
        question: What was asked.
        logs: Which logs were read.
        files: Their files, open.
        waiting: What was not in the files yet.
        root: Where they lie; None where files were named.
        layout: Of the root.
        overrides: The file of the user's own rates.
        own: What it says.
        db: Holds `requests`, `asked` and `priced`, once they are computed.
        asked: What tells the rows of `asked` from other rows of the same lines; see `selection.ask`.
    """

    question: Question
    logs: list[Log]
    files: list[LogFile]
    waiting: Waiting
    root: Path | None
    layout: Layout
    overrides: Path | None
    own: list[Override]
    db: DuckDBPyConnection = field(init=False)
    asked: str = ""
    loaded: Loaded = field(default_factory=Loaded)
    folded: Folded = field(default_factory=lambda: Folded(0, 0))
    costs: Costs = field(default_factory=lambda: Costs(6))
    loader: Loader = field(init=False)


@dataclass(frozen=True, slots=True)
class Reading:
    """Where a question's lines come from.

    Attributes:
        root: The folder of the logs; see `find_root`.
        files: Files to read instead.
        cache: Whether parsed segments are kept, and taken where they are.
        cache_dir: Where; None: the user's cache folder.
        prices: The user's own rates; see `overrides`.
        now: Aware; what `7d` and orphaned requests count from. None: now.
        progress: Called with bytes done and bytes in all while lines are parsed.
    """

    root: str | os.PathLike[str] | None = None
    files: Files | None = None
    cache: bool = True
    cache_dir: str | os.PathLike[str] | None = None
    prices: str | os.PathLike[str] | None = None
    now: datetime | None = None
    progress: Progress | None = None

    def __post_init__(self) -> None:
        for name in ("root", "cache_dir", "prices"):
            check_place(name, getattr(self, name))
        check_files(self.files)
        expect("cache", self.cache, (bool, int), "True or False")
        expect("now", self.now, (datetime, type(None)), "a datetime or None")
        expect("progress", self.progress, (Callable, type(None)), "a function or None")  # type: ignore[arg-type]  # an ABC


def begin(scope: StatsScope, options: StatsOptions, reading: Reading, stack: ExitStack) -> Answer:
    """Check a question, and what the cache is told, and open the files that it is about."""
    if reading.cache:
        cache_limit()
    now = (reading.now if reading.now is not None else clock().now()).astimezone(UTC)
    question = make_question(scope, options, resolve_period(options, now), now)
    layout = reading_layout(reading.root)
    root = layout.root if reading.files is None else None
    # Before the files are opened: a line may go from one to the other meanwhile, and is then counted once.
    waiting = find_waiting(root)
    logs = scope_logs(scope, layout, waiting) if reading.files is None else named_logs(reading.files, stack)
    overrides = find_overrides(reading.prices)
    own = read_overrides(overrides) if overrides is not None else []
    files = open_logs(logs, stack, waiting=waiting)
    return Answer(question, logs, files, waiting, root, layout, overrides, own)


def compute(made: Answer, reading: Reading, stack: ExitStack, *, priced: bool = True) -> None:
    """Read, fold, filter and, unless told not to, price the requests of a question."""
    _open_caches(made, reading, use_cache=reading.cache)
    stack.callback(made.db.close)
    try:
        _compute(made, priced=priced)
    except duckdb_error():
        if not reading.cache:
            raise
        # A piece of the cache vanished or is damaged: the lines themselves have the answer.
        made.loader.forget()
        made.db.close()
        _open_caches(made, reading, use_cache=False)
        stack.callback(made.db.close)
        _compute(made, priced=priced)
    _check_scope(made)


def answer(scope: StatsScope, options: StatsOptions, reading: Reading, stack: ExitStack) -> Answer:
    """Read, fold, filter and price the requests of a question."""
    made = begin(scope, options, reading, stack)
    compute(made, reading, stack)
    return made


def _open_caches(made: Answer, reading: Reading, *, use_cache: bool) -> None:
    folder = cache_folder(reading.cache_dir) if use_cache else None
    made.loader = Loader(made.logs, made.question.extra, folder, reading.progress)
    with made.loader.opened(made.files):
        made.db = connect()


def _compute(made: Answer, *, priced: bool) -> None:
    db, question, folder = made.db, made.question, made.loader.folder
    made.loaded = made.loader.load(db, made.files)
    _check_strict(made)
    made.folded = fold_lines(db, extra=question.extra)
    made.asked = ask(db, "requests", question)
    if not priced:
        return
    kinds = made.loaded.kinds
    if made.folded.lines or made.folded.duplicates:
        # Folding brings fields together that no line had together.
        kinds = kinds | set(kinds_in(db, "hot_called"))
    if question.repriced:
        kinds = set(kinds_asked(db))
    made.costs = price_asked(db, made.own, kinds, folder)
    if question.costs:
        keep_by_cost(db, question.costs, made.costs.scale)
        # Which requests fit depends on the prices too.
        made.asked += repr((question.costs, list_version(), made.own))


def duckdb_error() -> type[Exception]:
    """Return DuckDB's error, once it is known to be installed."""
    error: type[Exception] = duckdb_module().Error
    return error


def _check_strict(made: Answer) -> None:
    if not made.question.options.strict:
        return
    for name, parsed in made.loaded.parsed:
        found = parsed.skipped + parsed.invalid
        reasons = [f"{count} x {reason}" for reason, count in found.items()]
        reasons += [parsed.error] if parsed.error else []
        if reasons:
            raise FileSystemError(
                f"{name}: expected only whole lines with usable values, got {', '.join(reasons)}",
                code=ErrorCode.LOG_PARSE_ERROR,
                filename=name,
            )


def _check_scope(made: Answer) -> None:
    """Refuse a project or a chat of which nothing is there."""
    scope, db = made.question.scope, made.db
    if scope.type == "global" or (scope.type == "project" and made.root is not None):
        return
    column = "chat_id" if scope.type == "chat" else "project_id"
    named = scope.chat_id if scope.type == "chat" else scope.project_id
    where = "project_id = ? AND chat_id = ?" if scope.type == "chat" else "project_id = ?"
    ids = [scope.project_id, scope.chat_id] if scope.type == "chat" else [scope.project_id]
    bound = [None if value is None else readable(value) for value in ids]
    known = f"SELECT 1 FROM requests WHERE {where} LIMIT 1"  # noqa: S608  names are our own
    if db.execute(known, bound).fetchone() is not None:
        return
    if scope.type == "chat" and made.root is not None and _chat_is_logged(scope, made.layout, made.waiting):
        return
    code = ErrorCode.CHAT_NOT_FOUND if scope.type == "chat" else ErrorCode.PROJECT_NOT_FOUND
    place = str(made.root) if made.root is not None else "the files"
    raise NotFoundError(
        f"{column} {named!r}: expected a line or a file of it in {place}, found none", code=code
    )


def _chat_is_logged(scope: StatsScope, layout: Layout, waiting: Waiting) -> bool:
    chat = layout.path(LogKind.CHAT, scope.project_id, scope.chat_id)
    if str(chat) in waiting.lines or list_segments(chat):
        return True
    events = [
        Log("events", layout.path(LogKind.EVENTS, scope.project_id)),
    ]
    with ExitStack() as stack:
        return any(_names_chat(file, scope.chat_id) for file in open_logs(events, stack, waiting=waiting))


def _names_chat(file: LogFile, chat_id: str | None) -> bool:
    import json

    from ..lines.source_sql import open_lines

    needle = json.dumps(chat_id).encode()
    # Of a packed file that is damaged, what comes before the damage tells.
    with contextlib.suppress(OSError, EOFError), open_lines(file.raw.path, file.raw.compression) as lines:
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


__all__ = ["ask_requests"]


def ask_requests(
    scope: StatsScope,
    options: StatsOptions,
    reading: Reading,
    stack: ExitStack,
    *,
    every_field: bool = False,
    fields: Sequence[Column] = (),
) -> Answer:
    """Read, fold, filter and price the requests of a question.

    Args:
        scope: Whose.
        options: Period and filters; groups do not matter.
        reading: Where the lines are.
        stack: Closes files and database.
        every_field: Give `requests` every field of the entry, not only those that figures need.
        fields: Fields that `requests` is to have beside those that figures need.

    Returns:
        What is behind the answer; `requests`, `asked` and `priced` are in its database, its files are open.
    """
    asked = options.model_copy(update={"group_by": (), "fill_gaps": False})
    made = begin(scope, asked, reading, stack)
    if every_field or fields:
        held = {column.path for column in held_columns()}
        wanted = columns().values() if every_field else fields
        more = {column.path: column for column in wanted if column.path not in held}
        more.update({column.path: column for column in made.question.extra})
        made.question = dataclasses.replace(made.question, extra=tuple(more.values()))
    compute(made, reading, stack)
    return made
