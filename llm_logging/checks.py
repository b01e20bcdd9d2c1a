"""Hold an entry to its model: strictly, forgivingly, and fast.

Three ways, one truth. `validate` raises our ValidationError with every reason. `forgive` moves what is wrong to
`attributes.invalid` and keeps the rest. `fast_entry` does for well-formed entries what the model does, in a tenth of
the time, and answers None for anything that it is not sure of; a property test holds it equal to the model.
Reasons name fields, types and numbers, never text that was logged: it may hold a secret.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

import pydantic
from pydantic import BaseModel

from .clock import clock, format_micros, format_time
from .errors import ErrorCode, ValidationError
from .schema import FLAT_FIELDS, LLMRequestLogEntry, Timings, Usage, normalise_entry

__all__ = ["complete_times", "fast_entry", "forgive", "validate"]

M = TypeVar("M", bound=BaseModel)

_CODES: Final = {
    "project_id": ErrorCode.INVALID_PROJECT_ID,
    "chat_id": ErrorCode.INVALID_CHAT_ID,
    "model": ErrorCode.INVALID_MODEL,
}
_ROUNDS = 8


def validate(model: type[M], fields: Mapping[str, Any], now: datetime | None = None) -> M:
    """Build a model from fields, or say everything that is wrong with them.

    Args:
        model: `LLMRequestLogEntry` or `ChatMessage`.
        fields: Field names to values; not changed.
        now: The time of the record; the clock's where it is None.

    Raises:
        ValidationError: With one reason a field; its code tells a missing or bad identity.
    """
    data = complete_times(normalise_entry(fields), now) if model is LLMRequestLogEntry else dict(fields)
    try:
        return model.model_validate(data)
    except pydantic.ValidationError as error:
        details = error.errors(include_url=False)
    except RecursionError:
        raise ValidationError(f"{model.__name__}: expected values nested less deeply") from None
    reasons = [_reason(detail) for detail in details]
    broken = {str(detail["loc"][0]) for detail in details if detail["loc"]}
    code = next((code for name, code in _CODES.items() if name in broken), ErrorCode.INVALID_ENTRY)
    text = f"{model.__name__}: {len(reasons)} of its fields break the contract\n  " + "\n  ".join(reasons)
    raise ValidationError(text, code=code, reasons=reasons) from None


def forgive(
    model: type[M], fields: Mapping[str, Any], now: datetime | None = None
) -> tuple[M | None, list[str]]:
    """Build a model from what is right in the fields; spend is never lost over a typo.

    Args:
        model: `LLMRequestLogEntry` or `ChatMessage`.
        fields: Field names to values; not changed.
        now: The time of the record; the clock's where it is None.

    Returns:
        The entry, its bad fields moved to `attributes.invalid` (an entry) or left out (a message), and the reasons;
        None instead of the entry where its identity is missing.
    """
    is_entry = model is LLMRequestLogEntry
    data = complete_times(normalise_entry(fields), now) if is_entry else dict(fields)
    invalid: dict[str, Any] = {}
    reasons: list[str] = []
    required = {name for name, field in model.model_fields.items() if field.is_required()}
    for _ in range(_ROUNDS):
        if invalid and is_entry:
            attributes = data.get("attributes")
            data["attributes"] = {
                **(attributes if isinstance(attributes, Mapping) else {}),
                "invalid": invalid,
            }
        try:
            return model.model_validate(data), reasons
        except pydantic.ValidationError as error:
            details = error.errors(include_url=False)
        reasons.extend(_reason(detail) for detail in details)
        if any(detail["loc"] and detail["loc"][0] in required for detail in details):
            return None, reasons
        for detail in sorted(details, key=lambda d: [str(part).zfill(9) for part in d["loc"]], reverse=True):
            for loc in _culprits(detail):
                data = _without(data, loc, invalid)
    return None, reasons


def complete_times(entry: dict[str, Any], now: datetime | None = None) -> dict[str, Any]:
    """Fill in the times that the others and the latency imply; `entry` is changed and returned.

    An entry with a latency and no times was logged when it ended: its start is that much earlier.

    Args:
        entry: A normalised entry.
        now: The time of the record; the clock's where it is None.
    """
    timings = entry.get("timings")
    latency: Any = (
        timings.get("latency_ms") if isinstance(timings, Mapping) else getattr(timings, "latency_ms", None)
    )
    known = type(latency) in (int, float) and 0 <= latency < 1e12
    start, end = entry.get("timestamp_start"), entry.get("timestamp_end")
    try:
        if start is None:
            stop = end if end is not None else (now or clock().now())
            if known and isinstance(stop, datetime):
                entry["timestamp_start"] = stop - timedelta(milliseconds=latency)
                entry["timestamp_end"] = stop
            elif end is None:
                entry["timestamp_start"] = stop
        elif end is None and known:
            begun = datetime.fromisoformat(start) if isinstance(start, str) else start
            if isinstance(begun, datetime):
                entry["timestamp_end"] = begun + timedelta(milliseconds=latency)
    except (ValueError, OverflowError):
        pass
    return entry


def _culprits(detail: Any) -> list[tuple[Any, ...]]:
    loc = tuple(detail["loc"])
    broken = (detail.get("ctx") or {}).get("fields")
    return [(*loc, name) for name in broken] if broken else [loc]


def _without(data: dict[str, Any], loc: tuple[Any, ...], invalid: dict[str, Any]) -> dict[str, Any]:
    """Return `data` without the value at `loc`, which moves to `invalid`; nothing of the caller's is changed."""
    if not loc:
        return {}
    copy = dict(data)
    holder: Any = copy
    for depth, part in enumerate(loc):
        try:
            value = holder[part]
        except (KeyError, IndexError, TypeError):
            return copy
        if depth == len(loc) - 1:
            invalid[".".join(map(str, loc))] = value
            del holder[part]
            return copy
        if isinstance(value, BaseModel):
            value = value.model_dump(exclude_none=True)
        if isinstance(value, Mapping):
            inner: Any = dict(value)
        elif isinstance(value, (list, tuple)):
            inner = list(value)
        else:
            # A location inside a value of another shape, as a union's branch names: the whole value goes.
            invalid[".".join(map(str, loc[: depth + 1]))] = value
            del holder[part]
            return copy
        holder[part] = inner
        holder = inner
    return copy


