"""Secrets out of values before anything is serialised: by key name, by path, by pattern.

Invariants: the caller's objects are never changed, and a value in which nothing had to go comes back as the same
object; no exception leaves `redact`, what cannot be examined is hidden; a marker says the kind of what went and never
a part of it; what `redact` would change, `clean` reports as not clean; time is linear in the size of the value.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from pydantic import BaseModel

from ..errors import ConfigurationError
from .credentials import KINDS, Credentials, InnerCredentials
from .keynames import NAME_KINDS, compact, hides, line_scan, name_kind
from .linear import Detector, Scan, matcher, regions
from .paths import PathNode, compile_paths, render_path
from .personal import PERSONAL, Personal
from .surroundings import Assignments, PrivateKeys, Schemes, UrlSecrets

__all__ = ["DEFAULT_CENSOR", "Redactor", "redactor_from"]

DEFAULT_CENSOR: Final = "[redacted:{kind}]"
_DEPTH: Final = 120
_SHORTEST: Final = 8
_MAX_EMBEDDED: Final = 4
_HEADER = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
_OTHER_KINDS: Final = frozenset(
    {"path", "unreadable", "bearer-token", "basic-credentials", "url-password", "url-signature", *PERSONAL}
)
# Where the handler puts what came as extras: a path is tried there as well as from the top.
_WITHIN: Final = ("attributes", "data")


class _Removed:
    __slots__ = ()


_REMOVED: Final = _Removed()
_IN_PROGRESS: Final = object()
_Path = tuple[Any, Any] | None
_Nodes = tuple[PathNode, ...]


class Redactor:
    """Take secrets out of values and texts.

    Args:
        keys: Key names whose values go, beside those known; any case, any separators (`api-key` is `ApiKey`).
        paths: Places whose values go, in pino's syntax; tried from the top of a value and, as extras are put there,
            from within its `attributes` and `data`.
        patterns: What is looked for inside text: `credentials`, and on request `email`, `phone`, `card`, `iban`, `ip`.
        censor: The text that takes a secret's place, `{kind}` in it being what it was; or a function of the value and
            its path (`headers["x-api-key"]`) that returns what takes its place. A function that raises hides the value.
        remove: Take keys and values out altogether; an item of a list becomes None, a piece of text the empty text.
        correlate: Give the same secret the same marker within this process, so that its uses can be told to be one's.

    Raises:
        ConfigurationError: A path, a pattern's name or the censor is not as above.
    """

    def __init__(
        self,
        *,
        keys: Iterable[str] | None = None,
        paths: Iterable[str] = (),
        patterns: Iterable[str] = ("credentials",),
        censor: str | Callable[[Any, str], Any] = DEFAULT_CENSOR,
        remove: bool = False,
        correlate: bool = False,
    ) -> None:
        self._keys = _added_names(keys)
        self._root = compile_paths(paths)
        if not (isinstance(censor, str) or callable(censor)):
            raise ConfigurationError(
                f"redaction censor: expected a text or a function, got {type(censor).__name__}"
            )
        self._censor = censor
        self._remove = remove
        self._salt = secrets.token_bytes(32) if correlate else None
        self._marker = _marker_pattern(censor) if isinstance(censor, str) else _marker_pattern(DEFAULT_CENSOR)
        names = tuple(dict.fromkeys([patterns] if isinstance(patterns, str) else patterns))
        self._detectors = _detectors(names)
        self._numbers = "card" in names or "phone" in names
        line = line_scan(sorted(self._keys))
        self._line_scans: tuple[Scan, ...] = (*(scan for _, scan in self._detectors), matcher(line))
        self.scan_sufficient: bool = self._root is None and all(name.isascii() for name in keys or ())

    def clean(self, line: str | bytes) -> bool:
        """Say whether a serialised line certainly holds nothing that would be redacted by key or pattern.

        Args:
            line: JSON text, or its UTF-8.

        Returns:
            True only when nothing is there; False where something may be, and always when `scan_sufficient` is False.
        """
        for scan in self._line_scans:
            if scan(line):
                return False
        # What is no Unicode text cannot be scanned.
        return self.scan_sufficient and (line.isascii() or _is_text(line))

    def redact(self, value: Any) -> Any:
        """Return the value without its secrets; the same object when it held none.

        Args:
            value: JSON-like; bytes, sets, dataclasses, pydantic models and other objects are examined too.
        """
        nodes: _Nodes = () if self._root is None else (self._root,)
        if self._root is not None and isinstance(value, dict):
            return self._safely(value, nodes, within=_WITHIN)
        return self._safely(value, nodes)

    def redact_text(self, text: str) -> str:
        """Return a text without its secrets; the same object when it held none."""
        try:
            return self._text(text, None, 0)
        except Exception:  # noqa: BLE001  what cannot be examined is hidden
            return DEFAULT_CENSOR.format(kind="unreadable")

    def _safely(self, value: Any, nodes: _Nodes, within: tuple[str, ...] = ()) -> Any:
        try:
            found = _Walk(self, within).value(value, nodes, None, 0)
        except Exception:  # noqa: BLE001  what cannot be examined is hidden
            return DEFAULT_CENSOR.format(kind="unreadable")
        return None if found is _REMOVED else found

    def _text(self, text: str, path: _Path, embedded: int) -> str:
        if len(text) < _SHORTEST:
            return text
        spans: list[tuple[int, int, str]] = []
        suspected = False
        for detector, scan in self._detectors:
            for start, stop in regions(scan, text):
                suspected = True
                spans.extend(detector.spans(text, start, stop))
        if suspected and embedded < _MAX_EMBEDDED and text.lstrip()[:1] in ("{", "["):
            structured = self._embedded(text, path, embedded)
            if structured is not None:
                return structured
        return self._cut(text, spans, path) if spans else text

    def _embedded(self, text: str, path: _Path, embedded: int) -> str | None:
        # Tool arguments and bodies are JSON inside a string; read as such, no quoting can hide a value.
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return None
        found = _Walk(self, (), embedded + 1).value(value, (), path, 0)
        return text if found is value else json.dumps(found, ensure_ascii=False)

    def _cut(self, text: str, spans: list[tuple[int, int, str]], path: _Path) -> str:
        # Of overlapping spans the union goes, under the kind of the one that begins first; where two begin together,
        # the one found first is the more special.
        spans.sort(key=_start)
        parts: list[str] = []
        done = 0
        start, end, kind = spans[0]
        for next_start, next_end, next_kind in [*spans[1:], (len(text) + 1, 0, "")]:
            if next_start < end:
                end = max(end, next_end)
                continue
            piece = text[start:end]
            parts.append(text[done:start])
            parts.append(piece if self._marker.fullmatch(piece) else self._inline(piece, kind, path))
            done = end
            start, end, kind = next_start, next_end, next_kind
        parts.append(text[done:])
        joined = "".join(parts)
        return text if joined == text else joined

    def _inline(self, piece: str, kind: str, path: _Path) -> str:
        found = self._censored(piece, kind, path)
        if found is _REMOVED or found is None:
            return ""
        return found if isinstance(found, str) else str(found)

    def _censored(self, value: Any, kind: str, path: _Path) -> Any:
        if self._remove:
            return _REMOVED
        if not isinstance(self._censor, str):
            try:
                return self._censor(value, render_path(_steps(path)))
            except Exception:  # noqa: BLE001  a censor that fails hides the value
                return DEFAULT_CENSOR.format(kind=kind)
        if self._salt is not None:
            seen = value if isinstance(value, str) else repr(value)
            digest = hashlib.blake2b(seen.encode("utf-8", "surrogatepass"), key=self._salt, digest_size=4)
            kind = f"{kind}:{digest.hexdigest()}"
        return self._censor.replace("{kind}", kind)


def _start(span: tuple[int, int, str]) -> int:
    return span[0]


def _steps(path: _Path) -> list[Any]:
    steps: list[Any] = []
    while path is not None:
        path, step = path
        steps.append(step)
    return steps[::-1]


_is_text: Final = matcher("")


class _Walk:
    """One pass through one value."""

    __slots__ = ("_embedded", "_redactor", "_seen", "_tracks", "_within")

    def __init__(self, redactor: Redactor, within: tuple[str, ...], embedded: int = 0) -> None:
        self._redactor = redactor
        self._within = within
        self._embedded = embedded
        self._seen: dict[int, Any] = {}
        self._tracks = callable(redactor._censor)  # noqa: SLF001  one class in two halves

    def value(self, value: Any, nodes: _Nodes, path: _Path, depth: int) -> Any:
        kind = type(value)
        if kind is str:
            return self._redactor._text(value, path, self._embedded)  # noqa: SLF001
        if value is None or kind is bool or kind is float:
            return value
        if kind is int:
            return self._number(value, path)
        if depth > _DEPTH:
            return self._deep(value)
        if nodes:
            return self._container(value, nodes, path, depth)
        # Without paths a container's result does not depend on where it stands; a circle ends here.
        identity = id(value)
        if identity in self._seen:
            known = self._seen[identity]
            return "[circular]" if known is _IN_PROGRESS else known
        self._seen[identity] = _IN_PROGRESS
        found = self._container(value, nodes, path, depth)
        self._seen[identity] = found
        return found

    def _container(self, value: Any, nodes: _Nodes, path: _Path, depth: int) -> Any:
        if isinstance(value, dict):
            return self._dict(value, nodes, path, depth)
        if isinstance(value, (list, tuple)):
            return self._list(value, nodes, path, depth)
        return self._other(value, nodes, path, depth)

    def _number(self, value: int, path: _Path) -> Any:
        if not self._redactor._numbers or -(10**7) < value < 10**7:  # noqa: SLF001
            return value
        text = str(value)
        found = self._redactor._text(text, path, self._embedded)  # noqa: SLF001
        return value if found == text else found

    def _guarded(self, value: Any, nodes: _Nodes, path: _Path, depth: int) -> Any:
        try:
            return self.value(value, nodes, path, depth)
        except Exception:  # noqa: BLE001  what cannot be examined is hidden
            return DEFAULT_CENSOR.format(kind="unreadable")

    def _dict(self, value: dict[Any, Any], nodes: _Nodes, path: _Path, depth: int) -> Any:
        redactor = self._redactor
        changed = False
        out: list[tuple[Any, Any]] = []
        named = _named_value(value)
        for key, item in value.items():
            here = (path, key) if self._tracks else None
            name = key if isinstance(key, str) else _decoded(key)
            kind = self._key_kind(name, key, item, value, named)
            below: _Nodes = ()
            if nodes:
                below, ends = _step(nodes, name)
                kind = "path" if ends else kind
            if kind is not None and not _is_marked(redactor._marker, item):  # noqa: SLF001
                found = redactor._censored(item, kind, here)  # noqa: SLF001
            elif kind is not None:
                found = item
            else:
                if depth == 0 and name in self._within and redactor._root is not None:  # noqa: SLF001
                    below = (*below, redactor._root)  # noqa: SLF001
                found = self._guarded(item, below, here, depth + 1)
            fresh = redactor._text(name, here, _MAX_EMBEDDED) if len(name) >= _SHORTEST else name  # noqa: SLF001
            changed = changed or found is not item or fresh is not name
            if found is not _REMOVED:
                out.append((key if fresh is name else fresh, found))
        return _rebuilt(out) if changed else value

    def _key_kind(
        self, name: str, key: Any, item: Any, siblings: Mapping[Any, Any], named: str | None
    ) -> str | None:
        if not name:
            return None
        if self._redactor._keys and compact(name) in self._redactor._keys:  # noqa: SLF001
            return "key"
        kind = name_kind(name)
        if kind is not None:
            return kind if hides(kind, name, item, siblings) else None
        if named is not None and key == "value" and hides(named, "", item):
            return named
        return None

    def _list(self, value: list[Any] | tuple[Any, ...], nodes: _Nodes, path: _Path, depth: int) -> Any:
        out: list[Any] = []
        changed = False
        for index, item in enumerate(value):
            here = (path, index) if self._tracks else None
            below: _Nodes = ()
            if nodes:
                below, ends = _step(nodes, str(index))
                if ends:
                    found = self._redactor._censored(item, "path", here)  # noqa: SLF001
                    out.append(None if found is _REMOVED else found)
                    changed = True
                    continue
            found = self._pair(item, here) if type(item) in (list, tuple) and len(item) == 2 else item
            if found is item:
                found = self._guarded(item, below, here, depth + 1)
            changed = changed or found is not item
            out.append(None if found is _REMOVED else found)
        if not changed:
            return value
        return tuple(out) if type(value) is tuple else out

    def _pair(self, pair: Any, path: _Path) -> Any:
        # Headers travel as pairs of name and value.
        name, item = pair
        text = name if isinstance(name, str) else _decoded(name)
        if not isinstance(item, (str, bytes)) or not _HEADER.fullmatch(text):
            return pair
        kind = "key" if compact(text) in self._redactor._keys else name_kind(text)  # noqa: SLF001
        if kind is None or not hides(kind, "", item) or _is_marked(self._redactor._marker, item):  # noqa: SLF001
            return pair
        found = self._redactor._censored(item, kind, path)  # noqa: SLF001
        return type(pair)((name, None if found is _REMOVED else found))

    def _other(self, value: Any, nodes: _Nodes, path: _Path, depth: int) -> Any:
        if isinstance(value, (bytes, bytearray, memoryview)):
            text = bytes(value).decode("utf-8", "replace")
            found = self._redactor._text(text, path, self._embedded)  # noqa: SLF001
            return value if found is text else found
        if isinstance(value, (set, frozenset)):
            items = list(value)
            found = self._list(items, nodes, path, depth)
            return value if found is items else found
        fields = _fields_of(value)
        if fields is not None:
            found = self._dict(fields, nodes, path, depth)
            if found is not fields:
                return found
        if isinstance(value, BaseModel):
            return value
        # Whoever serialises an object takes its repr or its str: neither may hold a secret.
        for text in (repr(value), str(value)):
            found = self._redactor._text(text, path, self._embedded)  # noqa: SLF001
            if found is not text:
                return found
        return value

    def _names_secret(self, key: str) -> bool:
        return name_kind(key) is not None or compact(key) in self._redactor._keys  # noqa: SLF001

    def _deep(self, value: Any) -> Any:
        """Examine what lies deeper than recursion goes: whole, or hidden as a whole."""
        pending, seen = [value], set()
        while pending:
            item = pending.pop()
            if id(item) in seen:
                continue
            seen.add(id(item))
            if type(item) is dict:
                if any(isinstance(key, str) and self._names_secret(key) for key in item):
                    return DEFAULT_CENSOR.format(kind="unreadable")
                pending.extend(item)
                pending.extend(item.values())
            elif type(item) in (list, tuple):
                pending.extend(item)
            elif item is not None and type(item) not in (bool, float):
                # Anything but plain values is not looked into at this depth.
                text = item if type(item) is str else str(item) if type(item) is int else None
                if text is None or self._redactor._text(text, None, self._embedded) is not text:  # noqa: SLF001
                    return DEFAULT_CENSOR.format(kind="unreadable")
        return value


def _step(nodes: _Nodes, name: str) -> tuple[_Nodes, bool]:
    found: list[PathNode] = []
    ends = False
    for node in nodes:
        for child in (node.children.get(name), node.wild):
            if child is not None:
                ends = ends or child.ends
                found.append(child)
    return tuple(found), ends


def _decoded(key: Any) -> str:
    if isinstance(key, bytes):
        return key.decode("latin-1")
    return "" if key is None or isinstance(key, (bool, int, float)) else str(key)


def _named_value(value: Mapping[Any, Any]) -> str | None:
    """Return the kind of secret that `{"name": "Authorization", "value": ...}` holds, as HAR writes headers."""
    if "value" not in value:
        return None
    name = value.get("name", value.get("key"))
    return name_kind(name) if isinstance(name, str) and _HEADER.fullmatch(name) else None


def _is_marked(marker: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and marker.fullmatch(value) is not None


def _rebuilt(items: list[tuple[Any, Any]]) -> dict[Any, Any]:
    out: dict[Any, Any] = {}
    for key, item in items:
        free = key
        number = 2
        while free in out:
            free = f"{key}#{number}"
            number += 1
        out[free] = item
    return out


def _fields_of(value: Any) -> dict[Any, Any] | None:
    if isinstance(value, BaseModel):
        return value.model_dump()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    return None


def _marker_pattern(censor: str) -> re.Pattern[str]:
    kinds = "|".join(sorted(re.escape(kind) for kind in KINDS | NAME_KINDS | _OTHER_KINDS))
    return re.compile(re.escape(censor).replace(r"\{kind\}", rf"(?:{kinds})(?::[0-9a-f]{{8}})?"))


def _added_names(keys: Iterable[str] | None) -> frozenset[str]:
    if isinstance(keys, str):
        raise ConfigurationError(f"redaction keys: expected a list of names, got the string {keys!r}")
    names = frozenset(compact(name) for name in keys or ())
    if "" in names:
        raise ConfigurationError(
            f"redaction keys: expected names with letters or digits, got {list(keys or ())!r}"
        )
    return names


def _detectors(names: Iterable[str]) -> tuple[tuple[Detector, Scan], ...]:
    chosen: list[Detector] = []
    for name in names:
        if name == "credentials":
            chosen += [
                Credentials(),
                InnerCredentials(),
                PrivateKeys(),
                UrlSecrets(),
                Schemes(),
                Assignments(),
            ]
        elif name in PERSONAL:
            chosen.append(Personal(name))
        else:
            known = ", ".join(["credentials", *PERSONAL])
            raise ConfigurationError(f"redaction patterns: expected any of {known}, got {name!r}")
    return tuple((detector, matcher(detector.scan)) for detector in chosen)


def redactor_from(option: bool | Mapping[str, Any] | Redactor | None) -> Redactor | None:
    """Make a redactor from what a configuration says.

    Args:
        option: True for the defaults, None or False for none, a mapping of `Redactor`'s arguments, or a redactor.

    Raises:
        ConfigurationError: It is none of these, or an argument is not as it should be.
    """
    if option is None or option is False:
        return None
    if option is True:
        return Redactor()
    if isinstance(option, Redactor):
        return option
    if isinstance(option, Mapping):
        known = {"keys", "paths", "patterns", "censor", "remove", "correlate"}
        unknown = sorted(str(name) for name in option if name not in known)
        if unknown:
            raise ConfigurationError(f"redact: expected options among {sorted(known)}, got {unknown}")
        return Redactor(**option)
    raise ConfigurationError(
        f"redact: expected True, False, a mapping or a Redactor, got {type(option).__name__}"
    )
