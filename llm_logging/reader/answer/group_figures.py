"""The step `aggregate`: the figures of every group, from sums, shares and percentiles.

`Sums` makes the table `base` (see `sql/aggregate.py`) from all requests. `partial_sums.KeptSums` wraps it: it takes what it can
from the cache. Which of the two is used changes no figure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from ..lines.duckdb_engine import duckdb_module
from ..sql.aggregate import base_sql, figures_of, reported_names, rollup_sql, shares_sql, sum_of
from ..sql.costs import price_keys, same_rate
from ..sql.percentiles import named_rows, spreads, spreads_of
from .session import Session

__all__ = ["Key", "Sums", "grouped"]

_BASE: Final = "base"
# Up to this many groups are asked for by name; with more, all groups are computed.
_MOST_NEW: Final = 1_000
Key = tuple[Any, ...]
_By = tuple[str, ...]
_Rows = dict[tuple[_By, Key], dict[str, Any]]


class Sums:
    """The sums of one question, made from all of its requests.

    Args:
        session: The question.
        columns: Every column that some answer groups by.
        source: The requests, with the columns of `asked_odd`.
    """

    def __init__(self, session: Session, columns: Sequence[str], source: str) -> None:
        self.session, self.columns, self.source = session, columns, source

    def make(self, table: str) -> None:
        """Make the table of sums."""
        self.sum(table, self.source)

    def make_wide(self, table: str) -> None:
        """Make the table of sums for amounts beyond what one number holds."""
        self.sum(table, self.source, wide=True)

    def sum(self, table: str, source: str, *, wide: bool = False) -> None:
        """Sum some requests."""
        keys = price_keys(self.session.costs)
        self.session.db.execute(base_sql(table, source, self.columns, keys, wide=wide))

    def spreads(self, _by: Sequence[str], _groups: Iterable[Key]) -> dict[Key, dict[str, Any]]:
        """Return the percentiles that are known already, by group."""
        return {}

    def keep(self, by: Sequence[str], rows: Mapping[Key, Mapping[str, Any]]) -> None:
        """Take note of the figures of every group."""


def grouped(sums: Sums, sets: Sequence[_By]) -> Iterator[tuple[_By, Key, dict[str, Any]]]:
    """Yield every group of every grouping: what it is grouped by, its values, its figures.

    Args:
        sums: Those of the question.
        sets: The groupings; the one that was asked for comes last.
    """
    session, columns = sums.session, sums.columns
    try:
        sums.make(_BASE)
        rows = _summed(session, columns, sets, wide=False)
    except duckdb_module().OutOfRangeException:
        sums.make_wide(_BASE)
        rows = _summed(session, columns, sets, wide=True)
    # With many groups it is large, and the next steps need the memory.
    session.db.execute(f"DROP TABLE {_BASE}")
    asked = sets[-1]
    of_groups = {key: row for (by, key), row in rows.items() if by == asked}
    known = sums.spreads(asked, of_groups)
    for key, lists in known.items():
        of_groups[key].update(lists)
    for by, key, row in _placed(_spread(sums, rows, sets, known), columns, sets):
        rows[by, key].update(row)
    sums.keep(asked, of_groups)
    del of_groups, known
    for by, key in list(rows):
        # Of many groups not all are held twice.
        yield by, key, figures_of(rows.pop((by, key)), scale=session.costs.scale)


def _placed(
    rows: Iterable[dict[str, Any]], columns: Sequence[str], sets: Sequence[_By]
) -> Iterator[tuple[_By, Key, dict[str, Any]]]:
    """Say of each row of a query of several groupings which grouping it is of, and its values there."""
    # grouping() has a bit for each column that a row is not grouped by, the first column's bit the highest.
    bits = {name: 1 << place for place, name in enumerate(reversed(columns))}
    by_bits = {sum(bit for name, bit in bits.items() if name not in one): one for one in sets}
    for row in rows:
        by = by_bits[row["grouping"]]
        yield by, tuple(row[name] for name in by), row


def _summed(session: Session, columns: Sequence[str], sets: Sequence[_By], *, wide: bool) -> _Rows:
    """Return the sums of every group of every grouping, by what it is grouped by and its values."""
    rolled = named_rows(session.db, rollup_sql(_BASE, columns, sets, same_rate("a", "r"), wide=wide))
    rows = {(by, key): row for by, key, row in _placed(rolled, columns, sets)}
    shares: dict[str, tuple[str, list[str]]] = {
        "error_codes": ("error", ["n"]),
        "http_statuses": ("http", ["n"]),
        "other_costs": ("foreign_currency", reported_names(wide=wide)),
    }
    for name, (value, amounts) in shares.items():
        for row in rows.values():
            row[name] = {}
        shared = named_rows(session.db, shares_sql(_BASE, columns, sets, value, amounts))
        for by, key, row in _placed(shared, columns, sets):
            rows[by, key][name][row[value]] = sum_of(*(row[amount] for amount in amounts))
    return rows


def _spread(
    sums: Sums, rows: _Rows, sets: Sequence[_By], known: Mapping[Key, Any]
) -> Iterator[dict[str, Any]]:
    """Find the percentiles of every group; of the last grouping only those that are not known."""
    db, source, columns = sums.session.db, sums.source, sums.columns
    counts: dict[_By, dict[Key, int]] = {one: {} for one in sets}
    for (by, key), row in rows.items():
        counts[by][key] = int(row["total_requests"])
    total = sum(counts[sets[0]].values())
    new = {key: count for key, count in counts[sets[-1]].items() if key not in known} if known else {}
    apart = bool(known) and len(new) <= _MOST_NEW
    whole = sets[:-1] if apart else sets
    if whole:
        yield from spreads(db, source, columns, {by: len(counts[by]) for by in whole}, total)
    if apart:
        yield from spreads_of(db, source, columns, sets[-1], new)
