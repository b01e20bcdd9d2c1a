"""From open files to the view `lines`: pieces from the cache, pieces made now, and the lines that are in no piece.

A sealed segment becomes a piece as a whole. An active file becomes one up to its last whole line, once enough has
been appended to it and to all; what follows is parsed for this answer only. Without a cache, and for columns that pieces
do not hold, every line is parsed for this answer only.
"""

# ruff: noqa: S608  names come from the columns of the schema, values are bound

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ...errors import ErrorCode, FileSystemError
from ..cache.eviction import bound_size, note_use
from ..cache.store import schema_tag
from ..lines.arguments import Progress
from ..lines.columns import Column
from ..lines.log_files import Log, LogFile
from ..lines.parse import Parsed, line_columns
from ..sql.costs import Kind, kinds_in
from ..sql.quality import Numbers
from .index import Piece, Record, SegmentCache
from .parquet import Span, cut, last_line_end, make_piece
from .repeated_keys import hot_keys, parquet
from .shipped import read_shipped
from .uncached import load_tails

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Loaded", "Loader", "Ready"]

# An active file is worth a piece when this much has been appended to it, and this much to all active files: less is
# parsed for an answer in less time than pieces are made in.
_WORTH: Final = 2**20
_WORTH_IN_ALL: Final = 10 * 2**20
_MANY_PIECES: Final = 16
_WORKERS: Final = min(2, os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class Ready:
    """A piece that an answer is made from; its place among all is its number in the views, `piece`.

    Attributes:
        log_no: Of which log it is.
        file_no: Of which file; later files of a log have higher numbers.
        path: Where it lies.
        digest: Of its content.
        lines: How many it was made from.
    """

    log_no: int
    file_no: int
    path: Path
    digest: int
    lines: int


@dataclass
class Loaded:
    """What became of the files beside their rows.

    Attributes:
        parsed: By file name, what its lines were.
        numbers: Which lines are there.
        joined: Lines folded within pieces.
        unreadable: Files that could not be read to their end, and why.
        kinds: Which kinds of request pieces and tail have.
    """

    parsed: list[tuple[str, Parsed]] = field(default_factory=list)
    numbers: Numbers = field(default_factory=Numbers)
    joined: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)
    kinds: set[Kind] = field(default_factory=set)

    def note(
        self, log_no: int, name: str, parsed: Parsed, spans: Sequence[tuple[str, int, int, int]]
    ) -> None:
        """Add what a span of a file held."""
        self.parsed.append((name, parsed))
        for writer, first, last, again in spans:
            self.numbers.add(log_no, writer, [(first, last)])
            self.numbers.repeated += again
        if parsed.error is not None:
            self.unreadable[name] = parsed.error


