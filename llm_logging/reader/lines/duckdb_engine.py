"""The database that answers: DuckDB, loaded when the first question comes."""

from __future__ import annotations

import importlib
from typing import Any

from ...errors import ConfigurationError, ErrorCode

__all__ = ["duckdb_module", "duckdb_version", "quoted"]


def quoted(value: object) -> str:
    """Return text, or a path, as a literal of SQL: for what takes no bound value, such as the target of a COPY."""
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


def duckdb_version() -> str:
    """Return the version of the database without loading it: an answer that is known does not need it.

    Raises:
        ConfigurationError: `MISSING_DEPENDENCY`, where it is not installed.
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("duckdb")
    except PackageNotFoundError:
        return str(duckdb_module().__version__)
