"""Lines of other programs as entries: each known shape with all its fields, or skipped under a name that says why.

Known shapes: provider responses (OpenAI chat, Responses and embeddings and what is compatible, Anthropic, Gemini, Ollama,
Cohere, Bedrock Converse), lines of batch results (OpenAI, Anthropic, Gemini), LiteLLM's spend log and its standard
logging payload, OpenTelemetry's JSON (`resourceSpans`), Langfuse observations, LangSmith runs, Helicone requests.

A shape that has no time, or no model, on the line or in a wrapper around it cannot be priced or placed in a period: it is
skipped as `<shape>_without_time` or `<shape>_without_model`. Any other line with a model and token counts is read by the
usual names of its fields.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ..clock import format_time
from ..logger.usage import Extraction, extract
from ..otel_names import entry_fields, is_inference
from ..schema import LLMRequestLogEntry, Usage

__all__ = ["ForeignError", "entries_of", "time_text"]

Fields = dict[str, Any]

_FIELDS: Final = frozenset(LLMRequestLogEntry.model_fields)
_START_NAMES: Final = (
    "timestamp_start", "startTime", "start_time", "started_at", "startedAt", "request_created_at", "request_time",
    "created_at", "createdAt", "createTime", "created", "time", "ts", "@timestamp", "datetime", "date",
)  # fmt: skip
_END_NAMES: Final = (
    "timestamp_end", "endTime", "end_time", "ended_at", "endedAt", "completed_at", "completedAt", "response_created_at",
)  # fmt: skip
_PROVIDER_NAMES: Final = ("provider", "custom_llm_provider", "llm_provider", "vendor")
_COST_NAMES: Final = (
    "spend", "response_cost", "cost_usd", "costUSD", "total_cost", "totalCost", "calculatedTotalCost", "cost",
)  # fmt: skip
_MS_NAMES: Final = (
    "latency_ms",
    "delay_ms",
    "duration_ms",
    "durationMs",
    "elapsed_ms",
    "latencyMs",
    "response_time_ms",
)
_USER_NAMES: Final = ("user_id", "userId", "end_user", "request_user_id", "user")
_CHAT_NAMES: Final = ("chat_id", "conversation_id", "session_id", "sessionId", "thread_id")
# Token counts at the top of a line, as its writer names them.
_COUNT_NAMES: Final = frozenset(
    {
        "prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens", "promptTokens",
        "completionTokens", "totalTokens", "inputTokens", "outputTokens", "cache_read_input_tokens",
        "cache_creation_input_tokens", "prompt_tokens_details", "completion_tokens_details", "cached_tokens",
        "reasoning_tokens", "prompt_cache_read_tokens", "prompt_cache_write_tokens",
    }
)  # fmt: skip
_STATUS_WORDS: Final = {
    "completed": "success", "complete": "success", "succeeded": "success", "ok": "success", "incomplete": "success",
    "failed": "error", "failure": "error", "errored": "error", "expired": "timeout", "timed_out": "timeout",
}  # fmt: skip
_CANCELLED: Final = frozenset({"cancelled", "canceled"})
_OPENAI_MODELS: Final = re.compile(
    r"(?:ft:)?(?:gpt-|chatgpt|o\d(?:-|$)|text-embedding-(?:3|ada)|davinci|babbage)"
)
_ANTHROPIC_IDS: Final = {"msg_bdrk_": "bedrock", "msg_vrtx_": "vertex_ai"}
_RESPONSE_KEYS: Final = ("response", "body", "result", "completion", "response_body")


class ForeignError(Exception):
    """A line whose shape is known and that cannot be read; its text is the reason."""


def entries_of(value: Mapping[str, Any], time: str | float | None = None) -> list[Fields] | None:
    """Read the requests of another program's line.

    Args:
        value: The line.
        time: The time of the wrapper that it came in, where there was one.

    Returns:
        Fields of entries, with `id` where the line has one; none where the line is of a known shape and holds no
        request; None where it is no line of a known shape and has no model or no counts.

    Raises:
        ForeignError: The shape is known, and something that a request needs is not there.
    """
    for recognise in _SHAPES:
        found = recognise(value, time)
        if found is not None:
            return found
    return None


def time_text(value: Any) -> str | None:
    """Return a time as ISO 8601 text: from such text, or seconds, milli-, micro- or nanoseconds since 1970."""
    if isinstance(value, str):
        if not re.fullmatch(r"-?\d{9,20}(?:\.\d+)?", value):
            return value or None
        value = float(value) if "." in value else int(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        for unit in (1, 10**3, 10**6, 10**9):
            if abs(value) / unit < 1e11:
                moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
                    microseconds=round(value * 10**6 / unit)
                )
                return format_time(moment)
    except (ValueError, OverflowError):
        pass
    return None


# -- provider responses -----------------------------------------------------------------------------------------------


def _response_shape(value: Mapping[str, Any]) -> str | None:
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


def _provider_response(value: Mapping[str, Any], time: str | float | None) -> list[Fields] | None:
    shape = _response_shape(value)
    if shape is None or "spend" in value or "response_cost" in value:
        return None
    if shape == "openai_chat_chunk" and not value.get("usage"):
        raise ForeignError("openai_chat_chunk")
    if shape == "ollama_response" and value.get("done") is not True:
        raise ForeignError("ollama_chunk")
    return [_checked(shape, _response_fields(shape, value), time)]


def _response_fields(shape: str, value: Mapping[str, Any]) -> Fields:
    """Read a response: what it says of itself, and the fields that its writer added to it."""
    fields = _said_by(extract(value))
    fields["provider"] = _first(value, *_PROVIDER_NAMES) or _provider_of(shape, value)
    if isinstance(fields["provider"], str):
        fields["provider"] = fields["provider"].lower()
    fields["model"] = value.get("model") or fields.get("response_model")
    fields["operation"] = "embeddings" if shape == "openai_embeddings" else "chat"
    if shape == "ollama_response":
        took, ended = fields.get("provider_latency_ms"), _moment(value.get("created_at"))
        if ended is not None:
            fields["timestamp_start"] = format_time(ended - timedelta(milliseconds=took or 0))
            fields["timestamp_end"] = format_time(ended)
            fields["timings"] = {"latency_ms": took} if took is not None else None
    status = value.get("status")
    if isinstance(status, str):
        fields |= _status_fields(status)
    kept = ("id", "project_id", "chat_id", "user_id", "tags", "trace_id", "span_id", "attributes")
    return {**{name: value[name] for name in kept if name in value}, **_times(value), **fields}


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


# -- batch results ----------------------------------------------------------------------------------------------------


def _batch_result(value: Mapping[str, Any], time: str | float | None) -> list[Fields] | None:
    response, result = value.get("response"), value.get("result")
    if "custom_id" in value and (
        "status_code" in _mapping(response) or ("response" in value and "error" in value)
    ):
        shape, holder = "openai_batch_result", _mapping(response)
        body, status = _mapping(holder.get("body")), holder.get("status_code")
        fields = _response_fields(_response_shape(body) or "openai_chat", body)
        fields["http_status"] = status
        if value.get("error") is not None:
            fields["error"] = value["error"]
    elif "custom_id" in value and isinstance(result, Mapping) and "type" in result:
        shape, body = "anthropic_batch_result", _mapping(result.get("message"))
        fields = _response_fields("anthropic_message", body)
        if result["type"] != "succeeded":
            inner = _mapping(_mapping(result.get("error")).get("error")) or _mapping(result.get("error"))
            fields |= _status_fields(str(result["type"])) | ({"error": dict(inner)} if inner else {})
    elif (
        isinstance(response, Mapping)
        and "usageMetadata" in response
        and ("key" in value or "request" in value)
    ):
        shape, fields = "gemini_batch_result", _response_fields("gemini_response", response)
        fields = {**_times({"created_at": value.get("processed_time")}), **fields}
    else:
        return None
    fields["service_tier"] = "batch"
    fields["id"] = f"{shape}:{value.get('id') or value.get('custom_id') or value.get('key')}"
    return [_checked(shape, {**_times(value), **fields}, time)]


# -- logs of gateways and observability tools -------------------------------------------------------------------------


def _litellm(value: Mapping[str, Any], time: str | float | None) -> list[Fields] | None:
    if "call_type" not in value or not ("spend" in value or "response_cost" in value):
        return None
    metadata = _object(value.get("metadata"))
    usage = _object(metadata.get("usage_object")) or _object(metadata.get("additional_usage_values"))
    counts = {
        name: value[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens") if name in value
    }
    fields = _common(value) | {
        "id": _first(value, "request_id", "litellm_call_id", "id"),
        "provider_response_id": _first(value, "id", "request_id"),
        "usage": extract({"usage": {**usage, **counts}}).counted,
        "user_id": _first(value, "end_user", "user", "user_id") or None,
        "attributes": _attributes(
            value, "call_type", "cache_hit", "model_group", "model_id", "team_id", "api_base"
        ),
        "tags": _listed(value.get("request_tags")),
        "operation": "embeddings" if "embedding" in str(value["call_type"]) else "chat",
    }
    first, start = _moment(value.get("completionStartTime")), _moment(value.get("startTime"))
    if first is not None and start is not None and first >= start:
        waited = (first - start) / timedelta(milliseconds=1)
        fields["timings"] = {**(fields.get("timings") or {}), "time_to_first_token_ms": waited}
    status = _first(value, "status") or metadata.get("status")
    fields |= _status_fields(status) if isinstance(status, str) else {}
    told = _object(value.get("error_information")) or _object(metadata.get("error_information"))
    if told and fields.get("status") != "success":
        code = told.get("error_code") or None
        fields["error"] = {
            "code": code,
            "type": told.get("error_class"),
            "message": told.get("error_message"),
        }
    elif value.get("error_str"):
        fields["error"] = {"message": str(value["error_str"])}
    return [_checked("litellm", fields, time)]


def _langfuse(value: Mapping[str, Any], time: str | float | None) -> list[Fields] | None:
    if not ("traceId" in value and "type" in value and ("startTime" in value or "start_time" in value)):
        return None
    if value["type"] not in {"GENERATION", "EMBEDDING"}:
        return []
    usage = _object(value.get("usageDetails")) or _object(value.get("usage"))
    cached = sum(_count(usage.get(name)) for name in ("input_cached_tokens", "cache_read_input_tokens"))
    written = _count(usage.get("cache_creation_input_tokens"))
    reasoning = _count(usage.get("output_reasoning_tokens"))
    prompt = _first(usage, "input", "promptTokens", "input_tokens")
    completion = _first(usage, "output", "completionTokens", "output_tokens")
    # Langfuse counts cached and reasoning tokens beside the others.
    counts = {
        "prompt_tokens": None if prompt is None else _count(prompt) + cached + written,
        "completion_tokens": None if completion is None else _count(completion) + reasoning,
        "cache_read_tokens": cached or None, "cache_write_tokens": written or None, "reasoning_tokens": reasoning or None,
    }  # fmt: skip
    total = _first(value, "calculatedTotalCost", "totalCost") or _object(value.get("costDetails")).get(
        "total"
    )
    fields = _common(value) | {
        "model": _first(value, "model", "providedModelName", "internalModelId"),
        "usage": {name: count for name, count in counts.items() if count is not None} or None,
        "cost": None if total is None else {"amount": str(total), "currency": "USD", "source": "langfuse"},
        "trace_id": value["traceId"],
    }
    if value.get("level") == "ERROR":
        fields |= {"status": "error", "error": {"message": value.get("statusMessage")}}
    return [_checked("langfuse", fields, time)]


def _langsmith(value: Mapping[str, Any], time: str | float | None) -> list[Fields] | None:
    if "run_type" not in value or "start_time" not in value:
        return None
    if value["run_type"] != "llm":
        return []
    extra = _mapping(value.get("extra"))
    about, asked = _mapping(extra.get("metadata")), _mapping(extra.get("invocation_params"))
    outputs = _mapping(value.get("outputs"))
    usage = outputs.get("usage_metadata") or _mapping(outputs.get("llm_output")).get("token_usage")
    fields = _common(value) | {
        "model": _first(about, "ls_model_name") or _first(asked, "model", "model_name"),
        "provider": _first(about, "ls_provider"),
        "usage": extract({"usage": _object(usage) or _top_counts(value)}).counted,
        "chat_id": _first(about, "session_id", "thread_id", "conversation_id"),
    }
    if value.get("error"):
        fields |= {"status": "error", "error": {"message": str(value["error"])}}
    return [_checked("langsmith", fields, time)]


def _helicone(value: Mapping[str, Any], time: str | float | None) -> list[Fields] | None:
    if "request_created_at" not in value:
        return None
    fields = _common(value) | {
        "id": _first(value, "request_id", "id"),
        "model": _first(value, "model_override", "response_model", "request_model", "model"),
        "usage": extract({"usage": _top_counts(value)}).counted,
        "http_status": _first(value, "response_status", "status"),
        "attributes": _object(_first(value, "request_properties", "properties")) or None,
    }
    for name, key in (
        ("cache_read_tokens", "prompt_cache_read_tokens"),
        ("cache_write_tokens", "prompt_cache_write_tokens"),
    ):
        if fields["usage"] and value.get(key):
            fields["usage"][name] = value[key]
    return [_checked("helicone", fields, time)]


def _otlp(value: Mapping[str, Any], time: str | float | None) -> list[Fields] | None:
    del time
    resources = value.get("resourceSpans", value.get("resource_spans"))
    if not isinstance(resources, list):
        return [] if {"resourceLogs", "resourceMetrics"} & value.keys() else None
    spans: list[tuple[Mapping[str, Any], Fields, str | None]] = []
    for resource in map(_mapping, resources):
        for scope in _several(resource, "scopeSpans", "scope_spans", "instrumentationLibrarySpans"):
            name = _first(_mapping(scope.get("scope")), "name")
            spans += [(span, _otlp_attributes(span), name) for span in _several(scope, "spans")]
    parents = {_span_id(span): _first(span, "parentSpanId", "parent_span_id") for span, _, _ in spans}
    inference = {_span_id(span) for span, attributes, _ in spans if is_inference(attributes)}

    def is_inside(span: Mapping[str, Any]) -> bool:
        seen: set[Any] = set()
        at = parents[_span_id(span)]
        while at and at not in seen:
            if at in inference:
                return True
            seen.add(at)
            at = parents.get(at)
        return False

    return [
        _otlp_entry(span, attributes, scope)
        for span, attributes, scope in spans
        if _span_id(span) in inference and not is_inside(span)
    ]


def _otlp_entry(span: Mapping[str, Any], attributes: Fields, scope: str | None) -> Fields:
    fields = entry_fields(attributes)
    start = _first(span, "startTimeUnixNano", "start_time_unix_nano")
    end = _first(span, "endTimeUnixNano", "end_time_unix_nano")
    trace = _first(span, "traceId", "trace_id")
    fields |= {
        "id": f"{trace}:{_span_id(span)}",
        "timestamp_start": time_text(start),
        "timestamp_end": time_text(end),
        "trace_id": trace,
        "span_id": _span_id(span),
        "instrumentation": scope or "opentelemetry",
        "status": "success",
    }
    if str(start).isdecimal() and str(end).isdecimal():
        took = max(0, int(str(end)) - int(str(start))) / 1e6
        fields["timings"] = {"latency_ms": took, **(fields.get("timings") or {})}
    status = _mapping(span.get("status"))
    kind = attributes.get("error.type")
    if status.get("code") in {2, "STATUS_CODE_ERROR", "ERROR"} or kind is not None:
        message = status.get("message")
        for event in _several(span, "events"):
            told = _otlp_attributes(event)
            kind = kind or told.get("exception.type")
            message = told.get("exception.message") or message
        fields |= _status_fields("timeout" if "timeout" in str(kind).lower() else "error")
        fields["error"] = {"code": str(kind or "error"), "type": kind, "message": message}
    return _checked("otlp_span", fields, None)


def _span_id(span: Mapping[str, Any]) -> Any:
    return _first(span, "spanId", "span_id")


def _otlp_attributes(holder: Mapping[str, Any]) -> Fields:
    found = {}
    for item in _several(holder, "attributes"):
        if isinstance(item.get("key"), str):
            found[item["key"]] = _otlp_value(item.get("value"))
    return found


def _otlp_value(value: Any) -> Any:
    value = _mapping(value)
    for name in ("stringValue", "boolValue", "doubleValue", "string_value", "bool_value", "double_value"):
        if name in value:
            return value[name]
    number = _first(value, "intValue", "int_value")
    if number is not None:
        return int(number) if str(number).lstrip("-").isdecimal() else number
    several = _mapping(_first(value, "arrayValue", "array_value")).get("values")
    return [_otlp_value(one) for one in several] if isinstance(several, list) else None


# -- any other line ---------------------------------------------------------------------------------------------------


def _holder(value: Mapping[str, Any], time: str | float | None) -> list[Fields] | None:
    """Read a line that holds a provider's response under a key, beside fields of its writer."""
    for name in _RESPONSE_KEYS:
        body = _object(value.get(name))
        shape = _response_shape(body)
        if shape is not None:
            inner = _response_fields(shape, body)
            outer = _common({key: item for key, item in value.items() if key != name})
            return [
                _checked(
                    shape, {**inner, **{key: item for key, item in outer.items() if item is not None}}, time
                )
            ]
    return None


