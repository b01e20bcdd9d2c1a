"""Wake a thread, from anywhere; and which threads must not be made to wait.

`threading.Event` has a lock inside that is not re-entrant: a signal handler or a finaliser that logs, and so meets the same
thread inside `set`, would wait for itself for ever. A bell is one plain lock, held while it is silent: ringing it is one
step that nothing can interrupt.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections import deque

__all__ = ["Bell", "Bells", "on_event_loop"]


class Bell:
    """Wake one waiting thread; rung before somebody waits, it is heard at once."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        """Ring."""
        with contextlib.suppress(RuntimeError):
            # Refused where it rings already.
            self._lock.release()

    def is_set(self) -> bool:
        """Say whether it rings."""
        return not self._lock.locked()

    def clear(self) -> None:
        """Silence it."""
        self._lock.acquire(blocking=False)

    def wait(self, seconds: float) -> bool:
        """Wait until it rings, and silence it; say whether it rang within the bound."""
        return self._lock.acquire(timeout=max(0.0, seconds))


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
