"""Kept sums: the same answer as from all lines, however the logs grew since, and whatever happened to what is kept."""

from __future__ import annotations

import json
import os
import tempfile
import threading
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_logging.files.segments import segment_name
from llm_logging.models.stats import StatsOptions, StatsScope
from llm_logging.reader.answer import partial_sums as sums
from llm_logging.reader.segments import index as cache_module
from llm_logging.reader.segments import piece_cache as load
from llm_logging.reader.stats import get_stats
from tests.reader.growing_log import START, Log
from tests.reader.histories import MOMENTS, NOW, histories


@pytest.fixture
def log(tmp_path):
    return Log(tmp_path)


@pytest.fixture(autouse=True)
def worth(monkeypatch):
    """Let few lines be worth pieces and sums."""
    for patch in small_scale():
        patch.start()
    yield
    mock.patch.stopall()


def small_scale():
    return [
        mock.patch.multiple(load, _WORTH=1, _WORTH_IN_ALL=1),
        mock.patch.multiple(sums, _WORTH=1),
    ]


@pytest.fixture
def taken(monkeypatch):
    """Collect of each answer how many pieces it took from what is kept, and of how many groups the percentiles."""
    found = []

    def spy(kind):
        make, spreads = kind.make, kind.spreads

        def spy_make(self, table):
            make(self, table)
            found.append([len(getattr(self, "_known", ())), 0])

        def spy_spreads(self, by, groups):
            known = spreads(self, by, groups)
            found[-1][1] = len(known)
            return known

        monkeypatch.setattr(kind, "make", spy_make)
        monkeypatch.setattr(kind, "spreads", spy_spreads)

    spy(sums.Sums)
    spy(sums.KeptSums)
    return found


def plain(log, now=None, **options):
    return get_stats(
        StatsScope(type="project", project_id="shop"),
        StatsOptions(**options),
        root=log.root,
        cache=False,
        now=now,
    )


def test_what_was_summed_is_not_summed_again(log, taken):
    log.write(40)
    log.rotate()
    assert log.stats(group_by="hour") == plain(log, group_by="hour")
    log.write(5)
    assert log.stats(group_by="hour") == plain(log, group_by="hour")
    assert [pieces for pieces, _ in taken[::2]] == [0, 1]


def test_percentiles_of_groups_that_nothing_new_is_in_are_kept(log, taken):
    log.write(40)
    log.rotate()
    log.seq += 7200
    log.write(10)
    options = {"group_by": ["hour", "model"]}
    assert log.stats(**options) == plain(log, **options)
    log.write(5)
    log.seq += 7200
    log.write(5)
    assert log.stats(**options) == plain(log, **options)
    assert taken[::2] == [[0, 0], [2, 1]]


def test_a_segment_that_changed_is_summed_again(log, taken):
    log.write(40)
    sealed = log.rotate()
    log.stats(group_by="hour")
    lines = sealed.read_bytes().replace(b'"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15',
                                        b'"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16')  # fmt: skip
    sealed.write_bytes(lines)
    assert log.stats(group_by="hour") == plain(log, group_by="hour")
    assert [pieces for pieces, _ in taken[::2]] == [0, 0]


def test_a_line_that_joins_another_of_a_settled_piece_changes_its_sums(log, taken):
    log.write(40)
    log.rotate()
    log.stats(group_by="hour")
    log.write(1, request=7, usage={"prompt_tokens": 99, "completion_tokens": 1, "total_tokens": 100})
    assert log.stats(group_by="hour") == plain(log, group_by="hour")
    assert log.stats(group_by="hour").summary.prompt_tokens == 39 * 10 + 99
    assert taken[1][0] == 0


def test_the_last_file_is_not_settled_where_requests_go_on_from_one_to_the_next(log, taken):
    log.write(20)
    log.rotate()
    for request in (100, 101):
        log.write(1, request=request, status="pending", usage=None)
    log.rotate()
    log.write(1, request=100)
    log.write(10)
    log.stats(group_by="hour")
    log.write(1, request=101)
    assert log.stats(group_by="hour") == plain(log, group_by="hour")
    log.write(1)
    log.stats(group_by="hour")
    assert [pieces for pieces, _ in taken if pieces] == [2]


def test_a_request_that_may_still_run_is_not_kept_as_running(log, taken):
    log.write(40)
    log.write(1, status="pending", usage=None, request=500)
    log.rotate()
    for hours, running in ((0, 1), (0.5, 1), (2, 0), (3, 0), (0.25, 1)):
        now = START + timedelta(hours=hours)
        stats = get_stats(
            StatsScope(type="project", project_id="shop"), StatsOptions(group_by="hour"), root=log.root,
            cache_dir=log.cache, now=now,
        )  # fmt: skip
        assert stats == plain(log, now, group_by="hour")
        assert (stats.summary.running_requests, stats.summary.pending_requests) == (running, 1)
    assert [pieces for pieces, _ in taken[::2]] == [0, 0, 0, 1, 0]


