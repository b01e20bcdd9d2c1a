"""A log record -> what its lines hold.

Every record of any library has a line: an LLM request, a chat message, or else an event. An LLM request is recognised by
`extra={"llm_request": {...}}`, an entry object, or flat extras with `event_type="llm_request"`; a chat message likewise. An
entry without identity or model becomes an `invalid_entry` event with its reasons and its data; any other bad field moves to
`attributes.invalid` and the rest stands. Nothing in here raises for what was logged, and nothing of the caller's is changed.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any, Final, TypeVar

from pydantic import BaseModel

from ..clock import clock
from ..context import active_trace_ids, current_scope
from ..files.layout import LogKind
from ..models.counting.billed import with_terms
from ..models.counting.sdk_objects import shallow
from ..models.counting.usage_objects import as_usage, from_provider
from ..models.entry import (
    FLAT_FIELDS,
    MAX_CHAT_CONTENT,
    RECORD_ATTRIBUTE,
    ChatMessage,
    Event,
    LLMRequestLogEntry,
    Usage,
    derive_status,
)
from ..models.record import RecordPayload
from ..models.statuses import status_text
from ..models.validation import fast_entry, forgive
from ..truncation import cut_short
from .foreign_records import RESERVED, STANDARD, extras_of, mended
from .serialise import jsonable, key_text, plain, repr_of

__all__ = ["Built", "build", "message_of"]

# The record's own attributes, and `event_type`, which is not the entry's either.
_OTHERS: Final = len(STANDARD) + 1
_OTHER_NAMES: Final = RESERVED | {"event_type"}
# Raises KeyError where a filter deleted one of them: counting attributes would then count wrongly.
_all_standard: Final = itemgetter(*STANDARD)
_REQUESTS: Final = LogKind.REQUESTS
_EVENT_FIELDS: Final = frozenset(Event.model_fields) - {"data"}
_IDS: Final = ("project_id", "chat_id", "user_id")
_CONTENT: Final = LLMRequestLogEntry.CONTENT_FIELDS
_PARTS: Final = frozenset({"usage", "timings", "cost", "error"})
_TYPED: Final = frozenset({"timestamp_start", "timestamp_end", "created_at", "error", *FLAT_FIELDS})
M = TypeVar("M", bound=BaseModel)
LLM_REQUEST: Final = "llm_request"
CHAT_MESSAGE: Final = "chat_message"


class Built:
    """What one line holds, beside the envelope.

    Attributes:
        kind: Which file it is for.
        event_type: As in the envelope.
        project_id: Whose file; None for the system's.
        chat_id: Whose file, for chats.
        body: Field names to JSON values; never the caller's own dict at its top.
        content: `messages` and `response` of a request, which have a file of their own.
        invalid: How many fields were wrong.
        micros: The record's time in whole microseconds since 1970; 0 until it is known.
        firm: Whether the fields are a request's that `fast_entry` held to its model.
    """

    __slots__ = (
        "body",
        "chat_id",
        "content",
        "event_type",
        "firm",
        "invalid",
        "kind",
        "micros",
        "project_id",
    )

    def __init__(
        self,
        kind: LogKind,
        event_type: str,
        body: dict[str, Any],
        project_id: str | None = None,
        chat_id: str | None = None,
    ) -> None:
        self.kind = kind
        self.event_type = event_type
        self.body = body
        self.project_id = project_id
        self.chat_id = chat_id
        self.content: dict[str, Any] | None = None
        self.invalid = 0
        self.micros = 0
        self.firm = False


def message_of(record: logging.LogRecord, redact: Callable[[Any], Any] | None = None) -> str:
    """Return the record's message as `logging.Formatter` has it; one whose arguments do not fit it is kept with them.

    Args:
        record: The record.
        redact: Takes secrets out of arguments that have names, `%(password)s`: the formatted text has lost the names.
    """
    if redact is not None and isinstance(record.args, Mapping):
        found = redact(record.args)
        if found is not record.args:
            try:
                return str(record.msg) % found
            except Exception:  # noqa: BLE001  a format that does not fit what took a value's place
                return f"{repr_of(record.msg)} {repr_of(found)}"
    try:
        # A record class of the user's may merge arguments in another way.
        message = record.getMessage()
        return message if type(message) is str else str(message)
    except Exception:  # noqa: BLE001  a format that does not fit, somebody's __str__, or no message at all
        given, args = record.__dict__.get("msg"), record.__dict__.get("args")
        if "msg" not in record.__dict__:
            return ""
        return f"{repr_of(given)} {repr_of(args)}" if args else repr_of(given)


def fast_request(
    record: logging.LogRecord, defaults: Mapping[str, Any], micros: int
) -> dict[str, Any] | None:
    """Return what the line of a well-formed LLM request holds; None where the record needs a closer look."""
    attributes = record.__dict__
    if record.exc_info:
        return None
    payload = attributes.get(RECORD_ATTRIBUTE)
    if payload is None:
        nested = attributes.get(LLM_REQUEST)
        if nested is None and attributes.get("event_type") != LLM_REQUEST:
            return None
        context: Mapping[str, Any] | None = current_scope()
        if nested is None and not context and not defaults and type(record) is logging.LogRecord:
            # The common case, without a copy: none of the record's own attributes is a field's name.
            _all_standard(attributes)
            others = _OTHERS + ("message" in attributes) + ("asctime" in attributes)
            body = fast_entry(attributes, micros, others, _OTHER_NAMES)
            if body is not None:
                return _written_plainly(body)
        fields = {key: value for key, value in attributes.items() if key not in RESERVED}
    elif type(payload) is RecordPayload and payload.entry is None and payload.kind is None:
        given = payload.fields
        nested = given.get(LLM_REQUEST)
        if nested is None and given.get("event_type") != LLM_REQUEST:
            return None
        fields = dict(given)
        context = payload.context
    elif type(payload) is RecordPayload and payload.kind == LLM_REQUEST and payload.entry is None:
        return _checked(
            {**(payload.fallback or {}), **defaults, **(payload.context or {}), **payload.fields}, micros
        )
    else:
        return None
    fields.pop("event_type", None)
    if nested is not None:
        del fields[LLM_REQUEST]
        if type(nested) is not dict:
            return None
        fields = {**fields, **nested} if fields else nested
    return _checked({**defaults, **(context or {}), **fields} if context or defaults else fields, micros)


def _checked(fields: Mapping[str, Any], micros: int) -> dict[str, Any] | None:
    if not _CONTENT.isdisjoint(fields):
        return None
    body = fast_entry(fields, micros)
    if body is None and (usage := from_provider(fields.get("usage"), Usage.model_fields.keys())) is not None:
        # A provider's usage object is the usual reason; the rest of such an entry is well-formed.
        body = fast_entry({**with_terms(fields, usage.get("raw") or {}), "usage": usage}, micros)
    return None if body is None else _written_plainly(body)


def _firm(body: dict[str, Any]) -> Built:
    built = Built(_REQUESTS, LLM_REQUEST, body, body["project_id"], body["chat_id"])
    built.firm = True
    return built


def _written_plainly(body: dict[str, Any]) -> dict[str, Any]:
    """Make the free-form values of an entry JSON's own types."""
    extras = body.get("attributes")
    if extras is not None and not plain(extras):
        body["attributes"] = jsonable(extras)
    usage = body.get("usage")
    if usage is not None and "raw" in usage and not plain(usage["raw"]):
        usage["raw"] = jsonable(usage["raw"])
    return body


