"""The line, whole way: entry -> logger -> file -> JSON -> reader, and nothing changed on the road."""

from __future__ import annotations

import json
import logging
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_logging import (
    LLMFileHandler,
    LLMLoggerAdapter,
    LLMRequestLogEntry,
    StatsOptions,
    StatsScope,
    get_cached_stats,
    get_llm_request_logs,
    get_stats,
    reset_cached_stats,
    scope,
)
from llm_logging.models.entry import normalise_entry
from llm_logging.models.json_values import jsonable, to_bytes
from llm_logging.models.validation import complete_times
from llm_logging.testing import fixed
from tests import disk, nasty

pytestmark = pytest.mark.usefixtures("logging_as_before")
NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)


def through(handler: LLMFileHandler, way: str, fields: dict[str, Any]) -> None:
    """Log an entry in one of the ways there are."""
    logger = logging.Logger("round.trip", logging.DEBUG)  # noqa: LOG001  nobody else listens to it
    logger.addHandler(handler)
    log = LLMLoggerAdapter(logger)
    if way == "extra":
        logger.info("x", extra={"llm_request": fields})
    elif way == "flat":
        log.info("x", extra={"event_type": "llm_request", **fields})
    elif way == "strict":
        log.log_llm_request(fields)
    elif way == "model":
        log.log_llm_request(LLMRequestLogEntry.model_validate(complete_times(normalise_entry(fields))))
    else:
        with scope(**{name: fields[name] for name in ("project_id", "chat_id")}):
            log.info("x", extra={"llm_request": {**fields, "project_id": None, "chat_id": None}})


@settings(max_examples=40)
@given(nasty.well_formed, st.sampled_from(["extra", "flat", "strict", "model", "scope"]))
def test_what_is_logged_is_what_the_model_makes_of_it_in_every_way(fields: dict[str, Any], way: str) -> None:
    with fixed(NOW):
        entry = LLMRequestLogEntry.model_validate(
            complete_times(normalise_entry(jsonable_attributes(fields)), NOW)
        )
    with nasty.folder() as root:
        handler = LLMFileHandler(root, redact=False)
        with fixed(NOW):
            through(handler, way, fields)
        handler.close()
        (line,) = disk.requests(root)
    envelope = {"v", "timestamp", "level", "logger", "message", "event_type", "writer"}
    found = {name: value for name, value in line.items() if name not in envelope | {"id"}}
    expected = {
        name: value for name, value in json.loads(to_bytes(entry.line_fields())).items() if name != "id"
    }
    if way in {"strict", "model"}:
        # Each line says what wrote it, unless it was given.
        expected.setdefault("instrumentation", "log_llm_request")
    assert found == expected
    assert LLMRequestLogEntry.model_validate({**found, "id": line["id"]}).line_fields() == {
        **found,
        "id": line["id"],
    }


def jsonable_attributes(fields: dict[str, Any]) -> dict[str, Any]:
    extras = {name: value for name, value in fields.items() if name not in nasty.FIELDS - {"hits"}}
    # As one value, as the line holds them: what is nested too deeply is cut at the same depth.
    return {**fields, **jsonable(extras)}


@settings(max_examples=5)
@given(st.lists(st.tuples(nasty.well_formed, st.booleans()), min_size=1, max_size=15))
def test_statistics_and_entries_are_those_of_the_lines(
    given_entries: list[tuple[dict[str, Any], bool]],
) -> None:
    reset_cached_stats()
    with nasty.folder() as root:
        handler = LLMFileHandler(root, redact=False, max_bytes=2000)
        for fields, broken in given_entries:
            # Now and then with a field that moves aside: the spend must stay.
            through(handler, "extra", {**fields, "output_format_hint": "pdf"} if broken else fields)
        handler.close()
        lines = disk.requests(root)
        assert len(lines) == len(given_entries)
        stats = get_stats(root=root, options=StatsOptions(group_by="project"), cache=False)
        page = get_llm_request_logs(root=root, limit=100, cache=False)
        live = get_cached_stats()
    count = Counter(line["status"] for line in lines)
    total = stats.summary
    assert total.successful_requests == count["success"] == live.successful_requests
    assert total.failed_requests == count["error"] + count["timeout"] == live.failed_requests
    assert total.pending_requests == count["pending"] == live.pending_requests
    assert total.total_requests == total.successful_requests + total.failed_requests
    for name in (
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "cache_read_tokens",
        "reasoning_tokens",
    ):
        assert getattr(total, name) == sum(line.get("usage", {}).get(name, 0) for line in lines)
    assert total.total_tokens == total.prompt_tokens + total.completion_tokens
    assert sum(row.total_requests for row in stats.breakdown) == total.total_requests
    assert stats.quality.skipped_lines == 0
    by_id = {line["id"]: line for line in lines}
    assert {entry.id for entry in page.entries} == set(by_id)
    for entry in page.entries:
        line = by_id[entry.id]
        assert (entry.project_id, entry.chat_id, entry.model, entry.status) == tuple(
            line[name] for name in ("project_id", "chat_id", "model", "status")
        )


