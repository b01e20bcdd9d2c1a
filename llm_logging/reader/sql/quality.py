"""How far an answer can be trusted: lines that could not be used, and lines that are missing.

Every writer numbers its lines 1, 2, 3 ... in each log. A missing number is a gap, unless a manifest says that it was pruned; a
note of a clean close says how far the numbers went. Files that were named, rather than found under a root, may begin and end
anywhere, so only gaps between their lines count.
"""

# ruff: noqa: S608  table names are our own

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...errors import ErrorCode
from ...maintenance.manifest import json_objects, read_pruned
from ...models.stats import Figures, HostFreshness, Quality, SequenceGap
from ..lines.parse import Parsed

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Numbers", "Spans", "judge", "numbers_by_mark", "numbers_in", "read_closes", "read_hosts"]

_MOST_GAPS: Final = 1000

# Of a writer in a log: spans of numbers that are there, each with how many lines carry them.
Spans = list[tuple[int, int]]
# Of a log and a writer: the numbers, first and last, of lines that a host has not shipped yet.
Waiting = dict[tuple[int, str], tuple[int, int]]


@dataclass
class Numbers:
    """The lines that are there, by log and writer.

    Attributes:
        spans: Unbroken spans of numbers.
        repeated: Lines whose number was there already.
    """

    spans: dict[tuple[int, str], Spans] = field(default_factory=lambda: defaultdict(list))
    repeated: int = 0

    def add(self, log_no: int, writer: str, spans: Iterable[tuple[int, int]]) -> None:
        """Add spans of one file; what overlaps others are lines met again."""
        self.spans[log_no, writer].extend(spans)

    def settle(self) -> None:
        """Join spans that touch and count what overlaps."""
        for key, spans in self.spans.items():
            joined: Spans = []
            for first, last in sorted(spans):
                if joined and first <= joined[-1][1] + 1:
                    before = joined[-1]
                    self.repeated += max(0, min(last, before[1]) - first + 1)
                    joined[-1] = (before[0], max(last, before[1]))
                else:
                    joined.append((first, last))
            self.spans[key] = joined


def numbers_in(db: DuckDBPyConnection, table: str) -> list[tuple[str, int, int, int]]:
    """Return the unbroken spans of numbers in a table of lines: writer, first, last, lines beyond one a number."""
    return _numbers(db, table, "0").get(0, [])


def numbers_by_mark(db: DuckDBPyConnection, table: str) -> dict[int, list[tuple[str, int, int, int]]]:
    """Return what `numbers_in` does for each value of the column `mark`."""
    return _numbers(db, table, "mark")


def _numbers(db: DuckDBPyConnection, table: str, mark: str) -> dict[int, list[tuple[str, int, int, int]]]:
    rows = db.execute(
        f"""
        SELECT {mark} AS mark, writer_id, min(seq), max(seq), count(*) - count(DISTINCT seq), count(DISTINCT seq)
        FROM {table} WHERE writer_id IS NOT NULL AND seq >= 1 GROUP BY ALL
        """
    ).fetchall()
    # Most spans have no gap, and seeing that is much cheaper than finding gaps.
    if any(last - first + 1 != different for _, _, first, last, _, different in rows):
        rows = db.execute(
            f"""
            WITH numbered AS (
                SELECT {mark} AS mark, writer_id, seq, count(*) AS times FROM {table}
                WHERE writer_id IS NOT NULL AND seq >= 1 GROUP BY ALL
            ), placed AS (
                SELECT *, seq - row_number() OVER (PARTITION BY mark, writer_id ORDER BY seq) AS island FROM numbered
            )
            SELECT mark, writer_id, min(seq), max(seq), sum(times - 1)::BIGINT, count(*)
            FROM placed GROUP BY mark, writer_id, island
            """
        ).fetchall()
    found: dict[int, list[tuple[str, int, int, int]]] = defaultdict(list)
    for number, writer, first, last, again, _ in rows:
        found[int(number)].append((str(writer), int(first), int(last), int(again)))
    return found


def read_closes(root: Path) -> dict[str, dict[str, int]]:
    """Return which writers noted a clean close: by writer, the last number of each of its logs."""
    found: dict[str, dict[str, int]] = {}
    for note in json_objects(root / ".writers.jsonl"):
        writer, files = note.get("writer"), note.get("files")
        if note.get("closed") is True and isinstance(writer, str) and isinstance(files, Mapping):
            ends = found.setdefault(writer, {})
            for name, last in files.items():
                if isinstance(last, int):
                    ends[str(name)] = max(last, ends.get(str(name), 0))
    return found


