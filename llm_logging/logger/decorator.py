"""Decorate functions so that each call is a request: plain functions, generators, and their async forms."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Protocol, Self, TypeVar

from .call_context import running

__all__ = ["Request", "decorated"]

F = TypeVar("F", bound=Callable[..., Any])


class Request(Protocol):
    """What is needed of an `LLMCall`."""

    def start(self) -> None:
        """Note that it is sent."""

    def finish(self, response: Any = None) -> None:
        """Note that it is answered."""

    def stream(self, source: Any) -> Any:
        """Watch its answer."""

    def running(self) -> running:
        """Return what the code inside of it sees."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *details: object) -> None: ...


class _Steps(Iterator[Any]):
    """Run each step of a generator inside of the request, and the reader outside of it."""

    def __init__(self, source: Iterator[Any], call: Request) -> None:
        self._source = source
        self._call = call

    def __next__(self) -> Any:
        with self._call.running():
            return next(self._source)

    def close(self) -> None:
        close = getattr(self._source, "close", None)
        if close is not None:
            close()


class _AsyncSteps(AsyncIterator[Any]):
    def __init__(self, source: AsyncIterator[Any], call: Request) -> None:
        self._source = source
        self._call = call

    async def __anext__(self) -> Any:
        with self._call.running():
            return await anext(self._source)

    async def aclose(self) -> None:
        close = getattr(self._source, "aclose", None)
        if close is not None:
            await close()


def decorated(fn: F, make: Callable[[], Any]) -> F:
    """Return a function that logs each of its calls as a request.

    Args:
        fn: The function. What it returns is the response; a stream it returns or yields is watched.
        make: Called once a call, makes the request.
    """
    import inspect

    made: Any
    if inspect.isasyncgenfunction(fn):

        @functools.wraps(fn)
        async def streaming_async(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            call = make()
            call.start()
            stream = call.stream(_AsyncSteps(fn(*args, **kwargs), call))
            try:
                async for item in stream:
                    yield item
            finally:
                await stream.aclose()

        made = streaming_async
    elif inspect.isgeneratorfunction(fn):

        @functools.wraps(fn)
        def streaming(*args: Any, **kwargs: Any) -> Iterator[Any]:
            call = make()
            call.start()
            yield from call.stream(_Steps(fn(*args, **kwargs), call))

        made = streaming
    elif inspect.iscoroutinefunction(fn):

        @functools.wraps(fn)
        async def timed_async(*args: Any, **kwargs: Any) -> Any:
            with make() as call:
                return _taken(call, await fn(*args, **kwargs))

        made = timed_async
    else:

        @functools.wraps(fn)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with make() as call:
                return _taken(call, fn(*args, **kwargs))

        made = timed
    result: F = made
    return result


def _taken(call: Request, response: Any) -> Any:
    """Finish a call with what a function returned; a stream is handed on under watch."""
    kind = type(response)
    if hasattr(kind, "__anext__") or hasattr(kind, "__next__"):
        return call.stream(response)
    call.finish(response)
    return response
