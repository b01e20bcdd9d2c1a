r"""Reading the lines of one file, whatever is in it, in bounded memory.

Invariants: a line is what lies between two `\n` bytes, without them, a `\r` at its end and a byte order mark at the
start of the file; a last line without `\n` is a line as well, marked unfinished. A line longer than the bound is
reported with its place and its size and without its bytes. A compressed file is read as a stream: of a truncated or
damaged one all that can be read is; one that swells more than any log does is cut off, so that no small file can
keep a reader busy for ever. Nothing is decoded here.
"""

from __future__ import annotations

import io
import os
import re
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import IO, Final, Literal, cast

from ..errors import ConfigurationError, ErrorCode, FileSystemError
from .segments import as_found

__all__ = [
    "MAX_LINE_BYTES",
    "WRITER",
    "Line",
    "blocks",
    "last_lines",
    "read_lines",
    "split_lines",
    "unreadable",
]

MAX_LINE_BYTES: Final = 64 * 1024 * 1024
# Who wrote a line, and its number, as our own writer spells them.
WRITER: Final = re.compile(rb'"writer": ?\{"id": ?"([^"\\]{1,200})", ?"seq": ?(\d{1,18})\}')
BLOCK: Final = 256 * 1024
_BOM: Final = b"\xef\xbb\xbf"
# Logs shrink 10 to 50 times; deflate can reach 1032. Small files get slack, since a few equal lines swell a lot.
_MAX_SWELL: Final = 300
_SWELL_SLACK: Final = 256 * 1024 * 1024

