"""Which requests to hosts that no table names are calls of a model: servers of one's own, gateways, new providers.

Two things tell them: headers that only an SDK of a provider sends, together with a path that the SDK uses; or a path that
means nothing but a call of a model (`.../chat/completions`). The provider is then the host itself, with its port where the
host is local, unless the API is one server's own (ollama). Anything else that only looks like a call is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from .routes import Route, route_for

__all__ = ["looks_like_model_call", "route_of_unknown", "sdk_of"]

_AGENTS: Final = re.compile(
    r"(?:Async|Azure|AsyncAzure)?(?P<stainless>OpenAI|Anthropic(?:Bedrock|Vertex|Foundry)?|Groq|Cerebras|Together|Writer)"
    r"/(?:Python|JS)|(?P<name>google-genai-sdk|ollama-python|mistral-client|speakeasy-sdk|cohere|litellm|hf_hub|ai-sdk)",
    re.IGNORECASE,
)
_FAMILIES: Final[dict[str, str]] = {
    "anthropic": "anthropic",
    "anthropicbedrock": "anthropic",
    "anthropicvertex": "anthropic",
    "anthropicfoundry": "anthropic",
    "cohere": "cohere",
    "google-genai-sdk": "google",
    "groq": "groq",
    "mistral-client": "mistral",
    "ollama-python": "ollama",
    "speakeasy-sdk": "mistral",
}
# Each of these paths means a call of a model, whoever asks.
_CERTAIN: Final = re.compile(
    r"/chat/completions$|/v1/(?:fim|agents)/completions$|/v1beta/models/[^/:]+:(?:streamG|g)enerateContent$"
)
_OLLAMA: Final = re.compile(r"/api/(?:chat|generate|embed|embeddings)$")
_LIKELY: Final = re.compile(
    r"/v1/(?:messages|responses|completions|embeddings|rerank|images/generations|audio/(?:speech|transcriptions))$"
)
_LOCAL: Final = re.compile(r"localhost|127(?:\.\d+){3}|::1|0\.0\.0\.0|host\.docker\.internal|[^.:]+")
_PORTS: Final = {1234: "lmstudio"}
_OLLAMA_PORT: Final = 11434
# Where web frameworks send what their own test clients ask.
_TEST_HOSTS: Final = frozenset({"testserver"})


def sdk_of(header: Callable[[str], str | None]) -> str | None:
    """Return the family of the SDK that sends a request, as its headers tell it: `openai`, `anthropic`, `google` ...

    Args:
        header: Returns a header of the request by its name in lower case.
    """
    found = _AGENTS.search(header("user-agent") or "")
    if found is not None:
        name = (found["stainless"] or found["name"]).lower()
        return _FAMILIES.get(name, "openai")
    if header("anthropic-version") is not None:
        return "anthropic"
    if "google-genai-sdk" in (header("x-goog-api-client") or ""):
        return "google"
    if header("x-stainless-lang") is not None:
        return "openai"
    return "cohere" if header("x-fern-sdk-name") == "cohere" else None


def route_of_unknown(host: str, port: int | None, path: str, sdk: str | None) -> Route | None:
    """Tell what a POST to a host that no table names asks; None where it may be something else.

    Args:
        host: Without port.
        port: Where the URL names it.
        path: Without query.
        sdk: See `sdk_of`.
    """
    path = path.rstrip("/")
    if host in _TEST_HOSTS:
        return None
    if sdk == "ollama" or ((port == _OLLAMA_PORT or "ollama" in host) and _OLLAMA.search(path)):
        return route_for("ollama", path)
    if sdk is None and _CERTAIN.search(path) is None:
        return None
    found = route_for(sdk or "openai", path)
    return None if found is None else found._replace(provider=_name_of(host, port))


def looks_like_model_call(path: str) -> bool:
    """Say whether a path is one that servers of models use, though others may, too."""
    return _LIKELY.search(path.rstrip("/")) is not None


def _name_of(host: str, port: int | None) -> str:
    if port == _OLLAMA_PORT:
        return "ollama"
    if _LOCAL.fullmatch(host):
        known = _PORTS.get(port or 0)
        return known or (host if port is None else f"{host}:{port}")
    return host.lower()
