"""Every exception that llm_logging raises.

* LLMLoggingError
  x ValidationError (ValueError): an entry, a scope or an option is not as the contract says
  x NotFoundError (LookupError): a project or a chat of which nothing is on disk
  x FileSystemError (OSError): the disk refused a write or a read
  x ConfigurationError (ValueError): the handler, the preset or the environment is set up wrongly

Each carries a `code`, one of `ErrorCode`, for programs; its text, for people, says what was expected,
what came and where.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

__all__ = [
    "ConfigurationError",
    "ErrorCode",
    "FileSystemError",
    "LLMLoggingError",
    "NotFoundError",
    "ValidationError",
]


class ErrorCode(StrEnum):
    """Name what went wrong, for programs."""

    INVALID_ENTRY = "INVALID_ENTRY"
    INVALID_PROJECT_ID = "INVALID_PROJECT_ID"
    INVALID_CHAT_ID = "INVALID_CHAT_ID"
    INVALID_MODEL = "INVALID_MODEL"
    INVALID_SCOPE = "INVALID_SCOPE"
    INVALID_OPTIONS = "INVALID_OPTIONS"
    INVALID_STATE = "INVALID_STATE"
    INVALID_CONFIGURATION = "INVALID_CONFIGURATION"
    MISSING_DEPENDENCY = "MISSING_DEPENDENCY"
    PROJECT_NOT_FOUND = "PROJECT_NOT_FOUND"
    CHAT_NOT_FOUND = "CHAT_NOT_FOUND"
    REQUEST_NOT_FOUND = "REQUEST_NOT_FOUND"
    ROOT_NOT_FOUND = "ROOT_NOT_FOUND"
    LOG_WRITE_ERROR = "LOG_WRITE_ERROR"
    LOG_READ_ERROR = "LOG_READ_ERROR"
    LOG_PARSE_ERROR = "LOG_PARSE_ERROR"
    METRICS_CALCULATION_ERROR = "METRICS_CALCULATION_ERROR"


class LLMLoggingError(Exception):
    """Base of all exceptions of llm_logging.

    Args:
        message: What was expected, what came and where.
        code: What went wrong, for programs.
    """

    default_code: ErrorCode = ErrorCode.INVALID_ENTRY

    def __init__(self, message: str, *, code: ErrorCode | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code: ErrorCode = self.default_code if code is None else code

    def __str__(self) -> str:
        return self.message


class ValidationError(LLMLoggingError, ValueError):
    """An entry, a scope or an option breaks the contract; nothing was written.

    Args:
        message: All reasons, one a line.
        code: What went wrong, for programs.
        reasons: The reasons one by one, as `field: expected ..., got ...`.
    """

    default_code = ErrorCode.INVALID_ENTRY

    def __init__(self, message: str, *, code: ErrorCode | None = None, reasons: Sequence[str] = ()) -> None:
        super().__init__(message, code=code)
        self.reasons: tuple[str, ...] = tuple(reasons)


class NotFoundError(LLMLoggingError, LookupError):
    """A project, a chat or a request of which nothing is on disk."""

    default_code = ErrorCode.PROJECT_NOT_FOUND


class FileSystemError(LLMLoggingError, OSError):
    """The disk refused a write or a read.

    Args:
        message: What was tried, on which file, and what the system said.
        code: What went wrong, for programs.
        errno: The system's number for it, where there is one.
        filename: The file it happened on, where it is known.
    """

    default_code = ErrorCode.LOG_WRITE_ERROR

    def __init__(
        self,
        message: str,
        *,
        code: ErrorCode | None = None,
        errno: int | None = None,
        filename: str | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.errno = errno
        self.filename = filename


class ConfigurationError(LLMLoggingError, ValueError):
    """The handler, a preset or the environment is set up wrongly."""

    default_code = ErrorCode.INVALID_CONFIGURATION
