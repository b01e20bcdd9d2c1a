"""The step `load`, hot keys: ids, response ids and request groups that several rows of an answer share.

The keys that pieces share among themselves are kept in the cache, so an answer from sealed pieces does not compare every id
again. New pieces, and rows that are in no piece, are compared with the rest; the rest is not compared with itself.
"""

# ruff: noqa: S608  names come from the columns of the schema, values are bound

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..cache.artifacts import Artifact
from ..lines.duckdb_engine import duckdb_module, quoted
from ..sql.fold import HOT, MAY_BE_TWINS
from ..sql.tables import TABLES, create_table

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["add_shared_keys", "make_hot_tables", "parquet", "remembered_hot_keys"]


def parquet(paths: Sequence[Path]) -> str:
    """Return SQL that reads pieces, each row with the name of its file."""
    listed = ", ".join(quoted(path) for path in paths)
    return f"read_parquet([{listed}], filename=true)"


def make_hot_tables(db: DuckDBPyConnection) -> None:
    """Make the tables of hot keys, empty; see `fold.HOT`."""
    for table in HOT:
        create_table(db, table)


def add_shared_keys(db: DuckDBPyConnection, fresh: str, known: str | None) -> None:
    """Add the keys that the fresh rows share among themselves or with the known ones.

    Response ids are added only where some of their requests may be one call; servers reuse response ids.

    Args:
        db: Where the tables of hot keys are.
        fresh: A table or query of rows.
        known: Rows whose own shared keys are in the tables already; None: there are none.
    """
    for table, key in HOT.items():
        shared = f"SELECT {key} FROM {fresh} WHERE {key} IS NOT NULL GROUP BY 1 HAVING count(*) > 1"
        if known is not None:
            there = f"SELECT {key} FROM {fresh} WHERE {key} IS NOT NULL"
            shared += f" UNION SELECT {key} FROM {known} WHERE {key} IN ({there})"
        if table != "hot_doubles":
            db.execute(f"INSERT INTO {table} {shared}")
            continue
        db.execute(f"CREATE OR REPLACE TEMP TABLE shared AS {shared}")
        names = f"{key}, instrumentation, span_key"
        rows = f"SELECT {names} FROM {fresh}" + (f" UNION ALL SELECT {names} FROM {known}" if known else "")
        db.execute(
            f"INSERT INTO {table} SELECT {key} FROM ({rows}) WHERE {key} IN (FROM shared) GROUP BY 1 HAVING {MAY_BE_TWINS}"
        )
        db.execute("DROP TABLE shared")


def remembered_hot_keys(db: DuckDBPyConnection, pieces: Sequence[Path], folder: Path) -> None:
    """Fill the tables of hot keys with those that pieces share, and keep them.

    Args:
        db: Where the tables are, empty.
        pieces: Paths of all pieces.
        folder: Where their keys are kept.
    """
    kept = Artifact(folder, "hot", sorted({str(path.parent) for path in pieces}))
    known = _find(db, pieces, kept)
    fresh = [path for path in pieces if path not in known]
    if fresh:
        add_shared_keys(db, parquet(fresh), parquet(sorted(known)) if known else None)
        union = " UNION ALL BY NAME ".join(
            f"SELECT DISTINCT '{table}' AS kind, key AS {_type(table)} FROM {table}" for table in HOT
        )
        kept.keep({"pieces": [str(path) for path in pieces]}, db, union)


def _find(db: DuckDBPyConnection, pieces: Sequence[Path], kept: Artifact) -> set[Path]:
    """Load the keys kept of some of these pieces and no others; return which pieces those are."""
    found = kept.find()
    if found is None:
        return set()
    note, rows = found
    try:
        known = {Path(name) for name in note["pieces"]}
        if not known <= set(pieces):
            return set()
        for table in HOT:
            db.execute(
                f"INSERT INTO {table} SELECT {_type(table)} FROM read_parquet(?) WHERE kind = ?",
                [str(rows), table],
            )
    except (KeyError, TypeError, duckdb_module().Error):
        for table in HOT:
            db.execute(f"DELETE FROM {table}")
        return set()
    return known


def _type(table: str) -> str:
    """Return the type of a table's keys, which names their column in the kept rows."""
    return TABLES[table].columns["key"]
