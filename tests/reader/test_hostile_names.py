"""What users type as names, values and times: never SQL, never an exception of another kind."""

import gzip
import json
import os

import pytest

from llm_logging import StatsOptions, StatsScope
from llm_logging.cli.viewer.follow import LogFollower
from llm_logging.errors import ErrorCode, FileSystemError, ValidationError
from llm_logging.maintenance.verify import verify
from llm_logging.reader.entries import get_llm_request_logs
from llm_logging.reader.stats import get_stats

AT = "2026-01-15T10:00:00.000000Z"
NAMES = ('a"b', 'a"?', "o'k", 'x" VARCHAR); DROP TABLE lines; --', "a b", "?", "é", "a~b/c")


def line(number=1, **fields):
    return json.dumps(
        {
            "v": 1, "timestamp": AT, "event_type": "llm_request", "writer": {"id": "w", "seq": number},
            "id": f"00000000-0000-4000-8000-{number:012d}", "project_id": "shop", "chat_id": "c", "model": "gpt-4o",
            "status": "success", "timestamp_start": AT, **fields,
        },
        ensure_ascii=False,
    ).encode() + b"\n"  # fmt: skip


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(
        line(1, attributes=dict.fromkeys(NAMES, "here"), user_id="é", cost={"amount": "0.5"}) + line(2)
    )
    return path


def count(log, **options):
    return get_stats(None, StatsOptions(**options), files=log, cache=False).summary.total_requests


@pytest.mark.parametrize("name", NAMES)
def test_the_name_of_an_attribute_is_no_sql(name, log):
    stats = get_stats(None, StatsOptions(group_by=[f"attributes.{name}"]), files=log, cache=False)
    assert {row.group[f"attributes.{name}"]: row.total_requests for row in stats.breakdown} == {
        "here": 1,
        None: 1,
    }
    if not {" ", "~"} & set(name):
        assert count(log, where=f"attributes.{name}=here") == 1
        assert count(log, where=[f"attributes.{name}=here", 'attributes.a"b!=there']) == 1


def test_two_attributes_of_like_names_are_two(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(line(attributes={"a_b": 1, "a": {"b": 2}}))
    assert count(path, where=["attributes.a_b=1", "attributes.a.b=2"]) == 1


def test_a_question_mark_in_a_pattern_is_one_character(log):
    assert count(log, where="user~?") == 1
    assert count(log, where="user~??") == 0


def test_a_long_row_of_stars_takes_no_time(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(line(user_id="a" * 5000))
    assert count(path, where=f"user~{'*a' * 200}b") == 0


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("cost.amount>1e30", 0), ("cost.amount<1e400", 1), ("cost.amount>1e-30", 1), ("cost.amount=0.50", 1),
        ("user=\ud800", 0), ("attributes.\ud800=1", 0), ("timestamp_start<=9999-12-31", 2), ("timestamp_start>999999999w", 2),
        ("timestamp_start<0001-01-01", 0), ("timestamp_start>=0001-01-01T00:00:00+14:00", 2), ("timestamp_start>9999", 0),
    ],
)  # fmt: skip
def test_values_beyond_what_a_field_can_hold_are_compared_all_the_same(where, found, log):
    assert count(log, where=where) == found


@pytest.mark.parametrize("zone", ["UTC", "America/Santiago", "Pacific/Kiritimati"])
@pytest.mark.parametrize("unit", ["hour", "day", "week", "month"])
def test_a_period_as_long_as_the_calendar_is_answered(zone, unit, log):
    assert count(log, from_date="0001-01-01", to_date="9999-12-31", time_zone=zone, group_by=unit) == 2


def test_filling_a_period_as_long_as_the_calendar_is_refused(log):
    with pytest.raises(ValidationError) as caught:
        count(log, from_date="0001-01-01", group_by="hour", fill_gaps=True)
    assert caught.value.code is ErrorCode.INVALID_OPTIONS


def test_a_scope_that_is_half_a_character_is_asked_for_as_it_is_read(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(line().replace(b'"shop"', b'"\\ud800"'))
    scope = StatsScope(type="project", project_id="\ud800")
    assert get_stats(scope, files=path, cache=False).summary.total_requests == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_among_the_logs_keeps_nobody_waiting(tmp_path):
    folder = tmp_path / "projects" / "shop" / "logs"
    folder.mkdir(parents=True)
    (folder / "llm_requests.jsonl").write_bytes(line())
    os.mkfifo(folder / "llm_requests.20260101T000000Z-0001.jsonl")
    os.mkfifo(folder / "llm_requests.manifest")
    os.mkfifo(folder / "events.jsonl")
    assert get_stats(root=tmp_path, cache=False).summary.total_requests == 1
    assert len(get_llm_request_logs(root=tmp_path, cache=False).entries) == 1
    assert [finding.problem for finding in verify(tmp_path).findings] == ["manifest"]
    with pytest.raises(FileSystemError):
        LogFollower(folder / "events.jsonl").start(1)


def test_a_byte_changed_inside_a_packed_segment_costs_what_lies_behind_it(tmp_path):
    folder = tmp_path / "projects" / "shop" / "logs"
    folder.mkdir(parents=True)
    (folder / "llm_requests.jsonl").write_bytes(line())
    packed = bytearray(gzip.compress(b"".join(line(number) for number in range(2, 400))))
    packed[len(packed) // 2 :] = b"\xff" * (len(packed) - len(packed) // 2)
    (folder / "llm_requests.20260101T000000Z-0001.jsonl.gz").write_bytes(packed)
    stats = get_stats(root=tmp_path, cache=False)
    assert stats.summary.total_requests >= 1
    assert not stats.quality.complete
    assert [finding.problem for finding in verify(tmp_path).findings] == []
