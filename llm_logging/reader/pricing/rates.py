"""Rates by provider, model, date and tier: resolved once per kind of request, joined in SQL.

A price is linear in a request's tokens as long as its kind stays the same: provider, model, service tier, speed, other billed
units (searches, say), the time between two changes of the list, the step of the prompt's length, and which kinds of token it
has at all. So a rate is one number per request and one per kind of token, and the sum over requests equals the sum of
genai-prices' answers. The numbers are found from differences; an example, a model at 2 / 8 dollars and 0.5 for cached
tokens per million:

    price(prompt 24, cached 2, completion 24)        239 millionths        the sample
    price(prompt 25, cached 2, completion 24)        241                   prompt:      +2
    price(prompt 24, cached 3, completion 24)        237.5                 cached:      -1.5 (they are part of the prompt)
    price(prompt 24, cached 2, completion 25)        247                   completion:  +8
    constant = 239 - (24 x 2 + 2 x -1.5 + 24 x 8) =  2                     per request

A request whose counts contradict each other (more cached than prompt tokens), or that is billed by the second, has no such
rate and is priced by itself (`odd_price`). What the list has no rate for is never priced as something else: the rate names
it in `unpriced` (see `gaps`), and a cost by that rate is a lower bound, or unknown.

Money is `Decimal`; in SQL, whole numbers with a common number of decimals. Sources: the user's own file
(`overrides`), then genai-prices (https://github.com/pydantic/genai-prices).
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any, Final, NamedTuple

from .gaps import IMAGES_OVERLAP, Gaps, Mode, Units, gaps_of, list_units, own_gaps, units_in
from .listed import find_listed
from .overrides import Override

__all__ = ["KINDS", "Product", "Rate", "Usage", "odd_price", "resolve_rates", "update_prices"]

# The kinds of token that a price can depend on, as the columns of requests name them.
KINDS: Final = (
    "prompt_tokens",
    "completion_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "audio_prompt_tokens",
    "audio_completion_tokens",
    "reasoning_tokens",
    "image_prompt_tokens",
    "image_completion_tokens",
)
# Which of them a request may lack; the bits of a pattern, in this order.
OPTIONAL: Final = KINDS[2:]
# Decimals of a dollar; rates have at most 18 a million tokens.
_FINEST: Final = 24
_MILLION: Final = Decimal(1_000_000)
_DAY: Final = 86_400_000_000
FAR: Final = 2**62
_NONE: Final = Decimal(0)
_NOTHING: Final = (_NONE,) * len(KINDS)
EVER: Final = datetime(1, 1, 1, tzinfo=UTC)
NEVER: Final = datetime(9999, 12, 31, tzinfo=UTC)

Usage = Mapping[str, int | None]


class Product(NamedTuple):
    """A kind of request that may have a price of its own."""

    provider: str
    model: str
    service_tier: str
    speed: str
    units: str
    pattern: int


@dataclass(frozen=True, slots=True)
class Rate:
    """What requests of one kind cost, and when and for which prompts that holds.

    Attributes:
        product: Of which requests.
        since: Aware UTC.
        until: Aware UTC, no longer included.
        day_from: The time of day from which it holds, in microseconds, UTC.
        day_until: The time of day until which it holds.
        prompt_from: The shortest prompt, in tokens.
        prompt_until: The longest prompt.
        request: Dollars a request.
        tokens: Dollars a token, by `KINDS`; those of cached tokens are what they differ from ordinary ones.
        source: `override` or `genai-prices`.
        priced_as: Provider and model in the list.
        listed: What the list says: dollars a million tokens, by its own names.
        unpriced: What these requests use that has no rate, so that a cost is a lower bound; empty: nothing.
        priced: Whether anything of them has a rate; if not, their cost is unknown.
    """

    product: Product
    since: datetime
    until: datetime
    day_from: int
    day_until: int
    prompt_from: int
    prompt_until: int
    request: Decimal
    tokens: tuple[Decimal, ...]
    source: str
    priced_as: str
    listed: Mapping[str, str] = field(hash=False)
    unpriced: str = ""
    priced: bool = True


@dataclass(frozen=True, slots=True)
class _Listing:
    """A model in the price list, and at which moments and prompt lengths its price may change."""

    priced_as: str
    price: Callable[[Usage, Units, datetime], Decimal]
    gaps: Callable[[datetime, int, Units], Gaps]
    listed: Callable[[datetime, int], Mapping[str, str]]
    dates: tuple[datetime, ...]
    times: tuple[int, ...]
    steps: Callable[[datetime], tuple[int, ...]]


def _list_usage(usage: Usage) -> dict[str, int]:
    names = {
        "prompt_tokens": "input_tokens",
        "completion_tokens": "output_tokens",
        "cache_read_tokens": "cache_read_tokens",
        "cache_write_tokens": "cache_write_tokens",
        "cache_write_1h_tokens": "cache_write_1h_tokens",
        "audio_prompt_tokens": "input_audio_tokens",
        "audio_completion_tokens": "output_audio_tokens",
        "reasoning_tokens": "output_reasoning_tokens",
        "image_prompt_tokens": "input_image_tokens",
        "image_completion_tokens": "output_image_tokens",
    }
    return {names[kind]: count for kind, count in usage.items() if count is not None}


def _listing(product: Product) -> _Listing | None:
    """Look a product up in genai-prices; None where it is not listed."""
    from genai_prices import Usage as ListUsage
    from genai_prices import types

    found = find_listed(product.provider, product.model)
    if found is None:
        return None
    provider, model = found
    mode = Mode.of(product.service_tier, product.speed)
    conditions = [] if isinstance(model.prices, types.ModelPrice) else [p.constraint for p in model.prices]
    conditions += [variant.constraint for variant in model.price_variants or ()]
    dates: set[datetime] = set()
    times: set[int] = set()
    for condition in conditions:
        if isinstance(condition, types.StartDateConstraint):
            day = condition.start_date
            dates.add(datetime(day.year, day.month, day.day, tzinfo=UTC))
        elif isinstance(condition, types.TimeOfDateConstraint):
            times.update(_time_of_day(moment) for moment in (condition.start_time, condition.end_time))
    # What a provider takes over from another one's list has none of its variants.
    own = any(model is listed for listed in provider.models)
    variants = (model.price_variants or ()) if own else ()

    def resolved(moment: datetime) -> Any:
        return model.get_prices(moment, mode.context if own else None)

    def price(usage: Usage, units: Units, moment: datetime) -> Decimal:
        answer = model.calc_price(
            ListUsage(**_list_usage(usage), **{name: n for name, n in units.items() if name in list_units()}),
            provider,
            genai_request_timestamp=moment,
            price_context=mode.context or None,
        )
        total: Decimal = answer.total_price
        return total

    def gaps(moment: datetime, pattern: int, units: Units) -> Gaps:
        if (unlisted := mode.unlisted(variants, moment)) is not None:
            return Gaps((unlisted,), whole=True)
        return gaps_of(resolved(moment), provider.id, pattern, units)

    def steps(moment: datetime) -> tuple[int, ...]:
        tiered = [p for p in resolved(moment).__dict__.values() if isinstance(p, types.TieredPrices)]
        return tuple(sorted({tier.start for tiers in tiered for tier in tiers.tiers}))

    def listed(moment: datetime, prompt: int) -> Mapping[str, str]:
        names = {}
        for key, value in resolved(moment).__dict__.items():
            if value is None:
                continue
            rate = value
            if isinstance(value, types.TieredPrices):
                over = [tier.price for tier in value.tiers if prompt > tier.start]
                rate = over[-1] if over else value.base
            names[key.removesuffix("_mtok")] = format(rate, "f")
        return names

    return _Listing(
        priced_as=f"{provider.id}/{model.id}",
        price=price,
        gaps=gaps,
        listed=listed,
        dates=tuple(sorted(dates)),
        times=tuple(sorted(times)),
        steps=steps,
    )


def _time_of_day(moment: Any) -> int:
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    at = datetime(1970, 1, 1, aware.hour, aware.minute, aware.second, aware.microsecond, tzinfo=aware.tzinfo)
    return ((at.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)) % _DAY


def _own_price(rates: Mapping[str, Decimal], usage: Usage, units: Units) -> Decimal:
    """Price a request by the user's own rates."""
    count = {kind: usage.get(kind) or 0 for kind in KINDS}
    input_rate, output_rate = rates["input"], rates["output"]
    write = rates.get("cache_write", input_rate)
    parts = [
        (count["prompt_tokens"], input_rate),
        (count["cache_read_tokens"], rates.get("cache_read", input_rate) - input_rate),
        (count["cache_write_tokens"], write - input_rate),
        (count["cache_write_1h_tokens"], rates.get("cache_write_1h", write) - write),
        (count["audio_prompt_tokens"], rates.get("audio_input", input_rate) - input_rate),
        (count["image_prompt_tokens"], rates.get("image_input", input_rate) - input_rate),
        (count["completion_tokens"], output_rate),
        (count["audio_completion_tokens"], rates.get("audio_output", output_rate) - output_rate),
        (count["image_completion_tokens"], rates.get("image_output", output_rate) - output_rate),
        (count["reasoning_tokens"], rates.get("reasoning", output_rate) - output_rate),
    ]
    with localcontext() as context:
        context.prec = 60
        tokens = sum((number * rate for number, rate in parts), Decimal(0)) / _MILLION
        per_unit = sum(
            (Decimal(repr(n)) * rates.get(f"units.{name}", Decimal(0)) for name, n in units.items()),
            Decimal(0),
        )
        return tokens + per_unit + rates.get("request", Decimal(0))


