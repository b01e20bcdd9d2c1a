"""Searching and events: newest first, page by page, each thing once."""

import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_logging.errors import NotFoundError, ValidationError
from llm_logging.files.layout import Layout, LogKind
from llm_logging.models.entry import ChatMessage
from llm_logging.models.query import StatsScope
from llm_logging.reader.events import LoggedEvent, get_system_logs
from llm_logging.reader.retrieval.request_log import RequestLog
from llm_logging.reader.search import search_logs
from tests.reader.retrieval.builders import START, line, save, stamp


def event(number, *, seq=None, kind="log", level="INFO", message=None, **fields):
    return {
        "v": 1,
        "timestamp": stamp(START + timedelta(minutes=number)),
        "level": level,
        "logger": "app",
        "message": f"event {number}" if message is None else message,
        "event_type": kind,
        "writer": {"id": "w", "seq": number + 1 if seq is None else seq},
        **fields,
    }


def pages(call, limit, **options):
    found, cursor = [], None
    for _ in range(1000):
        page = call(limit=limit, cursor=cursor, **options)
        items = page.hits if hasattr(page, "hits") else page.entries
        assert len(items) <= limit
        found += items
        cursor = page.cursor
        if cursor is None:
            return found
    raise AssertionError("pages never end")


def search(root, text, limit=50, **options):
    return pages(lambda **more: search_logs(text, root=root, **more), limit, **options)


def test_a_text_is_found_in_requests_content_chats_and_events(tmp_path):
    save(
        tmp_path,
        [line(0, 1, error={"code": "x", "message": "Needle in the error"}, status="error"), line(1, 2)],
    )
    content = {
        **line(1, 1),
        "event_type": "llm_content",
        "messages": [{"role": "user", "content": "where is the needle?"}],
    }
    save(tmp_path, [content], kind=LogKind.CONTENT)
    save(tmp_path, [event(5, data={"needle": 1})], kind=LogKind.EVENTS)
    chat = {
        **event(6, kind="chat_message"),
        "id": "m1",
        "project_id": "shop",
        "chat_id": "c",
        "role": "user",
        "content": "NEEDLE",
    }
    path = Layout(tmp_path).path(LogKind.CHAT, "shop", "c")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(chat) + "\n")
    system = Layout(tmp_path).path(LogKind.SYSTEM)
    system.parent.mkdir(parents=True)
    system.write_text(json.dumps(event(7, message="a needle")) + "\n")
    hits = search(tmp_path, "needle", limit=2)
    assert [(hit.kind, hit.field) for hit in hits] == [
        ("event", "message"),
        ("chat_message", "content"),
        ("event", "data.needle"),
        ("llm_request", "messages.0.content"),
        ("llm_request", "error.message"),
    ]
    assert [type(hit.entry) for hit in hits] == [
        LoggedEvent,
        ChatMessage,
        LoggedEvent,
        RequestLog,
        RequestLog,
    ]
    assert hits[3].entry.messages == [{"role": "user", "content": "where is the needle?"}]
    assert [hit.kind for hit in search(tmp_path, "needle", kinds=["llm_request"])] == ["llm_request"] * 2
    only = search(tmp_path, "needle", scope=StatsScope(type="project", project_id="shop"))
    assert len(only) == 4


def test_lines_of_one_request_are_one_hit_at_the_newest(tmp_path):
    lines = []
    for number in range(5):
        lines.append(line(number, 2 * number + 1, status="pending"))
    for number in range(5):
        lines.append(line(number, 2 * number + 2, at=600))
    save(tmp_path, lines, cuts=[3, 7])
    for limit in (1, 2, 3, 50):
        hits = search(tmp_path, "call", limit=limit)
        assert [hit.entry.message for hit in hits] == [f"call {n}" for n in (4, 3, 2, 1, 0)]
        assert {hit.entry.lines for hit in hits} == {2}


@pytest.mark.parametrize(
    "text", ["straße", "STRASSE", "日本", 'say "hi"', "back\\slash", "tab\there", "😀", "42.5", "true", "é"]
)
def test_a_text_is_found_however_json_wrote_it(tmp_path, text):
    values = {
        "a": "Die Straße in 日本",
        "b": 'they say "hi" and back\\slash and tab\there',
        "c": ["😀", 42.5, True],
        "d": "CAFÉ",
    }
    save(tmp_path, [line(0, 1, attributes=values), line(1, 2)])
    active = Layout(tmp_path).path(LogKind.REQUESTS, "shop")
    assert len(search(tmp_path, text)) == 1
    plain = [json.dumps(json.loads(row), ensure_ascii=False) for row in active.read_text().splitlines()]
    active.write_text("\n".join(plain) + "\n")
    assert len(search(tmp_path, text)) == 1


def test_an_excerpt_shows_what_stands_around(tmp_path):
    save(tmp_path, [line(0, 1, attributes={"a": "x" * 500 + "NEEDLE" + "y" * 500})])
    excerpt = search(tmp_path, "needle")[0].excerpt
    assert excerpt == "…" + "x" * 60 + "NEEDLE" + "y" * 60 + "…"


def test_times_bound_the_search(tmp_path):
    save(tmp_path, [event(n, project_id="shop") for n in range(10)], kind=LogKind.EVENTS)
    hits = search(tmp_path, "event", from_date="2026-01-10T00:03Z", to_date="2026-01-10T00:06Z")
    assert [hit.entry.message for hit in hits] == ["event 5", "event 4", "event 3"]


