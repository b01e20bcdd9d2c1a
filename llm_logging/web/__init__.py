"""HTTP API, live view and report: the answers of the reader as pages, charts and routes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError, ErrorCode

if TYPE_CHECKING:
    from .api import asgi_app, router
    from .report.page import write_report

__all__ = ["asgi_app", "router", "serve", "view_app", "write_report"]

_EXTRAS = {
    "asgi_app": ("api", "web"),
    "router": ("api", "web"),
    "serve": ("live.app", "view"),
    "view_app": ("live.app", "view"),
    "write_report": ("report.page", "report"),
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _EXTRAS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, extra = _EXTRAS[name]
    try:
        return getattr(import_module(f".{module}", __name__), name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("llm_logging"):
            raise
        raise ConfigurationError(
            f"llm_logging.web.{name} needs {error.name}: pip install 'llm-logging[{extra}]'",
            code=ErrorCode.MISSING_DEPENDENCY,
        ) from None
