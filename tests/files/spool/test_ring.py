"""The ring alone: what is stored is taken, once and in order, whatever its size and file, and survives its owner."""

from __future__ import annotations

import os
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_logging.files.spool.claims import held_here
from llm_logging.files.spool.discovery import dead_rings, ring_prefix
from llm_logging.files.spool.ring import Ring
from llm_logging.files.spool.ring_view import BIG


@pytest.fixture
def ring(tmp_path):
    made = Ring(tmp_path / "one.ring", 1 << 16, writer="w")
    yield made
    made.close(remove=True)


def drained(ring: Ring, limit: int = 1 << 20) -> list[tuple[bytes, bytes]]:
    """Take everything, as the writer does."""
    found = []
    while batches := ring.take(limit):
        for batch in batches:
            sizes, at = ring.sizes(batch.numbers), 0
            for number, size in zip(batch.numbers, sizes, strict=True):
                found.append((batch.path, batch.data[at : at + size]))
                ring.mark_done(number)
                at += size
        ring.release()
    return found


@given(
    st.lists(
        st.tuples(st.sampled_from([b"/a", b"/b", b"/c"]), st.integers(1, 30_000), st.booleans()), max_size=60
    )
)
def test_what_is_stored_is_taken_once_in_the_order_of_its_file(tmp_path_factory, stores):
    ring = Ring(tmp_path_factory.mktemp("r") / "x.ring", 1 << 16)
    waiting: dict[bytes, deque[bytes]] = {b"/a": deque(), b"/b": deque(), b"/c": deque()}
    try:
        for count, (path, size, drain) in enumerate(stores):
            line = b"%d:" % count + b"x" * size + b"\n"
            if ring.store(path, line):
                waiting[path].append(line)
            if drain:
                for got_path, got in drained(ring, 20_000):
                    assert got == waiting[got_path].popleft()
                assert ring.used == 0
                assert not any(waiting.values())
        recorded = [(os.fsencode(record.path), record.line) for record in ring.records()]
        for path, line in recorded:
            assert line == waiting[path].popleft()
        assert not any(waiting.values())
    finally:
        ring.close(remove=True)


def test_a_line_that_was_given_up_is_not_taken_with_its_neighbours(ring):
    for number in range(5):
        ring.store(b"/a", b"%d\n" % number)
    ring.mark_done(2)
    (batch,) = ring.take(1 << 20)
    assert (list(batch.numbers), batch.data) == ([0, 1, 3, 4], b"0\n1\n3\n4\n")


def test_more_files_than_the_table_of_paths_holds_are_stored_all_the_same(ring):
    paths = [b"/a/path/that/is/rather/long/%06d/logs/llm_requests.jsonl" % n for n in range(450)]
    assert sum(map(len, paths)) > 1 << 14
    for path in paths:
        assert ring.store(path, b"{}\n")
    assert [os.fsencode(record.path) for record in ring.records()] == paths
    assert sorted(drained(ring)) == [(path, b"{}\n") for path in paths]


def test_a_pointer_is_taken_alone_so_that_its_file_stays_in_order(ring):
    for path, line in [(b"/a", b"1\n"), (BIG + b"/a", b"two\n"), (b"/a", b"3\n"), (b"/b", b"1\n")]:
        ring.store(path, line)
    assert drained(ring) == [(b"/a", b"1\n"), (BIG + b"/a", b"two\n"), (b"/a", b"3\n"), (b"/b", b"1\n")]


def test_the_tail_moves_on_disk_before_the_room_is_given_away(ring, monkeypatch):
    # Killed in between, the old tail would cover what a caller has overwritten.
    ring.store(b"/a", b"1\n")
    ring.store(b"/a", b"2\n")
    seen = []
    real = Ring._entry
    monkeypatch.setattr(
        Ring, "_entry", lambda self, n: seen.append((self._oldest, self.map[48])) or real(self, n)
    )
    ring.release_to(1)
    assert seen == [(0, 1)]


