"""The examples, as a reader of the README runs them."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import httpx
import pytest

from llm_logging import StatsOptions, get_stats
from tests import disk
from tests.programs import EXAMPLES, free_port, python, server

TRACES = (
    Path(os.environ.get("LLM_LOGGING_TEST_DATA") or EXAMPLES.parent.parent / "shared" / "data") / "traces"
)


def trace(name: str) -> Path:
    path = TRACES / name
    if not path.is_file():
        pytest.skip(f"{name} is not at {TRACES}; set LLM_LOGGING_TEST_DATA")
    return path


def test_quickstart_ends_with_a_correct_table_and_says_where_the_files_are(tmp_path: Path) -> None:
    root = tmp_path / "logs"
    out = python(str(EXAMPLES / "quickstart.py"), str(root), cwd=tmp_path)
    summary = get_stats(root=root).summary
    assert (summary.total_requests, summary.successful_requests, summary.failed_requests) == (9, 8, 1)
    assert re.search(r"Requests\s+9\s+8 ok, 1 failed", out)
    assert f"{summary.prompt_tokens:,} prompt, {summary.completion_tokens:,} completion" in out
    tokens = [line.get("usage", {}).get("total_tokens", 0) for line in disk.requests(root)]
    assert sum(tokens) == summary.total_tokens
    for path in ("projects/shop/logs/llm_requests.jsonl", "projects/reports/logs/llm_requests.jsonl"):
        assert path in out
    assert not [line for line in disk.everything(root) if line["event_type"] == "invalid_entry"]


def test_quickstart_makes_a_folder_of_its_own_when_none_is_given(tmp_path: Path) -> None:
    out = python(str(EXAMPLES / "quickstart.py"), cwd=tmp_path, TMPDIR=str(tmp_path))
    (made,) = tmp_path.glob("llm_logging-*")
    assert str(made) in out


def test_dictconfig_configures_twice_and_keeps_both(tmp_path: Path) -> None:
    root = tmp_path / "logs"
    out = python(str(EXAMPLES / "dictconfig.py"), str(root), cwd=tmp_path)
    assert "c-0" in out
    assert "c-1" in out
    first, second = disk.requests(root)
    assert (first["service"], first["region"]) == ("shop", "eu")
    assert "service" not in second
    messages = [line["message"] for line in disk.events(root)]
    assert messages == ["configured", "on the console too"] * 2


def test_the_fastapi_application_logs_each_request_with_its_chat(tmp_path: Path) -> None:
    root, port = tmp_path / "logs", free_port()
    command = [sys.executable, str(EXAMPLES / "fastapi_app.py")]
    with (
        server(command, port, cwd=tmp_path, PORT=str(port), LLM_LOGGING_ROOT=str(root)),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        answer = client.post("/projects/shop/chats/c-1", json={"text": "hello there"})
        assert answer.json()["answer"] == "You said hello there"
        assert client.post("/projects/shop/chats/c-2", json={"text": "please fail"}).status_code == 504
        assert (
            client.post("/projects/shop/chats/c-3/stream", json={"text": "a b c"}).text == "You said a b c "
        )
        figures = client.get("/projects/shop/stats").json()
        assert client.get("/projects/none/stats").status_code == 404
    assert (figures["totalRequests"], figures["successfulRequests"], figures["failedRequests"]) == (3, 2, 1)
    assert (figures["promptTokens"], figures["completionTokens"]) == (5, 9)
    finals = {line["chat_id"]: line for line in disk.requests(root) if line["status"] != "pending"}
    assert {chat: line["status"] for chat, line in finals.items()} == {
        "c-1": "success",
        "c-2": "timeout",
        "c-3": "success",
    }
    assert finals["c-1"]["id"] == answer.json()["request_id"]
    assert finals["c-3"]["stream"] is True
    assert finals["c-3"]["timings"]["time_to_first_token_ms"] <= finals["c-3"]["timings"]["latency_ms"]
    chats = [line for line in disk.everything(root) if line["event_type"] == "chat_message"]
    assert {line["content"] for line in chats} == {"hello there", "please fail"}
    # The server's own lines are there too.
    assert any(line["logger"].startswith("uvicorn") for line in disk.events(root))


def test_the_azure_trace_comes_back_hour_by_hour(tmp_path: Path) -> None:
    root = tmp_path / "logs"
    out = python(
        str(EXAMPLES / "replay_trace.py"),
        str(trace("azure_conv_2023.csv")),
        "--root",
        str(root),
        cwd=tmp_path,
    )
    assert "19,366 requests logged" in out
    stats = get_stats(options=StatsOptions(group_by="hour"), root=root)
    total = stats.summary
    assert (total.total_requests, total.prompt_tokens, total.completion_tokens) == (
        19_366,
        22_361_870,
        4_088_665,
    )
    hours: dict[str, list[int]] = {}
    with trace("azure_conv_2023.csv").open() as file:
        next(file)
        for line in file:
            moment, prompt, completion = line.strip().split(",")
            sums = hours.setdefault(f"{moment[:10]}T{moment[11:13]}:00+00:00", [0, 0, 0])
            sums[0] += 1
            sums[1] += int(prompt)
            sums[2] += int(completion)
    found = {
        row.group["hour"]: [row.total_requests, row.prompt_tokens, row.completion_tokens]
        for row in stats.breakdown
    }
    assert found == hours
    for hour, sums in hours.items():
        assert re.search(rf"{re.escape(hour)}\s+█*[^\d]*{sums[0]:,}\s+{sums[1]:,}\s+{sums[2]:,}", out)


def test_the_mooncake_trace_has_the_means_that_its_authors_state(tmp_path: Path) -> None:
    root = tmp_path / "logs"
    path = trace("mooncake_conversation.jsonl")
    out = python(str(EXAMPLES / "replay_trace.py"), str(path), "--root", str(root), cwd=tmp_path)
    assert "12,031 requests logged" in out
    assert "12,035 prompt and 343 completion tokens on average" in out
    assert get_stats(root=root).summary.total_requests == 12_031


@pytest.mark.parametrize("store", ["a folder", "a local S3 server"])
def test_the_figures_of_a_fleet_outlive_its_hosts(tmp_path: Path, store: str) -> None:
    if store != "a folder":
        pytest.importorskip("moto", reason="a local S3 server is needed: pip install 'moto[s3,server]'")
    url = [f"file://{tmp_path}/bucket"] if store == "a folder" else []
    out = python(
        str(EXAMPLES / "fleet.py"), *url, cwd=tmp_path, timeout=250, XDG_CACHE_HOME=str(tmp_path / "cache")
    )
    assert "181 requests of 3 hosts" in out
    assert re.search(r"complete: True, up to 20\d\d-.*; waiting: 0 lines", out)
    assert re.search(r"Requests\s+181\s+181 ok, 0 failed", out)
    assert re.search(r"gpt-4o-mini\s+█+\s+90", out)


CSV = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:15:46.6805900,374,44\r\n2023-11-16 18:15:46,1,2"
)
JSONL = (
    '{"timestamp": 0, "input_length": 6, "output_length": 5}\n\n'
    '{"timestamp": 3600001, "input_length": 4, "output_length": 5}'
)


@pytest.mark.parametrize(
    ("name", "text", "requests", "prompt"), [("a.csv", CSV, 2, 375), ("b.jsonl", JSONL, 2, 10)]
)
def test_small_traces_with_the_hazards_of_the_real_ones(
    tmp_path: Path, name: str, text: str, requests: int, prompt: int
) -> None:
    (tmp_path / name).write_bytes(text.encode())
    python(str(EXAMPLES / "replay_trace.py"), name, "--root", "logs", cwd=tmp_path)
    summary = get_stats(root=tmp_path / "logs").summary
    assert (summary.total_requests, summary.prompt_tokens) == (requests, prompt)


@pytest.mark.parametrize("example", ["replay_trace.py", "quickstart.py", "dictconfig.py"])
def test_an_example_writes_under_the_root_of_the_environment(tmp_path: Path, example: str) -> None:
    (tmp_path / "a.csv").write_bytes(CSV.encode())
    arguments = ["a.csv"] if example == "replay_trace.py" else []
    root = tmp_path / "logs"
    python(str(EXAMPLES / example), *arguments, cwd=tmp_path, LLM_LOGGING_ROOT=str(root))
    assert (root / "projects").is_dir()


def test_a_trace_that_is_not_there_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"nothing\.csv: expected a file, there is none"):
        python(str(EXAMPLES / "replay_trace.py"), "nothing.csv", cwd=tmp_path)
