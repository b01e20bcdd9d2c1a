"""Searching everything that was logged for a text, newest first, one page at a time, in bounded memory.

A line matches where the text stands in any of its values or field names, in any case, however JSON escaped it. Lines
of one request (pending, final, content) are one hit: it stands where the newest of them that matches stands, and
holds the request folded as the statistics fold it.
"""

from __future__ import annotations

import os
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import BaseModel, Field, SerializeAsAny

from ..errors import ErrorCode, ValidationError
from ..files.layout import LogKind
from ..models.entry import ChatMessage
from ..models.query import StatsScope
from .events import LoggedEvent, read_chat_message, read_event
from .lines.arguments import Files, check_request, expect
from .lines.log_files import Log, LogFile, open_sources
from .retrieval.id_scan import lines_with_ids
from .retrieval.pages import object_of, page_size, period_of, place_of
from .retrieval.paging import Place, encode_cursor, may_hold, newest_lines
from .retrieval.request_log import (
    RequestLine,
    RequestLog,
    content_of,
    fold_requests,
    key_of,
    moment_of,
    read_request_lines,
    to_entry,
)
from .segments.remote import open_root

__all__ = ["SearchHit", "SearchHits", "search_logs"]

Kind = Literal["llm_request", "chat_message", "event"]

_KINDS: Final[Mapping[Kind, tuple[LogKind, ...]]] = {
    "llm_request": (LogKind.REQUESTS, LogKind.CONTENT),
    "chat_message": (LogKind.CHAT,),
    "event": (LogKind.EVENTS, LogKind.SYSTEM),
}
_AROUND: Final = 60
_ROUNDS: Final = 1000


class SearchHit(BaseModel):
    """One thing that holds the text.

    Attributes:
        kind: `llm_request`, `chat_message` or `event`.
        log: The log it is in, relative to the root.
        field: Where in the line, `messages.0.content`.
        excerpt: The text and what stands around it.
        entry: The whole of it: a request folded with its content, a chat message, or an event.
    """

    kind: Kind
    log: str
    field: str
    excerpt: str
    if TYPE_CHECKING:
        # `kind` says which it is; code that searches requests only need not check (typeshed's "Any trick").
        entry: RequestLog | Any
    else:
        entry: SerializeAsAny[RequestLog | ChatMessage | LoggedEvent]


class SearchHits(BaseModel):
    """One page of hits.

    Attributes:
        hits: The newest first.
        cursor: Gives the next page; None where this is the last.
    """

    hits: list[SearchHit] = Field(default_factory=list)
    cursor: str | None = None


class _Needle:
    """The text looked for; says fast which lines cannot hold it."""

    def __init__(self, text: str) -> None:
        self._text = text.casefold()
        self._ascii = self._text.encode() if self._text.isascii() else None

    def may_be_in(self, data: bytes) -> bool:
        # What JSON escaped, and text beyond ASCII whose case folds in other ways, is looked at closely.
        if self._ascii is None or b"\\" in data:
            return True
        return self._ascii in data.lower() or not data.isascii()

    def find(self, value: Any) -> tuple[str, str] | None:
        """Return in which field the text stands, and an excerpt."""
        for path, text in _texts(value):
            folded = text.casefold()
            at = folded.find(self._text)
            if at >= 0:
                # Folding may change the length; the place is then only near.
                start = max(0, min(at, len(text)) - _AROUND)
                stop = min(len(text), at + len(self._text) + _AROUND)
                dots = ("…" if start else "", "…" if stop < len(text) else "")
                return path, f"{dots[0]}{text[start:stop]}{dots[1]}"
        return None


def _texts(value: Any) -> Iterator[tuple[str, str]]:
    stack: list[tuple[str, Any]] = [("", value)]
    while stack:
        path, item = stack.pop()
        if isinstance(item, dict):
            inner = [(f"{path}.{key}" if path else str(key), part) for key, part in item.items()]
            stack.extend(reversed(inner))
            yield from ((name, str(key)) for (name, _), key in zip(inner, item, strict=True))
        elif isinstance(item, list):
            stack.extend((f"{path}.{number}", part) for number, part in reversed(list(enumerate(item))))
        elif isinstance(item, str):
            yield path, item
        elif item is not None:
            yield path, str(item).lower() if isinstance(item, bool) else str(item)


class _Found(BaseModel):
    kind: Kind
    log: str
    field: str
    excerpt: str
    fields: dict[str, Any]
    key: uuid.UUID | None = None


