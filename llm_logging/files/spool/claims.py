"""Which rings this process holds, and the lock that tells other processes.

A POSIX lock dies with its process and is not inherited by a fork. It keeps only other processes away, and closing any
descriptor of the file drops it. So every opening of a ring is preceded by a claim within the process.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ...runtime.forks import at_fork

try:
    import fcntl
except ImportError:  # pragma: no cover  Windows has no POSIX locks, so no spool that outlives its process
    fcntl = None  # type: ignore[assignment]

__all__ = ["claim", "claimed", "disclaim", "held_here", "holder_of", "lock"]

# A forked child holds none: its parent's rings are locked against it too.
# Held weakly: a ring that an exception kept from being used is let go, and removes its file.
_ours: dict[str, Callable[[], object | None]] = {}

at_fork(_ours.clear)


def lock(fd: int) -> None:
    """Lock a ring for this process.

    Raises:
        OSError: BlockingIOError where another process holds it.
    """
    if fcntl is None:  # pragma: no cover
        raise OSError("a spool that outlives its process needs POSIX locks, which this system does not have")
    fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def held_here(path: Path) -> bool:
    """Say whether this process holds a ring. Opening it once more, and closing that, would drop its lock."""
    return _real(path) in _ours


def holder_of(path: Path) -> object | None:
    """Return what holds a ring in this process."""
    known = _ours.get(_real(path))
    return known() if known is not None else None


def claim(path: Path, holder: object) -> bool:
    """Take a ring for a holder, against other threads; say whether it was free."""
    reference = weakref.ref(holder)
    return _ours.setdefault(_real(path), reference) is reference


class _Reading:
    """Holds a ring while it is only looked at."""

    __slots__ = ("__weakref__",)


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Take a ring for the block, to look at it; give whether it was free."""
    reading = _Reading()
    free = claim(path, reading)
    try:
        yield free
    finally:
        if free:
            disclaim(path)


def disclaim(path: Path) -> None:
    """Give a ring back."""
    _ours.pop(_real(path), None)


def _real(path: Path) -> str:
    return os.path.join(os.path.realpath(path.parent), path.name)  # noqa: PTH118
