"""Spans of any instrumentor become entries, and entries spans' attributes."""

import asyncio
import logging
import sys
import time

import pytest

from llm_logging.context import active_trace_ids
from llm_logging.integrations.httpx import LoggedTransport
from llm_logging.integrations.opentelemetry import LLMSpanProcessor, to_otel
from llm_logging.models.entry import LLMRequestLogEntry
from llm_logging.models.otel import entry_fields, is_inference, provider_named
from tests.loopback import Answer

ENTRY = {
    "project_id": "shop", "chat_id": "c-1", "model": "gpt-4o", "response_model": "gpt-4o-2024", "provider": "openai",
    "operation": "chat", "stream": True, "provider_response_id": "r", "service_tier": "default", "user_id": "u",
    "finish_reasons": ["stop"], "http_status": 200, "output_format_hint": "json", "status": "success",
    "timings": {"latency_ms": 100, "time_to_first_token_ms": 50},
    "usage": {"prompt_tokens": 9, "completion_tokens": 2, "cache_read_tokens": 4, "cache_write_tokens": 1,
              "reasoning_tokens": 1},
}  # fmt: skip


def test_an_entry_as_attributes():
    found = to_otel(LLMRequestLogEntry(**ENTRY))
    wanted = {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024", "gen_ai.response.id": "r", "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 9, "gen_ai.usage.output_tokens": 2, "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.usage.cache_creation.input_tokens": 1, "gen_ai.usage.reasoning.output_tokens": 1,
        "gen_ai.conversation.id": "c-1", "gen_ai.request.stream": True, "gen_ai.output.type": "json",
        "gen_ai.response.time_to_first_chunk": 0.05, "openai.response.service_tier": "default", "user.id": "u",
    }  # fmt: skip
    assert wanted.items() <= found.items()
    assert "error.type" not in found
    assert to_otel({**ENTRY, "provider": "bedrock"})["gen_ai.provider.name"] == "aws.bedrock"
    assert (
        to_otel({**ENTRY, "status": "error", "error": {"code": "rate_limit"}})["error.type"] == "rate_limit"
    )
    assert to_otel({**ENTRY, "status": "timeout"})["error.type"] == "timeout"


def test_there_and_back():
    back = entry_fields(to_otel(ENTRY))
    for name in ("model", "response_model", "provider", "operation", "provider_response_id", "finish_reasons", "chat_id",
                 "service_tier", "http_status", "stream", "user_id"):  # fmt: skip
        assert back[name] == ENTRY[name]
    assert back["usage"] == ENTRY["usage"]


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"gen_ai.operation.name": "chat"}, True),
        ({"gen_ai.operation.name": "embeddings"}, True),
        ({"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 9}, False),
        ({"gen_ai.operation.name": "execute_tool"}, False),
        ({"openinference.span.kind": "LLM"}, True),
        ({"openinference.span.kind": "CHAIN"}, False),
        ({"traceloop.span.kind": "workflow", "gen_ai.system": "openai", "gen_ai.request.model": "m"}, False),
        ({"llm.request.type": "chat", "gen_ai.system": "OpenAI"}, True),
        ({"gen_ai.system": "openai", "gen_ai.request.model": "m"}, True),
        ({"http.request.method": "POST"}, False),
    ],
)
def test_which_spans_are_requests(attributes, expected):
    assert is_inference(attributes) is expected


@pytest.mark.parametrize(
    ("given", "prompt", "completion"),
    [
        # As Anthropic counts, passed on by an instrumentor: the cache stands beside.
        ({"input_tokens": 3, "output_tokens": 5, "cache_read.input_tokens": 100}, 103, 5),
        (
            {"input_tokens": 30, "output_tokens": 5, "cache_read.input_tokens": 10,
             "cache_creation.input_tokens": 2, "total_tokens": 47}, 42, 5,
        ),
        ({"input_tokens": 30, "output_tokens": 5, "cache_read.input_tokens": 10, "total_tokens": 35}, 30, 5),
        ({"input_tokens": 30, "output_tokens": 5, "cache_read.input_tokens": 10}, 30, 5),
        # As xAI and Gemini count: reasoning stands beside.
        ({"input_tokens": 3, "output_tokens": 5, "reasoning_tokens": 9}, 3, 14),
        ({"input_tokens": 3, "output_tokens": 5, "reasoning_tokens": 4, "total_tokens": 12}, 3, 9),
        ({"input_tokens": 3, "output_tokens": 5, "total_tokens": 99}, 3, 5),
    ],
)  # fmt: skip
def test_parts_that_stand_beside_their_whole(given, prompt, completion):
    fields = entry_fields({f"gen_ai.usage.{name}": count for name, count in given.items()})
    usage = LLMRequestLogEntry(project_id="p", chat_id="c", **fields).usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (prompt, completion)
    assert usage.total_tokens == prompt + completion
    assert usage.cache_read_tokens == given.get("cache_read.input_tokens")


