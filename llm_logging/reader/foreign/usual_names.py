"""Fields of requests under the names that programs usually give them: times, tokens, cost, provider, status.

Times are ISO 8601 text, or seconds, milli-, micro- or nanoseconds since 1970, told apart by their size.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ...clock import format_time
from ...models.entry import LLMRequestLogEntry

__all__ = [
    "COUNT_NAMES", "PROVIDER_NAMES", "Fields", "ForeignError", "checked", "count", "first", "listed", "mapping", "moment",
    "object_in", "picked", "several", "status_fields", "time_text", "times_of", "top_counts", "usual_fields",
]  # fmt: skip

Fields = dict[str, Any]

_FIELDS: Final = frozenset(LLMRequestLogEntry.model_fields)
_START_NAMES: Final = (
    "timestamp_start", "startTime", "start_time", "started_at", "startedAt", "request_created_at", "request_time",
    "created_at", "createdAt", "createTime", "created", "time", "ts", "@timestamp", "datetime", "date",
)  # fmt: skip
_END_NAMES: Final = (
    "timestamp_end", "endTime", "end_time", "ended_at", "endedAt", "completed_at", "completedAt", "response_created_at",
)  # fmt: skip
PROVIDER_NAMES: Final = ("provider", "custom_llm_provider", "llm_provider", "vendor")
_COST_NAMES: Final = (
    "spend", "response_cost", "cost_usd", "costUSD", "total_cost", "totalCost", "calculatedTotalCost", "cost",
)  # fmt: skip
_MS_NAMES: Final = (
    "latency_ms",
    "delay_ms",
    "duration_ms",
    "durationMs",
    "elapsed_ms",
    "latencyMs",
    "response_time_ms",
)
_USER_NAMES: Final = ("user_id", "userId", "end_user", "request_user_id", "user")
_CHAT_NAMES: Final = ("chat_id", "conversation_id", "session_id", "sessionId", "thread_id")
# Token counts at the top of a line, as its writer names them.
COUNT_NAMES: Final = frozenset(
    {
        "prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens", "promptTokens",
        "completionTokens", "totalTokens", "inputTokens", "outputTokens", "cache_read_input_tokens",
        "cache_creation_input_tokens", "prompt_tokens_details", "completion_tokens_details", "cached_tokens",
        "reasoning_tokens", "prompt_cache_read_tokens", "prompt_cache_write_tokens",
    }
)  # fmt: skip
_STATUS_WORDS: Final = {
    "completed": "success", "complete": "success", "succeeded": "success", "ok": "success", "incomplete": "success",
    "failed": "error", "failure": "error", "errored": "error", "expired": "timeout", "timed_out": "timeout",
}  # fmt: skip
_CANCELLED: Final = frozenset({"cancelled", "canceled"})


class ForeignError(Exception):
    """A line whose shape is known and that cannot be read; its text is the reason."""


def time_text(value: Any) -> str | None:
    """Return a time as ISO 8601 text: from such text, or seconds, milli-, micro- or nanoseconds since 1970."""
    if isinstance(value, str):
        if not re.fullmatch(r"-?\d{9,20}(?:\.\d+)?", value):
            return value or None
        value = float(value) if "." in value else int(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        for unit in (1, 10**3, 10**6, 10**9):
            if abs(value) / unit < 1e11:
                moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
                    microseconds=round(value * 10**6 / unit)
                )
                return format_time(moment)
    except (ValueError, OverflowError):
        pass
    return None


def usual_fields(value: Mapping[str, Any]) -> Fields:
    """Return the fields of an entry that a line has under one of their usual names."""
    fields: Fields = {name: item for name, item in value.items() if name in _FIELDS and item is not None}
    fields |= times_of(value)
    fields.setdefault("provider", first(value, *PROVIDER_NAMES))
    fields["user_id"] = first(value, *_USER_NAMES)
    fields["chat_id"] = first(value, *_CHAT_NAMES)
    amount = first(value, *_COST_NAMES)
    if isinstance(amount, (int, float, str)) and not isinstance(amount, bool):
        fields["cost"] = {"amount": str(amount), "currency": "USD"}
    took = first(value, *_MS_NAMES)
    start, end = moment(fields.get("timestamp_start")), moment(fields.get("timestamp_end"))
    if took is None and start is not None and end is not None and end >= start:
        took = (end - start) / timedelta(milliseconds=1)
    if took is not None and "timings" not in fields:
        fields["timings"] = {"latency_ms": took}
    for name in ("error", "status"):
        item = value.get(name)
        if name == "status" and isinstance(item, str):
            fields |= status_fields(item)
        elif name == "status":
            fields.pop("status", None)
    return fields


def times_of(value: Mapping[str, Any]) -> Fields:
    """Return the times of a line as fields of an entry."""
    start, end = first(value, *_START_NAMES), first(value, *_END_NAMES)
    found = {"timestamp": time_text(value.get("timestamp")), "timestamp_start": time_text(start)}
    return {
        name: text for name, text in {**found, "timestamp_end": time_text(end)}.items() if text is not None
    }


def status_fields(word: str) -> Fields:
    """Return the status that a word means; an unknown word stays."""
    lowered = word.strip().lower()
    if lowered in _CANCELLED:
        return {"status": "error", "error": {"code": "cancelled"}}
    return {"status": _STATUS_WORDS.get(lowered, lowered)}


def checked(shape: str, fields: Fields, time: str | float | None) -> Fields:
    """Return what a request of a known shape has, or say what it lacks."""
    fields = {name: item for name, item in fields.items() if item is not None}
    if not any(name in fields for name in ("timestamp", "timestamp_start", "timestamp_end")):
        if time is None:
            raise ForeignError(f"{shape}_without_time")
        fields["timestamp"] = time
    if not fields.get("model"):
        raise ForeignError(f"{shape}_without_model")
    return fields


def moment(value: Any) -> datetime | None:
    """Read a time; None where it is none."""
    text = time_text(value)
    try:
        moment = datetime.fromisoformat(text) if text is not None else None
    except ValueError:
        return None
    return moment if moment is None or moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def first(value: Mapping[str, Any], *names: str) -> Any:
    """Return the first value that is there and not empty."""
    return next((value[name] for name in names if value.get(name) is not None and value[name] != ""), None)


def mapping(value: Any) -> Mapping[str, Any]:
    """Return a mapping as it is, and an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def object_in(value: Any) -> Mapping[str, Any]:
    """Return an object that is there as itself or as its JSON."""
    if isinstance(value, str) and value[:1] == "{":
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return mapping(value)


def several(value: Mapping[str, Any], *names: str) -> Iterator[Mapping[str, Any]]:
    """Yield the objects of a list that is there under one of these names."""
    found = first(value, *names)
    return (one for one in found if isinstance(one, Mapping)) if isinstance(found, list) else iter(())


def count(value: Any) -> int:
    """Return a count, 0 for what is none."""
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else 0


def top_counts(value: Mapping[str, Any]) -> Fields:
    """Return the token counts at the top of a line."""
    return {name: value[name] for name in value.keys() & COUNT_NAMES if value[name] is not None}


def listed(value: Any) -> list[str] | None:
    """Return the texts of a list, or of its JSON."""
    if isinstance(value, str) and value[:1] == "[":
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return [str(item) for item in value] if isinstance(value, list) and value else None


def picked(value: Mapping[str, Any], *names: str) -> Fields | None:
    """Return these fields, as far as they are there."""
    return {name: value[name] for name in names if value.get(name) not in (None, "")} or None
