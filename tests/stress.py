"""Many processes and threads log to shared files that rotate and are compressed, while some are killed and some fork.

    python -m tests.stress --seconds 60 --processes 4 --threads 3

Then every id is looked for: once, in a whole line, in order within its writer, no segment over its bound. Each logging call
notes that it returned in a file of the process's own, so that the check knows what a killed one had logged. No notice may say
that another program touched a file, and `verify` and `doctor` must find nothing. `--sabotage` takes one line away and doubles
another, which the check must find: the command then fails.

What makes faults show in seconds: `--slow-listings`, for a folder is not listed at one instant, also of `--old 1500` older segments;
`--small` files in few `--projects`, which rotate often. `--root /dev/shm` puts the logs on a tmpfs, `--c-forks` forks without
telling Python, as C programs do.
"""

from __future__ import annotations

import argparse
import ctypes
import gzip
import json
import logging
import os
import random
import re
import signal
import struct
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from llm_logging import LLMFileHandler
from llm_logging.files.segments import list_segments, segment_name
from llm_logging.maintenance.doctor import check_lines
from llm_logging.maintenance.verify import verify
from tests.processes import rings

MAX_BYTES = 200_000
_HUNG_SECONDS = 2.0
NOTE = struct.Struct("<Q")


class SlowListing:
    """`os.scandir` of a large folder on a busy machine: what is renamed meanwhile is met under neither name, as POSIX allows."""

    real = staticmethod(os.scandir)

    def __init__(self, folder: Any = ".") -> None:
        with self.real(folder) as entries:
            self._entries = iter(list(entries))
        time.sleep(random.random() / 50)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._entries = iter(())

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        return next(entry for entry in self._entries if os.path.lexists(entry))


