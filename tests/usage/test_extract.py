"""One law a provider: how its usage becomes ours."""

import dataclasses
import json
from types import SimpleNamespace
from unittest.mock import MagicMock

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_logging.models.entry import Usage
from llm_logging.usage.extract import extract, usage_from_response

COUNTS = (
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
    "audio_prompt_tokens",
    "audio_completion_tokens",
)


def counts(response, **kwargs):
    usage = usage_from_response(response, **kwargs)
    return (
        None
        if usage is None
        else {name: getattr(usage, name) for name in COUNTS if getattr(usage, name) is not None}
    )


def test_openai_chat():
    response = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "gpt-4o-2024-08-06",
        "service_tier": "default",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"content": "hi"}}],
        "usage": {
            "prompt_tokens": 100,
            "completion_tokens": 50,
            "total_tokens": 150,
            "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 3, "cache_write_tokens": 10},
            "completion_tokens_details": {"reasoning_tokens": 32, "audio_tokens": 4},
        },
    }
    found = extract(response, keep_text=True)
    assert counts(response) == {
        "prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150, "cache_read_tokens": 64,
        "cache_write_tokens": 10, "reasoning_tokens": 32, "audio_prompt_tokens": 3, "audio_completion_tokens": 4,
    }  # fmt: skip
    assert found.usage.raw == response["usage"]
    assert found.usage.source == "provider"
    assert (found.response_model, found.provider_response_id) == ("gpt-4o-2024-08-06", "chatcmpl-1")
    assert (found.finish_reasons, found.service_tier, found.text) == (["stop"], "default", "hi")
    assert found.complete


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        # OpenAI responses
        (
            {"input_tokens": 10, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 6,
             "output_tokens_details": {"reasoning_tokens": 5}, "total_tokens": 16},
            {"prompt_tokens": 10, "completion_tokens": 6, "total_tokens": 16, "cache_read_tokens": 4,
             "reasoning_tokens": 5},
        ),
        # OpenAI realtime
        (
            {"input_tokens": 9, "output_tokens": 7, "total_tokens": 16,
             "input_token_details": {"cached_tokens": 2, "text_tokens": 5, "audio_tokens": 4},
             "output_token_details": {"text_tokens": 1, "audio_tokens": 6}},
            {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16, "cache_read_tokens": 2,
             "audio_prompt_tokens": 4, "audio_completion_tokens": 6},
        ),
        # OpenAI images
        (
            {"total_tokens": 100, "input_tokens": 50, "output_tokens": 50,
             "input_tokens_details": {"text_tokens": 10, "image_tokens": 40}},
            {"prompt_tokens": 50, "completion_tokens": 50, "total_tokens": 100},
        ),
        # Anthropic, one-hour cache
        (
            {"input_tokens": 3, "cache_read_input_tokens": 9511, "cache_creation_input_tokens": 1956,
             "cache_creation": {"ephemeral_5m_input_tokens": 956, "ephemeral_1h_input_tokens": 1000},
             "output_tokens": 44},
            {"prompt_tokens": 11470, "completion_tokens": 44, "total_tokens": 11514, "cache_read_tokens": 9511,
             "cache_write_tokens": 1956, "cache_write_1h_tokens": 1000},
        ),
        # Anthropic, cache fields null
        (
            {"input_tokens": 3, "cache_read_input_tokens": None, "cache_creation_input_tokens": None,
             "output_tokens": 44},
            {"prompt_tokens": 3, "completion_tokens": 44, "total_tokens": 47},
        ),
        # Bedrock Converse with a one-hour cache
        (
            {"inputTokens": 5, "outputTokens": 6, "totalTokens": 2011, "cacheReadInputTokens": 1000,
             "cacheWriteInputTokens": 1000, "cacheDetails": [{"ttl": "1h", "inputTokens": 600},
                                                               {"ttl": "5m", "inputTokens": 400}]},
            {"prompt_tokens": 2005, "completion_tokens": 6, "total_tokens": 2011, "cache_read_tokens": 1000,
             "cache_write_tokens": 1000, "cache_write_1h_tokens": 600},
        ),
        # DeepSeek
        (
            {"prompt_tokens": 563, "completion_tokens": 116, "total_tokens": 679, "prompt_cache_hit_tokens": 512,
             "prompt_cache_miss_tokens": 51},
            {"prompt_tokens": 563, "completion_tokens": 116, "total_tokens": 679, "cache_read_tokens": 512},
        ),
        # Mistral
        (
            {"prompt_tokens": 100, "completion_tokens": 1, "total_tokens": 101, "num_cached_tokens": 48},
            {"prompt_tokens": 100, "completion_tokens": 1, "total_tokens": 101, "cache_read_tokens": 48},
        ),
        # xAI: the total says that reasoning is beside the completion
        (
            {"prompt_tokens": 14, "completion_tokens": 37, "reasoning_tokens": 465, "total_tokens": 516},
            {"prompt_tokens": 14, "completion_tokens": 502, "total_tokens": 516, "reasoning_tokens": 465},
        ),
        # LiteLLM on Anthropic: chat shape, cached tokens included
        (
            {"prompt_tokens": 11470, "completion_tokens": 44, "total_tokens": 11514,
             "cache_read_input_tokens": 9511, "cache_creation_input_tokens": 1956},
            {"prompt_tokens": 11470, "completion_tokens": 44, "total_tokens": 11514, "cache_read_tokens": 9511,
             "cache_write_tokens": 1956},
        ),
        # A gateway that leaves the cache out of the prompt
        (
            {"prompt_tokens": 3, "completion_tokens": 44, "cache_read_input_tokens": 9511},
            {"prompt_tokens": 9514, "completion_tokens": 44, "total_tokens": 9558, "cache_read_tokens": 9511},
        ),
        # LangChain's own
        (
            {"input_tokens": 350, "output_tokens": 240, "total_tokens": 590,
             "input_token_details": {"audio": 10, "cache_creation": 200, "cache_read": 100},
             "output_token_details": {"audio": 10, "reasoning": 200}},
            {"prompt_tokens": 350, "completion_tokens": 240, "total_tokens": 590, "cache_read_tokens": 100,
             "cache_write_tokens": 200, "reasoning_tokens": 200, "audio_prompt_tokens": 10,
             "audio_completion_tokens": 10},
        ),
        # Cohere
        (
            {"billed_units": {"input_tokens": 45, "output_tokens": 29}, "cached_tokens": 1024,
             "tokens": {"input_tokens": 1469, "output_tokens": 42}},
            {"prompt_tokens": 1469, "completion_tokens": 42, "total_tokens": 1511, "cache_read_tokens": 1024},
        ),
        # Embeddings: nothing is generated, and nothing is said about it
        ({"prompt_tokens": 4, "total_tokens": 4}, {"prompt_tokens": 4, "total_tokens": 4}),
        # Zero is a count
        ({"prompt_tokens": 0, "completion_tokens": 0}, {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}),
        # 64-bit numbers are texts in protobuf's JSON, and some servers send 12.0
        ({"prompt_tokens": "12", "completion_tokens": 3.0}, {"prompt_tokens": 12, "completion_tokens": 3,
                                                             "total_tokens": 15}),
    ],
)  # fmt: skip
def test_usage_objects(usage, expected):
    assert counts({"id": "x", "model": "m", "usage": usage}) == expected
    assert usage_from_response({"usage": usage}).raw is not None


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        # Gemini: thoughts and tool prompts are counted beside
        (
            {"candidates": [{"finishReason": "STOP", "content": {"parts": [{"text": "x"}]}}],
             "usageMetadata": {"promptTokenCount": 196, "toolUsePromptTokenCount": 1732, "candidatesTokenCount": 170,
                               "thoughtsTokenCount": 773, "cachedContentTokenCount": 61, "totalTokenCount": 2871,
                               "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 100},
                                                       {"modality": "AUDIO", "tokenCount": 96}]}},
            {"prompt_tokens": 1928, "completion_tokens": 943, "total_tokens": 2871, "cache_read_tokens": 61,
             "reasoning_tokens": 773, "audio_prompt_tokens": 96},
        ),
        # Gemini: protobuf leaves zeros out
        (
            {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 9, "totalTokenCount": 9}},
            {"prompt_tokens": 9, "completion_tokens": 0, "total_tokens": 9},
        ),
        # Ollama
        (
            {"model": "llama3", "done": True, "done_reason": "stop", "message": {"content": "x"},
             "prompt_eval_count": 26, "eval_count": 298, "prompt_eval_duration": 1_000_000, "total_duration": 5},
            {"prompt_tokens": 26, "completion_tokens": 298, "total_tokens": 324},
        ),
        # Ollama with the prompt in its cache says nothing of it
        ({"model": "llama3", "done": True, "eval_count": 8}, {"completion_tokens": 8, "total_tokens": 8}),
        # Titan, Llama and Nova as Bedrock's InvokeModel gives them
        ({"inputTextTokenCount": 5, "results": [{"tokenCount": 40, "outputText": "x", "completionReason": "FINISH"}]},
         {"prompt_tokens": 5, "completion_tokens": 40, "total_tokens": 45}),
        ({"generation": "x", "prompt_token_count": 5, "generation_token_count": 7, "stop_reason": "stop"},
         {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}),
        ({"output": {"message": {"content": [{"text": "x"}]}}, "stopReason": "end_turn",
          "usage": {"inputTokens": 5, "outputTokens": 7, "totalTokens": 12, "cacheReadInputTokenCount": 0}},
         {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12, "cache_read_tokens": 0}),
        # Voyage, which names only a total
        ({"object": "list", "data": [{"embedding": [0.1]}], "usage": {"total_tokens": 3}},
         {"prompt_tokens": 3, "total_tokens": 3}),
        # Cohere's embeddings
        ({"embeddings": {"float": [[0.1]]}, "meta": {"billed_units": {"input_tokens": 4}}},
         {"prompt_tokens": 4, "total_tokens": 4}),
        # Moonshot's streams
        ({"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop",
          "usage": {"prompt_tokens": 8, "completion_tokens": 2, "total_tokens": 10}}]},
         {"prompt_tokens": 8, "completion_tokens": 2, "total_tokens": 10}),
        # Wrapped: a line of OpenAI's batch output, one of Anthropic's
        ({"custom_id": "a", "response": {"status_code": 200, "body": {"usage": {"prompt_tokens": 1,
                                                                              "completion_tokens": 2}}}},
         {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}),
        ({"custom_id": "a", "result": {"type": "succeeded", "message": {"usage": {"input_tokens": 1,
                                                                               "output_tokens": 2}}}},
         {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}),
        # The usage object itself
        ({"prompt_tokens": 1, "completion_tokens": 2}, {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}),
        # Text Generation Inference
        ({"generated_text": "ab", "details": {"finish_reason": "length", "generated_tokens": 2,
                                              "prefill": [{"id": 1}, {"id": 2}, {"id": 3}]}},
         {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}),
        ([{"generated_text": "ab", "details": {"finish_reason": "length", "generated_tokens": 2, "prefill": []}}],
         {"completion_tokens": 2, "total_tokens": 2}),
        # watsonx.ai
        ({"model_id": "x", "results": [{"generated_text": "a", "generated_token_count": 2, "input_token_count": 9}]},
         {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}),
        # Gemini: the total contradicts the cached part, which is never beside the prompt
        ({"candidates": [], "usageMetadata": {"promptTokenCount": 10, "cachedContentTokenCount": 40,
                                              "candidatesTokenCount": 3, "totalTokenCount": 13}},
         {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13}),
        # Cohere counts a ranking in searches: no tokens
        ({"id": "e", "results": [{"index": 0, "relevance_score": 0.9}], "meta": {"billed_units": {"search_units": 1}}},
         {}),
        # A transcription that is billed by its length
        ({"text": "x", "usage": {"type": "duration", "seconds": 9}}, {}),
        # vLLM
        ({"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13,
                                   "prompt_tokens_details": None, "completion_tokens_details": None}},
         {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13}),
        # Only one of the two is known
        ({"usage": {"completion_tokens": 2}}, {"completion_tokens": 2, "total_tokens": 2}),
    ],
)  # fmt: skip
def test_responses(response, expected):
    assert counts(response) == expected


