"""A full buffer: a caller waits a tenth of a second at most, not at all on a loop; what is shed is counted and logged."""

from __future__ import annotations

import asyncio
import os
import threading
import time

import pytest

from llm_logging import LLMFileHandler
from llm_logging.files.spool.ring import Ring
from llm_logging.files.spool.ring_view import BIG
from tests.processes import lines, messages, rings


@pytest.fixture
def stuck(root, isolated, monkeypatch):
    """Make a handler whose writes hang until the gate opens."""
    gate, real, made = threading.Event(), os.write, []

    def slow(fd, data):
        if threading.current_thread().name == "llm_logging-writer":
            gate.wait(20)
        return real(fd, data)

    monkeypatch.setattr(os, "write", slow)

    def make(**options):
        handler = LLMFileHandler(root, **{"buffer_bytes": 1 << 16, "flush_interval": 0.0, **options})
        made.append(handler)
        return handler, isolated(handler), gate

    yield make
    gate.set()
    for handler in made:
        handler.close()


@pytest.mark.parametrize("spool", ["auto", "off"])
@pytest.mark.parametrize("overflow", ["drop_new", "drop_old"])
def test_every_line_is_written_or_counted_as_dropped_and_the_drop_is_logged(root, stuck, spool, overflow):
    handler, log, gate = stuck(spool=spool, overflow=overflow, overflow_wait=0.0)
    for n in range(3000):
        log.info("m%d", n)
    gate.set()
    handler.flush()
    time.sleep(0.1)
    handler.flush()
    stats = handler.stats()
    found = messages(root)
    assert stats["dropped"] > 0
    assert len(found) == len(set(found)) == 3000 - stats["dropped"]
    (notice,) = [line for line in lines(root) if line["event_type"] == "records_dropped"]
    assert notice["data"]["count"] == stats["dropped"]
    assert notice["data"]["since"] < notice["timestamp"]
    # The reader sees what is missing: numbers are used up by what was dropped.
    numbers = [line["writer"]["seq"] for line in lines(root)]
    assert numbers == sorted(numbers)
    assert numbers[-1] - len(numbers) == stats["dropped"]


def test_drop_old_keeps_the_newest(root, isolated, monkeypatch):
    refused = threading.Event()
    real = os.write

    def no(fd, data):
        if not refused.is_set() and threading.current_thread().name == "llm_logging-writer":
            raise OSError(28, "full")
        return real(fd, data)

    monkeypatch.setattr(os, "write", no)
    handler = LLMFileHandler(
        root, buffer_bytes=1 << 16, overflow="drop_old", overflow_wait=0.0, flush_timeout=8
    )
    log = isolated(handler)
    for n in range(3000):
        log.info("m%d", n)
        if n % 20 == 0:
            # While a try to write is under way nothing old can be given up, and then the new one goes: let tries end.
            time.sleep(0.002)
    refused.set()
    handler.flush()
    found = messages(root)
    handler.close()
    newest = {f"m{n}" for n in range(2000, 3000)}
    assert len(newest.intersection(found)) > 0.6 * len(found)


def test_a_caller_waits_a_tenth_of_a_second_at_most(stuck):
    handler, log, _ = stuck()
    longest = 0.0
    while handler.stats()["dropped"] < 3:
        began = time.perf_counter()
        log.info("x" * 1000)
        longest = max(longest, time.perf_counter() - began)
    assert 0.09 < longest < 0.3


def test_only_the_first_caller_waits_while_nothing_is_written(stuck):
    handler, log, _ = stuck()
    while not handler.stats()["dropped"]:
        log.info("x" * 1000)
    began = time.monotonic()
    for _ in range(200):
        log.info("x" * 1000)
    # Each for itself, they would wait 20 seconds.
    assert time.monotonic() - began < 5
    assert handler.stats()["dropped"] == 201


def test_a_dropped_line_that_is_larger_than_the_buffer_leaves_no_file(root, stuck, monkeypatch):
    real = Ring.store
    monkeypatch.setattr(
        Ring, "store", lambda ring, path, *a, **o: 0 if path.startswith(BIG) else real(ring, path, *a, **o)
    )
    handler, log, gate = stuck(overflow_wait=0.05)
    log.info("y" * 100_000)
    assert handler.stats()["dropped"] == 1
    assert not [path for path in rings(root) if path.suffix == ".big"]
    gate.set()


def test_lines_larger_than_the_buffer_take_so_much_beside_it_and_no_more(root, stuck):
    handler, log, gate = stuck(overflow_wait=0.0)
    for n in range(20):
        log.info("m%d", n, extra={"pad": "y" * 100_000})
    (ring,) = [path for path in rings(root) if path.suffix == ".ring"]
    beside = [path.stat().st_size for path in ring.parent.glob(f"{ring.name}.*.big")]
    assert 3 <= len(beside) == 20 - handler.stats()["dropped"]
    assert sum(beside) <= 8 << 16
    gate.set()
    handler.flush()
    assert messages(root) == [f"m{n}" for n in range(len(beside))]


def test_a_running_loop_never_waits(stuck):
    handler, log, _ = stuck()

    async def work():
        longest = 0.0
        while handler.stats()["dropped"] < 200:
            began = time.perf_counter()
            log.info("x" * 1000)
            longest = max(longest, time.perf_counter() - began)
        return longest

    assert asyncio.run(work()) < 0.08


def test_a_wait_ends_as_soon_as_there_is_room(root, stuck):
    handler, log, gate = stuck(overflow_wait=5.0)
    threading.Timer(0.3, gate.set).start()
    began = time.monotonic()
    for n in range(2000):
        log.info("m%d", n)
    assert time.monotonic() - began < 4
    handler.flush()
    assert messages(root) == [f"m{n}" for n in range(2000)]
    assert handler.stats()["dropped"] == 0


def test_content_is_shed_before_numbers(root, stuck):
    handler, log, gate = stuck(content="full", overflow_wait=0.0)
    request = {"model": "m", "project_id": "p", "chat_id": "c", "status": "success", "response": "x" * 2000}
    for _ in range(40):
        log.info("asked", extra={"llm_request": request})
    gate.set()
    handler.flush()
    found = [line["event_type"] for line in lines(root)]
    stats = handler.stats()
    assert found.count("llm_request") == 40
    assert found.count("llm_content") == 40 - stats["content_dropped"]
    assert stats["content_dropped"] == stats["dropped"] > 0
