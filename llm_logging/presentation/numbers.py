"""Figures as people read them: never more exact than they are known.

An unknown figure is a dash, never 0. Money that was computed from list prices carries `~`; where the cost of some
requests is not known, or only in part, the sum is a lower bound, carries `≥` and is rounded down. Dollars and more show cents, estimates of
a hundred and more whole units, smaller amounts two significant digits; the exact decimal is in the JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Decimal, InvalidOperation, localcontext
from typing import Any, Final

from ..models.stats import Figures
from .escaping import safe

__all__ = [
    "DASH",
    "age",
    "bar",
    "cost",
    "count",
    "duration",
    "money",
    "request_cost",
    "several",
    "share",
    "signed",
    "size",
]

DASH: Final = "–"  # noqa: RUF001  an en dash is the sign for a value that is not there
_SYMBOLS: Final = {"USD": "$", "EUR": "€", "GBP": "£"}
_EIGHTHS: Final = "▏▎▍▌▋▊▉█"
_LEAST: Final = Decimal("0.0001")


def count(value: float | None, *, compact: bool = False) -> str:
    """Write a whole number: `1,234,567`, or compact `1.23M`."""
    if value is None:
        return DASH
    if not compact or abs(value) < 10_000:
        return f"{value:,.0f}"
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        # 999,999 rounds to a full million; it is then written with the larger unit.
        if abs(value) >= limit * 0.9995:
            scaled = value / limit
            digits = 2 if abs(scaled) < 9.995 else 1 if abs(scaled) < 99.95 else 0
            return f"{scaled:.{digits}f}{unit}"
    return f"{value:,.0f}"


def several(value: int, one: str, many: str) -> str:
    """Write a number with what it counts, for one and for any other: `1 line was read`, `2 lines were read`."""
    return f"{count(value)} {one if value == 1 else many}"


def duration(milliseconds: float | None) -> str:
    """Write a duration with three significant digits: `0.45 ms`, `812 ms`, `12.3 s`, `4m 05s`."""
    if milliseconds is None:
        return DASH
    if milliseconds < 999.5:
        return f"{_digits(milliseconds)} ms"
    seconds = milliseconds / 1000
    if seconds < 119.5:
        return f"{_digits(seconds)} s"
    whole = round(seconds)
    if whole < 7200:
        return f"{whole // 60}m {whole % 60:02d}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02d}m"


def age(value: timedelta) -> str:
    """Write a duration as it is typed: `1h`, `1h30m`, `7d`."""
    rest, parts = value.total_seconds(), ""
    for unit, seconds in (("d", 86400), ("h", 3600), ("m", 60)):
        whole, rest = divmod(rest, seconds)
        parts += f"{whole:.0f}{unit}" if whole else ""
    return f"{parts}{rest:g}s" if rest or not parts else parts


def _digits(value: float) -> str:
    if value == 0:
        return "0"
    return f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def share(value: float | None) -> str:
    """Write a share of 1 in percent; what is not nothing is not shown as 0 %, what is not all not as 100 %."""
    if value is None:
        return DASH
    if value in {0, 1}:
        return f"{value * 100:.0f} %"
    percent = value * 100
    if 0 < percent < 0.05:
        return "<0.1 %"
    if 99.95 <= percent < 100:
        return ">99.9 %"
    return f"{percent:.1f} %"


def signed(value: float | None) -> str:
    """Write a relative change: `+12.5 %`."""
    if value is None:
        return DASH
    percent = value * 100
    return f"{percent:+,.0f} %" if abs(percent) >= 999.5 else f"{percent:+.1f} %"


def size(value: int) -> str:
    """Write a number of bytes: `512 B`, `1.5 MB`."""
    number = float(value)
    for unit in ("B", "kB", "MB", "GB"):
        if number < 999.5:
            return f"{number:.0f} B" if unit == "B" else f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:,.3g} TB"


def money(amount: str | Decimal | None, currency: str = "USD", *, mark: str = "") -> str:
    """Write an amount of money.

    Args:
        amount: A decimal; None is unknown.
        currency: Its code.
        mark: `~` for an estimate, `≥` for a lower bound, nothing for what is known.
    """
    if amount is None:
        return DASH
    try:
        exact = Decimal(amount)
    except InvalidOperation:
        return safe(amount)
    magnitude = exact.copy_abs()
    if exact and magnitude < _LEAST:
        return f"{'-' if exact < 0 else ''}{'>0' if mark == '≥' else f'<{_unit(str(_LEAST), currency)}'}"
    places = _places(magnitude, whole_from=Decimal(100) if mark else None)
    rounding = ROUND_FLOOR if mark == "≥" else ROUND_HALF_EVEN
    with localcontext() as context:
        # What is far larger than any bill is still a number.
        context.prec = 100
        shown = magnitude.quantize(Decimal(1).scaleb(-places), rounding=rounding)
        if rounding is ROUND_HALF_EVEN and _places(shown, whole_from=Decimal(100) if mark else None) < places:
            shown = shown.quantize(
                Decimal(1).scaleb(-_places(shown, whole_from=Decimal(100) if mark else None))
            )
    return f"{mark}{'-' if exact < 0 else ''}{_unit(f'{shown:,f}', currency)}"


def _places(magnitude: Decimal, *, whole_from: Decimal | None) -> int:
    if whole_from is not None and magnitude >= whole_from:
        return 0
    if magnitude >= 1 or not magnitude:
        return 2
    return max(2, 1 - magnitude.adjusted())


def _unit(number: str, currency: str) -> str:
    symbol = _SYMBOLS.get(currency)
    return f"{symbol}{number}" if symbol else f"{number} {safe(currency)}"


def cost(figures: Figures) -> str:
    """Write what a group of requests cost, marked by how well it is known."""
    mark = "≥" if figures.unpriced_requests else "~" if figures.priced_requests else ""
    nothing = not figures.priced_requests and not figures.reported_requests
    parts = []
    # At least nothing is no bound.
    empty = figures.unpriced_requests and not Decimal(figures.total_cost or 0)
    if figures.total_cost is not None and not empty and not (nothing and figures.other_costs):
        parts.append(money(figures.total_cost, figures.currency, mark=mark))
    parts += [money(amount, currency) for currency, amount in figures.other_costs.items()]
    return " + ".join(parts) or DASH


def bar(value: float, largest: float, length: int = 10) -> str:
    """Draw a bar of at most `length` characters; what is not nothing is visible."""
    if value <= 0 or largest <= 0:
        return ""
    eighths = max(1, round(min(value / largest, 1) * length * 8))
    full, rest = divmod(eighths, 8)
    return "█" * full + (_EIGHTHS[rest - 1] if rest else "")


def request_cost(entry: Any) -> str:
    """Write what one request cost: what the provider reported, else the list price, marked by how well it is known.

    Args:
        entry: With `cost` and `estimated_cost`, as a `RequestLog` has them.
    """
    amount, currency = _part(entry.cost, "amount"), _part(entry.cost, "currency")
    if amount is not None:
        return money(str(amount), str(currency or "USD"))
    return money(entry.estimated_cost, mark="~")


def _part(group: Any, name: str) -> Any:
    """Return a part of an entry, which is a mapping where a line had something else at its place."""
    return group.get(name) if isinstance(group, Mapping) else getattr(group, name, None)
