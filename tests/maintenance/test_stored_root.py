"""Verify, prune and forget on what was shipped, after the hosts are gone."""

from __future__ import annotations

import gzip
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from llm_logging import NotFoundError, get_stats
from llm_logging.files.objects import FolderStore, open_store
from llm_logging.maintenance.manifest import read_manifest
from llm_logging.maintenance.retention import prune
from llm_logging.maintenance.ship import Shipper, seal_all
from llm_logging.maintenance.stored_root import forget_in_store, prune_store, verify_store
from llm_logging.reader.piece_files import make_piece_file
from tests.maintenance.fleet import in_a_child, lines_in, log_requests, objects

KEY = b"0123456789abcdef"


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    """What two hosts shipped, one of which pruned since; both are gone."""
    made = FolderStore(tmp_path / "store", f"file://{tmp_path}/store")
    for host in (0, 1):
        root = tmp_path / f"host{host}"
        in_a_child(lambda root=root, host=host: log_requests(root, 45, start=1000 * host, manifest_key=KEY))
        seal_all(root, key=KEY)
        Shipper(root, made, key=KEY, make_piece=make_piece_file).run()
        if host:
            prune(root, max_bytes=0, key=KEY)
            log_requests(root, 3, start=5000, manifest_key=KEY)
            Shipper(root, made, key=KEY).run()
        shutil.rmtree(root)
    return made


def test_what_was_shipped_verifies_without_its_hosts(store: FolderStore) -> None:
    report = verify_store(store, key=KEY)
    assert (report.ok, report.signed, len(report.logs)) == (True, True, 2)
    assert sum(log.sealed for log in report.logs) == len(objects(store, ".jsonl.gz"))
    assert all(log.head for log in report.logs)
    assert not verify_store(store, key=b"another key 0123").ok


@pytest.mark.parametrize(
    ("harm", "problem"),
    [
        (lambda path: path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(b"gpt-4o", b"gpt-4x", 1))), "changed"),
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), "changed"),
        (lambda path: path.write_bytes(b""), "changed"),
        (lambda path: path.unlink(), "removed"),
        (lambda path: shutil.copy(path, path.with_name(path.name.replace("-0003-", "-0002-").replace("Z-0001", "Z-0002"))), "inserted"),
        (lambda path: [one.write_bytes(one.read_bytes().replace(b'"lines":', b'"lines":1', 1)) for one in path.parent.glob("*.manifest")], "manifest"),
    ],
    ids=["changed", "cut", "empty", "removed", "inserted", "manifest"],
)  # fmt: skip
def test_what_was_changed_in_the_store_is_found(
    store: FolderStore, tmp_path: Path, harm, problem: str
) -> None:
    keys = sorted(objects(store, ".jsonl.gz"))
    victim = next(key for key in keys[2:] if key.split("/")[1] == keys[0].split("/")[1])
    harm(tmp_path / "store" / victim)
    report = verify_store(store)
    assert not report.ok
    assert {finding.problem for finding in report.findings} == {problem}


def test_pruning_the_store_deletes_the_oldest_and_is_no_gap(store: FolderStore, tmp_path: Path) -> None:
    before = objects(store, ".gz")
    sizes = sum(map(len, objects(store, ".gz").values())) + sum(map(len, objects(store, ".parquet").values()))
    dry = prune_store(store, max_bytes=sizes // 2, dry_run=True)
    assert objects(store, ".gz") == before
    report = prune_store(store, max_bytes=sizes // 2)
    assert report.removed == dry.removed
    assert report.kept_bytes <= sizes // 2
    assert set(objects(store, ".gz")) == set(before) - {str(path) for path, _ in report.removed}
    assert verify_store(store).ok
    stats = get_stats(root=store.url, cache_dir=tmp_path / "cache")
    assert stats.quality.gaps == []
    assert 0 < stats.summary.total_requests < 90
    assert stats.quality.waiting_lines == 3
    assert prune_store(store, older_than=timedelta(days=1)).removed == []
    prune_store(store, older_than=timedelta())
    assert objects(store, ".gz") == objects(store, ".parquet") == {}


def test_a_person_is_forgotten_in_the_store(store: FolderStore, tmp_path: Path) -> None:
    asked = {"group_by": "user"}
    before = get_stats(options=asked, root=store.url, cache_dir=tmp_path / "cache")
    content = objects(store)
    dry = forget_in_store(store, user_id="u-1", dry_run=True, manifest_key=KEY, make_piece=make_piece_file)
    assert objects(store) == content
    report = forget_in_store(store, user_id="u-1", manifest_key=KEY, make_piece=make_piece_file)
    assert report.lines == dry.lines == 30
    assert b'"u-1"' not in b"".join(lines_in(store))
    assert len(lines_in(store)) == 60
    assert b"u-1" not in b"".join(objects(store, ".parquet").values())
    assert len(objects(store, ".parquet")) == len(objects(store, ".jsonl.gz"))
    assert verify_store(store, key=KEY).ok
    after = get_stats(options=asked, root=store.url, cache_dir=tmp_path / "cache")
    assert [row.group["user"] for row in after.breakdown] == ["u-0", "u-2"]
    assert after.breakdown[0].total_tokens == before.breakdown[0].total_tokens
    assert (after.quality.gaps, after.quality.pruned_lines) == ([], 30)
    assert forget_in_store(store, user_id="u-1", manifest_key=KEY).lines == 0


def test_a_person_of_twins_with_one_host_id_is_forgotten_on_both(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    for number in range(2):
        root = tmp_path / f"twin{number}"
        log_requests(root, 20, start=100 * number, max_bytes=0)
        (root / ".ship").mkdir()
        (root / ".ship" / "host").write_text("e" * 32)
        (root / "projects/shop/logs/llm_requests.jsonl").rename(
            root / "projects/shop/logs/llm_requests.20260101T000000Z-0001.jsonl"
        )
        Shipper(root, store).run()
        assert len(read_manifest(root / "projects/shop/logs/llm_requests.jsonl")) == 2
    assert len(objects(store, ".gz")) == 2
    forget_in_store(store, user_id="u-2")
    assert b'"u-2"' not in b"".join(lines_in(store))
    assert len(lines_in(store)) == 40 - 13


@pytest.mark.parametrize(
    "action", [verify_store, prune_store, lambda store: forget_in_store(store, user_id="u")]
)
def test_nothing_shipped_is_said(tmp_path: Path, action) -> None:
    with pytest.raises(NotFoundError, match="expected what llm-logging ship stored"):
        action(open_store(tmp_path / "nothing"))
