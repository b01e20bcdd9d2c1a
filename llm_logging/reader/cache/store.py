"""Read and write files in the cache folder: private, complete or absent, keyed by schema and version."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zlib
from functools import cache
from pathlib import Path
from typing import Any, Final

from ..lines.columns import columns, held_columns
from ..lines.duckdb_engine import duckdb_version

__all__ = [
    "ENV_CACHE",
    "cache_folder",
    "digest_of",
    "key_of",
    "log_folder",
    "make_private",
    "package_tag",
    "read_file",
    "schema_tag",
    "write_file",
]

ENV_CACHE: Final = "LLM_LOGGING_CACHE"
_BLOCK: Final = 2**20
# Raised whenever what a piece holds changes in a way that its columns do not show.
_FORMAT: Final = 9


@cache
def package_tag() -> str:
    """Name the version of this package, part of every key in the cache: another version may read the same bytes differently.

    `_FORMAT` distinguishes states of one version under development.
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"{version('llm-logging')}.{_FORMAT}"
    except PackageNotFoundError:
        return f"0.{_FORMAT}"


def key_of(identity: Any) -> str:
    """Return the key under which something is kept: a hash of what it depends on and of this package's version.

    Args:
        identity: JSON; other values count by their `str`.
    """
    text = json.dumps([package_tag(), identity], sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


@cache
def schema_tag() -> str:
    """Name the layout of pieces and the version; it names the folder of everything that depends on them."""
    held = [(c.path, c.kind, c.least, c.most, c.origin) for c in held_columns()]
    return key_of([duckdb_version(), held, list(columns())])[:12]


def cache_folder(given: str | os.PathLike[str] | None) -> Path:
    """Return the folder of the cache.

    Args:
        given: The folder; None takes `LLM_LOGGING_CACHE`, then `llm_logging` in the user's cache folder.
    """
    chosen = given if given is not None else os.environ.get(ENV_CACHE)
    if chosen:
        return Path(chosen)
    usual = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    return Path(usual) / "llm_logging"


def digest_of(path: Path) -> int:
    """Return the CRC-32 of a file."""
    digest = 0
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            digest = zlib.crc32(block, digest)
    return digest


def log_folder(folder: Path, log: str) -> Path:
    """Return where the pieces of a log lie; `forget` finds those of other versions by the folder's name.

    Args:
        folder: The cache's folder.
        log: Identifies the log: its absolute path.
    """
    return folder / schema_tag() / hashlib.sha256(log.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def make_private(folder: Path) -> None:
    """Make a folder and those above it that are missing, for their owner only."""
    if not folder.is_dir():
        make_private(folder.parent)
        folder.mkdir(exist_ok=True, mode=0o700)


def write_file(path: Path, content: bytes) -> None:
    """Put a file into its place whole, for its owner only, with its hash: damage on the disk must change no figure."""
    handle, name = tempfile.mkstemp(prefix=".", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def read_file(path: Path) -> bytes:
    """Return what `write_file` was given.

    Raises:
        OSError: It cannot be read.
        ValueError: It is damaged.
    """
    digest, _, content = path.read_bytes().partition(b"\n")
    if hashlib.sha256(content).hexdigest().encode() != digest:
        raise ValueError(f"{path}: expected content of the hash before it, got other content")
    return content
