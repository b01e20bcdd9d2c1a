"""Lines of other programs: each known shape with all its figures, or skipped under a name; never half of it."""

from __future__ import annotations

import gzip
import json
import random
import uuid
import zlib

import pytest

from llm_logging.reader.stats import get_stats

AT, LATER = "2026-09-21T14:13:20Z", "2026-09-21T14:13:22Z"
SECONDS = 1_790_000_000
CHAT = {
    "id": "chatcmpl-2", "object": "chat.completion", "created": SECONDS, "model": "gpt-4o-2024-08-06", "choices": [],
    "usage": {"prompt_tokens": 1000, "completion_tokens": 50, "total_tokens": 1050, "prompt_tokens_details": {"cached_tokens": 300}},
}  # fmt: skip
MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929", "content": [],
    "stop_reason": "end_turn", "usage": {"input_tokens": 500, "cache_read_input_tokens": 500, "output_tokens": 50},
}  # fmt: skip


def span(attributes, **more):
    values = {str: "stringValue", int: "intValue", float: "doubleValue", bool: "boolValue"}
    listed = [
        {"key": key, "value": {values[type(value)]: str(value) if type(value) is int else value}}
        for key, value in attributes.items()
    ]
    return {
        "traceId": "a" * 32, "spanId": "b" * 16, "name": "chat", "startTimeUnixNano": f"{SECONDS}000000000",
        "endTimeUnixNano": f"{SECONDS + 2}000000000", "attributes": listed, **more,
    }  # fmt: skip


def otlp(*spans):
    return {
        "resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {"name": "x"}, "spans": list(spans)}]}]
    }


