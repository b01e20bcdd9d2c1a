"""One call, and every way to a model is logged: existing clients, later imports, threads, programs that cannot be changed."""

import json
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from llm_logging.context import scope
from llm_logging.integrations.instrument_all import instrument, uninstrument
from tests import disk
from tests.integrations.exchanges import ASKED, PATH, WHOLE, tokens
from tests.loopback import Answer


@pytest.fixture
def everything(log, server):
    server.play(PATH, Answer(WHOLE))
    instrument(log, hosts={f"127.0.0.1:{server.port}": "openai"})
    yield
    uninstrument()


def test_clients_that_exist_and_others(log, sink, server):
    httpx, requests = pytest.importorskip("httpx"), pytest.importorskip("requests")
    server.play(PATH, Answer(WHOLE))
    existing, session = httpx.Client(), requests.Session()
    instrument(log)
    instrument(log)
    try:
        for http in (existing, session, httpx.Client()):
            assert http.post(server.url + PATH, json=ASKED).json() == WHOLE
            http.close()
    finally:
        uninstrument()
    assert [(entry.instrumentation, tokens(entry)) for entry in sink.final] == [
        ("httpx", (9, 2)), ("requests", (9, 2)), ("httpx", (9, 2)),
    ]  # fmt: skip
    with httpx.Client() as http:
        http.post(server.url + PATH, json=ASKED)
    assert len(sink.final) == 3


@pytest.mark.parametrize("how", ["content", "iter_lines", "raw", "left"])
def test_requests_streams(everything, sink, server, how):
    requests = pytest.importorskip("requests")
    with requests.Session() as session:
        response = session.post(server.url + PATH, json=ASKED, stream=True)
        if how == "content":
            assert response.json() == WHOLE
        elif how == "iter_lines":
            assert json.loads(b"".join(response.iter_lines())) == WHOLE
        elif how == "raw":
            assert json.loads(response.raw.read()) == WHOLE
        else:
            response.close()
        response.close()
    assert len(sink.wait(1)) == 1
    assert tokens(sink.only()) == (None if how == "left" else (9, 2))


def test_errors_of_requests_are_its_own(everything, sink):
    requests = pytest.importorskip("requests")
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.post("http://127.0.0.1:9/v1/chat/completions", json=ASKED)
    assert (sink.only().status, sink.only().error.code) == ("error", "connection_error")


def test_requests_in_threads_know_their_parent_and_scope(everything, log, sink, server):
    httpx = pytest.importorskip("httpx")

    def ask():
        with httpx.Client() as http:
            http.post(server.url + PATH, json=ASKED)

    with ThreadPoolExecutor(1) as pool:
        with log.tool("search") as tool, scope(customer="acme"):
            thread = threading.Thread(target=ask)
            thread.start()
            thread.join()
            pool.submit(ask).result()
        pool.submit(ask).result()
    inside = [entry for entry in sink.final if entry.request_type != "tool"]
    assert [(entry.parent_id, (entry.attributes or {}).get("customer")) for entry in inside] == [
        (tool.id, "acme"), (tool.id, "acme"), (None, None),
    ]  # fmt: skip


def test_what_is_imported_later_is_logged_and_nothing_is_imported_for_it():
    code = """
        import sys, llm_logging
        llm_logging.instrument()
        assert not {"httpx", "httpx2", "aiohttp", "botocore", "requests", "openai"} & set(sys.modules)
        import httpx, botocore.client
        assert "llm_logging" in httpx.Client._transport_for_url.__code__.co_filename
        assert "llm_logging" in botocore.client.BaseClient._make_api_call.__code__.co_filename
        assert httpx.__spec__.loader.get_source("httpx")
    """
    pytest.importorskip("botocore")
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


PROGRAM = """
import logging.config, subprocess, sys
logging.config.dictConfig({"version": 1, "disable_existing_loggers": True, "root": {"level": "INFO"}})
import httpx
for _ in range(2):
    httpx.post(sys.argv[1], json={"model": "m", "messages": []})
if len(sys.argv) < 3:
    subprocess.run([sys.executable, __file__, sys.argv[1], "child"], check=True)
sys.exit(7)
"""


@pytest.mark.parametrize("is_module", [False, True])
def test_a_program_that_cannot_be_changed(server, tmp_path, is_module):
    pytest.importorskip("httpx")
    server.play(PATH, Answer(WHOLE))
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.replace("check=True", "check=False"))
    what = ["-m", "program"] if is_module else [str(program)]
    command = [
        sys.executable,
        "-m",
        "llm_logging",
        "run",
        "--root",
        str(tmp_path / "llm"),
        "--content",
        "full",
    ]
    done = subprocess.run(
        [*command, *what, server.url + PATH],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (7, "")
    assert len(disk.requests(tmp_path / "llm")) == 4


def test_run_says_how_it_is_used():
    done = subprocess.run(
        [sys.executable, "-m", "llm_logging", "run"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "usage: python -m llm_logging run" in done.stderr


def test_tools_are_no_requests_in_statistics(tmp_path):
    import logging
    import logging.config

    import llm_logging

    logging.config.dictConfig(llm_logging.presets.production(root=tmp_path))
    log = llm_logging.get_logger(project_id="p", chat_id="c")
    with log.request(model="m") as call:
        call.finish({"usage": {"prompt_tokens": 1, "completion_tokens": 2}})
    with log.tool("search"):
        pass
    for handler in logging.getLogger().handlers:
        handler.flush()
    stats = llm_logging.get_stats(root=tmp_path)
    assert (stats.summary.total_requests, set(stats.models)) == (1, {"m"})
    options = llm_logging.StatsOptions(where={"request_type": "tool"})
    assert set(llm_logging.get_stats(options=options, root=tmp_path).models) == {"search"}
