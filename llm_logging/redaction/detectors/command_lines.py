"""Passwords on command lines and in `.netrc`, told by the program that they are given to.

`curl -u name:PASSWORD`, `mysql -pPASSWORD`, `sshpass -p PASSWORD`, `docker login -p PASSWORD`, `PGPASSWORD=PASSWORD` and
their kin: what follows is a password whatever it looks like, letters alone too, unless it is a variable or a word that
stands for one. A command ends with its line; its words may be items of a list, `["curl", "-u", "name:PASSWORD"]`.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from functools import lru_cache
from typing import ClassVar, Final

from ..matching.prefilter import OVERLAP, Span
from ..matching.trie import Letters

__all__ = ["Commands", "stands_for_another"]

# The programs, by the sort of option that gives the password.
_TOOLS: Final[dict[str, str]] = {
    "curl": "pair", "wget": "pair",
    "mysql": "joined", "mysqldump": "joined", "mysqladmin": "joined", "mysqlimport": "joined", "mysqlshow": "joined",
    "mysqlcheck": "joined", "mysqlsh": "joined", "mariadb": "joined", "mariadb-dump": "joined", "mariadb-admin": "joined",
    "sshpass": "option", "mongo": "option", "mongosh": "option", "mongodump": "option", "mongorestore": "option",
    "mongoexport": "option", "mongoimport": "option", "docker login": "option", "podman login": "option",
    "nerdctl login": "option", "buildah login": "option", "skopeo login": "option", "registry login": "option",
    "az login": "option", "oc login": "option", "cf login": "option", "cqlsh": "option", "sqlplus": "option",
    "rabbitmqadmin": "option", "clickhouse-client": "option",
    "redis-cli": "letter", "ldapsearch": "letter", "ldapadd": "letter", "ldapmodify": "letter", "ldapdelete": "letter",
    "ldappasswd": "letter", "ldapwhoami": "letter",
}  # fmt: skip
_ENDS: Final = ("\n", ";", "&&", "|")
_ASSIGNED: Final = ("PASSWORD=", "PASSWD=", "PASSPHRASE=", "_PASS=", "_PWD=")
_ANY_TOOL: Final = (
    "curl|wget|mysql|mariadb|sshpass|mongo|login|redis-cli|ldap|cqlsh|sqlplus|rabbitmqadmin|clickhouse-client"
)
_GAP: Final = r"[ \t\"'\\,=]"
# No variable begins so.
_FIRST: Final = r"[^\s\"'\\$<{*%(\[@`]"
_TELLING: Final = re.compile(r"[\d!@#%^*+~$]")
_REACH: Final = 512
# So many ends of commands are looked at in the time of one value.
_CHEAP: Final = 4
_VALUE: Final = r"(?![;|&])[^\s\"'\\]{1,256}+"
_VARIABLES: Final = r"(?:PASSWORD|PASSWD|PASSPHRASE|_PASS|_PWD)"

_WORDS: Final = frozenset(
    """
    password pass passwd pwd secret token apikey api_key api-key yourpassword your_password your-password mypassword
    my_password changeme value string str text none null true false undefined env stdin prompt file redacted hidden
    """.split()  # noqa: SIM905  one word a line would fill a page
)
_VARIABLE: Final = re.compile(
    r"[$<{*%(\[@`]|\.{3}|x{3,}\Z|\*+\Z|your[_\-]|my[_\-]?pass|(?:os|process|env|settings|config|self|args)\."
    r"|[a-z_]*(?:redacted|removed|hidden)",
    re.IGNORECASE,
)


@lru_cache(maxsize=256)
def stands_for_another(value: str) -> bool:
    """Say whether a value is a variable, a placeholder or the word for what belongs there, and no secret."""
    return value.lower().strip(".,;:!?)") in _WORDS or _VARIABLE.match(value) is not None


def _words() -> str:
    """Return a pattern for all words that are looked at, laid out letter by letter: see `matching/trie.py`."""
    letters = Letters()
    letters.add("-", r"(?=[uUpaw\-])")
    letters.add("login", r"(?=[\s\\])")
    for word in (*_ENDS, *_ASSIGNED, *_TOOLS):
        letters.add(word, "")
    return letters.bundles(8)


class Commands:
    """Find passwords that command lines, environments and `.netrc` files give."""

    scans: tuple[str, ...] = (
        rf"(?:{_ANY_TOOL})(?s:.)*?[ \"'t]-(?:[uUpaw]|-[a-z])|{_VARIABLES}=[^\s]|(?:machine|default|login)(?s:.)+?password",
    )
    few: str = ""
    lowered: bool = False
    # Most options of commands give a variable or nothing; that ends here, at a price of nanoseconds a letter.
    whole: str = (
        rf"-(?:u|U|-user|-proxy-user){_GAP}{{0,8}}[^\s:\"'\\]{{0,128}}:{_FIRST}|-(?:p|a|w|-[a-z\-]{{1,12}}){_GAP}{{0,8}}{_FIRST}"
        rf"|{_VARIABLES}=\\*[\"']?{_FIRST}|login"
    )
    telling: tuple[str, ...] = (rf"{_ANY_TOOL}|{_VARIABLES}=",)
    near: int = 24
    _pattern = re.compile(_words())
    _left = frozenset(string.ascii_letters + string.digits + "_.-/")
    _right = frozenset(string.ascii_letters + string.digits + "_-=:/")
    _given: ClassVar[dict[str, re.Pattern[str]]] = {
        "pair": re.compile(
            rf"(?:(?:-u|-U|--user|--proxy-user){_GAP}{{0,8}}+[^\s:\"'\\\[]{{0,128}}+:(?P<value>{_VALUE})"
            rf"|--(?:http-|ftp-|proxy-)?password{_GAP}{{1,8}}+(?P<long>(?!-){_VALUE}))"
        ),
        "joined": re.compile(rf"(?:-p(?P<value>{_VALUE})|--password{_GAP}{{1,8}}+(?P<long>(?!-){_VALUE}))"),
        "option": re.compile(
            rf"(?:-p{_GAP}{{0,8}}+(?P<value>(?!-){_VALUE})|--pass(?:word)?{_GAP}{{1,8}}+(?P<long>(?!-){_VALUE}))"
        ),
        "letter": re.compile(
            rf"(?:-[aw]{_GAP}{{0,8}}+(?P<value>(?!-){_VALUE})|--pass{_GAP}{{1,8}}+(?P<long>(?!-){_VALUE}))"
        ),
    }
    _environment = re.compile(r"\\*[\"']?(?P<value>[^\s\"'\\`&;|,(){}<>]{4,256}+)")
    _netrc = re.compile(
        r"login(?:\s|\\+[nt]){1,8}+[^\s\\]{1,128}+(?:\s|\\+[nt]){1,8}+(?:account(?:\s|\\+[nt]){1,8}+[^\s\\]{1,128}+"
        rf"(?:\s|\\+[nt]){{1,8}}+)?password(?:\s|\\+[nt]){{1,8}}+(?P<value>{_VALUE})"
    )
    _machine = re.compile(
        r"(?:machine(?:\s|\\+[nt]){1,8}+(?:[^\s\\]{0,128}[.0-9][^\s\\]{0,128}|localhost)|(?:(?<!.)|(?<=\\n))default)(?:\s|\\+[nt]){1,8}+"
    )

    def spans(self, text: str, low: str, start: int, stop: int) -> Iterator[Span]:  # noqa: ARG002
        """Yield what begins in text[start:stop]; see `linear.Detector`."""
        limit, reach = min(len(text), stop + OVERLAP), min(len(text), stop + self.near)
        tool, since, held, ends = "", start, start, 0
        search, place = self._pattern.search, start
        while (match := search(text, place, limit if tool else reach)) is not None:
            word, at, place = match[0], match.start(), match.end()
            found = None
            # A command that began before goes on, whatever it holds, to its end.
            if at >= stop and not tool:
                return
            if word == "-":
                if at - since < _REACH:
                    found = self._option(text, at, limit, tool)
                elif at >= stop:
                    return
            elif word in _ENDS:
                ends += 1
                # A backslash at the end of a line goes on with the command.
                if at >= held and text[at - 1 : at] != "\\":
                    tool = ""
                    if at >= stop:
                        return
            elif word in _TOOLS:
                if (
                    at >= held
                    and self._begins(text, at)
                    and text[match.end() : match.end() + 1] not in self._right
                ):
                    tool, since = _TOOLS[word], at
            else:
                found = self._assigned(text, word, match.end(), limit)
            if found is not None and not stands_for_another(found[found.lastgroup or ""]):
                first, held = found.span(found.lastgroup or "")
                yield first, held, "password"
            elif word not in _ENDS or not ends % _CHEAP:
                yield at, at, ""

    def _option(self, text: str, at: int, limit: int, tool: str) -> re.Match[str] | None:
        if not tool or text[at - 1 : at] not in " \t\"'":
            return None
        return self._given[tool].match(text, at, limit)

    def _assigned(self, text: str, word: str, end: int, limit: int) -> re.Match[str] | None:
        if word in _ASSIGNED:
            return self._environment.match(text, end, limit)
        return self._entry(text, end - len(word), limit) if self._begins(text, end - len(word)) else None

    def _begins(self, text: str, at: int) -> bool:
        """Say whether a word begins here; the letter of an escape is none of it."""
        before = text[at - 1 : at]
        return before not in self._left or (before == "n" and text[at - 2 : at - 1] == "\\")

    def _of_machine(self, text: str, at: int) -> bool:
        """Say whether a machine's name stands before a login."""
        floor, begin = max(0, at - 280), at
        for _ in range(2):
            # Further left only where the word is a part of the name itself.
            begin = text.rfind("machine", floor, begin)
            if begin < 0:
                break
            if self._machine.fullmatch(text, begin, at) is not None:
                return True
        begin = text.rfind("default", max(0, at - 32), at)
        return begin >= 0 and self._machine.fullmatch(text, begin, at) is not None

    def _entry(self, text: str, at: int, limit: int) -> re.Match[str] | None:
        found = self._netrc.match(text, at, limit)
        if found is None or self._of_machine(text, at):
            return found
        # Without the machine it may be prose: `login with password authentication`.
        return found if _TELLING.search(found["value"]) is not None else None
