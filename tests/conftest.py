"""What tests share: a folder for logs, loggers that reach only it, and logging as it was before each test."""

from __future__ import annotations

import logging
import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from llm_logging import LLMFileHandler, LLMLoggerAdapter, reach, reset_cached_stats
from llm_logging import failure_report as failing
from llm_logging.logger.pending_requests import pending_requests

# What a test sees is what it sets itself: the shell that runs the tests has settings of its own, for this library too.
CALLERS_OWN = (
    "TZ",
    "NO_COLOR",
    "FORCE_COLOR",
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "PY_COLORS",
    "PYTHON_COLORS",
    "COLUMNS",
    "LINES",
    "TERMINAL_WIDTH",
    "TTY_COMPATIBLE",
    "TTY_INTERACTIVE",
    "CI",
    "PYTHONWARNINGS",
    "PYTHONDEVMODE",
    "PYTHONASYNCIODEBUG",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "XDG_CACHE_HOME",
)
FOR_THE_TESTS = (
    "LLM_LOGGING_CCUSAGE",
    "LLM_LOGGING_DERANDOMIZE",
    "LLM_LOGGING_EXAMPLES",
    "LLM_LOGGING_FUZZ",
    "LLM_LOGGING_TEST_DATA",
)
DERANDOMIZE = os.environ.get("LLM_LOGGING_DERANDOMIZE") == "1"


def forget_callers_environment() -> None:
    for name in list(os.environ):
        ours = name.startswith(("LLM_LOGGING_", "OTEL_")) and name not in FOR_THE_TESTS
        if name.upper() in CALLERS_OWN or ours:
            del os.environ[name]
    if hasattr(time, "tzset"):
        time.tzset()


# When this file is imported: before any test module, and before any process is started.
forget_callers_environment()
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # So does a worker of pytest-xdist; programs that a test starts would inherit it and never see Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile(
    "default",
    deadline=None,
    max_examples=60,
    print_blob=True,
    # What must pass before anything lands judges the change, not the luck of a draw; every other run draws anew.
    derandomize=DERANDOMIZE,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("default")


def known_loggers() -> list[logging.Logger]:
    return [made for made in logging.root.manager.loggerDict.values() if isinstance(made, logging.Logger)]


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's cache folder out of the tests."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("user cache"))
    yield
    del os.environ["XDG_CACHE_HOME"]


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Leave the root logger and our process-wide state as the test found them."""
    top = logging.getLogger()
    handlers, level, disabled = list(top.handlers), top.level, logging.root.manager.disable
    raising = logging.raiseExceptions
    factory = logging.getLogRecordFactory()
    silent = {logger.name for logger in known_loggers() if logger.disabled}
    yield
    for logger in known_loggers():
        # A `dictConfig` that does not say otherwise disables every logger there is, for good.
        logger.disabled = logger.name in silent
    for handler in list(top.handlers):
        if handler not in handlers:
            top.removeHandler(handler)
            handler.close()
    top.handlers[:] = handlers
    top.setLevel(level)
    logging.disable(disabled)
    logging.raiseExceptions = raising
    logging.setLogRecordFactory(factory)
    pending_requests.reset()
    failing._said.clear()
    reach._roots.clear()
    reset_cached_stats()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder for logs that does not exist yet."""
    return tmp_path / "logs"


@pytest.fixture
def isolated() -> Iterator[Callable[..., logging.Logger]]:
    """Make loggers that nobody else listens to; their handlers are closed after the test."""
    made: list[logging.Logger] = []

    def make(*handlers: logging.Handler, level: int = logging.DEBUG) -> logging.Logger:
        logger = logging.getLogger(f"test.{uuid.uuid4().hex}")
        logger.propagate = False
        logger.setLevel(level)
        for handler in handlers:
            logger.addHandler(handler)
        made.append(logger)
        return logger

    yield make
    for logger in made:
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
            handler.close()
        logging.root.manager.loggerDict.pop(logger.name, None)


@pytest.fixture
def handler(root: Path) -> Iterator[LLMFileHandler]:
    """A handler that writes under `root`."""
    made = LLMFileHandler(root)
    yield made
    made.close()


@pytest.fixture
def filelog(handler: LLMFileHandler, isolated: Callable[..., logging.Logger]) -> LLMLoggerAdapter:
    """An adapter over `handler` with project and chat bound."""
    context: dict[str, Any] = {"project_id": "shop", "chat_id": "c-17"}
    return LLMLoggerAdapter(isolated(handler), context)
