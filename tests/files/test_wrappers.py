"""Lines in the wrappers of runtimes, drivers and shippers: whole, in parts, interleaved, and parts that never end."""

from __future__ import annotations

import json

import pytest

from llm_logging.files.wrappers import Inner, Unwrapper

LINE = json.dumps({"v": 1, "event_type": "llm_request", "id": "a", "attributes": {"text": 'x"}' * 15_000}})
PARTS = [LINE[at : at + 16_384] for at in range(0, len(LINE), 16_384)]
LAST = len(PARTS) - 1
STAMP = "2026-06-15T10:00:00.123456789Z"


def unwrap(*lines: str | dict) -> tuple[list[Inner], list[Inner]]:
    unwrapper = Unwrapper()
    found = [
        inner
        for line in lines
        for inner in unwrapper.lines((line if isinstance(line, str) else json.dumps(line)).encode())
    ]
    return found, list(unwrapper.rest())


def docker(number: int, stream: str = "stdout", **more: object) -> dict:
    return {"log": PARTS[number] + "\n" * (number == LAST), "stream": stream, "time": STAMP, **more}


PREFIXES = {
    "compose": "web-1  | ",
    "compose with colours": "\x1b[36mweb-1  |\x1b[0m ",
    "compose with colours, the space inside": "\x1b[36mweb-1  | \x1b[0m",
    "compose -t": f"web-1  | {STAMP} ",
    "swarm": "web.1.abc@node1    | ",
    "docker logs -t": f"{STAMP} ",
    "kubectl --prefix": "[pod/web-7d4/app] ",
    "kubectl --prefix --timestamps": f"[pod/web-7d4/app] {STAMP} ",
    "stern": "web-7d4b9-abcde app ",
    "pod/container": "web-7d4b9-abcde/app ",
    "kail": "default/web-7d4[app]: ",
    "Heroku": "2026-06-15T10:00:00.123456+00:00 app[web.1]: ",
    "journalctl": "Jan 15 10:00:00 host unit[123]: ",
    "journalctl -o short-iso": "2026-06-15T10:00:00+0000 host unit[123]: ",
    "syslog, RFC 5424": "<14>1 2026-06-15T10:00:00Z host app 12 ID - ",
    "syslog, RFC 3164": "<14>Jan 15 10:00:00 host app: ",
    "CRI": f"{STAMP} stdout F ",
}


@pytest.mark.parametrize("prefix", PREFIXES.values(), ids=PREFIXES)
def test_a_prefix_goes(prefix: str) -> None:
    (found,), rest = unwrap(prefix + LINE)
    assert (found.data.decode(), found.wrapper is not None, rest) == (LINE, True, [])


OBJECTS = {
    "docker": {"log": LINE + "\n", "stream": "stdout", "time": STAMP},
    "fluentd": {"log": LINE, "container_id": "c", "container_name": "/web", "source": "stdout"},
    "journald": {"MESSAGE": LINE, "__REALTIME_TIMESTAMP": "1789436130250000", "PRIORITY": "3"},
    "journald bytes": {"MESSAGE": list(LINE.encode()), "__REALTIME_TIMESTAMP": "1789436130250000"},
    "logcli": {"labels": {"app": "web"}, "line": LINE, "timestamp": STAMP},
    "promtail pack": {"_entry": LINE, "app": "web"},
    "vector": {"message": LINE, "source_type": "docker_logs", "stream": "stdout", "timestamp": STAMP},
    "filebeat": {"@timestamp": STAMP, "message": LINE, "agent": {}, "input": {"type": "container"}},
    "logstash": {"@timestamp": STAMP, "message": LINE, "@version": "1"},
    "aws logs": {"timestamp": 1_789_436_130_250, "message": LINE, "ingestionTime": 1},
    "Google Cloud": {"textPayload": LINE, "insertId": "1", "timestamp": STAMP},
    "docker around a prefix": {"log": f"web-1 | {LINE}\n", "stream": "stdout", "time": STAMP},
}


@pytest.mark.parametrize("value", OBJECTS.values(), ids=OBJECTS)
def test_an_object_around_a_line_goes(value: dict) -> None:
    (found,), rest = unwrap(value)
    assert (found.data.decode(), found.wrapper is not None, rest) == (LINE, True, [])


def test_what_the_wrapper_says_is_kept() -> None:
    (found,), _ = unwrap(OBJECTS["journald"])
    assert (found.time, found.level) == (1_789_436_130_250_000, "error")
    (found,), _ = unwrap(
        {"jsonPayload": {"message": "x"}, "severity": "WARNING", "insertId": "1", "timestamp": STAMP}
    )
    assert (json.loads(found.data), found.level, found.time) == ({"message": "x"}, "WARNING", STAMP)


