"""Opening files that lie in a folder of logs without waiting for anybody.

In a folder that others may write to, a name can lead to a pipe, on which opening waits for ever, or to a device that
never ends. What is meant to be a file of ours is opened only where it is a regular file.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO, Final

__all__ = ["is_special", "open_regular", "read_regular"]

_FLAGS: Final = (
    os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
)


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading bytes.

    Raises:
        OSError: As `open` does; with `EINVAL` where the path leads to a pipe, a socket or a device.
    """
    descriptor = os.open(path, _FLAGS)
    try:
        kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
        if kind == stat.S_IFDIR:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if kind != stat.S_IFREG:
            raise OSError(errno.EINVAL, "not a regular file", str(path))
    except BaseException:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def read_regular(path: Path) -> bytes:
    """Return what a regular file holds; see `open_regular`."""
    with open_regular(path) as file:
        return file.read()


def is_special(entry: os.DirEntry[str]) -> bool:
    """Say whether an entry of a folder leads to a pipe, a socket or a device."""
    try:
        if entry.is_file() or entry.is_dir():
            return False
        return not entry.is_symlink() or stat.S_IFMT(entry.stat().st_mode) not in {
            0,
            stat.S_IFREG,
            stat.S_IFDIR,
        }
    except OSError:
        # A link that leads nowhere: whoever opens it says so.
        return False


__all__ = ["open_private"]


def open_private(path: str, flags: int, mode: int, root: str = "") -> int:
    """Open a file for writing; it is made where there is none.

    Args:
        path: The file.
        flags: As `os.open` takes them, with `os.O_RDWR`.
        mode: Permissions of a new file.
        root: The folder whose subfolders must be no links of others; empty checks none.

    Raises:
        OSError: As `os.open` does; `ELOOP` where a link is another user's, `EINVAL` where it is no regular file.
    """
    flags |= os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
    if root:
        _check_folders(path, root)
    try:
        fd = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), mode)
    except OSError as error:
        if error.errno not in {errno.ELOOP, errno.EMLINK} or _is_foreign_link(path):
            raise
        fd = os.open(path, flags, mode)
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "expected a regular file, it is none", path)
    if _is_foreign_file(path, info):
        os.close(fd)
        raise OSError(errno.EPERM, "expected a file of this user, another user made it or a link to it", path)
    return fd


def _is_foreign_file(path: str, info: os.stat_result) -> bool:
    """Say whether another user may have put a file into a folder that others may write to, to read what is appended."""
    if not hasattr(os, "geteuid") or (info.st_uid == os.geteuid() and info.st_nlink == 1):
        return False
    folder = os.stat(os.path.dirname(path) or ".")  # noqa: PTH116, PTH120
    # In a folder that only one user may write to, its files are that user's own doing.
    return bool(folder.st_mode & 0o022) or folder.st_uid not in {info.st_uid, os.geteuid(), 0}


def _check_folders(path: str, root: str) -> None:
    # Texts, for this is done each time a file is opened.
    folder = os.path.dirname(path)  # noqa: PTH120
    while len(folder) > len(root) and folder.startswith(root):
        if _is_foreign_link(folder):
            raise OSError(errno.ELOOP, "a folder is a link that another user made", folder)
        folder = os.path.dirname(folder)  # noqa: PTH120


def _is_foreign_link(path: str) -> bool:
    try:
        info = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISLNK(info.st_mode) and hasattr(os, "geteuid") and info.st_uid not in {os.geteuid(), 0}
