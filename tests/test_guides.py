"""The guide's pages run as they stand, and what they log is counted."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from llm_logging import get_stats
from tests import disk
from tests.programs import EXAMPLES, PROJECT, python

PYTHON = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def snippets(path: Path) -> list[str]:
    found = PYTHON.findall(path.read_text(encoding="utf-8"))
    assert found, path
    return found


@pytest.mark.parametrize(("page", "requests", "tokens"), [("structlog", 3, 450), ("loguru", 5, 322)])
def test_requests_that_a_page_logs_are_counted(page: str, requests: int, tokens: int, tmp_path: Path) -> None:
    pytest.importorskip(page)
    script = tmp_path / "page.py"
    script.write_text("\n".join(snippets(EXAMPLES / "guide" / f"{page}.md")), encoding="utf-8")
    out = python(str(script), cwd=tmp_path)
    assert out.splitlines()[-1] == f"{requests} {tokens}"
    stats = get_stats(root=tmp_path / "var" / "llm")
    assert (stats.summary.total_requests, stats.summary.total_tokens) == (requests, tokens)
    (warm,) = [line for line in disk.events(tmp_path / "var" / "llm") if line["message"] == "cache warmed"]
    assert (warm["project_id"], warm["data"]) == ("shop", {"hits": 3})
    lines = disk.requests(tmp_path / "var" / "llm")
    attributes = [line.get("attributes") for line in lines]
    assert [found for found in attributes if found] == ([{"tenant": "acme"}] if page == "structlog" else [])
    assert {line["message"] for line in lines} <= {"answered", "gpt-4o pending", "gpt-4o success"}


PRELUDE = """
from typing import Any
import logging

async def readme(
    BASE_DIR: Any, client: Any, messages: Any, entry: Any, OpenAI: Any, DefaultHttpxClient: Any, genai: Any, Mistral: Any,
    httpx: Any, httpx2: Any, cohere: Any, ollama: Any, boto3: Any, litellm: Any, instrument_client: Any, LiteLLMLogger: Any,
    LangChainLogger: Any, LLMSpanProcessor: Any, model: Any, provider: Any,
) -> None:
"""


def readme_program() -> str:
    """Return the README's Python lines as one program; what they take from elsewhere is `Any`."""
    parts = []
    for block in snippets(PROJECT / "README.md"):
        # A part of a dict is no program, and Celery's decorators are not typed.
        if block.startswith('"') or "celery" in block:
            continue
        parts.append("".join(f"    {line}" for line in block.splitlines(keepends=True)))
    assert len(parts) >= 7
    return PRELUDE + "\n".join(parts)


def checked(arguments: list[str], tmp_path: Path) -> str:
    script = tmp_path / "readme_lines.py"
    script.write_text(readme_program(), encoding="utf-8")
    # Without the project's own settings, as a user's checker sees the package.
    done = subprocess.run(
        [sys.executable, "-m", *arguments, *([] if "--project" in arguments else [str(script)])],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    return f"{done.returncode}\n{done.stdout}{done.stderr}"


def test_the_lines_of_the_readme_pass_mypy_strict(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    out = checked(["mypy", "--strict", "--cache-dir", str(tmp_path / "cache")], tmp_path)
    assert out.startswith("0\n"), out


@pytest.mark.slow
def test_the_lines_of_the_readme_pass_pyright(tmp_path: Path) -> None:
    pytest.importorskip("pyright")
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({"extraPaths": [str(PROJECT)]}))
    out = checked(["pyright", "--project", str(tmp_path), "--pythonpath", sys.executable], tmp_path)
    assert out.startswith("0\n"), out
