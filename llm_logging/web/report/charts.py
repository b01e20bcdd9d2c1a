"""The charts as Vega-Lite specifications: plain dicts, one function per chart, each with a summary and its numbers.

Text from logs is in data values only, shortened and escaped; nothing of it becomes an expression or the name of a field.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ...presentation.escaping import safe, shorten
from ...presentation.numbers import count, duration, money, share
from ...reader.reports.overview import Overview

__all__ = ["CHARTS", "Chart", "draw_all", "picture"]

# Okabe and Ito's colours, told apart with every kind of colour vision; those that are too pale on white are darker here.
COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#b8860b", "#cc79a7", "#56b4e9", "#8c6bb1", "#767676")
_MODELS: Final = 7
_MARKS: Final = 20
_NAME: Final = 36
_WIDTH: Final = 660
_TIME: Final = {"field": "time", "type": "ordinal", "title": None, "sort": None}


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart.

    Attributes:
        name: For file names and links.
        title: For people.
        summary: What it shows, in a sentence or two.
        spec: The specification, with its data.
        head: The headers of its numbers.
        rows: Its numbers, as text.
    """

    name: str
    title: str
    summary: str
    spec: dict[str, Any]
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = field(default_factory=list)


def _spec(**parts: Any) -> dict[str, Any]:
    grey = "#767676"
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "width": _WIDTH,
        "height": 220,
        "background": None,
        "config": {
            "aria": False,
            "font": "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif",
            "view": {"stroke": None},
            "axis": {"labelColor": grey, "titleColor": grey, "gridColor": grey, "gridOpacity": 0.18, "domainColor": grey,
                     "tickColor": grey, "labelFontSize": 11, "titleFontSize": 11, "titleFontWeight": "normal"},
            "legend": {"labelColor": grey, "titleColor": grey, "labelFontSize": 11, "labelLimit": 220, "orient": "bottom",
                       "columns": 4, "symbolType": "square"},
            "title": {"color": grey, "anchor": "start", "fontSize": 13},
            "text": {"color": grey},
        },
        **parts,
    }  # fmt: skip


def _time_axis(unit: str) -> dict[str, Any]:
    first, last = {"hour": (5, 16), "day": (5, 10), "week": (0, 8), "month": (0, 7)}[unit]
    return {
        **_TIME,
        "axis": {
            "labelExpr": f"replace(slice(datum.label, {first}, {last}), 'T', ' ')", "labelAngle": 0,
            "labelOverlap": "greedy", "labelSeparation": 10, "grid": False,
        },
    }  # fmt: skip


def _named(name: str | None) -> str:
    return shorten(safe(name or "(none)"), _NAME)


def _times(overview: Overview) -> list[str]:
    return [str(row.group[overview.unit]) for row in overview.stats.breakdown if row.group[overview.unit]]


def _series(overview: Overview, *paths: str) -> list[tuple[str, list[Any]]]:
    """Return figures by time; a time at which nothing happened has zeros."""
    rows = []
    for row in overview.stats.breakdown:
        time = row.group[overview.unit]
        if time is None:
            continue
        values = []
        for path in paths:
            head, _, leaf = path.partition(".")
            value = getattr(row, head)
            values.append(getattr(value, leaf) if leaf else value)
        rows.append((time, values))
    return rows


