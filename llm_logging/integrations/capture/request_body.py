"""What a request's body says: the model, whether the answer is streamed, the prompt, and how it was asked for.

Parameters are recorded by one name each, whatever a provider calls them: the attribute `request` holds those of
`_PARAMETERS` that the body states, the names of the tools, and the response format. Long texts of a large body, images
for the most part, are replaced before it is parsed, so the caller never waits for the parsing of megabytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from ...models.counting.sdk_objects import first, from_json, mapping, plain, text
from .large_texts import LARGE, LargeTexts, without_long_texts

__all__ = ["Asked", "asked", "messages_of", "parameters_of"]

_MAX_BODY = 64 * 1024 * 1024
_MOST_TOOLS = 100
_LONGEST_VALUE = 1_000


class Asked(NamedTuple):
    """What is asked for.

    Attributes:
        model: The model, where the body names it.
        stream: Whether the answer is to be streamed.
        messages: The prompt as messages; only where asked for.
        content: Whether it was asked for.
        fields: What else the body says, as fields of the entry: `request`, `output_format_hint`, `user_id`, `chat_id`.
        stream_options: Whether the body says how to stream.
        large: The long texts of the prompt, which are described later.
    """

    model: str | None = None
    stream: bool = False
    messages: list[Any] | None = None
    content: bool = False
    fields: Mapping[str, Any] = {}
    stream_options: bool = False
    large: LargeTexts | None = None


def asked(body: bytes | Mapping[str, Any] | None, *, content: bool = False) -> Asked:
    """Read a request's body.

    Args:
        body: JSON, or a form's fields.
        content: Also return the prompt.
    """
    large: LargeTexts | None = None
    if isinstance(body, (bytes, bytearray)):
        if len(body) > _MAX_BODY or body[:1] not in (b"{", b" ", b"\n"):
            return Asked(content=content)
        try:
            body = bytes(body)
            if content:
                large = LargeTexts(body)
                body = large.body
            elif len(body) >= LARGE:
                body = without_long_texts(body)
            body = from_json(body)
        except (ValueError, RecursionError):
            return Asked(content=content)
    if not isinstance(body, Mapping):
        return Asked(content=content)
    return Asked(
        model=text(body.get("model")),
        stream=body.get("stream") is True or body.get("stream") == "true",
        messages=messages_of(body) if content else None,
        content=content,
        fields=parameters_of(body),
        stream_options="stream_options" in body,
        large=large,
    )


# -- the prompt ---------------------------------------------------------------------------------------------------------


def messages_of(body: Mapping[str, Any]) -> list[Any] | None:
    """Return a request's prompt as a list of messages, the system's first."""
    found: list[Any] = []
    for name in ("system", "instructions", "systemInstruction", "system_instruction", "preamble"):
        system = body.get(name)
        if system:
            found.append({"role": "system", "content": plain(system)})
    if body.get("query") is not None and ("documents" in body or "texts" in body):
        found.append({"role": "user", "content": plain(body["query"])})
        found.append({"role": "user", "documents": plain(first(body, "documents", "texts"))})
        return found
    for name in _PROMPTS:
        given = body.get(name)
        inner = mapping(given).get("messages") if name == "input" else None
        if inner is not None:
            given = inner
        if isinstance(given, str):
            found.append({"role": "user", "content": given})
        elif isinstance(given, (list, tuple)):
            found.extend(_message(item) for item in given)
        elif mapping(given):
            found.append(_message(given))
        else:
            continue
        break
    found.extend(_files(body))
    return found or None


_PROMPTS: Final = (
    "messages", "contents", "input", "prompt", "texts", "inputs", "message", "requests", "content", "instances",
    "inputText", "additional_messages", "document", "images",
)  # fmt: skip


def _message(item: Any) -> Any:
    if isinstance(item, str):
        return {"role": "user", "content": item}
    inner = mapping(item)
    if "content" in inner and "role" not in inner and mapping(inner["content"]):
        # Gemini's embeddings
        return plain({"role": "user", **mapping(inner["content"])})
    return _plain(item)


def _plain(value: Any) -> Any:
    """Return a message as JSON values; one from a parsed body holds nothing else and stays as it is."""
    return value if type(value) is dict else plain(value)


def _files(body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the files of a form; the content policy writes their size and digest."""
    for name, value in body.items():
        if isinstance(value, (bytes, bytearray)):
            yield {"role": "user", "content": [{"type": name, "data": value}]}


# -- parameters ---------------------------------------------------------------------------------------------------------

