"""Whether a task was cancelled by a timeout around the code that it runs.

`asyncio.timeout()`, and `asyncio.wait_for` from Python 3.12 on, cancel their task as anybody would, and take that back
(`Task.uncancel`) once the exception has reached them. So the answer is known a moment later: when the request is taken
back, or when the task is over. Not told apart: `wait_for` of Python 3.11, which runs the code in a task of its own and
cancels that; anyio's scopes, whose deadlines look like their `cancel()`. Both count as cancelled. A task group that gives up
its own body takes the request back, too, and counts as a timeout.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from .stream import when_abandoned

if TYPE_CHECKING:
    import asyncio

__all__ = ["ask_whether_timed_out"]

# The clean-up on the way out may wait; who is silent for longer than this was cancelled.
_PAUSES: Final = (0.01, 0.1, 1.0, 5.0)


def ask_whether_timed_out(error: BaseException, tell: Callable[[bool], None]) -> bool:
    """Find out why a task was cancelled.

    Args:
        error: What reached the code.
        tell: Called once, from the event loop, with the answer; must not raise.

    Returns:
        Whether `tell` will be called; else it was no timeout, or that cannot be found out.
    """
    import asyncio

    if not isinstance(error, asyncio.CancelledError) or error.args:
        # Timeouts of asyncio give no message.
        return False
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return False
    if task is None or not task.cancelling():
        return False
    _Question(task, tell).look()
    return True


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
