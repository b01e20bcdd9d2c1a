"""Looking after a root: what is broken, missing, too open or too full.

Nothing is changed. A finding is `ok`, a `warning` (worth knowing, nothing is lost) or a `problem` (something is lost
or will be). Every log is read line by line, in bounded memory.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from ..errors import ConfigurationError, FileSystemError
from ..files.integer_ranges import Ranges
from ..files.lines import WRITER, Line, blocks, read_lines, split_lines
from ..files.segments import active_logs, at_one_moment, list_segments, newest_forms
from .manifest import manifest_path, read_pruned

__all__ = [
    "Finding",
    "LogReport",
    "check_cache",
    "check_disk",
    "check_leftovers",
    "check_lines",
    "check_log",
    "check_modes",
    "check_packages",
    "check_spools",
    "logs_under",
]

State = Literal["ok", "warning", "problem"]

_LEFTOVER_AGE: Final = 3600.0
_LOW_DISK: Final = 0.05
_LITTLE: Final = 256 * 1024 * 1024
_NAMED: Final = 5
_LOOKS: Final = 20
_PAUSE: Final = 0.05


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: Which check, in a word.
        state: `ok`, `warning` or `problem`.
        text: What was found, in a sentence.
        path: Where, relative to the root.
    """

    check: str
    state: State
    text: str
    path: str | None = None


@dataclass(slots=True)
class LogReport:
    """What one log holds.

    Attributes:
        name: The log, relative to the root.
        lines: How many lines that are not blank.
        bad: Lines that cannot be used, by reason.
        places: Where the first few of them are.
        repeated: Lines that are there twice, by writer and number.
        writers: Which numbers are there, by writer.
        unreadable: Files that cannot be read to their end, and why.
    """

    name: str
    lines: int = 0
    bad: Counter[str] = field(default_factory=Counter)
    places: list[str] = field(default_factory=list)
    repeated: int = 0
    writers: dict[str, Ranges] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)

    def findings(self, pruned: Callable[[str], Ranges] = lambda _writer: Ranges()) -> Iterator[Finding]:
        """Say what is wrong with the log; nothing where it is whole.

        Args:
            pruned: Gives the numbers of a writer that were removed on purpose.
        """
        if self.bad:
            reasons = ", ".join(f"{n:,} {reason}" for reason, n in self.bad.most_common())
            places = "; first at " + ", ".join(self.places)
            yield Finding("lines", "problem", f"lines that cannot be read: {reasons}{places}", self.name)
        for path, reason in self.unreadable.items():
            yield Finding("files", "problem", f"cannot be read to its end: {reason}", path)
        for writer, ranges in self.writers.items():
            gaps = ranges.joined(pruned(writer)).gaps()
            if gaps:
                missing = sum(last - first + 1 for first, last in gaps)
                shown = ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in gaps[:_NAMED])
                more = " ..." if len(gaps) > _NAMED else ""
                text = f"{missing:,} lines of writer {writer} are missing: {shown}{more}"
                yield Finding("sequence", "problem", text, self.name)
        if self.repeated:
            yield Finding("sequence", "warning", f"{self.repeated:,} lines are there twice", self.name)


def logs_under(root: Path) -> Iterator[Path]:
    """Yield the active file of every log of every kind under a root."""
    yield from active_logs(root / "logs")
    projects = root / "projects"
    try:
        folders = sorted(path for path in projects.iterdir() if path.is_dir())
    except OSError:
        return
    for folder in folders:
        yield from active_logs(folder / "logs")
        yield from active_logs(folder / "chats")


def check_log(active: Path, root: Path) -> LogReport:
    """Read every line of a log.

    Args:
        active: Its active file.
        root: What names are relative to.
    """
    report = LogReport(_relative(active, root))
    with contextlib.ExitStack() as stack:
        for segment, file in at_one_moment(active, stack):
            try:
                lines = read_lines(segment.path) if file is None else split_lines(blocks(file))
                _check_segment(lines, _relative(segment.path, root), report)
            except (FileSystemError, ConfigurationError) as error:
                # It may have been pruned since it was listed.
                if not isinstance(error.__cause__, FileNotFoundError) or segment.path.is_symlink():
                    report.unreadable[_relative(segment.path, root)] = str(error)
    return report


