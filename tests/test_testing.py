"""What users' tests stand on."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path

from llm_logging import get_logger
from llm_logging.clock import clock
from llm_logging.testing import CapturedLogs, FixedClock, capture, fixed, llm_logs
from tests.programs import environment

__all__ = ["llm_logs"]
ENTRY = {"project_id": "shop", "chat_id": "c", "model": "m"}


def test_everything_is_captured_by_kind_and_in_order(llm_logs: CapturedLogs) -> None:
    log = get_logger("app", project_id="shop", chat_id="c")
    with log.request(model="m") as call:
        call.finish(usage={"prompt_tokens": 1, "completion_tokens": 2})
    log.log_chat_message({"role": "user", "content": "hi"})
    log.info("event", extra={"n": 1})
    logging.getLogger("lib").debug("low")
    assert [line["status"] for line in llm_logs.requests] == ["pending", "success"]
    assert llm_logs.finished[0]["usage"]["total_tokens"] == 3
    assert llm_logs.chat_messages[0]["content"] == "hi"
    assert [line["message"] for line in llm_logs.events] == ["event", "low"]
    assert len(llm_logs.lines) == 5
    llm_logs.clear()
    assert llm_logs.lines == []


def test_strict_calls_are_answered_at_once_and_content_is_there(llm_logs: CapturedLogs) -> None:
    result = get_logger("app").log_llm_request({**ENTRY, "messages": [{"role": "user"}], "response": "r"})
    assert result.logged
    assert (llm_logs.requests[0]["messages"], llm_logs.requests[0]["response"]) == ([{"role": "user"}], "r")


def test_capture_of_one_logger_leaves_the_others_alone_and_everything_as_it_was() -> None:
    logger = logging.getLogger("captured.only")
    before = (logger.level, list(logger.handlers))
    with capture("captured.only") as logs:
        logger.debug("in")
        logging.getLogger("elsewhere").warning("out")
    assert [line["message"] for line in logs.lines] == ["in"]
    assert (logger.level, list(logger.handlers)) == before


def test_time_stands_still_and_ids_count() -> None:
    with fixed(datetime(2030, 5, 6, tzinfo=UTC)) as still, capture() as logs:
        with get_logger("app").request(model="m") as call:
            still.tick(2.5)
        logging.getLogger("lib").warning("event")
    assert call.id == "00000000-0000-4000-8000-000000000001"
    final = logs.finished[0]
    assert final["timestamp_start"] == "2030-05-06T00:00:00.000000Z"
    assert final["timestamp_end"] == final["timestamp"] == "2030-05-06T00:00:02.500000Z"
    assert final["timings"]["latency_ms"] == 2500
    assert logs.events[0]["timestamp"] == "2030-05-06T00:00:02.500000Z"
    assert not isinstance(clock(), FixedClock)


def test_a_clock_with_a_step_moves_when_it_is_looked_at() -> None:
    with fixed(step=1.0) as stepping:
        assert (clock().now(), clock().now()) == (
            datetime(2026, 1, 15, 12, tzinfo=UTC),
            datetime(2026, 1, 15, 12, 0, 1, tzinfo=UTC),
        )
        assert stepping.monotonic() == 2.0


def test_the_fixture_is_there_for_who_asks_for_the_plugin(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(
        "import llm_logging\n"
        "def test_answer(llm_logs):\n"
        "    with llm_logging.get_logger('app').request(model='gpt-4o'): pass\n"
        "    assert llm_logs.finished[0]['model'] == 'gpt-4o'\n"
    )
    # Installed, the plugin is found by itself; from the source it is named.
    named = [] if entry_points(group="pytest11", name="llm_logging") else ["-p", "llm_logging.testing"]
    command = [sys.executable, "-m", "pytest", "-q", *named, "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_pytest_loads_next_to_nothing_until_the_fixture_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        "import sys\n"
        "def pytest_sessionfinish():\n"
        "    heavy = {'pydantic', 'pydantic_core', 'pythonjsonlogger', 'duckdb'}\n"
        "    print('LOADED', sorted(name for name in sys.modules if name.split('.')[0] in heavy), "
        "len([name for name in sys.modules if name.split('.')[0] == 'llm_logging']))\n"
    )
    (tmp_path / "test_x.py").write_text("def test_x(): pass\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-s",
        "-p",
        "no:cacheprovider",
        "-p",
        "llm_logging.pytest_plugin",
    ]
    alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}

    def out() -> str:
        return subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, env=alone).stdout

    assert "LOADED [] 5" in out()
    (tmp_path / "test_x.py").write_text("def test_x(llm_logs): assert llm_logs.lines == []\n")
    assert "1 passed" in out()
    assert "'pydantic'" in out()
