"""Tokens of calls whose provider counted none: streams without usage, and streams that were left.

Opt-in, and marked `estimated` on the line. Any counter will do, `count(model, text) -> tokens`; `tiktoken_counter` is one.
Messages cost a few tokens beside their text (OpenAI: three each and three for the answer's head); other providers'
tokens are of another kind, so take an estimate for what it is.
Source: https://github.com/openai/openai-cookbook, "How to count tokens with tiktoken".
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from typing import Any

from ..errors import ConfigurationError, ErrorCode
from ..models.counting.sdk_objects import mapping
from ..models.entry import Usage

__all__ = ["Counter", "estimated_usage", "tiktoken_counter"]

Counter = Callable[[str, str], int]
"""From a model and a text to a number of tokens."""

_PER_MESSAGE = 3
_ANSWER_HEAD = 3


def tiktoken_counter() -> Counter:
    """Return a counter of OpenAI's tokens.

    tiktoken fetches its vocabularies from the network when they are first used, unless `TIKTOKEN_CACHE_DIR` holds them.

    Raises:
        ConfigurationError: tiktoken is not installed.
    """
    try:
        tiktoken: Any = importlib.import_module("tiktoken")
    except ImportError:
        raise ConfigurationError(
            "tiktoken_counter: expected tiktoken, it is not installed; pip install tiktoken brings it",
            code=ErrorCode.MISSING_DEPENDENCY,
        ) from None

    def count(model: str, text: str) -> int:
        try:
            encoding = tiktoken.encoding_for_model(model)
        except KeyError:
            encoding = tiktoken.get_encoding("o200k_base")
        return len(encoding.encode_ordinary(text))

    return count


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, (list, tuple)):
        for part in content:
            yield from _texts(part)
    else:
        found = mapping(content)
        for name in ("text", "content", "parts"):
            if found.get(name) is not None:
                yield from _texts(found[name])


def estimated_usage(
    count: Counter, model: str, messages: list[Any] | None, answer: str | None
) -> Usage | None:
    """Estimate the tokens of a call.

    Args:
        count: The counter.
        model: The model.
        messages: The prompt; None where it is not known.
        answer: The text that was generated, as far as it came; None where it is not known.

    Returns:
        A usage whose `source` is `estimated`; None where nothing is known, or the counter fails.
    """
    with contextlib.suppress(Exception):
        prompt = None
        if messages is not None:
            texts = [text for message in messages for text in _texts(message)]
            prompt = sum(count(model, text) for text in texts) + _PER_MESSAGE * len(messages) + _ANSWER_HEAD
        completion = None if answer is None else count(model, answer)
        if prompt is not None or completion is not None:
            return Usage(prompt_tokens=prompt, completion_tokens=completion, source="estimated")
    return None
