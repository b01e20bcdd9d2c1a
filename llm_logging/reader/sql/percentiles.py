"""Percentiles: exact, also of more values than fit into memory, interpolated linearly between the two nearest values.

DuckDB's `quantile_cont` holds every value of a group. For few requests, and for small groups, that is the fastest way
(`_direct`). For few groups of many requests, values are first counted by their rough size, and only the values around a
percentile are held and sorted (`_narrowed`). An example, p90 of 11 values, whose rank is 0.9 x (11 - 1) = 9.0:

    size (rough)   1    2    3    4        `sizes`: how many values have each size
    n              4    3    2    2
    smaller        0    4    7    9        `wanted`: rank 9 lies in size 4, as its first value (9 - 9 = 0)
                                           `near`:   only the two values of size 4 are read and sorted

A size is a square root of a square root, times 64. IEEE 754 rounds square roots correctly, so a larger value never has a
smaller size. A rank such as 9.4 needs its neighbours 9 and 10, which may have different sizes.

Both ways interpolate with `quantile_cont`: `_direct` over all values of a group, `_narrowed` over the two neighbours with the
fraction of the rank. DuckDB computes both with the same formula, so both give the same answer to the last digit (a test
compares them). Interpolating in Python would not: the rounding depends on how DuckDB was compiled.
"""

# ruff: noqa: S608  names come from our own columns

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from .aggregate import COUNTED, MEASURES, Measure, sets_sql

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["named_rows", "spreads", "spreads_of"]

_FRACTIONS: Final = "[0.5, 0.9, 0.95, 0.99]"
# Narrow by size where there are more requests than `_MANY` and at most `_FEW` groups.
_MANY: Final = 3_000_000
_FEW: Final = 200
# How many values one query may hold. Beyond that DuckDB writes them to disk, which takes far longer.
_HELD: Final = 12_000_000

_BLOCK: Final = 10_000
_VALUES: Final = tuple(dict.fromkeys(measure.value for measure in MEASURES))
_By = tuple[str, ...]