def test_names_of_providers():
    assert [provider_named(name) for name in ("gcp.gemini", "aws.bedrock", "OpenAI", "az.ai.openai", "", None)] == [
        "google", "bedrock", "openai", "azure", None, None,
    ]  # fmt: skip


def test_without_opentelemetry_nothing_is_imported(monkeypatch):
    monkeypatch.delitem(sys.modules, "opentelemetry.trace", raising=False)
    assert active_trace_ids() is None
    assert "opentelemetry.trace" not in sys.modules


# With the SDK -----------------------------------------------------------------------------------------------------


@pytest.fixture
def tracer(log):
    sdk = pytest.importorskip("opentelemetry.sdk.trace", reason="opentelemetry-sdk is not installed")
    provider = sdk.TracerProvider()
    provider.add_span_processor(LLMSpanProcessor(log))
    yield provider.get_tracer("test")
    provider.shutdown()


def test_a_span_of_the_current_conventions(tracer, sink):
    with tracer.start_as_current_span("chat gpt-4o") as span:
        span.set_attributes({
            "gen_ai.operation.name": "chat", "gen_ai.provider.name": "gcp.gemini", "gen_ai.request.model": "gemini-2.5",
            "gen_ai.usage.input_tokens": 9, "gen_ai.usage.output_tokens": 2, "gen_ai.usage.cache_read.input_tokens": 4,
            "gen_ai.response.finish_reasons": ("stop",), "gen_ai.response.id": "r",
            "gen_ai.response.time_to_first_chunk": 0.001,
        })  # fmt: skip
        context = span.get_span_context()
        assert active_trace_ids() == (f"{context.trace_id:032x}", f"{context.span_id:016x}")
    entry = sink.only()
    assert (entry.status, entry.provider, entry.model) == ("success", "google", "gemini-2.5")
    assert (entry.usage.prompt_tokens, entry.usage.cache_read_tokens, entry.usage.total_tokens) == (9, 4, 11)
    assert (entry.trace_id, entry.span_id) == (f"{context.trace_id:032x}", f"{context.span_id:016x}")
    assert entry.timings.time_to_first_token_ms == 1
    assert entry.timings.latency_ms == pytest.approx(
        (entry.timestamp_end - entry.timestamp_start).total_seconds() * 1000, abs=0.01
    )
    assert active_trace_ids() is None


@pytest.mark.parametrize(
    "attributes",
    [
        {"gen_ai.system": "openai", "gen_ai.request.model": "m", "gen_ai.usage.prompt_tokens": 9,
         "gen_ai.usage.completion_tokens": 2, "llm.request.type": "chat"},
        {"openinference.span.kind": "LLM", "llm.model_name": "m", "llm.provider": "openai", "llm.token_count.prompt": 9,
         "llm.token_count.completion": 2, "llm.token_count.total": 11},
    ],
)  # fmt: skip
def test_older_and_other_conventions(tracer, sink, attributes):
    with tracer.start_as_current_span("x", attributes=attributes):
        pass
    entry = sink.only()
    assert (entry.model, entry.provider, entry.operation) == ("m", "openai", "chat")
    assert (entry.usage.prompt_tokens, entry.usage.completion_tokens) == (9, 2)


def test_a_request_inside_of_a_request_is_one(tracer, sink):
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 99}
    chat = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 9}
    with tracer.start_as_current_span("agent", attributes=agent):
        for _ in range(2):
            with tracer.start_as_current_span("framework", attributes=chat):
                with tracer.start_as_current_span("something"):
                    with tracer.start_as_current_span("sdk", attributes=chat):
                        pass
    assert [entry.usage.prompt_tokens for entry in sink.final] == [9, 9]


def test_failures(tracer, sink):
    chat = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
    with pytest.raises(ValueError, match="no"), tracer.start_as_current_span("x", attributes=chat):
        raise ValueError("no")
    entry = sink.only()
    assert (entry.status, entry.error.message, entry.error.type) == ("error", "no", "ValueError")


def test_an_outer_instrumentation_silences_spans_and_spans_silence_transports(tracer, log, sink, server):
    chat = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 9}
    with log.request(model="m") as call:
        with tracer.start_as_current_span("x", attributes=chat):
            pass
        call.finish()
    assert len(sink.final) == 1
    httpx = pytest.importorskip("httpx")
    server.play("/v1/chat/completions", Answer({"usage": {"prompt_tokens": 9, "completion_tokens": 2}}))
    transport = LoggedTransport(httpx.HTTPTransport(), log=log, provider="openai")
    with httpx.Client(transport=transport, base_url=server.url) as http:
        with tracer.start_as_current_span("x", attributes=chat):
            http.post("/v1/chat/completions", json={"model": "m"})
        assert len(sink.final) == 2
        with tracer.start_as_current_span("unrelated"):
            http.post("/v1/chat/completions", json={"model": "m"})
    assert len(sink.final) == 3


