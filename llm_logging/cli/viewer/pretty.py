"""A line of a log for people: one head line, its other fields indented below.

Nothing of the line reaches the terminal but through `terminal.safe`, so it cannot move the cursor, set colours or
fake another line: what a message or a stack continues on is indented. A line that is not a JSON object is shown as
it is, made safe. Templates are looked up, never evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Any, Final

from ...files.wrappers import Inner, Unwrapper
from ..render.terminal import dumps, safe, show_time
from .records import LEVELS, Record, canonical_level, level_rank, parse_record, read_moment, take

__all__ = ["PrettyOptions", "Printer", "request_summary"]

_RESET: Final = "\x1b[0m"
_DIM: Final = "\x1b[2m"
_BOLD: Final = "\x1b[1m"
_KEY: Final = "\x1b[35m"
_MESSAGE: Final = "\x1b[36m"
_LEVEL_COLOURS: Final = {
    "trace": "\x1b[90m",
    "debug": "\x1b[34m",
    "info": "\x1b[32m",
    "warning": "\x1b[33m",
    "error": "\x1b[31m",
    "critical": "\x1b[41;97m",
}
_TOKEN: Final = re.compile(r"\{(if\s+(?P<if>[^{}\s]+)|(?P<end>end)|(?P<name>[^{}]+))\}")
_SPLIT: Final = re.compile(r"(?<!\\)\.")
# The envelope's bookkeeping says nothing to a person.
_HIDDEN: Final = frozenset({"v", "writer"})
_OURS: Final = ("event_type", "writer")


@dataclass(frozen=True, slots=True, kw_only=True)
class PrettyOptions:
    """How lines are shown.

    Attributes:
        colour: Use ANSI colours.
        min_level: Hide what is less severe; lines without a known level are shown.
        ignore: Paths of fields to leave out (`pid`, `req.headers`).
        include: Show these fields only; empty: all.
        template: The head's text, `{levelLabel} {logger}: {msg}{if pid} ({pid}){end}`; None: the usual one.
        time_format: `full`, `short`, `iso`, `raw`, `none`, or what `strftime` takes.
        tz: The zone that times are shown in.
        single_line: Put the other fields on the head's line.
        hide_fields: Show the head only.
        compact: Sum a request up in the head and leave its fields out.
        message_keys: Looked at before the known ones; so `time_keys` and `level_keys`.
    """

    colour: bool = False
    min_level: str | None = None
    ignore: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    template: str | None = None
    time_format: str = "full"
    tz: tzinfo = UTC
    single_line: bool = False
    hide_fields: bool = False
    compact: bool = False
    message_keys: tuple[str, ...] = ()
    time_keys: tuple[str, ...] = ()
    level_keys: tuple[str, ...] = ()


@dataclass(slots=True)
class Printer:
    """Turn lines into text by one set of options."""

    options: PrettyOptions
    _least: int | None = field(init=False, default=None)
    _unwrapper: Unwrapper = field(init=False, default_factory=Unwrapper)

    def __post_init__(self) -> None:
        self._least = level_rank(self.options.min_level)

    def line(self, data: bytes) -> str | None:
        """Return the text of one line without its last newline, or of those that it wraps.

        Args:
            data: The line without its newline.

        Returns:
            None where the level hides it, or where it is a part of a line whose other parts are to come.
        """
        return self._joined(self._unwrapper.lines(data), data)

    def rest(self) -> str | None:
        """Return the text of lines whose last part did not come."""
        return self._joined(self._unwrapper.rest(), b"")

    def _joined(self, inners: Iterable[Inner], data: bytes) -> str | None:
        texts = [text for inner in inners if (text := self._unwrapped(inner, data)) is not None]
        return "\n".join(texts) if texts else None

    def _unwrapped(self, inner: Inner, data: bytes) -> str | None:
        record = self._parsed(inner.data)
        if record is None and inner.wrapper is not None:
            text = inner.data.decode("utf-8", "replace")
            # What a shipper says beside a text are the fields of a record.
            record = self._parsed(data) if inner.wrapper in {"journald", "object"} else None
            record = Record() if record is None else record
            record.message = text
        if record is None:
            return safe(inner.data.decode("utf-8", "replace"))
        if record.time is None and inner.time is not None:
            record.time, record.time_text = read_moment(inner.time), str(inner.time)
        record.level = record.level or canonical_level(inner.level)
        rank = level_rank(record.level)
        if self._least is not None and rank is not None and rank < self._least:
            return None
        return self.record(record)

    def _parsed(self, data: bytes) -> Record | None:
        options = self.options
        return parse_record(
            data,
            message_keys=options.message_keys,
            time_keys=options.time_keys,
            level_keys=options.level_keys,
        )

    def record(self, record: Record) -> str:
        """Return the text of one record; see `line`."""
        options = self.options
        ours = all(name in record.fields for name in _OURS)
        rest = {key: value for key, value in record.rest.items() if not (ours and key in _HIDDEN)}
        summary = request_summary(record.fields) if options.compact or options.hide_fields else None
        if summary is not None:
            rest = {}
        rest = _selected(rest, options)
        head = self._head(record) if options.template is None else self._template(record)
        if summary and options.template is None:
            head = f"{head}  {summary}" if head else summary
        if options.hide_fields:
            rest = {}
        if options.single_line:
            tail = f" {self._paint(_DIM, dumps(rest))}" if rest else ""
            stack = f" {safe(record.stack)}" if record.stack else ""
            return f"{head}{tail}{stack}"
        parts = [head]
        if record.stack and "stack" not in options.ignore:
            parts.append(_indent(safe(record.stack.rstrip("\n"), newlines=True)))
        parts += [f"    {self._paint(_KEY, safe(key))}: {_value(value)}" for key, value in rest.items()]
        return "\n".join(parts)

    def _paint(self, code: str, text: str) -> str:
        return f"{code}{text}{_RESET}" if self.options.colour and text else text

    def _time(self, record: Record) -> str:
        style = self.options.time_format
        if style == "none" or record.time_text is None:
            return ""
        if style == "raw" or record.time is None:
            return safe(record.time_text)
        return safe(show_time(record.time.astimezone(self.options.tz), style))

    def _label(self, record: Record) -> str:
        return safe((record.level or "").upper())

    def _head(self, record: Record) -> str:
        time = self._time(record)
        label = self._label(record)
        colour = _LEVEL_COLOURS.get(record.level or "", _BOLD)
        parts = [
            self._paint(_DIM, time),
            self._paint(colour, f"{label:<8}" if label else ""),
            self._paint(_BOLD, f"{safe(record.logger)}:") if record.logger else "",
        ]
        message = safe(record.message or "", newlines=not self.options.single_line).replace("\n", "\n    ")
        if message:
            parts.append(self._paint(_MESSAGE, message))
        return " ".join(part for part in parts if part)

    def _template(self, record: Record) -> str:
        options = self.options
        known: dict[str, str] = {
            "level": self._label(record),
            "levelLabel": self._label(record),
            "time": self._time(record),
            "timestamp": self._time(record),
            "msg": safe(record.message or ""),
            "message": safe(record.message or ""),
            "logger": safe(record.logger or ""),
            "name": safe(record.logger or ""),
        }
        out: list[str] = []
        position, shown = 0, [True]
        template = options.template or ""

        def text_of(name: str) -> str:
            if name in known:
                return known[name]
            value = take(record.fields, name)
            return "" if value is None else safe(value) if isinstance(value, str) else dumps(value)

        for match in _TOKEN.finditer(template):
            if shown[-1]:
                out.append(template[position : match.start()])
            position = match.end()
            if match["if"]:
                shown.append(shown[-1] and bool(text_of(match["if"])))
            elif match["end"]:
                shown = shown[:-1] or [True]
                shown = shown or [True]
            elif shown[-1]:
                out.append(text_of(match["name"].strip()))
        if shown[-1]:
            out.append(template[position:])
        return "".join(out)


def request_summary(fields: Mapping[str, Any]) -> str | None:
    """Sum up one of our request lines in a few words; None where the line is no request."""
    if fields.get("event_type") != "llm_request" or not isinstance(fields.get("model"), str):
        return None
    words = [safe(fields["model"]), safe(fields.get("status", ""))]
    error = fields.get("error")
    if isinstance(error, Mapping):
        words.append(safe(error.get("code") or error.get("type") or ""))
    status = fields.get("http_status")
    if isinstance(status, int) and status >= 400:
        words.append(str(status))
    timings = fields.get("timings")
    latency = timings.get("latency_ms") if isinstance(timings, Mapping) else None
    if isinstance(latency, (int, float)):
        words.append(f"{latency:,.0f} ms")
    usage = fields.get("usage")
    if isinstance(usage, Mapping) and isinstance(usage.get("total_tokens"), int):
        counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
        words.append(
            "+".join(f"{count:,}" if isinstance(count, int) else "?" for count in counts) + " tokens"
        )
    where = [safe(fields[name]) for name in ("project_id", "chat_id") if isinstance(fields.get(name), str)]
    if where:
        words.append(f"({'/'.join(where)})")
    return " ".join(word for word in words if word)


def _selected(rest: Mapping[str, Any], options: PrettyOptions) -> dict[str, Any]:
    if options.include:
        wanted = {_steps(path)[0] for path in options.include}
        return {key: value for key, value in rest.items() if key in wanted or key in options.include}
    kept = dict(rest)
    for path in options.ignore:
        if path in kept:
            del kept[path]
            continue
        steps = _steps(path)
        kept = _without(kept, steps)
    return kept


def _steps(path: str) -> list[str]:
    return [step.replace("\\.", ".") for step in _SPLIT.split(path)]


def _without(value: Mapping[str, Any], steps: list[str]) -> dict[str, Any]:
    out = dict(value)
    if len(steps) == 1:
        out.pop(steps[0], None)
    elif isinstance(out.get(steps[0]), Mapping):
        out[steps[0]] = _without(out[steps[0]], steps[1:])
    return out


def _value(value: Any) -> str:
    if isinstance(value, str):
        text = safe(value, newlines=True)
        return text if "\n" not in text else "\n" + _indent(text, 8)
    text = dumps(value)
    return text if len(text) <= 100 else dumps(value, indent=2).replace("\n", "\n    ")


def _indent(text: str, by: int = 4) -> str:
    space = " " * by
    return "\n".join(space + line for line in text.split("\n"))


def known_level(word: str) -> bool:
    """Say whether a word names a level that can be filtered by."""
    return canonical_level(word) in LEVELS
