"""An independent re-computation of the figures, in plain Python, from parsed lines.

It shares no code with the reader: its own folding, its own zone arithmetic (`datetime.astimezone`), exact fractions.
"""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import cmp_to_key
from pathlib import Path
from zoneinfo import ZoneInfo

FINAL = ("success", "error", "timeout")
LISTS = {"tag": "tags", "touched_files": "touched_files"}
WHOLE = ("usage", "timings", "error", "cost")


def moment(text):
    return datetime.fromisoformat(text).astimezone(UTC)


def line(entry, log, writer=None, seq=None, at=None):
    envelope = {
        "v": 1, "timestamp": at, "level": "INFO", "logger": "app", "message": "", "event_type": "llm_request",
    }  # fmt: skip
    if writer is not None:
        envelope["writer"] = {"id": writer, "seq": seq}
    return {"log": log, "line": {**envelope, **entry}}


def stamp(value):
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Row:
    """One line, or one request made of several."""

    def __init__(self, log, value):
        self.log = log
        self.entry = {
            k: v for k, v in value.items() if k not in {"v", "level", "logger", "message", "event_type"}
        }
        self.at = moment(value["timestamp"])
        self.writer = (value.get("writer") or {}).get("id")
        self.seq = (value.get("writer") or {}).get("seq")
        self.start = moment(value["timestamp_start"])
        self.final = value["status"] in FINAL

    @property
    def id(self):
        return self.entry["id"]


def speaker_time(row, rows):
    if row.writer is None or row.seq is None:
        return row.at
    same = [
        r
        for r in rows
        if (r.final, r.log, r.writer) == (row.final, row.log, row.writer) and r.seq is not None
    ]
    return max(same, key=lambda r: r.seq).at


def fold(rows):
    def compare(a, b):
        for x, y in (
            (a.final, b.final),
            (speaker_time(a, rows), speaker_time(b, rows)),
            (a.writer or "", b.writer or ""),
            (a.seq or 0, b.seq or 0),
        ):
            if x != y:
                return -1 if x > y else 1
        return 0

    ranked = sorted(rows, key=cmp_to_key(compare))
    winner = ranked[0]
    merged = {}
    for row in ranked:
        for key, value in row.entry.items():
            merged.setdefault(key, value)
    made = Row.__new__(Row)
    made.log, made.entry, made.at = winner.log, merged, winner.at
    made.writer, made.seq, made.final = winner.writer, winner.seq, winner.final
    made.start = min(row.start for row in rows)
    return made


def requests_of(lines):
    by_id = defaultdict(list)
    for item in lines:
        row = Row(item["log"], item["line"])
        by_id[row.id].append(row)
    folded = [fold(rows) for rows in by_id.values()]
    alike = defaultdict(list)
    for row in folded:
        e = row.entry
        response = e.get("provider_response_id")
        names = ("provider", "project_id", "chat_id")
        who = (response, e.get("attempt", 1), *(e.get(name) for name in names))
        alike[who if response else id(row)].append(row)
    return [fold(call) for rows in alike.values() for call in calls_seen_twice(rows)]


def end_of(row):
    ends = [row.start]
    if (row.entry.get("timings") or {}).get("latency_ms") is not None:
        ends.append(row.start + timedelta(milliseconds=row.entry["timings"]["latency_ms"]))
    if row.entry.get("timestamp_end") is not None:
        ends.append(moment(row.entry["timestamp_end"]))
    return max(ends)


def is_same_call(one, other):
    if len({row.entry["user_id"] for row in (one, other) if row.entry.get("user_id") is not None}) > 1:
        return False
    names = one.entry.get("instrumentation"), other.entry.get("instrumentation")
    spans = [(row.entry.get("trace_id"), row.entry.get("span_id")) for row in (one, other)]
    same_span = all(spans[0]) and spans[0] == spans[1]
    overlap = one.start == other.start or max(one.start, other.start) < min(end_of(one), end_of(other))
    first, last = sorted((one, other), key=lambda row: row.start)
    # A request without an end is a moment, which may lie within the other.
    overlap = overlap or first.start <= last.start < end_of(first)
    match names:
        case (None, None):
            return same_span and overlap
        case (None, _) | (_, None):
            return same_span
        case _:
            return names[0] != names[1] and (overlap or same_span)


def calls_seen_twice(rows):
    calls = []
    for row in sorted(rows, key=lambda row: (row.start, row.id)):
        fitting = [call for call in calls if all(is_same_call(row, member) for member in call)]

        def distance(call, row=row):
            return min(abs(m.start - row.start) + abs(end_of(m) - end_of(row)) for m in call)

        if fitting:
            min(fitting, key=distance).append(row)
        else:
            calls.append([row])
    return calls


