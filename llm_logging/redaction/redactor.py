"""Secrets out of values before anything is serialised: by key name, by path, by pattern.

Invariants: the caller's objects are never changed, and a value in which nothing had to go comes back as the same
object; no exception leaves `redact`, what cannot be examined is hidden; a marker says the kind of what went and never
a part of it; what `redact` would change, `clean` reports as not clean; time is linear in the size of the value.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from ..errors import ConfigurationError
from ..models.entry import LLMRequestLogEntry, Timings, Usage
from ..option_values import switched
from .detectors.formats import KINDS
from .matching.key_names import NAME_KINDS, compact, name_kind
from .matching.prefilter import Span
from .paths import compile_paths, render_path
from .scanner import PATTERN_SETS, Examiner
from .traversal import HIDDEN, REMOVED, Path, Walk, steps_of, texts_of

__all__ = ["DEFAULT_CENSOR", "Redactor", "both", "redactor_from"]

DEFAULT_CENSOR: Final = "[redacted:{kind}]"
_SHORTEST: Final = 8
# So many texts are examined together, with a line between them that no text has and nothing is found across.
_FEW: Final = 4
_BETWEEN_MARK: Final = "\x01\x01"
_BETWEEN: Final = f"\n{_BETWEEN_MARK}\n"
# `8.8.8.8`, `x@y.co`.
_SHORTEST_PERSONAL: Final = 6
_MAX_EMBEDDED: Final = 4
_LONGEST_JSON: Final = 1 << 20
_LONGEST_KEY: Final = 64
_LONGEST_NAME: Final = 32
_MOST_KEYS: Final = 4096
_TOGETHER: Final = 256
# Where a request that was held to its model has no room for a text: its own id, times, numbers and words of ours; the parts
# of it that hold nothing else; and the fields that hold one text or a list of them.
_FIRM: Final = frozenset(
    {
        "id",
        "attempt",
        "request_type",
        "stream",
        "output_format_hint",
        "status",
        "http_status",
        "timestamp_start",
        "timestamp_end",
    }
)
# What else a provider's own usage says in words.
_USAGE_WORDS: Final = frozenset({"service_tier", "modality", "trafficType", "inference_geo", "speed"})
_USAGE_DEPTH: Final = 4
_COUNTS: Final[Mapping[str, frozenset[str]]] = {
    "usage": frozenset(Usage.model_fields),
    "timings": frozenset(Timings.model_fields),
}
_TEXTS: Final = frozenset(LLMRequestLogEntry.model_fields) - {
    *_FIRM,
    *_COUNTS,
    *LLMRequestLogEntry.CONTENT_FIELDS,
    "attributes",
    "cost",
    "error",
}
# Of these, the names of fields that hold one text, and of those that hold a list of texts.
_LISTS: Final = tuple(
    sorted(name for name in _TEXTS if "list[" in str(LLMRequestLogEntry.model_fields[name].annotation))
)
_SINGLE: Final = tuple(sorted(_TEXTS.difference(_LISTS)))
_CHECKED: Final = _TEXTS | _FIRM | _COUNTS.keys()
_NUMBERS: Final = frozenset({int, float, bool})
_SOURCES: Final = ("provider", "partial", "estimated")
_OTHER_KINDS: Final = frozenset(
    {
        "path",
        "secrets",
        "unreadable",
        "bearer-token",
        "basic-credentials",
        "url-password",
        "url-signature",
        "url-key",
        *PATTERN_SETS,
    }
)
# Where the handler puts what came as extras: a path is tried there as well as from the top.
_WITHIN: Final = ("attributes", "data")


class Redactor:
    """Take secrets out of values and texts.

    Args:
        keys: Further key names whose values are removed, in any case, with any separators (`api-key` is `ApiKey`).
        paths: Places whose values are removed, in pino's syntax. They start at the top of a value, or inside its
            `attributes` and `data`.
        patterns: What to look for in text: `credentials`; on request also `email`, `phone`, `card`, `iban`, `ip`.
        censor: Replacement text, in which `{kind}` is the kind of secret; or a function of the value and its path
            (`headers["x-api-key"]`) that returns the replacement. If it raises, the value is hidden.
        remove: Remove keys and values altogether. An item of a list becomes None, a piece of text becomes empty.
        correlate: Give equal secrets equal markers within this process.

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
        self.names = _added_names(keys)
        self.root = compile_paths(paths)
        if not (isinstance(censor, str) or callable(censor)):
            raise ConfigurationError(
                f"redaction censor: expected a text or a function, got {type(censor).__name__}"
            )
        self._censor = censor
        self.tracks = callable(censor)
        self._remove = remove
        self._salt = secrets.token_bytes(32) if correlate else None
        text = censor if isinstance(censor, str) else DEFAULT_CENSOR
        self._marker = _marker_pattern(text)
        self._first = text[:1]
        kinds = KINDS | NAME_KINDS | _OTHER_KINDS
        self._markers = {kind: text.replace("{kind}", kind) for kind in kinds}
        self._plain = isinstance(censor, str) and not remove and not correlate
        sets = tuple(dict.fromkeys([patterns] if isinstance(patterns, str) else patterns))
        self._shortest = _SHORTEST if sets == ("credentials",) else _SHORTEST_PERSONAL
        self.numbers = "card" in sets or "phone" in sets
        self._examiner = Examiner(sets, self.names)
        self._clean = self._examiner.clean
        self._harmless: set[str] = set()
        # The same, and what is too short to be a secret.
        self._passed: set[str | None] = set()
        self._harmless_keys: set[str] = set()
        self._count_names: set[str] = set()
        self.open_keys: set[str] = set()
        self.scan_sufficient: bool = self.root is None and all(name.isascii() for name in keys or ())
        # With added names or sets, no field is beyond suspicion and no text is looked at in company.
        self._quick = self.scan_sufficient and not self.names and sets == ("credentials",)

    def clean(self, line: str | bytes) -> bool:
        """Say whether a serialised line certainly holds nothing that would be redacted by key or pattern.

        Args:
            line: JSON text or, sooner done, its UTF-8.

        Returns:
            True only when nothing is there; False where something may be, and always when `scan_sufficient` is False.
        """
        return self.scan_sufficient and self._clean(line)

    def harmless(self, texts: Iterable[str], request: Mapping[str, Any], *, firm: bool = False) -> bool:
        """Say whether a request's line certainly holds nothing that would be redacted, mostly from memory.

        Names of models, projects and states come again and again. What is new is looked at, all of it at once.

        Args:
            texts: What the line's envelope holds.
            request: The fields of a request.
            firm: Whether they were held to their model, as `fast_entry` does; then only texts are looked at.

        Returns:
            True only when nothing is there; False where `clean` has to say.
        """
        if not self._quick:
            return False
        fresh = self._unmet_of_firm(texts, request) if firm else self._unmet(texts, request)
        if fresh:
            together = "\n".join(fresh)
            if len(together) > _TOGETHER or self._examiner.spans(together)[1]:
                return False
            if self._examiner.structured(together):
                return False
            for text in fresh:
                if len(text) <= _LONGEST_NAME:
                    self._remember(text)
        return fresh is not None

    def _unmet_of_firm(self, texts: Iterable[str], request: Mapping[str, Any]) -> list[str] | None:
        """Return what `_unmet` does, of a request that was held to its model: only some of its fields can hold a text."""
        usage = request.get("usage")
        if (
            not request.keys() <= _CHECKED
            or (usage is not None and not (type(usage) is dict and usage.keys() <= _COUNTS["usage"]))
            or not request.get("timings", {}).keys() <= _COUNTS["timings"]
        ):
            return None
        fresh: list[str] = []
        if usage is not None and "raw" in usage and not self._counts(usage["raw"], fresh, _USAGE_DEPTH):
            return None
        values = [*texts, *map(request.get, _SINGLE)]
        for name in _LISTS:
            if name in request:
                values += request[name]
        passed, known = self._passed, self._harmless
        if passed.issuperset(values):
            return fresh
        if len(passed) >= _MOST_KEYS:
            passed.clear()
        for text in values:
            if text is None or (len(text) < _SHORTEST and text[:1] != "-"):
                passed.add(text)
            elif text[:2] == "--":
                # Of the words of a command, each tells what the next one is.
                return None
            elif text in known:
                passed.add(text)
            elif text != request.get("id"):
                fresh.append(text)
        return fresh

    def _unmet(self, texts: Iterable[str], request: Mapping[str, Any]) -> list[str] | None:
        """Return the texts that are not known to be harmless; None where there is more in a request than texts and numbers."""
        known = self._harmless
        fresh = [text for text in texts if text not in known and len(text) >= _SHORTEST]
        for name, value in request.items():
            kind = type(value)
            if name not in _TEXTS and name not in _FIRM:
                if kind is not dict or not self._group(name, value, fresh):
                    return None
            elif kind is str:
                if len(value) < _SHORTEST or value in known:
                    continue
                if name != "request_group" or value != request.get("id"):
                    fresh.append(value)
            elif kind is list:
                for item in value:
                    # Of the words of a command, each tells what the next one is.
                    if type(item) is not str or item.startswith("--"):
                        return None
                    if len(item) >= _SHORTEST and item not in known:
                        fresh.append(item)
            elif kind not in _NUMBERS:
                return None
        return fresh

    def _group(self, name: str, group: Mapping[str, Any], fresh: list[str]) -> bool:
        """Say whether a group of fields holds numbers and words of ours only."""
        return group.keys() <= _COUNTS.get(name, frozenset()) and all(
            type(part) in _NUMBERS or self._part(key, part, fresh) for key, part in group.items()
        )

    def _part(self, name: str, part: Any, fresh: list[str]) -> bool:
        if name == "raw":
            return self._counts(part, fresh, _USAGE_DEPTH)
        return type(part) is str and part in _SOURCES

    def _counts(self, usage: Any, fresh: list[str], depth: int) -> bool:
        """Say whether a provider's own usage holds nothing but numbers under names of no secrets, and a word here and there.

        Args:
            usage: Of JSON's own types.
            fresh: Takes the words that are not known to be harmless.
            depth: How much deeper it may go.
        """
        if type(usage) is list:
            return depth > 0 and all(
                type(item) is dict and self._counts(item, fresh, depth - 1) for item in usage
            )
        if type(usage) is not dict or not depth:
            return False
        for name, value in usage.items():
            if name not in self._count_names and not self._names_count(name):
                return False
            kind = type(value)
            if kind in _NUMBERS or value is None:
                continue
            if kind is str:
                if name not in _USAGE_WORDS:
                    return False
                if len(value) >= _SHORTEST and value not in self._harmless:
                    fresh.append(value)
            elif not self._counts(value, fresh, depth - 1):
                return False
        return True

    def _names_count(self, name: Any) -> bool:
        if type(name) is not str or len(name) > _LONGEST_KEY or name_kind(name) is not None:
            return False
        if self.key(name, None) is not name:
            return False
        if len(self._count_names) >= _MOST_KEYS:
            self._count_names.clear()
        self._count_names.add(name)
        return True

    def redact(self, value: Any) -> Any:
        """Return the value without its secrets; the same object when it held none.

        Args:
            value: JSON-like; bytes, sets, dataclasses, pydantic models and other objects are examined too.
        """
        try:
            found = Walk(self, _WITHIN, texts=self._together(value)).value(
                value, () if self.root is None else (self.root,), None, 0
            )
        except Exception:  # noqa: BLE001  what cannot be examined is hidden
            return HIDDEN
        return None if found is REMOVED else found

    def _together(self, value: Any) -> dict[str, str | None]:
        """Examine the many short texts of a value as one: each by itself would cost more than what it holds."""
        if self.tracks or not isinstance(value, (dict, list, tuple)):
            return {}
        texts = texts_of(value, self._shortest)
        if len(texts) < _FEW:
            return {}
        texts = [text for text in texts if _BETWEEN_MARK not in text and not self._structured(text)]
        joined = _BETWEEN.join(texts)
        spans, _ = self._examiner.spans(joined)
        found: dict[str, str | None] = dict.fromkeys(texts)
        spans.sort(key=_start)
        spans.append((len(joined) + 1, 0, ""))
        begin = place = 0
        for text in texts:
            stop = begin + len(text)
            own: list[Span] = []
            # What begins in one text may end in another: each hides its part.
            while spans[place][0] < stop:
                first, end, kind = spans[place]
                if end > begin:
                    own.append((max(first, begin) - begin, min(end, stop) - begin, kind))
                if end > stop + len(_BETWEEN):
                    spans[place] = (stop + len(_BETWEEN), end, kind)
                    break
                place += 1
            if own:
                cut = self._cut(text, own, None)
                found[text] = None if cut is text else cut
            begin = stop + len(_BETWEEN)
        return found

    def _structured(self, text: str) -> bool:
        """Say whether a text is JSON in which a secret's value has parts of its own, or whose letters are written as escapes."""
        return text.lstrip()[:1] in ("{", "[") and self._examiner.structured(text)

    def redact_text(self, text: str) -> str:
        """Return a text without its secrets; the same object when it held none."""
        try:
            return self.text(text, None, 0)
        except Exception:  # noqa: BLE001  what cannot be examined is hidden
            return HIDDEN

    def text(self, text: str, path: Path, embedded: int) -> str:
        """Do what `redact_text` does, inside a value.

        Args:
            text: The text.
            path: Where it stands, for a censor function.
            embedded: In how many layers of JSON inside text it was found.
        """
        if len(text) < self._shortest or text in self._harmless:
            return text
        if embedded < _MAX_EMBEDDED and len(text) <= _LONGEST_JSON and self._structured(text):
            structured = self._embedded(text, path, embedded)
            if structured is not None:
                return structured
        spans, suspected = self._examiner.spans(text)
        if not suspected and len(text) <= _LONGEST_NAME:
            self._remember(text)
        return self._cut(text, spans, path) if spans else text

    def key(self, name: str, path: Path) -> str:
        """Return a key's text without its secrets; keys come again and again, so harmless ones are remembered."""
        # Not among the texts: a key is not read as JSON, so what is harmless as a key may hold a secret as a value.
        known = self._harmless_keys
        if len(name) < self._shortest or name in known:
            return name
        found = self.text(name, path, _MAX_EMBEDDED)
        if found is name and len(name) <= _LONGEST_KEY:
            if len(known) >= _MOST_KEYS:
                known.clear()
            known.add(name)
        return found

    def _remember(self, text: str) -> None:
        # Names of models, projects and states come again and again; nothing long is kept, and nothing suspected.
        if len(self._harmless) >= _MOST_KEYS:
            self._harmless.clear()
        self._harmless.add(text)

    def _embedded(self, text: str, path: Path, embedded: int) -> str | None:
        # Tool arguments and bodies are JSON inside a string; read as such, no quoting can hide a value.
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return None
        found = Walk(self, (), embedded + 1).value(value, (), path, 0)
        return text if found is value else json.dumps(found, ensure_ascii=False)

    def _cut(self, text: str, spans: list[Span], path: Path) -> str:
        # Of overlapping spans the union goes, under the kind of the one that begins first; where two begin together,
        # the one found first is the more special.
        spans.sort(key=_start)
        parts: list[str] = []
        done = 0
        start, end, kind = spans[0]
        spans.append((len(text) + 1, 0, ""))
        for next_start, next_end, next_kind in spans[1:]:
            if next_start < end:
                end = max(end, next_end)
                continue
            parts.append(text[done:start])
            parts.append(self._marked(text, start, end, kind, path))
            done = end
            start, end, kind = next_start, next_end, next_kind
        parts.append(text[done:])
        joined = "".join(parts)
        return text if joined == text else joined

    def _marked(self, text: str, start: int, end: int, kind: str, path: Path) -> str:
        if text[start] == self._first and self._marker.fullmatch(text, start, end):
            return text[start:end]
        if self._plain:
            return self._markers[kind]
        found = self.censored(text[start:end], kind, path)
        if found is REMOVED or found is None:
            return ""
        return found if isinstance(found, str) else str(found)

    def is_marker(self, value: Any) -> bool:
        """Say whether a value is what took a secret's place before."""
        return isinstance(value, str) and self._marker.fullmatch(value) is not None

    def censored(self, value: Any, kind: str, path: Path) -> Any:
        """Return what takes a secret's place, `REMOVED` for nothing."""
        if self._remove:
            return REMOVED
        if not isinstance(self._censor, str):
            try:
                return self._censor(value, render_path(steps_of(path)))
            except Exception:  # noqa: BLE001  a censor that fails hides the value
                return self._markers[kind]
        if self._salt is not None:
            seen = value if isinstance(value, str) else repr(value)
            digest = hashlib.blake2b(seen.encode("utf-8", "surrogatepass"), key=self._salt, digest_size=4)
            return self._censor.replace("{kind}", f"{kind}:{digest.hexdigest()}")
        return self._markers[kind]


