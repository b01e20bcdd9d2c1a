"""Finding all lines of a few requests, in one pass over raw bytes, in bounded memory.

Whole lines are looked at in blocks; only those whose `id` is wanted are parsed. An id matches by its 128-bit key, so
a UUID is found however it was written.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final

from ...files.lines import MAX_LINE_BYTES, blocks, unreadable
from ..lines.log_files import LogFile
from ..lines.source_sql import RawFile
from .request_log import key_of

__all__ = ["cut_lines", "ids_with_part", "lines_with_ids", "needles_of", "whole_lines"]

_ID: Final = re.compile(rb'"(?:request_)?id"\s{0,8}:\s{0,8}"((?:[^"\\]|\\.){1,2000})"')


def lines_with_ids(
    files: Sequence[LogFile], keys: Iterable[uuid.UUID], *, needles: Sequence[bytes] = ()
) -> Iterator[tuple[int, bytes]]:
    """Give every line in which an `id` or `request_id`, at any depth, is one of the keys.

    Args:
        files: Where to look; open, so that they stay as they were listed.
        keys: Of ids, as `key_of` makes them.
        needles: Bytes of which each such line holds one, where that is known; makes looking for one id fast.

    Yields:
        The number of the file, and the line without its newline.

    Raises:
        FileSystemError: A file cannot be read.
    """
    wanted = frozenset(keys)
    spelled = frozenset(str(key).encode() for key in wanted)

    @lru_cache(maxsize=1024)
    def other_spelling(text: bytes) -> bool:
        return key_of(text.decode("utf-8", "replace")) in wanted

    def holds(chunk: bytes) -> Iterator[tuple[int, int]]:
        for match in _ID.finditer(chunk):
            text = match[1]
            if text in spelled or (len(text) != 36 and other_spelling(text)) or (text.lower() in spelled):
                yield match.start(), match.end()

    if not wanted:
        return
    for place, file in enumerate(files):
        for chunk in whole_lines(file.raw):
            if needles and not any(needle in chunk for needle in needles):
                continue
            yield from ((place, line) for line in cut_lines(chunk, holds(chunk)))


def needles_of(text: str) -> tuple[bytes, ...]:
    """Return bytes of which every line of one id holds one, however the id was written; see `lines_with_ids`."""
    try:
        start = uuid.UUID(text).hex[:8]
    except ValueError:
        spelled = {json.dumps(text, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
        return tuple(sorted(one.encode("utf-8", "surrogatepass") for one in spelled))
    # With hyphens or without, in braces or not: the first eight digits stand together, in one case.
    return (start.encode(), start.upper().encode())


def ids_with_part(files: Sequence[LogFile], part: str, *, most: int) -> set[str]:
    """Return ids of requests that begin or end with a text, in any case.

    Args:
        files: Where to look.
        part: The first or the last characters.
        most: How many at most.
    """
    text = re.escape(part.encode("utf-8", "surrogatepass"))
    pattern = re.compile(
        rb'[{,]\s{0,8}"(?:request_)?id"\s{0,8}:\s{0,8}"('
        + text
        + rb'[^"\\]{0,2000}|[^"\\]{0,2000}'
        + text
        + rb')"',
        re.IGNORECASE,
    )
    found: set[str] = set()
    needles = {text.encode("utf-8", "surrogatepass") for text in (part, part.lower(), part.upper())}
    for file in files:
        for chunk in whole_lines(file.raw):
            if not any(needle in chunk for needle in needles):
                continue
            for match in pattern.finditer(chunk):
                if _is_request(chunk, match.start(1), match[1]):
                    found.add(match[1].decode("utf-8", "replace"))
                if len(found) >= most:
                    return found
    return found


def _is_request(chunk: bytes, at: int, text: bytes) -> bool:
    # The id of a writer or of an attribute is not that of the request.
    line = chunk[chunk.rfind(b"\n", 0, at) + 1 : (chunk + b"\n").find(b"\n", at)]
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return False
    if not isinstance(value, dict):
        return False
    return text.decode("utf-8", "replace") in (value.get("id"), value.get("request_id"))


def cut_lines(chunk: bytes, places: Iterable[tuple[int, int]]) -> Iterator[bytes]:
    """Give the lines of a chunk in which places lie, each once.

    Args:
        chunk: Whole lines.
        places: Their first and last bytes, in order.
    """
    given = -1
    for first, last in places:
        start = chunk.rfind(b"\n", 0, first) + 1
        if start == given:
            continue
        given = start
        end = chunk.find(b"\n", last)
        yield chunk[start : end if end >= 0 else len(chunk)]


def whole_lines(raw: RawFile) -> Iterator[bytes]:
    """Give a file in pieces that end where lines end; a line beyond the bound is left out."""
    held, skipping = b"", False
    try:
        with raw.path.open("rb") as file:
            for block in blocks(file, raw.suffix):
                if isinstance(block, str):
                    break
                piece = held + block
                if skipping:
                    _, newline, piece = piece.partition(b"\n")
                    skipping = not newline
                cut = piece.rfind(b"\n") + 1
                if cut:
                    yield piece[:cut]
                held = piece[cut:]
                if len(held) > MAX_LINE_BYTES:
                    held, skipping = b"", True
    except OSError as error:
        raise unreadable(raw.name, error) from error
    if held:
        yield held
