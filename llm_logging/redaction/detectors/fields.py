r"""Secrets that a name tells: one grammar of *name, sign, value* for settings, code, shells, markup, tables and sentences.

`KEY=value`, `"key": "value"`, `x["key"] = "value"`, `--key value`, `ENV KEY value`, `<key>value</key>`, `name="key" value="value"`,
`**Key:** value`, `| key | value |`, `?key=value`, `Header: scheme value`, `my key is value`, `"value" == key`. Text is often text
inside text, so quotes may be escaped to any depth. The names are those of `matching/key_names.py`.

Whether a value goes depends on the name and the form. A generated value goes wherever a name of a secret stands before it. A word
goes where the name is a strong one and the form assigns (quotes, `NAME=word`, a line of its own, an option, a tag), and stays
where it is a placeholder, a variable, a word for a secret or a word that is said of secrets. See `matching/values.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Protocol

from ..matching.key_names import CLOSED_STEMS, OTHER_NAMES, SHORT_NAMES, STEMS, name_kind, weak_kind
from ..matching.prefilter import OVERLAP, Span
from ..matching.trie import spelled_names
from ..matching.values import is_name, is_plain, looks_generated, names_secret, stands_for_another

__all__ = ["Fields"]

_SEPARATOR: Final = r"[_. \-]?"
_AUTH: Final = r"(?:bearer|basic|token|digest|negotiate|apikey|bot|key|aws4-hmac-sha256)"
_IS: Final = r"is(?: set to| now)?|was|are|equals|will be|ist(?: jetzt)?|war|lautet|es|est|é|è|era|jest|to|это|adalah|olarak|är"


def _between(possessive: str) -> str:
    """Return the pattern between a name and its value, for Python with possessive repetitions, for Rust without."""
    close = rf"(?:\\*{possessive}[\"'`]|&quot;|&#0?3[49];|\*\*|__|\]|\[[0-9]{{0,4}}\]|</[a-z0-9]{{1,8}}>){{0,4}}{possessive}"
    kind = r"(?:[ \t]?:?[ \t]?(?:string|str|text|char|bytes|const|any|secretstr)(?:\[\])?[ \t]?)?"
    told = r"(?: \([^()\r\n]{0,40}\))?"
    gap = rf"(?:[ \t]|\\t){{0,24}}{possessive}"
    value = r"[\"']?(?:default_?)?value[\"']?[ \t]?[=:>]"
    sign = (
        rf"(?:(?:[\s,;/>\-]|\\n|\\r|<){{0,40}}{possessive}{value}|[:?+|&.!*^]{{0,3}}={{1,3}}[>~]?|:{{1,2}}|->|\u2192|\uff1a|\uff1d|%3[ad]|&#61;|,|>|&gt;|\(|\||(?:-{{1,6}}|\u2013|—) "
        rf"|(?:{_IS}):? |是\uff1a?|为|は|는 |은 "
        rf"|\s{{0,24}}{possessive}<(?:string|value)>)"
    )
    return rf"{close}{kind}{told}{gap}(?P<sign>{sign})" if possessive else f"{close}{kind}{told}{gap}{sign}"


# What may stand between a sign and a value; a line end too, where a value may stand in the next line.
_GAP: Final = r"(?:[ \t]|\\t|\*\*){0,16}"
_LINE_END: Final = r"(?:[|>][+\-]?[ \t]?)?(?:\r?\n|(?:\\r)?\\n)(?:[ \t]|\\t){0,32}"
_OPEN_REST: Final = r"[a-z0-9_.\-]{0,48}"
_CLOSED_REST: Final = r"(?:_?[0-9]{1,3})?"
_NAME_LETTERS: Final = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-$ßäöüéèçñãõâêôůşłøåćęś"
)
_NAME_LEFT: Final = 48
# No name with its sign and its gap is longer.
_NAME_REACH: Final = 320
# A letter of a value without quotes, and by how many such letters the value is judged.
_BARE: Final = (
    r"(?:[^\s\"'`&,;<>|\\]|[&,;|](?![\s&,;|\"'`]|\Z|[a-z_][\w.\-]{0,47}(?:=|\\?[\"']?:|[\"']))"
    r"|>(?=[^\s<>\"'`])|\\(?![nrtu\"'`\\]))"
)
_JUDGED: Final = 256
# A word before a word: `api key`, `client secret`.
_QUALIFIERS: Final = frozenset(
    """
    api this your my our the following new access secret private client auth admin master session bot bearer refresh recovery signing
    encryption ssh app root user database db account service storage webhook license deploy public primary foreign sort partition
    cache max next unseal stream openai anthropic azure google aws github gitlab slack stripe telegram cohere mistral groq
    """.split()  # noqa: SIM905  one word a line would fill a page
)


class _At(Protocol):
    def __call__(self, string: str, pos: int, endpos: int) -> re.Match[str] | None:
        """Match at a place."""


class Fields:
    """Find values of secret names in text."""

    scan: str = ""
    low_scan: str = ""
    _name = re.compile(spelled_names(_SEPARATOR, _OPEN_REST + "+", _CLOSED_REST + "+"))
    _between = re.compile(
        rf"(?:{_between('+')}(?P<gap>{_GAP}+(?:{_LINE_END})?+)(?!\\*[\"'`][^\"'`]{{0,2}}[\"'`])|(?:\\*+[\"'`])?[ \t]{{1,8}}+(?=[^\s=:<>|,;(){{}}\[\].\-])|(?<=[a-z])(?=\))|(?=[ \t]*+$))",
        re.MULTILINE,
    )
    _value = re.compile(
        r"(?:[\[(]{0,2}+(?:new )?[@bfruls$]{0,2}(?P<escape>\\*+)(?P<quote>\"\"\"|[\"'`])"
        r"(?P<quoted>(?:[^\"'`\\\r\n]|(?P=escape)\\{1,16}+[\"'`]|(?!(?P=escape)(?P=quote))[^\r\n]){1,1024}+)"
        r"|(?:&quot;|&\#0?3[49];)(?P<entity>(?:(?!&quot;|&\#0?3[49];)[^\r\n]){1,512}+)"
        r"|<!\[cdata\[(?P<cdata>[^\]\r\n]{1,512}+)"
        r"|(?P<line>(?:digest|aws4-hmac-sha256|signature|hawk|oauth)[ \t][^\r\n\\]{4,1024}+)"
        rf"|(?P<scheme>{_AUTH}[ \t]{{1,4}}+(?:token=\\*[\"']?)?+[^\s\"'`\\\[,;]{{4,}}+)"
        r"|(?:(?<=cookie:)|(?<=cookie: )|(?<=cookie=))(?P<jar>[^\r\n\"'\\\[]{3,1024}+)"
        rf"|(?P<bare>(?![&,;|)\]}}=:]){_BARE}{{3,{_JUDGED}}}+))"
    )
    _rest = re.compile(rf"{_BARE}*+")
    _reverse = re.compile(r"[\"'`][ ]?[=!]==?[ ]?\Z")
    _scheme = re.compile(
        r"[a-z][a-z0-9_\-]{1,24}[ ](?:token=\\*[\"']?)?(?P<value>[^\s\"'`\\,;]{6,512})", re.IGNORECASE
    )
    _option = re.compile(
        r"(?:(?<![\w\-])--?[\w.\-]*|\b(?:setx|ENV|ARG|env|set[ ]-[a-zA-Z]{1,3}|setenv|configure[ ]set|config[ ]set)[ ]+[\w.\-]*)\Z"
    )
    _owner = re.compile(
        r"(?<![\w\-])(?<!\w')(?:my|our|his|her|their|its|your|the|this|root|admin|administrator|wi-?fi|guest|temp(?:orary)?|current|default"
        r"|user's|account|database|db|server|login|master|vault|ssh|vpn|e?-?mail|mein|unser|das|dein|mi|mon|ma|le|la|el|il|minha|a|o|мой|наш|我的)"
        r"[ ](?:[a-z\-]{2,16} )?\Z",
        re.IGNORECASE,
    )
    _line_end = re.compile(r"[ \t]*+(?:[;,]?[ \t]*+(?:\#|//)[^\r\n]*+)?(?:\r?\n|\\+[nr]|\Z)")
    _sentence = re.compile(r"[.,;!?]*(?:[\"'`\\)]|\s|\Z)")
    _call = re.compile(r"[A-Za-z_$][\w.$>:\-]*(?:[(\[][^\s]*[)\]](?:\.[A-Za-z_]\w*)?|\(|\[)\Z")

    def spans(self, text: str, low: str, start: int, stop: int) -> Iterator[Span]:
        """Yield what begins in text[start:stop]; see `prefilter.Detector`."""
        length = len(text)
        limit = min(length, stop + OVERLAP)
        search, between_at, value_at = self._name.search, self._between.match, self._value.match
        reach, named_reach = min(length, stop + _NAME_REACH), min(length, stop + _NAME_LEFT)
        while (name_match := search(low, start, named_reach)) is not None:
            word, named = name_match.span()
            if word >= stop:
                return
            start = named
            match = between_at(low, named, reach)
            if match is None:
                continue
            begin = word
            begin = self._begin(text, begin)
            name = text[begin:named]
            if name == "PWD":
                # The shell's own holds a path, and a connection string's a password.
                name = "pwd"
            # What stands in a marker of ours is no name of what follows it.
            marked = low.startswith("[redacted:", begin - 10)
            kind = None if marked else name_kind(name) or weak_kind(name)
            if kind is None:
                yield begin, start, ""
                continue
            found = self._left_of(text, begin) or self._right_of(
                text, low, match, kind, value_at, limit, begin, word
            )
            if found is None:
                yield begin, start, ""
                continue
            first, end = found
            start = max(start, end)
            yield first, end, kind

    def _begin(self, text: str, begin: int) -> int:
        """Return where a name begins: it may begin before the word that tells it."""
        floor = max(0, begin - _NAME_LEFT)
        while begin > floor and text[begin - 1] in _NAME_LETTERS:
            begin -= 1
        if begin and text[begin - 1] == " " and text[begin].isalnum():
            word = text[max(0, begin - 16) : begin - 1].rpartition(" ")[2].rpartition("\n")[2]
            if word.lower() in _QUALIFIERS:
                return begin - 1 - len(word)
        return begin

    def _left_of(self, text: str, begin: int) -> tuple[int, int] | None:
        """Return the value that is compared with a name, `"value" == name`."""
        if text[begin - 2 : begin - 1] != "=" and text[begin - 1 : begin] != "=":
            return None
        sign = self._reverse.search(text, max(0, begin - 8), begin)
        if sign is None:
            return None
        end = sign.start()
        first = text.rfind(text[end], max(0, end - 256), end) + 1
        value = text[first:end]
        return (
            (first, end)
            if first and len(value) >= 6 and not stands_for_another(value) and looks_generated(value)
            else None
        )

    def _right_of(
        self,
        text: str,
        low: str,
        match: re.Match[str],
        kind: str,
        value_at: _At,
        limit: int,
        begin: int,
        word: int,
    ) -> tuple[int, int] | None:
        place, sign = match.end(), match["sign"] or ""
        value = value_at(low, place, limit)
        if value is None and len(sign) == 2:
            # A value may begin with the half of a sign.
            value = value_at(low, match.end("sign") - 1, limit)
        if value is None:
            return None
        group = value.lastgroup or ""
        first, end = value.span(group)
        if (
            sign in _ASSIGNS
            and kind in _WORDY
            and text[first:end].isalnum()
            and end < limit
            and looks_generated(text[first:end])
            and name_kind(text[begin : match.start()]) is not None
        ):
            # Most of them, soon told.
            return first, end
        whole = group != "bare" or end - first < _JUDGED
        if group == "bare" and whole:
            end = self._trimmed(text, first, end)
        if end <= first:
            return None
        holds = self._holds(text, low, begin, word, match, kind, sign, group, first, end)
        if holds is True and not whole and (rest := self._rest.match(low, end)) is not None:
            # Only a value that goes is read to its end, so what follows is read once.
            end = self._trimmed(text, first, rest.end())
        return (first, end) if holds is True else holds or None

    def _trimmed(self, text: str, first: int, end: int) -> int:
        """Return where a value without quotes ends: not at a bracket that was opened before it, nor at a full stop."""
        unopened: dict[str, int] = {}
        while end > first:
            last = text[end - 1]
            if last in ")]}":
                if last not in unopened:
                    opening = "([{"[")]}".index(last)]
                    unopened[last] = text.count(last, first, end) - text.count(opening, first, end)
                if unopened[last] <= 0:
                    break
                unopened[last] -= 1
            elif last not in ".,;:":
                break
            end -= 1
        return end

    def _holds(
        self,
        text: str,
        low: str,
        begin: int,
        word: int,
        match: re.Match[str],
        kind: str,
        sign: str,
        group: str,
        first: int,
        end: int,
    ) -> bool | tuple[int, int] | None:
        value = text[first:end]
        name = text[begin : match.start()]
        if group in {"jar", "line", "scheme"}:
            return self._is_credential(low, kind, group, value, first, end)
        if kind == "authorization" and group in {"bare", "quoted"}:
            schemed = self._scheme.match(text, first)
            if schemed is not None and looks_generated(schemed["value"]):
                return schemed.span("value")
        # Of a user's name and a password the password tells.
        generated = looks_generated(value) or (
            kind == "credential" and looks_generated(value.rpartition(":")[2])
        )
        if value == name or (not generated and stands_for_another(value)):
            return False
        if name_kind(name) is None and name != "PWD":
            return generated and len(value) >= 16 and sign not in {"(", "", "|"}
        quoted = group in {"quoted", "entity", "cdata"}
        if not sign:
            return self._unsigned(text, begin, kind, value, generated, quoted)
        if sign == "(":
            second = _SECOND.match(text, end) if quoted and kind == "credential" else None
            return second.span("value") if second is not None else quoted and generated
        if sign in _MARKS or sign.endswith("<string>"):
            return self._marked(low, begin, kind, sign, value, generated, quoted, end)
        if value.isdigit():
            if kind in {"password", "one-time-code", "card-code"}:
                return len(value) >= 3 and not name.lower().endswith("pass")
            return len(value) >= (14 if kind in _LENIENT else 6)
        if is_plain(value):
            return False
        if quoted:
            return self._quoted(kind, sign, value, generated)
        return self._bare(text, low, begin, word, match, kind, sign, value, generated, end)

    def _is_credential(self, low: str, kind: str, group: str, value: str, first: int, end: int) -> bool:
        """Judge what has a form of its own: a cookie's pairs, and what follows the name of a scheme."""
        if group == "jar":
            return low.find("=", first, end) >= 0
        if group == "line":
            return kind == "authorization"
        told = value.split(None, 1)[1]
        return not stands_for_another(told) and (kind in _SCHEMED or looks_generated(told))

    def _marked(
        self,
        low: str,
        begin: int,
        kind: str,
        sign: str,
        value: str,
        generated: bool,
        quoted: bool,
        end: int,
    ) -> bool:
        """Judge what follows a comma, a tag's end or a table's bar, which stand for much else."""
        if sign == ",":
            if low.startswith("--", begin) or low.startswith("--", begin - 2):
                return quoted and value[0] != "-"
            before = low[max(0, begin - 3) : begin].rstrip("\"'`").rstrip("b")[-1:]
            pair = before in {"(", "["} and low[end + 1 : end + 2] in (")", "]")
            word = is_plain(value) or is_name(value)
            return quoted and (generated or (pair and kind in _SCHEMED and not word))
        if sign == "|":
            return (generated or (quoted and _wordy(kind, value))) and low.find("|", end, end + 8) >= 0
        tag = low[max(0, begin - 8) : begin].endswith(("<", 'name="', "&lt;", ":")) or sign != ">"
        closed = low[end : end + 1] in ("<", "\n", "]", "\r", "&", "\\")
        return tag and closed and not is_plain(value) and (generated or _wordy(kind, value))

    def _unsigned(self, text: str, begin: int, kind: str, value: str, generated: bool, quoted: bool) -> bool:
        if value[0] == "-" or is_plain(value):
            return False
        option = (
            self._option.search(text, max(0, begin - 64), begin + 2)
            or text[begin - 1 : begin] == "-"
            or text[begin] == "-"
        )
        if option:
            return generated or (_wordy(kind, value) and not names_secret(value))
        return quoted and generated

    def _quoted(self, kind: str, sign: str, value: str, generated: bool) -> bool:
        if generated:
            return True
        if "\n" in value or kind in _LENIENT:
            return False
        if " " in value:
            # A passphrase, and no label or message.
            return (
                sign[-1] == "="
                and kind in _WORDY
                and not names_secret(value)
                and value.islower()
                and value.count(" ") < 8
            )
        if not any(map(str.isalnum, value)):
            return False
        return _wordy(kind, value)

    def _bare(
        self,
        text: str,
        low: str,
        begin: int,
        word: int,
        match: re.Match[str],
        kind: str,
        sign: str,
        value: str,
        generated: bool,
        end: int,
    ) -> bool:
        after = text[end : end + 1]
        if self._call.match(value) and (after in "\"'`" or value[-1] in ")](["):
            return False
        before = low[begin - 1 : begin] if begin else ""
        gap = match["gap"] or ""
        if before and before in "?&" and sign == "=":
            return len(value) >= 4
        if sign == "=" and _CONDITION.search(low, max(0, begin - 8), begin) is not None:
            # A statement of a program compares there.
            return False
        spaced = match.start("sign") > match.start() and low[match.start("sign") - 1] in " \t"
        if generated:
            return True
        if sign in {"=", "==", "%3d"} and not gap and not spaced:
            argument = before in {"(", ","} or low[max(0, begin - 2) : begin] == ", "
            return _wordy(kind, value) and "." not in value and not (argument and after in {",", ")"})
        if kind not in _WORDY or (is_name(value) and "." in value) or names_secret(value):
            return False
        if sign.strip().rstrip(":") in _SENTENCES:
            told = sign.endswith(": ") or self._owner.search(low, max(0, word - 40), word) is not None
            told = (
                told and self._sentence.match(low, end) is not None and not value.lower().endswith(_ENDINGS)
            )
            return (told and len(value) >= 4 and value.isalpha()) or (
                kind == "password" and _SIGNED.search(value) is not None and not is_plain(value)
            )
        if not value.islower() or len(value) < 6 or value.endswith(_ENDINGS):
            return kind == "password" and generated
        return (sign != ":" or gap != "") and self._alone(low, begin, end, sign)

    def _alone(self, low: str, begin: int, end: int, sign: str) -> bool:
        """Say whether nothing but a name and a word stand in a line, and no statement of a program."""
        if self._line_end.match(low, end) is None:
            return False
        floor = max(0, begin - 160)
        line = low.rfind("\n", floor, begin) + 1
        before = low[max(line, floor) : begin].strip(" \t-*#\"'")
        if before and not before.endswith((",", ";", "|", ":", "/", "\\n")):
            return False
        if sign[0] != "=":
            return True
        # A file of settings has a section or another setting above.
        return _SETTING.search(low, max(0, line - 160), max(0, line)) is not None


