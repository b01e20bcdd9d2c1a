"""The cache: never a wrong figure, whatever happens to the logs or to itself."""

from __future__ import annotations

import gzip
import json
import multiprocessing
import os
import shutil
import stat
from datetime import timedelta

import pytest

from llm_logging.files.segments import segment_name
from llm_logging.models.stats import StatsOptions
from llm_logging.reader.answer import group_figures as grouping
from llm_logging.reader.cache import store
from llm_logging.reader.segments import parquet as pieces
from llm_logging.reader.segments import piece_cache as load
from llm_logging.reader.segments import uncached as tails
from llm_logging.reader.stats import get_stats
from tests.reader.growing_log import START, Log, text


@pytest.fixture
def log(tmp_path):
    return Log(tmp_path)


@pytest.fixture
def spans(monkeypatch):
    """Collect what is parsed: the name of each file, and from which byte to which."""
    read = []
    original = pieces.span_lines

    def spy(span):
        read.append((span.file.raw.name.rsplit("/", 1)[-1], span.start, span.end))
        return original(span)

    for module in (tails, pieces):
        monkeypatch.setattr(module, "span_lines", spy)
    return read


def test_a_sealed_segment_is_parsed_once_in_its_life(log, spans):
    log.write(100)
    sealed = log.rotate()
    log.write(20)
    assert log.stats().summary.total_requests == 120
    assert sorted(name for name, _, _ in spans) == [sealed.name, "llm_requests.jsonl"]
    spans.clear()
    log.write(1)
    assert log.stats().summary.total_requests == 121
    assert [name for name, _, _ in spans] == ["llm_requests.jsonl"]


def test_also_when_it_is_compressed_later(log, spans):
    log.write(100)
    sealed = log.rotate()
    log.stats()
    with gzip.open(f"{sealed}.gz", "wb") as packed:
        packed.write(sealed.read_bytes())
    sealed.unlink()
    spans.clear()
    for zone in ("Asia/Tokyo", "Europe/Paris"):
        assert log.stats(where=[f"model!={zone}"]).summary.total_requests == 100
        assert spans == []


def test_a_segment_first_met_compressed_is_parsed_once(log, spans):
    log.write(50)
    sealed = log.rotate()
    with gzip.open(f"{sealed}.gz", "wb") as packed:
        packed.write(sealed.read_bytes())
    sealed.unlink()
    for zone in ("UTC", "Europe/Paris"):
        assert log.stats(where=[f"model!={zone}"]).summary.total_requests == 50
    assert [name for name, _, _ in spans] == [f"{sealed.name}.gz"]


def test_the_active_file_is_resumed_where_the_last_reading_ended(log, monkeypatch, spans):
    monkeypatch.setattr(load, "_WORTH", 1000)
    monkeypatch.setattr(load, "_WORTH_IN_ALL", 1000)
    log.write(50)
    size = log.active.stat().st_size
    assert log.stats().summary.total_requests == 50
    log.write(30)
    spans.clear()
    assert log.stats().summary.total_requests == 80
    assert spans == [("llm_requests.jsonl", size, log.active.stat().st_size)]
    log.rotate()
    spans.clear()
    log.write(1)
    assert log.stats().summary.total_requests == 81
    assert [start for _, start, _ in spans] == [0]


def test_a_torn_line_is_used_once_it_is_whole(log, monkeypatch):
    monkeypatch.setattr(load, "_WORTH", 1000)
    monkeypatch.setattr(load, "_WORTH_IN_ALL", 1000)
    log.write(50)
    line = text(51)
    with log.active.open("a") as file:
        file.write(line[:100])
    assert log.stats().summary.total_requests == 50
    with log.active.open("a") as file:
        file.write(line[100:])
    after = log.stats()
    assert after.summary.total_requests == 51
    assert after.quality.skipped_lines == 0


