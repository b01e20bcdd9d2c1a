"""Whatever installs a handler, makes a record or changes it on its way: its line is there, once, and says what it should."""

from __future__ import annotations

import copy
import io
import json
import logging
import logging.config
import logging.handlers
import pickle
import queue
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llm_logging import (
    ConfigurationError,
    LLMConsoleFormatter,
    LLMFileHandler,
    LLMJsonFormatter,
    LLMLoggerAdapter,
    LLMStreamHandler,
    ValidationError,
    get_cached_stats,
    presets,
    reset_cached_stats,
)
from llm_logging.testing import CaptureHandler
from tests import disk

IDENTITY = {"project_id": "shop", "chat_id": "c-17"}
ENTRY = {**IDENTITY, "model": "gpt-4o", "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
REQUEST = {"event_type": "llm_request", **ENTRY}
SECRET = "sk-ant-" + "a1B2" * 8
Isolated = Callable[..., logging.Logger]


# -- who sets a formatter ----------------------------------------------------------------------------------------------


def test_basic_config_installs_every_handler_of_ours(root: Path) -> None:
    stream = io.StringIO()
    logging.basicConfig(handlers=[LLMFileHandler(root), LLMStreamHandler(stream)], level="INFO", force=True)
    logging.getLogger("app").info("answered", extra=REQUEST)
    logging.getLogger().handlers[0].flush()
    assert disk.requests(root)[0]["model"] == json.loads(stream.getvalue())["model"] == "gpt-4o"
    assert disk.events(root) == []


def test_a_configuration_whose_formatter_is_for_text_still_gives_json_lines(root: Path) -> None:
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"verbose": {"format": "{levelname} {message}", "style": "{"}},
            "handlers": {
                "llm": {"class": "llm_logging.LLMFileHandler", "root": str(root), "formatter": "verbose"}
            },
            "root": {"level": "INFO", "handlers": ["llm"]},
        }
    )
    logging.getLogger("app").info("answered", extra=REQUEST)
    logging.getLogger().handlers[-1].flush()
    assert len(disk.requests(root)) == 1
    assert [line["event_type"] for line in disk.events(root)] == ["formatter_unused"]


def test_an_ini_file_configures_handler_and_console(tmp_path: Path) -> None:
    ini = tmp_path / "logging.ini"
    ini.write_text(
        "[loggers]\nkeys=root\n[handlers]\nkeys=llm,console\n[formatters]\nkeys=plain,people\n"
        "[logger_root]\nlevel=INFO\nhandlers=llm,console\n"
        "[handler_llm]\nclass=llm_logging.LLMFileHandler\nformatter=plain\nlevel=NOTSET\nargs=()\n"
        f"kwargs={{'root': '{tmp_path}/logs', 'max_bytes': '1000000', 'content': 'off', 'sync': 'yes'}}\n"
        "[handler_console]\nclass=StreamHandler\nformatter=people\nargs=()\n"
        "[formatter_plain]\nformat=%(levelname)s %(message)s\n[formatter_people]\nclass=llm_logging.LLMConsoleFormatter\n"
    )
    logging.config.fileConfig(ini, disable_existing_loggers=False)
    logging.getLogger("app").info("answered", extra=REQUEST)
    assert [line["model"] for line in disk.requests(tmp_path / "logs")] == ["gpt-4o"]


@pytest.mark.parametrize("told", [True, {"patterns": ["credentials"]}])
def test_what_either_handler_or_formatter_is_told_to_take_out_goes(
    told: Any, root: Path, isolated: Isolated
) -> None:
    stream = io.StringIO()
    files = LLMFileHandler(root, redact=False)
    both = [files, LLMStreamHandler(stream, redact=False)]
    for handler in both:
        handler.setFormatter(LLMJsonFormatter(redact=told))
    isolated(*both).info(
        "key %s", SECRET, extra={"llm_request": {**ENTRY, "messages": [{"content": SECRET}]}}
    )
    files.close()
    assert SECRET not in stream.getvalue()
    assert SECRET not in json.dumps(disk.everything(root))


def test_what_handler_and_formatter_take_out_adds_up(root: Path, isolated: Isolated) -> None:
    handler = LLMFileHandler(root, redact={"keys": ["badge"]})
    handler.setFormatter(LLMJsonFormatter(redact={"keys": ["desk"]}))
    isolated(handler).info("x", extra={"badge": "b-77", "desk": "d-12", "room": "r-9"})
    handler.close()
    data = disk.events(root)[0]["data"]
    assert (data["badge"], data["desk"], data["room"]) == ("[redacted:key]", "[redacted:key]", "r-9")


