"""Python's own logging, extended for LLM calls.

Configure with `logging.config.dictConfig(llm_logging.presets.production())`, log with `logger.info` and extras or through
`get_logger`, and read the files back with `get_stats` or the command `llm-logging stats`.
"""

from __future__ import annotations

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
from .figures import Figures, Stats, StatsOptions, StatsScope
from .handler.formatter import LLMConsoleFormatter, LLMJsonFormatter
from .handler.handler import LLMFileHandler
from .handler.live import get_cached_stats, reset_cached_stats
from .handler.stream import LLMStreamHandler
from .logger.adapter import (
    LLMLoggerAdapter,
    alog_llm_request,
    get_logger,
    log_llm_request,
)
from .schema import (
    ChatMessage,
    Cost,
    ErrorInfo,
    LLMRequestLogEntry,
    LogResult,
    Timings,
    Usage,
)

__all__ = [
    "ChatMessage",
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
    "LLMRequestLogEntry",
    "LLMStreamHandler",
    "LogResult",
    "NotFoundError",
    "Stats",
    "StatsOptions",
    "StatsScope",
    "Timings",
    "Usage",
    "ValidationError",
    "alog_llm_request",
    "get_cached_stats",
    "get_logger",
    "log_llm_request",
    "presets",
    "reset_cached_stats",
    "scope",
]
