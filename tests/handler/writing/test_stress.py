"""The stress command, short; and that it can fail."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.processes import REPOSITORY


def stress(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.stress", *options], capture_output=True, text=True, cwd=REPOSITORY
    )


def test_processes_threads_rotations_kills_and_forks_lose_and_double_nothing():
    done = stress("--seconds", "5", "--processes", "3", "--threads", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert ": 0 wrong" in done.stdout


def test_rotations_lose_nothing_while_listings_miss_what_is_renamed():
    # In this shape names that were chosen from a listing cost lines in three of four runs of 6 s.
    done = stress(
        "--seconds", "10", "--processes", "3", "--threads", "1", "--projects", "1", "--kills", "0",
        "--slow-listings", "--small",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert ": 0 wrong" in done.stdout


def test_processes_that_are_killed_on_a_tmpfs_lose_nothing(tmp_path):
    folder = "/dev/shm" if os.access("/dev/shm", os.W_OK) else str(tmp_path)  # noqa: S108
    done = stress(
        "--seconds", "5", "--processes", "3", "--threads", "2", "--old", "500", "--slow-listings", "--small",
        "--root", folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_spoiled_file_is_found():
    done = stress("--seconds", "1", "--processes", "2", "--threads", "1", "--sabotage")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "0 times" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_minutes_of_it():
    done = stress("--seconds", "180", "--processes", "8", "--threads", "4", "--seed", "7")
    assert done.returncode == 0, done.stdout + done.stderr
