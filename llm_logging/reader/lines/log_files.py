"""Which files a question reads: the request logs of its scope, or the files that were named.

Files are opened before they are read, and their folder is listed again after, until a listing names nothing that is not open:
see `_open_folder`. What is open stays readable, so nothing is missed and nothing is read twice.
"""

from __future__ import annotations

import glob
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, TypeAlias

from ...errors import ErrorCode, FileSystemError, NotFoundError
from ...files.compression import open_segment
from ...files.layout import Layout, LogKind
from ...files.segments import Segment, active_logs, newest_forms, parse_segment_name, scan_segments
from ...files.spool.waiting import Waiting, find_waiting
from ...models.query import StatsScope
from .arguments import Files, expect, reading_layout
from .source_sql import RawFile

__all__ = [
    "Files",
    "Log",
    "LogFile",
    "Sources",
    "anything_logged",
    "list_logs",
    "named_logs",
    "open_logs",
    "open_sources",
    "project_folders",
    "root_not_found",
    "rotations",
    "waiting_projects",
]

# Kinds of log that do not lie in a project's folder `logs`.
_ELSEWHERE: Final = frozenset({LogKind.SYSTEM, LogKind.CHAT})
# Identifies a file within its log, the same when it is compressed.
_Place: TypeAlias = tuple[str, int, bool]

_RETRIES: Final = 100
_WRITTEN_MEANWHILE: Final = 1 << 20
_CLOCKS_DIFFER_NS: Final = 2_000_000_000
# Where a shipped file has its host. A log of several hosts is one log: a writer's numbers run through all of its files.
_HOST: Final = re.compile(r"(?<![^/])hosts/[^/]+/(?=(?:projects/[^/]+/)?(?:logs|chats)/)")
_MAGIC: Final = {b"\x1f\x8b": ".gz", b"\x28\xb5\x2f\xfd": ".zst"}
_BY_DESCRIPTOR: Final = sys.platform.startswith("linux") and Path("/proc/self/fd").is_dir()


@dataclass(frozen=True, slots=True)
class Log:
    """One log: an active file and what was rotated out of it.

    Attributes:
        name: What it is called in answers: its path under the root, or as it was named.
        active: Its active file; None where files were named, which are then `paths`.
        paths: The files themselves.
        labels: What answers call each of them: as it was named, or the name of the stream that it is a copy of.
    """

    name: str
    active: Path | None = None
    paths: tuple[Path, ...] = ()
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LogFile:
    """One open file of a log.

    Attributes:
        raw: What the parser reads.
        log: Which log it belongs to.
        segment: Its place in the log; None where files were named, and for lines that no file holds yet.
        descriptor: It is open here, so it can neither vanish nor be replaced.
        size: In bytes, when it was opened.
        mtime_ns: When it was last changed, then.
        ctime_ns: When its metadata last changed, then; programs cannot set it back.
        inode: Which file it is.
    """

    raw: RawFile
    log: Log
    segment: Segment | None
    descriptor: int
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @property
    def is_active(self) -> bool:
        """Whether lines are appended to it."""
        return self.segment is not None and self.segment.active


def root_not_found(layout: Layout) -> NotFoundError:
    """Return the error for a root that is not there: where it was looked for, and why there."""
    return NotFoundError(
        f"{layout.root}: expected the folder of the logs, found none ({layout.why}); configure an LLMFileHandler with this "
        "root, or name another by root= or LLM_LOGGING_ROOT",
        code=ErrorCode.ROOT_NOT_FOUND,
    )


# What Docker (`.1`), kubelet (`.20260115-103000`) and logrotate (`-20260115`) add to the name of a file that they rotate.
_ROTATED: Final = re.compile(
    r"(?P<stem>.+?)(?:\.(?P<number>\d{1,4})|[.-](?P<date>\d{8}(?:-\d{1,6})?))?(?:\.gz|\.zst)?"
)


def rotations(files: Sequence[LogFile]) -> list[list[LogFile]]:
    """Group files that were rotated out of each other, the oldest first: a line may begin in one and end in the next."""
    grouped: dict[str, list[tuple[tuple[int, str], LogFile]]] = {}
    for file in files:
        found = _ROTATED.fullmatch(file.raw.name)
        if found is None or file.segment is not None:
            grouped.setdefault(file.raw.name, []).append(((0, ""), file))
            continue
        # The higher the number, the older; the file that is still written to has none.
        place = (-int(found["number"] or 0), found["date"] or "~")
        grouped.setdefault(found["stem"], []).append((place, file))
    return [[file for _, file in sorted(members, key=lambda one: one[0])] for members in grouped.values()]


