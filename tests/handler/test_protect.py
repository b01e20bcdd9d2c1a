"""Pseudonyms: stable under a key, new under another, and nothing to read them back from."""

import hashlib
import hmac
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_logging import LLMFileHandler
from llm_logging.errors import ConfigurationError
from llm_logging.handler.protect import Pseudonymiser, pseudonymiser_from
from llm_logging.hmac_keys import PSEUDONYM_KEY, pseudonym

KEY = b"0123456789abcdef"
ENTRY = {"project_id": "p", "chat_id": "c", "model": "m"}


def test_named_fields_are_replaced_and_the_rest_stays():
    entry = {"user_id": "ann", "chat_id": "c", "attributes": {"account": 17, "b": 1}, "model": "m"}
    found = Pseudonymiser(["user_id", "attributes.account", "attributes.none", "no.where"], KEY).apply(entry)
    assert found == {
        "user_id": pseudonym("user_id", "ann", KEY),
        "chat_id": "c",
        "attributes": {"account": pseudonym("account", "17", KEY), "b": 1},
        "model": "m",
    }
    assert entry["user_id"] == "ann"
    assert entry["attributes"]["account"] == 17


def test_a_pseudonym_is_128_bits_of_hmac_sha256():
    expected = hmac.new(KEY, b"user_id\0ann", hashlib.sha256).hexdigest()[:32]
    assert pseudonym("user_id", "ann", KEY) == pseudonym("attributes.user_id", "ann", KEY) == f"p_{expected}"


@given(st.text(), st.text(), st.binary(min_size=16, max_size=40), st.binary(min_size=16, max_size=40))
def test_one_value_one_name_and_a_new_key_new_names(first, second, key, other):
    assert (pseudonym("u", first, key) == pseudonym("u", second, key)) is (first == second)
    # HMAC pads a short key with zeros: only such keys are one key.
    if key.rstrip(b"\0") != other.rstrip(b"\0"):
        assert pseudonym("u", first, key) != pseudonym("u", first, other)


def test_an_entry_without_them_is_the_same_object():
    entry = {"model": "m", "user_id": None, "attributes": 5}
    assert Pseudonymiser(["user_id", "attributes.x"], KEY).apply(entry) is entry


def test_lists_are_replaced_item_by_item():
    assert Pseudonymiser(["users"], KEY).apply({"users": ["a", None, 5]}) == {
        "users": [pseudonym("users", "a", KEY), None, pseudonym("users", 5, KEY)]
    }


def test_the_key_comes_from_the_environment_or_a_file(monkeypatch, tmp_path):
    file = tmp_path / "key"
    file.write_bytes(KEY + b"\n")
    expected = {"user_id": pseudonym("user_id", "ann", KEY)}
    monkeypatch.setenv(PSEUDONYM_KEY, KEY.decode())
    assert pseudonymiser_from(["user_id"]).apply({"user_id": "ann"}) == expected
    monkeypatch.setenv(f"{PSEUDONYM_KEY}_FILE", str(file))
    with pytest.raises(ConfigurationError, match="got both"):
        pseudonymiser_from(["user_id"])
    monkeypatch.delenv(PSEUDONYM_KEY)
    assert pseudonymiser_from(["user_id"]).apply({"user_id": "ann"}) == expected
    monkeypatch.delenv(f"{PSEUDONYM_KEY}_FILE")
    assert (
        pseudonymiser_from({"fields": ["user_id"], "key_file": str(file)}).apply({"user_id": "ann"})
        == expected
    )
    monkeypatch.setenv("OTHER", KEY.decode())
    assert (
        pseudonymiser_from({"fields": ["user_id"], "key_env": "OTHER"}).apply({"user_id": "ann"}) == expected
    )


@pytest.mark.parametrize(
    "option",
    [
        "user_id",
        ["user id"],
        [5],
        ["user_id"],
        {"key_env": "X"},
        {"fields": ["user_id"], "key_env": "NOT_THERE"},
        {"fields": ["user_id"], "key_file": "/nowhere/key"},
        {"fields": ["user_id"], "key": "in the code"},
        {"fields": ["user_id"], "key_file": "a", "key_env": "b"},
        5,
    ],
)
def test_wrong_options_are_refused(option, monkeypatch):
    monkeypatch.delenv(PSEUDONYM_KEY, raising=False)
    with pytest.raises(ConfigurationError, match="expected"):
        pseudonymiser_from(option)


def test_a_short_key_is_refused(monkeypatch):
    monkeypatch.setenv(PSEUDONYM_KEY, "short")
    with pytest.raises(ConfigurationError, match="at least 16 bytes"):
        pseudonymiser_from(["user_id"])


def test_none_asked_none_made():
    assert pseudonymiser_from(None) is None
    assert pseudonymiser_from([]) is None


REFUSED = [
    {"event_type": "llm_request", "project_id": "p", "chat_id": "c", "user_id": "ann-of-nowhere"},
    {
        "event_type": "llm_request",
        "project_id": "p",
        "chat_id": "c",
        "user_id": "x",
        "account": "ann-of-nowhere",
    },
    {"event_type": "llm_request", **ENTRY, "user_id": ["ann-of-nowhere"]},
    {
        "event_type": "chat_message",
        "project_id": "p",
        "role": "user",
        "content": "x",
        "user_id": "ann-of-nowhere",
    },
    {"project_id": "p", "userId": "ann-of-nowhere"},
    {"project_id": "p", "account": "ann-of-nowhere"},
    {"project_id": "p", "context": {"user_id": "ann-of-nowhere"}},
]


@pytest.mark.parametrize("extra", REFUSED)
def test_a_name_is_replaced_also_where_an_entry_was_refused(extra, tmp_path, monkeypatch):
    monkeypatch.setenv(PSEUDONYM_KEY, KEY.decode())
    handler = LLMFileHandler(root=tmp_path, pseudonyms=["user_id", "attributes.account"])
    logger = logging.getLogger("pseudonyms.refused")
    logger.propagate = False
    logger.addHandler(handler)
    logger.warning("x", extra=extra)
    logger.removeHandler(handler)
    handler.close()
    written = "".join(path.read_text() for path in tmp_path.rglob("*.jsonl"))
    assert "ann-of-nowhere" not in written
    names = {pseudonym(name, "ann-of-nowhere", KEY) for name in ("user_id", "account")}
    assert any(name in written for name in names)


def test_a_name_is_replaced_once_however_often_it_is_listed():
    entry = {"user_id": "ann", "attributes": {"user_id": "ann"}}
    expected = pseudonym("user_id", "ann", KEY)
    found = Pseudonymiser(["user_id", "attributes.user_id", "user_id"], KEY).apply(entry)
    assert found == {"user_id": expected, "attributes": {"user_id": expected}}
