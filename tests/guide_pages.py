"""Run the snippets of a page of the guide, from its first to its last, as a reader would: python -m tests.guide_pages PAGE

The program runs in an empty folder. All blocks of a page are one session:

* A ```python block is executed; later blocks see its names. `await` is allowed at the top level. What it prints is shown by a
  ```text block that follows an HTML comment `<!-- prints -->`.
* A ```console block holds commands, each after `$ `, and below each what it prints; a command without output below may print anything.
  `...` in the output stands for any text. Money is not compared, since price lists change; nor are lengths of lines and bars.
* `<!-- varies -->` before a block: its numbers and ids are not compared.
* `<!-- needs: NAME, NAME -->` before a block: it runs where these packages are installed, and is only compiled elsewhere.

A server on the loopback interface answers as OpenAI does, and `OPENAI_BASE_URL` names it. The sample of `examples/sample_logs.py` is
written to the folder that a page names with `python examples/sample_logs.py FOLDER`.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import importlib.util
import inspect
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
PAGES = (PROJECT / "README.md", *sorted((PROJECT / "examples" / "guide").glob("*.md")))

_FENCE = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*?) -->\n+)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
_SHELL = re.compile(r"[|<>;&$*?]")


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Args:
        language: `python`, `console`, `text` ...
        text: Between the fences.
        line: Its first line in the page.
        mark: What the comment before it says; empty where there is none.
        start: Where its text begins in the page.
    """

    language: str
    text: str
    line: int
    mark: str = ""
    start: int = 0

    def missing(self) -> list[str]:
        """Return the packages that the block needs and that are not installed."""
        names = self.mark.removeprefix("needs:").split(",") if self.mark.startswith("needs:") else []
        return [name.strip() for name in names if not _installed(name.strip())]


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page in their order."""
    text = page.read_text("utf-8")
    return [
        Block(
            found["language"],
            found["text"],
            text.count("\n", 0, found.start("text")) + 1,
            found["mark"] or "",
            found.start("text"),
        )
        for found in _FENCE.finditer(text)
    ]


def _comparable(text: str, *, numbers: bool) -> str:
    text = re.sub(r"[~≥]{0,2}\$[\d.,]+", "$", text)
    text = re.sub(r"[─█▏▎▍▌▋▊▉]+", " ", text)
    if not numbers:
        text = re.sub(r"\b[0-9a-f]{12}\b", "#", text)
        text = re.sub(r"\d[\d.,:]*(?: (?:ms|s|min|h|bytes|kB|MB))?", "#", text)
    return re.sub(r"\s+", " ", text).strip()


def same(expected: str, got: str, *, numbers: bool = True) -> bool:
    """Say whether a command printed what the page shows."""
    parts = _comparable(expected, numbers=numbers).split("...")
    pattern = ".*".join(re.escape(part.strip()) for part in parts)
    # A space before an ellipsis may be the last of the text that it stands for.
    return (
        re.fullmatch(rf"\s*{pattern}\s*".replace(r".*", r"\s*.*\s*"), _comparable(got, numbers=numbers))
        is not None
    )


@contextlib.contextmanager
def _captured() -> Iterator[io.BytesIO]:
    """Collect what is printed, on either stream."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)
    with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        yield raw
    stream.detach()


