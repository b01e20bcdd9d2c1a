"""Finish what killed processes left in their rings: each committed line once, and the ring removed.

Where its owner was killed between appending a batch and saying so, the intent it noted names the file and the place:
what stands there already is not written again.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..files.compression import open_segment
from ..files.rings import Intent, Ring, RingRecord
from ..files.segments import list_segments
from ..files.spools import big_path, dead_rings, resolve_big
from .rotation import AppendFile, FileOptions
from .spool import forget_big, is_big

__all__ = ["RecoveryReport", "recover", "recover_root"]

Append = Callable[[str, bytes], tuple[int, OSError | None]]


@dataclass(slots=True)
class RecoveryReport:
    """What was found in dead rings.

    Attributes:
        rings: How many dead rings were emptied.
        lines: How many lines were written from them.
        present: How many stood in their files already.
        failed: Why lines could not be written; their rings stay.
    """

    rings: int = 0
    lines: int = 0
    present: int = 0
    failed: list[OSError] = field(default_factory=list)


def recover(root: Path, append: Append, *, folders: Sequence[Path] | None = None) -> RecoveryReport:
    """Write what dead rings of a root hold.

    Args:
        root: Whose rings.
        append: Appends lines to a file; returns how many are in it, and why not more.
        folders: Where to look for rings; the usual places when None.
    """
    report = RecoveryReport()
    for ring in dead_rings(root, folders=folders):
        complete = False
        try:
            complete = _empty(ring, append, report)
        finally:
            ring.close(remove=complete)
        report.rings += complete
    return report


def recover_root(root: Path) -> RecoveryReport:
    """Write what killed processes left, from a process that logs nothing itself; see `recover`."""

    def append(name: str, data: bytes) -> tuple[int, OSError | None]:
        file = AppendFile(name, FileOptions(), sealed=lambda _active, _segment: None, notice=lambda *_: None)
        try:
            return file.append(data)
        except OSError as error:
            return 0, error
        finally:
            file.let_go()

    return recover(root, append)


def _empty(ring: Ring, append: Append, report: RecoveryReport) -> bool:
    pending = [_Found(ring, record) for record in ring.records() if not record.done]
    intent = ring.intent
    if intent is not None:
        present = _present(intent, pending)
        for found in present:
            found.settle()
        report.present += len(present)
        pending = pending[:] if not present else [found for found in pending if found not in present]
        ring.clear_intent()
    groups: dict[str, list[_Found]] = {}
    for found in pending:
        groups.setdefault(found.path, []).append(found)
    complete = True
    for path, group in groups.items():
        count, error = append(path, b"".join(found.line for found in group))
        for found in group:
            count -= len(found.line)
            if count < 0:
                break
            found.settle()
            report.lines += bool(found.line)
        if error is not None:
            report.failed.append(error)
            complete = False
    ring.release()
    return complete


class _Found:
    """A line in a dead ring, what it points to resolved."""

    __slots__ = ("line", "number", "path", "pointer", "ring")

    def __init__(self, ring: Ring, record: RingRecord) -> None:
        encoded = os.fsencode(record.path)
        self.ring = ring
        self.number = record.number
        self.pointer = record.line if is_big(encoded) else None
        self.path = big_path(encoded) if self.pointer is not None else record.path
        self.line = resolve_big(ring, self.pointer) if self.pointer is not None else record.line

    def settle(self) -> None:
        """Note that it is in its file."""
        self.ring.mark_done(self.number)
        if self.pointer is not None:
            forget_big(self.ring, self.pointer)


def _present(intent: Intent, pending: Sequence[_Found]) -> list[_Found]:
    """Return the lines of the append that was under way which stand in the file already."""
    first = next((found for found in pending if found.number >= intent.first), None)
    if first is None:
        return []
    under_way = [found for found in pending if found.number >= intent.first and found.path == first.path]
    for candidate in _candidates(Path(first.path), intent):
        present: list[_Found] = []
        with contextlib.suppress(OSError, EOFError), open_segment(candidate) as file:
            file.seek(intent.offset)
            for found in under_way:
                if file.read(len(found.line)) != found.line:
                    break
                present.append(found)
        if present:
            return present
    return []


def _candidates(active: Path, intent: Intent) -> Iterable[Path]:
    """Yield the files that may hold the append: that of the noted inode, else what it may have become by compressing."""
    segments = list_segments(active, superseded=True)
    for segment in segments:
        with contextlib.suppress(OSError):
            info = os.stat(segment.path)
            if (info.st_dev, info.st_ino) == (intent.device, intent.inode):
                yield segment.path
                return
    for segment in reversed(segments):
        if segment.compression is not None:
            yield segment.path
