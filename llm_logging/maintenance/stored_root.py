"""`verify`, `prune` and `forget` on what was shipped to a store, without the hosts.

`verify_store` holds the objects of each host to the manifest that it shipped: a receipt says which object holds which segment, and the
object's content is compared with the SHA-256 that was sealed. `prune_store` deletes the oldest objects; the reader knows lines that are
missing at the beginning of a log as pruned. `forget_in_store` restores the root of each host into a temporary folder, forgets the
person there, and ships what changed.
"""

from __future__ import annotations

import hashlib
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final, Literal

from ..clock import clock
from ..errors import ErrorCode, NotFoundError
from ..files.objects import ObjectStore, Stored
from ..files.segments import Segment, parse_segment_name
from .forget import ForgetReport, forget
from .manifest import ManifestEntry, line_hash
from .receipts import save_notes, ship_folder
from .retention import PruneReport
from .ship import MakePiece, Shipper
from .verify import Finding, LogReport, VerifyReport, check_chain

__all__ = ["forget_in_store", "prune_store", "stored_hosts", "verify_store"]

_LINES: Final = ".jsonl.gz"
_GZIP: Final = 31  # zlib: a gzip header is expected


@dataclass(slots=True)
class StoredSegment:
    """A segment in a store.

    Attributes:
        lines: The object of its lines.
        segment: As its name says.
        content: 12 hex of its SHA-256.
        beside: Objects of its columns.
    """

    lines: Stored
    segment: Segment
    content: str
    beside: list[Stored] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The name of the segment on its host, uncompressed."""
        return self.segment.path.name

    def objects(self) -> Iterator[Stored]:
        """Yield all that goes with it, the lines last: without them nothing of it is read."""
        yield from self.beside
        yield self.lines


@dataclass(slots=True)
class StoredLog:
    """A log of one host in a store."""

    segments: list[StoredSegment] = field(default_factory=list)
    manifests: list[Stored] = field(default_factory=list)


def stored_hosts(store: ObjectStore) -> dict[str, dict[str, StoredLog]]:
    """Return what a store holds, by host and log (`projects/shop/logs/llm_requests`).

    Raises:
        NotFoundError: `ROOT_NOT_FOUND`, where nothing was shipped to it.
    """
    hosts: dict[str, dict[str, StoredLog]] = defaultdict(lambda: defaultdict(StoredLog))
    columns: dict[str, list[Stored]] = defaultdict(list)
    by_name: dict[str, StoredSegment] = {}
    for stored in store.list("hosts/"):
        _, host, *folders, name = stored.key.split("/")
        if not folders:
            hosts[host]
            continue
        folder = "/".join(folders)
        if name.endswith(".manifest"):
            hosts[host][f"{folder}/{name.removesuffix('.manifest')[:-13]}"].manifests.append(stored)
        elif name.endswith(".parquet"):
            columns[stored.key.rsplit(".", 2)[0]].append(stored)
        elif name.endswith(_LINES):
            base = name.removesuffix(_LINES)
            segment = parse_segment_name(Path(f"{base[:-13]}.jsonl"))
            if segment is not None:
                found = StoredSegment(stored, segment, base[-12:])
                hosts[host][f"{folder}/{segment.stem}"].segments.append(found)
                by_name[stored.key.removesuffix(_LINES)] = found
    if not hosts:
        raise NotFoundError(
            f"{store.url}: expected what llm-logging ship stored, found nothing",
            code=ErrorCode.ROOT_NOT_FOUND,
        )
    for name, pieces in columns.items():
        if name in by_name:
            by_name[name].beside += pieces
    return hosts


# -- verify ---------------------------------------------------------------------------------------------------------------


def verify_store(store: ObjectStore, *, key: bytes | None = None) -> VerifyReport:
    """Hold all that was shipped to a store to the manifests that were shipped with it.

    Args:
        store: The store.
        key: The key that entries are signed with; None leaves signatures unchecked.

    Raises:
        NotFoundError: `ROOT_NOT_FOUND`, where nothing was shipped to it.
        FileSystemError: The store refuses or cannot be reached.
    """
    logs = [
        _verify_log(store, f"hosts/{host}/{name}", log, key)
        for host, found in sorted(stored_hosts(store).items())
        for name, log in sorted(found.items())
    ]
    ok = not any(log.findings for log in logs)
    return VerifyReport(root=store.url, ok=ok, signed=key is not None, logs=logs)


def _verify_log(store: ObjectStore, name: str, log: StoredLog, key: bytes | None) -> LogReport:
    findings: list[Finding] = []
    lines: list[bytes] = []
    entries: list[ManifestEntry] = []
    for manifest in log.manifests:
        found = b"".join(store.read(manifest.key)).splitlines()
        entries += check_chain(manifest.key, found, key, findings)
        lines = max(lines, found, key=len)
    there = {segment.lines.key: segment for segment in log.segments}
    withdrawn = {entry.object for entry in entries if entry.action == "withdrawn"}
    receipts = {
        entry.object: entry
        for entry in entries
        if entry.action == "shipped" and entry.object is not None and entry.object not in withdrawn
    }
    oldest = min((segment.segment.key for segment in log.segments), default="~")
    pruned = 0
    for receipt in receipts.values():
        if receipt.object in there or receipt.object is None:
            continue
        segment = parse_segment_name(Path(receipt.segment))
        if segment is None or segment.key < oldest:
            pruned += 1
        else:
            findings.append(
                _finding(
                    "removed",
                    receipt.object,
                    f"shipped {receipt.time} with {receipt.lines} lines, gone from the store",
                )
            )
    for object_key, stored in there.items():
        known = receipts.get(object_key)
        if known is None:
            # What is newer than the newest receipt waits for the manifest that goes with it.
            newest = max((receipt.segment for receipt in receipts.values()), default="")
            if stored.name <= newest:
                findings.append(_finding("inserted", object_key, "no manifest has a receipt for it"))
            wanted = stored.content
        else:
            wanted = known.sha256
        problem = _content_problem(store, object_key, wanted)
        if problem is not None:
            findings.append(_finding("changed", object_key, problem))
    bad = {finding.where for finding in findings}
    return LogReport(
        log=f"{name}.jsonl",
        manifest_entries=len(lines),
        sealed=sum(object_key in receipts and object_key not in bad for object_key in there),
        pruned=pruned,
        not_sealed=sorted(
            object_key for object_key in there if object_key not in receipts and object_key not in bad
        ),
        head=line_hash(lines[-1]) if lines else None,
        findings=sorted(findings, key=lambda finding: (finding.where, finding.problem)),
    )


def _finding(problem: Literal["changed", "removed", "inserted"], where: str, detail: str) -> Finding:
    return Finding(problem=problem, where=where, detail=detail)


def _content_problem(store: ObjectStore, key: str, sha256: str) -> str | None:
    digest, unpacked = hashlib.sha256(), zlib.decompressobj(_GZIP)
    try:
        for block in store.read(key):
            digest.update(unpacked.decompress(block))
        digest.update(unpacked.flush())
    except zlib.error as error:
        return f"expected a gzip file: {error}"
    if not unpacked.eof:
        return "expected a whole gzip file, it ends early"
    found = digest.hexdigest()
    return None if found.startswith(sha256) else f"expected the SHA-256 {sha256}, got {found}"


# -- prune ----------------------------------------------------------------------------------------------------------------


def prune_store(
    store: ObjectStore,
    *,
    older_than: timedelta | None = None,
    max_bytes: int | None = None,
    dry_run: bool = False,
) -> PruneReport:
    """Delete the oldest segments of a store; see `retention.prune`.

    Args:
        store: The store.
        older_than: Delete segments that were sealed longer ago than this.
        max_bytes: Then delete the oldest until the store holds no more than this.
        dry_run: Only say what would be deleted.

    Raises:
        NotFoundError: `ROOT_NOT_FOUND`, where nothing was shipped to it.
        FileSystemError: The store refuses or cannot be reached.
    """
    report = PruneReport(dry_run=dry_run)
    hosts = stored_hosts(store)
    segments = sorted(
        (segment for logs in hosts.values() for log in logs.values() for segment in log.segments),
        key=lambda one: (one.segment.stamp, one.lines.key),
    )
    edge = clock().now() - older_than if older_than is not None else None
    total = sum(stored.size for segment in segments for stored in segment.objects())
    for segment in segments:
        sealed_at = segment.segment.sealed_at
        old = edge is not None and sealed_at is not None and sealed_at < edge
        if not old and (max_bytes is None or total <= max_bytes):
            continue
        for stored in segment.objects():
            if not dry_run:
                store.delete(stored.key)
            total -= stored.size
            report.removed.append((Path(stored.key), stored.size))
    report.kept_bytes = total
    return report


# -- forget ---------------------------------------------------------------------------------------------------------------


def forget_in_store(
    store: ObjectStore,
    *,
    user_id: str,
    mode: Literal["remove", "pseudonymise"] = "remove",
    dry_run: bool = False,
    key: bytes | None = None,
    manifest_key: bytes | None = None,
    make_piece: MakePiece | None = None,
) -> ForgetReport:
    """Take one person out of all that was shipped to a store; see `forget.forget`.

    A host that still has the lines ships them no more, but it has them: forget the person there too.

    Args:
        store: The store.
        user_id: The person.
        mode: Whether their lines go, or their id.
        dry_run: Only say what would be done.
        key: Makes pseudonyms.
        manifest_key: Signs entries of manifests.
        make_piece: Makes the columns of new generations.

    Returns:
        What was done; its files are `<host id>/<path>`.

    Raises:
        NotFoundError: `ROOT_NOT_FOUND`, where nothing was shipped to it.
        FileSystemError: The store refuses or cannot be reached; run it again.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        places: dict[Path, StoredSegment] = {}
        notes: dict[Path, dict[str, str]] = {}
        for host, logs in sorted(stored_hosts(store).items()):
            for number, chosen in enumerate(_rounds(logs)):
                place = root / (f"{host}-{number}" if number else host)
                place.mkdir()
                notes[place] = _restore(store, host, chosen, place, places)
        replaced: list[StoredSegment] = []
        # All hosts at once: a request of the person may have lines on several.
        report = forget(
            root,
            user_id=user_id,
            mode=mode,
            key=key,
            manifest_key=manifest_key,
            dry_run=dry_run,
            rewritten=lambda old, _new: replaced.append(places[old]),
        )
        for place, manifests in notes.items() if replaced else ():
            save_notes(place, store.url, {"manifests": manifests})
            Shipper(place, store, key=manifest_key, make_piece=make_piece).ship_segments()
        for stored in (one for segment in replaced for one in segment.objects()):
            store.delete(stored.key)
    return report


