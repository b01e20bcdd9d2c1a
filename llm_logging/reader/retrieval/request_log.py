"""A request as it was logged: its lines folded into one typed entry.

Which line wins is decided by the SQL of the statistics, `fold.ranked_sql`. The fields are merged here, because an entry holds
what figures do not need: attributes, error messages, content.
"""

# ruff: noqa: S608  names are our own, values are bound

from __future__ import annotations

import io
import json
import tempfile
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from ...files.wrappers import Unwrapper
from ...models.entry import ErrorInfo, LLMRequestLogEntry, Timings, Usage
from ...models.fields import Identifier, UTCTime
from ...models.validation import forgive
from ..lines.columns import WRITER_SEQ, readable
from ..lines.duckdb_engine import connect
from ..lines.salvage import salvage_lines
from ..lines.source_sql import RawFile
from ..sql.fold import ranked_sql

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = [
    "RequestLine",
    "RequestLog",
    "content_of",
    "fold_requests",
    "key_of",
    "moment_of",
    "read_request_lines",
    "read_whole_file",
    "to_entry",
]

_ENVELOPE: Final = frozenset({"v", "timestamp", "level", "logger", "message", "event_type", "writer"})
_GROUPS: Final = frozenset({"usage", "timings", "error", "cost"})


class RequestLog(LLMRequestLogEntry):
    """One request as it was logged, all its lines folded.

    An entry of another program may lack `project_id` or `chat_id`, and one whose times cannot be read has none.

    Attributes:
        message: The message of the line that counts.
        logged_at: When that line was logged.
        lines: How many lines it was folded from.
        estimated_cost: Its list price in dollars; None where a provider reported the cost, or it is not known, or only in
            part.
        unpriced: What of it has no price; see `Quality.unpriced_reasons`.
    """

    project_id: Identifier | None = None  # type: ignore[assignment]  # what others wrote may lack it
    chat_id: Identifier | None = None  # type: ignore[assignment]
    timestamp_start: UTCTime | None = None  # type: ignore[assignment]
    if TYPE_CHECKING:
        # None where the request succeeded; code that asked for failed ones need not check (typeshed's "Any trick").
        error: ErrorInfo | Any = None
    message: str | None = None
    logged_at: UTCTime | None = None
    lines: int = 1
    estimated_cost: str | None = None
    unpriced: str | None = None


@dataclass(slots=True)
class RequestLine:
    """One line of a request, or several folded into one.

    Attributes:
        key: The id as 128 bits, as the statistics know it.
        fields: The entry, normalised; content included where the line holds it.
        envelope: Time, level, logger, message and writer.
        log: Tells the logs apart.
        count: How many lines.
    """

    key: uuid.UUID
    fields: dict[str, Any]
    envelope: dict[str, Any]
    log: int = 0
    count: int = 1
    time: datetime | None = field(init=False)

    def __post_init__(self) -> None:
        self.time = moment_of(self.envelope.get("timestamp"))

    @property
    def writer(self) -> tuple[str | None, int | None]:
        """The writer's id and the line's number, as the parser reads them; None where they are not usable."""
        writer = self.envelope.get("writer")
        if not isinstance(writer, Mapping):
            return None, None
        name, number = writer.get("id"), _as_number(writer.get("seq"))
        usable = type(number) is int and WRITER_SEQ.least <= number <= WRITER_SEQ.most
        return name if isinstance(name, str) else None, number if usable else None


def key_of(text: str) -> uuid.UUID:
    """Return an id as 128 bits: a UUID as it is, any other text by its MD5, as the parser does."""
    import hashlib

    try:
        return uuid.UUID(text)
    except ValueError:
        digest = hashlib.md5(text.encode("utf-8", "surrogatepass"), usedforsecurity=False)
        return uuid.UUID(digest.hexdigest())


def read_request_lines(data: bytes, *, log: int = 0, name: str = "") -> list[RequestLine]:
    """Read the requests of one line as the statistics read them.

    Args:
        data: The line.
        log: Which log it is of.
        name: The log's name; it identifies lines without an id.

    Returns:
        None or one, or more where the newlines between lines were lost.
    """
    target = io.BytesIO()
    salvage_lines(io.BytesIO(data), target, name=name)
    content = _content(data)
    return [line for text in target.getvalue().splitlines() for line in _request_line(text, content, log)]


