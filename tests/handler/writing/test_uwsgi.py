"""uWSGI, for real: it forks its workers in C, without telling Python, and by default lets no other thread run."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.processes import assert_once, lines, messages, reopen, rings
from tests.servers import needs_uwsgi, served, uwsgi

pytestmark = needs_uwsgi

REQUESTS = 60
MODES = {
    "default": ["--processes", "3"],
    "one process": [],
    "threads run": ["--processes", "3", "--enable-threads"],
    "threads of uWSGI": ["--processes", "2", "--threads", "3"],
    "lazy": ["--processes", "3", "--lazy-apps"],
    "lazy, threads run": ["--processes", "2", "--lazy-apps", "--enable-threads"],
}
if sys.version_info < (3, 13):
    # There uWSGI calls the hooks without the import lock, and Python ends every worker, whatever the application is.
    MODES["hooks run"] = ["--processes", "2", "--enable-threads", "--py-call-osafterfork"]


def requests(root: Path) -> list[int]:
    found = [line for line in lines(root) if line["event_type"] == "llm_request"]
    assert len({line["id"] for line in found}) == len(found)
    return sorted(line["usage"]["prompt_tokens"] for line in found)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT, signal.SIGTERM])
def test_every_line_of_every_worker_is_in_the_file_once(root, tmp_path, mode, number):
    options = [*MODES[mode], *(["--die-on-term"] if number == signal.SIGTERM else [])]
    with served(uwsgi(*options), root, tmp_path) as server:
        for n in range(REQUESTS):
            server.get(str(n))
        deadline = time.monotonic() + 15
        while len(messages(root, r"m\d+")) < REQUESTS and time.monotonic() < deadline:
            time.sleep(0.05)
        if "--lazy-apps" in options:
            # A worker that still loads the application misses the signal, with or without us.
            count = int(options[options.index("--processes") + 1])
            while len(messages(root, r"b\d+")) < count and time.monotonic() < deadline + 15:
                time.sleep(0.05)
        # While it runs.
        assert sorted(messages(root, r"m\d+")) == sorted(f"m{n}" for n in range(REQUESTS))
        assert server.stop(number) < 8
        said = server.output.read_text()
    reopen(root)
    starts = messages(root, r"b\d+")
    assert_once(root, [f"m{n}" for n in range(REQUESTS)] + starts)
    assert requests(root) == list(range(REQUESTS))
    assert "cannot" not in said.split("spawned")[-1]


def test_a_killed_worker_loses_nothing(root, tmp_path):
    with served(uwsgi("--processes", "2"), root, tmp_path) as server:
        for n in range(20):
            server.get(str(n))
        os.kill(int(server.get("pid")), signal.SIGKILL)
        for n in range(20, 60):
            server.get(str(n))
        server.stop(signal.SIGINT)
    reopen(root)
    assert_once(root, [f"m{n}" for n in range(60)] + messages(root, r"b\d+"))
    assert requests(root) == list(range(60))


def test_lines_logged_while_the_application_loads_are_written_by_the_master(root, tmp_path):
    with served(uwsgi("--processes", "2"), root, tmp_path) as server:
        server.get("pid")
        (start,) = messages(root, r"b\d+")
        assert start == f"b{server.process.pid}"
        server.stop(signal.SIGINT)
    reopen(root)
    assert_once(root, [start])
    assert not rings(root)


@pytest.mark.parametrize("mode", ["default", "threads run", "lazy", "threads of uWSGI"])
def test_a_reload_loses_nothing(root, tmp_path, mode):
    """SIGHUP ends the workers, and has the master execute itself anew: same process id, nothing of `atexit`."""
    command = uwsgi(
        "--binary-path", sys.executable, *MODES[mode]
    )  # else it is the one outside of the environment
    with served(command, root, tmp_path) as server:
        while mode == "lazy" and len(messages(root, r"b\d+")) < 3:
            # A worker that still loads the application misses the signal, with or without us.
            time.sleep(0.05)
        for turn in range(3):
            for n in range(20 * turn, 20 * turn + 20):
                server.get(str(n))
            log, loaded = server.output, len(messages(root, r"b\d+"))
            begun = log.read_text().count("spawned uWSGI master process")
            if turn < 2:
                server.process.send_signal(signal.SIGHUP)
                deadline = time.monotonic() + 30
                while log.read_text().count("spawned uWSGI master") == begun or (
                    mode == "lazy" and len(messages(root, r"b\d+")) < loaded + 3
                ):
                    assert time.monotonic() < deadline, log.read_text()[-2000:]
                    time.sleep(0.05)
        assert server.stop(signal.SIGINT) < 15
    reopen(root)
    assert_once(root, [f"m{n}" for n in range(60)] + messages(root, r"b\d+"))
    assert requests(root) == list(range(60))
    assert not rings(root)
