"""Stage 1 of a record's way to its file: recognise what it is. Next: `complete`.

A record is an LLM request, a chat message, or else an event. An LLM request is recognised by `extra={"llm_request": {...}}`, an
entry object, or flat extras with `event_type="llm_request"`; a chat message likewise. Records of other loggers are first brought
into the form of our own: structlog passes its event dict as the message (`wrap_for_formatter`), as keywords
(`render_to_log_kwargs`) or as JSON text (`JSONRenderer`), and loguru puts bound fields into the attribute `extra`. `unwrapped`
moves such fields to where an `extra=` of `logging` has them, on a copy. `mended` replaces standard attributes that a filter has
deleted or damaged. The caller's record is never changed.
"""

from __future__ import annotations

import copy
import json
import logging
import sys
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final

from ..clock import clock
from ..context import current_scope
from ..files.layout import LogKind
from ..models.entry import RECORD_ATTRIBUTE, ChatMessage, LLMRequestLogEntry
from ..models.json_values import repr_of
from ..models.record import RecordPayload

__all__ = [
    "CHAT_MESSAGE",
    "LLM_REQUEST",
    "RESERVED",
    "STANDARD",
    "Line",
    "extras_of",
    "is_structlog",
    "loses_fields",
    "mended",
    "message_of",
    "recognise",
    "unwrapped",
]

STANDARD: Final = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__)
RESERVED: Final = STANDARD | {"message", "asctime", "taskName", RECORD_ATTRIBUTE}
# What structlog puts on a record or into an event dict for its own use, and what the envelope says already.
_MARKS: Final = ("_logger", "_name", "_record", "_from_structlog")
_ENVELOPE: Final = ("level", "logger", "timestamp")
_TEXTS: Final = ("event", "message", "msg")
_NEAREST: Final = 40
_LONGEST_JSON: Final = 1 << 24
_SYSTEM: Final = LogKind.SYSTEM
LLM_REQUEST: Final = "llm_request"
CHAT_MESSAGE: Final = "chat_message"


class Line:
    """A record on its way to one line of a log; each stage sets the attributes of its own.

    Attributes:
        record: The record; not changed.
        micros: Its time in whole microseconds since 1970.
        message: Its message.
        event_type: `llm_request`, `chat_message`, or the type of an event, which is empty until it is completed.
        entry: Recognised: a validated entry or message, where the caller had one; then there are no fields.
        fields: Recognised: the call's own fields.
        context: Recognised: what the adapter and the scopes have bound.
        defaults: Recognised: what holds where neither says anything.
        kind: Completed: which file it is for.
        body: Completed: field names to JSON values; never the caller's own dict at its top.
        project_id: Completed: whose file; None for the system's.
        chat_id: Completed: whose file, for chats.
        content: Completed: `messages` and `response` of a request. Protected: what of them is kept; None for nothing.
        invalid: Completed: how many fields were wrong.
        checked: Completed: whether the body is a request that `fast_entry` has checked, so that free text is only where its
            model has room for it.
    """

    __slots__ = (  # noqa: SIM905  one name a line says no more
        "body chat_id checked content context defaults entry event_type fields invalid kind message micros project_id record"
    ).split()
    body: dict[str, Any]
    context: Mapping[str, Any]
    defaults: Mapping[str, Any]
    fields: Mapping[str, Any]

    def __init__(self, record: logging.LogRecord) -> None:
        self.record = record
        self.micros = round(clock().created(record.created) * 1_000_000)
        self.message = message_of(record)
        self.event_type = ""
        self.entry: LLMRequestLogEntry | ChatMessage | None = None
        self.kind = _SYSTEM
        self.project_id: str | None = None
        self.chat_id: str | None = None
        self.content: dict[str, Any] | None = None
        self.invalid = 0
        self.checked = False

    def beside(self, kind: LogKind, event_type: str, body: dict[str, Any]) -> Line:
        """Return another completed line of the same record, project and chat."""
        line = copy.copy(self)
        line.kind, line.event_type, line.body, line.checked, line.content = (
            kind,
            event_type,
            body,
            False,
            None,
        )
        return line


