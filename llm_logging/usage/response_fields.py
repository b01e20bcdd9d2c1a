"""What a response says beside its token counts: id, model, finish reasons, tier, cost, times, error.

Each function reads one mapping (a whole response or one event of a stream) and answers None where it says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..models.counting.billed import amount_of, costs_in_usage, tier_in_usage
from ..models.counting.sdk_objects import first, mapping, plain, text
from ..models.entry import Cost, ErrorInfo
from ..truncation import cut_short

__all__ = [
    "UNFINISHED",
    "block_reason_of",
    "cost_of",
    "error_of",
    "finish_reasons_of",
    "first_token_time_of",
    "header_cost_of",
    "header_latency_of",
    "header_usage_of",
    "is_refusal",
    "model_of",
    "provider_latency_of",
    "response_id_of",
    "service_tier_of",
]

UNFINISHED = frozenset({"queued", "in_progress"})
"""What the Responses API says of an answer that is still being made."""

_MAX_MESSAGE = 2_000
_REASON_NAMES = (
    "finish_reason",
    "finishReason",
    "stop_reason",
    "stopReason",
    "completionReason",
    "done_reason",
)


def response_id_of(values: Mapping[str, Any]) -> str | None:
    """Return the id that the provider gave this response."""
    return text(
        first(values, "id", "responseId", "response_id", "generation_id", "generationId", "message_id")
        or mapping(values.get("meta_info")).get("id")
    )


def model_of(values: Mapping[str, Any]) -> str | None:
    """Return the model that answered, as the provider names it."""
    found = text(first(values, "model", "modelVersion", "model_version", "model_name", "modelName"))
    return found.removeprefix("models/") if found is not None else None


def service_tier_of(values: Mapping[str, Any], usage: Mapping[str, Any] | None) -> str | None:
    """Return the tier that served the request."""
    found = first(values, "service_tier", "serviceTier")
    if isinstance(found, Mapping):
        found = found.get("type")
    if found is None and usage is not None:
        return tier_in_usage(usage)
    return text(found)


def finish_reasons_of(values: Mapping[str, Any]) -> dict[int, str]:
    """Return why each choice ended, as the provider words it, by the choice's index."""
    for name in ("choices", "candidates", "outputs", "results"):
        several = values.get(name)
        if isinstance(several, (list, tuple)):
            found: dict[int, str] = {}
            for position, one in enumerate(several):
                part = mapping(one)
                reason = text(first(part, *_REASON_NAMES))
                if reason is not None:
                    index = part.get("index")
                    found[index if isinstance(index, int) else position] = reason
            return found
    if values.get("object") == "response":
        details = mapping(values.get("incomplete_details"))
        reason = text(details.get("reason")) or text(values.get("status"))
        if reason in UNFINISHED:
            reason = None
    else:
        reason = (
            text(first(values, *_REASON_NAMES))
            or text(mapping(values.get("delta")).get("stop_reason"))
            or text(mapping(values.get("details")).get("finish_reason"))
        )
    return {} if reason is None else {0: reason}


def block_reason_of(values: Mapping[str, Any]) -> str | None:
    """Return why a provider blocked the prompt, in its own words (Gemini, Vertex)."""
    feedback = mapping(first(values, "promptFeedback", "prompt_feedback"))
    reason = first(feedback, "blockReason", "block_reason")
    return text(reason)


def is_refusal(values: Mapping[str, Any], kind: str | None) -> bool:
    """Say whether a response or an event holds a refusal in a field of its own (OpenAI, Anthropic).

    Args:
        values: The response or the event.
        kind: Its `type`, where it has one.
    """
    if kind is not None and kind.startswith("response.refusal."):
        return True
    for choice in _listed(values.get("choices")):
        part = mapping(choice)
        message = part.get("message")
        if mapping(message if message is not None else part.get("delta")).get("refusal"):
            return True
    if values.get("object") == "response":
        for item in _listed(values.get("output")):
            for part in _listed(mapping(item).get("content")):
                if mapping(part).get("type") == "refusal":
                    return True
    return "refusal" in (values.get("stop_reason"), mapping(values.get("delta")).get("stop_reason"))


def _listed(value: Any) -> list[Any] | tuple[Any, ...]:
    return value if isinstance(value, (list, tuple)) else ()


def cost_of(values: Mapping[str, Any], usage: Mapping[str, Any] | None) -> Cost | None:
    """Return what the provider or gateway itself says it charges for this response."""
    for amount, source in costs_in_usage(usage or {}):
        return Cost(amount=amount, currency="USD", source=source)
    gateway = mapping(mapping(first(values, "provider_metadata", "providerMetadata")).get("gateway"))
    charged = amount_of(gateway.get("cost"))
    return None if charged is None else Cost(amount=charged, currency="USD", source="gateway")


