"""Log every LLM call that passes through an httpx or httpx2 client.

    client = OpenAI(http_client=httpx2.Client(transport=LoggedTransport()))   # this client
    instrument()                                                              # every client

The provider and the operation are told by host and path, the model by the request's body, usage by a copy of the
answer. Requests to other hosts are not looked at. Bytes, headers, errors, back-pressure and cancellation pass through
unchanged, and an error of ours never reaches the call.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ..errors import ConfigurationError, ErrorCode
from ..logger.adapter import LLMLoggerAdapter
from ..usage.estimate import Counter
from ..usage.sdk_errors import is_cancellation
from . import aiohttp
from .capture.http_calls import Begun, HTTPRequest, Watch, telling_headers
from .capture.httpx_streams import response_streams
from .capture.observation import report

__all__ = ["LoggedTransport", "instrument", "instrument_library", "uninstrument"]

_LIBRARIES = ("httpx", "httpx2")


def _library_of(thing: Any) -> str:
    return type(thing).__module__.partition(".")[0]


if TYPE_CHECKING:
    # Any: it is a transport of httpx and of httpx2, synchronous and asynchronous; checkers accept it wherever one is expected.
    _Transport = Any
else:
    _Transport = object


class LoggedTransport(_Transport):  # type: ignore[misc]  # a class of Any, on purpose
    """A transport of httpx or httpx2, synchronous and asynchronous, that logs the LLM calls which pass through it.

    Args:
        transport: Does the work; None makes the library's own at the first request.
        log: Where it is logged; None takes `get_logger()`. Its context, and that of `scope()`, is on every line.
        provider: Who answers, whatever the host is, for a client of one provider behind an address of your own.
        hosts: Further hosts, `"localhost:8000"` or without port, to the provider's name: `{"gpu-7:8000": "vllm"}`;
            the environment variable `LLM_LOGGING_HOSTS` (`gpu-7:8000=vllm,...`) names more.
        pending: Whether a line is logged when a request is sent, too; calls that die with their process then show.
        content: Whether prompts and answers are kept; None leaves it to the handlers.
        estimate: Counts the tokens of streams that end without usage, `llm_logging.usage.estimate.tiktoken_counter()`
            for one; such usage is marked `estimated`. None leaves it unknown.
    """

    def __init__(
        self,
        transport: Any = None,
        *,
        log: LLMLoggerAdapter | None = None,
        provider: str | None = None,
        hosts: Mapping[str, str] | None = None,
        pending: bool = False,
        content: bool | None = None,
        estimate: Counter | None = None,
        _watch: Watch | None = None,
    ) -> None:
        self._transport = transport
        self._made: dict[str, Any] = {}
        self._watch = _watch or Watch(
            log, instrumentation="httpx", provider=provider, hosts=hosts, pending=pending, content=content,
            estimate=estimate,
        )  # fmt: skip

    @property
    def transport(self) -> Any:
        """The transport that does the work; None where the library's own is made at the first request."""
        return self._transport

    # -- what the client calls ----------------------------------------------------------------------------------------

    def handle_request(self, request: Any) -> Any:
        """Send a request; see `httpx.BaseTransport`."""
        inner = self._inner(request, "HTTPTransport")
        begun = self._begin(request)
        if begun is None:
            return inner.handle_request(request)
        request = _asking(begun, request)
        try:
            with begun.exchange.running():
                response = inner.handle_request(request)
        except BaseException as error:
            begun.exchange.ended("cancelled" if is_cancellation(error) else "failed", error)
            raise
        self._answered(begun, request, response, asynchronous=False)
        return response

    async def handle_async_request(self, request: Any) -> Any:
        """Send a request; see `httpx.AsyncBaseTransport`."""
        inner = self._inner(request, "AsyncHTTPTransport")
        begun = self._begin(request)
        if begun is None:
            return await inner.handle_async_request(request)
        request = _asking(begun, request)
        try:
            with begun.exchange.running():
                response = await inner.handle_async_request(request)
        except BaseException as error:
            begun.exchange.ended("cancelled" if is_cancellation(error) else "failed", error)
            raise
        self._answered(begun, request, response, asynchronous=True)
        return response

    def close(self) -> None:
        """Close the transport that does the work."""
        inner = self._transport or self._made.get("HTTPTransport")
        if inner is not None:
            inner.close()

    async def aclose(self) -> None:
        """Close the transport that does the work."""
        inner = self._transport or self._made.get("AsyncHTTPTransport")
        if inner is not None:
            await inner.aclose()

    def __enter__(self) -> Self:
        if self._transport is not None:
            self._transport.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        inner = self._transport or self._made.get("HTTPTransport")
        if inner is not None:
            inner.__exit__(kind, error, trace)

    async def __aenter__(self) -> Self:
        if self._transport is not None:
            await self._transport.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        inner = self._transport or self._made.get("AsyncHTTPTransport")
        if inner is not None:
            await inner.__aexit__(kind, error, trace)

    def __getattr__(self, name: str) -> Any:
        # Whoever reaches for the pool of the transport inside still finds it.
        if name.startswith("__") or self.__dict__.get("_transport") is None:
            raise AttributeError(name)
        return getattr(self._transport, name)

    # -- how it is logged ---------------------------------------------------------------------------------------------

    def _inner(self, request: Any, name: str) -> Any:
        if self._transport is not None:
            return self._transport
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = getattr(importlib.import_module(_library_of(request)), name)()
        return made

    def _begin(self, request: Any) -> Begun | None:
        return self._watch.begin(request.method, functools.partial(_described, request))

    def _answered(self, begun: Begun, request: Any, response: Any, *, asynchronous: bool) -> None:
        try:
            headers = telling_headers(response.headers.raw)
            held = response.__dict__.get("_content")
            if isinstance(held, bytes):
                # What lies in memory was decoded.
                headers.pop("content-encoding", None)
            begun.answered(response.status_code, headers)
            if isinstance(held, bytes):
                # A transport that answers from memory: nobody will read the stream.
                begun.exchange.bytes_arrived(held)
                begun.exchange.ended("exhausted")
                return
            made = response_streams(_library_of(request))[asynchronous]
            response.stream = made(response.stream, begun.exchange)
        except Exception:  # noqa: BLE001  an error of ours must not reach the call
            report()


