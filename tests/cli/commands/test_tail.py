import gzip
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from llm_logging.files.layout import Layout, LogKind
from tests.cli.conftest import INTERRUPTIBLE, environment


def line(message, *, second=0, **fields):
    return json.dumps(
        {
            "v": 1,
            "timestamp": f"2026-01-15T10:30:{second:02d}.000000Z",
            "level": "INFO",
            "logger": "app",
            "message": message,
            "event_type": "log",
            "writer": {"id": "a", "seq": 1},
            **fields,
        }
    )


@pytest.fixture
def root(tmp_path):
    layout = Layout(tmp_path / "logs")
    content = {
        layout.path(LogKind.SYSTEM): [line("system", second=5)],
        layout.path(LogKind.REQUESTS, "shop"): [
            line(
                "old",
                second=1,
                event_type="llm_request",
                model="gpt-4o",
                status="success",
                project_id="shop",
                chat_id="c-1",
            ),
            line(
                "new",
                second=9,
                event_type="llm_request",
                model="gpt-4o",
                status="error",
                project_id="shop",
                chat_id="c-2",
                level="ERROR",
            ),
        ],
        layout.path(LogKind.EVENTS, "other"): [line("event", second=7, project_id="other")],
        layout.path(LogKind.CHAT, "other", "c-9"): [line("chat", second=6, event_type="chat_message")],
    }
    for path, lines in content.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n")
    return layout.root


def test_tail_merges_all_logs_by_time(cli, root):
    result = cli("tail", "--root", root, "-t", "{msg}")
    assert result.status == 0
    assert [text for text in result.out.splitlines() if text[0] != " "] == [
        "old",
        "system",
        "chat",
        "event",
        "new",
    ]


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["-n", "2"], ["event", "new"]),
        (["-n", "0"], []),
        (["--project", "other"], ["chat", "event"]),
        (["--kind", "requests"], ["old", "new"]),
        (["--kind", "chats"], ["chat"]),
        (["--kind", "system"], ["system"]),
        (["--level", "error"], ["new"]),
        (["--project", "shop", "--chat", "c-1"], ["old"]),
    ],
)
def test_tail_filters(cli, root, arguments, messages):
    result = cli("tail", "--root", root, "--json", *arguments)
    assert result.status == 0
    assert [json.loads(text)["message"] for text in result.out.splitlines()] == messages


def test_tail_of_a_project_that_logged_nothing_has_no_answer(cli, root):
    result = cli("tail", "--root", root, "--project", "none")
    assert (result.status, result.out, result.err) == (1, "", "no logs of kind all yet\n")


def test_a_hostile_project_id_leads_nowhere(cli, root):
    (root.parent / "outside").mkdir()
    assert cli("tail", "--root", root, "--project", "../../outside").out == ""


def test_tail_says_what_is_missing(cli, tmp_path):
    result = cli("tail", "--root", tmp_path / "none")
    assert (result.status, result.out) == (1, "")
    assert "does not exist" in result.err
    assert "To begin" in result.err
    assert cli("tail", "--level", "loud", "--root", tmp_path).status == 2
    assert cli("tail", tmp_path).status == 3
    assert cli("tail", tmp_path / "none" / "app.log").status == 3


def test_tail_of_a_file_reads_on_in_its_segments(cli, tmp_path):
    path = tmp_path / "llm_requests.jsonl"
    with gzip.open(tmp_path / "llm_requests.20260115T103000Z-0001.jsonl.gz", "wb") as file:
        file.write(b'{"msg":"a"}\n{"msg":"b"}\n')
    path.write_text('{"msg":"c"}\n')
    assert cli("tail", path, "-n", "2").out.split() == ["b", "c"]


@contextmanager
def following(*arguments):
    """Run `tail -f` as a program that an interrupt reaches, also where the tests run in the background."""
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, "tail", "-f", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
    )  # fmt: skip
    # A line that does not come is a failure, not a wait without end.
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    try:
        yield process
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def test_following_ends_by_interrupt_with_130(root):
    path = Layout(root).path(LogKind.REQUESTS, "shop")
    with following("--root", root, "-n", "1", "--json") as process:
        assert json.loads(process.stdout.readline())["message"] == "new"
        path.rename(path.with_name("llm_requests.20260115T103000Z-0001.jsonl"))
        path.write_text(line("after") + "\n")
        assert json.loads(process.stdout.readline())["message"] == "after"
        new = Layout(root).path(LogKind.REQUESTS, "brand new")
        new.parent.mkdir(parents=True)
        new.write_text(line("elsewhere") + "\n")
        assert json.loads(process.stdout.readline())["message"] == "elsewhere"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=40)
        assert process.returncode == 130
        assert b"Traceback" not in err


