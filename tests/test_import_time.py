"""What `import llm_logging` costs an application that only writes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

OPTIONAL = {
    "anthropic", "backports", "botocore", "click", "duckdb", "genai_prices", "google", "httpx", "httpx2", "langchain_core",
    "litellm", "numpy", "openai", "opentelemetry", "pandas", "pyarrow", "pytest", "pytz", "requests", "rich", "typer",
}  # fmt: skip
BASE = (
    "import concurrent_log_handler, pydantic, pythonjsonlogger.json, logging.config, logging.handlers\n"
    "class Model(pydantic.BaseModel):\n    n: int\nModel(n=1)"
)


def modules_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nimport json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """What is loaded after `import llm_logging`."""
    return modules_after("import llm_logging")


def test_no_optional_package_is_loaded(loaded: set[str]) -> None:
    assert not {name.partition(".")[0] for name in loaded} & OPTIONAL


def test_no_slow_part_of_the_standard_library_is_loaded_that_the_dependencies_do_not_load(
    loaded: set[str],
) -> None:
    ours = loaded - modules_after(BASE)
    slow = {
        "asyncio",
        "multiprocessing",
        "sqlite3",
        "http",
        "unittest",
        "concurrent.futures",
        "xml",
        "ssl",
        "gzip",
    }
    assert not ours & slow


def test_the_reading_side_and_the_integrations_are_not_loaded(loaded: set[str]) -> None:
    ours = {name for name in loaded if name.startswith("llm_logging.")}
    assert not {name for name in ours if name.split(".")[1] in {"reader", "cli", "integrations", "testing"}}


def test_it_adds_little_to_its_three_dependencies(loaded: set[str]) -> None:
    added = {name for name in loaded - modules_after(BASE) if not name.startswith("llm_logging")}
    assert len(added) <= 40, sorted(added)


def test_it_costs_less_than_its_three_dependencies() -> None:
    code = (
        "import time\nbegan = time.process_time()\nimport llm_logging\nours = time.process_time() - began\n"
        + BASE
        + "\nprint(ours / (time.process_time() - began - ours))"
    )
    shares = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(5)
    ]
    assert min(shares) < 0.5


def test_importing_changes_nothing_of_logging() -> None:
    code = (
        "import logging\n"
        "before = (logging.getLoggerClass(), logging.getLogRecordFactory(), list(logging.root.handlers), logging.root.level)\n"
        "import llm_logging, threading\n"
        "after = (logging.getLoggerClass(), logging.getLogRecordFactory(), list(logging.root.handlers), logging.root.level)\n"
        "assert before == after\n"
        "assert threading.active_count() == 1\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
