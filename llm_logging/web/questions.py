"""What a URL asks: the options of the command line as query parameters, read by the same functions."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..models.query import StatsOptions, StatsScope
from ..presentation.times import parse_duration, parse_time, zone

__all__ = [
    "DiffQuery",
    "OneQuery",
    "PageQuery",
    "Query",
    "RequestsQuery",
    "ScopedStatsQuery",
    "SearchQuery",
    "StatsQuery",
    "scope_of",
]


def scope_of(project: str | None, chat: str | None) -> StatsScope:
    """Return the scope of a project and a chat; a chat alone is refused."""
    kind = "global" if project is None and chat is None else "project" if chat is None else "chat"
    return StatsScope(type=kind, project_id=project, chat_id=chat)


class Query(BaseModel):
    """The parameters that every question takes."""

    model_config = ConfigDict(extra="forbid")

    since: str | None = Field(
        default=None,
        description="From this time on: 2h, 7d, today, 2026-01-15, 2026-W03, 2026-01, 2026-01-15T10:30Z.",
    )
    until: str | None = Field(
        default=None, description="Up to this time; a day, week or month includes itself."
    )
    tz: str = Field(default="UTC", description="Whose days they are: an IANA name.")
    where: list[str] = Field(
        default_factory=list, description="Filters, e.g. status=error; all must hold.", max_length=50
    )
    camel: bool = Field(default=False, description="Names in camelCase.")

    def options(self, now: datetime, **changes: Any) -> StatsOptions:
        """Return the question's options.

        Args:
            now: What `7d` counts from.
            **changes: Fields of `StatsOptions` beside period, zone and filters.
        """
        time_zone = zone(self.tz, option="tz")
        moments = {
            name: parse_time(text, edge=edge, now=now, tz=time_zone, option=option)  # type: ignore[arg-type]  # one of two words
            for name, option, text, edge in (
                ("from_date", "since", self.since, "start"),
                ("to_date", "until", self.until, "end"),
            )
            if text
        }
        given = {"time_zone": str(getattr(time_zone, "key", "UTC")), "where": tuple(self.where)}
        return StatsOptions(**{**moments, **given, **changes})


class StatsQuery(Query):
    """The parameters of figures."""

    by: str | None = Field(default=None, description="Groups, with commas: day, model, attributes.tenant ...")
    fill_gaps: bool = Field(default=False, description="Also times at which nothing happened.")
    orphaned_after: str | None = Field(
        default=None, description="A request pending for longer is orphaned: 15m, 2h."
    )
    as_if: list[str] = Field(
        default_factory=list, description="Price a model as another: gpt-4o=gpt-4o-mini.", max_length=50
    )
    prices_as_of: str | None = Field(default=None, description="Price all by the list of this time.")

    def options(self, now: datetime, **changes: Any) -> StatsOptions:
        """Return the question's options."""
        given: dict[str, Any] = {
            "group_by": self.by,
            "fill_gaps": self.fill_gaps,
            "as_if": tuple(self.as_if),
        }
        if self.orphaned_after:
            given["orphaned_after"] = parse_duration(self.orphaned_after, option="orphaned_after")
        if self.prices_as_of:
            given["prices_as_of"] = parse_time(
                self.prices_as_of, edge="start", now=now, tz=zone(self.tz, option="tz"), option="prices_as_of"
            )
        return super().options(now, **{**given, **changes})


class DiffQuery(BaseModel):
    """The parameters of a comparison."""

    model_config = ConfigDict(extra="forbid")

    before: str | None = Field(default=None, description="A period, or a duration such as 7d.")
    after: str | None = Field(default=None, description="The period to compare with.")
    tz: str = "UTC"
    where: list[str] = Field(default_factory=list, max_length=50)
    by: str | None = None
    project: str | None = None
    chat: str | None = None
    camel: bool = False


class _Scoped(BaseModel):
    project: str | None = Field(default=None, description="Only this project.")
    chat: str | None = Field(default=None, description="Only this chat; needs project.")


class ScopedStatsQuery(StatsQuery, _Scoped):
    """The parameters of figures, with their scope."""


class OneQuery(BaseModel):
    """The parameters of one request."""

    model_config = ConfigDict(extra="forbid")

    project: str | None = Field(default=None, description="Look in this project only.")


class PageQuery(Query, _Scoped):
    """The parameters of a list that comes in pages."""

    limit: int = Field(default=50, ge=1, le=1000, description="At most so many.")
    cursor: str | None = Field(default=None, description="Of the page before.")


class RequestsQuery(PageQuery):
    """The parameters of a list of requests."""

    sort: Literal["start", "cost", "latency", "tokens"] = Field(
        default="start", description="The largest first."
    )


class SearchQuery(PageQuery):
    """The parameters of a search."""

    text: str = Field(min_length=1, max_length=1000, description="Found in any value, in any case.")
    kind: Literal["requests", "chats", "events", "all"] = "all"
