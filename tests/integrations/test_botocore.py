"""Bedrock through boto3: what boto3 returns is unchanged, and each attempt is an entry."""

import asyncio
import gc
import io
import json
import time

import pytest

from llm_logging.errors import ConfigurationError
from llm_logging.integrations import botocore as integration
from llm_logging.integrations.botocore import instrument, instrument_client, uninstrument
from tests.loopback import CUT, Answer
from tests.usage.aws_frames import CONVERSE, NATIVE, event

boto3 = pytest.importorskip("boto3", reason="boto3 is not installed")
from botocore.config import Config  # noqa: E402
from botocore.eventstream import EventStream  # noqa: E402
from botocore.response import StreamingBody  # noqa: E402

# A stream that is left keeps its socket until botocore lets go of it.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

MODEL = "anthropic.claude-v2"
MESSAGES = [{"role": "user", "content": [{"text": "Say hi"}]}]
WHOLE = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Hi"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 5, "outputTokens": 6, "totalTokens": 1011, "cacheReadInputTokens": 1000},
    "metrics": {"latencyMs": 7},
}
NATIVE_WHOLE = {"id": "msg_1", "model": "claude", "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn",
                "usage": {"input_tokens": 5, "output_tokens": 6}}  # fmt: skip
STREAM_TYPE = "application/vnd.amazon.eventstream"
HEADERS = {"x-amzn-requestid": "req-1"}


made = []


@pytest.fixture(autouse=True)
def clients_are_closed():
    yield
    while made:
        made.pop().close()
    gc.collect()


def make(server, log=None, *, retries=1, timeout=5, **options):
    client = boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=server.url,
        aws_access_key_id="k",
        aws_secret_access_key="s",
        config=Config(retries={"total_max_attempts": retries, "mode": "standard"}, read_timeout=timeout),
    )
    made.append(client)
    return client if log is None else instrument_client(client, log, **options)


def tokens(entry):
    return None if entry.usage is None else (entry.usage.prompt_tokens, entry.usage.completion_tokens)


def without_metadata(response):
    return {name: value for name, value in response.items() if name != "ResponseMetadata"}


def test_converse(server, log, sink):
    server.play("/converse", Answer(WHOLE, headers=HEADERS))
    bare = make(server).converse(modelId=MODEL, messages=MESSAGES)
    found = make(server, log).converse(modelId=MODEL, messages=MESSAGES)
    assert without_metadata(found) == without_metadata(bare) == WHOLE
    entry = sink.only()
    assert (entry.status, entry.http_status, entry.model, entry.provider) == (
        "success",
        200,
        MODEL,
        "bedrock",
    )
    assert (tokens(entry), entry.usage.cache_read_tokens) == ((1005, 6), 1000)
    assert (entry.finish_reasons, entry.provider_response_id) == (["end_turn"], "req-1")
    assert entry.attributes["provider_latency_ms"] == 7
    assert (entry.attempt, entry.request_group) == (1, entry.id)


def test_converse_stream(server, log, sink):
    server.play("/converse-stream", Answer([CONVERSE[:50], CONVERSE[50:]], content_type=STREAM_TYPE))
    bare = list(make(server).converse_stream(modelId=MODEL, messages=MESSAGES)["stream"])
    stream = make(server, log).converse_stream(modelId=MODEL, messages=MESSAGES)["stream"]
    assert isinstance(stream, EventStream)
    assert list(stream) == bare
    entry = sink.only()
    assert (entry.status, entry.stream, tokens(entry)) == ("success", True, (5, 6))
    assert 0 < entry.timings.time_to_first_token_ms <= entry.timings.latency_ms


def test_a_stream_that_is_left_or_closed(server, log, sink):
    server.play("/converse-stream", Answer([CONVERSE], content_type=STREAM_TYPE))
    client = make(server, log)
    stream = client.converse_stream(modelId=MODEL, messages=MESSAGES)["stream"]
    for found in stream:
        if "contentBlockDelta" in found:
            break
    assert sink.final == []
    stream.close()
    assert (sink.final[0].status, sink.final[0].attributes["stream_ended"]) == ("success", "closed")
    stream = client.converse_stream(modelId=MODEL, messages=MESSAGES)["stream"]
    next(iter(stream))
    del stream
    assert sink.wait(2)[1].attributes["stream_ended"] == "left"


