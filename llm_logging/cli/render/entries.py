"""Requests, events and search hits as text. Values in, text out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any, Final

from pydantic import BaseModel

from ...models.entry import ChatMessage, Cost, ErrorInfo, Timings, Usage
from ...presentation.numbers import DASH, count, duration, money, request_cost
from ...reader.retrieval.request_log import RequestLog
from ...reader.search import SearchHit
from .table import Column, csv_text, draw, markdown, paint
from .terminal import dumps, safe, shorten, show_time

__all__ = [
    "csv_names",
    "flat_entry",
    "hits_text",
    "lines_json",
    "request_text",
    "requests_csv",
    "requests_markdown",
    "requests_table",
]

_LEVEL: Final = {"error": "red", "timeout": "red", "pending": "yellow", "success": "green"}
_MOST: Final = 2000


def lines_json(entries: Sequence[BaseModel], *, camel: bool = False) -> str:
    """Write entries as JSON, one object a line, absent fields left out."""
    return "".join(
        dumps(entry.model_dump(mode="json", exclude_none=True, by_alias=camel)) + "\n" for entry in entries
    )


def flat_entry(entry: BaseModel) -> dict[str, Any]:
    """Return the fields of an entry by their dotted names; lists and objects as JSON."""
    out: dict[str, Any] = {}

    def walk(prefix: str, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            path = f"{prefix}{name}"
            if isinstance(value, dict) and path in {"usage", "timings", "error", "cost"}:
                walk(f"{path}.", value)
            else:
                out[path] = dumps(value) if isinstance(value, (dict, list)) else value

    walk("", entry.model_dump(mode="json", exclude_none=True))
    return out


def csv_names() -> list[str]:
    """Name the columns of requests, from the entry's own fields."""
    parts: dict[str, type[BaseModel]] = {"usage": Usage, "timings": Timings, "error": ErrorInfo, "cost": Cost}
    names: list[str] = []
    for name in RequestLog.model_fields:
        inner = parts.get(name)
        names += [f"{name}.{leaf}" for leaf in inner.model_fields] if inner is not None else [name]
    return names


def requests_csv(entries: Sequence[RequestLog], names: Sequence[str], *, head: bool) -> str:
    """Write one row a request.

    Args:
        entries: The requests.
        names: The columns, dotted.
        head: Write their names first.
    """
    rows = [[flat.get(name) for name in names] for flat in map(flat_entry, entries)]
    return csv_text([names, *rows] if head else rows)


def _outcome(entry: RequestLog) -> str:
    parts: list[str] = [entry.status]
    if entry.error is not None and (entry.error.code or entry.error.type):
        parts.append(str(entry.error.code or entry.error.type))
    elif entry.http_status is not None and entry.http_status >= 400:
        parts.append(str(entry.http_status))
    return safe(" ".join(parts))


def _number(part: Any, name: str) -> Any:
    value = part.get(name) if isinstance(part, dict) else getattr(part, name, None)
    return value if isinstance(value, (int, float)) else None


def _tokens(entry: RequestLog) -> str:
    prompt, completion = (_number(entry.usage, name) for name in ("prompt_tokens", "completion_tokens"))
    if prompt is None and completion is None:
        return DASH
    return f"{count(prompt)} + {count(completion)}"


def request_columns(entries: Sequence[RequestLog], tz: tzinfo, *, whole_ids: bool = False) -> list[Column]:
    """Return the columns of a list of requests."""
    starts = [entry.timestamp_start for entry in entries]
    times = [show_time(at.astimezone(tz), "full") if at is not None else DASH for at in starts]
    return [
        Column("started", times, [text[5:19] or text for text in times], left=True, style="dim"),
        Column("id", [safe(e.id) if whole_ids else safe(e.id)[-12:] for e in entries], rank=2, left=True),
        Column("project", [safe(e.project_id or DASH) for e in entries], rank=5, left=True),
        Column("chat", [safe(e.chat_id or DASH) for e in entries], rank=6, left=True),
        Column("model", [safe(e.model) for e in entries], left=True, style="cyan"),
        Column(
            "status",
            [_outcome(e) for e in entries],
            left=True,
            styles=[_LEVEL.get(e.status, "") for e in entries],
        ),
        Column("latency", [duration(_number(e.timings, "latency_ms")) for e in entries], rank=3),
        Column("in + out", [_tokens(e) for e in entries], rank=4),
        Column("cost", [request_cost(e) for e in entries], rank=1),
    ]


