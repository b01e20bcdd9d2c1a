"""What rewriting a segment needs of the file system: a private file that is whole or not there, and the writers' lock."""

from __future__ import annotations

import contextlib
import gzip
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import portalocker

from ..errors import ErrorCode, LLMLoggingError
from ..files.compression import zstd_module
from .sealing import lock_name

__all__ = ["append_lock", "created", "packed", "sync_folder"]

LOCK_SECONDS: Final = 10.0


@contextlib.contextmanager
def created(path: Path) -> Iterator[BinaryIO]:
    """Make a file, 0600, that is on the disk when the block ends, and gone when it fails."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    try:
        with os.fdopen(os.open(path, flags, 0o600), "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


@contextlib.contextmanager
def packed(raw: BinaryIO, compression: str | None) -> Iterator[Any]:
    """Write through a compressor, `gz` or `zst`; None writes as it is."""
    if compression == "gz":
        with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=6, mtime=0, filename="") as stream:
            yield stream
    elif compression == "zst":
        with zstd_module().open(raw, "wb") as stream:
            yield stream
    else:
        yield raw


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    if not hasattr(os, "O_DIRECTORY"):  # pragma: no cover  Windows
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def append_lock(active: Path) -> Iterator[int]:
    """Hold the lock that every writer of a file appends under.

    Yields:
        A descriptor of the lock file.
    """
    path = lock_name(active)
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        with os.fdopen(os.open(path, flags, 0o600), "r+b", buffering=0) as stream:
            try:
                portalocker.lock(stream, portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING)
            except portalocker.exceptions.LockException as error:
                if time.monotonic() >= deadline:
                    raise LLMLoggingError(
                        f"forget: expected the lock {path} within {LOCK_SECONDS:g} s, somebody holds it",
                        code=ErrorCode.INVALID_STATE,
                    ) from error
                time.sleep(0.01)
                continue
            try:
                ours, there = os.fstat(stream.fileno()), path.stat()
                if (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino):
                    yield stream.fileno()
                    return
            finally:
                portalocker.unlock(stream)
