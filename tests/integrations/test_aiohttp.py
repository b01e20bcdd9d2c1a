"""What passes through aiohttp is unchanged, and becomes an entry."""

import asyncio
import gc
import gzip
import importlib
import json

import pytest

from llm_logging.context import suppressing
from llm_logging.errors import ConfigurationError
from llm_logging.integrations import aiohttp as integration
from llm_logging.integrations import httpx as for_httpx
from llm_logging.integrations.capture import http_calls as watching
from tests.integrations.exchanges import ASKED, PATH, PIECES, STREAM, WHOLE, tokens
from tests.loopback import CUT, Answer

aiohttp = pytest.importorskip("aiohttp", reason="aiohttp is not installed")

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(autouse=True)
def instrumented(log, server):
    integration.instrument(log, hosts={f"127.0.0.1:{server.port}": "openai"})
    integration.instrument(log)
    yield
    integration.uninstrument()


def run(server, talk, **options):
    """Run a conversation with a session of its own, and return what came of it."""

    async def main():
        async with aiohttp.ClientSession(server.url, **options) as session:
            return await talk(session)

    return asyncio.run(main())


def bare(server, talk, **options):
    with suppressing():
        return run(server, talk, **options)


async def whole(session):
    async with session.post(PATH, json=ASKED) as response:
        return response.status, await response.json()


def test_a_plain_call(server, log, sink):
    server.play(PATH, Answer(WHOLE))
    assert run(server, whole) == bare(server, whole) == (200, WHOLE)
    entry = sink.only()
    assert (entry.status, entry.http_status, entry.model, entry.provider) == (
        "success",
        200,
        "gpt-4o",
        "openai",
    )
    assert (tokens(entry), entry.operation, entry.response_model) == ((9, 2), "chat", "gpt-4o-2024")
    assert entry.timings.latency_ms > 0


async def listed(made):
    return [item async for item in made]


READERS = {
    "read": lambda content: content.read(),
    "iter_any": lambda content: listed(content.iter_any()),
    "iter_chunked": lambda content: listed(content.iter_chunked(7)),
    "iter_chunks": lambda content: listed(content.iter_chunks()),
    "lines": listed,
}


async def by_hand(content):
    parts = [await content.readexactly(3), await content.readuntil(b"}"), await content.readline()]
    while part := await content.read(50):
        parts.append(part)
    return [*parts, content.read_nowait()]


READERS["by hand"] = by_hand


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("encoding", [None, "gzip"])
def test_a_stream_however_it_is_read(server, log, sink, reader, encoding):
    body = b"".join(PIECES)
    headers = {"content-encoding": encoding} if encoding else {}
    parts = [gzip.compress(body)] if encoding else PIECES
    server.play(PATH, Answer(parts, content_type="text/event-stream", headers=headers))

    async def talk(session):
        async with session.post(PATH, data=json.dumps({**ASKED, "stream": True}).encode()) as response:
            assert isinstance(response.content, aiohttp.StreamReader)
            found = await READERS[reader](response.content)
            return found if isinstance(found, bytes) else b"".join(
                part[0] if isinstance(part, tuple) else part for part in found
            )  # fmt: skip

    assert run(server, talk) == bare(server, talk) == body
    entry = sink.only()
    assert (entry.status, entry.stream, tokens(entry)) == ("success", True, (9, 2))
    assert 0 < entry.timings.time_to_first_token_ms <= entry.timings.latency_ms
    assert entry.attributes is None


def test_a_body_that_is_left_compressed(server, log, sink):
    server.play(PATH, Answer(gzip.compress(json.dumps(WHOLE).encode()), headers={"content-encoding": "gzip"}))

    async def talk(session):
        async with session.post(PATH, json=ASKED) as response:
            return json.loads(gzip.decompress(await response.read()))

    assert run(server, talk, auto_decompress=False) == WHOLE
    assert tokens(sink.only()) == (9, 2)


@pytest.mark.parametrize("how", ["closed", "released", "left"])
def test_a_stream_that_is_left(server, log, sink, how):
    server.play(PATH, Answer([*PIECES[:2], 5.0, *PIECES[2:]], content_type="text/event-stream"))

    async def talk(session):
        response = await session.post(PATH, json={**ASKED, "stream": True})
        while b"Hi" not in await response.content.readany():
            pass
        assert sink.final == []
        if how == "closed":
            response.close()
        elif how == "released":
            response.release()

    run(server, talk)
    # aiohttp itself holds a response that nobody closes until its session goes.
    gc.collect()
    entry = sink.wait(1)[0]
    assert (entry.status, entry.error) == ("success", None)
    assert entry.attributes["stream_ended"] == ("left" if how == "left" else "closed")


@pytest.mark.parametrize("first", [False, True])
def test_a_cancelled_task(server, log, sink, first):
    parts = [*PIECES[:2], 5.0, *PIECES[2:]] if first else [5.0, *PIECES]
    server.play(PATH, Answer(parts, content_type="text/event-stream"))

    async def talk(session):
        arrived = asyncio.Event()

        async def read():
            async with session.post(PATH, json={**ASKED, "stream": True}) as response:
                arrived.set()
                async for part in response.content.iter_any():
                    if b"Hi" in part:
                        arrived.set()

        task = asyncio.create_task(read())
        await arrived.wait()
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(server, talk)
    entry = sink.wait(1)[0]
    if first:
        assert (entry.status, entry.error) == ("success", None)
    else:
        assert (entry.status, entry.error.code) == ("error", "cancelled")


