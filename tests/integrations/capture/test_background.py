"""Answers made in the background are one request, however often and by whom they are fetched."""

import asyncio
import json

import pytest

from llm_logging.integrations.capture import background
from llm_logging.integrations.capture.background import id_of, polled
from llm_logging.integrations.httpx import instrument, uninstrument
from tests.integrations.clients import aclient, client, libraries
from tests.integrations.exchanges import tokens
from tests.loopback import CUT, Answer, named_sse

PATH = "/v1/responses"
ASKED = {"model": "o3", "input": "Think hard", "background": True}
USAGE = {
    "input_tokens": 9,
    "output_tokens": 7,
    "total_tokens": 16,
    "output_tokens_details": {"reasoning_tokens": 4},
}
MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
           "content": [{"type": "output_text", "text": "Done", "annotations": []}]}  # fmt: skip


def response(status, **more):
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1767225600,
        "status": status,
        "background": True,
        "error": None,
        "incomplete_details": None,
        "model": "o3-2025-04-16",
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": None,
        **more,
    }


QUEUED, RUNNING = Answer(response("queued")), Answer(response("in_progress"))
DONE = Answer(response("completed", usage=USAGE, output=[MESSAGE]))


@pytest.fixture(autouse=True)
def nothing_waits(monkeypatch):
    monkeypatch.setattr(background.waiting, "_open", type(background.waiting._open)())
    monkeypatch.setattr(background.waiting, "_final", type(background.waiting._final)())


def another_process():
    """What a process that did not send the request knows of it: nothing."""
    background.waiting._open.clear()
    background.waiting._final.clear()


@libraries
@pytest.mark.parametrize("pending", [False, True])
def test_polled_until_it_is_done(library, log, sink, server, pending):
    server.play(PATH, QUEUED)
    server.play("/responses/resp_1", RUNNING, RUNNING, DONE)
    with client(library, log, server, pending=pending) as http:
        assert http.post(PATH, json=ASKED).json()["status"] == "queued"
        assert sink.final == []
        waiting = sink.entries[-1]
        assert (waiting.status, waiting.provider_response_id, waiting.model) == ("pending", "resp_1", "o3")
        assert waiting.finish_reasons is None
        for expected in ("in_progress", "in_progress", "completed", "completed"):
            assert http.get(f"{PATH}/resp_1").json()["status"] == expected
    entry = sink.only()
    assert (entry.status, entry.model, entry.response_model) == ("success", "o3", "o3-2025-04-16")
    assert (tokens(entry), entry.usage.reasoning_tokens) == ((9, 7), 4)
    assert (entry.finish_reasons, entry.http_status) == (["completed"], 200)
    assert {line.id for line in sink.entries} == {entry.id}
    assert entry.request_group == entry.id
    assert entry.timestamp_start == waiting.timestamp_start
    assert entry.timings.latency_ms > 0
    if not pending:
        assert entry.id == id_of("openai", "resp_1")


@libraries
def test_polled_by_another_process(library, log, sink, server):
    server.play(PATH, QUEUED)
    server.play("/responses/resp_1", DONE)
    with client(library, log, server) as http:
        http.post(PATH, json=ASKED)
        another_process()
        http.get(f"{PATH}/resp_1")
        http.get(f"{PATH}/resp_1")
        entry = sink.only()
        another_process()
        http.get(f"{PATH}/resp_1")
    # What a third process logs folds with it: it has the same id.
    assert [line.id for line in sink.entries] == [entry.id] * 3
    assert (tokens(entry), entry.model, entry.provider, entry.operation) == (
        (9, 7),
        "o3-2025-04-16",
        "openai",
        "chat",
    )
    assert entry.timestamp_start.timestamp() == 1767225600


@libraries
def test_async(library, log, sink, server):
    server.play(PATH, QUEUED)
    server.play("/responses/resp_1", DONE)

    async def main():
        async with aclient(library, log, server, content=True) as http:
            await http.post(PATH, json=ASKED)
            await http.get(f"{PATH}/resp_1")

    asyncio.run(main())
    assert (tokens(sink.only()), sink.only().response) == ((9, 7), "Done")


@libraries
@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (response("failed", error={"code": "server_error", "message": "no"}), "error", "server_error"),
        (response("cancelled"), "error", "cancelled"),
        (response("incomplete", incomplete_details={"reason": "max_output_tokens"}, usage=USAGE), "success", None),
    ],
)  # fmt: skip
def test_other_ends(library, log, sink, server, answer, status, code):
    server.play(PATH, QUEUED)
    server.play("/responses/resp_1", Answer(answer))
    with client(library, log, server) as http:
        http.post(PATH, json=ASKED)
        http.get(f"{PATH}/resp_1")
    entry = sink.only()
    assert (entry.status, entry.error and entry.error.code) == (status, code)
    if status == "success":
        assert (tokens(entry), entry.finish_reasons) == ((9, 7), ["max_output_tokens"])


