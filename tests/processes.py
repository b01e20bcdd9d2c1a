"""Real processes that log and end in every way, and what they leave on disk."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from llm_logging import LLMFileHandler
from llm_logging.files.spool.discovery import ring_files

REPOSITORY = Path(__file__).parents[1]

PRELUDE = """
import atexit, ctypes, faulthandler, gc, logging, logging.config, os, signal, sys, threading, time
import llm_logging
from llm_logging import LLMFileHandler
root = sys.argv[1]
log = logging.getLogger("app")
log.setLevel(logging.DEBUG)
def attach(**options):
    handler = LLMFileHandler(root, **options)
    log.addHandler(handler)
    return handler
def write(start, stop, name="m"):
    for number in range(start, stop):
        log.info("%s%d", name, number)
"""


def run(
    code: str, root: Path, *, timeout: float = 60, check: bool = True, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own; `root`, `log`, `attach()` and `write(start, stop)` are there."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PRELUDE + code, str(root)],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **env},
    )
    assert not check or done.returncode == 0, done.stderr
    return done


def start(code: str, root: Path) -> subprocess.Popen[str]:
    """Start code in a process of its own, its streams in pipes."""
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + code, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )


def lines(root: Path) -> list[dict[str, Any]]:
    """Return every line of every segment under a folder, in the order of sealing; each must be whole."""
    found = []
    for path in sorted(root.rglob("*.jsonl*"), key=lambda p: (p.parent, p.name.count("-") == 0, p.name)):
        if path.name.startswith(".") or path.name.endswith((".lock", ".tmp")):
            continue
        if path.suffix == ".gz" and path.with_suffix("").exists():
            continue
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        assert data == b"" or data.endswith(b"\n"), f"{path} ends in {data[-80:]!r}"
        found += [json.loads(line) for line in data.split(b"\n")[:-1]]
    return found


def messages(root: Path, pattern: str = r"[a-z]+\d+") -> list[str]:
    """Return the messages that tests log, in the order of the files."""
    return [line["message"] for line in lines(root) if re.fullmatch(pattern, line["message"])]


def assert_once(root: Path, wanted: Iterable[str]) -> None:
    """Check that every message stands there exactly once, and that each writer's numbers are 1, 2, 3 ... in order."""
    counted = Counter(messages(root))
    expected = Counter(wanted)
    assert not (missing := expected - counted), f"lost {len(missing)}: {sorted(missing)[:5]}"
    assert not (twice := counted - expected), f"too many {len(twice)}: {sorted(twice)[:5]}"
    numbers: dict[tuple[str, str], list[int]] = {}
    for path in {p.parent / p.name.split(".")[0] for p in root.rglob("*.jsonl*") if p.name[0] != "."}:
        for line in _log_lines(path):
            if "writer" in line:
                numbers.setdefault((str(path), line["writer"]["id"]), []).append(line["writer"]["seq"])
    for key, found in numbers.items():
        assert found == list(range(1, len(found) + 1)), f"{key}: {found[:20]} ..."


def _log_lines(stem: Path) -> list[dict[str, Any]]:
    folder, name = stem.parent, stem.name
    paths = [p for p in folder.iterdir() if p.name.split(".")[0] == name and ".jsonl" in p.name]
    found = []
    for path in sorted(paths, key=lambda p: (p.name == f"{name}.jsonl", p.name)):
        if path.suffix == ".gz" and path.with_suffix("").exists():
            continue
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        found += [json.loads(line) for line in data.splitlines()]
    return found


def rings(root: Path) -> list[Path]:
    """Return the rings of a root, wherever they lie."""
    return list(ring_files(root))


def reopen(root: Path, seconds: float = 10) -> None:
    """Open a root as the next process would, and wait until what killed ones left is written."""
    handler = LLMFileHandler(root)
    deadline = time.monotonic() + seconds
    while len(rings(root)) > 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    handler.flush()
    handler.close()
    assert not rings(root), "rings are left"
