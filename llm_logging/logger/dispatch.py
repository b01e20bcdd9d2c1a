"""Hand accounting records to the handlers regardless of levels, and wait for the result.

Levels silence chatter, and spend must not be silenced. So `log_llm_request` and `log.request` walk the logger's handlers
themselves: our handlers get the record whatever their level, other handlers as `logging` would give it to them. Filters of the
user, on loggers and handlers, still decide. Every wait has a bound.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

from ..errors import ConfigurationError, ErrorCode, FileSystemError
from ..failure_report import say_once
from ..models.entry import RECORD_ATTRIBUTE
from ..models.record import RecordPayload
from ..reach import handlers_of, sinks_behind, sinks_within_reach
from ..runtime.threads import Bell

__all__ = ["WAIT_SECONDS", "Ack", "AsyncAck", "caller", "dispatch", "has_sinks", "require_sinks"]

WAIT_SECONDS = 10.0
_LOOK_SECONDS = 0.002
_PACKAGE: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep  # noqa: PTH100, PTH120  as a frame has it


class Ack:
    """Wait, in a thread, until every handler that took a record has written it.

    Implements `models.record.Acknowledgement`. Answering never blocks: an answer is appended, which is a single step.
    """

    __slots__ = ("_answers", "_bell", "_expected", "_promised", "_queues")

    def __init__(self) -> None:
        self._bell = Bell()
        self._expected = 0
        self._answers: list[OSError | None] = []
        self._promised = 0
        self._queues: list[Callable[[], bool]] = []

    @property
    def taken(self) -> bool:
        """Say whether any handler took the record."""
        return self._expected > 0

    def passed_on(self, sinks: int, drained: Callable[[], bool]) -> None:
        """Note that the record is in a queue before some of its sinks.

        Args:
            sinks: How many sinks are within reach, behind queues and not.
            drained: Says whether the queue holds nothing more.
        """
        self._promised = sinks
        self._queues.append(drained)

    @property
    def _open(self) -> int:
        return self._expected - len(self._answers)

    @property
    def _error(self) -> OSError | None:
        return next((error for error in self._answers if error is not None), None)

    def _on_its_way(self) -> bool:
        return self._expected < self._promised and not all(drained() for drained in self._queues)

    def expect(self) -> None:
        """Note that one more handler has taken the record."""
        self._expected += 1

    def written(self) -> None:
        """Note that the line is in its file."""
        self._answers.append(None)
        self._bell.set()

    def failed(self, error: OSError) -> None:
        """Note that the line could not be written and will not be."""
        self._answers.append(error)
        self._bell.set()

    def wait(self, seconds: float = WAIT_SECONDS) -> None:
        """Wait until no handler still owes an answer.

        Raises:
            FileSystemError: A handler failed, or did not answer in time.
        """
        deadline = time.monotonic() + seconds
        while self._on_its_way() and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
        while self._open and (left := deadline - time.monotonic()) > 0:
            self._bell.wait(left)
        self._judge(self._open == 0, seconds)

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

        deadline = time.monotonic() + seconds
        while self._on_its_way() and time.monotonic() < deadline:  # noqa: ASYNC110  no queue tells when it is drained
            await asyncio.sleep(_LOOK_SECONDS)
        while self._open and (left := deadline - time.monotonic()) > 0:
            # One handler may have answered before the next one took the record.
            self._event.clear()
            if self._open:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._event.wait(), left)
        self._judge(self._open == 0, seconds)


def _as_file_system_error(error: OSError) -> FileSystemError:
    if isinstance(error, FileSystemError):
        return FileSystemError(error.message, code=error.code, errno=error.errno, filename=error.filename)
    return FileSystemError(
        str(error), code=ErrorCode.LOG_WRITE_ERROR, errno=error.errno, filename=error.filename
    )


def require_sinks(logger: logging.Logger) -> list[Any]:
    """Return the sinks within reach of a logger.

    Raises:
        ConfigurationError: There is none.
    """
    sinks = sinks_within_reach(logger)
    if not sinks:
        queued = any(hasattr(handler, "queue") for handler in handlers_of(logger))
        hint = (
            "a QueueHandler leads to one only if its attribute `listener` says so"
            if queued
            else ("configure one with logging.config.dictConfig(llm_logging.presets.production())")
        )
        raise ConfigurationError(
            f"logger {logger.name!r}: expected an LLMFileHandler on it or on a logger above it, found none; {hint}"
        )
    return sinks


def has_sinks(logger: logging.Logger) -> bool:
    """Say whether a logger reaches a sink; warn, once a process, that its requests are not logged if not."""
    try:
        require_sinks(logger)
    except ConfigurationError as error:
        say_once("LLM calls are not being logged", error.message)
        return False
    return True


def dispatch(
    logger: logging.Logger,
    level: int,
    message: str,
    payload: RecordPayload,
    *,
    exc_info: Any = None,
    only_sinks: bool = False,
) -> logging.LogRecord | None:
    """Hand a record to every handler of a logger, past the levels of loggers and handlers where it leads to our sinks.

    Args:
        logger: Where it is logged.
        level: The record's own level.
        message: For people; not formatted with arguments.
        payload: What the line will hold.
        exc_info: As `logging` takes it.
        only_sinks: Whether handlers that lead to none of our sinks are left out.

    Returns:
        The record, or None where a filter of the logger dropped it.
    """
    file, line, function = caller()
    record = logger.makeRecord(
        logger.name, level, file, line, message, (), exc_info, function, {RECORD_ATTRIBUTE: payload}
    )
    if logger.disabled:
        return None
    outcome: Any = logger.filter(record)
    if not outcome:
        return None
    # From Python 3.12 a filter may put another record in the place of this one.
    kept = outcome if isinstance(outcome, logging.LogRecord) else record
    handlers = list(handlers_of(logger))
    # Others get what `logging` would give them; that a request was sent is of no use to people, who see its end.
    # Asked as `isEnabledFor` asks, but without the lock of `logging`, which `dictConfig` may hold while it waits for us.
    others = not only_sinks and logger.manager.disable < level and level >= logger.getEffectiveLevel()
    for handler in handlers:
        behind = sinks_behind(handler)
        if behind or (others and level >= handler.level):
            handler.handle(kept)
            if behind and payload.ack is not None and behind[0] is not handler:
                _pass_on(handler, payload.ack, handlers)
    return kept


def _pass_on(handler: Any, ack: Any, handlers: list[logging.Handler]) -> None:
    """Flush a handler that holds records back, where a caller waits for one."""
    if getattr(handler, "target", None) is not None:
        handler.flush()
        return
    queue: Any = getattr(handler, "queue", None)
    if hasattr(queue, "unfinished_tasks"):
        # Others' queues cannot answer: they lead to another process, or do not count.
        sinks = sum(len(sinks_behind(other)) for other in handlers)
        ack.passed_on(sinks, lambda: not queue.unfinished_tasks)


def caller() -> tuple[str, int, str]:
    """Return file, line and function of the code that called into this package."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  what logging's own findCaller does
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    if frame is None:
        return "(unknown file)", 0, "(unknown function)"
    return frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name