def _own_listing(override: Override) -> _Listing:
    def listed(_moment: datetime, prompt: int) -> Mapping[str, str]:
        return {name: format(rate, "f") for name, rate in override.rates(prompt).items()}

    return _Listing(
        priced_as=f"{override.provider or '*'}/{override.model}",
        price=lambda usage, units, _moment: _own_price(
            override.rates(usage.get("prompt_tokens") or 0), usage, units
        ),
        gaps=lambda _moment, pattern, units: own_gaps(override.rates(0), pattern, units),
        listed=listed,
        dates=(),
        times=(),
        steps=lambda _moment: tuple(over for over, _ in override.steps if over >= 0),
    )


def _sample(pattern: int, prompt_over: int) -> dict[str, int]:
    """Return the counts of a request of a pattern, with room for one token more of each of its kinds."""
    sizes = {
        "cache_read_tokens": 2,
        "cache_write_tokens": 6,
        "cache_write_1h_tokens": 2,
        "audio_prompt_tokens": 2,
        "audio_completion_tokens": 2,
        "reasoning_tokens": 2,
        "image_prompt_tokens": 2,
        "image_completion_tokens": 2,
    }
    counts = {"prompt_tokens": max(prompt_over, 0) + 24, "completion_tokens": 24}
    for bit, kind in enumerate(OPTIONAL):
        if pattern >> bit & 1:
            counts[kind] = sizes[kind]
    if pattern & IMAGES_OVERLAP:
        counts["image_prompt_tokens"] = counts["prompt_tokens"] - 1
    return counts


