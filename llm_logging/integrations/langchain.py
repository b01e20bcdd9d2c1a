"""Log the models that LangChain runs.

model.invoke("...", config={"callbacks": [LangChainLogger()]})
ChatOpenAI(..., callbacks=[LangChainLogger()])
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from ..logger.adapter import LLMLoggerAdapter
from ..logger.stream import when_abandoned
from ..models.counting.sdk_objects import first, mapping, plain, text
from ..models.otel import provider_named
from ..usage.accumulator import Extraction
from ..usage.extract import extract
from .capture.nesting import close_run, covered, open_run
from .capture.observation import Observation, guarded, wants_content
from .capture.optional import required

__all__ = ["LangChainLogger"]

_Base: Any = required(
    "BaseCallbackHandler",
    module="langchain_core.callbacks.base",
    package="langchain-core",
    brings="langchain-core",
    who="llm_logging.integrations.langchain",
)


class LangChainLogger(_Base):  # type: ignore[misc]  # langchain-core need not be there to check types
    """A callback handler of LangChain's.

    Args:
        log: Where it is logged; None takes `get_logger()`. Its context, and that of `scope()`, is on every line.
        pending: Whether a line is logged when a request is sent, too; calls that die with their process then show.
        content: Whether prompts and answers are kept; None leaves it to the handlers.
    """

    # In the context of the call itself, so that its scopes are seen, and requests further in keep still.
    run_inline = True
    raise_error = False

    def __init__(
        self, log: LLMLoggerAdapter | None = None, *, pending: bool = False, content: bool | None = None
    ) -> None:
        super().__init__()
        self._log = log
        self._pending = pending
        self._content = content
        self._open: dict[str, Observation] = {}

    # -- LangChain's hooks --------------------------------------------------------------------------------------------

    @guarded
    def on_chat_model_start(self, _serialized: Any, messages: Any, *, run_id: Any, **kwargs: Any) -> None:
        """Note that a chat model is asked."""
        self._begin(messages[0] if messages else [], run_id, kwargs, "chat")

    @guarded
    def on_llm_start(self, _serialized: Any, prompts: Any, *, run_id: Any, **kwargs: Any) -> None:
        """Note that a completion model is asked."""
        self._begin(list(prompts), run_id, kwargs, "text_completion")

    @guarded
    def on_llm_new_token(self, token: Any, *, chunk: Any = None, run_id: Any, **_: Any) -> None:
        """Note a chunk of a stream."""
        observation = self._open.get(str(run_id))
        if observation is not None:
            observation.note(stream=True)
            calls = mapping(mapping(chunk).get("message")).get("tool_call_chunks")
            observation.chunk(bool(token) or bool(calls))

    @guarded
    def on_llm_end(self, response: Any, *, run_id: Any, **_: Any) -> None:
        """Note the answer."""
        observation = self._taken(run_id)
        if observation is not None:
            observation.settle(extract(response, keep_text=wants_content(self._log, self._content)))

    @guarded
    def on_llm_error(self, error: BaseException, *, run_id: Any, **kwargs: Any) -> None:
        """Note the failure, and what had come by then."""
        observation = self._taken(run_id)
        if observation is None:
            return
        came = kwargs.get("response")
        if came is not None:
            found = extract(came)
            observation.note(response_model=found.response_model, usage=found.usage)
        observation.fail(error)

    # -- what becomes of it -------------------------------------------------------------------------------------------

    def _begin(self, prompt: list[Any], run_id: Any, kwargs: Mapping[str, Any], operation: str) -> None:
        if covered():
            return
        asked = mapping(kwargs.get("invocation_params"))
        about = mapping(kwargs.get("metadata"))
        content = wants_content(self._log, self._content)
        observation = Observation.begin(
            self._log,
            instrumentation="langchain",
            pending=self._pending,
            model=text(first(asked, "model", "model_name", "model_id", "deployment_name"))
            or text(about.get("ls_model_name"))
            or "unknown",
            provider=provider_named(about.get("ls_provider")),
            operation=operation,
            stream=True if asked.get("stream") is True else None,
            tags=[str(tag) for tag in kwargs.get("tags") or []] or None,
            messages=[_message(item) for item in prompt] if content else None,
        )
        if observation is not None:
            self._open[str(run_id)] = observation
            open_run("langchain_core", str(run_id))
            # Of a cancelled `ainvoke` LangChain says nothing; the run's id goes with the run.
            when_abandoned(run_id, functools.partial(self._left, str(run_id)))

    @guarded
    def _left(self, run: str) -> None:
        observation = self._taken(run)
        if observation is not None:
            observation.settle(Extraction(complete=False), "left")

    def _taken(self, run_id: Any) -> Observation | None:
        close_run(str(run_id))
        return self._open.pop(str(run_id), None)


_ROLES = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant"}


def _message(item: Any) -> Any:
    if isinstance(item, str):
        return {"role": "user", "content": item}
    values = mapping(item)
    kind = str(values.get("type") or "user")
    return {"role": _ROLES.get(kind, kind), "content": plain(values.get("content"))}
