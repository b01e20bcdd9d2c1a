"""How fast the reader is, beside the least that can be done with the same bytes.

    python -m tests.benchmarks.read [--rows 1_000_000] [--shape single|pairs] [--runs 3] [--keep FOLDER]

Makes requests over projects, chats, models and rotated segments, then times whole processes, one after another in one
run: a minimal hand-written DuckDB query (the floor), a plain parse to Parquet (the control), jq, a Python json loop,
ccusage where npm has it (the same requests in the shape it reads), and the reader by day and model: cold, warm, with other
questions and after 10,000 new lines. Every result is checked against what was written before a time is reported; times are medians.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

MODELS = (
    ("openai", "gpt-4o", "gpt-4o-2024-08-06"), ("openai", "gpt-4o-mini", "gpt-4o-mini-2024-07-18"),
    ("openai", "o3-mini", "o3-mini"), ("anthropic", "claude-sonnet-4-20250514", "claude-sonnet-4-20250514"),
    ("anthropic", "claude-3-5-haiku-latest", "claude-3-5-haiku-20241022"), ("google", "gemini-2.5-pro", "gemini-2.5-pro"),
    ("google", "gemini-2.5-flash", "gemini-2.5-flash"), ("mistral", "mistral-large-latest", "mistral-large-latest"),
)  # fmt: skip
PROJECTS = 8
SEGMENT_BYTES = 64 * 2**20
DAYS = 60
STAMP = "%Y-%m-%dT%H:%M:%S.%fZ"


class Truth:
    """What was written, counted while writing."""

    def __init__(self) -> None:
        self.requests = self.failed = self.prompt = self.completion = 0

    def add(self, prompt: int, completion: int, *, failed: bool) -> None:
        self.requests += 1
        self.failed += failed
        self.prompt += prompt
        self.completion += completion


class Maker:
    """Writes requests as `log.request` does, in time order, and says what they sum to."""

    def __init__(self, root: Path, rows: int, shape: str) -> None:
        self.root, self.shape = root, shape
        self.random = random.Random(7)
        self.step = timedelta(days=DAYS) / max(rows, 1)
        self.at = datetime(2026, 1, 5, tzinfo=UTC)
        self.truth = Truth()
        self.sequences = [0] * PROJECTS
        self.sizes = [0] * PROJECTS
        self.sealed = [0] * PROJECTS
        self.files = [self._open(project) for project in range(PROJECTS)]
        self.ccusage = None

    def folder(self, project: int) -> Path:
        return self.root / "projects" / f"project-{project}" / "logs"

    def _open(self, project: int):
        self.folder(project).mkdir(parents=True, exist_ok=True)
        return (self.folder(project) / "llm_requests.jsonl").open("a")

    def write(self, rows: int) -> None:
        for _ in range(rows):
            self._one()
        for file in self.files:
            file.flush()

    def _one(self) -> None:
        pick = self.random
        project = int(pick.random() ** 2 * PROJECTS)
        provider, model, response_model = MODELS[int(pick.random() ** 1.5 * len(MODELS))]
        self.at += self.step
        latency = round(pick.lognormvariate(7.2, 0.8), 3)
        end = self.at + timedelta(milliseconds=latency)
        failed = pick.random() < 0.03
        prompt, completion = pick.randint(20, 6000), pick.randint(1, 1500)
        start, done = self.at.strftime(STAMP), end.strftime(STAMP)
        request = f"{pick.getrandbits(128):032x}"
        request = f"{request[:8]}-{request[8:12]}-4{request[13:16]}-9{request[17:20]}-{request[20:]}"
        who = (
            f'"id":"{request}","attempt":1,"project_id":"project-{project}","chat_id":"c-{pick.randint(0, 20_000)}",'
            f'"user_id":"u-{pick.randint(0, 3000)}","request_type":"chat","model":"{model}"'
        )
        if self.shape == "pairs":
            self._line(project, start, f'{who},"status":"pending","timestamp_start":"{start}","stream":true')
        rest = f'{who},"response_model":"{response_model}","provider":"{provider}","stream":true'
        if failed:
            prompt = completion = 0
            rest += (
                ',"status":"error","http_status":429,"error":{"code":"rate_limited","message":"Rate limit reached, try '
                'again in 20s. Visit https://platform.openai.com/account/rate-limits to learn more.","type":"RateLimitError"}'
            )
        else:
            rest += (
                f',"provider_response_id":"chatcmpl-{pick.getrandbits(116):029x}","finish_reasons":["stop"],'
                f'"status":"success","http_status":200,"usage":{{"prompt_tokens":{prompt},"completion_tokens":{completion},'
                f'"total_tokens":{prompt + completion},"cache_read_tokens":{prompt // 2},"reasoning_tokens":'
                f'{completion // 4},"source":"provider"}}'
            )
        rest += (
            f',"timestamp_start":"{start}","timestamp_end":"{done}","timings":{{"latency_ms":{latency},'
            f'"total_duration_ms":{latency + 1.5:.3f},"time_to_first_token_ms":{latency / 5:.3f}}},'
            f'"attributes":{{"tenant":"tenant-{pick.randint(0, 40)}"}}'
        )
        self._line(project, done, rest)
        self.truth.add(prompt, completion, failed=failed)
        if self.ccusage is not None and not failed:
            self.ccusage.write(
                f'{{"timestamp":"{done[:23]}Z","sessionId":"s","requestId":"{request}","costUSD":0.01,"message":{{"id":'
                f'"{request}","model":"claude-sonnet-4-20250514","usage":{{"input_tokens":{prompt},"output_tokens":'
                f'{completion},"cache_creation_input_tokens":0,"cache_read_input_tokens":0}}}},"pad":"{"x" * 380}"}}\n'
            )

    def _line(self, project: int, at: str, fields: str) -> None:
        self.sequences[project] += 1
        line = (
            f'{{"v":1,"timestamp":"{at}","level":"INFO","logger":"app.chat","message":"llm request","event_type":'
            f'"llm_request","writer":{{"id":"a3f09c1d{project:08x}","seq":{self.sequences[project]}}},{fields}}}\n'
        )
        self.files[project].write(line)
        self.sizes[project] += len(line)
        if self.sizes[project] >= SEGMENT_BYTES:
            self._rotate(project)

    def _rotate(self, project: int) -> None:
        self.files[project].close()
        self.sealed[project] += 1
        name = f"llm_requests.20260105T{self.sealed[project]:06d}Z-0001.jsonl"
        (self.folder(project) / "llm_requests.jsonl").rename(self.folder(project) / name)
        self.files[project] = self._open(project)
        self.sizes[project] = 0


# Runs a command, tells its wall seconds and the peak of its memory in MB, and passes its output on.
METER = """
import json, resource, subprocess, sys, time
begin = time.perf_counter()
done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
seconds = time.perf_counter() - begin
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
print(json.dumps([seconds, peak, done.returncode, done.stdout, done.stderr[-2000:]]))
"""

COLUMNS = (
    "{'model': 'VARCHAR', 'usage': 'STRUCT(prompt_tokens BIGINT, completion_tokens BIGINT)', "
    "'timings': 'STRUCT(latency_ms DOUBLE)'}"
)
FLOOR = """
import duckdb, json, sys
rows = duckdb.sql(f'''SELECT model, count(*), sum(usage.prompt_tokens), sum(usage.completion_tokens), avg(timings.latency_ms)
FROM read_json({sys.argv[1]!r}, format='newline_delimited', columns=COLUMNS) GROUP BY model''').fetchall()
print(json.dumps([sum(r[1] for r in rows), int(sum(r[2] for r in rows)), int(sum(r[3] for r in rows))]))
""".replace("COLUMNS", COLUMNS.replace("{", "{{").replace("}", "}}"))
CONTROL = """
import duckdb, json, sys
duckdb.execute(f"COPY (FROM read_json({sys.argv[1]!r}, format='newline_delimited', union_by_name=true)) TO '{sys.argv[2]}' (FORMAT parquet)")
print(json.dumps(list(map(int, duckdb.execute(f"SELECT count(*), sum(usage.prompt_tokens), sum(usage.completion_tokens) FROM '{sys.argv[2]}'").fetchone()))))
"""
LOOP = """
import glob, json, sys
n = p = c = 0
by = {}
for path in glob.glob(sys.argv[1]):
    with open(path, 'rb') as lines:
        for line in lines:
            entry = json.loads(line)
            usage = entry.get('usage') or {}
            n += 1
            p += usage.get('prompt_tokens', 0)
            c += usage.get('completion_tokens', 0)
            by.setdefault(entry['model'], []).append((entry.get('timings') or {}).get('latency_ms', 0))
