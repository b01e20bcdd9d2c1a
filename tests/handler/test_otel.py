"""OpenTelemetry: the active span's ids on every line, and lines under its names."""

from __future__ import annotations

import io
import json
import logging
import sys
from types import SimpleNamespace

import pytest

from llm_logging import LLMJsonFormatter, LLMRequestLogEntry, LLMStreamHandler

REQUEST = {
    "event_type": "llm_request",
    "project_id": "shop",
    "chat_id": "c-17",
    "model": "gpt-4o",
    "provider": "openai",
    "usage": {"prompt_tokens": 3, "completion_tokens": 4},
}


@pytest.fixture
def lines():
    stream = io.StringIO()
    handler = LLMStreamHandler(stream)
    logger = logging.getLogger("tests.otel")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield logger, handler, lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logger.removeHandler(handler)


def with_span(monkeypatch, *, valid=True):
    context = SimpleNamespace(trace_id=0xABC, span_id=0xDEF, is_valid=valid)
    span = SimpleNamespace(get_span_context=lambda: context)
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", SimpleNamespace(get_current_span=lambda: span))


def test_the_ids_of_the_active_span_are_on_every_line(lines, monkeypatch):
    logger, _, read = lines
    with_span(monkeypatch)
    logger.info("answered", extra=REQUEST)
    logger.info("an event")
    assert [(line["trace_id"], line["span_id"]) for line in read()] == [
        (f"{0xABC:032x}", f"{0xDEF:016x}"),
        (f"{0xABC:032x}", f"{0xDEF:016x}"),
    ]


def test_ids_that_the_call_gives_win_and_no_span_gives_none(lines, monkeypatch):
    logger, _, read = lines
    with_span(monkeypatch)
    logger.info("answered", extra={**REQUEST, "trace_id": "mine"})
    with_span(monkeypatch, valid=False)
    logger.info("answered", extra=REQUEST)
    assert [line.get("trace_id") for line in read()] == ["mine", None]


def test_a_formatter_writes_the_current_names_on_request(lines):
    logger, handler, read = lines
    handler.setFormatter(LLMJsonFormatter(otel_names=True))
    logger.info("answered", extra=REQUEST)
    (line,) = read()
    assert line["gen_ai.request.model"] == "gpt-4o"
    assert line["gen_ai.usage.input_tokens"] == 3
    assert line["gen_ai.usage.output_tokens"] == 4


def test_an_entry_gives_its_attributes():
    entry = LLMRequestLogEntry(project_id="shop", chat_id="c", model="gpt-4o", provider="openai")
    assert entry.to_otel()["gen_ai.request.model"] == "gpt-4o"
