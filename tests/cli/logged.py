"""A root full of requests, written as the handler writes them, for the tests of the command line."""

import gzip
import json
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

from llm_logging.files.layout import Layout, LogKind
from llm_logging.files.segments import segment_name

START = datetime(2026, 1, 10, tzinfo=UTC)
HOSTILE = "\x1b[2J\u202e[red]=cmd|x"


def stamp(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def uid(number):
    return str(uuid.UUID(int=(number + 1) << 64 | 0x8000_0000_0000_4000 << 0))


def envelope(moment, message, event_type, seq, *, level="INFO", writer="w1"):
    return {
        "v": 1,
        "timestamp": stamp(moment),
        "level": level,
        "logger": "app",
        "message": message,
        "event_type": event_type,
        "writer": {"id": writer, "seq": seq},
    }


def request(number, seq, *, pending=False, **changes):
    start = START + timedelta(hours=number)
    failed = number % 5 == 4
    fields = {
        "id": uid(number),
        "project_id": ("shop", "blog")[number % 2],
        "chat_id": f"c-{number % 3}",
        "user_id": "u1",
        "model": ("gpt-4o", "claude-sonnet-4-5", "mystery-1")[number % 3],
        "provider": ("openai", "anthropic", "nobody")[number % 3],
        "status": "pending" if pending else "error" if failed else "success",
        "timestamp_start": stamp(start),
        "attributes": {"tenant": ("acme", HOSTILE)[number % 2], "number": number},
    }
    if not pending:
        latency = 100.0 * (number + 1)
        fields["timestamp_end"] = stamp(start + timedelta(milliseconds=latency))
        fields["timings"] = {"latency_ms": latency, "time_to_first_token_ms": latency / 4}
        if failed:
            fields["http_status"] = 429
            fields["error"] = {"code": "rate_limit", "message": f"slow down {HOSTILE}"}
        else:
            fields["usage"] = {
                "prompt_tokens": 1000 + number,
                "completion_tokens": 100,
                "total_tokens": 1100 + number,
            }
    fields.update(changes)
    moment = start if pending else start + timedelta(seconds=2)
    return {**envelope(moment, "answered", "llm_request", seq, level="ERROR" if failed else "INFO"), **fields}


def write(path, lines, *, append=False):
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    data = b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(data))
    else:
        with path.open("ab" if append else "wb") as file:
            file.write(data)
    path.chmod(0o600)


def make_root(folder: Path, count: int = 30) -> Path:
    """Write `count` requests, a pending and a final line each, over two projects and a rotation."""
    layout = Layout(folder)
    for project in ("shop", "blog"):
        numbers = [n for n in range(count) if ("shop", "blog")[n % 2] == project]
        lines, contents = [], []
        for place, number in enumerate(numbers):
            lines.append(request(number, 2 * place + 1, pending=True))
            lines.append(request(number, 2 * place + 2))
            moment = START + timedelta(hours=number, seconds=2)
            contents.append(
                {
                    **envelope(moment, "answered", "llm_content", place + 1),
                    "id": uid(number),
                    "project_id": project,
                    "chat_id": f"c-{number % 3}",
                    "messages": [{"role": "user", "content": f"question {number} {HOSTILE}"}],
                    "response": {"text": f"answer {number}"},
                }
            )
        active = layout.path(LogKind.REQUESTS, project)
        # The cut leaves one request's pending line in the sealed segment and its final one in the active file.
        cut = len(lines) // 2 | 1
        sealed = START + timedelta(hours=numbers[cut // 2], seconds=1)
        write(active.parent / f"{segment_name('llm_requests', sealed, 1)}.gz", lines[:cut])
        write(active, lines[cut:])
        write(layout.path(LogKind.CONTENT, project), contents)
    later = START + timedelta(days=3)
    write(layout.path(LogKind.SYSTEM), [envelope(later, f"started {HOSTILE}", "started", 1)])
    event = {
        **envelope(later, "cache cold", "cache", 1, level="WARNING"),
        "project_id": "shop",
        "data": {"hits": 3},
    }
    write(layout.path(LogKind.EVENTS, "shop"), [event])
    chat = {**envelope(later, "", "chat_message", 1), "id": "m1", "project_id": "shop", "chat_id": "c-0",
            "role": "user", "content": "where is my refund?", "created_at": stamp(later)}  # fmt: skip
    write(layout.path(LogKind.CHAT, "shop", "c-0"), [chat])
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o700 if path.is_dir() else 0o600)
    return folder
