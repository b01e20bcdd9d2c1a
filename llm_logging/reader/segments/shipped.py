"""A segment's columns as one file that needs no index: what is stored beside a shipped segment.

It is a Parquet file as `parquet.make_piece` writes it, with a note between its last column and its footer: there every other reader of
Parquet skips it, since the footer gives the places of the columns from the beginning of the file. The note holds what the index of the
cache holds of a piece, and a CRC-32 of the whole file without these four bytes.
"""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Final

from ...errors import ErrorCode, FileSystemError
from ..cache.store import schema_tag
from .index import Piece, piece_from, plain_piece

__all__ = ["piece_ending", "read_shipped", "unusable_columns", "write_shipped"]

_MAGIC: Final = b"LLM1"
_PLACE: Final = struct.Struct("<II4s")
_PARQUET_END: Final = 8


def piece_ending() -> str:
    """Return how the name of a piece ends that this version can use."""
    return f".{schema_tag()}.parquet"


def unusable_columns(path: Path) -> FileSystemError:
    """Return the error for columns that were fetched, and cannot be used any more."""
    return FileSystemError(
        f"{path}: expected the columns that were shipped, got a damaged file; ask again, and they are fetched again",
        code=ErrorCode.LOG_READ_ERROR,
        filename=str(path),
    )


def _footer_start(data: bytes) -> int:
    return len(data) - _PARQUET_END - int.from_bytes(data[-_PARQUET_END:-4], "little")


def write_shipped(parquet: Path, piece: Piece, target: Path) -> None:
    """Write a piece with its note.

    Args:
        parquet: Its columns.
        piece: What is known of it.
        target: The file to write.
    """
    data = parquet.read_bytes()
    start = _footer_start(data)
    note = json.dumps(plain_piece(piece)).encode()
    digest = zlib.crc32(data[start:], zlib.crc32(note, zlib.crc32(data[:start])))
    target.write_bytes(data[:start] + note + _PLACE.pack(digest, len(note), _MAGIC) + data[start:])


def read_shipped(path: Path) -> Piece | None:
    """Return what is known of a piece; None where the file is damaged or none.

    Its digest is the CRC-32 of the file.
    """
    try:
        data = path.read_bytes()
        start = _footer_start(data)
        digest, size, magic = _PLACE.unpack_from(data, start - _PLACE.size)
        first = start - _PLACE.size - size
        if magic != _MAGIC or first < 0:
            return None
        if zlib.crc32(data[start:], zlib.crc32(data[: start - _PLACE.size])) != digest:
            return None
        return piece_from({**json.loads(data[first : start - _PLACE.size]), "digest": digest})
    except (OSError, ValueError, KeyError, TypeError, struct.error, RecursionError):
        return None
