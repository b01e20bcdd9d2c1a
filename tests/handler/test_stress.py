"""The stress command, short; and that it can fail."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ..processes import REPOSITORY


def stress(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.stress", *options], capture_output=True, text=True, cwd=REPOSITORY
    )


def test_processes_threads_rotations_kills_and_forks_lose_and_double_nothing():
    done = stress("--seconds", "5", "--processes", "3", "--threads", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert ": 0 wrong" in done.stdout


def test_a_spoiled_file_is_found():
    done = stress("--seconds", "1", "--processes", "2", "--threads", "1", "--sabotage")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "0 times" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_minutes_of_it():
    done = stress("--seconds", "180", "--processes", "8", "--threads", "4", "--seed", "7")
    assert done.returncode == 0, done.stdout + done.stderr
