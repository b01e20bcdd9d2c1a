"""JSON lines: python-json-logger's options, subclasses, and lines that stay lines."""

from __future__ import annotations

import io
import json
import logging
import logging.config
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from llm_logging import (
    ConfigurationError,
    LLMConsoleFormatter,
    LLMFileHandler,
    LLMJsonFormatter,
    LLMLoggerAdapter,
)
from llm_logging.handler import formatter as module
from llm_logging.testing import fixed
from tests import disk, nasty

IDENTITY = {"project_id": "shop", "chat_id": "c-17"}
ENTRY = {**IDENTITY, "model": "gpt-4o", "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
Isolated = Callable[..., logging.Logger]


class Shouting(LLMJsonFormatter):
    """Upper case, and a field more."""

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        return {
            **super().process_log_record(log_data),
            "message": log_data["message"].upper(),
            "region": "eu",
        }


class Adding(LLMJsonFormatter):
    """A field from the record, by python-json-logger's other hook."""

    def add_fields(self, log_data: dict[str, Any], record: Any, message_dict: dict[str, Any]) -> None:
        super().add_fields(log_data, record, message_dict)
        log_data["line"] = record.lineno > 0


class ShortTraces(LLMJsonFormatter):
    """The exception's own line only."""

    def formatException(self, ei: Any) -> str:
        return f"{ei[0].__name__}!"


class Failing(LLMJsonFormatter):
    """A hook that fails."""

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        raise KeyError("missing")


class Chatty(LLMJsonFormatter):
    """A hook that logs."""

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        logging.getLogger("llm_logging_test.chatty").warning("inside")
        return log_data


def configured(root: Path, options: dict[str, Any]) -> logging.Logger:
    """A logger made by dictConfig."""
    name = "llm_logging_test.formatter"
    config = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "llm_logging.LLMJsonFormatter", **options}},
        "handlers": {"h": {"class": "llm_logging.LLMFileHandler", "root": str(root), "formatter": "json"}},
        "loggers": {name: {"handlers": ["h"], "level": "DEBUG", "propagate": False}},
    }
    logging.config.dictConfig(config)
    return logging.getLogger(name)


def only(logger: logging.Logger, root: Path) -> dict[str, Any]:
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    (line,) = disk.everything(root)
    return line


class TestEnvelope:
    def test_a_line_is_the_envelope_then_the_entry_and_nothing_is_null(
        self, filelog: LLMLoggerAdapter, root: Path
    ) -> None:
        with fixed():
            filelog.info("answered", extra={"llm_request": ENTRY})
        filelog.logger.handlers[0].flush()
        (line,) = disk.requests(root)
        assert list(line)[:7] == ["v", "timestamp", "level", "logger", "message", "event_type", "writer"]
        assert line["writer"]["seq"] == 1
        assert int(line["writer"]["id"], 16) >= 0
        expected = {
            "v": 1,
            "timestamp": "2026-01-15T12:00:00.000000Z",
            "level": "INFO",
            "logger": filelog.logger.name,
            "message": "answered",
            "event_type": "llm_request",
            "id": "00000000-0000-4000-8000-000000000001",
            **ENTRY,
            "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
            "status": "success",
            "timestamp_start": "2026-01-15T12:00:00.000000Z",
        }
        assert {key: value for key, value in line.items() if key != "writer"} == expected

    def test_lines_of_one_file_are_numbered_from_one(self, filelog: LLMLoggerAdapter, root: Path) -> None:
        for n in range(5):
            filelog.info("x", extra={"n": n})
            filelog.info("x", extra={"llm_request": ENTRY})
        filelog.logger.handlers[0].flush()
        assert [line["writer"]["seq"] for line in disk.events(root)] == [1, 2, 3, 4, 5]
        assert [line["writer"]["seq"] for line in disk.requests(root)] == [1, 2, 3, 4, 5]
        assert len({line["writer"]["id"] for line in disk.everything(root)}) == 1

    @given(nasty.texts, nasty.values)
    def test_with_an_option_that_changes_nothing_the_line_is_the_same(self, message: str, value: Any) -> None:
        record = logging.makeLogRecord(
            {"msg": message, "odd": value, "levelname": "INFO", "levelno": 20, "name": "a", "created": 1.5}
        )
        plain = LLMJsonFormatter(redact=False)
        custom = LLMJsonFormatter(redact=False, rename_fields={"no such field": "x"})
        assert custom.customised
        assert not plain.customised
        assume("<nested too deeply>" not in plain.format(record))
        assert json.loads(plain.format(record)) == json.loads(custom.format(record))
        assert "\n" not in plain.format(record)


