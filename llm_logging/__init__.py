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
    from .integrations.instrument_all import instrument
    from .logger.adapter import LLMLoggerAdapter, alog_llm_request, get_logger, log_llm_request
    from .logger.call import LLMCall
    from .models.entry import ChatMessage, Cost, ErrorInfo, LLMRequestLogEntry, LogResult, Timings, Usage
    from .models.query import StatsOptions, StatsScope
    from .models.stats import (
        Change,
        ChatMetrics,
        Comparison,
        ComparisonRow,
        Figures,
        GlobalMetrics,
        Percentiles,
        Period,
        PriceReport,
        PriceUse,
        ProjectMetrics,
        Quality,
        SequenceGap,
        Stats,
        StatsRow,
    )
    from .models.typed_dicts import ChatMessageFields, LLMRequestFields, TimingsFields, UsageFields
    from .reader.compare import compare_stats
    from .reader.entries import RequestLogPage, get_llm_request_logs, get_request_log
    from .reader.events import EventPage, LoggedEvent, get_system_logs
    from .reader.export import Export, export_requests
    from .reader.price_report import get_prices
    from .reader.reports.checks import check
    from .reader.reports.conversations import get_chats, get_request_tree
    from .reader.reports.error_report import get_errors
    from .reader.retrieval.request_log import RequestLog
    from .reader.search import SearchHit, SearchHits, search_logs
    from .reader.stats import get_chat_metrics, get_global_metrics, get_project_metrics, get_stats
    from .redaction.redactor import Redactor
    from .usage.extract import usage_from_response
    from .web.report.page import write_report

__all__ = [
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

# Imported at first use: a process that only writes does not pay for reading, nor the other way round.
_LATER = {
    "Change": "models.stats",
    "ChatMessage": "models.entry",
    "ChatMessageFields": "models.typed_dicts",
    "ChatMetrics": "models.stats",
    "Comparison": "models.stats",
    "ComparisonRow": "models.stats",
    "Cost": "models.entry",
    "ErrorInfo": "models.entry",
    "EventPage": "reader.events",
    "Export": "reader.export",
    "Figures": "models.stats",
    "GlobalMetrics": "models.stats",
    "LLMCall": "logger.call",
    "LLMConsoleFormatter": "handler.console_formatter",
    "LLMFileHandler": "handler.file_handler",
    "LLMJsonFormatter": "handler.formatter",
    "LLMLoggerAdapter": "logger.adapter",
    "LLMRequestFields": "models.typed_dicts",
    "LLMRequestLogEntry": "models.entry",
    "LLMStreamHandler": "handler.stream_handler",
    "LogResult": "models.entry",
    "LoggedEvent": "reader.events",
    "Percentiles": "models.stats",
    "Period": "models.stats",
    "PriceReport": "models.stats",
    "PriceUse": "models.stats",
    "ProjectMetrics": "models.stats",
    "Quality": "models.stats",
    "Redactor": "redaction.redactor",
    "RequestLog": "reader.retrieval.request_log",
    "RequestLogPage": "reader.entries",
    "SearchHit": "reader.search",
    "SearchHits": "reader.search",
    "SequenceGap": "models.stats",
    "Stats": "models.stats",
    "StatsOptions": "models.query",
    "StatsRow": "models.stats",
    "StatsScope": "models.query",
    "Timings": "models.entry",
    "TimingsFields": "models.typed_dicts",
    "Usage": "models.entry",
    "UsageFields": "models.typed_dicts",
    "alog_llm_request": "logger.adapter",
    "compare_stats": "reader.compare",
    "export_requests": "reader.export",
    "get_cached_stats": "handler.running_totals",
    "get_chat_metrics": "reader.stats",
    "get_global_metrics": "reader.stats",
    "get_llm_request_logs": "reader.entries",
    "get_logger": "logger.adapter",
    "get_prices": "reader.price_report",
    "get_project_metrics": "reader.stats",
    "get_request_log": "reader.entries",
    "get_stats": "reader.stats",
    "get_system_logs": "reader.events",
    "instrument": "integrations.instrument_all",
    "log_llm_request": "logger.adapter",
    "reset_cached_stats": "handler.running_totals",
    "search_logs": "reader.search",
    "usage_from_response": "usage.extract",
    "check": "reader.reports.checks",
    "get_chats": "reader.reports.conversations",
    "get_errors": "reader.reports.error_report",
    "get_request_tree": "reader.reports.conversations",
    "write_report": "web.report.page",
}
# Not in `__all__`: `from llm_logging import *` must not replace the built-in function.
_RENAMED = {"open": ("reader.reports.database", "open_database")}


def __getattr__(name: str) -> Any:
    module, attribute = _RENAMED.get(name, (_LATER.get(name), name))
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f".{module}", __name__), attribute)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
