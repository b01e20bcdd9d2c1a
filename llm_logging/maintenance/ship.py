"""Ship sealed segments to a store, each once, and say what is still waiting.

A segment is stored gzipped as `hosts/<host id>/<path under the root>-<12 hex of its SHA-256>.jsonl.gz`, by a put that replaces nothing.
The object is checked by size and checksum, and only then a receipt is written to the log's manifest and fsynced. A process that is
killed in between leaves an object without a receipt: the next pass finds the key taken, compares the content and writes the receipt.
Two shippers of one root, and two roots with one host id, store each content once.

After the segments follow the log's manifest (`<log>-<12 hex>.manifest`, a new name for each state) and `hosts/<host id>/state.json`:
when the pass was made, the last number of each writer in each log, and how much is waiting. Where `forget` made a new generation of a
segment, the object of the old one is deleted once the new one has its receipt.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import socket
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ..clock import clock, format_time
from ..errors import ErrorCode, FileSystemError
from ..files.compression import open_segment
from ..files.objects import ObjectStore, md5_of
from ..files.safe_open import read_regular
from ..files.segments import Segment, list_segments, parse_segment_name
from ..files.spool.waiting import find_waiting
from .manifest import (
    ManifestEntry,
    Measure,
    Tally,
    appending,
    document,
    json_objects,
    manifest_path,
    measure,
    plain_name,
    read_manifest,
)
from .manifest_notes import record_sealed
from .receipts import host_id, load_notes, receipts_for, save_notes, ship_folder
from .rewrite import append_lock
from .sealing import seal_active
from .verify import logs_below

__all__ = ["ShipReport", "Shipped", "Shipper", "object_name", "seal_all"]

_BLOCK: Final = 1 << 20
_TRIES: Final = 3
_LEFTOVER_SECONDS: Final = 3600.0
# Every put costs money: the state of a host on which nothing happens is put this often.
_STATE_SECONDS: Final = 300.0
_MD5_LENGTH: Final = 32

# Makes the columns of a log's segment: the segment, the file to make; says how its object's name ends, None for no object.
MakePiece = Callable[[Path, Path], str | None]


@dataclass(frozen=True, slots=True)
class Shipped:
    """A segment that got its receipt.

    Attributes:
        active: The active file of its log.
        path: The segment.
        key: Its object.
        size: Bytes of the object.
        stored: Whether this pass stored it; else it was there already.
    """

    active: Path
    path: Path
    key: str
    size: int
    stored: bool


@dataclass(slots=True)
class ShipReport:
    """What a pass did, and what waits after it.

    Attributes:
        to: The store.
        host: The host id.
        shipped: Segments that got their receipts.
        withdrawn: Keys of objects that were deleted because a new generation replaced their segment.
        problems: What could not be shipped, and why.
        waiting_bytes: Uncompressed bytes of lines that are not in the store.
        waiting_lines: How many lines that are.
        fresh_until: Everything logged before this time is in the store.
    """

    to: str
    host: str
    shipped: list[Shipped] = field(default_factory=list)
    withdrawn: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    waiting_bytes: int = 0
    waiting_lines: int = 0
    fresh_until: str = ""


def object_name(name: str, sha256: str) -> str:
    """Return the last part of a segment's key, without suffixes.

    Args:
        name: The segment's, uncompressed: `llm_requests.20260115T103000Z-0001.jsonl`.
        sha256: Of its uncompressed bytes.
    """
    return f"{name.removesuffix('.jsonl')}-{sha256[:12]}"


def seal_all(root: Path, *, key: bytes | None = None) -> list[Path]:
    """Seal every active file of a root that holds lines, as a rotation does; return the segments.

    Args:
        root: The folder.
        key: Key of the manifests' HMAC.
    """
    sealed = []
    for active in logs_below(root):
        with contextlib.suppress(FileNotFoundError):
            if not active.stat().st_size:
                continue
            with append_lock(active) as lock:
                if not active.stat().st_size:
                    continue
                segment = seal_active(active, lock, clock().now())
            record_sealed(active, segment, key=key)
            sealed.append(segment)
    return sealed


class Shipper:
    """Ships the segments of one root to one store.

    Args:
        root: The folder of the logs.
        store: Where to.
        key: Key of the manifests' HMAC.
        make_piece: Makes the columns of a segment of requests, which are stored beside it; None stores lines alone.
    """

    def __init__(
        self, root: Path, store: ObjectStore, *, key: bytes | None = None, make_piece: MakePiece | None = None
    ) -> None:
        self.root = root
        self.store = store
        self._key = key
        self._make_piece = make_piece
        self._state_put = ("", 0.0)

    def register(self) -> None:
        """Note the destination in the root: from now on retention waits for receipts."""
        if not load_notes(self.root, self.store.url):
            save_notes(self.root, self.store.url, {})

    def run(self) -> ShipReport:
        """Ship what has no receipt, then manifests and state.

        Raises:
            FileSystemError: The store refuses or cannot be reached; what has its receipt by then is shipped.
        """
        report = self.ship_segments()
        self._ship_state(report)
        return report

    def ship_segments(self) -> ShipReport:
        """Ship what has no receipt, and the manifests, as `run` does; what waits is not counted.

        Raises:
            FileSystemError: The store refuses or cannot be reached.
        """
        self.register()
        report = ShipReport(self.store.url, host_id(self.root))
        _remove_leftovers(ship_folder(self.root))
        for active in logs_below(self.root):
            for segment in self._without_receipt(active):
                try:
                    shipped = self._ship(report.host, active, segment)
                except FileNotFoundError:
                    continue  # pruned, or rewritten: the next pass meets what took its place
                except _UnusableError as error:
                    report.problems.append(str(error))
                    continue
                report.shipped.append(shipped)
            self._ship_manifest(report.host, active)
            report.withdrawn += self._withdraw_replaced(report.host, active)
        return report

    # -- segments -------------------------------------------------------------------------------------------------------

    def _without_receipt(self, active: Path) -> list[Segment]:
        sealed = [segment for segment in list_segments(active) if not segment.active]
        if not sealed:
            return []
        entries = read_manifest(active)
        receipts = receipts_for(entries, self.store.url)
        return [segment for segment in sealed if plain_name(segment.path) not in receipts]

    def _ship(self, host: str, active: Path, segment: Segment) -> Shipped:
        name = plain_name(segment.path)
        entry = _entry_of(active, name)
        if entry is None:
            record_sealed(active, segment.path, key=self._key)
            entry = _entry_of(active, name)
        found = entry.measure() if entry is not None else measure(segment.path)
        key = self._key_of(host, active, object_name(name, found.sha256))
        with self._packed(segment.path, found) as packed:
            stored = self._put_checked(f"{key}.jsonl.gz", packed, found.sha256)
            size = packed.stat().st_size
        if self._make_piece is not None:
            self._ship_piece(key, segment.path)
        receipt = document(
            "shipped",
            name,
            Measure(found.sha256, found.size, found.lines, found.first, found.last, {}),
            to=self.store.url,
            object=f"{key}.jsonl.gz",
        )
        with appending(active, self._key) as manifest:
            if name not in receipts_for(manifest.entries, self.store.url):
                manifest.append([receipt])
        return Shipped(active, segment.path, f"{key}.jsonl.gz", size, stored)

    def _key_of(self, host: str, active: Path, name: str) -> str:
        return f"hosts/{host}/{(active.parent / name).relative_to(self.root).as_posix()}"

    @contextlib.contextmanager
    def _packed(self, segment: Path, found: Measure) -> Iterator[Path]:
        """Give a gzip file of a segment, whose content was compared with what was sealed."""
        with self._temporary(".jsonl.gz") as path:
            digest, size = hashlib.sha256(), 0
            try:
                with (
                    open_segment(segment) as lines,
                    path.open("wb") as raw,
                    gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=6, mtime=0, filename="") as packed,
                ):
                    while block := lines.read(_BLOCK):
                        digest.update(block)
                        size += len(block)
                        packed.write(block)
            except EOFError as error:
                raise _UnusableError(
                    f"{segment}: expected a whole segment, got one that ends early"
                ) from error
            if (digest.hexdigest(), size) != (found.sha256, found.size):
                raise _UnusableError(
                    f"{segment}: expected the {found.size} bytes that were sealed, got other content; see llm-logging verify"
                )
            yield path

    def _put_checked(self, key: str, path: Path, sha256: str) -> bool:
        """Store an object unless it is there, and check it; say whether this call stored it.

        An object whose content is not what its name says is what a broken transfer left: it is deleted and stored again.
        """
        for _ in range(_TRIES):
            stored = self.store.put_if_absent(key, path)
            if self._is_stored(key, path) or self._holds(key, sha256):
                return stored
            self.store.delete(key)
        raise FileSystemError(
            f"put {self.store.url}/{key}: expected an object of the content that was sent, got another {_TRIES} times",
            code=ErrorCode.LOG_WRITE_ERROR,
        )

    def _is_stored(self, key: str, path: Path) -> bool:
        """Say whether an object is known to be this very file, by size and MD5; False where the store gives no MD5."""
        found = self.store.stat(key)
        return (
            found is not None
            and found.size == path.stat().st_size
            and len(found.etag) == _MD5_LENGTH
            and found.etag == md5_of(path)
        )

    def _holds(self, key: str, sha256: str) -> bool:
        """Read an object back; say whether it holds the segment."""
        with self._temporary(".gz") as path:
            try:
                with path.open("wb") as file:
                    file.writelines(self.store.read(key))
                return measure_sha256(path) == sha256
            except (FileNotFoundError, EOFError, gzip.BadGzipFile):
                return False

    def _ship_piece(self, key: str, segment: Path) -> None:
        assert self._make_piece is not None
        with self._temporary(".parquet") as path:
            ending = self._make_piece(segment, path)
            if ending is not None:
                self.store.put_if_absent(key + ending, path)

    @contextlib.contextmanager
    def _temporary(self, suffix: str) -> Iterator[Path]:
        with tempfile.NamedTemporaryFile(
            dir=ship_folder(self.root), prefix=".ship-", suffix=suffix, delete=False
        ) as file:
            path = Path(file.name)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    # -- what goes with them --------------------------------------------------------------------------------------------

    def _ship_manifest(self, host: str, active: Path) -> None:
        """Store the manifest under the name of its state, then remove the state that was stored before."""
        # Before the manifest is read: the state that goes is then never newer than the one that stays.
        notes = load_notes(self.root, self.store.url)
        try:
            data = read_regular(manifest_path(active))
        except FileNotFoundError:
            return
        data = data[: data.rfind(b"\n") + 1]
        name = f"{manifest_path(active).name.removesuffix('.manifest')}-{hashlib.sha256(data).hexdigest()[:12]}.manifest"
        key = self._key_of(host, active, name)
        manifests = notes.setdefault("manifests", {})
        log = active.relative_to(self.root).as_posix()
        before = manifests.get(log)
        if before == key or not data:
            return
        with self._temporary(".manifest") as path:
            path.write_bytes(data)
            self.store.put_if_absent(key, path)
        manifests[log] = key
        save_notes(self.root, self.store.url, notes)
        if before is not None:
            self.store.delete(before)

    def _withdraw_replaced(self, host: str, active: Path) -> list[str]:
        """Delete the objects of segments that were rewritten, where the new generation has arrived."""
        entries = read_manifest(active)
        receipts = receipts_for(entries, self.store.url)
        withdrawn = []
        for entry in entries:
            old = receipts.get(entry.replaces or "")
            if entry.action != "rewritten" or old is None or old.object is None:
                continue
            later = _later_generations(active, entry.segment, receipts)
            if later and not later & receipts.keys():
                continue
            if old.object.startswith(f"hosts/{host}/"):
                self._delete_with_piece(old.object)
                fields = document(
                    "withdrawn", old.segment, old.measure(), to=self.store.url, object=old.object
                )
                with appending(active, self._key) as manifest:
                    manifest.append([fields])
                withdrawn.append(old.object)
        if withdrawn:
            self._ship_manifest(host, active)
        return withdrawn

    def _delete_with_piece(self, key: str) -> None:
        name = key.removesuffix(".jsonl.gz")
        for found in list(self.store.list(f"{key.rpartition('/')[0]}/")):
            if found.key.startswith(f"{name}.") and found.key != key:
                self.store.delete(found.key)
        self.store.delete(key)

    def _ship_state(self, report: ShipReport) -> None:
        state = self._state(report)
        text = json.dumps(
            {name: value for name, value in state.items() if name not in {"time", "fresh_until"}}
        )
        put, moment = self._state_put
        if put == text and time.monotonic() - moment < _STATE_SECONDS:
            return
        self.store.put(f"hosts/{report.host}/state.json", json.dumps(state).encode())
        self._state_put = text, time.monotonic()

    def _state(self, report: ShipReport) -> dict[str, Any]:
        """Return what is known of the host now; also fills in what waits in the report."""
        fresh = format_time(clock().now())
        # Before the files: a line that is written meanwhile is then met twice, and not missed.
        waiting = find_waiting(self.root)
        writers: dict[str, dict[str, int]] = {}
        for active in {*logs_below(self.root), *map(Path, waiting.lines)}:
            if not active.is_relative_to(self.root):
                continue
            log = active.relative_to(self.root).as_posix()
            last = writers.setdefault(log, {})
            for entry in read_manifest(active):
                for writer, span in entry.writers.items():
                    last[writer] = max(span.last, last.get(writer, 0))
            for tally in self._waiting(active, waiting.lines.get(str(active), [])):
                report.waiting_bytes += tally.size
                report.waiting_lines += tally.lines
                fresh = min(fresh, tally.first or fresh)
                for writer, numbers in tally.writers.items():
                    last[writer] = max(numbers["last"], last.get(writer, 0))
        report.fresh_until = fresh
        return {
            "v": 1,
            "host": report.host,
            "name": socket.gethostname(),
            "time": format_time(clock().now()),
            "fresh_until": fresh,
            "waiting_bytes": report.waiting_bytes,
            "waiting_lines": report.waiting_lines,
            "writers": writers,
            "closed": [
                dict(note) for note in json_objects(self.root / ".writers.jsonl") if note.get("closed")
            ],
        }

    def _waiting(self, active: Path, buffered: list[bytes]) -> Iterator[Tally]:
        """Yield what was found in the files of a log that have not arrived, and in the buffers."""
        for path in (*(segment.path for segment in self._without_receipt(active)), active):
            tally = Tally()
            with contextlib.suppress(OSError, EOFError), open_segment(path) as lines:
                tally.read(lines)
            yield tally
        tally = Tally()
        for line in buffered:
            tally.add(line)
        yield tally


class _UnusableError(Exception):
    """A segment cannot be shipped as it is."""


def measure_sha256(path: Path) -> str:
    """Return the SHA-256 of a segment's uncompressed bytes."""
    digest = hashlib.sha256()
    with open_segment(path) as lines:
        while block := lines.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _entry_of(active: Path, name: str) -> ManifestEntry | None:
    found = None
    for entry in read_manifest(active):
        if entry.measured and entry.segment == name:
            found = entry
    return found


def _later_generations(active: Path, name: str, known: Iterable[str]) -> set[str]:
    """Return the names of a segment in this and later generations, of those on the disk and those that are known."""
    wanted = parse_segment_name(Path(name))
    there = (plain_name(segment.path) for segment in list_segments(active) if not segment.active)
    found = set()
    for other in {*there, *known}:
        segment = parse_segment_name(Path(other))
        if segment is not None and wanted is not None:
            same = segment.key == wanted.key and segment.generation >= wanted.generation
            found |= {other} if same else set()
    return found


def _remove_leftovers(folder: Path) -> None:
    """Remove what killed shippers left."""
    for path in folder.glob(".*-*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _LEFTOVER_SECONDS:
                path.unlink()
