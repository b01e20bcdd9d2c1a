"""Context that is bound for a while: who is logging, for which project and chat.

One contextvar holds one immutable mapping. asyncio tasks and `asyncio.to_thread` inherit it by themselves;
plain threads and pools start empty in Python, so `scope.wrap(fn)` carries it over. An inner scope adds to the
outer one and wins where both name a field.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from types import MappingProxyType, TracebackType
from typing import Any, ParamSpec, TypeVar

__all__ = ["carried", "carry", "current_scope", "scope", "suppressed", "suppressing", "with_context"]

P = ParamSpec("P")
R = TypeVar("R")

_EMPTY: Mapping[str, Any] = MappingProxyType({})
_current: ContextVar[Mapping[str, Any]] = ContextVar("llm_logging_scope", default=_EMPTY)
_carried: list[ContextVar[Any]] = [_current]
_suppressed: ContextVar[bool] = ContextVar("llm_logging_suppressed", default=False)


def carry(variable: ContextVar[Any]) -> None:
    """Let a contextvar go along where a scope is carried to another thread."""
    _carried.append(variable)


def carried() -> dict[ContextVar[Any], Any]:
    """Return the values of this moment that differ from their defaults; empty where nothing is bound."""
    return {
        variable: value
        for variable in _carried
        if (value := variable.get()) is not None and value is not _EMPTY
    }


def with_context(values: Mapping[ContextVar[Any], Any], fn: Callable[P, R]) -> Callable[P, R]:
    """Return a function that runs another one under the values of another thread; see `carried`."""

    @functools.wraps(fn)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        tokens = [(variable, variable.set(value)) for variable, value in values.items()]
        try:
            return fn(*args, **kwargs)
        finally:
            for variable, token in reversed(tokens):
                variable.reset(token)

    return run


def current_scope() -> Mapping[str, Any]:
    """Return what the scopes around this call have bound; empty where there is none."""
    return _current.get()


class scope:  # noqa: N801  a context manager, named as it is used
    """Bind context for everything that is logged inside.

    Used as `with scope(project_id="shop", chat_id="c-17"):`, sync and async alike, or as a decorator.

    Args:
        **context: Fields of the entry, or attributes of your own; None says nothing.
    """

    __slots__ = ("_context", "_tokens")

    def __init__(self, **context: Any) -> None:
        self._context = {name: value for name, value in context.items() if value is not None}
        self._tokens: list[Token[Mapping[str, Any]]] = []

    def __enter__(self) -> Mapping[str, Any]:
        merged = MappingProxyType({**_current.get(), **self._context})
        self._tokens.append(_current.set(merged))
        return merged

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        token = self._tokens.pop()
        try:
            _current.reset(token)
        except ValueError:
            # Left in another context than it was entered in (a generator finalised elsewhere): that context
            # never saw our value, so there is nothing to take back.
            return

    async def __aenter__(self) -> Mapping[str, Any]:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def __call__(self, fn: Callable[P, R]) -> Callable[P, R]:
        """Run every call of `fn` inside this scope; coroutine functions stay coroutine functions."""
        import inspect

        context = self._context
        if inspect.iscoroutinefunction(fn):

            @functools.wraps(fn)
            async def within_async(*args: P.args, **kwargs: P.kwargs) -> Any:
                with scope(**context):
                    return await fn(*args, **kwargs)

            return within_async  # type: ignore[return-value]  # the coroutine is R

        @functools.wraps(fn)
        def within(*args: P.args, **kwargs: P.kwargs) -> R:
            with scope(**context):
                return fn(*args, **kwargs)

        return within

    @staticmethod
    def wrap(fn: Callable[P, R]) -> Callable[P, R]:
        """Carry the scope of this moment into another thread or pool.

        Args:
            fn: What the thread will call.

        Returns:
            A callable with the signature of `fn` that runs it under today's scope.
        """
        return with_context({variable: variable.get() for variable in _carried}, fn)


def suppressed() -> bool:
    """Say whether an outer instrumentation is already logging the call that runs now."""
    return _suppressed.get()


class suppressing:  # noqa: N801  a context manager, named as it is used
    """Tell instrumentations further in that the call which runs now is already being logged."""

    __slots__ = ("_token",)

    def __init__(self) -> None:
        self._token: Token[bool] | None = None

    def __enter__(self) -> None:
        self._token = _suppressed.set(True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        token, self._token = self._token, None
        if token is not None:
            try:
                _suppressed.reset(token)
            except ValueError:
                return


__all__ = ["active_trace_ids"]


def active_trace_ids() -> tuple[str, str] | None:
    """Return the trace id (32 hexadecimal digits) and span id (16) of the active span.

    Returns:
        None where no span is active, or nobody has imported OpenTelemetry.
    """
    trace: Any = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    try:
        context = trace.get_current_span().get_span_context()
        ids = (f"{context.trace_id:032x}", f"{context.span_id:016x}") if context.is_valid else None
    except Exception:  # noqa: BLE001  somebody else's library, half imported or replaced
        return None
    return ids
