"""A provider's usage is understood wherever a usage may stand; what is not understood is refused or kept."""

import json
import logging
import logging.config
from types import SimpleNamespace
from typing import NamedTuple

import pytest

import llm_logging
from llm_logging import ErrorCode, ValidationError


class Spent(NamedTuple):
    input_tokens: int
    output_tokens: int
    cache_read_input_tokens: int


READ = {
    "openai chat": ({"prompt_tokens": 110, "completion_tokens": 5, "total_tokens": 115,
                     "prompt_tokens_details": {"cached_tokens": 100}}, (110, 5, 100)),
    "openai responses": ({"input_tokens": 110, "output_tokens": 5, "total_tokens": 115,
                          "input_tokens_details": {"cached_tokens": 100}}, (110, 5, 100)),
    "anthropic": ({"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 100,
                   "cache_creation_input_tokens": 0}, (110, 5, 100)),
    "gemini, protobuf's names": ({"prompt_token_count": 110, "candidates_token_count": 5, "total_token_count": 115,
                                  "cached_content_token_count": 100}, (110, 5, 100)),
    "bedrock": ({"inputTokens": 10, "outputTokens": 5, "totalTokens": 115, "cacheReadInputTokens": 100}, (110, 5, 100)),
    "cohere": ({"billed_units": {"input_tokens": 9, "output_tokens": 5},
                "tokens": {"input_tokens": 110, "output_tokens": 5}, "cached_tokens": 100}, (110, 5, 100)),
    "deepseek": ({"prompt_tokens": 110, "completion_tokens": 5, "prompt_cache_hit_tokens": 100}, (110, 5, 100)),
    "langchain": ({"input_tokens": 110, "output_tokens": 5, "total_tokens": 115,
                   "input_token_details": {"cache_read": 100}}, (110, 5, 100)),
    "ai sdk": ({"inputTokens": 110, "outputTokens": 5, "cachedInputTokens": 100}, (110, 5, 100)),
    "a whole response": ({"id": "r", "choices": [], "usage": {"prompt_tokens": 110, "completion_tokens": 5,
                          "prompt_tokens_details": {"cached_tokens": 100}}}, (110, 5, 100)),
    "an object": (SimpleNamespace(prompt_tokens=110, completion_tokens=5,
                                  prompt_tokens_details=SimpleNamespace(cached_tokens=100)), (110, 5, 100)),
    "an object of cohere's": (SimpleNamespace(billed_units=SimpleNamespace(input_tokens=9, output_tokens=5), cached_tokens=100,
                                              tokens=SimpleNamespace(input_tokens=110, output_tokens=5)), (110, 5, 100)),
    "a named tuple": (Spent(10, 5, 100),
                      (110, 5, 100)),
}  # fmt: skip
IDENTITY = {"project_id": "p", "chat_id": "c", "model": "gpt-4o"}


@pytest.fixture
def log(tmp_path):
    logging.config.dictConfig(llm_logging.presets.production(root=tmp_path))
    yield llm_logging.get_logger("app", project_id="p", chat_id="c")
    logging.shutdown()


def lines(root, name="logs/llm_requests.jsonl"):
    logging.shutdown()
    found = [json.loads(line) for line in (root / "projects/p" / name).read_text().splitlines()]
    return [line for line in found if line.get("status") != "pending"]


@pytest.mark.parametrize(("usage", "expected"), READ.values(), ids=READ)
def test_wherever_a_usage_may_stand(log, tmp_path, usage, expected):
    plain = logging.getLogger("plain")
    plain.info("nested", extra={"llm_request": {**IDENTITY, "usage": usage}})
    plain.info("flat", extra={"event_type": "llm_request", **IDENTITY, "usage": usage})
    with log.request(model="gpt-4o") as call:
        call.finish(usage=usage)
    log.log_llm_request({"model": "gpt-4o", "usage": usage})
    started = log.log_llm_request_start({"model": "gpt-4o"})
    log.log_llm_request_complete(started.id, usage=usage)
    message = {
        "project_id": "p",
        "chat_id": "c",
        "role": "user",
        "content": "hi",
        "llm_info": {"usage": usage},
    }
    plain.info("chat", extra={"chat_message": message})
    found = [line["usage"] for line in lines(tmp_path)]
    found += [line["llm_info"]["usage"] for line in lines(tmp_path, "chats/c.jsonl")]
    names = ("prompt_tokens", "completion_tokens", "cache_read_tokens", "source")
    assert [tuple(one.get(name) for name in names) for one in found] == [(*expected, "provider")] * 6


NOT_READ = {
    "unknown names": ({"in_tok": 5, "out_tok": 7}, "usage", "in_tok, out_tok"),
    "a negative count": ({"input_tokens": -5, "output_tokens": 7}, "usage.input_tokens", "whole numbers"),
    "a bool": ({"inputTokens": True, "outputTokens": 7}, "usage.inputTokens", "whole numbers"),
    "a text": ("many", "usage", "dictionary"),
    "a list": ([3, 4], "usage", "dictionary"),
    "an object": (SimpleNamespace(spent=5), "usage", "spent"),
}


