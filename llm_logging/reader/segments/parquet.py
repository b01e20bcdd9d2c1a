"""Making pieces: a span of a log's bytes becomes a Parquet file in the cache.

Most spans are copied from their lines into the file in one statement, without a table in between: all of their lines are
requests, each with an id of its own and no unusable value. Whether that holds is checked on the written file: a line that is
anything else has no key there. Other spans are parsed into a table first, and so are those that begin with pending lines, which
folding joins with their final ones.
"""

# ruff: noqa: S608  names come from the columns of the schema

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import get_ident
from typing import IO, TYPE_CHECKING, Final

from ..cache.store import digest_of
from ..lines.coercions import has_coerced_values
from ..lines.duckdb_engine import duckdb_module, quoted
from ..lines.log_files import LogFile
from ..lines.parse import Parsed, clean_rows, parse_file
from ..lines.source_sql import RawFile
from ..sql.costs import Kind, kinds_in
from ..sql.fold import fold_piece
from ..sql.quality import numbers_in
from .index import Piece, Record, SegmentCache
from .repeated_keys import parquet

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Span", "copy_span", "cut", "last_line_end", "make_piece", "span_lines"]

# Larger spans are cut to bound memory.
_LARGEST: Final = 128 * 2**20
_PARQUET: Final = "(FORMAT parquet, PARQUET_VERSION v2, WRITE_BLOOM_FILTER false)"
# How much of a span is searched for pending lines.
_GLANCE: Final = 2**16


@dataclass
class Span:
    """Bytes of a file that are in no piece yet."""

    file: LogFile
    log_no: int
    start: int
    end: int
    cache: SegmentCache | None = None
    record: Record | None = None

    @property
    def whole(self) -> bool:
        """Say whether it is all of a file that does not grow, so that it needs no copy."""
        sealed = self.file.segment is None or not self.file.segment.active
        return self.start == 0 and self.end == self.file.size and sealed


def cut(file: LogFile, log_no: int, start: int, end: int) -> Iterator[Span]:
    """Cut bytes into spans that end where lines do."""
    if file.raw.compression is not None or end - start <= 2 * _LARGEST:
        yield Span(file, log_no, start, end)
        return
    while start < end:
        cut = min(end, start + _LARGEST)
        if cut < end:
            cut = _line_end_after(file, cut, end)
        yield Span(file, log_no, start, cut)
        start = cut


def _line_end_after(file: LogFile, position: int, end: int) -> int:
    while position < end:
        block = os.pread(file.descriptor, 1 << 20, position)
        found = block.find(b"\n")
        if found >= 0 or not block:
            return position + found + 1 if found >= 0 else end
        position += len(block)
    return end


def last_line_end(file: LogFile, start: int) -> int:
    """Return the end of the last whole line of a file that grows; `start` where there is none after it."""
    position = file.size
    while position > start:
        low = max(start, position - (1 << 16))
        found = os.pread(file.descriptor, position - low, low).rfind(b"\n")
        if found >= 0:
            return low + found + 1
        position = low
    return start


@contextmanager
def span_lines(span: Span) -> Iterator[RawFile]:
    """Give the parser a file of exactly the span's bytes; only a part of a file is copied."""
    file = span.file
    if span.whole or file.raw.compression is not None:
        yield file.raw
        return
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as copy:
        copy_span(span, copy.file)
        copy.flush()
        yield RawFile(Path(copy.name), file.raw.name)


def copy_span(span: Span, target: IO[bytes]) -> None:
    """Copy the bytes of a span of an uncompressed file."""
    position = span.start
    while position < span.end:
        block = os.pread(span.file.descriptor, min(1 << 22, span.end - position), position)
        if not block:
            break
        target.write(block)
        position += len(block)


def make_piece(db: DuckDBPyConnection, span: Span) -> Piece:
    """Parse a span and write it as a piece.

    Args:
        db: A connection of its own; closed in the end.
        span: What to parse; its cache says where the piece goes.
    """
    assert span.cache is not None
    name = span.cache.new_name(span.file, span.start, span.end)
    temporary = span.cache.folder / f".{name}.{os.getpid()}.{get_ident()}"
    try:
        with span_lines(span) as raw:
            made = (None if _has_pending(raw) else _straight(db, raw, temporary)) or _by_table(
                db, raw, temporary
            )
        digest = digest_of(temporary)
        temporary.chmod(0o600)
        temporary.replace(span.cache.folder / name)
    finally:
        temporary.unlink(missing_ok=True)
        db.close()
    end = span.end
    if span.file.raw.compression == "gz":
        # `parsed` says what cannot be read.
        with suppress(OSError):
            end = int.from_bytes(os.pread(span.file.descriptor, 4, max(0, span.file.size - 4)), "little")
    return Piece(
        name, span.start, end, made.parsed, tuple(made.numbers), made.joined, tuple(made.kinds), digest
    )


@dataclass(frozen=True, slots=True)
class _Made:
    """What is known of a piece besides its rows."""

    parsed: Parsed
    numbers: list[tuple[str, int, int, int]]
    kinds: list[Kind]
    joined: int


def _has_pending(raw: RawFile) -> bool:
    try:
        with raw.open() as lines:
            return b'"status":"pending"' in lines.read(_GLANCE)
    except (OSError, EOFError):
        return True


def _straight(db: DuckDBPyConnection, raw: RawFile, target: Path) -> _Made | None:
    """Write lines that need no second look; None where some do."""
    try:
        db.execute(f"COPY ({clean_rows(raw)}) TO {quoted(target)} {_PARQUET}")
    except duckdb_module().Error:
        # Something in the file is not what it is to be, or its compression is damaged.
        return None
    rows = parquet([target])
    counts = db.execute(f"SELECT count(*), count(key), count(DISTINCT key) FROM {rows}").fetchone()
    if counts is None or len(set(counts)) > 1 or has_coerced_values(db, raw, rows):
        return None
    return _Made(Parsed(lines=counts[0]), numbers_in(db, rows), kinds_in(db, rows), 0)


def _by_table(db: DuckDBPyConnection, raw: RawFile, target: Path) -> _Made:
    parsed = parse_file(db, raw, "piece")
    joined = fold_piece(db, "piece", "piece_rows")
    db.execute(f"COPY (SELECT * FROM piece_rows) TO {quoted(target)} {_PARQUET}")
    return _Made(parsed, numbers_in(db, "piece"), kinds_in(db, "piece_rows"), joined)
