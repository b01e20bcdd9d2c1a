"""Log the calls of Bedrock that boto3 makes: Converse and InvokeModel, whole and streamed.

    client = instrument_client(boto3.client("bedrock-runtime"))   # this client
    instrument()                                                  # every client

It listens to botocore's own events, so retries are seen one by one, and what boto3 returns keeps its type.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, TypeVar

from ..clock import clock
from ..errors import ConfigurationError, ErrorCode
from ..logger.adapter import LLMLoggerAdapter
from ..logger.stream import Ending, when_abandoned
from ..usage.extract import extract
from ..usage.routes import Route
from ..usage.sdk_errors import is_cancellation
from .capture.exchange import Exchange
from .capture.later import when_imported
from .capture.nesting import covered
from .capture.observation import Observation, guarded, report, wants_content
from .capture.optional import required
from .capture.request_body import Asked, asked
from .capture.retries import Attempt

__all__ = ["instrument", "instrument_client", "uninstrument"]

C = TypeVar("C")

_SERVICE = "bedrock-runtime"
_UNIQUE = "llm_logging"
_OPERATIONS = frozenset({"Converse", "ConverseStream", "InvokeModel", "InvokeModelWithResponseStream"})


class _Call:
    """One call of the client, with its attempts; lies in botocore's request context."""

    __slots__ = ("asked", "attempt", "exchange", "model", "route", "stream")

    def __init__(self, model: str, *, stream: bool, asked: Asked) -> None:
        self.model = model
        self.stream = stream
        self.asked = asked
        self.route = Route("bedrock", "embeddings" if "embed" in model else "chat", model, stream)
        self.exchange: Exchange | None = None
        self.attempt: Attempt | None = None


class _Listener:
    """Listen to the events of one client.

    Args:
        log: Where it is logged.
        pending: Whether a line is logged when a request is sent, too; calls that die with their process then show.
        content: Whether prompts and answers are kept.
    """

    def __init__(self, log: LLMLoggerAdapter | None, *, pending: bool, content: bool | None) -> None:
        self._log = log
        self._pending = pending
        self._content = content

    def listen(self, events: Any) -> None:
        for event, listener in (
            ("before-parameter-build", self.asked),
            ("request-created", self.sent),
            ("response-received", self.received),
            ("after-call", self.returned),
            ("after-call-error", self.raised),
        ):
            events.register(f"{event}.{_SERVICE}", listener, unique_id=f"{_UNIQUE}-{event}")

    @guarded
    def asked(self, params: Any, model: Any, context: dict[str, Any], **_: Any) -> None:
        """Note what the application asks for."""
        if model.name not in _OPERATIONS or covered() or not isinstance(params, Mapping):
            return
        content = wants_content(self._log, self._content)
        body = params.get("body")
        told = body.encode() if isinstance(body, str) else params if body is None else body
        context[_UNIQUE] = _Call(
            str(params.get("modelId") or "unknown"),
            stream=model.name.endswith("Stream"),
            asked=asked(told if isinstance(told, (bytes, Mapping)) else None, content=content),
        )

    @guarded
    def sent(self, request: Any, **_: Any) -> None:
        """Note that an attempt is sent."""
        call: _Call | None = request.context.get(_UNIQUE)
        if call is None:
            return
        last = call.attempt
        began = last.began if last is not None else clock().monotonic()
        call.attempt = Attempt((), last.number + 1 if last else 1, last.group if last else "", began)
        observation = Observation.begin(
            self._log,
            instrumentation="botocore",
            pending=self._pending,
            model=call.model,
            provider=call.route.provider,
            operation=call.route.operation,
            stream=call.stream or None,
            attempt=call.attempt.number,
            request_group=call.attempt.group or None,
            messages=call.asked.messages,
            **call.asked.fields,
        )
        if observation is None:
            call.exchange = None
            return
        if not call.attempt.group:
            call.attempt.group = observation.request_group or observation.id
            observation.note(request_group=call.attempt.group)
        call.exchange = Exchange(observation, call.attempt)

    @guarded
    def received(self, context: dict[str, Any], parsed_response: Any, exception: Any, **_: Any) -> None:
        """Note what an attempt came to, if that is its end."""
        call: _Call | None = context.get(_UNIQUE)
        if call is None or call.exchange is None:
            return
        if exception is not None:
            call.exchange.ended("cancelled" if is_cancellation(exception) else "failed", exception)
            return
        said = parsed_response.get("ResponseMetadata") or {}
        status = said.get("HTTPStatusCode", 200)
        headers = {str(name).lower(): str(value) for name, value in (said.get("HTTPHeaders") or {}).items()}
        # botocore has decoded the body.
        headers.pop("content-encoding", None)
        call.exchange.answered(status, headers, call.route, stream=call.stream, content=call.asked.content)
        if status >= 300:
            found = parsed_response.get("Error") or {}
            call.exchange.refused(
                {"code": found.get("Code"), "message": found.get("Message"), "type": found.get("Type")}
            )

    @guarded
    def returned(self, parsed: Any, context: dict[str, Any], **_: Any) -> None:
        """Read the answer, or read along while the application does."""
        call: _Call | None = context.get(_UNIQUE)
        if call is None or call.exchange is None or call.exchange.over:
            return
        for name in ("stream", "body"):
            stream = parsed.get(name)
            if stream is not None:
                watched = _watched(stream, call.exchange)
                if watched is None:
                    call.exchange.ended("left")
                else:
                    parsed[name] = watched
                return
        call.exchange.settle(extract(parsed, keep_text=call.asked.content))

    @guarded
    def raised(self, exception: BaseException, context: dict[str, Any], **_: Any) -> None:
        """Note that the call failed for good."""
        call: _Call | None = context.get(_UNIQUE)
        if call is not None and call.exchange is not None:
            call.exchange.ended("cancelled" if is_cancellation(exception) else "failed", exception)


