"""What follows a rotation: compressed, pruned, told to the user's callback; and what a handler of many files keeps open."""

from __future__ import annotations

import gzip
import os
import threading
import time
from pathlib import Path

import pytest

from llm_logging import LLMFileHandler
from llm_logging.files import compression
from llm_logging.files.segments import list_segments
from llm_logging.handler.writing.housekeeping import Housekeeper
from llm_logging.maintenance import manifest_notes as sealing
from llm_logging.maintenance import retention
from llm_logging.maintenance.manifest import read_manifest
from llm_logging.maintenance.retention import Retention
from tests.processes import assert_once, lines, messages


def test_segments_are_compressed_and_counted_and_the_callback_gets_each(root, isolated):
    rotated: list[Path] = []
    handler = LLMFileHandler(
        root, max_bytes=2000, compress="gz", backup_count=3, on_rotate=rotated.append, flush_interval=0.0
    )
    log = isolated(handler)
    for n in range(200):
        log.info("m%d", n)
    handler.close()
    kept = sorted((root / "logs").glob("*.gz"))
    assert len(kept) == 3
    assert len(rotated) > 3
    assert [path.name for path in rotated[-3:]] == [path.name for path in kept]
    found = messages(root)
    assert found == [f"m{n}" for n in range(200 - len(found), 200)]
    assert all(len(gzip.decompress(path.read_bytes())) <= 2000 for path in kept)


def test_a_callback_that_raises_is_said_and_ends_nothing(root, isolated):
    def refuse(_):
        raise ValueError

    handler = LLMFileHandler(root, max_bytes=1500, on_rotate=refuse, flush_interval=0.0)
    log = isolated(handler)
    for n in range(60):
        log.info("m%d", n)
    handler.close()
    handler.close()
    assert_once(root, [f"m{n}" for n in range(60)])
    assert "on_rotate_failed" in {line["event_type"] for line in lines(root)}


def test_finishing_waits_for_what_is_being_done(tmp_path):
    done = []
    housekeeper = Housekeeper(
        None,
        compression=None,
        retention=Retention(),
        on_rotate=lambda path: (time.sleep(0.02), done.append(path)),
        key=None,
        notice=lambda *_: None,
    )
    active = tmp_path / "a.jsonl"
    for turn in range(5):
        for n in range(4):
            segment = tmp_path / f"a.20260115T10300{turn}Z-000{n + 1}.jsonl"
            segment.write_bytes(b"{}\n")
            housekeeper.sealed(active, segment)
        assert housekeeper.finish(10)
        assert len(done) == 4 * (turn + 1)
    assert housekeeper.stop(5)
    assert housekeeper._thread is None


def test_two_thousand_projects_with_few_files_open_lose_nothing(root, isolated):
    handler = LLMFileHandler(root, max_open_files=16, overflow_wait=60)
    log = isolated(handler)
    before = len(os.listdir("/proc/self/fd"))
    highest = 0
    for n in range(4000):
        log.info("m%d", n, extra={"project_id": f"p{n % 2000}"})
        if n % 500 == 499:
            handler.flush()
            highest = max(highest, len(os.listdir("/proc/self/fd")))
    handler.flush()
    stats = handler.stats()
    handler.close()
    assert highest - before <= 2 * 16 + 8
    assert (stats["accepted"], stats["written"], stats["dropped"], stats["buffered_bytes"]) == (
        4000,
        4000,
        0,
        0,
    )
    assert_once(root, [f"m{n}" for n in range(4000)])


@pytest.mark.parametrize("spool", ["auto", "off"])
def test_the_counts_are_true(root, isolated, spool):
    handler = LLMFileHandler(root, spool=spool, flush_interval=30)
    log = isolated(handler)
    for n in range(10):
        log.info("m%d", n)
    assert handler.stats()["buffered_bytes"] > 0
    handler.flush()
    stats = handler.stats()
    assert (stats["accepted"], stats["written"], stats["buffered_bytes"]) == (10, 10, 0)
    assert stats["flushes"] >= 1
    assert stats["flush_seconds"] >= stats["longest_flush_seconds"] >= stats["last_flush_seconds"] > 0
    assert stats["spool"] == ("ring" if spool == "auto" else "memory")
    handler.close()


def test_segments_that_wait_are_cared_for_together(tmp_path, monkeypatch):
    """Each step after a rotation reads the folder, so its cost must not grow with the square of the segments."""
    listings, said, hold = [], [], threading.Event()

    def listed(*args, **options):
        listings.append(args)
        hold.wait(10)
        return list_segments(*args, **options)

    for module in (sealing, retention, compression):
        monkeypatch.setattr(module, "list_segments", listed)
    housekeeper = Housekeeper(
        None,
        compression="gz",
        retention=Retention(backup_count=30),
        on_rotate=None,
        key=None,
        notice=lambda *what: said.append(what),
    )
    other, active = tmp_path / "b.jsonl", tmp_path / "a.jsonl"
    names = [f"a.20260115T103000Z-{n:04d}.jsonl" for n in range(1, 41)]
    for name in ["b.20260115T103000Z-0001.jsonl", *names[:20], "b.20260115T103001Z-0001.jsonl", *names[20:]]:
        (tmp_path / name).write_bytes(b'{"n":1}\n')
        housekeeper.sealed(active if name[0] == "a" else other, tmp_path / name)
    hold.set()
    assert housekeeper.stop(30)
    assert said == []
    assert len(listings) <= 4 * 3
    assert sorted(path.name for path in tmp_path.glob("a.2*")) == [f"{name}.gz" for name in names[10:]]
    assert [entry.segment for entry in read_manifest(active) if entry.action == "sealed"] == names


def test_a_callback_gets_every_segment_before_it_may_be_pruned(tmp_path):
    there = []
    housekeeper = Housekeeper(
        None,
        compression="gz",
        retention=Retention(backup_count=1),
        on_rotate=lambda path: (time.sleep(0.02), there.append((path.name, path.exists()))),
        key=None,
        notice=lambda *_: None,
    )
    names = [f"a.20260115T103000Z-000{n}.jsonl" for n in range(1, 6)]
    for name in names:
        (tmp_path / name).write_bytes(b'{"n":1}\n')
        housekeeper.sealed(tmp_path / "a.jsonl", tmp_path / name)
    assert housekeeper.stop(30)
    assert there == [(f"{name}.gz", True) for name in names]
