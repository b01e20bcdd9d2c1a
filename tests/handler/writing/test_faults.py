"""Trouble with the disk, caused for real where the system allows, else at the system call: kept, tried again, said."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import subprocess
import threading
import time

import pytest

from llm_logging import FileSystemError, LLMFileHandler, LLMLoggerAdapter
from tests.processes import assert_once, lines, messages, rings, run


@pytest.fixture
def made(root, isolated):
    handlers = []

    def make(**options):
        handler = LLMFileHandler(root, **{"flush_timeout": 3.0, **options})
        handlers.append(handler)
        return handler, isolated(handler)

    yield make
    for handler in handlers:
        handler.close()


def refuse(monkeypatch, call, number, part):
    """Have a system call of one file's refuse; return the switch that lets it through again."""
    real, on = getattr(os, call), threading.Event()
    on.set()

    def fake(first, *rest, **options):
        name = (
            first
            if isinstance(first, str)
            else os.readlink(f"/proc/self/fd/{first}")
            if call == "write"
            else str(first)
        )
        if on.is_set() and part in str(name) and ".ring" not in str(name):
            raise OSError(number, os.strerror(number))
        return real(first, *rest, **options)

    monkeypatch.setattr(os, call, fake)
    return on


@pytest.mark.parametrize("call", ["write", "open"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EIO, errno.EDQUOT, errno.EMFILE])
def test_what_the_disk_refuses_is_kept_and_written_when_it_is_back(
    root, made, monkeypatch, capfd, call, number
):
    on = refuse(monkeypatch, call, number, "/system.jsonl")
    handler, log = made(flush_interval=0.01)
    for n in range(100):
        log.info("m%d", n)
    time.sleep(0.3)
    assert messages(root) == []
    assert handler.stats()["retried"] >= 1
    on.clear()
    handler.flush()
    assert_once(root, [f"m{n}" for n in range(100)])
    stats = handler.stats()
    assert (stats["dropped"], stats["withdrawn"]) == (0, 0)
    said = capfd.readouterr().err
    assert said.count("cannot be written") == 1
    handler.flush()
    assert [line["event_type"] for line in lines(root)][-1] == "writing_recovered"


def test_other_files_go_on_while_one_is_refused(root, made, monkeypatch):
    on = refuse(monkeypatch, "open", errno.EACCES, "projects/bad")
    handler, log = made(flush_interval=0.01, flush_timeout=0.5)
    for n in range(50):
        log.info("b%d", n, extra={"project_id": "bad"})
        log.info("g%d", n, extra={"project_id": "good"})
    handler.flush()
    assert messages(root) == [f"g{n}" for n in range(50)]
    on.clear()
    handler.close()
    assert_once(root, [f"{c}{n}" for n in range(50) for c in "bg"])


@pytest.mark.parametrize("spool", ["auto", "off"])
def test_a_file_that_stays_refused_takes_no_room_from_others(root, made, monkeypatch, spool):
    on = refuse(monkeypatch, "open", errno.EACCES, "projects/bad")
    handler, log = made(flush_interval=0.01, flush_timeout=0.05, buffer_bytes=1 << 17, spool=spool)
    for n in range(20):
        log.info("b%d", n, extra={"project_id": "bad"})
    for n in range(4000):
        log.info("g%d", n, extra={"project_id": "good"})
        if n % 100 == 0:
            handler.flush()
    assert handler.stats()["dropped"] == 0
    assert len(messages(root)) >= 3900
    on.clear()
    handler.close()
    assert_once(root, [*(f"b{n}" for n in range(20)), *(f"g{n}" for n in range(4000))])