def _reason(detail: Any) -> str:
    where = ".".join(map(str, detail["loc"])) or "entry"
    broken = (detail.get("ctx") or {}).get("fields")
    if broken:
        return f"{'.'.join([*map(str, detail['loc']), '/'.join(broken)])}: {detail['msg']}"
    if detail["type"] == "missing":
        return f"{where}: expected a value, got none"
    return f"{where}: {detail['msg']}, got {_shown(detail['input'])}"


def _shown(value: Any) -> str:
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)[:40]
    if isinstance(value, str):
        # Short plain words (a status) help; longer text may be a secret that was put in the wrong place.
        return repr(value) if len(value) <= 12 and value.isalpha() else f"a str of {len(value)} characters"
    return f"a {type(value).__name__}"


# -- the fast path ---------------------------------------------------------------------------------------------------


def _table() -> dict[str, tuple[str, Any]]:
    """Read from the model what kind of check each field needs; what is not plain stays with the model."""
    table: dict[str, tuple[str, Any]] = {}
    for name, field in LLMRequestLogEntry.model_fields.items():
        annotation = _unwrapped(field.annotation)
        if typing.get_origin(annotation) is typing.Literal:
            table[name] = ("choice", frozenset(typing.get_args(annotation)))
        elif name in {"http_status", "attempt"}:
            table[name] = (name, None)
        elif annotation is datetime:
            table[name] = ("time", None)
        elif annotation is str and name != "id":
            table[name] = ("text", None)
        elif annotation is bool:
            table[name] = ("bool", None)
        elif annotation in {Usage, Timings}:
            table[name] = (name, None)
        elif typing.get_origin(annotation) is list and _unwrapped(typing.get_args(annotation)[0]) is str:
            table[name] = ("texts", None)
    return table


def _unwrapped(annotation: Any) -> Any:
    """Take `| None` and `Annotated` off an annotation."""
    while True:
        arguments = typing.get_args(annotation)
        if typing.get_origin(annotation) is typing.Annotated:
            annotation = arguments[0]
        elif type(None) in arguments and len(arguments) == 2:
            annotation = next(argument for argument in arguments if argument is not type(None))
        else:
            return annotation


_TABLE: Final = _table()
_MODEL_ONLY: Final = frozenset({*LLMRequestLogEntry.model_fields, *FLAT_FIELDS, "request_id"} - _TABLE.keys())
_TOKENS: Final = frozenset(Usage.model_fields) - {"source", "raw", "total_tokens"}
_SOURCES: Final = frozenset({"provider", "partial", "estimated"})
_DURATIONS: Final = frozenset(Timings.model_fields)
_EVIDENCE: Final = (
    "usage",
    "timings",
    "finish_reasons",
    "provider_response_id",
    "timestamp_end",
    "http_status",
)
_MAX_TOKENS: Final = 2**53
_MAX_TEXT: Final = 10_000


