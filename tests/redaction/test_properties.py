"""Laws of redaction for any value: what is planted never comes out, what is harmless stays, and the scan misses nothing."""

import copy
import json
import os
import re
import string

from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic_core import to_json

from llm_logging.models.entry import LLMRequestLogEntry
from llm_logging.models.validation import fast_entry, forgive
from llm_logging.redaction.redactor import _FIRM, Redactor
from tests.redaction.corpus import NAMES, Maker, named, positives, secrets_by_kind, surroundings, told

# More examples for a longer search: LLM_LOGGING_FUZZ=100.
FUZZ = int(os.environ.get("LLM_LOGGING_FUZZ", "1"))
REDACTOR = Redactor()
PERSONAL = Redactor(patterns=("credentials", "email", "phone", "card", "iban", "ip"))
SECRETS = [value for values in secrets_by_kind(Maker(3)).values() for value in values]

SURROUNDED = [text for _, text, _ in (*surroundings(Maker(5)), *told(Maker(5)))]


def one_of_list(items):
    # By index: a strategy of hundreds of long texts would be printed whole.
    return st.integers(0, len(items) - 1).map(lambda number: items[number])


# Pieces that detectors look for, and what tears them apart.
PIECES = st.one_of(
    one_of_list(SECRETS),
    st.sampled_from(NAMES),
    one_of_list(SURROUNDED),
    st.sampled_from(
        [
            "sk-",
            "eyJ",
            "Bearer ",
            "basic ",
            "://",
            "@",
            ":",
            "=",
            ": ",
            ":=",
            "=>",
            '"',
            "'",
            "`",
            "\\",
            '\\"',
            "\\n",
            "\n",
        ]
        + [
            "\t",
            " ",
            ",",
            "{",
            "}",
            "[",
            "]",
            "?",
            "&",
            "%20",
            "\\u0026",
            "é",
            "\u212a",
            "\u0130",
            "\x00",
            "\x1b",
            "-----",
        ]
        + [
            "BEGIN ",
            "PRIVATE KEY-----",
            "END ",
            "hunter2",
            "a1",
            "sig=",
            "$",
            "<",
            "token",
            "Tokens",
            "key",
            "id",
            "_",
            "-",
            ".",
        ]
    ),
    st.text(max_size=6),
    st.text(alphabet=string.ascii_letters + string.digits + "-_./+=", min_size=8, max_size=40),
)
TEXTS = st.lists(PIECES, max_size=8).map("".join)
SPACED = st.lists(PIECES, max_size=8).map(" ".join)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXTS
)
KEYS = st.one_of(st.sampled_from(NAMES), st.text(max_size=8), TEXTS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


def lines(value):
    yield json.dumps(value)
    yield json.dumps(value, ensure_ascii=False)
    yield json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        yield to_json(value)
    except ValueError:
        return


@settings(max_examples=1500 * FUZZ, deadline=None)
@given(VALUES)
@example({"api\tkey": "x"})
@example({"Pass\u00e9word": "x"})
@example('{"api_key": 5}')
def test_what_redact_would_change_is_not_clean(value):
    for redactor in (REDACTOR, PERSONAL):
        if redactor.redact(value) != value:
            for line in lines(value):
                assert not redactor.clean(line), line


REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("project_id", "chat_id", "user_id", "model", "prompt_name", "provider"), TEXTS),
        "finish_reasons": st.lists(TEXTS, max_size=3),
        "messages_included": st.lists(TEXTS | st.lists(TEXTS, max_size=2), max_size=3),
        "usage": st.fixed_dictionaries(
            {"prompt_tokens": st.integers(0, 2**53)},
            optional={"raw": VALUES | st.dictionaries(st.sampled_from(NAMES), st.integers(-5, 2**53))},
        ),
        "attributes": VALUES,
        "http_status": st.integers(100, 599),
        "password": TEXTS,
    },
)


@settings(max_examples=600 * FUZZ, deadline=None)
@given(st.lists(st.tuples(TEXTS, TEXTS, REQUESTS), min_size=1, max_size=4))
def test_what_redact_would_change_is_not_harmless_whatever_was_met_before(records):
    redactor = Redactor()
    for message, name, request in records:
        if redactor.harmless((message, name), request):
            assert REDACTOR.redact(request) is request
            assert REDACTOR.redact_text(message) is message
            assert REDACTOR.redact_text(name) is name


