"""Every figure, over random histories, against an independent computation."""

from __future__ import annotations

import os
import tempfile
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_logging.figures import StatsOptions, StatsScope
from llm_logging.reader import spread
from llm_logging.reader.stats import get_stats

from . import oracle

NOW = datetime(2026, 4, 1, 12, tzinfo=UTC)
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "America/Santiago",
)
# Around days of 23 and 25 hours in those zones, ISO year ends, and now.
MOMENTS = tuple(
    datetime(*at, tzinfo=UTC)
    for at in (
        (2026, 3, 29, 0, 30), (2026, 3, 29, 1, 30), (2025, 10, 26, 0, 30), (2025, 10, 26, 1, 30),
        (2025, 11, 2, 5, 30), (2026, 3, 8, 7), (2026, 4, 4, 15), (2025, 12, 28, 23, 59), (2025, 12, 29),
        (2026, 1, 1), (2026, 1, 4, 23, 30), (2026, 1, 5), (2026, 4, 1, 11, 30), (2025, 9, 7, 4),
    )
)  # fmt: skip

tokens = st.one_of(st.none(), st.integers(0, 5000))
millis = st.one_of(st.none(), st.integers(0, 60_000_000).map(lambda n: n / 1000))


@st.composite
def usages(draw):
    prompt, completion = draw(tokens), draw(tokens)
    read = draw(st.one_of(st.none(), st.integers(0, prompt or 0)))
    write = draw(st.one_of(st.none(), st.integers(0, (prompt or 0) - (read or 0))))
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "cache_read_tokens": read,
        "cache_write_tokens": write,
        "cache_write_1h_tokens": draw(st.one_of(st.none(), st.integers(0, write or 0))),
        "reasoning_tokens": draw(st.one_of(st.none(), st.integers(0, completion or 0))),
        "source": draw(st.sampled_from([None, "provider", "partial", "estimated"])),
    }
    return {key: value for key, value in usage.items() if value is not None} or None


@st.composite
def entries(draw, ids, groups):
    start = draw(st.sampled_from(MOMENTS)) + timedelta(microseconds=draw(st.integers(0, 7_200_000_000)))
    status = draw(st.sampled_from(["pending", "success", "success", "error", "timeout"]))
    entry = {
        "id": draw(st.sampled_from(ids)),
        "project_id": "shop",
        "chat_id": draw(st.sampled_from(["c-1", "c-2"])),
        "model": draw(st.sampled_from(["gpt-4o", "claude-sonnet-4-20250514", "mystery-1"])),
        "provider": draw(st.sampled_from([None, "openai", "anthropic"])),
        "user_id": draw(st.sampled_from([None, "ann", "bob"])),
        "request_group": draw(st.sampled_from([None, *groups])),
        "attempt": draw(st.sampled_from([None, 1, 2, 3])),
        "provider_response_id": draw(st.sampled_from([None, None, None, "resp-1", "resp-2"])),
        "instrumentation": draw(st.sampled_from([None, "httpx", "litellm", "langchain"])),
        "trace_id": draw(st.sampled_from([None, None, "t-1"])),
        "span_id": draw(st.sampled_from([None, "s-1", "s-2"])),
        "status": status,
        "http_status": draw(st.sampled_from([None, 200, 429, 500])),
        "timestamp_start": oracle.stamp(start),
        "timings": draw(
            st.fixed_dictionaries({}, optional={"latency_ms": millis, "time_to_first_token_ms": millis})
        ),
        "usage": draw(st.one_of(st.none(), usages())),
        "tags": draw(st.sampled_from([None, [], [None], ["a"], ["a", "b"], ["b", "a", "b"], ["a", None]])),
        "attributes": draw(st.sampled_from([None, *({"n": n} for n in (2, 10, -1.5, 1e22, "10b", "007"))])),
        "touched_files": draw(st.sampled_from([None, ["x"], ["x", "y"], ["z", "y", "x"]])),
    }
    entry["timings"] = {k: v for k, v in entry["timings"].items() if v is not None} or None
    if status in {"error", "timeout"}:
        entry["error"] = draw(
            st.sampled_from([None, {"code": "cancelled"}, {"code": "rate_limited"}, {"type": "APIError"}])
        )
    return {key: value for key, value in entry.items() if value is not None}


_ALWAYS = {"id", "project_id", "chat_id", "model", "timestamp_start"}


