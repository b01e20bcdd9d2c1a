"""Import a package that an integration needs, or raise an error that names the `pip install` for it."""

from __future__ import annotations

import importlib
from typing import Any

from ...errors import ConfigurationError, ErrorCode

__all__ = ["required"]


def required(name: str, *, module: str, package: str, brings: str, who: str) -> Any:
    """Return what a module of another package calls `name`.

    Args:
        name: An attribute of the module.
        module: Where it is.
        package: What is missing where it cannot be imported.
        brings: What `pip install` brings the package.
        who: What needs it.

    Raises:
        ConfigurationError: The package is not installed (`MISSING_DEPENDENCY`).
    """
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError:
        raise ConfigurationError(
            f"{who}: expected {package}, it is not installed; pip install {brings} brings it",
            code=ErrorCode.MISSING_DEPENDENCY,
        ) from None
