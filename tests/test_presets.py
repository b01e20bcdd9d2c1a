"""Presets: plain dicts that configure what they say."""

from __future__ import annotations

import json
import logging
import logging.config
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llm_logging import ConfigurationError, LLMFileHandler, get_logger, presets
from tests import disk
from tests.programs import environment

ENTRY = {"project_id": "shop", "chat_id": "c-17", "model": "gpt-4o"}


def make(name: str, **options: Any) -> dict[str, Any]:
    return getattr(presets, name)(**options)


@pytest.mark.parametrize("name", presets.NAMES)
class TestEvery:
    def test_it_survives_json_and_configures(self, name: str, tmp_path: Path) -> None:
        config = make(name, root=tmp_path / "logs", level="info")
        assert json.loads(json.dumps(config)) == config
        logging.config.dictConfig(config)
        assert logging.getLogger().level == logging.INFO

    def test_it_takes_root_and_level_in_every_spelling(self, name: str, tmp_path: Path) -> None:
        for level in ("WARNING", "warning", logging.WARNING):
            assert make(name, root=str(tmp_path), level=level)["root"]["level"] == "WARNING"
        for level in ("LOUD", 17, True, None):
            with pytest.raises(ConfigurationError, match="level: expected one of .*DEBUG"):
                make(name, level=level)

    def test_each_call_gives_a_dict_of_its_own(self, name: str) -> None:
        first, second = make(name), make(name)
        first["handlers"].clear()
        first["root"]["handlers"].append("x")
        assert second == make(name)

    def test_it_keeps_loggers_that_exist_and_configures_nothing_by_itself(self, name: str) -> None:
        before = list(logging.getLogger().handlers)
        assert make(name)["disable_existing_loggers"] is False
        assert logging.getLogger().handlers == before

    def test_a_wrong_option_is_told_when_it_is_configured(self, name: str, tmp_path: Path) -> None:
        config = make(name, root=tmp_path, no_such_option=1)
        with pytest.raises((ValueError, TypeError)) as caught:
            logging.config.dictConfig(config)
        assert "no_such_option" in str(caught.value.__cause__)


@pytest.mark.parametrize("name", ["development", "production"])
@pytest.mark.parametrize("root", [5, b"var/llm", True, ["var"], {"root": "var"}, object()])
def test_a_root_that_is_no_path_is_refused(name: str, root: Any) -> None:
    with pytest.raises(ConfigurationError, match="root: expected a path"):
        make(name, root=root)


def test_production_has_files_only_rotated_and_without_content(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = presets.production(root=tmp_path, max_bytes=1000, backup_count=3, defaults=ENTRY)
    logging.config.dictConfig(config)
    (handler,) = [one for one in logging.getLogger().handlers if isinstance(one, LLMFileHandler)]
    for n in range(40):
        logging.getLogger("app").info(
            "x", extra={"llm_request": {"n": n, "messages": [{"content": "private"}]}}
        )
    handler.close()
    assert capfd.readouterr() == ("", "")
    names = sorted(path.name for path in (tmp_path / "projects/shop/logs").iterdir())
    assert len([name for name in names if name.startswith("llm_requests.2")]) == 3
    assert not any("content" in name for name in names)


def test_container_writes_json_on_standard_output_and_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    logging.config.dictConfig(presets.container())
    get_logger("app").log_llm_request({**ENTRY, "status": "success"})
    logging.getLogger("lib").warning("event")
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["event_type"], second["message"]) == ("llm_request", "event")
    assert list(tmp_path.iterdir()) == []


def test_testing_is_quiet_and_keeps_entries(capsys: pytest.CaptureFixture[str]) -> None:
    logging.config.dictConfig(presets.testing(defaults={"chat_id": "c"}))
    assert get_logger("app").log_llm_request({"project_id": "p", "model": "m"}).logged
    (handler,) = [one for one in logging.getLogger().handlers if hasattr(one, "logs")]
    assert handler.logs.requests[0]["chat_id"] == "c"
    assert capsys.readouterr() == ("", "")


def test_the_root_comes_from_the_environment_else_it_is_llm_logs_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LLM_LOGGING_ROOT", raising=False)
    assert "root" not in presets.production()["handlers"]["llm_files"]
    assert LLMFileHandler().root == tmp_path / "llm_logs"
    monkeypatch.setenv("LLM_LOGGING_ROOT", str(tmp_path / "elsewhere"))
    assert LLMFileHandler().root == tmp_path / "elsewhere"


SPEAK = """
import logging, logging.config, sys, llm_logging
logging.config.dictConfig(llm_logging.presets.development(root=sys.argv[1], level="INFO"))
log = llm_logging.get_logger("app", project_id="shop", chat_id="c-17")
log.info("answered", extra={"llm_request": {"model": "gpt-4o", "timings": {"latency_ms": 812},
         "usage": {"prompt_tokens": 1000, "completion_tokens": 50}}})
log.warning("odd \\x1b[31m\\x07 name \\u202e", extra={"hits": 3})
log.log_llm_request({"model": "gpt-4o", "error": {"code": "rate_limited"}})
"""


def at_a_terminal(root: Path, **more: str) -> str:
    """What the program writes to a terminal as standard error."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", SPEAK, str(root)],
        stderr=theirs,
        stdout=subprocess.DEVNULL,
        env=environment(**more),
    )
    os.close(theirs)
    text = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:
            break
        if not part:
            break
        text += part
    os.close(ours)
    assert process.wait(30) == 0
    return text.decode()


class TestDevelopmentsConsole:
    def test_piped_it_is_plain_text_with_what_people_want_to_know(self, root: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-c", SPEAK, str(root)],
            capture_output=True,
            text=True,
            env=environment(),
            check=True,
        )
        assert done.stdout == ""
        first, second, third = done.stderr.splitlines()
        assert "\x1b" not in done.stderr
        assert "INFO    app  answered  gpt-4o 1,000+50 tokens 812 ms  shop/c-17" in first
        assert "WARNING app  odd \\u001b[31m\\u0007 name \\u202e  hits=3  shop/c-17" in second
        assert "ERROR   app  gpt-4o error  gpt-4o error rate_limited  shop/c-17" in third
        assert len(disk.everything(root)) == 3

    @pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
    def test_at_a_terminal_it_has_colour_and_no_control_character_of_others(self, root: Path) -> None:
        text = at_a_terminal(root, NO_COLOR="")
        assert "\x1b[33mWARNING\x1b[0m" in text
        assert "\x07" not in text
        assert "\u202e" not in text

    @pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
    def test_no_color_is_respected(self, root: Path) -> None:
        assert "\x1b" not in at_a_terminal(root, NO_COLOR="1")
