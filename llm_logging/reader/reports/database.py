"""The logs as tables for SQL and data frames: `requests`, `calls`, `lines`, `messages` and `events`.

A query sees a copy of what it names, made for it in memory: of the tables and columns whose names occur in it. Before it
runs, the database is closed to files, the network and changes of its settings, and only reading statements are taken; so
SQL of strangers can read these tables and nothing else. Time and memory are bounded.
"""

# ruff: noqa: S608  names come from the columns of the schema, values are bound

from __future__ import annotations

import json
import os
import re
import tempfile
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from ...errors import ConfigurationError, ErrorCode, ValidationError
from ...files.layout import LogKind
from ...files.lines import read_lines
from ...models.query import StatsOptions, StatsScope
from ..answer.plan import Reading, make_plan
from ..answer.session import Session, open_session
from ..export import request_fields
from ..lines.arguments import ReadingOptions, check_keywords
from ..lines.columns import NOT_HELD, Column, columns
from ..lines.duckdb_engine import connect, duckdb_module, quoted
from ..lines.log_files import open_sources
from ..retrieval.pages import object_of
from ..segments.remote import open_root

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["LogDatabase", "Table", "open_database"]

TABLES: Final = ("requests", "calls", "lines", "messages", "events")
_MESSAGE: Final = {
    "timestamp": "TIMESTAMPTZ", "project_id": "VARCHAR", "chat_id": "VARCHAR", "id": "VARCHAR", "role": "VARCHAR",
    "content": "VARCHAR", "status": "VARCHAR", "created_at": "TIMESTAMPTZ", "parent_message_id": "VARCHAR",
}  # fmt: skip
_EVENT: Final = {
    "timestamp": "TIMESTAMPTZ", "project_id": "VARCHAR", "chat_id": "VARCHAR", "event_type": "VARCHAR", "level": "VARCHAR",
    "logger": "VARCHAR", "message": "VARCHAR", "error_code": "VARCHAR", "data": "JSON",
}  # fmt: skip
_LINE: Final = {
    "timestamp": "TIMESTAMPTZ", "log": "VARCHAR", "event_type": "VARCHAR", "level": "VARCHAR", "logger": "VARCHAR",
    "message": "VARCHAR", "project_id": "VARCHAR", "chat_id": "VARCHAR", "id": "VARCHAR", "line": "JSON",
}  # fmt: skip
_KINDS: Final = {
    "lines": ((LogKind.REQUESTS, LogKind.CHAT, LogKind.EVENTS, LogKind.SYSTEM), _LINE),
    "messages": ((LogKind.CHAT,), _MESSAGE),
    "events": ((LogKind.EVENTS, LogKind.SYSTEM), _EVENT),
}
_MEMORY: Final = "1GB"
_LARGEST: Final = 32 * 2**20
_STAR: Final = re.compile(r"(?<!count\()\*(?!\s*[\d(])|\bsummarize\b|\bdescribe\b|^\s*from\b", re.IGNORECASE)


def _extra_fields() -> dict[str, Column]:
    """Return the columns of `requests` that the cache does not hold, by their name there."""
    named = zip(request_fields(), columns().values(), strict=False)
    return {
        name: column
        for name, column in named
        if column.path in NOT_HELD and name not in {"id", "total_tokens"}
    }


