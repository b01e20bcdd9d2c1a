"""Which provider, operation and model an HTTP request is for, told by its host and path alone.

Names of providers are those that people write and that price lists know (`openai`, `azure`, `anthropic`, `google`,
`vertex_ai`, `bedrock`, `mistral`, ...); names of operations are those of the OpenTelemetry conventions (`chat`,
`generate_content`, `text_completion`, `embeddings`) and, where these have none, the endpoint's own noun.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

__all__ = [
    "ENV_HOSTS",
    "NOT_ANSWERS",
    "Route",
    "hosts_from_environment",
    "match_route",
    "provider_of_host",
    "route_for",
    "route_of",
]

NOT_ANSWERS: Final = frozenset({"batch", "speech", "video_generation"})
"""Operations whose response need not be an answer in JSON: it says where the answer will be, or is media."""

ENV_HOSTS: Final = "LLM_LOGGING_HOSTS"
"""The environment variable that names hosts of one's own."""


class Route(NamedTuple):
    """Where a request goes.

    Attributes:
        provider: Who answers.
        operation: What is asked for.
        model: The model, where the path names it.
        stream: True where the path says that the answer is streamed.
    """

    provider: str
    operation: str
    model: str | None = None
    stream: bool = False


_HOSTS: dict[str, str] = {
    "api.openai.com": "openai",
    "eu.api.openai.com": "openai",
    "us.api.openai.com": "openai",
    "api.anthropic.com": "anthropic",
    "generativelanguage.googleapis.com": "google",
    "api.mistral.ai": "mistral",
    "codestral.mistral.ai": "mistral",
    "api.cohere.com": "cohere",
    "api.cohere.ai": "cohere",
    "api.groq.com": "groq",
    "openrouter.ai": "openrouter",
    "api.openrouter.ai": "openrouter",
    "api.deepseek.com": "deepseek",
    "api.x.ai": "xai",
    "api.together.xyz": "together",
    "api.together.ai": "together",
    "api.fireworks.ai": "fireworks",
    "api.perplexity.ai": "perplexity",
    "api.cerebras.ai": "cerebras",
    "api.moonshot.ai": "moonshotai",
    "api.moonshot.cn": "moonshotai",
    "api.z.ai": "zai",
    "open.bigmodel.cn": "zhipuai",
    "api.minimax.io": "minimax",
    "api.minimax.chat": "minimax",
    "api.minimaxi.com": "minimax",
    "dashscope.aliyuncs.com": "dashscope",
    "dashscope-intl.aliyuncs.com": "dashscope",
    "api.voyageai.com": "voyageai",
    "api.jina.ai": "jina",
    "api.deepinfra.com": "deepinfra",
    "api.novita.ai": "novita",
    "api.sambanova.ai": "sambanova",
    "api.hyperbolic.xyz": "hyperbolic",
    "api.studio.nebius.com": "nebius",
    "api.ai21.com": "ai21",
    "integrate.api.nvidia.com": "nvidia",
    "models.github.ai": "github",
    "models.inference.ai.azure.com": "github",
    "api.githubcopilot.com": "github-copilot",
    "api.inference.crusoecloud.com": "crusoe",
    "us.inference.heroku.com": "heroku",
    "eu.inference.heroku.com": "heroku",
    "ai-gateway.vercel.sh": "vercel",
    "gateway.pydantic.dev": "pydantic-ai-gateway",
    "ollama.com": "ollama",
    "api.cloudflare.com": "cloudflare",
    "gateway.ai.cloudflare.com": "cloudflare",
    "router.huggingface.co": "huggingface",
    "api.replicate.com": "replicate",
    "api.writer.com": "writer",
    "api.lepton.ai": "lepton",
    "api.friendli.ai": "friendli",
    "inference.baseten.co": "baseten",
    "dashscope-us.aliyuncs.com": "dashscope",
    "cn-hongkong.dashscope.aliyuncs.com": "dashscope",
    "ark.cn-beijing.volces.com": "volcengine",
    "api.siliconflow.cn": "siliconflow",
    "api.siliconflow.com": "siliconflow",
    "api.upstage.ai": "upstage",
    "api.reka.ai": "reka",
    "api.inceptionlabs.ai": "inception",
    "api.aleph-alpha.com": "aleph-alpha",
    "api-inference.huggingface.co": "huggingface",
}
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r".+\.(?:openai|cognitiveservices)\.azure\.(?:com|us|cn)", "azure"),
        (
            r".+\.services\.ai\.azure\.com|.+\.(?:models|inference)\.ai\.azure\.com|.+\.azure-api\.net",
            "azure",
        ),
        (r"bedrock-runtime(?:-fips)?\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?", "bedrock"),
        (r"bedrock-(?:runtime|mantle)\.[a-z0-9-]+\.api\.aws", "bedrock"),
        (r"(?:[a-z0-9-]+-)?aiplatform(?:\.[a-z0-9-]+\.rep)?\.googleapis\.com", "vertex_ai"),
        (r".+\.snowflakecomputing\.com", "snowflake"),
        (r".+\.(?:cloud\.databricks\.com|azuredatabricks\.net|gcp\.databricks\.com)", "databricks"),
        (r".+\.endpoints\.huggingface\.cloud", "huggingface"),
        (r".+\.watsonx\.ai|(?:.+\.)?ml\.cloud\.ibm\.com", "watsonx"),
    )
)
_OLLAMA_PORT = 11434
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})

