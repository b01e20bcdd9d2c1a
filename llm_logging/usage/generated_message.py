"""What a model answered, whole: text, reasoning, refusal, tool calls and media of every choice.

An `AnswerFold` takes the same events as a `ResponseFold` and holds the pieces until `result`, where they are joined
once. An answer of one choice that is nothing but text is that text. Any other answer is a message, `{"role",
"content", "reasoning", "refusal", "tool_calls", "media"}`, with absent parts left out; several choices are a list of
messages, each with its `index`. A tool call is `{"id", "name", "arguments"}`, its arguments parsed where they are JSON.
The providers' shapes differ in names and nesting only, so one table of part types serves all of them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Final

from ..models.counting.sdk_objects import first, from_json, mapping, plain, text

__all__ = ["AnswerFold"]

# Types of parts that hold a call of a tool, of the application's or of the provider's own.
_CALLS: Final = ("tool_use", "function_call", "_call", "tool-call", "mcp_tool_use", "function.call")
_ARGUMENTS: Final = ("arguments", "input", "args", "parameters", "partial_json", "action", "code", "queries")
_REASONING: Final = ("reasoning_content", "reasoning", "thinking")
_MEDIA: Final = ("inlineData", "inline_data", "image_url", "b64_json", "image", "audio_data")
_VERDICTS: Final = frozenset({"relevance_score", "score", "flagged", "category_scores"})
_THOUGHTS: Final = frozenset({"thinking", "reasoning", "redacted_thinking", "thought"})


class _Choice:
    """The pieces of one choice.

    Attributes:
        calls: Tool calls by the index or id that their pieces name: id, name, pieces of arguments.
    """

    __slots__ = ("calls", "content", "media", "reasoning", "refusal")

    def __init__(self) -> None:
        self.content: list[str] = []
        self.reasoning: list[str] = []
        self.refusal: list[str] = []
        self.calls: dict[Any, list[Any]] = {}
        self.media: list[Any] = []

    def call(self, key: Any, part: Mapping[str, Any]) -> None:
        """Take a call of a tool, or a piece of one.

        Args:
            key: What its pieces have in common; None for a call that comes whole.
            part: The call, in any provider's names.
        """
        function = mapping(part.get("function"))
        inner = {**part, **function} if function else part
        call_id = text(first(inner, "id", "call_id", "tool_call_id", "toolUseId"))
        if key is None:
            key = call_id if call_id is not None else ("whole", len(self.calls))
        known = self.calls.setdefault(key, [None, None, []])
        known[0] = known[0] or call_id
        known[1] = known[1] or text(first(inner, "name", "tool_name")) or _tool_type(inner)
        arguments = first(inner, *_ARGUMENTS)
        if (
            arguments is not None
            and arguments != ""
            and not (arguments == {} and key in self.calls and known[2])
        ):
            known[2].append(arguments)

    def message(self) -> dict[str, Any]:
        """Return the pieces joined, as a message."""
        found: dict[str, Any] = {
            "content": "".join(self.content),
            "reasoning": "".join(self.reasoning),
            "refusal": "".join(self.refusal),
            "tool_calls": [_call(*pieces) for pieces in self.calls.values()],
            "media": self.media,
        }
        return {"role": "assistant", **{name: value for name, value in found.items() if value}}


def _tool_type(part: Mapping[str, Any]) -> str | None:
    kind = text(part.get("type"))
    return kind.removesuffix("_call") if kind is not None and kind.endswith("_call") else None


def _call(call_id: Any, name: Any, pieces: list[Any]) -> dict[str, Any]:
    texts = [piece for piece in pieces if isinstance(piece, str)]
    arguments: Any
    if texts:
        arguments = "".join(texts)
        with contextlib.suppress(ValueError, RecursionError):
            arguments = from_json(arguments)
    else:
        arguments = plain(pieces[-1]) if pieces else {}
    found = {"id": call_id, "name": name}
    return {**{key: value for key, value in found.items() if value is not None}, "arguments": arguments}


class AnswerFold:
    """Gather what was generated, from a whole response or from the events of a stream."""

    __slots__ = ("_choices", "_list", "_whole")

    def __init__(self) -> None:
        self._choices: dict[Any, _Choice] = {}
        self._list: Any = None
        self._whole = False

    def _choice(self, index: Any = 0) -> _Choice:
        found = self._choices.get(index)
        if found is None:
            found = self._choices[index] = _Choice()
        return found

    @property
    def text(self) -> str:
        """The generated text of all choices, without reasoning."""
        return "".join("".join(choice.content) for choice in self._choices.values())

    def result(self) -> Any:
        """Return the answer; see the module. None where nothing was generated."""
        messages = {index: choice.message() for index, choice in self._choices.items()}
        messages = {index: message for index, message in messages.items() if len(message) > 1}
        if not messages:
            return self._list
        if len(messages) == 1:
            only = next(iter(messages.values()))
            return only["content"] if only.keys() == {"role", "content"} else only
        ordered = sorted(messages.items(), key=lambda item: (not isinstance(item[0], int), str(item[0])))
        return [{"index": index, **message} for index, message in ordered]

    # Where the parts lie -----------------------------------------------------------------------------------------

    def add(self, values: Mapping[str, Any], kind: str | None) -> None:
        """Take a response, or an event of a stream, out of its wrappers.

        Args:
            values: The event or the response.
            kind: Its `type`, where it has one.
        """
        choices = values.get("choices")
        if type(choices) is list:
            for position, choice in enumerate(choices):
                self._chat_choice(mapping(choice), position)
            return
        if kind is not None and self._event(values, kind):
            return
        for position, candidate in enumerate(_listed(values.get("candidates"))):
            one = mapping(candidate)
            index = one.get("index")
            choice = self._choice(index if isinstance(index, int) else position)
            self._parts(choice, mapping(one.get("content")).get("parts"))
        if "contentBlockIndex" in values:
            self._block(values.get("contentBlockIndex"), values.get("start") or values.get("delta"))
            return
        if "output" in values:
            self._output(values["output"])
        for position, item in enumerate(_listed(values.get("outputs"))):
            self._output_of_several(mapping(item), position)
        self._plain_names(values, kind)

    def add_messages(self, messages: list[Any]) -> None:
        """Take several whole messages, one a choice."""
        for index, message in enumerate(messages):
            self._message(self._choice(index), mapping(message))

    def _chat_choice(self, choice: Mapping[str, Any], position: int) -> None:
        index = choice.get("index")
        target = self._choice(index if type(index) is int else position)
        part = choice.get("delta")
        if part is None:
            part = choice.get("message")
        if part is None:
            self._parts(target, choice.get("text"))
            return
        if type(part) is not dict:
            part = mapping(part)
        content = part.get("content")
        if type(content) is str:
            if content:
                target.content.append(content)
            if len(part) == 1:
                return
        elif content is not None:
            self._parts(target, content)
        self._message(target, part, content=False)

    def _message(self, target: _Choice, part: Mapping[str, Any], *, content: bool = True) -> None:
        """Take a message, or the pieces of one, in the names of chat completions, Cohere, Ollama and LangChain."""
        if content:
            self._parts(target, part.get("content"))
        for name in _REASONING:
            value = part.get(name)
            if value:
                self._reasoning(target, value)
                break
        else:
            for detail in _listed(part.get("reasoning_details")):
                self._reasoning(target, first(mapping(detail), "text", "summary"))
        self._reasoning(target, part.get("tool_plan"))
        refusal = part.get("refusal")
        if isinstance(refusal, str) and refusal:
            target.refusal.append(refusal)
        calls = part.get("tool_calls")
        for position, call in enumerate(_listed(calls) or ([calls] if mapping(calls) else [])):
            one = mapping(call)
            index = one.get("index")
            target.call(index if index is not None else one.get("id") or ("at", position), one)
        legacy = mapping(part.get("function_call"))
        if legacy:
            target.call("function_call", legacy)
        spoken = mapping(part.get("audio"))
        if spoken:
            self._parts(target, spoken.get("transcript"))
            if spoken.get("data"):
                target.media.append({"type": "audio", "data": spoken["data"]})
        for image in _listed(part.get("images")):
            target.media.append(plain(image))

    def _reasoning(self, target: _Choice, value: Any) -> None:
        if isinstance(value, str):
            if value:
                target.reasoning.append(value)
        elif isinstance(value, (list, tuple)):
            for one in value:
                self._reasoning(target, one)
        elif value is not None:
            part = mapping(value)
            self._reasoning(target, first(part, "text", "thinking", "reasoningText", "summary", "content"))

    def _parts(self, target: _Choice, value: Any) -> None:
        """Take content: a text, a part, or a list of them."""
        if isinstance(value, str):
            if value:
                target.content.append(value)
        elif isinstance(value, (list, tuple)) or type(value).__name__.startswith("Repeated"):
            for one in value:
                self._parts(target, one)
        elif value is not None:
            self._part(target, mapping(value))

    def _part(self, target: _Choice, part: Mapping[str, Any], key: Any = None) -> None:
        kind = text(part.get("type")) or ""
        if kind in _THOUGHTS or part.get("thought") is True:
            self._reasoning(target, first(part, "thinking", "summary", "content", "reasoning", "text"))
            if kind == "reasoning" and part.get("summary") and part.get("content"):
                self._reasoning(target, part["content"])
            return
        if kind.endswith(_CALLS):
            if kind == "image_generation_call":
                target.media.append({"type": "image", "data": part.get("result")})
                return
            target.call(key if key is not None else part.get("id"), part)
            return
        self._named_parts(target, part, key)
        if isinstance(part.get("refusal"), str):
            target.refusal.append(part["refusal"])
        if kind in ("message", "message.output"):
            self._message(target, part)
            return
        value = first(part, "text", "transcript", "output_text")
        if isinstance(value, str):
            if value:
                target.content.append(value)
        elif value is not None:
            # Assistants: a text with its annotations.
            self._parts(target, mapping(value).get("value"))
        if any(part.get(name) is not None for name in _MEDIA) or kind in ("image", "audio", "video"):
            target.media.append(plain({name: value for name, value in part.items() if name != "text"}))

    def _named_parts(self, target: _Choice, part: Mapping[str, Any], key: Any) -> None:
        """Take what Gemini and Converse tell by the name of the part's one field."""
        for name in ("functionCall", "function_call", "toolUse", "toolCall"):
            if part.get(name) is not None:
                target.call(key, mapping(part[name]))
        if part.get("reasoningContent") is not None:
            inner = mapping(part["reasoningContent"])
            self._reasoning(target, first(inner, "reasoningText", "text"))
        for name in ("executableCode", "executable_code"):
            if part.get(name) is not None:
                target.call(None, {"name": "code_execution", "arguments": plain(part[name])})

    def _block(self, index: Any, value: Any) -> None:
        """Take the start of a block of content, or a piece of one (Anthropic, Converse)."""
        target, block = self._choice(), mapping(value)
        if "toolUse" in block:
            target.call(("block", index), mapping(block["toolUse"]))
        elif "partial_json" in block:
            target.call(("block", index), block)
        elif "thinking" in block:
            self._reasoning(target, block["thinking"])
        else:
            self._part(target, block, key=("block", index))

    def _output(self, output: Any) -> None:
        if isinstance(output, str):
            self._parts(self._choice(), output)
        elif isinstance(output, (list, tuple)):
            for item in output:
                if isinstance(item, str):
                    self._parts(self._choice(), item)
                else:
                    self._part(self._choice(), mapping(item))
        elif output is not None:
            inner = mapping(output)
            choices = _listed(inner.get("choices"))
            for position, choice in enumerate(choices):
                self._chat_choice(mapping(choice), position)
            if not choices:
                self._message(self._choice(), mapping(inner.get("message")))
                self._parts(self._choice(), inner.get("text"))
            if isinstance(inner.get("results"), (list, tuple)):
                self._take_list(inner["results"])

    def _output_of_several(self, item: Mapping[str, Any], position: int) -> None:
        if "type" in item:
            # Items of one answer: Gemini's interactions, Mistral's conversations.
            self._part(self._choice(), item)
            return
        inner = item.get("delta") if item.get("delta") is not None else item.get("message")
        target = self._choice(position)
        if inner is None:
            self._parts(target, item.get("text"))
        else:
            self._message(target, mapping(inner))

    # Events by their type ----------------------------------------------------------------------------------------

    def _event(self, values: Mapping[str, Any], kind: str) -> bool:
        """Take an event that its type tells; say whether it was one."""
        if kind.startswith(("response.", "conversation.")) and values.get("object") not in (
            "response",
            "realtime.response",
        ):
            if kind.startswith("response."):
                self._response_event(values, kind)
                return True
        elif values.get("object") in ("response", "realtime.response"):
            output = values.get("output")
            if output:
                # The whole answer takes the place of its pieces.
                self._choices.clear()
                self._output(output)
            return True
        if kind == "content_block_start":
            self._block(values.get("index"), values.get("content_block"))
            return True
        if kind == "content_block_delta":
            self._block(values.get("index"), values.get("delta"))
            return True
        if kind in ("content.delta", "content.start"):
            self._block(values.get("index"), values.get("delta") or values.get("content"))
            return True
        if kind in ("message.output.delta", "text-generation"):
            self._parts(self._choice(), first(values, "content", "text"))
            return True
        if kind == "function.call.delta":
            self._choice().call(values.get("id"), values)
            return True
        if kind.startswith("transcript.text."):
            if kind.endswith("delta"):
                self._parts(self._choice(), values.get("delta"))
            return True
        if kind in (
            "tool-call-start",
            "tool-call-delta",
            "content-start",
            "content-delta",
            "tool-plan-delta",
        ):
            self._cohere_event(values)
            return True
        return kind in ("content_block_stop", "message_stop", "message_delta", "message_start", "ping")

    def _cohere_event(self, values: Mapping[str, Any]) -> None:
        message = mapping(mapping(values.get("delta")).get("message"))
        target = self._choice()
        content = mapping(message.get("content"))
        self._parts(target, content.get("text"))
        self._reasoning(target, content.get("thinking"))
        self._reasoning(target, message.get("tool_plan"))
        call = mapping(message.get("tool_calls"))
        if call:
            target.call(("block", values.get("index")), call)

    def _response_event(self, values: Mapping[str, Any], kind: str) -> None:
        target, delta = self._choice(), values.get("delta")
        at = ("item", values.get("output_index"))
        if kind == "response.output_item.added":
            item = mapping(values.get("item"))
            if (text(item.get("type")) or "").endswith("_call") and not item.get("arguments"):
                target.call(
                    at, {"name": item.get("name"), "call_id": item.get("call_id"), "type": item.get("type")}
                )
        elif not isinstance(delta, str):
            return
        elif kind in ("response.output_text.delta", "response.text.delta") or "transcript.delta" in kind:
            target.content.append(delta)
        elif kind == "response.refusal.delta":
            target.refusal.append(delta)
        elif "reasoning" in kind:
            target.reasoning.append(delta)
        elif kind.endswith(("arguments.delta", "input.delta", "code.delta")):
            target.call(at, {"arguments": delta})

    # Names at the top --------------------------------------------------------------------------------------------

    def _plain_names(self, values: Mapping[str, Any], kind: str | None) -> None:
        """Take what native APIs keep among the fields of the response itself."""
        target = self._choice()
        message = values.get("message")
        if message is not None and not isinstance(message, str):
            self._message(target, mapping(message))
        elif "content" in values or "tool_calls" in values or "refusal" in values:
            self._message(target, values)
        if isinstance(values.get("response"), str):
            self._reasoning(target, values.get("thinking"))
        for name in ("response", "generation", "completion", "outputText", "generated_text", "text"):
            value = values.get(name)
            if isinstance(value, str) and value:
                target.content.append(value)
                break
        delta = values.get("delta")
        if delta is not None and kind is None:
            inner = mapping(delta)
            self._parts(target, inner.get("text"))
            self._message(target, mapping(inner.get("message")))
        token = mapping(values.get("token"))
        if token and not token.get("special"):
            self._parts(target, token.get("text"))
        self._lists(values)

    def _lists(self, values: Mapping[str, Any]) -> None:
        for name in ("results", "generations"):
            several = values.get(name)
            if isinstance(several, (list, tuple)) and several:
                self._texts_of(several)
                self._take_list(several)
        data = values.get("data")
        if isinstance(data, (list, tuple)) and data:
            self._data(data)

    def _texts_of(self, several: Any) -> None:
        """Take the texts of several answers (Titan, watsonx, Cohere's first version)."""
        for position, item in enumerate(several):
            found = first(mapping(item), "outputText", "generated_text", "text")
            if isinstance(found, str):
                self._choice(position).content.append(found)

    def _take_list(self, several: Any) -> None:
        """Keep a list of scores (of a ranking) or verdicts (of a moderation) as it is."""
        if not all(_VERDICTS.isdisjoint(mapping(item)) for item in several):
            self._list = plain(several)

    def _data(self, data: Any) -> None:
        head = mapping(data[0])
        if "relevance_score" in head:
            self._list = plain(data)
        elif "b64_json" in head or "url" in head:
            target = self._choice()
            for item in data:
                target.media.append({"type": "image", **plain(item)})
        elif "embedding" not in head:
            for message in data:
                # Lists of messages of a thread.
                if mapping(message).get("object") == "thread.message":
                    self._message(self._choice(), mapping(message))


def _listed(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    return list(value) if isinstance(value, tuple) or type(value).__name__.startswith("Repeated") else []
