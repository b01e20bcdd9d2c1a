"""One request being timed: start, first token, finish, fail.

Invariants: the final line is logged exactly once; durations come from the monotonic clock and `timestamp_end` is start
plus duration; what goes wrong in here never reaches the application, and the application's exceptions always do.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from ..clock import clock
from ..schema import RecordPayload
from .dispatch import dispatch, require_sinks

__all__ = ["LLMCall"]


class LLMCall:
    """One attempt of one request; made by `LLMLoggerAdapter.request`.

    Attributes:
        id: The id of its lines, known from the start.
    """

    def __init__(
        self,
        logger: logging.Logger,
        context: Mapping[str, Any],
        fields: Mapping[str, Any],
        *,
        pending: bool = True,
        fallback: str | None = "default",
    ) -> None:
        self._logger = logger
        self._context = context
        self._fields: dict[str, Any] = dict(fields)
        self.id: str = str(self._fields.pop("id", None) or clock().new_id())
        self._pending = pending
        self._fallback = {"project_id": fallback, "chat_id": fallback} if fallback is not None else None
        self._began: float | None = None
        self._start: Any = None
        self._first: float | None = None
        self._ended: float | None = None
        self._logged = False

    # -- what the application says ------------------------------------------------------------------------------------

    def first_token(self) -> None:
        """Note that the first token arrived now; only the first note counts."""
        if self._first is None:
            self._first = clock().monotonic()

    def finish(self, response: Any = None, **fields: Any) -> None:
        """Note that the answer is complete now.

        Args:
            response: The provider's response: usage, model, id and finish reasons are read from it.
            **fields: Fields of the entry that you know better; they win.
        """
        self._ended = clock().monotonic()
        if response is not None:
            self._note_response(response)
        self._fields.update(fields)

    def fail(self, error: BaseException | Mapping[str, Any] | str, **fields: Any) -> None:
        """Note that the request failed now, where no exception leaves the block.

        Args:
            error: What went wrong; a `TimeoutError` gives the status `timeout`.
            **fields: Fields of the entry, `http_status` for example.
        """
        self._ended = clock().monotonic()
        self._fields.update(self._failure(error))
        self._fields.update(fields)

    def note(self, **fields: Any) -> None:
        """Add fields to the final line without ending the request."""
        self._fields.update(fields)

    # -- how it runs --------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        require_sinks(self._logger)
        self._start = clock().now()
        self._began = clock().monotonic()
        if self._pending:
            self._log({**self._fields, "status": "pending"}, logging.INFO)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            if self._ended is None:
                self._ended = clock().monotonic()
            self._fields.update(self._failure(error))
        self._close()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def _close(self) -> None:
        if self._logged or self._began is None:
            return
        self._logged = True
        ended = self._ended if self._ended is not None else clock().monotonic()
        elapsed = max(0.0, ended - self._began)
        fields = dict(self._fields)
        fields.setdefault("timestamp_end", self._start + timedelta(seconds=elapsed))
        timings = fields.get("timings")
        measured: dict[str, Any] = {"latency_ms": elapsed * 1000}
        if self._first is not None:
            measured["time_to_first_token_ms"] = max(0.0, self._first - self._began) * 1000
        if timings is None or isinstance(timings, Mapping):
            fields["timings"] = {**measured, **(timings or {})}
        failed = fields.get("error") is not None or fields.get("status") in {"error", "timeout"}
        self._log(fields, logging.ERROR if failed else logging.INFO)

    def _log(self, fields: dict[str, Any], level: int) -> None:
        fields["id"] = self.id
        fields.setdefault("timestamp_start", self._start)
        payload = RecordPayload("llm_request", fields, context=self._context, fallback=self._fallback)
        status = fields.get("status") or ("error" if level >= logging.ERROR else "success")
        dispatch(self._logger, level, f"{fields.get('model', 'unknown model')} {status}", payload)

    def _note_response(self, response: Any) -> None:
        if isinstance(response, Mapping) and isinstance(response.get("usage"), Mapping):
            self._fields["usage"] = response["usage"]

    def _failure(self, error: BaseException | Mapping[str, Any] | str) -> dict[str, Any]:
        asyncio = sys.modules.get("asyncio")
        if asyncio is not None and isinstance(error, asyncio.CancelledError):
            return {"status": "error", "error": {"code": "cancelled", "type": type(error).__qualname__}}
        status = "timeout" if isinstance(error, TimeoutError) else "error"
        return {"status": status, "error": error}
