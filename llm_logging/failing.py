"""What is said on standard error of an error of ours, or of the user's own filter, that must not end the user's request.

Its text is left out: it may quote what was to be logged, which nobody has looked through for secrets.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import traceback

__all__ = ["say_once", "show_failure", "show_once"]

_said: set[str] = set()
_MOST_PLACES = 1_000
_shown: set[tuple[str, str]] = set()


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


def show_once(place: str, text: str) -> None:
    """Say on standard error what an application does wrong, once for each place in its code; never raise.

    Silent where `logging.raiseExceptions` is False.

    Args:
        place: Where, as `file:line`.
        text: What was expected, and what came; none of the user's own text.
    """
    if (place, text) in _shown or len(_shown) >= _MOST_PLACES or not logging.raiseExceptions:
        return
    _shown.add((place, text))
    with contextlib.suppress(Exception):
        sys.stderr.write(f"llm_logging: {place}: {text}\n")
