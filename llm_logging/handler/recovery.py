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
from ..files.rings import Intent, Ring, RingRecord, dead_rings
from ..files.segments import list_segments
from .spool import forget_big, process, resolve_big

__all__ = ["RecoveryReport", "recover"]

Append = Callable[[str, Sequence[bytes]], tuple[int, OSError | None]]


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
    for ring in dead_rings(root, own=process().id, folders=folders):
        complete = False
        try:
            complete = _empty(ring, append, report)
        finally:
            ring.close(remove=complete)
        report.rings += complete
    return report


def _empty(ring: Ring, append: Append, report: RecoveryReport) -> bool:
    pending = [record for record in ring.records() if not record.done]
    intent = ring.intent
    if intent is not None:
        present = _present(ring, intent, pending)
        for record in present:
            ring.mark_done(record.position)
            forget_big(ring, record.line)
        report.present += len(present)
        pending = [record for record in pending if record not in present]
        ring.clear_intent()
    groups: dict[str, list[RingRecord]] = {}
    for record in pending:
        groups.setdefault(record.path, []).append(record)
    complete = True
    for path, records in groups.items():
        lines = [resolve_big(ring, record.line) for record in records]
        count, error = append(path, [line for line in lines if line])
        taken = _covering(records, lines, count)
        for record in taken:
            ring.mark_done(record.position)
            forget_big(ring, record.line)
        report.lines += count
        if error is not None:
            report.failed.append(error)
            complete = False
    ring.release(ring.settled())
    return complete


def _covering(records: Sequence[RingRecord], lines: Sequence[bytes], count: int) -> list[RingRecord]:
    """Return the records whose lines are among the first `count` that were not empty."""
    taken: list[RingRecord] = []
    for record, line in zip(records, lines, strict=True):
        if line:
            if not count:
                break
            count -= 1
        taken.append(record)
    return taken


def _present(ring: Ring, intent: Intent, pending: Sequence[RingRecord]) -> list[RingRecord]:
    """Return the records of the append that was under way which stand in the file already."""
    first = next((record for record in pending if record.position >= intent.first), None)
    if first is None:
        return []
    under_way = [r for r in pending if r.position >= intent.first and r.path == first.path]
    for candidate in _candidates(Path(first.path), intent):
        found: list[RingRecord] = []
        with contextlib.suppress(OSError, EOFError), open_segment(candidate) as file:
            file.seek(intent.offset)
            for record in under_way:
                line = resolve_big(ring, record.line)
                if file.read(len(line)) != line:
                    break
                found.append(record)
        if found:
            return found
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
