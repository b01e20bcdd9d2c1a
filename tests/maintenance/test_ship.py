"""Ship to a folder: what is stored, under which keys, what the receipts say, and what retention deletes then."""

from __future__ import annotations

import gzip
import logging
import os
import re
import time
from datetime import timedelta
from pathlib import Path

import pytest

from llm_logging import LLMFileHandler, get_system_logs
from llm_logging.errors import ConfigurationError, FileSystemError
from llm_logging.files.objects import FolderStore
from llm_logging.files.segments import list_segments
from llm_logging.maintenance.forget import forget
from llm_logging.maintenance.manifest import read_manifest
from llm_logging.maintenance.receipts import destinations, host_id, stop_shipping
from llm_logging.maintenance.retention import Retention, apply_retention, prune
from llm_logging.maintenance.ship import Shipper, seal_all
from llm_logging.maintenance.verify import verify
from tests.maintenance.fleet import (
    assert_shipped_once,
    lines_in,
    lines_on_disk,
    log_requests,
    objects,
    state_of,
)

ACTIVE = "projects/shop/logs/llm_requests.jsonl"


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


def test_each_segment_is_stored_once_under_a_key_that_says_host_log_and_content(
    root: Path, store: FolderStore
) -> None:
    log_requests(root, 60)
    first = Shipper(root, store).run()
    assert len(first.shipped) >= 5
    assert all(shipped.stored for shipped in first.shipped)
    for key in objects(store, ".jsonl.gz"):
        assert re.fullmatch(
            rf"hosts/{host_id(root)}/projects/shop/logs/llm_requests\.\d{{8}}T\d{{6}}Z-\d{{4}}-[0-9a-f]{{12}}\.jsonl\.gz",
            key,
        )
    assert_shipped_once(root, store)
    before = objects(store, ".gz")
    assert Shipper(root, store).run().shipped == []
    assert objects(store, ".gz") == before
    assert verify(root).ok


@pytest.mark.parametrize("packing", [None, "gz"])
def test_plain_and_compressed_segments_have_the_same_keys(
    root: Path, store: FolderStore, packing: str | None
) -> None:
    log_requests(root, 40, compress=packing)
    Shipper(root, store).run()
    assert_shipped_once(root, store)
    assert {key[-9:] for key in objects(store) if "Z-" in key} == {".jsonl.gz"}


def test_every_kind_of_log_is_shipped(root: Path, store: FolderStore) -> None:
    log_requests(root, 10)
    log_requests(root, 10, project="../other", start=10)
    logger = logging.getLogger("ship.kinds")
    handler = LLMFileHandler(root)
    logger.addHandler(handler)
    logger.propagate = False
    logger.warning("started")
    logger.removeHandler(handler)
    handler.close()
    seal_all(root)
    report = Shipper(root, store).run()
    assert (report.waiting_lines, report.waiting_bytes) == (0, 0)
    assert_shipped_once(root, store)
    assert any("/logs/system." in key for key in objects(store, ".jsonl.gz"))


def test_the_state_counts_what_waits_and_says_up_to_when_all_is_there(root: Path, store: FolderStore) -> None:
    log_requests(root, 60)
    report = Shipper(root, store).run()
    active = (root / ACTIVE).read_bytes()
    assert (report.waiting_lines, report.waiting_bytes) == (active.count(b"\n"), len(active))
    state = state_of(store)
    assert [list(state["writers"][ACTIVE].values()), state["waiting_lines"]] == [[60], report.waiting_lines]
    first_waiting = re.search(rb'"timestamp":"([^"]+)"', active)
    assert first_waiting is not None
    assert state["fresh_until"] == report.fresh_until == first_waiting[1].decode()
    begun = time.time()
    seal_all(root)
    report = Shipper(root, store).run()
    assert report.waiting_lines == 0
    assert report.fresh_until >= time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(begun - 1))
    assert_shipped_once(root, store)


def test_lines_that_a_killed_process_left_in_its_buffer_are_waiting(root: Path, store: FolderStore) -> None:
    child = os.fork()
    if not child:
        logger = logging.getLogger("ship.killed")
        logger.propagate = False
        logger.addHandler(LLMFileHandler(root, flush_interval=60.0))
        for number in range(7):
            logger.warning("m%d", number)
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    report = Shipper(root, store).run()
    assert report.waiting_lines == 7
    assert [list(last.values()) for last in state_of(store)["writers"].values()] == [[7]]


def test_a_changed_segment_is_not_shipped_and_said(root: Path, store: FolderStore) -> None:
    log_requests(root, 60)
    victim = next(segment.path for segment in list_segments(root / ACTIVE))
    data = victim.read_bytes()
    victim.write_bytes(data.replace(b"gpt-4o", b"gpt-4x", 1))
    report = Shipper(root, store).run()
    assert len(report.problems) == 1
    assert victim.name in report.problems[0]
    assert not any(victim.stem in key for key in objects(store))
    victim.write_bytes(data)
    assert Shipper(root, store).run().problems == []
    assert_shipped_once(root, store)


def test_an_object_with_other_content_than_its_name_says_is_stored_again(
    root: Path, store: FolderStore
) -> None:
    log_requests(root, 30)
    Shipper(root, store).run()
    wanted = objects(store, ".gz")
    (root / ACTIVE).with_name("llm_requests.manifest").unlink()
    victims = list(wanted)
    for key, broken in zip(
        victims, (b"", b"\x1f\x8b", wanted[victims[0]][:-9], gzip.compress(b"other")), strict=False
    ):
        (Path(store.url) / key).write_bytes(broken)
    Shipper(root, store).run()
    assert objects(store, ".gz").keys() == wanted.keys()
    assert sorted(lines_in(store)) == sorted(lines_on_disk(root))


