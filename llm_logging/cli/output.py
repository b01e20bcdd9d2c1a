"""Showing the answer to a question: sorted, cut, in the form that was asked for, once or again and again."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import typer

from ..errors import ErrorCode, ValidationError
from ..models.query import TIME_UNITS
from ..models.stats import Figures, Stats, StatsRow
from . import options as opt
from .query import Question
from .render.stats import Look, as_csv, as_json, as_markdown, as_table, flat
from .render.terminal import height, use_colour, width
from .render.unread import all_was_skipped, hint_for

__all__ = ["Shown", "arranged", "show", "watch", "written"]

# What the columns of the table are called, and other short names.
_SHORT: Final = {
    "requests": "total_requests",
    "tokens": "total_tokens",
    "cost": "total_cost",
    "failed": "failed_requests",
    "errors": "failed_requests",
    "pending": "pending_requests",
    "cancelled": "cancelled_requests",
    "calls": "total_calls",
    "prompt": "prompt_tokens",
    "cached": "cache_read_tokens",
    "completion": "completion_tokens",
    "latency": "average_latency_ms",
    **{name: f"latency_ms.{name}" for name in ("p50", "p90", "p95", "p99")},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """How an answer is shown.

    Attributes:
        form: Table, JSON, CSV or Markdown.
        sort: A figure (largest first), a group's name, or None for the order of the groups.
        reverse: The other way round.
        limit: At most so many rows; None and 0: all.
        camel: JSON names in camelCase.
        percentiles: All percentiles of every measure.
    """

    form: opt.TableFormat = opt.TableFormat.TABLE
    sort: str | None = None
    reverse: bool = False
    limit: int | None = None
    camel: bool = False
    percentiles: bool = False

    def check(self, groups: tuple[str, ...]) -> None:
        """Refuse a `sort` that names nothing, before a long reading."""
        if self.sort is None:
            return
        known = [*groups, "name", *_SHORT, *flat(Figures())]
        if self.sort in known:
            return
        near = get_close_matches(self.sort, known, n=4, cutoff=0.5)
        meant = f"; did you mean {', '.join(near)}?" if near else ""
        raise ValidationError(
            f"--sort: expected a group's name or a figure (requests, tokens, cost, p95, error_rate ...; all are columns "
            f"of --format csv), got {self.sort!r}{meant}",
            code=ErrorCode.INVALID_OPTIONS,
        )


def arranged(stats: Stats, shown: Shown) -> tuple[Stats, int]:
    """Sort and cut the rows of an answer.

    Returns:
        The answer with the rows to show, and how many are left out. Of times the newest stay.
    """
    rows = list(stats.breakdown)
    if not stats.group_by:
        rows = [_named(name, figures) for name, figures in stats.models.items()]
    if shown.sort is not None:
        rows = _sorted(rows, shown.sort)
    if shown.reverse:
        rows.reverse()
    limit = shown.limit or len(rows)
    hidden = max(len(rows) - limit, 0)
    by_time = shown.sort is None and bool(stats.group_by) and stats.group_by[0] in TIME_UNITS
    rows = rows[hidden:] if by_time and not shown.reverse else rows[: len(rows) - hidden]
    if stats.group_by:
        return stats.model_copy(update={"breakdown": rows}), hidden
    chosen = {str(row.group["model"]): stats.models[str(row.group["model"])] for row in rows}
    return stats.model_copy(update={"models": chosen}), hidden


def _named(model: str, figures: Figures) -> StatsRow:
    return StatsRow.model_construct(**{**dict(figures), "group": {"model": model}})


def _sorted(rows: list[StatsRow], sort: str) -> list[StatsRow]:
    if rows and (sort in rows[0].group or sort == "name"):
        from ..reader.sql.group_order import group_order

        order = group_order(list(rows[0].group) if sort == "name" else [sort])
        return sorted(rows, key=lambda row: order(row.group))
    name = _SHORT.get(sort, sort)

    def by_figure(row: StatsRow) -> tuple[bool, Any]:
        value = flat(row).get(name)
        text = isinstance(value, str)
        return value is None, (value if text else 0 if value is None else -value)

    return sorted(rows, key=by_figure)


def text_of(stats: Stats, shown: Shown, *, line: bool = False) -> str:
    """Return an answer as text."""
    arranged_stats, hidden = arranged(stats, shown)
    look = Look(width=width(), colour=use_colour(), percentiles=shown.percentiles, hidden_rows=hidden)
    return opt.text_as(
        shown.form,
        table=lambda: as_table(arranged_stats, look),
        markdown=lambda: as_markdown(arranged_stats, look),
        csv=lambda: as_csv(arranged_stats),
        json=lambda: as_json(arranged_stats, camel=shown.camel, indent=None if line else 2),
    )


def show(question: Question, shown: Shown) -> None:
    """Ask once and print the answer."""
    shown.check(question.options().group_by)
    stats = question.ask()
    opt.write(text_of(stats, shown))
    if not stats.quality.lines and question.files is None:
        raise opt.nothing_logged(opt.existing_root(question.root))
    if question.files is not None and all_was_skipped(stats.quality):
        opt.note(hint_for(question.files, stats.quality))
        raise typer.Exit(1)


def watch(question: Question, shown: Shown, *, interval: float) -> None:
    """Ask again and again until interrupted; a terminal shows the newest answer only.

    Args:
        question: What is asked each time; relative times move on.
        shown: How answers are shown; JSON is one line each.
        interval: Seconds between an answer and the next question.
    """
    shown.check(question.options().group_by)
    in_place = sys.stdout.isatty() and shown.form is opt.TableFormat.TABLE
    while True:
        stats = question.ask()
        # Home, then erase behind the new text: no flicker, and nothing of a longer answer stays. Long lines are cut, not
        # wrapped, so that each takes one row.
        opt.write(
            f"\x1b[H\x1b[2J\x1b[?7l{fitting(stats, shown, height()).rstrip()}\x1b[?7h\n"
            if in_place
            else text_of(stats, shown, line=True)
        )
        time.sleep(interval)


def fitting(stats: Stats, shown: Shown, rows: int) -> str:
    """Return an answer as a table that a screen holds.

    Args:
        stats: The answer.
        shown: How it is shown; fewer rows where they do not fit.
        rows: How many the screen has.

    Returns:
        At most one line less than the screen has rows: the last row is the cursor's.
    """
    most = max(rows - 1, 1)
    text = text_of(stats, shown)
    limit = len(arranged(stats, shown)[0].breakdown if stats.group_by else arranged(stats, shown)[0].models)
    while (over := text.count("\n") - most) > 0 and limit > 1:
        # A line more says how many rows are left out.
        limit = max(limit - max(over, 1), 1)
        text = text_of(stats, replace(shown, limit=limit))
    lines = text.splitlines(keepends=True)
    return text if len(lines) <= most else "".join(lines[:most])


def written(data: str | bytes, output: Path | None) -> None:
    """Write an answer to a file, whole or not at all, or to standard output."""
    raw = data.encode() if isinstance(data, str) else data
    if output is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(raw)
        sys.stdout.buffer.flush()
        return
    unfinished = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as target:  # noqa: PTH123  a descriptor
            target.write(raw)
        unfinished.replace(output)
    finally:
        unfinished.unlink(missing_ok=True)
