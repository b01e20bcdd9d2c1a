"""An answer as text: a table for people, Markdown, CSV or JSON for programs. Values in, text out.

JSON is the model itself, exact. CSV has one row a group and every figure under the model's own names, nested ones
with a dot. The table shows what fits, and says what the figures do not cover.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from ...models.query import TIME_UNITS
from ...models.stats import Figures, Percentiles, Stats, StatsRow
from ...presentation import numbers
from ...presentation.escaping import answer_json
from ...presentation.numbers import DASH, count, duration, several, share
from ...presentation.sentences import notes, span, whose
from .table import Column, csv_text, draw, markdown, paint
from .terminal import safe

__all__ = [
    "Look",
    "as_csv",
    "as_json",
    "as_markdown",
    "as_table",
    "flat",
    "group_columns",
    "notes",
    "span",
    "title",
    "whose",
]

_INDENT: Final = "  "
_FRACTION: Final = re.compile(r"(?<=:\d\d)\.\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How a table is shown.

    Attributes:
        width: In characters.
        colour: Use colours.
        percentiles: Show p50, p90, p95 and p99 of every measure.
        hidden_rows: How many rows of the breakdown a limit left out.
    """

    width: int = 100
    colour: bool = False
    percentiles: bool = False
    hidden_rows: int = 0


def as_json(stats: Any, *, camel: bool = False, indent: int | None = 2) -> str:
    """Write an answer as JSON: the whole model, names in snake_case or camelCase."""
    return answer_json(stats, camel=camel, indent=indent)


def flat(figures: Figures) -> dict[str, Any]:
    """Return all figures of a group by name, nested ones with a dot, money as `Decimal`."""
    out: dict[str, Any] = {}
    for name, value in figures.model_dump(mode="json", exclude={"group"}).items():
        if name in {"error_codes", "http_statuses", "other_costs"}:
            out[name] = "; ".join(f"{key}={item}" for key, item in value.items())
        elif isinstance(value, dict):
            out.update({f"{name}.{key}": item for key, item in value.items()})
        else:
            out[name] = _decimal(value) if name.endswith(("_cost", "_savings")) else value
    return out


def _decimal(value: Any) -> Any:
    try:
        return Decimal(value) if isinstance(value, str) else value
    except InvalidOperation:
        return value


def as_csv(stats: Stats) -> str:
    """Write one row a group, or one row for all, with every figure."""
    rows: Sequence[Figures] = stats.breakdown if stats.group_by else [stats.summary]
    lines: list[list[object]] = [[*stats.group_by, *flat(stats.summary)]]
    for row in rows:
        group = row.group if isinstance(row, StatsRow) else {}
        lines.append([*(group.get(name) for name in stats.group_by), *flat(row).values()])
    return csv_text(lines)


def as_markdown(stats: Stats, look: Look) -> str:
    """Write the breakdown, or the models, as a Markdown table with a line of totals."""
    rows: list[StatsRow] = list(stats.breakdown)
    names = list(stats.group_by)
    if not names:
        names = ["model"]
        rows = [_row({"model": model}, figures) for model, figures in stats.models.items()]
    return markdown(_columns(names, rows, look, total=stats.summary))


def _row(group: dict[str, str | None], figures: Figures) -> StatsRow:
    return StatsRow.model_construct(**{**dict(figures), "group": group})


def as_table(stats: Stats, look: Look) -> str:
    """Write an answer for people: totals, then a table of groups or models, then what is not covered."""
    parts = [paint(title(stats), "bold", colour=look.colour) + "\n\n", _summary(stats, look)]
    if look.percentiles:
        parts.append("\n" + _percentiles(stats.summary, look))
    if stats.group_by:
        if stats.breakdown:
            total = stats.summary if len(stats.breakdown) > 1 or look.hidden_rows else None
            parts.append("\n" + draw_groups(stats.group_by, stats.breakdown, look, total=total))
        if look.hidden_rows:
            more = f"{several(look.hidden_rows, 'more row', 'more rows')}; --limit 0 shows all"
            parts.append(paint(f"{_INDENT}… {more}", "dim", colour=look.colour) + "\n")
    elif stats.models:
        rows = [_row({"model": model}, figures) for model, figures in stats.models.items()]
        parts.append(
            "\n" + draw_groups(["model"], rows, look, total=stats.summary if len(rows) > 1 else None)
        )
    remarks = notes(stats.summary, stats.quality)
    if remarks:
        parts.append("\n" + "".join(paint(line, "yellow", colour=look.colour) + "\n" for line in remarks))
    return "".join(parts)