def test_a_formatter_that_is_told_nothing_leaves_it_to_the_handler(root: Path, isolated: Isolated) -> None:
    handler = LLMFileHandler(root, redact=False)
    handler.setFormatter(LLMJsonFormatter(static_fields={"service": "shop"}))
    isolated(handler).info(SECRET)
    handler.close()
    assert disk.events(root)[0]["message"] == SECRET


# -- who makes a record ------------------------------------------------------------------------------------------------


class Brace(logging.LogRecord):
    def getMessage(self) -> str:
        return str(self.msg).format(*self.args) if self.args else str(self.msg)


class Failing(logging.LogRecord):
    def getMessage(self) -> str:
        raise RuntimeError("translation is not loaded")


class Lazy(logging.LogRecord):
    def getMessage(self) -> Any:
        return 17


def every_handler(root: Path) -> tuple[list[logging.Handler], Callable[[], list[str]]]:
    files, capture, out, text = LLMFileHandler(root), CaptureHandler(), io.StringIO(), io.StringIO()
    people = logging.StreamHandler(text)
    people.setFormatter(LLMConsoleFormatter(colour=False))

    def messages() -> list[str]:
        files.flush()
        return [
            disk.events(root)[-1]["message"],
            capture.logs.lines[-1]["message"],
            json.loads(out.getvalue().splitlines()[-1])["message"],
            text.getvalue().splitlines()[-1].split("  ")[-1],
        ]

    return [files, capture, LLMStreamHandler(out), people], messages


@pytest.mark.parametrize(
    ("kind", "expected"), [(Brace, "hello bob"), (Lazy, "17"), (Failing, "'hello {}' ('bob',)")]
)
def test_the_message_is_what_the_records_own_class_makes_of_it(
    kind: type, expected: str, root: Path, isolated: Isolated
) -> None:
    handlers, messages = every_handler(root)
    logging.setLogRecordFactory(kind)
    isolated(*handlers).info("hello {}", "bob")
    assert messages() == [expected] * 4


# `logging` itself reads `levelno` between handlers.
STANDARD = sorted({*logging.LogRecord("", 0, "", 0, "", (), None).__dict__} - {"levelno"})


@pytest.mark.parametrize("name", STANDARD)
def test_a_filter_that_deletes_a_standard_attribute_costs_nothing_else(
    name: str, root: Path, isolated: Isolated, capsys: pytest.CaptureFixture[str]
) -> None:
    def delete(record: logging.LogRecord) -> bool:
        record.__dict__.pop(name, None)
        return True

    handlers, _ = every_handler(root)
    log = isolated(*handlers)
    for handler in handlers:
        handler.addFilter(delete)
    log.info("answered", extra={**REQUEST, "tenant": "acme"})
    log.info("warm", extra={"hits": 3})
    for handler in handlers:
        handler.flush()
    (request,) = disk.requests(root)
    assert request["attributes"] == {"tenant": "acme"}
    (event,) = disk.events(root)
    assert event["data"] == {"hits": 3}
    assert [line["event_type"] for line in handlers[1].logs.lines] == ["llm_request", "log"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"levelname": "\x1b[32mINFO\x1b[0m    "}, {"level": "INFO"}),
        ({"levelname": None}, {"level": "INFO"}),
        ({"name": None}, {"logger": "root"}),
        ({"name": ["a"]}, {"logger": "root"}),
        ({"created": None}, {}),
        ({"created": float("nan")}, {}),
        ({"created": 1e30}, {}),
        ({"exc_info": "yes"}, {}),
        ({"args": {"a": 1}}, {}),
        ({"msg": None, "args": None}, {"message": "None"}),
    ],
)
def test_a_filter_that_changes_a_standard_attribute_does_not_cost_the_line(
    changes: dict[str, Any], expected: dict[str, Any], root: Path, isolated: Isolated
) -> None:
    def change(record: logging.LogRecord) -> bool:
        record.__dict__.update(changes)
        return True

    handlers, _ = every_handler(root)
    log = isolated(*handlers)
    for handler in handlers:
        handler.addFilter(change)
    log.info("answered", extra={**REQUEST, "tenant": "acme"})
    handlers[0].flush()
    (line,) = disk.requests(root)
    assert line["attributes"] == {"tenant": "acme"}
    assert {name: line[name] for name in expected} == expected
    assert line["timestamp"].endswith("Z")
    assert len(handlers[1].logs.requests) == 1


@pytest.mark.parametrize(
    "change", [lambda values: values.pop("levelno"), lambda values: values.update(levelno="20")]
)
def test_a_level_that_a_handlers_filter_takes_away_does_not_cost_the_line(
    change: Callable[[Any], Any], root: Path, isolated: Isolated
) -> None:
    handler = LLMFileHandler(root)
    handler.addFilter(lambda record: change(record.__dict__) or True)
    isolated(handler).info("answered", extra={**REQUEST, "tenant": "acme"})
    handler.close()
    (line,) = disk.requests(root)
    assert (line["attributes"], line["level"]) == ({"tenant": "acme"}, "INFO")


