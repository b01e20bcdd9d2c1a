"""The entry as columns: made from the entry models, so there is no second list of fields.

A column is a leaf of `LLMRequestLogEntry`, named by its path with `_` for the dot (`usage.prompt_tokens` is
`usage_prompt_tokens`). Values arrive as text, are read by their kind, and what does not fit its field becomes NULL
and is counted, so one bad value costs a line nothing else. Text fields take text, those that the entry also takes whole
numbers for (ids, the code of an error) those too; numbers take what is written as one, also as text.
"""

from __future__ import annotations

import hashlib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any, Final

from pydantic import BaseModel

from ...models.entry import LLMRequestLogEntry
from ...models.fields import Identifier

__all__ = [
    "ALIASES",
    "JSON_NUMBER",
    "LINE_ID",
    "NO_PLAIN_TEXT",
    "NO_TEXT",
    "WRITER_ID",
    "WRITER_SEQ",
    "Column",
    "attribute_label",
    "attribute_text",
    "columns",
    "find_column",
    "held_columns",
    "judged_columns",
    "odd_time",
    "raw_struct",
    "readable",
    "shown",
    "utc_time",
]

# What a segment's cache does not hold: long, or of another value in every line, and no figure needs it.
NOT_HELD: Final = frozenset(
    {
        "attributes", "cost.source", "error.message", "finish_reasons", "id", "messages_included", "output_format_hint",
        "parent_id", "provider_response_id", "request_group", "span_id", "timings.total_duration_ms",
        "touched_entities", "touched_files", "trace_id", "usage.raw", "usage.total_tokens",
    }
)  # fmt: skip

# Folding only asks whether these are the same, so a 64-bit number is held instead of their text. Among a hundred million
# different texts two share one with a chance of 1 in 3,700, and then join only where much else agrees too; see `twins`.
KEYS: Final = {
    "response_key": "provider_response_id", "group_key": "request_group", "trace_key": "trace_id", "span_key": "span_id",
}  # fmt: skip

# How people name fields: groups of DESIGN's list, and leaves by their last name where that is clear.
ALIASES: Final = {
    "project": "project_id",
    "chat": "chat_id",
    "user": "user_id",
    "tag": "tags",
    "error": "error.code",
}

# Codes: empty text counts as absent, and spaces around it are ignored.
_CODES: Final = frozenset({"cost.currency"})
_LARGEST_AMOUNT: Final = 10**9

# Ids may be whole numbers, and so may an error's code, which is often an HTTP status.
_ID: Final = typing.get_args(Identifier)[1]
_NUMBERED: Final = frozenset({"error.code"})
# Kinds whose values are judged by how JSON writes them: as text, number, true ... And one that has a check of its own.
_JUDGED: Final = frozenset({"text", "code", "key", "bool", "list"})
_LISTED: Final = frozenset({"status"})

# As JSON writes a number, so that `007` and `+49` stay texts: https://www.rfc-editor.org/rfc/rfc8259#section-6
JSON_NUMBER: Final = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
# As JSON writes what is no text.
NO_TEXT: Final = rf"{JSON_NUMBER}|true|false|\[.*\]|\{{.*\}}"
# Texts that would be taken for something else's JSON, or for one that keeps its quotes.
NO_PLAIN_TEXT: Final = rf'{NO_TEXT}|".*'

# What a calendar holds, and Python's `datetime`; the database reads times of 290,000 years before and after, and infinity.
_CALENDAR: Final = ("0001-01-01 00:00:00", "9999-12-31 23:59:59.999999")


