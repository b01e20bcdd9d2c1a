"""`LLMLoggerAdapter`: a `LoggerAdapter` that binds context and logs LLM requests and chat messages.

Invariants: everything that the adapter adds to a record is under one attribute, `llm_logging`, so no field clashes with the names
that `LogRecord` owns. Fields of the call win over bound ones, bound ones over `scope()`.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any, Unpack

from pydantic import BaseModel

from ..clock import clock
from ..context import current_scope
from ..errors import ErrorCode, ValidationError
from ..models.entry import RECORD_ATTRIBUTE, ChatMessage, LLMRequestLogEntry, LogResult, Timings
from ..models.otel import EXECUTE_TOOL
from ..models.record import RecordPayload
from ..models.typed_dicts import ChatMessageFields, FailFields, LLMRequestFields, RequestFields
from ..models.validation import validate
from ..reach import sink_defaults, sinks_within_reach
from .call import LLMCall
from .call_context import attempts
from .dispatch import WAIT_SECONDS, Ack, AsyncAck, dispatch, has_sinks, require_sinks
from .pending_requests import pending_requests

__all__ = ["LLMLoggerAdapter", "alog_llm_request", "get_logger", "log_llm_request"]

DEFAULT_LOGGER = "llm"


class LLMLoggerAdapter(logging.LoggerAdapter[logging.Logger]):
    """A logger with bound context.

    Args:
        logger: The logger that does the work, or an adapter of it: what that binds is bound here, and what it does to a
            message is done.
        context: Fields bound to every line: `project_id`, `chat_id`, `user_id`, or attributes of your own.
    """

    def __init__(
        self,
        logger: logging.Logger | logging.LoggerAdapter[Any],
        context: Mapping[str, Any] | None = None,
    ) -> None:
        if context is not None and not isinstance(context, Mapping):
            raise ValidationError(f"context: expected a mapping of fields, got {type(context).__name__}")
        bound: list[Mapping[str, Any]] = [context or {}]
        self._inner: tuple[logging.LoggerAdapter[Any], ...] = ()
        while isinstance(logger, logging.LoggerAdapter):
            if isinstance(logger, LLMLoggerAdapter):
                self._inner += logger._inner  # noqa: SLF001  another of this class
            else:
                self._inner += (logger,)
            extra: Any = logger.extra
            bound.append(extra if isinstance(extra, Mapping) else {})
            logger = logger.logger
        if not isinstance(logger, logging.Logger):
            raise ValidationError(
                f"logger: expected a logging.Logger or an adapter of one, got {type(logger).__name__}"
            )
        self.context: dict[str, Any] = {
            name: value for part in reversed(bound) for name, value in part.items() if value is not None
        }
        super().__init__(logger, self.context)

    def _binding(self, context: Mapping[str, Any]) -> LLMLoggerAdapter:
        made = type(self)(self.logger, context)
        made._inner = self._inner  # noqa: SLF001  another of this class
        return made

    def bind(self, **context: Any) -> LLMLoggerAdapter:
        """Return another adapter of the same logger that binds these fields too; the newer win."""
        return self._binding({**self.context, **context})

    def unbind(self, *names: str) -> LLMLoggerAdapter:
        """Return another adapter of the same logger that no longer binds these fields."""
        return self._binding({k: v for k, v in self.context.items() if k not in names})

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Put the call's extras and the bound context on the record, under one attribute."""
        fields = kwargs.get("extra") or {}
        if not isinstance(fields, Mapping):
            fields = {"extra": fields}
        context = self._merged()
        for inner in self._inner:
            msg, kwargs = inner.process(msg, {**kwargs, "extra": dict(fields)})
            added = kwargs.get("extra")
            if isinstance(added, Mapping):
                context = {**added, **context}
        kwargs["extra"] = {RECORD_ATTRIBUTE: RecordPayload(None, fields, context=context)}
        return msg, kwargs

    def _merged(self) -> Mapping[str, Any]:
        scoped = current_scope()
        return {**scoped, **self.context} if scoped else self.context

    # -- requests ----------------------------------------------------------------------------------------------------

    def log_llm_request(
        self,
        entry: LLMRequestLogEntry | LLMRequestFields | Mapping[str, Any],
        *,
        timeout: float = WAIT_SECONDS,
    ) -> LogResult:
        """Log one finished or pending request; its line is in its file when this returns.

        A final entry with the id of a request that was started here ends that request.

        Args:
            entry: A model, or a mapping of the entry's fields; what it lacks is taken from the adapter, the scopes and
                the handler's `defaults=`. `id` and `timestamp_start` are made when absent.
            timeout: Seconds to wait for the file at most.

        Returns:
            The entry's id, whether it is in its file (False when a filter dropped it), and when it was logged.

        Raises:
            ValidationError: The entry breaks the contract; nothing was written.
            FileSystemError: The disk refused the line, also at the second try.
            ConfigurationError: No LLMFileHandler is within reach of the logger.
        """
        require_sinks(self.logger)
        ack = Ack()
        checked = self._checked(entry)
        with pending_requests.finishing(checked):
            record = self._account(checked, ack)
            ack.wait(timeout)
        return _result(checked.id, ack, record)

    async def alog_llm_request(
        self,
        entry: LLMRequestLogEntry | LLMRequestFields | Mapping[str, Any],
        *,
        timeout: float = WAIT_SECONDS,  # noqa: ASYNC109  the same name as its synchronous twin
    ) -> LogResult:
        """Log one request without blocking the event loop; see `log_llm_request`."""
        require_sinks(self.logger)
        ack = AsyncAck()
        checked = self._checked(entry)
        with pending_requests.finishing(checked):
            record = self._account(checked, ack)
            await ack.wait_async(timeout)
        return _result(checked.id, ack, record)

    def log_llm_request_start(
        self,
        entry: LLMRequestLogEntry | LLMRequestFields | Mapping[str, Any],
        *,
        timeout: float = WAIT_SECONDS,
    ) -> LogResult:
        """Log that a request was sent: a `pending` line, to be finished by its id.

        Args:
            entry: As in `log_llm_request`; its status is `pending`.
            timeout: Seconds to wait for the file at most.

        Returns:
            As `log_llm_request`; hand its `id` to `log_llm_request_complete` or `log_llm_request_error`. `logged` is False
            where no LLMFileHandler is within reach of the logger, which a warning says once.

        Raises:
            ValidationError: As `log_llm_request`; also where the entry has a final status, or its id is in use.
        """
        checked = self._checked(entry, status="pending")
        if checked.status != "pending":
            raise ValidationError(
                f"log_llm_request_start: expected status 'pending', got {checked.status!r}",
                code=ErrorCode.INVALID_STATE,
            )
        pending_requests.open(checked)
        try:
            return self._finish_call(checked, timeout)
        except BaseException:
            pending_requests.forget(checked.id)
            raise

    def log_llm_request_complete(
        self, request_id: str, *, timeout: float = WAIT_SECONDS, **fields: Unpack[LLMRequestFields]
    ) -> LogResult:
        """Log that a started request succeeded.

        Args:
            request_id: The id that `log_llm_request_start` returned.
            timeout: Seconds to wait for the file at most.
            **fields: What is known now: `usage`, `finish_reasons`, `response` ...; `timings.latency_ms` and
                `timestamp_end` are measured when absent.

        Raises:
            ValidationError: The request is final already, or was not started here and identity is not given.
        """
        return self._end(request_id, {"status": "success", **fields}, timeout)

    def log_llm_request_error(
        self,
        request_id: str,
        error: BaseException | Mapping[str, Any] | str,
        *,
        timeout: float = WAIT_SECONDS,
        **fields: Unpack[FailFields],
    ) -> LogResult:
        """Log that a started request failed; a `TimeoutError` gives the status `timeout`.

        Args:
            request_id: The id that `log_llm_request_start` returned.
            error: What went wrong.
            timeout: Seconds to wait for the file at most.
            **fields: What else is known now.

        Raises:
            ValidationError: The request is final already, or was not started here and identity is not given.
        """
        status = "timeout" if isinstance(error, TimeoutError) else "error"
        return self._end(request_id, {"status": status, "error": error, **fields}, timeout)

    def _end(self, request_id: str, fields: dict[str, Any], timeout: float) -> LogResult:
        request_id = str(request_id).lower()
        started = pending_requests.claim(request_id)
        try:
            given = _given(LLMRequestLogEntry, fields)
            timings = given.get("timings")
            if isinstance(timings, Mapping):
                given["timings"] = {**started.get("timings", {}), **_given(Timings, timings)}
            entry = self._checked({"id": request_id, **started, **given}, status="success")
            if entry.status == "pending":
                raise ValidationError(
                    "a request that ends: expected status 'success', 'error' or 'timeout', got 'pending'",
                    code=ErrorCode.INVALID_STATE,
                )
            result = self._finish_call(entry, timeout)
        except BaseException:
            pending_requests.release(request_id, started)
            raise
        return result

    def _finish_call(self, entry: LLMRequestLogEntry, timeout: float) -> LogResult:
        has_sinks(self.logger)
        ack = Ack()
        record = self._account(entry, ack)
        ack.wait(timeout)
        return _result(entry.id, ack, record)

    def _checked(
        self, entry: LLMRequestLogEntry | LLMRequestFields | Mapping[str, Any], *, status: str | None = None
    ) -> LLMRequestLogEntry:
        defaults = sink_defaults(sinks_within_reach(self.logger))
        own = _given(LLMRequestLogEntry, entry)
        if status is not None:
            own.setdefault("status", status)
        written = {"instrumentation": "log_llm_request"}
        return validate(LLMRequestLogEntry, {**written, **defaults, **self._merged(), **own})

    def _account(self, entry: LLMRequestLogEntry, ack: Ack) -> logging.LogRecord | None:
        level = logging.ERROR if entry.status in {"error", "timeout"} else logging.INFO
        payload = RecordPayload("llm_request", {}, entry=entry, ack=ack)
        text = f"{entry.model} {entry.status}"
        return dispatch(self.logger, level, text, payload, only_sinks=entry.status == "pending")

    def request(
        self,
        model: str | None = None,
        *,
        pending: bool = True,
        fallback: str | None = "default",
        **fields: Unpack[RequestFields],
    ) -> LLMCall:
        """Time one request, in a `with` or `async with` block, and log it whatever happens.

        A pending line is logged on entry and the final line, with latency, on exit; an exception is recorded
        (a timeout as `timeout`, also that of an `asyncio.timeout()` around the block) and goes on its way. Nothing here
        waits for the disk.

        Args:
            model: The model as requested; may come later, by `finish(model=...)`.
            pending: Whether to log the line on entry.
            fallback: Project and chat where none is named; None makes such a request an `invalid_entry` event.
            **fields: Any other field of the entry, or attributes of your own.

        Without an LLMFileHandler within reach of the logger, a warning says so once, and the block runs all the same.
        """
        named: Mapping[str, Any] = fields if model is None else {**fields, "model": model}
        return LLMCall(self.logger, self._merged(), named, pending=pending, fallback=fallback)

    def tool(self, name: str, **fields: Unpack[RequestFields]) -> LLMCall:
        """Time one call of a tool, in a block or as a decorator, as `request` times one of a model.

        Requests inside take it as their parent. Statistics leave tools out unless a filter asks for them:
        `where={"request_type": "tool"}`.

        Args:
            name: The tool's name; stands as `model`.
            **fields: As in `request`; `messages` for the arguments, `response` for the result.
        """
        fields.setdefault("request_type", "tool")
        fields.setdefault("operation", EXECUTE_TOOL)
        return self.request(name, pending=False, **fields)

    def call(self) -> attempts:
        """Join the requests in a block as attempts of one call, where the application itself tries again.

        Used as `with log.call():`, sync and async alike, around the loop or the decorated function (tenacity's, say) that
        sends one request until it succeeds.
        """
        return attempts()

    # -- events ------------------------------------------------------------------------------------------------------

    def log_event(
        self,
        event_type: str,
        message: str | None = None,
        *,
        level: int = logging.INFO,
        project_id: str | None = None,
        chat_id: str | None = None,
        **data: Any,
    ) -> None:
        """Log that something happened to the system, a project or a chat.

        Args:
            event_type: Its name: `project_created`, `chat_closed` ...
            message: For people; the name when absent.
            level: As in `logging`.
            project_id: The project it belongs to; else the bound one, else it is a system event.
            chat_id: The chat it belongs to.
            **data: What else to keep.
        """
        fields: dict[str, Any] = {"event_type": event_type, **data}
        self._event(level, message if message is not None else event_type, fields, project_id, chat_id)

    def log_error(
        self,
        error: BaseException | str,
        *,
        code: str | None = None,
        message: str | None = None,
        context: Mapping[str, Any] | None = None,
        project_id: str | None = None,
        chat_id: str | None = None,
        **data: Any,
    ) -> None:
        """Log an error with its stack.

        Args:
            error: The exception, whose stack is kept, or a text; then the stack of this call is kept.
            code: A code of yours; the exception's `code` or its class when absent.
            message: For people; the exception's text when absent.
            context: What was going on.
            project_id: The project it belongs to.
            chat_id: The chat it belongs to.
            **data: What else to keep.
        """
        fields: dict[str, Any] = {"event_type": "error", **data}
        if isinstance(error, BaseException):
            text = message if message is not None else _text_of(error)
            own_code = getattr(error, "code", None)
            fields["error_code"] = code or (
                str(own_code) if own_code is not None else type(error).__qualname__
            )
            fields["error_type"] = type(error).__qualname__
            fields["stack"] = "".join(traceback.format_exception(error))
        else:
            text = message if message is not None else error
            fields["error_code"] = code or "ERROR"
            fields["stack"] = "".join(traceback.format_stack()[:-1])
        if context is not None:
            fields["context"] = context
        self._event(logging.ERROR, text, fields, project_id, chat_id)

    def log_warning(
        self,
        message: str,
        *,
        code: str | None = None,
        context: Mapping[str, Any] | None = None,
        project_id: str | None = None,
        chat_id: str | None = None,
        **data: Any,
    ) -> None:
        """Log a warning; see `log_error`."""
        fields: dict[str, Any] = {"event_type": "warning", **data}
        if code is not None:
            fields["error_code"] = code
        if context is not None:
            fields["context"] = context
        self._event(logging.WARNING, message, fields, project_id, chat_id)

    def _event(
        self, level: int, message: str, fields: dict[str, Any], project_id: str | None, chat_id: str | None
    ) -> None:
        if project_id is not None:
            fields["project_id"] = project_id
        if chat_id is not None:
            fields["chat_id"] = chat_id
        # The text is data, not a format: a per cent sign in it stays one.
        self.log(level, "%s", message, extra=fields, stacklevel=3)

    def log_chat_message(
        self,
        message: ChatMessage | ChatMessageFields | Mapping[str, Any],
        *,
        timeout: float = WAIT_SECONDS,
    ) -> LogResult:
        """Log one message of a chat; its line is in the chat's file when this returns.

        Without an LLMFileHandler within reach of the logger, a warning says so once, and `logged` is False.

        Args:
            message: A model, or a mapping of its fields; `project_id` and `chat_id` may be bound.
            timeout: Seconds to wait for the file at most.

        Raises:
            ValidationError: The message breaks the contract; nothing was written.
            FileSystemError: The disk refused the line, also at the second try.
        """
        ack = Ack()
        checked = self._checked_message(message)
        record = self._post(checked, ack)
        ack.wait(timeout)
        return _result(checked.id, ack, record)

    async def alog_chat_message(
        self,
        message: ChatMessage | ChatMessageFields | Mapping[str, Any],
        *,
        timeout: float = WAIT_SECONDS,  # noqa: ASYNC109  the same name as its synchronous twin
    ) -> LogResult:
        """Log one message of a chat without blocking the event loop; see `log_chat_message`."""
        ack = AsyncAck()
        checked = self._checked_message(message)
        record = self._post(checked, ack)
        await ack.wait_async(timeout)
        return _result(checked.id, ack, record)

    def _checked_message(self, message: ChatMessage | ChatMessageFields | Mapping[str, Any]) -> ChatMessage:
        has_sinks(self.logger)
        bound = {**sink_defaults(sinks_within_reach(self.logger)), **self._merged()}
        known: dict[str, Any] = {name: bound[name] for name in ("project_id", "chat_id") if name in bound}
        return validate(ChatMessage, {**known, **_given(ChatMessage, message)})

    def _post(self, message: ChatMessage, ack: Ack) -> logging.LogRecord | None:
        payload = RecordPayload("chat_message", {}, entry=message, ack=ack)
        return dispatch(self.logger, logging.INFO, f"{message.role} message", payload)