@pytest.mark.parametrize(("usage", "where", "reason"), NOT_READ.values(), ids=NOT_READ)
def test_what_is_not_understood(log, tmp_path, usage, where, reason):
    with pytest.raises(ValidationError, match=reason) as caught:
        log.log_llm_request({"model": "gpt-4o", "usage": usage})
    assert caught.value.code == ErrorCode.INVALID_ENTRY
    assert where in str(caught.value)
    logging.getLogger("plain").info("nested", extra={"llm_request": {**IDENTITY, "usage": usage}})
    with log.request(model="gpt-4o") as call:
        call.finish(usage=usage)
    message = {
        "project_id": "p",
        "chat_id": "c",
        "role": "user",
        "content": "hi",
        "llm_info": {"usage": usage},
    }
    logging.getLogger("plain").info("chat", extra={"chat_message": message})
    found = lines(tmp_path)
    assert len(found) == 2
    for line in found:
        assert where in line["attributes"]["invalid"]
    (chat,) = lines(tmp_path, "chats/c.jsonl")
    assert f"llm_info.{where}" in chat["invalid_values"]


def test_a_response_whose_usage_is_not_understood_keeps_it(log, tmp_path):
    for usage in ({"in_tok": 5}, {"type": "duration", "seconds": 9}, {"total_tokens": 9}):
        with log.request(model="gpt-4o") as call:
            call.finish({"id": "r", "model": "gpt-4o", "usage": usage})
    unknown, seconds, total = lines(tmp_path)
    assert unknown["attributes"]["invalid"] == {"usage": {"in_tok": 5}}
    assert seconds["usage"] == {"units": {"audio_seconds": 9}, "source": "provider"}
    assert total["usage"] == {"raw": {"total_tokens": 9}}


def test_the_fields_of_usage_win_over_a_providers_names(log, tmp_path):
    log.log_llm_request({"model": "m", "usage": {"prompt_tokens": 1, "completion_tokens": 2, "mood": 7}})
    (line,) = lines(tmp_path)
    assert line["usage"] == {
        "prompt_tokens": 1,
        "completion_tokens": 2,
        "total_tokens": 3,
        "raw": {"mood": 7},
    }


@pytest.mark.parametrize(("usage", "expected"), READ.values(), ids=READ)
def test_a_usage_given_to_finish_in_place_of_its_response(log, tmp_path, usage, expected):
    with log.request(model="gpt-4o") as call:
        call.finish(usage)
    (line,) = lines(tmp_path)
    names = ("prompt_tokens", "completion_tokens", "cache_read_tokens")
    assert (line["status"], tuple(line["usage"][name] for name in names)) == ("success", expected)


TERMS = {
    "anthropic's tier": ({"input_tokens": 10, "output_tokens": 5, "service_tier": "batch"}, "batch", None),
    "gemini's traffic": (
        {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15, "trafficType": "PROVISIONED_THROUGHPUT"},
        "PROVISIONED_THROUGHPUT", None),
    "openrouter's cost": ({"prompt_tokens": 10, "completion_tokens": 5, "cost": 0.5}, None, "0.5"),
    "openrouter with a key of one's own": (
        {"prompt_tokens": 10, "completion_tokens": 5, "cost": 0.01, "is_byok": True,
         "cost_details": {"upstream_inference_cost": 0.2}}, None, "0.21"),
    "perplexity's cost": ({"prompt_tokens": 10, "completion_tokens": 5, "cost": {"total_cost": 0.006}}, None, "0.006"),
    "xai's ticks": ({"prompt_tokens": 10, "completion_tokens": 5, "cost_in_usd_ticks": 37756000}, None, "0.0037756"),
    "an object": (SimpleNamespace(input_tokens=10, output_tokens=5, service_tier="batch", cost=0.5), "batch", "0.5"),
    "a whole response": (
        {"usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5, "trafficType": "ON_DEMAND_FLEX"},
         "candidates": []}, "ON_DEMAND_FLEX", None),
}  # fmt: skip


@pytest.mark.parametrize(("usage", "tier", "cost"), TERMS.values(), ids=TERMS)
def test_tier_and_cost_are_read_from_a_usage(log, tmp_path, usage, tier, cost):
    plain = logging.getLogger("plain")
    plain.info("nested", extra={"llm_request": {**IDENTITY, "usage": usage}})
    plain.info("flat", extra={"event_type": "llm_request", **IDENTITY, "usage": usage})
    plain.info("slow", extra={"llm_request": {**IDENTITY, "usage": usage, "messages": [], "extra": object()}})
    with log.request(model="gpt-4o") as call:
        call.finish(usage=usage)
    with log.request(model="gpt-4o") as call:
        call.finish(usage if isinstance(usage, dict) and "candidates" in usage else {"usage": usage})
    log.log_llm_request({"model": "gpt-4o", "usage": usage})
    started = log.log_llm_request_start({"model": "gpt-4o"})
    log.log_llm_request_complete(started.id, usage=usage)
    found = [(line.get("service_tier"), line.get("cost", {}).get("amount")) for line in lines(tmp_path)]
    assert found == [(tier, cost)] * 7


def test_what_an_entry_says_of_tier_and_cost_wins_over_its_usage(log, tmp_path):
    usage = {"input_tokens": 10, "output_tokens": 5, "service_tier": "batch", "cost": 0.5}
    said = {"service_tier": "flex", "cost": {"amount": "0.1", "currency": "EUR"}}
    logging.getLogger("plain").info("x", extra={"llm_request": {**IDENTITY, **said, "usage": usage}})
    log.log_llm_request({"model": "gpt-4o", **said, "usage": usage})
    assert [{name: line[name] for name in said} for line in lines(tmp_path)] == [said] * 2
