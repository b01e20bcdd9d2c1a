"""`publish`: requests as a table that other engines read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ...presentation.numbers import several
from .. import options as opt
from ..render.terminal import dumps, safe

if TYPE_CHECKING:
    from ...reader.publish import PublishReport

__all__ = ["app"]

app = typer.Typer(rich_markup_mode="rich")


@app.command(
    epilog="Examples:\n\n"
    "\b\n  llm-logging publish --root s3://bucket/llm --to s3://bucket/table --since 7d\n"
    "  llm-logging publish --to s3://bucket/table --ddl athena"
)
def publish(
    root: opt.Root = None,
    *,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="URL",
            help="The table: s3://bucket/prefix, gs://..., az://... or a folder.",
            show_default=False,
        ),
    ],
    project: opt.Project = None,
    since: opt.Since = None,
    until: opt.Until = None,
    cache_dir: opt.CacheDir = None,
    prices: opt.Prices = None,
    incomplete: Annotated[
        bool,
        typer.Option(
            "--incomplete", help="Also publish days of which a host has not reported yet.", show_default=False
        ),
    ] = False,
    ddl: Annotated[
        str | None,
        typer.Option(
            "--ddl",
            metavar="ENGINE",
            show_default=False,
            help="Print how an engine reads the table, and do nothing else: duckdb, athena, bigquery, clickhouse, spark.",
        ),
    ] = None,
    as_json: opt.AsJson = False,
) -> None:
    """Write closed days of requests, folded and priced, as Parquet files that Athena, BigQuery, ClickHouse or Spark read.

    A day is one file, day=2026-01-15/revision=0/requests.parquet. Where late lines change a day, the whole day is written again as
    the next revision; the newest revision of a day counts.
    """  # fmt: skip
    from ...files.objects import open_store
    from ...reader.publish import create_table
    from ...reader.publish import publish as publish_table
    from ..query import Question

    store = open_store(to)
    if ddl is not None:
        opt.write(create_table(ddl, store.url))
        return
    question = Question(
        root=root, project=project, since=since, until=until, cache_dir=cache_dir, prices=prices
    )
    with question.reading() as source:
        report = publish_table(store, question.scope(), question.options(), incomplete=incomplete, **source)
    _say_json(report) if as_json else _say(report)


def _say(report: PublishReport) -> None:
    for day in report.days:
        again = f", revision {day.revision}" if day.revision else ""
        opt.write(f"{day.day}: {several(day.requests, 'request', 'requests')}{again}")
    if report.open_days:
        why = f"; hosts are known up to {report.fresh_until}" if report.fresh_until else ""
        opt.note(f"{several(len(report.open_days), 'day is', 'days are')} not closed yet{why}")
    if report.undated:
        opt.note(f"{several(report.undated, 'request has', 'requests have')} no start, and no day")
    opt.write(
        f"{several(len(report.days), 'day', 'days')} written, {len(report.unchanged)} unchanged in {safe(report.table)}"
    )


def _say_json(report: PublishReport) -> None:
    days = [
        {"day": str(one.day), "revision": one.revision, "requests": one.requests, "key": one.key}
        for one in report.days
    ]
    fields = {
        "table": report.table,
        "days": days,
        "unchanged": [str(day) for day in report.unchanged],
        "open_days": [str(day) for day in report.open_days],
        "undated": report.undated,
        "fresh_until": report.fresh_until,
    }
    opt.write(dumps(fields))