def test_two_roots_with_one_host_id_overwrite_nothing(tmp_path: Path, store: FolderStore) -> None:
    roots = [tmp_path / "one", tmp_path / "two"]
    for number, one in enumerate(roots):
        log_requests(one, 40, start=100 * number)
        (one / ".ship").mkdir()
        (one / ".ship" / "host").write_text("f" * 32)
        os.utime(one)
        Shipper(one, store).run()
    assert sorted(lines_in(store)) == sorted(line for one in roots for line in lines_on_disk(one))


def test_retention_deletes_only_what_has_arrived(root: Path, store: FolderStore) -> None:
    log_requests(root, 60)
    sealed = [segment.path for segment in list_segments(root / ACTIVE) if not segment.active]
    Shipper(root, store).register()
    apply_retention(root / ACTIVE, Retention(backup_count=1), root=root)
    assert all(path.exists() for path in sealed)
    report = prune(root, older_than=timedelta(), max_bytes=0)
    assert [report.removed, sorted(set(report.unshipped))] == [[], sealed]
    Shipper(root, store).run()
    log_requests(root, 20, start=60)
    (root / ACTIVE).touch()
    fresh = {segment.path for segment in list_segments(root / ACTIVE) if not segment.active} - set(sealed)
    apply_retention(root / ACTIVE, Retention(max_total_bytes=1), root=root)
    assert not any(path.exists() for path in sealed)
    assert all(path.exists() for path in fresh)
    assert len(fresh) >= 1
    assert stop_shipping(root, store.url)
    assert destinations(root) == []
    prune(root, older_than=timedelta(), max_bytes=0)
    assert not any(path.exists() for path in fresh)


def test_retention_waits_for_every_store(root: Path, tmp_path: Path) -> None:
    log_requests(root, 30)
    first, second = FolderStore(tmp_path / "a"), FolderStore(tmp_path / "b")
    Shipper(root, first).run()
    Shipper(root, second).register()
    assert prune(root, max_bytes=0).removed == []
    Shipper(root, second).run()
    assert prune(root, max_bytes=0).removed
    assert lines_in(first) == lines_in(second)


def test_a_forgotten_person_is_gone_from_the_store_after_the_next_pass(
    root: Path, store: FolderStore
) -> None:
    log_requests(root, 60)
    Shipper(
        root,
        store,
        make_piece=lambda segment, target: target.write_bytes(segment.read_bytes()) and ".parquet",
    ).run()
    assert any(b'"u-1"' in line for line in lines_in(store))
    for _ in range(2):
        # Twice: the second generation replaces one that was never shipped.
        forget(root, user_id="u-1", mode="remove")
        forget(root, user_id="u-2", mode="remove")
    report = Shipper(root, store).run()
    assert report.withdrawn
    everything = b"".join(
        gzip.decompress(data) if key.endswith(".gz") else data for key, data in objects(store).items()
    )
    assert b'"u-1"' not in everything
    assert b'"u-2"' not in everything
    assert b'"u-0"' in everything
    assert sorted(lines_in(store)) == sorted(lines_on_disk(root))
    assert Shipper(root, store).run().withdrawn == []
    assert verify(root).ok


def test_a_store_that_refuses_is_an_error_and_no_receipt(root: Path, store: FolderStore) -> None:
    log_requests(root, 30)

    class Full(FolderStore):
        def put_if_absent(self, key: str, source: Path) -> bool:
            raise FileSystemError("no room")

    with pytest.raises(FileSystemError, match="no room"):
        Shipper(root, Full(Path(store.url))).run()
    assert not [entry for entry in read_manifest(root / ACTIVE) if entry.action == "shipped"]
    Shipper(root, store).run()
    assert_shipped_once(root, store)


def test_a_handler_ships_in_its_housekeeping_thread(root: Path, store: FolderStore) -> None:
    log_requests(root, 120, ship=store.url, backup_count=1, compress="gz", flush_timeout=30.0)
    shipped = [e.segment for e in read_manifest(root / ACTIVE) if e.action == "shipped"]
    sealed = [e.segment for e in read_manifest(root / ACTIVE) if e.action == "sealed"]
    assert len(sealed) > 10
    assert sorted(set(shipped)) == sorted(shipped) == sorted(sealed)
    assert len(lines_in(store)) + (root / ACTIVE).read_bytes().count(b"\n") == 120
    assert len([segment for segment in list_segments(root / ACTIVE) if not segment.active]) == 1


def test_a_handler_whose_store_is_away_keeps_every_segment_and_says_so_once(
    root: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    log_requests(root, 120, ship=str(tmp_path / "file" / "store"), backup_count=1)
    (said,) = [event for event in get_system_logs(root=root).entries if event.event_type == "ship_failed"]
    assert "segments stay on this disk" in str(said.message)
    entries = read_manifest(root / ACTIVE)
    assert {entry.action for entry in entries} == {"sealed"}
    assert len([segment for segment in list_segments(root / ACTIVE) if not segment.active]) == len(entries)


@pytest.mark.parametrize("ship", ["", 7, "http://host/x", "s3://", True])
def test_what_is_no_store_is_refused_when_the_handler_is_made(root: Path, ship: object) -> None:
    with pytest.raises(ConfigurationError, match="ship"):
        LLMFileHandler(root, ship=ship)
    with pytest.raises(ConfigurationError, match="root="):
        LLMFileHandler(filename=str(root / "a.jsonl"), ship=str(root))
