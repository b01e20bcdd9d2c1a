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

from llm_logging.models.stats import StatsOptions, StatsScope
from llm_logging.reader.sql import fold
from llm_logging.reader.sql import percentiles as spread
from llm_logging.reader.stats import get_stats
from tests.reader import oracle
from tests.reader.histories import _ALWAYS, MOMENTS, NOW, entries, histories

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "America/Santiago",
)


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
        at_once = data.draw(st.sampled_from([2, 100_000]))
        for _ in range(2 if cache else 1):
            with (
                mock.patch.multiple(spread, _HELD=held, _MANY=many, _FEW=few),
                mock.patch.object(fold, "_MOST_AT_ONCE", at_once),
            ):
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