def _text_of(error: BaseException) -> str:
    try:
        return str(error) or type(error).__qualname__
    except Exception:  # noqa: BLE001  a foreign __str__
        return type(error).__qualname__


def _given(model: type[BaseModel], entry: Any) -> dict[str, Any]:
    """Return the fields that an entry holds; a model may have been changed since it was checked."""
    if isinstance(entry, model):
        entry = dict(entry)
    if not isinstance(entry, Mapping):
        raise ValidationError(
            f"entry: expected {model.__name__} or a mapping of its fields, got {type(entry).__name__}"
        )
    return {
        key: _given(type(value), value) if isinstance(value, BaseModel) else value
        for key, value in entry.items()
        if value is not None
    }


def _result(entry_id: str, ack: Ack, record: logging.LogRecord | None) -> LogResult:
    created = clock().created(record.created) if record is not None else clock().now().timestamp()
    return LogResult(id=entry_id, logged=ack.taken, timestamp=datetime.fromtimestamp(created, UTC))


def get_logger(name: str | None = None, **context: Any) -> LLMLoggerAdapter:
    """Return an adapter of the logger `name` with bound context.

    Args:
        name: As in `logging.getLogger`; None takes the logger `llm`.
        **context: Fields bound to every line: `project_id`, `chat_id`, `user_id`, or attributes of your own.
    """
    if name is not None and not isinstance(name, str):
        raise ValidationError(f"name: expected a text, as logging.getLogger, got {type(name).__name__}")
    return LLMLoggerAdapter(logging.getLogger(name if name is not None else DEFAULT_LOGGER), context)


def log_llm_request(
    entry: LLMRequestLogEntry | LLMRequestFields | Mapping[str, Any], *, timeout: float = WAIT_SECONDS
) -> LogResult:
    """Log one request on the default logger; see `LLMLoggerAdapter.log_llm_request`."""
    return get_logger().log_llm_request(entry, timeout=timeout)


async def alog_llm_request(
    entry: LLMRequestLogEntry | LLMRequestFields | Mapping[str, Any],
    *,
    timeout: float = WAIT_SECONDS,  # noqa: ASYNC109  the same name as its synchronous twin
) -> LogResult:
    """Log one request on the default logger without blocking the event loop."""
    return await get_logger().alog_llm_request(entry, timeout=timeout)
