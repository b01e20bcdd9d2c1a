import contextlib
import json
import logging
import logging.config
import os
import pty
import select
import sys

import pytest

import llm_logging
from llm_logging.reader.answer import partial_sums as sums
from llm_logging.reader.segments import piece_cache as load


@pytest.fixture
def root(tmp_path):
    """A root that the handler itself wrote, rotated and sealed."""
    folder = tmp_path / "root"
    config = llm_logging.presets.production(root=str(folder), max_bytes=2000, compress=None, content="full")
    logging.config.dictConfig(config)
    log = llm_logging.get_logger("app", project_id="shop", chat_id="c-1")
    for number in range(20):
        user = "alice" if number % 4 == 0 else "bob"
        log.log_llm_request({"model": "gpt-4o", "status": "success", "user_id": user, "project_id": "shop", "chat_id": f"c-{number % 4}",
                             "usage": {"prompt_tokens": 10, "completion_tokens": number}})  # fmt: skip
    logging.config.dictConfig({"version": 1})
    yield folder
    logging.shutdown()


def test_verify_is_content_with_what_was_written_and_finds_a_change(cli, root, tmp_path):
    fine = cli("verify", "--root", root)
    assert fine.status == 0
    assert "llm_requests.jsonl" in fine.out
    assert "sealed" in fine.out
    heads = tmp_path / "heads.json"
    heads.write_text(cli("verify", "--root", root, "--print-heads").out)
    assert json.loads(heads.read_text())
    assert cli("verify", "--root", root, "--heads", heads).status == 0
    segment = next(root.rglob("llm_requests.2*.jsonl"))
    segment.write_bytes(segment.read_bytes().replace(b"gpt-4o", b"gpt-4x", 1))
    broken = cli("verify", "--root", root)
    assert broken.status == 1
    assert "changed" in broken.out
    assert segment.name in broken.out
    report = json.loads(cli("verify", "--root", root, "--json").out)
    assert report["ok"] is False
    nonsense = tmp_path / "nonsense"
    nonsense.write_text("[1]")
    assert cli("verify", "--root", root, "--heads", nonsense).status == 2
    assert cli("verify", "--root", root, "--heads", tmp_path / "none").status == 3
    assert cli("verify", "--root", tmp_path / "none").status == 1


def test_forget_takes_one_person_out(cli, root):
    def users():
        lines = cli("requests", "--root", root, "-n", "0", "--format", "json").out.splitlines()
        return sorted({json.loads(line)["user_id"] for line in lines})

    assert users() == ["alice", "bob"]
    dry = cli("forget", "--root", root, "--user", "alice", "--dry-run")
    assert dry.status == 0
    assert "lines of 5 requests would be removed" in dry.out
    assert users() == ["alice", "bob"]
    unasked = cli("forget", "--root", root, "--user", "alice", stdin=b"")
    assert unasked.status == 2
    assert "--yes" in unasked.err
    assert users() == ["alice", "bob"]
    done = cli("forget", "--root", root, "--user", "alice", "--json", "--yes")
    assert done.status == 0, done.err
    assert json.loads(done.out)["requests"] == 5
    assert users() == ["bob"]
    assert json.loads(cli("stats", "--root", root, "--format", "json").out)["quality"]["missing_lines"] == 0
    assert cli("verify", "--root", root).status == 0
    assert cli("doctor", "--root", root).status == 0


@pytest.mark.parametrize("answer", ["interrupt", "end of input", "no"])
def test_a_question_that_is_left_changes_nothing(root, answer):
    """Asked on a terminal of its own; Ctrl-C there is a character."""
    pid, terminal = pty.fork()
    if pid == 0:
        code = "from llm_logging.cli.app import main; raise SystemExit(main())"
        os.execv(
            sys.executable, [sys.executable, "-c", code, "forget", "--root", str(root), "--user", "alice"]
        )
    said = b""
    while b"Continue?" not in said:
        said += os.read(terminal, 1000)
    key = {"interrupt": b"\x03", "end of input": b"\x04", "no": b"n\n"}[answer]
    with contextlib.suppress(OSError):
        while True:
            # Python misses a Ctrl-C between the prompt and the reading of the answer; people press it again.
            os.write(terminal, key)
            while select.select([terminal], [], [], 1)[0] and os.read(terminal, 1000):
                pass
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status == {"interrupt": 130, "end of input": 130, "no": 1}[answer]
    assert any(b"alice" in path.read_bytes() for path in root.rglob("*.jsonl"))


def test_forget_says_what_it_needs(cli, root, monkeypatch):
    assert cli("forget", "--root", root).status == 2
    assert cli("forget", "--root", root, "--user", "x", "--mode", "burn").status == 2
    keyless = cli("forget", "--root", root, "--user", "alice", "--mode", "pseudonymise")
    assert keyless.status == 2
    assert "LLM_LOGGING_PSEUDONYM_KEY" in keyless.err
    monkeypatch.setenv("LLM_LOGGING_PSEUDONYM_KEY", "k" * 32)
    renamed = cli("forget", "--root", root, "--user", "alice", "--mode", "pseudonymise", "--yes")
    assert renamed.status == 0
    assert "renamed" in renamed.out
    assert "alice" not in "".join(path.read_text() for path in root.rglob("llm_requests*.jsonl"))


def test_forget_drops_what_the_reader_kept(cli, root, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    monkeypatch.setattr(sums, "_WORTH", 1)
    monkeypatch.setattr(load, "_WORTH", 1)
    monkeypatch.setattr(load, "_WORTH_IN_ALL", 1)
    assert cli("stats", "--root", root, "--cache-dir", cache, "--by", "user,day").status == 0
    held = [path for path in cache.rglob("*") if path.is_file() and b"alice" in path.read_bytes()]
    assert {path.suffix for path in held} >= {".parquet", ".json"}
    assert any(path.name.startswith("sums-") for path in held)
    assert cli("forget", "--root", root, "--user", "alice", "--cache-dir", cache, "--yes").status == 0
    assert not [path for path in cache.rglob("*") if path.is_file() and b"alice" in path.read_bytes()]