def test_errors_on_the_way(server, log, sink):
    server.play(PATH, Answer(WHOLE, delay=5.0))

    async def slow(session):
        await session.post(PATH, json=ASKED, timeout=aiohttp.ClientTimeout(total=0.1))

    with pytest.raises(TimeoutError):
        run(server, slow)
    assert (sink.final[-1].status, sink.final[-1].error.code) == ("timeout", "timeout")
    server.play(PATH, Answer([*PIECES[:2], 5.0], content_type="text/event-stream"))

    async def stalls(session):
        options = {"timeout": aiohttp.ClientTimeout(total=0.2)}
        async with session.post(PATH, json={**ASKED, "stream": True}, **options) as response:
            await response.read()

    with pytest.raises(TimeoutError):
        run(server, stalls)
    assert (sink.final[-1].status, sink.final[-1].http_status) == ("timeout", 200)
    server.play(PATH, Answer([*PIECES[:2], CUT], content_type="text/event-stream"))

    async def read(session):
        async with session.post(PATH, json={**ASKED, "stream": True}) as response:
            await response.read()

    with pytest.raises(aiohttp.ClientPayloadError):
        run(server, read)
    assert (sink.final[-1].status, sink.final[-1].error.code) == ("error", "connection_error")
    assert len(sink.final) == 3

    async def refused(session):
        await session.post("http://127.0.0.1:9/v1/chat/completions", json=ASKED)

    integration.uninstrument()
    integration.instrument(log, hosts={"127.0.0.1:9": "openai"})
    with pytest.raises(aiohttp.ClientConnectorError):
        run(server, refused)
    assert (sink.final[-1].status, sink.final[-1].error.code) == ("error", "connection_error")


@pytest.mark.parametrize("how", ["status", "raise_for_status", "session"])
def test_refusals(server, log, sink, how):
    server.play(PATH, Answer({"error": {"message": "no", "type": "t", "code": "c"}}, 429))

    async def talk(session):
        async with session.post(PATH, json=ASKED) as response:
            if how == "raise_for_status":
                response.raise_for_status()
            return response.status, await response.json()

    options = {"raise_for_status": True} if how == "session" else {}
    if how == "status":
        assert run(server, talk)[0] == 429
    else:
        with pytest.raises(aiohttp.ClientResponseError):
            run(server, talk, **options)
    entry = sink.only()
    assert (entry.status, entry.http_status) == ("error", 429)
    assert entry.error.code == ("c" if how == "status" else "429" if how == "raise_for_status" else None)


def test_others_are_not_looked_at_and_outer_instrumentations_silence_this_one(server, log, sink):
    server.play(PATH, Answer(WHOLE))
    server.play("/health", Answer({"ok": True}))

    async def talk(session):
        for method, path in (("POST", "/health"), ("GET", PATH)):
            async with session.request(method, path) as response:
                await response.read()

    run(server, talk)
    with log.request(model="m") as call:
        call.finish(run(server, whole)[1])
    assert tokens(sink.only()) == (9, 2)


def test_an_error_of_ours_never_reaches_the_call(server, log, sink, monkeypatch, capsys):
    server.play(PATH, Answer(WHOLE))

    def broken(*args, **kwargs):
        raise RuntimeError("ours")

    targets = (
        (watching, "asked"),
        (watching, "route_of"),
        (integration, "_described"),
        (integration, "telling_headers"),
    )
    for where, target in targets:
        with monkeypatch.context() as patch:
            patch.setattr(where, target, broken)
            assert run(server, whole) == (200, WHOLE)
    for target in ("feed", "close"):
        with monkeypatch.context() as patch:
            patch.setattr(f"llm_logging.usage.body.BodyReader.{target}", broken)
            assert run(server, whole) == (200, WHOLE)
    assert "\nRuntimeError (its text" in capsys.readouterr().err


def test_instrumenting_httpx_covers_aiohttp_where_it_is_installed(server, log, sink):
    server.play(PATH, Answer(WHOLE))
    integration.uninstrument()
    run(server, whole)
    assert sink.final == []
    for_httpx.instrument(log, hosts={f"127.0.0.1:{server.port}": "openai"})
    try:
        run(server, whole)
    finally:
        for_httpx.uninstrument()
    run(server, whole)
    assert tokens(sink.only()) == (9, 2)


def test_a_body_that_streams_is_left_alone(server, log, sink):
    server.play(PATH, STREAM)

    async def talk(session):
        async def made():
            yield b'{"model": "x"}'

        async with session.post(PATH, data=made()) as response:
            return await response.read()

    assert run(server, talk) == b"".join(PIECES)
    assert server.requests[-1][2] == b'{"model": "x"}'
    assert (sink.only().model, tokens(sink.only())) == ("unknown", (9, 2))


def test_it_says_what_is_missing(monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(ConfigurationError, match="pip install aiohttp"):
        integration.instrument()
