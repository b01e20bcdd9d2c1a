"""LangChain's models, with a callback."""

import asyncio
import gc
import itertools

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


@pytest.fixture(autouse=True, scope="module")
def what_the_sdk_imports_is_left_to_itself():
    """Frozen, its hundreds of thousands of objects make no collection below slow."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


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


def outcome(ask):
    """What comes of asking: the answer's text, or the exception."""
    try:
        answer = ask()
    except Exception as error:
        return type(error).__qualname__, str(error)
    return [part.content for part in answer] if isinstance(answer, list) else answer.content


def invoked(llm, **config):
    return llm.invoke("Say hi", **config)


def ainvoked(llm, **config):
    return asyncio.run(llm.ainvoke("Say hi", **config))


def streamed(llm, **config):
    return list(llm.stream("Say hi", **config))


def astreamed(llm, **config):
    async def read():
        return [part async for part in llm.astream("Say hi", **config)]

    return asyncio.run(read())


different = itertools.count(0.001, 0.001)
MALFORMED = Answer(b'{"id": "c1", "choices": [{"ind')


@pytest.mark.parametrize("ask", [invoked, ainvoked, streamed, astreamed])
@pytest.mark.parametrize(
    ("answer", "options", "expected"),
    [
        (None, {}, ("success", None, None)),
        (lambda: OPENAI.no(401), {}, ("error", "c", 401)),
        (lambda: OPENAI.no(500), {}, ("error", "c", 500)),
        (lambda: Answer({}, delay=5), {"timeout": 0.15}, ("timeout", "timeout", None)),
        (lambda: MALFORMED, {}, ("error", None, None)),
        (lambda: OPENAI.streamed([*OPENAI.stream[:2], CUT]), {}, ("error", None, None)),
        ("refused", {}, ("error", "connection_error", None)),
    ],
    ids=["answered", "401", "500", "timed out", "malformed", "cut", "refused"],
)
def test_the_same_with_and_without_us(server, log, sink, ask, answer, options, expected):
    streams = ask in (streamed, astreamed)
    if answer is None:
        answer = OPENAI.streamed if streams else OPENAI.answer
    elif answer == "refused":
        options, answer = {"base_url": "http://127.0.0.1:9/v1"}, OPENAI.answer
    server.play(PATH, answer())
    callback = LangChainLogger(log)

    def llm():
        given = {"base_url": f"{server.url}/v1", "timeout": 5, **options}
        # LangChain keeps one asynchronous client an address and timeout, with the connections of a loop that is over.
        given["timeout"] += next(different)
        return langchain_openai.ChatOpenAI(
            model="m-1", api_key="k", stream_usage=True, max_retries=0, **given
        )

    bare = outcome(lambda: ask(llm()))
    assert outcome(lambda: ask(llm(), config={"callbacks": [callback]})) == bare
    if answer().body is MALFORMED.body and streams:
        # A stream of nothing: LangChain says so in its own way.
        assert len(sink.final) == 1
        return
    entry = sink.only()
    status, code, http_status = expected
    assert entry.status == status
    if code is not None:
        assert (entry.error.code, entry.http_status) == (code, http_status)
    assert tokens(entry) == ((9, 2) if status == "success" else None)
    assert callback._open == {}


def test_refused_then_answered_is_one_request_of_langchains(server, log, sink):
    refusal = OPENAI.no(429)
    refusal.headers["retry-after-ms"] = "10"
    server.play(PATH, refusal, OPENAI.answer())
    assert (
        model(server, max_retries=2).invoke("Say hi", config={"callbacks": [LangChainLogger(log)]}).content
        == "Hi"
    )
    assert (sink.only().status, tokens(sink.only())) == ("success", (9, 2))
    assert len(server.requests) == 2


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  the server is a thread
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("first", [False, True])
def test_cancelled(server, log, sink, first):
    callback = LangChainLogger(log)
    body = [*OPENAI.stream[:3], 5.0, *OPENAI.stream[3:]]
    server.play(PATH, OPENAI.streamed(body) if first else OPENAI.answer(delay=5))
    arrived = []

    async def ask():
        config = {"callbacks": [callback]}
        if not first:
            await model(server).ainvoke("Say hi", config=config)
        async for chunk in model(server).astream("Say hi", config=config):
            arrived.append(chunk.content)

    async def main():
        task = asyncio.create_task(ask())
        await until(lambda: arrived[-1:] == ["i"] if first else server.requests)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        del task

    asyncio.run(main())
    gc.collect()
    entry = sink.wait(1)[0]
    assert callback._open == {}
    if first:
        assert (entry.status, entry.error, entry.attributes) == (
            "success",
            None,
            {"stream_ended": "cancelled"},
        )
    else:
        assert (entry.status, entry.error.code) == ("error", "cancelled")


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_stream_that_is_left(server, log, sink, asynchronous):
    callback = LangChainLogger(log)
    server.play(PATH, OPENAI.streamed([*OPENAI.stream[:2], 5.0, *OPENAI.stream[2:]]))
    config = {"callbacks": [callback]}

    def leave():
        for chunk in model(server).stream("Say hi", config=config):
            if chunk.content:
                return

    async def aleave():
        stream = model(server).astream("Say hi", config=config)
        async for chunk in stream:
            if chunk.content:
                break
        await stream.aclose()

    asyncio.run(aleave()) if asynchronous else leave()
    gc.collect()
    entry = sink.wait(1)[0]
    assert (entry.status, entry.error) == ("success", None)
    assert callback._open == {}


def test_a_pending_line_where_it_is_asked_for(server, log, sink):
    server.play(PATH, OPENAI.answer())
    model(server).invoke("Say hi", config={"callbacks": [LangChainLogger(log, pending=True)]})
    assert [line.status for line in sink.entries] == ["pending", "success"]
    assert len({line.id for line in sink.entries}) == 1
