"""Report on standard error what must not end the user's request: errors of ours, misuse, records that could not be logged.

Secrets stay out. `show_failure` leaves the error's own text out, for it may quote what was to be logged; `complain` prints a
record as `logging.Handler.handleError` does, after `clean` took the secrets out of it.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import traceback
from collections.abc import Callable

__all__ = ["complain", "report_misuse", "say_once", "show_failure"]

_MOST_PLACES = 1_000
_said: set[str] = set()
_misused: set[tuple[str, str]] = set()


def say_once(topic: str, text: str) -> None:
    """Log a warning of the library's own, once a process for each topic; never raise.

    Not by `warnings`, which can be exceptions. Where no handler is configured at all, `logging` writes it to standard error.

    Args:
        topic: What it is about; begins the message.
        text: Why, and what is to be done about it.
    """
    if topic in _said:
        return
    _said.add(topic)
    with contextlib.suppress(Exception):
        logging.getLogger("llm_logging").warning("%s: %s (said once)", topic, text)


def show_failure(error: BaseException) -> None:
    """Say where a call could not be logged and what kind of error stopped it, as `logging` shows its own; never raise.

    Silent where `logging.raiseExceptions` is False.

    Args:
        error: Why.
    """
    if not logging.raiseExceptions or sys.stderr is None:
        return
    with contextlib.suppress(Exception):
        frames = "".join(traceback.format_tb(error.__traceback__))
        kinds = [_kind(error)]
        seen = {id(error)}
        while (cause := error.__cause__ or error.__context__) is not None and id(cause) not in seen:
            seen.add(id(cause))
            kinds.append(_kind(cause))
            error = cause
        sys.stderr.write(
            f"--- llm_logging: a call could not be logged ---\n{frames}{', after '.join(kinds)} "
            "(its text may quote what was to be logged, and is left out)\n"
        )


def _kind(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")


def report_misuse(place: str, text: str) -> None:
    """Say on standard error what an application does wrong, once for each place in its code; never raise.

    Silent where `logging.raiseExceptions` is False.

    Args:
        place: Where, as `file:line`.
        text: What was expected, and what came; none of the user's own text.
    """
    if (place, text) in _misused or len(_misused) >= _MOST_PLACES or not logging.raiseExceptions:
        return
    _misused.add((place, text))
    with contextlib.suppress(Exception):
        sys.stderr.write(f"llm_logging: {place}: {text}\n")


def complain(record: logging.LogRecord, message: str, clean: Callable[[str], str] | None) -> None:
    """Say what went wrong with a record, as `logging` does: where it was logged, why, and its message; never raise.

    Called while the exception is handled; silent where `logging.raiseExceptions` is False.

    Args:
        record: The record that could not be logged.
        message: Its text.
        clean: Takes secrets out of a text; None leaves them.
    """
    if not logging.raiseExceptions or sys.stderr is None:
        return
    with contextlib.suppress(Exception):
        text = (
            f"--- Logging error ---\n{traceback.format_exc()}"
            f"Logged from {getattr(record, 'pathname', None)}, line {getattr(record, 'lineno', None)}\nMessage: {message!r}\n"
        )
        sys.stderr.write(text if clean is None else clean(text))
