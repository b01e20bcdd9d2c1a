"""Seal a log: rename its active file to a name that no segment of the log has, or ever had.

A folder's listing is not taken at one instant, so no name is chosen from it. Everybody who seals holds the log's append lock and
notes the name in the lock file, before the rename. The note outlives pruning, and compressing never changes it. Where there is no
note yet, or the lock file was removed, the newest name known is looked for in the folder and then in the manifest, which
names every segment before it is removed. The name is then looked up in each form, and taken by a rename that replaces nothing.
"""

from __future__ import annotations

import contextlib
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, TypeAlias

from ..errors import FileSystemError
from ..files.renaming import rename_new
from ..files.segments import STAMP, forms, is_stamp, list_segments, parse_segment_name, segment_name
from .manifest import read_manifest

__all__ = ["lock_name", "noted_name", "seal_active"]

# When a segment was sealed, and its number in that second.
Name: TypeAlias = tuple[str, int]

_NOTE: Final = re.compile(rb"([0-9]{8}T[0-9]{6}Z)-([0-9]{4})\n")
_NOTE_SIZE: Final = 22
_LAST_INDEX: Final = 9999  # four digits, so that names sort as text


def seal_active(active: Path, lock: int, now: datetime) -> Path:
    """Give an active file its final name; call it while holding the log's append lock.

    Args:
        active: The file, which exists.
        lock: A descriptor of the lock file, readable and writable.
        now: The time of day, aware.

    Returns:
        The sealed segment. Names sort in the order of sealing, also where the clock was set back.

    Raises:
        OSError: It could not be renamed; it is as it was.
    """
    last = noted_name(lock) or _newest(active)
    while True:
        sealed_at, last = _after(last, now)
        _note_name(lock, last)
        segment = active.with_name(segment_name(active.name.removesuffix(".jsonl"), sealed_at, last[1]))
        if any(os.path.lexists(form) for form in forms(segment)):
            continue
        with contextlib.suppress(FileExistsError):
            rename_new(active, segment)
            return segment


def lock_name(active: Path) -> Path:
    """Return the lock file of a log, under which every writer appends and seals: concurrent-log-handler's."""
    return active.with_name(f".__{active.name}.lock")


def noted_name(lock: int) -> Name | None:
    """Return the name that was given last in a log, as noted in its lock file; None where there is no note."""
    with contextlib.suppress(OSError):
        match = _NOTE.fullmatch(os.pread(lock, _NOTE_SIZE + 1, 0))
        if match is not None and is_stamp(stamp := match[1].decode()):
            return stamp, int(match[2])
    return None


def _note_name(lock: int, name: Name) -> None:
    # A full disk must not keep a file from being sealed: the name is looked up as well.
    with contextlib.suppress(OSError):
        os.pwrite(lock, b"%s-%04d\n" % (name[0].encode(), name[1]), 0)


def _newest(active: Path) -> Name:
    """Return the newest name that is known to have been given; an empty stamp where there is none."""
    # In this order: what is removed or replaced after the listing was noted in the manifest before.
    names = [(segment.stamp, segment.index) for segment in list_segments(active, superseded=True)]
    with contextlib.suppress(FileSystemError):
        noted = (parse_segment_name(Path(entry.segment)) for entry in read_manifest(active))
        names += [(segment.stamp, segment.index) for segment in noted if segment is not None]
    return max(names, default=("", 0))


def _after(last: Name, now: datetime) -> tuple[datetime, Name]:
    """Return the time and the name that follow a name."""
    moment, index = now.astimezone(UTC), 1
    if last[0] >= moment.strftime(STAMP):
        moment, index = datetime.strptime(last[0], STAMP).replace(tzinfo=UTC), last[1] + 1
        if index > _LAST_INDEX:
            moment, index = moment + timedelta(seconds=1), 1
    return moment, (moment.strftime(STAMP), index)
