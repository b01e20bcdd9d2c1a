"""LangChain's models, with a callback."""

import asyncio
import gc

import pytest

from llm_logging.integrations.httpx import instrument, uninstrument
from tests.integrations.sdks import SDKS, chat
from tests.loopback import CUT, Answer

langchain_openai = pytest.importorskip("langchain_openai", reason="langchain-openai is not installed")
from llm_logging.integrations.langchain import LangChainLogger  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
PATH = "/chat/completions"
OPENAI = SDKS["openai"]


@pytest.fixture(autouse=True)
def sockets_that_are_left_open_go_here():
    yield
    gc.collect()


def model(server, **options):
    options.setdefault("max_retries", 0)
    return langchain_openai.ChatOpenAI(
        model="m-1", base_url=f"{server.url}/v1", api_key="k", stream_usage=True, timeout=5, **options
    )


def tokens(entry):
    return None if entry.usage is None else (entry.usage.prompt_tokens, entry.usage.completion_tokens)


def test_plain(server, log, sink):
    usage = {**OPENAI.plain["usage"], "prompt_tokens_details": {"cached_tokens": 4}}
    server.play(PATH, Answer(chat(usage)))
    answer = model(server).invoke("Say hi", config={"callbacks": [LangChainLogger(log)], "tags": ["t"]})
    assert answer.content == "Hi"
    entry = sink.only()
    assert (entry.status, entry.model, entry.response_model, entry.provider) == (
        "success",
        "m-1",
        "m-1-2026",
        "openai",
    )
    assert (tokens(entry), entry.usage.cache_read_tokens, entry.finish_reasons) == ((9, 2), 4, ["stop"])
    assert (entry.tags, entry.operation) == (["t"], "chat")
    assert entry.timings.latency_ms > 0


def test_streamed(server, log, sink):
    server.play(PATH, OPENAI.streamed())
    chunks = list(model(server).stream("Say hi", config={"callbacks": [LangChainLogger(log)]}))
    assert "".join(chunk.content for chunk in chunks) == "Hi"
    entry = sink.only()
    assert (tokens(entry), entry.stream, entry.status) == ((9, 2), True, "success")
    assert 0 < entry.timings.time_to_first_token_ms <= entry.timings.latency_ms


def test_async(server, log, sink):
    async def main():
        server.play(PATH, OPENAI.answer())
        await model(server).ainvoke("Say hi", config={"callbacks": [LangChainLogger(log)]})
        server.play(PATH, OPENAI.streamed())
        async for _ in model(server).astream("Say hi", config={"callbacks": [LangChainLogger(log)]}):
            pass

    asyncio.run(main())
    assert [tokens(entry) for entry in sink.final] == [(9, 2), (9, 2)]


def test_failures(server, log, sink):
    server.play(PATH, OPENAI.no(401))
    with pytest.raises(Exception, match="no"):
        model(server).invoke("Say hi", config={"callbacks": [LangChainLogger(log)]})
    entry = sink.only()
    assert (entry.status, entry.http_status, entry.error.code) == ("error", 401, "c")
    server.play(PATH, OPENAI.streamed([*OPENAI.stream[:2], CUT]))
    with pytest.raises(Exception):
        list(model(server).stream("Say hi", config={"callbacks": [LangChainLogger(log)]}))
    assert sink.final[-1].status == "error"


def test_with_httpx_instrumented_too_each_call_is_logged_once(server, log, sink):
    server.play(PATH, OPENAI.answer())
    instrument(log, hosts={f"127.0.0.1:{server.port}": "openai"})
    try:
        llm = model(server)
        logged = {"callbacks": [LangChainLogger(log)]}
        llm.invoke("Say hi", config=logged)
        assert len(sink.final) == 1
        # Without the callback, the transport is the outer one.
        llm.invoke("Say hi")
        assert len(sink.final) == 2
        server.play(PATH, OPENAI.no(500))
        with pytest.raises(Exception):
            llm.invoke("Say hi", config=logged)
        assert len(sink.final) == 3
        server.play(PATH, OPENAI.answer())
        llm.invoke("Say hi")
        assert len(sink.final) == 4

        async def main():
            await asyncio.gather(*(model(server).ainvoke("Say hi", config=logged) for _ in range(3)))

        asyncio.run(main())
        assert len(sink.final) == 7
    finally:
        uninstrument()


def test_inside_of_a_request_it_keeps_still(server, log, sink):
    server.play(PATH, OPENAI.answer())
    with log.request(model="m-1") as call:
        call.finish(model(server).invoke("Say hi", config={"callbacks": [LangChainLogger(log)]}))
    assert tokens(sink.only()) == (9, 2)


def test_content(server, log, sink):
    server.play(PATH, OPENAI.answer())
    model(server).invoke("Say hi", config={"callbacks": [LangChainLogger(log, content=True)]})
    assert sink.only().messages == [{"role": "user", "content": "Say hi"}]
    assert sink.only().response == "Hi"
