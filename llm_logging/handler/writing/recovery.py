"""Write the lines that killed processes left in their rings: each committed line once; then remove the ring.

A process may be killed after it has appended a batch and before it has marked the batch as done. The ring's intent names the file
and the offset of that append, so lines that are already in the file are recognised and not written again.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from ...files.compression import open_segment
from ...files.lines import WRITER
from ...files.safe_open import open_regular
from ...files.segments import at_one_moment, list_segments
from ...files.spool.discovery import (
    big_path,
    dead_rings,
    discard,
    home_of,
    is_gone,
    may_be_stale,
    moved_path,
    orphans,
    resolve_big,
)
from ...files.spool.ring import Ring
from ...files.spool.ring_view import Intent, RingRecord
from .line_buffer import forget_big, is_big
from .rotating_file import AppendFile, FileOptions

__all__ = ["RecoveryReport", "adopt", "recover", "recover_root", "settle"]

_ADOPT_SECONDS: Final = 0.2
_TIMESTAMP: Final = re.compile(rb'"timestamp": ?"([^"]{10,40})"')

_LOOKS = 100

Before = Callable[[int, int, int, int], None]
Append = Callable[[str, bytes, Before], tuple[int, OSError | None]]


@dataclass(slots=True)
class RecoveryReport:
    """What was found in dead rings.

    Attributes:
        rings: How many dead rings were emptied.
        lines: How many lines were written from them.
        present: How many stood in their files already.
        failed: Why lines could not be written; their rings stay.
        removed: How many rings of removed roots, or without lines, were removed.
    """

    rings: int = 0
    lines: int = 0
    present: int = 0
    failed: list[OSError] = field(default_factory=list)
    removed: int = 0


def recover(root: Path, append: Append, *, folders: Sequence[Path] | None = None) -> RecoveryReport:
    """Write what dead rings of a root hold.

    Args:
        root: Whose rings.
        append: As `AppendFile.append`, after the name of the file.
        folders: Where to look for rings; the usual places when None.
    """
    report = RecoveryReport()
    for ring in dead_rings(root, folders=folders):
        _recover(ring, root, append, report)
    return report


def _recover(ring: Ring, root: Path, append: Append, report: RecoveryReport) -> None:
    complete = False
    try:
        complete = _empty(ring, root, append, report)
    except OSError as error:
        report.failed.append(error)
    finally:
        ring.close(remove=complete)
    report.rings += complete


def recover_root(root: Path) -> RecoveryReport:
    """Write what killed processes left, from a process that logs nothing itself; see `recover`."""
    return recover(root, _append)


def _append(name: str, data: bytes, before: Before) -> tuple[int, OSError | None]:
    file = AppendFile(name, FileOptions(), sealed=lambda _active, _segment: None, notice=lambda *_: None)
    try:
        return file.append(data, before)
    except OSError as error:
        return 0, error
    finally:
        file.let_go()


def adopt(root: Path, *, seconds: float = _ADOPT_SECONDS) -> RecoveryReport:
    """Look after rings of other roots that killed processes of this user left in shared memory.

    Their lines are written to their own root. A ring whose root was removed is removed. One whose root is not mounted now
    stays.

    Args:
        root: The root whose rings are left to `recover`.
        seconds: No further ring is begun after so long.
    """
    report = RecoveryReport()
    until = time.monotonic() + seconds
    with contextlib.closing(orphans(root)) as found:
        for ring in found:
            home = home_of(ring)
            if all(record.done for record in ring.records()) or (home is not None and is_gone(ring, home)):
                discard(ring)
                report.removed += 1
            elif home is None or not home.is_dir():
                ring.close(remove=False)
            else:
                _recover(ring, home, _append, report)
            if time.monotonic() >= until:
                break
    return report


def settle(ring: Ring) -> list[int]:
    """Mark what stands in its file already of the append that a ring's owner noted last, and forget the note.

    Returns:
        The numbers of these lines.
    """
    intent = ring.intent
    present: list[int] = []
    if intent is not None:
        lines = [_Found(ring, record, big_path(os.fsencode(record.path))) for record in ring.records()]
        for found in _present(intent, lines):
            if not found.done:
                found.settle()
                present.append(found.number)
    ring.release()
    ring.clear_intent()
    return present


def _empty(ring: Ring, root: Path, append: Append, report: RecoveryReport) -> bool:
    lines = [
        _Found(ring, record, moved_path(ring, root, big_path(os.fsencode(record.path))))
        for record in ring.records()
    ]
    intent = ring.intent
    if intent is not None:
        for found in _present(intent, lines):
            report.present += not found.done
            found.settle()
    ring.clear_intent()
    if may_be_stale(ring):
        report.present += _settle_written([found for found in lines if not found.done and found.line])
    groups: dict[str, list[_Found]] = {}
    seen: set[tuple[str, bytes]] = set()
    for found in lines:
        if found.done:
            continue
        # Its owner was killed while it moved lines within the ring: no two lines of a process are the same.
        if (found.path, found.line) in seen:
            ring.mark_done(found.number)
            continue
        seen.add((found.path, found.line))
        groups.setdefault(found.path, []).append(found)
    complete = True
    for path, group in groups.items():
        note = _Progress(ring, group)
        size, error = append(path, b"".join(found.line for found in group), note)
        note.reached(size)
        ring.clear_intent()
        report.lines += sum(found.done and bool(found.line) for found in group)
        if error is not None:
            report.failed.append(error)
            complete = False
    ring.release()
    return complete


class _Found:
    """A line in a dead ring, what it points to resolved."""

    __slots__ = ("done", "line", "number", "path", "pointer", "ring")

    def __init__(self, ring: Ring, record: RingRecord, path: str) -> None:
        self.ring = ring
        self.number = record.number
        self.done = record.done
        self.pointer = record.line if is_big(os.fsencode(record.path)) else None
        self.path = path
        self.line = resolve_big(ring, self.pointer) if self.pointer is not None else record.line

    def settle(self) -> None:
        """Note that it is in its file."""
        self.done = True
        self.ring.mark_done(self.number)
        if self.pointer is not None:
            forget_big(self.ring, self.pointer)


def _settle_written(lines: Sequence[_Found]) -> int:
    """Mark the lines that stand in their files already, by writer and number; return how many."""
    count = 0
    for path in {found.path for found in lines}:
        waiting = {
            match.groups(): found
            for found in lines
            if found.path == path and (match := WRITER.search(found.line)) is not None
        }
        logged = [moment for found in waiting.values() if (moment := _logged_at(found.line)) is not None]
        with contextlib.ExitStack() as stack:
            for segment, active in reversed(at_one_moment(Path(path), stack)):
                sealed = segment.sealed_at
                # A line is in no segment that was sealed before it was logged. The stamp has whole seconds.
                if sealed is not None and logged and sealed + timedelta(seconds=2) < min(logged):
                    break
                with (
                    contextlib.suppress(OSError, EOFError),
                    active or open_segment(segment.path) as file,
                ):
                    for line in file:
                        match = WRITER.search(line)
                        there = waiting.pop(match.groups(), None) if match is not None else None
                        if there is not None:
                            there.settle()
                            count += 1
    return count


def _logged_at(line: bytes) -> datetime | None:
    match = _TIMESTAMP.search(line)
    try:
        return datetime.fromisoformat(match[1].decode()) if match is not None else None
    except ValueError:
        return None


class _Progress:
    """Note in a dead ring how far its lines are written, as its owner would: who recovers can be killed too."""

    def __init__(self, ring: Ring, group: Sequence[_Found]) -> None:
        self._ring = ring
        self._left = deque(group)
        self._size = 0

    def __call__(self, device: int, inode: int, size: int, done: int) -> None:
        """Note a write before it is made; see `AppendFile.append`."""
        self.reached(done)
        self._ring.note_intent(device, inode, size, self._left[0].number)

    def reached(self, size: int) -> None:
        """Note that so many bytes are in the file."""
        while self._left and self._size + len(self._left[0].line) <= size:
            found = self._left.popleft()
            self._size += len(found.line)
            found.settle()


def _present(intent: Intent, lines: Sequence[_Found]) -> list[_Found]:
    """Return the lines of the append that was under way which stand in the file already.

    Some may be marked already: what is marked and stands elsewhere was none of that append.
    """
    begun = [found for found in lines if found.number >= intent.first]
    if not begun or begun[0].number != intent.first:
        return []
    under_way = [found for found in begun if found.path == begun[0].path]
    for opened in _candidates(Path(begun[0].path), intent):
        present: list[_Found] = []
        with contextlib.suppress(OSError, EOFError), opened as file:
            at = file.seek(intent.offset)
            for found in under_way:
                if not found.line:
                    # A large line that only its owner's memory holds.
                    break
                if file.read(len(found.line)) == found.line:
                    at += len(found.line)
                    present.append(found)
                elif found.done:
                    file.seek(at)
                else:
                    break
        if present:
            return present
    return []


def _candidates(active: Path, intent: Intent) -> Iterator[Any]:
    """Open the files that may hold the append: that of the noted inode, and what it may have become by compressing.

    The number of an inode is given again as soon as its file is gone, so having it proves nothing. Others rotate and compress
    meanwhile: the folder is listed again until every file in it has been looked at, a plain one by its inode.
    """
    noted = (intent.device, intent.inode)
    looked: set[object] = set()
    for _ in range(_LOOKS):
        segments = list_segments(active, superseded=True)
        whole = True
        for segment in segments:
            if segment.compression is not None:
                continue
            try:
                identity = _identity(os.stat(segment.path))
                if identity == noted and identity not in looked:
                    file = open_regular(segment.path)
                    identity = _identity(os.fstat(file.fileno()))
                    yield file
            except FileNotFoundError:
                # It has its next name by now.
                whole = False
            except OSError:
                looked.add(segment.path)
            else:
                whole = whole and identity in looked
                looked.add(identity)
        for segment in reversed(segments):
            if segment.compression is not None and segment.path not in looked:
                whole = False
                looked.add(segment.path)
                with contextlib.suppress(OSError):
                    yield open_segment(segment.path)
        if whole:
            return


def _identity(info: os.stat_result) -> tuple[int, int]:
    return info.st_dev, info.st_ino
