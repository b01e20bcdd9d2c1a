"""The options that several commands share, each said once, and what they mean together."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from ..clock import clock
from ..errors import ErrorCode, NotFoundError, ValidationError
from ..files.layout import ENV_ROOT, find_root
from ..files.objects import is_url
from ..presentation.times import Edge, parse_time, zone

__all__ = [
    "BEGIN",
    "AsJson",
    "Chat",
    "Files",
    "Output",
    "Project",
    "Root",
    "Since",
    "TableFormat",
    "Tz",
    "Until",
    "Where",
    "Yes",
    "confirm",
    "existing_root",
    "local_root",
    "note",
    "text_as",
    "when",
    "write",
    "write_as",
]

PANEL: Final = "Which requests"
LOOK: Final = "How it looks"

Root = Annotated[
    str | None,
    typer.Option(
        "--root", "-r", metavar="DIR", help="Folder of the logs. Default: $LLM_LOGGING_ROOT, else ./llm_logs.",
        rich_help_panel=PANEL, show_default=False,
    ),
]  # fmt: skip
Project = Annotated[
    str | None,
    typer.Option("--project", "-p", metavar="ID", help="Only this project.", rich_help_panel=PANEL),
]
Chat = Annotated[
    str | None,
    typer.Option(
        "--chat", "-c", metavar="ID", help="Only this chat; needs --project.", rich_help_panel=PANEL
    ),
]
Since = Annotated[
    str | None,
    typer.Option(
        "--since", "-s", metavar="TIME", rich_help_panel=PANEL,
        help="Start of the period: 2h (ago), 7d, today, 2026-01-15, 2026-W03, 2026-01, 2026-01-15T10:30Z.",
    ),
]  # fmt: skip
Until = Annotated[
    str | None,
    typer.Option(
        "--until", "-u", metavar="TIME", rich_help_panel=PANEL,
        help="End of the period, as --since. A day, week or month is included.",
    ),
]  # fmt: skip
Tz = Annotated[
    str,
    typer.Option(
        "--tz",
        metavar="ZONE",
        help="Time zone of days and times: UTC, Europe/Berlin, local.",
        rich_help_panel=PANEL,
    ),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where", "-w", metavar="FILTER", rich_help_panel=PANEL,
        help="Only matching requests: status=error,timeout, model~gpt-4*, latency_ms>2000, attributes.tenant=acme. "
        "Repeatable; all must hold.",
    ),
]  # fmt: skip
Files = Annotated[
    list[str] | None,
    typer.Option(
        "--files", "-f", metavar="FILE...", rich_help_panel=PANEL,
        help="Read these JSON-lines files instead of a root: paths, globs, or - for standard input.",
    ),
]  # fmt: skip
AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON, one object per line.", rich_help_panel=LOOK)
]


Paths = Annotated[
    list[str] | None, typer.Argument(metavar="FILE", help="More files, like --files.", show_default=False)
]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Fail on the first unusable line instead of skipping it.",
        rich_help_panel=PANEL,
        show_default=False,
    ),
]
OrphanedAfter = Annotated[
    str | None,
    typer.Option(
        "--orphaned-after", metavar="AGE", rich_help_panel=PANEL, show_default=False,
        help="Count a request as orphaned when it is pending for longer: 15m, 2h, 1d. Default: 1h.",
    ),
]  # fmt: skip
CacheDir = Annotated[
    Path | None,
    typer.Option(
        "--cache-dir", metavar="DIR", help="Folder of the cache. Default: $LLM_LOGGING_CACHE, else the user's cache folder.",
        rich_help_panel=PANEL, show_default=False,
    ),
]  # fmt: skip
Prices = Annotated[
    Path | None,
    typer.Option(
        "--prices",
        metavar="FILE",
        help="TOML file with your own rates. Default: $LLM_LOGGING_PRICES.",
        rich_help_panel=PANEL,
    ),
]
NoCache = Annotated[
    bool,
    typer.Option(
        "--no-cache",
        help="Do not use the cache; parse every line.",
        rich_help_panel=PANEL,
        show_default=False,
    ),
]
By = Annotated[
    str | None,
    typer.Option(
        "--by", "-b", metavar="NAMES", rich_help_panel=LOOK,
        help="Group by hour, day, week, month, weekday, hour_of_day, model, provider, project, chat, user, status, request_type, any field, "
        "attributes.NAME or tag. Several: with commas.",
    ),
]  # fmt: skip
Sort = Annotated[
    str | None,
    typer.Option(
        "--sort", metavar="FIGURE", rich_help_panel=LOOK,
        help="Sort rows, largest first, by a column of the table (requests, tokens, p95, cost ...), a figure of the CSV "
        "(error_rate, tokens_per_second.p50 ...) or a group.",
    ),
]  # fmt: skip
Reverse = Annotated[
    bool, typer.Option("--reverse", help="Reverse the order.", rich_help_panel=LOOK, show_default=False)
]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit", "-n", min=0, metavar="N", help="Most rows to print; of periods the newest. 0: all.",
        rich_help_panel=LOOK,
    ),
]  # fmt: skip
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.", show_default=False)]
AsIf = Annotated[
    list[str] | None,
    typer.Option(
        "--as-if", metavar="MODEL=OTHER", rich_help_panel=PANEL, show_default=False,
        help="Price requests of a model as if they had gone to another; their tokens stay as logged. Repeatable.",
    ),
]  # fmt: skip
PricesAsOf = Annotated[
    str | None,
    typer.Option(
        "--prices-as-of", metavar="TIME", rich_help_panel=PANEL, show_default=False,
        help="Price all requests by the list of this time (2026-01-01, now), whatever was reported.",
    ),
]  # fmt: skip
FillGaps = Annotated[
    bool,
    typer.Option(
        "--fill-gaps", help="Add rows for periods without requests.", rich_help_panel=LOOK, show_default=False
    ),
]
Camel = Annotated[
    bool,
    typer.Option("--camel", help="Write JSON names in camelCase.", rich_help_panel=LOOK, show_default=False),
]


class TableFormat(StrEnum):
    """Name the ways to print a table."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    MARKDOWN = "markdown"


