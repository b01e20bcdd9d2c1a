"""Killed processes: what a logging call had returned for is in the files once somebody opens the root again, once."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.processes import assert_once, lines, messages, reopen, rings, run, start

DEATHS = {
    "kill -9": ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    "SIGTERM": ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(5)", -signal.SIGTERM),
    "os._exit": ("os._exit(4)", 4),
    "abort": ("os.abort()", -signal.SIGABRT),
    "a crash in C": ("ctypes.string_at(0)", -signal.SIGSEGV),
    "a crash in a thread": (
        "threading.Thread(target=ctypes.string_at, args=(0,)).start(); time.sleep(5)",
        -signal.SIGSEGV,
    ),
}


@pytest.mark.parametrize(("death", "spool"), [*((death, "auto") for death in DEATHS), ("kill -9", "root")])
def test_every_kill_loses_nothing(root, death, spool):
    code, status = DEATHS[death]
    done = run(f"attach(spool={spool!r}, flush_interval=30)\nwrite(0, 400)\n{code}\n", root, check=False)
    assert done.returncode == status, done.stderr
    reopen(root)
    assert_once(root, [f"m{n}" for n in range(400)])


def test_without_a_spool_a_kill_loses_what_was_not_written_and_no_line_is_torn(root):
    run(
        "h = attach(spool='off', flush_interval=30)\nwrite(0, 10); h.flush(); write(10, 20)\nos._exit(0)",
        root,
    )
    reopen(root)
    assert_once(root, [f"m{n}" for n in range(10)])


def test_a_kill_in_the_middle_of_logging_loses_no_line_whose_call_returned(root):
    child = start(
        "attach(max_bytes=20_000, compress='gz')\n"
        "for n in range(10**9):\n    log.info('m%d', n)\n    os.write(1, b'%d\\n' % n)\n",
        root,
    )
    assert child.stdout is not None
    said = os.read(child.stdout.fileno(), 1 << 16)
    while said.count(b"\n") < 3000:
        said += os.read(child.stdout.fileno(), 1 << 16)
    child.kill()
    while more := os.read(child.stdout.fileno(), 1 << 16):
        said += more
    child.communicate()
    reopen(root)
    last = int(said.split(b"\n")[-2])
    found = messages(root)
    # The line whose call was under way may be there or not.
    assert_once(root, [f"m{n}" for n in range(last + 1 + (f"m{last + 1}" in found))])


# Where, in the child, a system call of the writer's is cut off: before it, or after it and before it is noted.
POINTS = {
    "before the write": ("os.write", "stop(); return real(*a)", 2),
    "in the middle of a write": ("os.write", "real(a[0], a[1][: len(a[1]) // 2]); stop()", 1),
    "after the first write": ("os.write", "got = real(*a); stop(); return got", 1),
    "after a later write of the batch": ("os.write", "got = real(*a); stop(); return got", 3),
    "before the rename": ("naming.rename_new", "stop(); return real(*a)", 2),
    "after the rename": ("naming.rename_new", "real(*a); stop()", 2),
}


@pytest.mark.parametrize(
    ("point", "compress"), [*((point, "gz") for point in POINTS), ("after a later write of the batch", None)]
)
def test_a_kill_inside_append_or_rotation_writes_each_line_once(root, point, compress):
    name, body, turn = POINTS[point]
    code = f"""
from llm_logging.maintenance import sealing as naming
real, turn = {name}, 0
def stop():
    global turn
    turn += 1
    if turn == {turn}:
        os.kill(os.getpid(), signal.SIGKILL)
def fake(*a):
    if threading.current_thread().name != "llm_logging-writer":
        return real(*a)
    {body}
{name} = fake
handler = attach(max_bytes=5000, compress={compress!r}, flush_interval=0.2)
write(0, 200)
time.sleep(30)
"""
    done = run(code, root, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    reopen(root)
    assert_once(root, [f"m{n}" for n in range(200)])


def test_a_kill_while_lines_are_marked_writes_each_line_once(root):
    code = """
from llm_logging.files.spool import ring as rings
real, marked = rings.Ring.mark_done, 0
def mark(self, number):
    global marked
    real(self, number)
    marked += 1
    if marked == 7:
        os.kill(os.getpid(), signal.SIGKILL)
rings.Ring.mark_done = mark
attach(flush_interval=0.2)
for n in range(40):
    log.info("m%d", n, extra={"project_id": f"p{n % 2}"})