def requests_table(entries: Sequence[RequestLog], tz: tzinfo, *, width: int, colour: bool) -> str:
    """Draw a list of requests."""
    return draw(request_columns(entries, tz), width=width, colour=colour)


def requests_markdown(entries: Sequence[RequestLog], tz: tzinfo, *, head: bool) -> str:
    """Write a list of requests as a Markdown table, or more rows of one."""
    text = markdown(request_columns(entries, tz, whole_ids=True))
    return text if head else "".join(text.splitlines(keepends=True)[2:])


def request_text(entry: RequestLog, tz: tzinfo, *, colour: bool) -> str:
    """Write one request with all that is known of it, field by field."""
    title = f"{entry.model} {_outcome(entry)}"
    out = [paint(safe(title), "red" if entry.status in {"error", "timeout"} else "bold", colour=colour)]
    rows: list[tuple[str, str]] = []
    fields = entry.model_dump(mode="json", exclude_none=True, exclude={"messages", "response", "attributes"})
    for name, value in fields.items():
        if name in {"timestamp_start", "timestamp_end", "logged_at"}:
            moment: datetime = getattr(entry, name)
            rows.append((name, show_time(moment.astimezone(tz), "iso")))
        elif name == "cost" and isinstance(value, dict) and isinstance(value.get("amount"), str):
            amount = money(value["amount"], str(value.get("currency", "USD")))
            rows.append((name, f"{amount} reported by {safe(value.get('source') or 'the provider')}"))
        elif isinstance(value, dict):
            rows += [(f"{name}.{key}", _value(item)) for key, item in value.items()]
        else:
            rows.append((name, _value(value)))
    rows += [(f"attributes.{key}", _value(item)) for key, item in (entry.attributes or {}).items()]
    room = min(max(len(name) for name, _ in rows), 32)
    out += [f"  {paint(safe(name).ljust(room), 'cyan', colour=colour)}  {text}" for name, text in rows]
    for message in entry.messages or []:
        out += ["", *_message(message, colour=colour)]
    if entry.response is not None:
        out += ["", paint("response", "bold", colour=colour), _block(_words(entry.response))]
    return "\n".join(out) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return shorten(safe(value) if isinstance(value, str) else dumps(value), _MOST)
    return f"{value:,}"


def _message(message: Any, *, colour: bool) -> list[str]:
    role = message.get("role") if isinstance(message, dict) else None
    content = message.get("content", message) if isinstance(message, dict) else message
    return [paint(safe(role or "message"), "bold", colour=colour), _block(_words(content))]


def _words(value: Any) -> str:
    if isinstance(value, str):
        return value
    texts = (
        [part["text"] for part in value if isinstance(part, dict) and isinstance(part.get("text"), str)]
        if isinstance(value, list)
        else []
    )
    return "\n".join(texts) if texts and len(texts) == len(value) else dumps(value, indent=2)


def _block(text: str) -> str:
    return "\n".join(f"  {line}" for line in safe(text, newlines=True).split("\n"))


def hits_text(hits: Sequence[SearchHit], text: str, tz: tzinfo, *, colour: bool) -> str:
    """Write search hits, two lines each: what and where, and the text with what stands around it."""
    out = []
    for hit in hits:
        entry = hit.entry
        moment = getattr(entry, "timestamp_start", None) or getattr(entry, "timestamp", None)
        if isinstance(entry, ChatMessage):
            moment = entry.created_at
        when = show_time(moment.astimezone(tz), "full") if isinstance(moment, datetime) else DASH
        place = "/".join(
            safe(value)
            for value in (getattr(entry, "project_id", None), getattr(entry, "chat_id", None))
            if value
        )
        what = [
            hit.kind.replace("llm_", "").replace("_", " "),
            safe(str(getattr(entry, "id", "") or ""))[:36],
        ]
        if isinstance(entry, RequestLog):
            what.append(safe(entry.model))
        head = " ".join(part for part in (*what, f"({place})" if place else "") if part)
        out.append(f"{paint(when, 'dim', colour=colour)} {paint(head, 'bold', colour=colour)}")
        out.append(
            f"    {paint(safe(hit.field), 'cyan', colour=colour)}: {_marked(hit.excerpt, text, colour=colour)}"
        )
    return "".join(line + "\n" for line in out)


def _marked(excerpt: str, text: str, *, colour: bool) -> str:
    at = excerpt.casefold().find(text.casefold())
    if at < 0 or len(excerpt.casefold()) != len(excerpt):
        return safe(excerpt)
    end = at + len(text)
    return safe(excerpt[:at]) + paint(safe(excerpt[at:end]), "red", colour=colour) + safe(excerpt[end:])
