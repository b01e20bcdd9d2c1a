"""What a line holds: the entry models, each rule of the contract enforced where it is stated.

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
    """Tokens of one request, as the provider counted them, normalised.

    `prompt_tokens` include cached, audio and image ones, `completion_tokens` include reasoning, audio and image ones.
    None is unknown, 0 is none. `units` counts what is billed per unit: `web_searches`, `storage_searches` (file search),
    `social_searches`, `code_executions`, `input_document_pages`, `audio_seconds`, `input_characters`, `images` ...; names
    are those of genai-prices where it has one. `speed` is the mode that served the request where it is not the
    standard one of the tier: `fast`. Keys of the provider that have no field here are kept in `raw`.
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

    `latency_ms` runs from sent to last byte, `total_duration_ms` is what the caller waited, retries included.
    """

    latency_ms: Milliseconds | None = None
    total_duration_ms: Milliseconds | None = None
    time_to_first_token_ms: Milliseconds | None = None


class ErrorInfo(_Part):
    """Why a request failed."""

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
            except Exception:  # noqa: BLE001  somebody's __str__
                text = f"<unprintable {type(data).__qualname__}>"
            return {"type": type(data).__qualname__, "message": text}
        if isinstance(data, Mapping) and isinstance(data.get("code"), int):
            return {**data, "code": str(data["code"])}
        return data


class Cost(_Part):
    """What the provider itself reported to charge; list prices are the reader's business."""

    amount: Amount
    currency: Annotated[str, Field(min_length=1, max_length=16)] = "USD"
    source: str | None = None


class Writer(_Part):
    """Who wrote a line: one id a process, and a number that grows by one a line of one file."""

    id: str
    seq: Annotated[int, Field(ge=1)]


class LLMRequestLogEntry(BaseModel):
    """One attempt of one LLM request: what a line of `llm_requests.jsonl` holds beside the envelope."""

    model_config = ConfigDict(
        extra="forbid", defer_build=True, ser_json_inf_nan="constants", protected_namespaces=()
    )

    # identity
    id: UUIDText = Field(default_factory=lambda: clock().new_id(), description="One per attempt")
    request_group: Identifier | None = Field(default=None, description="Joins the attempts of one call")
    attempt: Annotated[int, Whole, Field(ge=1, le=2**31, strict=True)] | None = None
    project_id: Identifier
    chat_id: Identifier
    user_id: Identifier | None = None
    parent_id: Identifier | None = None
    request_type: Literal["chat", "tool", "workflow"] | None = None
    operation: str | None = None
    # model
    model: Annotated[str, Field(min_length=1)] = Field(description="As requested")
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
    messages_included: list[Identifier] | None = Field(default=None, description="Ids of messages")
    messages: list[Any] | None = Field(default=None, description="Goes to llm_content.jsonl")
    response: Any = Field(default=None, description="Goes to llm_content.jsonl")
    # causal
    touched_files: list[str] | None = None
    touched_entities: list[Identifier] | None = None
    tags: list[str] | None = None
    trace_id: str | None = None
    span_id: str | None = None
    instrumentation: str | None = Field(
        default=None, description="Which instrumentation wrote the line; absent for a plain logger"
    )
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
    """Anything else that was logged: `event_type` names it, its extras are `data`."""

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
    """Which request made a chat message."""

    model: str | None = None
    request_id: str | None = None
    usage: Usage | None = None
    timings: Timings | None = None


class ChatMessage(BaseModel):
    """One message of a chat."""

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
