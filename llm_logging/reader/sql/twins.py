"""One call seen twice: which requests with ids of their own are the same call of a model.

The law. Servers, mocks and caches reuse response ids, so the same `provider_response_id` is not enough. Two requests are
one call only where provider, project, chat and attempt agree as well, no two users are named, and

- different instrumentations wrote them, both named, and their times overlap; or
- they carry the same span (`trace_id` and `span_id`), and their times overlap or at least one instrumentation is named.

Two requests of one named instrumentation are never one call, also not by way of a third request. A line without
`instrumentation` is one of a plain logger or of an older version. Times overlap where one starts before the other
ends; two that start at the same time overlap.

Requests of one response id are taken in the order of their starts. Each joins the call of which every member fits it and
whose times are nearest to its own, else it begins a call of its own. So the result depends on nothing but the requests.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

__all__ = ["Seen", "same_call", "twins"]

_ZERO: Final = timedelta()


class Seen(NamedTuple):
    """What the law asks about a request.

    Attributes:
        key: Its id.
        bucket: The same for requests whose response id, provider, project, chat and attempt agree.
        user: Whose request it is; None where the line does not say it.
        start: When it started; None where that is not known.
        end: When it ended; its start where that is not known.
        instrumentation: Which instrumentation wrote it; None where the line does not say it.
        span: Of trace and span; None where one of them is not known.
    """

    key: Any
    bucket: Any
    user: str | None
    start: datetime | None
    end: datetime | None
    instrumentation: str | None
    span: Any


@dataclass(slots=True)
class _Call:
    members: list[Seen]
    place: int
    # Whoever starts at or after this moment overlaps with no more than some members.
    until: datetime | None = None
    spans: set[Any] = field(default_factory=set)


def _overlap(one: Seen, other: Seen) -> bool:
    if one.start is None or other.start is None or one.end is None or other.end is None:
        return False
    return one.start == other.start or (one.start < other.end and other.start < one.end)


def same_call(one: Seen, other: Seen) -> bool:
    """Say whether two requests of one bucket are the same call; see the module."""
    if one.user is not None and other.user is not None and one.user != other.user:
        return False
    named = one.instrumentation is not None, other.instrumentation is not None
    if all(named) and one.instrumentation == other.instrumentation:
        return False
    overlap = _overlap(one, other)
    if all(named) and overlap:
        return True
    return one.span is not None and one.span == other.span and (overlap or any(named))


def _distance(one: Seen, other: Seen) -> timedelta:
    if one.start is None or other.start is None or one.end is None or other.end is None:
        return timedelta.max
    return abs(one.start - other.start) + abs(one.end - other.end)


def twins(requests: Iterable[Seen]) -> Iterator[tuple[Any, int]]:
    """Find the calls that were seen more than once.

    Args:
        requests: Bucket by bucket, in each by start (unknown ones last), then by key.

    Yields:
        The key of each request that is one call with others, and a number of that call.
    """
    number = 0
    bucket: list[_Call] = []
    live: list[_Call] = []
    by_span: dict[Any, list[_Call]] = {}
    of: Any = None
    for one in requests:
        if one.bucket != of:
            number = yield from _joined(bucket, number)
            of, bucket, live, by_span = one.bucket, [], [], {}
        live = [call for call in live if one.start is None or call.until is None or call.until >= one.start]
        near = {call.place: call for call in live}
        if one.span is not None:
            near.update({call.place: call for call in by_span.get(one.span, ())})
        fits = [call for call in near.values() if all(same_call(one, member) for member in call.members)]
        if fits:
            call = min(
                fits, key=lambda call: (min(_distance(one, member) for member in call.members), call.place)
            )
            call.members.append(one)
            call.until = one.end if call.until is None else min(call.until, one.end or call.until)
        else:
            call = _Call([one], len(bucket), one.end)
            bucket.append(call)
            live.append(call)
        if one.span is not None and one.span not in call.spans:
            call.spans.add(one.span)
            by_span.setdefault(one.span, []).append(call)
    yield from _joined(bucket, number)


def _joined(calls: list[_Call], number: int) -> Any:
    for call in calls:
        if len(call.members) > 1:
            number += 1
            yield from ((member.key, number) for member in call.members)
    return number
