"""Passwords on command lines and in `.netrc`, told by the program that they are given to.

`curl -u name:PASSWORD`, `mysql -pPASSWORD`, `sshpass -p PASSWORD`, `docker login -p PASSWORD`, `PGPASSWORD=PASSWORD` and
their kin: what follows is a password whatever it looks like, letters alone too, unless it is a variable or a word that
stands for one. A command ends with its line; its words may be items of a list, `["curl", "-u", "name:PASSWORD"]`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Final

from .linear import OVERLAP, Span

__all__ = ["Commands", "stands_for_another"]

# By the sort of option that gives the password: the programs.
_TOOLS: Final[dict[str, str]] = {
    "pair": r"curl|wget",
    "joined": r"mysql(?:dump|admin|import|show|check|sh)?|mariadb(?:-dump|-admin)?",
    "option": (
        r"sshpass|mongo(?:sh|dump|restore|export|import)?|(?:docker|podman|nerdctl|buildah|skopeo|az|oc|cf|helm registry) login"
        r"|cqlsh|sqlplus|rabbitmqadmin|clickhouse-client"
    ),
    "letter": r"redis-cli|ldap(?:search|add|modify|delete|passwd|whoami)",
}
_ANY_TOOL: Final = (
    "curl|wget|mysql|mariadb|sshpass|mongo|login|redis-cli|ldap|cqlsh|sqlplus|rabbitmqadmin|clickhouse-client"
)
_GAP: Final = r"[ \t\"'\\,=]"
_VALUE: Final = r"[^\s\"'\\]{1,256}+"
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


def stands_for_another(value: str) -> bool:
    """Say whether a value is a variable, a placeholder or the word for what belongs there, and no secret."""
    return value.lower().strip(".,;:!?)") in _WORDS or _VARIABLE.match(value) is not None


class Commands:
    """Find passwords that command lines, environments and `.netrc` files give."""

    scans: tuple[str, ...] = (
        rf"(?:{_ANY_TOOL})(?s:.)*?[ \"'t]-(?:[uUpaw]|-[a-z])|{_VARIABLES}=[^\s]|(?:machine|default|login)(?s:.)+?password",
    )
    few: str = ""
    lowered: bool = False
    _pattern = re.compile(
        "|".join(
            (
                *(rf"(?P<{sort}>(?<![\w.\-/])(?:{tools})(?![\w\-=:/]))" for sort, tools in _TOOLS.items()),
                r"(?P<end>\n|;|&&|\|)",
                r"(?P<dash>(?<=[ \t\"'])-)",
                rf"(?P<variable>(?<![A-Za-z])[A-Z0-9_]{{0,48}}?{_VARIABLES}=)",
                r"(?P<netrc>(?<![\w\-])login(?=\s))",
            )
        )
    )
    _given: ClassVar[dict[str, re.Pattern[str]]] = {
        "pair": re.compile(
            rf"(?:(?:-u|-U|--user|--proxy-user){_GAP}{{0,8}}+[^\s:\"'\\]{{0,128}}+:(?P<value>{_VALUE})"
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
        r"login(?:\s|\\+[nt]){1,8}+(?P<name>[^\s\\]{1,128}+)(?:\s|\\+[nt]){1,8}+(?:account(?:\s|\\+[nt]){1,8}+[^\s\\]{1,128}+"
        rf"(?:\s|\\+[nt]){{1,8}}+)?password(?:\s|\\+[nt]){{1,8}}+(?P<value>{_VALUE})"
    )
    _machine = re.compile(
        r"(?:machine(?:\s|\\+[nt]){1,8}+(?:[^\s\\]{0,128}[.0-9][^\s\\]{0,128}|localhost)|(?:\A|\n|\\n)default)(?:\s|\\+[nt]){1,8}+\Z"
    )

    def spans(self, text: str, low: str, start: int, stop: int) -> Iterator[Span]:  # noqa: ARG002
        """Yield what begins in text[start:stop]; see `linear.Detector`."""
        limit = min(len(text), stop + OVERLAP)
        tool = ""
        since = start
        for match in self._pattern.finditer(text, start, limit):
            sort = match.lastgroup or ""
            at = match.start()
            if sort == "end":
                # A backslash at the end of a line goes on with the command.
                if text[at - 1 : at] != "\\":
                    tool = ""
                    if at >= stop:
                        return
                continue
            if sort == "dash":
                found = self._given[tool].match(text, at, limit) if tool and at - since < OVERLAP else None
                group = "long" if found is not None and found["long"] else "value"
            elif sort == "variable":
                found, group = (
                    self._environment.match(text, match.end(), limit) if at < stop else None,
                    "value",
                )
            elif sort == "netrc":
                found, group = self._entry(text, at, limit) if at < stop else None, "value"
            else:
                if at >= stop:
                    return
                tool, since = sort, at
                continue
            if found is not None and not stands_for_another(found[group]):
                yield *found.span(group), "password"

    def _entry(self, text: str, at: int, limit: int) -> re.Match[str] | None:
        found = self._netrc.match(text, at, limit)
        if found is None or self._machine.search(text[max(0, at - 280) : at]) is not None:
            return found
        # Without the machine it may be prose: `login with password authentication`.
        return found if any(char.isdigit() or char in "!@#%^*+~$" for char in found["value"]) else None
