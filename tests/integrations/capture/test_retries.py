"""Which requests are attempts of one call, and what a refusal says."""

import json

import pytest

from tests.integrations.clients import client, libraries
from tests.integrations.exchanges import ASKED, PATH, WHOLE
from tests.loopback import Answer


@libraries
def test_retries_of_a_stainless_sdk_are_attempts_of_one_call(library, log, sink, server):
    server.play(PATH, Answer({"error": {"message": "slow"}}, 429), Answer({"error": {}}, 503), Answer(WHOLE))
    with client(library, log, server) as http:
        for count in range(3):
            http.post(PATH, json=ASKED, headers={"x-stainless-retry-count": str(count)})
        http.post(PATH, json=ASKED, headers={"x-stainless-retry-count": "0"})
    first, second, third, other = sink.final
    assert [entry.attempt for entry in sink.final] == [1, 2, 3, 1]
    assert first.id == first.request_group == second.request_group == third.request_group
    assert other.request_group == other.id
    assert [entry.status for entry in sink.final] == ["error", "error", "success", "success"]
    assert third.timings.total_duration_ms > third.timings.latency_ms
    assert first.timings.total_duration_ms is None


@libraries
@pytest.mark.parametrize("retries", [None, "0"])
def test_a_request_that_is_sent_on_is_an_attempt_that_failed(library, log, sink, server, retries):
    server.play(PATH, Answer({}, status=307, headers={"location": f"{server.url}/v2/chat/completions"}))
    server.play("/v2/chat/completions", Answer(WHOLE, status=500), Answer(WHOLE))
    headers = {} if retries is None else {"x-stainless-retry-count": retries}
    with client(library, log, server) as http:
        http.post(PATH, json=ASKED, headers=headers, follow_redirects=True)
        again = {} if retries is None else {"x-stainless-retry-count": "1"}
        http.post(PATH, json=ASKED, headers=again, follow_redirects=True)
        http.post(PATH, json={**ASKED, "n": 1}, headers=headers)
        http.post(PATH, json={**ASKED, "n": 2}, headers=headers)
    told = [(entry.attempt, entry.status, entry.http_status, entry.model) for entry in sink.final]
    assert told == [
        (1, "error", 307, "gpt-4o"),
        (2, "error", 500, "gpt-4o"),
        (3, "error", 307, "gpt-4o"),
        (4, "success", 200, "gpt-4o"),
        (1, "error", 307, "gpt-4o"),
        (1, "error", 307, "gpt-4o"),
    ]
    assert len({entry.request_group for entry in sink.final}) == 3
    assert sink.final[0].error.code == "307"


@libraries
def test_retries_without_a_header_are_told_by_what_failed(library, log, sink, server):
    server.play(PATH, Answer({"error": {}}, 500), Answer(WHOLE))
    with client(library, log, server) as http:
        for _ in range(3):
            http.post(PATH, json=ASKED)
        http.post(PATH, json={**ASKED, "seed": 1})
    assert [entry.attempt for entry in sink.final] == [1, 2, 1, 1]
    assert len({entry.request_group for entry in sink.final}) == 3


@libraries
def test_an_error_in_a_stream_is_counted_by_its_type(library, log, sink, server):
    told = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    begun = {
        "type": "message_start",
        "message": {"id": "msg_1", "model": "claude", "usage": {"input_tokens": 3}},
    }
    server.play(
        "/v1/messages",
        Answer(
            [
                b"event: %b\ndata: %b\n\n" % (event["type"].encode(), json.dumps(event).encode())
                for event in (begun, told)
            ],
            content_type="text/event-stream",
        ),
        Answer(told, status=529),
    )
    asked = {"model": "claude", "max_tokens": 5, "messages": []}
    with client(library, log, server, provider="anthropic") as http:
        http.post("/v1/messages", json={**asked, "stream": True})
        http.post("/v1/messages", json=asked)
    assert [entry.error.code for entry in sink.final] == ["overloaded_error"] * 2
    assert [entry.status for entry in sink.final] == ["error"] * 2
