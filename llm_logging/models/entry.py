"""The models of lines: requests, chat messages, events, and their parts.

Rules: tokens are whole numbers >= 0; `total_tokens` is `prompt_tokens + completion_tokens` wherever one of them is
known; cache tokens are part of the prompt, the one-hour ones part of the cache writes, reasoning tokens part of the
completion; times are aware UTC; `timestamp_end >= timestamp_start`; whatever an entry holds beyond these fields is in
`attributes`. These classes are the one list of fields: checks, columns, options and documentation are made from them.

Names follow the OpenTelemetry semantic conventions for generative AI where those have one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..clock import clock, format_time
from .counting.billed import with_terms
from .counting.rule_errors import rule_broken
from .counting.sdk_objects import mapping
from .counting.usage_objects import as_usage, usage_fields
from .fields import Amount, Identifier, JsonObject, Milliseconds, Tokens, UTCTime, UUIDText, Whole, is_uuid
from .otel import otel_attributes
from .rules import end_before_start, settle_usage
from .statuses import Status, derive_status, settle_status

__all__ = [
    "FLAT_FIELDS",
    "MAX_CHAT_CONTENT",
    "RECORD_ATTRIBUTE",
    "SCHEMA_VERSION",
    "ChatLLMInfo",
    "ChatMessage",
    "Cost",
    "ErrorInfo",
    "Event",
    "LLMRequestLogEntry",
    "LogResult",
    "Timings",
    "Usage",
    "Writer",
    "derive_status",
    "normalise_entry",
]

SCHEMA_VERSION: Final = 1
RECORD_ATTRIBUTE: Final = "llm_logging"
MAX_CHAT_CONTENT: Final = 1_000_000


class _Part(BaseModel):
    model_config = ConfigDict(
        extra="allow", defer_build=True, ser_json_inf_nan="constants", protected_namespaces=()
    )


class Usage(_Part):
    """Usage of one request as the provider counted it, in the same names for every provider.

    None means unknown, 0 means none.

    Attributes:
        prompt_tokens: All input tokens, cached, audio and image tokens included.
        completion_tokens: All output tokens, reasoning, audio and image tokens included.
        total_tokens: `prompt_tokens + completion_tokens`. A different total from the provider is kept in `raw`.
        cache_read_tokens: Prompt tokens read from the provider's cache.
        cache_write_tokens: Prompt tokens written to the provider's cache.
        cache_write_1h_tokens: Those of `cache_write_tokens` that are kept for an hour.
        reasoning_tokens: Completion tokens spent on reasoning.
        audio_prompt_tokens: Prompt tokens that encode audio.
        audio_completion_tokens: Completion tokens that encode audio.
        image_prompt_tokens: Prompt tokens that encode images.
        image_completion_tokens: Completion tokens that encode images.
        units: Counts of what is billed per unit: `web_searches`, `storage_searches` (file search), `social_searches`,
            `code_executions`, `input_document_pages`, `audio_seconds`, `input_characters`, `images` ... Names are those
            of genai-prices where it has one.
        speed: Mode that served the request where it is not the standard one, such as `fast`.
        source: `provider`, `partial` (the answer was cut off) or `estimated`.
        raw: The provider's own usage, where it holds more than these fields.
    """

    prompt_tokens: Tokens | None = None
    completion_tokens: Tokens | None = None
    total_tokens: Tokens | None = None
    cache_read_tokens: Tokens | None = None
    cache_write_tokens: Tokens | None = None
    cache_write_1h_tokens: Tokens | None = None
    reasoning_tokens: Tokens | None = None
    audio_prompt_tokens: Tokens | None = None
    audio_completion_tokens: Tokens | None = None
    image_prompt_tokens: Tokens | None = None
    image_completion_tokens: Tokens | None = None
    units: dict[str, Annotated[int | float, Field(ge=0, le=2**53, allow_inf_nan=False)]] | None = None
    speed: str | None = None
    source: Literal["provider", "partial", "estimated"] | None = None
    raw: JsonObject | None = None

    @model_validator(mode="before")
    @classmethod
    def _collect(cls, data: Any) -> Any:
        given = data if isinstance(data, Mapping) else as_usage(data)
        return data if given is None else usage_fields(given, cls.model_fields.keys())

    @model_validator(mode="after")
    def _rules(self) -> Self:
        values = self.__dict__.copy()
        broken = settle_usage(values)
        if broken is not None:
            raise rule_broken(broken.reason, *broken.fields)
        for name in ("total_tokens", "cache_write_tokens", "raw"):
            setattr(self, name, values.get(name))
        return self


class Timings(_Part):
    """Durations in milliseconds, from a monotonic clock.

    Attributes:
        latency_ms: From sending the request to the last byte of the answer.
        total_duration_ms: How long the caller waited, retries included.
        time_to_first_token_ms: From sending the request to the first generated token.
    """

    latency_ms: Milliseconds | None = None
    total_duration_ms: Milliseconds | None = None
    time_to_first_token_ms: Milliseconds | None = None


class ErrorInfo(_Part):
    """Why a request failed.

    Attributes:
        code: Short code, such as `rate_limit_exceeded`. Statistics count failures by it.
        message: Text for people.
        type: Class of the exception, or the provider's type of error.
    """

    code: str | None = None
    message: str | None = None
    type: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _accept(cls, data: Any) -> Any:
        if isinstance(data, str):
            return {"message": data}
        if isinstance(data, BaseException):
            try:
                text = str(data)
            except Exception:  # noqa: BLE001  a foreign __str__
                text = f"<unprintable {type(data).__qualname__}>"
            return {"type": type(data).__qualname__, "message": text}
        if isinstance(data, Mapping) and isinstance(data.get("code"), int):
            return {**data, "code": str(data["code"])}
        return data


class Cost(_Part):
    """The charge that the provider itself reported. List prices are added when the files are read.

    Attributes:
        amount: Exact decimal, a string in JSON.
        currency: `USD` unless stated.
        source: Which part of the response reported it.
    """

    amount: Amount
    currency: Annotated[str, Field(min_length=1, max_length=16)] = "USD"
    source: str | None = None


class Writer(_Part):
    """Which process wrote a line, and in which order: a gap in the numbers is a missing line.

    Attributes:
        id: One per process.
        seq: Number of the line, 1, 2, 3 ... per file.
    """

    id: str
    seq: Annotated[int, Field(ge=1)]


class LLMRequestLogEntry(BaseModel):
    """One attempt of one LLM request: a line of `llm_requests.jsonl` without its envelope.

    Attributes:
        id: UUID of the attempt. Default: a new one. Lines with the same id are one request.
        request_group: Shared by all attempts (retries) of one call.
        attempt: 1 for the first attempt, 2 for the first retry ...
        project_id: Project that the request belongs to.
        chat_id: Chat that the request belongs to.
        user_id: User on whose behalf it was made.
        parent_id: Id of the request in which it was made, for tools and workflows.
        request_type: `chat`, `tool` or `workflow`.
        operation: What was asked for: `chat`, `embeddings` ...
        model: Model as requested.
        response_model: Model that answered, as the provider names it.
        provider: `openai`, `anthropic` ...
        provider_response_id: The provider's id of the response.
        service_tier: Tier that served the request: `flex`, `priority`, `batch` ...
        stream: Whether the answer was streamed.
        finish_reasons: Why generation ended: `stop`, `length`, `tool_calls` ...
        output_format_hint: `text`, `markdown` or `json`.
        status: `pending`, `success`, `error` or `timeout`. Default: derived from the other fields.
        http_status: 100 to 599.
        error: Why it failed, see `error` below. An exception or a text is accepted, too.
        timestamp_start: When the request was sent. Default: now. A time without a zone is taken as UTC.
        timestamp_end: When it ended; not before `timestamp_start`.
        timings: Durations, see `timings` below.
        usage: Tokens and units, see `usage` below. A provider's own usage object is accepted, too.
        cost: What the provider itself reported to charge, see `cost` below.
        messages_included: Ids of the chat messages in the prompt.
        messages: The prompt. Goes to `llm_content.jsonl`.
        response: The answer. Goes to `llm_content.jsonl`.
        touched_files: Files that the request read or changed.
        touched_entities: Ids of objects of yours that it read or changed.
        tags: Free labels. Statistics can group by `tag`.
        trace_id: OpenTelemetry trace, taken from the active span.
        span_id: OpenTelemetry span, taken from the active span.
        instrumentation: Instrumentation that wrote the line. Absent for a plain logger.
        prompt_name: Name of the prompt template.
        prompt_version: Version of the prompt template.
        attributes: Every extra that is none of these fields.
    """

    model_config = ConfigDict(
        extra="forbid", defer_build=True, ser_json_inf_nan="constants", protected_namespaces=()
    )

    # identity
    id: UUIDText = Field(default_factory=lambda: clock().new_id())
    request_group: Identifier | None = None
    attempt: Annotated[int, Whole, Field(ge=1, le=2**31, strict=True)] | None = None
    project_id: Identifier
    chat_id: Identifier
    user_id: Identifier | None = None
    parent_id: Identifier | None = None
    request_type: Literal["chat", "tool", "workflow"] | None = None
    operation: str | None = None
    # model
    model: Annotated[str, Field(min_length=1)]
    response_model: str | None = None
    provider: str | None = None
    provider_response_id: str | None = None
    service_tier: str | None = None
    stream: bool | None = None
    finish_reasons: list[str] | None = None
    output_format_hint: Literal["text", "markdown", "json"] | None = None
    # outcome
    status: Status = "pending"
    http_status: Annotated[int, Whole, Field(ge=100, le=599, strict=True)] | None = None
    error: ErrorInfo | None = None
    # time
    timestamp_start: UTCTime = Field(default_factory=lambda: clock().now())
    timestamp_end: UTCTime | None = None
    timings: Timings | None = None
    # usage, money
    usage: Usage | None = None
    cost: Cost | None = None
    # content
    messages_included: list[Identifier] | None = None
    messages: list[Any] | None = None
    response: Any = None
    # causal
    touched_files: list[str] | None = None
    touched_entities: list[Identifier] | None = None
    tags: list[str] | None = None
    trace_id: str | None = None
    span_id: str | None = None
    instrumentation: str | None = None
    prompt_name: str | None = None
    prompt_version: Identifier | None = None
    # the rest
    attributes: JsonObject | None = None

    CONTENT_FIELDS: ClassVar[frozenset[str]] = frozenset({"messages", "response"})
    IDENTITY_FIELDS: ClassVar[tuple[str, ...]] = ("project_id", "chat_id", "model")

    @model_validator(mode="before")
    @classmethod
    def _normalise(cls, data: Any) -> Any:
        return normalise_entry(data) if isinstance(data, Mapping) else data

    @model_validator(mode="after")
    def _end_after_start(self) -> Self:
        if self.timestamp_end is not None and end_before_start(self.timestamp_start, self.timestamp_end):
            raise rule_broken(
                f"expected at or after timestamp_start ({format_time(self.timestamp_start)}), got "
                f"{format_time(self.timestamp_end)}",
                "timestamp_end",
            )
        return self

    def line_fields(self) -> dict[str, Any]:
        """Return what the line holds: JSON values only, absent fields left out."""
        return self.model_dump(mode="json", exclude_none=True)

    def to_otel(self) -> dict[str, Any]:
        """Return the entry as attributes of a span, in OpenTelemetry's current names for generative AI."""
        return otel_attributes(self.line_fields())


