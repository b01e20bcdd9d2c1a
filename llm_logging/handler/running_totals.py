"""Running totals of this process, without reading a file.

Bounded: at most `limit` chats are kept apart, then only their projects, then only all; no request is lost from the sums
above. They count what this process logged since it started, or since they were reset; for what the files
hold see `reader`.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from ..errors import ErrorCode, NotFoundError
from ..runtime.forks import at_fork
from ..runtime.threads import Exclusive

if TYPE_CHECKING:
    # Making its classes takes an eighth of a program's start, which only logs.
    from ..models.query import StatsScope
    from ..models.stats import RunningTotals

__all__ = ["LiveTotals", "get_cached_stats", "live_totals", "reset_cached_stats"]

_BACKLOG = 2000
_TOKENS = (
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
    "audio_prompt_tokens",
    "audio_completion_tokens",
    "image_prompt_tokens",
    "image_completion_tokens",
)


_SUMS = (
    "success",
    "failed",
    "cancelled",
    "retried",
    "with_usage",
    "without_usage",
    "reported",
    "latency_n",
    "latency_ms",
)


class _Totals:
    """Sums of one chat, or of the chats of a project or of all that are no longer kept apart."""

    __slots__ = (*_SUMS, "cost", "pending", "tokens")

    def __init__(self) -> None:
        self.success = self.failed = self.cancelled = self.pending = self.retried = 0
        self.with_usage = self.without_usage = self.reported = self.latency_n = 0
        self.latency_ms = 0.0
        self.tokens = dict.fromkeys(_TOKENS, 0)
        self.cost: dict[str, Decimal] = {}

    def count(self, bodies: Sequence[Mapping[str, Any]]) -> None:
        """Add finished requests."""
        statuses = [body["status"] for body in bodies]
        success = statuses.count("success")
        self.success += success
        counted = bodies
        if success != len(bodies):
            counted = [body for body in bodies if not _is_cancelled(body)]
            self.cancelled += len(bodies) - len(counted)
            self.failed += len(counted) - success
        # What was spent on a cancelled request was spent; its latency and attempts count nowhere.
        usages = [body["usage"] for body in bodies if "usage" in body]
        known = 0
        present: set[str] = set().union(*usages)
        for name in _TOKENS:
            if name in present:
                values = [usage[name] for usage in usages if name in usage]
                self.tokens[name] += sum(values)
                if name == "total_tokens":
                    known = len(values)
        self.with_usage += known
        if known != len(bodies):
            self.without_usage += sum(["total_tokens" not in body.get("usage", ()) for body in counted])
        self.retried += sum([body["attempt"] > 1 for body in counted if "attempt" in body])
        latencies = [
            timings["latency_ms"]
            for body in counted
            if (timings := body.get("timings")) is not None and "latency_ms" in timings
        ]
        self.latency_ms += sum(latencies)
        self.latency_n += len(latencies)
        for body in bodies:
            if "cost" in body:
                self._count_cost(body["cost"])

    def _count_cost(self, cost: Any) -> None:
        try:
            amount, currency = Decimal(str(cost["amount"])), str(cost.get("currency", "USD")).upper()
        except (InvalidOperation, KeyError, TypeError, AttributeError):
            return
        self.reported += 1
        self.cost[currency] = self.cost.get(currency, Decimal(0)) + amount

    def join(self, other: _Totals) -> None:
        """Add another one's sums."""
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name, value in other.tokens.items():
            self.tokens[name] += value
        for currency, amount in other.cost.items():
            self.cost[currency] = self.cost.get(currency, Decimal(0)) + amount

    def figures(self) -> RunningTotals:
        """Return the sums as figures."""
        from ..models.stats import RunningTotals

        finished = self.success + self.failed
        dollars = self.cost.get("USD")
        return RunningTotals(
            total_requests=finished,
            successful_requests=self.success,
            failed_requests=self.failed,
            pending_requests=self.pending,
            running_requests=self.pending,
            cancelled_requests=self.cancelled,
            retried_requests=self.retried,
            retry_share=self.retried / finished if finished else 0.0,
            requests_with_usage=self.with_usage,
            requests_without_usage=self.without_usage,
            average_latency_ms=self.latency_ms / self.latency_n if self.latency_n else 0.0,
            error_rate=self.failed / finished if finished else 0.0,
            reported_cost=format(dollars, "f") if dollars is not None else None,
            reported_requests=self.reported,
            other_costs={name: format(amount, "f") for name, amount in self.cost.items() if name != "USD"},
            **self.tokens,
        )


def _is_cancelled(body: Mapping[str, Any]) -> bool:
    error = body.get("error") if body["status"] != "success" else None
    return isinstance(error, Mapping) and error.get("code") == "cancelled"


