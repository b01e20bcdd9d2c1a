"""The fast path and the forgiving path against the model, the strict path against its codes."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_logging import ErrorCode, ValidationError
from llm_logging.handler.complete import line_of
from llm_logging.handler.recognise import Line
from llm_logging.models.entry import ChatMessage, LLMRequestLogEntry, Usage, normalise_entry
from llm_logging.models.json_values import to_bytes
from llm_logging.models.validation import complete_times, fast_entry, forgive, validate
from llm_logging.testing import fixed
from tests import nasty

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
MICROS = round(NOW.timestamp() * 1e6)
IDENTITY = {"project_id": "shop", "chat_id": "c-17", "model": "gpt-4o"}


def of_model(fields: Any) -> dict[str, Any]:
    with fixed(NOW):
        entry = LLMRequestLogEntry.model_validate(complete_times(normalise_entry(fields), NOW))
    return entry.line_fields()


def forgiven(fields: Any) -> tuple[Line, dict[str, Any]]:
    """What a record with these fields becomes: as built, and as its line reads."""
    record = logging.makeLogRecord({"msg": "answered", "created": NOW.timestamp(), "llm_request": fields})
    built = line_of(record, {})
    return built, json.loads(to_bytes(built.body))


def same(fast: dict[str, Any], fields: Any) -> None:
    attributes = fast.pop("attributes", None)
    own = {key: value for key, value in fields.items() if attributes is None or key not in attributes}
    assert fast == of_model(own)
    # Values of attributes are made JSON later, by the handler.
    assert attributes is None or all(attributes[key] is fields[key] for key in attributes)
    assert set(fields) == {*own, *(attributes or ())}


@settings(max_examples=200)
@given(nasty.entries)
def test_what_the_fast_path_accepts_equals_the_model(fields: Any) -> None:
    with fixed(NOW):
        fast = fast_entry(fields, MICROS)
    if fast is not None:
        same(fast, fields)


@settings(max_examples=200)
@given(nasty.well_formed)
def test_the_fast_path_accepts_what_is_well_formed_and_equals_the_model(fields: Any) -> None:
    with fixed(NOW):
        fast = fast_entry(fields, MICROS)
    assert fast is not None
    same(fast, fields)


@settings(max_examples=200)
@given(nasty.well_formed, st.sampled_from(sorted(nasty.FIELDS)), nasty.values)
def test_the_fast_path_equals_the_model_with_one_field_of_any_value(
    fields: Any, name: str, value: Any
) -> None:
    fields = {**fields, name: value}
    with fixed(NOW):
        fast = fast_entry(fields, MICROS)
    if fast is not None:
        same(fast, fields)


@settings(max_examples=200)
@given(nasty.well_formed, nasty.usages)
def test_the_fast_path_equals_the_model_with_any_usage(fields: Any, usage: Any) -> None:
    fields = {**fields, "usage": usage}
    with fixed(NOW):
        fast = fast_entry(fields, MICROS)
    if fast is not None:
        same(fast, fields)


@settings(max_examples=250)
@given(nasty.entries)
def test_whatever_an_entry_holds_the_forgiving_path_gives_a_line(fields: Any) -> None:
    built, line = forgiven(fields)
    assert built.event_type in {"llm_request", "invalid_entry"}
    if built.event_type == "invalid_entry":
        assert line["data"]["reasons"]
        assert "entry" in line["data"]


@settings(max_examples=200)
@given(
    st.dictionaries(st.one_of(nasty.field_names, st.text(max_size=3), st.just(1)), nasty.values, max_size=5)
)
def test_spend_is_never_lost_over_another_field(others: Any) -> None:
    others = {key: value for key, value in others.items() if key not in nasty.TOKENS}
    built, line = forgiven({**others, **IDENTITY, "usage": {"prompt_tokens": 3, "completion_tokens": 4}})
    assert built.event_type == "llm_request"
    counts = {name: line["usage"][name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
    assert counts == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


@settings(max_examples=200)
@given(st.dictionaries(nasty.field_names, nasty.values, max_size=5))
def test_what_was_wrong_is_counted_and_kept_and_what_is_left_keeps_the_contract(others: Any) -> None:
    built, line = forgiven({**others, **IDENTITY})
    assert built.event_type == "llm_request"
    attributes = line.get("attributes", {})
    if built.invalid:
        assert isinstance(attributes["invalid"], dict)
        assert attributes["invalid"]
    assert LLMRequestLogEntry.model_validate(line).line_fields() == line


def test_a_wrong_field_moves_aside_and_the_rest_stands() -> None:
    built, line = forgiven(
        {**IDENTITY, "status": "meh", "usage": {"prompt_tokens": -5, "completion_tokens": 7}, "attempt": "2"}
    )
    assert built.invalid == 3
    assert line["usage"] == {"completion_tokens": 7, "total_tokens": 7}
    assert line["attributes"]["invalid"] == {"status": "meh", "usage.prompt_tokens": -5, "attempt": "2"}
    # There is usage, but what is wrong is no success.
    assert (line["status"], line["error"]) == ("error", {"code": "unknown_status"})


def test_a_rule_over_fields_costs_only_the_fields_it_names() -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "cache_read_tokens": 11, "reasoning_tokens": 5}
    _, line = forgiven({**IDENTITY, "usage": usage})
    assert line["usage"] == {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "reasoning_tokens": 5,
    }
    assert line["attributes"]["invalid"] == {"usage.cache_read_tokens": 11}


@pytest.mark.parametrize(("one_hour", "kept"), [(10, 10), (11, None)])
def test_what_is_cached_for_an_hour_is_part_of_the_prompt_also_without_the_other_writes(
    one_hour: int, kept: int | None
) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    _, line = forgiven({**IDENTITY, "usage": {**usage, "cache_write_1h_tokens": one_hour}})
    names = ("cache_write_tokens", "cache_write_1h_tokens")
    assert {name: line["usage"].get(name) for name in names} == dict.fromkeys(names, kept)
    assert line["usage"]["total_tokens"] == 15
    if kept is None:
        assert line["attributes"]["invalid"] == {"usage.cache_write_1h_tokens": one_hour}


def test_an_end_before_the_start_goes_and_the_request_stays() -> None:
    start = datetime(2026, 1, 15, 10, tzinfo=UTC)
    built, line = forgiven(
        {**IDENTITY, "timestamp_start": start, "timestamp_end": start - timedelta(seconds=1)}
    )
    assert built.invalid == 1
    assert line["timestamp_start"] == "2026-01-15T10:00:00.000000Z"
    assert "timestamp_end" not in line
    assert line["attributes"]["invalid"] == {"timestamp_end": "2026-01-15T09:59:59.000000Z"}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("project_id", ErrorCode.INVALID_PROJECT_ID),
        ("chat_id", ErrorCode.INVALID_CHAT_ID),
        ("model", ErrorCode.INVALID_MODEL),
    ],
)
@pytest.mark.parametrize("value", [None, "", [], True])
def test_strict_names_the_identity_that_is_missing_or_wrong(name: str, code: ErrorCode, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        validate(LLMRequestLogEntry, {**IDENTITY, name: value})
    assert caught.value.code == code
    assert [reason.split(":")[0] for reason in caught.value.reasons] == [name]


def test_a_missing_identity_is_an_event_with_its_reasons_and_its_data() -> None:
    built, line = forgiven({"project_id": "shop", "usage": {"prompt_tokens": 3}})
    assert (built.event_type, built.project_id) == ("invalid_entry", "shop")
    assert line["data"]["reasons"] == [
        "chat_id: expected a value, got none",
        "model: expected a value, got none",
    ]
    assert line["data"]["entry"]["usage"] == {"prompt_tokens": 3}


def test_every_reason_is_named_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        validate(LLMRequestLogEntry, {**IDENTITY, "status": "done", "http_status": 99, "attempt": 0})
    assert len(caught.value.reasons) == 3
    assert all(reason in str(caught.value) for reason in caught.value.reasons)
    assert "'done'" in str(caught.value)


def test_reasons_hold_no_text_that_may_be_a_secret() -> None:
    secret = "sk-proj-0123456789abcdef"
    with pytest.raises(ValidationError) as caught:
        validate(LLMRequestLogEntry, {**IDENTITY, "status": secret, "usage": {"prompt_tokens": secret}})
    assert secret not in str(caught.value)
    assert "a str of 24 characters" in str(caught.value)


@pytest.mark.parametrize("depth", [70, 10_000])
def test_strict_takes_what_is_nested_too_deeply_and_cuts_it(depth: int) -> None:
    entry = validate(LLMRequestLogEntry, {**IDENTITY, "deep": nasty.nested(depth)})
    assert entry.attributes is not None


class TestTimes:
    def test_a_latency_without_times_ends_now_and_began_that_much_earlier(self) -> None:
        for latency in (1500, 1500.0, timedelta(seconds=1.5)):
            _, line = forgiven({**IDENTITY, "timings": {"latency_ms": latency}})
            assert line["timestamp_start"] == "2026-01-15T11:59:58.500000Z"
            assert line["timestamp_end"] == "2026-01-15T12:00:00.000000Z"
            assert line["timings"] == {"latency_ms": 1500}

    def test_a_flat_duration_as_a_timedelta_is_milliseconds_too(self) -> None:
        _, line = forgiven({**IDENTITY, "latency_ms": timedelta(seconds=1.5)})
        assert line["timings"] == {"latency_ms": 1500}

    @pytest.mark.parametrize(
        "start", [datetime(2023, 11, 16, 18, 15, 46, 680590), "2023-11-16T18:15:46.680590Z"]
    )
    def test_the_end_is_start_plus_latency(self, start: Any) -> None:
        _, line = forgiven({**IDENTITY, "timestamp_start": start, "timings": {"latency_ms": 250}})
        assert line["timestamp_start"] == "2023-11-16T18:15:46.680590Z"
        assert line["timestamp_end"] == "2023-11-16T18:15:46.930590Z"

    @pytest.mark.parametrize("end", [datetime(2023, 11, 16, 18, 15, 46), "2023-11-16T18:15:46Z"])
    def test_an_end_alone_in_the_past_gives_a_start_that_is_not_after_it(self, end: Any) -> None:
        built, line = forgiven({**IDENTITY, "timestamp_end": end})
        assert built.invalid == 0
        assert line["timestamp_start"] == line["timestamp_end"] == "2023-11-16T18:15:46.000000Z"
        _, line = forgiven({**IDENTITY, "timestamp_end": end, "latency_ms": 1000})
        assert line["timestamp_start"] == "2023-11-16T18:15:45.000000Z"

    def test_times_of_other_zones_are_written_in_utc(self) -> None:
        zone = timezone(timedelta(hours=5, minutes=30))
        _, line = forgiven({**IDENTITY, "timestamp_start": datetime(2026, 1, 15, 1, tzinfo=zone)})
        assert line["timestamp_start"] == "2026-01-14T19:30:00.000000Z"

    @pytest.mark.parametrize("latency", [1e12, 1e14, 1e300])
    def test_a_latency_of_ages_costs_nothing_but_the_times_it_would_imply(self, latency: float) -> None:
        _, line = forgiven({**IDENTITY, "timings": {"latency_ms": latency}})
        assert line["timestamp_start"] == "2026-01-15T12:00:00.000000Z"
        assert line["timings"] == {"latency_ms": latency}

    def test_a_time_beyond_the_calendar_of_utc_moves_aside(self) -> None:
        start = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))
        built, line = forgiven({**IDENTITY, "timestamp_start": start})
        assert built.invalid == 1
        assert line["timestamp_start"] == "2026-01-15T12:00:00.000000Z"


class TestForeignNumbers:
    @pytest.mark.parametrize("count", [nasty.Index(7), nasty.Whole(7), 7.0])
    def test_a_whole_number_of_another_kind_is_a_count(self, count: Any) -> None:
        built, line = forgiven({**IDENTITY, "usage": {"prompt_tokens": count}})
        assert built.invalid == 0
        assert line["usage"] == {"prompt_tokens": 7, "total_tokens": 7}

    @pytest.mark.parametrize("count", [True, 7.5, "7", float("nan"), float("inf"), nasty.Broken()])
    def test_what_is_no_whole_number_moves_aside(self, count: Any) -> None:
        built, line = forgiven({**IDENTITY, "usage": {"prompt_tokens": count, "completion_tokens": 1}})
        assert built.invalid == 1
        assert line["usage"] == {"completion_tokens": 1, "total_tokens": 1}
        assert "usage.prompt_tokens" in line["attributes"]["invalid"]

    def test_an_sdk_object_whose_dump_fails_moves_aside(self) -> None:
        built, line = forgiven({**IDENTITY, "usage": nasty.Unwritable()})
        assert built.invalid == 1
        assert "Unwritable" in line["attributes"]["invalid"]["usage"]


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from(sorted(ChatMessage.model_fields)), nasty.values, max_size=5))
def test_a_chat_message_with_its_identity_is_kept_whatever_else_is_wrong(others: Any) -> None:
    right = {"project_id": "shop", "chat_id": "c", "role": "user", "content": "hi"}
    record = logging.makeLogRecord(
        {"msg": "m", "created": NOW.timestamp(), "chat_message": {**others, **right}}
    )
    built = line_of(record, {})
    assert built.event_type == "chat_message"
    line = json.loads(to_bytes(built.body))
    assert {name: line[name] for name in right} == right


def test_forgiving_says_nothing_of_what_is_right() -> None:
    entry, reasons = forgive(LLMRequestLogEntry, IDENTITY)
    assert entry is not None
    assert reasons == []


def test_a_raw_usage_of_anything_is_written_and_an_id_is_kept() -> None:
    raw = {"prompt_tokens": 3, "when": NOW, "deep": [{"bytes": b"x"}], "none": None}
    own = {
        "id": "00000000-0000-4000-8000-000000000001",
        **IDENTITY,
        "usage": {"prompt_tokens": 3, "raw": raw},
    }
    built, line = forgiven(own)
    assert (built.invalid, line["id"]) == (0, own["id"])
    assert line["usage"]["raw"]["when"] == "2026-01-15T12:00:00.000000Z"
    assert line["usage"]["raw"]["deep"] == [{"bytes": "x"}]
    assert own["usage"] == {"prompt_tokens": 3, "raw": raw}
    for spelt in ("{00000000-0000-4000-8000-000000000001}", "00000000-0000-4000-8000-00000000000A"):
        assert forgiven({**own, "id": spelt})[1]["id"] == spelt.strip("{}").lower()


@settings(max_examples=200)
@given(
    nasty.well_formed,
    st.dictionaries(
        st.sampled_from(sorted(name for name in Usage.model_fields if name.endswith("_tokens"))),
        st.integers(0, 3),
    ),
)
def test_every_rule_over_counts_holds_on_the_fast_path_too(fields: Any, usage: Any) -> None:
    fields = {**fields, "usage": usage}
    with fixed(NOW):
        fast = fast_entry(fields, MICROS)
    if fast is not None:
        same(fast, fields)
    elif {"prompt_tokens", "completion_tokens"} & usage.keys():
        with pytest.raises(ValidationError):
            validate(LLMRequestLogEntry, fields, NOW)


def test_the_bounds_of_the_fast_path_are_those_of_the_fields() -> None:
    for name, low, high in (("http_status", 100, 599), ("attempt", 1, 2**31)):
        for value, right in ((low, True), (high, True), (low - 1, False), (high + 1, False)):
            assert (fast_entry({**IDENTITY, name: value}, MICROS) is not None) == right
    for value, right in ((2**53, True), (2**53 + 1, False), (-1, False)):
        assert (fast_entry({**IDENTITY, "usage": {"prompt_tokens": value}}, MICROS) is not None) == right
