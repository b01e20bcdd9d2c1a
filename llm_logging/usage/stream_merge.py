"""The usage of one response, brought together from the events of its stream.

A later count replaces an earlier one; zero or an absent count replaces nothing. Two real exceptions are in
`brought_together`: a later usage that states a complete sum of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..models.counting.names import COUNTS, TOTAL, snake_case
from ..models.counting.sdk_objects import whole_number
from ..models.counting.token_counts import normalise_counts

__all__ = ["added", "brought_together"]


def brought_together(known: Mapping[str, Any], later: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the usage of a response after a later event; see `_merged`.

    A later usage whose own parts meet its total is complete: Gemini leaves out the answer of an earlier step that the
    last event does not charge.
    """
    if later.get("iterations"):
        # Anthropic states every count of the last turn, zeros too, and those of the turns before it in the list.
        return {**known, **{name: value for name, value in later.items() if value is not None}}
    merged = _merged(known, later)
    total = _number_of(later, TOTAL)
    if total and total >= (_number_of(known, TOTAL) or 0) and _sum_of(merged) != total == _sum_of(later):
        return later
    return merged


def _number_of(usage: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    found = [whole_number(value) for name, value in usage.items() if snake_case(name) in names]
    return next((number for number in found if number is not None), None)


def _sum_of(usage: Mapping[str, Any]) -> int:
    counts = normalise_counts(usage)
    return counts.get("prompt_tokens", 0) + counts.get("completion_tokens", 0)


def _merged(known: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """Bring a later usage of the same response onto an earlier one: nothing that is known gives way to zero or None."""
    names, merged = {snake_case(name) for name in later}, dict(known)
    if not names.isdisjoint(COUNTS) and names.isdisjoint(TOTAL):
        # The total of an earlier event would decide wrongly over the parts.
        merged = {name: value for name, value in known.items() if snake_case(name) not in TOTAL}
    for name, value in later.items():
        own = merged.get(name)
        if isinstance(value, Mapping) and isinstance(own, Mapping):
            merged[name] = _merged(own, value)
        elif own is None or (value and whole_number(value) != 0):
            merged[name] = value
    return merged


def added(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
    """Add up counts by name, as LangChain does when it joins the chunks of a message."""
    total = dict(left)
    for name, value in right.items():
        own = total.get(name)
        if isinstance(value, Mapping):
            total[name] = added(own if isinstance(own, Mapping) else {}, value)
        elif isinstance(value, int) and isinstance(own, int):
            total[name] = own + value
        elif own is None:
            total[name] = value
    return total
