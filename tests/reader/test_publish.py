"""The published table, read by DuckDB (and by chDB, where it is installed), beside what `get_stats` says."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from llm_logging import ValidationError, get_stats
from llm_logging.files.objects import FolderStore
from llm_logging.maintenance.ship import Shipper, seal_all
from llm_logging.reader.publish import DIALECTS, create_table, publish, published_columns
from tests.maintenance.fleet import in_a_child, log_pairs, objects

NOW = datetime(2026, 6, 1, tzinfo=UTC)
GROUPS = {"group_by": ["day", "model"]}


@pytest.fixture
def table(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "table")


def connected(table: FolderStore) -> duckdb.DuckDBPyConnection:
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    db.execute(create_table("duckdb", table.url))
    return db


FIGURES = """
    SELECT strftime(timestamp_start, '%Y-%m-%d') AS day, model,
        count(*) FILTER (outcome IN ('success', 'failure')) AS total_requests,
        count(*) FILTER (outcome = 'failure') AS failed_requests, count(*) FILTER (counts_as_call) AS total_calls,
        coalesce(sum(usage_prompt_tokens), 0)::BIGINT AS prompt_tokens,
        coalesce(sum(usage_cache_read_tokens), 0)::BIGINT AS cache_read_tokens,
        count(*) FILTER (unpriced) AS unpriced_requests, sum(estimated_cost) AS cost,
        quantile_cont(timings_latency_ms, [0.5, 0.9, 0.95, 0.99]) FILTER (outcome IN ('success', 'failure')) AS latency
    FROM llm_requests GROUP BY ALL ORDER BY day, model
