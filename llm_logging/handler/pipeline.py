"""The way of a record, the same for every handler: recognised, completed, protected; then encoded.

`recognise` -> `complete` -> `protect` -> `formatter`. What follows is the handler's: `LLMFileHandler` asks `route` for the file and
stores the line in the buffer (`writing`), `LLMStreamHandler` writes it to a stream, the handler of `llm_logging.testing` keeps it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from ..failure_report import complain
from ..models.entry import RECORD_ATTRIBUTE
from ..models.record import Acknowledgement, RecordPayload
from ..redaction.redactor import Redactor, both, redactor_from
from .complete import line_of, robustly
from .content import ContentPolicy
from .formatter import LLMJsonFormatter, RedactOption
from .protect import protect, pseudonymiser_from
from .recognise import LLM_REQUEST, Line, message_of
from .running_totals import live_totals

__all__ = ["Pipeline", "Sink", "ack_of"]


def ack_of(record: logging.LogRecord) -> Acknowledgement | None:
    """Return what a caller that waits for a record has attached to it, told that one more handler has taken the record."""
    payload = record.__dict__.get(RECORD_ATTRIBUTE)
    ack = payload.ack if type(payload) is RecordPayload else None
    if ack is not None:
        ack.expect()
    return ack


class Pipeline:
    """Turn records into protected lines.

    Args:
        defaults: Context for records that name none.
        redact: See `LLMFileHandler`.
        content: See `LLMFileHandler`.
        max_content_chars: See `LLMFileHandler`.
        pseudonyms: See `LLMFileHandler`.
        totals: Whether requests count in the running totals of the process.

    Attributes:
        formatter: Encodes the lines.
        redactor: Removes secrets; None leaves them.

    Raises:
        ConfigurationError: An option is not as described.
    """

    def __init__(
        self,
        *,
        defaults: Mapping[str, Any] | None,
        redact: RedactOption,
        content: str,
        max_content_chars: int = 0,
        pseudonyms: Any = None,
        totals: bool = True,
    ) -> None:
        self.defaults: Mapping[str, Any] = dict(defaults or {})
        self._own_redactor = self.redactor = redactor_from(redact)
        self._content = ContentPolicy(content, max_content_chars)
        self._pseudonyms = pseudonymiser_from(pseudonyms)
        self._totals = totals
        self.use(LLMJsonFormatter())

    def use(self, formatter: LLMJsonFormatter) -> None:
        """Take a formatter, and remove the secrets that it was told to remove as well."""
        self.formatter = formatter
        self.redactor = both(self._own_redactor, formatter.told_redactor)
        self._content.redact = self.redactor.redact if self.redactor is not None else None

    @property
    def wants_content(self) -> bool:
        """Say whether prompts and answers would be kept."""
        return self._content.mode != "off"

    def line(self, record: logging.LogRecord) -> Line:
        """Return a record's line, recognised, completed and protected."""
        line = line_of(record, self.defaults)
        protect(line, self._pseudonyms, self._content)
        if self._totals and line.event_type == LLM_REQUEST:
            live_totals.add(line.body)
        return line

    def text(self, record: logging.LogRecord) -> str:
        """Return a record's line as text, the content of a request in it."""
        return robustly(self._text, record)

    def _text(self, record: logging.LogRecord) -> str:
        line = self.line(record)
        if line.content is not None:
            line.body, line.checked = {**line.body, **line.content}, False
        return self.formatter.text(line, self.redactor)


class Sink:
    """What every handler of ours has in common; see `models.record.RecordSink`.

    Attributes:
        llm_sink: That LLM records become lines here.
        defaults: Context for records that name none.
    """

    llm_sink = True
    defaults: Mapping[str, Any]
    _pipeline: Pipeline

    def _use(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self.defaults = pipeline.defaults

    @property
    def wants_content(self) -> bool:
        """Say whether prompts and answers would be kept, so that they are not collected for nothing."""
        return self._pipeline.wants_content

    @property
    def redactor(self) -> Redactor | None:
        """What removes secrets; None where nothing does."""
        return self._pipeline.redactor

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's name
        """Say on standard error what went wrong with a record, without the secrets in it."""
        redactor = self._pipeline.redactor
        complain(record, message_of(record), None if redactor is None else redactor.redact_text)
