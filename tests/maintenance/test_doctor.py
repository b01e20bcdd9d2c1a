import gzip
import json
import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_logging.files.integer_ranges import Ranges
from llm_logging.files.layout import Layout, LogKind
from llm_logging.maintenance import doctor


def line(seq, *, writer="w", **fields):
    return json.dumps(
        {"v": 1, "event_type": "llm_request", "writer": {"id": writer, "seq": seq}, **fields}
    ).encode()


@pytest.fixture
def root(tmp_path):
    layout = Layout(tmp_path / "root")
    active = layout.path(LogKind.REQUESTS, "shop")
    active.parent.mkdir(parents=True)
    active.write_bytes(b"".join(line(seq) + b"\n" for seq in (4, 5, 6)))
    sealed = active.parent / "llm_requests.20260110T000000Z-0001.jsonl.gz"
    sealed.write_bytes(gzip.compress(b"".join(line(seq) + b"\n" for seq in (1, 2, 3))))
    for path in [layout.root, *layout.root.rglob("*")]:
        path.chmod(0o700 if path.is_dir() else 0o600)
    return layout.root


def active_of(root):
    return Layout(root).path(LogKind.REQUESTS, "shop")


def problems(findings):
    return [finding for finding in findings if finding.state != "ok"]


def test_a_whole_root_has_nothing_to_report(root):
    lines = list(doctor.check_lines(root))
    assert [finding.text for finding in lines] == ["6 lines in 1 logs, none torn and none missing"]
    assert problems(doctor.check_modes(root)) == []
    assert problems(doctor.check_leftovers(root, time.time())) == []


def test_torn_and_foreign_lines_are_named_with_their_place(root):
    with active_of(root).open("ab") as file:
        file.write(b'{"torn": \nplain text\n\0\0\0\n[1]\n\n' + b'{"a":' * 100_000 + b'\n{"cut')
    (finding,) = problems(doctor.check_lines(root))
    assert finding.check == "lines"
    assert finding.state == "problem"
    assert "2 torn" in finding.text
    assert "1 not JSON" in finding.text
    assert "1 nul bytes" in finding.text
    assert "1 not an object" in finding.text
    assert "too deep" in finding.text
    assert f"llm_requests.jsonl:{3 * (len(line(4)) + 1)}" in finding.text


def test_missing_lines_are_named_by_writer_and_number(root):
    with active_of(root).open("ab") as file:
        file.write(line(9) + b"\n" + line(3, writer="x") + b"\n" + line(9) + b"\n")
    found = problems(doctor.check_lines(root))
    texts = [finding.text for finding in found]
    assert "2 lines of writer w are missing: 7-8" in texts
    assert "2 lines of writer x are missing: 1-2" in texts
    assert "1 lines are there twice" in texts
    assert [finding.state for finding in found] == ["problem", "problem", "warning"]


def test_what_was_pruned_is_not_missing(root):
    (active_of(root).parent / "llm_requests.20260110T000000Z-0001.jsonl.gz").unlink()
    assert problems(doctor.check_lines(root))
    manifest = active_of(root).with_suffix(".manifest")
    manifest.write_text(
        json.dumps({"action": "removed", "writers": {"w": {"first": 1, "last": 3}}}) + "\nnonsense\n"
    )
    assert problems(doctor.check_lines(root)) == []
    manifest.write_text(json.dumps({"action": "rewritten", "dropped": {"w": [[1, 1], [2, 3]]}}) + "\n")
    assert problems(doctor.check_lines(root)) == []


def test_a_truncated_segment_is_said_to_be(root):
    sealed = active_of(root).parent / "llm_requests.20260110T000000Z-0001.jsonl.gz"
    sealed.write_bytes(sealed.read_bytes()[:-12])
    found = problems(doctor.check_lines(root))
    assert any(finding.check == "files" and "damaged" in finding.text for finding in found)


def test_open_permissions_and_links_that_lead_out_are_found(root, tmp_path):
    active_of(root).chmod(0o644)
    (root / "projects").chmod(0o755)
    outside = tmp_path / "outside"
    outside.write_text("x")
    (root / "logs").mkdir(mode=0o700)
    (root / "logs" / "system.jsonl").symlink_to(outside)
    found = problems(doctor.check_modes(root))
    assert ("problem", "logs/system.jsonl") in [(finding.state, finding.path) for finding in found]
    (opened,) = [finding for finding in found if finding.state == "warning"]
    assert (
        "2 files and folders are open to other users: projects, projects/shop/logs/llm_requests.jsonl"
        in opened.text
    )


def test_leftovers_are_found(root):
    folder = active_of(root).parent
    (folder / "llm_requests.20260110T000000Z-0001.jsonl").write_bytes(line(1) + b"\n")
    (folder / ".llm_requests.20260110T000000Z-0002.jsonl.gz.tmp").write_bytes(b"")
    assert len(problems(doctor.check_leftovers(root, time.time()))) == 1
    os.utime(folder / ".llm_requests.20260110T000000Z-0002.jsonl.gz.tmp", (0, 0))
    found = problems(doctor.check_leftovers(root, time.time()))
    assert [finding.text for finding in found] == [
        "is replaced by another file of the same segment",
        "is an unfinished temporary file",
    ]


def test_a_full_disk_is_a_problem(root, monkeypatch):
    class usage:
        total, used = 10**12, 0

        def __init__(self, free):
            self.free = free

    for free, state in ((10**6, "problem"), (10**9, "warning"), (10**11, "ok")):
        monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _path, free=free: usage(free))
        assert [finding.state for finding in doctor.check_disk(root)] == [state]


def test_packages_are_named(root):
    (finding,) = doctor.check_packages(root)
    assert "duckdb" in finding.text


def test_a_cache_is_measured(tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    (folder / "a").write_bytes(b"x" * 1500)
    found = doctor.check_cache(folder)
    assert "1.5 kB in 1 files" in found[0].text
    assert found[1].text == "is open to other users"


@given(
    st.lists(st.integers(1, 30), max_size=30),
    st.lists(st.tuples(st.integers(1, 30), st.integers(0, 5)), max_size=4),
)
def test_ranges_are_sets(numbers, spans):
    ranges, expected = Ranges(), set()
    for number in numbers:
        assert ranges.add(number) == (number not in expected)
        expected.add(number)
    removed = Ranges()
    for first, length in spans:
        removed.add_span(first, first + length)
        expected |= set(range(first, first + length + 1))
    joined = ranges.joined(removed)
    assert [n for a, b in joined.spans() for n in range(a, b + 1)] == sorted(expected)
    missing = set(range(1, max(expected, default=0) + 1)) - expected
    assert [n for a, b in joined.gaps() for n in range(a, b + 1)] == sorted(missing)
