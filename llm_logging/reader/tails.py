"""Lines that are in no piece: parsed for one answer, into the table `tail`.

Of many projects most logs are small, so small files are parsed many at a time. What needs a closer look among them is
parsed by itself, as large and compressed files are.
"""

# ruff: noqa: S608  names come from the columns of the schema, values are bound

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .bent import has_bent
from .columns import Column, held_columns
from .engine import duckdb_module
from .parse import Parsed, line_columns, mark, parse_file, parse_marked
from .pieces import Span, copy_span, span_lines
from .quality import numbers_by_mark, numbers_in
from .raw import RawFile

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["load_tails"]

# Files of so many bytes at most are parsed together, up to so many bytes in all.
_SMALL: Final = 4 * 2**20
_MOST_BYTES: Final = 64 * 2**20
_TALLY: Final = "SELECT mark, count(*), count(*) FILTER (WHERE kind = 2), count(*) FILTER (WHERE kind = 0) FROM piece GROUP BY mark"

Numbers = list[tuple[str, int, int, int]]
_Told = tuple[Span, Parsed, Numbers]


def load_tails(db: DuckDBPyConnection, spans: Sequence[Span], extra: Sequence[Column]) -> Iterator[_Told]:
    """Make the table `tail` of the requests in these spans, and fill it.

    Args:
        db: Where the table is made; its `filename` says of which log a row is.
        spans: What to parse.
        extra: Columns beside the held ones.

    Yields:
        Each span, once it is parsed, in no order: what its lines were, and the numbers that they carry.
    """
    types = {column.name: column.sql_type for column in (*held_columns(), *extra)}
    fixed = {"key": "UUID", "line_time": "TIMESTAMP", "writer_id": "VARCHAR", "seq": "BIGINT"}
    listed = ", ".join(f'"{name}" {kind}' for name, kind in {**fixed, **types}.items())
    db.execute(f"CREATE OR REPLACE TEMP TABLE tail ({listed}, filename VARCHAR)")
    small = [span for span in spans if span.end - span.start <= _SMALL and span.file.raw.compression is None]
    small = small if len(small) > 1 else []
    for batch in _batches(small):
        yield from _load_together(db, batch, extra)
    together = set(map(id, small))
    for span in spans:
        if id(span) not in together:
            yield _load_alone(db, span, extra)
    db.execute("DROP TABLE IF EXISTS piece")


def _batches(spans: Sequence[Span]) -> Iterator[list[Span]]:
    batch: list[Span] = []
    size = 0
    for span in spans:
        if batch and size + span.end - span.start > _MOST_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(span)
        size += span.end - span.start
    if batch:
        yield batch


def _load_together(db: DuckDBPyConnection, spans: Sequence[Span], extra: Sequence[Column]) -> Iterator[_Told]:
    """Parse small files at once; where that fails, halves of them, so that one bad file does not slow all others."""
    if len(spans) == 1:
        yield _load_alone(db, spans[0], extra)
        return
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as copy:
        for number, span in enumerate(spans):
            copy.write(_marked(span, mark(number)))
        copy.flush()
        try:
            parse_marked(db, Path(copy.name), "piece", extra)
            clear = not has_bent(db, RawFile(Path(copy.name), copy.name), "piece", extra)
        except duckdb_module().Error:
            clear = False
    rows = db.execute(_TALLY).fetchall() if clear else []
    counts = {number: (lines, others, odd) for number, lines, others, odd in rows}
    if not clear or None in counts:
        # Some line is not JSON, or no object, or true where a number is to be.
        middle = len(spans) // 2
        yield from _load_together(db, spans[:middle], extra)
        yield from _load_together(db, spans[middle:], extra)
        return
    odd = {number for number, (_, _, unclear) in counts.items() if unclear}
    db.execute("DELETE FROM piece WHERE mark IN (SELECT unnest(?::BIGINT[]))", [list(odd)])
    numbers = numbers_by_mark(db, "piece")
    db.execute(
        f"INSERT INTO tail BY NAME SELECT {_names(extra)}, log AS filename FROM piece "
        "JOIN (SELECT unnest(?::BIGINT[]) AS mark, unnest(?::VARCHAR[]) AS log) USING (mark) WHERE kind = 1",
        [list(range(len(spans))), [f"log:{span.log_no}" for span in spans]],
    )
    for number, span in enumerate(spans):
        if number in odd:
            yield _load_alone(db, span, extra)
        else:
            lines, others, _ = counts.get(number, (0, 0, 0))
            yield span, Parsed(lines=lines, others=others), numbers.get(number, [])


def _marked(span: Span, number: bytes) -> bytes:
    """Return the lines of a span, each with its mark; a line that begins otherwise than `{` goes without."""
    copy = io.BytesIO()
    copy.write(b"\n")
    copy_span(span, copy)
    copy.write(b"\n")
    return copy.getvalue().replace(b"\n{", b"\n{" + number)


def _load_alone(db: DuckDBPyConnection, span: Span, extra: Sequence[Column]) -> _Told:
    with span_lines(span) as raw:
        parsed = parse_file(db, raw, "piece", extra=extra)
    db.execute(
        f"INSERT INTO tail BY NAME SELECT {_names(extra)}, ? AS filename FROM piece WHERE kind = 1",
        [f"log:{span.log_no}"],
    )
    return span, parsed, numbers_in(db, "piece")


def _names(extra: Sequence[Column]) -> str:
    return ", ".join(f'"{name}"' for name in line_columns(extra) if name != "bad")
