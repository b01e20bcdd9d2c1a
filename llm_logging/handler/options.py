"""How lines are buffered and written, and what came of it: the writer's options, its counts, and the checks of options."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from ..errors import ConfigurationError
from ..keys import MANIFEST_KEY, checked_key, key_from_environment

__all__ = [
    "WriterOptions",
    "WriterStats",
    "check_choices",
    "check_numbers",
    "days",
    "manifest_key_of",
    "owner_ids",
    "permission_bits",
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


def days(value: float | None) -> timedelta | None:
    """Return a number of days as a span."""
    return timedelta(days=value) if value is not None else None


def manifest_key_of(given: bytes | str | None) -> bytes | None:
    """Return the key of the manifests: what was given, else what the environment names, else none."""
    if given is not None:
        return checked_key(given, "manifest_key")
    return key_from_environment(MANIFEST_KEY)


def check_choices(**options: Any) -> None:
    """Refuse options that are none of their choices."""
    allowed: dict[str, tuple[Any, ...]] = {
        "content": ("off", "hash", "full"),
        "fsync": ("never", "batch", "rotate"),
        "overflow": ("drop_new", "drop_old"),
        "spool": ("auto", "shm", "root", "off"),
        "compress": (None, False, True, "gz", "zst"),
    }
    for name, value in options.items():
        if value not in allowed[name]:
            raise ConfigurationError(
                f"{name}: expected one of {', '.join(map(repr, allowed[name]))}, got {value!r}"
            )
    if options.get("compress") == "zst":
        from ..files.compression import zstd_module

        zstd_module()


def check_numbers(**options: Any) -> None:
    """Refuse options that are no numbers of their kind."""
    for name, value in options.items():
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
            raise ConfigurationError(f"{name}: expected a number >= 0, got {value!r}")
    if options["buffer_bytes"] < 1 << 16:
        raise ConfigurationError(
            f"buffer_bytes: expected at least {1 << 16}, got {options['buffer_bytes']!r}"
        )


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
    if owner is None:
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