def test_invoke_model(server, log, sink):
    headers = {"x-amzn-bedrock-input-token-count": "5", "x-amzn-bedrock-output-token-count": "6", **HEADERS}
    server.play("/invoke", Answer(NATIVE_WHOLE, headers=headers))
    body = make(server, log).invoke_model(modelId=MODEL, body=json.dumps({"max_tokens": 3}))["body"]
    assert isinstance(body, StreamingBody)
    assert sink.final == []
    assert json.loads(body.read()) == NATIVE_WHOLE
    entry = sink.only()
    assert (tokens(entry), entry.response_model, entry.provider_response_id) == ((5, 6), "claude", "msg_1")
    embed = {"embedding": [0.1], "inputTextTokenCount": 5}
    server.play("/invoke", Answer(embed))
    body = make(server, log).invoke_model(modelId="amazon.titan-embed-text-v2:0", body=b"{}")["body"]
    assert b"".join(body.iter_chunks(4)) == json.dumps(embed).encode()
    assert (tokens(sink.final[-1]), sink.final[-1].operation) == ((5, None), "embeddings")


def test_counts_that_are_in_headers_only(server, log, sink):
    server.play("/invoke", Answer({"generations": []}, headers={"x-amzn-bedrock-input-token-count": "5",
                                                              "x-amzn-bedrock-output-token-count": "6"}))  # fmt: skip
    make(server, log).invoke_model(modelId="cohere.command", body=b"{}")["body"].read()
    assert tokens(sink.only()) == (5, 6)


def test_invoke_model_with_response_stream(server, log, sink):
    server.play("/invoke-with-response-stream", Answer([NATIVE], content_type=STREAM_TYPE))
    found = make(server, log).invoke_model_with_response_stream(modelId=MODEL, body=b"{}")
    assert len(list(found["body"])) == 5
    assert (tokens(sink.only()), sink.only().finish_reasons) == ((113, 12), ["end_turn"])


def test_throttled_then_answered(server, log, sink):
    refusal = Answer(
        {"message": "Too many requests"}, 429, headers={"x-amzn-errortype": "ThrottlingException"}
    )
    server.play("/converse", refusal, Answer(WHOLE))
    make(server, log, retries=3).converse(modelId=MODEL, messages=MESSAGES)
    first, second = sink.final
    assert (first.status, first.http_status, first.error.code) == ("error", 429, "ThrottlingException")
    assert (first.attempt, second.attempt, second.status) == (1, 2, "success")
    assert first.request_group == second.request_group == first.id
    assert second.timings.total_duration_ms > second.timings.latency_ms


@pytest.mark.parametrize(
    ("status", "kind"), [(403, "UnrecognizedClientException"), (500, "InternalServerException")]
)
def test_refusals(server, log, sink, status, kind):
    server.play("/converse", Answer({"message": "no"}, status, headers={"x-amzn-errortype": kind}))
    with pytest.raises(Exception, match="no") as bare:
        make(server).converse(modelId=MODEL, messages=MESSAGES)
    with pytest.raises(type(bare.value).__mro__[1], match="no") as raised:
        make(server, log).converse(modelId=MODEL, messages=MESSAGES)
    assert str(raised.value) == str(bare.value)
    entry = sink.only()
    assert (entry.status, entry.http_status, entry.error.code, entry.error.message) == (
        "error",
        status,
        kind,
        "no",
    )


def test_timed_out_and_refused_connections(server, log, sink):
    server.play("/converse", Answer(WHOLE, delay=5))
    with pytest.raises(Exception, match="timed out|timeout"):
        make(server, log, timeout=0.1).converse(modelId=MODEL, messages=MESSAGES)
    assert (sink.final[-1].status, sink.final[-1].error.code) == ("timeout", "timeout")
    server.url = "http://127.0.0.1:9"
    with pytest.raises(Exception, match="Could not connect"):
        make(server, log).converse(modelId=MODEL, messages=MESSAGES)
    assert (sink.final[-1].status, sink.final[-1].error.code) == ("error", "connection_error")


