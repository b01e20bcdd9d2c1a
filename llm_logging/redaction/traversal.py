"""One pass through one value, container by container; what did not change stays the same object."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, Final, Protocol

from pydantic import BaseModel

from .detectors.command_lines import is_command
from .matching.key_names import compact, hides, name_kind, weak_kind
from .paths import PathNode

__all__ = ["HIDDEN", "REMOVED", "Path", "Walk", "steps_of", "texts_of"]

HIDDEN: Final = "[redacted:unreadable]"
_DEPTH: Final = 120
_LONGEST_KEY: Final = 64
_MOST_KEYS: Final = 4096
_LONGEST_TOGETHER: Final = 1024
_LONGEST_COMMAND: Final = 64
# Between the words of a command: a space, and nothing that a word holds.
_JOINT: Final = " \\' "
_HEADER = re.compile(r"[A-Za-z0-9_.\-]{1,64}")


class _Removed:
    __slots__ = ()


REMOVED: Final = _Removed()
_IN_PROGRESS: Final = object()
# The steps to a place, last first: (the place above, key or index).
Path = tuple[Any, Any] | None
_Nodes = tuple[PathNode, ...]


class Host(Protocol):
    """What decides about texts and replacements: a `Redactor`."""

    names: frozenset[str]
    root: PathNode | None
    numbers: bool
    tracks: bool
    open_keys: set[str]

    def text(self, text: str, path: Path, embedded: int) -> str:
        """Return a text without its secrets."""

    def censored(self, value: Any, kind: str, path: Path) -> Any:
        """Return what takes a secret's place."""

    def is_marker(self, value: Any) -> bool:
        """Say whether a value is what took a secret's place before."""

    def key(self, name: str, path: Path) -> str:
        """Return a key's text without its secrets."""


def texts_of(value: Any, shortest: int) -> list[str]:
    """Return the texts in a value's dicts, lists and tuples, each once, that are worth examining together."""
    found: dict[str, None] = {}
    pending, seen = [value], set()
    while pending:
        item = pending.pop()
        kind = type(item)
        if kind is str:
            if shortest <= len(item) <= _LONGEST_TOGETHER:
                found[item] = None
        elif kind is dict or kind is list or kind is tuple:
            if id(item) not in seen:
                seen.add(id(item))
                pending.extend(item.values() if kind is dict else item)
    return list(found)


def steps_of(path: Path) -> list[Any]:
    """Return the steps to a place, first first."""
    steps: list[Any] = []
    while path is not None:
        path, step = path
        steps.append(step)
    return steps[::-1]