@pytest.mark.parametrize(
    "nothing",
    [
        None, 7, "", b"", "text", b"\x00\xff", [], {}, {"usage": None}, {"usage": {}}, {"usage": "many"}, {"usage": 3},
        {"usage": {"prompt_tokens": None}}, {"usage": {"prompt_tokens": -1}}, {"usage": {"prompt_tokens": "1e3"}},
        {"usage": {"prompt_tokens": True}}, {"usage": {"prompt_tokens": float("nan")}}, {"usage": {"total_tokens": 9}},
        {"usage": {"prompt_tokens": 10**30, "completion_tokens": 1}}, {"choices": None}, {"candidates": 3}, [None, 3],
        MagicMock(), object(), Exception("x"), {"error": {"message": "no"}}, ["data: [DONE]"], lambda: None, type,
    ],
)  # fmt: skip
def test_nothing_is_none(nothing):
    assert usage_from_response(nothing) is None


def test_contradictions_keep_the_counts_and_the_providers_words():
    raw = {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10,
           "prompt_tokens_details": {"cached_tokens": 50}, "completion_tokens_details": {"reasoning_tokens": 50}}  # fmt: skip
    usage = usage_from_response({"usage": raw})
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (5, 5, 10)
    assert (usage.cache_read_tokens, usage.reasoning_tokens) == (None, None)
    assert usage.raw == raw


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "usage",
                    "usageMetadata",
                    "prompt_tokens",
                    "completion_tokens",
                    "input_tokens",
                    "output_tokens",
                    "type",
                    "choices",
                    "delta",
                    "message",
                    "response",
                    "data",
                    "meta",
                    "tokens",
                    "billed_units",
                    "iterations",
                    "promptTokenCount",
                    "totalTokenCount",
                    "cache_read_input_tokens",
                    "error",
                    "total_tokens",
                    "metadata",
                    "prompt_tokens_details",
                    "cached_tokens",
                    "chunk",
                    "object",
                    "inputTokens",
                    "cost",
                    "finish_reason",
                ]
            ),  # fmt: skip
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_nothing_ever_raises_and_the_rules_always_hold(value):
    for form in (value, json.dumps(value), [value, value], [json.dumps(value)]):
        found = extract(form, keep_text=True)
        usage = found.usage
        if usage is not None:
            assert isinstance(usage, Usage)
            parts = [part for part in (usage.prompt_tokens, usage.completion_tokens) if part is not None]
            assert parts
            assert usage.total_tokens == sum(parts)
            if usage.prompt_tokens is not None:
                assert (usage.cache_read_tokens or 0) + (usage.cache_write_tokens or 0) <= usage.prompt_tokens


