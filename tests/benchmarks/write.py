"""Time the write path beside what people use: `python -m tests.benchmarks.write`.

Every subject logs the same record (14 fields, 5 message ids; or the same with a 4 KB prompt) from 1, 4 and 8 processes into one
file. Each process is a fresh interpreter that imports, sets up, waits for the starting signal, and logs as fast as it can.
Before any figure is printed the lines are counted and parsed: a subject that lost or tore one has no figures.

Columns: caller p50 / p99 in microseconds (time inside the logging call, of all processes together), records a second in all
(start to the last line in the file), CPU microseconds a record (user + system, all threads), peak memory above the same
program with its imports done (the largest process).
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

MAX_BYTES = 1 << 30
PROMPT = ('The quick brown fox jumps over the lazy dog, and then it "rests" under a tree. ' * 60)[:4096]


def fields(index: int, prompt: str | None) -> dict[str, Any]:
    """Return the record's 14 fields."""
    record: dict[str, Any] = {
        "event_type": "llm_request",
        "project_id": "shop",
        "chat_id": "chat-1234",
        "user_id": "user-77",
        "model": "gpt-4o-2024-08-06",
        "provider": "openai",
        "request_type": "chat",
        "status": "success",
        "http_status": 200,
        "stream": False,
        "finish_reasons": ["stop"],
        "usage": {"prompt_tokens": 1020, "completion_tokens": 129 + index % 7, "cache_read_tokens": 512},
        "timings": {"latency_ms": 812.25, "time_to_first_token_ms": 210.5},
        "messages_included": ["m-1001", "m-1002", "m-1003", "m-1004", f"m-{index}"],
    }
    if prompt is not None:
        record["prompt"] = prompt
    return record


Log = Callable[[dict[str, Any]], object]


def ours(path: str, **options: Any) -> tuple[Log, Callable[[], object], Callable[[], dict[str, Any]]]:
    import logging.config

    from llm_logging import presets

    config = presets.production(max_bytes=MAX_BYTES, filename=path, **options)
    logging.config.dictConfig(config)
    logger = logging.getLogger("app.chat")
    handler = logging.getLogger().handlers[0]
    return lambda extra: logger.info("answered", extra=extra), logging.shutdown, handler.stats  # type: ignore[attr-defined]


def ours_adapter(path: str) -> tuple[Log, Callable[[], object], Callable[[], dict[str, Any]]]:
    _, finish, stats = ours(path)
    import llm_logging

    log = llm_logging.get_logger("app.chat", project_id="shop", chat_id="chat-1234")
    return lambda extra: log.info("answered", extra=extra), finish, stats


def ours_no_redaction(path: str) -> tuple[Log, Callable[[], object], Callable[[], dict[str, Any]]]:
    return ours(path, redact=False)


def _stdlib(handler: Any) -> tuple[Log, Callable[[], object], Callable[[], dict[str, Any]]]:
    import logging

    from pythonjsonlogger.json import JsonFormatter

    handler.setFormatter(JsonFormatter("%(levelname)s %(name)s %(message)s", timestamp=True))
    logger = logging.getLogger("app.chat")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    logger.propagate = False
    return lambda extra: logger.info("answered", extra=extra), logging.shutdown, dict


def concurrent(path: str) -> tuple[Log, Callable[[], object], Callable[[], dict[str, Any]]]:
    from concurrent_log_handler import ConcurrentRotatingFileHandler

    return _stdlib(ConcurrentRotatingFileHandler(path, maxBytes=MAX_BYTES, backupCount=5, encoding="utf-8"))


def rotating(path: str) -> tuple[Log, Callable[[], object], Callable[[], dict[str, Any]]]:
    from logging.handlers import RotatingFileHandler

    return _stdlib(RotatingFileHandler(path, maxBytes=MAX_BYTES, backupCount=5, encoding="utf-8"))


def null(path: str) -> tuple[Log, Callable[[], object], Callable[[], dict[str, Any]]]:
    import logging

    logger = logging.getLogger("app.chat")
    logger.setLevel(logging.INFO)
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return lambda extra: logger.info("answered", extra=extra), logging.shutdown, dict


def structlog_orjson(path: str) -> tuple[Log, Callable[[], object], Callable[[], dict[str, Any]]]:
    import orjson
    import structlog

    file = open(path, "ab")  # noqa: SIM115
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(20),
        logger_factory=structlog.BytesLoggerFactory(file=file),
        cache_logger_on_first_use=True,
    )
    log = structlog.get_logger()
    return lambda extra: log.info("answered", **extra), file.close, dict


