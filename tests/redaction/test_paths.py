"""Paths follow what pino documents, and what fast-redact, on which it builds, shows in its examples."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_logging.errors import ConfigurationError
from llm_logging.redaction.paths import parse_path, render_path
from llm_logging.redaction.redactor import Redactor

X = "X"


def redact(value, *paths, **options):
    return Redactor(paths=paths, censor=X, patterns=(), **options).redact(value)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        # the examples of pino's page
        ("key", {"key": 1, "other": 2}, {"key": X, "other": 2}),
        ("path.to.key", {"path": {"to": {"key": 1, "another": 2}}}, {"path": {"to": {"key": X, "another": 2}}}),
        ("stuff.thats[*].dull", {"stuff": {"thats": [{"dull": 1, "logme": 2}, {"dull": 3}]}}, {"stuff": {"thats": [{"dull": X, "logme": 2}, {"dull": X}]}}),
        ('path["with-hyphen"]', {"path": {"with-hyphen": 1}}, {"path": {"with-hyphen": X}}),
        ("a.b.c", {"a": {"b": {"c": 1}}}, {"a": {"b": {"c": X}}}),
        ('a["b-c"].d', {"a": {"b-c": {"d": 1}}}, {"a": {"b-c": {"d": X}}}),
        ('["a-b"].c', {"a-b": {"c": 1}}, {"a-b": {"c": X}}),
        ("a.b.*", {"a": {"b": {"c": 1, "d": 2}, "e": 3}}, {"a": {"b": {"c": X, "d": X}, "e": 3}}),
        ("a[*].b", {"a": [{"b": 1, "c": 2}, {"b": 3}]}, {"a": [{"b": X, "c": 2}, {"b": X}]}),
        # one level of any key, at the top
        ("*.b", {"a": {"b": 1, "c": 2}, "d": {"b": 3}, "b": 4}, {"a": {"b": X, "c": 2}, "d": {"b": X}, "b": 4}),
        ("*", {"a": 1, "b": {"c": 2}}, {"a": X, "b": X}),
        ('[*]["y"]', {"x": {"y": 1}}, {"x": {"y": X}}),
        ("*.*.x", {"a": {"b": {"x": 1}}}, {"a": {"b": {"x": X}}}),
        ("a[*].c[*].d", {"a": [{"c": [{"d": 1, "e": 2}]}, {"c": []}]}, {"a": [{"c": [{"d": X, "e": 2}]}, {"c": []}]}),
        ("a.*.*", {"a": {"b": {"c": 1}}}, {"a": {"b": {"c": X}}}),
        ("a[*]", {"a": [1, 2]}, {"a": [X, X]}),
        ("a.like[3].this", {"a": {"like": [0, 1, 2, {"this": 4, "that": 5}]}}, {"a": {"like": [0, 1, 2, {"this": X, "that": 5}]}}),
        # quotes of three kinds, odd names
        ("a['@#!=\"'].c", {"a": {'@#!="': {"c": 1}}}, {"a": {'@#!="': {"c": X}}}),
        ("a[`@#!=`].c", {"a": {"@#!=": {"c": 1}}}, {"a": {"@#!=": {"c": X}}}),
        ('a["*"].c', {"a": {"*": {"c": 1}, "b": {"c": 2}}}, {"a": {"*": {"c": X}, "b": {"c": 2}}}),
        ('a[""]["y"]', {"a": {"": {"y": 1}}}, {"a": {"": {"y": X}}}),
        ("a['b.c']", {"a": {"b.c": 1, "b": {"c": 2}}}, {"a": {"b.c": X, "b": {"c": 2}}}),
        ("a[-1.2]", {"a": {"-1.2": 1}}, {"a": {"-1.2": X}}),
        ("a['\\'x\\'']", {"a": {"'x'": 1}}, {"a": {"'x'": X}}),
        # the whole below goes, whatever it is
        ("a", {"a": {"b": [1]}}, {"a": X}),
        ("a", {"a": None}, {"a": X}),
    ],
)  # fmt: skip
def test_a_path_hides_what_it_names(path, value, expected):
    assert redact(value, path) == expected


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("A", {"a": 1}),  # case sensitive
        ("a.b.c", {"a": {"z": 1}}),
        ("a.b.c", {"a": 5}),
        ("a.b.c", {"a": {"b": None}}),
        ("a.*", {"a": "text"}),
        ("*.test", {"prop": None}),
        ("a[0].b", {"a": []}),
        ("a.b", ["a", "b"]),
        ("a", 5),
    ],
)
def test_a_path_that_leads_nowhere_does_nothing(path, value):
    assert redact(value, path) is value


@pytest.mark.parametrize(
    "path",
    ["", "@", "0", "a.1.c", "a..c", "1..c", "a = b", "a(b)", "//a.b.c", "\\a.b.c", "a.#.c", "~~a.b.c", "^a.b.c", "a + b"]
    + ["return a + b", "a / b", "a * b", "a - b", "a ** b", "a % b", "a.b*.c", 'a;global.foo = "bar"', "a;while(1){}", "a//"]
    + ["a/*foo*/", "a,o.b", "a = o.b", "a\n", "a\r", '[""""]', "a.", ".a", "a[", "a]", "a[b]", "a[]", "a b", "a-b", "**", "a[*"]
    + ["a['b]", "a.*b"],
)  # fmt: skip
def test_a_wrong_path_is_refused_with_the_place_and_the_reason(path):
    with pytest.raises(ConfigurationError, match="redaction path .*expected"):
        Redactor(paths=[path])


@pytest.mark.parametrize("paths", ["a.b", [1], [None], [{}], [["a"]]])
def test_paths_are_a_list_of_strings(paths):
    with pytest.raises(ConfigurationError, match="expected"):
        Redactor(paths=paths)


def test_removal_takes_the_key_along_and_leaves_none_in_a_list():
    value = {"key": 1, "path": {"to": {"key": 2, "another": 3}}, "list": [1, 2]}
    found = Redactor(paths=["key", "path.to.key", "list[0]"], remove=True).redact(value)
    assert found == {"path": {"to": {"another": 3}}, "list": [None, 2]}


def test_a_censor_function_gets_the_value_and_its_path():
    seen = []

    def censor(value, path):
        seen.append((value, path))
        return f"xxx{value[-2:]}"

    found = Redactor(paths=["*.b", 'c["x-y"][*]'], censor=censor).redact(
        {"a": {"b": "0123456"}, "c": {"x-y": ["12"]}}
    )
    assert found == {"a": {"b": "xxx56"}, "c": {"x-y": ["xxx12"]}}
    assert seen == [("0123456", "a.b"), ("12", 'c["x-y"][0]')]


def test_paths_are_tried_from_the_top_and_from_within_what_came_as_extras():
    entry = {
        "headers": {"x": 1},
        "attributes": {"headers": {"x": 2}},
        "data": {"headers": {"x": 3}},
        "usage": {"headers": {"x": 4}},
    }
    assert redact(entry, "headers.x") == {
        "headers": {"x": X},
        "attributes": {"headers": {"x": X}},
        "data": {"headers": {"x": X}},
        "usage": {"headers": {"x": 4}},
    }  # fmt: skip


@given(st.lists(st.one_of(st.text(min_size=1, max_size=5), st.integers(0, 20)), min_size=1, max_size=5))
def test_a_written_path_reads_back(steps):
    assert parse_path(render_path(steps)) == tuple(str(step) for step in steps)
