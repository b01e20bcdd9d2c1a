"""Step 1, parse: lines of JSON become typed rows, one per line.

Three ways, each slower than the one before:

1. DuckDB reads values with their declared types and gives up on the first that does not fit. Values that it would coerce
   silently are looked for (7.9 tokens become 8, true becomes 1; see `coercions`). A file that passes holds nothing wrong.
2. A file on which that gives up is read as JSON, value by value.
3. A file with lines that are no JSON is read line by line (`salvage`).

Invariants: every line that is not blank is counted once, as a request, as another kind of line, or as skipped with its
reason. A value that does not fit its field is NULL and counted; the rest of its line stays. Rows have the columns of
`sql/tables.row_types`, `kind` (1 request, 2 other line, 0 needs a closer look) and `bad`, true where a value was unusable.
"""

# ruff: noqa: S608  names come from the columns of the schema, values are bound

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...files.wrappers import Unwrapper
from ...models.statuses import STATUSES
from .coercions import has_coerced_values
from .columns import (
    LINE_ID,
    WRITER_ID,
    WRITER_SEQ,
    Column,
    attribute_label,
    held_columns,
    judged_columns,
    odd_time,
    raw_struct,
    readable,
    utc_time,
)
from .duckdb_engine import quoted
from .salvage import salvage_lines
from .source_sql import MARK, RawFile, lines_sql

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = [
    "TALLY_BY_MARK",
    "Parsed",
    "clean_rows",
    "mark",
    "parse_file",
    "parse_marked",
    "parse_odd_marked",
]

# Fields of the older flat shape, whose figures are at the top level.
_FLAT_SIGNS: Final = ("request_id", "prompt_tokens", "completion_tokens", "latency_ms")
_ODD_ATTRIBUTES: Final = "left(raw.attributes, 1) <> '{'"
# Where a writer keeps the fields that were wrong when a request was logged.
_MOVED: Final = "attributes.invalid"
_HAS_MOVED: Final = "coalesce(json_type(raw.attributes->'/invalid') = 'OBJECT', false)"
TALLY_BY_MARK: Final = (
    "SELECT mark, count(*), count(*) FILTER (WHERE kind = 2), count(*) FILTER (WHERE kind = 0), "
    "count(*) FILTER (WHERE kind = 1 AND bad) FROM {table} GROUP BY mark"
)
# Groups that may be a text, which is then this part of them.
_TEXT_MEANS: Final = {"error": "message"}


@dataclass
class Parsed:
    """What a file's lines were, besides the rows.

    Attributes:
        lines: How many lines there were.
        others: Well-formed lines of other kinds.
        skipped: Lines that could not be used, by reason.
        invalid: Values that could not be used, by field.
        error: Why the file could not be read to its end.
    """

    lines: int = 0
    others: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    invalid: Counter[str] = field(default_factory=Counter)
    error: str | None = None

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Parsed:
        """Read what `dataclasses.asdict` made of one."""
        counts = {name: Counter(value[name]) for name in ("skipped", "invalid")}
        return cls(lines=value["lines"], others=value["others"], error=value["error"], **counts)


def _paths(extra: Sequence[Column]) -> dict[str, str]:
    """Return the types as which the parts of a line are read natively, by path."""
    fixed = {
        "timestamp": "TIMESTAMPTZ", "event_type": "VARCHAR", "writer.id": "VARCHAR", "writer.seq": "DOUBLE", "id": "UUID",
        "usage.total_tokens": "DOUBLE",
    }  # fmt: skip
    wanted = [*held_columns(), *(column for column in extra if column.kind != "attribute")]
    types = {
        **dict.fromkeys(_FLAT_SIGNS, "VARCHAR"),
        **{c.origin or c.path: c.native_type for c in wanted},
        **fixed,
    }
    if any(column.kind == "attribute" for column in extra):
        types["attributes"] = "JSON"
    return types


def _native_lines(
    extra: Sequence[Column], compression: str | None, more: Mapping[str, str] | None = None
) -> str:
    """Return SQL of lines whose parts have their types; a wrong one is an error."""
    types = _paths(extra)
    if "attributes" not in types:
        types[_MOVED] = "JSON"
    return lines_sql({**raw_struct(types), **(more or {})}, compression, strict=True)


def _text_types(extra: Sequence[Column]) -> dict[str, str]:
    """Return the types as which the parts of a line are read where a wrong one is to be told, by path."""
    judged = {column.origin or column.path: column.text_type for column in judged_columns(extra)}
    return {**dict.fromkeys(_paths(extra), "VARCHAR"), **judged, "attributes": "JSON"}


