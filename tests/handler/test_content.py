"""What becomes of prompts, answers and chat messages under each policy."""

import base64
import copy
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_logging.errors import ConfigurationError
from llm_logging.handler.content import ContentPolicy, without_blobs
from llm_logging.redaction.redactor import Redactor

PNG = b"\x89PNG\r\n" + bytes(range(256)) * 3
B64 = base64.b64encode(PNG).decode()
BLOB = {"media_type": "image/png", "bytes": len(PNG), "sha256": hashlib.sha256(PNG).hexdigest()}
PLAIN_BLOB = {**BLOB, "media_type": "application/octet-stream"}


def test_off_writes_nothing():
    policy = ContentPolicy("off")
    assert policy.request_content([{"role": "user", "content": "hi"}], "there") is None
    assert policy.chat_content("hi") == {}
    assert policy.chat_body({"role": "user", "content": "hi"}) == {"role": "user"}


def test_full_writes_it_as_it_is():
    policy = ContentPolicy("full")
    messages = [{"role": "user", "content": "hi"}]
    assert policy.request_content(messages, None) == {"messages": messages}
    assert policy.request_content(messages, None)["messages"] is messages
    assert policy.request_content(None, None) is None
    body = {"role": "user", "content": "hi"}
    assert policy.chat_body(body) is body


def test_hash_tells_equal_texts_and_their_length():
    policy = ContentPolicy("hash")
    digest = hashlib.sha256("h\u00e9".encode()).hexdigest()
    assert policy.chat_content("h\u00e9") == {"content_hash": {"sha256": digest, "chars": 2}}
    assert policy.chat_body({"role": "user", "content": "h\u00e9"}) == {
        "role": "user",
        "content_hash": {"sha256": digest, "chars": 2},
    }
    one = policy.request_content([{"a": 1, "b": 2}], "x")
    assert one == policy.request_content([{"b": 2, "a": 1}], "x")
    assert set(one["messages"]) == {"sha256", "chars"}


def test_longer_texts_are_cut_and_say_so():
    policy = ContentPolicy("full", 4)
    assert policy.chat_content("abcdef") == {"content": "abcd", "content_chars": 6}
    assert policy.chat_content("abcd") == {"content": "abcd"}
    assert policy.request_content([{"content": "abcdef", "role": "u"}], "abc") == {
        "messages": [{"content": "abcd[cut: 2 more characters]", "role": "u"}],
        "response": "abc",
    }
    assert ContentPolicy("full", 0).chat_content("abcdef") == {"content": "abcdef"}


def test_secrets_go_before_a_cut_could_halve_them():
    secret = "AK" + "IA" + "Q7" * 8
    policy = ContentPolicy("full", 30, redact=Redactor().redact)
    found = policy.chat_content(f"twenty letters before {secret} and more")
    assert "AKIA" not in found["content"]
    assert ContentPolicy("hash", redact=Redactor().redact).chat_content(secret) != ContentPolicy(
        "hash"
    ).chat_content(secret)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        # OpenAI: chat completions, responses, files, audio, images
        ({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{B64}"}}, {"type": "image_url", "image_url": {"url": BLOB}}),
        ({"type": "input_image", "image_url": f"data:image/png;base64,{B64}"}, {"type": "input_image", "image_url": BLOB}),
        ({"input_audio": {"data": B64, "format": "wav"}}, {"input_audio": {"data": {**BLOB, "media_type": "wav"}, "format": "wav"}}),
        ({"file": {"file_data": f"data:application/pdf;base64,{B64}"}}, {"file": {"file_data": {**BLOB, "media_type": "application/pdf"}}}),
        ({"data": [{"b64_json": B64}]}, {"data": [{"b64_json": PLAIN_BLOB}]}),
        ({"type": "image_generation_call", "result": B64}, {"type": "image_generation_call", "result": PLAIN_BLOB}),
        # Anthropic
        ({"source": {"type": "base64", "media_type": "image/png", "data": B64}}, {"source": {"type": "base64", "media_type": "image/png", "data": BLOB}}),
        # Gemini, both spellings
        ({"inline_data": {"mime_type": "image/png", "data": B64}}, {"inline_data": {"mime_type": "image/png", "data": BLOB}}),
        ({"inlineData": {"mimeType": "image/png", "data": B64}}, {"inlineData": {"mimeType": "image/png", "data": BLOB}}),
        # Bedrock
        ({"image": {"format": "png", "source": {"bytes": PNG}}}, {"image": {"format": "png", "source": {"bytes": PLAIN_BLOB}}}),
        # inside text
        (f"see ![x](data:image/png;base64,{B64}) here", f"see ![x]([image/png, {len(PNG)} bytes, sha256:{BLOB['sha256']}]) here"),
        (PNG, PLAIN_BLOB),
    ],
)  # fmt: skip
def test_blobs_are_told_apart_from_text(value, expected):
    before = copy.deepcopy(value)
    assert without_blobs(value) == expected
    assert value == before


def test_what_is_said_of_a_blob_is_never_cut():
    assert ContentPolicy("full", 10).request_content([{"data": B64}], None) == {
        "messages": [{"data": PLAIN_BLOB}]
    }


@pytest.mark.parametrize(
    "value",
    [
        {"data": "short"},
        {"data": "words with spaces " * 30},
        {"result": "a, " * 299},
        "data:text/plain,hello",
        "base64, they said",
        5,
        None,
    ],
)
def test_what_is_no_blob_stays(value):
    assert without_blobs(value) is value


@given(st.binary(min_size=192, max_size=2000))
def test_any_base64_is_described_by_what_it_holds(payload):
    found = without_blobs({"data": base64.b64encode(payload).decode(), "mime_type": "a/b"})
    assert found["data"] == {
        "media_type": "a/b",
        "bytes": len(payload),
        "sha256": hashlib.sha256(payload).hexdigest(),
    }


@pytest.mark.parametrize(("mode", "most"), [("some", None), ("full", -1), ("full", True), ("full", "nine")])
def test_wrong_options_are_refused(mode, most):
    with pytest.raises(ConfigurationError, match="expected"):
        ContentPolicy(mode, most)
