"""Paths to values, in pino's syntax: `a.b`, `a[*].b`, `*.password`, `headers["x-api-key"]`, `["a-b"].c`, `a[0]`.

As pino documents it (docs/redaction.md there): paths are case sensitive, may begin with a bracket, and `*` stands for
every key of an object or every item of a list, at one level. A name behind a dot is a JavaScript identifier; any
other name goes into brackets and quotes. A path that leads nowhere in a value does nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from ..errors import ConfigurationError

__all__ = ["PathNode", "compile_paths", "parse_path", "render_path"]

WILDCARD: Final = None

_IDENTIFIER = re.compile(r"[^\W\d][\w$]*|\$[\w$]*")
_INDEX = re.compile(r"\[(-?\d+(?:\.\d+)?)\]")
_QUOTED = re.compile(r"""\[(["'`])((?:(?!\1)[^\\\n\r]|\\.)*)\1\]""")
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|.)")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "v": "\v", "0": "\0"}


def _refuse(path: object, position: int, expected: str) -> ConfigurationError:
    text = path if isinstance(path, str) else repr(path)
    found = repr(text[position : position + 12]) if position < len(text) else "its end"
    return ConfigurationError(
        f"redaction path {text!r}: expected {expected} at character {position + 1}, got {found}"
    )


def _unescape(match: re.Match[str]) -> str:
    code = match[1]
    return chr(int(code[1:], 16)) if code[0] in "ux" and len(code) > 1 else _ESCAPED.get(code, code)


def parse_path(path: str) -> tuple[str | None, ...]:
    """Read one path.

    Args:
        path: As above.

    Returns:
        Its steps; None is the wildcard, an index is its digits.

    Raises:
        ConfigurationError: It is no path; the message says where and why.
    """
    if not isinstance(path, str):
        raise ConfigurationError(f"redaction path: expected a string, got {type(path).__name__} {path!r}")
    if not path:
        raise ConfigurationError("redaction path '': expected at least one name, got an empty string")
    steps: list[str | None] = []
    position = 0
    while position < len(path):
        if path[position] == "[":
            position = _bracket(path, position, steps)
            continue
        if steps:
            if path[position] != ".":
                raise _refuse(path, position, "'.' or '['")
            position += 1
        if path.startswith("*", position):
            steps.append(WILDCARD)
            position += 1
            continue
        name = _IDENTIFIER.match(path, position)
        if name is None:
            raise _refuse(path, position, "a name or '*' (other names need brackets: [\"a-b\"])")
        steps.append(name[0])
        position = name.end()
    return tuple(steps)


def _bracket(path: str, position: int, steps: list[str | None]) -> int:
    if path.startswith("[*]", position):
        steps.append(WILDCARD)
        return position + 3
    index = _INDEX.match(path, position)
    if index is not None:
        steps.append(index[1])
        return index.end()
    quoted = _QUOTED.match(path, position)
    if quoted is None:
        raise _refuse(path, position, '[*], [0] or ["a name"]')
    steps.append(_ESCAPE.sub(_unescape, quoted[2]))
    return quoted.end()


class PathNode:
    """One place in the tree of all paths.

    Attributes:
        children: The next steps by name; an index is its digits.
        wild: The next step for any name.
        ends: True where a path ends, so that the value here goes.
    """

    __slots__ = ("children", "ends", "wild")

    def __init__(self) -> None:
        self.children: dict[str, PathNode] = {}
        self.wild: PathNode | None = None
        self.ends = False

    def add(self, steps: tuple[str | None, ...]) -> None:
        """Add a path below this place."""
        node = self
        for step in steps:
            if step is None:
                node.wild = node.wild or PathNode()
                node = node.wild
            else:
                node = node.children.setdefault(step, PathNode())
        node.ends = True


def compile_paths(paths: Iterable[str]) -> PathNode | None:
    """Put paths into one tree; None where there are none.

    Raises:
        ConfigurationError: One of them is no path.
    """
    if isinstance(paths, str):
        raise ConfigurationError(f"redaction paths: expected a list of strings, got the string {paths!r}")
    root = PathNode()
    for path in paths:
        root.add(parse_path(path))
    return root if root.children or root.wild else None


def render_path(steps: Iterable[object]) -> str:
    """Write steps as a path, `a.b[0]["x-y"]`."""
    text = ""
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _IDENTIFIER.fullmatch(str(step)):
            text += f".{step}" if text else str(step)
        else:
            quoted = (
                str(step).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
            )
            text += f'["{quoted}"]'
    return text
