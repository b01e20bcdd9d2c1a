"""The token counts of every provider, brought to one meaning.

Normalised: the prompt includes cached tokens and what tools fed back, the completion includes reasoning. Names are read
in snake case, so `promptTokenCount` is `prompt_token_count`. Providers differ in whether a part is inside the count that
it belongs to:

| names of | prompt | cached part | completion | reasoning part |
|---|---|---|---|---|
| OpenAI chat and compatible, LiteLLM | `prompt_tokens` | inside | `completion_tokens` | inside |
| OpenAI responses and realtime, LangChain | `input_tokens` | inside | `output_tokens` | inside |
| Anthropic, Bedrock (`cache_read_input_tokens` ...) | `input_tokens` | in addition | `output_tokens` | inside |
| Gemini, Vertex, Gemini Interactions | `prompt_token_count`, `total_input_tokens` | inside | `candidates_token_count` ... | in addition |
| Cohere | `tokens.input_tokens` (billed units are fewer) | inside | `tokens.output_tokens` | inside |
| llama.cpp | `prompt_n` | in addition | `predicted_n` | inside |

That is the default. Where the parts add up to the provider's total only when read another way,
they are read that way. Unknown is None; a count
is an int >= 0, a whole float or a text of digits, never a bool.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from .names import (
    AUDIO_COMPLETION,
    AUDIO_PROMPT,
    BY_AGE,
    CACHED,
    CACHED_ASIDE,
    CACHED_DETAILS,
    COMPLETION,
    DETAILS,
    FED_BACK,
    FRESH_PROMPTS,
    MODALITIES_COMPLETION,
    MODALITIES_PROMPT,
    PROMPT,
    REASONING,
    REASONING_DETAILS,
    THOUGHTS,
    TOTAL,
    WRITTEN,
    WRITTEN_ASIDE,
    WRITTEN_DETAILS,
    snake_case,
)
from .sdk_objects import mapping, whole_number

__all__ = ["Counts", "in_snake_case", "normalise_counts"]

Counts = dict[str, int]
"""Fields of `llm_logging.models.entry.Usage` to numbers; what is unknown is absent."""


def _number(values: Mapping[str, Any], names: Iterable[str]) -> int | None:
    """Return the first count that is not zero; zero where all that are there are zero."""
    return _named_number(values, names)[1]


def _named_number(values: Mapping[str, Any], names: Iterable[str]) -> tuple[str | None, int | None]:
    zero: tuple[str | None, int | None] = (None, None)
    for name in names:
        value = values.get(name)
        if value is not None:
            number = whole_number(value)
            if number:
                return name, number
            if number is not None and zero[1] is None:
                zero = (name, number)
    return zero


def _known(*numbers: int | None) -> int | None:
    """Return the first number that is not zero, else zero where one is known."""
    known = [number for number in numbers if number is not None]
    return next((number for number in known if number), 0 if known else None)


def _sum(*numbers: int | None) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def in_snake_case(usage: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that are not None by their names in snake case."""
    values: dict[str, Any] = {}
    for name, value in usage.items():
        if value is not None and isinstance(name, str):
            values.setdefault(snake_case(name), value)
    return values


def _flat(usage: Mapping[str, Any]) -> dict[str, Any]:
    """Return a usage object with its names in snake case and its two sides at the top."""
    values = in_snake_case(usage)
    tokens = in_snake_case(mapping(values.get("tokens")))
    billed = in_snake_case(mapping(values.get("billed_units")))
    if tokens or billed:
        # Cohere bills fewer tokens than the model reads; image tokens are billed apart.
        given = _sum(_number(billed, ("input_tokens",)), _number(billed, ("image_tokens",)))
        values.update({} if given is None else {"input_tokens": given})
        values.update({name: billed[name] for name in ("output_tokens",) if name in billed})
        values.update(tokens)
    for side in ("input_tokens", "output_tokens"):
        whole = values.get(side)
        if isinstance(whole, Mapping):
            # AI SDK 6: {total, noCache, cacheRead, cacheWrite} and {total, text, reasoning}.
            values[side] = whole.get("total")
            values.setdefault(f"{side}_details", whole)
    return values