def read_hosts(root: Path | None) -> list[dict[str, Any]]:
    """Return what hosts reported that ship to a store, whose copy a root is; see `segments/remote.py`."""
    try:
        states = json.loads((root / ".hosts.json").read_bytes()) if root is not None else []
    except (OSError, ValueError):
        return []
    return [state for state in states if isinstance(state, dict)]


def _hosts(
    root: Path | None, names: Sequence[str], numbers: Numbers, pruned_of: Mapping[int, Mapping[str, Spans]]
) -> tuple[list[HostFreshness], Waiting]:
    """Return what hosts reported that ship to a store, and which numbers of which log and writer wait there."""
    hosts, waiting = [], Waiting()
    for state in read_hosts(root):
        lines = 0
        for log_no, name in enumerate(names):
            for writer, last in state.get("writers", {}).get(name, {}).items():
                there = [*numbers.spans.get((log_no, writer), ()), *pruned_of[log_no].get(writer, ())]
                upto = max((span[1] for span in there), default=0)
                if last > upto:
                    waiting[log_no, writer] = (upto + 1, last)
                    lines += last - upto
        hosts.append(
            HostFreshness(
                host=state["host"],
                name=state.get("name", ""),
                reported=state["time"],
                fresh_until=state["fresh_until"],
                waiting_lines=lines,
            )
        )
    return hosts, waiting


def _missing(
    spans: Spans, pruned: Spans, closed_at: int | None, *, from_one: bool
) -> tuple[list[tuple[int, int]], int]:
    """Return the spans that are missing, and how many lines were pruned."""
    there = sorted([*spans, *pruned])
    gaps: list[tuple[int, int]] = []
    upto = 0 if from_one else there[0][0] - 1
    for first, last in there:
        if first > upto + 1:
            gaps.append((upto + 1, first - 1))
        upto = max(upto, last)
    if closed_at is not None and closed_at > upto:
        gaps.append((upto + 1, closed_at))
    return gaps, sum(last - first + 1 for first, last in pruned)


def judge(
    parsed: Sequence[Parsed],
    numbers: Numbers,
    *,
    names: Sequence[str],
    root: Path | None,
    unreadable: Mapping[str, str],
    figures: Figures,
) -> Quality:
    """Summarise how far an answer can be trusted.

    Args:
        parsed: What became of each file's lines.
        numbers: Which lines are there.
        names: The logs, by number.
        root: Where they lie; None where files were named.
        unreadable: Files that could not be read to their end.
        figures: Of all requests in question.
    """
    skipped: Counter[str] = Counter()
    invalid: Counter[str] = Counter()
    for one in parsed:
        skipped.update(one.skipped)
        invalid.update(one.invalid)
    numbers.settle()
    closes = read_closes(root) if root is not None else {}
    pruned_of = {
        number: read_pruned((root / name).with_suffix(".manifest")) if root is not None else {}
        for number, name in enumerate(names)
    }
    hosts, waiting = _hosts(root, names, numbers, pruned_of)
    gaps: list[SequenceGap] = []
    pruned_lines = 0
    unclosed = set()
    for (log_no, writer), spans in sorted(numbers.spans.items()):
        closed_at = closes.get(writer, {}).get(names[log_no])
        if root is not None and writer not in closes:
            unclosed.add(writer)
        if (log_no, writer) in waiting:
            spans = [*spans, waiting[log_no, writer]]  # noqa: PLW2901  they are there, on their host
        found, pruned = _missing(
            spans, pruned_of[log_no].get(writer, []), closed_at, from_one=root is not None
        )
        pruned_lines += pruned
        gaps += [SequenceGap(log=names[log_no], writer=writer, first=a, last=b) for a, b in found]
    broken = sum(skipped.values()) - skipped["other_program"]
    errors = {ErrorCode.LOG_PARSE_ERROR.value: broken} if broken else {}
    return Quality(
        complete=not (broken or gaps or unreadable or waiting),
        lines=sum(one.lines for one in parsed),
        skipped_lines=sum(skipped.values()),
        skipped=dict(sorted(skipped.items())),
        other_lines=sum(one.others for one in parsed),
        repeated_lines=numbers.repeated,
        invalid_fields=dict(sorted(invalid.items())),
        requests_without_usage=figures.requests_without_usage,
        unpriced_requests=figures.unpriced_requests,
        estimated_usage_requests=figures.estimated_usage_requests,
        partial_usage_requests=figures.partial_usage_requests,
        gaps=gaps[:_MOST_GAPS],
        missing_lines=sum(gap.lines for gap in gaps),
        pruned_lines=pruned_lines,
        unclosed_writers=len(unclosed),
        unreadable_files=dict(unreadable),
        hosts=hosts,
        fresh_until=min((host.fresh_until for host in hosts), default=None),
        waiting_lines=sum(last - first + 1 for first, last in waiting.values()),
        errors=errors,
    )
