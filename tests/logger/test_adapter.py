"""The adapter: what it binds, what it refuses, and what is on disk when it returns."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llm_logging import (
    ChatMessage,
    ConfigurationError,
    ErrorCode,
    LLMFileHandler,
    LLMLoggerAdapter,
    LLMLoggingError,
    LLMRequestLogEntry,
    ValidationError,
    alog_llm_request,
    get_logger,
    log_llm_request,
    scope,
)
from llm_logging.testing import capture, fixed
from tests import disk, nasty

ENTRY = {"model": "gpt-4o", "usage": {"prompt_tokens": 100, "completion_tokens": 50}}
IDENTITY = {"project_id": "shop", "chat_id": "c-17"}


@pytest.fixture
def log(filelog: LLMLoggerAdapter) -> LLMLoggerAdapter:
    """Write to real files."""
    return filelog


class TestContext:
    def test_explicit_beats_bound_beats_scope_beats_defaults(
        self, root: Path, isolated: Callable[..., logging.Logger]
    ) -> None:
        levels = {name: f"defaults-{name}" for name in ("project_id", "chat_id", "user_id", "a", "b")}
        handler = LLMFileHandler(root, defaults=levels)
        log = LLMLoggerAdapter(isolated(handler), {"user_id": "bound-user", "a": "bound-a", "model": "m"})
        with scope(chat_id="scope-chat", user_id="scope-user", a="scope-a"):
            log.info("x", extra={"llm_request": {"a": "own-a", "status": "success"}})
            log.log_llm_request({"a": "own-a", "status": "success"})
            with log.request(a="own-a", pending=False) as call:
                call.finish(status="success")
        handler.close()
        for line in disk.requests(root):
            assert line["project_id"] == "defaults-project_id"
            assert line["chat_id"] == "scope-chat"
            assert line["user_id"] == "bound-user"
            assert line["attributes"] == {"a": "own-a", "b": "defaults-b"}
        assert len(disk.requests(root)) == 3

    def test_none_says_nothing_wherever_it_is_said(self, root: Path, isolated: Any) -> None:
        handler = LLMFileHandler(root, defaults=IDENTITY)
        log = LLMLoggerAdapter(isolated(handler), {"project_id": None, "model": "m"})
        with scope(chat_id=None):
            log.info("x", extra={"llm_request": {"chat_id": None, "status": "success"}})
            log.log_llm_request({"chat_id": None, "status": "success"})
            log.log_event("chat_closed", chat_id=None)
        handler.close()
        assert [line["project_id"] for line in disk.everything(root)] == ["shop"] * 3
        assert [line["chat_id"] for line in disk.everything(root)] == ["c-17"] * 3

    def test_a_model_takes_what_it_lacks_from_the_context_as_a_mapping_does(
        self, root: Path, isolated: Any
    ) -> None:
        handler = LLMFileHandler(root)
        log = LLMLoggerAdapter(isolated(handler), {"user_id": "u-1", "team": "blue", "chat_id": "other"})
        entry = LLMRequestLogEntry(project_id="shop", chat_id="c-17", model="gpt-4o", status="success")
        log.log_llm_request(entry)
        log.info("x", extra={"llm_request": entry})
        handler.close()
        for line in disk.requests(root):
            assert (line["id"], line["user_id"], line["chat_id"]) == (entry.id, "u-1", "c-17")
            assert line["attributes"] == {"team": "blue"}
        assert len(disk.requests(root)) == 2

    def test_bind_and_unbind_give_new_adapters_and_leave_the_old_one(self) -> None:
        first = get_logger("app", project_id="shop")
        second = first.bind(chat_id="c", project_id="other")
        third = second.unbind("project_id")
        assert first.context == {"project_id": "shop"}
        assert second.context == {"project_id": "other", "chat_id": "c"}
        assert third.context == {"chat_id": "c"}
        assert {first.logger, second.logger, third.logger} == {logging.getLogger("app")}

    def test_scope_reaches_plain_loggers_too(self) -> None:
        with capture() as logs, scope(**IDENTITY):
            logging.getLogger("app").warning("x", extra={"llm_request": ENTRY})
            logging.getLogger("lib").warning("y")
        assert logs.requests[0]["project_id"] == "shop"
        assert logs.events[0]["chat_id"] == "c-17"


class TestExtras:
    def test_names_that_log_records_own_are_no_trouble(self, log: LLMLoggerAdapter, root: Path) -> None:
        owned = {
            "name": "n",
            "args": 1,
            "message": "m",
            "module": "mod",
            "msg": "t",
            "created": 0,
            "process": 9,
        }
        log.info("cache warmed", extra=owned)
        log.logger.handlers[0].flush()
        assert disk.events(root)[0]["data"] == owned
        assert disk.events(root)[0]["message"] == "cache warmed"

    def test_extras_that_are_no_mapping_are_kept(self, log: LLMLoggerAdapter, root: Path) -> None:
        log.info("odd", extra=["a", 1])
        log.logger.handlers[0].flush()
        assert disk.events(root)[0]["data"] == {"extra": ["a", 1]}

    def test_what_the_caller_passes_in_is_never_changed(self, log: LLMLoggerAdapter) -> None:
        entry = {
            **ENTRY,
            "request_id": "r-1",
            "error_code": "E",
            "messages": [{"role": "user"}],
            "tags": None,
        }
        before = repr(entry)
        log.info("x", extra={"llm_request": entry})
        log.log_llm_request(entry)
        assert repr(entry) == before

    def test_what_the_caller_changes_later_does_not_show(self, log: LLMLoggerAdapter, root: Path) -> None:
        entry: dict[str, Any] = {**ENTRY, "usage": {"prompt_tokens": 1, "completion_tokens": 2}, "list": [1]}
        log.info("x", extra={"llm_request": entry})
        entry["usage"]["prompt_tokens"] = 999
        entry["list"].append(2)
        log.logger.handlers[0].flush()
        line = disk.requests(root)[0]
        assert line["usage"]["prompt_tokens"] == 1
        assert line["attributes"] == {"list": [1]}


class TestStrict:
    def test_the_line_is_in_its_file_when_it_returns(self, log: LLMLoggerAdapter, root: Path) -> None:
        with fixed() as clock:
            result = log.log_llm_request(ENTRY)
            now = clock.now()
        path = root / "projects" / "shop" / "logs" / "llm_requests.jsonl"
        (line,) = disk.objects(path)
        assert line["id"] == result.id
        assert result.logged
        assert result.timestamp == now
        assert line["status"] == "success"
        assert line["timestamp_start"] == line["timestamp"] == "2026-01-15T12:00:00.000000Z"
        assert line["usage"]["total_tokens"] == 150

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"project_id": ""}, ErrorCode.INVALID_PROJECT_ID),
            ({"chat_id": ""}, ErrorCode.INVALID_CHAT_ID),
            ({"model": None}, ErrorCode.INVALID_MODEL),
            ({"model": 4}, ErrorCode.INVALID_MODEL),
            ({"status": "done"}, ErrorCode.INVALID_ENTRY),
            ({"usage": {"prompt_tokens": -1}}, ErrorCode.INVALID_ENTRY),
            (
                {"timestamp_start": "2026-01-15T10:00:00Z", "timestamp_end": "2026-01-15T09:00:00Z"},
                ErrorCode.INVALID_ENTRY,
            ),
            ({"timings": {"latency_ms": float("nan")}}, ErrorCode.INVALID_ENTRY),
            ({"http_status": 600}, ErrorCode.INVALID_ENTRY),
        ],
    )
    def test_what_breaks_the_contract_raises_before_anything_is_written(
        self, log: LLMLoggerAdapter, root: Path, change: dict[str, Any], code: ErrorCode
    ) -> None:
        with pytest.raises(ValidationError) as caught:
            log.log_llm_request({**ENTRY, **change})
        assert caught.value.code == code
        assert isinstance(caught.value, ValueError)
        assert isinstance(caught.value, LLMLoggingError)
        log.logger.handlers[0].flush()
        assert not root.exists()

    @pytest.mark.parametrize("entry", [None, "gpt-4o", 5, ["model"]])
    def test_what_is_no_entry_at_all_is_refused(self, log: LLMLoggerAdapter, entry: Any) -> None:
        with pytest.raises(ValidationError, match="expected LLMRequestLogEntry or a mapping of its fields"):
            log.log_llm_request(entry)

    @pytest.mark.parametrize(
        "value",
        [
            nasty.circular(),
            nasty.nested(10_000),
            object(),
            nasty.Broken(),
            float("nan"),
            "\ud800",
            b"\xff",
            10**400,
        ],
    )
    def test_values_that_json_lacks_are_text(self, log: LLMLoggerAdapter, root: Path, value: Any) -> None:
        for entry in (
            {**ENTRY, "odd": value},
            {**ENTRY, "usage": {"prompt_tokens": 1, "odd": value}},
            {**ENTRY, "timings": {"odd": value}},
            {**ENTRY, "messages": [value], "response": value},
        ):
            assert log.log_llm_request(entry).logged
        assert len(disk.requests(root)) == 4

    def test_a_model_changed_since_it_was_made_is_checked_again(
        self, log: LLMLoggerAdapter, root: Path
    ) -> None:
        entry = LLMRequestLogEntry(**IDENTITY, **ENTRY)
        assert entry.usage is not None
        entry.usage.prompt_tokens = 7
        log.log_llm_request(entry)
        assert disk.requests(root)[0]["usage"]["total_tokens"] == 57
        entry.usage.prompt_tokens = -7
        with pytest.raises(ValidationError, match=r"usage\.prompt_tokens"):
            log.log_llm_request(entry)

    def test_generators_are_not_run(self, log: LLMLoggerAdapter) -> None:
        generator = iter(range(3))
        log.log_llm_request({**ENTRY, "odd": generator, "response": generator})
        log.info("x", extra={"llm_request": {**ENTRY, "odd": generator, "messages": generator}})
        log.info("x", extra={"odd": generator})
        assert list(generator) == [0, 1, 2]

    def test_without_a_handler_in_reach_it_says_what_to_configure(self, isolated: Any) -> None:
        log = LLMLoggerAdapter(isolated(logging.NullHandler()), IDENTITY)
        with pytest.raises(ConfigurationError, match=r"expected an LLMFileHandler.*dictConfig"):
            log.log_llm_request(ENTRY)
        with pytest.raises(ConfigurationError, match="expected an LLMFileHandler"):
            asyncio.run(log.alog_llm_request(ENTRY))

    def test_without_a_handler_in_reach_nothing_else_raises_and_a_warning_says_so_once(
        self, isolated: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        log = LLMLoggerAdapter(isolated(logging.NullHandler()), IDENTITY)
        with log.request(model="m") as call:
            assert list(call.stream(iter("abc"))) == ["a", "b", "c"]

        @log.request(model="m")
        def answer() -> str:
            return "hi"

        async def later() -> str:
            async with log.request(model="m"):
                return "there"

        assert (answer(), asyncio.run(later())) == ("hi", "there")
        with pytest.raises(KeyError), log.request(model="m"):
            raise KeyError
        assert not log.log_chat_message({"role": "user", "content": "hi"}).logged
        started = log.log_llm_request_start(ENTRY)
        assert not started.logged
        assert not log.log_llm_request_complete(started.id).logged
        said = [record.getMessage() for record in caplog.records if record.name == "llm_logging"]
        assert len(said) == 1
        assert "expected an LLMFileHandler" in said[0]
        assert "dictConfig" in said[0]

    def test_levels_do_not_silence_accounting(self, log: LLMLoggerAdapter, root: Path) -> None:
        log.setLevel(logging.CRITICAL)
        log.logger.handlers[0].setLevel(logging.CRITICAL)
        assert log.log_llm_request(ENTRY).logged
        with log.request(model="m", pending=False):
            pass
        assert log.log_chat_message({"role": "user", "content": "hi"}).logged
        log.info("an event is chatter")
        log.logger.handlers[0].flush()
        assert [line["event_type"] for line in disk.everything(root)] == [
            "chat_message",
            "llm_request",
            "llm_request",
        ]

    @pytest.mark.parametrize("where", ["logger", "handler", "disabled"])
    def test_a_filter_silences_it_and_the_result_says_so(
        self, log: LLMLoggerAdapter, root: Path, where: str
    ) -> None:
        if where == "disabled":
            log.logger.disabled = True
        else:
            target: Any = log.logger if where == "logger" else log.logger.handlers[0]
            target.addFilter(lambda record: False)
        assert not log.log_llm_request(ENTRY).logged
        assert not asyncio.run(log.alog_llm_request(ENTRY)).logged
        assert not log.log_chat_message({"role": "user"}).logged
        log.logger.handlers[0].flush()
        assert not root.exists()

    def test_a_filter_sees_the_record_with_its_level(self, log: LLMLoggerAdapter) -> None:
        seen: list[logging.LogRecord] = []
        log.logger.addFilter(lambda record: seen.append(record) or True)
        log.log_llm_request(ENTRY)
        log.log_llm_request({**ENTRY, "error": "boom"})
        assert [(record.levelname, record.getMessage()) for record in seen] == [
            ("INFO", "gpt-4o success"),
            ("ERROR", "gpt-4o error"),
        ]
        assert {record.filename for record in seen} == {"test_adapter.py"}
        assert {record.funcName for record in seen} == {"test_a_filter_sees_the_record_with_its_level"}

    def test_the_async_form_is_in_its_file_too(self, log: LLMLoggerAdapter, root: Path) -> None:
        async def many() -> list[Any]:
            return await asyncio.gather(*(log.alog_llm_request(ENTRY) for _ in range(20)))

        results = asyncio.run(many())
        assert all(result.logged for result in results)
        assert {line["id"] for line in disk.requests(root)} == {result.id for result in results}

    def test_the_functions_of_the_package_use_the_default_logger(self, root: Path) -> None:
        handler = LLMFileHandler(root)
        logging.getLogger().addHandler(handler)
        entry = {**IDENTITY, **ENTRY}
        assert log_llm_request(entry).logged
        assert asyncio.run(alog_llm_request(entry)).logged
        assert [line["logger"] for line in disk.requests(root)] == ["llm", "llm"]


class TestEvents:
    def test_events_lie_with_their_project_or_with_the_system(
        self, log: LLMLoggerAdapter, root: Path
    ) -> None:
        log.log_event("chat_closed", turns=3)
        log.log_event("project_created", "hello 100% %s", project_id="new", level=logging.WARNING)
        log.unbind("project_id", "chat_id").log_event("started", version="1.0")
        log.logger.handlers[0].flush()
        (closed,) = disk.objects(root / "projects/shop/logs/events.jsonl")
        (created,) = disk.objects(root / "projects/new/logs/events.jsonl")
        (started,) = disk.objects(root / "logs/system.jsonl")
        assert (closed["event_type"], closed["chat_id"], closed["data"]) == (
            "chat_closed",
            "c-17",
            {"turns": 3},
        )
        assert (created["message"], created["level"]) == ("hello 100% %s", "WARNING")
        assert (started["event_type"], started["data"]) == ("started", {"version": "1.0"})

    def test_an_error_has_code_stack_and_context(self, log: LLMLoggerAdapter, root: Path) -> None:
        try:
            {}["missing"]
        except KeyError as error:
            log.log_error(error, code="E_LOOKUP", context={"step": 2}, hint="x")
        log.log_error("plain words")
        log.log_warning("slow", code="W_SLOW", context={"ms": 900})
        log.logger.handlers[0].flush()
        first, second, third = disk.events(root)
        assert (first["event_type"], first["error_code"], first["error_type"]) == (
            "error",
            "E_LOOKUP",
            "KeyError",
        )
        assert "test_an_error_has_code_stack_and_context" in first["stack"]
        assert (first["context"], first["data"]) == ({"step": 2}, {"hint": "x"})
        assert (second["message"], second["error_code"]) == ("plain words", "ERROR")
        assert "test_an_error_has_code_stack_and_context" in second["stack"]
        assert "llm_logging/logger" not in second["stack"]
        assert (third["level"], third["error_code"], third["context"]) == ("WARNING", "W_SLOW", {"ms": 900})

    def test_an_error_that_cannot_be_printed_does_not_reach_the_application(
        self, log: LLMLoggerAdapter, root: Path
    ) -> None:
        log.log_error(nasty.BadError())
        log.logger.handlers[0].flush()
        assert disk.events(root)[0]["error_type"] == "BadError"


class TestChat:
    def test_a_message_is_in_its_chats_file_when_it_returns(self, log: LLMLoggerAdapter, root: Path) -> None:
        result = log.log_chat_message({"role": "user", "content": "hello", "is_pinned": True})
        (line,) = disk.objects(root / "projects/shop/chats/c-17.jsonl")
        assert (line["id"], line["role"], line["content"]) == (result.id, "user", "hello")
        assert (line["status"], line["include_in_context"], line["is_pinned"]) == ("complete", True, True)
        model = ChatMessage(
            **IDENTITY, role="assistant", llm_info={"model": "m", "usage": {"prompt_tokens": 1}}
        )
        log.log_chat_message(model)
        assert (
            disk.objects(root / "projects/shop/chats/c-17.jsonl")[1]["llm_info"]["usage"]["total_tokens"] == 1
        )

    @pytest.mark.parametrize(
        "message",
        [
            {"role": "user", "content": "x" * 1_000_001},
            {"content": "x"},
            {"role": "user", "status": "sent"},
            "hi",
        ],
    )
    def test_a_wrong_message_raises(self, log: LLMLoggerAdapter, root: Path, message: Any) -> None:
        with pytest.raises(ValidationError):
            log.log_chat_message(message)
        assert not root.exists()

    def test_what_is_bound_holds_where_the_message_says_none(self, log: LLMLoggerAdapter, root: Path) -> None:
        log.log_chat_message({"role": "user", "project_id": None, "odd": nasty.circular()})
        assert disk.everything(root)[0]["project_id"] == "shop"