@dataclass(frozen=True, slots=True)
class Column:
    """One leaf of the entry.

    Attributes:
        path: Its place in the line, `usage.prompt_tokens`.
        kind: `text`, `code`, `count`, `ms`, `time`, `amount`, `bool`, `list`, `json`, `attribute` or `key`.
        least: The least a count may be.
        most: The most a count may be.
        origin: The place in the line that a key is made from.
        numbered: Whether a text, or a member of a list, may also be written as a whole number.
        choices: The texts that the entry takes; empty where it takes any.
    """

    path: str
    kind: str
    least: int = 0
    most: int = 2**53
    origin: str | None = None
    numbered: bool = False
    choices: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its name in SQL; the name of an attribute, which users choose, is not part of it."""
        if self.kind == "attribute":
            return f"attribute_{hashlib.sha256(self.path.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"
        return self.path.replace(".", "_")

    @property
    def sql_type(self) -> str:
        """The SQL type of its values."""
        return {
            "count": "BIGINT",
            "ms": "DOUBLE",
            "time": "TIMESTAMP",
            "amount": "DECIMAL(38, 24)",
            "bool": "BOOLEAN",
            "list": "VARCHAR[]",
            "key": "UBIGINT",
        }.get(self.kind, "VARCHAR")

    @property
    def source(self) -> str:
        """Where a parsed line has it, as SQL."""
        return "raw." + ".".join(f'"{part}"' for part in (self.origin or self.path).split("."))

    @property
    def native_type(self) -> str:
        """The type that the parser reads it as where a wrong one is an error; counts as what shows a part of one."""
        return {
            "count": "DOUBLE",
            "ms": "DOUBLE",
            "time": "TIMESTAMPTZ",
            "bool": "BOOLEAN",
            "list": "VARCHAR[]",
        }.get(self.kind, "VARCHAR")

    @property
    def text_type(self) -> str:
        """The type that the parser reads it as where a wrong one is to be told: JSON where text is to be told from others."""
        return "JSON" if self.kind in _JUDGED and self.path not in _LISTED else "VARCHAR"

    def _is_text(self, json: str) -> str:
        """Return SQL that says of JSON that it is a text, or what may stand for one."""
        text = f"""left({json}, 1) = '"'"""
        return f"({text} OR regexp_full_match({json}, '-?[0-9]+'))" if self.numbered else text

    def read_json(self, value: str) -> str:
        """Return SQL that reads a value of `text_type`; NULL where it does not fit."""
        if self.text_type != "JSON":
            return self.read(value)
        if self.kind == "bool":
            return f"CASE {value}::VARCHAR WHEN 'true' THEN true WHEN 'false' THEN false END"
        if self.kind == "list":
            members = f"list_filter(TRY_CAST({value} AS JSON[]), lambda x: {self._is_text('x')})"
            return f"list_transform({members}, lambda x: (x->>'$'))"
        return self.read(f"(CASE WHEN {self._is_text(value)} THEN ({value}->>'$') END)")

    def unfit(self, value: str) -> str:
        """Return SQL that says of a value of `text_type` that it is there and does not fit; some members of a list may."""
        if self.kind == "json":
            return "false"
        if self.kind == "list":
            wrong = f"list_filter(TRY_CAST({value} AS JSON[]), lambda x: NOT {self._is_text('x')})"
            return f"coalesce({value} IS NOT NULL AND coalesce(len({wrong}), 1) > 0, false)"
        if self.kind in {"text", "key"}:
            # Empty text is text.
            judged = f"NOT {self._is_text(value)}" if self.text_type == "JSON" else "false"
            return f"coalesce({judged}, false)"
        return f"{value} IS NOT NULL AND ({self.read_json(value)}) IS NULL"

    def coerced(self, value: str) -> str | None:
        """Return SQL that says that reading a value of `text_type` as `native_type` coerces it; None: it never does."""
        if self.kind in {"count", "ms"}:
            return f"{value} IN ('true', 'false') OR contains({value}, '_')"
        return self.unfit(value) if self.text_type == "JSON" else None

    def take(self, value: str) -> str:
        """Return SQL for a value read as `native_type`."""
        if self.kind == "count":
            return f"{value}::BIGINT"
        if self.kind == "time":
            return f"make_timestamp(epoch_us({value}))"
        return value if self.kind in {"ms", "bool", "list"} else self.read(value)

    def misfit(self, value: str) -> str | None:
        """Return SQL that says that a value read as `native_type` does not fit; None where any fits."""
        if self.kind == "count":
            return f"{value} < {self.least} OR {value} > {self.most} OR {value} <> floor({value})"
        if self.kind == "ms":
            return f"{value} < 0 OR NOT isfinite({value})"
        if self.kind == "time":
            return odd_time(value)
        unread = f"{value} IS NOT NULL AND ({self.read(value)}) IS NULL"
        return unread if self.kind in {"amount", "code"} else None

    def read(self, text: str) -> str:
        """Return SQL that reads the kind from plain text; NULL where the text is not one."""
        # The database would read 1_000 as a thousand.
        number = f"CASE WHEN NOT contains({text}, '_') THEN TRY_CAST({text} AS DOUBLE) END"
        match self.kind:
            case "count":
                fits = f"{number} BETWEEN {self.least} AND {self.most} AND floor({number}) = {number}"
                return f"CASE WHEN {fits} THEN {number}::BIGINT END"
            case "ms":
                return f"CASE WHEN {number} >= 0 AND isfinite({number}) THEN {number} END"
            case "time":
                return utc_time(text)
            case "amount":
                amount = f"CASE WHEN NOT contains({text}, '_') THEN TRY_CAST({text} AS DECIMAL(38, 24)) END"
                return f"CASE WHEN abs({amount}) <= {_LARGEST_AMOUNT} THEN {amount} END"
            case "code":
                return f"nullif(trim({text}), '')"
            case "key":
                # Empty text names nothing, so no two requests share it.
                return f"CASE WHEN {text} <> '' THEN hash({text}) END"
            case _:
                return text


def attribute_label(json: str) -> str:
    """Return SQL that names the value of an attribute: a text by itself, all else as JSON writes it.

    A text that reads like something else's JSON keeps its quotes: the number is `7`, the text `"7"`.
    """
    text = f"({json}->>'$')"
    plain = f"left({json}, 1) = '\"' AND NOT regexp_full_match({text}, '{NO_PLAIN_TEXT}', 's')"
    return f"CASE WHEN {plain} THEN {text} ELSE {json}::VARCHAR END"


def attribute_text(label: str) -> str:
    """Return SQL of what an attribute says, without the quotes that `attribute_label` may have kept."""
    return f"CASE WHEN left({label}, 1) = '\"' THEN json_extract_string({label}, '$') ELSE {label} END"


def shown(column: Column) -> str:
    """Return SQL of a field as text: an amount with the decimals that it is known to, not those it is held with."""
    name = f'"{column.name}"'
    if column.kind == "amount":
        return f"rtrim(rtrim({name}::VARCHAR, '0'), '.')"
    return attribute_text(name) if column.kind == "attribute" else f"{name}::VARCHAR"


def readable(text: str) -> str:
    """Return text as a line's is read: what is no Unicode character, half of a surrogate pair, is a question mark."""
    return text.encode("utf-8", "replace").decode()


