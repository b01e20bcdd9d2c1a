"""Step 3, filter: `field op value` as SQL with bound parameters; nothing of the text reaches the SQL.

Both sides are compared as what the field is: counts and durations as numbers, times as moments (a bare day, week,
month or year as its first moment, with `=` as all of it), lists by whether they hold the value, text as text.
A list of values or patterns, `model=a,b`, fits any of them; a field with a fixed set of values takes no others.
An absent field is equal to nothing but the empty value, and different from everything else. An attribute may be
anything: what is written as JSON writes numbers is equal to the same number written otherwise, whole ones to the last
digit, and only numbers are less or more than a number; all else is text. `7` matches the number and the text,
because both are typed alike; `"7"` matches the text alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, InvalidOperation
from functools import partial
from typing import Any, Final

from ...errors import ErrorCode, ValidationError
from ...models.moments import MOMENT_FORMS, moment_kind
from ...models.query import StatsOptions, filter_parts
from ...models.statuses import CANCELLED, outcome_of
from ..lines.columns import JSON_NUMBER, NO_TEXT, Column, attribute_text, find_column, readable, shown
from .cost_filter import COST, COST_NAMES, cost_limit
from .period import resolve_period

__all__ = ["Condition", "absent", "parse_filters", "unknown_field", "words_explained"]

_NUMBER: Final = re.compile(JSON_NUMBER)
_WHOLE: Final = "-?[0-9]{1,38}"
_STARS: Final = re.compile(r"\*{2,}")
# What the figures `failed_requests` and `cancelled_requests` count; see `fold.py`.
_FAILED: Final = frozenset({"failed", "failure", "failures", "fail"})
_IS_CANCELLED: Final = "error_code = 'cancelled'"
# Figures of pending requests, by when they started: `running_requests` and `orphaned_requests`; see `aggregate`.
_PENDING_SINCE: Final = {
    "running": "status = 'pending' AND coalesce(timestamp_start >= ?, false)",
    "orphaned": "status = 'pending' AND NOT coalesce(timestamp_start >= ?, false)",
}
_LISTED: Final = {"=", "!=", "~", "!~"}
_TRUE: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True, slots=True)
class Condition:
    """A filter, ready to be asked.

    Attributes:
        column: What it is about.
        sql: A condition with `?` for each parameter.
        parameters: Their values.
        cost: Operator and amount of a filter by cost, which is asked once prices are known; see `cost_filter`.
    """

    column: Column
    sql: str
    parameters: tuple[Any, ...]
    cost: tuple[str, Decimal] | None = None


def _refuse(text: str, expected: str) -> ValidationError:
    message = f"where: expected {expected}, got {text!r:.200}"
    return ValidationError(message, code=ErrorCode.INVALID_OPTIONS, reasons=(message,))


def unknown_field(option: str, name: str) -> ValidationError:
    """Return the error for a name that no entry has."""
    message = (
        f"{option}: expected a field of the entry (model, provider, project, chat, user, status, usage.prompt_tokens, "
        f"error.code ...), attributes.<name> or tag, got {name!r:.120}"
    )
    return ValidationError(message, code=ErrorCode.INVALID_OPTIONS, reasons=(message,))


def absent(column: Column) -> str:
    """Return SQL that says that a request lacks a field; a list that holds nothing is as one that is not there."""
    name = f'"{column.name}"'
    return f"coalesce(len(list_distinct({name})), 0) = 0" if column.kind == "list" else f"{name} IS NULL"


def parse_filters(options: StatsOptions, now: datetime) -> list[Condition]:
    """Read the filters of a question.

    Args:
        options: Their `where` and time zone count.
        now: Aware; what `7d` counts from.

    Raises:
        ValidationError: `INVALID_OPTIONS`, for a filter that is none, a field that no entry has, or a value that its
            field cannot have.
    """
    conditions = []
    for given in options.where:
        field, op, value = _parts(given) if isinstance(given, str) else (given[0], "=", given[1])
        if field in COST_NAMES:
            conditions.append(Condition(COST, "true", (), cost_limit(op, value, str(given))))
            continue
        column = find_column(field)
        if column is None or column.kind == "json":
            raise unknown_field("where", field)
        text = given if isinstance(given, str) else f"{field}={value}"
        ask = partial(_condition, column, text=text, options=options, now=now)
        values = _alternatives(column, op, value) if isinstance(given, str) else [value]
        conditions.append(_any_of([ask(op=op, value=readable(one)) for one in values], op))
    return conditions


def _alternatives(column: Column, op: str, value: str) -> list[str]:
    """Return the values of a list, `a,b`; text with a comma may also be one value."""
    if op not in _LISTED or "," not in value:
        return [value]
    parts = [part.strip() for part in value.split(",") if part.strip()]
    any_text = column.kind in {"text", "code", "list", "attribute"} and not column.choices
    return [value, *parts] if any_text or not parts else parts


def _any_of(conditions: Sequence[Condition], op: str) -> Condition:
    """Join the conditions of a list: equal to one of them, or different from all."""
    if len(conditions) == 1:
        return conditions[0]
    word = " AND " if op.startswith("!") else " OR "
    sql = word.join(f"({one.sql})" for one in conditions)
    bound = tuple(value for one in conditions for value in one.parameters)
    return Condition(conditions[0].column, f"({sql})", bound)


def _parts(text: str) -> tuple[str, str, str]:
    parts = filter_parts(text)
    if parts is None:
        raise _refuse(text, "`field op value` with one of = != < <= > >= ~ !~")
    if parts[1] in {"=", "!="} and parts[2].startswith("="):
        raise _refuse(text, f"`{parts[0]}{parts[1]}value` with one equals sign")
    return parts


def _condition(
    column: Column, op: str, value: str, text: str, options: StatsOptions, now: datetime
) -> Condition:
    name = f'"{column.name}"'
    if value == "" and op in {"=", "!="}:
        return Condition(column, f"{'NOT ' if op == '!=' else ''}({absent(column)})", ())
    if column.choices and op in {"=", "!="}:
        return _choice(column, name, op, value, text, options, now)
    if column.choices and op not in _LISTED:
        raise _refuse(text, f"one of = != ~ !~ for {column.path}")
    if op in {"~", "!~"}:
        return _pattern(column, name, op, value, text)
    if column.kind == "list":
        if op not in {"=", "!="}:
            raise _refuse(text, f"one of = != ~ !~ for the list {column.path}")
        held = f"coalesce(list_contains({name}, ?), false)"
        return Condition(column, held if op == "=" else f"NOT {held}", (value,))
    if column.kind == "time":
        return _time(column, name, op, value, text, options, now)
    if column.kind == "attribute":
        return _attribute(column, attribute_text(name), op, value)
    wanted = _value(column, value, text)
    if op == "!=":
        return Condition(column, f"{name} IS DISTINCT FROM ?", (wanted,))
    return Condition(column, f"{name} {op} ?", (wanted,))


def _choice(
    column: Column, name: str, op: str, value: str, text: str, options: StatsOptions, now: datetime
) -> Condition:
    """Return the condition of a field with a fixed set of values; of a status also in the words of the figures."""
    word = value.strip().lower()
    if column.path == "status":
        if word in _FAILED:
            return _whether(
                column, f"{name} IN ('error', 'timeout') AND NOT coalesce({_IS_CANCELLED}, false)", op
            )
        if word in _PENDING_SINCE:
            limit = (now - options.orphaned_after).astimezone(UTC).replace(tzinfo=None)
            return _whether(column, _PENDING_SINCE[word], op, limit)
        meant = outcome_of(value)
        if meant is not None and meant.code == CANCELLED:
            return _whether(column, f"{name} IN ('error', 'timeout') AND {_IS_CANCELLED}", op)
        word = word if meant is None else meant.status
    if word not in column.choices:
        more = " (also failed, cancelled, running, orphaned)" if column.path == "status" else ""
        raise _refuse(text, f"one of {', '.join(column.choices)}{more} for {column.path}")
    return Condition(column, f"{name} {'IS DISTINCT FROM' if op == '!=' else '='} ?", (word,))


def words_explained(where: Sequence[str]) -> list[str]:
    """Say of filters in words that no line has, as `status=failed`, how they are read.

    Args:
        where: Filters as text; what is wrong with them is said by `parse_filters`.
    """
    said = []
    for text in where:
        parts = filter_parts(text)
        column = find_column(parts[0]) if parts is not None else None
        if parts is None or column is None or column.path != "status" or parts[1] not in {"=", "!="}:
            continue
        for value in _alternatives(column, parts[1], parts[2]):
            word = value.strip().lower()
            meant = outcome_of(value)
            if word in _PENDING_SINCE:
                continue
            if word in _FAILED:
                said.append(f"status {value!r} is read as error or timeout, cancelled requests left out")
            elif meant is not None and word not in column.choices:
                code = f" with error.code {meant.code}" if meant.code == CANCELLED else ""
                said.append(f"status {value!r} is read as {meant.status}{code}")
    return said


def _whether(column: Column, sql: str, op: str, *bound: Any) -> Condition:
    return Condition(column, f"{'NOT ' if op == '!=' else ''}coalesce({sql}, false)", bound)


def _pattern(column: Column, name: str, op: str, value: str, text: str) -> Condition:
    # As a regular expression, which takes characters for characters and time linear in the text; a GLOB takes bytes.
    special = {"*": ".*", "?": "."}
    pattern = "".join(
        special.get(part) or re.escape(part) for part in re.split(r"([*?])", _STARS.sub("*", value))
    )
    if column.choices and not any(re.fullmatch(pattern, choice, re.DOTALL) for choice in column.choices):
        raise _refuse(text, f"a pattern of one of {', '.join(column.choices)} for {column.path}")
    if column.kind == "list":
        fits = f"len(list_filter(coalesce({name}, []), lambda x: regexp_full_match(x, ?, 's'))) > 0"
    else:
        fits = f"coalesce(regexp_full_match({shown(column)}, ?, 's'), false)"
    return Condition(column, fits if op == "~" else f"NOT ({fits})", (pattern,))


def _attribute(column: Column, name: str, op: str, value: str) -> Condition:
    if op in {"=", "!="}:
        # As text first, so that a tenant called 42 is found; then, of numbers alone, 5 and 5.0 are one value.
        same, bound = f"{name} = ?", [value]
        if _NUMBER.fullmatch(value) is not None and (number := _number(value)) is not None:
            compared, more = _compared(name, "=", number)
            same, bound = f"{same} OR {compared}", [*bound, *more]
        elif (text := _quoted(value)) is not None:
            same, bound = f"{same} OR ({_is_text(column)} AND {name} = ?)", [*bound, NO_TEXT, text]
        return Condition(column, f"{'NOT ' if op == '!=' else ''}coalesce({same}, false)", tuple(bound))
    number = _number(value)
    if number is None:
        return Condition(column, f"{name} {op} ?", (value,))
    compared, bound = _compared(name, op, number)
    return Condition(column, compared, tuple(bound))


def _quoted(value: str) -> str | None:
    """Return the text that a value writes as JSON; None where it does not."""
    try:
        text = json.loads(value) if value.startswith('"') else None
    except ValueError:
        return None
    return readable(text) if isinstance(text, str) else None


def _is_text(column: Column) -> str:
    name = f'"{column.name}"'
    return f"(left({name}, 1) = '\"' OR NOT regexp_full_match({name}, ?, 's'))"


def _compared(name: str, op: str, number: Decimal) -> tuple[str, list[Any]]:
    """Return SQL that compares those attributes that are numbers, and its parameters."""
    sql = f"TRY_CAST({name} AS DOUBLE) {op} ?"
    bound: list[Any] = [float(number)]
    if number == number.to_integral_value() and number.adjusted() < 38:
        # A double does not distinguish all whole numbers beyond 2**53.
        sql = f"CASE WHEN regexp_full_match({name}, ?) THEN TRY_CAST({name} AS HUGEINT) {op} ?::HUGEINT ELSE {sql} END"
        bound = [_WHOLE, f"{number:.0f}", *bound]
    return f"(regexp_full_match({name}, ?) AND {sql})", [JSON_NUMBER, *bound]


def _number(value: str) -> Decimal | None:
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _amount(number: Decimal) -> Decimal | None:
    """Return a number as exactly as an amount of money is held; None where it is too large for one."""
    if number.adjusted() > 12:
        return None
    return number.quantize(Decimal("1e-24"), context=Context(prec=60))


def _value(column: Column, value: str, text: str) -> Any:
    if column.kind in {"count", "ms", "amount"}:
        number = _number(value)
        if number is None:
            raise _refuse(text, f"a number for {column.path}")
        # What an amount cannot be, by its size or its decimals, is compared as a number like others.
        exact = column.kind == "amount" and number == _amount(number)
        return number if exact else float(number)
    if column.kind == "bool":
        if value.lower() not in _TRUE:
            raise _refuse(text, f"true or false for {column.path}")
        return _TRUE[value.lower()]
    return value


def _time(
    column: Column, name: str, op: str, value: str, text: str, options: StatsOptions, now: datetime
) -> Condition:
    kind = moment_kind(value)
    if kind is None:
        raise _refuse(text, f"{MOMENT_FORMS} for {column.path}")
    whole = options.model_copy(update={"from_date": value, "to_date": value})
    period = resolve_period(whole, now)
    assert period.start is not None
    assert period.end is not None
    first = period.start.replace(tzinfo=None)
    after = period.end.replace(tzinfo=None)
    if after <= first:
        after = first + timedelta(microseconds=1)
    conditions: dict[str, tuple[str, Sequence[datetime]]] = {
        "=": (f"({name} >= ? AND {name} < ?)", (first, after)),
        "!=": (f"coalesce({name} < ? OR {name} >= ?, true)", (first, after)),
        "<": (f"{name} < ?", (first,)),
        "<=": (f"{name} < ?", (after,)),
        ">": (f"{name} >= ?", (after,)),
        ">=": (f"{name} >= ?", (first,)),
    }
    sql, bound = conditions[op]
    return Condition(column, sql, tuple(bound))
