"""All requests of a question as rows: every field of the entry, and what each cost.

Rows come in the order of their start, streamed from the database; the messages and responses are not among them.
Money stays decimal: `estimated_cost` is the list price in dollars, NULL where the provider reported a cost
(`cost.amount`) or it is not known, or only in part; `unpriced` then says what has no price.
"""

# ruff: noqa: S608  names come from the columns of the schema, values are bound

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Unpack

from ..clock import format_time
from ..models.query import StatsOptions, StatsScope
from .answer.plan import Reading, make_plan
from .answer.session import open_plan, run_session
from .lines.arguments import ReadingOptions, check_keywords
from .lines.columns import Column, columns
from .lines.duckdb_engine import quoted
from .sql.aggregate import money_text

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Export", "estimated_cost", "export_requests", "exported_columns", "typed"]

_BATCH: Final = 2000
_COST: Final = "estimated_cost"
_GAP: Final = "unpriced"
_OUTCOMES: Final = (
    "CASE outcome WHEN 0 THEN 'pending' WHEN 1 THEN 'success' WHEN 2 THEN 'failure' ELSE 'cancelled' END"
)
_RENAMED: Final = {
    "cost.amount": "reported_cost", "cost.currency": "currency", "usage.source": "usage_source", "usage.raw": "usage_raw",
    "usage.units": "usage_units",
}  # fmt: skip


def request_fields(scale: int = 12) -> dict[str, str]:
    """Return the columns of the table `requests` as SQL over `requests AS r JOIN priced AS p`.

    Args:
        scale: The decimals of the unit of `estimated`.
    """
    found = {}
    for column in columns().values():
        name = _RENAMED.get(column.path, column.path)
        head, _, leaf = name.partition(".")
        name = leaf if head in {"usage", "timings"} else name.replace(".", "_")
        value = f'r."{column.name}"'
        found[name] = f"{value} AT TIME ZONE 'UTC'" if column.kind == "time" else value
    found["id"] = "r.key::VARCHAR"
    tokens = "r.usage_prompt_tokens", "r.usage_completion_tokens"
    found["total_tokens"] = (
        f"CASE WHEN coalesce({', '.join(tokens)}) IS NOT NULL THEN "
        f"{' + '.join(f'coalesce({part}, 0)' for part in tokens)} END"
    )
    digits = f"repeat('0', {scale}) || p.estimated::VARCHAR"
    amount = f"(left({digits}, -{scale}) || '.' || right({digits}, {scale}))::DECIMAL(38, {min(scale, 18)})"
    found["estimated_cost"] = f"CASE WHEN NOT p.unpriced THEN {amount} END"
    found["unpriced"] = "p.gap"
    reported = f"p.reported::DECIMAL(38, {min(scale, 18)})"
    found["cost"] = (
        f"CASE WHEN p.reported IS NULL THEN {found['estimated_cost']} WHEN p.currency = 'USD' THEN {reported} END"
    )
    found["outcome"] = _OUTCOMES.replace("outcome", "p.outcome", 1)
    found["counts_as_call"] = "r.last_of_call"
    return found


