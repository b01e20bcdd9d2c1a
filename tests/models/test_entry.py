"""The line: every rule of the entry, where it is stated."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_logging.models.entry import (
    ChatMessage,
    Cost,
    ErrorInfo,
    LLMRequestLogEntry,
    Timings,
    Usage,
    derive_status,
    normalise_entry,
)
from llm_logging.testing import fixed

IDENTITY = {"project_id": "shop", "chat_id": "c-17", "model": "gpt-4o"}
counts = st.one_of(st.none(), st.integers(0, 10**6))

# The contract's own list of names; adding one is a decision, renaming one is not allowed.
NAMES = """
id request_group attempt project_id chat_id user_id parent_id request_type operation
model response_model provider provider_response_id service_tier stream finish_reasons output_format_hint
status http_status error timestamp_start timestamp_end timings usage cost messages_included messages response
touched_files touched_entities tags trace_id span_id instrumentation prompt_name prompt_version attributes
""".split()


def entry(**fields: Any) -> LLMRequestLogEntry:
    return LLMRequestLogEntry(**{**IDENTITY, **fields})


def test_the_names_are_the_contract() -> None:
    assert list(LLMRequestLogEntry.model_fields) == NAMES
    usage = "prompt completion total cache_read cache_write cache_write_1h reasoning audio_prompt audio_completion"
    usage += " image_prompt image_completion"
    rest = ["units", "speed", "source", "raw"]
    assert list(Usage.model_fields) == [*(f"{name}_tokens" for name in usage.split()), *rest]
    assert set(Timings.model_fields) == {"latency_ms", "total_duration_ms", "time_to_first_token_ms"}
    assert set(ErrorInfo.model_fields) == {"code", "message", "type"}
    assert set(Cost.model_fields) == {"amount", "currency", "source"}


@given(counts, counts, counts)
def test_total_is_prompt_plus_completion_and_anothers_total_stays_in_raw(
    prompt: int | None, completion: int | None, total: int | None
) -> None:
    usage = Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=total)
    expected = None if prompt is None and completion is None else (prompt or 0) + (completion or 0)
    assert usage.total_tokens == expected
    assert (usage.raw or {}).get("total_tokens") == (total if total not in {None, expected} else None)
    # Reading a line back changes nothing.
    assert Usage(**usage.model_dump(exclude_none=True)) == usage


@pytest.mark.parametrize(
    ("usage", "field"),
    [
        ({"prompt_tokens": 10, "cache_read_tokens": 6, "cache_write_tokens": 5}, "cache_read_tokens"),
        ({"prompt_tokens": 10, "cache_write_tokens": 5, "cache_write_1h_tokens": 6}, "cache_write_1h_tokens"),
        ({"prompt_tokens": 10, "cache_write_1h_tokens": 11}, "cache_write_1h_tokens"),
        ({"prompt_tokens": 10, "cache_read_tokens": 5, "cache_write_1h_tokens": 6}, "cache_write_1h_tokens"),
        ({"completion_tokens": 10, "reasoning_tokens": 11}, "reasoning_tokens"),
    ],
)
def test_parts_are_not_more_than_the_whole(usage: dict[str, int], field: str) -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        Usage(**usage)
    assert field in caught.value.errors()[0]["ctx"]["fields"]
    assert "expected at most" in str(caught.value)


def test_parts_are_allowed_where_the_whole_is_unknown_or_just_as_large() -> None:
    Usage(cache_read_tokens=5, reasoning_tokens=6)
    Usage(prompt_tokens=5, cache_read_tokens=2, cache_write_tokens=3, cache_write_1h_tokens=3)


def test_what_is_cached_for_an_hour_was_written_to_the_cache() -> None:
    assert Usage(cache_write_1h_tokens=3).cache_write_tokens == 3
    assert Usage(cache_write_tokens=5, cache_write_1h_tokens=3).cache_write_tokens == 5
    assert Usage(prompt_tokens=5, completion_tokens=1).cache_write_tokens is None


def test_what_a_provider_counts_besides_is_kept_in_raw() -> None:
    usage = Usage.model_validate({"prompt_tokens": 1, "input_tokens": 9, "raw": {"a": 1}})
    assert usage.raw == {"input_tokens": 9, "a": 1}
    assert Usage.model_validate({"x": 1, "raw": "text"}).raw == {"x": 1, "raw": "text"}
    sdk = SimpleNamespace(model_dump=lambda **options: {"prompt_tokens": 3, "details": {"n": 1}})
    assert Usage.model_validate(sdk).prompt_tokens == 3


@pytest.mark.parametrize("count", [-1, 1.5, "3", True, 2**53 + 1, float("nan")])
def test_a_count_is_a_whole_number_from_zero_on(count: Any) -> None:
    with pytest.raises(pydantic.ValidationError):
        Usage(prompt_tokens=count)


def test_times_are_aware_utc_and_a_naive_one_is_utc() -> None:
    zone = timezone(timedelta(hours=-5))
    made = entry(
        timestamp_start=datetime(2026, 1, 15, 10, tzinfo=zone), timestamp_end=datetime(2026, 1, 15, 16)
    )
    line = made.line_fields()
    assert (line["timestamp_start"], line["timestamp_end"]) == (
        "2026-01-15T15:00:00.000000Z",
        "2026-01-15T16:00:00.000000Z",
    )


def test_the_end_is_not_before_the_start() -> None:
    start = datetime(2026, 1, 15, 10, tzinfo=UTC)
    entry(timestamp_start=start, timestamp_end=start)
    with pytest.raises(pydantic.ValidationError, match="expected at or after timestamp_start"):
        entry(timestamp_start=start, timestamp_end=start - timedelta(microseconds=1))


def test_id_and_start_are_made_when_absent() -> None:
    with fixed() as clock:
        made = entry()
        assert (made.id, made.timestamp_start) == ("00000000-0000-4000-8000-000000000001", clock.now())
    assert entry(id=uuid.UUID(int=5)).id == str(uuid.UUID(int=5))
    assert entry(id=str(uuid.UUID(int=5)).upper().replace("-", "")).id == str(uuid.UUID(int=5))
    with pytest.raises(pydantic.ValidationError, match="expected a UUID"):
        entry(id="req-1")


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, "pending"),
        ({"tags": ["a"], "stream": True, "messages": [1]}, "pending"),
        ({"usage": {}}, "success"),
        ({"cost": {"amount": 1}}, "success"),
        ({"response": "r"}, "success"),
        ({"finish_reasons": ["stop"]}, "success"),
        ({"provider_response_id": "x"}, "success"),
        ({"timings": {"latency_ms": 1}}, "success"),
        ({"latency_ms": 1}, "success"),
        ({"timestamp_end": datetime(2100, 1, 1, tzinfo=UTC)}, "success"),
        ({"http_status": 200}, "success"),
        ({"http_status": 399}, "success"),
        ({"http_status": 400, "usage": {"prompt_tokens": 1}}, "error"),
        ({"error": "boom", "usage": {"prompt_tokens": 1}}, "error"),
        ({"error_code": "E"}, "error"),
        ({"error": "boom", "status": "timeout"}, "timeout"),
        ({"status": "pending", "usage": {"prompt_tokens": 1}}, "pending"),
        ({"status": None, "http_status": 500}, "error"),
    ],
)
def test_an_absent_status_is_derived_from_what_else_is_there(fields: dict[str, Any], status: str) -> None:
    assert entry(**fields).status == status
    if "latency_ms" not in fields and "error_code" not in fields and not fields.get("status"):
        assert derive_status(fields) == status


def test_the_older_flat_shape_is_understood() -> None:
    request = str(uuid.uuid4())
    made = entry(
        request_id=request,
        prompt_tokens=3,
        completion_tokens=4,
        latency_ms=5,
        error_message="m",
        error_code=429,
    )
    assert made.id == request
    assert made.usage is not None
    assert made.usage.total_tokens == 7
    assert made.timings is not None
    assert made.timings.latency_ms == 5
    assert made.error is not None
    assert (made.error.code, made.error.message) == ("429", "m")
    assert entry(request_id="req-1").attributes == {"request_id": "req-1"}


def test_unknown_fields_are_attributes_and_the_callers_mapping_stays() -> None:
    given = {**IDENTITY, "team": "blue", "attributes": {"team": "red", "n": 1}, "nothing": None}
    before = json.dumps(given)
    made = LLMRequestLogEntry.model_validate(given)
    assert made.attributes == {"team": "red", "n": 1}
    assert json.dumps(given) == before
    assert set(normalise_entry(given)) <= set(NAMES)


def test_money_is_decimal_and_a_float_is_read_by_its_shortest_form() -> None:
    assert entry(cost={"amount": 0.1}).line_fields()["cost"] == {"amount": "0.1", "currency": "USD"}
    assert entry(cost={"amount": "1E-7"}).line_fields()["cost"]["amount"] == "0.0000001"
    assert Cost(amount="0.30").amount == Decimal("0.30")
    for amount in ("NaN", "Infinity", "a lot", None):
        with pytest.raises(pydantic.ValidationError):
            Cost(amount=amount)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("boom", {"message": "boom"}),
        (ValueError("bad"), {"type": "ValueError", "message": "bad"}),
        ({"code": 429, "retry": True}, {"code": "429", "retry": True}),
    ],
)
def test_an_error_may_be_text_an_exception_or_a_mapping(error: Any, expected: dict[str, Any]) -> None:
    assert entry(error=error).line_fields()["error"] == expected


def test_absent_fields_are_left_out_never_null() -> None:
    assert "null" not in json.dumps(entry(usage={"prompt_tokens": 1}, error="e").line_fields())


def test_a_chat_message_has_its_limits() -> None:
    right = {"project_id": "shop", "chat_id": "c", "role": "user"}
    assert ChatMessage(**right, content="x" * 1_000_000).status == "complete"
    for wrong in ({"content": "x" * 1_000_001}, {"status": "sent"}, {"role": ""}, {"chat_id": ""}):
        with pytest.raises(pydantic.ValidationError):
            ChatMessage(**{**right, **wrong})
