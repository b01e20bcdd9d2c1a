"""`ship`, and the other commands on what was shipped."""

import json
import signal
import subprocess
import sys
import time

import pytest

from llm_logging.files.objects import FolderStore
from llm_logging.maintenance.ship import seal_all
from tests.cli.conftest import environment
from tests.maintenance.fleet import assert_shipped_once, lines_in, log_requests, objects


@pytest.fixture
def store(tmp_path):
    return FolderStore(tmp_path / "store", f"file://{tmp_path}/store")


def test_ship_says_what_it_did_and_what_waits(cli, root, store):
    log_requests(root, 30)
    first = cli("ship", "--root", root, "--to", store.url)
    assert first.status == 0
    assert first.out.count("shipped hosts/") == len(objects(store, ".jsonl.gz")) > 2
    assert "not sealed yet; complete up to 20" in first.out
    # Where it was shipped before need not be said again.
    again = cli("ship", "--root", root, "--json")
    told = json.loads(again.out)
    assert (again.status, told["shipped"], told["to"]) == (0, [], store.url)
    assert told["waiting_lines"] == 30 - len(lines_in(store))
    flushed = cli("ship", "--root", root, "--flush")
    assert "not sealed yet" not in flushed.out
    assert len(lines_in(store)) == 30
    assert_shipped_once(root, store)
    assert len(objects(store, ".parquet")) == len(objects(store, ".jsonl.gz"))


def test_no_pieces(cli, root, store):
    log_requests(root, 30)
    cli("ship", "--root", root, "--to", store.url, "--no-pieces")
    assert objects(store, ".parquet") == {}


def test_a_destination_is_needed_and_can_be_given_up(cli, root, store):
    log_requests(root, 30)
    missing = cli("ship", "--root", root)
    assert (missing.status, "never shipped" in missing.err) == (2, True)
    cli("ship", "--root", root, "--to", store.url)
    log_requests(root, 30, start=30)
    seal_all(root)
    kept = cli("prune", "--root", root, "--max-bytes", "0", "--yes")
    assert "not shipped yet" in kept.err
    assert cli("ship", "--root", root, "--to", store.url, "--stop").out.count("any more") == 1
    assert "not shipped yet" not in cli("prune", "--root", root, "--max-bytes", "0", "--yes").err
    assert list(root.rglob("llm_requests.2*")) == []
    assert cli("ship", "--root", root, "--to", "http://x/y").status == 2


def test_a_changed_segment_ends_with_status_1(cli, root, store):
    log_requests(root, 30)
    victim = min(root.rglob("llm_requests.2*"))
    victim.write_bytes(victim.read_bytes()[:-5])
    done = cli("ship", "--root", root, "--to", store.url)
    assert (done.status, victim.name in done.err) == (1, True)


def test_a_store_that_cannot_be_written_ends_with_status_3(cli, root, tmp_path):
    log_requests(root, 30)
    (tmp_path / "file").write_text("")
    assert cli("ship", "--root", root, "--to", tmp_path / "file").status == 3


def test_commands_read_a_store_as_a_root(cli, root, store, tmp_path):
    log_requests(root, 30)
    cli("ship", "--root", root, "--to", store.url, "--flush")
    for command in ("stats", "daily", "models", "projects", "errors", "requests"):
        here = cli(
            command,
            "--root",
            root,
            "--json" if command != "requests" else "--format=json",
            "--cache-dir",
            tmp_path / "c",
        )
        there = cli(
            command,
            "--root",
            store.url,
            "--json" if command != "requests" else "--format=json",
            "--cache-dir",
            tmp_path / "c",
        )
        assert (there.status, there.err) == (here.status, here.err), command
        assert there.out.count("\n") == here.out.count("\n")
    assert "30" in cli("stats", "--root", store.url).out
    assert cli("search", "gpt-4o", "--root", store.url).status == 0
    assert cli("verify", "--root", store.url).status == 0
    assert (
        cli("forget", "--root", store.url, "--user", "u-1", "--yes").out.count(
            "10 lines of 10 requests removed"
        )
        == 1
    )
    assert len(lines_in(store)) == 20
    assert cli("prune", "--root", store.url, "--max-bytes", "0", "--yes").status == 0
    assert lines_in(store) == []
    for command in ("tail", "doctor"):
        refused = cli(command, "--root", store.url)
        assert (refused.status, "on the host that writes the logs" in refused.err) == (2, True)


def test_watching_ships_what_is_sealed_and_at_the_end_the_rest(root, store):
    log_requests(root, 30)
    command = [
        sys.executable,
        "-m",
        "llm_logging",
        "ship",
        "--root",
        root,
        "--to",
        store.url,
        "--watch",
        "--flush",
        "--every",
        "1s",
    ]
    with subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        wait_for(lambda: len(lines_in(store)) > 20)
        log_requests(root, 30, start=30)
        wait_for(lambda: len(lines_in(store)) > 50)
        running.send_signal(signal.SIGTERM)
        out, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (0, "")
    assert "complete up to" in out
    assert len(lines_in(store)) == 60
    assert_shipped_once(root, store)


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
