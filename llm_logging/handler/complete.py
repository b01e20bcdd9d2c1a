"""Stage 2 of a record's way to its file: complete what its line holds. Before: `recognise`; next: `protect`.

Context, times, ids and the rules of the models. An entry without identity or model becomes an `invalid_entry` event with its
reasons and its data; any other bad field moves to `attributes.invalid` and the rest stands. No exception leaves `line_of` for what
was logged, and nothing of the caller's is changed.

`line_of` runs both stages. For a well-formed request the fast path `_fast_request` takes their place: one check in Rust instead of
recognition, merging and a model.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any, Final, TypeVar

from pydantic import BaseModel

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
from ..models.json_values import is_json, jsonable, key_text, repr_of
from ..models.record import RecordPayload
from ..models.statuses import status_text
from ..models.validation import fast_entry, forgive
from ..truncation import cut_short
from .recognise import (
    CHAT_MESSAGE,
    LLM_REQUEST,
    RESERVED,
    STANDARD,
    Line,
    extras_of,
    mended,
    recognise,
    unwrapped,
)

__all__ = ["line_of", "robustly"]

# The record's own attributes, and `event_type`, which is not the entry's either.
_OTHERS: Final = len(STANDARD) + 1
_OTHER_NAMES: Final = RESERVED | {"event_type"}
# Raises KeyError where a filter deleted one of them: counting attributes would then count wrongly.
_all_standard: Final = itemgetter(*STANDARD)
_REQUESTS: Final = LogKind.REQUESTS
_EVENTS: Final = LogKind.EVENTS
_EVENT_FIELDS: Final = frozenset(Event.model_fields) - {"data"}
_IDS: Final = ("project_id", "chat_id", "user_id")
_CONTENT: Final = LLMRequestLogEntry.CONTENT_FIELDS
_USAGE: Final = frozenset(Usage.model_fields)
_PARTS: Final = frozenset({"usage", "timings", "cost", "error"})
_TYPED: Final = frozenset({"timestamp_start", "timestamp_end", "created_at", "error", *FLAT_FIELDS})
M = TypeVar("M", bound=BaseModel)
R = TypeVar("R")


def robustly(make: Callable[[logging.LogRecord], R], record: logging.LogRecord) -> R:
    """Return what `make` makes of a record, whatever a filter did to it.

    Args:
        make: Called with the record; once more with a mended copy where that raised and the record is damaged.
        record: Any record of any logger.
    """
    try:
        return make(record)
    except Exception:
        whole = mended(record)
        if whole is None:
            raise
    return make(whole)


def line_of(record: logging.LogRecord, defaults: Mapping[str, Any]) -> Line:
    """Return a record's line, recognised and completed.

    Args:
        record: Any record of any logger; not changed.
        defaults: The handler's `defaults=`.
    """
    line = Line(unwrapped(record))
    # An object that fails in an unforeseen way must not cost the line.
    try:
        fast = _fast_request(line, defaults)
    except Exception:  # noqa: BLE001
        fast = False
    if not fast:
        try:
            recognise(line, defaults)
            _complete(line)
        except Exception as error:
            if mended(line.record) is not None:
                # The record is damaged: `robustly` tries again with a mended one.
                raise
            _unreadable(line, error)
    if line.kind is _REQUESTS:
        line.body["id"] = _same_request(line.record, line.body["id"])
    if (
        "opentelemetry.trace" in sys.modules
        and (ids := active_trace_ids()) is not None
        and "trace_id" not in line.body
    ):
        line.body["trace_id"], line.body["span_id"] = ids
    return line


# -- the fast path ---------------------------------------------------------------------------------------------------


def _fast_request(line: Line, defaults: Mapping[str, Any]) -> bool:
    """Complete the line of a well-formed LLM request; say whether it is one. Else the line is as it was."""
    attributes = line.record.__dict__
    fields = None if line.record.exc_info else _request_fields(line.record, defaults)
    if fields is None:
        return False
    content, usage = None, fields.get("usage")
    if (
        (usage is not None and not (type(usage) is dict and _USAGE.issuperset(usage)))
        or "messages" in fields
        or "response" in fields
    ):
        fields = _flat(extras_of(line.record), None, None, {}) if fields is attributes else dict(fields)
        if usage is not None and (usage := from_provider(usage, _USAGE)) is not None:
            fields = {**with_terms(fields, usage.get("raw") or {}), "usage": usage}
        content = _take_content(fields)
    if fields is attributes:
        others = _OTHERS + ("message" in attributes) + ("asctime" in attributes)
        body = fast_entry(fields, line.micros, others, _OTHER_NAMES)
    else:
        body = fast_entry(fields, line.micros)
    if body is None:
        return False
    extras, usage = body.get("attributes"), body.get("usage")
    if extras is not None and not is_json(extras):
        body["attributes"] = jsonable(extras)
    if usage is not None and "raw" in usage and not is_json(usage["raw"]):
        usage["raw"] = jsonable(usage["raw"])
    _fill_request(line, body, content)
    line.checked = True
    return True


def _request_fields(record: logging.LogRecord, defaults: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the fields of an LLM request, with its context; None where the record is none, or needs a closer look.

    In the common case these are the record's own attributes, without a copy: none of `logging`'s is called as a field is.
    """
    attributes = record.__dict__
    payload = attributes.get(RECORD_ATTRIBUTE)
    if payload is None:
        nested = attributes.get(LLM_REQUEST)
        if nested is None and attributes.get("event_type") != LLM_REQUEST:
            return None
        context: Mapping[str, Any] | None = current_scope()
        if nested is None and not context and not defaults and type(record) is logging.LogRecord:
            _all_standard(attributes)
            return attributes
        return _flat(extras_of(record), nested, context, defaults)
    if type(payload) is not RecordPayload or payload.entry is not None:
        return None
    if payload.kind == LLM_REQUEST:
        return {**(payload.fallback or {}), **defaults, **(payload.context or {}), **payload.fields}
    nested = payload.fields.get(LLM_REQUEST)
    if payload.kind is not None or (nested is None and payload.fields.get("event_type") != LLM_REQUEST):
        return None
    return _flat(dict(payload.fields), nested, payload.context, defaults)


