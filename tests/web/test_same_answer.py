"""One way to an answer: Python, command line, HTTP API, report and live view give the same figures, byte for byte."""

from __future__ import annotations

import json
import re

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("vl_convert")
from starlette.testclient import TestClient

from llm_logging import get_stats
from llm_logging.cli import app as cli
from llm_logging.models.query import StatsOptions, StatsScope
from llm_logging.presentation.escaping import answer_json
from llm_logging.reader.price_report import get_prices
from llm_logging.reader.reports.error_report import get_errors
from llm_logging.web import asgi_app, view_app
from llm_logging.web.report.page import report_bytes

PERIOD = {"since": "2026-01-10", "until": "2026-01-11"}
QUESTIONS = [
    ({}, {}),
    (PERIOD, {"from_date": "2026-01-10", "to_date": "2026-01-11"}),
    ({"by": "day,model"}, {"group_by": "day,model"}),
    (
        {"by": "weekday,hour_of_day", "tz": "Asia/Tokyo"},
        {"group_by": "weekday,hour_of_day", "time_zone": "Asia/Tokyo"},
    ),
    ({"where": "status=error"}, {"where": "status=error"}),
    ({"where": "cost>0.003", "by": "model"}, {"where": "cost>0.003", "group_by": "model"}),
    ({"as_if": "gpt-4o=gpt-4o-mini"}, {"as_if": "gpt-4o=gpt-4o-mini"}),
    ({"prices_as_of": "2025-06-01"}, {"prices_as_of": "2025-06-01"}),
]


def data_of(page: str) -> str:
    """Return the JSON that a page carries, without the escapes that let it stand in a page."""
    (text,) = re.findall(r'<script type="application/json" id="stats">(.*?)</script>', page, re.DOTALL)
    return json.dumps(json.loads(text))


@pytest.mark.parametrize(
    ("parameters", "options"), QUESTIONS, ids=lambda value: "&".join(value.values()) or "all"
)
def test_python_command_line_and_api_give_the_same_bytes(parameters, options, logged, capsys):
    stats = get_stats(None, StatsOptions(**options), root=logged)
    arguments = [
        part for name, value in parameters.items() for part in (f"--{name.replace('_', '-')}", value)
    ]
    capsys.readouterr()
    assert cli.run(["stats", "--root", str(logged), "--format", "json", *arguments]) == 0
    printed = capsys.readouterr().out
    with TestClient(asgi_app(logged, allow=lambda _request, _project: True)) as client:
        served = client.get("/stats", params=parameters)
    assert served.status_code == 200, served.text
    # A date that was typed is a day to the command line, and text to Python.
    assert printed == served.text
    assert printed == answer_json(stats)


def test_report_and_view_carry_the_same_figures(logged):
    options = StatsOptions(from_date="2026-01-10", to_date="2026-01-11")
    summary = json.loads(answer_json(get_stats(None, options, root=logged)))["summary"]
    page = report_bytes(None, options, root=logged).decode()
    client = TestClient(view_app(logged, token="t"), base_url="http://localhost")
    shown = client.get("/?token=t&since=2026-01-10&until=2026-01-11&by=model").text
    assert json.loads(data_of(page))["summary"] == summary
    assert json.loads(data_of(shown))["summary"] == summary
    of_models = json.loads(
        answer_json(get_stats(None, options.model_copy(update={"group_by": ("model",)}), root=logged))
    )
    assert json.loads(data_of(shown))["breakdown"] == of_models["breakdown"]


@pytest.mark.parametrize(
    ("path", "command", "ask"), [("/errors", "errors", get_errors), ("/prices", "prices", get_prices)]
)
def test_errors_and_prices_too(path, command, ask, logged, capsys):
    capsys.readouterr()
    assert cli.run([command, "--root", str(logged), "--project", "shop", "--format", "json"]) == 0
    printed = capsys.readouterr().out
    client = TestClient(asgi_app(logged, allow=lambda _request, _project: True))
    assert client.get(path, params={"project": "shop"}).text == printed
    assert answer_json(ask(StatsScope(type="project", project_id="shop"), root=logged)) == printed


def test_requests_of_the_api_are_the_lines_of_the_command_line(logged, capsys):
    capsys.readouterr()
    cli.run(["requests", "--root", str(logged), "--sort", "cost", "-n", "7", "--format", "json"])
    lines = capsys.readouterr().out.splitlines()
    client = TestClient(asgi_app(logged, allow=lambda _request, _project: True))
    text = client.get("/requests", params={"sort": "cost", "limit": 7}).text
    assert len(lines) == 7
    assert all(line in text for line in lines)
    assert [json.loads(line) for line in lines] == json.loads(text)["entries"]
