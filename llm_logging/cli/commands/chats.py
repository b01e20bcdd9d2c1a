"""`chats` and `tree`: a row per chat, and what a request called."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any

import typer

from ...presentation.escaping import answer_json
from ...presentation.numbers import DASH, count, duration, money
from ...presentation.times import zone
from .. import options as opt
from ..render.table import Column, draw, markdown, paint
from ..render.terminal import csv_cell, safe, show_time, use_colour, width

__all__ = ["app"]

app = typer.Typer(rich_markup_mode="rich")


class ChatSort(StrEnum):
    """Name what chats are sorted by."""

    START = "start"
    COST = "cost"
    TURNS = "turns"
    REQUESTS = "requests"
    TOKENS = "tokens"
    ERRORS = "errors"
    LATENCY = "latency"
    WALL_TIME = "wall_time"


@app.command(
    epilog="Examples:\n\n"
    "\b\n  llm-logging chats --since 7d\n"
    "  llm-logging chats --project shop --sort cost --limit 10\n"
    "  llm-logging chats --where user=u-17 --format csv"
)
def chats(
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
    sort: Annotated[
        ChatSort, typer.Option("--sort", help="The largest first.", rich_help_panel=opt.LOOK)
    ] = ChatSort.START,
    limit: Annotated[
        int,
        typer.Option(
            "--limit", "-n", min=1, max=10_000, help="At most so many chats.", rich_help_panel=opt.LOOK
        ),
    ] = 20,
    form: opt.Format = opt.TableFormat.TABLE,
) -> None:
    """List chats: turns, wall time, tokens, cost, errors and models of each, the latest first."""
    from ...reader.conversations import get_chats
    from ..query import Question

    question = Question(
        root=root, files=opt.all_files(files, paths), project=project, chat=chat, since=since, until=until, tz=tz,
        where=where or (), cache_dir=cache_dir, use_cache=not no_cache, prices=prices,
    )  # fmt: skip
    with question.reading() as source:
        report = get_chats(question.scope(), question.options(), sort=sort.value, limit=limit, **source)
    match form:
        case opt.TableFormat.JSON:
            opt.write(answer_json(report))
        case opt.TableFormat.CSV:
            opt.write(_csv(report))
        case opt.TableFormat.MARKDOWN:
            opt.write(markdown(_columns(report, tz)))
        case _:
            opt.write(draw(_columns(report, tz), width=width(), colour=use_colour()))
            if report.total_chats > len(report.chats):
                opt.note(f"{len(report.chats):,} of {report.total_chats:,} chats; --limit shows more")


def _columns(report: Any, tz: str) -> list[Column]:
    rows = report.chats
    last = [row.last_request for row in rows]
    costs = [
        money(row.total_cost, mark="≥" if row.unpriced_requests and row.total_cost is not None else "~")
        for row in rows
    ]
    return [
        Column("chat", [safe(row.chat_id or "(none)") for row in rows], left=True, style="cyan"),
        Column("project", [safe(row.project_id or "(none)") for row in rows], left=True, rank=4),
        Column("last request", [show_time(at.astimezone(zone(tz)), "full")[:16] if at else DASH for at in last],
               left=True, rank=5, style="dim"),
        Column("turns", [count(row.turns) for row in rows]),
        Column("requests", [count(row.requests) for row in rows], rank=6),
        Column("failed", [count(row.failed_requests) if row.failed_requests else DASH for row in rows], rank=2,
               styles=["red" if row.failed_requests else "dim" for row in rows]),
        Column("wall time", [duration(row.wall_time_ms) for row in rows], rank=3),
        Column("tokens", [count(row.total_tokens) for row in rows], rank=2),
        Column("cost", costs),
        Column("models", [safe(", ".join(row.models)) for row in rows], left=True, rank=7),
    ]  # fmt: skip


def _csv(report: Any) -> str:
    import csv
    import io

    from ...reader.conversations import ChatSummary

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(list(ChatSummary.model_fields))
    for row in report.chats:
        values = row.model_dump(mode="json")
        values["models"] = "; ".join(row.models)
        writer.writerow([csv_cell(value) for value in values.values()])
    return out.getvalue()


@app.command(
    epilog="Examples:\n\n\b\n  llm-logging tree da258d681c0e\n  llm-logging tree da258d681c0e --json"
)
def tree(
    request_id: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="The id of any request of it, or how it begins or ends.", show_default=False
        ),
    ],
    paths: opt.Paths = None,
    *,
    root: opt.Root = None,
    project: opt.Project = None,
    files: opt.Files = None,
    prices: opt.Prices = None,
    as_json: opt.AsJson = False,
) -> None:
    """Show the tree of calls that a request belongs to, by parent_id, with own and rolled-up cost."""
    from ...reader.conversations import get_request_tree
    from ..query import Question

    question = Question(root=root, files=opt.all_files(files, paths), project=project)
    source = question.source()
    found = get_request_tree(
        request_id, question.scope(), root=source.get("root"), files=source.get("files"), prices=prices
    )
    if as_json:
        opt.write(answer_json(found))
        return
    rows = list(_nodes(found.root, "", ""))
    columns = [
        Column("request", [f"{lead}{_name(node)}" for lead, node in rows], left=True),
        Column("id", [safe(node.id)[-12:] for _, node in rows], left=True, rank=3,
               styles=["bold" if node.id == found.asked else "dim" for _, node in rows]),
        Column("status", [safe(node.error_code or node.status or DASH) for _, node in rows], left=True,
               styles=["red" if node.status in {"error", "timeout"} else "" for _, node in rows]),
        Column("latency", [duration(node.latency_ms) for _, node in rows], rank=2),
        Column("tokens", [count(node.own_tokens) for _, node in rows], rank=2),
        Column("own cost", [money(node.own_cost) for _, node in rows], rank=1),
        Column("with all below",
               [money(node.total_cost, mark="≥" if node.unpriced and node.total_cost else "") for _, node in rows]),
    ]  # fmt: skip
    opt.write(draw(columns, width=width(), colour=use_colour()))
    if found.cut:
        opt.write(paint("  … the tree has more requests than are shown", "dim", colour=use_colour()))


def _name(node: Any) -> str:
    return safe(" ".join(part for part in (node.operation or node.request_type, node.model) if part))


def _nodes(node: Any, lead: str, below: str) -> Iterator[tuple[str, Any]]:
    yield lead, node
    for place, child in enumerate(node.children):
        last = place == len(node.children) - 1
        yield from _nodes(child, f"{below}{'└─ ' if last else '├─ '}", f"{below}{'   ' if last else '│  '}")