def test_harmless_requests_are_known_as_such():
    redactor = Redactor()
    request = {"project_id": "shop-of-somebody", "model": "gpt-4o-2024-08-06", "finish_reasons": ["stop"]}
    assert redactor.harmless(("answered a question",), request)
    assert redactor.harmless(("answered a question",), {**request, "usage": {"prompt_tokens": 3}})
    for spoilt in (
        {"model": SECRETS[0]},
        {"finish_reasons": [SECRETS[0]]},
        {"user_id": f"x {SECRETS[0]}"},
        # A model keeps what it does not know: a provider's own words beside the counts, and any field of a later version.
        {"usage": {"prompt_tokens": 3, "tier": SECRETS[0]}},
        {"usage": {"raw": {"tier": SECRETS[0]}}},
        {"timings": {"latency_ms": 3.0, "note": SECRETS[0]}},
        {"error": {"message": SECRETS[0]}},
        {"another": SECRETS[0]},
        {"usage": SECRETS[0]},
    ):
        for firm in (False, True):
            assert not redactor.harmless(("answered a question",), {**request, **spoilt}, firm=firm)
            assert not redactor.harmless((SECRETS[0],), request, firm=firm)
    raw = {
        "prompt_tokens": 3,
        "service_tier": "on_demand",
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": None},
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 3}],
    }
    counted = {
        **request,
        "id": "0" * 36,
        "request_group": "0" * 36,
        "usage": {"prompt_tokens": 3, "raw": raw},
    }
    for firm in (False, True):
        assert redactor.harmless(("answered a question",), counted, firm=firm)
        for secret in (
            {"password": 5},
            {"service_tier": SECRETS[0]},
            {"note": SECRETS[0]},
            {SECRETS[0]: 5},
            {"details": {"pin_code": 1234, "api_key": 5}},
            {"headers": [{"name": "x-api-key", "value": "five"}]},
        ):
            spoilt = {**counted, "usage": {"prompt_tokens": 3, "raw": {**raw, **secret}}}
            assert not redactor.harmless(("answered a question",), spoilt, firm=firm), secret
        grouped = {**counted, "request_group": SECRETS[0]}
        assert not redactor.harmless(("answered a question",), grouped, firm=firm)
    for options in (
        {"keys": ["model"]},
        {"paths": ["model"]},
        {"patterns": ["credentials", "email"]},
        {"patterns": ["card"]},
    ):
        assert not Redactor(**options).harmless(("answered a question",), request)


@settings(max_examples=600 * FUZZ, deadline=None)
@given(st.lists(SPACED, max_size=3) | st.dictionaries(st.sampled_from(NAMES), SPACED, max_size=3))
def test_redacting_twice_changes_nothing_more_and_never_touches_the_argument(value):
    before = copy.deepcopy(value)
    once = REDACTOR.redact(value)
    assert value == before
    assert REDACTOR.redact(once) == once


@settings(max_examples=400 * FUZZ, deadline=None)
@given(VALUES, st.data())
def test_a_planted_secret_is_nowhere_in_what_comes_out(value, data):
    if data.draw(st.booleans(), "by look"):
        _, text, secret = data.draw(one_of_list(PLANTED))
        planted = text
    else:
        _, planted, secret = data.draw(one_of_list(NAMED))
    around = {"first": value, "planted": planted, "items": [value, {"deep": planted}]}
    assert secret not in json.dumps(REDACTOR.redact(around), ensure_ascii=False)


PLANTED = [(kind, text, secret) for kind, text, secret in positives() if len(secret) > 7 and secret in text]
NAMED = list(named())


@settings(max_examples=600 * FUZZ, deadline=None)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False)
        | st.text(alphabet="abcdefghijklm .,\n\u00e9\u4e2d", max_size=200),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.text(alphabet="abcdefgh", max_size=6), inner, max_size=4)
        ),
        max_leaves=20,
    )
)
def test_a_value_without_secrets_comes_back_as_the_same_object(value):
    assert REDACTOR.redact(value) is value


@settings(max_examples=300 * FUZZ, deadline=None)
@given(TEXTS)
def test_lone_surrogates_are_never_called_clean(text):
    assert REDACTOR.clean(text + "\ud800") is False
    assert isinstance(REDACTOR.redact_text(text + "\ud800"), str)


def test_a_marker_holds_no_part_of_the_secret():
    for secret in SECRETS:
        marker = re.search(r"\[redacted:[^\]]*\]", REDACTOR.redact_text(secret))
        assert marker is not None, secret
        random_part = secret[-24:]
        assert not any(random_part[at : at + 6] in marker[0] for at in range(len(random_part) - 5))


def test_what_is_harmless_as_a_key_is_not_known_as_harmless_text():
    text = '{"credentials":{"u":"zebrazebra"}}'
    redactor = Redactor()
    assert "zebrazebra" not in redactor.redact_text(text)
    redactor.redact({text: 1})
    assert "zebrazebra" not in redactor.redact_text(text)
    assert not redactor.harmless((text,), {})


def test_a_request_that_nobody_checked_is_scanned():
    for request in (
        {"id": SECRETS[0]},
        {"usage": {"prompt_tokens": SECRETS[0]}},
        {"timings": {"latency_ms": []}},
    ):
        assert not Redactor().harmless((), request)


def test_my_password_is_found_in_quotes():
    assert "swordfish" not in REDACTOR.redact_text("('my password is swordfish', 1)")
    assert REDACTOR.redact_text("the user's password is swordfish") != "the user's password is swordfish"


def test_what_is_not_looked_at_in_a_request_has_no_room_for_a_text():
    for name in _FIRM:
        spoilt = SECRETS[0]
        entry = {"project_id": "p", "chat_id": "c", "model": "m", name: spoilt}
        assert fast_entry(entry, 0) is None
        body, _ = forgive(LLMRequestLogEntry, entry)
        assert body is not None
        assert body.line_fields()["attributes"]["invalid"] == {name: spoilt}
