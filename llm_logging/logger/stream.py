"""Wrap streams: every item is passed on unchanged and at once; nothing is read ahead.

Invariant: a stream ends once, with one of: `exhausted`; `closed` by its owner; `cancelled` with the task that read it; `left`,
when its last reference was dropped (a `break`) or the process ended; `failed`, with an exception, which is raised to the reader.
"""

from __future__ import annotations

import _thread
import contextlib
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Any, Final, Generic, Literal, Protocol, Self, TypeVar

from ..usage.sdk_errors import is_cancellation

__all__ = ["AsyncWatchedStream", "Ending", "StreamObserver", "WatchedStream", "when_abandoned"]

T = TypeVar("T")
Ending = Literal["exhausted", "closed", "cancelled", "left", "failed"]


class StreamObserver(Protocol):
    """Gets the items of a stream and its end; neither method may raise."""

    def item(self, item: Any) -> None:
        """Note an item, before the reader gets it."""

    def ended(self, how: Ending, error: BaseException | None = None) -> None:
        """Note the end; only the first note counts."""


# Whether the cyclic garbage collector runs, and in which thread.
_collecting: set[int] = set()
_watching_gc: Final = threading.Event()


def _note_gc(phase: str, _info: dict[str, int]) -> None:
    if phase == "start":
        _collecting.add(threading.get_ident())
    else:
        _collecting.discard(threading.get_ident())


def _abandoned(callback: Callable[[], None]) -> None:
    if threading.get_ident() in _collecting:
        # The collector runs wherever memory is asked for, maybe inside a lock that logging needs: step out of it.
        with contextlib.suppress(RuntimeError):
            _thread.start_new_thread(callback, ())
            return
    callback()


def when_abandoned(owner: Any, callback: Callable[[], None]) -> weakref.finalize[Any, Any]:
    """Call back once when the last reference to an object goes, or the process exits.

    Args:
        owner: The object; the callback must not hold it.
        callback: Called in the thread that let go, or in one of its own where the garbage collector found the object.

    Returns:
        The finaliser; `detach()` it when the object has ended well.
    """
    if not _watching_gc.is_set():
        _watching_gc.set()
        gc.callbacks.append(_note_gc)
    return weakref.finalize(owner, _abandoned, callback)


class _Watched(Generic[T]):
    """What both kinds share.

    Args:
        source: The stream.
        observer: Gets the items and the end.
    """

    def __init__(self, source: Any, observer: StreamObserver) -> None:
        self._source = source
        self._observer = observer
        self._abandoned = when_abandoned(self, lambda: observer.ended("left"))

    def _end(self, how: Ending, error: BaseException | None = None) -> None:
        self._abandoned.detach()
        self._observer.ended(how, error)

    def _failed(self, error: BaseException) -> None:
        if is_cancellation(error):
            self._end("cancelled", error)
        else:
            self._end("failed", error)

    def __getattr__(self, name: str) -> Any:
        # SDKs' streams have more than items: `response`, `get_final_message()`, ...
        if name.startswith("__") or name == "_source":
            raise AttributeError(name)
        return getattr(self._source, name)


class WatchedStream(_Watched[T], Iterator[T]):
    """A synchronous stream under watch; everything but iterating and closing is the stream's own.

    Args:
        source: Any iterable.
        observer: Gets the items and the end.
    """

    def __init__(self, source: Any, observer: StreamObserver) -> None:
        super().__init__(source, observer)
        self._next: Iterator[T] = iter(source)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        try:
            item = next(self._next)
        except StopIteration:
            self._end("exhausted")
            raise
        except BaseException as error:
            self._failed(error)
            raise
        self._observer.item(item)
        return item

    def close(self) -> None:
        """Close the stream and note that its owner did."""
        try:
            close = getattr(self._source, "close", None) or getattr(self._next, "close", None)
            if close is not None:
                close()
        finally:
            self._end("closed")

    def __enter__(self) -> Self:
        enter = getattr(self._source, "__enter__", None)
        if enter is not None:
            entered = enter()
            if entered is not self._source:
                self._next = iter(entered)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            leave = getattr(self._source, "__exit__", None)
            if leave is None:
                self.close()
                return None
            swallowed: bool | None = leave(kind, error, trace)
            return swallowed
        finally:
            self._end("closed" if error is None or is_cancellation(error) else "failed", error)


class AsyncWatchedStream(_Watched[T], AsyncIterator[T]):
    """An asynchronous stream under watch; everything but iterating and closing is the stream's own.

    Args:
        source: Any asynchronous iterable.
        observer: Gets the items and the end.
    """

    def __init__(self, source: Any, observer: StreamObserver) -> None:
        super().__init__(source, observer)
        self._next: AsyncIterator[T] = aiter(source)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        try:
            item = await anext(self._next)
        except StopAsyncIteration:
            self._end("exhausted")
            raise
        except BaseException as error:
            self._failed(error)
            raise
        self._observer.item(item)
        return item

    async def aclose(self) -> None:
        """Close the stream and note that its owner did."""
        try:
            for holder in (self._source, self._next):
                close = getattr(holder, "aclose", None) or getattr(holder, "close", None)
                if close is not None:
                    outcome = close()
                    if hasattr(outcome, "__await__"):
                        await outcome
                    break
        finally:
            self._end("closed")

    async def close(self) -> None:
        """Close the stream, under the name that some SDKs use."""
        await self.aclose()

    async def __aenter__(self) -> Self:
        enter = getattr(self._source, "__aenter__", None)
        if enter is not None:
            entered = await enter()
            if entered is not self._source:
                self._next = aiter(entered)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            leave = getattr(self._source, "__aexit__", None)
            if leave is None:
                await self.aclose()
                return None
            swallowed: bool | None = await leave(kind, error, trace)
            return swallowed
        finally:
            self._end("closed" if error is None or is_cancellation(error) else "failed", error)