def test_pretty_reads_standard_input_and_files(program, tmp_path):
    path = tmp_path / "app.log.gz"
    with gzip.open(path, "wb") as file:
        file.write(b'{"level":30,"msg":"from gzip"}\n')
    result = program("pretty", "-", path, stdin=b'{"level":50,"msg":"from \\u001b[2Jpipe"}\nplain\n')
    assert (result.status, result.err) == (0, "")
    assert result.out.splitlines() == ["ERROR    from \\x1b[2Jpipe", "plain", "INFO     from gzip"]


def test_pretty_colours_only_when_asked_or_on_a_terminal(cli, monkeypatch):
    data = b'{"level":30,"msg":"x"}\n'
    assert "\x1b" not in cli("pretty", stdin=data).out
    assert "\x1b[32m" in cli("pretty", "--color", stdin=data).out
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[32m" in cli("pretty", stdin=data).out
    assert "\x1b" not in cli("pretty", "--no-color", stdin=data).out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in cli("pretty", stdin=data).out


def test_pretty_shows_each_line_at_once():
    process = subprocess.Popen(
        [sys.executable, "-m", "llm_logging", "pretty"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
    )
    for number in range(3):
        process.stdin.write(b'{"msg":"%d"}\n' % number)
        process.stdin.flush()
        assert process.stdout.readline() == b"%d\n" % number
    process.stdin.close()
    assert process.wait(20) == 0
    process.stdout.close()


def test_a_broken_pipe_is_silent(tmp_path):
    path = tmp_path / "app.log"
    path.write_text('{"msg":"x"}\n' * 200_000)
    process = subprocess.Popen(
        [sys.executable, "-m", "llm_logging", "pretty", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(30) == -signal.SIGPIPE


def test_pretty_names_a_missing_file_and_a_broken_one(cli, tmp_path):
    result = cli("pretty", tmp_path / "none.log")
    assert result.status == 3
    assert "No such file" in result.err
    (tmp_path / "bad.log.gz").write_bytes(b"nonsense")
    result = cli("pretty", tmp_path / "bad.log.gz")
    assert (result.status, result.out) == (0, "")
    assert "damaged" in result.err


def test_a_terminal_of_any_encoding_gets_text(program):
    result = program("pretty", stdin='{"msg":"日本"}\n'.encode(), PYTHONIOENCODING="ascii")
    assert result.out == "\\u65e5\\u672c\n"


def test_an_undecodable_name_is_shown_safely(cli):
    result = cli("pretty", "no\x1bsuch\x1b[2Jfile")
    assert result.status == 3
    assert "\x1b" not in result.err


@pytest.mark.skipif(os.name != "posix", reason="a pseudo terminal")
def test_on_a_terminal_there_is_colour(tmp_path):
    import pty

    path = tmp_path / "app.log"
    path.write_text('{"level":30,"msg":"x"}\n')
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "llm_logging", "pretty", str(path)],
        stdout=child,
        stdin=child,
        env=environment(TERM="xterm-256color"),
    )
    assert process.wait(30) == 0
    time.sleep(0.05)
    assert b"\x1b[32m" in os.read(parent, 1000)
    os.close(parent)
    os.close(child)


def test_following_the_handler_itself_gives_every_line_once(tmp_path):
    import logging.config

    import llm_logging

    root = tmp_path / "live"
    # Rotated every few lines, packed at once: several segments appear between two looks.
    logging.config.dictConfig(llm_logging.presets.production(root=str(root), max_bytes=3000, backup_count=0))
    log = llm_logging.get_logger("app", project_id="shop", chat_id="c-1")
    expected = [log.log_llm_request({"model": "gpt-4o", "status": "success"}).id]
    with following("--root", root, "-n", "1", "--json", "--kind", "requests") as process:
        found = [json.loads(process.stdout.readline())["id"]]
        expected += [log.log_llm_request({"model": "gpt-4o", "status": "success"}).id for _ in range(300)]
        found += [json.loads(process.stdout.readline())["id"] for _ in range(300)]
    assert found == expected
    assert len(list(root.rglob("*.jsonl*"))) > 10
