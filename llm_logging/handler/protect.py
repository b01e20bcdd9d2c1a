"""Stage 3 of a record's way to its file: protect what is private. Before: `complete`; next: `route`.

Three steps, in this order. Named fields become pseudonyms: a keyed hash, the same for the same value as long as the key lasts (see
`hmac_keys.pseudonym`). The text of requests and chats is kept, hashed or left out (`content`). Secrets are removed (`redaction`)
before the line is serialised; where a scan of the serialised line shows that it has none, it is used as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from ..errors import ConfigurationError
from ..files.layout import LogKind
from ..hmac_keys import PSEUDONYM_KEY, checked_key, key_from_environment, key_from_file, pseudonym
from ..maintenance.data_subjects import PLACES
from ..models.json_values import jsonable, repr_of
from ..option_values import switched
from ..redaction.redactor import Redactor
from .content import ContentPolicy
from .recognise import Line

__all__ = [
    "Names",
    "Pseudonymiser",
    "is_clean",
    "protect",
    "pseudonymiser_from",
    "redacted_line",
    "without_secrets",
]

_CHAT: Final = LogKind.CHAT
_REQUESTS: Final = LogKind.REQUESTS
# Level, logger, event type and writer of a line.
Names = tuple[str, str, str, str | None]
_FIELD = re.compile(r"[A-Za-z_][\w\-]*(?:\.[A-Za-z_][\w\-]*){0,7}")


def protect(line: Line, pseudonyms: Pseudonymiser | None, content: ContentPolicy) -> None:
    """Replace the names of a line by pseudonyms, and apply the content policy to its text.

    Args:
        line: A completed line; its `content` is what is to be kept of a request's text, None for nothing.
        pseudonyms: The fields to replace; None for none.
        content: The policy.
    """
    if pseudonyms is not None:
        line.body = pseudonyms.apply(line.body)
        line.project_id = line.body.get("project_id", line.project_id)
        line.chat_id = line.body.get("chat_id", line.chat_id)
    if line.content is not None:
        line.content = content.request_content(line.content.get("messages"), line.content.get("response"))
    elif line.kind is _CHAT or line.event_type == "invalid_entry":
        line.body = content.chat_body(line.body)


def is_clean(line: Line, names: Names, encoded: tuple[bytes, bytes], redactor: Redactor) -> bool:
    """Say whether a serialised line certainly holds no secrets.

    Args:
        line: A protected line.
        names: The names in its envelope.
        encoded: The line as bytes.
        redactor: What finds secrets.
    """
    if isinstance(line.record.args, Mapping) and redactor.redact(line.record.args) is not line.record.args:
        return False
    if line.kind is _REQUESTS and redactor.harmless((line.message, *names[:3]), line.body, firm=line.checked):
        return True
    return redactor.clean(b"".join(encoded))


def redacted_line(line: Line, names: Names, redactor: Redactor) -> tuple[Line, Names]:
    """Return a copy of a line without its secrets, and the names in its envelope without theirs."""
    clean = line.beside(line.kind, line.event_type, line.body)
    clean.message, clean.body = without_secrets(line, redactor)
    level, logger, event_type = map(redactor.redact_text, names[:3])
    return clean, (level, logger, event_type, names[3])


def without_secrets(line: Line, redactor: Redactor | None) -> tuple[str, dict[str, Any]]:
    """Return message and body of a line in JSON's own types without their secrets."""
    body = jsonable(line.body)
    if redactor is None:
        return line.message, body
    return redactor.redact_text(_message(line, redactor)), redactor.redact(body)


def _message(line: Line, redactor: Redactor) -> str:
    """Return a line's message; where its arguments have names, `%(password)s`, without the secrets that the names tell."""
    args = line.record.args
    if not isinstance(args, Mapping) or (found := redactor.redact(args)) is args:
        return line.message
    try:
        return str(line.record.msg) % found
    except Exception:  # noqa: BLE001  a format that does not fit what took a value's place
        return f"{repr_of(line.record.msg)} {repr_of(found)}"