@st.composite
def histories(draw):
    ids = [str(uuid.UUID(int=n + 1, version=4)) for n in range(draw(st.integers(1, 8)))]
    groups = ["call-1", "call-2"]
    count = draw(st.integers(0, 20))
    lines = []
    sequences = {}
    for number in range(count):
        writer = draw(st.sampled_from([None, "w1", "w2"]))
        entry = draw(entries(ids, groups))
        written = [entry]
        if entry["status"] != "pending" and draw(st.booleans()):
            # As `log.request` writes it: a pending line first, with what was known then, or something else.
            known = draw(st.sets(st.sampled_from(sorted(entry))))
            begun = {key: value for key, value in entry.items() if key in _ALWAYS | known}
            begun |= {"status": "pending"} | draw(
                st.sampled_from([{}, {}, {"user_id": "eve"}, {"tags": ["c"]}])
            )
            written.insert(0, begun)
        for one in written:
            seq = None
            if writer is not None:
                seq = sequences[writer] = sequences.get(writer, 0) + 1
            # Times of writing are distinct, not in order: clocks are set back.
            offset = timedelta(seconds=draw(st.integers(-5000, 5000)), microseconds=len(lines))
            lines.append(oracle.line(one, "shop", writer, seq, oracle.stamp(MOMENTS[0] + offset)))
    order = draw(st.permutations(range(len(lines))))
    segments = [draw(st.integers(0, 3)) for _ in lines]
    return [lines[place] for place in order], segments


GROUPINGS = (
    (), ("day",), ("hour",), ("week",), ("month",), ("model",), ("day", "model"), ("status", "user"), ("tag",),
    ("provider", "request_type"), ("http_status",), ("error.code",), ("chat", "month"), ("tag", "touched_files"), ("touched_files", "day", "tag"),
    ("attempt",), ("timings.latency_ms",), ("attributes.n", "attempt"),
)  # fmt: skip


