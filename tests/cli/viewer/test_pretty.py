import json
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_logging.cli.viewer.pretty import PrettyOptions, Printer
from llm_logging.cli.viewer.records import parse_record, read_moment

MOMENT = datetime(2026, 1, 15, 10, 30, 0, 123000, tzinfo=UTC)
SHAPES = {
    "ours": {"v": 1, "timestamp": "2026-01-15T10:30:00.123000Z", "level": "WARNING", "logger": "app", "message": "hi", "event_type": "log", "writer": {"id": "a", "seq": 1}},
    "python-json-logger": {"asctime": "2026-01-15 10:30:00,123", "levelname": "WARNING", "name": "app", "message": "hi"},
    "structlog": {"event": "hi", "level": "warning", "logger": "app", "timestamp": "2026-01-15T10:30:00.123Z"},
    "pino": {"level": 40, "time": 1768473000123, "name": "app", "msg": "hi"},
    "bunyan": {"name": "app", "level": 40, "msg": "hi", "time": "2026-01-15T10:30:00.123Z", "v": 0},
    "winston": {"level": "warn", "message": "hi", "timestamp": "2026-01-15T10:30:00.123Z", "logger": "app"},
    "zap": {"level": "warn", "ts": 1768473000.123, "logger": "app", "msg": "hi"},
    "zerolog": {"level": "warn", "time": "2026-01-15T10:30:00.123Z", "message": "hi", "logger": "app"},
    "slog": {"time": "2026-01-15T10:30:00.123Z", "level": "WARN", "msg": "hi", "logger": "app"},
    "gelf": {"version": "1.1", "short_message": "hi", "level": 4, "timestamp": 1768473000.123, "logger": "app"},
    "ecs": {"@timestamp": "2026-01-15T10:30:00.123Z", "log.level": "warn", "log.logger": "app", "message": "hi"},
    "ecs nested": {"@timestamp": "2026-01-15T10:30:00.123Z", "log": {"level": "warn", "logger": "app"}, "message": "hi"},
    "google": {"severity": "WARNING", "timestamp": "2026-01-15T10:30:00.123Z", "logger": "app", "textPayload": "hi"},
    "loguru": {"text": "x", "record": {"level": {"name": "WARNING", "no": 30}, "message": "hi", "name": "app", "time": {"repr": "", "timestamp": 1768473000.123}, "extra": {}, "exception": None}},
    "google payload": {"severity": "WARNING", "timestamp": "2026-01-15T10:30:00.123Z", "logger": "app", "jsonPayload": {"message": "hi"}},
    "clef": {"@t": "2026-01-15T10:30:00.123Z", "@l": "Warning", "@mt": "{Word}", "Word": "hi", "SourceContext": "app"},
    "log4j2": {"instant": {"epochSecond": 1768473000, "nanoOfSecond": 123000000}, "level": "WARN", "loggerName": "app", "message": "hi"},
    "postgres": {"timestamp": "2026-01-15 10:30:00.123 UTC", "error_severity": "WARNING", "backend_type": "app", "message": "hi"},
    "journald": {"__REALTIME_TIMESTAMP": "1768473000123000", "PRIORITY": "4", "SYSLOG_IDENTIFIER": "app", "MESSAGE": "hi"},
    "otlp": {"timeUnixNano": "1768473000123000000", "severityNumber": 13, "body": {"stringValue": "hi"}, "logger": "app"},
    "mongodb": {"t": {"$date": "2026-01-15T10:30:00.123+00:00"}, "s": "W", "c": "NETWORK", "ctx": "x", "msg": "hi", "logger": "app"},
    "dotnet": {"Timestamp": "2026-01-15T10:30:00.123Z", "LogLevel": "Warning", "Category": "app", "Message": "hi"},
    "tracing": {"timestamp": "2026-01-15T10:30:00.123Z", "level": "WARN", "fields": {"message": "hi"}, "target": "app"},
    "python numbers": {"levelno": 30, "created": 1768473000.123, "name": "app", "message": "hi"},
}  # fmt: skip


def show(line, **options):
    data = line if isinstance(line, bytes) else json.dumps(line).encode()
    return Printer(PrettyOptions(**options)).line(data)