def _watched(stream: Any, exchange: Exchange) -> Any:
    """Return a stream that an exchange reads along with; None where that cannot be done, and the stream is left alone."""
    kind: Any = type(stream)
    try:
        if hasattr(kind, "read"):
            # In its place: a body that is let go closes its connection.
            watched = stream
            watched.__class__ = _observed(kind)
        else:
            # Its generator holds the stream itself, so only a copy is let go with its last reference.
            watched = object.__new__(_observed(kind))
            watched.__dict__.update(stream.__dict__)
    except (AttributeError, TypeError):
        return None
    watched.__dict__["_llm_exchange"] = exchange
    watched.__dict__["_llm_abandoned"] = when_abandoned(watched, functools.partial(exchange.ended, "left"))
    return watched


class _Observed:
    """What the observed classes share; `_llm_exchange` reads along."""

    _llm_exchange: Exchange
    _llm_abandoned: Any

    def _llm_over(self, how: Ending, error: BaseException | None = None) -> None:
        self._llm_abandoned.detach()
        self._llm_exchange.ended(how, error)

    def _llm_failed(self, error: BaseException) -> None:
        self._llm_over("cancelled" if is_cancellation(error) else "failed", error)

    def _llm_came(self, data: bytes, *, at_end: bool) -> None:
        if data:
            self._llm_exchange.bytes_arrived(data)
        if at_end:
            self._llm_over("exhausted")


@functools.cache
def _observed(kind: type[Any]) -> type[Any]:
    """Return a subclass of a class of streams whose methods note what passes through them.

    Which methods those are, and whether they are asynchronous, is told by what the class has: botocore's two classes,
    and those that aiobotocore and others make of them. Methods that are built on `read` need no wrapper of their own.
    """
    made: dict[str, Any] = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    if hasattr(kind, "read"):
        asynchronous = inspect.iscoroutinefunction(kind.read)
        made["read"] = (_async_read if asynchronous else _read)(kind)
        if hasattr(kind, "readinto"):
            made["readinto"] = (_async_readinto if asynchronous else _readinto)(kind)
    elif hasattr(kind, "__aiter__"):
        made["__aiter__"] = _aiter(kind)
    else:
        made["__iter__"] = _iter(kind)
    for name in ("close", "aclose"):
        if hasattr(kind, name):
            made[name] = _closing(getattr(kind, name))
    return type(kind.__name__, (_Observed, kind), made)


def _read(kind: Any) -> Any:
    def read(self: Any, amt: int | None = None) -> Any:
        try:
            data = kind.read(self, amt)
        except BaseException as error:
            self._llm_failed(error)
            raise
        self._llm_came(data, at_end=_at_end(amt, data))
        return data

    return read


def _async_read(kind: Any) -> Any:
    async def read(self: Any, amt: int | None = None) -> Any:
        try:
            data = await kind.read(self, amt)
        except BaseException as error:
            self._llm_failed(error)
            raise
        self._llm_came(data, at_end=_at_end(amt, data))
        return data

    return read


def _at_end(amt: int | None, data: bytes) -> bool:
    return amt is None or amt < 0 or (amt > 0 and not data)


