"""What tests share: a folder for logs, loggers that reach only it, and logging as it was before each test."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from llm_logging import LLMFileHandler, LLMLoggerAdapter, failing, reach, reset_cached_stats
from llm_logging.logger.pending import pending_requests

settings.register_profile(
    "default",
    deadline=None,
    max_examples=60,
    print_blob=True,
    # What must pass before anything lands judges the change, not the luck of a draw; every other run draws anew.
    derandomize=os.environ.get("LLM_LOGGING_DERANDOMIZE") == "1",
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("default")


def known_loggers() -> list[logging.Logger]:
    return [made for made in logging.root.manager.loggerDict.values() if isinstance(made, logging.Logger)]


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