def message_of(record: logging.LogRecord) -> str:
    """Return the record's message as `logging.Formatter` has it; one whose arguments do not fit it is kept with them."""
    try:
        # A record class of the user's may merge arguments in another way.
        message = record.getMessage()
        return message if type(message) is str else str(message)
    except Exception:  # noqa: BLE001  a format that does not fit, a foreign __str__, or no message at all
        given, args = record.__dict__.get("msg"), record.__dict__.get("args")
        if "msg" not in record.__dict__:
            return ""
        return f"{repr_of(given)} {repr_of(args)}" if args else repr_of(given)


def recognise(line: Line, defaults: Mapping[str, Any]) -> None:
    """Set what a line's record is, and the fields and the context it brings.

    Args:
        line: Its `event_type` stays empty for an event.
        defaults: The handler's `defaults=`.
    """
    record = line.record
    payload = record.__dict__.get(RECORD_ATTRIBUTE)
    line.defaults = defaults
    kind: str | None = None
    if type(payload) is RecordPayload:
        if isinstance(payload.entry, (LLMRequestLogEntry, ChatMessage)):
            line.entry = payload.entry
            line.event_type = LLM_REQUEST if isinstance(payload.entry, LLMRequestLogEntry) else CHAT_MESSAGE
            return
        line.context = payload.context or {}
        fields, kind = payload.fields, payload.kind
        if kind == LLM_REQUEST:
            line.event_type, line.fields = LLM_REQUEST, fields
            line.defaults = {**(payload.fallback or {}), **defaults}
            return
    else:
        line.context = current_scope()
        extras = fields = extras_of(record)
        if payload is not None:
            extras[RECORD_ATTRIBUTE] = payload
    given = fields.get("event_type")
    event_type = given if isinstance(given, str) else None
    for name in (LLM_REQUEST, CHAT_MESSAGE):
        nested = fields.get(name)
        if nested is not None:
            if isinstance(nested, (LLMRequestLogEntry, ChatMessage)):
                nested = {key: value for key, value in nested if value is not None}
            if isinstance(nested, Mapping):
                outer = {key: value for key, value in fields.items() if key not in {name, "event_type"}}
                line.event_type, line.fields = name, {**outer, **nested}
                return
        if name in (event_type, kind):
            line.event_type = name
            line.fields = {key: value for key, value in fields.items() if key != "event_type"}
            return
    line.fields = fields


def extras_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return the attributes of a record that are not `logging`'s own."""
    return {key: value for key, value in record.__dict__.items() if key not in RESERVED}


def unwrapped(record: logging.LogRecord) -> logging.LogRecord:
    """Return the record, or a copy that carries the fields of another logger's record as our adapter's records do."""
    attributes = record.__dict__
    message = attributes.get("msg")
    if type(message) is str:
        if message[:2] != '{"' and "extra" not in attributes:
            return record
    elif not isinstance(message, (Mapping, bytes)) and "extra" not in attributes:
        return record
    if RECORD_ATTRIBUTE in attributes or attributes.get("args"):
        return record
    fields = extras_of(record)
    bound = fields.get("extra")
    if isinstance(bound, Mapping):
        del fields["extra"]
        fields = {**bound, **fields}
    else:
        bound = None
    event = _event_dict(record)
    if event is None and bound is None:
        return record
    found = copy.copy(record)
    if event is not None:
        event = {key: value for key, value in event.items() if key not in _MARKS}
        if is_structlog(record):
            for name in _ENVELOPE:
                event.pop(name, None)
        _take_message(found, event)
        _take_exception(found, event)
        fields = {**event, **{key: value for key, value in fields.items() if key not in _MARKS}}
    found.__dict__[RECORD_ATTRIBUTE] = RecordPayload(None, fields, context=current_scope())
    return found


def loses_fields(record: logging.LogRecord) -> bool:
    """Say whether structlog has rendered a request as text for people, in which its fields cannot be read any more."""
    message = record.msg
    return (
        type(message) is str
        and "event_type" in message
        and ("llm_request" in message or "chat_message" in message)
        and is_structlog(record)
    )


