"""Turn any value into JSON: exactly where JSON has a form for it, as text where it has none. It never fails.

Invariants: the caller's objects are not changed, not even by being read (iterators are not consumed). Cycles, excessive depth,
lone surrogates, NaN and a failing `__repr__` become text that names the problem. The result is UTF-8 on one line.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import math
import numbers
import os
import uuid
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from decimal import Decimal
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import to_json

from ..clock import format_time
from ..truncation import cut_short

__all__ = ["is_json", "jsonable", "key_text", "repr_of", "to_bytes"]

MAX_DEPTH: Final = 64
_MAX_REPR: Final = 10_000
_SCALARS: Final = frozenset({str, bool, type(None)})
_INT_MAX: Final = 2**63
# How many containers are looked at together, and how many that were written before are written again.
_MANY: Final = 256


def is_json(value: Any, depth: int = MAX_DEPTH) -> bool:
    """Say whether a value holds nothing but JSON's own types, not too deep and nothing twice, so that it can be written as it is."""
    return _is_json(value, depth, [])


def _is_json(value: Any, depth: int, met: list[int]) -> bool:
    kind = type(value)
    if kind in _SCALARS:
        return True
    if kind is int:
        return bool(-_INT_MAX <= value < _INT_MAX)
    if kind is float:
        return math.isfinite(value)
    if not depth:
        return False
    if kind is dict or kind is list:
        # A part that occurs many times unfolds: thirty lists can make a billion.
        met.append(id(value))
        if not len(met) % _MANY and len(set(met)) < len(met):
            return False
    if kind is dict:
        for key, item in value.items():
            if type(key) is not str or not (type(item) in _SCALARS or _is_json(item, depth - 1, met)):
                return False
        return True
    if kind is list:
        return all(type(item) in _SCALARS or _is_json(item, depth - 1, met) for item in value)
    return False


def to_bytes(value: Any) -> bytes:
    """Write a value that `is_json` accepts; text with lone surrogates goes the long way.

    Args:
        value: JSON's own types.

    Returns:
        JSON in UTF-8, on one line; floats that JSON lacks as text.
    """
    try:
        return to_json(value, inf_nan_mode="strings")
    except Exception:  # noqa: BLE001  pydantic raises several kinds; the long way knows them all
        return to_json(jsonable(value), inf_nan_mode="strings")


def jsonable(value: Any) -> Any:
    """Return a copy of a value in JSON's own types; what has no form there becomes its repr.

    Args:
        value: Anything.
    """
    return _convert(value, MAX_DEPTH, _Met())


class _Met:
    """What was met of one value.

    Attributes:
        above: The containers above a place.
        done: The containers that were written; a part that is shared is written anew at each place, within bounds.
        parts: How many containers were written once.
        again: How many were written again.
    """

    __slots__ = ("above", "again", "done", "parts")

    def __init__(self) -> None:
        self.above: set[int] = set()
        self.done: set[int] = set()
        self.parts = self.again = 0

    def is_exhausted(self, identity: int) -> bool:
        """Count a container; say whether it is one of too many that were written before."""
        if identity in self.done:
            self.again += 1
            return self.again > _MANY + 2 * self.parts
        self.parts += 1
        return False


def _convert(value: Any, depth: int, met: _Met) -> Any:
    kind = type(value)
    if kind is str:
        return _text(value)
    if value is None or kind is bool:
        return value
    if kind is int:
        return value if -_INT_MAX <= value < _INT_MAX else repr_of(value)
    if kind is float:
        return value if math.isfinite(value) else repr(value)
    try:
        scalar = _scalar(value)
    except Exception:  # noqa: BLE001  whatever a property of a foreign object raises
        return repr_of(value)
    if scalar is not None:
        return scalar
    identity = id(value)
    if identity in met.above:
        return "<circular>"
    if depth <= 0:
        return "<nested too deeply>"
    if met.is_exhausted(identity):
        return "<repeated>"
    met.above.add(identity)
    try:
        return _container(value, depth - 1, met)
    except Exception:  # noqa: BLE001
        return repr_of(value)
    finally:
        met.above.discard(identity)
        met.done.add(identity)


def _scalar(value: Any) -> Any:
    """Return the JSON form of a value that holds no others; None where it is none of these."""
    if isinstance(value, enum.Enum):
        return _convert(value.value, 1, _Met())
    if isinstance(value, str):
        return _text(str.__str__(value))
    if isinstance(value, int):
        return _convert(int(value), 1, _Met())
    if isinstance(value, float):
        return _convert(float(value), 1, _Met())
    if isinstance(value, dt.datetime):
        return format_time(value) if value.tzinfo is not None else value.isoformat()
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return format(value, "f") if value.is_finite() and abs(value.adjusted()) < 50 else str(value)
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "backslashreplace")
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, os.PathLike):
        return _text(str(os.fspath(value)))
    if isinstance(value, BaseException):
        return f"{type(value).__qualname__}: {_text(str(value))}"
    if isinstance(value, numbers.Real):
        # As numpy's and others' numbers are.
        return _convert(int(value) if isinstance(value, numbers.Integral) else float(value), 1, _Met())
    return None


def _container(value: Any, depth: int, met: _Met) -> Any:
    if isinstance(value, BaseModel):
        # Field by field: dumping a model would run serialisers of its own, which may raise or consume.
        value = {**value.__dict__, **(value.__pydantic_extra__ or {})}
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    elif isinstance(value, tuple) and hasattr(value, "_asdict"):
        # The names of a named tuple tell what its values are.
        value = dict(zip(value._fields, value, strict=False))  # type: ignore[attr-defined]
    if isinstance(value, Mapping):
        return {key_text(key): _convert(item, depth, met) for key, item in list(value.items())}
    if isinstance(value, AbstractSet):
        items = [_convert(item, depth, met) for item in list(value)]
        return sorted(items, key=repr)
    if isinstance(value, Sequence) and not isinstance(value, (range, memoryview)):
        return [_convert(item, depth, met) for item in list(value)]
    return repr_of(value)


def key_text(key: Any) -> str:
    """Return a mapping's key as JSON has it."""
    if type(key) is str:
        return _text(key)
    if isinstance(key, bool) or key is None:
        return {True: "true", False: "false", None: "null"}[key]
    return _text(str(key)) if isinstance(key, (str, int, float, uuid.UUID)) else repr_of(key)


def _text(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def repr_of(value: Any) -> str:
    """Return the repr of a value, shortened; never raises."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  a failing or endless __repr__ of a foreign object
        return f"<unprintable {type(value).__qualname__}>"
    if len(text) > _MAX_REPR:
        text = f"{cut_short(text, _MAX_REPR)}... ({len(text)} characters)"
    return _text(text)
