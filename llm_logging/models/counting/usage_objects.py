"""Find the usage object of a provider in what an application has: a response, an SDK's object, or the usage itself.

`usage_of` finds it in a response, `as_usage` in anything that stands where a usage is expected. `is_unread` and `misread`
say what of it is not understood.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

from pydantic_core import PydanticCustomError

from .billed import billed_beside, billed_in_usage
from .names import COMPLETION, COUNTS, GROUPS, NOT_A_USAGE, OTHER_UNITS, PARTS, PROMPT, TOTAL, snake_case
from .rule_errors import rule_broken
from .sdk_objects import first, mapping, plain, shallow, whole_number
from .token_counts import in_snake_case, normalise_counts

__all__ = [
    "as_usage",
    "counts_tokens",
    "from_provider",
    "holds_number",
    "is_unit",
    "is_unread",
    "is_usage",
    "misread",
    "usage_fields",
    "usage_of",
]

_NAMES: Final = COUNTS | PARTS | GROUPS | frozenset(TOTAL)
_PICKED: Final = COUNTS | PARTS | frozenset(TOTAL)
_USAGE_NAMES: Final = ("usage", "usageMetadata", "usage_metadata", "token_usage")
# Counts that native APIs state among the fields of the response, each enough by itself.
_AT_THE_TOP: Final = frozenset(
    {"prompt_eval_count", "eval_count", "generation_token_count", "tokens_predicted"}
)
# What holds counts next to durations: Bedrock, llama.cpp, SGLang, Replicate, LM Studio.
_METRICS: Final = ("amazon-bedrock-invocationMetrics", "timings", "meta_info", "metrics", "stats")


def usage_of(values: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the provider's usage object, wherever this kind of response keeps it.

    Args:
        values: A response, or an event of a stream.
    """
    other = None
    for name in _USAGE_NAMES:
        found = mapping(values.get(name))
        if found:
            if counts_tokens(found):
                return found
            other = other or found
    groq = mapping(mapping(values.get("x_groq")).get("usage"))
    if groq:
        return groq
    choices = values.get("choices")
    if isinstance(choices, (list, tuple)) and choices:
        # Moonshot puts a stream's usage into its last choice.
        found = mapping(mapping(choices[0]).get("usage"))
        if found:
            return found
    meta = mapping(values.get("meta"))
    if "billed_units" in meta or "tokens" in meta:
        return meta
    return _native_usage(values) or other