def _run(command: str) -> str:
    """Run one command; return what it prints.

    Raises:
        AssertionError: Its status is not 0, and the page does not print the status.
    """
    if command.startswith("llm-logging ") and not _SHELL.search(command):
        from llm_logging.cli.app import run

        # In this process: DuckDB is loaded once a page, not once a command.
        with _captured() as raw:
            status = run(shlex.split(command)[1:])
        out = raw.getvalue().decode()
    else:
        done = subprocess.run(
            ["bash", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        status, out = done.returncode, done.stdout
    assert status == 0, f"{command}: status {status}\n{out}"
    return out


def _commands(text: str) -> list[tuple[str, str]]:
    """Return each command of a block with what is shown below it."""
    found: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif found and found[-1][0].endswith("\\"):
            found[-1] = (f"{found[-1][0][:-1]}{line.strip()}", [])
        else:
            assert found, f"expected a command after '$ ', got {line!r}"
            found[-1][1].append(line)
    return [(command, "\n".join(lines).strip()) for command, lines in found]


class Session:
    """Run the blocks of one page.

    Args:
        page: The page.
        update: Collect what commands print now, to be put into the page.
    """

    def __init__(self, page: Path, *, update: bool = False) -> None:
        self.page = page
        self.update = update
        self.names: dict[str, Any] = {"__name__": "__main__", "__file__": str(Path("page.py").resolve())}
        self.updates: list[tuple[Block, str, str]] = []

    def run(self) -> None:
        """Run them all.

        Raises:
            AssertionError: A command printed something else than the page shows.
        """
        printed = ""
        with asyncio.Runner() as runner:
            for block in blocks(self.page):
                try:
                    if block.language == "python":
                        printed = self._python(block, runner)
                    elif block.language == "console":
                        self._console(block)
                    elif block.mark == "prints":
                        self._compare("", block, block.text.strip(), printed)
                except BaseException:
                    print(f"{self.page.name}:{block.line}", file=sys.stderr)
                    raise

    def _python(self, block: Block, runner: asyncio.Runner) -> str:
        # With the lines of the page in tracebacks.
        source = "\n" * (block.line - 1) + block.text
        code = compile(source, str(self.page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        missing = block.missing()
        if missing:
            print(f"{self.page.name}:{block.line}: not run, not installed: {', '.join(missing)}")
            return ""
        with _captured() as raw:
            outcome = eval(code, self.names)
            if inspect.iscoroutine(outcome):
                runner.run(outcome)
        return raw.getvalue().decode()

    def _console(self, block: Block) -> None:
        for command, expected in _commands(block.text):
            if command.startswith("llm-logging tail -f"):
                continue  # runs until it is interrupted
            out = _run(command)
            if expected:
                self._compare(command, block, expected, out)

    def _compare(self, what: str, block: Block, expected: str, got: str) -> None:
        if same(expected, got, numbers=block.mark != "varies"):
            return
        if not self.update or "..." in expected:
            raise AssertionError(f"{what or 'the block above'}\n--- shown\n{expected}\n--- printed\n{got}")
        new = "\n".join(line.rstrip() for line in got.strip("\n").splitlines())
        before = f"{what}\n" if what else ""
        self.updates.append((block, before + expected, before + new))


@contextlib.contextmanager
def _openai() -> Iterator[None]:
    """Answer as OpenAI does, on the loopback interface."""
    from tests.loopback import Answer, Loopback, sse

    head = {"id": "c1", "created": 1767225600, "model": "gpt-4o-2024-08-06"}
    usage = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}
    message = {"role": "assistant", "content": "It left the warehouse this morning."}
    choice = {"index": 0, "finish_reason": "stop"}
    whole = {**head, "object": "chat.completion", "choices": [{**choice, "message": message}], "usage": usage}
    part = {**head, "object": "chat.completion.chunk"}
    chunks = sse({**part, "choices": [{**choice, "delta": message}]}, {**part, "choices": [], "usage": usage})

    text = {"type": "output_text", "text": message["content"], "annotations": []}
    output = {"type": "message", "id": "m1", "role": "assistant", "status": "completed", "content": [text]}
    responses = {
        "id": "c1", "object": "response", "created_at": 1767225600, "model": "gpt-4o-2024-08-06", "status": "completed",
        "output": [output], "usage": {"input_tokens": 100, "output_tokens": 50, "total_tokens": 150},
    }  # fmt: skip

    class OpenAIServer(Loopback):
        def _answer(self, path: str) -> Answer:
            if path.endswith("/responses"):
                return Answer(responses)
            if json.loads(self.requests[-1][2]).get("stream"):
                return Answer(chunks, content_type="text/event-stream")
            return Answer(whole)

    server = OpenAIServer()
    server.own_ids = True
    server.start()
    os.environ["OPENAI_BASE_URL"] = f"{server.url}/v1"
    os.environ["OPENAI_API_KEY"] = "k"
    os.environ["LLM_LOGGING_HOSTS"] = f"127.0.0.1:{server.port}=openai"
    try:
        yield
    finally:
        server.stop()


def _prepare() -> None:
    """Give the session the commands `llm-logging` and `python`, and the examples."""
    tools = Path(".tools").resolve()
    tools.mkdir(exist_ok=True)
    for name, arguments in (("llm-logging", "-m llm_logging"), ("python", "")):
        script = tools / name
        script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {arguments} "$@"\n')
        script.chmod(0o755)
    os.environ["PATH"] = f"{tools}{os.pathsep}{os.environ['PATH']}"
    os.environ["PYTHONPATH"] = str(PROJECT)
    os.environ.setdefault("COLUMNS", "100")
    shutil.copytree(PROJECT / "examples", "examples", dirs_exist_ok=True)


def main(arguments: list[str]) -> int:
    """Run one page in the current folder; with `--update` put into it what its commands print now."""
    update = "--update" in arguments
    page = Path(next(argument for argument in arguments if argument != "--update")).resolve()
    session = Session(page, update=update)
    _prepare()
    with _openai():
        try:
            session.run()
        except BaseException:
            traceback.print_exc()
            return 1
    text = page.read_text("utf-8")
    for block, old, new in reversed(session.updates):
        text = text[: block.start] + text[block.start :].replace(old, new, 1)
    if session.updates:
        page.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
