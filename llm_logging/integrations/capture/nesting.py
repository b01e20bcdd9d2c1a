"""Calls that an integration with callbacks is already logging, so those further in keep still.

A callback cannot hold a block open around the call, so it notes the run in a contextvar and in the set of those that
are open. A request is covered while that run is open and code of the package that runs it is on the stack: a request
that the application makes itself in between is not. Nothing stays behind where an end is missed in another context.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextvars import ContextVar
from types import FrameType

from ...context import suppressed

__all__ = ["close_run", "cover_by", "covered", "open_run", "uncover_by"]

_Runs = tuple[tuple[str, str], ...]
_runs: ContextVar[_Runs] = ContextVar("llm_logging_runs", default=())
_open: set[str] = set()
_more: list[Callable[[], bool]] = []


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


def cover_by(says: Callable[[], bool]) -> None:
    """Ask one more whether the call that runs now is being logged."""
    if says not in _more:
        _more.append(says)


def uncover_by(says: Callable[[], bool]) -> None:
    """Ask it no more."""
    if says in _more:
        _more.remove(says)


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
    for says in _more:  # noqa: SIM110  asked for every request of a program, so without a generator
        if says():
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
