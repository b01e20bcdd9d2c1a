"""Compress sealed segments, safely at any instant.

The compressed bytes go to a temporary name that begins with a dot, are synced, and are renamed, which replaces nothing; then the
plain file is removed. Before the rename, the remover locks the compressed file; it keeps the lock while it checks that the plain
file exists and removes it. If the plain file is gone, it was pruned, rewritten or compressed in another way meanwhile, and the
compressed file is removed as well.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import importlib
import io
import os
import shutil
import stat
import zlib
from pathlib import Path
from typing import Any, Final

from ..errors import ConfigurationError, ErrorCode
from .renaming import rename_new
from .safe_open import open_regular
from .segments import as_found, folder_names, forms, list_segments, parse_segment_name, segment_name

try:
    import fcntl
except ImportError:  # pragma: no cover  Windows
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "compress_segment", "finish_interrupted", "open_gzip", "open_packed", "open_segment", "open_zstd", "zstd_module",
]  # fmt: skip

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
    """Open a segment for reading bytes, whatever its compression, by whichever of its names it has now."""
    return as_found(path, _open_named)


def _open_named(path: Path) -> Any:
    return open_packed(path, path.suffix) if path.suffix in {".gz", ".zst"} else open_regular(path)


def open_packed(path: Path, suffix: str) -> Any:
    """Open a file for reading uncompressed bytes.

    Args:
        path: The file, under any name.
        suffix: `.gz`, `.zst`, or anything else for a file that is not compressed.

    Raises:
        ConfigurationError: `MISSING_DEPENDENCY`, where zstd is needed and not installed.
    """
    if suffix == ".gz":
        return open_gzip(path)
    return open_zstd(path, zstd_module()) if suffix == ".zst" else path.open("rb")


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
    if final.exists():
        return _settled(segment, final)
    with os.fdopen(_open_temporary(temporary, info.st_mode & 0o777), "r+b") as target:
        if not _lock(target):
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
            rename_new(temporary, final)
        except BaseException as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            if isinstance(error, FileExistsError):
                return _settled(segment, final)
            if isinstance(error, FileNotFoundError) and not segment.exists():
                return final  # pruned, and the temporary file with it
            raise
        return _remove_plain(segment, final)


def _lock(file: Any) -> bool:
    """Take the lock of a compressed file, temporary or not; say whether it was free."""
    if fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _remove_plain(segment: Path, final: Path) -> Path:
    """Remove a plain file whose compressed form is whole and locked by us; return what holds the segment now."""
    try:
        segment.unlink()
    except FileNotFoundError:
        with contextlib.suppress(FileNotFoundError):
            final.unlink()
        return next((form for form in forms(segment) if form.exists()), final)
    return final


def _settled(segment: Path, final: Path) -> Path:
    """Decide between a plain file and a compressed one of its name that was there before.

    Either a process was killed after it compressed, and both hold the same; or the name of one segment was given to another, as
    earlier versions could. Then the plain file gets a name of its own, so that the lines of both are read.

    Returns:
        What holds the plain file's lines now.
    """
    with contextlib.suppress(FileNotFoundError), final.open("r+b") as packed:
        if not _lock(packed) or not _is(packed.fileno(), final) or not segment.exists():
            return segment if segment.exists() else final
        if _hold_the_same(segment, final):
            return _remove_plain(segment, final)
        other = _free_name(segment)
        with contextlib.suppress(FileExistsError):
            rename_new(segment, other)
            return other
    return segment if segment.exists() else final


def _free_name(segment: Path) -> Path:
    while any(form.exists() for form in forms(segment)):
        named = parse_segment_name(segment)
        assert named is not None
        assert named.sealed_at is not None
        name = segment_name(named.stem, named.sealed_at, named.index + 1, generation=named.generation)
        segment = segment.with_name(name)
    return segment


def _hold_the_same(plain: Path, packed: Path) -> bool:
    with plain.open("rb") as one, _open_named(packed) as other:
        while True:
            block = one.read(_CHUNK)
            try:
                if other.read(len(block) or 1) != block:
                    return False
            except (OSError, EOFError):
                return False
            if not block:
                return True


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
    for segment in list_segments(active, superseded=True):
        if segment.active or segment.compression is not None:
            continue
        with contextlib.suppress(FileNotFoundError):
            finished.append(compress_segment(segment.path, compression))
    prefix = f".{active.name.removesuffix('.jsonl')}."
    for name in folder_names(active.parent):
        if name.startswith(prefix) and name.endswith(".tmp"):
            plain = name.removeprefix(".").removesuffix(".tmp").rsplit(".", 1)[0]
            if not (active.parent / plain).exists():
                with contextlib.suppress(OSError):
                    (active.parent / name).unlink()
    return finished


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
