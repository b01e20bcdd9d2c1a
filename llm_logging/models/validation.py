"""Validate an entry: strictly, forgivingly, and fast.

`validate` raises `ValidationError` with every reason. `forgive` moves bad values to `attributes.invalid` and keeps the rest.
`fast_entry` does for well-formed entries what the model does in a tenth of the time, and returns None for everything else. All
three share the rules in `rules` and the bounds of the fields; a property test holds `fast_entry` equal to the model.
Reasons name fields, types and numbers, never logged text, which may hold a secret.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, TypeVar

import pydantic
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import SchemaValidator, core_schema

from ..clock import clock, format_micros, format_time
from ..errors import ErrorCode, ValidationError
from .entry import FLAT_FIELDS, LLMRequestLogEntry, Timings, Usage, derive_status, normalise_entry
from .fields import MAX_IDENTIFIER, UUID_PATTERN
from .rules import MAX_LATENCY_MS, end_before_start, implied_times, settle_usage

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
        The entry, its bad fields moved to `attributes.invalid` (an entry) or `invalid_values` (a message), and the reasons;
        None instead of the entry where its identity is missing.
    """
    is_entry = model is LLMRequestLogEntry
    data = complete_times(normalise_entry(fields), now) if is_entry else dict(fields)
    invalid: dict[str, Any] = {}
    given = data.get("attributes")
    if is_entry and isinstance(given, Mapping) and isinstance(given.get("invalid"), Mapping):
        invalid.update(given["invalid"])
    reasons: list[str] = []
    required = {name for name, field in model.model_fields.items() if field.is_required()}
    for _ in range(_ROUNDS):
        if invalid and is_entry:
            attributes = data.get("attributes")
            data["attributes"] = {
                **(attributes if isinstance(attributes, Mapping) else {}),
                "invalid": invalid,
            }
        elif invalid:
            data["invalid_values"] = invalid
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
        if is_entry:
            data = complete_times(data, now)
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
    if isinstance(latency, timedelta):
        latency = latency / timedelta(milliseconds=1)
    known = type(latency) in (int, float) and 0 <= latency < MAX_LATENCY_MS
    start, end = _moment(entry.get("timestamp_start")), _moment(entry.get("timestamp_end"))
    given = end if start is None else start
    if given is not None and not isinstance(given, datetime):
        return entry
    try:
        started, ended = implied_times(
            start, end, timedelta(milliseconds=latency) if known else None, now or clock().now()
        )
    except OverflowError:
        return entry
    if start is None:
        entry["timestamp_start"] = started
    if end is None and ended is not None:
        entry["timestamp_end"] = ended
    return entry


def _moment(value: Any) -> Any:
    """Return a time given as text as a time, where it is one; whether it is right is the model's business."""
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            return value
    return value


def _culprits(detail: Any) -> list[tuple[Any, ...]]:
    loc = tuple(detail["loc"])
    broken = (detail.get("ctx") or {}).get("fields")
    if detail["type"] == "missing":
        # What lacks a part that it cannot be without goes as a whole.
        return [loc[:-1]]
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
    if isinstance(value, int) and value.bit_length() > 128:
        return f"a whole number of {value.bit_length()} bits"
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)[:40]
    if isinstance(value, str):
        # Short plain words (a status) help; longer text may be a secret that was put in the wrong place.
        return repr(value) if len(value) <= 12 and value.isalpha() else f"a str of {len(value)} characters"
    return f"a {type(value).__name__}"


# -- the fast path ---------------------------------------------------------------------------------------------------

# Empty and longer texts take the way through the model.
_TEXT: Final = core_schema.str_schema(min_length=1, max_length=MAX_IDENTIFIER, strict=True)
# In the form that the model writes; other spellings take the way through the model.
_UUID: Final = core_schema.str_schema(pattern=f"^{UUID_PATTERN}$", strict=True)


def _fast_schema(name: str, field: FieldInfo) -> core_schema.CoreSchema | None:
    """Return a check for one field, as strict as the model's or stricter; None where only the model knows."""
    annotation, bounds = _unwrapped(field.annotation, field.metadata)
    if name == "id":
        return _UUID
    if name == "raw":
        return core_schema.dict_schema(core_schema.str_schema(strict=True), strict=True)
    if typing.get_origin(annotation) is typing.Literal:
        return core_schema.literal_schema(list(typing.get_args(annotation)))
    if annotation is str:
        return _TEXT
    if annotation is bool:
        return core_schema.bool_schema(strict=True)
    if annotation is datetime:
        return core_schema.is_instance_schema(datetime)
    if annotation is int:
        return core_schema.int_schema(ge=bounds["ge"], le=bounds["le"], strict=True)
    if annotation is float:
        return core_schema.float_schema(ge=bounds["ge"], lt=MAX_LATENCY_MS, allow_inf_nan=False, strict=True)
    if annotation in {Usage, Timings}:
        return _fast_dict(annotation, extra="forbid")
    if typing.get_origin(annotation) is list and _unwrapped(typing.get_args(annotation)[0])[0] is str:
        return core_schema.list_schema(_TEXT, strict=True)
    return None