def _rounds(logs: dict[str, StoredLog]) -> Iterator[dict[str, StoredLog]]:
    """Yield parts of a host's logs without two segments of one name, which twins of one host id may have."""
    left = {name: list(log.segments) for name, log in logs.items()}
    while any(left.values()):
        chosen: dict[str, StoredLog] = {}
        for name, segments in left.items():
            first = {segment.name: segment for segment in reversed(segments)}
            chosen[name] = StoredLog(list(first.values()), logs[name].manifests)
            left[name] = [segment for segment in segments if first[segment.name] is not segment]
        yield chosen


def _restore(
    store: ObjectStore, host: str, logs: dict[str, StoredLog], root: Path, places: dict[Path, StoredSegment]
) -> dict[str, str]:
    """Write the root of a host as it was shipped; return the manifest of each log.

    Args:
        store: The store.
        host: The host's id.
        logs: Its logs.
        root: The folder to write.
        places: Takes which file is which segment.
    """
    (ship_folder(root) / "host").write_text(f"{host}\n", "ascii")
    notes: dict[str, str] = {}
    for name, log in logs.items():
        folder = (root / name).parent
        folder.mkdir(parents=True, exist_ok=True)
        for segment in log.segments:
            path = folder / f"{segment.name}.gz"
            _write(path, store.read(segment.lines.key))
            places[path] = segment
        newest = max(log.manifests, key=lambda manifest: manifest.size, default=None)
        if newest is not None:
            _write(root / f"{name}.manifest", store.read(newest.key))
            notes[f"{name}.jsonl"] = newest.key
    return notes


def _write(path: Path, blocks: Iterable[bytes]) -> None:
    with path.open("wb") as file:
        file.writelines(blocks)
