"""What a question holds: which requests it is about, and how it is to be answered.

A scope or an option that is not as it should be raises our own `ValidationError`, with a code, where it is made.
Both classes read snake_case and camelCase names alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self

import pydantic
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.alias_generators import to_camel

from ..errors import ErrorCode, ValidationError
from .moments import MOMENT_FORMS, Moment, moment_kind

__all__ = [
    "CALENDAR_UNITS",
    "TIME_UNITS",
    "StatsOptions",
    "StatsScope",
    "filter_parts",
]

TIME_UNITS: Final = ("hour", "day", "week", "month")
# Times that come again: a request of any Monday is in the group Monday.
CALENDAR_UNITS: Final = ("weekday", "hour_of_day")

_FILTER: Final = re.compile(
    r"\s*(?P<field>[^\s=!<>~]+(?:\s+[^\s=!<>~]+)*)\s*(?P<op>!=|!~|<=|>=|=|<|>|~)\s*(?P<value>.*?)\s*",
    re.DOTALL,
)


def filter_parts(text: str) -> tuple[str, str, str] | None:
    """Read a filter, `field op value`, as its three parts; None where it is none.

    Args:
        text: Spaces around each part do not count.
    """
    match = _FILTER.fullmatch(text)
    return (match["field"], match["op"], match["value"]) if match is not None else None


def _reasons(error: pydantic.ValidationError, names: Iterable[str]) -> list[str]:
    reasons = []
    for item in error.errors(include_url=False):
        where = ".".join(str(part) for part in item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = f"expected one of {', '.join(names)}"
        message = message.replace("Input should be ", "expected ", 1)
        given = "" if item["type"] == "value_error" else f", got {item['input']!r:.120}"
        reasons.append(f"{where}: {message}{given}" if where else f"{message}{given}")
    return reasons


class _QueryPart(BaseModel):
    """A question's part: raises our own error, with a code, wherever it is made."""

    model_config = ConfigDict(
        defer_build=True, alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True
    )

    def __init__(self, *args: Any, **values: Any) -> None:
        if args:
            names = ", ".join(type(self).model_fields)
            raise TypeError(f"{type(self).__name__}() takes keyword arguments only: {names}")
        try:
            super().__init__(**values)
        except pydantic.ValidationError as error:
            raise self._refusal(error) from None

    @classmethod
    def of(cls, given: Any, name: str) -> Self:
        """Return what a public function was given as this part of a question.

        Args:
            given: One of this class, a mapping of its fields, or None for the defaults.
            name: The argument's name.

        Raises:
            ValidationError: It is none of these.
        """
        if isinstance(given, cls):
            return given
        if given is None or isinstance(given, Mapping):
            try:
                return cls(**(given or {}))
            except TypeError:
                pass
        message = (
            f"{name}: expected {cls.__name__} or a mapping of its fields, "
            f"got {'a mapping of other keys than texts' if isinstance(given, Mapping) else type(given).__name__}"
        )
        raise ValidationError(message, code=cls._wrong_type, reasons=(message,))

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """Read from a mapping; see the class."""
        try:
            return super().model_validate(obj, **options)
        except pydantic.ValidationError as error:
            raise cls._refusal(error) from None

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **options: Any) -> Self:
        """Read from JSON text; see the class."""
        try:
            return super().model_validate_json(json_data, **options)
        except pydantic.ValidationError as error:
            raise cls._refusal(error) from None

    @classmethod
    def _refusal(cls, error: pydantic.ValidationError) -> ValidationError:
        for item in error.errors(include_url=False):
            own = item.get("ctx", {}).get("error")
            if isinstance(own, ValidationError):
                return own
        reasons = _reasons(error, cls.model_fields)
        return ValidationError(
            f"{cls.__name__}: " + "\n".join(reasons), code=cls._code(error), reasons=tuple(reasons)
        )

    _wrong_type: ClassVar[ErrorCode] = ErrorCode.INVALID_OPTIONS

    @classmethod
    def _code(cls, _error: pydantic.ValidationError) -> ErrorCode:
        return cls._wrong_type


