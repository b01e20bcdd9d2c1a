"""Spoil files and type nonsense until something breaks: `python -m tests.fuzz --seconds 60`.

Three kinds of cases, see `tests.fuzzing`: `logs` spoils the files of a root and reads them in every way, `questions`
asks with filters and holds the answers against plain Python, `texts` types into everything that reads text. Each
case follows from the seed and its number alone. A process of its own runs them; another watches that each ends in
time, that none kills the process, and that memory stays bounded. Prints how many cases there were and, for each that
failed, what happened and the line that runs it again.

`--sabotage` breaks the reader on purpose, in four ways one after the other, and ends with 0 only if each was noticed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

KINDS = ("logs", "questions", "texts")
# Of eight cases; what spoils files has the most to find.
_TURNS = ("logs", "logs", "logs", "questions", "logs", "logs", "questions", "texts")
_MEMORY = 1_500_000  # KiB, with an interpreter, DuckDB and pyarrow in it
_CASES_A_PROCESS = 1_000
# So often a case that is about to run, on a machine that others keep busy, gets its time again.
_PATIENCE = 3


def kind_of(number: int, kinds: tuple[str, ...] = KINDS) -> str:
    """Say what kind of case a number is."""
    turns = [turn for turn in _TURNS if turn in kinds]
    return turns[number % len(turns)]


def runner(folder: Path) -> Callable[[str, random.Random], str]:
    """Load the reader, and return what runs one case."""
    os.environ.update(
        COLUMNS="100",
        LLM_LOGGING_CACHE=str(folder / "cache"),
        LLM_LOGGING_ROOT=str(folder / "root"),
        XDG_CONFIG_HOME=str(folder),
    )
    from tests.fuzzing import logs, questions, texts

    template, known = logs.Template(folder / "template"), questions.Known(folder / "known")

    def run(kind: str, chance: random.Random) -> str:
        place = folder / "case"
        place.mkdir()
        before = Path.cwd()
        os.chdir(place)
        try:
            if kind == "logs":
                return logs.case(chance, place, template)
            return (questions if kind == "questions" else texts).case(chance, place, known)
        finally:
            os.chdir(before)
            shutil.rmtree(place, ignore_errors=True)

    return run


def peak_memory() -> int:
    """Return the most memory, in KiB, that this process held since it was executed.

    `ru_maxrss` begins with what the process held that started it, which a suite that has run for long may be much.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise AssertionError("expected VmHWM in /proc/self/status")


def _work(
    pipe: Connection, folder: Path, seed: str, first: int, last: int, kinds: tuple[str, ...], sabotage: str
) -> None:
    """Run cases, and say before and after each one how it went."""
    run = runner(folder)
    if sabotage:
        SABOTAGE[sabotage]()
    pipe.send(("ready", first, ""))
    for number in range(first, last):
        pipe.send(("begins", number, ""))
        try:
            run(kind_of(number, kinds), random.Random(f"{seed}:{number}"))
        except Exception:  # noqa: BLE001  whatever it is, it is what is looked for
            pipe.send(("failed", number, traceback.format_exc()))
        most = peak_memory()
        if most > _MEMORY:
            pipe.send(("failed", number, f"memory: expected at most {_MEMORY:,} KiB, got {most:,}"))
            return
    pipe.send(("ends", last, ""))


def starved(pid: int | None) -> bool:
    """Say whether a process would run if it got a processor: then it is others that take the time, and nothing hangs."""
    for path in Path(f"/proc/{pid}/task").glob("*/stat"):
        try:
            if path.read_text().rpartition(")")[2].split()[0] == "R":
                return True
        except OSError:
            continue
    return False


class Watch:
    """Run cases in a process, and note what goes wrong in it or with it.

    Args:
        seed: Of all cases.
        kinds: Which kinds of cases.
        limit: The seconds that one case may take.
        sabotage: What is to be broken; "" for nothing.
    """

    def __init__(
        self, seed: str, kinds: tuple[str, ...] = KINDS, limit: float = 60, sabotage: str = ""
    ) -> None:
        self.seed, self.kinds, self.limit, self.sabotage = seed, kinds, limit, sabotage
        self.counts: Counter[str] = Counter()
        self.failures: list[tuple[int, str]] = []
        self.slowest = (0.0, -1)

    def run(self, first: int, last: int, until: float) -> int:
        """Run the cases from one number to another, or until a time; return the next number."""
        number = first
        while number < last and time.monotonic() < until and not (self.sabotage and self.failures):
            with tempfile.TemporaryDirectory(
                prefix="llm-logging-fuzz-", ignore_cleanup_errors=True
            ) as folder:
                number = self._process(Path(folder), number, min(last, number + _CASES_A_PROCESS), until)
        return number

    def _fails(self, number: int, text: str) -> None:
        self.failures.append((number, text))
        if not self.sabotage:
            chosen = "" if self.kinds == KINDS else f" --kinds {','.join(self.kinds)}"
            print(f"case {number} ({kind_of(number, self.kinds)}):\n{text}")
            print(f"again: python -m tests.fuzz --seed {self.seed} --case {number}{chosen}\n", flush=True)

    def _process(self, folder: Path, first: int, last: int, until: float) -> int:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        worker = context.Process(
            target=_work,
            args=(theirs, folder, self.seed, first, last, self.kinds, self.sabotage),
            daemon=True,
        )
        worker.start()
        theirs.close()
        # Starting takes long where the processor is shared.
        number, limit, patience, begun = first, self.limit + 120, _PATIENCE, time.monotonic()
        try:
            while True:
                if not ours.poll(limit):
                    if patience and starved(worker.pid):
                        patience -= 1
                        continue
                    self._fails(number, f"hangs: it has not ended after {limit:.0f} s")
                    return number + 1
                what, number, text = ours.recv()
                limit, patience = self.limit, _PATIENCE
                if what == "begins":
                    if number > first:
                        self.slowest = max(self.slowest, (time.monotonic() - begun, number - 1))
                    begun = time.monotonic()
                    self.counts[kind_of(number, self.kinds)] += 1
                    if begun > until:
                        self.counts[kind_of(number, self.kinds)] -= 1
                        return number
                elif what == "failed":
                    self._fails(number, text)
                    if self.sabotage:
                        return last
                elif what == "ends":
                    return last
        except EOFError:
            worker.join(10)
            if not self.failures or self.failures[-1][0] != number:
                self._fails(number, f"the process ended with status {worker.exitcode}")
            return number + 1
        finally:
            ours.close()
            worker.kill()
            worker.join()


