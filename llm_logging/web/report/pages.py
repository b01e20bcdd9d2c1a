"""The templates: their environment, and how figures and logged text are shown in them.

Every value is escaped. Logged text is also freed of characters that act instead of showing (`presentation.escaping`) and
cut, so that neither markup, terminal sequences, bidirectional controls nor a name of a megabyte changes a page.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from typing import Any, Final

from ...models.stats import Figures
from ...presentation import numbers
from ...presentation.escaping import safe, shorten
from ...presentation.sentences import notes
from . import drawing

__all__ = ["Card", "cards", "environment", "inline_json", "style_sheet", "words"]

_FOLDER: Final = Path(__file__).parent / "templates"
_LIVE: Final = Path(__file__).parent.parent / "live" / "templates"
_LONGEST: Final = 100_000
# Names of a megabyte, or very many groups, would make the page larger than all else on it.
_MOST_JSON: Final = 1_000_000


@cache
def environment() -> Any:
    """Return the templates' environment; needs the extra `report`."""
    jinja2 = drawing.require("jinja2", "report", "a page")
    markup = drawing.require("markupsafe", "report", "a page").Markup
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader([_FOLDER, _LIVE]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        auto_reload=False,
    )
    env.filters.update(
        show=_show, visible=safe, block=_block, count=numbers.count, duration=numbers.duration, share=numbers.share, time=_time,
        number=_number, outcome=_outcome, tokens=_tokens, latency=_latency, entry_cost=numbers.request_cost, css=_css,
        value=_value, money=lambda value, mark="": numbers.money(value, mark=mark),
    )  # fmt: skip
    env.globals.update(
        notes=notes,
        cost=numbers.cost,
        svg=lambda spec: markup(drawing.as_svg(spec)),
        role=lambda message: message.get("role") if isinstance(message, Mapping) else "message",
        words=words,
    )
    return env


@cache
def style_sheet() -> str:
    """Return the style sheet, with the widths of bars: a policy without inline styles allows no other."""
    widths = "".join(f".w{percent}{{width:{percent * 0.08:.2g}rem}}" for percent in range(10, 101, 10))
    depths = "".join(f".d{depth}{{display:inline-block;width:{depth * 1.2:.2g}rem}}" for depth in range(13))
    return (_FOLDER / "style.css").read_text("utf-8") + f".w0{{width:1px}}{widths}{depths}\n"


def _show(value: Any, length: int = 120) -> str:
    """Write logged text on one line, cut; nothing as a dash."""
    if value is None or value == "":
        return numbers.DASH
    return shorten(safe(str(value)[: length * 4]), length)


def _block(value: Any) -> str:
    return shorten(safe(str(value), newlines=True), _LONGEST)


def _time(value: datetime | None) -> str:
    return numbers.DASH if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _part(group: Any, name: str) -> Any:
    return group.get(name) if isinstance(group, Mapping) else getattr(group, name, None)


def _outcome(entry: Any) -> str:
    detail = _part(entry.error, "code") or _part(entry.error, "type")
    return f"{entry.status} {detail}" if detail else str(entry.status)


def _tokens(entry: Any) -> str:
    known = [_part(entry.usage, name) for name in ("prompt_tokens", "completion_tokens")]
    whole = [value for value in known if isinstance(value, int)]
    return numbers.count(sum(whole)) if whole else numbers.DASH


def _latency(entry: Any) -> str:
    value = _part(entry.timings, "latency_ms")
    return numbers.duration(value) if isinstance(value, (int, float)) else numbers.DASH


def _css(role: Any) -> str:
    """Return the class of a message: one of ours, never the text of a log."""
    return role if role in {"user", "assistant"} else "other"


def _value(value: Any) -> Any:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _number(value: Any) -> float:
    try:
        return float(Decimal(value or 0))
    except InvalidOperation:
        return 0.0


def words(value: Any) -> str:
    """Return the text of a message or a response; anything else as JSON."""
    content = value.get("content", value) if isinstance(value, Mapping) and "role" in value else value
    if isinstance(content, Mapping) and isinstance(content.get("text"), str):
        return str(content["text"])
    if isinstance(content, str):
        return content
    if isinstance(content, list) and content:
        texts = [part.get("text") if isinstance(part, Mapping) else None for part in content]
        if all(isinstance(text, str) for text in texts):
            return "\n".join(map(str, texts))
    return json.dumps(content, ensure_ascii=False, indent=2, default=str)


def inline_json(text: str) -> Any:
    """Return JSON that may stand in a page's script element: no `<`, `>` or `&` ends it or begins another.

    Of a megabyte and more it is `null`.
    """
    if len(text) > _MOST_JSON:
        text = "null"
    escaped = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return drawing.require("markupsafe", "report", "a page").Markup(escaped)


class Card:
    """One figure beside that of the period before."""

    def __init__(self, name: str, value: str, now: Any = None, before: Any = None, shown: str = "") -> None:
        self.name, self.value = name, value
        first, second = _number(before), _number(now)
        self.change = ""
        if shown:
            relative = (second - first) / first if first else None
            change = f"{numbers.signed(relative)} on " if relative is not None else "before: "
            self.change = f"{change}{shown}"


def cards(now: Figures, before: Figures | None) -> list[Card]:
    """Return the figures of a period beside those of the period before."""

    def card(name: str, path: str, show: Any) -> Card:
        def at(figures: Figures) -> Any:
            head, _, leaf = path.partition(".")
            value = getattr(figures, head)
            return getattr(value, leaf) if leaf else value

        shown = show(before) if before is not None else ""
        return Card(name, show(now), at(now), at(before) if before is not None else None, shown)

    chosen = [
        card("Requests", "total_requests", lambda f: numbers.count(f.total_requests)),
        card("Cost", "total_cost", numbers.cost),
        card("Failed", "failed_requests", lambda f: numbers.count(f.failed_requests)),
        card("Error rate", "error_rate", lambda f: numbers.share(f.error_rate)),
        card("Tokens", "total_tokens", lambda f: numbers.count(f.total_tokens, compact=True)),
        card("Latency, median", "latency_ms.p50", lambda f: numbers.duration(f.latency_ms.p50)),
        card("Latency, p95", "latency_ms.p95", lambda f: numbers.duration(f.latency_ms.p95)),
    ]
    if now.time_to_first_token_ms.n:
        chosen.append(
            card("First token, median", "time_to_first_token_ms.p50",
                 lambda f: numbers.duration(f.time_to_first_token_ms.p50))
        )  # fmt: skip
    if now.cache_read_tokens:
        chosen.append(
            card("Saved by caching", "cache_savings", lambda f: numbers.money(f.cache_savings, mark="~"))
        )
    if now.total_calls != now.total_requests:
        chosen.append(card("Calls", "total_calls", lambda f: numbers.count(f.total_calls)))
    return chosen
