"""A short stretch of `python -m tests.fuzz`, the same cases each time, and a proof that it can fail."""

import multiprocessing
import time

import pytest

from tests.fuzz import KINDS, SABOTAGE, Watch, kind_of, peak_memory, sabotaged


def test_a_few_dozen_cases_of_each_kind_break_nothing():
    watch = Watch("suite")
    watch.run(0, 16, time.monotonic() + 3600)
    assert not watch.failures
    assert watch.counts == {"logs": 10, "questions": 4, "texts": 2}


def test_the_memory_of_a_case_is_not_that_of_the_suite():
    held = bytearray(300_000_000)
    held[::4096] = b"1" * len(held[::4096])
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(peak_memory) < 200_000


def test_a_case_follows_from_its_number():
    assert {kind_of(number) for number in range(8)} == set(KINDS)
    assert kind_of(3, ("texts",)) == "texts"


def test_filters_that_become_sql_are_noticed():
    watch = Watch("suite", ("questions",), sabotage="filters")
    watch.run(0, 20, time.monotonic() + 3600)
    assert watch.failures


@pytest.mark.slow
def test_every_way_to_break_the_reader_is_noticed():
    assert SABOTAGE
    assert sabotaged("suite") == []
