"""One request being timed: start, first token, finish, fail, stream.

Invariants: the final line is logged exactly once; durations come from the monotonic clock and `timestamp_end` is start
plus duration; what goes wrong in here never reaches the application, and the application's exceptions always do. What
the application says beats what its response says. A request left before its first chunk is `cancelled`; one left
after it succeeded, with `partial` usage.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from ..clock import clock
from ..context import current_scope
from ..failing import show_failure
from ..schema import RecordPayload
from .deadlines import ask_whether_timed_out
from .decorated import decorated
from .dispatch import dispatch, require_sinks
from .failures import failure_of, is_cancellation
from .fold import Extraction, ResponseFold
from .stream import AsyncWatchedStream, Ending, WatchedStream
from .surroundings import current_call_id, running
from .usage import extract

__all__ = ["LLMCall", "current_call_id"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class LLMCall:
    """One attempt of one request; made by `LLMLoggerAdapter.request`.

    A context manager, `with` and `async with` alike, and a decorator: then each call of the function is a request of
    its own, what it returns is the response, and what it yields is streamed.

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
        self._fields: dict[str, Any] = _said(fields)
        self._learned: dict[str, Any] = {}
        self.id: str = str(self._fields.pop("id", None) or clock().new_id())
        self._pending = pending
        self._fallback_id = fallback
        self._began: float | None = None
        self._start: Any = None
        self._first: float | None = None
        self._arrived = False
        self._ended: float | None = None
        self._left: str | None = None
        self._logged = False
        self._cancelled: BaseException | None = None
        self._inside = False
        self._streams: list[_Watcher] = []
        self._running: running | None = None

    # -- what the application says ------------------------------------------------------------------------------------

    def first_token(self) -> None:
        """Note that the first token arrived now; only the first note counts."""
        self._arrived = True
        if self._first is None:
            self._first = clock().monotonic()

    def finish(self, response: Any = None, **fields: Any) -> None:
        """Note that the answer is complete now.

        Args:
            response: The provider's response: usage, model, id, finish reasons, tier and cost are read from it.
            **fields: Fields of the entry that you know better; they win. None says nothing, as everywhere.
        """
        self._ended = clock().monotonic()
        if response is not None:
            self.learn(extract(response))
        self._fields.update(_said(fields))

    def fail(self, error: BaseException | Mapping[str, Any] | str, **fields: Any) -> None:
        """Note that the request failed now, where no exception leaves the block.

        Args:
            error: What went wrong; exceptions of known SDKs give status, HTTP status and code.
            **fields: Fields of the entry, `http_status` for example.
        """
        self._ended = clock().monotonic()
        self._learned.update(self._failure(error))
        self._fields.update(_said(fields))

    def note(self, **fields: Any) -> None:
        """Add fields to the final line without ending the request."""
        self._fields.update(_said(fields))

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
        self._fields.setdefault("stream", True)
        watcher = _Watcher(self)
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

        Raises:
            ConfigurationError: No LLMFileHandler is within reach of the logger.
        """
        require_sinks(self._logger)
        self._start = clock().now()
        self._began = clock().monotonic()
        parent = current_call_id()
        if parent is not None:
            self._fields.setdefault("parent_id", parent)
        if self._pending and (self._fields.get("model") or self._context.get("model")):
            # Without a model there is nothing yet that a line could say.
            self._log({**self._fields, "status": "pending"}, logging.INFO)

    def end(self) -> None:
        """Log the final line, if it is not logged yet."""
        self._close()

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
            self._learned.update(self._failure(error))
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

    def _stream_ended(
        self, watcher: _Watcher, found: Extraction, how: Ending, error: BaseException | None
    ) -> None:
        self._streams.remove(watcher)
        self.settle(found, how, error)
        if not self._inside and not self._streams:
            self._close()

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
        if error is not None and how == "failed":
            self._learned.update(self._failure(error))
        elif how != "exhausted" or not found.complete:
            if how != "exhausted" and not self._arrived:
                self._learned.update(_CANCELLED if error is None else self._failure(error))
            elif not found.complete:
                self._left = "incomplete" if how == "exhausted" else how

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
        # Not kept: an exception holds the frames that hold this request.
        error, self._cancelled = self._cancelled, None
        if error is None or not ask_whether_timed_out(error, self._cancelled_by):
            self._log_end()

    def _cancelled_by(self, timed_out: bool) -> None:
        """Log the end of a cancelled request, once it is known who cancelled it."""
        if timed_out:
            self._learned.update(_TIMED_OUT)
        self._log_end()

    def _log_end(self) -> None:
        if self._began is None:
            return
        ended = self._ended if self._ended is not None else clock().monotonic()
        elapsed = max(0.0, ended - self._began)
        stated = self._learned.pop("provider_first_token", None)
        fields = {**self._learned, **self._fields}
        if self._left is not None:
            fields.setdefault("stream_ended", self._left)
        fields.setdefault("timestamp_end", self._start + timedelta(seconds=elapsed))
        timings = fields.get("timings")
        measured: dict[str, Any] = {"latency_ms": elapsed * 1000}
        if self._first is not None:
            measured["time_to_first_token_ms"] = max(0.0, self._first - self._began) * 1000
        elif stated is not None:
            measured["time_to_first_token_ms"] = stated
        if timings is None or isinstance(timings, Mapping):
            fields["timings"] = {**measured, **(timings or {})}
        failed = fields.get("error") is not None or fields.get("status") in {"error", "timeout"}
        self._log(fields, logging.ERROR if failed else logging.INFO)

    def _log(self, fields: dict[str, Any], level: int) -> None:
        fields["id"] = self.id
        fields.setdefault("instrumentation", "log.request")
        fields.setdefault("timestamp_start", self._start)
        name = self._fallback_id
        fallback = {"project_id": name, "chat_id": name} if name is not None else None
        payload = RecordPayload("llm_request", fields, context=self._context, fallback=fallback)
        status = fields.get("status") or ("error" if level >= logging.ERROR else "success")
        try:
            dispatch(self._logger, level, f"{fields.get('model', 'unknown model')} {status}", payload)
        except Exception as error:  # noqa: BLE001  a filter of the user's that raises must not end the user's request
            show_failure(error)

    def _failure(self, error: BaseException | Mapping[str, Any] | str) -> dict[str, Any]:
        left = error if isinstance(error, BaseException) and is_cancellation(error) else None
        if left is not None and self._arrived:
            # Someone has had the first chunk: what was spent was used.
            self._left = "cancelled"
            return {"status": "success"}
        self._left = None
        self._cancelled = left
        return failure_of(error)

    def _again(self) -> LLMCall:
        context = {**current_scope(), **self._context}
        return LLMCall(self._logger, context, self._fields, pending=self._pending, fallback=self._fallback_id)


def _said(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is None: `finish(response, usage=maybe)` must not throw away what the response has."""
    return {name: value for name, value in fields.items() if value is not None}


_CANCELLED: dict[str, Any] = {"status": "error", "error": {"code": "cancelled"}}
_TIMED_OUT: dict[str, Any] = {"status": "timeout", "error": {"code": "timeout", "type": "TimeoutError"}}


class _Watcher:
    """Fold the chunks of one stream for its call."""

    __slots__ = ("_call", "_fold", "_open")

    def __init__(self, call: LLMCall) -> None:
        self._call = call
        self._fold = ResponseFold(stream=True)
        self._open = True

    def item(self, item: Any) -> None:
        """Note a chunk."""
        try:
            content = self._fold.add(item)
        except Exception:  # noqa: BLE001  a chunk that cannot be read must not stop the stream
            content = None
        self._call.chunk_arrived(content=content is not False)

    def ended(self, how: Ending, error: BaseException | None = None) -> None:
        """Note the end, once."""
        if self._open:
            self._open = False
            self._call._stream_ended(self, self._fold.result(), how, error)  # noqa: SLF001  one thing in two classes
