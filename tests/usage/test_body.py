"""A stream says the same however its bytes are cut and compressed."""

import base64
import gzip
import json
import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_logging.usage import body
from llm_logging.usage.body import BodyReader
from llm_logging.usage.wire.aws_eventstream import EventStreamDecoder
from llm_logging.usage.wire.sse import LineDecoder, SSEDecoder
from tests.recordings import needs_recordings, recordings
from tests.usage.aws_frames import ANTHROPIC, CONVERSE, NATIVE, event, message

CHAT = (
    b'data: {"id":"c1","object":"chat.completion.chunk","model":"gpt-4o","choices":[{"index":0,"delta":{"role":"assistant",'
    b'"content":""},"finish_reason":null}],"usage":null}\n\n'
    b'data: {"id":"c1","object":"chat.completion.chunk","model":"gpt-4o","choices":[{"index":0,"delta":{"content":"H\xc3\xa9"}'
    b',"finish_reason":null}],"usage":null}\n\n'
    b'data: {"id":"c1","object":"chat.completion.chunk","model":"gpt-4o","choices":[{"index":0,"delta":{},'
    b'"finish_reason":"stop"}],"usage":null}\n\n'
    b'data: {"id":"c1","object":"chat.completion.chunk","model":"gpt-4o","choices":[],"usage":{"prompt_tokens":9,'
    b'"completion_tokens":2,"total_tokens":11}}\n\ndata: [DONE]\n\n'
)
OLLAMA = (
    b'{"model":"llama3","message":{"role":"assistant","content":"Hi"},"done":false}\n'
    b'{"model":"llama3","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop",'
    b'"prompt_eval_count":26,"eval_count":4}\n'
)
GEMINI_ARRAY = (
    b'[{"candidates":[{"content":{"parts":[{"text":"Hi"}]}}],"usageMetadata":{"promptTokenCount":5,'
    b'"totalTokenCount":5},"modelVersion":"gemini-2.5-flash"}\n,\r\n{"candidates":[{"content":{"parts":[{"text":"!"}]},'
    b'"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":2,"totalTokenCount":7}}]'
)


STREAMS = {
    "chat": (CHAT, "text/event-stream", (9, 2)),
    "chat, CRLF": (CHAT.replace(b"\n", b"\r\n"), "text/event-stream; charset=utf-8", (9, 2)),
    "chat, CR": (CHAT.replace(b"\n", b"\r"), "text/event-stream", (9, 2)),
    "chat, BOM and comments": (b"\xef\xbb\xbf: hello\n\n" + CHAT, "text/event-stream", (9, 2)),
    "anthropic": (ANTHROPIC, "text/event-stream", (113, 12)),
    "ollama": (OLLAMA, "application/x-ndjson", (26, 4)),
    "ollama without its last line end": (OLLAMA[:-1], "application/x-ndjson", (26, 4)),
    "gemini as an array": (GEMINI_ARRAY, "application/json", (5, 2)),
    "converse": (CONVERSE, "application/vnd.amazon.eventstream", (5, 6)),
    "bedrock, native": (NATIVE, "application/vnd.amazon.eventstream", (113, 12)),
}


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[start:end] for start, end in zip(edges, edges[1:], strict=False)]


def read(parts, content_type=None, encoding=None, **kwargs):
    reader = BodyReader(content_type, encoding, **kwargs)
    contents = [reader.feed(part) for part in parts]
    return reader.close(), contents


def deflated(data: bytes) -> bytes:
    return zlib.compress(data)


def bare(data: bytes) -> bytes:
    made = zlib.compressobj(wbits=-15)
    return made.compress(data) + made.flush()


