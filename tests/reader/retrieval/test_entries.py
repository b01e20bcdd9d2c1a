"""Retrieval gives exactly what the statistics count, page by page."""

import json
import random
import uuid
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_logging.errors import ErrorCode, NotFoundError, ValidationError
from llm_logging.files.layout import LogKind
from llm_logging.models.query import StatsOptions, StatsScope
from llm_logging.reader.entries import get_llm_request_logs, get_request_log
from llm_logging.reader.stats import get_stats
from tests.reader.retrieval.builders import START, line, save, stamp


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Keep the user's cache folder out of the tests."""
    monkeypatch.setenv("LLM_LOGGING_CACHE", str(tmp_path / "cache of the test"))


def everything(root, limit=50, **options):
    entries, cursor = [], None
    for _ in range(10_000):
        page = get_llm_request_logs(root=root, limit=limit, cursor=cursor, **options)
        assert len(page.entries) <= limit
        entries += page.entries
        cursor = page.cursor
        if cursor is None:
            return entries
    raise AssertionError("pages never end")


def tokens(number, prompt, completion):
    return {
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }
    }


def test_an_attribute_that_the_last_line_lacks_comes_from_another_as_in_the_statistics(tmp_path):
    path = tmp_path / "log.jsonl"
    lines = [
        line(1, 1, status="pending", attributes={"t": 7, "u": 1, "v": None}),
        line(1, 2, attributes={"t": None, "u": 2}),
    ]
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    entry = get_llm_request_logs(files=path).entries[0]
    assert entry.attributes == {"t": 7, "u": 2, "v": None}
    for where in ("attributes.t=7", "attributes.u=2"):
        assert get_stats(None, StatsOptions(where=where), files=path, cache=False).summary.total_requests == 1


@pytest.mark.parametrize(
    ("first", "last", "winner"),
    [("1", "2", "b"), ("10", "9", "a"), (True, 5, "b"), (2.0, 1, "a"), (-1, -2, "b"), (1.5, 0, "b")],
)
def test_the_number_of_a_line_counts_as_in_the_statistics(tmp_path, first, last, winner):
    path = tmp_path / "log.jsonl"
    lines = [line(1, first, at=5, user_id="a"), line(1, last, at=6, user_id="b")]
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    assert get_llm_request_logs(files=path).entries[0].user_id == winner
    rows = get_stats(None, StatsOptions(group_by="user"), files=path, cache=False).breakdown
    assert [row.group["user"] for row in rows] == [winner]


def test_entries_are_folded_typed_and_newest_first(tmp_path):
    lines = []
    for number in range(6):
        lines.append(
            line(number, 2 * number + 1, status="pending", attributes={"a": 1, "b": "early"}, user_id="u")
        )
        lines.append(
            line(number, 2 * number + 2, at=3, attributes={"b": "late"}, **tokens(number, number, 1))
        )
    save(tmp_path, lines, cuts=[3, 7])
    entries = everything(tmp_path, limit=4)
    assert [entry.message for entry in entries] == [f"call {n}" for n in reversed(range(6))]
    first = entries[0]
    assert first.status == "success"
    assert first.user_id == "u"
    assert first.attributes == {"a": 1, "b": "late"}
    assert first.usage.total_tokens == 6
    assert first.lines == 2
    assert first.timestamp_start == START + timedelta(minutes=5)
    assert first.logged_at == START + timedelta(minutes=5, seconds=3)


def test_content_is_joined_where_it_is_kept(tmp_path):
    save(tmp_path, [line(n, n + 1) for n in range(3)])
    kept = [
        {
            **line(n, n + 1),
            "event_type": "llm_content",
            "messages": [{"role": "user", "content": f"q{n}"}],
            "response": f"r{n}",
        }
        for n in (0, 2)
    ]
    save(tmp_path, kept, kind=LogKind.CONTENT, cuts=[1])
    assert [(e.messages, e.response) for e in everything(tmp_path)] == [
        ([{"role": "user", "content": "q2"}], "r2"),
        (None, None),
        ([{"role": "user", "content": "q0"}], "r0"),
    ]
    assert all(e.messages is None for e in everything(tmp_path, content=False))