_MARKS: Final = frozenset({",", ">", "&gt;", "|"})
_ASSIGNS: Final = frozenset({"=", ":", ":=", "=>", "=="})
_SCHEMED: Final = frozenset({"authorization", "api-key", "token", "credential", "cookie"})
_LENIENT: Final = frozenset(
    {"session", "cookie", "token", "authorization", "credential", "one-time-code", "card-code"}
)
_WORDY: Final = frozenset({"password", "secret", "api-key", "key", "private-key"})
_SENTENCES: Final = frozenset(
    {
        "is",
        "was",
        "are",
        "equals",
        "will be",
        "is set to",
        "is now",
        "ist",
        "ist jetzt",
        "war",
        "lautet",
        "es",
        "est",
        "é",
        "è",
        "era",
        "jest",
        "это",
        "adalah",
        "är",
        "是",
        "は",
    }
)
# A user's name and a password: `Credential("user", "password")`.
_SECOND: Final = re.compile(r"[\"'`]\s*,\s*[@]?[\"'`](?P<value>[^\s\"'`]{6,})[\"'`]")
_CONDITION: Final = re.compile(r"\b(?:if|when|while|unless|elsif|elif)[ (]+\Z")
_ENDINGS: Final = ("ed", "ing", "able", "ible", "less", "ory", "ous", "ive", "ful")
_SIGNED: Final = re.compile(r"[0-9!@#%^*+~]")
_SETTING: Final = re.compile(
    r"(?:\[[^\]\n]+\]|[\w.\-]+[ \t]*=[ \t]*[^\s\"'(\[]+|(?:#|//|;)[^\n]*)[ \t]*\r?\n\Z"
)


