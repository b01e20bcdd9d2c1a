"""Whether an event of a stream, or a whole response, holds anything that was generated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..models.counting.sdk_objects import mapping

__all__ = ["carries_content", "plain_delta"]

_DELTA_TYPES = frozenset(
    {
        "content_block_delta",
        "content-delta",
        "tool-plan-delta",
        "tool-call-start",
        "tool-call-delta",
        "text-generation",
        "response.image_generation_call.partial_image",
    }
)
_DELTA_NAMES = (
    "content",
    "text",
    "reasoning_content",
    "reasoning",
    "reasoning_details",
    "thinking",
    "tool_calls",
    "function_call",
    "refusal",
    "audio",
)
_WHOLE_NAMES = ("content", "generation", "outputText", "completion", "embeddings", "output")


def carries_content(values: Mapping[str, Any], kind: str | None) -> bool:
    """Say whether an event or a response holds anything that the model generated.

    Args:
        values: The event.
        kind: Its `type`, where it has one.
    """
    if kind is not None and (kind in _DELTA_TYPES or kind.endswith(".delta")):
        return True
    choices = values.get("choices")
    if choices is not None:
        return any(_choice_content(mapping(choice)) for choice in _listed(choices))
    candidates = values.get("candidates")
    if candidates is not None:
        return any(mapping(mapping(one).get("content")).get("parts") for one in _listed(candidates))
    outputs = values.get("outputs")
    if outputs is not None:
        return any(_choice_content(mapping(one)) for one in _listed(outputs))
    message = values.get("message")
    if message is not None and _part_content(mapping(message)):
        return True
    if isinstance(values.get("response"), str):
        return bool(values["response"] or values.get("thinking"))
    if kind is None and values.get("delta") is not None:
        return bool(values["delta"])
    return any(values.get(name) for name in _WHOLE_NAMES)


def plain_delta(values: Mapping[str, Any]) -> bool | None:
    """Say whether an event brings nothing but more text, as most events of a stream do, and need not be read further.

    Args:
        values: The event.

    Returns:
        Whether it carries content; None where it may say more, or is no such event.
    """
    kind = values.get("type")
    if kind is not None:
        is_delta = (
            type(kind) is str and (kind in _DELTA_TYPES or kind.endswith(".delta")) and "refusal" not in kind
        )
        return True if is_delta and "delta" in values and values.get("event_type") is None else None
    choices = values.get("choices")
    if type(choices) is not list or len(choices) != 1:
        return None
    if values.get("usage") is not None or values.get("x_groq") is not None or values.get("error") is not None:
        return None
    choice = mapping(choices[0])
    if choice.get("finish_reason") is not None or choice.get("usage") is not None:
        return None
    delta = choice.get("delta")
    if delta is None:
        return None
    part = mapping(delta)
    if part.get("refusal"):
        return None
    return bool(part.get("content")) or _part_content(part)


def _listed(value: Any) -> list[Any]:
    return (
        list(value) if isinstance(value, (list, tuple)) or type(value).__name__.startswith("Repeated") else []
    )


def _choice_content(choice: Mapping[str, Any]) -> bool:
    part = choice.get("delta")
    if part is None:
        part = choice.get("message")
    return bool(choice.get("text")) if part is None else _part_content(mapping(part))


def _part_content(part: Mapping[str, Any]) -> bool:
    return any(part.get(name) for name in _DELTA_NAMES)
