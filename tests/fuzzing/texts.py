"""Cases for whatever else reads text that people type: times, zones, scopes, cursors, files of rates, paths, templates."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC
from pathlib import Path
from typing import Any

from llm_logging import StatsOptions, StatsScope
from llm_logging.cli.viewer.pretty import PrettyOptions, Printer
from llm_logging.errors import LLMLoggingError
from llm_logging.files.layout import Layout, LogKind
from llm_logging.presentation import times
from llm_logging.reader.pricing.overrides import read_overrides
from llm_logging.reader.retrieval.paging import decode_cursor, encode_cursor
from llm_logging.reader.sql.period import buckets_between, resolve_period
from llm_logging.reader.stats import get_stats
from llm_logging.redaction.paths import compile_paths
from llm_logging.redaction.redactor import Redactor
from tests.fuzzing.damage import spoilt
from tests.fuzzing.logs import acts, asked, hold
from tests.fuzzing.questions import INJECTED, Known
from tests.fuzzing.roots import NOW

_MOMENTS = (
    "2026-01-15", "2026-01", "2026", "2026-W03", "2026-W07", "2020-W53", "2026-W53", "7d", "30s", "999999999w", "2026-01-15T10:30:00Z",
    "2026-01-15T10:30:00+02:00", "2026-03-29T02:30", "0001-01-01", "9999-12-31", "9999", "0001", "0001-W01", "9999-W52", "now",
    "today", "yesterday", "1h30m", "@1768473000", "@1e9", "@99999999999999", "-1d", "1.5h", "64KB", "2G", "2026-01-15T23:59:60Z",
    "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "9999-12-01", "9999-12",
)  # fmt: skip
_ZONES = (
    "UTC", "Europe/Berlin", "America/Santiago", "Pacific/Kiritimati", "local", "Z", "../../etc/passwd", "/etc/passwd", "posixrules",
    "Europe", "", " ", "utc ", "Etc/GMT+12", "a" * 300, "\x00", "tzdata.zi", "\ud800",
)  # fmt: skip
_PATHS = (
    "a.b", "a[*].b", "*.password", 'headers["x-api-key"]', '["a-b"].c', "a[0]", "*", "a.*.b", "[*][*]", "a['b']", "a[`b`]", '["\\u0041"]',
)  # fmt: skip
_RATES = b"""[[rates]]
provider = "openai"
model = "gpt-4o*"
from = 2026-01-01
until = 2026-07-01
input = "2.50"
output = "10"
cache_read = 1.25
tiers = [{ over = 200_000, input = "5", output = "15" }]

[[rates]]
model = "mystery-1"
service_tier = "flex"
input = 1
output = 2
request = "0.01"
"""
_TEMPLATES = (
    "{level} {msg}", "{if a}x{end}", "{if }", "{end}{end}", "{{}}", "{a.b.c}", "{" * 50, "{if a}" * 50, "%s{0}", "{x!r:>10}", "{__class__}",
)  # fmt: skip
_LINE = b'{"v":1,"timestamp":"2026-01-15T10:30:00Z","level":"INFO","message":"m","a":{"b":[1,{"c":"\\u001b[2J"}]}}'


def _typed(chance: random.Random, choices: tuple[str, ...]) -> str:
    """Return something that a person may have typed: a right text, a spoilt one, or another field's."""
    text = chance.choice(choices)
    if chance.random() < 0.5:
        text = spoilt(chance, text.encode("utf-8", "surrogatepass")).decode("utf-8", "replace")[:4000]
    return text if chance.random() < 0.9 else chance.choice(INJECTED)


def _refused(function: Callable[[], Any], *more: type[Exception]) -> Any:
    try:
        return function()
    except (LLMLoggingError, *more):
        return None


def _periods(chance: random.Random) -> None:
    first, last, zone = (_typed(chance, names) for names in (_MOMENTS, _MOMENTS, _ZONES))
    options = _refused(lambda: StatsOptions(from_date=first, to_date=last, time_zone=zone))
    if options is None:
        return
    period = _refused(lambda: resolve_period(options, NOW))
    if period is not None and period.start is not None and period.end is not None:
        hold(period.start <= period.end, "a period ends after it starts", first, last, zone)


def _times(chance: random.Random) -> None:
    text = _typed(chance, _MOMENTS)
    zone = _refused(lambda: times.zone(_typed(chance, _ZONES)))
    _refused(lambda: times.parse_duration(text))
    size = _refused(lambda: times.parse_size(text))
    hold(size is None or size >= 0, "a size is a number of bytes", text, size)
    for edge in ("start", "end"):
        _refused(lambda edge=edge: times.parse_time(text, edge=edge, now=NOW, tz=zone or UTC))  # type: ignore[misc]
    _refused(lambda: times.period_before(text))


