"""Answers for the web: off the event loop, a few at a time, kept while the logs stay as they are.

A kept answer is known by the question with its moments resolved and by the state of every file that it depends on: path,
inode, size and time of change. That state is also its ETag, so an unchanged answer costs a few calls of `stat`.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..errors import LLMLoggingError
from ..files.layout import Layout
from ..files.spool.waiting import find_waiting
from ..models.query import StatsScope
from ..reader.lines.arguments import reading_layout
from ..reader.pricing.overrides import find_overrides

__all__ = ["Answers", "Body", "BusyError", "Unkept", "log_state"]

_KEPT_BYTES: Final = 32 * 2**20


@dataclass(frozen=True, slots=True)
class Body:
    """An answer as it is sent.

    Attributes:
        data: Its bytes.
        etag: What it is known by; None where it depends on the time of asking too.
    """

    data: bytes
    etag: str | None


class Unkept(str):
    """An answer that also depends on the time of asking."""

    __slots__ = ()


class BusyError(LLMLoggingError):
    """More questions are waiting than are taken, or an answer took too long."""


def log_state(layout: Layout, scope: StatsScope, prices: Any = None) -> str | None:
    """Return what tells the logs of a scope from those of another time; None while lines wait to be written.

    Args:
        layout: Of the root.
        scope: Whose logs.
        prices: The file of the user's own rates, as in `get_stats`.
    """
    if find_waiting(layout.root).lines:
        return None
    digest = hashlib.sha256()
    overrides = find_overrides(prices)
    for path in [overrides] if overrides is not None else []:
        digest.update(_state(path.name, path.stat()))
    projects = layout.root / "projects"
    folders = [layout.root / "logs"]
    if scope.project_id is not None:
        folders = [layout.project_dir(scope.project_id)]
    elif projects.is_dir():
        folders += sorted(path for path in projects.iterdir())
    for entry in _files([layout.root / ".writers.jsonl", *folders]):
        digest.update(entry)
    return digest.hexdigest()[:32]


def _files(places: list[Path]) -> Iterator[bytes]:
    for place in places:
        try:
            if place.is_file():
                yield _state(place.name, place.stat())
                continue
            for folder in (place, place / "logs", place / "chats"):
                with os.scandir(folder) as entries:
                    for entry in sorted(entries, key=lambda one: one.name):
                        if entry.is_file():
                            yield _state(f"{folder}/{entry.name}", entry.stat())
        except OSError:
            yield f"{place} is not there".encode()


def _state(name: str, found: os.stat_result) -> bytes:
    return f"{name} {found.st_ino} {found.st_size} {found.st_mtime_ns}\n".encode("utf-8", "surrogateescape")


class Answers:
    """Asks the reader and keeps what it answered.

    Args:
        root: The folder of the logs.
        reading: Further keywords of `get_stats`.
        most: How many questions are answered at once; four times as many may wait.
        seconds: After which an answer is given up.
    """

    def __init__(self, root: Any, reading: dict[str, Any], *, most: int, seconds: float) -> None:
        self.layout = reading_layout(root)
        self.reading = {**reading, "root": self.layout.root}
        self._most, self._seconds = most, seconds
        self._pool = ThreadPoolExecutor(most, thread_name_prefix="llm_logging web")
        self._running = 0
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function in one of the threads that answer.

        Raises:
            BusyError: Too many wait already, or it took too long.
        """
        if self._running >= 5 * self._most:
            raise BusyError("too many questions wait for an answer; ask again in a second")
        self._running += 1
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._pool, lambda: function(*arguments))
        future.add_done_callback(self._finished)
        try:
            # A thread cannot be stopped: what takes too long goes on and keeps its place, but nobody waits for it.
            return await asyncio.wait_for(asyncio.shield(future), self._seconds)
        except TimeoutError:
            raise BusyError(f"expected an answer within {self._seconds:g} seconds; ask for less") from None

    def _finished(self, future: Any) -> None:
        self._running -= 1
        if not future.cancelled():
            future.exception()

    async def body(
        self, scope: StatsScope, question: str, make: Callable[[], str], *, known: str | None = None
    ) -> Body | None:
        """Return the answer to a question, the one that is kept where the logs are as they were.

        Args:
            scope: Whose logs it depends on.
            question: What tells it from others, moments resolved; empty where the time of asking matters too.
            make: Makes the answer; runs in a thread.
            known: The ETag that the client has.

        Returns:
            The answer; None where the client has it.
        """
        state = log_state(self.layout, scope, self.reading.get("prices")) if question else None
        if state is None:
            return Body((await self.run(make)).encode(), None)
        key = hashlib.sha256(f"{question}\n{state}".encode("utf-8", "surrogatepass")).hexdigest()[:32]
        etag = f'"{key}"'
        with self._lock:
            data = self._kept.get(key)
            if data is not None:
                self._kept.move_to_end(key)
        if data is not None and known is not None and etag in known:
            return None
        if data is None:
            text = await self.run(make)
            data = text.encode()
            if isinstance(text, Unkept):
                return Body(data, None)
            self._keep(key, data)
        return Body(data, etag)

    def _keep(self, key: str, data: bytes) -> None:
        with self._lock:
            self._size += len(data) - len(self._kept.get(key, b""))
            self._kept[key] = data
            while self._size > _KEPT_BYTES:
                self._size -= len(self._kept.popitem(last=False)[1])

    def close(self) -> None:
        """Let go of the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)
