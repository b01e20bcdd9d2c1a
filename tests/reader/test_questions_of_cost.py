"""Filters and orders by cost, other models' prices, prices of another time; chats, trees, checks, errors, SQL."""

from __future__ import annotations

import sqlite3
from decimal import Decimal

import pytest

import llm_logging
from llm_logging import ValidationError
from llm_logging.cli import app as cli
from llm_logging.models.query import StatsOptions
from llm_logging.reader.entries import get_llm_request_logs, get_request_log
from llm_logging.reader.reports.checks import check
from llm_logging.reader.reports.conversations import get_chats, get_request_tree
from llm_logging.reader.reports.error_report import get_errors
from llm_logging.reader.stats import get_stats
from tests.reader.builders import START, entry, put


@pytest.fixture
def root(tmp_path):
    put(
        tmp_path,
        [
            entry(0, usage={"prompt_tokens": 1_000_000, "completion_tokens": 0}),  # $2.50
            entry(
                1, model="gpt-4o-mini", usage={"prompt_tokens": 1_000_000, "completion_tokens": 0}
            ),  # $0.15
            entry(2, usage={"prompt_tokens": 0, "completion_tokens": 100_000}, chat="d"),  # $1.00
            entry(3, model="unheard-of", chat="d"),
            entry(4, model="unheard-of", cost={"amount": "0.15", "currency": "USD"}, project="blog"),
            entry(5, cost={"amount": "9", "currency": "EUR"}, project="blog"),
            entry(
                6,
                status="error",
                usage=None,
                error={"code": "overloaded", "message": "try later"},
                http_status=529,
            ),
        ],
    )
    return tmp_path


def summary(root, **options):
    return get_stats(None, StatsOptions(**options), root=root, cache=False).summary


@pytest.mark.parametrize(
    ("where", "requests"),
    [
        ("cost>0.15", 2), ("cost>=0.15", 4), ("cost=0.15", 2), ("cost<1", 2), ("cost<=1", 3), ("cost!=1", 3),
        ("cost>$0.9999999999999999999", 2), ("cost>2.5", 0), ("total_cost>=2.5", 1),
    ],
)  # fmt: skip
def test_requests_are_filtered_by_what_they_cost(where, requests, root):
    found = summary(root, where=[where, "status=success"])
    assert found.total_requests == requests
    page = get_llm_request_logs(None, [where, "status=success"], root=root, cache=False)
    assert len(page.entries) == requests


def test_a_filter_by_cost_joins_others_and_groups_and_is_not_kept_for_other_limits(root, tmp_path):
    kept = {"root": root, "cache_dir": tmp_path / "cache"}
    for limit, requests in ((0.1, 4), (0.5, 2), (2, 1), (0.1, 4)):
        stats = get_stats(None, StatsOptions(where=f"cost>{limit}", group_by="model"), **kept)
        assert stats.summary.total_requests == requests
        assert sum(row.total_requests for row in stats.breakdown) == requests
    assert summary(root, where=["cost>0.1", "model=gpt-4o"]).total_requests == 2


@pytest.mark.parametrize("where", ["cost>x", "cost~1*", "cost>", "cost>1e30", "cost>NaN"])
def test_a_cost_that_is_none_is_refused(where, root):
    with pytest.raises(ValidationError, match="expected an amount in dollars"):
        summary(root, where=where)


def test_requests_say_what_they_cost_in_a_list_and_alone(root):
    entries = get_llm_request_logs(root=root, sort="cost").entries
    amounts = [(one.cost and str(one.cost.amount)) or one.estimated_cost for one in entries]
    assert amounts[:4] == ["2.5", "1", "0.15", "0.15"]
    gaps = {one.model: one.unpriced for one in entries if one.unpriced}
    assert gaps["unheard-of"] == "model"
    for one in entries:
        alone, _ = get_request_log(one.id, root=root)
        assert (alone.estimated_cost, alone.unpriced) == (one.estimated_cost, one.unpriced)


@pytest.mark.parametrize("sort", ["cost", "latency", "tokens", "start"])
def test_pages_of_an_order_follow_each_other(sort, root):
    whole = [one.id for one in get_llm_request_logs(root=root, sort=sort).entries]
    seen, cursor = [], None
    while True:
        page = get_llm_request_logs(None, None, 2, cursor, root=root, sort=sort)
        seen += [one.id for one in page.entries]
        cursor = page.cursor
        if cursor is None:
            break
    assert seen == whole
    assert len(seen) == 7


def test_another_order_and_its_cursor_do_not_mix(root):
    cursor = get_llm_request_logs(None, None, 2, root=root, sort="cost").cursor
    with pytest.raises(ValidationError, match="cursor"):
        get_llm_request_logs(None, None, 2, cursor, root=root, sort="tokens")
    with pytest.raises(ValidationError, match="sort: expected one of"):
        get_llm_request_logs(root=root, sort="colour")


