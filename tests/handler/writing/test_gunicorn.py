"""gunicorn with a preloaded application: workers that end, are told to, or are killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from tests.processes import REPOSITORY, assert_once, reopen
from tests.servers import has_control_socket

APP = """
import logging, logging.config, os
import llm_logging
logging.config.dictConfig(llm_logging.presets.production(root=os.environ["ROOT"], flush_interval=30))
log = logging.getLogger("app")
log.info("b0")
def app(environ, start_response):
    if environ["PATH_INFO"] == "/pid":
        body = str(os.getpid()).encode()
    else:
        log.info("m%s", environ["PATH_INFO"][1:])
        body = b"ok"
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


@pytest.mark.skipif(sys.platform == "win32", reason="gunicorn runs on POSIX")
def test_prefork_workers_lose_nothing_and_double_nothing(root, tmp_path):
    pytest.importorskip("gunicorn")
    (tmp_path / "preloaded.py").write_text(APP)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "gunicorn",
            "--preload",
            "-w",
            "2",
            "-b",
            f"127.0.0.1:{port}",
            "--log-level",
            "error",
        ]
        + ["--no-control-socket"] * has_control_socket()
        + ["--pythonpath", f"{tmp_path},{REPOSITORY}", "preloaded:app"],
        env={**os.environ, "ROOT": str(root), "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=tmp_path,
    )

    def get(path: str) -> str:
        deadline = time.monotonic() + 20
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=5) as answer:
                    return answer.read().decode()
            except OSError:
                if time.monotonic() > deadline:
                    server.kill()
                    raise AssertionError(server.communicate()[0]) from None
                time.sleep(0.1)

    try:
        get("pid")
        for n in range(60):
            get(str(n))
        os.kill(int(get("pid")), signal.SIGKILL)
        for n in range(60, 100):
            get(str(n))
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0
    finally:
        server.kill()
        server.communicate()
    reopen(root)
    assert_once(root, ["b0", *(f"m{n}" for n in range(100))])
