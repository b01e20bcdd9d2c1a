"""Where the price list has a model, however its provider and its name are written.

SDKs, gateways and clouds name one model in many ways: `openai/gpt-4o`, `models/gemini-2.5-flash`, `openai:gpt-4o`,
`publishers/google/models/...`, `claude-sonnet-4-5@20250929`, an ARN. The name as it is written is looked up first; a part
is only taken off where it is known to say nothing about the price. A fine-tuned model, a deployment and a tag such as
`:free` keep their names, since their rates differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

__all__ = ["find_listed"]

# How SDKs, gateways and OpenTelemetry name the providers that the price list calls otherwise.
_ALIASES: Final = {
    alias: provider
    for provider, aliases in {
        "aws": "aws.bedrock bedrock bedrock_converse bedrock_mantle amazon_bedrock amazon-bedrock bedrock_runtime",
        "azure": "azure.ai.inference azure.ai.openai az.ai.inference az.ai.openai azure_ai azure_openai azure-openai azure_text",
        "fireworks": "fireworks_ai fireworks-ai fireworks.ai",
        "github-copilot": "github_copilot",
        "google": "gcp.gemini gcp.gen_ai gcp.vertex_ai gemini vertex vertex_ai vertex_ai_beta vertexai google_genai "
        "google-genai google-gla google-vertex google_vertexai google_ai_studio google_ai",
        "mistral": "mistral_ai mistralai mistral-ai codestral",
        "moonshotai": "moonshot moonshot_ai",
        "novita": "novita_ai novita-ai",
        "openai": "text-completion-openai",
        "perplexity": "perplexity_ai perplexity-ai pplx",
        "together": "together_ai together-ai togetherai together.ai",
        "voyageai": "voyage voyage_ai",
        "x-ai": "x_ai xai grok",
        "zai": "z_ai z-ai z.ai",
    }.items()
    for alias in aliases.split()
}
# Gateways serve the provider that the model's name begins with; so may any server with one of these APIs.
_GATEWAYS: Final = frozenset(
    [
        "litellm",
        "litellm_proxy",
        "litellm-proxy",
        "portkey",
        "helicone",
        "vercel",
        "vercel_ai_gateway",
        "vercel-ai-gateway",
        "ai-gateway",
        "gateway",
        "pydantic-ai-gateway",
        "proxy",
        "langchain",
        "cloudflare",
        "openai",
        "anthropic",
        "google",
    ]
)
# Clouds that sell models of others at rates of their own, under the name of whom they are from.
_CLOUDS: Final = frozenset({"aws", "azure", "databricks", "github-copilot", "google", "openrouter"})
_MODELS: Final = re.compile(r"^(?:projects/[^/]+/locations/[^/]+/)?(?:publishers/[^/]+/)?models/(?=[^/]+$)")
_ARN: Final = re.compile(r"^arn:[a-z-]+:bedrock:[^:]*:[^:]*:(?P<kind>[a-z-]+)/(?P<name>.+)$", re.IGNORECASE)
# Kinds of ARN that name a model; the others are deployments with rates of their own.
_NAMING_ARNS: Final = frozenset({"foundation-model", "inference-profile", "default-prompt-router"})
_BEDROCK_ID: Final = re.compile(
    r"^(?:(?:us|us-gov|eu|apac|au|jp|ca|sa|me|global)\.)?(?:ai21|amazon|anthropic|cohere|deepseek|luma|meta|mistral|moonshot|"
    r"openai|qwen|stability|twelvelabs|writer|google|minimax|nvidia|zai)\.[a-z]",
    re.IGNORECASE,
)
_DATE: Final = re.compile(r"-(?:20\d{2}-\d{2}-\d{2}|20\d{6})$")


def find_listed(provider: str, model: str) -> tuple[Any, Any] | None:
    """Find a model in the price list.

    Args:
        provider: As logged; empty where it is not known.
        model: As logged.

    Returns:
        The provider and the model of genai-prices; None where it is not listed.
    """
    from genai_prices.data_snapshot import get_snapshot

    snapshot = get_snapshot()
    known = frozenset(one.id for one in snapshot.providers)
    for named, name in _candidates(provider.strip().lower(), model.strip(), known):
        try:
            return snapshot.find_provider_model(name, None, named, None)
        except LookupError:
            continue
    return None


@lru_cache(maxsize=1024)
def _candidates(provider: str, model: str, known: frozenset[str]) -> tuple[tuple[str | None, str], ...]:
    return tuple(dict.fromkeys(_possible(provider, model, known)))


def _possible(provider: str, model: str, known: frozenset[str]) -> Iterator[tuple[str | None, str]]:
    """Yield providers and names to look up, the surest first."""
    listed = _ALIASES.get(provider, provider) or None
    arn = _ARN.match(model)
    if arn is not None:
        if arn["kind"].lower() in _NAMING_ARNS:
            yield from _spellings("aws", arn["name"])
        return
    if listed is None and _BEDROCK_ID.match(model):
        listed = "aws"
    prefix, rest = _prefix(model, known)
    if listed is None and prefix is not None:
        # A prefix says more than a likeness to names of some provider.
        yield from _possible(prefix, rest, known)
    yield from _spellings(listed, model)
    if provider != listed and provider:
        yield from _spellings(provider, model)
    if prefix is None or listed is None:
        return
    if prefix == listed or listed in _CLOUDS:
        yield from _possible(listed, rest, known)
    if prefix != listed and provider in _GATEWAYS:
        yield from _possible(prefix, rest, known)


def _prefix(model: str, known: frozenset[str]) -> tuple[str | None, str]:
    """Split off the provider that a name begins with, `openai/gpt-4o` or `openai:gpt-4o`; None where there is none."""
    for sign in "/:":
        head, found, rest = model.partition(sign)
        name = head.strip().lower()
        name = _ALIASES.get(name, name)
        if found and rest and name in known:
            return name, rest.strip()
    return None, model


def _spellings(provider: str | None, model: str) -> Iterator[tuple[str | None, str]]:
    """Yield a model's name as it is, then without what says nothing about its price."""
    yield provider, model
    name = _MODELS.sub("", model)
    if name != model and provider is None and "publishers/google/" in model:
        provider = "google"
    yield provider, name
    base, at, version = name.partition("@")
    if at:
        yield provider, f"{base}-{version}"
        yield provider, base
    if not name.startswith("ft:"):
        yield provider, _DATE.sub("", base)
        yield provider, base.removesuffix("-latest")
    if provider == "fireworks" and not name.startswith("accounts/"):
        yield provider, f"accounts/fireworks/models/{name}"