def utc_time(text: str) -> str:
    """Return SQL that reads ISO 8601 text as UTC, a naive time as UTC; NULL where it is not one.

    A plain cast to TIMESTAMP is faster but drops an offset, so it serves only what ends in `Z`. Words that the database
    takes for a time, such as `epoch`, are none.
    """
    first, last = (f"TIMESTAMP '{edge}'" for edge in _CALENDAR)
    moment = (
        f"CASE WHEN suffix({text}, 'Z') THEN TRY_CAST({text} AS TIMESTAMP) "
        f"ELSE TRY_CAST({text} AS TIMESTAMPTZ)::TIMESTAMP END"
    )
    digit = f"ltrim({text}) >= '0' AND ltrim({text}) < ':'"
    return f"CASE WHEN {digit} AND {moment} BETWEEN {first} AND {last} THEN {moment} END"


def odd_time(moment: str) -> str:
    """Return SQL that says that a time read as `native_type` is none, or may be a word: one of 1970 is looked at again."""
    first, last = (f"TIMESTAMPTZ '{edge}+00'" for edge in _CALENDAR)
    return f"{moment} < {first} OR {moment} > {last} OR {moment} = TIMESTAMPTZ '1970-01-01 00:00:00+00'"


def _unwrap(annotation: Any) -> tuple[Any, list[Any]]:
    """Return the type inside Optional and Annotated, and the metadata met on the way."""
    metadata: list[Any] = []
    while True:
        origin = typing.get_origin(annotation)
        if origin is typing.Annotated:
            annotation, *more = typing.get_args(annotation)
            metadata.extend(more)
        elif origin in {typing.Union, types.UnionType}:
            annotation = next(part for part in typing.get_args(annotation) if part is not type(None))
        else:
            return annotation, metadata


