"""A timeout around a request is told from a cancellation, and neither is logged twice."""

import asyncio
import gc
from importlib import metadata

import pytest

from llm_logging.logger.timeouts import ask_whether_timed_out


def outcome(entry):
    return entry.status, entry.error.code


async def ask(log, seconds=30.0):
    async with log.request(model="m", pending=False):
        await asyncio.sleep(seconds)


def test_asyncio_timeout(log, sink):
    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await ask(log)
        await asyncio.sleep(0)
        assert outcome(sink.only()) == ("timeout", "timeout")

    asyncio.run(main())
    assert sink.only().error.type == "TimeoutError"
    assert 15 < sink.only().timings.latency_ms < 5_000


def test_a_timeout_that_ends_the_program(log, sink):
    async def main():
        async with asyncio.timeout(0.02):
            await ask(log)

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    assert outcome(sink.only()) == ("timeout", "timeout")


def test_wait_for(log, sink):
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(ask(log), 0.02))
    assert outcome(sink.only()) == ("timeout", "timeout")


async def deeper(log):
    await asyncio.sleep(0)
    return await asyncio.wait_for(ask(log), 30)


@pytest.mark.parametrize("timed", [False, True])
def test_wait_for_that_is_stopped_itself(log, sink, timed):
    async def main():
        task = asyncio.create_task(deeper(log))
        if timed:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await deeper(log)
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    expected = [("timeout", "timeout")] if timed else []
    assert [outcome(entry) for entry in sink.final] == [*expected, ("error", "cancelled")]


def test_a_task_that_is_cancelled_while_someone_waits_for_it(log, sink):
    async def main():
        task = asyncio.create_task(ask(log))
        asyncio.get_running_loop().call_later(0.02, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 30)

    asyncio.run(main())
    assert outcome(sink.only()) == ("error", "cancelled")


def test_wait_for_gives_up_what_has_a_timeout_of_its_own(log, sink):
    async def patient():
        async with asyncio.timeout(30):
            await ask(log)

    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(patient(), 0.02))
    assert outcome(sink.only()) == ("timeout", "timeout")


def test_deadlines_of_anyio(log, sink):
    anyio = pytest.importorskip("anyio")
    if tuple(map(int, metadata.version("anyio").split(".")[:2])) < (4, 11):
        pytest.skip("older versions do not say why they cancel")

    async def main():
        with anyio.move_on_after(0.02):
            await ask(log)
        with pytest.raises(TimeoutError):
            with anyio.fail_after(0.02):
                await ask(log)
        with anyio.CancelScope() as scope:
            asyncio.get_running_loop().call_later(0.02, scope.cancel)
            await ask(log)
        async with anyio.create_task_group() as group:
            group.start_soon(ask, log)
            await anyio.sleep(0.02)
            group.cancel_scope.cancel("enough")

    asyncio.run(main())
    timeout, cancelled = ("timeout", "timeout"), ("error", "cancelled")
    assert [outcome(entry) for entry in sink.final] == [timeout, timeout, cancelled, cancelled]


def test_deadlines_of_trio():
    class Cancelled(BaseException):
        source = "deadline"

    told = []
    assert ask_whether_timed_out(Cancelled(), told.append)
    assert told == [True]
    Cancelled.source = "explicit"
    assert not ask_whether_timed_out(Cancelled(), told.append)
    assert told == [True]


def test_wait_for_inside_of_the_request(log, sink):
    async def main():
        async with log.request(model="m"):
            await asyncio.wait_for(asyncio.sleep(30), 0.02)

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    assert outcome(sink.only()) == ("timeout", "timeout")


@pytest.mark.parametrize("message", [(), ("shutting down",)])
def test_a_cancelled_task(log, sink, message):
    async def main():
        task = asyncio.create_task(ask(log))
        await asyncio.sleep(0.01)
        task.cancel(*message)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert outcome(sink.only()) == ("error", "cancelled")

    asyncio.run(main())
    assert len(sink.final) == 1


@pytest.mark.parametrize("timed", [False, True])
def test_clean_up_on_the_way_out_may_take_its_time(log, sink, timed):
    async def slow():
        try:
            await ask(log)
        finally:
            await asyncio.sleep(0.05)

    async def main():
        if timed:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await slow()
        else:
            task = asyncio.create_task(slow())
            await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    assert outcome(sink.only()) == (("timeout", "timeout") if timed else ("error", "cancelled"))


