"""Keep inner integrations silent while an outer, callback-based one logs the same call.

A callback cannot hold a block open around the call, so it notes the run in a contextvar and in the set of those that
are open. A request is covered while that run is open and code of the package that runs it is on the stack: a request
that the application makes itself in between is not. Nothing stays behind where an end is missed in another context.

A span of tracing covers nothing: it may stay open for ever, and it knows less than a transport. A request inside of one is
logged, with the span's ids, and the span is not.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import FrameType
from typing import Any, Protocol

from ...context import suppressed

__all__ = ["Span", "close_run", "covered", "open_run", "spans_around", "unwatch_spans", "watch_spans"]

_Runs = tuple[tuple[str, str], ...]
_runs: ContextVar[_Runs] = ContextVar("llm_logging_runs", default=())
_open: set[str] = set()
_spans: list[Callable[[], Span | None]] = []


def open_run(package: str, run: str) -> None:
    """Note that a run is being logged.

    Args:
        package: Whose code makes its requests, `litellm`.
        run: Its id.
    """
    _open.add(run)
    _runs.set((*(mark for mark in _runs.get() if mark[1] in _open), (package, run)))


def close_run(run: str) -> None:
    """Note that a run is over."""
    _open.discard(run)


class Span(Protocol):
    """A span of tracing that is open, and stands for one request to a model."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What it knows that a request inside of it does not: its ids, whose conversation it is."""

    def holds(self, request_id: str) -> None:
        """Note that a request inside of it is being logged: the span is that request, seen from further away."""


def watch_spans(current: Callable[[], Span | None]) -> None:
    """Ask one more for the span that a request runs in.

    Args:
        current: Returns it; None where there is none.
    """
    if current not in _spans:
        _spans.append(current)


def unwatch_spans(current: Callable[[], Span | None]) -> None:
    """Ask it no more."""
    if current in _spans:
        _spans.remove(current)


def spans_around() -> list[Span]:
    """Return the spans that the request which is made now runs in."""
    return [span for current in _spans if (span := current()) is not None]


def covered(*, by_others_than: str | None = None) -> bool:
    """Say whether the request that is made now is already being logged further out.

    Args:
        by_others_than: A package whose own runs do not count; its last one may be open for a while after its end.
    """
    if suppressed():
        return True
    for package, run in _runs.get():
        if run in _open and package != by_others_than and _on_stack(package):
            return True
    return False


def _on_stack(package: str) -> bool:
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  the only way to see who calls
    inside = package + "."
    while frame is not None:
        name = frame.f_globals.get("__name__") or ""
        if name == package or name.startswith(inside):
            return True
        frame = frame.f_back
    return False