def _usual(value: Mapping[str, Any], time: str | float | None) -> list[Fields] | None:
    """Read a line by the usual names of its fields; it has to have a model and counts."""
    evidence = {"request_id", "usage", "latency_ms", "timings"} | _COUNT_NAMES
    if "model" not in value or not evidence & value.keys():
        return None
    usage, top = value.get("usage"), _top_counts(value)
    known = _common(value)
    fields = {
        **value,
        **{name: item for name, item in known.items() if item is not None and name not in value},
    }
    if not isinstance(value.get("cost", {}), Mapping):
        fields["cost"] = known.get("cost")
    if "status" in value and "status" in known:
        fields |= _status_fields(str(value["status"]))
    if isinstance(usage, Mapping) and usage and not usage.keys() & Usage.model_fields.keys():
        fields["usage"] = extract({"usage": usage}).counted
        if fields["usage"] is None and any(type(count) in (int, float) for count in usage.values()):
            raise ForeignError("usage_of_unknown_shape")
    elif usage is None and not top.keys() <= Usage.model_fields.keys():
        # Counts in a provider's names; those in ours stand at the top in the older flat shape.
        fields = {key: item for key, item in fields.items() if key not in top}
        fields["usage"] = extract({"usage": top}).counted
    if time is not None and not any(
        fields.get(name) for name in ("timestamp", "timestamp_start", "timestamp_end")
    ):
        fields["timestamp"] = time
    return [fields]


