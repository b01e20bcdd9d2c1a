"""Without the extra `stats`, every question of the reading side names it."""

from __future__ import annotations

import sys

import pytest

import llm_logging
from llm_logging import ConfigurationError, StatsOptions
from llm_logging.reader.cache import store


@pytest.mark.parametrize(
    "ask",
    [
        lambda root: llm_logging.get_stats(root=root),
        lambda root: llm_logging.get_stats(root=root, cache=False),
        lambda root: llm_logging.get_global_metrics(root=root),
        lambda root: llm_logging.get_prices(root=root),
        lambda root: llm_logging.compare_stats(None, StatsOptions(), StatsOptions(), root=root),
        lambda root: llm_logging.get_llm_request_logs(root=root),
    ],
)
def test_a_missing_duckdb_is_said_with_what_to_install(ask, tmp_path, monkeypatch):
    (tmp_path / "projects").mkdir()
    monkeypatch.setitem(sys.modules, "duckdb", None)
    store.schema_tag.cache_clear()
    try:
        with pytest.raises(ConfigurationError, match=r"llm-logging\[stats\]") as caught:
            ask(tmp_path)
    finally:
        store.schema_tag.cache_clear()
    assert caught.value.code == "MISSING_DEPENDENCY"
