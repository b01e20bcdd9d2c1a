"""What follows a rotation, outside every lock: seal, compress, prune.

One thread a process, started by the first rotation. Each step can be cut off at any instant: a compressed segment gets
its name only when it is whole and on disk, a plain one goes only then, and what an interrupted process left behind is
finished or cleaned up by the next one.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..files.compression import compress_segment, finish_interrupted
from ..files.retention import Retention, apply_retention
from ..files.seal import record_sealed

__all__ = ["Housekeeper"]

Notice = Callable[[str, str, dict[str, Any]], None]


class Housekeeper:
    """Seal, compress and prune what was rotated.

    Args:
        root: The folder whose total size is bounded; None for a handler of one file.
        compression: None, `gz` or `zst`.
        retention: What to keep.
        on_rotate: The user's callback, given the path of each new segment; its errors are said, never raised.
        key: Key of the manifests' HMAC.
        notice: Takes what is to be said.
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
    ) -> None:
        self._root = root
        self._compression = compression
        self._retention = retention
        self._on_rotate = on_rotate
        self._key = key
        self._notice = notice
        self.after_fork()

    def after_fork(self) -> None:
        """Start with nothing to do: a forked child's parent cares for what it rotated."""
        self._queue: queue.SimpleQueue[tuple[Path, Path] | None] = queue.SimpleQueue()
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._seen: set[Path] = set()
        self._idle = threading.Event()
        self._idle.set()

    def sealed(self, active: Path, segment: Path) -> None:
        """Take note of a new segment; returns at once."""
        with self._lock:
            self._queue.put((active, segment))
            self._idle.clear()
            if self._thread is not None and self._thread.is_alive():
                return
            thread = threading.Thread(target=self._run, name="llm_logging-housekeeper", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                # The interpreter is going down: no new threads. `finish` does the work in its caller's.
                return
            self._thread = thread

    def finish(self, seconds: float) -> bool:
        """Wait until nothing is left to do; say whether that came to be within the bound."""
        thread = self._thread
        if thread is None or not thread.is_alive():
            self._drain()
            return True
        # From `on_rotate`, which runs in that thread, there is no waiting for it.
        return thread is not threading.current_thread() and self._idle.wait(seconds)

    def stop(self, seconds: float) -> bool:
        """Finish, then end the thread."""
        done = self.finish(seconds)
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            if thread is not threading.current_thread():
                thread.join(0.5)
        return done

    def _run(self) -> None:
        while True:
            item = self._queue.get()
            if item is None:
                return
            self._care(*item)
            with self._lock:
                if self._queue.empty():
                    self._idle.set()

    def _drain(self) -> None:
        while True:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                self._idle.set()
                return
            if item is not None:
                self._care(*item)

    def _care(self, active: Path, segment: Path) -> None:
        final = segment
        try:
            with contextlib.suppress(FileNotFoundError):
                record_sealed(active, segment, key=self._key)
            if self._compression is not None:
                final = compress_segment(segment, self._compression)
                if active not in self._seen:
                    self._seen.add(active)
                    finish_interrupted(active, self._compression)
            apply_retention(active, self._retention, root=self._root, key=self._key)
        except OSError as error:
            self._notice(
                "housekeeping_failed",
                f"{segment} was sealed, but not compressed or pruned as configured: {error}",
                {"file": os.fspath(segment), "errno": error.errno},
            )
        if self._on_rotate is not None:
            try:
                self._on_rotate(final)
            except Exception as error:  # noqa: BLE001  a user's callback must not end the thread
                self._notice(
                    "on_rotate_failed",
                    f"on_rotate raised {type(error).__qualname__}",
                    {"file": os.fspath(final)},
                )