class Export:
    """The requests of a question, ready to be written.

    Attributes:
        names: Of the columns, dotted as in the entry, `unpriced` and `estimated_cost` last.
    """

    def __init__(self, db: DuckDBPyConnection, scale: int) -> None:
        self._db = db
        self._scale = scale
        self._columns = exported_columns()
        self.names = [*(column.path for column in self._columns), _GAP, _COST]

    def _query(self) -> str:
        chosen = [f'{typed(column)} AS "{column.path}"' for column in self._columns]
        cost = estimated_cost(self._scale, min(self._scale, 24))
        return (
            f"SELECT {', '.join(chosen)}, p.gap AS {_GAP}, {cost} AS {_COST} FROM requests AS r JOIN priced AS p USING (key) "
            'ORDER BY r."timestamp_start" NULLS FIRST, r.key'
        )

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield each request as a flat row: absent fields are None, times aware, lists lists, objects decoded."""
        cursor = self._db.execute(self._query())
        while batch := cursor.fetchmany(_BATCH):
            for values in batch:
                row = dict(zip(self.names, values, strict=True))
                for column in self._columns:
                    row[column.path] = _value(column, row[column.path])
                yield row

    def write_parquet(self, path: str | os.PathLike[str]) -> int:
        """Write a Parquet file, compressed with zstd; it replaces what is there when it is whole.

        Returns:
            How many requests it holds.
        """
        target = Path(path)
        unfinished = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            os.close(descriptor)
            row = self._db.execute(
                f"COPY ({self._query()}) TO {quoted(unfinished)} (FORMAT parquet, COMPRESSION zstd)"
            ).fetchone()
            # What writes Parquet opens the file anew.
            unfinished.chmod(0o600)
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)
        return int(row[0]) if row else 0

    def write_duckdb(self, path: str | os.PathLike[str]) -> int:
        """Write a DuckDB database with the table `requests`; it replaces what is there when it is whole.

        Returns:
            How many requests it holds.
        """

        def write(unfinished: Path) -> int:
            self._db.execute(f"ATTACH {quoted(unfinished)} AS exported")
            try:
                self._db.execute(f"CREATE TABLE exported.main.requests AS {self._table_query()}")
                row = self._db.execute("SELECT count(*) FROM exported.main.requests").fetchone()
            finally:
                self._db.execute("DETACH exported")
            return int(row[0]) if row else 0

        return _replaced(path, write)

    def write_sqlite(self, path: str | os.PathLike[str]) -> int:
        """Write a SQLite database with the table `requests`; it replaces what is there when it is whole.

        Times are ISO 8601 text, amounts of money numbers, lists and objects JSON.

        Returns:
            How many requests it holds.
        """
        import sqlite3

        cursor = self._db.execute(self._table_query())
        names = [column[0] for column in cursor.description or ()]

        def write(unfinished: Path) -> int:
            written = 0
            with closing(sqlite3.connect(unfinished)) as target, target:
                target.execute(f"CREATE TABLE requests ({', '.join(names)})")
                insert = f"INSERT INTO requests VALUES ({', '.join('?' * len(names))})"
                while batch := cursor.fetchmany(_BATCH):
                    target.executemany(insert, [[_sqlite(value) for value in row] for row in batch])
                    written += len(batch)
                target.execute("CREATE INDEX requests_by_time ON requests (timestamp_start)")
            return written

        return _replaced(path, write)

    def _table_query(self) -> str:
        """Return the query of the table `requests`, as `database` has it."""
        chosen = ", ".join(f"{value} AS {name}" for name, value in request_fields(self._scale).items())
        return (
            f"SELECT {chosen} FROM requests AS r JOIN priced AS p USING (key) "
            'ORDER BY r."timestamp_start" NULLS FIRST, r.key'
        )


def _replaced(path: str | os.PathLike[str], write: Callable[[Path], int]) -> int:
    """Let a file be written under another name, and put it in its place when it is whole."""
    target = Path(path)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with _private():
            written = write(unfinished)
        unfinished.chmod(0o600)
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    return written


@contextmanager
def _private() -> Iterator[None]:
    """Let files that another library creates be readable by their owner only."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def _sqlite(value: Any) -> Any:
    if isinstance(value, datetime):
        return format_time(value.astimezone(UTC))
    if isinstance(value, Decimal):
        return float(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else value


def exported_columns() -> list[Column]:
    """Return the columns of requests that are exported: every field of the entry."""
    return [column for column in columns().values() if column.kind != "attribute"]


def estimated_cost(scale: int, digits: int) -> str:
    """Return SQL for the list price of a row of `priced` in dollars; NULL where it is not known.

    Args:
        scale: Digits of the unit that prices are computed in.
        digits: Digits behind the point of the result.
    """
    # Text is the only way to shift the decimal point exactly, whatever the unit; a cast reads no exponent behind 24 digits.
    text = f"repeat('0', {scale}) || (CASE WHEN NOT p.unpriced THEN p.estimated END)::VARCHAR"
    return f"(left({text}, -{scale}) || '.' || right({text}, {scale}))::DECIMAL(38, {digits})"


def typed(column: Column) -> str:
    """Return SQL for a field of `requests` as it is exported: times with their zone, total tokens as the sum of the two."""
    name = f'r."{column.name}"'
    if column.path == "usage.total_tokens":
        # By the contract it is the sum of the two, whatever a line says.
        parts = ("r.usage_prompt_tokens", "r.usage_completion_tokens")
        return (
            f"CASE WHEN coalesce({', '.join(parts)}) IS NOT NULL THEN "
            + " + ".join(f"coalesce({part}, 0)" for part in parts)
            + " END"
        )
    return f"{name} AT TIME ZONE 'UTC'" if column.kind == "time" else name


def _value(column: Column, value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo is not None else value.replace(tzinfo=UTC)
    if column.kind == "json" and isinstance(value, str):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def nested(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as an entry has it: groups as objects, absent fields left out, JSON values only."""
    out: dict[str, Any] = {}
    for path, value in row.items():
        if value is None:
            continue
        group, dot, leaf = path.partition(".")
        holder = out.setdefault(group, {}) if dot else out
        holder[leaf if dot else path] = _plain(value)
    return out


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return format_time(value)
    return money_text(value) if isinstance(value, Decimal) else value


@contextmanager
def export_requests(
    scope: StatsScope | Mapping[str, Any] | None = None,
    options: StatsOptions | Mapping[str, Any] | None = None,
    **reading: Unpack[ReadingOptions],
) -> Iterator[Export]:
    """Open the requests of a question for export.

    Example:
        >>> with llm_logging.export_requests(options={"where": "status=error"}, root="var/llm") as export:
        ...     export.write_parquet("errors.parquet")
        17

    Args:
        scope: Whose; None: all.
        options: Period and filters; groups do not matter.
        **reading: `root`, `files` and the other keywords of `get_stats`.

    Yields:
        What can be written, until the block ends.

    Raises:
        What `get_stats` raises.
    """
    check_keywords("export_requests", reading)
    asked = StatsScope.of(scope, "scope"), StatsOptions.of(options, "options"), Reading(**reading)
    plan = make_plan(*asked, lines=True).ungrouped(every_field=True)
    with ExitStack() as stack:
        sources = open_plan(plan, stack)
        yield run_session(plan, sources, stack, lambda session: Export(session.db, session.costs.scale))
