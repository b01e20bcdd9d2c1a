"""Classify a value of no known format: placeholder, word of code, or generated."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["is_name", "is_plain", "looks_generated", "names_secret", "stands_for_another"]

# Words that stand where a secret belongs, and words that are said of one.
_WORDS: Final = frozenset(
    """
    password pass passwd pwd secret token apikey api_key api-key yourpassword your_password your-password mypassword
    my_password changeme value string str text none null nil true false undefined env stdin prompt file redacted hidden
    wrong right correct incorrect invalid valid required optional mandatory missing empty blank unknown weak strong
    short long secure insecure safe unsafe visible private public sensitive plain plaintext clear varchar char bytes
    byte int integer float number boolean bool object nullable same different unique random there here gone lost known
    only also just still never always now then that this what which when where being about above below default unset
    inactive active disabled enabled good fine okay ready needed available unavailable secretstr input output stolen broken
    written shown given taken sent kept held found forgotten currently already really simply probably definitely
    usually actually apparently possibly obviously automatically temporarily randomly newly recently basically certainly
    clearly reset easy hard simple complex hash hashes masked protected forever yes both either neither more less than
    not some any each every your their from with without must should will would could have been using used based like and the
    """.split()  # noqa: SIM905  one word a line would fill a page
)
# A variable, a template, a reference or a placeholder. What is a documented example goes all the same: an example's key may be
# somebody's real one.
_STANDS_IN: Final = re.compile(
    r"""\$\{?[A-Za-z_]|\$\(|\$\d?\Z|[{\[(<`'"@%]*[A-Za-z_][A-Za-z_.\- ]*\d?[}\])>`%]+\Z|\{+\Z|[{\[(<]*\Z|\{\{|<[^>]*>|%[sdr]\b|%\(|\.{3}|[xX*]{3,}[\W_]*\Z|[*#?.\-_=•●]+\Z
    |(?:your|my|our|some|the|an?|insert|enter|put|replace|add|set|use|todo|fixme|dummy|sample|example|change)[_\- ]?(?:me\b|[_\- ]|[a-z]*(?:key|token|secret|pass|pw|cred|value|here))
    |(?:os|process|env|settings|config|conf|cfg|self|this|args|opts|options|props|params|request|req|var|vars|local|data|secrets|module|ctx|context)(?:\.|->|\[|::)
    |[a-z_]*(?:redacted|removed|hidden|masked|placeholder|changeme|example\b)""",
    re.IGNORECASE | re.VERBOSE,
)
# Names of programs: words with a digit or two behind them.
_NAME: Final = re.compile(r"[A-Za-z_$]+[0-9]{0,2}(?:[._\-/:][A-Za-z_]+[0-9]{0,2})*+[_.:\-]?")
_SECRET_WORD: Final = re.compile(
    r"pass|pwd|secret|token|api_?key|apikey|cred|auth|crypt|hash|param|field|value|your|login|session|cookie|string|_key|key_|user_?name",
    re.IGNORECASE,
)
# Versions, numbers, times, object identifiers, addresses, colours, measures, paths and URLs.
_PLAIN: Final = re.compile(
    r"[\^~<>=v ]{0,3}\d+(?:\.[\dxX*]+)+(?:[.+\-][\w.+\-]*)?(?:[ ,].*)?\Z|[+\-]?[\d.,_]*\d(?:[a-z]{1,3}|%)?\Z|0x[0-9a-f]{1,8}\Z"
    r"|\d{4}-\d\d-\d\d(?:[T ].*)?\Z|\d{1,2}:\d\d|#[0-9a-f]{3,8}\Z|[a-z]:\\|\.{0,2}/[\w.\-/]*\Z|~/|[a-z][a-z0-9+.\-]{1,12}://"
    r"|[\w.\-/]+\.(?:py|js|ts|go|rs|c|h|md|txt|json|ya?ml|toml|html?|css|png|jpe?g|svg|pem|crt|key|pub|so|conf|cfg|ini|xml|sh|exe)\Z"
    r"|(?:sha\d|md5|base\d\d|bcrypt|scrypt|argon|pbkdf|utf|aes|http|rfc|iso|ed25519|rsa|ecdsa|hmac|pkcs|x509|oauth)[\w\-]{0,24}\Z"
    r"|[\w.\-]*[a-z]-\d+\.\d+[\w.\-]*\Z|[\w\-]+@[\w\-.]+:\d|[\w\-]+\.[\w\-.]+:[\w.\-]+\Z",
    re.IGNORECASE,
)
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z", re.IGNORECASE)
_SIGNS: Final = re.compile(r"[!@#$%^&*+~?|]")
_HEAD: Final = 256


def stands_for_another(value: str) -> bool:
    """Say whether a value is a variable, a placeholder or the word for what belongs there, and no secret."""
    return _stands(value[:_HEAD])


def _stands(value: str) -> bool:
    return value.lower().strip(".,;:!?)") in _WORDS or _STANDS_IN.match(value) is not None


def is_plain(value: str) -> bool:
    """Say whether a value is a version, a number, a time, a path, a URL or the name of an algorithm."""
    return _PLAIN.match(value) is not None


def is_name(value: str) -> bool:
    """Say whether a value is spelled as programs spell names."""
    return _NAME.fullmatch(value) is not None


def names_secret(value: str) -> bool:
    """Say whether a value holds a word for a secret, as names of variables do."""
    return _SECRET_WORD.search(value) is not None


# Letters with digits, which are a word of programs all the same.
_WORD: Final = re.compile(
    r"[A-Za-z]+\d{0,2}\Z|\d+[A-Za-z]{1,3}\Z|0x|(?:sha|md|base|utf|aes|http|rfc|iso|ed|pkcs|x|python|py)\d+[a-z]*\Z|(?:your|my|xxx|example)",
    re.IGNORECASE,
)


def looks_generated(value: str) -> bool:
    """Say whether a value looks drawn by chance: letters with digits or signs among them, and no name, version or path."""
    if value.isascii() and value.isalnum():
        # Most values, soon told.
        if len(value) < 8 or value.isdigit():
            return False
        return _WORD.match(value) is None or (
            not value.isdigit() and _unlike_words(value[:_HEAD]) and not _stands(value[:_HEAD])
        )
    return _generated(value[:_HEAD])


def _generated(value: str) -> bool:
    if len(value) < 8 or _PLAIN.match(value) is not None or _stands(value) or " " in value:
        return False
    digits = sum(map(str.isdigit, value))
    letters = sum(map(str.isalpha, value))
    if not letters:
        return False
    if _NAME.fullmatch(value):
        # Letters alone: long, and no words of a language.
        return value.isalnum() and _unlike_words(value)
    return digits >= 1 or len(_SIGNS.findall(value)) >= 2 or (len(value) >= 20 and _unlike_words(value))


_CHANGES: Final = re.compile(r"(?<=[a-z])[A-Z]|(?<=[A-Z]{2})[a-z]")
_CONSONANTS: Final = re.compile(r"[bcdfghjklmnpqrstvwxz]{5}", re.IGNORECASE)


def _unlike_words(value: str) -> bool:
    changes = len(_CHANGES.findall(value))
    return (changes >= 3 and changes * 5 > len(value)) or (
        len(value) >= 20 and _CONSONANTS.search(value) is not None
    )
