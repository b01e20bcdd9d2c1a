"""The writer's options, checked and pre-computed, and its counters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["WriterOptions", "WriterStats"]


@dataclass(frozen=True, slots=True)
class WriterOptions:
    """How lines are buffered and written; see `LLMFileHandler`."""

    buffer_bytes: int
    flush_bytes: int
    flush_interval: float
    overflow: Literal["drop_new", "drop_old"]
    overflow_wait: float
    spool: str
    max_open_files: int
    exit_timeout: float


@dataclass(slots=True)
class WriterStats:
    """Counts since the handler was made, in this process.

    Attributes:
        accepted: Lines stored.
        written: Lines in their files.
        buffered_bytes: Bytes stored and not yet written.
        dropped: Lines dropped because the buffer was full, content included.
        content_dropped: Of these, lines of content.
        withdrawn: Lines whose callers were told that they could not be written.
        retried: Writes that were tried again.
        recovered: Lines written for processes that were killed.
        flushes: Batches written.
        flush_seconds: Seconds spent in writing them.
        last_flush_seconds: Of these, the last batch.
        longest_flush_seconds: Of these, the longest.
        spool: `ring` or `memory`.
    """

    accepted: int = 0
    written: int = 0
    buffered_bytes: int = 0
    dropped: int = 0
    content_dropped: int = 0
    withdrawn: int = 0
    retried: int = 0
    recovered: int = 0
    flushes: int = 0
    flush_seconds: float = 0.0
    last_flush_seconds: float = 0.0
    longest_flush_seconds: float = 0.0
    spool: str = "ring"
