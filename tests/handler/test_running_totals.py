"""Running totals of the process."""

from __future__ import annotations

import multiprocessing
import threading
from pathlib import Path
from typing import Any

import pytest

from llm_logging import (
    LLMFileHandler,
    LLMLoggerAdapter,
    NotFoundError,
    StatsScope,
    get_cached_stats,
    get_stats,
    reset_cached_stats,
)
from llm_logging.handler.running_totals import LiveTotals
from llm_logging.models.stats import Figures, RunningTotals
from tests import disk

PROJECT = StatsScope(type="project", project_id="shop")
CHAT = StatsScope(type="chat", project_id="shop", chat_id="c-17")


def line(n: int, status: str = "success", **fields: Any) -> dict[str, Any]:
    return {"id": f"id-{n}", "project_id": f"p-{n}", "chat_id": f"c-{n}", "status": status, **fields}


def test_they_are_there_without_a_file_being_read(filelog: LLMLoggerAdapter) -> None:
    for latency in (100, 300):
        filelog.info(
            "x",
            extra={
                "llm_request": {
                    "model": "m",
                    "usage": {"prompt_tokens": 10, "completion_tokens": 5, "cache_read_tokens": 4},
                    "timings": {"latency_ms": latency},
                    "cost": {"amount": "0.1"},
                }
            },
        )
    filelog.log_llm_request({"model": "m", "error": "boom"})
    with pytest.raises(RuntimeError), filelog.request(model="m"):
        raise RuntimeError
    with filelog.request(model="m"):
        for scope in (None, PROJECT, CHAT):
            figures = get_cached_stats(scope)
            assert (figures.total_requests, figures.successful_requests, figures.failed_requests) == (4, 2, 2)
            assert figures.pending_requests == 1
            assert (figures.prompt_tokens, figures.completion_tokens, figures.total_tokens) == (20, 10, 30)
            assert figures.cache_read_tokens == 8
            assert figures.error_rate == 0.5
            assert figures.reported_cost == "0.2"
    assert get_cached_stats().pending_requests == 0
    assert get_cached_stats().total_requests == 5


def test_nothing_logged_is_zeros_for_all_and_not_found_for_a_project() -> None:
    reset_cached_stats()
    assert get_cached_stats().total_requests == 0
    assert get_cached_stats().average_latency_ms == 0
    with pytest.raises(NotFoundError) as caught:
        get_cached_stats(PROJECT)
    assert caught.value.code == "PROJECT_NOT_FOUND"
    with pytest.raises(NotFoundError) as caught:
        get_cached_stats(CHAT)
    assert caught.value.code == "CHAT_NOT_FOUND"


def test_a_request_counts_once_however_many_handlers_log_it(tmp_path: Path, isolated: Any) -> None:
    files = [LLMFileHandler(tmp_path / name) for name in "ab"]
    log = LLMLoggerAdapter(isolated(*files), {"project_id": "shop", "chat_id": "c-17"})
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    log.info("x", extra={"llm_request": {"model": "m", "usage": usage}})
    log.log_llm_request({"model": "m", "usage": usage})
    with log.request(model="m") as call:
        call.finish(usage=usage)
    figures = get_cached_stats()
    assert (figures.total_requests, figures.total_tokens, figures.pending_requests) == (3, 45, 0)
    assert len(disk.requests(tmp_path / "a")) >= 1


def test_a_line_that_comes_twice_counts_once() -> None:
    totals = LiveTotals()
    for status in ("pending", "pending", "success", "success", "pending"):
        totals.add(line(1, status))
    figures = totals.figures(StatsScope(type="global"))
    assert (figures.total_requests, figures.pending_requests) == (1, 0)


def test_memory_is_bounded_and_the_global_totals_stay() -> None:
    totals = LiveTotals(limit=5)
    for n in range(200):
        totals.add(line(n, "pending"))
    assert totals.figures(StatsScope(type="global")).pending_requests == 50
    for n in range(200):
        totals.add(line(n))
    assert totals.figures(StatsScope(type="global")).total_requests == 200
    assert totals.figures(StatsScope(type="global")).pending_requests == 0
    assert totals.figures(StatsScope(type="project", project_id="p-199")).total_requests == 1
    with pytest.raises(NotFoundError):
        totals.figures(StatsScope(type="project", project_id="p-0"))
    kept = (totals._chats, totals._projects, totals._pending, totals._final)
    assert all(len(part) <= 50 for part in kept)


