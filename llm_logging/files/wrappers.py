r"""Unwrap lines that a container runtime, a log driver or a log shipper wrapped, and join lines that it cut into parts.

A wrapper is text around the line that a program wrote, or a JSON object that holds the line as text:

- Docker's json-file: `{"log": "...\n", "stream": "stdout", "time": "..."}`; of a line in parts only the last `log` ends in
  a newline. Fluentd, Fluent Bit and FireLens use the same key, mostly without the newline.
- CRI (files of Kubernetes and Podman): `<time> stdout F <line>`; parts are marked `P`.
- journald's JSON export: `MESSAGE`, as text or as an array of bytes.
- Loki, Promtail, Vector, Filebeat, Logstash, CloudWatch, Google Cloud, Splunk: a key for the line, some with several lines.
- OpenTelemetry's `resourceLogs`, as a collector's file exporter writes them: the line is the `body` of each log record; a record
  whose body is no line of JSON becomes one of its own.
- Prefixes in text: `docker compose logs`, `kubectl logs --prefix`, stern, syslog, Heroku, a time stamp.

Invariants: a line without a wrapper is returned as it is, the same bytes; parts are joined by stream and container, so
interleaved streams do not mix; parts whose end never comes are returned once, marked `cut`. Memory is bounded: parts
beyond `MAX_LINE_BYTES` are returned cut.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from .lines import MAX_LINE_BYTES

__all__ = ["Inner", "Unwrapper"]

# Wrappers inside of wrappers: a shipper's around a runtime's around a prefix.
_MOST_LAYERS: Final = 4
# Streams with open parts at one time; beyond this the oldest are returned cut.
_MOST_OPEN: Final = 1_000

# How often parts without a newline are parsed together to see whether they are whole.
_MOST_TRIES: Final = 100

_STAMP: Final = rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?"
_ANSI: Final = rb"(?:\x1b\[[0-9;]*m)*"
_CRI: Final = re.compile(
    rb"(?:(?P<source>[^\s{\"]{1,300})\s+(?:\|\s*)?)?(?P<time>\d{4}-\d\d-\d\dT\S{8,30})\s(?P<stream>stdout|stderr)\s"
    rb"(?P<tag>[FP])(?::\S*)?\s"
)
_SYSLOG_TIME: Final = rb"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d"
_PREFIX: Final = re.compile(
    rb"(?:(?P<before>" + _STAMP + rb")\s+)?(?:" + _ANSI + rb"(?P<source>"
    rb"[^\s{\"|]{1,200}\s*\|"  # docker compose, docker service
    rb"|\[[^\]\s{\"]{1,200}/[^\]\s{\"]{1,300}\]"  # kubectl logs --prefix
    rb"|[a-z0-9.-]{1,253}/[a-z0-9./-]{1,253}(?:\[[\w.-]+\])?:?"  # pod/container; kail
    rb"|[a-z0-9.]+-[a-z0-9.-]{1,253}\s+(?:\S{1,3}\s+)?[a-z0-9-]{1,63}"  # stern
    rb"|[\w-]+\[[\w.-]+\]:"  # Heroku
    rb"|<\d{1,3}>1(?:\s\S+){5}\s(?:-|(?:\[[^\]]*\])+)"  # RFC 5424
    rb"|(?:<\d{1,3}>)?" + _SYSLOG_TIME + rb"\s\S+\s[^\s:{]{1,100}:"  # RFC 3164, journalctl
    rb"|[\w.-]+\s[\w./@-]{1,100}\[\d+\]:"  # journalctl -o short-iso
    rb") ?" + _ANSI + rb"\s*)?(?:(?P<after>" + _STAMP + rb")\s+)?(?=\{)"
)  # fmt: skip
# What may wrap: a key whose text may be a part of a line, or whole lines under a key that others use as well.
_MAY_WRAP: Final = re.compile(
    rb'"(?:log|MESSAGE|LogEntry|_entry)"\s*:|"(?:message|msg|line|event|textPayload|content)"\s*:\s*"\s*\{'
    rb'|"(?:jsonPayload|event|message)"\s*:\s*\{|"(?:streams|logEvents|resourceLogs)"\s*:\s*\[|"(?:logtag|_p|partial_message)"\s*:'
)
_TEXT_KEYS: Final = ("log", "MESSAGE", "_entry", "LogEntry")
_SHARED_KEYS: Final = ("message", "msg", "line", "textPayload", "event", "content")
_OBJECT_KEYS: Final = ("jsonPayload", "event", "message")
# Keys by which an object is a wrapper where the key of its line alone does not say so.
_SIGNS: Final = frozenset(
    {
        "@version", "agent", "attrs", "container", "container_id", "container_name", "docker", "ecs", "file",
        "ingestionTime", "input", "insertId", "kubernetes", "labels", "logName", "logtag", "_p", "partial_message",
        "requestId", "resource", "source_type", "sourcetype", "stream", "logStreamName", "eventId",
    }
)  # fmt: skip
# Keys that a request has itself.
_OWN: Final = frozenset({"event_type", "llm_request", "usage", "choices", "resourceSpans"})
_LEVEL_KEYS: Final = ("severity", "level", "levelname", "log_level")
# Of syslog: https://www.rfc-editor.org/rfc/rfc5424#section-6.2.1
_PRIORITIES: Final = ("emergency", "alert", "critical", "error", "warning", "notice", "info", "debug")
_TIME_KEYS: Final = ("time", "@timestamp", "timestamp", "ts", "date", "TimeGenerated")


class Inner(NamedTuple):
    """A line as a program wrote it.

    Attributes:
        data: Its bytes, without a newline.
        wrapper: What was around it: `docker`, `cri`, `journald`, `prefix`, `object`; None where nothing was.
        time: The wrapper's time as it was written: ISO 8601 text, or a number since 1970 in any unit.
        stream: `stdout` or `stderr`, where the wrapper says it.
        source: The container or the prefix, where the wrapper says it.
        level: The wrapper's level as a word, where it has one (journald's `PRIORITY`, Google Cloud's `severity`).
        cut: It is the beginning or the end of a line whose other parts are missing.
    """

    data: bytes
    wrapper: str | None = None
    time: str | int | float | None = None
    stream: str | None = None
    source: str | None = None
    level: str | None = None
    cut: bool = False


@dataclass(slots=True)
class _Open:
    first: Inner
    parts: list[bytes] = field(default_factory=list)
    size: int = 0
    tries: int = 0


@dataclass(slots=True)
class Unwrapper:
    """Unwrap the lines of one file, or of the files of one rotation, the oldest first."""

    _open: dict[tuple[str | None, ...], _Open] = field(default_factory=dict)
    _size: int = 0

    def lines(self, data: bytes) -> Iterator[Inner]:
        """Yield the lines that a line holds or completes; none where it is a part of one.

        Args:
            data: The line without its newline.
        """
        yield from self._layer(data, _MOST_LAYERS)

    def rest(self) -> Iterator[Inner]:
        """Yield what is left of lines whose last part did not come; call it at the end of the last file."""
        while self._open:
            yield self._cut(next(iter(self._open)))

    def _layer(self, data: bytes, layers: int) -> Iterator[Inner]:
        head = data[:1]
        if head == b"{":
            # The quick way for a line of this package.
            if layers and not data.startswith(b'{"v":') and _MAY_WRAP.search(data):
                yield from self._object(data, layers)
                return
        elif layers and (head.isalnum() or head in b"[<\x1b"):
            found = _CRI.match(data)
            if found is not None:
                inner = Inner(
                    data[found.end() :],
                    "cri",
                    _text(found["time"]),
                    _text(found["stream"]),
                    _text(found["source"]),
                )
                yield from self._part(inner, layers, more=found["tag"] == b"P")
                return
            found = _PREFIX.match(data)
            if found is not None and found.end():
                time = found["after"] or found["before"]
                source = (found["source"] or b"").strip(b" |[]:") or None
                inner = Inner(data[found.end() :], "prefix", _text(time), None, _text(source))
                yield from self._inside(inner, layers)
                return
        yield Inner(data)

    def _inside(self, inner: Inner, layers: int) -> Iterator[Inner]:
        """Unwrap what a wrapper held; the outer wrapper says what the inner one does not."""
        for deeper in self._layer(inner.data, layers - 1):
            yield deeper._replace(
                wrapper=deeper.wrapper or inner.wrapper,
                time=deeper.time if deeper.time is not None else inner.time,
                stream=deeper.stream or inner.stream,
                source=deeper.source or inner.source,
                level=deeper.level or inner.level,
                cut=deeper.cut or inner.cut,
            )

    def _part(
        self, inner: Inner, layers: int, *, more: bool, key: tuple[str | None, ...] = ()
    ) -> Iterator[Inner]:
        """Take a line that is whole, or one of its parts.

        Args:
            inner: The line or part.
            layers: How many wrappers may still be inside.
            more: Whether further parts follow.
            key: What else tells the parts of one line from those of others.
        """
        place = (inner.wrapper, inner.stream, inner.source, *key)
        held = self._open.get(place)
        if held is not None and not more and _is_whole(inner.data):
            # The end of an object never is an object by itself: the last part of what is held was lost.
            yield from self._inside(self._cut(place), layers)
            held = None
        if held is None and not more:
            yield from self._inside(inner, layers)
            return
        if held is None:
            if len(self._open) >= _MOST_OPEN:
                yield self._cut(next(iter(self._open)))
            held = self._open[place] = _Open(inner)
        held.parts.append(inner.data)
        held.size += len(inner.data)
        if held.size > MAX_LINE_BYTES:
            yield self._cut(place)
        elif more:
            self._size += len(inner.data)
            while self._size > 2 * MAX_LINE_BYTES and self._open:
                yield self._cut(next(iter(self._open)))
        else:
            whole = self._cut(place)._replace(cut=False)
            yield from self._inside(whole, layers)

    def _cut(self, place: tuple[str | None, ...]) -> Inner:
        held = self._open.pop(place)
        self._size = sum(one.size for one in self._open.values())
        return held.first._replace(data=b"".join(held.parts), cut=True)

    def _object(self, data: bytes, layers: int) -> Iterator[Inner]:
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            yield Inner(data)
            return
        if not isinstance(value, dict) or not _OWN.isdisjoint(value):
            yield Inner(data)
            return
        several = list(_several(value))
        if several:
            for inner in several:
                yield from self._inside(inner, layers)
            return
        found = _line_of(value)
        if found is None:
            yield Inner(data)
            return
        text, wrapper = found
        inner = Inner(
            text.rstrip(b"\r\n") if wrapper != "journald" else text,
            wrapper,
            _time_of(value),
            _as_text(value.get("stream") or value.get("source")),
            _source_of(value),
            _level_of(value),
        )
        key = tuple(
            _as_text(value.get(name)) for name in ("partial_id", "CONTAINER_PARTIAL_ID", "_STREAM_ID")
        )
        yield from self._part(inner, layers, more=self._has_more(value, text, inner, key), key=key)

    def _has_more(
        self, value: Mapping[str, Any], text: bytes, inner: Inner, key: tuple[str | None, ...]
    ) -> bool:
        """Say whether further parts of a line follow: the wrapper says it, else Docker's missing newline."""
        tag = value.get("logtag") or value.get("_p")
        if isinstance(tag, str):
            return tag[:1] in {"P", "p"}
        for name in ("partial_message", "CONTAINER_PARTIAL_MESSAGE"):
            if str(value.get(name)).lower() == "true":
                last = value.get(name.replace("message", "last").replace("MESSAGE", "LAST"))
                return str(last).lower() != "true"
        if inner.wrapper == "journald":
            return value.get("_LINE_BREAK") == "line-max"
        if inner.wrapper != "docker" or text.endswith(b"\n"):
            return False
        # Shippers take the newline off. What is open goes on; what begins an object and does not end it is a part.
        is_open = (inner.wrapper, inner.stream, inner.source, *key) in self._open
        if is_open:
            return not (_is_whole(text) or self._completes(inner, key))
        return text.lstrip()[:1] == b"{" and not _is_whole(text)

    def _completes(self, inner: Inner, key: tuple[str | None, ...]) -> bool:
        if not inner.data.endswith(b"}"):
            return False
        held = self._open[inner.wrapper, inner.stream, inner.source, *key]
        held.tries += 1
        if held.tries > _MOST_TRIES:
            return False
        return _is_whole(b"".join([*held.parts, inner.data]))