def _groups(extra: Sequence[Column]) -> dict[str, dict[str, str]]:
    """Return the parts of each group of fields, of `usage`, `timings` ..., with the types as which they are read."""
    groups: dict[str, dict[str, str]] = {}
    for path, kind in _text_types(extra).items():
        head, dot, part = path.partition(".")
        if dot:
            groups.setdefault(head, {})[part] = kind
    return groups


def _text_lines(
    extra: Sequence[Column], compression: str | None, more: Mapping[str, str] | None = None
) -> str:
    """Return SQL of lines whose parts are JSON or text; a group of fields is there as a whole too, for it may be none."""
    groups = _groups(extra)
    types = {
        path.partition(".")[0]: "JSON" if "." in path else kind for path, kind in _text_types(extra).items()
    }
    parts = []
    for name, members in groups.items():
        shape = ", ".join(f'"{member}": "{kind}"' for member, kind in members.items())
        value = f'"{name}"'
        if name in _TEXT_MEANS:
            head = f"""'{{"{_TEXT_MEANS[name]}":'"""
            value = f"CASE WHEN {_is_text(value)} THEN {head} || {value} || '}}' ELSE {value} END"
        parts += [f"from_json({value}, '{{{shape}}}') AS \"{name}\"", f'"{name}" AS "{_whole(name)}"']
    names = ", ".join(f'"{name}"' for name in groups)
    lines = lines_sql({**types, **(more or {})}, compression, strict=False)
    return f"(SELECT * EXCLUDE ({names}), {', '.join(parts)} FROM {lines})"


def _whole(group: str) -> str:
    return f"{group} as a whole"


def _is_text(json: str) -> str:
    return f"""left({json}, 1) = '"'"""


def _usable_group(name: str) -> str:
    """Return SQL that says of a group that is there whether its parts, or what stands for one, can be read."""
    whole = f'raw."{_whole(name)}"'
    usable = f"left({whole}, 1) = '{{'"
    return f"{usable} OR {_is_text(whole)}" if name in _TEXT_MEANS else usable


def _attribute(column: Column) -> str:
    name = readable(column.path.removeprefix("attributes."))
    whole = "/" + name.replace("~", "~0").replace("/", "~1")
    nested = whole.replace(".", "/")
    # null counts as absent.
    found = [f"nullif((raw.attributes->{quoted(pointer)})::VARCHAR, 'null')" for pointer in (whole, nested)]
    json = found[0] if whole == nested else f"coalesce({', '.join(found)})"
    return attribute_label(f"({json})::JSON")


def _projection(extra: Sequence[Column]) -> str:
    """Return the select list that turns JSON and text into typed values and marks what did not fit."""
    chosen = [*held_columns(), *extra]
    values = [
        f'{_attribute(column) if column.kind == "attribute" else column.read_json(column.source)} AS "{column.name}"'
        for column in chosen
    ]
    bad = " OR ".join(f"({condition})" for condition in _misfits(extra).values())
    start = next(place for place, column in enumerate(chosen) if column.path == "timestamp_start")
    values[start] = (
        f'coalesce({utc_time("raw.timestamp_start")}, {utc_time("raw.timestamp")}) AS "timestamp_start"'
    )
    # An id of another type still identifies its line.
    line_id = f"coalesce({LINE_ID.read_json(LINE_ID.source)}, raw.id::VARCHAR)"
    return ", ".join(
        [
            f"coalesce(TRY_CAST({line_id} AS UUID), md5({line_id})::UUID) AS key",
            f"{utc_time('raw.timestamp')} AS line_time",
            f"{WRITER_ID.read_json(WRITER_ID.source)} AS writer_id",
            f"{WRITER_SEQ.read_json(WRITER_SEQ.source)} AS seq",
            f"({bad}) AS bad",
            *values,
        ]
    )


def _native_values(extra: Sequence[Column]) -> dict[str, str]:
    """Return the columns of a line that was read natively, as SQL by name."""
    return {
        "key": "raw.id",
        "line_time": "make_timestamp(epoch_us(raw.timestamp))",
        "writer_id": "raw.writer.id",
        "seq": WRITER_SEQ.take(WRITER_SEQ.source),
        **{
            column.name: _attribute(column) if column.kind == "attribute" else column.take(column.source)
            for column in (*held_columns(), *extra)
        },
    }


def _native_odd(extra: Sequence[Column]) -> str:
    """Return SQL that says of a line read natively that it needs the closer look."""
    wanted = (WRITER_SEQ, *held_columns(), *extra)
    misfits = [column.misfit(column.source) for column in wanted if column.kind not in {"attribute", "key"}]
    prompt, completion = "raw.usage.prompt_tokens", "raw.usage.completion_tokens"
    total = f"coalesce({prompt} + {completion}, {prompt}, {completion})"
    conditions = [condition for condition in misfits if condition is not None]
    conditions += [f"{total} IS DISTINCT FROM raw.usage.total_tokens", "raw.timestamp_start IS NULL"]
    conditions.append(odd_time("raw.timestamp"))
    moved = "raw.attributes->'/invalid'" if "attributes" in _paths(extra) else "raw.attributes.invalid"
    conditions.append(f"{moved} IS NOT NULL")
    return " OR ".join(f"({condition})" for condition in conditions)


