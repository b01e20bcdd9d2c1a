"""`LLMStreamHandler`: every record becomes a line of JSON on a stream, for containers whose standard output is collected.

The stages are those of every handler, see `pipeline`. Invariants: a line has no `writer`, because nothing numbers it; a request's
content is in its own line; `emit` never raises.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from typing import Any, Literal, TextIO

from .formatter import LLMJsonFormatter, RedactOption
from .pipeline import Pipeline, Sink, ack_of

__all__ = ["LLMStreamHandler"]


class LLMStreamHandler(Sink, logging.StreamHandler[TextIO]):
    """Write every record as one line of JSON to a stream; accounting reaches it whatever its level.

    Args:
        stream: Where to; standard output when absent, looked up at each record so that redirecting it works.
        level: As in `logging`; accounting is not silenced by it.
        defaults: As in `LLMFileHandler`.
        content: As in `LLMFileHandler`; with `full` or `hash` the request's line holds `messages` and `response`.
        max_content_chars: As in `LLMFileHandler`.
        redact: As in `LLMFileHandler`.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        level: int | str = logging.NOTSET,
        defaults: Mapping[str, Any] | None = None,
        content: Literal["off", "hash", "full"] = "off",
        max_content_chars: int = 0,
        redact: RedactOption = True,
    ) -> None:
        super().__init__(stream if stream is not None else sys.stdout)
        self._given = stream
        self.setLevel(level)
        self._use(
            Pipeline(defaults=defaults, redact=redact, content=content, max_content_chars=max_content_chars)
        )
        # There from the start: `logging.basicConfig` gives one of its own to a handler that has none.
        self.formatter = self._pipeline.formatter

    def setFormatter(self, fmt: logging.Formatter | None) -> None:  # noqa: N802  logging's name
        """Set the formatter. `LLMJsonFormatter` also removes the secrets it was configured for; any other writes its own text."""
        own = fmt if isinstance(fmt, LLMJsonFormatter) else LLMJsonFormatter()
        self._pipeline.use(own)
        self.formatter = fmt if fmt is not None else own

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's line; a formatter of another kind is used as it is."""
        formatter = self.formatter
        if formatter is not None and not isinstance(formatter, LLMJsonFormatter):
            return formatter.format(record)
        return self._pipeline.text(record)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record's line and flush; never raise."""
        ack = ack_of(record)
        try:
            if self._given is None:
                self.stream = sys.stdout
            line = self.format(record)
            try:
                self.stream.write(line + self.terminator)
            except UnicodeEncodeError:
                # The stream's encoding lacks a character; JSON's escapes need none but ASCII.
                self.stream.write(json.dumps(json.loads(line)) + self.terminator)
            self.flush()
        except Exception as error:  # noqa: BLE001  as every handler of logging's
            if ack is not None:
                ack.failed(error if isinstance(error, OSError) else OSError(str(error)))
            self.handleError(record)
        else:
            if ack is not None:
                ack.written()
