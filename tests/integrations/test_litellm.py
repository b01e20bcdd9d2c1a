"""LiteLLM, with its callback."""

import asyncio
import gc
import os
import re
import time

import pytest

from llm_logging.integrations.httpx import instrument, uninstrument
from tests.integrations.sdks import SDKS
from tests.loopback import CUT, Answer

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


@pytest.fixture(autouse=True, scope="module")
def what_the_sdk_imports_is_left_to_itself():
    """Frozen, its hundreds of thousands of objects make no collection below slow."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


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


def outcome(ask):
    try:
        answer = ask()
    except Exception as error:
        return type(error).__qualname__, re.sub(r"[0-9.]+ seconds", "so many seconds", str(error))
    if isinstance(answer, list):
        return "".join(part.choices[0].delta.content or "" for part in answer if part.choices)
    return answer.choices[0].message.content


def sync_plain(**options):
    return litellm.completion(**options)


def sync_stream(**options):
    return list(litellm.completion(stream=True, stream_options={"include_usage": True}, **options))


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  LiteLLM's callbacks and the server are threads
            await asyncio.sleep(0.005)


async def callbacks_are_through(sink):
    # LiteLLM runs them in a task of its own, which ends with the loop.
    if litellm.callbacks:
        await until(lambda: sink.final)


def async_plain(sink, **options):
    async def main():
        try:
            return await litellm.acompletion(**options)
        finally:
            await callbacks_are_through(sink)

    return asyncio.run(main())


def async_stream(sink, **options):
    async def main():
        try:
            made = await litellm.acompletion(stream=True, stream_options={"include_usage": True}, **options)
            return [part async for part in made]
        finally:
            await callbacks_are_through(sink)

    return asyncio.run(main())


@pytest.mark.parametrize("ask", [sync_plain, sync_stream, async_plain, async_stream])
@pytest.mark.parametrize(
    ("answer", "options", "expected"),
    [
        (None, {}, ("success", 200)),
        (lambda: OPENAI.no(401), {}, ("error", 401)),
        (lambda: OPENAI.no(429), {}, ("error", 429)),
        (lambda: OPENAI.no(500), {}, ("error", 500)),
        (lambda: Answer({}, delay=5), {"timeout": 0.3}, ("timeout", 408)),
        (lambda: Answer(b'{"id": "c1", "choices": [{"ind'), {}, ("error", None)),
        (lambda: OPENAI.streamed([*OPENAI.stream[:2], CUT]), {}, ("error", None)),
        ("refused", {"api_base": "http://127.0.0.1:9/v1"}, ("error", None)),
    ],
    ids=["answered", "401", "429", "500", "timed out", "malformed", "cut", "refused"],
)
def test_the_same_with_and_without_us(server, sink, callback, monkeypatch, ask, answer, options, expected):
    streams = ask in (sync_stream, async_stream)
    if answer is None:
        answer = OPENAI.streamed if streams else OPENAI.answer
    elif answer == "refused":
        answer = OPENAI.answer
    server.play(PATH, answer())
    given = {"model": "openai/m-1", "api_base": f"{server.url}/v1", "api_key": "k", "messages": MESSAGES,
             "max_retries": 0, "timeout": 5, **options}  # fmt: skip
    if ask in (async_plain, async_stream):
        given["sink"] = sink
    if streams and b"[{" in answer().body:
        pytest.skip("LiteLLM takes a stream without an event for an answer, and says nothing of it")
    logged, litellm.callbacks = litellm.callbacks, []
    bare = outcome(lambda: ask(**given))
    litellm.in_memory_llm_clients_cache.flush_cache()
    litellm.callbacks = logged
    assert outcome(lambda: ask(**given)) == bare
    entry = sink.wait(1)[0]
    assert (entry.status, entry.http_status) in {
        expected,
        (expected[0], 500 if expected[1] is None else expected[1]),
    }
    assert tokens(entry) == ((9, 2) if bare == "Hi" else tokens(entry))
    assert len(sink.final) == 1


def test_refused_then_answered(server, sink, callback):
    refusal = OPENAI.no(429)
    refusal.headers["retry-after-ms"] = "10"
    server.play(PATH, refusal, OPENAI.answer())
    answer = litellm.completion(model="openai/m-1", api_base=f"{server.url}/v1", api_key="k", messages=MESSAGES,
                                max_retries=2, timeout=5)  # fmt: skip
    assert answer.choices[0].message.content == "Hi"
    assert tokens(sink.wait(1)[-1]) == (9, 2)
    assert len(server.requests) == 2


@pytest.mark.parametrize("first", [False, True])
def test_cancelled(server, sink, callback, first):
    body = [*OPENAI.stream[:3], 5.0, *OPENAI.stream[3:]]
    server.play(PATH, OPENAI.streamed(body) if first else OPENAI.answer(delay=5))
    arrived = []

    async def run():
        if not first:
            await aask(server)
        async for chunk in await aask(server, stream=True):
            arrived.append(chunk.choices[0].delta.content)

    async def main():
        task = asyncio.create_task(run())
        await until(lambda: arrived[-1:] == ["i"] if first else server.requests)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    gc.collect()
    entry = sink.wait(1)[0]
    assert litellm.callbacks[0]._open == {}
    if first:
        assert (entry.status, entry.error, entry.stream) == ("success", None, True)
        assert entry.attributes["stream_ended"] == "left"
    else:
        assert (entry.status, entry.error.code) == ("error", "cancelled")


def records_in_memory():
    from litellm.litellm_core_utils.litellm_logging import Logging

    gc.collect()
    return sum(type(found) is Logging for found in gc.get_objects())


@pytest.mark.parametrize("left", [False, True])
def test_streams_are_let_go(server, sink, callback, left):
    server.play(PATH, OPENAI.streamed())
    before = records_in_memory()
    for _ in range(3):
        for number, _ in enumerate(ask(server, stream=True)):
            if left and number == 1:
                break
    # LiteLLM's own threads hold a stream's record for a moment after each chunk.
    deadline = time.monotonic() + 10
    while (records_in_memory() > before or len(sink.final) < 3) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert records_in_memory() <= before
    found = sink.wait(3)
    assert [entry.status for entry in found] == ["success"] * 3
    assert [(entry.attributes or {}).get("stream_ended") for entry in found] == ["left" if left else None] * 3


def test_two_loggers_log_each_request_once(server, log, sink, callback, monkeypatch):
    monkeypatch.setattr(litellm, "callbacks", [*litellm.callbacks, LiteLLMLogger(log)])
    server.play(PATH, OPENAI.answer())
    ask(server)
    sink.wait(1)
    time.sleep(0.2)
    assert len(sink.final) == 1


@pytest.mark.parametrize(
    ("with_usage", "source"), [(True, "provider"), (False, "estimated")], ids=["stated", "counted by LiteLLM"]
)
def test_what_litellm_counts_itself_is_estimated(server, sink, callback, with_usage, source):
    body = OPENAI.stream if with_usage else [part for part in OPENAI.stream if b'"usage": {' not in part]
    server.play(PATH, OPENAI.streamed(body))
    list(ask(server, stream=True, stream_options={"include_usage": True}))
    entry = sink.wait(1)[0]
    assert entry.usage.source == source
    assert entry.cost is None or entry.cost.source == "estimated"
    sink.entries.clear()

    async def main():
        async for _ in await aask(server, stream=True, stream_options={"include_usage": True}):
            pass
        await until(lambda: sink.final)

    asyncio.run(main())
    assert sink.wait(1)[0].usage.source == source


def test_retries_and_fallbacks_of_the_router_are_attempts_of_one_call(server, sink, callback):
    server.play("/bad/chat/completions", OPENAI.no(500))
    server.play("/good/chat/completions", OPENAI.answer())
    router = litellm.Router(
        model_list=[
            {"model_name": name, "litellm_params": {"model": f"openai/{name}", "api_base": f"{server.url}/{name}", "api_key": "k", "max_retries": 0}}
            for name in ("bad", "good")
        ],
        fallbacks=[{"bad": ["good"]}],
        num_retries=1,
        retry_after=0,
    )  # fmt: skip
    router.completion(model="bad", messages=MESSAGES)
    found = sink.wait(3)
    assert [(entry.model, entry.status, entry.attempt) for entry in found] == [
        ("bad", "error", 1), ("bad", "error", 2), ("good", "success", 3),
    ]  # fmt: skip
    assert len({entry.request_group for entry in found}) == 1
    router.completion(model="good", messages=MESSAGES)
    assert (sink.wait(4)[3].attempt, sink.final[3].request_group) == (1, sink.final[3].id)
