"""What options may be given as: numbers, days, switches and permissions, also as the texts of configuration files."""

from __future__ import annotations

import contextlib
import math
from datetime import timedelta
from typing import Any

from .errors import ConfigurationError

__all__ = ["days", "number", "owner_ids", "permission_bits", "switched", "truth"]


def days(name: str, value: Any) -> timedelta | None:
    """Return a number of days as a span; None where there is to be none."""
    return None if value is None or value is False else timedelta(days=number(name, value))


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