def test_a_chat_that_was_let_go_still_counts_for_its_project() -> None:
    totals = LiveTotals(limit=5)
    for n in range(20):
        totals.add({**line(n, "pending"), "project_id": "shop"})
    for n in range(20):
        totals.add({**line(n), "project_id": "shop"})
    figures = totals.figures(PROJECT)
    assert (figures.total_requests, figures.pending_requests) == (20, 0)


def test_a_cancelled_request_is_no_failure() -> None:
    totals = LiveTotals()
    totals.add(line(1, "error", error={"code": "cancelled"}))
    figures = totals.figures(StatsScope(type="global"))
    assert (figures.cancelled_requests, figures.failed_requests, figures.total_requests) == (1, 0, 0)


def test_a_cancelled_request_counts_for_what_it_spent_only() -> None:
    totals = LiveTotals()
    spent = {"prompt_tokens": 3, "total_tokens": 3}
    cancelled = {"error": {"code": "cancelled"}, "attempt": 2, "timings": {"latency_ms": 9000.0}}
    totals.add(line(1, "error", **cancelled, usage=spent))
    totals.add(line(2, "error", **cancelled))
    totals.add(line(3, timings={"latency_ms": 100.0}))
    figures = totals.figures(StatsScope(type="global"))
    assert (figures.prompt_tokens, figures.requests_with_usage, figures.requests_without_usage) == (3, 1, 1)
    assert (figures.average_latency_ms, figures.retried_requests) == (100.0, 0)


def test_every_figure_is_the_one_that_the_files_give(filelog: LLMLoggerAdapter, root: Path) -> None:
    reset_cached_stats()
    usage = {
        "prompt_tokens": 20,
        "completion_tokens": 9,
        "cache_read_tokens": 1,
        "cache_write_tokens": 8,
        "cache_write_1h_tokens": 7,
        "reasoning_tokens": 2,
        "audio_prompt_tokens": 3,
        "audio_completion_tokens": 4,
    }
    for fields in (
        {"usage": usage, "cost": {"amount": "0.25"}, "timings": {"latency_ms": 10.5}},
        {"usage": {"completion_tokens": 5}, "attempt": 2, "cost": {"amount": "1", "currency": "eur"}},
        {"usage": {"raw": {"x": 1}}, "attempt": 1},
        {"error": "boom", "attempt": 3},
        {"status": "timeout", "timings": {"latency_ms": 30}},
        {"error": {"code": "cancelled"}, "usage": usage, "timings": {"latency_ms": 99}, "attempt": 2},
        {"error": {"code": "cancelled"}},
        {"status": "pending"},
    ):
        filelog.log_llm_request({"model": "m", **fields})
    live = get_cached_stats().model_dump()
    summary = get_stats(root=root, cache=False).summary.model_dump()
    assert live == {name: summary[name] for name in live}
    assert (live["running_requests"], live["retried_requests"], live["reported_requests"]) == (1, 2, 2)


def test_what_is_not_counted_is_not_said_to_be_none() -> None:
    names = set(RunningTotals.model_fields)
    assert names < set(Figures.model_fields)
    assert not names & {"total_calls", "orphaned_requests", "first_request", "latency_ms", "estimated_cost"}
    assert {"total_requests", "runningRequests"} <= names | set(RunningTotals().model_dump(by_alias=True))


def test_threads_lose_nothing() -> None:
    totals = LiveTotals()

    def add(start: int) -> None:
        for n in range(start, start + 3000):
            totals.add(line(n))

    threads = [threading.Thread(target=add, args=(3000 * k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert totals.figures(StatsScope(type="global")).total_requests == 12_000


def test_a_forked_child_starts_at_zero(filelog: LLMLoggerAdapter) -> None:
    filelog.log_llm_request({"model": "m", "status": "success"})
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=lambda: queue.put(get_cached_stats().total_requests))
    child.start()
    assert queue.get() == 0
    child.join()
    assert get_cached_stats().total_requests == 1
