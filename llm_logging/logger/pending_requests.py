"""The requests that were started here and are not final yet.

Invariant: a request is finished once. Memory is bounded: of the oldest started ones only the id is forgotten, which
costs the reader nothing (their pending line is on disk); of finished ones the last ids are kept to refuse a second end.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..clock import clock
from ..errors import ErrorCode, ValidationError
from ..models.entry import LLMRequestLogEntry
from ..runtime.forks import at_fork
from ..runtime.threads import Exclusive

__all__ = ["PendingRequests", "pending_requests"]


# Their line has them; the final one need not say them again.
_PENDING_ONLY = frozenset({"status", "messages"})


class PendingRequests:
    """Remember started requests by id.

    Args:
        limit: How many started, and how many finished ones to remember at most.
    """

    def __init__(self, limit: int = 10_000) -> None:
        self._limit = limit
        self.reset()

    def reset(self) -> None:
        """Forget everything; a forked child starts so, its parent finishes what it started."""
        self._exclusive = Exclusive()
        self._started: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._final: OrderedDict[str, None] = OrderedDict()

    def open(self, entry: LLMRequestLogEntry) -> None:
        """Remember a request as started.

        Raises:
            ValidationError: One with this id was started or finished here.
        """
        fields = {key: value for key, value in entry if value is not None and key not in _PENDING_ONLY}
        if entry.timings is not None:
            fields["timings"] = entry.timings.model_dump(exclude_none=True)
        fields["_began"] = clock().monotonic()
        if not self._exclusive.call(self._note_start, entry.id, fields):
            raise ValidationError(
                f"id {entry.id}: expected an id that was not started yet", code=ErrorCode.INVALID_STATE
            )

    def _note_start(self, request_id: str, fields: dict[str, Any]) -> bool:
        if request_id in self._started or request_id in self._final:
            return False
        self._started[request_id] = fields
        if len(self._started) > self._limit:
            self._started.popitem(last=False)
        return True

    def forget(self, request_id: str) -> None:
        """Forget a request whose start could not be logged."""
        self._exclusive.call(self._started.pop, request_id, None)

    def claim(self, request_id: str) -> dict[str, Any]:
        """Take what is known of a started request, whose end is being logged.

        Returns:
            Its fields, with latency and end measured; empty where it was not started here.

        Raises:
            ValidationError: It is final already.
        """
        first, started = self._exclusive.call(self._note_end, request_id)
        if not first:
            raise ValidationError(
                f"id {request_id}: expected a pending request, it is final already",
                code=ErrorCode.INVALID_STATE,
            )
        if started is None:
            return {}
        fields = {key: value for key, value in started.items() if key != "_began"}
        latency = (clock().monotonic() - started["_began"]) * 1000
        fields["timings"] = {**(fields.get("timings") or {}), "latency_ms": latency}
        return fields

    def _note_end(self, request_id: str) -> tuple[bool, dict[str, Any] | None]:
        if request_id in self._final:
            return False, None
        self._final[request_id] = None
        if len(self._final) > self._limit:
            self._final.popitem(last=False)
        return True, self._started.pop(request_id, None)

    @contextmanager
    def finishing(self, entry: LLMRequestLogEntry) -> Iterator[None]:
        """Claim a request that was started here, while its final entry is logged as a whole.

        One that was not started here is passed: the reader folds its lines. It is given back where logging fails, but
        not where the caller no longer waits: its line is on its way.

        Args:
            entry: What is logged; a pending one claims nothing.
        """
        ours = entry.status != "pending" and entry.id in self._started
        started = self.claim(entry.id) if ours else {}
        try:
            yield
        except Exception:
            if started:
                self.release(entry.id, started)
            raise

    def release(self, request_id: str, started: dict[str, Any]) -> None:
        """Give back a claimed request whose end could not be logged."""
        self._exclusive.call(self._reopen, request_id, started)

    def _reopen(self, request_id: str, started: dict[str, Any]) -> None:
        self._final.pop(request_id, None)
        if started:
            latency = started["timings"].get("latency_ms", 0.0)
            self._started[request_id] = {**started, "_began": clock().monotonic() - latency / 1000}


pending_requests = PendingRequests()

at_fork(pending_requests.reset)
