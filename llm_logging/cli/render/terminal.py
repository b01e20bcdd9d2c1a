"""Detect what the terminal can show: colour, width, height; and write times for it."""

from __future__ import annotations

import os
import shutil
import sys
from datetime import datetime
from typing import IO

from ...presentation.escaping import csv_cell, dumps, json_safe, markdown_cell, safe, shorten

__all__ = [
    "csv_cell",
    "dumps",
    "height",
    "json_safe",
    "markdown_cell",
    "safe",
    "shorten",
    "show_time",
    "use_colour",
    "width",
]


def use_colour(stream: IO[str] | None = None) -> bool:
    """Say whether output to a stream should be coloured.

    `NO_COLOR` (no-color.org) turns colour off, `FORCE_COLOR` on; else a terminal that is not dumb gets colour.
    """
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "0") not in {"", "0"}:
        return True
    target = sys.stdout if stream is None else stream
    return target.isatty() and os.environ.get("TERM", "") != "dumb"


def height() -> int:
    """Return how many rows the terminal has: `LINES`, else the terminal's own, else 24."""
    return max(shutil.get_terminal_size((80, 24)).lines, 2)


def width(stream: IO[str] | None = None) -> int:
    """Return how many columns output may take: `COLUMNS`, else the terminal's, else 120 for a pipe or a file."""
    target = sys.stdout if stream is None else stream
    fallback = 80 if target.isatty() else 120
    return max(shutil.get_terminal_size((fallback, 24)).columns, 20)


def show_time(moment: datetime, style: str) -> str:
    """Write a time as `full` (date and milliseconds), `short` (time only), `iso`, or by `strftime`."""
    if style == "full":
        return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}"
    if style == "short":
        return f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}"
    if style == "iso":
        return moment.isoformat(timespec="milliseconds")
    return moment.strftime(style)