def header_usage_of(headers: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the counts that a server gives in headers: Bedrock with model-native bodies, Text Generation Inference.

    Args:
        headers: Names in lower case.

    Returns:
        The counts in the names of the server's own usage.
    """
    found = {name: headers[header] for name, header in _HEADER_COUNTS if headers.get(header, "").isdigit()}
    return {name: int(count) for name, count in found.items()} or None


_HEADER_COUNTS = (
    ("inputTokens", "x-amzn-bedrock-input-token-count"),
    ("outputTokens", "x-amzn-bedrock-output-token-count"),
    ("cacheReadInputTokens", "x-amzn-bedrock-cache-read-input-token-count"),
    ("cacheWriteInputTokens", "x-amzn-bedrock-cache-write-input-token-count"),
    ("prompt_tokens", "x-prompt-tokens"),
    ("generated_tokens", "x-generated-tokens"),
)


def header_cost_of(headers: Mapping[str, str]) -> Cost | None:
    """Return what a LiteLLM proxy says the response costs."""
    amount = amount_of(headers.get("x-litellm-response-cost"))
    return None if amount is None else Cost(amount=amount, currency="USD", source="gateway")


def header_latency_of(headers: Mapping[str, str]) -> float | None:
    """Return how long the provider says that it took, in milliseconds."""
    for name in ("x-amzn-bedrock-invocation-latency", "openai-processing-ms"):
        amount = amount_of(headers.get(name))
        if amount is not None:
            return float(amount)
    return None


def _milliseconds(value: Any, factor: float) -> float | None:
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not math.isfinite(value)
        or value < 0
    ):
        return None
    return value * factor


def _added(factor: float, *values: Any) -> float | None:
    known = [ms for ms in (_milliseconds(value, factor) for value in values) if ms is not None]
    return sum(known) if known else None


def first_token_time_of(values: Mapping[str, Any], usage: Mapping[str, Any] | None) -> float | None:
    """Return how long the provider says it took until the first token, in milliseconds: queue and prompt together."""
    usage = usage or {}
    if "prompt_time" in usage:
        return _added(1000.0, usage.get("queue_time"), usage.get("prompt_time"))
    cerebras = mapping(values.get("time_info"))
    if "prompt_time" in cerebras:
        return _added(1000.0, cerebras.get("queue_time"), cerebras.get("prompt_time"))
    if "prompt_eval_duration" in values:
        return _added(1e-6, values.get("load_duration"), values.get("prompt_eval_duration"))
    bedrock = mapping(values.get("amazon-bedrock-invocationMetrics"))
    if "firstByteLatency" in bedrock:
        return _added(1.0, bedrock.get("firstByteLatency"))
    metrics = mapping(values.get("metrics"))
    if "timeToFirstByteMs" in metrics:
        return _added(1.0, metrics.get("timeToFirstByteMs"))
    return _added(1.0, mapping(values.get("timings")).get("prompt_ms"))


def provider_latency_of(values: Mapping[str, Any], usage: Mapping[str, Any] | None) -> float | None:
    """Return how long the provider says that the request took on its side, in milliseconds."""
    usage = usage or {}
    metrics = mapping(values.get("metrics"))
    if "latencyMs" in metrics:
        return _milliseconds(metrics["latencyMs"], 1.0)
    bedrock = mapping(values.get("amazon-bedrock-invocationMetrics"))
    if "invocationLatency" in bedrock:
        return _milliseconds(bedrock["invocationLatency"], 1.0)
    if "total_time" in usage:
        return _added(1000.0, usage.get("queue_time"), usage.get("total_time"))
    cerebras = mapping(values.get("time_info"))
    if "total_time" in cerebras:
        return _milliseconds(cerebras["total_time"], 1000.0)
    if "total_duration" in values and ("eval_count" in values or "done" in values):
        return _milliseconds(values["total_duration"], 1e-6)
    return None


def error_of(values: Mapping[str, Any], *, failed: bool = False) -> ErrorInfo | None:
    """Return the error that a body or an event reports.

    Args:
        values: The body.
        failed: The HTTP status already says that it is one, so a bare `message` or `detail` is an error, too.
    """
    found = values.get("error")
    if isinstance(found, str) and found:
        code = text(values.get("code"))
        return ErrorInfo(
            code=code, message=text(values.get("message")) or cut_short(found, _MAX_MESSAGE), type=None
        )
    inner = mapping(found)
    if not inner and (failed or values.get("type") == "error" or values.get("object") == "error"):
        inner = values
    if not inner:
        return None
    message = first(inner, "message", "detail", "Message", "errors")
    code = first(inner, "code", "Code")
    kind = text(first(inner, "type", "status", "__type"))
    if message is None and code is None and (kind is None or inner is values):
        return None
    return ErrorInfo(
        code=None if code is None else str(code),
        message=None
        if message is None
        else cut_short(str(message if isinstance(message, str) else plain(message)), _MAX_MESSAGE),
        type=None if kind == "error" else kind,
    )
