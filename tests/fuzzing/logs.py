"""Cases that spoil the files of a root, and then ask everything of it that a reader can ask.

What must hold: only documented errors; answers that agree with each other; the figures of a project whose files were
left alone; no byte of the root changed by reading; nothing that acts on a terminal.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import random
import shutil
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llm_logging import StatsOptions, StatsScope
from llm_logging.cli import app
from llm_logging.cli.viewer.follow import LogFollower
from llm_logging.cli.viewer.pretty import PrettyOptions, Printer
from llm_logging.errors import ErrorCode, FileSystemError, LLMLoggingError
from llm_logging.maintenance import doctor
from llm_logging.maintenance.verify import verify
from llm_logging.reader.entries import get_llm_request_logs, get_request_log
from llm_logging.reader.events import get_system_logs
from llm_logging.reader.export import export_requests
from llm_logging.reader.search import search_logs
from llm_logging.reader.stats import get_chat_metrics, get_stats
from tests.fuzzing.damage import spoil_file, spoilt
from tests.fuzzing.roots import NOW, build

CALM = "calm"
_BIDI = frozenset({"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"})
_STATUSES = frozenset({0, 1, 2, 3})


class WrongError(AssertionError):
    """Something that must hold does not."""


def hold(condition: object, law: str, *seen: object) -> None:
    """Raise where a law does not hold."""
    if not condition:
        raise WrongError(f"{law}: {', '.join(repr(item)[:300] for item in seen)}")


def asked(function: Callable[[], Any]) -> Any:
    """Return what a function returns, None where it raises one of the documented errors."""
    try:
        return function()
    except LLMLoggingError as error:
        hold(error.code in set(ErrorCode), "an error has a code", error)
        return None


def same(one: Any, other: Any) -> bool:
    """Say whether two answers are the same; floats may be added up in another order."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9)
    return bool(one == other)


def acts(text: str) -> str | None:
    """Return the first character that a terminal would act on."""
    for char in text:
        if char != "\n" and (
            unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"}
            or unicodedata.bidirectional(char) in _BIDI
            or char in "\u200e\u200f\u061c\ufeff"
        ):
            return char
    return None


