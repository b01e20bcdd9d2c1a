"""Hosts that log to roots of their own, and what a store holds of them, read without the package."""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import os
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from llm_logging import LLMFileHandler
from llm_logging.files.objects import ObjectStore
from llm_logging.files.segments import list_segments
from llm_logging.maintenance.manifest import read_manifest
from llm_logging.maintenance.verify import logs_below


def log_requests(root: Path, count: int, *, project: str = "shop", start: int = 0, **options: Any) -> None:
    """Log requests with a real handler, which is closed then."""
    logger = logging.getLogger(f"fleet.{uuid.uuid4().hex}")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    handler = LLMFileHandler(root, **{"max_bytes": 4000, **options})
    logger.addHandler(handler)
    for number in range(start, start + count):
        request = {
            "event_type": "llm_request", "project_id": project, "chat_id": "c-1", "model": "gpt-4o", "user_id": f"u-{number % 3}",
            "status": "success", "usage": {"prompt_tokens": number, "completion_tokens": 1},
        }  # fmt: skip
        logger.info("answered", extra=request)
    logger.removeHandler(handler)
    handler.close()


def lines_on_disk(root: Path) -> list[bytes]:
    """Return the lines of a root's sealed segments."""
    found = []
    for active in logs_below(root):
        for segment in list_segments(active):
            if not segment.active:
                data = segment.path.read_bytes()
                found += (gzip.decompress(data) if segment.compression else data).splitlines()
    return found


def objects(store: ObjectStore, ending: str = "") -> dict[str, bytes]:
    """Return the content of a store by key."""
    return {
        found.key: b"".join(store.read(found.key))
        for found in list(store.list())
        if found.key.endswith(ending)
    }


def lines_in(store: ObjectStore) -> list[bytes]:
    """Return the lines of a store; each object must hold what the end of its name says."""
    found = []
    for key, content in objects(store, ".jsonl.gz").items():
        data = gzip.decompress(content)
        assert hashlib.sha256(data).hexdigest()[:12] == key.removesuffix(".jsonl.gz")[-12:], key
        found += data.splitlines()
    return found


def assert_shipped_once(root: Path, store: ObjectStore) -> None:
    """Hold a store to a root of which every segment was shipped: each line there once, each receipt true and single."""
    assert Counter(lines_in(store)) == Counter(lines_on_disk(root))
    there = objects(store, ".jsonl.gz")
    receipts: Counter[tuple[Path, str]] = Counter()
    for active in logs_below(root):
        for entry in read_manifest(active):
            if entry.action == "shipped":
                receipts[active, entry.segment] += 1
                assert entry.object is not None
                assert hashlib.sha256(gzip.decompress(there[entry.object])).hexdigest() == entry.sha256
    assert set(receipts.values()) == {1}
    assert len(receipts) == len(there)


def state_of(store: ObjectStore) -> dict[str, Any]:
    """Return the only host's state."""
    (content,) = objects(store, "state.json").values()
    return json.loads(content)


def in_a_child(action: Callable[[], object]) -> None:
    """Do something in a process of its own, as another host does: its writer has an id of its own."""
    child = os.fork()
    if not child:
        try:
            action()
        except BaseException as error:
            sys.stderr.write(f"{error!r}\n")
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0


def log_pairs(root: Path, host: int, count: int, *, shared: int = 5) -> None:
    """Log pairs of lines (pending, final) of many kinds of request; some ids are on several hosts."""
    logger = logging.getLogger(f"fleet.{uuid.uuid4().hex}")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    handler = LLMFileHandler(root, max_bytes=30_000)
    logger.addHandler(handler)
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(count):
        name = uuid.UUID(int=number + 1 if number < shared else (host + 1) << 64 | number)
        start = begun + timedelta(minutes=17 * number + host)
        fields = {
            "event_type": "llm_request", "project_id": f"p{number % 2}", "chat_id": f"c-{number % 5}", "id": str(name),
            "model": ("gpt-4o", "claude-sonnet-4-5", "house")[number % 3], "user_id": f"u-{number % 7}",
            "timestamp_start": start.isoformat(), "tags": [f"t{number % 4}"], "attributes": {"tenant": f"n{number % 3}"},
            "provider": ("openai", "anthropic", "own")[number % 3],
        }  # fmt: skip
        logger.info("asked", extra={**fields, "status": "pending"})
        logger.info(
            "answered",
            extra={
                **fields,
                "status": "error" if number % 11 == 10 else "success",
                "usage": {
                    "prompt_tokens": 10 + number,
                    "completion_tokens": number % 50,
                    "cache_read_tokens": number % 9,
                },
                "timings": {
                    "latency_ms": 100.5 + 13.37 * number % 977,
                    "time_to_first_token_ms": 10.25 + number % 91,
                },
            },
        )
    logger.removeHandler(handler)
    handler.close()


def one_root_of(roots: Sequence[Path], target: Path) -> Path:
    """Make a local root that holds the lines of several roots, the active files included."""
    for host, root in enumerate(roots):
        for active in logs_below(root):
            for segment in list_segments(active):
                stamp = segment.stamp or "20991231T000000Z"
                folder = target / active.parent.relative_to(root)
                folder.mkdir(parents=True, exist_ok=True)
                name = f"{active.stem}.{stamp}-{(host + 1) * 10_000 + segment.index}.jsonl"
                (folder / name).write_bytes(segment.path.read_bytes())
    return target
