"""Which HTTP requests are calls of a model, told before they are sent, whatever library sends them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from ...failure_report import say_once
from ...logger.adapter import LLMLoggerAdapter
from ...usage.estimate import Counter, estimated_usage
from ...usage.routes import ENV_HOSTS, Route, hosts_from_environment, route_of
from ...usage.unknown_hosts import looks_like_model_call, route_of_unknown, sdk_of
from .background import Poll, polled
from .exchange import Exchange
from .large_texts import LARGE
from .nesting import covered
from .observation import Observation, report, wants_content
from .request_body import Asked, asked
from .retries import next_attempt

__all__ = ["Begun", "HTTPRequest", "Watch", "telling_headers"]

_METHODS = frozenset({"POST", "GET"})
_TELLING = frozenset(
    {
        b"content-type",
        b"content-encoding",
        b"openai-processing-ms",
        b"x-litellm-response-cost",
        b"x-prompt-tokens",
        b"x-generated-tokens",
    }
)


class HTTPRequest(NamedTuple):
    """What is asked of a request before it is sent.

    Attributes:
        host: Without port.
        port: Where the URL names it.
        path: Without query.
        url: Tells one request from another.
        body: Returns the body where it is at hand: bytes, or the fields of a form or of JSON; never reads a stream.
        header: Returns a header by its name in lower case.
        retries: How many retries the SDK says it has made.
    """

    host: str
    port: int | None
    path: str
    url: object
    body: Callable[[], bytes | Mapping[str, Any] | None]
    header: Callable[[str], str | None]
    retries: str | None = None


class Begun(NamedTuple):
    """A call that is being logged.

    Attributes:
        exchange: Reads along.
        route: Where it goes.
        told: What its body says.
    """

    exchange: Exchange | Poll
    route: Route
    told: Asked
    ask_for_usage: bool = False

    def body_with_usage(self, path: str, body: object) -> bytes | None:
        """Return the body of a request that asks for a stream's usage, too; None where it is not to be changed.

        Args:
            path: Where it goes.
            body: The body as it is.
        """
        if not self.ask_for_usage or not self.told.stream or self.told.stream_options:
            return None
        if not isinstance(body, bytes) or not path.endswith("/chat/completions"):
            return None
        head = body.rstrip()
        return head[:-1] + b',"stream_options":{"include_usage":true}}' if head.endswith(b"}") else None

    def answered(self, status: int, headers: Mapping[str, str]) -> None:
        """Read the head of the answer; see `telling_headers`."""
        stream = self.told.stream or self.route.stream
        self.exchange.answered(status, headers, self.route, stream=stream, content=self.told.content)


class Watch:
    """Begin to log the requests that are calls of a model; the arguments are those of `LoggedTransport`.

    `instrumentation` is the name of the library that sends them.
    """

    __slots__ = (
        "_ask_for_usage",
        "_content",
        "_estimate",
        "_hosts",
        "_instrumentation",
        "_log",
        "_pending",
        "_provider",
    )

    def __init__(
        self,
        log: LLMLoggerAdapter | None,
        *,
        instrumentation: str,
        provider: str | None = None,
        hosts: Mapping[str, str] | None = None,
        pending: bool = False,
        content: bool | None = None,
        estimate: Counter | None = None,
        ask_for_usage: bool = False,
    ) -> None:
        self._log = log
        self._instrumentation = instrumentation
        self._provider = provider
        self._hosts = {**hosts_from_environment(), **(hosts or {})}
        self._pending = pending
        self._content = content
        self._estimate = estimate
        self._ask_for_usage = ask_for_usage

    def begin(self, method: str, describe: Callable[[], HTTPRequest]) -> Begun | None:
        """Start logging a request.

        Args:
            method: Its method.
            describe: Returns the rest, asked for only where it matters.

        Returns:
            What is logged; None where it is no call of a model, or is logged further out. Never raises.
        """
        try:
            if method not in _METHODS or covered():
                return None
            request = describe()
            hosts = {request.host: self._provider} if self._provider is not None else self._hosts
            response_id = polled(method, request.path)
            if response_id is not None:
                return self._poll(request, response_id, hosts)
            if method != "POST":
                return None
            route = route_of(request.host, request.port, request.path, hosts)
            if route is None:
                route = self._unknown(request)
            return None if route is None else self._observe(request, route)
        except Exception:  # noqa: BLE001  an error of ours must not reach the call
            report()
            return None

    def _unknown(self, request: HTTPRequest) -> Route | None:
        """Return the route to a host that nobody has named; say once where a request looks like one and is not logged."""
        sdk = sdk_of(request.header)
        route = route_of_unknown(request.host, request.port, request.path, sdk)
        if route is None and looks_like_model_call(request.path):
            say_once(
                f"a request to {request.host} is not logged",
                f"its path {request.path!r} looks like a call of a model, but neither the host nor the SDK is known; "
                f"name the host with hosts={{{request.host!r}: 'provider'}} or the environment variable {ENV_HOSTS}",
            )
        return route

    def _poll(self, request: HTTPRequest, response_id: str, hosts: Mapping[str, str]) -> Begun | None:
        route = route_of(request.host, request.port, "/responses", hosts)
        if route is None:
            return None
        content = wants_content(self._log, self._content)
        return Begun(
            Poll(self._log, self._instrumentation, route.provider, response_id), route, Asked(content=content)
        )

    def _observe(self, request: HTTPRequest, route: Route) -> Begun | None:
        body = request.body()
        content = wants_content(self._log, self._content)
        told = asked(body, content=content or self._estimate is not None)._replace(content=content)
        key = (request.host, request.port, request.url, _mark_of(body))
        attempt = next_attempt(key, request.retries)
        observation = Observation.begin(
            self._log,
            instrumentation=self._instrumentation,
            pending=self._pending,
            model=told.model or route.model or "unknown",
            provider=route.provider,
            operation=route.operation,
            stream=(told.stream or route.stream) or None,
            attempt=attempt.number,
            request_group=attempt.group or None,
            messages=told.messages if content else None,
            **told.fields,
        )
        if observation is None:
            return None
        if not attempt.group:
            attempt.group = observation.request_group or observation.id
            observation.note(request_group=attempt.group)
        exchange = Exchange(observation, attempt, told.large)
        if self._estimate is not None:
            model = told.model or route.model or ""
            exchange.estimate = functools.partial(estimated_usage, self._estimate, model, told.messages)
        return Begun(exchange, route, told, self._ask_for_usage)


def _mark_of(body: object) -> object:
    """Return what tells a body from others; of a large one its size and its ends, which hold the last message."""
    if not isinstance(body, bytes):
        return None
    return hash(body) if len(body) < LARGE else (len(body), hash(body[:4096]), hash(body[-4096:]))


def telling_headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the headers that say anything about the answer, in lower case."""
    found: dict[str, str] = {}
    for name, value in headers:
        lower = name.lower()
        if lower in _TELLING or lower.startswith(b"x-amzn-"):
            found[lower.decode("latin-1")] = value.decode("latin-1")
    return found
