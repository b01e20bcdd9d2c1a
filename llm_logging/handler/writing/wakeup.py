"""Wake threads, from anywhere; and which threads must not be made to wait.

`threading.Event` has a lock inside that is not re-entrant: a signal handler or a finaliser that logs, and so meets the same
thread inside `set`, would wait for itself for ever. See `Bell`.
"""

from __future__ import annotations

import contextlib
import sys
from collections import deque

from ...runtime.threads import Bell

__all__ = ["Bell", "Bells", "on_event_loop"]


class Bells:
    """Wake all who wait."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: deque[Bell] = deque()

    def hang(self) -> Bell:
        """Return a bell that the next `set` rings; hang it before looking for what is waited for."""
        bell = Bell()
        self._waiting.append(bell)
        return bell

    def set(self) -> None:
        """Ring all that hang now, and take them down."""
        while self._waiting:
            with contextlib.suppress(IndexError):
                self._waiting.popleft().set()


def on_event_loop() -> bool:
    """Say whether this thread is running an event loop, which must not be made to wait."""
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and asyncio._get_running_loop() is not None  # noqa: SLF001