def _swallow_filters() -> None:
    """A filter's value that becomes SQL."""
    from llm_logging.reader.sql import filters

    right = filters._condition

    def wrong(column: Any, op: str, value: str, *rest: Any) -> Any:
        if column.kind == "text" and op == "=" and value:
            quoted = f"\"{column.name}\" = '{value}'".replace("?", " ")
            return filters.Condition(column, quoted, ())
        return right(column, op, value, *rest)

    filters._condition = wrong  # type: ignore[assignment]


def _let_errors_out() -> None:
    """A line that is no JSON ends the reading."""
    from llm_logging.reader.lines import salvage

    def wrong(text: str, *_rest: Any, **_options: Any) -> Any:
        raise KeyError(text[:20])

    salvage._DECODER.raw_decode = wrong  # type: ignore[method-assign]
    salvage._DECODER.decode = wrong  # type: ignore[assignment]


def _hang() -> None:
    """A manifest whose reading does not end."""
    from llm_logging.reader.answer import result

    right = result.judge

    def wrong(*args: Any, **options: Any) -> Any:
        while "Europe" in os.environ.get("TZ", "Europe"):
            time.sleep(1)
        return right(*args, **options)

    result.judge = wrong  # type: ignore[assignment]


def _show_raw() -> None:
    """Control characters reach the terminal."""
    from llm_logging.cli.viewer import pretty

    pretty.safe = lambda text, newlines=False: str(text)  # type: ignore[assignment]  # noqa: ARG005


SABOTAGE: dict[str, Callable[[], None]] = {
    "filters": _swallow_filters,
    "errors": _let_errors_out,
    "hang": _hang,
    "terminal": _show_raw,
}


def sabotaged(seed: str) -> list[str]:
    """Break the reader in each way; return the ways that were not noticed."""
    missed = []
    for name in SABOTAGE:
        kinds = ("questions",) if name in {"filters", "hang"} else ("logs",)
        watch = Watch(seed, kinds, 20 if name == "hang" else 60, name)
        watch.run(0, 60, time.monotonic() + 300)
        print(f"{name}: {'noticed' if watch.failures else 'NOT NOTICED'} after {watch.counts.total()} cases")
        if watch.failures:
            print("   ", watch.failures[0][1].strip().splitlines()[-1][:160])
        else:
            missed.append(name)
    return missed


def main(arguments: list[str] | None = None) -> int:
    """Run cases and print what they found; return 0 where nothing is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--cases", type=int, default=10**9, help="at most so many")
    parser.add_argument("--case", type=int, help="run this one again, in this process")
    parser.add_argument("--kinds", default=",".join(KINDS), help="which kinds of cases")
    parser.add_argument("--limit", type=float, default=60, help="seconds that one case may take")
    parser.add_argument("--sabotage", action="store_true", help="break the reader; this must be noticed")
    options = parser.parse_args(arguments)
    kinds = tuple(options.kinds.split(","))
    if options.sabotage:
        return 1 if sabotaged(options.seed) else 0
    if options.case is not None:
        with tempfile.TemporaryDirectory(prefix="llm-logging-fuzz-") as folder:
            kind = kind_of(options.case, kinds)
            print(kind, runner(Path(folder))(kind, random.Random(f"{options.seed}:{options.case}")))
        return 0
    watch = Watch(options.seed, kinds, options.limit)
    begun = time.monotonic()
    watch.run(0, options.cases, begun + options.seconds)
    seconds = time.monotonic() - begun
    counts = ", ".join(f"{kind} {count:,}" for kind, count in sorted(watch.counts.items()))
    print(
        f"{watch.counts.total():,} cases in {seconds:,.0f} s ({counts}), seed {options.seed}; the slowest took "
        f"{watch.slowest[0]:.1f} s (case {watch.slowest[1]}): {len(watch.failures)} failed"
    )
    return 1 if watch.failures else 0


if __name__ == "__main__":
    sys.exit(main())
