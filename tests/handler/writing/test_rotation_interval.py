"""Periods: boundaries that depend on the time of day alone, in UTC or local time, over changes of the clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from llm_logging import ConfigurationError
from llm_logging.handler.writing.rotation_interval import Interval


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.fixture
def berlin(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [
        ("1h", "2026-01-15T10:59:59.999", "2026-01-15T11:00:00"),
        ("30m", "2026-01-15T10:29:59.999", "2026-01-15T10:30:00"),
        ("6h", "2026-01-15T05:59:59.999", "2026-01-15T06:00:00"),
        ("1d", "2026-01-15T23:59:59.999", "2026-01-16T00:00:00"),
        ("midnight", "2026-01-15T23:59:59.999", "2026-01-16T00:00:00"),
        ("1w", "2026-01-18T23:59:59.999", "2026-01-19T00:00:00"),  # a Monday
    ],
)
def test_a_period_ends_at_its_boundary(text, before, after):
    interval = Interval(text)
    assert interval.start(at(before)) != interval.start(at(after))
    assert interval.start(at(after)) == at(after)
    assert interval.start(at(after)) == interval.start(at(after) + interval.seconds - 0.001)


def test_local_days_end_at_local_midnight_also_when_the_clocks_change(berlin):
    interval = Interval("midnight", utc=False)
    for day in ("2026-03-29", "2026-10-25", "2026-01-15"):
        first, last = at(f"{day}T00:00:00", "Europe/Berlin"), at(f"{day}T23:59:59", "Europe/Berlin")
        assert interval.start(first) == interval.start(last)
        assert interval.start(first - 1) != interval.start(first)
        assert interval.start(last + 1) != interval.start(last)


def test_utc_days_do_not_care_for_the_zone(berlin):
    interval = Interval("1d")
    assert interval.start(at("2026-07-01T23:59:59")) == at("2026-07-01T00:00:00")


@pytest.mark.parametrize("text", ["", "0h", "1", "h", "-1h", "1y", "1.5h", "noon"])
def test_what_is_no_period_is_refused(text):
    with pytest.raises(ConfigurationError, match="rotate_interval"):
        Interval(text)


def test_a_period_says_what_it_is():
    assert repr(Interval("1h")) == "Interval(3600 s, UTC)"
    assert datetime.fromtimestamp(Interval("1w").start(at("2026-01-15T00:00")), UTC).weekday() == 0