def fingerprints(root: Path) -> dict[str, str]:
    """Return what every file of a root is."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_symlink() or not path.is_file():
            found[name] = "other"
        else:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


class Template:
    """The root before it is spoilt, and what it says of the project that is left alone.

    Args:
        folder: Where it is built.
    """

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.root.mkdir(parents=True)
        build(self.root)
        self.files = sorted(
            path.relative_to(self.root)
            for path in self.root.rglob("*")
            if path.is_file() and CALM not in path.parts
        )
        self.calm = self.calm_figures(self.root, cache=False)

    def calm_figures(self, root: Path, **reading: Any) -> Any:
        """Return the figures of the project that is left alone."""
        stats = get_stats(
            StatsScope(type="project", project_id=CALM),
            StatsOptions(group_by="model"),
            root=root,
            now=NOW,
            **reading,
        )
        return stats.model_dump(include={"summary", "breakdown"})


def scope_of(chance: random.Random) -> StatsScope:
    """Return some scope."""
    project = chance.choice(("shop", "blog", CALM, "nobody", "../..", "a\x00b"))
    what = chance.randrange(3)
    if what == 0:
        return StatsScope()
    if what == 1:
        return StatsScope(type="project", project_id=project)
    return StatsScope(type="chat", project_id=project, chat_id=chance.choice(("c1", "c2", "nobody", "../c1")))


def options_of(chance: random.Random) -> StatsOptions:
    """Return some options."""
    zone = chance.choice(("UTC", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu"))
    where = chance.choice(
        ((), (), "status=success", "usage.prompt_tokens>=100", "attributes.tenant=acme", "model~g*")
    )
    groups = chance.choice(
        ((), "model", "day", "week,model", "hour", "tag", "attributes.deep.er", "error.code,day")
    )
    return StatsOptions(
        group_by=groups,
        where=where,
        time_zone=zone,
        strict=chance.random() < 0.1,
        from_date=chance.choice((None, None, "2026-01-11")),
        to_date=chance.choice((None, None, "2026-01")),
        fill_gaps=chance.random() < 0.2,
    )


def _same_answers(root: Path, cache: Path, chance: random.Random) -> None:
    scope, options = scope_of(chance), options_of(chance)

    def stats(**reading: Any) -> Any:
        found = asked(lambda: get_stats(scope, options, root=root, now=NOW, **reading))
        return None if found is None else found.model_dump()

    plain = stats(cache=False)
    cold = stats(cache_dir=cache)
    hold(same(plain, cold), "an answer is the same with a cache as without", scope, options, plain, cold)
    if chance.random() < 0.5:
        for path in [path for path in cache.rglob("*") if path.is_file()]:
            data = path.read_bytes()
            if path.suffix == ".parquet":
                # Within a column no reader could tell one number from another: what breaks the form is what counts.
                data = data[: chance.randrange(len(data) + 1)]
            if chance.random() < 0.5:
                path.write_bytes(spoilt(chance, data) if path.suffix == ".json" else data)
        warm = stats(cache_dir=cache)
        hold(same(plain, warm), "a damaged cache changes no answer", scope, options, plain, warm)


def _pages(root: Path, cache: Path, chance: random.Random) -> None:
    scope = scope_of(chance)
    options = options_of(chance).model_copy(update={"strict": False, "group_by": (), "fill_gaps": False})
    reading: dict[str, Any] = {"root": root, "cache_dir": cache, "now": NOW}
    stats = asked(lambda: get_stats(scope, options, **reading))
    seen: list[Any] = []
    cursor = None
    for _ in range(40):
        at = cursor
        page = asked(lambda at=at: get_llm_request_logs(scope, options, 7, at, content=False, **reading))  # type: ignore[misc]
        hold((page is None) == (stats is None), "pages are there where figures are", scope, options)
        if page is None:
            return
        seen += [entry.id for entry in page.entries]
        cursor = page.cursor
        if cursor is None:
            break
    figures = stats.summary
    total = figures.total_requests + figures.pending_requests + figures.cancelled_requests
    hold(len(seen) == len(set(seen)), "no request stands on two pages", scope, options)
    hold(len(seen) == total, "pages hold what figures count", scope, options, len(seen), total)
    for wanted in seen[:1]:
        asked(lambda: get_request_log(str(wanted), scope, root=root))


def _search(root: Path, cache: Path, chance: random.Random) -> None:  # noqa: ARG001
    text = chance.choice(("needle", "gpt", "\u202e", "1", "slow down", "é", '"', "\\", "w1"))
    cursor = None
    for _ in range(30):
        at = cursor
        page = asked(lambda at=at: search_logs(text, scope_of(chance), 9, at, root=root, now=NOW))  # type: ignore[misc]
        if page is None or page.cursor is None:
            break
        cursor = page.cursor
    asked(lambda: get_system_logs(scope_of(chance), {"level": "INFO"}, root=root, now=NOW))
    asked(lambda: get_chat_metrics("shop", "c1", root=root, cache=False, now=NOW))


def _files(root: Path, cache: Path, chance: random.Random) -> None:
    """Read files that were named, whatever they are."""
    named = [path for path in root.rglob("*") if path.is_file()]
    chosen = chance.sample(named, min(len(named), 3))
    asked(lambda: get_stats(None, options_of(chance), files=chosen, cache_dir=cache, now=NOW))
    data = b"".join(path.read_bytes() for path in chosen)
    asked(lambda: get_stats(files=io.BytesIO(spoilt(chance, data)), now=NOW))
    asked(lambda: get_llm_request_logs(files=chosen, cache=False, now=NOW))


def _doctor(root: Path, cache: Path, chance: random.Random) -> None:  # noqa: ARG001
    asked(lambda: list(doctor.check_lines(root)))
    asked(lambda: doctor.check_modes(root))
    asked(lambda: doctor.check_leftovers(root, time.time()))
    if cache.exists():
        asked(lambda: doctor.check_cache(cache))
    asked(lambda: verify(root))
    asked(lambda: verify(root, key=b"k" * 32, heads={"projects/shop/logs/llm_requests.jsonl": "0" * 64}))


def _follow(root: Path, cache: Path, chance: random.Random) -> None:  # noqa: ARG001
    printer = Printer(
        PrettyOptions(
            compact=chance.random() < 0.5,
            single_line=chance.random() < 0.3,
            template=chance.choice((None, None, "{level} {msg}{if usage} {usage.prompt_tokens}{end}{x.y}")),
        )
    )
    active = root / "projects/shop/logs/llm_requests.jsonl"
    for path in (active, root / "projects/shop/chats/c1.jsonl", root / "logs/system.jsonl"):
        follower = LogFollower(path)
        try:
            lines = [*follower.start(30), *follower.poll()]
        except FileSystemError:
            continue
        finally:
            follower.close()
        for line in lines:
            shown = printer.line(line)
            hold(shown is None or acts(shown) is None, "nothing acts on a terminal", line, shown)


def _export(root: Path, cache: Path, chance: random.Random) -> None:
    def export() -> None:
        with export_requests(
            scope_of(chance), options_of(chance), root=root, cache_dir=cache, now=NOW
        ) as out:
            rows = sum(1 for _ in out.rows())
            target = cache.parent / "rows.parquet"
            hold(out.write_parquet(target) == rows, "a file holds as many rows as are streamed", rows)
            target.unlink()

    asked(export)


def _commands(root: Path, cache: Path, chance: random.Random) -> None:
    project = chance.choice(("shop", "blog"))
    argv = chance.choice(
        (
            ["stats", "--by", "model,day", "--json"], ["stats", "--project", project, "--csv"], ["stats"], ["daily"],
            ["models"], ["requests", "-n", "5"], ["search", "needle"], ["errors"], ["tail", "-n", "50"],
            ["tail", "-n", "9", "--json"], ["doctor", "--no-recover"], ["verify"], ["verify", "--json"],
            ["verify", "--print-heads"], ["projects"], ["export"], ["prices"], ["requests", "--json"],
        )
    )  # fmt: skip
    args = [argv[0], *argv[1:], "--root", str(root)]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = app.run(args)
    hold(status in _STATUSES, "a command ends with a status of the list", args, status)
    text = out.getvalue().replace("\r\n", "\n") + err.getvalue()
    hold("Traceback" not in text, "a command never ends in a traceback", args, text[-300:])
    hold(acts(text) is None, "a command's output acts on no terminal", args, acts(text))


OPERATIONS: tuple[Callable[[Path, Path, random.Random], None], ...] = (
    _same_answers, _same_answers, _pages, _search, _files, _doctor, _follow, _export, _commands,
)  # fmt: skip


def case(chance: random.Random, folder: Path, template: Template) -> str:
    """Spoil some files of a root and ask a few things of it.

    Args:
        chance: Decides everything.
        folder: Empty; for this case alone.
        template: What to copy.

    Returns:
        What was done, for a report.
    """
    root, cache = folder / "root", folder / "cache"
    shutil.copytree(template.root, root)
    if chance.random() < 0.3:
        # Columns of the files as they were, beside the files as they will be.
        get_stats(root=root, cache_dir=cache, now=NOW)
    files = chance.sample(template.files, chance.choice((1, 1, 2, 5)))
    done = [spoil_file(chance, root / path) for path in files]
    if chance.random() < 0.1:
        name = chance.choice(
            (
                "llm_requests.99999999T999999Z-0001.jsonl",
                "llm_requests.20260110T000000Z-99999999999999999999.jsonl",
                "llm_requests..jsonl",
                "llm_requests.20260110T000000Z-0001.g9.jsonl",
                "\udcff.jsonl",
                "x" * 250,
            )
        )
        (root / "projects/shop/logs" / name).write_bytes(b'{"id": 1}\n')
        done.append(name)
    before = fingerprints(root)
    try:
        for operation in chance.sample(OPERATIONS, 2):
            done.append(operation.__name__)
            operation(root, cache, chance)
        done.append("calm")
        hold(
            same(template.calm_figures(root, cache_dir=cache), template.calm),
            "damage elsewhere changes no figure",
        )
        hold(fingerprints(root) == before, "reading changes nothing")
    except Exception as error:
        error.add_note(f"after: {'; '.join(done)}")
        raise
    return "; ".join(done)
