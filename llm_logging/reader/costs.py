"""What the requests in question cost: rates joined in SQL, exactly.

Makes `priced` from `asked`: `rate_no` says which rate a request has, `estimated` what it costs, in whole numbers of a
unit whose decimals `Costs.scale` says; NULL where the provider reported the cost itself or no price is known.
"""

# ruff: noqa: S608  names come from our own columns, values are bound

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .overrides import Override
from .pricing import KINDS, OPTIONAL, Product, Rate, decimals_of, merged, odd_price
from .rates import known_rates

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Costs", "Kind", "kinds_in", "price_asked"]

# Provider, model, service tier and pattern of tokens; and whether their counts fit each other.
Kind = tuple[str, str, str, int, bool]

# Counts that fit each other, so that the price is linear in them.
_REGULAR: Final = (
    "cache_read_tokens + cache_write_tokens + audio_prompt_tokens <= prompt_tokens "
    "AND cache_write_1h_tokens <= cache_write_tokens "
    "AND audio_completion_tokens + reasoning_tokens <= completion_tokens"
)
_LISTED: Final = "has_usage AND reported IS NULL AND started IS NOT NULL"
_PATTERN: Final = " + ".join(
    f"CASE WHEN {kind} > 0 THEN {1 << bit} ELSE 0 END" for bit, kind in enumerate(OPTIONAL)
)
_PRODUCT: Final = ("price_provider", "price_model", "price_tier", "pattern")


@dataclass
class Costs:
    """How the requests were priced.

    Attributes:
        scale: The decimals of the unit of `estimated`.
        rates: By their number in the column `rate_no`.
        odd: Requests that were priced one by one, their counts contradicting each other.
        refused: Those among them for which the list has no answer.
    """

    scale: int
    rates: list[Rate] = field(default_factory=list)
    odd: int = 0
    refused: int = 0


def kinds_in(db: DuckDBPyConnection, source: str) -> list[Kind]:
    """List the kinds of request in a table of lines or requests that a list may have a price for."""
    count = {kind: f"coalesce(usage_{kind}, 0)" for kind in KINDS}
    pattern, regular = _PATTERN, _REGULAR
    for kind, value in count.items():
        pattern = re.sub(rf"\b{kind}\b", value, pattern)
        regular = re.sub(rf"\b{kind}\b", value, regular)
    rows = db.execute(
        f"""
        SELECT DISTINCT coalesce(provider, ''), coalesce(response_model, model, ''), coalesce(service_tier, ''),
            {pattern}, {regular}
        FROM {source}
        WHERE (usage_prompt_tokens IS NOT NULL OR usage_completion_tokens IS NOT NULL) AND cost_amount IS NULL
        """
    ).fetchall()
    return [(str(row[0]), str(row[1]), str(row[2]), int(row[3]), bool(row[4])) for row in rows]


def price_asked(
    db: DuckDBPyConnection, overrides: Sequence[Override], kinds: Iterable[Kind], folder: Path | None
) -> Costs:
    """Make `priced` from `asked`; see the module.

    Args:
        db: Where `asked` is.
        overrides: The user's own rates.
        kinds: Every kind of request that may be in `asked`; see `kinds_in`.
        folder: Where rates found before are kept; None: nowhere.
    """
    known = sorted(set(kinds))
    wanted = [Product(*kind[:4]) for kind in known if kind[4]]
    rates = merged(known_rates(wanted, overrides, folder))
    odd = _odd_prices(db, overrides) if any(not kind[4] for kind in known) else []
    scale = max([decimals_of(rates), *(_decimals(price) for *_, price in odd if price is not None)])
    _load_rates(db, rates, scale)
    _load_odd(db, odd, scale)
    _join(db, odd=bool(odd))
    return Costs(scale=scale, rates=rates, odd=len(odd), refused=sum(1 for *_, price in odd if price is None))


