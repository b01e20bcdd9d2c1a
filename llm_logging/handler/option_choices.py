"""Checks of the handler's options whose values are words: choices, and what an option derives from the environment."""

from __future__ import annotations

import os
from typing import Any

from ..errors import ConfigurationError, ValidationError
from ..files.objects import open_store
from ..hmac_keys import MANIFEST_KEY, checked_key, key_from_environment
from ..option_values import switched

__all__ = ["check_choices", "choice", "manifest_key_of", "ship_target"]


def manifest_key_of(given: bytes | str | None) -> bytes | None:
    """Return the key of the manifests: what was given, else what the environment names, else none."""
    if given is not None:
        return checked_key(given, "manifest_key")
    return key_from_environment(MANIFEST_KEY)


def ship_target(given: Any, filename: Any) -> str | None:
    """Return where segments are shipped to; None for nowhere.

    Raises:
        ConfigurationError: It is no store, the package for it is missing, or the handler writes no root.
    """
    if given is None:
        return None
    if not isinstance(given, (str, os.PathLike)) or not os.fspath(given):
        raise ConfigurationError(f"ship: expected a URL or a folder, got {given!r}")
    if filename is not None:
        raise ConfigurationError("ship: expected root=, got filename=: only the logs of a root are shipped")
    try:
        return open_store(given).url
    except ValidationError as error:
        raise ConfigurationError(f"ship: {error}") from error


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
