"""Log the calls of Bedrock that boto3 makes: Converse and InvokeModel, whole and streamed.

    client = instrument_client(boto3.client("bedrock-runtime"))   # this client
    instrument()                                                  # every client made later

It listens to botocore's own events, so retries are seen one by one, and what boto3 returns keeps its type.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from ..clock import clock
from ..errors import ConfigurationError, ErrorCode
from ..logger.adapter import LLMLoggerAdapter
from ..logger.stream import when_abandoned
from ..usage.extract import extract
from ..usage.routes import Route
from ..usage.sdk_errors import is_cancellation
from .capture.exchange import Exchange
from .capture.nesting import covered
from .capture.observation import Observation, guarded, report, wants_content
from .capture.optional import required
from .capture.request_body import asked, messages_of
from .capture.retries import Attempt

__all__ = ["instrument", "instrument_client", "uninstrument"]

C = TypeVar("C")

_SERVICE = "bedrock-runtime"
_UNIQUE = "llm_logging"
_OPERATIONS = frozenset({"Converse", "ConverseStream", "InvokeModel", "InvokeModelWithResponseStream"})


class _Call:
    """One call of the client, with its attempts; lies in botocore's request context."""

    __slots__ = ("attempt", "content", "exchange", "messages", "model", "route", "stream")

    def __init__(self, model: str, *, stream: bool, content: bool, messages: list[Any] | None) -> None:
        self.model = model
        self.stream = stream
        self.content = content
        self.messages = messages
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
        messages = None
        if content:
            body = params.get("body")
            told = body.encode() if isinstance(body, str) else body
            if body is None:
                messages = messages_of(params)
            elif isinstance(told, bytes):
                messages = asked(told, content=True).messages
        context[_UNIQUE] = _Call(
            str(params.get("modelId") or "unknown"),
            stream=model.name.endswith("Stream"),
            content=content,
            messages=messages,
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
            messages=call.messages,
        )
        if observation is None:
            call.exchange = None
            return
        if not call.attempt.group:
            call.attempt.group = observation.id
            observation.note(request_group=observation.id)
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
        call.exchange.answered(status, headers, call.route, stream=call.stream, content=call.content)
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
                if watched is not None:
                    parsed[name] = watched
                    return
        call.exchange.settle(extract(parsed, keep_text=call.content))

    @guarded
    def raised(self, exception: BaseException, context: dict[str, Any], **_: Any) -> None:
        """Note that the call failed for good."""
        call: _Call | None = context.get(_UNIQUE)
        if call is not None and call.exchange is not None:
            call.exchange.ended("cancelled" if is_cancellation(exception) else "failed", exception)


def _watched(stream: Any, exchange: Exchange) -> Any:
    for made in _classes():
        if isinstance(stream, made.__mro__[1]):
            return made(stream, exchange)
    return None


@functools.cache
def _classes() -> tuple[type[Any], type[Any]]:
    """Make the two classes of streams, which are still botocore's own; it is imported only here."""
    event_stream: Any = importlib.import_module("botocore.eventstream").EventStream
    streaming_body: Any = importlib.import_module("botocore.response").StreamingBody

    class LoggedEventStream(event_stream):  # type: ignore[misc]  # botocore has no types
        def __init__(self, inner: Any, exchange: Exchange) -> None:
            self.__dict__.update(inner.__dict__)
            self._llm_exchange = exchange
            self._llm_abandoned = when_abandoned(self, functools.partial(exchange.ended, "left"))

        def __iter__(self) -> Iterator[Any]:
            exchange = self._llm_exchange
            try:
                for event in super().__iter__():
                    exchange.item(event)
                    yield event
            except GeneratorExit:
                # A loop that was left may be taken up again; closing and letting go are seen elsewhere.
                raise
            except BaseException as error:
                self._llm_abandoned.detach()
                exchange.ended("cancelled" if is_cancellation(error) else "failed", error)
                raise
            self._llm_abandoned.detach()
            exchange.ended("exhausted")

        def close(self) -> None:
            try:
                super().close()
            finally:
                self._llm_abandoned.detach()
                self._llm_exchange.ended("closed")

    class LoggedStreamingBody(streaming_body):  # type: ignore[misc]  # botocore has no types
        def __init__(self, inner: Any, exchange: Exchange) -> None:
            super().__init__(inner._raw_stream, inner._content_length)  # noqa: SLF001  its own constructor's arguments
            self._llm_exchange = exchange
            self._llm_abandoned = when_abandoned(self, functools.partial(exchange.ended, "left"))

        def read(self, amt: int | None = None) -> Any:
            try:
                data = super().read(amt)
            except BaseException as error:
                self._llm_abandoned.detach()
                self._llm_exchange.ended("cancelled" if is_cancellation(error) else "failed", error)
                raise
            self._llm_exchange.bytes_arrived(data)
            if amt is None or (amt > 0 and not data):
                self._llm_abandoned.detach()
                self._llm_exchange.ended("exhausted")
            return data

        def readinto(self, b: Any) -> Any:
            count = super().readinto(b)
            self._llm_exchange.bytes_arrived(bytes(b[:count]))
            if not count:
                self._llm_abandoned.detach()
                self._llm_exchange.ended("exhausted")
            return count

        def close(self) -> None:
            try:
                super().close()
            finally:
                self._llm_abandoned.detach()
                self._llm_exchange.ended("closed")

    return LoggedEventStream, LoggedStreamingBody


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
    return client


def instrument(
    log: LLMLoggerAdapter | None = None, *, pending: bool = False, content: bool | None = None
) -> None:
    """Log the calls of every `bedrock-runtime` client made from now on; a second call changes nothing.

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
    if _original:
        return
    original = base.__init__

    @functools.wraps(original)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        try:
            if self.meta.service_model.service_name == _SERVICE:
                instrument_client(self, log, pending=pending, content=content)
        except Exception:  # noqa: BLE001  a client must be made whatever happens here
            report()

    _original.append((base, original))
    base.__init__ = init


def uninstrument() -> None:
    """Take `instrument` back for clients made from now on."""
    while _original:
        client, original = _original.pop()
        client.__init__ = original
