"""Newest lines first, over many logs, in bounded memory and one page at a time.

Order: a line stands at its `timestamp`, but never after the moment its segment was sealed (a line is older than the
sealing of its file, whatever its clock said); so a segment sealed before the oldest line of a full page cannot hold a
newer one and is not read. Ties are broken by log, writer and number, so the order is total and a cursor, the place of
the last line given, continues exactly there, also after rotation and compression.
"""

from __future__ import annotations

import base64
import heapq
import json
import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Generic, NamedTuple, TypeVar

from ...errors import ErrorCode, ValidationError
from ...files.lines import Line, read_lines
from ..lines.log_files import LogFile

__all__ = ["Place", "decode_cursor", "encode_cursor", "may_hold", "micros_of", "newest_lines"]

T = TypeVar("T")

_OURS: Final = re.compile(rb'\{"v": ?1, ?"timestamp": ?"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6})Z"')
_FAR: Final = 2**62


class Place(NamedTuple):
    """Where a line stands: microseconds since 1970, and what breaks ties."""

    micros: int
    tie: str


def encode_cursor(kind: str, place: Sequence[Any]) -> str:
    """Write a place as an opaque text."""
    return base64.urlsafe_b64encode(json.dumps([kind, *place]).encode()).decode().rstrip("=")


def decode_cursor(kind: str, cursor: str) -> list[Any]:
    """Read what `encode_cursor` wrote.

    Raises:
        ValidationError: It is no cursor of this kind (`INVALID_OPTIONS`).
    """
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if (
            isinstance(values, list)
            and len(values) == 3
            and values[0] == kind
            and type(values[1]) is int
            and isinstance(values[2], str)
        ):
            return values[1:]
    except (TypeError, ValueError, RecursionError):
        pass
    raise ValidationError(
        f"cursor: expected one that an earlier page gave, got {cursor!r:.80}", code=ErrorCode.INVALID_OPTIONS
    )


def micros_of(moment: datetime) -> int:
    """Return an aware time in microseconds since 1970."""
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def _time_of(fields: Any) -> int:
    value = fields.get("timestamp") if isinstance(fields, dict) else None
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        return (
            0
            if moment is None
            else micros_of(moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment)
        )
    except (ValueError, OverflowError):
        return 0


@dataclass(slots=True)
class _Page(Generic[T]):
    """The newest items so far, at most `limit`, one of each group."""

    limit: int
    before: Place | None
    group: Callable[[T], Hashable | None]
    heap: list[Place] = field(default_factory=list)
    items: dict[Place, T] = field(default_factory=dict)
    groups: dict[Hashable, Place] = field(default_factory=dict)

    @property
    def floor(self) -> int:
        """What a line must reach to be worth a look."""
        if len(self.items) < self.limit:
            return -_FAR
        # Places that a newer line of their group replaced are still in the heap.
        while self.heap[0] not in self.items:
            heapq.heappop(self.heap)
        return self.heap[0].micros

    def add(self, place: Place, item: T) -> None:
        if place in self.items or (self.before is not None and place >= self.before):
            return
        named = self.group(item)
        known = self.groups.get(named) if named is not None else None
        if known is not None:
            if known >= place:
                return
            del self.items[known]
        elif len(self.items) >= self.limit:
            while self.heap[0] not in self.items:
                heapq.heappop(self.heap)
            if place <= self.heap[0]:
                return
            dropped = self.group(self.items.pop(heapq.heappop(self.heap)))
            self.groups.pop(dropped, None)
        heapq.heappush(self.heap, place)
        self.items[place] = item
        if named is not None:
            self.groups[named] = place


def newest_lines(
    files: Sequence[LogFile],
    want: Callable[[LogFile, bytes], T | None],
    *,
    limit: int,
    group: Callable[[T], Hashable | None] = lambda _item: None,
    before: Place | None = None,
    since: int | None = None,
    until: int | None = None,
) -> list[tuple[Place, T]]:
    """Return the newest lines that are wanted.

    Args:
        files: Where to look; open, so that they stay as they were listed.
        want: Turns a line into an item; None where it is not wanted. Called only for lines that may be on the page.
        limit: How many at most.
        group: Names what an item belongs to; of each only the newest item is returned. None belongs to nothing.
        before: Only lines that stand before this place.
        since: Only lines from this time on, in microseconds since 1970.
        until: Only lines before this time.

    Returns:
        Place and item, the newest first.

    Raises:
        FileSystemError: A file cannot be read.
    """
    page: _Page[T] = _Page(limit, before, group)
    window = (since if since is not None else -_FAR, until if until is not None else _FAR)
    for bound, file in sorted(((_bound(file), file) for file in files), key=lambda item: -item[0]):
        if limit <= 0 or bound < page.floor or bound < window[0]:
            break
        for line in read_lines(file.raw.path, suffix=file.raw.suffix):
            if line.problem is None and line.data:
                _consider(line, file, bound, page, want, window)
    return [(place, page.items[place]) for place in sorted(page.items, reverse=True)]


def may_hold(file: LogFile, oldest: datetime | None) -> bool:
    """Say whether a segment may hold a line logged at a time or later; None: at any."""
    sealed_at = file.segment.sealed_at if file.segment is not None else None
    # The stamp has whole seconds.
    return sealed_at is None or oldest is None or sealed_at + timedelta(seconds=2) >= oldest


def _bound(file: LogFile) -> int:
    sealed_at = file.segment.sealed_at if file.segment is not None else None
    # The stamp has whole seconds; a line may be of that second.
    return _FAR if sealed_at is None else micros_of(sealed_at) + 1_000_000


def _consider(
    line: Line,
    file: LogFile,
    bound: int,
    page: _Page[T],
    want: Callable[[LogFile, bytes], T | None],
    window: tuple[int, int],
) -> None:
    match = _OURS.match(line.data)
    fields = None if match is not None else _parsed(line.data)
    micros = _time_of(fields) if match is None else _micros_of_text(match[1])
    micros = min(micros, bound)
    if micros < page.floor or not window[0] <= micros < window[1]:
        return
    if page.before is not None and micros > page.before.micros:
        return
    item = want(file, line.data)
    if item is not None:
        fields = _parsed(line.data) if fields is None else fields
        page.add(Place(micros, _tie(fields, file, line)), item)


def _micros_of_text(text: bytes) -> int:
    try:
        return micros_of(datetime.fromisoformat(f"{text.decode()}+00:00"))
    except ValueError:
        return 0


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _tie(fields: Any, file: LogFile, line: Line) -> str:
    writer = fields.get("writer") if isinstance(fields, dict) else None
    if isinstance(writer, dict) and isinstance(writer.get("id"), str) and isinstance(writer.get("seq"), int):
        return f"{file.log.name}|{writer['id']}|{writer['seq']:016d}"
    key = file.segment.key if file.segment is not None else ""
    return f"{file.log.name}|{key}|{line.offset:016d}"
