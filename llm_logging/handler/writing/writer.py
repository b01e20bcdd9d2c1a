"""One writer thread per handler and process: it appends stored lines to their files, in batches.

    callers                    buffer (spool.py)              thread
    put() ── store ──────────► head ... lines ... tail ─────► run() ── drain.write_all() ──► files
      │                                                        ▲
      └── wake: urgent, full, or parked ───────────────────────┘

`put` stores the line. It wakes the thread for an error, for a caller that waits, for `flush_bytes`, and where the thread is
parked; else the thread wakes by itself after `flush_interval`. `run` waits, then drains until nothing is left but what the disk
refuses. `close` flushes, ends the thread, shuts the spool, writes what was stored meanwhile, and notes the clean end. A `put`
after `close` starts the next spool and thread.

Invariants: a stored line is written once or counted as dropped. A caller waits for the file only if it asked to, and for room at
most `overflow_wait` (never on a running event loop). Lines that the disk refuses stay in the buffer, within its bound, and are
retried with growing pauses while other files go on. A forked child starts empty, with a buffer and a thread of its own. Where no
thread can run (the interpreter exits, a server runs none), callers write their own lines. An exception raised by a signal handler
leaves the state before or after a step, never within one, and the next call continues from there.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ...clock import clock, format_micros, format_time
from ...files.safe_open import open_private
from ...files.spool.ring import Ring
from ...files.spool.waiting import enrol_buffer
from ...models.entry import SCHEMA_VERSION
from ...models.record import Acknowledgement
from ...runtime.threads import Bell, Exclusive, OsThread, pause
from .drain import Drain
from .file_pool import OpenFiles
from .housekeeping import Housekeeper
from .line_buffer import CLOSED, Spool, process
from .options import WriterOptions, WriterStats
from .process_exit import enrol, exiting, hook_exit, threads_run
from .recovery_schedule import Recoverer
from .rotating_file import FileOptions, make_folder
from .wakeup import Bells, on_event_loop

__all__ = ["Writer"]

_IDLE_SECONDS = 5.0
_WRITE_SECONDS = 0.05
# A write waits so many times as long as the last one took: `flush_interval` at least, so many times it at most.
_PACE, _LONGEST_PACE = 10.0, 3.0
_INSIST_SECONDS = 0.5  # how often `flush` has refused files tried again
_CONTENT_SHARE = 0.75
_TRY_SECONDS = 0.1  # how often a thread that could not be started is tried again
# How long `flush` waits for files that are refused for lasting reasons (no permission), and `close` for any.
_HOPELESS_SECONDS, _REFUSED_SECONDS = 0.1, 1.0

Notice = Callable[[str, str, dict[str, Any]], None]


class Writer:
    """Buffer and write the lines of one handler.

    Args:
        root: The folder whose lines these are.
        options: How to buffer.
        files: How files are made.
        housekeeper: What follows a rotation.
        notice: Takes what is to be said: event type, message, data.
        drained: Called by the writer thread after a batch.
        note_close: Whether a clean close is noted in `<root>/.writers.jsonl`.
    """

    def __init__(
        self,
        root: Path,
        options: WriterOptions,
        files: FileOptions,
        housekeeper: Housekeeper,
        *,
        notice: Notice,
        drained: Callable[[], None],
        note_close: bool,
    ) -> None:
        self.root = root
        self._options = options
        self._file_options = files
        self._housekeeper = housekeeper
        self._notice = notice
        self._drained = drained
        self._note_close = note_close
        self._told: dict[str, float] = {}
        self.stats = WriterStats()
        self._files = OpenFiles(files, options.max_open_files, sealed=housekeeper.sealed, notice=notice)
        self._reset()
        enrol(self)
        enrol_buffer(self)
        hook_exit()

    def _reset(self) -> None:
        self._starts = Exclusive()
        self._closes = Exclusive()
        self._wake = Bell()
        self._room = Bells()
        self._drain = Drain(
            self._files, self.stats, notice=self._notice, tell=self.tell, moved=self._room.set
        )
        self._urgent = False
        self._insist = False
        self._parked = False
        self._closing = False
        self._spool: Spool | None = None
        self._left: Spool | None = None
        # Set while a spool is being closed, so that a close which an exception ends is taken up again.
        self._ending: Spool | None = None
        self._thread: OsThread | None = None
        self._tried_thread = -_TRY_SECONDS
        self._dropping_since: float | None = None
        self._dropped_unsaid = [0, 0]
        self._recoverer = Recoverer(
            self.root, self._drain, self._files, self.stats, notice=self._notice, tell=self.tell
        )
        self._waited_in_vain_at = -1

    # -- callers --------------------------------------------------------------------------------------------------------

    def put(
        self,
        path: str,
        encoded: bytes,
        before: bytes,
        after: bytes,
        *,
        urgent: bool = False,
        content: bool = False,
        ack: Acknowledgement | None = None,
    ) -> bool:
        """Store one line; see `Spool.store`.

        Args:
            path: The file that it is for.
            encoded: The same as bytes.
            before: The line up to its number.
            after: The rest, with the line end.
            urgent: Wake the writer at once.
            content: The line is text that may be shed before numbers are.
            ack: The acknowledgement of a caller that waits for the file; it gets an answer in any case.

        Returns:
            Whether the line was taken.
        """
        while True:
            spool = self._spool or self._start()
            if content and spool.full > _CONTENT_SHARE:
                position = 0
            else:
                position = spool.store(path, encoded, before, after, ack)
            if position != CLOSED:
                break
            self._pass_by(spool)
        if not position and not self._store_when_room(spool, path, encoded, before, after, content, ack):
            return False
        self.stats.accepted += 1
        if urgent or ack is not None:
            self._urgent = True
            self._wake.set()
        elif self._parked or spool.ring.used >= self._options.flush_bytes:
            if self._wake.is_set():
                self._drain.say_hung()
            else:
                self._parked = False
                self._wake.set()
        thread = self._thread
        if thread is None or not thread.running:
            if not self._revive():
                self._write(seconds=self._options.exit_timeout)
                if exiting() and not self._drain.busy:
                    # Nothing closes this writer later: leave no spool behind.
                    self.close()
        elif ack is not None and (position < 0 or thread.here):
            # It cannot be written before this thread, which is to wait for it, goes on.
            spool.disown(ack)
        return True

    def _store_when_room(
        self,
        spool: Spool,
        path: str,
        encoded: bytes,
        before: bytes,
        after: bytes,
        content: bool,
        ack: Acknowledgement | None,
    ) -> bool:
        patient = (
            # A caller has waited without success and no line was written since: waiting again is pointless.
            self._waited_in_vain_at != spool.ring.tail
            and not (self._thread is not None and self._thread.here)
            and not self._drain.here
            and not on_event_loop()
        )
        deadline = time.monotonic() + (self._options.overflow_wait if patient else 0.0)
        while True:
            room = self._room.hang()
            self._wake.set()
            position = 0
            if not (content and spool.full > _CONTENT_SHARE):
                position = spool.store(path, encoded, before, after, ack)
            if position == CLOSED:
                self._pass_by(spool)
                spool = self._spool or self._start()
                continue
            if position:
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                break
            thread = self._thread
            if thread is None or not thread.running:
                self._write(seconds=left)
            room.wait(min(left, 0.02))
        if patient:
            self._waited_in_vain_at = spool.ring.tail
        if not content and self._options.overflow == "drop_old":
            need = len(before) + len(after) + len(encoded) + 128
            self._drop_old(spool, need, min(self._options.overflow_wait, _WRITE_SECONDS) if patient else 0)
            if spool.store(path, encoded, before, after, ack) > 0:
                return True
        self._count_drop(path, content)
        if ack is not None:
            ack.failed(OSError(errno.ENOBUFS, "the buffer is full, the line was dropped", path))
        return False

    def _drop_old(self, spool: Spool, need: int, seconds: float) -> None:
        # What is being written cannot be given up; most writes are over soon.
        self._drain.alone(seconds, self._drop_some, spool, need)

    def _drop_some(self, spool: Spool, need: int) -> None:
        for batch in spool.ring.take(max(need, 1)):
            spool.forget_big(batch, len(batch.numbers))
            for number in batch.numbers:
                spool.ring.mark_done(number)
                self._count_drop(None, False)
                waiting = spool.acks.pop(number, None)
                if waiting is not None:
                    waiting.failed(OSError(errno.ENOBUFS, "the buffer is full, the line was dropped"))
        spool.ring.release()

    def _count_unstored(self, path: str, ack: Acknowledgement | None) -> None:
        """Count a line that was accepted inside another call, and found no room when its turn came."""
        self.stats.accepted -= 1
        self._count_drop(path, False)
        if ack is not None:
            ack.failed(OSError(errno.ENOBUFS, "the buffer is full, the line was dropped", path))

    def _count_drop(self, path: str | None, content: bool) -> None:
        if path is not None:
            process().skip(path)
        self.stats.dropped += 1
        self.stats.content_dropped += content
        self._dropped_unsaid[content] += 1
        if self._dropping_since is None:
            self._dropping_since = clock().now().timestamp()
        self.tell("overload", "the log buffer is full: lines are being dropped and counted")

    def flush(self, seconds: float, *, refused_seconds: float | None = None) -> bool:
        """Wait until what was stored up to now is in its files.

        Args:
            seconds: How long at most; shorter where the files are refused for reasons that last.
            refused_seconds: How long at most while files are refused for any reason, and nothing is written.

        Returns:
            Whether it came to be within the bound.
        """
        spool = self._spool
        if spool is None:
            return True
        spool.settle()
        goal = spool.ring.head
        first = began = time.monotonic()
        deadline = began + seconds
        insisted = -_INSIST_SECONDS
        written = self.stats.written
        while not spool.ring.reached(goal) and self._spool is spool:
            thread = self._thread
            if thread is None or not thread.running or thread.here:
                self._write(final=True, seconds=deadline - time.monotonic())
                return spool.ring.reached(goal)
            room = self._room.hang()
            if time.monotonic() - insisted >= _INSIST_SECONDS:
                insisted = time.monotonic()
                self._insist = True
            self._urgent = True
            self._wake.set()
            if spool.ring.reached(goal):
                break
            now = time.monotonic()
            self._drain.say_hung()
            if self.stats.written != written:
                written, began = self.stats.written, now
            stalled = now - began
            lasting = stalled >= _HOPELESS_SECONDS and self._files.still_refused(first, lasting=True)
            if refused_seconds is not None and stalled >= refused_seconds:
                lasting = lasting or self._files.still_refused(first, lasting=False)
            if lasting or now >= deadline:
                return False
            room.wait(min(deadline - now, 0.05))
        return True

    def write_out(self, seconds: float) -> int:
        """Write what was stored up to now; return how many lines stay where no reader finds them."""
        spool = self._spool
        if spool is None or self.flush(seconds) or isinstance(spool.ring, Ring):
            return 0
        return spool.ring.head - spool.ring.tail

    def current_stats(self) -> WriterStats:
        """Return the counts of this moment."""
        spool = self._spool
        self.stats.buffered_bytes = spool.ring.used if spool is not None else 0
        return self.stats

    # -- starting and ending --------------------------------------------------------------------------------------------

    def _start(self) -> Spool:
        spool = self._starts.call(self._start_now)
        assert isinstance(spool, Spool)
        if self._thread is None:
            self._recoverer.look()
        return spool

    def _start_now(self) -> Spool:
        spool = self._spool
        if spool is not None:
            return spool
        hook_exit()
        if (left := self._ending) is not None and not self._closes.running:
            # An exception ended a close early.
            self._closes.run(self._end, left, time.monotonic() + self._options.exit_timeout)
        say, options = (lambda text: self.tell("spool", text)), self._options
        make_root = partial(make_folder, self.root, self._file_options)
        made = Spool(self.root, options.buffer_bytes, options.spool, say, self._count_unstored, make_root)
        try:
            # Not read again: another thread may close at any moment, and the spool then says so.
            return self._begin(made)
        except BaseException:
            if self._spool is not made:
                made.ring.close(remove=True)
            raise

    def _begin(self, spool: Spool) -> Spool:
        """Put a spool in its place; return the one that is there."""
        begun = self._spool
        if begun is not None:
            # A signal handler or a finaliser that logs came in between, in this very thread.
            spool.ring.close(remove=True)
            return begun
        self.stats.spool = "ring" if isinstance(spool.ring, Ring) else "memory"
        # In its place before the thread runs: what the thread has to say goes through it.
        self._spool = spool
        if threads_run() and not exiting():
            self._start_thread(spool)
        return spool

    def _start_thread(self, spool: Spool) -> None:
        thread = self._thread
        if self._spool is not spool or (thread is not None and thread.running):
            return
        self._closing = False
        self._tried_thread = time.monotonic()
        thread = OsThread(lambda: self._run(spool), "llm_logging-writer")
        # Before it starts: a thread that is not the writer's any more ends itself, so there is never a second one.
        self._thread = thread
        try:
            thread.start()
        except RuntimeError:
            # No room for a thread now, or the interpreter goes down: callers write by themselves.
            self._thread = None

    def _revive(self) -> bool:
        """Start the thread again where it could not be started, or an exception kept it from it; say whether it runs."""
        spool = self._spool
        if (
            exiting()
            or spool is None
            or self._closes.running
            or time.monotonic() - self._tried_thread < (_TRY_SECONDS if self._thread is None else 0)
            or not threads_run()
        ):
            return False
        self._starts.run(self._start_thread, spool)
        thread = self._thread
        return thread is not None and thread.running

    def _pass_by(self, spool: Spool) -> None:
        """Make way for another spool, where the close of this one was ended by an exception."""
        if self._spool is spool:
            if self._closes.running:
                pause(0.0001)
            else:
                self._spool = None

    def recover_soon(self) -> None:
        """Begin to write what killed processes left, if there is any."""
        self._start()

    def close(self) -> None:
        """Write everything, note the clean close, and end the thread; a later line starts it all again."""
        self._recoverer.look_for_ended()
        deadline = time.monotonic() + self._options.exit_timeout
        # NESTED, from a finaliser that logs at exit: the outer call goes on.
        self._closes.run(self._close, deadline)
        # Not inside: `on_rotate`, which runs in the housekeeper's thread, may close the handler too.
        self._housekeeper.stop(max(1.0, deadline - time.monotonic()))

    def _close(self, deadline: float) -> None:
        left = self._ending
        if left is not None and left is not self._spool:
            self._end(left, deadline)
        spool, thread = self._spool, self._thread
        if spool is None:
            self._finish(None)
            return
        self._ending = spool
        outlives = isinstance(spool.ring, Ring)
        self.flush(self._options.exit_timeout, refused_seconds=_REFUSED_SECONDS if outlives else None)
        self._closing = True
        self._wake.set()
        if thread is not None and not thread.here:
            thread.join(max(0.1, deadline - time.monotonic()))
        # From here on callers write by themselves, then start anew.
        self._thread = None
        spool.shut()
        self._spool = None
        self._end(spool, deadline)

    def _end(self, spool: Spool, deadline: float) -> None:
        spool.shut()
        if self._drain_rest(spool, max(0.1, deadline - time.monotonic())):
            self._finish(spool)
        else:
            # A write hangs and still uses the ring. The hanging thread finishes the rest, else the next process does.
            self._left = spool
            self.tell("exit", "a write did not come to an end, lines are kept for the next writer")
        self._ending = None

    def _finish(self, spool: Spool | None) -> None:
        """Close the files and the spool, once no thread writes any more."""
        self._drain.alone(0, self._files.close)
        if spool is None:
            return
        done = spool.ring.empty
        if done and self._note_close and process().last:
            self._note_clean_close()
        self._leave(spool, done)

    def _drain_rest(self, spool: Spool, seconds: float) -> bool:
        """Write what was stored while the spool was being shut; say whether no other thread is writing."""
        alone = self._drain.alone(seconds, lambda: self._drain.write_all(spool, final=True))
        self._drained()
        return alone

    def _leave(self, spool: Spool, done: bool) -> None:
        self._ending = None
        if done:
            spool.ring.close(remove=True)
            return
        left = sum(len(batch.numbers) for batch in spool.ring.take(1 << 62))
        if isinstance(spool.ring, Ring):
            self.tell(
                "exit",
                f"{left} lines could not be written; they are kept in {spool.ring.path} for the next writer",
            )
            spool.ring.close(remove=False)
        else:
            self.tell("exit", f"{left} lines could not be written and are lost with the process's memory")
            self.stats.dropped += left
        for ack in list(spool.acks.values()):
            ack.failed(OSError(errno.EIO, "the handler was closed before the line could be written"))

    def _note_clean_close(self) -> None:
        prefix = os.fspath(self.root) + os.sep
        files = {
            path.removeprefix(prefix).replace(os.sep, "/"): last
            for path, last in process().last.items()
            if path.startswith(prefix)
        }
        note = {
            "v": SCHEMA_VERSION,
            "timestamp": format_time(clock().now()),
            "writer": process().id,
            "closed": True,
            "files": files,
        }
        with contextlib.suppress(OSError):
            path = os.fspath(self.root / ".writers.jsonl")
            fd = open_private(path, os.O_RDWR | os.O_APPEND, self._file_options.file_mode)
            try:
                os.write(fd, json.dumps(note, separators=(",", ":")).encode() + b"\n")
            finally:
                os.close(fd)

    # -- the thread -----------------------------------------------------------------------------------------------------

    def _run(self, spool: Spool) -> None:
        """Write what callers store, until the writer is closed.

        The thread parks when the ring is empty. A caller may store between the check and the wait, so the thread checks twice:

            thread: head == tail            empty
            caller:                         store -> head moves; _parked is False -> no wake-up
            thread: _parked = True
            thread: head == tail again?     not empty: do not wait

            thread: _parked = True, head == tail
            caller:                         store; _parked is True -> wake-up, also if it comes before the wait
        """
        longest = interval = self._options.flush_interval
        if not self._urgent:
            # A server that loads the application forks soon after it. A thread that waits for the interpreter's lock at the moment
            # of a fork in C may leave the child with a lock that is never released, so this one waits first.
            self._wake.wait(interval)
        while self._spool is spool and not self._closing and self._thread is not None and self._thread.here:
            self._recoverer.look(spool)
            ring = spool.ring
            if ring.head == ring.tail:
                self._parked = True
                if ring.head == ring.tail:
                    self._wake.wait(_IDLE_SECONDS)
                self._parked = False
            self._wake.clear()
            if not self._urgent and ring.used < self._options.flush_bytes and not self._closing:
                self._wake.wait(longest)
            self._urgent = False
            insist, self._insist = self._insist, False
            began = time.monotonic()
            try:
                self._write(insist=insist)
            except Exception as error:  # noqa: BLE001  the thread must outlive anything
                self.tell("writer", f"the writer met {type(error).__qualname__}: {error}")
                pause(0.1)
            # At each system call the writer waits for the interpreter, and a caller for the writer: better fewer, where it is long.
            longest = min(max(interval, _PACE * (time.monotonic() - began)), _LONGEST_PACE * interval)
            if not ring.empty and (refused := self._files.wait) is not None:
                # Not for longer than others, whose files are well, may be made to wait.
                self._wake.wait(min(refused, max(0.01, interval)))
        if self._left is spool and self._drain_rest(spool, self._options.exit_timeout):
            self._left = None
            self._finish(spool)

    def _write(self, *, final: bool = False, insist: bool = False, seconds: float = -1) -> None:
        """Write what is stored, also to files that pause if told; wait for another that drains at most `seconds`."""
        if self._drain.alone(seconds, self._write_stored, final, insist):
            self._say_dropped()
            self._drained()

    def _write_stored(self, final: bool, insist: bool) -> None:
        spool = self._spool
        if spool is not None:
            self._drain.write_all(spool, final=final, insist=insist)

    def _say_dropped(self) -> None:
        since = self._dropping_since
        spool = self._spool
        if since is None or spool is None or spool.full > 0.5:
            return
        numbers, content = self._dropped_unsaid
        self._dropped_unsaid = [0, 0]
        self._dropping_since = None
        self._notice(
            "records_dropped",
            f"{numbers + content} lines were dropped because the buffer was full",
            {"count": numbers + content, "content": content, "since": format_micros(round(since * 1e6))},
        )

    def tell(self, topic: str, text: str) -> None:
        """Say something on standard error, of one topic at most once a minute."""
        now = time.monotonic()
        if now - self._told.get(topic, -60.0) < 60.0:
            return
        self._told[topic] = now
        with contextlib.suppress(Exception):
            sys.stderr.write(f"llm_logging: {text}\n")

    # -- forks ----------------------------------------------------------------------------------------------------------

    def after_fork(self) -> None:
        """Start empty in a forked child: the parent writes what it stored."""
        spool = self._spool
        self.stats = WriterStats()
        self._reset()
        self._housekeeper.after_fork()
        self._files.abandon()
        if spool is not None:
            spool.ring.abandon()
