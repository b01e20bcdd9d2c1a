"""Which times and groups of two periods are compared, and in which order."""

from __future__ import annotations

from llm_logging.models.query import StatsOptions
from llm_logging.reader.compare import compare_stats
from tests.reader.builders import entry, put


def compared(root, before, after, **options):
    """Give the requests before and after of each row, by the row's name."""
    sides = [StatsOptions(from_date=start, to_date=end, **options) for start, end in (before, after)]
    found = compare_stats(None, *sides, root=root, cache=False)
    name = found.group_by[0]
    return [
        (row.group[name], row.changes["total_requests"].before, row.changes["total_requests"].after)
        for row in found.breakdown
    ]


def test_times_are_compared_by_their_place_in_the_period_also_where_one_was_quiet(tmp_path):
    days = [
        entry(24 * 60 * n) for n in (-9, -3, -2, -2.5)
    ]  # the 6th, 12th, 13th, and the evening of the 12th
    put(tmp_path, days)
    week, next_week = ("2026-W02", "2026-W02"), ("2026-W03", "2026-W03")
    expected = [("2026-01-05 / 2026-01-12", 0, 2), ("2026-01-06 / 2026-01-13", 1, 1)]
    assert compared(tmp_path, week, next_week, group_by="day") == expected
    filled = compared(tmp_path, week, next_week, group_by="day", fill_gaps=True)
    assert [row for row in filled if row[1] or row[2]] == expected
    assert compared(tmp_path, week, next_week, group_by="week") == [("2026-W02 / 2026-W03", 1, 3)]
    assert compared(tmp_path, week, next_week, group_by="hour") == [
        ("2026-01-05T10:00+00:00 / 2026-01-12T10:00+00:00", 0, 1),
        ("2026-01-05T22:00+00:00 / 2026-01-12T22:00+00:00", 0, 1),
        ("2026-01-06T10:00+00:00 / 2026-01-13T10:00+00:00", 1, 1),
    ]
    assert compared(tmp_path, ("2025", "2025"), ("2026", "2026"), group_by="month") == [
        ("2025-01 / 2026-01", 0, 4)
    ]


def test_a_time_that_the_other_period_does_not_have_stands_alone(tmp_path):
    put(tmp_path, [entry(24 * 60 * n) for n in (14, 15, 17)])  # the 29th, the 30th, the 1st of February
    january, february = ("2026-01", "2026-01"), ("2026-02", "2026-02")
    assert compared(tmp_path, january, february, group_by="day") == [
        ("2026-01-01 / 2026-02-01", 0, 1), ("2026-01-29", 1, 0), ("2026-01-30", 1, 0),
    ]  # fmt: skip
    # Without an end of their own, periods begin and end with what happened in them.
    assert compared(tmp_path, (None, "2026-01"), ("2026-02", None), group_by="day") == [
        ("2026-01-29 / 2026-02-01", 1, 1), ("2026-01-30", 1, 0),
    ]  # fmt: skip


def test_compared_groups_are_in_the_order_of_their_values(tmp_path):
    put(tmp_path, [entry(n, attempt=n) for n in (10, 2)] + [entry(24 * 60 + n, attempt=n) for n in (1, 9)])
    first, second = ("2026-01-15", "2026-01-15"), ("2026-01-16", "2026-01-16")
    rows = compared(tmp_path, first, second, group_by="attempt")
    assert [name for name, *_ in rows] == ["1", "2", "9", "10"]


def test_the_change_of_a_cost_that_is_a_lower_bound_is_not_known(tmp_path):
    known, unknown = entry(0, model="gpt-4o"), entry(24 * 60, model="a-model-of-nobody")
    put(tmp_path, [known, entry(24 * 60 + 1, model="gpt-4o"), unknown])
    sides = [StatsOptions(from_date=day, to_date=day) for day in ("2026-01-15", "2026-01-16")]
    found = compare_stats(None, *sides, root=tmp_path, cache=False)
    cost = found.summary["total_cost"]
    assert (found.summary["unpriced_requests"].before, found.summary["unpriced_requests"].after) == (0, 1)
    assert cost.before is not None
    assert cost.after is not None
    assert (cost.absolute, cost.relative) == (None, None)
    assert found.summary["total_requests"].absolute == 1
    same = compare_stats(None, sides[0], sides[0], root=tmp_path, cache=False).summary["total_cost"]
    assert (same.absolute, same.relative) == ("0", 0.0)
