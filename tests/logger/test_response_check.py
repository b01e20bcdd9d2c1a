"""What is given to `finish` is read, or the line says what it was; each use of a request is a request."""

import asyncio
import concurrent.futures
import contextlib
import types

import httpx
import pytest

import llm_logging

RESPONSE = {
    "id": "r-1",
    "object": "chat.completion",
    "model": "m",
    "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
}
CHUNK = {
    "object": "chat.completion.chunk",
    "model": "m",
    "choices": [{"index": 0, "delta": {"content": "w"}, "finish_reason": None}],
}


async def coroutine():
    return RESPONSE


async def agenerator():
    yield CHUNK


def answer(log, sink, thing):
    with log.request(model="m", pending=False) as call:
        call.finish(thing)
    return sink.final[-1]


class Manager:
    def __enter__(self):
        return self

    def __exit__(self, *details):
        return None


FORGOTTEN = {
    "generator": lambda: (chunk for chunk in [CHUNK]),
    "async generator": agenerator,
    "iterator": lambda: iter([CHUNK]),
    "map": lambda: map(str, [1]),
    "future": concurrent.futures.Future,
    "function": lambda: coroutine,
    "manager": Manager,
    "unread HTTP response": lambda: httpx.Response(200, stream=httpx.ByteStream(b"{}")),
}


@pytest.mark.parametrize("name", FORGOTTEN)
def test_an_answer_that_is_not_there_is_no_success(log, sink, name):
    entry = answer(log, sink, FORGOTTEN[name]())
    assert (entry.status, entry.error.code) == ("error", "invalid_response")
    assert entry.attributes["invalid"]["response"] == entry.error.message


def test_a_coroutine_that_was_not_awaited(log, sink, capsys):
    for _ in range(2):
        forgotten = coroutine()
        entry = answer(log, sink, forgotten)
        forgotten.close()
        assert (entry.status, entry.error.message) == (
            "error",
            "a coroutine: await it, and call finish with the result",
        )
    assert capsys.readouterr().err.count("await it") == 1


THINGS = {
    "text": "the text",
    "bytes": b"bytes",
    "object": object(),
    "number": 7,
    "list": [],
    "dict": {"text": "hi"},
}


@pytest.mark.parametrize("thing", THINGS.values(), ids=THINGS)
def test_what_is_no_response_is_noted_and_costs_no_success(log, sink, thing):
    entry = answer(log, sink, thing)
    assert entry.status == "success"
    assert "expected the provider's response" in entry.attributes["invalid"]["response"]


def test_what_can_be_read_is_read(log, sink):
    raw = httpx.Response(200, json=RESPONSE)
    held = types.SimpleNamespace(http_response=raw)
    for thing in (RESPONSE, raw, held, raw.text, [CHUNK, {**CHUNK, "usage": RESPONSE["usage"]}]):
        entry = answer(log, sink, thing)
        assert (entry.status, entry.usage.prompt_tokens) == ("success", 10)
        assert "invalid" not in (entry.attributes or {})


def test_an_error_response_is_an_error(log, sink):
    entry = answer(
        log, sink, httpx.Response(429, json={"error": {"message": "slow down", "code": "rate_limit"}})
    )
    assert (entry.status, entry.http_status, entry.error.code) == ("error", 429, "rate_limit")
    entry = answer(log, sink, ValueError("bad"))
    assert (entry.status, entry.error.type) == ("error", "ValueError")
    entry = answer(log, sink, {"object": "response", "id": "r", "model": "m", "status": "cancelled"})
    assert (entry.status, entry.error.code) == ("error", "cancelled")


# -- uses ------------------------------------------------------------------------------------------------------------


def spent(sink):
    latest = {entry.id: entry for entry in sink.final}
    return [entry.usage.prompt_tokens for entry in latest.values()]


def test_each_use_is_a_request(log, sink):
    call = log.request(model="m", tags=["x"])
    for tokens in (1, 10, 100):
        with call:
            call.finish(usage={"prompt_tokens": tokens})
    assert spent(sink) == [1, 10, 100]
    assert [entry.tags for entry in sink.final] == [["x"]] * 3


def test_a_use_that_failed_leaves_nothing_to_the_next(log, sink):
    call = log.request(model="m", pending=False)
    with contextlib.suppress(ValueError), call:
        raise ValueError
    with call:
        call.finish(RESPONSE)
    assert [entry.status for entry in sink.final] == ["error", "success"]
    assert sink.final[1].error is None