def _line_of(value: Mapping[str, Any]) -> tuple[bytes, str] | None:
    """Return the line that an object holds, and by which wrapper; None where it is none."""
    for name in _TEXT_KEYS:
        held = value.get(name)
        if (
            name == "MESSAGE"
            and isinstance(held, list)
            and all(type(one) is int and 0 <= one < 256 for one in held)
        ):
            return bytes(held), "journald"
        if isinstance(held, str):
            return _bytes(held), "journald" if name == "MESSAGE" else "docker"
    signed = not _SIGNS.isdisjoint(value)
    for name in _SHARED_KEYS:
        held = value.get(name)
        if isinstance(held, str) and (signed or '"event_type"' in held):
            marked = not {"logtag", "_p", "partial_message"}.isdisjoint(value)
            if marked or _is_whole(_bytes(held)):
                return _bytes(held), "object"
    for name in _OBJECT_KEYS:
        held = value.get(name)
        if isinstance(held, dict) and (signed or "event_type" in held):
            return _bytes(json.dumps(held, ensure_ascii=False)), "object"
    return None


def _several(value: Mapping[str, Any]) -> Iterator[Inner]:
    """Yield the lines of an object that holds many: Loki's streams, CloudWatch's events, OpenTelemetry's log records."""
    yield from _log_records(value)
    streams = value.get("streams")
    for stream in streams if isinstance(streams, list) else ():
        values = stream.get("values") if isinstance(stream, dict) else None
        for pair in values if isinstance(values, list) else ():
            if isinstance(pair, list) and len(pair) >= 2 and isinstance(pair[1], str):
                yield Inner(_bytes(pair[1]).rstrip(b"\r\n"), "object", _number(pair[0]))
    events = value.get("logEvents")
    for event in events if isinstance(events, list) else ():
        if isinstance(event, dict) and isinstance(event.get("message"), str):
            text = _bytes(event["message"]).rstrip(b"\r\n")
            yield Inner(
                text, "object", _number(event.get("timestamp")), None, _as_text(value.get("logStream"))
            )