def cost_over_time(overview: Overview) -> Chart:
    """Cost by time, stacked by model; times of which some cost is not known are marked as lower bounds."""
    of_model: dict[str, float] = defaultdict(float)
    for _, model, cost, _ in overview.costs:
        of_model[model] += cost
    dearest = sorted(of_model, key=lambda model: -of_model[model])
    shown = {model: _named(model) for model in dearest[:_MODELS]}
    data: dict[tuple[str, str], float] = defaultdict(float)
    unknown: dict[str, int] = defaultdict(int)
    total: dict[str, float] = defaultdict(float)
    for time, model, cost, unpriced in overview.costs:
        data[time, shown.get(model, "other models")] += cost
        unknown[time] += unpriced
        total[time] += cost
    spent = {name for (_, name), value in data.items() if value}
    names = [name for name in dict.fromkeys([*shown.values(), "other models"]) if name in spent]
    times = _times(overview)
    values = [
        {"time": time, "model": name, "cost": data.get((time, name), 0.0)} for time in times for name in names
    ]
    bounds = [time for time in times if unknown[time]]
    # A mark on nearly every bar says less than one sentence.
    marks = [{"time": time, "total": total[time], "mark": "≥"} for time in bounds if len(bounds) <= _MARKS]
    bars = {
        "data": {"values": values},
        "mark": {"type": "bar", "stroke": None},
        "encoding": {
            "x": _time_axis(overview.unit),
            "y": {"field": "cost", "type": "quantitative", "title": "US dollars",
                  "axis": {"labelExpr": "'$' + format(datum.value, datum.value >= 100 ? ',.0f' : '~r')"}},
            "color": {"field": "model", "type": "nominal", "title": None, "sort": names,
                      "scale": {"domain": names, "range": list(COLOURS[: len(names)])}},
            "order": {"field": "model", "sort": "ascending"},
        },
    }  # fmt: skip
    marked = {
        "data": {"values": marks},
        "mark": {"type": "text", "dy": -7, "fontSize": 12},
        "encoding": {"x": _TIME, "y": {"field": "total", "type": "quantitative"}, "text": {"field": "mark"}},
    }
    figures = overview.stats.summary
    bound = ""
    if bounds:
        where = "marked ≥, " if marks else ""
        bound = f" In {count(len(bounds))} of {count(len(times))} times, {where}some cost is not known: the bars are lower bounds."
    dear = ", ".join(
        f"{shown[model]} {money(str(of_model[model]), mark='~')}" for model in dearest[:3] if of_model[model]
    )
    summary = f"{_cost_of(figures)} in all{'; most: ' + dear if dear else ''}.{bound}"
    rows = [
        [time, *(money(str(data.get((time, name), 0.0)), mark="~") for name in names), count(unknown[time])]
        for time in times
    ]
    return Chart("cost", "Cost over time, by model", summary, _spec(layer=[bars, marked]),
                 [overview.unit, *names, "unpriced requests"], rows)  # fmt: skip


def _cost_of(figures: Any) -> str:
    from ...presentation.numbers import cost

    return cost(figures)


def requests_over_time(overview: Overview) -> Chart:
    """Requests by time, stacked by how they ended."""
    rows = _series(overview, "successful_requests", "failed_requests", "cancelled_requests")
    names = ("succeeded", "failed", "cancelled")
    values = [
        {"time": time, "outcome": name, "requests": value, "place": place}
        for time, found in rows
        for place, (name, value) in enumerate(zip(names, found, strict=True))
    ]
    spec = _spec(
        data={"values": values},
        mark={"type": "bar"},
        encoding={
            "x": _time_axis(overview.unit),
            "y": {"field": "requests", "type": "quantitative", "title": "requests", "axis": {"format": "~s", "tickMinStep": 1}},
            "color": {"field": "outcome", "title": None,
                      "scale": {"domain": list(names), "range": ["#56b4e9", "#d55e00", "#767676"]}},
            "order": {"field": "place"},
        },
    )  # fmt: skip
    figures = overview.stats.summary
    summary = (
        f"{count(figures.total_requests)} requests, {count(figures.failed_requests)} failed "
        f"({share(figures.error_rate)}), {count(figures.cancelled_requests)} cancelled."
    )
    return Chart("requests", "Requests and errors over time", summary, spec, [overview.unit, *names],
                 [[time, *map(count, found)] for time, found in rows])  # fmt: skip


