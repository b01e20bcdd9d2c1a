"""A root in object storage, read as a local root: its objects are listed once, and what a question needs is taken into the cache.

The copy looks like one root that all hosts wrote to. A segment keeps the time in its name, and its number is made from its content, so
that segments of different hosts never share a name and one segment under two hosts is one file. Figures are made from the columns that
lie beside the lines (`<segment>.jsonl.parquet` in the copy), where they were made by this version; else, and for retrieval and search,
the lines are taken (`<segment>.jsonl.gz`). There are two copies for that, of columns and of lines. An object is known again by name and
ETag, and what is gone from the store goes from the copies.

From the manifests of the hosts the copy has manifests of its own, which say what is missing on purpose; `.hosts.json` holds the states
of the hosts, `.writers.jsonl` the notes of their writers.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ...errors import ErrorCode, FileSystemError, NotFoundError
from ...files.layout import ENV_ROOT, Layout, LogKind, escape_id
from ...files.objects import ObjectStore, Stored, is_url, open_store
from ...files.segments import Segment, parse_segment_name
from ...maintenance.manifest import ManifestEntry, parsed
from ...models.query import StatsScope
from ...reach import configured_root
from ..cache.eviction import bound_size, note_use
from ..cache.store import cache_folder, make_private
from ..lines.arguments import Progress, reading_layout
from .shipped import piece_ending, read_shipped

__all__ = ["copy_folder", "open_root"]

_WORKERS: Final = 16
_LOOKS: Final = 3
_LINES: Final = ".jsonl.gz"
_PIECE: Final = ".jsonl.parquet"
# Before the ETag of columns that cannot be used.
_DAMAGED: Final = "damaged "
_NAMED: Final = re.compile(
    r"(?P<name>.+)-(?P<content>[0-9a-f]{12})(?P<ending>\.jsonl\.gz|\.manifest|\.[0-9a-f]+\.parquet)"
)


def open_root(
    root: Any,
    *,
    lines: bool,
    scope: StatsScope | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Layout:
    """Return the layout of the root that a question is about; a root in object storage is copied as far as needed.

    Args:
        root: A folder or a URL; None: see `files.layout.find_root`.
        lines: Whether whole lines are needed, of every kind; else the columns of requests are enough.
        scope: Whose; None: all.
        cache_dir: The cache's folder.
        progress: Called with bytes done and bytes in all while objects are taken.

    Raises:
        ValidationError: The root is no path.
        NotFoundError: `ROOT_NOT_FOUND`, where nothing was shipped to a URL.
        FileSystemError: `LOG_READ_ERROR`, where the store refuses or cannot be reached.
    """
    url = root if root is not None else _url_of_environment()
    if not isinstance(url, str) or not is_url(url):
        return reading_layout(root)
    store = open_store(url)
    cache = cache_folder(cache_dir)
    place = copy_folder(store.url, cache)
    copy = _Copy(store, place / ("lines" if lines else "columns"), scope or StatsScope(), lines=lines)
    for look in range(_LOOKS):
        try:
            fetched = copy.update(progress)
            break
        except FileNotFoundError:
            # An object was deleted after it was listed.
            if look == _LOOKS - 1:
                raise
    note_use([place])
    if fetched:
        bound_size(cache, [place])
    return Layout(copy.folder, why=f"it is the copy of {store.url}")


def copy_folder(url: str, cache: Path) -> Path:
    """Return where the copies of a store lie in the cache."""
    return cache / "remote" / hashlib.sha256(url.encode()).hexdigest()[:24]


def _url_of_environment() -> str | None:
    return os.environ.get(ENV_ROOT) if configured_root() is None else None


@dataclass(slots=True)
class _Sealed:
    """A segment as it lies in the store.

    Attributes:
        host: Whose.
        log: Its log, as a path under the host's root without a suffix.
        segment: As its name says.
        content: 12 hex of its SHA-256.
        lines: The object of its lines; None where only columns are there.
        columns: The object of its columns, made by this version; None where there is none.
    """

    host: str
    log: str
    segment: Segment
    content: str
    lines: Stored | None = None
    columns: Stored | None = None

    @property
    def name(self) -> str:
        """The path of its file in a copy, without suffix."""
        # Never a zero in front: the number is read, and written again.
        number = f"{10_000 + self.segment.index}{int(self.content, 16):015d}"
        return f"{self.log}.{self.segment.stamp}-{number}"


@dataclass(slots=True)
class _Listing:
    """What a store holds.

    Attributes:
        sealed: Segments, by host, log, name and content.
        manifests: Objects of manifests, by host and log.
        states: Objects of states, by host.
    """

    sealed: dict[tuple[str, str, str, str], _Sealed] = field(default_factory=dict)
    manifests: dict[tuple[str, str], list[Stored]] = field(default_factory=lambda: defaultdict(list))
    states: dict[str, Stored] = field(default_factory=dict)

    @classmethod
    def of(cls, store: ObjectStore) -> _Listing:
        """List a store once."""
        found, ending = cls(), piece_ending()
        for stored in store.list("hosts/"):
            _, host, *folders, name = stored.key.split("/")
            if not folders and name == "state.json":
                found.states[host] = stored
                continue
            named = _NAMED.fullmatch(name)
            if named is None or not folders:
                continue
            folder = "/".join(folders)
            if named["ending"] == ".manifest":
                found.manifests[host, f"{folder}/{named['name']}"].append(stored)
                continue
            segment = parse_segment_name(Path(f"{named['name']}.jsonl"))
            if segment is None:
                continue
            key = (host, f"{folder}/{segment.stem}", named["name"], named["content"])
            sealed = found.sealed.setdefault(key, _Sealed(host, key[1], segment, named["content"]))
            if named["ending"] == _LINES:
                sealed.lines = stored
            elif named["ending"] == ending:
                sealed.columns = stored
        return found

    def newest(self) -> list[_Sealed]:
        """Return the segments of which no later generation is there."""
        generations: dict[tuple[str, str, str], int] = {}
        there = [sealed for sealed in self.sealed.values() if sealed.lines is not None]
        for one in there:
            key = (one.host, one.log, one.segment.key)
            generations[key] = max(one.segment.generation, generations.get(key, 0))
        return [
            one for one in there if generations[one.host, one.log, one.segment.key] == one.segment.generation
        ]


class _Copy:
    """The copy of a store in the cache.

    Args:
        store: What is copied.
        folder: Where.
        scope: Whose logs are needed.
        lines: Whether lines are, or columns where there are some.
    """

    def __init__(self, store: ObjectStore, folder: Path, scope: StatsScope, *, lines: bool) -> None:
        self.folder = folder
        self._store = store
        self._scope = scope
        self._lines = lines
        self._index = folder / ".index.json"

    def update(self, progress: Progress | None) -> int:
        """Take what is needed and missing; return how many bytes that was."""
        listing = _Listing.of(self._store)
        if not listing.sealed and not listing.states:
            raise NotFoundError(
                f"{self._store.url}: expected what llm-logging ship stored (objects below hosts/), found nothing",
                code=ErrorCode.ROOT_NOT_FOUND,
            )
        make_private(self.folder)
        known = self._known()
        segments = listing.newest()
        everything = {f"{one.name}{ending}" for one in segments for ending in (_LINES, _PIECE)}
        wanted = dict(self._wanted(listing, segments, known))
        kept = {path: etag for path, etag in known.items() if path in everything or path in wanted}
        for path in known.keys() - kept.keys():
            (self.folder / path).unlink(missing_ok=True)
        try:
            total = self._take(wanted, kept, progress)
            # Where columns came damaged, the lines come instead.
            if any(etag.startswith(_DAMAGED) and known.get(path) != etag for path, etag in kept.items()):
                wanted = dict(self._wanted(listing, segments, kept))
                total += self._take(wanted, kept, progress)
            self._keep_one_form(wanted, kept)
        finally:
            if kept != known:
                _write(self._index, json.dumps(kept))
        self._note_hosts(listing)
        self._note_missing(listing, segments)
        return total

    def _known(self) -> dict[str, str]:
        try:
            found = json.loads(self._index.read_bytes())
        except (OSError, ValueError):
            return {}
        return {str(path): str(etag) for path, etag in found.items()}

    def _wanted(
        self, listing: _Listing, segments: Iterable[_Sealed], known: Mapping[str, str]
    ) -> Iterator[tuple[str, Stored]]:
        """Yield the objects that the question needs, each with its path in the copy."""
        for host, stored in listing.states.items():
            yield f".shipped/{host}/state.json", stored
        for (host, log), manifests in listing.manifests.items():
            if self._is_asked(log):
                for stored in manifests:
                    yield f".shipped/{host}/{log}/{stored.key.rpartition('/')[2]}", stored
        for one in segments:
            if self._is_asked(one.log) and one.lines is not None:
                path, columns = f"{one.name}{_PIECE}", None if self._lines else one.columns
                if columns is None or known.get(path) == _DAMAGED + columns.etag:
                    path, columns = f"{one.name}{_LINES}", one.lines
                yield path, columns

    def _is_asked(self, log: str) -> bool:
        scope, kind = self._scope, log.rpartition("/")[2]
        if scope.project_id is not None and not log.startswith(f"projects/{escape_id(scope.project_id)}/"):
            return False
        # Whether a chat is logged at all may be told by its messages and its events alone.
        named = scope.chat_id is not None and (
            kind == LogKind.EVENTS.value or log.endswith(f"/chats/{escape_id(scope.chat_id)}")
        )
        return self._lines or kind == LogKind.REQUESTS.value or named

    def _take(self, wanted: Mapping[str, Stored], kept: dict[str, str], progress: Progress | None) -> int:
        """Take objects into the copy that are not there, several at once; return their bytes."""
        missing = {
            path: stored
            for path, stored in wanted.items()
            if kept.get(path) != stored.etag or not (self.folder / path).exists()
        }
        total = sum(stored.size for stored in missing.values())
        done = 0
        with ThreadPoolExecutor(_WORKERS) as pool:
            for path, etag in zip(missing, pool.map(self._fetch, missing, missing.values()), strict=True):
                kept[path] = etag
                done += missing[path].size
                if progress is not None:
                    progress(done, total)
        return total

    def _fetch(self, path: str, stored: Stored) -> str:
        """Take one object; return its ETag, marked where it holds columns that are damaged."""
        target = self.folder / path
        make_private(target.parent)
        with tempfile.NamedTemporaryFile(prefix=".", dir=target.parent, delete=False) as file:
            try:
                file.writelines(self._store.read(stored.key))
                file.flush()
                size = file.tell()
                if size != stored.size:
                    raise FileSystemError(
                        f"{self._store.url}/{stored.key}: expected {stored.size} bytes, got {size}",
                        code=ErrorCode.LOG_READ_ERROR,
                    )
                Path(file.name).replace(target)
            finally:
                Path(file.name).unlink(missing_ok=True)
        if path.endswith(_PIECE) and read_shipped(target) is None:
            target.unlink(missing_ok=True)
            return _DAMAGED + stored.etag
        return stored.etag

    def _keep_one_form(self, wanted: Iterable[str], kept: dict[str, str]) -> None:
        """Remove what the copy held of a segment before its other form was taken."""
        for path in wanted:
            for form, other in ((_LINES, _PIECE), (_PIECE, _LINES)):
                name = path.removesuffix(form) + other
                if path.endswith(form) and name in kept and not kept[name].startswith(_DAMAGED):
                    del kept[name]
                    (self.folder / name).unlink(missing_ok=True)

    # -- what is known of the hosts -------------------------------------------------------------------------------------

    def _note_hosts(self, listing: _Listing) -> None:
        states = []
        for host in sorted(listing.states):
            with suppress(OSError, ValueError):
                state = json.loads((self.folder / f".shipped/{host}/state.json").read_bytes())
                states.append(state)
                for log in state.get("writers", {}):
                    # A project of which nothing is sealed yet is known all the same.
                    make_private((self.folder / log).parent)
        closed = [note for state in states for note in state.pop("closed", [])]
        _write(self.folder / ".hosts.json", json.dumps(states))
        _write(self.folder / ".writers.jsonl", "".join(f"{json.dumps(note)}\n" for note in closed))

    def _note_missing(self, listing: _Listing, segments: Sequence[_Sealed]) -> None:
        """Write the manifests of the copy: what was removed or forgotten on purpose."""
        there: dict[tuple[str, str], set[str]] = defaultdict(set)
        for one in segments:
            there[one.host, one.log].add(one.segment.key)
        notes: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for (host, log), manifests in sorted(listing.manifests.items()):
            if self._is_asked(log):
                entries = self._entries(host, log, manifests)
                notes[log] += _missing_on_purpose(entries, there[host, log])
        for log, found in notes.items():
            _write(self.folder / f"{log}.manifest", "".join(f"{json.dumps(note)}\n" for note in found))

    def _entries(self, host: str, log: str, manifests: Iterable[Stored]) -> list[ManifestEntry]:
        lines: dict[bytes, None] = {}
        for stored in manifests:
            path = self.folder / f".shipped/{host}/{log}/{stored.key.rpartition('/')[2]}"
            lines.update(dict.fromkeys(path.read_bytes().splitlines()))
        return [entry for entry in map(parsed, lines) if entry is not None]


def _missing_on_purpose(entries: Sequence[ManifestEntry], there: set[str]) -> Iterator[dict[str, Any]]:
    """Yield what a manifest says of lines that are not in the store, as a manifest says it.

    Segments that were pruned before they were shipped; lines that were forgotten; and the oldest segments of a log, whose objects a
    rule of the bucket or `prune` deleted. A segment that is gone from the middle of a log is a gap.
    """
    keys = {entry.segment: _key_of(entry.segment) for entry in entries}
    oldest = min(there, default="~")
    shipped = {entry.segment for entry in entries if entry.action == "shipped"}
    removed = {entry.segment for entry in entries if entry.action == "removed"}
    seen = set()
    for entry in entries:
        key = keys[entry.segment]
        gone = key not in there and (
            entry.segment in removed if entry.segment not in shipped else key < oldest
        )
        if entry.measured and gone and key not in seen:
            seen.add(key)
            yield {"action": "removed", "segment": entry.segment, "writers": _plain(entry)}
        if entry.action == "rewritten" and entry.dropped:
            yield {"action": "rewritten", "segment": entry.segment, "dropped": entry.dropped}


def _key_of(name: str) -> str:
    segment = parse_segment_name(Path(name))
    return segment.key if segment is not None else name


def _plain(entry: ManifestEntry) -> dict[str, Any]:
    return {writer: span.model_dump() for writer, span in entry.writers.items()}


def _write(path: Path, text: str) -> None:
    """Write a file of the copy, unless it is as it should be: its time of change tells answers that are kept from others."""
    with suppress(OSError):
        if path.read_text("utf-8") == text:
            return
    make_private(path.parent)
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", prefix=".", dir=path.parent, delete=False
    ) as file:
        file.write(text)
    Path(file.name).replace(path)