def test_a_timeout_further_out_than_a_cancellation(log, sink):
    async def main():
        task = asyncio.create_task(ask(log))
        await asyncio.sleep(0.01)
        task.cancel()
        async with asyncio.timeout(5):
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    assert outcome(sink.only()) == ("error", "cancelled")


def test_a_task_that_swallows_its_cancellation(log, sink, monkeypatch):
    monkeypatch.setattr("llm_logging.logger.timeouts._PAUSES", (0.01,))

    async def main():
        async def stubborn():
            try:
                await ask(log)
            except asyncio.CancelledError:
                await asyncio.sleep(0.1)

        task = asyncio.create_task(stubborn())
        await asyncio.sleep(0.01)
        task.cancel()
        await task

    asyncio.run(main())
    assert outcome(sink.only()) == ("error", "cancelled")


def test_an_event_loop_that_is_closed_before_it_looks(log, sink):
    loop = asyncio.new_event_loop()

    async def cleaning():
        try:
            await ask(log)
        finally:
            await asyncio.get_running_loop().create_future()

    task = loop.create_task(cleaning())
    loop.call_later(0.02, task.cancel)
    loop.call_later(0.04, loop.stop)
    loop.run_forever()
    assert sink.final == []
    loop.close()
    task._log_destroy_pending = False
    del task, loop
    gc.collect()
    assert outcome(sink.wait(1)[0]) == ("error", "cancelled")


def test_a_request_inside_of_a_request_times_out_with_it(log, sink):
    async def main():
        async with asyncio.timeout(0.02):
            async with log.request(model="outer", request_type="workflow"):
                await ask(log)

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    assert [outcome(entry) for entry in sink.final] == [("timeout", "timeout")] * 2


def test_outside_of_any_task():
    told = []
    assert not ask_whether_timed_out(asyncio.CancelledError(), told.append)
    assert not ask_whether_timed_out(KeyboardInterrupt(), told.append)

    async def main():
        # Nobody asked this task to stop: the exception is another's.
        assert not ask_whether_timed_out(asyncio.CancelledError(), told.append)

    asyncio.run(main())
    assert told == []


async def words():
    yield {"model": "m", "choices": [{"index": 0, "delta": {"content": "word"}}]}
    await asyncio.sleep(30)


async def listen(log):
    async with log.request(model="m", pending=False) as call:
        async for _ in call.stream(words()):
            pass


@pytest.mark.parametrize("caught", [False, True])
def test_a_timeout_inside_of_the_request_after_the_first_chunk(log, sink, caught):
    async def main():
        async with log.request(model="m") as call:
            try:
                async with asyncio.timeout(0.02):
                    async for _ in call.stream(words()):
                        pass
            except TimeoutError:
                if not caught:
                    raise
                await asyncio.sleep(0)

    if caught:
        asyncio.run(main())
    else:
        with pytest.raises(TimeoutError):
            asyncio.run(main())
    assert outcome(sink.only()) == ("timeout", "timeout")


async def in_a_group(coroutine):
    async with asyncio.TaskGroup() as group:
        group.create_task(coroutine)


async def in_a_task(coroutine):
    await asyncio.create_task(coroutine)


async def gathered(coroutine):
    await asyncio.gather(coroutine, asyncio.sleep(30))


async def in_a_group_of_gathered(coroutine):
    await in_a_group(gathered(coroutine))


SPREAD = [in_a_group, in_a_task, gathered, in_a_group_of_gathered]


@pytest.mark.parametrize("spread", SPREAD)
@pytest.mark.parametrize("work", [ask, listen])
def test_a_timeout_around_tasks(log, sink, spread, work):
    async def by_timeout():
        async with asyncio.timeout(0.02):
            await spread(work(log))

    async def by_wait_for():
        await asyncio.wait_for(spread(work(log)), 0.02)

    for main in (by_timeout, by_wait_for):
        with pytest.raises(TimeoutError):
            asyncio.run(main())
    assert [outcome(entry) for entry in sink.final] == [("timeout", "timeout")] * 2


@pytest.mark.parametrize("spread", SPREAD)
def test_a_cancellation_around_tasks(log, sink, spread):
    async def main():
        task = asyncio.create_task(spread(ask(log)))
        asyncio.get_running_loop().call_later(0.02, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert outcome(sink.only()) == ("error", "cancelled")


def test_a_sibling_that_fails_is_no_deadline(log, sink):
    async def fail():
        await asyncio.sleep(0.01)
        raise LookupError

    async def main():
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            group.create_task(ask(log))
            group.create_task(fail())

    with pytest.raises(ExceptionGroup):
        asyncio.run(main())
    assert outcome(sink.only()) == ("error", "cancelled")