def test_a_request_that_is_open_is_not_entered_again(log, sink):
    call = log.request(model="m", pending=False)

    async def use():
        async with call:
            await asyncio.sleep(0.01)

    async def both():
        return await asyncio.gather(use(), use(), return_exceptions=True)

    with call, pytest.raises(llm_logging.ValidationError, match="still open"), call:
        pass
    outcomes = asyncio.run(both())
    assert sorted(type(one).__name__ for one in outcomes) == ["NoneType", "ValidationError"]
    assert len(sink.final) == 2


def test_two_answers_in_one_block_are_two_requests(log, sink):
    with log.request(model="m", pending=False) as call:
        call.finish(RESPONSE)
        call.finish(RESPONSE)
        call.finish({**RESPONSE, "id": "r-2", "usage": {"prompt_tokens": 100, "completion_tokens": 2}})
        for _ in call.stream(
            [CHUNK, {**CHUNK, "id": "r-3", "usage": {"prompt_tokens": 1000, "completion_tokens": 2}}]
        ):
            pass
    assert spent(sink) == [10, 100, 1000]
    assert all(entry.timings.latency_ms >= 0 for entry in sink.final)


def test_finish_outside_of_the_block_loses_nothing(log, sink, capsys):
    log.request(model="m").finish(RESPONSE)
    with log.request(model="m", pending=False) as call:
        pass
    call.finish(RESPONSE)
    call.note(tags=["late"])
    assert spent(sink) == [10, 10]
    assert sink.final[-1].tags == ["late"]
    assert "outside of the request's `with`" in capsys.readouterr().err


def test_a_stream_without_a_block(log, sink):
    for _ in log.request(model="m").stream([CHUNK, {**CHUNK, "usage": RESPONSE["usage"]}]):
        pass
    assert spent(sink) == [10]


# -- deadlines after the first chunk ---------------------------------------------------------------------------------


async def slow():
    for _ in range(1000):
        await asyncio.sleep(0.01)
        yield {**CHUNK, "usage": {"prompt_tokens": 10, "completion_tokens": 1}}


async def read(log):
    async with log.request(model="m", pending=False) as call:
        async for _ in call.stream(slow()):
            pass


async def work_between(log):
    async with log.request(model="m", pending=False) as call, call.stream(slow()) as stream:
        async for _ in stream:
            await asyncio.sleep(10)


async def caught_inside(log):
    async with log.request(model="m", pending=False) as call:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                async for _ in call.stream(slow()):
                    pass


async def by_chunk(log):
    async with log.request(model="m", pending=False) as call:
        stream = call.stream(slow())
        await anext(stream)
        await asyncio.wait_for(stream_end(stream), 0.05)


async def stream_end(stream):
    async for _ in stream:
        pass


@pytest.mark.parametrize("use", [read, work_between, caught_inside, by_chunk])
def test_a_deadline_in_a_stream_is_a_timeout(log, sink, use):
    async def main():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                await use(log)
        await asyncio.sleep(0.05)

    asyncio.run(main())
    entry = sink.only()
    assert (entry.status, entry.error.code) == ("timeout", "timeout")
    assert (entry.usage.prompt_tokens, entry.usage.source) == (10, "partial")


def test_wait_for_around_a_stream(log, sink):
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(read(log), 0.1))
    assert sink.only().status == "timeout"


def test_who_leaves_a_stream_has_had_an_answer(log, sink):
    async def left():
        async with log.request(model="m", pending=False) as call:
            async for _ in call.stream(slow()):
                break

    async def disconnected():
        task = asyncio.create_task(read(log))
        await asyncio.sleep(0.1)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(left())
    asyncio.run(disconnected())
    assert [entry.status for entry in sink.final] == ["success", "success"]


def test_a_retry_after_a_deadline_with_the_same_object(log, sink):
    call = log.request(model="m", pending=False)

    async def main():
        for _ in range(2):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.05), call:
                    async for _ in call.stream(slow()):
                        pass
        async with call:
            call.finish(RESPONSE)
        await asyncio.sleep(0.05)

    asyncio.run(main())
    assert sorted(entry.status for entry in sink.final) == ["success", "timeout", "timeout"]
    assert len({entry.id for entry in sink.final}) == 3
