"""Requests that are started, finished once, and never twice."""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from llm_logging import ErrorCode, FileSystemError, LLMLoggerAdapter, ValidationError
from llm_logging.logger.pending_requests import PendingRequests
from llm_logging.models.entry import LLMRequestLogEntry, Timings
from llm_logging.testing import fixed
from tests import disk, nasty

ENTRY = {"model": "gpt-4o", "provider": "openai", "tags": ["a"]}
IDENTITY = {"project_id": "shop", "chat_id": "c-17"}


@pytest.fixture
def log(filelog: LLMLoggerAdapter) -> LLMLoggerAdapter:
    """Write to real files."""
    return filelog


def test_start_and_end_are_two_lines_of_one_id(log: LLMLoggerAdapter, root: Path) -> None:
    with fixed() as clock:
        started = log.log_llm_request_start(ENTRY)
        clock.tick(1.5)
        ended = log.log_llm_request_complete(started.id, usage={"prompt_tokens": 5, "completion_tokens": 6})
    first, second = disk.requests(root)
    assert first["id"] == second["id"] == started.id == ended.id
    assert (first["status"], second["status"]) == ("pending", "success")
    assert first["timestamp_start"] == second["timestamp_start"] == "2026-01-15T12:00:00.000000Z"
    assert second["timestamp_end"] == "2026-01-15T12:00:01.500000Z"
    assert second["timings"] == {"latency_ms": 1500.0}
    assert second["usage"]["total_tokens"] == 11
    assert {name: second[name] for name in ENTRY} == ENTRY


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (TimeoutError("slow"), "timeout"),
        (ValueError("bad"), "error"),
        ("words", "error"),
        ({"code": 429, "message": "slow down"}, "error"),
        (nasty.BadError(), "error"),
    ],
)
def test_an_error_ends_it_too(log: LLMLoggerAdapter, root: Path, error: Any, status: str) -> None:
    started = log.log_llm_request_start(ENTRY)
    log.log_llm_request_error(started.id, error, http_status=429)
    line = disk.requests(root)[1]
    assert (line["status"], line["level"], line["http_status"]) == (status, "ERROR", 429)
    assert line["error"]


def test_what_the_caller_measured_wins_and_the_rest_is_still_measured(
    log: LLMLoggerAdapter, root: Path
) -> None:
    with fixed() as clock:
        first, second = (log.log_llm_request_start(ENTRY) for _ in range(2))
        clock.tick(2)
        log.log_llm_request_complete(first.id, timings={"time_to_first_token_ms": 300})
        log.log_llm_request_complete(second.id, timings={"latency_ms": 1000})
    lines = {line["id"]: line for line in disk.requests(root) if line["status"] == "success"}
    assert lines[first.id]["timings"] == {"latency_ms": 2000, "time_to_first_token_ms": 300}
    assert lines[second.id]["timings"] == {"latency_ms": 1000}
    assert lines[second.id]["timestamp_end"] == "2026-01-15T12:00:01.000000Z"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, {"latency_ms": 2000}),
        (Timings(time_to_first_token_ms=300), {"latency_ms": 2000, "time_to_first_token_ms": 300}),
        (
            {"latency_ms": None, "time_to_first_token_ms": 300},
            {"latency_ms": 2000, "time_to_first_token_ms": 300},
        ),
    ],
)
def test_none_is_no_measurement_and_a_model_is_joined_as_a_mapping_is(
    log: LLMLoggerAdapter, root: Path, given: Any, expected: dict[str, float]
) -> None:
    with fixed() as clock:
        started = log.log_llm_request_start(ENTRY)
        clock.tick(2)
        log.log_llm_request_complete(started.id, timings=given, tags=None, status=None, timestamp_end=None)
    line = disk.requests(root)[1]
    assert (line["timings"], line["status"], line["tags"]) == (expected, "success", ["a"])
    assert line["timestamp_end"] == "2026-01-15T12:00:02.000000Z"


def test_a_final_request_cannot_be_ended_again(log: LLMLoggerAdapter, root: Path) -> None:
    started = log.log_llm_request_start(ENTRY)
    log.log_llm_request_complete(started.id)
    for end in (
        lambda: log.log_llm_request_complete(started.id),
        lambda: log.log_llm_request_error(started.id, "late"),
        lambda: log.log_llm_request_start({**ENTRY, "id": started.id}),
    ):
        with pytest.raises(ValidationError) as caught:
            end()
        assert caught.value.code == ErrorCode.INVALID_STATE
    assert len(disk.requests(root)) == 2


@pytest.mark.parametrize("waits", [True, False])
def test_a_whole_final_entry_ends_a_started_request_too(
    log: LLMLoggerAdapter, root: Path, *, waits: bool
) -> None:
    def whole(entry: dict[str, Any]) -> None:
        if waits:
            log.log_llm_request(entry)
        else:
            asyncio.run(log.alog_llm_request(entry))

    started = log.log_llm_request_start(ENTRY)
    whole({**ENTRY, "id": started.id, "status": "pending"})
    final = {**ENTRY, "id": started.id.upper(), "status": "success"}
    with pytest.raises(ValidationError):
        whole({**final, "attempt": 0})
    moved = root.rename(root.with_name("moved"))
    root.write_text("a file where the folder should be")
    with pytest.raises(FileSystemError):
        whole(final)
    root.unlink()
    moved.rename(root)
    whole(final)
    for end in (
        lambda: log.log_llm_request_complete(started.id),
        lambda: log.log_llm_request_error(started.id, "late"),
    ):
        with pytest.raises(ValidationError, match="final already"):
            end()
    assert [line["status"] for line in disk.requests(root)][-1] == "success"


