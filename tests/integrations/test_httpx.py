"""What passes through a client is unchanged, and becomes an entry."""

import asyncio
import gc
import gzip
import importlib
import json
import threading
import zlib

import pytest

from llm_logging.context import scope, suppressing
from llm_logging.errors import ConfigurationError
from llm_logging.integrations import httpx as integration
from llm_logging.integrations.capture import http_calls as watching
from llm_logging.integrations.httpx import LoggedTransport, instrument, uninstrument
from llm_logging.logger.adapter import get_logger
from tests.integrations.clients import aclient, client, libraries, module
from tests.integrations.exchanges import ASKED, PATH, PIECES, STREAM, WHOLE, tokens
from tests.loopback import CUT, Answer


@libraries
def test_a_plain_call(library, log, sink, server):
    server.play(PATH, Answer(WHOLE, headers={"x-request-id": "r"}))
    with client(library, log, server, pending=True) as http:
        response = http.post(PATH, json=ASKED)
    assert response.json() == WHOLE
    assert response.headers["x-request-id"] == "r"
    entry = sink.only()
    assert (entry.status, entry.http_status, entry.provider, entry.operation) == (
        "success",
        200,
        "openai",
        "chat",
    )
    assert (entry.model, entry.response_model, entry.provider_response_id) == ("gpt-4o", "gpt-4o-2024", "c1")
    assert (tokens(entry), entry.finish_reasons, entry.stream) == ((9, 2), ["stop"], None)
    assert (entry.attempt, entry.request_group, entry.project_id) == (1, entry.id, "shop")
    assert entry.timings.latency_ms > 0
    assert entry.timings.time_to_first_token_ms is None
    assert [line.status for line in sink.entries] == ["pending", "success"]


@libraries
@pytest.mark.parametrize("encoding", [None, "gzip", "deflate"])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_stream_however_cut_and_compressed(library, log, sink, server, encoding, size):
    body = b"".join(PIECES)
    packed = {None: bytes, "gzip": gzip.compress, "deflate": zlib.compress}[encoding](body)
    headers = {"content-encoding": encoding} if encoding else {}
    parts = [packed[at : at + size] for at in range(0, len(packed), size)]
    server.play(PATH, Answer(parts, content_type="text/event-stream", headers=headers))
    with (
        client(library, log, server) as http,
        http.stream("POST", PATH, json={**ASKED, "stream": True}) as response,
    ):
        assert b"".join(response.iter_bytes()) == body
    entry = sink.only()
    assert (entry.status, entry.stream, tokens(entry)) == ("success", True, (9, 2))
    assert 0 < entry.timings.time_to_first_token_ms <= entry.timings.latency_ms
    assert entry.attributes is None


@libraries
def test_async_calls_and_streams(library, log, sink, server):
    async def main():
        async with aclient(library, log, server) as http:
            server.play(PATH, Answer(WHOLE))
            assert (await http.post(PATH, json=ASKED)).json() == WHOLE
            server.play(PATH, STREAM)
            async with http.stream("POST", PATH, json={**ASKED, "stream": True}) as response:
                assert b"".join([part async for part in response.aiter_raw()]) == b"".join(PIECES)

    asyncio.run(main())
    assert [tokens(entry) for entry in sink.final] == [(9, 2), (9, 2)]


@libraries
def test_chunks_arrive_when_they_are_sent(library, log, sink, server):
    server.play(PATH, Answer([PIECES[1], 0.2, *PIECES[2:]], content_type="text/event-stream"))
    with (
        client(library, log, server) as http,
        http.stream("POST", PATH, json={**ASKED, "stream": True}) as response,
    ):
        parts = response.iter_raw()
        assert next(parts) == PIECES[1]
        assert sink.final == []
        assert b"".join(parts) == b"".join(PIECES[2:])
    entry = sink.only()
    assert entry.timings.time_to_first_token_ms < 150
    assert entry.timings.latency_ms > 190


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (Answer({"error": {"message": "Bad key", "type": "invalid_request_error", "code": "invalid_api_key"}}, 401),
         "error", "invalid_api_key"),
        (Answer({"error": {"message": "Slow", "type": "rate_limit_error"}}, 429), "error", "rate_limit_error"),
        (Answer(b"<html>oops</html>", 500, content_type="text/html"), "error", "500"),
        (Answer({"error": {"message": "late"}}, 504), "timeout", "504"),
    ],
)  # fmt: skip
@libraries
def test_refusals(library, log, sink, server, answer, status, code):
    server.play(PATH, answer)
    with client(library, log, server) as http:
        assert http.post(PATH, json=ASKED).status_code == answer.status
    entry = sink.only()
    assert (entry.status, entry.http_status, entry.error.code, entry.usage) == (
        status,
        answer.status,
        code,
        None,
    )


