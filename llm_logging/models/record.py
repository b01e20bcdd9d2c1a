"""What a `logging.LogRecord` carries from the logger to a handler: the payload, and the acknowledgement of a caller that waits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

from .entry import ChatMessage, LLMRequestLogEntry

__all__ = ["Acknowledgement", "RecordPayload", "RecordSink"]


class Acknowledgement(Protocol):
    """How a handler answers a caller that waits for its line.

    A handler that takes the record calls `expect` before it returns, then, from any thread, exactly once `written` or `failed`.
    """

    def expect(self) -> None:
        """Note that one more handler has taken the record."""

    def written(self) -> None:
        """Note that the line is in its file."""

    def failed(self, error: OSError) -> None:
        """Note that the line could not be written and will not be."""


class RecordSink(Protocol):
    """A handler that turns LLM records into lines; `log_llm_request` and `log.request` need one within reach."""

    llm_sink: bool
    defaults: Mapping[str, Any]

    def handle(self, record: Any) -> Any:
        """Filter the record and take it."""


class RecordPayload:
    """What our adapter carries on a `LogRecord`, under the one attribute `llm_logging`.

    Attributes:
        kind: `llm_request`, `chat_message`, `event`, or None where the fields themselves say it.
        fields: The call's own fields; never changed by a handler.
        entry: A validated entry or message, where the caller had one; then `fields` is empty.
        context: What was bound on the adapter and by scopes, the adapter's winning.
        fallback: Values for fields that are given nowhere else (`log.request` only).
        ack: The acknowledgement of a caller that waits for the line; None where none waits.
    """

    __slots__ = ("ack", "context", "entry", "fallback", "fields", "kind")

    def __init__(
        self,
        kind: Literal["llm_request", "chat_message", "event"] | None,
        fields: Mapping[str, Any],
        *,
        entry: LLMRequestLogEntry | ChatMessage | None = None,
        context: Mapping[str, Any] | None = None,
        fallback: Mapping[str, Any] | None = None,
        ack: Acknowledgement | None = None,
    ) -> None:
        self.kind = kind
        self.fields = fields
        self.entry = entry
        self.context = context
        self.fallback = fallback
        self.ack = ack

    def __reduce__(self) -> tuple[Any, ...]:
        # A record may travel to a listener in another process; a caller that waits here cannot be answered from there.
        bound = tuple(dict(part) if part else None for part in (self.context, self.fallback))
        return _restore, (self.kind, dict(self.fields), self.entry, *bound)

    def __repr__(self) -> str:
        return f"RecordPayload({self.kind!r}, {self.fields!r})"


def _restore(kind: Any, fields: Any, entry: Any, context: Any, fallback: Any) -> RecordPayload:
    return RecordPayload(kind, fields, entry=entry, context=context, fallback=fallback)
