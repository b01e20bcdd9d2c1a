"""Python's own logging, extended for LLM calls.

Configure with `logging.config.dictConfig(llm_logging.presets.production())`, log with `logger.info` and extras or through
`get_logger`, and read the files back with `get_stats` or the command `llm-logging stats`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import presets
from .context import scope
from .errors import (
    ConfigurationError,
    ErrorCode,
    FileSystemError,
    LLMLoggingError,
    NotFoundError,
    ValidationError,
)

if TYPE_CHECKING:
    from .handler.console_formatter import LLMConsoleFormatter
    from .handler.file_handler import LLMFileHandler
    from .handler.formatter import LLMJsonFormatter
    from .handler.running_totals import get_cached_stats, reset_cached_stats
    from .handler.stream_handler import LLMStreamHandler
    from .logger.adapter import LLMLoggerAdapter, alog_llm_request, get_logger, log_llm_request
    from .models.entry import ChatMessage, Cost, ErrorInfo, LLMRequestLogEntry, LogResult, Timings, Usage
    from .models.query import StatsOptions, StatsScope
    from .models.stats import Figures, Stats
    from .models.typed_dicts import ChatMessageFields, LLMRequestFields, TimingsFields, UsageFields
    from .reader.compare import compare_stats
    from .reader.entries import get_llm_request_logs
    from .reader.events import get_system_logs
    from .reader.price_report import get_prices
    from .reader.search import search_logs
    from .reader.stats import get_chat_metrics, get_global_metrics, get_project_metrics, get_stats
    from .usage.extract import usage_from_response

__all__ = [
    "ChatMessage",
    "ChatMessageFields",
    "ConfigurationError",
    "Cost",
    "ErrorCode",
    "ErrorInfo",
    "Figures",
    "FileSystemError",
    "LLMConsoleFormatter",
    "LLMFileHandler",
    "LLMJsonFormatter",
    "LLMLoggerAdapter",
    "LLMLoggingError",
    "LLMRequestFields",
    "LLMRequestLogEntry",
    "LLMStreamHandler",
    "LogResult",
    "NotFoundError",
    "Redactor",
    "Stats",
    "StatsOptions",
    "StatsScope",
    "Timings",
    "TimingsFields",
    "Usage",
    "UsageFields",
    "ValidationError",
    "alog_llm_request",
    "compare_stats",
    "get_cached_stats",
    "get_chat_metrics",
    "get_global_metrics",
    "get_llm_request_logs",
    "get_logger",
    "get_prices",
    "get_project_metrics",
    "get_stats",
    "get_system_logs",
    "log_llm_request",
    "presets",
    "reset_cached_stats",
    "scope",
    "search_logs",
    "usage_from_response",
]

# Each wing is loaded when it is first asked for: who only writes does not pay for reading, nor who reads for writing.
_LATER = {
    "ChatMessage": "models.entry",
    "ChatMessageFields": "models.typed_dicts",
    "Cost": "models.entry",
    "ErrorInfo": "models.entry",
    "Figures": "models.stats",
    "LLMConsoleFormatter": "handler.console_formatter",
    "LLMFileHandler": "handler.file_handler",
    "LLMJsonFormatter": "handler.formatter",
    "LLMLoggerAdapter": "logger.adapter",
    "LLMRequestFields": "models.typed_dicts",
    "LLMRequestLogEntry": "models.entry",
    "LLMStreamHandler": "handler.stream_handler",
    "LogResult": "models.entry",
    "Redactor": "redaction.redactor",
    "Stats": "models.stats",
    "StatsOptions": "models.query",
    "StatsScope": "models.query",
    "Timings": "models.entry",
    "TimingsFields": "models.typed_dicts",
    "Usage": "models.entry",
    "UsageFields": "models.typed_dicts",
    "alog_llm_request": "logger.adapter",
    "compare_stats": "reader.compare",
    "get_cached_stats": "handler.running_totals",
    "get_chat_metrics": "reader.stats",
    "get_global_metrics": "reader.stats",
    "get_llm_request_logs": "reader.entries",
    "get_logger": "logger.adapter",
    "get_prices": "reader.price_report",
    "get_project_metrics": "reader.stats",
    "get_stats": "reader.stats",
    "get_system_logs": "reader.events",
    "log_llm_request": "logger.adapter",
    "reset_cached_stats": "handler.running_totals",
    "search_logs": "reader.search",
    "usage_from_response": "usage.extract",
}


def __getattr__(name: str) -> Any:
    module = _LATER.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f".{module}", __name__), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
