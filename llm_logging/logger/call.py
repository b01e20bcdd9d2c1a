"""`LLMCall`: one request while it runs. It takes the time, reads the response, and logs the lines.

Invariants: the final line is logged once, and once more with the same id for what is noted after the block. Durations come from
the monotonic clock; `timestamp_end` is start plus duration. Errors of logging never reach the application; the application's
exceptions always do. Fields given by the application win over those read from its response. A request left before its first chunk
is `cancelled`; left later it is a success with `partial` usage, or a `timeout` where a deadline ended it. An object that is used
again is another request.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, overload

from ..clock import clock
from ..context import current_scope
from ..errors import ErrorCode, ValidationError
from ..failure_report import report_misuse, show_failure
from ..models.record import RecordPayload
from ..models.statuses import final_status
from ..models.typed_dicts import FailFields, FinishFields, LLMRequestFields
from ..usage.accumulator import Extraction
from ..usage.sdk_errors import failure_of, is_cancellation
from .call_context import CONTAINERS, current_attempts, current_call_id, running
from .decorator import decorated
from .dispatch import caller, dispatch, has_sinks
from .observer import Doubt, Watcher
from .response_check import INVALID_RESPONSE, Answer, read_answer
from .stream import AsyncWatchedStream, Ending, WatchedStream
from .timeouts import ask_whether_timed_out

__all__ = ["LLMCall", "current_call_id"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class LLMCall:
    """One attempt of one request; made by `LLMLoggerAdapter.request`.

    A context manager, `with` and `async with` alike, and a decorator: then each call of the function is a request of
    its own, what it returns is the response, and what it yields is streamed. Each `with` is a request of its own, and so is
    each further response or stream in one block. Two blocks of one object at a time are an error.

    Attributes:
        id: The id of its lines, known from the start.
    """

    def __init__(
        self,
        logger: logging.Logger,
        context: Mapping[str, Any],
        fields: Mapping[str, Any],
        *,
        pending: bool = True,
        fallback: str | None = "default",
    ) -> None:
        self._logger = logger
        self._context = context
        self._pending = pending
        self._fallback_id = fallback
        self._begin_anew(_said(fields))

    def _begin_anew(self, fields: dict[str, Any]) -> None:
        self._fields = self._given = fields
        self.id: str = str(self._fields.pop("id", None) or clock().new_id())
        self._learned: dict[str, Any] = {}
        self._invalid: dict[str, Any] = {}
        self._answer: Any = None
        self._began: float | None = None
        self._start: Any = None
        self._first: float | None = None
        self._arrived = False
        self._ended: float | None = None
        self._left: str | None = None
        self._logged = False
        self._whole = False
        self._doubt: Doubt | None = None
        self._inside = False
        self._streams: list[Watcher] = []
        self._running: running | None = None

    # -- what the application says ------------------------------------------------------------------------------------

    def first_token(self) -> None:
        """Note that the first token arrived now; only the first note counts."""
        self._arrived = True
        if self._first is None:
            self._first = clock().monotonic()

    def finish(self, response: Any = None, **fields: Unpack[FinishFields]) -> None:
        """Note that the answer is complete now.

        Args:
            response: The provider's response: usage, model, id, finish reasons, tier and cost are read from it. A stream or
                a coroutine is none: the request is then an error; an exception is taken as by `fail`.
            **fields: Fields of the entry that you know better; they win. None says nothing, as everywhere.
        """
        if isinstance(response, BaseException):
            more: dict[str, Any] = {name: value for name, value in fields.items() if name != "error"}
            self.fail(response, **more)
            return
        answer = read_answer(response)
        said = _said(fields)
        self._find_place("finish", another=self._is_another(response, answer.found))
        if not self._logged:
            self._ended = clock().monotonic()
        if response is not None:
            self._answer = response
            self._take(answer)
        elif "usage" in said and self._fields.get("usage", said["usage"]) != said["usage"]:
            self._note_invalid("finish", "called again with another usage; the last one counts")
        self._fields.update(said)
        self._leave_place()

    def fail(self, error: BaseException | Mapping[str, Any] | str, **fields: Unpack[FailFields]) -> None:
        """Note that the request failed now, where no exception leaves the block.

        Args:
            error: What went wrong; exceptions of known SDKs give status, HTTP status and code.
            **fields: Fields of the entry, `http_status` for example.
        """
        self._find_place("fail")
        if not self._logged:
            self._ended = clock().monotonic()
        self._note_failure(error)
        self._fields.update(_said(fields))
        self._leave_place()

    def note(self, **fields: Unpack[LLMRequestFields]) -> None:
        """Add fields to the final line without ending the request."""
        self._fields.update(_said(fields))
        if self._logged:
            self._find_place("note")
            self._leave_place()

    def describe_messages(self, describe: Callable[[Any], Any]) -> None:
        """Put other messages in the place of the prompt, where there is one.

        Args:
            describe: From the messages to others.
        """
        messages = self._fields.get("messages")
        if messages is not None:
            self._fields["messages"] = describe(messages)

    def learn(self, found: Extraction) -> None:
        """Take what a response says about itself; what the application says still wins.

        Args:
            found: What was read from it.
        """
        learned = self._learned
        for name in ("response_model", "provider_response_id", "finish_reasons", "service_tier", "cost"):
            value = getattr(found, name)
            if value is not None:
                learned[name] = value
        if found.counted is not None:
            learned["usage"] = found.counted
        elif found.unread is not None:
            # Kept as it is: the entry's own check says that it was not understood.
            learned["usage"] = found.unread
        if found.response_model is not None:
            learned["model"] = found.response_model
        if found.error is not None:
            error = found.error
            if error.code is None and error.type is not None:
                # As for a refusal: what has no code of its own is counted by its type.
                error = error.model_copy(update={"code": error.type})
            learned["error"] = error
        if found.time_to_first_token_ms is not None:
            learned["provider_first_token"] = found.time_to_first_token_ms
        if found.refused:
            self._fields.setdefault("refused", True)
        if found.blocked is not None:
            self._fields.setdefault("block_reason", found.blocked)
        if found.provider_latency_ms is not None:
            self._fields.setdefault("provider_latency_ms", found.provider_latency_ms)

    @overload
    def stream(self, source: AsyncIterable[T]) -> AsyncWatchedStream[T]: ...
    @overload
    def stream(self, source: Iterable[T]) -> WatchedStream[T]: ...
    def stream(self, source: Any) -> Any:
        """Watch a streamed answer: every chunk passes untouched and at once.

        The first token, usage and the end are noted: when it is exhausted, closed, left by `break`, cancelled, garbage
        collected, or fails. A stream may outlive the block that it was made in; its line then comes when it ends.

        Args:
            source: What the SDK returned: an iterable or an asynchronous one.

        Returns:
            An iterator of the same chunks, which also has whatever else the source has.
        """
        if self._began is None:
            self.start()
        elif not self._streams and self._learned.get("usage") is not None:
            self._next()
        self._fields.setdefault("stream", True)
        watcher = Watcher(self)
        self._streams.append(watcher)
        if hasattr(type(source), "__aiter__"):
            return AsyncWatchedStream(source, watcher)
        return WatchedStream(source, watcher)

    def __call__(self, fn: F) -> F:
        """Log every call of a function as a request of its own; see the class."""
        return decorated(fn, self._again)

    # -- how it runs --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Note that the request is sent now, and log its pending line.

        Without an LLMFileHandler within reach of the logger, a warning says so once; the request goes on all the same.

        Raises:
            ValidationError: This request is still open, in another task or an outer block.
        """
        if self._began is not None:
            if self._inside:
                message = "log.request: expected one `with` at a time, this request is still open: make one for each call"
                raise ValidationError(message, code=ErrorCode.INVALID_STATE)
            self._renew()
        has_sinks(self._logger)
        self._given = dict(self._fields)
        self._start = clock().now()
        self._began = clock().monotonic()
        parent = current_call_id()
        if parent is not None:
            self._fields.setdefault("parent_id", parent)
        joined = current_attempts()
        if joined is not None and self._fields.get("request_type") not in CONTAINERS:
            self._fields["request_group"], self._fields["attempt"] = joined.add(self.id)
        if self._pending and (self._fields.get("model") or self._context.get("model")):
            # Without a model there is nothing yet that a line could say.
            self._log({**self._fields, "status": "pending"}, logging.INFO)

    def end(self) -> None:
        """Log the final line, if it is not logged yet."""
        self._close()

    @property
    def request_group(self) -> str | None:
        """What joins the attempts of its call; None where that is not known."""
        group: str | None = self._fields.get("request_group")
        return group

    def running(self) -> running:
        """Return what the code inside of this request sees, a context manager."""
        return running(self.id, self._fields.get("request_type"))

    def __enter__(self) -> Self:
        self.start()
        self._inside = True
        self._running = self.running()
        self._running.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._running is not None:
            self._running.__exit__(kind, error, trace)
        if error is not None:
            for stream in list(self._streams):
                stream.ended("cancelled" if is_cancellation(error) else "failed", error)
            if self._ended is None:
                self._ended = clock().monotonic()
            self._note_failure(error)
        self._inside = False
        if not self._streams:
            # A stream that was handed on ends the request when it ends.
            self._close()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def chunk_arrived(self, *, content: bool) -> None:
        """Note that a chunk of a stream arrived.

        Args:
            content: Whether it carries anything generated; the first that does is the first token.
        """
        self._arrived = True
        if content and self._first is None:
            self._first = clock().monotonic()

    def stream_ended(
        self, watcher: Watcher, found: Extraction, how: Ending, error: BaseException | None
    ) -> None:
        """Take what a stream said, once it has ended."""
        self._streams.remove(watcher)
        self.settle(found, how, error)
        if not self._inside and not self._streams:
            self._leave_place()

    def settle(self, found: Extraction, how: Ending, error: BaseException | None = None) -> None:
        """Note how the answer ended, and what it said.

        Args:
            found: What it said.
            how: How it ended.
            error: Why it failed, if it did.
        """
        if self._ended is None:
            self._ended = clock().monotonic()
        self.learn(found)
        self._whole = found.complete and (how == "exhausted" or bool(found.finish_reasons))
        if error is not None and how == "failed":
            self._note_failure(error)
        elif how != "exhausted" and not self._arrived:
            if error is None:
                self._learned.update(_CANCELLED)
            else:
                self._note_failure(error)
        else:
            if not found.complete:
                self._left = "incomplete" if how == "exhausted" else how
            if how != "exhausted":  # one that is closed on the way out of a cancelled block is not told why
                self._ask_about(error if error is not None else sys.exception())

    def hold(self, found: Extraction, key: str) -> None:
        """Note that the answer is being made elsewhere, and log that as a pending line; `settle` and `end` follow.

        Args:
            found: What is known by now.
            key: The id of its lines from now on, where none was logged yet.
        """
        self.learn(found)
        if not self._pending:
            if self._fields.get("request_group") == self.id:
                self._fields["request_group"] = key
            self.id = key
        self._log({**self._learned, **self._fields, "status": "pending"}, logging.INFO)

    def _close(self) -> None:
        if self._logged or self._began is None:
            return
        self._logged = True
        if self._doubt is None:
            self._log_end()

    def _log_end(self) -> None:
        if self._began is None:
            return
        ended = self._ended if self._ended is not None else clock().monotonic()
        elapsed = max(0.0, ended - self._began)
        fields = {**self._learned, **self._fields}
        stated = fields.pop("provider_first_token", None)
        if self._left is not None:
            fields.setdefault("stream_ended", self._left)
        if self._invalid:
            own = fields.get("attributes")
            fields["attributes"] = {**(own if isinstance(own, Mapping) else {}), "invalid": self._invalid}
        fields.setdefault("timestamp_end", self._start + timedelta(seconds=elapsed))
        timings = fields.get("timings")
        measured: dict[str, Any] = {"latency_ms": elapsed * 1000}
        if self._first is not None:
            measured["time_to_first_token_ms"] = max(0.0, self._first - self._began) * 1000
        elif stated is not None:
            measured["time_to_first_token_ms"] = stated
        if timings is None or isinstance(timings, Mapping):
            fields["timings"] = {**measured, **(timings or {})}
        failed = fields.get("error") is not None or final_status(fields) in {"error", "timeout"}
        self._log(fields, logging.ERROR if failed else logging.INFO)

    # -- used outside of its block, or again --------------------------------------------------------------------------

    def _find_place(self, method: str, *, another: bool = False) -> None:
        """See to it that there is a request that what is noted belongs to.

        Args:
            method: What was called.
            another: It is the answer of another request.
        """
        if self._began is None:
            report_misuse(
                _place(),
                f"{method}() outside of the request's `with`: it is logged, its latency is not known",
            )
            self._pending = False
            self.start()
        elif another:
            self._next()
        elif self._logged:
            report_misuse(
                _place(), f"{method}() after the request's `with`: its line is logged again, with the same id"
            )

    def _leave_place(self) -> None:
        """Log what was noted outside of the block."""
        if self._inside or self._streams:
            return
        if not self._logged:
            self._close()
        elif self._doubt is None:
            self._log_end()

    def _is_another(self, response: Any, found: Extraction) -> bool:
        """Say whether an answer is another one than that which this request has already."""
        known = self._learned
        if found.counted is None or known.get("usage") is None or response is self._answer:
            return False
        ids = known.get("provider_response_id"), found.provider_response_id
        if None in ids:
            # What `finish` is given after a stream is the stream's own final response.
            return self._answer is not None
        if ids[0] != ids[1]:
            return True
        # Servers reuse ids; a running total of one answer has no finish reason until the end.
        counts = [{name: one.get(name) for name in _COUNTS} for one in (known["usage"], found.counted)]
        return known.get("finish_reasons") is not None and counts[0] != counts[1]

    def _next(self) -> None:
        """Begin another request in the same place; the one before is logged."""
        inside, around = self._inside, self._running
        self._inside = False
        self._close()
        self.start()
        self._inside, self._running = inside, around

    def _renew(self) -> None:
        """Become another request, made with the same fields; what still goes on of this one does so by itself."""
        past: LLMCall = object.__new__(type(self))
        past.__dict__.update(self.__dict__)
        for watcher in past._streams:
            watcher.call = past
        if past._doubt is not None:
            past._doubt.call = past
        self._context = {**current_scope(), **self._context}
        self._begin_anew(dict(self._given))

    # -- what went wrong ----------------------------------------------------------------------------------------------

    def _take(self, answer: Answer) -> None:
        self.learn(answer.found)
        if answer.http_status is not None:
            self._learned["http_status"] = answer.http_status
        if answer.state is not None:
            self._learned["status"] = answer.state
        if answer.invalid is not None:
            self._note_invalid("response", answer.invalid)
        if answer.missing:
            self._learned.update(status="error", error={"code": INVALID_RESPONSE, "message": answer.invalid})

    def _note_invalid(self, name: str, text: str) -> None:
        report_misuse(_place(), f"finish(): got {text}" if name == "response" else f"{name}(): {text}")
        self._invalid[name] = text

    def _note_failure(self, error: BaseException | Mapping[str, Any] | str) -> None:
        if not isinstance(error, BaseException) or not is_cancellation(error):
            if self._doubt is not None:
                self._doubt.call = None
                self._doubt = None
            self._left = None
            self._learned.update(failure_of(error))
        elif self._arrived:
            # Someone has had the first chunk: what was spent was used.
            self._left = "cancelled"
            self._learned["status"] = "success"
            self._ask_about(error)
        else:
            self._left = None
            self._learned.update(failure_of(error))
            self._ask_about(error)

    def _ask_about(self, error: BaseException | None) -> None:
        """Find out whether a cancellation is a deadline's, as soon as it comes: it may be taken back at once."""
        if self._doubt is not None or self._whole or error is None or not is_cancellation(error):
            return
        self._doubt = doubt = Doubt(self)
        if not ask_whether_timed_out(error, doubt.resolve):
            self._doubt = None

    def cancelled_by(self, timed_out: bool) -> None:
        """Take the answer to `_ask_about`; a request that has ended by then was waiting for it."""
        self._doubt = None
        if timed_out:
            self._learned.update(_TIMED_OUT)
            self._left = None if self._left is None else "timeout"
        if self._logged:
            self._log_end()

    def _log(self, fields: dict[str, Any], level: int) -> None:
        fields["id"] = self.id
        fields.setdefault("instrumentation", "log.request")
        fields.setdefault("timestamp_start", self._start)
        name = self._fallback_id
        fallback = {"project_id": name, "chat_id": name} if name is not None else None
        payload = RecordPayload("llm_request", fields, context=self._context, fallback=fallback)
        status = "pending" if fields.get("status") == "pending" else final_status(fields)
        try:
            text = f"{fields.get('model', 'unknown model')} {status}"
            dispatch(self._logger, level, text, payload, only_sinks=status == "pending")
        except Exception as error:  # noqa: BLE001  a filter of the user's that raises must not end the user's request
            show_failure(error)

    def _again(self) -> LLMCall:
        context = {**current_scope(), **self._context}
        return LLMCall(self._logger, context, self._fields, pending=self._pending, fallback=self._fallback_id)


def _said(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is None: `finish(response, usage=maybe)` must not throw away what the response has."""
    return {name: value for name, value in fields.items() if value is not None}


def _place() -> str:
    file, line, _ = caller()
    return f"{file}:{line}"


_COUNTS = ("prompt_tokens", "completion_tokens")
_CANCELLED: dict[str, Any] = {"status": "error", "error": {"code": "cancelled"}}
_TIMED_OUT: dict[str, Any] = {"status": "timeout", "error": {"code": "timeout", "type": "TimeoutError"}}
