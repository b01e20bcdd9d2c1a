"""The manifest beside each log: what was sealed, pruned and rewritten, chained so that no line of it can be changed.

`llm_requests.manifest` holds one JSON object a line. Each names, in `previous`, the SHA-256 of the line before it, so a
changed, removed or moved line breaks the chain; where a key is configured each line also carries an HMAC-SHA-256
(`mac`) of itself, so nobody without the key can write a chain anew. Without a key the head, the SHA-256 of the last
line, can be kept elsewhere and given to `verify`, which also tells whether the end was cut off.

A segment's SHA-256 is that of its uncompressed bytes: compressing it later changes nothing. Several processes append
under a lock, whole lines only; a torn last line, left by a crash, is taken away by the next one that appends.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

import portalocker
from pydantic import BaseModel, ConfigDict
from pydantic_core import from_json

from ..clock import clock, format_time
from ..errors import ErrorCode, FileSystemError
from ..files.compression import open_segment
from ..files.safe_open import read_regular

__all__ = [
    "FIRST",
    "ManifestEntry",
    "Measure",
    "Tally",
    "WriterRange",
    "appending",
    "document",
    "json_objects",
    "line_hash",
    "line_mac",
    "manifest_path",
    "measure",
    "parsed",
    "plain_name",
    "read_manifest",
    "read_pruned",
]

FIRST: Final = "0" * 64
_BLOCK: Final = 1 << 20
_LONGEST_LINE: Final = 1 << 26


class WriterRange(BaseModel):
    """The numbers of one writer's lines in a segment: first and last, both included, and how many there are."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    first: int
    last: int
    count: int


class ManifestEntry(BaseModel):
    """One line of a manifest.

    Attributes:
        v: 1.
        action: `sealed` after a rotation, `removed` by a prune, `rewritten` by `forget`, `shipped` with an object that was checked,
            `withdrawn` where such an object was deleted again.
        time: When it was noted, ISO 8601.
        segment: The segment's file name, uncompressed; of a rewrite, the new one.
        replaces: Of a rewrite, the old name.
        sha256: Of the uncompressed bytes.
        size: Uncompressed bytes.
        lines: Lines, a last one without its end included.
        first: Timestamp of the first line that has one.
        last: Timestamp of the last line that has one.
        writers: Which lines of which writer it holds.
        dropped: Of a rewrite, which lines of which writer it no longer holds, as [first, last] pairs.
        reason: Why it was removed or rewritten.
        to: Of an object, the store.
        object: Of an object, its key in the store.
        late: True where the process that rotated died before it could note the segment, and another did.
        previous: SHA-256 of the line before; 64 zeros in the first.
        mac: HMAC-SHA-256 of the line without this field, where a key is configured.
    """

    model_config = ConfigDict(frozen=True, defer_build=True, extra="ignore")

    v: int = 1
    action: Literal["sealed", "removed", "rewritten", "shipped", "withdrawn"]
    time: str
    segment: str
    replaces: str | None = None
    sha256: str
    size: int
    lines: int
    first: str | None = None
    last: str | None = None
    writers: dict[str, WriterRange] = {}
    dropped: dict[str, list[tuple[int, int]]] | None = None
    reason: str | None = None
    to: str | None = None
    object: str | None = None
    late: bool | None = None
    previous: str
    mac: str | None = None

    @property
    def measured(self) -> bool:
        """Whether it says what a segment holds on this disk."""
        return self.action in {"sealed", "rewritten"}

    def measure(self) -> Measure:
        """Return what the segment holds."""
        writers = {writer: numbers.model_dump() for writer, numbers in self.writers.items()}
        return Measure(self.sha256, self.size, self.lines, self.first, self.last, writers)


@dataclass(frozen=True, slots=True)
class Measure:
    """What was found in a segment's bytes."""

    sha256: str
    size: int
    lines: int
    first: str | None
    last: str | None
    writers: dict[str, dict[str, int]]


