"""Which keys occur more than once, remembered for the pieces of a cache.

A question over sealed pieces needs no look at every id again: the keys that several of their rows share are kept beside
them. New pieces and lines that are in no piece are compared with the rest, not the rest with itself.
"""

# ruff: noqa: S608  names come from the columns of the schema, values are bound

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..cache.artifacts import Kept
from ..lines.duckdb_engine import duckdb_module, quoted
from ..sql.fold import HOT, MAY_BE_TWINS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["hot_keys"]

_TYPES: Final = {table: "UUID" if key == "key" else "UBIGINT" for table, key in HOT.items()}


def parquet(paths: Sequence[Path]) -> str:
    """Return SQL that reads pieces, each row with the name of its file."""
    listed = ", ".join(quoted(path) for path in paths)
    return f"read_parquet([{listed}], filename=true)"


def hot_keys(db: DuckDBPyConnection, pieces: Sequence[Path], tail: str | None, folder: Path | None) -> None:
    """Make the tables of the keys that occur more than once in pieces and tail together.

    Args:
        db: Where the tables are made; see `fold.HOT`.
        pieces: Paths of pieces.
        tail: A table of rows that are in no piece; None where there are none.
        folder: Where the pieces' own keys are remembered; None: nowhere.
    """
    for table in HOT:
        db.execute(f"CREATE OR REPLACE TEMP TABLE {table} (key {_TYPES[table]})")
    if pieces:
        known = _remembered(db, pieces, folder)
        fresh = [path for path in pieces if path not in known]
        if fresh:
            _compare(db, parquet(fresh), parquet(sorted(known)) if known else None)
            if folder is not None:
                _remember(db, pieces, folder)
    if tail is not None:
        _compare(db, tail, parquet(pieces) if pieces else None)


def _compare(db: DuckDBPyConnection, fresh: str, known: str | None) -> None:
    """Add the keys that the fresh rows share among themselves or with the known ones.

    Of response ids only those are added whose requests may be one call; servers reuse them.
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


def _kept(pieces: Sequence[Path], folder: Path) -> Kept:
    return Kept(folder, "hot", sorted({str(path.parent) for path in pieces}))


def _remembered(db: DuckDBPyConnection, pieces: Sequence[Path], folder: Path | None) -> set[Path]:
    """Load the keys remembered for some of these pieces and no others; return which pieces those are."""
    found = _kept(pieces, folder).find() if folder is not None else None
    if found is None:
        return set()
    note, rows = found
    try:
        known = {Path(name) for name in note["pieces"]}
        if not known <= set(pieces):
            return set()
        for table in HOT:
            db.execute(
                f"INSERT INTO {table} SELECT {_TYPES[table]} FROM read_parquet(?) WHERE kind = ?",
                [str(rows), table],
            )
    except (KeyError, TypeError, duckdb_module().Error):
        for table in HOT:
            db.execute(f"DELETE FROM {table}")
        return set()
    return known


def _remember(db: DuckDBPyConnection, pieces: Sequence[Path], folder: Path) -> None:
    union = " UNION ALL BY NAME ".join(
        f"SELECT DISTINCT '{table}' AS kind, key AS {_TYPES[table]} FROM {table}" for table in HOT
    )
    _kept(pieces, folder).keep({"pieces": [str(path) for path in pieces]}, db, union)
