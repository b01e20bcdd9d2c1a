"""A record goes one way through every handler: recognised, completed, protected, routed, stored."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import llm_logging
from llm_logging.handler import complete, file_handler, pipeline
from llm_logging.handler.writing.writer import Writer
from llm_logging.models.record import RecordPayload
from llm_logging.testing import CaptureHandler, fixed

PACKAGE = str(Path(llm_logging.__file__).parent)
MOST_RETURNS = 12
# Every stage looks these up where it needs them; they lead nowhere.
VOCABULARY = ("clock.py", "context.py", "runtime/forks.py", "models/json_values.py", "models/rules.py")
REQUEST = {"project_id": "shop", "chat_id": "c", "model": "gpt-4o"}
USAGE = {"prompt_tokens": 7, "completion_tokens": 5}
SDK_USAGE = {**USAGE, "total_tokens": 12, "prompt_tokens_details": {"cached_tokens": 3}}


def record_of(**extras: Any) -> logging.LogRecord:
    """Return a record as a plain logger makes it."""
    logger = logging.getLogger("app.chat")
    return logger.makeRecord("app.chat", logging.INFO, __file__, 1, "answered", (), None, "f", extras)


REQUESTS: dict[str, Callable[[], logging.LogRecord]] = {
    "flat": lambda: record_of(event_type="llm_request", **REQUEST, usage=USAGE, hits=3),
    "nested": lambda: record_of(llm_request={**REQUEST, "usage": USAGE}),
    "usage of an SDK": lambda: record_of(llm_request={**REQUEST, "usage": SDK_USAGE}),
    "flat, usage of an SDK": lambda: record_of(event_type="llm_request", **REQUEST, usage=SDK_USAGE),
    "with content": lambda: record_of(
        event_type="llm_request", **REQUEST, usage=USAGE, messages=[{"role": "user"}], response="hi"
    ),
    "adapter": lambda: record_of(
        llm_logging=RecordPayload(None, {"llm_request": {"model": "m"}}, context=REQUEST)
    ),
    "call": lambda: record_of(llm_logging=RecordPayload("llm_request", {"model": "m"}, fallback=REQUEST)),
}
BAD = {
    "no identity": lambda: record_of(event_type="llm_request", model="gpt-4o"),
    "bad field": lambda: record_of(event_type="llm_request", **REQUEST, http_status=9),
    "none": lambda: record_of(event_type="llm_request", **REQUEST, user_id=None),
    "exception": lambda: record_of(event_type="llm_request", **REQUEST, error=ValueError("no")),
}


@pytest.mark.parametrize("name", [*REQUESTS, *BAD])
def test_the_fast_path_is_tried_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []
    fast = complete.fast_entry
    monkeypatch.setattr(complete, "fast_entry", lambda *args: tried.append(args) or fast(*args))
    line = complete.line_of({**REQUESTS, **BAD}[name](), {})
    assert len(tried) == 1
    assert line.checked == (name in REQUESTS)


@pytest.mark.parametrize("name", [*REQUESTS, *BAD])
def test_every_handler_writes_the_same_fields(name: str, tmp_path: Path) -> None:
    record = {**REQUESTS, **BAD}[name]()
    files = llm_logging.LLMFileHandler(root=tmp_path)
    stream = io.StringIO()
    streams = llm_logging.LLMStreamHandler(stream, content="full")
    capture = CaptureHandler()
    with fixed():
        for handler in (files, streams, capture):
            handler.handle(record)
    files.close()
    text = json.loads(stream.getvalue())
    assert text == capture.logs.lines[0]
    stored: dict[str, Any] = {}
    for path in sorted(tmp_path.rglob("*.jsonl"), reverse=True):
        # The numbers first, then the content, which has a line of its own.
        if not path.name.startswith("."):
            stored = {**json.loads(path.read_text().splitlines()[0]), **stored}
    assert stored.pop("writer")["seq"] == 1
    assert stored == text


def test_the_stages_come_in_one_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def note(where: Any, name: str, stage: str) -> None:
        real = getattr(where, name)
        monkeypatch.setattr(
            where, name, lambda *args, **options: done.append(stage) or real(*args, **options)
        )

    note(complete, "recognise", "recognised")
    note(complete, "_complete", "completed")
    note(pipeline, "protect", "protected")
    note(file_handler.Router, "file_of", "routed")
    note(Writer, "put", "stored")
    handler = llm_logging.LLMFileHandler(root=tmp_path)
    handler.emit(record_of(hits=3))
    assert done == ["recognised", "completed", "protected", "routed", "stored"]
    handler.close()


def entered_again(call: Callable[[], object]) -> list[str]:
    """Return the modules that a call enters again after it was in another one, once for each time."""
    entered: list[str] = []

    def note(frame: FrameType, event: str, _: Any) -> None:
        name = frame.f_code.co_filename.removeprefix(PACKAGE + "/")
        if event == "call" and name.endswith(".py") and name[0] != "/" and name not in VOCABULARY:
            entered.extend([name] if entered[-1:] != [name] else [])

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(before)
    return [name for place, name in enumerate(entered) if name in entered[:place]]


@pytest.mark.parametrize("name", ["flat", "nested", "adapter", "call"])
def test_a_record_is_followed_with_few_returns(name: str, tmp_path: Path) -> None:
    handler = llm_logging.LLMFileHandler(root=tmp_path)
    handler.emit(REQUESTS[name]())
    again = entered_again(lambda: handler.emit(REQUESTS[name]()))
    assert len(again) <= MOST_RETURNS, again
    handler.close()
