"""Roots in object storage: the figures of a fleet, what is fetched for them, and what is said of what is not there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import llm_logging
from llm_logging import NotFoundError, get_stats
from llm_logging.files.objects import FolderStore, ObjectStore, Stored, open_store
from llm_logging.maintenance.forget import forget
from llm_logging.maintenance.ship import Shipper, seal_all
from llm_logging.reader.piece_files import make_piece_file
from llm_logging.reader.segments import remote
from llm_logging.reader.segments.shipped import read_shipped
from tests.maintenance.fleet import in_a_child, log_pairs, log_requests, objects, one_root_of
from tests.object_stores import FaultyProxy, environment, s3_server

QUESTIONS = [
    {},
    {"group_by": "day", "time_zone": "Europe/Berlin"},
    {"group_by": ["day", "model"], "time_zone": "Europe/Berlin"},
    {"group_by": ["project", "user"]},
    {"group_by": "chat", "where": ["status=error"]},
    {"group_by": "tag"},
    {"group_by": "attributes.tenant"},
    {"where": ["attributes.tenant=n1"], "group_by": "model"},
    {"from_date": "2026-01-02", "to_date": "2026-01-02", "group_by": "hour"},
    {"group_by": "provider", "where": ["latency_ms>500"]},
    {"group_by": "week"},
    {"group_by": "month", "where": ["model~gpt*"]},
]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three hosts that logged and sealed everything."""
    roots = [tmp_path_factory.mktemp("host") / "root" for _ in range(3)]
    for host, root in enumerate(roots):
        in_a_child(lambda host=host, root=root: log_pairs(root, host, 60))
        seal_all(root)
    return roots


@pytest.fixture(scope="module", params=["folder", "s3"])
def store(
    request: pytest.FixtureRequest, fleet: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ObjectStore]:
    """A store that they shipped to."""
    if request.param == "folder":
        opened = open_store(f"file://{tmp_path_factory.mktemp('store')}")
        ship(fleet, opened)
        yield opened
        return
    with s3_server() as port, environment(f"http://127.0.0.1:{port}"):
        opened = open_store("s3://bucket/fleet")
        ship(fleet, opened)
        yield opened


def ship(roots: list[Path], store: ObjectStore, *, pieces: bool = True) -> None:
    for root in roots:
        assert Shipper(root, store, make_piece=make_piece_file if pieces else None).run().problems == []


def figures(stats: llm_logging.Stats) -> dict:
    told = stats.model_dump(mode="json")
    for name in ("hosts", "fresh_until", "gaps", "unclosed_writers"):
        told["quality"].pop(name)
    return told


@pytest.fixture(scope="module")
def local(fleet: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return one_root_of(fleet, tmp_path_factory.mktemp("local"))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that questions share."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize(
    ("question", "cache"), [*((one, True) for one in QUESTIONS), (QUESTIONS[2], False)], ids=str
)
def test_every_figure_is_that_of_one_local_root(
    store: ObjectStore, local: Path, question: dict, cache: bool, kept: Path
) -> None:
    wanted = get_stats(options=question, root=local, cache=cache, cache_dir=kept)
    for _ in range(2):
        found = get_stats(options=question, root=store.url, cache=cache, cache_dir=kept)
        assert figures(found) == figures(wanted)
        assert found.quality.complete
        assert found.quality.missing_lines == found.quality.waiting_lines == 0
        assert len(found.quality.hosts) == 3
        assert found.quality.fresh_until == min(host.fresh_until for host in found.quality.hosts)


def test_requests_events_search_and_short_forms_read_the_lines(store: ObjectStore, local: Path) -> None:
    for filters in ({}, {"where": ["status=error"]}):
        there = llm_logging.get_llm_request_logs(filters=filters, root=store.url, limit=50)
        here = llm_logging.get_llm_request_logs(filters=filters, root=local, limit=50)
        assert [entry.id for entry in there.entries] == [entry.id for entry in here.entries]
        assert there.entries[0] == here.entries[0]
    assert llm_logging.get_project_metrics("p1", root=store.url) == llm_logging.get_project_metrics(
        "p1", root=local
    )
    assert llm_logging.get_chat_metrics("p1", "c-1", root=store.url) == llm_logging.get_chat_metrics(
        "p1", "c-1", root=local
    )
    hits = llm_logging.search_logs("claude-sonnet", root=store.url, limit=7).hits
    assert len(hits) == 7
    with pytest.raises(NotFoundError, match="none of it|nothing of it"):
        llm_logging.get_project_metrics("absent", root=store.url)
    with pytest.raises(NotFoundError):
        llm_logging.get_chat_metrics("p1", "absent", root=store.url)


