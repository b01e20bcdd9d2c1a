"""LiteLLM, with its callback."""

import asyncio
import gc
import os

import pytest

from llm_logging.integrations.httpx import instrument, uninstrument
from tests.integrations.sdks import SDKS
from tests.loopback import Answer

# Its list of prices is on the network otherwise.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
litellm = pytest.importorskip("litellm", reason="litellm is not installed")
from llm_logging.integrations.litellm import LiteLLMLogger  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]
PATH = "/chat/completions"
OPENAI = SDKS["openai"]
MESSAGES = [{"role": "user", "content": "Say hi"}]


@pytest.fixture(autouse=True)
def sockets_that_litellm_leaves_open_go_here():
    yield
    litellm.in_memory_llm_clients_cache.flush_cache()
    gc.collect()


@pytest.fixture
def callback(log, monkeypatch):
    monkeypatch.setattr(litellm, "callbacks", [LiteLLMLogger(log, pending=True)])
    for name in ("success_callback", "failure_callback", "_async_success_callback", "_async_failure_callback",
                 "input_callback"):  # fmt: skip
        monkeypatch.setattr(litellm, name, [])


def ask(server, **options):
    return litellm.completion(
        model="openai/m-1",
        api_base=f"{server.url}/v1",
        api_key="k",
        messages=MESSAGES,
        max_retries=0,
        timeout=5,
        **options,
    )


async def aask(server, **options):
    return await litellm.acompletion(
        model="openai/m-1",
        api_base=f"{server.url}/v1",
        api_key="k",
        messages=MESSAGES,
        max_retries=0,
        timeout=5,
        **options,
    )


def tokens(entry):
    return None if entry.usage is None else (entry.usage.prompt_tokens, entry.usage.completion_tokens)


def test_plain(server, log, sink, callback):
    server.play(PATH, OPENAI.answer())
    assert ask(server).choices[0].message.content == "Hi"
    entry = sink.wait(1)[0]
    assert (entry.status, entry.model, entry.provider, tokens(entry)) == ("success", "m-1", "openai", (9, 2))
    assert (entry.finish_reasons, entry.provider_response_id, entry.operation) == (["stop"], "c1", "chat")
    assert entry.timings.latency_ms > 0
    assert [line.status for line in sink.entries] == ["pending", "success"]


def test_streamed(server, log, sink, callback):
    server.play(PATH, OPENAI.streamed())
    chunks = list(ask(server, stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "Hi"
    entry = sink.wait(1)[0]
    assert (tokens(entry), entry.stream, entry.status) == ((9, 2), True, "success")
    assert 0 < entry.timings.time_to_first_token_ms <= entry.timings.latency_ms


def test_async(server, log, sink, callback):
    async def main():
        server.play(PATH, OPENAI.answer())
        await aask(server)
        server.play(PATH, OPENAI.streamed())
        async for _ in await aask(server, stream=True, stream_options={"include_usage": True}):
            pass
        for _ in range(100):
            if len(sink.final) == 2:
                break
            await asyncio.sleep(0.02)

    asyncio.run(main())
    assert [tokens(entry) for entry in sink.wait(2)] == [(9, 2), (9, 2)]


def test_failures(server, log, sink, callback):
    server.play(PATH, OPENAI.no(401))
    with pytest.raises(litellm.AuthenticationError):
        ask(server)
    entry = sink.wait(1)[0]
    assert (entry.status, entry.http_status, entry.error.type) == ("error", 401, "AuthenticationError")
    server.play(PATH, Answer({}, delay=5))
    with pytest.raises(litellm.Timeout):
        litellm.completion(model="openai/m-1", api_base=f"{server.url}/v1", api_key="k", messages=MESSAGES,
                           max_retries=0, timeout=0.1)  # fmt: skip
    assert sink.wait(2)[1].status == "timeout"

    async def main():
        server.play(PATH, OPENAI.no(500))
        with pytest.raises(litellm.InternalServerError):
            await aask(server)
        for _ in range(100):
            if len(sink.final) == 3:
                break
            await asyncio.sleep(0.02)

    asyncio.run(main())
    assert (sink.wait(3)[2].status, sink.final[2].http_status) == ("error", 500)


def test_with_httpx_instrumented_too_each_call_is_logged_once(server, log, sink, callback):
    server.play(PATH, OPENAI.answer())
    litellm.in_memory_llm_clients_cache.flush_cache()
    instrument(log, hosts={f"127.0.0.1:{server.port}": "openai"})
    try:
        ask(server)
        sink.wait(1)

        async def main():
            await aask(server)
            for _ in range(100):
                if len(sink.final) == 2:
                    break
                await asyncio.sleep(0.02)

        asyncio.run(main())
        assert len(sink.wait(2)) == 2
        server.play(PATH, OPENAI.no(500))
        with pytest.raises(litellm.InternalServerError):
            ask(server)
        assert len(sink.wait(3)) == 3
    finally:
        uninstrument()