def _readinto(kind: Any) -> Any:
    def readinto(self: Any, b: Any) -> Any:
        try:
            count = kind.readinto(self, b)
        except BaseException as error:
            self._llm_failed(error)
            raise
        self._llm_came(bytes(b[:count]), at_end=not count and len(b) > 0)
        return count

    return readinto


def _async_readinto(kind: Any) -> Any:
    async def readinto(self: Any, b: Any) -> Any:
        try:
            count = await kind.readinto(self, b)
        except BaseException as error:
            self._llm_failed(error)
            raise
        self._llm_came(bytes(b[:count]), at_end=not count and len(b) > 0)
        return count

    return readinto


def _iter(kind: Any) -> Any:
    def iterate(self: Any) -> Iterator[Any]:
        try:
            for event in kind.__iter__(self):
                self._llm_exchange.item(event)
                yield event
        except GeneratorExit:
            # A loop that was left may be taken up again; closing and letting go are seen elsewhere.
            raise
        except BaseException as error:
            self._llm_failed(error)
            raise
        self._llm_over("exhausted")

    return iterate


def _aiter(kind: Any) -> Any:
    async def iterate(self: Any) -> AsyncIterator[Any]:
        try:
            async for event in kind.__aiter__(self):
                self._llm_exchange.item(event)
                yield event
        except GeneratorExit:
            # As above.
            raise
        except BaseException as error:
            self._llm_failed(error)
            raise
        self._llm_over("exhausted")

    return iterate


def _closing(original: Any) -> Any:
    if inspect.iscoroutinefunction(original):

        async def aclose(self: Any) -> Any:
            try:
                return await original(self)
            finally:
                self._llm_over("closed")

        return aclose

    def close(self: Any) -> Any:
        try:
            return original(self)
        finally:
            self._llm_over("closed")

    return close


# -- which clients ------------------------------------------------------------------------------------------------------

_original: list[tuple[Any, Any]] = []


def instrument_client(
    client: C,
    log: LLMLoggerAdapter | None = None,
    *,
    pending: bool = False,
    content: bool | None = None,
) -> C:
    """Log the calls of one `bedrock-runtime` client; a second time changes nothing.

    Args:
        client: What `boto3.client("bedrock-runtime")` returned.
        log: Where it is logged; None takes `get_logger()`. Its context, and that of `scope()`, is on every line.
        pending: Whether a line is logged when a request is sent, too; calls that die with their process then show.
        content: Whether prompts and answers are kept; None leaves it to the handlers.

    Returns:
        The client itself.
    """
    meta: Any = getattr(client, "meta", None)
    if meta is None or meta.service_model.service_name != _SERVICE:
        raise ConfigurationError(
            f"instrument_client: expected a client of {_SERVICE!r}, got {type(client).__name__}",
            code=ErrorCode.INVALID_CONFIGURATION,
        )
    _Listener(log, pending=pending, content=content).listen(meta.events)
    client.__dict__[_UNIQUE] = True
    return client


def instrument(
    log: LLMLoggerAdapter | None = None, *, pending: bool = False, content: bool | None = None
) -> None:
    """Log the calls of every `bedrock-runtime` client, aiobotocore's, too; a second call changes nothing.

    Clients that exist are logged from their next call on.

    Args:
        log: See `instrument_client`.
        pending: See `instrument_client`.
        content: See `instrument_client`.

    Raises:
        ConfigurationError: botocore is not installed.
    """
    base = required(
        "BaseClient", module="botocore.client", package="botocore", brings="boto3", who="instrument"
    )
    if not _original:
        listener = _Listener(log, pending=pending, content=content)
        _wrap(base, listener)
        when_imported(
            "aiobotocore.client", lambda: _wrap(sys.modules["aiobotocore.client"].AioBaseClient, listener)
        )


def _wrap(base: Any, listener: _Listener) -> None:
    """Listen to every client of a class from its next call on; aiobotocore's class has this method of its own."""
    original = base.__dict__["_make_api_call"]

    @functools.wraps(original)
    def make_api_call(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            if self.meta.service_model.service_name == _SERVICE and _UNIQUE not in self.__dict__:
                self.__dict__[_UNIQUE] = True
                listener.listen(self.meta.events)
        except Exception:  # noqa: BLE001  a call must be made whatever happens here
            report()
        return original(self, *args, **kwargs)

    _original.append((base, original))
    base._make_api_call = make_api_call  # noqa: SLF001  the one method that every call of every client passes


def uninstrument() -> None:
    """Take `instrument` back for clients that have made no call yet."""
    while _original:
        client, original = _original.pop()
        client._make_api_call = original  # noqa: SLF001  as above