@libraries
def test_errors_on_the_way(library, log, sink, server):
    inner = module(library)
    server.play(PATH, Answer(WHOLE, delay=5))
    with client(library, log, server) as http, pytest.raises(inner.ReadTimeout):
        http.post(PATH, json=ASKED, timeout=0.05)
    assert (sink.final[-1].status, sink.final[-1].error.code, sink.final[-1].http_status) == (
        "timeout",
        "timeout",
        None,
    )
    with client(library, log, server) as http:
        http.base_url = "http://127.0.0.1:1"
        with pytest.raises(inner.ConnectError):
            http.post(PATH, json=ASKED)
    assert (sink.final[-1].status, sink.final[-1].error.code) == ("error", "connection_error")
    server.play(PATH, Answer([*PIECES[:2], CUT], content_type="text/event-stream"))
    with client(library, log, server) as http, pytest.raises(inner.RemoteProtocolError):
        http.post(PATH, json={**ASKED, "stream": True})
    entry = sink.final[-1]
    assert (entry.status, entry.error.type, entry.http_status) == ("error", "RemoteProtocolError", 200)
    assert entry.timings.time_to_first_token_ms is not None


@libraries
def test_a_stream_without_its_end_is_told(library, log, sink, server):
    server.play(PATH, Answer(PIECES[:2], content_type="text/event-stream"))
    with client(library, log, server) as http:
        http.post(PATH, json={**ASKED, "stream": True})
    entry = sink.only()
    assert (entry.status, entry.usage, entry.attributes) == ("success", None, {"stream_ended": "incomplete"})


@libraries
def test_a_body_that_is_no_json(library, log, sink, server):
    server.play(PATH, Answer(b'{"usage": {"prompt_tok'))
    with client(library, log, server) as http:
        assert http.post(PATH, json=ASKED).content == b'{"usage": {"prompt_tok'
    assert (sink.only().status, sink.only().usage) == ("error", None)
    assert (sink.only().http_status, sink.only().error.code) == (200, "invalid_response")


@libraries
@pytest.mark.parametrize("chunks", [0, 2])
def test_a_stream_that_is_left(library, log, sink, server, chunks):
    server.play(PATH, Answer([*PIECES[:2], 5.0, *PIECES[2:]], content_type="text/event-stream"))
    with (
        client(library, log, server) as http,
        http.stream("POST", PATH, json={**ASKED, "stream": True}) as response,
    ):
        parts = response.iter_raw()
        for _ in range(chunks):
            next(parts)
    entry = sink.only()
    if chunks:
        assert (entry.status, entry.error, entry.attributes["stream_ended"]) == ("success", None, "closed")
    else:
        assert (entry.status, entry.error.code) == ("error", "cancelled")


@libraries
@pytest.mark.parametrize("when", ["before the head", "half way"])
def test_a_cancelled_task(library, log, sink, server, when):
    body = [*PIECES[:2], 5.0, *PIECES[2:]]
    server.play(
        PATH, Answer(body, content_type="text/event-stream", delay=5 if when == "before the head" else 0)
    )

    async def main():
        arrived = asyncio.Event()

        async def read():
            async with aclient(library, log, server) as http:
                async with http.stream("POST", PATH, json={**ASKED, "stream": True}) as response:
                    async for _ in response.aiter_raw():
                        arrived.set()

        task = asyncio.create_task(read())
        if when == "half way":
            await arrived.wait()
        else:
            await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    entry = sink.only()
    if when == "half way":
        assert (entry.status, entry.error, entry.attributes["stream_ended"]) == ("success", None, "cancelled")
    else:
        assert (entry.status, entry.error.code) == ("error", "cancelled")


@libraries
def test_a_response_that_nobody_closes(library, log, sink, server):
    server.play(PATH, Answer([*PIECES[:2], 0.01, *PIECES[2:]], content_type="text/event-stream"))
    http = client(library, log, server)
    response = http.send(http.build_request("POST", PATH, json={**ASKED, "stream": True}), stream=True)
    next(response.iter_raw())
    del response
    gc.collect()
    sink.wait(1)
    http.close()
    assert sink.only().status == "success"


