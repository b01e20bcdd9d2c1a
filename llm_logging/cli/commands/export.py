"""`export`, `publish` and `sql`: requests as a file or a table for other programs, and questions in SQL."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from decimal import Decimal as _Money
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Final

import typer

from ...errors import ErrorCode, ValidationError
from ...presentation.numbers import several
from .. import options as opt
from ..render.terminal import csv_cell, dumps, safe

if TYPE_CHECKING:
    from ...engines.published_table import PublishReport

__all__ = ["app"]

app = typer.Typer(rich_markup_mode="rich")


class ExportFormat(StrEnum):
    """Name the ways to export."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"
    SQLITE = "sqlite"
    DUCKDB = "duckdb"


_TO_FILES: Final = frozenset({ExportFormat.PARQUET, ExportFormat.SQLITE, ExportFormat.DUCKDB})


@app.command(
    epilog="Examples:\n\n"
    "\b\n  llm-logging export --since 2026-01 --until 2026-01 --format parquet --output january.parquet\n"
    "  llm-logging export --project shop --format csv > shop.csv\n"
    "  llm-logging export --format sqlite --output llm.db && datasette llm.db\n"
    "  llm-logging export --where status=error | jq .error.code\n"
    '  duckdb -c "select model, sum(\\"usage.total_tokens\\") from \'january.parquet\' group by all"'
)
def export(
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
    strict: opt.Strict = False,
    cache_dir: opt.CacheDir = None,
    no_cache: opt.NoCache = False,
    prices: opt.Prices = None,
    form: Annotated[
        ExportFormat, typer.Option("--format", "-o", help="Output format.", rich_help_panel=opt.LOOK)
    ] = ExportFormat.JSONL,
    output: opt.Output = None,
) -> None:
    """Write every request with its list price, oldest first, without messages and responses."""
    from ...reader.export import export_requests, nested
    from ..query import Question

    question = Question(
        root=root, files=opt.all_files(files, paths), project=project, chat=chat, since=since, until=until, tz=tz,
        where=where or (), strict=strict, cache_dir=cache_dir, use_cache=not no_cache, prices=prices,
    )  # fmt: skip
    if form in _TO_FILES and output is None:
        raise ValidationError(
            f"export: expected --output FILE beside --format {form}", code=ErrorCode.INVALID_OPTIONS
        )
    with ExitStack() as stack:
        with question.reading() as source:
            found = stack.enter_context(export_requests(question.scope(), question.options(), **source))
        if output is not None and form in _TO_FILES:
            write = {
                ExportFormat.PARQUET: found.write_parquet,
                ExportFormat.SQLITE: found.write_sqlite,
                ExportFormat.DUCKDB: found.write_duckdb,
            }[form]
            opt.note(f"{several(write(output), 'request', 'requests')} in {output}")
            return
        with _opened(output) as target:
            if form is ExportFormat.JSONL:
                for row in found.rows():
                    target.write(dumps(nested(row)) + "\n")
                return
            writer = csv.writer(target, lineterminator="\r\n")
            writer.writerow(found.names)
            for row in found.rows():
                writer.writerow([_cell(value) for value in row.values()])


def _cell(value: object) -> object:
    from ...clock import format_time
    from ...reader.sql.aggregate import money_text

    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, _Money):
        return money_text(value)
    return dumps(value) if isinstance(value, (dict, list)) else csv_cell(value)


@contextmanager
def _opened(output: Path | None) -> Iterator[IO[str]]:
    """Open where the rows go; a file appears when it is whole."""
    if output is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    import os

    unfinished = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8", newline="") as target:  # noqa: PTH123  a descriptor
            yield target
        unfinished.replace(output)
    finally:
        unfinished.unlink(missing_ok=True)


@app.command(
    epilog="Tables: requests (folded and priced), calls, lines, messages, events.\n\n"
    "Examples:\n\n"
    '\b\n  llm-logging sql "select model, sum(cost) from requests group by all order by 2 desc"\n'
    "  llm-logging sql \"select date_trunc('day', timestamp_start) as day, count(*) from requests group by all\" --since 30d\n"
    '  llm-logging sql "describe requests"'
)
def sql(
    query: Annotated[
        str, typer.Argument(metavar="QUERY", help="One SELECT, in DuckDB's SQL.", show_default=False)
    ],
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
    prices: opt.Prices = None,
    limit: Annotated[
        int,
        typer.Option("--limit", "-n", min=0, help="Most rows to print. 0: all.", rich_help_panel=opt.LOOK),
    ] = 1000,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout", min=0.1, metavar="SECONDS", help="Most seconds to run.", rich_help_panel=opt.LOOK
        ),
    ] = 60.0,
    form: opt.Format = opt.TableFormat.TABLE,
) -> None:
    """Answer a question in SQL. Only reading statements run, without access to files or the network."""
    import itertools

    from ...reader.reports.database import LogDatabase
    from ..query import Question

    question = Question(
        root=root, files=opt.all_files(files, paths), project=project, chat=chat, since=since, until=until, tz=tz,
        where=where or (), cache_dir=cache_dir, use_cache=not no_cache, prices=prices,
    )  # fmt: skip
    with question.reading() as source:
        table = LogDatabase(question.scope(), question.options(), source).sql(query, timeout=timeout)  # type: ignore[arg-type]  # the reader's own keywords
    rows = list(itertools.islice(table, limit or None))
    _print_rows(table.columns, rows, form)
    if len(table) > len(rows):
        opt.note(f"{len(rows):,} of {len(table):,} rows; --limit 0 shows all")


def _print_rows(names: list[str], rows: list[dict[str, Any]], form: opt.TableFormat) -> None:
    from ..render.table import Column, draw, markdown
    from ..render.terminal import safe, use_colour, width

    if form is opt.TableFormat.JSON:
        opt.write("".join(dumps({name: _json(value) for name, value in row.items()}) + "\n" for row in rows))
        return
    if form is opt.TableFormat.CSV:
        writer = csv.writer(sys.stdout, lineterminator="\r\n")
        writer.writerow([csv_cell(name) for name in names])
        writer.writerows([_cell(value) for value in row.values()] for row in rows)
        return
    cells = {name: [safe("" if row[name] is None else _cell(row[name])) for row in rows] for name in names}
    numeric = {
        name: all(isinstance(row[name], (int, float, _Money, type(None))) for row in rows) for name in names
    }
    columns = [Column(safe(name), cells[name], left=not numeric[name]) for name in names]
    opt.write(
        markdown(columns)
        if form is opt.TableFormat.MARKDOWN
        else draw(columns, width=width(), colour=use_colour())
    )


def _json(value: Any) -> Any:
    """Return a value as the JSON of requests has it: times as ISO 8601, money as decimal text."""
    if isinstance(value, (dict, list)):
        return value
    shown = _cell(value)
    return None if value is None else shown if isinstance(value, (datetime, _Money)) else value


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
    from ...engines.published_table import create_table
    from ...engines.published_table import publish as publish_table
    from ...files.objects import open_store
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