class TestOptions:
    def test_python_json_loggers_options_work_through_dictconfig(self, root: Path) -> None:
        logger = configured(
            root,
            {
                "format": "%(asctime)s %(lineno)d %(threadName)s %(message)s",
                "rename_fields": {"level": "severity", "message": "msg", "lineno": "line"},
                "static_fields": {"service": "shop"},
                "reserved_attrs": ["logger"],
                "timestamp": "@timestamp",
                "defaults": {"region": "eu"},
                "prefix": "",
            },
        )
        with fixed():
            logger.info("hi", extra={"n": 1})
        line = only(logger, root)
        assert (line["severity"], line["msg"], line["service"], line["region"]) == (
            "INFO",
            "hi",
            "shop",
            "eu",
        )
        assert line["@timestamp"] == "2026-01-15T12:00:00.000000Z"
        assert isinstance(line["line"], int)
        assert line["threadName"] == "MainThread"
        assert line["asctime"]
        assert line["data"] == {"n": 1}
        assert not {"logger", "level", "message", "timestamp"} & line.keys()
        assert line["writer"]["seq"] == 1

    def test_a_number_that_is_renamed_still_counts(self, root: Path) -> None:
        logger = configured(root, {"rename_fields": {"writer": "w"}})
        logger.info("hi")
        assert only(logger, root)["w"]["seq"] == 1

    def test_a_writer_that_is_left_out_comes_back_for_the_reader_needs_it(self, root: Path) -> None:
        logger = configured(root, {"reserved_attrs": ["writer"]})
        logger.info("hi")
        assert only(logger, root)["writer"]["seq"] == 1

    @pytest.mark.parametrize("option", ["exc_info_as_array", "stack_info_as_array"])
    def test_a_stack_can_be_a_list(self, root: Path, option: str) -> None:
        logger = configured(root, {option: True})
        try:
            raise ValueError("bad")
        except ValueError:
            logger.exception("failed")
        stack = only(logger, root)["stack"]
        assert stack[0].startswith("Traceback")
        assert stack[-1] == "ValueError: bad"

    def test_exc_info_can_be_wanted_by_name(self, root: Path) -> None:
        logger = configured(root, {"format": "%(exc_info)s %(message)s"})
        try:
            raise ValueError("bad")
        except ValueError:
            logger.exception("failed")
        assert only(logger, root)["exc_info"].endswith("ValueError: bad")

    def test_ascii_can_be_had(self, root: Path) -> None:
        logger = configured(root, {"json_ensure_ascii": True})
        logger.info("é")
        raw = (root / "logs" / "system.jsonl").read_bytes() if logger.handlers[0].flush() is None else b""
        assert b"\\u00e9" in raw

    @pytest.mark.parametrize("options", [{"json_indent": 2}, {"prefix": "a\nb"}])
    def test_what_would_break_a_line_is_refused(self, root: Path, options: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="Unable to configure handler 'h'") as caught:
            configured(root, options)
        assert isinstance(caught.value.__cause__, ConfigurationError)

    def test_a_line_that_looks_like_the_place_of_its_number_is_written_as_it_is(self, root: Path) -> None:
        logger = configured(root, {"static_fields": {"a": 1}})
        mark = module._NUMBER_MARK
        logger.info("%d", mark + 1, extra={"n": -9_007_199_254_740_993})
        line = only(logger, root)
        assert line["writer"]["seq"] == 1
        assert line["data"] == {"n": -9_007_199_254_740_993}