class StatsScope(_QueryPart):
    """Select the requests of one chat, one project, or all.

    Args:
        type: `global` (all), `project` or `chat`.
        project_id: Required for `project` and `chat`.
        chat_id: Required for `chat`.

    Raises:
        ValidationError: `INVALID_SCOPE`, `INVALID_PROJECT_ID` or `INVALID_CHAT_ID`.
    """

    _wrong_type = ErrorCode.INVALID_SCOPE

    type: Literal["project", "chat", "global"] = "global"
    project_id: str | None = Field(default=None, strict=True)
    chat_id: str | None = Field(default=None, strict=True)

    @model_validator(mode="after")
    def _ids_of_the_type(self) -> Self:
        for name, types, code in (
            ("project_id", ("project", "chat"), ErrorCode.INVALID_PROJECT_ID),
            ("chat_id", ("chat",), ErrorCode.INVALID_CHAT_ID),
        ):
            value = getattr(self, name)
            if self.type in types and not value:
                message = f"{name}: expected a non-empty text for scope {self.type!r}, got {value!r}"
                raise ValidationError(f"StatsScope: {message}", code=code, reasons=(message,))
            if self.type not in types and value is not None:
                message = f"{name}: expected none for scope {self.type!r}, got {value!r}"
                raise ValidationError(
                    f"StatsScope: {message}", code=ErrorCode.INVALID_SCOPE, reasons=(message,)
                )
        return self

    @classmethod
    def _code(cls, error: pydantic.ValidationError) -> ErrorCode:
        fields = {str(item["loc"][0]) for item in error.errors(include_url=False) if item["loc"]}
        if fields and fields <= {"project_id", "projectId"}:
            return ErrorCode.INVALID_PROJECT_ID
        if fields and fields <= {"chat_id", "chatId"}:
            return ErrorCode.INVALID_CHAT_ID
        return ErrorCode.INVALID_SCOPE


def _texts(value: Any, *, separator: str | None) -> Any:
    if value is None:
        return ()
    if isinstance(value, str):
        parts = value.split(separator) if separator else [value]
        return tuple(part.strip() for part in parts if part.strip())
    if isinstance(value, (list, tuple, set, frozenset)):
        several = [_texts(item, separator=separator) if separator else item for item in value]
        return tuple(
            part for item in several for part in (item if separator and isinstance(item, tuple) else (item,))
        )
    return value


def _equality(field: Any, value: Any) -> str | tuple[str, str]:
    """Return the filter for a field that is to have a value; an empty text means absent."""
    if isinstance(value, (Mapping, list, tuple, set, frozenset)):
        raise ValueError(f"expected one value for {field!s:.120}, got {value!r:.120}")  # noqa: TRY004  pydantic's
    if isinstance(value, bool):
        value = "true" if value else "false"
    named, wanted = str(field), "" if value is None else str(value)
    text = f"{named}={wanted}"
    # Some names and values would be read otherwise from text: with an operator, a comma, or spaces around them.
    plain = "," not in wanted and not wanted.startswith("=")
    return text if plain and filter_parts(text) == (named, "=", wanted) else (named, wanted)


