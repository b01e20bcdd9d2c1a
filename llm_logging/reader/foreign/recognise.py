"""Lines of other programs as entries: each known shape with all its fields, or skipped under a name that says why.

Known shapes: provider responses (OpenAI chat, Responses and embeddings and what is compatible, Anthropic, Gemini, Ollama,
Cohere, Bedrock Converse), lines of batch results (OpenAI, Anthropic, Gemini), LiteLLM's spend log and its standard
logging payload, OpenTelemetry's JSON (`resourceSpans`), Langfuse observations, LangSmith runs, Helicone requests.

A shape that has no time, or no model, on the line or in a wrapper around it cannot be priced or placed in a period: it is
skipped as `<shape>_without_time` or `<shape>_without_model`. Any other line with a model and token counts is read by the
usual names of its fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from ...models.counting.billed import with_terms
from ...models.entry import FLAT_FIELDS, Usage
from ...usage.extract import extract
from .exports import helicone, langfuse, langsmith, litellm, otlp
from .provider_lines import batch_result, provider_response, response_fields, response_shape
from .usual_names import (
    COUNT_NAMES,
    Fields,
    ForeignError,
    checked,
    object_in,
    status_fields,
    time_text,
    top_counts,
    usual_fields,
)

__all__ = ["ForeignError", "entries_of", "time_text"]

# Names that say that a usage is written in the entry's own fields; `speed` and `units` are also names of providers.
_OWN_COUNTS: Final = frozenset(name for name, (group, _) in FLAT_FIELDS.items() if group == "usage")
_RESPONSE_KEYS: Final = ("response", "body", "result", "completion", "response_body")


def entries_of(value: Mapping[str, Any], time: str | float | None = None) -> list[Fields] | None:
    """Read the requests of another program's line.

    Args:
        value: The line.
        time: The time of the wrapper that it came in, where there was one.

    Returns:
        Fields of entries, with `id` where the line has one; none where the line is of a known shape and holds no
        request; None where it is no line of a known shape and has no model or no counts.

    Raises:
        ForeignError: The shape is known, and something that a request needs is not there.
    """
    for recognise in _SHAPES:
        found = recognise(value, time)
        if found is not None:
            return found
    return None


def _holder(value: Mapping[str, Any], time: str | float | None) -> list[Fields] | None:
    """Read a line that holds a provider's response under a key, next to fields of its writer."""
    for name in _RESPONSE_KEYS:
        body = object_in(value.get(name))
        shape = response_shape(body)
        if shape is not None:
            inner = response_fields(shape, body)
            outer = usual_fields({key: item for key, item in value.items() if key != name})
            return [
                checked(
                    shape, {**inner, **{key: item for key, item in outer.items() if item is not None}}, time
                )
            ]
    return None


def _usual(value: Mapping[str, Any], time: str | float | None) -> list[Fields] | None:
    """Read a line by the usual names of its fields; it has to have a model and counts."""
    evidence = {"request_id", "usage", "latency_ms", "timings"} | COUNT_NAMES
    if "model" not in value or not evidence & value.keys():
        return None
    usage, top = value.get("usage"), top_counts(value)
    known = usual_fields(value)
    fields = {
        **value,
        **{name: item for name, item in known.items() if item is not None and name not in value},
    }
    if not isinstance(value.get("cost", {}), Mapping):
        fields["cost"] = known.get("cost")
    if "status" in value and "status" in known:
        fields |= status_fields(str(value["status"]))
    if isinstance(usage, Mapping) and usage and usage.keys().isdisjoint(_OWN_COUNTS):
        fields = {**with_terms(fields, usage), "usage": extract({"usage": usage}).counted}
        counted = fields["usage"] or {}
        has_counts = any(type(counted.get(name)) is int for name in Usage.model_fields)
        if not has_counts and any(type(count) in (int, float) for count in usage.values()):
            raise ForeignError("usage_of_unknown_shape")
    elif usage is None and not top.keys() <= Usage.model_fields.keys():
        # Counts in a provider's names; those in ours stand at the top in the older flat shape.
        fields = {key: item for key, item in fields.items() if key not in top}
        fields["usage"] = extract({"usage": top}).counted
    if time is not None and not any(
        fields.get(name) for name in ("timestamp", "timestamp_start", "timestamp_end")
    ):
        fields["timestamp"] = time
    return [fields]


_SHAPES: Final[tuple[Callable[[Mapping[str, Any], str | float | None], list[Fields] | None], ...]] = (
    otlp, batch_result, litellm, langfuse, langsmith, helicone, provider_response, _holder, _usual,
)  # fmt: skip