@libraries
def test_concurrent_calls_are_kept_apart(library, log, sink, server):
    server.play(PATH, Answer({"error": {}}, 500))

    async def one(http):
        for count in range(3):
            await http.post(PATH, json=ASKED, headers={"x-stainless-retry-count": str(count)})

    async def main():
        async with aclient(library, log, server) as http:
            await asyncio.gather(*(one(http) for _ in range(5)))

    asyncio.run(main())
    groups = {}
    for entry in sink.final:
        groups.setdefault(entry.request_group, []).append(entry.attempt)
    assert list(map(sorted, groups.values())) == [[1, 2, 3]] * 5


@libraries
def test_others_are_not_looked_at(library, log, sink, server):
    server.play(PATH, Answer(WHOLE))
    server.play("/v1/files", Answer({}))
    server.play("/v1/responses", Answer(WHOLE))
    with client(library, log, server, provider=None) as http:
        http.post("/v1/responses", json=ASKED)
    with client(library, log, server) as http:
        http.post("/v1/files", json={})
        http.get(PATH)
    assert sink.entries == []
    with client(library, log, server, provider=None, hosts={f"127.0.0.1:{server.port}": "vllm"}) as http:
        http.post(PATH, json=ASKED)
    assert sink.only().provider == "vllm"


@libraries
def test_an_outer_instrumentation_silences_this_one(library, log, sink, server):
    server.play(PATH, Answer(WHOLE))
    with client(library, log, server) as http:
        with suppressing():
            http.post(PATH, json=ASKED)
        assert sink.entries == []
        with log.request(model="gpt-4o") as call:
            call.finish(http.post(PATH, json=ASKED))
        assert tokens(sink.only()) == (9, 2)
        with log.request(model="w", request_type="workflow") as workflow:
            http.post(PATH, json=ASKED)
    assert sink.final[1].parent_id == workflow.id
    assert len(sink.final) == 3


@libraries
def test_an_error_of_ours_never_reaches_the_call(library, log, sink, server, monkeypatch, capsys):
    server.play(PATH, Answer(WHOLE))

    def broken(*args, **kwargs):
        raise RuntimeError("ours")

    targets = (
        *((watching, name) for name in ("asked", "next_attempt", "route_of", "wants_content")),
        *((integration, name) for name in ("_described", "telling_headers", "response_streams")),
    )
    for where, target in targets:
        with monkeypatch.context() as patch, client(library, log, server) as http:
            patch.setattr(where, target, broken)
            assert http.post(PATH, json=ASKED).json() == WHOLE
    for target in ("feed", "close"):
        with monkeypatch.context() as patch, client(library, log, server) as http:
            patch.setattr(f"llm_logging.usage.body.BodyReader.{target}", broken)
            assert http.post(PATH, json=ASKED).json() == WHOLE
    log.logger.addFilter(broken)
    with client(library, log, server) as http:
        assert http.post(PATH, json=ASKED).json() == WHOLE
    assert "\nRuntimeError (its text" in capsys.readouterr().err


@libraries
def test_without_a_handler_calls_pass_and_it_is_said_once(library, server, caplog):
    server.play(PATH, Answer(WHOLE))
    log = get_logger(f"nobody.listens.{library}")
    log.logger.propagate = False
    with client(library, log, server) as http:
        for _ in range(3):
            assert http.post(PATH, json=ASKED).json() == WHOLE
    assert [record.message for record in caplog.records if "not being logged" in record.message]
    assert sum("not being logged" in record.message for record in caplog.records) == 1


@libraries
def test_content_is_kept_where_it_is_asked_for(library, log, sink, server):
    server.play(PATH, Answer(WHOLE))
    with client(library, log, server, content=True) as http:
        http.post(PATH, json={**ASKED, "system": "Be brief"})
        server.play(PATH, STREAM)
        http.post(PATH, json={**ASKED, "stream": True})
    assert [entry.response for entry in sink.final] == ["Hi", "Hi"]
    assert sink.final[0].messages == [{"role": "system", "content": "Be brief"}, *ASKED["messages"]]
    with client(library, log, server) as http:
        http.post(PATH, json=ASKED)
    assert sink.final[-1].messages is None


