from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_logging.cli.render.table import Column, draw, fit, markdown
from llm_logging.models.stats import Figures
from llm_logging.presentation import numbers


@pytest.mark.parametrize(
    ("value", "full", "compact"),
    [
        (None, "–", "–"),
        (0, "0", "0"),
        (9_999, "9,999", "9,999"),
        (10_000, "10,000", "10.0k"),
        (999_499, "999,499", "999k"),
        (999_999, "999,999", "1.00M"),
        (9_994_999, "9,994,999", "9.99M"),
        (12_345_678, "12,345,678", "12.3M"),
        (3_456_000_000, "3,456,000,000", "3.46G"),
        (-12_345_678, "-12,345,678", "-12.3M"),
    ],
)
def test_counts(value, full, compact):
    assert numbers.count(value) == full
    assert numbers.count(value, compact=True) == compact


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (None, "–"),
        (0, "0 ms"),
        (0.456, "0.46 ms"),
        (9.996, "10.0 ms"),
        (99.96, "100 ms"),
        (999.4, "999 ms"),
        (999.6, "1.00 s"),
        (12_345, "12.3 s"),
        (119_000, "119 s"),
        (125_000, "2m 05s"),
        (7_300_000, "2h 01m"),
    ],
)
def test_durations(milliseconds, text):
    assert numbers.duration(milliseconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0 %"),
        (1, "100 %"),
        (0.0001, "<0.1 %"),
        (0.9999, ">99.9 %"),
        (0.0284, "2.8 %"),
        (0.5, "50.0 %"),
    ],
)
def test_shares_of_some_are_neither_none_nor_all(value, text):
    assert numbers.share(value) == text


@pytest.mark.parametrize(
    ("amount", "mark", "text"),
    [
        (None, "", "–"),
        ("0", "", "$0.00"),
        ("0.5", "", "$0.50"),
        ("0.004999", "~", "~$0.0050"),
        ("0.00012345", "", "$0.00012"),
        ("0.00001", "~", "<$0.0001"),
        ("0.00001", "≥", ">0"),
        ("0.999", "", "$1.00"),
        ("12.345", "~", "~$12.34"),
        ("12.349", "≥", "≥$12.34"),
        ("99.999", "~", "~$100"),
        ("1234.567", "~", "~$1,235"),
        ("1234.567", "", "$1,234.57"),
        ("1234.999", "≥", "≥$1,234"),
        ("-0.25", "", "-$0.25"),
        (f"{10**40}.25", "", f"${10**40:,}.25"),
        ("nonsense\x1b", "", "nonsense\\x1b"),
    ],
)
def test_money_is_no_more_exact_than_it_is_known(amount, mark, text):
    assert numbers.money(amount, mark=mark) == text


def test_other_currencies_are_named():
    assert numbers.money("3.5", "EUR") == "€3.50"
    assert numbers.money("3.5", "CHF") == "3.50 CHF"


@given(st.decimals(min_value=0, max_value=10**9, places=9), st.sampled_from(["", "~", "≥"]))
def test_shown_money_is_near_and_a_lower_bound_is_one(amount, mark):
    text = numbers.money(str(amount), mark=mark)
    if text.startswith(("<", ">")):
        assert amount < Decimal("0.0001")
        return
    assert text.startswith(mark)
    shown = Decimal(text.removeprefix(mark).removeprefix("$").replace(",", ""))
    if mark == "≥":
        assert shown <= amount
    # Of two digits, half of the last one where it is rounded; where it is cut off, all of it.
    assert abs(shown - amount) <= max(amount / (10 if mark == "≥" else 20), Decimal("0.005"))


def test_cost_says_how_well_it_is_known():
    def figures(**values):
        return Figures(**{"total_cost": "12.345", **values})

    assert numbers.cost(figures(priced_requests=3)) == "~$12.34"
    assert numbers.cost(figures(reported_requests=3)) == "$12.34"
    assert numbers.cost(figures(priced_requests=3, unpriced_requests=1)) == "≥$12.34"
    assert numbers.cost(Figures(total_cost=None, unpriced_requests=4)) == "–"
    assert numbers.cost(Figures(total_cost="0", unpriced_requests=4)) == "–"
    assert numbers.cost(Figures()) == "$0.00"
    assert numbers.cost(figures(priced_requests=1, other_costs={"EUR": "2"})) == "~$12.34 + €2.00"
    foreign = Figures(total_cost=None, reported_requests=1, other_costs={"EUR": "2"})
    assert numbers.cost(foreign) == "€2.00"


def test_bars():
    assert numbers.bar(0, 10) == ""
    assert numbers.bar(0.001, 10) == "▏"
    assert numbers.bar(10, 10, 4) == "████"
    assert numbers.bar(5, 10, 4) == "██"


def test_sizes():
    assert [numbers.size(n) for n in (0, 999, 1500, 2_000_000, 3 * 10**12)] == [
        "0 B",
        "999 B",
        "1.5 kB",
        "2 MB",
        "3 TB",
    ]


@given(
    st.lists(
        st.builds(
            lambda header, cells, rank, left: Column(header, cells, rank=rank, left=left),
            st.text("abc[]é日", max_size=8),
            st.lists(st.text("abc [/red]日", max_size=12), min_size=3, max_size=3),
            st.integers(0, 4),
            st.booleans(),
        ),
        min_size=1,
        max_size=7,
    ),
    st.integers(20, 120),
)
def test_a_table_keeps_what_must_stay_and_reads_no_markup(columns, width):
    chosen = fit(list(columns), width)
    assert all(column in chosen for column in columns if column.rank == 0)
    text = draw(list(columns), width=200, colour=False)
    assert "\x1b" not in text
    for column in columns:
        for cell in column.cells:
            assert cell.strip() in text
    assert len(markdown(columns).splitlines()) == 5


def test_the_least_needed_column_goes_first():
    columns = [
        Column("name", ["x" * 10], left=True),
        *(Column(f"c{rank}", ["1" * 10], rank=rank) for rank in (1, 3, 2)),
    ]
    assert [column.header for column in fit(columns, 40)] == ["name", "c1", "c2"]
    assert [column.header for column in fit(columns, 12)] == ["name"]