WRAPPED = {
    "docker": lambda line: json.dumps(
        {"log": f"{line}\n", "stream": "stdout", "time": "2026-02-01T00:00:00Z"}
    ),
    "cri": lambda line: f"2026-02-01T00:00:00.1Z stdout F {line}",
    "compose": lambda line: f"web-1  | {line}",
    "kubectl": lambda line: f"[pod/app-5d9f/web] {line}",
    "journald": lambda line: json.dumps({"MESSAGE": line, "PRIORITY": "3", "__REALTIME_TIMESTAMP": "1"}),
}


@pytest.mark.parametrize("wrapper", WRAPPED)
def test_a_wrapped_line_is_shown_as_the_line(wrapper):
    wrapped = WRAPPED[wrapper](json.dumps(SHAPES["pino"])).encode()
    assert show(wrapped, hide_fields=True) == "2026-01-15 10:30:00.123 WARNING  app: hi"
    assert show(wrapped, min_level="error") is None


def test_parts_of_a_line_and_text_in_a_wrapper():
    printer = Printer(PrettyOptions(hide_fields=True))
    text = json.dumps(SHAPES["zap"])
    assert printer.line(f"2026-02-01T00:00:00.1Z stdout P {text[:20]}".encode()) is None
    assert (
        printer.line(f"2026-02-01T00:00:00.1Z stdout F {text[20:]}".encode())
        == "2026-01-15 10:30:00.123 WARNING  app: hi"
    )
    assert (
        printer.line(b"2026-01-15T10:30:00.123Z stderr F plain words")
        == "2026-01-15 10:30:00.123 plain words"
    )
    journal = {
        "MESSAGE": "it broke",
        "PRIORITY": "3",
        "__REALTIME_TIMESTAMP": "1768473000123000",
        "SYSLOG_IDENTIFIER": "sshd",
    }
    assert show(journal, hide_fields=True) == "2026-01-15 10:30:00.123 ERROR    sshd: it broke"
    assert show(journal, min_level="critical") is None


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_has_the_same_head(shape):
    assert show(SHAPES[shape], hide_fields=True) == "2026-01-15 10:30:00.123 WARNING  app: hi"


@pytest.mark.parametrize("number", [1768473000.123, 1768473000123, 1768473000123000, 1768473000123000000])
def test_numbers_are_read_by_their_size(number):
    assert abs(read_moment(number) - MOMENT).total_seconds() < 1e-3


def test_fields_are_indented_below_and_bookkeeping_is_hidden():
    assert show({**SHAPES["ours"], "hits": 3, "data": {"a": [1, "x"]}}).splitlines() == [
        "2026-01-15 10:30:00.123 WARNING  app: hi",
        "    event_type: log",
        "    hits: 3",
        '    data: {"a": [1, "x"]}',
    ]


def test_the_same_names_stay_in_lines_of_other_programs():
    assert "v: 0" in show(SHAPES["bunyan"])


def test_a_request_is_summed_up():
    line = {
        **SHAPES["ours"], "event_type": "llm_request", "model": "gpt-4o", "status": "error", "http_status": 429,
        "error": {"code": "rate_limit"}, "timings": {"latency_ms": 1234.5}, "project_id": "shop", "chat_id": "c-1",
        "usage": {"prompt_tokens": 1200, "completion_tokens": 50, "total_tokens": 1250},
    }  # fmt: skip
    assert show(line, compact=True, time_format="none") == (
        "WARNING  app: hi  gpt-4o error rate_limit 429 1,234 ms 1,200+50 tokens (shop/c-1)"
    )


