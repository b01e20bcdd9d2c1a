"""Taking a person out of all logs: whose lines go, and what is left whatever moment it is cut off at."""

import gzip
import json
import os
import stat
from pathlib import Path

import portalocker
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import llm_logging.maintenance.forget as module
import llm_logging.maintenance.manifest_notes as seal
import llm_logging.maintenance.rewrite as rewriting
from llm_logging.errors import ConfigurationError, ErrorCode, LLMLoggingError, NotFoundError
from llm_logging.files.segments import list_segments
from llm_logging.hmac_keys import pseudonym
from llm_logging.maintenance.forget import forget
from llm_logging.maintenance.manifest_notes import read_manifest
from llm_logging.maintenance.verify import verify
from tests.maintenance.builders import KEY, read, write

counter = iter(range(1, 10**9))


def line(kind, **fields):
    return {
        "v": 1,
        "timestamp": "2026-01-01T00:00:00.000000Z",
        "event_type": kind,
        "writer": {"id": "w", "seq": next(counter)},
        **fields,
    }


def request(id_, user=None, chat="c1", **fields):
    own = {} if user is None else {"user_id": user}
    return line("llm_request", id=id_, project_id="p", chat_id=chat, model="m", **own, **fields)


def content(id_, text, chat="c1"):
    return line("llm_content", id=id_, project_id="p", chat_id=chat, messages=[text])


def message(id_, text, chat="c1", request_id=None, **fields):
    info = {} if request_id is None else {"llm_info": {"request_id": request_id}}
    return line(
        "chat_message", id=id_, project_id="p", chat_id=chat, role="user", content=text, **info, **fields
    )


def everything(root: Path) -> bytes:
    found = b""
    for folder, _, names in os.walk(root):
        for name in names:
            data = (Path(folder) / name).read_bytes()
            found += gzip.decompress(data) if name.endswith(".gz") else data
    return found


@pytest.fixture
def root(tmp_path):
    """Ann alone in chat c1, Ann and Bob in c2, Bob alone in c3; segments, compressed segments, active files."""
    logs = tmp_path / "projects" / "p" / "logs"
    requests = logs / "llm_requests.jsonl"
    write(requests, [request("r1", "ann"), request("r2", "bob", "c3")], sealed=1)
    write(
        requests, [request("r1", None, status="success"), request("r3", "ann", "c2")], sealed=2, packed=True
    )
    write(
        requests,
        [
            request("r4", "bob", "c2"),
            request("r5", None, "c2", request_group="g"),
            request("r6", "ann", request_group="g"),
        ],
    )
    write(
        logs / "llm_content.jsonl",
        [
            content("r1", "annsecret one"),
            content("r2", "bobtext", "c3"),
            content("r3", "annsecret two", "c2"),
        ],
    )
    write(
        logs / "events.jsonl",
        [line("login", user_id="ann"), line("x", data={"user_id": "ann"}), line("y", data={"n": "ann"})],
    )
    chats = tmp_path / "projects" / "p" / "chats"
    write(
        chats / "c1.jsonl",
        [message("m1", "annsecret three"), message("m2", "annsecret four", request_id="r1")],
    )
    write(
        chats / "c2.jsonl",
        [
            message("m3", "anybody", "c2"),
            message("m4", "annsecret five", "c2", "r3"),
            message("m5", "annsecret six", "c2", user_id="ann"),
        ],
    )
    write(chats / "c3.jsonl", [message("m6", "bobtext", "c3")])
    return tmp_path


def test_a_persons_lines_go_and_all_others_stay(root):
    before = {path: path.read_bytes() for path in root.rglob("c3.jsonl")}
    report = forget(root, user_id="ann")
    logs, chats = root / "projects" / "p" / "logs", root / "projects" / "p" / "chats"
    assert [document["id"] for document in read(logs / "llm_requests.jsonl")] == ["r2", "r4"]
    assert [document["id"] for document in read(logs / "llm_content.jsonl")] == ["r2"]
    assert [document["event_type"] for document in read(logs / "events.jsonl")] == ["y"]
    assert read(chats / "c1.jsonl") == []
    assert [document["id"] for document in read(chats / "c2.jsonl")] == ["m3"]
    assert b"annsecret" not in everything(root)
    assert b'"user_id": "ann"' not in everything(root)
    assert {path: path.read_bytes() for path in root.rglob("c3.jsonl")} == before
    assert report.lines == 13
    assert report.requests == 3
    assert report.shared_chats == ["p/c2"]


