"""A ring begins small, grows while lines wait, and survives a kill at any step of that."""

from __future__ import annotations

import errno
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from llm_logging.files.spool import growth
from llm_logging.files.spool.ring import Ring
from llm_logging.files.spool.ring_view import HEADER_BYTES, MAGIC

LINE = b"x" * 4000 + b"\n"


def held(ring: Ring) -> int:
    """Return the bytes of the disk that a ring takes."""
    return ring.path.stat().st_blocks * 512


def drain(ring: Ring) -> list[bytes]:
    """Take everything, as the writer does."""
    taken = []
    while batches := ring.take(1 << 20):
        for batch in batches:
            taken += batch.data.splitlines(keepends=True)
            for number in batch.numbers:
                ring.mark_done(number)
        ring.release()
    return taken


def test_a_ring_takes_little_room_and_no_more_while_it_is_emptied(tmp_path):
    ring = Ring(tmp_path / "a.ring", 8 << 20)
    first = held(ring)
    for _ in range(200):
        for _ in range(50):
            assert ring.store(b"/a", LINE)
        assert drain(ring) == [LINE] * 50
    assert first < 400_000
    assert held(ring) == first
    ring.close(remove=True)


def test_it_grows_up_to_its_capacity_while_lines_wait(tmp_path):
    ring = Ring(tmp_path / "a.ring", 4 << 20)
    count = 0
    while ring.store(b"/a", b"%d:" % count + LINE):
        count += 1
    assert count > 1000
    assert held(ring) > 4 << 20
    assert drain(ring) == [b"%d:" % n + LINE for n in range(count)]
    ring.close(remove=True)


def test_it_leaves_what_must_stay_free_and_goes_on_with_what_it_has(tmp_path):
    ring = Ring(tmp_path / "a.ring", 8 << 20)
    ring._keep = 1 << 60
    written: list[bytes] = []
    stored: list[bytes] = []
    for round_ in range(40):
        while ring.store(b"/a", line := b"%d-%d:" % (round_, len(stored)) + LINE):
            stored.append(line)
        assert ring.used > ring.limit // 2
        assert ring.limit < 300_000
        # Some stay, so that it is never empty and must wrap where its room ends.
        for batch in ring.take(100_000):
            for number, line in zip(batch.numbers, batch.data.splitlines(keepends=True), strict=False):
                ring.mark_done(number)
                written.append(line)
        ring.release()
    assert written + drain(ring) == stored
    assert held(ring) < 400_000
    assert not ring.fits(b"/a", b"x" * 200_000)
    ring.close(remove=True)


def test_a_disk_that_has_room_again_lets_it_grow(tmp_path, monkeypatch):
    ring = Ring(tmp_path / "a.ring", 2 << 20)
    real = os.posix_fallocate
    monkeypatch.setattr(
        os, "posix_fallocate", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full"))
    )
    while ring.store(b"/a", LINE):
        pass
    monkeypatch.setattr(os, "posix_fallocate", real)
    monkeypatch.setattr(growth, "_REFUSED_SECONDS", 0.0)
    drain(ring)
    count = 0
    while ring.store(b"/a", LINE):
        count += 1
    assert count > 400
    assert drain(ring) == [LINE] * count
    ring.close(remove=True)


@given(
    st.lists(st.tuples(st.integers(1, 90_000), st.sampled_from(["", "all", "some"])), max_size=80),
    st.booleans(),
)
def test_what_is_stored_is_taken_once_however_it_grows(tmp_path_factory, stores, scarce):
    folder = tmp_path_factory.mktemp("r")
    ring = Ring(folder / "x.ring", 1 << 20)
    ring._keep = 1 << 60 if scarce else 0
    waiting: list[bytes] = []
    for count, (size, taken) in enumerate(stores):
        line = b"%d:" % count + b"x" * size + b"\n"
        if ring.store(b"/a", line):
            waiting.append(line)
        if taken:
            for batch in ring.take(1 << 20 if taken == "all" else 50_000):
                for number, got in zip(batch.numbers, batch.data.splitlines(keepends=True), strict=True):
                    assert got == waiting.pop(0)
                    ring.mark_done(number)
            ring.release()
    assert [record.line for record in ring.records()] == waiting
    ring.close(remove=False)
    found = Ring(folder / "x.ring")
    assert [record.line for record in found.records()] == waiting
    found.close(remove=True)


