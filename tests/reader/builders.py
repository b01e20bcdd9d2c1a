"""Entries, roots and questions for tests of the reader."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta

from llm_logging.files.layout import Layout, LogKind
from llm_logging.files.segments import segment_name
from llm_logging.models.stats import StatsOptions
from llm_logging.reader.stats import get_stats

START = datetime(2026, 1, 15, 10, tzinfo=UTC)


def entry(number, project="shop", chat="c", **fields):
    at = (START + timedelta(minutes=number)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    value = {
        "v": 1, "timestamp": at, "event_type": "llm_request", "writer": {"id": "w", "seq": number + 1},
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{project}{number}")), "project_id": project, "chat_id": chat,
        "model": "gpt-4o", "provider": "openai", "status": "success", "timestamp_start": at,
        "timings": {"latency_ms": 100.0 * (number + 1)},
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}, **fields,
    }  # fmt: skip
    return {key: item for key, item in value.items() if item is not None}


def put(root, entries, kind=LogKind.REQUESTS, sealed=None):
    by_file = {}
    for value in entries:
        by_file.setdefault(Layout(root).path(kind, value["project_id"], value["chat_id"]), []).append(value)
    for path, values in by_file.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path = path.with_name(segment_name(path.stem, START, sealed)) if sealed else path
        with path.open("a") as file:
            file.writelines(json.dumps(value) + "\n" for value in values)


def ask(root, scope=None, **options):
    return get_stats(scope, StatsOptions(**options), root=root, cache=False, now=START + timedelta(days=1))
