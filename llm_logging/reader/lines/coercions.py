"""Detect values that DuckDB silently coerces when it reads JSON with declared types.

`true` becomes 1, and any non-string read as VARCHAR becomes its JSON text. Only the JSON shows it, and reading a file a second
time costs as much as the first. This package's writers validate each entry before they write it, so a file is read again only
where some line has no writer id of ours. Where somebody edits a line that keeps such an id, true and false therefore count as 1
and 0 unless a total contradicts them: looking for them would cost a sixth of the time of reading, because nearly every file has
some count of 1.
"""

# ruff: noqa: S608  names come from the columns of the schema, values are bound

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from .columns import LINE_ID, NO_TEXT, Column, judged_columns, raw_struct
from .duckdb_engine import duckdb_module
from .source_sql import MARK, RawFile, lines_sql

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["has_coerced_values"]

# How the ids look that our writers give themselves.
_WRITER_ID: Final = "[0-9a-f]{16}"


def has_coerced_values(db: DuckDBPyConnection, raw: RawFile, rows: str, extra: Sequence[Column] = ()) -> bool:
    """Say whether a file that was read natively has values that were coerced to their field's type; see the module.

    Args:
        db: Where the rows are.
        raw: The file.
        rows: The table or query of its rows.
        extra: Columns besides the held ones.
    """
    strange = f"NOT coalesce(regexp_full_match(writer_id, '{_WRITER_ID}'), false)"
    if db.execute(f"SELECT 1 FROM {rows} WHERE {strange} LIMIT 1").fetchone() is None:
        return False
    wanted = _suspects(db, rows, extra)
    types = {column.origin or column.path: column.text_type for column in wanted}
    # As a group without parts it takes an object of any, and nothing else.
    lines = lines_sql(
        {**raw_struct(types), "attributes": f"STRUCT({MARK} BOOLEAN)"}, raw.compression, strict=True
    )
    conditions = " OR ".join([f"raw.attributes.{MARK}", *(f"({one.coerced(one.source)})" for one in wanted)])
    try:
        found = db.execute(f"SELECT 1 FROM {lines} AS raw WHERE {conditions} LIMIT 1", [str(raw.path)])
        return found.fetchone() is not None
    except duckdb_module().Error:
        return True


def _suspects(db: DuckDBPyConnection, rows: str, extra: Sequence[Column]) -> list[Column]:
    """Return the columns that may have coerced values; a text column only if some text looks like other JSON."""
    # Natively an id is a UUID, which no other value's JSON is.
    wanted = [
        column
        for column in judged_columns(extra)
        if column.coerced(column.source) and column.path != LINE_ID.path
    ]
    texts = [column for column in wanted if column.kind in {"text", "code"}]
    looks = {column.name: f"regexp_full_match(\"{column.name}\", '{NO_TEXT}', 's')" for column in texts}
    found = set()
    # Comparing how texts begin is far faster than matching them, and is enough for most files.
    if db.execute(f"SELECT 1 FROM {rows} WHERE {' OR '.join(map(_begins_oddly, looks))} LIMIT 1").fetchone():
        row = db.execute(f"SELECT {', '.join(f'bool_or({look})' for look in looks.values())} FROM {rows}")
        found = {name for name, is_there in zip(looks, row.fetchone() or (), strict=True) if is_there}
    return [column for column in wanted if column.name in found or column.name not in looks]


def _begins_oddly(name: str) -> str:
    value = f'"{name}"'
    return f"{value} < ':' OR {value} >= '{{' OR {value} IN ('true', 'false') OR ({value} >= '[' AND {value} < '\\')"
