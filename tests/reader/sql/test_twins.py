"""Which requests of one response id are one call: the law's cases, and random ones against the oracle."""

from __future__ import annotations

import logging
import logging.config
import os
import tempfile
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import llm_logging
from llm_logging.models.query import StatsOptions
from llm_logging.reader.entries import get_llm_request_logs
from llm_logging.reader.stats import get_stats
from tests.reader import oracle

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
SPAN = {"trace_id": "a" * 32, "span_id": "b" * 16}


def request(number, instrumentation=None, start=0.0, length=None, **fields):
    entry = {
        "id": str(uuid.UUID(int=number + 1, version=4)), "project_id": "shop", "chat_id": "c", "model": "m",
        "provider": "openai", "provider_response_id": "chatcmpl-123", "status": "success",
        "timestamp_start": oracle.stamp(START + timedelta(seconds=start)), "instrumentation": instrumentation,
        "timings": None if length is None else {"latency_ms": length * 1000.0},
        "usage": {"prompt_tokens": 2**number, "completion_tokens": 0, "total_tokens": 2**number}, **fields,
    }  # fmt: skip
    return {key: value for key, value in entry.items() if value is not None}


def lines_of(entries):
    at = oracle.stamp(START + timedelta(hours=1))
    return [oracle.line(entry, "shop", "w1", number + 1, at) for number, entry in enumerate(entries)]


