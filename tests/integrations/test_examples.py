"""The examples, run as a reader would run them, against a server on loopback."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from llm_logging import StatsOptions, StatsScope, get_stats
from tests.integrations.sdks import SDKS, installed
from tests.loopback import Answer

ROOT = Path(__file__).resolve().parents[2]
PATH = "/chat/completions"


@pytest.fixture(autouse=True)
def every_answer_has_an_id_of_its_own(server):
    server.own_ids = True


def environment(server, root, provider):
    host = f"127.0.0.1:{server.port}"
    return {
        **os.environ,
        "LLM_LOGGING_ROOT": str(root),
        "LLM_LOGGING_HOSTS": f"{host}={provider}",
        "OPENAI_BASE_URL": f"{server.url}/v1",
        "OPENAI_API_BASE": f"{server.url}/v1",
        "OPENAI_API_KEY": "k",
        "ANTHROPIC_BASE_URL": server.url,
        "ANTHROPIC_API_KEY": "k",
        "GOOGLE_GEMINI_BASE_URL": server.url,
        "GEMINI_API_KEY": "k",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "PYTHONPATH": str(ROOT),
    }


def run(name, server, root, provider):
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / name)],
        env=environment(server, root, provider),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # LiteLLM tells of itself on stdout, too.
    return [line for line in done.stdout.splitlines() if line.startswith("Hi")]


def lines(root, project="examples"):
    found = []
    for path in root.glob(f"projects/{project}/logs/llm_requests*.jsonl"):
        found += [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [line for line in found if line["status"] != "pending"]


def needs(*names):
    for name in names:
        if not installed(name):
            pytest.skip(f"{name} is not installed")


def test_openai(server, tmp_path):
    needs("openai")
    sdk = SDKS["openai"]
    refusal = Answer(sdk.refusal, 429, headers={"retry-after-ms": "5"})
    server.play(PATH, refusal, sdk.answer(), sdk.streamed(), sdk.answer(), sdk.answer())
    assert run("openai_calls.py", server, tmp_path, "openai") == ["Hi", "Hi"]
    found = lines(tmp_path)
    assert [line["status"] for line in found] == ["error", "success", "success", "success", "success"]
    assert found[0]["request_group"] == found[1]["request_group"]
    assert [line["attempt"] for line in found] == [1, 2, 1, 1, 1]
    assert all(line["usage"]["total_tokens"] == 11 for line in found[1:])
    stats = get_stats(StatsScope(type="project", project_id="examples"), StatsOptions(), root=tmp_path)
    assert (stats.summary.total_requests, stats.summary.failed_requests, stats.summary.total_tokens) == (
        5,
        1,
        44,
    )
    assert stats.summary.total_calls == 4


@pytest.mark.parametrize(
    ("name", "package", "provider"),
    [
        ("anthropic_calls.py", "anthropic", "anthropic"),
        ("google_genai_calls.py", "google-genai", "google"),
        ("litellm_calls.py", "litellm", "openai"),
        ("langchain_calls.py", "langchain_openai", "openai"),
    ],
)
def test_each(server, tmp_path, name, package, provider):
    needs(package)
    sdk = SDKS.get(package, SDKS["openai"])
    if sdk.stream_path is None:
        server.play(sdk.path, sdk.answer(), sdk.streamed())
    else:
        server.play(sdk.path, sdk.answer())
        server.play(sdk.stream_path, sdk.streamed())
    assert run(name, server, tmp_path, provider) == ["Hi", "Hi"]
    found = lines(tmp_path)
    assert [(line["status"], line["provider"], line["usage"]["total_tokens"]) for line in found] == [
        ("success", provider, 11),
        ("success", provider, 11),
    ]
    assert [line.get("stream", False) for line in found] == [False, True]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_service_with_several_workers(server, tmp_path):
    pytest.importorskip("uvicorn")
    pytest.importorskip("fastapi")
    sdk = SDKS["openai"]
    server.play(PATH, sdk.answer(delay=0.01))
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "examples.chat_service:app",
        "--workers",
        "2",
        "--port",
        str(port),
    ]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(server, tmp_path, "openai"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            for _ in range(200):
                try:
                    client.get("/openapi.json")
                    break
                except httpx.ConnectError:
                    time.sleep(0.1)
            for number in range(40):
                path = f"/projects/shop/chats/c-{number % 4}"
                # A connection of its own each time, so that both workers have some.
                answer = httpx.post(f"{client.base_url}{path}", params={"text": "hi"}, timeout=30)
                assert answer.json()["answer"] == "Hi"
            server.play(PATH, sdk.streamed())
            streamed = client.post("/projects/shop/chats/c-0/stream", params={"text": "hi"})
            assert streamed.content.count(b"data:") == len(sdk.stream)
            asked = client.get("/projects/shop/stats").json()
    finally:
        process.send_signal(signal.SIGTERM)
        output = process.communicate(timeout=30)[0]
    stats = get_stats(StatsScope(type="project", project_id="shop"), StatsOptions(), root=tmp_path)
    assert stats.summary.total_requests == stats.summary.successful_requests == 41, output
    assert (stats.summary.prompt_tokens, stats.summary.completion_tokens) == (41 * 9, 41 * 2)
    assert stats.quality.complete, stats.quality
    assert asked["total_requests"] >= 1
    found = lines(tmp_path, "shop")
    assert {line["chat_id"] for line in found} == {f"c-{number}" for number in range(4)}
    assert len({line["writer"]["id"] for line in found}) >= 1
