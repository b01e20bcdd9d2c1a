"""The segments of one log: its active file and what was rotated out of it.

A log is named by its active file, `llm_requests.jsonl`. A rotated segment has its final name from the start,
`llm_requests.20260115T103000Z-0001.jsonl`, sorts by it and never moves again; compressing adds `.gz` or `.zst`,
rewriting (`forget`) makes a new generation `.g1`, `.g2` ... before `.jsonl`. Of several generations, or of a plain
and a compressed file of one segment, the newest whole one counts; temporary names start with a dot.

Reading a folder takes more than one system call once it holds some 450 names, and an entry that is renamed meanwhile can be met
twice or not at all. A segment changes its name in one direction only, and the new name is there before the old one goes. So the
folder is listed until two listings agree; then no lasting segment is missing. If a listed name has vanished, the next of its
`forms` is tried.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

from .safe_open import is_special, open_regular

__all__ = [
    "STAMP",
    "Segment",
    "active_logs",
    "as_found",
    "at_one_moment",
    "folder_names",
    "forms",
    "is_stamp",
    "list_segments",
    "newest_forms",
    "parse_segment_name",
    "scan_segments",
    "segment_name",
]

_SEGMENT = re.compile(
    r"(?P<stem>.+)\.(?P<stamp>[0-9]{8}T[0-9]{6}Z)-(?P<index>[0-9]{4,})(?:\.g(?P<generation>[0-9]+))?\.jsonl(?:\.(?P<compression>gz|zst|parquet))?"
)
STAMP: Final = "%Y%m%dT%H%M%SZ"
_LOOKS: Final = 8

T = TypeVar("T")


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """One file of a log.

    Attributes:
        stamp: When it was sealed, as in its name; empty for the active file, which sorts last by `sort_key`.
        index: Tells apart segments sealed in one second.
        generation: 0 as rotated, 1 and up when rewritten.
        path: The file.
        stem: The log's name without suffix, `llm_requests`.
        compression: None, `gz` or `zst`; `parquet` where only the columns of a shipped segment are there.
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
        return datetime.strptime(self.stamp, STAMP).replace(tzinfo=UTC) if self.stamp else None

    @property
    def key(self) -> str:
        """What stays the same when it is compressed or rewritten."""
        return f"{self.stem}.{self.stamp}-{self.index:04d}" if self.stamp else self.stem

    def of_generation(self, generation: int) -> Path:
        """Return the plain name of another generation of a sealed segment."""
        suffix = f".g{generation}" if generation else ""
        return self.path.with_name(f"{self.key}{suffix}.jsonl")


def segment_name(stem: str, sealed_at: datetime, index: int, *, generation: int = 0) -> str:
    """Return the final name of a segment, uncompressed.

    Args:
        stem: The log's name without suffix.
        sealed_at: When it was rotated out, aware.
        index: 1 and up; the first that is free in that second.
        generation: 0 as rotated.
    """
    suffix = f".g{generation}" if generation else ""
    return f"{stem}.{sealed_at.astimezone(UTC).strftime(STAMP)}-{index:04d}{suffix}.jsonl"


def parse_segment_name(path: Path) -> Segment | None:
    """Read a segment from its name; None where the name is not one."""
    match = _SEGMENT.fullmatch(path.name)
    if match is None or not is_stamp(match["stamp"]):
        return None
    return Segment(
        stamp=match["stamp"],
        index=int(match["index"]),
        generation=int(match["generation"] or 0),
        path=path,
        stem=match["stem"],
        compression=match["compression"],
    )


def is_stamp(stamp: str) -> bool:
    """Say whether a text of a stamp's form names a time."""
    year, month, day, hour, minute, second = (
        int(stamp[first:last]) for first, last in ((0, 4), (4, 6), (6, 8), (9, 11), (11, 13), (13, 15))
    )
    try:
        datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return False
    return True


def forms(path: Path) -> tuple[Path, ...]:
    """Return the names that one generation of a segment can have, in the order in which it takes them; none of other files.

    Args:
        path: Any of them.
    """
    if parse_segment_name(path) is None:
        return ()
    plain = path.name.removesuffix(".gz").removesuffix(".zst")
    return tuple(path.with_name(plain + suffix) for suffix in ("", ".gz", ".zst"))


def as_found(path: Path, opened: Callable[[Path], T]) -> T:
    """Open a file; where it is a sealed segment, by whichever of its names it has now.

    Args:
        path: The name that it had when it was listed.
        opened: Opens a name.

    Raises:
        FileNotFoundError: It has none of them.
    """
    try:
        return opened(path)
    except FileNotFoundError:
        for form in forms(path):
            try:
                return opened(form)
            except FileNotFoundError:
                continue
        raise


