"""Turn GenAI spans of any instrumentor into entries, and entries into their attributes.

    provider.add_span_processor(LLMSpanProcessor())

Spans in the semantic conventions for generative AI, old and new, in OpenInference's and in traceloop's are read. Only
requests to a model become entries: agents, tools and workflows hold such requests, and their sums would count twice. A
span that a request was logged inside of (an SDK's span inside of a framework's, a transport's request) is that request
and is not logged again, unless it alone knows the usage. An open span silences nothing.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from ..context import active_trace_ids
from ..errors import ConfigurationError, ErrorCode
from ..logger.adapter import LLMLoggerAdapter
from ..models.entry import LLMRequestLogEntry
from ..models.otel import entry_fields, is_inference, otel_attributes
from ..models.validation import validate
from ..runtime.threads import Exclusive
from ..usage.accumulator import Extraction
from .capture.nesting import covered, unwatch_spans, watch_spans
from .capture.observation import Observation, guarded

__all__ = ["LLMSpanProcessor", "to_otel"]

try:
    _Base: Any = importlib.import_module("opentelemetry.sdk.trace").SpanProcessor
except ImportError:
    # `to_otel` needs nothing of OpenTelemetry's.
    _Base = object

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_Key = tuple[int, int]
# A span that never ends must not be kept for ever.
_MOST_OPEN = 20_000
_MOST_HEADS = 1_000


def to_otel(entry: LLMRequestLogEntry | Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry as attributes of a span, in the current names of the conventions.

    Args:
        entry: The entry, or its fields.

    Returns:
        Attributes whose values are texts, numbers, booleans or lists of texts.
    """
    if not isinstance(entry, LLMRequestLogEntry):
        entry = validate(LLMRequestLogEntry, entry)
    return otel_attributes(entry.line_fields())


class LLMSpanProcessor(_Base):  # type: ignore[misc]  # the SDK need not be there to check types
    """A span processor that logs every request to a model.

    Args:
        log: Where it is logged; None takes `get_logger()`. Its context, and that of `scope()`, is on every line.

    Raises:
        ConfigurationError: The OpenTelemetry SDK is not installed.
    """

    def __init__(self, log: LLMLoggerAdapter | None = None) -> None:
        if _Base is object:
            raise ConfigurationError(
                "LLMSpanProcessor: expected the OpenTelemetry SDK, it is not installed; pip install opentelemetry-sdk "
                "brings it",
                code=ErrorCode.MISSING_DEPENDENCY,
            )
        super().__init__()
        self._log = log
        # Spans that have not ended.
        self._open: dict[_Key, _OpenSpan] = {}
        self._heads: list[_Head] = []
        self._exclusive = Exclusive()
        watch_spans(self._current)

    def on_start(self, span: Any, parent_context: Any = None) -> None:  # noqa: ARG002  named by the SDK
        """Note that a span has begun."""
        self._begun(span)

    def on_end(self, span: Any) -> None:
        """Log a span that was a request to a model."""
        self._ended(span)

    def shutdown(self) -> None:
        """Forget the spans that never ended."""
        self._exclusive.call(self._forget)
        unwatch_spans(self._current)

    def _forget(self) -> None:
        self._open.clear()
        self._heads.clear()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002  named by the SDK
        """Say that nothing is held back: handlers have every line as soon as its span ends."""
        return True

    @guarded
    def _begun(self, span: Any) -> None:
        # Who is logging further out is only known now; the span may end elsewhere.
        opened = _OpenSpan(span, None if span.parent is None else _key(span.parent), silent=covered())
        self._exclusive.call(self._note_begin, _key(span.get_span_context()), opened)

    def _note_begin(self, key: _Key, opened: _OpenSpan) -> None:
        self._open[key] = opened
        if len(self._open) > _MOST_OPEN:
            del self._open[next(iter(self._open))]

    @guarded
    def _ended(self, span: Any) -> None:
        key = _key(span.get_span_context())
        attributes = span.attributes or {}
        opened = self._open.pop(key, None)
        outer = self._request_around(None if span.parent is None else _key(span.parent))
        if not is_inference(attributes) or (opened is not None and opened.silent):
            return
        fields = entry_fields(attributes)
        if attributes.get("logfire.span_type") == "log" and self._is_end_of_stream(span, attributes, fields):
            return
        inner = None if opened is None else opened.request_id
        if inner is not None and (opened is None or opened.counted or "usage" not in fields):
            # What is further in is the same request, and knows as much or more.
            self._remember_head(span, fields, inner, covered=True)
            return
        begin, end = _time(span.start_time), _time(span.end_time)
        logged = self._log_span(span, fields, begin, end, request_id=inner)
        if logged is None:
            return
        self._remember_head(span, fields, logged, covered=False)
        if outer is not None:
            outer.holds(logged, counted="usage" in fields)

    def _log_span(
        self, span: Any, fields: dict[str, Any], begin: datetime, end: datetime, *, request_id: str | None
    ) -> str | None:
        """Log a span as a request, under the id of a request that is known already if there is one; return its id."""
        key, attributes = _key(span.get_span_context()), span.attributes or {}
        fields = dict(fields)
        latency = max(0.0, (end - begin).total_seconds() * 1000)
        timings = {"latency_ms": latency, **fields.pop("timings", {})}
        observation = Observation.begin(
            self._log,
            instrumentation="opentelemetry",
            pending=False,
            id=request_id,
            timestamp_start=begin,
            trace_id=f"{key[0]:032x}",
            span_id=f"{key[1]:016x}",
            **fields,
        )
        if observation is None:
            return None
        observation.note(timestamp_end=max(begin, end), timings=timings)
        failure = _failure(span, attributes)
        if failure is not None:
            observation.note(
                status="timeout" if "timeout" in str(failure["code"]).lower() else "error", error=failure
            )
        observation.settle(Extraction())
        return observation.id

    # -- a stream that is told in two spans ---------------------------------------------------------------------------

    def _remember_head(self, span: Any, fields: Mapping[str, Any], request_id: str, *, covered: bool) -> None:
        """Keep a span that may be the head of a streamed answer: it ended without usage, which a second span brings."""
        if "usage" in fields and not covered:
            return
        head = _Head(
            (fields.get("provider"), fields.get("model")), request_id, span.start_time, span.end_time,
            _key(span.get_span_context())[0], covered,
        )  # fmt: skip
        self._exclusive.call(self._keep_head, head)

    def _keep_head(self, head: _Head) -> None:
        self._heads.append(head)
        del self._heads[:-_MOST_HEADS]

    def _take_head(self, named: tuple[Any, Any], trace: int, end: int) -> _Head | None:
        """Return the head of a stream that ends now, the latest of its trace first, and keep it no longer."""
        fitting = [one for one in self._heads if one.named == named and one.end <= end]
        head = next(
            (one for one in reversed(fitting) if one.trace == trace), fitting[-1] if fitting else None
        )
        if head is not None:
            self._heads.remove(head)
        return head

    def _is_end_of_stream(self, span: Any, attributes: Mapping[str, Any], fields: dict[str, Any]) -> bool:
        """Log an instant span that tells of a stream's end as the end of the request that its first span began."""
        named = (fields.get("provider"), fields.get("model"))
        head: _Head | None = self._exclusive.call(
            self._take_head, named, _key(span.get_span_context())[0], span.end_time
        )
        if head is not None and head.covered:
            return True
        begin, end = _time(span.start_time), _time(span.end_time)
        waited = attributes.get("duration")
        if head is not None:
            begin = _time(head.start)
        elif isinstance(waited, (int, float)) and waited >= 0:
            begin = end - timedelta(seconds=waited)
        fields = {**fields, "stream": True}
        if head is not None and isinstance(waited, (int, float)) and waited >= 0:
            end = max(end, _time(head.end))
        self._log_span(span, fields, begin, end, request_id=None if head is None else head.request_id)
        return True

    # -- which span a request runs in ---------------------------------------------------------------------------------

    def _request_around(self, at: _Key | None) -> _OpenSpan | None:
        """Return the nearest open span from here outwards that is a request itself."""
        while at is not None:
            found = self._open.get(at)
            if found is None:
                return None
            if is_inference(found.span.attributes or {}):
                return found
            at = found.parent
        return None

    def _current(self) -> _OpenSpan | None:
        ids = active_trace_ids()
        if ids is None:
            return None
        return self._request_around((int(ids[0], 16), int(ids[1], 16)))