def search_logs(
    text: str,
    scope: StatsScope | Mapping[str, Any] | None = None,
    limit: int = 50,
    cursor: str | None = None,
    *,
    kinds: Sequence[Kind] = ("llm_request", "chat_message", "event"),
    from_date: Any = None,
    to_date: Any = None,
    time_zone: str = "UTC",
    root: str | os.PathLike[str] | None = None,
    files: Files | None = None,
    now: datetime | None = None,
) -> SearchHits:
    """Return what holds a text, the newest first.

    Example:
        >>> page = llm_logging.search_logs("invoice-4711", {"type": "project", "project_id": "shop"}, root="var/llm")
        >>> [(hit.kind, hit.field, hit.excerpt) for hit in page.hits]
        [('llm_request', 'messages.0.content', 'where is invoice-4711?')]

    Args:
        text: Looked for in every value and field name, in any case; at least one character.
        scope: Where; None: everywhere.
        limit: How many hits at most, 1 to 10,000.
        cursor: Of the page before; the other arguments must be the same.
        kinds: What to look at.
        from_date: Only what was logged from then on; as in `StatsOptions`.
        to_date: Only what was logged before then.
        time_zone: Whose days they are.
        root: The folder of the logs; None takes `LLM_LOGGING_ROOT`, then `./llm_logs`.
        files: JSON-lines files to read instead, as in `get_stats`.
        now: Aware; what `7d` counts from. None: now.

    Returns:
        A page, and the cursor of the next.

    Raises:
        ValidationError: An empty text; a kind, a limit, a time or a cursor that is none.
        NotFoundError: A root or a project of which nothing is there.
        FileSystemError: `LOG_READ_ERROR`.
        ConfigurationError: `MISSING_DEPENDENCY` without the extra `stats`.
    """
    expect("text", text, str, "a text")
    expect("kinds", kinds, (list, tuple, set, frozenset), "a list of kinds")
    check_request(root=root, files=files, now=now)
    if not text:
        raise ValidationError(
            "text: expected at least one character, got none", code=ErrorCode.INVALID_OPTIONS
        )
    unknown = [kind for kind in kinds if kind not in _KINDS]
    if unknown or not kinds:
        raise ValidationError(
            f"kinds: expected some of {', '.join(_KINDS)}, got {list(kinds)!r:.200}",
            code=ErrorCode.INVALID_OPTIONS,
        )
    wanted = page_size(limit)
    before = place_of("search", cursor)
    since, until = period_of({"from_date": from_date, "to_date": to_date, "time_zone": time_zone}, now)
    asked = StatsScope.of(scope, "scope")
    with ExitStack() as stack:
        held = [kind for name in kinds for kind in _KINDS[name]]
        layout = open_root(root if files is None else None, lines=True, scope=asked)
        sources = open_sources(layout, files, asked, held, stack)
        search = _Search(text, asked, frozenset(kinds), sources.files)
        hits = search.page(wanted + 1, before, since, until)
    following = encode_cursor("search", hits[wanted - 1][0]) if len(hits) > wanted else None
    return SearchHits(hits=[hit for _, hit in hits[:wanted]], cursor=following)