class TestSubclasses:
    @pytest.mark.parametrize(
        ("kind", "expected"),
        [(Shouting, {"message": "HI", "region": "eu"}), (Adding, {"message": "hi", "line": True})],
    )
    def test_hooks_are_called_without_any_option(
        self, root: Path, isolated: Isolated, kind: type[LLMJsonFormatter], expected: dict[str, Any]
    ) -> None:
        handler = LLMFileHandler(root)
        handler.setFormatter(kind())
        isolated(handler).info("hi", extra={"llm_request": ENTRY})
        handler.close()
        (line,) = disk.requests(root)
        assert {name: line[name] for name in expected} == expected
        assert line["writer"]["seq"] == 1

    def test_a_trace_can_be_formatted_otherwise(self, root: Path, isolated: Isolated) -> None:
        handler = LLMFileHandler(root)
        handler.setFormatter(ShortTraces())
        try:
            raise ValueError("bad")
        except ValueError:
            isolated(handler).exception("failed")
        handler.close()
        assert disk.events(root)[0]["stack"] == "ValueError!"

    def test_a_failing_hook_costs_its_work_and_not_the_line(
        self, root: Path, isolated: Isolated, capsys: pytest.CaptureFixture[str]
    ) -> None:
        handler = LLMFileHandler(root)
        handler.setFormatter(Failing())
        isolated(handler).info("hi", extra={"llm_request": ENTRY})
        handler.close()
        assert disk.requests(root)[0]["message"] == "hi"
        assert handler.stats()["formatter_errors"] == 1
        assert "custom formatter raised" in capsys.readouterr().err

    def test_a_hook_that_logs_does_not_run_for_ever(self, root: Path) -> None:
        handler = LLMFileHandler(root)
        handler.setFormatter(Chatty())
        logging.getLogger("llm_logging_test.chatty").addHandler(handler)
        logging.getLogger("llm_logging_test.chatty").propagate = False
        logging.getLogger("llm_logging_test.chatty").warning("outside")
        handler.close()
        logging.getLogger("llm_logging_test.chatty").removeHandler(handler)
        assert sorted(line["message"] for line in disk.events(root)) == ["inside", "outside"]

    def test_a_formatter_with_a_format_of_its_own_is_told_what_to_override(self, root: Path) -> None:
        class Own(LLMJsonFormatter):
            def format(self, record: logging.LogRecord) -> str:
                return super().format(record)

        with pytest.raises(ConfigurationError, match="override process_log_record or add_fields"):
            LLMFileHandler(root).setFormatter(Own())

    def test_a_formatter_of_another_kind_is_not_used_and_a_notice_says_so_once(
        self, root: Path, isolated: Isolated
    ) -> None:
        handler = LLMFileHandler(root)
        handler.setFormatter(logging.Formatter("%(message)s"))
        log = isolated(handler)
        for _ in range(3):
            log.info("hello", extra={"llm_request": ENTRY})
        handler.close()
        assert len(disk.requests(root)) == 3
        (notice,) = [line for line in disk.events(root) if line["event_type"] == "formatter_unused"]
        assert notice["data"] == {"formatter": "logging.Formatter"}

    def test_a_hook_whose_line_is_no_object_costs_its_work_and_not_the_line(
        self, root: Path, isolated: Isolated
    ) -> None:
        class Bare(LLMJsonFormatter):
            def serialize_log_record(self, log_data: dict[str, Any]) -> str:
                return "no json"

        handler = LLMFileHandler(root)
        handler.setFormatter(Bare())
        isolated(handler).info("hi")
        handler.close()
        assert disk.events(root)[0]["message"] == "hi"

    def test_taking_the_formatter_away_gives_the_plain_line_again(
        self, root: Path, isolated: Isolated
    ) -> None:
        handler = LLMFileHandler(root)
        handler.setFormatter(Shouting())
        handler.setFormatter(None)
        isolated(handler).info("hi")
        handler.close()
        assert disk.events(root)[0]["message"] == "hi"


class TestOnTheConsole:
    def test_uvicorns_coloured_copy_of_a_message_is_left_out(self) -> None:
        record = logging.LogRecord("uvicorn", logging.INFO, "server.py", 1, "Started server", (), None)
        record.__dict__.update(color_message="Started [\x1b[1m%d]", port=80)
        text = LLMConsoleFormatter(colour=False).format(record)
        assert text.endswith("Started server  port=80")


class TestOnOtherHandlers:
    def test_the_formatter_works_on_any_handler_of_loggings(self, isolated: Isolated) -> None:
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        handler.setFormatter(LLMJsonFormatter(entry_defaults=IDENTITY))
        isolated(handler).info("hi", extra={"llm_request": {"model": "m", "status": "success"}})
        line = json.loads(stream.getvalue())
        assert (line["event_type"], line["project_id"], line["model"]) == ("llm_request", "shop", "m")
        assert "writer" not in line

    @given(st.text(), st.text(min_size=1))
    def test_whatever_is_said_is_one_line_of_utf8(self, message: str, name: str) -> None:
        record = logging.makeLogRecord(
            {"msg": message, "name": name, "levelname": "INFO", "levelno": 20, "x": {message: name}}
        )
        for formatter in (LLMJsonFormatter(redact=False), Shouting(redact=False)):
            text = formatter.format(record)
            assert "\n" not in text
            assert "\r" not in text
            json.loads(text.encode("utf-8"))


@pytest.mark.parametrize(
    "options",
    [
        {"static_fields": {"id": "web-1"}},
        {"static_fields": {"event_type": "app"}},
        {"rename_fields": {"usage": "u"}},
        {"rename_fields": {"message": "model"}},
        {"reserved_attrs": ["usage"]},
        {"prefix": "app: "},
    ],
)
def test_options_that_would_make_the_figures_wrong_are_refused_for_files(options, tmp_path):
    from llm_logging import ConfigurationError, LLMFileHandler, LLMJsonFormatter

    with pytest.raises(ConfigurationError, match="LLMFileHandler"):
        LLMFileHandler(tmp_path).setFormatter(LLMJsonFormatter(**options))
