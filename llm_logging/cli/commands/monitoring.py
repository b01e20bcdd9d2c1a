"""`check` and `metrics`: figures for cron, CI, Nagios and Prometheus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ...presentation.escaping import answer_json, safe
from ...presentation.numbers import duration, share
from .. import options as opt

__all__ = ["app"]

app = typer.Typer(rich_markup_mode="rich")


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
    """Compare figures with limits; exit with 1 where one does not hold. One line each."""
    from ...reader.checks import check as compare
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
            help="So many label values; the rest is `other`.",
            rich_help_panel=opt.LOOK,
        ),
    ] = 20,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="FILE",
            help="Where to, whole or not at all; else standard output.",
            rich_help_panel=opt.LOOK,
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write counters of all requests in OpenMetrics' text form, for Prometheus and node_exporter's textfile folder."""
    from ...web.metrics import metrics_text
    from ..output import written
    from ..query import Question

    question = Question(
        root=root, project=project, cache_dir=cache_dir, use_cache=not no_cache, prices=prices
    )
    with question.reading() as source:
        text = metrics_text(question.scope(), top=top, **source)
    written(text, output)