def latency_heat_map(overview: Overview) -> Chart:
    """How many requests took how long, by time, with percentiles as lines."""
    values = [
        {"time": time, "from": low, "to": low * 2**0.5, "requests": number}
        for time, low, number in overview.heat
    ]
    names = ("p50", "p95", "p99")
    lines = _series(overview, *(f"latency_ms.{name}" for name in names))
    points = [
        {"time": time, "percentile": name, "ms": value}
        for time, found in lines
        for name, value in zip(names, found, strict=True)
        if value is not None
    ]
    y = {"type": "quantitative", "scale": {"type": "log", "nice": False}, "title": "latency",
         "axis": {"labelExpr": "datum.value >= 1000 ? format(datum.value / 1000, '~r') + ' s' : format(datum.value, '~r') + ' ms'",
                  "tickCount": 6}}  # fmt: skip
    spec = _spec(
        layer=[
            {
                "data": {"values": values},
                "mark": {"type": "rect"},
                "encoding": {
                    "x": _time_axis(overview.unit),
                    "y": {"field": "from", **y},
                    "y2": {"field": "to"},
                    "opacity": {"field": "requests", "type": "quantitative", "scale": {"type": "sqrt", "range": [0.12, 1]},
                                "legend": None},
                    "color": {"value": "#56b4e9"},
                },
            },
            {
                "data": {"values": points},
                "mark": {"type": "line", "strokeWidth": 2, "point": {"size": 18}},
                "encoding": {
                    "x": _TIME,
                    "y": {"field": "ms", **y},
                    "color": {"field": "percentile", "title": None,
                              "scale": {"domain": list(names), "range": ["#0072b2", "#b8860b", "#d55e00"]},
                              "legend": {"symbolType": "stroke"}},
                    "strokeDash": {"field": "percentile", "title": None,
                                   "scale": {"domain": list(names), "range": [[1, 0], [6, 3], [2, 2]]}},
                },
            },
        ],
        height=260,
    )  # fmt: skip
    spread = overview.stats.summary.latency_ms
    summary = (
        f"Median {duration(spread.p50)}, p95 {duration(spread.p95)}, p99 {duration(spread.p99)} over "
        f"{count(spread.n)} requests; darker is more requests."
    )
    return Chart("latency", "Latency", summary, spec, [overview.unit, *names],
                 [[time, *map(duration, found)] for time, found in lines])  # fmt: skip


def first_token_over_time(overview: Overview) -> Chart:
    """Time to first token by time, as percentiles."""
    names = ("p50", "p95")
    lines = _series(overview, *(f"time_to_first_token_ms.{name}" for name in names))
    values = [
        {"time": time, "percentile": name, "ms": value / 1000}
        for time, found in lines
        for name, value in zip(names, found, strict=True)
        if value is not None
    ]
    spec = _spec(
        data={"values": values},
        mark={"type": "line", "strokeWidth": 2, "point": {"size": 22}},
        encoding={
            "x": _time_axis(overview.unit),
            "y": {"field": "ms", "type": "quantitative", "title": "seconds"},
            "color": {"field": "percentile", "title": None, "legend": {"symbolType": "stroke"},
                      "scale": {"domain": list(names), "range": ["#0072b2", "#b8860b"]}},
            "strokeDash": {"field": "percentile", "title": None,
                           "scale": {"domain": list(names), "range": [[1, 0], [6, 3]]}},
        },
        height=180,
    )  # fmt: skip
    spread = overview.stats.summary.time_to_first_token_ms
    summary = f"Median {duration(spread.p50)}, p95 {duration(spread.p95)} over {count(spread.n)} requests that stream."
    return Chart("first-token", "Time to first token", summary, spec, [overview.unit, *names],
                 [[time, *map(duration, found)] for time, found in lines])  # fmt: skip