def test_what_was_not_started_here_may_be_logged_as_often_as_one_likes(
    log: LLMLoggerAdapter, root: Path
) -> None:
    entry = {**ENTRY, "id": str(uuid.uuid4()), "status": "success"}
    log.log_llm_request(entry)
    log.log_llm_request(entry)
    assert len(disk.requests(root)) == 2


def test_of_many_who_end_it_at_once_one_does(log: LLMLoggerAdapter, root: Path) -> None:
    ids = [log.log_llm_request_start(ENTRY).id for _ in range(20)]

    def end(request_id: str) -> bool:
        try:
            return log.log_llm_request_complete(request_id).logged
        except ValidationError:
            return False

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(end, ids * 5))
    assert sum(outcomes) == 20
    finals = [line["id"] for line in disk.requests(root) if line["status"] == "success"]
    assert sorted(finals) == sorted(ids)


def test_ids_are_ids_in_any_spelling(log: LLMLoggerAdapter, root: Path) -> None:
    chosen = uuid.UUID("0DA1B2C3-0000-4000-8000-00000000000A")
    log.log_llm_request_start({**ENTRY, "id": chosen})
    log.log_llm_request_complete(chosen)  # type: ignore[arg-type]
    other = log.log_llm_request_start({**ENTRY, "id": str(uuid.uuid4()).upper()})
    log.log_llm_request_complete(other.id.upper())
    assert {line["model"] for line in disk.requests(root)} == {"gpt-4o"}
    assert len({line["id"] for line in disk.requests(root)}) == 2


def test_a_start_with_a_final_status_is_refused(log: LLMLoggerAdapter, root: Path) -> None:
    with pytest.raises(ValidationError, match="expected status 'pending', got 'success'"):
        log.log_llm_request_start({**ENTRY, "status": "success"})
    started = log.log_llm_request_start({**ENTRY, "usage": {"prompt_tokens": 5}})
    assert disk.requests(root)[0]["status"] == "pending"
    with pytest.raises(ValidationError, match="got 'pending'"):
        log.log_llm_request_complete(started.id, status="pending")
    assert log.log_llm_request_complete(started.id).logged


def test_an_end_that_breaks_the_contract_leaves_it_pending(log: LLMLoggerAdapter, root: Path) -> None:
    started = log.log_llm_request_start({**ENTRY, "odd": nasty.circular()})
    with pytest.raises(ValidationError, match=r"usage\.prompt_tokens"):
        log.log_llm_request_complete(started.id, usage={"prompt_tokens": -1})
    log.log_llm_request_complete(started.id)
    assert [line["status"] for line in disk.requests(root)] == ["pending", "success"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_start_that_could_not_be_written_can_be_tried_again_read_only(
    log: LLMLoggerAdapter, root: Path
) -> None:
    root.mkdir(mode=0o500)
    with pytest.raises(FileSystemError):
        log.log_llm_request_start({**ENTRY, "id": str(uuid.UUID(int=1))})


def test_a_start_that_could_not_be_written_can_be_tried_again(log: LLMLoggerAdapter, root: Path) -> None:
    entry = {**ENTRY, "id": str(uuid.UUID(int=1))}
    root.write_text("a file where the folder should be")
    with pytest.raises(FileSystemError):
        log.log_llm_request_start(entry)
    root.unlink()
    assert log.log_llm_request_start(entry).logged


def test_an_end_without_a_start_here_needs_its_identity(log: LLMLoggerAdapter, root: Path) -> None:
    elsewhere = str(uuid.uuid4())
    with pytest.raises(ValidationError) as caught:
        log.log_llm_request_complete(elsewhere)
    assert caught.value.code == ErrorCode.INVALID_MODEL
    assert log.log_llm_request_complete(elsewhere, model="gpt-4o").logged
    assert disk.requests(root)[0]["id"] == elsewhere


def test_memory_is_bounded() -> None:
    requests = PendingRequests(limit=10)
    entries = [LLMRequestLogEntry(**IDENTITY, model="m") for _ in range(25)]
    for entry in entries:
        requests.open(entry)
    assert requests.claim(entries[0].id) == {}
    assert requests.claim(entries[24].id)["model"] == "m"


def test_a_signal_handler_that_ends_a_request_does_not_wait_for_the_code_it_interrupts() -> None:
    """A tracer calls in at each line, as a signal handler may."""
    pending = PendingRequests()
    ended: list[str] = []
    ids = [f"inner-{number}" for number in range(100)]

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.endswith("pending_requests.py"):
            return None
        if event == "line" and ids:
            request_id = ids.pop()
            sys.settrace(None)
            pending.claim(request_id)
            ended.append(request_id)
            sys.settrace(trace)
        return trace

    sys.settrace(trace)
    try:
        pending.claim("outer")
    finally:
        sys.settrace(None)
    assert len(ended) > 5
    for request_id in [*ended, "outer"]:
        with pytest.raises(ValidationError, match="final already"):
            pending.claim(request_id)