class Counting:
    """A store that counts what is asked of it."""

    def __init__(self, store: ObjectStore) -> None:
        self.store, self.url = store, store.url
        self.lists = 0
        self.gets: list[Stored] = []

    def list(self, prefix: str = "") -> Iterator[Stored]:
        self.lists += 1
        return self.store.list(prefix)

    def read(self, key: str) -> Iterator[bytes]:
        found = self.store.stat(key)
        assert found is not None
        self.gets.append(found)
        return self.store.read(key)


@pytest.fixture
def counting(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> Counting:
    counted = Counting(store)
    monkeypatch.setattr(remote, "open_store", lambda _url: counted)
    return counted


def test_a_question_lists_once_and_takes_columns_only_and_only_once(
    counting: Counting, tmp_path: Path
) -> None:
    get_stats(root=counting.url, cache_dir=tmp_path)
    assert counting.lists == 1
    assert not [one for one in counting.gets if one.key.endswith(".jsonl.gz")]
    taken = len(counting.gets)
    assert taken > 20
    get_stats(options={"group_by": "model"}, root=counting.url, cache_dir=tmp_path)
    assert (counting.lists, len(counting.gets)) == (2, taken)


def test_a_question_about_a_project_takes_nothing_of_others(counting: Counting, tmp_path: Path) -> None:
    get_stats({"type": "project", "project_id": "p1"}, root=counting.url, cache_dir=tmp_path)
    assert all("/projects/p1/" in one.key or one.key.endswith("state.json") for one in counting.gets)


def test_lines_are_taken_where_no_columns_of_this_version_are_there(
    fleet: list[Path], local: Path, tmp_path: Path
) -> None:
    store = open_store(tmp_path / "store")
    ship(fleet[:2], store)
    ship(fleet[2:], store, pieces=False)
    columns = list(objects(store, ".parquet"))
    for key in columns[:3]:
        # Of another version; cut; with a bit that flipped.
        path = tmp_path / "store" / key
        if key == columns[0]:
            path.rename(path.with_name(path.name.replace(path.name[-20:-8], "0" * 12)))
        elif key == columns[1]:
            path.write_bytes(path.read_bytes()[:-50])
        else:
            data = bytearray(path.read_bytes())
            data[len(data) // 3] ^= 4
            path.write_bytes(data)
    url = f"file://{tmp_path}/store"
    for _ in range(2):
        found = get_stats(options=QUESTIONS[2], root=url, cache_dir=tmp_path / "cache")
        assert figures(found) == figures(
            get_stats(options=QUESTIONS[2], root=local, cache_dir=tmp_path / "other")
        )


def test_columns_that_are_damaged_in_the_cache_are_an_error_once(fleet: list[Path], tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/store")
    ship(fleet[:1], store)
    asked = get_stats(options=QUESTIONS[2], root=store.url, cache_dir=tmp_path / "cache")
    (victim, *_) = (tmp_path / "cache").rglob("*.jsonl.parquet")
    victim.write_bytes(victim.read_bytes()[:-1])
    with pytest.raises(llm_logging.FileSystemError, match="ask again"):
        get_stats(options=QUESTIONS[3], root=store.url, cache_dir=tmp_path / "cache")
    assert (
        get_stats(options=QUESTIONS[2], root=store.url, cache_dir=tmp_path / "cache").summary == asked.summary
    )


def test_quality_counts_what_the_hosts_still_hold(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/store")
    waiting = {}
    for host, sealed in ((0, True), (1, False), (2, False)):
        root = tmp_path / f"host{host}"
        in_a_child(lambda root=root: log_requests(root, 50, max_bytes=4000 if host < 2 else 0))
        if sealed:
            seal_all(root)
        report = Shipper(root, store).run()
        waiting[report.host] = report.waiting_lines
    assert sorted(waiting.values())[0] == 0
    assert sorted(waiting.values())[2] == 50
    stats = get_stats(root=store.url, cache_dir=tmp_path / "cache")
    assert {host.host: host.waiting_lines for host in stats.quality.hosts} == waiting
    assert stats.quality.waiting_lines == 150 - stats.summary.total_requests == sum(waiting.values())
    assert (stats.quality.gaps, stats.quality.complete) == ([], False)
    assert stats.quality.fresh_until == min(host.fresh_until for host in stats.quality.hosts)
    # A project of which nothing is sealed yet has no figures, and is there.
    shutil.rmtree(tmp_path / "host0")
    other = tmp_path / "host3"
    in_a_child(lambda: log_requests(other, 3, project="young", max_bytes=0))
    Shipper(other, store).run()
    young = get_stats(
        {"type": "project", "project_id": "young"}, root=store.url, cache_dir=tmp_path / "cache"
    )
    assert (young.summary.total_requests, young.quality.waiting_lines) == (0, 3)


def test_pruning_a_host_loses_nothing_and_a_lost_object_is_a_gap(tmp_path: Path) -> None:
    root, store = tmp_path / "host", FolderStore(tmp_path / "store")
    url = f"file://{tmp_path}/store"
    in_a_child(lambda: log_requests(root, 100))
    seal_all(root)
    Shipper(root, store).run()
    from llm_logging.maintenance.retention import prune

    assert prune(root, max_bytes=0).removed
    Shipper(root, store).run()
    stats = get_stats(root=url, cache_dir=tmp_path / "cache")
    assert (stats.summary.total_requests, stats.quality.pruned_lines, stats.quality.complete) == (
        100,
        0,
        True,
    )
    keys = sorted(objects(store, ".jsonl.gz"))
    store.delete(keys[0])
    stats = get_stats(root=url, cache_dir=tmp_path / "cache")
    gone = 100 - stats.summary.total_requests
    assert gone > 0
    assert (stats.quality.pruned_lines, stats.quality.missing_lines) == (gone, 0)
    store.delete(keys[4])
    stats = get_stats(root=url, cache_dir=tmp_path / "cache")
    assert stats.quality.missing_lines == 100 - gone - stats.summary.total_requests > 0
    assert not stats.quality.complete


def test_what_was_forgotten_on_a_host_goes_from_the_copies(tmp_path: Path) -> None:
    root, store = tmp_path / "host", FolderStore(tmp_path / "store")
    url, cache = f"file://{tmp_path}/store", tmp_path / "cache"
    in_a_child(lambda: log_requests(root, 60))
    seal_all(root)
    Shipper(root, store, make_piece=make_piece_file).run()
    asked = {"group_by": "user"}
    assert len(get_stats(options=asked, root=url, cache_dir=cache).breakdown) == 3
    llm_logging.get_llm_request_logs(root=url, cache_dir=cache)
    forget(root, user_id="u-1", mode="remove")
    Shipper(root, store, make_piece=make_piece_file).run()
    stats = get_stats(options=asked, root=url, cache_dir=cache)
    assert [row.group["user"] for row in stats.breakdown] == ["u-0", "u-2"]
    assert stats.quality.complete
    assert stats.quality.pruned_lines == 20
    llm_logging.get_llm_request_logs(root=url, cache_dir=cache)
    kept = [path for path in (cache / "remote").rglob("*") if path.is_file() and b"u-1" in unpacked(path)]
    assert kept == []


def unpacked(path: Path) -> bytes:
    import gzip

    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data


def test_one_segment_under_two_hosts_counts_once(tmp_path: Path) -> None:
    root, twin, store = tmp_path / "host", tmp_path / "twin", FolderStore(tmp_path / "store")
    in_a_child(lambda: log_requests(root, 40))
    seal_all(root)
    shutil.copytree(root, twin)
    for one in (root, twin):
        Shipper(one, store).run()
    assert len({key.split("/")[1] for key in objects(store)}) == 2
    stats = get_stats(root=f"file://{tmp_path}/store", cache_dir=tmp_path / "cache")
    assert (stats.summary.total_requests, stats.quality.lines) == (40, 40)
    assert stats.quality.complete


def test_nothing_shipped_is_said_with_the_url(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"file:///.*nothing was|expected what llm-logging ship stored"):
        get_stats(root=f"file://{tmp_path}/nothing", cache_dir=tmp_path / "cache")


def test_the_environment_may_name_a_store(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LLM_LOGGING_ROOT", store.url)
    assert get_stats(cache_dir=tmp_path).summary.total_requests == 60 * 3 - 2 * 5
    with pytest.raises(llm_logging.ConfigurationError, match="expected a folder"):
        llm_logging.LLMFileHandler()


def test_a_network_that_fails_changes_no_figure(fleet: list[Path], local: Path, tmp_path: Path) -> None:
    with s3_server() as port, environment(f"http://127.0.0.1:{port}"):
        ship(fleet, open_store("s3://bucket/x"))
        proxy = FaultyProxy(port)
        with proxy.running() as endpoint, environment(endpoint):
            for _ in range(100):
                try:
                    found = get_stats(
                        options=QUESTIONS[2], root="s3://bucket/x", cache_dir=tmp_path / "cache"
                    )
                    break
                except llm_logging.FileSystemError:
                    continue
        assert sum(proxy.met.values()) > 5
    assert figures(found) == figures(
        get_stats(options=QUESTIONS[2], root=local, cache_dir=tmp_path / "other")
    )


def test_columns_are_a_parquet_file_that_anything_reads(fleet: list[Path], tmp_path: Path) -> None:
    import duckdb

    segment = next(path for path in sorted(fleet[0].rglob("llm_requests.2*.jsonl")))
    assert make_piece_file(segment, tmp_path / "x.parquet")
    piece = read_shipped(tmp_path / "x.parquet")
    assert piece is not None
    rows = duckdb.connect().execute(f"SELECT count(*) FROM '{tmp_path}/x.parquet'").fetchone()
    ids = {json.loads(line)["id"] for line in segment.read_bytes().splitlines()}
    assert rows == (len(ids),)
    assert piece.parsed.lines == segment.read_bytes().count(b"\n")