@dataclass(frozen=True, slots=True)
class Sources:
    """The open files of one question.

    Attributes:
        layout: Of the root.
        root: Where they lie; None where files were named.
        waiting: What was in no file yet.
        logs: Which logs were asked for.
        files: Their files, open.
    """

    layout: Layout
    root: Path | None
    waiting: Waiting
    logs: list[Log]
    files: list[LogFile]


def open_sources(
    layout: Layout,
    files: Files | None,
    scope: StatsScope,
    kinds: Sequence[LogKind],
    stack: ExitStack,
) -> Sources:
    """Open the files of a question.

    Args:
        layout: Of the root.
        files: Files to read instead of a root.
        scope: Whose logs; does not matter where files are named.
        kinds: Which logs of a root.
        stack: Closes them.

    Raises:
        NotFoundError: `ROOT_NOT_FOUND` or `PROJECT_NOT_FOUND`.
        FileSystemError: `LOG_READ_ERROR`.
    """
    root = layout.root if files is None else None
    # Before the files are opened: a line that is written in between is then in both, and counted once.
    waiting = find_waiting(root)
    logs = list_logs(layout, scope, kinds, waiting) if files is None else named_logs(files, stack)
    return Sources(layout, root, waiting, logs, open_logs(logs, stack, waiting=waiting))


def list_logs(layout: Layout, scope: StatsScope, kinds: Sequence[LogKind], waiting: Waiting) -> list[Log]:
    """List the logs of a scope, those included that have no file.

    Args:
        layout: Of the root.
        scope: Whose.
        kinds: Which; the system log belongs to no project.
        waiting: What is in no file yet: a project may have nothing else.

    Raises:
        NotFoundError: `ROOT_NOT_FOUND` or `PROJECT_NOT_FOUND`.
    """
    if not layout.root.is_dir():
        raise root_not_found(layout)
    project = scope.project_id
    folders = project_folders(layout, waiting) if project is None else [layout.project_dir(project)]
    if (
        project is not None
        and not folders[0].is_dir()
        and folders[0] not in waiting_projects(layout, waiting)
    ):
        raise NotFoundError(
            f"project {project!r}: nothing of it under {layout.root} (expected {folders[0]}); {layout.why}",
            code=ErrorCode.PROJECT_NOT_FOUND,
        )
    paths = [layout.path(LogKind.SYSTEM)] if LogKind.SYSTEM in kinds and project is None else []
    for folder in folders:
        paths += [folder / "logs" / f"{kind.value}.jsonl" for kind in kinds if kind not in _ELSEWHERE]
        if LogKind.CHAT in kinds:
            chats = waiting.logs_in(folder / "chats") | set(active_logs(folder / "chats"))
            only = None if scope.chat_id is None else layout.path(LogKind.CHAT, project, scope.chat_id)
            paths += [path for path in sorted(chats) if only in {None, path}]
    return [Log(path.relative_to(layout.root).as_posix(), path) for path in paths]


def project_folders(layout: Layout, waiting: Waiting) -> list[Path]:
    """List the folders of all projects, those included of which every line is still to be written."""
    projects = layout.projects_dir
    there = {path for path in projects.iterdir() if path.is_dir()} if projects.is_dir() else set()
    return sorted(there | waiting_projects(layout, waiting))


def waiting_projects(layout: Layout, waiting: Waiting) -> set[Path]:
    """Return the folders of projects that lines are still to be written to."""
    return {
        folder
        for name in waiting.lines
        for folder in Path(name).parents
        if folder.parent == layout.projects_dir
    }


def anything_logged(scope: StatsScope, root: str | os.PathLike[str] | None) -> bool:
    """Say whether the request logs of a scope hold anything at all.

    Raises:
        NotFoundError: `ROOT_NOT_FOUND` or `PROJECT_NOT_FOUND`.
    """
    with ExitStack() as stack:
        sources = open_sources(reading_layout(root), None, scope, [LogKind.REQUESTS], stack)
        return any(file.size for file in sources.files)


