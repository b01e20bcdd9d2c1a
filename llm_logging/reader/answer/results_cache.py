"""The cache around a whole answer: the same question about the same bytes has the same answer.

An answer is kept under a hash of everything it depends on: the question with its moments resolved, each file's path,
inode, size and time of change, the manifests and notes of the writers, the version of the price list and the user's own
rates. The groups of an answer are kept apart from its whole, which every question with the same filters shares. An answer
that also depends on the time of asking (some requests are pending) is not kept.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from ...models.stats import Stats, StatsRow
from ..cache.eviction import note_use
from ..cache.store import key_of, log_folder, make_private, read_file, schema_tag, write_file
from ..lines.log_files import Sources
from ..pricing.rates import list_version
from .plan import Plan

__all__ = ["KeptAnswer", "kept_answers"]

_KEPT: Final = 256
# Reading more groups from a file takes longer than computing them again.
_MOST_ROWS: Final = 5000


def kept_answers(plan: Plan, sources: Sources) -> KeptAnswer | None:
    """Return where the answer to a question is kept; None where none may be."""
    if plan.cache is None or sources.root is None or sources.waiting.lines:
        return None
    return KeptAnswer(plan.cache, plan, sources, sources.root)


def _state(path: Path) -> list[Any]:
    try:
        status = path.stat()
    except OSError:
        return [str(path), None]
    return [str(path), status.st_ino, status.st_size, status.st_mtime_ns]


class KeptAnswer:
    """The answer to one question about files as they are now, if it was given before: the whole, and its groups.

    Args:
        folder: The cache folder.
        plan: The question.
        sources: Its files, open.
        root: Where they lie.
    """

    def __init__(self, folder: Path, plan: Plan, sources: Sources, root: Path) -> None:
        self.folder = folder / schema_tag() / "answers"
        question, files, rates = plan.selection, sources.files, plan.rates_file
        options, period = question.options, question.period
        notes = {(root / file.log.name).with_suffix(".manifest") for file in files}
        whole = [
            question.scope.model_dump(mode="json"),
            [period.start, period.end, options.orphaned_after, options.strict],
            [[one.column.path, one.sql, one.parameters, one.cost] for one in question.conditions],
            [options.as_if, question.priced_at],
            [
                [file.raw.name, file.log.name, file.inode, file.size, file.mtime_ns, file.ctime_ns]
                for file in files
            ],
            [_state(path) for path in (*sorted(notes), root / ".writers.jsonl", root / ".hosts.json")],
            [list_version(), None if rates is None else rates.read_text("utf-8", "replace")],
        ]
        rows = [
            options.group_by,
            options.time_zone,
            f"{question.now:%Y-%m-%dT%H}" if options.fill_gaps else None,
        ]
        self._cache, self._files = folder, files
        self._grouped = bool(options.group_by)
        self._whole = self.folder / f"{key_of(whole)}.json"
        self._rows = self.folder / f"{key_of([whole, rows])}.rows.json"

    def find(self) -> tuple[Stats | None, list[StatsRow] | None]:
        """Return the answer without its groups, and the groups; each None where it is not kept."""
        whole = self._find_whole()
        return whole, None if whole is None else self._find_rows()

    def _find_whole(self) -> Stats | None:
        try:
            whole = Stats.model_validate_json(read_file(self._whole))
        except (OSError, ValueError):
            return None
        if note_use([self._whole, self._rows]):
            # The pieces that it was made from are in use too, although they are not opened.
            logs = {os.path.realpath(file.log.active) for file in self._files if file.log.active is not None}
            note_use(log_folder(self._cache, log) for log in logs)
        return whole

    def _find_rows(self) -> list[StatsRow] | None:
        if not self._grouped:
            return []
        try:
            return Stats.model_validate_json(read_file(self._rows)).breakdown
        except (OSError, ValueError):
            return None

    def keep(self, whole: Stats, rows: list[StatsRow]) -> None:
        """Keep an answer, unless it also depends on when it was asked for."""
        if whole.summary.pending_requests or whole.quality.unreadable_files:
            return
        try:
            make_private(self.folder)
            write_file(self._whole, whole.model_dump_json(by_alias=True).encode())
            if self._grouped and len(rows) <= _MOST_ROWS:
                write_file(self._rows, Stats(breakdown=rows).model_dump_json(by_alias=True).encode())
            _bound(self.folder.iterdir())
        except OSError:
            return


def _bound(files: Iterable[Path]) -> None:
    kept = sorted(files, key=lambda path: path.stat().st_mtime)
    for path in kept[:-_KEPT]:
        path.unlink(missing_ok=True)