print(json.dumps([n, p, c]))
"""
# Questions that the cold reading did not answer: with other groups only, and with other filters too.
OTHER_GROUPS = (
    ("--by", "provider,status"), ("--by", "week,project", "--tz", "Europe/Berlin"), ("--by", "hour"), ("--by", "model"),
)  # fmt: skip
OTHER_FILTERS = (
    ("--where", "model!=none", "--by", "day"), ("--where", "chat!=none", "--by", "project,model"),
    ("--since", "2026-01-01", "--by", "week,model"),
)  # fmt: skip


def run(command: list[str], cache: Path) -> tuple[float, float, str]:
    """Run a whole process; return seconds, peak MB and output."""
    # Compiled modules are kept, as an installed package has them, whatever the environment says of a source tree.
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(cache.with_name("compiled")), "NO_COLOR": "1"}
    environment |= {"LLM_LOGGING_CACHE": str(cache)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    meter = subprocess.run(
        [sys.executable, "-c", METER, *command], capture_output=True, text=True, env=environment, check=True
    )
    seconds, peak, code, out, error = json.loads(meter.stdout)
    if code:
        raise SystemExit(f"{command[:3]}: exit {code}\n{error}")
    return seconds, peak, out


def reader_command(root: Path, *options: str) -> list[str]:
    """The command line, by day and model unless other options are given."""
    asked = options or ("--by", "day,model")
    return [sys.executable, "-m", "llm_logging", "stats", "--root", str(root), *asked, "--format", "json"]


def check_reader(out: str, truth: Truth) -> None:
    figures = json.loads(out)["summary"]

    def value(name: str, camel: str):
        return figures[name] if name in figures else figures[camel]

    got = [
        value("total_requests", "totalRequests"), value("failed_requests", "failedRequests"),
        value("prompt_tokens", "promptTokens"), value("completion_tokens", "completionTokens"),
    ]  # fmt: skip
    expected = [truth.requests, truth.failed, truth.prompt, truth.completion]
    assert got == expected, f"the reader says {got}, written were {expected}"


def check_simple(out: str, truth: Truth, lines: int) -> None:
    got = json.loads(out.strip().splitlines()[-1])
    assert got == [lines, truth.prompt, truth.completion], (
        f"{got} != {[lines, truth.prompt, truth.completion]}"
    )


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


class Table:
    """Medians, one row a command, ratios to the floor and the control."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, float, float, str]] = []
        self.seconds: dict[str, float] = {}

    def add(self, name: str, results: list[tuple[float, float]], note: str = "") -> None:
        seconds = statistics.median(second for second, _ in results)
        peak = max(peak for _, peak in results)
        self.seconds[name] = seconds
        floor = self.seconds.get("floor")
        control = self.seconds.get("control")
        ratio = f"{seconds / floor:5.2f} x floor" if floor else ""
        ratio += f", {seconds / control:5.2f} x control" if control else ""
        print(f"{name:28s} {seconds:8.2f} s {peak:7.0f} MB   {ratio}  {note}", flush=True)