Output = Annotated[
    Path | None,
    typer.Option(
        "--output", metavar="FILE", help="File to write. Default: standard output.", rich_help_panel=LOOK
    ),
]
Format = Annotated[TableFormat, typer.Option("--format", "-o", help="Output format.", rich_help_panel=LOOK)]

BEGIN: Final = """\
To begin, log a request:

    import logging.config, llm_logging
    logging.config.dictConfig(llm_logging.presets.development())
    log = llm_logging.get_logger("app", project_id="demo", chat_id="c-1")
    log.info("answered", extra={"llm_request": {"model": "gpt-4o", "status": "success",
             "usage": {"prompt_tokens": 100, "completion_tokens": 50}}})

or say where the logs are: --root DIR, the environment variable LLM_LOGGING_ROOT, or --files FILE... for other files."""


def all_files(files: list[str] | None, paths: list[str] | None) -> list[str] | None:
    """Join `--files` and the arguments after it, into which a shell spreads its globs; None: read the root."""
    named = [*(files or []), *(paths or [])]
    return named or None


def existing_root(root: str | None) -> Path | str:
    """Return the folder of the logs, or the URL of a store as it was typed; see `local_root`."""
    if root is None and is_url(os.environ.get(ENV_ROOT)):
        root = os.environ[ENV_ROOT]
    return root if root is not None and is_url(root) else local_root(root)


def local_root(root: str | None) -> Path:
    """Return the folder of the logs.

    Raises:
        NotFoundError: There is no such folder (`ROOT_NOT_FOUND`); the message says how to begin.
        ValidationError: It is a file, or a URL (`INVALID_OPTIONS`).
    """
    if root is not None and is_url(root):
        raise ValidationError(
            f"--root: expected a folder, got {root}: this command works on the host that writes the logs",
            code=ErrorCode.INVALID_OPTIONS,
        )
    path, why = find_root(root)
    if path.is_file():
        raise ValidationError(
            f"--root: expected the folder of the logs, got the file {path}; --files reads single files",
            code=ErrorCode.INVALID_OPTIONS,
        )
    if not path.is_dir():
        raise NotFoundError(
            f"no logs here yet: the folder {path} does not exist ({why}).\n\n{BEGIN}",
            code=ErrorCode.ROOT_NOT_FOUND,
        )
    return path


def nothing_logged(root: Path | str) -> typer.Exit:
    """Say that nothing is logged under a root; return the exit, with status 1, of a command that has no answer then."""
    note(f"nothing is logged under {root} yet.\n\n{BEGIN}")
    return typer.Exit(1)


def when(text: str | None, edge: Edge, tz: str, *, option: str | None = None) -> date | datetime | None:
    """Read `--since`, `--until` or another option that is a time; None stays None."""
    if text is None:
        return None
    named = option or ("--since" if edge == "start" else "--until")
    return parse_time(text, edge=edge, now=clock().now(), tz=zone(tz), option=named)


def zone_name(tz: str) -> str:
    """Return the IANA name of `--tz`."""
    return str(getattr(zone(tz), "key", "UTC"))


def confirm(command: str, what: str) -> None:
    """Ask on the terminal whether something is to be done that cannot be undone.

    Args:
        command: Which command asks.
        what: What will be done, as a sentence without its end.

    Raises:
        ValidationError: There is no terminal to ask on.
    """
    if not sys.stdin.isatty():
        raise ValidationError(
            f"{command}: expected --yes, or a terminal to ask on: {what}; --dry-run shows it",
            code=ErrorCode.INVALID_OPTIONS,
        )
    try:
        agreed = typer.confirm(f"{what}. Continue?", err=True)
    except typer.Abort:
        # Ctrl-C, or the end of the input, which the command's framework takes for one.
        raise KeyboardInterrupt from None
    if not agreed:
        note("nothing was changed")
        raise typer.Exit(1)


def write(text: str) -> None:
    """Write an answer to standard output, ending in one newline."""
    sys.stdout.write(text if text.endswith("\n") or not text else text + "\n")
    sys.stdout.flush()


def text_as(
    form: TableFormat,
    *,
    table: Callable[[], str],
    markdown: Callable[[], str],
    csv: Callable[[], str],
    json: Callable[[], str],
) -> str:
    """Return a result in one of the forms that `--format` names; only that form is made."""
    forms = dict(zip(TableFormat, (table, json, csv, markdown), strict=True))
    return forms[form]()


def write_as(form: TableFormat, **forms: Callable[[], str]) -> None:
    """Write a result to standard output in the form that `--format` names; see `text_as`."""
    write(text_as(form, **forms))


def note(text: str) -> None:
    """Write what is not part of the answer to standard error, so that pipes stay clean."""
    sys.stderr.write(text if text.endswith("\n") else text + "\n")
    sys.stderr.flush()