def build(record: logging.LogRecord, defaults: Mapping[str, Any]) -> Built:
    """Say what a record's line holds.

    Args:
        record: Any record of any library; not changed.
        defaults: The handler's `defaults=`.
    """
    micros = micros_of(record)
    # An object that fails in a way nobody thought of must not cost the line.
    try:
        body = fast_request(record, defaults, micros)
    except Exception:  # noqa: BLE001
        body = None
    if body is not None:
        built = _firm(body)
    else:
        try:
            built = _recognised(record, defaults)
        except Exception as error:  # noqa: BLE001
            whole = mended(record)
            built = _unreadable(record, error) if whole is None else build(whole, defaults)
    if built.kind is _REQUESTS:
        built.body["id"] = _same_request(record, built.body["id"])
    built.micros = micros
    if (
        "opentelemetry.trace" in sys.modules
        and (ids := active_trace_ids()) is not None
        and "trace_id" not in built.body
    ):
        built.body["trace_id"], built.body["span_id"] = ids
    return built


# The ids that the latest records were given, by what a record shares with its copies; the older half is dropped at once.
_KNOWN: Final = 2048
_ids: dict[int, tuple[Any, str]] = {}
_older_ids: dict[int, tuple[Any, str]] = {}


def _same_request(record: logging.LogRecord, request_id: str) -> str:
    """Return the id that another handler gave to this record, or to one that it was copied from, else `request_id`.

    Several handlers build a record, one of them behind a QueueHandler, which copies it: it is one request. A copy shares the
    attribute `relativeCreated`, an object made for each record; a reference to it keeps its identity from being reused.
    """
    global _ids, _older_ids
    mark = record.__dict__.get("relativeCreated")
    if type(mark) is not float:
        return request_id
    key = id(mark)
    known = _older_ids.get(key)
    if known is None or known[0] is not mark:
        if len(_ids) >= _KNOWN:
            _older_ids, _ids = _ids, {}
        known = _ids.setdefault(key, (mark, request_id))
        if known[0] is not mark:
            known = _ids[key] = (mark, request_id)
    return known[1]


