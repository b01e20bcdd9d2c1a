"""Any program's line of JSON as one record: time, level, logger, message, stack, and the rest.

Read are the shapes of this package, python-json-logger, structlog, loguru (`serialize=True`), pino, bunyan, winston,
zap, zerolog, slog, GELF, ECS, Google Cloud, Serilog (CLEF), log4j2, PostgreSQL, journald, OpenTelemetry, MongoDB, .NET and Rust's
tracing: the first known key wins, dotted keys (`log.level`) and nested ones
(`{"log": {"level": ...}}`) alike. A numeric `level` is pino's and bunyan's (30 is info) unless the line also says that
it is Python's (`levelno`) or syslog's (GELF). What is used for the head of the line is taken out of `rest`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

__all__ = ["LEVELS", "Record", "level_rank", "parse_record", "read_moment", "take"]

LEVELS: Final[Mapping[str, int]] = {
    "trace": 10,
    "debug": 20,
    "info": 30,
    "warning": 40,
    "error": 50,
    "critical": 60,
}
_ALIASES: Final[Mapping[str, str]] = {
    "verbose": "trace", "silly": "trace", "finest": "trace", "default": "info", "information": "info",
    "informational": "info", "notice": "info", "success": "info", "http": "info", "warn": "warning", "err": "error",
    "exception": "error", "severe": "error", "crit": "critical", "fatal": "critical", "panic": "critical",
    "dpanic": "critical", "alert": "critical", "emergency": "critical", "emerg": "critical", "log": "info",
    "inf": "info", "wrn": "warning", "dbg": "debug", "vrb": "trace", "trc": "trace", "ftl": "critical", "fine": "debug",
    "finer": "trace", "config": "debug", "i": "info", "w": "warning", "e": "error", "d": "debug", "f": "critical",
    **{f"debug{number}": "debug" for number in range(1, 6)},
}  # fmt: skip
_PINO: Final = ((60, "critical"), (50, "error"), (40, "warning"), (30, "info"), (20, "debug"), (0, "trace"))
_PYTHON: Final = ((50, "critical"), (40, "error"), (30, "warning"), (20, "info"), (10, "debug"), (0, "trace"))
# https://opentelemetry.io/docs/specs/otel/logs/data-model/#field-severitynumber
_OTEL: Final = ((21, "critical"), (17, "error"), (13, "warning"), (9, "info"), (5, "debug"), (0, "trace"))
_UTC: Final = re.compile(r" ?(?:UTC|GMT)$")
_PLACE: Final = re.compile(r"\{@?\$?(\w+)(?:[,:][^{}]*)?\}")
_SYSLOG: Final = ("critical", "critical", "critical", "error", "warning", "info", "info", "debug")

TIME_KEYS: Final = (
    "timestamp", "time", "@timestamp", "@t", "ts", "asctime", "datetime", "eventTime", "t", "created", "Timestamp", "instant",
    "timeMillis", "timeUnixNano", "observedTimeUnixNano", "_SOURCE_REALTIME_TIMESTAMP", "__REALTIME_TIMESTAMP", "date",
    "receiveTimestamp", "log_time", "TimeGenerated",
)  # fmt: skip
LEVEL_KEYS: Final = (
    "levelname", "level", "severity", "log.level", "lvl", "levelno", "log_level", "level_name", "@l", "error_severity",
    "severityText", "severity_text", "Level", "LogLevel", "loglevel", "PRIORITY", "severityNumber", "severity_number",
)  # fmt: skip
LOGGER_KEYS: Final = (
    "logger", "name", "logger_name", "log.logger", "loggerName", "SourceContext", "Category", "category",
    "SYSLOG_IDENTIFIER", "_SYSTEMD_UNIT", "backend_type", "target",
)  # fmt: skip
MESSAGE_KEYS: Final = (
    "message", "msg", "event", "short_message", "textPayload", "jsonPayload.message", "jsonPayload.msg", "@m", "@mt", "MESSAGE",
    "Message", "RenderedMessage", "MessageTemplate", "fields.message", "text", "body.stringValue", "body", "Body", "log",
)  # fmt: skip
STACK_KEYS: Final = (
    "stack", "exc_info", "exc_text", "exception", "stack_info", "stacktrace", "stack_trace", "error.stack_trace",
    "full_message", "@x", "Exception", "thrown.extendedStackTrace", "jsonPayload.stack_trace",
)  # fmt: skip


@dataclass(slots=True)
class Record:
    """One line of a log.

    Attributes:
        time: When, aware; None where no time can be read.
        time_text: The time as it was written.
        level: One of `LEVELS`, another program's own word, or None.
        logger: Who.
        message: What.
        stack: Where, several lines.
        rest: All other fields in their order.
        fields: The whole line.
    """

    time: datetime | None = None
    time_text: str | None = None
    level: str | None = None
    logger: str | None = None
    message: str | None = None
    stack: str | None = None
    rest: dict[str, Any] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)


def level_rank(level: str | None) -> int | None:
    """Return how severe a level is, 10 for trace to 60 for critical; None for an unknown word."""
    return LEVELS.get(canonical_level(level) or "")


def canonical_level(word: str | None) -> str | None:
    """Return the usual name of a level: `WARN` is `warning`; an unknown word stays."""
    if word is None:
        return None
    lowered = word.strip().lower()
    return _ALIASES.get(lowered, lowered)


def read_moment(value: Any) -> datetime | None:
    """Read a time as logs write it: ISO 8601, or seconds, milli-, micro- or nanoseconds since 1970."""
    try:
        if isinstance(value, str):
            text = value.strip()
            if text.isdecimal() and len(text) > 8:
                return read_moment(int(text))
            moment = datetime.fromisoformat(_UTC.sub("+00:00", text))
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        if isinstance(value, Mapping):
            return _split_moment(value)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        scale = next(
            unit for limit, unit in ((1e11, 1), (1e14, 1e3), (1e17, 1e6), (1e20, 1e9)) if value < limit
        )
        return datetime.fromtimestamp(value / scale, UTC)
    except (ValueError, OverflowError, OSError, StopIteration):
        return None


def _split_moment(value: Mapping[str, Any]) -> datetime | None:
    """Read a time that is an object: log4j2's `instant`, protobuf's seconds and nanos, MongoDB's `$date`."""
    if "$date" in value:
        return read_moment(value["$date"])
    for whole, part in (("epochSecond", "nanoOfSecond"), ("seconds", "nanos")):
        seconds, nanos = value.get(whole), value.get(part, 0)
        if isinstance(seconds, str) and seconds.isdecimal():
            seconds = int(seconds)
        if type(seconds) is int and type(nanos) is int:
            return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=nanos // 1000)
    return None


