"""The HTTP API: routes for FastAPI, and an ASGI application of them.

Needs the extra `web`. Query parameters are the options of the command line, bodies its JSON; an error is `problem+json`
(RFC 9457) with the code of the exception.
"""

# FastAPI reads the annotations of the routes when it makes them, so this module has no lazy annotations.

import ipaddress
import re
from collections.abc import Awaitable, Callable, Mapping
from inspect import isawaitable
from typing import Annotated, Any, Final

from fastapi import APIRouter, FastAPI, Path, Request, Response
from fastapi import Query as Parameters
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from ..clock import clock
from ..errors import ErrorCode, FileSystemError, LLMLoggingError, NotFoundError, ValidationError
from ..models.query import StatsOptions, StatsScope
from ..models.stats import Comparison, PriceReport, Stats
from ..presentation.escaping import answer_json, dumps, json_safe
from ..presentation.times import periods
from ..reader.compare import compare_stats
from ..reader.entries import RequestLogPage, get_llm_request_logs, get_request_log
from ..reader.price_report import get_prices
from ..reader.reports.conversations import ChatReport, get_chats
from ..reader.reports.error_report import ErrorReport, get_errors
from ..reader.retrieval.request_log import RequestLog
from ..reader.search import SearchHits, search_logs
from ..reader.stats import get_stats
from .answers import Answers, BusyError, Unkept
from .metrics import CONTENT_TYPE, metrics_text
from .openapi import answer_schema
from .questions import (
    DiffQuery,
    OneQuery,
    Query,
    RequestsQuery,
    ScopedStatsQuery,
    SearchQuery,
    StatsQuery,
    scope_of,
)

__all__ = ["Problem", "asgi_app", "router"]

Allow = Callable[[Request, str | None], bool | Awaitable[bool]]
_NOT_FOUND: Final = {
    ErrorCode.ROOT_NOT_FOUND: "nothing is logged yet",
    ErrorCode.PROJECT_NOT_FOUND: "no such project",
    ErrorCode.CHAT_NOT_FOUND: "no such chat",
    ErrorCode.REQUEST_NOT_FOUND: "no such request",
}
_PROBLEM: Final = "application/problem+json"
# Filters whose meaning moves with the time of asking.
_RELATIVE: Final = re.compile(r"\b(?:\d+[smhdw]|now|today|yesterday|running|orphaned)\b", re.IGNORECASE)
_ID = Annotated[str, Path(min_length=1, max_length=1000)]


class Problem(BaseModel):
    """An error, as RFC 9457 has it; `code` is the code of our exceptions."""

    title: str
    status: int
    code: str
    detail: str


def _problem(status: int, code: str, detail: str) -> Response:
    titles = {403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 422: "Unprocessable Content",
              503: "Service Unavailable"}  # fmt: skip
    body = Problem(
        title=titles.get(status, "Internal Server Error"), status=status, code=code, detail=json_safe(detail)
    )
    headers = {"Retry-After": "1"} if status == 503 else {}
    return Response(body.model_dump_json(), status, headers, _PROBLEM)


def _problem_of(error: LLMLoggingError) -> Response:
    if isinstance(error, BusyError):
        return _problem(503, "BUSY", error.message)
    if error.code is ErrorCode.MISSING_DEPENDENCY:
        return _problem(500, error.code, error.message)
    status = 404 if isinstance(error, NotFoundError) else 422 if isinstance(error, ValidationError) else 500
    # Where the files lie is nothing for a client.
    detail = "a log file cannot be read" if isinstance(error, FileSystemError) else error.message
    detail = _NOT_FOUND.get(error.code, detail)
    return _problem(status, error.code, detail.split("\n\n", maxsplit=1)[0])


