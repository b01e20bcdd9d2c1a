"""The spool file of one writer: a ring of lines in a shared mapping, which outlives its process.

Layout, little endian: a page of header; a table of the paths that lines are for; an index of fixed entries; then the bytes
of the lines, each followed by its path where the table is full. `head` and `tail` count entries since the ring was made and never run backwards; an entry's number modulo the
length of the index is its place. An entry holds the place of its line, its length, its CRC-32, its path and its state. A
line never wraps, and consecutive lines of one file lie side by side, so that they are taken in one piece. A line and its
entry are stored before `head` moves over them: what lies below `head` was committed whole, and the CRC tells what was
torn all the same. A line that no ring would take lies in a file of its own beside the ring; its entry, under a path that
begins with a mark, holds that file's name.

The owner holds a POSIX lock on the file, which dies with it and is not inherited by a fork. Whoever gets that lock has
found a dead ring: what lies between `tail` and `head`, is not marked done and is not in the file already, is to be
written. For that, the owner notes each append before it makes it: device, inode, size of the file before, and the first
entry.

In the owner only one thread at a time moves `head`, and only one moves `tail`. A line is committed by moving the head in the
mapping; everything else that `store` changes describes it before, or is put right by `repair`.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import struct
import zlib
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..forks import at_fork

try:
    import fcntl
except ImportError:  # pragma: no cover  Windows has no POSIX locks, so no spool that outlives its process
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "BIG",
    "Batch",
    "Intent",
    "Ring",
    "RingRecord",
    "held_here",
]

MAGIC = b"LLMRING2"
BIG = b"\0big:"
HEADER_BYTES = 4096
MIN_CAPACITY = 1 << 16
PENDING, DONE = 0, 1
_LINE_BYTES = 128  # of lines an entry is reckoned for: shorter ones fill the index first
_PATHS_SHARE = 32
# Of what is taken at once, when lines of many files are mixed: lines of the files met first.
_FIRST_SHARE = 0.25

_FIXED = struct.Struct("<8sQQQQQQ")  # magic, capacity, entries, bytes for paths, pid, head, tail
_U64 = struct.Struct("<Q")
_ENTRY = struct.Struct("<QIIIHH")  # start, length, crc, place of path, state, reserved
_STATE = struct.Struct("<H")
_PATH = struct.Struct("<H")
_INTENT = struct.Struct("<QQQQ")  # device, inode, size before, first entry
_HEAD_AT, _TAIL_AT = 40, 48
_INTENT_FLAG_AT, _INTENT_AT = 64, 72
_WRITER_AT, _WRITER_BYTES = 128, 64


# The rings that this process holds, made or found. A forked child holds none: its parent's are locked against it too.
_ours: dict[str, object] = {}

at_fork(_ours.clear)


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


class Ring:
    """A ring of lines in a mapped file.

    Args:
        path: The file.
        capacity: Bytes for lines when it is made; None opens one that is there.
        writer: The id of the process that writes.

    Raises:
        OSError: It cannot be made, opened, reserved or locked (BlockingIOError where its owner lives).
    """

    def __init__(self, path: Path, capacity: int | None = None, *, writer: str = "") -> None:
        self.path = path
        made = capacity is not None
        if not _claim(path):
            raise BlockingIOError(
                errno.EAGAIN, "expected a ring that nobody holds, this process does", os.fspath(path)
            )
        # Made under a name that nobody looks for, so that whoever finds a ring finds it whole and locked.
        name = path.with_name(f".{path.name}.tmp") if made else path
        flags = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
        try:
            self._fd = os.open(name, flags | (os.O_CREAT | os.O_EXCL if made else 0), 0o600)
        except BaseException:
            _disclaim(path)
            raise
        try:
            _lock(self._fd)
            if capacity is not None:
                self._make(capacity, writer)
                name.rename(path)
            elif os.fstat(self._fd).st_nlink == 0:
                raise OSError(f"{path}: expected a ring, somebody has emptied and removed it meanwhile")
            self._open()
        except BaseException:
            os.close(self._fd)
            _disclaim(path)
            if made:
                for leftover in (name, path):
                    with contextlib.suppress(OSError):
                        leftover.unlink()
            raise

    def _make(self, capacity: int, writer: str) -> None:
        capacity = (max(MIN_CAPACITY, capacity) + 4095) // 4096 * 4096
        entries, paths = capacity // _LINE_BYTES, max(1 << 14, capacity // _PATHS_SHARE)
        size = HEADER_BYTES + paths + entries * _ENTRY.size + capacity
        # Reserved now: a store into a mapping that the disk has no room for would be a SIGBUS.
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._fd, 0, size)
        else:  # pragma: no cover  macOS
            os.ftruncate(self._fd, size)
        header = bytearray(HEADER_BYTES)
        header[_WRITER_AT : _WRITER_AT + _WRITER_BYTES] = writer.encode("ascii").ljust(_WRITER_BYTES, b"\0")
        _FIXED.pack_into(header, 0, MAGIC, capacity, entries, paths, os.getpid(), 0, 0)
        os.pwrite(self._fd, header, 0)

    def _open(self) -> None:
        size = os.fstat(self._fd).st_size
        if size < HEADER_BYTES + MIN_CAPACITY:
            raise OSError(
                f"{self.path}: expected a ring of at least {HEADER_BYTES + MIN_CAPACITY} bytes, got {size}"
            )
        self.map = mmap.mmap(self._fd, size)
        magic, capacity, entries, paths, pid, head, tail = _FIXED.unpack_from(self.map, 0)
        wanted = HEADER_BYTES + paths + entries * _ENTRY.size + capacity
        if magic != MAGIC or wanted != size or not 0 <= head - tail <= entries or not entries:
            self.map.close()
            raise OSError(f"{self.path}: expected a ring, its header says otherwise")
        self.capacity: int = capacity
        self.pid: int = pid
        self.head: int = head
        self.tail: int = tail
        self._entries: int = entries
        self._index_at: int = HEADER_BYTES + paths
        self._data_at: int = self._index_at + entries * _ENTRY.size
        self.writer = (
            bytes(self.map[_WRITER_AT : _WRITER_AT + _WRITER_BYTES]).rstrip(b"\0").decode("ascii", "replace")
        )
        # The owner's own view: where the next line goes, where the oldest one begins, which paths have a place, and the
        # first entry of the last run of lines that are of one file and lie side by side.
        self._next = 0
        self._oldest = 0
        self._places: dict[bytes, int] = {}
        self._paths_end = HEADER_BYTES
        self._run_first = 0
        self._run_place = -1
        self._last_done = -1
        # Lines stored before this number may have been moved up to it: who waits for one waits for all up to here.
        self.moved_to = 0
        # While `repack` is at work: the first copy, then, when all are made, the new numbers of lines by their old ones.
        self._copies_from = -1
        self._moved: dict[int, int] = {}

    # -- storing ------------------------------------------------------------------------------------------------------

    @property
    def used(self) -> int:
        """Bytes that are not free for lines."""
        return self._next - self._oldest if self.head != self.tail else 0

    @property
    def empty(self) -> bool:
        """Say whether every line was taken."""
        return self.head == self.tail

    def store(self, path: bytes, line: bytes, *, publish: bool = True) -> int:
        """Commit one line.

        Args:
            path: The file that it is for.
            line: The line with its line end.
            publish: Whether to move the head; else `publish` is called with what this returns.

        Returns:
            The head after it, 1 and up, or 0 where there is no room for it now.
        """
        place, size = self._places.get(path), len(line)
        room = size
        if place is None:
            place = self._place(path)
            if place < 0:
                room += _PATH.size + len(path)
        head, start = self.head, self._next
        gap = self.capacity - start % self.capacity
        if room > gap:
            start += gap
        oldest = self._oldest if head != self.tail else start
        if start + room - oldest > self.capacity or head - self.tail >= self._entries:
            return 0
        buffer = self.map
        at = self._data_at + start % self.capacity
        buffer[at : at + size] = line
        if place < 0:
            place = at + size
            buffer[place : at + room] = _PATH.pack(len(path)) + path
        at = self._index_at + head % self._entries * _ENTRY.size
        _ENTRY.pack_into(buffer, at, start, size, zlib.crc32(line), place, PENDING, 0)
        if place != self._run_place or start != self._next:
            self._run_place = place
            self._run_first = head
        if head == self.tail:
            self._oldest = start
        self._next = start + room
        head += 1
        if publish:
            _U64.pack_into(buffer, _HEAD_AT, head)
            self.head = head
        return head

    def publish(self, head: int) -> None:
        """Move the head over a line that was stored without."""
        _U64.pack_into(self.map, _HEAD_AT, head)
        self.head = head

    def _place(self, path: bytes) -> int:
        """Give a path a place in the table; -1 where it is full, until the ring is empty: then it follows its line."""
        need = _PATH.size + len(path)
        if self._paths_end + need > self._index_at:
            if self.head != self.tail or need > self._index_at - HEADER_BYTES:
                return -1
            self._places.clear()
            self._paths_end = HEADER_BYTES
            self._run_place = -1
        place = self._paths_end
        self.map[place : place + need] = _PATH.pack(len(path)) + path
        self._paths_end = place + need
        self._places[path] = place
        return place

    def fits(self, path: bytes, line: bytes) -> bool:
        """Say whether an empty ring would take the line."""
        return _PATH.size + len(path) + len(line) <= self.capacity // 2

    # -- taking -------------------------------------------------------------------------------------------------------

    def _entry(self, number: int) -> tuple[int, int, int, int, int]:
        start, size, crc, place, state, _ = _ENTRY.unpack_from(
            self.map, self._index_at + number % self._entries * _ENTRY.size
        )
        return start, size, crc, place, state

    def _path_at(self, place: int) -> bytes:
        (length,) = _PATH.unpack_from(self.map, place)
        return self.map[place + _PATH.size : place + _PATH.size + length]

    def _line(self, start: int, size: int) -> bytes:
        at = self._data_at + start % self.capacity
        return self.map[at : at + size]

    def records(self) -> Iterator[RingRecord]:
        """Yield committed lines from `tail` on, checked; leave out what is torn."""
        for number in range(self.tail, self.head):
            start, size, crc, place, state = self._entry(number)
            if (
                start % self.capacity + size > self.capacity
                or not HEADER_BYTES <= place <= len(self.map) - _PATH.size
            ):
                continue
            line = self._line(start, size)
            if zlib.crc32(line) != crc:
                continue
            yield RingRecord(number, os.fsdecode(self._path_at(place)), line, state == DONE)

    def take(self, limit: int, skip: Container[bytes] = ()) -> list[Batch]:
        """Return what is to be written, unchecked, for the owner itself.

        Args:
            limit: Bytes of lines to return at most; one line is always returned.
            skip: Paths whose lines are left for later.

        Returns:
            One batch a file.
        """
        head, tail = self.head, self.tail
        if head == tail:
            return []
        start, size, _, place, state = self._entry(tail)
        if self._run_first <= tail and not skip and state == PENDING and self._last_done < tail:
            # All of it is of one file and lies side by side.
            last = min(head, tail + max(1, limit // max(size, 1))) - 1
            end, length, *_ = self._entry(last)
            while last > tail and end + length - start > limit * 2:
                last = tail + (last - tail) // 2
                end, length, *_ = self._entry(last)
            return [
                Batch(self._path_at(place), range(tail, last + 1), self._line(start, end + length - start))
            ]
        return self._take_mixed(tail, head, limit, skip)

    def _take_mixed(self, tail: int, head: int, limit: int, skip: Container[bytes]) -> list[Batch]:
        found: dict[int, tuple[list[int], list[bytes]]] = {}
        skipped: dict[int, bool] = {}
        unpack, buffer, entries, index_at = _ENTRY.unpack_from, self.map, self._entries, self._index_at
        capacity, data_at = self.capacity, self._data_at
        alone, taken = False, 0
        for number in range(tail, head):
            start, size, _, place, state, _ = unpack(buffer, index_at + number % entries * _ENTRY.size)
            if state == DONE:
                continue
            group = found.get(place)
            if group is None:
                if place not in skipped:
                    skipped[place] = self._path_at(place) in skip
                if skipped[place]:
                    continue
                alone = self._path_at(place).startswith(BIG)
                if alone and found:
                    # Its file's lines before it are written first, those after it later: order within a file.
                    break
                if taken > limit * _FIRST_SHARE:
                    # The rest is for more lines of the same files: opening one costs more than a line.
                    continue
                found[place] = group = ([], [])
            at = data_at + start % capacity
            group[0].append(number)
            group[1].append(buffer[at : at + size])
            taken += size
            if taken >= limit or alone:
                break
        return [
            Batch(self._path_at(place), numbers, b"".join(lines)) for place, (numbers, lines) in found.items()
        ]

    def sizes(self, numbers: Sequence[int]) -> list[int]:
        """Return the lengths of lines."""
        return [self._entry(number)[1] for number in numbers]

    def paths_of(self, numbers: Sequence[int]) -> set[bytes]:
        """Return the files that lines are for."""
        return {self._path_at(self._entry(number)[3]) for number in numbers}

    def mark_done(self, number: int) -> None:
        """Note that a line is in its file, or is given up."""
        self._last_done = max(self._last_done, number)
        _STATE.pack_into(self.map, self._index_at + number % self._entries * _ENTRY.size + 20, DONE)

    def repack(self) -> dict[int, int]:
        """Store what is pending once more, behind the newest line, so that all the room before it can be given back.

        One line that stays holds the room of all that were written after it. Callers and the writer must be kept away
        meanwhile. Killed in the middle, a ring holds some lines twice, byte for byte; who recovers it knows.

        Returns:
            The new number of each line by its old one; empty where there is nothing to win, or no room to do it. They are
            kept for `repair` until `end_repack` is called.
        """
        pending = self._worth_moving()
        moved: dict[int, int] = {}
        self._copies_from = self.head
        for number, (start, size, _, place, _) in pending:
            head = self.store(self._path_at(place), self._line(start, size))
            if not head:
                self.repair()
                return {}
            moved[number] = head - 1
        self._moved = moved
        self._finish_moving()
        return moved

    def _finish_moving(self) -> None:
        """Give up the lines that were copied."""
        moved = self._moved
        self._copies_from = -1
        # From the last to the first: whoever finds this half done takes the older of two, and so keeps them in order.
        for number in reversed(moved):
            self.mark_done(number)
        # Before the tail moves: who waits for a line must not take it for written.
        self.moved_to = self.head
        self.release()

    def end_repack(self) -> None:
        """Forget what `repack` moved, once the caller has noted the new numbers."""
        self._moved = {}

    def repair(self) -> tuple[int, dict[int, int]]:
        """Make whole what an exception in the middle of `store` or `repack` left half done; callers must be kept away.

        Returns:
            The head, which tells whether a line was committed; and the new numbers of lines whose moving was finished now.
        """
        (self.head,) = _U64.unpack_from(self.map, _HEAD_AT)
        # The next line begins a run: what was half stored may lie between it and the last one.
        self._run_place = -1
        moved = self._moved
        if moved:
            self._finish_moving()
        elif self._copies_from >= 0:
            for copy in range(max(self._copies_from, self.tail), self.head):
                self.mark_done(copy)
            self._copies_from = -1
        return self.head, moved

    def reached(self, number: int) -> bool:
        """Say whether all lines before `number` are written or given up, also those that got another number since."""
        tail = self.tail  # before `moved_to`, which grows before the tail does
        return tail >= max(number, self.moved_to)

    @property
    def repackable(self) -> bool:
        """Say whether `repack` would win anything; the writer may ask while callers store."""
        return bool(self._worth_moving())

    def _worth_moving(self) -> list[tuple[int, tuple[int, int, int, int, int]]]:
        head = self.head
        pending = [(n, entry) for n in range(self.tail, head) if (entry := self._entry(n))[4] != DONE]
        sizes = [entry[1] for _, entry in pending]
        need = sum(sizes) + max(sizes, default=0)
        too_many = head - self.tail + len(pending) > self._entries
        return [] if need * 2 > self.used or need > self.capacity - self.used or too_many else pending

    def release(self) -> None:
        """Give back the room of the lines that are done, up to the first that is not."""
        number, head = self.tail, self.head
        while number < head and self._entry(number)[4] == DONE:
            number += 1
        self.release_to(number)

    def release_to(self, number: int) -> None:
        """Give back the room of all lines before `number`."""
        # In this order: a caller that uses the room while a killed owner's tail still covers it would spoil what is there.
        _U64.pack_into(self.map, _TAIL_AT, number)
        # The tail before the oldest place: an exception between the two must not free the room of lines that are still held.
        self.tail = number
        if number < self.head:
            self._oldest = self._entry(number)[0]

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
        """Note that what was appended is marked done, or given back."""
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
        _disclaim(self.path)

    def __del__(self) -> None:
        # An exception came before it was in its place. Not in a forked child, whose parent may use it still.
        with contextlib.suppress(Exception):
            if not self.map.closed and self.empty and self.pid == os.getpid():
                self.close(remove=True)

    def abandon(self) -> None:
        """Let go in a forked child: the parent's mapping, file and lock are none of ours."""
        self.close(remove=False)


def _lock(fd: int) -> None:
    if fcntl is None:  # pragma: no cover
        raise OSError("a spool that outlives its process needs POSIX locks, which this system does not have")
    fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def held_here(path: Path) -> bool:
    """Say whether this process holds a ring. Opening it once more, and closing that, would drop its lock."""
    return _real(path) in _ours


def _claim(path: Path) -> bool:
    """Take a ring for this caller, against other threads: POSIX locks keep only other processes away."""
    token = object()
    return _ours.setdefault(_real(path), token) is token


def _disclaim(path: Path) -> None:
    _ours.pop(_real(path), None)


def _real(path: Path) -> str:
    return os.path.join(os.path.realpath(path.parent), path.name)  # noqa: PTH118
