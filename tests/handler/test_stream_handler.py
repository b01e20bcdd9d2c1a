"""JSON lines on a stream."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from typing import Any

import pytest

from llm_logging import FileSystemError, LLMLoggerAdapter, LLMStreamHandler
from tests import nasty

IDENTITY = {"project_id": "shop", "chat_id": "c-17"}
ENTRY = {**IDENTITY, "model": "gpt-4o", "usage": {"prompt_tokens": 1, "completion_tokens": 2}}


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_every_kind_of_record_is_one_line_on_standard_output(
    isolated: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    log = LLMLoggerAdapter(isolated(LLMStreamHandler()), IDENTITY)
    assert log.log_llm_request(ENTRY).logged
    log.info("warm", extra={"hits": 3})
    assert log.log_chat_message({"role": "user", "content": "private"}).logged
    with log.request(model="m", pending=False):
        pass
    first, second, third, fourth = lines(capsys.readouterr().out)
    assert (first["event_type"], first["usage"]["total_tokens"]) == ("llm_request", 3)
    assert second["data"] == {"hits": 3}
    assert (third["event_type"], "private" in str(third)) == ("chat_message", False)
    assert fourth["model"] == "m"


def test_content_is_in_the_line_only_where_it_is_wanted(isolated: Any) -> None:
    for content, there in (("off", False), ("full", True)):
        stream = io.StringIO()
        log = LLMLoggerAdapter(isolated(LLMStreamHandler(stream, content=content)), IDENTITY)
        log.log_llm_request({**ENTRY, "messages": [{"role": "user", "content": "hello"}], "response": "hi"})
        (line,) = lines(stream.getvalue())
        assert ("messages" in line, "response" in line) == (there, there)


def test_levels_do_not_silence_accounting_and_filters_do(isolated: Any) -> None:
    stream = io.StringIO()
    handler = LLMStreamHandler(stream, level=logging.ERROR)
    log = LLMLoggerAdapter(isolated(handler), IDENTITY)
    log.info("chatter")
    assert log.log_llm_request(ENTRY).logged
    handler.addFilter(lambda record: False)
    assert not log.log_llm_request(ENTRY).logged
    assert len(lines(stream.getvalue())) == 1


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_stream_of_any_encoding_takes_every_character(isolated: Any, encoding: str) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    isolated(LLMStreamHandler(stream)).info("héllo 日本 😀 \ud800")
    (line,) = lines(raw.getvalue().decode(encoding))
    assert line["message"] == "héllo 日本 😀 \\ud800"


def test_a_stream_that_refuses_is_told_to_who_waits_and_never_raised_to_others(isolated: Any) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    logging.raiseExceptions = False
    log = LLMLoggerAdapter(isolated(LLMStreamHandler(Full())), IDENTITY)
    log.info("x")
    with pytest.raises(FileSystemError, match="No space left"):
        log.log_llm_request(ENTRY)


def test_a_formatter_of_another_kind_is_used_as_it_is(isolated: Any) -> None:
    stream = io.StringIO()
    handler = LLMStreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    LLMLoggerAdapter(isolated(handler), IDENTITY).log_llm_request(ENTRY)
    assert stream.getvalue() == "INFO gpt-4o success\n"


def test_defaults_fill_in(isolated: Any) -> None:
    stream = io.StringIO()
    isolated(LLMStreamHandler(stream, defaults=IDENTITY)).info("x", extra={"llm_request": {"model": "m"}})
    assert lines(stream.getvalue())[0]["project_id"] == "shop"


def test_odd_values_are_lines_too(isolated: Any) -> None:
    stream = io.StringIO()
    log = isolated(LLMStreamHandler(stream))
    for value in (nasty.circular(), nasty.Broken(), "\u2028\n\r", float("nan")):
        log.info("x", extra={"odd": value})
        log.info("x", extra={"llm_request": {**ENTRY, "odd": value}})
    assert len(lines(stream.getvalue().replace("\u2028", "?"))) == 8


def test_a_closed_pipe_does_not_hurt_the_application() -> None:
    code = (
        "import logging, llm_logging\n"
        "log = logging.getLogger(); log.addHandler(llm_logging.LLMStreamHandler()); log.setLevel(20)\n"
        "logging.raiseExceptions = False\n"
        "for _ in range(20000): log.info('x' * 100)\n"
        "import sys; sys.stderr.write('still here')\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    assert b"still here" in process.stderr.read()
    process.stderr.close()
    process.wait()
