"""What failed, by error code: how often, when last, and one of the messages."""

# ruff: noqa: S608  names come from our own columns

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any, Final, Unpack

from pydantic import BaseModel, Field

from ...models.fields import UTCTime
from ...models.query import StatsOptions, StatsScope
from ...models.stats import Period, Stats
from ..answer.plan import Reading, make_plan
from ..answer.session import Session, open_session
from ..entries import read_entries
from ..lines.arguments import ReadingOptions, check_keywords
from ..sql.selection import CANCELLED_OUTCOME, FAILURE
from ..stats import get_stats

__all__ = ["ErrorReport", "ErrorRow", "error_report_of", "get_errors"]

# Messages are read from the lines of one request per code; of more codes only the most frequent have one.
_MOST_MESSAGES: Final = 20


class ErrorRow(BaseModel):
    """One error code of one group.

    Attributes:
        group: What it is grouped by.
        requests: How many requests ended with the code.
        total_requests: How many finished requests the group has.
        last_request: When the newest of them, of any group, started.
        request_id: The id of that one.
        message: Its message, where it has one.
    """

    group: dict[str, str | None] = Field(default_factory=dict)
    error_code: str
    requests: int
    total_requests: int
    cancelled_requests: int
    last_request: UTCTime | None = None
    request_id: str | None = None
    message: str | None = None


class ErrorReport(BaseModel):
    """The answer to `get_errors`: totals, and a row for each code and group, the most frequent first."""

    scope: StatsScope = Field(default_factory=StatsScope)
    period: Period = Field(default_factory=Period)
    total_requests: int = 0
    failed_requests: int = 0
    cancelled_requests: int = 0
    error_rate: float = 0.0
    error_codes: dict[str, int] = Field(default_factory=dict)
    http_statuses: dict[str, int] = Field(default_factory=dict)
    group_by: list[str] = Field(default_factory=list)
    breakdown: list[ErrorRow] = Field(default_factory=list)


def get_errors(
    scope: StatsScope | Mapping[str, Any] | None = None,
    options: StatsOptions | Mapping[str, Any] | None = None,
    *,
    messages: bool = True,
    **reading: Unpack[ReadingOptions],
) -> ErrorReport:
    """Count failed and cancelled requests by error code, with the last time and one message of each.

    Args:
        scope: Whose; None: all.
        options: Period, groups and filters.
        messages: Whether to find the newest request of each code; else `last_request`, `request_id` and `message` are None.
        **reading: `root`, `files` and the other keywords of `get_stats`.

    Raises:
        What `get_stats` raises.
    """
    check_keywords("get_errors", reading)
    report = error_report_of(get_stats(scope, options, **reading))
    if messages and report.error_codes and not hasattr(reading.get("files"), "read"):
        _add_newest(report, StatsScope.of(scope, "scope"), StatsOptions.of(options, "options"), reading)
    return report


def error_report_of(stats: Stats) -> ErrorReport:
    """Return the errors that an answer counts, without times and messages."""
    summary = stats.summary
    groups: list[tuple[dict[str, str | None], Any]] = [(row.group, row) for row in stats.breakdown]
    rows = [
        ErrorRow(
            group=group, error_code=code, requests=number, total_requests=figures.total_requests,
            cancelled_requests=figures.cancelled_requests,
        )
        for group, figures in (groups if stats.group_by else [({}, summary)])
        for code, number in figures.error_codes.items()
    ]  # fmt: skip
    named = (
        "total_requests",
        "failed_requests",
        "cancelled_requests",
        "error_rate",
        "error_codes",
        "http_statuses",
    )
    return ErrorReport(
        scope=stats.scope,
        period=stats.period,
        group_by=stats.group_by,
        breakdown=sorted(rows, key=lambda row: (-row.requests, row.error_code)),
        **{name: getattr(summary, name) for name in named},
    )


def _add_newest(
    report: ErrorReport, scope: StatsScope, options: StatsOptions, reading: ReadingOptions
) -> None:
    given = options.model_copy(update={"group_by": (), "fill_gaps": False})
    with ExitStack() as stack:
        plan = make_plan(scope, given, Reading(**reading), lines=True)
        made = open_session(plan, stack)
        newest = _newest(made)
        entries = read_entries(made, [(row[1], row[2], 0) for row in newest.values()], stack, content=False)
        messages = {entry.id: getattr(entry.error, "message", None) for entry in entries}
        for row in report.breakdown:
            key, started = newest.get(row.error_code, (None, None, None))[1:]
            row.last_request = started.replace(tzinfo=UTC) if started is not None else None
            row.request_id = str(key) if key is not None else None
            row.message = messages.get(str(key))


def _newest(made: Session) -> dict[str, tuple[str, uuid.UUID, datetime | None]]:
    rows: Sequence[Any] = made.db.execute(
        "SELECT error_kind, arg_max(key, coalesce(started, TIMESTAMP '0001-01-01')), max(started) FROM asked "
        f"WHERE outcome IN ({FAILURE}, {CANCELLED_OUTCOME}) GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT {_MOST_MESSAGES}"
    ).fetchall()
    return {row[0]: row for row in rows}