@libraries
def test_cancelled_by_the_application(library, log, sink, server):
    server.play(PATH, QUEUED)
    server.play("/responses/resp_1/cancel", Answer(response("cancelled")))
    with client(library, log, server) as http:
        http.post(PATH, json=ASKED)
        http.post(f"{PATH}/resp_1/cancel")
    assert (sink.only().status, sink.only().error.code) == ("error", "cancelled")


@libraries
def test_a_poll_that_fails_or_is_of_no_background_answer_says_nothing(library, log, sink, server):
    done = {**response("completed", usage=USAGE), "background": False}
    server.play(PATH, Answer(done))
    server.play("/responses/resp_1", Answer(done))
    server.play("/responses/resp_2", Answer({"error": {"message": "no"}}, 404))
    server.play("/responses/resp_3", Answer(b"{"))
    with client(library, log, server) as http:
        http.post(PATH, json={"model": "o3", "input": "x"})
        for number in (1, 2, 3):
            http.get(f"{PATH}/resp_{number}")
        http.get("/v1/models")
    assert (tokens(sink.only()), len(sink.entries)) == ((9, 7), 1)


@libraries
def test_a_stream_that_breaks_off_is_fetched_later(library, log, sink, server):
    events = named_sse(
        {"type": "response.created", "response": response("queued")},
        {"type": "response.in_progress", "response": response("in_progress")},
        {"type": "response.output_text.delta", "delta": "Do", "item_id": "msg_1", "output_index": 0},
        {"type": "response.completed", "response": DONE.body},
    )
    kind = "text/event-stream"
    server.play(PATH, Answer([*events[:3], CUT], content_type=kind), Answer(events, content_type=kind))
    server.play("/responses/resp_1", Answer(events, content_type=kind))
    with client(library, log, server) as http:
        with pytest.raises(Exception), http.stream("POST", PATH, json={**ASKED, "stream": True}) as stream:
            stream.read()
        assert [line.status for line in sink.entries] == ["pending"]
        http.get(f"{PATH}/resp_1?stream=true&starting_after=2")
        entry = sink.only()
        assert (entry.status, tokens(entry), entry.stream) == ("success", (9, 7), True)
        http.post(PATH, json={**ASKED, "stream": True})
    # One that is read to its end need not be fetched.
    assert [line.status for line in sink.entries] == ["pending", "success", "success"]


@libraries
def test_a_stream_of_no_background_answer_that_is_left_is_final(library, log, sink, server):
    begun = {**response("in_progress"), "background": False}
    events = named_sse(
        {"type": "response.created", "response": begun},
        {"type": "response.output_text.delta", "delta": "Do", "item_id": "msg_1", "output_index": 0},
        {"type": "response.completed", "response": {**DONE.body, "background": False}},
    )
    server.play(PATH, Answer([*events[:2], 5.0, events[2]], content_type="text/event-stream"))
    with (
        client(library, log, server) as http,
        http.stream("POST", PATH, json={**ASKED, "stream": True}) as stream,
    ):
        for part in stream.iter_raw():
            if b"delta" in part:
                break
    entry = sink.only()
    assert (entry.status, entry.usage, entry.finish_reasons) == ("success", None, None)
    assert entry.attributes["stream_ended"] == "closed"


def test_paths():
    assert polled("GET", "/v1/responses/resp_1") == "resp_1"
    assert polled("GET", "/openai/responses/resp_1/") == "resp_1"
    assert polled("POST", "/v1/responses/resp_1/cancel") == "resp_1"
    for method, path in (("POST", "/v1/responses"), ("POST", "/v1/responses/compact"), ("GET", "/v1/models"),
                         ("GET", "/v1/responses/resp_1/input_items"), ("GET", "/v1/responses/r/cancel")):  # fmt: skip
        assert polled(method, path) is None


def test_the_sdk(log, sink, server):
    openai = pytest.importorskip("openai", reason="openai is not installed")
    server.play(PATH, QUEUED)
    server.play("/responses/resp_1", RUNNING, DONE)
    instrument(log, hosts={f"127.0.0.1:{server.port}": "openai"})
    try:
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key="k") as http:
            answer = http.responses.create(model="o3", input="Think hard", background=True)
            while answer.status in ("queued", "in_progress"):
                answer = http.responses.retrieve(answer.id)
    finally:
        uninstrument()
    assert answer.output_text == "Done"
    assert json.loads(server.requests[0][2])["background"] is True
    assert tokens(sink.only()) == (9, 7)
