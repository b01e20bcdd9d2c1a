"""Secrets in URLs: passwords before the host, signatures and keys in the query; `Bearer` and `Basic` schemes."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from functools import lru_cache

from ..matching.prefilter import OVERLAP, Span, matches
from ..matching.values import looks_generated

__all__ = ["Schemes", "UrlSecrets", "UrlSignatures"]


class Schemes:
    """Find what follows `Bearer` and `Basic`."""

    scan: str = r"(?i:(?:bearer|basic)(?: |\t|\\+t|%20|\+){1,4}[a-z0-9._~+/=\-]{8})"
    low_scan: str = ""
    _pattern = re.compile(r"(?P<scheme>bearer|basic)(?:[ \t+]|%20){1,4}+(?P<value>[a-z0-9._~+/=\-]{8,}+)")
    _rest = re.compile(r"[A-Za-z0-9._~+/=\-]*+")

    def spans(self, text: str, low: str, start: int, stop: int) -> Iterator[Span]:
        """Yield what begins in text[start:stop]; see `prefilter.Detector`."""
        limit = min(len(text), stop + OVERLAP)
        for match in self._pattern.finditer(low, start, limit):
            if match.start() >= stop:
                return
            first, end = match.span("value")
            if end == limit < len(text):
                rest = self._rest.match(text, end)
                end = rest.end() if rest is not None else end
            value = text[first:end]
            if match["scheme"] == "bearer":
                yield (first, end, "bearer-token") if _token_like(value) else (first, first, "")
            elif _is_basic(value[:400]):
                yield first, end, "basic-credentials"
            else:
                yield first, first, ""


def _token_like(value: str) -> bool:
    if len(value) < 16:
        return False
    head = value[:200]
    if any(char.isdigit() for char in head):
        return True
    return len(value) >= 20 and head.lower() != head and not head.istitle() and head.upper() != head


@lru_cache(maxsize=1024)
def _is_basic(value: str) -> bool:
    # Of a long value its beginning tells; a multiple of four letters is whole bytes.
    plain = value.rstrip("=")
    try:
        decoded = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return False
    return b":" in decoded and all(byte >= 32 for byte in decoded)


class UrlSecrets:
    """Find passwords in URLs."""

    scan: str = r"://[^\s:@/\"<>?#]*:[^\s\"<>]{1,256}@|%3[aA]%2[fF]%2[fF][^\s&\"<>]*%40|:thin:[^\s/]{1,64}/[^\s@]{1,128}@"
    low_scan: str = ""
    _head = re.compile(r"://|%3[aA]%2[fF]%2[fF]|:thin:")
    _pattern = re.compile(
        r"://[^\s:@/\"'<>\\?#]{0,256}+:(?P<password>(?![$*{<\[]|%\()(?:[^\s/\"'<>\\@]|@(?=[^\s/\"'<>\\@]*@)|/(?=[^\s/\"'<>\\@.]{1,64}@)){1,1024})@"
        # The same as part of another URL.
        r"|%3[aA]%2[fF]%2[fF](?:[A-Za-z0-9_.\-]|%(?!3[aA]|40|2[fF])[0-9A-Fa-f]{2}){0,256}+%3[aA]"
        r"(?P<coded>(?!%24|%7[bB]|%3[cC])(?:[^\s%&\"'<>\\/]|%(?!40|2[fF])){1,1024}+)%40"
        r"|:thin:[^\s/\"']{1,64}+/(?P<oracle>[^\s@\"'/${]{1,128}+)@"
    )

    def spans(self, text: str, low: str, start: int, stop: int) -> Iterator[Span]:  # noqa: ARG002
        """Yield what begins in text[start:stop]; see `prefilter.Detector`."""
        for begin, match in matches(self._head, self._pattern, text, start, stop, 12):
            if match is None:
                yield begin, begin, ""
            else:
                yield *match.span(match.lastgroup or ""), "url-password"


class UrlSignatures:
    """Find the signatures and keys in a query that make a URL a key: shared access signatures, presigned requests, `?key=`."""

    scan: str = r"(?i:(?:sig|signature|key|code|token|pass|pwd|auth|secret)=[a-z0-9%+/=_.\-]{12})"
    low_scan: str = ""
    _head = re.compile(r"(?<=[?&;6])(?:amp;)?[a-z0-9_\-]{0,24}(?:sig|signature|key|code|token|secret)=")
    _pattern = re.compile(
        r"(?:amp;)?(?P<name>[a-z0-9_\-]{0,24}?(?:sig|signature|key|code|token|secret))=(?P<value>[a-z0-9%+/=_.\-]{12,}+)"
    )

    def spans(self, text: str, low: str, start: int, stop: int) -> Iterator[Span]:
        """Yield what begins in text[start:stop]; see `prefilter.Detector`."""
        for begin, match in matches(self._head, self._pattern, low, start, stop, 40):
            if match is None:
                yield begin, begin, ""
                continue
            first, end = match.span("value")
            sign = match["name"].endswith(("sig", "signature"))
            if sign and end - first >= 16:
                yield first, end, "url-signature"
            elif end - first >= 20 and looks_generated(text[first:end]) and not match["name"].startswith(_OPEN):
                yield first, end, "url-key"
            else:
                yield begin, begin, ""


_OPEN = ("cache", "sort", "public", "error", "status", "page", "next", "country", "lang", "zip", "postal", "continuation")
