"""Step 4, price: the cost of each request, from rates joined in SQL, exactly.

Makes `priced` from `asked`: `rate_no` is the request's rate, `estimated` its cost, in whole numbers of a unit with
`Costs.scale` decimals. `estimated` is NULL where the provider reported the cost or no price is known. Where `unpriced` is true the
cost is not known, or only in part: `estimated` is then a lower bound, and `gap` names what has no price.
"""

# ruff: noqa: S608  names come from our own columns, values are bound

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, Any, Final

from ..pricing.gaps import IMAGES_OVERLAP, NO_COMPLETION, NO_PROMPT
from ..pricing.overrides import Override
from ..pricing.rates import EVER, KINDS, NEVER, OPTIONAL, Product, Rate, decimals_of, merged, odd_price
from ..pricing.spent import COUNTED_UNITS, MEASURED, USED
from .selection import PENDING
from .tables import create_table

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Costs", "Kind", "costs_of", "kinds_asked", "kinds_in", "price_asked", "price_keys", "same_rate"]

# Provider, model, service tier, speed, units and pattern of tokens; and whether their counts fit each other.
Kind = tuple[str, str, str, str, str, int, bool]

# Counts that fit each other, so that the price is linear in them.
_REGULAR: Final = (
    "cache_read_tokens + cache_write_tokens + audio_prompt_tokens <= prompt_tokens "
    "AND image_prompt_tokens <= prompt_tokens AND cache_write_1h_tokens <= cache_write_tokens "
    "AND audio_completion_tokens + reasoning_tokens + image_completion_tokens <= completion_tokens "
    "AND units = price_units"
)
_LISTED: Final = "is_counted AND reported IS NULL AND price_at IS NOT NULL"
_BITS: Final = {
    **{f"{kind} > 0": 1 << bit for bit, kind in enumerate(OPTIONAL)},
    "no_prompt": NO_PROMPT,
    "no_completion": NO_COMPLETION,
    # A model that has a rate for images has none for what is both image and cached.
    "image_prompt_tokens > 0 AND cache_read_tokens + cache_write_tokens + audio_prompt_tokens + image_prompt_tokens "
    "> prompt_tokens": IMAGES_OVERLAP,
}
_PATTERN: Final = " + ".join(f"CASE WHEN {fact} THEN {bit} ELSE 0 END" for fact, bit in _BITS.items())
# Whether the token counts are unknown; they are then 0.
_UNKNOWN: Final = ("no_prompt", "no_completion")
_PRODUCT: Final = ("price_provider", "price_model", "price_tier", "price_speed", "price_units", "pattern")
# What distinguishes odd requests, besides their counts.
_ODD: Final = (*_PRODUCT[:4], "units", "price_at")


@dataclass
class Costs:
    """How the requests were priced.

    Attributes:
        scale: The decimals of the unit of `estimated`.
        rates: By their number in the column `rate_no`.
        tiers: Whether some request names a service tier.
        speeds: Whether some names a speed.
        units: Whether some is billed for more than tokens.
        irregular: Whether there are counts that contradict each other.
        odd: Requests that were priced one by one for that.
        refused: Those among them for which the list has no answer.
    """

    scale: int
    rates: list[Rate] = field(default_factory=list)
    tiers: bool = False
    speeds: bool = False
    units: bool = False
    irregular: bool = False
    odd: int = 0
    refused: int = 0


def kinds_in(db: DuckDBPyConnection, source: str) -> list[Kind]:
    """List the kinds of request in a table of lines or requests that a list may have a price for."""
    count = {kind: f"coalesce(usage_{kind}, 0)" for kind in KINDS}
    count |= {"no_prompt": "usage_prompt_tokens IS NULL", "no_completion": "usage_completion_tokens IS NULL"}
    pattern, regular = _PATTERN, _REGULAR.replace("units = price_units", f"NOT {MEASURED}")
    for kind, value in count.items():
        pattern = re.sub(rf"\b{kind}\b", value, pattern)
        regular = re.sub(rf"\b{kind}\b", value, regular)
    rows = db.execute(
        f"""
        SELECT DISTINCT coalesce(provider, ''), coalesce(response_model, model, ''), coalesce(service_tier, ''),
            coalesce(usage_speed, ''), {COUNTED_UNITS}, {pattern}, {regular}
        FROM {source} WHERE {USED} AND cost_amount IS NULL
        """
    ).fetchall()
    return [(p, m, t, s, u, int(pattern), bool(regular)) for p, m, t, s, u, pattern, regular in rows]


def kinds_asked(db: DuckDBPyConnection) -> list[Kind]:
    """List the kinds of request in `asked`, by what their prices are asked for; see `selection.ask`."""
    rows = db.execute(
        f"SELECT DISTINCT {', '.join(_PRODUCT[:5])}, {_PATTERN}, {_REGULAR} FROM asked WHERE {_LISTED}"
    ).fetchall()
    return [(p, m, t, s, u, int(pattern), bool(regular)) for p, m, t, s, u, pattern, regular in rows]


