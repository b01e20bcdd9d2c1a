"""Showing how far a long reading has come; on a terminal only, and only when it takes long."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

__all__ = ["reading_progress"]

_PATIENCE: Final = 0.7


@contextmanager
def reading_progress() -> Iterator[Callable[[int, int], None] | None]:
    """Give what the reader calls with bytes done and bytes in all; None where nobody would see it."""
    if not sys.stderr.isatty():
        yield None
        return
    begun = time.monotonic()
    bar: list[Any] = []

    def show(done: int, total: int) -> None:
        if not bar and time.monotonic() - begun < _PATIENCE:
            return
        if not bar:
            bar.append(_bar(total))
            bar[0].start()
        bar[0].update(bar[0].task_ids[0], completed=done, total=total)

    try:
        yield show
    finally:
        # Also where the reading fails: else the cursor stays hidden.
        if bar:
            bar[0].stop()


def _bar(total: int) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    progress = Progress(
        TextColumn("reading"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    progress.add_task("reading", total=total)
    return progress
