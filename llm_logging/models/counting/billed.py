"""What a response is billed for beside text tokens: image tokens, and units such as searches, pages and seconds.

Units have the names of genai-prices (https://github.com/pydantic/genai-prices) where it has one, so that the reader can
price them; what it does not know is recorded all the same, since a cost without it is a lower bound. What providers do
not charge for (web fetches, opened pages) is no unit.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from .names import DETAILS, MODALITIES_COMPLETION, MODALITIES_PROMPT
from .sdk_objects import first, mapping, text, whole_number
from .token_counts import in_snake_case

__all__ = [
    "amount_of",
    "billed_beside",
    "billed_in_response",
    "billed_in_usage",
    "costs_in_usage",
    "tier_in_usage",
    "with_terms",
]

Units = dict[str, int | float]

# xAI counts money in ticks; ten thousand million of them are one US dollar (docs.x.ai, "cost_in_usd_ticks").
_TICKS_PER_DOLLAR: Final = Decimal(10) ** 10
# Where any amount is to be found in a usage object; most have none.
_MONEY: Final = frozenset({"cost", "cost_in_usd_ticks", "estimated_cost", "pydantic_ai_gateway"})

# Counts in a usage object, or one level below it, by the unit that they are.
_IN_USAGE: Final = {
    "web_search_requests": "web_searches",
    "web_search_calls": "web_searches",
    "num_search_queries": "web_searches",
    "x_search_calls": "social_searches",
    "file_search_calls": "storage_searches",
    "document_search_calls": "storage_searches",
    "collections_search_calls": "storage_searches",
    "code_interpreter_calls": "code_executions",
    "num_sources_used": "live_search_sources",
    "citation_tokens": "output_citation_tokens",
    "search_units": "rerank_searches",
    "pages_processed": "input_document_pages",
    "seconds": "audio_seconds",
    "prompt_audio_seconds": "audio_seconds",
}
_HOLDERS: Final = ("server_tool_use", "server_side_tool_usage_details", "billed_units")
# Output items of OpenAI's Responses API that are billed per call; of searches only those that searched.
_CALLS: Final = {
    "web_search_call": "web_searches",
    "file_search_call": "storage_searches",
    "code_interpreter_call": "code_executions",
    "image_generation_call": "images",
}
_CACHE_LISTS: Final = ("cache_tokens_details",)
_NAMED: Final = frozenset(
    {
        *_IN_USAGE,
        *_HOLDERS,
        *itertools.chain(*DETAILS),
        *MODALITIES_PROMPT,
        *MODALITIES_COMPLETION,
        *_CACHE_LISTS,
        "speed",
    }
)


def billed_in_usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    """Read what a usage object counts beside text tokens.

    Args:
        usage: The provider's object, plain values.

    Returns:
        Fields of `Usage`: `image_prompt_tokens`, `image_completion_tokens`, `units`, `speed`; what is 0 or standard is left
        out.
    """
    usage = in_snake_case(usage)
    if _NAMED.isdisjoint(usage):
        # Asked for every response, and most state nothing but tokens.
        return {}
    prompt, completion = _modalities(usage, MODALITIES_PROMPT), _modalities(usage, MODALITIES_COMPLETION)
    given, made = (mapping(first(usage, *names)) for names in DETAILS)
    units: Units = {}
    for holder in (usage, *(mapping(usage[name]) for name in _HOLDERS if name in usage)):
        if not _IN_USAGE.keys().isdisjoint(holder):
            for name, unit in _IN_USAGE.items():
                _add(units, unit, holder.get(name))
    _add(units, "input_video_tokens", prompt.get("VIDEO"), given.get("video_tokens"))
    _add(units, "output_video_tokens", completion.get("VIDEO"), made.get("video_tokens"))
    cached, parts = _modalities(usage, _CACHE_LISTS), mapping(given.get("cached_tokens_details"))
    for name in ("audio", "image", "video") if cached or parts else ():
        _add(units, f"cache_{name}_read_tokens", cached.get(name.upper()), parts.get(f"{name}_tokens"))
    found: dict[str, Any] = {
        "image_prompt_tokens": _count(prompt.get("IMAGE"), given.get("image_tokens"), given.get("image")),
        "image_completion_tokens": _count(
            completion.get("IMAGE"), made.get("image_tokens"), made.get("image")
        ),
        "units": units,
        "speed": _not_standard(usage.get("speed")),
    }
    return {name: value for name, value in found.items() if value}


def billed_beside(
    counts: Mapping[str, int], usage: Mapping[str, Any], billed: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return what goes with the counts of a usage object; images that are more than their whole are left out.

    Args:
        counts: Its tokens, normalised.
        usage: The provider's object, plain values.
        billed: What the response shows that its usage does not count; see `billed_in_response`.
    """
    billed, found = billed or {}, billed_in_usage(usage)
    units = {**billed.get("units", {}), **found.pop("units", {})}
    found = {**billed, **found, **({"units": units} if units else {})}
    for name, whole in (
        ("image_prompt_tokens", "prompt_tokens"),
        ("image_completion_tokens", "completion_tokens"),
    ):
        if found.get(name, 0) > counts.get(whole, 0):
            del found[name]
    return found


