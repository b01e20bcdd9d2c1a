"""Running the command line: in this process for speed, as a program where that matters."""

import io
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from llm_logging.cli import app

REPOSITORY = Path(__file__).resolve().parents[2]


# What runs in the background of a shell ignores interrupts, and so do its children: unless they say otherwise.
INTERRUPTIBLE = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from llm_logging.cli.app import main; sys.exit(main())"
)


@dataclass
class Result:
    status: int
    out: str
    err: str


@pytest.fixture
def clean_environment(monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "LLM_LOGGING_ROOT", "TERMINAL_WIDTH", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def cli(capsys, monkeypatch, clean_environment):
    """Run a command in this process; returns its status, output and errors."""

    def run(*args, stdin: bytes | None = None) -> Result:
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        status = app.run([str(arg) for arg in args])
        captured = capsys.readouterr()
        return Result(status, captured.out, captured.err)

    return run


def environment(**changes: str | None) -> dict[str, str]:
    values = {**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "100", **changes}
    for name in ("NO_COLOR", "FORCE_COLOR", "LLM_LOGGING_ROOT"):
        if name not in changes:
            values.pop(name, None)
    return {name: value for name, value in values.items() if value is not None}


@pytest.fixture
def program():
    """Run a command as a real process."""

    def run(*args, stdin: bytes = b"", cwd=None, **changes) -> Result:
        done = subprocess.run(
            [sys.executable, "-m", "llm_logging", *map(str, args)],
            input=stdin,
            capture_output=True,
            env=environment(**changes),
            cwd=cwd,
            timeout=120,
        )
        return Result(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


@pytest.fixture(scope="session")
def logged(tmp_path_factory) -> Path:
    """A root with 30 requests; tests only read it."""
    from tests.cli.logged import make_root

    return make_root(tmp_path_factory.mktemp("logged") / "root")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Keep the user's cache folder out of the tests."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user cache"))