def test_a_stream_cut_in_the_middle(server, log, sink):
    server.play("/converse-stream", Answer([CONVERSE[:-20], CUT], content_type=STREAM_TYPE))
    with pytest.raises(Exception) as bare:
        list(make(server).converse_stream(modelId=MODEL, messages=MESSAGES)["stream"])
    stream = make(server, log).converse_stream(modelId=MODEL, messages=MESSAGES)["stream"]
    with pytest.raises(type(bare.value)):
        list(stream)
    assert (sink.only().status, sink.only().http_status) == ("error", 200)


def test_an_exception_inside_a_stream(server, log, sink):
    from tests.usage.aws_frames import message

    thrown = message(
        {":exception-type": "throttlingException", ":message-type": "exception"}, b'{"message":"slow"}'
    )
    server.play(
        "/converse-stream",
        Answer([event("messageStart", {"role": "assistant"}) + thrown], content_type=STREAM_TYPE),
    )
    stream = make(server, log).converse_stream(modelId=MODEL, messages=MESSAGES)["stream"]
    with pytest.raises(Exception, match="slow"):
        list(stream)
    assert (sink.only().status, sink.only().error.message) == ("error", "slow")


def test_content_and_suppression(server, log, sink):
    server.play("/converse", Answer(WHOLE))
    make(server, log, content=True).converse(modelId=MODEL, messages=MESSAGES, system=[{"text": "Be brief"}])
    entry = sink.only()
    assert entry.response == "Hi"
    assert entry.messages == [{"role": "system", "content": [{"text": "Be brief"}]}, *MESSAGES]
    with log.request(model="m") as call:
        call.finish(make(server, log).converse(modelId=MODEL, messages=MESSAGES))
    assert [tokens(found) for found in sink.final] == [(1005, 6)] * 2


