"""The manifest, and what `verify` makes of every way to tamper with a log."""

import gzip
import json
import multiprocessing
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_logging.errors import FileSystemError, NotFoundError
from llm_logging.files.compression import compress_segment
from llm_logging.files.segments import segment_name
from llm_logging.maintenance.manifest import manifest_path
from llm_logging.maintenance.manifest_notes import (
    read_manifest,
    record_removed,
    record_rewritten,
    record_sealed,
)
from llm_logging.maintenance.verify import verify

KEY = b"k" * 16


def lines(number: int, count: int = 3, writer: str = "w") -> bytes:
    return b"".join(
        json.dumps(
            {
                "timestamp": f"2026-01-01T00:00:{number:02}.{step:06}Z",
                "writer": {"id": writer, "seq": number * 10 + step},
            }
        ).encode()
        + b"\n"
        for step in range(count)
    )


def make(active: Path, number: int, count: int = 3) -> Path:
    active.parent.mkdir(parents=True, exist_ok=True)
    path = active.with_name(segment_name("events", datetime(2026, 1, 1, 0, 0, number, tzinfo=UTC), 1))
    path.write_bytes(lines(number, count))
    return path


@pytest.fixture
def log(tmp_path):
    """Five sealed segments, signed, and an active file."""
    active = tmp_path / "projects" / "p" / "logs" / "events.jsonl"
    segments = [make(active, number) for number in range(1, 6)]
    for segment in segments:
        record_sealed(active, segment, key=KEY)
    active.write_bytes(lines(6))
    return tmp_path, active, segments


def problems(root, **options):
    return [
        (finding.problem, Path(finding.where).name) for finding in verify(root, key=KEY, **options).findings
    ]


def test_an_entry_says_what_the_segment_holds(log):
    _, active, segments = log
    entry = read_manifest(active)[1]
    assert entry.model_dump(include={"action", "segment", "size", "lines", "first", "last"}) == {
        "action": "sealed",
        "segment": segments[1].name,
        "size": len(lines(2)),
        "lines": 3,
        "first": "2026-01-01T00:00:02.000000Z",
        "last": "2026-01-01T00:00:02.000002Z",
    }
    assert entry.writers["w"].model_dump() == {"first": 20, "last": 22, "count": 3}


def test_what_nobody_touched_is_well(log):
    root, _, segments = log
    report = verify(root, key=KEY)
    assert report.ok
    assert report.logs[0].sealed == 5
    assert report.logs[0].not_sealed == ["projects/p/logs/events.jsonl"]
    # Compressing later changes nothing.
    compress_segment(segments[2], "gz")
    assert verify(root, key=KEY).ok


def test_the_manifest_is_private(log):
    _, active, _ = log
    assert stat.S_IMODE(manifest_path(active).stat().st_mode) == 0o600


def test_a_changed_segment_is_named(log):
    root, _, segments = log
    data = bytearray(segments[2].read_bytes())
    data[40] ^= 1
    segments[2].write_bytes(data)
    assert problems(root) == [("changed", segments[2].name)]


def test_a_longer_a_shorter_and_a_broken_segment_are_named(log):
    root, _, segments = log
    segments[0].write_bytes(segments[0].read_bytes() + b"{}\n")
    segments[1].write_bytes(b"")
    packed = compress_segment(segments[2], "gz")
    packed.write_bytes(packed.read_bytes()[:-9])
    assert problems(root) == [
        ("changed", segments[0].name),
        ("changed", segments[1].name),
        ("unreadable", segments[2].name),
    ]


def test_a_removed_segment_is_named_unless_it_was_noted(log):
    root, active, segments = log
    segments[1].unlink()
    assert problems(root) == [("removed", segments[1].name)]
    record_removed(active, [segments[0]], reason="older than 1 day", key=KEY)
    segments[0].unlink()
    assert problems(root) == [("removed", segments[1].name)]
    assert read_manifest(active)[-1].writers["w"].count == 3


