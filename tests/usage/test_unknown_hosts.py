"""Calls of models at hosts that no table names."""

import pytest

from llm_logging.usage.unknown_hosts import looks_like_model_call, route_of_unknown, sdk_of

SDKS = {
    "openai": {"user-agent": "AsyncOpenAI/Python 3.57.0"},
    "anthropic": {"anthropic-version": "2023-06-01"},
    "google": {"x-goog-api-client": "google-genai-sdk/3.6.1 gl-python/3.11"},
    "ollama": {"user-agent": "ollama-python/0.6.3 (x86_64 linux) Python/3.11"},
    "groq": {"user-agent": "Groq/Python 1.7.0"},
    "mistral": {"user-agent": "mistral-client-python/3.7.0"},
    "cohere": {"x-fern-sdk-name": "cohere"},
}


@pytest.mark.parametrize("sdk", SDKS)
def test_the_sdk_is_told_by_its_headers(sdk):
    assert sdk_of(SDKS[sdk].get) == sdk
    assert sdk_of({"user-agent": "python-httpx/0.28"}.get) is None


@pytest.mark.parametrize(
    ("host", "port", "path", "sdk", "expected"),
    [
        ("localhost", 8000, "/v1/chat/completions", None, ("localhost:8000", "chat")),
        ("localhost", 1234, "/v1/responses", "openai", ("lmstudio", "chat")),
        ("ollama", 11434, "/api/chat", None, ("ollama", "chat")),
        ("host.docker.internal", 11434, "/v1/embeddings", "openai", ("ollama", "embeddings")),
        ("my-vllm.internal", None, "/v1/completions", "openai", ("my-vllm.internal", "text_completion")),
        ("gateway.example", None, "/anthropic/v1/messages", "anthropic", ("gateway.example", "chat")),
        ("gateway.example", None, "/v1beta/models/g:generateContent", "google", ("gateway.example", "generate_content")),
        ("gpu", 9000, "/api/generate", "ollama", ("ollama", "text_completion")),
        ("shop.example", None, "/v1/messages", None, None),
        ("shop.example", None, "/api/chat", None, None),
        ("testserver", None, "/v1/chat/completions", None, None),
        ("gateway.example", None, "/v1/files", "openai", None),
    ],
)  # fmt: skip
def test_routes(host, port, path, sdk, expected):
    found = route_of_unknown(host, port, path, sdk)
    assert (None if found is None else (found.provider, found.operation)) == expected


def test_what_only_looks_like_a_call():
    assert looks_like_model_call("/v1/messages")
    assert not looks_like_model_call("/api/chat")
    assert not looks_like_model_call("/orders")
