"""Following logs as they grow: across rotation, compression, truncation and replacement, each line once.

A log is followed by the open file, not by its name. When the name leads to another file, the open one is read to its
end; segments that were sealed in between (several rotations can happen between two looks) are read whole, in order,
compressed or not; then the new active file from its start. A file that has become shorter, or in which something else
stands where it was read, was truncated and is read from its start again. Only finished lines are given.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, TypeAlias

from ...errors import ErrorCode, FileSystemError
from ...files.lines import MAX_LINE_BYTES, last_lines, read_lines
from ...files.safe_open import open_regular
from ...files.segments import list_segments

__all__ = ["LogFollower", "follow"]

_BLOCK: Final = 1024 * 1024
_TRIES: Final = 20
# How much of its beginning, and of what came last, tells whether a file is still the one that was read: lines differ
# by their times.
_MARK: Final = 4096

# When a segment was sealed, and its number in that second: what stays when it is packed or rewritten.
_Key: TypeAlias = tuple[str, int]


@dataclass(slots=True)
class LogFollower:
    """Give the lines of one log as they come.

    Args:
        path: The active file; it need not exist yet.
        notice: Called with a sentence where lines may be missing (truncation, an overlong line).
    """

    path: Path
    notice: Callable[[str], None] = lambda _text: None
    _file: IO[bytes] | None = field(init=False, default=None)
    _inode: tuple[int, int] | None = field(init=False, default=None)
    _known: frozenset[_Key] = field(init=False, default=frozenset())
    _held: bytes = field(init=False, default=b"")
    _skipping: bool = field(init=False, default=False)
    _mark: bytes = field(init=False, default=b"")

    def start(self, count: int) -> list[bytes]:
        """Begin at the end of what is there.

        Args:
            count: How many lines before the end to give; sealed segments are read where the active file has fewer.

        Returns:
            These lines, oldest first.
        """
        self._open()
        lines: list[bytes] = []
        if self._file is not None:
            lines, resume = last_lines(self._file, count)
            self._mark = self._read_mark(resume)
        sealed = sorted(self._known)
        while len(lines) < count and sealed:
            lines = self._last(sealed.pop(), count - len(lines)) + lines
        return lines

    def poll(self) -> Iterator[bytes]:
        """Give the lines that have come since the last look."""
        if self._file is None:
            # The first lines of a log that begins now; it may have rotated before we first saw it.
            before = self._known
            self._open()
            yield from self._sealed_since(before, ours=None)
            if self._file is None:
                return
        yield from self._read()
        if not self._replaced():
            return
        # Whoever had the file open may have written between our reading and the renaming.
        yield from self._read()
        self._held, self._skipping, self._mark = b"", False, b""
        before, ours = self._known, self._first_line()
        self.close()
        self._open()
        yield from self._sealed_since(before, ours=ours)
        if self._file is not None:
            yield from self._read()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
        self._file, self._inode = None, None

    def _segments(self) -> frozenset[_Key]:
        """Name the sealed segments, as two listings in a row agree: one alone misses what is being packed."""
        last: frozenset[_Key] | None = None
        while True:
            found = frozenset((s.stamp, s.index) for s in list_segments(self.path) if not s.active)
            if found == last:
                return found
            last = found

    def _open(self) -> None:
        while True:
            known = self._segments()
            try:
                file = open_regular(self.path)
            except FileNotFoundError:
                self._known = known
                return
            except OSError as error:
                raise FileSystemError(
                    f"reading {self.path}: {error.strerror}",
                    code=ErrorCode.LOG_READ_ERROR,
                    errno=error.errno,
                    filename=str(self.path),
                ) from error
            if known == self._segments():
                break
            # It was rotated while we looked: what we opened may already be one of the sealed ones.
            file.close()
        status = os.fstat(file.fileno())
        self._file, self._inode, self._known = file, (status.st_dev, status.st_ino), known

    def _first_line(self) -> bytes | None:
        """Tell the open file from others, also when it has been packed since."""
        if self._file is None:
            return None
        self._file.seek(0)
        return self._file.readline(MAX_LINE_BYTES).rstrip(b"\r\n")

    def _sealed_since(self, before: frozenset[_Key], *, ours: bytes | None) -> Iterator[bytes]:
        for place, key in enumerate(sorted(self._known - before)):
            lines = self._sealed(key)
            first = next(lines, None)
            if first is None or (place == 0 and first == ours):
                continue  # what was open until now has been read
            yield first
            yield from lines

    def _path_of(self, key: _Key) -> Path | None:
        return next((s.path for s in list_segments(self.path) if (s.stamp, s.index) == key), None)

    def _last(self, key: _Key, count: int) -> list[bytes]:
        """Return the last lines of a sealed segment; one that is not packed is read from its end."""
        path = self._path_of(key)
        if path is not None and path.suffix == ".jsonl":
            with suppress(OSError), open_regular(path) as file:
                return last_lines(file, count)[0]
        return list(deque(self._sealed(key), maxlen=count))

    def _sealed(self, key: _Key) -> Iterator[bytes]:
        """Read a sealed segment, under whatever name it has at the moment: it may be packed as we look."""
        for _ in range(_TRIES):
            path = self._path_of(key)
            try:
                if path is not None:
                    yield from (line.data for line in read_lines(path) if not line.problem)
                    return
            except OSError as error:
                if error.errno == errno.ENOENT:
                    continue
                self.notice(f"{path}: {error.strerror or error}; its lines are left out")
                return
        self.notice(f"{self.path}: the segment of {key[0]} was removed before it was read")

    def _replaced(self) -> bool:
        try:
            status = self.path.stat()
        except OSError:
            return not self.path.exists() and bool(self._segments() - self._known)
        return (status.st_dev, status.st_ino) != self._inode

    def _read(self) -> Iterator[bytes]:
        file = self._file
        if file is None:
            return
        place = file.tell()
        # It may also have been filled again since, to the size that it had or beyond.
        if os.fstat(file.fileno()).st_size < place or self._read_mark(place) != self._mark:
            self.notice(f"{self.path}: truncated; reading it from its start")
            self._mark = self._read_mark(0)
            self._held, self._skipping = b"", False
        while block := file.read(_BLOCK):
            self._mark = self._read_mark(file.tell())
            *whole, rest = (self._held + block).split(b"\n")
            for line in whole:
                if self._skipping:
                    self._skipping = False
                else:
                    yield line.removesuffix(b"\r")
            self._held = rest
            if len(rest) > MAX_LINE_BYTES:
                self.notice(f"{self.path}: a line of more than {MAX_LINE_BYTES:,} bytes is left out")
                self._held, self._skipping = b"", True

    def _read_mark(self, place: int) -> bytes:
        """Return how the open file begins and what stands before a place, and go to that place."""
        file = self._file
        if file is None:
            return b""
        marks = []
        for start in (0, max(0, place - _MARK)):
            # By way of the end, which leaves nothing in the buffer of what the file held before.
            file.seek(0, os.SEEK_END)
            file.seek(start)
            marks.append(file.read(min(_MARK, place)))
        file.seek(0, os.SEEK_END)
        file.seek(place)
        return b"".join(marks)


def follow(
    find: Callable[[], Sequence[Path]],
    *,
    sleep: Callable[[float], object],
    interval: float = 0.25,
    followers: dict[Path, LogFollower] | None = None,
    notice: Callable[[str], None] = lambda _text: None,
) -> Iterator[list[bytes]]:
    """Give new lines of several logs, in the order in which they are seen, until the caller stops.

    Args:
        find: Lists the active files; asked again at every look, so that new logs are followed from their start.
        sleep: Waits for seconds.
        interval: How long to wait between looks.
        followers: Those that were started already.
        notice: See `LogFollower`.

    Yields:
        The lines of one look; an empty list where nothing came.
    """
    open_ones = {} if followers is None else followers
    while True:
        lines: list[bytes] = []
        for path in find():
            if path not in open_ones:
                open_ones[path] = LogFollower(path, notice)
            lines.extend(open_ones[path].poll())
        yield lines
        if not lines:
            sleep(interval)
