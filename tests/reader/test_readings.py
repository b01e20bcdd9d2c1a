"""Reading while processes write, rotate and compress: nothing twice, nothing missed, nothing falls."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.processes import REPOSITORY


def readings(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.readings", *options], capture_output=True, text=True, cwd=REPOSITORY
    )


def test_readings_while_processes_write_rotate_and_compress_are_exact():
    done = readings("--readings", "12", "--processes", "4")
    assert done.returncode == 0, done.stdout + done.stderr
    assert ": 0 wrong" in done.stdout


def test_a_request_written_twice_is_found():
    done = readings("--readings", "2", "--processes", "2", "--sabotage")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "expected" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_thousand_readings_in_a_row():
    done = readings("--readings", "1000", "--processes", "4", "--rate", "5")
    assert done.returncode == 0, done.stdout + done.stderr
