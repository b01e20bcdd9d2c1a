"""The cache around the step `load`: pieces that are there are taken, pieces that are worth it are made.

A sealed segment becomes one piece as a whole. An active file becomes a piece up to its last whole line, once enough has
been appended to it and to all active files together; the lines after that are parsed for this answer only. See `index.py`
for how a file is recognised, `parquet.py` for how a piece is made.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..cache.eviction import bound_size, note_use
from ..lines.log_files import LogFile
from .index import Piece, Record, SegmentCache
from .loader import Loaded, Loader, Ready
from .parquet import Span, cut, last_line_end, make_piece
from .repeated_keys import make_hot_tables, remembered_hot_keys
from .shipped import read_shipped, unusable_columns

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["PieceCache"]

# An active file is worth a piece when this much has been appended to it, and this much to all active files: parsing less
# for one answer takes less time than making the pieces.
_WORTH: Final = 2**20
_WORTH_IN_ALL: Final = 10 * 2**20
_MANY_PIECES: Final = 16
_WORKERS: Final = min(2, os.cpu_count() or 1)


class PieceCache:
    """The pieces of the logs of one answer.

    Args:
        folder: The cache folder.
        files: The files of the answer, open.
    """

    def __init__(self, folder: Path, files: Sequence[LogFile]) -> None:
        self._folder, self._files = folder, files
        self._caches: dict[Path, SegmentCache] = {}
        for file in files:
            active = file.log.active
            # Files that were named, and lines that are in no file yet, have no place in a log.
            if active is not None and file.segment is not None and active not in self._caches:
                self._caches[active] = SegmentCache(folder, os.path.realpath(active))
        self.ready: list[Ready] = []
        self._build: list[Span] = []
        self._rest: list[Span] = []

    @property
    def folder(self) -> Path:
        """The folder of everything that this version keeps of pieces; there is one once `ready` holds any."""
        return next(iter(self._caches.values())).folder.parent

    @contextmanager
    def checked(self) -> Iterator[None]:
        """Compare the pieces with their digests in threads while the block runs, which connects to a database."""
        with ThreadPoolExecutor(_WORKERS) as pool:
            for cache in self._caches.values():
                cache.check_ahead(pool)
            yield

    def load(self, loader: Loader) -> Loaded:
        """Do what `Loader.load` does, with pieces for the lines that they hold."""
        grown: list[Span] = []
        for place, file in enumerate(self._files):
            self._assign(loader, place, file, grown)
        self._assign_grown(grown)
        loader.expect((*self._build, *self._rest))
        for span in self._make_pieces(loader):
            loader.advance(span)
        loader.parse(self._rest)
        self._save()
        make_hot_tables(loader.db)
        if self.ready:
            remembered_hot_keys(loader.db, [piece.path for piece in self.ready], self.folder)
        return loader.finish(self.ready)

    def forget(self) -> None:
        """Drop the records of these logs: something that they name was damaged."""
        for cache in self._caches.values():
            cache.forget()

    def _assign(self, loader: Loader, place: int, file: LogFile, grown: list[Span]) -> None:
        """Take a file's pieces; divide the rest of it into what becomes a piece and what is parsed for this answer."""
        if file.raw.compression == "parquet":
            self._take_shipped(loader, place, file)
            return
        log_no = loader.number_of(file)
        cache = self._caches.get(file.log.active) if file.log.active and file.segment is not None else None
        if cache is None:
            if file.size or file.raw.compression is not None:
                self._rest.extend(cut(file, log_no, 0, file.size))
            return
        record = cache.find(file)
        sealed = not file.is_active
        if record is not None and sealed and len(record.pieces) > _MANY_PIECES:
            record = None
        covered = 0
        if record is not None:
            covered = record.covered
            for piece in record.pieces:
                self._take(loader, file, place, cache.path(piece), piece)
        if file.raw.compression is not None:
            if record is None:
                self._claim([Span(file, log_no, 0, file.size)], cache, None)
        elif file.size == covered:
            return
        elif sealed:
            self._claim(list(cut(file, log_no, covered, file.size)), cache, record)
        elif (whole := last_line_end(file, covered)) - covered >= _WORTH:
            grown.append(Span(file, log_no, covered, whole, cache, record))
        else:
            self._rest.extend(cut(file, log_no, covered, file.size))

    def _assign_grown(self, grown: Sequence[Span]) -> None:
        """Make pieces of what was appended to active files, if it is enough in total."""
        worth = sum(span.end - span.start for span in grown) >= _WORTH_IN_ALL
        for span in grown:
            file, start = span.file, span.start
            if worth and span.cache is not None:
                start = span.end
                self._claim(list(cut(file, span.log_no, span.start, start)), span.cache, span.record)
            if file.size > start:
                self._rest.extend(cut(file, span.log_no, start, file.size))

    def _claim(self, spans: list[Span], cache: SegmentCache, record: Record | None) -> None:
        """Plan pieces of these spans."""
        try:
            cache.make_folder()
        except OSError:
            # The cache cannot be written; the answer does not need it.
            self._rest.extend(spans)
            return
        known = record if record is not None else cache.begin(spans[0].file)
        for span in spans:
            span.cache, span.record = cache, known
        self._build.extend(spans)

    def _take_shipped(self, loader: Loader, place: int, file: LogFile) -> None:
        """Add a segment of which only the columns are here; see `remote.py`."""
        path = Path(file.raw.name)
        piece = read_shipped(path)
        if piece is None:
            raise unusable_columns(path)
        self._take(loader, file, place, path, piece)

    def _take(self, loader: Loader, file: LogFile, place: int, path: Path, piece: Piece) -> None:
        """Add a piece to what the answer is made from."""
        log_no = loader.number_of(file)
        self.ready.append(Ready(log_no, place, path, piece.digest, piece.parsed.lines))
        loader.loaded.note(log_no, file.raw.name, piece.parsed, piece.spans, piece.joined)
        loader.loaded.kinds.update(piece.kinds)

    def _make_pieces(self, loader: Loader) -> Iterator[Span]:
        """Make the planned pieces, several at once, and take them in the order of their bytes."""
        if not self._build:
            return
        places = {id(file): place for place, file in enumerate(self._files)}
        with ThreadPoolExecutor(_WORKERS) as pool, _threads_for(loader.db, len(self._build)):
            made = pool.map(lambda span: make_piece(loader.db.cursor(), span), self._build)
            for span, piece in zip(self._build, made, strict=True):
                assert span.cache is not None
                assert span.record is not None
                span.cache.add(span.record, span.file, piece)
                self._take(loader, span.file, places[id(span.file)], span.cache.path(piece), piece)
                yield span

    def _save(self) -> None:
        changed = False
        for cache in self._caches.values():
            with suppress(OSError):
                changed = cache.save() or changed
        folders = [cache.folder for cache in self._caches.values()]
        note_use(folders)
        if changed:
            bound_size(self._folder, folders)


@contextmanager
def _threads_for(db: DuckDBPyConnection, pieces: int) -> Iterator[None]:
    """Let one thread make each of several pieces: sharing threads among pieces costs more than it saves."""
    if pieces < _WORKERS:
        yield
        return
    db.execute("SET threads = 1")
    try:
        yield
    finally:
        db.execute("RESET threads")
