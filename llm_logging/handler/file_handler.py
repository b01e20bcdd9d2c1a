"""`LLMFileHandler`: every record becomes a line of JSON in a file that the user owns.

In the caller's thread the line is built, checked, protected and encoded (`pipeline`), routed (`route`) and stored in the buffer
(`writing.writer`), so nothing that the caller changes later shows. Then the caller goes on; it waits for the file only where it
asked to (`log_llm_request`, `sync=True`). `emit` never raises into the application.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from ..errors import ConfigurationError
from ..files.layout import LogKind
from ..files.spool.discovery import dead_rings_exist
from ..maintenance.retention import Retention
from ..models.record import Acknowledgement
from ..option_values import days, number, owner_ids, permission_bits, truth
from ..reach import note_root
from ..runtime.forks import check_fork
from ..runtime.threads import Bell
from .formatter import LLMJsonFormatter, RedactOption
from .option_choices import check_choices, manifest_key_of, ship_target
from .pipeline import Pipeline, Sink, ack_of
from .recognise import Line, is_structlog, loses_fields, mended
from .route import Router
from .running_totals import live_totals
from .writing.housekeeping import Housekeeper
from .writing.line_buffer import process
from .writing.options import WriterOptions, WriterStats
from .writing.rotating_file import FileOptions, why_unwritable
from .writing.rotation_interval import interval_from
from .writing.wakeup import on_event_loop
from .writing.writer import Writer

__all__ = ["LLMFileHandler"]

_LOCK_SECONDS: Final = 0.05  # longer than others hold it, and not long for those who wait for other files
_REQUESTS: Final = LogKind.REQUESTS
_CONTENT_IDS: Final = ("id", "project_id", "chat_id", "user_id")


class LLMFileHandler(Sink, logging.Handler):
    """Write every record as one line of JSON to rotating files that the user owns.

    With `root=` each kind of line has its file under that folder (see `files.layout`); with `filename=` all that the
    handler receives goes to one file, or to one for each `{project_id}` / `{chat_id}` named in it.

    Args:
        root: The folder of the logs. Default: the environment variable `LLM_LOGGING_ROOT`, else `./llm_logs`.
        filename: Write everything to this one file instead. The name may contain `{project_id}` and `{chat_id}`.
        level: As in `logging`. It does not silence `log_llm_request` and `log.request`.
        defaults: Context for records that name none: `project_id`, `chat_id`, attributes of your own.
        sync: Wait until each record is in its file.
        content: How to store prompts, answers and chat messages: `full`, `hash` (SHA-256 and length) or `off`.
        max_content_chars: Truncate content beyond this length. 0: no limit.
        redact: Remove secrets. True: the defaults; a mapping: options of `Redactor`; False: keep everything.
        pseudonyms: Fields to replace by a keyed hash: a list, or a mapping with `fields`, `key_file` or `key_env`.
        max_bytes: Rotate before a line that would make the file larger. 0: never. A longer line gets its own file.
        rotate_interval: Rotate at the end of each period: `1h`, `1d`, `1w`, `midnight` ... None: never.
        utc: Whether these periods begin in UTC or in local time.
        compress: Compress rotated segments: `gz`, `zst`, True for `gz`, or None.
        backup_count: Rotated segments to keep of each log. 0: all.
        max_age_days: Delete segments that were rotated more days ago. None: keep all.
        content_max_age_days: The same for content and chats. None: as `max_age_days`.
        max_total_bytes: Bytes to keep of each log. 0: no limit.
        max_root_bytes: Bytes to keep of all logs of the root. 0: no limit.
        on_rotate: A function to call with the path of each rotated segment, in a thread of its own.
        ship: Copy rotated segments to this store too, in that thread: `s3://bucket/prefix`, `gs://...`, `az://...` or a folder.
            Retention then deletes only what has arrived. None: leave it to `llm-logging ship`.
        fsync: When to force data to the disk: `never`, `batch` (each write) or `rotate` (each rotated file). Decides what a
            power cut can cost.
        buffer_bytes: Most bytes of lines waiting to be written.
        flush_bytes: Write as soon as this many bytes wait.
        flush_interval: Write after this many seconds at the latest; up to three times as many on a busy machine.
        spool: Where lines wait: `root` (a folder in the root), `shm` (shared memory), `auto` (`root` on a local disk, else
            `shm`) or `off` (plain memory, lost when the process is killed).
        overflow: What to drop when the buffer stays full: `drop_new` or `drop_old` records.
        overflow_wait: Most seconds that a caller waits for room in the buffer. A running event loop never waits.
        flush_timeout: Most seconds that `flush`, `close` and `sync=True` wait for the disk.
        max_open_files: Most files open at a time.
        file_mode: Permissions of new files.
        dir_mode: Permissions of new folders.
        umask: Permission bits to remove from both.
        owner: User and group of new files, as names or numbers.
        manifest_key: HMAC key of the manifests. Default: `LLM_LOGGING_MANIFEST_KEY`, else the file that
            `LLM_LOGGING_MANIFEST_KEY_FILE` names, else manifests are hash chains without a key.

    Raises:
        ConfigurationError: An option is not as described.
    """

    closed = False
    _unused_formatter: str | None = None

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        *,
        filename: str | os.PathLike[str] | None = None,
        level: int | str = logging.NOTSET,
        defaults: Mapping[str, Any] | None = None,
        sync: bool = False,
        content: Literal["off", "hash", "full"] = "full",
        max_content_chars: int = 0,
        redact: RedactOption = True,
        pseudonyms: Any = None,
        max_bytes: int = 0,
        rotate_interval: str | None = None,
        utc: bool = True,
        compress: Literal["gz", "zst"] | bool | None = None,
        backup_count: int = 0,
        max_age_days: float | None = None,
        content_max_age_days: float | None = None,
        max_total_bytes: int = 0,
        max_root_bytes: int = 0,
        on_rotate: Callable[[Path], object] | None = None,
        ship: str | os.PathLike[str] | None = None,
        fsync: Literal["never", "batch", "rotate"] = "rotate",
        buffer_bytes: int = 8 << 20,
        flush_bytes: int = 1 << 20,
        flush_interval: float = 0.05,
        spool: Literal["auto", "shm", "root", "off"] = "auto",
        overflow: Literal["drop_new", "drop_old"] = "drop_new",
        overflow_wait: float = 0.1,
        flush_timeout: float = 10.0,
        max_open_files: int = 64,
        file_mode: int | str = 0o600,
        dir_mode: int | str = 0o700,
        umask: int | str = 0,
        owner: tuple[str | int, str | int] | list[str | int] | None = None,
        manifest_key: bytes | str | None = None,
    ) -> None:
        content, fsync, overflow, spool, packing = check_choices(
            content=content, fsync=fsync, overflow=overflow, spool=spool, compress=compress
        )
        buffer_bytes = number("buffer_bytes", buffer_bytes, least=1 << 16)
        self._flush_timeout = number("flush_timeout", flush_timeout)
        if defaults is not None and not isinstance(defaults, Mapping):
            raise ConfigurationError(f"defaults: expected a mapping of fields, got {type(defaults).__name__}")
        if on_rotate is not None and not callable(on_rotate):
            raise ConfigurationError(f"on_rotate: expected a function, got {type(on_rotate).__name__}")
        self.sync = truth("sync", sync)
        self._router = Router(root, filename, self._redact)
        self.root = self._router.root
        self._use(
            Pipeline(
                defaults=defaults,
                redact=redact,
                content=content,
                max_content_chars=max_content_chars,
                pseudonyms=pseudonyms,
            )
        )
        self._own_counts: dict[str, int] = {"invalid_entries": 0, "invalid_fields": 0, "formatter_errors": 0}
        self._guard = threading.local()
        self._said: set[str] = set()  # what is said once
        files = FileOptions(
            max_bytes=number("max_bytes", max_bytes),
            interval=interval_from(rotate_interval, utc=truth("utc", utc)),
            file_mode=permission_bits("file_mode", file_mode),
            dir_mode=permission_bits("dir_mode", dir_mode),
            owner=owner_ids(owner),
            umask=permission_bits("umask", umask),
            fsync=fsync,
            root=os.fspath(self.root),
            lock_seconds=_LOCK_SECONDS,
        )
        housekeeper = Housekeeper(
            self.root if filename is None else None,
            compression=packing,
            retention=Retention(
                backup_count=number("backup_count", backup_count),
                max_age=days("max_age_days", max_age_days),
                max_total_bytes=number("max_total_bytes", max_total_bytes),
                max_root_bytes=number("max_root_bytes", max_root_bytes),
                content_max_age=days("content_max_age_days", content_max_age_days),
            ),
            on_rotate=on_rotate,
            key=manifest_key_of(manifest_key),
            notice=self._notice,
            ship=ship_target(ship, filename),
        )
        options = WriterOptions(
            buffer_bytes=buffer_bytes,
            flush_bytes=min(number("flush_bytes", flush_bytes), buffer_bytes // 4),
            flush_interval=number("flush_interval", flush_interval),
            overflow=overflow,
            overflow_wait=number("overflow_wait", overflow_wait),
            spool=spool,
            max_open_files=number("max_open_files", max_open_files, least=1),
            exit_timeout=self._flush_timeout,
        )
        self._writer = Writer(
            self.root,
            options,
            files,
            housekeeper,
            notice=self._notice,
            drained=live_totals.fold,
            note_close=filename is None,
        )
        # Only now: logging closes at exit whatever was made a handler, also one that could not be made whole.
        super().__init__(level)
        # There from the start: `logging.basicConfig` gives one of its own to a handler that has none.
        self.formatter = self._pipeline.formatter
        if filename is None:
            note_root(self)
        self._say_unwritable(files)
        if spool != "off" and dead_rings_exist(self.root):
            self._writer.recover_soon()

    def _say_unwritable(self, files: FileOptions) -> None:
        """Say at once, where it is known, that nothing can be written; an application is not stopped for that."""
        refused = why_unwritable(self.root, files)
        if refused is not None:
            self._writer.tell(
                "disk", f"{self.root} cannot be written ({refused}); lines are kept and tried again"
            )

    # -- what logging calls ---------------------------------------------------------------------------------------------

    def setFormatter(self, fmt: logging.Formatter | None) -> None:  # noqa: N802  logging's name
        """Take a formatter of ours, with python-json-logger's options; None takes the plain one.

        A formatter of another kind, which some installers give to every handler, is not used: the files hold JSON lines that
        the reader reads. A notice in `system.jsonl` says so with the first line.

        Raises:
            ConfigurationError: It would write lines that the reader cannot read or would miscount.
        """
        if fmt is not None and not isinstance(fmt, LLMJsonFormatter):
            self._unused_formatter = f"{type(fmt).__module__}.{type(fmt).__qualname__}"
            return
        fmt = fmt if fmt is not None else LLMJsonFormatter()
        fmt.check_readable()
        self._unused_formatter = None
        self.formatter = fmt
        self._pipeline.use(fmt)

    def handle(self, record: logging.LogRecord) -> Any:
        """Filter the record and emit it; without the handler's lock, which the buffer does not need."""
        outcome: Any = self.filter(record) if self.filters else True
        if isinstance(outcome, logging.LogRecord):
            record = outcome
        if outcome:
            self.emit(record)
        return outcome

    def emit(self, record: logging.LogRecord) -> None:
        """Put the record's line into the buffer; never raise."""
        check_fork()
        ack = ack_of(record)
        try:
            try:
                self._take(record, ack)
            except Exception:
                whole = mended(record)
                if whole is None:
                    raise
                self._take(whole, ack)
        except Exception as error:  # noqa: BLE001  no error of logging may reach the application
            if ack is not None:
                ack.failed(error if isinstance(error, OSError) else OSError(str(error)))
            self.handleError(record)

    def _take(self, record: logging.LogRecord, ack: Acknowledgement | None) -> None:
        line = self._pipeline.line(record)
        if (line.kind is not _REQUESTS and "structlog" in sys.modules) or line.record is not record:
            self._say_structlog(record, line)
        if line.invalid:
            name = "invalid_entries" if line.event_type == "invalid_entry" else "invalid_fields"
            self._own_counts[name] += 1 if name == "invalid_entries" else line.invalid
        if line.content:
            ids: dict[str, Any] = {name: line.body[name] for name in _CONTENT_IDS if name in line.body}
            self._store(line.beside(LogKind.CONTENT, "llm_content", {**ids, **line.content}), None, True)
        own_ack = None
        if self.sync and ack is None and not on_event_loop():
            own_ack = ack = _SyncAck()
        self._store(line, ack)
        if own_ack is not None and not own_ack.wait(self._flush_timeout):
            self._writer.tell("sync", "a line was not in its file in time; it is still buffered")

    def _store(self, line: Line, ack: Acknowledgement | None, content: bool = False) -> None:
        if self._unused_formatter is not None:
            self._say_unused()
        path, encoded = self._router.file_of(line)
        formatter = self._pipeline.formatter
        if formatter.customised:
            before, after = self._encode_custom(line, formatter)
        else:
            before, after = formatter.encode(line, self._pipeline.redactor, process().id)
        urgent = line.record.levelno >= logging.ERROR and not content
        self._writer.put(path, encoded, before, after, urgent=urgent, content=content, ack=ack)

    def _encode_custom(self, line: Line, formatter: LLMJsonFormatter) -> tuple[bytes, bytes]:
        redactor, writer = self._pipeline.redactor, process().id
        if getattr(self._guard, "busy", False):
            # A custom formatter that logs would call itself endlessly.
            return LLMJsonFormatter().encode(line, redactor, writer)
        self._guard.busy = True
        try:
            return formatter.encode(line, redactor, writer)
        except Exception:  # noqa: BLE001  a failing hook of the user's must not cost the line
            self._own_counts["formatter_errors"] += 1
            self._writer.tell("formatter", "a custom formatter raised; the plain line was written instead")
            return LLMJsonFormatter().encode(line, redactor, writer)
        finally:
            self._guard.busy = False

    def _say_structlog(self, record: logging.LogRecord, line: Line) -> None:
        """Say once that the fields of structlog's records arrive, or that they do not: it depends on how structlog was set up."""
        if line.record is not record:
            if "structlog" not in self._said and is_structlog(record):
                self._said.add("structlog")
                text = "records of structlog are read: their fields are those of `extra=`"
                self._notice("structlog_recognised", text, {}, logging.INFO)
        elif "fields" not in self._said and loses_fields(record):
            self._said.add("fields")
            text = (
                "structlog renders requests as text before they reach the handler, so they are not counted; end its processors with "
                "ProcessorFormatter.wrap_for_formatter, render_to_log_kwargs or JSONRenderer"
            )
            self._writer.tell("structlog", text)
            self._notice("structlog_fields_lost", text, {})

    def _say_unused(self) -> None:
        unused, self._unused_formatter = self._unused_formatter, None
        self._notice(
            "formatter_unused",
            f"the formatter {unused} is not used: these files hold lines of llm_logging.LLMJsonFormatter",
            {"formatter": unused},
        )

    def _notice(
        self, event_type: str, message: str, data: dict[str, Any], level: int = logging.WARNING
    ) -> None:
        """Log something about the log itself, past loggers and filters; never raise."""
        try:
            record = logging.LogRecord("llm_logging", level, __file__, 0, message, None, None)
            line = Line(record)
            line.event_type, line.body = event_type, {"data": data}
            self._store(line, None)
        except Exception as error:  # noqa: BLE001
            sys.stderr.write(f"llm_logging: {message} ({type(error).__qualname__} while noting it)\n")

    def _redact(self, value: Any) -> Any:
        redactor = self._pipeline.redactor
        return value if redactor is None else redactor.redact(value)

    # -- what users call ------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Return when every line accepted so far is in its file, or `flush_timeout` is over (which is then said)."""
        check_fork()
        if not self._writer.flush(self._flush_timeout):
            self._writer.tell("flush", f"not everything could be written within {self._flush_timeout:g} s")

    def close(self) -> None:
        """Write everything, close the files and end the thread; a later record starts them again."""
        check_fork()
        try:
            self._writer.close()
        finally:
            self.closed = True
            super().close()

    def stats(self) -> dict[str, Any]:
        """Return counts of this handler in this process: buffered, written, dropped, retried, recovered, flush times.

        Returns:
            The fields of `WriterStats`, and `invalid_entries`, `invalid_fields`, `formatter_errors`.
        """
        check_fork()
        stats: WriterStats = self._writer.current_stats()
        return {**{name: getattr(stats, name) for name in stats.__slots__}, **self._own_counts}

    def __repr__(self) -> str:
        return f"<LLMFileHandler {self._router!r} ({logging.getLevelName(self.level)})>"


class _SyncAck:
    """Wait for one line, for `sync=True`."""

    __slots__ = ("_bell",)

    def __init__(self) -> None:
        self._bell = Bell()

    def expect(self) -> None:
        """Nothing to note: one line, one answer."""

    def written(self) -> None:
        """Note that the line is in its file."""
        self._bell.set()

    def failed(self, error: OSError) -> None:  # noqa: ARG002  the writer says why, and counts
        """Note that the line will not be written."""
        self._bell.set()

    def wait(self, seconds: float) -> bool:
        """Wait for the answer."""
        return self._bell.wait(seconds)
