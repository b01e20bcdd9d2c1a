"""HTTP content encodings, undone as the bytes arrive, for a copy of a body that travels on untouched.

gzip, deflate (with or without zlib's wrapper), br and zstd, and any chain of them. brotli and zstd need what the HTTP
clients themselves use for them; a client never asks for an encoding whose package is absent.
"""

from __future__ import annotations

import importlib
import zlib
from typing import Any, Protocol

__all__ = ["Decompressor", "decompressor"]


class Decompressor(Protocol):
    """Undo an encoding step by step."""

    def __call__(self, data: bytes, /) -> bytes:
        """Take the next bytes and return what they hold; raises where they are damaged."""


class _Gzip:
    __slots__ = ("_state",)

    def __init__(self) -> None:
        self._state = zlib.decompressobj(zlib.MAX_WBITS | 16)

    def __call__(self, data: bytes, /) -> bytes:
        made = self._state.decompress(data)
        while self._state.eof and self._state.unused_data:
            # A body may be several gzip members, one after the other.
            rest = self._state.unused_data
            self._state = zlib.decompressobj(zlib.MAX_WBITS | 16)
            made += self._state.decompress(rest)
        return made


class _Deflate:
    __slots__ = ("_first", "_state")

    def __init__(self) -> None:
        self._state = zlib.decompressobj()
        self._first = b""

    def __call__(self, data: bytes, /) -> bytes:
        if self._first is not None and len(self._first) < 2:
            self._first += data
            if len(self._first) < 2:
                return b""
            data = self._first
            # Servers send bare deflate under this name, too; zlib's wrapper says so in its first two bytes.
            if (data[0] & 0x0F) != 8 or ((data[0] << 8) | data[1]) % 31:
                self._state = zlib.decompressobj(-zlib.MAX_WBITS)
        return self._state.decompress(data)


def _first_module(*names: str) -> Any:
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


def _brotli() -> Decompressor | None:
    module = _first_module("brotli", "brotlicffi")
    if module is None:
        return None
    state = module.Decompressor()
    step: Decompressor = getattr(state, "decompress", None) or state.process
    return step


def _zstd() -> Decompressor | None:
    module = _first_module("compression.zstd", "backports.zstd", "zstandard")
    if module is None:
        return None
    state = module.ZstdDecompressor()
    step: Decompressor = (state.decompressobj() if hasattr(state, "decompressobj") else state).decompress
    return step


def _chained(outer: Decompressor, inner: Decompressor) -> Decompressor:
    def both(data: bytes, /) -> bytes:
        return inner(outer(data))

    return both


def decompressor(content_encoding: str | None) -> Decompressor | None:
    """Return what undoes a `Content-Encoding`.

    Args:
        content_encoding: The header's value; None or empty for none.

    Returns:
        A step function; `bytes` itself where nothing is to be undone; None where the encoding is not known here.
    """
    made: Decompressor = bytes
    for name in reversed(
        [part.strip().lower() for part in (content_encoding or "").split(",") if part.strip()]
    ):
        step: Decompressor | None
        if name == "identity":
            continue
        if name in ("gzip", "x-gzip"):
            step = _Gzip()
        elif name == "deflate":
            step = _Deflate()
        elif name == "br":
            step = _brotli()
        elif name == "zstd":
            step = _zstd()
        else:
            step = None
        if step is None:
            return None
        made = step if made is bytes else _chained(made, step)
    return made