def test_filters_are_those_of_the_statistics(tmp_path):
    lines = [
        line(
            n,
            n + 1,
            status="error" if n % 3 == 0 else "success",
            timings={"latency_ms": 100.0 * n},
            attributes={"tenant": "a" if n % 2 else "b"},
        )
        for n in range(12)
    ]
    save(tmp_path, lines)

    def numbers(filters):
        return sorted(int(entry.message.split()[1]) for entry in everything(tmp_path, filters=filters))

    assert numbers("status=error") == [0, 3, 6, 9]
    assert numbers(["status=error", "latency_ms>500"]) == [6, 9]
    assert numbers({"status": "error", "attributes.tenant": "a"}) == [3, 9]
    assert numbers({"where": "latency_ms>=1100"}) == [11]
    assert numbers({"from_date": "2026-01-10T00:05Z", "to_date": "2026-01-10T00:07Z"}) == [5, 6]
    assert numbers(StatsOptions(where="status=error", group_by="model")) == [0, 3, 6, 9]
    with pytest.raises(ValidationError):
        get_llm_request_logs(root=tmp_path, filters="beauty=1")


def test_scopes(tmp_path):
    save(tmp_path, [line(0, 1), line(1, 2, chat_id="d")])
    save(tmp_path, [line(2, 1, project_id="blog")], project="blog")

    def found(**scope):
        page = get_llm_request_logs(StatsScope(**scope), root=tmp_path)
        return sorted(int(entry.message.split()[1]) for entry in page.entries)

    assert found() == [0, 1, 2]
    assert found(type="project", project_id="shop") == [0, 1]
    assert found(type="chat", project_id="shop", chat_id="d") == [1]
    with pytest.raises(NotFoundError) as caught:
        found(type="project", project_id="none")
    assert caught.value.code is ErrorCode.PROJECT_NOT_FOUND


@pytest.mark.parametrize("limit", [0, -1, 10_001, True, "5"])
def test_a_wrong_limit_is_refused(tmp_path, limit):
    save(tmp_path, [line(0, 1)])
    with pytest.raises(ValidationError, match="limit: expected a whole number from 1 to 10,000"):
        get_llm_request_logs(root=tmp_path, limit=limit)


@pytest.mark.parametrize(
    "cursor", ["", "x", "!!!", "W10", "WyJzZWFyY2giLDEsInNvbWV0aGluZyJd", "WyJyZXF1ZXN0cyIsMSwibm8gdXVpZCJd"]
)
def test_a_wrong_cursor_is_refused(tmp_path, cursor):
    save(tmp_path, [line(0, 1)])
    with pytest.raises(ValidationError, match="cursor: expected one that an earlier page gave"):
        get_llm_request_logs(root=tmp_path, cursor=cursor)


def test_what_comes_later_moves_no_page(tmp_path):
    lines = [line(n, n + 1) for n in range(10)]
    save(tmp_path, lines)
    first = get_llm_request_logs(root=tmp_path, limit=4)
    save(tmp_path, lines + [line(n, n + 1) for n in range(10, 14)], cuts=[5, 9])
    second = get_llm_request_logs(root=tmp_path, limit=4, cursor=first.cursor)
    assert [e.message for e in second.entries] == [f"call {n}" for n in (5, 4, 3, 2)]


@pytest.mark.parametrize("wrong", ["garbage", "10000-01-01T00:00:00Z", "0001-01-01T00:00:00+05:00"])
def test_a_request_whose_times_cannot_be_read_has_none(tmp_path, wrong):
    fields = {
        "timestamp": wrong,
        "timestamp_start": wrong,
        "timestamp_end": wrong,
        "timings": {"latency_ms": 5.0},
    }
    save(tmp_path, [line(0, 1, **fields)])
    (found,) = get_llm_request_logs(root=tmp_path).entries
    assert (found.timestamp_start, found.timestamp_end, found.logged_at) == (None, None, None)
    assert found.attributes == {"invalid": {"timestamp_start": wrong, "timestamp_end": wrong}}
    assert found.timings.latency_ms == 5.0
    assert "timestamp_start" not in json.loads(found.model_dump_json(exclude_none=True))


