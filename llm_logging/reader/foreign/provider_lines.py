"""Provider responses as lines: OpenAI and compatible, Anthropic, Gemini, Ollama, Cohere, Bedrock; and batch results."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from ...clock import format_time
from ...usage.extract import Extraction, extract
from .usual_names import (
    PROVIDER_NAMES,
    Fields,
    ForeignError,
    checked,
    first,
    mapping,
    moment,
    status_fields,
    times_of,
)

__all__ = ["batch_result", "provider_response", "response_fields", "response_shape"]

_OPENAI_MODELS: Final = re.compile(
    r"(?:ft:)?(?:gpt-|chatgpt|o\d(?:-|$)|text-embedding-(?:3|ada)|davinci|babbage)"
)
_ANTHROPIC_IDS: Final = {"msg_bdrk_": "bedrock", "msg_vrtx_": "vertex_ai"}


def response_shape(value: Mapping[str, Any]) -> str | None:
    """Name the provider's response that an object is; None where it is none."""
    kind, form = value.get("object"), value.get("type")
    if isinstance(kind, str):
        names = {
            "chat.completion": "openai_chat", "text_completion": "openai_completion", "response": "openai_response",
            "chat.completion.chunk": "openai_chat_chunk",
        }  # fmt: skip
        if kind in names:
            return names[kind]
        if kind == "list" and "data" in value and "usage" in value:
            return "openai_embeddings"
    if form == "message" and value.get("role") == "assistant" and "usage" in value:
        return "anthropic_message"
    if "usageMetadata" in value and (
        "candidates" in value or "promptFeedback" in value or "modelVersion" in value
    ):
        return "gemini_response"
    if "done" in value and ("created_at" in value or "eval_count" in value):
        return "ollama_response"
    usage = value.get("usage")
    if isinstance(usage, Mapping):
        if "stopReason" in value and "inputTokens" in usage:
            return "bedrock_converse"
        if "billed_units" in usage or ("choices" in value and "model" in value):
            return "cohere_chat" if "billed_units" in usage else "openai_chat"
    return None


def _provider_of(shape: str, value: Mapping[str, Any]) -> str | None:
    if shape == "anthropic_message":
        start = str(value.get("id"))[:9]
        return _ANTHROPIC_IDS.get(start, "anthropic")
    fixed = {
        "gemini_response": "google", "ollama_response": "ollama", "cohere_chat": "cohere", "bedrock_converse": "bedrock",
    }  # fmt: skip
    if shape in fixed:
        return fixed[shape]
    is_openai = shape == "openai_response" or _OPENAI_MODELS.match(str(value.get("model")))
    return "openai" if is_openai else None


def provider_response(value: Mapping[str, Any], time: str | float | None) -> list[Fields] | None:
    """Read a line that is a provider's response."""
    shape = response_shape(value)
    if shape is None or "spend" in value or "response_cost" in value:
        return None
    if shape == "openai_chat_chunk" and not value.get("usage"):
        raise ForeignError("openai_chat_chunk")
    if shape == "ollama_response" and value.get("done") is not True:
        raise ForeignError("ollama_chunk")
    return [checked(shape, response_fields(shape, value), time)]


def response_fields(shape: str, value: Mapping[str, Any]) -> Fields:
    """Read a response: what it says of itself, and the fields that its writer added to it."""
    fields = _said_by(extract(value))
    fields["provider"] = first(value, *PROVIDER_NAMES) or _provider_of(shape, value)
    if isinstance(fields["provider"], str):
        fields["provider"] = fields["provider"].lower()
    fields["model"] = value.get("model") or fields.get("response_model")
    fields["operation"] = "embeddings" if shape == "openai_embeddings" else "chat"
    if shape == "ollama_response":
        took, ended = fields.get("provider_latency_ms"), moment(value.get("created_at"))
        if ended is not None:
            fields["timestamp_start"] = format_time(ended - timedelta(milliseconds=took or 0))
            fields["timestamp_end"] = format_time(ended)
            fields["timings"] = {"latency_ms": took} if took is not None else None
    status = value.get("status")
    if isinstance(status, str):
        fields |= status_fields(status)
    kept = ("id", "project_id", "chat_id", "user_id", "tags", "trace_id", "span_id", "attributes")
    return {**{name: value[name] for name in kept if name in value}, **times_of(value), **fields}


def _said_by(found: Extraction) -> Fields:
    """Return what was read from a response as fields of an entry."""
    fields: Fields = {
        "usage": found.counted,
        "response_model": found.response_model,
        "provider_response_id": found.provider_response_id,
        "finish_reasons": found.finish_reasons,
        "service_tier": found.service_tier,
        "cost": None if found.cost is None else found.cost.model_dump(mode="json", exclude_none=True),
        "error": None if found.error is None else found.error.model_dump(exclude_none=True),
        "provider_latency_ms": found.provider_latency_ms,
    }
    if found.time_to_first_token_ms is not None:
        fields["timings"] = {"time_to_first_token_ms": found.time_to_first_token_ms}
    return {name: item for name, item in fields.items() if item is not None}


def batch_result(value: Mapping[str, Any], time: str | float | None) -> list[Fields] | None:
    """Read a line of a file of batch results."""
    response, result = value.get("response"), value.get("result")
    if "custom_id" in value and (
        "status_code" in mapping(response) or ("response" in value and "error" in value)
    ):
        shape, holder = "openai_batch_result", mapping(response)
        body, status = mapping(holder.get("body")), holder.get("status_code")
        fields = response_fields(response_shape(body) or "openai_chat", body)
        fields["http_status"] = status
        if value.get("error") is not None:
            fields["error"] = value["error"]
    elif "custom_id" in value and isinstance(result, Mapping) and "type" in result:
        shape, body = "anthropic_batch_result", mapping(result.get("message"))
        fields = response_fields("anthropic_message", body)
        if result["type"] != "succeeded":
            inner = mapping(mapping(result.get("error")).get("error")) or mapping(result.get("error"))
            fields |= status_fields(str(result["type"])) | ({"error": dict(inner)} if inner else {})
    elif (
        isinstance(response, Mapping)
        and "usageMetadata" in response
        and ("key" in value or "request" in value)
    ):
        shape, fields = "gemini_batch_result", response_fields("gemini_response", response)
        fields = {**times_of({"created_at": value.get("processed_time")}), **fields}
    else:
        return None
    fields["service_tier"] = "batch"
    fields["id"] = f"{shape}:{value.get('id') or value.get('custom_id') or value.get('key')}"
    return [checked(shape, {**times_of(value), **fields}, time)]
