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


def _iban(text: str) -> bool:
    """Check an account number's remainder (ISO 13616, ISO 7064 MOD 97-10)."""
    plain = text.replace(" ", "").replace("-", "").upper()
    if not 15 <= len(plain) <= 34:
        return False
    return int("".join(map(_NUMBERS.__getitem__, plain[4:] + plain[:4]))) % 97 == 1


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
# How far behind its beginning a scan has told each.
_NEAR: Final = {"email": 72, "phone": 16, "card": 32, "iban": 16, "ip": 48}
# What tells more than the scan, more slowly: that nothing but an address stands there, and that it has colons enough.
_TELLING: Final = {
    "ip": r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(?:[^A-Za-z0-9]|$)|::|(?:[0-9A-Fa-f]{1,4}:){6}"
}

# name: (scan, precise pattern, check)
PERSONAL: Final[dict[str, tuple[str, str, Callable[[str], bool] | None]]] = {
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
        r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}(?:[ \-]?[A-Za-z0-9]){11,30}(?![A-Za-z0-9])",
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

    few: str = ""
    whole: str = ""
    lowered: bool = False

    def __init__(self, name: str) -> None:
        scan, precise, self._check = PERSONAL[name]
        self.scans: tuple[str, ...] = (scan,)
        self.telling: tuple[str, ...] = (_TELLING.get(name, scan),)
        self.near: int = _NEAR[name]
        self._pattern = re.compile(precise, re.ASCII)
        self._name = name

    def spans(self, text: str, low: str, start: int, stop: int) -> Iterator[Span]:  # noqa: ARG002
        """Yield what begins in text[start:stop]; see `linear.Detector`."""
        group = self._pattern.groups
        first = max(0, start - 1) if group else start
        for match in self._pattern.finditer(text, first, min(len(text), stop + _LONGEST[self._name])):
            begin, end = match.span(group)
            if begin >= stop:
                return
            if self._check is None or self._check(match[group]):
                yield begin, end, self._name
            else:
                yield begin, end, ""
