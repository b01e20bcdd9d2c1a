"""Names whose value is secret, in any case and with any separator: `X-Api-Key`, `apiKey`, `API_KEY`, `apikey`.

To add a name, add a word to `_NAMES`. A name is brought into one form, `x_api_key`, and held against that table. Counts never
match (`prompt_tokens`, `max_tokens`, `token_type`, `tokens_per_second`), nor do descriptions of a secret (`api_key_id`,
`password_policy`). A *weak* name (`anything_key`, `signature`) hides only a value that looks generated.

`session_id` stays, in every spelling: in LLM applications it names a conversation and is what people group by, as
`chat_id` is; a web framework's session travels in a cookie, which goes whole. Who uses it as a bearer adds it with
`keys=["session_id"]`.

From the same table come the scans over serialised lines and over text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from .values import looks_generated

__all__ = [
    "NAME_KINDS",
    "OTHER_NAMES",
    "RULES",
    "SHORT_NAMES",
    "STEMS",
    "NameRule",
    "added_scan",
    "compact",
    "hides",
    "line_scan",
    "name_kind",
    "short_line_scan",
    "structured_scan",
    "weak_kind",
]

# One family a line: the kind that the marker says, then words. `~` stands for any separator or none. Without a sign a word is
# found anywhere in a name; `<` before it: a word must begin there; `>` behind it: one must end there; `$`: only a number may
# follow; `?`: the name is weak.
_NAMES: Final = """
password        pass~word pass~phrase pass~code passwd <pwd> <pw$ <pass$ <pswd$ <psw$ <pword$
password        passwort kennwort contraseña contrasena <clave$ mot~de~passe <mdp$ <senha> palavra~passe wachtwoord lösenord
password        <hasło$ <haslo$ <parola$ <şifre$ <sifre$ kata~sandi пароль 密码 密碼 口令 パスワード 暗証番号 비밀번호 암호
password        पासवर्ड পাসওয়ার্ড پاس~ورڈ كلمة~المرور كلمة~السر
secret          secret~key secret~access~key secret> secrets> <secrete> db~pass> secret~string$
secret          <secreto$ <segredo$ <geheimnis$ секрет 密钥 密鑰 秘密鍵 シークレット 비밀키
api-key         api~key api~keys api~schlüssel clé~api clave~api clave~de~api chave~api chave~de~api chiave~api api~ключ apiキー api키
private-key     private~key <priv~key$ pre~shared~key <psk$
key             access~key> access~keys> signing~key> encryption~key> account~key> subscription~key> master~key> role~key>
key             consumer~key> hmac~key> functions~key> deploy~key> license~key> <unseal~key$ <ssh~key$ <write~key$ <stream~key$
authorization   authorization> <auth$ <auth~header$ <auth~key$ <auth~code$ <auth~string$
cookie          cookie> cookies>
session         <session$ <session~key$ <php~sess~id$ <phpsessid$ <jsessionid$
credential      credential> credentials> <cred$ <creds$ client~assertion$ <seed~phrase$ <mnemonic$ <recovery~code$
credential      <recovery~codes$ <backup~code$ <backup~codes$
token           access~tokens$ refresh~tokens$ auth~tokens$ api~tokens$ token$ token~value$ <jwt$ <bearer$ <csrf$ <xsrf$ <jeton$
token           токен 令牌 トークン 토큰
one-time-code   <otp$ <totp$ <mfa$ <otp~code$ <totp~code$ <mfa~code$ <pin~code$
card-code       <cvv$ <cvv2$ <cvc$ <cvc2$
key             key$?
signature       <signature$? <sig$?
credential      <pat$? <crumb$? <connection~string$?
"""


@dataclass(frozen=True, slots=True)
class NameRule:
    """One family of names: a word of the table.

    Attributes:
        kind: What the marker says.
        fragment: What the name contains, `~` for a separator or none.
        left: Whether a word must begin there.
        right: Whether a word must end there, though more words may follow.
        closed: Whether only a number may follow.
        weak: Whether the value, too, must look like a secret.
    """

    kind: str
    fragment: str
    left: bool
    right: bool
    closed: bool
    weak: bool


def _rule(kind: str, word: str) -> NameRule:
    signs = word.strip("<").partition(word.strip("<>$?"))[2]
    return NameRule(kind, word.strip("<>$?"), word[0] == "<", ">" in signs, "$" in signs, "?" in signs)


RULES: Final = tuple(
    _rule(kind, word) for kind, *words in map(str.split, _NAMES.strip().splitlines()) for word in words
)
NAME_KINDS: Final = frozenset(rule.kind for rule in RULES)

# The last word of a name that speaks about a secret and does not hold one.
_DESCRIBES: Final = frozenset(
    """
    name names id ids arn type types count counts length len limit limits url uri urls endpoint
    server path paths file filename version policy hint strength status enabled disabled required
    expires expiry expired expiration at ttl age rotation rotated updated created changed scheme
    method mode algorithm alg source provider manager env var ref field fields label labels
    placeholder description error errors regex pattern min max domain consent banner present valid
    verified invalid missing usage used format index kind scope scopes note title attempts seconds
    ms size bytes class help prompt message text form input dialog validator rules rule hash hashed hasher
    """.split()  # noqa: SIM905  one word a line would fill a page
)
# With one of these before it, `token` is a unit of text or a place in a list.
_TEXT_TOKENS: Final = frozenset(
    """
    max min num n no prompt completion input output total cached cache reasoning audio per next prev
    previous page continuation stop start end eos bos sos pad unk mask sep cls special first last
    time image text sub thinking budget cost price generated context avg average mean target
    draft accepted rejected sampled word logprob pagination sync estimated used remaining limit
    single each current by
    """.split()  # noqa: SIM905  one word a line would fill a page
)
# With one of these before it, a key opens nothing.
_OPEN_KEYS: Final = frozenset(
    """
    primary foreign sort cache partition public pub index idx map dict unique natural composite surrogate hot json group
    row column col join sequence idempotency dedup deduplication translation i18n route routing state object range shard
    ordering message event metric feature flag config setting settings lookup hash tree registry parent child data prop
    property attribute attr meta query filter bucket file path arrow enter shift control ctrl alt tab
    escape function menu answer note song chord template locale label field form list item node issue jira project ticket
    user bundle integrity checksum finger fingerprint gpg pgp trusted known host identity wrapping
    """.split()  # noqa: SIM905  one word a line would fill a page
)
_WORDS: Final = re.compile(r"[A-Z]+(?![a-zß-ɏ])|[A-ZÀ-Þ]?[a-zß-ɏ]+|[0-9]+|[Ͱ-῿぀-￿]+")
_MARKER: Final = re.compile(r"\[redacted:[a-z0-9:\-]*\]")
_AUTH_TOKEN: Final = re.compile(
    r"(?:^|_)(?:access|refresh|auth|oauth|api|bearer|session|csrf|xsrf|secret|personal|jwt|device|security|service|push"
    r"|registration|deploy|bot|user|private|webhook|verification|reset|invite|login|sso|saml|identity|github|gitlab"
    r"|slack|hf|admin|root|vault|consul|npm|id)_?tokens?(?:_value)?$"
)
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
# A weak name hides nothing shorter.
_WEAK_LENGTH: Final = 16


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
    left = "(?:^|_)" if rule.left else ""
    right = "$" if rule.closed else "(?=_|$)" if rule.right else ""
    return re.compile(left + re.escape(rule.fragment).replace("\\~", "~").replace("~", "_?") + right)


_PATTERNS: Final = tuple((rule, _compiled(rule)) for rule in RULES)
_ANY: Final = re.compile("|".join(f"(?:{pattern.pattern})" for _, pattern in _PATTERNS))


@lru_cache(maxsize=8192)
def _known(name: str) -> tuple[str, bool] | None:
    """Return the kind that a name says, and whether it is a weak one."""
    canonical, words = _canonical(name)
    if not words or _ANY.search(canonical) is None or name in {"PWD", "OLDPWD"}:
        return None
    for rule, pattern in _PATTERNS:
        if pattern.search(canonical) is None:
            continue
        if words[-1] in _DESCRIBES and not canonical.endswith("secret_id"):
            return None
        if rule.kind == "token" and not _AUTH_TOKEN.search(canonical) and not _TEXT_TOKENS.isdisjoint(words):
            return None
        if rule.weak and rule.kind == "key" and (len(words) == 1 or not _OPEN_KEYS.isdisjoint(words)):
            return None
        return rule.kind, rule.weak
    return None


def _kind(name: str) -> tuple[str, bool] | None:
    # Very long names are not kept in memory.
    return _known(name) if len(name) <= 200 else _known.__wrapped__(name)


def name_kind(name: str) -> str | None:
    """Say what kind of secret a value of this name is, or None.

    Args:
        name: A key, a header's or a variable's name, in any case, with any separators.
    """
    found = _kind(name)
    return None if found is None or found[1] else found[0]


def weak_kind(name: str) -> str | None:
    """Say what kind of secret a value of this name is if it looks generated, or None."""
    found = _kind(name)
    return found[0] if found is not None and found[1] else None


def hides(kind: str, name: str, value: Any, siblings: Iterable[Any] = ()) -> bool:
    """Say whether a value under a name of this kind is one that can be secret.

    Args:
        kind: From `name_kind` or `weak_kind`.
        name: The key.
        value: What it holds. None, booleans and empty values hide nothing; numbers under `token` are counts.
        siblings: The other keys beside it; beside a log probability, `token` is text.
    """
    if value is None or isinstance(value, bool):
        return False
    if isinstance(value, (str, bytes, dict, list, tuple, set, frozenset)) and not value:
        return False
    if weak_kind(name) is not None:
        return isinstance(value, str) and len(value) >= _WEAK_LENGTH and looks_generated(value)
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


# Each name of letters a to z contains one of these, which a scan finds in one stride; shorter names are looked for where a word can
# begin, and those of other letters as they are.
_STEMS: Final = ["pass", "pwd", "secret", "apikey", "api_key", "api-key", "auth", "cookie", "sess", "cred", "jwt", "bearer", "csrf", "xsrf", "mnemonic", "phrase", "_code", "clave", "senha", "kennwort", "contrase", "wachtwoord", "assertion", "parola", "haslo", "sifre", "sandi", "jeton", "segredo", "signature", "geheimnis", "connection"]
STEMS: Final = "|".join(_STEMS)
# What mostly means something else where more follows: `tokens`, `keyboard`.
CLOSED_STEMS: Final = r"(?:(?:access|refresh|auth|api)[_.\- ]?tokens|token(?:[_.\- ]?value)?|keys?|codes?)[0-9_]*"
_LATIN: Final = sorted({rule.fragment for rule in RULES if rule.fragment.replace("~", "").isascii()})
SHORT_NAMES: Final = "|".join(
    name for name in _LATIN if not any(stem in name for stem in (*_STEMS, "token", "key", "code"))
)
OTHER_NAMES: Final = "|".join(
    sorted({rule.fragment.split("~")[0] for rule in RULES if not rule.fragment.replace("~", "").isascii()})
)


_LINE_ENDING: Final = r'(?:[^a-z"\\]|\\["\\/bfnrt]|\\u[0-9a-f]{4})*'


def line_scan() -> str:
    """Return a scan for secret names among the keys and words of a serialised line in lower case, in Rust's regex syntax."""
    value = r'"\s*:\s*(?:[\[{0-9.-]|"[^"])'
    rest = r'[^"\\]*(?:\\.[^"\\]*)*'
    return rf'(?:{STEMS}){rest}{value}|{CLOSED_STEMS}{_LINE_ENDING}{value}|(?:(?:{STEMS})[a-z0-9_.\-]*|{CLOSED_STEMS})"\s*[,}}]'


def structured_scan() -> str:
    """Return a scan for secret names whose value is an object or a list, or that stand as a value, in text in lower case."""
    names = rf"(?:(?:{STEMS})[a-z0-9_.\- ]*|{CLOSED_STEMS}|{SHORT_NAMES})".replace("~", "_")
    return rf'{names}[\\"\s]*(?::[\\"\s]*[\[{{]|,[\\"\s]*value)'


def short_line_scan() -> str:
    """Return a scan for the short names, for a line as it is."""
    short = SHORT_NAMES.replace("~", "[^a-z]*")
    return rf'(?i:(?:{short}){_LINE_ENDING}"\s*[:,}}])'


_LINE_SEPARATOR: Final = r'(?:[^a-z0-9"\\]|\\["\\/bfnrt]|\\u[0-9a-f]{4})*'


def added_scan(names: Iterable[str]) -> str:
    """Return a scan for names that were added, compact, among the keys of a serialised line in lower case."""
    return "|".join(
        rf'"{_LINE_SEPARATOR}{_LINE_SEPARATOR.join(name)}{_LINE_SEPARATOR}"\s*[:,}}]' for name in sorted(names)
    )
