"""Answers that are made in the background: asked for by a POST, fetched by later GETs (OpenAI's Responses API).

Invariant: one request, whoever fetches it and however often. The POST's answer says `queued`, which is logged as a
pending line; the first poll that finds the answer final logs the final line under the same id. That id is made of
the provider's own id of the response, so a poll in another process finds it, too. A poll that finds the answer
unfinished, or fails, logs nothing; nor does one of an answer that was not made in the background.
"""

from __future__ import annotations

import re
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime

from ...context import suppressing
from ...logger.adapter import LLMLoggerAdapter
from ...logger.stream import Ending
from ...runtime.threads import Exclusive
from ...usage.accumulator import Extraction
from ...usage.body import BodyReader
from ...usage.routes import Route
from .observation import Observation, guarded

__all__ = ["Poll", "id_of", "polled", "waiting"]

_POLLED = re.compile(r"/responses/(?P<id>[^/]+)(?P<cancel>/cancel)?$")
_NAMESPACE = uuid.UUID("6c9f3f0e-6c1c-5a63-9f0c-1f6f4d1b7c52")
_LIMIT = 10_000
_CANCELLED = {"code": "cancelled"}


def polled(method: str, path: str) -> str | None:
    """Return which response a request asks after or cancels; None where it does neither.

    Args:
        method: Its method.
        path: Its path.
    """
    if "/responses/" not in path:
        return None
    found = _POLLED.search(path.rstrip("/"))
    if found is None or (method == "GET") == (found["cancel"] is not None):
        return None
    return found["id"]


def id_of(provider: str | None, response_id: str) -> str:
    """Return the id of a request's lines, told by the provider's id of its answer.

    Args:
        provider: Who answers.
        response_id: The provider's id.
    """
    return str(uuid.uuid5(_NAMESPACE, f"{provider}:{response_id}"))


class _Waiting:
    """The requests of this process whose answers are being made, and those seen to be final; both bounded."""

    def __init__(self) -> None:
        self._exclusive = Exclusive()
        self._open: OrderedDict[str, Observation] = OrderedDict()
        self._final: OrderedDict[str, None] = OrderedDict()

    def hold(self, key: str, observation: Observation) -> None:
        """Keep a request until its answer is final."""
        self._exclusive.call(self._hold, key, observation)

    def _hold(self, key: str, observation: Observation) -> None:
        self._open[key] = observation
        if len(self._open) > _LIMIT:
            self._open.popitem(last=False)

    def finish(self, key: str) -> tuple[bool, Observation | None]:
        """Note that an answer is final.

        Returns:
            Whether this is the first note, and the request where it is one of ours.
        """
        found: tuple[bool, Observation | None] = self._exclusive.call(self._finish, key)
        return found

    def _finish(self, key: str) -> tuple[bool, Observation | None]:
        if key in self._final:
            return False, None
        self._final[key] = None
        if len(self._final) > _LIMIT:
            self._final.popitem(last=False)
        return True, self._open.pop(key, None)


waiting = _Waiting()


class Poll:
    """Read the answer to a poll; it stands in the place of an `Exchange`.

    Args:
        log: Where a request that another process has sent is logged.
        instrumentation: Who asks.
        provider: Who answers.
        response_id: What is asked after.
    """

    __slots__ = ("_content", "_instrumentation", "_key", "_log", "_provider", "_reader", "_status")

    def __init__(
        self, log: LLMLoggerAdapter | None, instrumentation: str, provider: str, response_id: str
    ) -> None:
        self._log = log
        self._instrumentation = instrumentation
        self._provider = provider
        self._key = id_of(provider, response_id)
        self._reader: BodyReader | None = None
        self._content = False
        self._status = 0

    def running(self) -> suppressing:
        """Return what the code inside of the poll sees, a context manager."""
        return suppressing()

    def answered(
        self, status: int, headers: Mapping[str, str], route: Route, *, stream: bool, content: bool
    ) -> None:
        """Read the answer's head; see `Exchange.answered`."""
        del route, stream
        if status >= 400:
            # That looking failed says nothing about what was looked for.
            return
        kind = headers.get("content-type", "")
        self._content = content
        self._status = status
        self._reader = BodyReader(
            kind or None,
            headers.get("content-encoding"),
            stream="event-stream" in kind,
            keep_text=content,
        )

    @guarded
    def bytes_arrived(self, data: bytes) -> None:
        """Read some of the answer's body."""
        if self._reader is not None:
            self._reader.feed(data)

    @guarded
    def ended(self, how: Ending, error: BaseException | None = None) -> None:
        """Log the request's end, if the answer is final; only the first end counts."""
        del how
        reader, self._reader = self._reader, None
        if reader is None or error is not None:
            return
        found = reader.close()
        if found.complete and found.state is not None and not found.running:
            self._settle(found)

    def _settle(self, found: Extraction) -> None:
        first, observation = waiting.finish(self._key)
        if not first:
            return
        if observation is None:
            if found.background_since is None:
                # Fetched once more; what it took was logged when it was made.
                return
            observation = Observation.begin(
                self._log,
                instrumentation=self._instrumentation,
                pending=False,
                id=self._key,
                request_group=self._key,
                model=found.response_model or "unknown",
                provider=self._provider,
                operation="chat",
                attempt=1,
                timestamp_start=datetime.fromtimestamp(found.background_since, UTC),
            )
            if observation is None:
                return
        if not self._content:
            found.answer = None
        observation.note(http_status=self._status)
        if found.state == "cancelled":
            observation.fail(_CANCELLED)
        else:
            observation.settle(found)
