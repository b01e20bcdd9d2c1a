"""Where rings lie, which of them are dead, and what those hold.

A ring lies in shared memory where the system has some, else under the root, in a folder of its user's that nobody else may
write to; its name says whose root it serves.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from .claims import held_here
from .rings import Ring
from .ringview import BIG

__all__ = [
    "big_path",
    "dead_lines",
    "dead_rings",
    "dead_rings_exist",
    "resolve_big",
    "ring_folders",
    "ring_prefix",
    "trusted",
]


def ring_prefix(root: Path) -> str:
    """Return how the names of all rings of a root begin."""
    return hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:24] + "-"


def ring_folders(root: Path) -> Sequence[Path]:
    """Return where rings of a root may lie, the preferred folder first."""
    folders = [root / ".spool"]
    if sys.platform.startswith("linux"):
        folders.insert(0, Path(f"/dev/shm/llm_logging-{os.geteuid()}"))  # noqa: S108  made 0700 and checked before use
    return folders


def trusted(folder: Path) -> bool:
    """Say whether a folder is ours alone: nobody else could have planted a ring in it."""
    try:
        info = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(info.st_mode) and info.st_uid == os.geteuid() and not info.st_mode & 0o022


def dead_rings(root: Path, *, folders: Sequence[Path] | None = None) -> Iterator[Ring]:
    """Yield the rings of a root whose owners are gone, locked by us now; the caller closes each.

    Args:
        root: Whose rings.
        folders: Where to look; `ring_folders(root)` when None.
    """
    prefix = ring_prefix(root)
    for folder in folders if folders is not None else ring_folders(root):
        if not trusted(folder):
            continue
        try:
            names = sorted(entry.name for entry in os.scandir(folder) if prefix in entry.name)
        except OSError:
            continue
        for name in names:
            if name.startswith("."):
                _remove_unfinished(folder / name)
            if not name.startswith(prefix) or not name.endswith(".ring") or held_here(folder / name):
                continue
            try:
                ring = Ring(folder / name)
            except OSError:
                continue
            yield ring


def _remove_unfinished(path: Path) -> None:
    """Remove a ring that its process was killed in making; a minute is more than any takes."""
    with contextlib.suppress(OSError):
        if time.time() - path.stat().st_mtime > 60:
            path.unlink()


def dead_rings_exist(root: Path) -> bool:
    """Say whether there may be rings of a root that nobody owns; live ones count too, for they are cheap to look at."""
    prefix = ring_prefix(root)
    for folder in ring_folders(root):
        try:
            with os.scandir(folder) as entries:
                if any(entry.name.startswith(prefix) for entry in entries):
                    return True
        except OSError:
            continue
    return False


def big_path(path: bytes) -> str:
    """Return the file that a line is for, which an entry only points to."""
    return os.fsdecode(path.removeprefix(BIG))


def resolve_big(ring: Ring, pointer: bytes) -> bytes:
    """Return the line that a pointer stands for; empty where its file is gone.

    Raises:
        OSError: It is there, and cannot be read now.
    """
    try:
        return ring.path.with_name(os.fsdecode(pointer.rstrip(b"\n"))).read_bytes()
    except FileNotFoundError:
        return b""


def dead_lines(root: Path) -> dict[str, list[bytes]]:
    """Return the lines that killed processes left to be written, by the file they are for; nothing is changed.

    Lines that are in their file already, because their process was killed before it noted that, may be among them: they
    have the same writer and number.
    """
    found: dict[str, list[bytes]] = {}
    for ring in dead_rings(root):
        try:
            for record in ring.records():
                if record.done:
                    continue
                path, line = os.fsencode(record.path), record.line
                if path.startswith(BIG):
                    try:
                        line = resolve_big(ring, line)
                    except OSError:
                        continue
                if line:
                    found.setdefault(big_path(path), []).append(line)
        finally:
            ring.close(remove=False)
    return found