def test_options_of_the_look():
    line = {
        "time": "2026-01-15T10:30:00.123Z",
        "level": "info",
        "msg": "hi",
        "pid": 7,
        "req": {"url": "/x", "headers": {"a": 1}},
        "a.b": 1,
    }
    assert show(line, single_line=True, ignore=("pid", "req.headers", "a.b")) == (
        '2026-01-15 10:30:00.123 INFO     hi {"req": {"url": "/x"}}'
    )
    assert show(line, include=("pid",), time_format="short").splitlines() == [
        "10:30:00.123 INFO     hi",
        "    pid: 7",
    ]
    assert show(line, hide_fields=True, time_format="%H h", tz=ZoneInfo("Asia/Tokyo")) == "19 h INFO     hi"
    assert show(line, hide_fields=True, time_format="iso").startswith("2026-01-15T10:30:00.123+00:00 ")
    assert show(line, hide_fields=True, time_format="raw").startswith("2026-01-15T10:30:00.123Z ")
    assert show({"when": 0, "sev": "warn", "note": "x"}, hide_fields=True, message_keys=("note",), time_keys=("when",), level_keys=("sev",)) == "1970-01-01 00:00:00.000 WARNING  x"  # fmt: skip


def test_levels_filter_and_unknown_ones_stay():
    assert show({"level": "debug", "msg": "x"}, min_level="info") is None
    assert show({"level": 30, "msg": "x"}, min_level="warn") is None
    assert show({"level": "FATAL", "msg": "x"}, min_level="error") == "CRITICAL x"
    assert show({"level": "audit", "msg": "x"}, min_level="error") == "AUDIT    x"
    assert show({"msg": "x"}, min_level="error") == "x"


def test_templates_are_looked_up_and_never_evaluated():
    line = {"level": "info", "msg": "hi", "req": {"url": "/x"}, "n": 0, "who": "{msg}"}
    for template, text in [
        ("{levelLabel} {msg} {req.url}", "INFO hi /x"),
        ("{if pid}({pid}) {end}{msg}", "hi"),
        ("{if n}n={n} {end}{msg}", "n=0 hi"),
        ("{if pid}a{if n}b{end}c{end}d", "d"),
        ("{who} {msg.__class__} {0} {}", "{msg}   {}"),
        ("{end}{msg}", "hi"),
    ]:
        assert show(line, template=template, hide_fields=True) == text


def test_stacks_are_shown_line_by_line():
    assert show({"msg": "x", "exc_info": "Traceback\n  File\nE: y"}).splitlines() == [
        "x",
        "    Traceback",
        "      File",
        "    E: y",
    ]
    pino = show({"msg": "x", "err": {"type": "E", "stack": "E: y\n    at z"}})
    assert pino.splitlines() == ["x", "    E: y", "        at z", '    err: {"type": "E"}']


def test_other_lines_pass_made_safe():
    assert show(b"plain \x1b[31mtext\xff") == "plain \\x1b[31mtext\ufffd"
    assert show(b"[1, 2]") == "[1, 2]"
    assert show(b'{"torn": ') == '{"torn": '
    assert show(b"[" * 100_000) is not None
    assert show(b'{"a":' * 100_000) is not None
    assert show(b'{"n":' + b"9" * 10_000 + b"}") is not None


HOSTILE = st.text(st.one_of(st.characters(), st.sampled_from("\x1b\x9b\n\r\x07\u202e\u2028[]m")), max_size=15)
VALUES = st.recursive(
    HOSTILE | st.integers() | st.floats() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(HOSTILE, inner, max_size=3),
)
KEYS = HOSTILE | st.sampled_from(
    ["level", "time", "msg", "name", "err", "stack", "record", "text", "event_type", "model", "writer", "log"]
)


@given(
    st.dictionaries(KEYS, VALUES, max_size=6),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, "{msg} {err.stack} {name}"]),
)
def test_no_line_brings_control_characters_or_fakes_another(fields, single, compact, template):
    text = show(fields, single_line=single, compact=compact, template=template)
    head, *others = text.split("\n")
    assert all(line.startswith("    ") for line in others)
    assert not [
        char
        for char in text
        if char != "\n" and (ord(char) < 32 or 0x7F <= ord(char) < 0xA0 or char in "\u202e\u2028")
    ]
    text.encode()


def test_colours_are_ours_alone():
    text = show({"level": "error", "msg": "x\x1b[2J"}, colour=True)
    assert text == "\x1b[31mERROR   \x1b[0m \x1b[36mx\\x1b[2J\x1b[0m"


def test_fields_used_for_the_head_are_not_repeated():
    record = parse_record(json.dumps(SHAPES["ecs nested"]).encode())
    assert record.rest == {}