class LiveTotals:
    """Add up finished requests as they are logged.

    Args:
        limit: How many chats to keep apart at most; those not touched for longest are joined to their project's rest, and
            of the rests of projects to everybody's. Twice as many finished requests are known by id, and ten times as
            many pending ones: a request counts once, however many handlers log it.
    """

    def __init__(self, limit: int = 2000) -> None:
        self._limit = limit
        self.reset()

    def reset(self) -> None:
        """Start at zero."""
        self._exclusive = Exclusive()
        self._backlog: deque[Mapping[str, Any]] = deque()
        self._chats: OrderedDict[tuple[str, str], _Totals] = OrderedDict()
        self._projects: OrderedDict[str, _Totals] = OrderedDict()
        self._rest = _Totals()
        self._pending: OrderedDict[str, tuple[str, str]] = OrderedDict()
        self._final: OrderedDict[str, None] = OrderedDict()

    def add(self, body: Mapping[str, Any]) -> None:
        """Take note of a request's line; it is added up later."""
        self._backlog.append(body)
        if len(self._backlog) > _BACKLOG:
            self.fold()

    def fold(self) -> None:
        """Add up what was noted."""
        if self._backlog:
            # Who is at it already adds up, also what came meanwhile.
            self._exclusive.run(self._fold, seconds=0)

    def _fold(self) -> None:
        backlog = self._backlog
        groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        while backlog:
            body = backlog.popleft()
            key = (body["project_id"], body["chat_id"])
            group = groups.get(key)
            if group is None:
                groups[key] = [body]
            else:
                group.append(body)
        for key, bodies in groups.items():
            total = self._chats.get(key)
            if total is None:
                total = self._chats[key] = _Totals()
                if len(self._chats) > self._limit:
                    self._let_go()
            else:
                self._chats.move_to_end(key)
            total.count([body for body in bodies if self._is_final(body, key)])

    def _is_final(self, body: Mapping[str, Any], key: tuple[str, str]) -> bool:
        """Say whether a line is a request's end, seen for the first time; keep the requests that have none yet."""
        request, pending, final = body["id"], self._pending, self._final
        if request in final:
            # Another handler's line of the same request, or the same line again.
            return False
        if body["status"] == "pending":
            pending[request] = key
            if len(pending) > self._limit * 10:
                pending.popitem(last=False)
            return False
        if pending:
            pending.pop(request, None)
        final[request] = None
        if len(final) > self._limit * 2:
            final.popitem(last=False)
        return True

    def _let_go(self) -> None:
        (project, _), total = self._chats.popitem(last=False)
        rest = self._projects.get(project)
        if rest is None:
            rest = self._projects[project] = _Totals()
            if len(self._projects) > self._limit:
                _, oldest = self._projects.popitem(last=False)
                self._rest.join(oldest)
        rest.join(total)

    def figures(self, scope: StatsScope) -> RunningTotals:
        """Return the totals of a scope.

        Raises:
            NotFoundError: Nothing of the project or chat was logged by this process, or it was so long ago that its totals
                were joined to others.
        """
        total = self._exclusive.call(self._sum, scope)
        if total is None:
            code = ErrorCode.PROJECT_NOT_FOUND if scope.type == "project" else ErrorCode.CHAT_NOT_FOUND
            which = "/".join(str(part) for part in (scope.project_id, scope.chat_id) if part is not None)
            raise NotFoundError(f"{scope.type} {which}: nothing was logged by this process", code=code)
        found: RunningTotals = total.figures()
        return found

    def _sum(self, scope: StatsScope) -> _Totals | None:
        """Return the sums of a scope; None where nothing of it is known."""
        self._fold()
        everything, project_only = scope.type == "global", scope.type == "project"

        def within(project: str, chat: str | None) -> bool:
            return everything or (project == scope.project_id and (project_only or chat == scope.chat_id))

        parts = [part for (project, chat), part in self._chats.copy().items() if within(project, chat)]
        parts += [part for project, part in self._projects.copy().items() if within(project, None)]
        if everything:
            parts.append(self._rest)
        if not parts:
            return None
        total = _Totals()
        for part in parts:
            total.join(part)
        total.pending = sum(within(*key) for key in self._pending.copy().values())
        return total


live_totals = LiveTotals()

at_fork(live_totals.reset)


def get_cached_stats(scope: StatsScope | Mapping[str, Any] | None = None) -> RunningTotals:
    """Return the running totals of this process, without reading a file.

    Args:
        scope: Global when absent.

    Returns:
        Requests, tokens, mean latency and reported cost under the names that `Figures` has; what needs the files
        (calls, percentiles, list prices, times) is not among them.

    Raises:
        NotFoundError: Nothing of the project or chat was logged by this process.
    """
    from ..models.query import StatsScope

    return live_totals.figures(StatsScope.of(scope, "scope"))


def reset_cached_stats() -> None:
    """Start the running totals of this process at zero."""
    live_totals.reset()
