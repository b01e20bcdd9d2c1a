"""Publish requests, folded and priced, as a table of Parquet files that other engines read.

`<table>/day=2026-01-15/revision=0/requests.parquet` holds the requests that started on one UTC day. A day is published once it is over
and every host that ships has reported past its end. Where late lines or prices change a day, the whole day is written again under the next
revision: a file never changes, and the newest revision of a day counts. `create_table` returns the statement that makes table and view
for some engines.
"""

# ruff: noqa: S608  names come from the columns of the schema, values are our own

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Unpack

from ..clock import clock, format_time
from ..errors import ErrorCode, ValidationError
from ..files.objects import ObjectStore
from ..models.query import StatsOptions, StatsScope
from .answer.plan import Reading, make_plan
from .answer.session import Session, open_plan, run_session
from .export import estimated_cost, exported_columns, typed
from .lines.arguments import ReadingOptions, check_keywords
from .lines.duckdb_engine import quoted
from .sql.quality import read_hosts
from .sql.selection import CANCELLED_OUTCOME, FAILURE, PENDING, SUCCESS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["DIALECTS", "PublishReport", "Published", "create_table", "publish", "published_columns"]

_FILE: Final = "requests.parquet"
_TRIES: Final = 5
_OUTCOMES: Final = {
    SUCCESS: "success",
    FAILURE: "failure",
    PENDING: "pending",
    CANCELLED_OUTCOME: "cancelled",
}
_TYPES: Final = {"TIMESTAMP": "TIMESTAMP WITH TIME ZONE", "DECIMAL(38, 24)": "DECIMAL(38,18)"}
# What each engine calls a type, and how its text names table, columns and view.
DIALECTS: Final[dict[str, dict[str, str]]] = {
    "duckdb": {},
    "athena": {
        "VARCHAR": "string", "VARCHAR[]": "array<string>", "BIGINT": "bigint", "DOUBLE": "double", "BOOLEAN": "boolean",
        "TIMESTAMP WITH TIME ZONE": "timestamp", "DECIMAL(38,18)": "decimal(38,18)",
    },
    "bigquery": {},
    "clickhouse": {
        "VARCHAR": "Nullable(String)", "VARCHAR[]": "Array(Nullable(String))", "BIGINT": "Nullable(Int64)",
        "DOUBLE": "Nullable(Float64)", "BOOLEAN": "Nullable(Bool)", "TIMESTAMP WITH TIME ZONE": "Nullable(DateTime64(6, 'UTC'))",
        "DECIMAL(38,18)": "Nullable(Decimal(38, 18))",
    },
    "spark": {},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Published:
    """A day that was written.

    Attributes:
        day: In UTC.
        revision: 0, or which correction it is.
        requests: How many requests it holds.
        key: Its object.
    """

    day: date
    revision: int
    requests: int
    key: str


@dataclass(slots=True)
class PublishReport:
    """What was published.

    Attributes:
        table: The URL of the table.
        days: What was written.
        unchanged: Days that were published before as they are.
        open_days: Days that are not over, or of which a host has not reported yet.
        undated: Requests without a start, which belong to no day.
        fresh_until: Up to when every host that ships is known; None for a root on this machine.
    """

    table: str
    days: list[Published] = field(default_factory=list)
    unchanged: list[date] = field(default_factory=list)
    open_days: list[date] = field(default_factory=list)
    undated: int = 0
    fresh_until: str | None = None


def published_columns() -> dict[str, str]:
    """Return the columns of the table and their types in DuckDB; `day` and `revision` are in the path."""
    return {
        **{column.name: _TYPES.get(column.sql_type, column.sql_type) for column in exported_columns()},
        "outcome": "VARCHAR",
        "counts_as_call": "BOOLEAN",
        "tokens_per_second": "DOUBLE",
        "unpriced": "BOOLEAN",
        "unpriced_reason": "VARCHAR",
        "estimated_cost": "DECIMAL(38,18)",
    }


def publish(
    store: ObjectStore,
    scope: StatsScope | Mapping[str, Any] | None = None,
    options: StatsOptions | Mapping[str, Any] | None = None,
    *,
    incomplete: bool = False,
    **reading: Unpack[ReadingOptions],
) -> PublishReport:
    """Write the closed days of a question as a table.

    Args:
        store: Where the table lies.
        scope: Whose requests; None: all.
        options: Period and filters; the same each time, since a day is written anew where it changed.
        incomplete: Also publish days of which a host has not reported yet.
        **reading: `root`, `files` and the other keywords of `get_stats`.

    Raises:
        FileSystemError: The store refuses or cannot be reached; days that were written stay.
        What `get_stats` raises.
    """
    check_keywords("publish", reading)
    asked = StatsScope.of(scope, "scope"), StatsOptions.of(options, "options"), Reading(**reading)
    plan = make_plan(*asked, lines=True).ungrouped(every_field=True)
    with ExitStack() as stack:
        sources = open_plan(plan, stack)
        known = min((str(host["fresh_until"]) for host in read_hosts(sources.root)), default=None)
        until = (asked[2].now or clock().now()).astimezone(UTC)
        report = PublishReport(store.url, fresh_until=known)
        limit = format_time(until) if known is None or incomplete else min(known, format_time(until))
        run_session(plan, sources, stack, lambda session: _publish(session, store, limit, report))
    return report


def _publish(session: Session, store: ObjectStore, limit: str, report: PublishReport) -> None:
    db = session.db
    db.execute(f"CREATE OR REPLACE TEMP VIEW published AS {_rows(session.costs.scale)}")
    days = db.execute(
        "SELECT (timestamp_start AT TIME ZONE 'UTC')::DATE AS day, count(*) FROM published GROUP BY day ORDER BY day NULLS FIRST"
    ).fetchall()
    revisions = _revisions(store)
    with tempfile.TemporaryDirectory() as folder:
        for day, count in days:
            if day is None:
                report.undated = count
            elif format_time(datetime.combine(day + timedelta(days=1), time(), UTC)) > limit:
                report.open_days.append(day)
            else:
                file = Path(folder, _FILE)
                db.execute(
                    f"COPY (SELECT * FROM published WHERE (timestamp_start AT TIME ZONE 'UTC')::DATE = {quoted(day)} "
                    f"ORDER BY timestamp_start, id) TO {quoted(file)} (FORMAT parquet, COMPRESSION zstd)"
                )
                written = _put(db, store, day, file, revisions.get(day, -1))
                if written is None:
                    report.unchanged.append(day)
                else:
                    report.days.append(Published(day, written, count, _key(day, written)))


def _rows(scale: int) -> str:
    outcomes = " ".join(f"WHEN {number} THEN '{name}'" for number, name in _OUTCOMES.items())
    values = {
        **{column.name: typed(column) for column in exported_columns()},
        "outcome": f"CASE p.outcome {outcomes} END",
        "counts_as_call": "p.last_of_call",
        "tokens_per_second": "p.speed",
        "unpriced": "p.unpriced",
        "unpriced_reason": "p.gap",
        "estimated_cost": estimated_cost(scale, 18),
    }
    chosen = ", ".join(f'({values[name]})::{kind} AS "{name}"' for name, kind in published_columns().items())
    return f"SELECT {chosen} FROM requests AS r JOIN priced AS p USING (key)"


def _key(day: date, revision: int) -> str:
    return f"day={day}/revision={revision}/{_FILE}"


def _revisions(store: ObjectStore) -> dict[date, int]:
    """Return the newest revision of each day that is there."""
    found: dict[date, int] = {}
    for stored in store.list():
        parts = stored.key.split("/")
        if len(parts) == 3 and parts[2] == _FILE:
            day, revision = (
                date.fromisoformat(parts[0].removeprefix("day=")),
                int(parts[1].removeprefix("revision=")),
            )
            found[day] = max(revision, found.get(day, -1))
    return found


def _put(db: DuckDBPyConnection, store: ObjectStore, day: date, file: Path, newest: int) -> int | None:
    """Store a day under the next revision; None where the newest one holds the same."""
    for _ in range(_TRIES):
        if newest >= 0:
            there = file.with_name("there.parquet")
            with there.open("wb") as target:
                target.writelines(store.read(_key(day, newest)))
            if _digest(db, there) == _digest(db, file):
                return None
        if store.put_if_absent(_key(day, newest + 1), file):
            return newest + 1
        # Another process was faster: what it wrote may be the same.
        newest += 1
    raise ValidationError(
        f"{store.url}: expected to write day {day}, but others wrote it {_TRIES} times meanwhile",
        code=ErrorCode.INVALID_STATE,
    )


def _digest(db: DuckDBPyConnection, file: Path) -> Any:
    return db.execute(
        f"SELECT count(*), bit_xor(md5_number_lower(t::VARCHAR)), sum(md5_number_upper(t::VARCHAR)::HUGEINT) "
        f"FROM read_parquet({quoted(file)}, hive_partitioning=false) AS t"
    ).fetchone()


# -- how other engines read it --------------------------------------------------------------------------------------------


def create_table(dialect: str, url: str, name: str = "llm_requests") -> str:
    """Return the statements by which an engine reads a table: the newest revision of each day, as a view.

    Args:
        dialect: One of `DIALECTS`.
        url: Where the table lies.
        name: What the view is called.

    Raises:
        ValidationError: The dialect is unknown.
    """
    if dialect not in DIALECTS:
        raise ValidationError(
            f"dialect: expected one of {', '.join(DIALECTS)}, got {dialect!r}", code=ErrorCode.INVALID_OPTIONS
        )
    return "\n".join(_statements(dialect, url.rstrip("/"), name))


def _statements(dialect: str, url: str, name: str) -> Iterator[str]:
    listed = ",\n".join(
        f"  {column} {DIALECTS[dialect].get(kind, kind)}" for column, kind in published_columns().items()
    )
    files = f"{url}/day=*/revision=*/{_FILE}"
    source = f"{name}_revisions"
    if dialect == "duckdb":
        source = f"read_parquet('{files}', hive_partitioning = true)"
    elif dialect == "athena":
        yield f"CREATE EXTERNAL TABLE {source} (\n{listed}\n)\nPARTITIONED BY (day string, revision int)"
        yield f"STORED AS PARQUET LOCATION '{url}/'"
        yield "TBLPROPERTIES ('projection.enabled' = 'true', 'projection.day.type' = 'date', 'projection.day.format' = 'yyyy-MM-dd',"
        yield "  'projection.day.range' = '2024-01-01,NOW', 'projection.revision.type' = 'integer', 'projection.revision.range' = '0,9',"
        yield f"  'storage.location.template' = '{url}/day=${{day}}/revision=${{revision}}/');"
    elif dialect == "bigquery":
        yield f"CREATE EXTERNAL TABLE {source} WITH PARTITION COLUMNS (day DATE, revision INT64)"
        yield f"OPTIONS (format = 'PARQUET', uris = ['{url}/*'], hive_partition_uri_prefix = '{url}');"
    elif dialect == "spark":
        yield f"CREATE TABLE {source} USING parquet OPTIONS (path '{url}');"
    else:
        yield f"CREATE TABLE {source} (\n{listed},\n  day Date,\n  revision Int64\n)"
        place = (
            f"S3('{files}', 'Parquet')" if not url.startswith(("/", "file:")) else f"File(Parquet, '{files}')"
        )
        yield f"ENGINE = {place} SETTINGS use_hive_partitioning = 1;"
    yield f"CREATE VIEW {name} AS SELECT * FROM {source}"
    newest = "day, max(revision)" if dialect not in {"clickhouse", "bigquery"} else "(day, max(revision))"
    yield f"WHERE (day, revision) IN (SELECT {newest} FROM {source} GROUP BY day);"