def test_an_end_tells_when_a_request_started(tmp_path):
    fields = {
        "timestamp": None,
        "timestamp_start": None,
        "timestamp_end": stamp(START),
        "timings": {"latency_ms": 500.0},
    }
    save(tmp_path, [line(0, 1, **fields)])
    (found,) = get_llm_request_logs(root=tmp_path).entries
    assert found.timestamp_start == START - timedelta(milliseconds=500)
    assert found.timestamp_end == START


def test_one_call_seen_twice_is_one_entry_with_the_fields_of_both(tmp_path):
    same = {"provider": "openai", "provider_response_id": "resp-1"}
    lines = [
        line(0, 1, **same, at=1, instrumentation="httpx", **tokens(0, 10, 5)),
        line(
            1,
            2,
            **same,
            at=2,
            instrumentation="litellm",
            user_id="u",
            timestamp_start=stamp(START),
        ),
        line(2, 3, at=3),
    ]
    save(tmp_path, lines)
    entries = everything(tmp_path)
    assert len(entries) == 2
    folded = next(entry for entry in entries if entry.provider_response_id)
    assert folded.user_id == "u"
    assert folded.usage.total_tokens == 15
    assert get_stats(root=tmp_path).summary.total_requests == 2


def test_lines_of_other_shapes_are_read_as_the_statistics_read_them(tmp_path):
    flat = {
        "timestamp": stamp(START),
        "request_id": str(uuid.UUID(int=77)),
        "model": "gpt-4o",
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "latency_ms": 12,
    }
    no_id = {
        "timestamp": stamp(START),
        "event_type": "llm_request",
        "model": "m",
        "usage": {"prompt_tokens": 5, "completion_tokens": 0},
    }
    text_id = {**line(1, 1), "id": "my own id", **tokens(1, 2, 2)}
    capital = {**line(2, 2), "id": str(uuid.UUID(int=2**127 - 1)).upper(), **tokens(2, 1, 1)}
    wrong = {**line(3, 3), "usage": {"prompt_tokens": "6", "completion_tokens": -1}, "http_status": "teapot"}
    nothing = [b"", b"\0\0\0", b"plain text", b"{torn", b"[1]", b'{"event_type":"log","message":"x"}']
    path = tmp_path / "mixed.jsonl"
    items = [flat, no_id, text_id, capital, wrong, *nothing]
    path.write_bytes(
        b"\xef\xbb\xbf" + b"\r\n".join(i if isinstance(i, bytes) else json.dumps(i).encode() for i in items)
    )
    stats = get_stats(files=str(path)).summary
    page = get_llm_request_logs(files=str(path))
    assert len(page.entries) == stats.total_requests == 5
    assert sum(e.usage.prompt_tokens or 0 for e in page.entries if e.usage) == stats.prompt_tokens
    by_model = {e.message or e.model: e for e in page.entries}
    assert by_model["m"].project_id is None
    assert by_model["call 1"].attributes["id"] == "my own id"
    assert by_model["call 3"].attributes["invalid"]["http_status"] == "teapot"
    assert by_model["call 2"].id == capital["id"].lower()


def test_one_request_is_found_by_its_id_or_how_it_begins(tmp_path):
    ids = ["aaaabbbb-0000-4000-8000-000000000001", "aaaacccc-0000-4000-8000-000000000002"]
    lines = [
        line(0, 1, id=ids[0], status="pending"),
        line(1, 2, id=ids[1]),
        line(0, 3, id=ids[0], at=5, parent_id=ids[1]),
    ]
    save(tmp_path, lines, cuts=[2])
    for text in (
        ids[0],
        ids[0].upper(),
        ids[0].replace("-", ""),
        "aaaab",
        "AAAAB",
        "0001",
        "4000-8000-000000000001",
    ):
        entry, raw = get_request_log(text, root=tmp_path)
        assert (entry.id, entry.lines, len(raw)) == (ids[0], 2, 2)
    with pytest.raises(ValidationError, match="the beginning or the end of one id"):
        get_request_log("aaaa", root=tmp_path)
    for text in ("none", "aaa", str(uuid.UUID(int=5)), "app", "shop", "w"):
        with pytest.raises(NotFoundError) as caught:
            get_request_log(text, root=tmp_path)
        assert caught.value.code is ErrorCode.REQUEST_NOT_FOUND