@libraries
def test_a_form_names_its_model(library, log, sink, server):
    server.play("/v1/audio/transcriptions", Answer({"text": "x", "usage": {"type": "tokens", "input_tokens": 14,
                "output_tokens": 4, "total_tokens": 18, "input_token_details": {"audio_tokens": 14}}}))  # fmt: skip
    with client(library, log, server) as http:
        http.post("/v1/audio/transcriptions", data={"model": "whisper-1"}, files={"file": ("a.wav", b"RIFF")})
    entry = sink.only()
    assert (entry.model, entry.operation, entry.usage.audio_prompt_tokens) == (
        "whisper-1",
        "transcription",
        14,
    )


@libraries
def test_an_answer_from_memory(library, log, sink):
    inner = module(library)
    mock = inner.MockTransport(lambda request: inner.Response(200, json=WHOLE))
    with inner.Client(transport=LoggedTransport(mock, log=log)) as http:
        assert http.post("https://api.openai.com/v1/chat/completions", json=ASKED).json() == WHOLE
    assert (tokens(sink.only()), sink.only().provider) == ((9, 2), "openai")


@libraries
def test_scopes_are_on_the_line(library, sink, log, server):
    server.play(PATH, Answer(WHOLE))
    with client(library, log.unbind("chat_id"), server) as http, scope(chat_id="c-99", customer="acme"):
        http.post(PATH, json=ASKED)
    assert (sink.only().chat_id, sink.only().attributes["customer"]) == ("c-99", "acme")


@libraries
def test_instrument_and_uninstrument(library, log, sink, server):
    inner = module(library)
    server.play(PATH, Answer(WHOLE))
    before = inner.Client(base_url=server.url)
    hosts = {f"127.0.0.1:{server.port}": "openai"}
    originals = (inner.Client._transport_for_url, inner.AsyncClient._transport_for_url)
    instrument(log, hosts=hosts)
    instrument(log, hosts=hosts)
    try:
        with inner.Client(base_url=server.url) as http:
            http.post(PATH, json=ASKED)
            assert len(sink.final) == 1
            before.post(PATH, json=ASKED)
            assert len(sink.final) == 2
            sink.entries.pop()

            async def main():
                async with inner.AsyncClient(base_url=server.url) as ahttp:
                    await ahttp.post(PATH, json=ASKED)

            asyncio.run(main())
            assert len(sink.final) == 2
            explicit = LoggedTransport(log=log, hosts=hosts)
            with inner.Client(base_url=server.url, transport=explicit) as once:
                once.post(PATH, json=ASKED)
            assert len(sink.final) == 3
            uninstrument()
            http.post(PATH, json=ASKED)
            assert len(sink.final) == 3
    finally:
        uninstrument()
        before.close()
    assert (inner.Client._transport_for_url, inner.AsyncClient._transport_for_url) == originals


@libraries
def test_one_transport_makes_its_own_for_both_kinds_of_client(library, log, sink, server):
    inner = module(library)
    server.play(PATH, Answer(WHOLE))
    transport = LoggedTransport(log=log, provider="openai")
    with inner.Client(transport=transport, base_url=server.url) as http:
        http.post(PATH, json=ASKED)

    async def main():
        async with inner.AsyncClient(transport=transport, base_url=server.url) as http:
            await http.post(PATH, json=ASKED)

    asyncio.run(main())
    assert [tokens(entry) for entry in sink.final] == [(9, 2), (9, 2)]


def test_instrument_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(integration, "_optional", lambda name: None)
    with pytest.raises(ConfigurationError, match="pip install httpx"):
        instrument()


@libraries
def test_threads(library, log, sink, server):
    server.play(PATH, Answer(WHOLE))
    with client(library, log, server) as http:
        threads = [
            threading.Thread(target=lambda: [http.post(PATH, json=ASKED) for _ in range(5)]) for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [tokens(entry) for entry in sink.final] == [(9, 2)] * 30


def test_http2_passes_through(log, sink, server):
    """The transport inside decides on HTTP/2; nothing here looks at it."""
    pytest.importorskip("h2", reason="h2 is not installed")
    inner = importlib.import_module("httpx")
    transport = LoggedTransport(inner.HTTPTransport(http2=True), log=log, provider="openai")
    server.play(PATH, Answer(WHOLE))
    with inner.Client(transport=transport, base_url=server.url) as http:
        assert json.loads(http.post(PATH, json=ASKED).content) == WHOLE
    assert tokens(sink.only()) == (9, 2)
