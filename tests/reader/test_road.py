"""A question is a short road: few modules lead on to others, and the steps come in one order."""

import sys
from pathlib import Path

import llm_logging
from llm_logging.models.query import StatsOptions
from llm_logging.reader.answer.session import Session
from llm_logging.reader.stats import get_stats
from tests.reader.builders import START, entry, put

READER = str(Path(llm_logging.__file__).parent / "reader")
# Names and types that every step looks up; they lead nowhere.
VOCABULARY = {"lines/columns.py", "sql/tables.py", "lines/duckdb_engine.py"}
MOST = 14


def module_of(frame):
    while frame is not None and not frame.f_code.co_filename.startswith(READER):
        frame = frame.f_back
    return None if frame is None else frame.f_code.co_filename[len(READER) + 1 :]


def calls_of(ask):
    """Return which modules of the reader call which while something is asked."""
    calls = {}

    def note(frame, event, _):
        if event == "call" and frame.f_code.co_filename.startswith(READER):
            caller, called = module_of(frame.f_back), module_of(frame)
            if caller not in {None, called}:
                calls.setdefault(caller, set()).add(called)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        ask()
    finally:
        sys.setprofile(before)
    return calls


def test_get_stats_is_followed_through_few_modules(tmp_path):
    put(tmp_path, [entry(1, status="pending", usage=None), entry(2, id=entry(1)["id"]), entry(3)])
    options = StatsOptions(group_by="day,model", where="status=success")
    calls = calls_of(lambda: get_stats(None, options, root=tmp_path, cache=False, now=START))
    # A module that calls no other one is looked up where it is used; following a question passes through the rest.
    road = {module for module, called in calls.items() if called - VOCABULARY}
    assert {
        "stats.py",
        "answer/plan.py",
        "answer/session.py",
        "segments/loader.py",
        "answer/result.py",
    } <= road
    assert len(road) <= MOST, sorted(road)


def test_the_steps_come_in_one_order(tmp_path, monkeypatch):
    put(tmp_path, [entry(1)])
    done = []
    for name in ("load", "fold", "select", "price"):
        step = getattr(Session, name)
        monkeypatch.setattr(Session, name, lambda self, name=name, step=step: done.append(name) or step(self))
    get_stats(None, root=tmp_path, cache=False)
    assert done == ["load", "fold", "select", "price"]
