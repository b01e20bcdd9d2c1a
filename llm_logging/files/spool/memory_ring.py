"""The buffer of a writer that has no shared mapping: plain memory with the interface of a ring, lost with its process."""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Sequence

from .ring_view import Batch

__all__ = ["MemoryRing"]


class MemoryRing:
    """A buffer with the face of `Ring` that dies with its process.

    Args:
        capacity: Bytes of lines it takes; one line of any size is taken when it is empty.
        first: The number of its first line.
    """

    def __init__(self, capacity: int, first: int = 0) -> None:
        self.capacity = self.limit = capacity
        self.head = self.tail = first
        self._stored = 0  # bytes, counted by callers
        self._released = 0  # bytes, counted by the writer
        self._lines: deque[tuple[int, bytes, bytes]] = deque()
        self._done: set[int] = set()

    @property
    def used(self) -> int:
        """Bytes that wait to be written."""
        return self._stored - self._released

    @property
    def empty(self) -> bool:
        """Say whether every line was taken."""
        return self.head == self.tail

    def store(self, path: bytes, line: bytes, *, publish: bool = True) -> int:
        """Keep one line; return the head after it, or 0 where there is no room."""
        if self.used and self.used + len(line) > self.capacity:
            return 0
        self._lines.append((self.head, path, line))
        self._stored += len(line)
        if publish:
            self.head += 1
            return self.head
        return self.head + 1

    def publish(self, head: int) -> None:
        """Move the head over a line that was stored without."""
        self.head = head

    def fits(self, path: bytes, line: bytes) -> bool:  # noqa: ARG002  the face of Ring
        """Say that an empty buffer takes any line."""
        return True

    def take(self, limit: int, skip: Container[bytes] = ()) -> list[Batch]:
        """Return what is to be written; see `Ring.take`."""
        found: dict[bytes, tuple[list[int], list[bytes]]] = {}
        head = self.head
        # Callers append meanwhile; a copy of the deque is taken in one step.
        for number, path, line in self._lines.copy():
            if number >= head or limit <= 0:
                break
            if number in self._done or path in skip:
                continue
            numbers, lines = found.setdefault(path, ([], []))
            numbers.append(number)
            lines.append(line)
            limit -= len(line)
        return [Batch(path, numbers, b"".join(lines)) for path, (numbers, lines) in found.items()]

    def sizes(self, numbers: Sequence[int]) -> list[int]:
        """Return the lengths of lines."""
        wanted = set(numbers)
        return [len(line) for number, _, line in self._lines.copy() if number in wanted]

    def paths_of(self, numbers: Sequence[int]) -> set[bytes]:
        """Return the files that lines are for."""
        wanted = set(numbers)
        return {path for number, path, _ in self._lines.copy() if number in wanted}

    def mark_done(self, number: int) -> None:
        """Note that a line is in its file, or is given up."""
        self._done.add(number)

    def release(self) -> None:
        """Give back the room of the lines that are done, up to the first that is not."""
        number = self.tail
        while number in self._done:
            number += 1
        self.release_to(number)

    def release_to(self, number: int) -> None:
        """Give back the room of all lines before `number`."""
        while self._lines and self._lines[0][0] < number:
            _, _, line = self._lines.popleft()
            self._released += len(line)
        self._done.difference_update(range(self.tail, number))
        self.tail = number

    def reached(self, number: int) -> bool:
        """Say whether all lines before `number` are written or given up."""
        return self.tail >= number

    @property
    def repackable(self) -> bool:
        """Say whether `repack` would win anything."""
        return bool(self._done)

    def repack(self) -> dict[int, int]:
        """Give back the room of lines that are done, also behind one that is not; no line gets another number."""
        self._lines = deque(item for item in self._lines if item[0] not in self._done)
        self._released = self._stored - sum(len(line) for _, _, line in self._lines)
        return {}

    def end_repack(self) -> None:
        """Do nothing: no line got another number."""

    def repair(self) -> tuple[int, dict[int, int]]:
        """Take away a line that an exception kept from being published; see `Ring.repair`."""
        while self._lines and self._lines[-1][0] >= self.head:
            self._lines.pop()
        self._stored = self._released + sum(len(line) for _, _, line in self._lines.copy())
        return self.head, {}

    @property
    def intent(self) -> None:
        """Nothing: nobody finds this after a crash."""
        return

    def note_intent(self, device: int, inode: int, offset: int, first: int) -> None:
        """Note nothing: nobody finds this after a crash."""

    def clear_intent(self) -> None:
        """Note nothing."""

    def close(self, *, remove: bool) -> None:  # noqa: ARG002  the face of Ring
        """Let go of the lines."""
        self._lines.clear()

    def abandon(self) -> None:
        """Let go in a forked child."""
        self._lines.clear()
