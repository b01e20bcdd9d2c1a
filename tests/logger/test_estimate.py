"""Estimates are asked for, marked, and never in the way."""

import importlib

import pytest

from llm_logging.errors import ConfigurationError
from llm_logging.integrations.httpx import LoggedTransport
from llm_logging.usage.estimate import estimated_usage, tiktoken_counter
from tests.integrations.sdks import SDKS
from tests.loopback import serving

MESSAGES = [
    {"role": "system", "content": "Be brief"},
    {"role": "user", "content": [{"type": "text", "text": "a b c"}]},
]


def words(model, text):
    return len(text.split())


def test_prompt_and_answer():
    usage = estimated_usage(words, "m", MESSAGES, "one two")
    assert (usage.prompt_tokens, usage.completion_tokens, usage.source) == (5 + 3 * 2 + 3, 2, "estimated")
    assert estimated_usage(words, "m", None, "one").prompt_tokens is None
    assert estimated_usage(words, "m", MESSAGES, None).completion_tokens is None
    assert estimated_usage(words, "m", None, None) is None
    assert estimated_usage(lambda model, text: 1 / 0, "m", MESSAGES, "x") is None


def test_a_missing_package_is_named(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ConfigurationError, match="pip install tiktoken"):
        tiktoken_counter()


@pytest.mark.parametrize("estimate", [None, words])
def test_a_stream_without_usage(log, sink, estimate):
    httpx = pytest.importorskip("httpx")
    sdk = SDKS["openai"]
    without = [part for part in sdk.stream if b"prompt_tokens" not in part]
    transport = LoggedTransport(
        httpx.HTTPTransport(), log=log, provider="openai", estimate=estimate, content=False
    )
    with serving() as server, httpx.Client(transport=transport, base_url=server.url) as http:
        body = {"model": "m-1", "messages": [{"role": "user", "content": "Say hi"}], "stream": True}
        server.play(sdk.path, sdk.streamed(without))
        http.post(sdk.path, json=body)
        server.play(sdk.path, sdk.streamed())
        http.post(sdk.path, json=body)
    first, second = sink.final
    if estimate is None:
        assert first.usage is None
    else:
        assert (first.usage.prompt_tokens, first.usage.completion_tokens, first.usage.source) == (
            8,
            1,
            "estimated",
        )
    assert (second.usage.total_tokens, second.usage.source) == (11, "provider")
    assert first.response is None
    assert first.messages is None
