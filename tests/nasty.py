"""Hypothesis strategies: entries as people write them, and values that nobody should log but somebody will."""

from __future__ import annotations

import contextlib
import datetime as dt
import enum
import http
import tempfile
import uuid
from collections import OrderedDict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from llm_logging.models.entry import FLAT_FIELDS, LLMRequestLogEntry, Timings, Usage


class Text(str):  # noqa: SLOT000
    """A subclass of str."""


class Whole(int):
    """A subclass of int."""


class Table(dict):
    """A subclass of dict."""


class Status(enum.StrEnum):
    """A status as an enum."""

    SUCCESS = "success"
    ODD = "odd"


class Index:
    """An integer of a foreign kind, as numpy's."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value

    __int__ = __index__

    def __float__(self) -> float:
        return float(self.value)

    def __repr__(self) -> str:
        return f"Index({self.value})"


class Broken:
    """Raises whatever is asked of it, as an array does for its truth or a proxy without its target."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    __str__ = __repr__

    def __eq__(self, other: object) -> Any:
        raise ValueError("the truth of this is ambiguous")

    __hash__ = None

    def __index__(self) -> int:
        raise TypeError("only size-1 arrays can be converted")

    def __float__(self) -> float:
        raise TypeError("only size-1 arrays can be converted")

    def __bool__(self) -> bool:
        raise ValueError("the truth of this is ambiguous")


class Unwritable:
    """An SDK's object whose dump fails."""

    def model_dump(self, **options: Any) -> Any:
        raise RuntimeError("closed")


