"""Chats, a row each, and the tree of a request: what it called, and what that cost in all."""

from __future__ import annotations

import os
import re
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Unpack

from pydantic import BaseModel, Field

from ...errors import ErrorCode, ValidationError
from ...files.layout import LogKind
from ...models.fields import UTCTime
from ...models.query import StatsOptions, StatsScope
from ...models.stats import Period
from ..answer.plan import Reading, make_plan
from ..answer.session import open_session
from ..entries import get_request_log, price_entries
from ..lines.arguments import Files, ReadingOptions, check_keywords
from ..lines.log_files import LogFile, open_sources
from ..retrieval.id_scan import cut_lines, lines_with_ids, whole_lines
from ..retrieval.pages import page_size
from ..retrieval.request_log import (
    RequestLine,
    RequestLog,
    fold_requests,
    key_of,
    read_request_lines,
    to_entry,
)
from ..segments.remote import open_root
from ..sql.aggregate import money_text, sum_of
from .rankings import RANKED_BY, group_sums, largest_groups

__all__ = ["ChatReport", "ChatSummary", "RequestNode", "RequestTree", "get_chats", "get_request_tree"]

_LINK: Final = re.compile(rb'"(?:parent_id|trace_id)"\s{0,8}:\s{0,8}"((?:[^"\\]|\\.){1,2000})"')
_MOST_LEVELS: Final = 100
_MOST_NODES: Final = 10_000


class ChatSummary(BaseModel):
    """The sums of one chat.

    Attributes:
        turns: Finished calls; the attempts of one call are one turn.
        wall_time_ms: From the start of its first request to the end of its last.
        busy_ms: The latencies of its requests together.
        total_cost: In dollars; a lower bound where `unpriced_requests` is not 0, None where nothing is known.
        models: Which it used, in the order of their names.
    """

    project_id: str | None = None
    chat_id: str | None = None
    turns: int = 0
    requests: int = 0
    failed_requests: int = 0
    cancelled_requests: int = 0
    pending_requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    total_cost: str | None = None
    unpriced_requests: int = 0
    busy_ms: float = 0.0
    wall_time_ms: float = 0.0
    first_request: UTCTime | None = None
    last_request: UTCTime | None = None
    models: list[str] = Field(default_factory=list)


class ChatReport(BaseModel):
    """The chats of a scope.

    Attributes:
        total_chats: How many there are in all.
        chats: The first of them, in the order that was asked for.
    """

    scope: StatsScope = Field(default_factory=StatsScope)
    period: Period = Field(default_factory=Period)
    total_chats: int = 0
    chats: list[ChatSummary] = Field(default_factory=list)


def get_chats(
    scope: StatsScope | Mapping[str, Any] | None = None,
    options: StatsOptions | Mapping[str, Any] | None = None,
    *,
    sort: str = "start",
    limit: int = 50,
    **reading: Unpack[ReadingOptions],
) -> ChatReport:
    """Return one row per chat: turns, wall time, tokens, cost, errors, models.

    Args:
        scope: Whose; None: all.
        options: Period and filters; groups do not matter.
        sort: The largest first: `start` (of the last request), `cost`, `turns`, `requests`, `tokens`, `errors`, `latency`
            or `wall_time`.
        limit: At most so many, 1 to 10,000.
        **reading: `root`, `files` and the other keywords of `get_stats`.

    Raises:
        What `get_stats` raises.
    """
    check_keywords("get_chats", reading)
    wanted = page_size(limit)
    if sort not in RANKED_BY:
        message = f"sort: expected one of {', '.join(RANKED_BY)}, got {sort!r:.80}"
        raise ValidationError(message, code=ErrorCode.INVALID_OPTIONS, reasons=(message,))
    asked = StatsScope.of(scope, "scope")
    given = StatsOptions.of(options, "options").model_copy(
        update={"group_by": ("project", "chat"), "fill_gaps": False}
    )
    with ExitStack() as stack:
        made = open_session(make_plan(asked, given, Reading(**reading)), stack)
        models = ", list_sort(list(DISTINCT model) FILTER (WHERE model IS NOT NULL)) AS models"
        rows, total = largest_groups(
            made.db, "priced", ("g0", "g1"), scale=made.costs.scale, sort=sort, limit=wanted, more=models
        )
        chats = [
            ChatSummary(
                project_id=row["g0"], chat_id=row["g1"], models=row["models"] or [], **group_sums(row, made.costs.scale)
            )
            for row in rows
        ]  # fmt: skip
        return ChatReport(scope=asked, period=made.plan.selection.period, total_chats=total, chats=chats)


