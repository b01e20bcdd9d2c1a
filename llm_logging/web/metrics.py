"""Counters of all requests in OpenMetrics' text form (https://prometheus.io/docs/specs/om/open_metrics_spec/).

They are made from the log files, so they survive restarts and are the same whichever worker answers. Labels are a fixed set:
project, model, outcome, kind of token, error code; of each the largest `top` values have a name, the rest is `other`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, Unpack

from ..models.query import StatsOptions, StatsScope
from ..models.stats import Figures, Stats
from ..presentation.escaping import shorten
from ..reader.lines.arguments import ReadingOptions
from ..reader.stats import get_stats

__all__ = ["CONTENT_TYPE", "metrics_text"]

CONTENT_TYPE: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_OTHER: Final = "other"
_LONGEST: Final = 120
_TOKENS: Final = ("prompt", "completion", "cache_read", "cache_write", "reasoning")
_OUTCOMES: Final = {
    "success": "successful_requests",
    "failure": "failed_requests",
    "cancelled": "cancelled_requests",
}


def metrics_text(
    scope: StatsScope | Mapping[str, Any] | None = None, *, top: int = 20, **reading: Unpack[ReadingOptions]
) -> str:
    """Return the metrics of a scope.

    Args:
        scope: Whose; None: all.
        top: How many values of a label have a name of their own.
        **reading: `root` and the other keywords of `get_stats`.

    Raises:
        What `get_stats` raises.
    """
    stats = get_stats(scope, StatsOptions(group_by=("project", "model")), **reading)
    return "".join(f"{line}\n" for line in _lines(stats, top))


def _lines(stats: Stats, top: int) -> Iterator[str]:
    groups = _groups(stats, top)
    yield from _family("llm_requests", "counter", "Finished and cancelled requests.")
    for (project, model), rows in groups.items():
        for outcome, name in _OUTCOMES.items():
            yield _sample(
                "llm_requests_total", _sum(rows, name), project=project, model=model, outcome=outcome
            )
    yield from _family(
        "llm_tokens", "counter", "Tokens; cached ones are part of the prompt, reasoning of the completion."
    )
    for (project, model), rows in groups.items():
        for kind in _TOKENS:
            yield _sample(
                "llm_tokens_total", _sum(rows, f"{kind}_tokens"), project=project, model=model, kind=kind
            )
    yield from _family(
        "llm_cost_dollars", "counter", "Known cost; a lower bound where some requests have no known cost."
    )
    for (project, model), rows in groups.items():
        cost = sum((Decimal(row.total_cost or 0) for row in rows), Decimal(0))
        yield _sample("llm_cost_dollars_total", f"{cost:f}", project=project, model=model)
    yield from _family(
        "llm_unpriced_requests", "counter", "Requests whose cost is not known, or only in part."
    )
    for (project, model), rows in groups.items():
        yield _sample(
            "llm_unpriced_requests_total", _sum(rows, "unpriced_requests"), project=project, model=model
        )
    yield from _family("llm_errors", "counter", "Failed and cancelled requests by error code.")
    for code, number in _top_codes(stats.summary.error_codes, top).items():
        yield _sample("llm_errors_total", number, code=code)
    yield from _family("llm_pending_requests", "gauge", "Requests that have not ended.")
    yield _sample("llm_pending_requests", stats.summary.running_requests, state="running")
    yield _sample("llm_pending_requests", stats.summary.orphaned_requests, state="orphaned")
    yield from _spread(
        "llm_request_duration_seconds", "Latency of finished requests.", stats.summary.latency_ms
    )
    yield from _spread(
        "llm_first_token_seconds", "Time to first token.", stats.summary.time_to_first_token_ms
    )
    yield from _family("llm_log_lines_skipped", "gauge", "Lines that could not be used.")
    yield _sample("llm_log_lines_skipped", stats.quality.skipped_lines)
    yield "# EOF"


def _groups(stats: Stats, top: int) -> dict[tuple[str, str], list[Figures]]:
    named = {name: _names(stats, name, top) for name in ("project", "model")}
    groups: dict[tuple[str, str], list[Figures]] = defaultdict(list)
    for row in stats.breakdown:
        project, model = (
            value if (value := _label(row.group[name])) in named[name] else _OTHER
            for name in ("project", "model")
        )
        groups[project, model].append(row)
    return dict(sorted(groups.items()))


def _names(stats: Stats, group: str, top: int) -> set[str]:
    counts: Counter[str] = Counter()
    for row in stats.breakdown:
        counts[_label(row.group[group])] += row.total_requests + row.cancelled_requests
    return {name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:top]}


def _top_codes(codes: Mapping[str, int], top: int) -> dict[str, int]:
    ordered = sorted(codes.items(), key=lambda item: (-item[1], item[0]))
    found: dict[str, int] = defaultdict(int)
    for place, (code, number) in enumerate(ordered):
        found[_label(code) if place < top else _OTHER] += number
    return dict(found)


def _label(value: str | None) -> str:
    return shorten(value or "", _LONGEST)


def _family(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# TYPE {name} {kind}"
    if name.endswith("_seconds"):
        yield f"# UNIT {name} seconds"
    yield f"# HELP {name} {text}"


def _spread(name: str, text: str, values: Any) -> Iterator[str]:
    yield from _family(name, "summary", text)
    for leaf, quantile in (("p50", "0.5"), ("p95", "0.95"), ("p99", "0.99")):
        value = getattr(values, leaf)
        if value is not None:
            yield _sample(name, repr(value / 1000), quantile=quantile)
    yield _sample(f"{name}_count", values.n)
    yield _sample(f"{name}_sum", repr((values.mean or 0.0) * values.n / 1000))


def _sum(rows: list[Figures], name: str) -> int:
    return sum(getattr(row, name) for row in rows)


def _sample(name: str, value: Any, **labels: str) -> str:
    inner = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    return f"{name}{{{inner}}} {value}" if inner else f"{name} {value}"


def _escaped(text: str) -> str:
    cleaned = text.encode("utf-8", "replace").decode()
    return (
        cleaned.replace("\\", "\\\\")
        .replace("\n", "\\n")
        .replace('"', '\\"')
        .replace("\r", "\\r".replace("\\", "\\\\"))
    )
