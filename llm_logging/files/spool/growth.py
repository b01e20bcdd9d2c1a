"""How a ring begins small, and grows only while more lines wait than it has room for.

The file has its full length from the beginning, but blocks are reserved for the first part of each region only. An empty
ring begins at the start of its regions again, by moving `base`. Growing reserves more blocks and changes nothing else: a
process may be killed at any step of it.
"""

from __future__ import annotations

import errno
import os
import time

from .ring_view import BASE_AT, ENTRY, HEADER_BYTES, U64, RingView

__all__ = ["FIRST_BYTES", "FIRST_PATHS", "LINE_BYTES", "GrowingView"]

LINE_BYTES = 128  # of lines an entry is reckoned for: shorter ones fill the index first
# What is reserved at first for lines, and for the names of files.
FIRST_BYTES = 1 << 18
FIRST_PATHS = 1 << 14
# An empty ring begins anew once it has come so far.
_REWIND_BYTES = 1 << 16
_REFUSED_SECONDS = 1.0


class GrowingView(RingView):
    """A ring whose owner reserves its blocks as they are needed; see `ring.Ring`."""

    # More attributes than an instance's dict shares with others: slots are read quicker.
    __slots__ = (  # noqa: SIM905  one name a line says no more
        "_entry_shift _far _fd _fence _keep _last _line_shift _next _ready _ready_entries _ready_paths _refused_at _run_place "
        "_skipped _skipped_to limit"
    ).split()

    _fd: int
    _keep: int
    _next: int
    _run_place: int

    def _begin_growth(self) -> None:
        # Up to where blocks are reserved: entries, bytes for lines, end of the table of paths.
        self._ready_entries = min(self.capacity, FIRST_BYTES) // LINE_BYTES
        self._ready = min(self.capacity, FIRST_BYTES)
        self._ready_paths = HEADER_BYTES + FIRST_PATHS
        # Bytes for lines that it may have now: less than the capacity where the file system has no more.
        self.limit: int = self.capacity
        self._refused_at = -_REFUSED_SECONDS
        self._skipped_to = self._skipped = self._fence = self._far = self._last = 0
        self._set_lap(0, self._base)

    def _reserve(self, at: int, size: int) -> None:
        """Reserve blocks: a store into a mapping that the disk has no room for would be a SIGBUS."""
        if self._keep:
            free = os.fstatvfs(self._fd)
            if free.f_bavail * free.f_frsize - size < self._keep:
                raise OSError(
                    errno.ENOSPC, f"expected {self._keep >> 20} MiB to stay free, no room", str(self.path)
                )
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._fd, at, size)

    def _make_room(self, head: int, start: int, room: int) -> int:
        """Find a place for a line that does not fit behind the last one.

        Returns:
            The place; -1 where there is none now.
        """
        capacity = self.capacity
        if head == self.tail:
            # Empty: begin at the start of both regions. No entry is alive, so a kill between these steps costs nothing.
            start += -start % capacity
            U64.pack_into(self.map, BASE_AT, head)
            self._base = head
            self._next = start
            self._run_place = -1
        if room > capacity - start % capacity:
            start += -start % capacity
        slot = (head - self._base) % self._entries
        if slot >= self._ready_entries:
            more = min(self._entries, max(2 * self._ready_entries, slot + 1))
            if not self._grow(self._index_at, self._ready_entries * ENTRY.size, more * ENTRY.size):
                return -1
            self._ready_entries = more
        need = start % capacity + room
        if need > self._ready:
            more = min(capacity, max(2 * self._ready, (need + 4095) // 4096 * 4096))
            if self._grow(self._data_at, self._ready, more):
                self._ready = more
                self.limit = capacity
            elif room <= self._ready:
                # No more room on the file system: wrap at the end of what is reserved.
                self._skipped = -start % capacity
                start += self._skipped
                self._skipped_to = start
            else:
                return -1
        self._set_lap(start - start % capacity, head - slot)
        return start

    def _set_lap(self, start: int, number: int) -> None:
        """Note which line and which entry stand at the start of their regions, so that storing need not divide."""
        self._line_shift = self._data_at - start
        self._entry_shift = self._index_at - number * ENTRY.size
        self._fence = start + self._ready
        self._far = start + _REWIND_BYTES
        self._last = number + self._ready_entries

    def _grow(self, region: int, ready: int, more: int) -> bool:
        """Reserve more of a region; say whether the file system had room."""
        if time.monotonic() - self._refused_at < _REFUSED_SECONDS:
            return False
        try:
            self._reserve(region + ready, more - ready)
        except OSError:
            self._refused_at = time.monotonic()
            self.limit = self._ready
            return False
        return True
