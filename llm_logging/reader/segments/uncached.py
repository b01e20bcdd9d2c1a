"""Lines that are in no piece: parsed for one answer, into the table `tail`.

With many projects most logs are small, so small files are parsed together: with their declared types where possible, else value
by value, and those with a line that is no JSON line by line. Large and compressed files are parsed one by one.
"""

# ruff: noqa: S608  names come from the columns of the schema, values are bound

from __future__ import annotations

import io
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ...files.wrappers import Unwrapper
from ..lines.coercions import has_coerced_values
from ..lines.columns import Column
from ..lines.duckdb_engine import duckdb_module
from ..lines.log_files import rotations
from ..lines.parse import TALLY_BY_MARK, Parsed, mark, parse_file, parse_marked, parse_odd_marked
from ..lines.salvage import Salvage, salvage_lines, salvage_rest
from ..lines.source_sql import RawFile
from ..sql.fold import drop_pending, fold_piece
from ..sql.quality import numbers_by_mark, numbers_in
from ..sql.tables import create_table, row_names
from .parquet import Span, copy_span, span_lines

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["load_tails"]

# Files of at most `_SMALL` bytes are parsed together, up to `_MOST_BYTES` in total.
_SMALL: Final = 4 * 2**20
_MOST_BYTES: Final = 64 * 2**20
# Below this many files the broken ones are not searched for: all are read line by line.
_FEW_FILES: Final = 4

Numbers = list[tuple[str, int, int, int]]
_Told = tuple[Span, Parsed, Numbers, int]


def load_tails(db: DuckDBPyConnection, spans: Sequence[Span], extra: Sequence[Column]) -> Iterator[_Told]:
    """Make the table `tail` of the requests in these spans, and fill it.

    Args:
        db: Where the table is made; its `filename` says of which log a row is.
        spans: What to parse.
        extra: Columns besides the held ones.

    Yields:
        Each span, once it is parsed, in no order: what its lines were, the numbers that they carry, and how many lines were
        folded into others.
    """
    create_table(db, "tail", extra)
    small = [span for span in spans if span.end - span.start <= _SMALL and span.file.raw.compression is None]
    small = small if len(small) > 1 else []
    broken: list[Span] = []
    for batch in _batches(small):
        yield from _load_together(db, batch, extra, broken)
    together = set(map(id, small))
    alone = [span for span in spans if id(span) not in together]
    by_file: dict[int, list[Span]] = defaultdict(list)
    for span in (*broken, *alone):
        by_file[id(span.file)].append(span)
    files = {id(span.file): span.file for span in (*broken, *alone)}
    several = {id(span) for span in broken}
    waiting: list[_Broken] = []
    for rotation in rotations(list(files.values())):
        ordered = [span for file in rotation for span in by_file[id(file)]]
        # Of a line in parts the end may be in the next file.
        unwrapper = Unwrapper() if len(ordered) > 1 else None
        for span in ordered:
            one = _Broken(span, unwrapper, last=span is ordered[-1])
            if id(span) in several:
                waiting.append(one)
                continue
            # What its rotation has before it comes first.
            yield from _salvage_together(db, waiting, extra)
            waiting = []
            yield _load_alone(db, one, extra)
        if sum(one.span.end - one.span.start for one in waiting) > _MOST_BYTES:
            yield from _salvage_together(db, waiting, extra)
            waiting = []
    yield from _salvage_together(db, waiting, extra)
    db.execute("DROP TABLE IF EXISTS piece")


@dataclass(frozen=True, slots=True)
class _Broken:
    """A span to be read line by line; `unwrapper` goes with the spans of its rotation, of which it is the last or not."""

    span: Span
    unwrapper: Unwrapper | None
    last: bool


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


def _load_together(
    db: DuckDBPyConnection, spans: Sequence[Span], extra: Sequence[Column], broken: list[Span]
) -> Iterator[_Told]:
    """Parse small files at once; those that have to be read line by line are added to `broken`."""
    texts = [_text_of(span) for span in spans]
    whole = [place for place, text in enumerate(texts) if _is_lines_of_objects(text)]
    broken += [span for place, span in enumerate(spans) if place not in set(whole)]
    spans, texts = [spans[place] for place in whole], [texts[place] for place in whole]
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as copy:
        for number, text in enumerate(texts):
            copy.write(_marked(text, mark(number)))
        copy.flush()
        path = Path(copy.name)
        if not _parse_natively(db, path, extra):
            yield from _halves(db, spans, extra, broken)
            return
        if has_coerced_values(db, RawFile(path, copy.name), "piece", extra):
            odd, rest = set(range(len(spans))), []
        else:
            rows = db.execute(TALLY_BY_MARK.format(table="piece")).fetchall()
            odd = {number for number, _, _, unclear, _ in rows if unclear}
            rest = [(number, Parsed(lines=lines, others=others)) for number, lines, others, *_ in rows]
        yield from _take(db, spans, extra, [(number, parsed) for number, parsed in rest if number not in odd])
        known = {number for number, _ in rest} | odd
        yield from ((span, Parsed(), [], 0) for number, span in enumerate(spans) if number not in known)
        if not odd:
            return
        with tempfile.NamedTemporaryFile(suffix=".jsonl") as closer:
            for number in sorted(odd):
                closer.write(_marked(texts[number], mark(number)))
            closer.flush()
            found = parse_odd_marked(db, Path(closer.name), "piece", extra)
    found |= {number: (0, 0, 0, Counter()) for number in odd - found.keys()}
    broken += [spans[number] for number, (_, _, unclear, _) in found.items() if unclear]
    clear = [
        (number, Parsed(lines=lines, others=others, invalid=invalid))
        for number, (lines, others, unclear, invalid) in found.items()
        if not unclear
    ]
    yield from _take(db, spans, extra, clear)


