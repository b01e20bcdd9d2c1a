"""AWS event streams (`application/vnd.amazon.eventstream`), decoded as their bytes arrive, cut at any place.

A message is: total length and headers length (unsigned 32-bit integers, big endian), the CRC-32 of these eight bytes,
the headers, the payload, and the CRC-32 of all before it. A header is: length of its name (one byte), the name, a type
(one byte), the value; texts (type 7) and bytes (type 6) have a 16-bit length before them.
Source: https://docs.aws.amazon.com/transcribe/latest/dg/streaming-setting-up.html, and botocore's `eventstream.py`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

__all__ = ["EventStreamDecoder", "EventStreamMessage", "is_event_stream"]

_PRELUDE: Final = struct.Struct(">III")
_CRC: Final = struct.Struct(">I")
_LENGTH: Final = struct.Struct(">H")
# Limits of the format itself, as botocore holds them: 128 KiB of headers, 24 MiB of payload.
_MAX_HEADERS: Final = 128 * 1024
_MAX_TOTAL: Final = 24 * 1024 * 1024 + _MAX_HEADERS + 16
_TEXT, _BYTES = 7, 6
_FIXED_SIZES: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}


class EventStreamMessage(NamedTuple):
    """One message: its text headers (`:event-type`, `:message-type`, ...) and its payload."""

    headers: dict[str, str]
    payload: bytes


def is_event_stream(data: bytes) -> bool:
    """Say whether bytes begin with the prelude of a message."""
    if len(data) < _PRELUDE.size:
        return False
    crc: int = _PRELUDE.unpack_from(data)[2]
    return zlib.crc32(data[:8]) == crc


class EventStreamDecoder:
    """Decode messages; after one that is damaged the rest of the stream is passed over.

    Attributes:
        damaged: True once a checksum or a length was wrong.
    """

    __slots__ = ("_buffer", "damaged")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.damaged = False

    def feed(self, data: bytes) -> Iterator[EventStreamMessage]:
        """Take the next bytes and yield the messages that are whole now."""
        if self.damaged:
            return
        self._buffer += data
        while len(self._buffer) >= _PRELUDE.size:
            total, headers_size, crc = _PRELUDE.unpack_from(self._buffer)
            sizes_fit = headers_size <= _MAX_HEADERS and headers_size + 16 <= total <= _MAX_TOTAL
            if zlib.crc32(self._buffer[:8]) != crc or not sizes_fit:
                self._give_up()
                return
            if len(self._buffer) < total:
                return
            message = bytes(self._buffer[:total])
            del self._buffer[:total]
            if zlib.crc32(message[:-4]) != _CRC.unpack_from(message, total - 4)[0]:
                self._give_up()
                return
            end = _PRELUDE.size + headers_size
            yield EventStreamMessage(_headers(message[_PRELUDE.size : end]), message[end:-4])

    def _give_up(self) -> None:
        self.damaged = True
        self._buffer.clear()


def _headers(data: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    while at < len(data):
        name_end = at + 1 + data[at]
        name = data[at + 1 : name_end].decode("utf-8", "replace")
        if name_end >= len(data):
            break
        kind = data[name_end]
        at = name_end + 1
        if kind in (_TEXT, _BYTES):
            if at + _LENGTH.size > len(data):
                break
            (size,) = _LENGTH.unpack_from(data, at)
            at += _LENGTH.size
            if kind == _TEXT:
                found[name] = data[at : at + size].decode("utf-8", "replace")
            at += size
        elif kind in _FIXED_SIZES:
            at += _FIXED_SIZES[kind]
        else:
            break
    return found
