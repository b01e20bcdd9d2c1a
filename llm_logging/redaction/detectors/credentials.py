"""The credential formats that can be told by their look: providers, clouds, code hosts, chat and payment services.

One table, from which both sides are made: the fast scan (Rust's regex syntax, without boundaries) and the precise
pattern (Python's, with boundaries, all repetitions possessive). A format is a literal prefix and a tail written in
the common part of both syntaxes, without groups that a shortened scan would cut open.

Sources: the providers' own documentation of their keys, and the formats that secret scanners of code hosts publish.
Public identifiers (publishable keys, account ids, ARNs) are no secrets and are not listed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ..matching.prefilter import OVERLAP, Span, matcher, matches, suspects
from ..matching.trie import Letters

__all__ = ["FORMATS", "INNER", "KINDS", "Credentials", "Format", "InnerCredentials"]

_HEX = "[0-9a-f]"
_ALNUM = "[A-Za-z0-9]"
_URL64 = "[A-Za-z0-9_-]"
_B64 = "[A-Za-z0-9+/]"


@dataclass(frozen=True, slots=True)
class Format:
    """One credential format.

    Attributes:
        kind: What the marker says.
        prefix: Literal text at its beginning.
        tail: What follows, in the syntax that Python and Rust share.
        digit: True where a digit must be among the first 40 characters of the tail, to tell keys from slugs.
        mixed: True where a capital, too, must be among them.
        scan: What a scan looks for behind the prefix, where that does not follow from the tail.
    """

    kind: str
    prefix: str
    tail: str
    digit: bool = False
    mixed: bool = False
    scan: str = ""


def _f(
    kind: str, prefix: str, tail: str, *, digit: bool = False, mixed: bool = False, scan: str = ""
) -> Format:
    return Format(kind, prefix, tail, digit or mixed, mixed, scan)


# Of formats with one beginning the more special comes first.
FORMATS: Final[tuple[Format, ...]] = (
    # LLM providers and tools around them
    _f("anthropic-key", "sk-ant-", rf"{_URL64}{{16,}}"),
    _f("openrouter-key", "sk-or-", rf"{_URL64}{{16,}}"),
    _f("langfuse-key", "sk-lf-", rf"{_URL64}{{16,}}"),
    _f("openai-key", "sk-proj-", rf"{_URL64}{{16,}}"),
    _f("openai-key", "sk-svcacct-", rf"{_URL64}{{16,}}"),
    _f("openai-key", "sk-admin-", rf"{_URL64}{{16,}}"),
    _f("openai-key", "sk-None-", rf"{_URL64}{{16,}}"),
    _f("openai-key", "sk-", rf"{_ALNUM}{{20,}}", digit=True),
    _f(
        "api-key",
        "sk-",
        rf"[A-Za-z0-9]{{2,12}}-{_ALNUM}{{20,}}",
        digit=True,
        scan=rf"[A-Za-z0-9]{{2,12}}-{_ALNUM}{{12}}",
    ),
    _f("openai-session", "sess-", rf"{_ALNUM}{{40}}"),
    _f("google-key", "AIza", rf"{_URL64}{{35}}"),
    _f("google-key", "AQ.Ab", rf"{_URL64}{{30,}}"),
    _f("google-token", "ya29.", r"[A-Za-z0-9_.-]{20,}"),
    _f("google-token", "1//0", rf"{_URL64}{{28,}}"),
    _f("google-secret", "GOCSPX-", rf"{_URL64}{{28}}"),
    _f("huggingface-token", "hf_", rf"{_ALNUM}{{30,}}"),
    _f("huggingface-token", "api_org_", rf"{_ALNUM}{{30,}}"),
    _f("groq-key", "gsk_", rf"{_ALNUM}{{40,}}"),
    _f("xai-key", "xai-", rf"{_ALNUM}{{40,}}"),
    _f("perplexity-key", "pplx-", rf"{_ALNUM}{{32,}}"),
    _f("replicate-token", "r8_", rf"{_ALNUM}{{37}}"),
    _f("fireworks-key", "fw_", rf"{_ALNUM}{{20,}}", digit=True),
    _f("cerebras-key", "csk-", rf"{_ALNUM}{{32,}}"),
    _f("nvidia-key", "nvapi-", rf"{_URL64}{{32,}}"),
    _f("together-key", "tgp_v1_", rf"{_URL64}{{30,}}"),
    _f("langsmith-key", "lsv2_", rf"(?:pt|sk)_{_HEX}{{32}}_{_HEX}{{8,12}}"),
    _f("pinecone-key", "pcsk_", rf"{_URL64}{{40,}}"),
    _f("voyage-key", "pa-", rf"{_URL64}{{43}}", mixed=True),
    _f("jina-key", "jina_", rf"{_URL64}{{40,}}"),
    _f("tavily-key", "tvly-", rf"{_URL64}{{20,}}"),
    _f("firecrawl-key", "fc-", rf"{_HEX}{{32}}", scan=f"{_HEX}{{16}}"),
    _f("elevenlabs-key", "sk_", rf"{_HEX}{{48}}"),
    _f("databricks-token", "dapi", rf"{_HEX}{{32}}(?:-[0-9])?"),
    _f("wandb-key", "wandb_v1_", rf"{_URL64}{{30,}}"),
    # clouds and platforms
    _f("aws-access-key-id", "AKIA", r"[A-Z2-7]{16}"),
    _f("aws-access-key-id", "ASIA", r"[A-Z2-7]{16}"),
    _f("aws-access-key-id", "ABIA", r"[A-Z2-7]{16}"),
    _f("aws-access-key-id", "ACCA", r"[A-Z2-7]{16}"),
    _f("aws-session-token", "IQoJb3JpZ2lu", r"[A-Za-z0-9+/=]{60,}"),
    _f("aws-session-token", "FwoGZXIvYXdz", r"[A-Za-z0-9+/=]{60,}"),
    _f("aws-bedrock-key", "ABSK", r"[A-Za-z0-9+/]{80,}={0,2}"),
    _f("aws-bedrock-key", "bedrock-api-key-", r"[A-Za-z0-9+/=_-]{30,}"),
    _f("alibaba-key-id", "LTAI", rf"{_ALNUM}{{16,24}}"),
    _f("tencent-key-id", "AKID", rf"{_ALNUM}{{32}}"),
    _f("digitalocean-token", "dop_v1_", rf"{_HEX}{{64}}"),
    _f("digitalocean-token", "doo_v1_", rf"{_HEX}{{64}}"),
    _f("digitalocean-token", "dor_v1_", rf"{_HEX}{{64}}"),
    _f("cloudflare-key", "v1.0-", rf"{_HEX}{{24}}-{_HEX}{{146}}"),
    _f("heroku-key", "HRKU-", rf"{_URL64}{{36,}}"),
    _f("fly-token", "FlyV1 ", r"fm[0-9][a-z]?_[A-Za-z0-9+/=,_]{30,}"),
    _f("fly-token", "fo1_", rf"{_URL64}{{43}}"),
    _f("netlify-token", "nfp_", rf"{_ALNUM}{{36}}"),
    _f("supabase-token", "sbp_", rf"{_HEX}{{40}}"),
    _f("supabase-key", "sb_secret_", rf"{_URL64}{{20,}}"),
    _f("planetscale-token", "pscale_", r"(?:tkn|oauth|pw)_[A-Za-z0-9_.-]{32,}"),
    _f("doppler-token", "dp.", r"(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9_.-]{40,}"),
    _f("vault-token", "hvs.", rf"{_URL64}{{24,}}"),
    _f("vault-token", "hvb.", rf"{_URL64}{{24,}}"),
    _f("vault-token", "hvr.", rf"{_URL64}{{24,}}"),
    _f("pulumi-token", "pul-", rf"{_HEX}{{40}}"),
    _f("grafana-token", "glsa_", rf"{_ALNUM}{{32}}_[0-9A-Fa-f]{{8}}"),
    _f("grafana-token", "glc_", r"[A-Za-z0-9+/]{32,}={0,3}"),
    _f("newrelic-key", "NRAK-", r"[A-Z0-9]{27}"),
    _f("newrelic-key", "NRII-", r"[A-Za-z0-9_-]{32}"),
    _f("sentry-token", "sntrys_", r"[A-Za-z0-9+/=_-]{40,}"),
    _f("sentry-token", "sntryu_", rf"{_HEX}{{64}}"),
    _f("dynatrace-token", "dt0c01.", r"[A-Z0-9]{24}\.[A-Z0-9]{64}"),
    _f("openshift-token", "sha256~", rf"{_URL64}{{43}}"),
    _f("onepassword-token", "ops_eyJ", rf"{_B64}{{100,}}={{0,3}}"),
    _f("age-key", "AGE-SECRET-KEY-1", r"[A-Z0-9]{58}"),
    _f("readme-key", "rdme_", r"[a-z0-9]{70}"),
    _f("prefect-key", "pnu_", rf"{_ALNUM}{{36}}"),
    # code hosts and package registries
    _f("github-token", "github_pat_", r"[A-Za-z0-9_]{40,}"),
    _f("github-token", "ghp_", rf"{_ALNUM}{{36,}}"),
    _f("github-token", "gho_", rf"{_ALNUM}{{36,}}"),
    _f("github-token", "ghu_", rf"{_ALNUM}{{36,}}"),
    _f("github-token", "ghs_", rf"{_ALNUM}{{36,}}"),
    _f("github-token", "ghr_", rf"{_ALNUM}{{36,}}"),
    _f("gitlab-token", "glpat-", r"[A-Za-z0-9_.-]{20,}"),
    _f("gitlab-token", "gldt-", rf"{_URL64}{{20,}}"),
    _f("gitlab-token", "glrt-", r"[A-Za-z0-9_.-]{20,}"),
    _f("gitlab-token", "glcbt-", rf"{_URL64}{{20,}}"),
    _f("gitlab-token", "glptt-", rf"{_HEX}{{40}}"),
    _f("gitlab-token", "glft-", rf"{_URL64}{{20,}}"),
    _f("gitlab-token", "glffct-", rf"{_URL64}{{20,}}"),
    _f("gitlab-token", "glimt-", rf"{_URL64}{{20,}}"),
    _f("gitlab-token", "glagent-", rf"{_URL64}{{40,}}"),
    _f("gitlab-token", "gloas-", rf"{_URL64}{{40,}}"),
    _f("gitlab-token", "glsoat-", rf"{_URL64}{{20,}}"),
    _f("gitlab-token", "GR1348941", rf"{_URL64}{{20}}"),
    _f("atlassian-token", "ATATT3", r"[A-Za-z0-9_=-]{40,}"),
    _f("atlassian-token", "ATCTT3", r"[A-Za-z0-9_=-]{40,}"),
    _f("bitbucket-password", "ATBB", rf"{_ALNUM}{{28,36}}"),
    _f("npm-token", "npm_", rf"{_ALNUM}{{36}}"),
    _f("pypi-token", "pypi-AgE", rf"{_URL64}{{40,}}"),
    _f("rubygems-key", "rubygems_", rf"{_HEX}{{48}}"),
    _f("crates-token", "cio", rf"{_ALNUM}{{32}}", digit=True),
    _f("docker-token", "dckr_pat_", rf"{_URL64}{{27}}"),
    _f("docker-token", "dckr_oat_", rf"{_URL64}{{27,}}"),
    _f("artifactory-key", "AKCp", rf"{_ALNUM}{{69}}"),
    _f("sourcegraph-token", "sgp_", r"(?:[0-9a-f]{16}_|local_)?[0-9a-f]{40}"),
    _f("clojars-token", "CLOJARS_", r"[A-Za-z0-9]{60}"),
    _f("nuget-key", "oy2", r"[a-z0-9]{43}"),
    _f("circleci-token", "CCIPAT_", rf"{_URL64}{{30,}}"),
    # chat, mail and office services
    _f("slack-token", "xoxe.xox", r"[bp]-[A-Za-z0-9-]{20,}"),
    _f("slack-token", "xox", r"[abeoprs]-[A-Za-z0-9-]{10,}", digit=True),
    _f("slack-token", "xapp-", r"[0-9]-[A-Za-z0-9-]{20,}"),
    _f("slack-webhook", "hooks.slack.com/", r"(?:services|workflows|triggers)/[A-Za-z0-9+/_-]{20,}"),
    _f("discord-webhook", "discord.com/api/webhooks/", r"[0-9]{15,22}/[A-Za-z0-9_-]{40,}"),
    _f("discord-webhook", "discordapp.com/api/webhooks/", r"[0-9]{15,22}/[A-Za-z0-9_-]{40,}"),
    _f("sendgrid-key", "SG.", r"[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{32,64}"),
    _f("mailgun-key", "key-", rf"{_HEX}{{32}}"),
    _f("brevo-key", "xkeysib-", rf"{_HEX}{{64}}-{_ALNUM}{{16}}"),
    _f("resend-key", "re_", rf"[A-Za-z0-9]{{8}}_{_ALNUM}{{24}}"),
    _f("twilio-key", "SK", rf"{_HEX}{{32}}"),
    _f("linear-key", "lin_api_", rf"{_ALNUM}{{32,}}"),
    _f("notion-token", "ntn_", rf"{_ALNUM}{{40,}}"),
    _f("notion-token", "secret_", rf"{_ALNUM}{{43}}"),
    _f("airtable-token", "pat", rf"{_ALNUM}{{14}}\.{_HEX}{{64}}"),
    _f("figma-token", "figd_", rf"{_URL64}{{36,}}"),
    _f(
        "hubspot-token",
        "pat-",
        rf"(?:na|eu|ap)[0-9]-{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}",
    ),
    _f("typeform-token", "tfp_", r"[A-Za-z0-9_.-]{40,}"),
    _f("postman-key", "PMAK-", rf"{_HEX}{{24}}-{_HEX}{{34}}"),
    _f("contentful-token", "CFPAT-", rf"{_URL64}{{43}}"),
    _f("dropbox-token", "sl.", r"[A-Za-z0-9_-]{100,}"),
    # payment and commerce
    _f("stripe-key", "sk_live_", rf"{_ALNUM}{{10,}}"),
    _f("stripe-key", "sk_test_", rf"{_ALNUM}{{10,}}"),
    _f("stripe-key", "rk_live_", rf"{_ALNUM}{{10,}}"),
    _f("stripe-key", "rk_test_", rf"{_ALNUM}{{10,}}"),
    _f("webhook-secret", "whsec_", r"[A-Za-z0-9+/=]{24,}"),
    _f("square-token", "EAAA", rf"{_URL64}{{60}}"),
    _f("square-token", "sq0atp-", rf"{_URL64}{{22}}"),
    _f("square-secret", "sq0csp-", rf"{_URL64}{{43}}"),
    _f("paypal-token", "access_token$", r"(?:production|sandbox)\$[0-9a-z]{16}\$[0-9a-f]{32}"),
    _f(
        "plaid-token",
        "access-",
        rf"(?:sandbox|development|production)-{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}",
    ),
    _f("razorpay-key", "rzp_live_", rf"{_ALNUM}{{14,}}"),
    _f("razorpay-key", "rzp_test_", rf"{_ALNUM}{{14,}}"),
    _f("flutterwave-key", "FLWSECK", rf"(?:_TEST)?-{_ALNUM}{{12,}}(?:-X)?"),
    _f("shopify-token", "shpat_", r"[0-9A-Fa-f]{32}"),
    _f("shopify-token", "shpca_", r"[0-9A-Fa-f]{32}"),
    _f("shopify-token", "shppa_", r"[0-9A-Fa-f]{32}"),
    _f("shopify-secret", "shpss_", r"[0-9A-Fa-f]{32}"),
    _f("easypost-key", "EZAK", rf"{_ALNUM}{{54}}"),
    _f("easypost-key", "EZTK", rf"{_ALNUM}{{54}}"),
    _f("facebook-token", "EAAC", rf"{_ALNUM}{{100,}}"),
    _f("facebook-token", "EAAM", rf"{_ALNUM}{{100,}}"),
    # tokens that carry their own structure
    _f(
        "jwt",
        "eyJ",
        rf"{_URL64}{{8,}}\.(?:eyJ{_URL64}{{4,}}\.{_URL64}*|{_URL64}*\.{_URL64}{{8,}}\.{_URL64}{{8,}}\.{_URL64}{{8,}})",
    ),
)

# Formats without a literal beginning: (kind, the patterns that may stand left of what is telling, the longest first, with
# their lengths; the telling text; what follows it; how a scan looks for it).
_Left = tuple[tuple[str, int], ...]
_SNOWFLAKE: Final = r"(?:M[TDjz]|[NO][DTjz])[A-Za-z0-9]"
INNER: Final[tuple[tuple[str, _Left, str, str, str], ...]] = (
    (
        "azure-secret",
        ((r"[A-Za-z0-9_~.]{3}[0-9]", 4),),
        "Q~",
        r"[A-Za-z0-9_~.-]{31,34}",
        r"Q~[A-Za-z0-9_~.-]{12}",
    ),
    (
        "azure-key",
        ((r"[A-Za-z0-9]{52}", 52),),
        "JQQJ99",
        r"[A-Z0-9]{10}[A-Za-z0-9]{16}",
        r"JQQJ99[A-Z0-9]{10}",
    ),
    (
        "telegram-token",
        tuple((f"[0-9]{{{length}}}", length) for length in (10, 9, 8)),
        ":AA",
        r"[A-Za-z0-9_-]{33}",
        r":AA[A-Za-z0-9_-]{12}",
    ),
    (
        "terraform-token",
        ((r"[A-Za-z0-9]{14}", 14),),
        ".atlasv1.",
        r"[A-Za-z0-9_=-]{60,}+",
        r"\.atlasv1\.[A-Za-z0-9_=-]{12}",
    ),
    (
        "discord-token",
        tuple((f"{_SNOWFLAKE}{{{length}}}", length + 2) for length in range(26, 20, -1)),
        ".",
        r"[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,}+",
        rf"{_SNOWFLAKE}{{21,26}}\.[A-Za-z0-9_-]{{6}}\.",
    ),
    ("mailchimp-key", ((r"[0-9a-f]{32}", 32),), "-us", r"[0-9]{1,2}", r"-us[0-9]"),
    ("maxmind-key", ((r"[A-Za-z0-9]{6}_[A-Za-z0-9]{29}", 36),), "_mmk", "", r"_mmk"),
)
_LONGEST_LEFT: Final = 64

KINDS: Final = frozenset({entry.kind for entry in FORMATS} | {kind for kind, *_ in INNER})

_CLASS = re.compile(r"(\[[^\]]*\])\{(\d+)")
# Rust finds up to some sixty literals of three letters at once; what begins with fewer letters goes with the inner ones.
_GROUPS: Final = 3
_TELLING: Final = 3
_SCAN_REPEAT: Final = 12
_SCAN_REST: Final = "[!-~]{8}"


def _scan_of(entry: Format) -> str:
    # A superset is what counts: a few letters of the tail are telling enough.
    if entry.scan:
        return re.escape(entry.prefix) + entry.scan
    simple = _CLASS.match(entry.tail)
    rest = f"{simple[1]}{{{min(int(simple[2]), _SCAN_REPEAT)}}}" if simple is not None else _SCAN_REST
    return re.escape(entry.prefix) + rest


def _scans() -> tuple[str, ...]:
    by_beginning: dict[str, list[str]] = {}
    for entry in FORMATS:
        if len(entry.prefix) >= _TELLING:
            by_beginning.setdefault(entry.prefix[:_TELLING], []).append(_scan_of(entry))
    families = ["|".join(family) for family in by_beginning.values()]
    size = -(-len(families) // _GROUPS)
    return tuple("|".join(families[start : start + size]) for start in range(0, len(families), size))


# Text is often text inside text: an escape or a percent code before a secret is no letter of it.
_PLAIN_LEFT: Final = "(?<![A-Za-z0-9])"
_ESCAPED_LEFT: Final = (
    r"(?:(?<![A-Za-z0-9])|(?<=\\[bfnrt])|(?<=%[0-9A-Fa-f]{2})|(?<=\\u[0-9A-Fa-f]{4})|(?<=\\x[0-9A-Fa-f]{2})"
    # The end of a colour: ESC [ 1 ; 31 m.
    r"|(?<=\[m)|(?<=[\[;][0-9]m)|(?<=[\[;][0-9]{2}m)|(?<=[\[;][0-9]{3}m))"
)
_ESCAPES: Final = ("\\", "%", "\x1b")
# What is longer may go on further than was looked at.
_LONG: Final = OVERLAP
_LAST_REPEAT = re.compile(r"(\[[^\]]*\])\{(\d+)(?:,\d*)?\}(?:={0,\d})?\Z")


def _precise(entry: Format) -> str:
    # The cheap test comes first: enough letters, then the digit among them, then all of it; all repetitions possessive below.
    tail = entry.tail
    last = _LAST_REPEAT.search(tail)
    if last is not None and entry.digit:
        ahead = f"(?={last[1]}{{{last[2]}}})(?=[A-Za-z_-]{{0,40}}[0-9])"
        ahead += "(?=[a-z0-9_-]{0,40}[A-Z])" if entry.mixed else ""
        tail = tail[: last.start()] + ahead + last[0]
    tail = re.sub(r"(\{\d+,\d*\}|\*)(?=$|[^?])", r"\1+", tail)
    fixed = re.search(r"(\[[^\]]*\])\{\d+\}$", entry.tail)
    left = r"(?<![_\-]eyJ)" if entry.kind == "jwt" else ""
    return left + tail + (f"(?!{fixed[1]})" if fixed else "")


def _alternation() -> tuple[str, dict[str, str]]:
    letters = Letters()
    kinds: dict[str, str] = {}
    for number, entry in enumerate(FORMATS):
        name = f"f{number}"
        kinds[name] = entry.kind
        letters.add(entry.prefix, f"(?P<{name}>{_precise(entry)})")
    return letters.bundles(8), kinds


def _heads() -> str:
    letters = Letters()
    for entry in FORMATS:
        letters.add(entry.prefix, _scan_of(entry)[len(re.escape(entry.prefix)) :])
    return letters.bundles(8)


class Credentials:
    """Find credentials that begin with a literal prefix."""

    scans: tuple[str, ...] = _scans()
    few: str = "|".join(_scan_of(entry) for entry in FORMATS if len(entry.prefix) < _TELLING)
    lowered: bool = False
    # Near misses end here, at a price of nanoseconds a letter.
    whole: str = "|".join(f"{re.escape(entry.prefix)}(?:{entry.tail})" for entry in FORMATS)
    telling: tuple[str, ...] = (*scans, few)
    near: int = 48

    def __init__(self) -> None:
        formats, self._kinds = _alternation()
        self._glued = re.compile(formats, re.ASCII)
        heads = _heads()
        self._plain = re.compile(f"{_PLAIN_LEFT}(?:{heads})", re.ASCII)
        self._escaped = re.compile(f"{_ESCAPED_LEFT}(?:{heads})", re.ASCII)

    def spans(self, text: str, low: str, start: int, stop: int) -> Iterator[Span]:  # noqa: ARG002
        """Yield what begins in text[start:stop]; see `linear.Detector`."""
        kinds, length = self._kinds, len(text)
        near = max(0, start - 8)
        escapes = any(text.find(escape, near, stop) >= 0 for escape in _ESCAPES)
        head = self._escaped if escapes else self._plain
        for begin, match in matches(head, self._glued, text, start, stop, self.near):
            if begin < start:
                continue
            found = match
            if found is None:
                yield begin, begin, ""
            while found is not None:
                begin, end = found.span()  # noqa: PLW2901  what begins where another ends needs no boundary
                if end - begin >= _LONG and end < length:
                    found = self._glued.match(text, begin) or found
                    end = found.end()
                yield begin, end, kinds[found.lastgroup or ""]
                start = end
                found = self._glued.match(text, end, min(length, end + OVERLAP))


class InnerCredentials:
    """Find credentials whose telling part stands in their middle."""

    scans: tuple[str, ...] = ()
    few: str = "|".join(scan for *_, scan in INNER)
    lowered: bool = False
    whole: str = ""
    telling: tuple[str, ...] = ()
    near: int = 0

    def __init__(self) -> None:
        # The telling text comes first, for it is soon found, and what must stand before it is looked at next.
        self._formats = [
            (
                kind,
                re.compile(f"{re.escape(mark)}(?:{_before(left, mark)}){rest}(?![A-Za-z0-9])", re.ASCII),
                [(re.compile(rf"{_ESCAPED_LEFT}{part}\Z", re.ASCII), length) for part, length in left],
                matcher(scan),
            )
            for kind, left, mark, rest, scan in INNER
        ]

    def spans(self, text: str, low: str, start: int, stop: int) -> Iterator[Span]:  # noqa: ARG002
        """Yield what begins in text[start:stop]; see `linear.Detector`."""
        limit = min(len(text), stop + OVERLAP)
        reach = stop + _LONGEST_LEFT
        part = text[start:limit]
        found: list[Span] = []
        for kind, pattern, lefts, scan in self._formats:
            if not suspects(scan, part):
                continue
            for match in pattern.finditer(text, start, limit):
                if match.start() >= reach:
                    break
                begin = _beginning(text, match.start(), lefts)
                if begin is None or not start <= begin < stop:
                    # In vain, or the business of another block.
                    if match.start() < stop:
                        found.append((match.start(), match.start(), ""))
                    continue
                if match.end() == limit < len(text):
                    match = pattern.match(text, match.start()) or match  # noqa: PLW2901  the whole of it
                found.append((begin, match.end(), kind))
        found.sort()
        yield from found


def _before(left: _Left, mark: str) -> str:
    return "|".join(f"(?<={part}{re.escape(mark)})" for part, _ in left)


def _beginning(text: str, at: int, lefts: list[tuple[re.Pattern[str], int]]) -> int | None:
    """Return where a credential begins whose telling text stands at a place; None where it is a part of something longer."""
    for pattern, length in lefts:
        if at >= length and pattern.match(text, at - length, at) is not None:
            return at - length
    return None