def test_new_generations_are_noted_private_and_verify(root):
    forget(root, user_id="ann")
    report = verify(root)
    assert report.ok, report.findings
    active = root / "projects" / "p" / "logs" / "llm_requests.jsonl"
    rewritten = [entry for entry in read_manifest(active) if entry.action == "rewritten"]
    assert len(rewritten) == 3
    assert all(entry.reason == "forget" and entry.dropped for entry in rewritten)
    for segment in list_segments(active, superseded=True):
        assert segment.generation == 1
        assert stat.S_IMODE(segment.path.stat().st_mode) == 0o600


def test_a_second_run_finds_nothing_to_do(root):
    forget(root, user_id="ann")
    before = sorted((path, path.stat().st_mtime_ns) for path in root.rglob("*") if path.is_file())
    assert forget(root, user_id="ann").lines == 0
    assert sorted((path, path.stat().st_mtime_ns) for path in root.rglob("*") if path.is_file()) == before


def test_a_dry_run_changes_nothing_and_counts_the_same(root):
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    report = forget(root, user_id="ann", dry_run=True)
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
    assert report.dry_run
    assert report.lines == forget(root, user_id="ann").lines


def test_pseudonymising_keeps_the_lines_and_replaces_the_name(root):
    alias = pseudonym("user_id", "ann", KEY)
    count = len(everything(root).splitlines())
    report = forget(root, user_id="ann", mode="pseudonymise", key=KEY)
    assert report.lines == 6
    active = root / "projects" / "p" / "logs" / "llm_requests.jsonl"
    assert [document.get("user_id") for document in read(active)] == [
        alias,
        "bob",
        None,
        alias,
        "bob",
        None,
        alias,
    ]
    assert read(root / "projects" / "p" / "logs" / "events.jsonl")[1]["data"] == {"user_id": alias}
    assert b'"user_id":"ann"' not in everything(root).replace(b": ", b":")
    assert len(everything(root).splitlines()) > count
    assert verify(root).ok
    # Whoever has the key can still be asked to remove them.
    assert forget(root, user_id="ann", key=KEY).requests == 3
    assert alias.encode() not in everything(root)


def test_while_writers_may_hold_lines_nothing_is_begun(root):
    before = everything(root)
    with pytest.raises(LLMLoggingError, match="expected no process that logs") as caught:
        forget(root, user_id="ann", live_writers=lambda folder: [f"process 7 in {folder}"])
    assert caught.value.code is ErrorCode.INVALID_STATE
    spool = root / ".spool"
    spool.mkdir(mode=0o700)
    (spool / "w-1.ring").touch()
    with pytest.raises(LLMLoggingError, match="ring"):
        forget(root, user_id="ann")
    assert before == everything(root)
    assert forget(root, user_id="ann", dry_run=True).lines == 13


def test_an_active_file_is_sealed_under_the_lock_of_its_writers(root, monkeypatch):
    monkeypatch.setattr(rewriting, "LOCK_SECONDS", 0.1)
    active = root / "projects" / "p" / "logs" / "events.jsonl"
    lock = active.with_name(".__events.jsonl.lock")
    with lock.open("w") as stream:
        portalocker.lock(stream, portalocker.LockFlags.EXCLUSIVE)
        with pytest.raises(LLMLoggingError, match="lock"):
            forget(root, user_id="ann")
        assert active.exists()
        portalocker.unlock(stream)
    forget(root, user_id="ann")
    assert not active.exists()
    assert [document["event_type"] for document in read(active)] == ["y"]


