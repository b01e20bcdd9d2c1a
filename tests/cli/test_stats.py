import csv
import io
import json
import os

import pytest

from llm_logging.cli.output import Shown
from llm_logging.cli.render.stats import Look, as_markdown, as_table, draw_groups, notes
from llm_logging.models.query import StatsOptions, StatsScope
from llm_logging.models.stats import Figures, Percentiles, Quality, Stats, StatsRow
from llm_logging.reader.stats import get_stats
from tests.cli.logged import HOSTILE, make_root, request, write


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def same(one, other):
    """Compare two answers; a mean of floats depends on the order of its terms in the last digit."""

    def rounded(value):
        if isinstance(value, dict):
            return {key: rounded(item) for key, item in value.items()}
        if isinstance(value, list):
            return [rounded(item) for item in value]
        return float(f"{value:.9g}") if isinstance(value, float) else value

    one, other = (
        value if isinstance(value, dict) else value.model_dump(mode="json") for value in (one, other)
    )
    assert rounded(one) == rounded(other)


def test_the_table_says_what_was_logged(cli, logged):
    result = cli("stats", "--root", logged)
    assert (result.status, result.err) == (0, "")
    assert "LLM requests of all projects, all time (UTC)" in result.out
    # 30 requests, every fifth failed; 24 of them have 1,000 + their number prompt and 100 completion tokens.
    prompt = sum(1000 + n for n in range(30) if n % 5 != 4)
    assert "24 ok, 6 failed (20.0 %)" in " ".join(result.out.split())
    assert f"{prompt + 2400:,}" in result.out
    assert "mystery-1" in result.out
    assert "no price is known" in result.out


def test_json_is_the_answer_itself(cli, logged):
    expected = get_stats(StatsScope(), StatsOptions(group_by="day,model"), root=logged)
    result = cli("stats", "--root", logged, "--by", "day,model", "--format", "json")
    same(Stats.model_validate_json(result.out), expected)
    camel = cli("stats", "--root", logged, "--by", "day,model", "--format", "json", "--camel")
    assert "totalRequests" in camel.out
    assert "from" in json.loads(camel.out)["period"]
    same(Stats.model_validate_json(camel.out), expected)


def test_csv_has_every_figure_of_every_group(cli, logged):
    found = rows(cli("stats", "--root", logged, "--by", "project", "--format", "csv").out)
    assert [(row["project"], row["total_requests"]) for row in found] == [("blog", "15"), ("shop", "15")]
    stats = get_stats(StatsScope(), StatsOptions(group_by="project"), root=logged)
    for row, expected in zip(found, stats.breakdown, strict=True):
        assert float(row["latency_ms.p95"]) == expected.latency_ms.p95
        assert row["total_cost"] == str(expected.total_cost)
        assert row["error_codes"] == "; ".join(f"{k}={v}" for k, v in expected.error_codes.items())
    assert len(rows(cli("stats", "--root", logged, "--format", "csv").out)) == 1


def test_hostile_group_names_are_harmless_everywhere(cli, logged):
    arguments = ["stats", "--root", logged, "--by", "attributes.tenant"]
    for form in ("table", "csv", "markdown", "json"):
        text = cli(*arguments, "--format", form).out
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert "\\x1b[2J\\u202e[red]=cmd|x" in cli(*arguments).out
    groups = [
        row["group"]["attributes.tenant"]
        for row in json.loads(cli(*arguments, "--format", "json").out)["breakdown"]
    ]
    assert set(groups) == {"acme", HOSTILE}


def test_formulas_are_neutralised_in_csv(cli, tmp_path):
    from tests.cli.logged import request, write

    path = tmp_path / "x.jsonl"
    write(path, [request(n, n + 1, model=text) for n, text in enumerate(["=1+1", "+a", "-b", "@c", "fine"])])
    found = rows(cli("models", "--files", path, "--format", "csv").out)
    assert sorted(row["model"] for row in found) == ["'+a", "'-b", "'=1+1", "'@c", "fine"]


@pytest.fixture(scope="module")
def answers(logged):
    options = [
        StatsOptions(group_by=groups) for groups in (None, "day", "hour", "day,model", "attributes.tenant")
    ]
    return [get_stats(StatsScope(), one, root=logged) for one in options]


