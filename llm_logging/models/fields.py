"""Types of single fields: counts, durations, ids, times, amounts, with their bounds.

Invariants: numbers of other libraries (numpy, `timedelta`) are accepted; values that only look like numbers (True, "7") are not.
Times become aware UTC; a naive one is taken as UTC. Amounts are `Decimal`. Validation raises nothing but pydantic's own errors,
whatever a foreign object does. Rules that span fields are in `rules`.
"""

from __future__ import annotations

import math
import re
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer
from pydantic_core import PydanticCustomError

from ..clock import format_time

__all__ = [
    "MAX_IDENTIFIER",
    "UUID_PATTERN",
    "Amount",
    "Identifier",
    "JsonObject",
    "Milliseconds",
    "Tokens",
    "UTCTime",
    "UUIDText",
    "Whole",
    "is_uuid",
]

UUID_PATTERN: Final = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
MAX_IDENTIFIER: Final = 10_000
_UUID = re.compile(UUID_PATTERN)


def _as_integer(value: Any) -> Any:
    # numpy and other integer types are integers, a float without a fraction is one; True is not a count.
    if type(value) is int or isinstance(value, (bool, str, bytes)):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    try:
        return value.__index__()
    except Exception:  # noqa: BLE001  whatever a foreign object raises: it is no whole number
        return value


def _as_float(value: Any) -> Any:
    if isinstance(value, (bool, str, bytes)) or type(value) in (int, float):
        return value
    if isinstance(value, timedelta):
        return value.total_seconds() * 1000
    try:
        return value.__float__()
    except Exception:  # noqa: BLE001  whatever a foreign object raises: it is no number
        return value


def _id_text(value: Any) -> Any:
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value


def _uuid_text(value: Any) -> Any:
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, str) and not _UUID.fullmatch(value):
        try:
            return str(uuid.UUID(value))
        except ValueError:
            raise PydanticCustomError("uuid", "expected a UUID") from None
    return value


def _utc(value: datetime) -> datetime:
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError("time", "expected a time within the years 1 to 9999 of UTC") from None


def _amount(value: Any) -> Any:
    # A binary float is read by its shortest decimal form: 0.1 dollars are 0.1 dollars.
    return Decimal(repr(value)) if isinstance(value, float) and math.isfinite(value) else value


Tokens = Annotated[int, BeforeValidator(_as_integer), Field(ge=0, le=2**53, strict=True)]
Milliseconds = Annotated[float, BeforeValidator(_as_float), Field(ge=0, allow_inf_nan=False, strict=True)]
Identifier = Annotated[str, BeforeValidator(_id_text), Field(min_length=1, max_length=MAX_IDENTIFIER)]
UUIDText = Annotated[str, BeforeValidator(_uuid_text)]
UTCTime = Annotated[
    datetime, AfterValidator(_utc), PlainSerializer(format_time, return_type=str, when_used="json")
]
Amount = Annotated[
    Decimal,
    BeforeValidator(_amount),
    Field(allow_inf_nan=False, max_digits=40),
    PlainSerializer(lambda value: format(value, "f"), return_type=str, when_used="json"),
]
Whole = BeforeValidator(_as_integer)
JsonObject = dict[str, Any]


def is_uuid(text: str) -> bool:
    """Say whether text is a UUID in lower case with hyphens."""
    return _UUID.fullmatch(text) is not None
