"""Spoiling the bytes of a file, each way once seen on a disk, in a crash or from an attacker.

Every choice comes from the `random.Random` that is passed in, so a seed gives the same damage again.
"""

from __future__ import annotations

import gzip
import os
import random
import zlib
from collections.abc import Callable
from pathlib import Path

WORDS = (
    b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\n", b"\n\n", b"\r\n", b"\\", b'"', b"{", b"}", b"[]", b"null", b"true",
    b"-0", b"1e999", b"-1e999", b"NaN", b"Infinity", b"9" * 400, b"1" + b"0" * 5000, b"0.1", b"1E-400", b"18446744073709551616",
    b"-9223372036854775809", b"9007199254740993", b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\u0000"', b"\xed\xa0\x80", b"\xc0\xaf",
    b'"2026-02-30T00:00:00Z"', b'"0001-01-01T00:00:00+14:00"', b'"9999-12-31T23:59:59.999999-12:00"', b'"2026-W07"', b'"infinity"',
    b'"-infinity"', b'"epoch"', b'"2026-01-15T10:30:60Z"', b'"12026-01-01T00:00:00Z"', b'"00000000-0000-0000-0000-000000000000"',
    b'"{8d3f5f60-1111-4222-8333-123456789abc}"', b"\xe2\x80\xae", b"\x1b[2J\x1b]0;x\x07", b"\xc2\x9b31m", b"=cmd|' /C calc'!A0",
    b"'; DROP TABLE lines; --", b"../../../../etc/passwd", b"%00", b"\xf0\x9f\x92\xa3" * 20, b'{"a":' * 300 + b"1" + b"}" * 300,
    b"[" * 5000, b"[" * 1200 + b"]" * 1200, b'"llm_request"', b'"llm_content"', b'"chat_message"', b'"pending"', b'"error"',
    b'{"id":"w","seq":1}', b'{"id":"w","seq":9223372036854775807}', b'{"id":"w","seq":-1}', b'{"id":{},"seq":[]}', b"[1]", b'""',
)  # fmt: skip
NAMES = (
    b'"id"', b'"timestamp"', b'"event_type"', b'"writer"', b'"usage"', b'"status"', b'"model"', b'"prompt_tokens"', b'"attributes"',
    b'"timings"', b'"cost"', b'"error"', b'"tags"', b'"level"', b'"message"', b'"http_status"', b'"timestamp_start"', b'"seq"',
    b'"attempt"', b'"amount"', b'"total_tokens"', b'"messages"', b'"latency_ms"',
)  # fmt: skip


def _place(chance: random.Random, data: bytes) -> int:
    return chance.randrange(len(data) + 1)


def _flip(chance: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8, 64))):
        if out:
            out[chance.randrange(len(out))] ^= 1 << chance.randrange(8)
    return bytes(out)


