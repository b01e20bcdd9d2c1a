"""Broken, binary and foreign lines: counted by reason, never a crash, and the good lines around them count."""

from __future__ import annotations

import gzip
import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from llm_logging.errors import ErrorCode, FileSystemError
from llm_logging.files.layout import Layout, LogKind
from llm_logging.handler.writing.line_buffer import process
from llm_logging.models.stats import StatsOptions
from llm_logging.reader.lines.coercions import has_coerced_values
from llm_logging.reader.lines.parse import parse_file
from llm_logging.reader.lines.source_sql import RawFile
from llm_logging.reader.stats import get_stats

AT = "2026-01-15T10:00:00.000000Z"

# The id of a writer, as ours give themselves one.
OURS = "0123456789abcdef"


def request(number, **fields):
    return {
        "v": 1, "timestamp": AT, "level": "INFO", "logger": "app", "message": "", "event_type": "llm_request",
        "writer": {"id": "w", "seq": number}, "id": f"00000000-0000-4000-8000-{number:012d}", "project_id": "shop",
        "chat_id": "c", "model": "gpt-4o", "provider": "openai", "status": "success", "timestamp_start": AT,
        "timings": {"latency_ms": 100.5}, "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        **fields,
    }  # fmt: skip


def raw(number, **fields):
    return json.dumps(request(number, **fields)).encode()


def read(tmp_path, data, **options):
    path = tmp_path / "log.jsonl"
    path.write_bytes(data)
    return get_stats(None, StatsOptions(**options), files=path, cache=False)


