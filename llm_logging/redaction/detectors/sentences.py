"""Passwords that people tell in sentences, `my password is PASSWORD`, in a line `pwd: PASSWORD`, and in statements of SQL.

A value with a digit or a sign goes wherever it follows `password is`. Letters alone could be any word, so they go only
where the sentence says whose password it is, or where a line is nothing but the name and one word; and not if they are a
word that is said *of* passwords (`wrong`, `required`, `stored`), a type, or the name of a variable.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from typing import Final

from ..matching.prefilter import Span
from .command_lines import stands_for_another

__all__ = ["Prose"]

_NAME: Final = r"p(?:ass(?:word|phrase|code|wd)|wd)"
_OWNERS: Final = (
    r"my|our|his|her|their|its|root|admin|administrator|wifi|wi-fi|guest|temporary|temp|current|default|user's|account|database|db"
    r"|server|login|master|vault|ssh|vpn|email|e-mail|mail"
)
# No such sentence is longer, up to the end of the value.
_REACH: Final = 256
# Said of a password, not one.
_SAID: Final = frozenset(
    """
    wrong right correct incorrect invalid valid required optional mandatory missing empty blank unknown weak strong
    short long secure insecure safe unsafe visible secret private public sensitive plain plaintext clear text string
    varchar char bytes byte integer number boolean object optional nullable null none true false same different unique
    random there here gone lost known only also just still never always now then that this what which when where
    being about above below default unset inactive active disabled enabled good fine okay ready needed correct
    available unavailable secretstr input output stolen broken hidden written shown given taken sent kept held found forgotten
    currently already really simply probably definitely usually actually apparently possibly obviously automatically temporarily
    randomly newly recently basically certainly clearly reset easy hard simple complex hash hashes masked redacted changeme protected forever
    """.split()  # noqa: SIM905  one word a line would fill a page
)
_ENDINGS: Final = ("ed", "ing", "able", "ible", "less", "ory", "ous", "ive", "ful")
_PARTS: Final = re.compile(r"p(?:ass|wd|aram)|secret|token|hash|crypt|field|value|your|login")
_TELLING: Final = re.compile(r"[\d!@#%^*+~]")
_LETTERS: Final = frozenset(string.ascii_letters + string.digits + "_.")
_CODED: Final = re.compile(
    r"(?:base\d|sha|md\d|bcrypt|scrypt|argon|pbkdf|utf|aes|http|rfc|iso|\d{1,3}[\-\s]|\d{1,3}\Z|\(|>|<|\+)"
)


class Prose:
    """Find passwords in sentences and in lines of notes."""

    scans: tuple[str, ...] = ()
    few: str = (
        r"(?:password|passphrase|passcode|passwd|pwd)(?: (?:is|was):?|:) "
        r"|(?:identified (?:with [^ ]{1,40} )?(?:by|as)|(?:with|encrypted|set) password(?: for [^ ]{1,80})?)(?: =)? ?\\*['\"]"
    )
    lowered: bool = True
    whole: str = ""
    telling: tuple[str, ...] = (
        r"(?:password|passphrase|passcode|passwd|pwd)(?: is| was|:)|identified |(?:with|encrypted|set) password",
    )
    near: int = 24
    _pattern = re.compile(
        rf"{_NAME}(?P<sign> is| was|:)(?P<colon>:)?[ ]{{1,4}}+(?P<quote>\\*[\"'`])?(?P<value>[^\s\"'`\\]{{4,128}}+)"
        # What SQL calls a user's password.
        r"|(?:identified (?:with [^ ]{1,40} )?(?:by|as)|(?:with|encrypted|set) password(?: for [^ ]{1,80})?)(?: =)? ?\\*['\"]"
        r"(?P<sql>[^\s\"'`\\]{1,128}+)"
    )
    _owner = re.compile(rf"(?<![\w\-])(?<!\w')(?:{_OWNERS}) (?:[a-z\-]{{2,16}} )?\Z")
    _end = re.compile(r"[ \t]*(?:\r?\n|\\+[nr]|\Z)")
    _sentence = re.compile(r"[.,;!?]*(?:[\"'`\\)]|\s|\Z)")

    def spans(self, text: str, low: str, start: int, stop: int) -> Iterator[Span]:
        """Yield what begins in text[start:stop]; see `linear.Detector`."""
        for match in self._pattern.finditer(low, start, min(len(text), stop + _REACH)):
            if match.start() >= stop:
                return
            if match["sql"] is not None:
                first, end = match.span("sql")
                yield (first, end, "") if stands_for_another(match["sql"]) else (first, end, "password")
                continue
            if text[match.start() - 1 : match.start()] in _LETTERS:
                yield match.start(), match.end(), ""
                continue
            first = match.start("value")
            value = match["value"].rstrip(".,;!?)")
            if (
                value in _SAID
                or len(value) < 4
                or stands_for_another(value)
                or not self._tells(text, low, match, value)
            ):
                yield first, match.end(), ""
                continue
            yield first, first + len(value), "password"

    def _tells(self, text: str, low: str, match: re.Match[str], value: str) -> bool:
        if _TELLING.search(value) is not None:
            return match["sign"] != ":" and _CODED.match(value) is None
        if (
            not value.isalpha()
            or value in _SAID
            or value.endswith(_ENDINGS)
            or _PARTS.search(value) is not None
        ):
            return False
        end = match.start("value") + len(value)
        if match["sign"] == ":":
            # A line of its own, and not a field of a program: those are spelled in more ways than small letters.
            begins = low.rfind("\n", max(0, match.start() - 160), match.start()) + 1
            before = low[max(begins, match.start() - 160) : match.start()]
            alone = not before.strip() or before.rstrip().endswith((",", ";", "|", ":", "/"))
            written = text[match.start("value") : end]
            return alone and len(value) >= 6 and written.islower() and self._end.match(low, end) is not None
        told = (
            match["colon"]
            or match["quote"]
            or self._owner.search(low[max(0, match.start() - 40) : match.start()])
        )
        return bool(told) and self._sentence.match(low, end) is not None
