"""OpenTelemetry's names for what an entry holds, and the other way round.

The names are those of the semantic conventions for generative AI as of `opentelemetry-semantic-conventions` 0.66b2 (they
live in open-telemetry/semantic-conventions-genai since). Reading also knows the older names, and those of OpenInference
and traceloop. Where the conventions have no name, `llm_logging.` stands before ours.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

__all__ = [
    "EXECUTE_TOOL",
    "PROVIDER_NAMES",
    "entry_fields",
    "is_inference",
    "otel_attributes",
    "provider_named",
]

EXECUTE_TOOL: Final = "execute_tool"
"""The operation of a tool's call."""

PROVIDER_NAMES: Final[dict[str, str]] = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "google": "gcp.gemini",
    "mistral": "mistral_ai",
    "moonshotai": "moonshot_ai",
    "vertex_ai": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
"""Our names of providers to theirs, where they differ."""

# Other names of providers, in the conventions, SDKs and gateways, to ours.
_ALIASES: Final[dict[str, str]] = {
    **{theirs: ours for ours, theirs in PROVIDER_NAMES.items()},
    **{
        alias: ours
        for ours, aliases in {
            "azure": "azure.ai.inference az.ai.inference az.ai.openai azure_ai azure_openai",
            "bedrock": "amazon_bedrock aws_bedrock bedrock_converse",
            "cohere": "cohere_chat",
            "fireworks": "fireworks_ai",
            "google": "gcp.gen_ai gemini google_genai google_generativeai",
            "mistral": "mistralai",
            "ollama": "ollama_chat",
            "openai": "text-completion-openai",
            "together": "together_ai",
            "vertex_ai": "google_vertexai vertexai vertex_ai_beta",
        }.items()
        for alias in aliases.split()
    },
}

# Attribute, then where the entry holds it.
_ATTRIBUTES: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("gen_ai.operation.name", ("operation",)),
    ("gen_ai.conversation.id", ("chat_id",)),
    ("gen_ai.prompt.name", ("prompt_name",)),
    ("gen_ai.request.model", ("model",)),
    ("gen_ai.request.stream", ("stream",)),
    ("gen_ai.response.model", ("response_model",)),
    ("gen_ai.response.id", ("provider_response_id",)),
    ("gen_ai.response.finish_reasons", ("finish_reasons",)),
    ("gen_ai.usage.input_tokens", ("usage", "prompt_tokens")),
    ("gen_ai.usage.output_tokens", ("usage", "completion_tokens")),
    ("gen_ai.usage.cache_read.input_tokens", ("usage", "cache_read_tokens")),
    ("gen_ai.usage.cache_creation.input_tokens", ("usage", "cache_write_tokens")),
    ("gen_ai.usage.reasoning.output_tokens", ("usage", "reasoning_tokens")),
    ("gen_ai.usage.audio.input_tokens", ("usage", "audio_prompt_tokens")),
    ("gen_ai.usage.audio.output_tokens", ("usage", "audio_completion_tokens")),
    ("http.response.status_code", ("http_status",)),
    ("gen_ai.request.temperature", ("attributes", "request", "temperature")),
    ("gen_ai.request.top_p", ("attributes", "request", "top_p")),
    ("gen_ai.request.top_k", ("attributes", "request", "top_k")),
    ("gen_ai.request.max_tokens", ("attributes", "request", "max_tokens")),
    ("gen_ai.request.seed", ("attributes", "request", "seed")),
    ("gen_ai.request.frequency_penalty", ("attributes", "request", "frequency_penalty")),
    ("gen_ai.request.presence_penalty", ("attributes", "request", "presence_penalty")),
    ("gen_ai.request.choice.count", ("attributes", "request", "n")),
    ("user.id", ("user_id",)),
    ("llm_logging.id", ("id",)),
    ("llm_logging.project_id", ("project_id",)),
    ("llm_logging.status", ("status",)),
    ("llm_logging.attempt", ("attempt",)),
    ("llm_logging.request_group", ("request_group",)),
    ("llm_logging.parent_id", ("parent_id",)),
    ("llm_logging.usage.source", ("usage", "source")),
    ("llm_logging.cost.amount", ("cost", "amount")),
    ("llm_logging.cost.currency", ("cost", "currency")),
)
_OUTPUT_TYPES: Final = {"json": "json", "text": "text", "markdown": "text"}


