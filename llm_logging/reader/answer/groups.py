"""The groups of an answer: sums rolled up, shares and percentiles beside them, as the fields of `Figures`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Final

from ..lines.duckdb_engine import duckdb_module
from ..sql.aggregate import figures_of, reported_names, rollup_sql, shares_sql, sum_of
from ..sql.costs import same_rate
from ..sql.percentiles import named_rows, spreads, spreads_of
from .partial_sums import Key, Sums
from .run import Answer

__all__ = ["grouped"]

_BASE: Final = "base"
# More groups than so many are not asked for by name: all are.
_MOST_NEW: Final = 1_000
_By = tuple[str, ...]
_Rows = dict[tuple[_By, Key], dict[str, Any]]


def grouped(made: Answer, source: str, sets: Sequence[_By]) -> Iterator[tuple[_By, Key, dict[str, Any]]]:
    """Yield every group of every grouping: what it is grouped by, its values, its figures.

    Args:
        made: What is behind the answer.
        source: The requests, as `asked_odd` has them.
        sets: The groupings; the one that was asked for comes last.
    """
    columns = list(dict.fromkeys(name for one in sets for name in one))
    sums = Sums(made, columns, source)
    try:
        sums.make(_BASE)
        rows = _summed(made, columns, sets, wide=False)
    except duckdb_module().OutOfRangeException:
        sums.make_wide(_BASE)
        rows = _summed(made, columns, sets, wide=True)
    # Of many groups it is large, and what follows needs the memory.
    made.db.execute(f"DROP TABLE {_BASE}")
    sums.drop_unneeded()
    asked = sets[-1]
    of_groups = {key: row for (by, key), row in rows.items() if by == asked}
    known = sums.spreads(asked, of_groups)
    for key, lists in known.items():
        of_groups[key].update(lists)
    for by, key, row in _placed(_spread(made, source, columns, rows, sets, known.keys()), columns, sets):
        rows[by, key].update(row)
    sums.keep(asked, of_groups)
    del of_groups, known
    for by, key in list(rows):
        # Of many groups not all are held twice.
        yield by, key, figures_of(rows.pop((by, key)), scale=made.costs.scale)


def _placed(
    rows: Iterable[dict[str, Any]], columns: Sequence[str], sets: Sequence[_By]
) -> Iterator[tuple[_By, Key, dict[str, Any]]]:
    """Say of each row of a query of several groupings which it is of, and its values there."""
    # grouping() has a bit for each column that a row is not grouped by, the first column's bit the highest.
    bits = {name: 1 << place for place, name in enumerate(reversed(columns))}
    by_bits = {sum(bit for name, bit in bits.items() if name not in one): one for one in sets}
    for row in rows:
        by = by_bits[row["grouping"]]
        yield by, tuple(row[name] for name in by), row


def _summed(made: Answer, columns: Sequence[str], sets: Sequence[_By], *, wide: bool) -> _Rows:
    """Return the sums of every group of every grouping, by what it is grouped by and its values."""
    rolled = named_rows(made.db, rollup_sql(_BASE, columns, sets, same_rate("a", "r"), wide=wide))
    rows = {(by, key): row for by, key, row in _placed(rolled, columns, sets)}
    shares: dict[str, tuple[str, list[str]]] = {
        "error_codes": ("error", ["n"]),
        "http_statuses": ("http", ["n"]),
        "other_costs": ("foreign_currency", reported_names(wide=wide)),
    }
    for name, (value, amounts) in shares.items():
        for row in rows.values():
            row[name] = {}
        shared = named_rows(made.db, shares_sql(_BASE, columns, sets, value, amounts))
        for by, key, row in _placed(shared, columns, sets):
            rows[by, key][name][row[value]] = sum_of(*(row[amount] for amount in amounts))
    return rows


def _spread(
    made: Answer,
    source: str,
    columns: Sequence[str],
    rows: _Rows,
    sets: Sequence[_By],
    known: Collection[Key],
) -> Iterator[dict[str, Any]]:
    """Find the percentiles of every group; of the last grouping only those that are not known."""
    counts: dict[_By, dict[Key, int]] = {one: {} for one in sets}
    for (by, key), row in rows.items():
        counts[by][key] = int(row["total_requests"])
    total = sum(counts[sets[0]].values())
    new = {key: count for key, count in counts[sets[-1]].items() if key not in known} if known else {}
    apart = bool(known) and len(new) <= _MOST_NEW
    whole = sets[:-1] if apart else sets
    if whole:
        yield from spreads(made.db, source, columns, {by: len(counts[by]) for by in whole}, total)
    if apart:
        yield from spreads_of(made.db, source, columns, sets[-1], new)