@pytest.mark.parametrize("turn", [1, 15, 25])
def test_a_kill_while_lines_are_moved_within_the_ring_loses_none_and_doubles_none(root, turn):
    code = f"""
from llm_logging.files.spool import ring as rings
real_open, real_store, real_done, turns = os.open, rings.Ring.store, rings.Ring.mark_done, 0
def refuse(name, *rest, **options):
    if "projects/bad" in str(name):
        raise PermissionError(13, "no", name)
    return real_open(name, *rest, **options)
os.open = refuse
def repack(ring, real=rings.Ring.repack):
    def step(call):
        def counted(*args, **options):
            global turns
            turns += 1
            if turns == {turn}:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **options)
        return counted
    rings.Ring.store, rings.Ring.mark_done = step(real_store), step(real_done)
    try:
        moved = real(ring)
    finally:
        rings.Ring.store, rings.Ring.mark_done = real_store, real_done
    return moved
rings.Ring.repack = repack
h = attach(flush_interval=0.01, flush_timeout=0.05, buffer_bytes=1 << 17)
for n in range(20):
    log.info("b%d", n, extra={{"project_id": "bad"}})
for n in range(400):
    log.info("g%d", n, extra={{"project_id": "good", "pad": "x" * 1000}})
    print(n, flush=True)
    if n % 10 == 0:
        h.flush()
"""
    done = run(code, root, check=False, timeout=120)
    assert done.returncode == -9, done.stderr
    last = int(done.stdout.split()[-1])
    handler = LLMFileHandler(root)
    deadline = time.monotonic() + 10
    while len(rings(root)) > 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    handler.close()
    # The line that was being logged may be there or not.
    there = f"g{last + 1}" in messages(root)
    assert_once(root, [*(f"b{n}" for n in range(20)), *(f"g{n}" for n in range(last + 1 + there))])


def test_a_flush_tries_what_pauses_at_once(root, made, monkeypatch):
    monkeypatch.setattr("llm_logging.handler.writing.file_pool._FIRST_PAUSE", 600.0)
    monkeypatch.setattr("llm_logging.handler.writing.file_pool._MAX_PAUSE", 600.0)
    on = refuse(monkeypatch, "write", errno.ENOSPC, "/system.jsonl")
    handler, log = made(flush_interval=0.0)
    log.info("m0")
    deadline = time.monotonic() + 10
    while not handler.stats()["retried"] and time.monotonic() < deadline:
        time.sleep(0.01)
    on.clear()
    handler.flush()
    assert messages(root) == ["m0"]


def test_an_interrupt_in_the_middle_of_a_write_doubles_no_line(root, made, monkeypatch):
    from llm_logging.handler.writing.rotating_file import AppendFile

    real, interrupted = AppendFile._write, threading.Event()

    def write(self, fd, size, data):
        real(self, fd, size, data)
        if not interrupted.is_set():
            interrupted.set()
            raise MemoryError

    monkeypatch.setattr(AppendFile, "_write", write)
    handler, log = made(flush_interval=0.0)
    for n in range(50):
        log.info("m%d", n)
    handler.flush()
    assert interrupted.is_set()
    assert_once(root, [f"m{n}" for n in range(50)])


def test_a_close_writes_what_lies_behind_more_than_a_batch_of_a_refused_file(root, made, monkeypatch):
    refuse(monkeypatch, "open", errno.EACCES, "projects/bad")
    handler, log = made(flush_interval=30, flush_timeout=0.5)
    for _ in range(30):
        log.info("b", extra={"project_id": "bad", "x": "x" * 50_000})
    for n in range(50):
        log.info("g%d", n, extra={"project_id": "good"})
    handler.close()
    assert messages(root) == [f"g{n}" for n in range(50)]


def test_a_synchronous_caller_is_told_after_a_second_try_and_his_line_is_withdrawn(root, made, monkeypatch):
    on = refuse(monkeypatch, "write", errno.EIO, "llm_requests.jsonl")
    handler, log = made()
    adapter = LLMLoggerAdapter(log, {"project_id": "shop", "chat_id": "c"})
    began = time.monotonic()
    with pytest.raises(FileSystemError) as caught:
        adapter.log_llm_request({"model": "m", "status": "success"})
    assert time.monotonic() - began < 2
    assert caught.value.errno == errno.EIO
    assert handler.stats()["withdrawn"] == 1
    on.clear()
    good = adapter.log_llm_request({"model": "m", "status": "success"})
    assert [line["id"] for line in lines(root) if line["event_type"] == "llm_request"] == [good.id]


