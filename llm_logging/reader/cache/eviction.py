"""Cache eviction: the parts that were not used for longest are dropped once the cache exceeds its limit.

The limit counts everything in the cache folder: pieces, answers, rates, kept keys. The pieces of one log are dropped
together; the pieces of the current answer stay. Parts of another package version are dropped first, and in any case after a
week without use: two versions may share a cache during an upgrade, not for ever.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ...errors import ConfigurationError, ErrorCode
from .store import schema_tag

__all__ = ["ENV_LIMIT", "bound_size", "cache_limit", "note_use"]

ENV_LIMIT: Final = "LLM_LOGGING_CACHE_MAX"
_DEFAULT_LIMIT: Final = 8 * 2**30
_FORGOTTEN: Final = 7 * 86400.0
# The time of use is updated at most once per this many seconds.
_NOTED: Final = 60.0


@dataclass(frozen=True, slots=True)
class _Part:
    """Something that is dropped as a whole."""

    path: Path
    used: float
    size: int
    foreign: bool


def cache_limit() -> int:
    """Return how many bytes the cache may hold: `LLM_LOGGING_CACHE_MAX`, else 8 GiB.

    Raises:
        ConfigurationError: The variable holds no number of bytes.
    """
    given = os.environ.get(ENV_LIMIT)
    if not given:
        return _DEFAULT_LIMIT
    # Python refuses to read thousands of digits.
    if not given.isdecimal() or len(given) > 30:
        raise ConfigurationError(
            f"{ENV_LIMIT}: expected a whole number of bytes, got {given!r}", code=ErrorCode.INVALID_OPTIONS
        )
    return int(given)


def note_use(paths: Iterable[Path]) -> bool:
    """Update the time of use of these parts of the cache; return whether any had not been updated for a while."""
    now, updated = time.time(), False
    for path in paths:
        with suppress(OSError):
            if now - path.stat().st_mtime > _NOTED:
                os.utime(path)
                updated = True
    return updated


def bound_size(folder: Path, needed: Iterable[Path]) -> None:
    """Drop what was not asked about for longest, until the cache is within its bound.

    Args:
        folder: The cache's folder.
        needed: Folders of logs that stay.
    """
    keep = set(needed)
    parts = sorted(_parts(folder), key=lambda part: (not part.foreign, part.used))
    total, limit, now = sum(part.size for part in parts), cache_limit(), time.time()
    for part in parts:
        old = part.foreign and now - part.used > _FORGOTTEN
        if (total > limit or old) and part.path not in keep:
            _drop(part.path, folder)
            total -= part.size


def _parts(folder: Path) -> Iterator[_Part]:
    current = schema_tag()
    for entry in _entries(folder):
        if not entry.is_dir():
            yield from _part(entry, foreign=False)
            continue
        if entry.name == "remote":
            # Copies of stores, which hold what any version can read.
            for copy in _entries(Path(entry.path)):
                yield from _tree(copy)
            continue
        for child in _entries(Path(entry.path)):
            inner = _entries(Path(child.path)) if child.name == "answers" else [child]
            for one in inner:
                yield from _part(one, foreign=entry.name != current)


def _tree(entry: os.DirEntry[str]) -> Iterator[_Part]:
    with suppress(OSError):
        size = sum(
            Path(folder, name).lstat().st_size for folder, _, names in os.walk(entry.path) for name in names
        )
        yield _Part(Path(entry.path), entry.stat(follow_symlinks=False).st_mtime, size, foreign=False)


def _part(entry: os.DirEntry[str], *, foreign: bool) -> Iterator[_Part]:
    with suppress(OSError):
        status = entry.stat(follow_symlinks=False)
        inside = _entries(Path(entry.path)) if entry.is_dir(follow_symlinks=False) else []
        size = sum(file.stat(follow_symlinks=False).st_size for file in inside) if inside else status.st_size
        yield _Part(Path(entry.path), status.st_mtime, size, foreign)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:
        return []


def _drop(path: Path, folder: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
    # The folders around it go with the last that they held.
    for around in path.parents:
        if around == folder:
            return
        with suppress(OSError):
            around.rmdir()
