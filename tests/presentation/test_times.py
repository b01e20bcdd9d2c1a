from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_logging.errors import ValidationError
from llm_logging.presentation import times

NOW = datetime(2026, 2, 14, 23, 30, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2026-01-15", date(2026, 1, 15), date(2026, 1, 15)),
        ("2026-01", date(2026, 1, 1), date(2026, 1, 31)),
        ("2028-02", date(2028, 2, 1), date(2028, 2, 29)),
        ("2026", date(2026, 1, 1), date(2026, 12, 31)),
        ("2026-W07", date(2026, 2, 9), date(2026, 2, 15)),
        ("2026w07", date(2026, 2, 9), date(2026, 2, 15)),
        ("2026-W53", date(2026, 12, 28), date(2027, 1, 3)),
        ("today", date(2026, 2, 14), date(2026, 2, 14)),
        ("Yesterday", date(2026, 2, 13), date(2026, 2, 13)),
    ],
)
def test_a_period_is_its_first_day_as_a_start_and_its_last_as_an_end(text, start, end):
    assert times.parse_time(text, edge="start", now=NOW, tz=UTC) == start
    assert times.parse_time(text, edge="end", now=NOW, tz=UTC) == end


def test_today_is_the_day_of_the_zone():
    assert times.parse_time("today", edge="start", now=NOW, tz=BERLIN) == date(2026, 2, 15)


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("2h", timedelta(hours=2)),
        ("7d", timedelta(days=7)),
        ("1h30m", timedelta(minutes=90)),
        ("90s", timedelta(seconds=90)),
        ("2 h", timedelta(hours=2)),
        ("2h ago", timedelta(hours=2)),
        ("1.5h", timedelta(minutes=90)),
        ("1w", timedelta(days=7)),
        ("now", timedelta()),
    ],
)
def test_a_duration_counts_back_from_now(text, ago):
    for edge in ("start", "end"):
        assert times.parse_time(text, edge=edge, now=NOW, tz=BERLIN) == NOW - ago


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-15T10:30", datetime(2026, 1, 15, 9, 30, tzinfo=UTC)),
        ("2026-07-15 10:30", datetime(2026, 7, 15, 8, 30, tzinfo=UTC)),
        ("2026-01-15T10:30Z", datetime(2026, 1, 15, 10, 30, tzinfo=UTC)),
        ("2026-01-15T10:30:01.5-05:00", datetime(2026, 1, 15, 15, 30, 1, 500000, tzinfo=UTC)),
        ("@1768473000", datetime(2026, 1, 15, 10, 30, tzinfo=UTC)),
    ],
)
def test_a_moment_is_exact_and_without_offset_it_is_of_the_zone(text, moment):
    assert times.parse_time(text, edge="start", now=NOW, tz=BERLIN) == moment


@pytest.mark.parametrize(
    "text",
    ["", "soon", "2026-13", "2026-W54", "2025-W53", "2026-02-30", "7", "7x", "-2h", "@", "9" * 400 + "d"],
)
def test_what_is_no_time_is_refused_with_what_was_expected(text):
    with pytest.raises(ValidationError, match=r"--since: expected a time like 2h, 7d"):
        times.parse_time(text, edge="start", now=NOW, tz=UTC, option="--since")


@given(st.text(max_size=30))
def test_no_text_raises_anything_else(text):
    try:
        parsed = times.parse_time(text, edge="end", now=NOW, tz=UTC)
    except ValidationError:
        return
    assert isinstance(parsed, date)
    if isinstance(parsed, datetime):
        assert parsed.tzinfo is not None


@given(st.dates(min_value=date(1970, 1, 8), max_value=date(2100, 1, 1)))
def test_every_day_lies_in_its_own_week_month_and_year(day):
    year, week, _ = day.isocalendar()
    for text in (f"{year}-W{week:02d}", f"{day:%Y-%m}", f"{day:%Y}", day.isoformat()):
        start = times.parse_time(text, edge="start", now=NOW, tz=UTC)
        end = times.parse_time(text, edge="end", now=NOW, tz=UTC)
        assert start <= day <= end


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("500000B", 500_000),
        ("5 GB", 5_000_000_000),
        ("64KB", 64_000),
        ("100MiB", 104_857_600),
        ("2G", 2_000_000_000),
        ("1.5k", 1500),
    ],
)
def test_sizes(text, size):
    assert times.parse_size(text) == size


def test_a_wrong_size_zone_or_duration_says_what_was_expected():
    with pytest.raises(ValidationError, match="--max-bytes: expected a size like"):
        times.parse_size("lots", option="--max-bytes")
    with pytest.raises(ValidationError, match="--max-bytes: expected a size like .* with its unit, got '5'"):
        times.parse_size("5", option="--max-bytes")
    with pytest.raises(ValidationError, match="--tz: expected a time zone like"):
        times.zone("Mars/Olympus")
    with pytest.raises(ValidationError, match="--tz: expected a time zone like"):
        times.zone("../../etc/passwd")
    with pytest.raises(ValidationError, match="--older-than: expected a duration like"):
        times.parse_duration("2026-01-01", option="--older-than")


def test_the_local_zone_follows_TZ(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    assert str(times.zone("local")) == "Asia/Kathmandu"