def price_asked(
    db: DuckDBPyConnection,
    overrides: Sequence[Override],
    kinds: Iterable[Kind],
    find_rates: Callable[[Sequence[Product], Sequence[Override]], list[Rate]],
) -> Costs:
    """Make `priced` from `asked`; see the module.

    Args:
        db: Where `asked` is.
        overrides: The user's own rates.
        kinds: Every kind of request that may be in `asked`; see `kinds_in`.
        find_rates: Returns the rates of products, `rates.rates_of` or what wraps it.
    """
    known = sorted(set(kinds))
    wanted = [Product(*kind[:-1]) for kind in known if kind[-1]]
    rates = merged(find_rates(wanted, overrides))
    irregular = any(not kind[-1] for kind in known)
    odd = _odd_prices(db, overrides) if irregular else []
    scale = max([decimals_of(rates), *(_decimals(price) for *_, price in odd if price is not None)])
    _load_rates(db, rates, scale)
    _load_odd(db, odd, scale)
    costs = Costs(
        scale=scale,
        rates=rates,
        tiers=any(kind[2] for kind in known),
        speeds=any(kind[3] for kind in known),
        units=any(kind[4] for kind in known),
        irregular=irregular,
        odd=len(odd),
        refused=sum(1 for *_, price in odd if price is None),
    )
    _make_views(db, costs)
    return costs


def costs_of(
    db: DuckDBPyConnection, keys: Sequence[uuid.UUID], scale: int
) -> dict[uuid.UUID, tuple[Decimal | None, str | None]]:
    """Return the list prices of single requests of `priced`, and what of them has no price.

    Args:
        db: Where `priced` is.
        keys: Of the requests.
        scale: The decimals of the unit of `estimated`.
    """
    rows = db.execute(
        "SELECT key, CASE WHEN NOT unpriced THEN estimated END, gap FROM priced "
        "WHERE key IN (SELECT unnest(?::UUID[]))",
        [[str(key) for key in keys]],
    ).fetchall()
    return {
        key: (None if whole is None else Decimal(int(whole)).scaleb(-scale), gap) for key, whole, gap in rows
    }


def _decimals(price: Decimal) -> int:
    with localcontext() as context:
        context.prec = 100
        exponent = price.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _odd_prices(db: DuckDBPyConnection, overrides: Sequence[Override]) -> list[tuple[Any, ...]]:
    rows = db.execute(
        f"""
        SELECT DISTINCT {", ".join(_ODD)}, {", ".join(KINDS)}, {", ".join(_UNKNOWN)}, {_PATTERN}
        FROM asked WHERE {_LISTED} AND NOT ({_REGULAR})
        """
    ).fetchall()
    priced = []
    for *row, pattern in rows:
        counts: dict[str, int | None] = dict(zip(KINDS, row[len(_ODD) : -2], strict=True))
        # The list distinguishes a prompt of no tokens from an unknown count.
        for kind, unknown in zip(KINDS, row[-2:], strict=False):
            counts[kind] = None if unknown else counts[kind]
        provider, model, tier, speed, units = row[: len(_ODD) - 1]
        product = Product(provider, model, tier, speed, units, pattern)
        started = row[len(_ODD) - 1].replace(tzinfo=UTC)
        priced.append((*row, odd_price(product, started, counts, overrides)))
    return priced


def _load_rates(db: DuckDBPyConnection, rates: Sequence[Rate], scale: int) -> None:
    create_table(db, "rates")
    rows = [
        [
            number, *rate.product, _naive(rate.since), _naive(rate.until), rate.day_from, rate.day_until,
            rate.prompt_from, rate.prompt_until, rate.unpriced or None, rate.priced, *(_whole(value, scale) for value in (rate.request, *rate.tokens)),
        ]
        for number, rate in enumerate(rates)
    ]  # fmt: skip
    if rows:
        # One statement for all: a hundred small ones take as long as reading a million requests.
        one = f"({', '.join('?' * len(rows[0]))})"
        db.execute(
            f"INSERT INTO rates VALUES {', '.join([one] * len(rows))}", [x for row in rows for x in row]
        )


def _load_odd(db: DuckDBPyConnection, odd: Sequence[tuple[Any, ...]], scale: int) -> None:
    create_table(db, "odd_prices")
    rows = [[*row[:-1], _whole(row[-1], scale)] for row in odd if row[-1] is not None]
    if rows:
        db.executemany(f"INSERT INTO odd_prices VALUES ({', '.join('?' * len(rows[0]))})", rows)


def _whole(value: Decimal, scale: int) -> int:
    with localcontext() as context:
        context.prec = 100
        return int(value.scaleb(scale))


def _naive(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None)


# The time of day in microseconds, also before 1970.
_TIME_OF_DAY: Final = "epoch_us(price_at) - epoch_us(date_trunc('day', price_at))"


