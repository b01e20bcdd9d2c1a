"""A handler that keeps entries in memory, checked as the real one checks them."""

import logging
import threading
from typing import Any

from llm_logging.models.entry import RECORD_ATTRIBUTE, LLMRequestLogEntry


class MemorySink(logging.Handler):
    """Keep every request that is logged, as entries."""

    llm_sink = True

    def __init__(self, **defaults: Any) -> None:
        super().__init__()
        self.defaults = defaults
        self.entries: list[LLMRequestLogEntry] = []
        self.arrived = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        payload = getattr(record, RECORD_ATTRIBUTE, None)
        if payload is None or payload.kind != "llm_request":
            return
        entry = payload.entry
        if entry is None:
            merged = {
                **(payload.fallback or {}),
                **self.defaults,
                **(payload.context or {}),
                **payload.fields,
            }
            entry = LLMRequestLogEntry.model_validate(merged)
        with self.arrived:
            self.entries.append(entry)
            self.arrived.notify_all()

    @property
    def final(self) -> list[LLMRequestLogEntry]:
        """The final lines, in their order."""
        return [entry for entry in self.entries if entry.status != "pending"]

    def only(self) -> LLMRequestLogEntry:
        """The one final line there is."""
        found = self.final
        assert len(found) == 1, found
        return found[0]

    def wait(self, count: int, seconds: float = 5.0) -> list[LLMRequestLogEntry]:
        """Wait until so many final lines are there."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.final) >= count, seconds), self.entries
        return self.final