class Table:
    """The rows of an answer, as rows or as a data frame.

    Attributes:
        columns: Their names.
    """

    def __init__(self, db: DuckDBPyConnection, name: str, held: ExitStack) -> None:
        self._db, self._name = db, name
        # The copy is given up with the last reference to it.
        self.close = weakref.finalize(self, held.close)
        self.columns: list[str] = [row[0] for row in db.execute(f"DESCRIBE {name}").fetchall()]

    def __len__(self) -> int:
        row = self._db.execute(f"SELECT count(*) FROM {self._name}").fetchone()
        return int(row[0]) if row else 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield each row as a dict."""
        cursor = self._db.cursor().execute(f"FROM {self._name}")
        while batch := cursor.fetchmany(2000):
            yield from (dict(zip(self.columns, values, strict=True)) for values in batch)

    def rows(self) -> list[tuple[Any, ...]]:
        """Return all rows as tuples."""
        return self._db.execute(f"FROM {self._name}").fetchall()

    def arrow(self) -> Any:
        """Return a `pyarrow.Table`; needs pyarrow."""
        found = self._frame("pyarrow")
        found = found.to_arrow_table() if hasattr(found, "to_arrow_table") else found.arrow()
        return found.read_all() if hasattr(found, "read_all") else found

    def polars(self) -> Any:
        """Return a `polars.DataFrame`; needs polars and pyarrow."""
        self._frame("polars")
        import polars as pl

        return pl.from_arrow(self.arrow())

    def pandas(self) -> Any:
        """Return a `pandas.DataFrame`; needs pandas."""
        return self._frame("pandas").df()

    def _frame(self, package: str) -> Any:
        from importlib.util import find_spec

        if find_spec(package) is None:
            raise ConfigurationError(
                f"this form of a table needs {package}: pip install {package}",
                code=ErrorCode.MISSING_DEPENDENCY,
            )
        return self._db.sql(f"FROM {self._name}")


class LogDatabase:
    """The logs of a root as tables; see `open_database`."""

    def __init__(self, scope: StatsScope, options: StatsOptions, reading: ReadingOptions) -> None:
        self._scope, self._options, self._reading = scope, options, reading

    def requests(
        self,
        *,
        columns: Sequence[str] | None = None,
        since: Any = None,
        until: Any = None,
        where: Any = None,
    ) -> Table:
        """Return requests, folded and priced, the oldest first.

        Args:
            columns: Which; None: all. What figures need is read from the cache, the rest from the lines.
            since: As `StatsOptions.from_date`; None: as the database was opened.
            until: As `StatsOptions.to_date`.
            where: As `StatsOptions.where`.
        """
        known = request_fields()
        names = list(known) if columns is None else list(columns)
        for name in names:
            if name not in known:
                message = f"columns: expected some of {', '.join(known)}, got {name!r:.80}"
                raise ValidationError(message, code=ErrorCode.INVALID_OPTIONS, reasons=(message,))
        changes = {"from_date": since, "to_date": until, "where": where}
        given = {name: value for name, value in changes.items() if value is not None}
        options = StatsOptions(**{**dict(self._options), **given}) if given else self._options
        order = "ORDER BY timestamp_start NULLS FIRST, id" if {"timestamp_start", "id"} <= set(names) else ""
        return _run(
            self._scope, options, self._reading, f"SELECT {', '.join(names)} FROM requests {order}", (), 600.0
        )

    def sql(self, query: str, parameters: Sequence[Any] = (), *, timeout: float = 60.0) -> Table:
        """Answer one query about the tables `requests`, `calls`, `lines`, `messages` and `events`.

        Args:
            query: One statement that reads, in DuckDB's SQL.
            parameters: Values for its `?`.
            timeout: Seconds after which it is given up.

        Raises:
            ValidationError: It is no such statement, names what is not there, or needs more time or memory.
        """
        return _run(self._scope, self._options, self._reading, query, parameters, timeout)


def open_database(
    root: str | os.PathLike[str] | None = None,
    scope: StatsScope | Mapping[str, Any] | None = None,
    options: StatsOptions | Mapping[str, Any] | None = None,
    **reading: Any,
) -> LogDatabase:
    """Open logs for SQL and data frames; also as `llm_logging.open`.

    Args:
        root: The folder of the logs; None as in `get_stats`.
        scope: Whose requests are in the tables; None: all.
        options: Period and filters of `requests` and `calls`.
        **reading: `files` and the other keywords of `get_stats`.

    Example:
        >>> llm_logging.open("var/llm").sql("select model, sum(cost) from requests group by all").rows()
    """
    check_keywords("open", reading)
    given = cast("ReadingOptions", {**reading, "root": root})
    Reading(**given)
    return LogDatabase(StatsScope.of(scope, "scope"), StatsOptions.of(options, "options"), given)


def _refused(text: str) -> ValidationError:
    return ValidationError(f"sql: {text}", code=ErrorCode.INVALID_OPTIONS, reasons=(text,))


def _run(
    scope: StatsScope,
    options: StatsOptions,
    reading: ReadingOptions,
    query: str,
    parameters: Sequence[Any],
    timeout: float,
) -> Table:
    duckdb = duckdb_module()
    with ExitStack() as stack:
        _check(duckdb, query)
        words = set(re.findall(r"\w+", query.lower()))
        named = {table for table in TABLES if table in words}
        if named & {"requests", "calls"}:
            star = _STAR.search(query) is not None
            extra = [column for name, column in _extra_fields().items() if star or name in words]
            plan = make_plan(scope, options, Reading(**reading), lines=bool(extra)).ungrouped(fields=extra)
            made = open_session(plan, stack)
            db = made.db
            _copy_requests(made, named, None if star else words, extra)
        else:
            db = connect()
            stack.callback(db.close)
        for table in sorted(named & set(_KINDS)):
            _copy_lines(db, table, scope, reading)
        # The copies outlive the views that they were made from, and see nothing else.
        reader = db.cursor()
        reader.execute("SET preserve_insertion_order = true")
        reader.execute(f"SET memory_limit = '{_MEMORY}'")
        reader.execute("SET enable_external_access = false")
        reader.execute("SET lock_configuration = true")
        _answer(duckdb, reader, query, parameters, timeout)
        return Table(reader, "main.query_answer", stack.pop_all())


def _check(duckdb: Any, query: str) -> None:
    try:
        statements = duckdb.extract_statements(query)
    except duckdb.Error as error:
        raise _refused(str(error)) from None
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise _refused("expected one statement that reads, such as SELECT")


def _answer(
    duckdb: Any, db: DuckDBPyConnection, query: str, parameters: Sequence[Any], timeout: float
) -> None:
    late = threading.Event()

    def give_up() -> None:
        late.set()
        db.interrupt()

    timer = threading.Timer(timeout, give_up)
    timer.daemon = True
    timer.start()
    try:
        # The last newline ends a comment at the end of the query.
        inner = query.strip().rstrip(";")
        db.execute(f"CREATE TABLE main.query_answer AS FROM ({inner}\n)", list(parameters))
    except duckdb.Error as error:
        if late.is_set():
            raise _refused(f"expected an answer within {timeout:g} seconds") from None
        raise _refused(str(error).split("\n\n", maxsplit=1)[0]) from None
    finally:
        timer.cancel()


def _copy_requests(made: Session, named: set[str], words: set[str] | None, extra: Sequence[Column]) -> None:
    """Make the tables of requests, with those columns whose names occur in a query."""
    db, all_fields = made.db, request_fields(made.costs.scale)
    read = {column.name for column in extra}
    missing = {name for name, column in _extra_fields().items() if column.name not in read}
    fields = {name: value for name, value in all_fields.items() if name not in missing}
    wanted = {name: value for name, value in fields.items() if words is None or name in words or name == "id"}
    if "requests" in named:
        chosen = ", ".join(f"{value} AS {name}" for name, value in wanted.items())
        db.execute(
            f"CREATE TABLE main.requests AS SELECT {chosen} FROM temp.requests AS r JOIN priced AS p USING (key) "
        )
    if "calls" in named:
        db.execute(_calls_sql(fields))


def _calls_sql(fields: Mapping[str, str]) -> str:
    last = {name: fields[name] for name in ("project_id", "chat_id", "user_id", "model", "provider")}
    chosen = ", ".join(f"arg_max({value}, attempt_no) AS {name}" for name, value in last.items())
    call = "coalesce('g' || r.group_key::VARCHAR || coalesce(r.project_id, ''), r.key::VARCHAR)"
    return (
        f"CREATE TABLE main.calls AS SELECT {chosen}, count(*) AS attempts, "
        f"arg_max({fields['outcome']}, attempt_no) AS outcome, min({fields['timestamp_start']}) AS timestamp_start, "
        f"sum(r.timings_latency_ms) AS latency_ms, sum(p.prompt_tokens) AS prompt_tokens, "
        f"sum(p.completion_tokens) AS completion_tokens, sum({fields['cost']}) AS cost, "
        "count(*) FILTER (WHERE p.unpriced) AS unpriced_attempts FROM (SELECT *, coalesce(attempt, 1) AS attempt_no "
        f"FROM temp.requests) AS r JOIN priced AS p USING (key) GROUP BY {call}"
    )


def _copy_lines(db: DuckDBPyConnection, table: str, scope: StatsScope, reading: ReadingOptions) -> None:
    """Make the table of chat messages, of events, or of all lines as they are."""
    kinds, types = _KINDS[table]
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / f"{table}.jsonl"
        with copy.open("w", encoding="utf-8") as target:
            for log, fields in _objects(scope, reading, kinds, stack):
                is_message = fields.get("role") is not None and "content" in fields
                is_ours = table == "lines" or is_message == (table == "messages")
                if is_ours and (
                    table == "lines" or not str(fields.get("event_type")).startswith("llm_request")
                ):
                    every = {**fields, "log": log, "line": json.dumps(fields)} if table == "lines" else fields
                    target.write(json.dumps({name: _cut(every.get(name)) for name in types}) + "\n")
        shape = ", ".join(f"{quoted(name)}: 'VARCHAR'" for name in types)
        cast = ", ".join(f'TRY_CAST("{name}" AS {kind}) AS "{name}"' for name, kind in types.items())
        db.execute(
            f"CREATE TABLE main.{table} AS SELECT {cast} FROM read_json({quoted(copy)}, "
            f"format = 'newline_delimited', columns = {{{shape}}}, maximum_object_size = {_LARGEST}) "
            "ORDER BY timestamp NULLS FIRST"
        )


def _objects(
    scope: StatsScope, reading: ReadingOptions, kinds: Sequence[LogKind], stack: ExitStack
) -> Iterator[tuple[str, dict[str, Any]]]:
    if reading.get("files") is not None:
        raise _refused("expected a root for the tables lines, messages and events, got files")
    layout = open_root(reading.get("root"), lines=True, scope=scope)
    for file in open_sources(layout, None, scope, kinds, stack).files:
        for line in read_lines(file.raw.path, suffix=file.raw.suffix):
            fields = object_of(line.data) if line.problem is None and line.data else None
            if fields is not None and scope.chat_id in {None, fields.get("chat_id")}:
                yield file.log.name, fields


def _cut(value: Any) -> Any:
    """Cut a text that is longer than a row may be; the rest stands in the file."""
    return value[: _LARGEST // 16] if isinstance(value, str) else value