def manifest_path(active: Path) -> Path:
    """Return the manifest of a log."""
    return active.with_name(f"{active.name.removesuffix('.jsonl')}.manifest")


def line_hash(line: bytes) -> str:
    """Return the SHA-256 of a manifest's line, without its end."""
    return hashlib.sha256(line).hexdigest()


def line_mac(document: Mapping[str, Any], key: bytes) -> str:
    """Return the HMAC of a manifest's entry without its `mac`."""
    text = _dumped({name: value for name, value in document.items() if name != "mac"})
    return hmac.new(key, text, hashlib.sha256).hexdigest()


def _dumped(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def plain_name(path: Path) -> str:
    """Return a segment's name without the suffix of its compression."""
    return path.name.removesuffix(".gz").removesuffix(".zst")


def measure(path: Path) -> Measure:
    """Read a segment whole: digest, size, lines, times and writers.

    Args:
        path: Plain or compressed.

    Raises:
        OSError: It cannot be read.
    """
    tally = Tally()
    with open_segment(path) as stream:
        tally.read(stream)
    return tally.measure()


class Tally:
    """What lines hold, found while they go by: digest, size, times and writers.

    Attributes:
        size: Bytes.
        lines: Lines, a last one without its end included.
        first: Timestamp of the first line that has one.
        last: Timestamp of the last line that has one.
        writers: Which lines of which writer.
    """

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self.size = self.lines = 0
        self.first: str | None = None
        self.last: str | None = None
        self.writers: dict[str, dict[str, int]] = {}
        self._torn = False

    def read(self, stream: Any) -> None:
        """Add every line of an open file."""
        while line := stream.readline(_LONGEST_LINE):
            self.add(line)

    def add(self, line: bytes) -> None:
        """Add one line, or a part of a very long one."""
        self._digest.update(line)
        self.size += len(line)
        ended = line.endswith(b"\n")
        self.lines += not self._torn
        self._torn = not ended
        stamp = _note_line(line, self.writers)
        if stamp is not None:
            self.first, self.last = self.first or stamp, stamp

    def measure(self) -> Measure:
        """Return what was found."""
        return Measure(self._digest.hexdigest(), self.size, self.lines, self.first, self.last, self.writers)


def _note_line(line: bytes, writers: dict[str, dict[str, int]]) -> str | None:
    try:
        document = from_json(line)
    except ValueError:
        return None
    if not isinstance(document, dict):
        return None
    writer = document.get("writer")
    if isinstance(writer, dict):
        name, number = writer.get("id"), writer.get("seq")
        if isinstance(name, str) and type(number) is int:
            known = writers.setdefault(name, {"first": number, "last": number, "count": 0})
            known["first"], known["last"] = min(known["first"], number), max(known["last"], number)
            known["count"] += 1
    stamp = document.get("timestamp")
    return stamp if isinstance(stamp, str) else None


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a manifest for appending, alone; the file is made, 0600, and no link is followed."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        handle = os.open(path, flags, 0o600)
    except OSError as error:
        raise FileSystemError(
            f"manifest {path}: could not be opened: {error}",
            code=ErrorCode.LOG_WRITE_ERROR,
            errno=error.errno,
            filename=str(path),
        ) from error
    with os.fdopen(handle, "r+b", buffering=0) as stream:
        portalocker.lock(stream, portalocker.LockFlags.EXCLUSIVE)
        try:
            yield stream
        finally:
            portalocker.unlock(stream)


def parsed(line: bytes) -> ManifestEntry | None:
    """Read one line; None where it is no entry."""
    try:
        return ManifestEntry.model_validate_json(line)
    except ValueError:
        return None


def _whole_lines(stream: BinaryIO) -> list[bytes]:
    """Read all lines; a torn last one is taken away."""
    stream.seek(0)
    data = stream.read()
    end = data.rfind(b"\n") + 1
    if end != len(data):
        stream.truncate(end)
    return data[:end].split(b"\n")[:-1]


def document(action: str, segment: str, found: Measure, **more: Any) -> dict[str, Any]:
    """Return an entry as it will be written, but for its place in the chain."""
    fields = {
        "v": 1,
        "action": action,
        "time": format_time(clock().now()),
        "segment": segment,
        "sha256": found.sha256,
        "size": found.size,
        "lines": found.lines,
        "first": found.first,
        "last": found.last,
        "writers": found.writers,
        **more,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _known(lines: Sequence[bytes]) -> list[ManifestEntry]:
    return [entry for entry in map(parsed, lines) if entry is not None]


class Appender:
    """A manifest that is held alone: its entries, and a way to add some.

    Attributes:
        entries: What it holds, oldest first.
    """

    __slots__ = ("_key", "_previous", "_stream", "entries")

    def __init__(self, stream: BinaryIO, key: bytes | None) -> None:
        lines = _whole_lines(stream)
        self._stream = stream
        self._key = key
        self._previous = line_hash(lines[-1]) if lines else FIRST
        self.entries = _known(lines)

    def append(self, documents: Sequence[dict[str, Any]]) -> None:
        """Add entries made by `document` at the end of the chain, and wait until they are on the disk."""
        text = b""
        for fields in documents:
            fields["previous"] = self._previous
            if self._key is not None:
                fields["mac"] = line_mac(fields, self._key)
            line = _dumped(fields)
            self._previous = line_hash(line)
            text += line + b"\n"
        written = 0
        while written < len(text):
            written += self._stream.write(text[written:])
        os.fsync(self._stream.fileno())


@contextmanager
def appending(active: Path, key: bytes | None) -> Iterator[Appender]:
    """Hold a log's manifest alone.

    Args:
        active: The log's active file.
        key: Signs what is added.

    Raises:
        FileSystemError: It could not be opened or written.
    """
    path = manifest_path(active)
    with _opened(path) as stream:
        try:
            yield Appender(stream, key)
        except OSError as error:
            if isinstance(error, FileSystemError):
                raise
            raise FileSystemError(
                f"manifest {path}: {error}",
                code=ErrorCode.LOG_WRITE_ERROR,
                errno=error.errno,
                filename=str(path),
            ) from error


def read_manifest(active: Path) -> list[ManifestEntry]:
    """Return the entries of a log's manifest, oldest first; lines that are none are left out, `verify` names them.

    Args:
        active: The log's active file; neither it nor the manifest need exist.
    """
    try:
        data = read_regular(manifest_path(active))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise FileSystemError(
            f"reading {manifest_path(active)}: {error.strerror}",
            code=ErrorCode.LOG_READ_ERROR,
            errno=error.errno,
            filename=str(manifest_path(active)),
        ) from error
    return _known(data.split(b"\n"))


def json_objects(path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the objects of a file of JSON lines, whatever else is in it; nothing where it cannot be read."""
    try:
        lines = read_regular(path).splitlines()
    except OSError:
        return
    for line in lines:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            yield value


def read_pruned(manifest: Path) -> dict[str, list[tuple[int, int]]]:
    """Return which numbers of which writer were removed on purpose, as a log's manifest says."""
    found: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for record in json_objects(manifest):
        if record.get("action") == "removed":
            held = record.get("writers")
            for writer, span in (held if isinstance(held, Mapping) else {}).items():
                found[str(writer)].extend(_spans([[span.get("first"), span.get("last")]]))
        elif record.get("action") == "rewritten":
            dropped = record.get("dropped")
            for writer, spans in (dropped if isinstance(dropped, Mapping) else {}).items():
                found[str(writer)].extend(_spans(spans))
    return found


def _spans(pairs: Any) -> list[tuple[int, int]]:
    return [(pair[0], pair[1]) for pair in pairs if len(pair) == 2 and all(type(end) is int for end in pair)]
