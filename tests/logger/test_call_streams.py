"""However a stream ends, it is logged once, with what was known by then."""

import asyncio
import gc
import threading
import weakref
from types import SimpleNamespace

import pytest

from llm_logging.context import scope, suppressed
from llm_logging.logger.call import LLMCall
from llm_logging.logger.stream import WatchedStream
from llm_logging.usage.accumulator import ResponseFold


def chunk(content="", *, finish=None, usage=None):
    choices = [] if usage else [{"index": 0, "delta": {"content": content}, "finish_reason": finish}]
    return {
        "id": "c1",
        "object": "chat.completion.chunk",
        "model": "gpt-4o-2024",
        "choices": choices,
        "usage": usage,
    }


CHUNKS = [
    chunk(),
    chunk("Hi"),
    chunk(finish="stop"),
    chunk(usage={"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}),
]


def numbers(entry):
    usage = entry.usage
    return None if usage is None else (usage.prompt_tokens, usage.completion_tokens, usage.source)


def test_a_stream_that_is_read_to_its_end(log, sink):
    with log.request(model="gpt-4o", provider="openai") as call:
        got = list(call.stream(iter(CHUNKS)))
    assert all(a is b for a, b in zip(got, CHUNKS, strict=True))
    entry = sink.only()
    assert (entry.status, entry.model, entry.response_model) == ("success", "gpt-4o", "gpt-4o-2024")
    assert numbers(entry) == (9, 2, "provider")
    assert (entry.stream, entry.finish_reasons, entry.provider_response_id) == (True, ["stop"], "c1")
    assert 0 < entry.timings.time_to_first_token_ms <= entry.timings.latency_ms
    assert entry.error is None
    assert [line.status for line in sink.entries] == ["pending", "success"]
    assert len({line.id for line in sink.entries}) == 1


def test_chunks_pass_undelayed(log, sink):
    seen = []

    def source():
        for item in CHUNKS:
            seen.append("made")
            yield item

    with log.request(model="m") as call:
        for _ in call.stream(source()):
            seen.append("read")
    assert seen == ["made", "read"] * 4


@pytest.mark.parametrize("taken", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("how", ["break", "close", "del", "with", "hold"])
def test_a_stream_that_is_left(log, sink, taken, how):
    with log.request(model="m") as call:
        stream = call.stream(iter(CHUNKS))
        for _ in range(taken):
            next(stream)
        if how == "close":
            stream.close()
            stream.close()
        elif how in ("break", "del"):
            del stream
        elif how == "with":
            with stream:
                pass
    if how == "hold":
        # It was handed on: the request lasts as long as the stream.
        assert sink.final == []
        del stream
    entry = sink.only()
    if taken == 0:
        assert (entry.status, entry.error.code, entry.usage) == ("error", "cancelled", None)
    else:
        assert (entry.status, entry.error) == ("success", None)
        assert numbers(entry) == (None if taken < 4 else (9, 2, "provider"))
        assert (entry.attributes or {}).get("stream_ended") == (
            None if taken >= 3 else ("left" if how in ("break", "del", "hold") else "closed")
        )


def test_what_anthropic_said_before_the_stream_was_left_is_partial(log, sink):
    start = {
        "type": "message_start",
        "message": {"id": "msg", "usage": {"input_tokens": 3, "output_tokens": 1}},
    }
    with log.request(model="claude") as call:
        for _ in call.stream(
            [start, {"type": "content_block_delta", "delta": {"text": "a"}}, {"type": "ping"}]
        ):
            if _ is not start:
                break
    entry = sink.only()
    assert numbers(entry) == (3, 1, "partial")
    assert entry.status == "success"


def test_a_stream_that_fails(log, sink):
    def source():
        yield CHUNKS[1]
        raise ConnectionResetError("peer")

    with pytest.raises(ConnectionResetError), log.request(model="m") as call:
        list(call.stream(source()))
    entry = sink.only()
    assert (entry.status, entry.error.code, entry.error.type) == (
        "error",
        "connection_error",
        "ConnectionResetError",
    )
    assert entry.timings.time_to_first_token_ms is not None


def test_a_stream_that_outlives_its_block(log, sink):
    def start():
        with log.request(model="m") as call:
            return call.stream(iter(CHUNKS))

    stream = start()
    assert sink.final == []
    assert len(list(stream)) == 4
    assert numbers(sink.only()) == (9, 2, "provider")


def test_an_exception_in_the_block_ends_its_streams(log, sink):
    with pytest.raises(ZeroDivisionError), log.request(model="m") as call:
        stream = call.stream(
            iter(
                [{"type": "message_start", "message": {"usage": {"input_tokens": 3, "output_tokens": 1}}}, {}]
            )
        )
        next(stream)
        1 / 0
    entry = sink.only()
    assert (entry.status, entry.error.type) == ("error", "ZeroDivisionError")
    assert numbers(entry) == (3, 1, "partial")
    stream.close()
    assert len(sink.final) == 1


def test_a_stream_found_by_the_garbage_collector_is_logged_from_outside_of_it(log, sink):
    threads = []
    sink.addFilter(lambda record: threads.append(threading.get_ident()) or True)
    with log.request(model="m", pending=False) as call:
        stream = call.stream(iter(CHUNKS))
        next(stream)
        holder = SimpleNamespace(stream=stream)
        holder.itself = holder
        del stream, holder
    assert sink.final == []
    gc.collect()
    sink.wait(1)
    assert threads[0] != threading.get_ident()
    assert sink.only().attributes["stream_ended"] == "left"


def test_strange_chunks_pass_and_the_first_one_is_the_first_token(log, sink):
    class Odd:
        __slots__ = ()

    items = ["text", None, 7, Odd(), b"x", {"choices": 3}]
    with log.request(model="m") as call:
        assert list(call.stream(items)) == items
    assert sink.only().timings.time_to_first_token_ms is not None
    assert sink.only().status == "success"


def test_whatever_else_a_stream_has_is_still_there(log, sink):
    class Stream:
        response = "raw"

        def __iter__(self):
            return iter(CHUNKS)

    with log.request(model="m") as call:
        stream = call.stream(Stream())
        assert stream.response == "raw"
        assert not hasattr(stream, "nothing")
        list(stream)


# asyncio ----------------------------------------------------------------------------------------------------------


async def asource(items=CHUNKS, pause=0.0):
    for item in items:
        await asyncio.sleep(pause)
        yield item


def test_an_async_stream_that_is_read_to_its_end(log, sink):
    async def main():
        async with log.request(model="m") as call:
            return [item async for item in call.stream(asource())]

    assert len(asyncio.run(main())) == 4
    assert numbers(sink.only()) == (9, 2, "provider")


@pytest.mark.parametrize("after_first", [False, True])
def test_a_cancelled_task(log, sink, after_first):
    async def reader(started):
        async with log.request(model="m") as call:
            async for _ in call.stream(asource([CHUNKS[1], *CHUNKS], 0.0 if after_first else 60)):
                started.set()
                await asyncio.sleep(60)

    async def main():
        started = asyncio.Event()
        task = asyncio.create_task(reader(started))
        if after_first:
            await started.wait()
        else:
            await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    entry = sink.only()
    if after_first:
        assert (entry.status, entry.error) == ("success", None)
        assert entry.attributes["stream_ended"] == "cancelled"
    else:
        assert (entry.status, entry.error.code) == ("error", "cancelled")


def test_a_timeout_around_a_stream(log, sink):
    async def main():
        async with asyncio.timeout(None) as deadline:
            async with log.request(model="m") as call:
                async for _ in call.stream(asource(CHUNKS, 0.02)):
                    deadline.reschedule(asyncio.get_running_loop().time())

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    entry = sink.only()
    assert (entry.status, entry.error.code, entry.attributes["stream_ended"]) == (
        "timeout",
        "timeout",
        "timeout",
    )


def test_an_async_stream_closed_left_or_dropped(log, sink):
    async def main():
        with log.request(model="m") as call:
            stream = call.stream(asource())
            await anext(stream)
            await stream.aclose()
        with log.request(model="m") as call:
            async with call.stream(asource()) as stream:
                await anext(stream)
        with log.request(model="m") as call:
            stream = call.stream(asource())
            await anext(stream)
        del stream

    asyncio.run(main())
    assert [(entry.status, entry.attributes["stream_ended"]) for entry in sink.final] == [
        ("success", "closed"),
        ("success", "closed"),
        ("success", "left"),
    ]


# Around ------------------------------------------------------------------------------------------------------------


def test_requests_inside_know_their_parent(log, sink):
    with log.request(model="m", request_type="workflow") as outer:
        assert not suppressed()
        with log.request(model="m", request_type="tool") as tool:
            assert not suppressed()
            with log.request(model="m") as inner:
                assert suppressed()
            assert not suppressed()
    parents = {entry.id: entry.parent_id for entry in sink.final}
    assert parents == {outer.id: None, tool.id: outer.id, inner.id: tool.id}


def test_parents_reach_tasks_and_threads_but_no_strangers(log, sink):
    async def one(name):
        async with log.request(model=name, request_type="workflow") as call:
            await asyncio.sleep(0)
            await asyncio.gather(*(leaf(f"{name}.{number}", call.id) for number in range(3)))
            await asyncio.to_thread(sync_leaf, f"{name}.thread", call.id)

    async def leaf(name, parent):
        async with log.request(model=name, expected=parent):
            await asyncio.sleep(0)

    def sync_leaf(name, parent):
        with log.request(model=name, expected=parent):
            pass

    async def main():
        await asyncio.gather(one("a"), one("b"))

    asyncio.run(main())
    leaves = [entry for entry in sink.final if "." in entry.model]
    assert len(leaves) == 8
    for entry in leaves:
        assert entry.parent_id == entry.attributes["expected"]


def test_as_a_decorator(log, sink):
    @log.request(model="m", provider="openai")
    def ask(question, *, loud=False):
        """Ask."""
        assert suppressed()
        return {"usage": {"prompt_tokens": len(question), "completion_tokens": 1}}

    assert ask.__doc__ == "Ask."
    ask("four")
    ask("fiver", loud=True)
    assert [entry.usage.prompt_tokens for entry in sink.final] == [4, 5]
    assert len({entry.id for entry in sink.final}) == 2

    @log.request(model="m")
    def fail():
        raise TimeoutError("slow")

    with pytest.raises(TimeoutError):
        fail()
    assert (sink.final[-1].status, sink.final[-1].error.code) == ("timeout", "timeout")


def test_a_decorated_function_takes_the_scope_of_its_call(log, sink):
    @log.unbind("chat_id").request(model="m")
    def ask():
        return None

    with scope(chat_id="later"):
        ask()
    assert sink.only().chat_id == "later"


def test_decorated_coroutines_and_generators(log, sink):
    @log.request(model="coroutine")
    async def ask():
        await asyncio.sleep(0)
        assert suppressed()
        return {"usage": {"prompt_tokens": 1, "completion_tokens": 1}}

    @log.request(model="generator")
    def stream():
        for item in CHUNKS:
            assert suppressed()
            yield item

    @log.request(model="async generator")
    async def astream():
        for item in CHUNKS:
            assert suppressed()
            yield item

    @log.request(model="returned stream")
    def hand_on():
        return iter(CHUNKS)

    async def main():
        await ask()
        for item in stream():
            assert item in CHUNKS
            assert not suppressed()
        async for _ in astream():
            assert not suppressed()
        assert list(hand_on()) == CHUNKS

    asyncio.run(main())
    assert [(entry.model, entry.usage.total_tokens) for entry in sink.final] == [
        ("coroutine", 2),
        ("generator", 11),
        ("async generator", 11),
        ("returned stream", 11),
    ]
    generator = stream()
    next(generator)
    generator.close()
    assert sink.final[-1].attributes["stream_ended"] == "closed"

    async def leave():
        async for _ in astream():
            break
        gc.collect()
        await asyncio.sleep(0.01)

    asyncio.run(leave())
    assert len(sink.final) == 6
    assert sink.final[-1].status == "success"


def test_what_the_application_says_wins(log, sink):
    with log.request(model="asked") as call:
        call.finish(
            {"model": "answered", "usage": {"prompt_tokens": 1, "completion_tokens": 1}},
            usage={"prompt_tokens": 7},
        )
    assert (sink.only().model, sink.only().response_model, sink.only().usage.prompt_tokens) == (
        "asked",
        "answered",
        7,
    )
    with log.request() as call:
        call.finish({"model": "answered", "usage": {"prompt_tokens": 1, "completion_tokens": 1}})
    assert sink.final[-1].model == "answered"


def test_a_filter_that_raises_does_not_end_the_request(log, sink, capsys):
    log.logger.addFilter(lambda record: 1 / 0)
    with log.request(model="m") as call:
        call.finish()
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_streams_leave_nothing_behind(log, sink):
    ours = (LLMCall, WatchedStream, ResponseFold, weakref.finalize)

    def alive():
        gc.collect()
        return sum(isinstance(found, ours) for found in gc.get_objects())

    before = alive()
    for number in range(300):
        with log.request(model="m", pending=False) as call:
            for _ in call.stream(iter(CHUNKS)):
                if number % 2:
                    break
    assert alive() <= before + 1
