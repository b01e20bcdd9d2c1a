"""What a handler says on standard error of a record that it could not log, without the secrets in it.

`logging.Handler.handleError` prints the record's message and arguments as they came; a record that holds a secret would end
on the console after all, just because something else went wrong.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import traceback

from .records import message_of
from .redaction import Redactor

__all__ = ["complain"]


def complain(record: logging.LogRecord, redactor: Redactor | None) -> None:
    """Say what went wrong with a record, as `logging` does: where it was logged, why, and its message; never raise.

    Called while the exception is handled; silent where `logging.raiseExceptions` is False.

    Args:
        record: The record that could not be logged.
        redactor: Takes secrets out; None leaves them.
    """
    if not logging.raiseExceptions or sys.stderr is None:
        return
    with contextlib.suppress(Exception):
        text = (
            f"--- Logging error ---\n{traceback.format_exc()}"
            f"Logged from {getattr(record, 'pathname', None)}, line {getattr(record, 'lineno', None)}\nMessage: {message_of(record)!r}\n"
        )
        sys.stderr.write(text if redactor is None else redactor.redact_text(text))
