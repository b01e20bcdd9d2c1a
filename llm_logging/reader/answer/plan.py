"""What is asked, checked and resolved, before any file is opened."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from ...clock import clock
from ...files.layout import Layout
from ...models.query import StatsOptions, StatsScope
from ..cache.eviction import cache_limit
from ..cache.store import cache_folder
from ..lines.arguments import Files, Progress, check_files, check_place, expect, reading_layout
from ..lines.columns import Column, columns, held_columns
from ..pricing.overrides import Override, find_overrides, read_overrides
from ..segments.remote import open_root
from ..sql.period import resolve_period
from ..sql.selection import Selection, make_selection

__all__ = ["Plan", "Reading", "make_plan"]


@dataclass(frozen=True, slots=True)
class Reading:
    """Where the lines of a question come from: the keywords of `get_stats`, checked.

    Attributes:
        root: The folder of the logs; see `find_root`.
        files: Files to read instead.
        cache: Whether parsed segments and answers are kept, and used.
        cache_dir: Where; None: the user's cache folder.
        prices: A file of the user's own rates; see `overrides`.
        now: Aware; what `7d` and orphaned requests count from. None: now.
        progress: Called with bytes done and bytes in total while lines are parsed.
    """

    root: str | os.PathLike[str] | None = None
    files: Files | None = None
    cache: bool = True
    cache_dir: str | os.PathLike[str] | None = None
    prices: str | os.PathLike[str] | None = None
    now: datetime | None = None
    progress: Progress | None = None

    def __post_init__(self) -> None:
        for name in ("root", "cache_dir", "prices"):
            check_place(name, getattr(self, name))
        check_files(self.files)
        expect("cache", self.cache, (bool, int), "True or False")
        expect("now", self.now, (datetime, type(None)), "a datetime or None")
        expect("progress", self.progress, (Callable, type(None)), "a function or None")  # type: ignore[arg-type]  # an ABC


@dataclass(frozen=True, slots=True)
class Plan:
    """One question, resolved.

    Attributes:
        selection: Which requests, and what they are grouped by.
        layout: Of the root.
        files: Files to read instead; None: the root.
        cache: The cache folder; None: nothing is cached.
        rates_file: The file of the user's own rates, if there is one.
        overrides: What it says.
        progress: Called with bytes done and bytes in total.
    """

    selection: Selection
    layout: Layout
    files: Files | None
    cache: Path | None
    rates_file: Path | None
    overrides: tuple[Override, ...]
    progress: Progress | None

    def ungrouped(self, *, every_field: bool = False, fields: Sequence[Column] = ()) -> Plan:
        """Return the same question without groups.

        Args:
            every_field: Give `requests` every field of the entry, not only those that figures need.
            fields: Further fields that `requests` is to have.
        """
        options = self.selection.options.model_copy(update={"group_by": (), "fill_gaps": False})
        chosen = make_selection(self.selection.scope, options, self.selection.period, self.selection.now)
        if every_field or fields:
            held = {column.path for column in held_columns()}
            wanted = columns().values() if every_field else fields
            more = {column.path: column for column in (*wanted, *chosen.extra)}
            chosen = replace(chosen, extra=tuple(c for path, c in more.items() if path not in held))
        return replace(self, selection=chosen)


def make_plan(scope: StatsScope, options: StatsOptions, reading: Reading, *, lines: bool = False) -> Plan:
    """Check and resolve a question; of a root in object storage, fetch what it needs.

    Args:
        scope: Whose requests.
        options: Which of them, and what they are grouped by.
        reading: Where the lines are.
        lines: Whether whole lines are needed, also where the columns of requests have the answer.

    Raises:
        ValidationError: `INVALID_OPTIONS`, for a group, a filter or a period that is none.
        ConfigurationError: The file of the user's rates, or the limit of the cache, is wrong.
    """
    if reading.cache:
        cache_limit()
    now = (reading.now if reading.now is not None else clock().now()).astimezone(UTC)
    rates_file = find_overrides(reading.prices)
    selection = make_selection(scope, options, resolve_period(options, now), now)
    return Plan(
        selection=selection,
        layout=_layout(reading, scope, lines=lines or bool(selection.extra) or not reading.cache),
        files=reading.files,
        cache=cache_folder(reading.cache_dir) if reading.cache else None,
        rates_file=rates_file,
        overrides=tuple(read_overrides(rates_file)) if rates_file is not None else (),
        progress=reading.progress,
    )


def _layout(reading: Reading, scope: StatsScope, *, lines: bool) -> Layout:
    if reading.files is not None:
        return reading_layout(reading.root)
    return open_root(
        reading.root, lines=lines, scope=scope, cache_dir=reading.cache_dir, progress=reading.progress
    )