_LABELS: Final = (
    "pass",
    "new",
    "old",
    "confirm",
    "current",
    "repeat",
    "user",
    "your",
    "my",
    "db",
    "login",
    "account",
    "the",
    "secret",
)


def _titled(words: str) -> str:
    return "|".join(word.title() for word in words.split("|"))


def _wordy(kind: str, value: str) -> bool:
    """Say whether a word may be a secret under a name of this kind."""
    if kind not in _WORDY or len(value) < 4 or is_plain(value):
        return False
    if not (is_name(value) and names_secret(value)):
        return True
    # A word for a password may be one: `thisismypassword`.
    return (
        kind == "password"
        and len(value) >= 10
        and value.isalpha()
        and value.islower()
        and not value.startswith(_LABELS)
    )


# Loose where exactness would take many states: repetitions without bounds, one class for many signs.
_SCAN_SIGN: Final = (
    r"[\s\"'`\\*\])(\[0-9tnr_]*(?:(?:&quot;)?(?:string|str|text)?[\s\]]*[:=>,|(+?!^&~.*%\uff1a\uff1d\u2192-]+[\s\"'`\\|>&*ntr+\-\[({<!@$%]*"
    r"(?:[a-z0-9$&/@.#_+-]{3}|[a-z0-9]+[!@#$%^&*+~{(\[,;|])"
    rf"|(?:{_IS})[ :]|[\s,;/><-]*value)"
)
_SCAN_SPACE: Final = r"[\"'`\\]*[ \t]+(?:\\*[\"'`]|[a-z_.\-]*[0-9!@#$%^*+~])"
_SCAN_AFTER: Final = rf"(?:{_SCAN_SIGN}|{_SCAN_SPACE})"
Fields.low_scan = (
    rf"(?:(?:{STEMS})[a-z0-9_.\-]*|{CLOSED_STEMS}){_SCAN_AFTER}"
    # An option or a variable before its value, and a name that a value is compared with.
    r"|[_-](?:pass(?:word|wd|phrase)?|pwd|secret|token|key)[\"'`\\]*[ \t,]+[\"'`\\]*[a-z0-9]"
    rf"|(?:{STEMS}|{CLOSED_STEMS})[a-z0-9_]*\)[ ]?(?:[{{:&|\"\\]|$)"
)
Fields.scan = (
    rf"(?:(?:^|[^A-Za-z])(?i:{SHORT_NAMES})|[a-z](?:{_titled(SHORT_NAMES)}))[0-9_]{{0,3}}(?i:{_SCAN_AFTER})|(?i:{OTHER_NAMES})(?i:{_SCAN_AFTER})"
).replace("~", "[_. -]?")
