"""The pages of the live view: what each shows, from the reader's public functions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from ...models.query import StatsScope
from ...presentation.escaping import answer_json
from ...presentation.sentences import span, whose
from ...reader.entries import get_llm_request_logs, get_request_log
from ...reader.reports.conversations import RequestNode, get_chats, get_request_tree
from ...reader.reports.database import open_database
from ...reader.reports.error_report import get_errors
from ...reader.reports.overview import get_overview
from ...reader.search import search_logs
from ...reader.stats import get_stats
from ..report.charts import draw_all
from ..report.page import group_table
from ..report.pages import cards, environment, inline_json
from .state import PERIODS, State

__all__ = ["PAGES", "render_page", "render_problem"]

_ROWS: Final = 50
_GROUPS: Final = (
    "model",
    "provider",
    "project",
    "user",
    "chat",
    "day",
    "hour",
    "weekday",
    "hour_of_day",
    "status",
    "prompt_name",
)
_SORTS: Final = ("start", "cost", "latency", "tokens")
_NAVIGATION: Final = {
    "/": "Overview",
    "/charts": "Charts",
    "/requests": "Requests",
    "/chats": "Chats",
    "/search": "Search",
}


def render_page(path: str, params: Any, state: State, reading: dict[str, Any], now: datetime) -> str:
    """Return a page.

    Args:
        path: One of `PAGES`.
        params: Of the URL.
        state: What they say.
        reading: The keywords of `get_stats`.
        now: What relative times count from.

    Raises:
        What the reader's functions raise.
    """
    template, make = PAGES[path]
    values = make(params, state, {**reading, "now": now})

    def link(target: str, **changes: Any) -> str:
        query = state.query(**changes)
        return f"{target}?{query}" if query else target

    page: str = environment().get_template(template).render(
        path=path, state=state, link=link, periods=PERIODS, groups=_GROUPS, navigation=_NAVIGATION, problem=None, **values
    )  # fmt: skip
    return page


def render_problem(state: State, status: int, text: str) -> str:
    """Return the page of an error."""

    def link(target: str, **changes: Any) -> str:
        query = state.query(**changes)
        return f"{target}?{query}" if query else target

    page: str = environment().get_template("problem.html").render(
        path="", state=state, link=link, periods=PERIODS, groups=_GROUPS, navigation=_NAVIGATION, problem=text, status=status,
        title="No answer",
    )  # fmt: skip
    return page


def _home(_params: Any, state: State, reading: dict[str, Any]) -> dict[str, Any]:
    options = state.options(reading["now"], group_by=state.by)
    stats = get_stats(state.scope(), options, **reading)
    before = None
    if stats.period.start is not None:
        end = stats.period.end or reading["now"]
        earlier = state.options(
            reading["now"],
            from_date=stats.period.start - (end - stats.period.start),
            to_date=stats.period.start,
        )
        before = get_stats(state.scope(), earlier, **reading).summary
    head, rows = group_table(stats)
    return {
        "title": f"LLM requests of {whose(state.scope())}, {span(stats.period)}", "stats": stats,
        "cards": cards(stats.summary, before), "group_head": head, "group_rows": rows,
        "total": float(stats.summary.total_cost or 0), "stats_json": inline_json(answer_json(stats, indent=None)),
    }  # fmt: skip


def _charts(_params: Any, state: State, reading: dict[str, Any]) -> dict[str, Any]:
    overview = get_overview(state.scope(), state.options(reading["now"]), **reading)
    report = overview.errors
    if report.breakdown:
        report = get_errors(state.scope(), state.options(reading["now"]), **reading)
    return {
        "title": f"Charts of {whose(state.scope())}, {span(overview.stats.period)}", "overview": overview,
        "charts": draw_all(overview), "total": float(overview.stats.summary.total_cost or 0), "errors": report,
    }  # fmt: skip


def _without(reading: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in reading.items() if name not in names}


def _requests(params: Any, state: State, reading: dict[str, Any]) -> dict[str, Any]:
    sort = params.get("sort", "start")
    page = get_llm_request_logs(
        state.scope(), state.options(reading["now"]), _ROWS, params.get("cursor") or None, content=False,
        sort=sort, **_without(reading, "progress"),
    )  # fmt: skip
    return {
        "title": "Requests",
        "entries": page.entries,
        "cursor": page.cursor,
        "sort": sort,
        "sorts": _SORTS,
    }


def _request(params: Any, _state: State, reading: dict[str, Any]) -> dict[str, Any]:
    kept = {name: reading[name] for name in ("root", "prices") if name in reading}
    entry, lines = get_request_log(params.get("id", ""), None, **kept)
    fields = entry.model_dump(mode="json", exclude_none=True, exclude={"messages", "response", "attributes"})
    rows: list[tuple[str, Any]] = []
    for name, value in fields.items():
        rows += (
            [(f"{name}.{key}", item) for key, item in value.items()]
            if isinstance(value, dict)
            else [(name, value)]
        )
    rows += [(f"attributes.{key}", value) for key, value in (entry.attributes or {}).items()]
    attempts: list[Any] = []
    if entry.request_group:
        scope = StatsScope(type="project", project_id=entry.project_id) if entry.project_id else None
        page = get_llm_request_logs(
            scope,
            {"request_group": str(entry.request_group)},
            _ROWS,
            content=False,
            **_without(reading, "progress"),
        )
        attempts = page.entries
    return {
        "title": f"Request {entry.id[-12:]}", "entry": entry, "rows": rows, "attempts": attempts,
        "lines": [line.decode("utf-8", "replace") for line in lines],
    }  # fmt: skip


def _chats(params: Any, state: State, reading: dict[str, Any]) -> dict[str, Any]:
    sort = params.get("sort", "start")
    report = get_chats(state.scope(), state.options(reading["now"]), sort=sort, limit=_ROWS, **reading)
    return {
        "title": "Chats",
        "report": report,
        "sort": sort,
        "sorts": ("start", "cost", "turns", "tokens", "errors", "wall_time"),
    }


def _chat(params: Any, _state: State, reading: dict[str, Any]) -> dict[str, Any]:
    scope = StatsScope(type="chat", project_id=params.get("in", ""), chat_id=params.get("chat", ""))
    stats = get_stats(scope, None, **reading)
    page = get_llm_request_logs(scope, None, 200, content=True, **_without(reading, "progress"))
    database = open_database(reading["root"], scope)
    messages = list(
        database.sql(
            "SELECT role, content, status, created_at, id FROM messages ORDER BY created_at, timestamp LIMIT 1000"
        )
    )
    return {
        "title": f"Chat {scope.chat_id}", "stats": stats, "cards": cards(stats.summary, None), "messages": messages,
        "entries": list(reversed(page.entries)), "more": page.cursor is not None,
    }  # fmt: skip


def _tree(params: Any, _state: State, reading: dict[str, Any]) -> dict[str, Any]:
    kept = {name: reading[name] for name in ("root", "prices") if name in reading}
    found = get_request_tree(params.get("id", ""), None, **kept)
    rows: list[tuple[int, RequestNode]] = []
    stack = [(0, found.root)]
    while stack:
        depth, node = stack.pop()
        rows.append((depth, node))
        stack += [(depth + 1, child) for child in reversed(node.children)]
    return {"title": "Tree of calls", "tree": found, "rows": rows[:2000]}


def _search(params: Any, state: State, reading: dict[str, Any]) -> dict[str, Any]:
    text = params.get("text", "")[:1000]
    hits: list[Any] = []
    cursor = None
    if text:
        options = state.options(reading["now"])
        page = search_logs(
            text, state.scope(), 25, params.get("cursor") or None, from_date=options.from_date, to_date=options.to_date,
            time_zone=options.time_zone, root=reading["root"],
        )  # fmt: skip
        hits, cursor = page.hits, page.cursor
    return {"title": "Search", "text": text, "hits": hits, "cursor": cursor}


PAGES: Final[dict[str, tuple[str, Callable[[Any, State, dict[str, Any]], dict[str, Any]]]]] = {
    "/": ("home.html", _home),
    "/charts": ("charts.html", _charts),
    "/requests": ("requests.html", _requests),
    "/request": ("request.html", _request),
    "/chats": ("chats.html", _chats),
    "/chat": ("chat.html", _chat),
    "/tree": ("tree.html", _tree),
    "/search": ("search.html", _search),
}
