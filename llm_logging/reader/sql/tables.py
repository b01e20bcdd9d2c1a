"""Every table and view of a session's database: what it holds, where it is made, and its columns.

    pieces (Parquet) ─┐
    tail ─────────────┴> lines ─fold─> requests ─select─> asked ─price─> asked_odd, priced ─aggregate─> base ─> figures
                         + hot_ids, hot_doubles, hot_calls: keys that several rows share; only their rows are folded

`line rows` below are the columns of `row_types`: `key` (the id as 128 bits), `line_time`, `writer_id`, `seq`, and one column
per held field of the entry (`lines/columns.py`), and per further field that the question names. Tables that only one
function uses and drops again are not listed. A test compares this list with the database of a session.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..lines.columns import Column, held_columns
from ..pricing.rates import KINDS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["ROW_KEYS", "TABLES", "Table", "create_table", "row_names", "row_types"]

# The columns of every line row that are no field of the entry.
ROW_KEYS: Final = {"key": "UUID", "line_time": "TIMESTAMP", "writer_id": "VARCHAR", "seq": "BIGINT"}


@dataclass(frozen=True, slots=True)
class Table:
    """One table or view.

    Attributes:
        made_by: The module.
        holds: What a row is.
        columns: Name to type; the type is empty where a query decides it.
        line_rows: Whether it also has the columns of `row_types`.
    """

    made_by: str
    holds: str
    columns: Mapping[str, str]
    line_rows: bool = False


def _untyped(names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), "")


_TOKENS: Final = " ".join(KINDS)
_ASKED: Final = (
    "piece key model price_provider price_model price_tier price_speed units price_units price_at started outcome is_counted "
    "unknown_spend last_of_call attempt http_status error_kind has_usage usage_source no_prompt no_completion latency "
    f"first_token speed reported currency orphan_limit {_TOKENS}"
)

TABLES: Final[dict[str, Table]] = {
    # load
    "tail": Table(
        "segments/uncached", "a request line that is in no piece", {"filename": "VARCHAR"}, line_rows=True
    ),
    "lines": Table(
        "segments/loader", "a request line; `piece` is NULL for the tail", _untyped("filename piece"), line_rows=True
    ),
    "file_logs": Table(
        "segments/loader", "the log that a file belongs to", {"filename": "VARCHAR", "log_no": "INTEGER"}
    ),
    "hot_ids": Table("segments/repeated_keys", "an id of several rows", {"key": "UUID"}),
    "hot_doubles": Table(
        "segments/repeated_keys", "a response id whose requests may be one call", {"key": "UBIGINT"}
    ),
    "hot_calls": Table("segments/repeated_keys", "a request group of several rows", {"key": "UBIGINT"}),
    # fold
    "twins": Table(
        "sql/fold", "a request that is one call with others; `call` numbers the call",
        {"key": "UUID", "call": "INTEGER"},
    ),
    "hot_lines": Table("sql/fold", "a line that is folded with others", _untyped("key seq line_time piece")),
    "requests": Table(
        "sql/fold", "a request; `last_of_call`: its call counts by it", _untyped("last_of_call piece"), line_rows=True
    ),
    # select
    "asked": Table("sql/selection", "a request in question; also a column per group, g0, g1 ...", _untyped(_ASKED)),
    # price
    "rates": Table(
        "sql/costs", "what one kind of request costs, when and for which prompts: dollars per token in a small unit",
        {
            "rate_no": "INTEGER", "price_provider": "VARCHAR", "price_model": "VARCHAR", "price_tier": "VARCHAR",
            "price_speed": "VARCHAR", "price_units": "VARCHAR", "pattern": "INTEGER", "since": "TIMESTAMP",
            "until": "TIMESTAMP", "day_from": "BIGINT", "day_until": "BIGINT", "prompt_from": "BIGINT",
            "prompt_until": "BIGINT", "r_gap": "VARCHAR", "r_priced": "BOOLEAN", "r_request": "HUGEINT",
            **{f"r_{kind}": "HUGEINT" for kind in KINDS},
        },
    ),
    "odd_prices": Table(
        "sql/costs", "the price of requests whose counts contradict each other, found one by one",
        {
            "price_provider": "VARCHAR", "price_model": "VARCHAR", "price_tier": "VARCHAR", "price_speed": "VARCHAR",
            "units": "VARCHAR", "price_at": "TIMESTAMP", **dict.fromkeys(KINDS, "BIGINT"), "no_prompt": "BOOLEAN",
            "no_completion": "BOOLEAN", "amount": "HUGEINT",
        },
    ),
    "asked_odd": Table("sql/costs", "`asked` with the price found one by one", _untyped(f"{_ASKED} odd_amount")),
    "priced": Table(
        "sql/costs", "`asked` with its rate and cost; `gap` says what of it has no price",
        _untyped(
            f"{_ASKED} odd_amount is_reported pattern regular rate_since rate_time rate_prompt rate_no estimated gap "
            "unpriced"
        ),
    ),
}  # fmt: skip


def row_types(extra: Sequence[Column] = ()) -> dict[str, str]:
    """Return the columns of a line row, name to type.

    Args:
        extra: Columns besides the held ones.
    """
    return {**ROW_KEYS, **{column.name: column.sql_type for column in (*held_columns(), *extra)}}


def row_names(extra: Sequence[Column] = ()) -> str:
    """Return the names of `row_types` as a select list."""
    return ", ".join(f'"{name}"' for name in row_types(extra))


def create_table(db: DuckDBPyConnection, name: str, extra: Sequence[Column] = ()) -> None:
    """Make a listed table, empty.

    Args:
        db: Where.
        name: One whose columns have types.
        extra: Columns of a line row besides the held ones.
    """
    table = TABLES[name]
    types = {**(row_types(extra) if table.line_rows else {}), **table.columns}
    listed = ", ".join(f'"{column}" {kind}' for column, kind in types.items())
    db.execute(f"CREATE OR REPLACE TEMP TABLE {name} ({listed})")
