"""Who may see the live view: one token per start, hosts that are this machine, and headers that keep pages inert."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Callable, Collection
from typing import Any, Final
from urllib.parse import urlencode

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

__all__ = ["Guard"]

_COOKIE: Final = "llm_logging_view"
# Scripts and styles come from files of ours only, so nothing in a page can run; see https://www.w3.org/TR/CSP3/.
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """Let only those in that know the token, under names that are this machine's.

    A name that another site lets resolve to this machine (DNS rebinding) is refused before the token is looked at.

    Args:
        app: The application behind it.
        token: Of this start.
        hosts: Names that are allowed beside `localhost` and numeric addresses.
    """

    def __init__(self, app: Callable[..., Any], token: str, hosts: Collection[str] = ()) -> None:
        self.app, self.token = app, token
        self.hosts = frozenset(name.lower() for name in hosts) | {"localhost"}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return

        async def guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        refused = self._refusal(Request(scope))
        await (self.app if refused is None else refused)(scope, receive, guarded)

    def _refusal(self, request: Request) -> Response | None:
        if not self._is_own_host(request.headers.get("host", "")):
            return PlainTextResponse("this host name is not this machine's", 421)
        if request.method not in {"GET", "HEAD"}:
            return PlainTextResponse("only reading is possible here", 405)
        given = request.query_params.get("token")
        if given is not None:
            if not self._is_token(given):
                return PlainTextResponse("the token is not that of this start of llm-logging view", 403)
            # The token leaves the address bar, the history and what is copied from them.
            rest = [(name, value) for name, value in request.query_params.multi_items() if name != "token"]
            answer = RedirectResponse(
                f"{request.url.path}?{urlencode(rest)}" if rest else request.url.path, 303
            )
            answer.set_cookie(self._cookie(request), self.token, httponly=True, samesite="strict")
            return answer
        if not self._is_token(request.cookies.get(self._cookie(request), "")):
            return PlainTextResponse(
                "open the address that llm-logging view printed; it holds the token", 403
            )
        return None

    @staticmethod
    def _cookie(request: Request) -> str:
        # Cookies do not know ports: several views on one machine need several names.
        return f"{_COOKIE}_{request.url.port or 80}"

    def _is_token(self, text: str) -> bool:
        return secrets.compare_digest(text.encode("utf-8", "replace"), self.token.encode())

    def _is_own_host(self, header: str) -> bool:
        name = header.lower()
        name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
        if name in self.hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True