def _at(fields: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    found: Any = fields
    for name in path:
        if not isinstance(found, Mapping):
            return None
        found = found.get(name)
    return found


def otel_attributes(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry as attributes of a span.

    Args:
        fields: The entry's fields as a line holds them.

    Returns:
        Attributes in the current names; what the entry lacks is absent. Durations are in seconds.
    """
    found = {name: _at(fields, path) for name, path in _ATTRIBUTES}
    provider = fields.get("provider")
    if isinstance(provider, str):
        found["gen_ai.provider.name"] = PROVIDER_NAMES.get(provider, provider)
        if provider == "openai":
            found["openai.response.service_tier"] = fields.get("service_tier")
    found["gen_ai.output.type"] = _OUTPUT_TYPES.get(str(fields.get("output_format_hint")))
    first = _at(fields, ("timings", "time_to_first_token_ms"))
    if isinstance(first, (int, float)):
        found["gen_ai.response.time_to_first_chunk"] = first / 1000
    error = fields.get("error")
    if isinstance(error, Mapping) or fields.get("status") in ("error", "timeout"):
        told = error if isinstance(error, Mapping) else {}
        found["error.type"] = told.get("code") or told.get("type") or str(fields.get("status"))
    return {name: value for name, value in found.items() if value is not None}


# The other way round ---------------------------------------------------------------------------------------------------

_OPERATIONS: Final = frozenset(
    {"chat", "text_completion", "generate_content", "embeddings", "completion", "rerank"}
)
_OPENINFERENCE_KINDS: Final = {"LLM": "chat", "EMBEDDING": "embeddings", "RERANKER": "rerank"}
_TRACELOOP_TYPES: Final = {
    "chat": "chat",
    "completion": "text_completion",
    "embedding": "embeddings",
    "rerank": "rerank",
}
_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "model": (
        "gen_ai.request.model",
        "llm.request.model",
        "llm.model_name",
        "embedding.model_name",
        "reranker.model_name",
    ),
    "response_model": ("gen_ai.response.model", "llm.response.model"),
    "provider_response_id": ("gen_ai.response.id",),
    "service_tier": ("openai.response.service_tier", "gen_ai.openai.response.service_tier"),
    "chat_id": ("gen_ai.conversation.id", "session.id"),
    "user_id": ("user.id", "enduser.id"),
    "prompt_name": ("gen_ai.prompt.name",),
    "http_status": ("http.response.status_code",),
    "stream": ("gen_ai.request.stream", "llm.is_streaming", "gen_ai.is_streaming"),
    "project_id": ("llm_logging.project_id",),
}
_COUNTS: Final[dict[str, tuple[str, ...]]] = {
    "prompt_tokens": (
        "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.usage.prompt_tokens", "llm.token_count.prompt",
    ),
    "completion_tokens": (
        "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.usage.completion_tokens",
        "llm.token_count.completion",
    ),
    "total_tokens": ("gen_ai.usage.total_tokens", "llm.usage.total_tokens", "llm.token_count.total"),
    "cache_read_tokens": (
        "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens",
        "llm.token_count.prompt_details.cache_read",
    ),
    "cache_write_tokens": (
        "gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_creation_input_tokens",
        "llm.token_count.prompt_details.cache_write",
    ),
    "reasoning_tokens": (
        "gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens", "gen_ai.usage.details.reasoning_tokens",
        "llm.usage.reasoning_tokens", "llm.token_count.completion_details.reasoning",
    ),
    "audio_prompt_tokens": ("gen_ai.usage.audio.input_tokens", "llm.token_count.prompt_details.audio"),
    "audio_completion_tokens": ("gen_ai.usage.audio.output_tokens", "llm.token_count.completion_details.audio"),
}  # fmt: skip


def provider_named(name: Any) -> str | None:
    """Return our name of a provider, whatever a convention, an SDK or a gateway calls it; an unknown one in lower case."""
    if not isinstance(name, str) or not name:
        return None
    lowered = name.lower()
    return _ALIASES.get(lowered, lowered)


def _first(attributes: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    for name in names:
        found = attributes.get(name)
        if found is not None:
            return found
    return None


def _operation(attributes: Mapping[str, Any]) -> str | None:
    if "gen_ai.operation.name" in attributes:
        return str(attributes["gen_ai.operation.name"])
    kind = attributes.get("openinference.span.kind")
    if kind is not None:
        return _OPENINFERENCE_KINDS.get(str(kind).upper())
    if "traceloop.span.kind" in attributes:
        return None
    asked = attributes.get("llm.request.type")
    if asked is not None:
        return _TRACELOOP_TYPES.get(str(asked), "chat")
    return "chat" if "gen_ai.system" in attributes and "gen_ai.request.model" in attributes else None


def is_inference(attributes: Mapping[str, Any]) -> bool:
    """Say whether a span is one request to a model; agents, tools and workflows hold requests and are none."""
    return _operation(attributes) in _OPERATIONS


def entry_fields(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the attributes of a span say as fields of an entry; unknown ones are absent.

    Args:
        attributes: The span's, in any of the conventions.
    """
    found: dict[str, Any] = {field: _first(attributes, names) for field, names in _NAMES.items()}
    found["operation"] = _operation(attributes)
    found["provider"] = provider_named(
        _first(attributes, ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system"))
    )
    usage = {field: _first(attributes, names) for field, names in _COUNTS.items()}
    found["usage"] = (
        _whole_parts({field: count for field, count in usage.items() if count is not None}) or None
    )
    found["finish_reasons"] = _reasons(attributes)
    waited = attributes.get("gen_ai.response.time_to_first_chunk")
    if isinstance(waited, (int, float)):
        found["timings"] = {"time_to_first_token_ms": waited * 1000}
    found["model"] = found["model"] or found["response_model"] or "unknown"
    if found["operation"] == "completion":
        found["operation"] = "text_completion"
    return {name: value for name, value in found.items() if value is not None}


def _whole_parts(usage: dict[str, Any]) -> dict[str, Any]:
    """Make cached tokens part of the prompt and reasoning part of the completion, where an instrumentor has them beside.

    It passes on what its provider says, and some providers count them so. A total decides, else that a part is larger than
    its whole.
    """
    if not all(type(count) is int and count >= 0 for count in usage.values()):
        return usage
    given = dict(usage)
    prompt, completion, total = (usage.get(f"{name}_tokens") for name in ("prompt", "completion", "total"))
    if prompt is None and completion is None:
        return usage
    cached = usage.get("cache_read_tokens", 0) + usage.get("cache_write_tokens", 0)
    reasoning = usage.get("reasoning_tokens", 0)
    spare = None if total is None else total - (prompt or 0) - (completion or 0)
    if prompt is not None and cached and (cached > prompt or spare in (cached, cached + reasoning)):
        usage["prompt_tokens"] = prompt + cached
    aside = completion is not None and (reasoning > completion or spare in (reasoning, cached + reasoning))
    if aside and reasoning:
        usage["completion_tokens"] += reasoning
    # Ours is the sum, always.
    if total is not None and total != usage.get("prompt_tokens", 0) + usage.get("completion_tokens", 0):
        del usage["total_tokens"]
    if usage != given:
        usage["raw"] = given
    return usage


def _reasons(attributes: Mapping[str, Any]) -> list[str] | None:
    given = _first(
        attributes,
        ("gen_ai.response.finish_reasons", "llm.response.finish_reason", "gen_ai.completion.0.finish_reason"),
    )
    if isinstance(given, str) and given.startswith("["):
        try:
            given = json.loads(given)
        except ValueError:
            return [str(given)]
    if isinstance(given, str):
        return [given]
    return [str(reason) for reason in given] if isinstance(given, (list, tuple)) and given else None
