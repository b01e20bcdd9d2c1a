"""Work is linear in the text, counted, not timed: characters handed to the precise patterns, and matches tried there."""

import re

import pytest

from llm_logging.redaction import scanner as examining
from llm_logging.redaction.matching.prefilter import WINDOW, matcher
from llm_logging.redaction.redactor import Redactor
from llm_logging.redaction.scanner import PATTERN_SETS
from tests.benchmarks.redact import PROSE, SECRET, almost_personal, hostile
from tests.redaction.corpus import positives


class Counted:
    """A compiled pattern that counts how often it is asked, what it may look at, and what it finds."""

    work = 0

    def __init__(self, pattern):
        self.pattern = pattern

    def _looks(self, text, start=0, stop=None, found=None):
        end = len(text) if stop is None else min(stop, len(text))
        Counted.work += 16 + ((found.end() if found is not None else end) - start)
        return found

    def search(self, text, start=0, stop=None):
        found = self.pattern.search(text, start, len(text) if stop is None else stop)
        return self._looks(text, start, stop, found)

    def match(self, text, start=0, stop=None):
        found = self.pattern.match(text, start, len(text) if stop is None else stop)
        # A match that fails ends at once: no pattern here begins with what can be long.
        Counted.work += 16 + (found.end() - start if found is not None else 0)
        return found

    def finditer(self, text, start=0, stop=None):
        end = len(text) if stop is None else min(stop, len(text))
        Counted.work += end - start
        for match in self.pattern.finditer(text, start, end):
            Counted.work += 16
            yield match

    def __getattr__(self, name):
        return getattr(self.pattern, name)


def work(redactor, text):
    Counted.work = 0
    redactor.redact_text(text)
    return Counted.work


@pytest.fixture
def redactor(monkeypatch):
    """A redactor whose patterns count what they do."""
    made = Redactor()
    for detector, _ in made._examiner._detectors:
        for holder in (detector, type(detector)):
            for name, value in list(vars(holder).items()):
                if isinstance(value, re.Pattern):
                    monkeypatch.setattr(holder, name, Counted(value))
    return made


@pytest.mark.parametrize("name", hostile(10))
def test_a_text_four_times_as_long_is_four_times_the_work(name, redactor):
    small, large = (work(redactor, hostile(size)[name]) for size in (100_000, 400_000))
    assert large <= 4.4 * small + 20_000, name


@pytest.mark.parametrize("name", hostile(10))
def test_no_text_is_looked_at_more_than_a_few_times(name, redactor):
    text = hostile(200_000)[name]
    assert work(redactor, text) <= 24 * len(text), name


def test_the_count_tells_a_square_from_a_line(redactor, monkeypatch):
    class Square:
        scan, low_scan = "a", ""

        def spans(self, text, low, start, stop):
            pattern = Counted(re.compile("b"))
            for at in range(start, stop, 64):
                pattern.search(text, at)
            yield from ()

    monkeypatch.setattr(redactor._examiner, "_detectors", ((Square(), matcher("a")),))
    monkeypatch.setattr(redactor._examiner, "_raw", matcher("a"))
    monkeypatch.setattr(examining, "windows", lambda _holds, start, stop: [(start, stop)])
    assert work(redactor, "a" * 40_000) > 8 * work(redactor, "a" * 10_000)


ALMOST = sorted({*hostile(10), *almost_personal(10)})


@pytest.mark.parametrize("name", ALMOST)
def test_looks_are_bounded_and_what_stands_among_them_is_hidden_all_the_same(name, monkeypatch):
    redactor = Redactor(patterns=PATTERN_SETS)
    looks = 0
    for detector, *_ in redactor._examiner._detectors:

        def counted(*arguments, spans=detector.spans):
            nonlocal looks
            for span in spans(*arguments):
                looks += 1
                yield span

        monkeypatch.setattr(detector, "spans", counted)
    monkeypatch.setattr(examining, "_LOOKS", 500)
    piece = {**hostile(20_000), **almost_personal(20_000)}[name]
    secrets = [f"{SECRET}{number:04}" for number in range(16)]
    # Between lines of prose, as somebody would hide a secret from who looks for it.
    text = "".join(f"{piece}\n{PROSE}{secret} {PROSE}\n" for secret in secrets)
    found = redactor.redact_text(text)
    assert not any(secret in found for secret in secrets)
    windows = len(text) // WINDOW + 1
    last = examining._LAST_LOOKS + len(redactor._examiner._detectors)
    assert looks <= 500 + len(text) // examining._LOOK_SHARE + last * windows


def test_a_long_text_with_a_near_miss_here_and_there_stays_as_it_is(monkeypatch):
    monkeypatch.setattr(examining, "_LOOKS", 10)
    text = ("password is wrong; " + PROSE * 3) * 4000
    assert Redactor().redact_text(text) == text


def test_a_text_of_nothing_but_near_misses_stays_as_it_is_while_there_are_looks_left():
    text = '{"token":"a","logprob":-0.1},' * 10_000
    assert Redactor().redact_text(text) == text


@pytest.mark.parametrize(
    "name", ["AKIA without end", "-us1 without a key", "half a token, again and again", "BEGIN without END"]
)
def test_a_key_of_many_lines_that_begins_in_a_hidden_part_is_hidden_to_its_end(name, monkeypatch):
    monkeypatch.setattr(examining, "_LOOKS", 100)
    redactor = Redactor()
    lines = [f"{number:03}" + "aB3dE5gH" * 7 + "+/xyz" for number in range(50)]
    label = "RSA PRIV" + "ATE KEY"
    key = "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----"])
    piece = hostile(40_000)[name]
    for cut in range(30_000, 30_000 + 8 * WINDOW, 128):
        found = redactor.redact_text(f"{piece[:cut]}\n{key}\n{piece[:100]}")
        assert not [line for line in lines if line in found], cut


def test_a_secret_goes_wherever_it_stands_in_a_long_text():
    redactor = Redactor()
    cases = [case for case in positives() if len(case[1]) < 600]
    for number, (_, text, secret) in enumerate(cases):
        before = (PROSE * 20)[: 512 + number * 7 % 1024]
        found = redactor.redact_text(f"{before}\n{text}\n{PROSE * 8}")
        assert (secret in found) is (secret in redactor.redact_text(text)), text


def test_a_secret_that_begins_where_another_ends_goes_wherever_they_stand():
    redactor = Redactor()
    keys = [
        key for letter in "bcdef" for key in (f"AKIA{letter.upper() * 12}2345", f"dapi{letter}7{'0a' * 15}")
    ]
    for shift in range(0, WINDOW, 16):
        found = redactor.redact_text(f"{PROSE * 4}{'.' * shift} {SECRET} {''.join(keys)} {PROSE * 8}")
        assert not any(key in found for key in keys), shift


def test_the_options_of_a_long_command_go_wherever_they_stand():
    redactor = Redactor()
    for shift in range(0, 1024, 64):
        text = (
            f"{PROSE * 4}curl {'-H a ' * 60} PGPASSWORD=abcdef -u bob:ghijkl {'-H b ' * 20}\n{'.' * shift}\n"
        )
        found = redactor.redact_text("." * shift + text)
        assert ("abcdef" in found, "ghijkl" in found) == (False, False), shift
