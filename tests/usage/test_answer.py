"""All that a model answers is kept, alike from whole bodies and from streams cut anywhere."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_logging.usage.body import BodyReader
from llm_logging.usage.extract import extract
from tests.usage.answers import ANSWERS, WHOLE

MEANING = [
    '"',
    "\\",
    "\n",
    "}",
    "é",
    "😀",
    "usage",
    '"usage": 1',
    "error",
    " word",
    '\\"',
    'content":"',
    "data: ",
    "\u2028",
]


def read(parts, content_type="text/event-stream"):
    reader = BodyReader(content_type, stream=content_type != "application/json", keep_text=True)
    for part in parts:
        reader.feed(part)
    return reader.close()


@pytest.mark.parametrize("name", ANSWERS)
def test_whole_and_streamed_answers_are_kept_alike(name):
    whole, events, expected = ANSWERS[name]
    assert extract(whole, keep_text=True).answer == expected
    assert read(events).answer == expected
    body = b"".join(events)
    assert read([body[at : at + 11] for at in range(0, len(body), 11)]).answer == expected


@pytest.mark.parametrize("name", WHOLE)
def test_answers_that_are_no_chat(name):
    whole, expected = WHOLE[name]
    assert read([json.dumps(whole).encode()], "application/json").answer == expected


def test_without_content_nothing_is_kept():
    for whole, events, _ in ANSWERS.values():
        assert extract(whole).answer is None
        reader = BodyReader("text/event-stream", stream=True)
        for event in events:
            reader.feed(event)
        assert reader.close().answer is None


@pytest.mark.parametrize("keep", [False, True])
def test_a_refusal_is_named_with_and_without_content(keep):
    whole, events, _ = ANSWERS["refusal"]
    assert extract(whole, keep_text=keep).refused
    reader = BodyReader("text/event-stream", stream=True, keep_text=keep)
    for event in [ANSWERS["text"][1][0], *events]:
        reader.feed(event)
    assert reader.close().refused
    assert not extract(ANSWERS["text"][0], keep_text=keep).refused


def test_a_blocked_prompt_is_named():
    found = extract({"promptFeedback": {"blockReason": "SAFETY"}, "modelVersion": "g"})
    assert (found.blocked, found.finish_reasons) == ("SAFETY", ["SAFETY"])


@given(
    texts=st.lists(st.lists(st.sampled_from(MEANING), max_size=4).map("".join), min_size=1, max_size=30),
    padded=st.booleans(),
    ascii_only=st.booleans(),
    size=st.integers(1, 400),
)
def test_events_that_are_read_together_say_the_same(texts, padded, ascii_only, size):
    events = []
    for number, text in enumerate(texts):
        event = {
            "id": "c1",
            "model": "m",
            "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}],
        }
        if padded:
            event["obfuscation"] = "x" * (number % 7)
        data = json.dumps(event, ensure_ascii=ascii_only, separators=(",", ":"))
        events.append(f"data: {data}\n\n".encode())
    body = b"".join(events)
    expected = "".join(texts) or None
    assert read(events).answer == expected
    assert read([body[at : at + size] for at in range(0, len(body), size)]).answer == expected


@pytest.mark.parametrize(
    ("body", "content_type", "flaw"),
    [
        (b"<html>gateway</html>", "text/html", "no JSON"),
        (b"<html>gateway</html>", "text/event-stream", "no JSON"),
        (b"", "application/json", "empty"),
        (b"", "text/event-stream", "empty"),
        (b'{"id": "c1", "cho', "application/json", "no JSON"),
        (b"null", "application/json", "no JSON"),
        (b"data: {\n\n", "text/event-stream", "no JSON"),
        (b'{"id": "c1"}', "application/json", None),
        (b'data: {"id": "c1"}\n\n', "text/event-stream", None),
        (b"ID3", "audio/mpeg", None),
    ],
)
def test_a_body_without_an_answer_has_a_flaw(body, content_type, flaw):
    reader = BodyReader(content_type)
    reader.feed(body)
    reader.close()
    assert (reader.flaw is None) if flaw is None else (flaw in reader.flaw)


def test_media_are_their_size_and_digest():
    found = read([b"ID", b"3"], "audio/mpeg").answer
    digest = hashlib.sha256(b"ID3").hexdigest()
    assert found == {"media_type": "audio/mpeg", "bytes": 3, "sha256": digest}
