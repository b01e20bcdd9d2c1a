"""Which rings belong to a root, which of them are dead, and which have lost their root.

Every ring in a root's own folder belongs to that root, also where the root was moved or copied since. A ring in shared
memory says in its name and its header whose it is. Only folders that nobody else may write to are looked at.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import signal
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Final

from .claims import claimed, held_here
from .places import ring_folders, shared_folder, trusted
from .ring import Ring
from .ring_view import BIG, FIXED, HEADER_BYTES, PATH, RingView, boot_id

__all__ = [
    "big_path",
    "dead_rings",
    "dead_rings_exist",
    "discard",
    "dying_owner_exists",
    "home_of",
    "is_gone",
    "may_be_stale",
    "moved_path",
    "orphans",
    "resolve_big",
    "ring_files",
    "ring_prefix",
]

_UNFINISHED_SECONDS: Final = 60.0
_UNKNOWN_SECONDS: Final = 86_400.0
# In /proc: a flag of the kernel's, and two signals that end a process.
_EXITING: Final = 0x4
_FATAL: Final = 1 << (signal.SIGKILL - 1) | 1 << (signal.SIGTERM - 1) if hasattr(signal, "SIGKILL") else 0


def ring_prefix(root: Path) -> str:
    """Return how the names of all rings of a root in shared memory begin."""
    return hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:24] + "-"


def ring_files(root: Path, folders: Sequence[Path] | None = None) -> Iterator[Path]:
    """Yield the rings of a root, living or dead.

    Args:
        root: Whose rings.
        folders: Where to look; `ring_folders(root)` when None.

    Raises:
        OSError: A folder that is there cannot be listed.
    """
    prefix, own = ring_prefix(root), root / ".spool"
    for folder in folders if folders is not None else ring_folders(root):
        start = "" if folder == own else prefix
        try:
            with os.scandir(folder) as entries:
                names = sorted(entry.name for entry in entries)
        except FileNotFoundError:
            continue
        for name in names:
            if name.startswith(".") and prefix in name:
                _remove_unfinished(folder / name)
            elif name.startswith(start) and name.endswith(".ring"):
                yield folder / name


def dead_rings(root: Path, *, folders: Sequence[Path] | None = None) -> Iterator[Ring]:
    """Yield the rings of a root whose owners are gone, locked by us now; the caller closes each.

    Args:
        root: Whose rings.
        folders: Where to look; `ring_folders(root)` when None.
    """
    for folder in folders if folders is not None else ring_folders(root):
        if trusted(folder):
            with contextlib.suppress(OSError):
                yield from _dead(list(ring_files(root, [folder])))


def _dead(paths: Sequence[Path]) -> Iterator[Ring]:
    for path in paths:
        if held_here(path):
            continue
        try:
            ring = Ring(path)
        except OSError:
            continue
        yield ring


def _remove_unfinished(path: Path) -> None:
    """Remove a ring that its process was killed in making; a minute is more than any takes."""
    with contextlib.suppress(OSError):
        if time.time() - path.stat().st_mtime > _UNFINISHED_SECONDS:
            path.unlink()


def dead_rings_exist(root: Path) -> bool:
    """Say whether there may be rings of a root that nobody owns; live ones count too, for they are cheap to look at."""
    try:
        return any(True for _ in ring_files(root))
    except OSError:
        return False


def dying_owner_exists(root: Path) -> bool:
    """Say whether a process that holds a ring of a root was killed and has not ended yet."""
    try:
        paths = list(ring_files(root))
    except OSError:
        return False
    for path in paths:
        with claimed(path) as free, contextlib.suppress(OSError):
            if free:
                with io.FileIO(path) as file:
                    header = file.read(FIXED.size)
                if len(header) == FIXED.size and _is_dying(FIXED.unpack(header)[4]):
                    return True
    return False


def _is_dying(pid: int) -> bool:
    """Say whether a process was sent a signal that ends it, or is being ended by one."""
    try:
        with io.FileIO(f"/proc/{pid}/stat") as stat, io.FileIO(f"/proc/{pid}/status") as state:
            status, pending = stat.readall().rsplit(b")", 1)[1].split(), state.readall()
    except (OSError, IndexError):
        return False
    if status[0] in {b"Z", b"X"} or int(status[6]) & _EXITING:
        return True
    masks = re.findall(rb"^(?:SigPnd|ShdPnd):\s*([0-9a-f]+)", pending, re.MULTILINE)
    return any(int(mask, 16) & _FATAL for mask in masks)


# -- a root that moved, or is gone ------------------------------------------------------------------------------------


def home_of(ring: RingView) -> Path | None:
    """Return the root whose lines a ring in shared memory holds; None where that cannot be told."""
    named = ring.origin.root
    if named:
        return Path(named)
    # A ring of version 0.1 names only files; one of the folders above them made its prefix.
    (length,) = PATH.unpack_from(ring.map, HEADER_BYTES)
    path = Path(os.fsdecode(ring.map[HEADER_BYTES + PATH.size : HEADER_BYTES + PATH.size + length]))
    return next((folder for folder in path.parents if ring.path.name.startswith(ring_prefix(folder))), None)


def moved_path(ring: RingView, root: Path, path: str) -> str:
    """Return where a line of a ring in a root's own folder goes: below that root, also where it was moved or copied."""
    named = ring.origin.root
    if ring.path.parent.name != ".spool" or not named or not path.startswith(named + os.sep):
        return path
    if os.path.realpath(named) == os.path.realpath(root):
        return path
    return os.fspath(root) + path.removeprefix(named)


