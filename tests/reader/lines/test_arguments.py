"""Every public function refuses what is of a wrong type with an error of ours, or with Python's own for its signature."""

from __future__ import annotations

import asyncio
import inspect
import logging
import logging.config
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import llm_logging
from llm_logging import LLMLoggingError, NotFoundError, StatsOptions, StatsScope, ValidationError, presets
from llm_logging.reader.entries import get_request_log
from llm_logging.reader.export import export_requests

FUNCTIONS = {
    "compare_stats": ({}, {}, {}),
    "get_chat_metrics": ("shop", "c-17"),
    "get_global_metrics": (),
    "get_llm_request_logs": (),
    "get_prices": (),
    "get_project_metrics": ("shop",),
    "get_stats": (),
    "get_system_logs": (),
    "search_logs": ("text",),
    "get_cached_stats": (),
}
WRONG: list[Any] = [
    0,
    7,
    -1.5,
    True,
    "nonsense",
    b"bytes",
    [],
    [3],
    {"nonsense": 1},
    {3: 4},
    object(),
    (),
    set(),
    int,
    lambda: 1,
]
EXPORTED = {"get_request_log": get_request_log, "export_requests": export_requests}


@pytest.mark.parametrize("groups", [[1], ["day", 2.5], {True}, [["day"], 3], [object()]])
def test_a_group_that_is_no_text_is_refused(groups: Any) -> None:
    with pytest.raises(LLMLoggingError, match="group_by"):
        llm_logging.StatsOptions(group_by=groups)


