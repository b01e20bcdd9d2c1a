"""The buffer between the callers and the writer thread.

Callers store committed lines; one thread takes them. Where the system has shared mappings and POSIX locks the lines lie
in a ring that outlives the process (`files/spool/ring.py`), else in memory. Storing a line is a copy in an exclusive section that is
held for a microsecond; it makes no system call. A signal handler or a finaliser that logs may interrupt a caller
inside that section, in the same thread: its line is queued until the outer one is stored, so there is no deadlock. A signal handler
may also raise at any instruction: a line and its number are committed together by the ring, and what follows from that is
completed by `Process.settle`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

from ...errors import ConfigurationError
from ...files.spool.discovery import resolve_big, ring_prefix
from ...files.spool.memory_ring import MemoryRing
from ...files.spool.places import Place, places_for, trusted
from ...files.spool.ring import Ring
from ...files.spool.ring_view import BIG, Batch
from ...models.record import Acknowledgement
from ...runtime.forks import at_fork
from ...runtime.threads import NESTED, Exclusive

__all__ = ["CLOSED", "Process", "Spool", "open_ring", "process"]


_Nested = tuple["Spool", str, bytes, bytes, bytes, "Acknowledgement | None"]


class Process:
    """The identity of this process in its lines: one id, and a number per file that grows by one with each line.

    One exclusive section orders the numbers with the stores, for all buffers of the process, so that two handlers of one
    file never give one number twice. A thread that meets itself inside leaves its line in `nested` for the outer call.
    """

    def __init__(self) -> None:
        self.id = secrets.token_hex(8)
        self.last: dict[str, int] = {}
        self.rings = count(1)
        self.exclusive = Exclusive(self._repair)
        self.nested: deque[_Nested] = deque()
        # What is being stored: spool, file, number, the ring's head before it, and the nested line that it is, if any.
        self.storing: tuple[Spool, str, int, int, _Nested | None] | None = None

    def skip(self, path: str) -> None:
        """Use up a number of a file: a line was dropped, and readers shall see that it is missing."""
        if self.exclusive.run(self._skip, path) is NESTED:
            self._skip(path)

    def _skip(self, path: str) -> None:
        self.last[path] = self.last.get(path, 0) + 1

    def settle(self) -> None:
        """Complete what an exception has ended early, and store the lines of nested callers."""
        self.exclusive.run(self._commit_nested)

    def _commit_nested(self) -> None:
        while self.nested:
            item = self.nested[0]
            spool, path, encoded, before, after, ack = item
            if not spool._commit(path, encoded, before, after, ack, item):  # noqa: SLF001
                spool._unstored(path, ack)  # noqa: SLF001
            if self.nested and self.nested[0] is item:
                self.nested.popleft()

    def _repair(self) -> None:
        """Find out whether the line that was being stored was committed, and note what follows from that."""
        if self.storing is None:
            return
        spool, path, number, before, item = self.storing
        if spool.is_shut:
            return
        head, moved = spool.ring.repair()
        spool.renumber(moved)
        if path and head > before:
            self.last[path] = number
            if item is not None and self.nested and self.nested[0] is item:
                self.nested.popleft()
        for unpublished in [place for place in spool.acks.copy() if place >= head]:
            spool.acks.pop(unpublished, None)


_process = Process()


def process() -> Process:
    """Return the identity of this process; a forked child has another."""
    return _process


def _after_fork() -> None:
    global _process  # noqa: PLW0603  the child is another writer
    _process = Process()


at_fork(_after_fork)


CLOSED: Final = -2
# A line too large for the ring has a file next to it: one always may, more up to this many times the ring's size.
_BIG_SHARE: Final = 8
_TRIES: Final = 10


def open_ring(
    root: Path,
    capacity: int,
    mode: str,
    say: Callable[[str], None],
    *,
    make_root: Callable[[], None] = lambda: None,
    first: int = 0,
) -> Ring | MemoryRing:
    """Make the buffer of one writer.

    Args:
        root: Whose lines it will hold.
        capacity: Bytes.
        mode: `auto` (see `files/spool/places.py`; where no place has room, plain memory with a notice), `shm`, `root`, or `off`.
        say: Takes a sentence where a plain memory buffer has to do.
        make_root: Makes the root. A ring in shared memory whose root is not there is taken for forsaken.
        first: The number of its first entry.

    Raises:
        ConfigurationError: The mode is none of these.
    """
    if mode == "off":
        return MemoryRing(capacity, first)
    if mode not in {"auto", "shm", "root"}:
        raise ConfigurationError(f"spool: expected 'auto', 'shm', 'root' or 'off', got {mode!r}")
    reasons: list[str] = []
    with contextlib.suppress(OSError):
        make_root()
    for place in places_for(root, mode):
        try:
            return _ring_at(place, root, capacity, first)
        except OSError as error:
            reasons.append(str(error))
    say(
        "no shared mapping could be had for the spool, lines are buffered in plain memory and a killed process loses "
        f"those not yet written: {'; '.join(reasons) or 'no folder for it on this system'}"
    )
    return MemoryRing(capacity, first)


def _ring_at(place: Place, root: Path, capacity: int, first: int) -> Ring:
    name = f"{ring_prefix(root)}{process().id}-{next(process().rings)}.ring"
    for _ in range(_TRIES):
        with contextlib.suppress(FileExistsError):
            place.folder.mkdir(mode=0o700)
        if place.folder.exists() and not trusted(place.folder):
            raise PermissionError(
                f"{place.folder}: expected a folder of this user that nobody else may write to"
            )
        # The last one to leave the folder removes it.
        with contextlib.suppress(FileNotFoundError):
            return Ring(
                place.folder / name,
                capacity,
                writer=process().id,
                root=os.fspath(root),
                keep=place.kept,
                first=first,
            )
    raise FileNotFoundError(f"{place.folder}: expected a folder that stays, it was removed {_TRIES} times")


class Spool:
    """What callers store into.

    Args:
        root: The folder whose lines it holds.
        capacity: Bytes of the buffer.
        mode: See `open_ring`.
        say: Takes what is to be said of the buffer itself.
        unstored: Called with path and ack of a nested caller's line for which there was no room.
        make_root: See `open_ring`.
    """

    def __init__(
        self,
        root: Path,
        capacity: int,
        mode: str,
        say: Callable[[str], None],
        unstored: Callable[[str, Acknowledgement | None], None],
        make_root: Callable[[], None] = lambda: None,
    ) -> None:
        self._unstored = unstored
        self._open = partial(open_ring, root, capacity, mode, say, make_root=make_root)
        self.ring = self._open()
        self._identity = process()
        self._big = count(1)
        self._big_lines: dict[bytes, bytes] = {}
        self._big_sizes: dict[bytes, int] = {}
        self.acks: dict[int, Acknowledgement] = {}
        self.is_shut = False

    def store(
        self, path: str, encoded: bytes, before: bytes, after: bytes, ack: Acknowledgement | None = None
    ) -> int:
        """Commit one line: `before`, its number, `after`.

        Args:
            path: The file that it is for.
            encoded: The same as bytes.
            before: The line up to its number.
            after: The rest, with the line end.
            ack: Who waits; in `acks`, by the line's number in the ring, before the line can be taken.

        Returns:
            The head after it; 0 where there is no room now; -1 where a nested caller's line waits for the outer one;
            CLOSED where the spool takes no more.
        """
        identity = self._identity
        line = (path, encoded, before, after, ack)
        try:
            try:
                position: int = identity.exclusive.section.send((self._store, line))
            except (StopIteration, ValueError):
                # Another thread is inside, or an exception has ended the generator: wait, or replace it.
                outcome = identity.exclusive.run(self._store, *line)
                if outcome is NESTED:
                    identity.nested.append((self, *line))
                    return -1
                position = outcome
            if identity.nested:
                # Left by a signal handler after the line was stored, before the section was left.
                identity.settle()
        except BaseException:
            identity.settle()
            raise
        return position

    def _store(
        self, path: str, encoded: bytes, before: bytes, after: bytes, ack: Acknowledgement | None
    ) -> int:
        if self.is_shut:
            return CLOSED
        identity = self._identity
        position = 0
        if ack is None:
            number = identity.last.get(path, 0) + 1
            identity.storing = (self, path, number, self.ring.head, None)
            position = self.ring.store(encoded, b"%b%d%b" % (before, number, after))
            if position:
                identity.last[path] = number
        if not position:
            position = self._commit(path, encoded, before, after, ack)
        if identity.nested:
            identity._commit_nested()  # noqa: SLF001
        return position

    def repack(self) -> None:
        """Move lines that stay, so that the room of those written after them can be given back; only the writer may."""
        if self.ring.repackable:
            self._identity.exclusive.run(self._repack)

    def _repack(self) -> None:
        self._identity.storing = (self, "", 0, 0, None)
        self.renumber(self.ring.repack())
        self._identity._commit_nested()  # noqa: SLF001

    def renumber(self, moved: dict[int, int]) -> None:
        """Note the new numbers, in the ring, of lines that a caller waits for."""
        for old, new in moved.items():
            waiting = self.acks.get(old)
            if waiting is not None:
                self.acks[new] = waiting
                self.acks.pop(old, None)
        self.ring.end_repack()

    def renew(self) -> None:
        """Replace a ring that was removed with its folder, and so would not outlive the process; only the writer may call this."""
        old = self.ring
        if not isinstance(old, Ring) or old.linked:
            return
        fresh = self._open(first=old.head)
        if self._identity.exclusive.run(self._replace, fresh) is True:
            old.close(remove=False)
        else:
            # Tried again at the next look, once its lines are written.
            fresh.close(remove=True)

    def _replace(self, fresh: Ring | MemoryRing) -> bool:
        possible = self.ring.empty and self.ring.head == fresh.head and not self.is_shut
        if possible:
            self.ring = fresh
        return possible

    def disown(self, ack: Acknowledgement) -> None:
        """Fail the acknowledgement of a caller that would deadlock waiting for its own thread; its line is stored and will be written."""
        answer = self._identity.exclusive.run(self._disown, ack)
        if answer is NESTED:
            answer = self._disown(ack)
        if answer:
            ack.failed(
                OSError(
                    errno.EDEADLK, "logged from inside another call; the line is buffered and will be written"
                )
            )

    def _disown(self, ack: Acknowledgement) -> bool:
        owed = [number for number, waiting in self.acks.copy().items() if waiting is ack]
        answer = any(self.acks.pop(number, None) is not None for number in owed)
        nested = self._identity.nested
        for index in range(len(nested)):
            if nested[index][-1] is ack:
                nested[index] = (*nested[index][:-1], None)
                answer = True
        return answer

    def settle(self) -> None:
        """See `Process.settle`."""
        self._identity.settle()

    def shut(self) -> None:
        """Take no more lines: what is stored from now on goes to another spool."""
        if self._identity.exclusive.run(self._shut) is NESTED:
            self._shut()

    def _shut(self) -> None:
        self._identity._commit_nested()  # noqa: SLF001
        self.is_shut = True

    def _commit(
        self,
        path: str,
        encoded: bytes,
        before: bytes,
        after: bytes,
        ack: Acknowledgement | None,
        nested: _Nested | None = None,
    ) -> int:
        last = self._identity.last
        number = last.get(path, 0) + 1
        self._identity.storing = (self, path, number, self.ring.head, nested)
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
                self.acks[position - 1] = ack
                self.ring.publish(position)
        if position:
            last[path] = number
        return position

    def _store_big(self, encoded: bytes, line: bytes, *, publish: bool = True) -> int:
        """Keep a line that is too large for any ring in a file of its own, and a pointer to it in the ring."""
        assert isinstance(self.ring, Ring)
        if self._big_sizes and sum(self._big_sizes.values()) + len(line) > _BIG_SHARE * self.ring.capacity:
            return 0
        name = f"{self.ring.path.name}.{next(self._big)}.big"
        pointer = os.fsencode(name) + b"\n"
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
            # No room for that file either: keep the line in memory until it is written.
            self._big_lines[pointer] = line
        self._big_sizes[pointer] = len(line)
        # A pointer is taken alone: `take` puts the lines of one file together, and it is not a line.
        position = self.ring.store(BIG + encoded, pointer, publish=publish)
        if not position:
            self._let_go_of_big(pointer)
        return position

    def resolve(self, batch: Batch) -> tuple[bytes, list[bytes]]:
        """Return the path and the lines of a batch of pointers to lines that no ring would take."""
        path, pointers = batch.path[len(BIG) :], split_pointers(batch.data)
        return path, [self._line_of(pointer) for pointer in pointers]

    def _line_of(self, pointer: bytes) -> bytes:
        kept = self._big_lines.get(pointer)
        if kept is not None or not isinstance(self.ring, Ring):
            return kept or b""
        return resolve_big(self.ring, pointer)

    def forget_big(self, batch: Batch, count: int) -> None:
        """Remove what the first `count` pointers of a batch stand for, once it is written or given up."""
        if batch.path.startswith(BIG):
            for pointer in split_pointers(batch.data)[:count]:
                self._let_go_of_big(pointer)

    def _let_go_of_big(self, pointer: bytes) -> None:
        self._big_sizes.pop(pointer, None)
        if self._big_lines.pop(pointer, None) is None:
            forget_big(self.ring, pointer)

    @property
    def full(self) -> float:
        """How full it is, 0 to 1."""
        return self.ring.used / self.ring.limit


def is_big(path: bytes) -> bool:
    """Say whether a batch is one of pointers."""
    return path.startswith(BIG)


def split_pointers(data: bytes) -> list[bytes]:
    """Split the bytes of a batch of pointers; each ends in a line end, as lines do."""
    return data.splitlines(keepends=True)


def forget_big(ring: Ring | MemoryRing, pointer: bytes) -> None:
    """Remove the file that a pointer stands for."""
    if isinstance(ring, Ring):
        with contextlib.suppress(OSError):
            ring.path.with_name(os.fsdecode(pointer.rstrip(b"\n"))).unlink()
