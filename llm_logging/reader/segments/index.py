"""The index of one log's pieces: which bytes of which file each Parquet file holds.

A piece holds the requests of a span of bytes of one file, folded within itself where that loses nothing (see
`fold.fold_piece`). Its record says which bytes those are, what they held besides requests, and how to recognise the file:
its inode, a hash of its head, and a hash of the bytes before the span's end.

- A growing file is resumed where the last reading ended.
- A sealed file is never parsed again, also when it is compressed later.
- A file that does not match is parsed again: a sealed one that was changed, truncated or replaced, and an active one that was
  changed without growing. One that was changed in its middle and then grew is recognised by its head and the end of the span.

Every file here is written under a temporary name and renamed, so any number of readers may build and read at once. A
damaged piece is dropped and made again. Nothing is written next to the logs. `pieces.py` decides what becomes a piece.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ..cache.store import digest_of, key_of, log_folder, make_private, read_file, write_file
from ..lines.log_files import LogFile
from ..lines.parse import Parsed

__all__ = ["Piece", "Record", "SegmentCache", "piece_from", "plain_piece"]

_SAMPLE: Final = 4096


@dataclass(frozen=True)
class Piece:
    """A span of a file as columns.

    Attributes:
        name: Its file in the log's folder of the cache.
        start: The first byte, uncompressed.
        end: The first byte that no longer belongs to it.
        parsed: What the span held besides requests.
        spans: Which numbers of which writer: writer, first, last, lines beyond one a number.
        joined: Lines that were folded into others of the piece.
        kinds: Which kinds of request it has; see `costs.kinds_in`.
        digest: CRC-32 of the file.
    """

    name: str
    start: int
    end: int
    parsed: Parsed
    spans: tuple[tuple[str, int, int, int], ...] = ()
    joined: int = 0
    kinds: tuple[tuple[str, str, str, str, str, int, bool], ...] = ()
    digest: int = 0


@dataclass
class Record:
    """What is known of a file.

    Attributes:
        segment: Which segment it is, the same when it is compressed; empty while it is active.
        inode: Of the uncompressed file.
        head: Hash of its first bytes, `head_size` of them.
        mark: Hash of the last bytes before `covered`.
        covered: How many bytes, uncompressed, the pieces hold.
        size: How many it had in all when the last piece was made.
        mtime_ns: When it was last changed, then.
        ctime_ns: When its metadata last changed, then; programs cannot set it back.
        packed: Identifies its compressed form, once that was read.
    """

    segment: str
    inode: int
    head: str
    head_size: int
    mark: str
    covered: int
    size: int
    mtime_ns: int
    ctime_ns: int
    packed: tuple[int, ...] | None = None
    pieces: list[Piece] = field(default_factory=list)


def segment_id(file: LogFile) -> str:
    """Name a file's place in its log, the same when it is compressed, another when it is rewritten."""
    segment = file.segment
    if segment is None or segment.active:
        return ""
    return f"{segment.key}.g{segment.generation}"


def sample(descriptor: int, start: int, end: int) -> str:
    """Hash a few bytes of an open file."""
    return hashlib.sha256(os.pread(descriptor, max(0, end - start), max(0, start))).hexdigest()[:32]


def unpacked_head(file: LogFile, size: int) -> tuple[str, int] | None:
    """Return the hash of the first bytes of a gzip file and its uncompressed size; None where it is not whole."""
    try:
        with file.raw.open() as lines:
            head = lines.read(size)
        tail = os.pread(file.descriptor, 4, max(0, file.size - 4))
    except (OSError, EOFError):
        return None
    return hashlib.sha256(head).hexdigest()[:32], int.from_bytes(tail, "little")