def _misfits(extra: Sequence[Column]) -> dict[str, str]:
    """Return for each field that can be wrong the SQL that says it is there and unusable."""
    stamp = f"raw.timestamp IS NOT NULL AND ({utc_time('raw.timestamp')}) IS NULL"
    groups = {name: f"NOT ({_usable_group(name)})" for name in _groups(extra)}
    judged = {column.origin or column.path: column.unfit(column.source) for column in judged_columns(extra)}
    return {"timestamp": stamp, **groups, **judged, "attributes": _ODD_ATTRIBUTES, _MOVED: _HAS_MOVED}


def _kind() -> str:
    """Return SQL that sorts lines: 1 a request, 2 another kind of line, 0 one that needs a closer look."""
    statuses = ", ".join(f"'{status}'" for status in STATUSES)
    flat = " OR ".join(f'raw."{name}" IS NOT NULL' for name in _FLAT_SIGNS)
    return (
        "CASE WHEN raw.event_type IS NULL THEN 0 WHEN raw.event_type <> 'llm_request' THEN 2 "
        f"WHEN raw.id IS NULL OR raw.status IS NULL OR raw.status NOT IN ({statuses}) OR {flat} THEN 0 ELSE 1 END"
    )


def parse_file(
    db: DuckDBPyConnection,
    raw: RawFile,
    table: str,
    *,
    extra: Sequence[Column] = (),
    unwrapper: Unwrapper | None = None,
) -> Parsed:
    """Parse a file into a new temporary table, one row a line that is a request or another kind of line.

    Args:
        db: Where the table is made; its `kind` is 1 for requests and 2 for other lines.
        raw: The file.
        table: The table's name.
        extra: Columns besides the held ones.
        unwrapper: Joins the parts of lines that go on in the next file of a rotation.
    """
    import duckdb

    try:
        found = _load_native(db, raw, table, extra)
        if not found.odd and not has_coerced_values(db, raw, table, extra):
            return Parsed(lines=found.lines, others=found.others)
    except duckdb.Error:
        # Something in the file is not what it is to be, or its compression is damaged.
        pass
    try:
        found = _load(db, raw.path, raw.compression, table, extra)
    except duckdb.Error:
        # Damaged compression, or a line beyond what the parser takes: looked at line by line below.
        found = _Loaded(0, 0, 1, 0)
    if found.odd:
        return _salvage(db, raw, table, extra, unwrapper)
    report = Parsed(lines=found.lines, others=found.others)
    if found.bad:
        report.invalid.update(_invalid(db, raw.path, raw.compression, extra))
    return report


@dataclass(frozen=True, slots=True)
class _Loaded:
    """How many lines a table has, of which kinds; `bad` ones have unusable values."""

    lines: int
    others: int
    odd: int
    bad: int


def _load_native(db: DuckDBPyConnection, raw: RawFile, table: str, extra: Sequence[Column]) -> _Loaded:
    db.execute(
        f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT {_native_list(extra)} "
        f"FROM {_native_lines(extra, raw.compression)} AS raw",
        [str(raw.path)],
    )
    return _tally(db, table)


def _native_list(extra: Sequence[Column]) -> str:
    kind = f"CASE WHEN {_kind()} = 1 AND coalesce({_native_odd(extra)}, false) THEN 0 ELSE {_kind()} END"
    return _select_list({"kind": kind, "bad": "false", **_native_values(extra)})


def parse_marked(db: DuckDBPyConnection, path: Path, table: str, extra: Sequence[Column]) -> None:
    """Parse lines that come from many files and say from which: `{` is followed by `mark` of its number.

    Args:
        db: Where the table is made, as `parse_file` makes it, with the column `mark`; kind 0 needs the closer look that
            `parse_file` takes.
        path: Of the file.
        table: The table's name.
        extra: Columns besides the held ones.

    Raises:
        duckdb.Error: Somewhere something is not what it is to be.
    """
    lines = _native_lines(extra, None, {MARK: "BIGINT"})
    db.execute(
        f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT {_native_list(extra)}, raw.{MARK} AS mark FROM {lines} AS raw",
        [str(path)],
    )


