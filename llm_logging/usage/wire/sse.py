r"""Streams of events, decoded as their bytes arrive, cut at any place.

Server-sent events as the WHATWG standard has them (`\n`, `\r\n` or `\r`; comments; several `data` lines; a byte order
mark), and lines of JSON. A decoder holds at most one unfinished event, and that no longer than `MAX_EVENT` bytes.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import Final, NamedTuple

__all__ = ["MAX_EVENT", "LineDecoder", "SSEDecoder", "ServerSentEvent"]

MAX_EVENT: Final = 32 * 1024 * 1024
"""Bytes of one event after which it is given up: no provider sends such, and memory stays bounded."""


class ServerSentEvent(NamedTuple):
    """One event: its name, empty where it has none, and its data."""

    event: str
    data: bytes


class LineDecoder:
    r"""Cut bytes into lines at `\n`, `\r\n` or `\r`."""

    __slots__ = ("_buffer", "_skipping", "_start")

    def __init__(self) -> None:
        self._buffer = b""
        self._skipping = False
        self._start = True

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes.

        Args:
            data: As they came, of any length.

        Returns:
            The lines that are whole now, without their ends.
        """
        buffer = self._buffer + data if self._buffer else data
        if self._start:
            if len(buffer) < len(codecs.BOM_UTF8) and codecs.BOM_UTF8.startswith(buffer):
                self._buffer = buffer
                return []
            self._start = False
            buffer = buffer.removeprefix(codecs.BOM_UTF8)
        if b"\r" in buffer:
            held = b""
            if buffer.endswith(b"\r"):
                # Whether a line feed follows, and belongs to it, shows with the next bytes.
                buffer, held = buffer[:-1], b"\r"
            buffer = buffer.replace(b"\r\n", b"\n").replace(b"\r", b"\n") + held
        lines = buffer.split(b"\n")
        self._buffer = lines.pop()
        if self._skipping and lines:
            del lines[0]
            self._skipping = False
        if len(self._buffer) > MAX_EVENT:
            self._buffer = b""
            self._skipping = True
        return lines

    @property
    def holding(self) -> bool:
        """Say whether a line has begun and not ended."""
        return bool(self._buffer) or self._skipping or self._start

    def rest(self) -> bytes:
        """Return what came after the last line end, and forget it."""
        rest, self._buffer = self._buffer, b""
        return b"" if self._skipping else rest.removesuffix(b"\r")


class SSEDecoder:
    """Decode server-sent events."""

    __slots__ = ("_data", "_event", "_lines", "_size")

    def __init__(self) -> None:
        self._lines = LineDecoder()
        self._event = ""
        self._data: list[bytes] = []
        self._size = 0

    @property
    def idle(self) -> bool:
        """Say whether the next byte begins an event."""
        return not (self._data or self._event or self._lines.holding)

    def feed(self, data: bytes) -> Iterator[ServerSentEvent]:
        """Take the next bytes and yield the events that are whole now."""
        for line in self._lines.feed(data):
            event = self._line(line)
            if event is not None:
                yield event

    def close(self) -> Iterator[ServerSentEvent]:
        """Yield the event that had no blank line after it; servers that hang up early leave one."""
        rest = self._lines.rest()
        if rest:
            self._line(rest)
        event = self._line(b"")
        if event is not None:
            yield event

    def _line(self, line: bytes) -> ServerSentEvent | None:
        if not line:
            if not self._data:
                self._event = ""
                return None
            event = ServerSentEvent(self._event, b"\n".join(self._data))
            self._event, self._data, self._size = "", [], 0
            return event
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._size += len(value)
            if self._size <= MAX_EVENT:
                self._data.append(value)
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        return None
