"""Context variables that code inside a running request sees: the id of the request, and that it is already being logged.

They are bound while the code runs, and never across a `yield`: code that reads a stream is not inside the request that makes it.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any

from ..context import suppressing

__all__ = ["current_call_id", "running"]

_current: ContextVar[str | None] = ContextVar("llm_logging_call", default=None)
# These contain requests of their own, which are logged as well.
_CONTAINERS = frozenset({"tool", "workflow"})


def current_call_id() -> str | None:
    """Return the id of the request that runs around this code; None outside of any."""
    return _current.get()


class running:  # noqa: N801  a context manager, named as it is used
    """Run code inside of a request.

    Args:
        call_id: The request's id; requests inside take it as their parent.
        request_type: `tool` and `workflow` hold requests of their own; all others hold the one that is being logged,
            so instrumentations further in keep still.
    """

    __slots__ = ("_call_id", "_suppressing", "_token")

    def __init__(self, call_id: str, request_type: Any = None) -> None:
        self._call_id = call_id
        self._suppressing = suppressing() if request_type not in _CONTAINERS else None
        self._token: Token[str | None] | None = None

    def __enter__(self) -> None:
        self._token = _current.set(self._call_id)
        if self._suppressing is not None:
            self._suppressing.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._suppressing is not None:
            self._suppressing.__exit__(kind, error, trace)
        token, self._token = self._token, None
        if token is not None:
            try:
                _current.reset(token)
            except ValueError:
                # Left in another context than it was entered in: that one never saw the id.
                return
