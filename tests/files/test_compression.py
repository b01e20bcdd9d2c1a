"""Compressing a sealed segment: whole or not at all, by one process at a time, finished by the next where it was cut off."""

from __future__ import annotations

import fcntl
import gzip
import os
import threading

import pytest

from llm_logging.files import compression
from llm_logging.files.compression import compress_segment, finish_interrupted, open_segment

LINES = b"".join(b'{"n":%d}\n' % n for n in range(5000))
NAME = "a.20260115T103000Z-0001.jsonl"


@pytest.fixture
def segment(tmp_path):
    path = tmp_path / NAME
    path.write_bytes(LINES)
    path.chmod(0o640)
    return path


def test_the_compressed_file_takes_the_place_of_the_plain_one(segment):
    before = os.umask(0o077)
    try:
        final = compress_segment(segment, "gz")
    finally:
        os.umask(before)
    assert gzip.decompress(final.read_bytes()) == LINES
    assert [path.name for path in segment.parent.iterdir()] == [f"{NAME}.gz"]
    assert final.stat().st_mode & 0o777 == 0o640


def test_the_same_bytes_give_the_same_file(tmp_path):
    made = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / NAME).write_bytes(LINES)
        made.append(compress_segment(tmp_path / folder / NAME, "gz").read_bytes())
    assert made[0] == made[1]


def test_zstd_where_it_can_be_had(segment):
    pytest.importorskip("backports.zstd")
    final = compress_segment(segment, "zst")
    with open_segment(final) as file:
        assert file.read() == LINES


@pytest.mark.parametrize("stage", ["copy", "fsync", "rename"])
def test_what_fails_leaves_the_plain_file_alone(segment, monkeypatch, stage):
    def fail(*_):
        raise OSError(28, "full")

    target = {"copy": (compression, "_copy"), "fsync": (os, "fsync"), "rename": (compression, "rename_new")}[
        stage
    ]
    monkeypatch.setattr(*target, fail)
    with pytest.raises(OSError, match="full"):
        compress_segment(segment, "gz")
    monkeypatch.undo()
    assert segment.read_bytes() == LINES
    assert compress_segment(segment, "gz").exists()


def test_somebody_elses_compressing_is_left_alone(segment):
    with open(segment.with_name(f".{NAME}.gz.tmp"), "wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert compress_segment(segment, "gz") == segment
    assert segment.read_bytes() == LINES


def test_many_at_once_make_one_whole_file(segment):
    outcomes, errors = [], []

    def work():
        try:
            outcomes.append(compress_segment(segment, "gz"))
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert [path.name for path in segment.parent.iterdir()] == [f"{NAME}.gz"]
    assert gzip.decompress((segment.parent / f"{NAME}.gz").read_bytes()) == LINES


def test_a_late_comer_does_not_spoil_the_finished_file(segment, monkeypatch):
    # Opened as the temporary file, renamed by its owner before the late comer had the lock.
    real = os.open

    def slow(path, *rest):
        fd = real(path, *rest)
        if str(path).endswith(".tmp"):
            monkeypatch.undo()
            assert compress_segment(segment, "gz").suffix == ".gz"
            segment.write_bytes(LINES)
            segment.with_name(f".{NAME}.gz.tmp").write_bytes(b"a third one's")
        return fd

    monkeypatch.setattr(os, "open", slow)
    compress_segment(segment, "gz")
    assert gzip.decompress((segment.parent / f"{NAME}.gz").read_bytes()) == LINES


def test_what_was_interrupted_is_finished_and_cleaned_up(tmp_path, segment):
    active = tmp_path / "a.jsonl"
    active.write_bytes(b"{}\n")
    renamed = tmp_path / "a.20260115T103000Z-0002.jsonl"
    renamed.write_bytes(LINES)
    renamed.with_name(f"{renamed.name}.gz").write_bytes(gzip.compress(LINES))
    (tmp_path / ".a.20260101T000000Z-0001.jsonl.gz.tmp").write_bytes(b"left")
    segment.with_name(f".{NAME}.gz.tmp").write_bytes(b"half")
    finish_interrupted(active, "gz")
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{NAME}.gz", f"{renamed.name}.gz", "a.jsonl"]