def _start(span: Span) -> int:
    return span[0]


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


class _Both(Redactor):
    """Take out what either of two redactors would."""

    def __init__(self, first: Redactor, second: Redactor) -> None:
        super().__init__()
        self._each = (first, second)
        self._quick = False
        self.scan_sufficient = first.scan_sufficient and second.scan_sufficient

    def clean(self, line: str | bytes) -> bool:
        """Say whether neither would find anything; see `Redactor.clean`."""
        return all(each.clean(line) for each in self._each)

    def redact(self, value: Any) -> Any:
        """Return the value without what either takes out."""
        for each in self._each:
            value = each.redact(value)
        return value

    def redact_text(self, text: str) -> str:
        """Return a text without what either takes out."""
        for each in self._each:
            text = each.redact_text(text)
        return text


def both(first: Redactor | None, second: Redactor | None) -> Redactor | None:
    """Return a redactor that takes out what either of two would; the one there is where the other is None."""
    if first is None or second is None or first is second:
        return second if first is None else first
    return _Both(first, second)


def redactor_from(option: bool | Mapping[str, Any] | Redactor | None) -> Redactor | None:
    """Make a redactor from what a configuration says.

    Args:
        option: True for the defaults, None or False for none, a mapping of `Redactor`'s arguments, or a redactor.

    Raises:
        ConfigurationError: It is none of these, or an argument is not as it should be.
    """
    option = switched(option)
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
