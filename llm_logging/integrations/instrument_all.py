"""Log every call of a model that this process makes, with one call.

    llm_logging.instrument()

Every way that SDKs and frameworks reach a model is observed, whether its package is imported already or later: httpx, httpx2,
aiohttp, requests, botocore and aiobotocore, and the sessions of MCP clients. A package that the program does not import is not
imported for it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

from ..logger.adapter import LLMLoggerAdapter
from ..usage.estimate import Counter, tiktoken_counter
from . import aiohttp, botocore, dspy, httpx, mcp, requests
from .capture.http_calls import Watch
from .capture.later import forget_later, when_imported
from .capture.threads import carry_into_threads, leave_threads_alone

__all__ = ["instrument", "uninstrument"]

_on = [False]


def instrument(
    log: LLMLoggerAdapter | None = None,
    *,
    content: bool | None = None,
    estimate: bool | Counter = False,
    ask_for_usage: bool = False,
    hosts: Mapping[str, str] | None = None,
    pending: bool = False,
) -> None:
    """Log every call of a model that this process makes from now on; a second call changes nothing.

    Clients that exist are observed, too. Logging itself is configured apart, by `logging.config.dictConfig`.

    Args:
        log: Where it is logged; None takes `get_logger()`. Its context, and that of `scope()`, is on every line.
        content: Whether prompts and answers are kept; None leaves it to the handlers.
        estimate: Counts the tokens of streams that end without usage: a counter, or True for tiktoken's. Such usage is
            marked `estimated`.
        ask_for_usage: Ask servers of chat completions for the usage of streams, where the request does not: the answer
            then has one more chunk, without choices, at its end.
        hosts: Further hosts, `"localhost:8000"` or without port, to the provider's name.
        pending: Whether a line is logged when a request is sent, too; calls that die with their process then show.

    Raises:
        ConfigurationError: `estimate=True`, and tiktoken is not installed.
    """
    counter = tiktoken_counter() if estimate is True else (estimate or None)
    if _on[0]:
        return
    _on[0] = True
    watch = Watch(
        log, instrumentation="httpx", hosts=hosts, pending=pending, content=content, estimate=counter,
        ask_for_usage=ask_for_usage,
    )  # fmt: skip
    steps: dict[str, Callable[[], None]] = {
        "httpx": functools.partial(httpx.instrument_library, "httpx", watch),
        "httpx2": functools.partial(httpx.instrument_library, "httpx2", watch),
        "aiohttp": functools.partial(
            aiohttp.instrument, log, hosts=hosts, pending=pending, content=content, estimate=counter
        ),
        "requests.adapters": functools.partial(
            requests.instrument, log, hosts=hosts, pending=pending, content=content, estimate=counter
        ),
        f"{dspy.TRANSPORTS}._async": functools.partial(
            dspy.instrument, log, hosts=hosts, pending=pending, content=content, estimate=counter
        ),
        "botocore.client": functools.partial(botocore.instrument, log, pending=pending, content=content),
        "mcp.client.session": functools.partial(mcp.instrument, log, content=content),
    }
    carry_into_threads()
    for name, step in steps.items():
        when_imported(name, step)


def uninstrument() -> None:
    """Take `instrument` back; see the same function of each integration."""
    _on[0] = False
    forget_later()
    leave_threads_alone()
    for integration in (httpx, aiohttp, requests, botocore, dspy, mcp):
        integration.uninstrument()
