"""The HTTP API and the live view of a root in object storage."""

from __future__ import annotations

import pytest

pytest.importorskip("fastapi")
from starlette.testclient import TestClient

from llm_logging.files.objects import open_store
from llm_logging.maintenance.ship import Shipper, seal_all
from llm_logging.web import asgi_app
from tests.maintenance.fleet import log_requests


def test_the_api_answers_from_what_was_shipped_and_sees_what_is_shipped_later(tmp_path):
    store = open_store(f"file://{tmp_path}/store")
    log_requests(tmp_path / "host", 20)
    seal_all(tmp_path / "host")
    Shipper(tmp_path / "host", store).run()
    with TestClient(asgi_app(store.url, allow=lambda _request, _project: True)) as client:
        assert client.get("/stats").json()["summary"]["total_requests"] == 20
        assert client.get("/requests?limit=3").status_code == 200
        log_requests(tmp_path / "host", 5, start=20)
        seal_all(tmp_path / "host")
        Shipper(tmp_path / "host", store).run()
        assert client.get("/stats").json()["summary"]["total_requests"] == 25
        assert client.get("/projects/absent/stats").status_code == 404
