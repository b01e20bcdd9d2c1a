"""Placeholder until content policies land."""

from __future__ import annotations

from typing import Any


class ContentPolicy:
    """Keep or drop."""

    def __init__(self, mode: str, max_chars: int) -> None:
        self.mode = mode
        self.max_chars = max_chars

    def request_content(self, messages: Any, response: Any) -> dict[str, Any] | None:
        """Return what is kept."""
        if self.mode == "off":
            return None
        return {k: v for k, v in (("messages", messages), ("response", response)) if v is not None}

    def chat_body(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return what is kept."""
        return body if self.mode == "full" else {k: v for k, v in body.items() if k != "content"}