# What a POST asks for, told by the end of its path.
_OPERATIONS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(f"(?:{pattern})$"), name)
    for pattern, name in (
        (r"/chat/completions|/agents/completions|/fim/completions", "chat"),
        (r"/responses(?:/compact)?", "chat"),
        (r"/messages", "chat"),
        (r"/v[12]/chat|/api/(?:v\d/)?chat", "chat"),
        (r"/text/chatcompletion_v2", "chat"),
        # watsonx.ai
        (r"/ml/v1/(?:deployments/[^/]+/)?text/chat(?:_stream)?", "chat"),
        (r"/ml/v1/(?:deployments/[^/]+/)?text/generation(?:_stream)?", "text_completion"),
        (r"/ml/v1/text/embeddings", "embeddings"),
        (r"/ml/v1/text/rerank", "rerank"),
        # Mistral's agents: a new conversation, one that goes on, one that starts over.
        (r"/v1/conversations(?:/[^/]+(?:/restart)?)?", "invoke_agent"),
        # OpenAI's threads
        (r"/threads/runs|/threads/[^/]+/runs(?:/[^/]+/submit_tool_outputs)?", "invoke_agent"),
        # Gemini
        (r"/interactions", "generate_content"),
        (r"/moderations|/chat/moderations|/v1/classify|/classifications", "moderation"),
        (r"/videos(?:/generations|/edits|/extensions|/[^/]+/remix)?|/video/generations", "video_generation"),
        (r"/batches|/batch/jobs|/batchPredictionJobs", "batch"),
        # DashScope
        (r"/services/aigc/(?:text-generation|multimodal-generation)/generation", "chat"),
        (r"/services/embeddings/.+", "embeddings"),
        (r"/services/rerank/.+", "rerank"),
        # Replicate
        (r"/predictions", "predict"),
        (
            r"/completions|/generate(?:_stream)?|/v1/complete|/api/extra/generate/stream|/completion",
            "text_completion",
        ),
        (r"/embeddings|/v[12]/embed|/api/embed|/multimodalembeddings", "embeddings"),
        (r"/v[12]/rerank|/rerank", "rerank"),
        (r"/images(?:/(?:generations|edits|variations))?", "image_generation"),
        (r"/audio/(?:transcriptions|translations)", "transcription"),
        (r"/audio/speech", "speech"),
        (r"/ocr", "ocr"),
    )
)
_GOOGLE = re.compile(r"/(?:models|endpoints|tunedModels)/(?P<model>[^/:]+):(?P<verb>\w+)$")
_GOOGLE_VERBS: dict[str, tuple[str, bool]] = {
    "generateContent": ("generate_content", False),
    "streamGenerateContent": ("generate_content", True),
    "embedContent": ("embeddings", False),
    "batchEmbedContents": ("embeddings", False),
    "rawPredict": ("chat", False),
    "streamRawPredict": ("chat", True),
    "predict": ("predict", False),
    "predictLongRunning": ("video_generation", False),
    "batchGenerateContent": ("batch", False),
    "asyncBatchEmbedContent": ("batch", False),
}
_BEDROCK = re.compile(
    r"/model/(?P<model>.+)/(?P<verb>invoke|invoke-with-response-stream|converse|converse-stream)$"
)
# Only these providers have models under such a path; others use the same words for other things.
_ONLY: dict[str, frozenset[str]] = {
    "/v1/conversations/": frozenset({"mistral"}),
    "/interactions/": frozenset({"google", "vertex_ai"}),
    "/predictions/": frozenset({"replicate"}),
    "/threads/": frozenset({"openai", "azure"}),
    "/images//": frozenset({"openrouter"}),
    "/videos//": frozenset({"openai", "azure", "openrouter"}),
    "/batches//": frozenset({"openai", "azure", "anthropic", "groq", "together"}),
}
_REPLICATE = re.compile(r"/(?:models|deployments)/(?P<model>[^/]+/[^/]+)/predictions$")
_WORKERS_AI = re.compile(r"/(?:ai/run|workers-ai)/(?P<model>@[^/]+/[^/]+/[^/]+|[^/@]+/[^/]+)$")
_EMBEDS = re.compile(r"embed|bge-(?!reranker)")
_STREAMED = re.compile(r"(?:_stream|/generate/stream)$")
_DEPLOYMENT = re.compile(r"/(?:deployments|serving-endpoints)/(?P<model>[^/]+)/")
_HUGGINGFACE = re.compile(r"^/(?P<upstream>[a-z0-9-]+)/(?:v\d|models|openai)")