BROKEN = {
    "torn": (raw(2)[:80], "torn"),
    "binary": (b"\x00\x01\xff\xfe\x80", "binary"),
    "nul inside": (raw(2).replace(b"shop", b"sh\x00p"), "binary"),
    "nuls only": (b"\x00" * 4096, "nul_bytes"),
    "text": (b"INFO: started server", "not_json"),
    "array": (b"[1, 2, 3]", "not_an_object"),
    "number": (b"5", "not_an_object"),
    "other program": (b'{"msg": "listening", "port": 80}', "other_program"),
    "single quotes": (b"{'id': 'x'}", "not_json"),
    "huge digits": (b'{"n": ' + b"9" * 10_000 + b"}", "other_program"),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_a_broken_line_is_counted_under_its_reason(name, place, tmp_path):
    line, reason = BROKEN[name]
    good = [raw(1), raw(3)]
    good.insert({"first": 0, "middle": 1, "last": 2}[place], line)
    stats = read(tmp_path, b"\n".join(good) + (b"\n" if place != "last" else b""))
    assert stats.summary.total_requests == 2
    assert stats.summary.total_tokens == 30
    assert stats.quality.skipped == {reason: 1}
    assert stats.quality.skipped_lines == 1
    assert stats.quality.lines == 3


USED = {
    "byte order mark": (b"\xef\xbb\xbf" + raw(1) + b"\n" + raw(2) + b"\n", None),
    "CRLF": (raw(1) + b"\r\n" + raw(2) + b"\r\n", None),
    "no newline at the end": (raw(1) + b"\n" + raw(2), None),
    "blank lines": (b"\n\n" + raw(1) + b"\n  \n" + raw(2) + b"\n\n", None),
    "bad UTF-8": (raw(1) + b"\n" + raw(2, message="AB").replace(b"AB", b"\xff\xfe") + b"\n", "bad_utf8"),
    "lone surrogate": (raw(1) + b"\n" + raw(2, message="AB").replace(b"AB", b"\\ud800") + b"\n", None),
    "joined lines": (raw(1) + raw(2) + b"\n", "joined_lines"),
    "NULs before": (raw(1) + b"\n\x00\x00\x00" + raw(2) + b"\n", "nul_bytes"),
    "deep nesting": (
        raw(1) + b"\n" + raw(2)[:-1] + b', "attributes": {"x": ' + b"[" * 10_000 + b"]" * 10_000 + b"}}\n",
        None,
    ),
    "long line": (raw(1) + b"\n" + raw(2, attributes={"x": "y" * 30_000_000}) + b"\n", None),
    "container's wrapping": (
        raw(1)
        + b"\n"
        + json.dumps({"log": raw(2).decode() + "\n", "stream": "stdout", "time": AT}).encode()
        + b"\n",
        None,
    ),
    "CRI prefix": (raw(1) + b"\n2026-01-15T10:00:00.1Z stdout F " + raw(2) + b"\n", None),
}


@pytest.mark.parametrize("name", USED)
def test_what_is_clear_in_an_odd_line_is_used(name, tmp_path):
    data, repaired = USED[name]
    stats = read(tmp_path, data)
    assert stats.summary.total_requests == 2
    assert stats.summary.prompt_tokens == 20
    assert stats.quality.skipped == {}
    assert stats.quality.invalid_fields == ({repaired: 1} if repaired else {})


BAD_FIELDS = {
    "text tokens": (
        {"usage": {"prompt_tokens": "many", "completion_tokens": 5}},
        "usage.prompt_tokens",
        0,
        5,
    ),
    "part of a token": (
        {"usage": {"prompt_tokens": 7.9, "completion_tokens": 5}},
        "usage.prompt_tokens",
        0,
        5,
    ),
    "negative tokens": (
        {"usage": {"prompt_tokens": -3, "completion_tokens": 5}},
        "usage.prompt_tokens",
        0,
        5,
    ),
    "boolean tokens": (
        {"usage": {"prompt_tokens": True, "completion_tokens": 5}},
        "usage.prompt_tokens",
        0,
        5,
    ),
    "beyond 64 bits": (
        {"usage": {"prompt_tokens": 10**30, "completion_tokens": 5}},
        "usage.prompt_tokens",
        0,
        5,
    ),
    "object tokens": ({"usage": {"prompt_tokens": {}, "completion_tokens": 5}}, "usage.prompt_tokens", 0, 5),
    "text latency": ({"timings": {"latency_ms": "fast"}}, "timings.latency_ms", 10, 5),
    "infinite latency": ({"timings": {"latency_ms": float("inf")}}, "timings.latency_ms", 10, 5),
    "http status": ({"http_status": 9999}, "http_status", 10, 5),
    "attempt": ({"attempt": 0}, "attempt", 10, 5),
    "start": ({"timestamp_start": "yesterday"}, "timestamp_start", 10, 5),
    "amount": ({"cost": {"amount": "a lot"}}, "cost.amount", 10, 5),
    "status": ({"status": "done"}, "status", 10, 5),
    "boolean tokens that are the total": (
        {"usage": {"prompt_tokens": True, "completion_tokens": 5, "total_tokens": 6}},
        "usage.prompt_tokens",
        0,
        5,
    ),
    "boolean tokens of none": (
        {
            "usage": {
                "prompt_tokens": 7,
                "completion_tokens": 5,
                "total_tokens": 12,
                "cache_read_tokens": False,
            }
        },
        "usage.cache_read_tokens",
        7,
        5,
    ),
    "boolean attempt": ({"attempt": True}, "attempt", 10, 5),
    "boolean latency": ({"timings": {"latency_ms": False}}, "timings.latency_ms", 10, 5),
    "tokens in Python's spelling": (
        {"usage": {"prompt_tokens": "1_000", "completion_tokens": 5}},
        "usage.prompt_tokens",
        0,
        5,
    ),
    "amount in Python's spelling": ({"cost": {"amount": "1_000"}}, "cost.amount", 10, 5),
    "usage that is text": ({"usage": "abc"}, "usage", 0, 0),
    "usage that is a number": ({"usage": 5}, "usage", 0, 0),
    "usage that is a list": ({"usage": [1]}, "usage", 0, 0),
    "timings that are a number": ({"timings": 5}, "timings", 10, 5),
    "error that is a number": ({"error": 5}, "error", 10, 5),
    "cost that is a number": ({"cost": 0.5}, "cost", 10, 5),
    "writer that is text": ({"writer": "me"}, "writer", 10, 5),
    "writer's id": ({"writer": {"id": 5, "seq": 1}}, "writer.id", 10, 5),
    "sequence that is text": ({"writer": {"id": "w", "seq": "first"}}, "writer.seq", 10, 5),
    "sequence below one": ({"writer": {"id": "w", "seq": 0}}, "writer.seq", 10, 5),
    "negative sequence": ({"writer": {"id": "w", "seq": -1}}, "writer.seq", 10, 5),
    "part of a sequence": ({"writer": {"id": "w", "seq": 1.5}}, "writer.seq", 10, 5),
    "boolean sequence": ({"writer": {"id": "w", "seq": True}}, "writer.seq", 10, 5),
    "sequence beyond 64 bits": ({"writer": {"id": "w", "seq": 10**30}}, "writer.seq", 10, 5),
    "part of a sequence of ours": ({"writer": {"id": OURS, "seq": 1.5}}, "writer.seq", 10, 5),
    "number for a model": ({"model": 5}, "model", 10, 5),
    "object for a model": ({"model": {"name": "gpt-4o"}}, "model", 10, 5),
    "true for a provider": ({"provider": True}, "provider", 10, 5),
    "list for a project": ({"project_id": ["shop"]}, "project_id", 10, 5),
    "part of a number for a chat": ({"chat_id": 7.5}, "chat_id", 10, 5),
    "object for a user": ({"user_id": {"id": 7}}, "user_id", 10, 5),
    "number for an error's type": ({"error": {"type": 5}}, "error.type", 10, 5),
    "number for a currency": ({"cost": {"amount": "1", "currency": 978}}, "cost.currency", 10, 5),
    "number for a response id": ({"provider_response_id": 7}, "provider_response_id", 10, 5),
    "object for a call": ({"request_group": {}}, "request_group", 10, 5),
    "number for stream": ({"stream": 5}, "stream", 10, 5),
    "number among tags": ({"tags": ["a", 7]}, "tags", 10, 5),
    "tags that are an object": ({"tags": {"a": 1}}, "tags", 10, 5),
    "tags that are text": ({"tags": "a"}, "tags", 10, 5),
    "object for an id": ({"id": {"a": 1}}, "id", 10, 5),
    "attributes that are text": ({"attributes": "s"}, "attributes", 10, 5),
    "attributes that are a list": ({"attributes": [1]}, "attributes", 10, 5),
    "tokens in Python's spelling that are the total": (
        {"usage": {"prompt_tokens": "1_0", "completion_tokens": 5, "total_tokens": 15}},
        "usage.prompt_tokens",
        0,
        5,
    ),
    "boolean prompt under the id of a writer of ours that the total contradicts": (
        {
            "writer": {"id": OURS, "seq": 1},
            "usage": {"prompt_tokens": True, "completion_tokens": 5, "total_tokens": 15},
        },
        "usage.prompt_tokens",
        0,
        5,
    ),
    "boolean tokens of another writer with an id as long as ours": (
        {
            "writer": {"id": "another-writer-1", "seq": 1},
            "usage": {"prompt_tokens": 10, "completion_tokens": False, "total_tokens": 10},
        },
        "usage.completion_tokens",
        10,
        0,
    ),
}


@pytest.mark.parametrize("name", BAD_FIELDS)
def test_one_bad_field_costs_a_line_nothing_else(name, tmp_path):
    fields, path, prompt, completion = BAD_FIELDS[name]
    stats = read(tmp_path, raw(1, **fields) + b"\n")
    # A status that is not understood is no success.
    assert stats.summary.successful_requests == (name != "status")
    assert stats.summary.total_requests == 1
    assert (stats.summary.prompt_tokens, stats.summary.completion_tokens) == (prompt, completion)
    assert stats.quality.invalid_fields == {path: 1}
    assert stats.quality.skipped == {}
    with pytest.raises(FileSystemError, match=rf"1 x {path}"):
        read(tmp_path, raw(1, **fields) + b"\n", strict=True)


@pytest.mark.parametrize("name", BAD_FIELDS)
def test_a_piece_of_the_cache_counts_bad_fields_too(name, tmp_path):
    fields, path, prompt, completion = BAD_FIELDS[name]
    log = tmp_path / "root" / "projects" / "shop" / "logs" / "llm_requests.20260115T103000Z-0001.jsonl"
    log.parent.mkdir(parents=True)
    log.write_bytes(raw(1, **fields) + b"\n" + raw(2) + b"\n")
    for _ in range(2):
        stats = get_stats(root=tmp_path / "root", cache_dir=tmp_path / "cache")
        assert (stats.summary.prompt_tokens, stats.summary.completion_tokens) == (prompt + 10, completion + 5)
        assert stats.quality.invalid_fields == {path: 1}


@pytest.mark.parametrize("name", BAD_FIELDS)
def test_a_bad_field_beside_a_broken_line_counts_too(name, tmp_path):
    fields, path, prompt, completion = BAD_FIELDS[name]
    stats = read(tmp_path, raw(1, **fields) + b"\nnot json\n")
    assert (stats.summary.prompt_tokens, stats.summary.completion_tokens) == (prompt, completion)
    assert stats.quality.invalid_fields == {path: 1}


TEXTS = {"model": "gpt-4o", "provider": "openai", "project": "shop", "chat": "c", "user": "7", "tag": "a"}


@pytest.mark.parametrize("beside", [b"", b"not json\n"], ids=["clean", "salvaged"])
@pytest.mark.parametrize("group", TEXTS)
@pytest.mark.parametrize("wrong", [True, 7.5, {"a": 1}, ["b"]], ids=["true", "fraction", "object", "list"])
def test_what_is_no_text_is_no_group(wrong, group, beside, tmp_path):
    field = {"tag": "tags"}.get(group, group if group in {"model", "provider"} else f"{group}_id")
    good = {"user_id": 7, "tags": ["a"]}
    bad = good | {field: ["a", wrong] if group == "tag" else wrong}
    data = raw(1, **good) + b"\n" + raw(2, **bad) + b"\n" + beside
    stats = read(tmp_path, data, group_by=group)
    found = {row.group[group]: row.total_requests for row in stats.breakdown}
    assert found == ({"a": 2} if group == "tag" else {TEXTS[group]: 1, None: 1})
    assert stats.quality.invalid_fields == {field: 1}


def test_ids_and_codes_that_are_whole_numbers_are_read_as_such(tmp_path):
    fields = {"project_id": 1, "chat_id": 2, "user_id": 3, "error": {"code": 429}, "request_group": 5}
    fields["prompt_version"] = 6
    stats = read(
        tmp_path,
        raw(1, **fields) + b"\n",
        group_by=["project", "chat", "user", "error.code", "prompt_version"],
    )
    assert [list(row.group.values()) for row in stats.breakdown] == [["1", "2", "3", "429", "6"]]
    assert stats.quality.invalid_fields == {}


def test_text_is_read_to_the_letter_beside_a_bad_field(tmp_path):
    odd = 'a"b\\c\n\u00e9\U0001f4a3 / {"x": [1]}'
    data = raw(1, model=odd, tags=[odd, ""], user_id="") + b"\n" + raw(2, provider=5) + b"\n"
    stats = read(tmp_path, data, group_by=["model", "tag", "user"])
    assert [list(row.group.values()) for row in stats.breakdown if row.group["model"] == odd] == [
        [odd, "", ""],
        [odd, odd, ""],
    ]


def test_an_error_that_is_text_is_its_message(tmp_path):
    data = raw(1, status="error", error='it said "no"') + b"\n" + raw(2) + b"\n"
    stats = read(tmp_path, data, where='error.message=it said "no"')
    assert stats.summary.failed_requests == 1
    assert stats.quality.invalid_fields == {}


def test_lines_of_a_writer_of_ours_need_no_second_look(tmp_path):
    import duckdb

    path = tmp_path / "log.jsonl"

    def looks(**fields):
        path.write_bytes(raw(1, writer={"id": process().id, "seq": 1}, **fields) + b"\n")
        with duckdb.connect() as db:
            parse_file(db, RawFile(path, "log"), "rows")
            return has_coerced_values(db, RawFile(tmp_path / "none.jsonl", "none"), "rows")

    assert not looks()
    assert not looks(usage={"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11})


def test_a_single_token_of_a_writer_of_ours_is_one(tmp_path):
    usage = {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11}
    stats = read(tmp_path, raw(1, writer={"id": OURS, "seq": 1}, usage=usage, stream=True) + b"\n")
    assert (stats.summary.total_tokens, stats.quality.invalid_fields) == (11, {})


def test_lines_of_others_are_looked_at_by_value(tmp_path):
    import duckdb

    path = tmp_path / "log.jsonl"
    for fields, bent in [({}, False), ({"usage": {"reasoning_tokens": True}}, True), ({"model": 5}, True)]:
        path.write_bytes(raw(1, **fields) + b"\n")
        with duckdb.connect() as db:
            parse_file(db, RawFile(path, "log"), "rows")
            # As the fast way would have read it.
            db.execute("UPDATE rows SET model = '5'" if "model" in fields else "SELECT 1")
            assert has_coerced_values(db, RawFile(path, "log"), "rows") is bent


NO_TIMES = {
    "year 10000": "10000-01-01T00:00:00.000000Z",
    "before our era": "0044-03-15 (BC) 10:00:00Z",
    "as far as the database goes": "294246-01-01T00:00:00Z",
    "year 0 in UTC": "0001-01-01T00:00:00+05:00",
    "year 10000 in UTC": "9999-12-31T23:59:59-05:00",
    "for ever": "infinity",
    "since ever": "-infinity",
    "a word": "epoch",
}


@pytest.mark.parametrize("beside", [b"", b"not json\n"], ids=["clean", "salvaged"])
@pytest.mark.parametrize("name", NO_TIMES)
def test_a_time_beyond_the_calendar_is_unusable(name, beside, tmp_path):
    data = raw(1) + b"\n" + raw(2, timestamp_start=NO_TIMES[name]) + b"\n" + beside
    stats = read(tmp_path, data, group_by="day")
    assert stats.quality.invalid_fields == {"timestamp_start": 1}
    assert [(row.group, row.total_tokens) for row in stats.breakdown] == [({"day": "2026-01-15"}, 30)]
    assert stats.summary.first_request == stats.summary.last_request == datetime(2026, 1, 15, 10, tzinfo=UTC)


def test_what_is_no_time_counts_wherever_it_stands(tmp_path):
    stats = read(tmp_path, raw(1, timestamp="infinity", timestamp_start="infinity") + b"\n" + raw(2) + b"\n")
    assert stats.quality.invalid_fields == {"timestamp": 1, "timestamp_start": 1}
    assert stats.summary.first_request == stats.summary.last_request == datetime(2026, 1, 15, 10, tzinfo=UTC)


def test_the_first_and_the_last_moment_of_the_calendar_are_times(tmp_path):
    edges = ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"]
    stats = read(
        tmp_path, b"".join(raw(n, timestamp_start=at) + b"\n" for n, at in enumerate(edges, start=1))
    )
    assert stats.quality.invalid_fields == {}
    assert stats.summary.first_request == datetime.min.replace(tzinfo=UTC)
    assert stats.summary.last_request == datetime.max.replace(tzinfo=UTC)


def test_usage_of_another_type_leaves_the_request(tmp_path):
    stats = read(tmp_path, raw(1, usage="none") + b"\n" + raw(2, usage=[1]) + b"\n")
    assert stats.summary.total_requests == stats.summary.requests_without_usage == 2


def test_the_first_of_duplicate_keys_counts_on_every_way(tmp_path):
    line = raw(1).replace(b'"usage"', b'"usage": {"prompt_tokens": 1}, "usage"')
    assert read(tmp_path, line + b"\n").summary.prompt_tokens == 1
    assert read(tmp_path, line + b"\nnot json\n").summary.prompt_tokens == 1


def test_a_truncated_gzip_gives_what_can_be_read(tmp_path):
    path = tmp_path / "log.jsonl.gz"
    whole = gzip.compress(b"".join(raw(n + 1) + b"\n" for n in range(2000)))
    path.write_bytes(whole[: len(whole) // 2])
    stats = get_stats(files=path, cache=False)
    assert 100 < stats.summary.total_requests < 2000
    assert str(path) in stats.quality.unreadable_files
    assert not stats.quality.complete


def test_strict_fails_with_the_file_and_the_reason(tmp_path):
    with pytest.raises(FileSystemError, match=r"log\.jsonl.*1 x torn") as caught:
        read(tmp_path, raw(1) + b"\n" + raw(2)[:50] + b"\n", strict=True)
    assert caught.value.code is ErrorCode.LOG_PARSE_ERROR


def test_lines_of_the_older_flat_shape_count(tmp_path):
    flat = {
        "request_id": "req_1", "project_id": "shop", "chat_id": "c", "model": "gpt-4o", "prompt_tokens": 100,
        "completion_tokens": 50, "total_tokens": 150, "latency_ms": 800, "timestamp_start": AT,
    }  # fmt: skip
    failed = {**flat, "request_id": "req_2", "error_code": "rate_limited", "status": "error"}
    enveloped = {
        **flat,
        "event_type": "llm_request",
        "request_id": "req_3",
        "timestamp": AT,
        "timestamp_start": None,
    }
    again = {**flat, "latency_ms": 900, "timestamp": "2026-01-15T10:00:09Z"}
    lines = [flat, failed, enveloped, again]
    stats = read(tmp_path, b"".join(json.dumps(line).encode() + b"\n" for line in lines), group_by="day")
    assert stats.summary.total_requests == 3
    assert stats.summary.total_tokens == 450
    assert stats.summary.error_codes == {"rate_limited": 1}
    assert stats.summary.latency_ms.n == 3
    assert stats.quality.folded_lines == 1
    assert [row.group for row in stats.breakdown] == [{"day": "2026-01-15"}]


def test_lines_of_a_plain_json_formatter_count(tmp_path):
    line = {"message": "answered", "llm_request": {"model": "gpt-4o", "usage": {"prompt_tokens": 3}}}
    stats = read(tmp_path, json.dumps(line).encode() + b"\n" + json.dumps(line).encode() + b"\n")
    assert stats.summary.successful_requests == 2
    assert stats.summary.prompt_tokens == 6


def test_a_stream_is_read_like_a_file():
    data = raw(1) + b"\n" + raw(2) + b"\nnoise\n"
    for stream in (io.BytesIO(data), io.StringIO(data.decode())):
        stats = get_stats(files=stream, cache=False)
        assert stats.summary.total_requests == 2
        assert stats.quality.skipped == {"not_json": 1}


def test_a_line_of_100_megabytes_is_no_matter(tmp_path):
    path = tmp_path / "log.jsonl"
    with path.open("wb") as file:
        file.write(raw(1) + b"\n" + raw(2)[:-1] + b', "attributes": {"x": "')
        for _ in range(100):
            file.write(b"y" * 1_000_000)
        file.write(b'"}}\n' + raw(3) + b"\n")
    stats = get_stats(files=path, cache=False)
    assert stats.summary.total_requests == 3


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs /proc")
def test_a_packed_segment_that_gives_errors_instead_of_bytes_is_unreadable(tmp_path):
    log = Layout(tmp_path).path(LogKind.REQUESTS, "shop")
    log.parent.mkdir(parents=True)
    log.write_bytes(raw(1) + b"\n")
    log.with_name("llm_requests.20260112T000000Z-0001.jsonl.gz").symlink_to("/proc/self/mem")
    stats = get_stats(root=tmp_path, cache_dir=tmp_path / "cache")
    assert stats.summary.total_requests == 1
    assert len(stats.quality.unreadable_files) == 1
