"""Opening a compressed segment so that damage in it is an OSError, as it is in a plain file on a failing disk.

The compression modules raise errors of their own for bytes that are no stream of theirs; a segment whose bytes a disk
or a hand changed must be reported like one that cannot be read, wherever it is read.
"""

from __future__ import annotations

import gzip
import io
import os
import zlib
from pathlib import Path
from typing import Any, Final

__all__ = ["open_gzip", "open_zstd"]

_BUFFER: Final = 1 << 16


class _Unpacked(io.RawIOBase):
    def __init__(self, stream: Any, damage: type[Exception]) -> None:
        self._stream = stream
        self._damage = damage

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            # `read` goes on until it has as much as was asked for, and loses what it has where the stream breaks off.
            data = self._stream.read1(len(buffer))
        except self._damage as error:
            raise OSError(f"damaged: {error}") from None
        buffer[: len(data)] = data
        return len(data)

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            return int(self._stream.seek(offset, whence))
        except self._damage as error:
            raise OSError(f"damaged: {error}") from None

    def tell(self) -> int:
        return int(self._stream.tell())

    def close(self) -> None:
        self._stream.close()
        super().close()


def open_gzip(path: Path) -> io.BufferedReader:
    """Open a gzip file for reading what it holds; damage in it is an OSError, an early end an EOFError."""
    return io.BufferedReader(_Unpacked(gzip.open(path, "rb"), zlib.error), _BUFFER)


def open_zstd(path: Path, module: Any) -> io.BufferedReader:
    """Open a zstd file for reading what it holds; see `open_gzip`.

    Args:
        path: The file.
        module: `compression.zstd`, or what stands in for it.
    """
    return io.BufferedReader(_Unpacked(module.open(path, "rb"), module.ZstdError), _BUFFER)
