"""Whether a task was cancelled by a timeout around the code that it runs.

`asyncio.timeout()`, and `asyncio.wait_for` from Python 3.12 on, cancel their task in the usual way, and withdraw that
(`Task.uncancel`) once the exception has reached them. So the answer is known a moment later: when the request is taken
back, or when the task is over. `wait_for` of Python 3.11 runs the code in a task of its own and cancels that, without a
cancel request to the outer task; the outer task is found through the done-callbacks of the inner one. So is the task further out that awaits
this one, itself or through `gather` or a task group, and was asked to stop. The deadlines of anyio (4.11 and later)
and trio say in the exception what they are; those of older versions count as cancelled. A task group that gives up its
own body takes the request back, too, and counts as a timeout.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from .stream import when_abandoned

if TYPE_CHECKING:
    import asyncio

__all__ = ["ask_whether_timed_out"]

# Clean-up code may wait; without an answer within this time the task counts as cancelled.
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
    seen = {task}
    while True:
        above = next((found for found in _waiting_for(task) if found[0] not in seen), None)
        if above is None:
            break
        waiting, stopped_it = above
        if not waiting.cancelling():
            if not stopped_it:
                break
            tell(True)
            return True
        # The awaiting task was asked to stop, perhaps by a timeout around it.
        task = waiting
        seen.add(task)
    _TimeoutCheck(task, tell).look()
    return True


def _says_deadline(error: BaseException) -> bool:
    if type(error).__name__ == "Cancelled":
        # trio's, from 0.31 on.
        return getattr(error, "source", None) == "deadline"
    said = error.args[0] if error.args else None
    return isinstance(said, str) and said.startswith(_BY_SCOPE) and said.endswith(_BY_DEADLINE)


def _waiting_for(future: asyncio.Future[Any]) -> Iterator[tuple[asyncio.Task[Any], bool]]:
    """Find the tasks whose own cancellation would cancel a future.

    All of it are asyncio's own parts, as CPython 3.11 to 3.13 have them; where anything differs, there is no waiting.

    Yields:
        The task that awaits the future, directly or through `gather`, or whose task group the future belongs to; and whether
        it is inside Python 3.11's `wait_for`, which asked the future to stop and waits until it has.
    """
    import asyncio

    for callback, _ in getattr(future, "_callbacks", None) or ():
        owner = getattr(callback, "__self__", None)
        if isinstance(owner, asyncio.Task):
            yield owner, False
        elif isinstance(owner, asyncio.TaskGroup):
            parent = getattr(owner, "_parent_task", None)
            # A group that one of its own tasks made give up cancels its parent by itself.
            if isinstance(parent, asyncio.Task) and not getattr(owner, "_parent_cancel_requested", True):
                yield parent, False
        elif isinstance(callback, functools.partial):
            if callback.func is getattr(asyncio.tasks, "_release_waiter", None):
                for waiting, _ in _waiting_for(callback.args[0]):
                    if _is_stopping(waiting):
                        yield waiting, True
        elif getattr(callback, "__qualname__", None) == "gather.<locals>._done_callback":
            outer = inspect.getclosurevars(callback).nonlocals.get("outer")
            if isinstance(outer, asyncio.Future):
                yield from _waiting_for(outer)


def _is_stopping(task: asyncio.Task[Any]) -> bool:
    import asyncio

    stopping: Any = getattr(asyncio.tasks, "_cancel_and_wait", None)
    inner: Any = task.get_coro()
    while hasattr(inner, "cr_await") and hasattr(inner.cr_await, "cr_code"):
        inner = inner.cr_await
    return getattr(inner, "cr_code", None) is getattr(stopping, "__code__", inner)


class _TimeoutCheck:
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
