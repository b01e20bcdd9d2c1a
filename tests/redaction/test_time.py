"""Time is linear in the text, whatever the text, and small on a line that holds nothing; see also `test_redaction_linear`."""

import json
import time

import pytest

from llm_logging.redaction.redactor import Redactor
from llm_logging.redaction.scanner import PATTERN_SETS
from tests.benchmarks.redact import almost_personal, best, hostile, record
from tests.benchmarks.write import PROMPT

REDACTOR = Redactor()
ALL_SETS = Redactor(patterns=PATTERN_SETS)
# 32 MB in 3 s are 94 ns a byte; a machine that others share may be twice as slow.
NANOSECONDS = 2 * 94


def seconds(text: str, redactor: Redactor = REDACTOR) -> float:
    begun = time.process_time()
    redactor.redact_text(text)
    return time.process_time() - begun


@pytest.mark.slow
@pytest.mark.parametrize("name", hostile(10))
def test_no_text_takes_more_than_its_share(name):
    text = hostile(2_000_000)[name]
    taken = min(seconds(text) for _ in range(2))
    assert taken / len(text) * 1e9 <= NANOSECONDS, name


@pytest.mark.slow
@pytest.mark.parametrize("name", hostile(10))
def test_four_times_the_text_takes_about_four_times_as_long(name):
    small, large = (hostile(size)[name] for size in (500_000, 2_000_000))
    assert min(seconds(large) for _ in range(2)) <= 8 * min(seconds(small) for _ in range(3)) + 0.02, name


@pytest.mark.slow
@pytest.mark.parametrize("name", hostile(10))
def test_32_megabytes_take_3_seconds_at_most(name):
    assert min(seconds(hostile(32_000_000)[name]) for _ in range(2)) <= 3, name


@pytest.mark.slow
@pytest.mark.parametrize("name", almost_personal(10))
def test_32_megabytes_take_3_seconds_at_most_with_all_sets_asked_for(name):
    text = almost_personal(32_000_000)[name]
    assert min(seconds(text, ALL_SETS) for _ in range(2)) <= 3, name


def test_a_line_without_secrets_costs_less_than_writing_it():
    for prompt, most in ((None, 1.5), (PROMPT, 3.0)):
        document = record(prompt)
        line = json.dumps(document, separators=(",", ":")).encode()
        assert REDACTOR.clean(line)
        ratio = best(REDACTOR.clean, line, rounds=3, calls=2000) / best(
            json.dumps, document, rounds=3, calls=2000
        )
        assert ratio <= most


def test_the_examination_of_a_deep_or_wide_value_is_linear_too():
    def wide(count):
        return {f"k{number}": ["x" * 20, number] for number in range(count)}

    def timed(value):
        begun = time.process_time()
        REDACTOR.redact(value)
        return time.process_time() - begun

    assert timed(wide(40_000)) <= 10 * timed(wide(10_000)) + 0.05
