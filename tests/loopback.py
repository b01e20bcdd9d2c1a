"""A server on loopback that plays answers of providers, whole, slow, broken or cut, and keeps what it was asked."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CUT = object()
"""In place of a chunk: the connection breaks here."""


@dataclass
class Answer:
    """One answer.

    Args:
        body: A JSON value, bytes, or for a stream a list of chunks: bytes, seconds to wait, or `CUT`.
        status: The HTTP status.
        headers: Beyond the content type.
        content_type: As it says.
        delay: Seconds before the head.
    """

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    delay: float = 0.0


def sse(*events: Any, done: bool = True) -> list[bytes]:
    """Chat completions' way of streaming."""
    chunks = [f"data: {json.dumps(event)}\n\n".encode() for event in events]
    return [*chunks, b"data: [DONE]\n\n"] if done else chunks


def named_sse(*events: dict[str, Any]) -> list[bytes]:
    """Anthropic's and the Responses API's way."""
    return [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events]


class Loopback:
    """Play answers, by the end of the request's path; of several the last is repeated.

    Attributes:
        url: Where it listens.
        requests: What it was asked: (path, headers, body).
    """

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.over = threading.Event()
        self.streamed: dict[str, Answer] = {}
        """What to play instead where the request asks for a stream, by the end of the path."""
        self.own_ids = False
        """Whether each answer's id, `c1` or `msg_1`, is its own, as with real providers."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )

    def play(self, path: str, *answers: Answer) -> None:
        self.answers[path] = list(answers)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, path: str) -> Answer:
        for end, answers in self.answers.items():
            if path.partition("?")[0].endswith(end):
                return answers.pop(0) if len(answers) > 1 else answers[0]
        return Answer({"error": {"message": f"nothing to play at {path}"}}, status=404)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        loopback = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                self.do_POST()

            def do_POST(self) -> None:
                if self.headers.get("transfer-encoding", "") == "chunked":
                    body = b""
                    while size := int(self.rfile.readline().strip(), 16):
                        body += self.rfile.read(size)
                        self.rfile.readline()
                    self.rfile.readline()
                else:
                    body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                loopback.requests.append((self.path, headers, body))
                answer = loopback._answer(self.path)
                if loopback.streamed and b'"stream":true' in body.replace(b" ", b""):
                    answer = next(
                        (one for end, one in loopback.streamed.items() if self.path.endswith(end)), answer
                    )
                try:
                    self._play(answer)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def _own(self, data: bytes) -> bytes:
                if not loopback.own_ids:
                    return data
                number = str(len(loopback.requests)).encode()
                return data.replace(b'"c1"', b'"c1-' + number + b'"').replace(
                    b'"msg_1"', b'"msg_1-' + number + b'"'
                )

            def _play(self, answer: Answer) -> None:
                if answer.delay:
                    loopback.over.wait(answer.delay)
                self.send_response(answer.status)
                self.send_header("content-type", answer.content_type)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if isinstance(answer.body, list) and not answer.content_type.startswith("application/json"):
                    self.send_header("transfer-encoding", "chunked")
                    self.end_headers()
                    self._stream(answer.body)
                    return
                body = self._own(
                    answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
                )
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _stream(self, chunks: list[Any]) -> None:
                for chunk in chunks:
                    if chunk is CUT:
                        self.wfile.flush()
                        self.close_connection = True
                        self.connection.shutdown(2)
                        return
                    if isinstance(chunk, (int, float)):
                        self.wfile.flush()
                        loopback.over.wait(chunk)
                        continue
                    chunk = self._own(chunk)
                    self.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
                    self.wfile.flush()
                self.wfile.write(b"0\r\n\r\n")

        return Handler


@contextmanager
def serving() -> Iterator[Loopback]:
    server = Loopback()
    server.start()
    try:
        yield server
    finally:
        server.stop()
