"""Which attempts belong to one call: SDKs send a refused request again, in the context that sent it first.

The last attempt is kept in a contextvar. A request is its successor where it asks the same of the same address, and
either says itself that it is a retry (`x-stainless-retry-count`) or the last one failed in a way that SDKs retry; and
where it asks the same of the address that the last one was sent on to.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

from ...clock import clock

__all__ = ["Attempt", "next_attempt"]

# SDKs give up long before: their longest waits are a minute each.
_LONGEST_PAUSE: Final = 900.0
_MOVED: Final = frozenset({301, 302, 307, 308})
_RETRIED: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})


class Attempt:
    """One attempt of one call.

    Attributes:
        key: What is asked of whom; its last part is what.
        number: 1 and up.
        group: Joins the attempts; the id of the first. Empty until that is known.
        began: When the first attempt was sent, on the monotonic clock.
    """

    __slots__ = ("began", "ended", "group", "key", "moved", "number", "retryable")

    def __init__(self, key: tuple[object, ...], number: int, group: str, began: float) -> None:
        self.key = key
        self.number = number
        self.group = group
        self.began = began
        self.ended: float | None = None
        self.retryable = False
        self.moved = False

    def over(self, http_status: int | None) -> None:
        """Note that it ended.

        Args:
            http_status: The answer's; None where there was none.
        """
        self.ended = clock().monotonic()
        self.retryable = http_status is None or http_status in _RETRIED
        self.moved = http_status in _MOVED

    @property
    def waited_ms(self) -> float:
        """How long the caller has waited so far, in milliseconds, retries included."""
        return max(0.0, clock().monotonic() - self.began) * 1000


_last: ContextVar[Attempt | None] = ContextVar("llm_logging_attempt", default=None)


def next_attempt(key: tuple[object, ...], retry_count: str | None) -> Attempt:
    """Note that a request is sent.

    Args:
        key: What is asked of whom; equal for a request that is sent again. What is asked comes last, None for unknown.
        retry_count: How many retries the SDK says that it has made.
    """
    now = clock().monotonic()
    last = _last.get()
    said = int(retry_count) if retry_count is not None and retry_count.isdigit() else None
    attempt: Attempt | None = None
    if last is not None and last.ended is not None and now - last.ended < _LONGEST_PAUSE:
        if last.moved:
            again = key[-1] is not None and key[-1] == last.key[-1]
        else:
            again = last.key == key and (said > 0 if said is not None else last.retryable)
        if again:
            # Under the first address: that is where a retry goes, too.
            attempt = Attempt(last.key, last.number + 1, last.group, last.began)
    if attempt is None:
        attempt = Attempt(key, said + 1 if said else 1, "", now)
    _last.set(attempt)
    return attempt
