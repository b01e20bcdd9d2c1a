"""Entry point of the command line: run a command; turn an error into one message and an exit status.

`EXIT_STATUSES` lists what a command ends with.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from ..errors import ErrorCode, FileSystemError, LLMLoggingError, NotFoundError

__all__ = ["EXIT_STATUSES", "exit_status", "main", "run"]

EXIT_STATUSES: Final = {
    0: "success",
    1: "nothing found (no logs, project, chat or request; no hit of `search`) or a check failed (`doctor`, `verify`, `--strict`, `forget` while a process logs)",
    2: "usage error",
    3: "a file cannot be read or written",
    4: "a package is not installed",
    130: "interrupted",
    141: "the receiving end of a pipe was closed (SIGPIPE)",
}
_PACKAGES: Final = frozenset({"typer", "click", "rich", "duckdb", "genai_prices"})
_NO_ANSWER: Final = frozenset(
    {
        ErrorCode.ROOT_NOT_FOUND,
        ErrorCode.PROJECT_NOT_FOUND,
        ErrorCode.CHAT_NOT_FOUND,
        ErrorCode.REQUEST_NOT_FOUND,
        ErrorCode.LOG_PARSE_ERROR,
        ErrorCode.INVALID_STATE,
    }
)


def exit_status(error: LLMLoggingError) -> int:
    """Return the status that a program ends with after an error of ours."""
    if error.code is ErrorCode.MISSING_DEPENDENCY:
        return 4
    if isinstance(error, NotFoundError) or error.code in _NO_ANSWER:
        return 1
    return 3 if isinstance(error, FileSystemError) else 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line as a program.

    Args:
        argv: The arguments without the program's name; None takes the program's own.

    Returns:
        The exit status, one of `EXIT_STATUSES`.
    """
    import signal

    if hasattr(signal, "SIGPIPE"):
        # `llm-logging tail | head` ends as it does for cat and grep: silently, by the signal.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            with suppress(ValueError, OSError):
                reconfigure(errors="backslashreplace")
    return run(sys.argv[1:] if argv is None else argv)


def run(argv: Sequence[str]) -> int:
    """Run one command in this process; see `main`."""
    from .render.terminal import safe

    try:
        from .registry import program
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _PACKAGES:
            raise
        return _missing(error.name)
    try:
        # An option that does not exist is repeated in the error, and no option has such a name.
        program()([_with_safe_name(argument) for argument in argv], prog_name="llm-logging")
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _drop_output()
        return 141
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _PACKAGES:
            raise
        return _missing(error.name)
    except LLMLoggingError as error:
        print(f"llm-logging: {safe(error, newlines=True)}", file=sys.stderr)  # noqa: T201
        return exit_status(error)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"llm-logging: {safe(where)}{safe(error.strerror or error)}", file=sys.stderr)  # noqa: T201
        return 3
    return 0


def _with_safe_name(argument: str) -> str:
    from .render.terminal import safe

    name, sign, value = argument.partition("=")
    return f"{safe(name)}{sign}{value}" if name.startswith("-") else argument


def _missing(name: str | None) -> int:
    print(  # noqa: T201
        f"llm-logging: the command line needs the package {name}, which is not installed.\n"
        "Logging works without it; for statistics and the command line:\n\n"
        "    pip install 'llm-logging[stats]'\n",
        file=sys.stderr,
    )
    return 4


def _drop_output() -> None:
    import os

    # Python flushes standard output once more at its end, into the closed pipe.
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