def test_requests_can_be_priced_as_if_another_model_had_answered(root):
    as_mini = summary(root, as_if="gpt-4o=gpt-4o-mini", where="project=shop")
    assert Decimal(as_mini.estimated_cost) == Decimal("0.15") * 2 + Decimal("0.06")
    assert Decimal(summary(root, where="project=shop").estimated_cost) == Decimal("3.65")
    both = summary(root, as_if={"unheard-of": "openai/gpt-4o", "gpt-4o": "gpt-4o"}, where="status=success")
    assert both.unpriced_requests == 0
    assert both.reported_cost is None
    assert both.total_tokens == summary(root, where="status=success").total_tokens
    with pytest.raises(ValidationError, match="gpt-4o=gpt-4o-mini"):
        StatsOptions(as_if="gpt-4o")


def test_requests_can_be_priced_by_the_list_of_another_time(root):
    rates = root / "rates.toml"
    rates.write_text(
        '[[rates]]\nmodel = "unheard-of"\ninput = "100000"\noutput = "0"\nuntil = "2026-01-01"\n'
        '[[rates]]\nmodel = "unheard-of"\ninput = "200000"\noutput = "0"\nfrom = "2026-01-01"\n'
    )

    def cost(**options):
        return get_stats(None, {"where": "model=unheard-of", **options}, root=root, prices=rates).summary

    assert Decimal(cost().estimated_cost) == 2
    assert Decimal(cost(prices_as_of="2025-06-01").estimated_cost) == 1 + 1
    assert Decimal(cost(prices_as_of="2026-01-01").estimated_cost) == 2 + 2
    assert Decimal(summary(root, prices_as_of="now", where="project=shop").estimated_cost) == Decimal("3.65")
    assert summary(root, prices_as_of="2026-01-15").reported_cost is None


def test_a_chat_has_one_row_with_the_figures_of_the_statistics(root):
    report = get_chats(root=root, sort="cost", limit=10)
    stats = get_stats(None, StatsOptions(group_by="project,chat"), root=root)
    figures = {(row.group["project"], row.group["chat"]): row for row in stats.breakdown}
    assert report.total_chats == len(report.chats) == len(figures) == 3
    for row in report.chats:
        other = figures[row.project_id, row.chat_id]
        assert row.turns == other.total_calls
        assert row.requests == other.total_requests
        assert row.failed_requests == other.failed_requests
        assert row.total_tokens == other.total_tokens
        assert row.total_cost == other.total_cost
        assert row.unpriced_requests == other.unpriced_requests
    assert report.chats[0].models == ["gpt-4o", "gpt-4o-mini"]
    assert report.chats[0].wall_time_ms == 6 * 60_000 + 700
    assert [row.chat_id for row in get_chats(root=root, sort="cost", limit=1).chats] == ["c"]


def test_a_tree_rolls_up_cost_from_any_of_its_requests(tmp_path):
    top = entry(0, operation="agent")
    child = entry(1, parent_id=top["id"], cost={"amount": "2", "currency": "USD"})
    leaf = entry(2, parent_id=child["id"], model="unheard-of")
    other = entry(3)
    put(tmp_path, [other, leaf, child, top])
    for asked in (top, child, leaf):
        tree = get_request_tree(asked["id"], root=tmp_path)
        assert tree.root.id == top["id"]
        assert (tree.root.requests, tree.root.unpriced) == (3, 1)
        assert Decimal(tree.root.total_cost) == Decimal(tree.root.own_cost) + 2
        assert tree.root.children[0].children[0].id == leaf["id"]
    assert get_request_tree(other["id"], root=tmp_path).root.children == []


def test_a_circle_of_parents_ends(tmp_path):
    one, two = entry(0), entry(1)
    put(tmp_path, [{**one, "parent_id": two["id"]}, {**two, "parent_id": one["id"]}])
    assert get_request_tree(one["id"], root=tmp_path).root.requests == 2


def test_checks_compare_figures_with_limits(root):
    report = check(["cost < 5", "errors < 5%", "errors = 1", "latency.p95 < 1s", "requests.2026-01 > 6", "tokens.1h < 1"],
                   root=root)  # fmt: skip
    assert [one.ok for one in report.results] == [True, False, True, True, True, True]
    assert not report
    assert report.results[0].note.startswith("at least")
    assert check("latency.1h < 1ms", root=root).results[0].note == "no requests"
    for text in (
        "cost",
        "cost < 5%",
        "latency < 5",
        "colour < 1",
        "cost.1h < 3s",
        "latency.p42 < 1s",
        "error_codes < 1",
    ):
        with pytest.raises(ValidationError, match="check: expected"):
            check(text, root=root)


