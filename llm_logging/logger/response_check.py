"""Classify what an application passes to `finish`: a readable response, or something else.

An unread stream, a coroutine that was not awaited and an HTTP response without its body hold no answer: the request is no success.
A text or another object may be all that is left of an answer: the request succeeded, its tokens are unknown.
Invariant: nothing that is passed in is run, read or consumed.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ..models.counting.sdk_objects import shallow
from ..models.statuses import outcome_of
from ..usage.accumulator import Extraction
from ..usage.extract import extract, held_body, unwrapped
from .stream import AsyncWatchedStream, WatchedStream

__all__ = ["INVALID_RESPONSE", "Answer", "read_answer"]

INVALID_RESPONSE: Final = "invalid_response"
"""The error code of a request whose answer was never there."""

_NOTHING: Final = Extraction()
_WATCHED: Final = (WatchedStream, AsyncWatchedStream)


@dataclass(frozen=True, slots=True)
class Answer:
    """What was given to `finish`.

    Attributes:
        found: What it says about itself.
        invalid: What it is instead of a response, and what to do; None for a response.
        missing: It holds no answer, so the request did not succeed.
        http_status: Where it is an HTTP response.
        state: The status of an answer that the provider keeps (Responses API), as a status of ours.
    """

    found: Extraction = field(default_factory=Extraction)
    invalid: str | None = None
    missing: bool = False
    http_status: int | None = None
    state: str | None = None


def read_answer(response: Any) -> Answer:
    """Read what was given as a response; never raises.

    Args:
        response: Anything.
    """
    if response is None or isinstance(response, _WATCHED):
        # A stream under watch says what it says by itself.
        return Answer()
    try:
        return _read(response)
    except Exception:  # noqa: BLE001  an object that fails when it is looked at
        return Answer(invalid=f"{_name_of(response)}, which cannot be read")


def _read(response: Any) -> Answer:
    response = unwrapped(response)
    advice = _without_answer(response)
    if advice is not None:
        return Answer(invalid=f"{_name_of(response)}: {advice}", missing=True)
    http_status = _http_status(response)
    found = extract(response, failed=http_status is not None and http_status >= 400)
    if found != _NOTHING:
        meant = outcome_of(found.state) if found.state is not None and found.error is None else None
        state = None if meant is None or meant.status == "success" else (meant.code or meant.status)
        return Answer(found, http_status=http_status, state=state)
    if http_status is not None and http_status >= 400:
        return Answer(http_status=http_status)
    if not isinstance(response, (str, bytes, Mapping)) and _is_context_manager(type(response)):
        return Answer(
            invalid=f"{_name_of(response)}: enter it, and call finish with its result", missing=True
        )
    return Answer(invalid=f"{_name_of(response)}: expected the provider's response", http_status=http_status)


def _without_answer(response: Any) -> str | None:
    """Say what has to be done before there is an answer; None where there may be one."""
    kind = type(response)
    if inspect.isawaitable(response):
        return "await it, and call finish with the result"
    if hasattr(kind, "add_done_callback") and hasattr(kind, "result"):
        return "call finish with its result()"
    if inspect.isroutine(response) or isinstance(response, type):
        return "call it, and call finish with what it returns"
    if held_body(response) is not None:
        return None
    if _http_status(response) is not None:
        return "read its body, and call finish after that"
    if hasattr(kind, "__next__") or hasattr(kind, "__anext__") or _is_async_iterable(kind):
        return "pass it through call.stream(), and read that"
    return None


def _is_async_iterable(kind: type) -> bool:
    return hasattr(kind, "__aiter__") and not hasattr(kind, "model_fields")


def _is_context_manager(kind: type) -> bool:
    return hasattr(kind, "__enter__") or hasattr(kind, "__aenter__")


def _http_status(response: Any) -> int | None:
    """Return the status of an HTTP response object; None where it is none."""
    if isinstance(response, (Mapping, list, tuple, str, bytes)):
        return None
    stored = shallow(response) or {}
    if stored.keys().isdisjoint({"headers", "_headers"}):
        return None
    for name in ("status_code", "status", "code"):
        number = stored.get(name)
        if type(number) is int and 100 <= number <= 599:
            return number
    return None


def _name_of(response: Any) -> str:
    """Return what an object is, without its text."""
    kind = type(response)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(response, (str, bytes)):
        return f"a {name} of {len(response)} characters" if response else f"an empty {name}"
    if isinstance(response, (list, tuple)):
        return f"a {name} of {len(response)} items"
    return f"{'an' if name[:1] in 'aeiou' else 'a'} {name}"
