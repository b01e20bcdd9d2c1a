"""Recorded answers of providers, where they are at hand."""

import base64
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"
DATA = Path(os.environ.get("LLM_LOGGING_TEST_DATA", _BESIDE)) / "provider_responses"

needs_recordings = pytest.mark.skipif(
    not DATA.is_dir(), reason=f"recorded responses are not at {DATA}; set LLM_LOGGING_TEST_DATA"
)


@dataclass(frozen=True)
class Recording:
    """One recorded HTTP response."""

    where: str
    provider: str
    kind: str
    file: str
    url: str | None
    status: int
    headers: dict[str, str]
    has_usage: bool
    body: Any


@cache
def recordings() -> tuple[Recording, ...]:
    return tuple(_read())


def _read() -> Iterator[Recording]:
    for path in sorted(DATA.glob("*/*.jsonl")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
            found = json.loads(line)
            if "body" in found:
                body = found["body"]
            elif "text" in found:
                body = found["text"].encode()
            elif "b64" in found:
                body = base64.b64decode(found["b64"])
            else:
                body = [event for chunk in found["chunks"] for event in chunk.get("chunks_json", [chunk])]
            yield Recording(
                where=f"{path.parent.name}/{path.stem}:{number}",
                provider=found["provider"],
                kind=path.stem,
                file=found["file"],
                url=found.get("url"),
                status=found.get("status", 200),
                headers=found.get("headers") or {},
                has_usage=found.get(
                    "has_usage", "usage" in json.dumps(body) if isinstance(body, (dict, list)) else False
                ),
                body=body,
            )


@cache
def expected_usage() -> tuple[dict[str, Any], ...]:
    text = (DATA / "expected_usage.jsonl").read_text(encoding="utf-8")
    return tuple(json.loads(line) for line in text.splitlines())