def test_an_inserted_segment_is_named(log):
    root, active, _ = log
    extra = active.with_name(segment_name("events", datetime(2026, 1, 1, 0, 0, 2, tzinfo=UTC), 2))
    extra.write_bytes(lines(9))
    assert problems(root) == [("inserted", extra.name)]


def test_exchanged_segments_are_named(log):
    root, _, segments = log
    first, second = segments[0].read_bytes(), segments[3].read_bytes()
    segments[0].write_bytes(second)
    segments[3].write_bytes(first)
    assert problems(root) == [("reordered", segments[0].name), ("reordered", segments[3].name)]


def test_a_segment_that_was_pruned_and_is_there_again_is_named(log):
    root, active, segments = log
    record_removed(active, [segments[0]], reason="prune", key=KEY)
    assert problems(root) == [("restored", segments[0].name)]


def test_a_newer_segment_is_only_not_sealed_yet(log):
    root, active, _ = log
    make(active, 7)
    report = verify(root, key=KEY)
    assert report.ok
    assert len(report.logs[0].not_sealed) == 2


def test_what_a_dead_process_left_unnoted_is_noted_by_the_next(log):
    root, active, _ = log
    left, own = make(active, 7), make(active, 8)
    record_sealed(active, own, key=KEY)
    entries = read_manifest(active)[-2:]
    assert [(entry.segment, entry.late) for entry in entries] == [(left.name, True), (own.name, None)]
    assert verify(root, key=KEY).ok


def test_several_segments_are_noted_at_once_with_those_of_others_between_them(log):
    root, active, _ = log
    first, other, last = make(active, 7), make(active, 8), make(active, 9)
    record_sealed(active, first, last, key=KEY)
    entries = read_manifest(active)[-3:]
    expected = [(first.name, None), (other.name, True), (last.name, None)]
    assert [(entry.segment, entry.late) for entry in entries] == expected
    record_sealed(active, other, key=KEY)
    assert [entry.segment for entry in read_manifest(active)[-3:]] == [name for name, _ in expected]
    assert verify(root, key=KEY).ok


def test_an_older_stranger_is_never_taken_in(log):
    root, active, _ = log
    stranger = active.with_name(segment_name("events", datetime(2026, 1, 1, 0, 0, 3, tzinfo=UTC), 7))
    stranger.write_bytes(lines(9))
    record_sealed(active, make(active, 8), key=KEY)
    assert problems(root) == [("inserted", stranger.name)]


def test_noting_twice_changes_nothing(log):
    _, active, segments = log
    before = manifest_path(active).read_bytes()
    record_sealed(active, segments[0], key=KEY)
    record_removed(active, [segments[0], segments[0]], reason="prune")
    record_removed(active, [segments[0]], reason="prune")
    assert manifest_path(active).read_bytes().startswith(before)
    assert len(read_manifest(active)) == 6


def test_a_rewritten_segment_replaces_the_old_one(log):
    root, active, segments = log
    new = active.with_name(segments[1].name.replace("-0001", "-0001.g1"))
    new.write_bytes(lines(2, 2))
    record_rewritten(active, segments[1], new, reason="forget", key=KEY, dropped={"w": [(22, 22)]})
    assert problems(root) == [("restored", segments[1].name)]
    segments[1].unlink()
    assert problems(root) == []
    assert read_manifest(active)[-1].dropped == {"w": [(22, 22)]}


