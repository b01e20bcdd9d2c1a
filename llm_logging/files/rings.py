"""The spool file of one writer: a ring of lines in a shared mapping, which outlives its process.

Layout, little endian: a page of header, then `capacity` bytes of records. `head` and `tail` count bytes since the ring
was made and never run backwards; a position modulo `capacity` is a place. A record is 16 bytes of header (length of
path and line together, CRC-32 of them, state, length of path), the path, the line, padded to 8; it never wraps: where it
does not fit, a filler does. Its bytes are stored before its header, its header before `head` moves, so what lies below
`head` was committed whole, and the CRC tells what was torn.

The owner holds a POSIX lock on the file, which dies with it and is not inherited by a fork. Whoever gets that lock has
found a dead ring: what lies between `tail` and `head`, is not marked done and is not in the file already, is to be
written. For that, the owner notes each append before it makes it: device, inode, size of the file before, and the
place of the first record.

In the owner only one thread at a time moves `head` and only one moves `tail`.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import stat
import struct
import sys
import zlib
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

try:
    import fcntl
except ImportError:  # pragma: no cover  Windows has no POSIX locks, so no spool that outlives its process
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "DONE",
    "Intent",
    "Ring",
    "RingRecord",
    "dead_rings",
    "dead_rings_exist",
    "ring_folders",
    "ring_prefix",
]

MAGIC = b"LLMRING1"
HEADER_BYTES = 4096
MIN_CAPACITY = 1 << 16
RECORD_HEADER = 16
PENDING, DONE = 0, 1
_FILLER = 0xFFFFFFFF

_FIXED = struct.Struct("<8sQQQQ")  # magic, capacity, head, tail, pid
_U64 = struct.Struct("<Q")
_RECORD = struct.Struct("<IIHHI")  # length, crc, state, length of path, reserved
_STATE = struct.Struct("<H")
_INTENT = struct.Struct("<QQQQ")  # device, inode, size before, place of first record
_HEAD_AT, _TAIL_AT = 16, 24
_INTENT_FLAG_AT, _INTENT_AT = 40, 48
_WRITER_AT, _WRITER_BYTES = 128, 64


@dataclass(frozen=True, slots=True)
class Intent:
    """What its owner was appending when it last said so."""

    device: int
    inode: int
    offset: int
    first: int


@dataclass(frozen=True, slots=True)
class RingRecord:
    """One committed line: where it lies in the ring, whose file it is for, and the line with its line end."""

    position: int
    end: int
    path: str
    line: bytes
    done: bool


class Ring:
    """A ring of lines in a mapped file.

    Args:
        path: The file.
        capacity: Bytes for records when it is made; None opens one that is there.
        writer: The id of the process that writes.

    Raises:
        OSError: It cannot be made, opened, reserved or locked (BlockingIOError where its owner lives).
    """

    def __init__(self, path: Path, capacity: int | None = None, *, writer: str = "") -> None:
        self.path = path
        flags = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
        made = capacity is not None
        self._fd = os.open(path, flags | (os.O_CREAT | os.O_EXCL if made else 0), 0o600)
        try:
            _lock(self._fd)
            if not made and os.fstat(self._fd).st_nlink == 0:
                raise OSError(f"{path}: expected a ring, somebody has emptied and removed it meanwhile")
            if capacity is not None:
                self._make(capacity, writer)
            size = os.fstat(self._fd).st_size
            if size < HEADER_BYTES + MIN_CAPACITY:
                raise OSError(
                    f"{path}: expected a ring of at least {HEADER_BYTES + MIN_CAPACITY} bytes, got {size}"
                )
            self.map = mmap.mmap(self._fd, size)
            magic, stored, head, tail, pid = _FIXED.unpack_from(self.map, 0)
            self.head: int = head
            self.tail: int = tail
            self.pid: int = pid
            if magic != MAGIC or stored != size - HEADER_BYTES or not 0 <= head - tail <= stored:
                self.map.close()
                raise OSError(f"{path}: expected a ring, its header says otherwise")
            self.capacity: int = stored
            self.writer = (
                bytes(self.map[_WRITER_AT : _WRITER_AT + _WRITER_BYTES])
                .rstrip(b"\0")
                .decode("ascii", "replace")
            )
        except BaseException:
            os.close(self._fd)
            if made:
                with contextlib.suppress(OSError):
                    path.unlink()
            raise

    def _make(self, capacity: int, writer: str) -> None:
        capacity = max(MIN_CAPACITY, (capacity + 4095) // 4096 * 4096)
        size = HEADER_BYTES + capacity
        # Reserved now: a store into a mapping that the disk has no room for would be a SIGBUS.
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._fd, 0, size)
        else:  # pragma: no cover  macOS
            os.ftruncate(self._fd, size)
        header = bytearray(HEADER_BYTES)
        header[_WRITER_AT : _WRITER_AT + _WRITER_BYTES] = writer.encode("ascii").ljust(_WRITER_BYTES, b"\0")
        _FIXED.pack_into(header, 0, MAGIC, capacity, 0, 0, os.getpid())
        os.pwrite(self._fd, header, 0)

    # -- storing ------------------------------------------------------------------------------------------------------

    @property
    def used(self) -> int:
        """Bytes between tail and head."""
        return self.head - self.tail

    def store(self, path: bytes, line: bytes, *, publish: bool = True) -> int:
        """Commit one line.

        Args:
            path: The file that it is for.
            line: The line with its line end.
            publish: Whether to move the head; else `publish` is called with what this returns.

        Returns:
            The position of its end, or 0 where there is no room for it now.
        """
        size = len(path) + len(line)
        whole = (RECORD_HEADER + size + 7) & ~7
        head, capacity = self.head, self.capacity
        place = head % capacity
        gap = capacity - place
        if whole > gap:
            if head - self.tail + gap + whole > capacity:
                return 0
            if gap >= RECORD_HEADER:
                _RECORD.pack_into(self.map, HEADER_BYTES + place, _FILLER, 0, DONE, 0, 0)
            head += gap
            place = 0
        elif head - self.tail + whole > capacity:
            return 0
        at = HEADER_BYTES + place
        start = at + RECORD_HEADER
        middle = start + len(path)
        buffer = self.map
        buffer[start:middle] = path
        buffer[middle : start + size] = line
        _RECORD.pack_into(buffer, at, size, zlib.crc32(line, zlib.crc32(path)), PENDING, len(path), 0)
        head += whole
        if publish:
            _U64.pack_into(buffer, _HEAD_AT, head)
            self.head = head
        return head

    def publish(self, head: int) -> None:
        """Move the head over a line that was stored without."""
        _U64.pack_into(self.map, _HEAD_AT, head)
        self.head = head

    def fits(self, path: bytes, line: bytes) -> bool:
        """Say whether an empty ring would take the line."""
        return RECORD_HEADER + len(path) + len(line) + 8 <= self.capacity // 2

    # -- taking -------------------------------------------------------------------------------------------------------

    def records(self, upto: int | None = None) -> Iterator[RingRecord]:
        """Yield committed records from `tail` on; stop at the first that is torn.

        Args:
            upto: Where to stop; the head of this moment when None.
        """
        position = self.tail
        end = self.head if upto is None else upto
        buffer, capacity = self.map, self.capacity
        while position < end:
            place = position % capacity
            gap = capacity - place
            if gap < RECORD_HEADER:
                position += gap
                continue
            at = HEADER_BYTES + place
            size, crc, state, path_size, _ = _RECORD.unpack_from(buffer, at)
            if size == _FILLER:
                position += gap
                continue
            whole = (RECORD_HEADER + size + 7) & ~7
            if whole > gap or position + whole > end or path_size > size:
                return
            start = at + RECORD_HEADER
            path = buffer[start : start + path_size]
            line = buffer[start + path_size : start + size]
            if zlib.crc32(line, zlib.crc32(path)) != crc:
                return
            yield RingRecord(
                position, position + whole, path.decode("utf-8", "surrogateescape"), line, state == DONE
            )
            position += whole

    def take(self, upto: int, limit: int, skip: Container[bytes] = ()) -> list[tuple[int, int, bytes, bytes]]:
        """Return what is to be written, unchecked, for the owner itself.

        Args:
            upto: Where to stop, a head seen earlier.
            limit: Bytes of lines to return at most; one line is always returned.
            skip: Paths whose lines are left for later.

        Returns:
            Position, end, path and line of each record that is not done.
        """
        found: list[tuple[int, int, bytes, bytes]] = []
        position, capacity, buffer = self.tail, self.capacity, self.map
        unpack = _RECORD.unpack_from
        while position < upto:
            place = position % capacity
            gap = capacity - place
            if gap < RECORD_HEADER:
                position += gap
                continue
            at = HEADER_BYTES + place
            size, _, state, path_size, _ = unpack(buffer, at)
            if size == _FILLER:
                position += gap
                continue
            end = position + ((RECORD_HEADER + size + 7) & ~7)
            if state != DONE:
                middle = at + RECORD_HEADER + path_size
                path = buffer[at + RECORD_HEADER : middle]
                if path not in skip:
                    found.append((position, end, path, buffer[middle : at + RECORD_HEADER + size]))
                    limit -= size
                    if limit <= 0:
                        break
            position = end
        return found

    def settled(self) -> int:
        """Return the position up to which every record is done."""
        position, capacity, head = self.tail, self.capacity, self.head
        while position < head:
            place = position % capacity
            gap = capacity - place
            if gap < RECORD_HEADER:
                position += gap
                continue
            size, _, state, _, _ = _RECORD.unpack_from(self.map, HEADER_BYTES + place)
            if size == _FILLER:
                position += gap
                continue
            if state != DONE:
                break
            position += (RECORD_HEADER + size + 7) & ~7
        return position

    def mark_done(self, position: int) -> None:
        """Note that the record at `position` is in its file, or is given up."""
        _STATE.pack_into(self.map, HEADER_BYTES + position % self.capacity + 8, DONE)

    def release(self, upto: int) -> None:
        """Give the room below `upto` back."""
        self.tail = upto
        _U64.pack_into(self.map, _TAIL_AT, upto)

    @property
    def intent(self) -> Intent | None:
        """What its owner was appending, if it said so."""
        if not _U64.unpack_from(self.map, _INTENT_FLAG_AT)[0]:
            return None
        return Intent(*_INTENT.unpack_from(self.map, _INTENT_AT))

    def note_intent(self, device: int, inode: int, offset: int, first: int) -> None:
        """Note an append before it is made."""
        _U64.pack_into(self.map, _INTENT_FLAG_AT, 0)
        _INTENT.pack_into(self.map, _INTENT_AT, device, inode, offset, first)
        _U64.pack_into(self.map, _INTENT_FLAG_AT, 1)

    def clear_intent(self) -> None:
        """Note that what was appended is marked done."""
        _U64.pack_into(self.map, _INTENT_FLAG_AT, 0)

    # -- the file -----------------------------------------------------------------------------------------------------

    def close(self, *, remove: bool) -> None:
        """Let go of the mapping and the lock.

        Args:
            remove: Also remove the file: nothing in it is needed.
        """
        if remove:
            with contextlib.suppress(OSError):
                self.path.unlink()
        with contextlib.suppress(BufferError, ValueError):
            self.map.close()
        with contextlib.suppress(OSError):
            os.close(self._fd)

    def abandon(self) -> None:
        """Let go in a forked child: the parent's mapping, file and lock are none of ours."""
        self.close(remove=False)


