"""Own rates: a TOML file that takes precedence over the price list.

    [[rates]]
    provider = "openai"            # optional; a pattern with * and ?
    model = "gpt-4o*"
    from = 2026-01-01              # optional: first day, UTC
    until = 2026-07-01             # optional: first day that no longer counts
    service_tier = "flex"          # optional
    speed = "fast"                 # optional
    input = "2.50"                 # dollars per million tokens, at most 1,000,000; a text or a number
    output = "10"
    cache_read = "1.25"            # a rate that is absent equals `input` or `output`
    cache_write = "3.125"
    cache_write_1h = "5"
    audio_input = "40"
    audio_output = "80"
    image_input = "5"
    image_output = "30"
    reasoning = "10"
    request = "0.01"               # dollars per request, in addition to its tokens
    units = { web_searches = "0.01", audio_seconds = "0.0001" }    # dollars each, by name in `usage.units`
    tiers = [{ over = 200_000, input = "5", output = "15" }]   # for all tokens when the prompt is longer

If several entries match a request, the last one counts.
"""

from __future__ import annotations

import fnmatch
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

from ...errors import ConfigurationError

__all__ = ["ENV_PRICES", "Override", "find_overrides", "read_overrides"]

ENV_PRICES: Final = "LLM_LOGGING_PRICES"
RATES: Final = (
    "input", "output", "cache_read", "cache_write", "cache_write_1h", "audio_input", "audio_output", "image_input",
    "image_output", "reasoning", "request",
)  # fmt: skip
# A dollar a token. Costs are whole numbers of a small unit, of 38 digits, and those of tokens may have 16.
_DEAREST: Final = 1_000_000
_DIGITS: Final = 20
_MATCHING: Final = ("provider", "model", "from", "until", "service_tier", "speed", "tiers", "units")


@dataclass(frozen=True, slots=True)
class Override:
    """One entry of the file.

    Attributes:
        provider: A pattern; None fits every provider, also an unknown one.
        model: A pattern.
        since: Aware UTC; None: since ever.
        until: Aware UTC, no longer included; None: for ever.
        service_tier: None fits every tier.
        speed: None fits every speed.
        steps: Rates by the number of prompt tokens over which they hold, the first over -1.
    """

    provider: str | None
    model: str
    since: datetime | None
    until: datetime | None
    service_tier: str | None
    speed: str | None
    steps: tuple[tuple[int, Mapping[str, Decimal]], ...] = field(hash=False)

    def fits(self, provider: str, model: str, service_tier: str, speed: str) -> bool:
        """Say whether the entry is about requests of this kind, at some time."""
        return (
            (self.provider is None or fnmatch.fnmatchcase(provider.lower(), self.provider.lower()))
            and fnmatch.fnmatchcase(model.lower(), self.model.lower())
            and (self.service_tier is None or self.service_tier.lower() == service_tier.lower())
            and (self.speed is None or self.speed.lower() == speed.lower())
        )

    def active(self, moment: datetime) -> bool:
        """Say whether the entry counts at a moment."""
        return (self.since is None or moment >= self.since) and (self.until is None or moment < self.until)

    def rates(self, prompt_tokens: int) -> Mapping[str, Decimal]:
        """Return the dollars a million tokens, by kind, of a prompt this long, and those of `units.<name>` each."""
        return next(rates for over, rates in reversed(self.steps) if prompt_tokens > over)


def find_overrides(given: str | os.PathLike[str] | None) -> Path | None:
    """Return the file of the user's rates.

    Args:
        given: The file; None takes the environment variable `LLM_LOGGING_PRICES`, then `llm_logging/prices.toml` in
            the user's configuration folder where that exists.
    """
    chosen = given if given is not None else os.environ.get(ENV_PRICES)
    if chosen:
        return Path(chosen)
    folder = os.environ.get("XDG_CONFIG_HOME") or str(Path("~/.config").expanduser())
    usual = Path(folder) / "llm_logging" / "prices.toml"
    return usual if usual.is_file() else None


