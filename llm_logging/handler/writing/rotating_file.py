"""Append whole lines to one file that several processes share, and rotate it.

The only module that touches concurrent-log-handler. Invariants: everything here happens under that library's lock on
the file's lock file; a batch is one `O_APPEND` write of whole lines; a torn write is truncated, or
repaired by the next process that appends; a file exceeds `max_bytes` only where a single line does; a sealed segment gets its final name by
one rename, which replaces nothing, and is never written again. Compressing, sealing and pruning happen elsewhere, outside the lock.

Private names of concurrent-log-handler 0.9.31 in use, held by a contract test: `_do_lock`, `_do_unlock`,
`_lock_stream_lock`, `_open_lockfile`, `_close`, `_thread_lock`, `is_locked`, `stream_lock`, `lockFilename`,
`getLockFilename`, `maxLockAttempts`, `num_rollovers`.
"""

from __future__ import annotations

import contextlib
import copy
import errno
import io
import json
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from concurrent_log_handler import ConcurrentRotatingFileHandler
from portalocker import LOCK_EX, LOCK_NB, lock

from ...files.safe_open import open_private
from ...files.segments import list_segments
from ...maintenance.sealing import lock_name, noted_name, seal_active
from ...runtime.threads import pause
from .rotation_interval import Interval

__all__ = ["AppendFile", "FileOptions", "LockHeldError", "why_unwritable"]

_LONGEST_WHOLE = 64 << 20
_CHUNK = 1 << 20
_SAY_EVERY = 60.0
_LOCK_SECONDS = 2.0