@settings(
    max_examples=int(os.environ.get("LLM_LOGGING_EXAMPLES", "20")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(histories(), st.sampled_from(ZONES), st.sampled_from(GROUPINGS), st.booleans(), st.data())
def test_every_figure_equals_the_oracles(history, zone, group_by, cache, data):
    lines, segments = history
    start = data.draw(st.one_of(st.none(), st.sampled_from(MOMENTS)))
    later = [moment for moment in MOMENTS if start is None or moment >= start]
    end = data.draw(st.one_of(st.none(), st.sampled_from(later)))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "logs"
        (root / "projects" / "shop" / "logs").mkdir(parents=True)
        oracle.write_log(root, lines, segments)
        options = StatsOptions(from_date=start, to_date=end, group_by=list(group_by), time_zone=zone)
        # Percentiles are asked for all at once, or, of many requests, one by one, or by size first.
        held, many, few = data.draw(st.sampled_from([(99, 99, 0), (0, 99, 0), (0, -1, 9), (99, -1, 2)]))
        for _ in range(2 if cache else 1):
            with mock.patch.multiple(spread, _HELD=held, _MANY=many, _FEW=few):
                stats = get_stats(
                    StatsScope(type="project", project_id="shop"), options, root=root, now=NOW, cache=cache,
                    cache_dir=Path(folder) / "cache",
                )  # fmt: skip
            expected = oracle.answer(lines, now=NOW, zone=zone, start=start, end=end, group_by=group_by)
            oracle.assert_same(stats.summary, expected["summary"], "summary.")
            got = {tuple(row.group.values()): row for row in stats.breakdown}
            assert [tuple(row.group.values()) for row in stats.breakdown] == expected["order"]
            for key, figures in expected["groups"].items():
                oracle.assert_same(got[key], figures, f"{key}.")
            assert set(stats.models) == set(expected["models"])
            for key, figures in expected["models"].items():
                oracle.assert_same(stats.models[key], figures, f"{key}.")


@st.composite
def pairs(draw):
    """Draw requests of their own ids, most with a pending line and a final one, as `log.request` writes them."""
    lines, sequences = [], {"w1": 0, "w2": 0}
    for number in range(draw(st.integers(1, 8))):
        entry = draw(entries([str(uuid.UUID(int=number + 1, version=4))], ["call-1"]))
        entry["status"] = draw(st.sampled_from(["success", "error"]))
        known = draw(st.sets(st.sampled_from(sorted(entry))))
        begun = {key: value for key, value in entry.items() if key in _ALWAYS | known} | {"status": "pending"}
        begun |= draw(
            st.sampled_from([{}, {}, {"user_id": "eve"}, {"tags": ["c"]}, {"service_tier": "flex"}])
        )
        if draw(st.integers(0, 4)) == 0:
            begun["timestamp_start"] = draw(
                st.sampled_from([oracle.stamp(MOMENTS[0]), oracle.stamp(MOMENTS[-1])])
            )
        written = draw(
            st.sampled_from([[begun, entry]] * 4 + [[entry], [entry, begun], [begun, begun, entry]])
        )
        writers = draw(st.sampled_from([["w1"], ["w1"], ["w1"], ["w1", "w2"]]))
        for place, one in enumerate(written):
            writer = writers[place % len(writers)]
            sequences[writer] += 1
            at = MOMENTS[0] + timedelta(seconds=len(lines))
            lines.append(oracle.line(one, "shop", writer, sequences[writer], oracle.stamp(at)))
    return lines


@settings(
    max_examples=int(os.environ.get("LLM_LOGGING_EXAMPLES", "40")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(pairs(), st.sampled_from([("status", "user"), ("tag",), ("day", "model"), ("service_tier", "chat")]))
def test_pending_lines_dropped_from_a_sealed_segment_leave_no_trace(lines, group_by):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "logs"
        last = oracle.line(
            {
                "id": str(uuid.UUID(int=99, version=4)), "project_id": "shop", "chat_id": "c", "model": "m",
                "status": "success", "timestamp_start": oracle.stamp(MOMENTS[0]),
            },
            "shop", "w3", 1, oracle.stamp(MOMENTS[0]),
        )  # fmt: skip
        oracle.write_log(root, [*lines, last], [0] * len(lines) + [1])
        options = StatsOptions(group_by=list(group_by))
        stats = get_stats(StatsScope(), options, root=root, now=NOW, cache_dir=Path(folder) / "cache")
        expected = oracle.answer([*lines, last], now=NOW, zone="UTC", start=None, end=None, group_by=group_by)
        oracle.assert_same(stats.summary, expected["summary"], "summary.")
        got = {tuple(row.group.values()): row for row in stats.breakdown}
        assert set(got) == set(expected["groups"])
        for key, figures in expected["groups"].items():
            oracle.assert_same(got[key], figures, f"{key}.")


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(histories(), st.sampled_from(ZONES), st.sampled_from(["hour", "day", "week", "month"]))
def test_the_buckets_of_a_range_sum_to_the_range(history, zone, unit):
    lines, segments = history
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "projects" / "shop" / "logs").mkdir(parents=True)
        oracle.write_log(root, lines, segments)
        options = StatsOptions(group_by=unit, time_zone=zone)
        stats = get_stats(StatsScope(), options, root=root, now=NOW, cache=False)
        for name in (
            "total_requests", "successful_requests", "failed_requests", "pending_requests", "cancelled_requests",
            "total_calls", "failed_calls", "prompt_tokens", "completion_tokens", "total_tokens", "unpriced_requests",
        ):  # fmt: skip
            assert sum(getattr(row, name) for row in stats.breakdown) == getattr(stats.summary, name), name
        assert stats.summary.total_requests == (
            stats.summary.successful_requests + stats.summary.failed_requests
        )


@pytest.mark.parametrize("zone", ZONES)
def test_days_asked_for_one_by_one_sum_to_the_range(zone, tmp_path):
    start = datetime(2026, 3, 27, tzinfo=UTC)
    lines = [
        oracle.line(
            {
                "id": str(uuid.UUID(int=n + 1, version=4)), "project_id": "shop", "chat_id": "c", "model": "gpt-4o",
                "status": "success", "timestamp_start": oracle.stamp(start + timedelta(minutes=20 * n)),
                "usage": {"prompt_tokens": n, "completion_tokens": 1},
            },
            "shop", "w", n + 1, oracle.stamp(start),
        )
        for n in range(400)
    ]  # fmt: skip
    oracle.write_log(tmp_path, lines)
    days = [f"2026-03-{day}" for day in range(27, 32)]
    ask = {"root": tmp_path, "cache": False}
    whole = get_stats(None, StatsOptions(from_date=days[0], to_date=days[-1], time_zone=zone), **ask)
    parts = [get_stats(None, StatsOptions(from_date=d, to_date=d, time_zone=zone), **ask) for d in days]
    assert sum(part.summary.total_requests for part in parts) == whole.summary.total_requests > 300
    assert sum(part.summary.prompt_tokens for part in parts) == whole.summary.prompt_tokens