def is_cancelled(row):
    return (
        row.entry["status"] in {"error", "timeout"}
        and (row.entry.get("error") or {}).get("code") == "cancelled"
    )


def is_finished(row):
    return row.final and not is_cancelled(row)


def last_of_calls(rows):
    calls = defaultdict(list)
    for row in rows:
        if is_finished(row):
            group = row.entry.get("request_group")
            calls[(row.entry["project_id"], group) if group is not None else id(row)].append(row)
    return {id(max(c, key=lambda r: (r.entry.get("attempt", 1), r.start, r.id))) for c in calls.values()}


def quantile(values, q):
    ordered = sorted(Fraction(v) for v in values)
    place = q * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def spread(values):
    if not values:
        return {"n": 0, "mean": None, "p50": None, "p90": None, "p95": None, "p99": None}
    found = {"n": len(values), "mean": sum(Fraction(v) for v in values) / len(values)}
    for name, q in (("p50", 50), ("p90", 90), ("p95", 95), ("p99", 99)):
        found[name] = quantile(values, Fraction(q, 100))
    return found


def figures(rows, last, now, orphan_after=timedelta(hours=1)):
    finished = [r for r in rows if is_finished(r)]
    ok = [r for r in finished if r.entry["status"] == "success"]
    failed = [r for r in finished if r.entry["status"] != "success"]
    pending = [r for r in rows if r.entry["status"] == "pending"]

    def tokens(name):
        return sum((r.entry.get("usage") or {}).get(name) or 0 for r in rows)

    def timing(some, name):
        return [t for r in some if (t := (r.entry.get("timings") or {}).get(name)) is not None]

    speeds = []
    for r in finished:
        timings, usage = r.entry.get("timings") or {}, r.entry.get("usage") or {}
        if timings.get("latency_ms") is None or usage.get("completion_tokens") is None:
            continue
        # The reader subtracts doubles; the oracle takes that one rounding over, so a zero is the same zero.
        span = timings["latency_ms"] - (timings.get("time_to_first_token_ms") or 0)
        if span > 0:
            speeds.append(Fraction(usage["completion_tokens"]) * 1000 / Fraction(span))
    kinds = defaultdict(int)
    for r in rows:
        if is_cancelled(r) or r in failed:
            error = r.entry.get("error") or {}
            fallback = "timeout" if r.entry["status"] == "timeout" else "unknown"
            kinds[error.get("code") or error.get("type") or fallback] += 1
    https = defaultdict(int)
    for r in rows:
        if r.entry["status"] != "pending" and r.entry.get("http_status") is not None:
            https[str(r.entry["http_status"])] += 1
    used = [
        r for r in rows
        if any((r.entry.get("usage") or {}).get(n) is not None for n in ("prompt_tokens", "completion_tokens"))
    ]  # fmt: skip
    running = [r for r in pending if r.start >= now - orphan_after]
    return {
        "total_requests": len(finished),
        "successful_requests": len(ok),
        "failed_requests": len(failed),
        "pending_requests": len(pending),
        "running_requests": len(running),
        "orphaned_requests": len(pending) - len(running),
        "cancelled_requests": sum(map(is_cancelled, rows)),
        "total_calls": sum(id(r) in last for r in rows),
        "failed_calls": sum(id(r) in last for r in failed),
        "retried_requests": sum(r.entry.get("attempt", 1) > 1 for r in finished),
        "error_rate": Fraction(len(failed), len(finished)) if finished else 0,
        "error_codes": dict(kinds),
        "http_statuses": dict(https),
        "prompt_tokens": tokens("prompt_tokens"),
        "completion_tokens": tokens("completion_tokens"),
        "total_tokens": tokens("prompt_tokens") + tokens("completion_tokens"),
        "cache_read_tokens": tokens("cache_read_tokens"),
        "cache_write_tokens": tokens("cache_write_tokens"),
        "cache_write_1h_tokens": tokens("cache_write_1h_tokens"),
        "reasoning_tokens": tokens("reasoning_tokens"),
        "requests_with_usage": len(used),
        "requests_without_usage": sum(r not in used for r in finished),
        "latency_ms": spread(timing(finished, "latency_ms")),
        "success_latency_ms": spread(timing(ok, "latency_ms")),
        "failure_latency_ms": spread(timing(failed, "latency_ms")),
        "time_to_first_token_ms": spread(timing(finished, "time_to_first_token_ms")),
        "tokens_per_second": spread(speeds),
        "first_request": min((r.start for r in rows), default=None),
        "last_request": max((r.start for r in rows), default=None),
    }


