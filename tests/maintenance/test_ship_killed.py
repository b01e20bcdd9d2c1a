"""Shippers that are killed at every step, and two at once: nothing is lost, nothing is stored twice, every receipt is true."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from llm_logging.files.objects import FolderStore
from llm_logging.maintenance.manifest import read_manifest
from llm_logging.maintenance.retention import prune
from llm_logging.maintenance.ship import Shipper
from llm_logging.maintenance.verify import verify
from tests.maintenance.fleet import assert_shipped_once, lines_in, log_requests, objects

STEPS = {
    "open",
    "os.rename",
    "os.remove",
    "os.mkdir",
    "os.truncate",
    "os.chmod",
    "os.link",
    "tempfile.mkstemp",
}
ACTIVE = "projects/shop/logs/llm_requests.jsonl"


def in_a_process(root: Path, store: FolderStore, *, step: int | None = None) -> int:
    """Ship in a process of its own, which is killed before its n-th step on a disk; return its id."""
    child = os.fork()
    if child:
        return child
    left = [step if step is not None else 1 << 30]

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in STEPS and any(str(root.parent) in str(part) for part in arguments):
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    try:
        Shipper(root, store, make_piece=piece).run()
    except BaseException as error:
        sys.stderr.write(f"{error!r}\n")
        os._exit(1)
    os._exit(0)


def piece(segment: Path, target: Path) -> str:
    target.write_bytes(b"columns of " + segment.read_bytes()[:40])
    return ".columns.parquet"


def was_killed(child: int) -> bool:
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def assert_receipts_are_true(root: Path, store: FolderStore) -> None:
    there = objects(store, ".jsonl.gz")
    assert all(entry.object in there for entry in read_manifest(root / ACTIVE) if entry.action == "shipped")
    assert verify(root).ok


def test_killed_at_every_step_nothing_is_lost_and_nothing_is_there_twice(tmp_path: Path) -> None:
    root, store = tmp_path / "root", FolderStore(tmp_path / "store")
    log_requests(root, 20)
    step = 0
    # Each run begins where the killed ones left it, and gets one step further or less far.
    while was_killed(in_a_process(root, store, step=step)):
        assert_receipts_are_true(root, store)
        step += 1
        if step % 7 == 0:
            log_requests(root, 5, start=1000 * step)
        assert step < 500
    assert step > 20
    Shipper(root, store, make_piece=piece).run()
    assert_shipped_once(root, store)
    assert len(objects(store, ".parquet")) == len(objects(store, ".jsonl.gz"))
    assert len(objects(store, ".manifest")) <= 1 + step // 7


@pytest.mark.slow
def test_a_thousand_kills_at_the_first_pass(tmp_path: Path) -> None:
    killed = step = 0
    turn = 0
    while killed < 1000:
        root, store = tmp_path / f"root{turn}", FolderStore(tmp_path / f"store{turn}")
        log_requests(root, 30)
        for step in range(turn, 120, 3):
            killed += was_killed(in_a_process(root, store, step=step))
            assert_receipts_are_true(root, store)
        Shipper(root, store, make_piece=piece).run()
        assert_shipped_once(root, store)
        turn += 1


@pytest.mark.parametrize("killed", [False, True])
def test_two_shippers_at_once_store_each_segment_once(tmp_path: Path, killed: bool) -> None:
    root, store = tmp_path / "root", FolderStore(tmp_path / "store")
    for turn in range(4):
        log_requests(root, 40, start=100 * turn)
        children = [
            in_a_process(root, store, step=30 + turn if killed and not number else None)
            for number in range(3)
        ]
        for child in children:
            was_killed(child)
        assert_receipts_are_true(root, store)
    Shipper(root, store, make_piece=piece).run()
    assert_shipped_once(root, store)


def test_pruning_while_shipping_deletes_nothing_that_has_not_arrived(tmp_path: Path) -> None:
    root, store = tmp_path / "root", FolderStore(tmp_path / "store")
    root.mkdir()
    Shipper(root, store).register()
    written = 0
    for turn in range(6):
        log_requests(root, 40, start=40 * turn)
        written += 40
        child = in_a_process(root, store)
        prune(root, max_bytes=0)
        was_killed(child)
    prune(root, max_bytes=0)
    Shipper(root, store).run()
    waiting = (root / ACTIVE).read_bytes().count(b"\n")
    assert len(lines_in(store)) + waiting == written
    assert len(set(lines_in(store))) + waiting == written
