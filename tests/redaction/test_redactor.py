"""What redaction does with names, markers, censors and odd values."""

import dataclasses
import json
import logging
from collections import OrderedDict, UserDict

import pydantic
import pytest

from llm_logging.errors import ConfigurationError
from llm_logging.models.entry import ChatMessage, Event, LLMRequestLogEntry, Timings, Usage
from llm_logging.redaction.matching.key_names import name_kind
from llm_logging.redaction.redactor import Redactor, redactor_from
from tests.redaction.corpus import Maker

REDACTOR = Redactor()
KEY = "sk" + "-" + Maker(1)("abcdefghijklmnop0123456789", 40) + "7"


@pytest.mark.parametrize(
    "name",
    [
        *LLMRequestLogEntry.model_fields,
        *Usage.model_fields,
        *Timings.model_fields,
        *Event.model_fields,
        *ChatMessage.model_fields,
    ],
)
def test_no_field_of_our_own_is_a_secret_name(name):
    assert name_kind(name) is None


@pytest.mark.parametrize(
    "name",
    ["prompt_tokens", "max_tokens", "maxTokens", "token_type", "total_tokens", "tokens_per_second", "token_count", "n_tokens"]
    + ["promptTokenCount", "max_output_tokens", "input_token", "time_to_first_token", "eos_token_id", "next_page_token"]
    + ["tokenizer", "session_id", "sessionId", "SESSION-ID", "secretary", "author", "monkey", "api_key_id", "passwordPolicy"]
    + ["keyboard", "primary_key", "key", "cache_key", "sort_key", "foreign_key", "authority", "oauth_provider", "cookie_count"],
)  # fmt: skip
def test_counts_and_descriptions_are_no_secret_names(name):
    assert name_kind(name) is None
    value = {name: "CAUQAA77abc"}
    assert REDACTOR.redact(value) is value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"password": "hunter2"}, {"password": "[redacted:password]"}),
        ({"password": 123456}, {"password": "[redacted:password]"}),
        ({"secret": {"nested": [1, 2]}}, {"secret": "[redacted:secret]"}),
        ({"Authorization": "Bearer x"}, {"Authorization": "[redacted:authorization]"}),
        ({b"x-api-key": b"abc"}, {b"x-api-key": "[redacted:api-key]"}),
        (
            {"headers": [["x-api-key", "abc"], ["accept", "*/*"]]},
            {"headers": [["x-api-key", "[redacted:api-key]"], ["accept", "*/*"]]},
        ),
        ({"headers": [(b"cookie", b"a=b")]}, {"headers": [(b"cookie", "[redacted:cookie]")]}),
        (
            [{"name": "Authorization", "value": "x"}],
            [{"name": "Authorization", "value": "[redacted:authorization]"}],
        ),
        (
            {"args": json.dumps({"password": 'hun"ter'})},
            {"args": json.dumps({"password": "[redacted:password]"})},
        ),
        ({KEY: 1, "b": 2}, {"[redacted:openai-key]": 1, "b": 2}),
        (("a", KEY), ("a", "[redacted:openai-key]")),
        (f"use {KEY}!", "use [redacted:openai-key]!"),
    ],
)
def test_names_and_looks_are_found_wherever_they_stand(value, expected):
    assert REDACTOR.redact(value) == expected


@pytest.mark.parametrize("empty", [None, "", b"", True, False, [], {}, ()])
def test_what_holds_nothing_hides_nothing(empty):
    value = {"password": empty}
    assert REDACTOR.redact(value) is value


def test_two_secret_keys_do_not_swallow_one_another():
    other = KEY[:-1] + "8"
    assert REDACTOR.redact({KEY: 1, other: 2}) == {"[redacted:openai-key]": 1, "[redacted:openai-key]#2": 2}


def test_added_names_match_in_any_case_and_with_any_separators():
    redactor = Redactor(keys=["badge no", "session_id"])
    assert redactor.redact({"BadgeNo": 1, "badge-no": 2, "badges": 3, "SessionID": "x"}) == {
        "BadgeNo": "[redacted:key]",
        "badge-no": "[redacted:key]",
        "badges": 3,
        "SessionID": "[redacted:key]",
    }
    assert not redactor.clean('{"Badge\\tNo": 1}')
    assert redactor.clean('{"badges": 1}')