@pytest.mark.parametrize(
    "damage", ["rows gone", "rows cut", "rows changed", "note cut", "note of another shape"]
)
def test_what_is_damaged_is_made_again(log, damage, taken):
    log.write(40)
    log.rotate()
    log.stats(group_by="hour")
    (rows,) = log.cache.rglob("sums-*.parquet")
    (note,) = log.cache.rglob("sums-*.json")
    match damage:
        case "rows gone":
            rows.unlink()
        case "rows cut":
            rows.write_bytes(rows.read_bytes()[:100])
        case "rows changed":
            content = bytearray(rows.read_bytes())
            content[len(content) // 2] ^= 1
            rows.write_bytes(bytes(content))
        case "note cut":
            note.write_bytes(note.read_bytes()[:50])
        case _:
            content = {"note": [1], "rows": rows.name, "digest": cache_module.digest_of(rows)}
            cache_module.write_file(note, json.dumps(content).encode())
    log.write(1)
    assert log.stats(group_by="hour") == plain(log, group_by="hour")
    assert [pieces for pieces, _ in taken[::2]] == [0, 0]


def test_what_vanishes_while_it_is_used_is_read_from_the_lines(log, monkeypatch):
    log.write(40)
    log.rotate()
    log.stats(group_by="hour")
    log.write(1)
    find = sums.KeptSums._find

    def vanishing(self):
        find(self)
        assert self._rows is not None
        self._rows.unlink()

    monkeypatch.setattr(sums.KeptSums, "_find", vanishing)
    assert log.stats(group_by="hour") == plain(log, group_by="hour")


def test_threads_may_ask_at_once(log):
    wrong = []

    def ask(expected):
        try:
            found = log.stats(group_by=["hour", "model"]).summary.total_requests
            wrong.extend([] if found == expected else [found])
        except Exception as error:  # noqa: BLE001  a thread's error would be lost
            wrong.append(repr(error))

    for _ in range(4):
        log.write(2000)
        log.rotate()
        log.write(10)
        threads = [threading.Thread(target=ask, args=(log.seq,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_totals_beyond_64_bits_are_kept_exactly(log, taken):
    most = 2**53
    usage = {"prompt_tokens": most, "completion_tokens": 1, "total_tokens": most + 1}
    for turn in range(1, 4):
        log.write(1500, usage=usage, model="mystery")
        log.rotate()
        log.write(1)
        assert log.stats(group_by="hour").summary.prompt_tokens == turn * (1500 * most + 10)
    assert [pieces for pieces, _ in taken] == [0, 2, 4]


def test_amounts_that_no_number_holds_are_not_kept(log, taken):
    log.write(200, cost={"amount": "1000000000", "currency": "USD"})
    log.rotate()
    for turn in range(2):
        log.write(1)
        assert log.stats(group_by="hour", where=[f"model!={turn}"]).summary.reported_cost == "200000000000"
    log.write(200_000, cost={"amount": "1000000000", "currency": "USD"})
    log.rotate()
    for _ in range(2):
        assert log.stats(group_by="hour").summary.reported_cost == "200200000000000"
        log.write(1)
    assert [pieces for pieces, _ in taken] == [0, 0, 0, 0]


QUESTIONS = (
    {"group_by": ["day", "model"], "time_zone": "Europe/Berlin"},
    {"group_by": ["hour"]},
    {"group_by": ["model", "status"]},
    {"group_by": ["tag", "week"]},
    {"group_by": ["chat", "month"], "where": ["status!=error"]},
    {"from_date": MOMENTS[4], "group_by": ["day"]},
    {"where": ["latency_ms>1000"], "group_by": ["day"]},
)


@settings(
    max_examples=int(os.environ.get("LLM_LOGGING_EXAMPLES", "12")), deadline=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(histories(), st.data())
def test_however_a_log_grows_its_kept_sums_say_what_its_lines_say(history, data):
    lines = [json.dumps(one["line"]) + "\n" for one in history[0]]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        for patch in small_scale():
            stack.enter_context(patch)
        root = Path(folder) / "logs"
        active = root / "projects" / "shop" / "logs" / "llm_requests.jsonl"
        active.parent.mkdir(parents=True)
        options = StatsOptions(**data.draw(st.sampled_from(QUESTIONS)))
        sealed = []
        while True:
            step = data.draw(st.integers(1, 8))
            with active.open("a") as file:
                file.writelines(lines[:step])
            lines = lines[step:]
            match data.draw(st.sampled_from(["grow", "grow", "rotate", "rotate", "prune"])):
                case "rotate":
                    sealed.append(
                        active.with_name(
                            segment_name("llm_requests", NOW + timedelta(minutes=len(sealed)), 1)
                        )
                    )
                    active.rename(sealed[-1])
                case "prune" if sealed:
                    sealed.pop(data.draw(st.integers(0, len(sealed) - 1))).unlink()
            now = NOW + timedelta(hours=data.draw(st.integers(-2, 2)))
            scope = StatsScope(type="project", project_id="shop")
            stats = get_stats(scope, options, root=root, now=now, cache_dir=Path(folder) / "cache")
            assert stats == get_stats(scope, options, root=root, now=now, cache=False)
            if not lines:
                break
