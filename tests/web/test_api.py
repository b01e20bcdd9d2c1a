"""The HTTP API: routes, errors as problems, ETags, permission, limits, metrics."""

from __future__ import annotations

import json
import threading
import time

import pytest

fastapi = pytest.importorskip("fastapi")
from starlette.testclient import TestClient

from llm_logging.models.query import StatsOptions
from llm_logging.reader.stats import get_stats
from llm_logging.web import asgi_app, router
from llm_logging.web.metrics import metrics_text
from tests.reader.builders import entry, put
from tests.web.builders import ATTACKS


def everyone(_request, _project):
    return True


@pytest.fixture
def client(logged):
    with TestClient(asgi_app(logged, allow=everyone, content=True)) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/projects/nope/stats", 404, "PROJECT_NOT_FOUND"),
        ("/projects/shop/chats/nope/stats", 404, "CHAT_NOT_FOUND"),
        ("/chats/nope/stats", 404, "CHAT_NOT_FOUND"),
        ("/requests/nope", 404, "REQUEST_NOT_FOUND"),
        ("/stats?since=soon", 422, "INVALID_OPTIONS"),
        ("/stats?by=colour", 422, "INVALID_OPTIONS"),
        ("/stats?where=model", 422, "INVALID_OPTIONS"),
        ("/stats?chat=c-0", 422, "INVALID_PROJECT_ID"),
        ("/stats?sinc=7d", 422, "INVALID_OPTIONS"),
        ("/requests?limit=0", 422, "INVALID_OPTIONS"),
        ("/requests?cursor=x", 422, "INVALID_OPTIONS"),
        ("/diff?before=soon", 422, "INVALID_OPTIONS"),
        ("/nowhere", 404, "NOT_FOUND"),
    ],
)
def test_errors_are_problems_with_our_codes(path, status, code, client):
    answer = client.get(path)
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["status"]) == (status, code, status)
    assert answer.headers["content-type"] == "application/problem+json"


def test_an_error_does_not_say_where_the_files_lie(tmp_path):
    answer = TestClient(asgi_app(tmp_path / "secret place", allow=everyone)).get("/stats")
    assert answer.status_code == 404
    assert "secret place" not in answer.text