"""


def assert_table_says_what_stats_says(table: FolderStore, root: Path) -> None:
    rows = connected(table).execute(FIGURES).fetchall()
    stats = get_stats(options=GROUPS, root=root, now=NOW)
    assert len(rows) == len(stats.breakdown) > 2
    for row, wanted in zip(
        rows, sorted(stats.breakdown, key=lambda one: (one.group["day"], one.group["model"])), strict=True
    ):
        assert (row[0], row[1]) == (wanted.group["day"], wanted.group["model"])
        assert row[2:8] == (
            wanted.total_requests, wanted.failed_requests, wanted.total_calls, wanted.prompt_tokens,
            wanted.cache_read_tokens, wanted.unpriced_requests,
        )  # fmt: skip
        assert Decimal(row[8] or 0) == Decimal(wanted.estimated_cost or 0)
        spread = [wanted.latency_ms.p50, wanted.latency_ms.p90, wanted.latency_ms.p95, wanted.latency_ms.p99]
        assert row[9] == pytest.approx(spread, rel=4e-16)


def test_counts_tokens_money_and_percentiles_are_those_of_the_statistics(
    root: Path, table: FolderStore
) -> None:
    log_pairs(root, 0, 300)
    report = publish(table, root=root, now=NOW)
    assert len(report.days) == 4
    assert [sorted(objects(table))[0], report.unchanged, report.open_days] == [
        "day=2026-01-01/revision=0/requests.parquet",
        [],
        [],
    ]
    assert sum(day.requests for day in report.days) == 300
    assert_table_says_what_stats_says(table, root)
    described = connected(table).execute("DESCRIBE llm_requests").fetchall()
    assert {
        name: kind for name, kind, *_ in described if name not in {"day", "revision"}
    } == published_columns()


def test_a_day_that_late_lines_change_is_a_new_revision_and_no_other(root: Path, table: FolderStore) -> None:
    log_pairs(root, 0, 200)
    publish(table, root=root, now=NOW)
    before = objects(table)
    again = publish(table, root=root, now=NOW)
    assert (again.days, len(again.unchanged)) == ([], 3)
    assert objects(table) == before
    log_pairs(root, 1, 40, shared=0)
    late = publish(table, root=root, now=NOW)
    assert [(day.day, day.revision) for day in late.days] == [(date(2026, 1, 1), 1)]
    assert before.items() <= objects(table).items()
    assert connected(table).execute("SELECT count(*) FROM llm_requests").fetchall() == [(240,)]
    assert_table_says_what_stats_says(table, root)


def test_a_day_is_published_when_it_is_over(root: Path, table: FolderStore) -> None:
    log_pairs(root, 0, 200)
    report = publish(table, root=root, now=datetime(2026, 1, 2, 23, 59, 59, tzinfo=UTC))
    assert [day.day for day in report.days] == [date(2026, 1, 1)]
    assert report.open_days == [date(2026, 1, 2), date(2026, 1, 3)]


def test_a_fleets_day_waits_for_every_host(table: FolderStore, tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    for host in range(2):
        root = tmp_path / f"host{host}"
        in_a_child(lambda root=root, host=host: log_pairs(root, host, 100))
        seal_all(root)
        Shipper(root, store).run()
    (state,) = (path for path in sorted((tmp_path / "store").rglob("state.json"))[1:])
    told = json.loads(state.read_text())
    state.write_text(json.dumps({**told, "fresh_until": "2026-01-02T12:00:00.000000Z"}))
    url = f"file://{tmp_path}/store"
    report = publish(table, root=url, now=NOW, cache_dir=tmp_path / "cache")
    assert [day.day for day in report.days] == [date(2026, 1, 1)]
    assert report.open_days == [date(2026, 1, 2)]
    report = publish(table, root=url, now=NOW, cache_dir=tmp_path / "cache", incomplete=True)
    assert [day.day for day in report.days] == [date(2026, 1, 2)]
    assert connected(table).execute("SELECT count(DISTINCT id), count(*) FROM llm_requests").fetchall() == [
        (195, 195)
    ]


def test_two_publishers_at_once_write_each_revision_once(root: Path, table: FolderStore) -> None:
    log_pairs(root, 0, 100)
    there: dict[str, bytes] = {}

    class Slow(FolderStore):
        """Another publisher is faster, each time."""

        def put_if_absent(self, key: str, source: Path) -> bool:
            if not there:
                publish(table, root=root, now=NOW)
                there.update(objects(table))
            return super().put_if_absent(key, source)

    publish(Slow(Path(table.url)), root=root, now=NOW)
    assert objects(table) == there


@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_dialect_names_every_column_or_finds_them_itself(dialect: str) -> None:
    text = create_table(dialect, "s3://bucket/table/")
    assert "s3://bucket/table" in text
    assert "CREATE VIEW llm_requests" in text
    if dialect in {"athena", "clickhouse"}:
        assert [name for name in published_columns() if f"  {name} " not in text] == []
    with pytest.raises(ValidationError, match="dialect"):
        create_table("oracle", "s3://x")


def test_clickhouse_reads_the_table(root: Path, table: FolderStore) -> None:
    chdb = pytest.importorskip("chdb", reason="ClickHouse reads the table: pip install chdb")
    log_pairs(root, 0, 300)
    publish(table, root=root, now=NOW)
    log_pairs(root, 1, 20, shared=0)
    publish(table, root=root, now=NOW)
    query = (
        "SELECT model, count(), sum(usage_prompt_tokens), toString(sum(estimated_cost)), countIf(unpriced) "
        f"FROM file('{table.url}/day=*/revision=*/requests.parquet', Parquet) "
        f"WHERE (day, revision) IN (SELECT (day, max(revision)) FROM file('{table.url}/day=*/revision=*/requests.parquet', Parquet) GROUP BY day) "
        "GROUP BY model ORDER BY model SETTINGS use_hive_partitioning = 1"
    )
    rows = json.loads(f"[{','.join(str(chdb.query(query, 'JSONCompactEachRow')).split())}]")
    wanted = (
        connected(table)
        .execute(
            "SELECT model, count(*), sum(usage_prompt_tokens)::BIGINT, sum(estimated_cost), count(*) FILTER (unpriced) "
            "FROM llm_requests GROUP BY model ORDER BY model"
        )
        .fetchall()
    )
    assert [(m, int(n), int(p), Decimal(c), int(u)) for m, n, p, c, u in rows] == [
        (m, n, p, Decimal(c or 0), u) for m, n, p, c, u in wanted
    ]