def test_a_withdrawn_line_is_not_written_with_its_neighbours(root, made, monkeypatch):
    on = refuse(monkeypatch, "write", errno.EIO, "llm_requests.jsonl")
    handler, log = made(flush_interval=30)
    adapter = LLMLoggerAdapter(log, {"project_id": "shop", "chat_id": "c"})
    kept = {"llm_request": {"model": "kept", "status": "success"}}
    adapter.info("one", extra=kept)
    with pytest.raises(FileSystemError):
        adapter.log_llm_request({"model": "told", "status": "success"})
    adapter.info("two", extra=kept)
    on.clear()
    handler.flush()
    assert [line["model"] for line in lines(root) if line["event_type"] == "llm_request"] == ["kept", "kept"]


def test_callers_who_wait_share_a_write(root, made, monkeypatch):
    handler, log = made()
    adapter = LLMLoggerAdapter(log, {"project_id": "shop", "chat_id": "c"})
    adapter.log_llm_request({"model": "m", "status": "success"})
    real, writes = os.write, []

    def slow(fd, data):
        time.sleep(0.02)
        writes.append(len(data))
        return real(fd, data)

    monkeypatch.setattr(os, "write", slow)
    threads = [
        threading.Thread(target=lambda: adapter.log_llm_request({"model": "m", "status": "success"}))
        for _ in range(40)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    monkeypatch.undo()
    assert len([line for line in lines(root) if line["event_type"] == "llm_request"]) == 41
    assert len(writes) < 20


def test_a_hung_holder_of_a_lock_holds_nobody_up_for_ever(root, made):
    handler, log = made(flush_interval=0.01)
    log.info("m0")
    handler.flush()
    with open(root / "logs/.__system.jsonl.lock", "r+b") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        began = time.monotonic()
        for n in range(1, 100):
            log.info("m%d", n)
        assert time.monotonic() - began < 0.5
        handler.flush()
        assert time.monotonic() - began < 6
        assert messages(root) == ["m0"]
    handler.flush()
    assert_once(root, [f"m{n}" for n in range(100)])


def test_a_write_that_hangs_in_the_disk_does_not_hold_up_close(root, made, monkeypatch, capfd):
    handler, log = made(flush_interval=0.01, flush_timeout=0.3)
    log.info("m0")
    handler.flush()
    real, gate = os.write, threading.Event()
    monkeypatch.setattr(
        os,
        "write",
        lambda fd, data: (
            (threading.current_thread().name == "llm_logging-writer" and gate.wait(20))
            and 0
            or real(fd, data)
        ),
    )
    log.info("m1")
    time.sleep(0.1)
    began = time.monotonic()
    handler.close()
    assert time.monotonic() - began < 3
    gate.set()
    time.sleep(0.3)
    monkeypatch.undo()
    assert messages(root).count("m1") == 1
    assert "kept for the next writer" in capfd.readouterr().err


@pytest.mark.parametrize("noticed", ["by a flush", "by callers"])
def test_a_write_that_hangs_is_said_and_holds_up_no_caller(root, made, monkeypatch, capfd, noticed):
    handler, log = made(flush_interval=0.01, flush_timeout=3.0, flush_bytes=10_000)
    real, gate = os.write, threading.Event()
    monkeypatch.setattr(
        os, "write", lambda fd, data: (b"m0" in data and gate.wait(20) and 0) or real(fd, data)
    )
    log.info("m0")
    worst, number, began = 0.0, 0, time.monotonic()
    if noticed == "by a flush":
        handler.flush()
    while noticed == "by callers" and time.monotonic() - began < 2.5:
        before, number = time.monotonic(), number + 1
        log.info("m%d %s", number, "x" * 100)
        worst = max(worst, time.monotonic() - before)
        time.sleep(0.005)
    gate.set()
    handler.flush()
    monkeypatch.undo()
    assert worst < 0.5
    assert re.search(r"system\.jsonl has not come to an end for \d s", capfd.readouterr().err)
    assert len(messages(root, r"m\d+.*")) == number + 1


def test_a_full_disk_for_real(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], capture_output=True
    ).returncode:
        pytest.skip("mounting a small tmpfs is not allowed here")
    try:
        root = disk / "logs"
        (disk / "ballast").write_bytes(b"x" * (200 << 10))
        handler = LLMFileHandler(root, flush_interval=0.01, flush_timeout=0.5)
        import logging

        log = logging.getLogger("test.full")
        log.propagate = False
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        for n in range(2000):
            log.info("m%d", n)
        handler.flush()
        assert 0 < len(messages(root)) < 2000
        (disk / "ballast").unlink()
        (disk / "more").mkdir()
        subprocess.run(["mount", "-o", "remount,size=4m", disk], check=True)
        time.sleep(0.2)
        handler._flush_timeout = 10
        handler.flush()
        assert_once(root, [f"m{n}" for n in range(2000)])
        handler.close()
        log.removeHandler(handler)
    finally:
        subprocess.run(["umount", "-l", disk], check=False)


