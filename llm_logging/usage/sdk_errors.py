"""Exceptions of SDKs, read as status, HTTP status and error.

Told by what they store and by the names of their classes, so no SDK is imported for it: openai, anthropic, groq and
cerebras (Stainless), mistralai, cohere, ollama, google-genai and google-api-core, litellm, botocore, httpx and httpx2,
requests, aiohttp, grpc, and the builtin ones.

`error.code` is the provider's code, else its type of error, else `cancelled`, `timeout` or `connection_error`;
`error.type` is the exception's class.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Final

from ..models.counting.sdk_objects import first, mapping, shallow, text, whole_number
from ..models.entry import ErrorInfo
from ..models.statuses import CANCELLED
from ..truncation import cut_short
from .response_fields import error_of

__all__ = ["CANCELLED", "failure_of", "is_cancellation", "is_timeout"]

_CANCELLATIONS: Final = frozenset({"CancelledError", "Cancelled"})
_TIMEOUTS: Final = frozenset(
    {
        "APITimeoutError",
        "ConnectTimeoutError",
        "DeadlineExceeded",
        "PoolTimeout",
        "ReadTimeoutError",
        "ServerTimeoutError",
        "Timeout",
        "TimeoutException",
        "WriteTimeout",
    }
)
_CONNECTIONS: Final = frozenset(
    {
        "APIConnectionError",
        "ClientConnectionError",
        "ClientPayloadError",
        "ConnectError",
        "ConnectionError",
        "ConnectionClosedError",
        "EndpointConnectionError",
        "HTTPClientError",
        "NetworkError",
        "ProtocolError",
        "RemoteProtocolError",
        "TransportError",
    }
)
_TIMEOUT_STATUSES: Final = frozenset({408, 504})
_GRPC_STATUSES: Final = {
    "CANCELLED": 499,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "UNAUTHENTICATED": 401,
}
_MAX_MESSAGE = 2_000


def _class_names(error: BaseException) -> frozenset[str]:
    return frozenset(kind.__name__ for kind in type(error).__mro__)


def is_cancellation(error: BaseException) -> bool:
    """Say whether an exception means that nobody waits for the answer any more."""
    if isinstance(error, (GeneratorExit, KeyboardInterrupt)):
        return True
    return not isinstance(error, Exception) and not _CANCELLATIONS.isdisjoint(_class_names(error))


def is_timeout(error: BaseException) -> bool:
    """Say whether an exception means that the answer took too long, as far as its class says."""
    return isinstance(error, TimeoutError) or not _TIMEOUTS.isdisjoint(_class_names(error))


def failure_of(error: BaseException | Mapping[str, Any] | str) -> dict[str, Any]:
    """Read an exception, or what an application says in its place.

    Args:
        error: The exception, a mapping with `code`, `message` or `type`, or a text.

    Returns:
        Fields of the entry: `status`, `error`, and `http_status` where it is known. Never raises.
    """
    if not isinstance(error, BaseException):
        return {"status": "error", "error": error}
    if is_cancellation(error):
        return {"status": "error", "error": {"code": CANCELLED, "type": type(error).__qualname__}}
    http_status, told = None, None
    with contextlib.suppress(Exception):
        http_status, told = _http_status(error), _told(error)
    timed_out = is_timeout(error) or http_status in _TIMEOUT_STATUSES
    code = None if told is None else told.code or told.type
    if code is None and timed_out:
        code = "timeout"
    if code is None and http_status is None and _is_connection(error):
        code = "connection_error"
    message = None if told is None else told.message
    failure: dict[str, Any] = {
        "status": "timeout" if timed_out else "error",
        "error": {
            "code": code,
            "message": message if message is not None else _words(error),
            "type": type(error).__qualname__,
        },
    }
    if http_status is not None:
        failure["http_status"] = http_status
    return failure


def _words(error: BaseException) -> str | None:
    try:
        return cut_short(str(error), _MAX_MESSAGE) or None
    except Exception:  # noqa: BLE001  an exception that cannot say what it is
        return None


def _is_connection(error: BaseException) -> bool:
    return isinstance(error, ConnectionError) or not _CONNECTIONS.isdisjoint(_class_names(error))


def _http_status(error: BaseException) -> int | None:
    stored = _stored(error)
    response = stored.get("response")
    if isinstance(response, Mapping):
        # botocore
        candidates = [mapping(response.get("ResponseMetadata")).get("HTTPStatusCode")]
    else:
        candidates = [
            stored.get("status_code"),
            getattr(type(error), "status_code", None),
            stored.get("code"),
            stored.get("status"),
            mapping(response).get("status_code"),
            _grpc_status(error),
            getattr(type(error), "code", None),
        ]
    for candidate in candidates:
        number = whole_number(candidate)
        if number is not None and 100 <= number <= 599:
            return number
    return None


def _stored(error: BaseException) -> Mapping[str, Any]:
    return shallow(error) or {}


def _grpc_status(error: BaseException) -> int | None:
    if "RpcError" not in _class_names(error):
        return None
    code = getattr(error, "code", None)
    found = code() if callable(code) else None
    return _GRPC_STATUSES.get(str(getattr(found, "name", "")))


def _told(error: BaseException) -> ErrorInfo | None:
    """Return what the provider said, as the exception keeps it."""
    stored = _stored(error)
    response = stored.get("response")
    if isinstance(response, Mapping):
        found = mapping(response.get("Error"))
        return ErrorInfo(code=text(found.get("Code")), message=text(found.get("Message"))) if found else None
    for name in ("body", "details", "data"):
        body = _parsed(stored.get(name))
        if body:
            info = error_of(body, failed=True)
            if info is not None:
                return ErrorInfo(
                    code=_code(stored) or info.code or info.type, message=info.message, type=info.type
                )
    code = _code(stored)
    message = text(first(stored, "message", "error"))
    return ErrorInfo(code=code, message=message) if code is not None or message is not None else None


def _code(stored: Mapping[str, Any]) -> str | None:
    for name in ("code", "status", "type"):
        found = text(stored.get(name))
        if found is not None and not found.isdigit():
            return found
    return None


def _parsed(body: Any) -> Mapping[str, Any]:
    if isinstance(body, (str, bytes)):
        import json

        try:
            body = json.loads(body)
        except (ValueError, RecursionError):
            return {}
    if isinstance(body, list) and body:
        body = body[0]
    return mapping(body)
