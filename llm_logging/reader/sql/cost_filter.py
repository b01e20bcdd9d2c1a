"""Filter requests by what they cost: `cost>0.1`, asked once their prices are known.

The cost is what a provider reported in dollars, else the list price. Where only a part of it is known, it is a lower
bound: it answers `>` and `>=`, and no other comparison.
"""

# ruff: noqa: S608  names come from our own columns, values are bound

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_FLOOR, Decimal, InvalidOperation, localcontext
from typing import TYPE_CHECKING, Any, Final

from ...errors import ErrorCode, ValidationError
from ..lines.columns import Column

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["COST", "COST_NAMES", "cost_limit", "keep_by_cost"]

COST: Final = Column("total_cost", "amount")
COST_NAMES: Final = frozenset({"cost", "total_cost"})
_OPERATORS: Final = ("=", "!=", "<", "<=", ">", ">=")


def cost_limit(op: str, value: str, text: str) -> tuple[str, Decimal]:
    """Check a filter by cost; return its operator and its limit.

    Args:
        op: The operator.
        value: What the cost is compared with, in dollars.
        text: The whole filter.

    Raises:
        ValidationError: `INVALID_OPTIONS`.
    """
    try:
        limit = Decimal(value.lstrip("$"))
    except InvalidOperation:
        limit = Decimal("NaN")
    if op not in _OPERATORS or not limit.is_finite() or limit.adjusted() > 15:
        message = f"where: expected an amount in dollars for cost, as in cost>0.1, got {text!r:.200}"
        raise ValidationError(message, code=ErrorCode.INVALID_OPTIONS, reasons=(message,))
    return op, limit


def keep_by_cost(db: DuckDBPyConnection, limits: Sequence[tuple[str, Decimal]], scale: int) -> None:
    """Make `asked` hold only those requests of `asked_all` whose cost fits all limits.

    Args:
        db: Where `asked_all` and `priced` are.
        limits: Operators and amounts; see `cost_limit`.
        scale: The decimals of the unit of `estimated`.
    """
    clauses, bound = ["true"], []
    for op, limit in limits:
        clause, values = _clause(op, limit, scale)
        clauses.append(f"({clause})")
        bound += values
    db.execute(
        f"CREATE OR REPLACE TEMP TABLE kept_by_cost AS SELECT key FROM priced WHERE {' AND '.join(clauses)}",
        bound,
    )
    db.execute(
        "CREATE OR REPLACE TEMP VIEW asked AS SELECT * FROM asked_all WHERE key IN (SELECT key FROM kept_by_cost)"
    )


def _clause(op: str, limit: Decimal, scale: int) -> tuple[str, list[Any]]:
    with localcontext() as context:
        context.prec = 100
        exact = limit.scaleb(scale)
        whole = exact.to_integral_value(rounding=ROUND_FLOOR)
    # `estimated` is a whole number, so a limit between two of them is compared with the lower one.
    listed = f"estimated {op} ?::HUGEINT"
    if exact != whole:
        listed = {
            "=": "false AND ?::HUGEINT = 0", "!=": "estimated IS NOT NULL OR ?::HUGEINT = 0",
            ">": "estimated > ?::HUGEINT", ">=": "estimated > ?::HUGEINT",
            "<": "estimated <= ?::HUGEINT", "<=": "estimated <= ?::HUGEINT",
        }[op]  # fmt: skip
    known = "" if op in {">", ">="} else "NOT unpriced AND "
    reported = f"currency = 'USD' AND reported {op} ?::DECIMAL(38, 18)"
    return (
        f"CASE WHEN reported IS NOT NULL THEN {reported} ELSE coalesce({known}({listed}), false) END",
        [f"{limit:f}", f"{whole:f}"],
    )