def test_any_project_and_chat_id_is_found_again(root: Path, isolated: Any) -> None:
    ids = [
        "shop",
        "SHOP",
        "../etc",
        "a/b",
        "é",
        "e\u0301",
        "con",
        ".",
        "x" * 400,
        "a b",
        "100%",
        "\u202e",
        "a\x00b",
        "日本",
    ]
    handler = LLMFileHandler(root, redact=False)
    logger = isolated(handler)
    for number, name in enumerate(ids):
        usage = {"prompt_tokens": number + 1, "completion_tokens": 0}
        entry = {"project_id": name, "chat_id": name, "model": "m", "usage": usage}
        logger.info("x", extra={"llm_request": entry})
    handler.close()
    for number, name in enumerate(ids):
        for asked in (
            StatsScope(type="project", project_id=name),
            StatsScope(type="chat", project_id=name, chat_id=name),
        ):
            summary = get_stats(asked, root=root).summary
            assert (summary.total_requests, summary.prompt_tokens) == (1, number + 1), name
    assert all(root in path.parents for path in root.rglob("*"))


def test_rotation_and_compression_change_no_figure(root: Path, isolated: Any) -> None:
    handler = LLMFileHandler(root, max_bytes=3000, compress="gz")
    log = LLMLoggerAdapter(isolated(handler), {"project_id": "shop", "chat_id": "c"})
    for n in range(60):
        with log.request(model="m") as call:
            call.finish(usage={"prompt_tokens": n, "completion_tokens": 1})
    handler.close()
    folder = root / "projects" / "shop" / "logs"
    assert len([path for path in folder.iterdir() if path.name.endswith(".gz")]) > 5
    summary = get_stats(root=root).summary
    assert (summary.total_requests, summary.pending_requests) == (60, 0)
    assert (summary.prompt_tokens, summary.completion_tokens) == (sum(range(60)), 60)


def test_a_request_started_and_ended_is_one_and_one_never_ended_is_pending(root: Path, isolated: Any) -> None:
    handler = LLMFileHandler(root)
    log = LLMLoggerAdapter(isolated(handler), {"project_id": "shop", "chat_id": "c", "model": "m"})
    ids = [log.log_llm_request_start({}).id for _ in range(4)]
    log.log_llm_request_complete(ids[0], usage={"prompt_tokens": 5, "completion_tokens": 5})
    log.log_llm_request_error(ids[1], TimeoutError("slow"))
    log.log_llm_request_error(ids[2], "cancelled", status="error")
    handler.close()
    summary = get_stats(root=root).summary
    assert (summary.successful_requests, summary.failed_requests, summary.pending_requests) == (1, 2, 1)


def test_lines_of_the_container_preset_are_read_like_files(tmp_path: Path, isolated: Any) -> None:
    from llm_logging import LLMStreamHandler

    path = tmp_path / "stdout.txt"
    with path.open("w", encoding="utf-8") as stream:
        log = LLMLoggerAdapter(isolated(LLMStreamHandler(stream)), {"project_id": "shop", "chat_id": "c"})
        for n in range(5):
            log.log_llm_request({"model": "m", "usage": {"prompt_tokens": n, "completion_tokens": 1}})
        log.info("an event between")
    summary = get_stats(files=str(path)).summary
    assert (summary.total_requests, summary.prompt_tokens, summary.completion_tokens) == (5, 10, 5)
