"""The content policy: whether the text of requests and chats is written, hashed or left out.

Invariants: numbers and other facts of a request never pass through here; a base64 blob is always replaced by its media type, size
and SHA-256. Order: blobs are replaced first, because there is nothing to search in an image; then secrets are removed; then long
text is truncated, so a truncation never leaves half a secret. Used by `protect`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import BaseModel

from ..errors import ConfigurationError
from ..option_values import number
from .option_choices import choice

__all__ = ["ContentPolicy", "without_blobs"]

_SHORTEST_BLOB: Final = 256
_DATA_URL = re.compile(
    r"data:(?P<media>[A-Za-z0-9.+\-]{1,64}/[A-Za-z0-9.+\-]{1,128})?(?:;[A-Za-z0-9.=_+\-]{1,64}){0,4}?;base64,"
    r"(?P<data>[A-Za-z0-9+/=_\-]++)"
)
_BASE64 = re.compile(r"[A-Za-z0-9+/_\-\r\n]++={0,2}\s*")
# Where providers put base64: OpenAI's and Gemini's `data`, `b64_json`, `file_data` and `result`, Bedrock's `bytes`.
_BLOB_KEYS: Final = frozenset(
    {"data", "b64_json", "file_data", "fileData", "bytes", "result", "image", "audio"}
)
_MEDIA_KEYS: Final = ("media_type", "mime_type", "mimeType", "mediaType", "content_type", "format")
_DEPTH: Final = 100


class _Blob(dict[str, Any]):
    """What is said of a blob; it is never cut."""


def _described(payload: bytes, media_type: str | None) -> dict[str, Any]:
    return _Blob(
        media_type=media_type or "application/octet-stream",
        bytes=len(payload),
        sha256=hashlib.sha256(payload).hexdigest(),
    )


def _decoded(text: str) -> bytes | None:
    plain = text.translate({10: None, 13: None, 32: None}).rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def _media_type(siblings: Mapping[Any, Any]) -> str | None:
    for key in _MEDIA_KEYS:
        found = siblings.get(key)
        if isinstance(found, str) and len(found) <= 128:
            return found
    return None


def _inline(match: re.Match[str]) -> str:
    payload = _decoded(match["data"])
    if payload is None or len(match["data"]) < 64:
        return match[0]
    found = _described(payload, match["media"])
    return f"[{found['media_type']}, {found['bytes']} bytes, sha256:{found['sha256']}]"


def _text(value: str) -> Any:
    if "base64," not in value:
        return value
    whole = _DATA_URL.fullmatch(value)
    if whole is not None:
        payload = _decoded(whole["data"])
        return value if payload is None else _described(payload, whole["media"])
    fresh = _DATA_URL.sub(_inline, value)
    return value if fresh == value else fresh


def without_blobs(value: Any, *, _depth: int = 0) -> Any:
    """Return structured content with each base64 blob replaced by its media type, size in bytes and SHA-256.

    Known are data URLs (whole values, or inside text), and long base64 in the fields where OpenAI, Anthropic, Gemini
    and Bedrock put it.

    Args:
        value: Messages or a response, JSON-like; not changed.

    Returns:
        The same object where there was no blob.
    """
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, (bytes, bytearray)):
        return _described(bytes(value), None)
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="python")
    if _depth > _DEPTH:
        return value
    if isinstance(value, Mapping):
        fresh = {key: _field(key, item, value, _depth) for key, item in value.items()}
        return fresh if any(fresh[key] is not item for key, item in value.items()) else value
    if isinstance(value, (list, tuple)):
        items = [without_blobs(item, _depth=_depth + 1) for item in value]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    return value


def _field(key: Any, item: Any, siblings: Mapping[Any, Any], depth: int) -> Any:
    if key in _BLOB_KEYS:
        if isinstance(item, (bytes, bytearray)):
            return _described(bytes(item), _media_type(siblings))
        if isinstance(item, str) and len(item) >= _SHORTEST_BLOB and _BASE64.fullmatch(item):
            payload = _decoded(item)
            if payload is not None:
                return _described(payload, _media_type(siblings))
    return without_blobs(item, _depth=depth + 1)


def _canonical(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str)


def _hashed(value: Any) -> dict[str, Any]:
    text = _canonical(value)
    return {"sha256": hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest(), "chars": len(text)}


class ContentPolicy:
    """Say how much of the text of requests and chats is written.

    Args:
        mode: `off` writes none; `hash` writes SHA-256 and length in characters, to tell equal texts; `full` writes it.
        max_chars: The most characters of one text that `full` keeps; None or 0 keeps all.
        redact: What takes secrets out, applied after blobs went and before anything is cut or hashed.

    Raises:
        ConfigurationError: `mode` is none of the three, or `max_chars` is not a whole number >= 0.
    """

    __slots__ = ("max_chars", "mode", "redact")

    def __init__(
        self,
        mode: str = "off",
        max_chars: int | None = None,
        *,
        redact: Callable[[Any], Any] | None = None,
    ) -> None:
        most = 0 if max_chars is None else number("max_content_chars", max_chars)
        if isinstance(most, float) and not most.is_integer():
            raise ConfigurationError(
                f"max_content_chars: expected a whole number >= 0 or None, got {max_chars!r}"
            )
        self.mode: str = choice("content", mode)
        self.max_chars = int(most) if most else None
        self.redact = redact

    def request_content(self, messages: Any, response: Any) -> dict[str, Any] | None:
        """Return what a content line holds of a request's messages and response.

        Args:
            messages: What was sent; None where it is not known.
            response: What came back; None where it is not known.

        Returns:
            `messages` and `response` as far as they are there: whole, or `{"sha256", "chars"}`; None where nothing
            is to be written.
        """
        if self.mode == "off":
            return None
        content = {
            name: self._kept(value)
            for name, value in (("messages", messages), ("response", response))
            if value is not None
        }
        return content or None

    def chat_content(self, content: str | None) -> dict[str, Any]:
        """Return the fields of a chat message that hold or describe its text.

        Args:
            content: The message's text.

        Returns:
            `{"content": text}`; cut texts add `content_chars`, the full length; `hash` gives `{"content_hash":
            {"sha256", "chars"}}`; `off` gives nothing.
        """
        if content is None or self.mode == "off":
            return {}
        if self.mode == "hash":
            return {"content_hash": self._kept(content)}
        prepared = self._prepared(content)
        text = prepared if isinstance(prepared, str) else _canonical(prepared)
        if self.max_chars is None or len(text) <= self.max_chars:
            return {"content": text}
        return {"content": text[: self.max_chars], "content_chars": len(text)}

    def chat_body(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return a chat message's fields with its text as `chat_content` says; the same object where it stays.

        The event that a message without identity became holds the fields as `data.entry`; its text is treated alike.
        """
        if "content" not in body:
            data = body.get("data")
            entry = data.get("entry") if isinstance(data, dict) else None
            if not isinstance(entry, dict) or "content" not in entry:
                return body
            return {**body, "data": {**body["data"], "entry": self.chat_body(entry)}}
        kept = self.chat_content(body["content"])
        if kept.get("content") is body["content"]:
            return body
        return {name: value for name, value in body.items() if name != "content"} | kept

    def _prepared(self, value: Any) -> Any:
        plain = without_blobs(value)
        return plain if self.redact is None else self.redact(plain)

    def _kept(self, value: Any) -> Any:
        prepared = self._prepared(value)
        if self.mode == "hash":
            return _hashed(prepared)
        return prepared if self.max_chars is None else _cut(prepared, self.max_chars, 0)


def _cut(value: Any, most: int, depth: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= most else f"{value[:most]}[cut: {len(value) - most} more characters]"
    if depth > _DEPTH or isinstance(value, _Blob):
        return value
    if isinstance(value, Mapping):
        fresh = {key: _cut(item, most, depth + 1) for key, item in value.items()}
        return fresh if any(fresh[key] is not item for key, item in value.items()) else value
    if isinstance(value, (list, tuple)):
        items = [_cut(item, most, depth + 1) for item in value]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    return value
