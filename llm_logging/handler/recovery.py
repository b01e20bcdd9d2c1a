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

Append = Callable[[str, bytes, Callable[[int, int, int, int], None]], tuple[int, OSError | None]]


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

    def append(
        name: str, data: bytes, before: Callable[[int, int, int, int], None]
    ) -> tuple[int, OSError | None]:
        file = AppendFile(name, FileOptions(), sealed=lambda _active, _segment: None, notice=lambda *_: None)
        try:
            return file.append(data, before)
        except OSError as error:
            return 0, error
        finally:
            file.let_go()

    return recover(root, append)


def _empty(ring: Ring, append: Append, report: RecoveryReport) -> bool:
    found = [_Found(ring, record) for record in ring.records()]
    intent = ring.intent
    if intent is not None:
        for line in _present(intent, found):
            if not line.done:
                line.settle()
                report.present += 1
        ring.clear_intent()
    groups: dict[str, list[_Found]] = {}
    for line in found:
        if not line.done:
            groups.setdefault(line.path, []).append(line)
    complete = True
    for path, group in groups.items():
        error = _append_group(ring, path, group, append, report)
        if error is not None:
            report.failed.append(error)
            complete = False
    ring.release()
    return complete


def _append_group(
    ring: Ring, path: str, group: Sequence[_Found], append: Append, report: RecoveryReport
) -> OSError | None:
    """Append lines of one file, noting in the ring what is done, for whoever goes on if this process is killed too."""
    settled = 0

    def settle(size: int) -> None:
        """Settle the lines that the first `size` bytes hold."""
        nonlocal settled
        end = 0
        for number, line in enumerate(group):
            end += len(line.line)
            if end > size:
                break
            if number >= settled:
                line.settle()
                report.lines += bool(line.line)
                settled = number + 1

    def before(device: int, inode: int, offset: int, done: int) -> None:
        settle(done)
        ring.note_intent(device, inode, offset, group[settled].number)

    size, error = append(path, b"".join(line.line for line in group), before)
    settle(size)
    return error


class _Found:
    """A line in a dead ring, what it points to resolved."""

    __slots__ = ("done", "line", "number", "path", "pointer", "ring")

    def __init__(self, ring: Ring, record: RingRecord) -> None:
        encoded = os.fsencode(record.path)
        self.ring = ring
        self.number = record.number
        self.done = record.done
        self.pointer = record.line if is_big(encoded) else None
        self.path = big_path(encoded) if self.pointer is not None else record.path
        self.line = resolve_big(ring, self.pointer) if self.pointer is not None else record.line

    def settle(self) -> None:
        """Note that it is in its file."""
        self.done = True
        self.ring.mark_done(self.number)
        if self.pointer is not None:
            forget_big(self.ring, self.pointer)


def _present(intent: Intent, lines: Sequence[_Found]) -> list[_Found]:
    """Return the lines of the append that was under way which stand in the file already, from its first on."""
    first = next((line for line in lines if line.number == intent.first), None)
    if first is None:
        return []
    under_way = [line for line in lines if line.number >= intent.first and line.path == first.path]
    for candidate in _candidates(Path(first.path), intent):
        present: list[_Found] = []
        with contextlib.suppress(OSError, EOFError), open_segment(candidate) as file:
            file.seek(intent.offset)
            for line in under_way:
                place = file.tell()
                if file.read(len(line.line)) == line.line:
                    present.append(line)
                elif line.done:
                    # Written by an earlier append than this one.
                    file.seek(place)
                else:
                    break
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
