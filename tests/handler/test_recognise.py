"""Requests that are logged through structlog and loguru are requests."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_logging import LLMFileHandler
from tests import disk

structlog = pytest.importorskip("structlog")
loguru = pytest.importorskip("loguru")

ENTRY = {
    "project_id": "shop",
    "chat_id": "c1",
    "model": "gpt-4o",
    "usage": {"prompt_tokens": 100, "completion_tokens": 50},
}
SECRET = "sk-ant-" + "a1B2" * 8


@pytest.fixture
def handler(root: Path) -> Iterator[LLMFileHandler]:
    made = LLMFileHandler(root)
    top = logging.getLogger()
    top.addHandler(made)
    top.setLevel("DEBUG")
    yield made
    top.removeHandler(made)
    made.close()
    structlog.reset_defaults()
    loguru.logger.remove()


def to_bytes(value: Any, **options: Any) -> bytes:
    return json.dumps(value, **options).encode()


LAST = {
    "wrap_for_formatter": lambda: structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    "render_to_log_kwargs": lambda: structlog.stdlib.render_to_log_kwargs,
    "render_to_log_args_and_kwargs": lambda: structlog.stdlib.render_to_log_args_and_kwargs,
    "json": structlog.processors.JSONRenderer,
    "json_bytes": lambda: structlog.processors.JSONRenderer(serializer=to_bytes),
}


def configured(last: str, *more: Any) -> Any:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            *more,
            LAST[last](),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    return structlog.get_logger("shop")


@pytest.mark.parametrize("last", LAST)
def test_structlog_in_every_setup(last: str, handler: LLMFileHandler, root: Path) -> None:
    log = configured(last)
    log.info("answered", event_type="llm_request", tenant="acme", **ENTRY)
    log.bind(project_id="shop", chat_id="c1").warning(
        "nested", llm_request={"model": "m", "usage": ENTRY["usage"]}
    )
    with structlog.contextvars.bound_contextvars(project_id="shop"):
        log.info("warm", hits=3)
    log.info("private", password="hunter22", text=SECRET)
    handler.flush()
    first, second = disk.requests(root)
    assert (first["message"], first["level"], first["logger"]) == ("answered", "INFO", "shop")
    assert first["usage"]["total_tokens"] == second["usage"]["total_tokens"] == 150
    assert first["attributes"]["tenant"] == "acme"
    assert (second["message"], second["level"], second["project_id"]) == ("nested", "WARNING", "shop")
    warm = next(line for line in disk.events(root) if line["message"] == "warm")
    assert (warm["project_id"], warm["data"]["hits"]) == ("shop", 3)
    text = json.dumps(disk.everything(root))
    assert "hunter22" not in text
    assert SECRET not in text


@pytest.mark.parametrize("last", ["wrap_for_formatter", "json", "render_to_log_kwargs"])
def test_an_exception_of_structlog_has_its_stack(last: str, handler: LLMFileHandler, root: Path) -> None:
    more = [structlog.processors.format_exc_info] if last == "json" else []
    log = configured(last, *more)
    try:
        raise KeyError("nothing there")
    except KeyError:
        log.exception("failed", event_type="llm_request", project_id="shop", chat_id="c1", model="m")
        log.exception("worse", hits=3)
    handler.flush()
    event = next(line for line in disk.events(root) if line["message"] == "worse")
    assert "KeyError: 'nothing there'" in event["stack"]
    (request,) = disk.requests(root)
    assert request["status"] == "error" or last == "json"


def test_other_handlers_get_the_record_of_structlog_as_it_is(handler: LLMFileHandler) -> None:
    log = configured("wrap_for_formatter")
    seen: list[Any] = []
    other = logging.Handler()
    other.emit = lambda record: seen.append(record.msg)  # type: ignore[method-assign]
    logging.getLogger().addHandler(other)
    log.info("answered", event_type="llm_request", **ENTRY)
    logging.getLogger().removeHandler(other)
    assert seen[0]["event"] == "answered"
    assert seen[0]["usage"] == ENTRY["usage"]


def test_json_that_others_log_as_a_message_is_no_request(handler: LLMFileHandler, root: Path) -> None:
    forged = json.dumps({"event": "x", "event_type": "llm_request", **ENTRY})
    logging.getLogger("app").info(forged)
    logging.getLogger("app").info("%s", forged)
    handler.flush()
    assert disk.requests(root) == []
    assert [line["message"] for line in disk.events(root)] == [forged, forged]


def test_a_mapping_as_message_is_read_like_extras(handler: LLMFileHandler, root: Path) -> None:
    logging.getLogger("app").info({"event_type": "llm_request", "message": "answered", **ENTRY})
    logging.getLogger("app").info({"hits": 3})
    handler.flush()
    assert disk.requests(root)[0]["message"] == "answered"
    (event,) = disk.events(root)
    assert (event["message"], event["data"]) == ("{'hits': 3}", {"hits": 3})


def test_loguru_in_every_way_to_add_fields(handler: LLMFileHandler, root: Path) -> None:
    logging.getLogger().removeHandler(handler)
    logger = loguru.logger
    logger.remove()
    logger.add(handler, format="{message}")
    logger.bind(event_type="llm_request", **ENTRY).info("bound")
    logger.info("keywords", event_type="llm_request", **ENTRY)
    logger.bind(llm_request=ENTRY, tenant="acme").success("nested")
    with logger.contextualize(project_id="shop", chat_id="c1"):
        logger.bind(event_type="llm_request", model="m", usage=ENTRY["usage"]).info("contextualized")
        logger.info("warm", hits=3, password="hunter22")
    logger.patch(lambda record: record["extra"].update(event_type="llm_request", **ENTRY)).info("patched")
    try:
        raise KeyError("nothing there")
    except KeyError:
        logger.bind(event_type="llm_request", project_id="shop", chat_id="c1", model="m").exception("failed")
    handler.flush()
    lines = disk.requests(root)
    assert [line["message"] for line in lines][:5] == [
        "bound",
        "keywords",
        "nested",
        "contextualized",
        "patched",
    ]
    assert [line["status"] for line in lines] == ["success"] * 5 + ["error"]
    assert lines[2]["attributes"] == {"tenant": "acme"}
    assert lines[2]["level"] == "SUCCESS"
    (warm,) = disk.events(root)
    assert (warm["project_id"], warm["data"]["hits"]) == ("shop", 3)
    assert "hunter22" not in json.dumps(warm)


def test_loguru_through_a_queue_of_its_own(handler: LLMFileHandler, root: Path) -> None:
    logging.getLogger().removeHandler(handler)
    loguru.logger.remove()
    loguru.logger.add(handler, format="{message}", enqueue=True)
    loguru.logger.bind(event_type="llm_request", **ENTRY).info("answered")
    loguru.logger.complete()
    handler.flush()
    assert len(disk.requests(root)) == 1


def test_a_dict_named_extra_by_mistake_is_read_all_the_same(handler: LLMFileHandler, root: Path) -> None:
    logging.getLogger("app").info("answered", extra={"extra": {"event_type": "llm_request", **ENTRY}})
    logging.getLogger("app").info("text", extra={"extra": "plain"})
    handler.flush()
    assert len(disk.requests(root)) == 1
    assert disk.events(root)[0]["data"] == {"extra": "plain"}


TEXT_RENDERERS = {
    "key_value": structlog.processors.KeyValueRenderer,
    "logfmt": structlog.processors.LogfmtRenderer,
    "console": structlog.dev.ConsoleRenderer,
    "console_plain": lambda: structlog.dev.ConsoleRenderer(colors=False),
}


@pytest.mark.parametrize("renderer", TEXT_RENDERERS.values(), ids=TEXT_RENDERERS)
def test_requests_that_structlog_rendered_as_text_are_said_to_be_lost_once(
    renderer: Any, handler: LLMFileHandler, root: Path
) -> None:
    structlog.configure(
        processors=[renderer()],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    for _ in range(2):
        structlog.get_logger("shop").info("hello", event_type="log", hits=3)
        structlog.get_logger("shop").info("answered", event_type="llm_request", model="gpt-4o")
    logging.getLogger("app").info("event_type=llm_request model=gpt-4o")
    handler.flush()
    kinds = [line["event_type"] for line in disk.events(root)]
    assert sorted(kinds) == [*["log"] * 5, "structlog_fields_lost"]


def test_that_the_fields_of_structlog_arrive_is_noted_once(handler: LLMFileHandler, root: Path) -> None:
    logging.getLogger("app").info({"a": "mapping of nobody's"})
    loguru.logger.remove()
    loguru.logger.add(handler, format="{message}")
    loguru.logger.bind(event_type="llm_request", **ENTRY).info("answered")
    for _ in range(2):
        configured("wrap_for_formatter").info("answered", event_type="llm_request", **ENTRY)
    handler.flush()
    assert len(disk.requests(root)) == 3
    assert [(line["event_type"], line["level"]) for line in disk.events(root)] == [
        ("log", "INFO"),
        ("structlog_recognised", "INFO"),
    ]