# The older flat shape: which top-level names belong to which group, and how they are called there.
FLAT_FIELDS: Final[dict[str, tuple[str | None, str]]] = {
    **{
        name: ("usage", name)
        for name in Usage.model_fields
        if name not in {"source", "raw", "units", "speed"}
    },
    **{name: ("timings", name) for name in Timings.model_fields},
    **{f"error_{name}": ("error", name) for name in ErrorInfo.model_fields},
}


def _lift(group: str, values: dict[str, Any], entry: dict[str, Any], attributes: dict[str, Any]) -> None:
    own = entry.get(group)
    if own is None:
        entry[group] = values
    elif isinstance(own, Mapping):
        entry[group] = {**values, **own}
    elif group == "error" and isinstance(own, str):
        entry[group] = {"message": own, **values}
    else:
        attributes.update(values)


def normalise_entry(data: Mapping[str, Any]) -> dict[str, Any]:
    """Bring an entry as people write it into the entry's own shape; nothing is dropped.

    Tokens, timings and error fields at the top move into their groups (the older flat shape), `request_id` becomes
    `id` where that is absent and it is a UUID, unknown fields move to `attributes`, an absent status is derived. A
    status in other words (`failed`, `Cancelled`, 503) becomes one of ours; a word of no known meaning stays, and is an
    error once it has moved to `attributes.invalid`.

    Args:
        data: Field names to values; not changed.

    Returns:
        A new dict whose keys are all fields of `LLMRequestLogEntry`.
    """
    fields = LLMRequestLogEntry.model_fields
    entry: dict[str, Any] = {}
    groups: dict[str, dict[str, Any]] = {}
    attributes: dict[str, Any] = {}
    for key, value in data.items():
        if value is None:
            continue
        group, name = FLAT_FIELDS.get(key, (None, key))
        if key in fields:
            entry[key] = value
        elif group is not None:
            groups.setdefault(group, {})[name] = value
        elif key == "request_id" and data.get("id") is None and is_uuid(str(value).lower()):
            entry["id"] = str(value).lower()
        else:
            attributes[key] = value
    for group, values in groups.items():
        _lift(group, values, entry, attributes)
    if attributes:
        own = entry.get("attributes")
        if own is not None and not isinstance(own, Mapping):
            own = {"attributes": own}
        entry["attributes"] = {**attributes, **(own or {})}
    usage = entry.get("usage")
    if usage is not None and not (isinstance(usage, Mapping) and usage.keys() <= Usage.model_fields.keys()):
        # It may stand in a whole response.
        entry = with_terms(entry, as_usage(usage) or mapping(usage))
    settle_status(entry)
    return entry


