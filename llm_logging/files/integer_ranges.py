"""Sets of whole numbers that are nearly consecutive, such as the numbers of a writer's lines, in little memory."""

from __future__ import annotations

import bisect
from collections.abc import Iterator

__all__ = ["Ranges"]


class Ranges:
    """A set of whole numbers that are nearly consecutive, in little memory."""

    __slots__ = ("_starts", "_stops")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []

    def add(self, number: int) -> bool:
        """Add a number; False where it was there."""
        place = bisect.bisect_right(self._starts, number)
        if place and number < self._stops[place - 1]:
            return False
        joins_left = place > 0 and self._stops[place - 1] == number
        joins_right = place < len(self._starts) and self._starts[place] == number + 1
        if joins_left and joins_right:
            self._stops[place - 1] = self._stops.pop(place)
            del self._starts[place]
        elif joins_left:
            self._stops[place - 1] = number + 1
        elif joins_right:
            self._starts[place] = number
        else:
            self._starts.insert(place, number)
            self._stops.insert(place, number + 1)
        return True

    def add_span(self, first: int, last: int) -> None:
        """Add all numbers from the first to the last."""
        starts = sorted([*zip(self._starts, self._stops, strict=True), (first, last + 1)])
        self._starts, self._stops = [], []
        for start, stop in starts:
            if self._stops and start <= self._stops[-1]:
                self._stops[-1] = max(self._stops[-1], stop)
            else:
                self._starts.append(start)
                self._stops.append(stop)

    def spans(self) -> Iterator[tuple[int, int]]:
        """Yield the unbroken spans, as first and last number."""
        for start, stop in zip(self._starts, self._stops, strict=True):
            yield start, stop - 1

    def joined(self, other: Ranges) -> Ranges:
        """Return the numbers of both."""
        both = Ranges()
        for first, last in (*self.spans(), *other.spans()):
            both.add_span(first, last)
        return both

    def gaps(self) -> list[tuple[int, int]]:
        """Return what is missing between 1 and the largest, as first and last number."""
        found = []
        expected = 1
        for start, stop in zip(self._starts, self._stops, strict=True):
            if start > expected:
                found.append((expected, start - 1))
            expected = max(expected, stop)
        return found
