"""The trace that runs now, where OpenTelemetry is in use; it is never imported for this."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["active_trace_ids"]


def active_trace_ids() -> tuple[str, str] | None:
    """Return the trace id (32 hexadecimal digits) and span id (16) of the active span.

    Returns:
        None where no span is active, or nobody has imported OpenTelemetry.
    """
    trace: Any = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    try:
        context = trace.get_current_span().get_span_context()
        ids = (f"{context.trace_id:032x}", f"{context.span_id:016x}") if context.is_valid else None
    except Exception:  # noqa: BLE001  somebody else's library, half imported or replaced
        return None
    return ids
