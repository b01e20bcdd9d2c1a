"""Following logs as they grow: across rotation, compression, truncation and replacement, each line once.

A log is followed by the open file, not by its name. When the name leads to another file, the open one is read to its
end; segments that were sealed in between (several rotations can happen between two looks) are read whole, in order,
compressed or not; then the new active file from its start. A file that has become shorter was truncated and is read
from its start again. Only finished lines are given.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from ..files.lines import MAX_LINE_BYTES, last_lines, read_lines
from ..files.segments import list_segments

__all__ = ["LogFollower", "follow"]

_BLOCK: Final = 1024 * 1024


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
    _known: frozenset[str] = field(init=False, default=frozenset())
    _held: bytes = field(init=False, default=b"")
    _skipping: bool = field(init=False, default=False)

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
            self._file.seek(resume)
        sealed = [segment.path for segment in list_segments(self.path) if segment.key in self._known]
        while len(lines) < count and sealed:
            lines = _tail(sealed.pop(), count - len(lines)) + lines
        return lines

    def poll(self) -> Iterator[bytes]:
        """Give the lines that have come since the last look."""
        if self._file is None:
            # The first lines of a log that begins now; it may have rotated before we first saw it.
            before = self._known
            self._open()
            yield from self._sealed_since(before, skip_first=False)
            if self._file is None:
                return
        yield from self._read()
        if not self._replaced():
            return
        # Whoever had the file open may have written between our reading and the renaming.
        yield from self._read()
        self._held, self._skipping = b"", False
        before = self._known
        self.close()
        self._open()
        yield from self._sealed_since(before, skip_first=True)
        if self._file is not None:
            yield from self._read()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
        self._file, self._inode = None, None

    def _segments(self) -> frozenset[str]:
        return frozenset(s.key for s in list_segments(self.path) if not s.active)

    def _open(self) -> None:
        while True:
            known = self._segments()
            try:
                file = self.path.open("rb")
            except FileNotFoundError:
                self._known = known
                return
            if known == self._segments():
                break
            # It was rotated while we looked: what we opened may already be one of the sealed ones.
            file.close()
        status = os.fstat(file.fileno())
        self._file, self._inode, self._known = file, (status.st_dev, status.st_ino), known

    def _sealed_since(self, before: frozenset[str], *, skip_first: bool) -> Iterator[bytes]:
        new = [s for s in list_segments(self.path) if s.key in self._known and s.key not in before]
        for segment in new[1:] if skip_first else new:
            with suppress(OSError):
                yield from (line.data for line in read_lines(segment.path) if not line.problem)

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
        if os.fstat(file.fileno()).st_size < file.tell():
            self.notice(f"{self.path}: truncated; reading it from its start")
            file.seek(0)
            self._held, self._skipping = b"", False
        while block := file.read(_BLOCK):
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


def _tail(path: Path, count: int) -> list[bytes]:
    from collections import deque

    with suppress(OSError):
        if path.suffix == ".jsonl":
            with path.open("rb") as file:
                return last_lines(file, count)[0]
        return list(deque((line.data for line in read_lines(path) if not line.problem), maxlen=count))
    return []


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
