"""Files that were shipped from several hosts are one log per project: no gap where another host has the numbers."""

import json

import pytest

from llm_logging.reader.stats import get_stats
from tests.reader.builders import START, entry


def ship(root, host, numbers, name="llm_requests-20260115T100000Z-0001.jsonl"):
    folder = root / "hosts" / host / "projects" / "shop" / "logs"
    folder.mkdir(parents=True)
    (folder / name).write_text("".join(json.dumps(entry(number)) + "\n" for number in numbers))


@pytest.mark.parametrize(
    ("parts", "missing", "repeated"),
    [
        ({"a": [*range(10), *range(20, 30)], "b": range(10, 20)}, 0, 0),
        ({"a": range(10), "b": range(10)}, 0, 10),
        ({"a": range(10), "b": range(12, 20), "c": range(5, 10)}, 2, 5),
        ({"a": range(100, 110)}, 0, 0),
    ],
    ids=["the numbers of one writer lie on two hosts", "a segment lies on two hosts", "two lines are nowhere", "one host"],
)  # fmt: skip
def test_gaps_are_those_of_a_log_whatever_host_has_its_segments(tmp_path, parts, missing, repeated):
    for host, numbers in parts.items():
        ship(tmp_path, host, numbers)
    stats = get_stats(files=tmp_path / "hosts" / "**" / "*.jsonl", cache=False, now=START)
    quality = stats.quality
    assert (quality.missing_lines, quality.repeated_lines) == (missing, repeated)
    assert stats.summary.total_requests == len({number for numbers in parts.values() for number in numbers})
    assert quality.complete == (not missing)
    assert {gap.log for gap in quality.gaps} <= {
        str(tmp_path / "projects/shop/logs/llm_requests-20260115T100000Z-0001.jsonl")
    }
