"""Responses and streams of them, folded into one `Extraction`.

A `ResponseFold` takes a whole response, or the events of a stream one by one, and keeps only what it has learnt, so
its size does not grow with the stream. Streams differ in where usage comes: once in a last event (OpenAI, Bedrock,
Cohere, Ollama), as a running total in every event (Gemini, xAI, vLLM on request: the last one counts, whole), or split
over the first and the last (Anthropic: merged by field). A stream that ends before its last word leaves `source`
`partial`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..schema import Cost, ErrorInfo, Usage
from .counts import counts_tokens, is_usage, normalise_counts
from .facts import (
    UNFINISHED,
    cost_of,
    error_of,
    finish_reasons_of,
    first_token_time_of,
    header_cost_of,
    header_latency_of,
    header_usage_of,
    model_of,
    provider_latency_of,
    response_id_of,
    service_tier_of,
    usage_of,
)
from .generated import carries_content, plain_delta, texts_of
from .plain import from_json, mapping, plain, shallow, text
from .units import billed_in_response, billed_in_usage

__all__ = ["Extraction", "ResponseFold"]


@dataclass(slots=True)
class Extraction:
    """What a response says about itself.

    Attributes:
        counted: The tokens, normalised, as fields of `Usage` to values; None where the provider gave none.
        response_model: The model that answered.
        provider_response_id: The provider's id of the response.
        finish_reasons: Why each choice ended, in the provider's words.
        service_tier: The tier that served it.
        cost: What the provider or gateway says it charges.
        time_to_first_token_ms: Where the provider says it.
        provider_latency_ms: How long it took on the provider's side, where it says so.
        error: What a failed body or event reports.
        complete: False for a stream that broke off before its last event.
        text: The generated text, where it was asked to be kept.
        state: The state of an answer that is kept by the provider (Responses API): `queued`, `completed` ...
        background_since: When an answer that is made in the background was asked for, in seconds since 1970.
    """

    counted: dict[str, Any] | None = None
    response_model: str | None = None
    provider_response_id: str | None = None
    finish_reasons: list[str] | None = None
    service_tier: str | None = None
    cost: Cost | None = None
    time_to_first_token_ms: float | None = None
    provider_latency_ms: float | None = None
    error: ErrorInfo | None = None
    complete: bool = True
    text: str | None = None
    state: str | None = None
    background_since: float | None = None

    @property
    def usage(self) -> Usage | None:
        """The tokens as a model."""
        # `normalise_counts` keeps every rule of the model, and the entry is checked once more on its way.
        return None if self.counted is None else Usage.model_construct(**self.counted)

    @property
    def running(self) -> bool:
        """Say whether the answer is still being made, and has to be asked for again."""
        return self.state in UNFINISHED


_FINAL_KINDS = frozenset(
    {
        "message_stop",
        "message-end",
        "response.completed",
        "response.incomplete",
        "response.failed",
        "response.cancelled",
        "response.done",
    }
)
_STREAM_KINDS = ("message_", "content_block_", "response.", "message-", "content-", "tool-", "citation-")
_MERGED_KINDS = frozenset({"message_start", "message_delta"})
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
# Native streams of Llama and Titan on Bedrock: the prompt's in the first event, the completion's in the last.
_IN_PARTS = frozenset(
    {"prompt_token_count", "generation_token_count", "inputTextTokenCount", "outputTextTokenCount"}
)
_BEDROCK_METRICS = "amazon-bedrock-invocationMetrics"
_MAX_WRAPPERS = 4
_LARGEST_COUNT = 2**53
# Which parts of a response show what is billed beside its tokens; most have none.
_BILLED = frozenset({"candidates", "data", "output", "performanceConfig", "task", "usage_info"})
_IMAGE_PARTS = {"image_prompt_tokens": "prompt_tokens", "image_completion_tokens": "completion_tokens"}


class ResponseFold:
    """Fold one response, whole or in events.

    Args:
        stream: The events of a stream follow, whatever they look like.
        keep_text: Also keep the generated text, for content logging and estimates; it grows with the answer.
        embedding: The call is for embeddings or a ranking; see `normalise_counts`.
    """

    __slots__ = (
        "_billed",
        "_cost",
        "_embedding",
        "_error",
        "_final",
        "_finish",
        "_first_token_ms",
        "_id",
        "_latency_ms",
        "_model",
        "_request_id",
        "_since",
        "_state",
        "_stream",
        "_streamed",
        "_text",
        "_tier",
        "_usage",
    )

    def __init__(self, *, stream: bool = False, keep_text: bool = False, embedding: bool = False) -> None:
        self._stream = stream
        self._streamed = False
        self._final = False
        self._embedding = embedding
        self._usage: Mapping[str, Any] | None = None
        self._billed: dict[str, Any] = {}
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
        self._text: list[str] | None = [] if keep_text else None

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
        if self._id is not None and self._text is None:
            content = plain_delta(values)
            if content is not None:
                self._streamed = True
                return content
        if values.get("object") != "chat.completion":
            for _ in range(_MAX_WRAPPERS):
                inner = self._inner(values)
                if inner is None:
                    break
                values, event = inner
        kind = values.get("type")
        if not isinstance(kind, str):
            kind = event
        if kind is not None:
            self._note_kind(kind, values)
        self._read(values, kind, failed=failed or event == "error")
        content = carries_content(values, kind)
        if content and self._text is not None:
            self._text.extend(texts_of(values, kind))
        return content

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
        complete = self._final or not self._streamed
        usage = self._usage
        return Extraction(
            counted=_counted(usage or {}, self._billed, complete=complete, embedding=self._embedding),
            response_model=self._model,
            provider_response_id=self._id or self._request_id,
            finish_reasons=[self._finish[index] for index in sorted(self._finish)] or None,
            service_tier=self._tier,
            cost=cost_of({}, usage) or self._cost,
            time_to_first_token_ms=self._first_token_ms,
            provider_latency_ms=self._latency_ms,
            error=self._error,
            complete=complete,
            text=None if self._text is None else "".join(self._text),
            state=self._state,
            background_since=self._since,
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
        return self._langchain(values)

    def _langchain(self, values: Mapping[str, Any]) -> tuple[Mapping[str, Any], str | None] | None:
        generations = values.get("generations")
        if isinstance(generations, (list, tuple)) and generations:
            batch = generations[0]
            one = batch[0] if isinstance(batch, (list, tuple)) and batch else batch
            message = mapping(mapping(one).get("message"))
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
        if self._id is None:
            self._id = response_id_of(values)
        if self._model is None:
            self._model = model_of(values)
        if failed or kind == "error" or values.get("error"):
            self._error = error_of(values, failed=failed) or self._error
        self._read_finish(values)
        if values.get("object") == "response":
            self._read_state(values)
        usage = usage_of(values)
        if usage is None and is_usage(values):
            usage = values
        if usage is not None and counts_tokens(usage):
            if usage is values.get(_BEDROCK_METRICS) and self._usage is not None:
                # Bedrock repeats at the end of every stream what the model has told in more detail.
                usage = self._usage
            self._take_usage(usage, kind)
            if values.get("object") == "list" or "embeddings" in values or "embedding" in values:
                self._embedding = True
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

    def _read_state(self, values: Mapping[str, Any]) -> None:
        self._state = text(values.get("status")) or self._state
        created = values.get("created_at")
        if values.get("background") is True and isinstance(created, (int, float)):
            self._since = created

    def _read_finish(self, values: Mapping[str, Any]) -> None:
        reasons = finish_reasons_of(values)
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
        if (
            reasons
            or values.get("done") is True
            or "stopReason" in values
            or mapping(values.get("promptFeedback")).get("blockReason")
        ):
            # Whatever follows a finish reason is bookkeeping; Anthropic and the Responses API say more by `type`.
            self._final = self._final or values.get("object") != "response"

    def _take_usage(self, usage: Mapping[str, Any], kind: str | None) -> None:
        if kind in _MERGED_KINDS:
            known = {name: value for name, value in usage.items() if value is not None}
            self._usage = {**(self._usage or {}), **known}
        elif kind == "AIMessageChunk" and self._usage is not None:
            self._usage = _added(self._usage, usage)
        elif self._usage is not None and usage.keys() <= _IN_PARTS:
            self._usage = {**self._usage, **usage}
        else:
            self._usage = usage


def _added(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
    """Add up counts by name, as LangChain does when it joins the chunks of a message."""
    total = dict(left)
    for name, value in right.items():
        own = total.get(name)
        if isinstance(value, Mapping):
            total[name] = _added(own if isinstance(own, Mapping) else {}, value)
        elif isinstance(value, int) and isinstance(own, int):
            total[name] = own + value
        elif own is None:
            total[name] = value
    return total


def _json(data: str | bytes | bytearray) -> Mapping[str, Any]:
    with contextlib.suppress(ValueError, RecursionError):
        found = from_json(data)
        if isinstance(found, dict):
            return found
    return {}


def _counted(
    found: Mapping[str, Any], billed: Mapping[str, Any], *, complete: bool, embedding: bool
) -> dict[str, Any] | None:
    raw = plain(found)
    counts = normalise_counts(raw, embedding=embedding)
    if max(counts.values(), default=0) > _LARGEST_COUNT:
        return None
    beside = billed_in_usage(raw)
    units = {**billed.get("units", {}), **beside.pop("units", {})}
    beside = {**billed, **beside, **({"units": units} if units else {})}
    for name, whole in _IMAGE_PARTS.items():
        if beside.get(name, 0) > counts.get(whole, 0):
            del beside[name]
    source: Literal["provider", "partial"] = "provider" if complete else "partial"
    if not counts:
        # What is billed per page, second or search has no tokens.
        return {"units": units, "source": source, **({"raw": raw} if raw else {})} if units else None
    total = counts.get("prompt_tokens", 0) + counts.get("completion_tokens", 0)
    return {**counts, **beside, "total_tokens": total, "source": source, "raw": raw}
