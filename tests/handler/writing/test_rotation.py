"""Sealing by size and period: bounds, names, what several processes with their own settings do to one file."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import threading
import time

import pytest

from llm_logging import ConfigurationError, LLMFileHandler
from llm_logging.files.compression import compress_segment
from llm_logging.files.segments import list_segments
from llm_logging.handler.writing import rotating_file as rotation
from llm_logging.handler.writing.rotating_file import AppendFile, FileOptions
from llm_logging.handler.writing.rotation_interval import Interval
from llm_logging.maintenance import sealing as naming


class Kept:
    """What a file said, and what it sealed."""

    def __init__(self):
        self.notices: list[str] = []
        self.sealed: list[str] = []


@pytest.fixture
def kept():
    return Kept()


@pytest.fixture
def make(tmp_path, kept):
    files = []

    def made(name="a.jsonl", now=time.time, **options):
        file = AppendFile(
            str(tmp_path / name),
            FileOptions(**options),
            sealed=lambda _active, segment: kept.sealed.append(segment.name),
            notice=lambda event, _message, _data: kept.notices.append(event),
            now=now,
        )
        files.append(file)
        return file

    yield made
    for file in files:
        file.let_go()


def line(number: int, size: int = 100) -> bytes:
    return b'{"n":%d,"x":"' % number + b"x" * (size - 20) + b'"}\n'


def test_a_file_passes_its_bound_by_no_line_unless_one_alone_does(tmp_path, make):
    file = make(max_bytes=1000)
    sizes = [100, 300, 999, 5000, 20, 20, 400, 400, 400]
    for number, size in enumerate(sizes):
        file.append(line(number, max(30, size)))
    file.append(b"".join(line(n, 200) for n in range(20)))
    everything = [s.path for s in list_segments(tmp_path / "a.jsonl")]
    for path in everything:
        data = path.read_bytes()
        assert len(data) <= 1000 or data.count(b"\n") == 1, path
    assert sum(path.read_bytes().count(b"\n") for path in everything) == len(sizes) + 20


def test_an_exact_fit_is_not_rotated(tmp_path, make, kept):
    file = make(max_bytes=300)
    for number in range(3):
        file.append(line(number, 100)[:-1].ljust(99, b" ") + b"\n")
    assert (tmp_path / "a.jsonl").stat().st_size == 300
    assert kept.sealed == []
    file.append(b"{}\n")
    assert len(kept.sealed) == 1


def test_names_sort_in_the_order_of_sealing_when_the_clock_is_set_back_and_segments_are_pruned(
    tmp_path, make, kept
):
    times = iter([1e9, 1e9, 1e9 + 5, 1e9 - 86400, 1e9 - 50, 1e9 + 6, 1e9 + 6])
    file = make(now=lambda: next(times), max_bytes=0)
    for number in range(7):
        file.append(line(number))
        assert file.roll()
        for path in tmp_path.glob("a.2*"):
            path.unlink()
    assert kept.sealed == sorted(kept.sealed)
    assert len(set(kept.sealed)) == 7
    assert all(re.fullmatch(r"a\.\d{8}T\d{6}Z-\d{4}\.jsonl", name) for name in kept.sealed)


def test_names_sort_beyond_ten_thousand_in_a_second(tmp_path, make, kept):
    (tmp_path / "a.20010909T014640Z-9999.jsonl").write_bytes(b"{}\n")
    file = make(now=lambda: 1e9)
    for number in range(2):
        file.append(line(number))
        file.roll()
    assert kept.sealed == ["a.20010909T014641Z-0001.jsonl", "a.20010909T014641Z-0002.jsonl"]


def test_an_empty_file_is_not_sealed(make, kept):
    assert not make().roll()
    assert kept.sealed == []


def test_a_period_that_is_over_seals_before_the_next_line(tmp_path, make, kept):
    now = [time.time()]
    file = make(interval=Interval("1h"), now=lambda: now[0])
    file.append(line(1))
    file.append(line(2))
    assert kept.sealed == []
    now[0] += 3601
    file.append(line(3))
    assert len(kept.sealed) == 1
    assert (tmp_path / "a.jsonl").read_bytes() == line(3)


def test_processes_with_different_bounds_lose_nothing(tmp_path, make):
    files = [make(max_bytes=bound) for bound in (500, 0, 2000)]

    def work(index):
        for number in range(200):
            assert files[index].append(line(index * 1000 + number))[1] is None

    threads = [threading.Thread(target=work, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    data = b"".join(s.path.read_bytes() for s in list_segments(tmp_path / "a.jsonl"))
    assert sorted(data.splitlines(keepends=True)) == sorted(
        line(i * 1000 + n) for i in range(3) for n in range(200)
    )


def test_rotations_by_others_are_no_strangers_deeds(tmp_path, make, kept):
    first, second = make(max_bytes=300), make(max_bytes=300)
    for number in range(20):
        first.append(line(number))
        second.append(line(number))
        for path in sorted(tmp_path.glob("a.2*"))[:-1]:
            path.unlink()  # as retention does
    assert "log_file_replaced" not in kept.notices


@pytest.mark.parametrize(
    "deed", ["rotated", "compressed", "compressed meanwhile", "pruned", "without a note"]
)
def test_only_what_another_program_did_is_said(tmp_path, make, kept, monkeypatch, deed):
    first, second = make(), make()
    first.append(line(1))
    second.append(line(2))
    second.roll()
    (segment,) = [s.path for s in list_segments(tmp_path / "a.jsonl")]
    if deed == "compressed":
        compress_segment(segment, "gz")
    elif deed == "pruned":
        segment.unlink()
    elif deed == "without a note":
        (tmp_path / ".__a.jsonl.lock").write_bytes(b"")  # as an earlier version leaves it
    elif deed == "compressed meanwhile":
        (tmp_path / ".__a.jsonl.lock").write_bytes(b"")
        real = rotation.list_segments

        def then_compressed(path, **options):
            found = real(path, **options)
            compress_segment(segment, "gz")
            return found

        monkeypatch.setattr(rotation, "list_segments", then_compressed)
    first.append(line(3))
    assert kept.notices == []
    # And what is true is said, also after rotations of our own.
    os.rename(tmp_path / "a.jsonl", tmp_path / "elsewhere")
    first.append(line(4))
    assert kept.notices == ["log_file_replaced"]
    if deed not in {"without a note", "compressed meanwhile"}:
        # Without a note, a file removed in the second of a rotation may have been sealed in it.
        (tmp_path / "a.jsonl").unlink()
        first.append(line(5))
        assert kept.notices == ["log_file_replaced"] * 2


def test_a_failing_rename_goes_on_in_the_file_and_is_said_once(tmp_path, make, kept, monkeypatch):
    file = make(max_bytes=200)
    monkeypatch.setattr(
        naming, "rename_new", lambda *_: (_ for _ in ()).throw(PermissionError(errno.EACCES, "no"))
    )
    for number in range(10):
        assert file.append(line(number)) == (len(line(number)), None)
    assert (tmp_path / "a.jsonl").read_bytes() == b"".join(line(n) for n in range(10))
    assert kept.notices == ["rotation_failed"]


@pytest.mark.parametrize("kind", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_torn_write_is_cut_back_to_the_last_whole_line(tmp_path, make, monkeypatch, kind):
    file = make()
    file.append(line(0))
    real, turns = os.write, []

    def torn(fd, data):
        turns.append(1)
        if len(turns) == 1:
            return real(fd, data[:250])
        raise OSError(kind, "disk")

    monkeypatch.setattr(os, "write", torn)
    size, error = file.append(b"".join(line(n) for n in range(1, 6)))
    assert error is not None
    assert error.errno == kind
    assert size == len(line(1)) * 2
    monkeypatch.undo()
    assert (tmp_path / "a.jsonl").read_bytes() == b"".join(line(n) for n in range(3))
    file.append(line(3))
    assert (tmp_path / "a.jsonl").read_bytes().count(b"\n") == 4


def test_a_hung_holder_of_the_lock_is_not_waited_for_longer_than_agreed(tmp_path, make):
    file = make(lock_seconds=0.2)
    file.append(line(0))
    with open(file.lockFilename, "r+b") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        began = time.monotonic()
        size, error = file.append(line(1))
        assert (size, error.errno) == (0, errno.ETIMEDOUT)
        assert time.monotonic() - began < 1
    assert file.append(line(1)) == (len(line(1)), None)
    assert (tmp_path / "a.jsonl").read_bytes() == line(0) + line(1)


def test_a_failing_sync_is_said_and_the_lines_stay(tmp_path, make, kept, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "bad disk")))
    assert make(fsync="batch").append(line(0)) == (len(line(0)), None)
    assert kept.notices == ["fsync_failed"]
    assert (tmp_path / "a.jsonl").read_bytes() == line(0)


def test_modes_are_as_configured_whatever_the_umask(tmp_path, make):
    before = os.umask(0o077)
    try:
        file = make("deep/er/a.jsonl", file_mode=0o664, dir_mode=0o775)
        file.append(line(0))
    finally:
        os.umask(before)
    assert (tmp_path / "deep/er/a.jsonl").stat().st_mode & 0o777 == 0o664
    assert (tmp_path / "deep/er").stat().st_mode & 0o777 == 0o775


# -- what other programs do -----------------------------------------------------------------------------------------


def test_a_deleted_file_is_begun_anew_and_it_is_said(tmp_path, make, kept):
    file = make()
    file.append(line(0))
    (tmp_path / "a.jsonl").unlink()
    file.append(line(1))
    assert (tmp_path / "a.jsonl").read_bytes() == line(1)
    assert kept.notices == ["log_file_replaced"]


def test_logrotate_create_moves_the_file_away_and_writing_goes_on_in_the_new_one(tmp_path, make, kept):
    file = make()
    file.append(line(0))
    (tmp_path / "a.jsonl").rename(tmp_path / "a.jsonl.1")
    (tmp_path / "a.jsonl").touch(0o640)
    file.append(line(1))
    assert (tmp_path / "a.jsonl.1").read_bytes() == line(0)
    assert (tmp_path / "a.jsonl").read_bytes() == line(1)
    assert kept.notices == ["log_file_replaced"]


def test_logrotate_copytruncate_leaves_no_hole(tmp_path, make, kept):
    file = make()
    file.append(line(0) + line(1))
    os.truncate(tmp_path / "a.jsonl", 0)
    file.append(line(2))
    assert (tmp_path / "a.jsonl").read_bytes() == line(2)
    assert kept.notices == ["log_file_truncated"]


def test_a_folder_that_was_moved_takes_its_lock_file_with_it(tmp_path, make):
    first = make()
    first.append(line(0))
    for name in ("a.jsonl", os.path.basename(first.lockFilename)):
        os.rename(tmp_path / name, tmp_path / f"moved-{name}")
    assert first.append(line(1))[1] is None
    second = make()
    first._take_lock()
    try:
        second._options = FileOptions(lock_seconds=0.1)
        assert second.append(line(2))[1].errno == errno.ETIMEDOUT
    finally:
        first._do_unlock()
    assert (tmp_path / "a.jsonl").read_bytes() == line(1)


def test_a_deleted_lock_file_does_not_let_two_write_at_once(tmp_path, make):
    first, second = make(), make()
    first.append(line(0))
    os.unlink(first.lockFilename)
    first._take_lock()
    try:
        assert os.stat(first.lockFilename).st_ino == os.fstat(first.stream_lock.fileno()).st_ino
        second._options = FileOptions(lock_seconds=0.1)
        assert second.append(line(1))[1].errno == errno.ETIMEDOUT
    finally:
        first._do_unlock()
    assert second.append(line(1))[1] is None


def test_a_removed_and_made_again_folder_is_written_to(tmp_path, make):
    file = make("logs/a.jsonl")
    file.append(line(0))
    (tmp_path / "logs").rename(tmp_path / "old")
    file.append(line(1))
    assert (tmp_path / "logs/a.jsonl").read_bytes() == line(1)
    assert (tmp_path / "old/a.jsonl").read_bytes() == line(0)


def test_what_is_no_regular_file_is_refused_and_left_as_it_is(tmp_path, make):
    pipe = tmp_path / "pipe.jsonl"
    os.mkfifo(pipe, 0o644)
    written, error = make(pipe).append(b"{}\n")
    assert written == 0
    assert "expected a regular file" in str(error)
    assert stat.S_IMODE(pipe.stat().st_mode) == 0o644
    for name in (os.devnull, pipe, tmp_path):
        with pytest.raises(ConfigurationError, match="expected a regular file"):
            LLMFileHandler(filename=name)


def test_a_link_of_our_own_is_followed(tmp_path, make):
    (tmp_path / "real").mkdir()
    (tmp_path / "a.jsonl").symlink_to(tmp_path / "real/b.jsonl")
    file = make()
    file.append(line(0))
    file.append(line(1))
    assert (tmp_path / "real/b.jsonl").read_bytes() == line(0) + line(1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's link")
def test_a_link_that_another_user_planted_is_refused(tmp_path, make):
    (tmp_path / "a.jsonl").symlink_to(tmp_path / "secret")
    os.lchown(tmp_path / "a.jsonl", 65534, 65534)
    size, error = make().append(line(0))
    assert (size, error.errno) == (0, errno.ELOOP)
    assert not (tmp_path / "secret").exists()


@pytest.mark.parametrize("torn", [b'{"half', b'{"v":1,"text":"' + b"x" * 3_000_000, b"\0\0\0\0", b"\xff\xfe"])
def test_a_torn_tail_is_cut_and_said(tmp_path, make, kept, torn):
    (tmp_path / "a.jsonl").write_bytes(line(0) + torn)
    make().append(line(1))
    assert (tmp_path / "a.jsonl").read_bytes() == line(0) + line(1)
    assert kept.notices == ["torn_line_repaired"]


def test_a_whole_line_that_lacks_only_its_end_is_kept(tmp_path, make, kept):
    (tmp_path / "a.jsonl").write_bytes(line(0)[:-1])
    make().append(line(1))
    assert (tmp_path / "a.jsonl").read_bytes() == line(0) + line(1)
    assert kept.notices == []
