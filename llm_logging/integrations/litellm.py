"""Log what passes through LiteLLM.

    litellm.callbacks = [LiteLLMLogger()]

One entry per request to a provider. LiteLLM's retries, and the retries and fallbacks of its Router, are attempts of one
call. Several loggers log each request once. Answers from LiteLLM's cache are no requests and are not logged. Tokens and
costs that LiteLLM computes itself are marked `estimated`.

LiteLLM's record of a call holds the prompt, the answer and the connection of a stream, so nothing here refers to it: what
happens to the call is known from callbacks, and from a finaliser of the record.
"""

from __future__ import annotations

import functools
import sys
import weakref
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime
from types import FrameType
from typing import Any

from ..clock import clock
from ..logger.adapter import LLMLoggerAdapter
from ..logger.stream import when_abandoned
from ..models.counting.sdk_objects import first, mapping, plain
from ..models.otel import provider_named
from ..runtime.threads import Exclusive
from ..usage.accumulator import Extraction
from ..usage.extract import extract
from ..usage.sdk_errors import failure_of
from .capture.nesting import close_run, covered, open_run
from .capture.observation import Observation, guarded, wants_content
from .capture.optional import required
from .capture.request_body import messages_of, parameters_of
from .capture.retries import Attempt

__all__ = ["LiteLLMLogger"]

_OPERATIONS = {
    "aembedding": "embeddings",
    "atext_completion": "text_completion",
    "atranscription": "transcription",
    "embedding": "embeddings",
    "image_generation": "image_generation",
    "rerank": "rerank",
    "text_completion": "text_completion",
    "transcription": "transcription",
}

_FRAMES = 12
_MOST_CALLS = 1_000
# Fallbacks follow at once; a Router waits longer only where it is told to.
_LONGEST_PAUSE = 900.0
_PROMPT_CHARS = 200


class _Run:
    """One request that is open.

    Attributes:
        observation: Logs it.
        attempt: Which attempt of its call it is.
        finaliser: Calls back when LiteLLM lets go of its record of the call.
        mock: Whether LiteLLM answers itself.
        chunks: The chunks of a stream, as LiteLLM gathers them.
    """

    __slots__ = ("attempt", "chunks", "finaliser", "mock", "observation")

    def __init__(self, observation: Observation, attempt: Attempt) -> None:
        self.observation = observation
        self.attempt = attempt
        self.finaliser: Any = None
        self.mock = False
        self.chunks: Any = None


class _Open:
    """The requests of this process that LiteLLM has begun, whichever logger logs them, and the last attempt of each call."""

    def __init__(self) -> None:
        self._exclusive = Exclusive()
        self.runs: dict[str, list[_Run]] = {}
        self._last: OrderedDict[Any, Attempt] = OrderedDict()

    def next_attempt(self, key: Any) -> Attempt:
        """Note that a request of a call is sent.

        Args:
            key: Of the call: equal for its retries and fallbacks.
        """
        found: Attempt = self._exclusive.call(self._next_attempt, key, clock().monotonic())
        return found

    def _next_attempt(self, key: Any, now: float) -> Attempt:
        last = self._last.pop(key, None)
        attempt = Attempt(key, 1, "", now)
        if last is not None and last.retryable and now - (last.ended or now) < _LONGEST_PAUSE:
            attempt = Attempt(key, last.number + 1, last.group, last.began)
        self._last[key] = attempt
        if len(self._last) > _MOST_CALLS:
            self._last.popitem(last=False)
        return attempt

    def add(self, run_id: str, run: _Run) -> None:
        """Keep a request until it ends."""
        self._exclusive.call(self._add, run_id, run)

    def _add(self, run_id: str, run: _Run) -> None:
        self.runs.setdefault(run_id, []).append(run)

    def take(self, run_id: str, run: _Run | None = None) -> _Run | None:
        """Return a request that is open, the earliest of its id where none is named, and keep it no longer."""
        found: _Run | None = self._exclusive.call(self._take, run_id, run)
        return found

    def _take(self, run_id: str, run: _Run | None) -> _Run | None:
        runs = self.runs.get(run_id, [])
        found = next((one for one in runs if run is None or one is run), None)
        if found is not None:
            runs.remove(found)
            if not runs:
                del self.runs[run_id]
        return found


_open = _Open()

_Base: Any = required(
    "CustomLogger",
    module="litellm.integrations.custom_logger",
    package="litellm",
    brings="litellm",
    who="llm_logging.integrations.litellm",
)