class RequestNode(BaseModel):
    """One request of a tree.

    Attributes:
        own_cost: What it cost itself, in dollars; None where that is not known.
        total_cost: With all below it; a lower bound where `unpriced` is not 0.
        unpriced: How many of it and those below have no known cost.
        total_tokens: With all below it.
        requests: How many it and those below are.
        children: Those that name it as their parent, by their start.
    """

    id: str
    parent_id: str | None = None
    project_id: str | None = None
    chat_id: str | None = None
    request_type: str | None = None
    operation: str | None = None
    model: str | None = None
    status: str | None = None
    error_code: str | None = None
    timestamp_start: UTCTime | None = None
    latency_ms: float | None = None
    own_tokens: int | None = None
    own_cost: str | None = None
    total_tokens: int = 0
    total_cost: str | None = None
    unpriced: int = 0
    requests: int = 1
    children: list[RequestNode] = Field(default_factory=list)


class RequestTree(BaseModel):
    """The tree that a request belongs to.

    Attributes:
        asked: The id that was asked for.
        root: The request at its top.
        cut: True where it has more requests or levels than are shown.
    """

    asked: str
    root: RequestNode
    cut: bool = False


def get_request_tree(
    request_id: str,
    scope: StatsScope | Mapping[str, Any] | None = None,
    *,
    root: str | os.PathLike[str] | None = None,
    files: Files | None = None,
    prices: str | os.PathLike[str] | None = None,
) -> RequestTree:
    """Return the tree of calls that a request belongs to, by `parent_id`, with own and rolled-up cost.

    Args:
        request_id: Its id, or how it begins or ends; any request of the tree.
        scope: Where to look; None: everywhere.
        root: The folder of the logs, as in `get_stats`.
        files: JSON-lines files to read instead.
        prices: As in `get_stats`.

    Raises:
        What `get_request_log` raises.
    """
    entry, raw = get_request_log(request_id, scope, root=root, files=files, content=False, prices=prices)
    asked = StatsScope.of(scope, "scope")
    if asked.type == "global" and entry.project_id and files is None:
        asked = StatsScope(type="project", project_id=entry.project_id)
    with ExitStack() as stack:
        layout = open_root(root if files is None else None, lines=True, scope=asked)
        found = _Lines(open_sources(layout, files, asked, [LogKind.REQUESTS], stack).files)
        found.add(raw)
        top = found.climb(entry)
        cut = found.descend(top)
    entries = found.entries()
    price_entries(list(entries.values()), found.raw, prices=prices)
    return RequestTree(asked=entry.id, root=_tree(entries, key_of(top)), cut=cut)


