"""Scopes, filters, groups, gaps and what is said about them."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import os
import subprocess
import sys
import threading
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from llm_logging.errors import ErrorCode, FileSystemError, NotFoundError, ValidationError
from llm_logging.files.layout import Layout, LogKind
from llm_logging.files.segments import segment_name
from llm_logging.models.stats import Stats, StatsOptions, StatsScope
from llm_logging.reader.compare import compare_stats
from llm_logging.reader.entries import get_llm_request_logs
from llm_logging.reader.price_report import get_prices
from llm_logging.reader.search import search_logs
from llm_logging.reader.stats import get_chat_metrics, get_global_metrics, get_project_metrics, get_stats
from tests.reader.builders import START, ask, entry, put

DATA = Path(os.environ.get("LLM_LOGGING_TEST_DATA") or Path(__file__).parents[2].parent / "shared" / "data")


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-01-16", "2026-01-14"),
        ("2026-01-16", "2026-01-15"),
        ("2026-02", "2026-01"),
        ("2026-W03", "2026-W02"),
        ("2026-01-16T00:00:00Z", date(2026, 1, 15)),
        ("1h", "2h"),
        (START, START - timedelta(microseconds=1)),
        ("now", "2026-01-15"),
    ],
)
def test_a_period_that_ends_before_it_starts_is_refused(tmp_path, start, end):
    put(tmp_path, [entry(0)])
    for call in (
        lambda: ask(tmp_path, from_date=start, to_date=end),
        lambda: get_llm_request_logs(
            None, StatsOptions(from_date=start, to_date=end), root=tmp_path, cache=False
        ),
        lambda: search_logs("x", root=tmp_path, from_date=start, to_date=end),
    ):
        with pytest.raises(
            ValidationError, match="expected an end at or after its start, .*, got "
        ) as caught:
            call()
        assert caught.value.code is ErrorCode.INVALID_OPTIONS
    assert ask(tmp_path, from_date="2026-01-15", to_date="2026-01-15").summary.total_requests == 1
    assert ask(tmp_path, from_date=START, to_date=START).summary.total_requests == 0


def test_scopes_hold_what_is_theirs(tmp_path):
    put(tmp_path, [entry(0), entry(1, chat="d"), entry(2, project="Other/..")])
    assert ask(tmp_path).summary.total_requests == 3
    assert ask(tmp_path, StatsScope(type="project", project_id="shop")).summary.total_requests == 2
    assert ask(tmp_path, StatsScope(type="project", project_id="Other/..")).summary.total_requests == 1
    scope = StatsScope(type="chat", project_id="shop", chat_id="d")
    assert ask(tmp_path, scope).summary.total_requests == 1


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(NotFoundError) as caught:
        ask(tmp_path / "nowhere")
    assert caught.value.code is ErrorCode.ROOT_NOT_FOUND
    put(tmp_path, [entry(0)])
    with pytest.raises(NotFoundError) as caught:
        ask(tmp_path, StatsScope(type="project", project_id="nobody"))
    assert caught.value.code is ErrorCode.PROJECT_NOT_FOUND
    with pytest.raises(NotFoundError) as caught:
        ask(tmp_path, StatsScope(type="chat", project_id="shop", chat_id="nothing"))
    assert caught.value.code is ErrorCode.CHAT_NOT_FOUND
    with pytest.raises(FileSystemError) as caught:
        get_stats(files=tmp_path / "*.none")
    assert caught.value.code is ErrorCode.LOG_READ_ERROR


def test_a_project_that_logged_nothing_has_zeros(tmp_path):
    Layout(tmp_path).project_dir("shop").mkdir(parents=True)
    summary = ask(tmp_path, StatsScope(type="project", project_id="shop")).summary
    assert (summary.total_requests, summary.average_latency_ms, summary.estimated_cost) == (0, 0.0, "0")


def test_a_chat_exists_where_its_file_or_an_event_names_it(tmp_path):
    put(tmp_path, [entry(0)])
    message = {
        "id": "m",
        "project_id": "shop",
        "chat_id": "new",
        "role": "user",
        "event_type": "chat_message",
    }
    put(tmp_path, [message], LogKind.CHAT)
    put(tmp_path, [{"event_type": "chat_created", "project_id": "shop", "chat_id": "named"}], LogKind.EVENTS)
    for chat in ("new", "named"):
        assert (
            ask(tmp_path, StatsScope(type="chat", project_id="shop", chat_id=chat)).summary.total_requests
            == 0
        )


def test_metrics(tmp_path):
    put(tmp_path, [entry(0), entry(1, model="o3-mini"), entry(2, chat="d"), entry(3, project="other")])
    messages = [
        {
            "id": str(n // 2),
            "project_id": "shop",
            "chat_id": "c",
            "role": "user",
            "event_type": "chat_message",
        }
        for n in range(6)
    ]
    put(tmp_path, messages, LogKind.CHAT)
    chat = get_chat_metrics("shop", "c", root=tmp_path, cache=False)
    assert (chat.message_count, chat.models_used, chat.average_response_time_ms) == (
        3,
        ["gpt-4o", "o3-mini"],
        150.0,
    )
    project = get_project_metrics("shop", root=tmp_path, cache=False)
    assert (project.total_requests, project.chat_count, project.average_response_time_ms) == (3, 2, 200.0)
    everything = get_global_metrics(root=tmp_path, cache=False)
    assert (everything.total_requests, everything.project_count) == (4, 2)
    with pytest.raises(ValidationError) as caught:
        get_project_metrics("", root=tmp_path)
    assert caught.value.code is ErrorCode.INVALID_PROJECT_ID


MIXED = [
    entry(0, user_id="ann", attributes={"tenant": "acme", "depth": 3, "a.b": "x"}, tags=["red"]),
    entry(1, model="gpt-4o-mini", tags=["red", "blue"], attributes={"tenant": "zeta", "nested": {"k": "v"}}),
    entry(2, status="error", usage=None, error={"code": "rate_limited"}, http_status=429),
    entry(3, status="timeout", model="o3-mini", usage=None, stream=True, attributes={"depth": 12}),
]


@pytest.mark.parametrize(
    ("where", "numbers"),
    [
        ("status=error", {2}),
        ("status!=success", {2, 3}),
        ("model~gpt-4*", {0, 1, 2}),
        ("model!~*mini", {0, 2}),
        ("latency_ms>200", {2, 3}),
        ("latency_ms<=200", {0, 1}),
        ("timings.latency_ms = 300", {2}),
        ("usage.prompt_tokens>=10", {0, 1}),
        ("error.code=rate_limited", {2}),
        ("http_status=429", {2}),
        ("user=", {1, 2, 3}),
        ("user!=", {0}),
        ("user!=ann", {1, 2, 3}),
        ("tag=red", {0, 1}),
        ("tag!=blue", {0, 2, 3}),
        ("tag~b*", {1}),
        ("stream=true", {3}),
        ("attributes.tenant=acme", {0}),
        ("attributes.depth>5", {3}),
        ("attributes.depth=3.0", {0}),
        ("attributes.a.b=x", {0}),
        ("attributes.nested.k=v", {1}),
        ("attributes.tenant~*e*", {0, 1}),
        ("timestamp_start>=2026-01-15T10:02:00Z", {2, 3}),
        ("timestamp_start=2026-01-15", {0, 1, 2, 3}),
        ("timestamp_start<2026-01-15", set()),
        ("model='; DROP TABLE lines; --", set()),
        ("id=" + MIXED[1]["id"], {1}),
        (["status=success", "tag=blue"], {1}),
        ({"model": "o3-mini", "status": "timeout"}, {3}),
        ({"model": "o3-mini", "stream": True, "latency_ms": 400, "user": None}, {3}),
        ([("status", "success"), "tag=blue"], {1}),
    ],
)
def test_filters(where, numbers, tmp_path):
    put(tmp_path, MIXED)
    stats = ask(tmp_path, where=where, group_by="hour")
    assert stats.summary.total_requests == len(numbers)
    expected = sum(100.0 * (number + 1) for number in numbers) / len(numbers) if numbers else 0.0
    assert stats.summary.average_latency_ms == pytest.approx(expected)


@pytest.mark.parametrize(
    "options",
    [
        {"where": {"status": ["error", "timeout"]}}, {"where": {"attributes": 1}},
        {"where": "nonsense"}, {"where": "colour=red"}, {"where": "latency_ms>fast"}, {"where": "stream=perhaps"},
        {"where": "tag>red"}, {"where": "timestamp_start>soon"}, {"where": "attributes=x"}, {"group_by": "colour"},
        {"group_by": "attributes"},
    ],
)  # fmt: skip
def test_a_wrong_filter_or_group_is_refused(options, tmp_path):
    put(tmp_path, MIXED)
    with pytest.raises(ValidationError) as caught:
        ask(tmp_path, **options)
    assert caught.value.code is ErrorCode.INVALID_OPTIONS


def test_groups_of_any_field(tmp_path):
    put(tmp_path, MIXED)
    groups = {
        tuple(row.group.items()): row.total_requests
        for row in ask(tmp_path, group_by="attributes.tenant").breakdown
    }
    assert groups == {
        (("attributes.tenant", "acme"),): 1, (("attributes.tenant", "zeta"),): 1, (("attributes.tenant", None),): 2,
    }  # fmt: skip
    rows = ask(tmp_path, group_by="day,tag").breakdown
    assert [(row.group["tag"], row.total_requests) for row in rows] == [("blue", 1), ("red", 2), (None, 2)]
    assert [row.group for row in ask(tmp_path, group_by="stream").breakdown] == [
        {"stream": "true"},
        {"stream": None},
    ]


def test_gaps_in_time_are_filled_on_request(tmp_path):
    put(tmp_path, [entry(0), entry(3 * 24 * 60, model="o3-mini")])
    assert len(ask(tmp_path, group_by="day").breakdown) == 2
    rows = ask(tmp_path, group_by="day,model", fill_gaps=True).breakdown
    assert [(row.group["day"], row.group["model"], row.total_requests) for row in rows] == [
        (f"2026-01-{day}", model, int((day, model) in {(15, "gpt-4o"), (18, "o3-mini")}))
        for day in range(15, 19)
        for model in ("gpt-4o", "o3-mini")
    ]
    rows = ask(
        tmp_path, group_by="day", fill_gaps=True, from_date="2026-01-13", to_date=date(2026, 1, 16)
    ).breakdown
    assert [row.group["day"] for row in rows] == ["2026-01-13", "2026-01-14", "2026-01-15", "2026-01-16"]


def test_a_repeated_hour_stays_two_and_a_missing_one_is_none(tmp_path):
    spring, autumn = datetime(2026, 3, 29, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    moments = [spring + timedelta(hours=n) for n in range(3)] + [
        autumn + timedelta(hours=n) for n in range(3)
    ]
    put(tmp_path, [entry(n, timestamp_start=at.isoformat()) for n, at in enumerate(moments)])
    rows = ask(tmp_path, group_by="hour", time_zone="Europe/Berlin").breakdown
    assert [row.group["hour"] for row in rows] == [
        "2026-03-29T01:00+01:00", "2026-03-29T03:00+02:00", "2026-03-29T04:00+02:00",
        "2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00", "2026-10-25T03:00+01:00",
    ]  # fmt: skip
    day = StatsOptions(
        group_by="hour",
        time_zone="Europe/Berlin",
        fill_gaps=True,
        from_date="2026-10-25",
        to_date="2026-10-25",
    )
    filled = get_stats(None, day, root=tmp_path, cache=False, now=autumn + timedelta(days=2)).breakdown
    assert [row.group["hour"][11:] for row in filled][:5] == [
        "00:00+02:00", "01:00+02:00", "02:00+02:00", "02:00+01:00", "03:00+01:00",
    ]  # fmt: skip


def test_the_period_is_echoed_and_resolved(tmp_path):
    put(tmp_path, [entry(0)])
    stats = ask(tmp_path, from_date="2026-01-15", to_date="2026-01-15", time_zone="Europe/Berlin")
    assert stats.summary.total_requests == 1
    dumped = stats.model_dump(mode="json", by_alias=True)["period"]
    assert (dumped["from"], dumped["to"], dumped["timeZone"]) == ("2026-01-15", "2026-01-15", "Europe/Berlin")
    assert stats.period.start == datetime(2026, 1, 14, 23, tzinfo=UTC)
    assert Stats.model_validate(stats.model_dump(mode="json", by_alias=True)) == stats
    for text, total in (("2026-W03", 1), ("2026-01", 1), ("2026", 1), ("1h", 0), ("2d", 1)):
        assert ask(tmp_path, from_date=text).summary.total_requests == total
    assert ask(tmp_path, to_date="2026-01-15T10:00:00Z").summary.total_requests == 0


def test_running_and_orphaned(tmp_path):
    put(tmp_path, [entry(0, status="pending", usage=None), entry(24 * 60 - 5, status="pending", usage=None)])
    summary = ask(tmp_path).summary
    assert (summary.running_requests, summary.orphaned_requests, summary.total_requests) == (1, 1, 0)
    assert ask(tmp_path, orphaned_after=timedelta(days=2)).summary.running_requests == 2


def test_missing_lines_are_gaps_and_pruned_ones_are_none(tmp_path):
    put(tmp_path, [entry(n) for n in (4, 5, 8, 9)])
    log = Layout(tmp_path).path(LogKind.REQUESTS, "shop")
    gaps = ask(tmp_path).quality.gaps
    assert [(gap.writer, gap.first, gap.last) for gap in gaps] == [("w", 1, 4), ("w", 7, 8)]
    removed = {
        "v": 1,
        "action": "removed",
        "segment": "x.jsonl",
        "writers": {"w": {"first": 1, "last": 4, "count": 4}},
    }
    rewritten = {"v": 1, "action": "rewritten", "segment": "y.jsonl", "dropped": {"w": [[7, 7]]}}
    log.with_suffix(".manifest").write_text(json.dumps(removed) + "\n" + json.dumps(rewritten) + "\n")
    note = {"v": 1, "writer": "w", "closed": True, "files": {log.relative_to(tmp_path).as_posix(): 12}}
    (tmp_path / ".writers.jsonl").write_text(json.dumps(note) + "\n")
    quality = ask(tmp_path).quality
    assert [(gap.first, gap.last) for gap in quality.gaps] == [(8, 8), (11, 12)]
    assert (quality.missing_lines, quality.pruned_lines, quality.unclosed_writers) == (3, 5, 0)
    assert not quality.complete


@pytest.mark.parametrize("latencies", [[1e308, 1.7e308], [sys.float_info.max] * 7, [1.7e308, 1.0, 1e308]])
def test_the_mean_of_the_longest_durations_is_finite(tmp_path, latencies):
    put(tmp_path, [entry(n, timings={"latency_ms": ms}) for n, ms in enumerate(latencies)])
    found = ask(tmp_path).summary
    exact = sum(map(Fraction, latencies)) / len(latencies)
    assert found.latency_ms.mean == found.average_latency_ms == pytest.approx(float(exact), rel=1e-15)


def test_a_speed_beyond_all_numbers_is_none(tmp_path):
    put(tmp_path, [entry(0, timings={"latency_ms": 5e-324}), entry(1, timings={"latency_ms": 1000.0})])
    speed = ask(tmp_path).summary.tokens_per_second
    assert (speed.n, speed.mean, speed.max) == (1, 5.0, 5.0)


LEFT_OUT = {
    "Pacific/Apia": "2011-12-30",
    "Pacific/Kwajalein": "1993-08-21",
    "Pacific/Kiritimati": "1994-12-31",
}


@pytest.mark.parametrize("zone", LEFT_OUT)
def test_a_day_that_a_zone_left_out_is_empty_and_no_bucket(tmp_path, zone):
    put(tmp_path, [entry(0)])
    day = date.fromisoformat(LEFT_OUT[zone])
    before, after = day - timedelta(days=1), day + timedelta(days=1)
    gone = ask(tmp_path, from_date=day, to_date=day, time_zone=zone, group_by="day", fill_gaps=True)
    assert gone.period.start == gone.period.end
    assert gone.breakdown == []
    assert ask(tmp_path, from_date=before, to_date=before, time_zone=zone).period.end == gone.period.start
    assert ask(tmp_path, from_date=after, time_zone=zone).period.start == gone.period.end
    around = ask(tmp_path, from_date=before, to_date=after, time_zone=zone, group_by="day", fill_gaps=True)
    assert [row.group["day"] for row in around.breakdown] == [str(before), str(after)]
    assert around.period.end - around.period.start == timedelta(days=2)


@pytest.mark.parametrize("cache", [True, False])
def test_empty_text_names_neither_a_response_nor_a_call(tmp_path, cache, monkeypatch):
    monkeypatch.setenv("LLM_LOGGING_CACHE", str(tmp_path / "cache"))
    put(tmp_path, [entry(n, provider_response_id="", request_group="") for n in range(3)], sealed=1)
    stats = get_stats(root=tmp_path, cache=cache)
    assert (stats.summary.total_requests, stats.summary.total_calls) == (3, 3)
    assert stats.summary.total_tokens == 45
    assert stats.quality.duplicate_requests == 0
    page = get_llm_request_logs(root=tmp_path)
    assert [found.lines for found in page.entries] == [1, 1, 1]


def test_the_same_line_met_twice_counts_once(tmp_path):
    put(tmp_path, [entry(0), entry(1)], sealed=1)
    put(tmp_path, [entry(1), entry(2)])
    stats = ask(tmp_path)
    assert (stats.summary.total_requests, stats.quality.repeated_lines, stats.quality.folded_lines) == (
        3,
        1,
        0,
    )
    assert stats.quality.complete


def test_a_compressed_stream_is_read_as_a_compressed_file_is(tmp_path):
    line = b'{"model": "m", "prompt_tokens": 3, "completion_tokens": 1}\n'
    whole = gzip.compress(line * 40)
    members = gzip.compress(line) + gzip.compress(line)
    asked = [(whole, 120), (members, 6), (line, 3)]
    for data, tokens in asked:
        stats = get_stats(files=[io.BytesIO(data)], cache=False)
        assert (stats.summary.prompt_tokens, stats.quality.complete) == (tokens, True)
    assert not get_stats(files=[io.BytesIO(whole[:-9])], cache=False).quality.complete


def test_streams_are_told_apart_by_names_of_their_own(tmp_path):
    nameless = [io.BytesIO(b'{"model": "m", "prompt_tokens": 3, "completion_tokens": 1}\n') for _ in range(2)]
    stats = get_stats(files=nameless, cache=False)
    assert stats.summary.prompt_tokens == 6
    with pytest.raises(FileSystemError) as caught:
        get_stats(None, StatsOptions(strict=True), files=[io.BytesIO(b""), io.BytesIO(b"{\n")], cache=False)
    assert str(caught.value).startswith("<stream> (2): expected only whole lines")


def test_a_call_seen_by_two_instrumentations_counts_once(tmp_path):
    at = START.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    seen = [entry(n, provider_response_id="resp", timestamp_start=at) for n in range(2)]
    put(
        tmp_path,
        [{**one, "instrumentation": name} for one, name in zip(seen, ("httpx", "litellm"), strict=True)],
    )
    put(tmp_path, [entry(2, provider_response_id="resp", attempt=2), entry(3, provider_response_id="other")])
    stats = ask(tmp_path)
    assert (stats.summary.total_requests, stats.quality.duplicate_requests) == (3, 1)


def test_two_periods_compared(tmp_path):
    put(
        tmp_path,
        [entry(0), entry(1, model="o3-mini"), entry(24 * 60), entry(24 * 60 + 1), entry(24 * 60 + 2)],
    )
    found = compare_stats(
        None, StatsOptions(from_date="2026-01-15", to_date="2026-01-15", group_by="model"),
        StatsOptions(from_date="2026-01-16", to_date="2026-01-16", group_by="model"), root=tmp_path, cache=False,
    )  # fmt: skip
    total = found.summary["total_requests"]
    assert (total.before, total.after, total.absolute, total.relative) == (2, 3, 1, 0.5)
    rows = {row.group["model"]: row.changes["total_requests"] for row in found.breakdown}
    assert (rows["gpt-4o"].absolute, rows["o3-mini"].absolute, rows["o3-mini"].relative) == (2, -1, -1.0)
    cost = found.summary["estimated_cost"]
    assert Decimal(cost.absolute) == Decimal(cost.after) - Decimal(cost.before)
    assert found.summary["latency_ms.p50"].before == 150.0
    with pytest.raises(ValidationError):
        compare_stats(None, StatsOptions(group_by="day"), StatsOptions(), root=tmp_path)


def test_prices_in_use_add_up(tmp_path):
    put(tmp_path, [entry(0), entry(1), entry(2, model="mystery"), entry(3, cost={"amount": "0.5"})])
    report = get_prices(root=tmp_path, cache=False)
    assert [(use.model, use.source, use.requests) for use in report.uses] == [
        ("gpt-4o", "reported", 1), ("gpt-4o", "genai-prices", 2), ("mystery", "unpriced", 1),
    ]  # fmt: skip
    assert report.uses[1].rates["input"] == "2.5"
    assert report.version
    total = ask(tmp_path).summary.total_cost
    assert sum(Decimal(use.cost) for use in report.uses if use.cost) == Decimal(total)


def test_without_the_extra_the_error_names_it(tmp_path):
    put(tmp_path, [entry(0)])
    script = (
        "import sys; sys.modules['duckdb'] = None\n"
        "from llm_logging.reader.stats import get_stats\n"
        "from llm_logging.errors import ConfigurationError\n"
        f"try:\n    get_stats(root={str(tmp_path)!r}, cache=False)\n"
        "except ConfigurationError as error:\n    print(error.code.value, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("MISSING_DEPENDENCY")
    assert "pip install 'llm-logging[stats]'" in done.stdout


def _trace(name):
    path = DATA / "traces" / name
    if not path.exists():
        pytest.skip(f"{path} is not here: set LLM_LOGGING_TEST_DATA to the folder of the recordings")
    return path


def test_the_azure_trace_gives_its_published_figures(tmp_path):
    entries = []
    with _trace("azure_conv_2023.csv").open(newline="") as file:
        for number, row in enumerate(csv.DictReader(file)):
            usage = {
                "prompt_tokens": int(row["ContextTokens"]),
                "completion_tokens": int(row["GeneratedTokens"]),
            }
            # The spread of prompts is read off as durations: the reader's percentiles are of durations.
            timings = {
                "latency_ms": float(row["ContextTokens"]),
                "time_to_first_token_ms": float(row["GeneratedTokens"]),
            }
            at = row["TIMESTAMP"].replace(" ", "T")[:26] + "Z"
            entries.append(entry(number, usage=usage, timings=timings, timestamp_start=at))
    put(tmp_path, entries)
    stats = ask(tmp_path, group_by="hour")
    summary = stats.summary
    assert (summary.total_requests, summary.prompt_tokens, summary.completion_tokens) == (
        19_366,
        22_361_870,
        4_088_665,
    )
    assert (summary.latency_ms.p50, summary.latency_ms.p90, summary.latency_ms.p99) == (1020, 2734.5, 4142.0)
    assert summary.time_to_first_token_ms.p50 == 129
    assert sum(row.total_requests for row in stats.breakdown) == 19_366


def test_the_mooncake_trace_gives_its_published_means(tmp_path):
    with _trace("mooncake_conversation.jsonl").open() as file:
        rows = [json.loads(line) for line in file]
    put(tmp_path, [
        entry(n, usage={"prompt_tokens": row["input_length"], "completion_tokens": row["output_length"]})
        for n, row in enumerate(rows)
    ])  # fmt: skip
    summary = ask(tmp_path).summary
    assert summary.total_requests == 12_031
    means = summary.prompt_tokens / 12_031, summary.completion_tokens / 12_031
    assert tuple(round(mean) for mean in means) == (12_035, 343)


def test_reading_while_a_log_is_written_and_rotated_is_exact(tmp_path):
    done = threading.Event()
    path = Layout(tmp_path / "logs").path(LogKind.REQUESTS, "shop")
    path.parent.mkdir(parents=True)
    written = [0]

    def write():
        for number in range(1500):
            with path.open("a") as file:
                file.write(json.dumps(entry(number)) + "\n")
            written[0] = number + 1
            if number % 97 == 96:
                path.rename(
                    path.with_name(segment_name("llm_requests", START + timedelta(seconds=number), 1))
                )
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    last = 0
    while not done.is_set():
        before = written[0]
        stats = get_stats(root=tmp_path / "logs", cache_dir=tmp_path / "cache")
        total = stats.summary.total_requests
        assert before <= total
        assert last <= total
        assert stats.quality.repeated_lines == 0
        assert not stats.quality.gaps
        last = total
    writer.join()
    assert get_stats(root=tmp_path / "logs", cache_dir=tmp_path / "cache").summary.total_requests == 1500


@pytest.mark.parametrize(
    "latencies", [[0.1] * 10, [0.1, 0.2, 0.3, 1e16], [1e10, 0.1], [5e-324, 1e300], [0.0]]
)
def test_means_are_exact_in_any_order_and_at_any_length(latencies, tmp_path):
    for order, folder in ((latencies, "one"), (latencies[::-1], "other")):
        put(tmp_path / folder, [entry(n, timings={"latency_ms": ms}) for n, ms in enumerate(order)])
    means = {ask(tmp_path / folder).summary.latency_ms.mean for folder in ("one", "other")}
    assert len(means) == 1
    assert means.pop() == pytest.approx(math.fsum(latencies) / len(latencies), rel=1e-12, abs=1e-9)
