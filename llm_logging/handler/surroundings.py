"""Secrets that are told by what stands around them: `password=...`, headers, URLs, private keys between their lines.

Text is often text inside text (tool arguments are JSON in a string, errors quote headers), so quotes may be escaped
to any depth. Where a value has no quotes it must hold a digit or a sign, or it is taken for a word of prose or code.
All patterns run on a lower-case copy, or on the text itself, and every repetition is possessive or short.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Final

from .keynames import RULES, name_kind
from .linear import OVERLAP, Span

__all__ = ["Assignments", "PrivateKeys", "Schemes", "UrlSecrets", "lower"]

_SEPARATOR: Final = r"[_. \-]?"
_OPEN: Final = "|".join(rule.fragment for rule in RULES if rule.open).replace("~", _SEPARATOR)
_CLOSED: Final = "|".join(rule.fragment for rule in RULES if not rule.open).replace("~", _SEPARATOR)
_NAME: Final = rf"(?:(?:{_OPEN})[A-Za-z0-9_.\-]{{0,48}}|(?:{_CLOSED})[0-9]{{0,2}})"
_BARE: Final = r"[^\s\"'`&,;<>(){}\[\]\\|]"
_AUTH: Final = r"(?:bearer|basic|token|digest|negotiate|apikey|bot|aws4-hmac-sha256)"
# Longer names than this are not looked at to the left of the telling word.
_NAME_LEFT: Final = re.compile(r"[A-Za-z0-9_.\-]*\Z")


def lower(text: str) -> str:
    """Return the text in lower case, of the same length; letters that only look like ASCII ones when lowered go."""
    if text.isascii():
        return text.lower()
    # Lowering U+0130 makes two characters of one, and U+212A becomes an ASCII letter.
    return text.replace("\u0130", "\u0131").replace("\u212a", "\u0138").lower()


class Assignments:
    """Find values of secret names in text: `KEY=value`, `"key": "value"`, `Header: value`, `?key=value`."""

    __slots__ = ()

    scan = rf"(?i-u:{_NAME})\\{{0,8}}[\"'`]?(?:[ \t]|\\t){{0,4}}(?:=>|:=|[:=])"
    _pattern = re.compile(
        rf"(?P<name>(?:{_OPEN})[a-z0-9_.\-]{{0,48}}+|(?:{_CLOSED})[0-9]{{0,2}}+)"
        r"\\{0,8}+[\"'`]?[ \t]{0,4}+(?P<sign>=>|:=|[:=])(?P<gap>[ \t]{0,4}+)"
        r"(?:"
        r"[bfru]{0,2}(?P<escape>\\{0,8}+)(?P<quote>[\"'`])(?P<quoted>(?:(?!(?P=escape)(?P=quote))[^\r\n]){1,1024}+)"
        rf"|(?P<scheme>{_AUTH}[ \t]{{1,4}}+[^\s\"'`\\]{{4,}}+)"
        rf"|(?P<jar>(?<=cookie:)[^\r\n\"'\\\[]{{3,1024}}+|(?<=cookie:\s)[^\r\n\"'\\\[]{{3,1024}}+)"
        rf"|(?P<bare>(?={_BARE}{{0,64}}?[0-9!@#%^*+~])(?![$%*]){_BARE}{{4,}}+)"
        r")"
    )
    _placeholder = re.compile(
        r"(?:str|string|int|none|null|true|false|undefined|\.{3}|x{3,}|\*+|<[^>]*>|\$\{?[a-z0-9_.]*\}?|\{\{?[^{}]*\}?\}|%s|%\([a-z_]+\)s"
        r"|your[_\- ][a-z0-9_\- ]*|[a-z_]*(?:redacted|removed|hidden)[a-z_]*)\Z"
    )

    def spans(self, text: str, start: int, stop: int) -> Iterator[Span]:
        """Yield what begins in text[start:stop]; see `linear.Detector`."""
        begin, limit = max(0, start - 64), min(len(text), stop + OVERLAP)
        low = lower(text[begin:limit])
        position = start - begin
        for match in self._pattern.finditer(low, position):
            if match.start() + begin >= stop:
                return
            span = self._judge(text, low, begin, match)
            if span is not None:
                yield span

    def _judge(self, text: str, low: str, begin: int, match: re.Match[str]) -> Span | None:
        group = match.lastgroup or ""
        first, end = match.span(group)
        left = _NAME_LEFT.search(low, max(0, match.start() - 48), match.start())
        name_start = left.start() if left is not None else match.start()
        kind = name_kind(text[begin + name_start : begin + match.end("name")])
        if kind is None:
            return None
        value = low[first:end]
        if self._placeholder.match(value):
            return None
        if group == "quoted" and kind == "token" and not _random(text[begin + first : begin + end]):
            return None
        if group == "bare" and match["sign"] == "=" and match["gap"]:
            return None
        if group == "jar" and "=" not in value:
            return None
        if end + begin < len(text) and end == len(low) and group != "quoted":
            # The value runs on behind what was looked at.
            end += len(re.match(rf"{_BARE}*+", text[begin + end :])[0])  # type: ignore[index]  # it may be empty
        return begin + first, begin + end, kind


def _random(value: str) -> bool:
    return (
        len(value) >= 8
        and any(char.isdigit() for char in value)
        and not any(char.isspace() for char in value)
    )


class Schemes:
    """Find what follows `Bearer` and `Basic`."""

    __slots__ = ()

    scan = r"(?i-u:bearer|basic)(?:[ \t]|\\t|%20|\+){1,4}[A-Za-z0-9._~+/=\-]{8}"
    _pattern = re.compile(r"(?P<scheme>bearer|basic)(?:[ \t+]|%20){1,4}+(?P<value>[a-z0-9._~+/=\-]{8,}+)")

    def spans(self, text: str, start: int, stop: int) -> Iterator[Span]:
        """Yield what begins in text[start:stop]; see `linear.Detector`."""
        limit = min(len(text), stop + OVERLAP)
        low = lower(text[start:limit])
        for match in self._pattern.finditer(low):
            if match.start() + start >= stop:
                return
            first, end = match.span("value")
            first, end = first + start, end + start
            if end == limit < len(text):
                rest = re.compile(r"[A-Za-z0-9._~+/=\-]*+").match(text, end)
                end = rest.end() if rest is not None else end
            value = text[first:end]
            if match["scheme"] == "bearer":
                if _token_like(value):
                    yield first, end, "bearer-token"
            elif _is_basic(value):
                yield first, end, "basic-credentials"


def _token_like(value: str) -> bool:
    if len(value) < 16:
        return False
    head = value[:200]
    if any(char.isdigit() for char in head):
        return True
    return len(value) >= 20 and head.lower() != head and not head.istitle() and head.upper() != head


def _is_basic(value: str) -> bool:
    try:
        decoded = base64.b64decode(
            value[:4096].rstrip("=") + "=" * (-len(value[:4096].rstrip("=")) % 4), validate=True
        )
    except (binascii.Error, ValueError):
        return False
    return b":" in decoded and decoded.isascii() and all(byte >= 32 for byte in decoded)


class UrlSecrets:
    """Find passwords in URLs, and the signatures that make a URL a key."""

    __slots__ = ()

    scan = (
        r"://[^\s:@/\"<>?#]*:[^\s/\"<>]+@"
        r"|(?:[?&;]|\\u0026)(?i-u:sig|signature|x-amz-signature|x-goog-signature)=[A-Za-z0-9%+/=_\-]{12}"
    )
    _pattern = re.compile(
        r"://[^\s:@/\"'<>\\?#]{0,256}+:(?P<password>(?![$*{<\[]|%\()[^\s/\"'<>\\]{1,1024})@"
        r"|(?:[?&;]|\\u0026)(?:[sS]ig|[sS]ignature|[xX]-(?:[aA]mz|[gG]oog)-[sS]ignature|SIG(?:NATURE)?|X-(?:AMZ|GOOG)-SIGNATURE)"
        r"=(?P<signature>[A-Za-z0-9%+/=_\-]{16,}+)"
    )

    def spans(self, text: str, start: int, stop: int) -> Iterator[Span]:
        """Yield what begins in text[start:stop]; see `linear.Detector`."""
        limit = min(len(text), stop + OVERLAP)
        for match in self._pattern.finditer(text, start, limit):
            if match.start() >= stop:
                return
            found = match if match.end() < limit else self._pattern.match(text, match.start()) or match
            group = found.lastgroup or ""
            first, end = found.span(group)
            yield first, end, "url-password" if group == "password" else "url-signature"


class PrivateKeys:
    """Find private keys in their text forms: PEM, OpenSSH, PGP and PuTTY, also cut off or escaped."""

    __slots__ = ()

    scan = r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY|Private-Lines: ?[0-9]"
    _between = r"(?:[\s\"'+,]|\\{1,8}[nrt])"
    _pattern = re.compile(
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
        r"(?:(?:[^-]++|-(?!----))*+-----END [A-Z0-9 ]{0,40}-----"
        rf"|{_between}*+(?:[A-Za-z0-9+/=]{{16,}}+{_between}*+)++[A-Za-z0-9+/=]*+)"
        rf"|Private-Lines: ?[0-9]{{1,4}}(?:{_between}++[A-Za-z0-9+/=]{{16,}}+)++"
    )

    def spans(self, text: str, start: int, stop: int) -> Iterator[Span]:
        """Yield what begins in text[start:stop]; see `linear.Detector`."""
        while start < stop:
            found = self._pattern.search(text, start)
            if found is None or found.start() >= stop:
                return
            yield found.start(), found.end(), "private-key"
            start = found.end()