def test_what_is_torn_is_left_out_and_the_rest_is_found(tmp_path):
    ring = Ring(tmp_path / "x.ring", 1 << 16)
    for number in range(3):
        ring.store(b"/a", b"line %d\n" % number)
    at = ring._data_at + ring._entry(1)[0]
    ring.map[at : at + 4] = b"TORN"
    assert [record.line for record in ring.records()] == [b"line 0\n", b"line 2\n"]
    ring.close(remove=True)


def test_a_ring_that_this_process_holds_is_never_opened_again(tmp_path):
    folder = tmp_path / ".spool"
    folder.mkdir(mode=0o700)
    linked = tmp_path / "link"
    linked.symlink_to(tmp_path)
    ring = Ring(folder / f"{ring_prefix(tmp_path)}w-1.ring", 1 << 16)
    assert list(dead_rings(tmp_path, folders=[folder])) == []
    assert held_here(linked / ".spool" / ring.path.name)
    with pytest.raises(BlockingIOError):
        Ring(linked / ".spool" / ring.path.name)
    ring.close(remove=False)
    (dead,) = dead_rings(tmp_path, folders=[folder])
    with pytest.raises(BlockingIOError):
        Ring(ring.path)
    dead.close(remove=True)
    # The last ring takes the folder with it.
    assert not folder.exists()


def test_a_full_disk_refuses_the_ring_when_it_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "posix_fallocate", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        Ring(tmp_path / "x.ring", 1 << 16)
    assert list(tmp_path.iterdir()) == []
    assert not held_here(tmp_path / "x.ring")


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 100_000, b"LLMRING1" + b"\0" * 100_000, os.urandom(100_000)]
)
def test_what_is_no_ring_is_refused(tmp_path, content):
    path = tmp_path / "x.ring"
    path.write_bytes(content)
    with pytest.raises(OSError, match="expected a ring"):
        Ring(path)
    assert path.exists()


@given(
    st.lists(st.tuples(st.sampled_from([b"/a", b"/b", b"/c"]), st.integers(1, 6000)), max_size=60),
    st.sampled_from([b"/a", b"/b"]),
)
def test_lines_that_stay_can_be_moved_so_that_the_room_behind_them_is_free(tmp_path_factory, stores, stays):
    ring = Ring(tmp_path_factory.mktemp("r") / "x.ring", 1 << 16)
    waiting: dict[bytes, list[bytes]] = {b"/a": [], b"/b": [], b"/c": []}
    try:
        for count, (path, size) in enumerate(stores):
            line = b"%d:" % count + b"x" * size + b"\n"
            if ring.store(path, line):
                waiting[path].append(line)
            for batch in ring.take(1 << 20, {stays}):
                for number in batch.numbers:
                    ring.mark_done(number)
                waiting[batch.path].clear()
            ring.release()
            used, left = ring.used, {n for n in range(ring.tail, ring.head) if ring._entry(n)[4] == 0}
            moved = ring.repack()
            if moved:
                assert set(moved) == left
                assert ring.used < used
                assert ring.tail == min(moved.values())
        assert b"".join(line for _, line in drained(ring)) == b"".join(waiting[stays])
        assert ring.empty
    finally:
        ring.close(remove=True)


def test_moving_is_not_begun_where_nothing_is_won(ring):
    for n in range(40):
        ring.store(b"/a", b"%d" % n + b"x" * 1000 + b"\n")
    assert ring.repack() == {}
    assert len(drained(ring)) == 40


def test_more_lines_of_the_files_met_first_are_taken_before_other_files(ring):
    for n in range(100):
        ring.store(b"/%d" % (n % 50), b"%d" % n + b"x" * 100 + b"\n")
    batches = ring.take(4000)
    assert 8 <= len(batches) <= 12
    assert all(len(batch.numbers) == 2 for batch in batches[:-1])
    assert sum(len(batch.data) for batch in batches) < 4200