NEW = {
    "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 50, "gen_ai.usage.cache_read.input_tokens": 300,
}  # fmt: skip
OLD = {
    "gen_ai.system": "openai", "gen_ai.request.model": "gpt-4o", "gen_ai.usage.prompt_tokens": 1000,
    "gen_ai.usage.completion_tokens": 50,
}  # fmt: skip
LITELLM = {
    "request_id": "c-1", "call_type": "acompletion", "spend": 0.25, "prompt_tokens": 1000, "completion_tokens": 50,
    "total_tokens": 1050, "startTime": AT, "endTime": LATER, "model": "gpt-4o", "custom_llm_provider": "openai",
}  # fmt: skip
READ = {
    "OpenAI chat": (CHAT, {"cache_read_tokens": 300}),
    "OpenAI Responses": (
        {
            "id": "resp_1", "object": "response", "created_at": SECONDS, "status": "completed", "model": "gpt-5",
            "usage": {"input_tokens": 1000, "output_tokens": 50, "total_tokens": 1050},
        }, {},
    ),
    "Gemini": (
        {
            "candidates": [], "modelVersion": "gemini-2.5-flash", "createTime": AT,
            "usageMetadata": {"promptTokenCount": 1000, "candidatesTokenCount": 20, "thoughtsTokenCount": 30, "totalTokenCount": 1050},
        }, {"reasoning_tokens": 30},
    ),
    "Ollama": (
        {
            "model": "llama3.2", "created_at": "2026-09-21T14:13:22.123456789Z", "done": True, "done_reason": "stop",
            "total_duration": 2_123_456_789, "prompt_eval_count": 1000, "eval_count": 50,
        }, {"latency_ms.max": pytest.approx(2123.456789)},
    ),
    "Anthropic with a time of its writer's": (
        {**MESSAGE, "timestamp": AT}, {"cache_read_tokens": 500},
    ),
    "response under a key": (
        {"timestamp": AT, "latency_ms": 2000, "project_id": "p", "response": MESSAGE}, {"latency_ms.max": 2000},
    ),
    "OpenAI batch output": (
        {"id": "batch_req_1", "custom_id": "r-1", "response": {"status_code": 200, "body": CHAT}, "error": None},
        {"cache_read_tokens": 300, "http_statuses": {"200": 1}},
    ),
    "LiteLLM's spend log": (LITELLM, {"total_cost": "0.25", "latency_ms.max": 2000}),
    "LiteLLM, naive time": ({**LITELLM, "startTime": "2026-09-21 14:13:20.000"}, {"total_cost": "0.25"}),
    "LiteLLM's payload": (
        {
            **{key: item for key, item in LITELLM.items() if key not in {"spend", "request_id"}}, "id": "chatcmpl-1",
            "response_cost": 0.25, "startTime": float(SECONDS), "endTime": SECONDS + 2.0, "status": "success",
        }, {"total_cost": "0.25", "latency_ms.max": 2000},
    ),
    "OpenTelemetry, current names": (otlp(span(NEW)), {"cache_read_tokens": 300, "latency_ms.max": 2000}),
    "OpenTelemetry, old names": (otlp(span(OLD)), {"latency_ms.max": 2000}),
    "OpenTelemetry, a request inside of one": (
        otlp(span(NEW), span(NEW, spanId="c" * 16, parentSpanId="b" * 16), span({"http.method": "GET"}, spanId="d" * 16)), {},
    ),
    "Langfuse": (
        {
            "id": "o1", "traceId": "t", "type": "GENERATION", "startTime": AT, "endTime": LATER, "model": "gpt-4o",
            "usageDetails": {"input": 700, "input_cached_tokens": 300, "output": 50, "total": 1050}, "calculatedTotalCost": 0.25,
        }, {"total_cost": "0.25", "cache_read_tokens": 300, "latency_ms.max": 2000},
    ),
    "LangSmith": (
        {
            "id": str(uuid.UUID(int=7)), "run_type": "llm", "start_time": "2026-09-21T14:13:20", "end_time": "2026-09-21T14:13:22",
            "extra": {"metadata": {"ls_model_name": "gpt-4o", "ls_provider": "openai"}}, "prompt_tokens": 1000,
            "completion_tokens": 50, "total_tokens": 1050,
        }, {"latency_ms.max": 2000},
    ),
    "Helicone": (
        {
            "request_id": "h", "request_created_at": AT, "response_created_at": LATER, "model": "gpt-4o", "provider": "OPENAI",
            "prompt_tokens": 1000, "completion_tokens": 50, "delay_ms": 2000, "response_status": 200, "costUSD": 0.25,
        }, {"total_cost": "0.25", "latency_ms.max": 2000, "http_statuses": {"200": 1}},
    ),
    "milliseconds, a provider's names": (
        {"model": "gpt-4o", "ts": SECONDS * 1000, "input_tokens": 1000, "output_tokens": 50, "duration_ms": 2000},
        {"latency_ms.max": 2000},
    ),
    "nanoseconds, usage of a provider's": (
        {"model": "gpt-4o", "startTime": f"{SECONDS}000000000", "usage": {"inputTokens": 1000, "outputTokens": 50}, "cost": 0.25},
        {"total_cost": "0.25"},
    ),
    "usage of OpenAI's chat": (
        {"model": "gpt-4o", "timestamp": AT, "usage": CHAT["usage"]},
        {"cache_read_tokens": 300, "total_cost": "0.002625"},
    ),
    "usage of OpenAI's chat in a nested entry": (
        {"timestamp": AT, "llm_request": {"model": "gpt-4o", "usage": CHAT["usage"]}},
        {"cache_read_tokens": 300, "total_cost": "0.002625"},
    ),
    "usage with DeepSeek's cache": (
        {"model": "gpt-4o", "timestamp": AT,
         "usage": {"prompt_tokens": 1000, "completion_tokens": 50, "prompt_cache_hit_tokens": 300}},
        {"cache_read_tokens": 300, "total_cost": "0.002625"},
    ),
    "usage with a tier without a rate": (
        {"model": "claude-sonnet-4-5", "timestamp": AT, "usage": {**MESSAGE["usage"], "service_tier": "priority"}},
        {"cache_read_tokens": 500, "total_cost": None, "unpriced_requests": 1},
    ),
    "usage of fast mode": (
        {"model": "claude-opus-4-6", "timestamp": AT, "usage": {**MESSAGE["usage"], "speed": "fast"}},
        {"cache_read_tokens": 500, "total_cost": None, "unpriced_requests": 1},
    ),
    "usage with a cost in ticks": (
        {"model": "grok-4", "timestamp": AT,
         "usage": {"prompt_tokens": 1000, "completion_tokens": 50, "cost_in_usd_ticks": 2_500_000_000}},
        {"total_cost": "0.25"},
    ),
}  # fmt: skip


def ask(path, *lines):
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return get_stats(files=[path], cache=False)


@pytest.mark.parametrize(("value", "expected"), READ.values(), ids=READ)
def test_a_known_shape_is_read_with_all_its_fields(value, expected, tmp_path):
    stats = ask(tmp_path / "x.jsonl", value)
    summary = stats.summary
    assert (summary.total_requests, summary.prompt_tokens, summary.completion_tokens) == (1, 1000, 50)
    assert summary.successful_requests == 1
    assert summary.first_request.timestamp() == pytest.approx(SECONDS, abs=0.001)
    for name, figure in expected.items():
        got = summary
        for part in name.split("."):
            got = getattr(got, part)
        assert (str(got) if isinstance(figure, str) else got) == figure, name
    assert not stats.quality.skipped
    assert stats.quality.complete


