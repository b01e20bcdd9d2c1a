"""Compress sealed segments, safely at any instant.

The compressed bytes go to a temporary name that begins with a dot, are synced, and are renamed; then the plain file is
removed. Two processes that both mean to compress a segment are kept apart by a lock on the temporary file.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import importlib
import os
import shutil
import stat
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError, ErrorCode
from .regular import open_regular
from .segments import list_segments
from .unpacking import open_gzip, open_zstd

try:
    import fcntl
except ImportError:  # pragma: no cover  Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["compress_segment", "finish_interrupted", "open_segment", "zstd_module"]

_CHUNK = 1 << 18


def zstd_module() -> Any:
    """Return the module that reads and writes zstd.

    Raises:
        ConfigurationError: Neither Python (3.14 and later) nor the extra has it.
    """
    for name in ("compression.zstd", "backports.zstd"):
        with contextlib.suppress(ImportError):
            return importlib.import_module(name)
    raise ConfigurationError(
        "zstd: expected Python 3.14 or the extra, got neither; pip install 'llm-logging[zstd]'",
        code=ErrorCode.MISSING_DEPENDENCY,
    )


def open_segment(path: Path) -> Any:
    """Open a segment for reading bytes, whatever its compression."""
    if path.suffix == ".gz":
        return open_gzip(path)
    if path.suffix == ".zst":
        return open_zstd(path, zstd_module())
    return open_regular(path)


def compress_segment(segment: Path, compression: str) -> Path:
    """Compress a sealed segment.

    Args:
        segment: The plain file.
        compression: `gz` or `zst`.

    Returns:
        The file that holds the segment now: the compressed one, or the plain one where somebody else is at it.

    Raises:
        OSError: There is no room, or no permission; the plain file is as it was.
    """
    final = segment.with_name(f"{segment.name}.{compression}")
    temporary = segment.with_name(f".{final.name}.tmp")
    try:
        info = segment.stat()
    except FileNotFoundError:
        return final if final.exists() else segment
    with os.fdopen(_open_temporary(temporary, info.st_mode & 0o777), "r+b") as target:
        if fcntl is not None:
            try:
                fcntl.flock(target, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return segment
        planted = os.fstat(target.fileno()).st_uid not in {_user(), info.st_uid}
        if planted:
            # Whoever made it could read the segment through it, and we could not give it to its owner.
            temporary.unlink(missing_ok=True)
        if planted or not _is(target.fileno(), temporary) or not segment.exists():
            # Somebody else finished between our opening and our lock: what we opened may have its final name by now.
            if _is(target.fileno(), temporary):
                with contextlib.suppress(FileNotFoundError):
                    temporary.unlink()
            return final if final.exists() else segment
        try:
            target.truncate(0)
            with contextlib.suppress(OSError):
                os.fchmod(target.fileno(), info.st_mode & 0o777)
                os.fchown(target.fileno(), info.st_uid, info.st_gid)
            with segment.open("rb") as source:
                _copy(source, target, compression)
            target.flush()
            os.fsync(target.fileno())
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        temporary.rename(final)
        segment.unlink(missing_ok=True)
    return final


def _open_temporary(path: Path, mode: int) -> int:
    """Open what the compressed bytes go to; a link of that name is nobody's business but ours, and goes."""
    if path.is_symlink():
        path.unlink(missing_ok=True)
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    fd = os.open(path, flags, mode)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "expected a regular file, it is none", str(path))
    return fd


def _user() -> int:
    return os.geteuid() if hasattr(os, "geteuid") else 0


def _is(fd: int, path: Path) -> bool:
    """Say whether a path names the open file."""
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def _copy(source: Any, target: Any, compression: str) -> None:
    if compression == "gz":
        # No time in the header: the same segment gives the same bytes.
        with gzip.GzipFile(fileobj=target, mode="wb", compresslevel=6, mtime=0, filename="") as packed:
            shutil.copyfileobj(source, packed, _CHUNK)
    else:
        with zstd_module().open(target, "wb") as packed:
            shutil.copyfileobj(source, packed, _CHUNK)


def finish_interrupted(active: Path, compression: str) -> list[Path]:
    """Finish what a process that was killed while compressing left behind.

    Args:
        active: The log.
        compression: `gz` or `zst`.

    Returns:
        The segments that were compressed now.
    """
    finished: list[Path] = []
    segments = list_segments(active, superseded=True)
    names = {segment.path.name for segment in segments}
    for segment in segments:
        if segment.active or segment.compression is not None:
            continue
        if f"{segment.path.name}.{compression}" in names:
            # Killed between rename and unlink: the compressed one is whole.
            with contextlib.suppress(FileNotFoundError):
                segment.path.unlink()
            continue
        finished.append(compress_segment(segment.path, compression))
    for leftover in active.parent.glob(f".{active.name.removesuffix('.jsonl')}.*.tmp"):
        plain = leftover.name.removeprefix(".").removesuffix(".tmp").rsplit(".", 1)[0]
        if not (active.parent / plain).exists():
            with contextlib.suppress(OSError):
                leftover.unlink()
    return finished
