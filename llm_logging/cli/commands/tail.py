"""`tail` and `pretty`: lines as they come, for people."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from ...errors import ErrorCode, FileSystemError, ValidationError
from ...files.layout import Layout, LogKind
from ...files.lines import as_binary, blocks, read_lines, split_lines
from ...files.segments import active_logs
from ...files.spool.waiting import Waiting, find_waiting
from ...presentation.times import zone
from ...reader.lines.log_files import project_folders
from .. import options as opt
from ..render.terminal import json_safe, safe, use_colour
from ..viewer.follow import LogFollower, follow
from ..viewer.pretty import PrettyOptions, Printer, known_level
from ..viewer.records import LEVELS, parse_record

__all__ = ["app"]

app = typer.Typer(rich_markup_mode="rich")

_LEVELS: Final = ", ".join(LEVELS)

Level = Annotated[
    str | None,
    typer.Option("--level", "-L", metavar="LEVEL", help=f"Hide lines below this level: {_LEVELS}."),
]
Ignore = Annotated[
    str | None,
    typer.Option("--ignore", "-i", metavar="KEYS", help="Fields to hide: pid,hostname,req.headers."),
]
Include = Annotated[
    str | None, typer.Option("--include", "-I", metavar="KEYS", help="Fields to show; hide all others.")
]
Template = Annotated[
    str | None,
    typer.Option(
        "--template", "-t", metavar="TEXT",
        help="Template of the first line: '{time} {levelLabel} {msg}{if pid} (pid {pid}){end}'.",
    ),
]  # fmt: skip
Time = Annotated[
    str,
    typer.Option(
        "--time",
        "-T",
        metavar="FORMAT",
        help="Time format: full, short, iso, raw, none or a strftime format such as %H:%M.",
    ),
]
SingleLine = Annotated[bool, typer.Option("--single-line", "-S", help="Print each record on one line.")]
HideFields = Annotated[bool, typer.Option("--hide-fields", "-H", help="Do not print fields.")]
Colour = Annotated[
    bool | None,
    typer.Option(
        "--color/--no-color", help="Use colours. Default: on a terminal without NO_COLOR.", show_default=False
    ),
]


def _keys(text: str | None) -> tuple[str, ...]:
    return tuple(key.strip() for key in (text or "").split(",") if key.strip())


def _printer(level: str | None, colour: bool | None, **settings: object) -> Printer:
    if level is not None and not known_level(level):
        raise ValidationError(
            f"--level: expected one of {_LEVELS}, got {level!r}", code=ErrorCode.INVALID_OPTIONS
        )
    coloured = use_colour() if colour is None else colour
    return Printer(PrettyOptions(min_level=level, colour=coloured, **settings))  # type: ignore[arg-type]


@app.command(
    epilog="Examples:\n\n"
    "\b\n  myapp | llm-logging pretty\n"
    "  llm-logging pretty -L warning -i pid,hostname app.log\n"
    "  llm-logging pretty -t '{time} {levelLabel} {msg} {req.url}' -T short app.log.gz"
)
def pretty(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE|-", help="Files, .gz too. - or none: standard input.", show_default=False
        ),
    ] = None,
    *,
    level: Level = None,
    ignore: Ignore = None,
    include: Include = None,
    template: Template = None,
    time_format: Time = "full",
    tz: Annotated[
        str,
        typer.Option("--tz", metavar="ZONE", help="Time zone of the times shown: UTC, Europe/Berlin, local."),
    ] = "UTC",
    single_line: SingleLine = False,
    hide_fields: HideFields = False,
    message_key: Annotated[
        str | None,
        typer.Option("--message-key", "-m", metavar="KEYS", help="Fields to try first for the message."),
    ] = None,
    time_key: Annotated[
        str | None, typer.Option("--time-key", metavar="KEYS", help="Fields to try first for the time.")
    ] = None,
    level_key: Annotated[
        str | None, typer.Option("--level-key", metavar="KEYS", help="Fields to try first for the level.")
    ] = None,
    colour: Colour = None,
) -> None:
    """Print any JSON-lines log in readable form.

    Reads logs of this package, python-json-logger, structlog, loguru, pino, bunyan, winston, zap, zerolog, slog, GELF, ECS,
    Google Cloud, Serilog, log4j2, journald, PostgreSQL, OpenTelemetry and others, also inside the wrappers of Docker,
    Kubernetes, journald and log shippers. Other lines pass through. Control characters are escaped.
    """
    printer = _printer(
        level, colour, ignore=_keys(ignore), include=_keys(include), template=template, time_format=time_format,
        tz=zone(tz), single_line=single_line, hide_fields=hide_fields, message_keys=_keys(message_key),
        time_keys=_keys(time_key), level_keys=_keys(level_key),
    )  # fmt: skip
    for name in files or ["-"]:
        for data in _lines(name):
            text = printer.line(data)
            if text is not None:
                opt.write(text or "\n")
        if (text := printer.rest()) is not None:
            opt.write(text)


def _lines(name: str) -> Iterator[bytes]:
    lines = split_lines(blocks(as_binary(sys.stdin))) if name == "-" else read_lines(Path(name))
    for line in lines:
        if line.problem is None:
            yield line.data
        elif line.problem == "too_long":
            opt.note(
                f"llm-logging: {name}: a line of {line.size:,} bytes at byte {line.offset:,} is left out"
            )
        else:
            opt.note(
                f"llm-logging: {name}: {line.problem} from byte {line.offset:,} on; the rest cannot be read"
            )


class Kind(StrEnum):
    """Name what `tail` shows."""

    REQUESTS = "requests"
    EVENTS = "events"
    CHATS = "chats"
    SYSTEM = "system"
    ALL = "all"


_STEMS: Final = {
    Kind.REQUESTS: {LogKind.REQUESTS.value},
    Kind.EVENTS: {LogKind.EVENTS.value},
    Kind.SYSTEM: {LogKind.SYSTEM.value},
    Kind.ALL: {LogKind.REQUESTS.value, LogKind.EVENTS.value, LogKind.SYSTEM.value},
}


def _finder(root: Path, project: str | None, kind: Kind, waiting: Waiting) -> Callable[[], list[Path]]:
    layout = Layout(root)

    def find() -> list[Path]:
        if project is not None:
            projects = [layout.project_dir(project)]
        else:
            try:
                projects = project_folders(layout, waiting)
            except OSError:
                projects = []
        folders = [folder / "logs" for folder in projects]
        if project is None:
            folders.append(root / "logs")
        stems = _STEMS.get(kind, set())
        found = [
            path
            for folder in folders
            for path in sorted({*active_logs(folder), *waiting.logs_in(folder)})
            if path.name.removesuffix(".jsonl") in stems
        ]
        if kind in {Kind.CHATS, Kind.ALL}:
            chats = [folder / "chats" for folder in projects]
            found += [
                path for folder in chats for path in sorted({*active_logs(folder), *waiting.logs_in(folder)})
            ]
        return found

    return find


@app.command(
    epilog="Examples:\n\n"
    "\b\n  llm-logging tail -f\n"
    "  llm-logging tail -f --project shop --kind requests\n"
    "  llm-logging tail -n 100 --level error --json | jq .error.code\n"
    "  llm-logging tail -f app.jsonl"
)
def tail(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE", help="Files to read instead of a root.", show_default=False),
    ] = None,
    *,
    root: opt.Root = None,
    project: opt.Project = None,
    chat: opt.Chat = None,
    kind: Annotated[
        Kind, typer.Option("--kind", "-k", help="Which lines to show.", rich_help_panel=opt.PANEL)
    ] = Kind.ALL,
    following: Annotated[
        bool, typer.Option("--follow", "-f", help="Keep printing new lines, across rotation.")
    ] = False,
    count: Annotated[
        int,
        typer.Option("--lines", "-n", min=0, help="Number of earlier lines to print first. 0: none."),
    ] = 10,
    level: Level = None,
    ignore: Ignore = None,
    include: Include = None,
    template: Template = None,
    time_format: Time = "full",
    tz: Annotated[
        str,
        typer.Option("--tz", metavar="ZONE", help="Time zone of the times shown: UTC, Europe/Berlin, local."),
    ] = "UTC",
    fields: Annotated[
        bool, typer.Option("--fields", help="Show all fields of a request instead of a summary.")
    ] = False,
    as_json: opt.AsJson = False,
    colour: Colour = None,
) -> None:
    """Show the newest lines; with -f, follow new ones across rotation, truncation and new projects.

    Exit status 1 if nothing is logged yet; with -f it waits.
    """
    printer = _printer(
        level, colour, ignore=_keys(ignore), include=_keys(include), template=template, time_format=time_format,
        tz=zone(tz), compact=not fields,
    )  # fmt: skip

    def text_of(data: bytes) -> str | None:
        if chat is not None and not _of_chat(data, chat):
            return None
        text = printer.line(data)
        return json_safe(data.decode("utf-8", "replace")) if as_json and text is not None else text

    # With -f they come when they are written.
    waiting = Waiting() if files or following else find_waiting(opt.local_root(root))
    find = _named(files) if files else _finder(opt.local_root(root), project, kind, waiting)
    followers = {path: LogFollower(path, _warn) for path in find()}
    try:
        # A filter may hide most lines, so more are read than will be shown.
        reach = count if level is None and chat is None else max(count, 10_000)
        newest = [data for follower in followers.values() for data in follower.start(reach)]
        there = set(newest)
        newest += [data for data in _lines_for(followers, waiting) if data not in there]
        texts = [text_of(data) for data in _by_time(newest, single=len(followers) == 1)]
        shown = [text for text in texts if text is not None]
        for text in shown[-count:] if count else []:
            opt.write(text or "\n")
        if count and not newest and not following and not files:
            if kind is Kind.ALL and project is None:
                raise opt.nothing_logged(opt.local_root(root))
            opt.note(f"no logs of kind {kind.value} yet")
            raise typer.Exit(1)
        if following:
            _go_on(find, followers, text_of)
    finally:
        for follower in followers.values():
            follower.close()


def _go_on(
    find: Callable[[], list[Path]],
    followers: dict[Path, LogFollower],
    text_of: Callable[[bytes], str | None],
) -> None:
    for lines in follow(find, sleep=time.sleep, followers=followers, notice=_warn):
        for data in lines:
            if (text := text_of(data)) is not None:
                opt.write(text or "\n")


def _warn(text: str) -> None:
    opt.note(f"llm-logging: {safe(text)}")


def _named(files: list[str]) -> Callable[[], list[Path]]:
    paths = [Path(name).absolute() for name in files]
    for path in paths:
        if path.is_dir():
            raise FileSystemError(
                f"reading {path}: expected a file, got a folder (a root is named by --root)",
                code=ErrorCode.LOG_READ_ERROR,
                filename=str(path),
            )
        if not path.exists() and not path.parent.is_dir():
            raise FileSystemError(
                f"reading {path}: no such file", code=ErrorCode.LOG_READ_ERROR, filename=str(path)
            )
    return lambda: paths


def _lines_for(followers: Mapping[Path, LogFollower], waiting: Waiting) -> Iterator[bytes]:
    for path in followers:
        yield from (line.rstrip(b"\n") for line in waiting.lines.get(str(path), ()))


def _of_chat(data: bytes, chat: str) -> bool:
    record = parse_record(data)
    return record is not None and record.fields.get("chat_id") == chat


def _by_time(lines: list[bytes], *, single: bool) -> list[bytes]:
    if single:
        return lines
    stamped = [
        ((record.time.timestamp() if record and record.time else 0.0), data)
        for data in lines
        for record in [parse_record(data)]
    ]
    return [data for _, data in sorted(stamped, key=lambda item: item[0])]
