"""What `import llm_logging` offers, and that nothing else is relied on."""

from __future__ import annotations

import json
import logging
import logging.config
from pathlib import Path

import pytest

import llm_logging
from llm_logging import presets

FACE = [
    "Change",
    "ChatMessage",
    "ChatMessageFields",
    "ChatMetrics",
    "Comparison",
    "ComparisonRow",
    "ConfigurationError",
    "Cost",
    "ErrorCode",
    "ErrorInfo",
    "EventPage",
    "Export",
    "Figures",
    "FileSystemError",
    "GlobalMetrics",
    "LLMCall",
    "LLMConsoleFormatter",
    "LLMFileHandler",
    "LLMJsonFormatter",
    "LLMLoggerAdapter",
    "LLMLoggingError",
    "LLMRequestFields",
    "LLMRequestLogEntry",
    "LLMStreamHandler",
    "LogResult",
    "LoggedEvent",
    "NotFoundError",
    "Percentiles",
    "Period",
    "PriceReport",
    "PriceUse",
    "ProjectMetrics",
    "Quality",
    "Redactor",
    "RequestLog",
    "RequestLogPage",
    "SearchHit",
    "SearchHits",
    "SequenceGap",
    "Stats",
    "StatsOptions",
    "StatsRow",
    "StatsScope",
    "Timings",
    "TimingsFields",
    "Usage",
    "UsageFields",
    "ValidationError",
    "alog_llm_request",
    "check",
    "compare_stats",
    "export_requests",
    "get_cached_stats",
    "get_chat_metrics",
    "get_chats",
    "get_errors",
    "get_global_metrics",
    "get_llm_request_logs",
    "get_logger",
    "get_prices",
    "get_project_metrics",
    "get_request_log",
    "get_request_tree",
    "get_stats",
    "get_system_logs",
    "instrument",
    "log_llm_request",
    "presets",
    "reset_cached_stats",
    "scope",
    "search_logs",
    "usage_from_response",
    "write_report",
]


def test_the_public_face_is_this_and_sorted() -> None:
    assert llm_logging.__all__ == FACE
    assert sorted(FACE) == FACE


def test_every_name_is_there_and_listed() -> None:
    for name in FACE:
        assert getattr(llm_logging, name) is not None
    assert set(FACE) <= set(dir(llm_logging))


def test_a_name_that_is_not_there_says_so_as_python_does() -> None:
    with pytest.raises(AttributeError, match="module 'llm_logging' has no attribute 'get_statz'"):
        llm_logging.get_statz  # noqa: B018


def test_everything_in_the_face_documents_itself() -> None:
    for name in FACE:
        assert (getattr(llm_logging, name).__doc__ or "").strip(), name


@pytest.mark.parametrize("name", presets.NAMES)
def test_dictconfig_strings_name_public_names_so_that_files_can_move(name: str) -> None:
    config = getattr(presets, name)()
    strings = [
        part.get("class") or part.get("()")
        for kind in ("handlers", "formatters")
        for part in config[kind].values()
    ]
    ours = [text for text in strings if text.startswith("llm_logging")]
    assert ours
    for text in ours:
        assert text.removeprefix("llm_logging.") in FACE or text == "llm_logging.testing.CaptureHandler"


def test_dictconfig_takes_every_handler_and_formatter_by_its_root_level_name(tmp_path: Path) -> None:
    config = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {"()": "llm_logging.LLMJsonFormatter", "static_fields": {"service": "shop"}},
            "text": {"()": "llm_logging.LLMConsoleFormatter", "colour": False},
            "plain": {"class": "llm_logging.LLMJsonFormatter", "format": "%(message)s %(lineno)d"},
        },
        "handlers": {
            "file": {
                "class": "llm_logging.LLMFileHandler",
                "filename": str(tmp_path / "a.jsonl"),
                "formatter": "json",
            },
            "console": {"class": "logging.StreamHandler", "formatter": "text", "stream": "ext://sys.stderr"},
            "stdout": {"class": "llm_logging.LLMStreamHandler", "formatter": "plain"},
        },
        "loggers": {"face": {"handlers": ["file", "console", "stdout"], "propagate": False, "level": "INFO"}},
    }
    logging.config.dictConfig(json.loads(json.dumps(config)))
    logger = logging.getLogger("face")
    try:
        logger.info("hello")
        logger.handlers[0].flush()
    finally:
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
            handler.close()
    line = json.loads((tmp_path / "a.jsonl").read_text())
    assert (line["message"], line["service"]) == ("hello", "shop")