def _slopes(
    price: Callable[[Usage], Decimal], pattern: int, prompt_over: int
) -> tuple[Decimal, tuple[Decimal, ...]] | None:
    """Return the constant and the slope per kind of token of a price, from differences; None where the list has no answer.

    The sample leaves room: one token more of any kind keeps the kind of request, so the price stays on one line.
    """
    base = _sample(pattern, prompt_over)
    with localcontext() as context:
        context.prec = 60
        try:
            at_base = price(base)
            slopes = [
                price({**base, kind: base[kind] + 1}) - at_base if kind in base else Decimal(0)
                for kind in KINDS
            ]
        except (ValueError, TypeError):
            # The list cannot price this combination of kinds, cached audio say.
            return None
        constant = at_base - sum(
            (base.get(kind, 0) * slope for kind, slope in zip(KINDS, slopes, strict=True)), Decimal(0)
        )
        return constant, tuple(slopes)


def resolve_rates(products: Iterable[Product], overrides: Sequence[Override]) -> list[Rate]:
    """Find the rates of kinds of request, at all times.

    Args:
        products: The kinds.
        overrides: The user's own rates.

    Returns:
        Rates that do not overlap; a kind that has none is unpriced.
    """
    found: list[Rate] = []
    listings: dict[tuple[str, ...], _Listing | None] = {}
    for product in products:
        kind = product[:4]
        if kind not in listings:
            listings[kind] = _listing(product)
        own = [override for override in overrides if override.fits(*kind)]
        found.extend(_rates_of(product, listings[kind], own))
    return found


def _rates_of(product: Product, listing: _Listing | None, own: Sequence[Override]) -> Iterable[Rate]:
    edges = {edge for override in own for edge in (override.since, override.until) if edge is not None}
    edges.update(listing.dates if listing is not None else ())
    inner = sorted(edge for edge in edges if EVER < edge <= NEVER)
    after = NEVER + timedelta(microseconds=1)
    for since, until in itertools.pairwise([EVER, *inner, after]):
        ours = next((override for override in reversed(own) if override.active(since)), None)
        chosen = _own_listing(ours) if ours is not None else listing
        if chosen is None:
            yield Rate(
                product,
                since,
                until,
                0,
                _DAY,
                0,
                FAR,
                _NONE,
                _NOTHING,
                "unpriced",
                "",
                {},
                "model",
                priced=False,
            )
            continue
        source = "override" if ours is not None else "genai-prices"
        for day_from, day_until in _spans([0, *(time for time in chosen.times if time), _DAY]):
            midnight = since.replace(hour=0, minute=0, second=0, microsecond=0)
            moment = midnight + timedelta(microseconds=day_from)
            for over, most in _spans([-1, *chosen.steps(moment), FAR]):
                yield Rate(
                    *(product, since, until, day_from, day_until, over + 1, most),
                    *_priced(product, chosen, moment, over, source),
                )


