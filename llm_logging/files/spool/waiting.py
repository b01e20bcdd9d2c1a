"""Lines that were logged and are not in their files yet: what a question reads before the files.

This process's own writers are asked to write. The rings of other processes, living or dead, are read as they are: without
their lock, and nothing in them is changed. A line may be written while its ring is read, so it may be met in its file
again: it has the same writer and number there.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import stat
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from .claims import claimed, holder_of
from .discovery import big_path, moved_path, resolve_big, ring_files
from .places import ring_folders, shared_folder
from .ring_view import BIG, RingRecord, RingView

__all__ = ["Waiting", "enrol_buffer", "find_waiting"]

_FLUSH_SECONDS = 1.0
_TRIES = 20


class _Buffer(Protocol):
    """A writer of this process."""

    root: Path

    def write_out(self, seconds: float) -> int:
        """Write what is stored; return how many lines stay where nobody else can read them."""


@dataclass(slots=True)
class Waiting:
    """What is not in the files yet.

    Attributes:
        lines: By the file that they are for.
        held: Lines of this process that cannot be written now, nor read.
        unreadable: Folders of rings that this user may not read.
        since_ns: When rings began to be read: what is written from then on may be in a file and among the lines.
    """

    lines: dict[str, list[bytes]] = field(default_factory=dict)
    held: int = 0
    unreadable: list[str] = field(default_factory=list)
    since_ns: int = field(default_factory=time.time_ns)

    def logs_in(self, folder: Path) -> set[Path]:
        """Return the files of a folder that lines are still to be written to."""
        return {path for name in self.lines if (path := Path(name)).parent == folder}


_buffers: weakref.WeakSet[_Buffer] = weakref.WeakSet()


def enrol_buffer(buffer: _Buffer) -> None:
    """Have a writer of this process asked for its lines before a question reads files."""
    _buffers.add(buffer)


def find_waiting(root: Path | None) -> Waiting:
    """Return the lines of a root that are not in its files yet.

    Call it before files are opened: what is written in between is then met twice, and counted once, instead of missed.

    Args:
        root: The folder of the logs; None only asks this process's writers to write.
    """
    found = Waiting(held=_write_out(root))
    if root is None:
        return found
    for folder in (*ring_folders(root), *_owner_folders(root)):
        if not _ours_or_owners(folder, root):
            continue
        try:
            for path in ring_files(root, [folder]):
                _read_ring(path, root, found.lines)
        except OSError:
            found.unreadable.append(os.fspath(folder))
    return found


def _write_out(root: Path | None) -> int:
    deadline = time.monotonic() + _FLUSH_SECONDS
    wanted = os.path.realpath(root) if root is not None else None
    held = 0
    for buffer in list(_buffers):
        if wanted is None or os.path.realpath(buffer.root) == wanted:
            held += buffer.write_out(max(0.0, deadline - time.monotonic()))
    return held


def _owner_folders(root: Path) -> Iterator[Path]:
    """Yield where the rings of the root's owner lie, if that is another user whose folder we may read."""
    shared = shared_folder()
    with contextlib.suppress(OSError):
        owner = root.stat().st_uid
        if shared is not None and owner != os.geteuid():
            yield shared.with_name(f"llm_logging-{owner}")


def _ours_or_owners(folder: Path, root: Path) -> bool:
    """Say whether nobody but us or the root's owner can have planted lines in a folder."""
    try:
        info = folder.lstat()
        owners = {os.geteuid(), root.stat().st_uid}
    except OSError:
        return False
    return stat.S_ISDIR(info.st_mode) and info.st_uid in owners and not info.st_mode & 0o022


def _read_ring(path: Path, root: Path, lines: dict[str, list[bytes]]) -> None:
    """Add the lines of one ring."""
    # What is not a ring, or not a whole one, is left out: recovery says so.
    with claimed(path) as free, contextlib.suppress(OSError, ValueError):
        if free:
            with _mapped(path) as buffer:
                _add_lines(RingView(path, buffer), _records(path, buffer), root, lines)
        elif isinstance(holder := holder_of(path), RingView):
            # This process holds it: one of its writers does, or takes over what a killed process left.
            _add_lines(holder, _records(path, holder.map), root, lines)


@contextlib.contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    flags = os.O_RDONLY | os.O_NONBLOCK | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    fd = os.open(path, flags)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(f"{path}: expected a ring, got no regular file")
        with mmap.mmap(fd, 0, access=mmap.ACCESS_READ) as buffer:
            yield buffer
    finally:
        os.close(fd)


def _records(path: Path, buffer: mmap.mmap) -> list[RingRecord]:
    """Return the lines of a ring that its owner may be changing: those that stayed in it while they were read."""
    for _ in range(_TRIES):
        try:
            before = RingView(path, buffer, keep=True)
            found = list(before.records())
            after = RingView(path, buffer, keep=True)
        except OSError:
            # Its tail passed the head that was read before it.
            continue
        # What is before the tail by now is in its file, and its room may hold another line.
        return [record for record in found if record.number >= after.tail and not record.done]
    return []


def _add_lines(ring: RingView, records: list[RingRecord], root: Path, lines: dict[str, list[bytes]]) -> None:
    for record in records:
        path, line = os.fsencode(record.path), record.line
        if path.startswith(BIG):
            try:
                line = resolve_big(ring, line)
            except OSError:
                continue
        if line:
            lines.setdefault(moved_path(ring, root, big_path(path)), []).append(line)