class LiteLLMLogger(_Base):  # type: ignore[misc]  # litellm is typed for itself only
    """A callback of LiteLLM's.

    Args:
        log: Where it is logged; None takes `get_logger()`. Its context, and that of `scope()`, is on every line.
        pending: Whether a line is logged when a request is sent, too; calls that die with their process then show.
        content: Whether prompts and answers are kept; None leaves it to the handlers.
    """

    def __init__(
        self, log: LLMLoggerAdapter | None = None, *, pending: bool = False, content: bool | None = None
    ) -> None:
        super().__init__()
        self._log = log
        self._pending = pending
        self._content = content
        self._open = _open.runs

    # -- LiteLLM's hooks ----------------------------------------------------------------------------------------------

    @guarded
    def log_pre_api_call(self, model: Any, messages: Any, kwargs: Any) -> None:
        """Note that a request is sent."""
        if covered(by_others_than="litellm") or self._is_second():
            return
        run = self._begin(model, messages, kwargs)
        holder = None if run is None else _holder(kwargs)
        if run is None or holder is None:
            return
        # Of calls that are cancelled and streams that are left LiteLLM says nothing, but its own record of them goes.
        run_id = str(kwargs.get("litellm_call_id") or "")
        run.finaliser = when_abandoned(holder, functools.partial(self._left, run_id, run))
        _watch_first_chunk(holder, run)

    def _is_second(self) -> bool:
        """Say whether another logger of this class logs the call: the first one that LiteLLM calls does."""
        litellm: Any = sys.modules["litellm"]
        loggers = [one for one in litellm.callbacks or () if isinstance(one, LiteLLMLogger)]
        for name in ("input_callback", "success_callback", "_async_success_callback"):
            loggers += [one for one in getattr(litellm, name, None) or () if isinstance(one, LiteLLMLogger)]
        return bool(loggers) and loggers[0] is not self and self in loggers

    @guarded
    def log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        """Note an answer, of synchronous calls."""
        self._succeeded(kwargs, response_obj, start_time, end_time)

    @guarded
    def log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        """Note a failure, of synchronous calls."""
        self._failed(kwargs, response_obj, start_time, end_time)

    async def async_log_success_event(
        self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """Note an answer, of asynchronous calls."""
        self.log_success_event(kwargs, response_obj, start_time, end_time)

    async def async_log_failure_event(
        self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """Note a failure, of asynchronous calls."""
        self.log_failure_event(kwargs, response_obj, start_time, end_time)

    # -- what becomes of it -------------------------------------------------------------------------------------------

    def _begin(self, model: Any, messages: Any, kwargs: Mapping[str, Any]) -> _Run | None:
        parameters = mapping(kwargs.get("litellm_params"))
        provider = str(kwargs.get("custom_llm_provider") or parameters.get("custom_llm_provider") or "")
        optional = mapping(kwargs.get("optional_params"))
        content = wants_content(self._log, self._content)
        attempt = _open.next_attempt(_call_key(kwargs, messages))
        observation = Observation.begin(
            self._log,
            instrumentation="litellm",
            pending=self._pending,
            model=str(model or kwargs.get("model") or "unknown"),
            provider=provider_named(provider),
            operation=_OPERATIONS.get(str(kwargs.get("call_type")), "chat"),
            stream=True if optional.get("stream") or kwargs.get("stream") else None,
            attempt=attempt.number,
            request_group=attempt.group or None,
            messages=_messages(messages, kwargs) if content else None,
            **parameters_of({**optional, **_more(kwargs)}),
        )
        if observation is None:
            return None
        if not attempt.group:
            attempt.group = observation.request_group or observation.id
            observation.note(request_group=attempt.group)
        run = _Run(observation, attempt)
        run.mock = parameters.get("mock_response") is not None or bool(kwargs.get("mock_response"))
        run_id = str(kwargs.get("litellm_call_id") or "")
        if run_id:
            _open.add(run_id, run)
            open_run("litellm", run_id)
        return run

    def _taken(self, kwargs: Mapping[str, Any], *, failed: bool) -> Observation | None:
        run_id = str(kwargs.get("litellm_call_id") or "")
        run = _open.take(run_id)
        if run is None:
            return None
        close_run(run_id)
        if run.finaliser is not None:
            run.finaliser.detach()
        _over(run, failed=failed)
        return run.observation

    @guarded
    def _left(self, run_id: str, run: _Run) -> None:
        if _open.take(run_id, run) is not None:
            close_run(run_id)
            _over(run, failed=False)
            run.observation.settle(Extraction(complete=False), "left")

    def _times(self, observation: Observation, kwargs: Mapping[str, Any], start: Any, end: Any) -> None:
        """Take LiteLLM's times: its callbacks come late, from a thread of their own."""
        if not isinstance(start, datetime) or not isinstance(end, datetime):
            return
        timings = {"latency_ms": max(0.0, (end - start).total_seconds() * 1000)}
        first = kwargs.get("completion_start_time")
        streamed = mapping(kwargs.get("optional_params")).get("stream") or kwargs.get("stream")
        if streamed and isinstance(first, datetime):
            timings["time_to_first_token_ms"] = max(0.0, (first - start).total_seconds() * 1000)
        observation.note(
            timings=timings, timestamp_start=start.astimezone(), timestamp_end=max(start, end).astimezone()
        )

    def _succeeded(self, kwargs: Any, response: Any, start: Any, end: Any) -> None:
        if type(response).__name__ == "ModelResponseStream":
            # A chunk; the whole of the stream comes at its end.
            return
        run_id = str(kwargs.get("litellm_call_id") or "")
        runs = _open.runs.get(run_id)
        last = runs[-1] if runs else None
        # Where LiteLLM sent the request again, the earlier attempts under the same id have failed without a word.
        while runs and len(runs) > 1 and (earlier := self._taken(kwargs, failed=True)) is not None:
            earlier.fail(_RETRIED)
        observation = self._taken(kwargs, failed=False)
        if observation is None or kwargs.get("cache_hit"):
            return
        self._times(observation, kwargs, start, end)
        found = extract(response, keep_text=wants_content(self._log, self._content))
        if found.counted is not None and last is not None and not _counted_by_provider(last, kwargs):
            found.counted["source"] = "estimated"
        if (
            found.cost is not None
            and mapping(getattr(response, "_hidden_params", None)).get("upstream_usage_cost") is None
        ):
            found.cost = found.cost.model_copy(update={"source": "estimated"})
        observation.note(http_status=200)
        observation.settle(found)

    def _failed(self, kwargs: Any, response: Any, start: Any, end: Any) -> None:
        error = kwargs.get("exception")
        if not isinstance(error, BaseException):
            error = str(error or response or "failed")
        told = failure_of(error)
        # LiteLLM's own retries under one id end with one callback, of the last.
        while (observation := self._taken(kwargs, failed=True)) is not None:
            self._times(observation, kwargs, start, end)
            observation.fail(error, http_status=told.get("http_status"))


_RETRIED = {"code": "retried", "message": "LiteLLM sent the request again and did not say why"}


def _over(run: _Run, *, failed: bool) -> None:
    run.attempt.over(None if failed else 200)
    run.attempt.retryable = failed
    if run.attempt.number > 1:
        run.observation.note(timings={"total_duration_ms": run.attempt.waited_ms})


def _call_key(kwargs: Mapping[str, Any], messages: Any) -> Any:
    """Return what the attempts of one call have in common: LiteLLM's trace id and the prompt.

    The prompt, since an application may give one trace id to a whole conversation.
    """
    trace = kwargs.get("litellm_trace_id") or mapping(kwargs.get("litellm_params")).get("litellm_trace_id")
    last = mapping(messages[-1]).get("content") if isinstance(messages, list) and messages else messages
    said = last[:_PROMPT_CHARS] if isinstance(last, str) else type(last).__name__
    return trace or kwargs.get("litellm_call_id"), len(messages) if isinstance(messages, list) else 0, said


def _messages(messages: Any, kwargs: Mapping[str, Any]) -> list[Any] | None:
    if isinstance(messages, list):
        found: Any = plain(messages)
        return found if isinstance(found, list) else None
    return messages_of({"input": first(kwargs, "input")})


def _more(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return what LiteLLM keeps apart from a request's other parameters."""
    found: dict[str, Any] = {}
    if kwargs.get("user"):
        found["user"] = kwargs["user"]
    return found


def _counted_by_provider(run: _Run, kwargs: Mapping[str, Any]) -> bool:
    """Say whether a provider stated the usage: where no chunk of a stream has one, LiteLLM counts by itself."""
    if run.mock:
        return False
    if not kwargs.get("stream"):
        return kwargs.get("original_response") != "my-original-response"
    chunks = run.chunks or getattr(kwargs.get("original_response"), "chunks", None)
    return any(getattr(one, "usage", None) for one in chunks or ())


def _watch_first_chunk(holder: Any, run: _Run) -> None:
    """Note a stream's first chunk when LiteLLM does, in its record of the call, which may be gone before its end."""
    name = "update_completion_start_time"
    if not hasattr(type(holder), name):
        return
    known = weakref.ref(holder)

    def noted(*arguments: Any, **options: Any) -> Any:
        run.observation.chunk(True)
        run.chunks = getattr(sys._getframe(1).f_locals.get("self"), "chunks", None)  # noqa: SLF001  see `_holder`
        record = known()
        return None if record is None else getattr(type(record), name)(record, *arguments, **options)

    for spelling in (name, f"_{name}"):
        holder.__dict__[spelling] = noted


def _holder(kwargs: Any) -> Any:
    """Return the object of LiteLLM's that holds a call's details, and lives as long as the call; None if not found."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  LiteLLM hands out the details, not their holder
    for _ in range(_FRAMES):
        if frame is None:
            break
        holder = frame.f_locals.get("self")
        if getattr(holder, "model_call_details", None) is kwargs:
            return holder
        frame = frame.f_back
    return None