class _Lines:
    """The lines of a tree, found by the ids that they name."""

    def __init__(self, files: Sequence[LogFile]) -> None:
        self.files = files
        self.raw: list[bytes] = []
        self.lines: dict[uuid.UUID, list[RequestLine]] = defaultdict(list)
        self._seen: set[bytes] = set()

    def add(self, raw: Sequence[bytes]) -> list[RequestLine]:
        """Add lines; return those that were not there yet."""
        new = []
        for data in raw:
            if data in self._seen:
                continue
            self._seen.add(data)
            self.raw.append(data)
            for line in read_request_lines(data):
                self.lines[line.key].append(line)
                new.append(line)
        return new

    def entries(self) -> dict[uuid.UUID, RequestLog]:
        """Return the requests, folded."""
        return {key: to_entry(line) for key, line in fold_requests(self.lines).items()}

    def climb(self, entry: RequestLog) -> str:
        """Find the parents of a request; return the id of the topmost that is there."""
        top, parent = entry.id, entry.parent_id
        passed = {key_of(top)}
        while parent and key_of(str(parent)) not in passed and len(passed) < _MOST_LEVELS:
            key = key_of(str(parent))
            passed.add(key)
            new = self.add([data for _, data in lines_with_ids(self.files, [key])])
            mine = [line for line in new if line.key == key]
            if not mine:
                break
            found = to_entry(fold_requests({key: mine})[key])
            top, parent = found.id, found.parent_id
        return top

    def descend(self, top: str) -> bool:
        """Find all below a request; say whether there are more than are taken."""
        known: set[str] = set()
        for _ in range(_MOST_LEVELS):
            ids = {str(line.fields.get("id")) for lines in self.lines.values() for line in lines} | {top}
            traces = {
                str(line.fields["trace_id"])
                for lines in self.lines.values()
                for line in lines
                if line.fields.get("trace_id")
            }
            wanted = (ids | traces) - known
            if not wanted:
                return False
            known |= wanted
            self.add(list(self._naming(wanted)))
            if len(self.lines) > _MOST_NODES:
                return True
        return True

    def _naming(self, names: set[str]) -> Iterator[bytes]:
        spelled = {name.encode("utf-8", "surrogatepass") for name in names}
        for file in self.files:
            for chunk in whole_lines(file.raw):
                places = [match.span() for match in _LINK.finditer(chunk) if match[1] in spelled]
                yield from cut_lines(chunk, places)


def _tree(entries: Mapping[uuid.UUID, RequestLog], top: uuid.UUID) -> RequestNode:
    below: dict[uuid.UUID, list[uuid.UUID]] = defaultdict(list)
    for key, entry in entries.items():
        if entry.parent_id and key != top:
            below[key_of(str(entry.parent_id))].append(key)
    # Parents come before their children, so that sums run from the leaves up without recursion.
    order, placed = [top], {top}
    children_of: dict[uuid.UUID, list[uuid.UUID]] = {}
    for key in order:
        children = sorted((k for k in below[key] if k not in placed), key=lambda k: _start(entries[k]))
        placed.update(children)
        order += children
        children_of[key] = children
    nodes = {key: _node(entries[key]) for key in order}
    costs = {key: _own_cost(entries[key]) for key in order}
    for key in reversed(order):
        node = nodes[key]
        node.children = [nodes[k] for k in children_of[key]]
        node.total_cost = money_text(costs[key])
        parent = entries[key].parent_id
        above = nodes.get(key_of(str(parent))) if parent and key != top else None
        if above is not None and parent is not None:
            place = key_of(str(parent))
            costs[place] = sum_of(costs[place], costs[key])
            above.total_tokens += node.total_tokens
            above.unpriced += node.unpriced
            above.requests += node.requests
    return nodes[top]


def _start(entry: RequestLog) -> tuple[bool, Any, str]:
    return entry.timestamp_start is None, entry.timestamp_start, entry.id


def _own_cost(entry: RequestLog) -> Decimal | None:
    amount = _part(entry.cost, "amount")
    try:
        return Decimal(str(amount if amount is not None else entry.estimated_cost))
    except InvalidOperation:
        return None


def _part(group: Any, name: str) -> Any:
    return group.get(name) if isinstance(group, Mapping) else getattr(group, name, None)


def _node(entry: RequestLog) -> RequestNode:
    cost = _own_cost(entry)
    tokens = [_part(entry.usage, name) for name in ("prompt_tokens", "completion_tokens")]
    known = [value for value in tokens if isinstance(value, int)]
    latency = _part(entry.timings, "latency_ms")
    return RequestNode.model_construct(
        id=entry.id,
        parent_id=None if entry.parent_id is None else str(entry.parent_id),
        project_id=entry.project_id,
        chat_id=entry.chat_id,
        request_type=entry.request_type,
        operation=entry.operation,
        model=entry.model,
        status=entry.status,
        error_code=_part(entry.error, "code"),
        timestamp_start=entry.timestamp_start,
        latency_ms=latency if isinstance(latency, (int, float)) else None,
        own_tokens=sum(known) if known else None,
        own_cost=money_text(cost),
        total_tokens=sum(known),
        unpriced=int(entry.unpriced is not None),
    )