_SHAPES: Final[tuple[Callable[[Mapping[str, Any], str | float | None], list[Fields] | None], ...]] = (
    _otlp, _batch_result, _litellm, _langfuse, _langsmith, _helicone, _provider_response, _holder, _usual,
)  # fmt: skip


def _common(value: Mapping[str, Any]) -> Fields:
    """Return the fields of an entry that a line has under one of their usual names."""
    fields: Fields = {name: item for name, item in value.items() if name in _FIELDS and item is not None}
    fields |= _times(value)
    fields.setdefault("provider", _first(value, *_PROVIDER_NAMES))
    fields["user_id"] = _first(value, *_USER_NAMES)
    fields["chat_id"] = _first(value, *_CHAT_NAMES)
    amount = _first(value, *_COST_NAMES)
    if isinstance(amount, (int, float, str)) and not isinstance(amount, bool):
        fields["cost"] = {"amount": str(amount), "currency": "USD"}
    took = _first(value, *_MS_NAMES)
    start, end = _moment(fields.get("timestamp_start")), _moment(fields.get("timestamp_end"))
    if took is None and start is not None and end is not None and end >= start:
        took = (end - start) / timedelta(milliseconds=1)
    if took is not None and "timings" not in fields:
        fields["timings"] = {"latency_ms": took}
    for name in ("error", "status"):
        item = value.get(name)
        if name == "status" and isinstance(item, str):
            fields |= _status_fields(item)
        elif name == "status":
            fields.pop("status", None)
    return fields


