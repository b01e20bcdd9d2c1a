"""Step 2, fold: lines become requests, requests seen twice become one, calls get their last attempt.

The law. Of the lines of one id, final ones rank above pending ones; of each writer's lines in one log the one with the
highest `seq` speaks for it, and among writers the one whose speaker is latest wins; a line without writer or `seq`
speaks for itself. Each field of the entry comes from the highest line that has it (`usage`, `timings`, `error` and
`cost` as wholes); the start is the earliest. The same law folds requests that two instrumentations saw: same
provider, project, `provider_response_id` and attempt.

A call is its `request_group` in its project, else the request itself; it counts where its last finished attempt is:
the highest `attempt`, then the latest start.

Only rows whose id, response id or group occurs more than once take the long way; `hot` marks them.
"""

# ruff: noqa: S608  names come from the columns of the schema, values are bound

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .columns import Column, held_columns

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["FINISHED", "Folded", "fold_lines"]

CANCELLED: Final = "(status IN ('error', 'timeout') AND error_code IS NOT DISTINCT FROM 'cancelled')"
FINISHED: Final = f"(status <> 'pending' AND NOT {CANCELLED})"

# Rows of these keys meet others; a NULL key meets nobody.
DUPLICATE_KEY: Final = "response_key"
CALL_KEY: Final = "group_key"


@dataclass(frozen=True, slots=True)
class Folded:
    """How many rows joined others.

    Attributes:
        lines: Lines that joined another of the same id.
        duplicates: Requests that joined another of the same response.
    """

    lines: int
    duplicates: int


def fold_lines(db: DuckDBPyConnection, source: str, target: str, *, extra: Sequence[Column] = ()) -> Folded:
    """Fold a table of lines into a view of requests.

    Args:
        db: Where both are.
        source: A table or view with the columns of a parsed line and `log_no`; requests only.
        target: The view to make: the same columns and `last_of_call`, true for the request that its call counts by.
        extra: Columns beside the held ones.
    """
    _mark_hot(db, source)
    hot_lines = _one(db, "SELECT count(*) FROM hot_lines")
    by_id = _fold_sql("hot_lines", extra)
    db.execute(f"CREATE OR REPLACE TEMP TABLE hot_by_id AS {by_id}")
    requests = _one(db, "SELECT count(*) FROM hot_by_id")
    same = "struct_pack(p := provider, q := project_id, r := response_key, a := coalesce(attempt, 1))"
    twice = (
        f"SELECT {same} AS fold_key, * FROM hot_by_id WHERE response_key IS NOT NULL "
        f"QUALIFY count(*) OVER (PARTITION BY {same}) > 1"
    )
    db.execute(f"CREATE OR REPLACE TEMP TABLE hot_twice AS {twice}")
    folded_twice = _fold_sql("hot_twice", extra)
    db.execute(
        f"CREATE OR REPLACE TEMP TABLE hot_requests AS "
        f"SELECT * FROM hot_by_id WHERE key NOT IN (SELECT key FROM hot_twice) "
        f"UNION ALL BY NAME ({folded_twice})"
    )
    final = _one(db, "SELECT count(*) FROM hot_requests")
    _mark_calls(db)
    names = ", ".join(_names(extra))
    db.execute(
        f"CREATE OR REPLACE TEMP VIEW {target} AS "
        f"SELECT {names}, {FINISHED} AS last_of_call FROM {source} "
        f"WHERE NOT ({_is_hot()}) "
        f"UNION ALL SELECT {names}, last_of_call FROM hot_called"
    )
    return Folded(lines=hot_lines - requests, duplicates=requests - final)


def _names(extra: Sequence[Column]) -> list[str]:
    fixed = ["key", "log_no", "line_time", "writer_id", "seq"]
    return [*fixed, *(f'"{column.name}"' for column in (*held_columns(), *extra))]


def _one(db: DuckDBPyConnection, sql: str) -> int:
    row = db.execute(sql).fetchone()
    return int(row[0]) if row else 0


def _mark_hot(db: DuckDBPyConnection, source: str) -> None:
    """Find the keys that occur more than once, and the lines that have them."""
    for table, key in (("hot_ids", "key"), ("hot_doubles", DUPLICATE_KEY), ("hot_calls", CALL_KEY)):
        db.execute(
            f"CREATE OR REPLACE TEMP TABLE {table} AS "
            f"SELECT {key} AS key FROM {source} GROUP BY 1 HAVING count(*) > 1 AND key IS NOT NULL"
        )
    # A request may be hot by one key and have lines that are not: the id decides for all lines of a request.
    db.execute(
        f"CREATE OR REPLACE TEMP TABLE hot_lines AS SELECT key AS fold_key, * FROM {source} WHERE {_is_hot()}"
    )


def _is_hot() -> str:
    return (
        "key IN (SELECT key FROM hot_ids) "
        f"OR coalesce({DUPLICATE_KEY} IN (SELECT key FROM hot_doubles), false) "
        f"OR coalesce({CALL_KEY} IN (SELECT key FROM hot_calls), false)"
    )


def _fold_sql(source: str, extra: Sequence[Column]) -> str:
    """Return SQL that folds the rows of one `fold_key`; see the law in the module's docstring."""
    groups: dict[str, list[Column]] = {}
    for column in (*held_columns(), *extra):
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
        WITH spoken AS (
            SELECT *, status <> 'pending' AS final,
                CASE WHEN writer_id IS NULL OR seq IS NULL THEN line_time
                     ELSE first_value(line_time) OVER (
                        PARTITION BY fold_key, status <> 'pending', log_no, writer_id
                        ORDER BY seq DESC NULLS LAST, line_time DESC) END AS spoken_at
            FROM {source}
        ), ranked AS (
            SELECT *, row_number() OVER (
                PARTITION BY fold_key
                ORDER BY final DESC, spoken_at DESC NULLS LAST, writer_id DESC NULLS LAST, log_no DESC NULLS LAST,
                    seq DESC NULLS LAST, line_time DESC NULLS LAST, status DESC, key DESC
            ) AS rank FROM spoken
        ), picked AS (
            SELECT {", ".join(picked)} FROM ranked GROUP BY fold_key
        )
        SELECT {", ".join(unpacked)} FROM picked
    """


def _mark_calls(db: DuckDBPyConnection) -> None:
    db.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE hot_called AS
        SELECT *, {FINISHED} AND (group_key IS NULL OR row_number() OVER (
            PARTITION BY group_key, project_id, {FINISHED}
            ORDER BY coalesce(attempt, 1) DESC, timestamp_start DESC NULLS LAST, key DESC) = 1) AS last_of_call
        FROM hot_requests
        """
    )
