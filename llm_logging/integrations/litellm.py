"""Log what passes through LiteLLM.

    litellm.callbacks = [LiteLLMLogger()]

One entry a request to a provider, with LiteLLM's retries and fallbacks each as their own. Answers from LiteLLM's cache
are no requests and are not logged.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from datetime import datetime
from types import FrameType
from typing import Any

from ..logger.adapter import LLMLoggerAdapter
from ..logger.stream import when_abandoned
from ..models.counting.sdk_objects import mapping, plain
from ..models.otel import provider_named
from ..usage.accumulator import Extraction
from ..usage.extract import extract
from ..usage.sdk_errors import failure_of
from .capture.nesting import close_run, covered, open_run
from .capture.observation import Observation, guarded, wants_content
from .capture.optional import required

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
        self._open: dict[
            str, Observation
        ] = {}  # changed in one step each time, so by several threads without a lock

    # -- LiteLLM's hooks ----------------------------------------------------------------------------------------------

    @guarded
    def log_pre_api_call(self, model: Any, messages: Any, kwargs: Any) -> None:
        """Note that a request is sent."""
        if covered(by_others_than="litellm"):
            return
        self._begin(model, messages, kwargs, pending=self._pending)
        # Of calls that are cancelled and streams that are left LiteLLM says nothing, but its own record of them goes.
        holder = _holder(kwargs)
        if holder is not None:
            when_abandoned(holder, functools.partial(self._left, kwargs))

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

    def _begin(
        self, model: Any, messages: Any, kwargs: Mapping[str, Any], *, pending: bool
    ) -> Observation | None:
        run = str(kwargs.get("litellm_call_id") or "")
        provider = str(
            kwargs.get("custom_llm_provider")
            or mapping(kwargs.get("litellm_params")).get("custom_llm_provider")
            or ""
        )
        operation = _OPERATIONS.get(str(kwargs.get("call_type")), "chat")
        content = wants_content(self._log, self._content)
        observation = Observation.begin(
            self._log,
            instrumentation="litellm",
            pending=pending,
            model=str(model or kwargs.get("model") or "unknown"),
            provider=provider_named(provider),
            operation=operation,
            stream=True
            if mapping(kwargs.get("optional_params")).get("stream") or kwargs.get("stream")
            else None,
            messages=plain(messages) if content and isinstance(messages, list) else None,
        )
        if observation is not None and run:
            self._open[run] = observation
            open_run("litellm", run)
        return observation

    def _taken(self, kwargs: Mapping[str, Any]) -> Observation | None:
        run = str(kwargs.get("litellm_call_id") or "")
        close_run(run)
        return self._open.pop(run, None)

    @guarded
    def _left(self, kwargs: Mapping[str, Any]) -> None:
        observation = self._taken(kwargs)
        if observation is None:
            return
        first = kwargs.get("completion_start_time")
        if isinstance(first, datetime):
            observation.chunk(True)
        observation.settle(Extraction(complete=False), "left")

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
        observation = self._taken(kwargs)
        if observation is None or kwargs.get("cache_hit"):
            return
        self._times(observation, kwargs, start, end)
        found = extract(response, keep_text=wants_content(self._log, self._content))
        observation.note(http_status=200)
        observation.settle(found)

    def _failed(self, kwargs: Any, response: Any, start: Any, end: Any) -> None:
        observation = self._taken(kwargs)
        if observation is None:
            return
        self._times(observation, kwargs, start, end)
        error = kwargs.get("exception")
        if not isinstance(error, BaseException):
            error = str(error or response or "failed")
        told = failure_of(error)
        observation.fail(error, http_status=told.get("http_status"))


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
