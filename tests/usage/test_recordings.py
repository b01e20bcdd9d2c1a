"""Every recorded answer of a provider is read without an exception, and its tokens are the provider's own."""

import collections
import json

import pytest

from llm_logging.models.entry import Usage
from llm_logging.usage.extract import Extraction, extract
from tests.recordings import Recording, expected_usage, needs_recordings, recordings

pytestmark = needs_recordings


def read(recording: Recording) -> Extraction:
    return extract(
        recording.body, url=recording.url, headers=recording.headers, failed=recording.status >= 400
    )


def last_usage(recording: Recording):
    """The provider's own last usage object, found without the code under test."""
    if isinstance(recording.body, dict):
        events = [recording.body]
    elif isinstance(recording.body, list):
        events = [event.get("chunk", event) for event in recording.body]
    else:
        events = []
        for line in recording.body.splitlines():
            if line.startswith(b"data:") and line[5:].strip().startswith(b"{"):
                events.append(json.loads(line[5:]))
    found = [event.get("usage") or (event.get("response") or {}).get("usage") for event in events]
    return [usage for usage in found if usage][-1:]


def test_usage_is_found_wherever_there_is_one():
    missed = []
    for recording in recordings():
        if recording.has_usage and read(recording).usage is None:
            missed.append(recording)
    with_usage = sum(recording.has_usage for recording in recordings())
    assert len(missed) <= 0.005 * with_usage
    # What is left says `"usage": null` (a response still queued) or names a traffic type and no count.
    for recording in missed:
        assert recording.body.get("usage") is None
        assert not any("token" in key.lower() for key in recording.body.get("usageMetadata") or {})


def test_what_has_no_usage_is_none_and_never_zero():
    for recording in recordings():
        usage = read(recording).usage
        body = recording.body if isinstance(recording.body, dict) else {}
        images = [image for image in body.get("data") or () if isinstance(image, dict) and "url" in image]
        if images and not recording.has_usage:
            # Pictures are billed by the piece where the provider counts no tokens.
            assert usage == Usage(units={"images": len(images)}, source="provider"), recording.where
            continue
        if usage is not None:
            assert (usage.prompt_tokens, usage.completion_tokens) != (None, None), recording.where
        # Counts that Bedrock gives in headers only are the exception to the recordings' flag.
        in_headers = "x-amzn-bedrock-input-token-count" in recording.headers
        if not recording.has_usage and not in_headers:
            assert usage is None, recording.where


def test_openai_shapes_include_cached_and_reasoning_tokens():
    checked = collections.Counter()
    for recording in recordings():
        for raw in last_usage(recording):
            total = raw.get("total_tokens")
            if total is None or recording.provider == "xai" or "prompt_text_tokens" in raw:
                continue
            usage = read(recording).usage
            assert usage.total_tokens == total, recording.where
            checked[recording.provider] += 1
    assert sum(checked.values()) > 550
    assert len(checked) > 12


def test_xai_keeps_reasoning_beside_the_completion():
    seen = 0
    for recording in recordings():
        if recording.provider == "xai":
            for raw in last_usage(recording):
                usage = read(recording).usage
                assert usage.total_tokens == raw["total_tokens"], recording.where
                assert usage.reasoning_tokens == raw.get("reasoning_tokens")
                assert usage.completion_tokens == raw["completion_tokens"] + raw.get("reasoning_tokens", 0)
                seen += bool(raw.get("reasoning_tokens"))
    assert seen > 5


def test_gemini_totals_are_prompt_tools_answer_and_thoughts():
    seen = 0
    for recording in recordings():
        if recording.provider in ("gemini", "vertex"):
            usage = read(recording).usage
            if usage is not None and "totalTokenCount" in usage.raw:
                assert usage.total_tokens == usage.raw["totalTokenCount"], recording.where
                assert usage.prompt_tokens == usage.raw["promptTokenCount"] + usage.raw.get(
                    "toolUsePromptTokenCount", 0
                )
                assert usage.reasoning_tokens == usage.raw.get("thoughtsTokenCount")
                seen += 1
    assert seen > 290


