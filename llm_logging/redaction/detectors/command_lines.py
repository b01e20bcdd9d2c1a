"""Passwords on command lines and in `.netrc`, told by the program that they are given to.

`curl -u name:PASSWORD`, `mysql -pPASSWORD`, `sshpass -p PASSWORD`, `docker login -p PASSWORD`, `PGPASSWORD=PASSWORD` and
their kin: what follows is a password whatever it looks like, letters alone too, unless it is a variable or a word that
stands for one. A command ends with its line; its words may be items of a list, `["curl", "-u", "name:PASSWORD"]`.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from typing import ClassVar, Final

from ..matching.prefilter import OVERLAP, Scan, Span, matcher, suspects
from ..matching.trie import Letters
from ..matching.values import stands_for_another

__all__ = ["Commands", "is_command"]

# The programs, by the sort of option that gives the password.
_TOOLS: Final[dict[str, str]] = {
    "curl": "pair", "wget": "pair",
    "mysql": "joined", "mysqldump": "joined", "mysqladmin": "joined", "mysqlimport": "joined", "mysqlshow": "joined",
    "mysqlcheck": "joined", "mysqlsh": "joined", "mariadb": "joined", "mariadb-dump": "joined", "mariadb-admin": "joined",
    "sshpass": "option", "mongo": "option", "mongosh": "option", "mongodump": "option", "mongorestore": "option",
    "mongoexport": "option", "mongoimport": "option", "docker login": "option", "podman login": "option",
    "nerdctl login": "option", "buildah login": "option", "skopeo login": "option", "registry login": "option",
    "az login": "option", "oc login": "option", "cf login": "option", "cqlsh": "option", "sqlplus": "option",
    "rabbitmqadmin": "option", "clickhouse-client": "option", "psexec": "option", "psexec.exe": "option", "PSEXEC": "option",
    "PSEXEC.EXE": "option", "PsExec.exe": "option", "PsExec": "option",
    "redis-cli": "letter", "ldapsearch": "letter", "ldapadd": "letter", "ldapmodify": "letter", "ldapdelete": "letter",
    "ldappasswd": "letter", "ldapwhoami": "letter",
}  # fmt: skip
_ENDS: Final = ("\n", ";", "&&", "|")
_ANY_TOOL: Final = (
    "curl|wget|mysql|mariadb|sshpass|mongo|login|redis-cli|ldap|cqlsh|sqlplus|rabbitmqadmin|clickhouse-client|psexec|PSEXEC|PsExec"
)
_GAP: Final = r"[ \t\"'\\,=]"
# No variable begins so.
_FIRST: Final = r"[^\s\"'\\$<{*%(\[@`]"
_TELLING: Final = re.compile(r"[\d!@#%^*+~$]")
_REACH: Final = 512
# So many ends of commands are looked at in the time of one value.
_CHEAP: Final = 4
_VALUE: Final = r"(?![;|&])[^\s\"'\\]{1,256}+"

def _words() -> str:
    """Return a pattern for all words that are looked at, laid out letter by letter: see `matching/trie.py`."""
    letters = Letters()
    letters.add("-", r"(?=[uUpaw\-])")
    letters.add("login", r"(?=[\s\\])")
    for word in (*_ENDS, *_TOOLS):
        letters.add(word, "")
    return letters.bundles(8)


def is_command(first: str, second: str) -> bool:
    """Say whether two words begin a command that an option gives a password to."""
    return first in _TOOLS or f"{first} {second}" in _TOOLS


class Commands:
    """Find passwords that command lines, environments and `.netrc` files give."""

    low_scan: str = ""
    # Most options of commands give a variable or nothing, which the scan tells.
    scan: str = (
        rf"(?:{_ANY_TOOL})(?s:.)*?[ \"'t](?:-(?:u|U|-user|-proxy-user){_GAP}*[^\s:\"'\\]{{0,128}}:"
        rf"|-(?:p|a|w|-[a-z\-]{{1,12}}){_GAP}*{_FIRST})"
        r"|(?:machine|default|login)(?:\s|\\+[nt])(?s:.)+?password|sqlplus [^\s]{0,64}/"
    )
    _begin: ClassVar[Scan] = staticmethod(matcher(f"{_ANY_TOOL}|machine|default"))
    _pattern = re.compile(_words())
    _left = frozenset(string.ascii_letters + string.digits + "_.-/")
    _right = frozenset(string.ascii_letters + string.digits + "_-=:/")
    _given: ClassVar[dict[str, re.Pattern[str]]] = {
        "pair": re.compile(
            rf"(?:(?:-u|-U|--user|--proxy-user){_GAP}{{0,8}}+(?:[^\s:\"'\\\[]{{0,128}}+:\\*[\"']?(?P<value>{_VALUE})|(?P<user>[^\s:\"'\\\[$<{{]{{10,128}}+):)"
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
    _netrc = re.compile(
        r"login(?:\s|\\+[nt]){1,8}+[^\s\\]{1,128}+(?:\s|\\+[nt]){1,8}+(?:account(?:\s|\\+[nt]){1,8}+[^\s\\]{1,128}+"
        rf"(?:\s|\\+[nt]){{1,8}}+)?password(?:\s|\\+[nt]){{1,8}}+(?P<value>{_VALUE})"
    )
    _machine = re.compile(
        r"(?:machine(?:\s|\\+[nt]){1,8}+(?:[^\s\\]{0,128}[.0-9][^\s\\]{0,128}|localhost)|(?:(?<!.)|(?<=\\n))default)(?:\s|\\+[nt]){1,8}+"
    )

    def spans(self, text: str, low: str, start: int, stop: int) -> Iterator[Span]:  # noqa: ARG002
        """Yield what begins in text[start:stop]; see `prefilter.Detector`."""
        if not suspects(self._begin, text[start : stop + 24]):
            return
        limit, reach = min(len(text), stop + OVERLAP), min(len(text), stop + 24)
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
            elif self._begins(text, at):
                found = self._entry(text, at, limit)
            if found is not None and not stands_for_another(found[found.lastgroup or ""]):
                first, held = found.span(found.lastgroup or "")
                yield first, held, "password"
            elif word not in _ENDS or not ends % _CHEAP:
                yield at, at, ""

    def _option(self, text: str, at: int, limit: int, tool: str) -> re.Match[str] | None:
        if not tool or text[at - 1 : at] not in " \t\"'":
            return None
        return self._given[tool].match(text, at, limit)

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
