"""What a request's body says: the model, whether the answer is streamed, and the prompt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ...models.counting.sdk_objects import from_json, mapping, plain, text

__all__ = ["Asked", "asked", "messages_of"]

_MAX_BODY = 64 * 1024 * 1024


class Asked(NamedTuple):
    """What is asked for.

    Attributes:
        model: The model, where the body names it.
        stream: Whether the answer is to be streamed.
        messages: The prompt as messages; only where asked for.
        content: Whether it was asked for.
    """

    model: str | None = None
    stream: bool = False
    messages: list[Any] | None = None
    content: bool = False


def asked(body: bytes | Mapping[str, Any] | None, *, content: bool = False) -> Asked:
    """Read a request's body.

    Args:
        body: JSON, or a form's fields.
        content: Also return the prompt.
    """
    if isinstance(body, (bytes, bytearray)):
        if len(body) > _MAX_BODY or body[:1] not in (b"{", b" ", b"\n"):
            return Asked(content=content)
        try:
            body = from_json(body)
        except (ValueError, RecursionError):
            return Asked(content=content)
    if not isinstance(body, Mapping):
        return Asked(content=content)
    return Asked(
        model=text(body.get("model")),
        stream=body.get("stream") is True,
        messages=messages_of(body) if content else None,
        content=content,
    )


def messages_of(body: Mapping[str, Any]) -> list[Any] | None:
    """Return a request's prompt as a list of messages, the system's first."""
    found: list[Any] = []
    for name in ("system", "instructions", "systemInstruction", "system_instruction"):
        system = body.get(name)
        if system:
            found.append({"role": "system", "content": plain(system)})
    for name in ("messages", "contents", "input", "prompt", "texts", "inputs"):
        given = body.get(name)
        if isinstance(given, str):
            found.append({"role": "user", "content": given})
        elif isinstance(given, (list, tuple)):
            found.extend(
                {"role": "user", "content": item} if isinstance(item, str) else plain(item) for item in given
            )
        elif mapping(given):
            found.append(plain(given))
        else:
            continue
        break
    return found or None
