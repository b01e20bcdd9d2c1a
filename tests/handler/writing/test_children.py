"""A parent that ends writes what its children left: those of pools, terminated, killed, or ended after its own exit began."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.processes import REPOSITORY, assert_once, messages, rings

APP = """
import logging, logging.config, multiprocessing as mp, os, subprocess, sys, time
from concurrent.futures import ProcessPoolExecutor
import llm_logging

def configure():
    if not logging.getLogger().handlers:
        logging.config.dictConfig(
            llm_logging.presets.production(root=sys.argv[1], spool=sys.argv[4], flush_interval=30.0)
        )

def work(number):
    configure()
    logging.getLogger("app").info("m%d", number)

def work_and_stay(number):
    work(number)
    open(f"{sys.argv[1]}.ready{number}", "w").close()
    time.sleep(60)

def begin(**options):
    processes = [mp.Process(target=work_and_stay, args=(n,), **options) for n in range(3)]
    for process in processes:
        process.start()
    while not all(os.path.exists(f"{sys.argv[1]}.ready{n}") for n in range(3)):
        time.sleep(0.005)
    return processes

if __name__ == "__main__":
    configure()
    mp.set_start_method(sys.argv[2])
    BODY
"""
BODIES = {
    "a pool in a block": ("with mp.Pool(3) as pool: pool.map(work, range(100))", 100),
    "a pool that is left open": ("pool = mp.Pool(3); pool.map(work, range(100))", 100),
    "an executor": ("with ProcessPoolExecutor(3) as pool: list(pool.map(work, range(100)))", 100),
    "terminated a moment ago": ("[p.terminate() for p in begin()]", 3),
    "killed a moment ago": ("[p.kill() for p in begin()]", 3),
    "daemons, ended at exit": ("begin(daemon=True)", 3),
    "daemons of a parent that logged": ("logging.getLogger('app').info('parent'); begin(daemon=True)", 3),
}


@pytest.mark.parametrize(
    ("method", "body", "spool"),
    [
        *(("fork", body, "auto") for body in BODIES),
        ("fork", "a pool in a block", "shm"),
        ("fork", "terminated a moment ago", "shm"),
        ("spawn", "a pool in a block", "auto"),
        ("spawn", "daemons, ended at exit", "auto"),
        ("forkserver", "a pool in a block", "auto"),
        ("forkserver", "killed a moment ago", "auto"),
    ],
)
def test_a_parent_that_ends_writes_what_its_children_left(root, tmp_path, method, body, spool):
    code, count = BODIES[body]
    script = tmp_path / "app.py"
    script.write_text(APP.replace("BODY", code))
    for number in range(3):
        own = root.with_name(f"root{number}")
        command = [sys.executable, str(script), str(own), method, "-", spool]
        done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, timeout=60)
        assert done.returncode == 0, done.stderr
        assert sorted(messages(own)) == sorted(f"m{n}" for n in range(count))
        assert_once(own, [f"m{n}" for n in range(count)])
        assert not rings(own)