class _Route(APIRoute):
    """A route whose errors are problems, wherever the router is included."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        handler = super().get_route_handler()

        async def answered(request: Request) -> Response:
            try:
                found: Response = await handler(request)
            except LLMLoggingError as error:
                return _problem_of(error)
            except HTTPException as error:
                return _problem(error.status_code, "FORBIDDEN", str(error.detail))
            except RequestValidationError as error:
                reasons = [f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors()]
                return _problem(422, ErrorCode.INVALID_OPTIONS, "; ".join(reasons))
            return found

        return answered


class _Api:
    """What the routes share: the answers, who may ask, and whether text is given.

    Args:
        answers: Asks the reader.
        allow: Says whether a request may see a project; None: only loopback.
        content: Give prompts and responses too.
    """

    def __init__(self, answers: Answers, allow: Allow | None, *, content: bool) -> None:
        self.answers, self.allow, self.content = answers, allow, content

    async def permit(self, request: Request, project: str | None) -> None:
        """Refuse who may not see a project.

        Raises:
            _Forbidden: They may not.
        """
        if self.allow is None:
            if not _is_loopback(request):
                raise HTTPException(
                    403, "expected allow=, which says who may ask from elsewhere than this machine"
                )
            return
        allowed = self.allow(request, project)
        if isawaitable(allowed):
            allowed = await allowed
        if allowed is not True:
            raise HTTPException(403, "not allowed")

    async def send(
        self,
        request: Request,
        scope: StatsScope,
        options: Any,
        make: Callable[[], str],
        media: str = "application/json",
    ) -> Response:
        """Answer a question, with 304 where the client has the answer."""
        question = f"{request.url.path} {scope!r} {options!r}"
        if any(_RELATIVE.search(text) for text in request.query_params.getlist("where")):
            question = ""
        known = request.headers.get("if-none-match")
        body = await self.answers.body(scope, question, make, known=known)
        headers = {"Cache-Control": "private, no-cache", "X-Content-Type-Options": "nosniff"}
        if body is None:
            return Response(None, 304, {**headers, "ETag": str(known)})
        if body.etag is not None:
            headers["ETag"] = body.etag
            if known is not None and body.etag in known:
                return Response(None, 304, headers)
        return Response(body.data, 200, headers, media)


def _is_loopback(request: Request) -> bool:
    """Say whether a request comes from this machine, for this machine, and not by way of a proxy."""
    if request.client is None or {"forwarded", "x-forwarded-for"} & set(request.headers):
        return False
    host = request.headers.get("host", "").rsplit(":", 1)[0].strip("[]").lower()
    return all(name == "localhost" or _is_loopback_address(name) for name in (request.client.host, host))


def _is_loopback_address(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _pages(page: BaseModel, *, camel: bool) -> str:
    """Return a page as JSON; each entry is the line that the command line prints."""
    name = "entries" if hasattr(page, "entries") else "hits"
    entries = [
        entry.model_dump(mode="json", exclude_none=True, by_alias=camel) for entry in getattr(page, name)
    ]
    return dumps({name: entries, "cursor": getattr(page, "cursor", None)}) + "\n"


def router(
    root: Any = None,
    *,
    allow: Allow | None = None,
    content: bool = False,
    concurrency: int = 4,
    timeout: float = 30.0,
    **reading: Any,
) -> APIRouter:
    """Return the routes, for `app.include_router(router(...), prefix="/llm")`.

    Args:
        root: The folder of the logs, as in `get_stats`.
        allow: `allow(request, project_id) -> bool`, sync or async, asked for every route; the project is None for all of
            them. None: only requests from this machine to this machine.
        content: Give prompts and responses too, and allow searching them.
        concurrency: How many questions are answered at once.
        timeout: Seconds after which an answer is given up.
        **reading: `cache`, `cache_dir`, `prices` of `get_stats`.
    """
    api = _Api(Answers(root, reading, most=concurrency, seconds=timeout), allow, content=content)
    problems: dict[int | str, dict[str, Any]] = {
        status: {
            "model": Problem,
            "content": {_PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in (403, 404, 422, 503)
    }
    routes = APIRouter(
        route_class=_Route, responses={304: {"description": "Not Modified"}, **problems}, tags=["llm"]
    )
    _add_figures(routes, api)
    _add_reports(routes, api)
    _add_entries(routes, api)
    return routes


def _get(
    routes: APIRouter, path: str, model: Any
) -> Callable[[Callable[..., Awaitable[Response]]], Callable[..., Awaitable[Response]]]:
    answer = {"description": "The answer", "content": {"application/json": {"schema": answer_schema(model)}}}
    return routes.get(path, response_class=Response, responses={200: answer})


def _add_figures(routes: APIRouter, api: _Api) -> None:
    reading = api.answers.reading

    async def figures(request: Request, scope: StatsScope, query: StatsQuery, **changes: Any) -> Response:
        await api.permit(request, scope.project_id)
        options = query.options(clock().now(), **changes)

        def make() -> str:
            found = get_stats(scope, options, **reading)
            text = answer_json(found, camel=query.camel)
            return Unkept(text) if found.summary.pending_requests else text

        return await api.send(request, scope, (options, query.camel), make)

    @_get(routes, "/stats", Stats)
    async def stats(request: Request, query: Annotated[ScopedStatsQuery, Parameters()]) -> Response:
        """Count requests, tokens, cost, latency and errors."""
        return await figures(request, scope_of(query.project, query.chat), query)

    @_get(routes, "/projects", Stats)
    async def projects(request: Request, query: Annotated[StatsQuery, Parameters()]) -> Response:
        """Count by project."""
        by = f"project,{query.by}" if query.by else "project"
        return await figures(request, StatsScope(), query, group_by=by)

    @_get(routes, "/projects/{project_id}/stats", Stats)
    async def project_stats(
        request: Request, project_id: _ID, query: Annotated[StatsQuery, Parameters()]
    ) -> Response:
        """Count the requests of one project."""
        return await figures(request, scope_of(project_id, None), query)

    @_get(routes, "/projects/{project_id}/chats", ChatReport)
    async def chats(request: Request, project_id: _ID, query: Annotated[Query, Parameters()]) -> Response:
        """List the chats of one project, the latest first."""
        await api.permit(request, project_id)
        scope, options = scope_of(project_id, None), query.options(clock().now())
        return await api.send(
            request, scope, (options, query.camel),
            lambda: answer_json(get_chats(scope, options, **reading), camel=query.camel),
        )  # fmt: skip

    @_get(routes, "/projects/{project_id}/chats/{chat_id}/stats", Stats)
    async def project_chat_stats(
        request: Request, project_id: _ID, chat_id: _ID, query: Annotated[StatsQuery, Parameters()]
    ) -> Response:
        """Count the requests of one chat."""
        return await figures(request, scope_of(project_id, chat_id), query)

    @_get(routes, "/chats/{chat_id}/stats", Stats)
    async def chat_stats(
        request: Request, chat_id: _ID, query: Annotated[StatsQuery, Parameters()]
    ) -> Response:
        """Count the requests of a chat whose project is not known."""
        await api.permit(request, None)
        options = query.options(clock().now(), where=(*query.where, ("chat_id", chat_id)))

        def make() -> str:
            found = get_stats(None, options, **reading)
            if not found.summary.first_request:
                raise NotFoundError(
                    f"chat_id {chat_id!r}: expected a request of it, found none",
                    code=ErrorCode.CHAT_NOT_FOUND,
                )
            return answer_json(found, camel=query.camel)

        return await api.send(request, StatsScope(), (options, query.camel), make)


def _add_reports(routes: APIRouter, api: _Api) -> None:
    reading = api.answers.reading

    @_get(routes, "/errors", ErrorReport)
    async def errors(request: Request, query: Annotated[ScopedStatsQuery, Parameters()]) -> Response:
        """Count failed and cancelled requests by error code."""
        await api.permit(request, query.project)
        scope, options = scope_of(query.project, query.chat), query.options(clock().now())
        return await api.send(
            request, scope, (options, query.camel), lambda: answer_json(get_errors(scope, options, **reading), camel=query.camel)
        )  # fmt: skip

    @_get(routes, "/prices", PriceReport)
    async def prices(request: Request, query: Annotated[ScopedStatsQuery, Parameters()]) -> Response:
        """Say which rates the costs come from."""
        await api.permit(request, query.project)
        scope, options = scope_of(query.project, query.chat), query.options(clock().now())
        return await api.send(
            request, scope, (options, query.camel), lambda: answer_json(get_prices(scope, options, **reading), camel=query.camel)
        )  # fmt: skip

    @_get(routes, "/diff", Comparison)
    async def diff(request: Request, query: Annotated[DiffQuery, Parameters()]) -> Response:
        """Compare two periods."""
        await api.permit(request, query.project)
        scope, now = scope_of(query.project, query.chat), clock().now()
        spans = periods(query.before, query.after, now=now, tz=query.tz)
        zone = str(getattr(query.tz, "key", query.tz))
        first, second = (
            StatsOptions(
                from_date=start, to_date=end, time_zone=zone, where=tuple(query.where), group_by=query.by
            )
            for start, end in spans
        )
        return await api.send(
            request, scope, (first, second, query.camel),
            lambda: answer_json(compare_stats(scope, first, second, **reading), camel=query.camel),
        )  # fmt: skip

    @routes.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"application/openmetrics-text": {}}}},
    )
    async def metrics(request: Request) -> Response:
        """Give counters of all requests in OpenMetrics' text form."""
        await api.permit(request, None)
        return await api.send(
            request, StatsScope(), "metrics", lambda: metrics_text(None, **reading), CONTENT_TYPE
        )


