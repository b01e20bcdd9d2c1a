"""A file of lines, as it lies on the disk: its bytes, and the SQL that reads its lines with given types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from ...files.compression import open_gzip, open_zstd

__all__ = ["MARK", "RawFile", "lines_sql", "open_lines"]

# A name that no entry has.
MARK: Final = "llm_logging_mark"


@dataclass(frozen=True, slots=True)
class RawFile:
    """A file of lines to parse.

    Attributes:
        path: Where DuckDB reads it.
        name: What it is called in answers.
        compression: None, `gz` or `zst`.
        growing: Whether a last line without its newline is one that is still being written.
    """

    path: Path
    name: str
    compression: str | None = None
    growing: bool = False


def lines_sql(types: Mapping[str, str], compression: str | None, *, strict: bool) -> str:
    """Return SQL of the lines of a file, whose path is to be bound.

    Args:
        types: The parts of a line, and as which type each is read; see `columns.raw_struct`.
        compression: None, `gz` or `zst`.
        strict: Whether a value of another type is an error, else NULL.
    """
    listed = ", ".join(f"'{name}': '{kind}'" for name, kind in types.items())
    unpack = {"gz": "gzip", "zst": "zstd", None: "uncompressed"}[compression]
    return (
        f"read_json(?, format='newline_delimited', columns={{{listed}}}, ignore_errors={not strict}, "
        f"compression='{unpack}')"
    )


def open_lines(path: Path, compression: str | None) -> Any:
    """Open a file of lines as uncompressed bytes."""
    if compression == "gz":
        return open_gzip(path)
    if compression == "zst":
        return _open_zstd(path)
    return path.open("rb")


def _open_zstd(path: Path) -> BinaryIO:
    from ...errors import ConfigurationError, ErrorCode

    try:
        from compression import zstd  # type: ignore[import-not-found, unused-ignore]  # Python 3.14
    except ImportError:
        try:
            from backports import zstd  # type: ignore[import-not-found, no-redef, unused-ignore]
        except ImportError:
            raise ConfigurationError(
                f"reading {path} line by line needs zstd: pip install 'llm-logging[zstd]'",
                code=ErrorCode.MISSING_DEPENDENCY,
            ) from None
    return open_zstd(path, zstd)
