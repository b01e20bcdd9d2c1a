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
