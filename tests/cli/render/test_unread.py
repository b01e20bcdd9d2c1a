"""Files of which nothing can be read: exit status 1, and a hint that names what the file is."""

from __future__ import annotations

import gzip
import json

import pytest

LINE = {
    "v": 1, "timestamp": "2026-06-15T10:00:00Z", "event_type": "llm_request", "id": "a", "project_id": "p", "chat_id": "c",
    "model": "gpt-4o", "status": "success", "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}  # fmt: skip
FILES = {
    "an array": (json.dumps([LINE, LINE]).encode(), "jq -c '.[]'"),
    "an array over lines": (json.dumps([LINE, LINE], indent=1).encode(), "jq -c '.[]'"),
    "objects over lines": (json.dumps(LINE, indent=2).encode() * 2, "jq -c . "),
    "UTF-16": ((json.dumps(LINE) + "\n").encode("utf-16"), "iconv -f UTF-16"),
    "UTF-16 without a mark": ((json.dumps(LINE) + "\n").encode("utf-16-le"), "iconv -f UTF-16"),
    "CSV": (b"time,model,tokens\n2026-06-15,gpt-4o,7\n", "CSV"),
    "gzip under another name": (gzip.compress(json.dumps(LINE).encode()), "name it .gz"),
    "other JSON": (b'{"level": "info", "msg": "started"}\n', "other_program"),
    "a response without a time": (b'{"object": "list", "data": [], "model": "e", "usage": {"prompt_tokens": 1}}\n', "without_time"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "hint"), FILES.values(), ids=FILES)
@pytest.mark.parametrize("form", ["table", "json"])
def test_a_file_of_which_all_is_skipped_says_what_it_is(data, hint, form, tmp_path, cli):
    path = tmp_path / "x.jsonl"
    path.write_bytes(data)
    result = cli("stats", "--files", path, "--format", form)
    assert result.status == 1
    assert hint in result.err
    if form == "json":
        assert json.loads(result.out)["summary"]["total_requests"] == 0


def test_one_usable_line_is_an_answer(tmp_path, cli):
    path = tmp_path / "x.jsonl"
    path.write_text("text\n" + json.dumps(LINE) + "\n")
    assert cli("stats", "--files", path).status == 0


PIPED = {
    "an array": (json.dumps([LINE]).encode(), "jq -c '.[]'"),
    "UTF-16": ((json.dumps(LINE) + "\n").encode("utf-16"), "iconv -f UTF-16"),
    "nothing": (b"", "nothing is in standard input"),
}


@pytest.mark.parametrize(("data", "hint"), PIPED.values(), ids=PIPED)
def test_what_comes_through_a_pipe_gets_a_hint_too(data, hint, cli):
    result = cli("stats", "--files", "-", stdin=data)
    assert (result.status, hint in result.err) == (1, True), result.err


def test_an_empty_file_is_said(tmp_path, cli):
    path = tmp_path / "x.jsonl"
    path.touch()
    result = cli("stats", "--files", path)
    assert (result.status, f"nothing is in {path}" in result.err) == (1, True)