time.sleep(30)
"""
    assert run(code, root, check=False).returncode == -signal.SIGKILL
    reopen(root)
    assert_once(root, [f"m{n}" for n in range(40)])


@pytest.mark.parametrize("turn", [1, 2, 4])
def test_whoever_recovers_can_be_killed_too(root, turn):
    run("attach(flush_interval=30)\nwrite(0, 200)\nos._exit(0)", root)
    code = f"""
real, turn = os.write, 0
def fake(fd, data):
    global turn
    turn += 1
    got = real(fd, data if turn != 2 else data[:len(data) // 2])
    if turn == {turn}:
        os.kill(os.getpid(), signal.SIGKILL)
    return got
os.write = fake
attach(max_bytes=3000)
time.sleep(30)
"""
    assert run(code, root, check=False).returncode == -signal.SIGKILL
    reopen(root)
    assert_once(root, [f"m{n}" for n in range(200)])


def test_a_kill_while_compressing_is_finished_by_the_next(root):
    code = """
from llm_logging.files import compression
compression._copy = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
attach(max_bytes=2000, compress="gz", flush_interval=0)
write(0, 100)
time.sleep(30)
"""
    assert run(code, root, check=False).returncode == -signal.SIGKILL
    assert list(root.rglob(".*.tmp"))
    run("attach(max_bytes=2000, compress='gz')\nwrite(100, 200)", root)
    assert_once(root, [f"m{n}" for n in range(200)])
    assert not list(root.rglob(".*.tmp"))
    assert len(list(root.rglob("*.jsonl"))) <= 2  # the active file, and the note of clean closes


def test_a_killed_process_is_recovered_by_a_sibling_that_lives(root):
    child = start("attach()\nwrite(0, 5, 'a')\nprint('ready', flush=True)\nsys.stdin.read()", root)
    assert child.stdout.readline() == "ready\n"
    run("attach(flush_interval=30)\nwrite(0, 300)\nos._exit(0)", root)
    deadline = time.monotonic() + 12
    while len(rings(root)) > 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(rings(root)) == 1
    child.kill()
    child.communicate()
    reopen(root)
    assert_once(root, [f"m{n}" for n in range(300)] + [f"a{n}" for n in range(5)])


def test_two_handlers_of_one_process_recover_a_ring_once(root):
    run("attach(flush_interval=30)\nwrite(0, 2000)\nos._exit(0)", root)
    code = """
handlers = [LLMFileHandler(root) for _ in range(6)]
time.sleep(1)
for handler in handlers:
    handler.close()
"""
    run(code, root)
    assert_once(root, [f"m{n}" for n in range(2000)])


def test_many_processes_recover_at_once_and_write_each_line_once(root):
    for n in range(4):
        run(f"attach(flush_interval=30)\nwrite({n * 500}, {n * 500 + 500})\nos._exit(0)", root)
    children = [start("attach()\ntime.sleep(1)", root) for _ in range(4)]
    for child in children:
        child.communicate()
    reopen(root)
    assert_once(root, [f"m{n}" for n in range(2000)])


def test_the_notice_of_a_recovery_says_how_many_lines(root):
    run("attach(flush_interval=30)\nwrite(0, 3)\nos._exit(0)", root)
    run("attach()\ntime.sleep(0.5)", root)
    (notice,) = [line for line in lines(root) if line["event_type"] == "spool_recovered"]
    assert notice["data"] == {"lines": 3, "rings": 1, "present": 0}


def test_a_line_larger_than_the_ring_outlives_its_process_and_keeps_its_place(root):
    code = """
attach(buffer_bytes=1 << 17, flush_interval=30)
write(0, 3)
log.info("m3", extra={"text": "x" * 50_000_000})
write(4, 6)
os._exit(0)
"""
    run(code, root)
    reopen(root)
    assert_once(root, [f"m{n}" for n in range(6)])
    assert max(len(str(line)) for line in lines(root)) > 50_000_000


def test_a_torn_tail_of_any_length_is_cut_by_the_next_writer(root):
    run("attach()\nwrite(0, 3)", root)
    with (root / "logs/system.jsonl").open("ab") as file:
        file.write(b'{"message":"torn' + b"x" * 20_000_000)
    run("attach()\nwrite(3, 6)", root)
    assert_once(root, [f"m{n}" for n in range(6)])
    assert (root / "logs/system.jsonl").stat().st_size < 10_000
