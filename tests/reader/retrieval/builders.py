"""Lines at known times, for tests of retrieval."""

import json
import uuid
from datetime import UTC, datetime, timedelta

from llm_logging.files.layout import Layout, LogKind
from llm_logging.files.segments import segment_name

START = datetime(2026, 1, 10, tzinfo=UTC)


def stamp(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def line(number, seq, *, status="success", at=0, writer="w", **fields):
    start = START + timedelta(minutes=number)
    return {
        "v": 1,
        "timestamp": stamp(start + timedelta(seconds=at)),
        "level": "INFO",
        "logger": "app",
        "message": f"call {number}",
        "event_type": "llm_request",
        "writer": {"id": writer, "seq": seq},
        "id": str(uuid.UUID(int=number + 1)),
        "project_id": "shop",
        "chat_id": "c",
        "model": "gpt-4o",
        "status": status,
        "timestamp_start": stamp(start),
        **fields,
    }


def save(root, lines, *, project="shop", cuts=(), kind=LogKind.REQUESTS):
    """Write lines to a log, rotated after the given counts."""
    active = Layout(root).path(kind, project)
    active.parent.mkdir(parents=True, exist_ok=True)
    edges = [0, *sorted(cuts), len(lines)]
    for number, (first, last) in enumerate(zip(edges, edges[1:], strict=False)):
        part = lines[first:last]
        data = b"".join(
            (item if isinstance(item, bytes) else json.dumps(item).encode()) + b"\n" for item in part
        )
        if number == len(edges) - 2:
            active.write_bytes(data)
        else:
            times = [item["timestamp"] for item in lines[:last] if isinstance(item, dict)]
            sealed = datetime.fromisoformat(max(times, default=stamp(START)))
            (active.parent / segment_name(active.stem, sealed, number + 1)).write_bytes(data)
    return root
