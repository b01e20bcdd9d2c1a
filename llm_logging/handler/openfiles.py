"""The files a writer has open, and those that the disk refuses for now.

Invariants: at most `limit` files are open, the one used longest ago is closed first; a file that was refused is left alone
for a pause that doubles up to five seconds, while others go on.
"""

from __future__ import annotations

import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .rotation import AppendFile, FileOptions

__all__ = ["OpenFiles"]

_KNOWN = 4096
_FIRST_PAUSE, _MAX_PAUSE = 0.1, 5.0

Before = Callable[[int, int, int, int], None]


@dataclass(slots=True)
class _Pause:
    seconds: float
    until: float


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
        self._pattern = AppendFile("pattern", options, sealed=sealed, notice=notice)
        self._limit = limit
        self._files: OrderedDict[str, AppendFile] = OrderedDict()
        self._open: OrderedDict[str, None] = OrderedDict()
        self._pauses: dict[str, _Pause] = {}

    def append(self, name: str, data: bytes, before: Before | None = None) -> tuple[int, OSError | None]:
        """Append whole lines; see `AppendFile.append`."""
        try:
            return self._file(name).append(data, before)
        except OSError as error:
            return 0, error

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

    def refuse(self, name: str) -> None:
        """Leave a file alone for a while."""
        known = self._pauses.get(name)
        seconds = min(known.seconds * 2, _MAX_PAUSE) if known is not None else _FIRST_PAUSE
        self._pauses[name] = _Pause(seconds, time.monotonic() + seconds)
        with contextlib.suppress(KeyError):
            self._files.pop(name).let_go()
            self._open.pop(name, None)

    def accept(self, name: str) -> bool:
        """Note that a file was written; say whether it had been refused before."""
        return bool(self._pauses) and self._pauses.pop(name, None) is not None

    def refused(self) -> set[str]:
        """Return the files that are to be left alone now."""
        now = time.monotonic()
        return {name for name, pause in self._pauses.items() if pause.until > now}

    @property
    def wait(self) -> float | None:
        """Seconds until the next refused file may be tried again; None where there is none."""
        if not self._pauses:
            return None
        return max(0.01, min(pause.until for pause in self._pauses.values()) - time.monotonic())

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
