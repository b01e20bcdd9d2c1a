"""`LLMConsoleFormatter`: one readable line per record, for terminals.

Invariants: secrets are removed; control and bidirectional characters are escaped, so logged text cannot move the cursor or
reorder what is displayed.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from ..reach import sink_defaults, sinks_within_reach
from ..redaction.redactor import redactor_from
from .complete import line_of, robustly
from .formatter import RedactOption, level_of, redacted_text
from .protect import without_secrets
from .recognise import LLM_REQUEST

__all__ = ["LLMConsoleFormatter"]


_COLOURS: Final = {
    logging.DEBUG: "\x1b[2m",
    logging.INFO: "\x1b[32m",
    logging.WARNING: "\x1b[33m",
    logging.ERROR: "\x1b[31m",
    logging.CRITICAL: "\x1b[1;31m",
}
_DIM, _OFF = "\x1b[2m", "\x1b[0m"


_BIDI: Final = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u061c")


class LLMConsoleFormatter(logging.Formatter):
    """Format any record as text for people, an LLM request with its model, tokens and latency.

    Args:
        fmt: Taken for `logging.config`'s sake; the form of the line is fixed.
        datefmt: Form of the time, local; `%H:%M:%S` when absent.
        style: Taken for `logging.config`'s sake.
        validate: Taken for `logging.config`'s sake.
        defaults: Taken for `logging.config`'s sake.
        colour: True, False, or None to use colour where standard error is a terminal and `NO_COLOR` is not set.
        redact: As in `LLMJsonFormatter`.
        entry_defaults: As in `LLMJsonFormatter`; beneath them stand the `defaults=` of the handlers of ours that the
            record's logger reaches.
    """

    def __init__(
        self,
        fmt: str | None = None,  # noqa: ARG002
        datefmt: str | None = None,
        style: str = "%",  # noqa: ARG002
        validate: bool = True,  # noqa: ARG002
        *,
        defaults: Mapping[str, Any] | None = None,  # noqa: ARG002
        colour: bool | None = None,
        redact: RedactOption = True,
        entry_defaults: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(datefmt=datefmt or "%H:%M:%S")
        self.colour = _terminal_has_colour() if colour is None else colour
        self.redactor = redactor_from(redact)
        self.entry_defaults: Mapping[str, Any] = dict(entry_defaults or {})

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's text; only a stack makes it longer than one line."""
        return robustly(self._formed, record)

    def _formed(self, record: logging.LogRecord) -> str:
        shared = sink_defaults(sinks_within_reach(logging.getLogger(record.name)))
        found = line_of(record, {**shared, **self.entry_defaults})
        record = found.record
        message, body = without_secrets(found, self.redactor)
        when = datetime.fromtimestamp(found.micros / 1e6, UTC).astimezone().strftime(self.datefmt or "")
        facts = (
            _facts(body)
            if found.event_type == LLM_REQUEST
            else _event_facts(redacted_text(self.redactor, found.event_type), body)
        )
        where = "/".join(printable(str(body[name])) for name in ("project_id", "chat_id") if body.get(name))
        level, name, text = (
            f"{printable(redacted_text(self.redactor, level_of(record))):<7}",
            printable(redacted_text(self.redactor, record.name)),
            printable(message),
        )
        details = "  ".join(part for part in (facts, where) if part)
        if self.colour:
            level = f"{_COLOURS.get(record.levelno, '')}{level}{_OFF}"
            details = f"{_DIM}{details}{_OFF}" if details else ""
            when = f"{_DIM}{when}{_OFF}"
        line = f"{when} {level} {name}  {text}" + (f"  {details}" if details else "")
        stack = body.get("stack")
        if stack:
            line += "\n" + "\n".join(printable(part) for part in str(stack).splitlines())
        return line


def _terminal_has_colour() -> bool:
    import os

    return not os.environ.get("NO_COLOR") and sys.stderr is not None and sys.stderr.isatty()


def _facts(body: Mapping[str, Any]) -> str:
    usage = body.get("usage") or {}
    timings = body.get("timings") or {}
    error = body.get("error") or {}
    parts = [printable(str(body.get("model", "")))]
    if body.get("status") not in {"success", None}:
        parts.append(printable(str(body["status"])))
    if error:
        parts.append(
            printable(str(error.get("code") or error.get("type") or error.get("message") or "")[:80])
        )
    if "total_tokens" in usage:
        parts.append(f"{usage.get('prompt_tokens', 0):,}+{usage.get('completion_tokens', 0):,} tokens")
    if "latency_ms" in timings:
        parts.append(f"{timings['latency_ms']:,.0f} ms")
    return " ".join(part for part in parts if part)


def _event_facts(event_type: str, body: Mapping[str, Any]) -> str:
    data = body.get("data")
    parts = [] if event_type in {"log", "error", "warning"} else [f"[{printable(event_type)}]"]
    if isinstance(data, Mapping):
        # uvicorn's `color_message` is its message once more, with a place for each colour.
        parts += [
            f"{printable(str(key))}={printable(str(value))[:200]}"
            for key, value in data.items()
            if key != "color_message"
        ]
    return " ".join(parts)


def printable(text: str) -> str:
    """Return text that cannot move a terminal's cursor, change its colours or reorder what is read."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char
        if char.isprintable() and char not in _BIDI
        else f"\\u{ord(char):04x}"
        if char not in "\n\t"
        else " "
        for char in text
    )