def _log_records(value: Mapping[str, Any]) -> Iterator[Inner]:
    """Yield the log records of a line of OTLP/JSON: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding."""
    for resource in _objects(value.get("resourceLogs")):
        about = _plain({"kvlistValue": {"values": _mapping(resource.get("resource")).get("attributes")}})
        source = _as_text(about.get("service.name"))
        for scope in _objects(resource.get("scopeLogs")):
            name = _mapping(scope.get("scope")).get("name")
            for record in _objects(scope.get("logRecords")):
                body = _plain(record.get("body"))
                time = _number(record.get("timeUnixNano") or record.get("observedTimeUnixNano"))
                level = _as_text(record.get("severityText"))
                text = _bytes(body) if isinstance(body, str) else b""
                if not _is_whole(text):
                    attributes = _plain({"kvlistValue": {"values": record.get("attributes")}})
                    flat = {**record, "body": body, "attributes": attributes, "logger": name or source}
                    kept = {key: one for key, one in flat.items() if one not in (None, "", {}, [])}
                    text = _bytes(json.dumps(kept, ensure_ascii=False))
                yield Inner(text, "object", time, None, source, level)


def _plain(value: Any) -> Any:
    """Return what an OTLP `AnyValue` holds."""
    for kind, held in value.items() if isinstance(value, dict) else ():
        if kind == "kvlistValue":
            pairs = _objects(_mapping(held).get("values"))
            return {str(pair.get("key")): _plain(pair.get("value")) for pair in pairs}
        if kind == "arrayValue":
            return [_plain(one) for one in _objects(_mapping(held).get("values"))]
        return _number(held) if kind == "intValue" else held
    return None


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _time_of(value: Mapping[str, Any]) -> str | int | float | None:
    for name in ("__REALTIME_TIMESTAMP", "_SOURCE_REALTIME_TIMESTAMP"):
        if name in value:
            return _number(value[name])
    return next((found for name in _TIME_KEYS if (found := _number(value.get(name))) is not None), None)


