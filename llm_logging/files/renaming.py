"""Give a file another name without ever replacing the file that has it.

Linux and macOS have a system call for it, and Windows never replaces. On a file system that refuses the call (NFS, some of FUSE)
the name is looked up first; each caller holds a lock that everybody takes who gives names of that kind.
"""

from __future__ import annotations

import errno
import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path

__all__ = ["rename_new"]

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1  # Linux, renameat2
_RENAME_EXCL = 4  # macOS, renamex_np


def rename_new(source: Path, target: Path) -> None:
    """Rename a file to a name that must be free.

    Raises:
        FileExistsError: Something has the name; both are as they were.
        OSError: As `os.rename` does.
    """
    call = _system_call()
    if call is not None:
        sys.audit("os.rename", source, target, -1, -1)
        code = call(os.fsencode(source), os.fsencode(target))
        if not code:
            return
        if code == errno.EEXIST:
            raise FileExistsError(code, os.strerror(code), str(source), None, str(target))
        # Not supported here, or refused for a reason that the ordinary call gives as well.
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(source), None, str(target))
    os.rename(source, target)  # noqa: PTH104


@functools.cache
def _system_call() -> Callable[[bytes, bytes], int] | None:
    """Return what renames and gives an error number, 0 for none; None where the system has no such call."""
    if sys.platform == "win32":
        return None
    try:
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        text, number = ctypes.c_char_p, ctypes.c_int
        if sys.platform == "darwin":
            exchange = libc.renamex_np
            exchange.argtypes = (text, text, ctypes.c_uint)
            return lambda old, new: ctypes.get_errno() if exchange(old, new, _RENAME_EXCL) else 0
        rename = libc.renameat2
        rename.argtypes = (number, text, number, text, ctypes.c_uint)
    except (ImportError, OSError, AttributeError):
        return None
    return lambda old, new: (
        ctypes.get_errno() if rename(_AT_FDCWD, old, _AT_FDCWD, new, _RENAME_NOREPLACE) else 0
    )
