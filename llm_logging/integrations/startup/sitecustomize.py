"""Let a child process of `python -m llm_logging run` log its calls of models; Python imports this at its start.

A `sitecustomize` of the user's, which this one hides, is imported after it.
"""

import importlib.machinery
import importlib.util
import os
import sys
from pathlib import Path

_HERE = str(Path(__file__).parent)


def _begin() -> None:
    if os.environ.get("LLM_LOGGING_INSTRUMENT") != "1":
        return
    try:
        from llm_logging.integrations.run import begin

        begin()
    except Exception as error:  # noqa: BLE001  a process must start whatever happens here
        sys.stderr.write(f"llm_logging: calls of models are not logged: {type(error).__name__}: {error}\n")


def _import_hidden() -> None:
    others = [path for path in sys.path if path != _HERE]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


_begin()
_import_hidden()