def title(stats: Any) -> str:
    """Say what an answer is about: whose requests, of which time."""
    period = stats.period
    return f"LLM requests of {whose(stats.scope)}, {span(period)} ({safe(period.time_zone)})"


def _summary(stats: Stats, look: Look) -> str:
    figures = stats.summary
    lines = [("Requests", count(figures.total_requests), _requests(stats))]
    if figures.retried_requests or figures.total_calls != figures.total_requests:
        retries = f"{several(figures.retried_requests, 'retry', 'retries')} ({share(figures.retry_share)} of requests)"
        lines.append(
            ("Calls", count(figures.total_calls), f"{count(figures.failed_calls)} failed, {retries}")
        )
    lines.append(("Tokens", count(figures.total_tokens), _tokens(figures)))
    if figures.latency_ms.n:
        lines.append(("Latency", duration(figures.average_latency_ms), _spread(figures.latency_ms)))
    if figures.time_to_first_token_ms.n:
        first = figures.time_to_first_token_ms
        lines.append(("First token", duration(first.mean), _spread(first)))
    if figures.tokens_per_second.n:
        speed = figures.tokens_per_second
        detail = ", ".join(
            f"{name} {count(value)}"
            for name, value in (("p50", speed.p50), ("p95", speed.p95))
            if value is not None
        )
        lines.append(("Tokens/s", count(speed.mean), f"mean; {detail}" if detail else "mean"))
    lines.append(("Cost", numbers.cost(figures), _cost_words(figures)))
    room = max(len(value) for _, value, _ in lines)
    out = []
    for name, value, detail in lines:
        head = f"{_INDENT}{name:<12}{value:>{room}}"
        left = look.width - len(head) - 3
        out.append(head + "".join(_wrapped(detail, left, len(head) + 3, look)))
    return "".join(line + "\n" for line in out)


def _wrapped(detail: str, room: int, indent: int, look: Look) -> list[str]:
    if not detail:
        return []
    if room < 16:
        return []
    lines, current = [], ""
    for part in detail.split(", "):
        candidate = f"{current}, {part}" if current else part
        if len(candidate) > room and current:
            lines.append(current + ",")
            current = part
        else:
            current = candidate
    lines.append(current)
    painted = [paint(line, "dim", colour=look.colour) for line in lines]
    return ["   " + ("\n" + " " * indent).join(painted)]


def _requests(stats: Stats) -> str:
    figures = stats.summary
    parts = [f"{count(figures.successful_requests)} ok"]
    failed = f"{count(figures.failed_requests)} failed"
    parts.append(f"{failed} ({share(figures.error_rate)})" if figures.failed_requests else failed)
    for value, word in (
        (figures.cancelled_requests, "cancelled"),
        (figures.running_requests, "running"),
        (figures.orphaned_requests, f"orphaned (pending for over {numbers.age(stats.orphaned_after)})"),
    ):
        if value:
            parts.append(f"{count(value)} {word}")
    return ", ".join(parts)


def _tokens(figures: Figures) -> str:
    parts = [f"{count(figures.prompt_tokens)} prompt", f"{count(figures.completion_tokens)} completion"]
    if figures.cache_read_tokens:
        of_prompt = figures.cache_read_tokens / figures.prompt_tokens if figures.prompt_tokens else None
        parts.append(f"{count(figures.cache_read_tokens)} read from cache ({share(of_prompt)} of prompt)")
    if figures.cache_write_tokens:
        parts.append(f"{count(figures.cache_write_tokens)} written to cache")
    if figures.reasoning_tokens:
        parts.append(f"{count(figures.reasoning_tokens)} reasoning")
    return ", ".join(parts)


def _spread(values: Any) -> str:
    parts = [(name, getattr(values, name)) for name in ("p50", "p90", "p95", "p99")]
    return "mean; " + ", ".join(f"{name} {duration(value)}" for name, value in parts if value is not None)


def _cost_words(figures: Figures) -> str:
    parts = []
    if figures.priced_requests and figures.reported_requests:
        parts.append(
            f"{numbers.money(figures.reported_cost, figures.currency)} reported by providers, "
            f"{numbers.money(figures.estimated_cost, figures.currency, mark='~')} from list prices"
        )
    elif figures.priced_requests:
        parts.append("estimated from list prices")
    elif figures.estimated_cost is not None and figures.unpriced_requests:
        parts.append("the part of it that has list prices")
    elif figures.reported_requests:
        parts.append("reported by providers")
    saved = _decimal(figures.cache_savings)
    if isinstance(saved, Decimal) and saved:
        word = "saved by caching" if saved > 0 else "extra for caching"
        parts.append(f"{numbers.money(abs(saved), figures.currency, mark='~')} {word}")
    if figures.unpriced_requests:
        parts.append(f"{several(figures.unpriced_requests, 'request', 'requests')} unpriced")
    return ", ".join(parts)


