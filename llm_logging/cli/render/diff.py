"""Two periods side by side, and the prices in use, as text. Values in, text out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from ...models.stats import Change, Comparison, PriceReport, PriceUse
from ...presentation import numbers
from ...presentation.numbers import DASH, count, duration, share, signed
from .stats import group_columns, span, whose
from .table import Column, csv_text, draw, markdown, paint
from .terminal import safe

__all__ = [
    "comparison_csv",
    "comparison_markdown",
    "comparison_table",
    "prices_columns",
    "prices_csv",
    "prices_table",
]

# name in the model, name for people, how it is written, whether more of it is worse
_FIGURES: Final[tuple[tuple[str, str, Callable[[Any], str], bool | None], ...]] = (
    ("total_requests", "requests", count, None),
    ("failed_requests", "failed", count, True),
    ("error_rate", "error rate", share, True),
    ("total_calls", "calls", count, None),
    ("retry_share", "retries", share, True),
    ("prompt_tokens", "prompt tokens", count, None),
    ("cache_read_tokens", "  read from cache", count, False),
    ("completion_tokens", "completion tokens", count, None),
    ("total_tokens", "tokens", count, None),
    ("average_latency_ms", "latency, mean", duration, True),
    ("latency_ms.p50", "latency, p50", duration, True),
    ("latency_ms.p95", "latency, p95", duration, True),
    ("latency_ms.p99", "latency, p99", duration, True),
    ("time_to_first_token_ms.p50", "first token, p50", duration, True),
    ("tokens_per_second.p50", "tokens/s, p50", count, False),
    ("total_cost", "cost", numbers.money, True),
    ("unpriced_requests", "unpriced requests", count, True),
)
# of a million tokens
_RATES: Final = (
    ("input", "input/M", 0),
    ("output", "output/M", 0),
    ("cache_read", "cache read/M", 4),
    ("cache_write", "cache write/M", 5),
)
_MONEY: Final = frozenset({"total_cost"})


def _amount(
    value: Any, name: str, changes: Mapping[str, Change], side: str, show: Callable[[Any], str]
) -> str:
    if value is None:
        return DASH
    if name not in _MONEY:
        return show(value)
    unpriced = getattr(changes.get("unpriced_requests"), side, 0)
    estimated = getattr(changes.get("priced_requests"), side, 0)
    return numbers.money(value, mark="≥" if unpriced else "~" if estimated else "")


def _difference(change: Change, name: str, show: Callable[[Any], str]) -> str:
    if change.absolute is None:
        return DASH
    value = _number(change.absolute)
    if value == 0:
        return "="
    sign = "+" if value > 0 else "-"
    if name in _MONEY:
        return f"{sign}{numbers.money(value.copy_abs(), mark='~').removeprefix('~')}"
    if show is share:
        return f"{sign}{abs(float(value)) * 100:.1f} pp"
    return f"{sign}{show(abs(float(value)))}"


def _relative(change: Change) -> str:
    return signed(change.relative) if change.relative else ""


def _number(value: Any) -> Decimal:
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return Decimal(0)


def _style(change: Change, more_is_worse: bool | None) -> str:
    value = _number(change.absolute) if change.absolute is not None else Decimal(0)
    if not value or more_is_worse is None:
        return ""
    return "red" if (value > 0) == more_is_worse else "green"


def _known(changes: Mapping[str, Change]) -> list[tuple[str, str, Callable[[Any], str], bool | None, Change]]:
    found = []
    for name, label, show, worse in _FIGURES:
        change = changes.get(name)
        quiet = change is not None and not _number(change.before or 0) and not _number(change.after or 0)
        if change is not None and (not quiet or name == "total_requests"):
            found.append((name, label, show, worse, change))
    return found


def _summary_columns(answer: Comparison) -> list[Column]:
    rows = _known(answer.summary)
    changes = answer.summary
    return [
        Column("figure", [label for _, label, _, _, _ in rows], left=True, style="cyan"),
        Column("before", [_amount(c.before, n, changes, "before", show) for n, _, show, _, c in rows]),
        Column("after", [_amount(c.after, n, changes, "after", show) for n, _, show, _, c in rows]),
        Column(
            "change",
            [_difference(c, n, show) for n, _, show, _, c in rows],
            rank=1,
            styles=[_style(c, worse) for _, _, _, worse, c in rows],
            pair="change",
        ),
        Column(
            "",
            [_relative(c) for n, _, _, _, c in rows],
            rank=1,
            pair="change",
            styles=[_style(c, worse) for _, _, _, worse, c in rows],
        ),
    ]


def _group_columns(answer: Comparison) -> list[Column]:
    columns = group_columns(answer.group_by, [row.group for row in answer.breakdown])
    shown = (
        ("total_requests", "requests", 0),
        ("failed_requests", "failed", 4),
        ("total_tokens", "tokens", 2),
        ("latency_ms.p95", "p95", 3),
        ("total_cost", "cost", 0),
    )
    kinds = {name: (show, worse) for name, _, show, worse in _FIGURES}
    for name, label, rank in shown:
        show, worse = kinds[name]
        changes = [row.changes.get(name, Change()) for row in answer.breakdown]
        if rank and not any(_number(c.before or 0) or _number(c.after or 0) for c in changes):
            continue
        every = list(zip(changes, answer.breakdown, strict=True))
        before = [_amount(c.before, name, row.changes, "before", show) for c, row in every]
        after = [_amount(c.after, name, row.changes, "after", show) for c, row in every]
        columns += [
            Column(label, [f"{a} → {b}" for a, b in zip(before, after, strict=True)], after, rank=rank, pair=name),
            Column(
                "", [_relative(c) for c, row in every], rank=rank, pair=name,
                styles=[_style(c, worse) for c in changes],
            ),
        ]  # fmt: skip
    return columns


def comparison_table(answer: Comparison, *, width: int, colour: bool) -> str:
    """Write a comparison for people."""
    head = (
        f"LLM requests of {whose(answer.scope)}: {span(answer.before)} against {span(answer.after)} "
        f"({safe(answer.after.time_zone)})"
    )
    parts = [
        paint(head, "bold", colour=colour) + "\n\n",
        draw(_summary_columns(answer), width=width, colour=colour),
    ]
    if answer.breakdown:
        parts.append("\n" + draw(_group_columns(answer), width=width, colour=colour))
    unsure = [
        f"The period {name} is not whole: see `llm-logging doctor`."
        for name, quality in (("before", answer.quality_before), ("after", answer.quality_after))
        if not quality.complete
    ]
    return "".join(parts) + "".join(paint("\n" + line, "yellow", colour=colour) + "\n" for line in unsure)


def comparison_markdown(answer: Comparison) -> str:
    """Write a comparison as Markdown: by group where there are some, else figure by figure."""
    return markdown(_group_columns(answer) if answer.group_by else _summary_columns(answer))


def comparison_csv(answer: Comparison) -> str:
    """Write one row a group and figure: before, after, absolute and relative change, exact."""
    lines: list[list[object]] = [[*answer.group_by, "figure", "before", "after", "absolute", "relative"]]
    rows: list[tuple[Mapping[str, str | None], Mapping[str, Change]]] = [
        (row.group, row.changes) for row in answer.breakdown
    ]
    for group, changes in rows if answer.group_by else [({}, answer.summary)]:
        for name, change in changes.items():
            values = [
                _exact(value) for value in (change.before, change.after, change.absolute, change.relative)
            ]
            lines.append([*(group.get(key) for key in answer.group_by), name, *values])
    return csv_text(lines)


def _exact(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return Decimal(value)
        except InvalidOperation:
            pass
    return value


def prices_columns(uses: Sequence[PriceUse]) -> list[Column]:
    """Return the columns of prices in use."""
    columns = [
        Column("provider", [safe(use.provider or DASH) for use in uses], rank=3, left=True),
        Column("model", [safe(use.model or DASH) for use in uses], left=True, style="cyan"),
        Column("source", [safe(use.source) for use in uses], left=True, rank=2,
               styles=["yellow" if use.source == "unpriced" else "" for use in uses]),
        Column("priced as", [safe(use.priced_as or DASH) for use in uses], rank=6, left=True),
        Column("tier", [_tier(use) for use in uses], rank=7, left=True),
    ]  # fmt: skip
    for kind, header, rank in _RATES:
        rates = [safe(use.rates.get(kind, "")) for use in uses]
        if any(rates):
            columns.append(Column(header, rates, rank=rank))
    named = {kind for kind, _, _ in _RATES}
    others = [
        ", ".join(f"{safe(k)} {safe(v)}" for k, v in use.rates.items() if k not in named) for use in uses
    ]
    columns += [
        Column("other rates", others, rank=9, left=True),
        Column(
            "without a price", [safe(use.unpriced or "") for use in uses], rank=4, left=True, style="yellow"
        ),
        Column("units", [safe(use.units or "") for use in uses], rank=9, left=True),
        Column("valid", [safe(use.valid or "") for use in uses], rank=8, left=True),
        Column("requests", [count(use.requests) for use in uses]),
        Column("cost", [_cost(use) for use in uses]),
    ]
    return [column for column in columns if any(column.cells)]


def prices_csv(report: PriceReport) -> str:
    """Write one row a use of a rate."""
    names = [name for name in PriceUse.model_fields if name != "rates"]
    lines: list[list[object]] = [[*names, "rates"]]
    for use in report.uses:
        values = use.model_dump(mode="json")
        rates = "; ".join(f"{kind}={rate}" for kind, rate in use.rates.items())
        lines.append([*(_exact(values[name]) if name == "cost" else values[name] for name in names), rates])
    return csv_text(lines)


def _tier(use: PriceUse) -> str:
    parts = [safe(part) for part in (use.service_tier, use.speed) if part]
    if use.input_tier:
        parts.append(f">{count(use.input_tier, compact=True)} tokens")
    return " ".join(parts)


def _cost(use: PriceUse) -> str:
    mark = "" if use.source == "reported" else "≥" if use.unpriced else "~"
    return numbers.money(use.cost, use.currency, mark=mark)


def prices_table(report: PriceReport, *, width: int, colour: bool) -> str:
    """Write which rates were used for what."""
    version = f" {safe(report.version)}" if report.version else ""
    own = f", own rates from {safe(report.overrides)}" if report.overrides else ""
    head = paint(f"Prices from {safe(report.source)}{version}{own}", "bold", colour=colour)
    if not report.uses:
        return f"{head}\n\n  no request needs a price\n"
    return f"{head}\n\n{draw(prices_columns(report.uses), width=width, colour=colour)}"
