"""Wake waiting threads, from any thread and from signal handlers; and detect threads that must not wait.

`threading.Event` holds a lock that is not re-entrant. A signal handler or a finaliser that logs may run inside `set` of the same
thread and would deadlock there. See `runtime.threads.Bell`.
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