def _lock(fd: int) -> None:
    if fcntl is None:  # pragma: no cover
        raise OSError("a spool that outlives its process needs POSIX locks, which this system does not have")
    fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def ring_prefix(root: Path) -> str:
    """Return how the names of all rings of a root begin."""
    return hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:24] + "-"


def ring_folders(root: Path) -> Sequence[Path]:
    """Return where rings of a root may lie, the preferred folder first."""
    folders = [root / ".spool"]
    if sys.platform.startswith("linux"):
        folders.insert(0, Path(f"/dev/shm/llm_logging-{os.geteuid()}"))  # noqa: S108  made 0700 and checked before use
    return folders


def trusted(folder: Path) -> bool:
    """Say whether a folder is ours alone: nobody else could have planted a ring in it."""
    try:
        info = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(info.st_mode) and info.st_uid == os.geteuid() and not info.st_mode & 0o022


def dead_rings(root: Path, *, own: str = "", folders: Sequence[Path] | None = None) -> Iterator[Ring]:
    """Yield the rings of a root whose owners are gone, locked by us now; the caller closes each.

    Args:
        root: Whose rings.
        own: The id of this process's writer, whose rings are never touched.
        folders: Where to look; `ring_folders(root)` when None.
    """
    prefix = ring_prefix(root)
    for folder in folders if folders is not None else ring_folders(root):
        if not trusted(folder):
            continue
        try:
            names = sorted(entry.name for entry in os.scandir(folder) if entry.name.startswith(prefix))
        except OSError:
            continue
        for name in names:
            # Opening and closing a ring of our own would drop its lock: POSIX locks belong to the process.
            if not name.endswith(".ring") or (own and f"-{own}-" in name):
                continue
            try:
                ring = Ring(folder / name)
            except OSError:
                continue
            yield ring


def dead_rings_exist(root: Path) -> bool:
    """Say whether there may be rings of a root that nobody owns; live ones count too, for they are cheap to look at."""
    prefix = ring_prefix(root)
    for folder in ring_folders(root):
        try:
            with os.scandir(folder) as entries:
                if any(entry.name.startswith(prefix) for entry in entries):
                    return True
        except OSError:
            continue
    return False
