"""The step `load`: open files become the view `lines`, one row per line that is a request.

`Loader.load` parses every line, for this answer only. `pieces.PieceCache.load` wraps it: it takes what it can from Parquet
pieces, makes pieces of what is worth one, and hands the rest to `Loader.parse`.

Makes the tables `tail` (rows that are in no piece) and `file_logs`, the view `lines`, and the hot keys; see `sql/tables.py`.
"""

# ruff: noqa: S608  names come from the columns of the schema, values are bound

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..lines.arguments import Progress
from ..lines.columns import Column
from ..lines.log_files import Log, LogFile
from ..lines.parse import Parsed
from ..sql.costs import Kind, kinds_in
from ..sql.quality import Numbers
from ..sql.tables import create_table, row_names
from .parquet import Span, cut
from .repeated_keys import add_shared_keys, make_hot_tables, parquet
from .shipped import unusable_columns
from .uncached import load_tails

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Loaded", "Loader", "Ready"]


@dataclass(frozen=True, slots=True)
class Ready:
    """A piece that an answer is made from; its position in the list is its number in the views, `piece`.

    Attributes:
        log_no: The number of its log.
        file_no: The number of its file; later files of a log have higher numbers.
        path: The Parquet file.
        digest: Of its content.
        lines: How many lines it was made from.
    """

    log_no: int
    file_no: int
    path: Path
    digest: int
    lines: int


@dataclass
class Loaded:
    """What was found in the files, besides rows.

    Attributes:
        parsed: Per span: the file's name and what its lines were.
        numbers: Which sequence numbers are there.
        joined: Lines folded within pieces.
        unreadable: Files that could not be read to their end, and why.
        kinds: Which kinds of request there are.
    """

    parsed: list[tuple[str, Parsed]] = field(default_factory=list)
    numbers: Numbers = field(default_factory=Numbers)
    joined: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)
    kinds: set[Kind] = field(default_factory=set)

    def note(
        self, log_no: int, name: str, parsed: Parsed, spans: Sequence[tuple[str, int, int, int]], joined: int
    ) -> None:
        """Add what a span of a file held."""
        self.parsed.append((name, parsed))
        for writer, first, last, again in spans:
            self.numbers.add(log_no, writer, [(first, last)])
            self.numbers.repeated += again
        if parsed.error is not None:
            self.unreadable[name] = parsed.error
        self.joined += joined


class Loader:
    """Load the lines of one answer.

    Args:
        db: Where the tables are made.
        logs: All logs; a log's number is its position.
        extra: Columns besides the held ones.
        progress: Called with bytes done and bytes in total.
    """

    def __init__(
        self, db: DuckDBPyConnection, logs: Sequence[Log], extra: Sequence[Column], progress: Progress | None
    ) -> None:
        self.db = db
        self.loaded = Loaded()
        self._extra, self._progress = extra, progress
        self._numbers = {log: number for number, log in enumerate(logs)}
        self._total = self._done = 0

    def load(self, files: Sequence[LogFile]) -> Loaded:
        """Parse every line of the files."""
        for file in files:
            if file.raw.compression == "parquet":
                raise unusable_columns(Path(file.raw.name))
        spans = [
            span
            for file in files
            if file.size or file.raw.compression
            for span in cut(file, self.number_of(file), 0, file.size)
        ]
        self.expect(spans)
        self.parse(spans)
        make_hot_tables(self.db)
        return self.finish(())

    def number_of(self, file: LogFile) -> int:
        """Return the number of a file's log."""
        return self._numbers[file.log]

    def expect(self, spans: Iterable[Span]) -> None:
        """Add spans to what the progress counts as the total."""
        self._total += sum(span.end - span.start for span in spans)

    def advance(self, span: Span) -> None:
        """Report progress: a span is done."""
        self._done += span.end - span.start
        if self._progress is not None:
            self._progress(self._done, self._total)

    def parse(self, spans: Sequence[Span]) -> None:
        """Parse spans into the table `tail`; called once."""
        for span, parsed, numbers, joined in load_tails(self.db, spans, self._extra):
            self.loaded.note(span.log_no, span.file.raw.name, parsed, numbers, joined)
            self.advance(span)
        self.loaded.kinds.update(kinds_in(self.db, "tail"))

    def finish(self, ready: Sequence[Ready]) -> Loaded:
        """Make the view `lines` of these pieces and the tail, and add the keys that the tail shares to the hot ones."""
        paths = [piece.path for piece in ready]
        names = row_names(self._extra)
        row = self.db.execute("SELECT count(*) FROM tail").fetchone()
        has_tail = bool(row and row[0])
        parts = []
        if paths:
            parts.append(f"SELECT {names}, filename, file_index::INTEGER AS piece FROM {parquet(paths)}")
        if has_tail or not paths:
            parts.append(f"SELECT {names}, filename, NULL::INTEGER AS piece FROM tail")
        self.db.execute(f"CREATE OR REPLACE TEMP VIEW lines AS {' UNION ALL '.join(parts)}")
        create_table(self.db, "file_logs")
        known = [(str(piece.path), piece.log_no) for piece in ready]
        known += [(f"log:{number}", number) for number in self._numbers.values()]
        if known:
            values = ", ".join(["(?, ?)"] * len(known))
            self.db.execute(
                f"INSERT INTO file_logs VALUES {values}", [item for pair in known for item in pair]
            )
        if has_tail:
            add_shared_keys(self.db, "tail", parquet(paths) if paths else None)
        return self.loaded
