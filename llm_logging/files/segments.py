"""The segments of one log: its active file and what was rotated out of it.

A log is named by its active file, `llm_requests.jsonl`. A rotated segment has its final name from the start,
`llm_requests.20260115T103000Z-0001.jsonl`, sorts by it and never moves again; compressing adds `.gz` or `.zst`,
rewriting (`forget`) makes a new generation `.g1`, `.g2` ... before `.jsonl`. Of several generations, or of a plain
and a compressed file of one segment, the newest whole one counts; temporary names start with a dot.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from .regular import is_special

__all__ = ["Segment", "active_logs", "list_segments", "parse_segment_name", "segment_name"]

_SEGMENT = re.compile(
    r"(?P<stem>.+)\.(?P<stamp>[0-9]{8}T[0-9]{6}Z)-(?P<index>[0-9]{4,})(?:\.g(?P<generation>[0-9]+))?\.jsonl(?:\.(?P<compression>gz|zst))?"
)
_STAMP = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """One file of a log.

    Attributes:
        stamp: When it was sealed, as in its name; empty for the active file, which sorts last by `sort_key`.
        index: Tells apart segments sealed in one second.
        generation: 0 as rotated, 1 and up when rewritten.
        path: The file.
        stem: The log's name without suffix, `llm_requests`.
        compression: None, `gz` or `zst`.
    """

    stamp: str
    index: int
    generation: int
    path: Path
    stem: str
    compression: str | None

    @property
    def active(self) -> bool:
        """Say whether lines are still appended to it."""
        return not self.stamp

    @property
    def sealed_at(self) -> datetime | None:
        """When it was rotated out; None for the active file."""
        return datetime.strptime(self.stamp, _STAMP).replace(tzinfo=UTC) if self.stamp else None

    @property
    def key(self) -> str:
        """What stays the same when it is compressed or rewritten."""
        return f"{self.stem}.{self.stamp}-{self.index:04d}" if self.stamp else self.stem


def segment_name(stem: str, sealed_at: datetime, index: int, *, generation: int = 0) -> str:
    """Return the final name of a segment, uncompressed.

    Args:
        stem: The log's name without suffix.
        sealed_at: When it was rotated out, aware.
        index: 1 and up; the first that is free in that second.
        generation: 0 as rotated.
    """
    suffix = f".g{generation}" if generation else ""
    return f"{stem}.{sealed_at.astimezone(UTC).strftime(_STAMP)}-{index:04d}{suffix}.jsonl"


def parse_segment_name(path: Path) -> Segment | None:
    """Read a segment from its name; None where the name is not one."""
    match = _SEGMENT.fullmatch(path.name)
    if match is None or not _is_time(match["stamp"]):
        return None
    return Segment(
        stamp=match["stamp"],
        index=int(match["index"]),
        generation=int(match["generation"] or 0),
        path=path,
        stem=match["stem"],
        compression=match["compression"],
    )


def _is_time(stamp: str) -> bool:
    year, month, day, hour, minute, second = (
        int(stamp[first:last]) for first, last in ((0, 4), (4, 6), (6, 8), (9, 11), (11, 13), (13, 15))
    )
    try:
        datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return False
    return True


def list_segments(active: Path, *, superseded: bool = False) -> list[Segment]:
    """List the segments of a log, oldest first, the active file last.

    Args:
        active: The log's active file; it and its folder need not exist.
        superseded: Also list files that a newer generation or their compressed form replaces.

    Returns:
        What is in the folder at this moment. Of one segment's files the highest generation is listed, of one
        generation's the plain file: compressing removes it only when the compressed one is whole.
    """
    stem = active.name.removesuffix(".jsonl")
    found: list[Segment] = []
    try:
        with os.scandir(active.parent) as entries:
            for entry in entries:
                if not entry.name.startswith(stem) or is_special(entry):
                    continue
                if entry.name == active.name:
                    found.append(Segment("", 0, 0, active, stem, None))
                    continue
                segment = parse_segment_name(active.parent / entry.name)
                if segment is not None and segment.stem == stem:
                    found.append(segment)
    except (FileNotFoundError, NotADirectoryError):
        return []
    found.sort(key=lambda s: (s.active, s.stamp, s.index, s.generation, s.compression is None))
    if superseded:
        return found
    newest = {segment.key: segment for segment in found}
    return list(newest.values())


def active_logs(folder: Path) -> Iterator[Path]:
    """Yield the active file of every log in a folder, also of those of which only segments are left."""
    seen: set[str] = set()
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if not entry.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        segment = parse_segment_name(folder / name)
        active = f"{segment.stem}.jsonl" if segment is not None else name
        if active.endswith(".jsonl") and active not in seen:
            seen.add(active)
            yield folder / active