def _flat(
    fields: dict[str, Any], nested: Any, context: Mapping[str, Any] | None, defaults: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a request's fields at one level, above the context and the defaults."""
    fields.pop("event_type", None)
    if nested is not None:
        del fields[LLM_REQUEST]
        if type(nested) is not dict:
            raise TypeError
        fields = {**fields, **nested} if fields else nested
    return {**defaults, **(context or {}), **fields} if context or defaults else fields


def _take_content(fields: dict[str, Any]) -> dict[str, Any] | None:
    """Take messages and response out of a request's fields, once its status is derived from them too."""
    if _CONTENT.isdisjoint(fields):
        return None
    if fields.get("status") is None:
        fields["status"] = derive_status(fields)
    return {
        name: value if is_json(value) else jsonable(value)
        for name in _CONTENT
        if (value := fields.pop(name, None)) is not None
    }


# -- the long way ----------------------------------------------------------------------------------------------------


def _complete(line: Line) -> None:
    if line.entry is not None:
        if isinstance(line.entry, LLMRequestLogEntry):
            _fill_from_entry(line, line.entry)
        else:
            _fill_chat(line, line.entry)
    elif line.event_type == LLM_REQUEST:
        _request(line)
    elif line.event_type == CHAT_MESSAGE:
        _chat(line)
    else:
        _event(line)


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


def _unreadable(line: Line, error: Exception) -> None:
    payload = line.record.__dict__.get(RECORD_ATTRIBUTE)
    given = payload.fields if type(payload) is RecordPayload else extras_of(line.record)
    reasons = [f"{type(error).__qualname__} while the record was read"]
    line.kind, line.event_type = LogKind.SYSTEM, "invalid_entry"
    line.body = {"data": {"reasons": reasons, "entry": jsonable(given)}}


# -- requests --------------------------------------------------------------------------------------------------------


def _request(line: Line) -> None:
    own, record = line.fields, line.record
    beneath = {**line.defaults, **line.context}
    merged = {**beneath, **own}
    if any(value is None for value in own.values()):
        merged.update(
            (key, value) for key, value in beneath.items() if merged.get(key) is None and value is not None
        )
    if record.exc_info and "status" not in own and own.get("error") is None:
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        merged["error"] = error if error is not None else "exception"
    content = _take_content(merged)
    now = datetime.fromtimestamp(line.micros / 1e6, UTC)
    reasons: list[str] = []
    for clean in (_checkable, jsonable):
        try:
            entry, reasons = forgive(LLMRequestLogEntry, clean(merged), now)
            if entry is None:
                break
            _fill_from_entry(line, entry)
        except Exception as error:  # noqa: BLE001  what cannot be checked or written is text the second time
            reasons = [f"entry: {type(error).__qualname__} while it was checked"]
            continue
        line.invalid = len(reasons)
        line.content = content or line.content
        return
    _invalid(line, merged, reasons)


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


def _fill_from_entry(line: Line, entry: LLMRequestLogEntry) -> None:
    content = {name: jsonable(value) for name in _CONTENT if (value := getattr(entry, name)) is not None}
    body = _plain_model(entry.model_copy(update=dict.fromkeys(_CONTENT))).line_fields()
    _fill_request(line, body, content)


def _fill_request(line: Line, body: dict[str, Any], content: dict[str, Any] | None) -> None:
    line.kind, line.event_type, line.body = _REQUESTS, LLM_REQUEST, body
    line.project_id, line.chat_id = body["project_id"], body["chat_id"]
    line.content = content or None


def _plain_model(model: M) -> M:
    """Return a model whose free-form values are JSON's own types; the same object where they are already."""
    free = model.__pydantic_extra__ or {}
    changed: dict[str, Any] = {}
    for name, value in {**model.__dict__, **free}.items():
        if isinstance(value, BaseModel):
            changed[name] = _plain_model(value)
        elif (name in free or isinstance(value, (dict, list))) and not is_json(value):
            changed[name] = jsonable(value)
    return model.model_copy(update=changed) if changed else model


def _invalid(line: Line, merged: Mapping[str, Any], reasons: list[str]) -> None:
    project = merged.get("project_id")
    data = {"reasons": reasons, "entry": jsonable(merged)}
    line.kind, line.event_type, line.body = LogKind.SYSTEM, "invalid_entry", {"data": data}
    if isinstance(project, str) and project:
        line.kind, line.body = LogKind.EVENTS, {"project_id": jsonable(project), **line.body}
        line.project_id = line.body["project_id"]
    line.invalid = len(reasons)


# -- chat messages ---------------------------------------------------------------------------------------------------


def _chat(line: Line) -> None:
    bound = {**line.defaults, **line.context}
    fields: dict[str, Any] = {key: bound[key] for key in ("project_id", "chat_id") if key in bound}
    fields.update((key, value) for key, value in line.fields.items() if value is not None)
    fields.setdefault("created_at", datetime.fromtimestamp(line.micros / 1e6, UTC))
    content = fields.get("content")
    if isinstance(content, str) and len(content) > MAX_CHAT_CONTENT:
        fields["content"] = cut_short(content, MAX_CHAT_CONTENT)
        fields["content_cut"] = len(content)
    message, reasons = forgive(ChatMessage, _checkable(fields))
    if message is None:
        _invalid(line, fields, reasons)
        return
    _fill_chat(line, message)
    if reasons:
        line.body["invalid"] = reasons
        line.invalid = len(reasons)


def _fill_chat(line: Line, message: ChatMessage) -> None:
    line.kind, line.event_type = LogKind.CHAT, CHAT_MESSAGE
    line.body = jsonable(_plain_model(message).line_fields())
    line.project_id, line.chat_id = message.project_id, message.chat_id


# -- events ----------------------------------------------------------------------------------------------------------


def _merged(line: Line) -> Mapping[str, Any]:
    if line.defaults or line.context:
        return {**line.defaults, **line.context, **line.fields}
    return line.fields


def _event(line: Line) -> None:
    record = line.record
    body: dict[str, Any] = {}
    data: dict[str, Any] = {}
    message: Any = record.msg
    if type(message) is not str and isinstance(message, Mapping) and not record.args:
        data.update(message)
    for key, value in _merged(line).items():
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
    if data:
        own_data = data.pop("data", None)
        if own_data is not None:
            data = {**data, **own_data} if isinstance(own_data, Mapping) else {**data, "data": own_data}
        body["data"] = data
    if not is_json(body):
        body = jsonable(body)
    for name in _IDS:
        if type(body.get(name)) is int:
            body[name] = str(body[name])
    project_id = body.get("project_id")
    line.event_type, line.body = event_type, body
    if isinstance(project_id, str) and project_id:
        line.kind, line.project_id = _EVENTS, project_id


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