class _Search:
    """One search over open files."""

    def __init__(self, text: str, scope: StatsScope, kinds: frozenset[str], files: Sequence[LogFile]) -> None:
        self.needle = _Needle(text)
        self.scope = scope
        self.kinds = kinds
        self.files = files
        self.request_files = [file for file in files if not _is_other(file)]

    def want(self, file: LogFile, data: bytes) -> _Found | None:
        if not self.needle.may_be_in(data):
            return None
        fields = object_of(data)
        if fields is None:
            return None
        kind = _kind(fields)
        # Under a root a project's lines are in its folder, also those that do not name it.
        project = self.scope.project_id if file.log.active is None else None
        wanted = {"project_id": project, "chat_id": self.scope.chat_id}
        if kind not in self.kinds or any(v is not None and fields.get(n) != v for n, v in wanted.items()):
            return None
        found = self.needle.find(
            {name: value for name, value in fields.items() if name not in {"v", "writer"}}
        )
        if found is None:
            return None
        key = key_of(str(fields["id"])) if kind == "llm_request" and fields.get("id") is not None else None
        return _Found(kind=kind, log=file.log.name, field=found[0], excerpt=found[1], fields=fields, key=key)

    def page(
        self, limit: int, before: Place | None, since: int | None, until: int | None
    ) -> list[tuple[Place, SearchHit]]:
        hits: list[tuple[Place, SearchHit]] = []
        for _ in range(_ROUNDS):
            found = newest_lines(
                self.files,
                self.want,
                limit=limit,
                group=lambda item: item.key,
                before=before,
                since=since,
                until=until,
            )
            keys = {item.key for _, item in found if item.key is not None}
            # On the first page the newest line that matches is met first; on others it may be on an earlier page.
            newest = self._newest_places(keys, since, until) if before is not None and keys else {}
            hits += self._hits(found, newest)
            if len(found) < limit or len(hits) >= limit:
                break
            before = found[-1][0]
        return hits[:limit]

    def _hits(
        self, found: Sequence[tuple[Place, _Found]], newest: Mapping[uuid.UUID, Place]
    ) -> Iterator[tuple[Place, SearchHit]]:
        requests = self._requests([item for _, item in found])
        for place, item in found:
            entry: RequestLog | ChatMessage | LoggedEvent | None
            if item.key is not None:
                # A newer line of the same request matches too; the hit is at its place.
                if item.key not in requests or newest.get(item.key, place) > place:
                    continue
                entry = requests[item.key]
            else:
                entry = read_chat_message(item.fields) if item.kind == "chat_message" else None
                entry = entry if entry is not None else read_event(item.fields)
            yield (
                place,
                SearchHit.model_construct(
                    kind=item.kind, log=item.log, field=item.field, excerpt=item.excerpt, entry=entry
                ),
            )

    def _newest_places(
        self, keys: set[uuid.UUID], since: int | None, until: int | None
    ) -> dict[uuid.UUID, Place]:
        """Return the place of each request's newest line that matches."""

        def want(file: LogFile, data: bytes) -> _Found | None:
            found = self.want(file, data)
            return found if found is not None and found.key in keys else None

        newest = newest_lines(
            self.request_files, want, limit=len(keys), group=lambda item: item.key, since=since, until=until
        )
        return {item.key: place for place, item in newest if item.key is not None}

    def _requests(self, found: Sequence[_Found]) -> dict[uuid.UUID, RequestLog]:
        """Fold the requests of a page."""
        keys = {item.key for item in found if item.key is not None}
        if not keys:
            return {}
        begun = [moment for item in found if item.key is not None for moment in _moments(item.fields)]
        oldest = min(begun, default=None)
        near = [file for file in self.request_files if may_hold(file, oldest)]
        held = _Lines(keys, [file.log for file in self.files])
        held.read(near)
        if oldest is None or held.oldest() < oldest or not keys <= held.lines.keys():
            # One of them began before any of its lines that match; or its numbers are not where its text is.
            held.read([file for file in self.request_files if file not in near])
        return held.entries()


class _Lines:
    """The lines of some requests, and their content."""

    def __init__(self, keys: set[uuid.UUID], logs: Sequence[Log]) -> None:
        self.keys, self.logs = keys, list(dict.fromkeys(logs))
        self.lines: dict[uuid.UUID, list[RequestLine]] = defaultdict(list)
        self.texts: dict[uuid.UUID, dict[str, Any]] = defaultdict(dict)
        self.bare: dict[uuid.UUID, dict[str, Any]] = {}

    def read(self, files: Sequence[LogFile]) -> None:
        for place, data in lines_with_ids(files, self.keys):
            file = files[place]
            for line in read_request_lines(data, log=self.logs.index(file.log), name=file.raw.name):
                if line.key in self.keys:
                    self.lines[line.key].append(line)
            content = content_of(data)
            if content is not None and content[0] in self.keys:
                self.texts[content[0]].update(content[1])
                self.bare[content[0]] = object_of(data) or {}

    def oldest(self) -> datetime:
        moments = [
            moment for lines in self.lines.values() for line in lines for moment in _moments(line.fields)
        ]
        return min(moments, default=datetime.max.replace(tzinfo=UTC))

    def entries(self) -> dict[uuid.UUID, RequestLog]:
        folded = fold_requests({key: lines for key, lines in self.lines.items() if lines})
        for key, line in folded.items():
            line.fields.update(self.texts[key])
        # The numbers of others were pruned before their text.
        for key in self.bare.keys() - folded.keys():
            folded[key] = RequestLine(key, {**self.bare[key], "status": "pending"}, self.bare[key])
        return {key: to_entry(line) for key, line in folded.items()}


def _moments(fields: Mapping[str, Any]) -> Iterator[datetime]:
    for name in ("timestamp_start", "timestamp"):
        moment = moment_of(fields.get(name))
        if moment is not None:
            yield moment


def _is_other(file: LogFile) -> bool:
    active = file.log.active
    if active is None:
        return False
    return active.name not in {f"{kind.value}.jsonl" for kind in (LogKind.REQUESTS, LogKind.CONTENT)}


def _kind(fields: Mapping[str, Any]) -> Kind:
    event_type = fields.get("event_type")
    if event_type in {"llm_request", "llm_content"} or (event_type is None and "model" in fields):
        return "llm_request"
    return "chat_message" if event_type == "chat_message" else "event"
