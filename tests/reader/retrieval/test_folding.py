"""Statistics, pages, one request and search hits agree on which line of a request counts, and on what it lacks."""

import json
from datetime import timedelta

import pytest

from llm_logging.files.segments import segment_name
from llm_logging.reader.entries import get_llm_request_logs, get_request_log
from llm_logging.reader.search import search_logs
from llm_logging.reader.stats import get_stats
from tests.reader.retrieval.builders import START, line


def usage(prompt):
    return {"prompt_tokens": prompt, "completion_tokens": 0, "total_tokens": prompt}


def at(second):
    return f"2026-01-15T10:00:{second:02d}.000Z"


# name -> the lines of one request: sealed segment, active file; and the prompt tokens and status that count.
HISTORIES = {
    "the final line has an empty group": (
        [line(1, 1, status="pending", usage=usage(5))], [line(1, 2, usage={}, timings={})], (5, "success"),
    ),
    "the final line has a group of nulls": (
        [line(1, 1, status="pending", usage=usage(5))], [line(1, 2, usage={"prompt_tokens": None})], (5, "success"),
    ),
    "the clock was set back between two segments of a log": (
        [line(1, 1, usage=usage(1), timestamp=at(50))], [line(1, 2, usage=usage(2), timestamp=at(10))], (2, "success"),
    ),
    "another writer is later": (
        [line(1, 9, usage=usage(1), timestamp=at(10))],
        [line(1, 1, usage=usage(2), timestamp=at(20), writer="x")],
        (2, "success"),
    ),
    "a number without a writer speaks for itself": (
        [line(1, 9, usage=usage(1), timestamp=at(10))],
        [line(1, 3, usage=usage(2), timestamp=at(20), writer=None)],
        (2, "success"),
    ),
    "a pending line comes last": (
        [line(1, 1, usage=usage(3), status="error")], [line(1, 2, status="pending", usage=usage(4))], (3, "error"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HISTORIES)
def test_all_ways_to_read_a_request_fold_it_alike(tmp_path, monkeypatch, name):
    monkeypatch.setenv("LLM_LOGGING_CACHE", str(tmp_path / "cache"))
    sealed, active, (prompt, status) = HISTORIES[name]
    logs = tmp_path / "root" / "projects" / "shop" / "logs"
    logs.mkdir(parents=True)
    for path, lines in (
        (logs / segment_name("llm_requests", START + timedelta(days=9), 1), sealed),
        (logs / "llm_requests.jsonl", active),
    ):
        path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    where = {"root": tmp_path / "root"}
    counted = get_stats(**where).summary
    assert (counted.total_requests, counted.prompt_tokens) == (1, prompt)
    assert counted.failed_requests == (status == "error")
    request = sealed[0]["id"]
    shown = [
        get_llm_request_logs(**where).entries[0],
        get_request_log(request, **where)[0],
        search_logs("gpt", kinds=["llm_request"], **where).hits[0].entry,
    ]
    assert [(entry.usage.prompt_tokens, entry.status, entry.lines) for entry in shown] == [
        (prompt, status, 2)
    ] * 3
