"""The error of a rule that spans fields."""

from __future__ import annotations

from pydantic_core import PydanticCustomError

__all__ = ["rule_broken"]


def rule_broken(reason: str, *fields: str) -> PydanticCustomError:
    """Return the error of a rule that spans fields; `fields` are those that have to go for the rest to stand."""
    return PydanticCustomError("rule", "{reason}", {"reason": reason, "fields": fields})