def named_logs(files: Files, stack: ExitStack) -> list[Log]:
    """List the logs among files that were named; segments of one log belong together, also those of several hosts.

    Args:
        files: Paths, patterns with `*`, folders, or open streams of lines.
        stack: Closes what had to be copied.

    Raises:
        FileSystemError: `LOG_READ_ERROR`, where a name fits no file.
    """
    if isinstance(files, (str, os.PathLike)) or hasattr(files, "read"):
        files = [files]  # type: ignore[list-item]  # a stream is a name of itself
    grouped: dict[str, dict[Path, tuple[Path, str]]] = {}
    streams: Counter[str] = Counter()
    for given in files:
        if not isinstance(given, (str, os.PathLike)) and not hasattr(given, "read"):
            expect("files", given, (), "paths, patterns, folders or open streams")
        if isinstance(given, (str, os.PathLike)):
            for path in _expanded(os.fspath(given)):
                segment = parse_segment_name(path)
                name = str(path.parent / f"{segment.stem}.jsonl") if segment is not None else str(path)
                name = _HOST.sub("", name)
                grouped.setdefault(name, {})[Path(os.path.realpath(path))] = path, str(path)
        else:
            copy = _copied(given, stack)
            name = str(getattr(given, "name", None) or "<stream>")
            streams[name] += 1
            # Lines without an id are told apart by this name, so two streams of one name have two.
            label = name if streams[name] == 1 else f"{name} ({streams[name]})"
            grouped.setdefault(name, {})[copy] = copy, label
    return [
        Log(
            name, None, tuple(path for path, _ in files.values()), tuple(label for _, label in files.values())
        )
        for name, files in grouped.items()
    ]


def _expanded(name: str) -> Iterator[Path]:
    path = Path(name)
    if path.is_dir():
        found = sorted(item for item in path.iterdir() if item.is_file() and ".jsonl" in item.name)
    elif path.exists():
        found = [path]
    else:
        found = sorted(Path(item) for item in glob.glob(name, recursive=True) if Path(item).is_file())  # noqa: PTH207  patterns may be absolute
    if not found:
        raise FileSystemError(
            f"{name}: expected a file, a folder or a pattern that fits some, found nothing",
            code=ErrorCode.LOG_READ_ERROR,
            filename=name,
        )
    yield from found


def _copied(stream: IO[Any], stack: ExitStack) -> Path:
    first = stream.read(1 << 20)
    # A stream has no name that shows its compression.
    suffix = next(
        (name for magic, name in _MAGIC.items() if isinstance(first, bytes) and first.startswith(magic)), ""
    )
    copy = stack.enter_context(tempfile.NamedTemporaryFile(suffix=f".jsonl{suffix}"))  # noqa: SIM115  the stack closes it
    while first:
        copy.write(first.encode("utf-8", "surrogatepass") if isinstance(first, str) else first)
        first = stream.read(1 << 20)
    copy.flush()
    return Path(copy.name)


def open_logs(logs: Sequence[Log], stack: ExitStack, *, waiting: Waiting | None = None) -> list[LogFile]:
    """Open every file of the logs, each log as it is at one moment.

    Args:
        logs: See `scope_logs` and `named_logs`.
        stack: Closes them.
        waiting: What was not in the files a moment ago; opened as files of their own, after the others.

    Raises:
        FileSystemError: `LOG_READ_ERROR`.
    """
    _allow_descriptors(stack)
    folders: dict[Path, dict[str, Log]] = {}
    for log in logs:
        if log.active is not None:
            folders.setdefault(log.active.parent, {})[log.active.name.removesuffix(".jsonl")] = log
    found: dict[Log, list[LogFile]] = {}
    for folder, named in folders.items():
        found.update(_open_folder(folder, named, stack))
    opened: list[LogFile] = []
    for log in dict.fromkeys(logs):
        if log.active is not None:
            opened.extend(found[log])
            continue
        opened.extend(
            _open_file(path, log, parse_segment_name(path), stack, label)
            for path, label in zip(log.paths, log.labels, strict=True)
        )
    return [*opened, *_waiting_files(opened, logs, waiting, stack)] if waiting is not None else opened


