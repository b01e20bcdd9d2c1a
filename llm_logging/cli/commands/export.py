"""`export`: all requests as a file for other programs."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import IO, Annotated

import typer

from ...errors import ErrorCode, ValidationError
from ...presentation.numbers import several
from .. import options as opt
from ..render.terminal import csv_cell, dumps

__all__ = ["app"]

app = typer.Typer(rich_markup_mode="rich")


class ExportFormat(StrEnum):
    """Name the ways to export."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


@app.command(
    epilog="Examples:\n\n"
    "\b\n  llm-logging export --since 2026-01 --until 2026-01 --format parquet --output january.parquet\n"
    "  llm-logging export --project shop --format csv > shop.csv\n"
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
        ExportFormat, typer.Option("--format", "-o", help="How to write it.", rich_help_panel=opt.LOOK)
    ] = ExportFormat.JSONL,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", metavar="FILE", help="Where to; else standard output.", rich_help_panel=opt.LOOK
        ),
    ] = None,
) -> None:
    """Write every request, its lines folded, with its list price: the oldest first, without messages and responses."""
    from ...reader.export import export_requests, nested
    from ..query import Question

    question = Question(
        root=root, files=opt.all_files(files, paths), project=project, chat=chat, since=since, until=until, tz=tz,
        where=where or (), strict=strict, cache_dir=cache_dir, use_cache=not no_cache, prices=prices,
    )  # fmt: skip
    if form is ExportFormat.PARQUET and output is None:
        raise ValidationError(
            "export: expected --output FILE beside --format parquet", code=ErrorCode.INVALID_OPTIONS
        )
    with ExitStack() as stack:
        with question.reading() as source:
            found = stack.enter_context(export_requests(question.scope(), question.options(), **source))
        if form is ExportFormat.PARQUET:
            assert output is not None
            opt.note(f"{several(found.write_parquet(output), 'request', 'requests')} in {output}")
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
    from datetime import datetime
    from decimal import Decimal

    from ...clock import format_time
    from ...reader.sql.aggregate import money_text

    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, Decimal):
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