def may_be_stale(ring: Ring) -> bool:
    """Say whether lines of a ring may have been written without the ring saying so.

    A copy does not follow its original. After a power cut the disk may hold an older state of the ring than of the logs.
    """
    origin, info = ring.origin, ring.path.stat()
    return bool(origin.inode) and (origin.inode != info.st_ino or origin.boot != boot_id())


def is_gone(ring: RingView, root: Path) -> bool:
    """Say whether a root was removed, and does not merely lie on a file system that is not mounted now."""
    if root.is_dir():
        return False
    device = ring.origin.root_device
    if not device:
        return time.time() - ring.path.stat().st_mtime > _UNKNOWN_SECONDS
    above = next((folder for folder in root.parents if folder.is_dir()), None)
    return above is not None and above.stat().st_dev == device


def orphans(root: Path) -> Generator[Ring, None, None]:
    """Yield dead rings of other roots in this user's shared memory, locked by us now; the caller closes each."""
    folder, prefix = shared_folder(), ring_prefix(root)
    if folder is None or not trusted(folder):
        return
    with contextlib.suppress(OSError):
        names = sorted(name for name in os.listdir(folder) if name.endswith(".ring"))  # noqa: PTH208
        yield from _dead(
            [folder / name for name in names if not name.startswith(prefix) and not name.startswith(".")]
        )


def discard(ring: Ring) -> None:
    """Remove a ring and what lies beside it: its lines are not needed."""
    with contextlib.suppress(OSError):
        for path in ring.path.parent.glob(f"{ring.path.name}.*.big"):
            path.unlink()
    ring.close(remove=True)


# -- lines that no ring takes -----------------------------------------------------------------------------------------


def big_path(path: bytes) -> str:
    """Return the file that a line is for, which an entry only points to."""
    return os.fsdecode(path.removeprefix(BIG))


def resolve_big(ring: RingView, pointer: bytes) -> bytes:
    """Return the line that a pointer stands for; empty where its file is gone.

    Raises:
        OSError: It is there, and cannot be read now.
    """
    try:
        return ring.path.with_name(os.fsdecode(pointer.rstrip(b"\n"))).read_bytes()
    except FileNotFoundError:
        return b""
