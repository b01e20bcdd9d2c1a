"""Give a record that is accounting to the handlers, past levels, and wait for what becomes of it.

Levels silence chatter; spend is not chatter. So `log_llm_request` and `log.request` walk the logger's handlers
themselves: sinks of ours get the record whatever their level, other handlers as logging would give it to them.
The user's filters, on the logger and on handlers, still decide. No wait is without a bound.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import ConfigurationError, ErrorCode, FileSystemError
from ..schema import RECORD_ATTRIBUTE, RecordPayload

__all__ = ["WAIT_SECONDS", "Ack", "AsyncAck", "dispatch", "require_sinks", "sink_defaults"]

WAIT_SECONDS = 10.0


class Ack:
    """Wait, in a thread, until every handler that took a record has written it.

    Implements `schema.Acknowledgement`.
    """

    __slots__ = ("_condition", "_error", "_expected", "_open", "_written")

    def __init__(self) -> None:
        self._condition = threading.Condition(threading.Lock())
        self._expected = 0
        self._open = 0
        self._written = 0
        self._error: OSError | None = None

    @property
    def taken(self) -> bool:
        """Say whether any handler took the record."""
        return self._expected > 0

    def expect(self) -> None:
        """Note that one more handler has taken the record."""
        with self._condition:
            self._expected += 1
            self._open += 1

    def written(self) -> None:
        """Note that the line is in its file."""
        with self._condition:
            self._open -= 1
            self._written += 1
            self._condition.notify_all()

    def failed(self, error: OSError) -> None:
        """Note that the line could not be written and will not be."""
        with self._condition:
            self._open -= 1
            self._error = error
            self._condition.notify_all()

    def wait(self, seconds: float = WAIT_SECONDS) -> None:
        """Wait until no handler still owes an answer.

        Raises:
            FileSystemError: A handler failed, or did not answer in time.
        """
        with self._condition:
            answered = self._condition.wait_for(lambda: self._open == 0, seconds)
        self._judge(answered, seconds)

    def _judge(self, answered: bool, seconds: float) -> None:
        if self._error is not None:
            raise _as_file_system_error(self._error) from self._error
        if not answered:
            raise FileSystemError(
                f"expected the line in its file within {seconds:g} s, it is still buffered; it will be written when "
                "the disk allows",
                code=ErrorCode.LOG_WRITE_ERROR,
            )


class AsyncAck(Ack):
    """Wait, in an event loop, without blocking it."""

    __slots__ = ("_event", "_loop")

    def __init__(self) -> None:
        import asyncio

        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def written(self) -> None:
        """Note that the line is in its file."""
        super().written()
        self._wake()

    def failed(self, error: OSError) -> None:
        """Note that the line could not be written and will not be."""
        super().failed(error)
        self._wake()

    def _wake(self) -> None:
        if self._open == 0 and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._event.set)

    async def wait_async(self, seconds: float = WAIT_SECONDS) -> None:
        """Wait until no handler still owes an answer; see `Ack.wait`."""
        import asyncio

        answered = True
        if self._open:
            try:
                await asyncio.wait_for(self._event.wait(), seconds)
            except TimeoutError:
                answered = self._open == 0
        self._judge(answered, seconds)


def _as_file_system_error(error: OSError) -> FileSystemError:
    if isinstance(error, FileSystemError):
        return FileSystemError(error.message, code=error.code, errno=error.errno, filename=error.filename)
    return FileSystemError(
        str(error), code=ErrorCode.LOG_WRITE_ERROR, errno=error.errno, filename=error.filename
    )


def _handlers(logger: logging.Logger) -> Iterator[logging.Handler]:
    current: logging.Logger | None = logger
    while current is not None:
        yield from current.handlers
        current = current.parent if current.propagate else None


def _sinks_behind(handler: Any) -> list[Any]:
    """Return the sinks that a handler is or passes records on to (MemoryHandler, QueueHandler with a listener)."""
    if getattr(handler, "llm_sink", False):
        return [handler]
    behind = [getattr(handler, "target", None), *getattr(getattr(handler, "listener", None), "handlers", ())]
    return [sink for inner in behind if inner is not None for sink in _sinks_behind(inner)]


def require_sinks(logger: logging.Logger) -> list[Any]:
    """Return the sinks within reach of a logger.

    Raises:
        ConfigurationError: There is none.
    """
    sinks = [sink for handler in _handlers(logger) for sink in _sinks_behind(handler)]
    if not sinks:
        raise ConfigurationError(
            f"logger {logger.name!r}: expected an LLMFileHandler on it or on a logger above it, found none; configure one "
            "with logging.config.dictConfig(llm_logging.presets.production())"
        )
    return sinks


def sink_defaults(sinks: list[Any]) -> Mapping[str, Any]:
    """Return the `defaults=` of the sinks, the nearest winning."""
    merged: dict[str, Any] = {}
    for sink in reversed(sinks):
        merged.update(sink.defaults)
    return merged


def dispatch(
    logger: logging.Logger,
    level: int,
    message: str,
    payload: RecordPayload,
    *,
    exc_info: Any = None,
) -> logging.LogRecord | None:
    """Hand a record to every handler of a logger, past the levels of loggers and of our sinks.

    Args:
        logger: Where it is logged.
        level: The record's own level.
        message: For people; not formatted with arguments.
        payload: What the line will hold.
        exc_info: As `logging` takes it.

    Returns:
        The record, or None where a filter of the logger dropped it.
    """
    frame = sys._getframe(2)  # noqa: SLF001  what logging's own findCaller does, without its walk
    code = frame.f_code
    record = logger.makeRecord(
        logger.name,
        level,
        code.co_filename,
        frame.f_lineno,
        message,
        (),
        exc_info,
        code.co_name,
        {RECORD_ATTRIBUTE: payload},
    )
    if logger.disabled:
        return None
    outcome: Any = logger.filter(record)
    if not outcome:
        return None
    # From Python 3.12 a filter may put another record in the place of this one.
    kept = outcome if isinstance(outcome, logging.LogRecord) else record
    for handler in _handlers(logger):
        if level >= handler.level or _sinks_behind(handler):
            handler.handle(kept)
    return kept
