"""Recall and false positives on a corpus put together at run time, per kind."""

import json
from collections import Counter

from llm_logging.redaction.redactor import Redactor
from tests.redaction.corpus import named, negatives, positives

REDACTOR = Redactor()


def table(hits: Counter, totals: Counter) -> str:
    return "\n".join(f"{kind:20} {hits[kind]:4} of {totals[kind]:4}" for kind in sorted(totals))


def test_of_at_least_300_secrets_98_percent_go():
    hits, totals = Counter(), Counter()
    for kind, text, secret in positives():
        totals[kind] += 1
        hits[kind] += secret not in REDACTOR.redact_text(text) and secret not in json.dumps(
            REDACTOR.redact([text])
        )
    print(table(hits, totals))
    assert totals.total() >= 300
    assert hits.total() >= 0.98 * totals.total(), table(hits, totals)


def test_every_name_of_the_list_hides_its_value_at_any_depth():
    for name, value, secret in named():
        assert secret not in json.dumps(REDACTOR.redact(value)), name


def test_of_at_least_300_look_alikes_2_percent_are_touched_at_most():
    wrong, totals = Counter(), Counter()
    for kind, value in negatives():
        totals[kind] += 1
        wrong[kind] += REDACTOR.redact(value) is not value
    print(table(wrong, totals))
    assert totals.total() >= 300
    assert wrong.total() <= 0.02 * totals.total(), table(wrong, totals)


def test_what_is_planted_in_a_line_is_never_called_clean():
    for _, text, _ in positives():
        for line in (
            json.dumps({"message": text}),
            json.dumps({"a": [json.dumps(text)]}, ensure_ascii=False),
        ):
            assert not REDACTOR.clean(line), line
