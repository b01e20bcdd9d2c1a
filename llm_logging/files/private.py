"""Opening files to write in a folder that others may write to, too: no link leads elsewhere, and nothing makes us wait.

A symbolic link, of a file or of a folder below the root, is followed only where this user or root made it. What is no
regular file is refused; it is opened for reading and writing, so that a pipe without a reader does not block.
"""

from __future__ import annotations

import errno
import os
import stat

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
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "expected a regular file, it is none", path)
    return fd


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
