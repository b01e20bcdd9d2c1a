"""Lines that a killed process left in its spool count before anybody has written them, and once after."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from llm_logging import StatsScope, get_stats
from llm_logging.handler.recovery import recover_root

KILLED = """
import logging.config, os, signal, sys
from llm_logging import get_logger, presets

logging.config.dictConfig(presets.production(sys.argv[1], flush_interval=60.0))
log = get_logger("app", project_id="shop", chat_id="c-17")
log.log_llm_request({"model": "gpt-4o", "usage": {"prompt_tokens": 1, "completion_tokens": 1}})
for _ in range(10):
    log.info("answered", extra={"llm_request": {"model": "gpt-4o", "usage": {"prompt_tokens": 5, "completion_tokens": 2}}})
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX locks")
def test_lines_in_the_ring_of_a_killed_process_count_once(tmp_path):
    root = tmp_path / "root"
    here = Path(__file__).parents[2]
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(root)], cwd=here, env={**os.environ, "PYTHONPATH": str(here)}
    )
    assert ended.returncode == -signal.SIGKILL

    scope = StatsScope(type="project", project_id="shop")
    written = (root / "projects/shop/logs/llm_requests.jsonl").read_bytes().count(b"\n")
    before = get_stats(scope, root=root, cache=False).summary
    report = recover_root(root)
    after = get_stats(scope, root=root, cache=False)

    assert written < 11
    assert (before.total_requests, before.prompt_tokens) == (11, 51)
    assert report.lines == 11 - written
    assert (after.summary.total_requests, after.summary.prompt_tokens) == (11, 51)
    assert after.quality.repeated_lines == 0


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX locks")
def test_the_doctor_writes_them(tmp_path):
    root = tmp_path / "root"
    here = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(here)}
    subprocess.run([sys.executable, "-c", KILLED, str(root)], cwd=here, env=environment)
    log = root / "projects/shop/logs/llm_requests.jsonl"

    command = [sys.executable, "-m", "llm_logging", "doctor", "--root", str(root), "--quick"]
    looked = subprocess.run(
        [*command, "--no-recover"], cwd=here, env=environment, capture_output=True, text=True
    )
    before = log.read_bytes().count(b"\n")
    mended = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True)

    assert "wait in the buffers of 1 processes" in looked.stdout
    assert f"{11 - before:,} lines of 1 killed processes were written" in mended.stdout
    assert (before < 11, log.read_bytes().count(b"\n")) == (True, 11)
