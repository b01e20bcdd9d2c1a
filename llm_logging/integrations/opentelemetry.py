"""Turn GenAI spans of any instrumentor into entries, and entries into their attributes.

    provider.add_span_processor(LLMSpanProcessor())

Spans in the semantic conventions for generative AI, old and new, in OpenInference's and in traceloop's are read. Only
requests to a model become entries: agents, tools and workflows hold such requests, and their sums would count twice. A
request inside of a request's span (an SDK's inside of a framework's) is the same request.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ..context import active_trace_ids
from ..errors import ConfigurationError, ErrorCode
from ..logger.adapter import LLMLoggerAdapter
from ..models.entry import LLMRequestLogEntry
from ..models.otel import entry_fields, is_inference, otel_attributes
from ..models.validation import validate
from ..runtime.threads import Exclusive
from ..usage.accumulator import Extraction
from .capture.nesting import cover_by, covered, uncover_by
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
        # Spans that have not ended, with their parents.
        self._open: dict[_Key, tuple[Any, _Key | None]] = {}
        self._silent: set[_Key] = set()
        self._exclusive = Exclusive()
        cover_by(self._covers)

    def on_start(self, span: Any, parent_context: Any = None) -> None:  # noqa: ARG002  named by the SDK
        """Note that a span has begun."""
        self._begun(span)

    def on_end(self, span: Any) -> None:
        """Log a span that was a request to a model."""
        self._ended(span)

    def shutdown(self) -> None:
        """Forget the spans that never ended."""
        self._exclusive.call(self._forget)
        uncover_by(self._covers)

    def _forget(self) -> None:
        self._open.clear()
        self._silent.clear()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002  named by the SDK
        """Say that nothing is held back: handlers have every line as soon as its span ends."""
        return True

    @guarded
    def _begun(self, span: Any) -> None:
        # Who is logging further out is only known now; the span may end elsewhere.
        self._exclusive.call(self._note_begin, span, _key(span.get_span_context()), covered())

    def _note_begin(self, span: Any, key: _Key, silent: bool) -> None:
        self._open[key] = (span, None if span.parent is None else _key(span.parent))
        if silent:
            self._silent.add(key)
        if len(self._open) > _MOST_OPEN:
            oldest = next(iter(self._open))
            self._open.pop(oldest, None)
            self._silent.discard(oldest)

    @guarded
    def _ended(self, span: Any) -> None:
        key = _key(span.get_span_context())
        attributes = span.attributes or {}
        unlogged = self._exclusive.call(self._note_end, span, key)
        if not is_inference(attributes) or unlogged:
            return
        begin, end = _time(span.start_time), _time(span.end_time)
        fields = entry_fields(attributes)
        latency = max(0.0, (span.end_time - span.start_time) / 1e6)
        timings = {"latency_ms": latency, **fields.pop("timings", {})}
        observation = Observation.begin(
            self._log,
            instrumentation="opentelemetry",
            pending=False,
            timestamp_start=begin,
            trace_id=f"{key[0]:032x}",
            span_id=f"{key[1]:016x}",
            **fields,
        )
        if observation is None:
            return
        observation.note(timestamp_end=max(begin, end), timings=timings)
        failure = _failure(span, attributes)
        if failure is not None:
            observation.note(
                status="timeout" if "timeout" in str(failure["code"]).lower() else "error", error=failure
            )
        observation.settle(Extraction())

    def _note_end(self, span: Any, key: _Key) -> bool:
        """Forget a span; say whether somebody further out logs its request."""
        inside = self._inside(None if span.parent is None else _key(span.parent))
        silent = key in self._silent
        self._open.pop(key, None)
        self._silent.discard(key)
        return inside or silent

    def _inside(self, at: _Key | None) -> bool:
        """Say whether a span, or one further out, is a request itself."""
        while at is not None:
            found = self._open.get(at)
            if found is None:
                return False
            if is_inference(found[0].attributes or {}):
                return True
            at = found[1]
        return False

    def _covers(self) -> bool:
        """Say whether a request that is made now runs inside of a span that will be logged."""
        ids = active_trace_ids()
        if ids is None:
            return False
        return self._inside((int(ids[0], 16), int(ids[1], 16)))


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
