"""The cache around the step `aggregate`: sums of settled pieces, kept for the next time that the same is asked.

Lines are only added, so a repeated question has most of its answer already. Two things are kept per question:

- the rows of `base` (see `sql/aggregate.py`) that settled pieces make; sums of parts add up;
- the percentiles of each group whose requests are all in settled pieces, such as yesterday; percentiles of parts do not add up.

    first time   settled pieces ─sum─> `settled` (kept) ┐
                 hot lines, tail ─sum─> `rest` ─────────┴─> base
    next time    kept rows ─────────────────────────────┐
                 new pieces, hot lines, tail ─> `rest` ─┴─> base

Both stay valid as long as the same pieces exist and the same of their lines are hot, that is folded with others (see
`sql/fold.py`): hot lines are no part of what is kept. If one piece differs, nothing that is kept is used.

A request often begins in one piece and ends in the next, which makes its first line hot. So where any line is hot, the
last file of each log is not settled yet. Sums that contain a pending request that may still be running are not kept,
because they change with time.
"""

# ruff: noqa: S608  names come from the columns of the schema, values are bound

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from ..cache.artifacts import Artifact
from ..lines.duckdb_engine import quoted
from ..pricing.rates import list_version
from ..segments.piece_cache import PieceCache
from ..sql.aggregate import MEASURES, base_sql
from ..sql.costs import price_keys
from .group_figures import Key, Sums
from .session import Session

__all__ = ["KeptSums"]

# Summing fewer requests takes no longer than reading their sums.
_WORTH: Final = 50_000
# Reading more rows, or more groups, takes longer than computing them.
_MOST_ROWS: Final = 50_000
_MOST_GROUPS: Final = 5_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SPREADS: Final = tuple(f"{measure.name}_q" for measure in MEASURES)


class KeptSums(Sums):
    """The sums of one question: kept ones, and those of the requests that are not part of them.

    Args:
        session: The question; made from pieces.
        columns: Every column that some answer groups by.
        source: The requests, with the columns of `asked_odd`.
        pieces: The pieces.
    """

    def __init__(self, session: Session, columns: Sequence[str], source: str, pieces: PieceCache) -> None:
        super().__init__(session, columns, source)
        self._pieces = pieces.ready
        # Prices that were found one by one are part of the sums.
        costs, plan = session.costs, session.plan
        odd = [list_version(), [repr(one) for one in plan.overrides], costs.scale] if costs.odd else []
        text = base_sql("", source, columns, price_keys(costs))
        self._kept: Artifact | None = Artifact(
            pieces.folder, "sums", [str(plan.layout.root), session.asked, text, odd]
        )
        self._states: list[str] = []
        self._known: set[int] = set()
        self._new: set[int] = set()
        self._rows: Path | None = None
        self._groups: dict[str, list[Any]] = {}

    def make(self, table: str) -> None:
        """Make the table of sums; where some are kept, or to be kept, also `rest`, those of what is not settled."""
        hot = self._look()
        self._find()
        new = self._settled(hot=hot) - self._known
        if sum(self._pieces[place].lines for place in new) >= _WORTH:
            self._new = new
        out = self._known | self._new
        if not out:
            self.sum(table, self.source)
            return
        self.sum("rest", self._part("piece IS NULL OR piece NOT IN", out))
        parts = ["FROM rest"]
        if self._new:
            self.sum("settled", self._part("piece IN", self._new))
            parts.append("FROM settled")
        if self._rows is not None:
            whole = ", ".join(f"{name}::HUGEINT AS {name}" for name in self._wide("rest"))
            parts.append(f"SELECT * REPLACE ({whole}) FROM read_parquet({quoted(self._rows)})")
        db = self.session.db
        db.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS {' UNION ALL BY NAME '.join(parts)}")
        if not self._new and not self._groups:
            # Only needed to find which groups are new.
            db.execute("DROP TABLE rest")

    def make_wide(self, table: str) -> None:
        """Make the table of sums for amounts beyond what one number holds; such are not kept."""
        self._kept, self._new, self._groups = None, set(), {}
        super().make_wide(table)

    def _wide(self, table: str) -> list[str]:
        """Name the columns of 128 bits, which a file holds as decimals."""
        described = self.session.db.execute(f"DESCRIBE {table}").fetchall()
        return [name for name, kind, *_ in described if kind == "HUGEINT"]

    def _part(self, condition: str, pieces: set[int]) -> str:
        return f"(SELECT * FROM {self.source} WHERE {condition} ({', '.join(map(str, sorted(pieces)))}))"

    def _look(self) -> bool:
        """Find what each piece's sums depend on: its content, and which of its lines are hot; say whether any is."""
        rows = self.session.db.execute(
            "SELECT piece, count(*), sum(hash(key, seq, line_time)) FROM hot_lines GROUP BY piece"
        ).fetchall()
        hot = {piece: f"{count} {total}" for piece, count, total in rows}
        self._states = [
            f"{one.path} {one.digest} {hot.get(place, '')}" for place, one in enumerate(self._pieces)
        ]
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
        question = self.session.plan.selection
        return (question.now - question.options.orphaned_after - _EPOCH) // timedelta(microseconds=1)

    def _settled(self, *, hot: bool) -> set[int]:
        """Choose the pieces that are settled; see the module."""
        ready = self._pieces
        last: dict[int, int] = {}
        for one in ready if hot else ():
            last[one.log_no] = max(one.file_no, last.get(one.log_no, 0))
        return {place for place, one in enumerate(ready) if last.get(one.log_no) != one.file_no}

    def spreads(self, by: Sequence[str], groups: Iterable[Key]) -> dict[Key, dict[str, Any]]:
        """Return the kept percentiles of groups whose requests are all in kept pieces.

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
        return set(self.session.db.execute(f"SELECT DISTINCT {', '.join(by)} FROM {table}").fetchall())

    def keep(self, by: Sequence[str], rows: Mapping[Key, Mapping[str, Any]]) -> None:
        """Keep the sums, and the percentiles of groups whose requests are all in settled pieces, unless they are kept already.

        Args:
            by: What is grouped by; nothing where there are no groups.
            rows: The figures of every group.
        """
        if self._kept is None or not self._new:
            return
        db = self.session.db
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
        # Where no group is a time, most groups have new lines.
        timed = any(group.unit is not None for group in self.session.plan.selection.groups)
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