def _priced(
    product: Product, listing: _Listing, moment: datetime, over: int, source: str
) -> tuple[Decimal, tuple[Decimal, ...], str, str, Mapping[str, str], str, bool]:
    """Return what a rate says besides when it holds: prices, their source, and what they do not cover."""
    units = units_in(product.units)
    gaps = listing.gaps(moment, product.pattern, units)
    as_listed = (listing.priced_as, listing.listed(moment, over + 1))
    unpriced, found = gaps.text, None
    if not gaps.whole:
        found = _slopes(lambda usage: listing.price(usage, units, moment), product.pattern, over)
        # The list may have rates, but none for this combination of kinds: cached audio, say.
        unpriced = unpriced if found is not None else "combination of tokens"
    if found is None:
        return _NONE, _NOTHING, source, *as_listed, unpriced, False
    request, slopes = _rounded(found[0]), found[1]
    rate = dict(zip(KINDS, slopes, strict=True))
    for kind, whole in gaps.tokens.items():
        # What these tokens cost is not known; they are taken out of those that are.
        rate[kind] = -rate[whole]
    return request, tuple(rate.values()), source, *as_listed, unpriced, True


def _spans(edges: Sequence[int]) -> list[tuple[int, int]]:
    return list(itertools.pairwise(edges))


def odd_price(
    product: Product, moment: datetime, usage: Usage, overrides: Sequence[Override]
) -> Decimal | None:
    """Price one request whose counts contradict each other; None where the list refuses it.

    Args:
        product: Its kind.
        moment: When it started, aware UTC.
        usage: Its tokens; None for what is not known.
        overrides: The user's own rates.
    """
    fitting = [override for override in overrides if override.fits(*product[:4]) and override.active(moment)]
    listing = _own_listing(fitting[-1]) if fitting else _listing(product)
    if listing is None:
        return None
    units = units_in(product.units)
    if listing.gaps(moment, product.pattern, units):
        return None
    try:
        price = _rounded(listing.price(usage, units, moment))
    except (ValueError, TypeError):
        return None
    return price if price >= 0 else None


def _rounded(price: Decimal) -> Decimal:
    """Round what no decimals write: a second costs a part of an hour. What has fewer decimals stays as it is."""
    exponent = price.as_tuple().exponent
    if not isinstance(exponent, int) or exponent >= -_FINEST:
        return price
    with localcontext() as context:
        context.prec = 100
        return price.quantize(Decimal(1).scaleb(-_FINEST))


def decimals_of(rates: Iterable[Rate]) -> int:
    """Return with how many decimals a dollar all rates are whole numbers."""
    most = 6
    for rate in rates:
        for value in (rate.request, *rate.tokens):
            exponent = value.normalize().as_tuple().exponent
            most = max(most, -exponent if isinstance(exponent, int) else 0)
    return most


def merged(rates: Sequence[Rate]) -> list[Rate]:
    """Join rates that follow each other in time and cost the same."""
    joined: list[Rate] = []
    for rate in rates:
        last = joined[-1] if joined else None
        if last is not None and replace(rate, since=last.since) == replace(last, until=rate.until):
            joined[-1] = replace(last, until=rate.until)
        else:
            joined.append(rate)
    return joined


def list_version() -> str | None:
    """Return the version of the price list in use; None where there is none.

    It is the version of the package, and, where this process fetched a newer list, the moment of that.
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        installed = version("genai-prices")
    except PackageNotFoundError:
        return None
    # A list that was not loaded is the installed one.
    loaded = sys.modules.get("genai_prices.data_snapshot")
    # Another thread may be loading it now.
    current = getattr(loaded, "get_snapshot", None)
    snapshot = current() if current is not None else None
    if snapshot is None or not snapshot.from_auto_update:
        return installed
    return f"{installed}, updated {snapshot.timestamp.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def update_prices() -> None:
    """Fetch the newest price list over the network, for this process; nothing else here uses the network."""
    from genai_prices import UpdatePrices

    with UpdatePrices() as update:
        update.wait()
