"""Step 2, fold: lines become requests, requests seen twice become one, calls get their last attempt.

The rules:

- Of the lines of one id, final lines rank above pending ones.
- Each writer is dated by its line with the highest `seq` in a log; a line without writer or `seq` by its own time. The writer
  with the latest date wins (`ranked_sql`).
- Each field of the entry comes from the highest-ranked line that has it; `usage`, `timings`, `error` and `cost` are taken as
  wholes. The start is the earliest.
- Requests of one call that two instrumentations saw are folded by the same rules; `twins` decides which these are.
- A call is a `request_group` in its project, else the request itself. It counts where its last finished attempt is: the
  highest `attempt`, then the latest start.

Only rows that share an id, a group or a call with others are folded; they are called hot. All other rows pass through:

    lines ─┬─ not hot ──────────────────────────────────────────────────────────────────> requests
           └─ hot ─> hot_by_id ─┬─ no twin ─────────────────────> hot_requests ─> hot_called ─┘
                    (one per id)└─ hot_twice ─> hot_calls_once ──┘     (+ last_of_call)

A piece of a log is folded when it is made (`fold_piece`), but only where no line elsewhere can change the result. Other
lines are kept as they are, and are hot in every answer.
"""

# ruff: noqa: S608  names come from the columns of the schema, values are bound

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..lines.columns import Column, held_columns
from .tables import create_table, row_names, row_types
from .twins import Seen, twins

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = [
    "CANCELLED",
    "FINISHED",
    "HOT",
    "MAY_BE_TWINS",
    "Folded",
    "drop_pending",
    "fold_lines",
    "fold_piece",
    "ranked_sql",
]

CANCELLED: Final = "(status IN ('error', 'timeout') AND error_code IS NOT DISTINCT FROM 'cancelled')"
FINISHED: Final = f"(status <> 'pending' AND NOT {CANCELLED})"

# Rows that share one of these keys are folded together; NULL is shared with no row.
HOT: Final = {"hot_ids": "key", "hot_doubles": "response_key", "hot_calls": "group_key"}
# Rows of one response id are looked at only where this aggregate says that `twins` may find some of them to be one call.
MAY_BE_TWINS: Final = (
    "count(*) > 1 AND (min(instrumentation) <> max(instrumentation) OR (count(instrumentation) < count(*) "
    "AND (count(instrumentation) > 0 OR count(span_key) > 1)))"
)

