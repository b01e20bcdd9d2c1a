"""The live view as an ASGI application, and the server that `llm-logging view` runs."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Collection
from pathlib import Path
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from ...clock import clock
from ...errors import FileSystemError, LLMLoggingError, NotFoundError
from ...models.query import StatsScope
from ..answers import Answers, BusyError, log_state
from ..report import drawing
from ..report.pages import style_sheet
from .guard import Guard
from .pages import PAGES, render_page, render_problem
from .state import read_state

__all__ = ["serve", "view_app"]

_SCRIPT: Final = Path(__file__).parent / "view.js"
_LOOK_EVERY: Final = 2.0
_MOST_STREAMS: Final = 32


class _View:
    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.streams = 0

    async def page(self, request: Request) -> Response:
        state = read_state(request.query_params)
        now = clock().now().replace(second=0, microsecond=0)
        try:
            # Relative times move with the minute, so a page that is asked for again within it is the same one.
            question = f"{request.url.path} {request.url.query} {now.isoformat()}"
            body = await self.answers.body(
                StatsScope(), question, lambda: self._render(request, state, now), known=None
            )
        except LLMLoggingError as error:
            status = 404 if isinstance(error, NotFoundError) else 503 if isinstance(error, BusyError) else 422
            if isinstance(error, FileSystemError):
                status = 500
            return HTMLResponse(render_problem(state, status, error.message), status)
        return HTMLResponse(body.data if body is not None else b"")

    def _render(self, request: Request, state: Any, now: Any) -> str:
        return render_page(request.url.path, request.query_params, state, self.answers.reading, now)

    async def style(self, _request: Request) -> Response:
        return Response(style_sheet(), media_type="text/css")

    async def script(self, _request: Request) -> Response:
        return FileResponse(_SCRIPT, media_type="text/javascript")

    async def changes(self, request: Request) -> Response:
        """Tell the browser when the logs have changed; one look at the files every few seconds, however many watch."""
        if self.streams >= _MOST_STREAMS:
            return Response(status_code=503)
        return StreamingResponse(self._watch(request), media_type="text/event-stream")

    async def _watch(self, request: Request) -> AsyncIterator[str]:
        self.streams += 1
        try:
            yield "retry: 5000\n\n"
            last = await asyncio.to_thread(log_state, self.answers.layout, StatsScope())
            quiet = 0.0
            while not await request.is_disconnected():
                await asyncio.sleep(_LOOK_EVERY)
                state = await asyncio.to_thread(log_state, self.answers.layout, StatsScope())
                if state is not None and state != last:
                    last, quiet = state, 0.0
                    yield "event: changed\ndata: {}\n\n"
                elif (quiet := quiet + _LOOK_EVERY) >= 14:
                    quiet = 0.0
                    yield ": still here\n\n"
        finally:
            self.streams -= 1


def view_app(root: Any = None, *, token: str, hosts: Collection[str] = (), **reading: Any) -> Guard:
    """Return the live view as an ASGI application.

    Args:
        root: The folder of the logs, as in `get_stats`.
        token: What a browser must know; see `Guard`.
        hosts: Names under which it may be asked beside those of loopback.
        **reading: `cache`, `cache_dir`, `prices` of `get_stats`.
    """
    view = _View(Answers(root, reading, most=2, seconds=60.0))
    routes = [Route(path, view.page, methods=["GET"]) for path in PAGES]
    routes += [
        Route("/style.css", view.style),
        Route("/view.js", view.script),
        Route("/changes", view.changes),
    ]
    return Guard(Starlette(routes=routes), token, hosts)


def serve(root: Any, *, host: str, port: int, opened: Callable[[str], object], **reading: Any) -> None:
    """Serve the live view until interrupted.

    Args:
        root: The folder of the logs.
        host: The address to listen on.
        port: 0 takes a free one.
        opened: Called with the URL once the port is taken.
        **reading: As in `view_app`.
    """
    token = secrets.token_urlsafe(24)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    shown = f"[{host}]" if ":" in host else host
    app = view_app(root, token=token, hosts=(host,), **reading)
    drawing.warm_up()
    opened(f"http://{shown}:{listener.getsockname()[1]}/?token={token}")
    config = uvicorn.Config(
        app, log_level="warning", server_header=False, access_log=False, timeout_graceful_shutdown=1
    )
    uvicorn.Server(config).run(sockets=[listener])
