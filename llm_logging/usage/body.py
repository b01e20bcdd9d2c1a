"""A response's body, read from a copy of its bytes while the bytes themselves travel on.

`BodyReader.feed` takes them as they come, cut anywhere and compressed or not; nothing it meets raises. Streams (SSE,
lines of JSON, AWS event streams) are folded event by event; a whole JSON body is kept until `close`.
"""

from __future__ import annotations

import base64
import codecs
import hashlib
import json
import re
from typing import Any

from pydantic_core import SchemaValidator, core_schema

from ..models.counting.sdk_objects import from_json, mapping
from .accumulator import Extraction, ResponseFold
from .wire.aws_eventstream import EventStreamDecoder, is_event_stream
from .wire.content_encoding import Decompressor, decompressor
from .wire.sse import LineDecoder, SSEDecoder

__all__ = ["BodyReader"]

# Bodies beyond this are passed over rather than held twice.
_MAX_BODY = 64 * 1024 * 1024
# Embeddings and images make bodies large that say little else; these parts are cut out before parsing.
_THIN_FROM = 32 * 1024
_NUMBERS = re.compile(rb"\[[-+0-9.eE,\s]{256,}\]")
_BASE64 = re.compile(rb'"[A-Za-z0-9+/=_-]{1024,}"')
_GZIP_MAGIC = b"\x1f\x8b"
_ENOUGH_TO_TELL = 4096
# So many events of text are parsed in one go: fewer cost more each, more would stop an event loop for longer.
_TOGETHER = 256