class Walk:
    """One pass through one value.

    Args:
        host: What decides about texts and replacements.
        within: Keys at the top in whose values paths are tried anew.
        embedded: In how many layers of JSON inside text the value was found.
        texts: What becomes of texts that were examined before; None for those that hold nothing.
    """

    __slots__ = ("_embedded", "_host", "_seen", "_simple", "_texts", "_tracks", "_within")

    def __init__(
        self, host: Host, within: tuple[str, ...], embedded: int = 0, texts: Mapping[str, str | None] | None = None
    ) -> None:
        self._host = host
        self._texts = texts or {}
        self._within = within
        self._embedded = embedded
        self._seen: dict[int, Any] = {}
        self._tracks = host.tracks
        # Without paths, names of the user's own or a function that asks for places, a key alone tells.
        self._simple = not host.tracks and host.root is None and not host.names

    def value(self, value: Any, nodes: _Nodes, path: Path, depth: int) -> Any:
        """Return a value without its secrets, `REMOVED` for nothing.

        Args:
            value: Anything.
            nodes: The places of the tree of paths that this value stands at.
            path: Where it stands, where somebody asks.
            depth: How deep it lies.
        """
        kind = type(value)
        if kind is str:
            return self._text(value, path)
        if value is None or kind is bool or kind is float:
            return value
        if kind is int:
            return self._number(value, path)
        if isinstance(value, str):
            text = str.__str__(value)
            found = self._host.text(text, path, self._embedded)
            return value if found is text else found
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
        try:
            found = self._container(value, nodes, path, depth)
        except BaseException:
            del self._seen[identity]
            raise
        self._seen[identity] = found
        return found

    def _text(self, text: str, path: Path) -> str:
        if text in self._texts:
            found = self._texts[text]
            return text if found is None else found
        return self._host.text(text, path, self._embedded)

    def _container(self, value: Any, nodes: _Nodes, path: Path, depth: int) -> Any:
        if isinstance(value, dict):
            return self._dict(value, nodes, path, depth)
        if isinstance(value, tuple) and hasattr(value, "_asdict"):
            fields = dict(zip(value._fields, value, strict=False))
            found = self._dict(fields, nodes, path, depth)
            return value if found is fields else found
        if isinstance(value, (list, tuple)):
            return self._list(value, nodes, path, depth)
        return self._other(value, nodes, path, depth)

    def _number(self, value: int, path: Path) -> Any:
        if not self._host.numbers or not 10**7 < abs(value) < 10**20:
            return value
        text = str(value)
        found = self._host.text(text, path, self._embedded)
        return value if found == text else found

    def _guarded(self, value: Any, nodes: _Nodes, path: Path, depth: int) -> Any:
        try:
            return self.value(value, nodes, path, depth)
        except Exception:  # noqa: BLE001  what cannot be examined is hidden
            return HIDDEN

    def _dict(self, value: dict[Any, Any], nodes: _Nodes, path: Path, depth: int) -> Any:
        named = _named_value(value)
        if named is None and not nodes and self._simple and self._holds_nothing(value, depth):
            return value
        changed = False
        out: list[tuple[Any, Any]] = []
        for key, item in value.items():
            name = key if isinstance(key, str) else _decoded(key)
            here = (path, key) if self._tracks else None
            try:
                found = self._item(name, key, item, value, named, nodes, here, depth)
            except Exception:  # noqa: BLE001  what cannot be examined is hidden, and only that
                found = HIDDEN
            fresh = self._host.key(name, here)
            if self._simple and fresh is key and len(key) <= _LONGEST_KEY and _any_kind(key) is None:
                self._note_open(key)
            changed = changed or found is not item or fresh is not name
            if found is not REMOVED:
                out.append((key if fresh is name else fresh, found))
        return _rebuilt(out) if changed else value

    def _holds_nothing(self, value: dict[Any, Any], depth: int) -> bool:
        """Say whether all keys are known to be open ones and no value changes; in a hurry, for almost all are so."""
        known, text_of = self._host.open_keys, self._text
        try:
            for key, item in value.items():
                if type(key) is not str or key not in known:
                    return False
                kind = type(item)
                if kind is str:
                    if text_of(item, None) is not item:
                        return False
                    continue
                if item is None or kind is bool or kind is float:
                    continue
                if self.value(item, (), None, depth + 1) is not item:
                    return False
        except Exception:  # noqa: BLE001  the slower way hides what cannot be examined, and only that
            return False
        return True

    def _note_open(self, key: str) -> None:
        known = self._host.open_keys
        if len(known) >= _MOST_KEYS:
            known.clear()
        known.add(key)

    def _item(
        self,
        name: str,
        key: Any,
        item: Any,
        siblings: Mapping[Any, Any],
        named: tuple[str, str] | None,
        nodes: _Nodes,
        here: Path,
        depth: int,
    ) -> Any:
        host = self._host
        kind = self._key_kind(name, key, item, siblings, named)
        below: _Nodes = ()
        if nodes:
            below, ends = _step(nodes, name)
            kind = "path" if ends else kind
        if kind is not None:
            return item if host.is_marker(item) else host.censored(item, kind, here)
        if depth == 0 and name in self._within and host.root is not None:
            below = (*below, host.root)
        return self.value(item, below, here, depth + 1)

    def _key_kind(
        self, name: str, key: Any, item: Any, siblings: Mapping[Any, Any], named: tuple[str, str] | None
    ) -> str | None:
        if not name:
            return None
        if self._host.names and compact(name) in self._host.names:
            return "key"
        kind = _any_kind(name)
        if kind is not None:
            return kind if hides(kind, name, item, siblings) else None
        if named is not None and isinstance(key, str) and key.lower() == "value" and hides(named[0], named[1], item):
            return named[0]
        return None

    def _list(self, value: list[Any] | tuple[Any, ...], nodes: _Nodes, path: Path, depth: int) -> Any:
        out: list[Any] = []
        changed = False
        for index, item in enumerate(value):
            here = (path, index) if self._tracks else None
            below: _Nodes = ()
            if nodes:
                below, ends = _step(nodes, str(index))
                if ends:
                    found = self._host.censored(item, "path", here)
                    out.append(None if found is REMOVED else found)
                    changed = True
                    continue
            found = self._pair(item, here) if type(item) in (list, tuple) and len(item) == 2 else item
            if type(item) is str and index and type(value[index - 1]) is str:
                found = self._argument(value[index - 1], item, here)
            if found is item:
                found = self._guarded(item, below, here, depth + 1)
            changed = changed or found is not item
            out.append(None if found is REMOVED else found)
        if not changed:
            return self._command(value, path)
        return tuple(out) if type(value) is tuple else out

    def _command(self, value: list[Any] | tuple[Any, ...], path: Path) -> Any:
        """Return the words of a command without the passwords that its options give, `["mysql", "-pPASSWORD"]`."""
        if not 2 <= len(value) <= _LONGEST_COMMAND or type(value[0]) is not str or not all(type(word) is str for word in value):
            return value
        if is_command(value[0].rpartition("/")[2], value[1]):
            # Joined, a list is a command line.
            joint = " " if not any(" " in word for word in value) else _JOINT
            joined = joint.join(value)
            found = self._host.text(joined, path, self._embedded)
            if found is not joined and found.count(joint) == len(value) - 1:
                parts = found.split(joint)
                return tuple(parts) if type(value) is tuple else parts
        return value

    def _argument(self, option: str, item: str, path: Path) -> Any:
        # The words of a command: ["mysql", "--password", "..."].
        if not option.startswith("--") or item.startswith("-") or len(option) > _LONGEST_KEY:
            return item
        name = option[2:]
        kind = "key" if compact(name) in self._host.names else _any_kind(name)
        if kind is None or not hides(kind, name, item) or self._host.is_marker(item):
            return item
        return self._host.censored(item, kind, path)

    def _pair(self, pair: Any, path: Path) -> Any:
        # Headers travel as pairs of name and value.
        name, item = pair
        text = name if isinstance(name, str) else _decoded(name)
        if not isinstance(item, (str, bytes)) or not _HEADER.fullmatch(text):
            return pair
        kind = "key" if compact(text) in self._host.names else _any_kind(text)
        if kind is None or not hides(kind, text if weak_kind(text) else "", item) or self._host.is_marker(item):
            return pair
        found = self._host.censored(item, kind, path)
        return type(pair)((name, None if found is REMOVED else found))

    def _other(self, value: Any, nodes: _Nodes, path: Path, depth: int) -> Any:
        if isinstance(value, (bytes, bytearray, memoryview)):
            text = bytes(value).decode("utf-8", "replace")
            found = self._host.text(text, path, self._embedded)
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
            found = self._host.text(text, path, self._embedded)
            if found is not text:
                return found
        return value

    def _names_secret(self, key: str) -> bool:
        return _any_kind(key) is not None or compact(key) in self._host.names

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
                    return HIDDEN
                pending.extend(item)
                pending.extend(item.values())
            elif type(item) in (list, tuple):
                pending.extend(item)
            elif item is not None and type(item) not in (bool, float):
                # Anything but plain values is not looked into at this depth.
                text = item if type(item) is str else str(item) if type(item) is int else None
                if text is None or self._host.text(text, None, self._embedded) is not text:
                    return HIDDEN
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


def _any_kind(name: str) -> str | None:
    return name_kind(name) or weak_kind(name)


# Where a value's name stands beside it: HAR's headers, environment variables of AWS and Kubernetes, parameters.
_NAMES: Final = ("name", "Name", "key", "Key", "header", "Header", "NAME", "KEY", "parameter", "field", "variable")
_VALUES: Final = ("value", "Value", "VALUE")


def _named_value(value: Mapping[Any, Any]) -> tuple[str, str] | None:
    """Return the kind and the name of the secret that `{"name": "Authorization", "value": ...}` holds."""
    if not any(key in value for key in _VALUES):
        return None
    for key in _NAMES:
        name = value.get(key)
        if isinstance(name, str) and _HEADER.fullmatch(name) and (kind := _any_kind(name)) is not None:
            return kind, name if weak_kind(name) else ""
    return None


def _rebuilt(items: list[tuple[Any, Any]]) -> dict[Any, Any]:
    out: dict[Any, Any] = {}
    numbers: dict[Any, int] = {}
    for key, item in items:
        free = key
        while free in out:
            # Counted on from the last one of that text: there may be thousands.
            numbers[key] = number = numbers.get(key, 1) + 1
            free = f"{key}#{number}"
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
