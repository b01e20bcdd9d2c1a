"""Every row of the table of formats: samples generated from the row are removed, and what is not quite one stays."""

import random
import re
from re import _constants, _parser  # type: ignore[attr-defined]

import pytest

from llm_logging.redaction.detectors.formats import FORMATS
from llm_logging.redaction.redactor import Redactor

REDACTOR = Redactor()
ROWS = [pytest.param(row, id=f"{row.kind} {row.prefix}") for row in FORMATS]
CONTEXTS = ("{}", "found {} in a file", 'f("{}")', "a=1;\n{}\n", "said\\n{}\\nthen", "(%20{})")


def drawn(pattern: str, rnd: random.Random) -> str:
    """Return a text that a pattern of the table matches."""

    def piece(operation, argument) -> str:
        if operation is _constants.LITERAL:
            return chr(argument)
        if operation is _constants.IN:
            letters = [
                chr(code)
                for what, value in argument
                for code in ([value] if what is _constants.LITERAL else range(value[0], value[1] + 1))
            ]
            return rnd.choice(letters)
        if operation in (_constants.MAX_REPEAT, _constants.MIN_REPEAT):
            least, most, inner = argument
            times = rnd.randint(least, min(most, least + 6))
            return "".join(pieces(inner) for _ in range(times))
        if operation is _constants.SUBPATTERN:
            return pieces(argument[3])
        assert operation is _constants.BRANCH
        return pieces(rnd.choice(argument[1]))

    def pieces(parsed) -> str:
        return "".join(piece(*item) for item in parsed)

    return pieces(_parser.parse(pattern))


def sample(row, rnd: random.Random) -> str:
    """Return a credential of a row's form, with the digit and the capital that it needs."""
    while True:
        tail = drawn(row.tail, rnd)
        head = tail[:40]
        if (row.needs in {"digit", "mixed"} and not re.search("[0-9]", head)) or (
            row.needs in {"capital", "mixed"} and not re.search("[A-Z]", head)
        ):
            continue
        return drawn(row.left, rnd) + row.prefix + tail


@pytest.mark.parametrize("row", ROWS)
def test_samples_of_a_row_are_removed_wherever_a_word_can_begin(row):
    rnd = random.Random(row.kind + row.prefix)
    for context in CONTEXTS:
        secret = sample(row, rnd)
        text = context.format(secret)
        found = REDACTOR.redact_text(text)
        assert secret not in found, text
        assert not REDACTOR.clean(text.encode())


@pytest.mark.parametrize(
    "row", [row for row in ROWS if len(row.values[0].prefix) >= 4 and not row.values[0].left]
)
def test_a_beginning_alone_is_no_credential(row):
    beginning = row.prefix
    for text in (f"the beginning {beginning} is known", f"{beginning}..."):
        assert REDACTOR.redact_text(text) == text


def test_a_row_has_all_its_columns():
    for row in FORMATS:
        assert row.kind
        assert len(row.prefix) >= (1 if row.left else 2)
        assert row.needs in {"", "digit", "capital", "mixed"}
        assert set(row.source) <= set("gtnhp"), row