class BodyReader:
    """Read one body.

    Args:
        content_type: The header's value; None to tell by the bytes.
        content_encoding: The header's value.
        failed: The HTTP status says that this is an error's body.
        stream: The request asked for a stream.
        keep_text: See `ResponseFold`.
        embedding: See `ResponseFold`.
    """

    __slots__ = (
        "_decoder",
        "_decompress",
        "_failed",
        "_format",
        "_held",
        "_keeps",
        "_labelled",
        "_later",
        "_media",
        "_parts",
        "_size",
        "_skimming",
        "broken",
        "fold",
    )

    def __init__(
        self,
        content_type: str | None = None,
        content_encoding: str | None = None,
        *,
        failed: bool = False,
        stream: bool = False,
        keep_text: bool = False,
        embedding: bool = False,
    ) -> None:
        kind = (content_type or "").partition(";")[0].strip().lower()
        streamed = stream or kind in _FORMATS
        self.fold = ResponseFold(stream=streamed, keep_text=keep_text, embedding=embedding)
        self.broken = False
        self._failed = failed
        self._held: list[bytes] = []
        self._size = 0
        self._keeps = keep_text
        self._skimming = False
        # Events that bring nothing but text, parsed together once there are enough of them.
        self._later: list[bytes] = []
        # How much of the body was JSON, and a digest of a body that is media.
        self._parts = 0
        self._media: _Media | None = _Media(kind) if kind.startswith(_MEDIA) and not failed else None
        self._decompress: Decompressor | None = decompressor(content_encoding)
        self._decoder: SSEDecoder | LineDecoder | EventStreamDecoder | None = None
        self._format = "unknown"
        # Gateways and mocks label streams as JSON and JSON as streams, so the first bytes decide, then the header.
        self._labelled = _FORMATS.get(kind) or ("json" if "json" in kind else None)

    def _set(self, name: str) -> None:
        self._format = name
        if name in ("sse", "messages"):
            self.fold.expect_stream()
        made = _DECODERS.get(name)
        if made is not None:
            self._decoder = made()

    def _read(self, data: bytes) -> bool:
        decoder = self._decoder
        if isinstance(decoder, SSEDecoder):
            return self._feed_sse(decoder, data)
        if isinstance(decoder, LineDecoder):
            return self._feed_lines(decoder, data)
        if isinstance(decoder, EventStreamDecoder):
            return self._feed_messages(decoder, data)
        return self._feed_json(data) if self._format == "json" else self._guess(data)

    def feed(self, data: bytes) -> bool:
        """Take the next bytes of the body, as they came over the wire.

        Args:
            data: Compressed as the header said.

        Returns:
            True where these bytes complete an event that carries generated content.
        """
        if self.broken or not data:
            return False
        if self._decompress is None:
            self.broken = True
            return False
        try:
            if self._skimming and self._decompress is bytes and self._skimmed(data):
                return True
            if self._decompress is not bytes:
                data = self._decompress(data)
            if self._media is not None:
                return self._media.feed(data)
            return self._read(data)
        except Exception:  # noqa: BLE001  a damaged copy must not reach the call
            self.broken = True
            self._held.clear()
            return False

    def close(self) -> Extraction:
        """Take what is left and return what the body said."""
        try:
            self._finish()
        except Exception:  # noqa: BLE001  a damaged copy must not reach the call
            self.broken = True
        self._held.clear()
        found = self.fold.result()
        if self._media is not None and self._keeps:
            found.answer = self._media.described()
        return found

    @property
    def flaw(self) -> str | None:
        """Say what is wrong with a body that was read to its end and holds no answer; None where it holds one.

        A body that could not be looked at (too large, in an encoding that is not known) has no flaw.
        """
        if self._parts or self._media is not None or self._decompress is None or self._size > _MAX_BODY:
            return None
        return "a body that is no JSON" if self._size else "an empty body"

    def _finish(self) -> None:
        self._take_later()
        decoder = self._decoder
        if isinstance(decoder, SSEDecoder):
            for event in decoder.close():
                self._event(event.event, event.data)
        elif isinstance(decoder, LineDecoder):
            rest = decoder.rest()
            if rest.strip():
                self._take(rest)
        if self._held and self._labelled in _DECODERS and self._format == "unknown":
            # Too short to tell, so the header decides.
            start = b"".join(self._held)
            self._held.clear()
            self._set(self._labelled)
            self._read(start)
            self._finish()
        elif self._held:
            self._read_whole_body(b"".join(self._held))

    # The formats ----------------------------------------------------------------------------------------------

    def _guess(self, data: bytes) -> bool:
        self._size = max(self._size, 1)
        start = b"".join(self._held) + data
        found = _format_of(start, self._labelled)
        if found is None and len(start) < _ENOUGH_TO_TELL:
            self._held = [start]
            return False
        self._held.clear()
        if found == "gzip":
            self._decompress = decompressor("gzip")
            assert self._decompress is not None
            start = self._decompress(start)
            return self._guess(start)
        self._set(found or self._labelled or "json")
        return self._read(start)

    def _skimmed(self, data: bytes) -> bool:
        """Pass over whole events that hold nothing but more text; say whether these are such."""
        decoder = self._decoder
        if (
            data[-2:] != b"\n\n"
            or not isinstance(decoder, SSEDecoder)
            or not decoder.idle
            or not _says_nothing_new(data)
        ):
            return False
        if self._keeps:
            self._put_off(data)
        return True

    def _put_off(self, data: bytes) -> None:
        self._later.append(data)
        if len(self._later) >= _TOGETHER:
            self._take_later()

    def _take_later(self) -> None:
        """Read the text of the events that were put off."""
        if not self._later:
            return
        lines = b"".join(self._later).splitlines(keepends=True)
        self._later.clear()
        parts = _joined([line[5:] for line in lines if line[:5] == b"data:"])
        try:
            items = from_json(b"[%b]" % b",".join(parts))
        except (ValueError, RecursionError):
            items = [_parsed(part) for part in parts]
        for item in items:
            if isinstance(item, dict):
                self.fold.add_text(item)

    def _feed_sse(self, decoder: SSEDecoder, data: bytes) -> bool:
        content = False
        for event in decoder.feed(data):
            content = self._event(event.event, event.data) or content
        return content

    def _feed_lines(self, decoder: LineDecoder, data: bytes) -> bool:
        content = False
        for line in decoder.feed(data):
            if line.strip():
                content = self._take(line) or content
        return content

    def _feed_messages(self, decoder: EventStreamDecoder, data: bytes) -> bool:
        content = False
        for message in decoder.feed(data):
            kind = message.headers.get(":event-type") or message.headers.get(":exception-type", "")
            found = mapping(_parsed(message.payload))
            self._parts += 1
            inner = found.get("bytes")
            if isinstance(inner, str):
                found = mapping(_parsed(base64.b64decode(inner)))
            elif message.headers.get(":message-type") in ("exception", "error"):
                found = {"type": "error", "code": kind, **found}
            elif kind:
                found = {kind: {name: value for name, value in found.items() if name != "p"}}
            content = bool(self.fold.add(found)) or content
        return content

    def _feed_json(self, data: bytes) -> bool:
        first = not self._held
        self._size += len(data)
        if self._size > _MAX_BODY:
            self._held.clear()
            self.broken = True
            return False
        self._held.append(data)
        # Without `alt=sse` Gemini streams one long array; its first part is there as soon as it is named.
        return first and b'"candidates"' in data

    def _event(self, name: str, data: bytes) -> bool:
        if self._skimming and b"\n" not in data and _says_nothing_new(data):
            if self._keeps:
                self._put_off(b"data:%b\n" % data)
            return True
        self._take_later()
        if data == b"[DONE]":
            self.fold.done()
            return False
        found = _parsed(data, keep=self._keeps)
        if isinstance(found, dict):
            self._parts += 1
            content = bool(self.fold.add(found, event=name or None))
            self._skimming = self._skimming or (content and self.fold.identified)
            return content
        if found is None and b"\n" in data:
            found_in = [self._event(name, line) for line in data.split(b"\n") if line.strip()]
            return any(found_in)
        return False

    def _take(self, data: bytes) -> bool:
        found = _parsed(data, keep=self._keeps)
        if not isinstance(found, dict):
            return False
        self._parts += 1
        return bool(self.fold.add(found, failed=self._failed))

    def _read_whole_body(self, body: bytes) -> None:
        found = _parsed(body, keep=self._keeps)
        if isinstance(found, dict):
            self._parts += 1
            self.fold.add(found, failed=self._failed)
        elif isinstance(found, list):
            self._parts += 1
            for item in found:
                self.fold.add(item, failed=self._failed)
        elif found is None:
            self._partial(body)

    def _partial(self, body: bytes) -> None:
        lines = [line for line in body.splitlines() if line.strip()]
        if len(lines) > 1 and all(isinstance(_parsed(line), dict) for line in lines[:2]):
            for line in lines:
                self._take(line)
            return
        # An array that broke off: what is whole of it still counts.
        decoder, text = json.JSONDecoder(), body.decode("utf-8", "replace").lstrip()
        at = 1 if text.startswith("[") else len(text)
        self.fold.expect_stream()
        while at < len(text):
            try:
                found, at = decoder.raw_decode(text, at)
            except ValueError:
                return
            self._parts += 1
            self.fold.add(found, failed=self._failed)
            while at < len(text) and text[at] in ", \r\n\t":
                at += 1