# -- killed at every line --------------------------------------------------------------------------------------------


def fill(ring: Ring, say: Callable[[int], None]) -> None:
    """Store through an emptying, two growths, and one that is refused."""
    number = 0

    def store(size: int) -> None:
        nonlocal number
        if ring.store(b"/%d" % (number % 3), b"%d:" % number + b"x" * size + b"\n"):
            say(number)
            number += 1

    for _ in range(2):
        for _ in range(3):
            store(50_000)
        say(-number - 1)
        drain(ring)
    for size in (60_000, 80_000, 100_000, 300_000, 10, 10):
        store(size)
    ring._keep = 1 << 60
    for size in (200_000, 150_000, 10):
        store(size)


def killed_at(step: int, path: Path) -> tuple[bool, int, int]:
    """Fill a ring in a child that ends at a line of `rings`; return if it came so far, and what was stored and written."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            left = step

            def trace(frame: FrameType, event: str, _arg: Any) -> Any:
                nonlocal left
                if not frame.f_code.co_filename.endswith(("spool/ring.py", "ring_view.py", "growth.py")):
                    return None
                if event == "line":
                    left -= 1
                    if left == 0:
                        os._exit(9)
                return trace

            ring = Ring(path, 1 << 20, root=str(path.parent))
            sys.settrace(trace)
            fill(ring, lambda number: os.write(writing, struct.pack("<q", number)) and None)
        finally:
            os._exit(0)
    os.close(writing)
    said = b""
    while block := os.read(reading, 1 << 16):
        said += block
    os.close(reading)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    numbers = [number for (number,) in struct.iter_unpack("<q", said)]
    stored = max((number + 1 for number in numbers if number >= 0), default=0)
    written = max((-number - 1 for number in numbers if number < 0), default=0)
    return status == 9, stored, written


def test_a_kill_at_every_line_of_storing_and_growing_keeps_what_was_stored(tmp_path):
    step, steps = 1, 0
    while True:
        path = tmp_path / f"{step}.ring"
        killed, stored, written = killed_at(step, path)
        ring = Ring(path)
        found = [int(record.line.split(b":")[0]) for record in ring.records() if not record.done]
        ring.close(remove=True)
        assert found == sorted(set(found))
        assert set(range(written, stored)) <= set(found)
        # The line under way may be there or not.
        assert all(number <= stored for number in found)
        if not killed:
            break
        steps += 1
        # Every line of what is rare; of loops over many lines, some.
        step += 1 if step < 60 else 3
    assert steps > 100


# -- rings of version 0.1 ---------------------------------------------------------------------------------------------


def test_a_ring_of_the_version_before_is_read(tmp_path):
    ring = Ring(tmp_path / "a.ring", 1 << 16, writer="w", root=str(tmp_path))
    for number in range(5):
        ring.store(b"/a", b"%d\n" % number)
    ring.close(remove=False)
    # It had another mark, and zeros where the base and the origin are now.
    with (tmp_path / "a.ring").open("r+b") as file:
        assert file.read(8) == MAGIC
        file.seek(0)
        file.write(b"LLMRING2")
        file.seek(192)
        file.write(bytes(HEADER_BYTES - 192))
    older = Ring(tmp_path / "a.ring")
    assert [record.line for record in older.records()] == [b"%d\n" % n for n in range(5)]
    assert older.origin.root == ""
    older.close(remove=True)
