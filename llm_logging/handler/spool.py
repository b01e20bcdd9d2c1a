"""The buffer between the callers and the writer thread.

Callers store committed lines; one thread takes them. Where the system has shared mappings and POSIX locks the lines lie
in a ring that outlives the process (`files/rings.py`), else in memory. Storing a line is a copy under a lock that is
held for a microsecond; it makes no system call. A caller that is interrupted inside (a signal handler, a finaliser that
logs) is met again by the same thread: its line waits until the outer one is stored, so nobody deadlocks.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from collections import deque
from collections.abc import Callable, Container, Iterator
from itertools import count
from pathlib import Path
from typing import cast

from ..errors import ConfigurationError
from ..files.rings import Ring, RingRecord, ring_folders, ring_prefix, trusted
from ..schema import Acknowledgement

__all__ = ["MemoryRing", "Process", "Spool", "open_ring", "process"]

_BIG = b"\0big:"


class Process:
    """Who this process is to the readers of its lines: one id, and a count of lines a file.

    One lock orders the numbers with the stores, for all buffers of the process, so that two handlers of one file never
    give one number twice. A thread that meets itself inside leaves its line in `nested` for the outer call.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.id = secrets.token_hex(8)
        self.last: dict[str, int] = {}
        self.rings = count(1)
        self.lock = threading.RLock()
        self.busy = False
        self.nested: deque[tuple[Spool, str, bytes, bytes, bytes, Acknowledgement | None]] = deque()

    def skip(self, path: str) -> None:
        """Use up a number of a file: a line was dropped, and readers shall see that it is missing."""
        with self.lock:
            self.last[path] = self.last.get(path, 0) + 1


_Line = tuple[str, bytes, bytes, bytes, Acknowledgement | None]

_process = Process()


def process() -> Process:
    """Return who this process is; a forked child is somebody else."""
    return _process


