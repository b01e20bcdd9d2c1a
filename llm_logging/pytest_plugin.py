"""pytest's entry point: the fixture `llm_logs`, which loads what it needs when a test asks for it.

Every pytest run of the environment imports this module, so it imports nothing that costs time.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

__all__ = ["llm_logs"]


@pytest.fixture
def llm_logs() -> Iterator[Any]:
    """Capture everything that the test logs; yields `llm_logging.testing.CapturedLogs`."""
    with import_module(f"{__package__}.testing").capture() as logs:
        yield logs
