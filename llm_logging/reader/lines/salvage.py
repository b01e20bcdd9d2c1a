"""Reading what the fast parser cannot: broken, binary and foreign lines, one by one.

Every line ends up in exactly one place: rewritten as a line that the fast parser takes, or counted under the reason
for which it cannot be used. What is clear in a line is kept: a byte order mark, NUL bytes around it, wrong UTF-8 in
its text, a lone surrogate, a missing status, the older flat shape, a wrapper (see `files.wrappers`), the shape of another
program (see `reader/foreign/`), two lines run together by a lost newline. Of duplicate keys the first counts, as it does in the fast parser.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import NoneType
from typing import IO, Any, Final

from ...files.wrappers import Inner, Unwrapper
from ...models.counting.usage_objects import from_provider
from ...models.entry import LLMRequestLogEntry, Usage, normalise_entry
from ...models.statuses import derive_status, outcome_of
from ..foreign.recognise import ForeignError, entries_of, time_text

__all__ = ["Salvage", "salvage_lines", "salvage_rest"]

ENVELOPE: Final = frozenset({"v", "timestamp", "level", "logger", "message", "event_type", "writer"})
MAX_LINE: Final = 256 * 2**20
# What the fast parser takes, and which fields of a longer line no figure needs.
_LONGEST_PARSED: Final = 8 * 2**20
_LONG_FIELDS: Final = frozenset(
    {"attributes", "messages_included", "touched_files", "touched_entities", "message"}
)


def _whole(text: str) -> int | float:
    return int(text) if len(text) < 100 else float("inf")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=lambda pairs: dict(reversed(pairs)), parse_int=_whole)


@dataclass
class Salvage:
    """What became of the lines.

    Attributes:
        lines: How many lines there were; blank ones are none.
        skipped: How many could not be used, by reason.
        repaired: How many were used although something was wrong, by what it was.
        error: Why reading ended early; None where it did not.
    """

    lines: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    repaired: Counter[str] = field(default_factory=Counter)
    error: str | None = None


class _UnusableError(Exception):
    """A line that cannot be used; its text is the reason."""


def salvage_lines(
    source: IO[bytes], target: IO[bytes], *, name: str, unwrapper: Unwrapper | None = None
) -> Salvage:
    """Copy what can be used of a log, in the shape that the fast parser takes.

    Args:
        source: The log's bytes, uncompressed.
        target: Where the usable lines go.
        name: Identifies this log; lines without an id are identified by it and their number.
        unwrapper: Joins the parts of lines that go on in the next file of a rotation; `salvage_rest` ends it.

    Returns:
        How many lines were used and why others were not.
    """
    report = Salvage()
    unwrap = unwrapper if unwrapper is not None else Unwrapper()
    number = -1
    for number, raw in enumerate(_lines(source, report)):
        line = raw.strip(b"\r\n \t")
        if line:
            _take(unwrap.lines(line), target, f"{name}:{number}", report)
    if unwrapper is None:
        _take(unwrap.rest(), target, f"{name}:{number + 1}", report)
    return report


def salvage_rest(unwrapper: Unwrapper, report: Salvage) -> None:
    """Count the lines whose last part did not come, at the end of the last file of a rotation."""
    _take(unwrapper.rest(), io.BytesIO(), "", report)


def _take(lines: Iterator[Inner], target: IO[bytes], identity: str, report: Salvage) -> None:
    """Write what can be used of the lines that one line of a file holds or completes, and count the others."""
    place = 0
    for inner in lines:
        if not inner.data.strip():
            continue
        report.lines += 1
        try:
            if inner.cut:
                raise _UnusableError("torn")
            found = list(_objects(inner.data, report))
        except _UnusableError as reason:
            # A container writes text as well, which its wrapper shows to be whole.
            is_text = inner.wrapper is not None and not inner.cut and inner.data.lstrip()[:1] != b"{"
            report.skipped["other_program" if is_text else str(reason)] += 1
            continue
        report.lines += len(found) - 1
        for value in found:
            for usable in _usable(value, f"{identity}:{place}", report, inner):
                target.write(_written(usable) + b"\n")
            place += 1


def _written(line: dict[str, Any]) -> bytes:
    # A lone surrogate is legal in JSON and nowhere else: it becomes a question mark.
    text = json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
    if len(text) <= _LONGEST_PARSED:
        return text
    short = {key: value for key, value in line.items() if key not in _LONG_FIELDS}
    return json.dumps(short, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


def _lines(source: IO[bytes], report: Salvage) -> Iterator[bytes]:
    first = True
    while True:
        try:
            line = source.readline(MAX_LINE)
        except (OSError, EOFError, ValueError) as error:
            # A truncated or damaged compressed file: what came before is whole.
            report.error = f"{type(error).__name__}: {error}"
            return
        if not line:
            return
        if first:
            line = line.removeprefix(b"\xef\xbb\xbf")
            first = False
        if len(line) >= MAX_LINE and not line.endswith(b"\n"):
            report.lines += 1
            report.skipped["too_long"] += 1
            try:
                _drop_rest(source)
            except (OSError, EOFError) as error:
                report.error = f"{type(error).__name__}: {error}"
                return
            continue
        yield line


def _drop_rest(source: IO[bytes]) -> None:
    while (more := source.readline(MAX_LINE)) and not more.endswith(b"\n"):
        continue


def _objects(line: bytes, report: Salvage) -> Iterator[dict[str, Any]]:
    """Yield the objects in a line; a line holds one, or more where newlines between them were lost."""
    stripped = line.strip(b"\x00")
    if not stripped:
        raise _UnusableError("nul_bytes")
    if len(stripped) != len(line):
        report.repaired["nul_bytes"] += 1
    try:
        text = stripped.decode("utf-8")
    except UnicodeDecodeError:
        if not stripped.startswith(b"{"):
            raise _UnusableError("binary") from None
        text = stripped.decode("utf-8", "replace")
        report.repaired["bad_utf8"] += 1
    position = 0
    found = 0
    while position < len(text):
        value, position = _decode(text, position)
        if not isinstance(value, dict):
            raise _UnusableError("not_an_object")
        found += 1
        while position < len(text) and text[position] in " \t\r\x00":
            position += 1
        yield value
    if found > 1:
        report.repaired["joined_lines"] += 1


def _decode(text: str, position: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, position)
    except RecursionError:
        raise _UnusableError("too_deep") from None
    except ValueError:
        if "\x00" in text or not text.isprintable():
            raise _UnusableError("binary") from None
        if text.startswith("{") and not text.endswith("}"):
            raise _UnusableError("torn") from None
        raise _UnusableError("not_json") from None


def _usable(value: dict[str, Any], identity: str, report: Salvage, inner: Inner) -> Iterator[dict[str, Any]]:
    """Yield lines for the fast parser; none where what is there has been counted as of no use."""
    nested = value.get("llm_request")
    if isinstance(nested, dict):
        outer = {key: item for key, item in value.items() if key in ENVELOPE}
        ids: dict[str, Any] = {
            key: value[key] for key in ("project_id", "chat_id", "user_id") if key in value
        }
        value = {**outer, **ids, **nested, "event_type": "llm_request"}
    event_type = value.get("event_type")
    if event_type == "llm_request":
        yield _request(value, identity, report)
        return
    if event_type is not None:
        kept: dict[str, Any] = {
            key: value[key] for key in ("event_type", "writer", "timestamp") if key in value
        }
        yield {**kept, "event_type": str(event_type)}
        return
    try:
        found = entries_of(value, inner.time)
    except ForeignError as reason:
        report.skipped[str(reason)] += 1
        return
    if not found:
        report.skipped["other_program"] += 1
        return
    report.lines += len(found) - 1
    for place, fields in enumerate(found):
        yield _request(fields, f"{identity}:{place}" if place else identity, report)


def _request(value: dict[str, Any], identity: str, report: Salvage) -> dict[str, Any]:
    envelope = {key: item for key, item in value.items() if key in ENVELOPE and item is not None}
    fields = {key: item for key, item in value.items() if key not in ENVELOPE}
    line_id = fields.get("id") or fields.pop("request_id", None)
    if not isinstance(fields.get("attributes"), (dict, NoneType)):
        report.repaired["attributes"] += 1
        del fields["attributes"]
    if fields.get("status") is not None and outcome_of(fields["status"]) is None:
        # As a handler does with it; what is there is counted when the line is read.
        attributes = fields.get("attributes") or {}
        moved = attributes.get("invalid")
        moved = {**(moved if isinstance(moved, dict) else {}), "status": fields.pop("status")}
        fields["attributes"] = {**attributes, "invalid": moved}
    entry = normalise_entry(fields)
    shaped = from_provider(entry.get("usage"), Usage.model_fields.keys())
    if shaped is not None:
        entry["usage"] = shaped
    if "response" not in entry and "status" not in fields:
        entry["status"] = derive_status(entry)
    # Text of any length may stand here; figures need none of it.
    for name in LLMRequestLogEntry.CONTENT_FIELDS:
        entry.pop(name, None)
    entry["id"] = line_id if line_id is not None else hashlib.md5(identity.encode()).hexdigest()  # noqa: S324  not for secrecy
    for name in ("timestamp", "timestamp_start", "timestamp_end"):
        holder: dict[str, Any] = envelope if name == "timestamp" else entry
        if isinstance(holder.get(name), (int, float)):
            holder[name] = time_text(holder[name])
    return {**envelope, "event_type": "llm_request", **entry}