def _event_dict(record: logging.LogRecord) -> Mapping[Any, Any] | None:
    message: Any = record.msg
    if isinstance(message, Mapping):
        return message
    if not isinstance(message, (str, bytes)) or not is_structlog(record) or len(message) > _LONGEST_JSON:
        return None
    try:
        found = json.loads(message)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and any(isinstance(found.get(n), str) for n in _TEXTS) else None


def is_structlog(record: logging.LogRecord) -> bool:
    """Say whether structlog made a record.

    A JSON text that anything else logs stays a message: it may quote a request's body, whose fields are not the application's.
    """
    if "_logger" in record.__dict__ and "_name" in record.__dict__:
        return True
    structlog: Any = sys.modules.get("structlog")
    if structlog is None:
        return False
    if record.__dict__.get("thread") == threading.get_ident():
        return _runs_under("structlog")
    # Behind a queue: only where structlog is set up to log JSON.
    try:
        processors: Any = structlog.get_config()["processors"] if structlog.is_configured() else ()
        return bool(processors) and isinstance(processors[-1], structlog.processors.JSONRenderer)
    except Exception:  # noqa: BLE001  another version of structlog, or one that is being imported
        return False


def _runs_under(package: str) -> bool:
    """Say whether code of a package is among the nearest callers."""
    frame = sys._getframe(1)  # noqa: SLF001  what logging's own findCaller does
    for _ in range(_NEAREST):
        if frame.f_globals.get("__name__", "").partition(".")[0] == package:
            return True
        if frame.f_back is None:
            return False
        frame = frame.f_back
    return False


def _take_message(record: logging.LogRecord, event: dict[Any, Any]) -> None:
    for name in _TEXTS:
        if isinstance(event.get(name), str):
            record.msg = event.pop(name)
            record.args = None
            return


def _take_exception(record: logging.LogRecord, event: dict[Any, Any]) -> None:
    """Move what structlog knows of an exception to where `logging` has it."""
    given = event.pop("exc_info", None)
    if isinstance(given, BaseException):
        given = (type(given), given, given.__traceback__)
    elif given is True or given == 1:
        given = sys.exc_info()
    if _is_exc_info(given) and not record.exc_info:
        record.exc_info = given
    text = event.get("exception")
    if isinstance(text, str) and not record.exc_info and not record.exc_text:
        record.exc_text = event.pop("exception")


def _is_exc_info(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 3 and isinstance(value[1], BaseException)


def mended(record: logging.LogRecord) -> logging.LogRecord | None:
    """Return a copy whose standard attributes are there and of their types; None where nothing is wrong with them.

    A filter may have deleted some of them, or put something else in their place.
    """
    level = record.__dict__.get("levelno")
    level = level if type(level) is int else logging.INFO
    now = clock().now().timestamp()
    fresh = logging.LogRecord("root", level, "(unknown file)", 0, "", None, None)
    attributes = fresh.__dict__
    attributes.update(created=now, thread=threading.get_ident())
    allowed: dict[str, Any] = {
        "name": str,
        "levelname": str,
        "levelno": int,
        "pathname": str,
        "filename": str,
        "module": str,
        "lineno": int,
        "funcName": str,
        "exc_text": (str, type(None)),
        "stack_info": (str, type(None)),
    }
    wrong = False
    given = record.__dict__
    for name in STANDARD:
        if name not in given:
            wrong = True
        elif name == "created":
            usable = _is_time(given[name])
            wrong |= not usable
            attributes[name] = given[name] if usable else now
        elif name == "exc_info":
            usable = given[name] is None or given[name] is False or _is_traceback(given[name])
            wrong |= not usable
            attributes[name] = given[name] if usable else None
        elif name in allowed and not isinstance(given[name], allowed[name]):
            wrong = True
        else:
            attributes[name] = given[name]
    if not wrong:
        return None
    found = copy.copy(record)
    found.__dict__.update(attributes)
    return found


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < 253402300800


def _is_traceback(value: Any) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 3
        and (value[2] is None or isinstance(value[2], TracebackType))
    )
