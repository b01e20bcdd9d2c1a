"""What rotation.py uses of concurrent-log-handler, which gives no promise for names that begin with an underscore."""

from __future__ import annotations

import inspect
import logging
import threading
from importlib.metadata import version

import pytest
from concurrent_log_handler import ConcurrentRotatingFileHandler

from llm_logging.handler.writing.rotating_file import AppendFile, FileOptions

METHODS = [
    "_do_lock",
    "_do_unlock",
    "_lock_stream_lock",
    "_open_lockfile",
    "_close",
    "do_open",
    "atomic_open",
    "getLockFilename",
]
ATTRIBUTES = [
    "stream",
    "stream_lock",
    "is_locked",
    "lockFilename",
    "maxLockAttempts",
    "num_rollovers",
    "_thread_lock",
    "baseFilename",
]


def make(path):
    return AppendFile(str(path), FileOptions(), sealed=lambda *_: None, notice=lambda *_: None)


def test_the_version_is_one_we_have_read():
    assert version("concurrent-log-handler").startswith("0.9.")


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_there(name):
    assert inspect.isfunction(getattr(ConcurrentRotatingFileHandler, name))


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_an_attribute_is_there(tmp_path, name):
    assert hasattr(ConcurrentRotatingFileHandler(str(tmp_path / "x.log")), name)


def test_locking_opens_the_lock_file_by_our_method_and_sets_what_unlocking_clears(tmp_path):
    file = make(tmp_path / "a.jsonl")
    file._do_lock()
    assert file.is_locked
    assert file.lockFilename == str(tmp_path / ".__a.jsonl.lock")
    assert (tmp_path / ".__a.jsonl.lock").stat().st_mode & 0o777 == 0o600
    file._do_unlock()
    assert not file.is_locked
    file.let_go()


def test_a_refused_lock_raises_after_one_attempt_and_gives_the_thread_lock_back(tmp_path):
    file = make(tmp_path / "a.jsonl")
    calls = []
    file._lock_stream_lock = lambda _: calls.append(1) or (_ for _ in ()).throw(BlockingIOError)
    with pytest.raises(RuntimeError):
        file._do_lock()
    assert calls == [1]
    got = []
    other = threading.Thread(target=lambda: got.append(file._thread_lock.acquire(blocking=False)))
    other.start()
    other.join()
    assert got == [True]
    file.let_go()


def test_another_file_of_the_same_settings_shares_nothing_and_is_unknown_to_logging(tmp_path):
    first = make(tmp_path / "a.jsonl")
    known = len(logging._handlerList)
    with logging._lock:
        # As while dictConfig closes handlers: whoever writes must not need logging's lock.
        made = []
        thread = threading.Thread(target=lambda: made.append(first.of(str(tmp_path / "b.jsonl"))))
        thread.start()
        thread.join(5)
        assert made
        writing = threading.Thread(target=lambda: (made[0].append(b"{}\n"), made[0].let_go()))
        writing.start()
        writing.join(5)
        assert not writing.is_alive()
    assert len(logging._handlerList) == known
    assert (tmp_path / "b.jsonl").read_bytes() == b"{}\n"
    assert not (tmp_path / "a.jsonl").exists()
    assert made[0]._thread_lock is not first._thread_lock