def _waiting_files(
    files: Sequence[LogFile], logs: Sequence[Log], waiting: Waiting, stack: ExitStack
) -> list[LogFile]:
    opened = []
    for log in logs:
        lines = waiting.lines.get(str(log.active))
        for file in reversed([file for file in files if file.log == log] if lines else []):
            # Those that were written in the meantime stand at the end of the active file, or of one that was rotated since.
            if file.is_active or file.mtime_ns >= waiting.since_ns - _CLOCKS_DIFFER_NS:
                there = _last_lines_of(file)
                lines = [line for line in lines or () if line not in there]
        if lines:
            copy = stack.enter_context(tempfile.NamedTemporaryFile(suffix=".jsonl"))  # noqa: SIM115  the stack closes it
            copy.writelines(lines)
            copy.flush()
            opened.append(
                _open_file(Path(copy.name), log, None, stack, f"{log.active} (still to be written)")
            )
    return opened


def _last_lines_of(file: LogFile) -> set[bytes]:
    if file.raw.compression is None or file.segment is None:
        start = max(0, file.size - _WRITTEN_MEANWHILE)
        return set(os.pread(file.descriptor, file.size - start, start).splitlines(keepends=True))
    with suppress(OSError, EOFError), open_segment(file.segment.path) as stream:
        return set(stream.read().splitlines(keepends=True))
    return set()


def _allow_descriptors(stack: ExitStack) -> None:
    """Let this process hold as many files open as the system allows it, for a while; a long history has many segments."""
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536), hard))
            stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))


def _open_folder(folder: Path, named: Mapping[str, Log], stack: ExitStack) -> dict[Log, list[LogFile]]:
    """Open every file of some logs of one folder, each log as it is at one moment.

    A segment that is renamed while the folder is listed can be missing in that listing, not in the next one. So the files of a log
    are complete once a listing that was begun after they were opened names no other segment, and its active file still is the one
    that is open. A segment that got its next name or was pruned in between changes nothing: it is open.

    Args:
        folder: Theirs.
        named: The logs, by their stems.
        stack: Closes the files.
    """
    found: dict[Log, list[LogFile]] = {}
    held: dict[str, dict[_Place, LogFile]] = {stem: {} for stem in named}
    listed = scan_segments(folder, held)
    for _ in range(_RETRIES):
        for stem, files in held.items():
            for segment in listed[stem]:
                if _place(segment) not in files:
                    try:
                        files[_place(segment)] = _open_file(segment.path, named[stem], segment, stack)
                    except FileSystemError as error:
                        if not isinstance(error.__cause__, FileNotFoundError):
                            raise
        listed = scan_segments(folder, held)
        for stem in [stem for stem, files in held.items() if _is_complete(files, listed[stem])]:
            files = held.pop(stem)
            segments = [file.segment for file in files.values() if file.segment is not None]
            found[named[stem]] = [files[_place(segment)] for segment in newest_forms(segments)]
        if not held:
            return found
    active = folder / f"{next(iter(held))}.jsonl"
    raise FileSystemError(
        f"{active}: expected a listing that stays the same while its files are opened, it changed {_RETRIES} times",
        code=ErrorCode.LOG_READ_ERROR,
        filename=str(active),
    )


def _place(segment: Segment) -> _Place:
    return segment.key, segment.generation, segment.active


def _is_complete(files: dict[_Place, LogFile], listed: Sequence[Segment]) -> bool:
    """Say whether the open files of a log are all that it has; close an active file that has been rotated."""
    complete = all(_place(segment) in files for segment in listed)
    active = next(((place, file) for place, file in files.items() if place[2]), None)
    if active is None:
        return complete
    place, file = active
    with suppress(FileNotFoundError):
        if file.log.active is not None and file.log.active.stat().st_ino == file.inode:
            return complete
    del files[place]
    return False


def _open_file(
    path: Path, log: Log, segment: Segment | None, stack: ExitStack, label: str | None = None
) -> LogFile:
    try:
        handle = stack.enter_context(path.open("rb"))
    except OSError as error:
        raise FileSystemError(
            f"reading {path}: {error.strerror}",
            code=ErrorCode.LOG_READ_ERROR,
            errno=error.errno,
            filename=str(path),
        ) from error
    status = os.fstat(handle.fileno())
    compression = {".gz": "gz", ".zst": "zst", ".parquet": "parquet"}.get(path.suffix)
    readable = Path(f"/proc/self/fd/{handle.fileno()}") if _BY_DESCRIPTOR else path
    return LogFile(
        raw=RawFile(readable, label if label is not None else str(path), compression),
        log=log,
        segment=segment,
        descriptor=handle.fileno(),
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        ctime_ns=status.st_ctime_ns,
        inode=status.st_ino,
    )
