"""What is deleted: the oldest first, with all its files, never the active one; and nothing that still fits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from llm_logging import ValidationError
from llm_logging.files.segments import list_segments, segment_name
from llm_logging.maintenance.retention import Retention, apply_retention, prune

NOW = datetime.now(UTC)


def log(folder: Path, ages: list[int], *, size: int = 100, name: str = "llm_requests") -> Path:
    """Make a log with segments sealed so many days ago, and an active file."""
    folder.mkdir(parents=True, exist_ok=True)
    for age in ages:
        (folder / segment_name(name, NOW - timedelta(days=age), 1)).write_bytes(b"x" * (size - 1) + b"\n")
    active = folder / f"{name}.jsonl"
    active.write_bytes(b"x" * (size - 1) + b"\n")
    return active


def ages(active: Path) -> list[int]:
    """Return the ages in days of what is left, oldest first; the active file must be."""
    segments = list_segments(active, superseded=True)
    assert segments[-1].active
    return [round((NOW - s.sealed_at).total_seconds() / 86400) for s in segments if s.sealed_at]


@pytest.mark.parametrize(
    ("retention", "left"),
    [
        (Retention(), [9, 7, 5, 3, 1]),
        (Retention(backup_count=2), [3, 1]),
        (Retention(backup_count=9), [9, 7, 5, 3, 1]),
        (Retention(max_age=timedelta(days=4)), [3, 1]),
        (Retention(max_total_bytes=400), [5, 3, 1]),
        (Retention(max_total_bytes=399), [3, 1]),
        (Retention(max_total_bytes=1), []),
        (Retention(backup_count=4, max_age=timedelta(days=6), max_total_bytes=300), [3, 1]),
    ],
)
def test_each_bound_keeps_the_newest(tmp_path, retention, left):
    active = log(tmp_path / "logs", [9, 7, 5, 3, 1])
    apply_retention(active, retention)
    assert ages(active) == left
    assert active.exists()


def test_the_bound_of_the_root_takes_the_oldest_of_all_logs(tmp_path):
    one = log(tmp_path / "projects/a/logs", [9, 3])
    two = log(tmp_path / "projects/b/logs", [7, 1])
    apply_retention(one, Retention(max_root_bytes=400), root=tmp_path)
    assert (ages(one), ages(two)) == ([3], [1])


def test_content_may_have_an_age_of_its_own(tmp_path):
    retention = Retention(max_age=timedelta(days=8), content_max_age=timedelta(days=2))
    content = log(tmp_path / "projects/a/logs", [9, 3, 1], name="llm_content")
    numbers = log(tmp_path / "projects/a/logs", [9, 3, 1])
    chat = log(tmp_path / "projects/a/chats", [3, 1], name="c-1")
    for active in (content, numbers, chat):
        apply_retention(active, retention)
    assert (ages(content), ages(numbers), ages(chat)) == ([1], [3, 1], [1])


def test_a_segment_goes_with_all_its_files(tmp_path):
    active = log(tmp_path / "logs", [5, 1])
    old = list_segments(active)[0].path
    old.with_name(f"{old.name}.gz").write_bytes(b"half compressed")
    apply_retention(active, Retention(backup_count=1))
    assert ages(active) == [1]
    assert not list((tmp_path / "logs").glob("*.gz"))


def test_pruning_says_what_it_would_do_and_does_it(tmp_path):
    active = log(tmp_path / "projects/a/logs", [9, 5, 1])
    would = prune(tmp_path, older_than=timedelta(days=4), max_bytes=100, dry_run=True)
    assert (len(would.removed), would.removed_bytes, would.kept_bytes) == (3, 300, 100)
    assert ages(active) == [9, 5, 1]
    done = prune(tmp_path, older_than=timedelta(days=4), max_bytes=100)
    assert done.removed == would.removed
    assert ages(active) == []
    assert active.exists()


@pytest.mark.parametrize("bounds", [{}, {"max_bytes": -1}, {"older_than": timedelta(-1)}])
def test_bounds_that_make_no_sense_are_refused(tmp_path, bounds):
    with pytest.raises(ValidationError):
        prune(tmp_path, **bounds)