class Event(BaseModel):
    """Anything else that was logged.

    Attributes:
        event_type: Name of the event: `project_created`, `error`, `log` for a plain log call ...
        project_id: Project that it belongs to. Without one it goes to `system.jsonl`.
        chat_id: Chat that it belongs to.
        user_id: User that it belongs to.
        error_code: Code of an error.
        error_type: Class of the exception.
        stack: Stack of an error.
        context: What was going on when the error occurred.
        trace_id: OpenTelemetry trace, taken from the active span.
        span_id: OpenTelemetry span, taken from the active span.
        data: All other extras.
    """

    model_config = ConfigDict(extra="allow", defer_build=True, ser_json_inf_nan="constants")

    event_type: str = "log"
    project_id: Identifier | None = None
    chat_id: Identifier | None = None
    user_id: Identifier | None = None
    error_code: str | None = None
    error_type: str | None = None
    stack: str | None = None
    context: JsonObject | None = None
    trace_id: str | None = None
    span_id: str | None = None
    data: JsonObject | None = None


class ChatLLMInfo(_Part):
    """The request that produced a chat message.

    Attributes:
        model: Its model.
        request_id: Its id.
        usage: Its usage.
        timings: Its durations.
    """

    model: str | None = None
    request_id: str | None = None
    usage: Usage | None = None
    timings: Timings | None = None


