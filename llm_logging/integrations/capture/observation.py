"""One call of somebody else's code, being logged without that code noticing.

What an integration knows goes through an `Observation`: it keeps every error of ours away from the call, starts nothing
where an outer instrumentation is already logging the call, and logs nothing where no handler is within reach (it says
so once).
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec

from ...context import current_scope
from ...failure_report import show_failure
from ...logger.adapter import LLMLoggerAdapter, get_logger
from ...logger.call import LLMCall
from ...logger.call_context import running
from ...logger.dispatch import has_sinks
from ...logger.stream import Ending
from ...reach import sinks_within_reach
from ...usage.accumulator import Extraction
from .large_texts import LargeTexts
from .nesting import spans_around

__all__ = ["Observation", "guarded", "report", "wants_content"]

P = ParamSpec("P")
# What a request says of these is one SDK's idea of them; what the application has bound wins.
_YIELDING = frozenset({"chat_id", "user_id"})


@functools.cache
def default_log() -> LLMLoggerAdapter:
    """Return the logger that is used where none is named."""
    return get_logger()


def report() -> None:
    """Show the error of ours that is being handled, and let the call go on."""
    error = sys.exception()
    if error is not None:
        show_failure(error)


def guarded(method: Callable[P, None]) -> Callable[P, None]:
    """Keep the errors of a method away from its caller."""

    @functools.wraps(method)
    def safe(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            method(*args, **kwargs)
        except Exception:  # noqa: BLE001  an error of ours must not reach the call
            report()

    return safe


def wants_content(log: LLMLoggerAdapter | None, content: bool | None) -> bool:
    """Say whether prompts and answers are to be kept.

    Args:
        log: The logger in use.
        content: What the user said; None leaves it to the handlers within reach.
    """
    if content is not None:
        return content
    sinks = sinks_within_reach((log or default_log()).logger)
    return any(getattr(sink, "wants_content", False) for sink in sinks)


class Observation:
    """One attempt, from sent to answered; made by `begin`."""

    __slots__ = ("_call", "_ended")

    def __init__(self, call: LLMCall) -> None:
        self._call = call
        self._ended = False

    @classmethod
    def begin(
        cls,
        log: LLMLoggerAdapter | None,
        *,
        instrumentation: str = "capture",
        pending: bool = True,
        **fields: Any,
    ) -> Observation | None:
        """Start logging a call.

        Args:
            log: The logger; None takes the default one.
            instrumentation: Who observes; the lines say it, so that the reader can tell a call seen twice.
            pending: Whether to log a line now.
            **fields: Fields of the entry; those that are None are left out.

        Returns:
            The observation; None where it cannot be logged.
        """
        try:
            log = log or default_log()
            if not has_sinks(log.logger):
                return None
            around = spans_around()
            for span in around:
                fields = {
                    **span.facts,
                    **{name: value for name, value in fields.items() if value is not None},
                }
            for name in _YIELDING & fields.keys():
                if log.context.get(name) is not None or current_scope().get(name) is not None:
                    del fields[name]
            call = log.request(pending=pending, instrumentation=instrumentation, **fields)
            call.start()
            for span in around:
                span.holds(call.id)
        except Exception:  # noqa: BLE001  an error of ours must not reach the call
            report()
            return None
        return cls(call)

    @property
    def id(self) -> str:
        """The id of its lines."""
        return self._call.id

    @property
    def request_group(self) -> str | None:
        """What joins the attempts of its call, where the application has said that; see `LLMLoggerAdapter.call`."""
        return self._call.request_group

    def running(self) -> running:
        """Return what the code inside of this call sees, a context manager."""
        return self._call.running()

    @guarded
    def note(self, **fields: Any) -> None:
        """Add fields; those that are None are left out."""
        self._call.note(**fields)

    @guarded
    def describe(self, large: LargeTexts) -> None:
        """Put what is known of the prompt's long texts by now into it."""
        self._call.describe_messages(large.described)

    @guarded
    def chunk(self, content: bool) -> None:
        """Note that a chunk arrived; see `LLMCall.chunk_arrived`."""
        self._call.chunk_arrived(content=content)

    @guarded
    def hold(self, found: Extraction, key: str) -> None:
        """Log that the answer is being made in the background; the end is noted later.

        Args:
            found: What is known by now.
            key: The id of its lines from now on, where none was logged yet.
        """
        self._call.hold(found, key)

    @guarded
    def settle(
        self, found: Extraction, how: Ending = "exhausted", error: BaseException | None = None
    ) -> None:
        """Note the end and log the final line; only the first end counts.

        Args:
            found: What the answer said.
            how: How it ended.
            error: Why it failed, if it did.
        """
        if self._ended:
            return
        self._ended = True
        if found.answer is not None:
            self._call.note(response=found.answer)
        self._call.settle(found, how, error)
        self._call.end()

    @guarded
    def fail(self, error: BaseException | Mapping[str, Any] | str, **fields: Any) -> None:
        """Note that the call failed and log the final line; only the first end counts."""
        if self._ended:
            return
        self._ended = True
        self._call.fail(error, **fields)
        self._call.end()