def test_the_marker_is_what_the_configuration_says():
    assert Redactor(censor="**{kind}**").redact({"password": "x"}) == {"password": "**password**"}
    assert Redactor(censor="gone").redact_text(f"a {KEY} b") == "a gone b"
    assert Redactor(remove=True).redact({"password": "x", "a": f"({KEY})"}) == {"a": "()"}


def test_the_same_secret_has_the_same_marker_only_if_asked_and_only_in_this_process():
    one, two = Redactor(correlate=True), Redactor(correlate=True)
    first, second = one.redact(["x " + KEY, KEY + " y"])
    assert first[2:] == second[:-2]
    assert one.redact_text(KEY) != one.redact_text(KEY[:-1] + "8")
    assert one.redact_text(KEY) != two.redact_text(KEY)
    assert REDACTOR.redact_text(KEY) == REDACTOR.redact_text(KEY[:-1] + "8")


def test_a_censor_that_fails_hides_the_value():
    def censor(value, path):
        raise RuntimeError(value)

    assert Redactor(censor=censor).redact({"password": "x", "t": KEY}) == {
        "password": "[redacted:password]",
        "t": "[redacted:openai-key]",
    }


def test_a_censor_function_serves_text_too():
    assert Redactor(censor=lambda value, path: f"<{len(value)} at {path}>").redact({"a": [f"k {KEY}"]}) == {
        "a": [f"k <{len(KEY)} at a[0]>"]
    }


@dataclasses.dataclass
class Account:
    name: str
    password: str


class Model(pydantic.BaseModel):
    api_key: str
    n: int = 1


class Opaque:
    def __repr__(self):
        return f"Opaque(key={KEY})"


class Hostile(dict):
    def items(self):
        raise RuntimeError("no")


class Name(str):
    __slots__ = ()


class Ambiguous:
    def __eq__(self, other):
        raise ValueError("the truth value of this is ambiguous")

    __hash__ = None

    def __repr__(self):
        return "ambiguous"


class Nasty:
    def __repr__(self):
        raise RuntimeError("no repr")

    __str__ = __repr__


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Account("a", "x"), {"name": "a", "password": "[redacted:password]"}),
        (Model(api_key="x"), {"api_key": "[redacted:api-key]", "n": 1}),
        (Opaque(), "Opaque(key=[redacted:openai-key])"),
        (KEY.encode(), "[redacted:openai-key]"),
        (bytearray(KEY.encode()), "[redacted:openai-key]"),
        ({KEY}, ["[redacted:openai-key]"]),
        (ValueError(f"bad {KEY}"), "ValueError('bad [redacted:openai-key]')"),
        (OrderedDict(password="x"), {"password": "[redacted:password]"}),
        (UserDict(password="x"), {"password": "[redacted:password]"}),
        ({"a": 1, "b": Hostile(password="x")}, {"a": 1, "b": "[redacted:unreadable]"}),
        (Hostile(password="x"), "[redacted:unreadable]"),
        (Name(KEY), "[redacted:openai-key]"),
        ({"password": Ambiguous(), "n": 1}, {"password": "[redacted:password]", "n": 1}),
        ([Nasty()], ["[redacted:unreadable]"]),
    ],
)
def test_objects_of_other_kinds_are_examined_or_hidden(value, expected):
    assert REDACTOR.redact(value) == expected


@pytest.mark.parametrize(
    "value",
    [b"plain", {1, 2}, Account("a", ""), logging, 3 + 4j, range(3), frozenset(), Usage(prompt_tokens=1)],
)
def test_objects_that_hold_nothing_come_back_themselves(value):
    assert REDACTOR.redact(value) is value