def _percentiles(figures: Figures, look: Look) -> str:
    measures: list[tuple[str, Percentiles, Callable[[float | None], str]]] = [
        ("latency", figures.latency_ms, duration),
        ("  of successes", figures.success_latency_ms, duration),
        ("  of failures", figures.failure_latency_ms, duration),
        ("first token", figures.time_to_first_token_ms, duration),
        ("tokens/s", figures.tokens_per_second, count),
    ]
    known = [(name, values, show) for name, values, show in measures if values.n]
    columns = [
        Column("measure", [name for name, _, _ in known], left=True),
        Column("n", [count(values.n) for _, values, _ in known], rank=2),
    ]
    ranks = {"mean": 3, "min": 5, "p50": 0, "p90": 4, "p95": 0, "p99": 1, "max": 6}
    for name in ("mean", "min", "p50", "p90", "p95", "p99", "max"):
        cells = [show(getattr(values, name)) for _, values, show in known]
        columns.append(Column(name, cells, rank=ranks[name]))
    return draw(columns, width=look.width, colour=look.colour)


def draw_groups(
    names: Sequence[str], rows: Sequence[StatsRow], look: Look, *, total: Figures | None = None
) -> str:
    """Draw a table of groups, with a line of totals where one is given."""
    columns = _columns(names, rows, look, total=total)
    return draw(columns, width=look.width, colour=look.colour, last_bold=total is not None)


def group_columns(
    names: Sequence[str], groups: Sequence[dict[str, str | None]], *, total: bool = False
) -> list[Column]:
    """Return the columns that name the groups, `(none)` where a request lacks the field."""
    columns: list[Column] = []
    for name in names:
        cells = [safe(value) if (value := group.get(name)) is not None else "(none)" for group in groups]
        if total:
            cells.append("total" if not columns else "")
        columns.append(Column(safe(name), cells, left=True, style="cyan" if not columns else ""))
    return columns


def _columns(
    names: Sequence[str], rows: Sequence[StatsRow], look: Look, *, total: Figures | None
) -> list[Column]:
    every: list[Figures] = [*rows, *([total] if total is not None else [])]
    columns = group_columns(names, [row.group for row in rows], total=total is not None)
    basis = "total_tokens" if any(row.total_tokens for row in rows) else "total_requests"
    largest = max((getattr(row, basis) for row in rows), default=0)
    if len(rows) > 1 and largest:
        bars = [numbers.bar(getattr(row, basis), largest) for row in rows]
        # Bars stand beside the time they belong to, so that the eye reads them as a chart.
        by_time = bool(names) and names[0] in TIME_UNITS
        blank = [""] * (len(every) - len(rows))
        chart = Column("", bars + blank, rank=3 if by_time else 9, left=True, style="green", decoration=True)
        columns.insert(1 if by_time else len(columns), chart)

    def numeric(header: str, name: str, rank: int, **options: Any) -> None:
        values = [getattr(figures, name) for figures in every]
        if rank and not any(values):
            return
        cells = [count(value) for value in values]
        columns.append(
            Column(header, cells, [count(value, compact=True) for value in values], rank, **options)
        )

    numeric("requests", "total_requests", 0)
    if any(figures.failed_requests for figures in every):
        failed = [f"{count(f.failed_requests)}" if f.failed_requests else DASH for f in every]
        styles = ["red" if f.failed_requests else "dim" for f in every]
        columns.append(Column("failed", failed, rank=2, styles=styles))
    numeric("pending", "pending_requests", 7)
    numeric("cancelled", "cancelled_requests", 8)
    numeric("prompt", "prompt_tokens", 5)
    numeric("cached", "cache_read_tokens", 6)
    numeric("completion", "completion_tokens", 5)
    numeric("tokens", "total_tokens", 1)
    if any(figures.latency_ms.n for figures in every):
        shown = ("p50", "p90", "p95", "p99") if look.percentiles else ("p50", "p95")
        columns += [
            Column(
                name, [duration(getattr(f.latency_ms, name)) for f in every], rank=4 if name == "p95" else 6
            )
            for name in shown
        ]
    columns.append(Column("cost", [numbers.cost(figures) for figures in every]))
    return columns
