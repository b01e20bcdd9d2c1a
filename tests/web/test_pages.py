"""Report and live view: what they show, and that nothing of a log runs or breaks them."""

from __future__ import annotations

import asyncio
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("jinja2")
pytest.importorskip("vl_convert")
pytest.importorskip("starlette")
from starlette.testclient import TestClient

from llm_logging import ValidationError, write_report
from llm_logging.cli import app as cli
from llm_logging.reader.reports.overview import get_overview, time_unit
from llm_logging.reader.stats import get_stats
from llm_logging.web import view_app
from llm_logging.web.report.charts import CHARTS, draw_all, picture
from llm_logging.web.report.page import report_bytes
from tests.reader.builders import START, entry, put
from tests.web.builders import ATTACKS

PATHS = ["/", "/charts", "/requests", "/chats", "/search?text=run", "/?by=user", "/requests?sort=cost"]


class Page(HTMLParser):
    """The elements of a page, its links and what could run or load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]


def assert_inert(text: str) -> None:
    page = Page(text)
    for tag, name, value in page.attributes:
        assert not name.startswith("on"), (tag, name)
        assert name != "style"
        if name in {"src", "href", "action", "data-load"} and not (value or "").startswith("#"):
            assert re.match(r"/(?!/)|data:,$|$", value or ""), (tag, name, value)
    assert "<script>" not in text.replace('<script src="/view.js" defer>', "")
    assert "<img" not in text
    for hidden in ("\x1b", "\x07", "\u202e", "\u2066"):
        assert hidden not in text


@pytest.fixture
def view(logged):
    client = TestClient(view_app(logged, token="secret"), base_url="http://localhost:8123")
    client.get("/?token=secret")
    return client


def test_a_report_needs_nothing_from_elsewhere_and_nothing_in_it_runs(hostile):
    text = report_bytes(None, {"group_by": "model,user"}, root=hostile, content=True).decode()
    assert_inert(text)
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', text)
    assert len(text) < 3_000_000
    assert max(map(len, re.findall(r">([^<]*)<", text))) < 250_000
    # Names are there, as text.
    assert "&lt;script&gt;document.title" in text
    assert "{{7*7}}" in text


@pytest.mark.parametrize("path", PATHS)
def test_pages_of_the_view_are_inert_too(path, hostile):
    client = TestClient(view_app(hostile, token="t"), base_url="http://localhost")
    client.get("/?token=t")
    answer = client.get(path)
    assert answer.status_code == 200
    assert_inert(answer.text)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_hostile_requests_chats_trees_and_filters_are_inert(hostile):
    client = TestClient(view_app(hostile, token="t"), base_url="http://localhost")
    client.get("/?token=t")
    entries = get_stats(None, {"group_by": "project,chat"}, root=hostile).breakdown
    listed = client.get("/requests").text
    ids = re.findall(r"/request\?id=([0-9a-f-]{36})", listed)
    assert len(set(ids)) == 2 * len(ATTACKS)
    for request in sorted(set(ids))[:6]:
        assert_inert(client.get("/request", params={"id": request}).text)
        assert_inert(client.get("/tree", params={"id": request}).text)
    for row in entries[:4]:
        answer = client.get("/chat", params={"in": row.group["project"], "chat": row.group["chat"]})
        assert answer.status_code == 200
        assert_inert(answer.text)
    for text in ATTACKS.values():
        name = text[:1500]
        for parameters in (
            {"where": name},
            {"project": name},
            {"since": name},
            {"by": name},
            {"model": name},
        ):
            assert_inert(client.get("/", params=parameters).text)
        assert_inert(client.get("/search", params={"text": name[:100]}).text)


@pytest.mark.parametrize("name", list(CHARTS))
def test_charts_hold_hostile_names_as_data_only(name, hostile, logged):
    for root in (hostile, logged):
        chart = CHARTS[name](get_overview(root=root))
        spec = json.dumps({key: value for key, value in chart.spec.items() if key != "data"})
        assert chart.summary
        assert chart.title
        assert len(chart.head) == len(chart.rows[0] if chart.rows else chart.head)
        assert len(json.dumps(chart.spec)) < 200_000
        for key in re.findall(r'"(?:field|labelExpr|expr|transform)": "([^"]*)"', spec):
            assert "<" not in key
            assert "{{" not in key


@pytest.mark.parametrize(
    ("ending", "start"), [("svg", b"<svg"), ("png", b"\x89PNG"), ("md", b"# "), ("html", b"<!doctype")]
)
def test_a_report_comes_in_four_forms(ending, start, logged, tmp_path):
    path = write_report(tmp_path / f"june.{ending}", root=logged)
    data = path.read_bytes()
    assert data.lstrip().startswith(start)
    assert path.stat().st_mode & 0o777 == 0o600
    if ending == "svg":
        ET.fromstring(data)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_svg_of_hostile_names_is_well_formed_and_has_no_script(hostile):
    svg = report_bytes(None, None, format="svg", root=hostile)
    names = {element.tag.rpartition("}")[2] for element in ET.fromstring(svg).iter()}
    assert names <= {"svg", "g", "path", "text", "tspan", "rect", "line", "defs", "clipPath", "title"}


def test_a_format_that_is_none_is_refused(logged):
    with pytest.raises(ValidationError, match="format: expected one of html, svg, png, markdown"):
        report_bytes(None, None, format="pdf", root=logged)


def test_the_report_says_first_what_is_missing_and_compares_with_the_period_before(tmp_path):
    put(tmp_path, [entry(n, model="gpt-4o" if n % 3 else "mystery") for n in range(10)])
    put(tmp_path, [entry(n) for n in range(24 * 60, 24 * 60 + 5)])
    text = report_bytes(None, {"from_date": "2026-01-16", "to_date": "2026-01-16"}, root=tmp_path).decode()
    assert text.index("What these figures do not cover") < text.index('class="cards"')
    assert "on 10" in text
    assert "-50.0 %" in text


def test_command_line_writes_the_report(logged, tmp_path, capsys):
    out = tmp_path / "out.html"
    assert (
        cli.run(
            [
                "report",
                "--root",
                str(logged),
                "--by",
                "project,model",
                "--output",
                str(out),
                "--since",
                "2026-01",
            ]
        )
        == 0
    )
    text = out.read_text("utf-8")
    assert "By project, model" in text
    for title in ("Cost over time", "Requests and errors", "Latency", "Time to first token", "Tokens per request",
                  "Errors by code", "Prices used", "The slowest requests"):  # fmt: skip
        assert title in text
    assert "question" not in text
    with_text = tmp_path / "text.html"
    cli.run(["report", "--root", str(logged), "--content", "--output", str(with_text)])
    assert "question" in with_text.read_text("utf-8")


def test_a_report_of_nothing_is_a_report(tmp_path):
    put(tmp_path, [entry(0)])
    text = report_bytes(None, {"from_date": "2020", "to_date": "2020"}, root=tmp_path).decode()
    assert_inert(text)
    svg = report_bytes(None, {"from_date": "2020", "to_date": "2020"}, format="svg", root=tmp_path)
    assert svg.startswith(b"<svg")
    assert picture([], "none")["vconcat"] == []


def test_every_chart_has_its_numbers_as_a_table(logged):
    overview = get_overview(root=logged)
    charts = draw_all(overview)
    text = report_bytes(root=logged).decode()
    assert text.count("Numbers of this chart") == len(charts) >= 5
    total = sum(int(row[1]) + int(row[2]) for row in CHARTS["requests"](overview).rows)
    assert total == overview.stats.summary.total_requests == 30
    assert sum(number for _, _, number in overview.heat) == overview.stats.summary.latency_ms.n
    known = sum(cost for _, _, cost, _ in overview.costs)
    assert known == pytest.approx(float(overview.stats.summary.total_cost))


def test_units_of_time_follow_the_period():
    from datetime import timedelta

    spans = {2: "hour", 30: "day", 400: "week", 3000: "month"}
    assert {days: time_unit(START, START + timedelta(days=days)) for days in spans} == spans


def test_without_the_token_or_under_another_name_there_is_nothing(logged):
    client = TestClient(view_app(logged, token="secret"), base_url="http://localhost:8123")
    assert client.get("/").status_code == 403
    assert client.get("/?token=wrong").status_code == 403
    assert client.get("/", headers={"host": "evil.example"}).status_code == 421
    assert client.get("/?token=secret", headers={"host": "evil.example:8123"}).status_code == 421
    assert client.get("/?token=secret", headers={"host": "localhost.evil.example"}).status_code == 421
    assert client.post("/?token=secret").status_code == 405
    entered = client.get("/?token=secret&by=day", follow_redirects=False)
    assert (entered.status_code, entered.headers["location"]) == (303, "/?by=day")
    cookie = entered.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert client.get("/").status_code == 200
    for host in ("127.0.0.1:8123", "[::1]:8123"):
        there = TestClient(view_app(logged, token="secret"), base_url=f"http://{host}")
        assert there.get("/?token=secret").status_code == 200


def test_pages_show_what_was_asked_and_link_on(view):
    home = view.get("/?since=2026-01&by=project&model=gpt-4o").text
    assert ">shop<" in home
    assert ">blog<" in home
    assert "since=2026-01" in home
    requests = view.get("/requests?sort=latency&where=status=error").text
    assert requests.count("&amp;id=") == 6
    assert view.get("/?since=soon").status_code == 422
    assert view.get("/request?id=nope").status_code == 404
    assert view.get("/?project=nope").status_code == 404
    one = re.findall(r"/request\?id=([0-9a-f-]{36})", view.get("/requests").text)[0]
    page = view.get(f"/request?id={one}").text
    assert "question" in page
    assert "answer" in page
    assert "lines as in the files" in page
    assert "where is my refund?" in view.get("/chat?in=shop&chat=c-0").text
    assert "where is my refund?" in view.get("/search?text=refund").text


def test_pages_follow_each_other(tmp_path):
    put(tmp_path, [entry(n) for n in range(120)])
    client = TestClient(view_app(tmp_path, token="t"), base_url="http://localhost")
    client.get("/?token=t")
    seen, path = [], "/requests"
    while path:
        text = client.get(path).text
        seen += re.findall(r'<th scope="row" class="text"><a href="/request\?id=([0-9a-f-]{36})', text)
        following = re.findall(r'<a href="(/requests\?[^"]*cursor[^"]*)">Next', text)
        path = following[0].replace("&amp;", "&") if following else None
    assert len(seen) == len(set(seen)) == 120


def test_a_tree_shows_own_and_rolled_up_cost(tmp_path):
    entries = [entry(0, operation="agent")]
    entries += [entry(1, parent_id=entries[0]["id"]), entry(2, parent_id=entries[0]["id"])]
    put(tmp_path, entries)
    client = TestClient(view_app(tmp_path, token="t"), base_url="http://localhost")
    client.get("/?token=t")
    text = client.get("/tree", params={"id": entries[2]["id"]}).text
    assert "3 requests" in text
    assert "agent" in text
    assert "~$0.00022" in text


def test_a_new_line_is_told_to_whoever_watches(tmp_path, monkeypatch):
    from llm_logging.web.live import app as live

    put(tmp_path, [entry(0)])
    monkeypatch.setattr(live, "_LOOK_EVERY", 0.05)
    view = live._View(live.Answers(tmp_path, {}, most=1, seconds=5))

    class Connected:
        async def is_disconnected(self):
            return False

    async def watch():
        events = view._watch(Connected())
        assert "retry" in await anext(events)
        told = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0.2)
        assert not told.done()
        put(tmp_path, [entry(1)])
        text = await asyncio.wait_for(told, 5)
        await events.aclose()
        return text

    assert "event: changed" in asyncio.run(watch())
    assert view.streams == 0


def test_memory_of_the_view_does_not_grow_with_its_pages(tmp_path):
    put(tmp_path, [entry(n) for n in range(3)])
    from llm_logging.web.live import app as live

    view = live._View(live.Answers(tmp_path, {}, most=1, seconds=30))

    async def ask(count):
        for number in range(count):
            await view.answers.body(
                live.StatsScope(), f"question {number}", lambda: "x" * 200_000, known=None
            )
        return sum(map(len, view.answers._kept.values()))

    assert asyncio.run(ask(400)) <= 32 * 2**20


def test_templates_and_styles_are_in_the_package():
    import llm_logging.web as web

    folder = Path(web.__file__).parent
    assert (folder / "live" / "view.js").is_file()
    assert {path.suffix for path in folder.rglob("templates/*")} == {".html", ".css"}
