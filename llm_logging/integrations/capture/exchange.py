"""One HTTP request to a model and its answer, on their way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...logger.call_context import running
from ...logger.response_check import INVALID_RESPONSE
from ...logger.stream import Ending
from ...models.entry import Usage
from ...usage.accumulator import Extraction
from ...usage.body import BodyReader
from ...usage.routes import NOT_ANSWERS, Route
from .background import id_of, waiting
from .large_texts import LargeTexts
from .observation import Observation, guarded, report
from .retries import Attempt

__all__ = ["Exchange"]

_OF_THE_BODY = frozenset({"content-type", "content-encoding"})
# From here on, a status says that no answer came: a redirection is an attempt that failed.
_REFUSED = 300
_TIMEOUT_STATUSES = frozenset({408, 504})


class Exchange:
    """Read a copy of an answer as it passes.

    Args:
        observation: Logs it.
        attempt: Which attempt of its call it is.
        large: Long texts of its prompt.
    """

    __slots__ = (
        "_attempt",
        "_content",
        "_content_came",
        "_ended",
        "_expects_answer",
        "_large",
        "_provider",
        "_reader",
        "_streamed",
        "estimate",
        "observation",
        "status",
    )

    def __init__(self, observation: Observation, attempt: Attempt, large: LargeTexts | None = None) -> None:
        self.observation = observation
        self._large = large
        self.status: int | None = None
        self._attempt = attempt
        self._reader: BodyReader | None = None
        self._streamed = False
        self._content = False
        self._content_came = False
        self.estimate: Callable[[str | None], Usage | None] | None = None
        self._ended = False
        self._expects_answer = False
        self._provider: str | None = None

    def running(self) -> running:
        """Return what the code inside of the call sees, a context manager."""
        return self.observation.running()

    def answered(
        self, status: int, headers: Mapping[str, str], route: Route, *, stream: bool, content: bool
    ) -> None:
        """Read the answer's head.

        Args:
            status: The HTTP status.
            headers: Those that say anything, in lower case.
            route: Where the request went.
            stream: Whether a stream was asked for.
            content: Whether to keep what was generated.
        """
        self.status = status
        self._provider = route.provider
        self._content = content
        kind = headers.get("content-type", "")
        # Transcripts are also given as plain text, and media as they are.
        self._expects_answer = (
            status not in (202, 204)
            and route.operation not in NOT_ANSWERS
            and not (
                route.operation == "transcription"
                and kind.startswith(("text/plain", "text/vtt", "application/x-subrip"))
            )
        )
        self._streamed = (stream or "event-stream" in kind or "eventstream" in kind) and status < _REFUSED
        self._reader = BodyReader(
            kind or None,
            headers.get("content-encoding"),
            failed=status >= _REFUSED,
            stream=self._streamed,
            keep_text=content or self.estimate is not None,
            embedding=route.operation in ("embeddings", "rerank"),
        )
        if not headers.keys() <= _OF_THE_BODY:
            self._reader.fold.headers(headers)
        self.observation.note(http_status=self.status, stream=self._streamed or None)

    def bytes_arrived(self, data: bytes) -> None:
        """Read some of the answer's body."""
        try:
            if self._reader is not None:
                self._came(self._reader.feed(data))
        except Exception:  # noqa: BLE001  an error of ours must not reach the call
            report()

    def _came(self, content: bool) -> None:
        """Note a chunk of a stream, until there is nothing more to learn from its arrival."""
        if self._streamed and not self._content_came:
            self._content_came = content
            self.observation.chunk(content)

    @guarded
    def item(self, item: Any) -> None:
        """Read one event of a stream that an SDK has decoded itself."""
        if self._reader is not None:
            # The SDK has read the body, and would have raised over one that holds nothing.
            self._expects_answer = False
            self._came(bool(self._reader.fold.add(item)))

    @guarded
    def ended(self, how: Ending, error: BaseException | None = None) -> None:
        """Note the end; only the first counts."""
        if not self._end(error):
            return
        if self._reader is None:
            if error is not None:
                self.observation.fail(error)
            else:
                self.observation.settle(Extraction(), how)
            return
        found = self._reader.close()
        flaw = self._reader.flaw if how == "exhausted" and self._expects_answer else None
        if self.status is not None and self.status >= _REFUSED:
            self._note_refusal(_refusal(found, self.status))
            how = "exhausted"
        elif flaw is not None:
            self.observation.note(
                status="error", error={"code": INVALID_RESPONSE, "message": f"expected an answer, got {flaw}"}
            )
        elif not self._streamed and how != "exhausted" and error is None and found.counted is not None:
            # The body was there whole before its reader let go of it.
            how = "exhausted"
        if self.estimate is not None and found.counted is None and self._content_came:
            estimated = self.estimate(found.text)
            found.counted = None if estimated is None else estimated.model_dump(exclude_none=True)
        if not self._content:
            found.answer = None
        response_id = found.provider_response_id
        if response_id is not None and self._to_be_fetched(found):
            key = id_of(self._provider, response_id)
            self.observation.hold(found, key)
            waiting.hold(key, self.observation)
        else:
            self.observation.settle(found, how, error)

    def _to_be_fetched(self, found: Extraction) -> bool:
        """Say whether the answer is made in the background; a stream that broke off shows only some of it."""
        if self._streamed:
            return not found.complete and found.background_since is not None
        return found.running

    @property
    def over(self) -> bool:
        """Say whether the end was noted."""
        return self._ended

    @guarded
    def settle(self, found: Extraction) -> None:
        """Note an answer that was read elsewhere, and the end."""
        if self._end():
            self.observation.settle(found)

    @guarded
    def refused(self, error: dict[str, Any]) -> None:
        """Note a refusal that was read elsewhere, and the end."""
        if self._end():
            self._note_refusal(error)
            self.observation.settle(Extraction())

    def _note_refusal(self, error: dict[str, Any]) -> None:
        self.observation.note(status="timeout" if self.status in _TIMEOUT_STATUSES else "error", error=error)

    def _end(self, error: BaseException | None = None) -> bool:
        """Say whether this is the first end that is noted."""
        if self._ended:
            return False
        self._ended = True
        if self._large is not None:
            self.observation.describe(self._large)
        self._attempt.over(self.status if error is None else None)
        if self._attempt.number > 1:
            self.observation.note(timings={"total_duration_ms": self._attempt.waited_ms})
        return True


def _refusal(found: Extraction, status: int) -> dict[str, Any]:
    told = found.error
    if told is None:
        return {"code": str(status)}
    return {
        "code": told.code or told.type or str(status),
        "message": told.message,
        "type": told.type,
    }