def take(fields: Mapping[str, Any], path: str) -> Any:
    """Return the value at a path: the dotted key itself, else step by step; None where there is none."""
    if path in fields:
        return fields[path]
    value: Any = fields
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return value


def _pick(
    fields: Mapping[str, Any], keys: tuple[str, ...], rest: dict[str, Any], *, scalar: bool = True
) -> Any:
    for key in keys:
        value = take(fields, key)
        if value is None or (scalar and isinstance(value, (dict, list))):
            continue
        if key in rest:
            del rest[key]
        elif isinstance(rest.get(outer := key.partition(".")[0]), dict):
            inner = dict(rest[outer])
            inner.pop(key.partition(".")[2], None)
            rest[outer] = inner
            if not inner:
                del rest[outer]
        return value
    return None


def _pick_time(fields: Mapping[str, Any], keys: tuple[str, ...], rest: dict[str, Any]) -> Any:
    """Return the first time, which may be an object."""
    for key in keys:
        value = take(fields, key)
        if isinstance(value, dict) and _split_moment(value) is not None:
            rest.pop(key, None)
            return value
        if value is not None and not isinstance(value, (dict, list)):
            return _pick(fields, (key,), rest)
    return None


def _level_keys(fields: Mapping[str, Any]) -> tuple[str, ...]:
    # MongoDB's `s`, and Datadog's `status`, which are other things elsewhere.
    if "ctx" in fields and "c" in fields:
        return (*LEVEL_KEYS, "s")
    return (*LEVEL_KEYS, "status") if "ddsource" in fields or "dd" in fields else LEVEL_KEYS


