"""An SDK's object as plain values, without asking it to do anything.

Responses come as dicts, pydantic models, protobuf messages, dataclasses or plain objects. They are read by what they
store: no property, method or `__getattr__` of theirs runs, so nothing is fetched, consumed or deprecated by looking.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import math
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from enum import Enum
from types import MemberDescriptorType
from typing import Any

import pydantic_core

__all__ = ["JsonValue", "first", "from_json", "mapping", "plain", "shallow", "text", "whole_number"]

JsonValue = Any

_MAX_DEPTH = 12
_ATOMS = (str, int, float, bool, type(None))
_MAX_DIGITS = 16


def shallow(value: Any) -> Mapping[str, Any] | None:
    """Return what an object stores under which name; None where it is no container of names.

    Args:
        value: A mapping, pydantic model, protobuf (or proto-plus) message, dataclass, named tuple or plain object.

    Returns:
        Names to values; not to be changed, it may be the object's own.
    """
    if type(value) is dict:
        return value
    kind: Any = type(value)
    return _reader(kind)(value)


def _nothing(_value: Any) -> None:
    return None


def _itself(value: Any) -> Mapping[str, Any]:
    found: Mapping[str, Any] = value
    return found


def _from_pydantic(value: Any) -> Mapping[str, Any]:
    stored: Mapping[str, Any] = value.__dict__
    extra = value.__pydantic_extra__
    return {**stored, **extra} if extra else stored


def _from_protobuf(value: Any) -> Mapping[str, Any]:
    return {descriptor.name: _enum_name(descriptor, found) for descriptor, found in value.ListFields()}


def _from_dataclass(value: Any) -> Mapping[str, Any]:
    return {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}


def _from_tuple(value: Any) -> Mapping[str, Any]:
    found: Mapping[str, Any] = value._asdict()
    return found


def _from_object(value: Any) -> Mapping[str, Any] | None:
    held = getattr(value, "__dict__", None)
    if not isinstance(held, dict):
        return _from_slots(value)
    for wrapped in ("_pb", "_proto", "proto"):
        if wrapped in held:
            return shallow(held[wrapped])
    return {name: found for name, found in held.items() if isinstance(name, str)}


def _from_slots(value: Any) -> Mapping[str, Any] | None:
    found: dict[str, Any] = {}
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            # Only a slot itself is read: anything else of that name could run code.
            descriptor = kind.__dict__.get(name)
            if isinstance(descriptor, MemberDescriptorType):
                with contextlib.suppress(AttributeError):
                    found.setdefault(name, descriptor.__get__(value))
    return found or None


@functools.lru_cache(maxsize=512)
def _reader(kind: Any) -> Callable[[Any], Mapping[str, Any] | None]:
    """Return how objects of a class are read; asked once a class, for a stream has thousands of one."""
    if issubclass(kind, Mapping):
        return _itself
    if issubclass(kind, (type(None), str, bytes, bytearray, int, float, list, type)):
        return _nothing
    if hasattr(kind, "model_fields") and hasattr(kind, "__pydantic_validator__"):
        return _from_pydantic
    if hasattr(kind, "DESCRIPTOR") and hasattr(kind, "ListFields"):
        return _from_protobuf
    if dataclasses.is_dataclass(kind):
        return _from_dataclass
    if issubclass(kind, tuple):
        return _from_tuple if hasattr(kind, "_asdict") else _nothing
    return _from_object


def _enum_name(descriptor: Any, found: Any) -> Any:
    enum_type = getattr(descriptor, "enum_type", None)
    if enum_type is None or not isinstance(found, int):
        return found
    named = enum_type.values_by_number.get(found)
    return named.name if named is not None else found


def from_json(data: str | bytes | bytearray) -> JsonValue:
    """Parse JSON, in a third of the time that `json` takes.

    Raises:
        ValueError: It is none.
        RecursionError: It is nested too deeply.
    """
    try:
        return pydantic_core.from_json(data)
    except ValueError:
        # Strict about lone surrogates, depth and other encodings than UTF-8, which `json` reads.
        return json.loads(data)


def mapping(value: Any) -> Mapping[str, Any]:
    """Return what an object stores, empty where it stores nothing by name."""
    if type(value) is dict:
        return value
    return {} if value is None else shallow(value) or {}


def first(values: Mapping[str, Any], *names: str) -> Any:
    """Return the first value that is there and not None."""
    for name in names:
        found = values.get(name)
        if found is not None:
            return found
    return None


def text(value: Any) -> str | None:
    """Return a non-empty text, an enumeration's value as one; None for everything else."""
    if isinstance(value, Enum):
        value = value.value
    return value if isinstance(value, str) and value else None


def whole_number(value: Any) -> int | None:
    """Return a count: an int >= 0, also from 12.0 or "12" (64-bit integers are texts in protobuf's JSON), else None."""
    if type(value) is int:
        return value if value >= 0 else None
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdigit() and len(value) <= _MAX_DIGITS else None
    if isinstance(value, (float, Decimal)):
        return int(value) if math.isfinite(value) and value >= 0 and value == int(value) else None
    index = getattr(type(value), "__index__", None)
    if index is None:
        return None
    number = index(value)
    return number if isinstance(number, int) and number >= 0 else None


def plain(value: Any, *, depth: int = 0) -> JsonValue:
    """Return a value as JSON values only, absent (None) fields left out; what has no such form becomes its text.

    Args:
        value: Anything a response may hold.
        depth: How deep it lies; below twelve levels it is cut.
    """
    if type(value) in _ATOMS:
        return value
    if isinstance(value, Enum):
        return plain(value.value, depth=depth)
    if isinstance(value, (str, int, float)):
        return value
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{len(value)} bytes>"
    if depth >= _MAX_DEPTH:
        return "..."
    names = shallow(value)
    if names is not None:
        return {
            str(name): plain(found, depth=depth + 1)
            for name, found in names.items()
            if found is not None and not str(name).startswith("_")
        }
    if isinstance(value, (list, tuple, set, frozenset)) or type(value).__name__.startswith("Repeated"):
        return [plain(item, depth=depth + 1) for item in value]
    return str(value)
