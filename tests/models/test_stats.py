"""Questions and answers as models: names both ways, and our own errors where a question is wrong."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest

from llm_logging.errors import ErrorCode, ValidationError
from llm_logging.models.moments import moment_kind
from llm_logging.models.query import StatsOptions, StatsScope
from llm_logging.models.stats import Figures, Percentiles, Period, Quality, SequenceGap, Stats, StatsRow


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"type": "team"}, ErrorCode.INVALID_SCOPE),
        ({"type": "global", "project_id": "shop"}, ErrorCode.INVALID_SCOPE),
        ({"type": "project", "project_id": "shop", "chat_id": "c"}, ErrorCode.INVALID_SCOPE),
        ({"type": "global", "team": "x"}, ErrorCode.INVALID_SCOPE),
        ({"type": "project"}, ErrorCode.INVALID_PROJECT_ID),
        ({"type": "project", "project_id": ""}, ErrorCode.INVALID_PROJECT_ID),
        ({"type": "project", "project_id": 7}, ErrorCode.INVALID_PROJECT_ID),
        ({"type": "chat", "chat_id": "c"}, ErrorCode.INVALID_PROJECT_ID),
        ({"type": "chat", "project_id": "shop"}, ErrorCode.INVALID_CHAT_ID),
        ({"type": "chat", "project_id": "shop", "chat_id": 7}, ErrorCode.INVALID_CHAT_ID),
    ],
)
@pytest.mark.parametrize("make", [lambda values: StatsScope(**values), StatsScope.model_validate])
def test_a_wrong_scope_raises_our_error_with_its_code(values, code, make):
    with pytest.raises(ValidationError) as caught:
        make(values)
    assert caught.value.code is code
    assert caught.value.reasons


@pytest.mark.parametrize(
    "values",
    [
        {"from_date": "2026-13-01"}, {"from_date": "2026-02-30"}, {"to_date": "soon"}, {"from_date": 5},
        {"from_date": "2026-W54"}, {"time_zone": "Mars/Olympus"}, {"time_zone": "../etc/passwd"}, {"group_by": 3},
        {"where": 3}, {"orphaned_after": timedelta(seconds=-1)}, {"groupBys": "day"},
    ],
)  # fmt: skip
def test_wrong_options_raise_our_error(values):
    with pytest.raises(ValidationError) as caught:
        StatsOptions(**values)
    assert caught.value.code is ErrorCode.INVALID_OPTIONS
    assert "expected" in str(caught.value) or "got" in str(caught.value)


def test_options_take_what_people_write():
    options = StatsOptions(
        from_date=date(2026, 1, 1), to_date="2026-W07", group_by="day, model", where="status=error"
    )
    assert (options.group_by, options.where) == (("day", "model"), ("status=error",))
    assert StatsOptions(group_by=["day", "day,model"]).group_by == ("day", "model")
    assert StatsOptions(where={"status": "error", "user": None}).where == ("status=error", "user=")
    odd = StatsOptions(where={"attributes.s": " x ", "stream": True, "attributes.a=b": 1}).where
    assert odd == (("attributes.s", " x "), "stream=true", ("attributes.a=b", "1"))
    assert StatsOptions(where=None, group_by=None).where == ()
    assert StatsOptions(from_date=datetime(2026, 1, 1, 12)).from_date == datetime(2026, 1, 1, 12)


def test_questions_read_both_kinds_of_names():
    assert StatsScope(type="project", projectId="shop") == StatsScope(type="project", project_id="shop")
    assert StatsOptions.model_validate({"fromDate": "7d", "groupBy": "day"}) == StatsOptions(
        from_date="7d", group_by="day"
    )
    assert StatsOptions.model_validate_json('{"timeZone": "Europe/Berlin"}').time_zone == "Europe/Berlin"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("2h", "ago"), ("2026", "year"), ("2026-01", "month"), ("2026-W07", "week"), ("2026-01-15", "day"),
        ("today", "word"), ("2026-01-15T10:00:00Z", "time"), ("2026-02-30", None), ("2h ago", None), ("", None),
    ],
)  # fmt: skip
def test_forms_of_a_moment(text, kind):
    assert moment_kind(text) == kind


def test_an_answer_survives_json_under_both_kinds_of_names():
    stats = Stats(
        scope=StatsScope(type="project", project_id="shop"),
        period=Period(from_date="2026-01-01", to_date="2026-01-31"),
        summary=Figures(total_requests=3, latency_ms=Percentiles(n=3, p50=1.5), error_codes={"timeout": 1}),
        breakdown=[StatsRow(group={"day": "2026-01-15"}, total_requests=3)],
        quality=Quality(gaps=[SequenceGap(log="l", writer="w", first=2, last=4)]),
    )
    for by_alias in (True, False):
        assert Stats.model_validate_json(stats.model_dump_json(by_alias=by_alias)) == stats
    camel = stats.model_dump(mode="json", by_alias=True)
    assert camel["period"]["from"] == "2026-01-01"
    assert camel["summary"]["totalRequests"] == 3
    assert camel["summary"]["cacheWrite1hTokens"] == 0
    assert stats.quality.gaps[0].lines == 3


def test_figures_of_nothing_are_zeros():
    figures = Figures()
    assert (figures.total_requests, figures.average_latency_ms, figures.estimated_cost) == (0, 0.0, "0")
    assert figures.latency_ms.p50 is None
