"""Read back what is on disk, without any code of the package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def objects(path: Path) -> list[dict[str, Any]]:
    """Return the JSON objects of a file; every line must be whole and in UTF-8."""
    data = path.read_bytes()
    assert data == b"" or data.endswith(b"\n")
    return [json.loads(line.decode("utf-8"), parse_constant=_no_constant) for line in data.split(b"\n")[:-1]]


def everything(root: Path) -> list[dict[str, Any]]:
    """Return the lines of every log below a folder, file by file."""
    return [line for path in sorted(root.rglob("*.jsonl")) if path.name[0] != "." for line in objects(path)]


def requests(root: Path) -> list[dict[str, Any]]:
    """Return the lines of LLM requests."""
    return [line for line in everything(root) if line["event_type"] == "llm_request"]


def events(root: Path) -> list[dict[str, Any]]:
    """Return the lines of everything that is neither a request, its content nor a chat message."""
    others = {"llm_request", "llm_content", "chat_message"}
    return [line for line in everything(root) if line["event_type"] not in others]


def _no_constant(name: str) -> Any:
    raise AssertionError(f"{name} is no JSON")
