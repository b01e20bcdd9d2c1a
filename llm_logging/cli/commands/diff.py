"""`diff` and `prices`: two periods side by side, and what costs were computed from."""

from __future__ import annotations

from typing import Annotated

import typer

from ...clock import clock
from ...presentation.times import periods
from .. import options as opt
from ..render.terminal import use_colour, width

__all__ = ["app"]

app = typer.Typer(rich_markup_mode="rich")


@app.command(
    epilog="Examples:\n\n"
    "\b\n  llm-logging diff                       # the last 7 days against the 7 before\n"
    "  llm-logging diff 24h --by model\n"
    "  llm-logging diff 2026-02               # against 2026-01\n"
    "  llm-logging diff 2026-W03 2026-W07 --project shop --format markdown\n"
    "  llm-logging diff 2026-01-01..2026-01-07 2026-02-01..2026-02-07"
)
def diff(
    before: Annotated[
        str | None,
        typer.Argument(
            metavar="BEFORE",
            help="A period, or a duration such as 7d: the last 7 days against the 7 before.",
            show_default=False,
        ),
    ] = None,
    after: Annotated[
        str | None, typer.Argument(metavar="AFTER", help="The later period.", show_default=False)
    ] = None,
    *,
    root: opt.Root = None,
    project: opt.Project = None,
    chat: opt.Chat = None,
    tz: opt.Tz = "UTC",
    where: opt.Where = None,
    files: opt.Files = None,
    orphaned_after: opt.OrphanedAfter = None,
    strict: opt.Strict = False,
    cache_dir: opt.CacheDir = None,
    no_cache: opt.NoCache = False,
    prices_file: opt.Prices = None,
    by: opt.By = None,
    form: opt.Format = opt.TableFormat.TABLE,
    camel: opt.Camel = False,
) -> None:
    """Compare two periods: absolute and relative changes of every figure."""
    from ...reader.compare import compare_stats
    from ..query import Question
    from ..render import diff as render
    from ..render.stats import as_json

    question = Question(
        root=root, files=files, project=project, chat=chat, tz=tz, where=where or (), by=by, orphaned_after=orphaned_after,
        strict=strict, cache_dir=cache_dir, use_cache=not no_cache, prices=prices_file,
    )  # fmt: skip
    first, second = periods(before, after, now=clock().now(), tz=tz)
    with question.reading(once=False) as source:
        answer = compare_stats(
            question.scope(),
            question.options(from_date=first[0], to_date=first[1]),
            question.options(from_date=second[0], to_date=second[1]),
            **source,
        )
    opt.write_as(
        form,
        table=lambda: render.comparison_table(answer, width=width(), colour=use_colour()),
        markdown=lambda: render.comparison_markdown(answer),
        csv=lambda: render.comparison_csv(answer),
        json=lambda: as_json(answer, camel=camel),
    )


@app.command(
    epilog="Examples:\n\n"
    "\b\n  llm-logging prices --since 30d\n"
    "  llm-logging prices --prices rates.toml\n"
    "  llm-logging prices --update"
)
def prices(
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
    cache_dir: opt.CacheDir = None,
    no_cache: opt.NoCache = False,
    prices_file: opt.Prices = None,
    update: Annotated[
        bool,
        typer.Option(
            "--update",
            help="Download the newest price list and use it for this report. Nothing else uses the network.",
            show_default=False,
        ),
    ] = False,
    form: opt.Format = opt.TableFormat.TABLE,
    camel: opt.Camel = False,
) -> None:
    """Show the rates behind the costs: which rate, from which price list, for how many requests."""
    from ...reader.price_report import get_prices
    from ..query import Question
    from ..render import diff as render
    from ..render.stats import as_json
    from ..render.table import markdown

    question = Question(
        root=root, files=opt.all_files(files, paths), project=project, chat=chat, since=since, until=until, tz=tz,
        where=where or (), cache_dir=cache_dir, use_cache=not no_cache, prices=prices_file,
    )  # fmt: skip
    if update:
        from ...reader.pricing.rates import update_prices

        update_prices()
    with question.reading() as source:
        report = get_prices(question.scope(), question.options(), **source)
    opt.write_as(
        form,
        table=lambda: render.prices_table(report, width=width(), colour=use_colour()),
        markdown=lambda: markdown(render.prices_columns(report.uses)),
        csv=lambda: render.prices_csv(report),
        json=lambda: as_json(report, camel=camel),
    )
