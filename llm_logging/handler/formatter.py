"""`LLMJsonFormatter`: a protected line as JSON bytes.

The class extends python-json-logger's, so its options work (rename, static and reserved fields, prefix, encoder ...). Without any
of them a line is assembled from prepared parts, which gives the same bytes in a fraction of the time:

    {"v":1,"timestamp":"   2026-01-15T10:30:00.000000Z   ","level":...,"logger":...,"message":   "answered"
                           format_micros                 prepared per logger and level           cached

    ,"event_type":...,"writer":{"id":...,"seq":   17               },   "id":...,"model":...}
    prepared                                      by the buffer         to_json(body)

`encode` returns the two halves around the number, which the buffer inserts when it stores the line.
"""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Mapping
from typing import Any, Final, Literal

from pythonjsonlogger.json import JsonFormatter

from ..clock import format_micros
from ..errors import ConfigurationError
from ..models.entry import SCHEMA_VERSION, LLMRequestLogEntry
from ..models.json_values import jsonable, to_bytes
from ..models.otel import otel_attributes
from ..redaction.redactor import Redactor, redactor_from
from .complete import line_of, robustly
from .protect import Names, is_clean, redacted_line, without_secrets
from .recognise import LLM_REQUEST, Line

__all__ = ["LLMJsonFormatter"]

# Stands where the number of a line will be, until it is stored; no other part of a line can hold this text.
_NUMBER_MARK: Final = -(1 << 62) - random.SystemRandom().getrandbits(60)
_MARK_BYTES: Final = b"%d" % _NUMBER_MARK

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
RedactOption = bool | Mapping[str, Any] | Redactor | None
# Colours that a console's formatter left in a record's level name, and what pads it.
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")


def level_of(record: logging.LogRecord) -> str:
    """Return the name of a record's level, without the colours and spaces that another formatter put into it."""
    return _COLOUR.sub("", record.levelname).strip()


def redacted_text(redactor: Redactor | None, text: str) -> str:
    """Return a text without its secrets; the same object where there are none."""
    return text if redactor is None else redactor.redact_text(text)


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
        self._prefixes: dict[Names, tuple[bytes, bytes]] = {}
        self._messages: dict[str, bytes] = {}

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's line, without a line end; such a line has no `writer`."""
        return robustly(lambda given: self.text(line_of(given, self.entry_defaults), self.redactor), record)

    def text(self, line: Line, redactor: Redactor | None) -> str:
        """Return a protected line, without a line end, of a writer that does not number its lines."""
        if self.customised:
            return self._custom(line, redactor, None)
        before, after = self.encode(line, redactor, None)
        return (before + after[1:-1]).decode()

    def encode(self, line: Line, redactor: Redactor | None, writer: str | None) -> tuple[bytes, bytes]:
        """Return a protected line up to its number, and the rest with the line end.

        Args:
            line: The line.
            redactor: Removes secrets; None leaves them.
            writer: The id of the process that writes; None where lines are not numbered.
        """
        if self.customised:
            return self._encode_custom(line, redactor, writer or "")
        record = line.record
        names = (record.levelname, record.name, line.event_type, writer)
        if redactor is None or redactor.scan_sufficient:
            encoded = self._assemble(line, names)
            if redactor is None or is_clean(line, names, encoded, redactor):
                return encoded
        return self._assemble(*redacted_line(line, names, redactor))

    def _encode_custom(self, line: Line, redactor: Redactor | None, writer: str) -> tuple[bytes, bytes]:
        text = self._custom(line, redactor, {"id": writer, "seq": _NUMBER_MARK}).encode()
        before, mark, after = text.rpartition(_MARK_BYTES)
        if mark:
            return before, after + b"\n"
        # The writer was left out. A reader needs it to tell lines apart.
        if not text.endswith(b"}") or text.endswith(b"{}"):
            raise ValueError(
                f"a custom formatter's line: expected a JSON object with fields, got {len(text)} bytes"
            )
        return b'%b,"writer":{"id":"%b","seq":' % (text[:-1], writer.encode()), b"}}\n"

    def _assemble(self, line: Line, names: Names) -> tuple[bytes, bytes]:
        """Return a line up to its number, and the rest; without a writer, its envelope and the rest."""
        parts = self._prefixes.get(names)
        if parts is None:
            parts = self._prepare(names)
        text = self._messages.get(line.message)
        if text is None:
            text = self._message(line.message, bool(line.record.args))
        before = b'{"v":1,"timestamp":"%b%b%b%b' % (
            format_micros(line.micros).encode(),
            parts[0],
            text,
            parts[1],
        )
        return before, (b"},%b\n" % to_bytes(line.body)[1:]) if line.body else b"}}\n"

    def _prepare(self, names: Names) -> tuple[bytes, bytes]:
        """Return the parts of the envelope that lines of one logger, level and type share."""
        if len(self._prefixes) > 1000:
            self._prefixes.clear()
        if not isinstance(names[0], str) or not isinstance(names[1], str):
            raise TypeError(f"level and logger of a record: expected texts, got {names[:2]!r:.100}")
        level, name, kind = (to_bytes(_COLOUR.sub("", text).strip()) for text in names[:3])
        writer = b"" if names[3] is None else b',"writer":{"id":%b,"seq":' % to_bytes(names[3])
        parts = (
            b'","level":%b,"logger":%b,"message":' % (level, name),
            b',"event_type":%b%b' % (kind, writer),
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

    def _custom(self, line: Line, redactor: Redactor | None, writer: dict[str, Any] | None) -> str:
        record = line.record
        message, body = without_secrets(line, redactor)
        if "stack" in body and isinstance(record.exc_info, tuple) and self._own_traceback:
            body["stack"] = jsonable(self.formatException(record.exc_info))
        if (self.exc_info_as_array or self.stack_info_as_array) and isinstance(body.get("stack"), str):
            body["stack"] = body["stack"].splitlines()
        if self._otel_names and line.event_type == LLM_REQUEST:
            body = otel_attributes(body)
        envelope: dict[str, Any] = {
            "v": SCHEMA_VERSION,
            "timestamp": format_micros(line.micros),
            "level": redacted_text(redactor, level_of(record)),
            "logger": redacted_text(redactor, record.name),
            "message": message,
            "event_type": redacted_text(redactor, line.event_type),
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
        text = self.serialize_log_record(log_data)
        # Raw line ends stand between JSON's tokens only, where a space does as well.
        return text if text.isprintable() else text.replace("\r", " ").replace("\n", " ")

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
