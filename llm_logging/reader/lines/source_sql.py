"""A file of lines, as it lies on the disk: its bytes, and the SQL that reads its lines with given types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ...files.compression import open_packed

__all__ = ["MARK", "RawFile", "lines_sql"]

# A name that no entry has.
MARK: Final = "llm_logging_mark"


@dataclass(frozen=True, slots=True)
class RawFile:
    """A file of lines to parse.

    Attributes:
        path: Where DuckDB reads it.
        name: What it is called in answers.
        compression: None, `gz` or `zst`.
    """

    path: Path
    name: str
    compression: str | None = None

    @property
    def suffix(self) -> str:
        """The suffix of its compression; empty where there is none."""
        return f".{self.compression}" if self.compression else ""

    def open(self) -> Any:
        """Open it as uncompressed bytes."""
        return open_packed(self.path, self.suffix)


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
