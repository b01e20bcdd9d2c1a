"""A process that ends at any step of rotating, sealing, compressing or pruning loses and doubles nothing; the next one finishes it."""

from __future__ import annotations

import gzip
import json
import os
import struct
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from llm_logging.files import compression
from llm_logging.files.segments import list_segments
from llm_logging.handler.writing.housekeeping import Housekeeper
from llm_logging.handler.writing.rotating_file import AppendFile, FileOptions
from llm_logging.maintenance import sealing as naming
from llm_logging.maintenance.doctor import check_leftovers, check_lines
from llm_logging.maintenance.retention import Retention
from llm_logging.maintenance.verify import verify

STEPS = ("open", "write", "pwrite", "fsync", "unlink", "rename", "ftruncate", "fchmod", "mkdir")
NOTE = struct.Struct("<Q")


def work(root: Path, first: int, note: int, retention: Retention, *, compress: str | None) -> None:
    """Append lines from `first` on, and do all that follows a rotation at once; note after each line that it was appended."""
    kept = Housekeeper(
        None, compression=compress, retention=retention, on_rotate=None, key=None, notice=refuse
    )
    file = AppendFile(
        str(root / "logs" / "a.jsonl"),
        FileOptions(max_bytes=150),
        sealed=kept._care,
        notice=lambda event, *_: refuse(event) if event != "torn_line_repaired" else None,
    )
    for number in range(first, first + 6):
        line = {
            "timestamp": "2026-01-01T00:00:00Z",
            "writer": {"id": f"w{first}", "seq": number - first + 1},
            "n": number,
        }
        assert file.append(json.dumps(line).encode() + b"\n")[1] is None
        real_pwrite(note, NOTE.pack(number + 1), 0)
    file.let_go()


real_pwrite = os.pwrite


def refuse(*said: object) -> None:
    raise AssertionError(said)


def killed_at(
    step: int, root: Path, first: int, note: int, retention: Retention, **options: str | None
) -> bool:
    """Work in a process of its own that ends before its n-th step on the disk; say whether it came so far."""
    child = os.fork()
    if not child:
        left = [step]

        def counted(real):
            def call(*args, **kwargs):
                left[0] -= 1
                if left[0] < 0:
                    os._exit(9)
                return real(*args, **kwargs)

            return call

        for name in STEPS:
            setattr(os, name, counted(getattr(os, name)))
        for module in (compression, naming):
            module.rename_new = counted(module.rename_new)
        try:
            work(root, first, note, retention, **options)
        except BaseException as error:
            os.write(2, repr(error).encode())
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in {0, 9}
    return code == 9


def numbers(root: Path) -> list[int]:
    found = []
    for segment in list_segments(root / "logs" / "a.jsonl"):
        data = segment.path.read_bytes()
        found += [
            json.loads(line)["n"]
            for line in (gzip.decompress(data) if segment.compression else data).splitlines()
        ]
    return found


@pytest.mark.parametrize(
    ("compress", "retention"),
    [
        ("gz", Retention()),
        ("gz", Retention(backup_count=2)),
        (None, Retention(max_age=timedelta(microseconds=1))),
    ],
    ids=["compressed", "counted", "pruned at once"],
)
def test_whatever_step_it_ends_at(tmp_path, compress, retention):
    steps = 0
    for step in count():
        root = tmp_path / f"root-{step}"
        note = os.open(tmp_path / "note", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        killed = killed_at(step, root, 0, note, retention, compress=compress)
        done = NOTE.unpack(os.pread(note, NOTE.size, 0).ljust(NOTE.size, b"\0"))[0]
        assert not killed_at(1 << 30, root, 100, note, retention, compress=compress)
        os.close(note)
        found = numbers(root)
        # The line that was being appended may be there or not.
        wanted = [*range(done + (done in found)), *range(100, 106)]
        assert found == (wanted if retention == Retention() else wanted[len(wanted) - len(found) :]), step
        report = verify(root)
        assert report.ok, (step, report.findings)
        assert [finding for finding in check_lines(root) if finding.state == "problem"] == []
        assert [finding.text for finding in check_leftovers(root, 1e12)] == [
            "nothing is left of interrupted work"
        ]
        steps += killed
        if not killed:
            break
    assert steps > 40
