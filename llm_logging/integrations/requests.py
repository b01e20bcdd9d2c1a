"""Log the calls of models that pass through requests, as some SDKs still send them.

    instrument()

What requests returns keeps its type: the methods of its raw response that read bytes are wrapped in their place. Errors,
back-pressure and closing pass through unchanged, and an error of ours never reaches the call.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterator, Mapping
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
from .capture.optional import required

__all__ = ["instrument", "uninstrument"]

_original: list[tuple[Any, Callable[..., Any]]] = []


def instrument(
    log: LLMLoggerAdapter | None = None,
    *,
    hosts: Mapping[str, str] | None = None,
    pending: bool = False,
    content: bool | None = None,
    estimate: Counter | None = None,
) -> None:
    """Log the LLM calls of every session of requests, those that exist, too; a second call changes nothing.

    Args:
        log: See `llm_logging.integrations.httpx.LoggedTransport`, as for the others.
        hosts: As there.
        pending: As there.
        content: As there.
        estimate: As there.

    Raises:
        ConfigurationError: requests is not installed.
    """
    adapter = required(
        "HTTPAdapter", module="requests.adapters", package="requests", brings="requests", who="instrument"
    )
    if _original:
        return
    original = adapter.send
    watch = Watch(
        log, instrumentation="requests", hosts=hosts, pending=pending, content=content, estimate=estimate
    )

    @functools.wraps(original)
    def send(self: Any, request: Any, *arguments: Any, **options: Any) -> Any:
        begun = watch.begin(str(request.method).upper(), functools.partial(_described, request))
        if begun is None:
            return original(self, request, *arguments, **options)
        try:
            with begun.exchange.running():
                response = original(self, request, *arguments, **options)
        except BaseException as error:
            begun.exchange.ended("cancelled" if is_cancellation(error) else "failed", error)
            raise
        _answered(begun, response)
        return response

    _original.append((adapter, original))
    adapter.send = send


def uninstrument() -> None:
    """Take `instrument` back."""
    while _original:
        adapter, original = _original.pop()
        adapter.send = original


def _described(request: Any) -> HTTPRequest:
    parts = urlsplit(request.url)
    headers = request.headers
    return HTTPRequest(
        parts.hostname or "",
        parts.port,
        parts.path,
        request.url,
        functools.partial(_body, request),
        headers.get,
    )


def _body(request: Any) -> bytes | None:
    body = request.body
    if isinstance(body, str):
        return body.encode("utf-8", "surrogatepass")
    return body if isinstance(body, bytes) else None


def _answered(begun: Begun, response: Any) -> None:
    try:
        raw = response.raw
        headers = telling_headers(
            (str(name).encode("latin-1", "replace"), str(value).encode("latin-1", "replace"))
            for name, value in response.headers.items()
        )
        # requests asks for decoded bytes.
        headers.pop("content-encoding", None)
        begun.answered(response.status_code, headers)
        _read_along(raw, begun.exchange)
    except Exception:  # noqa: BLE001  an error of ours must not reach the call
        report()


class _Along:
    """The methods of a raw response that bytes and its end pass through, each noting what does.

    Args:
        raw: The raw response, of urllib3's.
        exchange: Reads along.
    """

    def __init__(self, raw: Any, exchange: Exchange | Poll) -> None:
        # Its methods are on the response: holding it would make a circle.
        self._raw = weakref.ref(raw)
        self._exchange = exchange
        self._streaming = False

    def _failed(self, error: BaseException) -> None:
        self._exchange.ended("cancelled" if is_cancellation(error) else "failed", error)

    def stream(self, *arguments: Any, **options: Any) -> Iterator[bytes]:
        """Yield the body."""
        self._streaming = True
        try:
            for data in _method(self._raw, "stream")(*arguments, **options):
                self._exchange.bytes_arrived(data)
                yield data
        except GeneratorExit:
            # Closing and letting go are seen elsewhere.
            raise
        except BaseException as error:
            self._failed(error)
            raise
        self._exchange.ended("exhausted")

    def read(self, *arguments: Any, **options: Any) -> Any:
        """Read some of the body; `stream` reads by this, too."""
        try:
            data = _method(self._raw, "read")(*arguments, **options)
        except BaseException as error:
            if not self._streaming:
                self._failed(error)
            raise
        if not self._streaming:
            self._exchange.bytes_arrived(data)
            if not data or (arguments[0] if arguments else options.get("amt")) is None:
                self._exchange.ended("exhausted")
        return data

    def close(self) -> Any:
        """Close the connection."""
        try:
            return _method(self._raw, "close")()
        finally:
            self._exchange.ended("closed")


def _method(known: weakref.ref[Any], name: str) -> Any:
    raw = known()
    return getattr(type(raw), name).__get__(raw)


def _read_along(raw: Any, exchange: Exchange | Poll) -> None:
    along = _Along(raw, exchange)
    when_abandoned(raw, functools.partial(exchange.ended, "left"))
    for name in ("stream", "read", "close"):
        if hasattr(type(raw), name):
            setattr(raw, name, getattr(along, name))