def _scopes(chance: random.Random, folder: Path) -> None:
    name = _typed(
        chance, ("shop", "..", ".", "a/b", "CON", "a" * 300, "\x00", "é", "e\u0301", ".hidden", "~", "*")
    )
    scope = _refused(
        lambda: StatsScope(
            type=chance.choice(("project", "chat", "global", name)), project_id=name, chat_id=name
        )
    )
    layout = Layout(folder)
    for kind in (LogKind.REQUESTS, LogKind.CHAT) if name else ():
        ids = (name, name) if kind is LogKind.CHAT else (name,)
        path = _refused(lambda ids=ids, kind=kind: layout.path(kind, *ids))  # type: ignore[misc]
        if path is not None:
            hold(
                path.resolve().is_relative_to(folder.resolve()) and ".." not in path.parts,
                "an id stays inside",
                name,
            )
            hold(
                all(len(part.encode("utf-8", "surrogatepass")) <= 255 for part in path.parts),
                "a name is short",
                name,
            )
    if scope is not None:
        asked(lambda: get_stats(scope, root=folder, cache=False, now=NOW))


def _cursors(chance: random.Random) -> None:
    right = encode_cursor("requests", (1768473000000000, "8d3f5f60-1111-4222-8333-123456789abc"))
    text = (
        spoilt(chance, right.encode()).decode("latin-1")
        if chance.random() < 0.8
        else _typed(chance, (right,))
    )
    _refused(lambda: decode_cursor(chance.choice(("requests", "search", "events")), text))


def _rates(chance: random.Random, folder: Path, known: Known) -> None:
    path = folder / "rates.toml"
    path.write_bytes(spoilt(chance, _RATES))
    try:
        rates = _refused(lambda: read_overrides(path))
        if rates is not None and chance.random() < 0.1:
            stats = asked(lambda: get_stats(files=known.path, prices=path, cache=False, now=NOW))
            hold(
                stats is None or float(stats.summary.estimated_cost or 0) >= 0,
                "no cost is negative",
                path.read_bytes(),
            )
    finally:
        path.unlink()


def _redaction(chance: random.Random) -> None:
    path = _typed(chance, _PATHS)
    tree = _refused(lambda: compile_paths([path]))
    if tree is not None:
        redactor = Redactor(paths=[path], keys=None)
        value = {"a": {"b": [1, {"c": "x"}], "A": 1}, "headers": {"x-api-key": "k"}, "password": "p"}
        before = repr(value)
        redactor.redact(value)
        hold(repr(value) == before, "redaction changes no object of the caller's", path)
    _refused(lambda: Redactor(keys=[path], patterns=[path]))


def _templates(chance: random.Random) -> None:
    template = _typed(chance, _TEMPLATES)
    printer = Printer(PrettyOptions(template=template.encode("ascii", "ignore").decode()))
    shown = printer.line(spoilt(chance, _LINE) if chance.random() < 0.7 else _LINE)
    if acts(template) is None:
        hold(shown is None or acts(shown) is None, "nothing acts on a terminal", template, shown)


def _buckets(chance: random.Random) -> None:
    zone = _refused(lambda: StatsOptions(time_zone=chance.choice(_ZONES)))
    options = _refused(
        lambda: StatsOptions(from_date=chance.choice(_MOMENTS), to_date=chance.choice(_MOMENTS))
    )
    if zone is None or options is None:
        return
    period = _refused(lambda: resolve_period(options, NOW))
    if (
        period is None
        or period.start is None
        or period.end is None
        or (period.end - period.start).days > 4000
    ):
        return
    from zoneinfo import ZoneInfo

    for unit in ("day", "week", "month"):
        found = list(buckets_between(unit, period.start, period.end, ZoneInfo(zone.time_zone)))
        hold(found == sorted(set(found)), "buckets rise", period, unit)


def case(chance: random.Random, folder: Path, known: Known) -> str:
    """Type into everything that reads text.

    Args:
        chance: Decides everything.
        folder: Empty; stays so.
        known: What rates are asked of.

    Returns:
        What was done, for a report.
    """
    for _ in range(30):
        _periods(chance)
        _times(chance)
        _scopes(chance, folder / "none")
        _cursors(chance)
        _rates(chance, folder, known)
        _redaction(chance)
        _templates(chance)
        _buckets(chance)
    hold(not list(folder.iterdir()), "no text makes a file", list(folder.iterdir()))
    return "texts"