HISTORY = st.lists(
    st.fixed_dictionaries(
        {
            "number": st.integers(0, 6),
            "status": st.sampled_from(["pending", "success", "error", "timeout"]),
            "writer": st.sampled_from(["w", "x"]),
            "at": st.integers(-3, 3),
            "tokens": st.none() | st.tuples(st.integers(0, 50), st.integers(0, 50)),
            "response": st.sampled_from([None, None, "r1", "r2"]),
            "instrumentation": st.sampled_from([None, "httpx", "litellm"]),
            "latency": st.none() | st.integers(1, 5000),
            "start": st.integers(-2, 2),
        }
    ),
    min_size=1,
    max_size=14,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    HISTORY, st.lists(st.integers(0, 14), max_size=3), st.integers(1, 4), st.randoms(use_true_random=False)
)
def test_any_history_gives_the_entries_that_the_statistics_count(tmp_path_factory, history, cuts, limit, rng):
    root = tmp_path_factory.mktemp("root")
    seqs = {"w": 0, "x": 0}
    lines = []
    for item in history:
        seqs[item["writer"]] += 1
        fields = {}
        if item["tokens"] is not None:
            fields = tokens(0, *item["tokens"])
        if item["response"] is not None:
            fields |= {"provider": "p", "provider_response_id": item["response"]}
            fields |= {"instrumentation": item["instrumentation"]} if item["instrumentation"] else {}
        if item["latency"] is not None:
            fields["timings"] = {"latency_ms": float(item["latency"])}
        start = START + timedelta(minutes=item["number"], seconds=item["start"])
        lines.append(
            line(item["number"], seqs[item["writer"]], status=item["status"], writer=item["writer"], at=item["at"],
                 **{**fields, "timestamp_start": stamp(start)})
        )  # fmt: skip
    save(root, lines, cuts=[cut for cut in cuts if cut <= len(lines)])
    stats = get_stats(root=root)
    entries = everything(root, limit=limit)
    assert len({entry.id for entry in entries}) == len(entries)
    keys = [(entry.timestamp_start, uuid.UUID(entry.id)) for entry in entries]
    assert keys == sorted(keys, reverse=True)
    summary = stats.summary
    finished = [entry for entry in entries if entry.status != "pending"]
    assert len(finished) == summary.total_requests
    assert len(entries) - len(finished) == summary.pending_requests
    assert sum(entry.status == "success" for entry in entries) == summary.successful_requests
    assert sum(entry.usage.prompt_tokens or 0 for entry in entries if entry.usage) == summary.prompt_tokens
    assert sum(entry.usage.total_tokens or 0 for entry in entries if entry.usage) == summary.total_tokens
    latencies = [
        entry.timings.latency_ms
        for entry in finished
        if entry.timings and entry.timings.latency_ms is not None
    ]
    assert len(latencies) == summary.latency_ms.n
    if latencies:
        assert max(latencies) == summary.latency_ms.max
        assert min(latencies) == summary.latency_ms.min
    assert min(entry.timestamp_start for entry in entries) == summary.first_request
    assert sum(entry.lines for entry in entries) == len(lines)


def test_memory_does_not_grow_with_the_history(tmp_path):
    import tracemalloc

    rng = random.Random(7)
    filler = "x" * 2000
    lines = [line(n, n + 1, attributes={"pad": f"{rng.random()}{filler}"}) for n in range(6000)]
    save(tmp_path, lines, cuts=[2000, 4000])
    get_llm_request_logs(root=tmp_path, limit=5)
    tracemalloc.start()
    page = get_llm_request_logs(root=tmp_path, limit=5)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(page.entries) == 5
    # The files hold 13 MB.
    assert peak < 6_000_000