def _parse_natively(db: DuckDBPyConnection, path: Path, extra: Sequence[Column]) -> bool:
    """Make the table `piece`; False where some line is not JSON, or has a value of another type."""
    try:
        parse_marked(db, path, "piece", extra)
    except duckdb_module().Error:
        return False
    return db.execute("SELECT 1 FROM piece WHERE mark IS NULL LIMIT 1").fetchone() is None


def _halves(
    db: DuckDBPyConnection, spans: Sequence[Span], extra: Sequence[Column], broken: list[Span]
) -> Iterator[_Told]:
    """Look for the files that cannot be parsed natively; where they are many, read all of these line by line."""
    if len(spans) < _FEW_FILES:
        broken += spans
        return
    middle = len(spans) // 2
    before = len(broken)
    yield from _load_together(db, spans[:middle], extra, broken)
    rest = spans[middle:]
    if len(broken) - before >= middle // 2 and sum(span.end - span.start for span in rest) <= _SMALL:
        broken += rest
    else:
        yield from _load_together(db, rest, extra, broken)


def _take(
    db: DuckDBPyConnection,
    spans: Sequence[Span],
    extra: Sequence[Column],
    parsed: Sequence[tuple[int, Parsed]],
) -> Iterator[_Told]:
    """Add the requests of these spans in the table `piece` to the tail."""
    if not parsed:
        return
    marks = [number for number, _ in parsed]
    db.execute("DELETE FROM piece WHERE mark NOT IN (SELECT unnest(?::BIGINT[]))", [marks])
    numbers = numbers_by_mark(db, "piece")
    joined = drop_pending(db, "piece", extra)
    db.execute(
        f"INSERT INTO tail BY NAME SELECT {row_names(extra)}, log AS filename FROM piece "
        "JOIN (SELECT unnest(?::BIGINT[]) AS mark, unnest(?::VARCHAR[]) AS log) USING (mark) WHERE kind = 1",
        [marks, [f"log:{spans[number].log_no}" for number in marks]],
    )
    for number, one in parsed:
        yield spans[number], one, numbers.get(number, []), joined
        joined = 0


def _salvage_together(
    db: DuckDBPyConnection, broken: Sequence[_Broken], extra: Sequence[Column]
) -> Iterator[_Told]:
    """Read small files line by line, and parse what can be used of all of them at once."""
    if not broken:
        return
    reports = []
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as copy:
        for number, one in enumerate(broken):
            target = io.BytesIO()
            name = one.span.file.raw.name
            report = salvage_lines(io.BytesIO(_text_of(one.span)), target, name=name, unwrapper=one.unwrapper)
            if one.unwrapper is not None and one.last:
                salvage_rest(one.unwrapper, report)
            reports.append(report)
            copy.write(_marked(target.getvalue(), mark(number)))
        copy.flush()
        found = parse_odd_marked(db, Path(copy.name), "piece", extra)
    parsed = []
    for number, report in enumerate(reports):
        _, others, odd, invalid = found.get(number, (0, 0, 0, Counter[str]()))
        told = Parsed(report.lines, others, report.skipped, report.repaired + invalid, report.error)
        if odd:
            told.skipped["not_json"] += odd
        parsed.append((number, told))
    db.execute("DELETE FROM piece WHERE kind = 0")
    yield from _take(db, [one.span for one in broken], extra, parsed)


def _text_of(span: Span) -> bytes:
    copy = io.BytesIO()
    copy_span(span, copy)
    return copy.getvalue()


def _is_lines_of_objects(text: bytes) -> bool:
    """Say whether every line begins as an object does; cheap, and so are most files that hold anything else told."""
    return text[:1] in {b"{", b""} and text.count(b"\n") - text.endswith(b"\n") == text.count(b"\n{")


def _marked(text: bytes, number: bytes) -> bytes:
    """Return lines, each with its mark; a line that begins otherwise than `{` goes without."""
    return (b"\n" + text + b"\n").replace(b"\n{", b"\n{" + number)


def _load_alone(db: DuckDBPyConnection, one: _Broken, extra: Sequence[Column]) -> _Told:
    span = one.span
    with span_lines(span) as raw:
        parsed = parse_file(db, raw, "piece", extra=extra, unwrapper=one.unwrapper)
    if one.unwrapper is not None and one.last:
        report = Salvage()
        salvage_rest(one.unwrapper, report)
        parsed.lines += report.lines
        parsed.skipped += report.skipped
    numbers = numbers_in(db, "piece")
    # Most requests have a pending line, which need not be held.
    joined = fold_piece(db, "piece", "piece_rows", extra)
    db.execute(
        f"INSERT INTO tail BY NAME SELECT {row_names(extra)}, ? AS filename FROM piece_rows",
        [f"log:{span.log_no}"],
    )
    return span, parsed, numbers, joined
