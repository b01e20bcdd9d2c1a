"""Write the contents of a spool to files, in batches, one thread at a time.

Invariants: a line is written once, in the order of its file. The ring notes each write before it is made, so a recovery after a
kill knows what may already be in the file. Lines that the disk refuses stay in the ring, their file is retried after a pause, and
other files go on. A caller waiting for a refused line gets the error, and its line is withdrawn.

Called by `writer`; opens files through `file_pool`; `recovery` does the same for rings of killed processes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from ...files.spool.discovery import big_path
from ...files.spool.ring import Ring
from ...files.spool.ring_view import BIG, Batch
from ...runtime.threads import BUSY, NESTED, Exclusive, pause
from .file_pool import OpenFiles
from .line_buffer import Spool, is_big
from .options import WriterStats
from .recovery import settle
from .rotating_file import LockHeldError

__all__ = ["Drain"]

_BATCH_BYTES = 1 << 20
_LONGEST_DRAIN = 1.0
_REPACK_AT = 0.5
_LOCK_PAUSE = 0.01
# How long a caller that waits for a line waits for a lock that another process holds.
_LOCK_PATIENCE = 2.0
_HUNG_SECONDS = 2.0


class Drain:
    """Write what lies in spools.

    Args:
        files: Where to.
        stats: What is counted.
        notice: Takes what is to be logged: event type, message, data.
        tell: Takes what is to be said on standard error: topic, text.
        moved: Called when there may be room in the spool.
    """

    def __init__(
        self,
        files: OpenFiles,
        stats: WriterStats,
        *,
        notice: Callable[[str, str, dict[str, Any]], None],
        tell: Callable[[str, str], None],
        moved: Callable[[], None],
    ) -> None:
        self._files = files
        self._stats = stats
        self._notice = notice
        self._tell = tell
        self._moved = moved
        # An exception may leave an append with an open file and its lock: close both.
        self._exclusive = Exclusive(files.close)
        self._repack_next = 0.0
        # The file that is being written, and since when.
        self._at: tuple[str, float] | None = None

    @property
    def here(self) -> bool:
        """Say whether this thread is at it, further up."""
        return self._exclusive.here

    @property
    def busy(self) -> bool:
        """Say whether some thread is at it."""
        return self._exclusive.running

    def say_hung(self) -> None:
        """Say which write does not come to an end, once it has taken long: a hung disk, or a network disk that is away."""
        at = self._at
        if at is None or not self.busy or (took := time.monotonic() - at[1]) < _HUNG_SECONDS:
            return
        self._tell(
            "hung",
            f"a write to {at[0]} has not come to an end for {took:.0f} s; lines of all files wait for it",
        )

    def alone(self, seconds: float, call: Callable[..., object], *arguments: object) -> bool:
        """Run a call as the only one that drains.

        Args:
            seconds: How long to wait for another at most; -1 for as long as it takes.
            call: What to run.
            arguments: Its arguments.

        Returns:
            False where another did not come to an end in time, or where this thread is at it already. In the latter case,
            a notice or a finaliser that logs, the outer call goes on until nothing is left.
        """
        seconds = max(0.0, seconds) if seconds != -1 else -1
        outcome = self._exclusive.run(call, *arguments, seconds=seconds)
        return outcome is not BUSY and outcome is not NESTED

    def write_all(self, spool: Spool, *, final: bool, insist: bool = False) -> None:
        """Write until nothing is left but what the disk refuses.

        Args:
            spool: Where the lines are.
            final: Go on for as long as it takes.
            insist: Try files that pause as well; done in any case where a caller waits for a line.
        """
        skip: set[bytes] = set()
        if spool.ring.intent is not None:
            self._settle_interrupted(spool)
        if not final and not insist:
            # A file that pauses is tried at once only for those who wait for a line of its own.
            awaited = spool.ring.paths_of(list(spool.acks)) if spool.acks else set()
            for name in self._files.refused():
                skip |= {os.fsencode(name), BIG + os.fsencode(name)} - awaited
        if self._files.refused() and spool.full > _REPACK_AT and time.monotonic() >= self._repack_next:
            began = time.monotonic()
            spool.repack()
            # Looking at a full ring takes tens of milliseconds: a tenth of the time at most.
            self._repack_next = time.monotonic() + 9 * (time.monotonic() - began)
        until = time.monotonic() + _LONGEST_DRAIN
        while True:
            while self._write_some(spool, skip) and (final or time.monotonic() < until):
                pass
            if not final or not self._files.busy() or time.monotonic() >= until:
                return
            # Another process may hold a lock for a moment only, and there is no later.
            pause(_LOCK_PAUSE)
            for name in self._files.busy():
                skip -= {os.fsencode(name), BIG + os.fsencode(name)}

    def _write_some(self, spool: Spool, skip: set[bytes]) -> bool:
        """Write one batch of each file that is not to be skipped; say whether there was any."""
        ring = spool.ring
        batches = ring.take(_BATCH_BYTES, skip)
        if not batches:
            return False
        began = time.perf_counter()
        if len(batches) == 1 and batches[0].numbers[0] == ring.tail and type(batches[0].numbers) is range:
            # Lines side by side from the tail on: nothing is marked, the room is given back in one step.
            written, refused = self._write_batch(spool, batches[0])
            ring.release_to(ring.tail + written)
            if refused:
                skip |= refused
                ring.release()
        else:
            written = 0
            for batch in batches:
                if batch.path in skip:
                    # Refused a moment ago: what comes after it in its file waits as well.
                    continue
                count, refused = self._write_batch(spool, batch)
                skip |= refused
                for number in batch.numbers[:count]:
                    ring.mark_done(number)
                written += count
            ring.release()
        ring.clear_intent()
        took = time.perf_counter() - began
        stats = self._stats
        stats.written += written
        stats.flushes += 1
        stats.flush_seconds += took
        stats.last_flush_seconds = took
        stats.longest_flush_seconds = max(stats.longest_flush_seconds, took)
        self._moved()
        return True

    def _settle_interrupted(self, spool: Spool) -> None:
        """Find out how far a write came that ended in neither success nor refusal, by an interrupt or for lack of memory."""
        assert isinstance(spool.ring, Ring)
        for number in settle(spool.ring):
            waiting = spool.acks.pop(number, None)
            if waiting is not None:
                waiting.written()

    def _write_batch(self, spool: Spool, batch: Batch) -> tuple[int, set[bytes]]:
        """Append one batch; return how many of its lines are in the file, and which paths refused the rest.

        The file may rotate or fail within a batch. Lines 7 to 10 of one file, where line 9 does not fit below `max_bytes`:

            before(inode A, offset 900, done 0)       note_intent(A, 900, first 7)
            write of lines 7, 8 to A; rotation to B
            before(inode B, offset 0, done len(7+8))  mark 7, 8 done; note_intent(B, 0, first 9)
            write of line 9 to B, then the disk is full
            append returns (len(7+8+9), error)        -> 3 lines are in; 10 stays, its path is skipped

        A kill after any of these steps leaves an intent that names the last write, so recovery compares the lines from `first` on with
        the file from the offset on. After an error the append is tried once more; a lock that another process holds is tried later.
        """
        if is_big(batch.path):
            try:
                path, lines = spool.resolve(batch)
            except OSError as unreadable:
                return 0, self._refused(spool, batch, big_path(batch.path), 0, unreadable)
            data, sizes = b"".join(lines), [len(line) for line in lines]
            if not data:
                # Its file is removed when it is written: an exception came before that was noted.
                return len(batch.numbers), set()
        else:
            path, data, sizes = batch.path, batch.data, None
        name = os.fsdecode(path)
        numbers, ring, settled = batch.numbers, spool.ring, 0

        def before(device: int, inode: int, size: int, done: int) -> None:
            nonlocal settled
            first = _lines_in(spool, batch, sizes, done)
            # The note names one write: what earlier ones wrote is in the file, and is not to be looked for.
            for number in numbers[settled:first]:
                ring.mark_done(number)
            settled = first
            ring.note_intent(device, inode, size, numbers[first])

        self._at = (name, time.monotonic())
        size, error = self._files.append(name, data, before)
        if error is not None:
            self._stats.retried += 1
        if error is not None and not isinstance(error, LockHeldError):
            more, error = self._files.append(
                name,
                data[size:],
                lambda device, inode, at, done: before(device, inode, at, size + done),
            )
            size += more
        self._at = None
        count = _lines_in(spool, batch, sizes, size)
        if count:
            spool.forget_big(batch, count)
        if spool.acks:
            for number in numbers[:count]:
                waiting = spool.acks.pop(number, None)
                if waiting is not None:
                    waiting.written()
        if error is None:
            if self._files.accept(name):
                self._notice("writing_recovered", f"{name} can be written again", {"file": name})
            return count, set()
        return count, self._refused(spool, batch, name, count, error)

    def _refused(self, spool: Spool, batch: Batch, name: str, count: int, error: OSError) -> set[bytes]:
        """Keep what the disk refused for later, but answer those who wait: their lines are withdrawn.

        Returns:
            The paths to leave alone for now.
        """
        paths = {os.fsencode(name), BIG + os.fsencode(name)}
        if isinstance(error, LockHeldError) and self._files.refuse(name, error) < _LOCK_PATIENCE:
            # Another process is writing or suspended: no notice, and callers go on waiting.
            return paths
        for number in batch.numbers[count:] if spool.acks else ():
            waiting = spool.acks.pop(number, None)
            if waiting is not None:
                spool.ring.mark_done(number)
                self._stats.withdrawn += 1
                waiting.failed(error)
        if not isinstance(error, LockHeldError):
            self._files.refuse(name, error)
        self._files.note_told(name)
        self._tell(
            "disk", f"{name} cannot be written ({error.strerror or error}); lines are kept and tried again"
        )
        return paths


def _lines_in(spool: Spool, batch: Batch, sizes: list[int] | None, size: int) -> int:
    """Return how many lines of a batch `size` bytes of it are."""
    if not size:
        return 0
    if sizes is None:
        if size == len(batch.data):
            return len(batch.numbers)
        sizes = spool.ring.sizes(batch.numbers)
    elif size == sum(sizes):
        return len(sizes)
    count = 0
    for length in sizes:
        size -= length
        if size < 0:
            break
        count += 1
    return count
