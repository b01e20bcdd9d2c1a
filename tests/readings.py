"""Readings one after another while processes write, rotate and compress the log that they share.

    python -m tests.readings --readings 1000 --processes 4

Each process numbers its requests 1, 2, 3 ..., writes a pending and a final line of each, and gives the n-th n prompt tokens. So
a reading that sees c requests of a process must see c(c+1)/2 tokens of it: one request missed or counted twice shows, at
any moment. No count may fall, be below what was on disk before the reading began, or above what was logged when it ended.
Few lines are worth keeping here, so that pieces and kept sums take part. `--sabotage` writes some requests twice under
another id, which the check must find: the command then fails.

The processes slow down as their logs grow, so that reading takes about as long at the end as at the beginning. What was done in
`--seconds` is reported, and a command that was cut short fails.
"""

from __future__ import annotations

import argparse
import logging
import os
import struct
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from llm_logging import LLMFileHandler
from llm_logging.files.layout import Layout, LogKind
from llm_logging.files.segments import list_segments
from llm_logging.models.query import StatsOptions, StatsScope
from llm_logging.reader.answer import partial_sums as sums
from llm_logging.reader.segments import piece_cache as load
from llm_logging.reader.stats import get_stats

MAX_BYTES = 96_000
PROJECT = "shop"
_SLOWER_BY = (
    200  # a process takes twice as long for a request once it wrote so many, three times after as many more
)
_SAY_SECONDS = 5.0
# How many requests were begun, and how many surely are on disk.
NOTE = struct.Struct("<QQ")
SCOPE = StatsScope(type="project", project_id=PROJECT)


def write(root: Path, note: Path, name: str, rate: float, *, sabotage: bool) -> None:
    """Log requests until standard input is closed; note before and after what is begun and what is on disk."""
    handler = LLMFileHandler(root, max_bytes=MAX_BYTES, compress="gz", flush_interval=0.02)
    log = logging.getLogger("readings")
    log.handlers[:] = [handler]
    log.propagate = False
    log.setLevel(logging.INFO)
    descriptor = os.open(note, os.O_RDWR | os.O_CREAT, 0o600)
    os.set_blocking(sys.stdin.fileno(), False)
    number = flushed = 0
    while sys.stdin.buffer.read(1) is None:
        number += 1
        os.pwrite(descriptor, NOTE.pack(number, flushed), 0)
        for _ in range(2 if sabotage and number % 10 == 0 else 1):
            entry = {
                "event_type": "llm_request", "id": str(uuid.uuid4()), "project_id": PROJECT, "chat_id": "c", "user_id": name,
                "model": "gpt-4o", "provider": "openai",
            }  # fmt: skip
            log.info("asked", extra={**entry, "status": "pending"})
            usage = {"prompt_tokens": number, "completion_tokens": 1}
            log.info("answered", extra={**entry, "status": "success", "usage": usage})
        if number % 20 == 0:
            written(handler)
            flushed = number
            os.pwrite(descriptor, NOTE.pack(number, flushed), 0)
        time.sleep((1 + number / _SLOWER_BY) / rate)
    handler.close()
    os.pwrite(descriptor, NOTE.pack(number, number), 0)


def written(handler: LLMFileHandler) -> None:
    """Return when every line is in its file; one flush gives up after a while, on a machine that is busy."""
    deadline = time.monotonic() + 120
    handler.flush()
    while handler.stats()["buffered_bytes"]:
        assert time.monotonic() < deadline, "lines wait for two minutes"
        handler.flush()


def notes(folder: Path) -> dict[str, tuple[int, int]]:
    """Return what each process noted: begun, on disk."""
    found = {}
    for path in folder.iterdir():
        content = path.read_bytes()
        if len(content) == NOTE.size:
            begun, flushed = NOTE.unpack(content)
            found[path.name] = (begun, flushed)
    return found


def read(
    root: Path, cache: Path, *, cached: bool, by: tuple[str, ...] = ("user",)
) -> tuple[dict[str, tuple[int, int]], list[str]]:
    """Ask once; return requests and prompt tokens by process, and what the answer says is wrong."""
    stats = get_stats(SCOPE, StatsOptions(group_by=list(by)), root=root, cache=cached, cache_dir=cache)
    seen: dict[str, tuple[int, int]] = {}
    for row in stats.breakdown:
        name = str(row.group["user"])
        count, tokens = seen.get(name, (0, 0))
        seen[name] = (count + row.total_requests, tokens + row.prompt_tokens)
    quality = stats.quality
    wrong = [f"gap {gap.writer} {gap.first}-{gap.last}" for gap in quality.gaps]
    if quality.repeated_lines or quality.skipped_lines or quality.unreadable_files:
        wrong.append(
            f"{quality.repeated_lines} repeated, {quality.skipped_lines} skipped, {quality.unreadable_files}"
        )
    if sum(count for count, _ in seen.values()) != stats.summary.total_requests:
        wrong.append(f"the groups {seen} do not sum to {stats.summary.total_requests}")
    return seen, wrong


