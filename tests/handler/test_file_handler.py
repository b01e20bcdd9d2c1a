"""The handler: whatever is logged is a line, whatever the disk does is said, and the application is unharmed."""

from __future__ import annotations

import errno
import logging
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_logging import ConfigurationError, FileSystemError, LLMFileHandler, LLMLoggerAdapter
from tests import disk, nasty

IDENTITY = {"project_id": "shop", "chat_id": "c-17"}
ENTRY = {**IDENTITY, "model": "gpt-4o", "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
Isolated = Callable[..., logging.Logger]
pytestmark = pytest.mark.filterwarnings("error")


def logged(
    root: Path, isolated: Isolated, *calls: Callable[[logging.Logger], object]
) -> list[dict[str, Any]]:
    handler = LLMFileHandler(root)
    logger = isolated(handler)
    for call in calls:
        call(logger)
    handler.close()
    return disk.everything(root)


class TestAnyRecord:
    @pytest.mark.parametrize(
        ("extra", "reasons"),
        [
            ({"llm_request": {"model": "m"}}, ["project_id", "chat_id"]),
            ({"event_type": "llm_request", **IDENTITY}, ["model"]),
            ({"llm_request": {**ENTRY, "project_id": ""}}, ["project_id"]),
            ({"llm_request": {**ENTRY, "chat_id": {"a": 1}}}, ["chat_id"]),
            ({"chat_message": {**IDENTITY, "content": "x"}}, ["role"]),
        ],
    )
    def test_without_identity_it_is_an_event_with_reasons_and_data(
        self, root: Path, isolated: Isolated, extra: dict[str, Any], reasons: list[str]
    ) -> None:
        (line,) = logged(root, isolated, lambda log: log.info("x", extra=extra))
        assert line["event_type"] == "invalid_entry"
        assert [reason.split(":")[0] for reason in line["data"]["reasons"]] == reasons
        assert line["data"]["entry"]

    @pytest.mark.parametrize("content", ["off", "hash", "full"])
    def test_the_text_of_a_message_without_identity_is_kept_only_where_content_is(
        self, root: Path, isolated: Isolated, content: Any
    ) -> None:
        handler = LLMFileHandler(root, content=content)
        isolated(handler).info("x", extra={"chat_message": {"role": "user", "content": "my diary"}})
        handler.close()
        (line,) = disk.events(root)
        assert line["data"]["entry"]["role"] == "user"
        assert ("my diary" in str(line)) == (content == "full")

    @pytest.mark.parametrize(
        ("message", "arguments"),
        [
            ("%d files", ("many",)),
            ("%s %s", ("one",)),
            ("100%", ("x",)),
            ("%(a)s", ({"b": 1},)),
            ("plain", (1, 2)),
        ],
    )
    def test_arguments_that_do_not_fit_are_kept_beside_the_message(
        self, root: Path, isolated: Isolated, message: str, arguments: tuple[Any, ...], capsys: Any
    ) -> None:
        (line,) = logged(root, isolated, lambda log: log.info(message, *arguments))
        assert message in line["message"]
        assert all(str(part).strip("{}()") in line["message"] for part in arguments)
        assert capsys.readouterr().err == ""

    @pytest.mark.parametrize(
        "message", [nasty.Broken(), None, 5, ["a"], b"x", ValueError("v"), nasty.BadError()]
    )
    def test_a_message_may_be_any_object(self, root: Path, isolated: Isolated, message: Any) -> None:
        (line,) = logged(root, isolated, lambda log: log.info(message))
        assert isinstance(line["message"], str)

    def test_a_mapping_as_message_is_data_as_python_json_logger_has_it(
        self, root: Path, isolated: Isolated
    ) -> None:
        (line,) = logged(
            root, isolated, lambda log: log.info({"event_type": "warmed", "hits": 3}, extra={"n": 1})
        )
        assert line["data"]["hits"] == 3
        assert line["data"]["n"] == 1

    def test_exceptions_have_type_and_stack_also_where_they_cannot_be_printed(
        self, root: Path, isolated: Isolated
    ) -> None:
        def fail(error: Exception) -> Callable[[logging.Logger], None]:
            def call(log: logging.Logger) -> None:
                try:
                    raise error
                except Exception:
                    log.exception("failed")

            return call

        lines = logged(root, isolated, fail(KeyError("k")), fail(nasty.BadError()))
        assert [line["error_type"] for line in lines] == ["KeyError", "BadError"]
        assert all("Traceback" in line["stack"] or "BadError" in line["stack"] for line in lines)
        assert {line["event_type"] for line in lines} == {"error"}

    def test_exception_information_makes_a_request_an_error(self, root: Path, isolated: Isolated) -> None:
        def call(log: logging.Logger) -> None:
            try:
                raise ValueError("bad")
            except ValueError:
                log.exception("failed", extra={"llm_request": {**ENTRY}})

        (line,) = logged(root, isolated, call)
        assert (line["status"], line["error"]["type"]) == ("error", "ValueError")
        assert line["usage"]["total_tokens"] == 3

    @settings(max_examples=40)
    @given(st.dictionaries(st.text(min_size=1, max_size=6), nasty.values, max_size=4))
    def test_extras_of_any_library_are_the_events_data(self, extra: dict[str, Any]) -> None:
        owned = {*logging.makeLogRecord({}).__dict__, "message", "asctime", "llm_request", "chat_message"}
        extra = {key: value for key, value in extra.items() if key not in owned}
        sink: list[dict[str, Any]] = []

        class Keeping(LLMFileHandler):
            def emit(self, record: logging.LogRecord) -> None:
                sink.append(dict(record.__dict__))
                super().emit(record)

        with nasty.folder() as root:
            handler = Keeping(root)
            record = logging.makeLogRecord(
                {"msg": "m", "levelno": 20, "levelname": "INFO", "name": "lib", **extra}
            )
            before = dict(record.__dict__)
            handler.handle(record)
            handler.close()
            assert all(record.__dict__[key] is before[key] for key in before)
            (line,) = disk.everything(root)
        assert line["message"] == "m"
        assert line["event_type"]
        known = {
            "event_type",
            "project_id",
            "chat_id",
            "user_id",
            "error_code",
            "error_type",
            "stack",
            "context",
        }
        wanted = (
            {key for key, value in extra.items() if value is not None}
            - known
            - {"data", "trace_id", "span_id"}
        )
        assert len(wanted) <= len(line.get("data", {}))

    def test_ids_that_are_numbers_are_text_in_every_kind_of_line(
        self, root: Path, isolated: Isolated
    ) -> None:
        lines = logged(
            root,
            isolated,
            lambda log: log.info("x", extra={"project_id": 7, "chat_id": 8, "user_id": 9}),
            lambda log: log.info(
                "x", extra={"llm_request": {**ENTRY, "project_id": 7, "chat_id": 8, "user_id": 9}}
            ),
        )
        for line in lines:
            assert (line["project_id"], line["chat_id"], line["user_id"]) == ("7", "8", "9")
        assert (root / "projects" / "7").is_dir()

    def test_half_a_character_in_an_id_leads_to_the_folder_of_the_id_that_is_written(
        self, root: Path, isolated: Isolated
    ) -> None:
        (line,) = logged(
            root,
            isolated,
            lambda log: log.info("x", extra={"llm_request": {**ENTRY, "project_id": "a\ud800"}}),
        )
        assert line["project_id"] == "a\\ud800"
        again = logged(
            root,
            isolated,
            lambda log: log.info("x", extra={"llm_request": {**ENTRY, "project_id": line["project_id"]}}),
        )
        assert len(list((root / "projects").iterdir())) == 1
        assert len(again) == 2


class TestSize:
    def test_fifty_megabytes_in_an_extra_are_written_or_counted_and_nothing_else_is_lost(
        self, root: Path, isolated: Isolated
    ) -> None:
        handler = LLMFileHandler(root)
        logger = isolated(handler)
        logger.info("before", extra={"llm_request": ENTRY})
        logger.info("big", extra={"llm_request": {**ENTRY, "attributes": {"big": "x" * 50_000_000}}})
        logger.info("after", extra={"llm_request": ENTRY})
        handler.close()
        messages = [line["message"] for line in disk.requests(root)]
        assert ["before", "after"] == [message for message in messages if message != "big"]
        assert messages.count("big") + handler.stats()["dropped"] == 1

    def test_what_is_nested_ten_thousand_deep_is_cut(self, root: Path, isolated: Isolated) -> None:
        lines = logged(
            root,
            isolated,
            lambda log: log.info("x", extra={"llm_request": {**ENTRY, "deep": nasty.nested(10_000)}}),
            lambda log: log.info("x", extra={"deep": nasty.nested(10_000)}),
            lambda log: log.info("x", extra={"llm_request": {**ENTRY, "messages": [nasty.nested(10_000)]}}),
        )
        assert len(lines) == 4

    def test_a_recursion_limit_that_is_nearly_reached_costs_no_line(
        self, root: Path, isolated: Isolated
    ) -> None:
        def call(log: logging.Logger) -> None:
            def down(depth: int) -> None:
                if depth:
                    down(depth - 1)
                else:
                    log.info("deep", extra={"llm_request": {**ENTRY, "x": nasty.nested(60)}})

            down(sys.getrecursionlimit() - 250)

        assert [line["message"] for line in logged(root, isolated, call)] == ["deep"]


class TestDisk:
    def test_a_missing_folder_is_made_private(self, root: Path, isolated: Isolated) -> None:
        logged(root / "a" / "b", isolated, lambda log: log.info("x", extra={"llm_request": ENTRY}))
        path = root / "a" / "b" / "projects" / "shop" / "logs" / "llm_requests.jsonl"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700

    def test_a_folder_that_vanishes_is_made_again(self, root: Path, isolated: Isolated) -> None:
        handler = LLMFileHandler(root)
        logger = isolated(handler)
        logger.info("first")
        handler.flush()
        for path in sorted(root.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        logger.info("second")
        handler.close()
        lines = disk.events(root)
        assert lines[0]["message"] == "second"
        assert "was moved or deleted by another program" in lines[1]["message"]

    def test_a_folder_that_cannot_be_keeps_lines_until_it_can(
        self, root: Path, isolated: Isolated, capsys: pytest.CaptureFixture[str]
    ) -> None:
        root.write_text("a file where the folder should be")
        handler = LLMFileHandler(root, flush_timeout=0.3)
        log = LLMLoggerAdapter(isolated(handler), IDENTITY)
        log.info("kept")
        with pytest.raises(FileSystemError) as caught:
            log.log_llm_request(ENTRY)
        assert caught.value.errno in {errno.ENOTDIR, errno.EEXIST}
        root.unlink()
        assert log.log_llm_request(ENTRY).logged
        handler.close()
        assert "kept" in [line["message"] for line in disk.events(root)]
        assert len(disk.requests(root)) == 1
        assert "cannot be written" in capsys.readouterr().err

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
    def test_a_full_disk_raises_for_who_waits_and_harms_nobody_else(self, tmp_path: Path) -> None:
        # A limit on the size of files stands in for a full disk: EFBIG as ENOSPC fails in the middle of a line.
        code = (
            "import logging, resource, signal, sys, llm_logging\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            f"handler = llm_logging.LLMFileHandler({str(tmp_path / 'logs')!r}, spool='off', flush_timeout=1)\n"
            "logger = logging.getLogger('app'); logger.addHandler(handler); logger.setLevel(20)\n"
            "log = llm_logging.LLMLoggerAdapter(logger, {'project_id': 'p', 'chat_id': 'c', 'model': 'm'})\n"
            "ids = [log.log_llm_request({'status': 'success'}).id for _ in range(5)]\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))\n"
            "refused = 0\n"
            "for _ in range(4):\n"
            "    try: ids.append(log.log_llm_request({'status': 'success'}).id)\n"
            "    except llm_logging.FileSystemError: refused += 1\n"
            "    log.info('the application goes on')\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
            "ids.append(log.log_llm_request({'status': 'success'}).id)\n"
            "logging.shutdown()\n"
            "print(refused); print(*ids)\n"
        )
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env=environment,
            timeout=120,
            check=True,
        )
        refused, ids = done.stdout.split("\n")[:2]
        assert int(refused) > 0
        # Every id that was promised is there once, every line is whole.
        found = [line["id"] for line in disk.requests(tmp_path / "logs")]
        assert [request for request in found if request in ids.split()] == ids.split()
        events = [
            line for line in disk.events(tmp_path / "logs") if line["message"] == "the application goes on"
        ]
        assert len(events) == 4

    def test_the_user_is_told_of_what_no_line_can_hold(
        self, handler: LLMFileHandler, isolated: Isolated, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told: list[logging.LogRecord] = []
        monkeypatch.setattr(handler, "handleError", told.append)
        monkeypatch.setattr(handler, "_take", lambda record, ack: 1 / 0)
        log = LLMLoggerAdapter(isolated(handler), IDENTITY)
        log.info("x")
        with pytest.raises(FileSystemError, match="division by zero"):
            log.log_llm_request(ENTRY)
        assert len(told) == 2


class TestLogging:
    def test_levels_and_filters_are_loggings_for_events(self, root: Path, isolated: Isolated) -> None:
        handler = LLMFileHandler(root, level="WARNING")
        logger = isolated(handler)
        handler.addFilter(lambda record: "secret" not in record.getMessage())
        logger.info("low")
        logger.warning("high")
        logger.warning("secret")
        logging.disable(logging.WARNING)
        logger.warning("disabled")
        handler.close()
        assert [line["message"] for line in disk.events(root)] == ["high"]

    def test_a_filter_may_put_another_record_in_the_place(self, root: Path, isolated: Isolated) -> None:
        handler = LLMFileHandler(root)

        def other(record: logging.LogRecord) -> Any:
            return logging.makeLogRecord({**record.__dict__, "msg": "changed"})

        handler.addFilter(other)
        isolated(handler).info("said")
        handler.close()
        assert disk.events(root)[0]["message"] == ("changed" if sys.version_info >= (3, 12) else "said")

    def test_records_of_a_factory_of_the_users_are_lines_too(self, root: Path, isolated: Isolated) -> None:
        class Record(logging.LogRecord):
            def getMessage(self) -> str:
                return f"[{super().getMessage()}]"

        logging.setLogRecordFactory(Record)
        lines = logged(root, isolated, lambda log: log.info("hi %s", "you", extra={"llm_request": ENTRY}))
        assert "hi you" in lines[0]["message"]

    def test_threads_lose_nothing(self, root: Path, isolated: Isolated) -> None:
        handler = LLMFileHandler(root)
        logger = isolated(handler)

        def work(k: int) -> None:
            for n in range(200):
                logger.info("x", extra={"llm_request": {**ENTRY, "project_id": f"p-{k % 3}", "n": n}})

        threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        handler.close()
        lines = disk.requests(root)
        assert len(lines) == len({line["id"] for line in lines}) == 1200

    @pytest.mark.parametrize(
        "options",
        [
            {"content": "some"},
            {"max_bytes": -1},
            {"max_bytes": True},
            {"backup_count": "three"},
            {"file_mode": "rw"},
            {"spool": "disk"},
            {"overflow": "block"},
            {"root": "a", "filename": "b"},
            {"max_open_files": 0},
            {"buffer_bytes": 10},
            {"rotate_interval": "often"},
            {"compress": "bz2"},
            {"owner": "nobody"},
        ],
    )
    def test_a_wrong_option_says_what_was_expected_and_what_came(self, options: dict[str, Any]) -> None:
        with pytest.raises(ConfigurationError, match="expected .*got"):
            LLMFileHandler(**options)
        # What was refused is nothing that logging would close at exit.
        logging.shutdown([])

    def test_filename_puts_everything_into_one_file_or_into_one_an_id(
        self, tmp_path: Path, isolated: Isolated
    ) -> None:
        one = LLMFileHandler(filename=tmp_path / "all.jsonl")
        each = LLMFileHandler(filename=tmp_path / "{project_id}" / "{chat_id}.jsonl")
        logger = isolated(one, each)
        for n in range(3):
            logger.info("x", extra={"llm_request": {**ENTRY, "chat_id": f"../c-{n}"}})
        logger.info("event")
        one.close()
        each.close()
        assert len(disk.objects(tmp_path / "all.jsonl")) == 4
        names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.jsonl")} - {"all.jsonl"}
        assert names == {"none/none.jsonl", *(f"shop/%2e%2e%2fc-{n}.jsonl" for n in range(3))}

    def test_sync_has_every_record_in_its_file_at_once(self, root: Path, isolated: Isolated) -> None:
        logger = isolated(LLMFileHandler(root, sync=True))
        for n in range(5):
            logger.info("n %d", n)
            assert len(disk.events(root)) == n + 1

    def test_its_counts_say_what_was_invalid(self, root: Path, isolated: Isolated) -> None:
        handler = LLMFileHandler(root)
        logger = isolated(handler)
        logger.info("x", extra={"llm_request": {"model": "m"}})
        logger.info("x", extra={"llm_request": {**ENTRY, "status": "meh", "attempt": 0}})
        handler.flush()
        stats = handler.stats()
        assert (stats["invalid_entries"], stats["invalid_fields"], stats["accepted"]) == (1, 2, 2)


@pytest.mark.parametrize("odd", [7, ["a"], {"a": 1}, False])
def test_an_event_type_that_is_no_text_is_kept_as_data(
    filelog: LLMLoggerAdapter, root: Path, odd: Any
) -> None:
    filelog.info("x", extra={"event_type": odd, "n": 1})
    filelog.logger.handlers[0].flush()
    (line,) = disk.events(root)
    assert (line["event_type"], line["data"]) == ("log", {"event_type": odd, "n": 1})
