"""What was asked on the command line, as the reader's scope and options."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ..errors import ErrorCode, ValidationError
from ..files.lines import as_binary
from ..models.query import StatsOptions, StatsScope
from ..models.stats import Stats
from ..presentation.times import parse_duration
from . import options as opt
from .progress import reading_progress

__all__ = ["Question", "named_files", "scope_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question to the reader.

    Attributes:
        root: As typed; see `files.layout.resolve_root`.
        files: JSON-lines files or globs to read instead of a root, `-` for standard input; None: the root.
        project: Only this project.
        chat: Only this chat of it.
        since: As typed.
        until: As typed.
        tz: As typed.
        where: Filters as typed.
        by: Groups as typed, with commas.
        fill_gaps: Also times at which nothing happened.
        orphaned_after: As typed; None: as `StatsOptions` has it.
        strict: Fail on the first line that cannot be used.
        prices: A TOML file of the user's own rates.
        cache_dir: Where parsed segments are kept; None: the user's cache folder.
        use_cache: Whether they are kept at all.
        as_if: Models to price as others, as typed.
        prices_as_of: As typed.
    """

    root: str | None = None
    files: Sequence[str] | None = None
    project: str | None = None
    chat: str | None = None
    since: str | None = None
    until: str | None = None
    tz: str = "UTC"
    where: Sequence[str] = ()
    by: str | None = None
    fill_gaps: bool = False
    orphaned_after: str | None = None
    strict: bool = False
    prices: Path | None = None
    cache_dir: Path | None = None
    use_cache: bool = True
    as_if: Sequence[str] | None = None
    prices_as_of: str | None = None

    def scope(self) -> StatsScope:
        """Return whose requests are asked for."""
        return scope_of(self.project, self.chat)

    def options(self, **changes: Any) -> StatsOptions:
        """Return how the question is to be answered."""
        values: dict[str, Any] = {
            "from_date": opt.when(self.since, "start", self.tz),
            "to_date": opt.when(self.until, "end", self.tz),
            "group_by": self.by,
            "time_zone": opt.zone_name(self.tz),
            "where": tuple(self.where or ()),
            "fill_gaps": self.fill_gaps,
            "strict": self.strict,
            "as_if": tuple(self.as_if or ()),
            "prices_as_of": opt.when(self.prices_as_of, "start", self.tz, option="--prices-as-of"),
        }
        if self.orphaned_after is not None:
            values["orphaned_after"] = parse_duration(self.orphaned_after, option="--orphaned-after")
        return StatsOptions(**{**values, **changes})

    def source(self, *, once: bool = True) -> dict[str, Any]:
        """Return the reader's arguments that say where the lines are, and where parsed segments are kept.

        Args:
            once: Whether they are read once only; standard input cannot be read again.

        Raises:
            NotFoundError: There is no such root.
        """
        if self.where:
            from ..reader.sql.filters import words_explained

            for text in words_explained(self.where):
                opt.note(f"llm-logging: --where: {text}")
        kept: dict[str, Any] = {"cache_dir": self.cache_dir, "cache": self.use_cache}
        if self.prices is not None:
            kept["prices"] = self.prices
        if self.files is None:
            return {"root": opt.existing_root(self.root), **kept}
        if not once and "-" in self.files:
            raise ValidationError(
                "--files -: expected a file where pages are read one after the other, got standard input",
                code=ErrorCode.INVALID_OPTIONS,
            )
        return {"files": named_files(self.files), **kept}

    @contextmanager
    def reading(self, *, once: bool = True) -> Iterator[dict[str, Any]]:
        """Give the same arguments, and what shows how far the reading has come."""
        with reading_progress() as progress:
            yield {**self.source(once=once), "progress": progress}

    def ask(self, **changes: Any) -> Stats:
        """Return the answer."""
        from ..reader.stats import get_stats

        with self.reading() as source:
            return get_stats(self.scope(), self.options(**changes), **source)


def scope_of(project: str | None, chat: str | None) -> StatsScope:
    """Return the scope of `--project` and `--chat`."""
    if chat is not None and project is None:
        raise ValidationError("--chat: expected --project beside it", code=ErrorCode.INVALID_SCOPE)
    kind = "global" if project is None else "project" if chat is None else "chat"
    return StatsScope(type=kind, project_id=project, chat_id=chat)


def named_files(names: Sequence[str]) -> list[str | IO[bytes]]:
    """Return what the reader takes for `--files`: paths and patterns as they are, `-` as standard input."""
    return [as_binary(sys.stdin) if name == "-" else name for name in names]
