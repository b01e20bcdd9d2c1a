"""Start and end of processes: writers flush at exit and start empty after a fork.

The first writer registers `atexit`, and in a child of `multiprocessing`, which skips `atexit`, that module's own finalisers.
`logging.shutdown` runs after these; a record logged later still is written by its caller.
"""

from __future__ import annotations

import atexit
import contextlib
import sys
import weakref
from typing import Any, Protocol

from ...runtime.forks import at_fork, check_fork

__all__ = ["enrol", "exiting", "hook_exit", "threads_run"]


# Options of uWSGI with which its workers let other threads run.
_THREAD_OPTIONS = ("enable-threads", "threads", "gevent")


class _Writer(Protocol):
    def close(self) -> None: ...

    def after_fork(self) -> None: ...


class _State:
    exiting = False
    hooked = False


_writers: weakref.WeakSet[_Writer] = weakref.WeakSet()


def enrol(writer: _Writer) -> None:
    """Have a writer closed when the process exits, and started empty in a forked child."""
    _writers.add(writer)


def exiting() -> bool:
    """Say whether the interpreter has begun to exit: no new threads then."""
    return _State.exiting


def hook_exit() -> None:
    """Be called when the interpreter exits, or a child of multiprocessing."""
    if not _State.hooked:
        _State.hooked = True
        atexit.register(_at_exit)
    util = sys.modules.get("multiprocessing.util")
    parent = getattr(sys.modules.get("multiprocessing.process"), "parent_process", None)
    if util is not None and parent is not None and parent() is not None:
        util.Finalize(None, _at_exit, exitpriority=-1000)


def threads_run() -> bool:
    """Say whether this process may have a thread.

    uWSGI's workers keep the interpreter's lock while they wait, unless told otherwise, so no other thread runs. Its master forks
    them: a thread that asks for the lock in that moment leaves the worker waiting for ever for it to take it.
    """
    uwsgi: Any = sys.modules.get("uwsgi")
    options = getattr(uwsgi, "opt", None)
    if options is None:
        return True
    return uwsgi.worker_id() > 0 and any(name in options for name in _THREAD_OPTIONS)


def _at_exit() -> None:
    check_fork()
    _State.exiting = True
    _close_writers()
    util = sys.modules.get("multiprocessing.util")
    parent = getattr(sys.modules.get("multiprocessing.process"), "parent_process", None)
    if util is not None and parent is not None and parent() is None:
        # It may yet end its daemons, by a signal: what these leave is written after that.
        util.Finalize(None, _close_writers, exitpriority=-1000)


def _close_writers() -> None:
    for writer in list(_writers):
        with contextlib.suppress(Exception):
            writer.close()


def _after_fork() -> None:
    _State.exiting = False
    for writer in list(_writers):
        writer.after_fork()


at_fork(_after_fork)