@pytest.mark.parametrize("columns", [60, 80, 100, 120, 200])
@pytest.mark.parametrize("percentiles", [False, True])
def test_tables_fit_the_terminal(answers, columns, percentiles):
    for stats in answers:
        text = as_table(stats, Look(width=columns, percentiles=percentiles))
        block = text.split("\n\n")
        lines = [line for part in block[:-1] for line in part.splitlines()]
        assert max(len(line) for line in lines) <= columns
        assert "30" in text
        assert "$" in text


@pytest.mark.parametrize(
    "command",
    [["errors"], ["requests"], ["prices"], ["stats"], ["diff", "2026-01-10", "2026-01-11", "--by", "model"]],
)
def test_narrow_terminals_are_usable(cli, logged, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "60")
    result = cli(*command, "--root", logged)
    assert result.status == 0
    rule = [line for line in result.out.splitlines() if line.startswith("─")]
    assert rule
    assert max(map(len, rule)) <= 60


@pytest.mark.parametrize("columns", [32, 40, 48])
def test_where_it_is_very_narrow_names_are_cut_and_columns_go_but_no_number_is_cropped(columns):
    group = {"model": "a-model-whose-name-is-longer-than-a-terminal-is-wide"}
    figures = {"total_requests": 123_456, "total_tokens": 1_234_567_890, "reported_requests": 9}
    row = StatsRow(group=group, **figures, total_cost="12345.67", reported_cost="12345.67")
    text = draw_groups(["model"], [row, row], Look(width=columns))
    assert max(map(len, text.splitlines())) <= columns
    for line in text.splitlines()[2:]:
        assert "$12,345.67" in line
        assert "123k" in line
        assert ("1.23G" in line) == ("tokens" in text)
    assert ("tokens" in text) == (columns > 40)


