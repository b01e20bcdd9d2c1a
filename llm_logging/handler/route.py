"""Stage 4 of a record's way to its file: find the file. Before: `protect`; next: the buffer (`writing.writer`).

With a root each kind of line has its file (`files.layout`); with a file name all lines go to that one, or to one per
`{project_id}` / `{chat_id}` in it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from ..errors import ConfigurationError
from ..files.layout import Layout, LogKind, escape_id
from ..runtime.threads import refuse_free_threading
from .recognise import Line

__all__ = ["Router"]

_PLACEHOLDER: Final = re.compile(r"\{(project_id|chat_id)\}")
_KNOWN_PATHS: Final = 4096
_CHAT: Final = LogKind.CHAT


class Router:
    """Find the file of a line.

    Args:
        root: As in `LLMFileHandler`.
        filename: As in `LLMFileHandler`.
        redact: Removes secrets from a value; a name follows what the line says, so an id that is a secret is no file name.

    Attributes:
        root: The folder of all files.

    Raises:
        ConfigurationError: Both are given, or one is no path or no regular file.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None,
        filename: str | os.PathLike[str] | None,
        redact: Callable[[Any], Any],
    ) -> None:
        _check_place(root, filename)
        self._redact = redact
        self._template = os.path.abspath(os.path.expanduser(filename)) if filename is not None else None
        self._by_chat = self._template is not None and _PLACEHOLDER.search(self._template) is not None
        self._layout = Layout(root if self._template is None else _static_folder(self._template))
        self.root = self._layout.root
        self._paths: dict[tuple[LogKind, str | None, str | None], tuple[str, bytes]] = {}

    def file_of(self, line: Line) -> tuple[str, bytes]:
        """Return the file of a line, as text and as bytes."""
        kind = line.kind
        key = (kind, line.project_id, line.chat_id if self._by_chat or kind is _CHAT else None)
        return self._paths.get(key) or self._found(*key)

    def _found(self, kind: LogKind, project_id: str | None, chat_id: str | None) -> tuple[str, bytes]:
        project, chat = self._named("project_id", project_id), self._named("chat_id", chat_id)
        if self._template is None:
            name = os.fspath(self._layout.path(kind, project, chat))
        else:
            ids = {"project_id": project, "chat_id": chat}
            name = _PLACEHOLDER.sub(lambda match: escape_id(ids[match[1]] or "none"), self._template)
        if len(self._paths) >= _KNOWN_PATHS:
            self._paths.clear()
        found = self._paths[kind, project_id, chat_id] = (name, os.fsencode(name))
        return found

    def _named(self, field: str, value: str | None) -> str | None:
        if value is None:
            return value
        found = self._redact({field: value})
        name = found.get(field) if isinstance(found, dict) else None
        return name if isinstance(name, str) and name else "redacted"

    def __repr__(self) -> str:
        return str(self._template if self._template is not None else self.root)


def _static_folder(template: str) -> str:
    """Return the folder of a file name up to its first placeholder."""
    head = _PLACEHOLDER.split(template, maxsplit=1)[0]
    return os.path.dirname(head) or os.sep


def _check_place(root: str | os.PathLike[str] | None, filename: str | os.PathLike[str] | None) -> None:
    for name, place in (("root", root), ("filename", filename)):
        if place is not None and not isinstance(place, (str, os.PathLike)):
            raise ConfigurationError(f"{name}: expected a path, got {type(place).__name__}")
    unsupported = refuse_free_threading()
    if unsupported is not None:
        raise ConfigurationError(unsupported)
    if root is not None and filename is not None:
        raise ConfigurationError("expected root= or filename=, got both")
    if filename is not None:
        path = Path(filename).expanduser()
        if path.exists() and not path.is_file():
            raise ConfigurationError(
                f"filename: expected a regular file, got {str(path)!r}; LLMStreamHandler writes to streams"
            )
