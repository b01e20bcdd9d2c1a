"""Tables that fit: a change goes with its value, and what is watched fits the screen."""

import json

import pytest

from llm_logging.cli.output import Shown, fitting
from llm_logging.cli.render import table as columns
from llm_logging.cli.render.table import Column
from llm_logging.models.query import StatsOptions
from llm_logging.reader.stats import get_stats


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "requests.jsonl"
    entry = {
        "event_type": "llm_request",
        "project_id": "p",
        "chat_id": "c",
        "status": "success",
        "usage": {"prompt_tokens": 1},
    }
    path.write_text(
        "".join(json.dumps({**entry, "model": f"model-{number}"}) + "\n" for number in range(1500))
    )
    return path


@pytest.mark.parametrize("width", range(20, 80, 5))
def test_a_pair_of_columns_goes_as_one(width):
    every = [Column("model", ["m" * 10], left=True)]
    for rank, name in enumerate("abc", 2):
        every += [
            Column(name, ["123456 → 123457"], rank=rank, pair=name),
            Column("", ["+7.7 %"], rank=rank, pair=name),
        ]
    kept = [column.pair for column in columns.fit(every, width)]
    assert all(kept.count(name) in {0, 2} for name in "abc")


@pytest.mark.parametrize("rows", [5, 24, 60, 200])
def test_what_is_watched_fits_the_screen(file, tmp_path, rows, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    stats = get_stats(
        options=StatsOptions(group_by="model", where="model~model-1??"), files=[file], cache=False
    )
    text = fitting(stats, Shown(), rows)
    assert text.startswith("LLM requests of")
    assert text.count("\n") <= rows - 1
    if rows == 200:
        assert "more row" not in text
    elif rows > 20:
        assert "more rows" in text


@pytest.mark.parametrize("command", [["requests", "--format", "json"], ["search", "model-", "--json"]])
@pytest.mark.parametrize(("limit", "rows"), [(0, 1500), (1200, 1200), (3, 3)])
def test_a_limit_of_0_is_none(cli, file, command, limit, rows):
    found = cli(*command, "-n", str(limit), "--files", file)
    assert (found.status, len(found.out.splitlines())) == (0, rows)
