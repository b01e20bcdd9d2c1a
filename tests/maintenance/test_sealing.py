"""No two segments get one name, however the folder is listed, and nothing that has a name is replaced."""

from __future__ import annotations

import errno
import gzip
import os
import threading
from datetime import UTC, datetime, timedelta

import pytest

from llm_logging.files import renaming
from llm_logging.files.compression import compress_segment, finish_interrupted
from llm_logging.files.renaming import rename_new
from llm_logging.files.segments import list_segments, scan_segments, segment_name
from llm_logging.handler.writing.rotating_file import AppendFile, FileOptions
from llm_logging.maintenance.forget import forget
from llm_logging.maintenance.manifest_notes import record_sealed
from llm_logging.maintenance.retention import Retention, apply_retention
from llm_logging.maintenance.sealing import noted_name, seal_active
from llm_logging.maintenance.verify import verify

NOW = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)


@pytest.fixture
def active(tmp_path):
    return tmp_path / "a.jsonl"


@pytest.fixture(params=["", ".gz", ".zst"])
def suffix(request):
    return request.param


def sealing(active, **options):
    """Return a function that writes a line and seals the file, as a process of its own would."""

    def seal(number, now=NOW):
        said = []
        sealed = []
        file = AppendFile(
            str(active),
            FileOptions(fsync="never", **options),
            sealed=lambda _active, segment: sealed.append(segment),
            notice=lambda event, *_: said.append(event),
            now=now.timestamp,
        )
        file.append(b'{"n":%d}\n' % number)
        assert file.roll()
        file.let_go()
        assert not said
        return sealed[0]

    return seal


def blind(monkeypatch, hidden):
    """Have listings miss the names for which `hidden` is true, as a listing of a busy folder does."""
    real = os.scandir

    class Listing:
        def __init__(self, folder="."):
            with real(folder) as entries:
                self.entries = [entry for entry in entries if not hidden(entry.name)]

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(os, "scandir", Listing)


def contents(folder):
    return sorted(
        (gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes())
        for path in (folder / name for name in os.listdir(folder))
        if path.name.startswith("a.2")
    )


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("note", ["kept", "lock file removed", "damaged", "of an earlier version"])
def test_a_segment_that_listings_miss_keeps_its_name(active, monkeypatch, packed, note):
    seal = sealing(active)
    blind(monkeypatch, lambda name: name.startswith("a.2"))
    for number in range(5):
        segment = seal(number)
        if packed:
            compress_segment(segment, "gz")
        lock = active.with_name(".__a.jsonl.lock")
        if note == "lock file removed":
            lock.unlink()
        elif note != "kept":
            lock.write_bytes(b"" if note == "of an earlier version" else b"99999999T999999Z-0001\n")
    assert contents(active.parent) == [b'{"n":%d}\n' % number for number in range(5)]


def test_a_name_is_given_once_also_where_its_segment_was_pruned(active):
    seal = sealing(active)
    names = []
    for number in range(4):
        segment = seal(number)
        names.append(segment.name)
        record_sealed(active, segment)
        if number == 2:
            active.with_name(".__a.jsonl.lock").unlink()
        apply_retention(active, Retention(max_age=timedelta(microseconds=1)))
        assert not segment.exists()
    assert len(set(names)) == 4
    assert names == sorted(names)
    assert verify(active.parent).ok


def test_a_clock_that_is_set_back_gives_names_that_sort_on(active):
    seal = sealing(active)
    names = [seal(number, NOW - timedelta(hours=number)).name for number in range(4)]
    assert names == sorted(set(names))


def test_names_go_on_in_the_next_second_after_the_last_of_one(active, tmp_path):
    active.write_bytes(b"{}\n")
    lock = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    os.write(lock, b"20260115T103000Z-9999\n")
    assert seal_active(active, lock, NOW).name == "a.20260115T103001Z-0001.jsonl"
    assert noted_name(lock) == ("20260115T103001Z", 1)
    os.close(lock)


def test_every_form_of_a_name_is_looked_up(active, tmp_path, suffix):
    there = active.with_name(segment_name("a", NOW, 1) + suffix)
    there.write_bytes(b"another")
    active.write_bytes(b"{}\n")
    lock = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    os.write(lock, b"20260115T102959Z-0001\n")
    assert seal_active(active, lock, NOW).name == segment_name("a", NOW, 2)
    assert there.read_bytes() == b"another"
    os.close(lock)


@pytest.mark.parametrize("call", ["of the system", "missing", "refused"])
def test_renaming_replaces_nothing(tmp_path, monkeypatch, call):
    if call != "of the system":
        missing = None if call == "missing" else lambda *_: errno.EINVAL
        monkeypatch.setattr(renaming, "_system_call", lambda: missing)
    one, two, three = tmp_path / "one", tmp_path / "two", tmp_path / "three"
    one.write_bytes(b"1")
    two.write_bytes(b"2")
    with pytest.raises(FileExistsError):
        rename_new(one, two)
    rename_new(one, three)
    assert (two.read_bytes(), three.read_bytes()) == (b"2", b"1")
    with pytest.raises(FileNotFoundError):
        rename_new(one, tmp_path / "four")