def list_segments(active: Path, *, superseded: bool = False) -> list[Segment]:
    """List the segments of a log, oldest first, the active file last.

    Args:
        active: The log's active file; it and its folder need not exist.
        superseded: Also list files that a newer generation or their compressed form replaces.

    Returns:
        Every segment that was there all the time, under a name that it had meanwhile. Of one segment's files the highest
        generation is listed, of one generation's the plain file: compressing removes it only when the compressed one is whole.
    """
    folder, stem = active.parent, active.name.removesuffix(".jsonl")
    names = _scan(folder, (stem,))
    for _ in range(_LOOKS):
        before, names = names, _scan(folder, (stem,))
        if names == before:
            break
        # What is missing now was removed, or got its next name while the folder was read.
        gone = (form for name in before.keys() - names.keys() for form in forms(folder / name))
        names |= {form.name: 0 for form in gone if form.name not in names and os.path.lexists(form)}
    found = _parsed(folder, names, (stem,))
    return sorted(found, key=_order) if superseded else newest_forms(found)


def at_one_moment(active: Path, stack: ExitStack) -> list[tuple[Segment, BinaryIO | None]]:
    """List the segments of a log as they are together at one moment, the active file open.

    It is opened before the others are listed, and must be the active file still when they have been: its lines are then in none
    of them, and what is rotated out of it later is read from the open file.
    """
    for _ in range(_LOOKS):
        segments = list_segments(active)
        if not segments or not segments[-1].active:
            return [(segment, None) for segment in segments]
        with suppress(OSError):
            file = stack.enter_context(open_regular(active))
            segments = list_segments(active)
            if os.path.samestat(os.fstat(file.fileno()), active.stat()):
                return [(segment, file if segment.active else None) for segment in segments]
    return [(segment, None) for segment in list_segments(active)]


def scan_segments(folder: Path, stems: Collection[str]) -> dict[str, list[Segment]]:
    """Read a folder once; return the segments of several of its logs by their stems, as `list_segments` orders them.

    What is renamed meanwhile may be missing: a caller must read again after opening what it found.
    """
    logs: dict[str, list[Segment]] = {stem: [] for stem in stems}
    for segment in _parsed(folder, _scan(folder, stems), stems):
        logs[segment.stem].append(segment)
    return {stem: newest_forms(segments) for stem, segments in logs.items()}


def newest_forms(segments: Iterable[Segment]) -> list[Segment]:
    """Return one file of each segment, in order: of the highest generation, the plain one."""
    return list({segment.key: segment for segment in sorted(segments, key=_order)}.values())


def _order(segment: Segment) -> tuple[bool, str, int, int, bool]:
    return segment.active, segment.stamp, segment.index, segment.generation, segment.compression is None


def _scan(folder: Path, stems: Collection[str]) -> dict[str, int]:
    """Read a folder once: names that may be of some logs, and the inodes of active files, which change when they are rotated."""
    names: dict[str, int] = {}
    only = next(iter(stems)) if len(stems) == 1 else ""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if name.startswith(only) and ".jsonl" in name and not is_special(entry):
                    names[name] = entry.inode() if name.removesuffix(".jsonl") in stems else 0
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return names


def _parsed(folder: Path, names: Iterable[str], stems: Collection[str]) -> Iterator[Segment]:
    for name in names:
        stem = name.removesuffix(".jsonl")
        if stem != name and stem in stems:
            yield Segment("", 0, 0, folder / name, stem, None)
            continue
        segment = parse_segment_name(folder / name)
        if segment is not None and segment.stem in stems:
            yield segment


def folder_names(folder: Path) -> list[str]:
    """Return the names in a folder, in order; of a file that is renamed meanwhile the old one, the new one or both."""
    names: set[str] = set()
    # Of a renamed file that one reading misses, the next one meets the new name.
    for _ in range(2):
        try:
            with os.scandir(folder) as entries:
                names.update(entry.name for entry in entries)
        except (FileNotFoundError, NotADirectoryError):
            break
    return sorted(names)


def active_logs(folder: Path) -> Iterator[Path]:
    """Yield the active file of every log in a folder, also of those of which only segments are left."""
    seen: set[str] = set()
    for name in folder_names(folder):
        if name.startswith("."):
            continue
        segment = parse_segment_name(folder / name)
        active = f"{segment.stem}.jsonl" if segment is not None else name
        if active.endswith(".jsonl") and active not in seen:
            seen.add(active)
            yield folder / active
