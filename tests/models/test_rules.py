"""The rules that span fields, on plain values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from llm_logging.models.rules import end_before_start, implied_times, settle_usage

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("given", "settled"),
    [
        ({}, {}),
        ({"cache_read_tokens": 5}, {"cache_read_tokens": 5}),
        ({"prompt_tokens": 3}, {"prompt_tokens": 3, "total_tokens": 3}),
        (
            {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 9, "raw": {"a": 1}},
            {
                "prompt_tokens": 3,
                "completion_tokens": 4,
                "total_tokens": 7,
                "raw": {"total_tokens": 9, "a": 1},
            },
        ),
        ({"total_tokens": 9}, {"raw": {"total_tokens": 9}}),
        (
            {"prompt_tokens": 3, "completion_tokens": 0, "cache_write_1h_tokens": 2},
            {
                "prompt_tokens": 3,
                "completion_tokens": 0,
                "total_tokens": 3,
                "cache_write_tokens": 2,
                "cache_write_1h_tokens": 2,
            },
        ),
    ],
)
def test_counts_are_completed_and_nothing_that_was_given_is_lost(
    given: dict[str, Any], settled: dict[str, Any]
) -> None:
    assert settle_usage(given) is None
    assert given == settled


@pytest.mark.parametrize(
    ("part", "count"),
    [
        ("cache_read_tokens", 11),
        ("cache_write_tokens", 11),
        ("cache_write_1h_tokens", 11),
        ("image_prompt_tokens", 11),
        ("image_completion_tokens", 6),
        ("reasoning_tokens", 6),
    ],
)
def test_a_part_is_at_most_the_whole(part: str, count: int) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "attempts": 1}
    broken = settle_usage({**usage, part: count})
    assert broken is not None
    assert part in broken.fields
    assert settle_usage({**usage, part: count - 1}) is None
    assert settle_usage({"total_tokens": 1, "source": "provider", "raw": {}, part: count}) is None


def test_one_hour_writes_are_part_of_the_writes() -> None:
    usage = {"prompt_tokens": 10, "cache_write_tokens": 3, "cache_write_1h_tokens": 4}
    broken = settle_usage(usage)
    assert broken is not None
    assert broken.fields == ("cache_write_1h_tokens",)


@pytest.mark.parametrize(
    ("start", "end", "latency", "implied"),
    [
        (None, None, None, (NOON, None)),
        (None, None, SECOND, (NOON - SECOND, NOON)),
        (None, NOON - SECOND, None, (NOON - SECOND, NOON - SECOND)),
        (None, NOON - SECOND, SECOND, (NOON - 2 * SECOND, NOON - SECOND)),
        (NOON, None, None, (NOON, None)),
        (NOON, None, SECOND, (NOON, NOON + SECOND)),
        (NOON, NOON, SECOND, (NOON, NOON)),
    ],
)
def test_times_are_implied_alike_for_datetimes_and_numbers(
    start: Any, end: Any, latency: Any, implied: Any
) -> None:
    def number(value: Any) -> Any:
        if isinstance(value, datetime):
            return 1000 + number(value - NOON)
        return value if value is None else value // timedelta(seconds=1)

    assert implied_times(start, end, latency, NOON) == implied
    numbers = implied_times(number(start), number(end), number(latency), 1000)
    assert numbers == tuple(map(number, implied))


def test_an_end_may_be_absent_or_the_start_but_not_before_it() -> None:
    assert [end_before_start(5, end) for end in (None, 5, 6, 4)] == [False, False, False, True]