# Forms ------------------------------------------------------------------------------------------------------------


class Details(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    cached_tokens: int | None = None


class SDKUsage(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    prompt_tokens: int
    completion_tokens: int
    prompt_tokens_details: Details | None = None


class SDKResponse(pydantic.BaseModel):
    id: str
    model: str
    usage: SDKUsage | None = None


@dataclasses.dataclass
class PlainUsage:
    input_tokens: int
    output_tokens: int
    cache_read_input_tokens: int | None = None


def test_sdk_objects_are_read_without_running_anything_of_theirs():
    usage = SDKUsage(
        prompt_tokens=10, completion_tokens=2, prompt_tokens_details=Details(cached_tokens=4), cost=0.5
    )
    response = SDKResponse(id="r", model="m", usage=usage)
    found = extract(response)
    assert counts(response) == {
        "prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12, "cache_read_tokens": 4,
    }  # fmt: skip
    assert (found.provider_response_id, found.response_model, str(found.cost.amount)) == ("r", "m", "0.5")

    class Trap:
        def __init__(self):
            self.usage = PlainUsage(1, 2, 3)

        @property
        def content(self):
            raise AssertionError("a property was asked")

        def __getattr__(self, name):
            raise AssertionError(f"{name} was asked")

    assert counts(Trap()) == {
        "prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6, "cache_read_tokens": 3,
    }  # fmt: skip
    assert (
        counts(SimpleNamespace(usage=SimpleNamespace(prompt_tokens=1, completion_tokens=2)))["total_tokens"]
        == 3
    )


def test_http_responses_that_were_read_are_read_from_memory():
    httpx = pytest.importorskip("httpx")
    body = {"id": "x", "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
    assert counts(httpx.Response(200, json=body))["total_tokens"] == 3
    unread = httpx.Response(200, content=iter([json.dumps(body).encode()]))
    assert usage_from_response(unread) is None
    assert json.loads(unread.read()) == body


def test_boto_responses():
    converse = {
        "ResponseMetadata": {"RequestId": "req-1", "HTTPHeaders": {}},
        "output": {"message": {"role": "assistant", "content": [{"text": "hi"}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 5, "outputTokens": 6, "totalTokens": 11},
        "metrics": {"latencyMs": 189},
    }
    found = extract(converse)
    assert (found.provider_response_id, found.finish_reasons, found.provider_latency_ms) == (
        "req-1",
        ["end_turn"],
        189,
    )
    native = {
        "ResponseMetadata": {
            "RequestId": "req-2",
            "HTTPHeaders": {
                "x-amzn-bedrock-input-token-count": "4",
                "x-amzn-bedrock-output-token-count": "9",
                "x-amzn-bedrock-cache-read-input-token-count": "100",
            },
        },
        "body": object(),
    }
    assert counts(native) == {
        "prompt_tokens": 104, "completion_tokens": 9, "total_tokens": 113, "cache_read_tokens": 100,
    }  # fmt: skip


def test_times_that_providers_state():
    groq = {
        "usage": {
            "prompt_tokens": 1,
            "completion_tokens": 1,
            "queue_time": 0.1,
            "prompt_time": 0.02,
            "total_time": 0.3,
        }
    }
    assert extract(groq).time_to_first_token_ms == pytest.approx(120)
    assert extract(groq).provider_latency_ms == pytest.approx(400)
    ollama = {"done": True, "eval_count": 1, "load_duration": 2_000_000, "prompt_eval_duration": 3_000_000,
              "total_duration": 9_000_000}  # fmt: skip
    assert extract(ollama).time_to_first_token_ms == pytest.approx(5)
    assert extract(ollama).provider_latency_ms == pytest.approx(9)


def test_costs_that_gateways_state():
    def cost(usage):
        found = extract({"usage": {"prompt_tokens": 1, "completion_tokens": 1, **usage}}).cost
        return None if found is None else (str(found.amount), found.source)

    assert cost({"cost": 0.1}) == ("0.1", "provider")
    assert cost({"cost": 0}) == ("0", "provider")
    assert cost({"cost": 0, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.0003253}}) == (
        "0.0003253",
        "provider+upstream",
    )
    assert cost({"cost_in_usd_ticks": "1043500"}) == ("0.00010435", "provider")
    assert cost({"estimated_cost": 1e-05}) == ("0.00001", "provider")
    assert cost({"cost": {"total_cost": 0.006}}) == ("0.006", "provider")
    assert cost({"cost": None}) is None
    assert cost({"cost": float("nan")}) is None
    assert cost({"cost": -1}) is None
    assert str(extract({}, headers={"X-LiteLLM-Response-Cost": "1e-06"}).cost.amount) == "0.000001"


def bedrock_chunks(*events):
    return [{"chunk": {"bytes": json.dumps(event).encode()}} for event in events]


METRICS = {"inputTokenCount": 5, "outputTokenCount": 8, "invocationLatency": 500, "firstByteLatency": 100}
CLAUDE_START = {"type": "message_start", "message": {"id": "msg", "model": "claude", "usage": {
    "input_tokens": 3, "cache_creation_input_tokens": 100, "cache_read_input_tokens": 50, "output_tokens": 1,
    "cache_creation": {"ephemeral_5m_input_tokens": 60, "ephemeral_1h_input_tokens": 40}}}}  # fmt: skip
CLAUDE = {"prompt_tokens": 153, "completion_tokens": 9, "total_tokens": 162, "cache_read_tokens": 50,
          "cache_write_tokens": 100, "cache_write_1h_tokens": 40}  # fmt: skip
STOPPED = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}}


@pytest.mark.parametrize(
    ("events", "expected", "reasons"),
    [
        # Llama: the prompt in the first event, null afterwards
        (bedrock_chunks(
            {"generation": "a", "prompt_token_count": 5, "generation_token_count": 1, "stop_reason": None},
            {"generation": "", "prompt_token_count": None, "generation_token_count": 8, "stop_reason": "stop",
             "amazon-bedrock-invocationMetrics": METRICS}),
         {"prompt_tokens": 5, "completion_tokens": 8, "total_tokens": 13}, ["stop"]),
        # Titan
        (bedrock_chunks(
            {"outputText": "a", "inputTextTokenCount": 5, "totalOutputTextTokenCount": None, "completionReason": None},
            {"outputText": "", "inputTextTokenCount": None, "totalOutputTextTokenCount": 8, "completionReason": "FINISH",
             "amazon-bedrock-invocationMetrics": METRICS}),
         {"prompt_tokens": 5, "completion_tokens": 8, "total_tokens": 13}, ["FINISH"]),
        # Mistral on Bedrock: Bedrock's own counts are all there is
        (bedrock_chunks(
            {"outputs": [{"text": "a", "stop_reason": None}]},
            {"outputs": [{"text": "", "stop_reason": "stop"}], "amazon-bedrock-invocationMetrics": METRICS}),
         {"prompt_tokens": 5, "completion_tokens": 8, "total_tokens": 13}, ["stop"]),
        # Claude on Bedrock: the model tells more, the one-hour cache among it
        (bedrock_chunks(
            CLAUDE_START, STOPPED,
            {"type": "message_stop", "amazon-bedrock-invocationMetrics": {
                "inputTokenCount": 3, "outputTokenCount": 9, "cacheReadInputTokenCount": 50,
                "cacheWriteInputTokenCount": 100}}),
         CLAUDE, ["end_turn"]),
        # Anthropic: later counts are totals, null says nothing
        ([CLAUDE_START, {**STOPPED, "usage": {"output_tokens": 4}},
          {**STOPPED, "usage": {"input_tokens": None, "cache_read_input_tokens": None, "output_tokens": 9}},
          {"type": "message_stop"}],
         CLAUDE, ["end_turn"]),
        # Converse
        ([{"messageStart": {"role": "assistant"}}, {"messageStop": {"stopReason": "end_turn"}},
          {"metadata": {"usage": {"inputTokens": 5, "outputTokens": 8, "totalTokens": 13}, "metrics": {"latencyMs": 1}}}],
         {"prompt_tokens": 5, "completion_tokens": 8, "total_tokens": 13}, ["end_turn"]),
        # Cohere's first version: the reason stands beside the response
        ([{"event_type": "stream-start", "generation_id": "g", "is_finished": False},
          {"event_type": "text-generation", "text": "a", "is_finished": False},
          {"event_type": "stream-end", "is_finished": True, "finish_reason": "COMPLETE", "response": {
              "text": "a", "meta": {"billed_units": {"input_tokens": 1, "output_tokens": 8},
                                    "tokens": {"input_tokens": 5, "output_tokens": 8}}}}],
         {"prompt_tokens": 5, "completion_tokens": 8, "total_tokens": 13}, ["COMPLETE"]),
        # Text Generation Inference
        ([{"index": 1, "token": {"text": "a"}, "generated_text": None, "details": None},
          {"index": 2, "token": {"text": "b"}, "generated_text": "ab",
           "details": {"finish_reason": "eos_token", "generated_tokens": 8, "input_length": 5}}],
         {"prompt_tokens": 5, "completion_tokens": 8, "total_tokens": 13}, ["eos_token"]),
        # xAI: running totals, reasoning beside the completion
        ([{"choices": [{"index": 0, "delta": {"content": "a"}}], "object": "chat.completion.chunk", "usage": {
            "prompt_tokens": 5, "completion_tokens": count, "total_tokens": 105 + count,
            "completion_tokens_details": {"reasoning_tokens": 100}}} for count in (1, 8)],
         {"prompt_tokens": 5, "completion_tokens": 108, "total_tokens": 113, "reasoning_tokens": 100}, None),
    ],
    ids=["llama", "titan", "mistral", "claude on bedrock", "anthropic", "converse", "cohere 1", "tgi", "xai"],
)  # fmt: skip
def test_streams_whose_counts_come_in_parts(events, expected, reasons):
    found = extract(events)
    told = {name: value for name, value in vars(found.usage).items() if value is not None}
    assert {name: value for name, value in told.items() if name not in ("raw", "source")} == expected
    assert found.finish_reasons == reasons


def test_a_chat_stream_whose_usage_was_not_asked_for():
    chunk = {"id": "c", "object": "chat.completion.chunk", "model": "m"}
    events = [{**chunk, "choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": None}]},
              {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}]  # fmt: skip
    found = extract(events)
    assert (found.usage, found.finish_reasons, found.complete) == (None, ["stop"], True)
    assert not extract(events[:1]).complete