def test_spans_of_tasks_keep_their_scope(tracer, sink, log):
    from llm_logging.context import scope

    async def one(name):
        with (
            scope(customer=name),
            tracer.start_as_current_span("x", attributes={"gen_ai.operation.name": "chat"}),
        ):
            await asyncio.sleep(0)

    async def main():
        await asyncio.gather(one("a"), one("b"))

    asyncio.run(main())
    assert sorted(entry.attributes["customer"] for entry in sink.final) == ["a", "b"]


def test_an_error_of_ours_never_reaches_the_span(tracer, sink, log, capsys):
    log.logger.addFilter(lambda record: 1 / 0)
    with tracer.start_as_current_span("x", attributes={"gen_ai.operation.name": "chat"}):
        pass
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert logging.raiseExceptions


def test_spans_that_never_end_are_not_kept_for_ever(log, monkeypatch):
    trace = pytest.importorskip("opentelemetry.sdk.trace")
    monkeypatch.setattr("llm_logging.integrations.opentelemetry._MOST_OPEN", 3)
    processor = LLMSpanProcessor(log)
    provider = trace.TracerProvider()
    provider.add_span_processor(processor)
    spans = [provider.get_tracer("t").start_span("s") for _ in range(9)]
    assert len(processor._open) == 3
    for span in spans:
        span.end()
    assert not processor._open
    processor.shutdown()


CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.provider.name": "openai"}


def test_a_span_that_never_ends_silences_nothing(tracer, log, sink, server):
    httpx = pytest.importorskip("httpx")
    from opentelemetry import context, trace

    server.play("/v1/chat/completions", Answer({"usage": {"prompt_tokens": 9, "completion_tokens": 2}}))
    token = context.attach(trace.set_span_in_context(tracer.start_span("left", attributes=CHAT)))
    try:
        transport = LoggedTransport(httpx.HTTPTransport(), log=log, provider="openai")
        with httpx.Client(transport=transport, base_url=server.url) as http:
            for _ in range(3):
                http.post("/v1/chat/completions", json={"model": "m"})
            with tracer.start_as_current_span("chat", attributes=CHAT):
                http.post("/v1/chat/completions", json={"model": "m"})
        for number in range(2):
            with tracer.start_as_current_span(
                "chat", attributes={**CHAT, "gen_ai.usage.input_tokens": number + 1}
            ):
                pass
    finally:
        context.detach(token)
    assert [entry.instrumentation for entry in sink.final] == ["httpx"] * 4 + ["opentelemetry"] * 2


def test_a_transport_inside_of_a_span_keeps_its_facts_and_takes_the_spans_ids(tracer, log, sink, server):
    httpx = pytest.importorskip("httpx")
    server.play("/v1/chat/completions", Answer({"usage": {"prompt_tokens": 9, "completion_tokens": 2}}))
    transport = LoggedTransport(httpx.HTTPTransport(), log=log.unbind("chat_id"), provider="openai")
    named = {**CHAT, "gen_ai.conversation.id": "c-7", "gen_ai.usage.input_tokens": 1}
    with (
        httpx.Client(transport=transport, base_url=server.url) as http,
        tracer.start_as_current_span("chat", attributes=named) as span,
        tracer.start_as_current_span("POST"),
    ):
        http.post("/v1/chat/completions", json={"model": "m"})
    entry = sink.only()
    assert (entry.instrumentation, entry.http_status, entry.usage.prompt_tokens) == ("httpx", 200, 9)
    assert (entry.span_id, entry.chat_id) == (f"{span.get_span_context().span_id:016x}", "c-7")


def test_an_outer_span_that_alone_knows_the_usage_adds_it(tracer, sink):
    with tracer.start_as_current_span("framework", attributes={**CHAT, "gen_ai.usage.input_tokens": 9}):
        with tracer.start_as_current_span("sdk", attributes=CHAT):
            pass
    inner, outer = sink.final
    assert inner.id == outer.id
    assert (inner.usage, outer.usage.prompt_tokens) == (None, 9)


def test_a_stream_that_is_told_in_two_spans_is_one_request(tracer, sink):
    for _ in range(2):
        with tracer.start_as_current_span("chat", attributes={**CHAT, "logfire.span_type": "span"}):
            pass
    told = {**CHAT, "logfire.span_type": "log", "duration": 0.5, "gen_ai.usage.input_tokens": 9}
    for _ in range(3):
        now = time.time_ns()
        tracer.start_span("took", start_time=now, attributes=told).end(now)
    ids = [entry.id for entry in sink.final]
    assert ids[2:4] == [ids[1], ids[0]]
    assert ids[4] not in ids[:4]
    assert 400 < sink.final[4].timings.latency_ms < 600