def _times(value: Mapping[str, Any]) -> Fields:
    start, end = _first(value, *_START_NAMES), _first(value, *_END_NAMES)
    found = {"timestamp": time_text(value.get("timestamp")), "timestamp_start": time_text(start)}
    return {
        name: text for name, text in {**found, "timestamp_end": time_text(end)}.items() if text is not None
    }


def _status_fields(word: str) -> Fields:
    lowered = word.strip().lower()
    if lowered in _CANCELLED:
        return {"status": "error", "error": {"code": "cancelled"}}
    return {"status": _STATUS_WORDS.get(lowered, lowered)}


def _checked(shape: str, fields: Fields, time: str | float | None) -> Fields:
    """Return what a request of a known shape has, or say what it lacks."""
    fields = {name: item for name, item in fields.items() if item is not None}
    if not any(name in fields for name in ("timestamp", "timestamp_start", "timestamp_end")):
        if time is None:
            raise ForeignError(f"{shape}_without_time")
        fields["timestamp"] = time
    if not fields.get("model"):
        raise ForeignError(f"{shape}_without_model")
    return fields


def _moment(value: Any) -> datetime | None:
    text = time_text(value)
    try:
        moment = datetime.fromisoformat(text) if text is not None else None
    except ValueError:
        return None
    return moment if moment is None or moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _first(value: Mapping[str, Any], *names: str) -> Any:
    return next((value[name] for name in names if value.get(name) is not None and value[name] != ""), None)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _object(value: Any) -> Mapping[str, Any]:
    """Return an object that is there as itself or as its JSON."""
    if isinstance(value, str) and value[:1] == "{":
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return _mapping(value)


def _several(value: Mapping[str, Any], *names: str) -> Iterator[Mapping[str, Any]]:
    found = _first(value, *names)
    return (one for one in found if isinstance(one, Mapping)) if isinstance(found, list) else iter(())


def _count(value: Any) -> int:
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else 0


def _top_counts(value: Mapping[str, Any]) -> Fields:
    return {name: value[name] for name in value.keys() & _COUNT_NAMES if value[name] is not None}


def _listed(value: Any) -> list[str] | None:
    if isinstance(value, str) and value[:1] == "[":
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return [str(item) for item in value] if isinstance(value, list) and value else None


def _attributes(value: Mapping[str, Any], *names: str) -> Fields | None:
    return {name: value[name] for name in names if value.get(name) not in (None, "")} or None
