"""The spool file of one writer: a ring of lines in a shared mapping, which outlives its process.

The layout is in `ring_view`; how a ring begins small and grows is in `growth`.

    entries    tail                      head
    ...done    │7  │8  │9  │10 │11 │     │ free ...      fixed size: place of the line, length, CRC, path, state
                │   │   │   │   │
    bytes  ... │7  │8    │9 │10   │11 │ free ...         a line never wraps; lines of one file lie side by side
               _oldest                _next

`store` writes bytes and entry behind the newest line, then moves `head`: that is the commit. `take` returns the lines between
`tail` and `head` as one batch per file. `release` moves `tail` over entries that are done. Numbers never run backwards; a place
in the ring is the number modulo its size.

The owner holds a POSIX lock on the file, which ends with the process and is not inherited by a fork. A process that gets the lock
has found the ring of a dead one: lines between `tail` and `head` that are neither done nor in their file are still to be written.
For that the owner notes an intent before each append: device, inode, size of the file before, and the first entry.

In the owner one thread at a time moves `head` and one moves `tail`; neither takes a lock of the other. This relies on the
interpreter lock: each attribute is read and written whole, and in the order of the code. The commit is a single store into the
mapping. Everything else that `store` changes either precedes it or is put right by `repair`.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import zlib
from collections.abc import Container, Sequence
from pathlib import Path

from .claims import claim, disclaim, lock
from .growth import FIRST_BYTES, FIRST_PATHS, LINE_BYTES, GrowingView
from .ring_view import (
    BASE_AT,
    BIG,
    DONE,
    ENTRY,
    HEAD_AT,
    HEADER_BYTES,
    INTENT,
    INTENT_AT,
    INTENT_FLAG_AT,
    MIN_CAPACITY,
    PATH,
    PENDING,
    STATE,
    TAIL_AT,
    U64,
    Batch,
    new_header,
)

__all__ = ["Ring"]

_PATHS_SHARE = 32
# Of what is taken at once, when lines of many files are mixed: lines of the files met first.
_FIRST_SHARE = 0.25

_not_closed: list[mmap.mmap] = []


class Ring(GrowingView):
    """A ring of lines in a mapped file.

    Args:
        path: The file.
        capacity: Bytes for lines when it is made; None opens one that is there.
        writer: The id of the process that writes.
        root: The folder whose lines it will hold.
        keep: Bytes that reserving must leave free on the file system.
        first: The number of its first entry.

    Raises:
        OSError: It cannot be made, opened, reserved or locked (BlockingIOError where its owner lives).
    """

    __slots__ = (  # noqa: SIM905  one name a line says no more
        "__weakref__ _copies_from _inode _last_done _moved _oldest _paths_end _places _run_first moved_to"
    ).split()

    def __init__(
        self,
        path: Path,
        capacity: int | None = None,
        *,
        writer: str = "",
        root: str = "",
        keep: int = 0,
        first: int = 0,
    ) -> None:
        self.path = path
        self._keep = keep
        made = capacity is not None
        if not claim(path, self):
            raise BlockingIOError(
                errno.EAGAIN, "expected a ring that nobody holds, this process does", os.fspath(path)
            )
        # Made under a name that nobody looks for, so that whoever finds a ring finds it whole and locked.
        name = path.with_name(f".{path.name}.tmp") if made else path
        flags = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
        try:
            self._fd = os.open(name, flags | (os.O_CREAT | os.O_EXCL if made else 0), 0o600)
        except BaseException:
            disclaim(path)
            raise
        try:
            lock(self._fd)
            if capacity is not None:
                self._make(capacity, writer, root, first)
                name.rename(path)
            elif os.fstat(self._fd).st_nlink == 0:
                raise OSError(f"{path}: expected a ring, somebody has emptied and removed it meanwhile")
            self._open()
        except BaseException:
            os.close(self._fd)
            disclaim(path)
            if made:
                for leftover in (name, path):
                    with contextlib.suppress(OSError):
                        leftover.unlink()
            raise

    def _make(self, capacity: int, writer: str, root: str, first: int) -> None:
        capacity = (max(MIN_CAPACITY, capacity) + 4095) // 4096 * 4096
        entries, paths = capacity // LINE_BYTES, max(FIRST_PATHS, capacity // _PATHS_SHARE)
        os.ftruncate(self._fd, HEADER_BYTES + paths + entries * ENTRY.size + capacity)
        data = min(capacity, FIRST_BYTES)
        self._reserve(0, HEADER_BYTES + FIRST_PATHS)
        self._reserve(HEADER_BYTES + paths, data // LINE_BYTES * ENTRY.size)
        self._reserve(HEADER_BYTES + paths + entries * ENTRY.size, data)
        sizes = (capacity, entries, paths)
        os.pwrite(self._fd, new_header(os.fstat(self._fd), sizes, writer=writer, root=root, first=first), 0)

    def _open(self) -> None:
        size = os.fstat(self._fd).st_size
        if size < HEADER_BYTES + MIN_CAPACITY:
            raise OSError(
                f"{self.path}: expected a ring of at least {HEADER_BYTES + MIN_CAPACITY} bytes, got {size}"
            )
        super().__init__(self.path, mmap.mmap(self._fd, size))
        self._inode = os.fstat(self._fd).st_ino
        # The owner's own view: where the next line goes, where the oldest one begins, which paths have a place, and the
        # first entry of the last run of lines that are of one file and lie side by side.
        self._next = 0
        self._oldest = 0
        self._places: dict[bytes, int] = {}
        self._paths_end = HEADER_BYTES
        self._run_first = self.head
        self._run_place = -1
        self._last_done = -1
        # Lines stored before this number may have been moved up to it: who waits for one waits for all up to here.
        self.moved_to = 0
        # While `repack` is at work: the first copy, then, when all are made, the new numbers of lines by their old ones.
        self._copies_from = -1
        self._moved: dict[int, int] = {}
        self._begin_growth()

    @property
    def linked(self) -> bool:
        """Say whether its file still has a name: a ring that was removed with its folder outlives nobody."""
        return os.fstat(self._fd).st_nlink > 0

    # -- storing ------------------------------------------------------------------------------------------------------

    @property
    def used(self) -> int:
        """Bytes that are not free for lines."""
        if self.head == self.tail:
            return 0
        used = self._next - self._oldest
        return used - self._skipped if self._oldest < self._skipped_to <= self._next else used

    @property
    def empty(self) -> bool:
        """Say whether every line was taken."""
        return self.head == self.tail

    def store(self, path: bytes, line: bytes, *, publish: bool = True) -> int:
        """Commit one line.

        Storing number 12 of 40 bytes behind line 11, which ends at `_next` = 500:

            1. room?   500 + 40 <= _fence (end of the reserved bytes), and at most `capacity` from _oldest: yes
               else    `_make_room` wraps to the start, or reserves more
            2. bytes   map[500:540] = line
            3. entry   entries[12] = (500, 40, crc, path, PENDING)
            4. _next = 540
            5. head    12 -> 13 in the mapping, then in the object: committed

        A kill before step 5 leaves line 12 unseen; its bytes and entry are overwritten by the next line.

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
                room += PATH.size + len(path)
        head, start, tail = self.head, self._next, self.tail
        if start + room > self._fence or head >= self._last or (head == tail and start > self._far):
            start = self._make_room(head, start, room)
            if start < 0:
                self._fence = 0
                return 0
        oldest = self._oldest if head != tail else start
        if start + room - oldest > self.capacity or head - tail >= self._entries:
            # The next store must look for room again, from the same place.
            self._fence = 0
            return 0
        buffer = self.map
        at = start + self._line_shift
        buffer[at : at + size] = line
        if place < 0:
            place = at + size
            buffer[place : at + room] = PATH.pack(len(path)) + path
        at = head * ENTRY.size + self._entry_shift
        ENTRY.pack_into(buffer, at, start, size, zlib.crc32(line), place, PENDING, 0)
        if place != self._run_place or start != self._next:
            self._run_place = place
            self._run_first = head
        if head == tail:
            self._oldest = start
        self._next = start + room
        head += 1
        if publish:
            U64.pack_into(buffer, HEAD_AT, head)
            self.head = head
        return head

    def publish(self, head: int) -> None:
        """Move the head over a line that was stored without."""
        U64.pack_into(self.map, HEAD_AT, head)
        self.head = head

    def _place(self, path: bytes) -> int:
        """Give a path a place in the table; -1 where it is full, until the ring is empty: then it follows its line."""
        need = PATH.size + len(path)
        if self._paths_end + need > self._index_at:
            if self.head != self.tail or need > self._index_at - HEADER_BYTES:
                return -1
            self._places.clear()
            self._paths_end = HEADER_BYTES
            self._run_place = -1
        place = self._paths_end
        if place + need > self._ready_paths:
            more = min(self._index_at, max(place + need, 2 * self._ready_paths))
            if not self._grow(0, self._ready_paths, more):
                return -1
            self._ready_paths = more
        self.map[place : place + need] = PATH.pack(len(path)) + path
        self._paths_end = place + need
        self._places[path] = place
        return place

    def fits(self, path: bytes, line: bytes) -> bool:
        """Say whether an empty ring would take the line."""
        return PATH.size + len(path) + len(line) <= self.limit // 2

    # -- taking -------------------------------------------------------------------------------------------------------

    def take(self, limit: int, skip: Container[bytes] = ()) -> list[Batch]:
        """Return what is to be written, unchecked, for the owner itself.

        Lines 7 to 11 for the files A A B A A give the batches A: 7 8 10 11 and B: 9, in the order of each file. Where all
        pending lines are of one file and lie side by side, they are one slice of the mapping.

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
        unpack, buffer, entries, index_at = ENTRY.unpack_from, self.map, self._entries, self._index_at
        capacity, data_at, base = self.capacity, self._data_at, self._base
        alone, taken = False, 0
        for number in range(tail, head):
            start, size, _, place, state, _ = unpack(
                buffer, index_at + (number - base) % entries * ENTRY.size
            )
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
        at = self._index_at + (number - self._base) % self._entries * ENTRY.size
        STATE.pack_into(self.map, at + 20, DONE)

    def repack(self) -> dict[int, int]:
        """Store what is pending once more, behind the newest line, so that all the room before it can be given back.

        A line that the disk refuses keeps the room of all lines behind it. Lines 8 and 11 are refused (·: done):

            before   tail          head            7·  8  9·  10·  11  12·
            copy     8 -> 13, 11 -> 14             7·  8  9·  10·  11  12·  13  14
            mark     11, then 8 done               7·  8· 9·  10·  11· 12·  13  14
            release  tail = 13                                              13  14

        Callers and the writer must be kept away meanwhile. A kill in between leaves some lines twice, byte for byte; recovery
        writes the older of two. Marking from the last to the first keeps their order.

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
        (self.head,) = U64.unpack_from(self.map, HEAD_AT)
        (self._base,) = U64.unpack_from(self.map, BASE_AT)
        # It also finds its place anew: finding one may be what was cut off.
        self._fence = 0
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
        U64.pack_into(self.map, TAIL_AT, number)
        # The tail before the oldest place: an exception between the two must not free the room of lines that are still held.
        self.tail = number
        if number < self.head:
            self._oldest = self._entry(number)[0]

    def note_intent(self, device: int, inode: int, offset: int, first: int) -> None:
        """Note an append before it is made."""
        U64.pack_into(self.map, INTENT_FLAG_AT, 0)
        INTENT.pack_into(self.map, INTENT_AT, device, inode, offset, first)
        U64.pack_into(self.map, INTENT_FLAG_AT, 1)

    def clear_intent(self) -> None:
        """Note that what was appended is marked done, or given back."""
        U64.pack_into(self.map, INTENT_FLAG_AT, 0)

    # -- the file -----------------------------------------------------------------------------------------------------

    def close(self, *, remove: bool) -> None:
        """Let go of the mapping and the lock.

        Args:
            remove: Also remove the file: nothing in it is needed.
        """
        if remove:
            with contextlib.suppress(OSError):
                self.path.unlink()
                if self.path.parent.name == ".spool":
                    # Where it was the last one: a root at rest holds logs only.
                    self.path.parent.rmdir()
        own = False
        with contextlib.suppress(OSError):
            own = os.fstat(self._fd).st_ino == self._inode
        if own:
            with contextlib.suppress(BufferError, ValueError):
                self.map.close()
            with contextlib.suppress(OSError):
                os.close(self._fd)
        else:
            # The program closed every descriptor, and may have opened others with these numbers; the mapping has one too.
            _not_closed.append(self.map)
        disclaim(self.path)

    def __del__(self) -> None:
        # An exception came before it was in its place. Not in a forked child, whose parent may use it still.
        with contextlib.suppress(Exception):
            if not self.map.closed and self.empty and self.pid == os.getpid():
                self.close(remove=True)

    def abandon(self) -> None:
        """Let go in a forked child: the parent's mapping, file and lock are none of ours."""
        self.close(remove=False)