def _check_segment(lines: Iterable[Line], name: str, report: LogReport) -> None:
    for line in lines:
        if line.problem in {"damaged", "swollen"}:
            report.unreadable[name] = f"{line.problem} from byte {line.offset:,} on (uncompressed)"
            continue
        if not line.size or (line.problem is None and not line.data.strip()):
            continue
        report.lines += 1
        reason = line.problem or _reason(line.data, finished=line.finished)
        if reason is not None:
            report.bad[reason.replace("_", " ")] += 1
            if len(report.places) < _NAMED:
                report.places.append(f"{name}:{line.offset}")
            continue
        match = WRITER.search(line.data)
        if match is not None:
            writer = match[1].decode("utf-8", "replace")
            if not report.writers.setdefault(writer, Ranges()).add(int(match[2])):
                report.repeated += 1


def _reason(data: bytes, *, finished: bool) -> str | None:
    try:
        value: Any = json.loads(data)
    except RecursionError:
        return "too deep"
    except ValueError:
        if data.strip(b"\0") == b"":
            return "nul bytes"
        if b"\0" in data:
            return "binary"
        return "torn" if not finished or data.lstrip()[:1] == b"{" else "not JSON"
    return None if isinstance(value, dict) else "not an object"


def check_modes(root: Path, *, folder_mode: int = 0o700, file_mode: int = 0o600) -> list[Finding]:
    """Look for what others on this machine may read, and for links that lead out of the root.

    Args:
        root: Of the logs.
        folder_mode: The most that a folder should allow.
        file_mode: The most that a file should allow.
    """
    found: list[Finding] = []
    open_ones: list[str] = []
    count = 0
    for path in _walk(root):
        try:
            status = path.lstat()
        except OSError:
            continue
        count += 1
        if stat.S_ISLNK(status.st_mode):
            try:
                target = path.resolve()
            except (OSError, RuntimeError):
                found.append(Finding("permissions", "problem", "is a link to itself", _relative(path, root)))
                continue
            if not target.is_relative_to(root.resolve()):
                text = f"is a link that leads out of the root, to {target}"
                found.append(Finding("permissions", "problem", text, _relative(path, root)))
            continue
        allowed = folder_mode if stat.S_ISDIR(status.st_mode) else file_mode
        if stat.S_IMODE(status.st_mode) & ~allowed & 0o077:
            open_ones.append(_relative(path, root))
        if not os.access(path, os.R_OK):
            found.append(
                Finding("permissions", "problem", "cannot be read by this user", _relative(path, root))
            )
    if open_ones:
        shown = ", ".join(open_ones[:_NAMED]) + (" ..." if len(open_ones) > _NAMED else "")
        text = f"{len(open_ones):,} files and folders are open to other users: {shown}"
        found.append(Finding("permissions", "warning", text))
    return found or [Finding("permissions", "ok", f"{count:,} files and folders, private to their owner")]


def check_disk(root: Path) -> list[Finding]:
    """Say how much the logs hold and how much the disk has left."""
    held = 0
    for path in _walk(root):
        try:
            # A ring has its full length from the beginning, and blocks only for what it needed.
            info = path.lstat()
            if path.is_file():
                held += min(info.st_size, info.st_blocks * 512) if path.suffix == ".ring" else info.st_size
        except OSError:
            continue
    usage = shutil.disk_usage(root)
    low = usage.free < _LITTLE or usage.free < usage.total * _LOW_DISK
    text = f"{_size(held)} of logs; {_size(usage.free)} of {_size(usage.total)} are free"
    return [Finding("disk", "problem" if usage.free < _LITTLE else "warning" if low else "ok", text)]


def check_leftovers(root: Path, now: float) -> list[Finding]:
    """Look for what an interrupted rotation or compression left behind.

    Args:
        root: Of the logs.
        now: Seconds since 1970.
    """
    found = []
    for active in logs_under(root):
        found += [
            Finding(
                "leftovers",
                "warning",
                "is replaced by another file of the same segment",
                _relative(path, root),
            )
            for path in _superseded(active)
        ]
    for path in _walk(root):
        if path.name.startswith(".") and path.name.endswith((".tmp", ".part")):
            try:
                old = now - path.lstat().st_mtime > _LEFTOVER_AGE
            except OSError:
                continue
            if old:
                found.append(
                    Finding("leftovers", "warning", "is an unfinished temporary file", _relative(path, root))
                )
    return found or [Finding("leftovers", "ok", "nothing is left of interrupted work")]


def _superseded(active: Path) -> list[Path]:
    """Return files that others of their segments replace, and that stay: compressing has both for a moment."""

    def look() -> list[Path]:
        segments = list_segments(active, superseded=True)
        current = {segment.path for segment in newest_forms(segments)}
        return [segment.path for segment in segments if segment.path not in current]

    found = look()
    for _ in range(_LOOKS):
        if not found:
            break
        time.sleep(_PAUSE)
        last, found = found, look()
        found = [path for path in found if path in last]
        if found == last:
            break
    return found


