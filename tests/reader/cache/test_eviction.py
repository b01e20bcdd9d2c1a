"""The cache stays within its bound, by dropping what nobody asks about."""

from __future__ import annotations

import os
import time

import pytest

from llm_logging.errors import ConfigurationError
from llm_logging.reader.cache import eviction
from llm_logging.reader.cache.store import log_folder, schema_tag
from llm_logging.reader.stats import get_stats
from tests.reader.growing_log import Log


def size(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def part(path, content=1000, age=0.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * content)
    for one in (path, path.parent):
        os.utime(one, (time.time() - age,) * 2)
    return path


@pytest.fixture
def roots(tmp_path, monkeypatch):
    """Three roots of one cache, of which each reading is a minute after the last."""
    monkeypatch.setattr(eviction, "_NOTED", 0.0)
    made = [Log(tmp_path / name) for name in ("a", "b", "c")]
    for log in made:
        log.cache = tmp_path / "cache"
        log.write(400)
        log.rotate()
    return made


def ask(log):
    for path in log.cache.rglob("*") if log.cache.exists() else ():
        os.utime(path, (path.stat().st_mtime - 100,) * 2)
    return log.stats().summary.total_requests


def held(log):
    return any(log_folder(log.cache, os.path.realpath(log.active)).glob("*.parquet"))


def test_what_was_asked_about_last_stays(roots, monkeypatch):
    a, b, c = roots
    for log in (a, b, a):
        assert ask(log) == 400
    # The third time the answer itself was known; its pieces are in use all the same.
    monkeypatch.setenv("LLM_LOGGING_CACHE_MAX", str(size(a.cache) + 2000))
    assert ask(c) == 400
    assert (held(a), held(b), held(c)) == (True, False, True)


def test_answers_and_rates_count_too(tmp_path, monkeypatch):
    monkeypatch.setenv("LLM_LOGGING_CACHE_MAX", "5000")
    old = [part(tmp_path / schema_tag() / "answers" / f"{n}.json", age=100 - n) for n in range(8)]
    rates = part(tmp_path / "rates-1.json", age=500)
    eviction.bound_size(tmp_path, [])
    assert [path.exists() for path in old] == [False] * 3 + [True] * 5
    assert not rates.exists()


def test_what_another_version_left_goes_first_and_after_a_week(tmp_path, monkeypatch):
    fresh = part(tmp_path / "0123456789ab" / "log" / "piece.parquet", age=60)
    stale = part(tmp_path / "ba9876543210" / "log" / "piece.parquet", age=8 * 86400)
    answer = part(tmp_path / "ba9876543210" / "answers" / "1.json", age=8 * 86400)
    ours = part(tmp_path / schema_tag() / "log" / "piece.parquet", age=9 * 86400)
    eviction.bound_size(tmp_path, [])
    assert [path.exists() for path in (fresh, stale, answer, ours)] == [True, False, False, True]
    assert not (tmp_path / "ba9876543210").exists()
    monkeypatch.setenv("LLM_LOGGING_CACHE_MAX", "1500")
    eviction.bound_size(tmp_path, [])
    assert (fresh.exists(), ours.exists()) == (False, True)


def test_what_is_needed_stays_however_small_the_bound(roots, monkeypatch):
    monkeypatch.setenv("LLM_LOGGING_CACHE_MAX", "1")
    assert ask(roots[0]) == 400
    assert held(roots[0])


@pytest.mark.parametrize("given", ["lots", "1.5", "8 GiB", "-1", "1e9", "0x10", "9" * 5000])
def test_a_bound_that_is_none_is_refused_whenever_the_cache_is_asked_for(given, tmp_path, monkeypatch):
    log = Log(tmp_path)
    log.write(3)
    assert log.stats().summary.total_requests == 3
    monkeypatch.setenv("LLM_LOGGING_CACHE_MAX", given)
    with pytest.raises(
        ConfigurationError,
        match=rf"LLM_LOGGING_CACHE_MAX: expected a whole number of bytes, got '{given[:5]}",
    ):
        log.stats()
    assert get_stats(root=log.root, cache=False).summary.total_requests == 3