def bucket(unit, start, zone):
    local = start.astimezone(zone)
    if unit == "hour":
        # The UTC hour, labelled with the zone's offset then: arithmetic on the UTC side only.
        hour = start.replace(minute=0, second=0, microsecond=0).astimezone(zone)
        return hour.isoformat(timespec="minutes")
    if unit == "day":
        return f"{local.year:04d}-{local.month:02d}-{local.day:02d}"
    if unit == "week":
        return local.strftime("%G-W%V")
    return f"{local.year:04d}-{local.month:02d}"


def value_of(row, name, zone):
    if name in {"hour", "day", "week", "month"}:
        return [bucket(name, row.start, zone)]
    if name in LISTS:
        members = row.entry.get(LISTS[name]) or []
        return [member for member in dict.fromkeys(members) if member is not None] or [None]
    if name.startswith("attributes."):
        value = (row.entry.get("attributes") or {}).get(name.removeprefix("attributes."))
        return [
            value if value is None or (isinstance(value, str) and not is_json(value)) else json.dumps(value)
        ]
    aliases = {"project": "project_id", "chat": "chat_id", "user": "user_id"}
    value = row.entry
    for part in aliases.get(name, name).split("."):
        value = (value or {}).get(part)
    return [value if value is None else str(value)]


def is_json(text):
    """Say whether a text reads like the JSON of something."""
    try:
        return json.loads(text) is not None
    except ValueError:
        return False


def rank_of(row, name, label):
    """What a group is put in order by: the moment or the number itself where it is one; what is absent comes last."""
    if label is None:
        return (1,)
    if name == "hour":
        return (0, row.start.replace(minute=0, second=0, microsecond=0))
    value = row.entry
    for part in name.split("."):
        value = (value or {}).get(part)
    if isinstance(value, (int, float)):
        return (0, 0, Fraction(value))
    return (0, 1, label) if name.startswith("attributes.") else (0, label)


def answer(lines, *, now, zone="UTC", start=None, end=None, group_by=(), project=None, chat=None):
    zone = ZoneInfo(zone)
    rows = requests_of(lines)
    last = last_of_calls(rows)
    asked = [
        r for r in rows
        if (start is None or r.start >= start) and (end is None or r.start < end)
        and (project is None or r.entry["project_id"] == project)
        and (chat is None or r.entry["chat_id"] == chat)
    ]  # fmt: skip
    groups, ranks = defaultdict(list), {}
    for row in asked:
        keys = [()]
        for name in group_by:
            keys = [(*key, value) for key in keys for value in value_of(row, name, zone)]
        for key in keys:
            groups[key].append(row)
            ranks[key] = tuple(rank_of(row, *part) for part in zip(group_by, key, strict=True))
    models = defaultdict(list)
    for row in asked:
        models[row.entry["model"]].append(row)
    return {
        "summary": figures(asked, last, now),
        "groups": {key: figures(members, last, now) for key, members in groups.items()} if group_by else {},
        "order": sorted(ranks, key=ranks.get) if group_by else [],
        "models": {key: figures(members, last, now) for key, members in models.items()},
    }


def assert_same(figures, expected, where=""):
    """Hold the reader's figures against the oracle's; floats within 1e-9 of the exact fraction."""
    for name, value in expected.items():
        got = getattr(figures, name)
        if isinstance(value, dict) and "n" in value:
            for part, number in value.items():
                same(getattr(got, part), number, f"{where}{name}.{part}")
        else:
            same(got, value, f"{where}{name}")


def same(got, expected, where):
    if isinstance(expected, Fraction) or isinstance(got, float):
        assert got is not None, where
        allowed = Fraction(1, 10**9) * (1 + abs(Fraction(expected)))
        assert abs(Fraction(got) - Fraction(expected)) <= allowed, f"{where}: {float(expected)}, got {got}"
    else:
        assert got == expected, f"{where}: expected {expected!r}, got {got!r}"


def write_log(root: Path, lines, segments=None):
    """Write lines into their logs under a root; `segments` says in which segment each goes, the highest is active."""
    from llm_logging.files.layout import Layout, LogKind
    from llm_logging.files.segments import segment_name

    grouped = defaultdict(list)
    for number, item in enumerate(lines):
        grouped[item["log"], segments[number] if segments else 0].append(item["line"])
    last = max((place for _, place in grouped), default=0)
    for (log, place), values in grouped.items():
        active = Layout(root).path(LogKind.REQUESTS, log)
        active.parent.mkdir(parents=True, exist_ok=True)
        sealed = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=place)
        path = active if place == last else active.with_name(segment_name("llm_requests", sealed, 1))
        with path.open("ab") as file:
            for value in values:
                file.write(json.dumps(value, separators=(",", ":")).encode() + b"\n")
