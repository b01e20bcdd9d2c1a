"""What a root knows of the stores that its segments are shipped to: its host id, its destinations, and which segments arrived.

`<root>/.ship/host` holds the host id, random and made once. `<root>/.ship/<hash>.json` names one destination; while it is there,
retention deletes only segments that have a receipt for it. A receipt is an entry `shipped` of a log's manifest, which is written
after the object was checked.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from ..files.renaming import rename_new
from ..files.segments import Segment
from .manifest import ManifestEntry, plain_name, read_manifest
from .rewrite import sync_folder

__all__ = [
    "destinations",
    "host_id",
    "load_notes",
    "receipts_for",
    "save_notes",
    "ship_folder",
    "stop_shipping",
    "unshipped",
]

_FOLDER: Final = ".ship"


def ship_folder(root: Path) -> Path:
    """Return the folder of a root in which shipping keeps its notes; made where it is missing."""
    folder = root / _FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def host_id(root: Path) -> str:
    """Return the random name under which this root's segments are stored; made once, whoever asks first."""
    path = ship_folder(root) / "host"
    while True:
        with contextlib.suppress(FileNotFoundError):
            if known := path.read_text("ascii").strip():
                return known
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".host-", delete=False) as file:
            file.write(f"{uuid.uuid4().hex}\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            rename_new(Path(file.name), path)
            sync_folder(path.parent)
        Path(file.name).unlink(missing_ok=True)


def _notes_path(root: Path, to: str) -> Path:
    return root / _FOLDER / f"{hashlib.sha256(to.encode()).hexdigest()[:12]}.json"


def load_notes(root: Path, to: str) -> dict[str, Any]:
    """Return what is noted of a destination; empty where segments were never shipped there."""
    try:
        found = json.loads(_notes_path(root, to).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def save_notes(root: Path, to: str, notes: dict[str, Any]) -> None:
    """Note a destination; from then on retention waits for its receipts."""
    path = _notes_path(root, to)
    with tempfile.NamedTemporaryFile("w", dir=ship_folder(root), prefix=".notes-", delete=False) as file:
        json.dump({**notes, "to": to}, file)
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).replace(path)


def stop_shipping(root: Path, to: str) -> bool:
    """Let retention delete segments without receipts of a destination; say whether there was one."""
    path = _notes_path(root, to)
    known = path.exists()
    path.unlink(missing_ok=True)
    return known


def destinations(root: Path) -> list[str]:
    """Return where the segments of a root are shipped to."""
    found = []
    for path in sorted((root / _FOLDER).glob("*.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            found.append(str(json.loads(path.read_bytes())["to"]))
    return found


def receipts_for(entries: Iterable[ManifestEntry], to: str) -> dict[str, ManifestEntry]:
    """Return the receipts of a destination that still hold, by segment."""
    found: dict[str, ManifestEntry] = {}
    for entry in entries:
        if entry.to == to and entry.action == "shipped":
            found[entry.segment] = entry
        elif entry.to == to and entry.action == "withdrawn":
            found.pop(entry.segment, None)
    return found


def unshipped(root: Path | None, active: Path, segments: Sequence[Segment]) -> set[Segment]:
    """Return which segments of a log have not arrived everywhere where they are shipped to.

    Args:
        root: The root; None for a log that belongs to none, which is not shipped.
        active: The log's active file.
        segments: Sealed.
    """
    stores = destinations(root) if root is not None else []
    if not stores or not segments:
        return set()
    entries = read_manifest(active)
    measured = {entry.segment: entry.sha256 for entry in entries if entry.measured}
    waiting: set[Segment] = set()
    for to in stores:
        receipts = receipts_for(entries, to)
        for segment in segments:
            name = plain_name(segment.path)
            receipt = receipts.get(name)
            if receipt is None or measured.get(name, receipt.sha256) != receipt.sha256:
                waiting.add(segment)
    return waiting