def _details(values: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in names:
        for key, value in in_snake_case(mapping(values.get(name))).items():
            found.setdefault(key, value)
    return found


def _modalities(values: Mapping[str, Any], names: Iterable[str]) -> dict[str, int]:
    """Return Gemini's lists of counts by modality, in upper case."""
    found: dict[str, int] = {}
    for name in names:
        items = values.get(name)
        for item in items if isinstance(items, (list, tuple)) else ():
            detail = in_snake_case(mapping(item))
            kind = detail.get("modality")
            number = _number(detail, ("token_count", "tokens"))
            if number is not None:
                modality = str(getattr(kind, "value", kind)).upper()
                found[modality] = found.get(modality, 0) + number
    return found


class _Part(NamedTuple):
    """A count that is inside the prompt or the completion, or in addition to it.

    Attributes:
        fields: The fields that state it.
        number: How many tokens.
        side: 0 for the prompt, 1 for the completion.
        aside: Whether it is in addition by default.
        certain: Whether the default is certain, whatever the total.
    """

    fields: tuple[str, ...]
    number: int
    side: int
    aside: bool
    certain: bool = False


def _arranged(
    wholes: tuple[int | None, int | None], parts: list[_Part], total: int | None
) -> tuple[list[int | None], set[str]]:
    """Decide by the total which parts are in addition to the prompt and the completion.

    Args:
        wholes: Prompt and completion as the provider states them.
        parts: Parts that are not zero.
        total: The provider's total.

    Returns:
        Prompt and completion with every part inside, and the fields whose parts contradict them.
    """

    def with_parts(aside: Iterable[_Part]) -> list[int | None]:
        sums: list[int | None] = list(wholes)
        for part in aside:
            sums[part.side] = (sums[part.side] or 0) + part.number
        return sums

    def fits(part: _Part, sums: list[int | None]) -> bool:
        whole = sums[part.side]
        return whole is None or part.number <= whole

    default = [part for part in parts if part.aside]
    if total is not None:
        movable = [part for part in parts if not part.certain]
        for count in range(len(movable) + 1):
            for moved in itertools.combinations(movable, count):
                aside = [part for part in parts if part.aside != (part in moved)]
                sums = with_parts(aside)
                inside = (part for part in parts if part not in aside)
                if (sums[0] or 0) + (sums[1] or 0) == total and all(fits(part, sums) for part in inside):
                    return sums, set()
    sums = with_parts(default)
    too_large = [part for part in parts if not part.aside and not fits(part, sums)]
    if total is None:
        return with_parts([*default, *too_large]), set()
    return sums, {field for part in too_large for field in part.fields}


def _cache_counts(values: Mapping[str, Any], given: Mapping[str, Any]) -> tuple[Counts, bool]:
    """Return the cached tokens, and whether only names stated them that may leave them out of the prompt."""
    ages = {**_details(values, BY_AGE), **_details(given, BY_AGE), **given}
    one_hour = _number(ages, ("ephemeral_1h_input_tokens",))
    by_age = _sum(one_hour, _number(ages, ("ephemeral_5m_input_tokens",)))
    listed = values.get("cache_details")
    kept = [in_snake_case(mapping(item)) for item in listed] if isinstance(listed, (list, tuple)) else []
    if one_hour is None:
        one_hour = _sum(*(_number(item, ("input_tokens",)) for item in kept if item.get("ttl") == "1h"))
    read = _known(_number(given, CACHED_DETAILS), _number(values, CACHED))
    written = _known(_number(given, WRITTEN_DETAILS), _number(values, WRITTEN))
    read_aside, written_aside = _number(values, CACHED_ASIDE), _number(values, WRITTEN_ASIDE)
    aside = not read and not written and bool(read_aside or written_aside or by_age)
    counts = {
        "cache_read_tokens": _known(read, read_aside),
        # LangChain sets the sum to zero where it knows the two kinds apart.
        "cache_write_tokens": _known(written, written_aside, by_age),
        "cache_write_1h_tokens": one_hour,
    }
    return {name: number for name, number in counts.items() if number is not None}, aside


def _read(usage: Mapping[str, Any]) -> Counts:
    values = _flat(usage)
    given, made = (_details(values, names) for names in DETAILS)
    prompt_name, prompt = _named_number(values, PROMPT)
    completion = _number(values, COMPLETION)
    total = _number(values, TOTAL)
    heard, said = (
        _modalities(values, names)
        for names in (
            (*MODALITIES_PROMPT, "input_tokens_details"),
            (*MODALITIES_COMPLETION, "output_tokens_details"),
        )
    )
    cache, aside = _cache_counts(values, given)
    fresh = aside and prompt_name in FRESH_PROMPTS
    if prompt is None and aside:
        cache = {}
    thoughts = _number(values, THOUGHTS)
    reasoning = _known(
        _number(made, REASONING_DETAILS),
        _number(values, REASONING),
        _number(in_snake_case(mapping(values.get("details"))), ("reasoning_tokens",)),
    )
    found: dict[str, int | None] = {
        **cache,
        "reasoning_tokens": _known(thoughts, reasoning),
        "audio_prompt_tokens": _known(
            _number(given, ("audio_tokens", "audio")), _number(values, AUDIO_PROMPT), heard.get("AUDIO")
        ),
        "audio_completion_tokens": _known(
            _number(made, ("audio_tokens", "audio")), _number(values, AUDIO_COMPLETION), said.get("AUDIO")
        ),
    }
    counts = {name: number for name, number in found.items() if number is not None}
    # Counts by modality that leave no room for thoughts show that the answer does not include them.
    apart = bool(thoughts) and bool(said) and "TEXT" not in said and sum(said.values()) == completion
    cached = cache.get("cache_read_tokens", 0) + cache.get("cache_write_tokens", 0)
    parts = [
        _Part(("reasoning_tokens",), counts.get("reasoning_tokens", 0), 1, bool(thoughts), apart),
        _Part(tuple(cache), cached, 0, fresh),
        _Part(("audio_prompt_tokens",), counts.get("audio_prompt_tokens", 0), 0, aside=False),
        _Part(("audio_completion_tokens",), counts.get("audio_completion_tokens", 0), 1, aside=False),
        *(_Part((), _number(values, (name,)) or 0, 0, aside=True) for name in FED_BACK),
    ]
    sums, contradicted = _arranged((prompt, completion), [part for part in parts if part.number], total)
    for name in contradicted:
        counts.pop(name, None)
    if counts.get("cache_write_1h_tokens", 0) > counts.get("cache_write_tokens", 0):
        counts.pop("cache_write_1h_tokens", None)
    if sums[1] is None and sums[0] is not None and total is not None and "total_token_count" in values:
        # Protobuf leaves zeros out: a total that equals the prompt says that nothing was generated.
        sums[1] = total - sums[0] if total >= sums[0] else None
    wholes = {"prompt_tokens": sums[0], "completion_tokens": sums[1]}
    return counts | {name: number for name, number in wholes.items() if number is not None}


def normalise_counts(usage: Mapping[str, Any], *, embedding: bool = False) -> Counts:
    """Read a provider's usage object.

    Args:
        usage: The object as the provider sent it, plain values.
        embedding: The response is embeddings or a ranking: a lone total is the prompt, since nothing is generated.

    Returns:
        Fields of `Usage` that are known; empty where the object holds no count of tokens.
    """
    counts = _read(usage)
    iterations = usage.get("iterations")
    for iteration in iterations if isinstance(iterations, (list, tuple)) else ():
        # Anthropic: the top holds the model's own turns. Compaction is billed in addition; an advisor is another model
        # with rates of its own and stays in the raw usage.
        part = mapping(iteration)
        if part.get("type") == "compaction":
            for name, number in _read(part).items():
                counts[name] = counts.get(name, 0) + number
    if counts.keys() & {"prompt_tokens", "completion_tokens"}:
        return counts
    total = _number(in_snake_case(usage), TOTAL)
    return {"prompt_tokens": total} if embedding and total is not None else {}
