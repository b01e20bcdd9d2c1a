"""The database engine: DuckDB, imported when the first question is asked, and one in-memory database per question."""

from __future__ import annotations

import contextlib
import importlib
from typing import TYPE_CHECKING, Any, Final

from ...errors import ConfigurationError, ErrorCode

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["connect", "duckdb_error", "duckdb_module", "duckdb_version", "quoted"]

_MEMORY: Final = "400MB"


def quoted(value: object) -> str:
    """Return a value as a string literal of SQL, for statements that take no parameters, such as the target of COPY."""
    return "'" + str(value).replace("'", "''") + "'"


def duckdb_module() -> Any:
    """Return the module `duckdb`.

    Raises:
        ConfigurationError: `MISSING_DEPENDENCY`, where it is not installed.
    """
    try:
        return importlib.import_module("duckdb")
    except ImportError:
        raise ConfigurationError(
            "statistics need duckdb: pip install 'llm-logging[stats]'", code=ErrorCode.MISSING_DEPENDENCY
        ) from None


def duckdb_error() -> type[Exception]:
    """Return the base class of DuckDB's errors."""
    error: type[Exception] = duckdb_module().Error
    return error


def connect() -> DuckDBPyConnection:
    """Open a database in memory.

    Raises:
        ConfigurationError: `MISSING_DEPENDENCY`, where duckdb is not installed.
    """
    db: DuckDBPyConnection = duckdb_module().connect(
        config={"memory_limit": _MEMORY, "preserve_insertion_order": "false"}
    )
    # A naive time in a line is UTC, whatever the zone of this machine.
    db.execute("SET GLOBAL TimeZone = 'UTC'")
    # In a notebook without ipywidgets the setting itself fails; a progress bar is not worth an error.
    with contextlib.suppress(duckdb_error()):
        db.execute("SET enable_progress_bar = false")
    return db


def duckdb_version() -> str:
    """Return the version of DuckDB without importing it: an answer from the cache does not need it.

    Raises:
        ConfigurationError: `MISSING_DEPENDENCY`, where it is not installed.
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("duckdb")
    except PackageNotFoundError:
        return str(duckdb_module().__version__)