def _add_entries(routes: APIRouter, api: _Api) -> None:
    reading = api.answers.reading

    @_get(routes, "/requests", RequestLogPage)
    async def requests(request: Request, query: Annotated[RequestsQuery, Parameters()]) -> Response:
        """List requests, the newest first."""
        await api.permit(request, query.project)
        scope, options = scope_of(query.project, query.chat), query.options(clock().now())

        def make() -> str:
            page = get_llm_request_logs(
                scope, options, query.limit, query.cursor, content=api.content, sort=query.sort, **reading
            )
            return _pages(page, camel=query.camel)

        return await api.send(request, scope, (options, query), make)

    @_get(routes, "/requests/{request_id}", RequestLog)
    async def one_request(
        request: Request, request_id: _ID, query: Annotated[OneQuery, Parameters()]
    ) -> Response:
        """Give one request, all its lines folded."""
        await api.permit(request, query.project)
        scope = scope_of(query.project, None)

        def find() -> RequestLog:
            kept = {name: reading[name] for name in ("root", "prices") if name in reading}
            return get_request_log(request_id, scope, content=api.content, **kept)[0]

        entry = await api.answers.run(find)
        text = dumps(entry.model_dump(mode="json", exclude_none=True), indent=2) + "\n"
        return Response(
            text,
            200,
            {"Cache-Control": "private, no-cache", "X-Content-Type-Options": "nosniff"},
            "application/json",
        )

    @_get(routes, "/search", SearchHits)
    async def search(request: Request, query: Annotated[SearchQuery, Parameters()]) -> Response:
        """Search what was logged for a text; needs `content=True`, for a hit shows what stands around it."""
        await api.permit(request, query.project)
        if not api.content:
            raise HTTPException(403, "searching shows logged text: expected content=True")
        scope, options = scope_of(query.project, query.chat), query.options(clock().now())
        kinds: Mapping[str, Any] = {
            "requests": ("llm_request",),
            "chats": ("chat_message",),
            "events": ("event",),
        }

        def make() -> str:
            page = search_logs(
                query.text, scope, query.limit, query.cursor, from_date=options.from_date, to_date=options.to_date,
                time_zone=options.time_zone, kinds=kinds.get(query.kind, ("llm_request", "chat_message", "event")),
                root=reading["root"],
            )  # fmt: skip
            return _pages(page, camel=query.camel)

        return await api.send(request, scope, (options, query), make)


def asgi_app(
    root: Any = None, *, allow: Allow | None = None, content: bool = False, **options: Any
) -> FastAPI:
    """Return an ASGI application of the routes, to mount or to serve by itself.

    Args:
        root: As in `router`.
        allow: As in `router`.
        content: As in `router`.
        **options: Further arguments of `router`.
    """
    # The pages that FastAPI makes of its document load scripts from elsewhere.
    app = FastAPI(title="llm_logging", version="1", docs_url=None, redoc_url=None)
    app.include_router(router(root, allow=allow, content=content, **options))

    @app.exception_handler(HTTPException)
    async def refused(_request: Request, error: HTTPException) -> Response:
        codes = {403: "FORBIDDEN", 404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}
        return _problem(error.status_code, codes.get(error.status_code, "ERROR"), str(error.detail))

    return app
