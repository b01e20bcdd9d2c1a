"""Presets in the hands of real servers, and merged into the settings of frameworks."""

from __future__ import annotations

import json
import logging
import logging.config
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from llm_logging import presets
from tests import disk
from tests.programs import free_port, server

APP = """
import logging, os
import llm_logging

log = llm_logging.get_logger("app")

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    chat = scope["path"].strip("/") or "none"
    async with log.request(model="gpt-4o", project_id="shop", chat_id=chat) as call:
        call.finish(usage={"prompt_tokens": 10, "completion_tokens": 5})
    logging.getLogger("app").info("plain", extra={"pid": os.getpid()})
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})

def wsgi(environ, start_response):
    chat = environ["PATH_INFO"].strip("/") or "none"
    with log.request(model="gpt-4o", project_id="shop", chat_id=chat) as call:
        call.finish(usage={"prompt_tokens": 10, "completion_tokens": 5})
    start_response("200 OK", [])
    return [b"ok"]
"""


def ask(port: int, count: int) -> None:
    for n in range(count):
        # A connection of its own each, so that every worker gets some.
        assert httpx.get(f"http://127.0.0.1:{port}/c-{n}", trust_env=False).text == "ok"


def finals(root: Path) -> list[dict[str, Any]]:
    return [line for line in disk.requests(root) if line["status"] != "pending"]


def test_uvicorn_takes_a_preset_as_its_log_config(tmp_path: Path) -> None:
    (tmp_path / "served.py").write_text(APP)
    root, port = tmp_path / "logs", free_port()
    config = tmp_path / "logging.json"
    config.write_text(json.dumps(presets.production(root=root)))
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "served:app",
        "--port",
        str(port),
        "--log-config",
        str(config),
    ]
    with server(command, port, cwd=tmp_path):
        ask(port, 20)
    assert sorted(line["chat_id"] for line in finals(root)) == sorted(f"c-{n}" for n in range(20))
    loggers = {line["logger"] for line in disk.events(root)}
    assert {"app", "uvicorn.access", "uvicorn.error"} <= loggers


@pytest.mark.skipif(sys.platform == "win32", reason="gunicorn needs fork")
def test_gunicorn_takes_a_preset_for_its_workers(tmp_path: Path) -> None:
    (tmp_path / "served.py").write_text(APP)
    root, port = tmp_path / "logs", free_port()
    (tmp_path / "gunicorn.conf.py").write_text(
        "import llm_logging\n"
        f"logconfig_dict = llm_logging.presets.production(root={str(root)!r})\n"
        "logconfig_dict['loggers'] = {'gunicorn.error': {'level': 'INFO', 'propagate': True}}\n"
        "workers = 2\npreload_app = True\n"
        f"bind = '127.0.0.1:{port}'\n"
    )
    with server(
        [sys.executable, "-m", "gunicorn", "served:wsgi", "-c", "gunicorn.conf.py"], port, cwd=tmp_path
    ):
        ask(port, 30)
    lines = finals(root)
    assert sorted(line["chat_id"] for line in lines) == sorted(f"c-{n}" for n in range(30))
    numbers: dict[str, list[int]] = {}
    for line in disk.requests(root):
        numbers.setdefault(line["writer"]["id"], []).append(line["writer"]["seq"])
    assert all(seen == list(range(1, len(seen) + 1)) for seen in numbers.values())
    assert any(line["logger"].startswith("gunicorn") for line in disk.events(root))


def test_a_preset_merges_into_djangos_settings(tmp_path: Path) -> None:
    # The shape of django.utils.log.DEFAULT_LOGGING, and what a project puts into LOGGING.
    settings: dict[str, Any] = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"django.server": {"format": "[{asctime}] {message}", "style": "{"}},
        "handlers": {"django.server": {"class": "logging.StreamHandler", "formatter": "django.server"}},
        "loggers": {"django_like": {"handlers": ["django.server"], "level": "INFO", "propagate": True}},
    }
    preset = presets.development(root=tmp_path / "logs", level="WARNING")
    for part in ("formatters", "handlers"):
        settings[part].update(preset[part])
    settings["root"] = preset["root"]
    logging.config.dictConfig(json.loads(json.dumps(settings)))
    logging.getLogger("django_like").info("served")
    logging.getLogger("elsewhere").info("chatter")
    for handler in logging.getLogger().handlers:
        handler.flush()
    assert [line["message"] for line in disk.events(tmp_path / "logs")] == ["served"]
    logging.getLogger("django_like").handlers.clear()
