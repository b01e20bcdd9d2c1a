"""Responses and streams of them, folded into one `Extraction`.

A `ResponseFold` takes a whole response, or the events of a stream one by one, and keeps only what it has learnt, so
its size does not grow with the stream. Streams differ in where usage comes: once in a last event (OpenAI, Bedrock,
Cohere, Ollama), as a running total in every event (Gemini, xAI, vLLM on request), or split over the first and the last
(Anthropic, Titan, watsonx). All are merged by field: a later count replaces an earlier one, but zero or an absent count
never does. A stream that ends before its last event leaves `source` `partial`.

Several whole responses (the result file of a batch, a list of responses) are added up. What belongs to one of them only
(id, finish reasons, tier, cost) is then None, and so is the model unless all have the same.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

from ..models.counting.billed import billed_in_response, billed_in_usage
from ..models.counting.sdk_objects import from_json, mapping, plain, shallow, text
from ..models.counting.token_counts import normalise_counts
from ..models.counting.usage_objects import counts_tokens, holds_number, is_usage, usage_of
from ..models.entry import Cost, ErrorInfo
from .generated_message import AnswerFold
from .has_content import carries_content, plain_delta
from .response_fields import (
    block_reason_of,
    cost_of,
    error_of,
    finish_reasons_of,
    first_token_time_of,
    header_cost_of,
    header_latency_of,
    header_usage_of,
    is_refusal,
    model_of,
    provider_latency_of,
    response_id_of,
    service_tier_of,
)
from .result import Extraction, counted_usage, stated_usage
from .stream_merge import added, brought_together

__all__ = ["Extraction", "ResponseFold"]


_FINAL_KINDS = frozenset(
    {
        "message_stop",
        "message-end",
        "response.completed",
        "response.incomplete",
        "response.failed",
        "response.cancelled",
        "response.done",
        "interaction.complete",
        "interaction.completed",
        "interaction.failed",
        "interaction.cancelled",
        "conversation.response.done",
        "conversation.response.error",
        "thread.run.completed",
        "thread.run.incomplete",
        "thread.run.failed",
        "thread.run.cancelled",
        "chat.end",
    }
)
_STREAM_KINDS = (
    "message_",
    "content_block_",
    "response.",
    "message-",
    "content-",
    "tool-",
    "citation-",
    "interaction.",
    "content.",
    "conversation.response.",
    "message.output.",
    "thread.",
    "chat.",
)
# What a whole response is called; two of them with different ids are two responses.
_WHOLE = frozenset(
    {"chat.completion", "response", "realtime.response", "interaction", "conversation.response"}
)
# Parts of OpenAI's threads that are counted again in their run.
_PARTS_OF_A_RUN = frozenset({"thread", "thread.message", "thread.run.step"})
# Each of these marks a line of the results of a batch.
_RESULT_KEYS = ("custom_id", "customId", "recordId", "record_id")
# Where else a response may lie that holds the usage.
_HOLDERS = ("interaction", "result", "data", "predictions", "modelOutput", "run", "message")
# Events of Converse streams, as boto3 hands them out: one name that holds the event.
_CONVERSE_EVENTS = ("metadata", "messageStart", "contentBlockStart", "contentBlockDelta", "messageStop")
_TIMED = frozenset(
    {
        "metrics",
        "time_info",
        "timings",
        "prompt_eval_duration",
        "total_duration",
        "amazon-bedrock-invocationMetrics",
        "prompt_time",
        "total_time",
    }
)
_BEDROCK_METRICS = "amazon-bedrock-invocationMetrics"
_MAX_WRAPPERS = 4
# Which parts of a response show what is billed beside its tokens; most have none.
_BILLED = frozenset({"candidates", "data", "meta", "output", "performanceConfig", "task", "usage_info"})
_NO_COUNTS = frozenset({"units", "speed", "source", "raw"})


class ResponseFold:
    """Fold one response, whole or in events.

    Args:
        stream: The events of a stream follow, whatever they look like.
        keep_text: Also keep the answer, for content logging and estimates; it grows with the answer.
        embedding: The call is for embeddings or a ranking; see `normalise_counts`.
    """

    __slots__ = (
        "_answer",
        "_billed",
        "_blocked",
        "_cost",
        "_embedding",
        "_error",
        "_final",
        "_finish",
        "_first_token_ms",
        "_id",
        "_latency_ms",
        "_many",
        "_metrics",
        "_model",
        "_models",
        "_refused",
        "_request_id",
        "_since",
        "_state",
        "_stream",
        "_streamed",
        "_sums",
        "_tier",
        "_units",
        "_unread",
        "_usage",
    )

    def __init__(self, *, stream: bool = False, keep_text: bool = False, embedding: bool = False) -> None:
        self._stream = stream
        self._streamed = False
        self._final = False
        self._embedding = embedding
        self._usage: Mapping[str, Any] | None = None
        self._billed: dict[str, Any] = {}
        self._metrics: Mapping[str, Any] | None = None
        self._unread: Mapping[str, Any] | None = None
        self._many = 0
        self._sums: Counter[str] = Counter()
        self._units: Counter[str] = Counter()
        self._models: set[str | None] = set()
        self._model: str | None = None
        self._id: str | None = None
        self._request_id: str | None = None
        self._tier: str | None = None
        self._finish: dict[int, str] = {}
        self._cost: Cost | None = None
        self._error: ErrorInfo | None = None
        self._first_token_ms: float | None = None
        self._latency_ms: float | None = None
        self._state: str | None = None
        self._since: float | None = None
        self._answer = AnswerFold() if keep_text else None
        self._refused = False
        self._blocked: str | None = None

    def add(self, item: Any, *, event: str | None = None, failed: bool = False) -> bool | None:
        """Take a response, or the next event of a stream.

        Args:
            item: A mapping or an SDK's object.
            event: The event's name, where the transport gives one beside the data.
            failed: This is known to be an error's body.

        Returns:
            Whether it carries generated content; None where it is nothing that can be read.
        """
        values = shallow(item)
        if not values:
            return None
        if self._id is not None and self._answer is None:
            content = plain_delta(values)
            if content is not None:
                self._streamed = True
                return content
        another = any(name in values for name in _RESULT_KEYS) or ("key" in values and "response" in values)
        values, kind, event = self._unwrapped(values, event)
        if kind is not None:
            self._note_kind(kind, values)
        if another or self._is_another(values):
            self._begin_another()
        self._read(values, kind, failed=failed or event == "error")
        content = carries_content(values, kind)
        if self._answer is not None:
            self._keep(values, kind)
        return content

    def add_text(self, item: Any) -> None:
        """Take an event that brings nothing but more of the answer; see `BodyReader`."""
        values = shallow(item)
        if not values or self._answer is None:
            return
        kind = values.get("type")
        if "choices" not in values and (kind is None or "delta" not in values or "event_type" in values):
            values, kind, _ = self._unwrapped(values, None)
        self._answer.add(values, kind if isinstance(kind, str) else None)

    def _keep(self, values: Mapping[str, Any], kind: str | None) -> None:
        assert self._answer is not None
        several = values.get("several")
        if isinstance(several, list):
            self._answer.add_messages(several)
        else:
            self._answer.add(values, kind)

    def _unwrapped(
        self, values: Mapping[str, Any], event: str | None
    ) -> tuple[Mapping[str, Any], str | None, str | None]:
        """Return what an event's wrappers hold, its type, and the name of the event."""
        if values.get("object") != "chat.completion":
            for _ in range(_MAX_WRAPPERS):
                inner = self._inner(values)
                if inner is None:
                    break
                stated, inner_event = inner
                if usage_of(stated) is None and (usage := usage_of(values)) is not None:
                    # xAI's realtime API states the usage next to the response.
                    stated = {**stated, "usage": usage}
                values, event = stated, inner_event
        kind = values.get("type")
        return values, kind if isinstance(kind, str) else event, event

    def expect_stream(self) -> None:
        """Note that what follows are the events of a stream."""
        self._stream = True

    def done(self) -> None:
        """Note that the stream said its last word (`[DONE]`)."""
        self._final = True

    def headers(self, headers: Mapping[str, str]) -> None:
        """Take what the response's headers say.

        Args:
            headers: Names in lower case.
        """
        if self._usage is None:
            self._usage = header_usage_of(headers)
        self._cost = self._cost or header_cost_of(headers)
        if self._latency_ms is None:
            self._latency_ms = header_latency_of(headers)
        self._request_id = self._request_id or headers.get("x-amzn-requestid")

    @property
    def identified(self) -> bool:
        """Say whether id and model are known, which come with the first events if at all."""
        return self._id is not None and self._model is not None

    @property
    def seen_end(self) -> bool:
        """Say whether the stream said its last word."""
        return self._final

    def result(self) -> Extraction:
        """Return what has been learnt so far."""
        if self._many > 1:
            return self._result_of_many()
        complete = self._final or not self._streamed
        usage = self._usage
        counted = self._counted(complete=complete)
        unread = None
        if counted is None and (found := usage or self._unread) is not None:
            stated: dict[str, Any] = plain(found)
            unread = stated if holds_number(stated) else None
        return Extraction(
            counted=counted,
            unread=unread,
            response_model=self._model,
            provider_response_id=self._id or self._request_id,
            finish_reasons=[self._finish[index] for index in sorted(self._finish)] or None,
            service_tier=self._tier,
            cost=cost_of({}, usage) or self._cost,
            time_to_first_token_ms=self._first_token_ms,
            provider_latency_ms=self._latency_ms,
            error=self._error,
            complete=complete,
            text=None if self._answer is None else self._answer.text,
            answer=None if self._answer is None else self._answer.result(),
            refused=self._refused,
            blocked=self._blocked,
            state=self._state,
            background_since=self._since,
        )

    def _counted(self, *, complete: bool) -> dict[str, Any] | None:
        usage, metrics, billed = self._usage, self._metrics, self._billed
        if metrics is None:
            return counted_usage(usage or {}, billed, complete=complete, embedding=self._embedding)
        if usage is None:
            return counted_usage(metrics, billed, complete=complete, embedding=self._embedding)
        # Bedrock repeats at the end of every stream what most models have stated in more detail.
        counts = normalise_counts(plain(usage), embedding=self._embedding)
        if {"prompt_tokens", "completion_tokens"} <= counts.keys():
            return counted_usage(usage, billed, complete=complete, embedding=self._embedding)
        raw = {**usage, _BEDROCK_METRICS: metrics}
        counts = {**normalise_counts(plain(metrics)), **counts}
        return stated_usage(counts, plain(raw), billed, complete=complete)

    # Several responses ----------------------------------------------------------------------------------------

    def _is_another(self, values: Mapping[str, Any]) -> bool:
        """Say whether these are a whole response other than the one that was read last."""
        if values.get("generated_text") is not None and "details" in values:
            # Text Generation Inference answers several prompts with a list of results, which have no ids.
            return True
        if values.get("object") in _WHOLE or values.get("type") == "message" or "meta_info" in values:
            found = response_id_of(values)
            return (
                found is not None and self._id is not None and found != self._id and self._usage is not None
            )
        return False

    def _begin_another(self) -> None:
        """Add what was read last to the sums, and start over."""
        if self._many or self._usage is not None:
            self._add_up()
            self._usage = self._metrics = self._id = self._model = None
            self._billed = {}
            self._many = max(self._many, 1)
        self._many += 1

    def _add_up(self) -> None:
        counted = self._counted(complete=True)
        if counted is not None:
            self._models.add(self._model)
            self._sums.update({name: counted[name] for name in counted if name not in _NO_COUNTS})
            self._units.update(counted.get("units", {}))

    def _result_of_many(self) -> Extraction:
        self._add_up()
        self._usage = self._metrics = None
        counted = None
        if self._sums or self._units:
            units = {"units": dict(self._units)} if self._units else {}
            counted = {**self._sums, **units, "source": "provider", "raw": {"responses": self._many}}
        return Extraction(
            counted=counted,
            response_model=self._models.pop() if len(self._models) == 1 else None,
            error=None if counted is not None else self._error,
            text=None if self._answer is None else self._answer.text,
            answer=None if self._answer is None else self._answer.result(),
        )

    # What an event is wrapped in ------------------------------------------------------------------------------

    def _inner(self, values: Mapping[str, Any]) -> tuple[Mapping[str, Any], str | None] | None:
        """Return what a wrapper holds and which kind of event that is; None where the values are no wrapper."""
        kind = values.get("type") or values.get("event_type") or values.get("event")
        kind = kind if isinstance(kind, str) else None
        response = values.get("response")
        if response is not None and not isinstance(response, str):
            inner = mapping(response)
            if "body" in inner:
                inner = mapping(inner["body"])
            if inner:
                if kind is not None:
                    self._note_kind(kind, inner)
                if kind == "stream-end" and "finish_reason" not in inner:
                    # Cohere's first version says it beside.
                    inner = {**inner, "finish_reason": values.get("finish_reason")}
                return inner, kind
        if kind == "message_start":
            return mapping(values.get("message")), kind
        if kind == "message-end" or (kind is None and "event_type" in values):
            return {**mapping(values.get("delta")), "id": values.get("id")}, kind
        return self._inner_by_name(values, kind)

    def _inner_by_name(
        self, values: Mapping[str, Any], kind: str | None
    ) -> tuple[Mapping[str, Any], str | None] | None:
        for name in _CONVERSE_EVENTS:
            if name in values and len(values) <= 2:
                inner = values[name]
                if isinstance(inner, Mapping) and (name != "metadata" or "usage" in inner):
                    self._streamed = True
                    self._final = self._final or name == "metadata"
                    return inner, None
        chunk = values.get("chunk")
        if chunk is not None and len(values) == 1:
            inner = mapping(chunk)
            data = inner.get("bytes")
            if isinstance(data, (bytes, bytearray)):
                inner = _json(data)
            return (inner, None) if inner else None
        data = values.get("data")
        if isinstance(data, (str, bytes)) and "choices" not in values:
            parsed = _json(data)
            return (parsed, kind) if parsed else None
        if data is not None and not isinstance(data, (list, tuple)) and "object" not in values:
            inner = mapping(data)
            if "choices" in inner:
                return inner, None
        result = mapping(values.get("result"))
        if "message" in result and "type" in result:
            return mapping(result["message"]), None
        if "usage" not in values:
            for name in _HOLDERS:
                inner = mapping(values.get(name)) if name in values else {}
                if inner and (name == "interaction" or usage_of(inner) is not None):
                    return inner, kind
        return self._langchain(values)

    def _langchain(self, values: Mapping[str, Any]) -> tuple[Mapping[str, Any], str | None] | None:
        generations = values.get("generations")
        if isinstance(generations, (list, tuple)) and generations:
            batch = generations[0]
            one = batch[0] if isinstance(batch, (list, tuple)) and batch else batch
            message = mapping(mapping(one).get("message"))
            if message and isinstance(batch, (list, tuple)) and len(batch) > 1:
                message = {**message, "several": [mapping(each).get("message") for each in batch]}
            spent = mapping(mapping(values.get("llm_output")).get("token_usage"))
            if message:
                return ({**message, "token_usage": spent} if spent else message), None
        said = values.get("response_metadata")
        if isinstance(said, Mapping) and said:
            whole = {**said, **{key: value for key, value in values.items() if key != "response_metadata"}}
            return whole, text(values.get("type"))
        return None

    # What it says ---------------------------------------------------------------------------------------------

    def _note_kind(self, kind: str, values: Mapping[str, Any]) -> None:
        if kind in _FINAL_KINDS:
            self._streamed = self._final = True
        elif kind.startswith(_STREAM_KINDS):
            self._streamed = True
            if kind == "message_delta" and mapping(values.get("delta")).get("stop_reason"):
                self._final = True

    def _read(self, values: Mapping[str, Any], kind: str | None, *, failed: bool) -> None:
        if self._id is None and values.get("object") not in _PARTS_OF_A_RUN:
            self._id = response_id_of(values)
        if self._model is None:
            self._model = model_of(values)
        if failed or kind == "error" or values.get("error"):
            self._error = error_of(values, failed=failed) or self._error
        self._read_finish(values, kind)
        if values.get("object") == "response":
            self._read_state(values)
        usage = self._read_usage(values, kind)
        self._read_billed(values, usage)
        tier = service_tier_of(values, usage)
        if tier is not None:
            self._tier = tier
        if not _TIMED.isdisjoint(values) or (usage is not None and not _TIMED.isdisjoint(usage)):
            found = first_token_time_of(values, usage)
            self._first_token_ms = found if found is not None else self._first_token_ms
            found = provider_latency_of(values, usage)
            self._latency_ms = found if found is not None else self._latency_ms
        if "provider_metadata" in values or "providerMetadata" in values:
            self._cost = cost_of(values, None) or self._cost
        said = values.get("ResponseMetadata")
        if isinstance(said, Mapping):
            self._request_id = text(said.get("RequestId")) or self._request_id
            headers = said.get("HTTPHeaders")
            if isinstance(headers, Mapping):
                self.headers({str(name).lower(): str(value) for name, value in headers.items()})

    def _read_billed(self, values: Mapping[str, Any], usage: Mapping[str, Any] | None) -> None:
        """Note what is billed beside tokens; a later event has all that the one before it had."""
        found = billed_in_response(values) if not _BILLED.isdisjoint(values) else {}
        if usage is not None and not counts_tokens(usage):
            found = {**billed_in_usage(usage), **found}
        for name, value in found.items():
            known = self._billed.get(name)
            self._billed[name] = {**known, **value} if isinstance(known, dict) else value

    def _read_usage(self, values: Mapping[str, Any], kind: str | None) -> Mapping[str, Any] | None:
        metrics = values.get(_BEDROCK_METRICS)
        if metrics is not None:
            self._metrics = mapping(metrics)
            values = {name: value for name, value in values.items() if name != _BEDROCK_METRICS}
        usage = usage_of(values)
        if usage is None and is_usage(values):
            usage = values
        if usage is not None and not counts_tokens(usage):
            self._unread = usage
        elif usage is not None and values.get("object") not in _PARTS_OF_A_RUN:
            self._take_usage(usage, kind)
            if values.get("object") == "list" or "embeddings" in values or "embedding" in values:
                self._embedding = True
        return usage

    def _read_state(self, values: Mapping[str, Any]) -> None:
        self._state = text(values.get("status")) or self._state
        created = values.get("created_at")
        if values.get("background") is True and isinstance(created, (int, float)):
            self._since = created

    def _read_finish(self, values: Mapping[str, Any], kind: str | None) -> None:
        reasons = finish_reasons_of(values)
        blocked = block_reason_of(values)
        if blocked is not None:
            self._blocked = blocked
            reasons = reasons or {0: blocked}
        self._refused = self._refused or is_refusal(values, kind)
        choices = values.get("choices")
        self._streamed = (
            self._streamed
            or values.get("object") == "chat.completion.chunk"
            or values.get("done") is False
            or (self._stream and (choices is not None or "candidates" in values or "outputs" in values))
            or (isinstance(choices, (list, tuple)) and bool(choices) and "delta" in mapping(choices[0]))
        )
        if reasons:
            self._finish.update(reasons)
        if reasons or values.get("done") is True or "stopReason" in values or blocked is not None:
            # Whatever follows a finish reason is bookkeeping; Anthropic and the Responses API say more by `type`.
            self._final = self._final or values.get("object") != "response"

    def _take_usage(self, usage: Mapping[str, Any], kind: str | None) -> None:
        if self._usage is None:
            self._usage = usage
        elif kind == "AIMessageChunk":
            self._usage = added(self._usage, usage)
        else:
            self._usage = brought_together(plain(self._usage), plain(usage))


def _json(data: str | bytes | bytearray) -> Mapping[str, Any]:
    with contextlib.suppress(ValueError, RecursionError):
        found = from_json(data)
        if isinstance(found, dict):
            return found
    return {}
