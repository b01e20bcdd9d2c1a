"""Interface between a running request and what it watches: chunks, the end of a stream, and why it was cancelled."""

from __future__ import annotations

from typing import Any, Protocol

from ..usage.accumulator import Extraction, ResponseFold
from .stream import Ending

__all__ = ["Doubt", "Watcher"]


class _Request(Protocol):
    """What is needed of an `LLMCall`."""

    def chunk_arrived(self, *, content: bool) -> None: ...

    def stream_ended(
        self, watcher: Watcher, found: Extraction, how: Ending, error: BaseException | None
    ) -> None: ...

    def cancelled_by(self, timed_out: bool) -> None: ...


class Doubt:
    """Whether a request that was cancelled timed out, while that is not known yet.

    Attributes:
        call: The request; None where something else has decided over it since.
    """

    __slots__ = ("call",)

    def __init__(self, call: _Request) -> None:
        self.call: _Request | None = call

    def resolve(self, timed_out: bool) -> None:
        """Tell the request."""
        if self.call is not None:
            self.call.cancelled_by(timed_out)


class Watcher:
    """Fold the chunks of one stream for its request.

    Attributes:
        call: The request.
    """

    __slots__ = ("_fold", "_open", "call")

    def __init__(self, call: _Request) -> None:
        self.call = call
        self._fold = ResponseFold(stream=True)
        self._open = True

    def item(self, item: Any) -> None:
        """Note a chunk."""
        try:
            content = self._fold.add(item)
        except Exception:  # noqa: BLE001  a chunk that cannot be read must not stop the stream
            content = None
        self.call.chunk_arrived(content=content is not False)

    def ended(self, how: Ending, error: BaseException | None = None) -> None:
        """Note the end, once."""
        if self._open:
            self._open = False
            self.call.stream_ended(self, self._fold.result(), how, error)
