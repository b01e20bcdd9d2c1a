"""Run a program that cannot be changed, and log its calls of models: `python -m llm_logging run app.py`.

The program's own logging is not touched: requests go through a logger that belongs to no tree, into an `LLMFileHandler` under
`LLM_LOGGING_ROOT`. Child processes that inherit the environment are logged, too: `LLM_LOGGING_INSTRUMENT=1` and a folder in
`PYTHONPATH` let them begin as this one does.
"""

from __future__ import annotations

import logging
import os
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..handler.file_handler import LLMFileHandler
from ..logger.adapter import LLMLoggerAdapter
from .instrument_all import instrument

__all__ = ["ENV_CONTENT", "ENV_INSTRUMENT", "begin", "main"]

ENV_INSTRUMENT = "LLM_LOGGING_INSTRUMENT"
"""Set to 1 where a process is to log its calls of models from its start."""
ENV_CONTENT = "LLM_LOGGING_CONTENT"
"""What is kept of prompts and answers then: `off` (the default), `hash` or `full`."""

_USAGE = """usage: python -m llm_logging run [--root FOLDER] [--content off|hash|full] program.py [argument ...]
       python -m llm_logging run [options] -m module [argument ...]
"""
_STARTUP = Path(__file__).parent / "startup"


def begin() -> None:
    """Log every call of a model that this process makes, by a logger of its own, as the environment says."""
    logger = logging.Logger("llm", logging.INFO)  # noqa: LOG001  in no tree, so no configuration of the program's disables it
    # The handler says what it expects where the environment says something else.
    content: Any = os.environ.get(ENV_CONTENT) or "off"
    logger.addHandler(LLMFileHandler(content=content))
    instrument(LLMLoggerAdapter(logger))


def main(argv: Sequence[str]) -> int:
    """Run a program under observation, in this process.

    Args:
        argv: What stands after `run` on the command line.

    Returns:
        The exit status: that of the program, or 2 where the command line is wrong.
    """
    rest = list(argv)
    while rest and rest[0] in ("--root", "--content"):
        if len(rest) < 2:
            break
        name = "LLM_LOGGING_ROOT" if rest[0] == "--root" else ENV_CONTENT
        os.environ[name] = os.path.abspath(rest[1]) if rest[0] == "--root" else rest[1]  # noqa: PTH100  kept as text
        del rest[:2]
    is_module = rest[:1] == ["-m"]
    program = rest[1:] if is_module else rest
    if not program or program[0].startswith("-"):
        sys.stderr.write(_USAGE)
        return 2
    os.environ[ENV_INSTRUMENT] = "1"
    paths = [str(_STARTUP), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    begin()
    sys.argv = program
    if is_module:
        # As `python -m` does, before the module's own folder is known.
        sys.path[0] = os.getcwd()  # noqa: PTH109  kept as text
        runpy.run_module(program[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = os.path.dirname(os.path.abspath(program[0]))  # noqa: PTH100, PTH120  kept as text
        runpy.run_path(program[0], run_name="__main__")
    return 0