def flushed_gzip(data: bytes) -> bytes:
    """Gzip as servers stream it: flushed after each event, in two members."""
    made = b""
    for half in (data[: len(data) // 2], data[len(data) // 2 :]):
        step = zlib.compressobj(wbits=31)
        made += b"".join(
            step.compress(line) + step.flush(zlib.Z_SYNC_FLUSH) for line in half.splitlines(True)
        )
        made += step.flush()
    return made


ENCODINGS = {None: bytes, "gzip": gzip.compress, "x-gzip": flushed_gzip, "deflate": deflated, "Deflate": bare,
             "deflate, gzip": lambda data: gzip.compress(deflated(data)), "identity": bytes}  # fmt: skip


@pytest.mark.parametrize("name", STREAMS)
@given(places=st.lists(st.integers(0, 10_000), max_size=30), encoding=st.sampled_from(list(ENCODINGS)))
@settings(max_examples=60, deadline=None)
def test_any_cut_and_any_encoding_give_the_same_numbers(name, places, encoding):
    data, content_type, (prompt, completion) = STREAMS[name]
    found, _ = read(cut(ENCODINGS[encoding](data), places), content_type, encoding)
    assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (prompt, completion)
    assert found.usage.source == "provider"
    assert found.complete
    assert found == read([data], content_type)[0]


@pytest.mark.parametrize("name", STREAMS)
def test_one_byte_at_a_time(name):
    data, content_type, (prompt, completion) = STREAMS[name]
    found, _ = read([bytes([byte]) for byte in data], content_type, keep_text=True)
    assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (prompt, completion)
    assert found.text in {"Hi", "Hi!", "Hé"}


@pytest.mark.parametrize("name", STREAMS)
def test_the_format_is_told_by_the_bytes_where_no_header_says_it(name):
    data, _, (prompt, completion) = STREAMS[name]
    for parts in ([data], [data[:3], data[3:]], [gzip.compress(data)]):
        found, _ = read(parts)
        assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (prompt, completion)


@pytest.mark.parametrize("name", ["br", "zstd"])
def test_encodings_that_need_a_package(name):
    if name == "br":
        brotli = pytest.importorskip("brotli", reason="brotli is not installed")
        data = brotli.compress(CHAT)
    else:
        zstandard = pytest.importorskip("zstandard", reason="zstandard is not installed")
        data = zstandard.ZstdCompressor().compress(CHAT)
    for size in (1, 7, 10_000):
        parts = [data[at : at + size] for at in range(0, len(data), size)]
        assert read(parts, "text/event-stream", name)[0].usage.total_tokens == 11


@pytest.mark.parametrize("encoding", ["snappy", "gzip, snappy"])
def test_an_unknown_encoding_is_nothing_known(encoding):
    assert read([CHAT], "text/event-stream", encoding)[0].usage is None


def test_damaged_bytes_are_nothing_known():
    packed = bytearray(gzip.compress(CHAT))
    packed[20] ^= 0xFF
    assert read([bytes(packed)], "text/event-stream", "gzip")[0].usage is None
    assert read([b"\xff\xfe{{{"], "application/json")[0].usage is None
    assert read([b"[" * 100_000], "application/json")[0].usage is None


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("chat", b"H\xc3\xa9"),
        ("anthropic", b'"Hi"'),
        ("ollama", b"Hi"),
        ("converse", b"Hi"),
        ("gemini as an array", b""),
    ],
)
def test_the_first_token_is_the_first_content(name, first):
    data, content_type, _ = STREAMS[name]
    reader = BodyReader(content_type)
    place = data.index(first)
    assert not reader.feed(data[:place]) or name == "gemini as an array"
    assert reader.feed(data[place:])


@pytest.mark.parametrize(
    "name", ["chat", "anthropic", "converse", "bedrock, native", "gemini as an array", "ollama"]
)
def test_a_stream_that_breaks_off_is_never_whole(name):
    data, content_type, _ = STREAMS[name]
    whole = read([data], content_type)[0]
    for end in range(len(data)):
        found = read([data[:end]], content_type)[0]
        if found.usage is not None:
            # What is not marked as partial is all there is.
            assert found.usage.source == "partial" or found.usage == whole.usage, end


def test_anthropics_first_event_alone_is_a_partial_usage():
    found = read([ANTHROPIC[: ANTHROPIC.index(b"event: message_delta")]], "text/event-stream")[0]
    assert (found.usage.prompt_tokens, found.usage.completion_tokens, found.usage.source) == (
        113,
        1,
        "partial",
    )
    assert not found.complete


def test_errors_inside_streams():
    anthropic = (
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
    )
    found = read([ANTHROPIC[:200], anthropic], "text/event-stream")[0]
    openai = b'data: {"error":{"message":"boom","type":"server_error","code":"x"}}\n\n'
    assert read([openai], "text/event-stream")[0].error.code == "x"
    failed = (
        b'event: response.failed\ndata: {"type":"response.failed","response":{"id":"r","object":"response","status":"failed",'
        b'"error":{"code":"server_error","message":"boom"},"usage":null}}\n\n'
    )
    assert read([failed], "text/event-stream")[0].error.code == "server_error"
    thrown = message(
        {":exception-type": "throttlingException", ":message-type": "exception"}, b'{"message":"slow down"}'
    )
    found = read([CONVERSE[:100], thrown], None)[0]
    found = read(
        [event("messageStart", {"role": "assistant"}) + thrown], "application/vnd.amazon.eventstream"
    )[0]
    assert (found.error.code, found.error.message) == ("throttlingException", "slow down")
    assert (
        read([b'{"error":"model not found"}'], "application/json", failed=True)[0].error.message
        == "model not found"
    )
    assert read([b'{"message":"The security token is invalid"}'], "application/json", failed=True)[
        0
    ].error.message