class SegmentCache:
    """The pieces of one log.

    Args:
        folder: The cache's folder.
        log: Identifies the log: its absolute path.
    """

    def __init__(self, folder: Path, log: str) -> None:
        self.folder = log_folder(folder, log)
        self._index = self.folder / "index.json"
        self._records = self._read()
        self._used: list[Record] = []
        self._changed = False
        self._digests: dict[str, Future[int]] = {}

    def check_ahead(self, pool: Executor) -> None:
        """Start to compare the pieces with their digests in the background."""
        for record in self._records:
            for piece in record.pieces:
                self._digests[piece.name] = pool.submit(digest_of, self.path(piece))

    def _read(self) -> list[Record]:
        try:
            content = json.loads(read_file(self._index))
            return [_record(item) for item in content["files"]]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return []

    def find(self, file: LogFile) -> Record | None:
        """Return what is known of an open file and still true of it."""
        if file.raw.compression is not None:
            found = self._find_packed(file)
        else:
            found = next((record for record in self._records if self._fits(record, file)), None)
        if found is not None and all(self._is_whole(piece) for piece in found.pieces):
            self._used.append(found)
            if found.segment != segment_id(file):
                # Sealing renames a file, which is a change to the system.
                found.segment, found.ctime_ns = segment_id(file), file.ctime_ns
                self._changed = True
            return found
        return None

    def _is_whole(self, piece: Piece) -> bool:
        """Return whether a piece is as it was written, so that a flipped bit on the disk changes no figure."""
        ahead = self._digests.get(piece.name)
        try:
            return (ahead.result() if ahead is not None else digest_of(self.path(piece))) == piece.digest
        except OSError:
            return False

    def _fits(self, record: Record, file: LogFile) -> bool:
        if record.inode != file.inode or record.covered > file.size or not record.covered:
            return False
        as_large = file.size in {record.covered, record.size}
        if as_large and record.mtime_ns != file.mtime_ns:
            return False
        # Of an active file that has grown the times say nothing; what is sealed does not grow.
        timed = record.segment == segment_id(file) and (as_large or record.segment)
        if timed and record.ctime_ns != file.ctime_ns:
            return False
        covered, descriptor = record.covered, file.descriptor
        return (
            sample(descriptor, 0, record.head_size) == record.head
            and sample(descriptor, covered - min(covered, _SAMPLE), covered) == record.mark
        )

    def _find_packed(self, file: LogFile) -> Record | None:
        identity = _packed_as(file)
        for record in self._records:
            if record.segment != segment_id(file) or not record.segment:
                continue
            if record.packed == identity:
                return record
            if file.raw.compression == "gz" and record.packed is None:
                head = unpacked_head(file, record.head_size)
                if head == (record.head, record.covered % 2**32):
                    record.packed = identity
                    self._changed = True
                    return record
        return None

    def begin(self, file: LogFile) -> Record:
        """Start a record of a file of which nothing is known."""
        packed = _packed_as(file) if file.raw.compression is not None else None
        times = (file.mtime_ns, file.ctime_ns)
        record = Record(segment_id(file), file.inode, "", 0, "", 0, file.size, *times, packed)
        self._records = [known for known in self._records if not _same_file(known, record)]
        self._records.append(record)
        self._used.append(record)
        return record

    def add(self, record: Record, file: LogFile, piece: Piece) -> None:
        """Note a piece that has been written; pieces come in the order of their bytes."""
        record.pieces.append(piece)
        record.covered = piece.end
        record.size, record.mtime_ns, record.ctime_ns = file.size, file.mtime_ns, file.ctime_ns
        if file.raw.compression is None:
            record.head_size = min(_SAMPLE, piece.end) if not record.head_size else record.head_size
            record.head = sample(file.descriptor, 0, record.head_size)
            record.mark = sample(file.descriptor, piece.end - min(piece.end, _SAMPLE), piece.end)
        self._changed = True

    def path(self, piece: Piece) -> Path:
        """Return where a piece lies."""
        return self.folder / piece.name

    def new_name(self, file: LogFile, start: int, end: int) -> str:
        """Return a name for a piece; two readers that build the same one give it the same name."""
        identity = [file.inode, file.size if file.raw.compression else 0, file.mtime_ns, start, end]
        return f"{key_of(identity)}.parquet"

    def make_folder(self) -> None:
        """Make the log's folder, for its owner only."""
        make_private(self.folder)

    def save(self) -> bool:
        """Write the index where it changed, and drop pieces that it no longer names; say whether it changed."""
        if not self._changed:
            return False
        kept = [record for record in self._records if record in self._used]
        content = {"files": [_plain(record) for record in kept]}
        self.make_folder()
        write_file(self._index, json.dumps(content).encode())
        named = {piece.name for record in kept for piece in record.pieces}
        for old in self.folder.glob("*.parquet"):
            if old.name not in named and not old.name.startswith("hot-") and _age(old) > 3600:
                old.unlink(missing_ok=True)
        self._changed = False
        return True

    def forget(self) -> None:
        """Drop all that is known of the log: something in it was damaged."""
        self._index.unlink(missing_ok=True)
        self._records, self._used = [], []


def _packed_as(file: LogFile) -> tuple[int, ...]:
    return (file.inode, file.size, file.mtime_ns, file.ctime_ns)


def _same_file(known: Record, other: Record) -> bool:
    return known.inode == other.inode or (known.segment == other.segment != "")


def _age(path: Path) -> float:
    import time

    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


def plain_piece(piece: Piece) -> dict[str, Any]:
    """Return a piece as JSON can hold it; see `piece_from`."""
    parsed = {
        **vars(piece.parsed),
        "skipped": dict(piece.parsed.skipped),
        "invalid": dict(piece.parsed.invalid),
    }
    return {**vars(piece), "parsed": parsed}


def piece_from(item: Mapping[str, Any]) -> Piece:
    """Return the piece that `plain_piece` was given."""
    return Piece(
        **{
            **item,
            "parsed": Parsed.from_json(item["parsed"]),
            "kinds": tuple((*map(str, kind[:5]), int(kind[5]), bool(kind[6])) for kind in item["kinds"]),
            "spans": tuple((str(w), int(a), int(b), int(n)) for w, a, b, n in item["spans"]),
        }
    )


def _plain(record: Record) -> dict[str, Any]:
    return {**vars(record), "pieces": [plain_piece(piece) for piece in record.pieces]}


def _record(item: Mapping[str, Any]) -> Record:
    pieces = [piece_from(piece) for piece in item["pieces"]]
    packed = tuple(item["packed"]) if item["packed"] else None
    return Record(**{**item, "packed": packed, "pieces": pieces})