FAILED = {
    "LiteLLM": {**LITELLM, "status": "failure", "metadata": json.dumps({"error_information": {"error_code": "429"}})},
    "OpenTelemetry": otlp(span(NEW, status={"code": 2, "message": "x"})),
    "OpenAI Responses": {"object": "response", "created_at": SECONDS, "model": "gpt-5", "status": "failed", "error": {"code": "server_error", "message": "x"}},
    "Langfuse": {"id": "o", "traceId": "t", "type": "GENERATION", "startTime": AT, "model": "m", "level": "ERROR"},
    "any": {"model": "m", "timestamp": AT, "prompt_tokens": 1, "status": "failed"},
}  # fmt: skip


@pytest.mark.parametrize("value", FAILED.values(), ids=FAILED)
def test_a_failure_is_read_as_one(value, tmp_path):
    summary = ask(tmp_path / "x.jsonl", value).summary
    assert (summary.total_requests, summary.failed_requests) == (1, 1)


SKIPPED = {
    "anthropic_message_without_time": MESSAGE,
    "bedrock_converse_without_time": {"output": {}, "stopReason": "end_turn", "usage": {"inputTokens": 1, "outputTokens": 2}},
    "bedrock_converse_without_model": {
        "timestamp": AT, "output": {}, "stopReason": "end_turn", "usage": {"inputTokens": 1, "outputTokens": 2},
    },
    "anthropic_batch_result_without_time": {"custom_id": "a", "result": {"type": "succeeded", "message": MESSAGE}},
    "openai_embeddings_without_time": {
        "object": "list", "data": [], "model": "text-embedding-3-small", "usage": {"prompt_tokens": 5, "total_tokens": 5},
    },
    "openai_chat_chunk": {"object": "chat.completion.chunk", "created": SECONDS, "model": "gpt-4o", "choices": []},
    "ollama_chunk": {"model": "llama3.2", "created_at": AT, "done": False},
    "usage_of_unknown_shape": {"model": "m", "timestamp": AT, "usage": {"units": 7}},
}  # fmt: skip


@pytest.mark.parametrize(("reason", "value"), SKIPPED.items())
def test_what_a_request_needs_and_a_line_lacks_is_named(reason, value, tmp_path):
    stats = ask(tmp_path / "x.jsonl", value)
    assert (stats.summary.total_requests, stats.quality.skipped) == (0, {reason: 1})
    assert not stats.quality.complete


def test_a_wrapper_gives_the_time_that_a_response_lacks(tmp_path):
    wrapped = {"log": json.dumps(MESSAGE) + "\n", "stream": "stdout", "time": "2026-09-21T14:13:20.5Z"}
    journald = {"MESSAGE": json.dumps(MESSAGE), "__REALTIME_TIMESTAMP": f"{SECONDS}500000"}
    for line in (wrapped, journald):
        summary = ask(tmp_path / "x.jsonl", line).summary
        assert (summary.total_requests, summary.total_tokens) == (1, 1050)
        assert summary.first_request.timestamp() == SECONDS + 0.5


def test_many_spans_of_a_line_are_many_requests_and_an_export_twice_is_one(tmp_path):
    line = otlp(span(NEW), span(OLD, spanId="c" * 16))
    stats = ask(tmp_path / "x.jsonl", line, line, {"resourceMetrics": []})
    assert (stats.summary.total_requests, stats.summary.prompt_tokens) == (2, 2000)


def test_text_of_a_container_is_no_broken_line(tmp_path):
    stats = ask(
        tmp_path / "x.log",
        {"log": "INFO: Uvicorn running\n", "stream": "stderr", "time": AT},
        "2026-09-21T14:13:20.5Z stdout F INFO: Uvicorn running",
    )
    assert stats.quality.skipped == {"other_program": 2}
    assert stats.quality.complete


@pytest.mark.parametrize("share", [0.3, 0.7, 0.999, 1.0])
def test_of_a_cut_gzip_file_every_whole_line_is_read(share, tmp_path):
    pick = random.Random(5)
    lines = [
        {
            "v": 1, "timestamp": AT, "event_type": "llm_request", "id": str(uuid.UUID(int=n + 1)), "status": "success",
            "model": "m", "timestamp_start": AT, "attributes": {"noise": f"{pick.getrandbits(400):x}"},
        }
        for n in range(2000)
    ]  # fmt: skip
    packed = gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode())
    packed = packed[: int(len(packed) * share)]
    whole = zlib.decompressobj(wbits=31).decompress(packed).count(b"\n")
    path = tmp_path / "x.jsonl.gz"
    for tail in (b"", b"garbage" * 20):
        path.write_bytes(packed + tail)
        stats = get_stats(files=[path], cache=False)
        assert stats.summary.total_requests + stats.summary.pending_requests >= whole - (
            share < 1 and bool(tail)
        )
        assert stats.quality.complete == (share == 1.0 and not tail)
