"""`ship`: copying sealed segments to object storage."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...errors import ErrorCode, ValidationError
from ...hmac_keys import MANIFEST_KEY, key_from_environment
from ...presentation.numbers import several, size
from ...presentation.times import parse_duration
from .. import options as opt
from ..render.terminal import dumps, safe

if TYPE_CHECKING:
    from ...maintenance.ship import Shipper, ShipReport

__all__ = ["app"]

app = typer.Typer(rich_markup_mode="rich")


@app.command(
    epilog="Examples:\n\n"
    "\b\n  llm-logging ship --to s3://bucket/llm                  # what is sealed: for cron\n"
    "  llm-logging ship --to s3://bucket/llm --watch --flush  # beside an application: for a sidecar\n"
    "  llm-logging ship --to s3://bucket/llm --flush          # all there is: when a container ends\n"
    "  llm-logging stats --root s3://bucket/llm"
)
def ship(
    root: opt.Root = None,
    *,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="URL",
            show_default=False,
            help="s3://bucket/prefix, gs://..., az://... or a folder; else where this root was shipped before.",
        ),
    ] = None,
    flush: Annotated[
        bool,
        typer.Option(
            "--flush",
            show_default=False,
            help="Seal the files that are written, and ship them too; with --watch, when it is ended.",
        ),
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on until SIGTERM or Ctrl-C.", show_default=False)
    ] = False,
    every: Annotated[
        str, typer.Option("--every", metavar="DURATION", help="With --watch, how often: 30s, 5m.")
    ] = "60s",
    pieces: Annotated[
        bool,
        typer.Option("--pieces/--no-pieces", help="Also store the columns that figures are made from."),
    ] = True,
    stop: Annotated[
        bool,
        typer.Option(
            "--stop",
            show_default=False,
            help="Ship nothing there any more: from now on, what has not arrived may be pruned.",
        ),
    ] = False,
    as_json: opt.AsJson = False,
) -> None:
    """Copy each sealed segment to object storage once, and note in the manifest what has arrived.

    An object is checked before its receipt is written, and never replaces another. Where a root is shipped, prune and retention
    delete only what has arrived. Credentials come from the environment, as AWS_ACCESS_KEY_ID, AWS_REGION and AWS_ENDPOINT_URL.
    Ends with status 1 where a segment could not be shipped.
    """  # fmt: skip
    from ...files.objects import open_store
    from ...maintenance.receipts import stop_shipping
    from ...maintenance.ship import Shipper

    place = opt.local_root(root)
    store = open_store(_destination(to, place))
    if stop:
        known = stop_shipping(place, store.url)
        opt.write(
            f"{safe(store.url)}: {'nothing is shipped there any more' if known else 'nothing was shipped there'}"
        )
        return
    from ...reader.segments.piece_files import make_piece_file

    make_piece = make_piece_file if pieces else None
    shipper = Shipper(place, store, key=key_from_environment(MANIFEST_KEY), make_piece=make_piece)
    say = _say_json if as_json else _say
    if watch:
        _watch(shipper, parse_duration(every, option="--every").total_seconds(), flush=flush, say=say)
        return
    report = _pass(shipper, flush=flush)
    say(report)
    if report.problems:
        raise typer.Exit(1)


def _destination(to: str | None, root: Path) -> str:
    from ...maintenance.receipts import destinations

    known = [to] if to else destinations(root)
    if len(known) != 1:
        shipped = f"this root is shipped to {', '.join(known)}" if known else "this root was never shipped"
        raise ValidationError(
            f"--to: expected where to ship, as s3://bucket/prefix; {shipped}", code=ErrorCode.INVALID_OPTIONS
        )
    return known[0]


def _pass(shipper: Shipper, *, flush: bool) -> ShipReport:
    if flush:
        from ...handler.writing.recovery import recover_root
        from ...maintenance.ship import seal_all

        # What killed processes left in their buffers is in no file yet.
        recover_root(shipper.root)
        seal_all(shipper.root, key=key_from_environment(MANIFEST_KEY))
    return shipper.run()


def _watch(shipper: Shipper, seconds: float, *, flush: bool, say: Callable[[ShipReport], Any]) -> None:
    """Ship again and again; a store that cannot be reached is tried again."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    last = ""
    while not ended.is_set():
        try:
            report = _pass(shipper, flush=False)
            if report.shipped or report.withdrawn or report.problems:
                say(report)
            last = ""
        except OSError as error:
            if str(error) != last:
                opt.note(f"llm-logging: {safe(str(error))}; it is tried again every {seconds:g} s")
            last = str(error)
        ended.wait(seconds)
    say(_pass(shipper, flush=flush))


def _say(report: ShipReport) -> None:
    for shipped in report.shipped:
        verb = "shipped" if shipped.stored else "was there"
        opt.write(f"{verb} {safe(shipped.key)} ({size(shipped.size)})")
    for key in report.withdrawn:
        opt.write(f"deleted {safe(key)}: a new generation replaces it")
    for problem in report.problems:
        opt.note(f"problem {safe(problem)}")
    waiting = (
        f"{several(report.waiting_lines, 'line', 'lines')} ({size(report.waiting_bytes)}) not sealed yet; "
        if report.waiting_lines
        else ""
    )
    opt.write(
        f"{several(len(report.shipped), 'segment', 'segments')} to {safe(report.to)}; {waiting}"
        f"complete up to {report.fresh_until}"
    )


def _say_json(report: ShipReport) -> None:
    fields = {
        "to": report.to,
        "host": report.host,
        "shipped": [
            {"path": str(one.path), "key": one.key, "bytes": one.size, "stored": one.stored}
            for one in report.shipped
        ],
        "withdrawn": report.withdrawn,
        "problems": report.problems,
        "waiting_bytes": report.waiting_bytes,
        "waiting_lines": report.waiting_lines,
        "fresh_until": report.fresh_until,
    }
    opt.write(dumps(fields))