UNSHARED = ["unshare", "-m", "sh", "-c"]


@pytest.mark.parametrize(("size", "place"), [("300k", "shm"), ("64m", "root")])
def test_a_full_disk_of_the_root_gives_way_to_shared_memory(root, size, place):
    import sys

    from tests.processes import PRELUDE, REPOSITORY

    code = PRELUDE + "attach(flush_interval=30); write(0, 5)\nprint(log.handlers[0]._writer._spool.ring.path)"
    root.mkdir()
    script = f'mount -t tmpfs -o size={size} tmpfs "$2" && "$0" -c "$1" "$2"; cp -r "$2" "$2.kept"'
    done = subprocess.run(
        [*UNSHARED, script, sys.executable, code, root], capture_output=True, text=True, cwd=REPOSITORY
    )
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip("a mount namespace of one's own is not allowed here")
    assert done.stdout.startswith(str(root / ".spool") if place == "root" else "/dev/shm/"), done.stderr
    assert_once(root.with_name(root.name + ".kept"), [f"m{n}" for n in range(5)])


def test_no_mapping_at_all_is_a_memory_buffer_with_a_notice(root, made, monkeypatch, capfd):
    monkeypatch.setattr(
        os, "posix_fallocate", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full"))
    )
    handler, log = made()
    log.info("m0")
    handler.flush()
    assert handler.stats()["spool"] == "memory"
    assert "plain memory" in capfd.readouterr().err
    assert messages(root) == ["m0"]
    assert not rings(root)


def test_a_file_size_limit_is_a_short_write_then_a_refusal(root):
    code = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
handler = attach(spool="off", flush_interval=30, flush_timeout=1, max_bytes=0)
write(0, 300)
handler.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
time.sleep(0.5)
handler.flush()
"""
    run(code, root)
    assert_once(root, [f"m{n}" for n in range(300)])


def test_a_flush_does_not_take_a_moved_line_for_written(root, made, monkeypatch):
    refuse(monkeypatch, "open", errno.EACCES, "projects/bad")
    handler, log = made(flush_interval=0.01, flush_timeout=0.3, buffer_bytes=1 << 17)
    log.info("b0", extra={"project_id": "bad"})
    spool = handler._writer._spool
    goal = spool.ring.head
    deadline = time.monotonic() + 20
    while not spool.ring.moved_to and time.monotonic() < deadline:
        log.info("g", extra={"project_id": "good", "pad": "x" * 500})
        time.sleep(0.001)
    assert spool.ring.moved_to > goal
    assert spool.ring.tail >= goal
    assert not spool.ring.reached(goal)
    assert not handler._writer.flush(0.2)


@pytest.mark.parametrize("left", [0, 6])
def test_a_program_that_uses_up_its_descriptors_leaves_room_to_write(root, left):
    """Each log takes two; lines of many projects are written one file after the other, where no more can be open."""
    run(
        f"""
import resource
handler = attach(flush_timeout=5.0)
write(0, 5)
handler.flush()
resource.setrlimit(resource.RLIMIT_NOFILE, (30, 30))
taken = []
try:
    while True:
        taken.append(os.dup(0))
except OSError:
    pass
for descriptor in taken[:{left}]:
    os.close(descriptor)
for n in range(5, 60):
    log.info("m%d", n, extra={{"project_id": f"p{{n % 20}}"}})
handler.flush()
assert handler.stats()["written"] == 60, handler.stats()
""",
        root,
    )
    assert_once(root, [f"m{n}" for n in range(60)])


def test_a_process_whose_folder_was_removed_can_begin_to_log(root, tmp_path):
    (tmp_path / "gone").mkdir()
    run(f"os.chdir({str(tmp_path / 'gone')!r})\nos.rmdir(os.getcwd())\nattach()\nwrite(0, 10)", root)
    assert_once(root, [f"m{n}" for n in range(10)])
