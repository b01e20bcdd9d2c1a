"""What a price list has no rate for: the mode that served a request, or something that it was billed for.

A request whose tier or speed has no rate is not priced at the standard rate, which may be half or twice of what was paid:
its cost is unknown. One that used something without a rate, web searches say, or whose counts are not all known, costs at
least what the rest of it does. Of tokens in another form than text: images in a prompt cost what its other tokens do
where no rate says otherwise, so do audio and video at Google; audio elsewhere, and images that were made, never do.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any, Final

__all__ = [
    "IMAGES_OVERLAP",
    "NO_COMPLETION",
    "NO_PROMPT",
    "Gaps",
    "Mode",
    "Units",
    "gaps_of",
    "list_units",
    "own_gaps",
    "units_in",
]

Units = Mapping[str, int | float]

# Bits of a pattern besides those of the kinds of token: unknown counts, and a prompt whose images may be cached.
NO_PROMPT: Final = 1 << 16
NO_COMPLETION: Final = 1 << 17
IMAGES_OVERLAP: Final = 1 << 18
# The bits of kinds, as `pricing.OPTIONAL` orders them.
_AUDIO_PROMPT: Final = 1 << 3
_AUDIO_COMPLETION: Final = 1 << 4
_IMAGE_COMPLETION: Final = 1 << 7

_STANDARD: Final = frozenset(
    [
        "default",
        "standard",
        "auto",
        "on_demand",
        "on-demand",
        "ondemand",
        "standard_only",
        "normal",
        "regular",
        "unspecified",
        "service_tier_unspecified",
        "traffic_type_unspecified",
    ]
)
# How providers name the tiers that the list calls otherwise.
_TIERS: Final = {
    "batch_api": "batch",
    "batches": "batch",
    "flex_processing": "flex",
    "on_demand_flex": "flex",
    "on_demand_priority": "priority",
    "priority_processing": "priority",
}


@dataclass(frozen=True, slots=True)
class Mode:
    """What served a request, as the list asks for it.

    Attributes:
        context: What genai-prices chooses variants of a price by.
        special: What is not standard about it: how it is called, and which parts of the context are rates for it.
    """

    context: Mapping[str, str]
    special: Mapping[str, frozenset[tuple[str, str]]]

    @classmethod
    def of(cls, service_tier: str, speed: str) -> Mode:
        """Read a tier and a speed as providers write them."""
        context: dict[str, str] = {}
        special: dict[str, frozenset[tuple[str, str]]] = {}
        tier = service_tier.strip().lower()
        tier = _TIERS.get(tier, tier)
        if tier and tier not in _STANDARD:
            context["service_tier"] = tier
            named = {("service_tier", tier)}
            if tier == "batch":
                # Providers report a batch as a service tier; the list calls it a way of processing.
                context["processing"] = tier
                named.add(("processing", tier))
            special[f"service tier {tier}"] = frozenset(named)
        fast = speed.strip().lower()
        if fast and fast not in _STANDARD:
            context["speed"] = fast
            special[f"speed {fast}"] = frozenset({("speed", fast)})
        return cls(context, special)

    def unlisted(self, variants: Iterable[Any], moment: datetime) -> str | None:
        """Say what of the mode no active variant of a price is for; None where one is for all of it."""
        if not self.special:
            return None
        for variant in variants:
            active = variant.constraint is None or variant.constraint.active(moment)
            when = set(variant.when.items())
            if active and when <= self.context.items() and all(when & one for one in self.special.values()):
                return None
        return ", ".join(self.special)


@dataclass(frozen=True, slots=True)
class Gaps:
    """What has no rate.

    Attributes:
        names: How it is called.
        whole: Nothing of the request has one.
        tokens: Kinds of token among it, and of which other kind they are a part.
    """

    names: tuple[str, ...] = ()
    whole: bool = False
    tokens: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """All names."""
        return ", ".join(self.names)

    def __bool__(self) -> bool:
        return bool(self.names)


@cache
def list_units() -> Mapping[str, str]:
    """Return what genai-prices can count, and the name of its rate."""
    from genai_prices.data_units import unit_data

    return {name: str(unit["price_key"]) for name, unit in unit_data.items()}


def units_in(text: str) -> dict[str, int | float]:
    """Read `usage.units` as a line has it; what cannot be read is one unit that has no rate."""
    if not text:
        return {}
    try:
        found = json.loads(text)
        items = found.items()
    except (ValueError, AttributeError, RecursionError):
        return {"units": 1}
    usable = {
        name: n for name, n in items if isinstance(n, (int, float)) and not isinstance(n, bool) and n > 0
    }
    return usable if len(usable) == len([n for _, n in items if n != 0]) else {**usable, "units": 1}


def gaps_of(prices: Any, provider: str, pattern: int, units: Units) -> Gaps:
    """Say what of a request a price of genai-prices does not cover.

    Args:
        prices: The `ModelPrice` that holds at its time and in its mode.
        provider: In the list.
        pattern: Which kinds of token it has; see `costs`.
        units: What else it is billed for.
    """
    rates = {name for name, value in prices.__dict__.items() if value is not None and value != 0}
    if not rates:
        # Free, or part of a subscription.
        return Gaps(tuple(_unlisted_units(rates, units)))
    names: list[str] = []
    tokens: dict[str, str] = {}
    if pattern & NO_PROMPT and "input_mtok" in rates:
        names.append("prompt_tokens")
    if pattern & NO_COMPLETION and "output_mtok" in rates:
        names.append("completion_tokens")
    if pattern & _AUDIO_PROMPT and "input_audio_mtok" not in rates and provider != "google":
        names.append("audio_prompt_tokens")
        tokens["audio_prompt_tokens"] = "prompt_tokens"
    if pattern & _AUDIO_COMPLETION and "output_audio_mtok" not in rates:
        names.append("audio_completion_tokens")
        tokens["audio_completion_tokens"] = "completion_tokens"
    # A model that takes images at a rate of their own and has one rate for its output makes nothing but images.
    if pattern & _IMAGE_COMPLETION and not rates & {"output_image_mtok", "input_image_mtok"}:
        names.append("image_completion_tokens")
        tokens["image_completion_tokens"] = "completion_tokens"
    names += _unlisted_units(rates, units)
    return Gaps(tuple(names), tokens=tokens)


def _unlisted_units(rates: set[str], units: Units) -> list[str]:
    listed = list_units()
    # Tokens of a form without a rate of its own cost what the others do.
    covered = {name for name in units if name.endswith("_tokens") and name in listed}
    missing = [name for name in units if name not in covered and listed.get(name) not in rates]
    if not rates & {"input_mtok", "output_mtok"}:
        # Priced by the second, page or character alone: without that count nothing is known of the price.
        basis = {
            unit: key
            for unit, key in listed.items()
            if key in rates and not unit.endswith(("searches", "requests"))
        }
        if basis and not basis.keys() & units.keys():
            missing.append(min(basis, key=len))
    return missing


def own_gaps(rates: Mapping[str, Decimal], pattern: int, units: Units) -> Gaps:
    """Say what of a request the user's own rates do not cover; tokens of every form cost what `input` and `output` say."""
    names = [f"{name}_tokens" for bit, name, rate in _SIDES if pattern & bit and rates[rate]]
    names += [name for name in units if f"units.{name}" not in rates and not name.endswith("_tokens")]
    return Gaps(tuple(names))


_SIDES: Final = ((NO_PROMPT, "prompt", "input"), (NO_COMPLETION, "completion", "output"))