def _set(chance: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(chance.choice((1, 4, 32))):
        if out:
            out[chance.randrange(len(out))] = chance.choice(b'\x00\xff"{}[]:,\\\n\r 0123456789eE+-.\x80\x1b')
    return bytes(out)


def _cut_end(chance: random.Random, data: bytes) -> bytes:
    return data[: _place(chance, data)]


def _cut_start(chance: random.Random, data: bytes) -> bytes:
    return data[_place(chance, data) :]


def _cut_out(chance: random.Random, data: bytes) -> bytes:
    first, second = sorted((_place(chance, data), _place(chance, data)))
    return data[:first] + data[min(second, first + chance.choice((1, 16, 400, 10**6))) :]


def _repeat(chance: random.Random, data: bytes) -> bytes:
    first, second = sorted((_place(chance, data), _place(chance, data)))
    part = data[first : min(second, first + 2000)]
    return data[:second] + part * chance.choice((1, 2, 20)) + data[second:]


def _splice(chance: random.Random, data: bytes) -> bytes:
    one, two = _place(chance, data), _place(chance, data)
    return data[:one] + data[two:]


def _insert(chance: random.Random, data: bytes) -> bytes:
    at = _place(chance, data)
    return data[:at] + chance.choice(WORDS) * chance.choice((1, 1, 1, 3)) + data[at:]


def _garbage(chance: random.Random, data: bytes) -> bytes:
    at = _place(chance, data)
    return data[:at] + chance.randbytes(chance.choice((1, 10, 1000, 5000))) + data[at:]


def _value(chance: random.Random, data: bytes) -> bytes:
    """Put another value behind a field's name, where the line stays JSON."""
    name = chance.choice(NAMES) + b":"
    places = [at for at in range(len(data)) if data.startswith(name, at)] if len(data) < 20_000 else []
    if not places:
        return _insert(chance, data)
    at = chance.choice(places) + len(name)
    end = at
    depth, quoted = 0, False
    while end < len(data) and data[end : end + 1] != b"\n":
        char = data[end : end + 1]
        if quoted:
            end += char == b"\\"
            quoted = char != b'"'
        elif char == b'"':
            quoted = True
        elif char in b"[{":
            depth += 1
        elif char in b"]},":
            if depth == 0:
                break
            depth -= char != b","
        end += 1
    return data[:at] + chance.choice(WORDS) + data[end:]


def _lines(chance: random.Random, data: bytes) -> bytes:
    """Shuffle, drop or double lines, or lose the ends between them."""
    lines = data.split(b"\n")
    what = chance.randrange(4)
    if what == 0:
        chance.shuffle(lines)
    elif what == 1:
        lines = [line for line in lines if chance.random() < 0.7]
    elif what == 2:
        lines = [part for line in lines for part in [line] * chance.choice((1, 1, 2))]
    else:
        return chance.choice((b"", b"\r", b"\x00", b" ", b"\x0b", b"\xe2\x80\xa8")).join(lines)
    return b"\n".join(lines)


def _zeros(chance: random.Random, data: bytes) -> bytes:
    """A block that the disk never got, as after a power cut."""
    at = _place(chance, data)
    size = chance.choice((1, 512, 4096))
    return data[:at] + b"\x00" * size + data[at + chance.choice((0, size)) :]


def _empty(_chance: random.Random, _data: bytes) -> bytes:
    return b""


WAYS: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    _flip, _flip, _set, _set, _cut_end, _cut_end, _cut_start, _cut_out, _repeat, _splice, _insert, _insert, _garbage, _value,
    _value, _value, _value, _lines, _zeros, _empty,
)  # fmt: skip


def spoilt(chance: random.Random, data: bytes) -> bytes:
    """Return the data spoilt in one to four ways."""
    for _ in range(chance.choice((1, 1, 2, 4))):
        data = chance.choice(WAYS)(chance, data)
    return data


def _gzip(chance: random.Random, data: bytes) -> bytes:
    """Spoil a gzip file outside, or pack spoilt content anew."""
    what = chance.randrange(7)
    if what <= 1:
        return spoilt(chance, data)
    try:
        content = gzip.decompress(data)
    except (OSError, EOFError, zlib.error):
        content = data
    packed = gzip.compress(spoilt(chance, content), 1, mtime=0)
    if what == 2:
        # Members one behind the other are one file, also where one is empty.
        return packed + gzip.compress(b"", 1, mtime=0) + gzip.compress(content, 1, mtime=0)
    if what == 3:
        return packed + chance.randbytes(chance.choice((1, 8, 100)))
    if what == 4:
        return packed[: -chance.choice((1, 4, 8, 9))]
    if what == 5:
        # A small bomb: far more lines, or one longer line, than the file's size suggests.
        return gzip.compress(
            chance.choice((b"\x00", b"\n", b"[", b'{"a":', b" ")) * chance.choice((100_000, 1_000_000)),
            9,
            mtime=0,
        )
    return packed


def spoil_file(chance: random.Random, path: Path) -> str:
    """Spoil one file in its place, and say how."""
    what = chance.randrange(24)
    if what == 0:
        path.unlink()
        path.mkdir()
        return f"{path.name}: a folder"
    if what == 1:
        path.unlink()
        path.symlink_to(chance.choice(("/dev/null", "missing", path.name, "..", "/proc/self/mem")))
        return f"{path.name}: a link to {os.readlink(path)}"
    if what == 2:
        path.unlink()
        os.mkfifo(path)
        return f"{path.name}: a pipe"
    if what == 3:
        path.unlink()
        return f"{path.name}: gone"
    data = path.read_bytes()
    fresh = (_gzip if path.suffix == ".gz" else spoilt)(chance, data)
    path.write_bytes(fresh)
    return f"{path.name}: {len(data)} bytes, now {len(fresh)}"
