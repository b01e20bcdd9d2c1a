"""Where each kind of line lies under the root.

Invariants: an id never leaves its folder; two different ids never share a name, also on file systems that fold
case or unicode forms; no name passes 255 bytes, lock, temporary and segment suffixes included. Escaping is one-way
for long ids, so nobody reads an id from a name: it is inside the line.

The escape: `a-z 0-9 _ -` stand for themselves, every other byte of the id's UTF-8 becomes `%XX`, except ASCII
capitals, which stay readable and are told apart by a suffix `~` + the hexadecimal bit map of their places. What is
longer than 160 bytes is cut and ends in `~sha256-` and 128 bits of the id's SHA-256.
"""

from __future__ import annotations

import hashlib
import os
import string
from enum import StrEnum
from pathlib import Path

from ..errors import ConfigurationError
from ..reach import configured_root
from .objects import is_url

__all__ = ["ENV_ROOT", "Layout", "LogKind", "escape_id", "find_root", "resolve_root"]

ENV_ROOT = "LLM_LOGGING_ROOT"
DEFAULT_ROOT = "llm_logs"

_SAFE = frozenset(string.ascii_lowercase + string.digits + "_-")
_UPPER = frozenset(string.ascii_uppercase)
_MAX_NAME = 160
_CUT_NAME = 80
# Device names that Windows reserves in every folder.
_RESERVED = frozenset(
    {"con", "prn", "aux", "nul"} | {f"com{n}" for n in range(10)} | {f"lpt{n}" for n in range(10)}
)


class LogKind(StrEnum):
    """Name the kinds of file under a root."""

    SYSTEM = "system"
    REQUESTS = "llm_requests"
    CONTENT = "llm_content"
    EVENTS = "events"
    CHAT = "chat"


def resolve_root(root: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder that holds the logs.

    Args:
        root: The folder; None or an empty text takes the environment variable `LLM_LOGGING_ROOT`, then `./llm_logs`.

    Returns:
        An absolute path, which need not exist.

    Raises:
        ConfigurationError: It is the URL of a store.
    """
    chosen = root or os.environ.get(ENV_ROOT) or DEFAULT_ROOT
    if is_url(chosen):
        raise ConfigurationError(
            f"root: expected a folder on this machine, got {chosen}; logs are written to a folder, and copied to a store by "
            "LLMFileHandler(ship=...) or llm-logging ship"
        )
    return Path(os.path.abspath(os.path.expanduser(chosen)))  # noqa: PTH100, PTH111  links stay as the user gave them


def find_root(root: str | os.PathLike[str] | None = None) -> tuple[Path, str]:
    """Return the folder whose logs a question is about, and why it is that one.

    Args:
        root: The folder; None or an empty text takes the root of the handler that this process made last and did not close,
            then the environment variable `LLM_LOGGING_ROOT`, then `./llm_logs`.
    """
    if root:
        return resolve_root(root), "it is the root that was named"
    configured = configured_root()
    if configured is not None:
        return resolve_root(configured), "it is the root of this process's LLMFileHandler"
    if os.environ.get(ENV_ROOT):
        return resolve_root(), f"{ENV_ROOT} names it"
    why = f"it is the default: no root is named, this process has no open LLMFileHandler, and {ENV_ROOT} is not set"
    return resolve_root(), why


def escape_id(value: str) -> str:
    """Turn an id that anybody may have chosen into one file name component.

    Args:
        value: The id, not empty.

    Returns:
        At most 160 bytes of ASCII without a dot, a slash or a backslash; different ids give different names.
    """
    if not value:
        raise ValueError("an id in a file name: expected at least one character, got an empty string")
    parts: list[str] = []
    case_map = 0
    for position, char in enumerate(value):
        if char in _SAFE:
            parts.append(char)
        elif char in _UPPER:
            parts.append(char)
            case_map |= 1 << position
        else:
            parts.extend(f"%{byte:02x}" for byte in char.encode("utf-8", "surrogatepass"))
    name = "".join(parts)
    if name in _RESERVED or name.lower() in _RESERVED:
        name = f"%{ord(name[0]):02x}{name[1:]}"
    if case_map:
        name = f"{name}~{case_map:x}"
    if len(name) > _MAX_NAME:
        digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        # The cut part is only for people; the digest alone keeps ids apart.
        name = f"{name[:_CUT_NAME].lower()}~sha256-{digest}"
    return name


class Layout:
    """Tell where under one root each kind of line lies.

    Args:
        root: The folder; see `resolve_root`.
        why: Why it is this one, for messages.
    """

    __slots__ = ("root", "why")

    def __init__(self, root: str | os.PathLike[str] | None = None, *, why: str = "") -> None:
        self.root = resolve_root(root)
        self.why = why or "it is the root that was named"

    @property
    def projects_dir(self) -> Path:
        """The folder that holds one folder a project."""
        return self.root / "projects"

    def project_dir(self, project_id: str) -> Path:
        """The folder of one project."""
        return self.projects_dir / escape_id(project_id)

    def relative(self, kind: LogKind, project_id: str | None = None, chat_id: str | None = None) -> str:
        """Return the active file of a kind, relative to the root, with `/`.

        Args:
            kind: Which kind of line.
            project_id: Needed by every kind but SYSTEM.
            chat_id: Needed by CHAT.

        Raises:
            ValueError: An id that the kind needs is absent or empty.
        """
        if kind is LogKind.SYSTEM:
            return "logs/system.jsonl"
        if not project_id:
            raise ValueError(f"a file of kind {kind.value}: expected a project_id, got {project_id!r}")
        folder = f"projects/{escape_id(project_id)}"
        if kind is LogKind.CHAT:
            if not chat_id:
                raise ValueError(f"a file of kind {kind.value}: expected a chat_id, got {chat_id!r}")
            return f"{folder}/chats/{escape_id(chat_id)}.jsonl"
        return f"{folder}/logs/{kind.value}.jsonl"

    def path(self, kind: LogKind, project_id: str | None = None, chat_id: str | None = None) -> Path:
        """Return the active file of a kind; see `relative`."""
        return self.root / self.relative(kind, project_id, chat_id)