def _decimals(price: Decimal) -> int:
    exponent = price.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _odd_prices(db: DuckDBPyConnection, overrides: Sequence[Override]) -> list[tuple[Any, ...]]:
    known = ("nullif(no_prompt, false)", "nullif(no_completion, false)")
    rows = db.execute(
        f"""
        SELECT DISTINCT {", ".join(_PRODUCT[:3])}, started, {", ".join(KINDS)}, {", ".join(known)}
        FROM asked WHERE {_LISTED} AND NOT ({_REGULAR})
        """
    ).fetchall()
    priced = []
    for row in rows:
        counts: dict[str, int | None] = dict(zip(KINDS, row[4:-2], strict=True))
        # The list tells a prompt of no tokens from one that nobody counted.
        for kind, unknown in zip(KINDS, row[-2:], strict=False):
            counts[kind] = None if unknown else counts[kind]
        product = Product(row[0], row[1], row[2], 0)
        priced.append((*row[:-2], odd_price(product, row[3].replace(tzinfo=UTC), counts, overrides)))
    return priced


def _load_rates(db: DuckDBPyConnection, rates: Sequence[Rate], scale: int) -> None:
    slopes = ", ".join(f"r_{kind} HUGEINT" for kind in KINDS)
    db.execute(
        "CREATE OR REPLACE TEMP TABLE rates (rate_no INTEGER, price_provider VARCHAR, price_model VARCHAR, "
        "price_tier VARCHAR, pattern INTEGER, since TIMESTAMP, until TIMESTAMP, day_from BIGINT, day_until BIGINT, "
        f"prompt_from BIGINT, prompt_until BIGINT, r_request HUGEINT, {slopes})"
    )
    rows = [
        [
            number, *rate.product, _naive(rate.since), _naive(rate.until), rate.day_from, rate.day_until,
            rate.prompt_from, rate.prompt_until, *(_whole(value, scale) for value in (rate.request, *rate.tokens)),
        ]
        for number, rate in enumerate(rates)
    ]  # fmt: skip
    if rows:
        db.executemany(f"INSERT INTO rates VALUES ({', '.join('?' * len(rows[0]))})", rows)


def _load_odd(db: DuckDBPyConnection, odd: Sequence[tuple[Any, ...]], scale: int) -> None:
    kinds = ", ".join(f"{kind} BIGINT" for kind in KINDS)
    db.execute(
        "CREATE OR REPLACE TEMP TABLE odd_prices (price_provider VARCHAR, price_model VARCHAR, price_tier VARCHAR, "
        f"started TIMESTAMP, {kinds}, amount HUGEINT)"
    )
    rows = [[*row[:-1], _whole(row[-1], scale)] for row in odd if row[-1] is not None]
    if rows:
        db.executemany(f"INSERT INTO odd_prices VALUES ({', '.join('?' * len(rows[0]))})", rows)


def _whole(value: Decimal, scale: int) -> int:
    return int(value.scaleb(scale))


def _naive(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None)


def _join(db: DuckDBPyConnection, *, odd: bool) -> None:
    terms = " + ".join(f"r_{kind} * a.{kind}" for kind in KINDS)
    same_kinds = " AND ".join(f"o.{kind} = a.{kind}" for kind in KINDS)
    listed = f"{_LISTED.replace('has_usage', 'a.has_usage').replace('started', 'a.started')}"
    # Joining nothing costs time too.
    odd_prices = (
        f"odd_prices AS o ON {listed} AND NOT a.regular AND o.price_provider = a.price_provider "
        "AND o.price_model = a.price_model AND o.price_tier = a.price_tier AND o.started = a.started "
        f"AND {same_kinds}"
        if odd
        else "(SELECT NULL::HUGEINT AS amount) AS o ON true"
    )
    db.execute(
        f"""
        CREATE OR REPLACE TEMP VIEW priced AS
        SELECT a.*, r.rate_no, o.amount AS odd_amount, coalesce(r.r_request + {terms}, o.amount) AS estimated,
            a.has_usage AND a.reported IS NULL AND r.rate_no IS NULL AND o.amount IS NULL AS unpriced
        FROM (SELECT *, {_PATTERN} AS pattern, {_REGULAR} AS regular FROM asked) AS a
        LEFT JOIN rates AS r ON {listed} AND a.regular
            AND r.price_provider = a.price_provider AND r.price_model = a.price_model
            AND r.price_tier = a.price_tier AND r.pattern = a.pattern
            AND a.started >= r.since AND a.started < r.until
            AND epoch_us(a.started) % 86400000000 >= r.day_from AND epoch_us(a.started) % 86400000000 < r.day_until
            AND a.prompt_tokens BETWEEN r.prompt_from AND r.prompt_until
        LEFT JOIN {odd_prices}
        """
    )
