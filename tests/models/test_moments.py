"""One grammar of times: what `--since` takes, `StatsOptions` and filters take too, and mean the same by it."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_logging.errors import ValidationError
from llm_logging.models.moments import moment_kind
from llm_logging.models.query import StatsOptions
from llm_logging.presentation.times import parse_time
from llm_logging.reader.sql.filters import parse_filters
from llm_logging.reader.sql.period import resolve_period

NOW = datetime(2026, 2, 14, 23, 30, tzinfo=UTC)
ZONE = "Europe/Berlin"
TEXTS = (
    "90s", "15m", "2H", "7d", "4w", "1h30m", "1.5h", "2 h", "now", "Today", "yesterday", "2026", "2026-02", "2026-W07",
    "2026w07", "20260214", "2026-W07-6", "20260214T1030Z", "2026-02-14", "2026-02-14T10:30", "2026-02-14 10:30:00Z", "2026-02-14T10:30:00.5+02:00", "@1768473000",
)  # fmt: skip
WRONG = ("", "soon", "2026-13", "2026-W54", "2025-W53", "2026-02-30", "7", "7x", "-2h", "@", "@x", "5mo")


def typed(text, edge):
    return parse_time(text, edge=edge, now=NOW, tz=ZoneInfo(ZONE))


def resolved(start, end):
    period = resolve_period(StatsOptions(from_date=start, to_date=end, time_zone=ZONE), NOW)
    return period.start, period.end


@pytest.mark.parametrize("text", TEXTS)
def test_every_form_means_the_same_everywhere(text):
    assert resolved(text, text) == resolved(typed(text, "start"), typed(text, "end"))
    start, end = resolved(text, text)
    (condition,) = parse_filters(StatsOptions(where=f"timestamp_start>={text}", time_zone=ZONE), NOW)
    assert condition.parameters == (start.replace(tzinfo=None),)
    (condition,) = parse_filters(StatsOptions(where=f"timestamp_start={text}", time_zone=ZONE), NOW)
    assert condition.parameters == (
        start.replace(tzinfo=None), max(end, start + timedelta(microseconds=1)).replace(tzinfo=None),
    )  # fmt: skip


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_time_is_none_anywhere(text):
    assert moment_kind(text) is None
    for ask in (
        lambda: typed(text, "start"),
        lambda: StatsOptions(from_date=text or " "),
        lambda: parse_filters(StatsOptions(where=f"timestamp_start>{text or 'x'}"), NOW),
    ):
        with pytest.raises(ValidationError):
            ask()


@given(st.text(alphabet="0123456789-WwTZ:.@ hdmsnowtdy+", max_size=20))
def test_the_command_line_takes_what_the_options_take(text):
    try:
        options = StatsOptions(from_date=text, time_zone=ZONE)
    except ValidationError:
        with pytest.raises(ValidationError):
            typed(text, "start")
        return
    try:
        start = typed(text, "start")
    except ValidationError:
        # Beyond what a calendar holds: the options mean its end by it.
        start = None
    if start is not None:
        assert resolve_period(options, NOW).start == resolved(start, None)[0]
