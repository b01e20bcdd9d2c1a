"""`report` and `view`: the same page as a file, and live."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .. import options as opt

__all__ = ["app"]

app = typer.Typer(rich_markup_mode="rich")


class ReportFormat(StrEnum):
    """Name the forms of a report."""

    HTML = "html"
    SVG = "svg"
    PNG = "png"
    MARKDOWN = "markdown"


@app.command(
    epilog="Examples:\n\n"
    "\b\n  llm-logging report --since 30d --output june.html\n"
    "  llm-logging report --since 7d --by project,model --output week.html --content\n"
    "  llm-logging report --since 24h --output day.png    # for a chat\n"
    "  llm-logging report --since 30d --format markdown > june.md"
)
def report(
    *,
    root: opt.Root = None,
    project: opt.Project = None,
    chat: opt.Chat = None,
    since: opt.Since = None,
    until: opt.Until = None,
    tz: opt.Tz = "UTC",
    where: opt.Where = None,
    files: opt.Files = None,
    cache_dir: opt.CacheDir = None,
    no_cache: opt.NoCache = False,
    prices: opt.Prices = None,
    by: opt.By = None,
    content: Annotated[
        bool,
        typer.Option(
            "--content",
            help="Include prompts and responses of the requests with the highest cost.",
            rich_help_panel=opt.LOOK,
            show_default=False,
        ),
    ] = False,
    form: Annotated[
        ReportFormat | None,
        typer.Option(
            "--format", "-o", help="Else by the ending of --output, else html.", rich_help_panel=opt.LOOK
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", metavar="FILE", help="Where to; else standard output.", rich_help_panel=opt.LOOK
        ),
    ] = None,
) -> None:
    """Write a report: figures, charts, rankings, errors and prices in one file that needs no network."""
    from ...web.report.page import report_bytes, write_report
    from ..output import written
    from ..query import Question

    question = Question(
        root=root, files=files, project=project, chat=chat, since=since, until=until, tz=tz, where=where or (), by=by,
        cache_dir=cache_dir, use_cache=not no_cache, prices=prices,
    )  # fmt: skip
    with question.reading(once=False) as source:
        if output is None:
            chosen = form.value if form is not None else "html"
            data = report_bytes(
                question.scope(), question.options(), format=chosen, content=content, **source
            )
            written(data, None)
            return
        write_report(
            output, question.scope(), question.options(), format=form.value if form is not None else None,
            content=content, **source,
        )  # fmt: skip
    opt.note(f"the report is in {output}")
