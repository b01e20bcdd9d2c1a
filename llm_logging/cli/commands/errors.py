"""`errors`: what failed, how often, where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer

from ...models.stats import Figures, Stats
from ...presentation.numbers import bar, count, several, share
from .. import options as opt
from ..render.stats import group_columns, title
from ..render.table import Column, draw, markdown, paint
from ..render.terminal import csv_cell, dumps, safe, use_colour, width

__all__ = ["app", "error_rows"]

app = typer.Typer(rich_markup_mode="rich")


def error_rows(stats: Stats) -> list[tuple[dict[str, str | None], str, int, Figures]]:
    """Return one row a group and error code: group, code, requests, the group's figures.

    The most frequent come first; of equally frequent ones the codes are in order, then the groups as they were.
    """
    groups: list[tuple[dict[str, str | None], Figures]] = [(row.group, row) for row in stats.breakdown]
    if not stats.group_by:
        groups = [({}, stats.summary)]
    rows = [
        (group, code, number, figures)
        for group, figures in groups
        for code, number in figures.error_codes.items()
    ]
    return sorted(rows, key=lambda row: (-row[2], row[1]))


@app.command(
    epilog="Examples:\n\n"
    "\b\n  llm-logging errors --since 24h\n"
    "  llm-logging errors --by model,http_status --format csv\n"
    "  llm-logging requests --where error.code=rate_limit   # the requests themselves"
)
def errors(
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
    by: opt.By = "model",
    limit: opt.Limit = None,
    form: opt.Format = opt.TableFormat.TABLE,
) -> None:
    """Count failed and cancelled requests by error code, and by what --by says."""
    from ..query import Question

    stats = Question(
        root=root, files=opt.all_files(files, paths), project=project, chat=chat, since=since, until=until, tz=tz,
        where=where or (), by=by, strict=strict, cache_dir=cache_dir, use_cache=not no_cache,
    ).ask()  # fmt: skip
    rows = error_rows(stats)
    hidden = max(len(rows) - limit, 0) if limit else 0
    rows = rows[: len(rows) - hidden]
    match form:
        case opt.TableFormat.JSON:
            opt.write(dumps(_report(stats, rows), indent=2))
        case opt.TableFormat.CSV:
            opt.write(_csv(stats, rows))
        case opt.TableFormat.MARKDOWN:
            opt.write(markdown(_columns(stats, rows)))
        case _:
            opt.write(_table(stats, rows, hidden))


def _report(stats: Stats, rows: Sequence[Any]) -> dict[str, Any]:
    summary = stats.summary
    named = (
        "total_requests",
        "failed_requests",
        "cancelled_requests",
        "error_rate",
        "error_codes",
        "http_statuses",
    )
    return {
        "scope": stats.scope.model_dump(mode="json"),
        "period": stats.period.model_dump(mode="json"),
        **{name: getattr(summary, name) for name in named},
        "group_by": stats.group_by,
        "breakdown": [
            {
                "group": group,
                "error_code": code,
                "requests": number,
                "total_requests": figures.total_requests,
                "cancelled_requests": figures.cancelled_requests,
            }
            for group, code, number, figures in rows
        ],
    }


def _csv(stats: Stats, rows: Sequence[Any]) -> str:
    import csv
    import io

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    counted = ("total_requests", "cancelled_requests")
    writer.writerow(["error_code", *map(csv_cell, stats.group_by), "requests", *counted])
    for group, code, number, figures in rows:
        names = [csv_cell(group.get(name)) for name in stats.group_by]
        writer.writerow([csv_cell(code), *names, number, *(getattr(figures, name) for name in counted)])
    return out.getvalue()


def _columns(stats: Stats, rows: Sequence[Any]) -> list[Column]:
    largest = max((number for _, _, number, _ in rows), default=0)
    columns = [Column("error", [safe(code) for _, code, _, _ in rows], left=True, style="red")]
    columns += group_columns(stats.group_by, [group for group, _, _, _ in rows])
    columns += [
        Column(
            "",
            [bar(number, largest) for _, _, number, _ in rows],
            rank=9,
            left=True,
            style="red",
            decoration=True,
        ),
        Column("requests", [count(number) for _, _, number, _ in rows]),
    ]
    if stats.group_by:
        # Of all that ended: `total_requests` does not hold the cancelled ones, which have rows here too.
        ended = [figures.total_requests + figures.cancelled_requests for _, _, _, figures in rows]
        shares = [share(number / all_) for (_, _, number, _), all_ in zip(rows, ended, strict=True)]
        columns.append(Column("of the group's", shares, rank=2))
    return columns


def _table(stats: Stats, rows: Sequence[Any], hidden: int) -> str:
    colour = use_colour()
    summary = stats.summary
    parts = [paint(title(stats), "bold", colour=colour) + "\n\n"]
    failed = (
        f"{count(summary.failed_requests)} of {several(summary.total_requests, 'request', 'requests')} failed"
    )
    cancelled = f", {count(summary.cancelled_requests)} were cancelled" if summary.cancelled_requests else ""
    parts.append(f"  {failed} ({share(summary.error_rate)}){cancelled}\n")
    bad = {
        status: number
        for status, number in summary.http_statuses.items()
        if not status.startswith(("2", "3"))
    }
    if bad:
        parts.append(
            "  HTTP " + ", ".join(f"{safe(status)}: {count(number)}" for status, number in bad.items()) + "\n"
        )
    if rows:
        parts.append("\n" + draw(_columns(stats, rows), width=width(), colour=colour))
    if hidden:
        parts.append(
            paint(
                f"  … {several(hidden, 'more row', 'more rows')}; --limit 0 shows all", "dim", colour=colour
            )
            + "\n"
        )
    return "".join(parts)