def _bounds(metadata: list[Any]) -> dict[str, int]:
    found: dict[str, int] = {}
    for item in metadata:
        for part in (item, *getattr(item, "metadata", ())):
            if getattr(part, "ge", None) is not None:
                found["least"] = part.ge
            if getattr(part, "le", None) is not None:
                found["most"] = part.le
    return found


def _leaves(model: type[BaseModel], prefix: str) -> list[Column]:
    found: list[Column] = []
    for name, field in model.model_fields.items():
        if name in LLMRequestLogEntry.CONTENT_FIELDS:
            continue
        path = f"{prefix}{name}"
        kind, metadata = _unwrap(field.annotation)
        bounds = _bounds([*metadata, *field.metadata])
        origin = typing.get_origin(kind)
        numbered = path in _NUMBERED or _ID in {*metadata, *field.metadata}
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found.extend(_leaves(kind, f"{path}."))
        elif kind is int:
            found.append(Column(path, "count", bounds.get("least", 0), bounds.get("most", 2**53)))
        elif kind is datetime:
            found.append(Column(path, "time"))
        elif origin in {list, dict}:
            member = _unwrap(typing.get_args(kind)[0])[1] if origin is list else []
            found.append(Column(path, "list" if origin is list else "json", numbered=_ID in member))
        else:
            known = {float: "ms", Decimal: "amount", bool: "bool"}
            text = "code" if path in _CODES else known.get(kind, "text")
            choices = typing.get_args(kind) if origin is typing.Literal else ()
            found.append(Column(path, text, numbered=numbered, choices=choices))
    return found


# What a line has besides the fields of the entry.
LINE_ID: Final = Column("id", "text", numbered=True)
WRITER_ID: Final = Column("writer.id", "text")
WRITER_SEQ: Final = Column("writer.seq", "count", least=1)


@cache
def columns() -> dict[str, Column]:
    """Return every column of the entry, by path, in the order of the schema."""
    return {column.path: column for column in _leaves(LLMRequestLogEntry, "")}


@cache
def held_columns() -> tuple[Column, ...]:
    """Return the columns that every reading of a line takes, and a segment's cache holds."""
    held = tuple(column for column in columns().values() if column.path not in NOT_HELD)
    made_of = {name: columns()[origin] for name, origin in KEYS.items()}
    keys = (Column(name, "key", origin=of.path, numbered=of.numbered) for name, of in made_of.items())
    return (*held, *keys)


def judged_columns(extra: Sequence[Column]) -> list[Column]:
    """Return the columns whose values are judged one by one where a wrong one is to be told."""
    wanted = {column.name: column for column in (LINE_ID, WRITER_ID, WRITER_SEQ, *held_columns(), *extra)}
    return [column for column in wanted.values() if column.kind != "attribute"]


def find_column(name: str) -> Column | None:
    """Find a column by its path, by how people name it, or by its last name where only one has it.

    Args:
        name: `usage.prompt_tokens`, `prompt_tokens`, `project`, `attributes.tenant` ...

    Returns:
        None where the entry has no such field. A column of an attribute has the path `attributes.<name>`.
    """
    known = columns()
    path = ALIASES.get(name, name)
    if path in known:
        return known[path]
    if path.startswith("attributes.") and len(path) > len("attributes."):
        return Column(path, "attribute")
    named = [column for column in known.values() if column.path.rsplit(".", 1)[-1] == path]
    return named[0] if len(named) == 1 else None


def raw_struct(types_by_path: Mapping[str, str]) -> dict[str, str]:
    """Return the columns as which DuckDB is to read these paths of a line, structs around those that have a dot."""
    top: dict[str, str] = {}
    parts: dict[str, list[str]] = {}
    for path, kind in types_by_path.items():
        head, _, leaf = path.partition(".")
        if leaf:
            parts.setdefault(head, []).append(f'"{leaf}" {kind}')
            top[head] = ""
        else:
            top[head] = kind
    return {head: kind or f"STRUCT({', '.join(parts[head])})" for head, kind in top.items()}
