"""Secret keys of our own, for pseudonyms and manifests: read from the environment or from a file, never from code.

A key is named by a variable: `NAME` holds it, or `NAME_FILE` the path of a file that does. Surrounding white space is
no part of it. A key shorter than 16 bytes is refused: what it protects could be found by trying.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path
from typing import Final

from .errors import ConfigurationError

__all__ = [
    "MANIFEST_KEY",
    "PSEUDONYM_KEY",
    "checked_key",
    "key_from_environment",
    "key_from_file",
    "pseudonym",
]

PSEUDONYM_KEY: Final = "LLM_LOGGING_PSEUDONYM_KEY"
MANIFEST_KEY: Final = "LLM_LOGGING_MANIFEST_KEY"
_SHORTEST: Final = 16


def checked_key(key: str | bytes, source: str) -> bytes:
    """Return a key as bytes.

    Args:
        key: Text is taken as UTF-8.
        source: Where it came from, for the message.

    Raises:
        ConfigurationError: It is shorter than 16 bytes.
    """
    found = (key.encode("utf-8") if isinstance(key, str) else bytes(key)).strip()
    if len(found) < _SHORTEST:
        raise ConfigurationError(f"{source}: expected a key of at least {_SHORTEST} bytes, got {len(found)}")
    return found


def key_from_file(file: str | os.PathLike[str], source: str) -> bytes:
    """Return the key that a file holds.

    Args:
        file: Its path.
        source: Who named it, for the message.

    Raises:
        ConfigurationError: It cannot be read, or the key is too short.
    """
    try:
        return checked_key(Path(file).read_bytes(), f"{source} {os.fspath(file)}")
    except OSError as error:
        raise ConfigurationError(
            f"{source}: expected a readable file, got {os.fspath(file)!r}: {error}"
        ) from error


def key_from_environment(variable: str) -> bytes | None:
    """Return the key that `variable` holds, or the file that `variable` + `_FILE` names; None where neither is set.

    Raises:
        ConfigurationError: Both are set, the file cannot be read, or the key is too short.
    """
    text, file = os.environ.get(variable), os.environ.get(f"{variable}_FILE")
    if text and file:
        raise ConfigurationError(f"expected {variable} or {variable}_FILE, got both")
    if text:
        return checked_key(text, variable)
    if not file:
        return None
    try:
        return checked_key(Path(file).read_bytes(), f"{variable}_FILE={file}")
    except OSError as error:
        raise ConfigurationError(
            f"{variable}_FILE: expected a readable file, got {file!r}: {error}"
        ) from error


def pseudonym(field: str, value: object, key: bytes) -> str:
    """Return the pseudonym of one value.

    It is `p_` and the first 128 bits, in hexadecimal, of HMAC-SHA-256 under the key of the field's last name, a zero
    byte and the value: stable for grouping, different for a `user_id` and a `chat_id` of one spelling, and new under a
    new key.

    Args:
        field: The field's name; of a dotted one the last part counts.
        value: What stands in it; numbers count as their decimal text.
        key: At least 16 bytes.
    """
    message = field.rpartition(".")[2].encode() + b"\0" + str(value).encode("utf-8", "surrogatepass")
    return f"p_{hmac.new(key, message, hashlib.sha256).hexdigest()[:32]}"
