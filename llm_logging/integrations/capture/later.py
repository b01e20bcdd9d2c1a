"""Call back when a module has been imported: at once where it is there already, else right after its import.

So that a program pays for no package that it does not use itself. The hook finds modules as Python would, and only adds a
step after a module's code has run.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
import threading
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from .observation import report

__all__ = ["forget_later", "when_imported"]

_waiting: dict[str, list[Callable[[], None]]] = {}
_finding = threading.local()


class _Finder:
    """A finder that leaves the finding to the others."""

    @staticmethod
    def find_spec(name: str, _path: Any = None, _target: ModuleType | None = None) -> ModuleSpec | None:
        """Return the module's spec, whose loader calls back; None for modules that nobody waits for."""
        if name not in _waiting or getattr(_finding, "name", None) == name:
            return None
        _finding.name = name
        try:
            spec = importlib.util.find_spec(name)
        finally:
            _finding.name = None
        loader: Any = None if spec is None else spec.loader
        if loader is None or not hasattr(loader, "exec_module"):
            return None
        execute = loader.exec_module

        @functools.wraps(execute)
        def exec_module(module: ModuleType) -> None:
            execute(module)
            _imported(name)

        try:
            loader.exec_module = exec_module
        except AttributeError:
            return None
        return spec


def _imported(name: str) -> None:
    for callback in _waiting.pop(name, ()):
        try:
            callback()
        except Exception:  # noqa: BLE001  an import must not fail over ours
            report()


def when_imported(name: str, callback: Callable[[], None]) -> None:
    """Call back once when a module is imported.

    Args:
        name: The module's full name.
        callback: Called in the importing thread; its errors are shown and go no further.
    """
    _waiting.setdefault(name, []).append(callback)
    if name in sys.modules:
        _imported(name)
    elif not any(isinstance(finder, type) and finder is _Finder for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder)


def forget_later() -> None:
    """Wait for no module any more."""
    _waiting.clear()
    if _Finder in sys.meta_path:
        sys.meta_path.remove(_Finder)
