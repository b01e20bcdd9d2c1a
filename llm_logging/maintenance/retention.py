"""Delete old segments: by count, by age, by bytes a log and bytes a root.

The active file is never deleted. What is deleted is recorded in the log's manifest first, so that a reader can tell
pruned lines from lost ones. A segment goes with all its files (generations, plain and compressed), by their names: what was listed
may have been compressed since. A segment that a listing misses, or that another process removed already, can only make it remove
less: the newest are always kept. Where segments are shipped to a store, those that have not arrived are kept; see `receipts`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ..clock import clock
from ..errors import ValidationError
from ..files.layout import LogKind
from ..files.segments import Segment, active_logs, forms, list_segments
from .manifest_notes import removing
from .receipts import unshipped

__all__ = ["PruneReport", "Retention", "apply_retention", "log_folders", "prune"]


@dataclass(frozen=True, slots=True)
class Retention:
    """What to keep.

    Attributes:
        backup_count: Sealed segments a log; 0 keeps all.
        max_age: Sealed segments sealed longer ago than this go; None keeps all.
        max_total_bytes: Bytes of one log, the active file included; 0 keeps all.
        max_root_bytes: Bytes of all logs of the root; 0 keeps all.
        content_max_age: As `max_age`, for `llm_content` and chats, which hold what people wrote; None takes `max_age`.
    """

    backup_count: int = 0
    max_age: timedelta | None = None
    max_total_bytes: int = 0
    max_root_bytes: int = 0
    content_max_age: timedelta | None = None


@dataclass(slots=True)
class PruneReport:
    """What was deleted, or would be.

    Attributes:
        removed: Path and bytes of each file.
        dry_run: True when nothing was deleted.
        kept_bytes: Bytes that are left under the root.
        unshipped: Segments that were kept because they have not arrived where they are shipped to.
    """

    removed: list[tuple[Path, int]] = field(default_factory=list)
    dry_run: bool = False
    kept_bytes: int = 0
    unshipped: list[Path] = field(default_factory=list)

    @property
    def removed_bytes(self) -> int:
        """Bytes of all that was deleted."""
        return sum(size for _, size in self.removed)


def log_folders(root: Path) -> Iterator[Path]:
    """Yield the folders under a root that hold logs."""
    yield root / "logs"
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for project in sorted((root / "projects").iterdir()):
            yield project / "logs"
            yield project / "chats"


def apply_retention(
    active: Path, retention: Retention, *, root: Path | None = None, key: bytes | None = None
) -> None:
    """Delete what one log need not keep, then what its root has no room for.

    Args:
        active: The log's active file.
        retention: What to keep.
        root: Where `max_root_bytes` holds, and what says where segments are shipped to.
        key: Key of the manifest's HMAC.
    """
    report = PruneReport()
    age = _age_for(active, retention)
    bounded = age is not None or retention.backup_count > 0 or retention.max_total_bytes > 0
    segments = list_segments(active) if bounded else []
    sealed = [segment for segment in segments if not segment.active]
    doomed: list[Segment] = []
    if retention.backup_count > 0:
        doomed += sealed[: max(0, len(sealed) - retention.backup_count)]
    if age is not None:
        doomed += _older(sealed, clock().now() - age)
    if retention.max_total_bytes > 0:
        doomed += _beyond(segments, retention.max_total_bytes)
    _remove(root, active, doomed, "retention", report, key=key)
    if root is not None and retention.max_root_bytes > 0:
        _prune_to(root, retention.max_root_bytes, "retention", report, key=key)


def prune(
    root: Path,
    *,
    older_than: timedelta | None = None,
    max_bytes: int | None = None,
    dry_run: bool = False,
    key: bytes | None = None,
) -> PruneReport:
    """Delete old segments of all logs of a root.

    Args:
        root: The folder that holds the logs.
        older_than: Delete segments that were sealed longer ago than this.
        max_bytes: Then delete the oldest segments until the root holds no more than this.
        dry_run: Only say what would be deleted.
        key: Key of the manifests' HMAC.

    Raises:
        ValidationError: Neither bound is given, or one is negative.
    """
    if older_than is None and max_bytes is None:
        raise ValidationError("prune: expected older_than or max_bytes, got neither")
    if (older_than is not None and older_than < timedelta()) or (max_bytes is not None and max_bytes < 0):
        raise ValidationError(
            f"prune: expected bounds of 0 or more, got older_than={older_than}, max_bytes={max_bytes}"
        )
    report = PruneReport(dry_run=dry_run)
    if older_than is not None:
        edge = clock().now() - older_than
        for folder in log_folders(root):
            for active in active_logs(folder):
                sealed = [segment for segment in list_segments(active) if not segment.active]
                _remove(root, active, _older(sealed, edge), "prune", report, key=key)
    if max_bytes is not None:
        _prune_to(root, max_bytes, "prune", report, key=key)
    gone = {path for path, _ in report.removed}
    report.kept_bytes = sum(
        _size(segment.path)
        for folder in log_folders(root)
        for active in active_logs(folder)
        for segment in list_segments(active, superseded=True)
        if segment.path not in gone
    )
    return report


def _age_for(active: Path, retention: Retention) -> timedelta | None:
    personal = active.parent.name == "chats" or active.name.startswith(LogKind.CONTENT.value)
    if personal and retention.content_max_age is not None:
        return retention.content_max_age
    return retention.max_age


def _older(sealed: list[Segment], edge: datetime) -> list[Segment]:
    return [s for s in sealed if (s.sealed_at or datetime.max.replace(tzinfo=UTC)) < edge]


def _beyond(segments: list[Segment], limit: int) -> list[Segment]:
    """Return the oldest sealed segments that have to go for the rest to fit."""
    # Asked once: a segment that is compressed meanwhile must not count with two sizes.
    sizes = [_size(segment.path) for segment in segments]
    total = sum(sizes)
    doomed = []
    for segment, size in zip(segments, sizes, strict=True):
        if total <= limit or segment.active:
            break
        total -= size
        doomed.append(segment)
    return doomed


def _prune_to(root: Path, limit: int, reason: str, report: PruneReport, *, key: bytes | None) -> None:
    gone = {path for path, _ in report.removed}
    everything = [
        (segment, active, _size(segment.path))
        for folder in log_folders(root)
        for active in active_logs(folder)
        for segment in list_segments(active)
        if segment.path not in gone
    ]
    total = sum(size for _, _, size in everything)
    doomed: dict[Path, list[Segment]] = {}
    sealed = (one for one in everything if not one[0].active)
    for segment, active, size in sorted(sealed, key=lambda one: (one[0].stamp, one[1])):
        if total <= limit:
            break
        total -= size
        doomed.setdefault(active, []).append(segment)
    for active, segments in doomed.items():
        _remove(root, active, segments, reason, report, key=key)


def _remove(
    root: Path | None,
    active: Path,
    doomed: list[Segment],
    reason: str,
    report: PruneReport,
    *,
    key: bytes | None,
) -> None:
    gone = {path for path, _ in report.removed} | set(report.unshipped)
    doomed = [segment for segment in doomed if segment.path not in gone]
    kept = unshipped(root, active, doomed)
    report.unshipped += [segment.path for segment in doomed if segment in kept]
    doomed = [segment for segment in doomed if segment not in kept]
    if not doomed:
        return
    if report.dry_run:
        report.removed += [(path, _size(path)) for path in _files(doomed) if path.exists()]
        return
    # Under the manifest's lock, which `forget` changes generations under.
    with removing(active, [segment.path for segment in doomed], reason=reason, key=key):
        for path in _files(doomed):
            size = _size(path)
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
                report.removed.append((path, size))


def _files(segments: list[Segment]) -> Iterator[Path]:
    """Yield every name that these segments may have, in the order in which they take them."""
    for segment in dict.fromkeys(segments):
        for generation in range(segment.generation + 1):
            yield from forms(segment.of_generation(generation))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
