"""Filters on attributes, which may be anything."""

from __future__ import annotations

import pytest

from tests.reader.builders import ask, entry, put

ODD = [
    entry(0, attributes={"n": 1234567890123456789, "t": "007", "flag": True, "my key": "v", "a=b": 1}),
    entry(1, attributes={"n": 1234567890123456788, "t": "7", "flag": "true", "s": " x "}),
    entry(2, attributes={"n": 1e3, "t": 7, "s": "x"}),
    entry(3, attributes={"n": -0.5, "t": 7.0, "flag": False, "s": "nan"}),
]


@pytest.mark.parametrize(
    ("where", "numbers"),
    [
        ("attributes.n=1234567890123456789", {0}),
        ({"attributes.n": 1234567890123456788}, {1}),
        ("attributes.n!=1234567890123456789", {1, 2, 3}),
        ("attributes.n>1234567890123456788", {0}),
        ("attributes.n<=1234567890123456788", {1, 2, 3}),
        ("attributes.n=1000", {2}),
        ("attributes.n=1000.00", {2}),
        ({"attributes.n": 1000}, {2}),
        ("attributes.n<.5", {3}),
        # A text that is written like a number cannot be told from it; one that is not is none.
        ("attributes.t=7", {1, 2, 3}),
        ('attributes.t="7"', {1}),
        ('attributes.t!="7"', {0, 2, 3}),
        ('attributes.flag="true"', {1}),
        ('attributes.s="x"', {2}),
        ('attributes.s=" x "', {1}),
        ("attributes.t~?", {1, 2}),
        ("attributes.t=007", {0}),
        ("attributes.t>6", {1, 2, 3}),
        ("attributes.s>5", set()),
        ({"attributes.flag": True}, {0, 1}),
        ({"attributes.flag": False}, {3}),
        ({"attributes.flag": None}, {2}),
        ({"attributes.s": " x "}, {1}),
        ("attributes.s= x ", {2}),
        ({"attributes.my key": "v"}, {0}),
        ("attributes.my key = v", {0}),
        ({"attributes.a=b": 1}, {0}),
    ],
)
def test_attributes_are_compared_as_what_they_are(where, numbers, tmp_path):
    put(tmp_path, ODD)
    found = ask(tmp_path, where=where, group_by="id").breakdown
    assert {row.group["id"] for row in found} == {ODD[number]["id"] for number in numbers}