# Their names and ours; those that are ours already map to themselves.
_PARAMETERS: Final[dict[str, str]] = {
    **{
        name: name
        for name in (
            "temperature", "top_p", "top_k", "max_tokens", "seed", "n", "presence_penalty", "frequency_penalty",
            "stop", "logprobs", "top_logprobs", "parallel_tool_calls", "tool_choice", "reasoning_effort", "verbosity",
            "service_tier", "store", "previous_response_id", "background", "truncation", "dimensions", "size",
            "quality", "voice", "language", "input_type", "modalities", "metadata", "thinking", "effort", "think",
            "keep_alive", "min_p", "repetition_penalty", "encoding_format", "top_n", "task", "seconds", "duration",
            "aspect_ratio", "safe_prompt", "assistant_id", "agent_id", "prompt_cache_key", "labels",
        )
    },
    "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "maxOutputTokens": "max_tokens",
    "maxTokens": "max_tokens",
    "max_new_tokens": "max_tokens",
    "max_tokens_to_sample": "max_tokens",
    "maxTokenCount": "max_tokens",
    "num_predict": "max_tokens",
    "topP": "top_p",
    "p": "top_p",
    "topK": "top_k",
    "k": "top_k",
    "stop_sequences": "stop",
    "stopSequences": "stop",
    "candidateCount": "n",
    "num_generations": "n",
    "random_seed": "seed",
    "presencePenalty": "presence_penalty",
    "frequencyPenalty": "frequency_penalty",
    "reasoningEffort": "reasoning_effort",
    "thinkingConfig": "thinking",
    "thinking_config": "thinking",
    "budget_tokens": "thinking_budget",
    "toolChoice": "tool_choice",
    "requestMetadata": "metadata",
    "responseModalities": "modalities",
    "outputDimensionality": "dimensions",
    "taskType": "task",
}  # fmt: skip
# Where parameters lie that are not at the top.
_GROUPS: Final = (
    "generationConfig", "generation_config", "config", "inferenceConfig", "options", "parameters", "textGenerationConfig",
    "completion_args", "output_config",
)  # fmt: skip


def parameters_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a request asks for its answer, as fields of an entry.

    Args:
        body: The request's body.

    Returns:
        `request` with the parameters, `output_format_hint`, `user_id` and `chat_id`; what is not stated is absent.
    """
    if body.keys() <= _BARE:
        return {}
    found: dict[str, Any] = {}
    _gather(body, found)
    for name in _GROUPS:
        group = body.get(name)
        if isinstance(group, Mapping):
            _gather(group, found)
    reasoning = mapping(body.get("reasoning"))
    if reasoning.get("effort") is not None:
        found["reasoning_effort"] = plain(reasoning["effort"])
    tools = _tool_names(body)
    if tools:
        found["tools"] = tools
    fields: dict[str, Any] = {}
    asked_format = _response_format(body)
    if asked_format is not None:
        found["response_format"] = asked_format
        if asked_format.startswith(("json", "application/json")):
            fields["output_format_hint"] = "json"
    if found:
        fields["request"] = found
    user = text(first(body, "user", "safety_identifier", "end_user_id")) or text(
        mapping(body.get("metadata")).get("user_id")
    )
    if user is not None:
        fields["user_id"] = user
    conversation = body.get("conversation")
    chat = text(conversation) or text(mapping(conversation).get("id")) or text(body.get("conversation_id"))
    if chat is not None:
        fields["chat_id"] = chat
    return fields


# Fields that say nothing of how the answer is to be made.
_BARE: Final = frozenset(
    {"model", "messages", "stream", "stream_options", "input", "prompt", "contents", "system", "instructions"}
)


def _gather(values: Mapping[str, Any], found: dict[str, Any]) -> None:
    for name in values.keys() & _PARAMETERS.keys():
        value = values[name]
        if value is not None:
            found[_PARAMETERS[name]] = value if type(value) in _ATOMS else _short(plain(value))


_ATOMS: Final = frozenset({int, float, bool})


def _short(value: Any) -> Any:
    return value if not isinstance(value, str) or len(value) <= _LONGEST_VALUE else value[:_LONGEST_VALUE]


def _tool_names(body: Mapping[str, Any]) -> list[str]:
    tools = first(body, "tools", "functions")
    if tools is None:
        tools = first(mapping(first(body, "toolConfig", "tool_config", "config")), "tools")
    if not isinstance(tools, (list, tuple)):
        return []
    names: list[str] = []
    for tool in tools[:_MOST_TOOLS]:
        given = mapping(tool)
        declared = first(given, "functionDeclarations", "function_declarations")
        for one in declared if isinstance(declared, (list, tuple)) else (given,):
            part = mapping(one)
            inner = mapping(first(part, "function", "toolSpec"))
            name = text(inner.get("name")) or text(part.get("name")) or text(part.get("type"))
            if name is None and part:
                name = str(next(iter(part)))
            if name is not None:
                names.append(name)
    return names


_FORMATS: Final = ("response_format", "output_format", "format")
_CONFIGS: Final = ("generationConfig", "generation_config", "config")
_HOLD_FORMATS: Final = frozenset(
    {*_FORMATS, *_CONFIGS, "text", "output_config", "guided_json", "json_schema"}
)


def _response_format(body: Mapping[str, Any]) -> str | None:
    """Return which form of answer is asked for: `json_schema`, `json_object`, `text`, a media type ..."""
    if _HOLD_FORMATS.isdisjoint(body):
        return None
    for holder in (body, mapping(body.get("text")), mapping(body.get("output_config"))):
        for name in _FORMATS:
            given = holder.get(name)
            if isinstance(given, str) and given:
                return given
            asked_format = mapping(given)
            if asked_format:
                return (
                    text(asked_format.get("type"))
                    if "type" in asked_format and asked_format["type"] != "object"
                    else "json_schema"
                )
    for name in _CONFIGS:
        config = mapping(body.get(name))
        if first(config, "responseSchema", "response_schema", "responseJsonSchema", "response_json_schema"):
            return "json_schema"
        media = text(first(config, "responseMimeType", "response_mime_type"))
        if media is not None:
            return media
    if first(body, "guided_json", "json_schema") is not None:
        return "json_schema"
    return None
