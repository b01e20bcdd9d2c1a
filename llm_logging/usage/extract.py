"""What a provider's response says: tokens first, then everything else about itself.

`usage_from_response` is the public door, `extract` the whole of it. Both take whatever an application holds: a dict,
an SDK's object, bytes or text (JSON, SSE, lines of JSON, an AWS event stream), or a list of a stream's events. Neither
ever raises, and neither ever invents: what the provider did not say is None.

genai-prices reads usage, too, but only where the provider and the flavour of the API are known, from plain dicts, and
without ids, times or errors; and it belongs to the statistics. So this reads for itself and needs no package.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

from ..models.counting.sdk_objects import shallow
from ..models.entry import Usage
from .accumulator import Extraction, ResponseFold
from .body import BodyReader
from .routes import match_route

__all__ = ["Extraction", "extract", "held_body", "unwrapped", "usage_from_response"]

# Where httpx and requests, and where urllib3 and aiohttp keep a body that has been read.
_BODIES = ("_content", "_body")


def usage_from_response(response: Any, provider: str | None = None, url: str | None = None) -> Usage | None:
    """Read the tokens of a response, as the provider counted them, normalised.

    Args:
        response: A dict, an SDK's response object, bytes or text of a body (JSON or a stream), or a list of a stream's
            events or chunks in their order.
        provider: Who answered, where it is known; shapes tell mostly by themselves.
        url: Where the request went, where it is known.

    Returns:
        The usage, whose `prompt_tokens` include cached and whose `completion_tokens` include reasoning tokens, with the
        provider's own object as `raw`; None where the response holds none. Never raises.
    """
    return extract(response, provider=provider, url=url).usage


def extract(
    response: Any,
    *,
    provider: str | None = None,
    url: str | None = None,
    headers: Mapping[str, str] | None = None,
    failed: bool = False,
    keep_text: bool = False,
) -> Extraction:
    """Read everything that a response says about itself; see `usage_from_response`.

    Args:
        response: As there.
        provider: As there.
        url: As there.
        headers: The HTTP response's headers, where they are at hand.
        failed: The response is an error's body.
        keep_text: Also return the generated text.
    """
    del provider  # Shapes tell; the name is part of the contract for shapes that one day do not.
    with contextlib.suppress(Exception):
        return _extract(response, url=url, headers=headers, failed=failed, keep_text=keep_text)
    return Extraction()


def _extract(
    response: Any, *, url: str | None, headers: Mapping[str, str] | None, failed: bool, keep_text: bool
) -> Extraction:
    route = match_route("POST", url) if url else None
    embedding = route is not None and route.operation in ("embeddings", "rerank")
    response = unwrapped(response)
    lower = {name.lower(): value for name, value in (headers or _headers(response)).items()}
    if isinstance(response, str):
        response = response.encode("utf-8", "surrogatepass")
    if isinstance(response, (bytes, bytearray, memoryview)):
        return _from_bytes([bytes(response)], lower, failed=failed, keep_text=keep_text, embedding=embedding)
    body = held_body(response)
    if body is not None:
        return _from_bytes([body], lower, failed=failed, keep_text=keep_text, embedding=embedding)
    if isinstance(response, (list, tuple)) and not hasattr(response, "_fields"):
        return _from_events(response, lower, failed=failed, keep_text=keep_text, embedding=embedding)
    fold = ResponseFold(keep_text=keep_text, embedding=embedding)
    fold.add(response, failed=failed)
    fold.headers(lower)
    return fold.result()


def _from_bytes(
    parts: Iterable[bytes], headers: Mapping[str, str], *, failed: bool, keep_text: bool, embedding: bool
) -> Extraction:
    reader = BodyReader(headers.get("content-type"), failed=failed, keep_text=keep_text, embedding=embedding)
    for part in parts:
        reader.feed(part)
    reader.close()
    reader.fold.headers(headers)
    return reader.fold.result()


def _from_events(
    events: list[Any] | tuple[Any, ...],
    headers: Mapping[str, str],
    *,
    failed: bool,
    keep_text: bool,
    embedding: bool,
) -> Extraction:
    if events and all(isinstance(event, (str, bytes, bytearray)) for event in events):
        parts = [
            event.encode("utf-8", "surrogatepass") if isinstance(event, str) else bytes(event)
            for event in events
        ]
        whole = parts[0].lstrip()
        if whole[:1] == b"{" or not any(b"\n" in part for part in parts):
            # Events or lines, their ends taken off.
            parts = [part + (b"\n\n" if part.lstrip().startswith(b"data:") else b"\n") for part in parts]
        return _from_bytes(parts, headers, failed=failed, keep_text=keep_text, embedding=embedding)
    fold = ResponseFold(stream=len(events) > 1, keep_text=keep_text, embedding=embedding)
    for event in events:
        if isinstance(event, (str, bytes, bytearray)):
            fold.add({"data": event})
        elif isinstance(event, tuple) and len(event) == 2 and isinstance(event[0], str):
            fold.add({"event": event[0], "data": event[1]})
        else:
            fold.add(event, failed=failed)
    fold.headers(headers)
    return fold.result()


def unwrapped(response: Any) -> Any:
    """Look through an SDK's raw-response wrapper at the HTTP response that it holds."""
    if isinstance(response, (Mapping, list, tuple, str, bytes, bytearray, memoryview)):
        return response
    inner = getattr(response, "http_response", None) if hasattr(type(response), "http_response") else None
    if inner is None:
        inner = (shallow(response) or {}).get("http_response")
    return response if inner is None else inner


def held_body(response: Any) -> bytes | None:
    """Return the body of an HTTP response object that has already been read; never reads one."""
    stored = shallow(response) if not isinstance(response, (Mapping, list, tuple)) else None
    for name in _BODIES if stored else ():
        content = stored.get(name) if stored else None
        if isinstance(content, bytes):
            return content
    return None


def _headers(response: Any) -> dict[str, str]:
    if isinstance(response, (Mapping, list, tuple, str, bytes, bytearray)):
        return {}
    stored = shallow(response) or {}
    found = stored.get("headers") or stored.get("_headers")
    if found is None or not hasattr(found, "items") or stored.keys().isdisjoint(_BODIES):
        return {}
    headers = {str(name): str(value) for name, value in found.items()}
    # The body of an HTTP response object is decoded already.
    headers.pop("content-encoding", None)
    return headers