def _after_fork() -> None:
    global _process  # noqa: PLW0603  the child is another writer
    _process = Process()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class MemoryRing:
    """A buffer with the face of `Ring` that dies with its process.

    Args:
        capacity: Bytes of lines it takes; one line of any size is taken when it is empty.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.head = 0
        self.tail = 0
        self._records: deque[list[object]] = deque()

    @property
    def used(self) -> int:
        """Bytes between tail and head."""
        return self.head - self.tail

    def store(self, path: bytes, line: bytes, *, publish: bool = True) -> int:
        """Keep one line; return the position of its end, or 0 where there is no room."""
        size = len(line) + len(path) + 64
        if self.used and self.used + size > self.capacity:
            return 0
        head = self.head + size
        self._records.append([self.head, head, path, line, False])
        if publish:
            self.head = head
        return head

    def publish(self, head: int) -> None:
        """Move the head over a line that was stored without."""
        self.head = head

    def fits(self, path: bytes, line: bytes) -> bool:  # noqa: ARG002  the face of Ring
        """Say that an empty buffer takes any line."""
        return True

    def take(self, upto: int, limit: int, skip: Container[bytes] = ()) -> list[tuple[int, int, bytes, bytes]]:
        """Return what is to be written; see `Ring.take`."""
        found: list[tuple[int, int, bytes, bytes]] = []
        # Callers append meanwhile; a copy of the deque is taken in one step.
        for position, end, path, line, done in self._records.copy():
            if position >= upto:  # type: ignore[operator]
                break
            if not done and path not in skip:
                found.append((position, end, path, line))  # type: ignore[arg-type]
                limit -= len(line)  # type: ignore[arg-type]
                if limit <= 0:
                    break
        return found

    def records(self, upto: int | None = None) -> Iterator[RingRecord]:
        """Yield what lies here; see `Ring.records`."""
        for position, end, path, line in self.take(self.head if upto is None else upto, 1 << 62):
            yield RingRecord(position, end, os.fsdecode(path), line, False)

    def mark_done(self, position: int) -> None:
        """Note that the record at `position` is in its file, or is given up."""
        for record in self._records.copy():
            if record[0] == position:
                record[4] = True
                record[3] = b""
                return

    def settled(self) -> int:
        """Return the position up to which every record is done."""
        head = self.head
        return next((int(r[0]) for r in self._records.copy() if not r[4]), head)  # type: ignore[call-overload]

    def release(self, upto: int) -> None:
        """Give the room below `upto` back."""
        while self._records and self._records[0][1] <= upto:  # type: ignore[operator]
            self._records.popleft()
        self.tail = upto

    def note_intent(self, device: int, inode: int, offset: int, first: int) -> None:
        """Note nothing: nobody finds this after a crash."""

    def clear_intent(self) -> None:
        """Note nothing."""

    def close(self, *, remove: bool) -> None:
        """Let go of the lines."""
        if remove:
            self._records.clear()

    def abandon(self) -> None:
        """Let go in a forked child."""
        self._records.clear()


def open_ring(root: Path, capacity: int, mode: str, say: Callable[[str], None]) -> Ring | MemoryRing:
    """Make the buffer of one writer.

    Args:
        root: Whose lines it will hold.
        capacity: Bytes.
        mode: `auto` (shared memory, else under the root, else plain memory with a notice), `shm`, `root`, or `off`.
        say: Takes a sentence where a plain memory buffer has to do.

    Raises:
        ConfigurationError: The mode is none of these.
    """
    if mode == "off":
        return MemoryRing(capacity)
    folders = ring_folders(root)
    if mode not in {"auto", "shm", "root"}:
        raise ConfigurationError(f"spool: expected 'auto', 'shm', 'root' or 'off', got {mode!r}")
    if mode == "shm":
        folders = [folder for folder in folders if folder.is_relative_to("/dev/shm")]  # noqa: S108
    elif mode == "root":
        folders = folders[-1:]
    reasons: list[str] = []
    for folder in folders:
        for _ in range(3):
            name = f"{ring_prefix(root)}{process().id}-{next(process().rings)}.ring"
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                if not trusted(folder):
                    raise PermissionError(
                        f"{folder}: expected a folder of this user that nobody else may write to"
                    )
                return Ring(folder / name, capacity, writer=process().id)
            except BlockingIOError:
                # Somebody looking for dead rings locked ours before we did; it is empty, so take another.
                continue
            except OSError as error:
                reasons.append(str(error))
                break
    say(
        "no shared mapping could be had for the spool, lines are buffered in plain memory and a killed process loses "
        f"those not yet written: {'; '.join(reasons) or 'no folder for it on this system'}"
    )
    return MemoryRing(capacity)


class Spool:
    """What callers store into.

    Args:
        root: The folder whose lines it holds.
        capacity: Bytes of the buffer.
        mode: See `open_ring`.
        say: Takes what is to be said of the buffer itself.
    """

    def __init__(self, root: Path, capacity: int, mode: str, say: Callable[[str], None]) -> None:
        self.ring = open_ring(root, capacity, mode, say)
        self._identity = process()
        self._big = count(1)
        self._big_lines: dict[bytes, bytes] = {}
        self.acks: dict[int, tuple[bytes, Acknowledgement]] = {}

    def store(
        self, path: str, encoded: bytes, before: bytes, after: bytes, ack: Acknowledgement | None = None
    ) -> int:
        """Commit one line: `before`, its number, `after`.

        Args:
            path: The file that it is for.
            encoded: The same as bytes.
            before: The line up to its number.
            after: The rest, with the line end.
            ack: Who waits; in `acks`, by the position of the line's end, before the line can be taken.

        Returns:
            The position of its end; 0 where there is no room now; -1 where a nested caller's line waits for the outer one.
        """
        identity = self._identity
        with identity.lock:
            if identity.busy:
                identity.nested.append((self, path, encoded, before, after, ack))
                return -1
            identity.busy = True
            try:
                position = self._commit(path, encoded, before, after, ack)
                while identity.nested:
                    spool, *nested = identity.nested.popleft()
                    spool._commit(*cast("_Line", tuple(nested)))  # noqa: SLF001  the same class
            finally:
                identity.busy = False
        return position

    def _commit(
        self, path: str, encoded: bytes, before: bytes, after: bytes, ack: Acknowledgement | None
    ) -> int:
        last = self._identity.last
        number = last.get(path, 0) + 1
        line = b"%b%d%b" % (before, number, after)
        if ack is None:
            position = self.ring.store(encoded, line)
            if not position and not self.ring.fits(encoded, line):
                position = self._store_big(encoded, line)
        else:
            position = self.ring.store(encoded, line, publish=False)
            if not position and not self.ring.fits(encoded, line):
                position = self._store_big(encoded, line, publish=False)
            if position:
                self.acks[position] = (encoded, ack)
                self.ring.publish(position)
        if position:
            last[path] = number
        return position

    def _store_big(self, encoded: bytes, line: bytes, *, publish: bool = True) -> int:
        """Keep a line that no ring would take in a file of its own beside the ring, and a pointer in the ring."""
        assert isinstance(self.ring, Ring)
        name = f"{self.ring.path.name}.{next(self._big)}.big"
        pointer = _BIG + os.fsencode(name)
        target = self.ring.path.with_name(name)
        try:
            fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                view = memoryview(line)
                while view:
                    view = view[os.write(fd, view) :]
            finally:
                os.close(fd)
        except OSError:
            with contextlib.suppress(OSError):
                target.unlink()
            # No room beside the ring either: memory has to do, until it is written.
            self._big_lines[pointer] = line
        return self.ring.store(encoded, pointer, publish=publish)

    def resolve(self, line: bytes) -> bytes:
        """Return the line that a record stands for."""
        if not line.startswith(_BIG):
            return line
        kept = self._big_lines.get(line)
        return kept if kept is not None else resolve_big(self.ring, line)

    def forget_big(self, line: bytes) -> None:
        """Remove what a pointer stands for, once it is written."""
        if line.startswith(_BIG) and self._big_lines.pop(line, None) is None:
            forget_big(self.ring, line)

    @property
    def full(self) -> float:
        """How full it is, 0 to 1."""
        return self.ring.used / self.ring.capacity


def resolve_big(ring: Ring | MemoryRing, line: bytes) -> bytes:
    """Return the line that a record of a ring stands for; empty where its file is gone."""
    if not line.startswith(_BIG) or not isinstance(ring, Ring):
        return line
    try:
        return (ring.path.with_name(os.fsdecode(line[len(_BIG) :]))).read_bytes()
    except OSError:
        return b""


def forget_big(ring: Ring | MemoryRing, line: bytes) -> None:
    """Remove the file that a record of a ring stands for, if it stands for one."""
    if line.startswith(_BIG) and isinstance(ring, Ring):
        with contextlib.suppress(OSError):
            ring.path.with_name(os.fsdecode(line[len(_BIG) :])).unlink()
