"""Check figures against limits: `cost.today < 50`, `errors.1h < 5%`, `latency.p95.1h < 3s`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, Unpack

from pydantic import BaseModel, Field

from ...errors import ErrorCode, ValidationError
from ...models.moments import moment_kind
from ...models.query import StatsOptions, StatsScope
from ...models.stats import Figures, Percentiles
from ..lines.arguments import ReadingOptions, check_keywords
from ..stats import get_stats

__all__ = ["CheckReport", "CheckResult", "check"]

_CHECK: Final = re.compile(r"\s*([A-Za-z0-9_.\-]+?)\s*(<=|>=|!=|==|=|<|>)\s*(\S.*?)\s*")
_VALUE: Final = re.compile(r"\$?(-?\d+(?:\.\d+)?)\s*(%|ms|s|m|h|k|K|M|G)?")
_UNITS: Final[dict[str | None, int | Decimal]] = {
    None: 1, "%": Decimal("0.01"), "ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "k": 1000, "K": 1000, "M": 10**6,
    "G": 10**9,
}  # fmt: skip
_DURATIONS: Final = frozenset({"ms", "s", "m", "h"})
_SHORT: Final = {
    "cost": "total_cost", "requests": "total_requests", "calls": "total_calls", "tokens": "total_tokens",
    "errors": "failed_requests", "failed": "failed_requests", "latency": "latency_ms", "ttft": "time_to_first_token_ms",
    "first_token": "time_to_first_token_ms", "speed": "tokens_per_second", "unpriced": "unpriced_requests",
    "pending": "pending_requests", "orphaned": "orphaned_requests", "cancelled": "cancelled_requests",
}  # fmt: skip
_SPREADS: Final = frozenset(
    name for name, value in Figures().__dict__.items() if isinstance(value, Percentiles)
)


class CheckResult(BaseModel):
    """One check.

    Attributes:
        check: As it was asked.
        figure: The figure that was looked at, as `Figures` names it, nested ones with a dot.
        period: The time that it is of.
        value: What it was; None where it is not known.
        limit: What it was compared with; durations in milliseconds, shares of 1.
        ok: Whether the check holds; what is not known holds nothing, and no request no limit of durations.
        note: What else is to be known of the value.
    """

    check: str
    figure: str
    period: str
    value: float | None = None
    limit: float
    ok: bool
    note: str | None = None


class CheckReport(BaseModel):
    """The answer to `check`: true where all checks hold."""

    ok: bool
    results: list[CheckResult] = Field(default_factory=list)

    def __bool__(self) -> bool:
        return self.ok


def check(
    checks: str | Sequence[str],
    scope: StatsScope | Mapping[str, Any] | None = None,
    options: StatsOptions | Mapping[str, Any] | None = None,
    **reading: Unpack[ReadingOptions],
) -> CheckReport:
    """Compare figures with limits.

    Args:
        checks: One or several of `figure.period < limit`. The figure is `cost`, `errors`, `requests`, `tokens`,
            `latency.p95`, `ttft.p50` or any of `Figures`; the period is one of `from_date` (`1h`, `today`, `2026-01`), or left
            out for all time; the limit has a unit where it needs one (`5%`, `3s`, `800ms`, `2M`). `errors` with `%` is the
            error rate.
        scope: Whose requests; None: all.
        options: Filters and time zone.
        **reading: `root`, `files` and the other keywords of `get_stats`.

    Raises:
        ValidationError: A check that is none; and what `get_stats` raises.
    """
    check_keywords("check", reading)
    texts = [checks] if isinstance(checks, str) else list(checks)
    if not texts:
        raise _refuse("", "at least one check")
    parsed = [_parse(text) for text in texts]
    given = StatsOptions.of(options, "options").model_copy(update={"group_by": (), "fill_gaps": False})
    answers: dict[str, Figures] = {}
    for one in parsed:
        if one.period not in answers:
            span = {} if one.period == "all" else _span(one.period)
            answers[one.period] = get_stats(scope, given.model_copy(update=span), **reading).summary
    results = [_compare(one, answers[one.period]) for one in parsed]
    return CheckReport(ok=all(result.ok for result in results), results=results)


def _span(period: str) -> dict[str, str]:
    # A span back ends now; a day, week or month includes itself.
    ended = moment_kind(period) not in {"ago", "time"} and period != "now"
    return {"from_date": period, **({"to_date": period} if ended else {})}


class _Parsed(BaseModel):
    text: str
    figure: str
    period: str
    op: str
    limit: Decimal


def _refuse(text: str, expected: str) -> ValidationError:
    message = f"check: expected {expected}, got {text!r:.200}"
    return ValidationError(message, code=ErrorCode.INVALID_OPTIONS, reasons=(message,))


def _parse(text: str) -> _Parsed:
    match = _CHECK.fullmatch(text) if isinstance(text, str) else None
    value = _VALUE.fullmatch(match[3]) if match is not None else None
    if match is None or value is None:
        raise _refuse(text, "a check such as 'cost.today < 50', 'errors.1h < 5%' or 'latency.p95.1h < 3s'")
    parts = match[1].split(".")
    period = parts.pop() if len(parts) > 1 and moment_kind(parts[-1]) is not None else "all"
    head, rest = _SHORT.get(parts[0], parts[0]), parts[1:]
    unit = value[2]
    if unit == "%" and head == "failed_requests":
        head = "error_rate"
    if head in _SPREADS and not rest:
        rest = ["mean"]
    known = head in Figures.model_fields and (head in _SPREADS) == (len(rest) == 1)
    if not known or (rest and rest[0] not in Percentiles.model_fields) or head in {"group", "currency"}:
        raise _refuse(
            text,
            "a figure (cost, errors, requests, tokens, latency.p95, ttft.p50 ...) and a period (1h, today)",
        )
    is_duration = head.endswith("_ms")
    if (unit in _DURATIONS) != is_duration:
        raise _refuse(
            text, f"{'a duration such as 3s or 800ms' if is_duration else 'no duration'} for {head}"
        )
    if unit == "%" and not head.endswith(("_rate", "_share")):
        raise _refuse(text, f"no share for {head}")
    op = "==" if match[2] == "=" else match[2]
    figure = ".".join([head, *rest])
    return _Parsed(
        text=text.strip(), figure=figure, period=period, op=op, limit=Decimal(value[1]) * _UNITS[unit]
    )


def _compare(one: _Parsed, figures: Figures) -> CheckResult:
    head, _, leaf = one.figure.partition(".")
    value = getattr(figures, head)
    if not (isinstance(value, (int, float, str, Percentiles)) or value is None):
        raise _refuse(one.text, "a figure that is a number")
    number, note = getattr(value, leaf) if leaf else value, None
    if number is None:
        nothing = isinstance(value, Percentiles)
        note = "no requests" if nothing else "not known"
        return CheckResult(
            check=one.text, figure=one.figure, period=one.period, limit=float(one.limit), ok=nothing, note=note
        )  # fmt: skip
    exact = Decimal(str(number))
    holds = {
        "<": exact < one.limit, "<=": exact <= one.limit, ">": exact > one.limit, ">=": exact >= one.limit,
        "==": exact == one.limit, "!=": exact != one.limit,
    }[one.op]  # fmt: skip
    if head.endswith("_cost") and figures.unpriced_requests:
        note = f"at least: {figures.unpriced_requests:,} requests have no known cost"
    return CheckResult(
        check=one.text, figure=one.figure, period=one.period, value=float(exact), limit=float(one.limit), ok=holds, note=note
    )  # fmt: skip