def test_a_link_that_leads_nowhere_is_not_replaced_either(tmp_path):
    (tmp_path / "one").write_bytes(b"1")
    (tmp_path / "two").symlink_to("nowhere")
    with pytest.raises(FileExistsError):
        rename_new(tmp_path / "one", tmp_path / "two")


def test_compressing_never_replaces_a_segment_that_has_the_name(active):
    plain = active.with_name(segment_name("a", NOW, 1))
    plain.write_bytes(b"second\n")
    active.with_name(f"{plain.name}.gz").write_bytes(gzip.compress(b"first\n"))
    compress_segment(plain, "gz")
    finish_interrupted(active, "gz")
    assert contents(active.parent) == [b"first\n", b"second\n"]
    assert len([segment for segment in list_segments(active) if not segment.active]) == 2


def test_a_plain_file_goes_where_its_compressed_form_holds_the_same(active):
    plain = active.with_name(segment_name("a", NOW, 1))
    plain.write_bytes(b"one\n")
    active.with_name(f"{plain.name}.gz").write_bytes(gzip.compress(b"one\n"))
    finish_interrupted(active, "gz")
    assert [segment.path.name for segment in list_segments(active)] == [f"{plain.name}.gz"]


def test_a_segment_that_is_pruned_while_it_is_compressed_does_not_come_back(active, monkeypatch):
    plain = active.with_name(segment_name("a", NOW, 1))
    plain.write_bytes(b"one\n")
    real = os.fsync

    def prune(fd):
        monkeypatch.setattr(os, "fsync", real)
        real(fd)
        apply_retention(active, Retention(max_age=timedelta(microseconds=1)))

    monkeypatch.setattr(os, "fsync", prune)
    compress_segment(plain, "gz")
    assert not list(active.parent.glob("*.jsonl*"))


def test_a_segment_that_is_forgotten_while_it_is_pruned_does_not_come_back(tmp_path, monkeypatch):
    active = tmp_path / "logs" / "system.jsonl"
    active.parent.mkdir()
    plain = active.with_name(segment_name("system", NOW, 1))
    plain.write_bytes(b'{"user_id":"ann","project_id":"p"}\n')
    real = os.fsync

    def prune(fd):
        monkeypatch.setattr(os, "fsync", real)
        real(fd)
        apply_retention(active, Retention(max_age=timedelta(microseconds=1)))

    monkeypatch.setattr(os, "fsync", prune)
    assert forget(tmp_path, user_id="ann").lines == 0
    assert not list(active.parent.glob("*.jsonl*"))
    assert not list(active.parent.glob(".*.forget"))
    assert verify(tmp_path).ok


def test_two_ways_of_compressing_leave_one_file(active, monkeypatch):
    pytest.importorskip("backports.zstd")
    plain = active.with_name(segment_name("a", NOW, 1))
    plain.write_bytes(b"one\n" * 1000)
    real = rename_new

    def other_first(source, target):
        monkeypatch.setattr("llm_logging.files.compression.rename_new", real)
        real(source, target)
        compress_segment(plain, "zst")

    monkeypatch.setattr("llm_logging.files.compression.rename_new", other_first)
    kept = compress_segment(plain, "gz")
    assert [segment.path for segment in list_segments(active, superseded=True)] == [kept]
    assert kept.exists()


def test_threads_that_finish_what_was_interrupted_keep_one_whole_file_of_each(active):
    for round_ in range(20):
        plain = active.with_name(segment_name("a", NOW + timedelta(seconds=round_), 1))
        plain.write_bytes(b"%d\n" % round_ * 5000)
        if round_ % 2:
            active.with_name(f"{plain.name}.gz").write_bytes(gzip.compress(plain.read_bytes()))
        threads = [threading.Thread(target=finish_interrupted, args=(active, "gz")) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert contents(active.parent) == sorted(b"%d\n" % n * 5000 for n in range(20))


@pytest.mark.parametrize("turn", range(4))
def test_a_segment_that_is_compressed_while_the_folder_is_read_is_listed(active, monkeypatch, turn):
    names = [segment_name("a", NOW + timedelta(seconds=n), 1) for n in range(3)]
    for name in names:
        active.with_name(name).write_bytes(b"{}\n")
    active.write_bytes(b"{}\n")
    real, turns = os.scandir, []

    class Listing:
        """Meets neither the old nor the new name of what is compressed meanwhile."""

        def __init__(self, folder="."):
            with real(folder) as entries:
                self.entries = list(entries)
            if len(turns) == turn:
                compress_segment(active.with_name(names[1]), "gz")
            turns.append(turn)

        def __enter__(self):
            return (entry for entry in self.entries if os.path.lexists(entry))

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(os, "scandir", Listing)
    assert len(list_segments(active)) == 4
    # Once alone may miss it: who calls this reads again after opening what it found.
    assert len(scan_segments(active.parent, {"a"})["a"]) in {3, 4}
