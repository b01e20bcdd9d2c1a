"""Lines that wait in the rings of this process, of others, and of killed ones count before they are written, and once after."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import llm_logging
from llm_logging import LLMFileHandler, StatsScope, get_chat_metrics, get_stats
from llm_logging.errors import NotFoundError
from llm_logging.files.compression import compress_segment
from llm_logging.files.spool import waiting
from llm_logging.handler.writing.recovery import recover_root
from llm_logging.reader.entries import get_request_log
from llm_logging.reader.export import export_requests
from llm_logging.reader.lines import log_files

KILLED = """
import logging.config, os, signal, sys
from llm_logging import presets; from llm_logging import get_logger

logging.config.dictConfig(presets.production(sys.argv[1], flush_interval=60.0))
log = get_logger("app", project_id="shop", chat_id="c-17")
log.log_llm_request({"model": "gpt-4o", "usage": {"prompt_tokens": 1, "completion_tokens": 1}})
for _ in range(10):
    log.info("answered", extra={"llm_request": {"model": "gpt-4o", "usage": {"prompt_tokens": 5, "completion_tokens": 2}}})
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX locks")
def test_lines_in_the_ring_of_a_killed_process_count_once(tmp_path):
    root = tmp_path / "root"
    here = Path(__file__).parents[2]
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(root)], cwd=here, env={**os.environ, "PYTHONPATH": str(here)}
    )
    assert ended.returncode == -signal.SIGKILL

    scope = StatsScope(type="project", project_id="shop")
    written = (root / "projects/shop/logs/llm_requests.jsonl").read_bytes().count(b"\n")
    before = get_stats(scope, root=root, cache=False).summary
    report = recover_root(root)
    after = get_stats(scope, root=root, cache=False)

    assert written < 11
    assert (before.total_requests, before.prompt_tokens) == (11, 51)
    assert report.lines == 11 - written
    assert (after.summary.total_requests, after.summary.prompt_tokens) == (11, 51)
    assert after.quality.repeated_lines == 0


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX locks")
@pytest.mark.parametrize("compression", [None, "gz"])
def test_lines_that_are_written_and_rotated_while_a_question_begins_count_once(
    tmp_path, monkeypatch, compression
):
    root = tmp_path / "root"
    here = Path(__file__).parents[2]
    subprocess.run(
        [sys.executable, "-c", KILLED, str(root)], cwd=here, env={**os.environ, "PYTHONPATH": str(here)}
    )
    active = root / "projects/shop/logs/llm_requests.jsonl"
    real, held = log_files.find_waiting, []

    def written_meanwhile(of):
        found = real(of)
        held.extend(found.lines.get(str(active), []))
        recover_root(root)
        sealed = active.rename(active.with_name("llm_requests.20260115T103000Z-0001.jsonl"))
        active.write_bytes(b"")
        if compression:
            compress_segment(sealed, compression)
        return found

    monkeypatch.setattr(log_files, "find_waiting", written_meanwhile)
    stats = get_stats(StatsScope(type="project", project_id="shop"), root=root, cache=False)

    assert len(held) >= 10
    assert (stats.summary.total_requests, stats.summary.prompt_tokens) == (11, 51)
    assert (stats.quality.repeated_lines, stats.quality.folded_lines) == (0, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX locks")
def test_the_doctor_writes_them(tmp_path):
    root = tmp_path / "root"
    here = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(here)}
    subprocess.run([sys.executable, "-c", KILLED, str(root)], cwd=here, env=environment)
    log = root / "projects/shop/logs/llm_requests.jsonl"

    command = [sys.executable, "-m", "llm_logging", "doctor", "--root", str(root), "--quick"]
    looked = subprocess.run(
        [*command, "--no-recover"], cwd=here, env=environment, capture_output=True, text=True
    )
    before = log.read_bytes().count(b"\n")
    mended = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True)

    assert "wait in the buffers of 1 processes" in looked.stdout
    assert f"{11 - before:,} lines of 1 killed processes were written" in mended.stdout
    assert (before < 11, log.read_bytes().count(b"\n")) == (True, 11)


LIVING = """
import logging.config, os, sys
from llm_logging import presets; from llm_logging import get_logger

logging.config.dictConfig(presets.production(sys.argv[1], flush_interval=60.0, spool=sys.argv[2], content="full"))
log = get_logger("app", project_id="shop", chat_id="c-17")
first = {"model": "gpt-4o", "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
if sys.argv[3] == "written":
    log.log_llm_request(first)
for number in range(10):
    log.info("answered", extra={"llm_request": {"model": "gpt-4o", "usage": {"prompt_tokens": 5, "completion_tokens": 2},
        "messages": [{"role": "user", "content": f"needle {number}"}]}})
log.info("an event", extra={"event_type": "ticket", "project_id": "shop"})
log.info("hello", extra={"event_type": "chat_message", "id": "m1", "role": "user", "content": "a needle too"})
print("ready", flush=True)
for line in sys.stdin:
    logging.getLogger().handlers[0].flush()
    print("flushed", flush=True)
os._exit(0)
"""
SHOP = StatsScope(type="project", project_id="shop")


