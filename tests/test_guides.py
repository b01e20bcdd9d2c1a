"""The README and the guide run as they stand: snippets, what they print, generated tables, links, types."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from llm_logging import get_stats
from tests import disk, guide_tables
from tests.guide_pages import PAGES, blocks, same
from tests.programs import EXAMPLES, PROJECT, environment, python

README = PROJECT / "README.md"
SOURCE = "\n".join(path.read_text("utf-8") for path in (PROJECT / "llm_logging").rglob("*.py"))


def snippets(path: Path) -> list[str]:
    found = [block.text for block in blocks(path) if block.language == "python" and not block.missing()]
    assert found, path
    return found


def run_page(page: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.guide_pages", str(page)],
        cwd=cwd,
        env={**environment(), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_runs_from_its_first_snippet_to_its_last(page: Path, tmp_path: Path) -> None:
    done = run_page(page, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("```python\nraise KeyError('x')\n```", "KeyError"),
        ("```python\nprint(1)\n```\n\n<!-- prints -->\n\n```text\n2\n```", "--- shown\n2"),
        ("```console\n$ echo 5 requests\n6 requests\n```", "5 requests"),
        ("```console\n$ echo 5 requests\n... 6 requests\n```", "5 requests"),
        ("```console\n$ llm-logging stats --root nowhere\n```", "status 1"),
        ("<!-- needs: no_such_package -->\n\n```python\ndef f(:\n```", "SyntaxError"),
    ],
)
def test_a_page_that_is_wrong_fails(text: str, reason: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# A page\n\n{text}\n")
    done = run_page(page, tmp_path)
    assert done.returncode == 1
    assert reason in done.stderr


@pytest.mark.parametrize(
    ("shown", "printed", "numbers", "expected"),
    [
        ("a  b\nc", "a b c\n", True, True),
        ("cost ≥$1.20", "cost ~$1.31", True, True),
        ("7 requests", "8 requests", True, False),
        ("7 requests", "8 requests", False, True),
        ("took 1.2 s", "took 15 ms", False, True),
        ("id ... ok", "id 8c0a ok", True, True),
        ("id ... ok", "id 8c0a failed", True, False),
        ("─── 3", "───── 3", True, True),
        ("a.c", "abc", True, False),
    ],
)
def test_output_is_compared_but_for_what_varies(
    shown: str, printed: str, numbers: bool, expected: bool
) -> None:
    assert same(shown, printed, numbers=numbers) is expected


@pytest.mark.parametrize(("page", "requests", "tokens"), [("structlog", 3, 450), ("loguru", 5, 322)])
def test_requests_that_a_page_logs_are_counted(page: str, requests: int, tokens: int, tmp_path: Path) -> None:
    pytest.importorskip(page)
    script = tmp_path / "page.py"
    text = "\n".join(snippets(EXAMPLES / "guide" / f"migrating-from-{page}.md"))
    script.write_text(text, encoding="utf-8")
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


# -- what is said elsewhere, too -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_generated_tables_are_those_of_the_code(page: Path) -> None:
    text = page.read_text("utf-8")
    assert text == guide_tables.written(text), "run: python -m tests.guide_tables"


def test_every_generated_table_is_in_a_page() -> None:
    used = {name for page in PAGES for name in guide_tables.names_in(page.read_text("utf-8"))}
    assert used == set(guide_tables.TABLES)


def anchors(page: Path) -> set[str]:
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    heads = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        path = page.parent / name if name else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


def test_the_readme_is_short_and_leads_to_every_page() -> None:
    text = README.read_text("utf-8")
    assert len(text.splitlines()) <= 240
    linked = re.findall(r"\]\(examples/guide/([\w-]+\.md)\)", text)
    missing = {page.name for page in PAGES if page != README} - set(linked)
    linked_elsewhere = "".join(page.read_text("utf-8") for page in PAGES)
    assert not {name for name in missing if f"({name}" not in linked_elsewhere}


def test_the_readme_shows_the_two_commands_that_set_up() -> None:
    commands = [block.text.strip() for block in blocks(README) if block.language == "sh"]
    assert commands == [
        "python3 -m venv .venv && .venv/bin/pip install -q '.[stats]' && .venv/bin/python examples/quickstart.py",
        "python3 -m venv .venv && .venv/bin/pip install -q '.[dev]' && .venv/bin/python -m pytest -q -n auto",
    ]


def test_the_readme_names_files_that_are_there() -> None:
    table = README.read_text("utf-8").partition("| to change |")[2].partition("\n\n")[0]
    rows = table.splitlines()[2:]
    assert len(rows) == 10
    names = [name for name in re.findall(r"`([^`]+)`", table) if "/" in name and name != "llm_logging/"]
    assert len(names) >= 15
    assert [name for name in names if not (PROJECT / "llm_logging" / name).exists()] == []


def test_the_source_distribution_holds_every_page() -> None:
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))
    included = settings["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert [
        page.name for page in PAGES if not {page.name, page.relative_to(PROJECT).parts[0]} & set(included)
    ] == []
    assert settings["project"]["readme"] == "README.md"


def test_every_environment_variable_is_in_the_configuration_page() -> None:
    page = (EXAMPLES / "guide" / "configuration.md").read_text("utf-8")
    table = page.partition("## Environment variables")[2]
    read = set(re.findall(r"[\"'`](LLM_LOGGING_[A-Z_]+?)[\"'`]", SOURCE))
    assert read
    assert {name for name in read if f"`{name}`" not in table} == set()


# -- types ---------------------------------------------------------------------------------------------------------------

# What pages take from elsewhere is `Any`.
PRELUDE = """
from typing import Any
import logging

