"""All requests of a question as rows: every field of the entry, and what each cost.

Rows come in the order of their start, streamed from the database; the messages and responses are not among them.
Money stays decimal: `estimated_cost` is the list price in dollars, NULL where the provider reported a cost
(`cost.amount`) or it is not known, or only in part; `unpriced` then says what has no price.
"""

# ruff: noqa: S608  names come from the columns of the schema, values are bound

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
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

__all__ = ["Export", "export_requests"]

_BATCH: Final = 2000
_COST: Final = "estimated_cost"
_GAP: Final = "unpriced"


class Export:
    """The requests of a question, ready to be written.

    Attributes:
        names: Of the columns, dotted as in the entry, `unpriced` and `estimated_cost` last.
    """

    def __init__(self, db: DuckDBPyConnection, scale: int) -> None:
        self._db = db
        self._scale = scale
        self._columns = [column for column in columns().values() if column.kind != "attribute"]
        self.names = [*(column.path for column in self._columns), _GAP, _COST]

    def _query(self) -> str:
        chosen = [f'{_typed(column)} AS "{column.path}"' for column in self._columns]
        # Text is the only way to shift the decimal point exactly, whatever the unit; a cast reads no exponent behind 24 digits.
        known = "CASE WHEN NOT p.unpriced THEN p.estimated END"
        digits = f"repeat('0', {self._scale}) || ({known})::VARCHAR"
        amount = f"left({digits}, -{self._scale}) || '.' || right({digits}, {self._scale})"
        cost = f"({amount})::DECIMAL(38, {min(self._scale, 24)})"
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


def _typed(column: Column) -> str:
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