def read_whole_file(
    raw: RawFile, *, log: int = 0, unwrapper: Unwrapper | None = None
) -> Iterator[RequestLine]:
    """Read every request of a file, those without an id of their own included.

    Args:
        raw: The file.
        log: Which log it is of.
        unwrapper: Joins the parts of lines that go on in the next file of a rotation.
    """
    with tempfile.TemporaryFile() as copy:
        with raw.open() as lines:
            salvage_lines(lines, copy, name=raw.name, unwrapper=unwrapper)
        copy.seek(0)
        for text in copy:
            yield from _request_line(text, {}, log)


def _request_line(text: bytes, content: Mapping[str, Any], log: int) -> Iterator[RequestLine]:
    value = json.loads(text)
    if value.get("event_type") == "llm_request":
        envelope = {key: item for key, item in value.items() if key in _ENVELOPE}
        fields = {key: item for key, item in value.items() if key not in _ENVELOPE}
        yield RequestLine(key_of(str(fields["id"])), {**content, **fields}, envelope, log)


def content_of(data: bytes) -> tuple[uuid.UUID, dict[str, Any]] | None:
    """Return whose content a line holds, and the content; None where it holds none."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if (
        not isinstance(value, dict)
        or value.get("event_type") != "llm_content"
        or not isinstance(value.get("id"), str)
    ):
        return None
    held = {name: value[name] for name in LLMRequestLogEntry.CONTENT_FIELDS if value.get(name) is not None}
    return key_of(value["id"]), held


def _content(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(value, dict):
        return {}
    nested = value.get("llm_request")
    source = nested if isinstance(nested, dict) else value
    return {name: source[name] for name in LLMRequestLogEntry.CONTENT_FIELDS if source.get(name) is not None}


def moment_of(value: Any) -> datetime | None:
    """Read an ISO 8601 time, UTC where it names no offset; None where the value is none."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


# What a line is ranked by, as `ranked_sql` names it: its SQL type, and where a line has it.
_RANKED: Final[dict[str, tuple[str, Callable[[RequestLine], Any]]]] = {
    "key": ("UUID", lambda line: str(line.key)),
    "log_no": ("INTEGER", lambda line: line.log),
    "line_time": ("TIMESTAMP", lambda line: None if line.time is None else line.time.replace(tzinfo=None)),
    "writer_id": ("VARCHAR", lambda line: None if line.writer[0] is None else readable(line.writer[0])),
    "seq": ("BIGINT", lambda line: line.writer[1]),
    "status": ("VARCHAR", lambda line: readable(str(line.fields.get("status", "")))),
}


def fold_requests(
    lines_of: Mapping[uuid.UUID, Sequence[RequestLine]], db: DuckDBPyConnection | None = None
) -> dict[uuid.UUID, RequestLine]:
    """Fold the lines of each request into one, as the statistics do; first by id, then the ids of one call seen twice.

    Args:
        lines_of: The lines of each request, at least one.
        db: Ranks the lines; None opens a database where some request has several lines.

    Raises:
        ConfigurationError: `MISSING_DEPENDENCY` without the extra `stats`.
    """
    with ExitStack() as stack:
        if db is None and any(len(lines) > 1 for lines in lines_of.values()):
            db = connect()
            stack.callback(db.close)
        by_id: dict[tuple[uuid.UUID, uuid.UUID], list[RequestLine]] = defaultdict(list)
        for request, lines in lines_of.items():
            for line in lines:
                by_id[request, line.key].append(line)
        by_request: dict[uuid.UUID, list[RequestLine]] = defaultdict(list)
        for (request, _), line in zip(by_id, _fold_each(list(by_id.values()), db), strict=True):
            by_request[request].append(line)
        return dict(zip(by_request, _fold_each(list(by_request.values()), db), strict=True))