def price_keys(costs: Costs) -> dict[str, str]:
    """Return what a price depends on, by name, as SQL over the requests: all with the same values have one rate.

    Moments, times of day and lengths of prompts stand as the last of their values at which some rate changes. What is
    the same for all requests is a constant, for every value that is computed and grouped by costs time.
    """
    rates = costs.rates
    moments = sorted(
        {_naive(edge) for rate in rates for edge in (rate.since, rate.until) if EVER < edge < NEVER}
    )
    times = sorted({edge for rate in rates for edge in (rate.day_from, rate.day_until)})
    prompts = sorted({rate.prompt_from for rate in rates})
    keys = {
        "price_provider": "price_provider",
        "price_model": "price_model",
        "price_tier": "price_tier" if costs.tiers else "''",
        "price_speed": "price_speed" if costs.speeds else "''",
        "price_units": "price_units" if costs.units else "''",
        "pattern": _PATTERN,
        "regular": _REGULAR if costs.irregular else "true",
        "rate_since": f"CASE {_edges('price_at', [_literal(edge) for edge in moments])} "
        f"WHEN price_at IS NOT NULL THEN {_literal(_naive(EVER))} END",
    }
    # Most rates are the same at all times and for all prompts.
    day, prompt = [str(edge) for edge in times], [str(edge) for edge in prompts]
    keys["rate_time"] = f"CASE {_edges(_TIME_OF_DAY, day)} END" if len(day) > 2 else "0"
    keys["rate_prompt"] = f"CASE {_edges('prompt_tokens', prompt)} END" if len(prompt) > 1 else "0"
    return keys


def _edges(value: str, edges: Sequence[str]) -> str:
    return " ".join(f"WHEN {value} >= {edge} THEN {edge}" for edge in reversed(edges))


def _literal(moment: datetime) -> str:
    return f"TIMESTAMP '{moment.isoformat(' ')}'"


def same_rate(row: str, rate: str) -> str:
    """Return the condition under which a row with the columns of `price_keys` has a rate of the table `rates`."""
    return (
        f"{row}.is_counted AND NOT {row}.is_reported AND {row}.regular "
        f"AND {rate}.price_provider = {row}.price_provider AND {rate}.price_model = {row}.price_model "
        f"AND {rate}.price_tier = {row}.price_tier AND {rate}.price_speed = {row}.price_speed "
        f"AND {rate}.price_units = {row}.price_units AND {rate}.pattern = {row}.pattern "
        f"AND {row}.rate_since >= {rate}.since AND {row}.rate_since < {rate}.until "
        f"AND {row}.rate_time >= {rate}.day_from AND {row}.rate_time < {rate}.day_until "
        f"AND {row}.rate_prompt BETWEEN {rate}.prompt_from AND {rate}.prompt_until"
    )


def _make_views(db: DuckDBPyConnection, costs: Costs) -> None:
    """Make `asked_odd`, the requests with the prices found one by one, and `priced`."""
    same = " AND ".join(f"o.{name} = a.{name}" for name in (*_ODD, *KINDS, *_UNKNOWN))
    irregular = re.sub(r"\b(\w+_tokens|units|price_units)\b", r"a.\1", _REGULAR)
    db.execute(
        "CREATE OR REPLACE TEMP VIEW asked_odd AS SELECT a.*, o.amount AS odd_amount FROM asked AS a "
        f"LEFT JOIN odd_prices AS o ON a.is_counted AND a.reported IS NULL AND NOT ({irregular}) AND {same}"
        if costs.odd
        # Joining nothing costs time too.
        else "CREATE OR REPLACE TEMP VIEW asked_odd AS SELECT *, NULL::HUGEINT AS odd_amount FROM asked"
    )
    keys = ", ".join(
        f"{value} AS {name}" for name, value in price_keys(costs).items() if name not in _PRODUCT[:5]
    )
    terms = " + ".join(f"r_{kind} * a.{kind}" for kind in KINDS)
    db.execute(
        f"""
        CREATE OR REPLACE TEMP VIEW priced AS
        SELECT a.*, r.rate_no, CASE WHEN a.reported IS NOT NULL THEN NULL
                WHEN NOT a.is_counted AND NOT a.unknown_spend AND a.outcome <> {PENDING} THEN 0::HUGEINT
                WHEN r.rate_no IS NULL THEN a.odd_amount WHEN r.r_priced THEN r.r_request + {terms} END AS estimated,
            CASE WHEN a.reported IS NOT NULL THEN NULL WHEN a.unknown_spend THEN 'no token counts'
                WHEN NOT a.is_counted THEN NULL
                WHEN r.rate_no IS NULL AND a.odd_amount IS NULL THEN
                    CASE WHEN a.started IS NULL THEN 'no start' WHEN a.units <> a.price_units THEN a.units ELSE 'contradictory counts' END
                WHEN r.r_gap IS NOT NULL THEN r.r_gap
                WHEN a.usage_source = 'partial' THEN 'partial token counts' END AS gap,
            gap IS NOT NULL AS unpriced
        FROM (SELECT *, reported IS NOT NULL AS is_reported, {keys} FROM asked_odd) AS a
        LEFT JOIN rates AS r ON {same_rate("a", "r")}
        """
    )
