"""A logger of its own for each test."""

import logging
import uuid

import pytest

from llm_logging.logger.adapter import LLMLoggerAdapter
from tests.sinks import MemorySink


@pytest.fixture
def sink():
    return MemorySink()


@pytest.fixture
def log(sink):
    logger = logging.getLogger(f"test.{uuid.uuid4().hex}")
    logger.propagate = False
    logger.addHandler(sink)
    return LLMLoggerAdapter(logger, {"project_id": "shop", "chat_id": "c-1"})
