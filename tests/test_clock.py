"""Times and ids."""

from __future__ import annotations

import multiprocessing
import threading
import uuid
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from llm_logging.clock import Clock, clock, format_micros, format_time

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(
    st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)),
    st.integers(-14 * 60, 14 * 60),
)
def test_a_time_comes_back_from_its_text_whatever_its_zone(value: datetime, minutes: int) -> None:
    text = format_time(value.astimezone(timezone(timedelta(minutes=minutes))))
    assert datetime.fromisoformat(text) == value
    assert len(text) == len("2026-01-15T10:00:00.000000Z")
    assert text.endswith("Z")


@given(st.integers(0, 4 * 10**15))
def test_microseconds_are_written_as_times_are(micros: int) -> None:
    assert format_micros(micros) == format_time(EPOCH + timedelta(microseconds=micros))


@given(st.datetimes(timezones=st.just(UTC)), st.datetimes(timezones=st.just(UTC)))
def test_texts_sort_as_times_do(first: datetime, second: datetime) -> None:
    assert (format_time(first) < format_time(second)) == (first < second)


def test_ids_are_random_uuids_of_version_four() -> None:
    ids = {clock().new_id() for _ in range(2000)}
    assert len(ids) == 2000
    for text in ids:
        parsed = uuid.UUID(text)
        assert (str(parsed), parsed.version, parsed.variant) == (text, 4, uuid.RFC_4122)


def test_threads_and_children_draw_different_ids() -> None:
    seen: list[str] = []
    threads = [
        threading.Thread(target=lambda: seen.extend(clock().new_id() for _ in range(2000))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=lambda: queue.put([clock().new_id() for _ in range(50)]))
    child.start()
    theirs = queue.get()
    child.join()
    ours = [clock().new_id() for _ in range(50)]
    assert len({*seen, *theirs, *ours}) == 8100


def test_the_systems_clock_is_aware_and_its_seconds_never_run_back() -> None:
    own = Clock()
    assert own.now().utcoffset() == timedelta(0)
    assert own.monotonic() <= own.monotonic()
    assert own.created(12.5) == 12.5
