"""Draw a specification as SVG or PNG, without a browser and without a network."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from ...errors import ConfigurationError, ErrorCode

__all__ = ["as_png", "as_svg", "require", "warm_up"]

_SMALL: Final[dict[str, Any]] = {"data": {"values": []}, "mark": "bar", "encoding": {}}
_KEPT: Final = 64
_OPENING: Final = re.compile(r"<svg ")


def require(package: str, extra: str, what: str) -> Any:
    """Import a package of an extra.

    Raises:
        ConfigurationError: It is not installed; the message says which extra brings it (`MISSING_DEPENDENCY`).
    """
    import importlib

    try:
        return importlib.import_module(package)
    except ImportError:
        raise ConfigurationError(
            f"{what} needs {package.replace('_', '-')}: pip install 'llm-logging[{extra}]'",
            code=ErrorCode.MISSING_DEPENDENCY,
        ) from None


def _converter() -> Any:
    return require("vl_convert", "report", "drawing charts")


def warm_up() -> threading.Thread:
    """Start the engine that draws in a thread of its own, while figures are still being made."""
    _converter()
    thread = threading.Thread(target=as_svg, args=(_SMALL,), name="llm_logging charts", daemon=True)
    thread.start()
    return thread


def as_svg(spec: Mapping[str, Any]) -> str:
    """Draw a specification as SVG that can stand in a page: it takes the page's colours and scales with its width."""
    return _drawn(json.dumps(spec, sort_keys=True))


@lru_cache(maxsize=_KEPT)
def _drawn(spec: str) -> str:
    svg: str = _converter().vegalite_to_svg(spec, allowed_base_urls=[])
    return _OPENING.sub('<svg aria-hidden="true" focusable="false" ', svg, count=1)


def as_png(spec: Mapping[str, Any]) -> bytes:
    """Draw a specification as PNG, with two pixels to a unit."""
    png: bytes = _converter().vegalite_to_png(json.dumps(spec), scale=2, allowed_base_urls=[])
    return png