Problem = Literal["too_long", "damaged", "swollen"]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file.

    Attributes:
        offset: Where it starts, in bytes of the uncompressed file.
        data: Its bytes; empty where `problem` says why they are not here.
        size: How many bytes it has.
        finished: Whether a newline ends it.
        problem: `too_long`, or, of the compressed file at this place, `damaged` or `swollen`; else None.
    """

    offset: int
    data: bytes
    size: int
    finished: bool = True
    problem: Problem | None = None


class _SwollenError(Exception):
    """A compressed file gave more than any log would."""


class _DamagedError(Exception):
    """A compressed file ends early or is not what its name says."""


def read_lines(
    path: Path, *, suffix: str | None = None, max_line_bytes: int = MAX_LINE_BYTES
) -> Iterator[Line]:
    """Read a file line by line; `.gz` and `.zst` are unpacked on the way.

    Args:
        path: The file; a sealed segment is read under whichever of its names it has now.
        suffix: `.gz` or `.zst` where it is packed so, else an empty text; None: that of its name.
        max_line_bytes: The longest line whose bytes are given.

    Yields:
        Every line in order; a last one with `problem` where a compressed file breaks off.

    Raises:
        FileSystemError: The file cannot be opened or read (`LOG_READ_ERROR`).
        ConfigurationError: It is `.zst`, and no module that reads this is installed (`MISSING_DEPENDENCY`).
    """
    try:
        with as_found(path, lambda form: form.open("rb")) as file:
            yield from split_lines(
                blocks(file, Path(file.name).suffix if suffix is None else suffix),
                max_line_bytes=max_line_bytes,
            )
    except OSError as error:
        raise unreadable(str(path), error) from error


def blocks(file: IO[bytes], suffix: str = "") -> Iterator[bytes | Problem]:
    """Read a binary stream in blocks, unpacked by the suffix of its name; a problem is the last item."""
    try:
        if suffix == ".gz":
            yield from _bounded(_gunzip(file), file)
        elif suffix == ".zst":
            yield from _bounded(_unzstd(file), file)
        else:
            # A pipe gives what is there; waiting for a full block would hold back lines of a running program.
            read = getattr(file, "read1", file.read)
            while block := read(BLOCK):
                yield block
    except _SwollenError:
        yield "swollen"
    except _DamagedError:
        yield "damaged"


def _bounded(unpacked: Iterator[bytes], file: IO[bytes]) -> Iterator[bytes]:
    given = 0
    for block in unpacked:
        given += len(block)
        if given > _SWELL_SLACK and given > _MAX_SWELL * file.tell():
            raise _SwollenError
        yield block


def _gunzip(file: IO[bytes]) -> Iterator[bytes]:
    # Several members may follow each other, as gzip itself allows. Unlike the gzip module this gives every byte
    # before a break, and never more than one block at a time.
    packed = file.read(BLOCK)
    while packed:
        member = zlib.decompressobj(wbits=31)
        try:
            while not member.eof:
                block = member.decompress(packed, BLOCK)
                if block:
                    yield block
                packed = member.unconsumed_tail
                if not packed and not member.eof:
                    packed = file.read(BLOCK)
                    if not packed:
                        rest = member.flush()
                        if rest:
                            yield rest
                        raise _DamagedError
        except zlib.error:
            raise _DamagedError from None
        packed = (member.unused_data or file.read(BLOCK)).lstrip(b"\0")


def _unzstd(file: IO[bytes]) -> Iterator[bytes]:
    try:
        zstd = import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
    except ImportError:
        raise ConfigurationError(
            "reading a .zst segment: expected Python 3.14 or `pip install 'llm-logging[zstd]'`",
            code=ErrorCode.MISSING_DEPENDENCY,
        ) from None
    try:
        with zstd.ZstdFile(file) as stream:
            while block := stream.read1(BLOCK):
                yield block
    except (EOFError, zstd.ZstdError):
        raise _DamagedError from None


def split_lines(pieces: Iterator[bytes | Problem], *, max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[Line]:
    """Cut a stream of blocks into lines; see the top of this module."""
    offset = 0
    held: list[bytes] = []
    size = 0
    problem: Problem | None = None
    for piece in pieces:
        if isinstance(piece, str):
            problem = piece
            break
        start = 0
        while (end := piece.find(b"\n", start)) >= 0:
            part = piece[start:end]
            size += len(part)
            yield _line(offset, [*held, part], size, max_line_bytes, finished=True)
            offset += size + 1
            held, size, start = [], 0, end + 1
        part = piece[start:] if start else piece
        size += len(part)
        if size <= max_line_bytes + 1:
            held.append(part)
        else:
            held = []
    if size:
        yield _line(offset, held, size, max_line_bytes, finished=False)
    if problem is not None:
        yield Line(offset + size, b"", 0, finished=False, problem=problem)


def _line(offset: int, parts: list[bytes], size: int, max_line_bytes: int, *, finished: bool) -> Line:
    if size > max_line_bytes + 1:
        return Line(offset, b"", size, finished, "too_long")
    data = parts[0] if len(parts) == 1 else b"".join(parts)
    if finished and data.endswith(b"\r"):
        data = data[:-1]
    if offset == 0:
        data = data.removeprefix(_BOM)
    if len(data) > max_line_bytes:
        return Line(offset, b"", size, finished, "too_long")
    return Line(offset, data, size, finished)


def last_lines(file: IO[bytes], count: int, *, max_bytes: int = MAX_LINE_BYTES) -> tuple[list[bytes], int]:
    """Read the last finished lines of an uncompressed file from its end backwards.

    Args:
        file: A binary file that can seek.
        count: How many lines.
        max_bytes: How far back to look at most.

    Returns:
        At most `count` lines without their newlines, oldest first, and the place after the last newline, where
        reading goes on.

    Raises:
        FileSystemError: `LOG_READ_ERROR`.
    """
    try:
        return _last_lines(file, count, max_bytes)
    except OSError as error:
        raise unreadable(file.name, error) from error


def unreadable(name: str, error: OSError) -> FileSystemError:
    """Return what to raise where a file cannot be read."""
    return FileSystemError(
        f"reading {name}: {error.strerror or error}",
        code=ErrorCode.LOG_READ_ERROR,
        errno=error.errno,
        filename=name,
    )


def _last_lines(file: IO[bytes], count: int, max_bytes: int) -> tuple[list[bytes], int]:
    end = file.seek(0, os.SEEK_END)
    position, tail = end, b""
    parts: list[bytes] = []
    newlines = 0
    while position > 0 and newlines <= count and end - position < max_bytes:
        step = min(BLOCK, position)
        position -= step
        file.seek(position)
        part = file.read(step)
        newlines += part.count(b"\n")
        parts.append(part)
    tail = b"".join(reversed(parts))
    whole, newline, unfinished = tail.rpartition(b"\n")
    resume = end - len(unfinished)
    if not newline:
        return [], resume if position == 0 else end
    lines = whole.split(b"\n")
    if position > 0:
        lines = lines[1:]
    elif lines:
        lines[0] = lines[0].removeprefix(_BOM)
    return [
        line.removesuffix(b"\r") for line in lines[len(lines) - count if count < len(lines) else 0 :]
    ], resume


def as_binary(stream: IO[str] | IO[bytes]) -> IO[bytes]:
    """Return the bytes under a text stream such as `sys.stdin`."""
    if isinstance(stream, io.TextIOBase):
        return (
            cast("IO[bytes]", stream.buffer)
            if hasattr(stream, "buffer")
            else io.BytesIO(stream.read().encode())
        )
    return cast("IO[bytes]", stream)
