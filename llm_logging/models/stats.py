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

    `total_requests = successful_requests + failed_requests`. Pending and cancelled requests are counted separately. Tokens
    and cost include them: tokens spent on a cancelled request were spent. Latency covers `total_requests`.

    Attributes:
        total_requests: Finished requests. Each attempt of a call is a request.
        successful_requests: Those with status `success`.
        failed_requests: Those with status `error` or `timeout`, without cancelled ones.
        pending_requests: Requests without a final line: `running_requests + orphaned_requests`.
        running_requests: Pending requests younger than `orphaned_after`.
        orphaned_requests: Pending requests older than that. Their process probably died.
        cancelled_requests: Requests that the application cancelled before the first chunk.
        total_calls: Calls: retries with the same `request_group` count once, in the day and model of the last finished attempt.
        failed_calls: Calls whose last finished attempt failed.
        retried_requests: Attempts after the first.
        retry_share: `retried_requests / total_requests`, 0 without requests.
        error_rate: `failed_requests / total_requests`, 0 without requests.
        error_codes: Failed requests by `error.code` (else `error.type`, else `timeout` or `unknown`); cancelled requests
            under `cancelled`.
        http_statuses: Requests by HTTP status, where it is known.
        prompt_tokens: Input tokens, cached ones included.
        completion_tokens: Output tokens, reasoning included.
        total_tokens: Both.
        cache_read_tokens: Prompt tokens read from a cache.
        cache_write_tokens: Prompt tokens written to a cache.
        cache_write_1h_tokens: Those that are kept for an hour.
        reasoning_tokens: Completion tokens spent on reasoning.
        audio_prompt_tokens: Prompt tokens that encode audio.
        audio_completion_tokens: Completion tokens that encode audio.
        image_prompt_tokens: Prompt tokens that encode images.
        image_completion_tokens: Completion tokens that encode images.
        requests_with_usage: Requests with token counts.
        requests_without_usage: Finished requests without token counts.
        estimated_usage_requests: Requests whose tokens were estimated.
        partial_usage_requests: Requests whose token counts are incomplete.
        average_latency_ms: Mean of `timings.latency_ms`, 0 where no request has it.
        latency_ms: Mean and percentiles of `timings.latency_ms`.
        success_latency_ms: The same for successful requests.
        failure_latency_ms: The same for failed requests.
        time_to_first_token_ms: Mean and percentiles of `timings.time_to_first_token_ms`.
        tokens_per_second: Completion tokens per second after the first token; per second of latency where that is unknown.
        currency: Currency of the costs below.
        reported_cost: Sum of the costs that providers reported. None: no provider did.
        estimated_cost: List prices of the requests without a reported cost. None: no price is known.
        total_cost: Reported and estimated cost. A lower bound if `unpriced_requests` is not 0. None: nothing is known.
        cache_savings: What cached tokens would have cost as ordinary prompt tokens, minus the extra cost of cache writes.
            Covers requests with a list price.
        other_costs: Costs that providers reported in other currencies.
        reported_requests: Requests in `reported_cost`.
        priced_requests: Requests with a list price for all that they used.
        unpriced_requests: Requests whose cost is unknown, or known only in part: without complete token counts, or without a
            price for the model, its tier, speed or one of its units. Pending requests do not count, nor do requests that
            the provider refused (HTTP 429, 400, 503 ...) or that never reached it: these cost nothing.
        first_request: Start of the first request.
        last_request: Start of the last request.
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

    What needs the files is not here, so that no 0 stands for something that was not counted: calls, percentiles, list prices,
    orphaned requests, times.

    Attributes:
        pending_requests: Started and not final yet; of those started longest ago some may be forgotten.
        running_requests: The same, for this process is alive.
        retried_requests: Those whose `attempt` is above 1.
        reported_cost: What providers reported; None where none did.
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
    """What an answer left out, and how reliable it is.

    Attributes:
        complete: True if nothing that was logged is known to be missing: no broken line, no gap.
        lines: All lines that were read.
        skipped_lines: Lines that could not be used.
        skipped: Skipped lines by reason.
        other_lines: Well-formed lines of other kinds: events, chat messages, lines of other programs.
        repeated_lines: Copies of a line. Each line counts once.
        folded_lines: Lines that were merged into another line of the same request.
        duplicate_requests: Requests that two instrumentations logged. Each counts once.
        invalid_fields: Unusable values by field. The rest of their lines counted.
        requests_without_usage: Finished requests without token counts.
        unpriced_requests: Requests whose cost is unknown, or known only in part.
        unpriced_models: Unpriced requests by model.
        unpriced_reasons: Unpriced requests by what has no price: `no token counts`, `partial token counts`, `model`,
            `service tier flex`, `speed fast`, `web_searches`, `audio_prompt_tokens` ...
        estimated_usage_requests: Requests whose tokens were estimated.
        partial_usage_requests: Requests whose token counts are incomplete.
        gaps: Ranges of missing lines, by log and writer.
        missing_lines: Lines in these ranges.
        pruned_lines: Lines removed on purpose, according to the manifests. They are not gaps.
        unclosed_writers: Writers without a noted clean end: still running, or killed.
        unreadable_files: Files that could not be read to the end, and why.
        hosts: For a root in object storage: what is known of each host that ships to it.
        fresh_until: For such a root: the time before which all lines of all hosts are counted.
        waiting_lines: For such a root: lines that the hosts had not shipped when they last reported.
        notes: Further remarks, as sentences.
        errors: Counts of `LOG_PARSE_ERROR` and `METRICS_CALCULATION_ERROR`.
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
        absolute: `after - before`; None where one of them is unknown or, as a cost, a lower bound.
        relative: `absolute / before`; None where `before` is 0, or `absolute` is None.
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
        units: What was billed per unit other than tokens, as logged.
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
