"""Ready dictionaries for `logging.config.dictConfig`.

Each function returns a plain dict: print it, edit it, merge it into Django's `LOGGING`, or pass it to uvicorn or gunicorn. Nothing
is configured until then. Existing loggers stay enabled. Handlers are on the root logger.
"""

from __future__ import annotations

import logging
import os
from typing import Any, ClassVar

from .errors import ConfigurationError

__all__ = ["NAMES", "WithoutRequestLines", "container", "development", "production", "testing"]

NAMES = ("development", "production", "container", "testing")

Level = int | str
_CLIENTS = ("LiteLLM", "LiteLLM Router", "httpx", "httpx2")


class WithoutRequestLines(logging.Filter):
    """Take the lines at INFO and below away that HTTP clients and SDKs log for each request; warnings stay.

    An event says once in each process that lines are left out.
    """

    _said: ClassVar[set[str]] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether a record stays."""
        if record.levelno > logging.INFO:
            return True
        if record.levelno == logging.INFO and record.name not in self._said:
            self._said.add(record.name)
            logging.getLogger("llm_logging").info(
                "lines of the logger %r at INFO are left out: it logs one for each request (said once)",
                record.name,
            )
        return False


def _level(level: Level) -> str:
    name = logging.getLevelName(level) if isinstance(level, int) else str(level).upper()
    if isinstance(level, bool) or name not in logging.getLevelNamesMapping():
        known = ", ".join(logging.getLevelNamesMapping())
        raise ConfigurationError(f"level: expected one of {known} or its number, got {level!r}")
    return name


def _root(root: str | os.PathLike[str] | None) -> dict[str, Any]:
    if root is None:
        return {}
    if not isinstance(root, (str, os.PathLike)):
        raise ConfigurationError(f"root: expected a path, got {type(root).__name__}")
    return {"root": os.fspath(root)}


def _config(
    level: Level, handlers: dict[str, Any], formatters: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": formatters or {},
        "handlers": handlers,
        # A line of theirs at INFO for each request says less than the request's own line.
        "filters": {"llm_no_client_lines": {"()": "llm_logging.presets.WithoutRequestLines"}},
        "loggers": {name: {"filters": ["llm_no_client_lines"]} for name in _CLIENTS},
        "root": {"level": _level(level), "handlers": list(handlers)},
    }


def production(
    root: str | os.PathLike[str] | None = None,
    *,
    level: Level = "INFO",
    max_bytes: int = 64 << 20,
    backup_count: int = 20,
    compress: str | bool | None = "gz",
    content: str = "off",
    redact: bool | dict[str, Any] = True,
    defaults: dict[str, Any] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Return a configuration with files only: rotated by size, compressed, without prompts and answers.

    Args:
        root: The folder; see `LLMFileHandler`.
        level: Level of the root logger.
        max_bytes: Rotate at this size.
        backup_count: Rotated segments to keep of each log. 0: all.
        compress: As in `LLMFileHandler`.
        content: As in `LLMFileHandler`: prompts, answers and chat texts are not written.
        redact: As in `LLMFileHandler`.
        defaults: As in `LLMFileHandler`.
        **options: Any other option of `LLMFileHandler`.

    Raises:
        ConfigurationError: The level is not one of logging's.
    """
    handler: dict[str, Any] = {
        "class": "llm_logging.LLMFileHandler",
        **_root(root),
        "max_bytes": max_bytes,
        "backup_count": backup_count,
        "compress": compress,
        "content": content,
        "redact": redact,
        **({"defaults": defaults} if defaults else {}),
        **options,
    }
    return _config(level, {"llm_files": handler})


def development(
    root: str | os.PathLike[str] | None = None,
    *,
    level: Level = "DEBUG",
    content: str = "full",
    redact: bool | dict[str, Any] = True,
    colour: bool | None = None,
    defaults: dict[str, Any] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Return a configuration with readable lines on standard error, and files with everything.

    Args:
        root: The folder; see `LLMFileHandler`.
        level: Level of the root logger.
        content: As in `LLMFileHandler`: prompts, answers and chat texts are written.
        redact: As in `LLMFileHandler`; for the console too.
        colour: Colour the console. None: on a terminal, unless `NO_COLOR` is set.
        defaults: As in `LLMFileHandler`.
        **options: Any other option of `LLMFileHandler`.

    Raises:
        ConfigurationError: The level is not one of logging's.
    """
    shared = {"entry_defaults": defaults} if defaults else {}
    console = {"class": "logging.StreamHandler", "formatter": "llm_console"}
    files: dict[str, Any] = {
        "class": "llm_logging.LLMFileHandler",
        **_root(root),
        "content": content,
        "redact": redact,
        **({"defaults": defaults} if defaults else {}),
        **options,
    }
    formatter = {"()": "llm_logging.LLMConsoleFormatter", "colour": colour, "redact": redact, **shared}
    return _config(level, {"console": console, "llm_files": files}, {"llm_console": formatter})


def container(
    root: str | os.PathLike[str] | None = None,  # noqa: ARG001  all presets take the same
    *,
    level: Level = "INFO",
    content: str = "off",
    redact: bool | dict[str, Any] = True,
    defaults: dict[str, Any] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Return a configuration with JSON lines on standard output, for a log collector.

    Args:
        root: Not used: there are no files. Read such lines back with `llm-logging stats --files`.
        level: Level of the root logger.
        content: As in `LLMStreamHandler`.
        redact: As in `LLMStreamHandler`.
        defaults: As in `LLMStreamHandler`.
        **options: Any other option of `LLMStreamHandler`.

    Raises:
        ConfigurationError: The level is not one of logging's.
    """
    handler: dict[str, Any] = {
        "class": "llm_logging.LLMStreamHandler",
        "content": content,
        "redact": redact,
        **({"defaults": defaults} if defaults else {}),
        **options,
    }
    return _config(level, {"llm_stdout": handler})


def testing(
    root: str | os.PathLike[str] | None = None,  # noqa: ARG001  all presets take the same
    *,
    level: Level = "DEBUG",
    defaults: dict[str, Any] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Return a configuration that writes nothing and keeps entries for assertions; see `llm_logging.testing`.

    Args:
        root: Not used: nothing is written.
        level: Level of the root logger.
        defaults: As in `LLMFileHandler`.
        **options: Any other option of `llm_logging.testing.CaptureHandler`.

    Raises:
        ConfigurationError: The level is not one of logging's.
    """
    handler: dict[str, Any] = {
        "class": "llm_logging.testing.CaptureHandler",
        **({"defaults": defaults} if defaults else {}),
        **options,
    }
    return _config(level, {"llm_capture": handler})