@pytest.mark.parametrize("change", ["edit", "cut", "swap", "text", "drop last and segment"])
def test_a_tampered_manifest_is_named(log, change):
    root, active, segments = log
    heads = verify(root, key=KEY).heads
    path = manifest_path(active)
    parts = path.read_bytes().splitlines(keepends=True)
    if change == "edit":
        parts[1] = parts[1].replace(b'"lines":3', b'"lines":4')
    elif change == "cut":
        del parts[1]
        segments[1].unlink()
    elif change == "swap":
        parts[1], parts[2] = parts[2], parts[1]
    elif change == "text":
        parts[1] = b"not an entry\n"
    else:
        del parts[-1]
        segments[-1].unlink()
    path.write_bytes(b"".join(parts))
    kinds = {finding.problem for finding in verify(root, key=KEY, heads=heads).findings}
    if change == "drop last and segment":
        # The chain is whole; only the head that was kept elsewhere tells.
        assert verify(root, key=KEY).ok
        assert kinds == {"head"}
    else:
        assert "manifest" in kinds


def test_without_the_key_nobody_writes_a_chain_anew(tmp_path):
    active = tmp_path / "logs" / "events.jsonl"
    segment = make(active, 1)
    record_sealed(active, segment)
    assert verify(tmp_path).ok
    assert [finding.problem for finding in verify(tmp_path, key=KEY).findings] == ["manifest"]
    manifest_path(active).unlink()
    record_sealed(active, segment, key=b"x" * 16)
    assert [finding.problem for finding in verify(tmp_path, key=KEY).findings] == ["manifest"]
    assert verify(tmp_path, key=b"x" * 16).ok


def test_a_removed_manifest_is_told_by_its_head(log):
    root, active, _ = log
    heads = verify(root, key=KEY).heads
    manifest_path(active).unlink()
    assert ("head", "events.manifest") in problems(root, heads=heads)


def test_a_torn_last_line_is_taken_away(log):
    root, active, _ = log
    with manifest_path(active).open("ab") as stream:
        stream.write(b'{"v":1,"action":"sea')
    assert verify(root, key=KEY).ok
    record_sealed(active, make(active, 8), key=KEY)
    assert verify(root, key=KEY).ok
    assert len(read_manifest(active)) == 6


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.data())
def test_any_changed_byte_of_a_manifest_or_segment_is_found(tmp_path_factory, position, data):
    root = tmp_path_factory.mktemp("root")
    active = root / "logs" / "events.jsonl"
    for number in (1, 2, 3):
        record_sealed(active, make(active, number), key=KEY)
    files = [path for path in (root / "logs").iterdir() if path.suffix in {".jsonl", ".manifest"}]
    path = data.draw(st.sampled_from(sorted(files)))
    content = bytearray(path.read_bytes())
    content[position % len(content)] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    assert not verify(root, key=KEY).ok or content.endswith(b"}") or b"\n" not in content[-2:]


def test_a_planted_link_is_not_followed(tmp_path):
    active = tmp_path / "logs" / "events.jsonl"
    segment = make(active, 1)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    manifest_path(active).symlink_to(victim)
    with pytest.raises(FileSystemError, match="manifest"):
        record_sealed(active, segment)
    assert victim.read_text() == "precious"


def test_a_gzip_bomb_is_not_unpacked_whole(tmp_path):
    active = tmp_path / "logs" / "events.jsonl"
    segment = make(active, 1)
    record_sealed(active, segment)
    segment.unlink()
    with gzip.open(f"{segment}.gz", "wb") as stream:
        for _ in range(64):
            stream.write(bytes(1 << 20))
    assert [finding.problem for finding in verify(tmp_path).findings] == ["changed"]


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(NotFoundError):
        verify(tmp_path / "none")


def seal_many(active: str, numbers: list[int]) -> None:
    for number in numbers:
        record_sealed(Path(active), make(Path(active), number), key=KEY)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
def test_several_processes_keep_one_chain(tmp_path):
    active = tmp_path / "logs" / "events.jsonl"
    active.parent.mkdir()
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=seal_many, args=(str(active), list(range(start, 60, 3)))) for start in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    report = verify(tmp_path, key=KEY)
    assert not [finding for finding in report.findings if finding.problem != "inserted"]
    names = [entry.segment for entry in read_manifest(active)]
    assert len(names) == len(set(names)) == 60
    assert report.ok
