"""Log every LLM call that passes through aiohttp, as the asynchronous half of google-genai does where it is installed.

    instrument()

`llm_logging.integrations.httpx.instrument()` does this, too, where aiohttp is installed. What aiohttp returns keeps its
type; its `content` is read through a proxy that reads along. Bytes, errors, back-pressure and cancellation pass through
unchanged, and an error of ours never reaches the call.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from ..logger.adapter import LLMLoggerAdapter
from ..logger.stream import Ending, when_abandoned
from ..usage.estimate import Counter
from ..usage.sdk_errors import is_cancellation
from .capture.background import Poll
from .capture.exchange import Exchange
from .capture.http_calls import Begun, HTTPRequest, Watch, telling_headers
from .capture.observation import report
from .capture.optional import required

__all__ = ["instrument", "uninstrument"]


class ObservedContent:
    """The `content` of a response, its `StreamReader`, read along by an exchange.

    Args:
        inner: The reader that does the work; whatever else it has is still there.
        exchange: Reads along.
    """

    __slots__ = ("__weakref__", "_abandoned", "_exchange", "_inner")

    def __init__(self, inner: Any, exchange: Exchange | Poll) -> None:
        self._inner = inner
        self._exchange = exchange
        self._abandoned = when_abandoned(self, functools.partial(exchange.ended, "left"))

    @property  # type: ignore[misc]  # who asks `isinstance` asks for the reader inside
    def __class__(self) -> Any:
        return type(self._inner)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    # -- who reads along ----------------------------------------------------------------------------------------------

    def _over(self, how: Ending, error: BaseException | None = None) -> None:
        self._abandoned.detach()
        self._exchange.ended(how, error)

    def _came(self, data: bytes) -> None:
        if data:
            self._exchange.bytes_arrived(data)
        if self._inner.at_eof():
            self._over("exhausted")

    async def _reading(self, made: Awaitable[Any]) -> Any:
        try:
            return await made
        except BaseException as error:
            self._over("cancelled" if is_cancellation(error) else "failed", error)
            raise

    # -- what a StreamReader has --------------------------------------------------------------------------------------

    async def read(self, n: int = -1) -> Any:
        """See `aiohttp.StreamReader`, as for all below."""
        data = await self._reading(self._inner.read(n))
        self._came(data)
        return data

    async def readany(self) -> Any:
        """Read what is there, or wait for it."""
        data = await self._reading(self._inner.readany())
        self._came(data)
        return data

    async def readline(self, **options: Any) -> Any:
        """Read a line."""
        data = await self._reading(self._inner.readline(**options))
        self._came(data)
        return data

    async def readuntil(self, separator: bytes = b"\n", **options: Any) -> Any:
        """Read until a separator."""
        data = await self._reading(self._inner.readuntil(separator, **options))
        self._came(data)
        return data

    async def readexactly(self, n: int) -> Any:
        """Read so many bytes."""
        data = await self._reading(self._inner.readexactly(n))
        self._came(data)
        return data

    async def readchunk(self) -> Any:
        """Read a chunk, and whether it was a whole one of HTTP's."""
        data, whole = await self._reading(self._inner.readchunk())
        self._came(data)
        return data, whole

    def read_nowait(self, n: int = -1) -> Any:
        """Read what is there."""
        data = self._inner.read_nowait(n)
        self._came(data)
        return data

    # aiohttp's own iterators, over this object's methods.
    def __aiter__(self) -> Any:
        return type(self._inner).__aiter__(self)

    def iter_any(self) -> Any:
        """Iterate over what arrives."""
        return type(self._inner).iter_any(self)

    def iter_chunked(self, n: int) -> Any:
        """Iterate over pieces of a size."""
        return type(self._inner).iter_chunked(self, n)

    def iter_chunks(self) -> Any:
        """Iterate over HTTP's chunks."""
        return type(self._inner).iter_chunks(self)

    def set_exception(self, *arguments: Any, **options: Any) -> None:
        """Be told by the response that it was closed."""
        self._inner.set_exception(*arguments, **options)
        self._over("closed")


def _described(session: Any, url: Any, options: Mapping[str, Any]) -> HTTPRequest:
    build = getattr(session, "_build_url", None)
    whole = str(url if build is None else build(url))
    parts = urlsplit(whole)
    headers = {**getattr(session, "headers", {}), **(options.get("headers") or {})}
    lower = {str(name).lower(): str(value) for name, value in headers.items()}
    return HTTPRequest(
        parts.hostname or "", parts.port, parts.path, whole, functools.partial(_body, options), lower.get,
        lower.get("x-stainless-retry-count"),
    )  # fmt: skip


def _body(options: Mapping[str, Any]) -> bytes | Mapping[str, Any] | None:
    given = options.get("data")
    if given is None:
        given = options.get("json")
    if isinstance(given, str):
        return given.encode("utf-8", "surrogatepass")
    if isinstance(given, bytearray):
        return bytes(given)
    return given if isinstance(given, (bytes, Mapping)) else None


def _answered(begun: Begun, session: Any, response: Any, options: Mapping[str, Any]) -> None:
    try:
        headers = telling_headers(response.raw_headers)
        decoded = options.get("auto_decompress")
        if decoded is None:
            decoded = getattr(session, "_auto_decompress", True)
        if decoded:
            headers.pop("content-encoding", None)
        begun.answered(response.status, headers)
        response.content = ObservedContent(response.content, begun.exchange)
    except Exception:  # noqa: BLE001  an error of ours must not reach the call
        report()


# -- every session ------------------------------------------------------------------------------------------------------

_original: list[tuple[Any, Callable[..., Any]]] = []


def instrument(
    log: LLMLoggerAdapter | None = None,
    *,
    hosts: Mapping[str, str] | None = None,
    pending: bool = False,
    content: bool | None = None,
    estimate: Counter | None = None,
) -> None:
    """Log the LLM calls of every aiohttp session, those that exist, too; a second call changes nothing.

    Args:
        log: See `llm_logging.integrations.httpx.LoggedTransport`, as for the others.
        hosts: As there.
        pending: As there.
        content: As there.
        estimate: As there.

    Raises:
        ConfigurationError: aiohttp is not installed.
    """
    session = required(
        "ClientSession", module="aiohttp", package="aiohttp", brings="aiohttp", who="instrument"
    )
    if _original:
        return
    # Every way to send a request, of subclasses too, leads through this method, after whose errors nothing is changed.
    original = session._request  # noqa: SLF001  the middlewares of aiohttp see neither timeouts nor refused connections
    watch = Watch(
        log, instrumentation="aiohttp", hosts=hosts, pending=pending, content=content, estimate=estimate
    )

    @functools.wraps(original)
    async def request(self: Any, method: Any, str_or_url: Any, **options: Any) -> Any:
        begun = watch.begin(str(method).upper(), functools.partial(_described, self, str_or_url, options))
        if begun is None:
            return await original(self, method, str_or_url, **options)
        try:
            with begun.exchange.running():
                response = await original(self, method, str_or_url, **options)
        except BaseException as error:
            begun.exchange.ended("cancelled" if is_cancellation(error) else "failed", error)
            raise
        _answered(begun, self, response, options)
        return response

    _original.append((session, original))
    session._request = request  # noqa: SLF001  see above


def uninstrument() -> None:
    """Take `instrument` back."""
    while _original:
        session, original = _original.pop()
        session._request = original  # noqa: SLF001  as above