def work(
    root: Path, notes: Path, name: str, threads: int, until: float, seed: int, options: argparse.Namespace
) -> None:
    """Log from several threads until the time is over; note after each call that it returned."""
    chance = random.Random(seed)
    if options.slow_listings:
        os.scandir = SlowListing  # type: ignore[assignment, misc]
    bound = MAX_BYTES // 10 if options.small else MAX_BYTES
    handler = LLMFileHandler(
        root,
        max_bytes=chance.choice([bound, bound // 2]),
        compress="gz" if options.small else chance.choice(["gz", "gz", None]),
        overflow_wait=60,
        flush_interval=chance.choice([0.0, 0.05]),
    )
    log = logging.getLogger("stress")
    log.handlers[:] = [handler]
    log.propagate = False
    log.setLevel(logging.INFO)

    def run(index: int) -> None:
        who = f"{name}-{index}"
        note = os.open(notes / who, os.O_WRONLY | os.O_CREAT, 0o600)
        number = 0
        own = random.Random(seed * 1000 + index)
        while time.monotonic() < until:
            log.info(
                "%s:%d",
                who,
                number,
                extra={"project_id": f"p{own.randrange(options.projects)}", "pad": "x" * own.randrange(300)},
            )
            number += 1
            os.pwrite(note, NOTE.pack(number), 0)
            if own.random() < 0.002:
                handler.flush()
            if own.random() < 0.0005:
                fork(who, number)
            if own.random() < 0.05:
                time.sleep(0.001)

    def fork(who: str, number: int) -> None:
        pid = ctypes.PyDLL(None).fork() if options.c_forks and number % 2 else os.fork()
        if not pid:
            child = f"{who}c{number}"
            for n in range(5):
                log.info("%s:%d", child, n, extra={"project_id": "p0"})
                (notes / child).write_bytes(NOTE.pack(n + 1))
            os._exit(0)
        # A child of a fork in C may hang before it runs any Python: another thread waited for the interpreter's lock.
        patience = time.monotonic() + _HUNG_SECONDS
        while os.waitpid(pid, os.WNOHANG)[0] == 0:
            if options.c_forks and time.monotonic() > patience:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                break
            time.sleep(0.001)

    workers = [threading.Thread(target=run, args=(index,)) for index in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def older(root: Path, count: int, projects: int) -> None:
    """Fill each folder with so many segments of earlier days."""
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    content = gzip.compress(b'{"v":1,"message":"old"}\n')
    for project in range(projects if count else 0):
        folder = root / "projects" / f"p{project}" / "logs"
        folder.mkdir(parents=True, mode=0o700)
        for number in range(count):
            name = segment_name("events", begun + timedelta(seconds=number), 1)
            (folder / f"{name}.gz").write_bytes(content)


def storm(root: Path, notes: Path, options: argparse.Namespace) -> tuple[int, int]:
    """Keep so many processes logging, and kill some; return how many were started and killed."""
    seconds, processes, threads, seed = options.seconds, options.processes, options.threads, options.seed
    chance = random.Random(seed)
    until = time.monotonic() + seconds
    living: dict[int, str] = {}
    started = killed = 0
    while time.monotonic() < until or living:
        while len(living) < processes and time.monotonic() < until - 0.2:
            name = f"w{started}"
            started += 1
            pid = os.fork()
            if not pid:
                status = 1
                try:
                    work(root, notes, name, threads, until, seed + started, options)
                    logging.shutdown()
                    status = 0
                finally:
                    os._exit(status)
            living[pid] = name
        time.sleep(chance.uniform(0.05, 0.4))
        if living and time.monotonic() < until and chance.random() < options.kills:
            os.kill(chance.choice(list(living)), signal.SIGKILL)
            killed += 1
        while living:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            if living.pop(pid, None) and status not in {0, signal.SIGKILL}:
                raise SystemExit(f"a process ended with status {status}")
    return started, killed


def settle(root: Path) -> None:
    """Open the root once more, until what killed processes left is written."""
    handler = LLMFileHandler(root, max_bytes=MAX_BYTES)
    handler._writer.recover_soon()
    deadline = time.monotonic() + 60
    while len(rings(root)) > 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    handler.close()
    if rings(root):
        raise SystemExit(f"spools are left: {rings(root)}")


def sabotage(root: Path) -> None:
    """Take one line out of a file, and write another twice."""
    for path in sorted(root.rglob("events*.jsonl")):
        whole = path.read_bytes().splitlines(keepends=True)
        if len(whole) > 2:
            path.write_bytes(b"".join([*whole[1:], whole[-1]]))
            return
    raise SystemExit("nothing to spoil")


def check(root: Path, notes: Path) -> list[str]:
    """Return what is wrong."""
    wrong: list[str] = []
    counted: Counter[tuple[str, int]] = Counter()
    for active in sorted(root.glob("projects/*/logs/events.jsonl")):
        numbers: dict[str, list[int]] = defaultdict(list)
        order: dict[str, list[int]] = defaultdict(list)
        for segment in list_segments(active):
            data = segment.path.read_bytes()
            if segment.compression:
                data = gzip.decompress(data)
            if len(data) > MAX_BYTES:
                wrong.append(f"{segment.path}: {len(data)} bytes, the bound is {MAX_BYTES}")
            for raw in data.split(b"\n")[:-1] + ([b"?"] if data and not data.endswith(b"\n") else []):
                _look(raw, segment.path, counted, numbers, order, wrong)
        wrong += [
            f"{active}: numbers of {w}: {n[:9]}"
            for w, n in numbers.items()
            if n != list(range(1, len(n) + 1))
        ]
        wrong += [f"{active}: order of {who}" for who, found in order.items() if found != sorted(found)]
    wrong += told(root)
    for note in notes.iterdir():
        returned = NOTE.unpack(note.read_bytes() or NOTE.pack(0))[0]
        for number in range(returned):
            if counted[note.name, number] != 1:
                wrong.append(f"{note.name}:{number} stands there {counted[note.name, number]} times")
        # The call that a kill cut off may have stored its line or not.
        wrong += [
            f"{who}:{n} twice"
            for (who, n), c in counted.items()
            if who == note.name and n >= returned and c > 1
        ]
    return wrong


def told(root: Path) -> Iterator[str]:
    """Yield what the library itself says is wrong, at the time or afterwards."""
    for path in sorted((root / "logs").glob("system*.jsonl*")):
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for line in data.splitlines():
            if b"by another program" in line or b"housekeeping_failed" in line:
                yield f"{path}: {line[:300]!r}"
    # Older segments were put there by `older`, in no manifest.
    yield from (f"verify: {found}" for found in verify(root).findings if "20260101T" not in found.where)
    yield from (f"doctor: {found}" for found in check_lines(root) if found.state != "ok")


def _look(
    raw: bytes,
    path: Path,
    counted: Counter[tuple[str, int]],
    numbers: dict[str, list[int]],
    order: dict[str, list[int]],
    wrong: list[str],
) -> None:
    try:
        line: dict[str, Any] = json.loads(raw)
    except ValueError:
        wrong.append(f"{path}: torn: {raw[:60]!r}")
        return
    match = re.fullmatch(r"(w[\w-]+):(\d+)", line["message"])
    if match:
        counted[match[1], int(match[2])] += 1
        numbers[line["writer"]["id"]].append(line["writer"]["seq"])
        order[match[1]].append(int(match[2]))


def main(arguments: list[str] | None = None) -> int:
    """Run the storm and the check; return 0 where nothing is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.stress", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--threads", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--root", help="the folder in which one is made for the logs, and removed afterwards")
    parser.add_argument(
        "--kills", type=float, default=0.5, help="how likely a process is killed at each look"
    )
    parser.add_argument("--projects", type=int, default=3, help="how many folders the lines are spread over")
    parser.add_argument("--old", type=int, default=0, help="so many older segments in each folder")
    parser.add_argument("--slow-listings", action="store_true", help="pause while a folder is listed")
    parser.add_argument("--small", action="store_true", help="files a tenth as large, all compressed")
    parser.add_argument(
        "--c-forks", action="store_true", help="fork half of the children without Python's knowing"
    )
    parser.add_argument(
        "--sabotage", action="store_true", help="spoil the files before the check, which must then fail"
    )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.root) as folder:
        root, notes = Path(folder, "logs"), Path(folder, "notes")
        notes.mkdir()
        older(root, options.old, options.projects)
        started, killed = storm(root, notes, options)
        settle(root)
        if options.sabotage:
            sabotage(root)
        wrong = check(root, notes)
        total = sum(NOTE.unpack(note.read_bytes() or NOTE.pack(0))[0] for note in notes.iterdir())
        segments = sum(1 for _ in root.rglob("events.2*")) - options.old * options.projects
    print(f"{total} lines of {started} processes, {killed} killed, {segments} segments: {len(wrong)} wrong")
    for line in wrong[:20]:
        print(" ", line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
