"""The open files of a writer, and the files that the disk refuses at present.

Invariants: at most `limit` files are open; the least recently used one is closed first. A refused file is retried after a pause
that doubles up to five seconds, while other files go on.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .rotating_file import AppendFile, FileOptions, LockHeldError

__all__ = ["OpenFiles"]

_KNOWN = 4096
_FIRST_PAUSE, _MAX_PAUSE = 0.1, 5.0
# A held lock may be free at any moment; looking costs little when nobody waits for it.
_LONGEST_LOCK_PAUSE, _NEXT_LOCK_SECONDS = 0.5, 0.01
# What does not mend itself while somebody waits.
_LASTING = frozenset(
    {
        errno.EACCES,
        errno.EISDIR,
        errno.ELOOP,
        errno.EINVAL,
        errno.ENAMETOOLONG,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EPERM,
        errno.EROFS,
    }
)

_TOO_MANY = frozenset({errno.EMFILE, errno.ENFILE})

Before = Callable[[int, int, int, int], None]


@dataclass(slots=True)
class _Pause:
    seconds: float
    until: float
    since: float
    tried: float
    error: OSError
    told: bool


class OpenFiles:
    """Append to files by their names.

    Args:
        options: How files are made and rotated.
        limit: How many are open at once.
        sealed: As `AppendFile` takes it.
        notice: As `AppendFile` takes it.
    """

    def __init__(
        self,
        options: FileOptions,
        limit: int,
        *,
        sealed: Callable[[Path, Path], None],
        notice: Callable[[str, str, dict[str, Any]], None],
    ) -> None:
        # Made by whoever makes the handler: `logging` enters it in its lists under its lock, which the writer must never wait
        # for. `dictConfig` holds it while it closes handlers, and so waits for the writer.
        # A path from the top: the folder that the process runs in may be gone.
        self._pattern = AppendFile(
            os.path.join(options.root or os.sep, "pattern"), options, sealed=sealed, notice=notice
        )
        self._options = options
        self._limit = limit
        self._files: OrderedDict[str, AppendFile] = OrderedDict()
        self._open: OrderedDict[str, None] = OrderedDict()
        self._pauses: dict[str, _Pause] = {}

    def append(self, name: str, data: bytes, before: Before | None = None) -> tuple[int, OSError | None]:
        """Append whole lines; see `AppendFile.append`."""
        try:
            file = self._file(name)
            # One wait for a lock is enough: later tries must not hold up other files.
            file.lock_seconds = _NEXT_LOCK_SECONDS if name in self._pauses else self._options.lock_seconds
            written, error = file.append(data, before)
        except OSError as unopened:
            written, error = 0, unopened
        if error is not None and error.errno in _TOO_MANY:
            # The program uses up its descriptors: with ours given back, the next try has some.
            self.close()
        return written, error

    def _file(self, name: str) -> AppendFile:
        file = self._files.get(name)
        if file is None:
            file = self._pattern.of(name)
            self._files[name] = file
            if len(self._files) > _KNOWN:
                _, oldest = self._files.popitem(last=False)
                oldest.let_go()
        self._open[name] = None
        self._open.move_to_end(name)
        if len(self._open) > self._limit:
            stale, _ = self._open.popitem(last=False)
            if stale in self._files:
                self._files[stale].let_go()
        return file

    def refuse(self, name: str, error: OSError) -> float:
        """Leave a file alone for a while; return for how many seconds it has been refused."""
        known, now = self._pauses.get(name), time.monotonic()
        longest = _LONGEST_LOCK_PAUSE if isinstance(error, LockHeldError) else _MAX_PAUSE
        seconds = min(known.seconds * 2, longest) if known is not None else _FIRST_PAUSE
        since = known.since if known is not None else now
        self._pauses[name] = _Pause(
            seconds, now + seconds, since, now, error, told=known is not None and known.told
        )
        with contextlib.suppress(KeyError):
            self._files.pop(name).let_go()
            self._open.pop(name, None)
        return now - since

    def busy(self) -> list[str]:
        """Return the files whose locks are held by others."""
        return [name for name, known in self._pauses.copy().items() if isinstance(known.error, LockHeldError)]

    def still_refused(self, since: float, *, lasting: bool) -> bool:
        """Say whether files were tried since then and refused, all of them; if asked, all for reasons that last."""
        pauses = list(self._pauses.copy().values())
        return bool(pauses) and all(
            known.tried >= since and (not lasting or known.error.errno in _LASTING) for known in pauses
        )

    def note_told(self, name: str) -> None:
        """Note that it was said that a file is refused."""
        if name in self._pauses:
            self._pauses[name].told = True

    def accept(self, name: str) -> bool:
        """Note that a file was written; say whether it was said before that it is refused."""
        if not self._pauses:
            return False
        known = self._pauses.pop(name, None)
        return known is not None and known.told

    def refused(self) -> set[str]:
        """Return the files that are to be left alone now."""
        now = time.monotonic()
        return {name for name, known in self._pauses.copy().items() if known.until > now}

    @property
    def wait(self) -> float | None:
        """Seconds until the next refused file may be tried again; None where there is none."""
        if not self._pauses:
            return None
        return max(0.01, min(known.until for known in self._pauses.copy().values()) - time.monotonic())

    def close(self) -> None:
        """Close all; appending opens them again."""
        for file in self._files.values():
            file.let_go()
        self._open.clear()

    def abandon(self) -> None:
        """Let go of all in a forked child."""
        for file in self._files.values():
            file.abandon()
        self._files.clear()
        self._open.clear()
        self._pauses.clear()