async def page(messages: Any) -> None:
"""
MYPY = """
[mypy]
strict = true

[mypy-page_configuration]
# The decorators of Celery are not typed.
disable_error_code = untyped-decorator

[mypy-openai.*,celery.*,google.*,mistralai.*,cohere.*,httpx2.*,ollama.*,boto3.*,litellm.*,langchain_openai.*,opentelemetry.*]
follow_imports = skip
ignore_missing_imports = true
"""
# These define functions without annotations, as the libraries' own pages do.
UNTYPED = {"migrating-from-structlog.md", "migrating-from-loguru.md"}


def typed_pages(tmp_path: Path) -> list[str]:
    """Write each page's Python lines as one program."""
    names = []
    for page in PAGES:
        if page.name in UNTYPED:
            continue
        parts = [
            "".join(f"    {line}" for line in block.text.splitlines(keepends=True))
            for block in blocks(page)
            if block.language == "python" and not block.missing()
        ]
        if not parts:
            continue
        name = f"page_{page.stem.replace('-', '_').lower()}.py"
        (tmp_path / name).write_text(PRELUDE + "\n".join(parts), encoding="utf-8")
        names.append(name)
    assert len(names) >= 8
    return names


def checked(arguments: list[str], tmp_path: Path) -> str:
    # Without the project's own settings, as a user's checker sees the package.
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    return f"{done.returncode}\n{done.stdout}{done.stderr}"


def test_the_lines_of_the_pages_pass_mypy_strict(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    (tmp_path / "mypy.ini").write_text(MYPY)
    names = typed_pages(tmp_path)
    out = checked(["mypy", "--cache-dir", str(tmp_path / "cache"), *names], tmp_path)
    assert out.startswith("0\n"), out


@pytest.mark.slow
def test_the_lines_of_the_pages_pass_pyright(tmp_path: Path) -> None:
    pytest.importorskip("pyright")
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({"extraPaths": [str(PROJECT)]}))
    typed_pages(tmp_path)
    out = checked(["pyright", "--project", str(tmp_path), "--pythonpath", sys.executable], tmp_path)
    assert out.startswith("0\n"), out
