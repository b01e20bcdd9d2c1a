"""Let requests in other threads know their parent and their scope.

asyncio tasks inherit contextvars; plain threads and thread pools do not. Each piece of work that is handed to one while something
is bound runs under what is bound then; nothing is changed where nothing is bound.
"""

from __future__ import annotations

import functools
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ...context import carried, with_context

__all__ = ["carry_into_threads", "leave_threads_alone"]

_originals: list[tuple[Any, str, Any]] = []
# The threads of pools serve many callers, so what one of them has bound must not stay with the thread.
_POOLS = ("asyncio", "concurrent", "logging", "multiprocessing", "queue", "socketserver", "http", "anyio")


def carry_into_threads() -> None:
    """Carry what is bound into threads that are started, and into work that thread pools are given, from now on."""
    if _originals:
        return
    submit: Any = ThreadPoolExecutor.submit
    start: Any = threading.Thread.start

    @functools.wraps(submit)
    def submit_within(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        values = carried()
        return submit(self, with_context(values, fn) if values and callable(fn) else fn, *args, **kwargs)

    @functools.wraps(start)
    def start_within(self: Any) -> None:
        values = carried()
        if values and not _is_of_a_pool(self):
            self.run = with_context(values, self.run)
        start(self)

    for owner, name, original, made in (
        (ThreadPoolExecutor, "submit", submit, submit_within),
        (threading.Thread, "start", start, start_within),
    ):
        _originals.append((owner, name, original))
        setattr(owner, name, made)


def leave_threads_alone() -> None:
    """Take `carry_into_threads` back."""
    while _originals:
        owner, name, original = _originals.pop()
        setattr(owner, name, original)


def _is_of_a_pool(thread: Any) -> bool:
    target = getattr(thread, "_target", None)
    module = getattr(target, "__module__", None) or type(thread).__module__
    if type(thread).__module__ != "threading":
        module = type(thread).__module__
    return str(module).partition(".")[0] in (*_POOLS, "llm_logging")
