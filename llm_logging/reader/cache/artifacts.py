"""A kept intermediate result: a JSON note and a Parquet file of rows.

The note names the file of its rows and their digest. Missing, truncated or corrupt rows are treated as a cache miss. Both files
are written under a temporary name and renamed; of each kind the newest stay. Where rows vanish while they are used, the
answer is computed again without the cache (`answer/session.run_session`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final

from ..lines.duckdb_engine import duckdb_module, quoted
from .eviction import note_use
from .store import digest_of, key_of, make_private, read_file, write_file

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Artifact"]

# How many files of a kind stay: notes and rows.
_MOST: Final = 128


class Artifact:
    """A note and rows, kept under a name.

    Args:
        folder: Where.
        kind: What they are; their files begin with it.
        key: Identifies it among its kind; JSON.
    """

    def __init__(self, folder: Path, kind: str, key: Any) -> None:
        self._folder, self._kind = folder, kind
        self._note = folder / f"{kind}-{key_of(key)}.json"

    def find(self) -> tuple[dict[str, Any], Path] | None:
        """Return the note and the file of its rows; None where nothing whole is kept."""
        try:
            content = json.loads(read_file(self._note))
            note, rows = content["note"], self._folder / content["rows"]
            if digest_of(rows) != content["digest"]:
                return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        note_use([self._note, rows])
        return note, rows

    def keep(self, note: Mapping[str, Any], db: DuckDBPyConnection, query: str) -> None:
        """Keep a note, and the rows of a query; what cannot be written is not kept.

        Args:
            note: JSON.
            db: Where the rows are.
            query: They are its rows; numbers of 128 bits have to be decimals.
        """
        try:
            make_private(self._folder)
            content = {"note": note, **self._write(db, query, key_of(note))}
            write_file(self._note, json.dumps(content).encode())
            self._drop_old()
        except (OSError, duckdb_module().Error):
            return

    def _write(self, db: DuckDBPyConnection, query: str, stamp: str) -> dict[str, Any]:
        name = f"{self._note.stem}-{stamp[:16]}.parquet"
        temporary = self._folder / f".{name}.{os.getpid()}.{get_ident()}"
        try:
            db.execute(f"COPY ({query}) TO {quoted(temporary)} (FORMAT parquet)")
            temporary.chmod(0o600)
            digest = digest_of(temporary)
            temporary.replace(self._folder / name)
        finally:
            temporary.unlink(missing_ok=True)
        return {"rows": name, "digest": digest}

    def _drop_old(self) -> None:
        found = []
        for path in self._folder.glob(f"{self._kind}-*"):
            with suppress(OSError):
                found.append((path.stat().st_mtime, path))
        for _, path in sorted(found)[:-_MOST]:
            path.unlink(missing_ok=True)