class Pseudonymiser:
    """Replace named fields of an entry by pseudonyms, also where it was refused and is kept as an event's data.

    Args:
        fields: Names such as `user_id` (which is `userId`, too), `chat_id`, `attributes.account`; what is an attribute of a
            request is one of the data of an event.
        key: At least 16 bytes; None takes `LLM_LOGGING_PSEUDONYM_KEY`, or the file named by
            `LLM_LOGGING_PSEUDONYM_KEY_FILE`.

    Raises:
        ConfigurationError: A field is no name, or there is no key or one that is too short.
    """

    __slots__ = ("_key", "_places")

    def __init__(self, fields: Sequence[str], key: bytes | None = None) -> None:
        if isinstance(fields, str):
            raise ConfigurationError(f"pseudonyms: expected a list of fields, got the string {fields!r}")
        for field in fields:
            if not isinstance(field, str) or not _FIELD.fullmatch(field):
                raise ConfigurationError(
                    f"pseudonyms: expected fields such as 'user_id' or 'attributes.x', got {field!r}"
                )
        found = key_from_environment(PSEUDONYM_KEY) if key is None else checked_key(key, "pseudonym key")
        if found is None:
            raise ConfigurationError(
                f"pseudonyms of {list(fields)}: expected a key in {PSEUDONYM_KEY} or {PSEUDONYM_KEY}_FILE, got neither"
            )
        self._key = found
        # By the place in a line: most lines lack most places.
        self._places: dict[tuple[str, ...], list[tuple[str, tuple[str, ...]]]] = {}
        known: set[tuple[str, ...]] = set()
        for field in fields:
            for place, path in _occurrences(tuple(field.split("."))):
                if (*place, *path) not in known:
                    known.add((*place, *path))
                    self._places.setdefault(place, []).append((field, path))

    def apply(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Return the entry with its named fields replaced; the same object where it has none of them."""
        for place, fields in self._places.items():
            if not place or place[0] in entry:
                for field, path in fields:
                    entry = self._replace(entry, (*place, *path), field)
        return entry

    def _replace(self, value: dict[str, Any], path: tuple[str, ...], field: str) -> dict[str, Any]:
        name = path[0]
        item = value.get(name)
        if item is None:
            return value
        if len(path) > 1:
            fresh = self._replace(item, path[1:], field) if isinstance(item, dict) else item
        elif isinstance(item, (list, tuple)):
            fresh = [part if part is None else pseudonym(field, part, self._key) for part in item]
        else:
            fresh = pseudonym(field, item, self._key)
        return value if fresh is item else {**value, name: fresh}


def _occurrences(path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Yield where a field may stand in a line, as place and path: at its own, and where an entry is kept that was refused."""
    if len(path) == 1:
        head, *rest = path[0].split("_")
        camel = head + "".join(part.capitalize() for part in rest)
        for place in ((), *PLACES):
            yield from ((place, (name,)) for name in dict.fromkeys((path[0], camel)))
    elif path[0] == "attributes":
        # An extra is among the attributes of a request and among the data of an event.
        for place in (("attributes",), ("data",), ("data", "entry"), ("data", "entry", "attributes")):
            yield place, path[1:]
    else:
        yield (), path
        yield ("data", "entry"), path


def pseudonymiser_from(
    option: Sequence[str] | Mapping[str, Any] | Pseudonymiser | None,
) -> Pseudonymiser | None:
    """Make what a configuration asks for.

    Args:
        option: None or an empty list for none; field names, with the key in the environment; or a mapping with
            `fields` and one of `key_file`, a path, and `key_env`, the name of another variable.

    Raises:
        ConfigurationError: It is none of these, or there is no key.
    """
    if switched(option) is False:
        return None
    if option is None or isinstance(option, Pseudonymiser):
        return option
    if not isinstance(option, Mapping):
        if isinstance(option, str) or not isinstance(option, Sequence):
            raise ConfigurationError(f"pseudonyms: expected a list of fields or a mapping, got {option!r}")
        return Pseudonymiser(option) if option else None
    unknown = sorted(str(name) for name in option if name not in {"fields", "key_file", "key_env"})
    if unknown or "fields" not in option:
        raise ConfigurationError(
            f"pseudonyms: expected `fields` and perhaps `key_file` or `key_env`, got {sorted(map(str, option))}"
        )
    file, variable = option.get("key_file"), option.get("key_env")
    if file and variable:
        raise ConfigurationError("pseudonyms: expected key_file or key_env, got both")
    key = key_from_file(file, "pseudonyms: key_file") if file else None
    if variable:
        key = key_from_environment(variable)
        if key is None:
            raise ConfigurationError(
                f"pseudonyms: expected a key in {variable} or {variable}_FILE, got neither"
            )
    return Pseudonymiser(option["fields"], key)
