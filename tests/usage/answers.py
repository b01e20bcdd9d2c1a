"""The same answer as each provider gives it, whole and streamed."""

import json

from tests.loopback import named_sse, sse

ARGUMENTS = {"city": "Paris"}
CALL = {"name": "get_weather", "arguments": ARGUMENTS}
_JSON = json.dumps(ARGUMENTS)


def _chat(**message):
    return {
        "id": "c1",
        "object": "chat.completion",
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", **message}}],
    }


def _piece(index=0, finish=None, **delta):
    return {
        "id": "c1",
        "object": "chat.completion.chunk",
        "model": "m",
        "choices": [{"index": index, "delta": delta, "finish_reason": finish}],
    }


def _called(**more):
    return {"role": "assistant", **more, "tool_calls": [{"id": "t1", **CALL}]}


_TOOL = {"id": "t1", "type": "function", "function": {"name": "get_weather", "arguments": _JSON}}
_RESPONSE = {
    "id": "r1",
    "object": "response",
    "status": "completed",
    "model": "m",
    "output": [
        {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Look"}]},
        {"type": "function_call", "call_id": "t1", "name": "get_weather", "arguments": _JSON},
    ],
}
_ANTHROPIC = {
    "id": "m1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "stop_reason": "tool_use",
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "Look"},
        {"type": "tool_use", "id": "t1", "name": "get_weather", "input": ARGUMENTS},
    ],
}
_FULL = {
    "role": "assistant",
    "content": "Look",
    "reasoning": "hm",
    "tool_calls": [{"id": "t1", **CALL}],
}

