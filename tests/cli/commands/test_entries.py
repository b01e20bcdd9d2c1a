import csv
import io
import json
import shutil

import pytest

from llm_logging.models.query import StatsOptions
from llm_logging.reader.stats import get_stats
from tests.cli.logged import HOSTILE, make_root, request, uid, write


def test_requests_are_listed_newest_first(cli, logged):
    result = cli("requests", "--root", logged, "-n", "3")
    rows = result.out.splitlines()[2:]
    assert result.status == 0
    assert [row.split()[1] for row in rows] == ["05:00:00", "04:00:00", "03:00:00"]
    assert "error rate_limit" in rows[0]
    assert "--cursor" in result.err
    cursor = result.err.split("--cursor ")[1].strip()
    following = cli("requests", "--root", logged, "-n", "1", "--cursor", cursor)
    assert "02:00:00" in following.out


def test_requests_as_json_csv_and_markdown(cli, logged):
    lines = [
        json.loads(line)
        for line in cli("requests", "--root", logged, "-n", "0", "--format", "json").out.splitlines()
    ]
    assert [line["id"] for line in lines] == [uid(n) for n in reversed(range(30))]
    assert lines[1]["usage"]["total_tokens"] == 1128
    assert "messages" not in lines[0]
    rows = list(
        csv.DictReader(io.StringIO(cli("requests", "--root", logged, "-n", "0", "--format", "csv").out))
    )
    assert [row["id"] for row in rows] == [line["id"] for line in lines]
    assert rows[1]["usage.total_tokens"] == "1128"
    text = cli("requests", "--root", logged, "-n", "2", "--format", "markdown").out.splitlines()
    assert len(text) == 4
    assert text[1].startswith("| :---")


def test_requests_take_the_filters_of_stats(cli, logged):
    result = cli(
        "requests", "--root", logged, "--where", "status=error", "--since", "2026-01-11", "--format", "json"
    )
    assert [json.loads(line)["id"] for line in result.out.splitlines()] == [uid(29), uid(24)]
    none = cli("requests", "--root", logged, "--where", "model=none")
    assert (none.status, none.out, none.err) == (0, "", "no request matches\n")
    with_content = cli("requests", "--root", logged, "-n", "1", "--format", "json", "--content")
    assert json.loads(with_content.out)["response"] == {"text": "answer 29"}


@pytest.mark.parametrize("command", [("stats",), ("requests",), ("requests", "--format", "json"), ("tail",)])
def test_commands_agree_on_what_an_empty_root_is(command, cli, tmp_path):
    result = cli(*command, "--root", tmp_path)
    assert result.status == 1
    assert "nothing is logged under" in result.err


def test_standard_input_cannot_be_paged(cli, logged):
    data = (logged / "projects/shop/logs/llm_requests.jsonl").read_bytes()
    assert len(cli("requests", "--files", "-", "--format", "json", stdin=data).out.splitlines()) == 8
    refused = cli("requests", "--files", "-", "-n", "0", stdin=data)
    assert refused.status == 2
    assert "standard input" in refused.err


def test_show_tells_all_of_one_request(cli, logged):
    result = cli("show", uid(9), "--root", logged)
    assert result.status == 0
    for text in (
        "gpt-4o error rate_limit",
        "429",
        "timings.latency_ms",
        "attributes.number",
        "question 9",
        "answer 9",
    ):
        assert text in result.out
    assert "\x1b" not in result.out
    assert "\u202e" not in result.out
    entry = json.loads(cli("show", uid(9), "--root", logged, "--json").out)
    assert entry["lines"] == 2
    assert entry["attributes"]["tenant"] == HOSTILE
    raw = cli("show", uid(9), "--root", logged, "--lines").out.splitlines()
    assert [json.loads(line)["status"] for line in raw] == ["pending", "error"]


def test_show_ends_with_1_where_there_is_none(cli, logged):
    result = cli("show", "ffffffff-0000-4000-8000-000000000000", "--root", logged)
    assert (result.status, result.out) == (1, "")
    assert "found none" in result.err
    ambiguous = cli("show", uid(0)[:12], "--root", logged)
    assert ambiguous.status == 2
    assert "the beginning or the end of one id" in ambiguous.err