class _OpenSpan:
    """A span that has not ended.

    Attributes:
        span: The span.
        parent: The key of its parent.
        silent: Whether its request is being logged further out.
        request_id: The request inside of it that was logged last.
        counted: Whether that request knows its usage.
    """

    __slots__ = ("counted", "parent", "request_id", "silent", "span")

    def __init__(self, span: Any, parent: _Key | None, *, silent: bool) -> None:
        self.span = span
        self.parent = parent
        self.silent = silent
        self.request_id: str | None = None
        self.counted = False

    @property
    def facts(self) -> Mapping[str, Any]:
        """Its ids, and whose conversation it is."""
        context = self.span.get_span_context()
        known = entry_fields(self.span.attributes or {})
        return {
            "trace_id": f"{context.trace_id:032x}",
            "span_id": f"{context.span_id:016x}",
            **{
                name: known[name]
                for name in ("chat_id", "user_id", "prompt_name", "project_id")
                if name in known
            },
        }

    def holds(self, request_id: str, *, counted: bool = True) -> None:
        """Note that a request inside of it was logged."""
        self.request_id = request_id
        self.counted = counted


class _Head(NamedTuple):
    """The first span of a stream, as far as it can be told: provider and model, the request's id, its times, its trace."""

    named: tuple[Any, Any]
    request_id: str
    start: int
    end: int
    trace: int
    covered: bool


def _key(context: Any) -> _Key:
    return context.trace_id, context.span_id


def _time(nanoseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)


def _failure(span: Any, attributes: Mapping[str, Any]) -> dict[str, Any] | None:
    status = getattr(span.status, "status_code", None)
    kind = attributes.get("error.type")
    if getattr(status, "name", None) != "ERROR" and kind is None:
        return None
    message = getattr(span.status, "description", None)
    for event in span.events or ():
        if event.name == "exception":
            told = event.attributes or {}
            kind = kind or told.get("exception.type")
            message = told.get("exception.message") or message
    return {"code": kind or "error", "message": message, "type": kind}