def measure(work: Path, rows: int, shape: str, runs: int) -> None:
    root, cache = work / "logs", work / "cache"
    maker = Maker(root, rows + 10_000, shape)
    begin = time.perf_counter()
    if shape == "single" and ccusage_command() is not None:
        claude = work / "claude" / "projects" / "p"
        claude.mkdir(parents=True)
        maker.ccusage = (claude / "session.jsonl").open("w")
    maker.write(rows)
    size = folder_bytes(root)
    lines = rows * (2 if shape == "pairs" else 1)
    print(
        f"{rows:,} requests, {lines:,} lines ({shape}), {size / 1e6:,.0f} MB in "
        f"{len(list(root.rglob('*.jsonl')))} files, written in {time.perf_counter() - begin:.0f} s; {runs} runs"
    )
    run(reader_command(root, "--help"), cache)
    table, glob_ = Table(), str(root / "projects" / "*" / "logs" / "*.jsonl")

    def simple(name: str, command: list[str], count: int = runs) -> None:
        results = []
        for _ in range(count):
            seconds, peak, out = run(command, cache)
            check_simple(out, maker.truth, lines)
            results.append((seconds, peak))
        table.add(name, results)

    simple("floor", [sys.executable, "-c", FLOOR, glob_])
    simple("control", [sys.executable, "-c", CONTROL, glob_, str(work / "control.parquet")])
    command = reader_command(root)
    cold = []
    for _ in range(runs):
        shutil.rmtree(cache, ignore_errors=True)
        seconds, peak, out = run(command, cache)
        check_reader(out, maker.truth)
        cold.append((seconds, peak))
    table.add("reader, cold", cold, f"cache {folder_bytes(cache) / size:.1%} of the bytes")
    warm = []
    for _ in range(runs + 2):
        seconds, peak, out = run(command, cache)
        check_reader(out, maker.truth)
        warm.append((seconds, peak))
    table.add("reader, warm", warm)
    for name, questions in (("other groups", OTHER_GROUPS), ("other filters", OTHER_FILTERS)):
        others = []
        for question in questions:
            seconds, peak, out = run(reader_command(root, *question), cache)
            check_reader(out, maker.truth)
            others.append((seconds, peak))
        table.add(f"reader, warm, {name}", others)
    maker.write(10_000)
    seconds, peak, out = run(command, cache)
    check_reader(out, maker.truth)
    table.add("reader, 10,000 new lines", [(seconds, peak)])
    simple_slow(table, maker, glob_, cache, lines + 10_000 * (lines // rows))
    if maker.ccusage is not None:
        maker.ccusage.close()
        compare_ccusage(table, work)


def simple_slow(table: Table, maker: Maker, glob_: str, cache: Path, lines: int) -> None:
    seconds, peak, out = run([sys.executable, "-c", LOOP, glob_], cache)
    check_simple(out, maker.truth, lines)
    table.add("Python json loop", [(seconds, peak)])
    if shutil.which("jq"):
        program = "reduce inputs as $r ([0,0,0]; [.[0]+1, .[1]+($r.usage.prompt_tokens//0), .[2]+($r.usage.completion_tokens//0)])"
        seconds, peak, out = run(["sh", "-c", f"cat {glob_} | jq -n -c '{program}'"], cache)
        check_simple(out, maker.truth, lines)
        table.add("jq", [(seconds, peak)])


def ccusage_command() -> list[str] | None:
    """ccusage, where it is installed or npx may fetch it."""
    if shutil.which("ccusage"):
        return ["ccusage"]
    return (
        ["npx", "-y", "ccusage@latest"]
        if shutil.which("npx") and os.environ.get("LLM_LOGGING_CCUSAGE")
        else None
    )


def compare_ccusage(table: Table, work: Path) -> None:
    command = ccusage_command()
    if command is None:
        return
    os.environ["CLAUDE_CONFIG_DIR"] = str(work / "claude")
    run([*command, "--version"], work)
    seconds, peak, out = run([*command, "daily", "--json", "--offline"], work)
    table.add("ccusage", [(seconds, peak)], f"{len(out)} bytes of answer")
    base = table.seconds
    print(
        f"beside ccusage: cold {seconds / base['reader, cold']:.1f} x, warm {seconds / base['reader, warm']:.1f} x faster"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--shape", choices=("single", "pairs", "both"), default="both")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="work in this folder and leave it")
    options = parser.parse_args()
    for shape in ("single", "pairs") if options.shape == "both" else (options.shape,):
        if options.keep is not None:
            measure(options.keep / shape, options.rows, shape, options.runs)
            continue
        with tempfile.TemporaryDirectory(prefix="llm-logging-read-") as folder:
            measure(Path(folder), options.rows, shape, options.runs)


if __name__ == "__main__":
    main()