# -- records that are copied -------------------------------------------------------------------------------------------


def totals() -> int:
    return get_cached_stats().total_requests


@pytest.mark.parametrize("copies", ["queue", "copy", "deepcopy", "makeLogRecord", "memory"])
def test_a_request_counts_once_however_its_record_travels(
    copies: str, root: Path, isolated: Isolated
) -> None:
    reset_cached_stats()
    files, stream = LLMFileHandler(root), LLMStreamHandler(io.StringIO())
    waiting: queue.Queue[Any] = queue.Queue()
    listener = logging.handlers.QueueListener(waiting, stream)
    listener.start()

    class Copying(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            made = {
                "copy": copy.copy,
                "deepcopy": copy.deepcopy,
                "makeLogRecord": lambda given: logging.makeLogRecord(given.__dict__),
            }[copies](record)
            stream.handle(made)

    others = {
        "queue": lambda: logging.handlers.QueueHandler(waiting),
        "memory": lambda: logging.handlers.MemoryHandler(2, target=stream),
    }
    log = isolated(files, others.get(copies, Copying)())
    for number in range(6):
        log.info("answered", extra=REQUEST)
        LLMLoggerAdapter(log, IDENTITY).info("answered", extra={"llm_request": {"model": f"m-{number}"}})
        with LLMLoggerAdapter(log, IDENTITY).request(model="m", pending=False):
            pass
    listener.stop()
    files.flush()
    assert len({line["id"] for line in disk.requests(root)}) == 18
    # A request without evidence of an end is pending, so six of them are not finished.
    assert totals() == 12


def test_different_requests_have_different_ids_when_time_stands_still(
    root: Path, isolated: Isolated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: 1_700_000_000.0)
    if hasattr(__import__("time"), "time_ns"):
        monkeypatch.setattr("time.time_ns", lambda: 1_700_000_000_000_000_000)
    handler = LLMFileHandler(root)
    log = isolated(handler)
    for _ in range(5000):
        log.info("answered", extra=REQUEST)
    handler.close()
    assert len({line["id"] for line in disk.requests(root)}) == 5000


def test_a_record_that_a_socket_brought_is_a_request(root: Path, isolated: Isolated) -> None:
    sender = logging.handlers.SocketHandler("localhost", 1)
    record = logging.LogRecord("app", 20, "f.py", 1, "answered %s", ("x",), None)
    record.__dict__.update(REQUEST)
    arrived = logging.makeLogRecord(pickle.loads(sender.makePickle(record)[4:]))
    handler = LLMFileHandler(root)
    handler.handle(arrived)
    handler.close()
    assert [(line["message"], line["model"]) for line in disk.requests(root)] == [("answered x", "gpt-4o")]


# -- adapters around adapters ------------------------------------------------------------------------------------------


class Prefixing(logging.LoggerAdapter[Any]):
    def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
        return f"[{self.extra['tenant']}] {msg}", {
            **kwargs,
            "extra": {**self.extra, **kwargs.get("extra", {})},
        }


def test_an_adapter_around_any_adapter_binds_what_all_of_them_bind(root: Path, isolated: Isolated) -> None:
    handler = LLMFileHandler(root)
    logger = isolated(handler)
    plain = logging.LoggerAdapter(logger, {"project_id": "shop", "region": "eu"})
    ours = LLMLoggerAdapter(Prefixing(plain, {"tenant": "acme", "chat_id": "outer"}), {"chat_id": "c-17"})
    again = LLMLoggerAdapter(ours.bind(shift="night"), {"user_id": "u-1"})
    again.info("warm", extra={"hits": 3})
    with again.request(model="m", pending=False):
        pass
    again.log_llm_request({"model": "n", "usage": {"prompt_tokens": 1, "completion_tokens": 1}})
    logging.LoggerAdapter(again, {"hits": 4}).info("warm")
    handler.close()
    first, second = disk.events(root)
    assert (first["message"], first["project_id"], first["chat_id"], first["user_id"]) == (
        "[acme] warm",
        "shop",
        "c-17",
        "u-1",
    )
    assert first["data"] == {"region": "eu", "tenant": "acme", "shift": "night", "hits": 3}
    assert second["data"]["hits"] == 4
    for line in disk.requests(root):
        assert (line["project_id"], line["chat_id"], line["user_id"]) == ("shop", "c-17", "u-1")
        assert line["attributes"] == {"region": "eu", "tenant": "acme", "shift": "night"}


@pytest.mark.skipif(sys.version_info < (3, 13), reason="merge_extra came with 3.13")
def test_an_adapter_that_merges_extras_keeps_both(root: Path, isolated: Isolated) -> None:
    handler = LLMFileHandler(root)
    inner = LLMLoggerAdapter(isolated(handler), IDENTITY)
    logging.LoggerAdapter(inner, {"region": "eu"}, merge_extra=True).info("warm", extra={"hits": 3})
    outer = LLMLoggerAdapter(
        logging.LoggerAdapter(inner.logger, {"region": "eu"}, merge_extra=True), IDENTITY
    )
    outer.info("warm", extra={"hits": 3})
    handler.close()
    assert [line["data"] for line in disk.events(root)] == [{"region": "eu", "hits": 3}] * 2


@pytest.mark.parametrize("wrong", [None, "app", 3, object()])
def test_what_is_no_logger_is_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError, match=r"expected a logging\.Logger"):
        LLMLoggerAdapter(wrong)


