"""For the tests of applications: captured entries, a fixed clock and fixed ids.

With pytest, the fixture `llm_logs` captures everything that a test logs:

    def test_answer(llm_logs):
        answer("hello")
        assert llm_logs.requests[0]["model"] == "gpt-4o"

pytest finds the fixture by the entry point `llm_logging` of its plugins; where those are not loaded
(`-p no:llm_logging`, `PYTEST_DISABLE_PLUGIN_AUTOLOAD`), write `pytest_plugins = ["llm_logging.pytest_plugin"]` into
`conftest.py`.
Without pytest, use `capture()`.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from .clock import Clock, using_clock
from .handler.formatter import RedactOption
from .handler.pipeline import Pipeline, Sink, ack_of

__all__ = ["CaptureHandler", "CapturedLogs", "FixedClock", "capture", "fixed"]


class CapturedLogs:
    """What was logged, as the lines would hold it.

    Attributes:
        lines: Every line, in order.
    """

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def _of(self, *types: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event_type"] in types]

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The lines of LLM requests, pending ones included."""
        return self._of("llm_request")

    @property
    def finished(self) -> list[dict[str, Any]]:
        """The final lines of LLM requests."""
        return [line for line in self.requests if line["status"] != "pending"]

    @property
    def chat_messages(self) -> list[dict[str, Any]]:
        """The lines of chat messages."""
        return self._of("chat_message")

    @property
    def events(self) -> list[dict[str, Any]]:
        """Every other line."""
        return [line for line in self.lines if line["event_type"] not in {"llm_request", "chat_message"}]

    def clear(self) -> None:
        """Forget what was captured."""
        self.lines.clear()


class CaptureHandler(Sink, logging.Handler):
    """Keep what would be written; answer at once whoever waits for a line.

    Args:
        level: As in `logging`.
        defaults: As in `LLMFileHandler`.
        content: As in `LLMFileHandler`; a request's line holds its `messages` and `response`.
        redact: As in `LLMFileHandler`.
        logs: Where to keep it; a new `CapturedLogs` when absent.
    """

    def __init__(
        self,
        level: int | str = logging.NOTSET,
        *,
        defaults: Mapping[str, Any] | None = None,
        content: str = "full",
        redact: RedactOption = True,
        logs: CapturedLogs | None = None,
    ) -> None:
        super().__init__(level)
        self.logs = logs if logs is not None else CapturedLogs()
        self._use(Pipeline(defaults=defaults, redact=redact, content=content, totals=False))

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record's line."""
        ack = ack_of(record)
        self.logs.lines.append(json.loads(self._pipeline.text(record)))
        if ack is not None:
            ack.written()


class FixedClock(Clock):
    """A clock that stands still until it is moved, with ids that count.

    Args:
        now: The time of day, aware.
        step: Seconds by which each look at it moves it.
    """

    def __init__(self, now: datetime = datetime(2026, 1, 15, 12, tzinfo=UTC), *, step: float = 0.0) -> None:
        super().__init__()
        self._now = now
        self._seconds = 0.0
        self._step = step
        self._ids = 0

    def tick(self, seconds: float) -> None:
        """Move the time of day and the monotonic clock on."""
        self._now += timedelta(seconds=seconds)
        self._seconds += seconds

    def now(self) -> datetime:
        """Return the time of day."""
        now = self._now
        if self._step:
            self.tick(self._step)
        return now

    def created(self, record_created: float) -> float:  # noqa: ARG002  the record's own time does not count here
        """Return the time of day in seconds since 1970, for a record."""
        return self._now.timestamp()

    def monotonic(self) -> float:
        """Return seconds since the clock was made."""
        return self._seconds

    def new_id(self) -> str:
        """Return 00000000-0000-4000-8000-000000000001, and so on."""
        self._ids += 1
        return f"00000000-0000-4000-8000-{self._ids:012x}"


@contextlib.contextmanager
def fixed(
    now: datetime = datetime(2026, 1, 15, 12, tzinfo=UTC), *, step: float = 0.0
) -> Iterator[FixedClock]:
    """Use a `FixedClock` inside the block."""
    clock = FixedClock(now, step=step)
    with using_clock(clock):
        yield clock


@contextlib.contextmanager
def capture(logger: str | None = None, *, level: int | str = logging.DEBUG) -> Iterator[CapturedLogs]:
    """Capture what is logged inside the block.

    Args:
        logger: Of this logger and those below it; of all when absent.
        level: Of that logger inside the block.
    """
    target = logging.getLogger(logger)
    handler = CaptureHandler()
    before = target.level
    target.addHandler(handler)
    target.setLevel(level)
    try:
        yield handler.logs
    finally:
        target.removeHandler(handler)
        target.setLevel(before)
        handler.close()


try:
    import pytest
except ImportError:  # an application's own checks need no pytest
    pass
else:

    @pytest.fixture
    def llm_logs() -> Iterator[CapturedLogs]:
        """Capture everything that the test logs, for `pytest_plugins = ["llm_logging.testing"]`; see `pytest_plugin`."""
        with capture() as logs:
            yield logs