def _native_usage(values: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if "inputTextTokenCount" in values:
        return _titan(values)
    details = mapping(values.get("details"))
    if "generated_tokens" in details:
        # Text Generation Inference: the prompt's length is there in streams, its tokens on request.
        known = _counts_in(details)
        prefill = details.get("prefill")
        if isinstance(prefill, list) and prefill:
            known.setdefault("input_length", len(prefill))
        return known
    found = _counts_in(values)
    if not found.keys().isdisjoint(_AT_THE_TOP) or (
        {snake_case(name) for name in found} & COUNTS and not is_usage(values) and len(found) > 1
    ):
        return found
    results = values.get("results")
    if isinstance(results, (list, tuple)) and results:
        found = _added_up(results)
        if found:
            return found
    for name in _METRICS:
        found = _counts_in(mapping(values.get(name)))
        if found:
            return found
    return _vertex(values)


def _titan(values: Mapping[str, Any]) -> dict[str, Any]:
    results = values.get("results")
    made = [whole_number(mapping(result).get("tokenCount")) for result in results or ()]
    counted = [count for count in made if count is not None]
    total = values.get("totalOutputTextTokenCount")
    found = {"inputTextTokenCount": values["inputTextTokenCount"]}
    if total is not None or counted:
        found["outputTextTokenCount"] = total if total is not None else sum(counted)
    return {name: value for name, value in found.items() if value is not None}


def _added_up(results: Sequence[Any]) -> dict[str, Any]:
    """Return the counts of several answers to one prompt (watsonx, KoboldCpp)."""
    total: dict[str, Any] = {}
    for result in results:
        for name, value in _counts_in(mapping(result)).items():
            number = whole_number(value)
            if name not in total:
                total[name] = value
            elif number is not None and snake_case(name) in COMPLETION:
                total[name] = (whole_number(total[name]) or 0) + number
    return total


def _vertex(values: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what Vertex's `:predict` counts: per response, or per embedding."""
    tokens = mapping(mapping(values.get("metadata")).get("tokenMetadata"))
    found = {
        name: mapping(tokens[name]).get("totalTokens")
        for name in ("inputTokenCount", "outputTokenCount")
        if name in tokens
    }
    if found:
        return found
    for name in ("predictions", "embeddings"):
        items = values.get(name)
        if isinstance(items, (list, tuple)):
            made = [mapping(item) for item in items]
            stated = [mapping(mapping(item.get("embeddings", item)).get("statistics")) for item in made]
            numbers = [whole_number(first(one, "token_count", "tokenCount")) for one in stated]
            known = [number for number in numbers if number is not None]
            if known:
                return {"prompt_token_count": sum(known)}
    return None


def _counts_in(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in values.items()
        if value is not None and isinstance(name, str) and snake_case(name) in _PICKED
    }


def counts_tokens(usage: Mapping[str, Any]) -> bool:
    """Say whether a usage object names any count of tokens at all."""
    return any(snake_case(name) in _NAMES for name in usage if isinstance(name, str))


def is_usage(values: Mapping[str, Any]) -> bool:
    """Say whether a mapping is itself a usage object, and not a response.

    So is the answer of a token counter, `{"input_tokens": 12}`; whether that was spent, the caller knows.
    """
    if not NOT_A_USAGE.isdisjoint(values):
        return False
    if "input_tokens" in values and (len(values) == 1 or values.get("object") == "response.input_tokens"):
        return True
    if mapping(values.get("billed_units")):
        # Cohere's counts are one level below.
        return True
    names = {snake_case(name) for name in values if isinstance(name, str)}
    if names.isdisjoint(PROMPT):
        return False
    return not names.isdisjoint(COMPLETION) or {"prompt_token_count", "total_token_count"} <= names


def is_unit(usage: Mapping[str, Any]) -> bool:
    """Say whether a usage object states only units other than tokens: seconds, searches, a total without parts."""
    return in_snake_case(usage).keys() <= OTHER_UNITS or bool(mapping(usage.get("billed_units")))


def is_unread(usage: Mapping[str, Any]) -> bool:
    """Say whether a usage object holds numbers of which none is understood, under names that are not known.

    Args:
        usage: Plain values.
    """
    return not normalise_counts(usage) and holds_number(in_snake_case(usage), OTHER_UNITS)


def holds_number(value: Any, known: Container[str] = ()) -> bool:
    """Say whether there is a number other than zero in a value, at any depth.

    Args:
        value: Plain values.
        known: Names whose values are passed over.
    """
    if isinstance(value, Mapping):
        return any(holds_number(item, known) for name, item in value.items() if name not in known)
    if isinstance(value, (list, tuple)):
        return any(holds_number(item, known) for item in value)
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value != 0


def misread(usage: Mapping[str, Any]) -> list[str]:
    """Return the names of counts whose values are no counts."""
    return [
        name
        for name, value in usage.items()
        if value is not None
        and isinstance(name, str)
        and snake_case(name) in COUNTS | PARTS
        and not isinstance(value, Mapping)
        and whole_number(value) is None
    ]


def as_usage(value: Any) -> dict[str, Any] | None:
    """Return what stands where a usage is expected as the plain values of a usage; None where it is none.

    Args:
        value: An SDK's usage object or response: a mapping, model, message, dataclass, named tuple or any object that
            stores its fields or has `model_dump`.
    """
    for read in (_stored, _dumped):
        values = read(value)
        if not values:
            continue
        if normalise_counts(values):
            return values
        inner = usage_of(values)
        if inner and normalise_counts(inner):
            return dict(inner)
        if is_unread(values):
            return values
    return None


def _stored(value: Any) -> dict[str, Any] | None:
    return plain(value) if shallow(value) else None


def _dumped(value: Any) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = plain(value.model_dump(exclude_none=True))
    except Exception:  # noqa: BLE001  not an SDK's object, or one that fails
        return None
    return found if isinstance(found, dict) else None


def usage_fields(given: Mapping[str, Any], fields: Container[str]) -> dict[str, Any]:
    """Bring a usage into the fields of `Usage`, whether it is written in these or as a provider states it.

    Args:
        given: The fields of `Usage`, a provider's usage object, or both mixed: then the fields win.
        fields: The names of the fields.
    """
    own = {name: value for name, value in given.items() if name in fields}
    others = {name: value for name, value in given.items() if name not in fields and value is not None}
    if not others:
        return own
    raw = own.get("raw")
    if raw is not None or own.get("source") is not None:
        own["raw"] = {**others, **(raw if isinstance(raw, Mapping) else {} if raw is None else {"raw": raw})}
        return own
    wrong = misread(others)
    if wrong:
        raise rule_broken("expected whole numbers >= 0", *wrong)
    found = as_usage(given)
    counts = {} if found is None else normalise_counts(found)
    if found is None or not counts:
        stated = [name for name, value in own.items() if value is not None]
        if not stated and not is_unit(others):
            names = ", ".join(sorted(map(str, others))[:8])
            raise rule_broken(
                f"expected prompt_tokens and completion_tokens, or a provider's usage, got {names}"
            )
    elif found.keys() - own.keys() and counts_tokens(
        {name: found[name] for name in found.keys() - own.keys()}
    ):
        # A value that is no count is left to the check of its field.
        return {**billed_beside(counts, found), **own, **counts, "source": "provider", "raw": found}
    return {**billed_in_usage(others), **own, "raw": others}


def from_provider(usage: Any, fields: AbstractSet[str]) -> dict[str, Any] | None:
    """Return a provider's usage object in the fields of `Usage`; None where it is none, or needs a closer look.

    Args:
        usage: What stands where a usage is expected.
        fields: The names of the fields.
    """
    given = usage if isinstance(usage, Mapping) else as_usage(usage)
    if not given or fields >= given.keys():
        return None
    try:
        return usage_fields(given, fields)
    except PydanticCustomError:
        return None
