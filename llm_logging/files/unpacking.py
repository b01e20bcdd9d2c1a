"""Opening a segment's uncompressed bytes, whatever it is compressed with; no link is followed."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from ..errors import ErrorCode, FileSystemError

__all__ = ["open_segment"]


@contextmanager
def open_segment(path: Path) -> Iterator[BinaryIO]:
    """Open a segment for reading.

    Args:
        path: A plain file, `.gz` or `.zst`.

    Raises:
        OSError: It cannot be opened, or is a link.
        FileSystemError: It is compressed with Zstandard, and nothing here can read that.
    """
    flags = (
        os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    )
    with os.fdopen(os.open(path, flags), "rb") as raw:
        if path.suffix == ".gz":
            with gzip.GzipFile(fileobj=raw, mode="rb") as unpacked:
                yield cast("BinaryIO", unpacked)
        elif path.suffix == ".zst":
            with _zstandard(path).open(raw, "rb") as unpacked:
                yield unpacked
        else:
            yield raw


def _zstandard(path: Path) -> Any:
    import importlib

    for name in ("compression.zstd", "backports.zstd"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise FileSystemError(
        f"{path}: expected a Zstandard reader, found none; pip install 'llm-logging[zstd]'",
        code=ErrorCode.LOG_READ_ERROR,
        filename=str(path),
    )