def _loguru(path: str, enqueue: bool) -> tuple[Log, Callable[[], object], Callable[[], dict[str, Any]]]:
    from loguru import logger

    logger.remove()
    logger.add(path, serialize=True, enqueue=enqueue, rotation=MAX_BYTES, format="{message}")

    def log(extra: dict[str, Any]) -> None:
        logger.bind(**extra).info("answered")

    return log, logger.remove, dict


def loguru_plain(path: str) -> tuple[Log, Callable[[], object], Callable[[], dict[str, Any]]]:
    return _loguru(path, False)


def loguru_enqueue(path: str) -> tuple[Log, Callable[[], object], Callable[[], dict[str, Any]]]:
    return _loguru(path, True)


SUBJECTS: dict[str, Callable[[str], Any]] = {
    "llm_logging": ours,
    "llm_logging, adapter": ours_adapter,
    "llm_logging, redact=False": ours_no_redaction,
    "concurrent-log-handler + python-json-logger": concurrent,
    "RotatingFileHandler + python-json-logger": rotating,
    "structlog + orjson": structlog_orjson,
    "loguru": loguru_plain,
    "loguru, enqueue": loguru_enqueue,
    "logging + NullHandler": null,
}
# These share no file among processes: one file each.
PRIVATE = {"RotatingFileHandler + python-json-logger", "loguru", "loguru, enqueue"}


def peak_kb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def work(subject: str, path: str, count: int, prompt: bool) -> None:
    """Be one process: set up, wait for the signal, log, finish, report."""
    log, finish, stats = SUBJECTS[subject](path)
    text = PROMPT if prompt else None
    records = [fields(index, text) for index in range(64)]
    times = array("q", bytes(8 * count))
    before_kb = peak_kb()
    gc.collect()
    print("ready", flush=True)
    sys.stdin.readline()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu = usage.ru_utime + usage.ru_stime
    clock = time.perf_counter_ns
    began = time.time()
    for index in range(count):
        extra = records[index & 63]
        start = clock()
        log(extra)
        times[index] = clock() - start
    counts = stats()
    finish()
    ended = time.time()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    sys.stdout.write(
        json.dumps(
            {
                "began": began,
                "ended": ended,
                "cpu": usage.ru_utime + usage.ru_stime - cpu,
                "memory_kb": peak_kb() - before_kb,
                "stats": {key: counts.get(key, 0) for key in ("dropped",)},
            }
        )
        + "\n"
    )
    sys.stdout.flush()
    sys.stdout.buffer.write(times.tobytes())
    sys.stdout.flush()


