"""Which keys occur more than once, remembered for the pieces of a cache.

A question over sealed pieces needs no look at every id again: the keys that several of their rows share are kept beside
them. New pieces and lines that are in no piece are compared with the rest, not the rest with itself.
"""

# ruff: noqa: S608  names come from the columns of the schema, values are bound

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .cache import make_private, read_file, write_file
from .engine import quoted
from .fold import HOT

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["hot_keys"]

_KEPT: Final = 64
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
    """Add the keys that the fresh rows share among themselves or with the known ones."""
    for table, key in HOT.items():
        db.execute(
            f"INSERT INTO {table} SELECT {key} FROM {fresh} WHERE {key} IS NOT NULL GROUP BY 1 HAVING count(*) > 1"
        )
        if known is not None:
            db.execute(
                f"INSERT INTO {table} SELECT DISTINCT {key} FROM {known} "
                f"WHERE {key} IN (SELECT {key} FROM {fresh} WHERE {key} IS NOT NULL)"
            )


def _notes(pieces: Sequence[Path], folder: Path) -> Path:
    logs = sorted({path.parent.name for path in pieces})
    return folder / f"hot-{hashlib.sha256(json.dumps(logs).encode()).hexdigest()[:20]}.json"


def _remembered(db: DuckDBPyConnection, pieces: Sequence[Path], folder: Path | None) -> set[Path]:
    """Load the keys remembered for some of these pieces and no others; return which pieces those are."""
    import duckdb

    if folder is None:
        return set()
    try:
        note = json.loads(read_file(_notes(pieces, folder)))
        known = {Path(name) for name in note["pieces"]}
        if not known <= set(pieces):
            return set()
        keys = folder / note["keys"]
        for table in HOT:
            db.execute(
                f"INSERT INTO {table} SELECT {_TYPES[table]} FROM read_parquet(?) WHERE kind = ?",
                [str(keys), table],
            )
    except (OSError, ValueError, KeyError, TypeError, RecursionError, duckdb.Error):
        for table in HOT:
            db.execute(f"DELETE FROM {table}")
        return set()
    return known


def _remember(db: DuckDBPyConnection, pieces: Sequence[Path], folder: Path) -> None:
    note = _notes(pieces, folder)
    name = f"{note.stem}-{hashlib.sha256(json.dumps(sorted(map(str, pieces))).encode()).hexdigest()[:16]}.parquet"
    temporary = folder / f".{name}.{os.getpid()}"
    union = " UNION ALL BY NAME ".join(
        f"SELECT DISTINCT '{table}' AS kind, key AS {_TYPES[table]} FROM {table}" for table in HOT
    )
    try:
        make_private(folder)
        db.execute(f"COPY ({union}) TO {quoted(temporary)} (FORMAT parquet)")
        temporary.chmod(0o600)
        temporary.replace(folder / name)
        write_file(note, json.dumps({"pieces": [str(path) for path in pieces], "keys": name}).encode())
        old = sorted(folder.glob("hot-*.parquet"), key=lambda path: path.stat().st_mtime)
        for path in old[:-_KEPT]:
            path.unlink(missing_ok=True)
    except OSError:
        temporary.unlink(missing_ok=True)
