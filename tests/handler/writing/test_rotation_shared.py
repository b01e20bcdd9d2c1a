"""Several processes rotate one log in every way: what concurrent-log-handler's own stress tests vary, and CPython's ask."""

from __future__ import annotations

import logging
import os
import time

import pytest

from llm_logging import LLMFileHandler
from llm_logging.files.segments import list_segments
from tests.processes import assert_once, lines, messages, start

# Processes, lines of each, options, how many segments there are at least.
WAYS = {
    "by size": (3, 1500, "max_bytes=20_000", 20),
    "small files, many processes": (6, 150, "max_bytes=5 * 1024", 25),
    "a line or two a file, packed": (3, 40, "max_bytes=200, compress='gz'", 40),
    "by a period, packed": (3, 0, "rotate_interval='1s', compress='gz'", 1),
    "by size and period": (3, 0, "rotate_interval='1s', max_bytes=2000, compress='gz'", 20),
    "never": (2, 1500, "max_bytes=0, backup_count=5", 0),
    "a buffer of one file each time": (3, 400, "max_bytes=20_000, max_open_files=1, flush_interval=0", 5),
}


@pytest.mark.parametrize(("processes", "count", "options", "segments"), WAYS.values(), ids=WAYS.keys())
def test_processes_that_rotate_one_log_lose_and_double_nothing(root, processes, count, options, segments):
    # Without a number, over two ends of a period.
    loop = f"range({count})" if count else "iter(lambda n=__import__('itertools').count(): next(n), 120)"
    pause = "" if count else "; time.sleep(0.018)"
    children = [
        start(
            f"attach({options})\nfor n in {loop}: log.info('%s%d', '{name}', n){pause}\n",
            root,
        )
        for name in "abcdef"[:processes]
    ]
    for child in children:
        _, said = child.communicate(timeout=120)
        assert child.returncode == 0, said
    wanted = [f"{name}{n}" for name in "abcdef"[:processes] for n in range(count or 120)]
    assert_once(root, wanted)
    sealed = [segment for segment in list_segments(root / "logs" / "system.jsonl") if not segment.active]
    assert len(sealed) >= segments


def test_the_oldest_go_first_while_processes_rotate(root):
    children = [
        start(
            f"attach(max_bytes=3000, backup_count=3, compress='gz')\nfor n in range(600): log.info('{name}%d', n)",
            root,
        )
        for name in "abc"
    ]
    for child in children:
        _, said = child.communicate(timeout=120)
        assert child.returncode == 0, said
    handler = LLMFileHandler(root, max_bytes=3000, backup_count=3, compress="gz")
    handler.close()
    active = next(root.rglob("system.jsonl"))
    assert len([s for s in list_segments(active) if not s.active]) <= 4
    for name in "abc":
        numbers = [int(message[1:]) for message in messages(root) if message.startswith(name)]
        # Each process's lines that are left are in order; what is gone is older.
        assert numbers == sorted(set(numbers))
    assert len(lines(root)) < 1800


def test_nothing_is_made_before_the_first_record_and_writing_starts_anew_after_closing(root):
    handler = LLMFileHandler(root)
    assert not root.exists()
    record = logging.LogRecord("app", logging.INFO, __file__, 1, "m1", None, None)
    handler.handle(record)
    handler.close()
    assert messages(root) == ["m1"]
    handler.handle(logging.LogRecord("app", logging.INFO, __file__, 1, "m2", None, None))
    handler.close()
    assert messages(root) == ["m1", "m2"]


def test_a_file_older_than_its_period_is_sealed_by_whoever_comes_next(root):
    handler = LLMFileHandler(root, rotate_interval="1d")
    handler.handle(logging.LogRecord("app", logging.INFO, __file__, 1, "m1", None, None))
    handler.close()
    (active,) = root.rglob("system.jsonl")
    two_days_ago = time.time() - 2 * 86400
    os.utime(active, (two_days_ago, two_days_ago))
    handler = LLMFileHandler(root, rotate_interval="1d")
    handler.handle(logging.LogRecord("app", logging.INFO, __file__, 1, "m2", None, None))
    handler.close()
    assert [segment.active for segment in list_segments(active)] == [False, True]
    assert messages(root) == ["m1", "m2"]
