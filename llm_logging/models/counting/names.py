"""The names under which providers state counts of tokens, in snake case, by what they count.

Of several names of one count the first that is not zero is read.
"""

from __future__ import annotations

import functools
import itertools
import re
from typing import Final

__all__ = [
    "AUDIO_COMPLETION",
    "AUDIO_PROMPT",
    "BY_AGE",
    "CACHED",
    "CACHED_ASIDE",
    "CACHED_DETAILS",
    "COMPLETION",
    "COUNTS",
    "DETAILS",
    "FED_BACK",
    "FRESH_PROMPTS",
    "GROUPS",
    "MODALITIES_COMPLETION",
    "MODALITIES_PROMPT",
    "NOT_A_USAGE",
    "OTHER_UNITS",
    "PARTS",
    "PROMPT",
    "REASONING",
    "REASONING_DETAILS",
    "THOUGHTS",
    "TOTAL",
    "WRITTEN",
    "WRITTEN_ASIDE",
    "WRITTEN_DETAILS",
    "snake_case",
]

PROMPT: Final = (
    "prompt_tokens",
    "input_tokens",
    "prompt_token_count",
    "input_token_count",
    "total_input_tokens",
    "input_text_token_count",
    "prompt_eval_count",
    "input_length",
    "tokens_evaluated",
    "prompt_n",
    "prompt_tokens_count",
    "native_tokens_prompt",
    "tokens_prompt",
    "num_prompt_tokens",
    "num_input_tokens",
    "num_tokens_prompt_total",
    "nb_input_tokens",
    "uncached_input_tokens",
)
COMPLETION: Final = (
    "completion_tokens",
    "output_tokens",
    "generation_token_count",
    "candidates_token_count",
    "response_token_count",
    "output_token_count",
    "generated_token_count",
    "total_output_tokens",
    "output_text_token_count",
    "eval_count",
    "generated_tokens",
    "tokens_predicted",
    "predicted_n",
    "completion_token_count",
    "predicted_tokens_count",
    "native_tokens_completion",
    "tokens_completion",
    "num_generated_tokens",
    "num_output_tokens",
    "num_tokens_generated",
    "nb_generated_tokens",
)
TOTAL: Final = ("total_tokens", "total_token_count", "total_tokens_count")
# Cached tokens that are part of the prompt, whatever its name.
CACHED: Final = (
    "prompt_cache_hit_tokens",
    "cached_tokens",
    "num_cached_tokens",
    "cache_read_tokens",
    "cached_content_token_count",
    "cached_prompt_text_tokens",
    "total_cached_tokens",
    "cached_input_tokens",
    "input_cached_tokens",
    "native_tokens_cached",
)
# Cached tokens that these names of prompts leave out.
CACHED_ASIDE: Final = ("cache_read_input_tokens", "cache_read_input_token_count", "cache_n")
WRITTEN: Final = ("cache_write_tokens", "input_cache_write_tokens")
WRITTEN_ASIDE: Final = (
    "cache_creation_input_tokens",
    "cache_write_input_tokens",
    "cache_write_input_token_count",
)
FRESH_PROMPTS: Final = frozenset({"input_tokens", "input_token_count", "prompt_n", "uncached_input_tokens"})
CACHED_DETAILS: Final = ("cached_tokens", "cache_read_tokens", "cache_read_input_tokens", "cache_read")
WRITTEN_DETAILS: Final = (
    "cache_write_tokens",
    "cache_creation_tokens",
    "cache_creation_input_tokens",
    "cache_creation",
    "cache_write",
)
REASONING: Final = (
    "reasoning_tokens",
    "reasoning_output_tokens",
    "output_reasoning_tokens",
    "native_tokens_reasoning",
)
REASONING_DETAILS: Final = ("reasoning_tokens", "reasoning", "thinking_tokens")
THOUGHTS: Final = ("thoughts_token_count", "total_thought_tokens")
AUDIO_PROMPT: Final = ("input_audio_tokens", "prompt_audio_tokens", "audio_tokens")
AUDIO_COMPLETION: Final = ("output_audio_tokens", "completion_audio_tokens")
# What the prompt is charged with besides the caller's own text.
FED_BACK: Final = (
    "tool_use_prompt_token_count",
    "total_tool_use_tokens",
    "connector_tokens",
    "guardrails_tokens",
    "guard_tokens",
)
MODALITIES_PROMPT: Final = ("prompt_tokens_details", "input_tokens_by_modality")
MODALITIES_COMPLETION: Final = (
    "candidates_tokens_details",
    "response_tokens_details",
    "output_tokens_by_modality",
)
DETAILS: Final = tuple(
    tuple(f"{side}_{noun}_details" for side in sides for noun in ("tokens", "token"))
    for sides in (("prompt", "input"), ("completion", "output"))
)
BY_AGE: Final = ("cache_creation", "cache_creation_token_details")

COUNTS: Final = frozenset({*PROMPT, *COMPLETION})
PARTS: Final = frozenset(
    {
        *CACHED,
        *CACHED_ASIDE,
        *WRITTEN,
        *WRITTEN_ASIDE,
        *REASONING,
        *THOUGHTS,
        *AUDIO_PROMPT,
        *AUDIO_COMPLETION,
        *FED_BACK,
    }
)
GROUPS: Final = frozenset(
    {
        *MODALITIES_PROMPT,
        *MODALITIES_COMPLETION,
        *itertools.chain(*DETAILS),
        *BY_AGE,
        "billed_units",
        "tokens",
    }
)
# Usage that is counted in another unit than tokens, or says something else about the request.
OTHER_UNITS: Final = frozenset(
    {
        *TOTAL,
        "type",
        "seconds",
        "duration",
        "prompt_audio_seconds",
        "cost",
        "cost_in_usd_ticks",
        "estimated_cost",
        "search_units",
        "classifications",
        "images",
        "characters",
        "total_characters",
        "pages_processed",
        "doc_size_bytes",
        "num_search_queries",
        "server_tool_use",
        "service_tier",
        "traffic_type",
        "queue_time",
        "prompt_time",
        "completion_time",
        "total_time",
        "requests",
        "source",
        "raw",
    }
)
NOT_A_USAGE: Final = frozenset(
    {
        "choices",
        "content",
        "candidates",
        "generation",
        "message",
        "output",
        "outputs",
        "response",
        "results",
        "text",
    }
)
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@functools.lru_cache(maxsize=1024)
def snake_case(name: str) -> str:
    """Return a name in snake case: `promptTokenCount` is `prompt_token_count`."""
    return _HUMP.sub("_", name).lower()
