"""A status in other words means what it says, and a word of no known meaning is never a success."""

import enum
import http
import json
import logging
from datetime import UTC, datetime, timedelta

import pytest

import llm_logging
from llm_logging.models.statuses import outcome_of


class Text(str, enum.Enum):  # noqa: UP042  as people write it
    FAILED = "failed"
    SUCCESS = "success"


class Number(enum.Enum):
    FAILED = 1
    SUCCESS = 2


WORDS = [
    ("failed", "error", None), ("FAILED", "error", None), (" Error ", "error", None), ("failure", "error", None),
    ("cancelled", "error", "cancelled"), ("Canceled", "error", "cancelled"), ("ok", "success", None), ("Completed", "success", None),
    ("timed-out", "timeout", None), ("Timed Out", "timeout", None), ("DEADLINE_EXCEEDED", "timeout", None),
    ("in_progress", "pending", None), ("incomplete", "success", None), (503, "error", None), ("504", "timeout", None), (200, "success", None),
    (http.HTTPStatus.TOO_MANY_REQUESTS, "error", None), (Text.FAILED, "error", None), (Text.SUCCESS, "success", None),
    (Number.FAILED, "error", None), (Number.SUCCESS, "success", None), ("Status.FAILED", "error", None),
    ("RESOURCE_EXHAUSTED", "error", "resource_exhausted"),
    ("weird", "error", "unknown_status"), (True, "error", "unknown_status"), (["failed"], "error", "unknown_status"), ("", "error", "unknown_status"),
]  # fmt: skip


@pytest.fixture
def root(tmp_path):
    handler = llm_logging.LLMFileHandler(root=tmp_path / "root")
    logger = logging.getLogger("statuses")
    logger.setLevel("INFO")
    logger.addHandler(handler)
    logger.propagate = False
    yield tmp_path / "root"
    handler.close()
    logger.removeHandler(handler)


def lines_of(root):
    logging.getLogger("statuses").handlers[0].flush()
    path = root / "projects/p/logs/llm_requests.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(("word", "status", "code"), WORDS, ids=str)
def test_every_door_reads_a_status_alike(root, word, status, code):
    entry = {"project_id": "p", "chat_id": "c", "model": "m", "status": word, "usage": {"prompt_tokens": 10}}
    log = llm_logging.get_logger("statuses", project_id="p", chat_id="c")
    log.logger.info("x", extra={"llm_request": entry})
    log.logger.info("x", extra={"event_type": "llm_request", **entry})
    with log.request(model="m", pending=False, status=word):
        pass
    with log.request(model="m", pending=False) as call:
        call.finish(status=word, usage={"prompt_tokens": 10})
    if code == "unknown_status":
        with pytest.raises(llm_logging.ValidationError, match="'pending', 'success', 'error' or 'timeout'"):
            log.log_llm_request(entry)
    else:
        log.log_llm_request(entry)
    found = lines_of(root)
    assert {(line["status"], line.get("error", {}).get("code")) for line in found} == {(status, code)}
    assert {line["usage"]["prompt_tokens"] for line in found if "usage" in line} == {10}
    if code == "unknown_status":
        assert all(line["attributes"]["invalid"] == {"status": word} for line in found)
    stats = llm_logging.get_stats(root=root)
    assert (stats.summary.successful_requests > 0) == (status == "success")
    assert stats.quality.invalid_fields == ({"status": len(found)} if code == "unknown_status" else {})


def test_foreign_lines_and_filters(tmp_path):
    path = tmp_path / "foreign.jsonl"
    words = ["failed", "weird", "Cancelled", 500, "ok", "timed out", None]
    path.write_text(
        "".join(
            json.dumps({"model": f"m{n}", "prompt_tokens": 1, "status": word}) + "\n"
            for n, word in enumerate(words)
        )
    )

    def models(*where):
        options = llm_logging.StatsOptions(where=where)
        return sorted(llm_logging.get_stats(options=options, files=[path], cache=False).models)

    stats = llm_logging.get_stats(files=[path], cache=False)
    assert (
        stats.summary.successful_requests,
        stats.summary.failed_requests,
        stats.summary.cancelled_requests,
    ) == (2, 4, 1)
    assert stats.quality.invalid_fields == {"status": 1}
    assert models("status=failed") == ["m0", "m1", "m3", "m5"]
    assert models("status=Cancelled") == ["m2"]
    assert models("status=error,timeout") == ["m0", "m1", "m2", "m3", "m5"]
    assert models("status!=failed") == ["m2", "m4", "m6"]
    assert models("status=ok") == ["m4", "m6"]
    assert models("model=m1,m4") == ["m1", "m4"]
    assert models("model!=m1,m4") == ["m0", "m2", "m3", "m5", "m6"]
    assert models("http_status=500,503") == ["m3"]
    assert models("model~m1*,?4") == ["m1", "m4"]
    assert models("model!~m1*,?4") == ["m0", "m2", "m3", "m5", "m6"]
    assert models("status~err*,time*") == ["m0", "m1", "m2", "m3", "m5"]
    assert models(("model", "m1,m4")) == []


def test_pending_requests_are_told_apart_as_the_figures_do(tmp_path):
    now = datetime(2026, 1, 15, 12, tzinfo=UTC)
    path = tmp_path / "pending.jsonl"
    ages = {"fresh": 10, "old": 90, "ended": 10}
    path.write_text(
        "".join(
            json.dumps(
                {
                    "model": model,
                    "prompt_tokens": 1,
                    "status": "success" if model == "ended" else "pending",
                    "timestamp_start": (now - timedelta(minutes=age)).isoformat(),
                }
            )
            + "\n"
            for model, age in ages.items()
        )
    )

    def asked(where, after=timedelta(hours=1)):
        options = llm_logging.StatsOptions(where=where, orphaned_after=after)
        found = llm_logging.get_stats(options=options, files=[path], cache=False, now=now)
        figures = found.summary
        return sorted(found.models), figures.running_requests, figures.orphaned_requests

    assert asked("status=running") == (["fresh"], 1, 0)
    assert asked("status=orphaned") == (["old"], 0, 1)
    assert asked("status=orphaned,running") == (["fresh", "old"], 1, 1)
    assert asked("status!=orphaned") == (["ended", "fresh"], 1, 0)
    assert asked("status=running", timedelta(hours=2)) == (["fresh", "old"], 2, 0)


@pytest.mark.parametrize(
    "where",
    [
        "status==error",
        "status=weird",
        "status~fail*",
        "status>error",
        "request_type<=chat",
        "request_type=chats",
        "usage.source=guess",
        "model==m",
    ],
)
def test_a_filter_that_nothing_can_fit_is_refused(tmp_path, where):
    path = tmp_path / "none.jsonl"
    path.write_text("")
    with pytest.raises(llm_logging.ValidationError, match="where: expected"):
        llm_logging.get_stats(options=llm_logging.StatsOptions(where=where), files=[path], cache=False)


def test_a_number_is_no_word():
    assert outcome_of(7) is None
    assert outcome_of(199) is None
    assert outcome_of(b"failed") is None
