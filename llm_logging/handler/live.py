"""Running totals of this process, without reading a file.

Bounded: the totals of at most `limit` projects and `limit` chats are kept, the ones not touched for longest go first; the
global ones always stay. They count what this process logged since it started, or since they were reset; what the files
hold is the reader's business.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict, deque
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from ..errors import ErrorCode, NotFoundError
from ..figures import Figures, StatsScope

__all__ = ["LiveTotals", "get_cached_stats", "live_totals", "reset_cached_stats"]

_BACKLOG = 2000
_TOKENS = (
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
)
Key = tuple[str, ...]


class _Totals:
    __slots__ = ("cancelled", "cost", "failed", "latency_ms", "latency_n", "pending", "success", "tokens")

    def __init__(self) -> None:
        self.success = self.failed = self.cancelled = self.pending = self.latency_n = 0
        self.latency_ms = 0.0
        self.tokens = dict.fromkeys(_TOKENS, 0)
        self.cost: dict[str, Decimal] = {}


class LiveTotals:
    """Add up finished requests as they are logged.

    Args:
        limit: How many projects, and how many chats, to keep at most.
    """

    def __init__(self, limit: int = 1000) -> None:
        self._limit = limit
        self.reset()

    def reset(self) -> None:
        """Start at zero."""
        self._lock = threading.Lock()
        self._backlog: deque[Mapping[str, Any]] = deque()
        self._totals: dict[Key, _Totals] = {}
        self._order: tuple[OrderedDict[Key, None], OrderedDict[Key, None]] = (OrderedDict(), OrderedDict())
        self._pending: OrderedDict[str, tuple[Key, ...]] = OrderedDict()

    def add(self, body: Mapping[str, Any]) -> None:
        """Take note of a request's line; it is added up later."""
        self._backlog.append(body)
        if len(self._backlog) > _BACKLOG:
            self.fold()

    def fold(self) -> None:
        """Add up what was noted."""
        if not self._backlog or not self._lock.acquire(blocking=False):
            # Whoever holds the lock adds up, also what came meanwhile.
            return
        try:
            while self._backlog:
                self._add(self._backlog.popleft())
        finally:
            self._lock.release()

    def _add(self, body: Mapping[str, Any]) -> None:
        project, chat = body["project_id"], body["chat_id"]
        keys: tuple[Key, ...] = ((), (project,), (project, chat))
        for level, key in enumerate(keys[1:]):
            order = self._order[level]
            order[key] = None
            order.move_to_end(key)
            if len(order) > self._limit:
                stale, _ = order.popitem(last=False)
                self._totals.pop(stale, None)
        totals = [self._totals.setdefault(key, _Totals()) for key in keys]
        status, request = body["status"], body["id"]
        if status == "pending":
            self._pending[request] = keys
            if len(self._pending) > self._limit:
                self._pending.popitem(last=False)
            for total in totals:
                total.pending += 1
            return
        if self._pending.pop(request, None) is not None:
            for total in totals:
                total.pending = max(0, total.pending - 1)
        for total in totals:
            _count(total, status, body)

    def figures(self, scope: StatsScope) -> Figures:
        """Return the totals of a scope.

        Raises:
            NotFoundError: Nothing of the project or chat was logged by this process, or it was so long ago that its totals
                were let go.
        """
        self.fold()
        key: Key = ()
        if scope.type in {"project", "chat"}:
            key = (
                (str(scope.project_id),)
                if scope.type == "project"
                else (str(scope.project_id), str(scope.chat_id))
            )
        with self._lock:
            total = self._totals.get(key)
            if total is None:
                if not key:
                    return Figures()
                code = ErrorCode.PROJECT_NOT_FOUND if len(key) == 1 else ErrorCode.CHAT_NOT_FOUND
                raise NotFoundError(
                    f"{scope.type} {'/'.join(key)}: nothing was logged by this process", code=code
                )
            finished = total.success + total.failed
            dollars = total.cost.get("USD")
            return Figures(
                total_requests=finished,
                successful_requests=total.success,
                failed_requests=total.failed,
                pending_requests=total.pending,
                cancelled_requests=total.cancelled,
                average_latency_ms=total.latency_ms / total.latency_n if total.latency_n else 0.0,
                error_rate=total.failed / finished if finished else 0.0,
                **(
                    {"reported_cost": format(dollars, "f")}
                    if dollars is not None and "reported_cost" in Figures.model_fields
                    else {}
                ),
                **total.tokens,
            )


def _count(total: _Totals, status: str, body: Mapping[str, Any]) -> None:
    error = body.get("error")
    if status == "success":
        total.success += 1
    elif isinstance(error, Mapping) and error.get("code") == "cancelled":
        total.cancelled += 1
    else:
        total.failed += 1
    usage = body.get("usage")
    if usage:
        for name in _TOKENS:
            total.tokens[name] += usage.get(name) or 0
    latency = (body.get("timings") or {}).get("latency_ms")
    if latency is not None:
        total.latency_ms += latency
        total.latency_n += 1
    cost = body.get("cost")
    if cost:
        try:
            amount = Decimal(str(cost["amount"]))
        except (InvalidOperation, KeyError):
            return
        currency = str(cost.get("currency", "USD"))
        total.cost[currency] = total.cost.get(currency, Decimal(0)) + amount


live_totals = LiveTotals()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=live_totals.reset)


def get_cached_stats(scope: StatsScope | None = None) -> Figures:
    """Return the running totals of this process, without reading a file.

    Args:
        scope: Global when absent.

    Returns:
        Requests, tokens and mean latency; no percentiles and no estimated cost, which need the files.

    Raises:
        NotFoundError: Nothing of the project or chat was logged by this process.
    """
    return live_totals.figures(scope if scope is not None else StatsScope(type="global"))


def reset_cached_stats() -> None:
    """Start the running totals of this process at zero."""
    live_totals.reset()
