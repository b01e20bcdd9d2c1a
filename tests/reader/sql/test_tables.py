"""The list of tables is the database's own: every table of a session, with its columns, and none that is not there."""

from contextlib import ExitStack

import pytest

from llm_logging.models.query import StatsOptions, StatsScope
from llm_logging.reader.answer.plan import Reading, make_plan
from llm_logging.reader.answer.result import result_of
from llm_logging.reader.answer.session import open_plan, run_session
from llm_logging.reader.segments import piece_cache as pieces
from llm_logging.reader.sql.tables import TABLES, row_types
from tests.reader.builders import START, entry, put

# Used within `fold` alone; see the docstring of `tables`.
SCRATCH = {
    "hot_by_id",
    "hot_twice",
    "hot_calls_once",
    "hot_requests",
    "hot_last",
    "hot_called",
    "many",
    "paired",
}


def history(root):
    pair = [entry(1, status="pending", usage=None), entry(2, id=entry(1)["id"])]
    group = [entry(n, request_group="g", attempt=n) for n in (3, 4)]
    seen = {"provider_response_id": "r", "provider": "openai", "timings": {"latency_ms": 90_000}}
    twins = [entry(n, instrumentation=name, **seen) for n, name in ((5, "httpx"), (6, "litellm"))]
    odd = [
        entry(
            7, usage={"prompt_tokens": 1, "completion_tokens": 5, "total_tokens": 6, "cache_read_tokens": 9}
        )
    ]
    put(root, [*pair, *group, *twins, *odd], sealed=1)
    put(root, [entry(n) for n in range(8, 12)])


def asked(options, reading, use):
    plan = make_plan(StatsScope(), options, reading)
    with ExitStack() as stack:
        return run_session(plan, open_plan(plan, stack), stack, use)


@pytest.mark.parametrize("where", [(), ("attributes.tenant=",)], ids=["from pieces", "from lines"])
def test_every_table_of_a_session_is_listed_with_its_columns(tmp_path, monkeypatch, where):
    monkeypatch.setattr(pieces, "_WORTH", 1)
    history(tmp_path / "root")
    found = {}

    def look(session):
        result_of(session)
        rows = session.db.execute(
            "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal"
        ).fetchall()
        for table, column, kind in rows:
            found.setdefault(table, {})[column] = kind
        return session.plan.selection.extra

    reading = Reading(root=tmp_path / "root", cache_dir=tmp_path / "cache", now=START)
    extra = asked(StatsOptions(group_by="day,model", where=where), reading, look)
    groups = {"g0", "g1"}
    for name, table in TABLES.items():
        expected = {**(row_types(extra) if table.line_rows else {}), **table.columns}
        grouped = groups if name in {"asked", "asked_odd", "priced"} else set()
        assert set(found[name]) == expected.keys() | grouped, name
        assert {column: kind.replace(" ", "") for column, kind in expected.items() if kind} == {
            column: found[name][column] for column, kind in expected.items() if kind
        }, name
    assert found["lines"].keys() > found["tail"].keys()


def test_only_scratch_is_missing_from_the_list(tmp_path):
    history(tmp_path / "root")

    def names(session):
        result_of(session)
        tables = session.db.execute("SELECT table_name FROM duckdb_tables()").fetchall()
        views = session.db.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
        return {name for (name,) in (*tables, *views)}

    reading = Reading(root=tmp_path / "root", cache=False, now=START)
    found = asked(StatsOptions(group_by="day"), reading, names)
    assert found >= TABLES.keys() - {"hot_lines"}
    assert found - TABLES.keys() == SCRATCH
