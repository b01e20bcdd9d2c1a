"""Whether a task was cancelled by a timeout around the code that it runs.

`asyncio.timeout()`, and `asyncio.wait_for` from Python 3.12 on, cancel their task as anybody would, and take that back
(`Task.uncancel`) once the exception has reached them. So the answer is known a moment later: when the request is taken
back, or when the task is over. `wait_for` of Python 3.11 runs the code in a task of its own and cancels that, with nobody
having asked its own task to stop; it is found by what the code's task will wake. The deadlines of anyio (4.11 and later)
and trio say in the exception what they are; those of older versions count as cancelled. A task group that gives up its
own body takes the request back, too, and counts as a timeout.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from .stream import when_abandoned

if TYPE_CHECKING:
    import asyncio

__all__ = ["ask_whether_timed_out"]

# The clean-up on the way out may wait; who is silent for longer than this was cancelled.
_PAUSES: Final = (0.01, 0.1, 1.0, 5.0)


# What anyio 4.11 and later give their exceptions as a message, and how it ends where a deadline has passed.
_BY_SCOPE: Final = "Cancelled via cancel scope "
_BY_DEADLINE: Final = "; reason: deadline exceeded"


def ask_whether_timed_out(error: BaseException, tell: Callable[[bool], None]) -> bool:
    """Find out why a task was cancelled.

    Args:
        error: What reached the code.
        tell: Called once, at once or from the event loop, with the answer; must not raise.

    Returns:
        Whether `tell` will be called; else it was no timeout, or that cannot be found out.
    """
    import asyncio

    if _says_deadline(error):
        tell(True)
        return True
    if not isinstance(error, asyncio.CancelledError) or error.args:
        # Timeouts of asyncio give no message.
        return False
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return False
    if task is None or not task.cancelling():
        return False
    if sys.version_info < (3, 12):
        waiting = _waiting_for(task)
        if waiting is not None:
            if not waiting.cancelling():
                tell(True)
                return True
            # Somebody asked the one who waits to stop: a timeout around it, maybe.
            task = waiting
    _Question(task, tell).look()
    return True


def _says_deadline(error: BaseException) -> bool:
    if type(error).__name__ == "Cancelled":
        # trio's, from 0.31 on.
        return getattr(error, "source", None) == "deadline"
    said = error.args[0] if error.args else None
    return isinstance(said, str) and said.startswith(_BY_SCOPE) and said.endswith(_BY_DEADLINE)


def _waiting_for(task: asyncio.Task[Any]) -> asyncio.Task[Any] | None:
    """Return the task that waits in Python 3.11's `wait_for` until this one has stopped, as it asked it to.

    All of it are asyncio's own parts, as that version has them; where anything is otherwise, nobody waits.
    """
    import asyncio

    release: Any = getattr(asyncio.tasks, "_release_waiter", None)
    stopping: Any = getattr(asyncio.tasks, "_cancel_and_wait", None)
    for callback, _ in getattr(task, "_callbacks", None) or ():
        if not isinstance(callback, functools.partial) or callback.func is not release:
            continue
        for wakeup, _ in getattr(callback.args[0], "_callbacks", None) or ():
            waiting = getattr(wakeup, "__self__", None)
            if not isinstance(waiting, asyncio.Task):
                continue
            inner: Any = waiting.get_coro()
            while hasattr(inner, "cr_await") and hasattr(inner.cr_await, "cr_code"):
                inner = inner.cr_await
            if getattr(inner, "cr_code", None) is getattr(stopping, "__code__", inner):
                return waiting
    return None


class _Question:
    """Look at a task until it says why it was cancelled."""

    __slots__ = ("__weakref__", "_abandoned", "_asked", "_left", "_task", "_tell")

    def __init__(self, task: asyncio.Task[Any], tell: Callable[[bool], None]) -> None:
        self._task = task
        self._asked = task.cancelling()
        self._tell: Callable[[bool], None] | None = tell
        self._left = iter((0.0, *_PAUSES))
        # An event loop may be closed before it comes to look.
        self._abandoned = when_abandoned(self, functools.partial(tell, False))

    def look(self, *_: Any) -> None:
        """Answer, or look again later."""
        if self._tell is None:
            return
        timed_out = self._task.cancelling() < self._asked
        pause = None if timed_out or self._task.done() else next(self._left, None)
        if pause is None:
            self._abandoned.detach()
            tell, self._tell = self._tell, None
            tell(timed_out)
        elif pause:
            self._task.get_loop().call_later(pause, self.look)
        else:
            self._task.get_loop().call_soon(self.look)
            self._task.add_done_callback(self.look)