@pytest.mark.parametrize("change", ["edited", "cut", "replaced", "longer"])
def test_a_sealed_segment_that_changed_is_not_taken_from_the_cache(log, change):
    log.write(60)
    sealed = log.rotate()
    assert log.stats().summary.prompt_tokens == 600
    content = sealed.read_bytes()
    if change == "edited":
        status = sealed.stat()
        with sealed.open("r+b") as file:
            file.write(content.replace(b'"prompt_tokens": 10', b'"prompt_tokens": 20'))
        os.utime(sealed, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))
        expected = (60, 1200)
    elif change == "cut":
        with sealed.open("r+b") as file:
            file.truncate(len(content) // 2)
        expected = (content[: len(content) // 2].count(b"\n"),) * 1 + (
            content[: len(content) // 2].count(b"\n") * 10,
        )
    elif change == "replaced":
        sealed.unlink()
        sealed.write_text("".join(text(n) for n in range(1, 11)))
        expected = (10, 100)
    else:
        with sealed.open("a") as file:
            file.write(text(61))
        expected = (61, 610)
    summary = log.stats().summary
    assert (summary.total_requests, summary.prompt_tokens) == expected


def test_a_change_of_which_the_time_was_set_back_is_seen(log):
    log.write(400)
    sealed = log.rotate()
    for _ in range(2):
        assert log.stats(where=["model!=a"]).summary.prompt_tokens == 4000
    before = sealed.stat()
    content = sealed.read_bytes()
    middle = content.index(b'"prompt_tokens": 10', len(content) // 2)
    with sealed.open("r+b") as file:
        file.seek(middle)
        file.write(b'"prompt_tokens": 99')
    os.utime(sealed, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert log.stats(where=["model!=b"]).summary.prompt_tokens == 4089
    assert log.stats(where=["model!=a"]).summary.prompt_tokens == 4089


@pytest.mark.parametrize("rest", ["", "half a line"])
@pytest.mark.parametrize("back", [False, True], ids=["later", "set back"])
def test_an_active_file_that_changed_in_its_middle_is_read_again(back, rest, log, monkeypatch):
    monkeypatch.setattr(load, "_WORTH", 1000)
    log.write(400)
    with log.active.open("a") as file:
        file.write(text(401)[:100] if rest else "")
    assert log.stats().summary.prompt_tokens == 4000
    before, content = log.active.stat(), log.active.read_bytes()
    with log.active.open("r+b") as file:
        file.seek(content.index(b'"prompt_tokens": 10', len(content) // 2))
        file.write(b'"prompt_tokens": 99')
    if back:
        os.utime(log.active, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert log.stats(where=["model!=a"]).summary.prompt_tokens == 4089


def test_a_rewritten_segment_is_another(log):
    log.write(60)
    sealed = log.rotate()
    assert log.stats().summary.total_requests == 60
    lines = sealed.read_text().splitlines(keepends=True)
    sealed.with_name(segment_name("llm_requests", START + timedelta(minutes=2), 1, generation=1)).write_text(
        "".join(lines[:40])
    )
    assert log.stats().summary.total_requests == 40


@pytest.mark.parametrize("damage", ["cut", "garbage", "bit", "gone", "index", "hot", "rates", "all"])
def test_a_damaged_cache_is_made_again(log, damage):
    for _ in range(3):
        log.write(40)
        log.rotate()
    assert log.stats().summary.total_requests == 120
    files = [path for path in log.cache.rglob("*") if path.is_file()]
    for path in files:
        piece = path.suffix == ".parquet" and not path.name.startswith("hot-")
        if damage == "cut" and piece:
            path.write_bytes(path.read_bytes()[:100])
        elif damage == "garbage" and piece:
            path.write_bytes(b"\x00" * path.stat().st_size)
        elif damage == "bit" and piece:
            content = bytearray(path.read_bytes())
            # Somewhere in the values, where what reads Parquet does not see it.
            content[len(content) // 4] ^= 1
            path.write_bytes(content)
        elif damage == "gone" and piece:
            path.unlink()
        elif damage == "all" or path.name.startswith(
            {"index": "index", "hot": "hot-", "rates": "rates-"}.get(damage, "?")
        ):
            path.write_bytes(b"{nonsense")
    for zone in ("Europe/Paris", "Asia/Tokyo"):
        stats = log.stats(where=[f"model!={zone}"])
        assert stats.summary.total_requests == 120
        assert stats.summary.priced_requests == 120
    assert stats.quality.complete


def test_a_bit_that_flipped_is_seen_before_its_piece_is_used(log, spans):
    log.write(40)
    log.rotate()
    log.stats()
    (path,) = log.pieces().values()
    content = path.read_bytes()
    for place in range(0, len(content), 97):
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        spans.clear()
        assert log.stats(where=[f"model!={place}"]).summary.prompt_tokens == 400
        assert [name for name, _, _ in spans][:1] == [next(log.active.parent.glob("*-0001.jsonl")).name]
        path = next(iter(log.pieces().values()))


def clean(log):
    log.write(40)


def pending(log):
    for request in range(20):
        log.write(1, status="pending", request=request, usage=None)
        log.write(1, request=request)


def twice(log):
    log.write(20)
    log.write(2, request=7)


def others(log):
    log.write(20)
    with log.active.open("a") as file:
        file.write(json.dumps({"v": 1, "event_type": "cache_warmed", "message": ""}) + "\n")


def torn(log):
    log.write(20)
    with log.active.open("a") as file:
        file.write('{"v": 1, "event_ty\n')


def fraction(log):
    log.write(20)
    log.write(1, usage={"prompt_tokens": 7.9, "completion_tokens": 5, "total_tokens": 12.9})


def flat(log):
    log.write(20)
    with log.active.open("a") as file:
        entry = {"request_id": "r", "project_id": "shop", "model": "m", "prompt_tokens": 3, "latency_ms": 5}
        file.write(json.dumps(entry) + "\n")


@pytest.mark.parametrize("history", [clean, pending, twice, others, torn, fraction, flat])
def test_pieces_say_what_the_lines_say(log, history):
    history(log)
    log.rotate()
    log.write(1)
    plain = get_stats(root=log.root, cache=False)
    for zone in ("Asia/Tokyo", "Europe/Paris"):
        stats = log.stats(where=[f"model!={zone}"])
        assert stats.summary == plain.summary
        assert stats.quality == plain.quality


@pytest.mark.parametrize("history", [clean, pending])
def test_lines_that_need_no_second_look_make_no_table(log, monkeypatch, history):
    tables = []
    original = pieces.parse_file
    monkeypatch.setattr(pieces, "parse_file", lambda *given: tables.append(given) or original(*given))
    history(log)
    log.rotate()
    log.stats()
    assert len(tables) == (history is pending)


def test_another_shape_of_pieces_is_another_cache(log, monkeypatch, spans):
    log.write(40)
    log.rotate()
    log.stats()
    spans.clear()
    monkeypatch.setattr(store, "schema_tag", lambda: "another")
    assert log.stats(where=["model!=another"]).summary.total_requests == 40
    assert len(spans) == 1


def test_the_cache_is_for_its_owner_only(log):
    log.write(40)
    log.rotate()
    log.stats()
    for path in log.cache.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_nothing_is_written_beside_the_logs(log):
    log.write(40)
    log.rotate()
    before = sorted(log.root.rglob("*"))
    log.stats()
    assert sorted(log.root.rglob("*")) == before


def test_no_cache_writes_nothing_at_all(log):
    log.write(40)
    log.rotate()
    get_stats(root=log.root, cache=False, cache_dir=log.cache)
    assert not log.cache.exists()


def test_a_cache_folder_that_cannot_be_made_is_no_matter(log):
    log.write(40)
    log.rotate()
    log.cache.write_text("a file, not a folder")
    assert log.stats().summary.total_requests == 40


def test_the_cache_is_bounded(log, monkeypatch, tmp_path):
    other = Log(tmp_path / "other")
    other.cache = log.cache
    for one in (other, log):
        one.write(400)
        one.rotate()
    other.stats()
    assert len(other.pieces()) == 1
    monkeypatch.setenv("LLM_LOGGING_CACHE_MAX", "10")
    log.stats()
    assert len(log.pieces()) == 1


def test_an_answer_is_given_again_only_for_the_same_bytes(log, monkeypatch):
    log.write(40)
    log.rotate()
    first = log.stats()
    monkeypatch.setattr("llm_logging.reader.answer.session.connect", lambda: pytest.fail("asked again"))
    assert log.stats() == first
    monkeypatch.undo()
    log.write(1)
    assert log.stats().summary.total_requests == 41


def test_questions_with_the_same_filters_share_what_they_ask_of_all_requests(log, monkeypatch):
    log.write(40, timings={"latency_ms": 5.5})
    whole = log.stats(group_by="hour")
    sets = []
    rollup = grouping.rollup_sql
    monkeypatch.setattr(
        grouping, "rollup_sql", lambda *given, **more: sets.append(given[2]) or rollup(*given, **more)
    )
    found = log.stats(group_by="provider", time_zone="Asia/Tokyo")
    assert sets == [[("g0",)]]
    assert (found.summary, found.models, found.quality) == (whole.summary, whole.models, whole.quality)
    assert [(row.group, row.latency_ms) for row in found.breakdown] == [
        ({"provider": "openai"}, whole.summary.latency_ms)
    ]
    assert (found.group_by, found.period.time_zone) == (["provider"], "Asia/Tokyo")
    assert log.stats(group_by="provider", where=["user=nobody"]).summary.total_requests == 0


def test_a_filter_by_age_counts_from_each_asking(log):
    log.write(40)
    options = StatsOptions(where=["timestamp_start>=1h"])
    ask = {"root": log.root, "cache_dir": log.cache}
    for hours, expected in ((0.5, 40), (3, 0)):
        assert (
            get_stats(None, options, now=START + timedelta(hours=hours), **ask).summary.total_requests
            == expected
        )


def test_lines_of_a_request_in_two_segments_fold(log):
    log.write(1, status="pending", request=7, usage=None)
    log.write(5)
    log.rotate()
    log.write(1, request=7, usage={"prompt_tokens": 100, "completion_tokens": 1, "total_tokens": 101})
    log.rotate()
    for zone in ("UTC", "Europe/Paris"):
        stats = log.stats(where=[f"model!={zone}"])
        assert stats.summary.pending_requests == 0
        assert stats.summary.total_requests == 6
        assert stats.summary.prompt_tokens == 150
        assert stats.quality.folded_lines == 1


def _read(root, cache, results):
    stats = get_stats(root=root, cache_dir=cache)
    results.put((stats.summary.total_requests, stats.quality.complete))


def test_many_readers_build_at_once(log):
    for _ in range(4):
        log.write(200)
        log.rotate()
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    readers = [context.Process(target=_read, args=(log.root, log.cache, results)) for _ in range(3)]
    for reader in readers:
        reader.start()
    assert [results.get(timeout=120) for _ in readers] == [(800, True)] * 3
    for reader in readers:
        reader.join()


def test_a_read_only_root_is_read(log):
    log.write(30)
    log.rotate()
    folders = [log.root, *(path for path in log.root.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o500)
    try:
        assert log.stats().summary.total_requests == 30
    finally:
        for folder in folders:
            folder.chmod(0o700)
        shutil.rmtree(log.cache)
