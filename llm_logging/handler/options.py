"""How lines are buffered and written, and what came of it: the writer's options, its counts, and the checks of options."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from ..errors import ConfigurationError
from ..keys import MANIFEST_KEY, checked_key, key_from_environment

__all__ = [
    "WriterOptions",
    "WriterStats",
    "check_choices",
    "choice",
    "days",
    "manifest_key_of",
    "number",
    "owner_ids",
    "permission_bits",
    "switched",
    "truth",
]


@dataclass(frozen=True, slots=True)
class WriterOptions:
    """How lines are buffered and written; see `LLMFileHandler`."""

    buffer_bytes: int
    flush_bytes: int
    flush_interval: float
    overflow: Literal["drop_new", "drop_old"]
    overflow_wait: float
    spool: str
    max_open_files: int
    exit_timeout: float


@dataclass(slots=True)
class WriterStats:
    """Counts since the handler was made, in this process.

    Attributes:
        accepted: Lines stored.
        written: Lines in their files.
        buffered_bytes: Bytes stored and not yet written.
        dropped: Lines dropped because the buffer was full, content included.
        content_dropped: Of these, lines of content.
        withdrawn: Lines whose callers were told that they could not be written.
        retried: Writes that were tried again.
        recovered: Lines written for processes that were killed.
        flushes: Batches written.
        flush_seconds: Seconds spent in writing them.
        last_flush_seconds: Of these, the last batch.
        longest_flush_seconds: Of these, the longest.
        spool: `ring` or `memory`.
    """

    accepted: int = 0
    written: int = 0
    buffered_bytes: int = 0
    dropped: int = 0
    content_dropped: int = 0
    withdrawn: int = 0
    retried: int = 0
    recovered: int = 0
    flushes: int = 0
    flush_seconds: float = 0.0
    last_flush_seconds: float = 0.0
    longest_flush_seconds: float = 0.0
    spool: str = "ring"


def days(name: str, value: Any) -> timedelta | None:
    """Return a number of days as a span; None where there is to be none."""
    return None if value is None or value is False else timedelta(days=number(name, value))


def manifest_key_of(given: bytes | str | None) -> bytes | None:
    """Return the key of the manifests: what was given, else what the environment names, else none."""
    if given is not None:
        return checked_key(given, "manifest_key")
    return key_from_environment(MANIFEST_KEY)


_CHOICES: dict[str, tuple[Any, ...]] = {
    "content": ("off", "hash", "full"),
    "fsync": ("never", "batch", "rotate"),
    "overflow": ("drop_new", "drop_old"),
    "spool": ("auto", "shm", "root", "off"),
    "compress": (None, "gz", "zst"),
}
# What a YAML file's `on` and `off` mean; YAML 1.1 reads them as booleans, an INI file or the environment as texts.
_SWITCHED: dict[str, tuple[Any, Any]] = {
    "content": ("off", "full"),
    "fsync": ("never", "batch"),
    "spool": ("off", "auto"),
    "compress": (None, "gz"),
}
_ON = frozenset({"on", "yes", "true", "1"})
_OFF = frozenset({"off", "no", "false", "none", "0", ""})


def switched(value: Any) -> Any:
    """Return True or False for a text that says on or off; any other value as it is."""
    text = value.strip().lower() if isinstance(value, str) else None
    return True if text in _ON else False if text in _OFF else value


def truth(name: str, value: Any) -> bool:
    """Return a boolean, also one that a configuration file gave as text or number."""
    found = switched(value)
    if not isinstance(found, (bool, int)):
        raise ConfigurationError(f"{name}: expected True or False, got {value!r}")
    return bool(found)


def choice(name: str, value: Any) -> Any:
    """Return one of an option's choices, also where it was given as `on` or `off`, or in other case.

    Raises:
        ConfigurationError: It is none of them.
    """
    allowed = _CHOICES[name]
    text = value.strip().lower() if isinstance(value, str) else value
    for one in allowed:
        if type(text) is type(one) and text == one:
            return one
    flag = switched(value)
    if isinstance(flag, bool) and name in _SWITCHED:
        return _SWITCHED[name][flag]
    raise ConfigurationError(f"{name}: expected one of {', '.join(map(repr, allowed))}, got {value!r}")


def check_choices(**options: Any) -> tuple[Any, ...]:
    """Return options as one of their choices each, in their order.

    Raises:
        ConfigurationError: One is none of its choices.
    """
    found = {name: choice(name, value) for name, value in options.items()}
    if found.get("compress") == "zst":
        from ..files.compression import zstd_module

        zstd_module()
    return tuple(found.values())


def number(name: str, value: Any, *, least: int = 0) -> Any:
    """Return a number >= `least`, also one that a configuration file gave as text.

    Raises:
        ConfigurationError: It is none.
    """
    found = value
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            found = float(value) if any(char in value for char in ".eE") else int(value)
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not least <= found < math.inf:
        raise ConfigurationError(f"{name}: expected a number >= {least}, got {value!r}")
    return found


def permission_bits(name: str, value: int | str) -> int:
    """Return permissions given as a number or in octal text."""
    try:
        mode = int(value, 8) if isinstance(value, str) else value
        if isinstance(mode, bool) or not 0 <= mode <= 0o7777:
            raise ValueError
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"{name}: expected permission bits such as 0o600 or '600', got {value!r}"
        ) from None
    return mode


def owner_ids(owner: tuple[str | int, str | int] | list[str | int] | None) -> tuple[int, int] | None:
    """Return the ids of a user and a group given by name or number."""
    if not owner:
        return None
    try:
        import grp
        import pwd

        user, group = owner
        uid = user if isinstance(user, int) else pwd.getpwnam(user).pw_uid
        gid = group if isinstance(group, int) else grp.getgrnam(group).gr_gid
    except (ImportError, KeyError, TypeError, ValueError):
        raise ConfigurationError(
            f"owner: expected a user and a group of this system, got {owner!r}"
        ) from None
    return uid, gid