def provider_of_host(host: str, port: int | None = None, path: str = "") -> str | None:
    """Return the provider behind a host; None for hosts that are nobody's.

    Args:
        host: Any case.
        port: Where the URL names it.
        path: A router's path may say more.
    """
    found = _provider(host, port)
    if found == "huggingface":
        upstream = _HUGGINGFACE.match(path)
        return f"huggingface_{upstream['upstream']}" if upstream is not None else found
    return found


@functools.lru_cache(maxsize=1024)
def _provider(host: str, port: int | None) -> str | None:
    host = host.lower().rstrip(".")
    found = _HOSTS.get(host)
    if found is not None:
        return found
    for pattern, name in _PATTERNS:
        if pattern.fullmatch(host):
            return name
    return "ollama" if port == _OLLAMA_PORT and host in _LOCAL else None


def match_route(method: str, url: str, hosts: Mapping[str, str] | None = None) -> Route | None:
    """Tell what an HTTP request asks of which provider.

    Args:
        method: Only `POST` asks for anything.
        url: The whole URL.
        hosts: Hosts of one's own (`"localhost:8000"` or without port) to the provider they speak for.

    Returns:
        The route; None where the host is nobody's or the path is no request to a model.
    """
    parts = urlsplit(url)
    host = parts.hostname
    if method.upper() != "POST" or not host:
        return None
    return route_of(host, parts.port, parts.path, hosts)


def hosts_from_environment() -> dict[str, str]:
    """Return the hosts that `LLM_LOGGING_HOSTS` names: `gpu-7:8000=vllm,proxy.internal=litellm`."""
    given = os.environ.get(ENV_HOSTS, "")
    pairs = (part.partition("=") for part in given.split(",") if part.strip())
    return {host.strip(): name.strip() for host, _, name in pairs if host.strip() and name.strip()}


def route_of(host: str, port: int | None, path: str, hosts: Mapping[str, str] | None = None) -> Route | None:
    """Tell what a POST to a host and path asks; see `match_route`."""
    provider = None
    if hosts:
        provider = hosts.get(f"{host}:{port}") or hosts.get(host)
    if provider is None:
        provider = provider_of_host(host, port, path)
    return None if provider is None else route_for(provider, path)


@functools.lru_cache(maxsize=512)
def route_for(provider: str, path: str) -> Route | None:
    """Tell what a path of a provider's API asks; None where it is no request to a model.

    Args:
        provider: Whose API it is.
        path: Without query.
    """
    path = path.rstrip("/")
    google = _GOOGLE.search(path)
    if google is not None:
        found = _GOOGLE_VERBS.get(google["verb"])
        if found is None:
            return None
        return Route(provider, found[0], unquote(google["model"]), found[1])
    bedrock = _BEDROCK.search(path)
    if bedrock is not None:
        model = unquote(bedrock["model"])
        operation = "embeddings" if "embed" in model else "chat"
        return Route(provider, operation, model, bedrock["verb"].endswith("stream"))
    if path.endswith(":embedContent"):
        return Route(provider, "embeddings")
    workers = _WORKERS_AI.search(path) if provider == "cloudflare" else None
    if workers is not None:
        model = unquote(workers["model"])
        return Route(provider, "embeddings" if _EMBEDS.search(model) else "chat", model)
    for pattern, operation in _OPERATIONS:
        if pattern.search(path):
            if any(part in f"{path}//" and provider not in only for part, only in _ONLY.items()):
                return None
            if "/threads/" in path and path.endswith("/messages"):
                # A message is put into a thread; a run answers it.
                return None
            named = _REPLICATE.search(path) if provider == "replicate" else _DEPLOYMENT.search(path)
            asked = unquote(named["model"]) if named is not None else None
            return Route(provider, operation, asked, _STREAMED.search(path) is not None)
    if path.endswith("/invocations"):
        deployment = _DEPLOYMENT.search(path)
        if deployment is not None:
            return Route(provider, "chat", unquote(deployment["model"]))
    return None
