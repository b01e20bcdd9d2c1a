"""Which of our handlers a logger's records reach, and where the handlers of this process write.

Reads `logging`'s own tree, so a handler that another `dictConfig` took away is not found.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = [
    "configured_root",
    "handlers_of",
    "note_root",
    "sink_defaults",
    "sinks_behind",
    "sinks_within_reach",
]


def handlers_of(logger: logging.Logger) -> Iterator[logging.Handler]:
    """Return the handlers that a logger's records are given to."""
    current: logging.Logger | None = logger
    while current is not None:
        yield from current.handlers
        current = current.parent if current.propagate else None


def sinks_behind(handler: Any) -> list[Any]:
    """Return the sinks that a handler is or passes records on to (MemoryHandler, QueueHandler with a listener)."""
    if getattr(handler, "llm_sink", False):
        return [handler]
    behind = [getattr(handler, "target", None), *getattr(getattr(handler, "listener", None), "handlers", ())]
    return [sink for inner in behind if inner is not None for sink in sinks_behind(inner)]


def sinks_within_reach(logger: logging.Logger) -> list[Any]:
    """Return the sinks that a logger's records reach, the nearest first."""
    return [sink for handler in handlers_of(logger) for sink in sinks_behind(handler)]


def sink_defaults(sinks: list[Any]) -> Mapping[str, Any]:
    """Return the `defaults=` of the sinks, the nearest winning."""
    merged: dict[str, Any] = {}
    for sink in reversed(sinks):
        merged.update(sink.defaults)
    return merged


_roots: list[weakref.ref[Any]] = []


def note_root(handler: Any) -> None:
    """Remember a handler that writes under a `root`, until it is closed (`closed`) or gone."""
    _roots[:] = [known for known in _roots if (found := known()) is not None and not found.closed]
    _roots.append(weakref.ref(handler))


def configured_root() -> str | None:
    """Return the root of the handler of this process that was made last and is not closed; None where there is none."""
    for known in reversed(_roots):
        handler = known()
        if handler is not None and not handler.closed:
            return str(handler.root)
    return None