def _fast_dict(model: type[BaseModel], *, extra: Literal["ignore", "forbid"]) -> core_schema.CoreSchema:
    fields = {}
    for name, field in model.model_fields.items():
        schema = _fast_schema(name, field)
        if schema is not None:
            fields[name] = core_schema.typed_dict_field(schema, required=field.is_required())
    return core_schema.typed_dict_schema(fields, extra_behavior=extra, strict=True)


def _unwrapped(annotation: Any, metadata: Iterable[Any] = ()) -> tuple[Any, dict[str, Any]]:
    """Take `| None` and `Annotated` off an annotation; return it and the bounds (`ge`, `le`) stated around it."""
    bounds: dict[str, Any] = {}
    while True:
        for stated in metadata:
            for bound in getattr(stated, "metadata", (stated,)):
                bounds.update({name: getattr(bound, name) for name in ("ge", "le") if hasattr(bound, name)})
        arguments = typing.get_args(annotation)
        if typing.get_origin(annotation) is typing.Annotated:
            annotation, *metadata = arguments
        elif type(None) in arguments and len(arguments) == 2:
            annotation = next(argument for argument in arguments if argument is not type(None))
            metadata = ()
        else:
            return annotation, bounds


# Unknown names are ignored: `fast_entry` compares the number of fields that came back with the number given.
_FAST: Final = SchemaValidator(_fast_dict(LLMRequestLogEntry, extra="ignore")).validate_python
_FAST_FIELDS: Final = frozenset(
    name for name, field in LLMRequestLogEntry.model_fields.items() if _fast_schema(name, field) is not None
)
# What is neither a checked field nor an attribute: the model's own names and those of the older flat shape.
_MODEL_ONLY: Final = frozenset({*LLMRequestLogEntry.model_fields, *FLAT_FIELDS, "request_id"} - _FAST_FIELDS)


def fast_entry(
    fields: Mapping[str, Any], now: int, others: int = 0, names: frozenset[str] = frozenset()
) -> dict[str, Any] | None:
    """Check a well-formed entry and return what its line holds.

    Args:
        fields: Field names to values; not changed.
        now: The time of the record in whole microseconds since 1970.
        others: How many of `fields` are known to be none of the entry's, as the standard attributes of a log record,
        names: and what such are called.

    Returns:
        The same fields and values as `LLMRequestLogEntry(...).line_fields()`, values of attributes and of the raw usage
        as they came, or None where only the model knows.
    """
    try:
        entry: dict[str, Any] = _FAST(fields)
    except pydantic.ValidationError:
        return None
    if len(entry) + others != len(fields):
        attributes = _attributes(fields, names)
        if attributes is None:
            return None
        entry["attributes"] = attributes
    usage = entry.get("usage")
    if usage is not None and (settle_usage(usage) is not None or "total_tokens" not in usage):
        return None
    if "status" not in entry:
        entry["status"] = derive_status(entry)
    timings = entry.get("timings")
    latency = timings.get("latency_ms") if timings else None
    if "timestamp_start" in entry or "timestamp_end" in entry:
        if not _write_times(entry, latency):
            return None
    else:
        start, end = implied_times(None, None, None if latency is None else round(latency * 1000), now)
        entry["timestamp_start"] = format_micros(start)
        if end is not None:
            entry["timestamp_end"] = format_micros(end)
    if "id" not in entry:
        entry["id"] = clock().new_id()
    return entry


def _write_times(entry: dict[str, Any], latency: float | None) -> bool:
    """Write given times as a line holds them; say whether that could be done here."""
    start, end = entry.get("timestamp_start"), entry.get("timestamp_end")
    if type(start) is not datetime or start.tzinfo is not UTC or (end is None and latency is not None):
        return False
    if end is not None:
        if type(end) is not datetime or end.tzinfo is not UTC or end_before_start(start, end):
            return False
        entry["timestamp_end"] = format_time(end)
    entry["timestamp_start"] = format_time(start)
    return True


def _attributes(fields: Mapping[str, Any], others: frozenset[str]) -> dict[str, Any] | None:
    """Return the extras, which are no fields of the entry; None where only the model can tell."""
    attributes = {}
    for name, value in fields.items():
        if name in _FAST_FIELDS or name in others:
            continue
        if name in _MODEL_ONLY or type(name) is not str or value is None:
            return None
        attributes[name] = value
    return attributes
