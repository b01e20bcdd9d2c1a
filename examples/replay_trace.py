"""Replay a real stream of LLM requests through `logger.info` and print its statistics, by hour.

python examples/replay_trace.py FILE [--root FOLDER]

FILE is a trace of the Azure LLM inference data set (CSV: TIMESTAMP, ContextTokens, GeneratedTokens) or of Mooncake (JSON
lines: timestamp in milliseconds from the start, input_length, output_length). Mooncake's times have no date: they are taken
from 2024-01-01T00:00:00Z on.
"""

import argparse
import csv
import json
import logging
import logging.config
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import llm_logging
from llm_logging.cli.app import run

MOONCAKE_START = datetime(2024, 1, 1, tzinfo=UTC)
Request = tuple[datetime, int, int]


def azure(path: Path) -> Iterator[Request]:
    """Read the CSV: CRLF line ends, seven fractional digits, no line end at the end."""
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            moment, _, fraction = row["TIMESTAMP"].partition(".")
            start = datetime.fromisoformat(f"{moment}+00:00") + timedelta(
                microseconds=int(fraction[:6].ljust(6, "0"))
            )
            yield start, int(row["ContextTokens"]), int(row["GeneratedTokens"])


def mooncake(path: Path) -> Iterator[Request]:
    """Read the JSON lines."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.strip():
                entry = json.loads(line)
                start = MOONCAKE_START + timedelta(milliseconds=entry["timestamp"])
                yield start, entry["input_length"], entry["output_length"]


def replay(path: Path, root: Path) -> int:
    """Log every request of a trace; return how many there were."""
    kind, read = ("azure", azure) if path.suffix == ".csv" else ("mooncake", mooncake)
    logging.config.dictConfig(
        llm_logging.presets.production(root=root, defaults={"project_id": kind, "chat_id": "trace"})
    )
    logger = logging.getLogger("replay")
    count = 0
    for start, prompt, completion in read(path):
        count += 1
        logger.info(
            "replayed",
            extra={
                "llm_request": {
                    "model": f"{kind}-llm",
                    "status": "success",
                    "timestamp_start": start,
                    "usage": {"prompt_tokens": prompt, "completion_tokens": completion},
                }
            },
        )
    # Every line is in its file when this returns.
    logging.shutdown()
    return count


def main() -> int:
    parser = argparse.ArgumentParser(description="Replay a trace of LLM requests and print its statistics.")
    parser.add_argument("file", type=Path, help="the Azure CSV or the Mooncake JSON lines")
    parser.add_argument(
        "--root", type=Path, help="where the logs go; LLM_LOGGING_ROOT, else a temporary folder"
    )
    options = parser.parse_args()
    if not options.file.is_file():
        parser.error(f"{options.file}: expected a file, there is none")
    root = options.root or Path(os.environ.get("LLM_LOGGING_ROOT") or tempfile.mkdtemp(prefix="llm_logging-"))
    began = time.perf_counter()
    count = replay(options.file, root)
    print(f"{count:,} requests logged in {time.perf_counter() - began:.1f} s under {root}\n")
    status = run(["stats", "--root", str(root), "--by", "hour"])
    total = llm_logging.get_stats(root=root).summary
    means = total.prompt_tokens / total.total_requests, total.completion_tokens / total.total_requests
    print(f"\nA request has {means[0]:,.0f} prompt and {means[1]:,.0f} completion tokens on average.")
    return status


if __name__ == "__main__":
    sys.exit(main())
