"""What an event of a stream, or a whole response, generated: whether there is anything, and its text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..models.counting.sdk_objects import mapping

__all__ = ["carries_content", "plain_delta", "texts_of"]

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
        is_delta = type(kind) is str and (kind in _DELTA_TYPES or kind.endswith(".delta"))
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


def texts_of(values: Mapping[str, Any], kind: str | None) -> Iterator[str]:
    """Yield the generated text of an event or a whole response, in its order; reasoning is left out.

    Args:
        values: The event or the response.
        kind: Its `type`, where it has one.
    """
    if kind is not None and kind.startswith("response."):
        if kind == "response.output_text.delta" and isinstance(values.get("delta"), str):
            yield values["delta"]
        return
    for name in ("choices", "outputs"):
        for choice in _listed(values.get(name)):
            part = mapping(choice)
            inner = part.get("delta") if part.get("delta") is not None else part.get("message")
            yield from _text(part.get("text") if inner is None else mapping(inner).get("content"))
    for candidate in _listed(values.get("candidates")):
        yield from _text(mapping(mapping(candidate).get("content")).get("parts"))
    delta = values.get("delta")
    if delta is not None and "choices" not in values:
        inner = mapping(delta)
        yield from _text(inner.get("text"))
        yield from _text(mapping(inner.get("message")).get("content"))
    for name in ("content", "response", "generation", "completion", "outputText"):
        yield from _text(values.get(name))
    yield from _text(mapping(values.get("message")).get("content"))
    output = values.get("output")
    if isinstance(output, (list, tuple)):
        for item in output:
            yield from _text(mapping(item).get("content"))
    elif output is not None:
        yield from _text(mapping(mapping(output).get("message")).get("content"))


def _text(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if value:
            yield value
    elif isinstance(value, (list, tuple)):
        for part in value:
            inner = mapping(part)
            if isinstance(part, str):
                yield part
            elif not inner.get("thought"):
                yield from _text(inner.get("text"))
    elif value is not None:
        yield from _text(mapping(value).get("text"))
