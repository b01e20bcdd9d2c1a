"""Groups of lists, and the order of groups."""

from __future__ import annotations

from tests.reader.builders import ask, entry, put


def test_two_lists_make_a_group_of_each_pair_of_their_members(tmp_path):
    put(
        tmp_path,
        [
            entry(0, tags=["a", "b"], touched_files=["x"]),
            entry(1, tags=["a"], touched_files=["x", "y"]),
            entry(2, touched_files=["x"]),
        ],
    )
    rows = ask(tmp_path, group_by="tag,touched_files").breakdown
    assert [(*row.group.values(), row.total_requests) for row in rows] == [
        ("a", "x", 2), ("a", "y", 1), ("b", "x", 1), (None, "x", 1),
    ]  # fmt: skip


def test_a_list_that_holds_nothing_is_as_one_that_is_not_there(tmp_path):
    put(tmp_path, [entry(0, tags=["a", None]), entry(1, tags=[]), entry(2, tags=[None]), entry(3)])
    rows = ask(tmp_path, group_by="tag").breakdown
    assert [(row.group["tag"], row.total_requests) for row in rows] == [("a", 1), (None, 3)]
    assert ask(tmp_path, where="tag=").summary.total_requests == 3
    assert ask(tmp_path, where="tag!=").summary.total_requests == 1


def test_rows_are_ordered_by_value_not_by_how_it_is_written(tmp_path):
    values = [(1, 100.0, 10), (10, 20.5, 9), (2, 5.0, "x"), (3, None, "007"), (None, 1e20, -1.5)]
    put(
        tmp_path,
        [
            entry(n, attempt=attempt, timings={"latency_ms": latency}, attributes={"n": number})
            for n, (attempt, latency, number) in enumerate(values)
        ],
    )

    def names(group):
        return [row.group[group] for row in ask(tmp_path, group_by=group).breakdown]

    assert names("attempt") == ["1", "2", "3", "10", None]
    assert names("timings.latency_ms") == ["5.0", "20.5", "100.0", "1e+20", None]
    assert names("attributes.n") == ["-1.5", "9", "10", "007", "x"]


def test_a_text_and_what_it_reads_like_are_two_groups(tmp_path):
    values = [
        7,
        "7",
        7.5,
        "7.5",
        True,
        "true",
        [1],
        "[1]",
        {"a": 1},
        '{"a":1}',
        '"quoted"',
        "007",
        None,
        "null",
        "x",
    ]
    put(tmp_path, [entry(n, attributes={"a": value}) for n, value in enumerate([*values, 7, "7"])])
    rows = ask(tmp_path, group_by="attributes.a").breakdown
    assert {row.group["attributes.a"]: row.total_requests for row in rows} == {
        "7": 2, '"7"': 2, "7.5": 1, '"7.5"': 1, "true": 1, '"true"': 1, "[1]": 1, '"[1]"': 1, '{"a":1}': 1,
        r'"{\"a\":1}"': 1, r'"\"quoted\""': 1, "007": 1, None: 1, "null": 1, "x": 1,
    }  # fmt: skip
    assert ask(tmp_path, where="attributes.a=7").summary.total_requests == 4
    for value, count in {'"quoted"': 1, "[1]": 2, "true": 2, "null": 1, '"7"': 2, '"[1]"': 1}.items():
        assert ask(tmp_path, where=f"attributes.a={value}").summary.total_requests == count


def test_amounts_are_named_as_they_are_known(tmp_path):
    amounts = ["0.50", "0.5", "100", "0", "0.000000000000000000000001", "-1.250", "1E+3", 0.1]
    put(tmp_path, [entry(n, cost={"amount": amount}) for n, amount in enumerate(amounts)])
    rows = ask(tmp_path, group_by="cost.amount").breakdown
    assert [(row.group["cost.amount"], row.total_requests) for row in rows] == [
        ("-1.25", 1), ("0", 1), ("0.000000000000000000000001", 1), ("0.1", 1), ("0.5", 2), ("100", 1), ("1000", 1),
    ]  # fmt: skip
    assert ask(tmp_path, where="cost.amount~0.5").summary.total_requests == 2


def test_weekdays_and_hours_of_the_day_are_those_of_the_time_zone(tmp_path):
    # 2026-01-15 is a Thursday; 23:30 UTC on it is half past midnight on Friday in Berlin.
    starts = ["2026-01-15T10:00:00Z", "2026-01-15T23:30:00Z", "2026-01-22T10:59:00Z", "2026-01-11T00:00:00Z"]
    put(tmp_path, [entry(n, timestamp_start=start) for n, start in enumerate(starts)])

    def counts(group, **options):
        return {
            row.group[group]: row.total_requests for row in ask(tmp_path, group_by=group, **options).breakdown
        }

    assert list(counts("weekday").items()) == [("Thursday", 3), ("Sunday", 1)]
    assert counts("weekday", time_zone="Europe/Berlin") == {"Thursday": 2, "Friday": 1, "Sunday": 1}
    assert list(counts("hour_of_day").items()) == [("00", 1), ("10", 2), ("23", 1)]
    assert counts("hour_of_day", time_zone="Europe/Berlin") == {"00": 1, "01": 1, "11": 2}
    rows = ask(tmp_path, group_by="day,weekday", fill_gaps=True).breakdown
    assert sum(row.total_requests for row in rows) == 4