def _walk(root: Path) -> Iterator[Path]:
    yield root
    for folder, folders, names in os.walk(root):
        for name in sorted((*folders, *names)):
            yield Path(folder, name)


def _relative(path: Path, root: Path) -> str:
    try:
        return path.relative_to(root).as_posix()
    except ValueError:
        return str(path)


def _size(value: int) -> str:
    number = float(value)
    for unit in ("B", "kB", "MB", "GB"):
        if number < 999.5:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} TB"


def check_lines(root: Path) -> Iterator[Finding]:
    """Read every line of every log under a root, and say what is wrong with each log."""
    lines = logs = 0
    whole = True
    for active in logs_under(root):
        report = check_log(active, root)
        logs += 1
        lines += report.lines
        for finding in report.findings(_pruned_by(active)):
            whole = whole and finding.state != "problem"
            yield finding
    if whole:
        yield Finding("lines", "ok", f"{lines:,} lines in {logs:,} logs, none torn and none missing")


def _pruned_by(active: Path) -> Callable[[str], Ranges]:
    """Return which numbers of a writer were removed on purpose, as the log's manifest says."""
    removed: dict[str, Ranges] = {}
    for name, spans in read_pruned(manifest_path(active)).items():
        ranges = removed.setdefault(name, Ranges())
        for first, last in spans:
            ranges.add_span(first, last)
    return lambda writer: removed.get(writer, Ranges())


def check_packages(root: Path) -> list[Finding]:
    """Say which versions are in use, and what is missing for what lies under a root."""
    import sys
    from importlib.metadata import PackageNotFoundError, version

    found = []
    names = ("llm-logging", "duckdb", "genai-prices", "concurrent-log-handler", "pydantic")
    versions = [f"Python {sys.version.split()[0]}"]
    missing = []
    for name in names:
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    found.append(
        Finding("packages", "warning" if set(missing) - {"llm-logging"} else "ok", ", ".join(versions))
    )
    if any(segment.compression == "zst" for active in logs_under(root) for segment in list_segments(active)):
        from importlib.util import find_spec

        if sys.version_info < (3, 14) and find_spec("backports.zstd") is None:
            text = "segments are packed with zstd; some checks need `pip install 'llm-logging[zstd]'`"
            found.append(Finding("packages", "warning", text))
    return found


def check_spools(root: Path) -> list[Finding]:
    """Look for lines that a killed process left in its buffer, and for buffers whose root is gone or not mounted."""
    from ..files.spool.discovery import dead_rings, home_of, is_gone, orphans

    found = []
    for ring in orphans(root):
        try:
            held, home = sum(not record.done for record in ring.records()), home_of(ring)
            gone = home is not None and is_gone(ring, home)
        except OSError:
            continue
        finally:
            ring.close(remove=False)
        if held and not gone:
            text = (
                f"{held:,} lines of a process that is gone wait for {home or 'a root that it does not name'}"
            )
            found.append(Finding("spools", "warning", text, str(ring.path)))
    waiting = rings = 0
    for ring in dead_rings(root):
        try:
            held = sum(not record.done for record in ring.records())
            rings += held > 0
            waiting += held
        finally:
            ring.close(remove=False)
    if not rings:
        text = f"no line waits in the buffer of a process that is gone; new ones lie in {_place(root)}"
        return [*found, Finding("spools", "ok", text)]
    text = (
        f"{waiting:,} lines wait in the buffers of {rings:,} processes that are gone; "
        "the next process that logs to this root writes them"
    )
    return [*found, Finding("spools", "warning", text)]


def _place(root: Path) -> str:
    from ..files.spool.places import places_for

    place = next(iter(places_for(root, "auto")), None)
    if place is None:
        return "plain memory, which a killed process loses"
    survives = "a restart of the container or the machine loses" if place.shared else "a restart keeps"
    return f"{place.folder}, which {survives}; what a power cut costs is what `fsync` says"


def check_cache(folder: Path) -> list[Finding]:
    """Say how much a cache of parsed segments holds, and whether it can be used.

    Args:
        folder: Of the cache.
    """
    held = files = 0
    for path in _walk(folder):
        if path.is_file():
            held += path.lstat().st_size
            files += 1
    found = [Finding("cache", "ok", f"{_size(held)} in {files:,} files, {folder}")]
    if not os.access(folder, os.W_OK):
        found.append(
            Finding(
                "cache",
                "warning",
                "cannot be written by this user: segments are parsed each time",
                str(folder),
            )
        )
    elif stat.S_IMODE(folder.stat().st_mode) & 0o077:
        found.append(Finding("cache", "warning", "is open to other users", str(folder)))
    return found