def _asking(begun: Begun, request: Any) -> Any:
    """Return the request, or one like it that also asks for the usage of its stream."""
    try:
        body = begun.body_with_usage(request.url.path, request.__dict__.get("_content"))
        if body is None:
            return request
        headers = [(name, value) for name, value in request.headers.raw if name.lower() != b"content-length"]
        return type(request)(
            request.method, request.url, headers=headers, content=body, extensions=request.extensions
        )
    except Exception:  # noqa: BLE001  a request must be sent whatever happens here
        report()
        return request


def _described(request: Any) -> HTTPRequest:
    url = request.url
    retries = request.headers.get("x-stainless-retry-count")
    return HTTPRequest(
        url.host,
        url.port,
        url.path,
        url.raw_path,
        functools.partial(_body, request),
        request.headers.get,
        retries,
    )


def _body(request: Any) -> bytes | dict[str, Any] | None:
    """Return a request's body where it is at hand; never reads a stream."""
    held = request.__dict__.get("_content")
    if isinstance(held, bytes):
        return held
    # A request that a redirection made has only its stream; that of bytes holds them.
    held = getattr(request.stream, "_stream", None)
    if isinstance(held, bytes):
        return held
    # A form, for audio: a file is taken where it lies in memory, and never read.
    found: dict[str, Any] = {}
    for field in getattr(request.stream, "fields", ()):
        value = getattr(field, "value", None)
        if isinstance(value, (str, bytes)):
            found[field.name] = value if isinstance(value, str) else value.decode("utf-8", "replace")
        elif isinstance(held := getattr(field, "file", None), bytes):
            found[field.name] = held
    return found or None


# -- every client --------------------------------------------------------------------------------------------

_originals: dict[type[Any], Any] = {}


def instrument(
    log: LLMLoggerAdapter | None = None,
    *,
    hosts: Mapping[str, str] | None = None,
    pending: bool = False,
    content: bool | None = None,
    estimate: Counter | None = None,
) -> None:
    """Log the LLM calls of every httpx and httpx2 client, those that exist, too; a second call changes nothing.

    Where aiohttp is installed, its sessions are logged, too: google-genai's asynchronous half takes it then.

    Args:
        log: See `LoggedTransport`.
        hosts: See `LoggedTransport`.
        pending: See `LoggedTransport`.
        content: See `LoggedTransport`.
        estimate: See `LoggedTransport`.

    Raises:
        ConfigurationError: None of the libraries is installed.
    """
    modules = [name for name in _LIBRARIES if _optional(name) is not None]
    has_aiohttp = _optional("aiohttp") is not None
    if not modules and not has_aiohttp:
        raise ConfigurationError(
            "instrument: expected httpx, httpx2 or aiohttp, none is installed; pip install httpx brings it",
            code=ErrorCode.MISSING_DEPENDENCY,
        )
    # Made once, since it reads the environment; all clients share it.
    watch = Watch(
        log, instrumentation="httpx", hosts=hosts, pending=pending, content=content, estimate=estimate
    )
    for name in modules:
        instrument_library(name, watch)
    if has_aiohttp:
        aiohttp.instrument(log, hosts=hosts, pending=pending, content=content, estimate=estimate)


def instrument_library(name: str, watch: Watch) -> None:
    """Log the LLM calls of every client of one library.

    Args:
        name: `httpx` or `httpx2`.
        watch: Begins to log them.
    """
    module: Any = importlib.import_module(name)
    for client in (module.Client, module.AsyncClient):
        if client not in _originals:
            _wrap(client, functools.partial(LoggedTransport, _watch=watch))


def uninstrument() -> None:
    """Take `instrument` back; no client logs any more."""
    for client, original in list(_originals.items()):
        client._transport_for_url = original  # noqa: SLF001  as above
        del _originals[client]
    aiohttp.uninstrument()


def _optional(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _wrap(client: Any, make: Callable[[Any], LoggedTransport]) -> None:
    """Let every client of a class, those that exist, too, send through transports that log.

    Both libraries ask this method for the transport of each request; what a client itself holds is not touched.
    """
    original = client._transport_for_url  # noqa: SLF001  the one place that every request passes

    @functools.wraps(original)
    def transport_for_url(self: Any, url: Any) -> Any:
        transport = original(self, url)
        try:
            if transport is None or isinstance(transport, LoggedTransport):
                return transport
            made = self.__dict__.setdefault("_llm_logging_transports", {})
            logged = made.get(id(transport))
            if logged is None or logged.transport is not transport:
                logged = made[id(transport)] = make(transport)
        except Exception:  # noqa: BLE001  a request must be sent whatever happens here
            report()
            return transport
        return logged

    _originals[client] = original
    client._transport_for_url = transport_for_url  # noqa: SLF001  see above
