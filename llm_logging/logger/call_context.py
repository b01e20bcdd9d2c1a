"""Context variables that code inside a running request sees: the id of the request, and that it is already being logged.

They are bound while the code runs, and never across a `yield`: code that reads a stream is not inside the request that makes it.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Self

from ..context import carry, suppressing

__all__ = ["CONTAINERS", "attempts", "current_attempts", "current_call_id", "running"]

_current: ContextVar[str | None] = ContextVar("llm_logging_call", default=None)
carry(_current)
CONTAINERS = frozenset({"tool", "workflow"})
"""Types of requests that hold requests of their own: what runs inside of them is logged beside them."""


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
        self._suppressing = suppressing() if request_type not in CONTAINERS else None
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


class attempts:  # noqa: N801  a context manager, named as it is used
    """Join the requests inside as attempts of one call; made by `LLMLoggerAdapter.call`.

    Attributes:
        id: What joins them, the id of the first; None until there is one.
        count: How many there were so far.
    """

    __slots__ = ("_tokens", "count", "id")

    def __init__(self) -> None:
        self.id: str | None = None
        self.count = 0
        self._tokens: list[Token[attempts | None]] = []

    def add(self, call_id: str) -> tuple[str, int]:
        """Note that a request is sent; return what joins the attempts, and which one it is."""
        self.id = self.id or call_id
        self.count += 1
        return self.id, self.count

    def __enter__(self) -> Self:
        self._tokens.append(_attempts.set(self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            _attempts.reset(self._tokens.pop())
        except ValueError:
            # As above.
            return

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


_attempts: ContextVar[attempts | None] = ContextVar("llm_logging_attempts", default=None)
carry(_attempts)


def current_attempts() -> attempts | None:
    """Return the call whose attempts run here; None outside of any."""
    return _attempts.get()