@pytest.fixture
def logs(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # A text is a fine name for a folder of a cache, which is then made where the test runs.
    monkeypatch.chdir(root.parent)
    logging.config.dictConfig(presets.production(root=root))
    log = llm_logging.get_logger("app", project_id="shop", chat_id="c-17")
    log.log_llm_request({"model": "gpt-4o", "usage": {"prompt_tokens": 100, "completion_tokens": 50}})
    return root


def ask(function: Any, *args: Any, **options: Any) -> Any:
    """Call a function; return what it raised, if anything."""
    raised: Exception | None = None
    try:
        found = function(*args, **options)
        if hasattr(found, "__enter__"):
            with found:
                pass
    except (LLMLoggingError, TypeError) as error:
        raised = error
    if isinstance(raised, LLMLoggingError):
        assert "expected" in str(raised) or isinstance(raised, NotFoundError), raised
    elif raised is not None:
        # The signature's own: it names what was called.
        name = getattr(function, "__name__", "")
        assert f"{name}()" in str(raised), (name, raised)
    return raised


@pytest.mark.parametrize("name", [*FUNCTIONS, *EXPORTED])
def test_every_argument_of_every_public_function(name: str, logs: Path) -> None:
    function = getattr(llm_logging, name, None) or EXPORTED[name]
    given = FUNCTIONS.get(name, ("0" * 8,) if name == "get_request_log" else ())
    names = list(inspect.signature(function).parameters)
    keywords = [one for one in names[len(given) :] if one != "reading"]
    if "reading" in names:
        keywords += ["root", "files", "cache_dir", "prices", "now", "progress"]
    for place in range(len(given)):
        for wrong in WRONG:
            ask(
                function,
                *given[:place],
                wrong,
                *given[place + 1 :],
                **({} if name == "get_cached_stats" else {"root": logs}),
            )
    for keyword in keywords:
        for wrong in WRONG:
            if keyword == "progress" and callable(wrong):
                continue
            options = {"root": logs, keyword: wrong} if name != "get_cached_stats" else {keyword: wrong}
            ask(function, *given, **options)
    refused = ask(function, *given, no_such_option=1)
    assert isinstance(refused, TypeError)
    assert "no_such_option" in str(refused)


ADAPTER = {
    "log_llm_request": [()],
    "log_llm_request_start": [()],
    "log_llm_request_complete": [()],
    "log_chat_message": [()],
}


@pytest.mark.parametrize("name", ADAPTER)
def test_the_adapters_functions_refuse_wrong_entries(name: str, logs: Path) -> None:
    log = llm_logging.get_logger("app", project_id="shop", chat_id="c-17")
    for wrong in WRONG:
        assert isinstance(ask(getattr(log, name), wrong), (LLMLoggingError, TypeError)), wrong


@pytest.mark.parametrize("wrong", [w for w in WRONG if not isinstance(w, str)])
def test_other_doors_refuse_wrong_types(wrong: Any, logs: Path) -> None:
    assert isinstance(ask(llm_logging.get_logger, wrong), LLMLoggingError)
    assert isinstance(ask(llm_logging.log_llm_request, wrong), LLMLoggingError)
    with pytest.raises(LLMLoggingError):
        asyncio.run(llm_logging.alog_llm_request(wrong))
    assert llm_logging.usage_from_response(wrong) is None


def test_a_question_may_be_a_mapping(logs: Path) -> None:
    stats = llm_logging.get_stats(
        {"type": "project", "projectId": "shop"}, {"group_by": "model", "from_date": "2020"}, root=logs
    )
    assert [row.group for row in stats.breakdown] == [{"model": "gpt-4o"}]
    found = llm_logging.compare_stats(
        {"type": "global"}, {"to_date": "2020"}, {"from_date": "2020"}, root=logs
    )
    assert found.scope == StatsScope()
    assert llm_logging.get_prices({}, {}, root=logs) is not None


def test_a_part_of_a_question_names_itself_where_it_is_given_by_place() -> None:
    for kind in (StatsScope, StatsOptions):
        with pytest.raises(TypeError, match=rf"{kind.__name__}\(\) takes keyword arguments only"):
            kind("project", "p")  # type: ignore[misc]
    with pytest.raises(
        ValidationError, match="scope: expected StatsScope or a mapping of its fields, got str"
    ):
        llm_logging.get_stats("shop")  # type: ignore[arg-type]


def test_where_nothing_is_named_the_root_of_this_process_answers(
    logs: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LLM_LOGGING_ROOT", str(tmp_path / "elsewhere"))
    assert llm_logging.get_stats().summary.total_requests == 1
    assert llm_logging.get_project_metrics("shop").total_tokens == 150
    assert len(llm_logging.get_llm_request_logs().entries) == 1
    assert len(llm_logging.search_logs("gpt-4o").hits) == 1
    assert llm_logging.get_system_logs().entries == []
    with pytest.raises(NotFoundError, match=r"nothing of it under .*root of this process's LLMFileHandler"):
        llm_logging.get_project_metrics("other")
    for handler in list(logging.getLogger().handlers):
        handler.close()
    with pytest.raises(NotFoundError, match=r"elsewhere: expected the folder .*LLM_LOGGING_ROOT names it"):
        llm_logging.get_stats()
    monkeypatch.delenv("LLM_LOGGING_ROOT")
    with pytest.raises(
        NotFoundError, match=r"llm_logs: expected the folder .*it is the default: no root is named"
    ):
        llm_logging.get_stats()


NOTEBOOK = """
import sys, types
shell = types.SimpleNamespace(config={"IPKernelApp": {}})
fake = types.ModuleType("IPython"); fake.get_ipython = lambda: shell; fake.version_info = (9, 0)
sys.modules["IPython"], sys.modules["ipywidgets"] = fake, None
sys.modules["__main__"].__dict__.pop("__file__", None)
import llm_logging
from llm_logging.reader.export import export_requests
root = sys.argv[1]
print(llm_logging.get_stats(root=root, cache=False).summary.total_requests)
print(len(llm_logging.get_llm_request_logs(root=root, cache=False).entries))
print(llm_logging.get_chat_metrics("shop", "c-17", root=root).message_count)
with export_requests(root=root) as found:
    print(found.parquet(sys.argv[2]) if hasattr(found, "parquet") else 0)
"""


def test_a_notebook_without_ipywidgets_can_ask(logs: Path, tmp_path: Path) -> None:
    for handler in logging.getLogger().handlers:
        handler.flush()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", NOTEBOOK, str(logs), str(tmp_path / "x.parquet")],
        capture_output=True,
        text=True,
        env=dict(os.environ),
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[:3] == ["1", "1", "0"]
