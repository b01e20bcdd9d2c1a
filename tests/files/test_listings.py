"""Reading, verifying and examining a log tells the truth while it is rotated, compressed and pruned all the time."""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import ExitStack

import pytest

from llm_logging.handler.writing.housekeeping import Housekeeper
from llm_logging.handler.writing.rotating_file import AppendFile, FileOptions
from llm_logging.maintenance.doctor import check_leftovers, check_lines
from llm_logging.maintenance.retention import Retention
from llm_logging.maintenance.verify import verify
from llm_logging.reader.lines.log_files import Log, open_logs
from tests.stress import SlowListing


@pytest.fixture(params=[Retention(), Retention(backup_count=3)], ids=["kept", "pruned"])
def busy(request, tmp_path, monkeypatch):
    """A log that a thread writes to, rotates, compresses and prunes; listings are torn."""
    active = tmp_path / "logs" / "a.jsonl"
    said = []
    kept = Housekeeper(
        None,
        compression="gz",
        retention=request.param,
        on_rotate=None,
        key=None,
        notice=lambda *a: said.append(a),
    )
    file = AppendFile(
        str(active),
        FileOptions(max_bytes=400, fsync="never"),
        sealed=kept._care,
        notice=lambda *a: said.append(a),
    )
    ended = threading.Event()

    def write():
        number = 0
        while not ended.is_set():
            number += 1
            line = {"timestamp": "2026-01-01T00:00:00Z", "writer": {"id": "w", "seq": number}, "n": number}
            said.extend(filter(None, [file.append(json.dumps(line).encode() + b"\n")[1]]))
            time.sleep(0.001)

    monkeypatch.setattr(os, "scandir", SlowListing)
    thread = threading.Thread(target=write)
    thread.start()
    while not active.exists():
        time.sleep(0.01)
    yield active, request.param
    ended.set()
    thread.join()
    file.let_go()
    assert said == []


def test_a_reader_sees_each_line_once_and_none_is_missing(busy):
    active, retention = busy
    until = time.monotonic() + 2
    last = 0
    while time.monotonic() < until:
        with ExitStack() as stack:
            found = []
            for file in open_logs([Log("a", active)], stack):
                data = os.pread(file.descriptor, 1 << 20, 0)
                if file.raw.compression:
                    data = __import__("gzip").decompress(data)
                found += [json.loads(line)["n"] for line in data.splitlines()]
        assert found == list(range(found[0], found[-1] + 1))
        assert retention.backup_count or found[0] == 1
        assert found[-1] >= last
        last = found[-1]


def test_verify_and_doctor_find_nothing(busy):
    active, _ = busy
    until = time.monotonic() + 2
    while time.monotonic() < until:
        assert verify(active.parent.parent).findings == []
        assert [finding for finding in check_lines(active.parent.parent) if finding.state != "ok"] == []
        assert [finding.state for finding in check_leftovers(active.parent.parent, time.time())] == ["ok"]
