"""A record as one JSON line for programs, or one line of text for people.

The JSON line is python-json-logger's, so its options work (rename, static and reserved fields, prefix, encoder ...); without
any of them it is assembled from prepared parts, which gives the same line in a fraction of the time. Secrets are taken out
before anything is serialised, or, where a scan of the finished line shows that there is none, not at all.
"""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeVar

from pythonjsonlogger.json import JsonFormatter

from ..clock import format_micros
from ..errors import ConfigurationError
from ..files.layout import LogKind
from ..models.entry import SCHEMA_VERSION, LLMRequestLogEntry
from ..models.otel import otel_attributes
from ..redaction.redactor import Redactor, redactor_from
from .entry_builder import Built, build, message_of, micros_of
from .foreign_records import mended, unwrapped
from .serialise import jsonable, to_bytes

__all__ = ["LLMJsonFormatter"]

# Stands where the number of a line will be, until it is stored; no other part of a line can hold this text.
_NUMBER_MARK: Final = -(1 << 62) - random.SystemRandom().getrandbits(60)
_MARK_BYTES: Final = b"%d" % _NUMBER_MARK

_REQUESTS: Final = LogKind.REQUESTS
# What python-json-logger means to be overridden.
_HOOKS: Final = (
    "add_fields",
    "formatException",
    "jsonify_log_record",
    "process_log_record",
    "serialize_log_record",
)

# The reader takes these from the top of a line, by these names.
_COUNTED: Final = frozenset({*LLMRequestLogEntry.model_fields, "v", "event_type"})
# Level, logger, event type and writer of a line.
_Names = tuple[str, str, str, str]
RedactOption = bool | Mapping[str, Any] | Redactor | None
# Colours that a console's formatter left in a record's level name, and what pads it.
R = TypeVar("R")
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")


def level_of(record: logging.LogRecord) -> str:
    """Return the name of a record's level, without the colours and spaces that another formatter put into it."""
    return _COLOUR.sub("", record.levelname).strip()


