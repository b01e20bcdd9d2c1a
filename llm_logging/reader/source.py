"""Which files a question reads: the request logs of its scope, or the files that were named.

Files are opened before they are read and listed again after: a rotation or a compression in between shows as a
different listing, and the listing starts over. What is open stays readable, so nothing is missed and nothing is read
twice.
"""

from __future__ import annotations

import glob
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from ..errors import ErrorCode, FileSystemError, NotFoundError
from ..files.layout import Layout, LogKind
from ..files.segments import Segment, list_segments, parse_segment_name
from ..files.spools import dead_lines
from ..question import StatsScope
from .arguments import Files, expect, reading_layout
from .raw import RawFile

__all__ = [
    "Files",
    "Log",
    "LogFile",
    "anything_logged",
    "open_logs",
    "root_not_found",
    "scope_logs",
    "waiting_lines",
]


_RETRIES: Final = 100
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
        ctime_ns: The same as the system keeps it, which nobody can set back.
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


def root_not_found(layout: Layout) -> NotFoundError:
    """Return the error for a root that is not there: where it was looked for, and why there."""
    return NotFoundError(
        f"{layout.root}: expected the folder of the logs, found none ({layout.why}); configure an LLMFileHandler with this "
        "root, or name another by root= or LLM_LOGGING_ROOT",
        code=ErrorCode.ROOT_NOT_FOUND,
    )


def scope_logs(scope: StatsScope, layout: Layout) -> list[Log]:
    """List the request logs of a scope.

    Raises:
        NotFoundError: `ROOT_NOT_FOUND` or `PROJECT_NOT_FOUND`.
    """
    if not layout.root.is_dir():
        raise root_not_found(layout)
    if scope.project_id is not None:
        folders = [layout.project_dir(scope.project_id)]
        if not folders[0].is_dir():
            raise NotFoundError(
                f"project {scope.project_id!r}: nothing of it under {layout.root} (expected {folders[0]}); {layout.why}",
                code=ErrorCode.PROJECT_NOT_FOUND,
            )
    else:
        projects = layout.projects_dir
        folders = sorted(path for path in projects.iterdir() if path.is_dir()) if projects.is_dir() else []
    logs = [folder / "logs" / f"{LogKind.REQUESTS.value}.jsonl" for folder in folders]
    return [Log(active.relative_to(layout.root).as_posix(), active) for active in logs]


def anything_logged(scope: StatsScope, root: str | os.PathLike[str] | None) -> bool:
    """Say whether the request logs of a scope hold anything at all.

    Raises:
        NotFoundError: `ROOT_NOT_FOUND` or `PROJECT_NOT_FOUND`.
    """
    with ExitStack() as stack:
        return any(file.size for file in open_logs(scope_logs(scope, reading_layout(root)), stack))


def named_logs(files: Files, stack: ExitStack) -> list[Log]:
    """List the logs among files that were named; rotated segments of one log belong together.

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
    copy = stack.enter_context(tempfile.NamedTemporaryFile(suffix=".jsonl"))  # noqa: SIM115  the stack closes it
    first = stream.read(1 << 20)
    while first:
        copy.write(first.encode("utf-8", "surrogatepass") if isinstance(first, str) else first)
        first = stream.read(1 << 20)
    copy.flush()
    return Path(copy.name)


def open_logs(logs: Sequence[Log], stack: ExitStack) -> list[LogFile]:
    """Open every file of the logs, each log as it is at one moment.

    Args:
        logs: See `scope_logs` and `named_logs`.
        stack: Closes them.

    Raises:
        FileSystemError: `LOG_READ_ERROR`.
    """
    _allow_descriptors(stack)
    opened: list[LogFile] = []
    for log in logs:
        if log.active is None:
            opened.extend(
                _open_file(path, log, parse_segment_name(path), stack, label)
                for path, label in zip(log.paths, log.labels, strict=True)
            )
        else:
            opened.extend(_open_active(log, log.active, stack))
    return opened


def waiting_lines(logs: Sequence[Log], root: Path, stack: ExitStack) -> list[LogFile]:
    """Open, as files, the lines that killed processes left to be written to some of the logs.

    Call it before `open_logs`: what is written in between is then met twice, and counted once, instead of missed.

    Args:
        logs: See `scope_logs`.
        root: The folder of the logs.
        stack: Closes them.
    """
    waiting = dead_lines(root)
    opened = []
    for log in logs:
        lines = waiting.get(str(log.active))
        if lines:
            copy = stack.enter_context(tempfile.NamedTemporaryFile(suffix=".jsonl"))  # noqa: SIM115  the stack closes it
            copy.writelines(lines)
            copy.flush()
            opened.append(
                _open_file(Path(copy.name), log, None, stack, f"{log.active} (still to be written)")
            )
    return opened


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


def _open_active(log: Log, active: Path, stack: ExitStack) -> list[LogFile]:
    for _ in range(_RETRIES):
        with ExitStack() as attempt:
            segments = list_segments(active)
            try:
                files = [_open_file(segment.path, log, segment, attempt) for segment in segments]
            except FileSystemError as error:
                if isinstance(error.__cause__, FileNotFoundError):
                    continue
                raise
            if _same_files(files, list_segments(active)):
                stack.push(attempt.pop_all())
                return files
    raise FileSystemError(
        f"{active}: expected a listing that stays the same while its files are opened, it changed {_RETRIES} times",
        code=ErrorCode.LOG_READ_ERROR,
        filename=str(active),
    )


def _same_files(files: Sequence[LogFile], segments: Sequence[Segment]) -> bool:
    if [file.segment for file in files] != list(segments):
        return False
    last = files[-1] if files else None
    if last is None or last.segment is None or not last.segment.active:
        return True
    try:
        return last.segment.path.stat().st_ino == last.inode
    except FileNotFoundError:
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
    compression = {".gz": "gz", ".zst": "zst"}.get(path.suffix)
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