Notice = Callable[[str, str, dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class FileOptions:
    """How files are made and rotated.

    Attributes:
        max_bytes: Seal a file before a line that would make it larger; 0 never.
        interval: Seal a file when its period is over; None never.
        file_mode: Permissions of new files.
        dir_mode: Permissions of new folders.
        owner: User and group id of new files; None leaves them.
        umask: Taken off both modes.
        fsync: `never`, `batch` (each write) or `rotate` (a file that is sealed).
        root: The folder whose subfolders must be no links of others; see `open_private`.
        lock_seconds: How long to wait for the lock of a file before the batch is tried again later.
    """

    max_bytes: int = 0
    interval: Interval | None = None
    file_mode: int = 0o600
    dir_mode: int = 0o700
    owner: tuple[int, int] | None = None
    umask: int = 0
    fsync: str = "rotate"
    lock_seconds: float = _LOCK_SECONDS
    root: str = ""


class LockHeldError(OSError):
    """Another process holds the lock of a file."""


class _NoLock:
    """Stands for concurrent-log-handler's lock between threads: one thread drains at a time, and files are its own.

    A lock could be left held by an exception that a signal raises.
    """

    def acquire(self, blocking: bool = True) -> bool:  # noqa: ARG002  a lock's own argument
        return True

    def release(self) -> None:
        pass


class _OwnFile(io.FileIO):
    """An open file that closes its descriptor only while that is its own.

    A program that becomes a daemon closes every descriptor there is; what it opens next may get this one's number.
    """

    def __init__(self, fd: int) -> None:
        super().__init__(fd, "r+", closefd=False)
        self.identity = _identity(os.fstat(fd))

    def close(self) -> None:
        if self.closed:
            return
        fd, own = self.fileno(), False
        with contextlib.suppress(OSError):
            own = _identity(os.fstat(fd)) == self.identity
        super().close()
        if own:
            os.close(fd)


def _identity(info: os.stat_result) -> tuple[int, int]:
    return info.st_dev, info.st_ino


class AppendFile(ConcurrentRotatingFileHandler):
    """One log file, open for appending.

    Args:
        path: The active file.
        options: How it is made and rotated.
        sealed: Called under the lock with the active file and the segment just sealed; must be quick.
        notice: Called with an event type, a message and data when something is to be said.
        now: The time of day in seconds since 1970.
    """

    def __init__(
        self,
        path: str,
        options: FileOptions,
        *,
        sealed: Callable[[Path, Path], None],
        notice: Notice,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(path, maxBytes=0, encoding="utf-8", keep_file_open=True)
        self.maxLockAttempts = 1
        self._options = options
        self._sealed = sealed
        self._notice = notice
        self._now = now
        self._known_size = -1
        self._identity = self._lock_identity = (0, 0)
        self._become(path)

    def of(self, path: str) -> AppendFile:
        """Return another file of the same settings, unknown to `logging` and without taking any lock of its."""
        other = copy.copy(self)
        other._become(path)  # noqa: SLF001  the same class
        return other

    def _become(self, path: str) -> None:
        self.baseFilename = os.path.abspath(path)
        self.lockFilename = os.fspath(lock_name(Path(self.baseFilename)))
        self._thread_lock: Any = _NoLock()
        self.lock_seconds = self._options.lock_seconds
        self._name_when_opened: tuple[str, int] | None = None
        self._failure_said = -_SAY_EVERY

    # -- what concurrent-log-handler calls ------------------------------------------------------------------------------

    def do_open(self, mode: str | None = None) -> Any:  # noqa: ARG002  the base class's signature
        """Open the file for appending, with its folder and mode; refuse a link that another user planted."""
        fd = self._open_private(self.baseFilename, os.O_RDWR | os.O_APPEND)
        self._known_size = -1
        # Not `open`, which imports: a finaliser that logs while the interpreter goes down comes here too.
        file = _OwnFile(fd)
        self._identity = file.identity
        return file

    def atomic_open(self, file_path: str) -> Any:
        """Open the lock file, with its folder and mode."""
        file = _OwnFile(self._open_private(file_path, os.O_RDWR))
        self._lock_identity = file.identity
        return file

    def _open_private(self, path: str, flags: int) -> int:
        mode = self._options.file_mode & ~self._options.umask
        for _ in range(3):
            try:
                fd = open_private(path, flags, mode, self._options.root)
            except FileNotFoundError:
                make_folder(Path(path).parent, self._options)
                continue
            self._adjust(fd, mode, os.fstat(fd))
            return fd
        raise FileNotFoundError(errno.ENOENT, "the folder vanishes as fast as it is made", path)

    def _adjust(self, fd: int, mode: int, info: os.stat_result) -> None:
        """Give a file that was just made its owner, and the mode that the process's umask may have narrowed."""
        if info.st_size or info.st_uid != os.geteuid():
            return
        if stat.S_IMODE(info.st_mode) != mode:
            with contextlib.suppress(OSError):
                os.fchmod(fd, mode)
        if self._options.owner is not None and hasattr(os, "fchown"):
            with contextlib.suppress(OSError):
                os.fchown(fd, *self._options.owner)

    def _lock_stream_lock(self, stream_lock: Any) -> None:
        """Take the lock, waiting for another holder at most `lock_seconds`."""
        deadline = time.monotonic() + self.lock_seconds
        nap = 0.0002
        while True:
            try:
                lock(stream_lock, LOCK_EX | LOCK_NB)
            except Exception:
                if time.monotonic() >= deadline:
                    raise
                pause(nap)
                nap = min(nap * 1.5, 0.01)
            else:
                return

    # -- appending ------------------------------------------------------------------------------------------------------

    def append(
        self, data: bytes, before: Callable[[int, int, int, int], None] | None = None
    ) -> tuple[int, OSError | None]:
        """Append whole lines, rotating where they call for it.

        Args:
            data: Lines, each with its line end.
            before: Called before each write with device, inode, size before, and how many bytes of `data` are in the file.

        Returns:
            How many bytes are in the file now, whole lines always, and why not more.
        """
        written = 0
        try:
            self._take_lock()
        except OSError as error:
            return 0, error
        try:
            while written < len(data):
                written += self._write_some(data, written, before)
        except OSError as error:
            return written + getattr(error, "bytes_written", 0), error
        finally:
            self._do_unlock()
        return written, None

    def _take_lock(self) -> None:
        """Lock, and make sure that the lock file is the one that others would lock, and the descriptors are ours."""
        for _ in range(5):
            try:
                self._do_lock()
            except RuntimeError as error:
                text = f"lock not free within {self.lock_seconds:g} s: {error}"
                raise LockHeldError(errno.ETIMEDOUT, text, self.lockFilename) from None
            assert self.stream_lock is not None
            ours = False
            with contextlib.suppress(OSError):
                info = os.fstat(self.stream_lock.fileno())
                ours = _identity(info) == self._lock_identity
                if ours and info.st_nlink:
                    return
            self._unlock_lost()
            if not ours:
                # Who closed the lock file's descriptor has closed the log's too, perhaps.
                self._close()
        raise OSError(errno.EAGAIN, "the lock file is removed as fast as it is made", self.lockFilename)

    def _unlock_lost(self) -> None:
        """Let go of a lock file that others would not lock."""
        with contextlib.suppress(Exception):
            self._do_unlock()
        self.is_locked = False
        if self.stream_lock is not None:
            self.stream_lock.close()
            self.stream_lock = None

    def _check_lock(self) -> None:
        """Take the lock anew where its file was moved, together with the log's folder."""
        try:
            if _identity(os.stat(self.lockFilename)) == self._lock_identity:
                return
        except FileNotFoundError:
            pass
        self._unlock_lost()
        self._take_lock()

    def _write_some(
        self, data: bytes, start: int, before: Callable[[int, int, int, int], None] | None
    ) -> int:
        info = self._current()
        assert self.stream is not None
        fd, size = self.stream.fileno(), info.st_size
        if size != self._known_size:
            size = self._meet(fd, size)
        room = max(0, self._options.max_bytes - size) if self._options.max_bytes else len(data)
        stop = len(data) if room >= len(data) - start else data.rfind(b"\n", start, start + room) + 1
        if stop <= start:
            # Not even one line fits.
            stop = data.index(b"\n", start) + 1
            full = True
        else:
            full = False
        if size and (full or self._period_over(info)) and self._roll():
            return 0
        if before is not None:
            before(info.st_dev, info.st_ino, size, start)
        self._write(fd, size, data[start:stop] if stop - start < len(data) else data)
        self._known_size = size + stop - start
        return stop - start

    def _current(self) -> os.stat_result:
        """Open the file that has the name now, if it is not the open one; return what the system knows of it.

        One system call where nothing has changed: each lets go of the interpreter's lock, and getting that back from busy
        callers is what an append waits for most.
        """
        stream: Any = self.stream
        if stream is not None and not stream.closed:
            with contextlib.suppress(OSError):
                info = os.stat(self.baseFilename)
                if _identity(info) == self._identity:
                    return info
            self._check_lock()
            if self.stream is not None and not self._was_sealed(stream.fileno()):
                self._notice(
                    "log_file_replaced",
                    f"{self.baseFilename} was moved or deleted by another program; a new one was begun",
                    {"file": self.baseFilename, "inode": self._identity[1]},
                )
            self._close()
        self.stream = self.do_open()
        self._name_when_opened = self._last_name()
        return os.fstat(self.stream.fileno())

    def _last_name(self) -> tuple[str, int] | None:
        return noted_name(self.stream_lock.fileno()) if self.stream_lock is not None else None

    def _write(self, fd: int, size: int, data: bytes) -> None:
        try:
            count = os.write(fd, data)
            while 0 < count < len(data):
                # A short write is a disk that fills up, or a signal; the rest shows which.
                count += os.write(fd, data[count:])
            if count < len(data):
                raise OSError(errno.EIO, "the system took only a part of a write", self.baseFilename)
        except OSError as error:
            whole = 0
            with contextlib.suppress(OSError):
                got = os.fstat(fd).st_size - size
                whole = data.rfind(b"\n", 0, max(0, got)) + 1
                os.ftruncate(fd, size + whole)
            self._known_size = -1
            error.bytes_written = whole  # type: ignore[attr-defined]
            error.filename = error.filename or self.baseFilename
            raise
        if self._options.fsync == "batch":
            self._sync(fd)

    def _sync(self, fd: int) -> None:
        """Have the disk keep what is in the file; where it refuses, say so: the lines are in the file all the same."""
        try:
            os.fsync(fd)
        except OSError as error:
            self._say_failure(
                "fsync_failed",
                f"{self.baseFilename} could not be synced, a power cut may cost lines: {error.strerror}",
                error,
            )

    def _say_failure(self, event_type: str, message: str, error: OSError) -> None:
        """Say what failed, at most once a minute: saying it is a write, which may fail the same way."""
        now = time.monotonic()
        if now - self._failure_said >= _SAY_EVERY:
            self._failure_said = now
            self._notice(event_type, message, {"file": self.baseFilename, "errno": error.errno})

    # -- what others did to the file ------------------------------------------------------------------------------------

    def _meet(self, fd: int, size: int) -> int:
        """Look at a file whose size is not as we left it; return its size when it ends in a whole line."""
        if 0 <= size < self._known_size:
            self._notice(
                "log_file_truncated",
                f"{self.baseFilename} was truncated by another program; writing goes on",
                {"file": self.baseFilename, "bytes_before": self._known_size, "bytes_now": size},
            )
        if size == 0 or os.pread(fd, 1, size - 1) == b"\n":
            return size
        whole = _last_line_end(fd, size)
        if size - whole <= _LONGEST_WHOLE and _is_object(os.pread(fd, size - whole, whole)):
            os.write(fd, b"\n")
            return size + 1
        os.ftruncate(fd, whole)
        self._notice(
            "torn_line_repaired",
            f"{self.baseFilename} ended in a torn line; it was cut back to the last whole one",
            {"file": self.baseFilename, "bytes": size - whole},
        )
        return whole

    def _was_sealed(self, fd: int) -> bool:
        """Say whether the open file, which no longer has its name, lost it to a rotation of one of our own processes."""
        # While it had its name no other file of this log could be sealed, so the first one sealed since it was opened is this one.
        noted = self._last_name()
        if noted != self._name_when_opened:
            return True
        # A rotation that left no note: by an earlier version, or on a full disk.
        inode = os.fstat(fd).st_ino
        sealed = [s for s in list_segments(Path(self.baseFilename), superseded=True) if not s.active]
        for segment in reversed(sealed):
            with contextlib.suppress(OSError):
                if segment.path.stat().st_ino == inode:
                    return True
        # Asked only now: it may have been compressed or pruned while the folder was read.
        info = os.fstat(fd)
        if info.st_nlink or not sealed:
            return False
        if noted is not None:
            return (sealed[-1].stamp, sealed[-1].index) > noted
        written = datetime.fromtimestamp(int(info.st_mtime), UTC)
        return (sealed[-1].sealed_at or written) >= written

    # -- rotation -------------------------------------------------------------------------------------------------------

    def _period_over(self, info: os.stat_result) -> bool:
        interval = self._options.interval
        return interval is not None and interval.start(info.st_mtime) != interval.start(self._now())

    def roll(self) -> bool:
        """Seal the file now, if there is anything in it.

        Returns:
            Whether it was sealed.

        Raises:
            OSError: The lock cannot be had.
        """
        self._take_lock()
        try:
            return self._current().st_size > 0 and self._roll()
        finally:
            self._do_unlock()

    def _roll(self) -> bool:
        active = Path(self.baseFilename)
        if self._options.fsync in {"rotate", "batch"} and self.stream is not None:
            self._sync(self.stream.fileno())
        assert self.stream_lock is not None
        try:
            sealed = seal_active(active, self.stream_lock.fileno(), datetime.fromtimestamp(self._now(), UTC))
        except OSError as error:
            self._say_failure(
                "rotation_failed",
                f"{active} could not be renamed; writing goes on in it: {error.strerror}",
                error,
            )
            return False
        self._close()
        self.num_rollovers += 1
        self._sealed(active, sealed)
        return True

    def flush(self) -> None:
        """Do nothing: every append goes to the system whole."""

    def close(self) -> None:
        """Do nothing: `logging.shutdown` closes every handler there is, also while the writer is using this one."""

    def let_go(self) -> None:
        """Close the file and its lock file; appending again opens them again."""
        self._close()
        if self.stream_lock is not None:
            with contextlib.suppress(OSError, ValueError):
                # Which also releases the lock.
                self.stream_lock.close()
        self.stream_lock = None
        self.is_locked = False

    def abandon(self) -> None:
        """Let go in a forked child: close what was inherited, and leave the parent's lock alone."""
        # Closing our copy of the descriptor does not release the lock: it belongs to the description that both share.
        for stream in (self.stream, self.stream_lock):
            if stream is not None:
                with contextlib.suppress(OSError, ValueError):
                    stream.close()
        self.stream = None
        self.stream_lock = None
        self.is_locked = False


def make_folder(folder: Path, options: FileOptions) -> None:
    """Make a folder and those above it that are missing, with their mode and owner."""
    if folder.is_dir():
        return
    make_folder(folder.parent, options)
    mode = options.dir_mode & ~options.umask
    try:
        folder.mkdir(mode=mode)
    except FileExistsError:
        if not folder.is_dir():
            raise
        return
    with contextlib.suppress(OSError):
        if stat.S_IMODE(folder.stat().st_mode) != mode:
            folder.chmod(mode)
        if options.owner is not None:
            os.chown(folder, *options.owner)


def why_unwritable(folder: Path, options: FileOptions) -> OSError | None:
    """Return why files could not be made below a folder, which may be missing; None where they could.

    A missing folder is made and removed again: permissions alone do not tell.
    """
    missing: Path | None = None
    there = folder
    try:
        while not os.path.lexists(there) and there != there.parent:
            missing, there = there, there.parent
        if not there.is_dir():
            return NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fspath(there))
        if missing is None:
            if not os.access(there, os.W_OK | os.X_OK):
                read_only = bool(os.statvfs(there).f_flag & os.ST_RDONLY)
                number = errno.EROFS if read_only else errno.EACCES
                return PermissionError(number, os.strerror(number), os.fspath(there))
        else:
            missing.mkdir(mode=options.dir_mode & ~options.umask)
            with contextlib.suppress(OSError):
                # Another process may have begun to use it.
                missing.rmdir()
    except FileExistsError:
        return None
    except OSError as error:
        return error
    return None


def _last_line_end(fd: int, size: int) -> int:
    """Return where the last whole line of a file ends."""
    end = size
    while end > 0:
        start = max(0, end - _CHUNK)
        found = os.pread(fd, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _is_object(torn: bytes) -> bool:
    try:
        return isinstance(json.loads(torn), dict)
    except (ValueError, RecursionError):
        return False
