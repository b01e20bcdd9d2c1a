"""A table that fits: where the terminal is narrow, numbers get compact first, then the least needed columns go.

Cells are plain text and are shown as such: no markup is read. What makes text safe happens before (`terminal.safe`).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from .terminal import csv_cell, markdown_cell

__all__ = ["Column", "csv_text", "draw", "markdown", "paint"]

_GAP: Final = 2
_LEAST: Final = 8
# rich's own notation, eight lines: a rule under the head and one above a total, nothing else.
_BOX: Final = "    \n    \n ── \n    \n ── \n    \n    \n    \n"


@dataclass(slots=True)
class Column:
    """One column.

    Attributes:
        header: Its name.
        cells: Its texts.
        short: The same texts in less space, where there are such.
        rank: 0 always stays; of the others the highest goes first, 1 only where cutting the texts is not enough.
        left: Text stands left, numbers right.
        style: As rich names it, for all cells.
        styles: For single cells; empty where `style` holds.
        decoration: Left out of Markdown.
        pair: What it belongs to: columns of one pair go together; empty for a column by itself.
    """

    header: str
    cells: Sequence[str]
    short: Sequence[str] | None = None
    rank: int = 0
    left: bool = False
    style: str = ""
    styles: Sequence[str] = field(default_factory=tuple)
    decoration: bool = False
    pair: str = ""


def _width(column: Column) -> int:
    from rich.cells import cell_len

    return max((cell_len(text) for text in (column.header, *column.cells)), default=0)


def _total(columns: Sequence[Column]) -> int:
    return sum(_width(column) + _GAP for column in columns) + 1


def _least_total(columns: Sequence[Column]) -> int:
    return sum(_least(column) + _GAP for column in columns) + 1


def _least(column: Column) -> int:
    # What must stay and still does not fit is cut where it is text, never where it is a number.
    return min(_width(column), _LEAST) if column.left else _width(column)


def fit(columns: Sequence[Column], width: int) -> list[Column]:
    """Choose the columns, and their form, that stand in a width."""
    chosen = list(columns)
    if _total(chosen) > width:
        for column in chosen:
            if column.short is not None:
                column.cells = column.short
    while _total(chosen) > width and any(column.rank > 1 for column in chosen):
        chosen = _without_last(chosen)
    while _least_total(chosen) > width and any(column.rank for column in chosen):
        chosen = _without_last(chosen)
    return chosen


def _without_last(columns: Sequence[Column]) -> list[Column]:
    """Leave out the least needed column, and those of its pair."""
    gone = max(columns, key=lambda column: column.rank)
    return [
        column for column in columns if column is not gone and (not gone.pair or column.pair != gone.pair)
    ]


def _widths(columns: Sequence[Column], width: int) -> list[int]:
    """Return how wide each column is: where they do not fit, the widest texts are cut first."""
    widths = [_width(column) for column in columns]
    texts = [number for number, column in enumerate(columns) if column.left]
    for _ in range(_total(columns) - width):
        cut = max(texts, key=lambda number: widths[number] - _least(columns[number]), default=None)
        if cut is None or widths[cut] <= _least(columns[cut]):
            break
        widths[cut] -= 1
    return widths


def draw(columns: Sequence[Column], *, width: int, colour: bool, last_bold: bool = False) -> str:
    """Draw a table.

    Args:
        columns: All of one length.
        width: In characters of the terminal.
        colour: Use colours.
        last_bold: The last row is a total.

    Returns:
        Lines, the last with its newline.
    """
    from rich.box import Box
    from rich.table import Table
    from rich.text import Text

    chosen = fit(columns, width)
    table = Table(box=Box(_BOX), pad_edge=False, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for column, wide in zip(chosen, _widths(chosen, width), strict=True):
        table.add_column(
            Text(column.header),
            justify="left" if column.left else "right",
            overflow="ellipsis" if column.left else "fold",
            no_wrap=True,
            width=wide,
            style=column.style,
        )
    rows = max((len(column.cells) for column in chosen), default=0)
    for number in range(rows):
        cells = [
            Text(column.cells[number], style=column.styles[number] if column.styles else "")
            for column in chosen
        ]
        last = number == rows - 1
        table.add_row(
            *cells, style="bold" if last_bold and last else "", end_section=last_bold and number == rows - 2
        )
    return _rendered(table, width=width, colour=colour)


def _rendered(item: object, *, width: int, colour: bool) -> str:
    from rich.console import Console

    out = io.StringIO()
    console = Console(
        file=out, width=width, force_terminal=colour, color_system="standard" if colour else None, markup=False,
        emoji=False, highlight=False, legacy_windows=False, no_color=not colour,
    )  # fmt: skip
    console.print(item)
    return "".join(line.rstrip() + "\n" for line in out.getvalue().splitlines())


def paint(text: str, style: str, *, colour: bool) -> str:
    """Colour text of our own: `bold`, `dim`, `red`, `yellow`, `green`."""
    codes = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
    return f"\x1b[{codes[style]}m{text}\x1b[0m" if colour and text else text


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """Write rows as CSV, the first usually the names; every cell is safe for spreadsheets and terminals."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows([csv_cell(cell) for cell in row] for row in rows)
    return out.getvalue()


def markdown(columns: Sequence[Column]) -> str:
    """Write a table as GitHub's Markdown has it."""
    shown = [column for column in columns if not column.decoration]
    lines = [
        "| " + " | ".join(markdown_cell(column.header) for column in shown) + " |",
        "| " + " | ".join(":---" if column.left else "---:" for column in shown) + " |",
    ]
    lines += [
        "| " + " | ".join(markdown_cell(cell) for cell in row) + " |"
        for row in zip(*(column.cells for column in shown), strict=True)
    ]
    return "\n".join(lines) + "\n"