def _unreadable(record: logging.LogRecord, error: Exception) -> Built:
    payload = record.__dict__.get(RECORD_ATTRIBUTE)
    given = payload.fields if type(payload) is RecordPayload else extras_of(record)
    reasons = [f"{type(error).__qualname__} while the record was read"]
    return Built(LogKind.SYSTEM, "invalid_entry", {"data": {"reasons": reasons, "entry": jsonable(given)}})


def _recognised(record: logging.LogRecord, defaults: Mapping[str, Any]) -> Built:
    payload = record.__dict__.get(RECORD_ATTRIBUTE)
    if type(payload) is RecordPayload:
        return _from_payload(record, payload, defaults)
    fields = extras_of(record)
    if payload is not None:
        fields[RECORD_ATTRIBUTE] = payload
    return _from_fields(record, fields, None, defaults, None)


def _from_payload(record: logging.LogRecord, payload: RecordPayload, defaults: Mapping[str, Any]) -> Built:
    entry = payload.entry
    if isinstance(entry, LLMRequestLogEntry):
        return _request_line(entry)
    if isinstance(entry, ChatMessage):
        return _chat_line(entry)
    context = payload.context or {}
    if payload.kind == LLM_REQUEST:
        return _request(record, payload.fields, context, {**(payload.fallback or {}), **defaults})
    return _from_fields(record, payload.fields, context, defaults, payload.kind)


def _from_fields(
    record: logging.LogRecord,
    fields: Mapping[str, Any],
    context: Mapping[str, Any] | None,
    defaults: Mapping[str, Any],
    kind: str | None,
) -> Built:
    """Recognise what a record is by its fields; `context` None takes the scopes of this moment."""
    if context is None:
        context = current_scope()
    given = fields.get("event_type")
    event_type = given if isinstance(given, str) else None
    for name, make in ((LLM_REQUEST, _request), (CHAT_MESSAGE, _chat)):
        nested = fields.get(name)
        if nested is not None:
            if isinstance(nested, (LLMRequestLogEntry, ChatMessage)):
                nested = {key: value for key, value in nested if value is not None}
            if isinstance(nested, Mapping):
                outer = {key: value for key, value in fields.items() if key not in {name, "event_type"}}
                return make(record, {**outer, **nested}, context, defaults)
        if name in (event_type, kind):
            return make(record, {k: v for k, v in fields.items() if k != "event_type"}, context, defaults)
    return _event(record, fields, context, defaults)