def _level_word(value: Any, fields: Mapping[str, Any]) -> str | None:
    if isinstance(value, str) and value.strip().isdecimal() and len(value) < 4:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return canonical_level(str(value)) if value is not None else None
    if ("short_message" in fields or "PRIORITY" in fields) and 0 <= value <= 7:
        return _SYSLOG[int(value)]
    is_otel = "severityNumber" in fields or "severity_number" in fields
    scale = _OTEL if is_otel else _PYTHON if "levelno" in fields else _PINO
    return next((name for floor, name in scale if value >= floor), None)


def _unwrap_loguru(fields: dict[str, Any]) -> dict[str, Any]:
    inner = fields["record"]
    out: dict[str, Any] = {}
    for key, value in inner.items():
        if isinstance(value, dict) and key == "level":
            out["level"] = value.get("name")
        elif isinstance(value, dict) and key == "time":
            out["time"] = value.get("timestamp")
        elif key == "extra" and isinstance(value, dict):
            out.update(value)
        elif key == "exception" and value is None:
            continue
        elif key in {"message", "name", "exception", "function", "line"}:
            out[key] = value
    if out.get("exception"):
        # loguru writes the formatted traceback only into the text.
        out["exception"] = str(fields.get("text", "")).partition("\n")[2] or out["exception"]
    return out


def parse_record(
    data: bytes,
    *,
    message_keys: tuple[str, ...] = (),
    time_keys: tuple[str, ...] = (),
    level_keys: tuple[str, ...] = (),
) -> Record | None:
    """Read one line.

    Args:
        data: The line without its newline.
        message_keys: Looked at before the known ones for the message.
        time_keys: So for the time.
        level_keys: So for the level.

    Returns:
        None where the line is not one JSON object.
    """
    if data.lstrip()[:1] != b"{":
        return None
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    if isinstance(fields.get("record"), dict) and "text" in fields:
        fields = _unwrap_loguru(fields)
    rest = dict(fields)
    record = Record(fields=fields, rest=rest)
    when = _pick_time(fields, time_keys + TIME_KEYS, rest)
    record.time, record.time_text = read_moment(when), None if when is None else str(when)
    record.level = _level_word(_pick(fields, level_keys + _level_keys(fields), rest), fields)
    for name in ("levelno", "level_number"):
        rest.pop(name, None)
    name = _pick(fields, LOGGER_KEYS, rest)
    record.logger = None if name is None else str(name)
    message = _pick(fields, message_keys + MESSAGE_KEYS, rest)
    if "@t" in fields:
        # CLEF leaves out the level of information, and the text where its template says it all.
        record.level = record.level or "info"
        if message is not None and message == fields.get("@mt"):
            message = _PLACE.sub(lambda found: str(fields.get(found[1], found[0])), str(message))
    record.message = None if message is None else str(message)
    record.stack = _stack(fields, rest)
    return record


def _stack(fields: Mapping[str, Any], rest: dict[str, Any]) -> str | None:
    for name in ("err", "error"):
        error = fields.get(name)
        if isinstance(error, dict) and isinstance(error.get("stack"), str):
            rest[name] = {key: value for key, value in error.items() if key != "stack"}
            return str(error["stack"])
    stack = _pick(fields, STACK_KEYS, rest)
    if isinstance(stack, str) and stack:
        return stack
    structured = fields.get("exception")
    if isinstance(structured, list) and structured and isinstance(structured[0], dict):
        return None
    return None
