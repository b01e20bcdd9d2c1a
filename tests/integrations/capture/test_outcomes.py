"""What becomes of answers that are none, of retries that an application makes, and of what a request asks for."""

import hashlib
import json

import pytest

from tests.integrations.clients import aclient, client, libraries
from tests.integrations.exchanges import ASKED, PATH, PIECES, STREAM, WHOLE
from tests.loopback import Answer

NONE = {
    "html": Answer(b"<html>log in</html>", content_type="text/html"),
    "html as a stream": Answer([b"<html>log in</html>"], content_type="text/event-stream"),
    "empty": Answer(b""),
    "empty stream": Answer([], content_type="text/event-stream"),
    "cut": Answer([b'{"id": "c1", "choi'], content_type="text/plain"),
    "null": Answer(b"null"),
}


@libraries
@pytest.mark.parametrize("name", NONE)
def test_an_answer_that_is_none_is_an_error(library, log, sink, server, name):
    server.play(PATH, NONE[name])
    with client(library, log, server) as http:
        assert http.post(PATH, json=ASKED).status_code == 200
    entry = sink.only()
    assert (entry.status, entry.http_status, entry.error.code) == ("error", 200, "invalid_response")


@libraries
def test_answers_in_other_forms_are_no_errors(library, log, sink, server):
    server.play("/v1/audio/speech", Answer(b"ID3", content_type="audio/mpeg"))
    server.play("/v1/audio/transcriptions", Answer(b"hello", content_type="text/plain; charset=utf-8"))
    server.play("/v1/moderations", Answer({"id": "m", "results": [{"flagged": False}]}))
    with client(library, log, server, content=True) as http:
        for path in server.answers:
            http.post(path, json={"model": "m", "input": "say it"})
    assert [(entry.operation, entry.status) for entry in sink.final] == [
        ("speech", "success"), ("transcription", "success"), ("moderation", "success"),
    ]  # fmt: skip
    assert sink.final[0].response == {
        "media_type": "audio/mpeg",
        "bytes": 3,
        "sha256": hashlib.sha256(b"ID3").hexdigest(),
    }
    assert sink.final[0].messages == [{"role": "user", "content": "say it"}]


@libraries
def test_retries_that_the_application_makes_are_one_call(library, log, sink, server):
    server.play(
        PATH,
        Answer({"error": {"message": "no"}}, 500),
        Answer({"error": {"message": "no"}}, 400),
        Answer(WHOLE),
    )
    with client(library, log, server) as http:
        with log.call():
            for number in range(3):
                http.post(PATH, json={**ASKED, "seed": number})
        http.post(PATH, json=ASKED)
    found = sink.final
    assert [entry.attempt for entry in found] == [1, 2, 3, 1]
    assert {entry.request_group for entry in found[:3]} == {found[0].id}
    assert found[3].request_group == found[3].id


@libraries
def test_a_tool_is_the_parent_of_its_requests(library, log, sink, server):
    server.play(PATH, Answer(WHOLE))
    with client(library, log, server) as http, log.tool("lookup", messages=[{"q": 1}]) as tool:
        http.post(PATH, json=ASKED)
        tool.note(response="42")
    request, called = sink.final
    assert request.parent_id == called.id == tool.id
    assert (called.request_type, called.operation, called.model, called.response) == (
        "tool", "execute_tool", "lookup", "42",
    )  # fmt: skip


@libraries
def test_what_a_request_asks_for_is_recorded(library, log, sink, server):
    server.play(PATH, STREAM)
    body = {
        **ASKED, "stream": True, "temperature": 0.3, "max_completion_tokens": 77, "user": "u-9", "metadata": {"team": "red"},
        "tools": [{"type": "function", "function": {"name": "get_weather"}}, {"type": "web_search"}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "p", "schema": {}}}, "conversation": "conv-1",
    }  # fmt: skip
    with client(library, log, server) as http:
        http.post(PATH, json=body)
    entry = sink.only()
    assert entry.attributes["request"] == {
        "temperature": 0.3, "max_tokens": 77, "metadata": {"team": "red"}, "tools": ["get_weather", "web_search"],
        "response_format": "json_schema",
    }  # fmt: skip
    # The conversation that the application has bound wins.
    assert (entry.output_format_hint, entry.user_id, entry.chat_id) == ("json", "u-9", "c-1")
    assert entry.to_otel()["gen_ai.request.temperature"] == 0.3
    sink.entries.clear()
    with client(library, log.unbind("chat_id"), server) as http:
        http.post(PATH, json=body)
    assert sink.only().chat_id == "conv-1"


@pytest.mark.parametrize("content", [False, True])
@pytest.mark.parametrize("size", [100, 200_000, 3_000_000])
def test_an_image_in_the_prompt(log, sink, server, content, size):
    import base64

    image = bytes(range(256)) * (size // 256 + 1)
    url = f"data:image/png;base64,{base64.b64encode(image).decode()}"
    messages = [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": 'a "quoted\\" text' * 2000},
                {"type": "image_url", "image_url": {"url": url}},
            ],
        }
    ]
    server.play(PATH, Answer(WHOLE, delay=0.2))
    with client("httpx", log, server, content=content) as http:
        http.post(PATH, json={"messages": messages, "model": "gpt-4o", "temperature": 1})
    entry = sink.only()
    assert (entry.model, entry.attributes["request"]) == ("gpt-4o", {"temperature": 1})
    if not content:
        assert entry.messages is None
        return
    text, shown = entry.messages[0]["content"]
    assert text["text"] == messages[0]["content"][0]["text"]
    if size > 1_000_000:
        assert shown["image_url"]["url"] == {
            "media_type": "image/png", "bytes": len(image), "sha256": hashlib.sha256(image).hexdigest(),
        }  # fmt: skip
    else:
        assert shown["image_url"]["url"] == url


def test_the_last_words_of_a_stream_are_asked_for_only_where_told(log, sink, server):
    httpx = pytest.importorskip("httpx")
    from llm_logging.integrations.capture.http_calls import Watch
    from llm_logging.integrations.httpx import LoggedTransport

    server.play(PATH, Answer(PIECES, content_type="text/event-stream"))
    for asks in (False, True):
        watch = Watch(log, instrumentation="httpx", provider="openai", ask_for_usage=asks)
        transport = LoggedTransport(httpx.HTTPTransport(), _watch=watch)
        with httpx.Client(transport=transport, base_url=server.url) as http:
            http.post(PATH, json={**ASKED, "stream": True})
            http.post(PATH, json=ASKED)
            http.post(PATH, json={**ASKED, "stream": True, "stream_options": {"include_usage": False}})
    sent = [json.loads(body).get("stream_options") for _, _, body in server.requests]
    assert sent == [
        None,
        None,
        {"include_usage": False},
        {"include_usage": True},
        None,
        {"include_usage": False},
    ]
    assert len(sink.final) == 6


def test_asynchronous_clients_too(log, sink, server):
    import asyncio

    server.play(PATH, NONE["html"], Answer(WHOLE))

    async def main():
        async with aclient("httpx", log, server) as http:
            async with log.call():
                for _ in range(2):
                    await http.post(PATH, json=ASKED)

    asyncio.run(main())
    assert [(entry.status, entry.attempt) for entry in sink.final] == [("error", 1), ("success", 2)]