def test_an_unchanged_answer_is_304_and_a_changed_one_is_not(tmp_path):
    put(tmp_path, [entry(0)])
    client = TestClient(asgi_app(tmp_path, allow=everyone))
    first = client.get("/projects/shop/stats")
    again = client.get("/projects/shop/stats", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/projects/shop/stats?by=model").headers["etag"] != first.headers["etag"]
    put(tmp_path, [entry(1)])
    changed = client.get("/projects/shop/stats", headers={"If-None-Match": first.headers["etag"]})
    assert changed.status_code == 200
    assert changed.json()["summary"]["total_requests"] == 2


def test_answers_that_move_with_the_time_have_no_etag(tmp_path):
    put(tmp_path, [entry(0, status="pending", usage=None, timings=None)])
    client = TestClient(asgi_app(tmp_path, allow=everyone))
    assert "etag" not in client.get("/stats").headers
    put(tmp_path, [entry(0, status="success", writer={"id": "w", "seq": 9})])
    assert "etag" in client.get("/stats").headers
    assert "etag" not in client.get("/stats", params={"where": "timestamp_start>7d"}).headers


def test_without_allow_only_this_machine_is_answered(logged):
    application = asgi_app(logged)
    local = {"base_url": "http://127.0.0.1:8000", "client": ("127.0.0.1", 5000)}
    assert TestClient(application, **local).get("/stats").status_code == 200
    assert TestClient(application).get("/stats").status_code == 403
    elsewhere = {**local, "client": ("10.0.0.7", 5000)}
    assert TestClient(application, **elsewhere).get("/stats").status_code == 403
    proxied = TestClient(application, **local).get("/stats", headers={"X-Forwarded-For": "10.0.0.7"})
    assert proxied.status_code == 403
    rebound = {**local, "base_url": "http://evil.example:8000"}
    assert TestClient(application, **rebound).get("/stats").status_code == 403


PROJECT_PATHS = [
    "/projects/blog/stats", "/projects/blog/chats", "/projects/blog/chats/c-0/stats", "/stats?project=blog",
    "/requests?project=blog", "/errors?project=blog", "/diff?project=blog", "/prices?project=blog",
    "/search?text=a&project=blog", "/requests/00000000-0000-0002-8000-000000004000?project=blog",
]  # fmt: skip
GLOBAL_PATHS = [
    "/stats", "/projects", "/chats/c-0/stats", "/requests", "/errors", "/diff", "/prices", "/search?text=a", "/metrics",
    "/requests/00000000-0000-0002-8000-000000004000",
]  # fmt: skip


@pytest.mark.parametrize("path", PROJECT_PATHS + GLOBAL_PATHS)
def test_every_route_asks_who_may_see_which_project(path, logged):
    asked = []

    async def allow(_request, project):
        asked.append(project)
        return project == "shop"

    client = TestClient(asgi_app(logged, allow=allow, content=True))
    answer = client.get(path)
    assert answer.status_code == 403
    assert answer.json()["code"] == "FORBIDDEN"
    assert asked == ["blog" if path in PROJECT_PATHS else None]
    assert client.get("/projects/shop/stats").status_code == 200


def test_a_request_of_another_project_is_not_found_in_mine(logged):
    client = TestClient(asgi_app(logged, allow=lambda _request, project: project == "shop"))
    theirs = get_stats(None, StatsOptions(group_by="project"), root=logged)
    assert {row.group["project"] for row in theirs.breakdown} == {"shop", "blog"}
    statuses = {
        client.get(f"/requests/00000000-0000-{n:04x}-8000-000000004000?project=shop").status_code
        for n in (1, 2)
    }
    assert statuses == {200, 404}


def test_text_is_given_only_where_it_is_asked_for(logged):
    without = TestClient(asgi_app(logged, allow=everyone))
    assert "question" not in without.get("/requests?limit=50").text
    one = without.get("/requests").json()["entries"][0]["id"]
    assert not {"messages", "response"} & without.get(f"/requests/{one}").json().keys()
    assert without.get("/search?text=question").status_code == 403
    with_text = TestClient(asgi_app(logged, allow=everyone, content=True))
    assert "question" in with_text.get("/requests?limit=50").text
    assert {"messages", "response"} <= with_text.get(f"/requests/{one}").json().keys()
    assert with_text.get("/search?text=question").json()["hits"]


def test_pages_of_requests_follow_each_other(client):
    seen, cursor = [], None
    for _ in range(5):
        page = client.get(
            "/requests", params={"limit": 7, "sort": "cost", **({"cursor": cursor} if cursor else {})}
        ).json()
        seen += [one["id"] for one in page["entries"]]
        cursor = page["cursor"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 30


def test_a_question_that_takes_too_long_is_given_up_and_too_many_are_refused(logged, monkeypatch):
    from llm_logging.web import api

    gate = threading.Event()
    monkeypatch.setattr(api, "get_stats", lambda *_arguments, **_reading: gate.wait(20))
    client = TestClient(asgi_app(logged, allow=everyone, concurrency=1, timeout=0.2))
    try:
        answers = [client.get(f"/stats?where=model={n}") for n in range(7)]
    finally:
        gate.set()
    assert {answer.status_code for answer in answers} == {503}
    assert answers[0].headers["retry-after"] == "1"
    assert "within" in answers[0].json()["detail"]
    assert "too many" in answers[-1].json()["detail"]


def test_the_event_loop_goes_on_while_an_answer_is_made(logged, monkeypatch):
    from llm_logging.web import api

    real = api.get_stats

    def slow(*arguments, **reading):
        time.sleep(0.5)
        return real(*arguments, **reading)

    monkeypatch.setattr(api, "get_stats", slow)
    application = fastapi.FastAPI()
    application.include_router(router(logged, allow=everyone), prefix="/llm")

    @application.get("/ping")
    async def ping():
        return {}

    with TestClient(application) as client:
        slow_one = threading.Thread(target=lambda: client.get("/llm/stats"))
        slow_one.start()
        time.sleep(0.1)
        began = time.monotonic()
        assert client.get("/ping").status_code == 200
        waited = time.monotonic() - began
        slow_one.join()
    assert waited < 0.35


def test_a_real_fastapi_application_takes_the_router_and_documents_it(logged):
    application = fastapi.FastAPI()
    application.include_router(router(logged, allow=everyone), prefix="/llm")
    client = TestClient(application)
    assert client.get("/llm/projects/shop/stats").status_code == 200
    assert client.get("/llm/projects/nope/stats").json()["code"] == "PROJECT_NOT_FOUND"
    document = client.get("/openapi.json").json()
    wanted = {
        "/stats", "/projects", "/projects/{project_id}/stats", "/projects/{project_id}/chats/{chat_id}/stats",
        "/chats/{chat_id}/stats", "/requests", "/requests/{request_id}", "/errors", "/diff", "/prices", "/search", "/metrics",
    }  # fmt: skip
    assert {f"/llm{path}" for path in wanted} <= document["paths"].keys()
    answer = document["paths"]["/llm/stats"]["get"]["responses"]["200"]["content"]["application/json"][
        "schema"
    ]
    snake, camel = answer["anyOf"]
    assert snake["properties"].keys() >= {"summary", "breakdown", "quality", "group_by"}
    assert "total_requests" in snake["properties"]["summary"]["properties"]
    assert "totalRequests" in camel["properties"]["summary"]["properties"]


def test_a_mounted_application_answers_too(logged):
    application = fastapi.FastAPI()
    application.mount("/llm", asgi_app(logged, allow=everyone))
    assert TestClient(application).get("/llm/stats").json()["summary"]["total_requests"] == 30


def test_prometheus_reads_the_metrics_and_they_are_the_figures(logged):
    pytest.importorskip("prometheus_client")
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    answer = TestClient(asgi_app(logged, allow=everyone)).get("/metrics")
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text == metrics_text(None, root=logged)
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    stats = get_stats(root=logged)

    def total(name, **labels):
        samples = [s for s in families[name].samples if labels.items() <= s.labels.items()]
        return sum(sample.value for sample in samples)

    assert total("llm_requests", outcome="success") == stats.summary.successful_requests
    assert total("llm_requests", outcome="failure", project="shop") == 3
    assert total("llm_tokens", kind="prompt") == stats.summary.prompt_tokens
    assert total("llm_cost_dollars") == pytest.approx(float(stats.summary.total_cost))
    assert total("llm_errors", code="rate_limit") == 6
    assert total("llm_unpriced_requests") == stats.summary.unpriced_requests


def test_metrics_have_a_bounded_number_of_labels_and_escape_them(hostile, tmp_path):
    pytest.importorskip("prometheus_client")
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    text = metrics_text(None, root=hostile)
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert len(text) < 200_000
    codes = {sample.labels["code"] for sample in families["llm_errors"].samples}
    assert ATTACKS["script"] in codes
    put(tmp_path, [entry(n, project=f"p{n}", model=f"m{n}") for n in range(40)])
    few = {f.name: f for f in text_string_to_metric_families(metrics_text(None, top=3, root=tmp_path))}
    samples = few["llm_requests"].samples
    assert len({sample.labels["project"] for sample in samples}) == 4
    assert sum(sample.value for sample in samples) == 40
    assert "other" in {sample.labels["model"] for sample in samples}


def test_hostile_names_are_data_in_json(hostile):
    client = TestClient(asgi_app(hostile, allow=everyone, content=True))
    for path in ("/stats?by=model,user", "/errors", "/requests?limit=100", "/prices"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "\x1b" not in answer.text
        assert "\u202e" not in answer.text
        json.loads(answer.text)
    models = {row["group"]["model"] for row in client.get("/stats?by=model").json()["breakdown"]}
    assert set(ATTACKS.values()) <= models


@pytest.mark.filterwarnings("ignore")
def test_schemathesis_finds_no_answer_beside_the_document(logged):
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, given, settings

    schema = schemathesis.openapi.from_asgi("/openapi.json", asgi_app(logged, allow=everyone, content=True))

    for operation in schema.get_all_operations():
        api_operation = operation.ok()

        @settings(
            max_examples=4,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
            database=None,
        )
        @given(case=api_operation.as_strategy())
        def one(case):
            # A filter has a grammar that no schema can say; what it refuses is a problem, as documented.
            case.call_and_validate(excluded_checks=[schemathesis.checks.positive_data_acceptance])

        one()


def test_a_missing_extra_says_which(monkeypatch):
    import builtins

    import llm_logging.web as web
    from llm_logging import ConfigurationError

    real = builtins.__import__

    def missing(name, *arguments, **options):
        if name == "fastapi" or name.startswith("fastapi."):
            raise ModuleNotFoundError("No module named 'fastapi'", name="fastapi")
        return real(name, *arguments, **options)

    monkeypatch.delitem(__import__("sys").modules, "llm_logging.web.api", raising=False)
    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ConfigurationError, match=r"pip install 'llm-logging\[web\]'"):
        web.router  # noqa: B018
