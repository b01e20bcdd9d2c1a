"""The layout of a ring, and how it is read: also by those who neither own it nor want to.

Layout, little endian: a page of header; a table of the paths that lines are for; an index of fixed entries; then the bytes
of the lines, each followed by its path where the table is full. `head` and `tail` count entries and never run backwards;
an entry's number less `base`, modulo the length of the index, is its place. An entry holds the place of its line, its
length, its CRC-32, its path and its state. A line never wraps. A line and its entry are stored before `head` moves over
them: what lies below `head` was committed whole, and the CRC tells what was torn all the same. A line that no ring would
take lies in a file of its own beside the ring; its entry, under a path that begins with a mark, holds that file's name.
"""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "BIG",
    "Batch",
    "Intent",
    "Origin",
    "RingRecord",
    "RingView",
    "boot_id",
    "new_header",
]

MAGIC = b"LLMRING3"
# Written by version 0.1: without a base, a root and a device; all blocks reserved.
OLDER_MAGIC = b"LLMRING2"
BIG = b"\0big:"
HEADER_BYTES = 4096
MIN_CAPACITY = 1 << 16
PENDING, DONE = 0, 1

FIXED = struct.Struct("<8sQQQQQQ")  # magic, capacity, entries, bytes for paths, pid, head, tail
U64 = struct.Struct("<Q")
ENTRY = struct.Struct("<QIIIHH")  # start, length, crc, place of path, state, reserved
STATE = struct.Struct("<H")
PATH = struct.Struct("<H")
INTENT = struct.Struct("<QQQQ")  # device, inode, size before, first entry
HEAD_AT, TAIL_AT, BASE_AT = 40, 48, 56
INTENT_FLAG_AT, INTENT_AT = 64, 72
WRITER_AT, WRITER_BYTES = 128, 64
# Device and inode of the ring, device of the root, length of the root's path, the running of the system.
ORIGIN = struct.Struct("<QQQH16s")
ORIGIN_AT, ROOT_AT = 192, 256


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a ring was made.

    Attributes:
        root: The folder whose lines it holds; empty where the ring does not say.
        root_device: The file system of that folder; 0 where it is not known.
        device: The file system of the ring itself.
        inode: Which file the ring itself was. A copy of it is another.
        boot: Which running of the system it was; a power cut may leave an older state of the ring.
    """

    root: str = ""
    root_device: int = 0
    device: int = 0
    inode: int = 0
    boot: bytes = b""


@dataclass(frozen=True, slots=True)
class Intent:
    """What its owner was appending when it last said so."""

    device: int
    inode: int
    offset: int
    first: int


@dataclass(frozen=True, slots=True)
class RingRecord:
    """One committed line: its number in the ring, whose file it is for, and the line with its line end."""

    number: int
    path: str
    line: bytes
    done: bool


@dataclass(slots=True)
class Batch:
    """Lines of one file, in order: the numbers of their entries, and their bytes in one piece."""

    path: bytes
    numbers: Sequence[int]
    data: bytes


def boot_id() -> bytes:
    """Return 16 bytes that name this running of the system; zeros where it does not say."""
    try:
        with io.FileIO("/proc/sys/kernel/random/boot_id") as file:
            return file.read(36)[-16:]
    except OSError:
        return bytes(16)


def new_header(
    ring: os.stat_result, sizes: tuple[int, int, int], *, writer: str, root: str, first: int
) -> bytes:
    """Return the header of a new ring.

    Args:
        ring: Its file.
        sizes: Its capacity, its entries, and the bytes for paths.
        writer: The id of the process that writes.
        root: The folder whose lines it will hold.
        first: The number of its first entry.
    """
    header, folder = bytearray(HEADER_BYTES), os.fsencode(root)[: HEADER_BYTES - ROOT_AT]
    FIXED.pack_into(header, 0, MAGIC, *sizes, os.getpid(), first, first)
    U64.pack_into(header, BASE_AT, first)
    header[WRITER_AT : WRITER_AT + WRITER_BYTES] = writer.encode("ascii").ljust(WRITER_BYTES, b"\0")
    device = 0
    with contextlib.suppress(OSError):
        device = Path(root).stat().st_dev if root else 0
    ORIGIN.pack_into(header, ORIGIN_AT, ring.st_dev, ring.st_ino, device, len(folder), boot_id())
    header[ROOT_AT : ROOT_AT + len(folder)] = folder
    return bytes(header)


class RingView:
    """A ring as bytes, read as it is at this moment.

    Args:
        path: What it is called in errors.
        buffer: Its mapping.
        keep: Leave the mapping open where it is no ring.

    Raises:
        OSError: It is no ring.
    """

    __slots__ = (
        "_base",
        "_data_at",
        "_entries",
        "_index_at",
        "capacity",
        "head",
        "map",
        "path",
        "pid",
        "tail",
        "writer",
    )

    def __init__(self, path: Path, buffer: mmap.mmap, *, keep: bool = False) -> None:
        self.path = path
        self.map = buffer
        size = len(buffer)
        magic, capacity, entries, paths, pid, head, tail = FIXED.unpack_from(buffer, 0)
        wanted = HEADER_BYTES + paths + entries * ENTRY.size + capacity
        known = magic in {MAGIC, OLDER_MAGIC}
        if not known or wanted != size or not 0 <= head - tail <= entries or not entries:
            if not keep:
                buffer.close()
            raise OSError(f"{path}: expected a ring, its header says otherwise")
        self.capacity: int = capacity
        self.pid: int = pid
        self.head: int = head
        self.tail: int = tail
        self._entries: int = entries
        self._base: int = U64.unpack_from(buffer, BASE_AT)[0]
        self._index_at: int = HEADER_BYTES + paths
        self._data_at: int = self._index_at + entries * ENTRY.size
        self.writer = (
            bytes(buffer[WRITER_AT : WRITER_AT + WRITER_BYTES]).rstrip(b"\0").decode("ascii", "replace")
        )

    @property
    def origin(self) -> Origin:
        """Where it was made."""
        device, inode, root_device, length, boot = ORIGIN.unpack_from(self.map, ORIGIN_AT)
        root = os.fsdecode(self.map[ROOT_AT : ROOT_AT + min(length, HEADER_BYTES - ROOT_AT)])
        return Origin(root, root_device, device, inode, boot)

    def _entry(self, number: int) -> tuple[int, int, int, int, int]:
        start, size, crc, place, state, _ = ENTRY.unpack_from(
            self.map, self._index_at + (number - self._base) % self._entries * ENTRY.size
        )
        return start, size, crc, place, state

    def _path_at(self, place: int) -> bytes:
        (length,) = PATH.unpack_from(self.map, place)
        return self.map[place + PATH.size : place + PATH.size + length]

    def _line(self, start: int, size: int) -> bytes:
        at = self._data_at + start % self.capacity
        return self.map[at : at + size]

    def records(self) -> Iterator[RingRecord]:
        """Yield committed lines from `tail` on, checked; leave out what is torn."""
        for number in range(self.tail, self.head):
            start, size, crc, place, state = self._entry(number)
            if (
                start % self.capacity + size > self.capacity
                or not HEADER_BYTES <= place <= len(self.map) - PATH.size
            ):
                continue
            line = self._line(start, size)
            if zlib.crc32(line) != crc:
                continue
            yield RingRecord(number, os.fsdecode(self._path_at(place)), line, state == DONE)

    @property
    def intent(self) -> Intent | None:
        """What its owner was appending, if it said so."""
        if not U64.unpack_from(self.map, INTENT_FLAG_AT)[0]:
            return None
        return Intent(*INTENT.unpack_from(self.map, INTENT_AT))