# -- options as configuration files give them --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "attribute", "expected"),
    [
        ({"content": False}, "wants_content", False),
        ({"content": "Off"}, "wants_content", False),
        ({"content": True}, "wants_content", True),
        ({"content": "on"}, "wants_content", True),
        ({"sync": "yes"}, "sync", True),
        ({"sync": "no"}, "sync", False),
        ({"redact": "off"}, "redactor", None),
        ({"redact": "no"}, "redactor", None),
    ],
)
def test_on_and_off_in_any_spelling(
    options: dict[str, Any], attribute: str, expected: Any, root: Path
) -> None:
    handler = LLMFileHandler(root, **options)
    assert getattr(handler, attribute) is expected
    handler.close()


@pytest.mark.parametrize(
    "options",
    [
        {"spool": False},
        {"spool": "OFF"},
        {"spool": "no"},
        {"fsync": False},
        {"fsync": "on"},
        {"compress": "off"},
        {"compress": False},
        {"compress": "yes"},
        {"rotate_interval": False},
        {"rotate_interval": "off"},
        {"pseudonyms": False},
        {"owner": False},
        {"utc": "false"},
        {"max_bytes": "1000000", "backup_count": "7", "max_age_days": "30.5"},
        {"flush_interval": "0.1", "max_open_files": "8", "max_content_chars": "100"},
    ],
)
def test_values_of_yaml_ini_and_environment_are_taken(
    options: dict[str, Any], root: Path, isolated: Isolated
) -> None:
    handler = LLMFileHandler(root, **options)
    isolated(handler).info("answered", extra=REQUEST)
    handler.close()
    assert len(disk.requests(root)) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"overflow": False},
        {"spool": 3},
        {"content": 0.5},
        {"max_bytes": "10 big"},
        {"max_bytes": "-1"},
        {"max_bytes": float("inf")},
        {"sync": "perhaps"},
        {"on_rotate": "print"},
        {"root": 5},
        {"filename": ["a"]},
        {"rotate_interval": True},
        {"defaults": "shop"},
    ],
)
def test_other_values_are_refused_with_what_was_expected(options: dict[str, Any], tmp_path: Path) -> None:
    name = next(iter(options))
    with pytest.raises(ConfigurationError, match=f"{name}: expected"):
        LLMFileHandler(**({"root": tmp_path} | options if name != "filename" else options))


# -- the console ---------------------------------------------------------------------------------------------------------


def test_the_console_knows_the_defaults_of_the_handlers_beside_it(root: Path, isolated: Isolated) -> None:
    out = io.StringIO()
    console = logging.StreamHandler(out)
    console.setFormatter(LLMConsoleFormatter(colour=False))
    waiting: queue.Queue[Any] = queue.Queue()
    files = LLMFileHandler(root, defaults=IDENTITY)
    logger = isolated(console, files)
    logger.info("answered", extra={"llm_request": {"model": "gpt-4o", "usage": ENTRY["usage"]}})
    assert waiting.empty()
    assert "shop/c-17" in out.getvalue()
    assert "invalid_entry" not in out.getvalue()


@pytest.mark.parametrize(("level", "lines"), [("INFO", 3), ("WARNING", 1), ("DEBUG", 3)])
def test_the_console_has_one_line_a_request_and_keeps_its_level(
    level: str, lines: int, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logging.config.dictConfig(presets.development(root=root, level=level, colour=False))
    log = LLMLoggerAdapter(logging.getLogger("app"), IDENTITY)
    with log.request(model="gpt-4o") as call:
        call.finish(usage={"prompt_tokens": 1, "completion_tokens": 1})
    with pytest.raises(KeyError), log.request(model="gpt-4o"):
        raise KeyError
    started = log.log_llm_request_start(ENTRY)
    log.log_llm_request_complete(started.id)
    err = capsys.readouterr().err
    assert err.count("gpt-4o ") == 2 * lines, err
    assert "pending" not in err
    assert len(disk.requests(root)) == 6
