"""The token counts of every provider, brought to one meaning.

Normalised: the prompt includes cached tokens and what tools fed back, the completion includes reasoning. Providers
differ in just that, so each flavour of usage object is read by its own rule, and told apart by its names:

| flavour | prompt | cached part | completion | reasoning part |
|---|---|---|---|---|
| OpenAI chat and compatible | `prompt_tokens` | included | `completion_tokens` | included, or beside it (xAI), see below |
| OpenAI responses, realtime, LangChain | `input_tokens` | included | `output_tokens` | included |
| Anthropic | `input_tokens` | beside it | `output_tokens` | included |
| Gemini, Vertex | `promptTokenCount` + `toolUsePromptTokenCount` | included | `candidatesTokenCount` | beside it |
| Bedrock Converse, Nova | `inputTokens` | beside it | `outputTokens` | included |
| Cohere | `tokens.input_tokens` (billed units are fewer) | included | `tokens.output_tokens` | included |
| Ollama | `prompt_eval_count` | - | `eval_count` | included |

Where a provider's own total decides between "included" and "beside it", the total is believed. Unknown is None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .plain import first, mapping, whole_number

__all__ = ["Counts", "counts_tokens", "is_usage", "normalise_counts"]

Counts = dict[str, int]
"""Fields of `llm_logging.schema.Usage` to numbers; what is unknown is absent."""

_OPENAI_CHAT = frozenset({"prompt_tokens", "completion_tokens"})
_OPENAI_PLAIN = _OPENAI_CHAT | {"total_tokens"}
_GEMINI = frozenset(
    {
        "promptTokenCount",
        "candidatesTokenCount",
        "responseTokenCount",
        "totalTokenCount",
        "prompt_token_count",
        "candidates_token_count",
        "response_token_count",
        "total_token_count",
    }
)
_INPUT_OUTPUT = frozenset({"input_tokens", "output_tokens"})
_ANTHROPIC_ONLY = frozenset(
    {
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
        "cache_creation",
        "iterations",
        "server_tool_use",
    }
)
_BEDROCK = frozenset({"inputTokens", "outputTokens"})
_BEDROCK_METRICS = frozenset({"inputTokenCount", "outputTokenCount"})


def _number(values: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        value = values.get(name)
        if value is not None:
            number = value if type(value) is int and value >= 0 else whole_number(value)
            if number is not None:
                return number
    return None


def _sum(*numbers: int | None) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def _put(counts: Counts, **found: int | None) -> Counts:
    counts.update({name: number for name, number in found.items() if number is not None})
    return counts


def _reconciled(counts: Counts, total: int | None) -> Counts:
    """Decide by the provider's total whether cached and reasoning tokens are part of the counts or beside them.

    A part that even so is larger than its whole contradicts the provider's own numbers and is left out; the raw usage
    keeps it.
    """
    prompt, completion = counts.get("prompt_tokens"), counts.get("completion_tokens")
    reasoning = counts.get("reasoning_tokens", 0)
    cached = counts.get("cache_read_tokens", 0) + counts.get("cache_write_tokens", 0)
    known = (prompt or 0) + (completion or 0)
    if completion is not None and reasoning:
        beside = total == known + reasoning if total is not None else reasoning > completion
        if beside:
            completion = counts["completion_tokens"] = completion + reasoning
            known += reasoning
        elif reasoning > completion:
            del counts["reasoning_tokens"]
    if prompt is not None and cached > prompt:
        if total is None or total == known + cached:
            counts["prompt_tokens"] = prompt + cached
        else:
            for name in ("cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens"):
                counts.pop(name, None)
    if counts.get("cache_write_1h_tokens", 0) > counts.get("cache_write_tokens", 0):
        counts.pop("cache_write_1h_tokens", None)
    return counts


def _openai_chat(usage: Mapping[str, Any]) -> Counts:
    if usage.keys() <= _OPENAI_PLAIN:
        return _put(
            {},
            prompt_tokens=_number(usage, "prompt_tokens"),
            completion_tokens=_number(usage, "completion_tokens"),
        )
    prompt = mapping(first(usage, "prompt_tokens_details", "input_tokens_details"))
    completion = mapping(first(usage, "completion_tokens_details", "output_tokens_details"))
    counts = _put(
        {},
        prompt_tokens=_number(usage, "prompt_tokens"),
        completion_tokens=_number(usage, "completion_tokens"),
        cache_read_tokens=_first_number(
            _number(prompt, "cached_tokens", "cache_read_input_tokens"),
            _number(
                usage,
                "prompt_cache_hit_tokens",
                "cached_tokens",
                "num_cached_tokens",
                "cache_read_input_tokens",
                "cached_prompt_text_tokens",
            ),
        ),
        cache_write_tokens=_first_number(
            _number(prompt, "cache_write_tokens", "cache_creation_tokens"),
            _number(usage, "cache_creation_input_tokens"),
        ),
        cache_write_1h_tokens=_number(
            mapping(first(prompt, "cache_creation_token_details", "cache_creation")),
            "ephemeral_1h_input_tokens",
        ),
        reasoning_tokens=_first_number(
            _number(completion, "reasoning_tokens"), _number(usage, "reasoning_tokens")
        ),
        audio_prompt_tokens=_number(prompt, "audio_tokens"),
        audio_completion_tokens=_number(completion, "audio_tokens"),
    )
    return _reconciled(counts, _number(usage, "total_tokens"))


def _first_number(*numbers: int | None) -> int | None:
    return next((number for number in numbers if number is not None), None)


def _input_output(usage: Mapping[str, Any]) -> Counts:
    given = mapping(first(usage, "input_tokens_details", "input_token_details"))
    made = mapping(first(usage, "output_tokens_details", "output_token_details"))
    one_hour = _number(given, "ephemeral_1h_input_tokens")
    five_minutes = _number(given, "ephemeral_5m_input_tokens")
    written = _number(given, "cache_write_tokens", "cache_creation")
    if not written:
        # LangChain sets the sum to zero where it knows the two kinds apart.
        written = _sum(one_hour, five_minutes) or written
    counts = _put(
        {},
        prompt_tokens=_number(usage, "input_tokens"),
        completion_tokens=_number(usage, "output_tokens"),
        cache_read_tokens=_number(given, "cached_tokens", "cache_read"),
        cache_write_tokens=written,
        cache_write_1h_tokens=one_hour,
        reasoning_tokens=_number(made, "reasoning_tokens", "reasoning", "thinking_tokens"),
        audio_prompt_tokens=_number(given, "audio_tokens", "audio"),
        audio_completion_tokens=_number(made, "audio_tokens", "audio"),
    )
    return _reconciled(counts, _number(usage, "total_tokens"))


def _anthropic_part(usage: Mapping[str, Any]) -> Counts:
    by_age = mapping(usage.get("cache_creation"))
    one_hour = _number(by_age, "ephemeral_1h_input_tokens")
    read = _number(usage, "cache_read_input_tokens")
    written = _first_number(
        _number(usage, "cache_creation_input_tokens"),
        _sum(one_hour, _number(by_age, "ephemeral_5m_input_tokens")),
    )
    fresh = _number(usage, "input_tokens")
    return _put(
        {},
        prompt_tokens=None if fresh is None else _sum(fresh, read, written),
        completion_tokens=_number(usage, "output_tokens"),
        cache_read_tokens=read if fresh is not None else None,
        cache_write_tokens=written if fresh is not None else None,
        cache_write_1h_tokens=one_hour if fresh is not None else None,
        reasoning_tokens=_number(
            mapping(usage.get("output_tokens_details")), "thinking_tokens", "reasoning_tokens"
        ),
    )


def _anthropic(usage: Mapping[str, Any]) -> Counts:
    counts = _anthropic_part(usage)
    iterations = usage.get("iterations")
    for iteration in iterations if isinstance(iterations, list) else []:
        # The top holds the model's own turns. Compaction is billed beside them; an advisor is another model with
        # rates of its own and stays in the raw usage.
        part = mapping(iteration)
        if part.get("type") == "compaction":
            for name, number in _anthropic_part(part).items():
                counts[name] = counts.get(name, 0) + number
    return _reconciled(counts, None)


def _gemini(usage: Mapping[str, Any]) -> Counts:
    prompt = _number(usage, "promptTokenCount", "prompt_token_count")
    tools = _number(usage, "toolUsePromptTokenCount", "tool_use_prompt_token_count")
    answer = _number(
        usage, "candidatesTokenCount", "candidates_token_count", "responseTokenCount", "response_token_count"
    )
    thoughts = _number(usage, "thoughtsTokenCount", "thoughts_token_count")
    total = _number(usage, "totalTokenCount", "total_token_count")
    completion = _sum(answer, thoughts)
    if thoughts and answer is not None and total == (prompt or 0) + (tools or 0) + answer:
        completion = answer
    given = _sum(prompt, tools)
    if completion is None and total is not None and given is not None and total >= given:
        # Protobuf leaves zeros out: a total that equals the prompt says that nothing was generated.
        completion = total - given
    counts = _put(
        {},
        prompt_tokens=given,
        completion_tokens=completion,
        cache_read_tokens=_number(usage, "cachedContentTokenCount", "cached_content_token_count"),
        reasoning_tokens=thoughts,
        audio_prompt_tokens=_modality(usage, "AUDIO", "promptTokensDetails", "prompt_tokens_details"),
        audio_completion_tokens=_modality(
            usage,
            "AUDIO",
            "candidatesTokensDetails",
            "candidates_tokens_details",
            "responseTokensDetails",
            "response_tokens_details",
        ),
    )
    return _reconciled(counts, total)


def _modality(usage: Mapping[str, Any], modality: str, *names: str) -> int | None:
    details = first(usage, *names)
    if not isinstance(details, list):
        return None
    found = [mapping(detail) for detail in details]
    return _sum(
        *(
            _number(detail, "tokenCount", "token_count")
            for detail in found
            if str(getattr(detail.get("modality"), "value", detail.get("modality"))).upper() == modality
        )
    )


def _bedrock(usage: Mapping[str, Any]) -> Counts:
    fresh = _number(usage, "inputTokens", "inputTokenCount")
    read = _number(usage, "cacheReadInputTokens", "cacheReadInputTokenCount")
    written = _number(usage, "cacheWriteInputTokens", "cacheWriteInputTokenCount")
    details = usage.get("cacheDetails")
    one_hour = _sum(
        *(
            _number(mapping(detail), "inputTokens")
            for detail in (details if isinstance(details, list) else [])
            if mapping(detail).get("ttl") == "1h"
        )
    )
    counts = _put(
        {},
        prompt_tokens=None if fresh is None else _sum(fresh, read, written),
        completion_tokens=_number(usage, "outputTokens", "outputTokenCount"),
        cache_read_tokens=read if fresh is not None else None,
        cache_write_tokens=written if fresh is not None else None,
        cache_write_1h_tokens=one_hour if fresh is not None else None,
    )
    return _reconciled(counts, None)


def _cohere(usage: Mapping[str, Any]) -> Counts:
    tokens, billed = mapping(usage.get("tokens")), mapping(usage.get("billed_units"))
    prompt = _number(tokens, "input_tokens")
    if prompt is None:
        prompt = _sum(_number(billed, "input_tokens"), _number(billed, "image_tokens"))
    counts = _put(
        {},
        prompt_tokens=prompt,
        completion_tokens=_first_number(_number(tokens, "output_tokens"), _number(billed, "output_tokens")),
        cache_read_tokens=_number(usage, "cached_tokens"),
    )
    return _reconciled(counts, None)


def _llama_cpp(timings: Mapping[str, Any]) -> Counts:
    cached = _number(timings, "cache_n")
    evaluated = _number(timings, "prompt_n")
    return _put(
        {},
        prompt_tokens=None if evaluated is None else _sum(evaluated, cached),
        completion_tokens=_number(timings, "predicted_n"),
        cache_read_tokens=cached if evaluated is not None else None,
    )


def _by_names(prompt: str, completion: str) -> Callable[[Mapping[str, Any]], Counts]:
    def read(usage: Mapping[str, Any]) -> Counts:
        return _put({}, prompt_tokens=_number(usage, prompt), completion_tokens=_number(usage, completion))

    return read


# Which names tell a flavour, asked in this order.
_FLAVOURS: tuple[tuple[frozenset[str], Callable[[Mapping[str, Any]], Counts]], ...] = (
    (_OPENAI_CHAT, _openai_chat),
    (_ANTHROPIC_ONLY, _anthropic),
    (_INPUT_OUTPUT, _input_output),
    (frozenset({"generation_token_count"}), _by_names("prompt_token_count", "generation_token_count")),
    (_GEMINI, _gemini),
    (_BEDROCK, _bedrock),
    (_BEDROCK_METRICS, _bedrock),
    (frozenset({"billed_units", "tokens"}), _cohere),
    (frozenset({"prompt_eval_count", "eval_count"}), _by_names("prompt_eval_count", "eval_count")),
    (frozenset({"input_length", "generated_tokens"}), _by_names("input_length", "generated_tokens")),
    (
        frozenset({"input_token_count", "generated_token_count"}),
        _by_names("input_token_count", "generated_token_count"),
    ),
    (
        frozenset({"inputTextTokenCount", "outputTextTokenCount"}),
        _by_names("inputTextTokenCount", "outputTextTokenCount"),
    ),
    (frozenset({"tokens_evaluated", "tokens_predicted"}), _by_names("tokens_evaluated", "tokens_predicted")),
    (frozenset({"prompt_n", "predicted_n"}), _llama_cpp),
)


_COUNT_NAMES = frozenset().union(*(names for names, _ in _FLAVOURS), {"total_tokens"})


def counts_tokens(usage: Mapping[str, Any]) -> bool:
    """Say whether a usage object names any count of tokens at all."""
    return not _COUNT_NAMES.isdisjoint(usage)


def normalise_counts(usage: Mapping[str, Any], *, embedding: bool = False) -> Counts:
    """Read a provider's usage object.

    Args:
        usage: The object as the provider sent it, plain values.
        embedding: The response is embeddings or a ranking: a lone total is the prompt, since nothing is generated.

    Returns:
        Fields of `Usage` that are known; empty where the object holds no count of tokens.
    """
    for names, read in _FLAVOURS:
        if not names.isdisjoint(usage):
            counts = read(usage)
            if counts.keys() & {"prompt_tokens", "completion_tokens"}:
                return counts
    total = _number(usage, "total_tokens")
    return {"prompt_tokens": total} if embedding and total is not None else {}


def is_usage(values: Mapping[str, Any]) -> bool:
    """Say whether a mapping is itself a usage object, and not a response.

    So is the answer of a token counter, `{"input_tokens": 12}`; whether that was spent, the caller knows.
    """
    if "choices" in values or "content" in values or "candidates" in values:
        return False
    if "input_tokens" in values and (len(values) == 1 or values.get("object") == "response.input_tokens"):
        return True
    pairs = (_OPENAI_CHAT, _INPUT_OUTPUT, _BEDROCK, _BEDROCK_METRICS)
    return any(pair <= values.keys() for pair in pairs) or len(_GEMINI & values.keys()) >= 2
