"""pytest's entry point: the fixture `llm_logs`, which loads what it needs when a test asks for it.

Every pytest run of the environment imports this module, so it imports nothing that costs time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .testing import CapturedLogs

__all__ = ["llm_logs"]


@pytest.fixture
def llm_logs() -> Iterator[CapturedLogs]:
    """Capture everything that the test logs."""
    from .testing import capture

    with capture() as logs:
        yield logs
