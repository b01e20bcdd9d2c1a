"""Placeholder until pseudonyms land."""

from __future__ import annotations

from typing import Any


class Pseudonymiser:
    """Change nothing."""

    def apply(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Return the entry."""
        return entry


def pseudonymiser_from(option: Any) -> Pseudonymiser | None:  # noqa: ARG001
    """Return nothing."""
    return None