# Whatever is more than a piece of the answer has one of these in it: usage, an error, a finish reason, an end. A piece of
# text may have them, too, and is then read like the rest. Searched for by Rust's `regex`, all in one stride, since this
# is done for every chunk. Inside of text a quotation mark has a backslash before it, so `"usage": null` is a field.
_TELLING = (
    r'rror|stop|done|Reason|etadata|[-_]end|omplete|tatus|sage(?:[^"]|"[^:]|": *[^n ])|refusal(?:[^"]|": *[^n ])'
    r'|finish(?:[^_]|_[^r]|_r[^e]|_reason(?:[^"]|"[^:]|": *[^n ]))'
)
_tells = SchemaValidator(
    core_schema.str_schema(pattern=_TELLING, regex_engine="rust-regex")
).isinstance_python
_is_text = SchemaValidator(core_schema.str_schema()).isinstance_python


def _says_nothing_new(data: bytes) -> bool:
    """Say whether an event, after the first that brought text, can only be more text, without parsing it."""
    # What is no UTF-8 cannot be searched.
    return not _tells(data) and (data.isascii() or _is_text(data))


_TEXT_FIELD = re.compile(
    rb'"(?:content|text|delta|partial_json|arguments|thinking|reasoning_content|reasoning)": ?"'
)
# OpenAI fills its events up to one length with this field, which says nothing.
_PADDING = b'"obfuscation":"'


