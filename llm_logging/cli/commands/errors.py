"""`errors`: what failed, how often, when last, where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import typer

from ...presentation.escaping import answer_json
from ...presentation.numbers import DASH, bar, count, several, share
from ...presentation.times import zone
from .. import options as opt
from ..render.stats import group_columns, title
from ..render.table import Column, csv_text, draw, markdown, paint
from ..render.terminal import safe, shorten, show_time, use_colour, width

if TYPE_CHECKING:
    from ...reader.reports.error_report import ErrorReport

__all__ = ["app"]

app = typer.Typer(rich_markup_mode="rich")

_MESSAGE: Final = 100


@app.command(
    epilog="Examples:\n\n"
    "\b\n  llm-logging errors --since 24h\n"
    "  llm-logging errors --by model\n"
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
    by: opt.By = None,
    limit: opt.Limit = None,
    form: opt.Format = opt.TableFormat.TABLE,
) -> None:
    """Count failed and cancelled requests by error code and by group, with the last time and one message."""
    from ...reader.reports.error_report import get_errors
    from ..query import Question

    question = Question(
        root=root, files=opt.all_files(files, paths), project=project, chat=chat, since=since, until=until, tz=tz,
        where=where or (), by=by, strict=strict, cache_dir=cache_dir, use_cache=not no_cache,
    )  # fmt: skip
    with question.reading() as source:
        report = get_errors(question.scope(), question.options(), **source)
    hidden = max(len(report.breakdown) - limit, 0) if limit else 0
    report.breakdown = report.breakdown[: len(report.breakdown) - hidden]
    opt.write_as(
        form,
        table=lambda: _table(report, tz, hidden),
        markdown=lambda: markdown(_columns(report, tz)),
        csv=lambda: _csv(report),
        json=lambda: answer_json(report),
    )


def _csv(report: ErrorReport) -> str:
    counted = ("total_requests", "cancelled_requests", "last_request", "request_id", "message")
    lines: list[list[object]] = [["error_code", *report.group_by, "requests", *counted]]
    for row in report.breakdown:
        values = row.model_dump(mode="json")
        names = [row.group.get(name) for name in report.group_by]
        lines.append([row.error_code, *names, row.requests, *(values[name] for name in counted)])
    return csv_text(lines)


def _columns(report: ErrorReport, tz: str) -> list[Column]:
    rows = report.breakdown
    largest = max((row.requests for row in rows), default=0)
    columns = [Column("error", [safe(row.error_code) for row in rows], left=True, style="red")]
    columns += group_columns(report.group_by, [row.group for row in rows])
    bars = [bar(row.requests, largest) for row in rows]
    columns += [
        Column("", bars, rank=9, left=True, style="red", decoration=True),
        Column("requests", [count(row.requests) for row in rows]),
    ]
    # Of all that ended: `total_requests` does not hold the cancelled ones, which have rows here too.
    shares = [share(row.requests / (row.total_requests + row.cancelled_requests)) for row in rows]
    columns.append(Column("of the group's" if report.group_by else "of all", shares, rank=2))
    last = [row.last_request for row in rows]
    shown = [show_time(at.astimezone(zone(tz)), "full")[:16] if at is not None else DASH for at in last]
    columns.append(Column("last", shown, left=True, rank=5, style="dim"))
    messages = [shorten(safe(row.message or ""), _MESSAGE) for row in rows]
    columns.append(Column("message of the last", messages, left=True, rank=4))
    return columns


def _table(report: ErrorReport, tz: str, hidden: int) -> str:
    colour = use_colour()
    summary = report
    parts = [paint(title(report), "bold", colour=colour) + "\n\n"]
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
    if report.breakdown:
        parts.append("\n" + draw(_columns(report, tz), width=width(), colour=colour))
    if hidden:
        parts.append(
            paint(
                f"  … {several(hidden, 'more row', 'more rows')}; --limit 0 shows all", "dim", colour=colour
            )
            + "\n"
        )
    return "".join(parts)
