"""`stats` and its short cuts: one question, one answer."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Annotated, Any, Final

import typer

from .. import options as opt

__all__ = ["app"]

app = typer.Typer(rich_markup_mode="rich")

Percentiles = Annotated[
    bool,
    typer.Option(
        "--percentiles",
        help="Show p50, p90, p95 and p99 of every measure.",
        rich_help_panel=opt.LOOK,
        show_default=False,
    ),
]
Watch = Annotated[
    bool,
    typer.Option("--watch", help="Refresh until interrupted.", rich_help_panel=opt.LOOK, show_default=False),
]
Interval = Annotated[
    float,
    typer.Option(
        "--interval", min=0.2, metavar="SECONDS", help="Interval of --watch.", rich_help_panel=opt.LOOK
    ),
]


@app.command(
    epilog="Examples:\n\n"
    "\b\n  llm-logging stats\n"
    "  llm-logging stats --project shop --since 7d --by day,model\n"
    "  llm-logging stats --since 2026-01 --until 2026-01 --tz Europe/Berlin --format csv > january.csv\n"
    "  llm-logging stats --where status=error --where 'latency_ms>2000' --by provider\n"
    "  llm-logging stats --by attributes.tenant --sort cost --limit 10\n"
    "  llm-logging stats --since 30d --as-if gpt-4o=gpt-4o-mini --by model\n"
    "  llm-logging stats --by weekday,hour_of_day --sort cost --limit 10\n"
    "  kubectl logs deploy/app | llm-logging stats --files - --by model"
)
def stats(
    paths: opt.Paths = None,
    *,
    root: opt.Root = None,
    project: opt.Project = None,
    chat: opt.Chat = None,
    since: opt.Since = None,
    until: opt.Until = None,
    tz: opt.Tz = "UTC",
    where: opt.Where = None,
    files: opt.Files = None,
    orphaned_after: opt.OrphanedAfter = None,
    strict: opt.Strict = False,
    cache_dir: opt.CacheDir = None,
    no_cache: opt.NoCache = False,
    prices: opt.Prices = None,
    as_if: opt.AsIf = None,
    prices_as_of: opt.PricesAsOf = None,
    by: opt.By = None,
    sort: opt.Sort = None,
    reverse: opt.Reverse = False,
    limit: opt.Limit = None,
    fill_gaps: opt.FillGaps = False,
    percentiles: Percentiles = False,
    form: opt.Format = opt.TableFormat.TABLE,
    camel: opt.Camel = False,
    watch: Watch = False,
    interval: Interval = 2.0,
) -> None:
    """Count requests, tokens, cost, latency and errors."""
    from .. import output as answer
    from ..query import Question

    question = Question(
        root=root, files=opt.all_files(files, paths), project=project, chat=chat, since=since, until=until, tz=tz,
        where=where or (), by=by, fill_gaps=fill_gaps, orphaned_after=orphaned_after, strict=strict, cache_dir=cache_dir,
        use_cache=not no_cache, prices=prices, as_if=as_if, prices_as_of=prices_as_of,
    )  # fmt: skip
    shown = answer.Shown(
        form=form, sort=sort, reverse=reverse, limit=limit, camel=camel, percentiles=percentiles
    )
    if watch:
        answer.watch(question, shown, interval=interval)
    else:
        answer.show(question, shown)


_SHORT_CUTS: Final = {
    "daily": ("day", "Count by day.", "llm-logging daily --since 2026-01 --tz local --by model"),
    "weekly": ("week", "Count by ISO week.", "llm-logging weekly --project shop --limit 8"),
    "monthly": ("month", "Count by month.", "llm-logging monthly --format markdown"),
    "models": ("model", "Count by model.", "llm-logging models --since 30d --sort cost"),
    "projects": ("project", "Count by project.", "llm-logging projects --since today --percentiles"),
}


def _short_cut(group: str, text: str) -> Callable[..., None]:
    @functools.wraps(stats)
    def run(*arguments: Any, by: str | None = None, **values: Any) -> None:
        stats(*arguments, by=f"{group},{by}" if by else group, **values)

    run.__doc__ = f"{text} Takes the options of `stats`; --by adds groups."
    return run


for _name, (_group, _text, _example) in _SHORT_CUTS.items():
    app.command(_name, epilog=f"Example:\n\n\b\n  {_example}")(_short_cut(_group, _text))