def parse_odd_marked(
    db: DuckDBPyConnection, path: Path, table: str, extra: Sequence[Column]
) -> dict[int, tuple[int, int, int, Counter[str]]]:
    """Parse lines as `parse_marked` does, value by value; every line has to be JSON.

    Returns:
        By mark: how many lines, of other kinds, of kind 0, and unusable values by field.
    """
    more = {MARK: "BIGINT"}
    db.execute(
        f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT {_kind()} AS kind, {_projection(extra)}, raw.{MARK} AS mark "
        f"FROM {_text_lines(extra, None, more)} AS raw",
        [str(path)],
    )
    rows = db.execute(f"{TALLY_BY_MARK.format(table=table)}").fetchall()
    found = {number: (lines, others, odd, Counter[str]()) for number, lines, others, odd, _ in rows}
    if any(bad for *_, bad in rows):
        misfits = _misfits(extra)
        counts = ", ".join(f"count(*) FILTER (WHERE {condition})" for condition in misfits.values())
        for number, *several in db.execute(
            f"SELECT raw.{MARK}, {counts} FROM {_text_lines(extra, None, more)} AS raw WHERE {_kind()} = 1 GROUP BY 1",
            [str(path)],
        ).fetchall():
            found[number][3].update({name: n for name, n in zip(misfits, several, strict=True) if n})
    return found


def mark(number: int) -> bytes:
    """Return what stands behind the `{` of each line that `parse_marked` reads."""
    return f'"{MARK}":{number},'.encode()


def clean_rows(raw: RawFile) -> str:
    """Return the query of the rows of a file of which every line is to be a request with nothing unusable in it.

    Of what is anything else the key is NULL; what cannot be read at all is an error of the query.

    Args:
        raw: The file.
    """
    values = _native_values(())
    usable = f"{_kind()} = 1 AND NOT coalesce({_native_odd(())}, false)"
    values["key"] = f"CASE WHEN {usable} THEN {values['key']} END"
    lines = _native_lines((), raw.compression).replace("?", quoted(raw.path), 1)
    return f"SELECT {_select_list(values)} FROM {lines} AS raw"


def _select_list(values: Mapping[str, str]) -> str:
    return ", ".join(f'{value} AS "{name}"' for name, value in values.items())


def _load(
    db: DuckDBPyConnection, path: Path, compression: str | None, table: str, extra: Sequence[Column]
) -> _Loaded:
    db.execute(
        f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT {_kind()} AS kind, {_projection(extra)} "
        f"FROM {_text_lines(extra, compression)} AS raw",
        [str(path)],
    )
    return _tally(db, table)


def _tally(db: DuckDBPyConnection, table: str) -> _Loaded:
    row = db.execute(
        "SELECT count(*), count(*) FILTER (WHERE kind = 2), count(*) FILTER (WHERE kind = 0), "
        f"count(*) FILTER (WHERE kind = 1 AND bad) FROM {table}"
    ).fetchone()
    return _Loaded(*row) if row is not None else _Loaded(0, 0, 0, 0)


def _invalid(
    db: DuckDBPyConnection, path: Path, compression: str | None, extra: Sequence[Column]
) -> dict[str, int]:
    """Count unusable values by field; a second reading, which only files that have some cost."""
    misfits = _misfits(extra)
    counts = ", ".join(f"count(*) FILTER (WHERE {condition})" for condition in misfits.values())
    row = db.execute(
        f"SELECT {counts} FROM {_text_lines(extra, compression)} AS raw WHERE {_kind()} = 1",
        [str(path)],
    ).fetchone()
    found = Counter({name: count for name, count in zip(misfits, row or (), strict=True) if count})
    if found.pop(_MOVED, 0):
        found.update(_moved(db, path, compression, extra))
    return found


def _moved(
    db: DuckDBPyConnection, path: Path, compression: str | None, extra: Sequence[Column]
) -> dict[str, int]:
    """Count the fields that were wrong when the requests were logged, by name."""
    names = f"SELECT unnest(json_keys(raw.attributes->'/invalid')) AS name FROM {_text_lines(extra, compression)} AS raw"
    rows = db.execute(
        f"SELECT name, count(*) FROM ({names} WHERE {_kind()} = 1 AND {_HAS_MOVED}) GROUP BY name",
        [str(path)],
    ).fetchall()
    return {str(name): int(count) for name, count in rows}


def _salvage(
    db: DuckDBPyConnection,
    raw: RawFile,
    table: str,
    extra: Sequence[Column],
    unwrapper: Unwrapper | None,
) -> Parsed:
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as copy:
        with raw.open() as lines:
            found = salvage_lines(lines, copy.file, name=raw.name, unwrapper=unwrapper)
        copy.flush()
        loaded = _load(db, Path(copy.name), None, table, extra)
        report = Parsed(lines=found.lines, others=loaded.others, skipped=found.skipped, error=found.error)
        if loaded.bad:
            report.invalid.update(_invalid(db, Path(copy.name), None, extra))
    if loaded.odd:
        db.execute(f"DELETE FROM {table} WHERE kind = 0")
        report.skipped["not_json"] += loaded.odd
    report.invalid.update(found.repaired)
    return report
