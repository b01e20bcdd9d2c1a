"""Take one person out of all logs of a root: their lines, or their name on them.

Which lines are theirs: see `data_subjects.py`. Of a chat with several users only the lines that can be told to be theirs go, and
the report names it.

Each segment that holds such lines is written anew as its next generation: a temporary file, synced, renamed, noted in
the manifest, and only then is the old file removed; whatever moment it is cut off at, a second run ends it. An
active file is sealed first, by one rename under the lock that writers append under. Generations change under the manifest's lock,
as pruning does, so that neither brings back what the other removed. A log is listed again until every file of it was visited. Lines
that a running process still holds in its memory cannot be reached, so while there may be any, nothing is begun.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from pydantic_core import from_json, to_json

from ..clock import clock
from ..errors import ConfigurationError, ErrorCode, FileSystemError, LLMLoggingError, NotFoundError
from ..files.compression import open_segment
from ..files.segments import Segment, folder_names, forms, list_segments, parse_segment_name
from ..files.spool.discovery import ring_files
from ..files.spool.places import ring_folders
from ..hmac_keys import PSEUDONYM_KEY, checked_key, pseudonym
from .data_subjects import PLACES, USER_FIELDS, Person, needles_of
from .manifest_notes import record_rewritten, record_sealed
from .rewrite import append_lock, created, packed, sync_folder
from .sealing import seal_active
from .verify import logs_below

__all__ = ["ForgetReport", "ForgottenFile", "forget", "rings_of"]


class ForgottenFile(BaseModel):
    """What became of one segment.

    Attributes:
        file: The segment, relative to the root.
        generation: Its new file's name; None in a dry run.
        lines: How many lines were removed, or renamed.
    """

    model_config = ConfigDict(frozen=True)

    file: str
    generation: str | None
    lines: int


class ForgetReport(BaseModel):
    """What was forgotten, or would be.

    Attributes:
        root: The folder.
        mode: `remove` or `pseudonymise`.
        dry_run: True when nothing was changed.
        lines: How many lines were removed, or renamed, in all.
        requests: How many requests were theirs.
        files: The segments that held them.
        shared_chats: Chats with other users in them, `project/chat`: messages that name nobody stayed there.
        unreadable: Lines that are no JSON and hold the id's text; they stayed, for nobody can tell what they say.
    """

    model_config = ConfigDict(frozen=True)

    root: str
    mode: Literal["remove", "pseudonymise"]
    dry_run: bool
    lines: int
    requests: int
    files: list[ForgottenFile]
    shared_chats: list[str]
    unreadable: int


def rings_of(root: Path) -> list[str]:
    """Name the spools of a root in which a process, living or killed, may still hold lines.

    Args:
        root: The folder.

    Returns:
        Their paths; a process that starts to log there writes what killed ones left, and removes their spools.
    """
    found: list[str] = []
    for folder in ring_folders(root):
        try:
            found += map(str, ring_files(root, [folder]))
        except OSError:
            # Another user's, who may hold lines there.
            found.append(str(folder))
    return sorted(found)


def forget(
    root: Path,
    *,
    user_id: str,
    mode: Literal["remove", "pseudonymise"] = "remove",
    key: bytes | None = None,
    manifest_key: bytes | None = None,
    dry_run: bool = False,
    live_writers: Callable[[Path], list[str]] | None = None,
    rewritten: Callable[[Path, Path], None] | None = None,
) -> ForgetReport:
    """Remove or pseudonymise one person's lines in all logs of a root.

    Args:
        root: The folder that holds the logs.
        user_id: Who; where a key is given, lines under the pseudonym that it gives them are theirs too.
        mode: `remove` takes their lines out; `pseudonymise` keeps them and replaces the id by a pseudonym.
        key: The key of pseudonyms; needed for `pseudonymise`.
        manifest_key: Signs what is noted in the manifests.
        dry_run: Only say what would be done.
        live_writers: Names whoever may still hold lines of this root in memory; `rings_of` when None.
        rewritten: Called with the old and the new file of each segment, to drop what was cached of the old one.

    Returns:
        What was done.

    Raises:
        ConfigurationError: `pseudonymise` without a key, or an empty `user_id`.
        NotFoundError: There is no such folder.
        LLMLoggingError: Writers may still hold lines (`INVALID_STATE`); nothing was changed.
        FileSystemError: A file could not be read or written; what was done until then stands, and a second run
            does the rest.
    """
    if not user_id:
        raise ConfigurationError("forget: expected a user_id, got an empty string")
    if mode not in ("remove", "pseudonymise"):
        raise ConfigurationError(f"forget: expected mode 'remove' or 'pseudonymise', got {mode!r}")
    if mode == "pseudonymise" and key is None:
        raise ConfigurationError(
            f"forget: pseudonymise needs a key, in {PSEUDONYM_KEY} or {PSEUDONYM_KEY}_FILE"
        )
    if not root.is_dir():
        raise NotFoundError(f"{root}: expected a folder with logs, found none", code=ErrorCode.ROOT_NOT_FOUND)
    if not dry_run:
        holders = (live_writers or rings_of)(root)
        if holders:
            raise LLMLoggingError(
                f"forget: expected no process that logs to {root}, found {len(holders)}: {', '.join(holders[:5])}; "
                "stop them first (what a killed one left is written when the next one starts)",
                code=ErrorCode.INVALID_STATE,
            )
    alias = pseudonym("user_id", user_id, checked_key(key, "pseudonym key")) if key is not None else None
    run = _Run(root, user_id, alias if mode == "pseudonymise" else None, manifest_key, rewritten)
    if mode == "remove" and alias is not None:
        run.person.names |= {alias}
        run.person.needles += needles_of(alias)
    try:
        return run.execute(mode, dry_run=dry_run)
    except OSError as error:
        if isinstance(error, FileSystemError):
            raise
        raise FileSystemError(
            f"forget: {error}", code=ErrorCode.LOG_WRITE_ERROR, errno=error.errno, filename=error.filename
        ) from error


class _Run:
    """One run over one root."""

    def __init__(
        self,
        root: Path,
        user_id: str,
        alias: str | None,
        manifest_key: bytes | None,
        rewritten: Callable[[Path, Path], None] | None,
    ) -> None:
        self.root = root
        self.person = Person(frozenset({user_id}), needles_of(user_id))
        self.alias = alias
        self.manifest_key = manifest_key
        self.rewritten = rewritten
        self.files: list[ForgottenFile] = []
        # Segments of each log that were visited, or sealed by this run.
        self.visited: dict[Path, set[str]] = {}

    def execute(self, mode: Literal["remove", "pseudonymise"], *, dry_run: bool) -> ForgetReport:
        logs = list(logs_below(self.root))
        for active in logs:
            if not dry_run:
                self._finish_interrupted(active)
            for segment in self._each(active):
                # It may have been pruned since, or, being the active file, rotated: then it is given again.
                with contextlib.suppress(FileNotFoundError):
                    self._meet(segment)
        self.person.unreadable = 0
        for active in logs:
            for segment in self._each(active):
                with contextlib.suppress(FileNotFoundError):
                    self._visit(active, segment, dry_run=dry_run)
        shared = self.person.chats & self.person.others
        return ForgetReport(
            root=str(self.root),
            mode=mode,
            dry_run=dry_run,
            lines=sum(file.lines for file in self.files),
            requests=len(self.person.requests),
            files=self.files,
            shared_chats=sorted(f"{project}/{chat}" for project, chat in shared),
            unreadable=self.person.unreadable,
        )

    def _meet(self, segment: Segment) -> None:
        for _, document in self._lines(segment.path):
            if document is not None:
                self.person.meet(document)

    def _each(self, active: Path) -> Iterator[Segment]:
        """Give every segment of a log once, also those that are sealed while the others are visited."""
        given = self.visited[active] = set[str]()
        while fresh := [segment for segment in list_segments(active) if segment.key not in given]:
            for segment in fresh:
                given.add(segment.key)
                yield segment

    def _lines(self, path: Path) -> Iterator[tuple[bytes, dict[str, Any] | None]]:
        try:
            with open_segment(path) as stream:
                for line in stream:
                    try:
                        document = from_json(line)
                    except ValueError:
                        document = None
                        self.person.unreadable += any(needle in line for needle in self.person.needles)
                    yield line, document if isinstance(document, dict) else None
        except EOFError as error:
            raise FileSystemError(
                f"{path}: expected a whole segment, got one that ends early: {error}",
                code=ErrorCode.LOG_READ_ERROR,
                filename=str(path),
            ) from error

    def _fresh(self, line: bytes, document: dict[str, Any] | None) -> bytes | None:
        """Return what stands in a line's place: the same line, another, or None for nothing."""
        if document is None:
            return line
        if self.alias is None:
            return None if self.person.owns(document) else line
        if not self.person.named(document):
            return line
        return to_json(self._renamed(document), inf_nan_mode="constants") + b"\n"

    def _renamed(self, document: dict[str, Any]) -> dict[str, Any]:
        for path in ((), *PLACES):
            document = self._renamed_at(document, path)
        return document

    def _renamed_at(self, value: Any, path: tuple[str, ...]) -> Any:
        if not isinstance(value, dict):
            return value
        if path:
            return (
                {**value, path[0]: self._renamed_at(value[path[0]], path[1:])} if path[0] in value else value
            )
        return {key: self._alias_of(item) if key in USER_FIELDS else item for key, item in value.items()}

    def _alias_of(self, item: Any) -> Any:
        if isinstance(item, list):
            return [self._alias_of(part) for part in item]
        return self.alias if str(item) in self.person.names else item

    def _visit(self, active: Path, segment: Segment, *, dry_run: bool) -> None:
        count = sum(self._fresh(line, document) is not line for line, document in self._lines(segment.path))
        if not count:
            return
        name = segment.path.relative_to(self.root).as_posix()
        if dry_run:
            self.files.append(ForgottenFile(file=name, generation=None, lines=count))
            return
        unreadable = self.person.unreadable
        if segment.active:
            segment = self._sealed(active)
        new, lines = self._rewrite(active, segment)
        self.person.unreadable = unreadable
        if self.rewritten is not None:
            self.rewritten(segment.path, new)
        self._unlink_older(segment)
        self.files.append(ForgottenFile(file=name, generation=new.name, lines=lines))

    def _sealed(self, active: Path) -> Segment:
        """Seal an active file as a rotation does, under the lock that writers append under."""
        with append_lock(active) as lock:
            path = seal_active(active, lock, clock().now())
        record_sealed(active, path, key=self.manifest_key)
        segment = parse_segment_name(path)
        assert segment is not None
        self.visited[active].add(segment.key)
        return segment

    def _rewrite(self, active: Path, segment: Segment) -> tuple[Path, int]:
        suffix = f".{segment.compression}" if segment.compression else ""
        plain = segment.of_generation(segment.generation + 1)
        new = plain.with_name(plain.name + suffix)
        temporary = new.with_name(f".{new.name}.forget")
        lines = 0
        dropped: dict[str, list[tuple[int, int]]] = {}
        with created(temporary) as raw, packed(raw, segment.compression) as target:
            for line, document in self._lines(segment.path):
                fresh = self._fresh(line, document)
                if fresh is not line:
                    lines += 1
                if fresh is None:
                    _note_dropped(document or {}, dropped)
                else:
                    target.write(fresh)
        record_rewritten(
            active, segment.path, new,
            reason="forget", key=self.manifest_key, dropped=dropped, temporary=temporary,
        )  # fmt: skip
        return new, lines

    def _unlink_older(self, segment: Segment) -> None:
        """Remove what a new generation replaces: a segment, and all before it."""
        for generation in range(segment.generation + 1):
            for form in forms(segment.of_generation(generation)):
                with contextlib.suppress(FileNotFoundError):
                    form.unlink()
        sync_folder(segment.path.parent)

    def _finish_interrupted(self, active: Path) -> None:
        """End what a run that was cut off began: note generations that are not, remove what they replace."""
        prefix = f".{active.name.removesuffix('.jsonl')}."
        for name in folder_names(active.parent):
            if name.startswith(prefix) and name.endswith(".forget"):
                with contextlib.suppress(OSError):
                    active.with_name(name).unlink()
        everything = list_segments(active, superseded=True)
        for segment in list_segments(active):
            if segment.active or not segment.generation:
                continue
            older = [
                one for one in everything if one.key == segment.key and one.generation < segment.generation
            ]
            if older:
                dropped = self._missing(older[-1].path, segment.path)
                record_rewritten(
                    active,
                    older[-1].path,
                    segment.path,
                    reason="forget",
                    key=self.manifest_key,
                    dropped=dropped,
                )
                if self.rewritten is not None:
                    self.rewritten(older[-1].path, segment.path)
                self._unlink_older(older[-1])

    def _missing(self, old: Path, new: Path) -> dict[str, list[tuple[int, int]]]:
        """Return which lines a generation has no more, by writer."""
        stayed = {_number(document) for _, document in self._lines(new)}
        dropped: dict[str, list[tuple[int, int]]] = {}
        for _, document in self._lines(old):
            if _number(document) not in stayed:
                _note_dropped(document or {}, dropped)
        return dropped


def _number(document: dict[str, Any] | None) -> tuple[str, int] | None:
    writer = (document or {}).get("writer")
    if not isinstance(writer, dict) or type(writer.get("seq")) is not int:
        return None
    return str(writer.get("id")), writer["seq"]


def _note_dropped(document: dict[str, Any], dropped: dict[str, list[tuple[int, int]]]) -> None:
    named = _number(document)
    if named is None:
        return
    writer, number = named
    pairs = dropped.setdefault(writer, [])
    if pairs and pairs[-1][1] + 1 == number:
        pairs[-1] = (pairs[-1][0], number)
    else:
        pairs.append((number, number))
