"""Write the report: one file that holds all it shows, as HTML, SVG, PNG or Markdown."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Unpack

from ...clock import clock
from ...errors import ErrorCode, ValidationError
from ...models.query import StatsOptions, StatsScope
from ...models.stats import Figures, Stats
from ...presentation import numbers
from ...presentation.escaping import answer_json, markdown_cell, safe
from ...presentation.sentences import notes, span, whose
from ...reader.entries import get_llm_request_logs
from ...reader.lines.arguments import ReadingOptions, check_keywords
from ...reader.reports.overview import Overview, get_overview
from ...reader.stats import get_stats
from . import drawing
from .charts import draw_all, picture
from .pages import cards, environment, inline_json, style_sheet

__all__ = ["FORMATS", "group_table", "inline_style", "report_bytes", "write_report"]

FORMATS: Final = ("html", "svg", "png", "markdown")
_SUFFIXES: Final = {".html": "html", ".htm": "html", ".svg": "svg", ".png": "png", ".md": "markdown"}
_MOST_ROWS: Final = 500


def write_report(
    path: str | os.PathLike[str],
    scope: StatsScope | Mapping[str, Any] | None = None,
    options: StatsOptions | Mapping[str, Any] | None = None,
    *,
    format: str | None = None,  # noqa: A002  called as on the command line
    content: bool = False,
    **reading: Unpack[ReadingOptions],
) -> Path:
    """Write a report of a question into one file; it replaces what is there when it is whole.

    Args:
        path: Where to.
        scope: Which requests; None: all.
        options: Period, groups and filters, as in `get_stats`.
        format: `html`, `svg`, `png` or `markdown`; None: by the ending of the path, else `html`.
        content: Include prompts and responses of the requests with the highest cost, where they are kept.
        **reading: `root` and the other keywords of `get_stats`.

    Returns:
        The path.

    Raises:
        ConfigurationError: `MISSING_DEPENDENCY` without the extra `report`.
        ValidationError: A format that is none; and what `get_stats` raises.
    """
    check_keywords("write_report", reading)
    target = Path(path)
    chosen = format or _SUFFIXES.get(target.suffix.lower(), "html")
    data = report_bytes(scope, options, format=chosen, content=content, **reading)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123  a descriptor
            file.write(data)
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    return target


def report_bytes(
    scope: StatsScope | Mapping[str, Any] | None = None,
    options: StatsOptions | Mapping[str, Any] | None = None,
    *,
    format: str = "html",  # noqa: A002  called as on the command line
    content: bool = False,
    **reading: Unpack[ReadingOptions],
) -> bytes:
    """Return a report of a question; see `write_report`."""
    if format not in FORMATS:
        message = f"format: expected one of {', '.join(FORMATS)}, got {format!r:.80}"
        raise ValidationError(message, code=ErrorCode.INVALID_OPTIONS, reasons=(message,))
    if format == "html":
        environment()
    if format != "markdown":
        drawing.warm_up()
    asked, given = StatsScope.of(scope, "scope"), StatsOptions.of(options, "options")
    # Every question of one report is about the same moment.
    fixed: ReadingOptions = {**reading, "now": reading.get("now") or clock().now()}
    overview = get_overview(asked, given, **fixed)
    heading = f"LLM requests of {whose(asked)}, {span(overview.stats.period)}"
    if format in {"svg", "png"}:
        spec = picture(draw_all(overview), heading)
        return drawing.as_svg(spec).encode() if format == "svg" else drawing.as_png(spec)
    grouped = get_stats(asked, given, **fixed) if given.group_by else None
    if format == "markdown":
        return _markdown(overview, heading, grouped).encode()
    texts: list[Any] = []
    if content:
        texts = get_llm_request_logs(
            asked, given, 20, root=reading.get("root"), cache=reading.get("cache", True), sort="cost",
            cache_dir=reading.get("cache_dir"), now=fixed["now"], prices=reading.get("prices"),
        ).entries  # fmt: skip
    head, rows = group_table(grouped) if grouped is not None else ([], [])
    return _page(overview, heading, grouped, head, rows, texts, fixed["now"]).encode()


def _page(
    overview: Overview,
    heading: str,
    grouped: Stats | None,
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    texts: Sequence[Any],
    made: datetime | None,
) -> str:
    figures = overview.stats.summary
    page: str = environment().get_template("report.html").render(
        title=heading[:200], style=inline_style(), overview=overview, cards=cards(figures, overview.before),
        charts=draw_all(overview), grouped=grouped, group_head=head, group_rows=rows, texts=texts, made=made,
        total=float(figures.total_cost or 0), stats_json=inline_json(answer_json(overview.stats, indent=None)),
    )  # fmt: skip
    return page


def inline_style() -> Any:
    """Return the style sheet as it may stand in a page: our own, with nothing from logs."""
    return drawing.require("markupsafe", "report", "a page").Markup(style_sheet())


def group_table(stats: Stats) -> tuple[list[str], list[list[str]]]:
    """Return the rows of an answer by its groups as text, those with the highest cost first where there are many."""
    rows = list(stats.breakdown)
    if len(rows) > _MOST_ROWS:
        rows = sorted(rows, key=lambda row: -float(row.total_cost or 0))[:_MOST_ROWS]
    total = float(stats.summary.total_cost or 0)
    head = [*stats.group_by, "requests", "failed", "tokens", "p50", "p95", "cost", "of all"]
    return head, [
        [*(row.group.get(name) or "(none)" for name in stats.group_by), *_figures(row, total)] for row in rows
    ]


def _figures(row: Figures, total: float) -> list[str]:
    return [
        numbers.count(row.total_requests), numbers.count(row.failed_requests), numbers.count(row.total_tokens),
        numbers.duration(row.latency_ms.p50), numbers.duration(row.latency_ms.p95), numbers.cost(row),
        numbers.share(float(row.total_cost or 0) / total if total else None),
    ]  # fmt: skip


def _markdown(overview: Overview, heading: str, grouped: Stats | None) -> str:
    parts = [f"# {markdown_cell(heading)}", ""]
    parts += [f"> {markdown_cell(line)}" for line in notes(overview.stats.summary, overview.stats.quality)]
    parts += ["", *_rows(["figure", "value", "change"], [[c.name, c.value, c.change] for c in cards(
        overview.stats.summary, overview.before)])]  # fmt: skip
    for chart in draw_all(overview):
        parts += ["", f"## {markdown_cell(chart.title)}", "", markdown_cell(chart.summary), ""]
        parts += _rows(chart.head, chart.rows)
    if grouped is not None:
        head, rows = group_table(grouped)
        parts += ["", f"## By {markdown_cell(', '.join(grouped.group_by))}", "", *_rows(head, rows)]
    for name, ranked in overview.ranked.items():
        parts += ["", f"## {name.capitalize()} with the highest cost", ""]
        parts += _rows([name[:-1], "cost", "requests", "tokens"], [
            [safe(row.name or "(none)"), numbers.money(row.total_cost, mark="~"), numbers.count(row.requests),
             numbers.count(row.total_tokens)] for row in ranked])  # fmt: skip
    if overview.errors.breakdown:
        parts += ["", "## Errors by code", ""]
        parts += _rows(
            ["code", "requests"],
            [[e.error_code, numbers.count(e.requests)] for e in overview.errors.breakdown],
        )
    return "\n".join(parts) + "\n"


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head)] if head else []
    text = [
        "| " + " | ".join(str(cell) if cell == "---" else markdown_cell(cell) for cell in line) + " |"
        for line in lines
    ]
    return text + ["| " + " | ".join(markdown_cell(str(cell)[:200]) for cell in row) + " |" for row in rows]
