"""Where rings lie: what outlives the restart of a container, and what is left to other programs."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llm_logging import LLMFileHandler
from llm_logging.files.spool import places
from llm_logging.files.spool.discovery import ring_files, ring_prefix
from llm_logging.files.spool.places import file_system_of, places_for, shared_folder
from llm_logging.handler.writing.recovery import adopt, recover_root
from tests.processes import PRELUDE, REPOSITORY, assert_once, messages, reopen, rings, run, start


@pytest.fixture
def made(root, isolated):
    """Make a handler of the root, and a logger that has it alone."""
    handler = LLMFileHandler(root)
    yield handler, isolated(handler)
    handler.close()


needs_shared_memory = pytest.mark.skipif(shared_folder() is None, reason="needs /dev/shm")


def in_container(code: str, root: Path, *, size: str = "64m") -> subprocess.CompletedProcess[str]:
    """Run code where /dev/shm is new and has this size, as in a container that was started again."""
    script = (
        f'mount --make-rprivate / && mount -t tmpfs -o size={size} tmpfs /dev/shm && exec "$0" -c "$1" "$2"'
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, sys.executable, PRELUDE + code, root],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
    )
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip("a mount namespace of one's own is not allowed here")
    return done


@pytest.mark.parametrize(("spool", "kept"), [("auto", 300), ("root", 300), ("shm", 0)])
def test_a_restart_of_the_container_keeps_what_lies_in_the_root(root, spool, kept):
    done = in_container(f"attach(spool={spool!r}, flush_interval=30)\nwrite(0, 300)\nos._exit(3)", root)
    assert done.returncode == 3, done.stderr
    in_container("attach()\ntime.sleep(0.3)", root)
    assert len(messages(root)) == kept


def test_many_workers_leave_shared_memory_to_others(root):
    code = """
import subprocess
worker = "import sys; sys.argv[1:] = [%r]; exec(%r)" % (root, open('/proc/self/cmdline').read().split(chr(0))[2].split('import subprocess')[0]
    + "attach(spool='shm', flush_interval=30, overflow_wait=0)\\nlog.info('x' * 3000)\\nwrite(0, 3000)\\nprint('up', flush=True); sys.stdin.read()")
ps = [subprocess.Popen([sys.executable, '-c', worker], stdin=-1, stdout=-1) for _ in range(6)]
[p.stdout.readline() for p in ps]
info = os.statvfs('/dev/shm')
print(info.f_bavail * info.f_frsize >> 10)
[p.communicate() for p in ps]
"""
    done = in_container(code, root, size="16m")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 8 << 10
    assert len(messages(root)) == 6 * 3000


def test_a_scarce_shared_memory_gives_way_to_plain_memory_with_one_notice(root):
    code = "a, b = attach(spool='shm'), LLMFileHandler(root, spool='shm')\nwrite(0, 5)\nprint(a.stats()['spool'])"
    done = in_container(code, root, size="200k")
    assert done.stdout == "memory\n"
    assert done.stderr.count("plain memory") == 1
    assert_once(root, [f"m{n}" for n in range(5)])


# -- which place -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("system", "wanted"),
    [
        ("ext4", ["root", "shm"]),
        ("xfs", ["root", "shm"]),
        ("overlay", ["root", "shm"]),
        ("tmpfs", ["root", "shm"]),
        ("something-new", ["root", "shm"]),
        ("nfs4", ["shm"]),
        ("cifs", ["shm"]),
        ("fuse.sshfs", ["shm"]),
        ("9p", ["shm"]),
        ("ceph", ["shm"]),
        ("virtiofs", ["shm"]),
        ("btrfs", ["shm", "root"]),
        ("zfs", ["shm", "root"]),
    ],
)
@needs_shared_memory
def test_rings_lie_in_the_root_unless_its_file_system_forbids_it(tmp_path, monkeypatch, system, wanted):
    root = tmp_path / "a b" / "llm"
    mounts = tmp_path / "mountinfo"
    point = str(tmp_path / "a b").replace(" ", "\\040")
    mounts.write_text(
        "22 1 254:0 / / rw - ext3 /dev/vda rw\n"
        f"30 22 0:44 / {point} rw,relatime shared:7 - iso9660 below rw\n"
        f"31 22 0:45 / {point} rw,relatime shared:7 master:2 - {system} host:/x rw\n"
        f"32 22 0:46 / {point}2 rw - minix none rw\n"
    )
    monkeypatch.setattr(places, "_MOUNTS", str(mounts))
    assert file_system_of(root) == system
    assert ["shm" if place.shared else "root" for place in places_for(root, "auto")] == wanted
    assert [place.shared for place in places_for(root, "root")] == [False]
    assert [place.shared for place in places_for(root, "shm")] == [True]


def test_a_root_at_rest_holds_logs_only_and_a_ring_is_private(root, made):
    handler, log = made
    log.info("m0")
    (ring,) = rings(root)
    assert ring.parent == root / ".spool"
    assert stat.S_IMODE(ring.stat().st_mode) == 0o600
    assert stat.S_IMODE(ring.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    handler.close()
    assert not (root / ".spool").exists()


def test_a_folder_of_another_kind_is_not_used(root, made):
    root.mkdir()
    (root / ".spool").symlink_to(root.parent)
    _, log = made
    log.info("m0")
    assert all(
        path.parent == shared_folder() for path in rings(root) if path.name.startswith(ring_prefix(root))
    )
    assert not list(root.parent.glob("*.ring"))


def test_a_removed_root_gets_a_ring_that_outlives_the_process_again(root):
    code = """