def redacted(redactor: Redactor | None, message: str, body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return message and body with the secrets gone; the same objects where there are none."""
    if redactor is None:
        return message, body
    return redactor.redact_text(message), redactor.redact(body)


def _without(redactor: Redactor | None, text: str) -> str:
    return text if redactor is None else redactor.redact_text(text)


def form(formed: Callable[[logging.LogRecord], R], record: logging.LogRecord) -> R:
    """Return what `formed` makes of a record, whatever logger made it and whatever a filter did to it.

    Args:
        formed: Called with the record in the form of our own, once more with a mended one where that raised.
        record: As it came; is not changed.
    """
    try:
        return formed(unwrapped(record))
    except Exception:
        whole = mended(record)
        if whole is None:
            raise
    return formed(unwrapped(whole))


class LLMJsonFormatter(JsonFormatter):
    """Format any record as one JSON line: envelope, then the entry.

    Args:
        *args: As `pythonjsonlogger.json.JsonFormatter` takes them.
        redact: Take secrets out; True for the defaults, a mapping for `Redactor`'s options. A handler of ours takes out what
            it was told to, and what its formatter was told to; absent, the handler decides.
        entry_defaults: Context for records that say nothing else.
        otel_names: Write the fields of a request under OpenTelemetry's names for generative AI, for a collector; the reader
            reads our own names.
        **kwargs: As `pythonjsonlogger.json.JsonFormatter` takes them.
    """

    def __init__(
        self,
        *args: Any,
        redact: RedactOption | Literal["default"] = "default",
        entry_defaults: Mapping[str, Any] | None = None,
        otel_names: bool = False,
        **kwargs: Any,
    ) -> None:
        self._otel_names = otel_names
        self.customised = (
            bool(args)
            or otel_names
            or any(
                value not in (None, False, "", {}, [])
                for name, value in kwargs.items()
                if name not in {"datefmt", "style", "validate"}
            )
        )
        self.customised = self.customised or any(
            getattr(type(self), hook) is not getattr(LLMJsonFormatter, hook) for hook in _HOOKS
        )
        self._own_traceback = type(self).formatException is not LLMJsonFormatter.formatException
        self._omitted = frozenset(kwargs.get("reserved_attrs") or ())
        kwargs.setdefault("json_ensure_ascii", False)
        super().__init__(*args, **kwargs)
        self.redactor = redactor_from(True if redact == "default" else redact)
        self.told_redactor = None if redact == "default" else self.redactor
        self.entry_defaults: Mapping[str, Any] = dict(entry_defaults or {})
        self._prefixes: dict[_Names, tuple[bytes, bytes]] = {}
        self._messages: dict[str, bytes] = {}

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's line, without a line end; such a line has no `writer`."""
        return form(self._formed, record)

    def _formed(self, record: logging.LogRecord) -> str:
        return self.whole_line(record, build(record, self.entry_defaults), self.redactor)

    def whole_line(self, record: logging.LogRecord, built: Built, redactor: Redactor | None) -> str:
        """Return a line of a writer that does not number its lines."""
        if self.customised:
            return self._custom(record, built, redactor, None)
        before, after = self.line_parts(record, built, "", redactor)
        head, _, _ = before.rpartition(b',"writer"')
        return (head + after[1:-1]).decode()

    def line_parts(
        self, record: logging.LogRecord, built: Built, writer: str, redactor: Redactor | None
    ) -> tuple[bytes, bytes]:
        """Return the line up to its number, and the rest with the line end.

        Args:
            record: The record.
            built: What its line holds.
            writer: The id of the process that writes.
            redactor: Takes secrets out; None leaves them.
        """
        if self.customised:
            line = self._custom(record, built, redactor, {"id": writer, "seq": _NUMBER_MARK}).encode()
            before, mark, after = line.rpartition(_MARK_BYTES)
            if not mark:
                return self._numbered(line, writer)
            return before, after + b"\n"
        message = message_of(record, None if redactor is None else redactor.redact)
        body = built.body
        names = (record.levelname, record.name, built.event_type, writer)
        if redactor is None or redactor.scan_sufficient:
            before, after = self._assemble(record, built, message, body, names)
            if redactor is None:
                return before, after
            if built.kind is _REQUESTS and redactor.harmless((message, *names[:3]), body, firm=built.firm):
                return before, after
            if redactor.clean(before + after):
                return before, after
        message, body = redacted(redactor, message, jsonable(body))
        level, name, kind = map(redactor.redact_text, names[:3])
        names = (level, name, kind, writer)
        return self._assemble(record, built, message, body, names)

    def _numbered(self, line: bytes, writer: str) -> tuple[bytes, bytes]:
        """Give a line its writer back that was left out: a reader needs it to tell lines apart."""
        if not line.endswith(b"}") or line.endswith(b"{}"):
            raise ValueError(
                f"a custom formatter's line: expected a JSON object with fields, got {len(line)} bytes"
            )
        return b'%b,"writer":{"id":"%b","seq":' % (line[:-1], writer.encode()), b"}}\n"

    def _assemble(
        self, record: logging.LogRecord, built: Built, message: str, body: dict[str, Any], names: _Names
    ) -> tuple[bytes, bytes]:
        parts = self._prefixes.get(names)
        if parts is None:
            parts = self._prepare(names)
        text = self._messages.get(message)
        if text is None:
            text = self._message(message, bool(record.args))
        stamp = format_micros(built.micros or micros_of(record)).encode()
        before = b'{"v":1,"timestamp":"%b%b%b%b' % (stamp, parts[0], text, parts[1])
        return before, (b"},%b\n" % to_bytes(body)[1:]) if body else b"}}\n"

    def _prepare(self, names: _Names) -> tuple[bytes, bytes]:
        """Return the parts of the envelope that lines of one logger, level and type share."""
        if len(self._prefixes) > 1000:
            self._prefixes.clear()
        if not all(isinstance(text, str) for text in names):
            raise TypeError(f"level and logger of a record: expected texts, got {names[:2]!r:.100}")
        level, name, kind, writer = (to_bytes(_COLOUR.sub("", text).strip()) for text in names)
        parts = (
            b'","level":%b,"logger":%b,"message":' % (level, name),
            b',"event_type":%b,"writer":{"id":%b,"seq":' % (kind, writer),
        )
        self._prefixes[names] = parts
        return parts

    def _message(self, message: str, formatted: bool) -> bytes:
        text = to_bytes(message)
        if not formatted and len(message) < 200:
            if len(self._messages) > 1000:
                self._messages.clear()
            self._messages[message] = text
        return text

    def _custom(
        self,
        record: logging.LogRecord,
        built: Built,
        redactor: Redactor | None,
        writer: dict[str, Any] | None,
    ) -> str:
        message, body = redacted(redactor, message_of(record, redactor and redactor.redact), jsonable(built.body))
        if "stack" in body and isinstance(record.exc_info, tuple) and self._own_traceback:
            body["stack"] = jsonable(self.formatException(record.exc_info))
        if (self.exc_info_as_array or self.stack_info_as_array) and isinstance(body.get("stack"), str):
            body["stack"] = body["stack"].splitlines()
        if self._otel_names and built.event_type == "llm_request":
            body = otel_attributes(body)
        envelope: dict[str, Any] = {
            "v": SCHEMA_VERSION,
            "timestamp": format_micros(built.micros or micros_of(record)),
            "level": _without(redactor, level_of(record)),
            "logger": _without(redactor, record.name),
            "message": message,
            "event_type": redactor.redact_text(built.event_type)
            if redactor is not None
            else built.event_type,
        }
        if writer is not None:
            envelope["writer"] = writer
        log_data: dict[str, Any] = {}
        self.add_fields(log_data, record, {**jsonable(envelope), **body})
        log_data = self.process_log_record(log_data)
        if redactor is not None:
            # What hooks and options add comes from the record once more, or from elsewhere.
            numbered = log_data.pop("writer", None)
            log_data = redactor.redact(log_data)
            if numbered is not None and isinstance(log_data, dict):
                log_data["writer"] = numbered
        line = self.serialize_log_record(log_data)
        # Raw line ends stand between JSON's tokens only, where a space does as well.
        return line if line.isprintable() else line.replace("\r", " ").replace("\n", " ")

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        """Fill in the data of a line; python-json-logger's hook, for formatters of your own.

        Args:
            log_data: What the line will hold; is filled.
            record: The record.
            message_dict: Envelope and entry.
        """
        for name, value in jsonable(self.defaults).items():
            log_data[self._get_rename(name)] = value
        for name in self._required_fields:
            if name not in message_dict:
                log_data[self._get_rename(name)] = self._attribute(record, name)
        for name, value in message_dict.items():
            if name not in self._omitted:
                log_data[self._get_rename(name)] = value
        for name, value in jsonable(self.static_fields).items():
            log_data[self._get_rename(name)] = value
        if isinstance(self.timestamp, str):
            log_data[self._get_rename(self.timestamp)] = log_data.pop(self._get_rename("timestamp"), None)
        if self.rename_fields_keep_missing:
            for name in self.rename_fields.values():
                log_data.setdefault(name, None)

    def _attribute(self, record: logging.LogRecord, name: str) -> Any:
        if name == "asctime":
            return self.formatTime(record, self.datefmt)
        if name == "exc_info":
            return jsonable(self.formatException(record.exc_info)) if record.exc_info else None
        return jsonable(record.__dict__.get(name))

    def check_readable(self) -> None:
        """Refuse options whose lines the reader could not read, or would count wrongly.

        Raises:
            ConfigurationError: A line would not be one line of JSON, or a field that figures come from would be renamed,
                left out or overwritten.
        """
        if type(self).format is not LLMJsonFormatter.format:
            raise ConfigurationError(
                f"formatter of an LLMFileHandler: expected {type(self).__qualname__} to override process_log_record or "
                "add_fields, got a `format` of its own; a record may have more than one line"
            )
        if self.json_indent is not None or self.prefix:
            raise ConfigurationError(
                "formatter of an LLMFileHandler: expected one line of JSON a record, got json_indent or a prefix"
            )
        options = {
            "rename_fields": {*self.rename_fields, *self.rename_fields.values()},
            "static_fields": {self._get_rename(name) for name in self.static_fields},
            "reserved_attrs": self._omitted,
        }
        for option, names in options.items():
            counted = sorted(_COUNTED.intersection(names))
            if counted:
                raise ConfigurationError(
                    f"formatter of an LLMFileHandler: {option}: expected names that no figure comes from, got "
                    f"{', '.join(counted)}; use attributes of your own, or an LLMStreamHandler"
                )


_COLOURS: Final = {
    logging.DEBUG: "\x1b[2m",
    logging.INFO: "\x1b[32m",
    logging.WARNING: "\x1b[33m",
    logging.ERROR: "\x1b[31m",
    logging.CRITICAL: "\x1b[1;31m",
}
_DIM, _OFF = "\x1b[2m", "\x1b[0m"


_BIDI: Final = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u061c")
