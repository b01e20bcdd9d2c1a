"""Which rate was used for which requests: the receipt behind every cost."""

# ruff: noqa: S608  what is put into the query is a number of ours

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Unpack

from ..models.query import StatsOptions, StatsScope
from ..models.stats import PriceReport, PriceUse
from .answer.plan import Reading, make_plan
from .answer.session import Session, open_plan, run_session
from .lines.arguments import ReadingOptions, check_keywords
from .pricing.rates import FAR, Rate, list_version
from .sql.aggregate import PART, amount_of, money_text, sum_of

__all__ = ["get_prices", "price_report_of"]


def get_prices(
    scope: StatsScope | Mapping[str, Any] | None = None,
    options: StatsOptions | Mapping[str, Any] | None = None,
    **reading: Unpack[ReadingOptions],
) -> PriceReport:
    """Return which rates the costs of a scope come from, their source and its version.

    Example:
        >>> [(use.model, use.source, use.rates["input"], use.cost) for use in llm_logging.get_prices(root="var/llm").uses]
        [('gpt-4o', 'genai-prices', '2.5', '3.1')]

    Args:
        scope: Which requests; None: all.
        options: Period and filters; groups do not matter.
        **reading: `root`, `files` and the other keywords of `get_stats`.

    Returns:
        One use a rate, the dearest first, then what is unpriced.

    Raises:
        What `get_stats` raises.
    """
    check_keywords("get_prices", reading)
    plan = make_plan(StatsScope.of(scope, "scope"), StatsOptions.of(options, "options"), Reading(**reading))
    plan = plan.ungrouped()
    with ExitStack() as stack:
        return run_session(plan, open_plan(plan, stack), stack, price_report_of)


def price_report_of(made: Session, source: str = "priced") -> PriceReport:
    """Return the rates that the priced requests of a session have.

    Args:
        made: The session.
        source: Its requests, as `priced` has them.
    """
    rates_file = made.plan.rates_file
    return PriceReport(
        version=list_version(),
        overrides=str(rates_file) if rates_file is not None else None,
        uses=_uses(made, source),
    )


def _uses(made: Session, source: str) -> list[PriceUse]:
    rows = made.db.execute(
        f"""
        SELECT price_provider, price_model, price_tier, price_speed, price_units, rate_no, currency, gap,
            CASE WHEN reported IS NOT NULL THEN 'reported' WHEN unpriced AND estimated IS NULL THEN 'unpriced'
                ELSE 'listed' END AS way,
            count(*), sum(trunc(reported)), sum(reported % 1), sum(estimated // {PART}), sum(estimated % {PART}),
            min(started), max(started)
        FROM {source} WHERE is_counted OR unpriced OR reported IS NOT NULL GROUP BY ALL
        """
    ).fetchall()
    merged: dict[tuple[Any, ...], PriceUse] = {}
    costs: dict[tuple[Any, ...], Decimal | None] = {}
    for *product, rate_no, currency, gap, way, count, whole, rest, high, low, first, last in rows:
        rate = made.costs.rates[rate_no] if rate_no is not None else None
        cost = sum_of(whole, rest) if way == "reported" else amount_of(high, low, made.costs.scale)
        # Rates that differ only in which kinds of token a request has are one rate to people.
        shown = (rate.day_from, rate.prompt_from, *rate.listed.items()) if rate is not None else ()
        key = (*product, way, currency, gap, *shown)
        use = merged.setdefault(key, _use(product, way, currency, gap, rate))
        use.requests += count
        use.first_request = _earlier(use.first_request, first)
        use.last_request = _later(use.last_request, last)
        costs[key] = sum_of(costs.get(key), cost)
    for key, use in merged.items():
        use.cost = money_text(costs.get(key) or (None if use.unpriced else costs.get(key)))
    return [
        use
        for key, use in sorted(
            merged.items(),
            key=lambda item: (item[1].source == "unpriced", -(costs[item[0]] or Decimal(0)), str(item[0])),
        )
    ]


def _use(product: Sequence[str], way: str, currency: str, gap: str | None, rate: Rate | None) -> PriceUse:
    provider, model, tier, speed, units = (name or None for name in product)
    source = way if way != "listed" else rate.source if rate is not None else "genai-prices"
    return PriceUse(
        provider=provider,
        model=model,
        priced_as=(rate.priced_as or None) if rate is not None else None,
        source=source,
        rates=dict(rate.listed) if rate is not None else {},
        unpriced=gap,
        service_tier=tier,
        speed=speed,
        units=units,
        input_tier=max(rate.prompt_from - 1, 0) if rate is not None else 0,
        valid=_valid(rate) if rate is not None else None,
        currency=currency if way == "reported" else "USD",
    )


def _valid(rate: Rate) -> str:
    day = 86_400_000_000
    parts = []
    if (rate.day_from, rate.day_until) != (0, day):
        parts.append(f"{_clock(rate.day_from)}-{_clock(rate.day_until)} UTC")
    if rate.prompt_until != FAR:
        parts.append(f"prompts up to {rate.prompt_until} tokens")
    if rate.prompt_from > 0:
        parts.append(f"prompts over {rate.prompt_from - 1} tokens")
    return ", ".join(parts) or "always"


def _clock(micros: int) -> str:
    minutes = micros // 60_000_000
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _earlier(known: datetime | None, other: datetime | None) -> datetime | None:
    moment = other.replace(tzinfo=UTC) if other is not None else None
    return moment if known is None or (moment is not None and moment < known) else known


def _later(known: datetime | None, other: datetime | None) -> datetime | None:
    moment = other.replace(tzinfo=UTC) if other is not None else None
    return moment if known is None or (moment is not None and moment > known) else known
