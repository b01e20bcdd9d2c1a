"""What the shell that runs the tests has set does not reach them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.programs import PROJECT

CALLERS = {
    "LLM_LOGGING_ROOT": "/nowhere/logs",
    "LLM_LOGGING_CACHE": "",
    "LLM_LOGGING_MANIFEST_KEY": "k" * 32,
    "LLM_LOGGING_PSEUDONYM_KEY": "k" * 32,
    "LLM_LOGGING_HOSTS": "localhost=openai",
    "TZ": "Pacific/Kiritimati",
    "NO_COLOR": "1",
    "FORCE_COLOR": "1",
    "COLUMNS": "20",
    "CI": "true",
    "PYTHONWARNINGS": "ignore",
}


def test_settings_of_the_shell_do_not_reach_the_tests(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    test = [
        "tests/cli/test_help.py",
        "tests/handler/writing/test_rotation_interval.py",
        "-k",
        "duckdb or intervals",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *test],
        cwd=PROJECT,
        env={**os.environ, **CALLERS, "LLM_LOGGING_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert list((tmp_path / "cache").iterdir()) == []
