"""The statuses of a request: which words are understood, and which status an entry without one has.

This is the one table of status words; entries, filters and foreign lines use it. An unknown word is kept, and its request counts
as an error: a mistake is never counted as a success.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final, Literal, NamedTuple

__all__ = [
    "CANCELLED",
    "STATUSES",
    "UNKNOWN_STATUS",
    "Outcome",
    "Status",
    "derive_status",
    "final_status",
    "outcome_of",
    "settle_status",
    "status_text",
]

Status = Literal["pending", "success", "error", "timeout"]
STATUSES: Final = ("pending", "success", "error", "timeout")
CANCELLED: Final = "cancelled"
"""The error code of a request whose caller stopped waiting before its end."""
UNKNOWN_STATUS: Final = "unknown_status"
"""The error code of a request whose status is a word of no known meaning."""


class Outcome(NamedTuple):
    """What a status word means.

    Attributes:
        status: One of `STATUSES`.
        code: The error code that the word implies, if any.
        http_status: The HTTP status, where the word is one.
    """

    status: Status
    code: str | None = None
    http_status: int | None = None


# Words of other programs and SDKs, in the form that `_plain_word` gives them.
_WORDS: Final[dict[Status, str]] = {
    "pending": "pending queued in_progress inprogress in_queue running started starting processing streaming "
    "submitted validating finalizing requires_action waiting ongoing",
    # The Responses API calls an answer `incomplete` that reached its limit of tokens.
    "success": "success successful successfully succeeded succeed ok okay complete completed finished passed "
    "incomplete",
    "error": "error errored errors fail failed failure failing exception",
    "timeout": "timeout time_out timed_out timedout timeouterror deadline_exceeded deadlineexceeded",
}
_CANCELLED_WORDS: Final = (
    "cancelled canceled cancel cancelling canceling aborted abort interrupted cancellederror"
)
# Errors that have a name: it is their code.
_CODES: Final = (
    "rejected refused denied expired invalid unavailable resource_exhausted rate_limit rate_limited throttled overloaded "
    "internal internal_error unauthenticated permission_denied not_found invalid_argument failed_precondition crashed"
)
_MEANINGS: Final[dict[str, Outcome]] = {
    **{word: Outcome(status) for status, words in _WORDS.items() for word in words.split()},
    **dict.fromkeys(_CANCELLED_WORDS.split(), Outcome("error", CANCELLED)),
    **{word: Outcome("error", word) for word in _CODES.split()},
}
_HTTP: Final = re.compile(r"(?:http[ /_]*(?:[\d.]+ )?)?([1-5]\d\d)(?: .*)?", re.IGNORECASE)
_MEMBER: Final = re.compile(r"[^\W\d]\w*\.(\w+)")
# Fields of which any shows that an answer came.
_EVIDENCE: Final = (
    "usage",
    "cost",
    "response",
    "finish_reasons",
    "provider_response_id",
    "timings",
    "timestamp_end",
)
_TIMEOUT_STATUSES: Final = frozenset({408, 504})


def status_text(value: Any) -> Any:
    """Return a status as the word or number that it is written as: of an enumeration's member its value or its name."""
    if not isinstance(value, Enum):
        return value
    inner = value.value
    if isinstance(inner, str) or (type(inner) is int and _is_http(inner)):
        return inner
    return value.name


def outcome_of(value: Any) -> Outcome | None:
    """Return what a status means, in any case and spelling; None where it is no word of known meaning.

    Args:
        value: A word, a member of an enumeration, or an HTTP status as a number or text (`200`, `"503"`).
    """
    value = status_text(value)
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return _from_http(int(value)) if _is_http(value) else None
    if not isinstance(value, str):
        return None
    text = value.strip()
    number = _HTTP.fullmatch(text)
    return _from_http(int(number[1])) if number is not None else _MEANINGS.get(_plain_word(text))


def _plain_word(text: str) -> str:
    member = _MEMBER.fullmatch(text)
    # `Status.FAILED`, as text shows a member of an enumeration.
    return re.sub(r"[\s_-]+", "_", (member[1] if member is not None else text).casefold()).strip("_.!")


def _is_http(number: int) -> bool:
    return 200 <= number <= 599


def _from_http(number: int) -> Outcome | None:
    if not _is_http(number):
        return None
    if number == 499:
        return Outcome("error", CANCELLED, number)
    if number in _TIMEOUT_STATUSES:
        return Outcome("timeout", None, number)
    return Outcome("error" if number >= 400 else "success", None, number)


def derive_status(entry: Mapping[str, Any]) -> str:
    """Say which status an entry without one has, from what else it holds."""
    http_status = entry.get("http_status")
    refused = isinstance(http_status, int) and http_status >= 400
    if entry.get("error") is not None or refused:
        return "error"
    if http_status is not None or any(entry.get(name) is not None for name in _EVIDENCE):
        return "success"
    return "pending"


def settle_status(entry: dict[str, Any]) -> None:
    """Give an entry a status of ours: derived where it has none, translated where it has a word of known meaning.

    Args:
        entry: Changed. A word of no known meaning stays as text; once it has moved to `attributes.invalid`, the entry is an
            error.
    """
    status = entry.get("status")
    if status is None:
        entry["status"] = derive_status(entry)
        if _had_unknown(entry):
            entry["status"] = "error"
            entry.setdefault("error", {"code": UNKNOWN_STATUS})
    elif type(status) is not str or status not in STATUSES:
        found = outcome_of(status)
        if found is None:
            entry["status"] = status_text(status)
        else:
            _translate(entry, found)


def _had_unknown(entry: Mapping[str, Any]) -> bool:
    attributes = entry.get("attributes")
    invalid = attributes.get("invalid") if isinstance(attributes, Mapping) else None
    return isinstance(invalid, Mapping) and "status" in invalid


def _translate(entry: dict[str, Any], found: Outcome) -> None:
    entry["status"] = found.status
    if found.http_status is not None:
        entry.setdefault("http_status", found.http_status)
    error = entry.get("error")
    if found.code is not None and (error is None or isinstance(error, Mapping)):
        entry["error"] = {
            "code": found.code,
            **{key: item for key, item in (error or {}).items() if item is not None},
        }


def final_status(fields: Mapping[str, Any]) -> str:
    """Return the status that the entry of a request that has ended will have.

    Args:
        fields: Its fields as the application and the response gave them.
    """
    status = fields.get("status")
    if status is None:
        return derive_status({**fields, "timings": ()})
    meant = outcome_of(status)
    return "error" if meant is None else meant.status