def check(
    before: dict[str, tuple[int, int]],
    seen: dict[str, tuple[int, int]],
    after: dict[str, tuple[int, int]],
    last: dict[str, tuple[int, int]],
) -> Iterator[str]:
    """Yield what is wrong with a reading, beside the notes before and after it and the reading before it."""
    for name in sorted(after.keys() | seen.keys()):
        count, tokens = seen.get(name, (0, 0))
        if tokens != count * (count + 1) // 2:
            yield f"{name}: {count} requests with {tokens} tokens, {count * (count + 1) // 2} expected"
        if count < last.get(name, (0, 0))[0]:
            yield f"{name}: fell from {last[name][0]} to {count}"
        if not before.get(name, (0, 0))[1] <= count <= after.get(name, (0, 0))[0]:
            yield f"{name}: {count} requests, on disk before {before.get(name)}, begun after {after.get(name)}"


@contextmanager
def writers(root: Path, folder: Path, processes: int, rate: float, *, sabotage: bool) -> Iterator[None]:
    """Have processes write while the block runs; one that fails fails the block."""
    arguments = [
        "--root",
        str(root),
        "--notes",
        str(folder),
        "--rate",
        str(rate),
        *(["--sabotage"] if sabotage else []),
    ]
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.readings", "--write", f"p{number}", *arguments],
            stdin=subprocess.PIPE,
        )
        for number in range(processes)
    ]
    try:
        yield
    finally:
        for process in started:
            process.communicate(timeout=60)
    assert all(process.returncode == 0 for process in started)


def run(readings: int, processes: int, rate: float, seconds: float, *, sabotage: bool) -> tuple[int, str]:
    """Read again and again; return how many readings were wrong or not done in time, and a report."""
    wrong: list[str] = []
    kept = (
        mock.patch.multiple(load, _WORTH=20_000, _WORTH_IN_ALL=20_000),
        mock.patch.multiple(sums, _WORTH=1),
    )
    with kept[0], kept[1], tempfile.TemporaryDirectory(prefix="llm-logging-readings-") as work:
        root, cache, folder = Path(work) / "logs", Path(work) / "cache", Path(work) / "notes"
        folder.mkdir()
        active = Layout(root).path(LogKind.REQUESTS, PROJECT)
        last: dict[str, tuple[int, int]] = {}
        done = 0
        with writers(root, folder, processes, rate, sabotage=sabotage):
            deadline = time.monotonic() + 120
            while len(notes(folder)) < processes or not active.exists():
                assert time.monotonic() < deadline, "the processes do not begin to write"
                time.sleep(0.01)
            began = said = time.monotonic()
            # However few readings are asked for, some are of a log that was rotated.
            while done < readings or len(list_segments(active)) < 3:
                now = time.monotonic()
                if now - began > seconds:
                    wrong.append(f"only {done} of {readings} readings in {seconds:.0f} s")
                    break
                if now - said > _SAY_SECONDS:
                    said = now
                    print(
                        f"{done} of {readings} readings, {done / (now - began):.1f} a second, "
                        f"{len(list_segments(active))} segments: {len(wrong)} wrong so far",
                        flush=True,
                    )
                before = notes(folder)
                by = ("user", "hour") if done % 2 else ("user",)
                seen, found = read(root, cache, cached=done % 10 != 9, by=by)
                wrong += [
                    f"reading {done}: {text}" for text in (*found, *check(before, seen, notes(folder), last))
                ]
                last = seen
                done += 1
        ended = notes(folder)
        for cached in (True, False):
            seen, found = read(root, cache, cached=cached)
            wrong += [f"at the end: {text}" for text in (*found, *check(ended, seen, ended, last))]
        segments = list_segments(active)
        packed = sum(segment.path.suffix == ".gz" for segment in segments)
        report = (
            f"{done + 2} readings of {sum(count for count, _ in seen.values())} requests by {processes} processes, "
            f"{len(segments)} segments, {packed} compressed: {len(wrong)} wrong"
        )
    return len(wrong), "\n".join([*wrong[:20], report])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--readings", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--rate", type=float, default=60, help="requests a second and process, at most")
    parser.add_argument("--seconds", type=float, default=1500, help="how long to read at most")
    parser.add_argument(
        "--sabotage", action="store_true", help="write some requests twice: the check must find it"
    )
    for name in ("--write", "--root", "--notes"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        note = Path(options.notes) / options.write
        write(Path(options.root), note, options.write, options.rate, sabotage=options.sabotage)
        return
    wrong, report = run(
        options.readings, options.processes, options.rate, options.seconds, sabotage=options.sabotage
    )
    print(report)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