@pytest.fixture
def living(tmp_path):
    """Start a process that logs and does not write, and end it."""
    here, children = Path(__file__).parents[2], []

    def start(spool: str = "auto", first: str = "nothing written") -> tuple[Path, subprocess.Popen[str]]:
        child = subprocess.Popen(
            [sys.executable, "-c", LIVING, str(tmp_path / "root"), spool, first],
            cwd=here,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        children.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        return tmp_path / "root", child

    yield start
    for child in children:
        child.kill()
        child.communicate()


def flush(child: subprocess.Popen[str]) -> None:
    child.stdin.write("\n")
    child.stdin.flush()
    assert child.stdout.readline() == "flushed\n"


@pytest.mark.parametrize("spool", ["auto", "shm"])
@pytest.mark.parametrize("first", ["written", "nothing written"])
def test_lines_in_the_ring_of_a_living_process_count_and_stay_there(living, spool, first):
    root, child = living(spool, first)
    more = first == "written"
    logs = root / "projects/shop/logs"
    before = sorted(path.name for path in logs.glob("*.jsonl")) if logs.exists() else []

    asked = get_stats(SHOP, root=root, cache_dir=root / "cache")
    again = get_stats(StatsScope(), root=root, cache_dir=root / "cache")
    assert (asked.summary.total_requests, asked.summary.prompt_tokens) == (10 + more, 50 + more)
    assert again.summary == asked.summary
    assert (asked.quality.complete, asked.quality.repeated_lines, asked.quality.gaps) == (True, 0, [])
    assert before == (sorted(path.name for path in logs.glob("*.jsonl")) if logs.exists() else [])

    flush(child)
    after = get_stats(SHOP, root=root, cache_dir=root / "cache")
    assert after.summary.total_requests == 10 + more
    assert after.quality.repeated_lines == 0


def test_every_question_sees_them(living):
    root, child = living()
    for _ in range(2):
        page = llm_logging.get_llm_request_logs(SHOP, root=root)
        assert sorted(entry.messages[0]["content"] for entry in page.entries) == sorted(
            f"needle {n}" for n in range(10)
        )
        assert {entry.lines for entry in page.entries} == {1}
        (event,) = llm_logging.get_system_logs(SHOP, filters={"event_type": "ticket"}, root=root).entries
        assert event.message == "an event"
        hits = llm_logging.search_logs("needle", root=root).hits
        assert sorted(hit.kind for hit in hits) == ["chat_message"] + ["llm_request"] * 10
        _, raw = get_request_log(page.entries[0].id, root=root)
        assert len(raw) == 1
        assert get_chat_metrics("shop", "c-17", root=root).message_count == 1
        with export_requests(SHOP, root=root) as export:
            assert len(list(export.rows())) == 10
        flush(child)


def test_the_command_line_sees_them(living):
    root, _ = living()

    def ask(*words: str) -> str:
        command = [sys.executable, "-m", "llm_logging", *words, "--root", str(root)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert json.loads(ask("stats", "--format", "json"))["summary"]["total_requests"] == 10
    assert "an event" in ask("tail", "--kind", "events")
    assert ask("tail", "--project", "shop", "-n", "100", "--json").count("\n") == 12
    assert ask("requests", "--format", "json").count("\n") == 10


def test_while_a_process_writes_each_request_counts_once(tmp_path):
    code = LIVING.replace("flush_interval=60.0", "flush_interval=0.001, max_bytes=30_000").replace(
        "for number in range(10):", "for number in range(1500):"
    )
    root = tmp_path / "root"
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(root), "auto", "written"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    counts: list[int] = []
    until = time.monotonic() + 60
    try:
        while (not counts or counts[-1] < 1501) and time.monotonic() < until:
            try:
                stats = get_stats(SHOP, root=root, cache_dir=tmp_path / "cache")
            except NotFoundError:
                continue
            assert stats.quality.gaps == []
            assert stats.quality.complete
            counts.append(stats.summary.total_requests)
    finally:
        child.kill()
        child.communicate()
    assert counts == sorted(counts)
    assert counts[-1] == 1501


def test_what_this_process_logged_is_in_the_next_answer(tmp_path, isolated):
    handler = LLMFileHandler(tmp_path / "root", flush_interval=60.0)
    log = isolated(handler)
    for count in range(1, 30):
        log.info(
            "a",
            extra={
                "llm_request": {
                    "model": "m",
                    "project_id": "shop",
                    "chat_id": "c",
                    "usage": {"prompt_tokens": 1},
                }
            },
        )
        assert get_stats(SHOP, root=tmp_path / "root").summary.total_requests == count
        named = get_stats(files=str(tmp_path / "root/projects/shop/logs/llm_requests.jsonl"))
        assert named.summary.total_requests == count
    handler.close()


@pytest.mark.parametrize("spool", ["root", "off"])
def test_a_disk_that_refuses_is_said_or_read_around(tmp_path, isolated, monkeypatch, spool):
    handler = LLMFileHandler(tmp_path / "root", spool=spool, flush_timeout=0.5)
    log = isolated(handler)
    entry = {"model": "m", "project_id": "shop", "chat_id": "c", "usage": {"prompt_tokens": 1}}
    log.info("a", extra={"llm_request": entry})
    handler.flush()
    real = os.write
    monkeypatch.setattr(waiting, "_FLUSH_SECONDS", 0.2)
    monkeypatch.setattr(
        os,
        "write",
        lambda fd, data: (_ for _ in ()).throw(OSError(28, "full")) if b"llm_req" in data else real(fd, data),
    )
    log.info("b", extra={"llm_request": entry})
    stats = get_stats(SHOP, root=tmp_path / "root", cache=False)
    monkeypatch.setattr(os, "write", real)
    if spool == "root":
        assert (stats.summary.total_requests, stats.quality.complete) == (2, True)
    else:
        assert (stats.summary.total_requests, stats.quality.complete) == (1, False)
        assert "1 lines of this process cannot be written now" in stats.quality.notes[0]
    handler.close()
    assert get_stats(SHOP, root=tmp_path / "root", cache=False).summary.total_requests == 2
