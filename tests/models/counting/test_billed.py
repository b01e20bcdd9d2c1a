"""What a response is billed for beside text tokens is read from where its provider says it."""

from __future__ import annotations

import pytest

from llm_logging import usage_from_response
from llm_logging.models.entry import Usage


def chat(**usage):
    return {
        "choices": [],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, **usage},
    }


def gemini(candidates=(), **usage):
    counts = {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}
    return {"candidates": list(candidates), "usageMetadata": {**counts, **usage}}


def responses(*output, **usage):
    return {
        "object": "response",
        "output": list(output),
        "usage": {"input_tokens": 10, "output_tokens": 5, **usage},
    }


def claude(**usage):
    return {"type": "message", "content": [], "usage": {"input_tokens": 10, "output_tokens": 5, **usage}}


CALLS = [
    {"type": "web_search_call", "action": {"type": "search"}},
    {"type": "web_search_call", "action": {"type": "open_page"}},
    {"type": "file_search_call"},
    {"type": "code_interpreter_call", "container_id": "a"},
    {"type": "code_interpreter_call", "container_id": "a"},
    {"type": "message", "content": []},
]
SEEN = [
    (claude(server_tool_use={"web_search_requests": 3, "web_fetch_requests": 9}), {"units": {"web_searches": 3}}),
    (claude(server_tool_use={"web_search_requests": 0}, speed="standard"), {}),
    (claude(speed="fast"), {"speed": "fast"}),
    (responses(*CALLS), {"units": {"web_searches": 1, "storage_searches": 1, "code_executions": 1}}),
    (responses(output_tokens_details={"image_tokens": 4}), {"image_completion_tokens": 4}),
    # More images than tokens contradict the provider's own count.
    (responses(output_tokens_details={"image_tokens": 6}), {}),
    (responses(input_tokens_details={"image_tokens": 10}), {"image_prompt_tokens": 10}),
    (chat(prompt_tokens_details={"image_tokens": 7}), {"image_prompt_tokens": 7}),
    (chat(num_sources_used=4), {"units": {"live_search_sources": 4}}),
    (chat(server_side_tool_usage_details={"x_search_calls": 2, "web_search_calls": 1}),
     {"units": {"social_searches": 2, "web_searches": 1}}),
    (chat(citation_tokens=8, num_search_queries=2), {"units": {"output_citation_tokens": 8, "web_searches": 2}}),
    (gemini(promptTokensDetails=[{"modality": "IMAGE", "tokenCount": 6}, {"modality": "VIDEO", "tokenCount": 3}]),
     {"image_prompt_tokens": 6, "units": {"input_video_tokens": 3}}),
    (gemini(candidatesTokensDetails=[{"modality": "IMAGE", "tokenCount": 5}]), {"image_completion_tokens": 5}),
    (gemini([{"groundingMetadata": {"webSearchQueries": ["a", "b"]}}]), {"units": {"web_searches": 2}}),
    ({"pages": [], "usage_info": {"pages_processed": 3}}, {"units": {"input_document_pages": 3}}),
    ({"pages": [], "usage_info": {"pages_processed": 3}, "document_annotation": "{}"},
     {"units": {"input_annotated_document_pages": 3}}),
    ({"text": "x", "usage": {"type": "duration", "seconds": 9}}, {"units": {"audio_seconds": 9}}),
    ({"text": "x", "task": "transcribe", "duration": "8.5"}, {"units": {"audio_seconds": 8.5}}),
    ({"created": 1, "data": [{"url": "x"}, {"b64_json": "y"}]}, {"units": {"images": 2}}),
    ({"results": [], "meta": {"billed_units": {"search_units": 1}}}, {"units": {"rerank_searches": 1}}),
    ({"output": {}, "usage": {"inputTokens": 10, "outputTokens": 5}, "performanceConfig": {"latency": "optimized"}},
     {"speed": "optimized"}),
    (chat(), {}),
]  # fmt: skip
FIELDS = ("image_prompt_tokens", "image_completion_tokens", "units", "speed")


@pytest.mark.parametrize(("response", "expected"), SEEN)
def test_a_response(response, expected):
    usage = usage_from_response(response)
    assert {name: getattr(usage, name) for name in FIELDS if getattr(usage, name)} == expected
    # The model agrees that it is a usage.
    assert Usage.model_validate(usage.model_dump(exclude_none=True)).units == usage.units


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (claude(speed="fast", server_tool_use={"web_search_requests": 2})["usage"],
         {"speed": "fast", "units": {"web_searches": 2}}),
        ({"type": "duration", "seconds": 9}, {"units": {"audio_seconds": 9}}),
        (gemini(candidatesTokensDetails=[{"modality": "IMAGE", "tokenCount": 5}])["usageMetadata"],
         {"image_completion_tokens": 5}),
    ],
)  # fmt: skip
def test_a_usage_object_that_stands_for_a_usage(given, expected):
    usage = Usage.model_validate(given)
    assert {name: getattr(usage, name) for name in FIELDS if getattr(usage, name)} == expected


def test_a_stream_says_at_its_end_what_it_is_billed_for():
    events = [
        {"type": "message_start", "message": claude(speed="fast")},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"},
         "usage": {"output_tokens": 5, "server_tool_use": {"web_search_requests": 2}}},
    ]  # fmt: skip
    usage = usage_from_response(events)
    assert (usage.speed, usage.units) == ("fast", {"web_searches": 2})
    chunks = [
        gemini([{"groundingMetadata": {"webSearchQueries": ["a"]}}]),
        gemini([{"finishReason": "STOP"}]),
    ]
    assert usage_from_response(chunks).units == {"web_searches": 1}
