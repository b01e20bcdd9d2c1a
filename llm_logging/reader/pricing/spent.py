"""What a request is known to have spent, from its line: tokens, units, nothing, or unknown.

A request without counts of its own spent nothing where the provider refused it before it generated anything (HTTP 400, 401,
429, 503 ...), or where it never reached the provider. What a success without counts, a timeout, a cancelled request, a
broken stream or a lost answer of a gateway spent is unknown.
"""

from __future__ import annotations

from typing import Final

__all__ = ["COUNTED_UNITS", "MEASURED", "REFUSED", "UNITS", "USED"]

UNITS: Final = "CASE WHEN usage_units IN ('', '{}', 'null') THEN '' ELSE coalesce(usage_units, '') END"
# Units that are measured, not counted: nearly every request has another number, so each is priced by itself.
MEASURED: Final = "regexp_matches(coalesce(usage_units, ''), '_seconds|_characters|_pages|_pixels|_tokens')"
COUNTED_UNITS: Final = f"CASE WHEN {MEASURED} THEN '' ELSE {UNITS} END"
USED: Final = f"(usage_prompt_tokens IS NOT NULL OR usage_completion_tokens IS NOT NULL OR {UNITS} <> '')"

# Answers of a provider that made nothing. Missing are 408, 499 and 504 (a caller gave up on what may have been
# made) and 502 and 520-530 (a gateway lost the answer).
_REFUSALS: Final = "BETWEEN 400 AND 407", "BETWEEN 409 AND 498", "IN (500, 501, 503, 529)"
_STATUSES: Final = [
    f"{status} {refusal}"
    for status in ("http_status", "TRY_CAST(error_code AS INTEGER)")
    for refusal in _REFUSALS
]
# The same in words of providers and of SDKs, and of connections that were never made; in lower case, without signs.
_WORDS: Final = (  # noqa: SIM905  a list of words
    "ratelimit ratelimited ratelimiterror ratelimitexceeded ratelimitreached toomanyrequests toomanyrequestsexception "
    "throttled throttlingexception throttling throttlingerror resourceexhausted insufficientquota quotaexceeded "
    "quotaexceedederror servicequotaexceededexception budgetexceedederror badrequest badrequesterror badrequestexception "
    "invalidrequest invalidrequesterror invalidargument validationexception unprocessableentity unprocessableentityerror "
    "contextlengthexceeded contextwindowexceedederror requesttoolarge authentication authenticationerror unauthenticated "
    "unauthorized unauthorizederror unauthorizedexception invalidapikey permissiondenied permissiondeniederror "
    "permissionerror forbidden accessdenied accessdeniedexception notfound notfounderror modelnotfound "
    "modelnotfounderror deploymentnotfound resourcenotfoundexception unsupportedmodel conflicterror overloaded "
    "overloadederror modelnotreadyexception serviceunavailable serviceunavailableerror serviceunavailableexception "
    "unavailable connecterror connecttimeout connectionrefused connectionrefusederror clientconnectorerror "
    "clientconnectordnserror newconnectionerror nameresolutionerror gaierror endpointconnectionerror proxyerror"
).split()
_LISTED: Final = ", ".join(f"'{word}'" for word in _WORDS)
_WORD: Final = " OR ".join(
    f"regexp_replace(lower({name}), '[^a-z0-9]', '', 'g') IN ({_LISTED})"
    for name in ("error_code", "error_type")
)
# A timeout that came before anything was sent.
_UNMET: Final = "regexp_replace(lower(error_type), '[^a-z0-9]', '', 'g') IN ('connecttimeout', 'connecttimeouterror', 'pooltimeout')"
# What began to arrive was being made.
REFUSED: Final = (
    f"coalesce((status = 'error' OR {_UNMET}) AND timings_time_to_first_token_ms IS NULL AND CASE WHEN http_status IS NOT NULL "
    f"THEN {' OR '.join(_STATUSES[:3])} ELSE coalesce({' OR '.join(_STATUSES[3:])}, false) OR coalesce({_WORD}, false) END, false)"
)
