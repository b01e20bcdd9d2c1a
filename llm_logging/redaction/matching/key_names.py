"""Key names whose value is secret, in any case and with any separator: `X-Api-Key`, `apiKey`, `API_KEY`, `apikey`.

A name is brought into one form, `x_api_key`, and held against a table. Counts never match (`prompt_tokens`,
`max_tokens`, `token_type`, `tokens_per_second`), nor do descriptions of a secret (`api_key_id`, `password_policy`).

`session_id` stays, in every spelling: in LLM applications it names a conversation and is what people group by, as
`chat_id` is; a web framework's session travels in a cookie, which goes whole. Who uses it as a bearer adds it with
`keys=["session_id"]`.

From the same table come the scans over serialised lines and over text. `~` in a fragment stands for a separator.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

__all__ = [
    "LINE_SEPARATOR",
    "NAME_KINDS",
    "RULES",
    "NameRule",
    "added_scan",
    "compact",
    "hides",
    "line_scans",
    "name_kind",
    "scan_fragments",
]


@dataclass(frozen=True, slots=True)
class NameRule:
    """One family of names.

    Attributes:
        kind: What the marker says.
        fragment: What the name contains, `~` for a separator or none.
        open: True where more words may follow; False where only a number may.
        edges: Where a word must begin and end: none of "", "<" at its left, ">" at its right, "<>" both.
        scan: What a scan looks for instead, less exact and sooner found; "" where another rule's scan finds it.
    """

    kind: str
    fragment: str
    open: bool = True
    edges: str = ""
    scan: str | None = None

    @property
    def telling(self) -> str:
        """What a scan looks for."""
        return self.fragment if self.scan is None else self.scan


_AUTH_WORDS: Final = (
    "access|refresh|auth|oauth|api|bearer|session|csrf|xsrf|secret|personal|jwt|device|security|service|push"
    "|registration|deploy|bot|user|private|webhook|verification|reset|invite|login|sso|saml|identity|github|gitlab"
    "|slack|hf|admin|root|vault|consul|npm|id"
)

RULES: Final[tuple[NameRule, ...]] = (
    NameRule("password", "pass~(?:word|phrase|code)"),
    NameRule("password", "passwd"),
    NameRule("password", "pwd", edges="<>"),
    NameRule("password", "pass", open=False, edges="<"),
    NameRule("secret", "secret~(?:access~)?key", scan=""),
    NameRule("secret", "secrets?", edges=">", scan="secret"),
    NameRule("api-key", "api~keys?"),
    NameRule("private-key", "private~key"),
    NameRule(
        "key",
        "(?:access|signing|encryption|account|subscription|master|role|consumer|hmac|functions|deploy|license)~keys?",
        edges=">",
    ),
    NameRule("authorization", "authorization", edges=">"),
    NameRule("authorization", "auth(?:~(?:header|key|code|string))?", open=False, edges="<"),
    NameRule("cookie", "cookies?", edges=">", scan="cookie"),
    NameRule("session", "session(?:~key)?", open=False, edges="<"),
    NameRule("credential", "credentials?", edges=">", scan="credential"),
    NameRule("credential", "creds", open=False, edges="<"),
    NameRule("credential", "client~assertion", open=False, scan="assertion"),
    NameRule(
        "credential",
        "(?:seed~phrase|mnemonic|(?:recovery|backup)~codes?)",
        open=False,
        edges="<",
        scan="(?:phrase|mnemonic|(?:recovery|backup)~codes?)",
    ),
    NameRule("token", "(?:access|refresh|auth|api)~tokens(?:~value)?", open=False),
    NameRule("token", "token(?:~value)?", open=False),
    NameRule("token", "(?:jwt|bearer)", open=False, edges="<"),
    NameRule(
        "one-time-code",
        "(?:t?otp|mfa)(?:~code)?",
        open=False,
        edges="<",
        scan="(?:otp|mfa)(?:~code)?",
    ),
    NameRule("card-code", "(?:cvv2?|cvc2?)", open=False, edges="<"),
)

NAME_KINDS: Final = frozenset({rule.kind for rule in RULES} | {"key"})

# The last word of a name that speaks about a secret and does not hold one.
_DESCRIBES: Final = frozenset(
    """
    name names id ids arn type types count counts length len limit limits url uri urls endpoint
    server path paths file filename version policy hint strength status enabled disabled required
    expires expiry expired expiration at ttl age rotation rotated updated created changed scheme
    method mode algorithm alg source provider manager env var ref field fields label labels
    placeholder description error errors regex pattern min max domain consent banner present valid
    verified invalid missing usage used format index kind scope scopes note title attempts seconds
    ms size bytes
    """.split()  # noqa: SIM905  one word a line would fill a page
)
# With one of these before it, `token` is a unit of text or a place in a list.
_TEXT_TOKENS: Final = frozenset(
    """
    max min num n no prompt completion input output total cached cache reasoning audio per next prev
    previous page continuation stop start end eos bos sos pad unk mask sep cls special first last
    time image text sub thinking budget cost price new generated context avg average mean target
    draft accepted rejected sampled word logprob pagination sync estimated used remaining limit
    single each current by
    """.split()  # noqa: SIM905  one word a line would fill a page
)
_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_MARKER: Final = re.compile(r"\[redacted:[a-z0-9:\-]*\]")
_AUTH_TOKEN: Final = re.compile(rf"(?:^|_)(?:{_AUTH_WORDS})_?tokens?(?:_value)?$")
_LENIENT: Final = frozenset({"session", "cookie", "token"})
# Beside these, `token` is a piece of a model's text.
_LOGPROB_SIBLINGS: Final = (
    "logprob",
    "top_logprobs",
    "logprobs",
    "token_id",
    "bytes",
    "tokenId",
    "logProbability",
)


def compact(name: str) -> str:
    """Return a name without case and separators, `X-Api-Key` as `xapikey`."""
    return re.sub(r"[^0-9A-Za-z]", "", name).lower()


def _canonical(name: str) -> tuple[str, list[str]]:
    if "[redacted:" in name:
        # A marker in a key names what went, not what the value is.
        name = _MARKER.sub("", name)
    words = [word.lower() for word in _WORDS.findall(name)]
    while len(words) > 1 and words[-1].isdigit():
        words.pop()
    return "_".join(words), words


def _compiled(rule: NameRule) -> re.Pattern[str]:
    left = "(?:^|_)" if "<" in rule.edges else ""
    right = "$" if not rule.open else "(?=_|$)" if ">" in rule.edges else ""
    return re.compile(left + rule.fragment.replace("~", "_?") + right)


_PATTERNS: Final = tuple((rule.kind, _compiled(rule)) for rule in RULES)


@lru_cache(maxsize=8192)
def _name_kind(name: str) -> str | None:
    canonical, words = _canonical(name)
    if not words or name in {"PWD", "OLDPWD"}:
        return None
    for kind, pattern in _PATTERNS:
        if not pattern.search(canonical):
            continue
        if words[-1] in _DESCRIBES and not canonical.endswith("secret_id"):
            return None
        if kind == "token" and not _AUTH_TOKEN.search(canonical) and not _TEXT_TOKENS.isdisjoint(words):
            return None
        return kind
    return None


def name_kind(name: str) -> str | None:
    """Say what kind of secret a value of this name is, or None.

    Args:
        name: A key, a header's or a variable's name, in any case, with any separators.
    """
    # Very long names are not kept in memory.
    return _name_kind(name) if len(name) <= 200 else _name_kind.__wrapped__(name)


def hides(kind: str, name: str, value: Any, siblings: Iterable[Any] = ()) -> bool:
    """Say whether a value under a name of this kind is one that can be secret.

    Args:
        kind: From `name_kind`.
        name: The key.
        value: What it holds. None, booleans and empty values hide nothing; numbers under `token` are counts.
        siblings: The other keys beside it; beside a log probability, `token` is text.
    """
    if value is None or isinstance(value, bool):
        return False
    if isinstance(value, (str, bytes, dict, list, tuple, set, frozenset)) and not value:
        return False
    if kind == "password" and isinstance(value, (int, float)) and compact(name).endswith("pass"):
        # What passed is counted.
        return False
    if kind not in _LENIENT:
        return True
    if isinstance(value, (int, float)):
        return False
    if kind == "token" and name in {"token", "Token"} and isinstance(value, str):
        if any(char.isspace() for char in value[:64]) or (len(value) < 8 and value.isalpha()):
            return False
        return not any(name in siblings for name in _LOGPROB_SIBLINGS)
    return True


# In a serialised line a separator may be an escape, and a name ends at the quote. Lines are scanned in lower case.
LINE_SEPARATOR: Final = r'(?:[^a-z0-9"\\]|\\["\\/bfnrt]|\\u[0-9a-f]{4})*'
_LINE_OPEN: Final = r'(?:(?:[^"\\]|\\.)*"\s*:|[a-z0-9_.\-]{0,64}"\s*[,}])'
_LINE_CLOSED: Final = rf'(?:{LINE_SEPARATOR}[0-9]*)*"\s*[:,}}]'


def scan_fragments(separator: str, opened: str, closed: str) -> tuple[str, str]:
    """Return two scans, in Rust's regex syntax, for what all rules look for.

    They are two because each is then found by a search for few literals: the names that contain `key` by that word, the
    others by their beginnings.

    Args:
        separator: What may stand for `~`.
        opened: What follows a name of an open rule.
        closed: What follows a name of a closed rule.
    """
    keys = [rule for rule in RULES if "~key" in rule.telling and rule.open]
    words = [rule for rule in RULES if rule not in keys and rule.telling]
    open_words = "|".join(rule.telling for rule in words if rule.open)
    closed_words = "|".join(rule.telling for rule in words if not rule.open)
    key_words = "|".join(rule.telling.replace("~keys?", "").replace("~key", "") for rule in keys)
    opening, closing, key = (
        f"(?:{part})".replace("~", separator) for part in (open_words, closed_words, f"(?:{key_words})~key")
    )
    return f"{opening}{opened}|{closing}{closed}", f"{key}{opened}"


def line_scans() -> tuple[str, str]:
    """Return scans for secret names among the keys of a serialised line in lower case."""
    return scan_fragments(LINE_SEPARATOR, _LINE_OPEN, _LINE_CLOSED)


def added_scan(names: Iterable[str]) -> str:
    """Return a scan for names that were added, compact, among the keys of a serialised line in lower case."""
    return "|".join(
        rf'"{LINE_SEPARATOR}{LINE_SEPARATOR.join(name)}{LINE_SEPARATOR}"\s*[:,}}]' for name in sorted(names)
    )
