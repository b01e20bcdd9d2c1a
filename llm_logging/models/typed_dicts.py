"""The fields of entries as typed dicts: what may be given as a mapping or as keywords, for type checkers and editors.

The models in `models/entry.py` decide what is right; a test holds the names equal. At run time further keywords are attributes; where
types are checked, give those as `attributes={...}`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, TypedDict

from .entry import ChatLLMInfo, Cost, ErrorInfo, Timings, Usage

__all__ = [
    "ChatMessageFields",
    "CostFields",
    "ErrorFields",
    "FailFields",
    "FinishFields",
    "LLMRequestFields",
    "RequestFields",
    "TimingsFields",
    "UsageFields",
]


class UsageFields(TypedDict, total=False):
    """The fields of `Usage`."""

    prompt_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    cache_write_1h_tokens: int | None
    reasoning_tokens: int | None
    audio_prompt_tokens: int | None
    audio_completion_tokens: int | None
    source: Literal["provider", "partial", "estimated"] | None
    raw: dict[str, Any] | None


class TimingsFields(TypedDict, total=False):
    """The fields of `Timings`."""

    latency_ms: float | timedelta | None
    total_duration_ms: float | timedelta | None
    time_to_first_token_ms: float | timedelta | None


class CostFields(TypedDict, total=False):
    """The fields of `Cost`."""

    amount: str | int | Decimal
    currency: str
    source: str | None


class ErrorFields(TypedDict, total=False):
    """The fields of `ErrorInfo`."""

    code: str | int | None
    message: str | None
    type: str | None


ErrorLike = BaseException | ErrorInfo | ErrorFields | str | None


class _CallFields(TypedDict, total=False):
    id: str | None
    request_group: str | None
    attempt: int | None
    project_id: str | int | None
    chat_id: str | int | None
    user_id: str | int | None
    parent_id: str | None
    request_type: Literal["chat", "tool", "workflow"] | None
    operation: str | None
    instrumentation: str | None
    response_model: str | None
    provider: str | None
    provider_response_id: str | None
    service_tier: str | None
    stream: bool | None
    finish_reasons: Sequence[str] | None
    output_format_hint: Literal["text", "markdown", "json"] | None
    status: Literal["pending", "success", "error", "timeout"] | None
    http_status: int | None
    timestamp_start: datetime | str | None
    timestamp_end: datetime | str | None
    timings: TimingsFields | Timings | None
    # Any: an SDK's own object of usage is read, too.
    usage: UsageFields | Usage | Any
    cost: CostFields | Cost | None
    messages_included: Sequence[str] | None
    messages: Sequence[Any] | None
    touched_files: Sequence[str] | None
    touched_entities: Sequence[str] | None
    tags: Sequence[str] | None
    trace_id: str | None
    span_id: str | None
    prompt_name: str | None
    prompt_version: str | int | None
    attributes: Mapping[str, Any] | None


class RequestFields(_CallFields, total=False):
    """The keywords of `log.request`, other than the model."""

    response: Any
    error: ErrorLike


class FinishFields(_CallFields, total=False):
    """The keywords of `call.finish`, other than the response."""

    model: str | None
    error: ErrorLike


class FailFields(_CallFields, total=False):
    """The keywords of `call.fail`, other than the error."""

    model: str | None
    response: Any


class LLMRequestFields(RequestFields, total=False):
    """The fields of `LLMRequestLogEntry`; those that are bound or come from `defaults=` may be left out."""

    model: str | None


class ChatMessageFields(TypedDict, total=False):
    """The fields of `ChatMessage`; `project_id` and `chat_id` may be bound."""

    id: str
    project_id: str
    chat_id: str
    role: str
    content: str | None
    created_at: datetime | str
    status: Literal["pending", "complete", "error", "discarded"]
    include_in_context: bool
    is_aside: bool
    pure_aside: bool
    is_pinned: bool
    is_discarded: bool
    parent_message_id: str | None
    related_entity_ids: Sequence[str] | None
    llm_info: ChatLLMInfo | Mapping[str, Any] | None
