r"""Escape logged text for the place where it is shown: a terminal, JSON, CSV, Markdown.

Invariants: what `safe` returns holds no control character (C0, DEL, C1), no bidirectional control, no line or
paragraph separator, no invisible format character that hides text, and no lone surrogate; each is written out as an
escape that a person can read (`\x1b`, `\u202e`). Joiners that scripts and emoji need (U+200C, U+200D) stay. JSON
stays the same JSON value, since only its own escapes are used. Nothing here reads markup in the text.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel

__all__ = ["answer_json", "csv_cell", "dumps", "json_safe", "markdown_cell", "safe", "shorten"]

# Built from numbers, so that this file itself shows what it means in every editor.
_RANGES = (
    (0x00, 0x1F),  # C0: escape sequences start here
    (0x7F, 0x9F),  # DEL and C1: 0x9B is a whole CSI in some terminals
    (0xAD, 0xAD),  # soft hyphen
    (0x061C, 0x061C),  # arabic letter mark
    (0x180E, 0x180E),
    (0x200B, 0x200B),  # zero width space
    (0x200E, 0x200F),  # left-to-right and right-to-left marks
    (0x2028, 0x202E),  # line and paragraph separators, embeddings and overrides
    (0x2060, 0x206F),  # invisible operators, isolates, deprecated formats
    (0xD800, 0xDFFF),  # lone surrogates cannot be encoded
    (0xFEFF, 0xFEFF),
    (0xFFF9, 0xFFFB),
    (0xE0000, 0xE007F),  # tags: invisible copies of ASCII
)


def _class(ranges: tuple[tuple[int, int], ...]) -> str:
    return "[" + "".join(f"{re.escape(chr(first))}-{re.escape(chr(last))}" for first, last in ranges) + "]"


_UNSAFE = re.compile(_class(_RANGES))
_UNSAFE_BUT_NEWLINE = re.compile(_class(((0x00, 0x09), (0x0B, 0x1F), *_RANGES[1:])))
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
# What spreadsheets take as the start of a formula, full-width forms included.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "＝", "＋", "－", "＠")  # noqa: RUF001  the point of it
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|~#!&])")


def _visible(match: re.Match[str]) -> str:
    char = match[0]
    number = ord(char)
    if char in _SHORT:
        return _SHORT[char]
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _json_escape(match: re.Match[str]) -> str:
    number = ord(match[0])
    if number < 0x10000:
        return f"\\u{number:04x}"
    number -= 0x10000
    return f"\\u{0xD800 + (number >> 10):04x}\\u{0xDC00 + (number & 0x3FF):04x}"


def safe(text: object, *, newlines: bool = False) -> str:
    r"""Write text so that a terminal shows it and does nothing else.

    Args:
        text: Anything; what is not a string is turned into one first.
        newlines: Keep `\n`; for text that the caller indents line by line.

    Returns:
        The text with every character that acts instead of showing replaced by a visible escape.
    """
    plain = text if isinstance(text, str) else str(text)
    if newlines:
        return _UNSAFE_BUT_NEWLINE.sub(_visible, plain.replace("\r\n", "\n").replace("\t", "    "))
    return _UNSAFE.sub(_visible, plain)


def json_safe(text: str) -> str:
    """Make JSON on one line safe for a terminal without changing its value.

    Args:
        text: One JSON value, as `json.dumps` writes it; newlines between its parts stay.
    """
    return _UNSAFE_BUT_NEWLINE.sub(_json_escape, text)


def dumps(value: Any, *, indent: int | None = None) -> str:
    """Write a value as JSON that is readable in every language and safe for a terminal."""
    import json

    return json_safe(json.dumps(value, ensure_ascii=False, indent=indent, default=str))


def csv_cell(value: object) -> object:
    """Make one cell safe for spreadsheets and terminals.

    Text that a spreadsheet would run as a formula gets an apostrophe in front; numbers stay numbers.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return value
    text = safe(value)
    start = value.lstrip(" \u00a0")
    return f"'{text}" if start.startswith(_FORMULA) else text


def markdown_cell(value: object) -> str:
    """Make one cell of a Markdown table: its characters mean themselves, on one line."""
    return _MARKDOWN.sub(r"\\\1", safe(value))


def shorten(text: str, length: int) -> str:
    """Cut text to a length in characters, the cut shown as an ellipsis."""
    return text if len(text) <= length else text[: max(length - 1, 0)] + "…"


def answer_json(value: BaseModel, *, camel: bool = False, indent: int | None = 2) -> str:
    """Write an answer as the command line and the HTTP API do: the whole model, names in snake_case or camelCase.

    Args:
        value: The answer.
        camel: Names in camelCase.
        indent: Spaces of each level; None: one line.

    Returns:
        JSON that is safe for a terminal, with a newline at its end.
    """
    return json_safe(value.model_dump_json(by_alias=camel, indent=indent)) + "\n"
