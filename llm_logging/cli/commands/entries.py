"""`requests`, `show`, `search`, `chats` and `tree`: what was logged, entry by entry."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any

import typer

from ...errors import ErrorCode, ValidationError
from ...files.objects import is_url
from ...presentation.escaping import answer_json
from ...presentation.numbers import DASH, count, duration, money
from ...presentation.times import zone
from .. import options as opt
from ..render.table import Column, draw, markdown, paint
from ..render.terminal import csv_cell, dumps, json_safe, safe, show_time, use_colour, width

__all__ = ["app"]

app = typer.Typer(rich_markup_mode="rich")

_PAGE = 1000

Cursor = Annotated[
    str | None,
    typer.Option(
        "--cursor", metavar="TEXT", help="Continue after an earlier page.", rich_help_panel=opt.PANEL
    ),
]
Rows = Annotated[
    int,
    typer.Option(
        "--limit", "-n", min=0, metavar="N", help="Most entries to print. 0: all.", rich_help_panel=opt.LOOK
    ),
]


class RequestSort(StrEnum):
    """Name what a list of requests is sorted by."""

    START = "start"
    COST = "cost"
    LATENCY = "latency"
    TOKENS = "tokens"


def _size(limit: int, printed: int) -> int:
    """Return how many entries to ask for next; a limit of 0 is none."""
    return min(limit - printed, _PAGE) if limit else _PAGE


@app.command(
    epilog="Examples:\n\n"
    "\b\n  llm-logging requests --since 1h --where status=error\n"
    "  llm-logging requests --project shop --where 'latency_ms>5000' -n 50\n"
    "  llm-logging requests --since 7d --sort cost -n 10    # the dearest\n"
    "  llm-logging requests --where 'cost>0.1'\n"
    "  llm-logging requests --where model~gpt-4* --format json | jq .usage.total_tokens\n"
    "  llm-logging requests --since 2026-01 --until 2026-01 -n 0 --format csv > january.csv"
)
def requests(
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
    cursor: Cursor = None,
    cache_dir: opt.CacheDir = None,
    no_cache: opt.NoCache = False,
    prices: opt.Prices = None,
    sort: Annotated[
        RequestSort, typer.Option("--sort", help="Sort, largest first.", rich_help_panel=opt.LOOK)
    ] = RequestSort.START,
    limit: Rows = 20,
    content: Annotated[
        bool,
        typer.Option(
            "--content",
            help="Include messages and responses (JSON and CSV).",
            rich_help_panel=opt.LOOK,
            show_default=False,
        ),
    ] = False,
    form: opt.Format = opt.TableFormat.TABLE,
) -> None:
    """List requests with their cost, newest first, one row per request.

    Exit status 0 if no request matches, 1 if nothing is logged yet.
    """
    from ...reader.entries import get_llm_request_logs
    from ...reader.lines.log_files import anything_logged
    from ..query import Question

    question = Question(
        root=root, files=opt.all_files(files, paths), project=project, chat=chat, since=since, until=until, tz=tz,
        where=where or (), cache_dir=cache_dir, use_cache=not no_cache, prices=prices,
    )  # fmt: skip
    filters = question.options()
    source = question.source(once=cursor is None and limit != 0)
    printed = 0
    while True:
        page = get_llm_request_logs(
            question.scope(),
            filters,
            _size(limit, printed),
            cursor,
            content=content,
            sort=sort.value,
            **source,
        )
        _print_requests(page.entries, form, tz, first=not printed)
        printed += len(page.entries)
        cursor = page.cursor
        if cursor is None or (limit and printed >= limit):
            break
    root = source.get("root")
    # What is shipped to a store has lines.
    if not printed and root is not None and not is_url(root) and not anything_logged(question.scope(), root):
        raise opt.nothing_logged(source["root"])
    if form is not opt.TableFormat.TABLE:
        return
    if not printed:
        opt.note("no request matches")
    elif cursor is not None:
        opt.note(f"{printed:,} shown; next page: --cursor {cursor}")


def _print_requests(entries: Any, form: opt.TableFormat, tz: str, *, first: bool) -> None:
    from ..render import entries as render

    if not entries:
        return
    opt.write_as(
        form,
        table=lambda: render.requests_table(entries, zone(tz), width=width(), colour=use_colour()),
        markdown=lambda: render.requests_markdown(entries, zone(tz), head=first),
        csv=lambda: render.requests_csv(entries, render.csv_names(), head=first),
        json=lambda: render.lines_json(entries),
    )


@app.command(
    epilog="Examples:\n\n"
    "\b\n  llm-logging show 8c0acce7-1d17-4427-82ce-da258d681c0e\n"
    "  llm-logging show da258d681c0e --lines\n"
    "  llm-logging show da258d681c0e --json | jq .messages"
)
def show(
    request_id: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="Id of the request, or the beginning or end of it.", show_default=False
        ),
    ],
    paths: opt.Paths = None,
    *,
    root: opt.Root = None,
    project: opt.Project = None,
    chat: opt.Chat = None,
    tz: Annotated[str, typer.Option("--tz", metavar="ZONE", help="Time zone of the times shown.")] = "UTC",
    files: opt.Files = None,
    lines: Annotated[
        bool, typer.Option("--lines", help="Print the raw lines from the files.", show_default=False)
    ] = False,
    prices: opt.Prices = None,
    as_json: opt.AsJson = False,
) -> None:
    """Show one request and its cost, with messages and response if they were logged."""
    from ...reader.entries import get_request_log
    from ..query import Question
    from ..render import entries as render

    question = Question(root=root, files=opt.all_files(files, paths), project=project, chat=chat)
    source = question.source()
    entry, raw = get_request_log(
        request_id, question.scope(), root=source.get("root"), files=source.get("files"), prices=prices
    )
    if lines:
        opt.write("".join(json_safe(line.decode("utf-8", "replace")) + "\n" for line in raw))
    elif as_json:
        opt.write(dumps(entry.model_dump(mode="json", exclude_none=True), indent=2))
    else:
        opt.write(render.request_text(entry, zone(tz), colour=use_colour()))


class SearchKind(StrEnum):
    """Name what `search` looks at."""

    REQUESTS = "requests"
    CHATS = "chats"
    EVENTS = "events"
    ALL = "all"


_KINDS: dict[SearchKind, tuple[Any, ...]] = {
    SearchKind.REQUESTS: ("llm_request",),
    SearchKind.CHATS: ("chat_message",),
    SearchKind.EVENTS: ("event",),
    SearchKind.ALL: ("llm_request", "chat_message", "event"),
}


@app.command(
    epilog="Examples:\n\n"
    "\b\n  llm-logging search 'rate limit'\n"
    "  llm-logging search invoice-4711 --project shop --since 7d\n"
    "  llm-logging search refund --kind chats --json"
)
def search(
    text: Annotated[
        str,
        typer.Argument(metavar="TEXT", help="Text to find in any value, ignoring case.", show_default=False),
    ],
    paths: opt.Paths = None,
    *,
    root: opt.Root = None,
    project: opt.Project = None,
    chat: opt.Chat = None,
    since: opt.Since = None,
    until: opt.Until = None,
    tz: opt.Tz = "UTC",
    kind: Annotated[
        SearchKind, typer.Option("--kind", "-k", help="Where to search.", rich_help_panel=opt.PANEL)
    ] = SearchKind.ALL,
    files: opt.Files = None,
    cursor: Cursor = None,
    limit: Rows = 20,
    as_json: opt.AsJson = False,
) -> None:
    """Search requests, messages, responses, events and chats for a text, newest first."""
    from ...reader.search import search_logs
    from ..query import Question
    from ..render import entries as render

    if not text:
        raise ValidationError("TEXT: expected at least one character", code=ErrorCode.INVALID_OPTIONS)
    question = Question(
        root=root,
        files=opt.all_files(files, paths),
        project=project,
        chat=chat,
        since=since,
        until=until,
        tz=tz,
    )
    options = question.options()
    source = question.source(once=cursor is None and limit != 0)
    printed = 0
    while True:
        page = search_logs(
            text, question.scope(), _size(limit, printed), cursor, kinds=_KINDS[kind], from_date=options.from_date,
            to_date=options.to_date, time_zone=options.time_zone, root=source.get("root"), files=source.get("files"),
        )  # fmt: skip
        if as_json:
            opt.write(render.lines_json(page.hits))
        else:
            opt.write(render.hits_text(page.hits, text, zone(tz), colour=use_colour()))
        printed += len(page.hits)
        cursor = page.cursor
        if cursor is None or (limit and printed >= limit):
            break
    if not printed:
        opt.note("no match")
        raise typer.Exit(1)
    if cursor is not None and not as_json:
        opt.note(f"{printed:,} shown; next page: --cursor {cursor}")


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
        ChatSort, typer.Option("--sort", help="Sort, largest first.", rich_help_panel=opt.LOOK)
    ] = ChatSort.START,
    limit: Annotated[
        int,
        typer.Option(
            "--limit", "-n", min=1, max=10_000, help="Most chats to print.", rich_help_panel=opt.LOOK
        ),
    ] = 20,
    form: opt.Format = opt.TableFormat.TABLE,
) -> None:
    """List chats: turns, wall time, tokens, cost, errors and models of each, the latest first."""
    from ...reader.reports.conversations import get_chats
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
            opt.write(_chats_csv(report))
        case opt.TableFormat.MARKDOWN:
            opt.write(markdown(_chat_columns(report, tz)))
        case _:
            opt.write(draw(_chat_columns(report, tz), width=width(), colour=use_colour()))
            if report.total_chats > len(report.chats):
                opt.note(f"{len(report.chats):,} of {report.total_chats:,} chats; --limit shows more")


def _chat_columns(report: Any, tz: str) -> list[Column]:
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


def _chats_csv(report: Any) -> str:
    import csv
    import io

    from ...reader.reports.conversations import ChatSummary

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
    from ...reader.reports.conversations import get_request_tree
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
        Column("request", [f"{lead}{_node_name(node)}" for lead, node in rows], left=True),
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


def _node_name(node: Any) -> str:
    return safe(" ".join(part for part in (node.operation or node.request_type, node.model) if part))


def _nodes(node: Any, lead: str, below: str) -> Iterator[tuple[str, Any]]:
    yield lead, node
    for place, child in enumerate(node.children):
        last = place == len(node.children) - 1
        yield from _nodes(child, f"{below}{'└─ ' if last else '├─ '}", f"{below}{'   ' if last else '│  '}")
