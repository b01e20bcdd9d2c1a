"""Notice that this process was forked, also where Python was not told of it.

uWSGI and other programs that embed Python fork in C, without running the hooks of `os.register_at_fork`. So the places where
a process begins to log ask `check_fork` first. Where the kernel can hand a forked child an empty page instead of a copy
(Linux, `MADV_WIPEONFORK`), that is one read of memory; else it is a comparison of process ids, which is a system call.
"""

from __future__ import annotations

import _imp
import mmap
import os
import sys
from collections.abc import Callable
from typing import Final

from .threads import Lock

__all__ = ["at_fork", "check_fork"]

_WIPE_ON_FORK: Final = 18  # MADV_WIPEONFORK, which the module `mmap` has no name for
_SECONDS: Final = 5.0

_hooks: list[Callable[[], None]] = []
# By process id: a lock that was held by another thread at the moment of a fork stays held in the child for ever.
_locks: dict[int, Lock] = {}
_pid = os.getpid()


def at_fork(hook: Callable[[], None]) -> None:
    """Have a function called in each forked child before it logs; calling it twice must do no harm."""
    _hooks.append(hook)


def _page() -> mmap.mmap | None:
    """Return a page that is empty in a forked child, or None where there is no such thing."""
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        page.madvise(_WIPE_ON_FORK)
    except (AttributeError, OSError, TypeError, ValueError):
        return None
    page[0] = 1
    return page


def _run_hooks() -> None:
    global _pid  # noqa: PLW0603  one process is noted
    for hook in _hooks:
        hook()
    # Last: where an exception ends this early, the next call does it again.
    _pid = os.getpid()
    if _mark is not None:
        _mark[0] = 1


def _tell_python() -> None:
    """Have Python itself put right what a fork in C left as it was: its lock, its list of threads, the locks of `logging`.

    A thread of the parent may have been waiting for the interpreter's lock at the moment of the fork. The copy of that lock
    in the child may then never wake a second thread. `PyOS_AfterFork_Child` makes a new one, and runs the hooks of
    `os.register_at_fork`. It forgets all other threads, so it is called only where there are none.
    """
    try:
        import ctypes

        alone = len(os.listdir("/proc/self/task")) == 1  # noqa: PTH208  a child does as little as it can
        python = ctypes.pythonapi
        python.PyInterpreterState_Get.restype = python.PyInterpreterState_Main.restype = ctypes.c_void_p
        if not alone or python.PyInterpreterState_Get() != python.PyInterpreterState_Main():
            return
        if sys.version_info >= (3, 13):
            # It ends by releasing the import lock, which Python's own fork takes, and aborts where this thread does not hold it.
            if _imp.lock_held():
                return  # perhaps by a thread of the parent
            _imp.acquire_lock()
        python.PyOS_AfterFork_Child()
    except (AttributeError, ImportError, OSError):
        # Another system or interpreter: our own hooks have to do.
        return


def _meet_fork() -> None:
    """Run the hooks, once, though several threads of a child may notice the fork at the same time."""
    lock = _locks.setdefault(os.getpid(), Lock())
    held = lock.acquire(timeout=_SECONDS)
    try:
        if _pid != os.getpid() or (_mark is not None and not _mark[0]):
            _tell_python()
        if _pid != os.getpid() or (_mark is not None and not _mark[0]):
            _run_hooks()
    finally:
        if held:
            lock.release()


def _check_page() -> None:
    """Run the hooks if this process is a fork that has not run them yet."""
    if not _mark[0]:  # type: ignore[index]  # only where there is a page
        _meet_fork()


def _check_pid() -> None:
    """Run the hooks if this process is a fork that has not run them yet."""
    if _pid != os.getpid():
        _meet_fork()


_mark = _page()
check_fork: Final = _check_pid if _mark is None else _check_page

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_run_hooks)
