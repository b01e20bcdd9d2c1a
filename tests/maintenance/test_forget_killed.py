"""A process that is killed while it forgets a person: at every step, readers see each line once, and a second run ends it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from llm_logging.files.segments import list_segments
from llm_logging.hmac_keys import pseudonym
from llm_logging.maintenance.forget import forget
from llm_logging.maintenance.verify import verify
from llm_logging.models.query import StatsOptions
from llm_logging.reader.stats import get_stats
from tests.maintenance.builders import KEY, read, write

STEPS = {"open", "os.rename", "os.remove", "os.mkdir", "os.truncate", "os.chmod"}


def entry(number: int) -> dict[str, object]:
    user = "ann" if number % 3 else "bob"
    at = f"2026-01-01T00:00:{number:02}.000000Z"
    return {
        "v": 1, "timestamp": at, "event_type": "llm_request", "writer": {"id": "w", "seq": number},
        "id": f"r{number}", "project_id": "p", "chat_id": user, "user_id": user, "model": "m", "status": "success",
        "timestamp_start": at,
    }  # fmt: skip


@pytest.fixture
def root(tmp_path):
    """Two sealed segments, one of them packed, and an active file: lines 1 to 9 of one writer."""
    requests = tmp_path / "root" / "projects" / "p" / "logs" / "llm_requests.jsonl"
    write(requests, map(entry, (1, 2, 3)), sealed=1)
    write(requests, map(entry, (4, 5, 6)), sealed=2, packed=True)
    write(requests, map(entry, (7, 8, 9)))
    return tmp_path / "root"


def killed_at(step: int, root: Path, **options: object) -> bool:
    """Forget Ann in a process of its own that ends before its n-th step on the disk; say whether it came so far."""
    child = os.fork()
    if not child:
        left = [step]

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            if event in STEPS and any(str(root) in str(part) for part in arguments):
                left[0] -= 1
                if left[0] < 0:
                    os._exit(9)

        sys.addaudithook(hook)
        try:
            forget(root, user_id="ann", **options)
        except BaseException:
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in {0, 9}
    return code == 9


@pytest.mark.parametrize("mode", ["remove", "pseudonymise"])
def test_whatever_step_it_is_killed_at(root, tmp_path, mode):
    options = {"mode": mode, "key": KEY}
    alias = pseudonym("user_id", "ann", KEY)
    bobs = ["r3", "r6", "r9"]
    step = killed = 0
    while True:
        copy = tmp_path / f"copy-{step}"
        shutil.copytree(root, copy)
        active = copy / "projects" / "p" / "logs" / "llm_requests.jsonl"
        if not killed_at(step, copy, **options):
            break
        killed += 1
        seen = [document["id"] for document in read(active)]
        assert len(seen) == len(set(seen))
        assert [name for name in seen if name in bobs] == bobs
        verify(copy)
        forget(copy, user_id="ann", **options)
        documents = read(active)
        expected = bobs if mode == "remove" else [f"r{number}" for number in range(1, 10)]
        assert [document["id"] for document in documents] == expected
        assert {document["user_id"] for document in documents} == (
            {"bob"} if mode == "remove" else {"bob", alias}
        )
        assert verify(copy).ok
        assert not list(copy.rglob(".*.forget"))
        assert len(list_segments(active, superseded=True)) == len(list_segments(active))
        quality = get_stats(
            options=StatsOptions(), root=copy, cache=False, now=datetime(2026, 2, 1, tzinfo=UTC)
        ).quality
        assert (quality.gaps, quality.complete) == ([], True), json.dumps(step)
        shutil.rmtree(copy)
        step += 1
    assert killed > 20
