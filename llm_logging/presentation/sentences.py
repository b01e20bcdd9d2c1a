"""What an answer covers and what it does not, in sentences."""

from __future__ import annotations

import re
from typing import Final

from ..models.query import StatsScope
from ..models.stats import Figures, Period, Quality
from .escaping import safe
from .numbers import DASH, count, several

__all__ = ["notes", "span", "whose"]

_INDENT: Final = "  "
_FRACTION: Final = re.compile(r"(?<=:\d\d)\.\d+")


def span(period: Period) -> str:
    """Say which time a period covers, to the second."""
    start, end = (
        safe(_FRACTION.sub("", text)) if text else None for text in (period.from_date, period.to_date)
    )
    if start and end:
        return start if start == end else f"{start} to {end}"
    return f"since {start}" if start else f"until {end}" if end else "all time"


def whose(scope: StatsScope) -> str:
    """Say whose requests a scope holds."""
    if scope.type == "global":
        return "all projects"
    project = f"project {safe(scope.project_id or '')}"
    return project if scope.type == "project" else f"chat {safe(scope.chat_id or '')} of {project}"


def notes(figures: Figures, quality: Quality) -> list[str]:
    """Say what the figures do not cover, in sentences."""
    out = []
    if figures.priced_requests:
        out.append("~ estimated from list prices at the time of each request.")
    if figures.unpriced_requests:
        models = ", ".join(
            f"{safe(model)} ({count(n)})" for model, n in list(quality.unpriced_models.items())[:5]
        )
        more = len(quality.unpriced_models) - 5
        others = f" and {several(more, 'more model', 'more models')}" if more > 0 else ""
        named = f": {models}{others}" if models else ""
        unpriced = several(figures.unpriced_requests, "request", "requests")
        known = "≥ at least" if figures.total_cost is not None else f"{DASH} unknown"
        out.append(f"{known}: no price is known for {unpriced}{named}.")
        without = [f"{safe(reason)} ({count(n)})" for reason, n in list(quality.unpriced_reasons.items())[:8]]
        if quality.unpriced_reasons.keys() - {"model"}:
            out.append(f"{_INDENT}without a price: {', '.join(without)}.")
    for value, noun, rest in (
        (figures.requests_without_usage, "finished request", "no token counts"),
        (figures.estimated_usage_requests, "request", "estimated token counts"),
        (figures.partial_usage_requests, "request", "partial token counts"),
    ):
        if value:
            out.append(f"{several(value, f'{noun} has', f'{noun}s have')} {rest}.")
    if quality.duplicate_requests:
        twice = several(quality.duplicate_requests, "request was", "requests were")
        out.append(f"{twice} seen twice and counted once.")
    if quality.skipped_lines:
        reasons = ", ".join(
            f"{count(n)} {safe(reason).replace('_', ' ')}" for reason, n in quality.skipped.items()
        )
        out.append(f"{several(quality.skipped_lines, 'line was', 'lines were')} skipped ({reasons}).")
    if quality.invalid_fields:
        fields = ", ".join(f"{safe(name)} ({count(n)})" for name, n in quality.invalid_fields.items())
        out.append(f"Unusable values were left out: {fields}.")
    if quality.missing_lines:
        out.append(
            f"{several(quality.missing_lines, 'line is', 'lines are')} missing; see `llm-logging doctor`."
        )
    out += [f"{safe(path)}: {safe(reason)}" for path, reason in quality.unreadable_files.items()]
    out += [safe(text) for text in quality.notes]
    return out
