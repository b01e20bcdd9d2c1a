"""Log the tools that an application calls over the Model Context Protocol.

    instrument()

Each `call_tool` of a client session is an entry of `request_type="tool"`, and the parent of requests that are made while it
runs. What the server does inside of its own process is not seen.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..logger.adapter import LLMLoggerAdapter
from ..models.counting.sdk_objects import mapping, plain, text
from ..models.otel import EXECUTE_TOOL
from ..usage.accumulator import Extraction
from .capture.observation import Observation, report, wants_content
from .capture.optional import required

__all__ = ["instrument", "uninstrument"]

_original: list[tuple[Any, Callable[..., Any]]] = []


def instrument(log: LLMLoggerAdapter | None = None, *, content: bool | None = None) -> None:
    """Log the tools that every MCP client session calls; a second call changes nothing.

    Args:
        log: Where it is logged; None takes `get_logger()`.
        content: Whether arguments and results are kept; None leaves it to the handlers.

    Raises:
        ConfigurationError: mcp is not installed.
    """
    session = required(
        "ClientSession", module="mcp.client.session", package="mcp", brings="mcp", who="instrument"
    )
    if _original:
        return
    original = session.call_tool

    @functools.wraps(original)
    async def call_tool(self: Any, name: Any, arguments: Any = None, *more: Any, **options: Any) -> Any:
        keep = wants_content(log, content)
        observation = Observation.begin(
            log,
            instrumentation="mcp",
            pending=False,
            model=str(name),
            request_type="tool",
            operation=EXECUTE_TOOL,
            messages=[
                {"role": "assistant", "tool_calls": [{"name": str(name), "arguments": plain(arguments)}]}
            ]
            if keep
            else None,
        )
        if observation is None:
            return await original(self, name, arguments, *more, **options)
        try:
            with observation.running():
                result = await original(self, name, arguments, *more, **options)
        except BaseException as error:
            observation.fail(error)
            raise
        _settle(observation, result, keep=keep)
        return result

    _original.append((session, original))
    session.call_tool = call_tool


def uninstrument() -> None:
    """Take `instrument` back."""
    while _original:
        session, original = _original.pop()
        session.call_tool = original


def _settle(observation: Observation, result: Any, *, keep: bool) -> None:
    """Note a tool's result; one that says that it is an error is none."""
    try:
        said = mapping(result)
        found = Extraction(
            answer=plain(said.get("structuredContent") or said.get("content")) if keep else None
        )
        if said.get("isError") is True:
            texts = [text(mapping(part).get("text")) for part in said.get("content") or ()]
            message = next((one for one in texts if one is not None), None) if keep else None
            observation.note(status="error", error={"code": "tool_error", "message": message})
        observation.settle(found)
    except Exception:  # noqa: BLE001  an error of ours must not reach the call
        report()