class StatsOptions(_QueryPart):
    """Select a period, groups and filters.

    Args:
        from_date: First moment that counts: a `date`, a `datetime` (naive: in `time_zone`), or a text such as `2026-01-15`,
            `2026-W03`, `2026-01`, `7d` or `today`. None: from the beginning.
        to_date: First moment that no longer counts. A bare day, week, month or year is included. None: to the end.
        group_by: One name, a list, or names with commas: `hour`, `day`, `week`, `month`, `weekday`, `hour_of_day`, `model`, `provider`,
            `project`, `chat`, `user`, `status`, any other field (`error.code` ...), `attributes.<name>` or `tag`. A request with
            several tags counts in the group of each.
        time_zone: IANA name of the zone whose days, weeks and months count.
        where: Filters, `field op value` with `=`, `!=`, `<`, `<=`, `>`, `>=`, `~` (a pattern with `*` and `?`) or `!~`;
            all must hold. `field=a,b` takes either value, `field=` means absent, `cost>0.1` is in dollars. A mapping of fields to values, or a pair of texts among
            the filters, is read as equalities.
        fill_gaps: Add rows of zeros for periods without requests.
        orphaned_after: A request pending for longer counts as orphaned, not as running.
        strict: Raise on the first unusable line instead of skipping and counting it.
        as_if: Models to price as others, `gpt-4o=gpt-4o-mini` or a mapping; `provider/model` names the provider too. Their
            tokens stay as logged, and what a provider reported for them does not count.
        prices_as_of: The moment whose list prices all requests get, whatever was reported; None: each its own.

    Raises:
        ValidationError: `INVALID_OPTIONS`.
    """

    from_date: Moment | None = Field(default=None, union_mode="left_to_right")
    to_date: Moment | None = Field(default=None, union_mode="left_to_right")
    group_by: tuple[str, ...] = ()
    time_zone: str = "UTC"
    where: tuple[str | tuple[str, str], ...] = ()
    fill_gaps: bool = False
    orphaned_after: timedelta = timedelta(hours=1)
    strict: bool = False
    as_if: tuple[tuple[str, str], ...] = ()
    prices_as_of: Moment | None = Field(default=None, union_mode="left_to_right")

    if TYPE_CHECKING:
        # What the fields take is more than what they hold.
        def __init__(
            self,
            *,
            from_date: Moment | None = None,
            to_date: Moment | None = None,
            group_by: str | Iterable[str] | None = None,
            time_zone: str = "UTC",
            where: str | Iterable[str | tuple[str, str]] | Mapping[str, Any] | None = None,
            fill_gaps: bool = False,
            orphaned_after: timedelta = timedelta(hours=1),
            strict: bool = False,
            as_if: str | Iterable[str | tuple[str, str]] | Mapping[str, str] | None = None,
            prices_as_of: Moment | None = None,
        ) -> None: ...

    @field_validator("as_if", mode="before")
    @classmethod
    def _model_pairs(cls, value: Any) -> Any:
        given = value.items() if isinstance(value, Mapping) else _texts(value, separator=",")
        pairs = [item.split("=", 1) if isinstance(item, str) else list(item) for item in given]
        if not all(len(pair) == 2 and all(isinstance(p, str) and p.strip() for p in pair) for pair in pairs):
            raise ValueError(f"expected models as in gpt-4o=gpt-4o-mini, got {value!r:.120}")
        return tuple((model.strip(), other.strip()) for model, other in pairs)

    @field_validator("from_date", "to_date", "prices_as_of", mode="plain")
    @classmethod
    def _known_moment(cls, value: Any) -> Moment | None:
        if value is None or isinstance(value, date):
            return value
        text = value.strip() if isinstance(value, str) else ""
        if moment_kind(text) is None:
            raise ValueError(f"expected {MOMENT_FORMS}, got {value!r:.120}")
        return text

    @field_validator("group_by", mode="before")
    @classmethod
    def _several_groups(cls, value: Any) -> Any:
        names = _texts(value, separator=",")
        return tuple(dict.fromkeys(names)) if isinstance(names, tuple) else names

    @field_validator("where", mode="before")
    @classmethod
    def _several_filters(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            return tuple(_equality(field, item) for field, item in value.items())
        return _texts(value, separator=None)

    @field_validator("time_zone", mode="after")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(
                f"expected an IANA name such as UTC or Europe/Berlin, got {value!r:.120}"
            ) from None
        return value

    @field_validator("orphaned_after", mode="after")
    @classmethod
    def _positive_age(cls, value: timedelta) -> timedelta:
        if value < timedelta(0):
            raise ValueError(f"expected a duration of 0 or more, got {value!r}")
        return value
