"""What a response says about itself, in our own fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..models.counting.billed import billed_beside
from ..models.counting.sdk_objects import plain
from ..models.counting.token_counts import Counts, normalise_counts
from ..models.entry import Cost, ErrorInfo, Usage
from .response_fields import UNFINISHED

__all__ = ["Extraction", "counted_usage", "stated_usage"]

_LARGEST_COUNT = 2**53


@dataclass(slots=True)
class Extraction:
    """What a response says about itself.

    Attributes:
        counted: The tokens, normalised, as fields of `Usage` to values; None where the provider gave none.
        unread: A usage object of which no count of tokens was understood; None where there is none.
        response_model: The model that answered.
        provider_response_id: The provider's id of the response.
        finish_reasons: Why each choice ended, in the provider's words.
        service_tier: The tier that served it.
        cost: What the provider or gateway says it charges.
        time_to_first_token_ms: Where the provider says it.
        provider_latency_ms: How long it took on the provider's side, where it says so.
        error: What a failed body or event reports.
        complete: False for a stream that broke off before its last event.
        text: The generated text, where the answer was asked to be kept.
        answer: All that was generated, where it was asked to be kept; see `AnswerFold`.
        refused: Whether the model refused to answer, by a field of its own.
        blocked: Why the provider blocked the prompt or the answer, in its own words.
        state: The state of an answer that is kept by the provider (Responses API): `queued`, `completed` ...
        background_since: When an answer that is made in the background was asked for, in seconds since 1970.
    """

    counted: dict[str, Any] | None = None
    unread: dict[str, Any] | None = None
    response_model: str | None = None
    provider_response_id: str | None = None
    finish_reasons: list[str] | None = None
    service_tier: str | None = None
    cost: Cost | None = None
    time_to_first_token_ms: float | None = None
    provider_latency_ms: float | None = None
    error: ErrorInfo | None = None
    complete: bool = True
    text: str | None = None
    answer: Any = None
    refused: bool = False
    blocked: str | None = None
    state: str | None = None
    background_since: float | None = None

    @property
    def usage(self) -> Usage | None:
        """The tokens as a model."""
        # `normalise_counts` keeps every rule of the model, and the entry is checked once more on its way.
        return None if self.counted is None else Usage.model_construct(**self.counted)

    @property
    def running(self) -> bool:
        """Say whether the answer is still being made, and has to be asked for again."""
        return self.state in UNFINISHED


def counted_usage(
    found: Mapping[str, Any], billed: Mapping[str, Any], *, complete: bool, embedding: bool
) -> dict[str, Any] | None:
    """Return a provider's usage object as the fields of `Usage`; None where it states neither tokens nor units.

    Args:
        found: The usage object.
        billed: What the response bills beside tokens.
        complete: Whether the response has come to its end.
        embedding: Whether all tokens are of the prompt.
    """
    raw = plain(found)
    return stated_usage(normalise_counts(raw, embedding=embedding), raw, billed, complete=complete)


def stated_usage(
    counts: Counts, raw: Any, billed: Mapping[str, Any], *, complete: bool
) -> dict[str, Any] | None:
    """Return counts as the fields of `Usage`; None where nothing is counted, or a count is beyond what one may be."""
    if max(counts.values(), default=0) > _LARGEST_COUNT:
        return None
    beside = billed_beside(counts, raw, billed)
    source: Literal["provider", "partial"] = "provider" if complete else "partial"
    if not counts:
        # What is billed per page, second or search has no tokens.
        units = {"units": beside["units"], "source": source} if "units" in beside else None
        return {**units, "raw": raw} if units and raw else units
    total = counts.get("prompt_tokens", 0) + counts.get("completion_tokens", 0)
    return {**counts, **beside, "total_tokens": total, "source": source, "raw": raw}
