"""Where a ring may lie: in the root's own folder or in shared memory, and how much of it may be taken.

A mapping of a file on a local disk is memory like one of shared memory, and a store costs the same. It also outlives the
restart of a container or of the machine. So `auto` prefers the root's own folder, except where mappings are slow or may
fail: on network file systems, and on those that copy on write, where a store into a full disk would be a SIGBUS.
"""

from __future__ import annotations

import io
import os
import re
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["Place", "file_system_of", "places_for", "ring_folders", "shared_folder", "trusted"]

_SHARED: Final = "/dev/shm"  # noqa: S108  its folder is made 0700 and checked before use
_MOUNTS: Final = "/proc/self/mountinfo"
# As the kernel names them in mountinfo; every `fuse.NAME` counts as one too.
_NETWORK: Final = frozenset(
    [
        "9p",
        "acfs",
        "afs",
        "auristorfs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "davfs",
        "fhgfs",
        "fuse",
        "gfs",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "mmfs",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "panfs",
        "prl_fs",
        "pvfs2",
        "smb",
        "smb2",
        "smb3",
        "smbfs",
        "virtiofs",
        "vboxsf",
        "vmhgfs",
        "wekafs",
    ]
)
_COPY_ON_WRITE: Final = frozenset(["bcachefs", "btrfs", "f2fs", "nilfs2", "zfs"])
# Shared memory is there for others as well: half of it stays free. Of a disk, what the logs themselves need.
_SHARED_KEPT: Final = 0.5
_DISK_KEPT: Final = 0.05
_MOST_KEPT: Final = 64 << 20
_OCTAL: Final = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Place:
    """A folder for rings.

    Attributes:
        folder: It is made when it is needed.
        shared: Whether it lies in shared memory, which a restart empties.
    """

    folder: Path
    shared: bool

    @property
    def kept(self) -> int:
        """How many bytes rings leave free there.

        Raises:
            OSError: It is not there.
        """
        info = os.statvfs(self.folder)
        total = info.f_blocks * info.f_frsize
        return int(total * _SHARED_KEPT) if self.shared else min(int(total * _DISK_KEPT), _MOST_KEPT)


def shared_folder() -> Path | None:
    """Return this user's folder for rings in shared memory; None where the system has none."""
    return Path(f"{_SHARED}/llm_logging-{os.geteuid()}") if sys.platform.startswith("linux") else None


def ring_folders(root: Path) -> Sequence[Path]:
    """Return where rings of a root may lie."""
    shared = shared_folder()
    return [root / ".spool", *([shared] if shared is not None else [])]


def places_for(root: Path, mode: str) -> Sequence[Place]:
    """Return where a new ring of a root is to lie, the preferred place first.

    Args:
        root: The folder whose lines it will hold.
        mode: `auto`, `shm` or `root`.
    """
    own, folder = Place(root / ".spool", shared=False), shared_folder()
    shared = [Place(folder, shared=True)] if folder is not None else []
    if mode == "shm":
        return shared
    if mode == "root":
        return [own]
    system = file_system_of(root)
    if _is_network(system):
        return shared
    return [*shared, own] if system in _COPY_ON_WRITE else [own, *shared]


def _is_network(system: str | None) -> bool:
    return system is not None and (system in _NETWORK or system.startswith("fuse."))


def file_system_of(path: Path) -> str | None:
    """Return the type of file system that a path lies on or would lie on, as in `nfs4`; None where that is not known."""
    try:
        # Not `open`, which imports: a finaliser that logs while the interpreter goes down comes here too.
        with io.FileIO(_MOUNTS) as mounts:
            lines = os.fsdecode(mounts.readall()).splitlines()
    except OSError:
        return None
    real = os.path.realpath(path)
    found, longest = None, 0
    for line in lines:
        fields, _, system = line.partition(" - ")
        parts = fields.split(" ", 5)
        if len(parts) < 5 or len(parts[4]) < longest:
            continue
        point = _OCTAL.sub(lambda match: chr(int(match[1], 8)), parts[4])
        # Of two at one place, the later one covers the other.
        if real == point or real.startswith(point.rstrip("/") + "/"):
            found, longest = system.split(" ", 1)[0], len(parts[4])
    return found


def trusted(folder: Path) -> bool:
    """Say whether a folder is ours alone: nobody else could have planted a ring in it."""
    try:
        info = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(info.st_mode) and info.st_uid == os.geteuid() and not info.st_mode & 0o022