CASES = {
    "another day": ([request(0, "httpx", length=1), request(1, "litellm", 2 * 86_400, 1)], 2),
    "one instrumentation, in sequence": ([request(n, "httpx", n, 0.5) for n in range(5)], 5),
    "one instrumentation, in parallel": ([request(n, "httpx", n, 60) for n in range(5)], 5),
    "no instrumentation named, in parallel": ([request(n, None, 0, 60) for n in range(5)], 5),
    "one named": ([request(0, "httpx", 0, 9), request(1, None, 1, 5)], 2),
    "two instrumentations, one inside of the other": ([request(0, "litellm", 0, 9), request(1, "httpx", 1, 7)], 1),
    "two instrumentations, one after the other": ([request(0, "litellm", 0, 1), request(1, "httpx", 1, 1)], 2),
    "a moment inside": ([request(0, "litellm", 0, 9), request(1, "log_llm_request", 8)], 1),
    "end without latency": (
        [
            request(0, "litellm", timestamp_end=oracle.stamp(START + timedelta(seconds=9))),
            request(1, "httpx", 5, 1),
        ], 1,
    ),
    "three instrumentations": (
        [request(0, "langchain", 0, 9), request(1, "litellm", 1, 7), request(2, "httpx", 2, 5)], 1,
    ),
    "a chain joins no two of one instrumentation": (
        [request(0, "httpx", 0, 10), request(1, "litellm", 5, 10), request(2, "httpx", 12, 8)], 2,
    ),
    "parallel calls, each seen twice": (
        [
            request(0, "litellm", 0, 3), request(1, "litellm", 0.5, 9.5),
            request(2, "httpx", 1, 8), request(3, "httpx", 1.2, 1.6),
        ], 2,
    ),
    "another chat": ([request(0, "litellm", 0, 9), request(1, "httpx", 1, 7, chat_id="d")], 2),
    "another user": ([request(0, "litellm", 0, 9, user_id="a"), request(1, "httpx", 1, 7, user_id="b")], 2),
    "another provider": ([request(0, "litellm", 0, 9), request(1, "httpx", 1, 7, provider="azure")], 2),
    "a retry": ([request(0, "litellm", 0, 9), request(1, "httpx", 1, 7, attempt=2)], 2),
    "first attempts": ([request(0, "litellm", 0, 9), request(1, "httpx", 1, 7, attempt=1)], 1),
    "one span, lines of an older version": ([request(0, None, 0, 9, **SPAN), request(1, None, 1, 7, **SPAN)], 1),
    "one span, a plain logger afterwards": ([request(0, "httpx", 0, 9, **SPAN), request(1, None, 10, **SPAN)], 1),
    "one span, one instrumentation": ([request(n, "httpx", n, 9, **SPAN) for n in range(3)], 3),
    "one span, a plain logger only, in sequence": ([request(n, None, n * 10, 9, **SPAN) for n in range(3)], 3),
    "another span of one trace": (
        [request(0, None, 0, 9, **SPAN), request(1, None, 1, 7, **SPAN | {"span_id": "c" * 16})], 2,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("entries", "expected"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("segments", [None, 1])
def test_requests_are_one_call_by_the_law(entries, expected, segments, tmp_path):
    lines = lines_of(entries)
    oracle.write_log(tmp_path / "root", lines, segments and [n % 2 for n in range(len(lines))])
    assert len(oracle.requests_of(lines)) == expected
    for cache in (False, True, True):
        stats = get_stats(root=tmp_path / "root", cache=cache, cache_dir=tmp_path / "cache")
        assert (stats.summary.total_requests, stats.quality.duplicate_requests) == (
            expected, len(entries) - expected,
        )  # fmt: skip
        if expected == len(entries):
            assert stats.summary.prompt_tokens == 2 ** len(entries) - 1
    page = get_llm_request_logs(root=tmp_path / "root", cache_dir=tmp_path / "cache")
    assert len(page.entries) == expected
    assert sum(entry.lines for entry in page.entries) == len(entries)


def test_parallel_calls_are_paired_with_their_own(tmp_path):
    lines = lines_of(CASES["parallel calls, each seen twice"][0])
    oracle.write_log(tmp_path, lines)
    page = get_llm_request_logs(root=tmp_path, cache=False)
    assert sorted(entry.usage.prompt_tokens for entry in page.entries) in ([1, 2], [1, 4], [2, 8], [4, 8])


@st.composite
def seen(draw):
    ids = draw(st.sampled_from([["chatcmpl-123"], [f"chatcmpl-{n}" for n in range(3)]]))
    names = draw(
        st.sampled_from([["httpx"], [None], ["httpx", "litellm"], ["httpx", "litellm", "langchain", None]])
    )
    entries = []
    for number in range(draw(st.integers(1, 12))):
        entries.append(
            request(
                number,
                draw(st.sampled_from(names)),
                draw(st.integers(0, 8)),
                draw(st.sampled_from([None, 0.5, 1, 2, 3, 5])),
                provider_response_id=draw(st.sampled_from(ids)),
                chat_id=draw(st.sampled_from(["c", "c", "d"])),
                user_id=draw(st.sampled_from([None, None, "u", "v"])),
                attempt=draw(st.sampled_from([None, None, 1, 2])),
                **draw(st.sampled_from([{}, {}, SPAN, SPAN | {"span_id": "c" * 16}])),
            )
        )
    lines = []
    for number, entry in enumerate(entries):
        at = START + timedelta(seconds=number)
        if draw(st.booleans()):
            begun = {key: value for key, value in entry.items() if key not in {"usage", "timings"}}
            begun |= {"status": "pending"}
            lines.append(oracle.line(begun, "shop", "w1", 2 * number + 1, oracle.stamp(at)))
        lines.append(oracle.line(entry, "shop", "w1", 2 * number + 2, oracle.stamp(at)))
    segments = [draw(st.integers(0, 2)) for _ in lines]
    return lines, segments


@settings(
    max_examples=int(os.environ.get("LLM_LOGGING_EXAMPLES", "12")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(seen(), st.sampled_from([("chat",), ("user",)]))
def test_any_reused_response_ids_give_what_the_oracle_gives(history, group_by):
    lines, segments = history
    now = START + timedelta(days=1)
    expected = oracle.answer(lines, now=now, group_by=group_by)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        oracle.write_log(root, lines, segments)
        for cache in (False, True, True):
            stats = get_stats(
                None, StatsOptions(group_by=list(group_by)), root=root, now=now, cache=cache,
                cache_dir=Path(folder) / "cache",
            )  # fmt: skip
            oracle.assert_same(stats.summary, expected["summary"], "summary.")
            got = {tuple(row.group.values()): row for row in stats.breakdown}
            for key, figures in expected["groups"].items():
                oracle.assert_same(got[key], figures, f"{key}.")
        page = get_llm_request_logs(root=root, limit=50, cache_dir=Path(folder) / "cache")
        assert len(page.entries) == len(oracle.requests_of(lines))
        assert sum(entry.lines for entry in page.entries) == len(lines)


RESPONSE = {
    "id": "chatcmpl-123", "object": "chat.completion", "model": "llama3.2",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "x"}}],
    "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
}  # fmt: skip


def test_every_way_of_logging_names_itself_and_constant_ids_fold_nothing(tmp_path):
    logging.config.dictConfig(llm_logging.presets.production(root=str(tmp_path)))
    log = llm_logging.get_logger("app", project_id="shop", chat_id="c", user_id="u", provider="ollama")
    done = {"model": "llama3.2", "provider_response_id": "chatcmpl-123", "status": "success"}
    for _ in range(3):
        with log.request(model="llama3.2") as call:
            call.finish(RESPONSE)
        log.log_llm_request(done | {"usage": RESPONSE["usage"]})
        log.info("answered", extra={"llm_request": done | {"usage": RESPONSE["usage"]}})
    logging.shutdown()
    entries = get_llm_request_logs(root=tmp_path, cache=False).entries
    names = sorted(str(entry.instrumentation) for entry in entries)
    assert names == [*["None"] * 3, *["log.request"] * 3, *["log_llm_request"] * 3]
    assert get_stats(root=tmp_path, cache=False).summary.prompt_tokens == 900
