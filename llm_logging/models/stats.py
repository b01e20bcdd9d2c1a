"""What an answer holds: the question (see `query.py`), the figures, and how far they can be trusted.

Units: durations are milliseconds, money is decimal text in one named currency, times are aware UTC, shares lie
between 0 and 1. None is unknown, 0 is none. Every model reads snake_case and camelCase names alike and writes the
latter with `by_alias=True`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from .fields import UTCTime
from .query import TIME_UNITS, StatsOptions, StatsScope

__all__ = [
    "TIME_UNITS",
    "Change",
    "ChatMetrics",
    "Comparison",
    "ComparisonRow",
    "Figures",
    "GlobalMetrics",
    "Percentiles",
    "Period",
    "PriceReport",
    "PriceUse",
    "ProjectMetrics",
    "Quality",
    "RunningTotals",
    "SequenceGap",
    "Stats",
    "StatsOptions",
    "StatsRow",
    "StatsScope",
    "figures_json",
]


class _Model(BaseModel):
    model_config = ConfigDict(
        defer_build=True,
        alias_generator=to_camel,
        populate_by_name=True,
        protected_namespaces=(),
        ser_json_inf_nan="null",
    )


class Percentiles(_Model):
    """How a measure is spread: linear interpolation between the two nearest values, as numpy does.

    Attributes:
        n: How many requests have the measure; the others are None when it is 0.
    """

    n: int = 0
    mean: float | None = None
    min: float | None = None
    max: float | None = None
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None


class Figures(_Model):
    """The figures of one group of requests.

    `total_requests = successful_requests + failed_requests`; pending and cancelled ones stand beside them. Tokens and
    money are those of all of them: what was spent on a cancelled request was spent. Latency is that of
    `total_requests`.

    Attributes:
        running_requests: Pending ones younger than the stated age.
        orphaned_requests: Pending ones older than that: their process is likely gone.
        total_calls: Calls (`request_group`, else the request itself), each counted where its last finished attempt is.
        failed_calls: Those whose last finished attempt failed.
        retried_requests: Attempts after the first.
        retry_share: `retried_requests / total_requests`, 0 where there are none.
        error_rate: `failed_requests / total_requests`, 0 where there are none.
        error_codes: How many requests failed with which `error.code` (else `error.type`, else `timeout` or
            `unknown`); cancelled ones under `cancelled`.
        http_statuses: How many requests ended with which HTTP status, where one is known.
        requests_with_usage: How many requests the tokens come from.
        currency: Of the costs below. Amounts that a provider reported in others are in `other_costs`.
        reported_cost: What providers reported; None when nobody did.
        estimated_cost: List prices of those that no provider reported, as far as they are known; None when none is.
        total_cost: Both; None when neither is known. A lower bound where `unpriced_requests` is not 0.
        cache_savings: What the cached tokens would have cost more as ordinary prompt tokens, less what writing the
            cache cost more; of list-priced requests.
        reported_requests: How many requests `reported_cost` comes from.
        priced_requests: How many requests have a list price for all that they used.
        unpriced_requests: Requests whose cost is not known, or only in part: no token counts, partial ones, no price of
            the model, its tier, speed or one of its units. Pending requests are not among them, nor are those that a
            provider refused (HTTP 429, 400, 503 ...) or that never reached it: they cost nothing.
    """

    total_requests: int = 0
    successful_requests: int = 0
    failed_requests: int = 0
    pending_requests: int = 0
    running_requests: int = 0
    orphaned_requests: int = 0
    cancelled_requests: int = 0
    total_calls: int = 0
    failed_calls: int = 0
    retried_requests: int = 0
    retry_share: float = 0.0
    error_rate: float = 0.0
    error_codes: dict[str, int] = Field(default_factory=dict)
    http_statuses: dict[str, int] = Field(default_factory=dict)

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = Field(default=0, alias="cacheWrite1hTokens")
    reasoning_tokens: int = 0
    audio_prompt_tokens: int = 0
    audio_completion_tokens: int = 0
    image_prompt_tokens: int = 0
    image_completion_tokens: int = 0

    requests_with_usage: int = 0
    requests_without_usage: int = 0
    estimated_usage_requests: int = 0
    partial_usage_requests: int = 0

    average_latency_ms: float = 0.0
    latency_ms: Percentiles = Field(default_factory=Percentiles)
    success_latency_ms: Percentiles = Field(default_factory=Percentiles)
    failure_latency_ms: Percentiles = Field(default_factory=Percentiles)
    time_to_first_token_ms: Percentiles = Field(default_factory=Percentiles)
    tokens_per_second: Percentiles = Field(default_factory=Percentiles)

    currency: str = "USD"
    reported_cost: str | None = None
    estimated_cost: str | None = "0"
    total_cost: str | None = "0"
    cache_savings: str | None = "0"
    other_costs: dict[str, str] = Field(default_factory=dict)
    reported_requests: int = 0
    priced_requests: int = 0
    unpriced_requests: int = 0

    first_request: UTCTime | None = None
    last_request: UTCTime | None = None


class RunningTotals(_Model):
    """The running totals of one process: those of `Figures` that it counts, under the same names.

    What needs the files is not here, so that no 0 stands for something nobody counted: calls, percentiles, list prices,
    orphaned requests, times.

    Attributes:
        pending_requests: Started and not final yet; of those started longest ago some may be forgotten.
        running_requests: The same, for this process is alive.
        retried_requests: Those whose `attempt` is above 1.
        reported_cost: What providers reported; None when nobody did.
        reported_requests: How many requests `reported_cost` comes from.
        other_costs: What they reported in currencies other than `currency`.
    """

    total_requests: int = 0
    successful_requests: int = 0
    failed_requests: int = 0
    pending_requests: int = 0
    running_requests: int = 0
    cancelled_requests: int = 0
    retried_requests: int = 0
    retry_share: float = 0.0
    error_rate: float = 0.0

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = Field(default=0, alias="cacheWrite1hTokens")
    reasoning_tokens: int = 0
    audio_prompt_tokens: int = 0
    audio_completion_tokens: int = 0
    image_prompt_tokens: int = 0
    image_completion_tokens: int = 0

    requests_with_usage: int = 0
    requests_without_usage: int = 0

    average_latency_ms: float = 0.0

    currency: str = "USD"
    reported_cost: str | None = None
    other_costs: dict[str, str] = Field(default_factory=dict)
    reported_requests: int = 0


class StatsRow(Figures):
    """The figures of one group; `group` says which, `{"day": "2026-01-15", "model": "gpt-4o"}`."""

    group: dict[str, str | None] = Field(default_factory=dict)


class Period(_Model):
    """Which time an answer covers.

    Attributes:
        from_date: As asked for, in `time_zone`; None: from the beginning.
        to_date: As asked for; None: to the end.
        time_zone: Whose days they are.
        start: The first moment that counted.
        end: The first moment that no longer counted.
    """

    from_date: str | None = Field(default=None, alias="from")
    to_date: str | None = Field(default=None, alias="to")
    time_zone: str = "UTC"
    start: UTCTime | None = None
    end: UTCTime | None = None

    @model_validator(mode="before")
    @classmethod
    def _both_camel_forms(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            longer = {"fromDate": "from", "toDate": "to"}
            return {longer.get(key, key): value for key, value in data.items()}
        return data


class SequenceGap(_Model):
    """Lines that a writer gave a number and that are not there.

    Attributes:
        log: The log, relative to the root; a file's path where files were named.
        writer: The writer's id.
        first: The first number that is missing.
        last: The last one.
        reason: `missing`, or `torn` where a line that cannot be read lies at that place.
    """

    log: str
    writer: str
    first: int
    last: int
    reason: str = "missing"

    @property
    def lines(self) -> int:
        """How many lines are missing."""
        return self.last - self.first + 1


class HostFreshness(_Model):
    """What is known of a host that ships its logs to object storage.

    Attributes:
        host: Its id, random and kept in its root.
        name: The name of the machine.
        reported: When it reported last.
        fresh_until: Everything that it logged before is in the store.
        waiting_lines: Lines of the logs in question that it has not shipped yet.
    """

    host: str
    name: str = ""
    reported: str
    fresh_until: str
    waiting_lines: int = 0


class Quality(_Model):
    """What an answer had to leave out, and how sure it is.

    Attributes:
        complete: True when nothing that was logged is known to be missing: no line skipped as broken, no gap.
        lines: All lines that were read.
        skipped_lines: Those that could not be used, of `skipped`.
        skipped: How many lines were skipped for which reason.
        other_lines: Well-formed lines of other kinds (events, chat messages, other programs').
        repeated_lines: The same line met twice, counted once.
        folded_lines: Lines that joined another of the same request.
        duplicate_requests: Requests seen twice by different instrumentations, counted once.
        invalid_fields: How many values were unusable, by field; the rest of their lines counted.
        requests_without_usage: Finished requests whose tokens nobody knows.
        unpriced_requests: Requests whose cost is not known, or only in part.
        unpriced_models: Their models, and how many.
        unpriced_reasons: What of them has no price, and how many: `no token counts`, `partial token counts`, `model`,
            `service tier flex`, `speed fast`, `web_searches`, `audio_prompt_tokens` ...
        estimated_usage_requests: Requests whose tokens were estimated.
        partial_usage_requests: Requests whose tokens are only part of theirs.
        gaps: Which lines are missing, of which writer.
        missing_lines: How many lines that is.
        pruned_lines: Lines that were removed on purpose, as the manifests say; no gap.
        unclosed_writers: Writers whose clean end was not noted: still running, or killed.
        unreadable_files: Files that could not be read to their end, and why.
        hosts: Of a root in object storage, what is known of each host that ships to it.
        fresh_until: Of such a root, up to when every host is known: everything logged before is counted.
        waiting_lines: Of such a root, lines that the hosts hold and have not shipped yet, as of their last report.
        notes: What else a reader of the figures should know, in sentences.
        errors: `LOG_PARSE_ERROR` and `METRICS_CALCULATION_ERROR`, with how often.
    """

    complete: bool = True
    lines: int = 0
    skipped_lines: int = 0
    skipped: dict[str, int] = Field(default_factory=dict)
    other_lines: int = 0
    repeated_lines: int = 0
    folded_lines: int = 0
    duplicate_requests: int = 0
    invalid_fields: dict[str, int] = Field(default_factory=dict)
    requests_without_usage: int = 0
    unpriced_requests: int = 0
    unpriced_models: dict[str, int] = Field(default_factory=dict)
    unpriced_reasons: dict[str, int] = Field(default_factory=dict)
    estimated_usage_requests: int = 0
    partial_usage_requests: int = 0
    gaps: list[SequenceGap] = Field(default_factory=list)
    missing_lines: int = 0
    pruned_lines: int = 0
    unclosed_writers: int = 0
    unreadable_files: dict[str, str] = Field(default_factory=dict)
    hosts: list[HostFreshness] = Field(default_factory=list)
    fresh_until: str | None = None
    waiting_lines: int = 0
    notes: list[str] = Field(default_factory=list)
    errors: dict[str, int] = Field(default_factory=dict)


class Stats(_Model):
    """The answer to `get_stats`.

    Attributes:
        summary: All requests in question.
        breakdown: One row a group, in the order of the groups; empty without `group_by`.
        models: The figures by model as requested, the most used first.
        orphaned_after: A request pending for longer than this counts as orphaned, not as running.
    """

    scope: StatsScope = Field(default_factory=StatsScope)
    period: Period = Field(default_factory=Period)
    group_by: list[str] = Field(default_factory=list)
    summary: Figures = Field(default_factory=Figures)
    breakdown: list[StatsRow] = Field(default_factory=list)
    models: dict[str, Figures] = Field(default_factory=dict)
    quality: Quality = Field(default_factory=Quality)
    orphaned_after: timedelta = StatsOptions.model_fields["orphaned_after"].default


class ProjectMetrics(Figures):
    """The figures of one project, and what it used."""

    project_id: str
    chat_count: int = 0
    models_used: list[str] = Field(default_factory=list)
    average_response_time_ms: float = 0.0


class ChatMetrics(Figures):
    """The figures of one chat, its messages and its models."""

    project_id: str
    chat_id: str
    message_count: int = 0
    models_used: list[str] = Field(default_factory=list)
    average_response_time_ms: float = 0.0


class GlobalMetrics(Figures):
    """The figures of all projects under a root."""

    project_count: int = 0
    models_used: list[str] = Field(default_factory=list)
    average_response_time_ms: float = 0.0


class Change(_Model):
    """How one figure differs between two periods.

    Attributes:
        before: In the first period; money as decimal text.
        after: In the second.
        absolute: `after - before`; None where one of them is unknown.
        relative: `absolute / before`; None where `before` is 0 or unknown.
    """

    before: int | float | str | None = None
    after: int | float | str | None = None
    absolute: int | float | str | None = None
    relative: float | None = None


class ComparisonRow(_Model):
    """The changes of one group; a group that one period lacks has zeros there."""

    group: dict[str, str | None] = Field(default_factory=dict)
    changes: dict[str, Change] = Field(default_factory=dict)


class Comparison(_Model):
    """The answer to `compare_stats`: two periods side by side.

    Figures that are nested are named with a dot, `latency_ms.p95`.
    """

    scope: StatsScope = Field(default_factory=StatsScope)
    before: Period = Field(default_factory=Period)
    after: Period = Field(default_factory=Period)
    group_by: list[str] = Field(default_factory=list)
    summary: dict[str, Change] = Field(default_factory=dict)
    breakdown: list[ComparisonRow] = Field(default_factory=list)
    quality_before: Quality = Field(default_factory=Quality)
    quality_after: Quality = Field(default_factory=Quality)


class PriceUse(_Model):
    """Which rates were used for which requests.

    Attributes:
        provider: As logged.
        model: As logged, `response_model` where there is one.
        priced_as: Provider and model in the price list, `openai/gpt-4o`; None where there is no price.
        source: `override`, `genai-prices`, `reported` or `unpriced`.
        unpriced: What these rates do not cover, so that `cost` is a lower bound or None; see `Quality.unpriced_reasons`.
        rates: What a million tokens of each kind cost, `{"input": "2.5", "output": "10"}`; other units by name.
        service_tier: As logged.
        speed: As logged.
        units: What was billed per unit beside tokens, as logged.
        input_tier: The highest number of prompt tokens over which this step of the price begins; 0 for the first.
        valid: Since when these rates are listed, and what else they depend on, as the list says.
        requests: How many requests they were used for.
        cost: What these came to; None where there is no price.
    """

    provider: str | None = None
    model: str | None = None
    priced_as: str | None = None
    source: str = "unpriced"
    rates: dict[str, str] = Field(default_factory=dict)
    unpriced: str | None = None
    service_tier: str | None = None
    speed: str | None = None
    units: str | None = None
    input_tier: int = 0
    valid: str | None = None
    requests: int = 0
    currency: str = "USD"
    cost: str | None = None
    first_request: UTCTime | None = None
    last_request: UTCTime | None = None


class PriceReport(_Model):
    """The answer to `get_prices`.

    Attributes:
        source: The price list, `genai-prices`.
        version: Its version.
        overrides: The file of the user's own rates, where there is one.
        uses: Which rate was used for what.
    """

    source: str = "genai-prices"
    version: str | None = None
    overrides: str | None = None
    uses: list[PriceUse] = Field(default_factory=list)


def figures_json(value: BaseModel, *, by_alias: bool = False) -> str:
    """Write an answer as one line of JSON, names in snake_case or, `by_alias`, in camelCase."""
    return json.dumps(value.model_dump(mode="json", by_alias=by_alias), ensure_ascii=False)
