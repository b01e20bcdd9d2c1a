"""What follows a rotation, outside every lock: seal, compress, ship, prune.

One thread a process, started by the first rotation. Each step can be cut off at any instant: a compressed segment gets
its name only when it is whole and on disk, a plain one goes only then, and what an interrupted process left behind is
finished or cleaned up by the next one.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from ...files.compression import compress_segment, finish_interrupted
from ...files.objects import open_store
from ...maintenance.manifest_notes import record_sealed
from ...maintenance.retention import Retention, apply_retention
from ...maintenance.ship import Shipper
from ...runtime.threads import Bell, OsThread, pause
from .process_exit import threads_run

__all__ = ["Housekeeper"]

_BATCH = 64  # segments that are cared for together at most

Notice = Callable[[str, str, dict[str, Any]], None]

# How long the thread sleeps where nothing is rotated; a store that could not be reached is tried again after so long.
_PAUSE_SECONDS: Final = 60.0


class Housekeeper:
    """Seal, compress, ship and prune what was rotated.

    Args:
        root: The folder whose total size is bounded; None for a handler of one file.
        compression: None, `gz` or `zst`.
        retention: What to keep.
        on_rotate: The user's callback, given the path of each new segment; its errors are said, never raised.
        key: Key of the manifests' HMAC.
        notice: Takes what is to be said.
        ship: The store that segments are shipped to, in this thread alone; None ships nothing.
    """

    def __init__(
        self,
        root: Path | None,
        *,
        compression: str | None,
        retention: Retention,
        on_rotate: Callable[[Path], object] | None,
        key: bytes | None,
        notice: Notice,
        ship: str | None = None,
    ) -> None:
        self._ship_to = ship
        self._root = root
        self._compression = compression
        self._retention = retention
        self._on_rotate = on_rotate
        self._key = key
        self._notice = notice
        self.after_fork()

    def after_fork(self) -> None:
        """Start with nothing to do: a forked child's parent cares for what it rotated."""
        self._queue: deque[tuple[Path, Path]] = deque()
        self._thread: OsThread | None = None
        self._seen: set[Path] = set()
        self._wake = Bell()
        self._working = False
        # A store holds threads and connections, which no child has.
        self._shipper: Shipper | None = None
        self._ship_due = 0.0
        self._ship_problems: list[str] = []

    def sealed(self, active: Path, segment: Path) -> None:
        """Take note of a new segment; returns at once."""
        self._queue.append((active, segment))
        self._wake.set()
        if self._thread is not None and self._thread.running:
            return
        if not threads_run():
            self._drain()
            return
        thread = OsThread(self._run, "llm_logging-housekeeper")
        self._thread = thread
        with contextlib.suppress(RuntimeError):
            # Refused while the interpreter goes down: `finish` does the work in its caller's thread.
            thread.start()

    def finish(self, seconds: float) -> bool:
        """Wait until nothing is left to do; say whether that came to be within the bound."""
        thread = self._thread
        if thread is None or not thread.running:
            self._drain()
            return True
        deadline = time.monotonic() + seconds
        # From `on_rotate`, which runs in that thread, there is no waiting for it.
        while (self._queue or self._working) and not thread.here and time.monotonic() < deadline:
            pause(0.005)
        return not thread.here and not self._queue and not self._working

    def stop(self, seconds: float) -> bool:
        """Finish, then end the thread."""
        done = self.finish(seconds)
        thread, self._thread = self._thread, None
        if thread is not None:
            self._wake.set()
            if not thread.here:
                thread.join(0.5)
        return done

    def _run(self) -> None:
        while True:
            self._wake.wait(_PAUSE_SECONDS)
            # Before anything is taken, so that the queue is not seen as empty while its last item is processed.
            self._working = True
            try:
                self._drain()
                self._ship()
            finally:
                self._working = False
            if self._thread is None or not self._thread.here:
                return

    def _ship(self) -> None:
        """Ship what was sealed; after a failure not before the pause is over."""
        shipper = self._shipper
        if shipper is None or time.monotonic() < self._ship_due:
            return
        try:
            report = shipper.run()
            for active in {shipped.active for shipped in report.shipped}:
                apply_retention(active, self._retention, root=self._root, key=self._key)
            problems = report.problems
            self._ship_due = 0.0
        except OSError as error:
            problems = [f"segments stay on this disk: {error}"]
            self._ship_due = time.monotonic() + _PAUSE_SECONDS
        if problems != self._ship_problems:
            for problem in problems:
                self._notice("ship_failed", problem, {"to": shipper.store.url})
        self._ship_problems = problems

    def _drain(self) -> None:
        while self._queue:
            with contextlib.suppress(IndexError):
                self._care(*self._next())

    def _next(self) -> list[Path]:
        """Take the oldest segment, and those of the same log that follow it; return the log, then the segments.

        Each step after a rotation reads folder and manifest, so segments that wait are cared for together.
        """
        batch = list(self._queue.popleft())
        with contextlib.suppress(IndexError):
            while len(batch) <= _BATCH:
                active, segment = self._queue.popleft()
                if active != batch[0]:
                    self._queue.appendleft((active, segment))
                    break
                batch.append(segment)
        return batch

    def _care(self, active: Path, *segments: Path) -> None:
        segment, final, failed = segments[0], list(segments), False
        try:
            with contextlib.suppress(FileNotFoundError):
                record_sealed(active, *segments, key=self._key)
            if self._ship_to is not None and self._root is not None and self._shipper is None:
                self._shipper = Shipper(self._root, open_store(self._ship_to), key=self._key)
                # Before anything is pruned: what has no receipt stays.
                self._shipper.register()
            if self._compression is not None:
                for place, segment in enumerate(segments):
                    final[place] = compress_segment(segment, self._compression)
                if active not in self._seen:
                    self._seen.add(active)
                    finish_interrupted(active, self._compression)
        except OSError as error:
            # Those that stay plain are looked for after the next rotation.
            failed = True
            self._seen.discard(active)
            self._say_failed(segment, error)
        for path in final:
            self._call_back(path)
        # Nothing is pruned that the user's callback has not seen yet.
        waiting = self._on_rotate is not None and any(log == active for log, _ in self._queue.copy())
        try:
            if not failed and not waiting:
                apply_retention(active, self._retention, root=self._root, key=self._key)
        except OSError as error:
            self._say_failed(segment, error)

    def _say_failed(self, segment: Path, error: OSError) -> None:
        self._notice(
            "housekeeping_failed",
            f"{segment} was sealed, but not compressed or pruned as configured: {error}",
            {"file": os.fspath(segment), "errno": error.errno},
        )

    def _call_back(self, segment: Path) -> None:
        if self._on_rotate is None:
            return
        try:
            self._on_rotate(segment)
        except Exception as error:  # noqa: BLE001  a user's callback must not end the thread
            self._notice(
                "on_rotate_failed",
                f"on_rotate raised {type(error).__qualname__}",
                {"file": os.fspath(segment)},
            )
