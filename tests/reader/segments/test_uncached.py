"""Small files are parsed together; no figure and no complaint can tell."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_logging.files.layout import Layout, LogKind
from llm_logging.models.stats import StatsOptions
from llm_logging.reader.entries import get_llm_request_logs
from llm_logging.reader.segments import uncached as tails
from llm_logging.reader.stats import get_stats


def request(project, number, **fields):
    at = f"2026-01-15T10:00:{number:02d}.000000Z"
    entry = {
        "v": 1, "timestamp": at, "event_type": "llm_request", "writer": {"id": "w", "seq": number + 1},
        "id": str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{project}-{number}")), "project_id": project, "chat_id": "c",
        "model": "gpt-4o", "status": "success", "timestamp_start": at,
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}, **fields,
    }  # fmt: skip
    return json.dumps(entry).encode()


def nested(value):
    return b'{"event_type":"note","data":' + value + b"}"


# What stands in a file, made for a project: lines and their ends.
FILES = {
    "nothing": lambda p: b"",
    "one": lambda p: request(p, 0) + b"\n",
    "three": lambda p: b"\n".join(request(p, n) for n in range(3)) + b"\n",
    "no newline at the end": lambda p: request(p, 0) + b"\n" + request(p, 1),
    "a gap": lambda p: request(p, 0) + b"\n" + request(p, 5) + b"\n",
    "a number twice": lambda p: request(p, 0) + b"\n" + request(p, 1, writer={"id": "w", "seq": 1}) + b"\n",
    "blank lines": lambda p: b"\n\n" + request(p, 0) + b"\n\n\n" + request(p, 1) + b"\n\n",
    "CRLF": lambda p: request(p, 0) + b"\r\n" + request(p, 1) + b"\r\n",
    "a BOM": lambda p: b"\xef\xbb\xbf" + request(p, 0) + b"\n",
    "space before": lambda p: b"  " + request(p, 0) + b"\n\t" + request(p, 1) + b"\n",
    "an empty object": lambda p: b"{}\n" + request(p, 0) + b"\n",
    "torn": lambda p: request(p, 0) + b"\n" + request(p, 1)[:40] + b"\n",
    "torn at the end": lambda p: request(p, 0) + b"\n" + request(p, 1)[:40],
    "binary": lambda p: bytes(range(256)) + b"\n" + request(p, 0) + b"\n",
    "no object": lambda p: b"[1]\n7\n" + request(p, 0) + b"\n",
    "other kinds": lambda p: nested(b"1") + b"\n" + request(p, 0) + b"\n" + nested(b'{"a":"\\n{"}') + b"\n",
    "the mark": lambda p: b'{"llm_logging_mark":7,' + request(p, 0)[1:] + b"\n",
    "a fraction": lambda p: request(p, 0, usage={"prompt_tokens": 7.9, "completion_tokens": 2}) + b"\n",
    "flat": lambda p: (
        json.dumps(
            {"request_id": f"r-{p}", "project_id": p, "model": "m", "prompt_tokens": 3, "latency_ms": 5}
        ).encode()
        + b"\n"
    ),
    "true": lambda p: (
        request(p, 0, usage={"prompt_tokens": True, "completion_tokens": 2, "total_tokens": 3}) + b"\n"
    ),
    "a group of the wrong shape": lambda p: request(p, 0, usage=5, timings="x") + b"\n",
    "joined": lambda p: request(p, 0) + request(p, 1) + b"\n",
}


def written(root: Path, names):
    for place, name in enumerate(names):
        project = f"p{place:02d}"
        path = Layout(root).path(LogKind.REQUESTS, project)
        path.parent.mkdir(parents=True)
        path.write_bytes(FILES[name](project))
    return root


def answer(root):
    return get_stats(root=root, cache=False, options=StatsOptions(group_by=["project", "day"]))


def both(root):
    together = answer(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tails, "_SMALL", -1)
        return together, answer(root)


def test_all_kinds_of_file_side_by_side(tmp_path):
    together, alone = both(written(tmp_path, FILES))
    assert together.summary.total_requests > 20
    assert together == alone


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(sorted(FILES)), min_size=1, max_size=8))
def test_any_files_side_by_side(tmp_path_factory, names):
    together, alone = both(written(tmp_path_factory.mktemp("root"), names))
    assert together == alone


def test_files_with_nothing_odd_are_parsed_in_one_go(tmp_path, monkeypatch):
    monkeypatch.setattr(tails, "_load_alone", lambda *given: pytest.fail("one by one"))
    assert answer(written(tmp_path, ["three"] * 30)).summary.total_requests == 90


def test_batches_are_bounded(tmp_path, monkeypatch):
    sizes = []
    original = tails._load_together
    monkeypatch.setattr(tails, "_MOST_BYTES", 3000)
    monkeypatch.setattr(
        tails,
        "_load_together",
        lambda db, spans, *more: sizes.append(len(spans)) or original(db, spans, *more),
    )
    assert answer(written(tmp_path, ["three"] * 9)).summary.total_requests == 27
    assert sum(sizes) == 9
    assert 1 < len(sizes)


def in_parts(number):
    line = request("p", number, attributes={"text": "x" * 40_000}).decode()
    parts = [line[at : at + 16_384] for at in range(0, len(line), 16_384)]
    return [
        json.dumps(
            {"log": part + "\n" * (part is parts[-1]), "stream": "stdout", "time": "2026-01-15T10:00:00Z"}
        )
        for part in parts
    ]


@pytest.mark.parametrize(
    "names",
    [
        ["c-json.log.2", "c-json.log.1", "c-json.log"],
        ["0.log.20260115-103000", "0.log.20260116-103000", "0.log"],
    ],
)
def test_a_line_in_parts_goes_on_in_the_next_file_of_a_rotation(names, tmp_path):
    lines = [line for number in range(6) for line in in_parts(number)]
    cuts = [0, 4, 10, len(lines)]
    for name, first, last in zip(names, cuts[:-1], cuts[1:], strict=True):
        (tmp_path / name).write_text("".join(line + "\n" for line in lines[first:last]))
    files = sorted(str(path) for path in tmp_path.iterdir())
    stats = get_stats(files=files, cache=False)
    assert (stats.summary.total_requests, stats.quality.skipped) == (6, {})
    assert len(get_llm_request_logs(files=files, cache=False).entries) == 6
    # The file with the end of two lines is gone.
    stats = get_stats(files=[path for path in files if not path.endswith(names[1])], cache=False)
    assert stats.summary.total_requests < 6
    assert not stats.quality.complete


def test_many_files_with_an_odd_line_cost_no_query_each(tmp_path, monkeypatch):
    monkeypatch.setattr(tails, "_load_alone", lambda *given: pytest.fail("one by one"))
    queries = []
    original = tails.parse_odd_marked
    monkeypatch.setattr(tails, "parse_odd_marked", lambda *given: queries.append(1) or original(*given))
    for number in range(200):
        line = request("p", number % 60).decode()
        odd = ["INFO: server started", line[:-20], line.replace('"total_tokens": 15', '"total_tokens": 16')][
            number % 3
        ]
        (tmp_path / f"{number}.log").write_text(f"{odd}\n{line}\n")
    stats = get_stats(files=[str(tmp_path / "*.log")], cache=False)
    assert stats.quality.skipped_lines == 134
    assert stats.quality.lines == 400
    assert len(queries) < 20