def _joined(events: list[bytes]) -> list[bytes]:
    """Return events with neighbours that differ in one field of text made one event, which has their texts joined.

    Parts of a JSON text, each whole, are one when written one after the other; a text with a quote in it stays alone.
    """
    found: list[bytes] = []
    texts: list[bytes] = []
    head = tail = rest = b""
    start = 0
    for event in events:
        if texts and event.startswith(head):
            end = event.find(b'"', start)
            if event[end - 1] != _BACKSLASH and event.startswith(tail, end):
                texts.append(event[start:end])
                continue
        if texts:
            found.append(b"".join((head, *texts, rest)))
            texts = []
        field = _TEXT_FIELD.search(event)
        end = -1 if field is None else event.find(b'"', field.end())
        if field is None or end < 0 or event[end - 1] == _BACKSLASH:
            found.append(event)
            continue
        start = field.end()
        head, rest = event[:start], event[end:]
        padding = rest.find(_PADDING)
        # Without padding all of the event has to be the same, to the end of its line.
        tail = rest if padding < 0 else rest[: padding + len(_PADDING)]
        texts = [event[start:end]]
    if texts:
        found.append(b"".join((head, *texts, rest)))
    return found


_BACKSLASH = 92
_MEDIA = ("audio/", "image/", "video/")


class _Media:
    """A body that is audio, an image or a video: its size and digest.

    Args:
        kind: The media type.
    """

    __slots__ = ("_hash", "_kind", "_size")

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._size = 0
        self._hash = hashlib.sha256()

    def feed(self, data: bytes) -> bool:
        """Take some of the body; say whether it holds anything."""
        self._size += len(data)
        self._hash.update(data)
        return bool(data)

    def described(self) -> dict[str, Any]:
        """Return the body as content policies describe a blob."""
        return {"media_type": self._kind, "bytes": self._size, "sha256": self._hash.hexdigest()}


def _digest(match: re.Match[bytes]) -> bytes:
    """Return what stands for long base64 in an answer that is kept: a text with its size and digest."""
    try:
        blob = base64.b64decode(match[0][1:-1].translate(_URL_SAFE) + b"==")
    except ValueError:
        return b'""'
    return b'"[%d bytes, sha256:%b]"' % (len(blob), hashlib.sha256(blob).hexdigest().encode())


_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_FIELDS = (b"data", b"event", b"id", b"retry", b":")


def _format_of(start: bytes, labelled: str | None) -> str | None:
    """Return the format that the first bytes of a body show; None where more of them are needed."""
    if is_event_stream(start):
        return "messages"
    if start.startswith(_GZIP_MAGIC):
        return "gzip"
    text = start.removeprefix(codecs.BOM_UTF8).lstrip()
    if text[:1] in (b"{", b"["):
        if labelled != "lines":
            return "json"
        line, ended, _ = text.partition(b"\n")
        if not ended:
            return "lines" if len(text) >= _ENOUGH_TO_TELL else None
        return "lines" if _parsed(line) is not None else "json"
    if any(text.startswith(field + b":" if field != b":" else field) for field in _FIELDS):
        return "sse"
    if labelled == "messages" or b"\ndata:" in text or b"\nevent:" in text:
        return labelled if labelled == "messages" else "sse"
    return None


_FORMATS = {
    "text/event-stream": "sse",
    "application/x-ndjson": "lines",
    "application/ndjson": "lines",
    "application/jsonl": "lines",
    "application/stream+json": "lines",
    "application/vnd.amazon.eventstream": "messages",
}
_DECODERS: dict[str, type[SSEDecoder | LineDecoder | EventStreamDecoder]] = {
    "sse": SSEDecoder,
    "lines": LineDecoder,
    "messages": EventStreamDecoder,
}


def _parsed(data: bytes, *, keep: bool = False) -> Any:
    if len(data) > _THIN_FROM:
        data = _BASE64.sub(_digest if keep else b'""', _NUMBERS.sub(b"[]", data))
    try:
        return from_json(data)
    except (ValueError, RecursionError):
        return None
