"""`doctor` and `prune`: looking after the files."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ...errors import ErrorCode, ValidationError
from ...hmac_keys import MANIFEST_KEY, key_from_environment
from ...presentation.numbers import several, size
from ...presentation.times import parse_duration, parse_size
from .. import options as opt
from ..render.table import paint
from ..render.terminal import dumps, safe, use_colour

if TYPE_CHECKING:
    from ...maintenance.doctor import Finding

__all__ = ["app"]

app = typer.Typer(rich_markup_mode="rich")

_STYLES: Final = {"ok": "green", "warning": "yellow", "problem": "red"}


@app.command(
    epilog="Examples:\n\n"
    "\b\n  llm-logging doctor\n"
    "  llm-logging doctor --root /var/log/llm --quick\n"
    "  llm-logging doctor --json | jq 'select(.state != \"ok\")'"
)
def doctor(
    root: opt.Root = None,
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Skip the checks that read all lines.", show_default=False)
    ] = False,
    recover: Annotated[
        bool,
        typer.Option(
            "--recover/--no-recover", help="Write lines that killed processes left in their buffers."
        ),
    ] = True,
    cache_dir: opt.CacheDir = None,
    as_json: opt.AsJson = False,
) -> None:
    """Check the logs for torn and missing lines, open permissions, leftovers, a full disk and a broken cache.

    Writes the lines that killed processes left in their buffers and changes nothing else. Exit status 1 if it finds a
    problem, 0 if it finds only warnings.
    """
    colour = use_colour()
    worst = "ok"
    place = opt.local_root(root)
    for finding in _findings(place, quick=quick, recover=recover, cache_dir=cache_dir):
        worst = finding.state if finding.state == "problem" or worst == "ok" else worst
        if as_json:
            fields = {
                "check": finding.check,
                "state": finding.state,
                "text": finding.text,
                "path": finding.path,
            }
            opt.write(dumps({name: value for name, value in fields.items() if value is not None}))
        else:
            state = paint(f"{finding.state:<8}", _STYLES[finding.state], colour=colour)
            where = f"{safe(finding.path)}: " if finding.path else ""
            opt.write(f"{state} {finding.check:<12} {where}{safe(finding.text)}")
    if worst == "problem":
        raise typer.Exit(1)


def _findings(root: Path, *, quick: bool, recover: bool, cache_dir: Path | None) -> Iterator[Finding]:
    from ...maintenance import doctor as checks

    if recover:
        yield from _recovered(root)
    yield from checks.check_packages(root)
    yield from checks.check_modes(root)
    yield from checks.check_disk(root)
    yield from checks.check_leftovers(root, time.time())
    yield from checks.check_spools(root)
    yield from _cache_findings(cache_dir)
    if not quick:
        yield from checks.check_lines(root)


def _recovered(root: Path) -> Iterator[Finding]:
    """Write what killed processes left, and say what that was."""
    from ...files.spool.discovery import dead_rings_exist
    from ...handler.writing.recovery import adopt, recover_root
    from ...maintenance.doctor import Finding

    left = adopt(root, seconds=10.0)
    if left.lines or left.removed:
        text = (
            f"{left.lines:,} lines of killed processes were written to other roots, {left.removed:,} buffers without "
            "lines or root were removed"
        )
        yield Finding("recovered", "ok", text)
    if not dead_rings_exist(root):
        return
    report = recover_root(root)
    if report.lines:
        text = f"{report.lines:,} lines of {report.rings:,} killed processes were written to their files"
        yield Finding("recovered", "ok", text)
    for error in report.failed:
        yield Finding("recovered", "problem", f"lines of a killed process cannot be written: {error}")


def _cache_findings(cache_dir: Path | None) -> Iterator[Finding]:
    """Say what the cache of parsed segments holds."""
    from ...maintenance.doctor import Finding, check_cache
    from ...reader.cache.store import cache_folder

    folder = cache_folder(cache_dir)
    yield from (
        check_cache(folder) if folder.exists() else [Finding("cache", "ok", f"none yet; it will be {folder}")]
    )


@app.command(
    epilog="Examples:\n\n"
    "\b\n  llm-logging prune --older-than 90d --dry-run\n"
    "  llm-logging prune --older-than 90d --max-bytes 5GB --yes"
)
def prune(
    root: opt.Root = None,
    *,
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than", metavar="DURATION", help="Delete segments rotated longer ago: 90d, 26w."
        ),
    ] = None,
    max_bytes: Annotated[
        str | None,
        typer.Option(
            "--max-bytes",
            metavar="SIZE",
            help="Delete the oldest segments until the root is no larger: 5GB, 500MiB.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be deleted.", show_default=False)
    ] = False,
    yes: opt.Yes = False,
    as_json: opt.AsJson = False,
) -> None:
    """Delete old segments, never a file still being written. Deletions are noted in the manifest.

    Asks for confirmation. Without a terminal, --yes is required.
    """
    from ...files.objects import open_store
    from ...maintenance.retention import prune as prune_root
    from ...maintenance.stored_root import prune_store

    if older_than is None and max_bytes is None:
        raise ValidationError(
            "prune: expected --older-than or --max-bytes, got neither", code=ErrorCode.INVALID_OPTIONS
        )
    age = None if older_than is None else parse_duration(older_than, option="--older-than")
    most = None if max_bytes is None else parse_size(max_bytes, option="--max-bytes")
    place = opt.existing_root(root)
    run = partial(
        partial(prune_root, place, key=key_from_environment(MANIFEST_KEY))
        if isinstance(place, Path)
        else partial(prune_store, open_store(place)),
        older_than=age,
        max_bytes=most,
    )
    if not dry_run and not yes:
        gone = run(dry_run=True).removed
        if gone:
            held = size(sum(number for _, number in gone))
            opt.confirm("prune", f"{several(len(gone), 'segment', 'segments')}, {held} will be deleted")
    report = run(dry_run=dry_run)
    total = sum(number for _, number in report.removed)
    if as_json:
        removed = [{"path": str(path), "bytes": number} for path, number in report.removed]
        opt.write(
            dumps(
                {
                    "dry_run": dry_run,
                    "removed": removed,
                    "removed_bytes": total,
                    "kept_bytes": report.kept_bytes,
                }
            )
        )
        return
    if report.unshipped:
        kept = several(len(report.unshipped), "segment stays", "segments stay")
        opt.note(f"{kept}: not shipped yet; see `llm-logging ship` and its option --stop")
    verb = "would be deleted" if dry_run else "deleted"
    for path, number in report.removed:
        shown = path.relative_to(place) if path.is_relative_to(str(place)) else path
        opt.write(f"{verb} {safe(shown)} ({size(number)})")
    opt.write(
        f"{several(len(report.removed), 'segment', 'segments')}, {size(total)} {verb}; {size(report.kept_bytes)} left"
    )