class ChatMessage(BaseModel):
    """One message of a chat: a line of `chats/<chat_id>.jsonl`.

    Attributes:
        id: Default: a new UUID.
        project_id: Project of the chat.
        chat_id: The chat.
        role: `user`, `assistant`, `system` ...
        content: The text, at most 1,000,000 characters.
        created_at: Default: now.
        status: `pending`, `complete`, `error` or `discarded`.
        include_in_context: Whether later prompts contain it.
        is_aside: Whether it is an aside.
        pure_aside: Whether it is only an aside.
        is_pinned: Whether the user pinned it.
        is_discarded: Whether the user discarded it.
        parent_message_id: Message that it answers.
        related_entity_ids: Ids of objects of yours that it is about.
        llm_info: The request that produced it, see `llm_info` below.
    """

    model_config = ConfigDict(
        extra="allow", defer_build=True, ser_json_inf_nan="constants", protected_namespaces=()
    )

    id: Identifier = Field(default_factory=lambda: clock().new_id())
    project_id: Identifier
    chat_id: Identifier
    role: Annotated[str, Field(min_length=1)]
    content: Annotated[str, Field(max_length=MAX_CHAT_CONTENT)] | None = None
    created_at: UTCTime = Field(default_factory=lambda: clock().now())
    status: Literal["pending", "complete", "error", "discarded"] = "complete"
    include_in_context: bool = True
    is_aside: bool = False
    pure_aside: bool = False
    is_pinned: bool = False
    is_discarded: bool = False
    parent_message_id: Identifier | None = None
    related_entity_ids: list[Identifier] | None = None
    llm_info: ChatLLMInfo | None = None

    def line_fields(self) -> dict[str, Any]:
        """Return what the line holds: JSON values only, absent fields left out."""
        return self.model_dump(mode="json", exclude_none=True)


class LogResult(BaseModel):
    """What became of a line that was asked for.

    Attributes:
        id: The entry's id.
        logged: True when the line is in its file; False when a filter of the user's dropped it.
        timestamp: When it was logged, aware UTC.
    """

    model_config = ConfigDict(frozen=True, defer_build=True)

    id: str
    logged: bool
    timestamp: datetime