@pytest.mark.parametrize("moment", ["rename", "record_rewritten", "_unlink_older", "record_sealed"])
def test_whatever_moment_it_is_cut_off_at_a_second_run_ends_it(root, monkeypatch, moment):
    class Killed(BaseException):
        pass

    def die(*args, **kwargs):
        raise Killed

    with monkeypatch.context() as patch:
        if moment == "rename":
            patch.setattr(seal, "rename_new", die)
        elif moment == "_unlink_older":
            patch.setattr(module._Run, moment, die)
        else:
            patch.setattr(module, moment, die)
        with pytest.raises(Killed):
            forget(root, user_id="ann")
    forget(root, user_id="ann")
    assert b"annsecret" not in everything(root)
    assert b'"user_id": "ann"' not in everything(root)
    assert [document["id"] for document in read(root / "projects/p/logs/llm_requests.jsonl")] == ["r2", "r4"]
    # What was sealed when it was cut off may not be noted yet, but nothing is wrong.
    assert verify(root).ok
    assert not list(root.rglob(".*.forget"))


def test_whoever_caches_is_told_which_file_is_replaced_by_which(root):
    told = []
    forget(root, user_id="ann", rewritten=lambda old, new: told.append((old.name, new.name)))
    assert (
        "llm_requests.20260101T000002Z-0001.jsonl.gz",
        "llm_requests.20260101T000002Z-0001.g1.jsonl.gz",
    ) in told
    assert len(told) == 7


def test_lines_that_are_no_json_stay_and_are_counted(root):
    path = root / "projects" / "p" / "logs" / "events.jsonl"
    path.write_bytes(path.read_bytes() + b'{"torn": "ann\n')
    report = forget(root, user_id="ann")
    assert report.unreadable == 1
    assert b'{"torn": "ann\n' in everything(root)


@settings(max_examples=60, deadline=None)
@given(
    st.text(min_size=1, max_size=12),
    st.lists(
        st.tuples(st.sampled_from(["them", "other", "none"]), st.text(max_size=8)), min_size=1, max_size=12
    ),
)
def test_any_id_any_lines(tmp_path_factory, user, plan):
    root = tmp_path_factory.mktemp("root")
    active = root / "logs" / "system.jsonl"
    documents = []
    for number, (who, text) in enumerate(plan):
        own = {"them": {"user_id": user}, "other": {"user_id": user + "x"}, "none": {}}[who]
        documents.append(line("e", n=number, text=text, **own))
    active.parent.mkdir(parents=True)
    raw = [json.dumps(document, ensure_ascii=number % 2 == 0) for number, document in enumerate(documents)]
    active.write_bytes("".join(part + "\n" for part in raw).encode("utf-8", "surrogatepass"))
    report = forget(root, user_id=user)
    assert report.lines == sum(who == "them" for who, _ in plan)
    kept = [part for segment in list_segments(active) for part in segment.path.read_bytes().splitlines()]
    assert kept == [
        part.encode("utf-8", "surrogatepass")
        for part, (who, _) in zip(raw, plan, strict=True)
        if who != "them"
    ]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"user_id": ""}, ConfigurationError),
        ({"user_id": "a", "mode": "burn"}, ConfigurationError),
        ({"user_id": "a", "mode": "pseudonymise"}, ConfigurationError),
        ({"user_id": "a", "key": b"short"}, ConfigurationError),
    ],
)
def test_wrong_arguments_are_refused(root, options, error):
    with pytest.raises(error, match="expected|needs"):
        forget(root, **options)


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(NotFoundError):
        forget(tmp_path / "none", user_id="ann")


REFUSED = [
    {
        "data": {
            "reasons": ["model: expected a value, got none"],
            "entry": {"project_id": "p", "user_id": "ann"},
        }
    },
    {"data": {"reasons": [], "entry": {"attributes": {"userId": "ann"}}}},
    {"attributes": {"invalid": {"user_id": ["bob", "ann"]}}},
]


@pytest.mark.parametrize("fields", REFUSED)
def test_what_was_refused_is_theirs_too(fields, tmp_path):
    log = tmp_path / "projects/p/logs/events.jsonl"
    write(
        log,
        [line("invalid_entry", project_id="p", **fields), line("log", project_id="p", message="ann is gone")],
    )

    def written():
        return "".join(path.read_text() for path in log.parent.glob("*.jsonl"))

    assert forget(tmp_path, user_id="ann", mode="pseudonymise", key=KEY).lines == 1
    alias = pseudonym("user_id", "ann", KEY)
    assert alias in written()
    assert written().count('"ann') == 1
    assert forget(tmp_path, user_id="ann", key=KEY).lines == 1
    assert alias not in written()
