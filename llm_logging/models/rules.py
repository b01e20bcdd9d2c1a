"""The rules of an entry that span fields, as functions on plain values.

The models (`entry`) and the fast path (`validation.fast_entry`) call these functions, so both enforce the same rules. Bounds of
single fields are declared on the fields (`fields`, `entry`); the fast path reads them from there. What a missing status is derived
from is in `statuses`.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

__all__ = ["MAX_LATENCY_MS", "BrokenRule", "end_before_start", "implied_times", "settle_usage"]

MAX_LATENCY_MS: Final = 1e12
"""Longer durations imply no times: 31 years in milliseconds."""

# A count, and the count that includes it.
_PARTS: Final = (
    ("image_prompt_tokens", "prompt_tokens"),
    ("image_completion_tokens", "completion_tokens"),
    ("reasoning_tokens", "completion_tokens"),
)


class BrokenRule(NamedTuple):
    """Why fields contradict each other.

    Attributes:
        reason: What was expected, and what came.
        fields: The fields to remove so that the others can stay.
    """

    reason: str
    fields: tuple[str, ...]


def settle_usage(usage: dict[str, Any]) -> BrokenRule | None:
    """Complete the counts of a usage, and return the first rule that they break.

    Args:
        usage: Fields of `Usage` to checked values; None and absent are the same. `total_tokens` is set to the sum of prompt
            and completion; another total that was given is kept in `raw`. `cache_write_tokens` is set where only the
            one-hour writes are known, because it includes them.
    """
    get = usage.get
    prompt, completion, given = get("prompt_tokens"), get("completion_tokens"), get("total_tokens")
    if prompt is None and completion is None:
        total = None
        usage.pop("total_tokens", None)
    else:
        total = usage["total_tokens"] = (prompt or 0) + (completion or 0)
    if given is not None and given != total:
        usage["raw"] = {"total_tokens": given, **(get("raw") or {})}
    if len(usage) == 3 and prompt is not None and completion is not None:
        return None
    writes, one_hour = get("cache_write_tokens"), get("cache_write_1h_tokens")
    if writes is None and one_hour is not None:
        writes = usage["cache_write_tokens"] = one_hour
    cached = (get("cache_read_tokens") or 0) + (writes or 0)
    if prompt is not None and cached > prompt:
        return BrokenRule(
            f"expected at most prompt_tokens ({prompt}), which include cached ones, got {cached}",
            ("cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens"),
        )
    if one_hour is not None and one_hour > (writes or 0):
        return BrokenRule(
            f"expected at most cache_write_tokens ({writes}), got {one_hour}", ("cache_write_1h_tokens",)
        )
    for part, whole in _PARTS:
        if part in usage and usage[part] and (most := get(whole)) is not None and usage[part] > most:
            return BrokenRule(
                f"expected at most {whole} ({most}), which include them, got {usage[part]}", (part,)
            )
    return None


def end_before_start(start: Any, end: Any) -> bool:
    """Say whether an entry ends before it starts."""
    return end is not None and bool(end < start)


def implied_times(start: Any, end: Any, latency: Any, now: Any) -> tuple[Any, Any]:
    """Return start and end of a request, completed by what the others imply.

    A request with a latency and no times was logged when it ended. One with an end alone did not start after that end.

    Args:
        start: When it started; None where that is not known.
        end: When it ended; None where that is not known.
        latency: How long it took; None where that is not known or implies nothing.
        now: When it was logged.

    Returns:
        Both times; the end is None where nothing implies it. Times may be `datetime` with a `timedelta`, or numbers of one unit.
    """
    if start is not None:
        return start, (start + latency if end is None and latency is not None else end)
    stop = now if end is None else end
    if latency is None:
        return stop, end
    return stop - latency, stop