def test_large_embeddings_are_read_in_no_time():
    vector = [random.random() for _ in range(3072)]
    body = {"object": "list", "data": [{"embedding": vector, "index": i} for i in range(20)], "model": "m",
            "usage": {"prompt_tokens": 7, "total_tokens": 7}}  # fmt: skip
    found = read([json.dumps(body).encode()], "application/json")[0]
    assert (found.usage.prompt_tokens, found.response_model) == (7, "m")
    image = {"data": [{"b64_json": base64.b64encode(random.randbytes(200_000)).decode()}],
             "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}}  # fmt: skip
    assert read([json.dumps(image).encode()], "application/json")[0].usage.total_tokens == 3


def test_a_strings_own_quotes_survive_the_thinning():
    body = {
        "text": 'a "' + "A" * 2000 + '" b [' + "1, " * 200 + "2] c",
        "pad": "x" * 60_000,
        "usage": {"prompt_tokens": 1},
    }
    found = read([json.dumps(body).encode()], "application/json")[0]
    assert found.usage.prompt_tokens == 1


def test_a_line_that_never_ends_is_given_up(monkeypatch):
    monkeypatch.setattr("llm_logging.usage.wire.sse.MAX_EVENT", 100)
    decoder = SSEDecoder()
    assert list(decoder.feed(b"data: " + b"x" * 200)) == []
    assert list(decoder.feed(b"x" * 50 + b"\n\ndata: y\n\n")) == [("", b"y")]


def test_a_damaged_message_ends_an_event_stream():
    decoder = EventStreamDecoder()
    broken = bytearray(CONVERSE)
    broken[30] ^= 1
    assert list(decoder.feed(bytes(broken))) == []
    assert decoder.damaged
    assert list(decoder.feed(CONVERSE)) == []


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=8))
def test_lines_are_those_of_the_whole(data, places):
    decoder = LineDecoder()
    lines = [line for part in cut(data, places) for line in decoder.feed(part)]
    rest = decoder.rest()
    text = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    expected = text.split(b"\n")
    # A carriage return at the very end waits for its line feed.
    assert [*lines, rest] == expected or (data.endswith(b"\r") and [*lines, rest, b""] == expected)


@needs_recordings
def test_recorded_streams_say_the_same_cut_anywhere():
    chosen = random.Random(7)
    streams = [recording for recording in recordings() if isinstance(recording.body, bytes)]
    assert len(streams) > 190
    for recording in streams:
        whole = read([recording.body])[0]
        for _ in range(3):
            places = [chosen.randrange(len(recording.body)) for _ in range(40)]
            packed = gzip.compress(recording.body)
            assert read(cut(recording.body, places))[0] == whole, recording.where
            assert (
                read(cut(packed, places), "text/event-stream" if recording.kind == "sse" else None, "gzip")[0]
                == whole
            )


NEXT = b'data: {"id":"c1","object":"chat.completion.chunk","model":"gpt-4o","choices":[{"index":0,"delta":%b,%b}]%b}\n\n'


@pytest.mark.parametrize(
    ("delta", "rest", "beside", "skipped"),
    [
        (b'{"content":"H\xc3\xa9"}', b'"finish_reason":null', b',"usage":null', True),
        (b'{"content":"Hi"}', b'"finish_reason": null', b', "usage": null', True),
        (b'{"content":"Hi"}', b'"finish_reason":null,"native_finish_reason":null', b"", True),
        (b'{"content":"\\"usage\\": 5"}', b'"finish_reason":null', b"", False),
        (b'{"content":"Hi"}', b'"finish_reason":"length"', b',"usage":null', False),
        (b'{"content":"Hi"}', b'"finish_reason":null', b',"usage":{"prompt_tokens":1}', False),
        (b'{"content":"Hi"}', b'"finish_reason":null', b',"usage":   {"prompt_tokens":1}', False),
        (b'{"content":"Hi"}', b'"finish_reason"\t:\n"length"', b"", False),
        (
            b'{"content":"Hi"}',
            b'"finish_reason":null',
            b',"usage":null,"x":{"usage":{"prompt_tokens":1}}',
            False,
        ),
        (b'{"content":"Hi"}', b'"finish_reason":null', b',"error":{"message":"no"}', False),
        (b'{"content":"H\xc3"}', b'"finish_reason":null', b"", False),
    ],
)
def test_only_events_that_can_say_nothing_but_more_text_are_passed_over(delta, rest, beside, skipped):
    assert body._says_nothing_new(NEXT % (delta, rest, beside)) is skipped
