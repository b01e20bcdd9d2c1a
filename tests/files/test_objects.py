"""The protocol of stores, held by both implementations, and what the errors of an object store say."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from llm_logging.errors import (
    ConfigurationError,
    ErrorCode,
    FileSystemError,
    LLMLoggingError,
    ValidationError,
)
from llm_logging.files.objects import ObjectStore, is_url, open_store
from tests.object_stores import environment, s3_server

Opener = Callable[[str], ObjectStore]


@pytest.fixture(scope="module", params=["folder", "s3"])
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opener]:
    if request.param == "folder":
        folder = tmp_path_factory.mktemp("stores")
        yield lambda name: open_store(folder / name)
        return
    with s3_server() as port, environment(f"http://127.0.0.1:{port}"):
        yield lambda name: open_store(f"s3://bucket/{name}")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(b"first")
    return path


KEYS = ["a", "a/b.c", "hosts/f/projects/%2e%2f~1/logs/x-0001.jsonl.gz", "with space/ünï", "a+b&c=d?e#f"]


@pytest.mark.parametrize("key", KEYS[1:])
def test_an_object_is_put_once_and_never_replaced(opened: Opener, source: Path, key: str) -> None:
    store = opened(f"once-{KEYS.index(key)}")
    assert store.stat(key) is None
    assert store.put_if_absent(key, source) is True
    found = store.stat(key)
    assert found is not None
    assert (found.key, found.size) == (key, 5)
    source.write_bytes(b"second")
    assert store.put_if_absent(key, source) is False
    assert b"".join(store.read(key)) == b"first"
    assert [one.key for one in store.list()] == [key]
    assert list(store.list()) == [store.stat(key)]


def test_put_replaces_and_delete_removes(opened: Opener) -> None:
    store = opened("replaced")
    store.put("hosts/h/state.json", b"1")
    before = store.stat("hosts/h/state.json")
    store.put("hosts/h/state.json", b"2")
    assert b"".join(store.read("hosts/h/state.json")) == b"2"
    assert store.stat("hosts/h/state.json") != before
    store.delete("hosts/h/state.json")
    store.delete("hosts/h/state.json")
    assert store.stat("hosts/h/state.json") is None
    with pytest.raises(FileNotFoundError):
        list(store.read("hosts/h/state.json"))


def test_a_listing_has_every_object_below_a_prefix_and_no_other(opened: Opener) -> None:
    store = opened("listed")
    keys = [f"hosts/h{number % 7}/x-{number:04}" for number in range(1100)] if "bucket" not in store.url else [
        f"hosts/h{number % 7}/x-{number:04}" for number in range(40)
    ]  # fmt: skip
    for key in keys:
        store.put(key, b"x")
    assert sorted(one.key for one in store.list("hosts/")) == sorted(keys)
    assert sorted(one.key for one in store.list("hosts/h1/")) == sorted(key for key in keys if "/h1/" in key)
    assert list(store.list("host/")) == []
    assert list(store.list("nothing/there/")) == []


def test_an_empty_file_is_an_object(opened: Opener, tmp_path: Path) -> None:
    store, path = opened("empty"), tmp_path / "empty"
    path.write_bytes(b"")
    assert store.put_if_absent("x", path)
    found = store.stat("x")
    assert (found is not None and found.size, list(store.read("x"))) == (0, [])


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("s3://b/p", True), ("GS://b", True), ("az://c", True), ("file:///x", True), ("https://h/x", True), ("/var/llm", False),
        ("llm_logs", False), ("C:\\logs", False), ("s3:/b", False), (Path("s3://b"), False), (None, False),
    ],
)  # fmt: skip
def test_what_is_a_url(place: object, expected: bool) -> None:
    assert is_url(place) is expected


@pytest.mark.parametrize("place", ["http://h/x", "ftp://h", "s3://", "gs:///x"])
def test_a_url_of_no_store_is_refused(place: str) -> None:
    with pytest.raises(ValidationError, match="expected"):
        open_store(place)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(ConfigurationError, match=r"llm-logging\[remote\]") as caught:
        open_store("s3://bucket/x")
    assert caught.value.code is ErrorCode.MISSING_DEPENDENCY


class _Answers(BaseHTTPRequestHandler):
    """A store that answers everything alike, as the path of the endpoint says."""

    def _answer(self) -> None:
        body = self.server.body.encode()  # type: ignore[attr-defined]
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _answer

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (404, "NoSuchBucket", "expected an existing bucket"),
        (301, "PermanentRedirect", "another region; set AWS_REGION"),
        (400, "AuthorizationHeaderMalformed", "another region; set AWS_REGION"),
        (403, "AccessDenied", "the credentials were refused"),
        (403, "InvalidAccessKeyId", "the credentials were refused"),
        (401, "Unauthorized", "the credentials were refused"),
        (400, "ExpiredToken", "the credentials were refused"),
    ],
)
def test_what_a_store_refuses_is_said_in_words(status: int, code: str, said: str, source: Path) -> None:
    pytest.importorskip("obstore")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    server.status, server.body = status, f"<Error><Code>{code}</Code><Message>no</Message></Error>"  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with environment(f"http://127.0.0.1:{server.server_address[1]}"):
            store = open_store("s3://bucket/llm")
            for action in (lambda: list(store.list()), lambda: store.put_if_absent("x", source)):
                with pytest.raises(FileSystemError, match=said) as caught:
                    action()
                assert "s3://bucket/llm" in str(caught.value)
                assert len(str(caught.value)) < 400
    finally:
        server.shutdown()
        server.server_close()


def test_missing_credentials_are_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("obstore")
    with environment("http://127.0.0.1:9", AWS_METADATA_ENDPOINT="http://127.0.0.1:9"):
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        with pytest.raises(LLMLoggingError, match="expected credentials, found none"):
            list(open_store("s3://bucket/llm").list())
