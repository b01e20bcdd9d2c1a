"""Hosts that log to roots of their own, and what a store holds of them, read without the package."""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

from llm_logging import LLMFileHandler
from llm_logging.files.objects import FolderStore, ObjectStore
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


def folder_store(path: Path) -> FolderStore:
    return FolderStore(path)
