"""`log.request`: a request being timed, on real files."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from llm_logging import LLMLoggerAdapter, get_logger, scope
from llm_logging.testing import capture, fixed
from tests import disk

IDENTITY = {"project_id": "shop", "chat_id": "c-17"}


@pytest.fixture
def log(filelog: LLMLoggerAdapter) -> LLMLoggerAdapter:
    """Write to real files."""
    return filelog


def final(root: Path) -> dict[str, object]:
    (line,) = [line for line in disk.requests(root) if line["status"] != "pending"]
    return line


def test_a_pending_line_on_entry_and_a_final_one_on_exit(log: LLMLoggerAdapter, root: Path) -> None:
    with fixed() as clock, log.request(model="gpt-4o", provider="openai", team="blue") as call:
        clock.tick(0.2)
        call.first_token()
        clock.tick(0.3)
        call.finish(usage={"prompt_tokens": 3, "completion_tokens": 4})
        clock.tick(60)
    log.logger.handlers[0].flush()
    first, second = disk.requests(root)
    assert (first["status"], second["status"]) == ("pending", "success")
    assert first["id"] == second["id"] == call.id
    assert second["timings"] == {"latency_ms": 500.0, "time_to_first_token_ms": 200.0}
    assert second["timestamp_end"] == "2026-01-15T12:00:00.500000Z"
    assert second["usage"]["total_tokens"] == 7
    assert second["attributes"] == {"team": "blue"}


def test_none_takes_nothing_away_that_is_known(log: LLMLoggerAdapter, root: Path) -> None:
    response = {"model": "gpt-4o-2024-08-06", "usage": {"prompt_tokens": 100, "completion_tokens": 50}}
    with log.request(model="gpt-4o", user_id="u-1", usage=None, operation=None) as call:
        call.note(user_id=None, operation="answer")
        call.finish(response, usage=None, response_model=None, operation=None, status=None)
    with log.request(model="gpt-4o", pending=False) as failing:
        failing.fail("overloaded", status=None, http_status=None)
    log.logger.handlers[0].flush()
    done, failed = [line for line in disk.requests(root) if line["status"] != "pending"]
    assert done["usage"]["total_tokens"] == 150
    assert done["response_model"] == "gpt-4o-2024-08-06"
    assert (done["user_id"], done["operation"], done["status"]) == ("u-1", "answer", "success")
    assert (failed["status"], failed["error"]) == ("error", {"message": "overloaded"})


@pytest.mark.parametrize(("error", "status"), [(TimeoutError("t"), "timeout"), (RuntimeError("r"), "error")])
def test_the_exception_is_recorded_and_goes_on_its_way(
    log: LLMLoggerAdapter, root: Path, error: Exception, status: str
) -> None:
    with pytest.raises(type(error)) as caught, log.request(model="m"):
        raise error
    assert caught.value is error
    log.logger.handlers[0].flush()
    line = final(root)
    assert (line["status"], line["level"]) == (status, "ERROR")
    assert line["error"]["type"] == type(error).__name__


def test_a_cancelled_task_is_told_apart(log: LLMLoggerAdapter, root: Path) -> None:
    async def main() -> None:
        async def ask() -> None:
            async with log.request(model="m"):
                await asyncio.sleep(30)

        task = asyncio.create_task(ask())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    log.logger.handlers[0].flush()
    assert final(root)["error"]["code"] == "cancelled"


def test_nobody_need_invent_a_project_or_a_chat() -> None:
    with capture() as logs:
        with get_logger("app").request(model="m", pending=False):
            pass
        get_logger("app").info("x", extra={"llm_request": {"model": "m"}})
    (line,) = logs.requests
    assert (line["project_id"], line["chat_id"]) == ("default", "default")
    # For log.request only: elsewhere a missing identity is said.
    assert logs.events[0]["event_type"] == "invalid_entry"


def test_the_last_resort_is_weaker_than_any_context() -> None:
    with capture() as logs, scope(project_id="shop"), get_logger("app", chat_id="c").request(model="m"):
        pass
    assert {(line["project_id"], line["chat_id"]) for line in logs.requests} == {("shop", "c")}


def test_without_the_fallback_a_missing_identity_is_an_event() -> None:
    with capture() as logs, get_logger("app").request(model="m", fallback=None, pending=False):
        pass
    assert logs.requests == []
    assert logs.events[0]["data"]["reasons"]


def test_many_at_once_keep_apart(log: LLMLoggerAdapter, root: Path) -> None:
    barrier = threading.Barrier(8)

    def ask(n: int) -> str:
        with log.request(model=f"m-{n}", pending=False) as call:
            if n < 8:
                barrier.wait()
            call.finish(usage={"prompt_tokens": n, "completion_tokens": 0})
        return call.id

    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(ask, range(40)))
    log.logger.handlers[0].flush()
    lines = {line["id"]: line for line in disk.requests(root)}
    assert [lines[request]["usage"]["prompt_tokens"] for request in ids] == list(range(40))
    assert [lines[request]["model"] for request in ids] == [f"m-{n}" for n in range(40)]
