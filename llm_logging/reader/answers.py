"""Answers given before: the same question about the same bytes has the same answer.

An answer is kept under a hash of everything it depends on: the question with its moments resolved, each file's path,
inode, size and time of change, the manifests and notes of the writers beside them, the version of the price list and
the user's own rates. One that depends on the time of asking as well (requests still pending) is not kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from ..figures import Period, Stats
from ..question import StatsOptions, StatsScope
from .cache import make_private, read_file, schema_tag, write_file
from .pricing import list_version
from .source import LogFile

__all__ = ["Answers"]

_FORMAT: Final = 1
_KEPT: Final = 256


def _state(path: Path) -> list[Any]:
    try:
        status = path.stat()
    except OSError:
        return [str(path), None]
    return [str(path), status.st_ino, status.st_size, status.st_mtime_ns]


class Answers:
    """The answer to one question about files as they are, if it was given before.

    Args:
        folder: The cache's folder.
        scope: Whose figures.
        options: How they are asked for.
        period: With its moments resolved.
        files: Open.
        root: Where the logs lie.
        overrides: The file of the user's own rates.
        now: When it is asked; up to its hour gaps are filled.
    """

    def __init__(
        self,
        folder: Path,
        scope: StatsScope,
        options: StatsOptions,
        period: Period,
        files: Sequence[LogFile],
        root: Path,
        overrides: Path | None,
        now: datetime,
    ) -> None:
        self.folder = folder / schema_tag() / "answers"
        beside = {(root / file.log.name).with_suffix(".manifest") for file in files}
        identity = [
            _FORMAT,
            scope.model_dump(mode="json"),
            options.model_dump(mode="json"),
            period.model_dump(mode="json"),
            [[file.raw.name, file.log.name, file.inode, file.size, file.mtime_ns] for file in files],
            [_state(path) for path in (*sorted(beside), root / ".writers.jsonl")],
            f"{now:%Y-%m-%dT%H}" if options.fill_gaps else None,
            [list_version(), None if overrides is None else overrides.read_text("utf-8", "replace")],
        ]
        name = hashlib.sha256(json.dumps(identity, default=str).encode()).hexdigest()
        self._path = self.folder / f"{name[:32]}.json"

    def find(self) -> Stats | None:
        """Return the answer; None where it is not known."""
        try:
            return Stats.model_validate_json(read_file(self._path))
        except (OSError, ValueError):
            return None

    def keep(self, stats: Stats) -> None:
        """Keep an answer, unless it also depends on when it was asked for."""
        if stats.summary.pending_requests or stats.quality.unreadable_files:
            return
        try:
            make_private(self.folder)
            write_file(self._path, stats.model_dump_json(by_alias=True).encode())
            _bound(self.folder.iterdir())
        except OSError:
            return


def _bound(files: Iterable[Path]) -> None:
    kept = sorted(files, key=lambda path: path.stat().st_mtime)
    for path in kept[:-_KEPT]:
        path.unlink(missing_ok=True)