def spreads(
    db: DuckDBPyConnection, source: str, columns: Sequence[str], groups: Mapping[_By, int], total: int
) -> Iterator[dict[str, Any]]:
    """Find the percentiles of every measure in every group.

    Args:
        db: Where the source is.
        source: The requests, as `asked` has them.
        columns: Every column that some answer groups by.
        groups: How many groups each grouping has.
        total: How many requests there are.

    Yields:
        Rows with the columns, `grouping` and some of the measures, each a list named `<measure>_q`.
    """
    few = [by for by, count in groups.items() if count <= _FEW] if total > _MANY else []
    for value in _VALUES if few else ():
        yield from _narrowed(db, source, columns, few, value)
    rest = [by for by in groups if by not in few]
    if rest and total * len(rest) * len(_VALUES) <= _HELD:
        yield from named_rows(db, _direct(source, columns, rest, MEASURES))
        return
    step = max(1, _HELD // max(total, 1))
    for by in rest:
        for first in range(0, len(MEASURES), step):
            yield from named_rows(db, _direct(source, columns, [by], MEASURES[first : first + step]))


def spreads_of(
    db: DuckDBPyConnection,
    source: str,
    columns: Sequence[str],
    by: _By,
    groups: Mapping[tuple[Any, ...], int],
) -> Iterator[dict[str, Any]]:
    """Find the percentiles of every measure in some groups of one grouping.

    Args:
        db: Where the source is.
        source: The requests, as `asked` has them.
        columns: Every column that some answer groups by.
        by: The grouping.
        groups: Which groups, and how many requests each has.

    Yields:
        Rows as `spreads` does.
    """
    if not groups:
        return
    db.execute(f"CREATE OR REPLACE TEMP TABLE chosen_groups AS SELECT {', '.join(by)} FROM {source} LIMIT 0")
    listed = ", ".join([f"({', '.join('?' * len(by))})"] * len(groups))
    db.execute(f"INSERT INTO chosen_groups VALUES {listed}", [value for key in groups for value in key])
    same = " AND ".join(f"a.{name} IS NOT DISTINCT FROM c.{name}" for name in by)
    chosen = f"(SELECT a.* FROM {source} AS a SEMI JOIN chosen_groups AS c ON {same})"
    yield from spreads(db, chosen, columns, {by: len(groups)}, sum(groups.values()))


def named_rows(db: DuckDBPyConnection, sql: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a query by the names of its columns."""
    cursor = db.execute(sql)
    names = [column[0] for column in cursor.description or ()]
    while block := cursor.fetchmany(_BLOCK):
        for values in block:
            yield dict(zip(names, values, strict=True))


def _named(columns: Sequence[str], by: _By) -> str:
    """Return a select list: the columns, NULL for those that are not grouped by, and `grouping`."""
    missing = sum(1 << place for place, name in enumerate(reversed(columns)) if name not in by)
    named = [name if name in by else f"NULL AS {name}" for name in columns]
    return ", ".join([*named, f"{missing} AS grouping"])


def _told(columns: Sequence[str], sets: Sequence[_By]) -> str:
    """Return a select list: the columns, NULL for those that no set groups by, and `grouping`, which names the set."""
    there = [name for name in columns if any(name in by for by in sets)]
    bits = {name: 1 << place for place, name in enumerate(reversed(columns))}
    missing = sum(bit for name, bit in bits.items() if name not in there)
    told = [str(missing), *(f"{bits[name]} * grouping_id({name})" for name in there)]
    named = [name if name in there else f"NULL AS {name}" for name in columns]
    return ", ".join([*named, f"{' + '.join(told)} AS grouping"])


def _direct(source: str, columns: Sequence[str], sets: Sequence[_By], measures: Sequence[Measure]) -> str:
    if len(sets) == 1:
        head = _named(columns, sets[0])
        grouped = f"GROUP BY {', '.join(sets[0])}" if sets[0] else ""
    else:
        head = _told(columns, sets)
        grouped = f"GROUP BY {sets_sql(sets)}"
    parts = [head]
    for one in measures:
        of = "" if one.of == COUNTED else f" FILTER (WHERE {one.of})"
        parts.append(f"quantile_cont({one.value}, {_FRACTIONS}){of} AS {one.name}_q")
    return f"SELECT {', '.join(parts)} FROM {source} WHERE {COUNTED} {grouped}"


def _narrowed(
    db: DuckDBPyConnection, source: str, columns: Sequence[str], sets: Sequence[_By], value: str
) -> Iterator[dict[str, Any]]:
    """Find the percentiles of one value in several groupings; see the module."""
    cells = list(dict.fromkeys(name for by in sets for name in by))
    listed = "".join(f"{name}, " for name in cells)
    sized = (
        f"SELECT {listed}outcome, (sqrt(sqrt(least({value}, 1e15))) * 64)::INTEGER AS size, {value} AS value "
        f"FROM {source} WHERE {COUNTED} AND {value} IS NOT NULL"
    )
    db.execute(
        f"CREATE OR REPLACE TEMP TABLE sizes AS SELECT {listed}outcome, size, count(*) AS n FROM ({sized}) GROUP BY ALL"
    )
    asked = [(by, measure) for by in sets for measure in MEASURES if measure.value == value]
    for number, (by, measure) in enumerate(asked):
        db.execute(f"CREATE OR REPLACE TEMP TABLE wanted_{number} AS {_wanted(by, measure)}")
    near = " UNION ".join(
        f"SELECT {', '.join(f's.{name}' for name in (*cells, 'size'))} FROM sizes AS s "
        f"SEMI JOIN wanted_{number} AS w ON s.size = w.size {_same('s', 'w', by)}"
        for number, (by, _) in enumerate(asked)
    )
    db.execute(
        f"CREATE OR REPLACE TEMP TABLE near AS SELECT a.* FROM ({sized}) AS a "
        f"SEMI JOIN ({near}) AS c ON a.size = c.size {_same('a', 'c', cells)}"
    )
    for number, (by, measure) in enumerate(asked):
        picked = list(named_rows(db, _picked(columns, by, measure, f"wanted_{number}")))
        yield from _interpolated(db, picked, f"{measure.name}_q")


def _same(left: str, right: str, names: Sequence[str]) -> str:
    return "".join(f" AND {left}.{name} IS NOT DISTINCT FROM {right}.{name}" for name in names)


def _wanted(by: _By, measure: Measure) -> str:
    """Return the query for the sizes between which the percentiles lie, and how many values are smaller."""
    listed = "".join(f"{name}, " for name in by)
    parts = f"PARTITION BY {', '.join(by)}" if by else ""
    return f"""
        WITH summed AS (
            SELECT {listed}size, sum(n)::BIGINT AS n FROM sizes WHERE {measure.of} GROUP BY ALL
        ), placed AS (
            SELECT *, (sum(n) OVER ({parts} ORDER BY size))::BIGINT - n AS smaller,
                (sum(n) OVER ({parts}))::BIGINT AS total FROM summed
        ), ranked AS (
            SELECT {listed}size, n, smaller, fraction, fraction * (total - 1) AS rank
            FROM placed, (SELECT unnest({_FRACTIONS})::DOUBLE AS fraction)
        )
        SELECT {listed}size, smaller, fraction, floor(rank)::BIGINT AS low, ceil(rank)::BIGINT AS high,
            rank - floor(rank) AS between_them
        FROM ranked WHERE smaller <= ceil(rank) AND smaller + n > floor(rank)
    """


def _picked(columns: Sequence[str], by: _By, measure: Measure, wanted: str) -> str:
    """Return the query that puts the values near the percentiles in order, and picks them."""
    listed = "".join(f"{name}, " for name in by)
    return f"""
        WITH ordered AS (
            SELECT {listed}size, value, row_number() OVER (PARTITION BY {listed}size ORDER BY value) - 1 AS place
            FROM near WHERE {measure.of}
        ), chosen AS (
            SELECT {"".join(f"w.{name}, " for name in by)}w.fraction, any_value(w.between_them) AS between_them,
                min(o.value) FILTER (WHERE w.smaller + o.place = w.low) AS low,
                min(o.value) FILTER (WHERE w.smaller + o.place = w.high) AS high
            FROM {wanted} AS w JOIN ordered AS o
                ON o.size = w.size {_same("o", "w", by)} AND w.smaller + o.place IN (w.low, w.high)
            GROUP BY ALL
        )
        SELECT {_named(columns, by)}, list([low, high, between_them] ORDER BY fraction) AS {measure.name}_q
        FROM chosen GROUP BY ALL
    """


def _interpolated(
    db: DuckDBPyConnection, rows: Sequence[dict[str, Any]], name: str
) -> Iterator[dict[str, Any]]:
    """Replace the two neighbours of each percentile, and the fraction between them, by the percentile.

    The quantile of two values at a fraction is their interpolation at that fraction.
    """
    pairs = [pair for row in rows for pair in row[name] or ()]
    shares = sorted({share for _, _, share in pairs})
    fractions = ", ".join(f"'{share!r}'::DOUBLE" for share in shares)
    found = (
        db.execute(
            f"SELECT list_extract(quantile_cont(value, [{fractions}]), any_value(place)) FROM ("
            "SELECT pair, place, unnest([low, high]) AS value FROM (SELECT unnest(?::BIGINT[]) AS pair, "
            "unnest(?::BIGINT[]) AS place, unnest(?::DOUBLE[]) AS low, unnest(?::DOUBLE[]) AS high)) GROUP BY pair ORDER BY pair",
            [
                list(range(len(pairs))),
                [shares.index(share) + 1 for _, _, share in pairs],
                [low for low, _, _ in pairs],
                [high for _, high, _ in pairs],
            ],
        ).fetchall()
        if pairs
        else []
    )
    values = iter(value for (value,) in found)
    for row in rows:
        yield {**row, name: [next(values) for _ in row[name] or ()]}
