"""Personal data that can be told by its look; each set is asked for by name: `email`, `phone`, `card`, `iban`, `ip`."""

from __future__ import annotations

import ipaddress
import re
import string
from collections.abc import Callable, Iterator
from typing import Final

from ..matching.prefilter import Span

__all__ = ["PERSONAL", "Personal"]


# Tables, since a text can be nothing but numbers that are almost right.
_DIGITS: Final = bytes(char - 48 if 48 <= char < 58 else 0 for char in range(256))
_DOUBLED: Final = bytes(
    (char * 2 - 9 if char > 4 else char * 2) % 256 if char < 10 else 0 for char in range(256)
)
_SIGNS: Final = b" .()-+"
_CARDS: Final = frozenset({2, 3, 4, 5, 6})
_NUMBERS: Final = {char: str(int(char, 36)) for char in string.digits + string.ascii_uppercase}


def _luhn(text: str) -> bool:
    """Check a card number's last digit (ISO/IEC 7812-1, annex B)."""
    digits = text.encode().translate(_DIGITS, b" -")
    if not 13 <= len(digits) <= 19 or digits[0] not in _CARDS or digits.count(digits[0]) == len(digits):
        return False
    return (sum(digits[-1::-2]) + sum(digits[-2::-2].translate(_DOUBLED))) % 10 == 0


# How many letters an account number of a country has, ISO 13616's registry: the country's code, then the number.
_IBAN_LENGTHS: Final = {
    code: int(length)
    for length, codes in {
        "15": "NO", "16": "BE", "18": "DK FI FO GL NL SD FK", "19": "MK SI", "20": "AT BA EE KZ LT LU XK MN", "21": "CH CR HR LI LV",
        "22": "BG BH DE GB GE IE ME RS VA", "23": "AE GI IL IQ TL SO OM", "24": "AD CZ ES MD PK RO SA SE SK TN VG", "25": "LY PT ST",
        "26": "IS TR", "27": "BI DJ FR GR IT MC MR SM", "28": "AL AZ BY CY DO GT HU LB NI PL SV", "29": "BR EG PS QA UA", "30": "JO KW MU YE",
        "31": "MT SC", "32": "LC", "33": "RU",
    }.items()
    for code in codes.split()
}  # fmt: skip


def _iban(text: str) -> int:
    """Return the length of the account number that a text begins with, 0 where none is (ISO 13616, ISO 7064 MOD 97-10)."""
    length = _IBAN_LENGTHS.get(text[:2].upper(), 0)
    plain, end = "", 0
    for end, char in enumerate(text, 1):
        plain += char if char not in " -" else ""
        if len(plain) == length:
            break
    if not length or len(plain) != length or text[end : end + 1].isalnum():
        return 0
    plain = plain.upper()
    return end if int("".join(map(_NUMBERS.__getitem__, plain[4:] + plain[:4]))) % 97 == 1 else 0


def _phone(text: str) -> bool:
    return 8 <= len(text.encode().translate(None, _SIGNS)) <= 15


def _ip(text: str) -> bool:
    if ":" not in text:
        return _OCTETS.fullmatch(text) is not None
    if "::" not in text and text.count(":") != (6 if "." in text else 7):
        # As the time of day is, and soon told.
        return False
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified)


_OCTET: Final = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_OCTETS: Final = re.compile(rf"(?!127\.|0\.0\.0\.0\Z){_OCTET}(?:\.{_OCTET}){{3}}")

# What is longer is none of them, and no letter further on need be looked at.
_LONGEST: Final = {"email": 640, "phone": 64, "card": 64, "iban": 96, "ip": 64}
# name: (scan, precise pattern, check)
PERSONAL: Final[dict[str, tuple[str, str, Callable[[str], bool | int] | None]]] = {
    "email": (
        r"[A-Za-z0-9_+\-]@[A-Za-z0-9]",
        r"(?<![A-Za-z0-9._%+\-])[A-Za-z0-9_][A-Za-z0-9._%+\-]{0,63}+@(?:[A-Za-z0-9\-]{1,63}+\.){1,8}+[A-Za-z]{2,24}(?![A-Za-z0-9])",
        None,
    ),
    "phone": (
        r"\+[0-9]|\([0-9]{2,4}\)|[0-9]{3}[ .\-][0-9]{3}[ .\-][0-9]{4}",
        (
            r"(?<![A-Za-z0-9+])(?:\+[0-9](?:[ .()\-]{0,2}[0-9]){7,14}"
            r"|\([0-9]{2,4}\)[ .\-]?[0-9]{3,4}[ .\-]?[0-9]{3,4}"
            r"|[0-9]{3}[ .\-][0-9]{3}[ .\-][0-9]{4})(?![A-Za-z0-9])"
        ),
        _phone,
    ),
    "card": (
        r"[2-6](?:[ \-]?[0-9]){12}",
        r"(?<![A-Za-z0-9.\-])[2-6](?:[ \-]?[0-9]){12,18}(?![A-Za-z0-9]|[.\-][0-9])",
        _luhn,
    ),
    "iban": (
        r"[A-Za-z]{2}[0-9]{2}[ \-]?[A-Za-z0-9]{2}",
        r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}(?:[ \-]?[A-Za-z0-9]){11,30}",
        _iban,
    ),
    "ip": (
        r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]|[0-9A-Fa-f]{1,4}:[0-9A-Fa-f:]|::[0-9A-Fa-f]",
        (
            # What stands before it is matched, not looked back at from each letter, and the address is a group.
            r"(?:\A|[^A-Za-z0-9.])((?:[0-9]{1,3}+\.){3}[0-9]{1,3}+(?![A-Za-z0-9]|\.[0-9])"
            r"|(?<!:)(?:[0-9A-Fa-f]{0,4}+:){2,7}+[0-9A-Fa-f]{1,4}+(?:\.[0-9]{1,3}+){0,3}(?![A-Za-z0-9:]))"
        ),
        _ip,
    ),
}


class Personal:
    """Find one kind of personal data.

    Args:
        name: A key of `PERSONAL`.
    """

    low_scan: str = ""

    def __init__(self, name: str) -> None:
        self.scan, precise, self._check = PERSONAL[name]
        self._pattern = re.compile(precise, re.ASCII)
        self._name = name

    def spans(self, text: str, low: str, start: int, stop: int) -> Iterator[Span]:  # noqa: ARG002
        """Yield what begins in text[start:stop]; see `prefilter.Detector`."""
        group = self._pattern.groups
        place = max(0, start - 1) if group else start
        reach = min(len(text), stop + _LONGEST[self._name])
        while (match := self._pattern.search(text, place, reach)) is not None:
            begin, end = match.span(group)
            if begin >= stop:
                return
            place = max(end, match.start() + 1)
            held = True if self._check is None else self._check(match[group])
            if held is not True and held:
                # It ends before what was matched.
                end = begin + held
                place = end
            elif not held and self._name == "iban":
                place = begin + 2
            yield begin, end if held else begin, self._name if held else ""