@dataclass
class Loader:
    """Loads the lines of one answer.

    Args:
        logs: All logs, whose places are their numbers.
        extra: Columns beside the held ones.
        folder: The cache's folder; None: no cache.
        progress: Called with bytes done and bytes in all.
    """

    logs: Sequence[Log]
    extra: Sequence[Column]
    folder: Path | None
    progress: Progress | None
    db: DuckDBPyConnection = field(init=False)
    loaded: Loaded = field(default_factory=Loaded)
    ready: list[Ready] = field(default_factory=list)
    caches: dict[int, SegmentCache] = field(default_factory=dict)
    numbers: dict[Log, int] = field(default_factory=dict)
    places: dict[int, int] = field(default_factory=dict)

    @contextmanager
    def opened(self, files: Sequence[LogFile]) -> Iterator[None]:
        """Open the caches of files; their pieces are checked while the block runs, which is to connect to a database."""
        self.numbers = {log: number for number, log in enumerate(self.logs)}
        with ThreadPoolExecutor(_WORKERS) as pool:
            for file in files:
                known = len(self.caches)
                cache = self._cache_of(file, self.numbers[file.log])
                if cache is not None and len(self.caches) > known:
                    cache.check_ahead(pool)
            yield

    def load(self, db: DuckDBPyConnection, files: Sequence[LogFile]) -> Loaded:
        """Make the view `lines` and the tables of hot keys.

        Args:
            db: Where.
            files: The same that were `opened`.
        """
        self.db = db
        self.places = {id(file): place for place, file in enumerate(files)}
        build: list[Span] = []
        tails: list[Span] = []
        grown: list[Span] = []
        for file in files:
            self._plan(file, self.numbers[file.log], build, tails, grown)
        self._take(grown, build, tails)
        total = sum(span.end - span.start for span in (*build, *tails))
        done = 0
        for span in self._build(build):
            done += span.end - span.start
            if self.progress is not None:
                self.progress(done, total)
        for span, parsed, spans, joined in load_tails(self.db, tails, self.extra):
            self.loaded.joined += joined
            self.loaded.note(span.log_no, span.file.raw.name, parsed, spans)
            done += span.end - span.start
            if self.progress is not None:
                self.progress(done, total)
        self.loaded.kinds.update(kinds_in(self.db, "tail"))
        self._save()
        self._make_view()
        return self.loaded

    def _cache_of(self, file: LogFile, log_no: int) -> SegmentCache | None:
        if self.folder is None or self.extra or file.log.active is None or file.segment is None:
            return None
        if log_no not in self.caches:
            self.caches[log_no] = SegmentCache(self.folder, os.path.realpath(file.log.active))
        return self.caches[log_no]

    def _plan(
        self, file: LogFile, log_no: int, build: list[Span], tails: list[Span], grown: list[Span]
    ) -> None:
        if file.raw.compression == "parquet":
            self._note_shipped(log_no, file)
            return
        cache = self._cache_of(file, log_no)
        record = cache.find(file) if cache is not None else None
        sealed = file.segment is None or not file.segment.active
        if cache is not None and record is not None and sealed and len(record.pieces) > _MANY_PIECES:
            record = None
        covered = 0
        if record is not None and cache is not None:
            for piece in record.pieces:
                self._note(log_no, file, cache.path(piece), piece)
            covered = record.covered
        if file.raw.compression is not None:
            if record is None:
                spans = [Span(file, log_no, 0, file.size)]
                self._claim(spans, cache, None, build, tails)
            return
        if file.size == covered:
            return
        if cache is not None and sealed:
            self._claim(list(cut(file, log_no, covered, file.size)), cache, record, build, tails)
        elif cache is not None and (whole := last_line_end(file, covered)) - covered >= _WORTH:
            grown.append(Span(file, log_no, covered, whole, cache, record))
        else:
            tails.extend(cut(file, log_no, covered, file.size))

    def _take(self, grown: Sequence[Span], build: list[Span], tails: list[Span]) -> None:
        """Make pieces of what has been appended to active files, if it is enough."""
        worth = sum(span.end - span.start for span in grown) >= _WORTH_IN_ALL
        for span in grown:
            file, start = span.file, span.start
            if worth:
                start = span.end
                self._claim(
                    list(cut(file, span.log_no, span.start, start)), span.cache, span.record, build, tails
                )
            if file.size > start:
                tails.extend(cut(file, span.log_no, start, file.size))

    def _claim(
        self,
        spans: list[Span],
        cache: SegmentCache | None,
        record: Record | None,
        build: list[Span],
        tails: list[Span],
    ) -> None:
        if cache is None:
            tails.extend(spans)
            return
        try:
            cache.make_folder()
        except OSError:
            # The cache cannot be written; the answer does not need it.
            tails.extend(spans)
            return
        known = record if record is not None else cache.begin(spans[0].file)
        for span in spans:
            span.cache, span.record = cache, known
        build.extend(spans)

    def _note_shipped(self, log_no: int, file: LogFile) -> None:
        """Add a segment that is here as columns alone."""
        path = Path(file.raw.name)
        piece = read_shipped(path)
        if piece is None:
            # The next question takes it again.
            path.unlink(missing_ok=True)
            raise FileSystemError(
                f"{path}: expected the columns as they were shipped, got a damaged file; ask again",
                code=ErrorCode.LOG_READ_ERROR,
                filename=str(path),
            )
        self._note(log_no, file, path, piece)

    def _note(self, log_no: int, file: LogFile, path: Path, piece: Piece) -> None:
        """Add a piece to what the answer is made from."""
        place = self.places[id(file)]
        self.ready.append(Ready(log_no, place, path, piece.digest, piece.parsed.lines))
        self.loaded.note(log_no, file.raw.name, piece.parsed, piece.spans)
        self.loaded.joined += piece.joined
        self.loaded.kinds.update(piece.kinds)

    def _build(self, spans: Sequence[Span]) -> Iterator[Span]:
        """Make pieces, several at once, and note them in the order of their bytes."""
        if not spans:
            return
        with ThreadPoolExecutor(_WORKERS) as pool, self._threads_for(len(spans)):
            made = pool.map(lambda span: make_piece(self.db.cursor(), span), spans)
            for span, piece in zip(spans, made, strict=True):
                assert span.cache is not None
                assert span.record is not None
                span.cache.add(span.record, span.file, piece)
                self._note(span.log_no, span.file, span.cache.path(piece), piece)
                yield span

    @contextmanager
    def _threads_for(self, pieces: int) -> Iterator[None]:
        """Let each of several pieces be made by one thread: sharing them among pieces costs more than it brings."""
        if pieces < _WORKERS:
            yield
            return
        self.db.execute("SET threads = 1")
        try:
            yield
        finally:
            self.db.execute("RESET threads")

    def _save(self) -> None:
        changed = False
        for cache in self.caches.values():
            with suppress(OSError):
                changed = cache.save() or changed
        folders = [cache.folder for cache in self.caches.values()]
        note_use(folders)
        if self.folder is not None and changed:
            bound_size(self.folder, folders)

    def _make_view(self) -> None:
        db = self.db
        paths = [piece.path for piece in self.ready]
        names = ", ".join(f'"{name}"' for name in line_columns(self.extra) if name != "bad")
        parts = (
            [f"SELECT {names}, filename, file_index::INTEGER AS piece FROM {parquet(paths)}"] if paths else []
        )
        row = db.execute("SELECT count(*) FROM tail").fetchone()
        has_tail = bool(row and row[0])
        if has_tail or not parts:
            parts.append(f"SELECT {names}, filename, NULL::INTEGER AS piece FROM tail")
        db.execute(f"CREATE OR REPLACE TEMP VIEW lines AS {' UNION ALL '.join(parts)}")
        db.execute("CREATE OR REPLACE TEMP TABLE file_logs (filename VARCHAR, log_no INTEGER)")
        known = [(str(piece.path), piece.log_no) for piece in self.ready]
        known += [(f"log:{number}", number) for number in range(len(self.logs))]
        values = ", ".join(["(?, ?)"] * len(known))
        if known:
            db.execute(f"INSERT INTO file_logs VALUES {values}", [item for pair in known for item in pair])
        folder = self.folder / schema_tag() if self.folder is not None else None
        hot_keys(db, paths, "tail" if has_tail else None, folder)

    def forget(self) -> None:
        """Drop the records of these logs: something that they name was damaged."""
        for cache in self.caches.values():
            cache.forget()