def test_a_circle_ends_and_what_is_shared_is_examined_once():
    circle: dict = {"password": "x"}
    circle["self"] = circle
    assert REDACTOR.redact(circle) == {"password": "[redacted:password]", "self": "[circular]"}
    shared = {"a": 1}
    for _ in range(60):
        shared = {"l": shared, "r": shared}
    assert REDACTOR.redact(shared) is shared


def nested(depth, inner):
    for _ in range(depth):
        inner = [{"k": inner}]
    return inner


def test_depth_ends_nothing():
    plain = nested(20_000, "x")
    assert REDACTOR.redact(plain) is plain
    for depth in (50, 100, 500, 20_000):
        found = REDACTOR.redact(nested(depth, {"password": "hunter2"}))
        while isinstance(found, list) or (isinstance(found, dict) and "k" in found):
            found = found[0] if isinstance(found, list) else found["k"]
        assert found in ({"password": "[redacted:password]"}, "[redacted:unreadable]")


@pytest.mark.parametrize(
    "text",
    [
        'data: {"password": "abcdefg\\"hijk1"}',
        'data: {"x": "{\\"password\\": \\"abcdefg\\\\\\"hijk1\\"}"}',
        "{'password': 'abcdefg\\'hijk1', 'n': 1}",
        '[{"password": "abcdefg\\"hijk1"',
    ],
)
def test_a_quote_inside_a_value_does_not_end_it(text):
    found = REDACTOR.redact_text(text)
    assert "abcdefg" not in found
    assert "hijk1" not in found


def test_the_embedded_json_of_the_embedded_json_is_examined():
    value = "hunter" + "2"
    for _ in range(3):
        value = (
            json.dumps({"password": value, "n": 1})
            if value.startswith("hunter")
            else json.dumps({"arguments": value})
        )
    assert "hunter" not in REDACTOR.redact_text(value)


def test_personal_data_goes_only_on_request():
    text = "mail ann@example.org, call +49 170 1234567, card 4111 1111 1111 1111, IBAN DE89 3704 0044 0532 0130 00, at 10.1.2.3"
    assert REDACTOR.redact_text(text) is text
    found = Redactor(patterns=["email", "phone", "card", "iban", "ip"]).redact_text(text)
    assert found == (
        "mail [redacted:email], call [redacted:phone], card [redacted:card], IBAN [redacted:iban], at [redacted:ip]"
    )


def test_numbers_that_only_look_personal_stay():
    redactor = Redactor(patterns=["phone", "card", "iban", "ip"])
    for text in ("4111 1111 1111 1112", "order 1234567890123456", "DE00 3704 0044 0532 0130 00", "1.2.3", "999.1.1.1", "12:30:45",
                 "127.0.0.1", "2026-01-15T10:30:00.123456Z", "v1.2.3.4.5", "3.14159"):  # fmt: skip
        assert redactor.redact_text(text) is text, text
    assert redactor.redact({"n": 4111111111111111}) == {"n": "[redacted:card]"}


@pytest.mark.parametrize(
    "options",
    [
        {"patterns": ["nope"]},
        {"keys": "password"},
        {"keys": ["--"]},
        {"censor": 5},
        {"paths": ["a..b"]},
        {"unknown": 1},
    ],
)
def test_wrong_options_are_refused(options):
    with pytest.raises(ConfigurationError, match="expected"):
        redactor_from(options)


def test_what_a_configuration_says_becomes_a_redactor():
    assert redactor_from(None) is None
    assert redactor_from(False) is None
    assert isinstance(redactor_from(True), Redactor)
    assert redactor_from(REDACTOR) is REDACTOR
    assert redactor_from({"paths": ["a.b"]}).scan_sufficient is False
    with pytest.raises(ConfigurationError, match="expected True, False"):
        redactor_from("perhaps")


def test_with_paths_no_line_is_called_clean():
    assert Redactor(paths=["a"]).clean("{}") is False
    assert REDACTOR.scan_sufficient
    assert REDACTOR.clean(b'{"a": 1}')
    assert REDACTOR.clean('{"a": "\u00e9"}')
    assert REDACTOR.clean(b'{"a": "\xff"}') is False
