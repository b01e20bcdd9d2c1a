import csv
import io
import json
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_logging.cli.render import terminal

ACTING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI", "BN"}
KEPT = {"\u200c", "\u200d"}
HOSTILE = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("\x00\x07\x08\x1b\x9b\x7f\r\n\t\u202e\u2066\u200f\u061c\u2028\ufeff=+-@|`[]<>"),
        st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp"]),
    ),
    max_size=60,
)


def acts(char: str) -> bool:
    return char not in KEPT and (
        unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"}
        or unicodedata.bidirectional(char) in ACTING | {"AL"} - {"AL"}
    )


# Musical and shorthand format characters are boundary-neutral too, but hide no other text and move no cursor.
HARMLESS = {
    chr(n)
    for n in range(sys.maxunicode + 1)
    if unicodedata.category(chr(n)) == "Cf" and n >= 0x13430 and n < 0xE0000
}


@given(HOSTILE)
def test_safe_text_holds_no_character_that_acts(text):
    shown = terminal.safe(text)
    assert not [char for char in shown if acts(char) and char not in HARMLESS]
    shown.encode("utf-8")


@given(HOSTILE)
def test_newlines_are_the_only_thing_kept_when_asked(text):
    shown = terminal.safe(text, newlines=True)
    assert not [char for char in shown.replace("\n", "") if acts(char) and char not in HARMLESS]


def test_every_control_and_bidi_character_there_is_becomes_visible():
    for number in range(sys.maxunicode + 1):
        char = chr(number)
        if unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} or unicodedata.bidirectional(
            char
        ) in ACTING - {"BN"}:
            assert terminal.safe(char).isascii(), hex(number)
    assert terminal.safe("\x1b]0;owned\x07") == "\\x1b]0;owned\\x07"
    assert terminal.safe("a\u202eb\n") == "a\\u202eb\\n"
    assert terminal.safe("\U000e0041") == "\\U000e0041"


@pytest.mark.parametrize(
    "text", ["plain", "Grüße", "日本語", "👩‍👩‍👧", "עברית", "नी‍", "C:\\new", "[red]x[/red]"]
)
def test_ordinary_text_of_every_language_stays(text):
    assert terminal.safe(text) == text


@given(
    st.recursive(
        HOSTILE | st.integers() | st.booleans() | st.none(),
        lambda inner: st.lists(inner) | st.dictionaries(HOSTILE, inner),
    )
)
def test_safe_json_is_the_same_value(value):
    text = terminal.dumps(value)
    assert not [char for char in text if acts(char) and char not in HARMLESS]
    text.encode("utf-8")
    assert json.loads(text) == json.loads(json.dumps(value))


@given(st.lists(st.lists(HOSTILE, min_size=2, max_size=2), min_size=1, max_size=4))
def test_no_cell_starts_a_formula(rows):
    out = io.StringIO()
    csv.writer(out).writerows([[terminal.csv_cell(cell) for cell in row] for row in rows])
    for row in csv.reader(io.StringIO(out.getvalue())):
        for cell in row:
            assert not cell.lstrip(" \u00a0").startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠"))


def test_numbers_stay_numbers_in_csv():
    assert terminal.csv_cell(-5) == -5
    assert terminal.csv_cell("-5") == "'-5"
    assert terminal.csv_cell("=cmd|' /C calc'!A0") == "'=cmd|' /C calc'!A0"
    assert terminal.csv_cell(None) == ""


def test_markdown_cells_mean_themselves():
    assert terminal.markdown_cell("a|b`c`<img src=x>\n[x](y)") == "a\\|b\\`c\\`\\<img src=x\\>\\\\n\\[x\\](y)"


def test_colour_follows_the_environment(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    assert terminal.use_colour(Terminal())
    assert not terminal.use_colour(io.StringIO())
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert terminal.use_colour(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not terminal.use_colour(Terminal())
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.delenv("FORCE_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not terminal.use_colour(Terminal())


def test_width_follows_COLUMNS_and_has_a_floor(monkeypatch):
    monkeypatch.setenv("COLUMNS", "61")
    assert terminal.width(io.StringIO()) == 61
    monkeypatch.setenv("COLUMNS", "3")
    assert terminal.width(io.StringIO()) == 20
    monkeypatch.delenv("COLUMNS")
    assert terminal.width(io.StringIO()) == 120


def test_a_cut_is_shown():
    assert terminal.shorten("abcdef", 4) == "abc…"
    assert terminal.shorten("abc", 3) == "abc"


def test_an_option_that_there_is_not_is_repeated_without_its_acting_characters(cli):
    for argument in ("--no\u202esuch\x1b[2J", "-\u2066x", "--\u202ewhere=x"):
        result = cli("stats", argument)
        assert result.status == 2
        assert not [char for char in result.err if acts(char) and char != "\n"]
    # What an option is given is its own business.
    assert "\u202e" not in cli("stats", "--where=model=\u202e", "--root", "/nowhere").err