SEVERAL = {
    "Loki": {
        "streams": [{"stream": {}, "values": [["1789436130250000000", LINE], ["1789436130250000001", LINE]]}]
    },
    "CloudWatch": {
        "messageType": "DATA_MESSAGE",
        "logEvents": [{"id": "1", "timestamp": 1, "message": LINE}] * 2,
    },
    "OpenTelemetry": {
        "resourceLogs": [
            {
                "scopeLogs": [
                    {"logRecords": [{"timeUnixNano": "1789436130250000000", "body": {"stringValue": LINE}}]}
                ]
            },
            {"scopeLogs": [{"logRecords": [{"body": {"stringValue": LINE}}, 7]}, None], "resource": 5},
        ]
    },
}


@pytest.mark.parametrize("value", SEVERAL.values(), ids=SEVERAL)
def test_an_object_around_many_lines_gives_each(value: dict) -> None:
    found, _ = unwrap(value)
    assert [inner.data.decode() for inner in found] == [LINE, LINE]


def test_a_log_record_without_a_line_of_json_is_a_line_of_its_own() -> None:
    attribute = {"key": "k", "value": {"arrayValue": {"values": [{"intValue": "5"}, {"boolValue": True}]}}}
    service = {"key": "service.name", "value": {"stringValue": "shop"}}
    record = {"timeUnixNano": "1789436130250000000", "severityText": "ERROR", "attributes": [attribute]}
    line = {
        "resourceLogs": [
            {
                "resource": {"attributes": [service]},
                "scopeLogs": [
                    {"scope": {"name": "web"}, "logRecords": [{**record, "body": {"stringValue": "late"}}]}
                ],
            }
        ]
    }
    (found,), _ = unwrap(line)
    assert json.loads(found.data) == {
        **record,
        "attributes": {"k": [5, True]},
        "body": "late",
        "logger": "web",
    }
    assert (found.time, found.source, found.level) == (1789436130250000000, "shop", "ERROR")


IN_PARTS = {
    "docker": [docker(number) for number in range(len(PARTS))],
    "CRI": [f"{STAMP} stdout {'F' if number == LAST else 'P'} {part}" for number, part in enumerate(PARTS)],
    "shipper without newlines": [{"log": part, "stream": "stdout"} for part in PARTS],
    "Fluent Bit": [
        {"stream": "stdout", "logtag": "F" if number == LAST else "P", "message": part}
        for number, part in enumerate(PARTS)
    ],
    "FireLens": [
        {
            "log": part, "container_id": "c", "partial_message": "true", "partial_id": "q",
            "partial_last": "true" if number == LAST else "false",
        }
        for number, part in enumerate(PARTS)
    ],
    "journald": [
        {"MESSAGE": part, "_STREAM_ID": "s", **({} if number == LAST else {"_LINE_BREAK": "line-max"})}
        for number, part in enumerate(PARTS)
    ],
}  # fmt: skip


@pytest.mark.parametrize("parts", IN_PARTS.values(), ids=IN_PARTS)
def test_parts_are_joined(parts: list[str | dict]) -> None:
    (found,), rest = unwrap(*parts)
    assert (found.data.decode(), found.cut, rest) == (LINE, False, [])


def test_interleaved_streams_and_containers_do_not_mix() -> None:
    lines = [docker(0), {"log": "boom\n", "stream": "stderr", "time": STAMP}]
    for number in range(1, len(PARTS)):
        lines += [docker(number), docker(number - 1, "stderr")]
    lines.append(docker(LAST, "stderr"))
    found, rest = unwrap(*lines)
    assert [(one.data, one.stream) for one in found] == [
        (b"boom", "stderr"), (LINE.encode(), "stdout"), (LINE.encode(), "stderr"),
    ]  # fmt: skip
    assert not rest
    pods = [docker(n, kubernetes={"pod_name": pod}) for n in range(len(PARTS)) for pod in ("web-1", "web-2")]
    found, rest = unwrap(*pods)
    assert [(one.data, one.source) for one in found] == [(LINE.encode(), "web-1"), (LINE.encode(), "web-2")]


def test_a_part_without_its_end_costs_no_other_line() -> None:
    whole = {"log": '{"a": 1}\n', "stream": "stdout"}
    found, rest = unwrap(docker(0), whole, docker(0))
    assert [(one.data.decode(), one.cut) for one in found] == [(PARTS[0], True), ('{"a": 1}', False)]
    assert [(one.data.decode(), one.cut) for one in rest] == [(PARTS[0], True)]


@pytest.mark.parametrize(
    "line",
    [
        LINE,
        'INFO: body: {"model": "gpt-4o"}',
        'Response body {"model": "gpt-4o"}',
        '[INFO] {"model": "gpt-4o"}',
        json.dumps({"level": "info", "msg": '{"a": 1}'}),
        json.dumps({"event_type": "log", "log": LINE, "message": LINE}),
        json.dumps({"log": {"level": "info"}, "message": "x"}),
        "plain text",
        "",
        "{torn",
    ],
)
def test_other_lines_stay_as_they_are(line: str) -> None:
    assert unwrap(line) == ([Inner(line.encode())], [])
