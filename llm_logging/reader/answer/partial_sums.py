"""What an answer's sums over settled pieces were, kept for the next time that the same is asked.

Lines are only added, so a question that is asked again has most of its answer already: the rows of `base` (see
`aggregate`) that settled pieces make, and, since percentiles cannot be summed, those of each group of which nothing else
speaks: of yesterday, say. Both stay true as long as those pieces are as they were, and the same of their lines are hot,
that is folded with others (see `fold`): hot lines are no part of what is kept. If one piece is not, nothing that is kept
is used.

A request often begins in one piece and ends in the next, which makes its first line hot. So where any line is hot, the
last file of each log is not settled yet. What has a pending request that may still be running is not kept, for what is
said of it changes with the time.
"""

# ruff: noqa: S608  names come from the columns of the schema, values are bound

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from ..cache.artifacts import Kept
from ..cache.store import package_tag, schema_tag
from ..lines.duckdb_engine import quoted
from ..pricing.rates import list_version
from ..sql.aggregate import MEASURES, base_sql
from ..sql.costs import price_keys
from .run import Answer

__all__ = ["Sums"]

# Fewer requests than so many are summed as fast as their sums are read.
_WORTH: Final = 50_000
# More rows of sums, and more groups, than so many take longer to read than to make.
_MOST_ROWS: Final = 50_000
_MOST_GROUPS: Final = 5_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SPREADS: Final = tuple(f"{measure.name}_q" for measure in MEASURES)

Key = tuple[Any, ...]


