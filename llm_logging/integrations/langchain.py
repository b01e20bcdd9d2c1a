"""Log the models and tools that LangChain and LangGraph run.

    model.invoke("...", config={"callbacks": [LangChainLogger()]})
    agent.invoke({...}, config={"callbacks": [LangChainLogger()]})

A tool is the parent of the requests that are made inside of it, as LangChain's own ids of runs say it.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from ..logger.adapter import LLMLoggerAdapter
from ..logger.stream import when_abandoned
from ..models.counting.sdk_objects import first, mapping, plain, text
from ..models.otel import EXECUTE_TOOL, provider_named
from ..usage.accumulator import Extraction
from ..usage.extract import extract
from .capture.nesting import close_run, covered, open_run
from .capture.observation import Observation, guarded, wants_content
from .capture.optional import required
from .capture.request_body import parameters_of

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
        self._runs = _Runs()

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

    @guarded
    def on_chain_start(
        self, _serialized: Any, _inputs: Any, *, run_id: Any, parent_run_id: Any = None, **_: Any
    ) -> None:
        """Note whose run a step of a chain, or a node of a graph, is."""
        self._runs.note(run_id, parent_run_id, None)

    @guarded
    def on_chain_end(self, _outputs: Any, *, run_id: Any, **_: Any) -> None:
        """Forget a run that is over."""
        self._runs.forget(run_id)

    @guarded
    def on_chain_error(self, _error: BaseException, *, run_id: Any, **_: Any) -> None:
        """Forget a run that failed."""
        self._runs.forget(run_id)

    @guarded
    def on_tool_start(
        self, serialized: Any, input_str: Any, *, run_id: Any, parent_run_id: Any = None, **kwargs: Any
    ) -> None:
        """Note that a tool is called."""
        name = text(mapping(serialized).get("name")) or text(kwargs.get("name")) or "unknown"
        given = kwargs.get("inputs")
        call = {"name": name, "arguments": plain(input_str if given is None else given)}
        content = wants_content(self._log, self._content)
        observation = Observation.begin(
            self._log,
            instrumentation="langchain",
            pending=False,
            model=name,
            request_type="tool",
            operation=EXECUTE_TOOL,
            parent_id=self._runs.parent_of(parent_run_id),
            messages=[{"role": "assistant", "tool_calls": [call]}] if content else None,
        )
        if observation is not None:
            self._open[str(run_id)] = observation
            self._runs.note(run_id, parent_run_id, observation.id)

    @guarded
    def on_tool_end(self, output: Any, *, run_id: Any, **_: Any) -> None:
        """Note a tool's result."""
        observation = self._taken(run_id)
        if observation is not None:
            keep = wants_content(self._log, self._content)
            said = mapping(output).get("content") if mapping(output) else output
            if mapping(output).get("status") == "error":
                observation.note(status="error", error={"code": "tool_error"})
            observation.settle(Extraction(answer=plain(said) if keep else None))

    @guarded
    def on_tool_error(self, error: BaseException, *, run_id: Any, **_: Any) -> None:
        """Note that a tool failed."""
        observation = self._taken(run_id)
        if observation is not None:
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
            parent_id=self._runs.parent_of(kwargs.get("parent_run_id")),
            **parameters_of(asked),
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
        self._runs.forget(run_id)
        return self._open.pop(str(run_id), None)


class _Runs:
    """Which run lies in which, and which of them are tools; LangChain's ids are the same in every thread and task."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[str | None, str | None]] = OrderedDict()

    def note(self, run_id: Any, parent: Any, request_id: str | None) -> None:
        """Note a run.

        Args:
            run_id: Its id.
            parent: The id of the run that it lies in; None for the outermost.
            request_id: The id of its entry, where it has one.
        """
        self._known[str(run_id)] = (None if parent is None else str(parent), request_id)
        while len(self._known) > _MOST_RUNS:
            self._known.popitem(last=False)

    def forget(self, run_id: Any) -> None:
        """Forget a run that is over."""
        self._known.pop(str(run_id), None)

    def parent_of(self, run_id: Any) -> str | None:
        """Return the entry that a run, or one further out, has; None where there is none."""
        at = None if run_id is None else str(run_id)
        for _ in range(_DEEPEST):
            outer, request_id = self._known.get(at or "", (None, None))
            if request_id is not None:
                return request_id
            at = outer
        return None


_MOST_RUNS = 20_000
_DEEPEST = 100
_ROLES = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant"}


def _message(item: Any) -> Any:
    if isinstance(item, str):
        return {"role": "user", "content": item}
    values = mapping(item)
    kind = str(values.get("type") or "user")
    more = {
        name: plain(values[name])
        for name in ("tool_calls", "tool_call_id", "name", "status")
        if values.get(name)
    }
    return {"role": _ROLES.get(kind, kind), "content": plain(values.get("content")), **more}
