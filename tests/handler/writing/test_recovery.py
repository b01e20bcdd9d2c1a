"""What a killed process had appended when it could not say so any more is found, wherever its file has gone since."""

from __future__ import annotations

import gzip
import os
from datetime import UTC, datetime

import pytest

from llm_logging.files.compression import compress_segment, open_segment
from llm_logging.files.segments import segment_name
from llm_logging.files.spool.discovery import ring_prefix
from llm_logging.files.spool.ring import Ring
from llm_logging.handler.writing import recovery
from llm_logging.handler.writing.recovery import recover

LINES = [b'{"n":%d,"text":"%s"}\n' % (n, b"x" * n) for n in range(50)]
BEFORE = b'{"somebody":"else"}\n' * 3


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("written", [0, 1, 20, 50])
def test_what_stands_in_a_segment_is_not_written_again(tmp_path, packed, written):
    root, spool = tmp_path / "root", tmp_path / "spool"
    root.mkdir()
    spool.mkdir(mode=0o700)
    active = root / "system.jsonl"
    sealed = root / (segment_name("system", datetime(2026, 1, 15, tzinfo=UTC), 1) + packed)
    content = BEFORE + b"".join(LINES[:written])
    sealed.write_bytes(gzip.compress(content) if packed else content)
    ring = Ring(spool / f"{ring_prefix(root)}dead-1.ring", 1 << 16, writer="dead")
    for line in LINES:
        ring.store(os.fsencode(active), line)
    # The number of the inode has gone with the file where it was packed.
    info = sealed.stat()
    ring.note_intent(info.st_dev, info.st_ino + (1 << 40 if packed else 0), len(BEFORE), 0)
    ring.close(remove=False)
    appended = []

    def append(name, data, before):
        assert name == str(active)
        before(0, 0, 0, 0)
        appended.append(data)
        return len(data), None

    report = recover(root, append, folders=[spool])
    assert b"".join(appended) == b"".join(LINES[written:])
    assert (report.present, report.lines, report.rings) == (written, 50 - written, 1)
    assert not list(spool.iterdir())


def test_a_compressed_segment_can_be_read_from_anywhere(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    data = os.urandom(300_000)
    path.write_bytes(gzip.compress(data))
    with open_segment(path) as file:
        for at in (200_000, 5, 299_999, 70_000):
            assert file.seek(at) == at
            assert file.read(10) == data[at : at + 10]
            assert file.tell() == min(at + 10, len(data))


def rotate(active, number=1):
    sealed = active.with_name(
        segment_name(active.name.removesuffix(".jsonl"), datetime(2026, 1, 15, tzinfo=UTC), number)
    )
    active.rename(sealed)
    active.touch()
    return sealed


MEANWHILE = {
    "rotated": rotate,
    "rotated twice": lambda active: [rotate(active, n) for n in (1, 2)],
    "rotated and packed": lambda active: compress_segment(rotate(active), "gz"),
    "rotated and packed twice": lambda active: [compress_segment(rotate(active, n), "gz") for n in (1, 2)],
}


@pytest.mark.parametrize("done", MEANWHILE.values(), ids=MEANWHILE.keys())
@pytest.mark.parametrize("moment", ["listed", "asked", "opened"])
def test_what_is_renamed_while_it_is_looked_for_is_not_written_again(tmp_path, monkeypatch, done, moment):
    root, spool = tmp_path / "root", tmp_path / "spool"
    root.mkdir()
    spool.mkdir(mode=0o700)
    active = root / "system.jsonl"
    active.write_bytes(BEFORE + b"".join(LINES[:30]))
    ring = Ring(spool / f"{ring_prefix(root)}dead-1.ring", 1 << 16, writer="dead")
    for line in LINES:
        ring.store(os.fsencode(active), line)
    info = active.stat()
    ring.note_intent(info.st_dev, info.st_ino, len(BEFORE), 0)
    ring.close(remove=False)
    place = {
        "listed": (recovery, "list_segments"),
        "asked": (os, "stat"),
        "opened": (recovery, "open_regular"),
    }
    module, name = place[moment]
    real, turns = getattr(module, name), []

    def call(path, *args, **options):
        if moment == "opened" and not turns:
            turns.append(path)
            done(active)
        found = real(path, *args, **options)
        if not turns and str(path) == str(active):
            turns.append(path)
            done(active)
        return found

    monkeypatch.setattr(module, name, call)
    appended = []

    def append(_name, data, before):
        before(0, 0, 0, 0)
        appended.append(data)
        return len(data), None

    report = recover(root, append, folders=[spool])
    assert turns
    assert b"".join(appended) == b"".join(LINES[30:])
    assert (report.present, report.lines) == (30, 20)
