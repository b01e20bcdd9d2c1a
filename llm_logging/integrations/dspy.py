"""Log the calls of models that DSPy sends through the HTTP client that it brings along.

    instrument()

Earlier versions of DSPy send through LiteLLM, whose clients are observed by themselves. What the client returns stays the object
that it is; only the chunks of its body are read along.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from ..logger.adapter import LLMLoggerAdapter
from ..logger.stream import when_abandoned
from ..usage.estimate import Counter
from ..usage.sdk_errors import is_cancellation
from .capture.background import Poll
from .capture.exchange import Exchange
from .capture.http_calls import Begun, HTTPRequest, Watch, telling_headers
from .capture.observation import report

__all__ = ["TRANSPORTS", "instrument", "uninstrument"]

TRANSPORTS = "dspy._vendor.lm15.transports"
"""The package of DSPy's own HTTP client."""

_originals: list[tuple[Any, str, Callable[..., Any]]] = []


def instrument(
    log: LLMLoggerAdapter | None = None,
    *,
    hosts: Mapping[str, str] | None = None,
    pending: bool = False,
    content: bool | None = None,
    estimate: Counter | None = None,
) -> None:
    """Log the LLM calls of DSPy's own client; a second call changes nothing.

    Args:
        log: See `llm_logging.integrations.httpx.LoggedTransport`, as for the others.
        hosts: As there.
        pending: As there.
        content: As there.
        estimate: As there.
    """
    if _originals:
        return
    watch = Watch(
        log, instrumentation="dspy", hosts=hosts, pending=pending, content=content, estimate=estimate
    )
    synchronous: Any = importlib.import_module(f"{TRANSPORTS}._sync").StdlibTransport
    asynchronous: Any = importlib.import_module(f"{TRANSPORTS}._async").StdlibAsyncTransport
    original, aoriginal = synchronous.stream, asynchronous._do_stream  # noqa: SLF001  every request passes it

    @functools.wraps(original)
    def stream(self: Any, request: Any) -> Any:
        begun = watch.begin(str(request.method).upper(), functools.partial(_described, request))
        if begun is None:
            return original(self, request)
        try:
            with begun.exchange.running():
                response = original(self, request)
        except BaseException as error:
            begun.exchange.ended("cancelled" if is_cancellation(error) else "failed", error)
            raise
        _answered(begun, response, _chunks)
        return response

    @functools.wraps(aoriginal)
    async def astream(self: Any, request: Any) -> Any:
        begun = watch.begin(str(request.method).upper(), functools.partial(_described, request))
        if begun is None:
            return await aoriginal(self, request)
        try:
            with begun.exchange.running():
                response = await aoriginal(self, request)
        except BaseException as error:
            begun.exchange.ended("cancelled" if is_cancellation(error) else "failed", error)
            raise
        _answered(begun, response, _achunks)
        return response

    _originals.append((synchronous, "stream", original))
    _originals.append((asynchronous, "_do_stream", aoriginal))
    synchronous.stream = stream
    asynchronous._do_stream = astream  # noqa: SLF001  see above


def uninstrument() -> None:
    """Take `instrument` back."""
    while _originals:
        owner, name, original = _originals.pop()
        setattr(owner, name, original)


def _described(request: Any) -> HTTPRequest:
    parts = urlsplit(request.url)
    headers = {str(name).lower(): str(value) for name, value in request.headers}
    body = request.body if isinstance(request.body, bytes) else None
    return HTTPRequest(parts.hostname or "", parts.port, parts.path, request.url, lambda: body, headers.get)


def _answered(begun: Begun, response: Any, wrapped: Callable[[Any, Exchange | Poll], Any]) -> None:
    try:
        headers = [
            (str(name).encode("latin-1"), str(value).encode("latin-1")) for name, value in response.headers
        ]
        begun.answered(response.status, telling_headers(headers))
        when_abandoned(response, functools.partial(begun.exchange.ended, "left"))
        response._chunks = wrapped(response._chunks, begun.exchange)  # noqa: SLF001  where it keeps its body
    except Exception:  # noqa: BLE001  an error of ours must not reach the call
        report()


def _chunks(inner: Any, exchange: Exchange | Poll) -> Iterator[bytes]:
    try:
        for chunk in inner:
            exchange.bytes_arrived(chunk)
            yield chunk
    except GeneratorExit:
        exchange.ended("closed")
        raise
    except BaseException as error:
        exchange.ended("cancelled" if is_cancellation(error) else "failed", error)
        raise
    exchange.ended("exhausted")


async def _achunks(inner: Any, exchange: Exchange | Poll) -> AsyncIterator[bytes]:
    try:
        async for chunk in inner:
            exchange.bytes_arrived(chunk)
            yield chunk
    except GeneratorExit:
        exchange.ended("closed")
        raise
    except BaseException as error:
        exchange.ended("cancelled" if is_cancellation(error) else "failed", error)
        raise
    exchange.ended("exhausted")
