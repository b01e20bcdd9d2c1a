"""Real servers of web applications that log, in processes of their own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.processes import REPOSITORY

APP = """
import logging, logging.config, os
import llm_logging
logging.config.dictConfig(llm_logging.presets.production(root=os.environ["ROOT"]))
log = logging.getLogger("app")
log.info("b%d" % os.getpid())
def app(environ, start_response):
    if environ["PATH_INFO"] == "/pid":
        body = str(os.getpid()).encode()
    else:
        number = environ["PATH_INFO"][1:]
        log.info("m%s", number)
        log.info("answered", extra={"llm_request": {"project_id": "p", "chat_id": "c", "model": "m", "status": "success",
            "usage": {"prompt_tokens": int(number), "completion_tokens": 1}}})
        body = b"ok"
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
application = app
"""


needs_uwsgi = pytest.mark.skipif(
    not Path(sys.executable).with_name("uwsgi").exists(), reason="needs uWSGI: pip install pyuwsgi"
)


class Server:
    """A server that answers on a port of its own."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, output: Path) -> None:
        self.process, self.port, self.output = process, port, output

    def get(self, path: str) -> str:
        """Ask for a path; the server may still be starting."""
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{path}", timeout=20) as answer:
                    return answer.read().decode()
            except OSError as error:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise AssertionError(f"{error}: {self.output.read_text()[-3000:]}") from None
                time.sleep(0.1)

    def stop(self, number: int, seconds: float = 30) -> float:
        """Send a signal; return the seconds until it has ended."""
        began = time.monotonic()
        # A server may answer before it handles signals, and misses the first then; what waits longer than this is sent another.
        for wait in (min(seconds, 15), seconds - 15):
            if wait > 0:
                self.process.send_signal(number)
                with suppress(subprocess.TimeoutExpired):
                    self.process.wait(wait)
                    break
        self.process.wait(0)
        return time.monotonic() - began


@contextmanager
def served(command: Sequence[str], root: Path, folder: Path, app: str = APP) -> Iterator[Server]:
    """Serve an application that logs to a root; `{port}` in the command is the port."""
    (folder / "served.py").write_text(app)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    output = folder / "output"
    with output.open("wb") as stream:
        process = subprocess.Popen(
            [part.format(port=port) for part in command],
            env={**os.environ, "ROOT": str(root), "PYTHONPATH": f"{folder}:{REPOSITORY}"},
            stdout=stream,
            stderr=subprocess.STDOUT,
            cwd=folder,
            start_new_session=True,
        )
    try:
        yield Server(process, port, output)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)


def uwsgi(*options: str) -> list[str]:
    """Return the command of a uWSGI server of this interpreter."""
    return [
        str(Path(sys.executable).with_name("uwsgi")),
        "--master",
        "--http-socket",
        "127.0.0.1:{port}",
        "--wsgi-file",
        "served.py",
        *options,
    ]


def has_control_socket() -> bool:
    """Say whether this gunicorn opens a control socket, which tests leave out."""
    shown = subprocess.run([sys.executable, "-m", "gunicorn", "--help"], capture_output=True, text=True)
    return "--no-control-socket" in shown.stdout
