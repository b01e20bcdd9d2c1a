"""`report`, `view`, `check` and `metrics`: figures for people in a page, and for cron, CI, Nagios and Prometheus."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ...presentation.escaping import answer_json, safe
from ...presentation.numbers import duration, share
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
            "--format",
            "-o",
            help="Output format. Default: by the ending of --output, else html.",
            rich_help_panel=opt.LOOK,
        ),
    ] = None,
    output: opt.Output = None,
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


@app.command(
    epilog="Examples:\n\n\b\n  llm-logging view\n  llm-logging view --root var/llm --port 8765 --no-open"
)
def view(
    *,
    root: opt.Root = None,
    cache_dir: opt.CacheDir = None,
    no_cache: opt.NoCache = False,
    prices: opt.Prices = None,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port to listen on. 0: a free one.")
    ] = 0,
    host: Annotated[
        str,
        typer.Option(
            "--host",
            metavar="ADDRESS",
            help="Address to listen on. On any other address than loopback, others can connect.",
        ),
    ] = "127.0.0.1",
    no_open: Annotated[
        bool, typer.Option("--no-open", help="Do not open a browser.", show_default=False)
    ] = False,
) -> None:
    """Show the logs in a browser, refreshed as lines come: figures, charts, requests, chats, trees, search."""
    from ...web import serve
    from ..query import Question

    source = Question(root=root, cache_dir=cache_dir, use_cache=not no_cache, prices=prices).source()

    def opened(url: str) -> None:
        opt.note(f"the view is at {url}\nPress Ctrl+C to stop.")
        if not no_open:
            import webbrowser

            webbrowser.open(url)

    serve(source.pop("root"), host=host, port=port, opened=opened, **source)


@app.command(
    epilog="Examples:\n\n"
    "\b\n  llm-logging check 'cost.today < 50' 'errors.1h < 5%' 'latency.p95.1h < 3s'\n"
    "  llm-logging check 'ttft.p95.15m < 800ms' --where model=gpt-4o\n"
    "  llm-logging check 'requests.1h > 0' --project shop --json"
)
def check(
    checks: Annotated[
        list[str],
        typer.Argument(
            metavar="CHECK...", help="figure.period < limit; see the examples.", show_default=False
        ),
    ],
    *,
    root: opt.Root = None,
    project: opt.Project = None,
    chat: opt.Chat = None,
    tz: opt.Tz = "UTC",
    where: opt.Where = None,
    files: opt.Files = None,
    cache_dir: opt.CacheDir = None,
    no_cache: opt.NoCache = False,
    prices: opt.Prices = None,
    as_json: opt.AsJson = False,
) -> None:
    """Compare figures with limits, one line each. Exit status 1 if one does not hold."""
    from ...reader.reports.checks import check as compare
    from ..query import Question

    question = Question(
        root=root, files=files, project=project, chat=chat, tz=tz, where=where or (), cache_dir=cache_dir,
        use_cache=not no_cache, prices=prices,
    )  # fmt: skip
    with question.reading(once=False) as source:
        report = compare(checks, question.scope(), question.options(), **source)
    if as_json:
        opt.write(answer_json(report))
    else:
        opt.write("".join(f"{_line(result)}\n" for result in report.results))
    if not report.ok:
        raise typer.Exit(1)


def _line(result: Any) -> str:
    note = f" ({safe(result.note)})" if result.note else ""
    value = "" if result.value is None else f" {_shown(result.figure, result.value)}"
    return f"{'OK' if result.ok else 'FAILED'}: {safe(result.check)}:{value}{note}"


def _shown(figure: str, value: float) -> str:
    head = figure.partition(".")[0]
    if head.endswith("_ms") and not figure.endswith(".n"):
        return duration(value)
    if head.endswith(("_rate", "_share")):
        return share(value)
    return f"${value:,.6g}" if head.endswith(("_cost", "_savings")) else f"{value:,.6g}"


@app.command(
    epilog="Examples:\n\n"
    "\b\n  llm-logging metrics\n"
    "  llm-logging metrics --output /var/lib/node_exporter/textfile/llm.prom    # from cron"
)
def metrics(
    *,
    root: opt.Root = None,
    project: opt.Project = None,
    cache_dir: opt.CacheDir = None,
    no_cache: opt.NoCache = False,
    prices: opt.Prices = None,
    top: Annotated[
        int,
        typer.Option(
            "--top",
            min=1,
            max=200,
            help="Most values per label; the rest become `other`.",
            rich_help_panel=opt.LOOK,
        ),
    ] = 20,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="FILE",
            help="File to write, replaced as a whole. Default: standard output.",
            rich_help_panel=opt.LOOK,
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write counters of all requests as OpenMetrics text, for Prometheus or the textfile folder of node_exporter."""
    from ...web.metrics import metrics_text
    from ..output import written
    from ..query import Question

    question = Question(
        root=root, project=project, cache_dir=cache_dir, use_cache=not no_cache, prices=prices
    )
    with question.reading() as source:
        text = metrics_text(question.scope(), top=top, **source)
    written(text, output)
