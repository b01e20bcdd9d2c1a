import gzip
import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_logging.cli.viewer.follow import LogFollower, follow
from llm_logging.files.segments import segment_name


class Log:
    """A log that rotates as the writer does: rename, create, later compress."""

    def __init__(self, folder, stem="llm_requests"):
        self.path = folder / f"{stem}.jsonl"
        self.stem = stem
        self.sealed = []
        self.number = 0
        self.now = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)
        self.lines = []

    def write(self, count=1):
        with self.path.open("ab") as file:
            for _ in range(count):
                self.number += 1
                line = b'{"n":%d}' % self.number
                self.lines.append(line)
                file.write(line + b"\n")

    def rotate(self, *, create=True):
        if self.path.exists():
            self.now += timedelta(seconds=1)
            target = self.path.parent / segment_name(self.stem, self.now, 1)
            self.path.rename(target)
            self.sealed.append(target)
        if create:
            self.path.touch()

    def compress(self):
        for path in self.sealed:
            if path.exists():
                packed = path.with_name(path.name + ".gz")
                packed.with_name("." + packed.name).write_bytes(gzip.compress(path.read_bytes()))
                packed.with_name("." + packed.name).rename(packed)
                path.unlink()


STEPS = st.lists(
    st.sampled_from(["write", "write", "rotate", "rotate without file", "compress", "poll"]), max_size=30
)


@settings(max_examples=200, deadline=None)
@given(STEPS, STEPS, st.integers(0, 5))
def test_every_line_comes_once_and_in_order_whatever_the_rotation(tmp_path_factory, before, after, count):
    log = Log(tmp_path_factory.mktemp("log"))
    follower = LogFollower(log.path)

    def do(step):
        if step == "write":
            log.write(2)
        elif step == "compress":
            log.compress()
        elif step != "poll":
            log.rotate(create=step == "rotate")

    for step in before:
        do(step)
    old = len(log.lines)
    found = follower.start(count)
    assert found == (log.lines[-count:] if count else [])
    found = []
    for step in after:
        do(step)
        if step == "poll":
            found += list(follower.poll())
    found += list(follower.poll())
    found += list(follower.poll())
    follower.close()
    assert found == log.lines[old:]


def test_segments_that_are_packed_as_we_look_are_read_all_the_same(tmp_path, monkeypatch):
    from llm_logging.cli.viewer import follow as module

    log = Log(tmp_path)
    log.write(2)
    follower = LogFollower(log.path)
    follower.start(0)
    real = module.list_segments
    looks = []

    def listing(path):
        found = real(path)
        looks.append(path)
        if len(looks) % 3 == 0:
            log.compress()  # between the listing and the opening
        return found

    monkeypatch.setattr(module, "list_segments", listing)
    found = []
    for _ in range(20):
        for _ in range(3):
            log.write(2)
            log.rotate(create=random.Random(len(looks)).random() < 0.7)
        found += list(follower.poll())
    found += list(follower.poll())
    follower.close()
    assert found == log.lines[2:]


def test_a_segment_removed_before_it_was_read_is_said(tmp_path, monkeypatch):
    from llm_logging.cli.viewer import follow as module

    log = Log(tmp_path)
    log.write(2)
    notices = []
    follower = LogFollower(log.path, notices.append)
    follower.start(0)
    for _ in range(3):
        log.rotate()
        log.write(2)
    real, looks = module.list_segments, []

    def listing(path):
        found = real(path)
        looks.append(path)
        if len(looks) == 6:
            log.sealed[1].unlink()
        return found

    monkeypatch.setattr(module, "list_segments", listing)
    assert list(follower.poll()) == log.lines[4:]
    assert "removed before it was read" in notices[0]
    follower.close()


def test_truncation_is_noticed_and_read_from_the_start(tmp_path):
    log = Log(tmp_path)
    log.write(5)
    notices = []
    follower = LogFollower(log.path, notices.append)
    follower.start(0)
    log.path.write_bytes(b"")
    assert list(follower.poll()) == []
    log.path.write_bytes(b'{"again":1}\n')
    assert list(follower.poll()) == [b'{"again":1}']
    assert len(notices) == 1
    assert "truncated" in notices[0]
    follower.close()


@pytest.mark.parametrize("count", [5, 6, 500])
@pytest.mark.parametrize("polled", [True, False])
def test_truncation_is_noticed_where_the_file_was_filled_again(tmp_path, count, polled):
    log = Log(tmp_path)
    log.write(5)
    notices = []
    follower = LogFollower(log.path, notices.append)
    follower.start(0)
    if polled:
        log.write(3)
        assert len(list(follower.poll())) == 3
        count += 3
    again = [b'{"m":%d}' % (number % 9 + 1) for number in range(count)]
    with log.path.open("r+b") as file:
        file.truncate(0)
        file.write(b"".join(line + b"\n" for line in again))
    assert list(follower.poll()) == again
    assert [notice.partition(": ")[2] for notice in notices] == ["truncated; reading it from its start"]
    assert list(follower.poll()) == []
    log.write(1)
    assert list(follower.poll()) == log.lines[-1:]
    follower.close()


def test_an_unfinished_line_waits_for_its_end(tmp_path):
    path = tmp_path / "app.log"
    follower = LogFollower(path)
    assert follower.start(5) == []
    path.write_bytes(b'{"a"')
    assert list(follower.poll()) == []
    with path.open("ab") as file:
        file.write(b':1}\r\n{"b')
    assert list(follower.poll()) == [b'{"a":1}']
    follower.close()


def test_a_file_rotated_by_another_program_goes_on(tmp_path):
    path = tmp_path / "app.log"
    path.write_bytes(b"1\n")
    follower = LogFollower(path)
    assert follower.start(5) == [b"1"]
    with path.open("ab") as file:
        file.write(b"2\n")
    path.rename(tmp_path / "app.log.1")
    path.write_bytes(b"3\n")
    assert list(follower.poll()) == [b"2", b"3"]
    follower.close()


def test_an_overlong_line_is_left_out(tmp_path, monkeypatch):
    from llm_logging.cli.viewer import follow as module

    monkeypatch.setattr(module, "MAX_LINE_BYTES", 10)
    monkeypatch.setattr(module, "_BLOCK", 8)
    path = tmp_path / "app.log"
    notices = []
    follower = LogFollower(path, notices.append)
    follower.start(0)
    path.write_bytes(b"x" * 100 + b"\nok\n")
    assert list(follower.poll()) == [b"ok"]
    assert notices
    follower.close()


def test_new_logs_are_followed_from_their_start(tmp_path):
    logs = {name: Log(tmp_path, name) for name in "ab"}
    logs["a"].write()
    rng = random.Random(3)
    pauses = []

    def find():
        return [log.path for log in logs.values() if log.path.exists()]

    def sleep(seconds):
        pauses.append(seconds)
        if len(pauses) > 20:
            raise KeyboardInterrupt
        log = logs[rng.choice("ab")]
        log.write(rng.randrange(3))
        if rng.random() < 0.3:
            log.rotate()

    started = {logs["a"].path: LogFollower(logs["a"].path)}
    started[logs["a"].path].start(0)
    found = []
    try:
        for lines in follow(find, sleep=sleep, followers=started):
            found += lines
    except KeyboardInterrupt:
        pass
    for follower in started.values():
        follower.close()
    assert sorted(found) == sorted(logs["a"].lines[1:] + logs["b"].lines)
