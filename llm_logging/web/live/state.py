"""What a page of the live view shows, as its URL says it: period, project, model, filters and groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

from ...models.query import StatsOptions, StatsScope
from ..questions import ScopedStatsQuery, scope_of

__all__ = ["PERIODS", "State", "read_state"]

PERIODS: Final = {
    "1h": "last hour",
    "24h": "last 24 hours",
    "7d": "last 7 days",
    "30d": "last 30 days",
    "": "all time",
}
_LONGEST: Final = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One question.

    Attributes:
        since: As in `--since`; empty: from the beginning.
        until: As in `--until`; empty: to the end.
        tz: As in `--tz`.
        project: Only this project; empty: all.
        model: Only this model; empty: all.
        where: Further filters, one of `--where` a line.
        by: As in `--by`.
    """

    since: str = ""
    until: str = ""
    tz: str = "UTC"
    project: str = ""
    model: str = ""
    where: tuple[str, ...] = ()
    by: str = "model"

    def scope(self) -> StatsScope:
        """Return whose requests are shown."""
        return scope_of(self.project or None, None)

    def options(self, now: datetime, **changes: Any) -> StatsOptions:
        """Return period and filters; relative times are cut to the minute, so that the same page has the same question."""
        query = ScopedStatsQuery(
            since=self.since or None, until=self.until or None, tz=self.tz, where=list(self.where)
        )
        options = query.options(now.replace(second=0, microsecond=0))
        where = [*options.where, *([("model", self.model)] if self.model else [])]
        return StatsOptions(**{**dict(options), "where": where, **changes})

    def query(self, **changes: Any) -> str:
        """Return the URL's query of this question with some parts changed."""
        own: dict[str, Any] = {
            name: changes.pop(name) for name in list(changes) if name in State.__dataclass_fields__
        }
        if isinstance(own.get("where"), str):
            own["where"] = (own["where"],)
        state = replace(self, **own)
        pairs = [
            (name, getattr(state, name))
            for name in ("since", "until", "tz", "project", "model", "by")
            if getattr(state, name) != getattr(State(), name)
        ]
        pairs += [("where", text) for text in state.where]
        pairs += [(name, str(value)) for name, value in changes.items() if value is not None]
        return urlencode(pairs, errors="surrogatepass")


def read_state(params: Any) -> State:
    """Read a question from the parameters of a URL; what is not said has its default."""
    known: Mapping[str, str] = {
        name: params.get(name, "")[:_LONGEST] for name in ("since", "until", "project", "model")
    }
    where = tuple(text[:_LONGEST] for text in params.getlist("where") if text.strip())[:20]
    return State(**known, tz=params.get("tz") or "UTC", by=params.get("by", "model")[:_LONGEST], where=where)