def test_every_client_made_later(server, log, sink):
    server.play("/converse", Answer(WHOLE))
    instrument(log)
    instrument(log)
    try:
        make(server).converse(modelId=MODEL, messages=MESSAGES)
        assert len(sink.final) == 1
        boto3.client("s3", region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s")
    finally:
        uninstrument()
    make(server).converse(modelId=MODEL, messages=MESSAGES)
    assert len(sink.final) == 1


def test_an_error_of_ours_never_reaches_the_call(server, log, sink, monkeypatch, capsys):
    server.play("/converse", Answer(WHOLE))

    def broken(*args, **kwargs):
        raise RuntimeError("ours")

    for name in ("wants_content", "extract", "Exchange", "covered"):
        with monkeypatch.context() as patch:
            patch.setattr(integration, name, broken)
            assert without_metadata(make(server, log).converse(modelId=MODEL, messages=MESSAGES)) == WHOLE
    assert "\nRuntimeError (its text" in capsys.readouterr().err


def test_only_bedrock_clients():
    with pytest.raises(ConfigurationError, match="bedrock-runtime"):
        instrument_client(object())


def test_a_malformed_body(server, log, sink):
    server.play("/converse", Answer(b'{"output": {"mess'))
    bare = make(server).converse(modelId=MODEL, messages=MESSAGES)
    found = make(server, log).converse(modelId=MODEL, messages=MESSAGES)
    assert without_metadata(found) == without_metadata(bare)
    assert (sink.only().http_status, sink.only().usage) == (200, None)


def test_a_stream_that_stalls(server, log, sink):
    server.play("/converse-stream", Answer([CONVERSE[:400], 5.0], content_type=STREAM_TYPE))
    with pytest.raises(Exception) as bare:
        list(make(server, timeout=0.2).converse_stream(modelId=MODEL, messages=MESSAGES)["stream"])
    stream = make(server, log, timeout=0.2).converse_stream(modelId=MODEL, messages=MESSAGES)["stream"]
    with pytest.raises(type(bare.value)):
        list(stream)
    assert (sink.only().status, sink.only().error.code) == ("timeout", "timeout")


def test_chunks_arrive_when_they_are_sent(server, log, sink):
    # All but the last event, which has the usage.
    half = CONVERSE.rindex(b"metadata") - 40
    server.play("/converse-stream", Answer([CONVERSE[:half], 0.3, CONVERSE[half:]], content_type=STREAM_TYPE))
    arrived = []
    for _ in make(server, log).converse_stream(modelId=MODEL, messages=MESSAGES)["stream"]:
        arrived.append(time.perf_counter())
    assert arrived[-1] - arrived[0] > 0.15
    timings = sink.only().timings
    assert timings.latency_ms - timings.time_to_first_token_ms > 150


def test_a_pending_line_where_it_is_asked_for(server, log, sink):
    server.play("/converse", Answer(WHOLE))
    make(server, log, pending=True).converse(modelId=MODEL, messages=MESSAGES)
    assert [line.status for line in sink.entries] == ["pending", "success"]
    assert len({line.id for line in sink.entries}) == 1


class AsyncEvents(EventStream):
    """As aiobotocore makes of botocore's stream: only `async for` works."""

    def __init__(self, events):
        self._events = events

    def __iter__(self):
        raise NotImplementedError

    def __aiter__(self):
        return self.__anext__()

    async def __anext__(self):
        for found in self._events:
            yield found


class AsyncBody(StreamingBody):
    """As aiobotocore makes of botocore's body: its methods are coroutines."""

    def __init__(self, data):
        super().__init__(io.BytesIO(data), None)

    async def read(self, amt=None):
        return super().read(amt)

    async def iter_chunks(self, size):
        while data := await self.read(size):
            yield data

    async def aclose(self):
        super().close()


def exchange(log, stream):
    made = integration.Exchange(
        integration.Observation.begin(log, instrumentation="botocore", pending=False, model=MODEL),
        integration.Attempt((), 1, "", 0.0),
    )
    made.answered(200, {}, integration.Route("bedrock", "chat"), stream=stream, content=True)
    return made


def test_asynchronous_twins_of_botocores_streams_stay_asynchronous(log, sink):
    deltas = [{"contentBlockDelta": {"delta": {"text": part}}} for part in ("H", "i")]

    async def main():
        stream = integration._watched(AsyncEvents(deltas), exchange(log, stream=True))
        assert isinstance(stream, AsyncEvents)
        assert [found async for found in stream] == deltas
        body = integration._watched(AsyncBody(json.dumps(NATIVE_WHOLE).encode()), exchange(log, stream=False))
        assert isinstance(body, AsyncBody)
        assert json.loads(b"".join([part async for part in body.iter_chunks(7)])) == NATIVE_WHOLE
        left = integration._watched(AsyncEvents(deltas), exchange(log, stream=True))
        async for _ in left:
            break
        await integration._watched(AsyncBody(b"{}"), exchange(log, stream=False)).aclose()

    asyncio.run(main())
    gc.collect()
    streamed, whole = sink.final[:2]
    assert (streamed.response, streamed.status) == ("Hi", "success")
    assert (whole.response, tokens(whole)) == ("Hi", (5, 6))
    assert len(sink.wait(4)) == 4


def test_a_stream_that_takes_no_class_is_left_alone(log, sink):
    class Slots:
        __slots__ = ("read",)

    given = Slots()
    assert integration._watched(given, exchange(log, stream=False)) is None
    assert type(given) is Slots


def test_a_client_that_exists_is_logged_from_its_next_call_on(server, log, sink):
    server.play("/converse", Answer(WHOLE))
    client = make(server)
    instrument(log)
    try:
        client.converse(
            modelId=MODEL, messages=MESSAGES, inferenceConfig={"temperature": 0.5, "maxTokens": 9}
        )
        client.converse(modelId=MODEL, messages=MESSAGES)
    finally:
        uninstrument()
    assert len(sink.final) == 2
    assert sink.final[0].attributes["request"] == {"temperature": 0.5, "max_tokens": 9}
