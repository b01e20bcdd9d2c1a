"""Secrets that are told by what stands around them: `password=...`, headers, URLs, private keys between their lines.

Text is often text inside text (tool arguments are JSON in a string, errors quote headers), so quotes may be escaped
to any depth. Where a value has no quotes it must hold a digit or a sign, or it is taken for a word of prose or code.
Names are looked for in a lower-case copy; every repetition is possessive or short.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from ..matching.key_names import name_kind, scan_fragments
from ..matching.prefilter import OVERLAP, Span
from ..matching.trie import spelled_names

__all__ = ["Assignments"]

_SEPARATOR: Final = r"[_. \-]?"
# What stands between a name and its value in text; in a serialised line quotes and tabs are escaped once more. What
# the value must begin with is part of the scan, or each `token: str` of a program would be looked at.
_SCAN_GAP: Final = r"(?: |\t|\\+t){0,4}"
_SCAN_VALUE: Final = (
    r"(?:[bfru]{0,2}\\*[\"'`]|(?:bearer|basic|token|digest|negotiate|apikey|bot|aws4-hmac-sha256)(?: |\t|\\+t)"
    r"|[^\s\"'`&,;<>(){}\[\]|:=]*[0-9!@#%^*+~]|[a-z]{20}|[\[{(])"
)
_SCAN_SIGN: Final = (
    rf"(?:\\*[\"'`]?{_SCAN_GAP}(?:=>|:=|[:=,>]|%3[ad]){_SCAN_GAP}{_SCAN_VALUE}"
    rf"|{_SCAN_GAP}[^\s\"'`&,;<>(){{}}\[\]|:=]*[0-9!@#%^*+~]"
    r"|=[^\s\"'`&,;<>(){}\[\]|]{4})"
)
_SCAN_OPEN: Final = rf"[a-z0-9_.\-]{{0,48}}{_SCAN_SIGN}"
_SCAN_CLOSED: Final = rf"[0-9]{{0,2}}{_SCAN_SIGN}"
# What stands next to a name where a value follows.
_TOLD_OPEN: Final = r"[a-z0-9_.\-]{0,48}[\\\"'` \t:=,>%]"
_TOLD_CLOSED: Final = r"[0-9]{0,2}[\\\"'` \t:=,>%]"
# Possessive, where Python's own pattern looks.
_OPEN_REST: Final = r"[a-z0-9_.\-]{0,48}+"
_CLOSED_REST: Final = r"[0-9]{0,2}+"
_BARE: Final = r"[^\s\"'`&,;<>(){}\[\]\\|]"
_AUTH: Final = r"(?:bearer|basic|token|digest|negotiate|apikey|bot|aws4-hmac-sha256)"
_NAME_LETTERS: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
_NAME_LEFT: Final = 48
# No name with its sign is longer.
_NAME_REACH: Final = 256


class Assignments:
    """Find values of secret names in text: `KEY=value`, `"key": "value"`, `Header: value`, `?key=value`."""

    scans: tuple[str, ...] = scan_fragments(_SEPARATOR, _SCAN_OPEN, _SCAN_CLOSED)
    # A cookie's value is names and values, whatever they look like.
    few: str = rf"cookie\\*[\"'`]?{_SCAN_GAP}[:=]{_SCAN_GAP}[^\"']*="
    lowered: bool = True
    whole: str = ""
    telling: tuple[str, ...] = scan_fragments(_SEPARATOR, _TOLD_OPEN, _TOLD_CLOSED)
    near: int = 100
    _pattern = re.compile(
        rf"(?:{spelled_names(_SEPARATOR, _OPEN_REST, _CLOSED_REST)})(?P<named>)"
        r"\\*+[\"'`]?[ \t]{0,4}+(?P<sign>=>|:=|[:=,>]|%3[ad]|(?<=[ \t]))(?P<gap>[ \t]{0,4}+)(?![\s{},;])"
    )
    # Apart from the name, so that each look at a value is counted.
    _value = re.compile(
        r"(?:"
        r"[\[(]{0,2}+[bfru]{0,2}(?P<escape>\\*+)(?P<quote>[\"'`])"
        r"(?P<quoted>(?:[^\"'`\\\r\n]|(?P=escape)\\{1,16}+(?P=quote)|(?!(?P=escape)(?P=quote))[^\r\n]){1,1024}+)"
        r"|(?P<line>(?:digest|aws4-hmac-sha256)[ \t][^\r\n\\]{4,1024}+)"
        rf"|(?P<scheme>{_AUTH}[ \t]{{1,4}}+[^\s\"'`\\\[]{{4,}}+)"
        r"|(?:(?<=cookie:)|(?<=cookie: )|(?<=cookie=))(?P<jar>[^\r\n\"'\\\[]{3,1024}+)"
        rf"|(?P<bare>(?![$%*:=!])(?:(?=[^\s\"'`&,;<>(){{}}\[\]\\|:=0-9!@#%^*+~]{{0,32}}+[0-9!@#%^*+~])|(?=[a-z]{{20}})|(?<==)){_BARE}{{4,}}+)"
        r")"
    )
    _placeholder = re.compile(
        r"(?:\.{3}|x{3,}|\*+|<[^>]*>|\$\{?[a-z0-9_.]*\}?|\$?\{\{?[^{}]*\}?\}|%s|%\([a-z_]+\)s"
        r"|your[_\- ][a-z0-9_\- ]*|[a-z_]*(?:redacted|removed|hidden)[a-z_]*)\Z"
    )
    _words = frozenset(
        {"str", "string", "int", "none", "null", "true", "false", "undefined", "password", "text"}
    )
    _rest = re.compile(rf"{_BARE}*+")

    def spans(self, text: str, low: str, start: int, stop: int) -> Iterator[Span]:
        """Yield what begins in text[start:stop]; see `linear.Detector`."""
        length = len(text)
        limit = min(length, stop + OVERLAP)
        search, value_at = self._pattern.search, self._value.match
        reach = min(length, stop + _NAME_REACH)
        while (match := search(low, start, reach)) is not None:
            begin = match.start()
            if begin >= stop:
                return
            start = match.end()
            value = value_at(low, start, limit)
            if value is None and len(match["sign"]) == 2:
                # The value of a cookie may begin with the half of a sign.
                value = value_at(low, match.end("sign") - 1, limit)
            if value is None:
                if not match["sign"]:
                    # What ends at a space may hold the beginning of a name of two words.
                    start = begin + 1
                yield begin, start, ""
                continue
            start = value.end()
            # The name may begin before the word that tells it.
            if begin and text[begin - 1] in _NAME_LETTERS:
                before = text[max(0, begin - _NAME_LEFT) : begin]
                begin -= len(before) - len(before.rstrip(_NAME_LETTERS))
            kind = name_kind(text[begin : match.start("named")])
            if kind is None or not self._holds(text, low, begin, kind, match, value):
                yield begin, start, ""
                continue
            first, end = value.span(value.lastgroup or "")
            if end == limit < length and value.lastgroup in {"bare", "scheme"}:
                # The value runs on behind what was looked at.
                rest = self._rest.match(text, end)
                end = rest.end() if rest is not None else end
            yield first, end, kind

    def _holds(
        self, text: str, low: str, begin: int, kind: str, match: re.Match[str], found: re.Match[str]
    ) -> bool:
        group, sign = found.lastgroup or "", match["sign"]
        first, end = found.span(group)
        before = low[begin - 1 : begin] if begin else ""
        if sign == "," and low.startswith("--", begin):
            # ["mysql", "--password", "..."]: the words of a command.
            return group == "quoted" and low[first] != "-" and not self._stands_in(low[first:end])
        if sign == ",":
            # ('authorization', 'Bearer ...'): a pair of a list of headers, which ends behind the value.
            opening = low[max(0, begin - 3) : begin - 1].rstrip("b")[-1:]
            return (
                group == "quoted"
                and before in "\"'"
                and opening in "(["
                and low[end + 1 : end + 2] in (")", "]")
            )
        if sign == ">" and not (before == "<" and low.startswith("</", end)):
            # Of a tag's name, and of nothing else, the value stands between it and its end.
            return False
        if not sign:
            # An option of a command: --password VALUE.
            return group == "bare" and low.startswith("--", begin) and _telling(text[first:end])
        if group == "bare":
            return self._bare(text, low, (begin, first, end), before, match)
        if group == "jar":
            return low.find("=", first, end) >= 0
        if group == "quoted":
            value = low[first:end]
            return not self._stands_in(value) and (kind != "token" or _random(value))
        return True

    def _stands_in(self, value: str) -> bool:
        return value in self._words or (
            value[0] in ".x*<${%y[r" and self._placeholder.match(value) is not None
        )

    def _bare(
        self, text: str, low: str, places: tuple[int, int, int], before: str, match: re.Match[str]
    ) -> bool:
        begin, first, end = places
        if before and before in "?&" and match["sign"] == "=":
            return not self._placeholder.match(low, first, end)
        if match["gap"] and match["sign"] != ":":
            # A statement of a program has quotes or a name there; a line of a file of settings has neither.
            return _alone(text, begin, end) and _NAME.match(text, first, end) is None and end - first >= 8
        return _telling(text[first:end])


_TELLING = re.compile(r"[^:=0-9!@#%^*+~]{0,31}+[0-9!@#%^*+~]|[a-z]{20}")


_NAME = re.compile(r"[A-Za-z_]+[0-9]{0,2}(?:[._\-][A-Za-z_]+[0-9]{0,2})*+\Z")
_LINE_END = re.compile(r"[ \t]*+(?:\r?\n|\\+[nr]|\Z)")


def _alone(text: str, begin: int, end: int) -> bool:
    """Say whether nothing else stands in a line."""
    before = text[max(0, begin - 16) : begin].rstrip(" \t")
    return (not before or before[-1] == "\n" or before.endswith("\\n")) and _LINE_END.match(
        text, end
    ) is not None


def _telling(value: str) -> bool:
    """Say whether a value without quotes is no word of prose and no name of a program."""
    return _TELLING.match(value) is not None


def _random(value: str) -> bool:
    return (
        len(value) >= 8
        and any(char.isdigit() for char in value)
        and not any(char.isspace() for char in value)
    )