def test_errors_have_their_last_time_and_message(root):
    (row,) = get_errors(root=root).breakdown
    assert (row.error_code, row.requests, row.message) == ("overloaded", 1, "try later")
    assert row.last_request.minute == START.minute + 6
    assert get_errors(root=root, messages=False).breakdown[0].message is None


def test_sql_gives_the_figures_and_nothing_else(root):
    logs = llm_logging.open(root)
    rows = logs.sql("SELECT model, sum(cost), count(*) FROM requests GROUP BY ALL ORDER BY 1").rows()
    assert rows[0] == ("gpt-4o", Decimal("3.5"), 4)
    stats = get_stats(root=root)
    known = sum(Decimal(row[1] or 0) for row in rows)
    assert known == Decimal(stats.summary.total_cost)
    assert logs.sql("SELECT count(*), sum(attempts) FROM calls").rows() == [(7, 7)]
    assert logs.sql("SELECT error_message FROM requests WHERE status = ?", ["error"]).rows() == [
        ("try later",)
    ]
    assert logs.sql("SELECT count(*) FROM lines").rows() == [(7,)]
    assert "cost" in [row[0] for row in logs.sql("DESCRIBE requests").rows()]
    assert len(logs.requests(where="cost>1")) == 1
    assert [row["model"] for row in logs.requests(columns=["model", "timestamp_start", "id"])][
        1
    ] == "gpt-4o-mini"


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_text('/etc/passwd')", "SELECT * FROM '/etc/passwd'", "COPY requests TO '/tmp/x'",
        "DROP TABLE requests", "SELECT 1; SELECT 2", "ATTACH '/tmp/x'", "INSTALL httpfs", "SET memory_limit = '9GB'",
        "SELECT * FROM glob('/*')", "SELECT nothing FROM requests", "SELECT 1) UNION (SELECT 2", "",
        "SELECT * FROM read_parquet('https://example.com/x')", "PRAGMA database_list", "CREATE TABLE t AS SELECT 1",
    ],
)  # fmt: skip
def test_sql_only_reads_its_tables(query, root):
    with pytest.raises(ValidationError, match="sql: "):
        llm_logging.open(root).sql(query)


def test_sql_ends_in_time(root):
    with pytest.raises(ValidationError, match="within 0.5 seconds"):
        llm_logging.open(root).sql(
            "SELECT sum(a.i * b.i * c.i) FROM range(100000) a(i), range(100000) b(i), range(1000) c(i)",
            timeout=0.5,
        )


def test_data_frames_hold_the_same_rows(root):
    polars, pandas = pytest.importorskip("polars"), pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    table = llm_logging.open(root).requests(
        columns=["id", "model", "cost", "timestamp_start", "total_tokens"]
    )
    assert isinstance(table.polars(), polars.DataFrame)
    assert isinstance(table.pandas(), pandas.DataFrame)
    tokens = get_stats(root=root).summary.total_tokens
    assert table.polars()["total_tokens"].sum() == tokens
    assert table.pandas()["total_tokens"].sum() == tokens
    assert table.arrow().num_rows == len(table) == len(table.rows()) == len(list(table)) == 7


@pytest.mark.parametrize("form", ["sqlite", "duckdb"])
def test_other_programs_open_the_export(form, root, tmp_path, capsys):
    import duckdb

    path = tmp_path / f"llm.{form}"
    assert cli.run(["export", "--root", str(root), "--format", form, "--output", str(path)]) == 0
    query = "SELECT model, count(*), sum(cost) FROM requests GROUP BY model ORDER BY model"
    if form == "sqlite":
        connection = sqlite3.connect(path)
    else:
        connection = duckdb.connect(str(path), read_only=True)
    rows = connection.execute(query).fetchall()
    connection.close()
    assert [(model, number) for model, number, _ in rows] == [
        ("gpt-4o", 4),
        ("gpt-4o-mini", 1),
        ("unheard-of", 2),
    ]
    assert float(rows[0][2]) == pytest.approx(3.5)
    assert path.stat().st_mode & 0o777 == 0o600
    assert "7 requests" in capsys.readouterr().err


def test_commands_answer(root, capsys):
    def run(*arguments):
        capsys.readouterr()
        status = cli.run([*arguments, "--root", str(root)])
        return status, capsys.readouterr().out

    assert run("chats", "--sort", "cost")[1].splitlines()[2].startswith("c ")
    assert "overloaded" in run("errors")[1]
    assert "try later" in run("errors", "--format", "csv")[1]
    status, out = run("check", "cost < 5", "errors < 1%")
    assert (status, out.splitlines()[1].startswith("FAILED: errors < 1%")) == (1, True)
    assert run("check", "cost < 5")[0] == 0
    assert '"count_star()": 7' in run("sql", "select count(*) from requests", "--format", "json")[1]
    assert run("sql", "drop table requests")[0] == 2
    assert "Thursday" in run("stats", "--by", "weekday")[1]
    assert run("metrics")[1].endswith("# EOF\n")