class BadError(Exception):
    """An exception whose text fails."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


def circular() -> Any:
    """Return a list that holds itself."""
    value: list[Any] = [1]
    value.append(value)
    return value


def nested(depth: int) -> Any:
    """Return lists in lists."""
    value: Any = "deep"
    for _ in range(depth):
        value = [value]
    return value


whole_numbers = st.one_of(
    st.integers(0, 10**6), st.integers(), st.sampled_from([0, -1, 2**53, 2**53 + 1, 2**63, -(2**63), 10**30])
)
numbers = st.one_of(
    st.floats(0, 1e7), st.floats(), st.sampled_from([0, 1e11, 1e12, 5e12, 1e14, 1e15, 1e300, -0.0, 812, 0.5])
)
times = st.one_of(
    st.datetimes(dt.datetime(1970, 1, 1), dt.datetime(2200, 1, 1), timezones=st.just(dt.UTC)),
    st.datetimes(),
    st.datetimes(
        timezones=st.sampled_from(
            [dt.UTC, dt.timezone(dt.timedelta(hours=14)), dt.timezone(-dt.timedelta(hours=12))]
        )
    ),
    st.sampled_from(["2026-01-15T10:00:00Z", "2026-01-15", "yesterday", 1_768_471_200, 1e20, ""]),
)
texts = st.one_of(
    st.sampled_from(
        ["gpt-4o", "shop", "a/../b", "é", "", " ", "x" * 10_001, "\ud800", "\x00", "\u2028", "success"]
    ),
    st.text(max_size=20),
)
odd = st.one_of(
    st.none(),
    st.booleans(),
    whole_numbers,
    numbers,
    texts,
    times,
    st.binary(max_size=5),
    st.builds(Text, st.text(max_size=5)),
    st.builds(Whole, st.integers(0, 9)),
    st.builds(Index, st.integers(-1, 9)),
    st.builds(Broken),
    st.builds(Unwritable),
    st.builds(circular),
    st.just(200).map(nested),
    st.builds(BadError),
    st.builds(TimeoutError, st.text(max_size=5)),
    st.sampled_from([http.HTTPStatus.OK, http.HTTPStatus.BAD_GATEWAY, Status.SUCCESS, Status.ODD]),
    st.sampled_from(
        [uuid.UUID(int=1), Decimal("1.50"), Decimal("NaN"), Decimal("1e500"), dt.timedelta(seconds=2)]
    ),
    st.sampled_from([object, len, ..., range(3), {1, 2}, (1, "a"), frozenset()]),
)
values = st.recursive(
    odd,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(st.text(max_size=4), st.integers(), st.none(), st.just("\ud800")), inner, max_size=3
        ),
        st.dictionaries(st.text(max_size=4), inner, max_size=3).map(Table),
        st.dictionaries(st.text(max_size=4), inner, max_size=3).map(OrderedDict),
    ),
    max_leaves=6,
)


def _keys(names: Any) -> Any:
    return st.one_of(
        st.sampled_from(sorted(names)), st.sampled_from(["raw", "input_tokens", "x", 1, "\ud800"])
    )


usages = st.one_of(
    st.fixed_dictionaries(
        {"prompt_tokens": st.integers(0, 1000), "completion_tokens": st.integers(0, 1000)},
        optional={
            "total_tokens": st.one_of(st.integers(0, 2000), st.booleans(), st.just(1.0), st.none()),
            "cache_read_tokens": st.integers(0, 600),
            "cache_write_tokens": st.integers(0, 600),
            "cache_write_1h_tokens": st.integers(0, 600),
            "reasoning_tokens": st.integers(0, 600),
            "source": st.sampled_from(["provider", "partial", "estimated", "guess", ["provider"], None]),
            "raw": st.one_of(st.just({"n": 1}), st.just("raw")),
        },
    ),
    st.dictionaries(_keys(Usage.model_fields), st.one_of(whole_numbers, values), max_size=4),
    values,
)
timings = st.one_of(
    st.dictionaries(st.sampled_from(sorted(Timings.model_fields)), numbers, max_size=3),
    st.dictionaries(_keys(Timings.model_fields), values, max_size=3),
)

_RIGHT: dict[str, Any] = {
    "project_id": texts,
    "chat_id": texts,
    "model": texts,
    "status": st.sampled_from(["pending", "success", "error", "timeout", "done", Status.SUCCESS, ""]),
    "http_status": st.one_of(st.integers(90, 610), st.just("200"), st.just(http.HTTPStatus.OK)),
    "attempt": st.one_of(st.integers(-1, 3), st.just(2**31 + 1), st.booleans()),
    "request_type": st.sampled_from(["chat", "tool", "workflow", "batch"]),
    "output_format_hint": st.sampled_from(["text", "markdown", "json", "xml"]),
    "stream": st.one_of(st.booleans(), st.just(1), st.just("yes")),
    "timestamp_start": times,
    "timestamp_end": times,
    "usage": usages,
    "timings": timings,
    "tags": st.one_of(st.lists(texts, max_size=3), st.just(("a",)), st.just("a")),
    "finish_reasons": st.lists(texts, max_size=2),
    "error": st.one_of(
        st.just("boom"), st.just({"code": 429}), st.builds(BadError), st.builds(ValueError, st.text())
    ),
    "cost": st.one_of(
        st.just({"amount": "0.5"}), st.just({"amount": 0.1, "currency": "EUR"}), st.just({"amount": -1})
    ),
    "attributes": st.one_of(st.dictionaries(st.text(max_size=4), values, max_size=3), values),
    "id": st.one_of(st.uuids(), st.uuids().map(str), st.just("no uuid")),
    "request_id": st.one_of(st.uuids().map(str), st.just("req-1")),
}
field_names = st.sampled_from(
    sorted([*LLMRequestLogEntry.model_fields, *FLAT_FIELDS, "request_id", "hits", "x"])
)

entries = st.one_of(
    st.fixed_dictionaries(
        {name: st.sampled_from(["a", "shop", "é"]) for name in ("project_id", "chat_id", "model")},
        optional={
            name: rule for name, rule in _RIGHT.items() if name not in {"project_id", "chat_id", "model"}
        },
    ),
    st.fixed_dictionaries({}, optional=_RIGHT),
    st.dictionaries(
        st.one_of(field_names, st.text(max_size=3), st.integers(0, 3), st.just("\ud800")), values, max_size=6
    ),
    st.tuples(
        st.fixed_dictionaries({name: st.just("a") for name in ("project_id", "chat_id", "model")}),
        st.dictionaries(st.one_of(field_names, st.text(max_size=3)), values, max_size=4),
    ).map(lambda pair: {**pair[1], **pair[0]}),
)

FIELDS = frozenset({*LLMRequestLogEntry.model_fields, *FLAT_FIELDS, "request_id", "hits"})
TOKENS = frozenset(Usage.model_fields)
_when = st.datetimes(dt.datetime(1970, 1, 1), dt.datetime(2200, 1, 1), timezones=st.just(dt.UTC))
_plain_text = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
_raw = st.dictionaries(
    _plain_text,
    st.one_of(st.integers(0, 99), _plain_text, st.dictionaries(_plain_text, st.integers(), max_size=2)),
    max_size=3,
)
_latency = st.one_of(st.floats(0, 1e9), st.integers(0, 10**9))


def _ordered(entry: dict[str, Any]) -> dict[str, Any]:
    start, end = entry.get("timestamp_start"), entry.get("timestamp_end")
    if end is not None:
        entry["timestamp_start"], entry["timestamp_end"] = sorted((start, end))
    elif start is not None:
        entry.pop("timings", None)
    return entry


well_formed = st.one_of(
    st.fixed_dictionaries(
        dict.fromkeys(("project_id", "chat_id", "model"), _plain_text),
        optional={
            **dict.fromkeys(
                (
                    "user_id",
                    "parent_id",
                    "request_group",
                    "operation",
                    "response_model",
                    "provider",
                    "provider_response_id",
                    "service_tier",
                    "trace_id",
                    "span_id",
                    "prompt_name",
                    "prompt_version",
                ),
                _plain_text,
            ),
            **{
                name: st.lists(_plain_text, max_size=3)
                for name in (
                    "finish_reasons",
                    "messages_included",
                    "touched_files",
                    "touched_entities",
                    "tags",
                )
            },
            "id": st.uuids().map(str),
            "attempt": st.integers(1, 2**31),
            "request_type": st.sampled_from(["chat", "tool", "workflow"]),
            "output_format_hint": st.sampled_from(["text", "markdown", "json"]),
            "status": st.sampled_from(["pending", "success", "error", "timeout"]),
            "http_status": st.integers(100, 599),
            "stream": st.booleans(),
            "usage": st.one_of(
                st.fixed_dictionaries(
                    {"prompt_tokens": st.integers(100, 2**40), "completion_tokens": st.integers(100, 2**40)},
                    optional={
                        "cache_read_tokens": st.integers(0, 50),
                        "cache_write_tokens": st.integers(10, 50),
                        "reasoning_tokens": st.integers(0, 100),
                        "audio_prompt_tokens": st.integers(0, 2**53),
                        "source": st.sampled_from(["provider", "partial", "estimated"]),
                        "raw": _raw,
                    },
                ),
                st.fixed_dictionaries({"prompt_tokens": st.integers(0, 9)}, optional={"raw": _raw}),
                st.fixed_dictionaries({"completion_tokens": st.integers(0, 9)}, optional={"raw": _raw}),
            ),
            "timings": st.fixed_dictionaries(
                {}, optional=dict.fromkeys(sorted(Timings.model_fields), _latency)
            ),
            "hits": odd.filter(lambda value: value is not None),
            "model_name": st.text(max_size=3),
        },
    ),
    st.fixed_dictionaries(
        {
            **dict.fromkeys(("project_id", "chat_id", "model"), _plain_text),
            "timestamp_start": _when,
            "timestamp_end": _when,
            "timings": st.fixed_dictionaries({}, optional={"latency_ms": _latency}),
        },
    ).map(_ordered),
)


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A folder for one example."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name) / "logs"