def test_anthropic_prompts_are_fresh_and_cached_tokens_together():
    seen = 0
    for recording in recordings():
        if recording.provider == "anthropic":
            usage = read(recording).usage
            if usage is None or "output_tokens" not in usage.raw:
                continue
            raw = usage.raw
            parts = [raw, *(part for part in raw.get("iterations", ()) if part["type"] == "compaction")]
            read_tokens = sum(part.get("cache_read_input_tokens") or 0 for part in parts)
            written = sum(part.get("cache_creation_input_tokens") or 0 for part in parts)
            fresh = sum(part["input_tokens"] for part in parts)
            assert usage.prompt_tokens == fresh + read_tokens + written, recording.where
            assert usage.completion_tokens == sum(part["output_tokens"] for part in parts)
            assert (usage.cache_read_tokens or 0, usage.cache_write_tokens or 0) == (read_tokens, written)
            seen += 1
    assert seen > 310


def test_bedrock_totals_include_the_cache():
    seen = 0
    for recording in recordings():
        if recording.provider == "bedrock":
            usage = read(recording).usage
            if usage is not None and "totalTokens" in usage.raw:
                assert usage.total_tokens == usage.raw["totalTokens"], recording.where
                seen += 1
    assert seen > 120


def test_ids_models_and_finish_reasons_are_read():
    counted = collections.Counter()
    for recording in recordings():
        if recording.status == 200 and recording.has_usage and recording.provider in {
            "openai", "anthropic", "mistral", "groq", "deepseek", "openrouter", "gemini",
        }:  # fmt: skip
            found = read(recording)
            if found.finish_reasons:
                counted[recording.provider] += 1
                assert found.response_model, recording.where
                # Older Gemini models gave their responses no id.
                assert found.provider_response_id or recording.provider == "gemini", recording.where
    assert min(counted.values()) >= 9


def test_errors_are_told_apart():
    failed = [recording for recording in recordings() if recording.status >= 400]
    assert len(failed) > 40
    for recording in failed:
        found = read(recording)
        assert found.error is not None, recording.where
        assert found.error.message
        assert found.usage is None


def test_costs_are_the_gateways_own():
    costs = [(recording, read(recording).cost) for recording in recordings()]
    found = [(recording, cost) for recording, cost in costs if cost is not None]
    assert {recording.provider for recording, _ in found} >= {"openrouter", "xai", "other_compatible"}
    for recording, cost in found:
        raw = read(recording).usage.raw
        if recording.provider == "xai":
            assert cost.amount * 10**10 == int(raw["cost_in_usd_ticks"])
        elif raw.get("is_byok"):
            assert float(cost.amount) == pytest.approx(raw["cost_details"]["upstream_inference_cost"])
        elif "cost" in raw:
            assert float(cost.amount) == raw["cost"]


# Expectations whose response is not among the recordings, or which add up several, each looked at by hand.
EXPLAINED = {
    (
        "test_native_output_with_function_and_builtin_tools",
        526,
    ): "second response of the test is not recorded",
    (
        "test_openai_responses_image_generation_with_tools",
        1294,
    ): "second response of the test is not recorded",
    ("test_google_model_web_fetch_tool_stream", None): "the test accepts any integer",
    ("test_text_in_audio_out_turn", 16): "a WebSocket session, not recorded",
    ("test_text_in_audio_out_turn", 5): "a WebSocket session, not recorded",
    ("test_tool_call_round", 1267): "a WebSocket session, not recorded",
    ("test_nova_multiple_texts", 6): "the sum of two recorded responses of 3",
}


def test_an_independent_library_expects_the_same_counts():
    by_file = collections.defaultdict(list)
    for recording in recordings():
        usage = read(recording).usage
        if usage is not None:
            by_file[recording.file].append(usage)
    agreed = 0
    for test in expected_usage():
        usages = [usage for file in test["cassettes"] for usage in by_file[file]]
        for expected in test["expected"]:
            if (test["test"], expected.get("input_tokens")) in EXPLAINED:
                continue
            assert any(agrees(usage, expected) for usage in usages), (test["test"], expected)
            agreed += 1
    assert agreed >= 175


def agrees(usage, expected):
    same = {
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.completion_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "output_reasoning_tokens": usage.reasoning_tokens,
        "output_audio_tokens": usage.audio_completion_tokens,
    }
    # That library calls no reasoning what it does not look for.
    wanted = {name for name in same if name in expected} | {
        "input_tokens",
        "output_tokens",
        "cache_read_tokens",
        "cache_write_tokens",
    }
    return all((expected.get(name) or 0) == (same[name] or 0) for name in wanted)