def billed_in_response(values: Mapping[str, Any]) -> dict[str, Any]:
    """Read what a response, or an event of a stream, shows that its usage does not count: calls of hosted tools, pages.

    Returns:
        As `billed_in_usage`.
    """
    units: Units = {}
    output = values.get("output")
    if values.get("object") == "response" and isinstance(output, (list, tuple)):
        _calls(units, [mapping(item) for item in output])
    candidates = values.get("candidates")
    for candidate in candidates if isinstance(candidates, (list, tuple)) else ():
        grounding = mapping(first(mapping(candidate), "groundingMetadata", "grounding_metadata"))
        queries = first(grounding, "webSearchQueries", "web_search_queries")
        if isinstance(queries, (list, tuple)):
            _add(units, "web_searches", len(queries))
    _pages(units, values)
    searches = mapping(mapping(values.get("meta")).get("billed_units")).get("search_units")
    _add(units, "rerank_searches", searches)
    data = values.get("data")
    if "usage" not in values and isinstance(data, (list, tuple)) and _are_images(data):
        _add(units, "images", len(data))
    if values.get("task") in {"transcribe", "translate"} and "usage" not in values:
        _add(units, "audio_seconds", _seconds(values.get("duration")))
    speed = _not_standard(mapping(values.get("performanceConfig")).get("latency"))
    return {**({"units": units} if units else {}), **({"speed": speed} if speed else {})}


def _calls(units: Units, items: list[Mapping[str, Any]]) -> None:
    containers = set()
    for item in items:
        unit = _CALLS.get(str(item.get("type")))
        if unit == "code_executions":
            # Billed per container, which serves several calls.
            containers.add(item.get("container_id") or item.get("id"))
        elif unit is not None and mapping(item.get("action")).get("type", "search") in {
            "search",
            "generate",
            "edit",
            "auto",
        }:
            _add(units, unit, 1)
    _add(units, "code_executions", len(containers))


def _pages(units: Units, values: Mapping[str, Any]) -> None:
    """Read the pages of Mistral's OCR, which are dearer where they were annotated too."""
    pages = mapping(values.get("usage_info")).get("pages_processed")
    annotated = values.get("document_annotation") is not None
    _add(units, "input_annotated_document_pages" if annotated else "input_document_pages", pages)


def _are_images(data: list[Any] | tuple[Any, ...]) -> bool:
    return bool(data) and all("b64_json" in mapping(one) or "url" in mapping(one) for one in data)


def _seconds(value: Any) -> Any:
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return None


def _modalities(usage: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, int]:
    found: dict[str, int] = {}
    details = first(usage, *names)
    for detail in details if isinstance(details, (list, tuple)) else ():
        part = mapping(detail)
        kind = part.get("modality")
        number = whole_number(first(part, "tokenCount", "token_count"))
        if number:
            name = str(getattr(kind, "value", kind)).upper()
            found[name] = found.get(name, 0) + number
    return found


def _count(*values: Any) -> int | None:
    return next((number for value in values if (number := whole_number(value)) is not None), None)


def _add(units: Units, name: str, *values: Any) -> None:
    """Add the first of the values that is a number above 0."""
    for value in values:
        usable = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= 2**53
        if usable:
            number = int(value) if float(value).is_integer() else value
            units[name] = units.get(name, 0) + number
            return


def _not_standard(value: Any) -> str | None:
    found = text(value)
    return None if found is None or found.lower() in {"standard", "default", "normal"} else found


def tier_in_usage(usage: Mapping[str, Any]) -> str | None:
    """Return the service tier that a provider's usage object names (Anthropic, Gemini)."""
    return text(first(usage, "service_tier", "serviceTier", "service_tiers", "trafficType", "traffic_type"))


def amount_of(value: Any) -> Decimal | None:
    """Return an amount of money as an exact decimal; None where it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    try:
        number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    except InvalidOperation:
        return None
    return number if number.is_finite() and number >= 0 else None


def costs_in_usage(usage: Mapping[str, Any]) -> Iterator[tuple[Decimal, str]]:
    """Find what a provider's usage object says the response costs in US dollars.

    Yields:
        The amount and who states it, the most telling first.
    """
    if _MONEY.isdisjoint(usage):
        return
    cost = usage.get("cost")
    if isinstance(cost, Mapping):
        # Perplexity itemises.
        found = [(amount_of(cost.get("total_cost")), "provider")]
    else:
        amount = amount_of(cost)
        found = [(amount, "provider")]
        if amount is not None and usage.get("is_byok"):
            # With a key of one's own OpenRouter charges a fee only; the rest is on the upstream provider's bill.
            upstream = amount_of(mapping(usage.get("cost_details")).get("upstream_inference_cost"))
            if upstream is not None:
                found = [(amount + upstream, "provider+upstream")]
    ticks = amount_of(usage.get("cost_in_usd_ticks"))
    found.append((None if ticks is None else ticks / _TICKS_PER_DOLLAR, "provider"))
    found.append((amount_of(usage.get("estimated_cost")), "provider"))
    found.append((amount_of(mapping(usage.get("pydantic_ai_gateway")).get("cost_estimate")), "gateway"))
    yield from ((amount, source) for amount, source in found if amount is not None)


def with_terms(entry: Mapping[str, Any], usage: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry with the tier and the cost that its provider's usage object states; what the entry says itself wins.

    Args:
        entry: Field names to values; not changed.
        usage: The provider's object.
    """
    found: dict[str, Any] = {}
    if entry.get("service_tier") is None and (tier := tier_in_usage(usage)) is not None:
        found["service_tier"] = tier
    if entry.get("cost") is None and (cost := next(costs_in_usage(usage), None)) is not None:
        found["cost"] = {"amount": format(cost[0], "f"), "currency": "USD", "source": cost[1]}
    return {**entry, **found}