from llm_logging.handler.writing import recovery_schedule as recoverer
import shutil
recoverer._LOOK_SECONDS = 0.01
handler = attach(flush_interval=0.01)
write(0, 5); handler.flush()
shutil.rmtree(root)
write(5, 9)
deadline = time.monotonic() + 10
while not os.path.isdir(root + '/.spool') and time.monotonic() < deadline:
    log.info("n"); time.sleep(0.02)
handler.flush(); time.sleep(0.1)
handler._writer._drain.write_all = lambda *_, **__: None
write(9, 400)
os._exit(5)
"""
    assert run(code, root, check=False).returncode == 5
    reopen(root)
    # The first five went with the folder.
    assert messages(root) == [f"m{n}" for n in range(5, 400)]


# -- moved and copied --------------------------------------------------------------------------------------------------


def test_a_moved_root_gets_the_lines_of_its_rings(root):
    run("attach(flush_interval=30)\nwrite(0, 50)\nos._exit(0)", root)
    moved = root.with_name("moved")
    root.rename(moved)
    reopen(moved)
    assert_once(moved, [f"m{n}" for n in range(50)])
    assert not root.exists()


def test_a_copy_of_a_root_in_use_has_each_line_once_and_leaves_the_original_alone(root):
    code = "h = attach(flush_interval=30)\nwrite(0, 50)\nprint(flush=True)\nsys.stdin.readline()\nh.flush()\nprint(flush=True)\nsys.stdin.read()"
    child = start(code, root)
    child.stdout.readline()
    copy = root.with_name("copy")
    # As rsync may: the ring first, the logs later.
    shutil.copytree(root / ".spool", copy / ".spool")
    (copy / ".spool").chmod(0o700)
    child.stdin.write("\n")
    child.stdin.flush()
    child.stdout.readline()
    shutil.copytree(root, copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".spool"))
    reopen(copy)
    assert_once(copy, [f"m{n}" for n in range(50)])
    child.communicate()
    assert_once(root, [f"m{n}" for n in range(50)])


# -- rings of other roots ----------------------------------------------------------------------------------------------


def left_behind(root: Path) -> None:
    run("attach(spool='shm', flush_interval=30)\nwrite(0, 20)\nos._exit(0)", root)
    assert rings(root)


@needs_shared_memory
def test_rings_of_removed_roots_are_removed_by_any_writer(root):
    others = [root.with_name(f"gone{n}") for n in range(3)]
    for other in others:
        left_behind(other)
        shutil.rmtree(other)
    run("attach()\nwrite(0, 1)\ntime.sleep(0.5)", root)
    assert not [path for other in others for path in rings(other)]
    assert not any(other.exists() for other in others)


@needs_shared_memory
def test_rings_of_other_roots_are_written_to_these_by_any_writer(root):
    other = root.with_name("other")
    left_behind(other)
    run("attach()\nwrite(0, 1)\ntime.sleep(0.5)", root)
    assert not rings(other)
    assert_once(other, [f"m{n}" for n in range(20)])
    assert_once(root, ["m0"])


@needs_shared_memory
def test_rings_whose_root_is_not_mounted_stay_and_the_doctor_says_so(root):
    disk = root.with_name("disk")
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", disk], check=False).returncode:
        pytest.skip("a disk of its own needs root")
    try:
        left_behind(disk / "llm")
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
    root.mkdir()
    adopt(root)
    (ring,) = rings(disk / "llm")
    said = subprocess.run(
        [sys.executable, "-m", "llm_logging", "doctor", "--quick", "--root", root],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
    ).stdout
    ring.unlink()
    assert "20 lines of a process that is gone wait for" in said
    assert str(disk / "llm") in said


@needs_shared_memory
def test_a_living_process_keeps_its_ring_whatever_became_of_its_root(root):
    other = root.with_name("other")
    child = start(
        "attach(spool='shm', flush_interval=30)\nwrite(0, 9)\nprint(flush=True)\nsys.stdin.read()", other
    )
    child.stdout.readline()
    shutil.rmtree(other)
    root.mkdir()
    adopt(root)
    assert len(rings(other)) == 1
    child.communicate()
    assert_once(other, [f"m{n}" for n in range(9)])


def test_the_end_costs_little_where_no_process_left_anything(root, made):
    handler, log = made
    log.info("m0")
    handler.flush()
    taken = []
    for _ in range(20):
        began = time.perf_counter()
        handler._writer._recoverer.look_for_ended()
        taken.append(time.perf_counter() - began)
    assert min(taken) < 0.005


def test_after_a_restart_of_the_machine_lines_that_the_ring_lost_track_of_are_not_doubled(root, monkeypatch):
    run("h = attach(flush_interval=30)\nwrite(0, 40)\nh.flush()\nwrite(40, 60)\nos._exit(0)", root)
    (ring,) = rings(root)
    # The disk has an older state of the ring than of the log: nothing in it is marked written.
    from llm_logging.files.spool.ring import Ring
    from llm_logging.files.spool.ring_view import TAIL_AT, U64

    opened = Ring(ring)
    opened.clear_intent()
    U64.pack_into(opened.map, TAIL_AT, 0)
    opened.close(remove=False)
    monkeypatch.setattr("llm_logging.files.spool.discovery.boot_id", lambda: b"another running")
    report = recover_root(root)
    assert (report.present, report.lines) == (40, 20)
    assert_once(root, [f"m{n}" for n in range(60)])
    assert not list(ring_files(root))
    assert os.listdir(root) == ["logs"]