def run(subject: str, processes: int, count: int, prompt: bool, folder: Path) -> dict[str, float]:
    """Run one subject in so many processes and return its figures, checked."""
    names = [str(folder / (f"log{n}.jsonl" if subject in PRIVATE else "log.jsonl")) for n in range(processes)]
    command = [sys.executable, "-m", "tests.benchmarks.write", "--worker", subject, "--count", str(count)]
    if prompt:
        command.append("--prompt")
    workers = [
        subprocess.Popen([*command, "--path", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for name in names
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"ready\n", subject
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write(b"go\n")
        worker.stdin.flush()
    reports, times = [], array("q")
    for worker in workers:
        out, _ = worker.communicate()
        head, _, tail = out.partition(b"\n")
        reports.append(json.loads(head))
        times.frombytes(tail)
        assert worker.returncode == 0, subject
    if subject != "logging + NullHandler":
        check(folder, processes * count, subject)
    ordered = sorted(times)
    total = processes * count
    return {
        "p50": ordered[len(ordered) // 2] / 1000,
        "p99": ordered[len(ordered) * 99 // 100] / 1000,
        "rate": total / (max(r["ended"] for r in reports) - min(r["began"] for r in reports)),
        "cpu": sum(r["cpu"] for r in reports) / total * 1e6,
        "memory_mb": max(r["memory_kb"] for r in reports) / 1024,
        "dropped": sum(r["stats"].get("dropped", 0) for r in reports),
    }


def check(folder: Path, expected: int, subject: str) -> None:
    """Count and parse every line."""
    lines = 0
    for path in folder.iterdir():
        if path.name.startswith(".") or path.suffix not in {".jsonl"}:
            continue
        with path.open("rb") as file:
            for line in file:
                json.loads(line)
                lines += 1
    if lines != expected:
        raise SystemExit(f"{subject}: expected {expected} lines, found {lines}: no figures")


def rounds(
    subjects: list[str], processes: int, count: int, prompt: bool, repeat: int
) -> Iterator[tuple[str, dict[str, float]]]:
    """Run the subjects in turn, `repeat` times, and yield the medians."""
    found: dict[str, list[dict[str, float]]] = {subject: [] for subject in subjects}
    for _ in range(repeat):
        for subject in subjects:
            with tempfile.TemporaryDirectory() as folder:
                found[subject].append(run(subject, processes, count, prompt, Path(folder)))
    for subject, results in found.items():
        yield subject, {key: statistics.median(result[key] for result in results) for key in results[0]}


def many_projects(projects: int, processes: int, count: int) -> None:
    """Time `processes` processes over `projects` projects of one root beside one file, and count every line."""
    rates = {}
    for spread in (1, projects):
        with tempfile.TemporaryDirectory() as folder:
            command = [
                sys.executable,
                "-m",
                "tests.benchmarks.write",
                "--spread",
                str(spread),
                "--count",
                str(count),
                "--path",
                folder,
            ]
            began = time.perf_counter()
            workers = [subprocess.Popen(command) for _ in range(processes)]
            assert all(worker.wait() == 0 for worker in workers)
            took = time.perf_counter() - began
            lines = 0
            for path in Path(folder).rglob("llm_requests*.jsonl"):
                with path.open("rb") as file:
                    for line in file:
                        json.loads(line)
                        lines += 1
            if lines != processes * count:
                raise SystemExit(f"{spread} projects: expected {processes * count} lines, found {lines}")
            rates[spread] = processes * count / took
            print(
                f"{spread:>6} projects, {processes} processes: {rates[spread]:>10,.0f} records/s, every line found"
            )
    print(f"ratio {rates[projects] / rates[1]:.2f} (whole processes, start to exit)")


def spread_work(path: str, count: int, projects: int) -> None:
    """Be one process of `many_projects`."""
    import logging.config
    import random

    from llm_logging import presets

    logging.config.dictConfig(
        presets.production(path, max_bytes=MAX_BYTES, max_open_files=64, overflow_wait=5.0)
    )
    logger = logging.getLogger("app.chat")
    draw = random.Random(os.getpid())
    records = [{**fields(index, None), "project_id": f"project-{index}"} for index in range(projects)]
    for _ in range(count):
        logger.info("answered", extra=records[draw.randrange(projects)])
    logging.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worker")
    parser.add_argument("--path", default="")
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--prompt", action="store_true")
    parser.add_argument("--processes", type=int, nargs="*", default=[1, 4, 8])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", nargs="*", help="subjects whose names hold one of these")
    parser.add_argument("--spread", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--projects", type=int, default=2000, help="0 leaves this part out")
    options = parser.parse_args()
    if options.worker:
        work(options.worker, options.path, options.count, options.prompt)
        return
    if options.spread:
        spread_work(options.path, options.count, options.spread)
        return
    subjects = [name for name in SUBJECTS if not options.only or any(part in name for part in options.only)]
    for prompt in (False, True):
        for processes in options.processes if not prompt else options.processes[:1]:
            count = max(1, options.count // (5 if prompt else 1))
            print(
                f"\n{processes} process(es), {count:,} records each, {'4 KB prompt' if prompt else '14 fields'}"
            )
            print(f"{'':45}{'p50 us':>8}{'p99 us':>10}{'records/s':>12}{'CPU us':>8}{'MB':>7}")
            results = dict(rounds(subjects, processes, count, prompt, options.repeat))
            for name, figures in results.items():
                note = f"  dropped {figures['dropped']:.0f}" if figures["dropped"] else ""
                print(
                    f"{name:45}{figures['p50']:>8.1f}{figures['p99']:>10.1f}{figures['rate']:>12,.0f}"
                    f"{figures['cpu']:>8.1f}{figures['memory_mb']:>7.1f}{note}"
                )
            mine = results.get("llm_logging")
            for name in ("concurrent-log-handler + python-json-logger", "structlog + orjson"):
                if mine and name in results:
                    peer = results[name]
                    print(
                        f"  beside {name}: p50 x {mine['p50'] / peer['p50']:.2f}, p99 x {mine['p99'] / peer['p99']:.3f}, "
                        f"rate x {mine['rate'] / peer['rate']:.2f}"
                    )
    if options.projects:
        print()
        many_projects(options.projects, 4, options.count)


if __name__ == "__main__":
    main()
