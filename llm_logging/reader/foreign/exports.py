"""Lines of gateways and observability tools: LiteLLM, Langfuse, LangSmith, Helicone, OpenTelemetry's JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from ...models.otel import entry_fields, is_inference
from ...usage.extract import extract
from .usual_names import (
    Fields,
    checked,
    count,
    first,
    listed,
    mapping,
    moment,
    object_in,
    picked,
    several,
    status_fields,
    time_text,
    top_counts,
    usual_fields,
)

__all__ = ["helicone", "langfuse", "langsmith", "litellm", "otlp"]


def litellm(value: Mapping[str, Any], time: str | float | None) -> list[Fields] | None:
    """Read a row of LiteLLM's spend log, or its standard logging payload."""
    if "call_type" not in value or not ("spend" in value or "response_cost" in value):
        return None
    metadata = object_in(value.get("metadata"))
    usage = object_in(metadata.get("usage_object")) or object_in(metadata.get("additional_usage_values"))
    counts = {
        name: value[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens") if name in value
    }
    fields = usual_fields(value) | {
        "id": first(value, "request_id", "litellm_call_id", "id"),
        "provider_response_id": first(value, "id", "request_id"),
        "usage": extract({"usage": {**usage, **counts}}).counted,
        "user_id": first(value, "end_user", "user", "user_id") or None,
        "attributes": picked(
            value, "call_type", "cache_hit", "model_group", "model_id", "team_id", "api_base"
        ),
        "tags": listed(value.get("request_tags")),
        "operation": "embeddings" if "embedding" in str(value["call_type"]) else "chat",
    }
    began, start = moment(value.get("completionStartTime")), moment(value.get("startTime"))
    if began is not None and start is not None and began >= start:
        waited = (began - start) / timedelta(milliseconds=1)
        fields["timings"] = {**(fields.get("timings") or {}), "time_to_first_token_ms": waited}
    status = first(value, "status") or metadata.get("status")
    fields |= status_fields(status) if isinstance(status, str) else {}
    told = object_in(value.get("error_information")) or object_in(metadata.get("error_information"))
    if told and fields.get("status") != "success":
        code = told.get("error_code") or None
        fields["error"] = {
            "code": code,
            "type": told.get("error_class"),
            "message": told.get("error_message"),
        }
    elif value.get("error_str"):
        fields["error"] = {"message": str(value["error_str"])}
    return [checked("litellm", fields, time)]


def langfuse(value: Mapping[str, Any], time: str | float | None) -> list[Fields] | None:
    """Read a Langfuse observation; only generations and embeddings are requests."""
    if not ("traceId" in value and "type" in value and ("startTime" in value or "start_time" in value)):
        return None
    if value["type"] not in {"GENERATION", "EMBEDDING"}:
        return []
    usage = object_in(value.get("usageDetails")) or object_in(value.get("usage"))
    cached = sum(count(usage.get(name)) for name in ("input_cached_tokens", "cache_read_input_tokens"))
    written = count(usage.get("cache_creation_input_tokens"))
    reasoning = count(usage.get("output_reasoning_tokens"))
    prompt = first(usage, "input", "promptTokens", "input_tokens")
    completion = first(usage, "output", "completionTokens", "output_tokens")
    # Langfuse counts cached and reasoning tokens separately.
    counts = {
        "prompt_tokens": None if prompt is None else count(prompt) + cached + written,
        "completion_tokens": None if completion is None else count(completion) + reasoning,
        "cache_read_tokens": cached or None, "cache_write_tokens": written or None, "reasoning_tokens": reasoning or None,
    }  # fmt: skip
    total = first(value, "calculatedTotalCost", "totalCost") or object_in(value.get("costDetails")).get(
        "total"
    )
    fields = usual_fields(value) | {
        "model": first(value, "model", "providedModelName", "internalModelId"),
        "usage": {name: count for name, count in counts.items() if count is not None} or None,
        "cost": None if total is None else {"amount": str(total), "currency": "USD", "source": "langfuse"},
        "trace_id": value["traceId"],
    }
    if value.get("level") == "ERROR":
        fields |= {"status": "error", "error": {"message": value.get("statusMessage")}}
    return [checked("langfuse", fields, time)]


def langsmith(value: Mapping[str, Any], time: str | float | None) -> list[Fields] | None:
    """Read a LangSmith run; only those of language models are requests."""
    if "run_type" not in value or "start_time" not in value:
        return None
    if value["run_type"] != "llm":
        return []
    extra = mapping(value.get("extra"))
    about, asked = mapping(extra.get("metadata")), mapping(extra.get("invocation_params"))
    outputs = mapping(value.get("outputs"))
    usage = outputs.get("usage_metadata") or mapping(outputs.get("llm_output")).get("token_usage")
    fields = usual_fields(value) | {
        "model": first(about, "ls_model_name") or first(asked, "model", "model_name"),
        "provider": first(about, "ls_provider"),
        "usage": extract({"usage": object_in(usage) or top_counts(value)}).counted,
        "chat_id": first(about, "session_id", "thread_id", "conversation_id"),
    }
    if value.get("error"):
        fields |= {"status": "error", "error": {"message": str(value["error"])}}
    return [checked("langsmith", fields, time)]


def helicone(value: Mapping[str, Any], time: str | float | None) -> list[Fields] | None:
    """Read a Helicone request."""
    if "request_created_at" not in value:
        return None
    fields = usual_fields(value) | {
        "id": first(value, "request_id", "id"),
        "model": first(value, "model_override", "response_model", "request_model", "model"),
        "usage": extract({"usage": top_counts(value)}).counted,
        "http_status": first(value, "response_status", "status"),
        "attributes": object_in(first(value, "request_properties", "properties")) or None,
    }
    for name, key in (
        ("cache_read_tokens", "prompt_cache_read_tokens"),
        ("cache_write_tokens", "prompt_cache_write_tokens"),
    ):
        if fields["usage"] and value.get(key):
            fields["usage"][name] = value[key]
    return [checked("helicone", fields, time)]


def otlp(value: Mapping[str, Any], time: str | float | None) -> list[Fields] | None:
    """Read the spans of a line of OpenTelemetry's JSON; a request inside of another is the same request."""
    del time
    resources = value.get("resourceSpans", value.get("resource_spans"))
    if not isinstance(resources, list):
        return [] if {"resourceLogs", "resourceMetrics"} & value.keys() else None
    spans: list[tuple[Mapping[str, Any], Fields, str | None]] = []
    for resource in map(mapping, resources):
        for scope in several(resource, "scopeSpans", "scope_spans", "instrumentationLibrarySpans"):
            name = first(mapping(scope.get("scope")), "name")
            spans += [(span, _otlp_attributes(span), name) for span in several(scope, "spans")]
    parents = {_span_id(span): first(span, "parentSpanId", "parent_span_id") for span, _, _ in spans}
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
    start = first(span, "startTimeUnixNano", "start_time_unix_nano")
    end = first(span, "endTimeUnixNano", "end_time_unix_nano")
    trace = first(span, "traceId", "trace_id")
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
    status = mapping(span.get("status"))
    kind = attributes.get("error.type")
    if status.get("code") in {2, "STATUS_CODE_ERROR", "ERROR"} or kind is not None:
        message = status.get("message")
        for event in several(span, "events"):
            told = _otlp_attributes(event)
            kind = kind or told.get("exception.type")
            message = told.get("exception.message") or message
        fields |= status_fields("timeout" if "timeout" in str(kind).lower() else "error")
        fields["error"] = {"code": str(kind or "error"), "type": kind, "message": message}
    return checked("otlp_span", fields, None)


def _span_id(span: Mapping[str, Any]) -> Any:
    return first(span, "spanId", "span_id")


def _otlp_attributes(holder: Mapping[str, Any]) -> Fields:
    found = {}
    for item in several(holder, "attributes"):
        if isinstance(item.get("key"), str):
            found[item["key"]] = _otlp_value(item.get("value"))
    return found


def _otlp_value(value: Any) -> Any:
    value = mapping(value)
    for name in ("stringValue", "boolValue", "doubleValue", "string_value", "bool_value", "double_value"):
        if name in value:
            return value[name]
    number = first(value, "intValue", "int_value")
    if number is not None:
        return int(number) if str(number).lstrip("-").isdecimal() else number
    several = mapping(first(value, "arrayValue", "array_value")).get("values")
    return [_otlp_value(one) for one in several] if isinstance(several, list) else None