def test_a_file_where_the_folder_should_be_is_named(cli, tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text("{}\n")
    result = cli("stats", "--root", file)
    assert (result.status, result.out) == (2, "")
    assert "expected the folder of the logs, got the file" in result.err


def test_a_cost_that_is_unknown_is_not_called_at_least_anything():
    figures = Figures(unpriced_requests=2, estimated_cost=None, total_cost=None)
    assert notes(figures, Quality()) == ["– unknown: no price is known for 2 requests."]  # noqa: RUF001


def test_one_is_not_written_as_many():
    figures = Figures(
        requests_without_usage=1, estimated_usage_requests=1, partial_usage_requests=2, unpriced_requests=1
    )
    quality = Quality(duplicate_requests=1, skipped_lines=1, skipped={"torn": 1}, missing_lines=1)
    assert notes(figures, quality) == [
        "≥ at least: no price is known for 1 request.",
        "1 finished request has no token counts.",
        "1 request has estimated token counts.",
        "2 requests have partial token counts.",
        "1 request was seen twice and counted once.",
        "1 line was skipped (1 torn).",
        "1 line is missing; see `llm-logging doctor`.",
    ]


@pytest.mark.parametrize(
    ("command", "groups"),
    [
        ("daily", ["2026-01-10", "2026-01-11"]),
        ("weekly", ["2026-W02"]),
        ("monthly", ["2026-01"]),
        ("projects", ["blog", "shop"]),
        ("models", ["claude-sonnet-4-5", "gpt-4o", "mystery-1"]),
    ],
)
def test_short_cuts_group(cli, logged, command, groups):
    found = rows(cli(command, "--root", logged, "--format", "csv", "--until", "2026-01-11").out)
    assert [next(iter(row.values())) for row in found] == groups
    more = rows(cli(command, "--root", logged, "--format", "csv", "--by", "status").out)
    assert "status" in more[0]


def test_times_and_zones_reach_the_reader(cli, logged):
    def total(*arguments):
        return json.loads(cli("stats", "--root", logged, "--format", "json", *arguments).out)["summary"][
            "total_requests"
        ]

    assert total("--since", "2026-01-11") == 6
    assert total("--until", "2026-01-10") == 24
    assert total("--since", "2026-W02", "--until", "2026-W02") == 30
    assert total("--since", "2026-01-10T05:00Z", "--until", "2026-01-10T07:00Z") == 2
    assert total("--since", "2026-01-11", "--tz", "Asia/Tokyo") == 15
    assert total("--since", "2026-01-10T05:00", "--until", "2026-01-10T07:00", "--tz", "Asia/Tokyo") == 0
    assert total("--since", "2h") == 0
    assert total("--where", "status=error") == 6
    assert total("--where", "status=error", "--where", "project=shop") == 3
    assert total("--project", "shop") == 15
    assert total("--project", "shop", "--chat", "c-0") == 5


def test_sort_limit_and_reverse(cli, logged):
    def models(*arguments):
        return [
            row["model"] for row in rows(cli("models", "--root", logged, "--format", "csv", *arguments).out)
        ]

    by_tokens = models("--sort", "tokens")
    figures = {
        row.group["model"]: row.total_tokens
        for row in get_stats(StatsScope(), StatsOptions(group_by="model"), root=logged).breakdown
    }
    assert by_tokens == sorted(figures, key=lambda model: -figures[model])
    assert models("--sort", "tokens", "--reverse") == by_tokens[::-1]
    assert models("--sort", "latency_ms.p95", "--limit", "1") == ["mystery-1"]
    assert models("--sort", "model") == sorted(figures)
    assert models("--sort", "cost")[-1] == "mystery-1"
    days = rows(cli("daily", "--root", logged, "--format", "csv", "--limit", "1").out)
    assert [row["day"] for row in days] == ["2026-01-11"]
    assert "1 more row;" in cli("daily", "--root", logged, "--limit", "1").out
    refused = cli("models", "--root", logged, "--sort", "beauty")
    assert refused.status == 2
    assert "--sort: expected a group's name or a figure" in refused.err
    assert len(refused.err) < 250
    misspelt = cli("models", "--root", logged, "--sort", "latncy_ms.p95")
    assert (misspelt.status, "did you mean latency_ms.p95" in misspelt.err) == (2, True)
    limited = json.loads(
        cli("stats", "--root", logged, "--format", "json", "--limit", "1", "--sort", "cost").out
    )
    assert len(limited["models"]) == 1
    assert limited["summary"]["total_requests"] == 30


def test_every_column_of_the_table_can_be_sorted_by():
    figures = Figures(
        total_requests=1, failed_requests=1, pending_requests=1, cancelled_requests=1, cache_read_tokens=1,
        total_tokens=1, prompt_tokens=1, completion_tokens=1, latency_ms=Percentiles(n=1, p50=1, p90=1, p95=1, p99=1),
    )  # fmt: skip
    table = as_markdown(Stats(summary=figures, models={"m": figures}), Look(percentiles=True))
    headers = [header.strip() for header in table.splitlines()[0].strip("| ").split(" | ")]
    assert len(headers) == 14
    for header in headers:
        Shown(sort=header).check(("model",))


def test_the_age_of_orphaned_requests_is_chosen_and_shown(cli, tmp_path):
    write(tmp_path / "a.jsonl", [request(0, 1, pending=True)])
    ask = ("stats", "--files", tmp_path / "a.jsonl")
    assert "1 orphaned (pending for over 1h)" in cli(*ask).out
    assert "1 orphaned (pending for over 1h30m)" in cli(*ask, "--orphaned-after", "90m").out
    assert "1 running" in cli(*ask, "--orphaned-after", "99999d").out
    found = json.loads(cli(*ask, "--orphaned-after", "2d", "--format", "json").out)
    assert (found["orphaned_after"], found["summary"]["orphaned_requests"]) == ("P2D", 1)
    assert cli(*ask, "--orphaned-after", "soon").status == 2


@pytest.mark.parametrize("sort", [(), ("--sort", "name"), ("--sort", "attributes.number")])
def test_groups_are_in_the_order_of_their_values(cli, logged, sort):
    found = cli("stats", "--root", logged, "--by", "attributes.number", "--format", "csv", *sort)
    names = [row["attributes.number"] for row in rows(found.out)]
    assert names == [str(number) for number in range(30)]


def test_files_are_paths_globs_and_standard_input(cli, logged, tmp_path):
    logs = logged / "projects" / "shop" / "logs"

    def total(*arguments, stdin=None):
        result = cli("stats", "--format", "json", *arguments, stdin=stdin)
        assert result.status == 0, result.err
        return json.loads(result.out)["summary"]["total_requests"]

    active = logs / "llm_requests.jsonl"
    assert total("--files", active) == 8
    assert total("--files", logs / "llm_requests*") == 15
    assert total("--files", active, logged / "projects" / "blog" / "logs" / "llm_requests.jsonl") == 16
    assert total(active) == 8
    assert total("--files", active, "--files", active) == 8
    assert total("--files", "-", stdin=active.read_bytes()) == 8
    strange = tmp_path / "a[1]*.jsonl"
    strange.write_bytes(active.read_bytes())
    assert total("--files", strange) == 8
    missing = cli("stats", "--files", tmp_path / "none*.jsonl")
    assert missing.status == 3
    assert "none*.jsonl" in missing.err


def test_nothing_there_says_so_and_how_to_begin(cli, tmp_path, monkeypatch):
    result = cli("stats", "--root", tmp_path / "none")
    assert (result.status, result.out) == (1, "")
    assert "does not exist" in result.err
    assert "dictConfig" in result.err
    assert "--root" in result.err
    monkeypatch.setenv("LLM_LOGGING_ROOT", str(tmp_path / "other"))
    assert str(tmp_path / "other") in cli("stats").err
    empty = tmp_path / "empty"
    empty.mkdir()
    result = cli("stats", "--root", empty)
    assert result.status == 1
    assert "nothing is logged under" in result.err
    assert "dictConfig" in result.err
    as_json = cli("stats", "--root", empty, "--format", "json")
    assert as_json.status == 1
    figures = json.loads(as_json.out)["summary"]
    assert figures["total_requests"] == 0
    assert figures["average_latency_ms"] == 0


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["--project", "none"], 1, "none"),
        (["--project", "shop", "--chat", "none"], 1, "none"),
        (["--chat", "c-0"], 2, "--chat: expected --project"),
        (["--since", "whenever"], 2, "--since: expected a time like"),
        (["--since", "2026-01-12", "--until", "2026-01-10"], 2, "expected an end at or after its start"),
        (["--since", "2026-02", "--until", "2026-01"], 2, "expected an end at or after its start"),
        (["--tz", "Mars"], 2, "--tz: expected a time zone like"),
        (["--where", "nonsense"], 2, "where"),
        (["--where", "beauty=1"], 2, "where"),
        (["--by", "beauty"], 2, "group_by"),
        (["--by", "model'); DROP TABLE lines; --"], 2, "group_by"),
    ],
)
def test_errors_say_what_was_expected(cli, logged, arguments, status, text):
    result = cli("stats", "--root", logged, *arguments)
    assert (result.status, result.out) == (status, "")
    assert text in result.err
    assert "Traceback" not in result.err


