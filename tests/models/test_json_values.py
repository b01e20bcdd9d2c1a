"""Any value as JSON."""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import json
import pathlib
import threading
import uuid
from typing import Any

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_logging.models.json_values import MAX_DEPTH, is_json, jsonable, to_bytes
from tests import nasty

json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(codec="utf-8")),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(json_values)
def test_json_values_come_back_as_they_were(value: Any) -> None:
    assert is_json(value)
    assert json.loads(to_bytes(value)) == value
    assert jsonable(value) == value


@settings(max_examples=300)
@given(nasty.values)
def test_any_value_becomes_one_line_of_utf8_json(value: Any) -> None:
    line = to_bytes(jsonable(value))
    assert b"\n" not in line
    json.loads(line.decode("utf-8"))
    assert is_json(jsonable(value))


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    y: Any = None


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    a: int

    @pydantic.model_serializer
    def failing(self) -> Any:
        raise RuntimeError("never called")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (2**63, str(2**63)),
        ("a\ud800b", "a\\ud800b"),
        ({"a\ud800": 1}, {"a\\ud800": 1}),
        (b"caf\xc3\xa9 \xff", "café \\xff"),
        (decimal.Decimal("1.50"), "1.50"),
        (decimal.Decimal("1e400"), "1E+400"),
        (decimal.Decimal("NaN"), "NaN"),
        (fractions.Fraction(1, 4), 0.25),
        (
            dt.datetime(2026, 1, 15, 12, tzinfo=dt.timezone(dt.timedelta(hours=2))),
            "2026-01-15T10:00:00.000000Z",
        ),
        (dt.datetime(2026, 1, 15, 12), "2026-01-15T12:00:00"),
        (dt.datetime(5, 1, 1, tzinfo=dt.UTC), "0005-01-01T00:00:00.000000Z"),
        (dt.date(2026, 1, 15), "2026-01-15"),
        (dt.time(1, 2), "01:02:00"),
        (dt.timedelta(seconds=1.5), 1.5),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (pathlib.PurePosixPath("/a/b"), "/a/b"),
        (ValueError("bad"), "ValueError: bad"),
        (Colour.RED, "red"),
        (nasty.Text("t"), "t"),
        (nasty.Whole(3), 3),
        ({1: "a", None: "b", False: "c", 2.5: "d"}, {"1": "a", "null": "b", "false": "c", "2.5": "d"}),
        ({("a", 1): 2}, {"('a', 1)": 2}),
        ({3, 1, 2}, [1, 2, 3]),
        ((1, (2,)), [1, [2]]),
        (range(3), "range(0, 3)"),
        (Point(1, {2}), {"x": 1, "y": [2]}),
        (Model(a=1, b={2}), {"a": 1, "b": [2]}),
        (nasty.circular(), [1, "<circular>"]),
    ],
)
def test_what_json_lacks_is_said_in_text(value: Any, expected: Any) -> None:
    assert jsonable(value) == expected


def test_depth_ends_in_words() -> None:
    value = jsonable(nasty.nested(10_000))
    for _ in range(MAX_DEPTH):
        (value,) = value
    assert value == "<nested too deeply>"


def test_the_same_object_twice_is_no_circle() -> None:
    shared = {"a": 1}
    assert jsonable([shared, shared]) == [{"a": 1}, {"a": 1}]


def test_iterators_are_not_run_and_nothing_is_changed() -> None:
    generator = (n for n in range(3))
    value = {"g": generator, "list": [1, {"b": {2}}]}
    before = copy.copy(value["list"])
    assert "generator" in jsonable(value)["g"]
    assert list(generator) == [0, 1, 2]
    assert value["list"] == before


def test_objects_that_fail_are_named() -> None:
    assert jsonable({"x": nasty.Broken(), "y": threading.Lock()})["x"] == "<unprintable Broken>"


def test_a_long_repr_is_cut() -> None:
    class Long:
        def __repr__(self) -> str:
            return "x" * 50_000

    text = jsonable(Long())
    assert len(text) < 10_100
    assert text.endswith("(50000 characters)")


def test_something_that_changes_while_it_is_read_costs_itself_only() -> None:
    class Growing(dict):
        def items(self) -> Any:
            raise RuntimeError("dictionary changed size during iteration")

        def __repr__(self) -> str:
            return "growing"

    assert jsonable({"a": Growing(b=1), "c": 2}) == {"a": "growing", "c": 2}