def fast_entry(fields: Mapping[str, Any], now: int) -> dict[str, Any] | None:  # noqa: C901, PLR0912
    """Check a well-formed entry and return what its line holds.

    Args:
        fields: Field names to values; not changed.
        now: The time of the record in whole microseconds since 1970.

    Returns:
        The same fields and values as `LLMRequestLogEntry(...).line_fields()`, values of attributes as they came, or
        None where only the model knows.
    """
    body: dict[str, Any] = {"id": None, "timestamp_start": None}
    attributes: dict[str, Any] | None = None
    for name, given in fields.items():
        rule = _TABLE.get(name)
        if rule is None:
            if name in _MODEL_ONLY or type(name) is not str or given is None:
                return None
            if attributes is None:
                attributes = {}
            attributes[name] = given
            continue
        kind, choices = rule
        value = given
        if kind == "text":
            if type(value) is not str or not value or len(value) > _MAX_TEXT:
                return None
        elif kind == "usage":
            value = _fast_usage(given)
            if value is None:
                return None
        elif kind == "timings":
            if not _fast_timings(value):
                return None
        elif kind == "texts":
            if type(value) is not list or not _fast_texts(value):
                return None
        elif kind == "choice":
            if type(value) is not str or value not in choices:
                return None
        elif kind == "bool":
            if type(value) is not bool:
                return None
        elif kind == "http_status":
            if type(value) is not int or not 100 <= value <= 599:
                return None
        elif kind == "attempt":
            if type(value) is not int or not 1 <= value <= 2**31:
                return None
        elif kind == "time":
            if type(value) is not datetime or value.tzinfo is not UTC:
                return None
            value = format_time(value)
        else:
            return None
        body[name] = value
    if attributes is not None:
        body["attributes"] = attributes
    return _finished(body, now)


def _finished(body: dict[str, Any], now: int) -> dict[str, Any] | None:
    if "project_id" not in body or "chat_id" not in body or "model" not in body:
        return None
    latency = body["timings"].get("latency_ms") if "timings" in body else None
    start, end = body["timestamp_start"], body.get("timestamp_end")
    if start is None:
        if end is not None:
            return None
        if latency is None:
            body["timestamp_start"] = format_micros(now)
        else:
            body["timestamp_start"] = format_micros(now - round(latency * 1000))
            body["timestamp_end"] = format_micros(now)
    elif end is None:
        if latency is not None:
            return None
    elif end < start:
        # Both are written to the microsecond in UTC, so their text sorts as they do.
        return None
    if "status" not in body:
        if body.get("http_status", 0) >= 400:
            body["status"] = "error"
        else:
            body["status"] = "success" if any(name in body for name in _EVIDENCE) else "pending"
    body["id"] = clock().new_id()
    return body


def _fast_texts(value: list[Any]) -> bool:
    return all(type(text) is str and 0 < len(text) <= _MAX_TEXT for text in value)


def _fast_timings(value: Any) -> bool:
    if type(value) is not dict:
        return False
    for name, duration in value.items():
        kind = type(duration)
        if name not in _DURATIONS or (kind is not float and kind is not int) or not 0 <= duration < 1e15:
            return False
    return True


def _fast_usage(value: Any) -> dict[str, Any] | None:
    if type(value) is not dict:
        return None
    usage: dict[str, Any] = {}
    for name, count in value.items():
        if name in _TOKENS:
            if type(count) is not int or not 0 <= count <= _MAX_TOKENS:
                return None
        elif name == "source":
            if count not in _SOURCES:
                return None
        elif name != "total_tokens":
            return None
        usage[name] = count
    get = usage.get
    prompt, completion = get("prompt_tokens"), get("completion_tokens")
    if prompt is None or completion is None:
        return None
    total = prompt + completion
    if get("total_tokens", total) != total:
        return None
    usage["total_tokens"] = total
    if len(usage) > 3:
        writes = get("cache_write_tokens")
        if get("cache_read_tokens", 0) + (writes or 0) > prompt or get("reasoning_tokens", 0) > completion:
            return None
        if writes is not None and get("cache_write_1h_tokens", 0) > writes:
            return None
    return usage