def micros_of(record: logging.LogRecord) -> int:
    """Return a record's time in whole microseconds since 1970."""
    return round(clock().created(record.created) * 1_000_000)


# -- requests --------------------------------------------------------------------------------------------------------


def _request(
    record: logging.LogRecord, own: Mapping[str, Any], context: Mapping[str, Any], defaults: Mapping[str, Any]
) -> Built:
    merged = {**defaults, **context, **own} if defaults or context else dict(own)
    if not record.exc_info:
        body = _checked(merged, micros_of(record))
        if body is not None:
            return _firm(body)
    if any(value is None for value in own.values()):
        merged.update(
            (key, value)
            for key, value in {**defaults, **context}.items()
            if merged.get(key) is None and value is not None
        )
    if record.exc_info and "status" not in own and own.get("error") is None:
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        merged["error"] = error if error is not None else "exception"
    content = None
    if not _CONTENT.isdisjoint(merged):
        if merged.get("status") is None:
            merged["status"] = derive_status(merged)
        content = {
            name: value if plain(value) else jsonable(value)
            for name in _CONTENT
            if (value := merged.pop(name, None)) is not None
        }
    micros = micros_of(record)
    body = _checked(merged, micros)
    built = _firm(body) if body is not None else _forgiven(merged, micros)
    if content and built.event_type == LLM_REQUEST:
        built.content = content
    return built


def _forgiven(merged: dict[str, Any], micros: int) -> Built:
    now = datetime.fromtimestamp(micros / 1e6, UTC)
    reasons: list[str] = []
    for clean in (_checkable, jsonable):
        try:
            entry, reasons = forgive(LLMRequestLogEntry, clean(merged), now)
            built = _request_line(entry) if entry is not None else None
        except Exception as error:  # noqa: BLE001  what cannot be checked or written is text the second time
            reasons = [f"entry: {type(error).__qualname__} while it was checked"]
            continue
        if built is None:
            break
        built.invalid = len(reasons)
        return built
    return _invalid(merged, reasons)


def _checkable(merged: Mapping[str, Any]) -> dict[str, Any]:
    """Make every value something that pydantic can both check and write; what a field understands stays as it is."""
    return {key_text(name): _checkable_value(name, value) for name, value in merged.items()}


def _checkable_value(name: str, value: Any) -> Any:
    if isinstance(value, (datetime, timedelta, BaseException)) and name in _TYPED:
        return value
    if name == "status":
        return jsonable(status_text(value))
    if name in _PARTS and isinstance(value, Mapping):
        return {key_text(key): part if _countable(part) else jsonable(part) for key, part in value.items()}
    if name == "usage":
        value = as_usage(value) or value
    elif name == "llm_info" and (fields := shallow(value)) is not None:
        return _checkable(fields)
    return jsonable(value)


def _countable(value: Any) -> bool:
    return isinstance(value, timedelta) or hasattr(type(value), "__index__")


def _request_line(entry: LLMRequestLogEntry) -> Built:
    content = {name: jsonable(value) for name in _CONTENT if (value := getattr(entry, name)) is not None}
    body = _plain_model(entry.model_copy(update=dict.fromkeys(_CONTENT))).line_fields()
    built = Built(LogKind.REQUESTS, LLM_REQUEST, body, body["project_id"], body["chat_id"])
    built.content = content or None
    return built


def _plain_model(model: M) -> M:
    """Return a model whose free-form values are JSON's own types; the same object where they are already."""
    free = model.__pydantic_extra__ or {}
    changed: dict[str, Any] = {}
    for name, value in {**model.__dict__, **free}.items():
        if isinstance(value, BaseModel):
            changed[name] = _plain_model(value)
        elif (name in free or isinstance(value, (dict, list))) and not plain(value):
            changed[name] = jsonable(value)
    return model.model_copy(update=changed) if changed else model


