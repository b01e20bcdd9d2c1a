"""Histories of requests, written by Hypothesis."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from tests.reader import oracle

NOW = datetime(2026, 4, 1, 12, tzinfo=UTC)


# Around days of 23 and 25 hours in those zones, ISO year ends, and now.
MOMENTS = tuple(
    datetime(*at, tzinfo=UTC)
    for at in (
        (2026, 3, 29, 0, 30), (2026, 3, 29, 1, 30), (2025, 10, 26, 0, 30), (2025, 10, 26, 1, 30),
        (2025, 11, 2, 5, 30), (2026, 3, 8, 7), (2026, 4, 4, 15), (2025, 12, 28, 23, 59), (2025, 12, 29),
        (2026, 1, 1), (2026, 1, 4, 23, 30), (2026, 1, 5), (2026, 4, 1, 11, 30), (2025, 9, 7, 4),
    )
)  # fmt: skip


tokens = st.one_of(st.none(), st.integers(0, 5000))


millis = st.one_of(st.none(), st.integers(0, 60_000_000).map(lambda n: n / 1000))


@st.composite
def usages(draw):
    prompt, completion = draw(tokens), draw(tokens)
    read = draw(st.one_of(st.none(), st.integers(0, prompt or 0)))
    write = draw(st.one_of(st.none(), st.integers(0, (prompt or 0) - (read or 0))))
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "cache_read_tokens": read,
        "cache_write_tokens": write,
        "cache_write_1h_tokens": draw(st.one_of(st.none(), st.integers(0, write or 0))),
        "reasoning_tokens": draw(st.one_of(st.none(), st.integers(0, completion or 0))),
        "source": draw(st.sampled_from([None, "provider", "partial", "estimated"])),
    }
    return {key: value for key, value in usage.items() if value is not None} or None


@st.composite
def entries(draw, ids, groups):
    start = draw(st.sampled_from(MOMENTS)) + timedelta(microseconds=draw(st.integers(0, 7_200_000_000)))
    status = draw(st.sampled_from(["pending", "success", "success", "error", "timeout"]))
    entry = {
        "id": draw(st.sampled_from(ids)),
        "project_id": "shop",
        "chat_id": draw(st.sampled_from(["c-1", "c-2"])),
        "model": draw(st.sampled_from(["gpt-4o", "claude-sonnet-4-20250514", "mystery-1"])),
        "provider": draw(st.sampled_from([None, "openai", "anthropic"])),
        "user_id": draw(st.sampled_from([None, "ann", "bob"])),
        "request_group": draw(st.sampled_from([None, *groups])),
        "attempt": draw(st.sampled_from([None, 1, 2, 3])),
        "provider_response_id": draw(st.sampled_from([None, None, None, "resp-1", "resp-2"])),
        "instrumentation": draw(st.sampled_from([None, "httpx", "litellm", "langchain"])),
        "trace_id": draw(st.sampled_from([None, None, "t-1"])),
        "span_id": draw(st.sampled_from([None, "s-1", "s-2"])),
        "status": status,
        "http_status": draw(st.sampled_from([None, 200, 429, 500])),
        "timestamp_start": oracle.stamp(start),
        "timings": draw(
            st.fixed_dictionaries({}, optional={"latency_ms": millis, "time_to_first_token_ms": millis})
        ),
        "usage": draw(st.one_of(st.none(), usages())),
        "tags": draw(st.sampled_from([None, [], [None], ["a"], ["a", "b"], ["b", "a", "b"], ["a", None]])),
        "attributes": draw(st.sampled_from([None, *({"n": n} for n in (2, 10, -1.5, 1e22, "10b", "007"))])),
        "touched_files": draw(st.sampled_from([None, ["x"], ["x", "y"], ["z", "y", "x"]])),
    }
    entry["timings"] = {k: v for k, v in entry["timings"].items() if v is not None} or None
    if status in {"error", "timeout"}:
        entry["error"] = draw(
            st.sampled_from([None, {"code": "cancelled"}, {"code": "rate_limited"}, {"type": "APIError"}])
        )
    return {key: value for key, value in entry.items() if value is not None}


_ALWAYS = {"id", "project_id", "chat_id", "model", "timestamp_start"}


@st.composite
def histories(draw):
    ids = [str(uuid.UUID(int=n + 1, version=4)) for n in range(draw(st.integers(1, 8)))]
    groups = ["call-1", "call-2"]
    count = draw(st.integers(0, 20))
    lines = []
    sequences = {}
    for number in range(count):
        writer = draw(st.sampled_from([None, "w1", "w2"]))
        entry = draw(entries(ids, groups))
        written = [entry]
        if entry["status"] != "pending" and draw(st.booleans()):
            # As `log.request` writes it: a pending line first, with what was known then, or something else.
            known = draw(st.sets(st.sampled_from(sorted(entry))))
            begun = {key: value for key, value in entry.items() if key in _ALWAYS | known}
            begun |= {"status": "pending"} | draw(
                st.sampled_from([{}, {}, {"user_id": "eve"}, {"tags": ["c"]}])
            )
            written.insert(0, begun)
        for one in written:
            seq = None
            if writer is not None:
                seq = sequences[writer] = sequences.get(writer, 0) + 1
            # Times of writing are distinct, not in order: clocks are set back.
            offset = timedelta(seconds=draw(st.integers(-5000, 5000)), microseconds=len(lines))
            lines.append(oracle.line(one, "shop", writer, seq, oracle.stamp(MOMENTS[0] + offset)))
    order = draw(st.permutations(range(len(lines))))
    segments = [draw(st.integers(0, 3)) for _ in lines]
    return [lines[place] for place in order], segments
