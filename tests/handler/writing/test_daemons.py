"""Programs that start others, execute others in their place, or become daemons: each line once, and no file of theirs is touched."""

from __future__ import annotations

import sys

import pytest

from tests.processes import PRELUDE, assert_once, reopen, run

CHILD = f"CHILD = {PRELUDE + 'attach(); write(0, 30, sys.argv[2])'!r}\n"

PROGRAMS = {
    "posix_spawn": """
pid = os.posix_spawn(sys.executable, [sys.executable, "-c", CHILD, root, "c"], os.environ)
write(20, 40)
assert os.waitpid(pid, 0)[1] == 0
""",
    "exec": """
write(20, 40)
os.execv(sys.executable, [sys.executable, "-c", CHILD, root, "c"])
""",
    "exec from a thread": """
write(20, 40)
threading.Thread(target=os.execv, args=(sys.executable, [sys.executable, "-c", CHILD, root, "c"])).start()
time.sleep(30)
""",
    "a function before exec": """
import subprocess
subprocess.run(["true"], preexec_fn=lambda: write(0, 30, "c"), timeout=30)
write(20, 40)
""",
    "a daemon": """
write(20, 40)
if os.fork():
    os._exit(0)
os.setsid()
write(0, 10, "c")
if os.fork():
    os._exit(0)
os.chdir("/")
for stream in (0, 1, 2):
    os.dup2(os.open(os.devnull, os.O_RDWR), stream)
os.closerange(3, 256)
write(10, 30, "c")
""",
    "every descriptor closed": """
write(0, 30, "c")
handler.flush()
os.closerange(3, 256)
write(20, 40)
""",
}


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_every_line_is_written_once(root, program):
    head = "import warnings; warnings.simplefilter('ignore')\n"
    run(head + CHILD + "handler = attach(flush_interval=0.02)\nwrite(0, 20)\n" + program, root)
    reopen(root)
    assert_once(root, [f"m{n}" for n in range(40)] + [f"c{n}" for n in range(30)])


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX descriptors")
def test_descriptors_that_a_program_closed_and_opened_anew_are_left_alone(root, tmp_path):
    """Lines went into the program's own files, which were then cut back to what looked like a whole line."""
    code = f"""
handler = attach(flush_interval=0.01)
write(0, 20)
handler.flush()
os.closerange(3, 256)
own = [open(f"{tmp_path}/own{{n}}", "w+b") for n in range(12)]
for file in own:
    file.write(b"mine")
for n in range(20, 40):
    write(n, n + 1)
    time.sleep(0.003)
handler.flush()
write(40, 50)
handler.close()
for file in own:
    file.write(b"mine")
    file.close()
"""
    run(code, root)
    reopen(root)
    assert_once(root, [f"m{n}" for n in range(50)])
    assert {path.read_bytes() for path in tmp_path.glob("own*")} == {b"minemine"}
