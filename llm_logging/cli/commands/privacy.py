"""`verify` and `forget`: holding sealed files to their manifests, and taking one person out of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...errors import ErrorCode, FileSystemError, ValidationError
from ...hmac_keys import MANIFEST_KEY, PSEUDONYM_KEY, key_from_environment
from ...presentation.numbers import several
from .. import options as opt
from ..render.table import paint
from ..render.terminal import dumps, safe, use_colour

if TYPE_CHECKING:
    from ...maintenance.forget import ForgetReport

__all__ = ["app"]

app = typer.Typer(rich_markup_mode="rich")


@app.command(
    epilog="Examples:\n\n"
    "\b\n  llm-logging verify\n"
    "  llm-logging verify --print-heads > heads.json      # keep it where the logging user cannot write\n"
    "  llm-logging verify --heads heads.json"
)
def verify(
    root: opt.Root = None,
    *,
    heads: Annotated[
        Path | None,
        typer.Option(
            "--heads",
            metavar="FILE",
            help="File with the output of an earlier --print-heads to check against.",
        ),
    ] = None,
    print_heads: Annotated[
        bool,
        typer.Option("--print-heads", help="Print the head of each manifest as JSON.", show_default=False),
    ] = False,
    as_json: opt.AsJson = False,
) -> None:
    """Report rotated segments that were changed, removed, inserted or moved.

    With a key in LLM_LOGGING_MANIFEST_KEY (or _FILE) signatures are checked, too. Exit status 1 if something is wrong.
    """
    from ...files.objects import open_store
    from ...maintenance.stored_root import verify_store
    from ...maintenance.verify import verify as verify_root

    key, place = key_from_environment(MANIFEST_KEY), opt.existing_root(root)
    if isinstance(place, Path):
        report = verify_root(place, key=key, heads=_heads(heads))
    elif heads is None:
        report = verify_store(open_store(place), key=key)
    else:
        raise ValidationError(
            "--heads: expected a root on this machine: the manifests in a store are those of its hosts at different times",
            code=ErrorCode.INVALID_OPTIONS,
        )
    colour = use_colour()
    if print_heads:
        opt.write(dumps(report.heads, indent=2))
    elif as_json:
        opt.write(dumps(report.model_dump(mode="json"), indent=2))
    else:
        for log in report.logs:
            state = "problem" if log.findings else "ok"
            style = "red" if log.findings else "green"
            waiting = f", {len(log.not_sealed)} not sealed yet" if log.not_sealed else ""
            pruned = f", {log.pruned} pruned" if log.pruned else ""
            head = paint(f"{state:<8}", style, colour=colour)
            opt.write(f"{head} {safe(log.log)}: {log.sealed} sealed{pruned}{waiting}")
            for finding in log.findings:
                opt.write(
                    f"         {paint(finding.problem, 'red', colour=colour)} {safe(finding.where)}: {safe(finding.detail)}"
                )
        if not report.logs:
            opt.note("no logs here yet")
        elif not report.signed:
            opt.note(f"signatures were not checked: no {MANIFEST_KEY} is set")
    for finding in report.findings if print_heads else ():
        opt.note(f"{finding.problem} {safe(finding.where)}: {safe(finding.detail)}")
    if not report.ok:
        raise typer.Exit(1)


def _heads(path: Path | None) -> dict[str, str] | None:
    if path is None:
        return None
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise FileSystemError(
            f"reading {path}: {error.strerror}", code=ErrorCode.LOG_READ_ERROR, filename=str(path)
        ) from error
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict) or not all(isinstance(head, str) for head in value.values()):
        raise ValidationError(
            f"--heads: expected what --print-heads wrote, got something else in {path}",
            code=ErrorCode.INVALID_OPTIONS,
        )
    return value


@app.command(
    epilog="Examples:\n\n"
    "\b\n  llm-logging forget --user u-4711 --dry-run\n"
    "  llm-logging forget --user u-4711\n"
    "  llm-logging forget --user u-4711 --mode pseudonymise --yes"
)
def forget(
    root: opt.Root = None,
    *,
    user: Annotated[str, typer.Option("--user", metavar="ID", help="The user_id.", show_default=False)],
    mode: Annotated[
        str,
        typer.Option(
            "--mode", metavar="MODE", help="remove: delete the lines; pseudonymise: replace the id in them."
        ),
    ] = "remove",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be changed.", show_default=False)
    ] = False,
    yes: opt.Yes = False,
    cache_dir: opt.CacheDir = None,
    as_json: opt.AsJson = False,
) -> None:
    """Remove or pseudonymise the lines of one user in all logs of a root. The manifests note it.

    Refuses while a process logs to the root. Asks for confirmation; without a terminal, --yes is required. Keys come from
    LLM_LOGGING_PSEUDONYM_KEY and LLM_LOGGING_MANIFEST_KEY, or from files named by these variables with _FILE.
    """
    from ...files.objects import open_store
    from ...maintenance.forget import forget as forget_person
    from ...maintenance.stored_root import forget_in_store
    from ...reader.piece_files import make_piece_file

    if mode not in {"remove", "pseudonymise"}:
        raise ValidationError(
            f"--mode: expected remove or pseudonymise, got {mode!r}", code=ErrorCode.INVALID_OPTIONS
        )
    chosen: Any = mode
    place = opt.existing_root(root)
    run: Callable[..., ForgetReport] = (
        partial(forget_person, place, rewritten=lambda old, _new: _drop_cached(old, cache_dir))
        if isinstance(place, Path)
        else partial(forget_in_store, open_store(place), make_piece=make_piece_file)
    )
    run = partial(
        run, user_id=user, mode=chosen, key=key_from_environment(PSEUDONYM_KEY),
        manifest_key=key_from_environment(MANIFEST_KEY),
    )  # fmt: skip
    if not dry_run and not yes:
        found = run(dry_run=True)
        if found.lines:
            lines = f"{several(found.lines, 'line', 'lines')} in {several(len(found.files), 'file', 'files')}"
            verb = {"remove": "removed", "pseudonymise": "rewritten"}[mode]
            opt.confirm("forget", f"{lines} will be {verb}")
    report = run(dry_run=dry_run)
    if not isinstance(place, Path) and not dry_run:
        _drop_copies(place, cache_dir)
    if as_json:
        opt.write(dumps(report.model_dump(mode="json"), indent=2))
        return
    done = {"remove": "removed", "pseudonymise": "renamed"}[mode]
    verb = f"would be {done}" if dry_run else done
    for file in report.files:
        opt.write(f"{safe(file.file)}: {several(file.lines, 'line', 'lines')} {verb}")
    opt.write(
        f"{several(report.lines, 'line', 'lines')} of {several(report.requests, 'request', 'requests')} {verb}, "
        f"in {several(len(report.files), 'file', 'files')}"
    )
    if report.shared_chats:
        shown = ", ".join(map(safe, report.shared_chats[:5])) + (
            " ..." if len(report.shared_chats) > 5 else ""
        )
        opt.note(f"messages without a user id were kept in chats with other users: {shown}")
    if report.unreadable:
        opt.note(
            f"{several(report.unreadable, 'line', 'lines')} that contain the id cannot be read and were kept"
        )


def _drop_cached(segment: Path, cache_dir: Path | None) -> None:
    """Drop what the reader kept of a log of which a segment was rewritten: it holds the person's lines too."""
    from ...files.segments import parse_segment_name
    from ...reader.cache.store import cache_folder
    from ...reader.segments.index import SegmentCache

    named = parse_segment_name(segment)
    active = segment if named is None else segment.with_name(f"{named.stem}.jsonl")
    folder = cache_folder(cache_dir)
    kept = SegmentCache(folder, str(active.resolve())).folder
    # Folders beside it are of other versions of this package.
    _drop(folder, [*folder.glob(f"*/{kept.name}")])


def _drop_copies(url: str, cache_dir: Path | None) -> None:
    """Drop what the reader copied of a store."""
    from ...files.objects import open_store
    from ...reader.cache.store import cache_folder
    from ...reader.segments.remote import copy_folder

    folder = cache_folder(cache_dir)
    _drop(folder, [copy_folder(open_store(url).url, folder)])


def _drop(folder: Path, kept: list[Path]) -> None:
    """Drop parts of the cache, and all answers and sums: they name people too, whose root they do not say."""
    import contextlib
    import shutil

    for stale in (*kept, *folder.glob("*/answers")):
        shutil.rmtree(stale, ignore_errors=True)
    for file in folder.glob("*/sums-*"):
        with contextlib.suppress(OSError):
            file.unlink()