def _fold_each(groups: Sequence[Sequence[RequestLine]], db: DuckDBPyConnection | None) -> list[RequestLine]:
    """Fold each group of lines into one."""
    ranked = [(number, line) for number, lines in enumerate(groups) if len(lines) > 1 for line in lines]
    if not ranked or db is None:
        return [lines[0] for lines in groups]
    columns = [[number for number, _ in ranked], list(range(len(ranked)))]
    columns += [[read(line) for _, line in ranked] for _, read in _RANKED.values()]
    kinds = {"fold_key": "INTEGER", "place": "INTEGER", **{name: kind for name, (kind, _) in _RANKED.items()}}
    listed = ", ".join(f"unnest(?::{kind}[]) AS {name}" for name, kind in kinds.items())
    db.execute(f"CREATE OR REPLACE TEMP TABLE ranked_lines AS SELECT {listed}", columns)
    order = db.execute(
        f"SELECT fold_key, place FROM ({ranked_sql('ranked_lines')}) ORDER BY fold_key, rank"
    ).fetchall()
    db.execute("DROP TABLE ranked_lines")
    ordered: dict[int, list[RequestLine]] = defaultdict(list)
    for number, place in order:
        ordered[number].append(ranked[place][1])
    return [
        _merged(ordered[number]) if number in ordered else lines[0] for number, lines in enumerate(groups)
    ]


def _merged(ranked: Sequence[RequestLine]) -> RequestLine:
    """Merge lines, the winner first: each field comes from the first line that has it, the start is the earliest."""
    fields: dict[str, Any] = {}
    attributes: dict[str, Any] = {}
    for line in ranked:
        for name, value in line.fields.items():
            if name == "attributes" and isinstance(value, Mapping):
                attributes = {**value, **{key: item for key, item in attributes.items() if item is not None}}
            elif name not in fields and not _is_absent(name, value):
                fields[name] = value
    if attributes:
        fields["attributes"] = attributes
    starts = [text for line in ranked if isinstance(text := line.fields.get("timestamp_start"), str)]
    moments = {moment: text for text in starts if (moment := moment_of(text)) is not None}
    if moments:
        fields["timestamp_start"] = moments[min(moments)]
    winner = ranked[0]
    return RequestLine(winner.key, fields, winner.envelope, winner.log, sum(line.count for line in ranked))


def _is_absent(name: str, value: Any) -> bool:
    """Say whether a line lacks a field; a group such as `usage` without any value is as absent as null."""
    if isinstance(value, Mapping) and name in _GROUPS:
        return all(item is None for item in value.values())
    return value is None


@cache
def _numeric() -> dict[str, frozenset[str]]:
    return {
        "usage": frozenset(Usage.model_fields) - {"source", "raw"},
        "timings": frozenset(Timings.model_fields),
    }


def _as_number(value: Any) -> Any:
    # The parser reads numbers from text, so an entry does too: 12, "12" and 12.0 tokens are 12.
    if isinstance(value, str) and "_" not in value:
        try:
            value = float(value) if any(mark in value for mark in ".eE") else int(value)
        except ValueError:
            return value
    return int(value) if isinstance(value, float) and value.is_integer() else value


def to_entry(line: RequestLine) -> RequestLog:
    """Turn a folded request into a typed entry; a value that its field cannot have moves to `attributes.invalid`."""
    fields = dict(line.fields)
    for group, names in _numeric().items():
        values = fields.get(group)
        if isinstance(values, Mapping):
            fields[group] = {key: _as_number(item) if key in names else item for key, item in values.items()}
    for name in ("attempt", "http_status"):
        if name in fields:
            fields[name] = _as_number(fields[name])
    given_id = str(fields.get("id", ""))
    try:
        uuid.UUID(given_id)
    except ValueError:
        fields["id"] = str(line.key)
        fields["attributes"] = {**(fields.get("attributes") or {}), "id": given_id}
    identity = {name: _text(fields.get(name)) for name in LLMRequestLogEntry.IDENTITY_FIELDS}
    fields.update({name: text or "unknown" for name, text in identity.items()})
    if moment_of(fields.get("timestamp_start")) is None and line.time is not None:
        fields["timestamp_start"] = line.time
    ended = moment_of(fields.get("timestamp_end")) is not None
    started = ended or line.time is not None or moment_of(fields.get("timestamp_start")) is not None
    entry, _ = forgive(LLMRequestLogEntry, fields, line.time)
    known: dict[str, Any] = {
        **(dict(entry) if entry is not None else fields),
        **{name: text for name, text in identity.items() if text is None},
        "message": _text(line.envelope.get("message")),
        "logged_at": line.time,
        "lines": line.count,
    }
    # What the clock and the latency imply is for writing; a reader says what was logged.
    if not ended:
        known["timestamp_end"] = None
    if not started:
        known["timestamp_start"] = None
    return RequestLog.model_construct(**known)


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
