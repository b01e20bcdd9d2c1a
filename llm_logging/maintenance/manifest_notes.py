"""Keeping the manifest: what is noted after a rotation, before a prune, after a rewrite. See `manifest` for its form."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..files.renaming import rename_new
from ..files.segments import Segment, forms, list_segments, parse_segment_name
from .manifest import FIRST, ManifestEntry, Measure, appending, document, measure, plain_name, read_manifest
from .rewrite import sync_folder

__all__ = [
    "ManifestEntry",
    "read_manifest",
    "record_removed",
    "record_rewritten",
    "record_sealed",
    "removing",
]


def _order(segment: Segment) -> tuple[str, int, int]:
    return segment.stamp, segment.index, segment.generation


def record_sealed(active: Path, *segments: Path, key: bytes | None = None) -> None:
    """Note segments that were rotated out, and before them any that a process left unnoted when it died.

    Call it after the rename, outside the append lock, before the segments are compressed. Noting one twice changes
    nothing.

    Args:
        active: The log's active file.
        segments: The rotated files.
        key: Signs the entries.

    Raises:
        FileSystemError: The manifest could not be opened or written, or a segment not read.
    """
    # Listed before the manifest is locked, which others wait for. Names are given in order, so what is older than these segments
    # is there; what others note or remove until the manifest is read is in it.
    there = list_segments(active)
    own = {plain_name(segment): segment for segment in segments}
    with appending(active, key) as manifest:
        known = [entry for entry in manifest.entries if entry.measured or entry.action == "removed"]
        names = {entry.segment for entry in known} | {entry.replaces for entry in known}
        documents: list[dict[str, Any]] = []
        for name, path in sorted({**_left_behind(there, segments, known), **own}.items()):
            if name in names:
                continue
            # Another process may have pruned it already, and noted that; what is damaged is told by `verify`.
            with contextlib.suppress(FileNotFoundError, EOFError):
                documents.append(document("sealed", name, measure(path), late=None if name in own else True))
        if documents:
            manifest.append(documents)


def _left_behind(
    there: Sequence[Segment], own: Sequence[Path], known: Sequence[ManifestEntry]
) -> dict[str, Path]:
    """Return the segments that are not noted and older than the newest of `own`, by their plain names."""
    # Only what is newer than all that is noted: an older file that is not noted was put there, and `verify` says so.
    newest = max(
        (
            _order(parsed)
            for entry in known
            if (parsed := parse_segment_name(Path(entry.segment))) is not None
        ),
        default=("", 0, 0),
    )
    orders = [_order(parsed) for path in own if (parsed := parse_segment_name(path)) is not None]
    limit = max(orders, default=("9", 0, 0))
    return {
        plain_name(found.path): found.path
        for found in there
        if not found.active and found.generation == 0 and newest < _order(found) < limit
    }


def record_removed(active: Path, segments: Sequence[Path], *, reason: str, key: bytes | None = None) -> None:
    """Note segments that are about to be removed; see `removing`."""
    with removing(active, segments, reason=reason, key=key):
        pass


@contextmanager
def removing(
    active: Path, segments: Sequence[Path], *, reason: str, key: bytes | None = None
) -> Iterator[None]:
    """Note segments that the block removes, and which lines go away with them; the manifest stays locked meanwhile.

    Args:
        active: The log's active file.
        segments: The files, plain or compressed.
        reason: Why, for people: `older than 30 days`.
        key: Signs the entries.

    Raises:
        FileSystemError: The manifest could not be opened or written.
    """
    with appending(active, key) as manifest:
        sealed = {entry.segment: entry for entry in manifest.entries if entry.measured}
        gone = {entry.segment for entry in manifest.entries if entry.action == "removed"}
        documents: list[dict[str, Any]] = []
        for path in segments:
            name = plain_name(path)
            if name in gone:
                continue
            gone.add(name)
            entry = sealed.get(name)
            if entry is not None:
                found = entry.measure()
            else:
                try:
                    found = measure(path)
                except (OSError, EOFError):
                    found = Measure(FIRST, 0, 0, None, None, {})
            documents.append(document("removed", name, found, reason=reason))
        if documents:
            manifest.append(documents)
        yield


def record_rewritten(
    active: Path,
    old: Path,
    new: Path,
    *,
    reason: str,
    key: bytes | None = None,
    dropped: Mapping[str, Sequence[tuple[int, int]]] | None = None,
    temporary: Path | None = None,
) -> None:
    """Note that a segment has a new generation.

    Args:
        active: The log's active file.
        old: The file that is replaced; it need not exist any more where `temporary` is None.
        new: The new generation, which exists where `temporary` is None.
        reason: Why, for people.
        key: Signs the entry.
        dropped: Which lines went, writer id to [first, last] pairs.
        temporary: The new generation, which gets its name now; it is removed where the old file was pruned meanwhile.

    Raises:
        FileNotFoundError: The old file was pruned meanwhile.
        FileSystemError: The manifest could not be opened or written.
    """
    more: dict[str, Any] = {"replaces": plain_name(old), "reason": reason}
    if dropped:
        more["dropped"] = {writer: [list(pair) for pair in pairs] for writer, pairs in dropped.items()}
    gone = False
    with appending(active, key) as manifest:
        if temporary is not None:
            gone = not any(form.exists() for form in forms(old))
            if gone:
                temporary.unlink()
            else:
                rename_new(temporary, new)
                sync_folder(new.parent)
        if not gone and not any(
            entry.measured and entry.segment == plain_name(new) for entry in manifest.entries
        ):
            manifest.append([document("rewritten", plain_name(new), measure(new), **more)])
    if gone:
        raise FileNotFoundError(errno.ENOENT, "the segment was pruned while it was rewritten", str(old))
