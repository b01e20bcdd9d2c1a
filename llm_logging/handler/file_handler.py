"""The handler: record -> entry -> line -> writer.

In the caller's thread the line is built, checked, freed of secrets and serialised, so nothing that the caller changes later
shows; then it is in the buffer, and the caller goes on. It waits for the file only where it asked to (`log_llm_request`,
`sync=True`). `emit` never raises into the application.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from ..errors import ConfigurationError
from ..failure_report import complain
from ..files.layout import Layout, LogKind, escape_id
from ..files.spool.discovery import dead_rings_exist
from ..maintenance.retention import Retention
from ..models.entry import RECORD_ATTRIBUTE
from ..models.record import Acknowledgement, RecordPayload
from ..option_values import days, number, owner_ids, permission_bits, truth
from ..reach import note_root
from ..redaction.redactor import both, redactor_from
from ..runtime.forks import check_fork
from ..runtime.threads import Bell, refuse_free_threading
from .content import ContentPolicy
from .entry_builder import Built, build, message_of
from .foreign_records import mended, unwrapped
from .formatter import LLMJsonFormatter, RedactOption
from .options import check_choices, manifest_key_of, ship_target
from .pseudonyms import Pseudonymiser, pseudonymiser_from
from .running_totals import live_totals
from .writing.housekeeping import Housekeeper
from .writing.options import WriterOptions, WriterStats
from .writing.rotating_file import FileOptions, why_unwritable
from .writing.rotation_interval import interval_from
from .writing.spool import process
from .writing.wakeup import on_event_loop
from .writing.writer import Writer

__all__ = ["LLMFileHandler"]

_PLACEHOLDER: Final = re.compile(r"\{(project_id|chat_id)\}")
_KNOWN_PATHS: Final = 4096
_LOCK_SECONDS: Final = 0.05  # longer than others hold it, and not long for those who wait for other files
_REQUESTS: Final = LogKind.REQUESTS
_CHAT: Final = LogKind.CHAT
_PathKey = tuple[LogKind, str | None, str | None]


class LLMFileHandler(logging.Handler):
    """Write every record as one line of JSON to rotating files that the user owns.

    With `root=` each kind of line has its file under that folder (see `files.layout`); with `filename=` all that the
    handler receives goes to one file, or to one for each `{project_id}` / `{chat_id}` named in it.

    Args:
        root: The folder; absent, the environment variable `LLM_LOGGING_ROOT`, then `./llm_logs`.
        filename: One file instead; may name `{project_id}` and `{chat_id}`.
        level: As in `logging`. Accounting (`log_llm_request`, `log.request`) is not silenced by it.
        defaults: Context for records that say nothing else: `project_id`, `chat_id`, attributes of your own.
        sync: Wait for the file with every record.
        content: What becomes of prompts, answers and chat messages: `full`, `hash` (SHA-256 and length) or `off`.
        max_content_chars: Longer text of content is cut; 0 keeps all.
        redact: Take secrets out: True for the defaults, a mapping for `Redactor`'s options, False for nothing.
        pseudonyms: Fields to replace by a keyed hash, as a list, or a mapping with `fields`, `key_file` or `key_env`.
        max_bytes: Seal a file before a line that would make it larger; 0 never. One longer line has a file of its own.
        rotate_interval: Seal a file at the end of each `1h`, `1d`, `1w`, `midnight` ...; None never.
        utc: Whether those periods have UTC boundaries; else local ones.
        compress: `gz`, `zst`, True for `gz`, or None: compress sealed segments.
        backup_count: Sealed segments to keep of each log; 0 keeps all.
        max_age_days: Delete segments sealed longer ago; None keeps all.
        content_max_age_days: As `max_age_days`, for content and chats; None takes `max_age_days`.
        max_total_bytes: Bytes of each log to keep; 0 keeps all.
        max_root_bytes: Bytes of all logs of the root to keep; 0 keeps all.
        on_rotate: Called in a thread of its own with the path of each sealed segment.
        ship: Store sealed segments under this URL too (`s3://bucket/prefix`, `gs://...`, `az://...`, a folder), in that thread;
            retention then deletes only what has arrived. None leaves it to the command `llm-logging ship`.
        fsync: `never`, `batch` (each write) or `rotate` (a file that is sealed): what a power cut may cost.
        buffer_bytes: Bytes of lines that wait to be written at most.
        flush_bytes: Writing starts when that many wait,
        flush_interval: or after so many seconds; on a busy machine up to three times as many.
        spool: Where they wait: `auto` (in the root's folder on a local disk, else in shared memory), `shm`, `root`; `off` is plain
            memory, which a killed process loses.
        overflow: When the buffer is full and waiting did not help: `drop_new` or `drop_old` records.
        overflow_wait: Seconds a caller waits for room at most; a running event loop never waits.
        flush_timeout: Seconds that `flush`, `close` and `sync=True` wait for the disk at most.
        max_open_files: Files open at once.
        file_mode: Permissions of new files.
        dir_mode: Permissions of new folders.
        umask: Taken off both.
        owner: User and group of new files, as names or numbers.
        manifest_key: Key of the manifests' HMAC; absent, the environment variable `LLM_LOGGING_MANIFEST_KEY` or the file
            that `LLM_LOGGING_MANIFEST_KEY_FILE` names; without any, the chain alone. See Security in the README.

    Raises:
        ConfigurationError: An option is not as described.
    """

    llm_sink = True
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
        _check_place(root, filename)
        self.defaults: Mapping[str, Any] = dict(defaults or {})
        self.sync = truth("sync", sync)
        self._own_redactor = self.redactor = redactor_from(redact)
        self._content = ContentPolicy(
            content, max_content_chars, redact=self.redactor.redact if self.redactor else None
        )
        self._pseudonyms: Pseudonymiser | None = pseudonymiser_from(pseudonyms)
        self._template = os.path.abspath(os.path.expanduser(filename)) if filename is not None else None
        self._templated = self._template is not None and _PLACEHOLDER.search(self._template) is not None
        self._layout = Layout(root if filename is None else _static_folder(str(self._template)))
        self.root = self._layout.root
        self._paths: dict[_PathKey, tuple[str, bytes]] = {}
        self._line_formatter = LLMJsonFormatter()
        self._own_counts: dict[str, int] = {"invalid_entries": 0, "invalid_fields": 0, "formatter_errors": 0}
        self._guard = threading.local()
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
        # Only now: logging closes at exit whatever was made a handler, also one whose options were refused.
        super().__init__(level)
        # There from the start: `logging.basicConfig` gives one of its own to a handler that has none.
        self.formatter = self._line_formatter
        self._writer = Writer(
            self.root,
            options,
            files,
            housekeeper,
            notice=self._notice,
            drained=live_totals.fold,
            note_close=filename is None,
        )
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
        self.formatter = self._line_formatter = fmt
        self.redactor = both(self._own_redactor, fmt.told_redactor)
        self._content.redact = self.redactor.redact if self.redactor is not None else None

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
        payload = record.__dict__.get(RECORD_ATTRIBUTE)
        ack = payload.ack if type(payload) is RecordPayload else None
        if ack is not None:
            ack.expect()
        try:
            try:
                self._take(unwrapped(record), ack)
            except Exception:
                whole = mended(record)
                if whole is None:
                    raise
                self._take(unwrapped(whole), ack)
        except Exception as error:  # noqa: BLE001  whatever it is, it is not the application's trouble
            if ack is not None:
                ack.failed(error if isinstance(error, OSError) else OSError(str(error)))
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's name
        """Say on standard error what went wrong with a record, without the secrets in it."""
        clean = None if self.redactor is None else self.redactor.redact_text
        complain(record, message_of(record), clean)

    def _take(self, record: logging.LogRecord, ack: Acknowledgement | None) -> None:
        built = build(record, self.defaults)
        if built.invalid:
            self._count_invalid(built)
        if self._pseudonyms is not None:
            built.body = self._pseudonyms.apply(built.body)
            built.project_id = built.body.get("project_id", built.project_id)
            built.chat_id = built.body.get("chat_id", built.chat_id)
        kind = built.kind
        if kind is _REQUESTS:
            live_totals.add(built.body)
            if built.content is not None:
                self._put_content(record, built)
        elif kind is _CHAT or built.event_type == "invalid_entry":
            built.body = self._content.chat_body(built.body)
        own_ack = None
        if self.sync and ack is None and not on_event_loop():
            own_ack = ack = _SyncAck()
        key = (kind, built.project_id, built.chat_id if self._templated or kind is _CHAT else None)
        path, encoded = self._paths.get(key) or self._path(key)
        before, after = self._lines(record, built)
        self._writer.put(path, encoded, before, after, urgent=record.levelno >= logging.ERROR, ack=ack)
        if own_ack is not None and not own_ack.wait(self._flush_timeout):
            self._writer.tell("sync", "a line was not in its file in time; it is still buffered")

    def _lines(self, record: logging.LogRecord, built: Built) -> tuple[bytes, bytes]:
        formatter = self._line_formatter
        writer = process().id
        if not formatter.customised:
            return formatter.line_parts(record, built, writer, self.redactor)
        if getattr(self._guard, "busy", False):
            # A formatter of the user's that logs would meet itself for ever.
            return LLMJsonFormatter().line_parts(record, built, writer, self.redactor)
        self._guard.busy = True
        try:
            return formatter.line_parts(record, built, writer, self.redactor)
        except Exception:  # noqa: BLE001  a failing hook of the user's must not cost the line
            self._own_counts["formatter_errors"] += 1
            self._writer.tell("formatter", "a custom formatter raised; the plain line was written instead")
            return LLMJsonFormatter().line_parts(record, built, writer, self.redactor)
        finally:
            self._guard.busy = False

    def _put_content(self, record: logging.LogRecord, built: Built) -> None:
        """Write prompt and answer to their own file, as the content policy allows."""
        content = built.content or {}
        kept = self._content.request_content(content.get("messages"), content.get("response"))
        if not kept:
            return
        body: dict[str, Any] = {
            name: built.body[name]
            for name in ("id", "project_id", "chat_id", "user_id")
            if name in built.body
        }
        line = Built(LogKind.CONTENT, "llm_content", {**body, **kept}, built.project_id, built.chat_id)
        path, encoded = self._path((line.kind, line.project_id, line.chat_id if self._templated else None))
        before, after = self._lines(record, line)
        self._writer.put(path, encoded, before, after, content=True)

    def _path(self, key: _PathKey) -> tuple[str, bytes]:
        """Return the file of a kind, project and chat, as text and as bytes."""
        known = self._paths.get(key)
        if known is None:
            if self._unused_formatter is not None:
                self._say_unused()
            name = self._file_for(*key)
            known = (name, os.fsencode(name))
            if len(self._paths) >= _KNOWN_PATHS:
                self._paths.clear()
            self._paths[key] = known
        return known

    def _say_unused(self) -> None:
        unused, self._unused_formatter = self._unused_formatter, None
        self._notice(
            "formatter_unused",
            f"the formatter {unused} is not used: these files hold lines of llm_logging.LLMJsonFormatter",
            {"formatter": unused},
        )

    def _file_for(self, kind: LogKind, project_id: str | None, chat_id: str | None) -> str:
        # The name follows what the line says: an id that is a secret is no name for a file.
        project_id, chat_id = self._named("project_id", project_id), self._named("chat_id", chat_id)
        if self._template is None:
            return os.fspath(self._layout.path(kind, project_id, chat_id))
        ids = {"project_id": project_id, "chat_id": chat_id}
        return _PLACEHOLDER.sub(lambda match: escape_id(ids[match[1]] or "none"), self._template)

    def _named(self, field: str, value: str | None) -> str | None:
        if value is None or self.redactor is None:
            return value
        found = self.redactor.redact({field: value})
        name = found.get(field) if isinstance(found, dict) else None
        return name if isinstance(name, str) and name else "redacted"

    def _count_invalid(self, built: Built) -> None:
        if built.event_type == "invalid_entry":
            self._own_counts["invalid_entries"] += 1
        else:
            self._own_counts["invalid_fields"] += built.invalid

    def _notice(self, event_type: str, message: str, data: dict[str, Any]) -> None:
        """Log something about the log itself, past loggers and filters; never raise."""
        try:
            record = logging.LogRecord("llm_logging", logging.WARNING, __file__, 0, message, None, None)
            built = Built(LogKind.SYSTEM, event_type, {"data": data})
            path, encoded = self._path((LogKind.SYSTEM, None, None))
            before, after = self._lines(record, built)
            self._writer.put(path, encoded, before, after)
        except Exception as error:  # noqa: BLE001
            sys.stderr.write(f"llm_logging: {message} ({type(error).__qualname__} while noting it)\n")

    @property
    def wants_content(self) -> bool:
        """Say whether prompts and answers would be kept, so that nobody collects them in vain."""
        return self._content.mode != "off"

    # -- what users call ------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Return when every line accepted so far is in its file, or `flush_timeout` is over (which is then said)."""
        check_fork()
        if not self._writer.flush(self._flush_timeout):
            self._writer.tell("flush", f"not everything could be written within {self._flush_timeout:g} s")

    def close(self) -> None:
        """Write everything and let go of files and thread; a later record starts them again."""
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
        where = self._template if self._template is not None else self.root
        return f"<LLMFileHandler {where} ({logging.getLevelName(self.level)})>"


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


def _static_folder(template: str) -> str:
    """Return the folder of a file name up to its first placeholder."""
    head = _PLACEHOLDER.split(template, maxsplit=1)[0]
    return os.path.dirname(head) or os.sep


def _check_place(root: str | os.PathLike[str] | None, filename: str | os.PathLike[str] | None) -> None:
    for name, place in (("root", root), ("filename", filename)):
        if place is not None and not isinstance(place, (str, os.PathLike)):
            raise ConfigurationError(f"{name}: expected a path, got {type(place).__name__}")
    unsupported = refuse_free_threading()
    if unsupported is not None:
        raise ConfigurationError(unsupported)
    if root is not None and filename is not None:
        raise ConfigurationError("expected root= or filename=, got both")
    if filename is not None:
        path = Path(filename).expanduser()
        if path.exists() and not path.is_file():
            raise ConfigurationError(
                f"filename: expected a regular file, got {str(path)!r}; LLMStreamHandler writes to streams"
            )
