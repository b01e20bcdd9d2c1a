"""gevent and eventlet replace the threads and locks of Python, at any moment of a program: nothing hangs, no line is lost."""

from __future__ import annotations

import contextlib
import functools
import signal
import subprocess
import sys
import time

import pytest

from tests.processes import REPOSITORY, assert_once, messages, reopen, rings
from tests.servers import has_control_socket, needs_uwsgi, served, uwsgi

PARTS = {
    "patch": "PATCH",
    "import": "import logging, os, sys, threading\nimport llm_logging",
    "configure": "handler = llm_logging.LLMFileHandler(sys.argv[1]); log = logging.getLogger('app'); "
    "log.addHandler(handler); log.setLevel('INFO')",
    "log": "log.info('first0')",
    # gevent's own waitpid does not return here, with the standard library's handlers either.
    # The thread of `faulthandler` does not exist in the child, which would wait for it at its end.
    "fork": "import os, posix\nfaulthandler.cancel_dump_traceback_later()\npid = os.fork()\nif pid: os._exit(0 if posix.waitpid(pid, 0)[1] in (0, 9) else 1)",
}
ORDERS = [
    "patch import configure",
    "import patch configure log",
    "import configure patch",
    "import configure log patch",
    "patch import configure log fork",
    "import configure log fork patch",
    "import configure fork patch log",
    "import configure log patch fork",
]
WORK = {
    "gevent": """
import gevent
def work(name):
    for n in range(30):
        log.info("%s%d", name, n)
        if n % 10 == 0:
            gevent.sleep(0)
            llm_logging.get_logger("app", project_id="p", chat_id="c").log_llm_request({"model": "m", "status": "success"})
gevent.joinall([gevent.spawn(work, name) for name in "abc"], raise_error=True)
""",
    "eventlet": """
import eventlet
def work(name):
    for n in range(30):
        log.info("%s%d", name, n)
        if n % 10 == 0:
            eventlet.sleep(0)
            llm_logging.get_logger("app", project_id="p", chat_id="c").log_llm_request({"model": "m", "status": "success"})
for green in [eventlet.spawn(work, name) for name in "abc"]:
    green.wait()
""",
}
PATCHES = {
    "gevent": "from gevent import monkey; monkey.patch_all()",
    "eventlet": "import eventlet; eventlet.monkey_patch()",
}


@functools.cache
def _importable(library):
    code = f"import {library}"
    return not subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True).returncode


def _need(library):
    """Skip where a library is missing or cannot be imported here; not in this process, which it would patch and warn of forks."""
    if not _importable(library):
        pytest.skip(f"{library} cannot be imported")


ENDS = {"return": "", "close": "handler.close()", "flush, killed": "handler.flush(); os.kill(os.getpid(), 9)"}


@pytest.mark.parametrize("library", PATCHES)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("end", ENDS)
def test_whenever_threads_are_patched_every_line_is_written_once(root, library, order, end):
    _need(library)
    code = "import faulthandler; faulthandler.dump_traceback_later(30, exit=True)\n"
    code += "\n".join(PARTS[part] for part in order.split()).replace("PATCH", PATCHES[library])
    code += WORK[library] + ENDS[end]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(root)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=REPOSITORY,
    )
    assert done.returncode in {0, -9, 137 - 256, 247}, done.stderr
    reopen(root)
    first = ["first0"] * ("log" in order)
    assert_once(root, [f"{c}{n}" for c in "abc" for n in range(30)] + first)


@pytest.mark.parametrize("preload", [False, True])
@pytest.mark.parametrize("worker", ["gevent", "gthread"])
def test_gunicorn(root, tmp_path, worker, preload):
    pytest.importorskip("gunicorn")
    if worker == "gevent":
        _need("gevent")
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "gunicorn",
        "-k",
        worker,
        "-w",
        "2",
        "-b",
        "127.0.0.1:{port}",
    ]
    command += ["--no-control-socket"] * has_control_socket() + ["--preload"] * preload + ["served:app"]
    with served(command, root, tmp_path) as server:
        for n in range(60):
            server.get(str(n))
        _wait_for(root, 60)
        # gunicorn's gevent worker at times misses the signal where the application was loaded before the fork, also without us.
        with contextlib.suppress(subprocess.TimeoutExpired):
            assert server.stop(signal.SIGTERM, 15) < 10
    reopen(root)
    assert_once(root, [f"m{n}" for n in range(60)] + messages(root, r"b\d+"))


@needs_uwsgi
@pytest.mark.parametrize("options", [[], ["--lazy-apps"], ["--enable-threads"]])
def test_uwsgi_with_gevent(root, tmp_path, options):
    _need("gevent")
    command = uwsgi("--gevent", "20", "--gevent-monkey-patch", "--processes", "2", "--die-on-term", *options)
    with served(command, root, tmp_path) as server:
        for n in range(60):
            server.get(str(n))
        _wait_for(root, 60)
        assert server.stop(signal.SIGTERM) < 10
    reopen(root)
    assert_once(root, [f"m{n}" for n in range(60)] + messages(root, r"b\d+"))
    assert not rings(root)


def _wait_for(root, count):
    deadline = time.monotonic() + 15
    while len(messages(root, r"m\d+")) < count and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(messages(root, r"m\d+")) == count