def _level_of(value: Mapping[str, Any]) -> str | None:
    priority = value.get("PRIORITY")
    if isinstance(priority, (str, int)) and str(priority) in set("01234567"):
        return _PRIORITIES[int(priority)]
    return next((value[name] for name in _LEVEL_KEYS if isinstance(value.get(name), str)), None)


def _source_of(value: Mapping[str, Any]) -> str | None:
    """Return what tells the lines of one container, unit or file from those of others."""
    kubernetes, docker = value.get("kubernetes"), value.get("docker")
    if isinstance(kubernetes, dict):
        names = [kubernetes.get(name) for name in ("namespace_name", "pod_name", "container_name")]
        return "/".join(str(name) for name in names if name is not None) or None
    if isinstance(docker, dict) and docker.get("container_id") is not None:
        return str(docker["container_id"])
    keys = (
        "container_name",
        "container_id",
        "CONTAINER_NAME",
        "CONTAINER_ID",
        "_SYSTEMD_UNIT",
        "filename",
        "file",
    )
    return next((_as_text(value[name]) for name in keys if isinstance(value.get(name), str)), None)


def _is_whole(data: bytes) -> bool:
    """Say whether text is one whole JSON object."""
    text = data.strip()
    if text[:1] != b"{" or text[-1:] != b"}":
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _number(value: Any) -> str | int | float | None:
    """Return a time as it is written, a number in a text as a number."""
    if isinstance(value, str):
        return int(value) if value.isdecimal() and len(value) < 30 else value
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _as_text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode("utf-8", "replace")
