"""An S3 server on loopback for tests, and a proxy in front of it that fails as networks and stores do."""

from __future__ import annotations

import http.client
import os
import random
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.programs import free_port

ACCESS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": "us-east-1",
}
FAULTS = (
    "500",
    "503",
    "no answer",
    "answer lost",
    "part of the answer",
    "part of the body",
    "part is stored",
)


def wait_until_open(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).read()
        except urllib.error.HTTPError:
            return
        except OSError:
            assert time.monotonic() < deadline, "the S3 server did not start"
            time.sleep(0.05)
        else:
            return


@contextmanager
def s3_server() -> Iterator[int]:
    """Run moto's server in a process of its own, with the bucket `bucket`; give its port."""
    pytest.importorskip("obstore", reason="object storage needs obstore: pip install 'llm-logging[remote]'")
    pytest.importorskip("moto", reason="a local S3 server is needed: pip install 'moto[s3,server]'")
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until_open(port)
        bucket = urllib.request.Request(f"http://127.0.0.1:{port}/bucket", method="PUT")
        urllib.request.urlopen(bucket, timeout=10).read()
        yield port
    finally:
        running.kill()
        running.wait()


class FaultyProxy(ThreadingHTTPServer):
    """Hand requests to another server; one of so many goes wrong in one of the ways of `FAULTS`."""

    daemon_threads = True

    def __init__(self, port: int, *, one_of: int = 5, seed: int = 1, kinds: tuple[str, ...] = FAULTS) -> None:
        super().__init__(("127.0.0.1", 0), _Forward)
        self.behind, self.one_of, self.kinds = port, one_of, kinds
        self.chance = random.Random(seed)
        self.met: Counter[str] = Counter()
        self.requests = 0
        self.guard = threading.Lock()

    def fault(self) -> str | None:
        with self.guard:
            self.requests += 1
            if self.one_of and self.chance.randrange(self.one_of) == 0:
                kind = self.chance.choice(self.kinds)
                self.met[kind] += 1
                return kind
        return None

    def handle_error(self, request: object, client_address: object) -> None:
        pass

    @contextmanager
    def running(self) -> Iterator[str]:
        thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{self.server_address[1]}"
        finally:
            self.shutdown()
            thread.join()
            self.server_close()


class _Forward(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyProxy

    def log_message(self, *arguments: object) -> None:
        pass

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.fault()
        if fault in {"500", "503"}:
            self._answer(int(fault), {}, b"<Error><Code>InternalError</Code></Error>")
            return
        if fault == "no answer":
            self.close_connection = True
            return
        sent = body
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        if fault in {"part of the body", "part is stored"} and len(body) > 1:
            sent = body[: len(body) // 2]
        backend = http.client.HTTPConnection("127.0.0.1", self.server.behind, timeout=10)
        try:
            if fault == "part of the body" and len(body) > 1:
                # The connection ends while the body is on its way.
                backend.putrequest(self.command, self.path, skip_accept_encoding=True)
                for name, value in headers.items():
                    backend.putheader(name, value)
                backend.endheaders(sent)
                self.close_connection = True
                return
            headers["Content-Length"] = str(len(sent))
            backend.request(self.command, self.path, sent, headers)
            found = backend.getresponse()
            content = found.read()
        finally:
            backend.close()
        if fault == "answer lost":
            self.close_connection = True
            return
        answer = {name: value for name, value in found.getheaders() if name.lower() not in _HOP}
        if self.command == "HEAD" and found.getheader("Content-Length"):
            answer["Content-Length"] = found.getheader("Content-Length") or "0"
        self._answer(found.status, answer, content, cut=fault == "part of the answer")

    def _answer(self, status: int, headers: dict[str, str], content: bytes, *, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self.close_connection = True

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _forward


_HOP = {"connection", "transfer-encoding", "content-length", "server", "date", "keep-alive"}


@contextmanager
def environment(endpoint: str, **more: str) -> Iterator[None]:
    """Set the variables by which the package for object stores finds a server."""
    wanted = {**ACCESS, "AWS_ENDPOINT_URL": endpoint, **more}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
