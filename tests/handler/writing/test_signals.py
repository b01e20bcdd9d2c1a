"""Logging from where one should not: signal handlers, finalisers, filters, formatters, callbacks. No deadlock, no line lost."""

from __future__ import annotations

import gc
import threading
import time

import pytest

from llm_logging import FileSystemError, LLMFileHandler, LLMLoggerAdapter
from llm_logging.handler.writing.wakeup import Bell, Bells
from tests.processes import assert_once, messages, run


def test_a_signal_handler_that_logs_meets_every_instruction_of_logging(root):
    code = """
handler = attach(flush_interval=0.001)
hits = 0
def hit(*_):
    global hits
    hits += 1
    log.error("s%d", hits - 1)
    if not over:
        signal.setitimer(signal.ITIMER_REAL, 0.0007)
signal.signal(signal.SIGALRM, hit)
over = False
signal.setitimer(signal.ITIMER_REAL, 0.0007)
n = 0
until = time.monotonic() + 3
while time.monotonic() < until:
    log.error("m%d", n)
    n += 1
    if n % 1000 == 0:
        handler.flush()
over = True
signal.setitimer(signal.ITIMER_REAL, 0)
print(n, hits, handler.stats()["dropped"])
"""
    n, hits, dropped = map(int, run(code, root).stdout.split())
    assert hits > 200
    assert dropped == 0
    assert_once(root, [f"m{i}" for i in range(n)] + [f"s{i}" for i in range(hits)])


def test_finalisers_that_log_run_in_every_thread_also_the_writers(root):
    code = """
attach(flush_interval=0.001)
gc.set_threshold(5, 2, 2)
made = 0
lock = threading.Lock()
class Litter:
    def __init__(self):
        self.me = self
    def __del__(self):
        log.error("f%d", self.n)
def litter():
    global made
    item = Litter()
    with lock:
        item.n = made
        made += 1
def work(name):
    for n in range(3000):
        litter()
        log.info("%s%d", name, n)
threads = [threading.Thread(target=work, args=(c,)) for c in "ab"]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
gc.collect()
print(made)
"""
    made = int(run(code, root).stdout)
    assert_once(root, [f"{c}{n}" for c in "ab" for n in range(3000)] + [f"f{n}" for n in range(made)])


def test_filters_formatters_and_callbacks_that_log(root, isolated):
    over = threading.Event()
    # Until the files are looked at: each such line may cause the next rotation, and a line after closing starts it all again.
    handler = LLMFileHandler(
        root,
        max_bytes=2000,
        flush_interval=0.0,
        on_rotate=lambda _: None if over.is_set() else log.info("rotated"),
    )
    log = isolated(handler)
    depth = threading.local()

    def chatty(record):
        if not getattr(depth, "inside", False):
            depth.inside = True
            log.info("from the filter")
            depth.inside = False
        return True

    handler.addFilter(chatty)
    for n in range(100):
        log.info("m%d", n)
    handler.flush()
    over.set()
    handler.close()
    assert messages(root) == [f"m{n}" for n in range(100)]
    assert len(messages(root, "from the filter")) >= 100


def test_on_rotate_may_flush_and_close(root, isolated):
    took = []

    def rotated(_):
        began = time.monotonic()
        handler.flush()
        handler.close()
        took.append(time.monotonic() - began)

    handler = LLMFileHandler(root, max_bytes=1000, flush_interval=0.0, on_rotate=rotated)
    log = isolated(handler)
    for n in range(30):
        log.info("m%d", n)
    handler.close()
    assert took
    assert max(took) < 5
    assert_once(root, [f"m{n}" for n in range(30)])


def test_a_caller_who_could_only_wait_for_himself_is_answered_at_once(root, isolated):
    handler = LLMFileHandler(root)
    adapter = LLMLoggerAdapter(isolated(handler), {"project_id": "p", "chat_id": "c"})
    adapter.info("start")
    outcome = []

    def inside(_spool, _batch, _real=handler._writer._drain._write_batch):
        if not outcome:
            began = time.monotonic()
            with pytest.raises(FileSystemError, match="inside another call"):
                adapter.log_llm_request({"model": "m", "status": "success"})
            outcome.append(time.monotonic() - began)
        return _real(_spool, _batch)

    handler._writer._drain._write_batch = inside
    adapter.info("m0")
    handler.flush()
    handler.close()
    assert outcome[0] < 1
    assert messages(root, "m success|m0|start")


def test_a_close_in_the_moment_of_starting_loses_no_line(root, isolated, monkeypatch):
    from llm_logging.handler.writing.writer import Writer

    real, closed = Writer._begin, []

    def begin(self, spool):
        begun = real(self, spool)
        if not closed:
            closed.append(threading.Thread(target=handler.close))
            closed[0].start()
            closed[0].join()
        return begun

    monkeypatch.setattr(Writer, "_begin", begin)
    handler = LLMFileHandler(root)
    log = isolated(handler)
    log.info("a0")
    handler.close()
    assert closed
    assert_once(root, ["a0"])


def test_what_is_stored_while_a_handler_is_closed_is_never_lost(root, isolated):
    handler = LLMFileHandler(root)
    log = isolated(handler)
    stop = threading.Event()
    counts = {}

    def work(name):
        n = 0
        while not stop.is_set():
            log.info("%s%d", name, n)
            n += 1
            if n % 50 == 0:
                time.sleep(0.001)
        counts[name] = n

    threads = [threading.Thread(target=work, args=(c,)) for c in "abc"]
    for thread in threads:
        thread.start()
    for _ in range(60):
        handler.close()
    stop.set()
    for thread in threads:
        thread.join()
    handler.close()
    assert_once(root, [f"{c}{n}" for c, count in counts.items() for n in range(count)])


def test_closing_from_several_threads_at_once(root, isolated):
    handler = LLMFileHandler(root)
    log = isolated(handler)
    for n in range(50):
        log.info("m%d", n)
    threads = [threading.Thread(target=handler.close) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
    assert_once(root, [f"m{n}" for n in range(50)])


def test_a_bell_rung_before_the_wait_is_heard_and_rung_twice_is_heard_once():
    bell = Bell()
    assert not bell.is_set()
    bell.set()
    bell.set()
    assert bell.is_set()
    assert bell.wait(0)
    assert not bell.wait(0.01)
    bell.set()
    bell.clear()
    assert not bell.wait(0)


def test_all_bells_that_hang_are_rung_and_taken_down():
    bells = Bells()
    hung = [bells.hang(), bells.hang()]
    bells.set()
    later = bells.hang()
    assert [bell.wait(0) for bell in hung] == [True, True]
    assert not later.wait(0)
    gc.collect()
