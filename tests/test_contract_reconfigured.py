"""What happens to a record when somebody configures logging anew, closes handlers, or the program ends."""

from __future__ import annotations

import logging
import logging.config
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import llm_logging
from tests import disk

ENTRY = {"project_id": "shop", "chat_id": "c", "model": "m", "status": "success"}


def again(root: Path) -> None:
    logging.config.dictConfig(llm_logging.presets.production(root=root))


def test_configuring_anew_with_lines_on_their_way_takes_no_time_and_loses_none(root: Path) -> None:
    began = time.monotonic()
    for n in range(6):
        again(root)
        for chat in range(70):
            # More files than are open at once, none of them opened before.
            fields = {**ENTRY, "project_id": f"p-{n}-{chat}"}
            logging.getLogger("app").info("x", extra={"llm_request": fields})
    logging.config.dictConfig({"version": 1})
    assert time.monotonic() - began < 8
    assert len(disk.requests(root)) == 420


def test_the_lock_of_the_logging_module_stops_no_line(root: Path) -> None:
    again(root)
    log = llm_logging.get_logger("app")
    lock = logging._lock
    done = threading.Event()

    def strict() -> None:
        log.log_llm_request({**ENTRY, "project_id": "under the lock"})
        done.set()

    thread = threading.Thread(target=strict)
    with lock:
        thread.start()
        assert done.wait(5), "a line waits for a lock of somebody else's"
    thread.join()


def test_a_handler_that_was_closed_and_forgotten_still_writes(root: Path, isolated: Any) -> None:
    handler = llm_logging.LLMFileHandler(root)
    logger = isolated(handler)
    logger.info("before")
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
    logger.info("after")
    handler.flush()
    assert [line["message"] for line in disk.events(root)] == ["before", "after"]
    log = llm_logging.LLMLoggerAdapter(logger)
    handler.close()
    assert log.log_llm_request(ENTRY).logged
    assert [line["writer"]["seq"] for line in disk.events(root)] == [1, 2]


def test_presets_keep_loggers_that_exist(root: Path) -> None:
    logger = logging.getLogger("made.before")
    again(root)
    assert not logger.disabled


@pytest.mark.parametrize(
    "ending",
    [
        "",
        "logging.shutdown()",
        "sys.exit(3)",
        "raise SystemExit",
        "1 / 0",
        "logging.config.dictConfig({'version': 1})",
    ],
)
def test_the_end_of_the_program_flushes(root: Path, ending: str) -> None:
    code = (
        "import logging, logging.config, sys, llm_logging\n"
        f"logging.config.dictConfig(llm_logging.presets.production(root={str(root)!r}))\n"
        "for n in range(500): logging.getLogger('app').info('n %d', n)\n"
        f"{ending}\n"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)
    assert [line["message"] for line in disk.events(root)] == [f"n {n}" for n in range(500)]


def test_records_of_exit_handlers_and_of_a_half_gone_interpreter_are_written(root: Path) -> None:
    code = (
        "import atexit, logging, logging.config, llm_logging\n"
        "atexit.register(lambda: logging.getLogger('app').info('registered first, runs last'))\n"
        f"logging.config.dictConfig(llm_logging.presets.production(root={str(root)!r}))\n"
        "atexit.register(lambda: logging.getLogger('app').info('registered last, runs first'))\n"
        "logging.getLogger('app').info('in the program')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert len(disk.events(root)) == 3