def test_what_cannot_be_searched_is_refused(tmp_path):
    save(tmp_path, [line(0, 1)])
    for options in (
        {"text": ""},
        {"text": "x", "kinds": ["none"]},
        {"text": "x", "kinds": []},
        {"text": "x", "limit": 0},
        {"text": "x", "cursor": "x"},
    ):
        with pytest.raises(ValidationError):
            search_logs(root=tmp_path, **options)
    with pytest.raises(NotFoundError):
        search_logs("x", root=tmp_path / "none")
    with pytest.raises(NotFoundError):
        search_logs("x", StatsScope(type="project", project_id="none"), root=tmp_path)


def test_hostile_lines_neither_match_nor_break(tmp_path):
    garbage = [
        b"needle",
        b"[" * 50_000 + b"needle",
        b'{"needle":' * 5000,
        b"\xff\xfeneedle",
        b"\0needle",
        b'"needle"',
        b"{needle",
    ]
    save(tmp_path, [*garbage, line(0, 1, attributes={"a": "needle"})])
    assert [hit.field for hit in search(tmp_path, "needle")] == ["attributes.a"]


HISTORY = st.lists(
    st.tuples(
        st.integers(0, 8), st.sampled_from(["pending", "success"]), st.booleans(), st.integers(-200, 200)
    ),
    max_size=14,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(HISTORY, st.lists(st.integers(0, 14), max_size=3), st.integers(1, 4))
def test_paging_a_search_gives_each_request_once(tmp_path_factory, history, cuts, limit):
    root = tmp_path_factory.mktemp("root")
    lines = [
        line(number, seq + 1, status=status, at=at, message="needle" if holds else "other")
        for seq, (number, status, holds, at) in enumerate(history)
    ]
    save(root, lines, cuts=[cut for cut in cuts if cut <= len(lines)])
    hits = search(root, "needle", limit=limit)
    expected = {uuid.UUID(int=number + 1) for number, _, holds, _ in history if holds}
    assert sorted(uuid.UUID(hit.entry.id) for hit in hits) == sorted(expected)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 60), max_size=20), st.lists(st.integers(0, 20), max_size=3), st.integers(1, 5))
def test_paging_events_gives_each_once_in_order_also_when_clocks_jump(tmp_path_factory, minutes, cuts, limit):
    root = tmp_path_factory.mktemp("root")
    events = [event(minute, seq=seq + 1, message=str(seq)) for seq, minute in enumerate(minutes)]
    save(root, events, cuts=[cut for cut in cuts if cut <= len(events)], kind=LogKind.EVENTS)
    scope = StatsScope(type="project", project_id="shop")
    found = pages(lambda **more: get_system_logs(scope, root=root, **more), limit)
    assert sorted(int(entry.message) for entry in found) == list(range(len(minutes)))
    times = [entry.timestamp for entry in found]
    assert times == sorted(times, reverse=True)


def test_events_are_filtered_and_typed(tmp_path):
    system = Layout(tmp_path).path(LogKind.SYSTEM)
    system.parent.mkdir(parents=True)
    events = [
        event(0, level="DEBUG"),
        event(1, level="ERROR", kind="error", error_code="E1", stack="Traceback", data={"a": 1}),
        event(2, level="WARNING", kind="started"),
        {**event(3), "project_id": 5, "data": "not an object"},
        line(4, 5),
    ]
    system.write_text("".join(json.dumps(item) + "\n" for item in events) + '{"torn')

    def found(**filters):
        return [entry.message for entry in get_system_logs(filters=filters, root=tmp_path).entries]

    assert found() == ["event 3", "event 2", "event 1", "event 0"]
    assert found(level="warn") == ["event 2", "event 1"]
    assert found(event_type="started") == ["event 2"]
    assert found(error_code="E1") == ["event 1"]
    assert found(from_date="2026-01-10T00:02Z") == ["event 3", "event 2"]
    error = get_system_logs(filters={"error_code": "E1"}, root=tmp_path).entries[0]
    assert (error.stack, error.data, error.level, error.timestamp) == (
        "Traceback",
        {"a": 1},
        "ERROR",
        datetime(2026, 1, 10, 0, 1, tzinfo=UTC),
    )
    with pytest.raises(ValidationError, match="filters: expected some of"):
        found(beauty=1)
    with pytest.raises(ValidationError, match="level: expected one of"):
        found(level="loud")


def test_a_chat_has_the_events_that_name_it(tmp_path):
    save(
        tmp_path,
        [event(0, chat_id="c", project_id="shop"), event(1, chat_id="d", project_id="shop")],
        kind=LogKind.EVENTS,
    )
    page = get_system_logs(StatsScope(type="chat", project_id="shop", chat_id="d"), root=tmp_path)
    assert [entry.message for entry in page.entries] == ["event 1"]
    assert get_system_logs(root=tmp_path).entries == []


def test_old_segments_are_not_opened_for_a_page_of_new_lines(tmp_path, monkeypatch):
    from llm_logging.reader.retrieval import paging as newest

    save(tmp_path, [event(n, project_id="shop") for n in range(40)], cuts=[10, 20, 30], kind=LogKind.EVENTS)
    opened = []
    reading = newest.read_lines
    monkeypatch.setattr(
        newest, "read_lines", lambda path, **options: opened.append(path) or reading(path, **options)
    )
    scope = StatsScope(type="project", project_id="shop")
    assert len(get_system_logs(scope, limit=5, root=tmp_path).entries) == 5
    assert len(opened) == 1