def token_histogram(overview: Overview) -> Chart:
    """How many tokens requests have, in bins that double."""
    lows = sorted({low for _, low, _ in overview.tokens})
    labels = {low: f"{count(low, compact=True)}–{count(low * 2 - 1, compact=True)}" for low in lows}  # noqa: RUF001  an en dash
    labels = {low: "1" if low == 1 else text for low, text in labels.items()}
    values = [{"bin": labels[low], "kind": kind, "requests": number} for kind, low, number in overview.tokens]
    order = [labels[low] for low in lows]
    spec = _spec(
        data={"values": values},
        mark={"type": "bar"},
        encoding={
            "x": {"field": "bin", "type": "ordinal", "sort": order, "title": "tokens", "axis": {"labelAngle": -40, "grid": False}},
            "xOffset": {"field": "kind", "sort": ["prompt", "completion"]},
            "y": {"field": "requests", "type": "quantitative", "title": "requests", "axis": {"format": "~s", "tickMinStep": 1}},
            "color": {"field": "kind", "title": None, "sort": ["prompt", "completion"],
                      "scale": {"domain": ["prompt", "completion"], "range": ["#0072b2", "#d55e00"]}},
        },
        height=180,
    )  # fmt: skip
    figures = overview.stats.summary
    known = max(figures.requests_with_usage, 1)
    summary = (
        f"On average {count(figures.prompt_tokens / known)} prompt and {count(figures.completion_tokens / known)} "
        "completion tokens per request."
    )
    number = {(kind, low): value for kind, low, value in overview.tokens}
    rows = [
        [labels[low], *(count(number.get((kind, low), 0)) for kind in ("prompt", "completion"))]
        for low in lows
    ]
    return Chart("tokens", "Tokens per request", summary, spec, ["tokens", "prompt", "completion"], rows)


def cache_over_time(overview: Overview) -> Chart:
    """Which share of prompt tokens came from a cache, by time."""
    rows = [
        (time, read / prompt if prompt else None, saved)
        for time, (read, prompt, saved) in _series(
            overview, "cache_read_tokens", "prompt_tokens", "cache_savings"
        )
    ]
    spec = _spec(
        data={"values": [{"time": time, "share": value} for time, value, _ in rows if value is not None]},
        mark={"type": "line", "strokeWidth": 2, "point": {"size": 22}, "color": "#009e73"},
        encoding={
            "x": _time_axis(overview.unit),
            "y": {
                "field": "share",
                "type": "quantitative",
                "title": "of prompt tokens",
                "axis": {"format": "%"},
            },
        },
        height=160,
    )
    figures = overview.stats.summary
    of_all = figures.cache_read_tokens / figures.prompt_tokens if figures.prompt_tokens else None
    summary = f"{share(of_all)} of prompt tokens came from a cache; {money(figures.cache_savings, mark='~')} saved by it."
    return Chart("cache", "Prompt cache", summary, spec, [overview.unit, "from cache", "saved"],
                 [[time, share(value), money(saved, mark="~")] for time, value, saved in rows])  # fmt: skip


CHARTS: Final[dict[str, Callable[[Overview], Chart]]] = {
    "cost": cost_over_time,
    "requests": requests_over_time,
    "latency": latency_heat_map,
    "first-token": first_token_over_time,
    "tokens": token_histogram,
    "cache": cache_over_time,
}


def draw_all(overview: Overview) -> list[Chart]:
    """Return the charts that have something to show."""
    figures = overview.stats.summary
    empty = {
        "cost": not overview.costs,
        "requests": not figures.total_requests and not figures.cancelled_requests,
        "latency": not figures.latency_ms.n,
        "first-token": not figures.time_to_first_token_ms.n,
        "tokens": not overview.tokens,
        "cache": not figures.cache_read_tokens,
    }
    return [make(overview) for name, make in CHARTS.items() if not empty[name]]


def picture(charts: Sequence[Chart], title: str) -> dict[str, Any]:
    """Return one specification of several charts below each other, on a white ground, for a chat or a README."""
    parts = []
    for chart in charts:
        inner = {
            key: value for key, value in chart.spec.items() if key not in {"$schema", "config", "background"}
        }
        parts.append(
            {**inner, "title": {"text": chart.title, "subtitle": chart.summary, "subtitleColor": "#767676"}}
        )
    whole = _spec(vconcat=parts, spacing=28)
    for name in ("width", "height"):
        del whole[name]
    whole["config"]["title"] = {"anchor": "start", "fontSize": 14, "color": "#222", "subtitleFontSize": 11}
    scales = {"scale": {"color": "independent", "strokeDash": "independent"}}
    return {
        **whole, "background": "white", "padding": 18, "resolve": scales,
        "title": {"text": title, "fontSize": 17, "offset": 14},
    }  # fmt: skip
