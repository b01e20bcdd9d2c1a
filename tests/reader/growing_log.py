"""A log that grows, rotates and is pruned, for tests of what the reader keeps."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta

from llm_logging.files.layout import Layout, LogKind
from llm_logging.files.segments import list_segments, segment_name
from llm_logging.models.stats import StatsOptions, StatsScope
from llm_logging.reader.stats import get_stats

START = datetime(2026, 1, 15, 10, tzinfo=UTC)


def text(number, *, status="success", seq=None, request=None, **fields):
    at = (START + timedelta(seconds=number)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    entry = {
        "v": 1, "timestamp": at, "level": "INFO", "logger": "app", "message": "", "event_type": "llm_request",
        "writer": {"id": "w", "seq": number if seq is None else seq},
        "id": str(uuid.UUID(int=(number if request is None else request) + 1, version=4)), "project_id": "shop",
        "chat_id": "c", "model": "gpt-4o", "provider": "openai", "status": status, "timestamp_start": at,
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}, **fields,
    }  # fmt: skip
    return json.dumps({key: value for key, value in entry.items() if value is not None}) + "\n"


class Log:
    """A project's request log that a test writes and rotates, and reads with a cache."""

    def __init__(self, tmp_path):
        self.root, self.cache = tmp_path / "logs", tmp_path / "cache"
        self.active = Layout(self.root).path(LogKind.REQUESTS, "shop")
        self.active.parent.mkdir(parents=True)
        self.seq = 0

    def write(self, count, **fields):
        with self.active.open("a") as file:
            for _ in range(count):
                self.seq += 1
                file.write(text(self.seq, **fields))

    def rotate(self):
        index = len(list_segments(self.active)) + 1
        sealed = self.active.with_name(segment_name("llm_requests", START + timedelta(minutes=index), 1))
        self.active.rename(sealed)
        return sealed

    def stats(self, **options):
        # Tests ask with another filter each time: what was answered before does not answer it.
        return get_stats(
            StatsScope(type="project", project_id="shop"),
            StatsOptions(**options),
            root=self.root,
            cache_dir=self.cache,
        )

    def pieces(self):
        return {path.name: path for path in self.cache.rglob("*.parquet") if not path.name.startswith("hot-")}