@dataclass
class Sums:
    """The sums of one question: kept ones, and those of the requests that are not part of them.

    Args:
        made: What is behind the answer.
        columns: Every column that some answer groups by.
        source: The requests, as `asked_odd` has them.
    """

    made: Answer
    columns: Sequence[str]
    source: str
    _kept: Kept | None = None
    _states: list[str] = field(default_factory=list)
    _known: set[int] = field(default_factory=set)
    _new: set[int] = field(default_factory=set)
    _rows: Path | None = None
    _groups: dict[str, list[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        made, loader = self.made, self.made.loader
        if loader.folder is None or not loader.ready:
            return
        # Prices that were found one by one are part of the sums.
        odd = [list_version(), [repr(one) for one in made.own], made.costs.scale] if made.costs.odd else []
        text = base_sql("", self.source, self.columns, price_keys(made.costs))
        key = [package_tag(), str(made.root), made.asked, text, odd]
        self._kept = Kept(loader.folder / schema_tag(), "sums", key)

    def make(self, table: str) -> None:
        """Make the table of sums; where some are kept, or to be, also `rest`, those of what is not settled."""
        if self._kept is None:
            self._sum(table, self.source)
            return
        db, ready = self.made.db, self.made.loader.ready
        hot = self._look()
        self._find()
        new = self._settled(hot=hot) - self._known
        if sum(ready[place].lines for place in new) >= _WORTH:
            self._new = new
        out = self._known | self._new
        if not out:
            self._sum(table, self.source)
            return
        self._sum("rest", self._part("piece IS NULL OR piece NOT IN", out))
        parts = ["FROM rest"]
        if self._new:
            self._sum("settled", self._part("piece IN", self._new))
            parts.append("FROM settled")
        if self._rows is not None:
            whole = ", ".join(f"{name}::HUGEINT AS {name}" for name in self._wide("rest"))
            parts.append(f"SELECT * REPLACE ({whole}) FROM read_parquet({quoted(self._rows)})")
        db.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS {' UNION ALL BY NAME '.join(parts)}")

    def drop_unneeded(self) -> None:
        """Drop what is only needed to tell which groups are new, where no groups are kept or to be kept."""
        if not self._new and not self._groups:
            self.made.db.execute("DROP TABLE IF EXISTS rest")

    def make_wide(self, table: str) -> None:
        """Make the table of sums for amounts beyond what one number holds; such are not kept."""
        self._kept, self._new, self._groups = None, set(), {}
        self._sum(table, self.source, wide=True)

    def _wide(self, table: str) -> list[str]:
        """Name the columns of 128 bits, which a file holds as decimals."""
        described = self.made.db.execute(f"DESCRIBE {table}").fetchall()
        return [name for name, kind, *_ in described if kind == "HUGEINT"]

    def _sum(self, table: str, source: str, *, wide: bool = False) -> None:
        keys = price_keys(self.made.costs)
        self.made.db.execute(base_sql(table, source, self.columns, keys, wide=wide))

    def _part(self, condition: str, pieces: set[int]) -> str:
        return f"(SELECT * FROM {self.source} WHERE {condition} ({', '.join(map(str, sorted(pieces)))}))"

    def _look(self) -> bool:
        """Find what each piece's sums depend on: its content, and which of its lines are hot; say whether any is."""
        rows = self.made.db.execute(
            "SELECT piece, count(*), sum(hash(key, seq, line_time)) FROM hot_lines GROUP BY piece"
        ).fetchall()
        hot = {piece: f"{count} {total}" for piece, count, total in rows}
        ready = self.made.loader.ready
        self._states = [f"{one.path} {one.digest} {hot.get(place, '')}" for place, one in enumerate(ready)]
        return bool(rows)

    def _find(self) -> None:
        """Find what is kept and still true: which pieces it is of, its rows, its groups."""
        found = self._kept.find() if self._kept is not None else None
        if found is None:
            return
        note, rows = found
        places = {state: place for place, state in enumerate(self._states)}
        try:
            if self._limit() >= note["limit"] and set(note["states"]) <= places.keys():
                known, groups = {places[state] for state in note["states"]}, dict(note["groups"])
                self._known, self._rows, self._groups = known, rows, groups
        except (KeyError, TypeError, ValueError):
            return

    def _limit(self) -> int:
        """Return since when a pending request is still running, in microseconds."""
        question = self.made.question
        return (question.now - question.options.orphaned_after - _EPOCH) // timedelta(microseconds=1)

    def _settled(self, *, hot: bool) -> set[int]:
        """Choose the pieces that are settled; see the module."""
        ready = self.made.loader.ready
        last: dict[int, int] = {}
        for one in ready if hot else ():
            last[one.log_no] = max(one.file_no, last.get(one.log_no, 0))
        return {place for place, one in enumerate(ready) if last.get(one.log_no) != one.file_no}

    def spreads(self, by: Sequence[str], groups: Iterable[Key]) -> dict[Key, dict[str, Any]]:
        """Return the percentiles that are kept of groups of which only kept pieces speak.

        Args:
            by: What is grouped by.
            groups: All groups.
        """
        if not self._groups:
            return {}
        touched = self._touched(by, "rest") | (self._touched(by, "settled") if self._new else set())
        named = {key: _name(key) for key in groups if key not in touched}
        return {
            key: dict(zip(_SPREADS, self._groups[name], strict=True))
            for key, name in named.items()
            if name in self._groups
        }

    def _touched(self, by: Sequence[str], table: str) -> set[Key]:
        return set(self.made.db.execute(f"SELECT DISTINCT {', '.join(by)} FROM {table}").fetchall())

    def keep(self, by: Sequence[str], rows: Mapping[Key, Mapping[str, Any]]) -> None:
        """Keep the sums, and the percentiles of groups of which only settled pieces speak, unless they are kept.

        Args:
            by: What is grouped by; nothing where there are no groups.
            rows: The figures of every group.
        """
        if self._kept is None or not self._new:
            return
        db = self.made.db
        decimals = ", ".join(f"{name}::DECIMAL(38, 0) AS {name}" for name in self._wide("settled"))
        query = f"SELECT * REPLACE ({decimals}) FROM settled"
        if self._rows is not None:
            query += f" UNION ALL BY NAME FROM read_parquet({quoted(self._rows)})"
        told = db.execute(f"SELECT count(*), coalesce(bool_or(recent), false) FROM ({query})").fetchone()
        if told is None or told[0] > _MOST_ROWS or told[1]:
            return
        states = [self._states[place] for place in sorted(self._known | self._new)]
        note = {"limit": self._limit(), "states": states, "groups": self._lasting(by, rows)}
        self._kept.keep(note, db, query)

    def _lasting(
        self, by: Sequence[str], rows: Mapping[Key, Mapping[str, Any]]
    ) -> list[tuple[str, list[Any]]]:
        # Without time among them, new lines are in most groups.
        timed = any(group.unit is not None for group in self.made.question.groups)
        if not by or not timed or len(rows) > _MOST_GROUPS:
            return []
        touched = self._touched(by, "rest")
        return [
            (_name(key), [row.get(name) for name in _SPREADS])
            for key, row in rows.items()
            if key not in touched
        ]


def _name(key: Key) -> str:
    return json.dumps([repr(part) for part in key])