# Where the tables of the keys of rows that join others are, and what rows have of them.
_JOINING: Final = {"hot_ids": "key", "twins": "key", "hot_calls": "group_key"}
# How many lines are folded at once; this many need about 100 MB.
_MOST_AT_ONCE: Final = 100_000
# What decides whether two requests are one call.
_OF_TWINS: Final = (
    "response_key", "provider", "project_id", "chat_id", "user_id", "attempt", "instrumentation", "trace_key", "span_key",
    "timestamp_start", "timestamp_end", "timings_latency_ms",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Folded:
    """How many rows joined others.

    Attributes:
        lines: Lines that joined another of the same id.
        duplicates: Requests that joined another of the same call; see `twins`.
    """

    lines: int
    duplicates: int


def fold_lines(db: DuckDBPyConnection, *, extra: Sequence[Column] = ()) -> Folded:
    """Fold the view `lines` into the view `requests`.

    Args:
        db: Where `lines` is: the columns of a parsed line, `filename` and `piece`; `hot_ids`, `hot_doubles` and `hot_calls`, the
            keys that occur more than once in it; and `file_logs`, which says to which log a file belongs.
        extra: Columns besides the held ones.

    Returns:
        How many rows joined others; `requests` also has `last_of_call`, true for the request its call counts by, and
        `piece`, NULL for what was folded here.
    """
    _find_twins(db)
    hot = _is_hot(db)
    db.execute(
        f"CREATE OR REPLACE TEMP TABLE hot_lines AS SELECT key, seq, line_time, piece FROM lines WHERE {hot}"
    )
    fields = (*held_columns(), *extra)
    names = row_names(extra)
    hot_lines = _one(db, "SELECT count(*) FROM hot_lines")
    if not hot_lines:
        db.execute(
            f"CREATE OR REPLACE TEMP VIEW requests AS SELECT {names}, {FINISHED} AS last_of_call, piece FROM lines"
        )
        return Folded(0, 0)
    _fold_by_id(db, hot, hot_lines // _MOST_AT_ONCE + 1, fields)
    requests = _one(db, "SELECT count(*) FROM hot_by_id")
    db.execute(
        "CREATE OR REPLACE TEMP TABLE hot_twice AS SELECT call AS fold_key, h.* "
        "FROM hot_by_id AS h JOIN twins USING (key)"
    )
    db.execute(f"CREATE OR REPLACE TEMP TABLE hot_calls_once AS {_fold_sql('hot_twice', fields)}")
    db.execute(
        "CREATE OR REPLACE TEMP VIEW hot_requests AS SELECT * FROM hot_by_id "
        "WHERE key NOT IN (SELECT key FROM hot_twice) UNION ALL BY NAME SELECT * FROM hot_calls_once"
    )
    final = _one(db, "SELECT count(*) FROM hot_requests")
    _mark_calls(db)
    db.execute(
        f"CREATE OR REPLACE TEMP VIEW requests AS "
        f"SELECT {names}, {FINISHED} AS last_of_call, piece FROM lines WHERE NOT ({hot}) "
        f"UNION ALL SELECT {names}, last_of_call, NULL::INTEGER FROM hot_called"
    )
    return Folded(lines=hot_lines - requests, duplicates=requests - final)


def _fold_by_id(db: DuckDBPyConnection, hot: str, parts: int, fields: Sequence[Column]) -> None:
    """Make the table `hot_by_id`, in parts by id: the states of an aggregate do not go to the disk.

    Args:
        db: Where `lines` is.
        hot: Which of them to fold, as SQL.
        parts: How many.
        fields: The columns to fold.
    """
    for part in range(parts):
        of_part = f" AND hash(key) % {parts} = {part}" if parts > 1 else ""
        db.execute(
            "CREATE OR REPLACE TEMP TABLE hot_part AS SELECT key AS fold_key, l.* EXCLUDE (filename), log_no "
            f"FROM (SELECT * FROM lines WHERE ({hot}){of_part}) AS l LEFT JOIN file_logs USING (filename)"
        )
        make = "INSERT INTO hot_by_id BY NAME" if part else "CREATE OR REPLACE TEMP TABLE hot_by_id AS"
        db.execute(f"{make} {_fold_sql('hot_part', fields)}")
    db.execute("DROP TABLE hot_part")


def fold_piece(db: DuckDBPyConnection, source: str, target: str, extra: Sequence[Column] = ()) -> int:
    """Fold the requests of a piece as far as no line elsewhere could change the result.

    One line may stand for an id where all of its lines are of one writer, with different numbers, and the winner has every
    field that any of them has. Two steps, since nearly all requests are a pending and a final line:

        id  writer seq status   tokens user
        A   w      1   pending  -      u      _pair: the final line has all that the pending one has;
        A   w      2   success  15     u             the pending line is dropped           -> one row
        B   w      3   pending  -      u      _pair does not apply: the final line lacks `user`, so what it would
        B   w      4   success  15     -             become depends on lines elsewhere     -> two rows, hot in every answer
        C   w      5   pending  -      u      _fold_rest: three lines; the winner (seq 7) has every field
        C   w      6   error    -      u             of the others
        C   w      7   success  15     u                                                   -> one row
        D   w,x                               two writers: the later one wins, and a later line may come elsewhere
                                                                                           -> all rows, hot

    Args:
        db: Where `source` is: a parsed file.
        source: Its table.
        target: The table to make, of the held columns.
        extra: Columns besides the held ones.

    Returns:
        How many lines joined others.
    """
    names = row_names(extra)
    if not _find_many(db, source):
        db.execute(f"CREATE OR REPLACE TEMP VIEW {target} AS SELECT {names} FROM {source} WHERE kind = 1")
        return 0
    paired = _pair(db, source, extra)
    rows = f"SELECT {names} FROM {source} WHERE kind = 1 AND rowid NOT IN (SELECT pending_row FROM paired)"
    if not _one(db, "SELECT count(*) FROM many"):
        db.execute(f"CREATE OR REPLACE TEMP VIEW {target} AS {rows}")
        return paired
    return paired + _fold_rest(db, source, rows, target, extra)


def drop_pending(db: DuckDBPyConnection, source: str, extra: Sequence[Column]) -> int:
    """Delete from a table of parsed lines the pending ones that folding drops without a trace; return how many."""
    if not _find_many(db, source):
        return 0
    paired = _pair(db, source, extra)
    db.execute(f"DELETE FROM {source} WHERE rowid IN (SELECT pending_row FROM paired)")
    return paired


def _find_many(db: DuckDBPyConnection, source: str) -> bool:
    """Make the table `many` of the ids that have several lines; say whether there are any."""
    db.execute(
        f"CREATE OR REPLACE TEMP TABLE many AS SELECT key, count(*) AS lines FROM {source} "
        "WHERE kind = 1 GROUP BY key HAVING count(*) > 1"
    )
    return _one(db, "SELECT count(*) FROM many") > 0


def _pair(db: DuckDBPyConnection, source: str, extra: Sequence[Column]) -> int:
    """Find the pending lines that folding drops without a trace, and take their keys out of `many`.

    That is what most requests are: a pending line and a final one, both of one writer, the final one with every field
    that the pending one has and no later start. Makes `paired`, which names the pending lines by `rowid`.
    """
    # A bit for each field that a line has: what is joined stays narrow.
    fields = (*held_columns(), *extra)
    held = [column.name for column in fields if column.path not in {"status", "timestamp_start"}]
    bits = " + ".join(
        f'CASE WHEN "{name}" IS NOT NULL THEN {1 << bit} ELSE 0 END' for bit, name in enumerate(held)
    )
    db.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE paired AS
        WITH lines AS (
            SELECT rowid AS row_no, key, status = 'pending' AS pending, writer_id, seq, timestamp_start AS started,
                ({bits})::HUGEINT AS has
            FROM {source} WHERE kind = 1
        )
        SELECT p.row_no AS pending_row, key
        FROM (SELECT * FROM lines WHERE pending) AS p
        JOIN (SELECT * FROM lines WHERE NOT pending) AS f USING (key)
        JOIN (SELECT key FROM many WHERE lines = 2) USING (key)
        WHERE p.writer_id = f.writer_id AND p.seq <> f.seq AND p.has & ~f.has = 0
            AND f.started <= coalesce(p.started, f.started)
        """
    )
    db.execute("DELETE FROM many WHERE key IN (SELECT key FROM paired)")
    return _one(db, "SELECT count(*) FROM paired")


def _fold_rest(db: DuckDBPyConnection, source: str, rows: str, target: str, extra: Sequence[Column]) -> int:
    """Fold the lines of the keys in `many` where one line can stand for all; return how many joined others.

    Args:
        db: Where `source` is.
        source: The table of a parsed file.
        rows: The query of its rows that are left.
        target: The view to make.
        extra: Columns besides the held ones.
    """
    names = row_names(extra)
    db.execute(
        f"CREATE OR REPLACE TEMP TABLE many_lines AS SELECT key AS fold_key, 0 AS log_no, {names} FROM {source} "
        "WHERE kind = 1 AND key IN (SELECT key FROM many)"
    )
    db.execute(
        f"CREATE OR REPLACE TEMP TABLE many_folded AS {_fold_sql('many_lines', (*held_columns(), *extra))}"
    )
    # The winner is the line with the folded row's number; it must lack nothing that the folded row has.
    same = " AND ".join(
        f'f."{name}" IS NOT DISTINCT FROM w."{name}"'
        for name in row_types(extra)
        if name != "timestamp_start"
    )
    db.execute(
        f"CREATE OR REPLACE TEMP TABLE many_pure AS SELECT f.key FROM many_folded AS f "
        f"JOIN many_lines AS w ON w.key = f.key AND w.writer_id = f.writer_id AND w.seq = f.seq AND {same} "
        "WHERE f.key IN (SELECT key FROM many_lines GROUP BY key HAVING count(DISTINCT writer_id) = 1 "
        "AND count(writer_id) = count(*) AND count(DISTINCT seq) = count(*)) GROUP BY f.key"
    )
    db.execute(
        f"CREATE OR REPLACE TEMP VIEW {target} AS {rows} AND key NOT IN (SELECT key FROM many_pure) "
        f"UNION ALL SELECT {names} FROM many_folded WHERE key IN (SELECT key FROM many_pure)"
    )
    joined = "SELECT count(*) - count(DISTINCT key) FROM many_lines WHERE key IN (SELECT key FROM many_pure)"
    return _one(db, joined)


def _one(db: DuckDBPyConnection, sql: str) -> int:
    row = db.execute(sql).fetchone()
    return int(row[0]) if row else 0


def _is_hot(db: DuckDBPyConnection) -> str:
    """Return SQL that says whether a row is hot; no more than the hot keys that there are."""
    conditions = [
        f"coalesce({key} IN (SELECT key FROM {table}), false)"
        for table, key in _JOINING.items()
        if _one(db, f"SELECT count(*) FROM {table}")
    ]
    return " OR ".join(conditions) or "false"


def _find_twins(db: DuckDBPyConnection) -> None:
    """Make the table `twins` of the requests that are one call with others: their keys, and a number of the call."""
    create_table(db, "twins")
    if not _one(db, "SELECT count(*) FROM hot_doubles"):
        return
    names = ", ".join(("key", "line_time", "writer_id", "seq", "status", *_OF_TWINS))
    db.execute(
        f"CREATE OR REPLACE TEMP TABLE seen AS SELECT key AS fold_key, log_no, {names} FROM ("
        "SELECT * FROM lines WHERE key IN ("
        "SELECT key FROM lines WHERE response_key IN (SELECT key FROM hot_doubles))"
        ") LEFT JOIN file_logs USING (filename)"
    )
    fields = [column for column in held_columns() if column.name in _OF_TWINS]
    ended = "timestamp_start + to_microseconds(CASE WHEN timings_latency_ms < 1e11 THEN (timings_latency_ms * 1000)::BIGINT END)"
    bucket = "hash(response_key, provider, project_id, chat_id, coalesce(attempt, 1))"
    span = "CASE WHEN trace_key IS NOT NULL AND span_key IS NOT NULL THEN hash(trace_key, span_key) END"
    # Of constant response ids most requests are of one instrumentation, which the law need not look at.
    db.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE seen_once AS
        SELECT key, {bucket} AS bucket, user_id, timestamp_start, greatest(timestamp_start, timestamp_end, {ended}) AS ended,
            instrumentation, {span} AS span_key
        FROM ({_fold_sql("seen", fields)}) WHERE response_key IS NOT NULL
        """
    )
    db.execute("DROP TABLE seen")
    rows = db.execute(
        f"""
        SELECT key, bucket, user_id, timestamp_start, ended, instrumentation, span_key FROM seen_once
        WHERE bucket IN (SELECT bucket FROM seen_once GROUP BY 1 HAVING {MAY_BE_TWINS})
        ORDER BY bucket, timestamp_start NULLS LAST, key
        """
    )
    found = list(twins(_rows(rows)))
    db.execute("DROP TABLE seen_once")
    db.execute(
        "INSERT INTO twins SELECT unnest(?::UUID[]), unnest(?::INTEGER[])",
        [[key for key, _ in found], [call for _, call in found]],
    )


def _rows(result: DuckDBPyConnection) -> Iterator[Seen]:
    while rows := result.fetchmany(10_000):
        yield from (Seen(*row) for row in rows)


def _fold_sql(source: str, fields: Iterable[Column]) -> str:
    """Return SQL that folds the rows of one `fold_key`; see the law in the module's docstring."""
    groups: dict[str, list[Column]] = {}
    for column in fields:
        head = column.path.split(".")[0]
        grouped = "." in column.path and column.kind != "attribute"
        groups.setdefault(head if grouped else column.path, []).append(column)
    winners = ("key", "log_no", "line_time", "writer_id", "seq")
    picked = [f"arg_min_null({name}, rank) AS {name}" for name in winners]
    unpacked = list(winners)
    for name, members in groups.items():
        if name == "timestamp_start":
            picked.append("min(timestamp_start) AS timestamp_start")
            unpacked.append("timestamp_start")
        elif len(members) == 1:
            single = f'"{members[0].name}"'
            picked.append(f"arg_min({single}, rank) AS {single}")
            unpacked.append(single)
        else:
            pack = ", ".join(f'"{member.name}" := "{member.name}"' for member in members)
            present = " OR ".join(f'"{member.name}" IS NOT NULL' for member in members)
            picked.append(f"arg_min(struct_pack({pack}), rank) FILTER (WHERE {present}) AS g_{name}")
            unpacked += [f'g_{name}."{member.name}" AS "{member.name}"' for member in members]
    return f"""
        WITH picked AS (SELECT {", ".join(picked)} FROM ({ranked_sql(source)}) GROUP BY fold_key)
        SELECT {", ".join(unpacked)} FROM picked
    """


def ranked_sql(source: str) -> str:
    """Return SQL of the rows of a table with `rank`: 1 is the row that wins among those of one `fold_key`.

    Retrieval ranks the lines of an entry by it too, so the law is written once; see the module's docstring.

    Args:
        source: A table with `fold_key`, `key`, `log_no`, `line_time`, `writer_id`, `seq` and `status`.
    """
    return f"""
        SELECT *, row_number() OVER (
            PARTITION BY fold_key
            ORDER BY final DESC, spoken_at DESC NULLS LAST, writer_id DESC NULLS LAST, log_no DESC NULLS LAST,
                seq DESC NULLS LAST, line_time DESC NULLS LAST, status DESC, key DESC
        ) AS rank
        FROM (
            SELECT *, status <> 'pending' AS final,
                CASE WHEN writer_id IS NULL OR seq IS NULL THEN line_time
                     ELSE first_value(line_time) OVER (
                        PARTITION BY fold_key, status <> 'pending', log_no, writer_id
                        ORDER BY seq DESC NULLS LAST, line_time DESC) END AS spoken_at
            FROM {source}
        )
    """


def _mark_calls(db: DuckDBPyConnection) -> None:
    db.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE hot_last AS
        SELECT key FROM hot_requests WHERE {FINISHED}
        QUALIFY group_key IS NULL OR row_number() OVER (
            PARTITION BY group_key, project_id
            ORDER BY coalesce(attempt, 1) DESC, timestamp_start DESC NULLS LAST, key DESC) = 1
        """
    )
    db.execute(
        "CREATE OR REPLACE TEMP VIEW hot_called AS "
        "SELECT *, key IN (SELECT key FROM hot_last) AS last_of_call FROM hot_requests"
    )
