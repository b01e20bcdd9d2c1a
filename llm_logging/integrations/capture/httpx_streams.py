"""Response streams of httpx and httpx2 that let an `Exchange` read along.

Each library checks that a response's stream is one of its own, so the two classes are made for each.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

from ...logger.stream import Ending, when_abandoned
from ...usage.sdk_errors import is_cancellation
from .exchange import Exchange

__all__ = ["response_streams"]


class _Observed:
    """What both kinds share: the stream that does the work, and who reads along."""

    def __init__(self, inner: Any, exchange: Exchange) -> None:
        self._inner = inner
        self._exchange = exchange
        self._abandoned = when_abandoned(self, functools.partial(exchange.ended, "left"))

    def _over(self, how: Ending, error: BaseException | None = None) -> None:
        self._abandoned.detach()
        self._exchange.ended(how, error)

    def _raised(self, error: BaseException) -> None:
        if isinstance(error, GeneratorExit):
            self._over("closed")
        else:
            self._over("cancelled" if is_cancellation(error) else "failed", error)


@functools.cache
def response_streams(library: str) -> tuple[type[Any], type[Any]]:
    """Return the synchronous and the asynchronous class for one library.

    Args:
        library: `httpx` or `httpx2`.
    """
    module: Any = importlib.import_module(library)
    return _synchronous(module), _asynchronous(module)


def _synchronous(module: Any) -> type[Any]:
    class ObservedStream(_Observed, module.SyncByteStream):  # type: ignore[misc]  # made for each library
        def __iter__(self) -> Iterator[bytes]:
            try:
                for chunk in self._inner:
                    self._exchange.bytes_arrived(chunk)
                    yield chunk
            except BaseException as error:
                self._raised(error)
                raise
            self._over("exhausted")

        def close(self) -> None:
            try:
                self._inner.close()
            finally:
                self._over("closed")

    return ObservedStream


def _asynchronous(module: Any) -> type[Any]:
    class ObservedAsyncStream(_Observed, module.AsyncByteStream):  # type: ignore[misc]  # made for each library
        async def __aiter__(self) -> AsyncIterator[bytes]:
            try:
                async for chunk in self._inner:
                    self._exchange.bytes_arrived(chunk)
                    yield chunk
            except BaseException as error:
                self._raised(error)
                raise
            self._over("exhausted")

        async def aclose(self) -> None:
            try:
                await self._inner.aclose()
            finally:
                self._over("closed")

    return ObservedAsyncStream