# Name: a whole body, the events of a stream, what is kept of either.
ANSWERS = {
    "text": (_chat(content="Hé!"), sse(_piece(content="H"), _piece(content="é!"), _piece(finish="stop")), "Hé!"),
    "tool call": (
        _chat(content=None, tool_calls=[_TOOL]),
        sse(
            _piece(role="assistant", content=None, tool_calls=[{"index": 0, **_TOOL, "function": {"name": "get_weather", "arguments": ""}}]),
            *[_piece(tool_calls=[{"index": 0, "function": {"arguments": part}}]) for part in (_JSON[:5], _JSON[5:])],
            _piece(finish="tool_calls"),
        ),
        _called(),
    ),
    "refusal": (
        _chat(content=None, refusal="I can not help"),
        sse(_piece(refusal="I can"), _piece(refusal=" not help"), _piece(finish="stop")),
        {"role": "assistant", "refusal": "I can not help"},
    ),
    "reasoning of vLLM": (
        _chat(content="4", reasoning="2 and 2"),
        sse(_piece(reasoning="2 and"), _piece(reasoning=" 2"), _piece(content="4"), _piece(finish="stop")),
        {"role": "assistant", "content": "4", "reasoning": "2 and 2"},
    ),
    "three choices": (
        {**_chat(), "choices": [{"index": i, "message": {"content": t}} for i, t in enumerate(("Yes", "No", "Oh"))]},
        sse(*[_piece(i, content=t) for i, t in ((0, "Y"), (1, "N"), (0, "es"), (2, "Oh"), (1, "o"))]),
        [{"index": i, "role": "assistant", "content": t} for i, t in enumerate(("Yes", "No", "Oh"))],
    ),
    "responses": (
        _RESPONSE,
        named_sse(
            {"type": "response.created", "response": {**_RESPONSE, "status": "in_progress", "output": []}},
            {"type": "response.output_text.delta", "output_index": 1, "delta": "Lo"},
            {"type": "response.completed", "response": _RESPONSE},
        ),
        _FULL,
    ),
    "responses, broken off": (
        _RESPONSE,
        named_sse(
            {"type": "response.created", "response": {**_RESPONSE, "status": "in_progress", "output": []}},
            {"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "hm"},
            {"type": "response.output_text.delta", "output_index": 1, "sequence_number": 3, "delta": "Lo"},
            {"type": "response.output_text.delta", "output_index": 1, "sequence_number": 4, "delta": "ok"},
            {"type": "response.output_item.added", "output_index": 2, "item": {"type": "function_call", "call_id": "t1", "name": "get_weather", "arguments": ""}},
            {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": _JSON},
        ),
        _FULL,
    ),
    "anthropic": (
        _ANTHROPIC,
        named_sse(
            {"type": "message_start", "message": {**_ANTHROPIC, "content": [], "stop_reason": None}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
            {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Lo"}},
            {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "ok"}},
            {"type": "content_block_start", "index": 2, "content_block": {"type": "tool_use", "id": "t1", "name": "get_weather", "input": {}}},
            {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": _JSON[:4]}},
            {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": _JSON[4:]}},
            {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 1}},
            {"type": "message_stop"},
        ),
        _FULL,
    ),
    "gemini": (
        {"candidates": [{"content": {"parts": [{"text": "hm", "thought": True}, {"text": "Look"}, {"functionCall": {"id": "t1", "name": "get_weather", "args": ARGUMENTS}}]}, "finishReason": "STOP"}]},
        sse(
            {"candidates": [{"content": {"parts": [{"text": "hm", "thought": True}]}}]},
            {"candidates": [{"content": {"parts": [{"text": "Lo"}]}}]},
            {"candidates": [{"content": {"parts": [{"text": "ok"}]}}]},
            {"candidates": [{"content": {"parts": [{"functionCall": {"id": "t1", "name": "get_weather", "args": ARGUMENTS}}]}, "finishReason": "STOP"}]},
            done=False,
        ),
        _FULL,
    ),
    "cohere": (
        {"id": "c", "finish_reason": "TOOL_CALL", "message": {"role": "assistant", "tool_plan": "hm", "content": [{"type": "text", "text": "Look"}], "tool_calls": [_TOOL]}},
        named_sse(
            {"type": "message-start", "id": "c", "delta": {"message": {"role": "assistant"}}},
            {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "hm"}}},
            {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Look"}}}},
            {"type": "tool-call-start", "index": 0, "delta": {"message": {"tool_calls": {**_TOOL, "function": {"name": "get_weather", "arguments": ""}}}}},
            {"type": "tool-call-delta", "index": 0, "delta": {"message": {"tool_calls": {"function": {"arguments": _JSON}}}}},
            {"type": "message-end", "delta": {"finish_reason": "TOOL_CALL"}},
        ),
        _FULL,
    ),
}  # fmt: skip

# What has one form only: transcripts, rankings, native APIs.
WHOLE = {
    "transcript": ({"text": "hello world", "usage": {"type": "duration", "seconds": 1}}, "hello world"),
    "ranking": ({"id": "r", "results": [{"index": 0, "relevance_score": 0.9}]}, [{"index": 0, "relevance_score": 0.9}]),
    "moderation": ({"id": "m", "results": [{"flagged": True}]}, [{"flagged": True}]),
    "embeddings": ({"object": "list", "data": [{"object": "embedding", "embedding": [0.1]}]}, None),
    "converse": (
        {"output": {"message": {"role": "assistant", "content": [{"reasoningContent": {"reasoningText": {"text": "hm"}}}, {"text": "Look"}, {"toolUse": {"toolUseId": "t1", "name": "get_weather", "input": ARGUMENTS}}]}}, "stopReason": "tool_use"},
        _FULL,
    ),
    "ollama": (
        {"model": "m", "message": {"role": "assistant", "content": "Look", "thinking": "hm", "tool_calls": [{"id": "t1", "function": {"name": "get_weather", "arguments": ARGUMENTS}}]}, "done": True},
        _FULL,
    ),
    "titan": ({"inputTextTokenCount": 1, "results": [{"tokenCount": 1, "outputText": "Hi"}]}, "Hi"),
    "arguments that are no JSON": (
        _chat(content=None, tool_calls=[{"id": "t1", "function": {"name": "f", "arguments": '{"a'}}]),
        {"role": "assistant", "tool_calls": [{"id": "t1", "name": "f", "arguments": '{"a'}]},
    ),
    "mistral's thinking": (
        _chat(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "Look"}]),
        {"role": "assistant", "content": "Look", "reasoning": "hm"},
    ),
}  # fmt: skip