def _invalid(merged: Mapping[str, Any], reasons: list[str]) -> Built:
    project = merged.get("project_id")
    data = {"reasons": reasons, "entry": jsonable(merged)}
    body: dict[str, Any] = {"data": data}
    project_id = project if isinstance(project, str) and project else None
    if project_id is not None:
        body = {"project_id": jsonable(project_id), **body}
    kind = LogKind.EVENTS if project_id is not None else LogKind.SYSTEM
    built = Built(kind, "invalid_entry", body, body.get("project_id"))
    built.invalid = len(reasons)
    return built


# -- chat messages ---------------------------------------------------------------------------------------------------


def _chat(
    record: logging.LogRecord, own: Mapping[str, Any], context: Mapping[str, Any], defaults: Mapping[str, Any]
) -> Built:
    bound = {**defaults, **context}
    fields: dict[str, Any] = {key: bound[key] for key in ("project_id", "chat_id") if key in bound}
    fields.update((key, value) for key, value in own.items() if value is not None)
    fields.setdefault("created_at", datetime.fromtimestamp(micros_of(record) / 1e6, UTC))
    content = fields.get("content")
    if isinstance(content, str) and len(content) > MAX_CHAT_CONTENT:
        fields["content"] = cut_short(content, MAX_CHAT_CONTENT)
        fields["content_cut"] = len(content)
    message, reasons = forgive(ChatMessage, _checkable(fields))
    if message is None:
        return _invalid(fields, reasons)
    built = _chat_line(message)
    if reasons:
        built.body["invalid"] = reasons
        built.invalid = len(reasons)
    return built


def _chat_line(message: ChatMessage) -> Built:
    return Built(
        LogKind.CHAT,
        CHAT_MESSAGE,
        jsonable(_plain_model(message).line_fields()),
        message.project_id,
        message.chat_id,
    )


# -- events ----------------------------------------------------------------------------------------------------------


def _event(
    record: logging.LogRecord, own: Mapping[str, Any], context: Mapping[str, Any], defaults: Mapping[str, Any]
) -> Built:
    merged = {**defaults, **context, **own} if defaults or context else own
    body: dict[str, Any] = {}
    data: dict[str, Any] = {}
    if isinstance(record.msg, Mapping) and not record.args:
        data.update(record.msg)
    for key, value in merged.items():
        if value is None:
            continue
        # A type that is no text names no event, and is not lost for it.
        if key in _EVENT_FIELDS and (key != "event_type" or isinstance(value, str)):
            body[key] = value
        else:
            data[key] = value
    if record.exc_info or record.exc_text or record.stack_info:
        _note_exception(record, body)
    event_type = body.pop("event_type", None)
    if not event_type:
        event_type = "error" if record.levelno >= logging.ERROR else "log"
    project_id = body.get("project_id")
    if data:
        own_data = data.pop("data", None)
        if isinstance(own_data, Mapping):
            data = {**data, **own_data}
        elif own_data is not None:
            data["data"] = own_data
        body["data"] = data
    if not plain(body):
        body = jsonable(body)
        project_id = body.get("project_id")
    for name in _IDS:
        if type(body.get(name)) is int:
            body[name] = str(body[name])
    project_id = body.get("project_id")
    if not isinstance(project_id, str) or not project_id:
        return Built(LogKind.SYSTEM, event_type, body)
    return Built(LogKind.EVENTS, event_type, body, project_id)


def _note_exception(record: logging.LogRecord, body: dict[str, Any]) -> None:
    exc_info = record.exc_info
    if isinstance(exc_info, tuple) and exc_info[0] is not None:
        body.setdefault("error_type", exc_info[0].__qualname__)
        if "stack" not in body:
            try:
                body["stack"] = "".join(traceback.format_exception(*exc_info)).rstrip("\n")
            except Exception:  # noqa: BLE001  an exception whose __str__ fails
                body["stack"] = repr_of(exc_info[1])
    elif record.exc_text:
        body.setdefault("stack", record.exc_text)
    if record.stack_info:
        body.setdefault("stack", record.stack_info)