def read_overrides(path: Path) -> list[Override]:
    """Read the file; see the module.

    Raises:
        ConfigurationError: It cannot be read, or an entry is not as it should be; the message names which and how.
    """
    try:
        content = tomllib.loads(path.read_text("utf-8"), parse_float=Decimal)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path}: expected a TOML file of rates, got {error}") from None
    entries = content.get("rates")
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise ConfigurationError(f"{path}: expected [[rates]] entries, got {sorted(content)}")
    read = [_entry(entry, f"{path}: rates[{number}]") for number, entry in enumerate(entries)]
    rates = [rate for one in read for _, step in one.steps for rate in step.values()]
    finest = min((rate.normalize() for rate in rates), key=_exponent, default=Decimal(0))
    if max(rates, default=Decimal(0)).adjusted() - _exponent(finest) >= _DIGITS:
        raise ConfigurationError(
            f"{path}: expected rates of {_DIGITS} digits at most, from the first of the dearest, {max(rates)}, to the "
            f"last of the finest, {finest:f}"
        )
    return read


def _exponent(rate: Decimal) -> int:
    exponent = rate.as_tuple().exponent
    assert isinstance(exponent, int)
    return exponent


def _entry(entry: Mapping[str, Any], where: str) -> Override:
    unknown = sorted(entry.keys() - {*RATES, *_MATCHING})
    if unknown:
        raise ConfigurationError(
            f"{where}: expected keys of {', '.join((*_MATCHING, *RATES))}, got {unknown}"
        )
    if not isinstance(entry.get("model"), str) or not entry["model"]:
        raise ConfigurationError(f"{where}.model: expected a model's name, got {entry.get('model')!r}")
    for name in ("provider", "service_tier", "speed"):
        if not isinstance(entry.get(name, ""), str):
            raise ConfigurationError(f"{where}.{name}: expected text, got {entry[name]!r}")
    units = entry.get("units", {})
    if not isinstance(units, Mapping):
        raise ConfigurationError(f"{where}.units: expected a table of units and dollars each, got {units!r}")
    first = _rates(entry, where) | {
        f"units.{name}": _rate(rate, f"{where}.units.{name}") for name, rate in units.items()
    }
    if "input" not in first or "output" not in first:
        raise ConfigurationError(f"{where}: expected input and output, got {sorted(first)}")
    steps: list[tuple[int, Mapping[str, Decimal]]] = [(-1, first)]
    tiers = entry.get("tiers", [])
    if not isinstance(tiers, list) or not all(isinstance(tier, Mapping) for tier in tiers):
        raise ConfigurationError(f"{where}.tiers: expected a list of tables, got {tiers!r}")
    for number, tier in enumerate(tiers):
        over = tier.get("over")
        place = f"{where}.tiers[{number}]"
        if type(over) is not int or over <= steps[-1][0]:
            raise ConfigurationError(f"{place}.over: expected more tokens than the tier before, got {over!r}")
        steps.append((over, {**first, **_rates({k: v for k, v in tier.items() if k != "over"}, place)}))
    since, until = _day(entry.get("from"), f"{where}.from"), _day(entry.get("until"), f"{where}.until")
    if since is not None and until is not None and since >= until:
        raise ConfigurationError(
            f"{where}.until: expected a day after {entry['from']}, from which it holds, got {entry['until']}"
        )
    return Override(
        provider=entry.get("provider"),
        model=entry["model"],
        since=since,
        until=until,
        service_tier=entry.get("service_tier"),
        speed=entry.get("speed"),
        steps=tuple(steps),
    )


def _rates(entry: Mapping[str, Any], where: str) -> dict[str, Decimal]:
    found = {}
    for name, value in entry.items():
        if name in _MATCHING:
            continue
        found[name] = _rate(value if name in RATES else None, f"{where}.{name}")
    return found


def _rate(value: Any, where: str) -> Decimal:
    try:
        rate = Decimal(value) if not isinstance(value, bool) else Decimal("nan")
    except (InvalidOperation, TypeError, ValueError):
        rate = Decimal("nan")
    exponent = rate.as_tuple().exponent
    if not (isinstance(exponent, int) and 0 <= rate <= _DEAREST and exponent >= -18):
        raise ConfigurationError(
            f"{where}: expected 0 to {_DEAREST:,} dollars with at most 18 decimals, got {value!r}"
        )
    return rate


def _day(value: Any, where: str) -> datetime | None:
    if value is None:
        return None
    day = value
    if isinstance(value, str):
        try:
            day = datetime.fromisoformat(value)
        except ValueError:
            day = None
    try:
        if isinstance(day, datetime):
            return day.replace(tzinfo=UTC) if day.tzinfo is None else day.astimezone(UTC)
        if isinstance(day, date):
            return datetime(day.year, day.month, day.day, tzinfo=UTC)
    except OverflowError:
        # In UTC it is before the year 1 or after 9999.
        pass
    raise ConfigurationError(f"{where}: expected a date such as 2026-01-01, got {value!r}")