def test_search_finds_and_says_where(cli, logged):
    result = cli("search", "QUESTION 7", "--root", logged)
    assert result.status == 0
    assert "messages.0.content: question 7" in result.out
    assert uid(7) in result.out
    hits = [
        json.loads(line)
        for line in cli("search", "slow down", "--root", logged, "-n", "0", "--json").out.splitlines()
    ]
    assert [hit["entry"]["id"] for hit in hits] == [uid(n) for n in (29, 24, 19, 14, 9, 4)]
    refund = cli("search", "refund", "--root", logged, "--kind", "chats")
    assert "content: where is my refund?" in refund.out
    none = cli("search", "no such text", "--root", logged)
    assert (none.status, none.out) == (1, "")
    assert cli("search", "", "--root", logged).status == 2


def test_search_marks_the_text_in_colour_only(cli, logged, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[31mquestion 7\x1b[0m" in cli("search", "question 7", "--root", logged).out
    hostile = cli("search", "[red]", "--root", logged, "-n", "1").out
    assert "\x1b[31m[red]\x1b[0m" in hostile
    assert "\x1b[2J" not in hostile


@pytest.fixture(scope="module")
def summary(logged):
    return get_stats(None, StatsOptions(), root=logged).summary


def test_export_holds_what_the_statistics_count(cli, logged, summary, tmp_path):
    from decimal import Decimal

    import duckdb

    lines = [json.loads(line) for line in cli("export", "--root", logged).out.splitlines()]
    assert [line["id"] for line in lines] == [uid(n) for n in range(30)]
    assert sum(line.get("usage", {}).get("total_tokens", 0) for line in lines) == summary.total_tokens
    assert sum(Decimal(line.get("estimated_cost", "0")) for line in lines) == Decimal(summary.estimated_cost)
    assert lines[1]["attributes"] == {"tenant": HOSTILE, "number": 1}
    rows = list(csv.DictReader(io.StringIO(cli("export", "--root", logged, "--format", "csv").out)))
    assert sum(Decimal(row["estimated_cost"] or 0) for row in rows) == Decimal(summary.estimated_cost)
    target = tmp_path / "it's.parquet"
    result = cli("export", "--root", logged, "--format", "parquet", "--output", target)
    assert result.status == 0
    assert "30 requests" in result.err
    assert oct(target.stat().st_mode)[-3:] == "600"
    found = duckdb.execute(
        'SELECT count(*), sum(estimated_cost), sum("usage.total_tokens") FROM read_parquet(?)', [str(target)]
    )
    assert found.fetchone() == (30, Decimal(summary.estimated_cost), summary.total_tokens)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_export_writes_an_amount_to_its_last_decimal(cli, tmp_path):
    amount = "123456789.000000000000000000000001"
    log = tmp_path / "log.jsonl"
    fields = {"id": uid(1), "model": "m", "status": "success", "timestamp_start": "2026-01-15T10:00:00Z"}
    log.write_text(json.dumps({"event_type": "llm_request", **fields, "cost": {"amount": amount}}) + "\n")
    rows = csv.DictReader(io.StringIO(cli("export", "--files", log, "--format", "csv").out))
    assert [row["cost.amount"] for row in rows] == [amount]
    assert json.loads(cli("export", "--files", log).out)["cost"]["amount"] == amount


def test_export_to_a_file_and_its_refusals(cli, logged, tmp_path):
    target = tmp_path / "x.jsonl"
    result = cli("export", "--root", logged, "--where", "status=error", "--output", target)
    assert (result.status, result.out) == (0, "")
    assert len(target.read_text().splitlines()) == 6
    assert cli("export", "--root", logged, "--format", "parquet").status == 2
    assert cli("export", "--root", logged, "--output", tmp_path / "none" / "x").status == 3


def test_errors_are_counted_by_code_and_group(cli, logged):
    report = json.loads(cli("errors", "--root", logged, "--format", "json").out)
    assert report["failed_requests"] == 6
    assert report["error_codes"] == {"rate_limit": 6}
    assert sum(row["requests"] for row in report["breakdown"]) == 6
    assert "HTTP 429: 6" in cli("errors", "--root", logged).out
    rows = list(
        csv.DictReader(io.StringIO(cli("errors", "--root", logged, "--by", "project", "--format", "csv").out))
    )
    assert [(row["error_code"], row["project"], row["requests"]) for row in rows] == [
        ("rate_limit", "blog", "3"),
        ("rate_limit", "shop", "3"),
    ]
    assert cli("errors", "--root", logged, "--format", "markdown", "-n", "1").out.count("\n") == 3


def test_shares_of_cancelled_requests_are_those_of_all_that_ended(cli, tmp_path):
    cancelled = {"status": "error", "error": {"code": "cancelled"}, "http_status": None}
    lines = [request(0, 1)] + [request(3 * n, n + 1, **cancelled) for n in range(1, 4)]
    write(tmp_path / "a.jsonl", lines)
    shown = cli("errors", "--files", tmp_path / "a.jsonl")
    assert "0 of 1 request failed (0 %), 3 were cancelled" in shown.out
    assert "75.0 %" in shown.out
    (row,) = csv.DictReader(io.StringIO(cli("errors", tmp_path / "a.jsonl", "--format", "csv").out))
    assert (row["error_code"], row["requests"], row["total_requests"], row["cancelled_requests"]) == (
        "cancelled", "3", "1", "3",
    )  # fmt: skip


def test_diff_compares_periods(cli, logged, monkeypatch):
    arguments = ["diff", "2026-01-10", "2026-01-11", "--root", logged, "--by", "project"]
    answer = json.loads(cli(*arguments, "--format", "json").out)
    change = answer["summary"]["total_requests"]
    assert (change["before"], change["after"], change["absolute"], change["relative"]) == (24, 6, -18, -0.75)
    assert len(answer["breakdown"]) == 2
    monkeypatch.setenv("COLUMNS", "160")
    table = cli(*arguments).out
    assert "2026-01-10 against 2026-01-11" in table
    assert "-75.0 %" in table
    assert "12 → 3" in table
    rows = list(csv.DictReader(io.StringIO(cli(*arguments, "--format", "csv").out)))
    assert {
        "project": "blog",
        "figure": "total_requests",
        "before": "12",
        "after": "3",
        "absolute": "-9",
        "relative": "-0.75",
    } in rows
    assert cli(*arguments, "--format", "markdown").out.startswith("| project |")
    assert (
        cli("diff", "2026-01-11", "--root", logged, "--format", "json").out
        == cli("diff", "2026-01-10", "2026-01-11", "--root", logged, "--format", "json").out
    )
    assert cli("diff", "soon", "--root", logged).status == 2
    assert cli("diff", "--root", logged).status == 0


def test_prices_say_what_was_used(cli, logged, tmp_path):
    report = json.loads(cli("prices", "--root", logged, "--format", "json").out)
    models = {(use["model"], use["source"]) for use in report["uses"]}
    assert ("mystery-1", "unpriced") in models
    assert ("gpt-4o", "genai-prices") in models
    table = cli("prices", "--root", logged).out
    assert "input/M" in table
    assert "mystery-1" in table
    assert "provider" in cli("prices", "--root", logged, "--format", "csv").out
    assert cli("prices", "--root", logged, "--format", "markdown").out.startswith("| provider |")
    bad = tmp_path / "rates.toml"
    bad.write_text("this is not toml")
    assert cli("prices", "--root", logged, "--prices", bad).status == 2


def test_doctor_reports_and_ends_with_1_on_a_problem(cli, logged, tmp_path):
    fine = cli("doctor", "--root", logged)
    assert fine.status == 0
    assert "none torn and none missing" in fine.out
    root = make_root(tmp_path / "root", count=4)
    with (root / "projects/shop/logs/llm_requests.jsonl").open("ab") as file:
        file.write(b'{"torn\x1b[2J": \n')
    broken = cli("doctor", "--root", root)
    assert broken.status == 1
    assert "1 torn" in broken.out
    assert cli("doctor", "--root", root, "--quick").status == 0
    lines = [json.loads(line) for line in cli("doctor", "--root", root, "--json").out.splitlines()]
    assert {"check", "state", "text"} <= lines[0].keys()
    assert [line["state"] for line in lines].count("problem") == 1


def test_prune_removes_old_segments_only(cli, logged, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(logged, root)
    refused = cli("prune", "--root", root)
    assert refused.status == 2
    assert "--older-than or --max-bytes" in refused.err
    dry = cli("prune", "--root", root, "--older-than", "1d", "--dry-run")
    assert dry.out.count("would be deleted") == 3
    assert len(list(root.rglob("*.gz"))) == 2
    unasked = cli("prune", "--root", root, "--older-than", "1d", stdin=b"")
    assert unasked.status == 2
    assert "--yes" in unasked.err
    assert len(list(root.rglob("*.gz"))) == 2
    report = json.loads(cli("prune", "--root", root, "--older-than", "1d", "--json", "--yes").out)
    assert len(report["removed"]) == 2
    assert not report["dry_run"]
    assert list(root.rglob("*.gz")) == []
    assert json.loads(cli("stats", "--root", root, "--format", "json").out)["summary"]["total_requests"] == 16
    assert cli("prune", "--root", root, "--older-than", "soon").status == 2
    assert "0 segments" in cli("prune", "--root", root, "--max-bytes", "5GB").out
