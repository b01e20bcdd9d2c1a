"""A small root with every kind of file that a reader meets, the same bytes each time but for the times in manifests."""

from __future__ import annotations

import gzip
import json
import logging
import random
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from llm_logging.files.layout import Layout, LogKind
from llm_logging.files.segments import segment_name
from llm_logging.handler.formatter import LLMJsonFormatter
from llm_logging.maintenance.manifest_notes import record_sealed

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
START = datetime(2026, 1, 10, tzinfo=UTC)
PROJECTS = ("shop", "blog", "calm")
MODELS = (
    ("gpt-4o", "openai"),
    ("claude-sonnet-4-5", "anthropic"),
    ("mystery-1", "nobody"),
    ("gemini-2.5-pro", "google"),
)
_FORMATTER = LLMJsonFormatter(redact=False)


def _line(moment: datetime, writer: str, number: int, message: str, fields: dict[str, Any]) -> bytes:
    record = logging.LogRecord("app.chat", logging.INFO, "app.py", 1, message, None, None)
    record.created = moment.timestamp()
    record.__dict__.update(fields)
    line = json.loads(_FORMATTER.format(record))
    line["timestamp"] = moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return json.dumps({**line, "writer": {"id": writer, "seq": number}}, ensure_ascii=False).encode() + b"\n"


def request(chance: random.Random, number: int, project: str) -> dict[str, Any]:
    """Return one entry's fields."""
    start = START + timedelta(hours=number, milliseconds=number)
    model, provider = chance.choice(MODELS)
    status = chance.choice(("success", "success", "success", "error", "timeout", "pending"))
    entry: dict[str, Any] = {
        "id": str(uuid.UUID(int=chance.getrandbits(128), version=4)),
        "project_id": project,
        "chat_id": f"c{number % 3}",
        "user_id": chance.choice(("u1", "u2", "é\u202e")),
        "model": model,
        "provider": provider,
        "status": status,
        "timestamp_start": start,
        "attempt": chance.choice((1, 1, 2)),
        "tags": chance.sample(["a", "b", "c d", "é"], chance.randrange(3)),
        "attributes": {"tenant": chance.choice(("acme", "o'neil", 7)), "deep": {"er": number}},
    }
    if status != "pending":
        entry["timings"] = {"latency_ms": 100.5 + number, "time_to_first_token_ms": 20.25}
        entry["timestamp_end"] = start + timedelta(milliseconds=100.5 + number)
    if status == "success":
        entry["usage"] = {
            "prompt_tokens": 100 + number,
            "completion_tokens": 50,
            "cache_read_tokens": chance.choice((0, 10)),
        }
        entry["response"] = {"role": "assistant", "content": "answer \x1b[31m " + "word " * number}
        entry["messages"] = [{"role": "user", "content": f"question {number} needle"}]
    if status == "error":
        entry["error"] = {"code": "rate_limit", "message": "slow down"}
        entry["http_status"] = 429
    if chance.random() < 0.2:
        entry["cost"] = {"amount": "0.0125", "currency": chance.choice(("USD", "EUR"))}
    return entry


def _log(layout: Layout, kind: LogKind, lines: list[bytes], parts: int, **ids: str) -> None:
    """Write lines as a log of several segments, some packed, noted in a manifest."""
    active = layout.path(kind, **ids)
    active.parent.mkdir(parents=True, exist_ok=True)
    size = max(1, len(lines) // parts)
    for part in range(parts - 1):
        stem = active.name.removesuffix(".jsonl")
        sealed = active.with_name(segment_name(stem, START + timedelta(days=part), 1))
        sealed.write_bytes(b"".join(lines[part * size : (part + 1) * size]))
        record_sealed(active, sealed)
        if part % 2 == 0:
            packed = sealed.with_name(f"{sealed.name}.gz")
            packed.write_bytes(gzip.compress(sealed.read_bytes(), 1, mtime=0))
            sealed.unlink()
    active.write_bytes(b"".join(lines[(parts - 1) * size :]))


def build(root: Path) -> None:
    """Write the root."""
    chance = random.Random("root")
    layout = Layout(root)
    closes: dict[str, int] = {}
    for project in PROJECTS:
        numbers, texts = [], []
        for number in range(24):
            entry = request(chance, number, project)
            held = {name: entry.pop(name) for name in ("messages", "response") if name in entry}
            moment = entry["timestamp_start"] + timedelta(seconds=1)
            numbers.append(_line(moment, "w1", number + 1, "answered", {"llm_request": entry}))
            if number % 4 == 0:
                # The line before it of the same request.
                pending = {**entry, "status": "pending"}
                for name in ("usage", "timings", "timestamp_end", "error", "http_status", "cost"):
                    pending.pop(name, None)
                numbers.insert(-1, _line(moment, "w2", number + 1, "asked", {"llm_request": pending}))
            if held:
                envelope = {"v": 1, "timestamp": "2026-01-10T00:00:01.000000Z", "event_type": "llm_content"}
                content = {**envelope, "writer": {"id": "w1", "seq": number + 1}, "id": entry["id"], **held}
                texts.append(json.dumps(content, ensure_ascii=False).encode() + b"\n")
        events = [
            _line(
                START + timedelta(hours=n),
                "w1",
                n + 1,
                f"needle {n}",
                {"project_id": project, "chat_id": "c1", "hits": n},
            )
            for n in range(8)
        ]
        chats = [
            json.dumps(
                {
                    "v": 1, "timestamp": f"2026-01-11T00:00:{n:02d}.000000Z", "level": "INFO", "logger": "app", "message": "",
                    "event_type": "chat_message", "writer": {"id": "w1", "seq": n + 1}, "id": f"m{n}", "project_id": project,
                    "chat_id": "c1", "role": "user", "content": f"hello needle \u202e {n}", "status": "complete",
                }
            ).encode()
            + b"\n"
            for n in range(4)
        ]  # fmt: skip
        _log(layout, LogKind.REQUESTS, numbers, 4, project_id=project)
        _log(layout, LogKind.CONTENT, texts, 3, project_id=project)
        _log(layout, LogKind.EVENTS, events, 2, project_id=project)
        _log(layout, LogKind.CHAT, chats, 2, project_id=project, chat_id="c1")
        closes[layout.relative(LogKind.REQUESTS, project)] = 24
    system = [
        _line(START + timedelta(hours=n), "w1", n + 1, "system needle", {"level_note": n}) for n in range(6)
    ]
    _log(layout, LogKind.SYSTEM, system, 2)
    note = {
        "v": 1,
        "timestamp": "2026-01-12T00:00:00.000000Z",
        "writer": "w1",
        "closed": True,
        "files": closes,
    }
    (root / ".writers.jsonl").write_bytes(json.dumps(note).encode() + b"\n")