def test_strict_fails_on_a_bad_line(cli, tmp_path):
    root = make_root(tmp_path / "root", count=4)
    with (root / "projects" / "shop" / "logs" / "llm_requests.jsonl").open("ab") as file:
        file.write(b'{"torn": \n')
    loose = cli("stats", "--root", root)
    assert loose.status == 0
    assert "1 line was skipped" in loose.out
    strict = cli("stats", "--root", root, "--strict")
    assert (strict.status, strict.out) == (1, "")
    assert "llm_requests.jsonl" in strict.err


def test_strict_names_standard_input_and_not_a_copy_of_it(program):
    strict = program("stats", "--files", "-", "--strict", stdin=b'{"torn": \n')
    assert (strict.status, strict.out) == (1, "")
    assert strict.err.startswith("llm-logging: <stdin>: expected only whole lines")


def test_percentiles_and_fill_gaps(cli, logged):
    result = cli("stats", "--root", logged, "--percentiles")
    assert all(word in result.out for word in ("measure", "of failures", "p99", "max"))
    hours = rows(
        cli(
            "stats",
            "--root",
            logged,
            "--by",
            "hour",
            "--where",
            "status=error",
            "--fill-gaps",
            "--format",
            "csv",
        ).out
    )
    assert len(hours) == 26
    assert sum(int(row["total_requests"]) for row in hours) == 6


def test_a_terminal_that_watches_gets_answer_after_answer(logged):
    import signal
    import subprocess
    import sys

    from tests.cli.conftest import INTERRUPTIBLE, environment

    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, "stats", "--root", str(logged), "--watch", "--interval", "0.2", "--format", "json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
    )  # fmt: skip
    first, second = (json.loads(process.stdout.readline()) for _ in range(2))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    same(first, second)
    assert process.returncode == 130
    assert b"Traceback" not in err


def test_the_default_root_is_that_of_the_environment(program, logged):
    result = program("stats", "--format", "json", LLM_LOGGING_ROOT=str(logged))
    assert json.loads(result.out)["summary"]["total_requests"] == 30


def test_colour_follows_the_terminal(cli, logged, monkeypatch):
    assert "\x1b" not in cli("stats", "--root", logged).out
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b" in cli("stats", "--root", logged).out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in cli("stats", "--root", logged).out


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_log_ends_with_3(cli, tmp_path):
    root = make_root(tmp_path / "root", count=2)
    (root / "projects" / "shop" / "logs" / "llm_requests.jsonl").chmod(0)
    assert cli("stats", "--root", root).status == 3
