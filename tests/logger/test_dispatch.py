"""Accounting through every kind of handler that may stand before ours."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import logging.handlers
import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_logging import (
    ConfigurationError,
    FileSystemError,
    LLMFileHandler,
    LLMLoggerAdapter,
    LLMStreamHandler,
)
from llm_logging.logger.dispatch import Ack, AsyncAck, require_sinks
from tests import disk

IDENTITY = {"project_id": "shop", "chat_id": "c-17"}
ENTRY = {**IDENTITY, "model": "gpt-4o", "usage": {"prompt_tokens": 1, "completion_tokens": 2}}


@contextlib.contextmanager
def listening(*handlers: logging.Handler) -> Iterator[logging.handlers.QueueHandler]:
    """A queue before handlers, known to its front as dictConfig makes it from Python 3.12 on."""
    front = logging.handlers.QueueHandler(queue.Queue())
    listener = logging.handlers.QueueListener(front.queue, *handlers)
    front.listener = listener
    listener.start()
    try:
        yield front
    finally:
        listener.stop()


class TestQueue:
    def test_the_line_is_in_its_file_also_behind_a_queue(
        self, handler: LLMFileHandler, root: Path, isolated: Callable[..., logging.Logger]
    ) -> None:
        with listening(handler) as front:
            log = LLMLoggerAdapter(isolated(front), IDENTITY)
            result = log.log_llm_request(ENTRY)
            assert result.logged
            assert [line["id"] for line in disk.requests(root)] == [result.id]
            later = asyncio.run(log.alog_llm_request(ENTRY))
            assert [line["id"] for line in disk.requests(root)] == [result.id, later.id]
            with log.request(model="m", pending=False) as call:
                pass
            log.info("an event", extra={"n": 1})
        handler.flush()
        assert [line["id"] for line in disk.requests(root)][2] == call.id
        assert disk.events(root)[0]["data"] == {"n": 1}

    def test_a_filter_behind_the_queue_is_heard_without_a_long_wait(
        self, handler: LLMFileHandler, root: Path, isolated: Any
    ) -> None:
        handler.addFilter(lambda record: False)
        with listening(handler) as front:
            log = LLMLoggerAdapter(isolated(front), IDENTITY)
            began = time.monotonic()
            assert not log.log_llm_request(ENTRY).logged
            assert not asyncio.run(log.alog_llm_request(ENTRY)).logged
            assert time.monotonic() - began < 5
        assert not root.exists()

    def test_what_a_user_binds_travels_with_the_record(
        self, handler: LLMFileHandler, root: Path, isolated: Any
    ) -> None:
        with listening(handler) as front:
            log = LLMLoggerAdapter(isolated(front), IDENTITY)
            log.info("x", extra={"llm_request": {"model": "m", "status": "success"}})
            log.info("%s of %d", "x", 7, extra={"event_type": "counted"})
        handler.flush()
        assert disk.requests(root)[0]["chat_id"] == "c-17"
        (event,) = disk.events(root)
        assert (event["message"], event["event_type"], event["project_id"]) == ("x of 7", "counted", "shop")

    def test_a_queue_whose_listener_nobody_knows_is_no_way_to_a_file(self, isolated: Any) -> None:
        log = LLMLoggerAdapter(isolated(logging.handlers.QueueHandler(queue.Queue())), IDENTITY)
        with pytest.raises(ConfigurationError, match=r"QueueHandler.*listener"):
            log.log_llm_request(ENTRY)


class TestMemoryHandler:
    def test_accounting_does_not_lie_in_a_memory_handler(
        self, handler: LLMFileHandler, root: Path, isolated: Any
    ) -> None:
        front = logging.handlers.MemoryHandler(1000, target=handler)
        log = LLMLoggerAdapter(isolated(front), IDENTITY)
        log.info("before")
        assert log.log_llm_request(ENTRY).logged
        assert len(disk.requests(root)) == 1
        handler.flush()
        assert [line["message"] for line in disk.events(root)] == ["before"]

    def test_events_wait_in_it_as_always(self, handler: LLMFileHandler, root: Path, isolated: Any) -> None:
        front = logging.handlers.MemoryHandler(1000, target=handler)
        log = LLMLoggerAdapter(isolated(front), IDENTITY)
        log.info("held", extra={"llm_request": ENTRY})
        handler.flush()
        assert not root.exists()
        front.flush()
        handler.flush()
        assert len(disk.requests(root)) == 1


class TestSeveralSinks:
    def test_every_sink_in_reach_has_the_same_request(self, tmp_path: Path, isolated: Any) -> None:
        stream = io.StringIO()
        files = [LLMFileHandler(tmp_path / name) for name in "ab"]
        log = LLMLoggerAdapter(isolated(*files, LLMStreamHandler(stream)), IDENTITY)
        result = log.log_llm_request(ENTRY)
        asyncio.run(log.alog_llm_request({**ENTRY, "id": result.id.replace("-4", "-4")}))
        for name in "ab":
            assert {line["id"] for line in disk.requests(tmp_path / name)} == {result.id}
        assert stream.getvalue().count(result.id) == 2

    def test_a_record_with_extras_has_one_id_everywhere(self, tmp_path: Path, isolated: Any) -> None:
        files = [LLMFileHandler(tmp_path / name) for name in "ab"]
        logger = isolated(*files)
        for _ in range(3):
            logger.info("x", extra={"llm_request": dict(ENTRY)})
        for handler in files:
            handler.flush()
        ids = [[line["id"] for line in disk.requests(tmp_path / name)] for name in "ab"]
        assert ids[0] == ids[1]
        assert len(set(ids[0])) == 3

    def test_sinks_are_found_up_to_where_propagation_ends(self, tmp_path: Path) -> None:
        upper, lower = LLMFileHandler(tmp_path / "u"), LLMFileHandler(tmp_path / "l")
        parent, child = logging.getLogger("reach"), logging.getLogger("reach.child")
        parent.addHandler(upper)
        child.addHandler(lower)
        try:
            assert require_sinks(child) == [lower, upper]
            child.propagate = False
            assert require_sinks(child) == [lower]
        finally:
            child.propagate = True
            parent.removeHandler(upper)
            child.removeHandler(lower)
            upper.close()
            lower.close()

    def test_other_handlers_get_accounting_as_logging_would_give_it(
        self, handler: Any, isolated: Any
    ) -> None:
        low, high = logging.handlers.BufferingHandler(10), logging.handlers.BufferingHandler(10)
        high.setLevel(logging.ERROR)
        log = LLMLoggerAdapter(isolated(handler, low, high), IDENTITY)
        log.log_llm_request(ENTRY)
        log.log_llm_request({**ENTRY, "error": "boom"})
        assert [record.getMessage() for record in low.buffer] == ["gpt-4o success", "gpt-4o error"]
        assert [record.getMessage() for record in high.buffer] == ["gpt-4o error"]


class Sink(logging.Handler):
    """A sink whose answer the test decides."""

    llm_sink = True

    def __init__(self, answer: Any, after: float = 0.0) -> None:
        super().__init__()
        self.defaults: dict[str, Any] = {}
        self.answer, self.after = answer, after

    def emit(self, record: logging.LogRecord) -> None:
        ack = record.llm_logging.ack
        ack.expect()

        def reply() -> None:
            if isinstance(self.answer, OSError):
                ack.failed(self.answer)
            elif self.answer:
                ack.written()

        if self.after:
            threading.Timer(self.after, reply).start()
        else:
            reply()


class TestAnswers:
    @pytest.mark.parametrize("run", [False, True])
    def test_one_slow_sink_is_waited_for_after_a_quick_one(self, isolated: Any, run: bool) -> None:
        log = LLMLoggerAdapter(isolated(Sink(True), Sink(True, after=0.2)), IDENTITY)
        began = time.monotonic()
        assert (asyncio.run(log.alog_llm_request(ENTRY)) if run else log.log_llm_request(ENTRY)).logged
        assert time.monotonic() - began >= 0.19

    @pytest.mark.parametrize("run", [False, True])
    def test_what_the_disk_refuses_is_raised_with_its_number_and_file(self, isolated: Any, run: bool) -> None:
        refusal = OSError(28, "No space left on device", "/x/llm_requests.jsonl")
        log = LLMLoggerAdapter(isolated(Sink(refusal, after=0.01)), IDENTITY)
        with pytest.raises(FileSystemError, match="No space left") as caught:
            asyncio.run(log.alog_llm_request(ENTRY)) if run else log.log_llm_request(ENTRY)
        assert (caught.value.errno, caught.value.filename) == (28, "/x/llm_requests.jsonl")
        assert caught.value.code == "LOG_WRITE_ERROR"
        assert isinstance(caught.value, OSError)

    @pytest.mark.parametrize("run", [False, True])
    def test_no_wait_is_without_a_bound(self, isolated: Any, run: bool) -> None:
        log = LLMLoggerAdapter(isolated(Sink(None)), IDENTITY)
        began = time.monotonic()
        with pytest.raises(FileSystemError, match=r"within 0\.1 s"):
            asyncio.run(log.alog_llm_request(ENTRY, timeout=0.1)) if run else log.log_llm_request(
                ENTRY, timeout=0.1
            )
        assert time.monotonic() - began < 3

    def test_an_answer_after_the_loop_is_gone_is_no_trouble(self) -> None:
        async def take() -> AsyncAck:
            ack = AsyncAck()
            ack.expect()
            return ack

        asyncio.run(take()).written()

    def test_an_ack_that_nobody_expects_is_over_at_once(self) -> None:
        ack = Ack()
        ack.wait()
        assert not ack.taken
